"""Checks for the exercises of chapter "ConvNeXt"."""

from __future__ import annotations

import random
from collections.abc import Callable
from functools import cache
from typing import Any

import torch
from torch import nn
from torch.nn import functional as F

from utils.exercises.core import Behaviour, Task, rounded

# ---- layer norm over channels -------------------------------------------------------------------------------------

Norm = Callable[[torch.Tensor, torch.Tensor, torch.Tensor, float], torch.Tensor]


def _last(x: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor, eps: float) -> torch.Tensor:
    """PyTorch's own layer norm, with the channels moved to the end and back."""
    return F.layer_norm(x.movedim(1, -1), weight.shape, weight, bias, eps).movedim(-1, 1)


def _norm_cases(rng: random.Random) -> list[tuple]:
    shapes = [(2, 3, 4, 5), (1, 8, 1, 1), (1, 6, 7, 2), (3, 5, 5, 5), (2, 2, 3, 4), (4, 16, 2, 9)]
    shapes += [(rng.randint(1, 4), rng.randint(2, 9), rng.randint(1, 8), rng.randint(1, 8)) for _ in range(18)]
    cases = []
    for number, (n, c, h, w) in enumerate(shapes):
        generator = torch.Generator().manual_seed(number)
        spread = rng.choice([0.002, 1.0, 10.0])  # so small that eps is seen, or large
        x = spread * torch.randn(n, c, h, w, generator=generator) + spread * torch.randn(
            n, c, 1, 1, generator=generator
        )
        weight, bias = 1 + torch.randn(2, c, generator=generator)
        cases.append((x, weight, bias - 1, rng.choice([1e-6, 1e-5])))
    return cases


def _by_hand(
    axes: tuple[int, ...] = (1,), correction: int = 0, root: str = "inside", scaled: bool = True, shifted: bool = True
) -> Norm:
    def norm(x: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor, eps: float) -> torch.Tensor:
        centred = x - x.mean(axes, keepdim=True)
        variance = x.var(axes, keepdim=True, correction=correction)
        y = (
            centred
            / {
                "inside": (variance + eps).sqrt(),
                "outside": variance.sqrt() + eps,
                "none": variance.sqrt(),
                "variance": variance + eps,
            }[root]
        )
        y = y * weight[:, None, None] if scaled else y
        return y + bias[:, None, None] if shifted else y

    return norm


def _reshaped(x: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor, eps: float) -> torch.Tensor:
    n, c, h, w = x.shape
    return F.layer_norm(x.reshape(n, h, w, c), (c,), weight, bias, eps).reshape(n, c, h, w)


channel_norm = Task(
    "channel_norm",
    _last,
    _norm_cases,
    mistakes={
        "that takes one mean for each image, over its channels and places; asked for is one for each place.": _by_hand(
            (1, 2, 3)
        ),
        "that takes one mean for each channel, as batch norm does; asked for is one for each place.": _by_hand(
            (0, 2, 3)
        ),
        "that takes one mean for each channel of each image; asked for is one for each place, over the channels.": (
            _by_hand((2, 3))
        ),
        "that takes the mean over the images, too; each image is normalised for itself.": _by_hand((0, 1)),
        "divide the sum of the squares by C, not by C − 1: var(…, correction=0).": _by_hand(correction=1),
        "eps belongs under the root: (variance + eps).sqrt().": _by_hand(root="outside"),
        "eps is missing: a place whose channels are all alike would be divided by 0.": _by_hand(root="none"),
        "divide by the root of the variance.": _by_hand(root="variance"),
        "the weight is missing.": _by_hand(scaled=False),
        "the bias is missing.": _by_hand(shifted=False),
        "weight and bias are missing.": _by_hand(scaled=False, shifted=False),
        "reshape does not move an axis, it cuts the same row of numbers anew; movedim or permute moves it.": _reshaped,
    },
)

# ---- what a block costs -------------------------------------------------------------------------------------------


