"""Checks for the exercises of chapter "DenseNet"."""

from __future__ import annotations

import random
from collections.abc import Callable
from functools import cache
from typing import Any

import torch
from torch import nn
from torch.nn import functional as F
from torchvision.models import densenet as reference

from utils.exercises.core import Answer, Behaviour, Task, describe_block

# ---- blocks: right ones, and by their faults the usual wrong ones -------------------------------------------------


class _Layer(nn.Sequential):
    """Norm, ReLU, 1×1, norm, ReLU, 3×3, or with a fault."""

    def __init__(self, inputs: int, growth: int, fault: str = "") -> None:
        narrow = {"narrow": growth, "twice": 2 * growth}.get(fault, 4 * growth)
        outputs = 4 * growth if fault == "wide" else growth
        bias = fault == "bias"
        first = nn.Conv2d(inputs, narrow, 1, bias=bias)
        second = nn.Conv2d(narrow, outputs, 3, padding=1, bias=bias)
        if fault == "behind":
            parts = [first, nn.BatchNorm2d(narrow), nn.ReLU(), second, nn.BatchNorm2d(outputs), nn.ReLU()]
        elif fault == "no bottleneck":
            conv = nn.Conv2d(inputs, outputs, 3, padding=1, bias=bias)
            parts = [nn.BatchNorm2d(inputs), nn.ReLU(), conv]
        elif fault == "no ReLU":
            parts = [nn.BatchNorm2d(inputs), first, nn.BatchNorm2d(narrow), nn.ReLU(), second]
        else:
            parts = [nn.BatchNorm2d(inputs), nn.ReLU(), first, nn.BatchNorm2d(narrow), nn.ReLU(), second]
        super().__init__(*parts)
        self.outputs = outputs


class _Block(nn.Module):
    """A dense block, with a transition behind it where it is a stage, or with a fault."""

    def __init__(self, inputs: int, growth: int, layers: int, *, stage: bool = False, fault: str = "") -> None:
        super().__init__()
        self.fault, self.layers = fault, nn.ModuleList()
        start = seen = inputs
        for _ in range(layers):
            layer = _Layer(seen, growth, fault)
            self.layers.append(layer)
            seen = layer.outputs if fault == "chain" else seen + layer.outputs
        last = {"last": growth, "without input": seen - start}.get(fault, seen)
        self.transition = nn.Sequential()
        if stage:
            outputs = last if fault == "no compression" else last // 2
            conv, pool = nn.Conv2d(last, outputs, 1, bias=False), nn.AvgPool2d(2)
            norm = nn.BatchNorm2d(outputs if fault == "transition behind" else last)
            pool = nn.MaxPool2d(2) if fault == "max" else pool
            parts = [conv, norm, nn.ReLU()] if fault == "transition behind" else [norm, nn.ReLU(), conv]
            self.transition = nn.Sequential(*parts, pool)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        maps = [x]
        for layer in self.layers:
            seen = maps[-1:] if self.fault == "chain" else maps[::-1] if self.fault == "order" else maps
            maps.append(layer(torch.cat(seen, dim=1)))
        if self.fault in ("chain", "last"):
            maps = maps[-1:]
        elif self.fault == "without input":
            maps = maps[1:]
        elif self.fault == "order":
            maps = maps[::-1]
        y = torch.cat(maps, dim=1)
        return self.transition(F.relu(y) if self.fault == "ReLU at the end" else y)


def _faulty(fault: str, stage: bool = False) -> Callable[..., nn.Module]:
    return lambda inputs, growth, layers: _Block(inputs, growth, layers, stage=stage, fault=fault)


