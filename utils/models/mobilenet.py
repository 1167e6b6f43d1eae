"""MobileNet, three generations: depthwise-separable layers, inverted residuals, and a network found by search.

A. G. Howard et al., "MobileNets: Efficient convolutional neural networks for mobile vision applications",
arXiv 1704.04861, 2017: ``MobileNetV1`` is its table 1. M. Sandler et al., "MobileNetV2: Inverted residuals and linear
bottlenecks", CVPR 2018: ``InvertedResidual`` is its table 1, ``MobileNetV2`` its table 2. A. Howard et al., "Searching
for MobileNetV3", ICCV 2019: ``MobileNetV3`` is its tables 1 and 2. Chapter: MobileNet.
"""

from __future__ import annotations

from functools import partial

import torch
from torch import nn

from utils.models.inputs import check_counts, check_images
from utils.models.units import ConvUnit, SqueezeExcitation, whole_channels

# 2017, table 1: outputs and stride of each depthwise-separable layer. The table has stride 2 at the last one as well,
# but its input and its output measure 7×7, so 1 is meant.
V1_TABLE = ((64, 1), (128, 2), (128, 1), (256, 2), (256, 1), (512, 2), *[(512, 1)] * 5, (1024, 2), (1024, 1))

# 2018, table 2: expansion t, output channels c, number of blocks n, stride s of the first of them.
V2_TABLE = (
    (1, 16, 1, 1), (6, 24, 2, 2), (6, 32, 3, 2), (6, 64, 4, 2), (6, 96, 3, 1), (6, 160, 3, 2), (6, 320, 1, 1),
)  # fmt: skip
SMALL_TABLE = ((1, 24, 1, 2), (4, 32, 2, 1), (4, 48, 2, 2), (4, 80, 2, 2))

# 2019, tables 1 and 2: kernel, wide channels, outputs, squeeze-and-excitation, hard-swish, stride.
V3_TABLES = {
    "large": (
        (3, 16, 16, False, False, 1), (3, 64, 24, False, False, 2), (3, 72, 24, False, False, 1),
        (5, 72, 40, True, False, 2), (5, 120, 40, True, False, 1), (5, 120, 40, True, False, 1),
        (3, 240, 80, False, True, 2), (3, 200, 80, False, True, 1), (3, 184, 80, False, True, 1),
        (3, 184, 80, False, True, 1), (3, 480, 112, True, True, 1), (3, 672, 112, True, True, 1),
        (5, 672, 160, True, True, 2), (5, 960, 160, True, True, 1), (5, 960, 160, True, True, 1),
    ),
    "small": (
        (3, 16, 16, True, False, 2), (3, 72, 24, False, False, 2), (3, 88, 24, False, False, 1),
        (5, 96, 40, True, True, 2), (5, 240, 40, True, True, 1), (5, 240, 40, True, True, 1),
        (5, 120, 48, True, True, 1), (5, 144, 48, True, True, 1), (5, 288, 96, True, True, 2),
        (5, 576, 96, True, True, 1), (5, 576, 96, True, True, 1),
    ),
}  # fmt: skip


class DepthwiseSeparable(nn.Sequential):
    """(N, inputs, H, W) → (N, outputs, ⌈H / stride⌉, ⌈W / stride⌉): a 3×3 for each channel alone, then a 1×1."""

    def __init__(self, inputs: int, outputs: int, stride: int = 1) -> None:
        super().__init__(ConvUnit(inputs, inputs, 3, stride, groups=inputs), ConvUnit(inputs, outputs, 1))


