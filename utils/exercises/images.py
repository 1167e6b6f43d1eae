"""Checks for the exercises on images as numbers."""

from __future__ import annotations

import random

import numpy as np
import torch

from utils.exercises.core import Answer, Case, Task

# 1. Predict shapes and ranges. The lines in the notebook are printed from here.

# Four colour pictures as files give them: 100 rows, 60 columns; every value from 0 to 255 occurs.
BATCH = torch.arange(4 * 100 * 60 * 3).remainder(256).to(torch.uint8).view(4, 100, 60, 3)

SHAPES = {
    "x.permute(0, 3, 1, 2)": lambda x: x.permute(0, 3, 1, 2),
    "x[0].permute(2, 0, 1)": lambda x: x[0].permute(2, 0, 1),
    "x[:, ::2, ::2]": lambda x: x[:, ::2, ::2],
    "x.flatten(1)": lambda x: x.flatten(1),
    "x.float().mean(3, keepdim=True)": lambda x: x.float().mean(3, keepdim=True),
}

RANGES = {
    "x.float() / 255": lambda x: x.float() / 255,
    "(x.float() / 255 - 0.5) / 0.5": lambda x: (x.float() / 255 - 0.5) / 0.5,
    "(x.float() / 255 - 0.25) / 0.5": lambda x: (x.float() / 255 - 0.25) / 0.5,
    "x + 1": lambda x: x + 1,
    "x // 2 + 10": lambda x: x // 2 + 10,
}

_SHAPES = [[4, 3, 100, 60], [3, 100, 60], [4, 50, 30, 3], [4, 18000], [4, 100, 60, 1]]
_RANGES = [[0, 1], [-1, 1], [-0.5, 1.5], [0, 255], [10, 137]]


def _with(right: list, row: int, value: list) -> list:
    """Return the right list with one row replaced (rows count from 1, as in the notebook)."""
    return [value if i == row else r for i, r in enumerate(right, 1)]


shapes = Answer(
    "shapes",
    expected=lambda: [list(f(BATCH).shape) for f in SHAPES.values()],
    mistakes={
        "row 1: the channels move to place 1; height and width keep their order.": _with(_SHAPES, 1, [4, 3, 60, 100]),
        "row 2: x[0] is one picture, so the batch axis is gone.": _with(_SHAPES, 2, [1, 3, 100, 60]),
        "row 3: the axes are (N, H, W, C); the first colon keeps the batch, and height and width are halved.": _with(
            _SHAPES, 3, [2, 50, 60, 3]
        ),
        "row 4: flatten(1) keeps axis 0 and joins all the others.": _with(_SHAPES, 4, [72000]),
        "row 5: keepdim=True leaves an axis of length 1 where the mean was taken.": _with(_SHAPES, 5, [4, 100, 60]),
    },
)

ranges = Answer(
    "ranges",
    expected=lambda: [[v.item() for v in f(BATCH).aminmax()] for f in RANGES.values()],
    mistakes={
        "row 2: 0.5/0.5 stretches 0…1 to twice its length.": _with(_RANGES, 2, [-0.5, 0.5]),
        "row 3: put 0 and 1 into (x − 0.25) / 0.5.": _with(_RANGES, 3, [-1, 1]),
        "row 4: x is uint8, so 255 + 1 starts again at 0.": _with(_RANGES, 4, [1, 256]),
        "row 4: 255 + 1 becomes 0 without an error, and 254 + 1 is 255.": _with(_RANGES, 4, [1, 255]),
        "row 5: // divides first: 255 // 2 = 127, and 137 fits into a byte.": _with(_RANGES, 5, [5, 132]),
    },
)


# 2. From a file's array to a network's tensor, and to grey.


def _array(rng: random.Random, *shape: int, low: int = 0, high: int = 255) -> np.ndarray:
    return np.array([rng.randint(low, high) for _ in range(int(np.prod(shape)))], dtype=np.uint8).reshape(shape)


def _size(rng: random.Random) -> tuple[int, int]:
    """Height and width, never 3, so that the axis of the colours can be told."""
    return rng.choice([1, 2, 4, 5, 6]), rng.choice([1, 2, 4, 5, 7])


def _to_floats(array: np.ndarray) -> torch.Tensor:
    from torchvision.transforms.v2.functional import to_dtype, to_image

    return to_dtype(torch.Tensor.clone(to_image(array).as_subclass(torch.Tensor)), torch.float32, scale=True)


