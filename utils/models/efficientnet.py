"""EfficientNet: inverted residuals with squeeze-and-excitation, one small network, and a rule by which it grows.

M. Tan and Q. V. Le, "EfficientNet: Rethinking model scaling for convolutional neural networks", ICML 2019
(arXiv 1905.11946): ``TABLE_1`` is its table 1, ``scaled`` its equation 3 for depth and width. Squeeze-and-excitation
is that of J. Hu, L. Shen and G. Sun, CVPR 2018. EfficientNet-Lite: Google's repository ``tensorflow/tpu``, 2020.
Chapter: EfficientNet.
"""

from __future__ import annotations

import math
from collections import OrderedDict
from collections.abc import Callable, Sequence
from functools import partial

import torch
from torch import nn
from torch.nn import functional as F

from utils.models.inputs import check_counts, check_images
from utils.models.units import ConvUnit, SqueezeExcitation, StochasticDepth, whole_channels

# Table 1 for B0, one row for a stage: expansion, side of the depthwise kernel, stride of the first block, channels,
# blocks. The table of the paper lists the stride of each stage with the stage in front of it.
TABLE_1 = (
    (1, 3, 1, 16, 1),
    (6, 3, 2, 24, 2),
    (6, 5, 2, 40, 2),
    (6, 3, 2, 80, 3),
    (6, 5, 1, 112, 3),
    (6, 5, 2, 192, 4),
    (6, 3, 1, 320, 1),
)

# Width, depth, side of the images, dropout: as published with the paper's code. They follow α^φ, β^φ, γ^φ roughly.
VARIANTS = {
    "b0": (1.0, 1.0, 224, 0.2),
    "b1": (1.0, 1.1, 240, 0.2),
    "b2": (1.1, 1.2, 260, 0.3),
    "b3": (1.2, 1.4, 300, 0.3),
    "b4": (1.4, 1.8, 380, 0.4),
    "b5": (1.6, 2.2, 456, 0.4),
    "b6": (1.8, 2.6, 528, 0.5),
    "b7": (2.0, 3.1, 600, 0.5),
}

# For images of 32×32: behind a stem of stride 1 three halvings, an expansion of 4. The layout of SmallMobileNet.
SMALL_TABLE = ((1, 3, 2, 24, 1), (4, 3, 1, 32, 2), (4, 3, 2, 48, 2), (4, 3, 2, 80, 2))

Row = tuple[int, int, int, int, int]


def scaled(table: Sequence[Row], depth: float, width: float) -> list[Row]:
    """Return a table of stages with ``depth`` times the blocks, rounded up, and ``width`` times the channels.

    Channels become a multiple of 8, by :func:`utils.models.units.whole_channels`. Expansion, kernel and stride stay.
    """
    return [(e, k, s, whole_channels(c * width), math.ceil(n * depth)) for e, k, s, c, n in table]


def check_factors(**factors: float) -> None:
    """Raise ValueError for the first factor that is no number above 0."""
    for name, factor in factors.items():
        if isinstance(factor, bool) or not isinstance(factor, (int, float)) or not 0 < factor < math.inf:
            raise ValueError(f"{name} is {factor!r}, but it must be a factor above 0; 1 is the unscaled network.")


