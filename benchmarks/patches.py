"""How many images does a vision transformer want? ``python -m benchmarks.patches``.

A vision transformer of two blocks on 16 patches of 7×7 pixels, and LeNet, learn from 200, 800 and 3,500 digits. The fewer the
images, the more epochs, so that all runs have about 660 steps of 32 images: what differs is how many different images there
are. No augmentation, Adam with a one-cycle schedule, one rate for each network. Three seeds, each judged once on the test digits.

Writes ``benchmarks/results/patches.json``; about two minutes of one core. Chapter: vision_transformer.
"""

from __future__ import annotations

from statistics import mean, stdev

from torch import nn

from utils import architecture, results, runtime
from utils.data import digits
from utils.models import LeNet, VisionTransformer
from utils.training import OneCycle, evaluate, fit

SEEDS = list(range(3))
EPOCHS = {200: 94, 800: 26, 3500: 6}
BATCH = 32


def transformer() -> nn.Module:
    """Return the vision transformer."""
    return VisionTransformer(28, 7, 2, 32, 4, classes=10, in_channels=1, token=False)


NETWORKS = {"ViT": (transformer, 6e-3), "LeNet": (LeNet, 3e-3)}


def main() -> None:
    """Train all, print and record the table."""
    data, rows = digits(), []
    for images, epochs in EPOCHS.items():
        train = data.train.take(slice(0, images))
        for name, (build, rate) in NETWORKS.items():
            runs, losses = [], []
            for seed in SEEDS:
                runtime.seed(seed)
                model = build()
                history = fit(
                    model, train, epochs=epochs, batch_size=BATCH, learning_rate=rate, schedule=OneCycle(), seed=seed,
                    progress=False,
                )  # fmt: skip
                runs.append(round(evaluate(model, data.test).accuracy, 4))
                losses.append(history.loss[-1])
                print(images, name, seed, runs[-1], round(losses[-1], 3), round(history.seconds, 1), flush=True)
            parameters, work = architecture.totals(architecture.trace(build(), (1, 28, 28)))
            rows.append(
                {
                    "images": images,
                    "network": name,
                    "parameters": parameters,
                    "multiply_adds": work,
                    "rate": rate,
                    "training_loss": round(mean(losses), 3),
                    "accuracy": round(mean(runs), 4),
                    "std": round(stdev(runs), 4),
                    "runs": runs,
                }
            )
    path = results.record(
        "patches",
        rows,
        command="python -m benchmarks.patches",
        data="utils.data.digits(): the first images of its training set, 1,000 test images of 28×28",
        seeds=SEEDS,
        note=f"epochs {EPOCHS}, so about 660 steps of {BATCH} images each; Adam with a one-cycle schedule, no augmentation.",
    )
    print(f"recorded in {path.name}:\n{results.table(rows)}")


if __name__ == "__main__":
    main()