def _to_floats_cases(rng: random.Random) -> list[Case]:
    cases = [
        (_array(rng, 2, 4, 3),),
        (_array(rng, 4, 2, 3, high=100),),  # dark: the largest number is not 255
        (_array(rng, 2, 5),),  # grey
        (_array(rng, 1, 1, 3),),
        (_array(rng, 4, 4),),
    ]
    while len(cases) < 30:
        cases.append((_array(rng, *_size(rng), *rng.choice([(3,), (3,), ()])),))
    return cases


def _first(array: np.ndarray) -> torch.Tensor:
    """Return channels first, in bytes."""
    return torch.tensor(array)[None] if array.ndim == 2 else torch.tensor(array).permute(2, 0, 1)


def _colour_only(array):
    if array.ndim == 2:
        return torch.tensor(array).float() / 255
    return _to_floats(array)


to_floats = Task(
    "to_floats",
    reference=_to_floats,
    cases=_to_floats_cases,
    mistakes={
        "reshape cuts the numbers into new rows; permute(2, 0, 1) moves the axes.": lambda a: (
            torch.tensor(a).reshape(-1 if a.ndim == 3 else 1, *a.shape[:2]).float() / 255
        ),
        "height and width are exchanged: the order of the old axes is 2, 0, 1.": lambda a: (
            _to_floats(a).transpose(1, 2).contiguous()
        ),
        "the values must lie in 0 to 1: divide by 255.": lambda a: _first(a).float(),
        "divide by 255, not by the largest number of this picture: a dark picture must stay dark.": lambda a: (
            _first(a).float() / int(a.max())
        ),
        "a grey array (H, W) needs a channel axis too: (1, H, W).": _colour_only,
        "the channels come first: (C, H, W).": lambda a: torch.tensor(a).float() / 255,
        "the layers of PyTorch work in float32: call .float() before dividing.": lambda a: _first(a).double() / 255,
    },
)


def _to_grey(images: torch.Tensor) -> torch.Tensor:
    kernel = torch.tensor([0.2125, 0.7154, 0.0721], dtype=images.dtype).view(1, 3, 1, 1)
    return torch.nn.functional.conv2d(images, kernel)


def _colours(rng: random.Random, n: int, h: int, w: int, c: int = 3, dtype: torch.dtype = torch.float32):
    values = [rng.randint(0, 20) / 20 for _ in range(n * c * h * w)]
    return torch.tensor(values, dtype=dtype).view(n, c, h, w)


def _to_grey_cases(rng: random.Random) -> list[Case]:
    cases = [
        (_colours(rng, 1, 1, 2),),
        (_colours(rng, 2, 2, 4),),
        (_colours(rng, 3, 3, 3),),  # all axes alike: only the right one gives the right values
        (torch.eye(3).view(3, 3, 1, 1),),  # pure red, green and blue
        (_colours(rng, 2, 4, 2, dtype=torch.float64),),
    ]
    while len(cases) < 30:
        cases.append((_colours(rng, rng.randint(1, 4), rng.randint(1, 5), rng.randint(1, 5)),))
    return cases


def _weighted(x: torch.Tensor, weights: list[float]) -> torch.Tensor:
    return (x * torch.tensor(weights, dtype=x.dtype).view(3, 1, 1)).sum(1, keepdim=True)


to_grey = Task(
    "to_grey",
    reference=_to_grey,
    cases=_to_grey_cases,
    mistakes={
        "this is the plain mean of the channels; use the three weights.": lambda x: x.mean(1, keepdim=True),
        "red and blue are exchanged: 0.2125 belongs to channel 0, red.": lambda x: _weighted(
            x, [0.0721, 0.7154, 0.2125]
        ),
        "keep the channel axis: (N, 1, H, W).": lambda x: _to_grey(x)[:, 0],
        "divide by nothing: the weights already add up to 1.": lambda x: _to_grey(x) / 3,
        "the grey goes into one channel, not into three.": lambda x: _to_grey(x).repeat(1, 3, 1, 1),
        "this is a single channel; add up all three, each times its weight.": lambda x: x[:, 1:2],
    },
)


# 3. Standardise and undo.


def _standardise(images: torch.Tensor) -> torch.Tensor:
    return torch.nn.functional.batch_norm(images, None, None, training=True, eps=1e-12)


def _standardise_cases(rng: random.Random) -> list[Case]:
    shapes_ = [(2, 2, 3, 1), (1, 3, 4, 1), (2, 4, 2, 3), (3, 3, 3, 3), (2, 1, 5, 3)]  # N, H, W, C
    while len(shapes_) < 30:
        shapes_.append((rng.randint(1, 4), rng.randint(2, 5), rng.randint(2, 5), rng.choice([1, 3])))
    cases = []
    for n, h, w, c in shapes_:
        x = _colours(rng, n, h, w, c)
        x[:, :, 0, 0], x[:, :, -1, -1] = 0.0, 1.0  # never all the same
        x[:, 0] = x[:, 0] / 2  # the channels differ in mean and spread
        cases.append((x,))
    return cases