class MBConv(nn.Module):
    """(N, inputs, H, W) → (N, outputs, ⌈H / stride⌉, ⌈W / stride⌉): an inverted residual with squeeze-and-excitation.

    1×1 to ``expansion`` times the channels, a depthwise convolution, the gates, 1×1 to ``outputs`` channels; the input
    is added where shapes agree.

    Parameters
    ----------
    inputs, outputs : int
    kernel, stride : int
        Of the depthwise convolution.
    expansion : int
        1 leaves the first convolution out.
    squeeze : bool
        With squeeze-and-excitation; its narrow layer has a quarter of the ``inputs``.
    activation : class of module
    rate : float
        Probability of stochastic depth.
    unit : callable
        Makes a convolution with its norm and activation, as :class:`utils.models.units.ConvUnit` does.
    """

    def __init__(
        self, inputs: int, outputs: int, kernel: int = 3, stride: int = 1, expansion: int = 6, squeeze: bool = True,
        activation: type[nn.Module] = nn.SiLU, rate: float = 0.0, unit: Callable[..., nn.Module] = ConvUnit,
    ) -> None:  # fmt: skip
        super().__init__()
        wide = expansion * inputs
        layers: OrderedDict[str, nn.Module] = OrderedDict()
        if expansion > 1:
            layers["expand"] = unit(inputs, wide, 1, activation=activation)
        layers["depthwise"] = unit(wide, wide, kernel, stride, groups=wide, activation=activation)
        if squeeze:
            layers["squeeze"] = SqueezeExcitation(wide, max(1, inputs // 4), activation=activation)
        layers["project"] = unit(wide, outputs, 1, activation=None)
        self.branch = nn.Sequential(layers)
        self.drop = StochasticDepth(rate)
        self.adds = stride == 1 and inputs == outputs

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x + self.drop(self.branch(x)) if self.adds else self.branch(x)


def stages(inputs: int, table: Sequence[Row], rate: float = 0.0, **options: object) -> nn.Sequential:
    """Return the stages of a table as blocks; the probability of stochastic depth grows from 0 to almost ``rate``."""
    blocks = sum(number for *_, number in table)
    made, result = 0, []
    for expansion, kernel, stride, outputs, number in table:
        stage = []
        for first in (True, *[False] * (number - 1)):
            step, drop = (stride if first else 1), rate * made / blocks
            stage.append(MBConv(inputs, outputs, kernel, step, expansion, rate=drop, **options))
            inputs, made = outputs, made + 1
        result.append(nn.Sequential(*stage))
    return nn.Sequential(*result)


class EfficientNet(nn.Module):
    """(N, in_channels, H, W) → logits (N, classes): B0 of table 1, or B0 scaled up to B7.

    Equal to torchvision's ``efficientnet_b0`` to ``efficientnet_b7``; the weights copy in order. B0 has 5,288,548
    parameters. The batch norms are torchvision's: ε is 1e-5 up to B4 and 1e-3, as in the paper's code, from B5 on.

    Parameters
    ----------
    variant : {"b0", …, "b7"}
        Made for images whose sides stand in ``VARIANTS``; others will do.
    classes, in_channels : int
    depth, width : float, optional
        Factors of B0's blocks and channels in the place of those of the variant.

    Raises
    ------
    ValueError
        When an argument is none of these; in the forward pass, when the images do not fit.
    """

    def __init__(
        self, variant: str = "b0", classes: int = 1000, in_channels: int = 3,
        depth: float | None = None, width: float | None = None,
    ) -> None:  # fmt: skip
        super().__init__()
        if variant not in VARIANTS:
            raise ValueError(f"variant is {variant!r}, but EfficientNet has {', '.join(VARIANTS)}.")
        check_counts(classes=classes, in_channels=in_channels)
        wider, deeper, _, dropout = VARIANTS[variant]
        depth, width = deeper if depth is None else depth, wider if width is None else width
        check_factors(depth=depth, width=width)
        table = scaled(TABLE_1, depth, width)
        norm = {"eps": 1e-3, "momentum": 0.01} if variant in ("b5", "b6", "b7") else {}
        unit = partial(ConvUnit, **norm)
        first, last = whole_channels(32 * width), table[-1][3]
        self.in_channels = in_channels
        self.stem = unit(in_channels, first, 3, 2, activation=nn.SiLU)
        self.stages = stages(first, table, rate=0.2, unit=unit)
        self.top = unit(last, 4 * last, 1, activation=nn.SiLU)
        self.head = nn.Sequential(nn.Dropout(dropout), nn.Linear(4 * last, classes))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        check_images("EfficientNet", x, channels=self.in_channels, training=self.training, shrinks=32)
        return self.head(self.top(self.stages(self.stem(x))).mean((2, 3)))


class SameConv2d(nn.Conv2d):
    """A convolution that pads as TensorFlow does: to ⌈side / stride⌉ outputs, an odd zero to the right and below."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        (top, bottom), (left, right) = (
            self.zeros(*sides) for sides in zip(x.shape[2:], self.kernel_size, self.stride, strict=True)
        )
        x = F.pad(x, (left, right, top, bottom))
        return F.conv2d(x, self.weight, self.bias, self.stride, groups=self.groups)

    @staticmethod
    def zeros(side: int, kernel: int, stride: int) -> tuple[int, int]:
        total = max((math.ceil(side / stride) - 1) * stride + kernel - side, 0)
        return total // 2, total - total // 2


class SameUnit(nn.Sequential):
    """As ConvUnit, with TensorFlow's padding and the ε of the paper's code."""

    def __init__(
        self, inputs: int, outputs: int, kernel: int, stride: int = 1, groups: int = 1,
        activation: type[nn.Module] | None = nn.ReLU6,
    ) -> None:  # fmt: skip
        super().__init__(
            SameConv2d(inputs, outputs, kernel, stride, groups=groups, bias=False),
            nn.BatchNorm2d(outputs, eps=1e-3, momentum=0.01),
            *([activation()] if activation else []),
        )


class EfficientNetLite(nn.Module):
    """(N, in_channels, H, W) → logits (N, classes): EfficientNet-Lite0, made for phones and 224×224; 4,652,008 parameters.

    B0 without squeeze-and-excitation, with ReLU6 in the place of SiLU, so that eight bits can hold its numbers. The
    weights that Google published were trained with TensorFlow's padding, which at stride 2 is not symmetric, on
    images (x − 127) / 128 for bytes x.

    Raises
    ------
    ValueError
        When a number is no whole one of at least 1; in the forward pass, when the images do not fit.
    """

    def __init__(self, classes: int = 1000, in_channels: int = 3) -> None:
        super().__init__()
        check_counts(classes=classes, in_channels=in_channels)
        self.in_channels = in_channels
        self.stem = SameUnit(in_channels, 32, 3, 2)
        self.stages = stages(32, TABLE_1, rate=0.2, squeeze=False, activation=nn.ReLU6, unit=SameUnit)
        self.top = SameUnit(320, 1280, 1)
        self.head = nn.Sequential(nn.Dropout(0.2), nn.Linear(1280, classes))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        check_images("EfficientNetLite", x, channels=self.in_channels, training=self.training, shrinks=32)
        return self.head(self.top(self.stages(self.stem(x))).mean((2, 3)))


class SmallEfficientNet(nn.Module):
    """(N, in_channels, 32, 32) → logits (N, classes): seven MBConv blocks behind a stem of stride 1.

    By default 191,440 parameters and 9.5 M multiply-adds. Sides of at least 8 will do.

    Parameters
    ----------
    classes, in_channels : int
    depth, width : float
        Factors of the blocks and of the channels; the third dimension is the size of the images.

    Raises
    ------
    ValueError
        When a number is none of these; in the forward pass, when the images do not fit.
    """

    def __init__(self, classes: int = 10, in_channels: int = 3, depth: float = 1.0, width: float = 1.0) -> None:
        super().__init__()
        check_counts(classes=classes, in_channels=in_channels)
        check_factors(depth=depth, width=width)
        table = scaled(SMALL_TABLE, depth, width)
        first, last = whole_channels(16 * width), table[-1][3]
        self.in_channels = in_channels
        self.stem = ConvUnit(in_channels, first, 3, activation=nn.SiLU)
        self.stages = stages(first, table)
        self.top = ConvUnit(last, 4 * last, 1, activation=nn.SiLU)
        self.head = nn.Linear(4 * last, classes)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        check_images("SmallEfficientNet", x, channels=self.in_channels, training=self.training, shrinks=8)
        return self.head(self.top(self.stages(self.stem(x))).mean((2, 3)))
