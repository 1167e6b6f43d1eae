"""Two recipes of MNIST tutorials, measured: ``python -m benchmarks.mnist_recipes``.

The first trains a LeNet with ReLU and maxima (44,426 weights) for 20 epochs with Adam at 0.001; tutorials print
98.92 % for it. The second trains two convolutions of 32 and 64 channels and 128 hidden units (421,642 weights) for
5 epochs, with pixels from −1 to 1 (mean and deviation 0.5), and reports no accuracy at all. Both with batches of 64,
over five seeds, on 3,500 digits of MNIST-5k; on all of MNIST where it can be had. The accuracies after the first
epoch, after the best on the validation digits, and after the last are those of the test digits; a recipe that
looks at nothing but the last epoch gets the last. Writes ``benchmarks/results/mnist_recipes.json``.
"""

from __future__ import annotations

from dataclasses import replace
from statistics import mean, stdev

from torch import nn

from utils import results, runtime
from utils.data import Splits, digits, mnist
from utils.models import LeNet, SimpleCNN
from utils.training import evaluate, fit

SEEDS = list(range(5))
HALF = {"mean": (0.5,), "std": (0.5,)}


def halves(data: Splits) -> Splits:
    """Return the digits with pixels from −1 to 1."""
    return Splits(replace(data.train, **HALF), replace(data.validation, **HALF), replace(data.test, **HALF))


RECIPES = {
    "LeNet, 20 epochs": (LeNet, 20, lambda data: data),
    "SimpleCNN, 5 epochs": (lambda: SimpleCNN(widths=(32, 64)), 5, halves),
}


def run(make, epochs: int, data: Splits, seed: int) -> tuple[float, float, float, int]:
    """Return test accuracy after the first, the best validated and the last epoch, and the number of the best."""
    runtime.seed(seed)
    model: nn.Module = make()
    test: list[float] = []
    history = fit(
        model,
        data.train,
        data.validation,
        epochs=epochs,
        batch_size=64,
        learning_rate=1e-3,
        seed=seed,
        progress=False,
        after_epoch=lambda _, model: test.append(evaluate(model, data.test).accuracy),
    )
    return test[0], test[history.best_epoch - 1], test[-1], history.best_epoch


def main() -> None:
    """Measure both recipes on each set, print and record the table."""
    sets, missing = {"MNIST-5k": digits()}, ""
    try:
        sets["MNIST"] = mnist()
    except FileNotFoundError:
        missing = "MNIST could not be had: its rows are missing"
    rows = []
    for name, data in sets.items():
        for recipe, (make, epochs, prepare) in RECIPES.items():
            runs = [run(make, epochs, prepare(data), seed) for seed in SEEDS]
            first, best, last, when = zip(*runs, strict=True)
            gains = [b - a for a, b in zip(best, last, strict=True)]
            rows.append(
                {
                    "data": name,
                    "recipe": recipe,
                    "first_epoch": mean(first),
                    "best_epoch": mean(best),
                    "last_epoch": mean(last),
                    "std": stdev(last),
                    "last_minus_best": mean(gains),
                    "last_minus_best_std": stdev(gains),
                    "number_of_the_best": mean(when),
                }
            )
            print(results.table(rows), flush=True)
    results.record(
        "mnist_recipes",
        rows,
        command="python -m benchmarks.mnist_recipes",
        data="; ".join(f"{name}: {len(d.train):,} training, {len(d.test):,} test digits" for name, d in sets.items()),
        seeds=SEEDS,
        note=missing,
    )


if __name__ == "__main__":
    main()
