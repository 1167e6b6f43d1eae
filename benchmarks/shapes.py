"""What the data set ``shapes`` tells apart: ``python -m benchmarks.shapes``.

A linear model, LeNet and a small residual network on 8,000 images of shapes, three seeds each. A data set on which
all three do the same would teach nothing about networks. Writes ``benchmarks/results/shapes.json``; a few minutes.
"""

from __future__ import annotations

from statistics import mean, stdev

from torch import nn

from benchmarks.cifar10 import Recipe
from utils import results, runtime
from utils.data import Splits, shapes
from utils.models import LeNet
from utils.training import History, evaluate, fit

SEEDS = list(range(3))
RESIDUAL = Recipe(widths=(16, 32, 64), whitened=False, epochs=10, batch=128)


def linear(data: Splits, seed: int) -> tuple[nn.Module, History]:
    """Train a dense layer on the 3,072 pixel values."""
    model = nn.Sequential(nn.Flatten(), nn.Linear(3 * 32 * 32, 10))
    return model, fit(model, data.train, epochs=10, learning_rate=1e-3, seed=seed, progress=False)


def lenet(data: Splits, seed: int) -> tuple[nn.Module, History]:
    """Train LeNet with Adam."""
    model = LeNet(32, 3, 10)
    return model, fit(model, data.train, epochs=15, batch_size=50, learning_rate=2e-3, seed=seed, progress=False)


def residual(data: Splits, seed: int) -> tuple[nn.Module, History]:
    """Train six convolutions with batch norm and skips by the recipe of the CIFAR-10 project."""
    model = RESIDUAL.model(data.train, seed)
    return model, RESIDUAL.fit(model, data.train, seed)


def main() -> None:
    """Train all, print and record the table."""
    data, rows = shapes(), []
    for name, train in {"linear": linear, "LeNet": lenet, "small residual network": residual}.items():
        accuracies, seconds, count = [], [], 0
        for seed in SEEDS:
            runtime.seed(seed)
            model, history = train(data, seed)
            accuracies.append(evaluate(model, data.test).accuracy)
            seconds.append(history.seconds)
            count = sum(p.numel() for p in model.parameters())
        row = {"network": name, "parameters": count, "epochs": history.epochs, "accuracy": mean(accuracies)}
        rows.append(row | {"std": stdev(accuracies), "seconds": mean(seconds)})
        print(results.table(rows), flush=True)
    results.record(
        "shapes",
        rows,
        command="python -m benchmarks.shapes",
        data=f"utils.data.shapes(): {len(data.train):,} training, {len(data.test):,} test images",
        seeds=SEEDS,
    )


if __name__ == "__main__":
    main()
