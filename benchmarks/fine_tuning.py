"""Six ways to use a trained network on another task: ``python -m benchmarks.fine_tuning``.

The task is digits, 20 labelled ones of each class, enlarged to 64 pixels, with EfficientNet-Lite0 and its ImageNet weights:
far from photographs, so frozen features lose here (chapter "Feature extraction"), and there is something to learn for the
body. The ways: from scratch (the same network), frozen body, last block and head, all layers at one low rate,
discriminative rates, gradual unfreezing. Each way has the best of a few learning rates, chosen on validation digits with
seed 100, which is not among those reported. A seed draws the labelled digits, the head, the order of the batches and the
augmentation, the same for all ways. Test digits are looked at once, at the end of each run.

Writes ``benchmarks/results/fine_tuning.json``, one row for each run with its curves; ``fine_tuning_rates.json``, what the
 Each run is
written as it ends, and runs that are there are not done again; ``--anew`` forgets them. About twelve minutes of one core.

Chapter: fine-tuning.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cache
from typing import Any

import torch
from torch import nn
from torch.nn import functional as F

from utils import results, runtime
from utils.activations import evaluating
from utils.data import Images, augment, digits, photo
from utils.models import EfficientNetLite, pretrained
from utils.training import OneCycle, evaluate, fit
from utils.transfer import freeze, parameter_groups, prepare, replace_head, trainable, unfreeze

SEEDS, CHOOSING = (0, 1, 2), 100
LABELS, SIDE, EPOCHS, BATCH, SHIFT = 20, 64, 6, 10, 6
CHOICE, WATCHED, TEST = 200, 100, 400  # validation digits to choose by, those of the curves, test digits
NORM = 0.1  # share of each batch in the running statistics
PUBLISHED = 0.01  # that of the published network, made for long runs

# From the image to the answer; discriminative rates fall threefold from one to the next.
GROUPS = {
    "head": ("head",),
    "late": ("stages.5", "stages.6", "top"),
    "middle": ("stages.3", "stages.4"),
    "early": ("stem", "stages.0", "stages.1", "stages.2"),
}
BODY = tuple(name for group in ("early", "middle", "late") for name in GROUPS[group])
# What gradual unfreezing sets free before which epoch, counted from 1.
PLAN = {2: "late", 3: "middle", 4: "early"}


@dataclass(frozen=True)
class Way:
    """What is frozen and what has which rate; ``rates`` are tried, in units of Adam's learning rate."""

    name: str
    rates: tuple[float, ...]
    frozen: tuple[str, ...] = ()
    falling: float = 1.0
    gradual: bool = False
    scratch: bool = False


WAYS = (
    Way("from scratch", (1e-3, 3e-3), scratch=True),
    Way("frozen body", (3e-3, 1e-2), frozen=BODY),
    Way("last block and head", (1e-3, 3e-3), frozen=tuple(n for n in BODY if n not in ("stages.6", "top"))),
    Way("all layers, one rate", (1e-4, 3e-4, 1e-3, 3e-3)),
    Way("discriminative rates", (1e-3, 3e-3, 1e-2), falling=3.0),
    Way("gradual unfreezing", (3e-3, 1e-2), falling=3.0, gradual=True),
)
ALL = WAYS[3]


@cache
def enlarged() -> tuple[Images, Images, Images]:
    """Return training, validation and test digits as colour images of ``SIDE`` pixels, with the network's constants."""
    data, net = digits(), pretrained.load()

    def larger(part: Images) -> Images:
        pixels = F.interpolate(part.images.float(), (SIDE, SIDE), mode="bilinear", align_corners=False)
        pixels = pixels.round().clamp(0, 255).to(torch.uint8).expand(-1, 3, -1, -1).contiguous()
        return replace(part, images=pixels, mean=net.mean, std=net.std)

    return (
        larger(data.train),
        larger(data.validation.take(slice(0, CHOICE))),
        larger(data.test.take(slice(0, TEST))),
    )


def drawn(seed: int) -> Images:
    """Return ``LABELS`` training digits of each class."""
    train = enlarged()[0]
    order = torch.randperm(len(train), generator=torch.Generator().manual_seed(seed))
    return train.take(torch.cat([order[train.labels[order] == c][:LABELS] for c in range(len(train.classes))]))


