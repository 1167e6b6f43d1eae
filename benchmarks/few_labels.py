"""What pretrained features are worth when labels are few: ``python -m benchmarks.few_labels``.

Four tasks: the photograph a shape is cut from and the shape, in images of ``shapes`` at 96 px; face or not; and digits, tested
on MNIST's and on those of other writers. Of each, 5 to 100 labelled images a class, drawn anew for each seed; three ways:
logistic regression on frozen features of EfficientNet-Lite0 (ImageNet) at 96 px, a small CNN trained from scratch on the same
images, logistic regression on the pixels. Two photographs are held out: with shape labels the test images are cut from them
alone, with texture labels they are the backgrounds of the test images.

Writes ``benchmarks/results/few_labels.json``, ``few_labels_sizes.json`` (features at 64, 96 and 128 px) and
``few_labels_preprocessing.json`` (what wrong preprocessing costs) after each task and seed, and goes on from there when started
again; ``--again`` begins anew. About 15 minutes of one core.
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass, replace
from functools import cache
from itertools import pairwise, product
from typing import Any

import torch
from torch import nn
from torch.nn import functional as F

from utils import results, runtime
from utils.data import Images, augment, digits, faces, shapes
from utils.models import pretrained
from utils.training import OneCycle, evaluate, fit
from utils.transfer import accuracy, features, linear_head

SEEDS = {"faces": 5, "digits": 5, "texture": 3, "shape": 3}
LABELS = (5, 10, 20, 50, 100)
HELD_OUT = ("cat", "gravel")
POOL, TEST, SIDE = 1250, 300, 96
SIZES = (64, 96, 128)
# The recipe of the small CNN: the rate was fixed on validation images of seed 9, the epochs so that training images are known.
EPOCHS = {5: 60, 10: 50, 20: 45, 50: 45, 100: 35}
EPOCHS_SHAPE = EPOCHS | {10: 100, 100: 70}  # fewer do not fit the training images
BATCH, RATE, SHIFT = {True: 32, False: 16}, 7e-3, 4  # in batches of 32 from 64 px on
IMAGENET = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
WRONG = (
    "right",
    "ImageNet's constants",
    "not standardised",
    "bytes 0 to 255",
    "blue first",
    "28 px, enlarged",
    "28 px",
)
COMMAND = "python -m benchmarks.few_labels"
DATA = (
    f"shapes({POOL}, 1, {TEST}, size={SIDE}, held_out={HELD_OUT}) by shape and by texture; faces(seed), another split for each "
    f"seed; digits(), of which {POOL + 300} to draw from and {TEST} for the test, and {TEST} of scikit-learn's digits, 8×8 "
    "pixels enlarged to 20×20 in a frame of 4, as those of other writers"
)
NOTE = (
    f"Lite0's features at {SIDE} px, logistic regression with C = 0.01. Small CNN on the same images at their own size ({SIDE}, "
    f"25 and 28 px): Adam, one cycle with peak {RATE}, batch {BATCH[True]} ({BATCH[False]} for 25 and 28 px), "
    + ", ".join(f"{e} epochs with {n}" for n, e in EPOCHS.items())
    + f" labels a class ({EPOCHS_SHAPE[10]} and {EPOCHS_SHAPE[100]} with 10 and 100 of each shape), shifts and, but for digits, "
    "flips. Pixels: at 28 px or less. The rate was fixed on validation images of another seed, the epochs by the training images."
)


@dataclass(frozen=True)
class Task:
    """Images to draw the labelled ones from, and test images; ``augment``, ``epochs``: how the small CNN is trained."""

    pool: Images
    tests: dict[str, Images]
    augment: tuple
    epochs: dict[int, int]


@cache
def other_hands() -> Images:
    """Return digits by other writers, 8×8 pixels, framed as MNIST's are."""
    from sklearn.datasets import load_digits

    package = load_digits()
    small = torch.tensor(package.images)[::4][:TEST, None].float() / 16
    framed = F.pad(F.interpolate(small, size=20, mode="bicubic"), (4, 4, 4, 4))
    labels = torch.tensor(package.target)[::4][:TEST].long()
    return Images((255 * framed.clamp(0, 1)).round().byte(), labels, tuple("0123456789"))


