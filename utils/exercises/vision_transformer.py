"""Checks for the exercises of chapter "What the vision transformer changed"."""

from __future__ import annotations

import random
from functools import cache

import torch
from torch import nn
from torch.nn import functional as F

from utils.architecture import totals, trace
from utils.exercises.core import Answer, Task
from utils.models.vision_transformer import Attention

# ---- patches ------------------------------------------------------------------------------------------------------


def _images(rng: random.Random, *shape: int) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(rng.randrange(10**6)))


def _patch_cases(rng: random.Random) -> list[tuple]:
    shapes = [(1, 1, 4, 4, 2), (2, 3, 6, 4, 2), (1, 2, 3, 9, 3), (2, 1, 4, 4, 4), (1, 3, 5, 3, 1)]
    for _ in range(16):
        size = rng.choice([2, 2, 3, 4])
        sides = rng.sample(range(1, 5), 2)
        shapes.append((rng.randint(1, 3), rng.randint(1, 4), size * sides[0], size * sides[1], size))
    return [(_images(rng, n, c, h, w), size) for n, c, h, w, size in shapes]


def _cut(images: torch.Tensor, size: int, order: str) -> torch.Tensor:
    n, c, h, w = images.shape
    cut = images.reshape(n, c, h // size, size, w // size, size)
    axes = "ncrykx"  # image, channel, row of patches, row in the patch, column of patches, column in the patch
    return cut.permute([axes.index(letter) for letter in order]).reshape(n, -1, c * size * size)


patches = Task(
    "patches",
    lambda images, size: F.unfold(images, size, stride=size).transpose(1, 2),
    _patch_cases,
    mistakes={
        "a reshape alone cuts the rows of pixels into pieces; cut both axes, then move the axes.": lambda images, size: (
            images.reshape(images.shape[0], -1, images.shape[1] * size * size)
        ),
        "patches go row by row, as one reads; yours go down the columns.": lambda images, size: _cut(
            images, size, "nkrcyx"
        ),
        "in a patch the channels come first, then its rows; yours has the channels last.": lambda images, size: _cut(
            images, size, "nrkyxc"
        ),
        "in a patch the rows come in front of the columns; yours are transposed.": lambda images, size: _cut(
            images, size, "nrkcxy"
        ),
        "tokens first, numbers last: (N, patches, numbers); swap the last two axes.": lambda images, size: F.unfold(
            images, size, stride=size
        ),
        "patches do not overlap: step by `size` pixels.": lambda images, size: F.unfold(images, size).transpose(1, 2),
    },
)

# ---- attention ----------------------------------------------------------------------------------------------------


def _attend_cases(rng: random.Random) -> list[tuple]:
    shapes = [((), 1, 1, 1, 1), ((), 3, 5, 4, 4), ((2,), 4, 4, 9, 9), ((2, 3), 2, 6, 4, 7), ((1, 2), 5, 2, 16, 3)]
    for _ in range(16):
        before = tuple(rng.randint(1, 3) for _ in range(rng.randint(0, 2)))
        shapes.append((before, *(rng.randint(1, 7) for _ in range(2)), rng.randint(2, 12), rng.randint(1, 8)))
    return [
        (2 * _images(rng, *b, asks, d), _images(rng, *b, has, d), _images(rng, *b, has, out))
        for b, asks, has, d, out in shapes
    ]


def _scores(query: torch.Tensor, key: torch.Tensor) -> torch.Tensor:
    return query @ key.transpose(-1, -2)


attend = Task(
    "attend",
    F.scaled_dot_product_attention,
    _attend_cases,
    mistakes={
        "divide the scores by the root of d, the length of a query.": lambda q, k, v: _scores(q, k).softmax(-1) @ v,
        "divide by the root of d, not by d.": lambda q, k, v: (_scores(q, k) / q.shape[-1]).softmax(-1) @ v,
        "d is the length of a query, its last axis, not the number of tokens.": lambda q, k, v: (
            (_scores(q, k) / k.shape[-2] ** 0.5).softmax(-1) @ v
        ),
        "each query's weights must sum to 1: softmax along the last axis, that of the keys.": lambda q, k, v: (
            (_scores(q, k) / q.shape[-1] ** 0.5).softmax(-2) @ v
        ),
        "divide before the softmax, not behind it.": lambda q, k, v: _scores(q, k).softmax(-1) / q.shape[-1] ** 0.5 @ v,
        "the softmax is missing.": lambda q, k, v: _scores(q, k) / q.shape[-1] ** 0.5 @ v,
    },
)

# ---- costs --------------------------------------------------------------------------------------------------------


@cache
def _counted(side: int, patch: int, width: int) -> list[int]:
    """Return the multiply-adds as utils.architecture finds them: convolution, dense layers, products."""
    places = side // patch
    with torch.device("meta"):
        conv = nn.Sequential(nn.Conv2d(width, width, 3, padding=1))
        window = totals(trace(conv, (width, places, places)))[1]
        steps = trace(Attention(width, 1), (places**2, width))
    products = sum(s.multiply_adds for s in steps if s.label == "attention")
    return [window, totals(steps)[1] - products, products]


def _cost_cases(rng: random.Random) -> list[tuple]:
    known = [(224, 16, 768), (384, 16, 768), (1024, 16, 768), (32, 4, 60), (28, 28, 5)]
    return known + [
        (patch * rng.randint(1, 40), patch, rng.randint(1, 200)) for patch in (1, 2, 3, 4, 7, 8, 16, 32) for _ in "ab"
    ]


def _formula(side: int, patch: int, width: int) -> tuple[int, int]:
    return (side // patch) ** 2, width


def _wrong_costs(conv: int = 9, dense: int = 4, products: int = 2, pixels: bool = False):
    def answer(side: int, patch: int, width: int) -> list[int]:
        t, d = _formula(side, 1 if pixels else patch, width)
        return [conv * t * d * d, dense * t * d * d, products * t * t * d]

    return answer


costs = Task(
    "costs",
    _counted,
    _cost_cases,
    mistakes={
        "tokens are patches, not pixels: (side / patch)².": _wrong_costs(pixels=True),
        "queries, keys and values are three dense layers, and a fourth stands behind the heads.": _wrong_costs(dense=3),
        "there are two products: of queries and keys, and of weights and values.": _wrong_costs(products=1),
        "attention has four dense layers, the first three for queries, keys and values.": _wrong_costs(dense=1),
        "a 3×3 kernel has nine weights for each pair of channels.": _wrong_costs(conv=3),
        "each of T² pairs costs `width` multiply-adds, in both products: 2·T²·width.": lambda side, patch, width: [
            9 * (side // patch) ** 2 * width**2,
            4 * (side // patch) ** 2 * width**2,
            2 * (side // patch) ** 4,
        ],
        "the number of tokens is the square of side / patch.": lambda side, patch, width: [
            9 * (side // patch) * width**2,
            4 * (side // patch) * width**2,
            2 * (side // patch) ** 2 * width,
        ],
    },
)


def _break_even() -> int:
    return next(t for t in range(1, 10_000) if 2 * t * t * 768 > 4 * t * 768 * 768)


break_even = Answer(
    "break_even",
    _break_even,
    mistakes={
        "with so many both cost the same; asked for is one more.": 1536,
        "4·T·D² and 2·T²·D: divide both by 2·T·D.": 768,
        "which of the two has the factor 4?": 385,
        "4·T·D² < 2·T²·D: for T that is more than 2·D.": 3073,
        "the dense layers cost 4·T·D², the products 2·T²·D: solve for T.": 384,
    },
)

# ---- repair -------------------------------------------------------------------------------------------------------


def _layer(x: torch.Tensor, position: torch.Tensor, qkv: torch.Tensor, faults: str = "") -> torch.Tensor:
    """One attention with position embeddings and shortcut; each letter of ``faults`` spoils one thing."""
    placed = x if "p" in faults else x + position
    query, key, value = (placed @ qkv.T).chunk(3, -1)
    scores = query @ key.transpose(-1, -2)
    scores = scores if "s" in faults else scores / query.shape[-1] ** 0.5
    weights = scores.softmax(-2 if "a" in faults else -1)
    return weights @ value if "r" in faults else placed + weights @ value


def _reference(x: torch.Tensor, position: torch.Tensor, qkv: torch.Tensor) -> torch.Tensor:
    placed = x + position
    return placed + F.scaled_dot_product_attention(*F.linear(placed, qkv).chunk(3, -1))


def _layer_cases(rng: random.Random) -> list[tuple]:
    shapes = [(1, 2, 2), (2, 5, 4), (3, 4, 9), (1, 9, 3)]
    shapes += [(rng.randint(1, 3), rng.randint(2, 9), rng.randint(2, 9)) for _ in range(16)]
    return [(_images(rng, n, t, d), _images(rng, t, d), _images(rng, 3 * d, d)) for n, t, d in shapes]


def _with(faults: str):
    return lambda x, position, qkv: _layer(x, position, qkv, faults)


repaired = Task(
    "repaired",
    _reference,
    _layer_cases,
    mistakes={
        "the positions are never added.": _with("p"),
        "the scores are not divided by √d.": _with("s"),
        "the softmax runs over the queries; each row of weights must sum to 1.": _with("a"),
        "the shortcut is missing: add the layer's input to its result.": _with("r"),
        "the shortcut starts behind the sum with the positions: the input has them, too.": lambda x, position, qkv: (
            _layer(x, position, qkv) - position
        ),
        "nothing is repaired yet: positions, root, softmax and shortcut.": _with("psar"),
        "two faults are left: the positions, and the axis of the softmax.": _with("pa"),
        "two faults are left: the root, and the axis of the softmax.": _with("sa"),
        "two faults are left: the positions, and the shortcut.": _with("pr"),
        "two faults are left: the root, and the shortcut.": _with("sr"),
        "two faults are left: the axis of the softmax, and the shortcut.": _with("ar"),
        "two faults are left: the positions, and the root.": _with("ps"),
    },
)
