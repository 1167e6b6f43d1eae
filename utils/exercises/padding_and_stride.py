"""Checks for the exercises on padding, stride and dilation."""

from __future__ import annotations

import itertools
import math
import random
from collections.abc import Callable

import torch
import torch.nn.functional as F

from utils.exercises.core import Answer, Case, Task

MODES = {"zeros": "constant", "reflect": "reflect", "replicate": "replicate", "circular": "circular"}


def _measured(n: int, k: int, s: int = 1, p: int = 0, d: int = 1) -> int:
    """Return the output size that PyTorch gives; meta tensors have a shape and no values."""
    image = torch.empty(1, 1, n, n, device="meta")
    weight = torch.empty(1, 1, k, k, device="meta")
    return F.conv2d(image, weight, stride=s, padding=p, dilation=d).shape[-1]


# 1. Predict five sizes.

# (n, k, s, p, d); the table in the notebook is printed from here.
LAYERS = [(28, 5, 1, 0, 1), (32, 3, 2, 1, 1), (32, 3, 1, 0, 2), (100, 7, 3, 2, 1), (20, 4, 3, 1, 2)]

sizes = Answer(
    "sizes",
    expected=lambda: [_measured(*layer) for layer in LAYERS],
    mistakes={
        "the first window counts too: add 1 to the number of steps.": [23, 15, 27, 32, 5],
        "a window that does not fit wholly is dropped: round down, not up.": [24, 17, 28, 34, 6],
        "the dilation is missing: the kernel spans d·(k − 1) + 1 pixels, so 5 in row 2 and 7 in row 4.": [
            24,
            16,
            30,
            33,
            7,
        ],
        "the dilated kernel spans d·(k − 1) + 1 pixels, not d·k: 5 in row 2 and 7 in row 4.": [24, 16, 27, 33, 5],
        "padding is added on both sides: n + 2p, not n + p.": [24, 16, 28, 32, 5],
        "the padding is missing: the kernel slides over n + 2p pixels.": [24, 15, 28, 32, 5],
    },
)


# 2. The formula.


def _size_cases(rng: random.Random) -> list[Case]:
    cases: list[Case] = [
        (28, 5, 1, 0, 1),
        (32, 3, 2, 1, 1),
        (224, 7, 2, 3, 1),
        (5, 3, 1, 0, 2),
        (1, 1, 1, 0, 1),
        (9, 9, 4, 0, 1),
    ]
    while len(cases) < 60:
        n, k = rng.randint(1, 64), rng.randint(1, 7)
        s, p, d = rng.randint(1, 4), rng.randint(0, 4), rng.randint(1, 3)
        if d * (k - 1) + 1 <= n + 2 * p:
            cases.append((n, k, s, p, d))
    return cases