@cache
def _size(width: int, kernel: int) -> int:
    with torch.device("meta"):
        layers = nn.ModuleList(
            [
                nn.Conv2d(width, width, kernel, padding=kernel // 2, groups=width),
                nn.LayerNorm(width),
                nn.Linear(width, 4 * width),
                nn.Linear(4 * width, width),
            ]
        )
        return sum(p.numel() for p in layers.parameters()) + width  # layer scale


def _price_cases(rng: random.Random) -> list[tuple]:
    known = [(96, 7), (96, 3), (768, 7), (1, 1), (1, 7), (192, 11)]
    return known + [(rng.randint(1, 400), rng.choice([1, 3, 5, 7, 9, 31])) for _ in range(18)]


price = Task(
    "price",
    _size,
    _price_cases,
    mistakes={
        "the convolution is depthwise: one kernel for each channel, not one for each pair.": lambda w, k: (
            _size(w, k) - k * k * w + k * k * w * w
        ),
        "a kernel of side k has k·k weights.": lambda w, k: _size(w, k) - k * k * w + k * w,
        "one number for each channel is missing: the convolution's bias, layer scale, or half of layer norm.": (
            lambda w, k: _size(w, k) - w
        ),
        "layer norm has two parameters for each channel.": lambda w, k: _size(w, k) - 2 * w,
        "layer norm and layer scale have parameters, too.": lambda w, k: _size(w, k) - 3 * w,
        "all three layers have biases: width, 4·width and width.": lambda w, k: _size(w, k) - 6 * w,
        "the dense layers have biases: 4·width and width.": lambda w, k: _size(w, k) - 5 * w,
        "there are two dense layers, one out to 4·width and one back.": lambda w, k: (
            k * k * w + w + 2 * w + 4 * w * w + 4 * w + w
        ),
        "biases, layer norm and layer scale are missing.": lambda w, k: k * k * w + 8 * w * w,
    },
)

# ---- the block ----------------------------------------------------------------------------------------------------


@torch.no_grad()
def _fill(block: nn.Module) -> None:
    """Fill the parameters by a rule that asks for their size alone, not for their shape or order."""
    for parameter in block.parameters():
        size = parameter.numel()
        values = torch.randn(size, generator=torch.Generator().manual_seed(size), dtype=torch.float64)
        parameter.copy_(0.5 * values.view(parameter.shape))


def _seen(answer: Callable[..., Any]) -> Callable[..., list[Any]]:
    """Return a function that builds the block, looks at it when it is new, fills it by rule, and says what it gives."""

    def look(width: int, kernel: int, height: int, across: int) -> list[Any]:
        block = answer(width, kernel)
        if not isinstance(block, nn.Module):
            return [f"{type(block).__name__}, not an nn.Module", "", "no output", "", []]
        block = block.double().train()
        generator = torch.Generator().manual_seed(width + 100 * kernel)
        x = torch.randn(2, width, height, across, generator=generator, dtype=torch.float64)
        before = x.clone()
        size = f"{sum(p.numel() for p in block.parameters()):,} parameters"
        try:
            with torch.no_grad():
                new = block(x.clone())
                _fill(block)
                y = block(x)
        except RuntimeError as error:
            return [size, "", f"RuntimeError: {str(error).splitlines()[0]}", "", []]
        if not isinstance(y, torch.Tensor):
            return [size, "", f"forward returns {type(y).__name__}, not a tensor", "", []]
        near = new.shape == x.shape and bool((new - before).abs().max() < 1e-3)
        start = "new, it copies its input but for less than 0.001" if near else "new, it is far from copying its input"
        kept = "the input is as before" if torch.equal(x, before) else "the input was changed"
        values = rounded(torch.stack([y.mean(), y.std(), *y[0].flatten()[:4]])) if y.numel() > 4 else []
        return [size, start, f"output {tuple(y.shape)}", kept, values]

    return look


def _cases(rng: random.Random) -> list[tuple]:
    fixed = [(6, 7, 8, 8), (4, 7, 5, 9), (3, 3, 7, 4), (8, 5, 1, 6), (5, 1, 6, 6), (2, 7, 3, 3)]
    drawn = [(rng.randint(2, 9), rng.choice([1, 3, 5, 7]), rng.randint(2, 10), rng.randint(2, 10)) for _ in range(16)]
    return fixed + drawn


class _Block(nn.Module):
    """The right block, and by its switches the usual wrong ones."""

    def __init__(self, width: int, kernel: int = 7, fault: str = "") -> None:
        super().__init__()
        self.fault = fault
        faults = fault.split(", ")
        self.faults = faults
        groups = 1 if "dense" in faults else width
        self.spatial = nn.Conv2d(width, width, kernel, padding=kernel // 2, groups=groups, bias="no bias" not in faults)
        hidden = 2 * width if "twice" in faults else 4 * width
        self.norm = nn.LayerNorm(width, eps=1e-6)
        self.whole = nn.GroupNorm(1, width, eps=1e-6) if "group" in faults else None
        self.batch = nn.BatchNorm2d(width, eps=1e-6) if "batch" in faults else None
        if "group" in faults or "batch" in faults:
            self.norm = nn.Identity()
        self.expand = nn.Linear(width, hidden)
        self.reduce = nn.Linear(hidden, width)
        self.scale = None
        if "no scale" not in faults:
            self.scale = nn.Parameter(torch.full((width, 1, 1), 1.0 if "one" in faults else 1e-6))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        n, c, h, w = x.shape
        y = x
        if "before" in self.faults:
            y = self.norm(y.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)
        y = self.spatial(y)
        for norm in (self.whole, self.batch):
            y = y if norm is None else norm(y)
        y = y.reshape(n, h, w, c) if "reshape" in self.faults else y.permute(0, 2, 3, 1)
        y = y if "before" in self.faults else self.norm(y)
        activation = F.relu if "relu" in self.faults else F.gelu
        y = self.expand(y)
        if "behind" in self.faults:
            y = activation(self.reduce(y))
        elif "no activation" in self.faults:
            y = self.reduce(y)
        else:
            y = self.reduce(activation(y))
        if "reshape" in self.faults:
            y = y.reshape(n, c, h, w)
        else:
            y = y.permute(0, 3, 2, 1) if "turned" in self.faults else y.permute(0, 3, 1, 2)
        y = y if self.scale is None else self.scale * y
        if "no skip" in self.faults:
            return y
        if "in place" in self.faults:
            x += y
            return x
        return F.gelu(x + y) if "last" in self.faults else x + y


def _faulty(fault: str) -> Callable[..., nn.Module]:
    return lambda width, kernel=7: _Block(width, kernel, fault)


block = Behaviour(
    "block",
    _seen(_faulty("")),
    _cases,
    mistakes={
        "the shortcut is missing: add the input.": _faulty("no skip"),
        "layer scale is missing: a parameter with a number for each channel, 1e-6 at first.": _faulty("no scale"),
        "layer scale starts at 1e-6, so that a new block nearly copies its input.": _faulty("one"),
        "the convolution is depthwise: groups=width.": _faulty("dense"),
        "the convolution has a bias: no batch norm follows that would take it away.": _faulty("no bias"),
        "the dense layers go out to 4·width and back.": _faulty("twice"),
        "the activation is GELU, not ReLU.": _faulty("relu"),
        "the activation stands between the two dense layers: behind them it leaves two linear steps that are one.": (
            _faulty("behind")
        ),
        "an activation is missing between the two dense layers.": _faulty("no activation"),
        "nothing stands behind the sum.": _faulty("last"),
        "the norm comes behind the depthwise convolution.": _faulty("before"),
        "GroupNorm(1, …) takes one mean for each image; asked for is one for each place, over its channels.": _faulty(
            "group"
        ),
        "that is batch norm, which looks at the other images; asked for is layer norm over channels.": _faulty("batch"),
        "reshape does not move the channels to the end; permute does.": _faulty("reshape"),
        "`+=` writes into the input; write x + y.": _faulty("in place"),
    },
    behaviour=_seen,
)


def _seen_without_kernel(answer: Callable[..., Any]) -> Callable[..., list[Any]]:
    look = _seen(lambda width, kernel: answer(width))
    return lambda width, height, across: look(width, 7, height, across)


def _repair_cases(rng: random.Random) -> list[tuple]:
    fixed = [(6, 8, 8), (4, 5, 9), (3, 7, 4), (8, 1, 6), (2, 3, 3)]
    return fixed + [(rng.randint(2, 9), rng.randint(2, 10), rng.randint(2, 10)) for _ in range(17)]


Repaired = Behaviour(
    "Repaired",
    _seen_without_kernel(_faulty("")),
    _repair_cases,
    mistakes={
        "the convolution is still dense: groups=width makes it depthwise.": _faulty("dense"),
        "height and width are exchanged on the way back; (N, H, W, C) returns by permute(0, 3, 1, 2).": _faulty(
            "turned"
        ),
        "the activation stands behind both dense layers, which without one between them are a single one.": _faulty(
            "behind"
        ),
        "`+=` writes into the input; write x + y.": _faulty("in place"),
        "the activation is gone; it belongs between the dense layers.": _faulty("no activation"),
        "the sum is gone: add the input.": _faulty("no skip"),
        "layer scale was right as it was.": _faulty("one"),
    },
    behaviour=_seen_without_kernel,
)
