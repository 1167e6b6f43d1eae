"""Batch norm, initialisation, dropout, weight decay, label smoothing: what each brings, over paired seeds.

Run with ``python -m benchmarks.normalization`` (about eight minutes of one core). For every recipe the learning rate is
chosen by the mean validation accuracy of four seeds of its own; then eight other seeds are trained with it and
tested. A seed draws the training digits, the weights and the order of the batches, the same for all recipes, so
that differences are taken seed by seed. Writes ``benchmarks/results/normalization.json`` and, for batch norm and
group norm with small batches, ``normalization_batches.json``.

Chapter: normalization.
"""

from __future__ import annotations

import statistics
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cache, partial

import torch
from torch import nn
from torch.nn import functional as F

from utils import results
from utils.data import Images, Splits, digits
from utils.models.deep_cnn import DeepCNN
from utils.runtime import seed as set_seed
from utils.training import OneCycle, evaluate, fit

SEEDS = list(range(8))
CHOOSING = [100, 101, 102, 103]  # seeds that choose the learning rate, and are not counted
RATES = (0.01, 0.03, 0.1, 0.3)
IMAGES, EPOCHS, BATCH = 500, 16, 50
SIZES, SIZES_RATES, SIZES_EPOCHS = (2, 8, 50), (0.003, 0.01, 0.03, 0.1), 6


def group_norm(channels: int) -> nn.GroupNorm:
    """Return a group norm of four groups."""
    return nn.GroupNorm(4, channels)


def he(model: nn.Module) -> nn.Module:
    """Draw the convolutions' weights anew as He et al. (2015) do, biases 0."""
    for layer in model.modules():
        if isinstance(layer, nn.Conv2d):
            nn.init.kaiming_normal_(layer.weight, nonlinearity="relu")
            if layer.bias is not None:
                nn.init.zeros_(layer.bias)
    return model


def deep(**options: object) -> nn.Module:
    """Return DeepCNN for digits, narrow enough for a CPU: 8 and 16 channels."""
    return DeepCNN(1, 8, 10, **options)


def shallow(norm: Callable[[int], nn.Module] | None) -> nn.Module:
    """Return the network of 32 and 64 channels with one dense layer, for digits, with or without norms."""

    def block(inputs: int, outputs: int) -> list[nn.Module]:
        norms = [norm(outputs)] if norm else []
        return [nn.Conv2d(inputs, outputs, 3, padding=1, bias=not norm), *norms, nn.ReLU(), nn.MaxPool2d(2)]

    return nn.Sequential(*block(1, 32), *block(32, 64), nn.Flatten(), nn.Linear(64 * 3 * 3, 10))


@dataclass(frozen=True)
class Recipe:
    """How one network is made and trained; the learning rate is chosen."""

    network: str
    name: str
    build: Callable[[], nn.Module]
    decay: float = 0.0
    loss: Callable[..., torch.Tensor] = F.cross_entropy
    epochs: int = EPOCHS


