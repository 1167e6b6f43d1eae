"""DeepCNN: two blocks of two 3×3 convolutions, with or without a normalisation behind each, and an average at the end.

The blocks are those of VGG (Simonyan and Zisserman, 2015), the order convolution, batch norm, ReLU is that of
Ioffe and Szegedy (2015), the head that of Lin, Chen and Yan (2014). Chapters: Your first CNN, and normalisation.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import nn
from torch.nn import functional as F

Norm = Callable[[int], nn.Module]


class ConvBlock(nn.Module):
    """A 3×3 convolution that keeps the size, a normalisation unless it is None, ReLU: (N, C, H, W) to (N, K, H, W).

    ``bias=True`` gives the convolution the bias that many tutorials leave in, and that batch norm subtracts again.
    """

    def __init__(
        self, in_channels: int, out_channels: int, bias: bool = False, norm: Norm | None = nn.BatchNorm2d
    ) -> None:
        super().__init__()
        self.conv = nn.Conv2d(in_channels, out_channels, 3, padding=1, bias=bias)
        self.norm = norm(out_channels) if norm is not None else nn.Identity()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return F.relu(self.norm(self.conv(x)))


class DeepCNN(nn.Module):
    """Input (N, in_channels, H, W) with sides of at least 4, output logits (N, classes).

    ``DeepCNN(3, 64, 10)`` has 261,834 parameters, and 262,218 with ``bias=True``, as it is often written: the 384
    biases in front of the batch norms do nothing.

    Parameters
    ----------
    in_channels, classes : int
    hidden : int
        Channels of the first block; the second has twice as many.
    bias : bool
        Whether the convolutions have biases; those of a plain network always do.
    norm : callable(channels) → layer, or None
        Such as ``nn.BatchNorm2d``, or ``lambda channels: nn.GroupNorm(4, channels)``; None for the plain network.
    dropout : float
        Probability with which a number is set to 0 in front of the output layer.
    """

    def __init__(
        self,
        in_channels: int = 3,
        hidden: int = 64,
        classes: int = 10,
        bias: bool = False,
        *,
        norm: Norm | None = nn.BatchNorm2d,
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        wide, bias = 2 * hidden, bias or norm is None
        self.features = nn.Sequential(
            ConvBlock(in_channels, hidden, bias, norm),
            ConvBlock(hidden, hidden, bias, norm),
            nn.MaxPool2d(2),
            ConvBlock(hidden, wide, bias, norm),
            ConvBlock(wide, wide, bias, norm),
            nn.MaxPool2d(2),
        )
        self.head = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Dropout(dropout), nn.Linear(wide, classes))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.head(self.features(x))
