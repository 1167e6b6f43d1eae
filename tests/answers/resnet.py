"""Answers to the exercises of chapter resnet: right ones written differently, and plausible wrong ones."""

from __future__ import annotations

import torch
from torch import nn
from torch.nn import functional as F


class Plain(nn.Module):
    """Two convolutions in torchvision's words; subclasses say what stands beside them."""

    def __init__(self, inputs, outputs, stride=1, bias=False):
        super().__init__()
        self.stride, self.inputs, self.outputs = stride, inputs, outputs
        self.bn1, self.bn2 = nn.BatchNorm2d(outputs), nn.BatchNorm2d(outputs)
        self.conv1 = nn.Conv2d(inputs, outputs, kernel_size=3, stride=stride, padding=1, bias=bias)
        self.conv2 = nn.Conv2d(outputs, outputs, kernel_size=3, padding=1, bias=bias)

    def branch(self, x):
        return self.bn2(self.conv2(self.bn1(self.conv1(x)).clamp(min=0)))


class Padded(Plain):
    def short(self, x):
        n, _, h, w = x[:, :, :: self.stride, :: self.stride].shape
        zeros = x.new_zeros(n, self.outputs - self.inputs, h, w)
        return torch.cat([F.max_pool2d(x, 1, self.stride), zeros], 1)

    def forward(self, x):
        return (self.short(x) + self.branch(x)).clamp(min=0)


class Projected(Plain):
    stride_of_shortcut, with_norm = True, True

    def __init__(self, inputs, outputs, stride=1, bias=False):
        super().__init__(inputs, outputs, stride, bias)
        self.project = None
        if self.needed(inputs, outputs, stride):
            step = stride if self.stride_of_shortcut else 1
            layers = [nn.Conv2d(inputs, outputs, 1, step, bias=False)]
            layers += [nn.BatchNorm2d(outputs)] if self.with_norm else []
            self.project = nn.Sequential(*layers)

    def needed(self, inputs, outputs, stride):
        return (stride, inputs) != (1, outputs)

    def forward(self, x):
        return torch.relu(self.branch(x) + (x if self.project is None else self.project(x)))


def variant(base, **changes):
    """Return the class with some of its methods or switches replaced."""
    return type("Variant", (base,), changes)


def in_place(self, x):
    x += self.branch(x)
    return torch.relu(x)


def in_place_projected(self, x):
    y = self.branch(x)
    x = x if self.project is None else self.project(x)
    x += y
    return torch.relu(x)


def before_the_sum(self, x):
    return torch.relu(self.branch(x)) + (x if self.project is None else self.project(x))


def both_faults(self, x):
    y = torch.relu(self.branch(x))
    x = x if self.project is None else self.project(x)
    x += y
    return x


def no_relu(self, x):
    return self.branch(x) + (x if self.project is None else self.project(x))


def widest_by_formula(channels, budget):
    # 9w² + (2c + 4)w + 2c ≤ budget
    a, b, c = 9, 2 * channels + 4, 2 * channels - budget
    if a + b + c > 0:
        return 0
    width = int((-b + (b * b - 4 * a * c) ** 0.5) / (2 * a)) + 1
    while a * width * width + b * width + c > 0:
        width -= 1
    return width


def small_net(width=12, outputs=10):
    layers, inputs = [], 3
    for channels, pool in ((width, True), (2 * width, True), (4 * width, False), (5 * width, False)):
        conv = nn.Conv2d(inputs, channels, 3, padding=1, bias=False)
        layers += [conv, nn.BatchNorm2d(channels), nn.ReLU(), *[nn.MaxPool2d(2)] * pool]
        inputs = channels
    return nn.Sequential(*layers, nn.AdaptiveMaxPool2d(1), nn.Flatten(), nn.Linear(inputs, outputs))


def dense():
    return nn.Sequential(nn.Flatten(), nn.Linear(3 * 24 * 24, 20), nn.ReLU(), nn.Linear(20, 10))


RIGHT = {
    "facts": [(14, 3, 4, 230144)],
    "depth": [lambda kind, numbers: 2 + sum((2 if kind == "basic" else 3) * n for n in numbers)],
    "block": [Padded, lambda inputs, outputs, stride: nn.Sequential(Padded(inputs, outputs, stride))],
    "Repaired": [Projected],
    "widest": [widest_by_formula],
    "design": [small_net],
}

