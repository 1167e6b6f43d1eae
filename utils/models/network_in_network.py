"""Network in network: 1×1 convolutions behind every convolution, and an average over each map in place of dense layers.

Lin, Chen and Yan, "Network in network", ICLR 2014, sections 3.1 (mlpconv), 3.2 (global average pooling) and 4; widths
and kernels as in the configuration that the authors published for CIFAR-10. Chapter: GoogLeNet.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import nn

from utils.models.inputs import check_counts, check_images


class MLPConv(nn.Sequential):
    """(N, inputs, H, W) → (N, widths[-1], H, W): a convolution, then two of 1×1, each with ReLU.

    The 1×1 convolutions are two dense layers that read one place and are repeated at all of them with the same weights.
    """

    def __init__(self, inputs: int, widths: Sequence[int], kernel: int) -> None:
        first, second, third = widths
        super().__init__(
            nn.Conv2d(inputs, first, kernel, padding=kernel // 2), nn.ReLU(),
            nn.Conv2d(first, second, 1), nn.ReLU(),
            nn.Conv2d(second, third, 1), nn.ReLU(),
        )  # fmt: skip


class NetworkInNetwork(nn.Module):
    """(N, in_channels, H, W), sides of at least 4 → logits (N, classes); made for 32×32.

    The last block has one map for each class, and the mean of a map is the logit of its class. 966,986 parameters.

    Raises
    ------
    ValueError
        When classes or in_channels are no whole numbers of at least 1.
    """

    def __init__(self, classes: int = 10, in_channels: int = 3) -> None:
        check_counts(classes=classes, in_channels=in_channels)
        super().__init__()
        self.features = nn.Sequential(
            MLPConv(in_channels, (192, 160, 96), 5), nn.MaxPool2d(3, stride=2, ceil_mode=True), nn.Dropout(0.5),
            MLPConv(96, (192, 192, 192), 5), nn.MaxPool2d(3, stride=2, ceil_mode=True), nn.Dropout(0.5),
            MLPConv(192, (192, 192, classes), 3),
        )  # fmt: skip
        self.head = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten())

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        check_images("NetworkInNetwork", x, channels=self.features[0][0].in_channels, least=4)
        return self.head(self.features(x))
