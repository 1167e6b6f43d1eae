"""What is locality worth? A dense network and a CNN on digits, and on digits with all pixels permuted.

Run with ``python -m benchmarks.images`` (under a minute of one core). One permutation of the 784 pixels
is drawn per seed and applied to every image, of training and of measurement alike, so no pixel value is
lost and all images stay comparable; only the neighbourhoods are gone. Training digits, weights, order of
the batches and permutation change with the seed, and the four runs of one seed share all of them, so
differences are taken seed by seed.

Chapter: images as numbers. The validation and the test digits of the book are not used here.
"""

from __future__ import annotations

import statistics
from dataclasses import replace

import torch
from torch import nn

from utils import results
from utils.data import Images, digits
from utils.runtime import seed as set_seed
from utils.training import evaluate, fit

SEEDS = list(range(8))
TRAINING_IMAGES = 1500
EPOCHS = 12
NETWORKS = ("dense network", "CNN")
PICTURES = ("as they are", "permuted")


def network(name: str) -> nn.Sequential:
    """Return a network from digits (N, 1, 28, 28) to logits (N, 10), of about 51,000 parameters either way."""
    if name == "dense network":
        return nn.Sequential(nn.Flatten(), nn.Linear(784, 65), nn.ReLU(), nn.Linear(65, 10))
    return nn.Sequential(
        nn.Conv2d(1, 8, 5),  # 8×24×24
        nn.ReLU(),
        nn.MaxPool2d(2),  # 8×12×12
        nn.Conv2d(8, 16, 5),  # 16×8×8
        nn.ReLU(),
        nn.MaxPool2d(2),  # 16×4×4
        nn.Flatten(),
        nn.Linear(256, 178),
        nn.ReLU(),
        nn.Linear(178, 10),
    )


def permuted(data: Images, order: torch.Tensor) -> Images:
    """Return the same images with pixel ``order[i]`` at place ``i``; ``order`` is a permutation of H·W numbers."""
    images = data.images.flatten(2)[:, :, order].view(data.images.shape)
    return replace(data, images=images)


def measure(seed: int) -> dict[tuple[str, str], float]:
    """Return the accuracy, in percent, of every network on every kind of picture, for one seed."""
    everything = digits().train
    generator = torch.Generator().manual_seed(seed)
    draw = torch.randperm(len(everything), generator=generator)
    train = everything.take(draw[:TRAINING_IMAGES]).with_statistics()
    rest = replace(everything.take(draw[TRAINING_IMAGES:]), mean=train.mean, std=train.std)
    order = torch.randperm(784, generator=generator)
    found = {}
    for name in NETWORKS:
        for pictures in PICTURES:
            known, new = (train, rest) if pictures == "as they are" else (permuted(d, order) for d in (train, rest))
            set_seed(seed)
            model = network(name)
            fit(model, known, epochs=EPOCHS, batch_size=50, learning_rate=1e-3, seed=seed, progress=False)
            found[name, pictures] = 100 * evaluate(model, new).accuracy
    return found


def summary(runs: list[dict[tuple[str, str], float]]) -> list[dict[str, object]]:
    """Return one row for each network: means and standard deviations over the seeds, in percent.

    ``loss`` is what the permutation costs, taken seed by seed; ``largest`` and ``smallest`` are its extremes.
    """
    rows = []
    for name in NETWORKS:
        plain = [run[name, "as they are"] for run in runs]
        mixed = [run[name, "permuted"] for run in runs]
        losses = [a - b for a, b in zip(plain, mixed, strict=True)]
        rows.append(
            {
                "network": name,
                "parameters": sum(p.numel() for p in network(name).parameters()),
                "as_they_are": round(statistics.mean(plain), 2),
                "permuted": round(statistics.mean(mixed), 2),
                "loss": round(statistics.mean(losses), 2),
                "spread": round(statistics.stdev(losses), 2),
                "smallest": round(min(losses), 2),
                "largest": round(max(losses), 2),
            }
        )
    return rows


def main() -> None:
    """Train every network for every seed and record the table."""
    torch.set_num_threads(1)
    runs = []
    for seed in SEEDS:
        runs.append(measure(seed))
        print(seed, {" ".join(k): round(v, 1) for k, v in runs[-1].items()}, flush=True)
    rows = summary(runs)
    gaps = {p: [run["CNN", p] - run["dense network", p] for run in runs] for p in PICTURES}
    for pictures, values in gaps.items():
        print(f"CNN minus dense network, {pictures}: {min(values):.2f} to {max(values):.2f}")
    path = results.record(
        "images",
        rows,
        command="OMP_NUM_THREADS=1 CNN_DEVICE=cpu python -m benchmarks.images",
        data=f"{TRAINING_IMAGES:,} of the 3,500 training digits of utils.data.digits, drawn by seed; measured on the "
        f"other {3500 - TRAINING_IMAGES:,}",
        seeds=SEEDS,
        note=f"Accuracies in percent, means over the seeds. {EPOCHS} epochs, batches of 50, Adam with learning rate "
        "0.001. The loss is accuracy as they are minus accuracy permuted, taken seed by seed; its spread is the "
        "standard deviation over the seeds.",
    )
    print(f"recorded in {path.name}:\n{results.table(rows)}")


if __name__ == "__main__":
    main()
