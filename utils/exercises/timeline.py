"""Checks of the exercises of chapter Timeline."""

from __future__ import annotations

import random
from collections.abc import Sequence

import torch

from utils.exercises.core import Answer, Task

# Task 1: the error among the first k


def _top_k_error(logits: torch.Tensor, labels: torch.Tensor, k: int) -> float:
    own = logits.gather(1, labels[:, None])
    return 100 * ((logits > own).sum(1) >= k).double().mean().item()


def _guesses(rng: random.Random) -> list[tuple]:
    torch.manual_seed(rng.randrange(2**31))
    sizes = [(2, 3, 2), (1, 5, 1), (4, 4, 4), (7, 10, 5), (16, 6, 1), (5, 5, 3)]
    sizes += [(n, c, rng.randint(1, c)) for n, c in ((rng.randint(2, 20), rng.randint(2, 12)) for _ in range(16))]
    return [(torch.randn(n, c).double(), torch.randint(c, (n,)), k) for n, c, k in sizes]


top_k_error = Task(
    "top_k_error",
    _top_k_error,
    _guesses,
    mistakes={
        "this is the accuracy; the error is what is missing to 100.": lambda x, y, k: 100 - _top_k_error(x, y, k),
        "this is a share; in per cent it is a hundred times that.": lambda x, y, k: _top_k_error(x, y, k) / 100,
        "only the largest logit counts here; the label may be any of the k largest.": (
            lambda x, y, k: _top_k_error(x, y, 1)
        ),
        "one more than k is looked at.": lambda x, y, k: _top_k_error(x, y, k + 1),
        "the k smallest are looked at; the likeliest classes have the largest logits.": (
            lambda x, y, k: _top_k_error(-x, y, k)
        ),
        "this is the number of images, not their share.": lambda x, y, k: _top_k_error(x, y, k) * len(x) / 100,
    },
)


# Task 2: one answer from networks × crops


def _averaged(logits: torch.Tensor) -> torch.Tensor:
    return torch.exp(logits - logits.logsumexp(-1, keepdim=True)).flatten(0, 1).mean(0).argmax(-1)


def _looks(rng: random.Random) -> list[tuple]:
    torch.manual_seed(rng.randrange(2**31))
    sizes = [(2, 3, 4, 5), (1, 1, 3, 4), (7, 2, 5, 3), (3, 3, 3, 3), (1, 10, 6, 8)]
    sizes += [(*(rng.randint(1, 6) for _ in range(3)), rng.randint(2, 8)) for _ in range(17)]
    return [(3 * torch.randn(size).double(),) for size in sizes]


averaged = Task(
    "averaged",
    _averaged,
    _looks,
    mistakes={
        "the logits are averaged; make them probabilities first, so that a network of large logits does not outvote the rest.": (
            lambda x: x.mean((0, 1)).argmax(-1)
        ),
        "the softmax runs over the wrong dimension; the classes are the last.": (
            lambda x: x.softmax(0).mean((0, 1)).argmax(-1)
        ),
        "this is the answer of the most votes, not of the highest average probability.": (
            lambda x: x.argmax(-1).flatten(0, 1).mode(0).values
        ),
        "this is the single surest look; all looks count.": lambda x: x.softmax(-1).amax((0, 1)).argmax(-1),
        "only the first crop of each network is used.": lambda x: x[:, 0].softmax(-1).mean(0).argmax(-1),
        "only the first network is used.": lambda x: x[0].softmax(-1).mean(0).argmax(-1),
        "these are the average probabilities; the answer is the class with the highest.": (
            lambda x: x.softmax(-1).mean((0, 1))
        ),
    },
)


# Task 3: what no other dominates

Row = tuple[str, int, float]


def _dominates(a: Row, b: Row) -> bool:
    return a[1] <= b[1] and a[2] >= b[2] and (a[1] < b[1] or a[2] > b[2])


def _front(rows: Sequence[Row]) -> list[str]:
    kept = [row for row in rows if not any(_dominates(other, row) for other in rows)]
    return [name for name, *_ in sorted(kept, key=lambda row: row[1])]


def _priced(rng: random.Random) -> list[tuple]:
    fixed: list[list[Row]] = [
        [("a", 5, 70.0), ("b", 3, 72.0), ("c", 9, 80.0)],
        [("a", 1, 1.0)],
        [("cheap", 2, 50.0), ("equal cost", 2, 60.0)],
        [("x", 4, 70.0), ("y", 8, 70.0)],
        [("d", 3, 3.0), ("c", 2, 2.0), ("b", 1, 1.0)],
        [("p", 1, 9.0), ("q", 2, 8.0), ("r", 3, 7.0)],
    ]
    drawn = []
    for _ in range(18):
        pairs = {(rng.randint(1, 9), float(rng.randint(50, 60))) for _ in range(rng.randint(2, 9))}
        rows = [(f"net {i}", cost, accuracy) for i, (cost, accuracy) in enumerate(sorted(pairs))]
        rng.shuffle(rows)
        drawn.append(rows)
    return [(rows,) for rows in fixed + drawn]


