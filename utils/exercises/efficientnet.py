"""Checks for the exercises of chapter "EfficientNet"."""

from __future__ import annotations

import itertools
import math
import random
from collections.abc import Callable
from typing import Any

import torch
from torch.nn import functional as F
from torchvision.models.efficientnet import MBConvConfig
from torchvision.ops import SqueezeExcitation as Reference

from utils.exercises.core import Task
from utils.models.efficientnet import TABLE_1

# ---- 1: squeeze-and-excitation ------------------------------------------------------------------------------------

Weights = torch.Tensor


def _reference(x: Weights, w1: Weights, b1: Weights, w2: Weights, b2: Weights) -> Weights:
    block = Reference(w1.shape[1], w1.shape[0]).double()
    values = (w1[:, :, None, None], b1, w2[:, :, None, None], b2)
    for parameter, value in zip(block.parameters(), values, strict=True):
        parameter.data.copy_(value)
    with torch.no_grad():
        return block(x)


def _gated(
    x: Weights, w1: Weights, b1: Weights, w2: Weights, b2: Weights,
    squeeze: Callable[[Weights], Weights] = lambda x: x.mean((2, 3)),
    between: Callable[[Weights], Weights] = torch.relu, gate: Callable[[Weights], Weights] = torch.sigmoid,
) -> Weights:  # fmt: skip
    gates = gate(between(squeeze(x) @ w1.T + b1) @ w2.T + b2)
    return x * gates[:, :, None, None]


def _se_cases(rng: random.Random) -> list[tuple]:
    torch.manual_seed(rng.randrange(2**31))
    shapes = [(1, 1, 1, 1, 1), (2, 4, 2, 3, 3), (3, 8, 2, 5, 2), (2, 3, 3, 1, 7), (3, 3, 2, 3, 3), (4, 4, 4, 4, 4)]
    shapes += [tuple(rng.randint(*limits) for limits in ((1, 4), (1, 9), (1, 4), (1, 6), (1, 6))) for _ in range(18)]
    return [
        (2 * torch.randn(n, c, h, w).double() + 1, 2 * torch.randn(s, c).double(), torch.randn(s).double(),
         2 * torch.randn(c, s).double(), torch.randn(c).double())
        for n, c, s, h, w in shapes
    ]  # fmt: skip


squeeze_excite = Task(
    "squeeze_excite",
    _reference,
    _se_cases,
    mistakes={
        "the mean is taken over the batch, too; each image has gates of its own: average over height and width.": (
            lambda *a: _gated(*a, squeeze=lambda x: x.mean((0, 2, 3)).expand(x.shape[0], -1))
        ),
        "the gate is a ReLU; a factor between 0 and 1 needs the sigmoid.": lambda *a: _gated(*a, gate=torch.relu),
        "the gate has no sigmoid: a factor may then be negative, or large.": lambda *a: _gated(*a, gate=lambda g: g),
        "the ReLU between the two layers is missing.": lambda *a: _gated(*a, between=lambda z: z),
        "squeezed is the mean of each map, not its largest value.": (
            lambda *a: _gated(*a, squeeze=lambda x: x.amax((2, 3)))
        ),
        "squeezed is the mean of each map, not its sum.": lambda *a: _gated(*a, squeeze=lambda x: x.sum((2, 3))),
        "the gates are shares that add up to 1 (softmax); each shall be decided for itself, by a sigmoid.": (
            lambda *a: _gated(*a, gate=lambda g: g.softmax(1))
        ),
        "the maps are multiplied by their gates, and not added to the result.": lambda *a: a[0] + _gated(*a),
        "these are the gates alone; multiply the maps by them.": (
            lambda *a: torch.sigmoid(torch.relu(a[0].mean((2, 3)) @ a[1].T + a[2]) @ a[3].T + a[4])
        ),
    },
)


# ---- 2: a scaled table --------------------------------------------------------------------------------------------

Row = tuple[int, int, int, int, int]


def _scaled(table: list[Row], depth: float, width: float) -> list[Row]:
    made = [MBConvConfig(e, k, s, 8, c, n, width, depth) for e, k, s, c, n in table]
    return [
        (e, k, s, config.out_channels, config.num_layers)
        for (e, k, s, *_), config in zip(table, made, strict=True)
    ]  # fmt: skip


