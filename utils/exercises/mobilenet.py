"""Checks for the exercises of chapter "MobileNet: networks for a telephone"."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

import torch
from torch import nn
from torch.nn import functional as F
from torchvision.models.mobilenetv2 import InvertedResidual as Reference

from utils.exercises.core import Behaviour, Task, describe_block

# ---- groups without groups ----------------------------------------------------------------------------------------


def _grouped(x: torch.Tensor, weight: torch.Tensor, groups: int) -> torch.Tensor:
    return F.conv2d(x, weight, groups=groups)


def _grouped_cases(rng: random.Random) -> list[tuple]:
    # Channels of a group, kernels of a group, groups, (h, w) of the kernel, height and width of the maps.
    sizes: list[tuple] = [
        (3, 2, 1, (3, 3), 6, 5), (1, 1, 4, (3, 3), 5, 7), (2, 3, 2, (1, 1), 4, 4), (1, 2, 3, (2, 3), 6, 4),
        (3, 1, 2, (3, 1), 5, 5),
    ]  # fmt: skip
    for _ in range(17):
        kernel = (rng.randint(1, 3), rng.randint(1, 3))
        sizes.append(
            (rng.randint(1, 3), rng.randint(1, 3), rng.randint(2, 4), kernel, rng.randint(3, 7), rng.randint(3, 7))
        )
    generator = torch.Generator().manual_seed(0)

    def numbers(*shape: int) -> torch.Tensor:
        return torch.randint(-3, 4, shape, generator=generator).float()

    return [
        (numbers(2, c * groups, height, width), numbers(k * groups, c, *kernel), groups)
        for c, k, groups, kernel, height, width in sizes
    ]


def _part(x: torch.Tensor, weight: torch.Tensor, channels: slice, kernels: slice) -> torch.Tensor:
    return F.conv2d(x[:, channels], weight[kernels])


def _in_turn(x: torch.Tensor, weight: torch.Tensor, groups: int) -> torch.Tensor:
    """Deal channels and kernels out in turn instead of cutting them in order."""
    pick = [slice(g, None, groups) for g in range(groups)]
    return torch.cat([_part(x, weight, part, part) for part in pick], 1)


def _kernels_in_turn(x: torch.Tensor, weight: torch.Tensor, groups: int) -> torch.Tensor:
    """Give kernel k the group k modulo the number of groups."""
    parts = x.chunk(groups, 1)
    return torch.cat([F.conv2d(parts[k % groups], weight[k : k + 1]) for k in range(len(weight))], 1)


def _first_only(x: torch.Tensor, weight: torch.Tensor, groups: int) -> torch.Tensor:
    return F.conv2d(x[:, : weight.shape[1]], weight)


def _everywhere(x: torch.Tensor, weight: torch.Tensor, groups: int) -> torch.Tensor:
    return F.conv2d(x, weight.repeat(1, groups, 1, 1))


def _summed(x: torch.Tensor, weight: torch.Tensor, groups: int) -> torch.Tensor:
    return torch.stack([F.conv2d(*p) for p in zip(x.chunk(groups, 1), weight.chunk(groups), strict=True)]).sum(0)


def _backwards(x: torch.Tensor, weight: torch.Tensor, groups: int) -> torch.Tensor:
    pairs = zip(x.chunk(groups, 1), weight.chunk(groups)[::-1], strict=True)
    return torch.cat([F.conv2d(*pair) for pair in pairs], 1)


grouped = Task(
    "grouped",
    _grouped,
    _grouped_cases,
    mistakes={
        "every kernel reads the channels of the first group; each group of kernels reads its own.": _first_only,
        "every kernel reads every group; elsewhere than in its own group a kernel has zeros.": _everywhere,
        "channels and kernels are cut in order, the first part first; they are not dealt out in turn.": _in_turn,
        "kernel k belongs to group k // (K // groups), not to k % groups.": _kernels_in_turn,
        "the groups' outputs stand side by side, torch.cat(…, dim=1); they are not added.": _summed,
        "the groups of kernels are paired with the groups of channels in reverse.": _backwards,
    },
)

# ---- the saving ---------------------------------------------------------------------------------------------------


def _work(layers: list[nn.Conv2d], height: int, width: int) -> int:
    """Count by shapes: each weight once for each output place."""
    with torch.device("meta"):
        x, total = torch.zeros(1, layers[0].in_channels, height, width), 0
        for layer in layers:
            x = layer(x)
            total += layer.weight.numel() * x.shape[2] * x.shape[3]
    return total


def _costs(inputs: int, outputs: int, kernel: int, stride: int, height: int, width: int) -> list[int]:
    with torch.device("meta"):
        options = {"stride": stride, "padding": kernel // 2, "bias": False}
        dense = nn.Conv2d(inputs, outputs, kernel, **options)
        pair = [nn.Conv2d(inputs, inputs, kernel, groups=inputs, **options), nn.Conv2d(inputs, outputs, 1, bias=False)]
    return [_work([dense], height, width), _work(pair, height, width)]


def _costs_cases(rng: random.Random) -> list[tuple]:
    fixed = [(32, 64, 3, 1, 112, 112), (64, 128, 3, 2, 112, 112), (1, 1, 1, 1, 5, 5), (8, 24, 5, 2, 9, 7)]
    drawn = [
        (
            rng.randint(1, 64), rng.randint(1, 64), rng.choice([1, 3, 5, 7]), rng.choice([1, 1, 2, 3]),
            rng.randint(5, 40), rng.randint(5, 40),
        )
        for _ in range(20)
    ]  # fmt: skip
    return fixed + drawn


def _counted(
    places: Callable[[int, int], int] = lambda size, stride: -(-size // stride),
    looks: Callable[[int, int, int], int] = lambda c, k, side: c * side**2,
    mixes: Callable[[int, int], int] = lambda c, k: c * k,
    early: bool = False,
    square: bool = False,
) -> Callable[..., list[int]]:
    """Return a right count, or one with a single error."""

    def count(inputs: int, outputs: int, kernel: int, stride: int, height: int, width: int) -> list[int]:
        width = height if square else width
        area = places(height, stride) * places(width, stride)
        first = height * width if early else area
        pair = looks(inputs, outputs, kernel) * first + mixes(inputs, outputs) * area
        return [inputs * outputs * kernel**2 * area, pair]

    return count


def _swapped(*case: int) -> list[int]:
    return _costs(*case)[::-1]


costs = Task(
    "costs",
    _costs,
    _costs_cases,
    mistakes={
        "the stride makes the maps smaller: every weight is used once for each *output* place.": _counted(
            places=lambda size, stride: size
        ),
        "with padding, ⌈H / stride⌉ rows come out, rounded up.": _counted(places=lambda size, stride: size // stride),
        "the 1×1 convolution is missing.": _counted(mixes=lambda c, k: 0),
        "the depthwise convolution has one kernel for each channel that comes in, not for each that goes out.": _counted(
            looks=lambda c, k, side: k * side**2
        ),
        "a depthwise kernel has kernel² weights.": _counted(looks=lambda c, k, side: c * side),
        "the depthwise convolution has one slice for each kernel; inputs · outputs · kernel² is the dense one.": _counted(
            looks=lambda c, k, side: c * k * side**2
        ),
        "the stride is in the depthwise convolution, which works at its own output places only.": _counted(early=True),
        "the 1×1 convolution leads from inputs to outputs channels.": _counted(mixes=lambda c, k: k * k),
        "the maps need not be square: height and width differ.": _counted(square=True),
        "first the dense layer, then the pair.": _swapped,
        "that is the number of weights; each is used at every output place.": _counted(places=lambda size, stride: 1),
    },
)

# ---- blocks -------------------------------------------------------------------------------------------------------


def _seen(answer: Callable[..., Any]) -> Callable[..., list[Any]]:
    """Return a function that builds the block, fills its parameters by rule, and says what a batch shows."""

    def look(inputs: int, outputs: int, stride: int, t: int, height: int, width: int) -> list[Any]:
        generator = torch.Generator().manual_seed(inputs + 7 * outputs)
        x = torch.randn(3, inputs, height, width, generator=generator, dtype=torch.float64)
        return describe_block(
            answer(inputs, outputs, stride, t),
            x,
            lambda y: [y.min(), y.mean(), y.max(), *y[0].flatten()[:3]],
            scale=lambda parameter: 50 if parameter.dim() == 1 else 1,  # what leaves a batch norm shall exceed 6
        )

    return look


def _block_cases(least: int) -> Callable[[random.Random], list[tuple]]:
    def cases(rng: random.Random) -> list[tuple]:
        fixed = [(4, 4, 1, 6, 8, 8), (4, 6, 1, 6, 8, 8), (4, 4, 2, 6, 8, 8), (3, 5, 2, 4, 7, 5), (6, 4, 1, 3, 5, 9)]
        fixed += [(5, 5, 1, least, 6, 7), (3, 3, 1, 2, 4, 6)]
        drawn = []
        for _ in range(15):
            inputs = rng.randint(2, 6)
            outputs = inputs + rng.choice([0, 0, -1, 1, 3])
            drawn.append(
                (inputs, outputs, rng.choice([1, 1, 2]), rng.randint(least, 6), rng.randint(4, 9), rng.randint(4, 9))
            )
        return fixed + drawn

    return cases


class _Block(nn.Module):
    """The right block, and with a fault the usual wrong ones."""

    def __init__(self, inputs: int, outputs: int, stride: int, t: int, fault: str = "") -> None:
        super().__init__()
        self.fault, wide = fault, t * inputs
        has = set(fault.split(", "))
        activation = nn.ReLU if "ReLU" in has else nn.ReLU6
        early = stride if "early stride" in has else 1
        groups = {"dense": 1, "groups": inputs}.get(fault, inputs if "groups" in has else wide)
        bias = "bias" in has

        def unit(a: int, b: int, k: int, s: int = 1, g: int = 1, active: bool = True) -> list[nn.Module]:
            norm = nn.BatchNorm2d(b) if "no norm" not in has or active else nn.Identity()
            conv = nn.Conv2d(a, b, k, s, k // 2, groups=g, bias=bias)
            return [conv, norm, *([activation()] if active else [])]

        expand = unit(inputs, wide, 1, early) if t != 1 or "always" in has else []
        if "linear expansion" in has:
            expand = expand[:2]
        middle = unit(wide, wide, 3, 1 if "early stride" in has else stride, groups)
        last = unit(wide, outputs, 1, active="active" in has)
        self.branch = nn.Sequential(*expand, *(middle[:2] if "linear middle" in has else middle), *last)
        same, fits = stride == 1, inputs == outputs
        self.adds = same and fits and "no shortcut" not in has
        self.adds |= ("stride only" in has and same) or ("channels only" in has and fits)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = self.branch(x)
        if self.adds and "in place" in self.fault:
            x += y
            return x
        if self.adds and "behind" in self.fault:
            return F.relu6(x + y)
        return x + y if self.adds else y


def _faulty(fault: str) -> Callable[..., nn.Module]:
    return lambda inputs, outputs, stride=1, t=6: _Block(inputs, outputs, stride, t, fault)


_HINTS = {
    "the last 1×1 is linear: batch norm, and no activation behind it.": _faulty("active"),
    "nothing follows the sum, either.": _faulty("behind"),
    "the shortcut is missing where stride and channels leave the shape as it is.": _faulty("no shortcut"),
    "a shortcut needs equal channels as well as stride 1.": _faulty("stride only"),
    "a shortcut needs stride 1 as well as equal channels.": _faulty("channels only"),
    "the stride belongs to the depthwise convolution; on the 1×1 in front three of four places are never read.": (
        _faulty("early stride")
    ),
    "the sum was written into the input, which the caller still needs: x + y, not x += y.": _faulty("in place"),
    "depthwise means as many groups as channels there, t · inputs of them.": _faulty("groups"),
}

Inverted = Behaviour(
    "Inverted",
    _seen(lambda inputs, outputs, stride, t: Reference(inputs, outputs, stride, t)),
    _block_cases(1),
    mistakes=_HINTS
    | {
        "where t is 1 there is nothing to widen: the first 1×1 is left out.": _faulty("always"),
        "the 3×3 is depthwise: groups equal to its channels.": _faulty("dense"),
        "ReLU6 cuts at 6, ReLU does not.": _faulty("ReLU"),
        "a bias in front of a batch norm is dead: bias=False.": _faulty("bias"),
        "the last 1×1 has a batch norm, too.": _faulty("no norm"),
        "the widening 1×1 has a ReLU6.": _faulty("linear expansion"),
        "the depthwise convolution has a ReLU6.": _faulty("linear middle"),
    },
    behaviour=_seen,
)

Repaired = Behaviour(
    "Repaired",
    _seen(lambda inputs, outputs, stride, t: Reference(inputs, outputs, stride, t)),
    _block_cases(2),
    mistakes=_HINTS
    | {
        "that is the broken block as it was.": _faulty("active, groups, early stride, stride only"),
        "groups and stride are right now; the activation behind the last 1×1 and the shortcut are not.": _faulty(
            "active, stride only"
        ),
        "activation and shortcut are right now; groups and stride are not.": _faulty("groups, early stride"),
        "one fault is left: the groups are right, the stride is still on the first 1×1, and the sum is written into x.": (
            _faulty("early stride, in place")
        ),
        "not depthwise at all: groups must equal the channels there.": _faulty("dense"),
    },
    behaviour=_seen,
)
