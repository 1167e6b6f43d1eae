"""Answers to the exercises of chapter feature_extraction: right ones written differently, and plausible wrong ones."""

from __future__ import annotations

import statistics

import numpy as np
import torch
from torch import nn
from torchvision.transforms.v2 import functional as transforms

from utils.transfer import freeze


class Still(nn.Sequential):
    def train(self, mode=True):
        return super().train(False)


def by_class(network):
    for parameter in network.body.parameters():
        parameter.requires_grad = False
    network.body = Still(*network.body).eval()


def detached(network):
    for part in network.body:
        if isinstance(part, nn.BatchNorm2d):
            part.requires_grad_(False)


def without_running(network):
    network.body.requires_grad_(False)
    for part in network.body:
        if isinstance(part, nn.BatchNorm2d):
            part.momentum = 0.0


def by_name(network, classes):
    for name, parameter in network.named_parameters():
        parameter.requires_grad = name == "nothing"
    old = network.classifier[-1]
    network.classifier[-1] = nn.Linear(old.in_features, classes)


def rebuilt(network, classes):
    network.requires_grad_(False)
    network.classifier = nn.Sequential(*list(network.classifier)[:-1], nn.Linear(4096, classes))


def with_torchvision(images, size, mean, std):
    pixels = transforms.to_dtype(images.movedim(3, 1), torch.float32, scale=True)
    return transforms.normalize(transforms.resize(pixels, [size, size], antialias=True), mean, std)


def swapped_sides(images, size, mean, std):
    return with_torchvision(images.transpose(1, 2), size, mean, std)


def with_numpy(a, b):
    a, b = np.array(a), np.array(b)
    gap, spread = a.mean() - b.mean(), max(a.std(ddof=1), b.std(ddof=1))
    return "no difference" if abs(gap) <= spread else ("scratch", "features")[int(gap > 0)]


RIGHT = {
    "freeze_body": [by_class, lambda network: freeze(network, "body")],
    "new_head": [by_name, rebuilt],
    "prepared": [with_torchvision],
    "learning": [512 * 10 + 10],
    "verdict": [with_numpy],
}
WRONG = {
    "freeze_body": {
        "its dropout is off": lambda network: freeze(network).head.requires_grad_(True),
        "nothing is left to learn": lambda network: freeze(network, "body").head.requires_grad_(False),
        "parameters with a gradient: in body": detached,
        "num_batches_tracked": without_running,
        "entry 2": lambda network: network.body.requires_grad_(False),
        "before does not last": lambda network: network.body.requires_grad_(False).eval(),
    },
    "new_head": {
        "output (2, 1000)": lambda network, classes: network.requires_grad_(False),
        "no pass ever calls it": lambda network, classes: setattr(
            network.requires_grad_(False), "fc", nn.Linear(4096, classes)
        ),
        "a pass fails": lambda network, classes: network.classifier.__setitem__(6, nn.Linear(1000, classes)),
        "'learning: 32 tensors'": lambda network, classes: network.classifier.__setitem__(6, nn.Linear(4096, classes)),
        "two trained dense layers are lost": lambda network, classes: setattr(
            network.requires_grad_(False), "classifier", nn.Linear(25088, classes)
        ),
    },
    "prepared": {
        "it must have": lambda images, *a: with_torchvision(images, *a)[:1, :, :1],
        "values differ": swapped_sides,
        "red first": lambda images, *a: with_torchvision(images.flip(3), *a),
        "it must be torch.float32": lambda *a: with_torchvision(*a).double(),
        "must be a tensor": lambda *a: None,
        "constants are missing": lambda images, size, mean, std: with_torchvision(images, size, [0.0] * 3, [1.0] * 3),
    },
    "learning": {"bias, too": 5120, "old head": 513_000, "body is frozen": 11_689_512, "is not right": 1280},
    "verdict": {
        "within the spread": lambda a, b: "features" if sum(a) > sum(b) else "scratch",
        "exchanged": lambda a, b: with_numpy(b, a),
        "not the smaller": lambda a, b: (
            "no difference"
            if abs(statistics.mean(a) - statistics.mean(b)) <= min(statistics.stdev(a), statistics.stdev(b))
            else ("scratch", "features")[statistics.mean(a) > statistics.mean(b)]
        ),
        "expected": lambda a, b: "no difference",
        "the result is None": lambda a, b: None,
    },
}