def _by(x, axes, correction=0):
    return (x - x.mean(axes, keepdim=True)) / x.std(axes, correction=correction, keepdim=True)


standardise = Task(
    "standardise",
    reference=_standardise,
    cases=_standardise_cases,
    tolerance=1e-4,
    mistakes={
        "one mean and deviation were used for all channels; take them over the axes 0, 2 and 3 only.": lambda x: _by(
            x, (0, 1, 2, 3)
        ),
        "each picture was standardised by itself; the axis of the batch, 0, belongs to the mean too.": lambda x: _by(
            x, (2, 3)
        ),
        "std divides by n − 1 unless you say correction=0.": lambda x: _by(x, (0, 2, 3), 1),
        "the mean is right; now divide by the standard deviation.": lambda x: x - x.mean((0, 2, 3), keepdim=True),
        "divide by the standard deviation, not by the variance.": lambda x: (
            (x - x.mean((0, 2, 3), keepdim=True)) / x.var((0, 2, 3), correction=0, keepdim=True)
        ),
        "(x − 0.5) / 0.5 gives a range of −1 to 1, not mean 0 and deviation 1.": lambda x: (x - 0.5) / 0.5,
        "subtract first, then divide: the mean must be taken away before the division.": lambda x: (
            x / x.std((0, 2, 3), correction=0, keepdim=True) - x.mean((0, 2, 3), keepdim=True)
        ),
    },
)


def _undo(images: torch.Tensor, mean: torch.Tensor, std: torch.Tensor, *, clamp=True, rounds=True) -> torch.Tensor:
    x = (images * std.view(-1, 1, 1) + mean.view(-1, 1, 1)) * 255
    x = x.clamp(0, 255) if clamp else x
    return (x.round() if rounds else x).to(torch.uint8)


def _undo_case(rng: random.Random, n: int, c: int, h: int, w: int, low: int = 0, high: int = 255) -> Case:
    pixels = torch.tensor([rng.randint(low, high) + rng.uniform(-0.3, 0.3) for _ in range(n * c * h * w)])
    mean = torch.tensor([rng.randint(20, 60) / 100 for _ in range(c)])
    std = torch.tensor([rng.randint(20, 35) / 100 for _ in range(c)])
    x = pixels.view(n, c, h, w) / 255
    return ((x - mean.view(-1, 1, 1)) / std.view(-1, 1, 1), mean, std)


def _undo_cases(rng: random.Random) -> list[Case]:
    cases = [
        _undo_case(rng, 1, 1, 2, 3),
        _undo_case(rng, 2, 3, 2, 4),
        _undo_case(rng, 3, 3, 3, 3),
        _undo_case(rng, 1, 3, 2, 2, -40, 300),  # made too dark and too bright in between
    ]
    while len(cases) < 30:
        low, high = rng.choice([(0, 255), (-30, 290)])
        shape = rng.randint(1, 3), rng.choice([1, 3]), rng.randint(1, 4), rng.randint(1, 5)
        cases.append(_undo_case(rng, *shape, low, high))
    return cases


undo = Task(
    "undo",
    reference=_undo,
    cases=_undo_cases,
    mistakes={
        "cut off and not rounded: call .round() before .to(torch.uint8).": lambda x, m, s: _undo(x, m, s, rounds=False),
        "values below 0 or above 255 have wrapped around: clamp before you convert.": lambda x, m, s: _undo(
            x, m, s, clamp=False
        ),
        "neither rounded nor clamped: both come before .to(torch.uint8).": lambda x, m, s: _undo(
            x, m, s, clamp=False, rounds=False
        ),
        "the result must be uint8.": lambda x, m, s: _undo(x, m, s).float(),
        "undo goes backwards: multiply by std first, then add mean.": lambda x, m, s: (
            ((x + m.view(-1, 1, 1)) * s.view(-1, 1, 1) * 255).clamp(0, 255).round().to(torch.uint8)
        ),
        "this standardises once more; undo multiplies by std and adds mean.": lambda x, m, s: (
            ((x - m.view(-1, 1, 1)) / s.view(-1, 1, 1) * 255).clamp(0, 255).round().to(torch.uint8)
        ),
        "mean and std are in units of pixel / 255: multiply by 255 at the end.": lambda x, m, s: (
            (x * s.view(-1, 1, 1) + m.view(-1, 1, 1)).clamp(0, 1).round().to(torch.uint8)
        ),
    },
)


# 4. Repair a loader.