RECIPES = [
    Recipe("DeepCNN", "plain", lambda: deep(norm=None)),
    Recipe("DeepCNN", "plain, He", lambda: he(deep(norm=None))),
    Recipe("DeepCNN", "plain, He, 3 × the epochs", lambda: he(deep(norm=None)), epochs=3 * EPOCHS),
    Recipe("DeepCNN", "batch norm", deep),
    Recipe("DeepCNN", "batch norm, He", lambda: he(deep())),
    Recipe("DeepCNN", "batch norm, dropout 0.2", lambda: deep(dropout=0.2)),
    Recipe("DeepCNN", "batch norm, weight decay 0.005", deep, decay=5e-3),
    Recipe("DeepCNN", "batch norm, label smoothing 0.1", deep, loss=partial(F.cross_entropy, label_smoothing=0.1)),
    Recipe("DeepCNN", "group norm", lambda: deep(norm=group_norm)),
    Recipe("two layers", "plain", lambda: shallow(None), epochs=EPOCHS // 2),
    Recipe("two layers", "batch norm", lambda: shallow(nn.BatchNorm2d), epochs=EPOCHS // 2),
]


@cache
def small_digits() -> Splits:
    """Return the digits at 14×14 pixels, means of 2×2, so that a run takes a second or two."""

    def half(data: Images) -> Images:
        return replace(data, images=F.avg_pool2d(data.images.float(), 2).round().byte())

    data = digits()
    return Splits(half(data.train), half(data.validation), half(data.test))


def drawn(seed: int) -> Images:
    """Return the training digits of one seed."""
    everything = small_digits().train
    order = torch.randperm(len(everything), generator=torch.Generator().manual_seed(seed))
    return everything.take(order[:IMAGES])


def train(recipe: Recipe, rate: float, seed: int, batch: int = BATCH) -> nn.Module | None:
    """Return the trained network, or None when its loss became NaN."""
    set_seed(seed)
    model = recipe.build()
    optimizer = torch.optim.SGD(model.parameters(), lr=rate, momentum=0.9, weight_decay=recipe.decay)
    try:
        fit(
            model,
            drawn(seed),
            epochs=recipe.epochs,
            batch_size=batch,
            optimizer=optimizer,
            schedule=OneCycle(),
            loss=recipe.loss,
            seed=seed,
            progress=False,
        )
    except FloatingPointError:
        return None
    return model


def percent(model: nn.Module | None, data: Images) -> float:
    """Return the accuracy in percent; of a network that diverged, that of guessing."""
    return 10.0 if model is None else 100 * evaluate(model, data).accuracy


def choose(recipe: Recipe, rates: tuple[float, ...] = RATES, batch: int = BATCH) -> dict[float, float]:
    """Return the mean validation accuracy, in percent, for each learning rate."""
    validation = small_digits().validation
    return {
        rate: statistics.mean(percent(train(recipe, rate, seed, batch), validation) for seed in CHOOSING)
        for rate in rates
    }


def recipes() -> list[dict[str, object]]:
    """Return one row for each recipe."""
    rows, accuracies, chosen = [], {}, {}
    for recipe in RECIPES:
        key, single = (recipe.network, recipe.name), replace(recipe, epochs=EPOCHS)
        longer = recipe.epochs > EPOCHS  # three times as long, with the learning rate of the shorter run
        found = chosen[recipe.network, "plain, He"] if longer else choose(recipe)
        chosen[key] = found
        rate = max(found, key=found.get)
        models = [train(recipe, rate, seed) for seed in SEEDS]
        accuracies[key] = [percent(model, small_digits().test) for model in models]
        known = [percent(model, drawn(seed)) for model, seed in zip(models, SEEDS, strict=True)]
        rows.append(
            {
                "network": recipe.network,
                "recipe": recipe.name,
                "parameters": sum(p.numel() for p in single.build().parameters()),
                "learning_rate": rate,
                "validation_by_rate": {} if longer else {str(r): round(v, 1) for r, v in found.items()},
                "training": round(statistics.mean(known), 1),
                "test": round(statistics.mean(accuracies[key]), 2),
                "std": round(statistics.stdev(accuracies[key]), 2),
                "accuracies": [round(v, 1) for v in accuracies[key]],
            }
        )
        print(rows[-1], flush=True)
    for row in rows:
        base = accuracies[row["network"], "batch norm"]
        differences = [a - b for a, b in zip(accuracies[row["network"], row["recipe"]], base, strict=True)]
        row["against_batch_norm"] = round(statistics.mean(differences), 2)
        row["spread"] = round(statistics.stdev(differences), 2)
    return rows


def batches() -> list[dict[str, object]]:
    """Return one row for each batch size: batch norm against group norm, each with its own learning rate."""
    rows = []
    for size in SIZES:
        scores, rates = {}, {}
        for recipe in (r for r in RECIPES if r.network == "DeepCNN" and r.name in ("batch norm", "group norm")):
            short = replace(recipe, epochs=SIZES_EPOCHS)
            found = choose(short, SIZES_RATES, size)
            rates[recipe.name] = max(found, key=found.get)
            models = [train(short, rates[recipe.name], seed, size) for seed in SEEDS]
            scores[recipe.name] = [percent(model, small_digits().test) for model in models]
        differences = [b - g for b, g in zip(scores["batch norm"], scores["group norm"], strict=True)]
        rows.append(
            {
                "batch": size,
                "batch_norm": round(statistics.mean(scores["batch norm"]), 2),
                "group_norm": round(statistics.mean(scores["group norm"]), 2),
                "difference": round(statistics.mean(differences), 2),
                "spread": round(statistics.stdev(differences), 2),
                "rates": list(rates.values()),
            }
        )
        print(rows[-1], flush=True)
    return rows


def main() -> None:
    """Choose, train, test, record."""
    torch.set_num_threads(1)
    about = {
        "command": "OMP_NUM_THREADS=1 CNN_DEVICE=cpu python -m benchmarks.normalization",
        "data": f"{IMAGES} of the 3,500 training digits of utils.data.digits at 14×14 pixels, drawn by seed; 500 for "
        "validation, 1,000 for the test",
        "seeds": SEEDS,
    }
    note = (
        f"Accuracies in percent, means over the seeds. SGD with momentum 0.9, one-cycle schedule, batches of {BATCH}, "
        f"{EPOCHS} epochs ({EPOCHS // 2} for the network of two layers). Learning rate chosen from "
        f"{', '.join(map(str, RATES))} by the mean validation accuracy of four other seeds. Differences are taken seed "
        "by seed; the spread is their standard deviation."
    )
    results.record("normalization", recipes(), note=note, **about)
    small = (
        f"Accuracies on the test digits in percent, means over the seeds. DeepCNN of 8 and 16 channels, "
        f"{SIZES_EPOCHS} epochs, SGD with momentum 0.9, one-cycle schedule, learning rate chosen for each from "
        f"{', '.join(map(str, SIZES_RATES))} as in the other table. "
        "Difference: batch norm minus group norm, seed by seed, and its standard deviation."
    )
    results.record("normalization_batches", batches(), note=small, **about)


if __name__ == "__main__":
    main()
