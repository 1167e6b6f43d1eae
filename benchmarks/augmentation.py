"""What is augmentation worth? One small CNN on 200, 1,000 and 4,000 pictures, each augmentation alone and three together.

Run with ``python -m benchmarks.augmentation`` (about nine minutes of one core). Every run takes the same number of
steps, whatever the number of pictures, so the work is the same and only the variety differs. The training pictures,
the first weights and the order of the batches change with the seed, and all runs of one seed and size share them, so
gains are taken seed by seed. Which augmentations go together was chosen on the validation pictures of another seed;
the accuracies are of the test pictures.

Chapter: data. The last rows train four times as long on 4,000 pictures, with and without augmentation.
"""

from __future__ import annotations

import statistics
from dataclasses import replace

import torch
from torch import nn

from utils import results
from utils.data import Images, shapes
from utils.data.augment import Colour, Crop, CutMix, Erase, Flip, MixUp, Rotate, Step
from utils.runtime import seed as set_seed
from utils.training import OneCycle, evaluate, fit

SEEDS = list(range(5))
SIZES = (200, 1000, 4000)
STEPS, LONG, BATCH = 400, 1600, 50
RATE = 5e-3
SIDE = 24
TEXTURES = ("moon", "brick")

AUGMENTATIONS: dict[str, list[Step]] = {
    "none": [],
    "flip": [Flip()],
    "crop": [Crop(4)],
    "rotate": [Rotate(20)],
    "colour": [Colour()],
    "erase": [Erase()],
    "mixup": [MixUp(10)],
    "cutmix": [CutMix(10)],
    "flip, crop, rotate": [Flip(), Crop(4), Rotate(20)],
}
TOGETHER = "flip, crop, rotate"


def network() -> nn.Sequential:
    """Return a network from pictures (N, 3, 24, 24) to logits (N, 10), of 5,546 parameters."""
    return nn.Sequential(
        nn.Conv2d(3, 8, 5, padding=2),
        nn.ReLU(),
        nn.MaxPool2d(2),  # 8×12×12
        nn.Conv2d(8, 16, 3, padding=1),
        nn.ReLU(),
        nn.MaxPool2d(2),  # 16×6×6
        nn.Conv2d(16, 16, 3, padding=1),
        nn.ReLU(),
        nn.MaxPool2d(2),  # 16×3×3
        nn.Flatten(),
        nn.Linear(16 * 9, 10),
    )


def accuracy(train: Images, new: Images, steps: list[Step], seed: int, number: int) -> float:
    """Return the accuracy on ``new``, in percent, after ``number`` gradient steps on ``train``."""
    set_seed(seed)
    model = network()
    fit(
        model,
        train,
        epochs=number * BATCH // len(train),
        batch_size=BATCH,
        learning_rate=RATE,
        schedule=OneCycle(),
        augment=steps,
        seed=seed,
        progress=False,
    )
    return 100 * evaluate(model, new).accuracy


def measure(seed: int) -> dict[tuple[int, int, str], float]:
    """Return the accuracy for every (pictures, steps, augmentation), for one seed."""
    data = shapes(8000, 100, 2000, size=SIDE, textures=TEXTURES)
    draw = torch.randperm(len(data.train), generator=torch.Generator().manual_seed(seed))
    found = {}
    for size in SIZES:
        train = data.train.take(draw[:size]).with_statistics()
        test = replace(data.test, mean=train.mean, std=train.std)
        for name, steps in AUGMENTATIONS.items():
            found[size, STEPS, name] = accuracy(train, test, steps, seed, STEPS)
    for name in ("none", TOGETHER):
        found[SIZES[-1], LONG, name] = accuracy(train, test, AUGMENTATIONS[name], seed, LONG)
    return found


def summary(runs: list[dict[tuple[int, int, str], float]]) -> list[dict[str, object]]:
    """Return one row for each setting: mean accuracy, and mean and standard deviation of the gain over ``none``."""
    rows = []
    for size, steps, name in runs[0]:
        values = [run[size, steps, name] for run in runs]
        gains = [run[size, steps, name] - run[size, steps, "none"] for run in runs]
        rows.append(
            {
                "pictures": size,
                "steps": steps,
                "augmentation": name,
                "accuracy": round(statistics.mean(values), 2),
                "gain": round(statistics.mean(gains), 2),
                "spread": round(statistics.stdev(gains), 2),
                "accuracies": [round(value, 2) for value in values],
            }
        )
    return rows


def main() -> None:
    """Train every setting for every seed and record the table."""
    torch.set_num_threads(1)
    runs = []
    for seed in SEEDS:
        runs.append(measure(seed))
        print(seed, {" ".join(map(str, k)): round(v, 1) for k, v in runs[-1].items()}, flush=True)
    rows = summary(runs)
    path = results.record(
        "augmentation",
        rows,
        command="OMP_NUM_THREADS=1 CNN_DEVICE=cpu python -m benchmarks.augmentation",
        data=f"utils.data.shapes at {SIDE}×{SIDE} from the photographs {' and '.join(TEXTURES)}: training pictures drawn "
        "by seed from 8,000; measured on 2,000 test pictures, cut from other parts of the photographs",
        seeds=SEEDS,
        note=f"Accuracies in percent, means over the seeds. A CNN of {sum(p.numel() for p in network().parameters()):,} "
        f"parameters, batches of {BATCH}, Adam with one cycle up to {RATE}. The gain is accuracy minus accuracy without "
        "augmentation, taken seed by seed; its spread is the standard deviation over the seeds.",
    )
    print(f"recorded in {path.name}:\n{results.table(rows)}")


if __name__ == "__main__":
    main()
