"""Answers to the exercises of chapter mobilenet: right ones written differently, and plausible wrong ones."""

from __future__ import annotations

import torch
from torch import nn
from torch.nn import functional as F


def block_diagonal(x, weight, groups):
    dense = torch.zeros(weight.shape[0], x.shape[1], *weight.shape[2:])
    for k in range(len(weight)):
        first = k // (len(weight) // groups) * weight.shape[1]
        dense[k, first : first + weight.shape[1]] = weight[k]
    return F.conv2d(x, dense)


def costs_by_ratio(inputs, outputs, kernel, stride, height, width):
    rows, columns = (height - 1) // stride + 1, (width - 1) // stride + 1
    dense = inputs * outputs * kernel**2 * rows * columns
    return [dense, dense // outputs + dense // kernel**2]


class Plain(nn.Module):
    """The block in torchvision's words; subclasses go wrong."""

    last, cap, bias = False, 6.0, False

    def __init__(self, inputs, outputs, stride=1, t=6):
        super().__init__()
        self.t, self.shape = t, (inputs, outputs, stride)
        wide = t * inputs
        if t > 1:
            self.pw, self.bn1 = nn.Conv2d(inputs, wide, 1, self.early(), bias=self.bias), nn.BatchNorm2d(wide)
        stride = stride if self.early() == 1 else 1
        self.dw = nn.Conv2d(wide, wide, 3, stride, 1, groups=self.groups(inputs, wide), bias=self.bias)
        self.project, self.bn3 = nn.Conv2d(wide, outputs, 1, bias=self.bias), nn.BatchNorm2d(outputs)
        self.bn2 = nn.BatchNorm2d(wide)

    def early(self):
        return 1

    def groups(self, inputs, wide):
        return wide

    def fits(self, inputs, outputs, stride):
        return (inputs, stride) == (outputs, 1)

    def branch(self, x):
        y = self.bn1(self.pw(x)).clamp(0, self.cap) if self.t > 1 else x
        y = self.bn2(self.dw(y)).clamp(0, self.cap)
        y = self.bn3(self.project(y))
        return y.clamp(0, self.cap) if self.last else y

    def forward(self, x):
        y = self.branch(x)
        return torch.add(y, x) if self.fits(*self.shape) else y


def variant(**changes):
    """Return the class with some of its methods or switches replaced."""
    return type("Variant", (Plain,), changes)


def in_place(self, x):
    y = self.branch(x)
    if self.fits(*self.shape):
        x += y
        return x
    return y


broken = {
    "last": True,
    "early": lambda self: self.shape[2],
    "groups": lambda self, inputs, wide: inputs,
    "fits": lambda self, inputs, outputs, stride: stride == 1,
}

RIGHT = {
    "grouped": [block_diagonal],
    "costs": [costs_by_ratio],
    "Inverted": [Plain, lambda inputs, outputs, stride, t: nn.Sequential(Plain(inputs, outputs, stride, t))],
    "Repaired": [Plain],
}

WRONG = {
    "grouped": {
        "reads the channels of the first group": lambda x, weight, groups: F.conv2d(x[:, : weight.shape[1]], weight),
        "a kernel has zeros": lambda x, weight, groups: F.conv2d(x, torch.cat([weight] * groups, 1)),
        "they are not added": lambda x, weight, groups: sum(
            F.conv2d(a, b) for a, b in zip(x.chunk(groups, 1), weight.chunk(groups), strict=True)
        ),
        "not to k % groups": lambda x, weight, groups: torch.cat(
            [F.conv2d(x.chunk(groups, 1)[k % groups], weight[[k]]) for k in range(len(weight))], 1
        ),
        "but it must have": lambda x, weight, groups: torch.cat(
            [F.conv2d(a, b) for a, b in zip(x.chunk(groups, 1), weight.chunk(groups), strict=True)]
        ),
        "torch.float64": lambda x, weight, groups: block_diagonal(x, weight, groups).double(),
        "must be a tensor": lambda x, weight, groups: None,
        "raised RuntimeError": lambda x, weight, groups: F.conv2d(x, weight),
        "changed its arguments": lambda x, weight, groups: block_diagonal(x, weight, groups) + 0 * weight.zero_().sum(),
        "the values differ": lambda x, weight, groups: 0 * block_diagonal(x, weight, groups),
    },
    "costs": {
        "every weight is used once for each *output* place": lambda c, k, side, stride, height, width: [
            c * k * side**2 * height * width, (c * side**2 + c * k) * height * width,
        ],
        "rounded up": lambda c, k, side, stride, height, width: [
            c * k * side**2 * (height // stride) * (width // stride),
            (c * side**2 + c * k) * (height // stride) * (width // stride),
        ],
        "the 1×1 convolution is missing": lambda c, k, side, stride, height, width: [
            c * k * side**2 * -(-height // stride) * -(-width // stride),
            c * side**2 * -(-height // stride) * -(-width // stride),
        ],
        "first the dense layer": lambda *case: costs_by_ratio(*case)[::-1],
        "that is the number of weights": lambda c, k, side, *rest: [c * k * side**2, c * side**2 + c * k],
        "must be a whole number": lambda *case: [float(value) for value in costs_by_ratio(*case)],
        "has 3 entries": lambda *case: [*costs_by_ratio(*case), 0],
        "must be a list": lambda *case: costs_by_ratio(*case)[1] / costs_by_ratio(*case)[0],
    },
    "Inverted": {
        "and no activation behind it": variant(last=True),
        "needs equal channels as well": variant(fits=lambda self, inputs, outputs, stride: stride == 1),
        "needs stride 1 as well": variant(fits=lambda self, inputs, outputs, stride: inputs == outputs),
        "the shortcut is missing": variant(fits=lambda self, inputs, outputs, stride: False),
        "ReLU does not": variant(cap=1e9),
        "groups equal to its channels": variant(groups=lambda self, inputs, wide: 1),
        "is dead": variant(bias=True),
        "not x += y": variant(forward=in_place),
        "not an nn.Module": lambda inputs, outputs, stride, t: None,
        "returns NoneType": variant(forward=lambda self, x: None),
        "raised TypeError": lambda inputs, outputs: Plain(inputs, outputs),
        "got      ['": variant(forward=lambda self, x: 0 * Plain.forward(self, x)),
    },
    "Repaired": {
        "as it was": variant(**broken),
        "and no activation behind it": variant(last=True),
        "three of four places are never read": variant(early=broken["early"]),
        "as many groups as channels there": variant(groups=broken["groups"]),
        "needs equal channels as well": variant(fits=broken["fits"]),
        "the shortcut is missing": variant(fits=lambda self, inputs, outputs, stride: False),
        "groups and stride are right now": variant(last=True, fits=broken["fits"]),
        "groups and stride are not": variant(early=broken["early"], groups=broken["groups"]),
        "not depthwise at all": variant(groups=lambda self, inputs, wide: 1),
        "not an nn.Module": lambda inputs, outputs, stride=1, t=6: "a block",
    },
}  # fmt: skip
