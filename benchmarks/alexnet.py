"""What did the parts of AlexNet contribute? ``python -m benchmarks.alexnet``, a few minutes of one core.

One small network for 28×28 digits, two convolutions and two dense layers, plain: ReLU, pooling windows of 2 that do not
overlap, no dropout, no response norm, no augmentation. Each part of 2012 is added to it by itself. Training digits and
weights change with the seed, and all variants of one seed see the same digits, so gains are taken seed by seed, on the
3,000 training digits that no run was trained on; the validation and test digits of the book are not used.

Speed is compared as in figure 1 of the paper: without regularisation, each activation with the constant learning rate
of four that gets there first; the measure is the number of steps until the mean loss of ten batches is below 0.5.

Writes ``benchmarks/results/alexnet.json``. Chapter: AlexNet.
"""

from __future__ import annotations

from dataclasses import replace
from statistics import mean, stdev

import torch
from torch import nn

from utils import results, runtime
from utils.data import digits
from utils.data.augment import Crop, Step
from utils.training import History, OneCycle, evaluate, fit

SEEDS = list(range(5))
STEPS = 600  # of 32 digits, for every variant and number of digits
RATES = (1e-3, 2e-3, 4e-3, 8e-3)  # constant, for the comparison of speed
UNSEEN = 3000
# Name: what is added to the plain network.
VARIANTS: dict[str, dict] = {
    "plain": {},
    "tanh for ReLU": {"activation": nn.Tanh},
    "overlapping windows": {"overlap": True},
    "response norm": {"response": True},
    "dropout": {"dropout": 0.5},
    "shifts": {"augment": (Crop(2),)},
}


def network(
    activation: type[nn.Module] = nn.ReLU, *, overlap: bool = False, response: bool = False, dropout: float = 0.0
) -> nn.Sequential:
    """Return the network: input (N, 1, 28, 28), logits (N, 10); maps of 14×14 and 7×7 with either pooling."""
    layers: list[nn.Module] = []
    for inputs, kernels in ((1, 8), (8, 16)):
        layers += [nn.Conv2d(inputs, kernels, 5, padding=2), activation()]
        # The paper's constants; PyTorch divides α by the five maps.
        layers += [nn.LocalResponseNorm(5, alpha=5e-4, beta=0.75, k=2.0)] if response else []
        layers.append(nn.MaxPool2d(3, stride=2, padding=1) if overlap else nn.MaxPool2d(2))
    layers += [nn.Flatten(), nn.Linear(16 * 7 * 7, 128), activation(), nn.Dropout(dropout), nn.Linear(128, 10)]
    return nn.Sequential(*layers)


def run(
    images: int,
    seed: int,
    *,
    steps: int = STEPS,
    rate: float = 2e-3,
    schedule: OneCycle | None = OneCycle(),  # noqa: B008 (it holds no state)
    augment: tuple[Step, ...] = (),
    **parts,
) -> tuple[History, float]:
    """Train one variant on ``images`` digits drawn by ``seed``; return its history and its accuracy on unseen ones."""
    everything = digits().train
    order = torch.randperm(len(everything), generator=torch.Generator().manual_seed(seed))
    train = everything.take(order[:images]).with_statistics()
    rest = replace(everything.take(order[-UNSEEN:]), mean=train.mean, std=train.std)
    runtime.seed(seed)
    model = network(**parts)
    epochs = max(1, round(steps * 32 / images))
    history = fit(
        model, train, epochs=epochs, batch_size=32, learning_rate=rate, schedule=schedule, augment=augment,
        seed=seed, progress=False,
    )  # fmt: skip
    return history, evaluate(model, rest).accuracy


def first_below(losses: list[float], level: float = 0.5, window: int = 10) -> int:
    """Return the number of steps until the mean of the last ``window`` losses is below ``level``; all if it never is."""
    for step in range(window, len(losses) + 1):
        if mean(losses[step - window : step]) < level:
            return step
    return len(losses)


def speed() -> list[dict]:
    """Return one row for each activation: the steps that it takes, at its best rate."""
    rows = []
    for name, activation in (("ReLU", nn.ReLU), ("tanh", nn.Tanh)):
        steps = {
            rate: [
                first_below(run(500, seed, steps=150, rate=rate, schedule=None, activation=activation)[0].step_loss)
                for seed in SEEDS
            ]
            for rate in RATES
        }
        rate = min(steps, key=lambda r: mean(steps[r]))
        rows.append(
            {
                "part": "speed",
                "variant": name,
                "images": 500,
                "value": round(mean(steps[rate]), 1),
                "std": round(stdev(steps[rate]), 1),
                "rate": rate,
                "runs": steps[rate],
            }
        )
        print(rows[-1], flush=True)
    return rows


def accuracy(images: int) -> list[dict]:
    """Return one row for each variant: accuracy on unseen digits, and the gain over the plain network."""
    rows, plain = [], []
    for name, parts in VARIANTS.items():
        runs = [run(images, seed, **parts)[1] for seed in SEEDS]
        plain = plain or runs
        gains = [a - b for a, b in zip(runs, plain, strict=True)]
        row = {
            "part": "accuracy",
            "variant": name,
            "images": images,
            "value": round(mean(runs), 4),
            "std": round(stdev(runs), 4),
            "gain": round(mean(gains), 4),
            "spread": round(stdev(gains), 4),
            "verdict": "",
            "runs": [round(r, 4) for r in runs],
        }
        if name != "plain":
            small = abs(row["gain"]) <= row["spread"]
            row["verdict"] = "no difference" if small else "better" if row["gain"] > 0 else "worse"
        rows.append(row)
        print(row, flush=True)
    return rows


def main() -> None:
    """Measure everything and record it."""
    torch.set_num_threads(1)
    rows = [*speed(), *accuracy(200), *accuracy(500)]
    keys = ["part", "variant", "images", "value", "std", "rate", "gain", "spread", "verdict", "runs"]
    path = results.record(
        "alexnet",
        [{key: row.get(key) for key in keys} for row in rows],
        command="python -m benchmarks.alexnet",
        data="digits of the training set, 200 or 500 to train on and 3,000 others to measure",
        seeds=SEEDS,
        note=f"{STEPS} steps of 32 digits, Adam with a one-cycle schedule to 2e-3 unless another rate is given; "
        "for the speed 150 steps at a constant rate.",
    )
    print(f"recorded in {path.name}")


if __name__ == "__main__":
    main()
