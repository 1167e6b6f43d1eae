"""Calibration and damaged digits, five seeds each: ``python -m benchmarks.diagnosis``.

Calibration: LeNet trained on 100 digits, on 3,500 digits, and on 8,000 images of shapes; the expected calibration
error on the test set before and after dividing the logits by the temperature fitted on the validation set.
Corruptions: LeNet trained on 3,500 digits, all clean, or half of them damaged at strength 3 in one way; tested on
every way at strength 3. Writes ``benchmarks/results/calibration.json`` and ``corruptions.json``. About four minutes
on one core.
"""

from __future__ import annotations

from dataclasses import replace
from statistics import mean, stdev
from typing import Any

import torch

from utils import results, runtime
from utils.data import CORRUPTIONS, Images, corrupt, digits, shapes
from utils.diagnosis import fit_temperature, reliability
from utils.models.lenet import LeNet
from utils.training import evaluate, fit

SEEDS = list(range(5))
COMMAND = "python -m benchmarks.diagnosis"
STRENGTH = 3


def train(train: Images, seed: int, epochs: int, batch_size: int) -> LeNet:
    """Return a LeNet for the images' size, channels and classes, trained by Adam at 0.002."""
    runtime.seed(seed)
    channels, size = train.images.shape[1:3]
    model = LeNet(size, channels, len(train.classes))
    fit(model, train, epochs=epochs, batch_size=batch_size, learning_rate=2e-3, seed=seed, progress=False)
    return model


def calibration() -> None:
    """Record accuracy, temperature and calibration error of three networks."""
    plain, coloured = digits(), shapes()
    cases = {
        "100 digits": (plain, plain.train.take(slice(0, 100)), 40, 10),
        "3,500 digits": (plain, plain.train, 10, 50),
        "8,000 shapes": (coloured, coloured.train, 10, 50),
    }
    rows = []
    for name, (data, part, epochs, batch_size) in cases.items():
        runs = []
        for seed in SEEDS:
            model = train(part, seed, epochs, batch_size)
            validation, test = evaluate(model, data.validation), evaluate(model, data.test)
            temperature = fit_temperature(validation.logits, validation.labels)
            before = reliability(test.logits, test.labels).error
            after = reliability(test.logits / temperature, test.labels).error
            runs.append((test.accuracy, temperature, before, after))
        row: dict[str, Any] = {"network": name, "epochs": epochs, "batch_size": batch_size}
        for key, values in zip(("accuracy", "temperature", "ECE", "scaled"), zip(*runs, strict=True), strict=True):
            row[key] = mean(values)
            row["std" if key == "ECE" else f"{key}_std"] = stdev(values)
        rows.append(row)
        print(row, flush=True)
    note = "LeNet, Adam 0.002; ECE with ten bins, on 1,000 test images; std: standard deviation of the seeds"
    results.record("calibration", rows, command=COMMAND, data="digits; shapes of 32×32", seeds=SEEDS, note=note)


def corruptions() -> None:
    """Record what networks trained on clean and on damaged digits read of damaged ones."""
    data = digits()
    tests = {"clean": data.test}
    for kind in CORRUPTIONS:
        tests[kind] = replace(data.test, images=corrupt(data.test.images, kind, STRENGTH, seed=1))
    rows = []
    for damage in (None, "noise", "rotation"):
        part = data.train
        if damage:
            half = torch.arange(len(part)) % 2 == 0  # the training set is shuffled
            images = part.images.clone()
            images[half] = corrupt(images[half], damage, STRENGTH)
            part = replace(part, images=images)
        shares: dict[str, list[float]] = {name: [] for name in tests}
        for seed in SEEDS:
            model = train(part, seed, epochs=8, batch_size=50)
            for name, test in tests.items():
                shares[name].append(evaluate(model, test).accuracy)
        row: dict[str, Any] = {"half_of_training": damage or "clean"}
        for name, values in shares.items():
            row |= {name: mean(values), f"{name}_std": stdev(values)}
        rows.append(row)
        print(row, flush=True)
    note = f"LeNet, Adam 0.002, 8 epochs; accuracy on 1,000 test digits, damaged at strength {STRENGTH}"
    results.record("corruptions", rows, command=COMMAND, data="digits", seeds=SEEDS, note=note)


if __name__ == "__main__":
    calibration()
    corruptions()