output_size = Task(
    "output_size",
    reference=_measured,
    cases=_size_cases,
    mistakes={
        "the first window counts too: add 1 to the number of steps.": lambda n, k, s, p, d: (
            (n + 2 * p - d * (k - 1) - 1) // s
        ),
        "a window that does not fit wholly is dropped: round down with //, no matter how large the rest is.": (
            lambda n, k, s, p, d: -(-(n + 2 * p - d * (k - 1) - 1) // s) + 1
        ),
        "a size is a whole number: divide with //, which rounds down.": lambda n, k, s, p, d: (
            (n + 2 * p - d * (k - 1) - 1) / s + 1
        ),
        "the dilation is missing: the kernel spans d·(k − 1) + 1 pixels.": lambda n, k, s, p, d: (
            (n + 2 * p - k) // s + 1
        ),
        "the dilated kernel spans d·(k − 1) + 1 pixels, not d·k: there is nothing behind the last tap.": (
            lambda n, k, s, p, d: (n + 2 * p - d * k) // s + 1
        ),
        "padding is added on both sides: n + 2p, not n + p.": lambda n, k, s, p, d: (n + p - d * (k - 1) - 1) // s + 1,
        "the padding is missing: the kernel slides over n + 2p pixels.": lambda n, k, s, p, d: (
            (n - d * (k - 1) - 1) // s + 1
        ),
        "divide by the stride before you add 1: the first window needs no step.": lambda n, k, s, p, d: (
            (n + 2 * p - d * (k - 1)) // s
        ),
    },
)


# 3. The formula backwards, and a stack to repair.


def _smallest_padding(wanted: int, n: int, k: int, s: int, d: int) -> int | None:
    """Try one padding after the other: the size grows with it, so stop when it has passed ``wanted``."""
    for p in range(n + d * k + wanted * s):
        if d * (k - 1) + 1 > n + 2 * p:
            continue
        size = _measured(n, k, s, p, d)
        if size >= wanted:
            return p if size == wanted else None
    return None


def _padding_cases(rng: random.Random) -> list[Case]:
    cases: list[Case] = [
        (28, 28, 5, 1, 1),
        (16, 32, 3, 2, 1),
        (32, 32, 3, 1, 2),
        (32, 32, 4, 1, 1),
        (20, 28, 3, 1, 1),
        (26, 28, 3, 1, 1),
        (14, 28, 4, 2, 1),
        (2, 1, 5, 1, 1),
    ]
    while len(cases) < 50:
        n, k, s, d = rng.randint(1, 40), rng.randint(1, 7), rng.randint(1, 3), rng.randint(1, 3)
        wanted = max(1, n // s + rng.randint(-2, 2))
        cases.append((wanted, n, k, s, d))
    return cases


def _from_equation(wanted: int, n: int, k: int, s: int, d: int) -> int | None:
    """Solve the formula without its floor: misses the paddings that leave a rest."""
    twice = (wanted - 1) * s + d * (k - 1) + 1 - n
    return twice // 2 if twice >= 0 and twice % 2 == 0 else None


def _rounded_up(wanted: int, n: int, k: int, s: int, d: int) -> int:
    return max(0, math.ceil(((wanted - 1) * s + d * (k - 1) + 1 - n) / 2))


def _without_dilation(wanted: int, n: int, k: int, s: int, d: int) -> int | None:
    return _smallest_padding(wanted, n, k, s, 1)


def _negative(wanted: int, n: int, k: int, s: int, d: int) -> int | None:
    p = math.ceil(((wanted - 1) * s + d * (k - 1) + 1 - n) / 2)
    return p if (n + 2 * p - d * (k - 1) - 1) // s + 1 == wanted else None


def _largest(wanted: int, n: int, k: int, s: int, d: int) -> int | None:
    span = d * (k - 1) + 1
    fits = [p for p in range(n + span + wanted * s) if n + 2 * p >= span and (n + 2 * p - span) // s + 1 == wanted]
    return max(fits, default=None)


padding_for = Task(
    "padding_for",
    reference=_smallest_padding,
    cases=_padding_cases,
    mistakes={
        "(k − 1)/2 keeps the size at stride 1 and dilation 1; here another size may be wanted, with any stride.": (
            lambda wanted, n, k, s, d: (k - 1) // 2
        ),
        "d·(k − 1)/2 keeps the size at stride 1; here another size may be wanted, with any stride.": (
            lambda wanted, n, k, s, d: d * (k - 1) // 2
        ),
        "the floor allows a rest smaller than the stride: with stride 2, padding 1 takes 28 to 14 for a 3×3 kernel, "
        "although (28 + 2 − 3)/2 is no whole number.": _from_equation,
        "there is not always a padding that fits: put your result into the formula, and return None when the size "
        "is not the wanted one.": _rounded_up,
        "the dilation is missing: the kernel spans d·(k − 1) + 1 pixels.": _without_dilation,
        "a padding cannot be negative: start from 0.": _negative,
        "several paddings can give the same size when the stride is large; return the smallest.": _largest,
    },
)

# The stack of the notebook: (kernel, stride, dilation) and the sizes that are wanted.
STACK = [(5, 1, 1), (3, 2, 1), (3, 1, 2), (4, 2, 1)]
WANTED = [28, 14, 14, 7]

paddings = Answer(
    "paddings",
    expected=lambda: [
        _smallest_padding(wanted, n, k, s, d)
        for wanted, n, (k, s, d) in zip(WANTED, [28, *WANTED], STACK, strict=False)
    ],
    mistakes={
        "that is the stack as it stands: 28 → 24 → 11 → 7 → 2.": [0, 0, 0, 0],
        "layer 2 has dilation 2: its kernel spans 5 pixels, and (k − 1)/2 is not enough.": [2, 1, 1, 1],
        "padding counts once for each side; a layer with padding 2 gets 4 more columns.": [4, 2, 4, 2],
        "that padding takes the last layer from 14 to 8; a 4×4 kernel with stride 2 needs one pixel on each side.": [
            2,
            1,
            2,
            2,
        ],
        "padding 1 everywhere keeps the size only for 3×3 kernels without dilation.": [1, 1, 1, 1],
    },
)


# 4. Padding by hand.


def _pad(image: torch.Tensor, p: int, mode: str) -> torch.Tensor:
    return F.pad(image[None, None], (p,) * 4, mode=MODES[mode])[0, 0]


def _numbered(rng: random.Random, h: int, w: int, dtype: torch.dtype = torch.float32) -> torch.Tensor:
    """Small whole numbers: exact in every order of summation, and short in a message."""
    return torch.tensor([[rng.randint(-4, 9) for _ in range(w)] for _ in range(h)], dtype=dtype)


def _pad_cases(rng: random.Random) -> list[Case]:
    cases: list[Case] = []
    for mode in MODES:
        shapes = [(2, 3, 1), (3, 2, 1), (4, 4, 2), (3, 5, 2), (5, 3, 2), (2, 6, 0), (4, 7, 3), (6, 4, 3)]
        cases += [(_numbered(rng, h, w), p, mode) for h, w, p in shapes]
        cases.append((_numbered(rng, 3, 4, torch.float64), 2, mode))
    # As far as each mode goes.
    cases += [
        (_numbered(rng, 1, 1), 3, "zeros"),
        (_numbered(rng, 1, 2), 3, "replicate"),
        (_numbered(rng, 3, 3), 3, "circular"),
    ]
    return cases


def _by_index(index: Callable[[int, int, str], list[int]]) -> Callable[[torch.Tensor, int, str], torch.Tensor]:
    """Return a padding function that differs from the right one in where it takes its pixels from."""

    def pad(image: torch.Tensor, p: int, mode: str) -> torch.Tensor:
        if mode == "zeros":
            return _pad(image, p, mode)
        h, w = image.shape
        return image[index(h, p, mode)][:, index(w, p, mode)]

    return pad


def _edge_repeated(n: int, p: int, mode: str) -> list[int]:
    if mode != "reflect":
        return _right_index(n, p, mode)
    period = [*range(n), *reversed(range(n))]
    return [period[i % (2 * n)] for i in range(-p, n + p)]


def _right_index(n: int, p: int, mode: str) -> list[int]:
    places = range(-p, n + p)
    if mode == "circular":
        return [i % n for i in places]
    if mode == "replicate":
        return [min(max(i, 0), n - 1) for i in places]
    return [abs(i) if i < n else 2 * (n - 1) - i for i in places]


def _sides_swapped(n: int, p: int, mode: str) -> list[int]:
    if mode != "circular":
        return _right_index(n, p, mode)
    return [*range(p), *range(n), *range(n - p, n)]


def _unmirrored(n: int, p: int, mode: str) -> list[int]:
    if mode != "reflect":
        return _right_index(n, p, mode)
    return [*range(1, p + 1), *range(n), *range(n - 1 - p, n - 1)]


def _swapped(one: str, other: str) -> Callable[[torch.Tensor, int, str], torch.Tensor]:
    names = {one: other, other: one}
    return lambda image, p, mode: _pad(image, p, names.get(mode, mode))


def _rows_only(image: torch.Tensor, p: int, mode: str) -> torch.Tensor:
    return _pad(image, p, mode)[:, p : p + image.shape[1]]


def _one_side(image: torch.Tensor, p: int, mode: str) -> torch.Tensor:
    return _pad(image, p, mode)[: image.shape[0] + p, : image.shape[1] + p]


pad2d = Task(
    "pad2d",
    reference=_pad,
    cases=_pad_cases,
    mistakes={
        "`reflect` mirrors at the edge pixel and does not repeat it: 1 2 3 becomes 3 2 | 1 2 3 | 2 1.": _by_index(
            _edge_repeated
        ),
        "`reflect` is a mirror: the nearest pixel of the frame copies the nearest neighbour of the edge.": _by_index(
            _unmirrored
        ),
        "`circular` continues on the other side: left of the image stand its last columns, not its first.": _by_index(
            _sides_swapped
        ),
        "`reflect` mirrors the image, `replicate` repeats its edge pixel; here they are swapped.": _swapped(
            "reflect", "replicate"
        ),
        "`circular` continues from the other side, `reflect` mirrors; here they are swapped.": _swapped(
            "circular", "reflect"
        ),
        "every mode came out as zeros; the frame is filled from the image in the other three.": lambda image, p, mode: (
            _pad(image, p, "zeros")
        ),
        "the columns are padded too: p on the left and p on the right.": _rows_only,
        "padding goes on all four sides: the result is (H + 2p, W + 2p).": _one_side,
        "the result keeps the type of the image: make it with `image.new_zeros(...)`, or give `dtype=image.dtype`.": (
            lambda image, p, mode: _pad(image, p, mode).float()
        ),
    },
)


# 5. The layer in loops.


def _conv(image: torch.Tensor, kernel: torch.Tensor, s: int, d: int) -> torch.Tensor:
    return F.conv2d(image[None, None], kernel[None, None], stride=s, dilation=d)[0, 0]


def _conv_cases(rng: random.Random) -> list[Case]:
    cases: list[Case] = [
        (_numbered(rng, 5, 5), _numbered(rng, 3, 3), 1, 1),
        (_numbered(rng, 5, 5), _numbered(rng, 3, 3), 2, 1),
        (_numbered(rng, 5, 5), _numbered(rng, 3, 3), 1, 2),
        (_numbered(rng, 4, 6), _numbered(rng, 1, 1), 3, 2),
        (_numbered(rng, 6, 5), _numbered(rng, 2, 3), 2, 1),
        (_numbered(rng, 3, 3, torch.float64), _numbered(rng, 2, 2, torch.float64), 1, 1),
    ]
    while len(cases) < 40:
        h, w, a, b = rng.randint(3, 9), rng.randint(3, 9), rng.randint(1, 4), rng.randint(1, 4)
        s, d = rng.randint(1, 3), rng.randint(1, 3)
        if d * (a - 1) < h and d * (b - 1) < w:
            cases.append((_numbered(rng, h, w), _numbered(rng, a, b), s, d))
    return cases


def _not_moved(image: torch.Tensor, kernel: torch.Tensor, s: int, d: int) -> torch.Tensor:
    right = _conv(image, kernel, s, d)
    return _conv(image, kernel, 1, d)[: right.shape[0], : right.shape[1]]


def _undilated(image: torch.Tensor, kernel: torch.Tensor, s: int, d: int) -> torch.Tensor:
    right = _conv(image, kernel, s, d)
    return _conv(image, kernel, s, 1)[: right.shape[0], : right.shape[1]]


correlate = Task(
    "correlate",
    reference=_conv,
    cases=_conv_cases,
    mistakes={
        "the kernel is flipped; PyTorch's convolution multiplies without flipping.": lambda image, kernel, s, d: _conv(
            image, kernel.flip(0, 1), s, d
        ),
        "the window of output (r, c) starts at (r·stride, c·stride), not at (r, c).": _not_moved,
        "the taps lie d pixels apart: tap (i, j) reads pixel (i·dilation, j·dilation) of the window.": _undilated,
        "the stride is missing: the window moves by s pixels, so there are fewer outputs.": (
            lambda image, kernel, s, d: _conv(image, kernel, 1, d)
        ),
        "the dilation is missing: the kernel spans d·(k − 1) + 1 pixels, so there are fewer outputs.": (
            lambda image, kernel, s, d: _conv(image, kernel, s, 1)
        ),
        "stride and dilation are swapped.": lambda image, kernel, s, d: _conv(image, kernel, d, s),
        "rows and columns are swapped: the result is (height, width).": lambda image, kernel, s, d: (
            _conv(image, kernel, s, d).T
        ),
        "the result keeps the type of the image: make it with `image.new_zeros(...)`.": (
            lambda image, kernel, s, d: _conv(image, kernel, s, d).float()
        ),
    },
)


# 6. The widest view without holes.


def touched(dilations: tuple[int, ...]) -> torch.Tensor:
    """Return which pixels one output of stacked 3×3 layers depends on: bool, (span, span)."""
    span = 1 + 2 * sum(dilations)
    image = torch.zeros(1, 1, span, span, requires_grad=True)
    result = image
    for d in dilations:
        result = F.conv2d(result, torch.ones(1, 1, 3, 3), dilation=d)
    result.sum().backward()
    return image.grad[0, 0] > 0


def _widest() -> list[int]:
    # Three layers of 3 taps reach at most 3³ = 27 different places, so no dilation above 12 can be right.
    without_holes = [c for c in itertools.combinations_with_replacement(range(1, 13), 3) if touched(c).all()]
    return list(max(without_holes, key=sum))


dilations = Answer(
    "dilations",
    expected=_widest,
    mistakes={
        "no holes, and a span of 13; it can be wider.": [1, 2, 3],
        "no holes, and a span of 15; it can be wider.": [1, 2, 4],
        "no holes, and a span of 17; it can be wider.": [1, 2, 5],
        "no holes, and a span of 21; it can be wider. The second dilation need not be 2.": [1, 2, 7],
        "no holes, and a span of 25; it can be a little wider.": [1, 3, 8],
        "that has holes: no sum of these steps reaches a pixel at an odd distance.": [2, 2, 2],
        "nearly: count the pixels that are read; there are holes.": [1, 3, 10],
        "write the smallest dilation first.": [9, 3, 1],
    },
)
