"""Checks for the exercises on pooling."""

from __future__ import annotations

import math
import random

import torch
import torch.nn.functional as F
from torch import nn

from utils.exercises.core import Answer, Case, Task

# 1. Predict five shapes. The table in the notebook is printed from here.

LAYERS: list[tuple[str, nn.Module, tuple[int, int]]] = [
    ("nn.MaxPool2d(3)", nn.MaxPool2d(3), (28, 28)),
    ("nn.MaxPool2d(3, stride=2, padding=1)", nn.MaxPool2d(3, stride=2, padding=1), (112, 112)),
    ("nn.AvgPool2d(2)", nn.AvgPool2d(2), (7, 10)),
    ("nn.MaxPool2d(2, ceil_mode=True)", nn.MaxPool2d(2, ceil_mode=True), (7, 10)),
    ("nn.AdaptiveAvgPool2d(1)", nn.AdaptiveAvgPool2d(1), (7, 10)),
]

shapes = Answer(
    "shapes",
    expected=lambda: [list(layer(torch.zeros(1, 1, *size)).shape[2:]) for _, layer, size in LAYERS],
    mistakes={
        "in row 1 no stride is given: a pooling layer then moves by its kernel size, not by 1.": [
            [26, 26],
            [56, 56],
            [3, 5],
            [4, 5],
            [1, 1],
        ],
        "in row 1 a tenth window would need pixels 27 to 29, and the last pixel is 27: round down.": [
            [10, 10],
            [56, 56],
            [3, 5],
            [4, 5],
            [1, 1],
        ],
        "row 2 adds one pixel on each side: (112 + 2 − 3)/2 steps, rounded down, and the first window.": [
            [9, 9],
            [55, 55],
            [3, 5],
            [4, 5],
            [1, 1],
        ],
        "rows 3 and 4 differ: without ceil_mode a window that does not fit is dropped.": [
            [9, 9],
            [56, 56],
            [4, 5],
            [4, 5],
            [1, 1],
        ],
        "ceil_mode=True keeps the last, incomplete window of row 4.": [[9, 9], [56, 56], [3, 5], [3, 5], [1, 1]],
        "the 1 of row 5 is the size of the output, not of the window.": [
            [9, 9],
            [56, 56],
            [3, 5],
            [4, 5],
            [7, 10],
        ],
    },
)


# 2. Max pooling by hand.


def _map(rng: random.Random, h: int, w: int, low: int = -9, dtype: torch.dtype = torch.float32) -> torch.Tensor:
    """Small whole numbers: exact in every order of summation, and short in a message."""
    return torch.tensor([[rng.randint(low, 9) for _ in range(w)] for _ in range(h)], dtype=dtype)


def _max_pool(x: torch.Tensor, k: int, stride: int | None = None, padding: int = 0) -> torch.Tensor:
    return F.max_pool2d(x[None, None], k, stride, padding)[0, 0]


