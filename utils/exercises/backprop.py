"""Checks for the exercises on back-propagation through convolution and pooling."""

from __future__ import annotations

import random
from collections.abc import Callable

import torch
import torch.nn.functional as F

from utils.exercises.core import Answer, Case, Task

# 1. Predict where gradients land. The table in the notebook is printed from here.

_ONES = torch.ones(1, 1, 3, 3)

LAYERS: list[tuple[str, Callable[[torch.Tensor], torch.Tensor], int, int]] = [
    ("nn.Conv2d(1, 1, 3)", lambda x: F.conv2d(x, _ONES), 2, 1),
    ("nn.Conv2d(1, 1, 3, stride=2, padding=1)", lambda x: F.conv2d(x, _ONES, stride=2, padding=1), 0, 2),
    ("nn.Conv2d(1, 1, 3, padding=1, dilation=2)", lambda x: F.conv2d(x, _ONES, padding=1, dilation=2), 2, 1),
    ("nn.AvgPool2d(2)", lambda x: F.avg_pool2d(x, 2), 1, 2),
    ("nn.MaxPool2d(2)", lambda x: F.max_pool2d(x, 2), 1, 2),
]


def _box(layer: Callable[[torch.Tensor], torch.Tensor], row: int, column: int) -> list[int]:
    """First and last row, first and last column that the gradient of one output reaches."""
    x = torch.arange(36.0).view(1, 1, 6, 6).requires_grad_()
    layer(x)[0, 0, row, column].backward()
    rows, columns = x.grad[0, 0].nonzero(as_tuple=True)
    return [rows.min().item(), rows.max().item(), columns.min().item(), columns.max().item()]


def _boxes(**changed: list[int]) -> list[list[int]]:
    """The right answer with some rows, named row1 to row5, replaced."""
    right = [[2, 4, 1, 3], [0, 1, 3, 5], [1, 5, 0, 4], [2, 3, 4, 5], [3, 3, 5, 5]]
    return [changed.get(f"row{i}", box) for i, box in enumerate(right, 1)]


lands = Answer(
    "lands",
    expected=lambda: [_box(layer, row, column) for _, layer, row, column in LAYERS],
    mistakes={
        "row 1: output (2, 1) reads the window that begins at pixel (2, 1); 3 pixels end at 4, not at 5.": _boxes(
            row1=[2, 5, 1, 4]
        ),
        "row 1: an output reads the window that *begins* at its own place; here it was put in the middle.": _boxes(
            row1=[1, 3, 0, 2]
        ),
        "row 2: the window begins one pixel above the map, in the padding, and no pixel has row −1.": _boxes(
            row2=[-1, 1, 3, 5]
        ),
        "row 2: the windows are two pixels apart: output column 2 begins at 2·2 − 1.": _boxes(row2=[0, 1, 1, 3]),
        "row 2: the padding moves the windows by one pixel up and to the left.": _boxes(row2=[0, 2, 4, 6]),
        "row 3: with dilation 2 three weights span five pixels.": _boxes(row3=[1, 3, 0, 2]),
        "row 3: the padding moves the window by one pixel up and to the left.": _boxes(row3=[2, 6, 1, 5]),
        "row 4: pooling windows of 2 are two pixels apart unless a stride is given.": _boxes(row4=[1, 2, 2, 3]),
        "row 5: max pooling sends the gradient to the winner alone.": _boxes(row5=[2, 3, 4, 5]),
        "row 5: the numbers grow towards the bottom right, so the winner stands there.": _boxes(row5=[2, 2, 4, 4]),
    },
)


# 2. The two gradients of a convolution.


def _map(rng: random.Random, h: int, w: int, dtype: torch.dtype = torch.float32) -> torch.Tensor:
    """Small whole numbers: exact in every order of summation, and short in a message."""
    return torch.tensor([[rng.randint(-9, 9) for _ in range(w)] for _ in range(h)], dtype=dtype)


