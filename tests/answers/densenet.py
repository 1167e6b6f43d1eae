"""Right and wrong answers to the exercises on DenseNet; see ``tests/test_exercises.py``."""

from __future__ import annotations

import torch
from torch import nn
from torch.nn import functional as F

from utils import models


class Written(nn.Module):
    """The block with a running concatenation, and with parts to get wrong."""

    def __init__(
        self, inputs, growth, layers, kernel=3, squeeze=4, dropout=0.0, stage=False, pool=None, residual=False
    ):
        super().__init__()
        self.norm1, self.conv1, self.norm2, self.conv2 = (nn.ModuleList() for _ in range(4))
        for i in range(layers):
            seen, middle = inputs + i * growth, squeeze * growth
            self.norm1.append(nn.BatchNorm2d(seen))
            self.conv1.append(nn.Conv2d(seen, middle, 1, bias=False))
            self.norm2.append(nn.BatchNorm2d(middle))
            self.conv2.append(nn.Conv2d(middle, growth, kernel, padding=kernel // 2, bias=False))
        self.dropout, self.residual, self.end = dropout, residual, None
        if stage:
            last = inputs + layers * growth
            half = nn.Conv2d(last, last // 2, 1, bias=False)
            self.end = nn.Sequential(nn.BatchNorm2d(last), nn.ReLU(), half, pool or nn.AvgPool2d(2, 2))

    def forward(self, x):
        for norm1, conv1, norm2, conv2 in zip(self.norm1, self.conv1, self.norm2, self.conv2, strict=True):
            y = conv2(norm2(conv1(norm1(x).clamp(min=0))).clamp(min=0))
            x = torch.cat((x, F.dropout(y, self.dropout)), 1)
        return self.end(x) if self.end else x


def whole(inputs, growth, layers):
    block = models.DenseBlock(inputs, growth, layers)
    last = inputs + layers * growth
    return nn.Sequential(block, models.Transition(last, last // 2))


def ignoring_layers(inputs, growth, layers):
    return models.DenseBlock(inputs, growth, 3)


class Changing(nn.Module):
    def __init__(self, inputs, growth, layers):
        super().__init__()
        self.block = models.DenseBlock(inputs, growth, layers)

    def forward(self, x):
        y = self.block(x)
        x.relu_()
        return y


class Added(nn.Module):
    """Sums the maps instead of concatenating them."""

    def __init__(self, inputs, growth, layers):
        super().__init__()
        self.layers = nn.ModuleList(models.DenseLayer(inputs, growth) for _ in range(layers))

    def forward(self, x):
        for layer in self.layers:
            x = x + layer(x)
        return x


def stage(inputs, growth, layers, compression):
    channels = inputs + layers * growth
    left = int(compression * channels)
    read = layers * inputs + growth * layers * (layers - 1) // 2
    block = read * (4 * growth + 2) + layers * (36 * growth**2 + 8 * growth)
    return [channels, left, block + 2 * channels + channels * left]


RIGHT = {
    "dense_block": [models.DenseBlock, Written],
    "stage": [stage, lambda *case: tuple(stage(*case))],
    "Repaired": [whole, lambda *case: Written(*case, stage=True)],
    "more": [("wide", "deep", "wide", 300)],
}

WRONG = {
    "dense_block": {
        "RuntimeError": Added,
        "entry 0": lambda *case: Written(*case, kernel=1),
        "not 2·growth": lambda *case: Written(*case, squeeze=2),
        "entry 3": lambda *case: Written(*case, dropout=0.5),
        "not an nn.Module": lambda *case: sum(case),
        "the input was changed": Changing,
        "case 2": ignoring_layers,
        "raised TypeError": lambda inputs, growth: models.DenseBlock(inputs, growth, 3),
        "output (3, ": whole,
    },
    "stage": {
        "the batch norms have parameters": lambda i, k, n, c: [
            i + n * k, int(c * (i + n * k)),
            4 * k * (n * i + k * n * (n - 1) // 2) + 36 * n * k * k + (i + n * k) * int(c * (i + n * k)),
        ],
        "entry 1": lambda i, k, n, c: [*stage(i, k, n, c)[:1], round(c * (i + n * k) + 0.4), stage(i, k, n, c)[2]],
        "not yet compressed": lambda i, k, n, c: [i + n * k, i + n * k, stage(i, k, n, c)[2]],
        "entry 0": lambda i, k, n, c: [n * k, *stage(i, k, n, c)[1:]],
        "must have 3": lambda *case: stage(*case)[:2],
        "it must be a whole number": lambda *case: [float(v) for v in stage(*case)],
        "the transition are missing": lambda i, k, n, c: [
            *stage(i, k, n, c)[:2], stage(i, k, n, c)[2] - (i + n * k) * (2 + int(c * (i + n * k))),
        ],
        "but it must be a list": lambda *case: stage(*case)[2],
    },
    "Repaired": {
        "not by a maximum": lambda *case: Written(*case, stage=True, pool=nn.MaxPool2d(2)),
        "entry 1": lambda *case: Written(*case, stage=True, pool=nn.Identity()),
        "entry 0": Written,
        "not 2·growth": lambda *case: Written(*case, stage=True, squeeze=2),
        "entry 3": lambda *case: Written(*case, stage=True, dropout=0.5),
        "not an nn.Module": lambda *case: None,
        "case 2": lambda i, k, n: whole(i, k, 3),
    },
    "more": {
        "count the weights again": ["deep", "deep", "wide", 300],
        "once for each layer that reads them": ["wide", "wide", "wide", 300],
        "used 196 times": ["wide", "deep", "deep", 300],
        "entry 3": ["wide", "deep", "wide", 24],
        "must have 4": ["wide", "deep", "wide"],
        "is not right": "wide",
    },
}  # fmt: skip