def _load(pictures: list[np.ndarray]) -> torch.Tensor:
    ready = []
    for array in pictures:
        x = torch.tensor(array)
        x = x if x.shape[0] == 3 else x.permute(2, 0, 1)
        ready.append((x.float() + 40).clamp(max=255) / 255)
    return torch.stack(ready)


def _load_cases(rng: random.Random) -> list[Case]:
    cases: list[Case] = [([_array(rng, 1, 2, 3, high=200)],), ([_array(rng, 3, 2, 4), _array(rng, 2, 4, 3)],)]
    while len(cases) < 25:
        h, w = _size(rng)
        shapes_ = [rng.choice([(h, w, 3), (3, h, w)]) for _ in range(rng.randint(1, 3))]
        cases.append(([_array(rng, *shape, low=0) for shape in shapes_],))
    return cases


def _loader(brighten, first):
    return lambda pictures: torch.stack([brighten(first(torch.tensor(a))) for a in pictures])


def _right_order(x):
    return x if x.shape[0] == 3 else x.permute(2, 0, 1)


def _reshaped(x):
    return x if x.shape[0] == 3 else x.reshape(3, *x.shape[:2])


load = Task(
    "load",
    reference=_load,
    cases=_load_cases,
    mistakes={
        "bright bytes wrap around: convert to float before you add 40.": _loader(
            lambda x: (x + 40).float() / 255, _right_order
        ),
        "reshape tears the (H, W, 3) pictures apart; permute moves the axes.": _loader(
            lambda x: (x.float() + 40).clamp(max=255) / 255, _reshaped
        ),
        "both faults are left: bytes wrap around, and reshape tears pictures apart.": _loader(
            lambda x: (x + 40).float() / 255, _reshaped
        ),
        "nothing may be brighter than 1: clamp after adding.": _loader(lambda x: (x.float() + 40) / 255, _right_order),
        "40 is a number of bytes: add it before dividing by 255, or add 40/255.": _loader(
            lambda x: (x.float() / 255 + 40).clamp(max=1), _right_order
        ),
        "the order is right and nothing overflows, but the 40 is missing.": _loader(
            lambda x: x.float() / 255, _right_order
        ),
        "the channels come first: (N, 3, H, W).": lambda pictures: _load(pictures).permute(0, 2, 3, 1),
    },
)


# 5. One permutation for a batch.


def _permute_pixels(images: torch.Tensor, order: torch.Tensor) -> torch.Tensor:
    n, c, h, w = images.shape
    return images.reshape(n, c, h * w).index_select(2, order).reshape(n, c, h, w)


def _permute_cases(rng: random.Random) -> list[Case]:
    sizes = [(1, 1, 2, 3), (2, 1, 2, 2), (2, 3, 3, 2), (3, 3, 3, 3), (1, 2, 1, 4)]
    while len(sizes) < 30:
        sizes.append((rng.randint(1, 4), rng.choice([1, 3]), rng.randint(1, 5), rng.randint(2, 5)))
    cases = []
    for n, c, h, w in sizes:
        order = list(range(h * w))
        while order == list(range(h * w)):
            rng.shuffle(order)
        values = torch.tensor([rng.randint(0, 255) for _ in range(n * c * h * w)], dtype=torch.uint8)
        images = values.view(n, c, h, w)
        cases.append((images.float() / 255 if rng.random() < 0.3 else images, torch.tensor(order)))
    return cases


def _inverse(images, order):
    return _permute_pixels(images, order.argsort())


def _column_by_column(images, order):
    n, c, h, w = images.shape
    columns = images.transpose(2, 3).reshape(n, c, h * w)[:, :, order]
    return columns.view(n, c, w, h).transpose(2, 3)


permute_pixels = Task(
    "permute_pixels",
    reference=_permute_pixels,
    cases=_permute_cases,
    mistakes={
        "this is the inverse: place i gets pixel order[i], not the other way round.": _inverse,
        "the pixels are counted row by row, not column by column.": _column_by_column,
        "put the height and the width back: (N, C, H, W).": lambda x, order: x.flatten(2)[:, :, order],
        "height and width are exchanged in the last view.": lambda x, order: x.flatten(2)[:, :, order].view(
            *x.shape[:2], x.shape[3], x.shape[2]
        ),
        "all pictures get the same order; this one gives each its own.": lambda x, order: torch.cat(
            [_permute_pixels(one[None], order.roll(i)) for i, one in enumerate(x)]
        ),
        "all channels get the same order, or a pixel loses its colour.": lambda x, order: torch.cat(
            [_permute_pixels(x[:, i : i + 1], order.roll(i)) for i in range(x.shape[1])], dim=1
        ),
    },
)