class InvertedResidual(nn.Module):
    """(N, inputs, H, W) → (N, outputs, ⌈H / stride⌉, ⌈W / stride⌉): a 1×1 widens, a depthwise looks, a 1×1 narrows.

    Nothing follows the last batch norm: the narrow ends are linear. Between them stands a shortcut, where they fit.

    Parameters
    ----------
    inputs, wide, outputs : int
        Channels in front, in the middle and behind; where ``wide`` equals ``inputs``, the first 1×1 is left out.
    kernel, stride : int
        Of the depthwise convolution.
    activation : class of module
        ReLU6 in 2018.
    squeeze : bool
        Squeeze-and-excitation behind the depthwise convolution, a quarter as wide (2019).
    unit : callable
        What makes a convolution with its norm.
    """

    def __init__(
        self, inputs: int, wide: int, outputs: int, kernel: int = 3, stride: int = 1,
        activation: type[nn.Module] = nn.ReLU6, squeeze: bool = False, unit: type[ConvUnit] = ConvUnit,
    ) -> None:  # fmt: skip
        super().__init__()
        self.adds = stride == 1 and inputs == outputs
        expand = [unit(inputs, wide, 1, activation=activation)] if wide != inputs else []
        gate = partial(SqueezeExcitation, gate=nn.Hardsigmoid)
        self.branch = nn.Sequential(
            *expand,
            unit(wide, wide, kernel, stride, groups=wide, activation=activation),
            *([gate(wide, whole_channels(wide // 4))] if squeeze else []),
            unit(wide, outputs, 1, activation=None),
        )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x + self.branch(x) if self.adds else self.branch(x)


def bottlenecks(table: tuple, inputs: int, width: float = 1.0) -> tuple[list[nn.Module], int]:
    """Return the blocks of a table with the columns t, c, n, s, and the channels behind them."""
    layers: list[nn.Module] = []
    for expansion, channels, number, first in table:
        outputs = whole_channels(channels * width)
        for stride in (first, *[1] * (number - 1)):
            layers.append(InvertedResidual(inputs, expansion * inputs, outputs, stride=stride))
            inputs = outputs
    return layers, inputs


class _MobileNet(nn.Module):
    """What the generations share: features, the average of each map, a head."""

    def __init__(self, in_channels: int, shrinks: int, features: list[nn.Module], head: list[nn.Module]) -> None:
        super().__init__()
        self.in_channels, self.shrinks = in_channels, shrinks
        self.features, self.head = nn.Sequential(*features), nn.Sequential(*head)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        name = type(self).__name__
        check_images(name, x, channels=self.in_channels, training=self.training, shrinks=self.shrinks)
        return self.head(self.features(x).mean((2, 3)))


def _check(width: float, classes: int, in_channels: int) -> None:
    check_counts(classes=classes, in_channels=in_channels)
    if isinstance(width, bool) or not isinstance(width, (int, float)) or not 0 < width < float("inf"):
        raise ValueError(f"width is {width!r}, but it must be a number above 0, such as 1.0 or 0.5.")


class MobileNetV1(_MobileNet):
    """(N, in_channels, H, W) → logits (N, classes): table 1 of 2017, made for 224×224.

    4,231,976 parameters and 569 M multiply-adds by default.

    Parameters
    ----------
    width : float
        The width multiplier α of section 3.3: every number of channels is multiplied by it.
    classes, in_channels : int

    Raises
    ------
    ValueError
        When a number is none of these; in the forward pass, when the images do not fit.
    """

    def __init__(self, width: float = 1.0, classes: int = 1000, in_channels: int = 3) -> None:
        _check(width, classes, in_channels)
        inputs = max(8, int(32 * width))
        features: list[nn.Module] = [ConvUnit(in_channels, inputs, 3, stride=2)]
        for channels, stride in V1_TABLE:
            outputs = max(8, int(channels * width))
            features.append(DepthwiseSeparable(inputs, outputs, stride))
            inputs = outputs
        super().__init__(in_channels, 32, features, [nn.Linear(inputs, classes)])


class MobileNetV2(_MobileNet):
    """(N, in_channels, H, W) → logits (N, classes): table 2 of 2018, made for 224×224.

    Equal to torchvision's ``mobilenet_v2``; the weights copy in order. 3,504,872 parameters and 301 M multiply-adds by
    default.

    Parameters
    ----------
    width : float
        Width multiplier; the last 1×1 is never narrower than 1,280.
    classes, in_channels : int

    Raises
    ------
    ValueError
        When a number is none of these; in the forward pass, when the images do not fit.
    """

    def __init__(self, width: float = 1.0, classes: int = 1000, in_channels: int = 3) -> None:
        _check(width, classes, in_channels)
        unit = partial(ConvUnit, activation=nn.ReLU6)
        first, last = whole_channels(32 * width), whole_channels(1280 * max(1.0, width))
        blocks, outputs = bottlenecks(V2_TABLE, first, width)
        features = [unit(in_channels, first, 3, stride=2), *blocks, unit(outputs, last, 1)]
        super().__init__(in_channels, 32, features, [nn.Dropout(0.2), nn.Linear(last, classes)])


class MobileNetV3(_MobileNet):
    """(N, in_channels, H, W) → logits (N, classes): tables 1 and 2 of 2019, made for 224×224.

    Equal to torchvision's ``mobilenet_v3_large`` and ``mobilenet_v3_small``; the weights copy in order. 5,483,032 and
    2,542,856 parameters, 217 M and 57 M multiply-adds by default. Batch norm has an ε of 1e-3 and a momentum of 0.01.

    Parameters
    ----------
    variant : {"large", "small"}
    width : float
        Width multiplier.
    classes, in_channels : int

    Raises
    ------
    ValueError
        When an argument is none of these; in the forward pass, when the images do not fit.
    """

    def __init__(
        self, variant: str = "large", width: float = 1.0, classes: int = 1000, in_channels: int = 3
    ) -> None:  # fmt: skip
        _check(width, classes, in_channels)
        if variant not in V3_TABLES:
            raise ValueError(f"variant is {variant!r}, but it must be 'large' or 'small'.")
        unit = partial(ConvUnit, eps=1e-3, momentum=0.01)
        first = inputs = whole_channels(16 * width)
        blocks = []
        for kernel, wide, channels, squeeze, hard_swish, stride in V3_TABLES[variant]:
            activation = nn.Hardswish if hard_swish else nn.ReLU
            wide, outputs = whole_channels(wide * width), whole_channels(channels * width)
            blocks.append(InvertedResidual(inputs, wide, outputs, kernel, stride, activation, squeeze, unit))
            inputs = outputs
        last = whole_channels({"large": 1280, "small": 1024}[variant] * width)
        features = [
            unit(in_channels, first, 3, stride=2, activation=nn.Hardswish), *blocks,
            unit(inputs, 6 * inputs, 1, activation=nn.Hardswish),
        ]  # fmt: skip
        head = [nn.Linear(6 * inputs, last), nn.Hardswish(), nn.Dropout(0.2), nn.Linear(last, classes)]
        super().__init__(in_channels, 32, features, head)


class SmallMobileNet(_MobileNet):
    """(N, in_channels, 32, 32) → logits (N, classes): seven inverted residuals behind a stem of stride 1.

    Table 2 of 2018 with less reduction, fewer blocks and an expansion of 4. By default 162,906 parameters and 9.5 M
    multiply-adds. Any sides will do.
    """

    def __init__(self, classes: int = 10, in_channels: int = 3) -> None:
        check_counts(classes=classes, in_channels=in_channels)
        unit = partial(ConvUnit, activation=nn.ReLU6)
        blocks, outputs = bottlenecks(SMALL_TABLE, 16)
        features = [unit(in_channels, 16, 3), *blocks, unit(outputs, 4 * outputs, 1)]
        super().__init__(in_channels, 8, features, [nn.Linear(4 * outputs, classes)])