def _max_pool_cases(rng: random.Random) -> list[Case]:
    cases: list[Case] = [
        (torch.tensor([[1, 3, 2, 4], [5, 6, 1, 2], [1, 2, 7, 3], [0, 4, 8, 5.0]]), 2, None, 0),
        (_map(rng, 4, 6), 2, None, 0),
        (_map(rng, 6, 4), 2, 2, 0),
        (_map(rng, 5, 5), 3, 1, 0),
        (_map(rng, 5, 7), 2, None, 0),  # a row and a column are left over
        (-_map(rng, 3, 3, low=1), 3, 1, 1),  # all negative: padding with zeros would win
        (-_map(rng, 3, 5, low=1), 2, 2, 1),
        (_map(rng, 3, 2), 1, None, 0),
        (_map(rng, 4, 4), 4, None, 0),
        (_map(rng, 7, 5), 2, 3, 0),  # stride larger than the window
        (_map(rng, 5, 4, dtype=torch.float64), 2, None, 1),
    ]
    while len(cases) < 40:
        k = rng.randint(1, 4)
        padding = rng.randint(0, k // 2)
        h, w = rng.randint(k, 9), rng.randint(k, 9)
        cases.append((_map(rng, h, w), k, rng.choice([None, 1, 2, 3]), padding))
    return cases


def _pool(x, k, stride=None, padding=0, *, fill=-math.inf, reduce=torch.amax, steps=None):
    """Max pooling with one part to vary; ``steps`` returns the number of windows along an axis."""
    stride = stride or k
    steps = steps or (lambda n, k, s: (n - k) // s + 1)
    padded = F.pad(x, (padding,) * 4, value=fill)
    h, w = (steps(n, k, stride) for n in padded.shape)
    rows = [
        [reduce(padded[r * stride : r * stride + k, c * stride : c * stride + k], (0, 1)) for c in range(w)]
        for r in range(h)
    ]
    return torch.stack([torch.stack(row) for row in rows])


def _square_only(x, k, stride=None, padding=0):
    """Use the height for both axes."""
    result = _max_pool(x, k, stride, padding)
    return result[:, : result.shape[0]]


def _steps_up(n: int, k: int, s: int) -> int:
    return -(-(n - k) // s) + 1


max_pool = Task(
    "max_pool",
    reference=_max_pool,
    cases=_max_pool_cases,
    mistakes={
        "the padding must never win: fill it with -torch.inf, not with 0.": lambda x, k, stride=None, padding=0: _pool(
            x, k, stride, padding, fill=0.0
        ),
        "the padding is missing: the windows start p pixels above and left of the map.": (
            lambda x, k, stride=None, padding=0: _max_pool(x, k, stride, 0)
        ),
        "without a stride the window moves by k, not by 1.": lambda x, k, stride=None, padding=0: _max_pool(
            x, k, stride or 1, padding
        ),
        "the stride is ignored: the window moves by `stride` where one is given, and only otherwise by k.": (
            lambda x, k, stride=None, padding=0: _max_pool(x, k, None, padding)
        ),
        "that is the average; max pooling keeps the largest number of the window.": (
            lambda x, k, stride=None, padding=0: _pool(x, k, stride, padding, fill=0.0, reduce=torch.mean)
        ),
        "that is the smallest number of each window.": lambda x, k, stride=None, padding=0: (
            -_max_pool(-x, k, stride, padding)
        ),
        "compare the numbers themselves, not their sizes without sign: −3 is less than 1.": (
            lambda x, k, stride=None, padding=0: _max_pool(x.abs(), k, stride, padding)
        ),
        "a window that does not fit wholly is dropped: round the number of steps down.": (
            lambda x, k, stride=None, padding=0: _pool(x, k, stride, padding, steps=_steps_up)
        ),
        "height and width can differ: count the windows along each axis by itself.": _square_only,
        "rows and columns are swapped in the result.": lambda x, k, stride=None, padding=0: (
            _max_pool(x, k, stride, padding).T
        ),
    },
)


# 3. Average pooling by convolution.


def _batch(rng: random.Random, n: int, c: int, h: int, w: int, dtype: torch.dtype = torch.float32) -> torch.Tensor:
    return torch.stack([torch.stack([_map(rng, h, w, dtype=dtype) for _ in range(c)]) for _ in range(n)])


def _average_cases(rng: random.Random) -> list[Case]:
    cases: list[Case] = [
        (torch.tensor([[[[1, 3, 2, 4], [5, 6, 1, 2], [1, 2, 7, 3], [0, 4, 8, 5.0]]]]), 2),
        (_batch(rng, 1, 3, 2, 4), 2),
        (_batch(rng, 2, 3, 4, 6), 2),
        (_batch(rng, 1, 1, 3, 9), 3),
        (_batch(rng, 1, 2, 5, 7), 2),
        (_batch(rng, 3, 1, 4, 4), 1),
        (_batch(rng, 1, 2, 4, 6, dtype=torch.float64), 2),
    ]
    while len(cases) < 30:
        k = rng.randint(1, 4)
        h, w = rng.randint(k, 10), rng.randint(k, 10)
        cases.append((_batch(rng, rng.randint(1, 2), rng.randint(1, 4), h, w), k))
    return cases


def _with_weights(x: torch.Tensor, k: int, weight: float, stride: int | None = None) -> torch.Tensor:
    channels = x.shape[1]
    kernel = torch.full((channels, 1, k, k), weight, dtype=x.dtype)
    return F.conv2d(x, kernel, stride=stride or k, groups=channels)


def _mixed(x: torch.Tensor, k: int, share: float = 1.0) -> torch.Tensor:
    """Leave out ``groups``: every output then adds up all channels."""
    channels = x.shape[1]
    kernel = torch.full((channels, channels, k, k), share / k**2, dtype=x.dtype)
    return F.conv2d(x, kernel, stride=k)


average_pool = Task(
    "average_pool",
    reference=lambda x, k: F.avg_pool2d(x, k),
    cases=_average_cases,
    mistakes={
        "weights of 1 add the window up; a mean needs weights of 1/k².": lambda x, k: _with_weights(x, k, 1.0),
        "a k×k window holds k² pixels, so the weights are 1/k², not 1/k.": lambda x, k: _with_weights(x, k, 1 / k),
        "the windows must not overlap: give the convolution stride k.": lambda x, k: _with_weights(x, k, 1 / k**2, 1),
        "the channels are added up: pool each by itself, with groups=C and a weight of shape (C, 1, k, k).": _mixed,
        "the channels are averaged together: pool each by itself, with groups=C and a weight of shape (C, 1, k, k).": (
            lambda x, k: _mixed(x, k, 1 / x.shape[1])
        ),
        "all channels were put into one: the result keeps the C channels of the input.": (
            lambda x, k: F.avg_pool2d(x, k).mean(1, keepdim=True)
        ),
        "that is max pooling.": lambda x, k: F.max_pool2d(x, k),
        "the weights must have the dtype of x; torch.full takes dtype=x.dtype.": (
            lambda x, k: F.avg_pool2d(x, k).float()
        ),
    },
)


# 4. Two heads to repair.


def _gap(x: torch.Tensor) -> torch.Tensor:
    return nn.AdaptiveAvgPool2d(1)(x).flatten(1)


def _gap_cases(rng: random.Random) -> list[Case]:
    cases: list[Case] = [
        (_batch(rng, 1, 2, 2, 2),),
        (_batch(rng, 1, 2, 4, 2),),
        (_batch(rng, 2, 3, 2, 4),),
        (_batch(rng, 3, 2, 3, 3),),
        (_batch(rng, 2, 4, 1, 5),),
        (_batch(rng, 1, 3, 6, 1),),
        (_batch(rng, 1, 1, 1, 1),),
        (_batch(rng, 2, 2, 3, 5, dtype=torch.float64),),
    ]
    while len(cases) < 30:
        cases.append(
            (_batch(rng, rng.randint(1, 4), rng.randint(1, 4), rng.randint(1, 8), rng.randint(1, 8)),),
        )
    return cases


global_average = Task(
    "global_average",
    reference=_gap,
    cases=_gap_cases,
    mistakes={
        "a square window of the map's width fits square maps only: average over the height and the width.": (
            lambda x: F.avg_pool2d(x, x.shape[-1]).flatten(1)
        ),
        "the result still has axes of size 1; the shape must be (N, C).": lambda x: x.mean((2, 3), keepdim=True),
        "that is the sum; divide by the number of pixels.": lambda x: x.sum((2, 3)),
        "that is the maximum of each map, not its mean.": lambda x: x.amax((2, 3)),
        "one axis too many: the channels must stay apart, average over axes 2 and 3 only.": lambda x: x.mean((1, 2, 3)),
        "the channels are gone: average over axes 2 and 3, not over axis 1.": lambda x: x.mean(1),
        "divide by height × width, not by width².": lambda x: x.sum((2, 3)) / x.shape[3] ** 2,
    },
)


def body() -> nn.Sequential:
    """Return the layers in front of the dense layer of task 4: input (N, 1, H, W), output (N, features)."""
    return nn.Sequential(
        nn.Conv2d(1, 6, 5),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Conv2d(6, 16, 5),
        nn.ReLU(),
        nn.MaxPool2d(3, stride=2),
        nn.Flatten(),
    )


def _features(height: int, width: int) -> int:
    return body().to("meta")(torch.empty(1, 1, height, width, device="meta")).shape[1]


def _feature_cases(rng: random.Random) -> list[Case]:
    cases: list[Case] = [(28, 28), (32, 32), (18, 18), (18, 40), (48, 32), (33, 47), (19, 21)]
    return cases + [(rng.randint(18, 96), rng.randint(18, 96)) for _ in range(40)]


def _count(height: int, width: int, axis, channels: int = 16) -> int:
    return channels * axis(height) * axis(width)


def _axis(n: int) -> int:
    """Pixels left along one axis after the layers of :func:`body`."""
    return ((n - 4) // 2 - 4 - 3) // 2 + 1


head_inputs = Task(
    "head_inputs",
    reference=_features,
    cases=_feature_cases,
    mistakes={
        "the 16 channels are missing: the flatten layer lines all of them up.": lambda h, w: _count(h, w, _axis, 1),
        "the flatten layer stands behind the second convolution: 16 channels, not 6.": lambda h, w: _count(
            h, w, _axis, 6
        ),
        "those are 16·5·5 for every size; the number depends on the height and the width.": lambda h, w: 400,
        "the height counts for both axes; the width can differ.": lambda h, w: 16 * _axis(h) ** 2,
        "a 5×5 convolution without padding takes 4 pixels from each axis.": lambda h, w: _count(
            h, w, lambda n: (n // 2 - 3) // 2 + 1
        ),
        "the last pooling has a window of 3: (n − 3)//2 + 1 windows, not n//2.": lambda h, w: _count(
            h, w, lambda n: ((n - 4) // 2 - 4) // 2
        ),
        "the last pooling has stride 2: (n − 3)//2 + 1 windows, not n//3.": lambda h, w: _count(
            h, w, lambda n: ((n - 4) // 2 - 4) // 3
        ),
        "a pooling window that does not fit is dropped: round down at each pooling layer.": lambda h, w: _count(
            h, w, lambda n: (-(-(n - 4) // 2) - 4 - 3) // 2 + 1
        ),
        "the first window of the last pooling is missing: add 1 to the number of steps.": lambda h, w: _count(
            h, w, lambda n: ((n - 4) // 2 - 4 - 3) // 2
        ),
    },
)


# 5. What stays when the image moves?


def _kept(x: torch.Tensor, k: int, pixels: int) -> float:
    before = F.max_pool2d(x, k)
    return (F.max_pool2d(x.roll(pixels, -1), k) == before).double().mean().item()


def _kept_cases(rng: random.Random) -> list[Case]:
    cases: list[Case] = []
    for k, pixels in ((2, 0), (2, 1), (2, 2), (3, 1), (3, 2), (1, 1), (4, 3)):
        cases += [(_batch(rng, 1, 1, 4, 6), k, pixels), (_batch(rng, 2, 2, 7, 5), k, pixels)]
    while len(cases) < 30:
        shape = rng.randint(1, 2), rng.randint(1, 2), rng.randint(3, 9), rng.randint(3, 9)
        cases.append((_batch(rng, *shape), rng.randint(1, 3), rng.randint(0, 4)))
    return cases


def _compared(x: torch.Tensor, k: int, moved: torch.Tensor, pool=F.max_pool2d) -> float:
    return (pool(moved, k) == pool(x, k)).float().mean().item()


kept_share = Task(
    "kept_share",
    reference=_kept,
    cases=_kept_cases,
    mistakes={
        "that is the share of cells that change; the share that stays was asked for.": lambda x, k, pixels: (
            1 - _kept(x, k, pixels)
        ),
        "the image moves along its width, the last axis; here it moved along its height.": lambda x, k, pixels: (
            _compared(x, k, x.roll(pixels, -2))
        ),
        "the image moves to the right; here it moved to the left.": lambda x, k, pixels: _compared(
            x, k, x.roll(-pixels, -1)
        ),
        "what leaves on the right must come back on the left, as .roll does; here zeros came in.": (
            lambda x, k, pixels: _compared(x, k, F.pad(x, (pixels, 0))[..., : x.shape[-1]])
        ),
        "move the image before pooling; here the pooled map was moved.": lambda x, k, pixels: (
            (F.max_pool2d(x, k).roll(pixels, -1) == F.max_pool2d(x, k)).float().mean().item()
        ),
        "that compares the images; compare the pooled maps.": lambda x, k, pixels: (
            (x.roll(pixels, -1) == x).float().mean().item()
        ),
        "that is average pooling; the question is about max pooling.": lambda x, k, pixels: _compared(
            x, k, x.roll(pixels, -1), F.avg_pool2d
        ),
        "that is the number of cells; divide by how many there are.": lambda x, k, pixels: float(
            (F.max_pool2d(x.roll(pixels, -1), k) == F.max_pool2d(x, k)).sum()
        ),
    },
)

# (window, shift): the rows of the prediction.
SHIFTS = [(9, 1), (9, 3), (5, 5)]


def _law(k: int, pixels: int) -> float:
    """Pixels that both windows share, over pixels that at least one of them reads, by counting."""
    first, second = torch.zeros(2, k, k + pixels, dtype=torch.bool)
    first[:, :k], second[:, pixels:] = True, True
    return ((first & second).sum() / (first | second).sum()).item()


law = Answer(
    "law",
    expected=lambda: [_law(k, pixels) for k, pixels in SHIFTS],
    mistakes={
        "you divided the shared pixels by those of one window; the largest of all pixels that the two windows read "
        "decides.": [8 / 9, 6 / 9, 0],
        "those are the shares that change; the shares that stay were asked for.": [0.2, 0.5, 1],
        "(k − 1)/(k + 1) holds for a shift of one pixel; what do the windows share after 3?": [0.8, 0.8, 4 / 6],
        "the windows are shifted along one axis only: they share k·(k − s) pixels, not (k − s)².": [
            64 / 98,
            36 / 126,
            0,
        ],
    },
    tolerance=0.005,
)
