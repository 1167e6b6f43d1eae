"""A small residual network turned into the small ConvNeXt, step by step: ``python -m benchmarks.modernising``.

Five networks of about 10 million multiply-adds each, from ``CifarResNet(8, 14)`` to ``SmallConvNeXt``, on 2,000 images
of shapes, 32×32, cut from two photographs: six epochs of Adam with a one-cycle schedule, batches of 64, mirror images
and shifts; three seeds, each judged once on the test images. One peak rate for all, as in the paper: the one that is best
of three for both ends in ``benchmarks.architectures``.

Writes ``benchmarks/results/modernising.json``; about 5 minutes of one core.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from statistics import mean, stdev

import torch
from torch import nn

from utils import architecture, models, results, runtime
from utils.data import Splits, augment, shapes
from utils.models.convnext import RoadmapBlock
from utils.training import OneCycle, evaluate, fit

SEEDS = [0, 1, 2]
IMAGES, EPOCHS, BATCH = 2000, 6, 64
RATE = 1e-2
TEXTURES = ("moon", "brick")


class Between(nn.Module):
    """(N, 3, 32, 32) → logits (N, 10): patches of 2×2 and stages of 1, 2 and 1 blocks, with the options of the block."""

    def __init__(self, width: int, inverted: bool, **options: object) -> None:
        super().__init__()
        layers: list[nn.Module] = [nn.Conv2d(3, width, 2, stride=2)]
        inputs = width
        for stage, depth in enumerate((1, 2, 1)):
            hidden, outputs = (4 * width, width) if inverted else (width, 4 * width)
            for number in range(depth):
                stride = 2 if stage and number == 0 else 1
                layers.append(RoadmapBlock(inputs, hidden, outputs, stride, **options))
                inputs = outputs
            width *= 2
        self.features = nn.Sequential(*layers)
        self.head = nn.Linear(inputs, 10)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.head(self.features(x).mean((2, 3)))


LARGE = {"first": True, "depthwise": True, "kernel": 7}
FEWER = {"activation": nn.GELU, "few_activations": True, "few_norms": True}
STEPS: dict[str, Callable[[], nn.Module]] = {
    "residual network": lambda: models.CifarResNet(8, width=14),
    "patches, bottlenecks": lambda: Between(20, inverted=False),
    "inverted, depthwise 7×7": lambda: Between(32, inverted=True, **LARGE),
    "GELU, fewer activations and norms": lambda: Between(32, inverted=True, **LARGE, **FEWER),
    "layer norm, own downsampling": models.SmallConvNeXt,
}


def trained(build: Callable[[], nn.Module], data: Splits, seed: int, epochs: int) -> nn.Module:
    """Return a trained network."""
    runtime.seed(seed)
    model = build()
    fit(
        model, data.train, epochs=epochs, batch_size=BATCH, learning_rate=RATE, schedule=OneCycle(),
        augment=[augment.Flip(), augment.Crop(4)], seed=seed, progress=False,
    )  # fmt: skip
    return model


def main() -> None:
    """Train all, print and record the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--epochs", type=int, default=EPOCHS, help=f"fewer than {EPOCHS} only to try it out")
    epochs = parser.parse_args().epochs
    data = shapes(IMAGES, 1000, 1000, textures=TEXTURES)
    rows = []
    for name, build in STEPS.items():
        runs = []
        for seed in SEEDS:
            runs.append(round(evaluate(trained(build, data, seed, epochs), data.test).accuracy, 4))
            print(name, seed, runs[-1], flush=True)
        parameters, work = architecture.totals(architecture.trace(build(), (3, 32, 32)))
        rows.append(
            {
                "network": name,
                "parameters": parameters,
                "multiply_adds": work,
                "accuracy": round(mean(runs), 4),
                "std": round(stdev(runs), 4),
                "runs": runs,
            }
        )
    path = results.record(
        "modernising",
        rows,
        command="python -m benchmarks.modernising" + ("" if epochs == EPOCHS else f" --epochs {epochs}"),
        data=f"utils.data.shapes({IMAGES}, 1000, 1000, textures={TEXTURES}): {len(data.train):,} training, "
        f"{len(data.validation):,} validation, {len(data.test):,} test images of 32×32",
        seeds=SEEDS,
        note=f"{epochs} epochs, Adam with a one-cycle schedule and a peak rate of {RATE} for all, batch {BATCH}, flips and "
        "shifts by up to 4 pixels.",
    )
    print(f"recorded in {path.name}:\n{results.table(rows)}")


if __name__ == "__main__":
    main()
