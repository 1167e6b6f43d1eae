"""Checks for the exercises on channels and 1×1 convolutions."""

from __future__ import annotations

import itertools
import random
import warnings
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

from utils.exercises.core import Answer, Case, Task
from utils.geometry import conv_parameters

Tensor = torch.Tensor
Pair = tuple[int, int]


def _numbered(rng: random.Random, *shape: int, dtype: torch.dtype = torch.float32) -> Tensor:
    """Small whole numbers: exact in every order of summation, and short in a message."""
    count = torch.Size(shape).numel()
    return torch.tensor([rng.randint(-2, 5) for _ in range(count)], dtype=dtype).view(shape)


# 1. Predict shapes. The table in the notebook is written after this list.

INPUT = (8, 3, 32, 32)
LAYERS: list[dict[str, Any]] = [
    {"in_channels": 3, "out_channels": 16, "kernel_size": 5},
    {"in_channels": 16, "out_channels": 32, "kernel_size": 3, "padding": 1},
    {"in_channels": 32, "out_channels": 8, "kernel_size": 1},
    {"in_channels": 8, "out_channels": 12, "kernel_size": (1, 5), "stride": (2, 1)},
]


def _shapes() -> tuple[list[tuple[int, ...]], list[tuple[int, ...]]]:
    """Return the shapes of the weights and of the maps that PyTorch gives."""
    weights, maps, x = [], [], torch.empty(INPUT, device="meta")
    for settings in LAYERS:
        layer = nn.Conv2d(**settings, device="meta")
        x = layer(x)
        weights.append(tuple(layer.weight.shape))
        maps.append(tuple(x.shape))
    return weights, maps


weight_shapes = Answer(
    "weight_shapes",
    expected=lambda: _shapes()[0],
    mistakes={
        "the kernels come first: (out_channels, in_channels, height, width).": [
            (3, 16, 5, 5),
            (16, 32, 3, 3),
            (32, 8, 1, 1),
            (8, 12, 1, 5),
        ],
        "each kernel has a slice for every input channel: four numbers, (out_channels, in_channels, height, width).": [
            (16, 5, 5),
            (32, 3, 3),
            (8, 1, 1),
            (12, 1, 5),
        ],
        "a pair is (height, width): row 3 has kernels 1 high and 5 wide.": [
            (16, 3, 5, 5),
            (32, 16, 3, 3),
            (8, 32, 1, 1),
            (12, 8, 5, 1),
        ],
    },
)

map_shapes = Answer(
    "map_shapes",
    expected=lambda: _shapes()[1],
    mistakes={
        "in row 3 the width: 28 − 5 + 1 = 24; it is the height that the stride halves.": [
            (8, 16, 28, 28),
            (8, 32, 28, 28),
            (8, 8, 28, 28),
            (8, 12, 28, 12),
        ],
        "the paddings are missing: row 1 has padding 1.": [
            (8, 16, 28, 28),
            (8, 32, 26, 26),
            (8, 8, 26, 26),
            (8, 12, 13, 22),
        ],
        "row 0 has no padding: 32 − 5 + 1 = 28.": [
            (8, 16, 32, 32),
            (8, 32, 32, 32),
            (8, 8, 32, 32),
            (8, 12, 16, 28),
        ],
        "in row 3 a kernel that is 5 wide takes 4 columns away.": [
            (8, 16, 28, 28),
            (8, 32, 28, 28),
            (8, 8, 28, 28),
            (8, 12, 14, 28),
        ],
        "the first number is the batch, and it stays: (N, channels, height, width).": [
            (16, 28, 28),
            (32, 28, 28),
            (8, 28, 28),
            (12, 14, 24),
        ],
    },
)


# 2. A 1×1 convolution as a matrix product.


