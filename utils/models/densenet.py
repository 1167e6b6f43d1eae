"""DenseNet: blocks in which every layer reads all maps before it. DenseNet-121 to 201, and one for 32×32 images.

G. Huang, Z. Liu, L. van der Maaten and K. Q. Weinberger, "Densely connected convolutional networks", CVPR 2017 (arXiv
1608.06993): the layer is section 3's "DenseNet-B", the block figure 1, the transition section 3's "compression", the
networks table 1; DenseNet-161 is that of the authors' published code. Chapter: densenet.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence

import torch
from torch import nn
from torch.nn import functional as F

from utils.models.inputs import check_counts, check_images

# Growth rate, channels of the stem, and how many layers each of the four blocks has.
TABLE = {
    121: (32, 64, (6, 12, 24, 16)),
    161: (48, 96, (6, 12, 36, 24)),
    169: (32, 64, (6, 12, 32, 32)),
    201: (32, 64, (6, 12, 48, 32)),
}


class DenseLayer(nn.Module):
    """(N, inputs, H, W) → (N, growth, H, W): norm, ReLU, 1×1 to 4·growth; norm, ReLU, 3×3 to growth (DenseNet-B)."""

    def __init__(self, inputs: int, growth: int) -> None:
        super().__init__()
        self.norm1 = nn.BatchNorm2d(inputs)
        self.conv1 = nn.Conv2d(inputs, 4 * growth, 1, bias=False)
        self.norm2 = nn.BatchNorm2d(4 * growth)
        self.conv2 = nn.Conv2d(4 * growth, growth, 3, padding=1, bias=False)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = self.conv1(F.relu(self.norm1(x)))
        return self.conv2(F.relu(self.norm2(y)))


class DenseBlock(nn.Sequential):
    """(N, inputs, H, W) → (N, inputs + layers·growth, H, W): each layer reads all maps before it, equation 2.

    The input stands first, then the ``growth`` maps of each layer, oldest first; all pass unchanged.
    """

    def __init__(self, inputs: int, growth: int, layers: int) -> None:
        super().__init__(*(DenseLayer(inputs + i * growth, growth) for i in range(layers)))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        maps = [x]
        for layer in self:
            maps.append(layer(torch.cat(maps, dim=1)))
        return torch.cat(maps, dim=1)


class Transition(nn.Sequential):
    """(N, inputs, H, W) → (N, outputs, ⌊H/2⌋, ⌊W/2⌋): norm, ReLU, 1×1 convolution, average of each 2×2."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__(nn.BatchNorm2d(inputs), nn.ReLU(), nn.Conv2d(inputs, outputs, 1, bias=False), nn.AvgPool2d(2))


def dense_stages(inputs: int, growth: int, layers: Sequence[int]) -> tuple[nn.Sequential, int]:
    """Return blocks of so many layers, a transition that halves the channels between them, and the channels behind."""
    stages: OrderedDict[str, nn.Module] = OrderedDict()
    for number, size in enumerate(layers, start=1):
        if number > 1:
            stages[f"transition{number - 1}"] = Transition(inputs, inputs // 2)
            inputs //= 2
        stages[f"block{number}"] = DenseBlock(inputs, growth, size)
        inputs += size * growth
    return nn.Sequential(stages), inputs


class DenseNet(nn.Module):
    """(N, in_channels, H, W), sides of at least 29 and best 224 → logits (N, classes): table 1.

    Equal to torchvision's ``densenet121`` to ``densenet201``; the weights copy in order.

    Parameters
    ----------
    depth : {121, 161, 169, 201}
        Layers with weights, all on the longest way. 161 is the wide one: 48 maps from each layer in place of 32.
    classes, in_channels : int

    Raises
    ------
    ValueError
        When a number is none of these; in the forward pass, when the images do not fit.
    """

    def __init__(self, depth: int = 121, classes: int = 1000, in_channels: int = 3) -> None:
        if depth not in TABLE:
            raise ValueError(f"depth is {depth!r}, but the table of DenseNet has {', '.join(map(str, TABLE))}.")
        check_counts(classes=classes, in_channels=in_channels)
        super().__init__()
        growth, first, layers = TABLE[depth]
        self.stem = nn.Sequential(
            nn.Conv2d(in_channels, first, 7, stride=2, padding=3, bias=False), nn.BatchNorm2d(first), nn.ReLU(),
            nn.MaxPool2d(3, stride=2, padding=1),
        )  # fmt: skip
        self.stages, channels = dense_stages(first, growth, layers)
        self.norm = nn.BatchNorm2d(channels)  # nothing was normalised since the last convolutions
        self.head = nn.Linear(channels, classes)
        he(self)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        # The last maps are 1×1 up to sides of 60, since the transitions round down.
        channels = self.stem[0].in_channels
        check_images("DenseNet", x, channels=channels, least=29, training=self.training, shrinks=60)
        return self.head(F.relu(self.norm(self.stages(self.stem(x)))).mean((2, 3)))


class SmallDenseNet(nn.Module):
    """(N, in_channels, 32, 32) → logits (N, classes): one 3×3 convolution as stem, three blocks, growth rate 8.

    The networks of the paper for small images (section 3) have three blocks of equal length; here the first, with the
    largest maps, has two layers, the others four and six. By default 45,690 parameters and 12.0 M multiply-adds. Sides
    of at least 4 will do.
    """

    def __init__(self, classes: int = 10, in_channels: int = 3) -> None:
        check_counts(classes=classes, in_channels=in_channels)
        super().__init__()
        self.stem = nn.Conv2d(in_channels, 16, 3, padding=1, bias=False)  # 16×32×32
        self.stages, channels = dense_stages(16, 8, (2, 4, 6))  # 32×32×32, 48×16×16, 72×8×8
        self.norm = nn.BatchNorm2d(channels)
        self.head = nn.Linear(channels, classes)
        he(self)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        check_images("SmallDenseNet", x, channels=self.stem.in_channels, least=4, training=self.training, shrinks=7)
        return self.head(F.relu(self.norm(self.stages(self.stem(x)))).mean((2, 3)))


def he(model: nn.Module) -> None:
    """Draw the convolutions' weights as He et al. do (ICCV 2015), by the number of inputs that each output reads."""
    for layer in model.modules():
        if isinstance(layer, nn.Conv2d):
            nn.init.kaiming_normal_(layer.weight, nonlinearity="relu")
