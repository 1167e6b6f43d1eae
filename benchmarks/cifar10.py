"""CIFAR-10 in minutes: the recipe at which the chapter "Project: colour photographs" arrives.

``python -m benchmarks.cifar10`` trains on all 50,000 training images and tests once per seed, then times an epoch
against the recipe of many tutorials: SmallResNet, SGD at 0.1, cosine, batch 128, crop and flip, 200 epochs.
``CNN_CIFAR10`` names a copy of the set as folders. Writes ``benchmarks/results/cifar10.json`` and
``cifar10_tutorial.json``. Half an hour on two cores; on a machine that does nothing else, if the seconds are to count.
:mod:`benchmarks.cifar10_steps` measures what each part of the recipe is worth.

On Linux, ``MALLOC_MMAP_THRESHOLD_=1073741824 MALLOC_TRIM_THRESHOLD_=8589934592`` in front lets the process keep its memory
instead of giving it back and asking again at every step, which saved about a tenth of the time on two cores.
"""

from __future__ import annotations

import argparse
import os
import time
from dataclasses import dataclass, replace
from statistics import median

import torch
from torch import nn

from utils import results, runtime
from utils.data import Images, Splits, cifar10
from utils.data.augment import Crop, Flip
from utils.models.colour_net import ColourNet, Mirrored
from utils.models.resnet import SmallResNet
from utils.training import Cosine, Evaluation, History, evaluate, fit

# Settings of the allocator belong to the command that is recorded.
ALLOCATOR = "".join(f"{name}={value} " for name, value in sorted(os.environ.items()) if name.startswith("MALLOC_"))


def up_and_down(share: float) -> float:
    """Straight up from 0.2 to 1 in the first 23 % of the steps, then straight down to 0.07."""
    return 0.2 + 0.8 * share / 0.23 if share < 0.23 else 0.07 + 0.93 * (1 - share) / 0.77


@dataclass(frozen=True)
class Recipe:
    """How one network is made, trained and asked. Rates and smoothing are K. Jordan's (2024), batches half as large."""

    widths: tuple[int, ...] = (32, 128, 256)
    norm: bool = True
    augmented: bool = True
    scheduled: bool = True
    residual: bool = True
    whitened: bool = True
    epochs: int = 15
    batch: int = 512
    shift: int = 0  # at test, in pixels
    precision: str = "auto"

    def model(self, train: Images, seed: int) -> ColourNet:
        """Return the network, its weights drawn from ``seed``."""
        runtime.seed(seed)
        parts = {"norm": self.norm, "residual": self.residual, "whitened": self.whitened}
        model = ColourNet(len(train.classes), self.widths, **parts)
        if self.whitened:
            model.whiten(train.inputs(slice(0, 5000)))
        return model.to(memory_format=torch.channels_last)

    def optimizer(self, model: nn.Module) -> torch.optim.Optimizer:
        """Return Adam at 0.001, or SGD with Nesterov momentum for the schedule."""
        if not self.scheduled:
            return torch.optim.Adam(model.parameters(), lr=1e-3)
        rate, decay = 0.5 * self.batch / 512, 1.33e-3  # a batch of half the size takes half the step
        # The shifts of batch norm may run far ahead of the weights.
        faster = 64 if self.whitened else 1
        free = [p for p in model.parameters() if p.requires_grad]
        groups = [
            {"params": [p for p in free if p.ndim == 1], "lr": rate * faster, "weight_decay": decay / faster},
            {"params": [p for p in free if p.ndim > 1], "lr": rate, "weight_decay": decay},
        ]
        return torch.optim.SGD(groups, momentum=0.85, nesterov=True)

    def fit(self, model: nn.Module, train: Images, seed: int) -> History:
        """Train ``model`` in place."""
        return fit(
            model,
            train,
            epochs=self.epochs,
            batch_size=self.batch,
            optimizer=self.optimizer(model),
            schedule=up_and_down if self.scheduled else None,
            loss=nn.CrossEntropyLoss(label_smoothing=0.1 if self.scheduled else 0.0),
            augment=[Flip(), Crop(2)] if self.augmented else (),
            precision=self.precision,
            seed=seed,
            progress=False,
        )

    def test(self, model: nn.Module, data: Images, precision: str) -> Evaluation:
        """Evaluate; the whitened network is asked about the mirror image, too, and about moved ones."""
        return evaluate(Mirrored(model, self.shift) if self.whitened else model, data, precision=precision)