def _shapes(rng: random.Random) -> list[tuple[tuple[int, int], tuple[int, int], int]]:
    """Sizes of map and kernel, and a stride: small square and oblong ones, with and without pixels left over."""
    shapes = [
        ((1, 5), (1, 3), 1),
        ((3, 3), (2, 2), 1),
        ((4, 4), (3, 3), 1),
        ((4, 6), (2, 3), 1),
        ((6, 4), (3, 1), 1),
        ((3, 3), (3, 3), 1),
        ((3, 2), (1, 1), 1),
        ((5, 5), (3, 3), 2),
        ((6, 6), (3, 3), 2),  # a row and a column are left over
        ((4, 7), (1, 2), 3),
        ((6, 5), (2, 2), 3),  # stride larger than the kernel
    ]
    while len(shapes) < 40:
        h, w = rng.randint(1, 3), rng.randint(1, 3)
        shapes.append(((rng.randint(h, 8), rng.randint(w, 8)), (h, w), rng.choice([1, 1, 2, 3])))
    return shapes


def _places(size: tuple[int, int], kernel: tuple[int, int], stride: int) -> tuple[int, int]:
    h, w = ((n - k) // stride + 1 for n, k in zip(size, kernel, strict=True))
    return h, w


def _convolution_cases(rng: random.Random) -> list[tuple[torch.Tensor, torch.Tensor, torch.Tensor, int]]:
    """Draw (map, kernel, output gradient, stride)."""
    cases = []
    for number, (size, kernel, stride) in enumerate(_shapes(rng)):
        dtype = torch.float64 if number % 7 == 5 else torch.float32
        places = _places(size, kernel, stride)
        cases.append((_map(rng, *size, dtype), _map(rng, *kernel, dtype), _map(rng, *places, dtype), stride))
    return cases


def _gradients(x: torch.Tensor, kernel: torch.Tensor, g: torch.Tensor, stride: int) -> tuple[torch.Tensor, ...]:
    """Autograd's gradients of the map and of the kernel."""
    with torch.enable_grad():
        x, kernel = x.detach().clone().requires_grad_(), kernel.detach().clone().requires_grad_()
        y = F.conv2d(x[None, None], kernel[None, None], stride=stride)[0, 0]
        return torch.autograd.grad(y, (x, kernel), g)


def _kernel_gradient(x, g, size, stride=1):
    return _gradients(x, torch.zeros(size, dtype=x.dtype), g, stride)[1]


def _input_gradient(g, kernel, size, stride=1):
    return _gradients(torch.zeros(size, dtype=g.dtype), kernel, g, stride)[0]


def _one_apart(x, g, size, stride=1):
    """Take the windows one pixel apart, whatever the stride."""
    h, w = g.shape
    return _kernel_gradient(x[: h + size[0] - 1, : w + size[1] - 1], g, size)


def _last(x, g, size, stride=1):
    """Let the last output overwrite the others."""
    r, c = g.shape[0] - 1, g.shape[1] - 1
    return g[r, c] * x[r * stride : r * stride + size[0], c * stride : c * stride + size[1]]


kernel_gradient = Task(
    "kernel_gradient",
    reference=_kernel_gradient,
    cases=lambda rng: [(x, g, tuple(k.shape), stride) for x, k, g, stride in _convolution_cases(rng)],
    mistakes={
        "the windows are `stride` pixels apart; here they are one apart.": _one_apart,
        "every output adds to the gradient (+=); here the last one overwrites the others.": _last,
        "the kernel gradient is not turned: weight (0, 0) met pixel (0, 0) for output (0, 0).": (
            lambda x, g, size, stride=1: _kernel_gradient(x, g, size, stride).flip(0, 1)
        ),
        "the output gradient must not be turned: output (r, c) comes with g[r, c].": (
            lambda x, g, size, stride=1: _kernel_gradient(x, g.flip(0, 1), size, stride)
        ),
        "add up over the outputs; do not take the mean, for the weight acts through all of them.": (
            lambda x, g, size, stride=1: _kernel_gradient(x, g, size, stride) / g.numel()
        ),
        "the output gradient is missing: each window counts g[r, c] times.": lambda x, g, size, stride=1: (
            _kernel_gradient(x, torch.ones_like(g), size, stride)
        ),
        "rows and columns are swapped.": lambda x, g, size, stride=1: _kernel_gradient(x, g, size, stride).T,
        "the sign is wrong: a gradient step would subtract, the gradient itself does not.": (
            lambda x, g, size, stride=1: -_kernel_gradient(x, g, size, stride)
        ),
    },
)


def _overwriting(g, kernel, size, stride=1):
    result = torch.zeros(size, dtype=g.dtype)
    h, w = kernel.shape
    for r in range(g.shape[0]):
        for c in range(g.shape[1]):
            result[r * stride : r * stride + h, c * stride : c * stride + w] = g[r, c] * kernel
    return result


def _packed(g, kernel, size, stride=1):
    """Put the windows one pixel apart, whatever the stride."""
    result = torch.zeros(size, dtype=g.dtype)
    stamped = _stamped(g, kernel, size)
    result[: stamped.shape[0], : stamped.shape[1]] = stamped
    return result


def _stamped(g, kernel, size, stride=1):
    """The stamps alone, without what no window reads."""
    return F.conv_transpose2d(g[None, None], kernel[None, None], stride=stride)[0, 0]


input_gradient = Task(
    "input_gradient",
    reference=_input_gradient,
    cases=lambda rng: [(g, k, tuple(x.shape), stride) for x, k, g, stride in _convolution_cases(rng)],
    mistakes={
        "the windows are `stride` pixels apart; here they are one apart.": _packed,
        "windows overlap: add (+=) to what is there; here later outputs overwrite earlier ones.": _overwriting,
        "sending is not turned, collecting is: the weight that met the pixel goes to it. If you use F.conv2d on a "
        "framed g, turn the kernel; if you add g[r, c] · kernel to a window, do not.": (
            lambda g, kernel, size, stride=1: _input_gradient(g, kernel.flip(0, 1), size, stride)
        ),
        "the result must have the size of the map; pixels that no window reads have the gradient 0.": _stamped,
        "the output gradient is missing: each window receives g[r, c] times the kernel.": (
            lambda g, kernel, size, stride=1: _input_gradient(torch.ones_like(g), kernel, size, stride)
        ),
        "the kernel is missing: a pixel receives g times the weight that it met.": (
            lambda g, kernel, size, stride=1: _input_gradient(g, torch.ones_like(kernel), size, stride)
        ),
        "the sign is wrong: a gradient step would subtract, the gradient itself does not.": (
            lambda g, kernel, size, stride=1: -_input_gradient(g, kernel, size, stride)
        ),
    },
)


# 3. Pooling, there and back.


def _max_pool(x: torch.Tensor, k: int, stride: int) -> tuple[torch.Tensor, torch.Tensor]:
    values, indices = F.max_pool2d(x[None, None], k, stride, return_indices=True)
    return values[0, 0], indices[0, 0]


def _max_pool_cases(rng: random.Random) -> list[Case]:
    cases: list[Case] = [
        (torch.tensor([[1, 3, 2, 4], [5, 6, 1, 2], [1, 2, 7, 3], [0, 4, 8, 5.0]]), 2, 2),
        (_map(rng, 2, 6), 2, 2),
        (_map(rng, 6, 2), 2, 2),
        (_map(rng, 4, 4), 3, 1),
        (torch.zeros(3, 5), 2, 1),  # ties everywhere
        (torch.tensor([[2, 2, 0, 1], [2, 2, 1, 1.0]]), 2, 2),
        (-_map(rng, 3, 3).abs() - 1, 3, 3),  # all negative
        (_map(rng, 5, 7), 2, 2),  # a row and a column are left over
        (_map(rng, 3, 2), 1, 1),
        (_map(rng, 4, 6, torch.float64), 2, 2),
    ]
    while len(cases) < 40:
        k = rng.randint(1, 3)
        cases.append((_map(rng, rng.randint(k, 7), rng.randint(k, 7)), k, rng.randint(1, 3)))
    return cases


def _pooled(place: Callable[[torch.Tensor], int], index: Callable[..., int] | None = None, reduce=None):
    """Max pooling with one part to vary: which pixel of the flat window wins, and how it is counted."""
    index = index or (lambda top, left, place, k, width: (top + place // k) * width + left + place % k)

    def pool(x: torch.Tensor, k: int, stride: int) -> tuple[torch.Tensor, torch.Tensor]:
        rows, columns = _places(tuple(x.shape), (k, k), stride)
        values, indices = x.new_zeros(rows, columns), torch.zeros(rows, columns, dtype=torch.int64)
        for r in range(rows):
            for c in range(columns):
                top, left = r * stride, c * stride
                window = x[top : top + k, left : left + k].flatten()
                winner = place(window)
                values[r, c] = reduce(window) if reduce else window[winner]
                indices[r, c] = index(top, left, winner, k, x.shape[1])
        return values, indices

    return pool


def _first(window: torch.Tensor) -> int:
    return window.tolist().index(max(window.tolist()))


def _last_place(window: torch.Tensor) -> int:
    return len(window) - 1 - window.flip(0).tolist().index(max(window.tolist()))


def _smallest(window: torch.Tensor) -> int:
    return window.tolist().index(min(window.tolist()))


max_pool = Task(
    "max_pool",
    reference=_max_pool,
    cases=_max_pool_cases,
    mistakes={
        "the index is counted in the window; count it in the map: row · W + column.": _pooled(
            _first, lambda top, left, place, k, width: place
        ),
        "the index counts `height` numbers in a row of the map; a row has W, its width.": lambda x, k, stride: _pooled(
            _first, lambda top, left, place, _k, _w: (top + place // k) * x.shape[0] + left + place % k
        )(x, k, stride),
        "the index is that of the window's first pixel; add the place of the winner in the window.": _pooled(
            _first, lambda top, left, place, k, width: top * width + left
        ),
        "the place in the window is counted k to a row: row place // k, column place % k.": _pooled(
            _first, lambda top, left, place, k, width: top * width + left + place
        ),
        "in a tie the first pixel in reading order wins; here the last one does.": _pooled(_last_place),
        "the windows are `stride` pixels apart; here they are k apart.": lambda x, k, stride: _max_pool(x, k, k),
        "the windows are `stride` pixels apart; here they are one apart.": lambda x, k, stride: _max_pool(x, k, 1),
        "that is the smallest number of each window.": _pooled(_smallest),
        "compare the numbers themselves, not their sizes without sign: −3 is less than 1.": _pooled(
            lambda window: _first(window.abs())
        ),
    },
)


def _max_back(g, indices, size):
    result = torch.zeros(size, dtype=g.dtype).flatten()
    for value, index in zip(g.flatten(), indices.flatten().tolist(), strict=True):
        result[index] += value
    return result.view(size)


def _unpool(g: torch.Tensor, indices: torch.Tensor, size: tuple[int, int]) -> torch.Tensor:
    """Autograd's answer: choosing pixels by their indices has the same backward pass as max pooling."""
    with torch.enable_grad():
        x = torch.zeros(size, dtype=g.dtype, requires_grad=True)
        return torch.autograd.grad(x.flatten()[indices], x, g)[0]


def _max_backward_cases(rng: random.Random) -> list[Case]:
    cases: list[Case] = [(torch.tensor([[1, 2.0]]), torch.tensor([[4, 4]]), (2, 3))]
    for x, k, stride in _max_pool_cases(rng):
        _, indices = _max_pool(x, k, stride)
        cases.append((_map(rng, *indices.shape, x.dtype), indices, tuple(x.shape)))
    return cases


def _max_overwrite(g, indices, size):
    result = torch.zeros(size, dtype=g.dtype).flatten()
    for value, index in zip(g.flatten(), indices.flatten().tolist(), strict=True):
        result[index] = value
    return result.view(size)


max_pool_backward = Task(
    "max_pool_backward",
    reference=_unpool,
    cases=_max_backward_cases,
    mistakes={
        "a pixel that wins several windows adds up their gradients; here the last one overwrites the others.": (
            _max_overwrite
        ),
        "the output gradient is missing: the winner receives g, not 1.": lambda g, indices, size: _max_back(
            torch.ones_like(g), indices, size
        ),
        "the indices are counted row by row, W to a row; here rows and columns are swapped.": (
            lambda g, indices, size: _max_back(g, indices, size[::-1]).T.contiguous()
        ),
        "the result must have the shape of the map, (H, W); reshape it at the end.": lambda g, indices, size: _max_back(
            g, indices, size
        ).flatten(),
        "use dtype=g.dtype for the result.": lambda g, indices, size: _max_back(g, indices, size).double(),
    },
)


def _average_backward(g: torch.Tensor, k: int, stride: int, size: tuple[int, int]) -> torch.Tensor:
    with torch.enable_grad():
        x = torch.zeros(size, dtype=g.dtype, requires_grad=True)
        return torch.autograd.grad(F.avg_pool2d(x[None, None], k, stride)[0, 0], x, g)[0]


def _average_cases(rng: random.Random) -> list[Case]:
    cases: list[Case] = [(torch.tensor([[4, 8.0]]), 2, 2, (2, 4))]
    for x, k, stride in _max_pool_cases(rng):
        places = _places(tuple(x.shape), (k, k), stride)
        cases.append((_map(rng, *places, x.dtype), k, stride, tuple(x.shape)))
    return cases


def _average_overwrite(g, k, stride, size):
    return _overwriting(g, torch.full((k, k), 1 / k**2, dtype=g.dtype), size, stride)


def _shared_by_windows(g, k, stride, size):
    """Divide each pixel by the number of windows that read it."""
    count = _average_backward(torch.ones_like(g), k, stride, size) * k**2
    return _average_backward(g, k, stride, size) / count.clamp(min=1)


average_pool_backward = Task(
    "average_pool_backward",
    reference=_average_backward,
    cases=_average_cases,
    mistakes={
        "each of the k² pixels gets a share of 1/k²; here each gets all of g.": lambda g, k, stride, size: (
            _average_backward(g, k, stride, size) * k**2
        ),
        "the window has k² pixels, so the share is 1/k², not 1/k.": lambda g, k, stride, size: (
            _average_backward(g, k, stride, size) * k
        ),
        "windows overlap: add (+=) to what is there; here later outputs overwrite earlier ones.": _average_overwrite,
        "the windows are `stride` pixels apart; here they are one apart.": lambda g, k, stride, size: _packed(
            g, torch.full((k, k), 1 / k**2, dtype=g.dtype), size
        ),
        "a pixel adds up what its windows send; do not take the mean over the windows.": _shared_by_windows,
        "the result must have the size of the map; pixels that no window reads have the gradient 0.": (
            lambda g, k, stride, size: _stamped(g, torch.full((k, k), 1 / k**2, dtype=g.dtype), size, stride)
        ),
    },
)


# 4. Three mistakes in one backward pass.


def _conv_backward(x: torch.Tensor, weight: torch.Tensor, g: torch.Tensor) -> tuple[torch.Tensor, ...]:
    with torch.enable_grad():
        inputs = x.detach().clone(), weight.detach().clone(), weight.new_zeros(len(weight))
        for tensor in inputs:
            tensor.requires_grad_()
        return torch.autograd.grad(F.conv2d(*inputs), inputs, g)


def _batch(rng: random.Random, *shape: int, dtype: torch.dtype = torch.float32) -> torch.Tensor:
    n, c, h, w = shape
    return torch.stack([torch.stack([_map(rng, h, w, dtype) for _ in range(c)]) for _ in range(n)])


def _conv_cases(rng: random.Random) -> list[Case]:
    cases: list[Case] = []
    shapes = [
        (1, 1, 1, 3, 3, 2, 2),
        (2, 1, 1, 3, 3, 2, 2),
        (1, 2, 1, 3, 2, 2, 1),
        (1, 1, 2, 2, 4, 1, 3),
        (2, 3, 4, 5, 4, 3, 2),
        (3, 2, 2, 4, 6, 1, 1),
        (2, 2, 3, 3, 3, 3, 3),
    ]
    while len(shapes) < 24:
        h, w = rng.randint(1, 3), rng.randint(1, 3)
        n, c, k = (rng.randint(1, 3) for _ in range(3))
        shapes.append((n, c, k, rng.randint(h, 6), rng.randint(w, 6), h, w))
    for number, (n, c, k, height, width, h, w) in enumerate(shapes):
        dtype = torch.float64 if number % 6 == 4 else torch.float32
        g = _batch(rng, n, k, height - h + 1, width - w + 1, dtype=dtype)
        cases.append((_batch(rng, n, c, height, width, dtype=dtype), _batch(rng, k, c, h, w, dtype=dtype), g))
    return cases


def _first_image(x, weight, g):
    dx, _, db = _conv_backward(x, weight, g)
    return dx, _conv_backward(x[:1], weight, g[:1])[1], db


def _mean_bias(x, weight, g):
    return *_conv_backward(x, weight, g)[:2], g.mean((0, 2, 3))


def _not_turned(x, weight, g):
    return _conv_backward(x, weight.flip(2, 3), g)[0], *_conv_backward(x, weight, g)[1:]


def _all_three(x, weight, g):
    return _not_turned(x, weight, g)[0], _first_image(x, weight, g)[1], _mean_bias(x, weight, g)[2]


conv_backward = Task(
    "conv_backward",
    reference=_conv_backward,
    cases=_conv_cases,
    mistakes={
        "all three mistakes are still there: look at the turn of the kernel, the images, and the bias.": _all_three,
        "dx: seen from a pixel the kernel runs backwards; turn it with .flip(2, 3).": _not_turned,
        "dx: turn the kernel along both axes, height and width.": lambda x, weight, g: (
            _conv_backward(x, weight.flip(3), g)[0],
            *_conv_backward(x, weight, g)[1:],
        ),
        "dw: only the first image counts; the weights are shared by all of them.": _first_image,
        "dw: add up over the batch; do not take the mean. Whether the loss is a mean is settled in g.": (
            lambda x, weight, g: (
                _conv_backward(x, weight, g)[0],
                _conv_backward(x, weight, g)[1] / len(x),
                g.sum((0, 2, 3)),
            )
        ),
        "dw: the kernel gradient is not turned, only the kernel in dx is.": lambda x, weight, g: (
            _conv_backward(x, weight, g)[0],
            _conv_backward(x, weight, g)[1].flip(2, 3),
            g.sum((0, 2, 3)),
        ),
        "db: the bias is added to every output, so its gradient is the sum, not the mean.": _mean_bias,
        "db: sum over the batch as well as over the places.": lambda x, weight, g: (
            *_conv_backward(x, weight, g)[:2],
            g.sum((2, 3)),
        ),
        "the order is dx, dw, db: as the arguments of F.conv2d.": lambda x, weight, g: (
            _conv_backward(x, weight, g)[1],
            _conv_backward(x, weight, g)[0],
            g.sum((0, 2, 3)),
        ),
    },
)


# 5. Count the stamps.


def _overlaps(n: int, k: int, stride: int, padding: int = 0) -> list[int]:
    counts = F.conv_transpose1d(torch.ones(1, 1, n), torch.ones(1, 1, k), stride=stride, padding=padding)
    return [round(count) for count in counts.flatten().tolist()]


def _overlap_cases(rng: random.Random) -> list[Case]:
    cases: list[Case] = [
        (4, 3, 2, 0),
        (4, 4, 2, 0),
        (4, 4, 2, 1),
        (1, 3, 2, 0),
        (3, 2, 2, 0),
        (2, 1, 3, 0),
        (5, 3, 1, 1),
    ]
    while len(cases) < 40:
        n, k, stride = rng.randint(1, 6), rng.randint(1, 6), rng.randint(1, 4)
        padding = rng.randint(0, min(2, ((n - 1) * stride + k - 1) // 2))
        cases.append((n, k, stride, padding))
    return cases


overlaps = Task(
    "overlaps",
    reference=_overlaps,
    cases=_overlap_cases,
    mistakes={
        "the padding is missing: it cuts places off both ends.": lambda n, k, stride, padding=0: _overlaps(
            n, k, stride
        ),
        "the padding cuts places off *both* ends.": lambda n, k, stride, padding=0: _overlaps(n, k, stride)[padding:],
        "padding makes the output of a transposed convolution smaller, not larger.": (
            lambda n, k, stride, padding=0: [0] * padding + _overlaps(n, k, stride) + [0] * padding
        ),
        "the last stamp hangs over: the output has (n − 1)·stride + k places before the cut.": (
            lambda n, k, stride, padding=0: _overlaps(n, k, stride)[: n * stride][padding : n * stride - padding]
        ),
        "the stamps are `stride` places apart; here they are one apart.": lambda n, k, stride, padding=0: _overlaps(
            n, k, 1, 0
        )[padding:][: max(0, n + k - 1 - 2 * padding)],
        "stamps add up where they overlap; here each place counts at most one.": (
            lambda n, k, stride, padding=0: [min(1, count) for count in _overlaps(n, k, stride, padding)]
        ),
        "return whole numbers (int): a place gets 2 stamps, not 2.0.": lambda n, k, stride, padding=0: [
            float(count) for count in _overlaps(n, k, stride, padding)
        ],
    },
)

# (kernel, stride): the layers of the prediction.
STAMPS = [(6, 2), (7, 3), (8, 4), (9, 3), (9, 2)]

even = Answer(
    "even",
    expected=lambda: [len(set(_overlaps(20, k, stride)[3 * k : 4 * k])) == 1 for k, stride in STAMPS],
    mistakes={
        "you answered for the uneven ones; the even ones were asked for.": [False, True, False, False, True],
        "not every even kernel, and not only even kernels: compare the kernel with its stride.": [
            True,
            False,
            True,
            False,
            False,
        ],
        "a kernel larger than the stride overlaps, and overlapping alone is not even.": [True] * 5,
        "a kernel of 7 at stride 3 gives 2 or 3 stamps: 7 is no multiple of 3.": [True, True, True, True, False],
    },
)
