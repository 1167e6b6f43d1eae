"""The small variants of all architectures on one task: ``python -m benchmarks.architectures``.

The task is an easy one, so that every network leaves its first plateau in seconds: 2,000 images of shapes, 32×32, cut
from two photographs. One recipe for all: ten epochs of Adam with a one-cycle schedule, batches of 64, mirror images and
shifts of up to 4 pixels. Only the peak rate differs: each network has that one of three which is best on the validation
images, with a seed that is not used again. Then five seeds, each judged once on the test images. Seconds are those of
``fit``; the networks of a seed run in turns, and what is recorded is the median of their ratios to LeNet's seconds.

Writes ``benchmarks/results/architectures.json``; about an hour of one core. ``--only SmallVGG SmallViT`` runs these, and
LeNet as the measure of seconds, and keeps the other rows as they were recorded; accuracies do not depend on which
networks run together.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from statistics import mean, median, stdev

from torch import nn

from utils import architecture, models, results, runtime
from utils.data import Splits, augment, shapes
from utils.training import OneCycle, evaluate, fit

SEEDS = list(range(5))
IMAGES, EPOCHS, BATCH = 2000, 10, 64
RATES, TRIAL = (1e-3, 3e-3, 1e-2), 100  # the trial is the seed with which the rate is chosen
TEXTURES = ("moon", "brick")
NETWORKS = {
    "LeNet": lambda: models.LeNet(32, 3, 10),
    "SmallAlexNet": models.SmallAlexNet,
    "SmallVGG": models.SmallVGG,
    "SmallGoogLeNet": models.SmallGoogLeNet,
    "CifarResNet-8": lambda: models.CifarResNet(8, width=14),
    "SmallDenseNet": models.SmallDenseNet,
    "SmallMobileNet": models.SmallMobileNet,
    "SmallEfficientNet": models.SmallEfficientNet,
    "SmallViT": models.SmallViT,
    "SmallConvNeXt": models.SmallConvNeXt,
}
FIRST = "LeNet"  # whose seconds are the measure


def trained(build: Callable[[], nn.Module], data: Splits, rate: float, seed: int, epochs: int) -> tuple:
    """Return a trained network and the seconds it took."""
    runtime.seed(seed)
    model = build()
    history = fit(
        model, data.train, epochs=epochs, batch_size=BATCH, learning_rate=rate, schedule=OneCycle(),
        augment=[augment.Flip(), augment.Crop(4)], seed=seed, progress=False,
    )  # fmt: skip
    return model, history.seconds


def main() -> None:
    """Choose the rates, train all, print and record the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--epochs", type=int, default=EPOCHS, help=f"fewer than {EPOCHS} only to try it out")
    parser.add_argument("--only", nargs="+", choices=NETWORKS, metavar="NETWORK", help="run these, keep other rows")
    chosen = parser.parse_args()
    epochs = chosen.epochs
    networks = {name: build for name, build in NETWORKS.items() if name in {FIRST, *(chosen.only or NETWORKS)}}
    kept = {row["network"]: row for row in results.load("architectures")["rows"]} if chosen.only else {}
    data = shapes(IMAGES, 1000, 1000, textures=TEXTURES)
    rates: dict[str, float] = {}
    for name, build in networks.items():
        tried = {
            rate: evaluate(trained(build, data, rate, TRIAL, epochs)[0], data.validation).accuracy for rate in RATES
        }
        rates[name] = max(tried, key=tried.__getitem__)
        print(name, {rate: round(accuracy, 3) for rate, accuracy in tried.items()}, flush=True)
    runs: dict[str, list[float]] = {name: [] for name in networks}
    seconds: dict[str, list[float]] = {name: [] for name in networks}
    for seed in SEEDS:
        for name, build in networks.items():
            model, taken = trained(build, data, rates[name], seed, epochs)
            runs[name].append(round(evaluate(model, data.test).accuracy, 4))
            seconds[name].append(taken)
            print(seed, name, runs[name][-1], round(taken, 1), flush=True)
    rows = dict(kept)
    for name, build in networks.items():
        parameters, work = architecture.totals(architecture.trace(build(), (3, 32, 32)))
        relative = [a / b for a, b in zip(seconds[name], seconds[FIRST], strict=True)]
        rows[name] = {
            "network": name,
            "parameters": parameters,
            "multiply_adds": work,
            "rate": rates[name],
            "accuracy": round(mean(runs[name]), 4),
            "std": round(stdev(runs[name]), 4),
            "seconds": round(median(relative), 1),
            "runs": runs[name],
        }
    if FIRST in kept and rows[FIRST]["runs"] != kept[FIRST]["runs"]:
        print(f"{FIRST} had {kept[FIRST]['runs']} when the other rows were recorded: another machine or version.")
    path = results.record(
        "architectures",
        [rows[name] for name in NETWORKS if name in rows],
        command="python -m benchmarks.architectures" + ("" if epochs == EPOCHS else f" --epochs {epochs}"),
        data=f"utils.data.shapes({IMAGES}, 1000, 1000, textures={TEXTURES}): {len(data.train):,} training, "
        f"{len(data.validation):,} validation, {len(data.test):,} test images of 32×32",
        seeds=SEEDS,
        note=f"{epochs} epochs, Adam with a one-cycle schedule whose peak is the best of {RATES} on the validation images "
        f"(seed {TRIAL}), batch {BATCH}, flips and shifts by up to 4 pixels; seconds are relative to LeNet's with the "
        "same seed, medians. Rows that were added later by --only have their own run of LeNet beside them.",
    )
    print(f"recorded in {path.name}:\n{results.table(list(rows.values()))}")


if __name__ == "__main__":
    main()