def task(name: str, seed: int) -> Task:
    """Return a task; for faces each seed is another split."""
    if name == "faces":
        data = faces(seed)
        return Task(data.train, {name: data.test}, (augment.Flip(), augment.Crop(2)), EPOCHS)
    if name == "digits":
        data = digits()
        tests = {name: data.test.take(slice(0, TEST)), "other hands": other_hands()}
        return Task(data.train.take(slice(0, POOL + 300)), tests, (augment.Crop(2),), EPOCHS)
    data = shapes(POOL, 1, TEST, size=SIDE, label=name, held_out=HELD_OUT)
    epochs = EPOCHS_SHAPE if name == "shape" else EPOCHS
    return Task(data.train, {name: data.test}, (augment.Flip(), augment.Crop(SHIFT)), epochs)


def small_cnn(channels: int, classes: int, side: int) -> nn.Module:
    """Return four convolutions with batch norm, an average and a dense layer.

    Each halves the maps, but from 64 px on the first, 7×7, has a stride of 4; about 100,000 parameters.
    """
    widths = (16, 32, 64, 128)
    first = nn.Conv2d(channels, widths[0], *((7, 4, 3) if side >= 64 else (3, 2, 1)), bias=False)
    layers = [first, nn.BatchNorm2d(widths[0]), nn.ReLU()]
    for inputs, outputs in pairwise(widths):
        layers += [nn.Conv2d(inputs, outputs, 3, 2, 1, bias=False), nn.BatchNorm2d(outputs), nn.ReLU()]
    net = nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(widths[-1], classes))
    return net.to(memory_format=torch.channels_last)


def resized(data: Images, side: int) -> Images:
    """Return the images at another size, each pixel an average of the old ones."""
    if data.images.shape[-1] == side:
        return data
    pixels = F.interpolate(data.images.float(), (side, side), mode="bilinear", antialias=True, align_corners=False)
    return replace(data, images=pixels.round().clamp(0, 255).to(torch.uint8))


def drawn(labels: torch.Tensor, number: int, seed: int) -> torch.Tensor:
    """Return the places of ``number`` images of each class; a larger draw contains the smaller ones."""
    order = torch.randperm(len(labels), generator=torch.Generator().manual_seed(seed))
    return torch.cat([order[labels[order] == c][:number] for c in labels.unique()])


@cache
def lite() -> pretrained.Pretrained:
    net = pretrained.load()
    net.model.to(memory_format=torch.channels_last)  # the same numbers but for rounding, in half the time
    return net


KEPT: dict[tuple, torch.Tensor] = {}


def rows(data: Images, size: int, way: str = "right") -> torch.Tensor:
    """Return features of images, each image computed once for each size and way of preparing it."""
    keys = [(hash(image.numpy().tobytes()), size, way) for image in data.images]
    new = [i for i, key in enumerate(keys) if key not in KEPT]
    if new:
        KEPT.update(zip([keys[i] for i in new], prepared(data.images[new], size, way), strict=True))
    return torch.stack([KEPT[key] for key in keys])


def prepared(pixels: torch.Tensor, size: int, way: str) -> torch.Tensor:
    """Return features with one fault in the preprocessing, or none."""
    options: dict[str, Any] = {"size": size, "batch_size": 16}
    if way == "ImageNet's constants":
        options |= {"mean": IMAGENET[0], "std": IMAGENET[1]}
    elif way == "not standardised":
        options |= {"mean": (0.0,) * 3, "std": (1.0,) * 3}
    elif way == "bytes 0 to 255":
        options |= {"mean": (0.0,) * 3, "std": (1 / 255,) * 3}
    elif way == "blue first":
        pixels = pixels.flip(1)
    elif way.startswith("28 px"):
        small = F.interpolate(pixels.float(), (28, 28), mode="bilinear", antialias=True, align_corners=False)
        pixels = small.round().clamp(0, 255).byte()
        options["size"] = size if "enlarged" in way else None
    return features(lite(), pixels, **options)


def scratch(work: Task, index: torch.Tensor, number: int, seed: int) -> dict[str, float]:
    """Train the small CNN on some images of the pool and return its accuracies; the first is that of training."""
    train = work.pool.take(index).with_statistics()
    runtime.seed(seed)
    side = train.images.shape[-1]
    model = small_cnn(train.images.shape[1], len(train.classes), side)
    fit(
        model, train, epochs=work.epochs[number], batch_size=BATCH[side >= 64], learning_rate=RATE, schedule=OneCycle(),
        augment=list(work.augment), seed=seed, progress=False,
    )  # fmt: skip
    tests = {name: replace(test, mean=train.mean, std=train.std) for name, test in work.tests.items()}
    return {name: evaluate(model, part).accuracy for name, part in {"training": train, **tests}.items()}


