"""LeNet: as it is taught today, and LeNet-5 as it was published.

LeCun, Bottou, Bengio and Haffner, "Gradient-based learning applied to document recognition",
Proceedings of the IEEE 86(11), 1998, section II.B and figure 2. Chapter: LeNet.
"""

from __future__ import annotations

from collections import OrderedDict
from pathlib import Path

import torch
from torch import nn

# LeNet for 28 pixels, trained on 3,500 digits by ``python -m benchmarks.lenet``; half precision, 93 kB.
DIGITS_WEIGHTS = Path(__file__).with_name("lenet_digits.pt")


class Layers(nn.Sequential):
    """A sequence whose slices, such as ``model[:6]``, are plain ``nn.Sequential``.

    ``nn.Sequential`` would build a slice by calling the subclass with the layers as its first argument.
    """

    def __getitem__(self, index: int | slice) -> nn.Module:
        if isinstance(index, slice):
            return nn.Sequential(OrderedDict(list(self.named_children())[index]))
        return super().__getitem__(index)


class LeNet(Layers):
    """The network of today's courses: ReLU, max pooling, a linear output.

    ``size`` 28 takes MNIST as it is and has 44,426 parameters; ``size`` 32 takes the padded digits of
    the paper and has 61,706. Input (N, in_channels, size, size), output logits (N, classes).

    Raises
    ------
    ValueError
        When the size is neither 28 nor 32.
    """

    def __init__(self, size: int = 28, in_channels: int = 1, classes: int = 10) -> None:
        if size not in (28, 32):
            raise ValueError(f"size is {size!r}, but LeNet is built for 28 or 32 pixels.")
        side = {28: 4, 32: 5}[size]  # 28 → 24 → 12 → 8 → 4, and 32 → 28 → 14 → 10 → 5
        super().__init__(
            nn.Conv2d(in_channels, 6, 5),
            nn.ReLU(),
            nn.MaxPool2d(2),
            nn.Conv2d(6, 16, 5),
            nn.ReLU(),
            nn.MaxPool2d(2),
            nn.Flatten(),
            nn.Linear(16 * side * side, 120),
            nn.ReLU(),
            nn.Linear(120, 84),
            nn.ReLU(),
            nn.Linear(84, classes),
        )


class ClassicLeNet(Layers):
    """The usual half-way house: tanh and average pooling, and otherwise as :class:`LeNet`.

    Raises
    ------
    ValueError
        When the size is neither 28 nor 32.
    """

    def __init__(self, size: int = 28, in_channels: int = 1, classes: int = 10) -> None:
        layers: list[nn.Module] = []
        for layer in LeNet(size, in_channels, classes):
            if isinstance(layer, nn.ReLU):
                layer = nn.Tanh()
            elif isinstance(layer, nn.MaxPool2d):
                layer = nn.AvgPool2d(2)
            layers.append(layer)
        super().__init__(*layers)


# Table I of the paper: which of the six maps of S2 each of the sixteen maps of C3 reads.
C3_TABLE = (
    (0, 1, 2), (1, 2, 3), (2, 3, 4), (3, 4, 5), (0, 4, 5), (0, 1, 5),
    (0, 1, 2, 3), (1, 2, 3, 4), (2, 3, 4, 5), (0, 3, 4, 5), (0, 1, 4, 5), (0, 1, 2, 5),
    (0, 1, 3, 4), (1, 2, 4, 5), (0, 2, 3, 5),
    (0, 1, 2, 3, 4, 5),
)  # fmt: skip


class ScaledTanh(nn.Module):
    """``1.7159·tanh(2x/3)``, which takes 1 to 1 and −1 to −1 (appendix A of the paper)."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return 1.7159 * torch.tanh(2 / 3 * x)


class Subsampling(nn.Module):
    """Sum of each 2×2 block, times a trainable coefficient, plus a trainable bias, one pair per map.

    It starts as average pooling: coefficient 1/4, bias 0.
    """

    def __init__(self, maps: int) -> None:
        super().__init__()
        self.coefficient = nn.Parameter(torch.full((maps, 1, 1), 0.25))
        self.bias = nn.Parameter(torch.zeros(maps, 1, 1))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.coefficient * 4 * nn.functional.avg_pool2d(x, 2) + self.bias


class PartialConv(nn.Conv2d):
    """Layer C3: a 5×5 convolution in which each output map reads only some input maps (Table I)."""

    def __init__(self) -> None:
        super().__init__(6, 16, 5)
        mask = torch.zeros(16, 6, 1, 1)
        for output, inputs in enumerate(C3_TABLE):
            mask[output, list(inputs)] = 1
        self.register_buffer("mask", mask, persistent=False)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return nn.functional.conv2d(x, self.weight * self.mask, self.bias)


class LeNet5(Layers):
    """LeNet-5 as published, up to its output layer: input (N, 1, 32, 32), output logits (N, classes).

    Trainable sub-sampling, partial connections of C3, scaled tanh. The paper's output compares F6 with
    fixed 7×12 pictures of the characters (radial basis functions); a linear layer stands here in their
    place, so that the usual loss applies. ``LeNet5()[:-1]`` is the part that is the paper's.
    """

    def __init__(self, classes: int = 10) -> None:
        super().__init__(
            nn.Conv2d(1, 6, 5),  # C1: 6×28×28
            ScaledTanh(),
            Subsampling(6),  # S2: 6×14×14
            ScaledTanh(),
            PartialConv(),  # C3: 16×10×10
            ScaledTanh(),
            Subsampling(16),  # S4: 16×5×5
            ScaledTanh(),
            nn.Conv2d(16, 120, 5),  # C5: 120×1×1
            ScaledTanh(),
            nn.Flatten(),
            nn.Linear(120, 84),  # F6
            ScaledTanh(),
            nn.Linear(84, classes),
        )


def trainable_parameters(model: nn.Module) -> int:
    """Return the number of parameters that do something: those a :class:`PartialConv` masks are left out.

    60,000 for LeNet-5 without its output layer, as the paper says of its trainable parameters.
    """
    total = sum(p.numel() for p in model.parameters() if p.requires_grad)
    for layer in model.modules():
        if isinstance(layer, PartialConv):
            total -= int((layer.mask == 0).sum()) * layer.kernel_size[0] * layer.kernel_size[1]
    return total
