"""Checks for the exercises of chapter "ResNet"."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import Any

import torch
from torch import nn
from torch.nn import functional as F
from torchvision.models import resnet as reference

from utils.activations import layer_table
from utils.exercises.core import Answer, Behaviour, Task, Verdict, describe_block, fail, not_yet

# ---- predictions --------------------------------------------------------------------------------------------------


def _facts() -> list[int]:
    """Side of conv4_x, projections of ResNet-34 and of ResNet-50, parameters of a block with projection."""
    with torch.device("meta"):
        thirty, fifty = reference.resnet34(), reference.resnet50()
        x = thirty.maxpool(thirty.conv1(torch.zeros(1, 3, 224, 224)))
        side = thirty.layer3(thirty.layer2(thirty.layer1(x))).shape[-1]
    projections = [sum("downsample.0" in name for name, _ in net.named_parameters()) for net in (thirty, fifty)]
    return [side, *projections, sum(p.numel() for p in thirty.layer2[0].parameters())]


facts = Answer(
    "facts",
    _facts,
    mistakes={
        "conv5_x also halves: asked for is the side behind conv4_x, 224 / 2 / 2 / 2 / 2.": [7, 3, 4, 230_144],
        "the pooling behind the first layer halves, too.": [28, 3, 4, 230_144],
        "the first block of ResNet-50 leaves 56×56 as it is, but 64 channels become 256: it needs a projection, too.": [
            14, 3, 3, 230_144,
        ],
        "conv2_x of ResNet-34 keeps 64 channels and 56×56: no projection there.": [14, 4, 4, 230_144],
        "the batch norms have two parameters for each channel, that of the projection as well.": [14, 3, 4, 229_376],
        "the projection has parameters, too: 64·128 weights and a batch norm.": [14, 3, 4, 221_696],
        "the shortcut's batch norm is missing: 2·128 parameters.": [14, 3, 4, 229_888],
    },
)  # fmt: skip


@cache
def _layers(kind: str, numbers: tuple[int, ...]) -> int:
    block = reference.BasicBlock if kind == "basic" else reference.Bottleneck
    with torch.device("meta"):
        net = reference.ResNet(block, list(numbers))
    return sum(
        isinstance(layer, (nn.Conv2d, nn.Linear)) and "downsample" not in name for name, layer in net.named_modules()
    )


def _depth_cases(rng: random.Random) -> list[tuple]:
    known = [
        ("basic", [2, 2, 2, 2]),
        ("basic", [3, 4, 6, 3]),
        ("bottleneck", [3, 4, 6, 3]),
        ("bottleneck", [1, 1, 1, 1]),
    ]
    drawn = [(rng.choice(["basic", "bottleneck"]), [rng.randint(1, 6) for _ in range(4)]) for _ in range(18)]
    return known + drawn


def _per_block(kind: str) -> int:
    return 2 if kind == "basic" else 3


depth = Task(
    "depth",
    lambda kind, numbers: _layers(kind, tuple(numbers)),
    _depth_cases,
    mistakes={
        "the first convolution and the dense layer count, too: 2 more.": lambda kind, numbers: (
            _per_block(kind) * sum(numbers)
        ),
        "a bottleneck has three layers, not two.": lambda kind, numbers: 2 * sum(numbers) + 2,
        "a basic block has two layers, not three.": lambda kind, numbers: 3 * sum(numbers) + 2,
        "both the first convolution and the dense layer count: one more.": lambda kind, numbers: (
            _per_block(kind) * sum(numbers) + 1
        ),
        "the shortcuts' projections are not counted.": lambda kind, numbers: (
            _per_block(kind) * sum(numbers) + (5 if kind == "basic" else 6)
        ),
        "that is the number of blocks; each has two or three layers.": lambda kind, numbers: sum(numbers),
        "a pooling has no weights and is no layer here.": lambda kind, numbers: _per_block(kind) * sum(numbers) + 3,
    },
)

# ---- blocks -------------------------------------------------------------------------------------------------------


def _seen(answer: Callable[..., Any]) -> Callable[..., list[Any]]:
    """Return a function that builds the block, fills its parameters by rule, and says what a batch shows."""

    def look(inputs: int, outputs: int, stride: int, height: int, width: int) -> list[Any]:
        generator = torch.Generator().manual_seed(inputs + 7 * outputs)
        x = torch.randn(3, inputs, height, width, generator=generator, dtype=torch.float64).abs()
        return describe_block(answer(inputs, outputs, stride), x, lambda y: [y.min(), y.mean(), *y[0].flatten()[:4]])

    return look


def _cases(rng: random.Random) -> list[tuple]:
    fixed = [(6, 6, 1, 8, 8), (4, 4, 1, 5, 7), (4, 8, 2, 8, 8), (4, 8, 2, 7, 5), (5, 9, 1, 6, 6), (3, 3, 2, 9, 6)]
    drawn = []
    for _ in range(16):
        inputs = rng.randint(2, 8)
        outputs = inputs + rng.choice([0, 0, 1, 3, inputs])
        drawn.append((inputs, outputs, rng.choice([1, 1, 2, 3]), rng.randint(4, 10), rng.randint(4, 10)))
    return fixed + drawn


class _Block(nn.Module):
    """The right block, and by its switches the usual wrong ones."""

    def __init__(self, inputs: int, outputs: int, stride: int = 1, *, option: str = "A", fault: str = "") -> None:
        super().__init__()
        self.fault, self.stride, self.missing = fault, stride, outputs - inputs
        self.conv1 = nn.Conv2d(inputs, outputs, 3, stride=stride, padding=1, bias=fault == "bias")
        self.norm1 = nn.BatchNorm2d(outputs) if fault != "one norm" else nn.Identity()
        self.conv2 = nn.Conv2d(outputs, outputs, 3, padding=1, bias=fault == "bias")
        self.norm2 = nn.BatchNorm2d(outputs)
        differs = (stride != 1) if fault == "channels" else (stride != 1 or inputs != outputs)
        differs = (inputs != outputs) if fault == "strides" else differs
        self.skip = nn.Sequential()
        if option == "B" and (differs or fault == "always"):
            step = 1 if fault == "no stride" else stride
            self.skip.append(nn.Conv2d(inputs, outputs, 1, stride=step, bias=False))
            if fault != "no norm":
                self.skip.append(nn.BatchNorm2d(outputs))
        self.padded = option == "A"

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = F.relu(self.norm1(self.conv1(x)))
        if self.fault == "no ReLU inside":
            y = self.norm1(self.conv1(x))
        y = self.norm2(self.conv2(y))
        if self.fault in ("before", "before, in place"):
            y = F.relu(y)
        short = self.skip(x)
        if self.padded:
            if self.fault == "pooled":
                x = F.avg_pool2d(x, self.stride, ceil_mode=True)
            short = x[:, :, :: self.stride, :: self.stride] if self.fault != "pooled" else x
            front = self.missing if self.fault == "front" else self.missing // 2 if self.fault == "both" else 0
            short = F.pad(short, (0, 0, 0, 0, front, self.missing - front))
        if self.fault == "no skip":
            return F.relu(y)
        if self.fault in ("in place", "before, in place"):
            short += y
            return short if self.fault == "before, in place" else F.relu(short)
        if self.fault == "first":
            return F.relu(y) + short
        return y + short if self.fault in ("before", "no ReLU") else F.relu(y + short)


def _faulty(fault: str, option: str = "A") -> Callable[..., nn.Module]:
    return lambda inputs, outputs, stride=1: _Block(inputs, outputs, stride, option=option, fault=fault)


block = Behaviour(
    "block",
    _seen(_faulty("")),
    _cases,
    mistakes={
        "the shortcut is missing: that is a plain block.": _faulty("no skip"),
        "the last ReLU comes behind the sum, so that it sees both.": _faulty("first"),
        "a ReLU behind the sum is missing.": _faulty("no ReLU"),
        "a ReLU belongs behind the first batch norm.": _faulty("no ReLU inside"),
        "keep every stride-th pixel, x[:, :, ::stride, ::stride]; no means of neighbours.": _faulty("pooled"),
        "the zero channels come behind the others, not in front.": _faulty("front"),
        "all zero channels come behind the others.": _faulty("both"),
        "a bias in front of a batch norm is dead: bias=False.": _faulty("bias"),
        "each of the two convolutions has a batch norm of its own.": _faulty("one norm"),
        "option A has no parameters in the shortcut; a 1×1 convolution is option B.": _faulty("", "B"),
    },
    behaviour=_seen,
)

Repaired = Behaviour(
    "Repaired",
    _seen(_faulty("", "B")),
    _cases,
    mistakes={
        "two of the faults are gone; the branch must not pass a ReLU before the sum, and `+=` writes into the input.": (
            _faulty("before, in place", "B")
        ),
        "the ReLU comes behind the sum: in front of it, a branch could only ever add.": _faulty("before", "B"),
        "`+=` writes into the input when the shortcut is the identity; write y + self.skip(x).": _faulty(
            "in place", "B"
        ),
        "a projection is needed wherever shapes differ: with another stride or with other channels.": _faulty(
            "channels", "B"
        ),
        "a stride changes the shape even if the channels stay: it needs a projection, too.": _faulty("strides", "B"),
        "the shortcut needs the stride of the branch.": _faulty("no stride", "B"),
        "where shapes agree the shortcut is the identity, without parameters.": _faulty("always", "B"),
        "the projection keeps its batch norm.": _faulty("no norm", "B"),
        "the ReLU in front of the sum is gone, and none stands behind it.": _faulty("no ReLU", "B"),
        "the shortcut has to be added.": _faulty("no skip", "B"),
    },
    behaviour=_seen,
)

# ---- a bottleneck from a budget -----------------------------------------------------------------------------------


@cache
def _size(channels: int, width: int) -> int:
    with torch.device("meta"):
        layers = nn.Sequential(
            nn.Conv2d(channels, width, 1, bias=False), nn.BatchNorm2d(width),
            nn.Conv2d(width, width, 3, padding=1, bias=False), nn.BatchNorm2d(width),
            nn.Conv2d(width, channels, 1, bias=False), nn.BatchNorm2d(channels),
        )  # fmt: skip
    return sum(p.numel() for p in layers.parameters())


def _largest(size: Callable[[int, int], float]) -> Callable[[int, int], int]:
    def widest(channels: int, budget: int) -> int:
        width = 0
        while size(channels, width + 1) <= budget:
            width += 1
        return width

    return widest


def _budget_cases(rng: random.Random) -> list[tuple]:
    exact = [(channels, _size(channels, width) - less) for channels, width in ((256, 64), (64, 16)) for less in (0, 1)]
    small = [(512, 1000), (8, _size(8, 1)), (8, _size(8, 1) - 1)]
    drawn = [(rng.choice([8, 32, 100, 256, 512]), rng.randint(1000, 120_000)) for _ in range(18)]
    return exact + small + drawn


widest = Task(
    "widest",
    _largest(_size),
    _budget_cases,
    mistakes={
        "the three batch norms have parameters, too: two for each of their channels.": _largest(
            lambda c, w: 2 * c * w + 9 * w * w
        ),
        "the third batch norm has `channels` channels, not `width`.": _largest(
            lambda c, w: 2 * c * w + 9 * w * w + 6 * w
        ),
        "a batch norm has two parameters for each channel: a scale and a shift.": _largest(
            lambda c, w: 2 * c * w + 9 * w * w + 2 * w + c
        ),
        "the 3×3 convolution has 9·width² weights.": _largest(lambda c, w: 2 * c * w + w * w + 4 * w + 2 * c),
        "there are two 1×1 convolutions, one in and one out.": _largest(lambda c, w: c * w + 9 * w * w + 4 * w + 2 * c),
        "a quarter of the channels is the paper's choice; asked for is the largest width within the budget.": (
            lambda c, budget: c // 4
        ),
        "the convolutions have no biases.": _largest(lambda c, w: 2 * c * w + 9 * w * w + 6 * w + 3 * c),
        "a block of exactly the budget is allowed.": _largest(lambda c, w: _size(c, w) + 1),
        "one too wide: the last width that still fits.": lambda c, budget: _largest(_size)(c, budget) + 1,
    },
)

# ---- a design -----------------------------------------------------------------------------------------------------

PARAMETERS, WORK, BAR = 50_000, 3_000_000, 0.45


@dataclass(frozen=True)
class _Design(Answer):
    """A function that builds a network: counted, trained for seconds by a fixed recipe, measured on shapes kept back."""

    def __call__(self, answer: Any) -> Verdict:
        if answer is ...:
            return not_yet(self.name, "write a function that returns your network.")
        if not callable(answer) or isinstance(answer, nn.Module):
            return fail(self.name, "give the function that builds the network, not its result: each check builds anew.")
        torch.manual_seed(0)
        try:
            net = answer()
        except NotImplementedError as error:
            return not_yet(self.name, str(error))
        if not isinstance(net, nn.Module):
            return fail(self.name, f"design() returns {type(net).__name__}, but it must return an nn.Module.")
        size = sum(p.numel() for p in net.parameters())
        if size >= PARAMETERS:
            return fail(self.name, f"the network has {size:,} parameters; it must have fewer than {PARAMETERS:,}.")
        try:
            work = sum(row["multiply_adds"] for row in layer_table(net, (3, 24, 24)))
            with torch.no_grad():
                shape = tuple(net.eval()(torch.zeros(2, 3, 24, 24)).shape)
        except Exception as error:
            return fail(
                self.name,
                f"a batch of images (2, 3, 24, 24) raises {type(error).__name__}: {str(error).splitlines()[0]}",
            )
        if shape != (2, 10):
            return fail(self.name, f"for two images the output is {shape}, but it must be (2, 10).")
        if work > WORK:
            return fail(
                self.name,
                f"the network makes {work:,} multiply-adds an image; at most {WORK:,} are allowed, so that the check "
                "takes seconds. Halve the maps earlier, or make the first stage narrower.",
            )
        accuracy = measured(net)
        if accuracy <= BAR:
            return fail(
                self.name,
                f"accuracy {accuracy:.1%} on shapes it has not seen; more than {BAR:.0%} is asked for.",
                "Hint: batch norm behind each convolution; no dense layer on a whole map, whose weights are better spent on "
                "channels; a 2×2 maximum between the stages and a maximum over the last maps; shortcuts around pairs of layers.",
            )
        print(f"✓ {self.name}: fewer than {PARAMETERS:,} parameters, and better than the given network.")
        return Verdict(True)


def measured(net: nn.Module) -> float:
    """Train on 3,000 shapes of 24×24 pixels for six epochs, return the accuracy on 1,000 others."""
    from utils.data import shapes
    from utils.data.shapes import TEXTURES
    from utils.training import OneCycle, evaluate, fit

    data = shapes(3000, 1, 1000, size=24, seed=7, textures=tuple(TEXTURES)[:6])
    fit(net, data.train, epochs=6, batch_size=32, learning_rate=4e-3, schedule=OneCycle(), progress=False, device="cpu")
    return evaluate(net, data.test, device="cpu").accuracy


design = _Design("design", lambda: None)
