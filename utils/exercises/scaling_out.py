"""Checks for the exercises on training with several processes."""

from __future__ import annotations

import math
import random
from collections.abc import Sequence

import torch
from torch.nn import functional as F
from torch.utils.data import DistributedSampler

from utils.exercises.core import Answer, Case, Task

# Helpers of the notebook


def gradient(weight: torch.Tensor, inputs: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    """Return the gradient of the mean cross-entropy of a linear model; 0 without images.

    Shapes: weight (classes, D), inputs (n, D), labels (n,); result as weight.
    """
    weight = weight.detach().clone().requires_grad_()
    return torch.autograd.grad(F.cross_entropy(inputs @ weight.T, labels), weight)[0]


def shuffled(n: int, seed: int) -> torch.Tensor:
    """Return the numbers 0 to n − 1 in the order that belongs to the seed."""
    return torch.randperm(n, generator=torch.Generator().manual_seed(seed))


# 1. Predict: images, steps, rates. The questions in the notebook are printed from here.

IMAGES, BATCH, RATE = 50_000, 100, 0.1
# name, processes, images of one process in a step
RUNS = [
    ("fit(…, batch_size=100) on 4 processes", 4, 25),
    ("DataLoader(batch_size=100) in each of 4 processes", 4, 100),
    ("DataLoader(batch_size=10) in each of 10 processes", 10, 10),
    ("DataLoader(batch_size=32) in each of 64 processes", 64, 32),
]


def _settings() -> list[list[float]]:
    rows = []
    for _, processes, share in RUNS:
        steps = len(torch.arange(IMAGES).split(processes * share))
        rows.append([processes * share, steps, RATE * processes * share / BATCH])
    return rows


def _changed(**rows: list[float]) -> list[list[float]]:
    """The right answer with some rows, named row0 to row3, replaced."""
    return [rows.get(f"row{i}", row) for i, row in enumerate(_settings())]


settings = Answer(
    "settings",
    _settings,
    mistakes={
        "batch_size of fit counts over all processes: the first run is the old one, shared out.": _changed(
            row0=[400, 125, 0.4]
        ),
        "batch_size of a DataLoader counts for its process alone: 4 of 100 images are a global batch of 400.": _changed(
            row1=[100, 500, 0.1]
        ),
        "the last, smaller batch is a step as well: 50,000 / 2,048 is rounded up.": _changed(row3=[2048, 24, 2.048]),
        "the rate follows the global batch, not the number of processes: 10 of 10 images are 100 as before.": _changed(
            row2=[100, 500, 1.0]
        ),
        "the rate follows the global batch: 2,048 images are 20.48 times 100.": _changed(row3=[2048, 25, 6.4]),
        "with more images a step the rate is multiplied, not divided.": _changed(
            row1=[400, 125, 0.025], row3=[2048, 25, 0.1 / 20.48]
        ),
        "the rate has to follow the global batch; here it stays at 0.1.": _changed(
            row1=[400, 125, 0.1], row3=[2048, 25, 0.1]
        ),
    },
)


# 2. Gradients of uneven parts


def _together(gradients: Sequence[torch.Tensor], counts: Sequence[int]) -> torch.Tensor:
    weights = torch.tensor(counts, dtype=gradients[0].dtype)
    return torch.einsum("r,r...->...", weights / weights.sum(), torch.stack(list(gradients)))


def _plain(gradients: Sequence[torch.Tensor], counts: Sequence[int]) -> torch.Tensor:
    return torch.stack(list(gradients)).mean(0)


def _plain_where_images(gradients: Sequence[torch.Tensor], counts: Sequence[int]) -> torch.Tensor:
    return torch.stack([g for g, n in zip(gradients, counts, strict=True) if n]).mean(0)


def _gradient_cases(rng: random.Random) -> list[Case]:
    drawn = torch.Generator().manual_seed(rng.randrange(10**6))
    fixed = [([1, 3], (2,)), ([4, 4], (3,)), ([5], (2, 3)), ([3, 0, 1], (2,)), ([0, 2], (1, 2)), ([48, 16], (3, 1))]
    while len(fixed) < 24:
        counts = [rng.randint(0, 9) for _ in range(rng.randint(2, 5))]
        shape = rng.choice(((3,), (2, 3), (3, 2), (1, 5), (2, 1, 3)))
        if sum(counts):
            fixed.append((counts, shape))
    cases = []
    for number, (counts, shape) in enumerate(fixed):
        dtype = torch.float64 if number % 2 else torch.float32
        grads = [torch.randn(shape, generator=drawn, dtype=torch.float64).mul(4).round().div(2) for _ in counts]
        grads = [(g if n else g * 0).to(dtype) for g, n in zip(grads, counts, strict=True)]
        cases.append((grads, counts))
    return cases


together = Task(
    "together",
    _together,
    _gradient_cases,
    mistakes={
        "the parts are uneven: weight each gradient by its images.": _plain,
        "without the empty parts the others are still uneven: weight each gradient by its images.": _plain_where_images,
        "divide by the number of all images.": lambda gradients, counts: sum(
            g * n for g, n in zip(gradients, counts, strict=True)
        ),
        "divide by the number of all images, not of processes.": lambda gradients, counts: (
            sum(g * n for g, n in zip(gradients, counts, strict=True)) / len(counts)
        ),
        "each gradient is a mean already: a sum counts the batch once for each process.": lambda gradients, counts: sum(
            g for g, n in zip(gradients, counts, strict=True)
        ),
    },
)


# 3. Whose images?


def _shard(images: int, rank: int, processes: int, seed: int, epoch: int) -> list[int]:
    sampler = DistributedSampler(range(images), processes, rank, seed=seed)
    sampler.set_epoch(epoch)
    return list(sampler)[: len(range(rank, images, processes))]  # without what it repeats


def _padded(images: int, rank: int, processes: int, seed: int, epoch: int, drop: bool = False) -> list[int]:
    sampler = DistributedSampler(range(images), processes, rank, seed=seed, drop_last=drop)
    sampler.set_epoch(epoch)
    return list(sampler)


def _shard_cases(rng: random.Random) -> list[Case]:
    fixed = [(7, 1, 2, 0, 0), (7, 0, 2, 0, 1), (8, 3, 4, 5, 2), (3, 2, 3, 1, 1), (2, 3, 4, 1, 0), (5, 0, 1, 2, 3)]
    drawn = []
    for _ in range(20):
        processes = rng.randint(2, 6)
        drawn.append((rng.randint(1, 20), rng.randrange(processes), processes, rng.randint(0, 9), rng.randint(0, 9)))
    return fixed + drawn


shard = Task(
    "shard",
    _shard,
    _shard_cases,
    mistakes={
        "an image is repeated to make the parts equally long; here no image counts twice.": _padded,
        "images are left out to make the parts equally long; every image belongs to somebody.": lambda *case: _padded(
            *case, drop=True
        ),
        "the epoch is missing from the seed, so all epochs have one order.": lambda images, rank, processes, seed, epoch: (
            _shard(images, rank, processes, seed, 0)
        ),
        "the rank is in the seed, so each process shuffles for itself and the parts overlap.": (
            lambda images, rank, processes, seed, epoch: _shard(images, rank, processes, seed + rank, epoch)
        ),
        "this is a block of the order; deal the images out one by one, as cards.": (
            lambda images, rank, processes, seed, epoch: (
                shuffled(images, seed + epoch).tensor_split(processes)[rank].tolist()
            )
        ),
        "the images are not shuffled.": lambda images, rank, processes, seed, epoch: list(
            range(rank, images, processes)
        ),
        "return the whole numbers as a list: `.tolist()`.": lambda *case: torch.tensor(
            _shard(*case), dtype=torch.int64
        ),
    },
)


# 4. Results of all processes


def _combined(reports: torch.Tensor) -> torch.Tensor:
    loss, correct, images = reports[reports[:, 2] > 0].unbind(1)
    return torch.stack([(loss * images).sum(), correct.sum()]) / images.sum()


def _pair(loss: torch.Tensor, accuracy: torch.Tensor) -> torch.Tensor:
    return torch.stack([loss, accuracy])


def _there(reports: torch.Tensor) -> tuple[torch.Tensor, ...]:
    """Mean losses, counts of right answers and of images, of the processes that had images."""
    return reports[reports[:, 2] > 0].unbind(1)


def _report_cases(rng: random.Random) -> list[Case]:
    fixed = [
        [[0.5, 3, 4], [2.0, 1, 2]],
        [[1.0, 50, 51], [1.5, 48, 50]],
        [[0.25, 7, 8]],
        [[0.5, 3, 4], [math.nan, 0, 0], [1.5, 0, 1]],
        [[math.nan, 0, 0], [0.75, 5, 9]],
    ]
    while len(fixed) < 24:
        counts = [rng.choice((0, 1, 5, 20, 64)) for _ in range(rng.randint(2, 5))]
        if sum(counts):
            fixed.append([[rng.randint(1, 12) / 4 if n else math.nan, rng.randint(0, n), n] for n in counts])
    return [(torch.tensor(case, dtype=torch.float64),) for case in fixed]


combined = Task(
    "combined",
    _combined,
    _report_cases,
    mistakes={
        "these are averages of averages; the parts are uneven, so weight by the images.": lambda reports: _pair(
            _there(reports)[0].mean(), (_there(reports)[1] / _there(reports)[2]).mean()
        ),
        "these are averages of averages, and a process without images makes them NaN.": lambda reports: _pair(
            reports[:, 0].mean(), (reports[:, 1] / reports[:, 2]).mean()
        ),
        "the accuracy is right, the loss is an average of averages: weight it by the images.": lambda reports: _pair(
            _there(reports)[0].mean(), _combined(reports)[1]
        ),
        "the loss is right, the accuracy is an average of averages: add the counts and divide once.": lambda reports: (
            _pair(_combined(reports)[0], (_there(reports)[1] / _there(reports)[2]).mean())
        ),
        "a process without images reports the loss NaN, and 0 · NaN is NaN: leave it out.": lambda reports: _pair(
            (reports[:, 0] * reports[:, 2]).sum() / reports[:, 2].sum(), _combined(reports)[1]
        ),
        "the losses are means: weight them by their images before you add them.": lambda reports: _pair(
            _there(reports)[0].sum() / reports[:, 2].sum(), _combined(reports)[1]
        ),
        "divide the sum of the losses by the number of images, too.": lambda reports: _pair(
            (_there(reports)[0] * _there(reports)[2]).sum(), _combined(reports)[1]
        ),
    },
)


# 5. The best number of processes


def _times(
    computing: float,
    numbers: int,
    bandwidth: float,
    latency: float,
    most: int,
    *,
    sent: float = 2,
    size: int = 4,
    waits: float = 1,
    shared: bool = True,
) -> torch.Tensor:
    n = torch.arange(1, most + 1, dtype=torch.float64)
    pieces = sent * (n - 1) * size * numbers / bandwidth
    return computing / n + (pieces / n if shared else pieces) + 2 * waits * (n - 1) * latency


def _best(*case: float, **changes: float) -> int:
    return int(_times(*case, **changes).argmin()) + 1


def _best_cases(rng: random.Random) -> list[Case]:
    fixed = [
        (0.0027, 44_426, 0.125e9, 50e-6, 64),
        (0.0027, 44_426, 300e9, 5e-6, 64),
        (0.157, 25_557_032, 12.5e9, 10e-6, 256),
        (0.157, 25_557_032, 0.125e9, 50e-6, 64),
        (1.0, 1000, 1e9, 0.001, 16),
        (1.0, 10, 1e9, 0.0, 7),
        (0.5, 10**6, 1e9, 1e-3, 1),
    ]
    drawn = [
        (
            10 ** rng.uniform(-3, 1),
            int(10 ** rng.uniform(4, 8)),
            10 ** rng.uniform(8, 11),
            10 ** rng.uniform(-6, -3),
            rng.choice((4, 8, 64, 512)),
        )
        for _ in range(40)
    ]
    return fixed + drawn


best_number = Task(
    "best_number",
    _best,
    _best_cases,
    mistakes={
        "a number of float32 takes 4 bytes.": lambda *case: _best(*case, size=1),
        "a ring sends 2 (N − 1) / N of the gradient: the sum goes around, too.": lambda *case: _best(*case, sent=1),
        "a process sends 2 (N − 1) / N of the gradient, not 2 (N − 1) times all of it.": lambda *case: _best(
            *case, shared=False
        ),
        "each of the 2 (N − 1) messages waits for the latency.": lambda *case: _best(*case, waits=0),
        "there are 2 (N − 1) messages, not N − 1.": lambda *case: _best(*case, waits=0.5),
        "this is the smallest time; return the number of processes that has it.": lambda *case: (
            _times(*case).min().item()
        ),
        "the first entry belongs to one process, so the place in the list is one less than the number.": lambda *case: (
            _best(*case) - 1
        ),
        "more processes are not always faster: compute the time of each number.": lambda *case: case[-1],
    },
)


# 6. A loop with three silent mistakes


def _trained(
    weight: torch.Tensor,
    inputs: torch.Tensor,
    labels: torch.Tensor,
    processes: int,
    batch: int,
    rate: float,
    epochs: int,
) -> torch.Tensor:
    """One process, PyTorch's own loss and optimizer."""
    weight = weight.detach().clone().requires_grad_()
    sgd = torch.optim.SGD([weight], lr=rate)
    for epoch in range(epochs):
        for index in shuffled(len(inputs), epoch).split(batch):
            sgd.zero_grad()
            F.cross_entropy(inputs[index] @ weight.T, labels[index]).backward()
            sgd.step()
    return weight.detach()


def _loop(
    weight: torch.Tensor,
    inputs: torch.Tensor,
    labels: torch.Tensor,
    processes: int,
    batch: int,
    rate: float,
    epochs: int,
    *,
    one_order: bool = False,
    large: bool = False,
    plain: bool = False,
) -> torch.Tensor:
    """The loop of the notebook, each of its mistakes switched on by itself."""
    for epoch in range(epochs):
        for index in shuffled(len(inputs), 0 if one_order else epoch).split(batch * processes if large else batch):
            parts = [index[rank::processes] for rank in range(processes)]
            gradients = [gradient(weight, inputs[part], labels[part]) for part in parts]
            weight = weight - rate * (_plain if plain else _together)(gradients, [len(part) for part in parts])
    return weight


def _loop_cases(rng: random.Random) -> list[Case]:
    drawn = torch.Generator().manual_seed(rng.randrange(10**6))
    shapes = [(6, 2, 4, 2), (7, 3, 4, 2), (5, 2, 2, 1), (9, 3, 4, 3), (4, 4, 4, 1)]
    while len(shapes) < 20:
        processes = rng.randint(1, 4)
        shapes.append((rng.randint(3, 14), processes, rng.randint(2, 8), rng.randint(1, 3)))
    cases = []
    for number, (images, processes, batch, epochs) in enumerate(shapes):
        classes, pixels = rng.randint(2, 4), rng.randint(1, 3)
        weight = torch.randn(classes, pixels, generator=drawn, dtype=torch.float64)
        inputs = torch.randn(images, pixels, generator=drawn, dtype=torch.float64)
        labels = torch.randint(classes, (images,), generator=drawn)
        cases.append((weight, inputs, labels, processes, batch, 0.5 + number % 3, epochs))
    return cases


train = Task(
    "train",
    _trained,
    _loop_cases,
    mistakes={
        "all three mistakes are still there: the order, the batch, the average.": lambda *case: _loop(
            *case, one_order=True, large=True, plain=True
        ),
        "the average of the processes is plain: weight each gradient by its images.": lambda *case: _loop(
            *case, plain=True
        ),
        "the global batch grows with the number of processes: `batch` counts over all of them.": lambda *case: _loop(
            *case, large=True
        ),
        "all epochs have the order of epoch 0.": lambda *case: _loop(*case, one_order=True),
        "the order is right, the batch and the average are not.": lambda *case: _loop(*case, large=True, plain=True),
        "the batch is right, the order and the average are not.": lambda *case: _loop(
            *case, one_order=True, plain=True
        ),
        "the average is right, the order and the batch are not.": lambda *case: _loop(
            *case, one_order=True, large=True
        ),
    },
)
