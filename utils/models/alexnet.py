"""AlexNet: as torchvision has it, as it was published, and small.

Krizhevsky, Sutskever and Hinton, "ImageNet classification with deep convolutional neural networks", NIPS, 2012,
section 3; and Krizhevsky, "One weird trick for parallelizing convolutional neural networks", arXiv:1404.5997, 2014.
Chapter: AlexNet.
"""

from __future__ import annotations

import torch
from torch import nn

from utils.models.inputs import check_counts, check_images


class AlexNet(nn.Module):
    """One tower, as in torchvision: images (N, in_channels, H, W) to logits (N, classes), 61,100,840 parameters.

    The widths 64-192-384-256-256 are those of 2014. The maps are averaged to 6×6, which is no change for 224×224 and
    lets other sides pass; the least is 63.

    Raises
    ------
    ValueError
        When a count is no whole number of at least 1, or when the images do not fit.
    """

    def __init__(self, classes: int = 1000, in_channels: int = 3) -> None:
        super().__init__()
        check_counts(classes=classes, in_channels=in_channels)
        self.in_channels = in_channels
        self.features = nn.Sequential(  # for 224×224
            nn.Conv2d(in_channels, 64, 11, stride=4, padding=2), nn.ReLU(),  # 64×55×55
            nn.MaxPool2d(3, stride=2),  # 64×27×27
            nn.Conv2d(64, 192, 5, padding=2), nn.ReLU(),
            nn.MaxPool2d(3, stride=2),  # 192×13×13
            nn.Conv2d(192, 384, 3, padding=1), nn.ReLU(),
            nn.Conv2d(384, 256, 3, padding=1), nn.ReLU(),
            nn.Conv2d(256, 256, 3, padding=1), nn.ReLU(),
            nn.MaxPool2d(3, stride=2),  # 256×6×6
        )  # fmt: skip
        self.average = nn.AdaptiveAvgPool2d(6)
        self.classifier = nn.Sequential(
            nn.Flatten(),
            nn.Dropout(), nn.Linear(256 * 6 * 6, 4096), nn.ReLU(),
            nn.Dropout(), nn.Linear(4096, 4096), nn.ReLU(),
            nn.Linear(4096, classes),
        )  # fmt: skip

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        check_images("AlexNet", x, channels=self.in_channels, least=63)
        return self.classifier(self.average(self.features(x)))


def response_norm() -> nn.Module:
    """Section 3.3: k = 2, n = 5, α = 10⁻⁴, β = 0.75. PyTorch divides α by n, the paper does not: hence 5·10⁻⁴."""
    return nn.LocalResponseNorm(5, alpha=5e-4, beta=0.75, k=2.0)


class AlexNet2012(nn.Module):
    """The network of the competition: images (N, 3, 227, 227) to logits (N, classes), 60,965,224 parameters.

    Two halves, one for each GPU, that meet in the third convolution and in the dense layers: ``groups=2``. With
    ``groups=1`` all maps see all, and the parameters are 62,378,344. The paper writes 224×224, from which an 11×11
    kernel with stride 4 makes 54×54, not the 55×55 of its figure 2. Weights start as section 5 has it.

    Raises
    ------
    ValueError
        When the number of classes is no whole number of at least 1, when groups is neither 1 nor 2, or when the images
        do not fit.
    """

    def __init__(self, classes: int = 1000, groups: int = 2) -> None:
        super().__init__()
        check_counts(classes=classes)
        if groups not in (1, 2):
            raise ValueError(f"groups is {groups!r}, but AlexNet2012 has 2 groups, one for each GPU, or 1 without.")
        self.features = nn.Sequential(
            nn.Conv2d(3, 96, 11, stride=4), nn.ReLU(), response_norm(),  # 96×55×55
            nn.MaxPool2d(3, stride=2),  # 96×27×27
            nn.Conv2d(96, 256, 5, padding=2, groups=groups), nn.ReLU(), response_norm(),
            nn.MaxPool2d(3, stride=2),  # 256×13×13
            nn.Conv2d(256, 384, 3, padding=1), nn.ReLU(),
            nn.Conv2d(384, 384, 3, padding=1, groups=groups), nn.ReLU(),
            nn.Conv2d(384, 256, 3, padding=1, groups=groups), nn.ReLU(),
            nn.MaxPool2d(3, stride=2),  # 256×6×6
        )  # fmt: skip
        self.classifier = nn.Sequential(
            nn.Flatten(),
            nn.Linear(256 * 6 * 6, 4096), nn.ReLU(), nn.Dropout(),
            nn.Linear(4096, 4096), nn.ReLU(), nn.Dropout(),
            nn.Linear(4096, classes),
        )  # fmt: skip
        layers = [layer for layer in self.modules() if isinstance(layer, (nn.Conv2d, nn.Linear))]
        for number, layer in enumerate(layers, 1):
            nn.init.normal_(layer.weight, std=0.01)
            # A bias of 1 in layers 2, 4 and 5 and in the hidden dense layers gives their ReLUs something to pass.
            nn.init.constant_(layer.bias, 1.0 if number in (2, 4, 5, 6, 7) else 0.0)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        check_images("AlexNet2012", x, channels=3, exact=227)
        return self.classifier(self.features(x))


def _conv(inputs: int, kernels: int, side: int) -> list[nn.Module]:
    """A convolution that keeps the size, batch norm, ReLU; the mean that batch norm subtracts makes a bias idle."""
    conv = nn.Conv2d(inputs, kernels, side, padding=side // 2, bias=False)
    return [conv, nn.BatchNorm2d(kernels), nn.ReLU()]


class SmallAlexNet(nn.Module):
    """AlexNet for small images: (N, in_channels, 32, 32) to logits (N, classes), 347,610 parameters for ten classes.

    What is kept: a large first kernel, then 5×5, then three 3×3; ReLU; pooling windows of 3 every 2 pixels; and three
    dense layers with dropout, which hold three quarters of the parameters. What is not: the first stride is 1, since 32
    pixels are few, and batch norm stands in for the response norm and the tuned start of 2012, without which eight
    layers hardly begin to learn from a few thousand images.

    Raises
    ------
    ValueError
        When a count is no whole number of at least 1, or when the images do not fit.
    """

    def __init__(self, classes: int = 10, in_channels: int = 3) -> None:
        super().__init__()
        check_counts(classes=classes, in_channels=in_channels)
        self.in_channels = in_channels
        self.features = nn.Sequential(
            *_conv(in_channels, 16, 7),  # 16×32×32
            nn.MaxPool2d(3, stride=2, padding=1),  # 16×16×16
            *_conv(16, 32, 5),
            nn.MaxPool2d(3, stride=2, padding=1),  # 32×8×8
            *_conv(32, 64, 3),
            *_conv(64, 48, 3),
            *_conv(48, 48, 3),
            nn.MaxPool2d(3, stride=2, padding=1),  # 48×4×4
        )
        self.classifier = nn.Sequential(
            nn.Flatten(),
            nn.Linear(48 * 4 * 4, 256), nn.ReLU(), nn.Dropout(),
            nn.Linear(256, 256), nn.ReLU(), nn.Dropout(),
            nn.Linear(256, classes),
        )  # fmt: skip

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        check_images("SmallAlexNet", x, channels=self.in_channels, exact=32)
        return self.classifier(self.features(x))