def _seen(answer: Callable[..., Any]) -> Callable[..., list[Any]]:
    """Return a function that builds the block, fills its parameters by rule, and says what a batch shows."""

    def look(inputs: int, growth: int, layers: int, height: int, width: int) -> list[Any]:
        generator = torch.Generator().manual_seed(inputs + 7 * growth)
        x = torch.randn(3, inputs, height, width, generator=generator, dtype=torch.float64)
        return describe_block(
            answer(inputs, growth, layers),
            x,
            lambda y: [y.min(), y.mean(), *y[0, :, 0, 0][:2], *y[0, :, 0, 0][-2:]],
        )

    return look


def _cases(rng: random.Random) -> list[tuple]:
    fixed = [(6, 4, 3, 8, 8), (5, 3, 2, 5, 7), (4, 2, 1, 6, 4), (16, 8, 4, 4, 6), (3, 5, 6, 9, 5)]
    drawn = [
        (*(rng.randint(2, 8) for _ in range(2)), rng.randint(1, 5), *(rng.randint(4, 9) for _ in range(2)))
        for _ in range(17)
    ]
    return fixed + drawn


_OF_A_LAYER = {
    "norm and ReLU stand in front of each convolution, not behind it.": "behind",
    "a layer has a 1×1 convolution in front of its 3×3.": "no bottleneck",
    "the 1×1 convolution makes 4·growth channels.": "narrow",
    "4·growth channels behind the 1×1, not 2·growth.": "twice",
    "the 3×3 convolution makes growth maps, not 4·growth.": "wide",
    "a ReLU belongs behind both norms.": "no ReLU",
    "no convolution of a dense layer has a bias.": "bias",
    "each layer reads the input and the maps of all layers before it, not of the last alone.": "chain",
}

dense_block = Behaviour(
    "dense_block",
    _seen(_faulty("")),
    _cases,
    mistakes={
        hint: _faulty(fault)
        for hint, fault in (
            _OF_A_LAYER
            | {
                "the input is a part of the output: it stands in front.": "without input",
                "the output holds all maps, not those of the last layer alone.": "last",
                "the maps are right and stand in another order; the input comes first, the youngest maps last.": "order",
                "nothing stands behind the last concatenation: norm and ReLU belong to whoever reads it.": "ReLU at the end",
            }
        ).items()
    },
    behaviour=_seen,
)

Repaired = Behaviour(
    "Repaired",
    _seen(_faulty("", stage=True)),
    _cases,
    mistakes={
        hint: _faulty(fault, stage=True)
        for hint, fault in (
            _OF_A_LAYER
            | {
                "the transition halves the sides by an average, not by a maximum.": "max",
                "the transition has norm and ReLU in front of its convolution, too.": "transition behind",
                "the transition keeps half of the channels.": "no compression",
                "the input of the block is lost before the transition; it stands first among the maps.": "without input",
                "the transition reads all maps of the block, not those of the last layer alone.": "last",
            }
        ).items()
    },
    behaviour=_seen,
)

# ---- counting -----------------------------------------------------------------------------------------------------


@cache
def _stage(inputs: int, growth: int, layers: int, compression: float) -> list[int]:
    with torch.device("meta"):
        block = reference._DenseBlock(layers, inputs, bn_size=4, growth_rate=growth, drop_rate=0)
        channels = block(torch.zeros(1, inputs, 2, 2)).shape[1]
        transition = reference._Transition(channels, int(channels * compression))
    parameters = sum(p.numel() for part in (block, transition) for p in part.parameters())
    return [channels, int(channels * compression), parameters]


