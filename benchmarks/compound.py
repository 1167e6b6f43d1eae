"""A small net scaled in depth, width, image size, or all three, at one cost: ``python -m benchmarks.compound``.

The base is ``SmallEfficientNet(width=0.5)`` on images of 16×16. Four nets cost 3.6 to 3.7 times as much: with four
times the blocks, with 2.2 times the channels, with sides of 30 pixels, and with some of each. All images are reduced from
the same ones of 32×32. One recipe for all, three seeds; the net of each is judged once on the test images.

Writes ``benchmarks/results/compound.json``; about five minutes of one core.
"""

from __future__ import annotations

import argparse
from dataclasses import replace
from statistics import mean, stdev

import torch
from torch.nn import functional as F

from utils import architecture, results, runtime
from utils.data import Images, augment, shapes
from utils.models import SmallEfficientNet
from utils.training import OneCycle, evaluate, fit

SEEDS = list(range(3))
IMAGES, EPOCHS, BATCH, RATE = 1000, 8, 32, 5e-3
TEXTURES = ("moon", "brick")
# Depth, width, side.
SCALED = {
    "base": (1, 0.5, 16),
    "deeper": (4, 0.5, 16),
    "wider": (1, 1.1, 16),
    "larger images": (1, 0.5, 30),
    "all three": (1.5, 0.6, 18),
}


def reduced(part: Images, side: int) -> Images:
    """Return the images at another size, each pixel an average of the old ones."""
    pixels = F.interpolate(part.images.float(), (side, side), mode="bilinear", antialias=True)
    return replace(part, images=pixels.round().clamp(0, 255).to(torch.uint8))


def main() -> None:
    """Train all, print and record the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--epochs", type=int, default=EPOCHS, help=f"fewer than {EPOCHS} only to try it out")
    epochs = parser.parse_args().epochs
    data = shapes(IMAGES, 1, 1000, textures=TEXTURES)
    runs: dict[str, list[float]] = {name: [] for name in SCALED}
    losses: dict[str, list[float]] = {name: [] for name in SCALED}
    for seed in SEEDS:
        for name, (depth, width, side) in SCALED.items():
            runtime.seed(seed)
            model = SmallEfficientNet(depth=depth, width=width)
            history = fit(
                model, reduced(data.train, side), epochs=epochs, batch_size=BATCH, learning_rate=RATE,
                schedule=OneCycle(), augment=[augment.Flip(), augment.Crop(2)], seed=seed, progress=False,
            )  # fmt: skip
            runs[name].append(round(evaluate(model, reduced(data.test, side)).accuracy, 4))
            losses[name].append(history.loss[-1])
            print(seed, name, runs[name][-1], round(history.loss[-1], 3), round(history.seconds, 1), flush=True)
    rows = []
    for name, (depth, width, side) in SCALED.items():
        with torch.device("meta"):
            model = SmallEfficientNet(depth=depth, width=width)
            parameters, work = architecture.totals(architecture.trace(model, (3, side, side)))
        rows.append(
            {
                "scaled": name,
                "depth": depth,
                "width": width,
                "side": side,
                "parameters": parameters,
                "multiply_adds": work,
                "training_loss": round(mean(losses[name]), 3),
                "accuracy": round(mean(runs[name]), 4),
                "std": round(stdev(runs[name]), 4),
                "runs": runs[name],
            }
        )
    path = results.record(
        "compound",
        rows,
        command="python -m benchmarks.compound" + ("" if epochs == EPOCHS else f" --epochs {epochs}"),
        data=f"utils.data.shapes({IMAGES}, 1, 1000, textures={TEXTURES}): {len(data.train):,} training and "
        f"{len(data.test):,} test images of 32×32, reduced to the side of each network",
        seeds=SEEDS,
        note=f"{epochs} epochs, Adam with a one-cycle schedule, peak {RATE}, batch {BATCH}, flips and shifts by up to 2 "
        "pixels; the training loss is the mean of the last epoch.",
    )
    print(f"recorded in {path.name}:\n{results.table(rows)}")


if __name__ == "__main__":
    main()
