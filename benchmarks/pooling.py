"""Does pooling control overfitting? One small network with five ways to shrink its maps, and a GAP head.

Run with ``python -m benchmarks.pooling`` (about four minutes of one core). Every network is trained
on 500 digits until it reads all of them, or nearly all, and is then measured on the 3,000 other
training digits: the distance between the two accuracies is the overfitting. The networks with a
flatten layer differ in nothing but ``shrinking``. Both the digits and the weights change with the
seed, and all networks of one seed see the same digits, so differences are taken seed by seed.

Chapter: pooling. The validation and the test digits of the book are not used here.
"""

from __future__ import annotations

import statistics

import torch
from torch import nn

from utils import results
from utils.data import Images, digits
from utils.runtime import seed as set_seed
from utils.training import evaluate, fit

SEEDS = list(range(8))
TRAINING_IMAGES = 500
SHIFT = 3  # pixels to the right; the digits have an empty margin of four
BASELINE = "none"
# Name: (shrinking, head, learning rate, epochs); the GAP head needs longer until it fits the 500 digits.
NETWORKS = {
    "none": ("none", "flatten", 2e-3, 20),
    "max pooling": ("max pooling", "flatten", 2e-3, 20),
    "average pooling": ("average pooling", "flatten", 2e-3, 20),
    "stride 2": ("stride 2", "flatten", 2e-3, 20),
    "extra stride 2": ("extra 2×2 convolution", "flatten", 2e-3, 20),
    "max pooling, GAP": ("max pooling", "GAP", 1e-2, 120),
}


def network(shrinking: str, head: str) -> nn.Sequential:
    """Return the network: input (N, 1, 28, 28), two convolutions of 16 and 32 channels, logits (N, 10).

    Parameters
    ----------
    shrinking : {"none", "max pooling", "average pooling", "stride 2", "extra 2×2 convolution"}
        How the maps become half as wide and high after each convolution; "none" leaves them at 28×28.
    head : {"flatten", "GAP"}
    """
    layers: list[nn.Module] = []
    before = 1
    for channels in (16, 32):
        stride = 2 if shrinking == "stride 2" else 1
        layers += [nn.Conv2d(before, channels, 3, stride=stride, padding=1), nn.ReLU()]
        if shrinking == "max pooling":
            layers.append(nn.MaxPool2d(2))
        elif shrinking == "average pooling":
            layers.append(nn.AvgPool2d(2))
        elif shrinking == "extra 2×2 convolution":
            layers.append(nn.Conv2d(channels, channels, 2, stride=2))
        before = channels
    side = 28 if shrinking == "none" else 7
    if head == "GAP":
        layers += [nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(32, 10)]
    else:
        layers += [nn.Flatten(), nn.Linear(32 * side * side, 10)]
    return nn.Sequential(*layers)


def shifted(data: Images, pixels: int) -> Images:
    """Return the same digits moved ``pixels`` to the right; their empty margin comes round on the left."""
    return Images(data.images.roll(pixels, dims=3), data.labels, data.classes, data.mean, data.std)


def measure(name: str, seed: int) -> dict[str, float]:
    """Train the named network on 500 digits drawn by ``seed``; return its accuracies in percent."""
    everything = digits().train
    order = torch.randperm(len(everything), generator=torch.Generator().manual_seed(seed))
    train = everything.take(order[:TRAINING_IMAGES]).with_statistics()
    rest = everything.take(order[TRAINING_IMAGES:])
    rest = Images(rest.images, rest.labels, rest.classes, train.mean, train.std)
    shrinking, head, rate, epochs = NETWORKS[name]
    set_seed(seed)
    model = network(shrinking, head)
    fit(model, train, epochs=epochs, batch_size=50, learning_rate=rate, seed=seed, progress=False)
    return {
        "parameters": sum(p.numel() for p in model.parameters()),
        "training": 100 * evaluate(model, train).accuracy,
        "unseen": 100 * evaluate(model, rest).accuracy,
        "shifted": 100 * evaluate(model, shifted(rest, SHIFT)).accuracy,
    }


def summary(runs: dict[str, list[dict[str, float]]]) -> list[dict[str, object]]:
    """Return one row for each network: means over the seeds, and differences with their spread.

    ``gain`` is the accuracy on unseen digits minus that of the network without shrinking, seed by
    seed, and ``wins`` the number of seeds in which it is positive; ``verdict`` calls a mean gain no
    larger than its standard deviation "no difference".
    """
    rows = []
    for name, values in runs.items():
        unseen = [v["unseen"] for v in values]
        gains = [u - b["unseen"] for u, b in zip(unseen, runs[BASELINE], strict=True)]
        gain, spread = statistics.mean(gains), statistics.stdev(gains)
        if name == BASELINE:
            verdict = "baseline"
        else:
            verdict = "no difference" if abs(gain) <= spread else "better" if gain > 0 else "worse"
        rows.append(
            {
                "network": name,
                "parameters": values[0]["parameters"],
                "epochs": NETWORKS[name][3],
                "training": round(statistics.mean(v["training"] for v in values), 2),
                "unseen": round(statistics.mean(unseen), 2),
                "unseen_spread": round(statistics.stdev(unseen), 2),
                "gap": round(statistics.mean(v["training"] - v["unseen"] for v in values), 2),
                "gain": round(gain, 2),
                "spread": round(spread, 2),
                "wins": sum(g > 0 for g in gains),
                "verdict": verdict,
                "shifted": round(statistics.mean(v["shifted"] for v in values), 2),
            }
        )
    return rows


def main() -> None:
    """Train every network for every seed and record the table."""
    torch.set_num_threads(1)
    runs: dict[str, list[dict[str, float]]] = {name: [] for name in NETWORKS}
    for seed in SEEDS:
        for name in NETWORKS:
            runs[name].append(measure(name, seed))
            print(seed, name, {k: round(v, 1) for k, v in runs[name][-1].items()}, flush=True)
    rows = summary(runs)
    path = results.record(
        "pooling",
        rows,
        command="OMP_NUM_THREADS=1 CNN_DEVICE=cpu python -m benchmarks.pooling",
        data=f"{TRAINING_IMAGES} of the 3,500 training digits of utils.data.digits, drawn by seed; measured on "
        f"the other 3,000, in place and moved {SHIFT} pixels to the right",
        seeds=SEEDS,
        note="Accuracies in percent, means over the seeds. Batches of 50, Adam; learning rate 0.002, with GAP 0.01. "
        "Gains over no shrinking are taken seed by seed; spreads are standard deviations over the seeds.",
    )
    print(f"recorded in {path.name}:\n{results.table(rows)}")


if __name__ == "__main__":
    main()
