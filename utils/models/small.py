"""Small networks of the kind that first tutorials build: two or four convolutions, for 28 or 32 pixels.

Chapter: Your first CNN. ``TinyVGG`` follows the network of Wang et al., "CNN Explainer: learning convolutional
neural networks with interactive visualization", IEEE TVCG 27(2), 2021, as it is usually rewritten: with padding,
with twice the channels in the second half, and for 32 pixels.
"""

from __future__ import annotations

import torch
from torch import nn
from torch.nn import functional as F

from utils.models.deep_cnn import ConvBlock, DeepCNN

__all__ = ["ConvBlock", "DeepCNN", "SimpleCNN", "TinyVGG"]


def _side(size: int) -> int:
    """Return the side of the maps after two poolings, each of which halves and rounds down."""
    if not isinstance(size, int) or size < 4:
        raise ValueError(f"size is {size!r}, but two poolings need a whole number of at least 4 pixels.")
    return size // 2 // 2


class SimpleCNN(nn.Module):
    """Two 3×3 convolutions, each with ReLU and max pooling, then two dense layers.

    Input (N, in_channels, size, size), output logits (N, classes).

    Parameters
    ----------
    in_channels, size : int
        Of the images; two poolings halve the size twice, rounding down.
    widths : (int, int)
        Channels of the two convolutions.
    hidden : int
        Units of the first dense layer.
    dropout : float
        Share of the hidden units that are set to 0 while training.

    Raises
    ------
    ValueError
        When the size is less than 4.
    """

    def __init__(
        self,
        in_channels: int = 1,
        size: int = 28,
        widths: tuple[int, int] = (16, 32),
        hidden: int = 128,
        classes: int = 10,
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        side = _side(size)
        self.conv1 = nn.Conv2d(in_channels, widths[0], 3, padding=1)
        self.conv2 = nn.Conv2d(widths[0], widths[1], 3, padding=1)
        self.fc1 = nn.Linear(widths[1] * side * side, hidden)
        self.dropout = nn.Dropout(dropout)
        self.fc2 = nn.Linear(hidden, classes)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = F.max_pool2d(F.relu(self.conv1(x)), 2)
        x = F.max_pool2d(F.relu(self.conv2(x)), 2)
        x = torch.flatten(x, 1)
        return self.fc2(self.dropout(F.relu(self.fc1(x))))


class TinyVGG(nn.Module):
    """Two blocks of two 3×3 convolutions and a max pooling, then one dense layer.

    Input (N, in_channels, size, size), output logits (N, classes). 19,440 parameters with the defaults, 342,090
    with ``hidden=64``.

    Raises
    ------
    ValueError
        When the size is less than 4.
    """

    def __init__(self, in_channels: int = 3, hidden: int = 10, classes: int = 10, size: int = 32) -> None:
        super().__init__()
        self.block1 = nn.Sequential(
            nn.Conv2d(in_channels, hidden, 3, padding=1), nn.ReLU(),
            nn.Conv2d(hidden, hidden, 3, padding=1), nn.ReLU(),
            nn.MaxPool2d(2),
        )  # fmt: skip
        self.block2 = nn.Sequential(
            nn.Conv2d(hidden, 2 * hidden, 3, padding=1), nn.ReLU(),
            nn.Conv2d(2 * hidden, 2 * hidden, 3, padding=1), nn.ReLU(),
            nn.MaxPool2d(2),
        )  # fmt: skip
        side = _side(size)
        self.head = nn.Sequential(nn.Flatten(), nn.Linear(2 * hidden * side * side, classes))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.head(self.block2(self.block1(x)))