WRONG = {
    "facts": {
        "conv5_x also halves": [7, 3, 4, 230_144],
        "needs a projection, too": [14, 3, 3, 230_144],
        "that of the projection as well": [14, 3, 4, 229_376],
        "entry 3": [14, 3, 4, 73_984],
        "has 3 entries": [14, 3, 4],
    },
    "depth": {
        "2 more": lambda kind, numbers: (2 if kind == "basic" else 3) * sum(numbers),
        "a bottleneck has three layers": lambda kind, numbers: 2 * (sum(numbers) + 1),
        "each has two or three layers": lambda kind, numbers: sum(numbers),
        "must be a whole number": lambda kind, numbers: (2 if kind == "basic" else 3) * sum(numbers) + 2.0,
        "must be a number": lambda kind, numbers: str((2 if kind == "basic" else 3) * sum(numbers) + 2),
        "changed its arguments": lambda kind, numbers: (
            (2 if kind == "basic" else 3) * sum(numbers.pop() for _ in range(4)) + 2
        ),
        "got      18": lambda kind, numbers: 18,
    },
    "block": {
        "that is a plain block": variant(Padded, forward=lambda self, x: torch.relu(self.branch(x))),
        "behind the sum, so that it sees both": variant(
            Padded, forward=lambda self, x: torch.relu(self.branch(x)) + self.short(x)
        ),
        "a ReLU behind the sum is missing": variant(Padded, forward=lambda self, x: self.branch(x) + self.short(x)),
        "the input was changed": variant(Padded, forward=lambda self, x: (
            in_place(self, x) if self.inputs == self.outputs and self.stride == 1 else Padded.forward(self, x)
        )),
        "option B": Projected,
        "is dead": lambda inputs, outputs, stride: Padded(inputs, outputs, stride, bias=True),
        "not in front": variant(Padded, short=lambda self, x: F.pad(
            x[:, :, :: self.stride, :: self.stride], (0, 0, 0, 0, self.outputs - self.inputs, 0)
        )),
        "the two parts of a sum have shapes that do not agree": variant(Padded, forward=lambda self, x: torch.relu(self.branch(x) + x)),
        "not an nn.Module": lambda inputs, outputs, stride: None,
        "returns NoneType": variant(Padded, forward=lambda self, x: None),
        "got      ['": variant(Padded, forward=lambda self, x: 0 * Padded.forward(self, x)),
    },
    "Repaired": {
        "into the input": variant(Projected, forward=in_place_projected),
        "a branch could only ever add": variant(Projected, forward=before_the_sum),
        "two of the faults are gone": variant(Projected, forward=both_faults),
        "with another stride or with other channels": variant(
            Projected, needed=lambda self, inputs, outputs, stride: stride != 1
        ),
        "even if the channels stay": variant(
            Projected, needed=lambda self, inputs, outputs, stride: inputs != outputs
        ),
        "the stride of the branch": variant(Projected, stride_of_shortcut=False),
        "without parameters": variant(Projected, needed=lambda self, inputs, outputs, stride: True),
        "keeps its batch norm": variant(Projected, with_norm=False),
        "none stands behind it": variant(Projected, forward=no_relu),
        "has to be added": variant(Projected, forward=lambda self, x: torch.relu(self.branch(x))),
        "not an nn.Module": lambda inputs, outputs, stride=1: "a block",
        "raised TypeError": lambda inputs, outputs: Projected(inputs, outputs),
    },
    "widest": {
        "have parameters, too": lambda channels, budget: max(
            w for w in range(200) if w == 0 or 2 * channels * w + 9 * w * w <= budget
        ),
        "9·width²": lambda channels, budget: max(
            w for w in range(4000) if w == 0 or 2 * channels * w + w * w + 4 * w + 2 * channels <= budget
        ),
        "the paper's choice": lambda channels, budget: channels // 4,
        "of exactly the budget": lambda channels, budget: widest_by_formula(channels, budget - 1),
        "one too wide": lambda channels, budget: widest_by_formula(channels, budget) + 1,
        "must be a whole number": lambda channels, budget: float(widest_by_formula(channels, budget)),
        "the result is -1": lambda channels, budget: widest_by_formula(channels, budget) or -1,
    },
    "design": {
        "not its result": nn.Sequential(),
        "give the function that builds": 3,
        "it must have fewer than 50,000": lambda: small_net(40),
        "must return an nn.Module": lambda: "a network",
        "but it must be (2, 10)": lambda: small_net(outputs=1000 // 100 + 2),
        "multiply-adds an image": lambda: nn.Sequential(
            nn.Conv2d(3, 24, 7, padding=3), nn.ReLU(), nn.Conv2d(24, 24, 5, padding=2), nn.AdaptiveAvgPool2d(1),
            nn.Flatten(), nn.Linear(24, 10),
        ),
        "raises RuntimeError": lambda: nn.Sequential(nn.Flatten(), nn.Linear(3 * 32 * 32, 10)),
        "on shapes it has not seen": dense,
    },
}  # fmt: skip
