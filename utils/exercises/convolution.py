"""Checks for the exercises on convolution."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import nn

from utils.exercises.core import Answer, Case, Task, Verdict, fail, not_yet

Tensor = torch.Tensor


def _correlate(image: Tensor, kernel: Tensor) -> Tensor:
    """Slide an (h, w) kernel over an (H, W) image, as PyTorch does."""
    return F.conv2d(image[None, None], kernel[None, None])[0, 0]


def _numbered(rng: random.Random, *shape: int, dtype: torch.dtype = torch.float32) -> Tensor:
    """Small whole numbers: exact in every order of summation, and short in a message."""
    count = torch.Size(shape).numel()
    return torch.tensor([rng.randint(-2, 5) for _ in range(count)], dtype=dtype).view(shape)


# 1. Predict what two edge kernels answer. The image and the kernels are printed in the notebook from here.

IMAGE = torch.tensor([[0.0] * 6] * 2 + [[4.0] * 6] * 3)
DOWN = torch.tensor([[-1.0, -1, -1], [0, 0, 0], [1, 1, 1]])
ACROSS = torch.tensor([[-1.0, 0, 1]] * 3)

edge_down = Answer(
    "edge_down",
    expected=lambda: _correlate(IMAGE, DOWN)[:, 0].tolist(),
    mistakes={
        "the kernel subtracts the top row from the bottom row, and the image does change on the way down.": [0, 0, 0],
        "the sign: the bottom row of the kernel is +1, and below the edge the image is bright.": [-12, -12, 0],
        "three columns count: each row of the kernel is a sum over three pixels.": [4, 4, 0],
        "two windows straddle the edge: the one from row 0 and the one from row 1.": [12, 0, 0],
        "the window from row 0 has its bottom row on row 2, which is bright already.": [0, 12, 0],
        "the last window lies on rows 2, 3 and 4, which are all equal.": [12, 12, 12],
        "a column of the output has 5 − 3 + 1 = 3 numbers.": [12, 12, 0, 0],
    },
)

edge_across = Answer(
    "edge_across",
    expected=lambda: _correlate(IMAGE, ACROSS)[0].tolist(),
    mistakes={
        "the kernel compares left with right; in this image each row has one value from left to right.": [12] * 4,
        "that is what a change of brightness from left to right would give, and rows here do not change.": [4] * 4,
        "the bright right column is +1, and the equally bright left column −1: they cancel.": [-12] * 4,
        "a row of the output has 6 − 3 + 1 = 4 numbers.": [0] * 6,
        "a row of the output has 6 − 3 + 1 = 4 numbers, not 3.": [0] * 3,
    },
)


# 2. Correlation, looped over the kernel. 3. True convolution.


def _image_cases(rng: random.Random) -> list[Case]:
    shapes = [
        ((4, 5), (3, 3)),
        ((4, 4), (2, 2)),
        ((3, 6), (3, 2)),
        ((6, 3), (2, 3)),
        ((5, 5), (1, 1)),
        ((3, 4), (3, 4)),
        ((1, 7), (1, 3)),
        ((7, 1), (3, 1)),
    ]
    while len(shapes) < 30:
        size = rng.randint(1, 9), rng.randint(1, 9)
        shapes.append((size, (rng.randint(1, size[0]), rng.randint(1, size[1]))))
    cases: list[Case] = [(_numbered(rng, *size), _numbered(rng, *side)) for size, side in shapes]
    double = torch.float64
    return [*cases, (_numbered(rng, 4, 6, dtype=double), _numbered(rng, 3, 2, dtype=double))]


def _padded(image: Tensor, kernel: Tensor) -> Tensor:
    (h, w), (height, width) = kernel.shape, image.shape
    top, left = (h - 1) // 2, (w - 1) // 2
    return _correlate(F.pad(image, (left, w - 1 - left, top, h - 1 - top)), kernel).view(height, width)


def _last_weight(image: Tensor, kernel: Tensor) -> Tensor:
    (h, w), (height, width) = kernel.shape, image.shape
    return kernel[-1, -1] * image[h - 1 : height, w - 1 : width]


correlate2d = Task(
    "correlate2d",
    reference=_correlate,
    cases=_image_cases,
    mistakes={
        "your kernel is turned by 180°: that is true convolution. Here weight [i, j] meets pixel [r + i, c + j].": (
            lambda image, kernel: _correlate(image, kernel.flip(0, 1))
        ),
        "rows and columns of the kernel are exchanged: weight [i, j] belongs to the image moved by i rows and j "
        "columns.": lambda image, kernel: _correlate(image, kernel.T),
        "one window is missing in each direction: a kernel of k pixels has n − k + 1 places.": (
            lambda image, kernel: _correlate(image, kernel)[:-1, :-1]
        ),
        "only the last weight is left: add to the output (+=) instead of overwriting it (=).": _last_weight,
        "the products of a window are added up, not averaged.": (
            lambda image, kernel: _correlate(image, kernel) / kernel.numel()
        ),
        "no padding is wanted: the output is smaller than the image, n − k + 1 along each axis.": _padded,
    },
)


def _convolve(image: Tensor, kernel: Tensor) -> Tensor:
    return _correlate(image, kernel.flip(0, 1))


convolve2d = Task(
    "convolve2d",
    reference=_convolve,
    cases=_image_cases,
    mistakes={
        "the kernel was not turned: that is cross-correlation, which F.conv2d computes.": _correlate,
        "the kernel is mirrored from left to right only; a turn by 180° reverses the rows, too.": (
            lambda image, kernel: _correlate(image, kernel.flip(1))
        ),
        "the kernel is mirrored from top to bottom only; a turn by 180° reverses the columns, too.": (
            lambda image, kernel: _correlate(image, kernel.flip(0))
        ),
        "the kernel is transposed; a turn by 180° reverses both axes and exchanges none.": (
            lambda image, kernel: _correlate(image, kernel.T)
        ),
        "the image is turned instead of the kernel, so the output comes out turned.": (
            lambda image, kernel: _correlate(image.flip(0, 1), kernel)
        ),
        "a negative kernel is not a turned one: the two agree only for kernels such as columns 1, 0, −1.": (
            lambda image, kernel: -_correlate(image, kernel)
        ),
    },
)


# 4. Repair a layer with many channels.


def _layer_cases(rng: random.Random) -> list[Case]:
    # The first cases are small enough to be printed in full; then batch, channels, height, width and kernels vary.
    sizes = [(1, 2, 3, 3, 1, 2, 2), (1, 3, 3, 4, 2, 3, 3), (2, 1, 4, 3, 2, 2, 2), (2, 3, 5, 7, 4, 3, 3)]
    while len(sizes) < 24:
        height, width = rng.randint(1, 7), rng.randint(1, 7)
        h, w = rng.randint(1, height), rng.randint(1, width)
        sizes.append((rng.randint(1, 3), rng.randint(1, 4), height, width, rng.randint(1, 5), h, w))
    return [
        (_numbered(rng, n, c, height, width), _numbered(rng, k, c, h, w), _numbered(rng, k) + 0.5)
        for n, c, height, width, k, h, w in sizes
    ]


def _last_channel(images: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    return F.conv2d(images[:, -1:], weight[:, -1:], bias)


conv_layer = Task(
    "conv_layer",
    reference=F.conv2d,
    cases=_layer_cases,
    mistakes={
        "only the last channel is left: the results of the channels are added, so use += instead of =.": _last_channel,
        "the bias is in the sum once for each input channel; an output channel has one bias, added once.": (
            lambda images, weight, bias: F.conv2d(images, weight, bias * images.shape[1])
        ),
        "the bias is missing.": lambda images, weight, bias: F.conv2d(images, weight),
        "the bias is missing, and only the last channel is left.": (
            lambda images, weight, bias: F.conv2d(images[:, -1:], weight[:, -1:])
        ),
        "the channels are averaged; they are added.": (
            lambda images, weight, bias: F.conv2d(images, weight / images.shape[1], bias)
        ),
        "the bias is subtracted; it is added.": lambda images, weight, bias: F.conv2d(images, weight, -bias),
    },
)


# 5. Count parameters and multiply-adds.


def _cost(in_channels: int, out_channels: int, kernel: tuple[int, int], height: int, width: int, bias: bool):
    """Return what PyTorch holds and computes; meta tensors have a shape and no values."""
    layer = nn.Conv2d(in_channels, out_channels, kernel, bias=bias, device="meta")
    output = layer(torch.empty(1, in_channels, height, width, device="meta"))
    parameters = sum(p.numel() for p in layer.parameters())
    return parameters, layer.weight.numel() * output.shape[2] * output.shape[3]


def _cost_cases(rng: random.Random) -> list[Case]:
    cases: list[Case] = [
        (3, 64, (3, 3), 224, 224, True),
        (1, 6, (5, 5), 28, 28, True),
        (3, 8, (3, 5), 20, 30, False),
        (16, 32, (1, 1), 7, 7, True),
        (4, 1, (6, 9), 6, 9, True),
    ]
    while len(cases) < 40:
        height, width = rng.randint(1, 40), rng.randint(1, 40)
        kernel = rng.randint(1, min(height, 7)), rng.randint(1, min(width, 7))
        cases.append((rng.randint(1, 32), rng.randint(1, 32), kernel, height, width, rng.random() < 0.5))
    return cases


def _counting(parameters: Callable[..., int], work: Callable[..., int]) -> Callable[..., tuple[int, int]]:
    """Return a wrong count from formulas in i, o, h, w, H, W (of the output) and b, the number of biases."""

    def count(in_channels, out_channels, kernel, height, width, bias):
        h, w = kernel
        values = (in_channels, out_channels, h, w, height - h + 1, width - w + 1, out_channels * bias)
        return parameters(*values), work(*values)

    return count


def _p(i, o, h, w, H, W, b):
    return i * o * h * w + b


def _m(i, o, h, w, H, W, b):
    return i * o * h * w * H * W


layer_cost = Task(
    "layer_cost",
    reference=_cost,
    cases=_cost_cases,
    mistakes={
        "the biases are not counted: one for each output channel, when bias is True.": _counting(
            lambda i, o, h, w, H, W, b: i * o * h * w, _m
        ),
        "the biases are counted although bias is False.": _counting(lambda i, o, h, w, H, W, b: i * o * h * w + o, _m),
        "a kernel has a slice for each input channel: in_channels is missing from the weights.": _counting(
            lambda i, o, h, w, H, W, b: o * h * w + b, lambda i, o, h, w, H, W, b: o * h * w * H * W
        ),
        "the bias belongs to a kernel, not to each of its slices: out_channels biases in all.": _counting(
            lambda i, o, h, w, H, W, b: i * o * h * w + i * b, _m
        ),
        "multiply-adds are counted at each place of the *output*, which is smaller than the image: n − k + 1.": (
            _counting(_p, lambda i, o, h, w, H, W, b: i * o * h * w * (H + h - 1) * (W + w - 1))
        ),
        "an output has n − k + 1 places along an axis, not n − k.": _counting(
            _p, lambda i, o, h, w, H, W, b: i * o * h * w * (H - 1) * (W - 1)
        ),
        "adding a bias multiplies nothing: count the weights only in the multiply-adds.": _counting(
            _p, lambda i, o, h, w, H, W, b: (i * o * h * w + b) * H * W
        ),
        "that counts outputs; each of them takes one multiply-add for every weight of its kernel.": _counting(
            _p, lambda i, o, h, w, H, W, b: o * H * W
        ),
        "the kernel is (height, width); it need not be square.": _counting(
            lambda i, o, h, w, H, W, b: i * o * h * h + b, lambda i, o, h, w, H, W, b: i * o * h * h * H * W
        ),
    },
)


# 6. Design two kernels; they are judged by what they do.


@dataclass(frozen=True)
class Kernel(Answer):
    """A 3×3 kernel with given properties; any kernel that has them is right.

    Attributes
    ----------
    expected : callable() → tensor (3, 3)
        One kernel that passes.
    properties : sequence of functions
        Each takes the kernel, float32 of shape (3, 3), and returns "" or what it does wrong.
    """

    properties: Sequence[Callable[[Tensor], str]] = ()

    def __call__(self, answer: Any) -> Verdict:
        """Check ``answer`` (``...`` means not yet), print what came out, and return whether it passed."""
        if answer is ...:
            return not_yet(self.name, "replace the ... by three rows of three numbers.")
        try:
            kernel = torch.as_tensor(answer).to(torch.float32)
        except (TypeError, ValueError, RuntimeError):
            return fail(self.name, f"{answer!r} is not a kernel; give three rows of three numbers.")
        if kernel.shape != (3, 3):
            return fail(self.name, f"the kernel has shape {tuple(kernel.shape)}, but it must have (3, 3).")
        if not torch.isfinite(kernel).all():
            return fail(self.name, "the kernel holds a value that is not finite.")
        for wrong in self.properties:
            if fault := wrong(kernel):
                return fail(self.name, fault)
        print(f"✓ {self.name}: it does what was asked.")
        return Verdict(True)


def _moves_left(kernel: Tensor) -> str:
    image = _numbered(random.Random(1), 5, 7)
    output, where = _correlate(image, kernel), "output [r, c] belongs to pixel [r + 1, c + 1], the middle of its window"
    moves = {
        "stays where it is": image[1:-1, 1:-1],
        "moves right": image[1:-1, :-2],
        "moves up": image[2:, 1:-1],
        "moves down": image[:-2, 1:-1],
    }
    if torch.allclose(output, image[1:-1, 2:], atol=1e-4):
        return ""
    for what, moved in moves.items():
        if torch.allclose(output, moved, atol=1e-4):
            return f"with this kernel the picture {what}; to move left, each output must be its *right* neighbour."
    if torch.count_nonzero(kernel) == 1 and kernel.abs().max() != 1:
        return f"the values change by a factor of {kernel.sum():g}; a picture that only moves keeps them."
    return (
        f"on a random image the first output is {output[0, 0]:g}, and the pixel right of the middle {image[1, 2]:g} "
        f"({where})."
    )


shift_left = Kernel(
    "shift_left",
    expected=lambda: torch.tensor([[0.0, 0, 0], [0, 0, 1], [0, 0, 0]]),
    properties=(_moves_left,),
)


def _flat(kernel: Tensor) -> str:
    answer = _correlate(torch.full((3, 3), 10.0), kernel).item()
    return "" if abs(answer) < 1e-3 else f"on a flat image of 10 it answers {answer:g}, not 0; look at the sum."


def _ramp(kernel: Tensor) -> str:
    rising = torch.arange(1.0, 4).repeat(3, 1)
    for what, image in (("left to right", rising), ("top to bottom", rising.T)):
        answer = _correlate(image, kernel).item()
        if abs(answer) > 1e-3:
            return f"on a ramp 1, 2, 3 from {what} it answers {answer:g}, not 0; opposite weights must balance."
    return ""


def _dot(kernel: Tensor) -> str:
    image = torch.zeros(7, 7)
    image[3, 3] = 1
    answer = _correlate(image, kernel)
    if answer[2, 2] <= 1e-3:
        return f"at a single pixel of 1 on black it answers {answer[2, 2]:g}; it must be greater than 0."
    away = answer.clone()
    away[2, 2] = -torch.inf
    if away.max() >= answer[2, 2] - 1e-3:
        return f"beside a bright dot it answers {away.max():g}, and at the dot {answer[2, 2]:g}; the dot must win."
    return ""


dot_finder = Kernel(
    "dot_finder",
    expected=lambda: torch.tensor([[-1.0, -1, -1], [-1, 8, -1], [-1, -1, -1]]),
    properties=(_flat, _ramp, _dot),
)