def accuracy(data: Splits, recipe: Recipe, seeds: list[int]) -> None:
    """Record test accuracy and seconds, trained on training and validation images together."""
    both = replace(
        data.train,
        images=torch.cat([data.train.images, data.validation.images]),
        labels=torch.cat([data.train.labels, data.validation.labels]),
    )
    rows = []
    for seed in seeds:
        began, worked = time.perf_counter(), time.process_time()
        model = recipe.model(both, seed)
        history = recipe.fit(model, both, seed)
        result = recipe.test(model, data.test, history.precision)
        seconds, worked = time.perf_counter() - began, time.process_time() - worked
        rows.append(
            {
                "seed": seed,
                "epochs": recipe.epochs,
                "precision": history.precision,
                "accuracy": result.accuracy,
                "one_view": evaluate(model, data.test, precision=history.precision).accuracy,
                "seconds": seconds,
                "core_seconds": worked,
            }
        )
        print(results.table(rows), flush=True)
    results.record(
        "cifar10",
        rows,
        command=f"{ALLOCATOR}python -m benchmarks.cifar10 --seeds {len(seeds)}",
        data=f"{both.source}: {len(both):,} training images, {len(data.test):,} test images, asked once per seed",
        seeds=seeds,
        note=f"widths {recipe.widths}, batch {recipe.batch}; seconds of training and test, without reading the files",
    )


def speed(data: Splits, recipe: Recipe, rounds: int = 5, size: int = 1024) -> None:
    """Record the seconds of training on ``size`` images, the recipe and the tutorials' in turns."""
    part = data.train.take(slice(0, size))
    ours, theirs = recipe.model(part, 0), SmallResNet()
    # To choose the number format takes longer than these few steps; in a run of minutes it does not count.
    chosen = replace(recipe, epochs=1).fit(ours, part, 0).precision
    recipe = replace(recipe, epochs=1, precision=chosen)
    sgd = torch.optim.SGD(theirs.parameters(), lr=0.1, momentum=0.9, weight_decay=5e-4)
    crop_flip = {"augment": [Crop(4, fill="zero"), Flip()], "progress": False}
    runs = []
    for _ in range(rounds + 1):  # the first round allocates, and does not count
        mine = recipe.fit(ours, part, 0).seconds
        tutorial = fit(theirs, part, epochs=1, batch_size=128, optimizer=sgd, schedule=Cosine(), **crop_flip).seconds
        runs.append((mine, tutorial))
    rows = [
        {"recipe": name, "epochs": epochs, "parameters": sum(p.numel() for p in model.parameters()),
         "seconds_an_epoch": 50_000 / size * median(run[i] for run in runs[1:]),
         "hours_in_all": 50_000 / size * median(run[i] for run in runs[1:]) * epochs / 3600}
        for i, (name, epochs, model) in enumerate((("ours", Recipe.epochs, ours), ("tutorial", 200, theirs)))
    ]  # fmt: skip
    ratios = [tutorial / mine for mine, tutorial in runs[1:]]
    print(results.table(rows), ratios)
    results.record(
        "cifar10_tutorial",
        rows,
        command=f"{ALLOCATOR}python -m benchmarks.cifar10 --seeds 0",
        data=f"{part.source}: {size:,} training images, scaled up to 50,000",
        seeds=[0],
        note=f"{rounds} rounds in turns; an epoch of the tutorial took {min(ratios):.1f} to {max(ratios):.1f} times as "
        "long; its loop is ours, so that reading files is not counted",
    )


def main() -> None:
    """Train, test and time as the command line says."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, default=3, help="runs of the whole recipe; 0 only times an epoch")
    parser.add_argument("--epochs", type=int, default=Recipe.epochs)
    arguments = parser.parse_args()
    data, recipe = cifar10(), Recipe(epochs=arguments.epochs, shift=1)
    if arguments.seeds:
        accuracy(data, recipe, list(range(arguments.seeds)))
    speed(data, recipe)


if __name__ == "__main__":
    main()