def linear(train: torch.Tensor, labels: torch.Tensor, work: Task, tests: dict[str, torch.Tensor]) -> dict[str, float]:
    """Return accuracies of logistic regression on rows; the first is that of training."""
    head = linear_head(train, labels, len(work.pool.classes))
    right = {name: accuracy(head, some, work.tests[name].labels) for name, some in tests.items()}
    return {"training": accuracy(head, train, labels), **right}


def few_labels(name: str, seed: int, have: set[int]) -> list[dict[str, Any]]:
    """Return the accuracies of the three ways, for each test set and each number of labels that we do not have."""
    work, found = task(name, seed), []
    labels = work.pool.labels
    small = [resized(part, min(part.images.shape[-1], 28)) for part in (work.pool, *work.tests.values())]
    pixels = [part.images.flatten(1).float() / 255 for part in small]
    for number in LABELS:
        if number in have or number > labels.bincount(minlength=len(work.pool.classes)).min():
            continue
        index = drawn(labels, number, seed)
        few = work.pool.take(index)
        tests = {key: rows(test, SIDE) for key, test in work.tests.items()}
        flat = dict(zip(work.tests, pixels[1:], strict=True))
        ways = {
            "frozen features": linear(rows(few, SIDE), few.labels, work, tests),
            "from scratch": scratch(work, index, number, seed),
            "pixels": linear(pixels[0][index], few.labels, work, flat),
        }
        for key in work.tests:
            found += [
                {"task": key, "way": way, "labels": number, "seed": seed, "accuracy": round(a[key], 4)}
                | {"training": round(a["training"], 4)}
                for way, a in ways.items()
            ]
        print(found[-3 * len(work.tests) :], flush=True)
    return found


def sizes(name: str, seed: int, have: set[int]) -> list[dict[str, Any]]:
    """Return what features are worth at three sizes, with 20 labels a class."""
    if have or name == "digits":
        return []
    work = task(name, seed)
    few = work.pool.take(drawn(work.pool.labels, 20, seed))
    found = []
    for size in SIZES:
        tests = {key: rows(test, size) for key, test in work.tests.items() if key == name}
        right = linear(rows(few, size), few.labels, work, tests)
        found.append({"task": name, "size": size, "seed": seed, "accuracy": round(right[name], 4)})
    return found


def preprocessing(name: str, seed: int, have: set[int]) -> list[dict[str, Any]]:
    """Return what faults cost, with 20 labels a class: in the test images only, or in all."""
    if have or name != "texture":
        return []
    work = task(name, seed)
    few, test = work.pool.take(drawn(work.pool.labels, 20, seed)), work.tests[name]
    usual = linear_head(rows(few, SIDE), few.labels, len(few.classes))
    found = []
    for way in WRONG:
        wrong = rows(test, SIDE, way)
        adapted = linear_head(rows(few, SIDE, way), few.labels, len(few.classes))
        for where, head in (("in use only", usual), ("everywhere", adapted)):
            right = accuracy(head, wrong, test.labels)
            found.append(
                {"task": name, "preprocessing": way, "where": where, "seed": seed, "accuracy": round(right, 4)}
            )
    return found


PARTS = {
    "few_labels_sizes": (sizes, "frozen features, 20 labelled images a class, the same images at three sizes"),
    "few_labels_preprocessing": (
        preprocessing,
        f"frozen features at {SIDE} px, 20 labelled images a class; the fault in the test images only, or in the training "
        "images too",
    ),
    "few_labels": (few_labels, NOTE),
}


def known(file: str, note: str) -> list[dict[str, Any]]:
    """Return the rows recorded so far, none if they were recorded by another recipe."""
    try:
        recorded = results.load(file)
    except FileNotFoundError:
        return []
    return recorded["rows"] if (recorded["note"], recorded["data"]) == (note, DATA) else []


def main() -> None:
    """Run what is missing, record it after each task and seed, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--again", action="store_true", help="forget what is recorded")
    parser.add_argument("--tasks", nargs="+", choices=tuple(SEEDS), default=tuple(SEEDS))
    options = parser.parse_args()
    for file, (measure, note) in PARTS.items():
        found = [] if options.again else known(file, note)
        for seed, name in product(range(max(SEEDS.values())), options.tasks):
            have = {row.get("labels", 1) for row in found if (row["task"], row["seed"]) == (name, seed)}
            if seed >= SEEDS[name] or not (new := measure(name, seed, have)):
                continue
            found = found + new
            seeds = sorted({row["seed"] for row in found})
            results.record(file, found, command=COMMAND, data=DATA, note=note, seeds=seeds)
            print(file, name, seed, flush=True)
        print(results.table(found))


if __name__ == "__main__":
    main()
