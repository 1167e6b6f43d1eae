"""Which kernel size is right? Inception blocks against blocks of one kernel: ``python -m benchmarks.branches``.

``SmallGoogLeNet`` with its four branches, and three times with every block replaced by a reduction and one convolution of
1×1, 3×3 or 5×5. The replaced blocks have as many channels in and out, and the width of the reduction is chosen so that
the multiply-adds are as near as they can be to those of the block. The task is that of the chapter: 2,000 images of shapes
cut from two photographs, four epochs; one recipe for all, chosen for none. Five seeds, accuracy on validation images.

Writes ``benchmarks/results/branches.json``; about four minutes of one core. Chapter: GoogLeNet.
"""

from __future__ import annotations

from statistics import mean, stdev

import torch
from torch import nn

from utils import architecture, results, runtime
from utils.data import shapes
from utils.models.googlenet import ConvUnit, Inception, SmallGoogLeNet
from utils.training import OneCycle, evaluate, fit

SEEDS = list(range(5))
IMAGES, EPOCHS, RATE, BATCH = 2000, 4, 3e-3, 32
TEXTURES = ("moon", "brick")


def one_kernel(block: Inception, kernel: int) -> nn.Sequential:
    """Return a 1×1 reduction and a convolution, as wide and as costly as the block: (N, C, H, W) → (N, outputs, H, W)."""
    weights = [layer.weight for layer in block.modules() if isinstance(layer, nn.Conv2d)]
    inputs, budget = weights[0].shape[1], sum(weight.numel() for weight in weights)
    width = round(budget / (inputs + block.outputs * kernel**2))
    return nn.Sequential(ConvUnit(inputs, width, 1), ConvUnit(width, block.outputs, kernel))


def network(kernel: int | None) -> SmallGoogLeNet:
    """Return the network with its blocks (None) or with those of one kernel."""
    model = SmallGoogLeNet()
    if kernel is not None:
        for stage in (model.stage1, model.stage2):
            for number in (0, 1):
                stage[number] = one_kernel(stage[number], kernel)
    return model.to(memory_format=torch.channels_last)


NETWORKS = {"1×1 alone": 1, "3×3 alone": 3, "5×5 alone": 5, "four branches": None}


def measure(seed: int) -> dict[str, float]:
    """Train each network with this seed; return the accuracies by name."""
    data, found = shapes(IMAGES, 1000, 1000, textures=TEXTURES), {}
    for name, kernel in NETWORKS.items():
        runtime.seed(seed)
        model = network(kernel)
        settings = {"epochs": EPOCHS, "batch_size": BATCH, "learning_rate": RATE, "schedule": OneCycle(), "seed": seed}
        history = fit(model, data.train, progress=False, **settings)
        found[name] = round(evaluate(model, data.validation).accuracy, 4)
        print(seed, name, found[name], round(history.seconds, 1), flush=True)
    return found


def main() -> None:
    """Train all, print and record the table."""
    record([measure(seed) for seed in SEEDS])


def record(runs: list[dict[str, float]]) -> None:
    """Write and print the table; ``runs`` holds the accuracies of each seed."""
    rows = []
    for name, kernel in NETWORKS.items():
        parameters, work = architecture.totals(architecture.trace(network(kernel), (3, 32, 32)))
        found = [run[name] for run in runs]
        spread = {"accuracy": round(mean(found), 4), "std": round(stdev(found), 4), "runs": found}
        rows.append({"network": name, "parameters": parameters, "multiply_adds": work, **spread})
    path = results.record(
        "branches",
        rows,
        command="python -m benchmarks.branches",
        data=f"utils.data.shapes({IMAGES}, 1000, 1000, textures={TEXTURES}): {IMAGES:,} training, 1,000 validation images",
        seeds=SEEDS,
        note=f"{EPOCHS} epochs, Adam with a one-cycle schedule to {RATE}, batch {BATCH}, no augmentation.",
    )
    print(f"recorded in {path.name}:\n{results.table(rows)}")


if __name__ == "__main__":
    main()
