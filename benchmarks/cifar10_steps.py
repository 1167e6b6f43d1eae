"""What each step of the CIFAR-10 project is worth: ``python -m benchmarks.cifar10_steps --data shapes``.

From a first net to the recipe of :mod:`benchmarks.cifar10`: each step adds one thing to the step before, over the
same epochs, with the same seeds; the accuracy is that on the validation images. ``--data cifar10`` takes 10,000 training
images of CIFAR-10, or of the copy that ``CNN_CIFAR10`` names. Writes ``benchmarks/results/cifar10_steps_shapes.json`` or
``cifar10_steps_cifar10.json``. About ten minutes each on one core.
"""

from __future__ import annotations

import argparse
import time
from dataclasses import replace
from statistics import mean, stdev

from benchmarks.cifar10 import Recipe
from utils import results
from utils.data import Splits, cifar10, shapes

BARE = Recipe(norm=False, augmented=False, scheduled=False, residual=False, whitened=False)
SMALL = replace(BARE, widths=(16, 32, 64), epochs=8, batch=128)
STEPS = {
    "first net": {},
    "batch norm": {"norm": True},
    "flip and crop": {"augmented": True},
    "schedule": {"scheduled": True},
    "residual": {"residual": True},
    "whitening, flip at test": {"whitened": True},
}


def part_of_cifar10() -> Splits:
    """Return CIFAR-10 with the first 10,000 of its 45,000 training images."""
    data = cifar10()
    return replace(data, train=data.train.take(slice(0, 10_000)))


SCALES = {"shapes": (shapes, SMALL, 5), "cifar10": (part_of_cifar10, SMALL, 3)}


def ladder(recipe: Recipe) -> dict[str, Recipe]:
    """Return the recipe of each step by name, each with one thing more than the one before."""
    recipes = {}
    for step, change in STEPS.items():
        recipe = recipes[step] = replace(recipe, **change)
    return recipes


def run(data: Splits, recipe: Recipe, seed: int) -> tuple[float, float, float]:
    """Return validation accuracy, last training loss and the processor's seconds of training."""
    model = recipe.model(data.train, seed)
    began = time.process_time()
    history = recipe.fit(model, data.train, seed)
    seconds = time.process_time() - began
    return recipe.test(model, data.validation, history.precision).accuracy, history.loss[-1], seconds


def main() -> None:
    """Measure all steps, print and record the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", choices=SCALES, default="shapes")
    name = parser.parse_args().data
    load, start, count = SCALES[name]
    data, seeds = load(), list(range(count))
    # Seed by seed, so that a slow hour of the machine meets all steps alike.
    found: dict[str, list[tuple[float, float, float]]] = {step: [] for step in STEPS}
    for seed in seeds:
        for step, recipe in ladder(start).items():
            found[step].append(run(data, recipe, seed))
            print(f"seed {seed}, {step}: {found[step][-1]}", flush=True)
    rows, before = [], found["first net"]
    for step, runs in found.items():
        accuracies = [accuracy for accuracy, _, _ in runs]
        gains = [now[0] - then[0] for now, then in zip(runs, before, strict=True)]
        rows.append(
            {
                "step": step,
                "accuracy": mean(accuracies),
                "std": stdev(accuracies),
                "gain": mean(gains),
                "gain_std": stdev(gains),
                "loss": mean(loss for _, loss, _ in runs),
                "time": mean(now[2] / first[2] for now, first in zip(runs, found["first net"], strict=True)),
            }
        )
        before = runs
    print(results.table(rows))
    results.record(
        f"cifar10_steps_{name}",
        rows,
        command=f"python -m benchmarks.cifar10_steps --data {name}",
        data=f"{data.train.source or 'utils.data.shapes()'}: {len(data.train):,} training images, "
        f"{len(data.validation):,} validation images, on which is measured",
        seeds=seeds,
        note=f"widths {start.widths}, {start.epochs} epochs, batches of {start.batch}; gain: over the step before, "
        "paired by seed; time: the processor's for training, as a multiple of the first net's",
    )


if __name__ == "__main__":
    main()