def _rows(
    blocks: Callable[[float], int] = math.ceil,
    channels: Callable[[float], int] = lambda c: MBConvConfig.adjust_channels(c, 1.0),
) -> Callable[[list[Row], float, float], list[Row]]:
    return lambda table, depth, width: [(e, k, s, channels(c * width), blocks(n * depth)) for e, k, s, c, n in table]


def _scale_cases(rng: random.Random) -> list[tuple]:
    cases = [([*TABLE_1], d, w) for d, w in ((1.0, 1.0), (1.1, 1.0), (1.4, 1.2), (3.1, 2.0), (0.5, 0.35), (1.0, 0.1))]
    for _ in range(18):
        rows = [
            (rng.choice([1, 4, 6]), rng.choice([3, 5]), rng.choice([1, 2]), 8 * rng.randint(1, 40), rng.randint(1, 5))
            for _ in range(rng.randint(1, 4))
        ]
        cases.append((rows, rng.randint(3, 32) / 10, rng.randint(3, 22) / 10))
    return cases


scale = Task(
    "scale",
    _scaled,
    _scale_cases,
    mistakes={
        "blocks are rounded up: 2 blocks at a depth of 1.1 are 3.": _rows(blocks=lambda n: max(1, round(n))),
        "blocks are rounded up, not cut off: 2 blocks at a depth of 1.1 are 3.": _rows(blocks=lambda n: max(1, int(n))),
        "channels become a multiple of 8.": _rows(channels=round),
        "the multiple of 8 below may be more than a tenth too small; then take the next one.": _rows(
            channels=lambda c: max(8, int(c + 4) // 8 * 8)
        ),
        "channels go to the nearest multiple of 8, not always up.": _rows(channels=lambda c: max(8, math.ceil(c / 8) * 8)),
        "channels go to the nearest multiple of 8, not always down.": _rows(channels=lambda c: max(8, int(c) // 8 * 8)),
        "depth scales the blocks, width the channels; here they are exchanged.": (
            lambda table, depth, width: _scaled(table, width, depth)
        ),
        "at least 8 channels must be left.": _rows(
            channels=lambda c: (lambda r: r + 8 if r < 0.9 * c and r else r)(int(c + 4) // 8 * 8)
        ),
    },
)  # fmt: skip


# ---- 3: a grid under a constraint ---------------------------------------------------------------------------------


def _constrained(grid: list[float], target: float, tolerance: float) -> list[tuple[float, float, float]]:
    values = torch.tensor(grid, dtype=torch.float64)
    triples = torch.cartesian_prod(values, values, values)
    product = triples[:, 0] * triples[:, 1] ** 2 * triples[:, 2] ** 2
    found = triples[(product - target).abs() <= tolerance]
    return [tuple(row) for row in found.tolist()]


def _search(cost: Callable[[float, float, float], float], offset: float = 0.0) -> Callable[..., list]:
    def search(grid: list[float], target: float, tolerance: float) -> list:
        triples = itertools.product(grid, repeat=3)
        return [t for t in triples if abs(cost(*t) - target) <= tolerance + offset]

    return search


def _grid_cases(rng: random.Random) -> list[tuple]:
    cases: list[tuple[Any, ...]] = [
        ([1.0, 1.05, 1.1, 1.15, 1.2], 2.0, 0.0837),
        ([1.0, 1.2, 1.4], 2.0, 0.0613),
        ([1.0, 2.0], 4.0, 0.0123),
        ([1.0, 2.0], 2.0, 0.0123),
        ([1.0, 1.1], 3.0, 0.0123),
    ]
    for _ in range(18):
        grid = [1 + i * rng.choice([0.05, 0.1]) for i in sorted(rng.sample(range(9), rng.randint(2, 6)))]
        cases.append((sorted({round(v, 2) for v in grid}), rng.choice([1.5, 2.0, 3.0]), rng.uniform(0.03, 0.3)))
    return cases


constrained = Task(
    "constrained",
    _constrained,
    _grid_cases,
    mistakes={
        "width and side count twice: α · β² · γ².": _search(lambda a, b, c: a * b * c),
        "the side counts twice, too: an image has a height and a width.": _search(lambda a, b, c: a * b**2 * c),
        "the width counts twice, too: inputs and outputs grow.": _search(lambda a, b, c: a * b * c**2),
        "depth counts once: α, not α².": _search(lambda a, b, c: a**2 * b**2 * c**2),
        "a cost below the target is as far off as one above: take the absolute difference.": (
            lambda grid, target, tolerance: [
                (a, b, c) for a in grid for b in grid for c in grid if a * b**2 * c**2 - target <= tolerance
            ]
        ),
        "the order is that of three loops, α the outermost and γ the innermost.": (
            lambda *case: sorted(_constrained(*case), key=lambda t: t[::-1])
        ),
        "each factor runs over the whole grid for itself; a value may occur twice or three times.": (
            lambda grid, target, tolerance: [
                t for t in itertools.combinations(grid, 3) if abs(t[0] * t[1] ** 2 * t[2] ** 2 - target) <= tolerance
            ]
        ),
    },
)


# ---- 4: three faults in an MBConv ---------------------------------------------------------------------------------


def _block(
    x: Weights, expand: Weights, depthwise: Weights, w1: Weights, w2: Weights, project: Weights,
    axes: tuple[int, ...] = (2, 3), gate: Callable[[Weights], Weights] = torch.sigmoid, linear: bool = True,
    adds: bool = True,
) -> Weights:  # fmt: skip
    y = F.silu(F.conv2d(x, expand))
    y = F.silu(F.conv2d(y, depthwise, padding=depthwise.shape[-1] // 2, groups=y.shape[1]))
    means = y.mean(axes, keepdim=True)
    gates = gate(F.conv2d(F.silu(F.conv2d(means, w1[:, :, None, None])), w2[:, :, None, None]))
    y = F.conv2d(y * gates, project)
    y = y if linear else F.silu(y)
    return x + y if adds else y


def _block_cases(rng: random.Random) -> list[tuple]:
    torch.manual_seed(rng.randrange(2**31))
    shapes = [(2, 2, 4, 1, 3, 4, 5), (1, 1, 2, 1, 3, 1, 1), (3, 3, 6, 2, 5, 6, 4), (2, 3, 3, 1, 1, 2, 7)]
    for _ in range(18):
        n, c, h, w = (rng.randint(1, 4) for _ in range(4))
        shapes.append((n, c, rng.randint(1, 6), rng.randint(1, 3), rng.choice([1, 3, 5]), h + 1, w))
    return [
        (torch.randn(n, c, h, w).double() + 0.5, 2 * torch.randn(m, c, 1, 1).double(), torch.randn(m, 1, k, k).double(),
         2 * torch.randn(s, m).double(), 3 * torch.randn(m, s).double(), torch.randn(c, m, 1, 1).double())
        for n, c, m, s, k, h, w in shapes
    ]  # fmt: skip


repaired = Task(
    "repaired",
    _block,
    _block_cases,
    mistakes={
        "nothing is repaired yet.": lambda *a: _block(*a, axes=(0, 2, 3), gate=torch.relu, linear=False),
        "one fault is left: the means are taken over the batch, so an image gets the gates of its neighbours.": (
            lambda *a: _block(*a, axes=(0, 2, 3))
        ),
        "one fault is left: a gate is a ReLU, so its factor has no upper end, and where it is 0 a map is lost.": (
            lambda *a: _block(*a, gate=torch.relu)
        ),
        "one fault is left: behind the projection stands an activation; the narrow end is linear.": (
            lambda *a: _block(*a, linear=False)
        ),
        "two faults are left: the projection is linear now; look at the axes of the mean and at the gate.": (
            lambda *a: _block(*a, axes=(0, 2, 3), gate=torch.relu)
        ),
        "two faults are left: the gate is right now; look at the axes of the mean and at the last line.": (
            lambda *a: _block(*a, axes=(0, 2, 3), linear=False)
        ),
        "two faults are left: the mean is right now; look at the gate and at the last line.": (
            lambda *a: _block(*a, gate=torch.relu, linear=False)
        ),
        "the shortcut was right: the input is added.": lambda *a: _block(*a, adds=False),
    },
)