def network(way: Way, seed: int) -> nn.Module:
    """Return the network with a new head, as the way begins."""
    runtime.seed(seed)
    model = EfficientNetLite() if way.scratch else pretrained.load().model
    runtime.seed(seed)  # the same new head, whatever was drawn before
    replace_head(model, 10)
    for layer in model.modules():
        if isinstance(layer, nn.BatchNorm2d):
            layer.momentum = NORM
    return model.to(memory_format=torch.channels_last)


def optimizer_for(model: nn.Module, way: Way, rate: float) -> torch.optim.Optimizer:
    """Freeze what the way freezes, and return Adam with its groups."""
    if way.falling == 1.0:
        return torch.optim.Adam(trainable(freeze(model, *way.frozen) if way.frozen else model), lr=rate)
    rates = {name: rate / way.falling**depth for depth, group in enumerate(GROUPS) for name in GROUPS[group]}
    # The groups hold all layers, so that those which are set free later are the optimizer's from the first step.
    adam = torch.optim.Adam(parameter_groups(model, rates))
    if way.gradual:
        freeze(model, *BODY)
    return adam


@cache
def crops() -> torch.Tensor:
    """Return 96 squares of twelve photographs as the network takes them."""
    names = ("astronaut", "camera", "chelsea", "china", "coffee", "flower", "rocket", "coins")
    generator, squares = torch.Generator().manual_seed(0), []
    for name in names:
        pixels = photo(name, size=160)
        for _ in range(12):
            top, left = (int(torch.randint(0, s - 127, (), generator=generator)) for s in pixels.shape[1:])
            squares.append(pixels[:, top : top + 128, left : left + 128].expand(3, -1, -1))
    net = pretrained.load()
    return prepare(torch.stack(squares), 96, net.mean, net.std)


@torch.no_grad()
def remembered(model: nn.Module) -> float:
    """Return how often the body, with its old head put back, names the same of 1,000 classes as before."""
    net = pretrained.load().model
    before, new = net(crops()).argmax(1), model.head
    model.head = net.head
    with evaluating(model):
        after = model(crops()).argmax(1)
    model.head = new
    return (after == before).double().mean().item()


def accuracy(model: nn.Module, data: Images) -> float:
    """Return the share of images that the model names rightly."""
    return round(evaluate(model, data, device="cpu").accuracy, 4)


class Slow:
    """The running statistics that a network would have with the momentum that it was published with.

    A batch norm does not keep the statistics of a batch, but they follow from how it moved its running ones.
    """

    def __init__(self, model: nn.Module) -> None:
        self.norms = [layer for layer in model.modules() if isinstance(layer, nn.BatchNorm2d)]
        self.last, self.slow = ([self.values(layer) for layer in self.norms] for _ in range(2))
        for number, layer in enumerate(self.norms):
            layer.register_forward_hook(lambda layer, _i, _o, number=number: self.follow(number, layer))

    @staticmethod
    def values(layer: nn.BatchNorm2d) -> torch.Tensor:
        return torch.stack([layer.running_mean, layer.running_var]).clone()

    def follow(self, number: int, layer: nn.BatchNorm2d) -> None:
        if layer.training:
            now = self.values(layer)
            batch = (now - (1 - NORM) * self.last[number]) / NORM
            self.slow[number] += PUBLISHED * (batch - self.slow[number])
            self.last[number] = now

    def put(self) -> None:
        """Put the slow statistics into the network."""
        for layer, (middle, spread) in zip(self.norms, self.slow, strict=True):
            layer.running_mean.copy_(middle)
            layer.running_var.copy_(spread)


@torch.no_grad()
def measure_anew(model: nn.Module, data: Images) -> None:
    """Replace the running statistics by averages over all batches of some images."""
    for layer in model.modules():
        if isinstance(layer, nn.BatchNorm2d):
            layer.reset_running_stats()
            layer.momentum = None
            layer.train()
    for start in range(0, len(data), 50):
        model(data.inputs(slice(start, start + 50)))
    model.eval()


