"""Answers to the exercises of chapter LeNet: right ones written differently, and plausible wrong ones."""

from __future__ import annotations

import torch
from torch import nn
from torch.nn import functional as F

from utils.models.lenet import LeNet


class OwnNet(nn.Module):
    """As a class, with the layers made in another order than they are used, and C5 as a convolution."""

    def __init__(self, height, width, channels, classes):
        super().__init__()
        self.out = nn.Linear(84, classes)
        self.f6 = nn.Linear(120, 84)
        with torch.no_grad():
            probe = torch.zeros(1, channels, height, width)
            self.c1 = nn.Conv2d(channels, 6, 5)
            self.c3 = nn.Conv2d(6, 16, 5)
            rows, columns = self.features(probe).shape[-2:]
        self.c5 = nn.Conv2d(16, 120, (rows, columns))

    def features(self, x):
        x = F.relu(F.max_pool2d(self.c1(x), 2))
        return F.relu(F.max_pool2d(self.c3(x), 2))

    def forward(self, x):
        x = F.relu(self.c5(self.features(x))).flatten(1)
        return self.out(F.relu(self.f6(x)))


def sequence(height, width, channels, classes, *, kernel=5, hidden=120, pad=0, pool=nn.MaxPool2d, last=()):
    rows, columns = (((n + 2 * pad - kernel + 1) // 2 + 2 * pad - kernel + 1) // 2 for n in (height, width))
    return nn.Sequential(
        *(nn.Conv2d(channels, 6, kernel, padding=pad), nn.ReLU(), pool(2)),
        *(nn.Conv2d(6, 16, kernel, padding=pad), nn.ReLU(), pool(2), nn.Flatten()),
        *(nn.Linear(16 * rows * columns, hidden), nn.ReLU(), nn.Linear(hidden, 84), nn.ReLU()),
        *(nn.Linear(84, classes), *last),
    )


def right_forward(images, weights):
    x, layers = images, list(zip(weights[::2], weights[1::2], strict=True))
    for weight, bias in layers[:2]:
        x = F.conv2d(x, weight, bias).unfold(2, 2, 2).unfold(3, 2, 2).amax((-1, -2)).clamp(min=0)
    x = x.reshape(len(images), -1)
    for weight, bias in layers[2:4]:
        x = (x @ weight.T + bias).clamp(min=0)
    return x @ layers[4][0].T + layers[4][1]


def broken_forward(images, weights):
    w1, b1, w2, b2, w3, b3, w4, b4, w5, b5 = weights
    x = F.max_pool2d(F.relu(F.conv2d(images, w1, b1)), 2)
    x = F.max_pool2d(F.relu(F.conv2d(x, w2, b2)), 2)
    x = x.view(-1, 400)
    x = F.relu(F.linear(x, w3, b3))
    x = F.linear(x, w4, b4)
    return F.relu(F.linear(x, w5, b5))


def in_place(images, weights):
    result = right_forward(images, weights)
    images.relu_()
    return result


def loop(model, optimizer, batches, *, average=True, wipe_late=False, eval_loss=False, every=1):
    total = count = 0
    for i, (inputs, labels) in enumerate(batches):
        optimizer.zero_grad()
        loss = F.cross_entropy(model(inputs), labels, reduction="mean" if average else "sum")
        loss.backward()
        if wipe_late:
            optimizer.zero_grad()
        if i % every == 0:
            optimizer.step()
        total += F.cross_entropy(model(inputs), labels, reduction="sum").item() if eval_loss else (
            loss.item() * (len(labels) if average else 1)
        )  # fmt: skip
        count += len(labels)
    return total / count


def right_loop(model, optimizer, batches):
    """Gradients by autograd.grad, the step by hand, the loss as a tensor."""
    losses = []
    rate = optimizer.param_groups[0]["lr"]
    for inputs, labels in batches:
        each = F.cross_entropy(model(inputs), labels, reduction="none")
        gradients = torch.autograd.grad(each.mean(), list(model.parameters()))
        with torch.no_grad():
            for parameter, gradient in zip(model.parameters(), gradients, strict=True):
                parameter -= rate * gradient
        losses.append(each.detach())
    return torch.cat(losses).mean()


def gap(*, classes=10, flatten=True, sigmoid=False, pool=None):
    layers = [*LeNet()[:6], pool or nn.AdaptiveAvgPool2d(1)]
    layers += [nn.Flatten()] if flatten else []
    return nn.Sequential(*layers, nn.Linear(16, classes), *([nn.Sigmoid()] if sigmoid else []))


class OwnGap(nn.Module):
    def __init__(self):
        super().__init__()
        self.features = LeNet(32)[:6]
        self.head = nn.Linear(16, 10)

    def forward(self, x):
        return self.head(self.features(x).mean((2, 3)))


RIGHT = {
    "shapes": [([6, 32, 40], [6, 16, 20], [16, 12, 16], [16, 6, 8], 768)],
    "lenet5_parameters": [(26 * 6, 2 * 6, 60 * 25 + 16, 2 * 16, 120 * 401, 84 * 121)],
    "lenet_for": [OwnNet, sequence],
    "forward": [right_forward],
    "train_epoch": [right_loop, loop],
    "gap_lenet": [OwnGap, gap],
}

WRONG = {
    "shapes": {
        "without padding": [(6, 36, 44), (6, 18, 22), (16, 18, 22), (16, 9, 11), 1584],
        "multiply the 16 in": [(6, 32, 40), (6, 16, 20), (16, 12, 16), (16, 6, 8), 48],
        "36 is the height": [(6, 40, 32), (6, 20, 16), (16, 16, 12), (16, 8, 6), 768],
        "not n − 5": [(6, 31, 39), (6, 15, 19), (16, 10, 14), (16, 5, 7), 560],
        "entry 4": [(6, 32, 40), (6, 16, 20), (16, 12, 16), (16, 6, 8), 256],
        "must have 5": [(6, 32, 40), (6, 16, 20), (16, 12, 16), (16, 6, 8)],
        "must be a list": 768,
    },
    "lenet5_parameters": {
        "60 of the 96 pairs": [156, 12, 2416, 32, 48120, 10164],
        "the biases are missing": [150, 6, 1500, 16, 48000, 10080],
        "one coefficient and one bias": [156, 0, 1516, 0, 48120, 10164],
        "not one for each of the 60 kernels": [156, 12, 1560, 32, 48120, 10164],
        "16 maps of 5×5": [156, 12, 1516, 32, 30840, 10164],
        "entry 5": [156, 12, 1516, 32, 48120, 10080],
        "must have 6": [60000],
    },
    "lenet_for": {
        "the network ignores the size": lambda h, w, c, k: sequence(28, 28, c, k),
        "built for 32×32": lambda h, w, c, k: sequence(32, 32, c, k),
        "the image may be oblong": lambda h, w, c, k: sequence(h, h, c, k),
        "not 1": lambda h, w, c, k: sequence(h, w, 1, k),
        "not 10": lambda h, w, c, k: sequence(h, w, c, 10),
        "a ReLU follows the last layer": lambda *s: sequence(*s, last=[nn.ReLU()]),
        "a softmax follows the last layer": lambda *s: sequence(*s, last=[nn.Softmax(1)]),
        "'106,154 parameters'": lambda *s: sequence(*s, kernel=3, pad=1),
        "'32,150 parameters'": lambda *s: sequence(*s, hidden=84),
        "entry 2": lambda *s: sequence(*s, pool=nn.AvgPool2d),
        "NoneType, not an nn.Module": lambda *s: None,
        "raised TypeError": lambda *s: LeNet(*s),
    },
    "forward": {
        "raised RuntimeError": broken_forward,
        "a ReLU still follows": lambda x, w: right_forward(x, w).relu(),
        "return the logits": lambda x, w: right_forward(x, w).softmax(1),
        "arguments changed in place": in_place,
        "output (10,)": lambda x, w: right_forward(x, w)[0],
        "output (10, 25)": lambda x, w: right_forward(x, w).T,
        "not a tensor": lambda x, w: None,
        "entry 2": lambda x, w: torch.zeros(len(x), 10),
    },
    "train_epoch": {
        "the weights never change": lambda *a: loop(*a, wipe_late=True),
        "must be a number": lambda *a: [loop(*a)],
        "case 1 of 22: entry 0": lambda *a: loop(*a, average=False),
        "case 1 of 22: entry 1": lambda *a: loop(*a, eval_loss=True),
        "raised TypeError": lambda model: 0.0,
        "entry 0": lambda *a: loop(*a, every=2),
        "NoneType": lambda *a: loop(*a) and None,
    },
    "gap_lenet": {
        "the flatten head is still there": LeNet,
        "this takes the maximum": lambda: gap(pool=nn.AdaptiveMaxPool2d(1)),
        "output (3, 5)": lambda: gap(classes=5),
        "cannot be multiplied": lambda: gap(flatten=False),
        "entry 2": lambda: gap(sigmoid=True),
        "raised TypeError": lambda size: gap(),
        "not an nn.Module": lambda: 2742,
    },
}