def _conv1x1(x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    return F.conv2d(x, weight[:, :, None, None], bias)


def _pixel_cases(rng: random.Random) -> list[Case]:
    # N, C, H, W, K: the first are small enough to be printed; some have equal numbers on purpose.
    sizes = [
        (1, 2, 1, 2, 3),
        (1, 2, 2, 3, 2),
        (2, 3, 3, 3, 3),
        (1, 3, 4, 5, 1),
        (3, 1, 2, 4, 2),
        (2, 4, 4, 2, 4),
        (1, 5, 1, 1, 2),
    ]
    while len(sizes) < 24:
        sizes.append(tuple(rng.randint(1, 6) for _ in range(5)))
    cases: list[Case] = [
        (_numbered(rng, n, c, h, w), _numbered(rng, k, c), _numbered(rng, k) + 0.5) for n, c, h, w, k in sizes
    ]
    double = torch.float64
    return [*cases, (*(_numbered(rng, *s, dtype=double) for s in ((2, 3, 4, 5), (6, 3))), _numbered(rng, 6).double())]


def _transposed_when_square(x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    return _conv1x1(x, weight.T if weight.shape[0] == weight.shape[1] else weight, bias)


def _over_rows_when_it_fits(x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    """Sum over the height where it equals the number of channels."""
    if x.shape[1] == x.shape[2] == weight.shape[0]:
        return torch.einsum("kh,nchw->nckw", weight, x) + bias[:, None, None]
    return _conv1x1(x, weight, bias)


conv1x1 = Task(
    "conv1x1",
    reference=_conv1x1,
    cases=_pixel_cases,
    mistakes={
        "the bias is missing: add bias[k] to every pixel of output channel k.": lambda x, weight, bias: _conv1x1(
            x, weight, torch.zeros_like(bias)
        ),
        "the weights are transposed, which shows only where there are as many channels out as in: row k of the "
        "weights makes output channel k.": _transposed_when_square,
        "the sum runs over the rows of the image; it must run over the channels, axis 1 of x.": _over_rows_when_it_fits,
        "the channels are averaged; they are added.": lambda x, weight, bias: _conv1x1(x, weight / x.shape[1], bias),
        "the bias is in the sum once for each input channel; add it once.": lambda x, weight, bias: _conv1x1(
            x, weight, bias * x.shape[1]
        ),
        "the bias is subtracted; it is added.": lambda x, weight, bias: _conv1x1(x, weight, -bias),
        "only the last channel is left: add (+=) instead of overwriting (=).": lambda x, weight, bias: _conv1x1(
            x[:, -1:], weight[:, -1:], bias
        ),
    },
)


# 3. The whole layer in NumPy.


def _conv2d(
    x: np.ndarray,
    weight: np.ndarray,
    bias: np.ndarray | None,
    stride: Pair = (1, 1),
    padding: Pair = (0, 0),
    dilation: Pair = (1, 1),
    groups: int = 1,
) -> np.ndarray:
    """Return what PyTorch computes, for one image and NumPy arrays."""
    tensor = None if bias is None else torch.tensor(bias)
    return F.conv2d(torch.tensor(x)[None], torch.tensor(weight), tensor, stride, padding, dilation, groups)[0].numpy()


def _layer_cases(rng: random.Random) -> list[Case]:
    # Channels of a group, H, W, kernels of a group, (h, w), stride, padding, dilation, groups, whether there is a bias.
    # First without dilation and groups, then with one of them, then with all: a half-written answer hears what is next.
    plain: list[tuple] = [
        (1, 3, 4, 1, (2, 2), (1, 1), (0, 0), (1, 1), 1, True),
        (2, 3, 3, 2, (2, 2), (1, 1), (0, 0), (1, 1), 1, True),
        (2, 3, 3, 1, (2, 2), (1, 1), (0, 0), (1, 1), 1, False),
        (1, 4, 5, 2, (3, 2), (1, 1), (1, 0), (1, 1), 1, True),
        (2, 5, 4, 1, (2, 3), (2, 1), (0, 1), (1, 1), 1, False),
        (3, 2, 3, 4, (1, 1), (1, 1), (0, 0), (1, 1), 1, True),
        (1, 1, 1, 1, (3, 3), (1, 1), (1, 1), (1, 1), 1, True),
        (2, 6, 6, 2, (3, 3), (2, 2), (1, 1), (1, 1), 1, True),
    ]
    dilated: list[tuple] = [
        (1, 1, 5, 1, (1, 2), (1, 1), (0, 0), (1, 3), 1, False),
        (1, 5, 4, 1, (2, 2), (1, 1), (0, 0), (2, 1), 1, True),
        (2, 6, 5, 1, (3, 3), (2, 1), (1, 2), (2, 2), 1, True),
    ]
    grouped: list[tuple] = [
        (1, 2, 3, 1, (1, 2), (1, 1), (0, 0), (1, 1), 2, False),
        (1, 2, 2, 2, (1, 1), (1, 1), (0, 0), (1, 1), 3, True),
        (2, 3, 2, 2, (2, 1), (1, 1), (0, 0), (1, 1), 2, True),
        (1, 5, 4, 1, (3, 3), (1, 1), (1, 1), (1, 1), 4, False),
    ]
    sizes = [*plain]
    for first, count, may_dilate, may_group in (
        ([], 20, 1, 1),
        (dilated, 26, 3, 1),
        (grouped, 32, 1, 3),
        ([], 40, 3, 3),
    ):
        sizes += first
        while len(sizes) < count:
            kernel = rng.randint(1, 4), rng.randint(1, 4)
            padding = rng.randint(0, 2), rng.randint(0, 2)
            dilation = rng.randint(1, may_dilate), rng.randint(1, may_dilate)
            least = [max(1, d * (k - 1) + 1 - 2 * p) for d, k, p in zip(dilation, kernel, padding, strict=True)]
            height, width = (rng.randint(n, max(7, n + 2)) for n in least)
            stride = rng.randint(1, 3), rng.randint(1, 3)
            channels, kernels, groups = rng.randint(1, 3), rng.randint(1, 3), rng.randint(1, may_group)
            bias = rng.random() < 0.7
            sizes.append((channels, height, width, kernels, kernel, stride, padding, dilation, groups, bias))
    return [
        (
            _numbered(rng, c * groups, height, width).double().numpy(),
            _numbered(rng, k * groups, c, *kernel).double().numpy(),
            (_numbered(rng, k * groups).double() + 0.5).numpy() if bias else None,
            stride,
            padding,
            dilation,
            groups,
        )
        for c, height, width, k, kernel, stride, padding, dilation, groups, bias in sizes
    ]


def _changed(**changes: Callable[..., Any]) -> Callable[..., np.ndarray]:
    """Return PyTorch's layer with some arguments replaced; each change is given the arguments by name."""

    def layer(x, weight, bias, stride, padding, dilation, groups):
        given = {"x": x, "weight": weight, "bias": bias, "stride": stride, "padding": padding}
        given |= {"dilation": dilation, "groups": groups}
        return _conv2d(**given | {name: change(**given) for name, change in changes.items()})

    return layer


def _without_groups(x, weight, bias, stride, padding, dilation, groups):
    """Read all channels with each kernel: NumPy lays a single slice over all of them, and refuses anything else."""
    if weight.shape[1] not in (1, len(x)):
        raise ValueError(f"{weight.shape[1]} slices do not fit {len(x)} channels")
    repeated = np.repeat(weight, len(x) // weight.shape[1], axis=1)
    return _conv2d(x, repeated, bias, stride, padding, dilation)


def _groups_in_turn(x, weight, bias, stride, padding, dilation, groups):
    """Give kernel k the group k modulo the number of groups, instead of one group to kernels that are neighbours."""
    parts = np.split(x, groups)
    maps = [_conv2d(parts[k % groups], weight[k : k + 1], None, stride, padding, dilation) for k in range(len(weight))]
    return np.concatenate(maps) + (0 if bias is None else bias[:, None, None])


conv2d = Task(
    "conv2d",
    reference=_conv2d,
    cases=_layer_cases,
    mistakes={
        "the bias is missing: an output of channel k begins with bias[k].": _changed(bias=lambda **a: None),
        "the bias is in the sum once for each input channel; an output channel has one, added once.": _changed(
            bias=lambda bias, weight, **a: None if bias is None else bias * weight.shape[1]
        ),
        "only the last channel is left: the results of the channels are added, so use += instead of =.": _changed(
            x=lambda x, weight, **a: x[weight.shape[1] - 1 :: weight.shape[1]],
            weight=lambda weight, **a: weight[:, -1:],
        ),
        "the kernel is turned by 180°; PyTorch lays it down as it is.": _changed(
            weight=lambda weight, **a: weight[:, :, ::-1, ::-1].copy()
        ),
        "the padding is missing.": _changed(padding=lambda **a: (0, 0)),
        "the stride is missing: window (r, c) starts at row r · stride[0] and column c · stride[1].": _changed(
            stride=lambda **a: (1, 1)
        ),
        "stride is (along the height, along the width); here they are exchanged.": _changed(
            stride=lambda stride, **a: stride[::-1]
        ),
        "padding is (above and below, left and right); here they are exchanged.": _changed(
            padding=lambda padding, **a: padding[::-1]
        ),
        "the channels are averaged; they are added.": _changed(weight=lambda weight, **a: weight / weight.shape[1]),
        "the dilation is missing: neighbouring weights meet pixels that lie dilation[0] rows or dilation[1] columns "
        "apart.": _changed(dilation=lambda **a: (1, 1)),
        "dilation is (along the height, along the width); here they are exchanged.": _changed(
            dilation=lambda dilation, **a: dilation[::-1]
        ),
        "one pixel too many is left out: with dilation 1 the weights lie side by side, with 2 every second pixel "
        "is read.": _changed(dilation=lambda dilation, **a: tuple(d + 1 for d in dilation)),
        "the groups are missing: kernel k reads only the weight.shape[1] channels of its group.": _without_groups,
        "every kernel reads the channels of the first group; kernel k belongs to group k // (K // groups).": _changed(
            x=lambda x, weight, **a: x[: weight.shape[1]], groups=lambda **a: 1
        ),
        "the groups are dealt out in turn, k % groups; the first K // groups kernels all read the first group.": (
            _groups_in_turn
        ),
    },
)


# 4. Count a stack.

Layer = tuple[int, int, int, int, int]  # in, out, kernel, stride, padding


def _stack_cost(layers: Sequence[Layer], height: int, width: int) -> tuple[int, int]:
    """Return what PyTorch holds and computes; meta tensors have a shape and no values."""
    x, parameters, work = torch.empty(1, layers[0][0], height, width, device="meta"), 0, 0
    for c, k, kernel, stride, padding in layers:
        layer = nn.Conv2d(c, k, kernel, stride, padding, device="meta")
        x = layer(x)
        parameters += layer.weight.numel() + layer.bias.numel()
        work += layer.weight.numel() * x.shape[2] * x.shape[3]
    return parameters, work


def _stack_cases(rng: random.Random) -> list[Case]:
    cases: list[Case] = [
        ([(512, 64, 1, 1, 0)], 14, 14),
        ([(3, 64, 7, 2, 3)], 224, 224),
        ([(192, 16, 1, 1, 0), (16, 32, 5, 1, 2)], 28, 28),
        ([(3, 8, 3, 1, 0), (8, 8, 3, 1, 0)], 12, 20),
        ([(4, 2, 2, 3, 1), (2, 5, 1, 2, 0), (5, 1, 3, 1, 1)], 17, 9),
    ]
    while len(cases) < 30:
        channels = [rng.randint(1, 16) for _ in range(rng.randint(2, 5))]
        layers = [
            (i, o, rng.choice([1, 2, 3, 5]), rng.randint(1, 2), rng.randint(0, 2))
            for i, o in itertools.pairwise(channels)
        ]
        cases.append((layers, rng.randint(24, 40), rng.randint(24, 40)))
    return cases


def _counting(
    parameters: Callable[..., int] = lambda c, k, n: k * (c * n * n + 1),
    work: Callable[..., int] = lambda c, k, n, H, W: k * c * n * n * H * W,
    *,
    at_input: bool = False,
    follow: bool = True,
    last: bool = False,
    size: Callable[[int, int, int, int], int] = lambda x, n, s, p: (x + 2 * p - n) // s + 1,
) -> Callable[..., tuple[int, int]]:
    """Return a wrong count of a stack from its parts."""

    def count(layers, height, width):
        first, totals = (height, width), (0, 0)
        for c, k, n, s, p in layers:
            before = (height, width) if follow else first
            after = tuple(size(x, n, s, p) for x in before)
            height, width = after
            one = parameters(c, k, n), work(c, k, n, *(before if at_input else after))
            totals = one if last else (totals[0] + one[0], totals[1] + one[1])
        return totals

    return count


stack_cost = Task(
    "stack_cost",
    reference=_stack_cost,
    cases=_stack_cases,
    mistakes={
        "the biases are not counted: each layer has one for each output channel.": _counting(
            lambda c, k, n: k * c * n * n
        ),
        "multiply-adds are counted at each place of the *output* of a layer, not of its input.": _counting(
            at_input=True
        ),
        "a layer reads the maps that the layer before it made: height and width change on the way.": _counting(
            follow=False
        ),
        "adding a bias multiplies nothing: leave it out of the multiply-adds.": _counting(
            work=lambda c, k, n, H, W: k * (c * n * n + 1) * H * W
        ),
        "a kernel of size k has k² weights in each slice.": _counting(
            lambda c, k, n: k * (c * n + 1), lambda c, k, n, H, W: k * c * n * H * W
        ),
        "only the last layer is counted; add them up.": _counting(last=True),
        "the padding is missing from the sizes: n + 2p − k.": _counting(size=lambda x, n, s, p: (x - n) // s + 1),
        "the padding lies on both sides: n + 2p − k.": _counting(size=lambda x, n, s, p: (x + p - n) // s + 1),
        "the stride is missing from the sizes.": _counting(size=lambda x, n, s, p: x + 2 * p - n + 1),
    },
)


# 5. Design a bottleneck under a budget.


def _block(channels: int, kernel: int, width: int, *, bias: bool = False) -> int:
    """Return the parameters of 1×1 down, k×k, 1×1 up."""
    return (
        conv_parameters(channels, width, 1, bias=bias)
        + conv_parameters(width, width, kernel, bias=bias)
        + conv_parameters(width, channels, 1, bias=bias)
    )


def _widest_under(cost: Callable[[int], int], most: int, budget: int) -> int:
    return max((m for m in range(1, most + 1) if cost(m) <= budget), default=0)


def _widest(channels: int, kernel: int, budget: int) -> int:
    return _widest_under(lambda m: _block(channels, kernel, m), channels, budget)


def _budget_cases(rng: random.Random) -> list[Case]:
    cases: list[Case] = [
        (256, 3, 69_632),
        (256, 3, 69_631),
        (256, 3, 100_000),
        (64, 5, 10_000),
        (16, 3, 40),
        (16, 3, 41),
        (8, 1, 1000),
        (4, 3, 10**6),
        (1, 1, 2),
        (1, 1, 3),
        (6, 3, 6 * 6 * 11),
    ]
    while len(cases) < 40:
        channels, kernel = rng.randint(1, 64), rng.choice([1, 3, 5, 7])
        exact = _block(channels, kernel, rng.randint(1, channels))
        cases.append((channels, kernel, max(1, exact + rng.choice([-1, 0, 0, 1, channels, -channels]))))
    return cases


widest = Task(
    "widest",
    reference=_widest,
    cases=_budget_cases,
    mistakes={
        "a block that costs exactly the budget is allowed: ≤, not <.": lambda channels, kernel, budget: _widest_under(
            lambda m: _block(channels, kernel, m), channels, budget - 1
        ),
        "the 1×1 convolution back up is missing: channels · m weights, once more.": (
            lambda channels, kernel, budget: _widest_under(lambda m: channels * m + (kernel * m) ** 2, channels, budget)
        ),
        "a kernel of size k has k² weights in each slice.": lambda channels, kernel, budget: _widest_under(
            lambda m: 2 * channels * m + kernel * m * m, channels, budget
        ),
        "the layers have no bias here; count weights only.": lambda channels, kernel, budget: _widest_under(
            lambda m: _block(channels, kernel, m, bias=True), channels, budget
        ),
        "the middle layer has m channels in and m out: k² · m · m weights.": lambda channels, kernel, budget: (
            _widest_under(lambda m: 2 * channels * m + kernel**2 * m, channels, budget)
        ),
        "the block must not become wider than its input: m is at most `channels`.": (
            lambda channels, kernel, budget: _widest_under(lambda m: _block(channels, kernel, m), 1000, budget)
        ),
        "when not even m = 1 fits, the answer is 0.": lambda channels, kernel, budget: max(
            1, _widest(channels, kernel, budget)
        ),
        "one too many: the cost of this m lies above the budget.": lambda channels, kernel, budget: min(
            channels, _widest(channels, kernel, budget) + 1
        ),
    },
)


# 6. Repair a network with wrong channels.


class Branches(nn.Module):
    """Two branches side by side, joined along the channels.

    Parameters
    ----------
    in_channels : sequence of six int
        What the stem, the branch, the squeeze, the wide layer, the join and the dense layer read; None
        lets PyTorch find it out.
    """

    def __init__(self, in_channels: Sequence[int | None]) -> None:
        super().__init__()

        def conv(place: int, out: int, kernel: int) -> nn.Module:
            c, padding = in_channels[place], kernel // 2
            if c is None:
                return nn.LazyConv2d(out, kernel, padding=padding)
            return nn.Conv2d(c, out, kernel, padding=padding)

        self.stem = conv(0, 16, 3)
        self.branch = conv(1, 16, 1)
        self.squeeze = conv(2, 8, 1)
        self.wide = conv(3, 24, 5)
        self.join = conv(4, 12, 1)
        self.dense = nn.LazyLinear(10) if in_channels[5] is None else nn.Linear(in_channels[5], 10)

    def forward(self, x: Tensor) -> Tensor:
        """Map images (N, 3, H, W) to ten numbers each, (N, 10)."""
        x = self.stem(x).relu()
        left = self.branch(x)
        right = self.wide(self.squeeze(x).relu())
        x = torch.cat([left, right], dim=1).relu()
        x = self.join(x).relu()
        return self.dense(x.mean((2, 3)))


def _found() -> list[int]:
    """Let PyTorch's lazy layers find the numbers."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # older versions warn that lazy layers are new
        network = Branches([None] * 6)
        network(torch.zeros(1, 3, 8, 8))
    convs = [network.stem, network.branch, network.squeeze, network.wide, network.join]
    return [*(layer.in_channels for layer in convs), network.dense.in_features]


in_channels = Answer(
    "in_channels",
    expected=_found,
    mistakes={
        "that is the network as it stands.": [1, 16, 16, 16, 24, 10],
        "the images have three channels.": [1, 16, 16, 8, 40, 12],
        "torch.cat(…, dim=1) puts the channels of both branches one behind the other: 16 + 24.": [3, 16, 16, 8, 24, 12],
        "torch.cat does not add values, it joins: the number of channels is 16 + 24.": [3, 16, 16, 8, 16, 12],
        "the wide layer reads what the squeeze made: 8 channels.": [3, 16, 16, 16, 40, 12],
        "both branches read the output of the stem, not one the output of the other.": [3, 16, 16, 8, 24, 24],
        "the mean over height and width leaves one number for each of the 12 channels.": [3, 16, 16, 8, 40, 768],
        "10 is what the dense layer makes; it reads 12.": [3, 16, 16, 8, 40, 10],
    },
)
