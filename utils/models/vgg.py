"""VGG: small kernels only, and many of them. Also its small cousins for 32×32 and 64×64 images.

Simonyan and Zisserman, "Very deep convolutional networks for large-scale image recognition", ICLR 2015, section 2 and
table 1. Chapter: VGG.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import nn

from utils.models.inputs import check_counts, check_images

WIDTHS = (64, 128, 256, 512, 512)  # channels of the five blocks, the same in all columns of table 1
# Table 1: the sides of the kernels in each block. A-LRN is A with a response norm behind its first convolution.
COLUMNS = {
    "A": ((3,), (3,), (3, 3), (3, 3), (3, 3)),
    "B": ((3, 3), (3, 3), (3, 3), (3, 3), (3, 3)),
    "C": ((3, 3), (3, 3), (3, 3, 1), (3, 3, 1), (3, 3, 1)),
    "D": ((3, 3), (3, 3), (3, 3, 3), (3, 3, 3), (3, 3, 3)),
    "E": ((3, 3), (3, 3), (3, 3, 3, 3), (3, 3, 3, 3), (3, 3, 3, 3)),
}
DEPTHS = {11: "A", 13: "B", 16: "D", 19: "E"}  # layers with weights; C has 16 as well


class VGGBlock(nn.Module):
    """(N, inputs, H, W) → (N, outputs, H/2, W/2): convolutions that keep the size, each with ReLU, and a max pooling.

    Parameters
    ----------
    kernels : sequence of int
        Side of the kernel of each convolution.
    norm : bool
        Whether a batch norm stands between each convolution and its ReLU; the paper is older than batch norm.
    """

    def __init__(self, inputs: int, outputs: int, kernels: Sequence[int] = (3, 3), norm: bool = False) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        for kernel in kernels:
            layers.append(nn.Conv2d(inputs, outputs, kernel, padding=kernel // 2))
            layers += [nn.BatchNorm2d(outputs), nn.ReLU()] if norm else [nn.ReLU()]
            inputs = outputs
        self.layers = nn.Sequential(*layers, nn.MaxPool2d(2))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.layers(x)


class VGG(nn.Module):
    """(N, in_channels, H, W), sides of at least 32 and best 224 → logits (N, classes). 138,357,544 parameters for 16.

    Parameters
    ----------
    depth : int or str
        11, 13, 16 or 19 layers with weights, or a column of table 1: "A", "B", "C", "D" or "E".
    norm : bool
        With batch norm, as in torchvision's ``vgg16_bn``.

    Raises
    ------
    ValueError
        When there is no such depth, or when classes or in_channels are no whole numbers of at least 1.
    """

    def __init__(self, depth: int | str = 16, norm: bool = False, classes: int = 1000, in_channels: int = 3) -> None:
        column = COLUMNS.get(DEPTHS.get(depth, depth)) if isinstance(depth, (int, str)) else None
        if column is None:
            known = ", ".join([*map(str, DEPTHS), *map(repr, COLUMNS)])
            raise ValueError(f"depth is {depth!r}, but VGG has the depths and columns {known}.")
        check_counts(classes=classes, in_channels=in_channels)
        super().__init__()
        self.in_channels = in_channels
        blocks = zip((in_channels, *WIDTHS), WIDTHS, column, strict=False)
        self.features = nn.Sequential(*(VGGBlock(*block, norm) for block in blocks))  # 512×7×7 for 224 pixels
        self.pool = nn.AdaptiveAvgPool2d(7)  # not in the paper: torchvision's way to take other sizes
        self.head = nn.Sequential(
            nn.Flatten(),
            nn.Linear(512 * 7 * 7, 4096), nn.ReLU(), nn.Dropout(0.5),
            nn.Linear(4096, 4096), nn.ReLU(), nn.Dropout(0.5),
            nn.Linear(4096, classes),
        )  # fmt: skip
        for layer in self.modules():
            if isinstance(layer, nn.Conv2d):
                # As torchvision does, by He et al. (2015). The paper drew from N(0, 0.01²) and had to start from a trained A.
                nn.init.kaiming_normal_(layer.weight, mode="fan_out", nonlinearity="relu")
                nn.init.zeros_(layer.bias)
            elif isinstance(layer, nn.Linear):
                nn.init.normal_(layer.weight, 0, 0.01)
                nn.init.zeros_(layer.bias)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        check_images("VGG", x, channels=self.in_channels, least=32)
        return self.head(self.pool(self.features(x)))


class SmallVGG(nn.Module):
    """(N, in_channels, 32, 32) → logits (N, classes): three blocks of two 3×3 convolutions, then two dense layers.

    With batch norm, which the paper did not have. 205,018 parameters and 10.0 M multiply-adds by default.
    """

    def __init__(self, classes: int = 10, in_channels: int = 3) -> None:
        check_counts(classes=classes, in_channels=in_channels)
        super().__init__()
        self.in_channels = in_channels
        self.features = nn.Sequential(
            VGGBlock(in_channels, 16, norm=True),  # 16×16×16
            VGGBlock(16, 32, norm=True),  # 32×8×8
            VGGBlock(32, 64, norm=True),  # 64×4×4
        )
        self.head = nn.Sequential(nn.Flatten(), nn.Linear(64 * 4 * 4, 128), nn.ReLU(), nn.Linear(128, classes))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        check_images("SmallVGG", x, channels=self.in_channels, exact=32)
        return self.head(self.features(x))


class ExplainerVGG(nn.Module):
    """(N, in_channels, 64, 64) → logits (N, classes): the network in the page of CNN Explainer, 19,920 parameters.

    Its authors call it Tiny VGG. It pads nothing and has ``width`` channels throughout, unlike the network of the same
    name in tutorials, ``utils.models.TinyVGG``.

    Wang et al., "CNN Explainer: learning convolutional neural networks with interactive visualization", IEEE TVCG
    27(2), 2021, section 4.
    """

    def __init__(self, classes: int = 10, in_channels: int = 3, width: int = 10) -> None:
        check_counts(classes=classes, in_channels=in_channels, width=width)
        super().__init__()
        self.features = nn.Sequential(
            nn.Conv2d(in_channels, width, 3), nn.ReLU(),  # 62×62
            nn.Conv2d(width, width, 3), nn.ReLU(),  # 60×60
            nn.MaxPool2d(2),  # 30×30
            nn.Conv2d(width, width, 3), nn.ReLU(),  # 28×28
            nn.Conv2d(width, width, 3), nn.ReLU(),  # 26×26
            nn.MaxPool2d(2),  # 13×13
        )  # fmt: skip
        self.head = nn.Sequential(nn.Flatten(), nn.Linear(width * 13 * 13, classes))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        check_images("ExplainerVGG", x, channels=self.features[0].in_channels, exact=64)
        return self.head(self.features(x))
