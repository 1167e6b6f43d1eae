"""Run a recipe without a notebook: ``python -m utils.training --data digits --model LeNet --epochs 5``.

Killed and started again with ``--checkpoint FOLDER``, it goes on where it was. Under ``torchrun
--nproc-per-node=2 -m utils.training …`` it runs on two processes.
"""

from __future__ import annotations

import argparse
import dataclasses
import importlib
import inspect
import json
import sys
from pathlib import Path

import torch
from torch import nn
from torch.nn import functional as F

from utils import data as sources
from utils import models, runtime
from utils.data import Splits, augment
from utils.training import Cosine, OneCycle, Steps, evaluate, fit

SCHEDULES = {"constant": None, "cosine": Cosine(), "one-cycle": OneCycle(), "steps": Steps()}
AUGMENTATIONS = ("Flip", "Crop", "Rotate", "Colour", "Erase", "MixUp", "CutMix")
DATA = ("digits", "shapes", "mnist", "fashion_mnist", "cifar10")


def main(arguments: list[str] | None = None) -> int:
    """Train, print what came out, and return the exit status: 0, or 2 with one sentence on bad input."""
    options = _parser().parse_args(arguments)
    try:
        splits = _data(options.data)
        runtime.seed(options.seed)
        model = _model(options.model, splits)
        optimizer = _optimizer(options, model)
        history = fit(
            model,
            splits.train,
            splits.validation,
            epochs=options.epochs,
            batch_size=options.batch_size,
            optimizer=optimizer,
            schedule=SCHEDULES[options.schedule],
            loss=_Smoothed(options.label_smoothing) if options.label_smoothing else F.cross_entropy,
            augment=_augment(options.augment, len(splits.train.classes)),
            precision=options.precision,
            clip=options.clip,
            accumulate=options.accumulate,
            checkpoint=options.checkpoint,
            device=options.device,
            seed=options.seed,
        )
    except (ValueError, FileNotFoundError, FloatingPointError, MemoryError) as error:
        print(f"{type(error).__name__}: {error}", file=sys.stderr)
        return 2
    main_process = runtime.main_process()
    if options.test and main_process:
        result = evaluate(model, splits.test, device=options.device)
        print(f"test accuracy ≈ {100 * result.accuracy:.2f} % of {len(splits.test):,} images")
    if options.history and main_process:
        options.history.write_text(json.dumps(dataclasses.asdict(history), indent=1) + "\n", encoding="utf-8")
    return 130 if history.interrupted else 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m utils.training", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add("--data", default="digits", help=f"one of {', '.join(DATA)}, or a folder of pictures (default: digits)")
    add("--model", default="LeNet", help="a class of utils.models, or module:callable (default: LeNet)")
    add("--epochs", type=int, default=5, help="passes over the training images (default: 5)")
    add("--batch-size", type=int, default=64, help="images a step, over all processes (default: 64)")
    add("--optimizer", default="Adam", help="a class of torch.optim (default: Adam)")
    add("--learning-rate", type=float, default=1e-3, help="the highest one (default: 0.001)")
    add("--momentum", type=float, help="for SGD")
    add("--weight-decay", type=float, help="for the optimizer")
    add("--schedule", choices=SCHEDULES, default="constant", help="of the learning rate (default: constant)")
    add("--label-smoothing", type=float, default=0.0, help="share of the target spread over all classes (default: 0)")
    add("--augment", nargs="*", default=[], metavar="NAME", help=f"in this order, of {', '.join(AUGMENTATIONS)}")
    add("--precision", default="float32", help="float32, bfloat16, float16 or auto (default: float32)")
    add("--clip", type=float, help="largest norm of the gradient (default: none)")
    add("--accumulate", type=int, default=1, help="parts that a batch is computed in (default: 1)")
    add("--checkpoint", type=Path, metavar="FOLDER", help="keep the run there, and go on from what is there")
    add("--device", help="for example cpu or cuda:1 (default: the fastest)")
    add("--seed", type=int, default=0, help="of weights, shuffling and augmentation (default: 0)")
    add("--test", action="store_true", help="at the end, look at the test set")
    add("--history", type=Path, metavar="FILE", help="write what was measured to a JSON file")
    return parser


def _data(name: str) -> Splits:
    if name in DATA:
        return getattr(sources, name)()
    if Path(name).is_dir():
        return sources.folder(name)
    raise ValueError(f"--data is {name!r}, but it must be one of {', '.join(DATA)}, or a folder that is there.")


def _model(name: str, splits: Splits) -> nn.Module:
    """Build the model, telling it of channels, size and classes what it can be told."""
    module, _, attribute = name.rpartition(":")
    try:
        build = getattr(importlib.import_module(module) if module else models, attribute)
    except (AttributeError, ImportError) as error:
        raise ValueError(
            f"--model is {name!r}, but it must be one of {', '.join(models.__all__)}, or module:callable ({error})."
        ) from None
    facts = {
        "in_channels": splits.train.images.shape[1],
        "size": splits.train.images.shape[-1],
        "classes": len(splits.train.classes),
    }
    known = inspect.signature(build).parameters
    return build(**{key: value for key, value in facts.items() if key in known})


def _optimizer(options: argparse.Namespace, model: nn.Module) -> torch.optim.Optimizer:
    build = getattr(torch.optim, options.optimizer, None)
    if not (inspect.isclass(build) and issubclass(build, torch.optim.Optimizer)):
        raise ValueError(f"--optimizer is {options.optimizer!r}, but it must be a class of torch.optim such as AdamW.")
    given = {"momentum": options.momentum, "weight_decay": options.weight_decay}
    try:
        return build(model.parameters(), lr=options.learning_rate, **{k: v for k, v in given.items() if v is not None})
    except TypeError as error:
        raise ValueError(f"{options.optimizer} does not take these settings ({error}).") from None


def _augment(names: list[str], classes: int) -> list[augment.Step]:
    """Build the named augmentations with their default strengths."""
    builders = {name.lower(): getattr(augment, name) for name in AUGMENTATIONS}
    for name in names:
        if name.lower() not in builders:
            raise ValueError(f"--augment names {name!r}, but there are {', '.join(AUGMENTATIONS)}.")
    chosen = [builders[name.lower()] for name in names]
    return [build(classes) if "classes" in inspect.signature(build).parameters else build() for build in chosen]


@dataclasses.dataclass(frozen=True)
class _Smoothed:
    """Cross-entropy with label smoothing; a class, so that its repr tells a checkpoint what it is."""

    share: float

    def __call__(self, logits: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        return F.cross_entropy(logits, labels, label_smoothing=self.share)


if __name__ == "__main__":
    sys.exit(main())