def run(way: Way, rate: float, seed: int, norms: dict[str, float] | None = None) -> dict[str, Any]:
    """Train once and return what was measured; ``norms`` is filled with test accuracies by other running statistics."""
    _, validation, test = enlarged()
    train, model, watched, lost = drawn(seed), network(way, seed), [], [0.0]
    adam = optimizer_for(model, way, rate)
    slow = Slow(model) if norms is not None else None

    def after(epoch: int, model: nn.Module) -> None:
        began = time.process_time()
        if seed != CHOOSING:
            watched.append(accuracy(model, validation.take(slice(0, WATCHED))))
        if way.gradual and (group := PLAN.get(epoch + 1)):
            unfreeze(model, *GROUPS[group])
        lost[0] += time.process_time() - began

    began = time.process_time()
    history = fit(
        model, train, epochs=EPOCHS, batch_size=BATCH, optimizer=adam, schedule=OneCycle(), device="cpu",
        augment=augment.Crop(SHIFT), seed=seed, progress=False, after_epoch=after,
    )  # fmt: skip
    seconds = time.process_time() - began - lost[0]
    if seed == CHOOSING:
        return {"loss": round(history.loss[-1], 4), "accuracy": accuracy(model, validation)}
    result = {
        "parameters": sum(p.numel() for p in model.parameters()),
        "trained": sum(p.numel() for p in model.parameters() if p.requires_grad),
        "loss": [round(value, 4) for value in history.loss],
        "validation": watched,
        "test": accuracy(model, test),
        "remembered": round(remembered(model), 4),
        "seconds": round(seconds, 1),
    }
    if slow:
        slow.put()
        norms[f"momentum {PUBLISHED}"] = accuracy(model, test)
        measure_anew(model, train)
        norms["measured anew"] = accuracy(model, test)
    return result


class Record:
    """Rows of a recorded run; each is written when it is there."""

    def __init__(self, name: str, note: str, anew: bool) -> None:
        self.name, self.note = name, note
        self.rows = [] if anew or not (results.FOLDER / f"{name}.json").exists() else results.load(name)["rows"]

    def add(self, key: dict[str, Any], measure: Callable[[], dict[str, Any]]) -> dict[str, Any]:
        """Return the row with this key; measure and write it if it is not there."""
        for row in self.rows:
            if all(row[name] == value for name, value in key.items()):
                return row
        row = {**key, **measure()}
        self.rows.append(row)
        data = (
            f"digits(), {LABELS} of each class, enlarged to {SIDE} px; {CHOICE} validation digits ({WATCHED} for the curves) and {TEST} test digits; photographs: "
            "96 crops, reduced to 96 px"
        )
        results.record(
            self.name, self.rows, command="python -m benchmarks.fine_tuning", data=data, note=self.note,
            seeds=sorted({row["seed"] for row in self.rows}),
        )  # fmt: skip
        print(self.name, {k: v for k, v in row.items() if k not in ("loss", "parameters")}, flush=True)
        return row


def main() -> None:
    """Choose the rates, run all, record."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--anew", action="store_true", help="forget the runs that are recorded")
    anew = parser.parse_args().anew
    recipe = (
        f"Adam, one cycle, {EPOCHS} epochs in batches of {BATCH}, shifts of up to {SHIFT} px, batch norm with momentum {NORM}. "
        f"Discriminative: four groups, {', '.join(GROUPS)}, each with a third of the rate of the one before; gradual: the same "
        f"rates, head first, then {', '.join(f'{group} from epoch {epoch}' for epoch, group in PLAN.items())}. "
    )
    tried = Record("fine_tuning_rates", recipe + "Loss of the last epoch and validation accuracy after it.", anew)
    chosen = {}
    for way in WAYS:
        found = {rate: tried.add({"way": way.name, "seed": CHOOSING, "rate": rate}, lambda w=way, r=rate: run(w, r, CHOOSING))
                 for rate in way.rates}  # fmt: skip
        # Of equal accuracies the lower last loss decides.
        chosen[way.name] = max(found, key=lambda rate: (found[rate]["accuracy"], -found[rate]["loss"]))
    table = Record(
        "fine_tuning",
        recipe
        + "Rates chosen with seed 100. remembered: share of crops of photographs for which the body with its old head "
        "names the same class as before. seconds: CPU time of one thread, without the evaluations.",
        anew,
    )
    norms = Record(
        "fine_tuning_norms",
        recipe + "All layers, one rate: one training for each seed, tested with three sets of running statistics.",
        anew,
    )
    for seed in SEEDS:
        for way in WAYS:
            rate, other = chosen[way.name], {} if way is ALL else None
            row = table.add({"way": way.name, "seed": seed, "rate": rate},
                            lambda w=way, r=rate, s=seed, o=other: run(w, r, s, o))  # fmt: skip
            for name, value in {f"momentum {NORM}": row["test"], **other}.items() if other else ():
                norms.add({"statistics": name, "seed": seed}, lambda v=value: {"test": v})


if __name__ == "__main__":
    main()