def _by_formula(
    inputs: int, growth: int, layers: int, compression: float, *,
    norms: bool = True, second: bool = True, transition: bool = True, wide: int = 36, extra: int = 0, up: bool = False,
) -> list[int]:  # fmt: skip
    """Count with something left out or wrong."""
    total, channels = 0, inputs
    for _ in range(layers + extra):
        total += 4 * growth * channels + wide * growth**2
        total += 2 * channels * norms + 8 * growth * (norms and second)
        channels += growth
    left = -int(-channels * compression // 1) if up else int(channels * compression)
    total += (2 * channels * norms + channels * left) * transition
    return [channels, left, total]


def _without(**parts: Any) -> Callable[..., list[int]]:
    return lambda *case: _by_formula(*case, **parts)


def _stages(rng: random.Random) -> list[tuple]:
    known = [
        (64, 32, 6, 0.5),
        (128, 32, 12, 0.5),
        (256, 32, 24, 0.5),
        (96, 48, 6, 0.5),
        (24, 12, 16, 1.0),
        (7, 4, 1, 0.5),
    ]
    drawn = [
        (rng.randint(1, 300), rng.randint(1, 60), rng.randint(1, 40), rng.choice([0.25, 0.5, 0.5, 0.75, 1.0]))
        for _ in range(18)
    ]
    return known + drawn


stage = Task(
    "stage",
    lambda *case: list(_stage(*case)),
    _stages,
    mistakes={
        "the batch norms have parameters, too: two for each channel that they read.": _without(norms=False),
        "the second norm of each layer is missing: 2·4·growth.": _without(second=False),
        "the parameters of the transition are missing: its norm and its 1×1 convolution.": _without(transition=False),
        "the 3×3 reads 4·growth channels: 9·4·growth·growth weights.": _without(wide=9),
        "round the channels behind the transition down.": _without(up=True),
        "one layer too many.": _without(extra=1),
        "the channels behind the block are not yet compressed, those behind the transition are.": lambda *case: [
            _stage(*case)[0], _stage(*case)[0], _stage(*case)[2],
        ],
        "each layer reads growth channels more than the one before; a count with the first layer's is too small.": (
            lambda inputs, growth, layers, compression: [
                *_stage(inputs, growth, layers, compression)[:2],
                _stage(inputs, growth, layers, compression)[2]
                - (4 * growth + 2) * growth * (layers * (layers - 1) // 2),
            ]
        ),
    },
)  # fmt: skip

# ---- a prediction -------------------------------------------------------------------------------------------------


@cache
def _measured(layers: int, growth: int) -> tuple[int, int, int]:
    """Parameters, bytes kept for the backward pass, and weights of the convolutions of a block with 256 channels in."""
    block = reference._DenseBlock(layers, 256, bn_size=4, growth_rate=growth, drop_rate=0)
    own, kept = {p.untyped_storage().data_ptr() for p in block.parameters()}, {}

    def note(tensor: torch.Tensor) -> torch.Tensor:
        kept[tensor.untyped_storage().data_ptr()] = tensor, tensor.untyped_storage().nbytes()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(note, lambda tensor: tensor):
        output = block(torch.randn(1, 256, 14, 14))
    size = sum(number for place, (_, number) in kept.items() if place not in own)
    del output
    parameters = [p.numel() for p in block.parameters()]
    return sum(parameters), size, sum(p.numel() for p in block.parameters() if p.dim() == 4)


def _more() -> list[Any]:
    pairs = zip(_measured(24, 32), _measured(12, 64), strict=True)
    return [*("deep" if deep > wide else "wide" for deep, wide in pairs), sum(range(1, 25))]


more = Answer(
    "more",
    _more,
    mistakes={
        "count the weights again: the 3×3 convolutions have 36·k² each, four times as many for twice the k.": [
            "deep", "deep", "wide", 300,
        ],
        "what is kept are concatenations: the same channels are copied once for each layer that reads them.": [
            "wide", "wide", "wide", 300,
        ],
        "all maps measure 14×14: each weight of a convolution is used 196 times, in both blocks.": [
            "wide", "deep", "deep", 300,
        ],
        "more layers need not mean more parameters or work: each layer has half the growth rate.": [
            "deep", "deep", "deep", 300,
        ],
        "the first layer reads one source, the last 24: 1 + 2 + … + 24.": ["wide", "deep", "wide", 276],
        "the output's concatenation is not counted: 24·25/2.": ["wide", "deep", "wide", 325],
    },
)  # fmt: skip
