"""SmallResNet: the residual network for 32×32 images that many tutorials train on CIFAR-10.

A narrow cousin of the networks of He et al., "Deep residual learning for image recognition", 2016, section 4.2, with
the widths 64, 128 and 256 of the same paper's ImageNet networks. 2,777,674 parameters with ten classes.
"""

from __future__ import annotations

import torch
from torch import nn
from torch.nn import functional as F


class BasicBlock(nn.Module):
    """(n, inputs, H, W) → (n, outputs, H/stride, W/stride): two 3×3 convolutions and a skip around them."""

    def __init__(self, inputs: int, outputs: int, stride: int = 1) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(inputs, outputs, 3, stride=stride, padding=1, bias=False)
        self.norm1 = nn.BatchNorm2d(outputs)
        self.conv2 = nn.Conv2d(outputs, outputs, 3, padding=1, bias=False)
        self.norm2 = nn.BatchNorm2d(outputs)
        self.skip = nn.Sequential()
        if stride != 1 or inputs != outputs:
            # A sum needs equal shapes: a 1×1 convolution brings the input to that of the output.
            self.skip = nn.Sequential(nn.Conv2d(inputs, outputs, 1, stride=stride, bias=False), nn.BatchNorm2d(outputs))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = F.relu(self.norm1(self.conv1(x)))
        return F.relu(self.norm2(self.conv2(y)) + self.skip(x))


class SmallResNet(nn.Module):
    """(n, 3, H, W) → logits (n, classes); maps of 32×32, 32×32, 16×16 and 8×8 for images of 32×32."""

    def __init__(self, classes: int = 10) -> None:
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(3, 64, 3, padding=1, bias=False), nn.BatchNorm2d(64), nn.ReLU())
        self.blocks = nn.Sequential(
            BasicBlock(64, 64), BasicBlock(64, 64),
            BasicBlock(64, 128, stride=2), BasicBlock(128, 128),
            BasicBlock(128, 256, stride=2), BasicBlock(256, 256),
        )  # fmt: skip
        self.head = nn.Linear(256, classes)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.head(self.blocks(self.stem(x)).mean((2, 3)))