front = Task(
    "front",
    _front,
    _priced,
    mistakes={
        "the order is that of the rows; it should go from cheap to costly.": (
            lambda rows: [row[0] for row in rows if row[0] in _front(rows)]
        ),
        "the order is from costly to cheap; turn it round.": lambda rows: _front(rows)[::-1],
        "these are all networks, sorted by cost; the dominated ones have to go.": (
            lambda rows: [row[0] for row in sorted(rows, key=lambda row: row[1])]
        ),
        "a network of equal accuracy and higher cost stays in; it is dominated.": (
            lambda rows: [
                row[0]
                for row in sorted(rows, key=lambda row: row[1])
                if not any(a[1] <= row[1] and a[2] > row[2] for a in rows)
            ]
        ),
        "a network of equal cost and lower accuracy stays in; it is dominated.": (
            lambda rows: [
                row[0]
                for row in sorted(rows, key=lambda row: row[1])
                if not any(a[1] < row[1] and a[2] >= row[2] for a in rows)
            ]
        ),
        "only the cheapest and the most accurate are here; what lies between them may be on the front too.": (
            lambda rows: [
                name
                for name in _front(rows)
                if name in {min(rows, key=lambda r: (r[1], -r[2]))[0], max(rows, key=lambda r: (r[2], -r[1]))[0]}
            ]
        ),
        "these are the dominated ones.": (
            lambda rows: [row[0] for row in sorted(rows, key=lambda row: row[1]) if row[0] not in _front(rows)]
        ),
    },
)


# Task 4: memory of a training step


def _gigabytes(batch: int) -> float:
    return (batch * 150e6 + 4 * 4 * 25.6e6) / 1e9  # parameter, gradient and two averages, 4 bytes each


gigabytes = Answer(
    "gigabytes",
    lambda: round(_gigabytes(32), 1),
    mistakes={
        "only the maps are counted; the parameters have a gradient and Adam's two averages beside them.": 4.8,
        "the gradient and Adam's averages are missing.": 4.9,
        "each number takes 4 bytes, and there are four numbers for each parameter.": 4.8 + 0.1,
        "the maps are those of one image; a batch has 32.": 0.6,
        "these are megabytes.": 5209.6,
    },
)
saved = Answer(
    "saved",
    lambda: round(_gigabytes(32) - _gigabytes(16), 1),
    mistakes={
        "half of everything is not saved: parameters, gradients and Adam's averages do not depend on the batch.": 2.6,
        "this is what remains; the question is what is saved.": 2.8,
    },
)


# Task 5: the most accurate within limits


def _choose(rows: Sequence[tuple], most_work: int, most_parameters: int) -> str | None:
    best = None
    for row in rows:
        if row[1] <= most_work and row[2] <= most_parameters and (best is None or row[3] > best[3]):
            best = row
    return best[0] if best else None


def _limits(rng: random.Random) -> list[tuple]:
    def drawn() -> tuple:
        rows = [(f"net {i}", rng.randint(1, 9), rng.randint(1, 9), 50 + i / 8 + rng.randint(0, 30)) for i in range(6)]
        rng.shuffle(rows)
        return rows, rng.randint(1, 9), rng.randint(1, 9)

    one = [("a", 4, 5, 70.0)]
    fixed = [
        (one, 4, 5),
        (one, 3, 5),
        (one, 4, 4),
        ([*one, ("b", 4, 9, 80.0)], 9, 5),
        ([*one, ("b", 9, 5, 80.0)], 4, 9),
    ]
    return fixed + [drawn() for _ in range(20)]


choose = Task(
    "choose",
    _choose,
    _limits,
    mistakes={
        "a network that is exactly at a limit keeps it.": lambda r, w, p: _choose(r, w - 1, p - 1),
        "the limit of the parameters is not looked at.": lambda r, w, p: _choose(r, w, 10**12),
        "the limit of the multiply-adds is not looked at.": lambda r, w, p: _choose(r, 10**12, p),
        "one limit is kept; both have to be.": (
            lambda r, w, p: max((x for x in r if x[1] <= w or x[2] <= p), key=lambda x: x[3], default=(None,))[0]
        ),
        "this is the cheapest that fits; the most accurate is wanted.": (
            lambda r, w, p: min((x for x in r if x[1] <= w and x[2] <= p), key=lambda x: x[1], default=(None,))[0]
        ),
        "this is the whole row; only its name is wanted.": (
            lambda r, w, p: next((x for x in r if x[0] == _choose(r, w, p)), None)
        ),
    },
)
