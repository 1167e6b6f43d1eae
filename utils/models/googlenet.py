"""GoogLeNet: blocks of parallel branches. The network of torchvision, that of the paper, and one for 32×32 images.

Szegedy, Liu, Jia, Sermanet, Reed, Anguelov, Erhan, Vanhoucke and Rabinovich, "Going deeper with convolutions",
CVPR 2015: figure 2(b) is the block, table 1 the network, section 5 the auxiliary heads. Chapter: GoogLeNet.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from functools import partial

import torch
from torch import nn

from utils.models import units
from utils.models.inputs import check_counts, check_images

# Table 1, one row for each block: 1×1, 3×3 reduce, 3×3, 5×5 reduce, 5×5, pool projection.
TABLE_1 = {
    "3a": (64, 96, 128, 16, 32, 32),
    "3b": (128, 128, 192, 32, 96, 64),
    "4a": (192, 96, 208, 16, 48, 64),
    "4b": (160, 112, 224, 24, 64, 64),
    "4c": (128, 128, 256, 24, 64, 64),
    "4d": (112, 144, 288, 32, 64, 64),
    "4e": (256, 160, 320, 32, 128, 128),
    "5a": (256, 160, 320, 32, 128, 128),
    "5b": (384, 192, 384, 48, 128, 128),
}


ConvUnit = partial(units.ConvUnit, eps=0.001)  # torchvision's ε; the paper is older than batch norm


class Inception(nn.Module):
    """(N, inputs, H, W) → (N, outputs, H, W): four branches, concatenated (figure 2(b)).

    Parameters
    ----------
    inputs : int
    row : (1×1, 3×3 reduce, 3×3, 5×5 reduce, 5×5, pool projection)
        Channels, as in a row of table 1; ``outputs`` is the sum of those that end a branch.
    largest : int
        Side of the largest kernel: 5 in the paper, 3 in torchvision.
    norm : bool
        Batch norm behind every convolution; the paper is older than batch norm.
    """

    def __init__(self, inputs: int, row: Sequence[int], largest: int = 5, norm: bool = True) -> None:
        super().__init__()
        one, three_reduce, three, five_reduce, five, projection = row
        self.outputs = one + three + five + projection
        self.one = ConvUnit(inputs, one, 1, norm=norm)
        self.three = nn.Sequential(
            ConvUnit(inputs, three_reduce, 1, norm=norm), ConvUnit(three_reduce, three, 3, norm=norm)
        )
        self.five = nn.Sequential(
            ConvUnit(inputs, five_reduce, 1, norm=norm), ConvUnit(five_reduce, five, largest, norm=norm)
        )
        self.pool = nn.Sequential(nn.MaxPool2d(3, stride=1, padding=1), ConvUnit(inputs, projection, 1, norm=norm))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.cat([self.one(x), self.three(x), self.five(x), self.pool(x)], dim=1)


class AuxiliaryHead(nn.Module):
    """(N, inputs, 14, 14) → logits (N, classes), read off in the middle of the network while it trains (section 5)."""

    def __init__(self, inputs: int, classes: int, pool: nn.Module, norm: bool = True) -> None:
        super().__init__()
        self.pool = pool  # to 4×4
        self.conv = ConvUnit(inputs, 128, 1, norm=norm)
        self.head = nn.Sequential(
            nn.Flatten(), nn.Linear(128 * 4 * 4, 1024), nn.ReLU(), nn.Dropout(0.7), nn.Linear(1024, classes)
        )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.head(self.conv(self.pool(x)))


class GoogLeNet(nn.Module):
    """(N, in_channels, H, W), sides of at least 15 and best 224 → logits (N, classes), as torchvision has it.

    It differs from the paper (:class:`GoogLeNet2014`): batch norm; 3×3 where the paper has 5×5; 2×2 in the last max
    pooling; dropout of 0.2; other pooling in the auxiliary heads. 6,624,904 parameters, 7,005,832 with ``largest=5``.

    Parameters
    ----------
    aux : bool
        Add auxiliary heads behind 4a and 4d. In training mode the network then returns three logits, those of 4a
        and 4d behind its own; in evaluation mode always its own alone. 13,004,888 parameters.
    largest : int
        Side of the largest kernel in each block.

    Raises
    ------
    ValueError
        When classes or in_channels are no whole numbers of at least 1, or largest no odd one.
    """

    norm, dropout, last_pool, least = True, 0.2, 2, 15  # where the paper's variant differs

    def __init__(self, classes: int = 1000, in_channels: int = 3, aux: bool = False, largest: int = 3) -> None:
        check_counts(classes=classes, in_channels=in_channels)
        if largest not in (1, 3, 5, 7):
            raise ValueError(f"largest is {largest!r}, but the largest kernel of a block has a side of 1, 3, 5 or 7.")
        super().__init__()
        self.stem = nn.Sequential(
            ConvUnit(in_channels, 64, 7, stride=2, norm=self.norm),  # 64×112×112 for 224 pixels
            nn.MaxPool2d(3, stride=2, ceil_mode=True),  # 64×56×56
            ConvUnit(64, 64, 1, norm=self.norm),
            ConvUnit(64, 192, 3, norm=self.norm),
            nn.MaxPool2d(3, stride=2, ceil_mode=True),  # 192×28×28
        )
        self.stage3 = self.stage(192, "3a", "3b", largest=largest, pool=3)  # 480×14×14
        self.stage4 = self.stage(480, "4a", "4b", "4c", "4d", "4e", largest=largest, pool=self.last_pool)  # 832×7×7
        self.stage5 = self.stage(832, "5a", "5b", largest=largest)  # 1024×7×7
        behind = {"a": 512, "d": 528} if aux else {}  # blocks of stage 4, and their channels
        self.aux = nn.ModuleDict({name: self.auxiliary(inputs, classes) for name, inputs in behind.items()})
        self.head = nn.Sequential(
            nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Dropout(self.dropout), nn.Linear(1024, classes)
        )

    def stage(self, inputs: int, *names: str, largest: int, pool: int = 0) -> nn.Sequential:
        """Return blocks of table 1 in a row, and behind them a max pooling of stride 2 if there is one."""
        layers = OrderedDict()
        for name in names:
            layers[name[1]] = Inception(inputs, TABLE_1[name], largest, self.norm)
            inputs = layers[name[1]].outputs
        if pool:
            layers["pool"] = nn.MaxPool2d(pool, stride=2, ceil_mode=True)
        return nn.Sequential(layers)

    def auxiliary(self, inputs: int, classes: int) -> AuxiliaryHead:
        return AuxiliaryHead(inputs, classes, nn.AdaptiveAvgPool2d(4))

    def forward(self, x: torch.Tensor) -> torch.Tensor | tuple[torch.Tensor, ...]:
        shrinks = 32 if self.norm else None
        channels, name = self.stem[0][0].in_channels, type(self).__name__
        check_images(name, x, channels=channels, least=self.least, training=self.training, shrinks=shrinks)
        x = self.stage3(self.stem(x))
        others = []
        for name, block in self.stage4.named_children():
            x = block(x)
            if self.training and name in self.aux:
                others.append(self.aux[name](x))
        logits = self.head(self.stage5(x))
        return (logits, *others) if others else logits


class GoogLeNet2014(GoogLeNet):
    """The network of the paper: 5×5 kernels, biases and no batch norm, a response norm twice in the stem.

    (N, in_channels, H, W), sides of at least 31 and best 224 → logits (N, classes). 6,998,552 parameters, and
    13,378,280 with auxiliary heads, which need images of 224×224.
    """

    norm, dropout, last_pool, least = False, 0.4, 3, 31

    def __init__(self, classes: int = 1000, in_channels: int = 3, aux: bool = False) -> None:
        super().__init__(classes, in_channels, aux, largest=5)
        self.stem.insert(2, nn.LocalResponseNorm(5))  # behind the first pooling, figure 3
        self.stem.insert(5, nn.LocalResponseNorm(5))  # in front of the second

    def auxiliary(self, inputs: int, classes: int) -> AuxiliaryHead:
        return AuxiliaryHead(inputs, classes, nn.AvgPool2d(5, stride=3), norm=False)

    def forward(self, x: torch.Tensor) -> torch.Tensor | tuple[torch.Tensor, ...]:
        if self.training and self.aux:
            check_images("GoogLeNet2014 with auxiliary heads", x, channels=self.stem[0][0].in_channels, exact=224)
        return super().forward(x)


class SmallGoogLeNet(nn.Module):
    """(N, in_channels, 32, 32) → logits (N, classes): four blocks with real 5×5 kernels and batch norm.

    Stem, two blocks, pooling, two blocks, one average: the order of table 1, with less reduction in front. By default
    267,522 parameters and 9.9 M multiply-adds. Sides of at least 8 will do.
    """

    def __init__(self, classes: int = 10, in_channels: int = 3) -> None:
        check_counts(classes=classes, in_channels=in_channels)
        super().__init__()
        self.stem = nn.Sequential(
            ConvUnit(in_channels, 24, 3), nn.MaxPool2d(2),  # 24×16×16
            ConvUnit(24, 48, 3), nn.MaxPool2d(2),  # 48×8×8
        )  # fmt: skip
        self.stage1 = nn.Sequential(
            Inception(48, (24, 24, 48, 8, 24, 24)),  # 120×8×8
            Inception(120, (32, 32, 64, 8, 24, 24)),  # 144×8×8
            nn.MaxPool2d(2),  # 144×4×4
        )
        self.stage2 = nn.Sequential(
            Inception(144, (48, 48, 96, 16, 32, 32)),  # 208×4×4
            Inception(208, (64, 64, 128, 16, 32, 32)),  # 256×4×4
        )
        self.head = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(256, classes))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        channels = self.stem[0][0].in_channels
        check_images("SmallGoogLeNet", x, channels=channels, least=8, training=self.training, shrinks=8)
        return self.head(self.stage2(self.stage1(self.stem(x))))
