"""Answers to the exercises of chapter efficientnet: right ones written differently, and plausible wrong ones."""

from __future__ import annotations

import math

import torch
from torch import nn
from torch.nn import functional as F


def with_einsum(x, w1, b1, w2, b2):
    means = torch.einsum("nchw->nc", x) / (x.shape[2] * x.shape[3])
    gates = 1 / (1 + (-F.linear(F.linear(means, w1, b1).clamp(min=0), w2, b2)).exp())
    return torch.einsum("nchw,nc->nchw", x, gates)


def in_place(x, w1, b1, w2, b2):
    x *= torch.sigmoid(F.linear(F.relu(F.linear(x.mean((2, 3)), w1, b1)), w2, b2))[:, :, None, None]
    return x


def gates_of(x, w1, b1, w2, b2):
    return torch.sigmoid(F.linear(F.relu(F.linear(x.mean((2, 3)), w1, b1)), w2, b2))


def eights(channels):
    lower = 8 * math.floor(channels / 8)
    near = max(8, lower if channels - lower < 4 else lower + 8)
    return near + 8 if near < 0.9 * channels else near


def loops(table, depth, width):
    result = []
    for expansion, kernel, stride, channels, number in table:
        result.append((expansion, kernel, stride, eights(channels * width), -int(-number * depth // 1)))
    return result


def appended(table, depth, width):
    for i, (e, k, s, c, n) in enumerate(table):
        table[i] = (e, k, s, eights(c * width), math.ceil(n * depth))
    return table


def three_loops(grid, target, tolerance):
    found = []
    for a in grid:
        for b in grid:
            for c in grid:
                if -tolerance <= a * b * b * c * c - target <= tolerance:
                    found.append((a, b, c))
    return found


def modules(x, expand, depthwise, w1, w2, project):
    y = F.silu(torch.einsum("nchw,mc->nmhw", x, expand[:, :, 0, 0]))
    y = nn.SiLU()(F.conv2d(y, depthwise, groups=len(depthwise), padding="same"))
    gates = (F.silu(y.flatten(2).mean(2) @ w1.T) @ w2.T).sigmoid()
    return F.conv2d(y * gates[..., None, None], project) + x


def broken(x, expand, depthwise, w1, w2, project, axes=(0, 2, 3), gate=torch.relu, last=F.silu):
    y = F.silu(F.conv2d(x, expand))
    y = F.silu(F.conv2d(y, depthwise, padding=depthwise.shape[-1] // 2, groups=y.shape[1]))
    means = y.mean(axes)
    gates = gate(F.silu(means @ w1.T) @ w2.T)
    gates = gates[:, None, None] if gates.dim() == 1 else gates[:, :, None, None]
    return x + last(F.conv2d(y * gates, project))


RIGHT = {
    "squeeze_excite": [with_einsum],
    "scale": [loops],
    "constrained": [three_loops],
    "repaired": [modules],
}

WRONG = {
    "squeeze_excite": {
        "over the batch, too": lambda x, w1, b1, w2, b2: (
            x * torch.sigmoid(F.linear(F.relu(F.linear(x.mean((0, 2, 3)), w1, b1)), w2, b2))[:, None, None]
        ),
        "the gate is a ReLU": lambda x, w1, b1, w2, b2: (
            x * F.relu(F.linear(F.relu(F.linear(x.mean((2, 3)), w1, b1)), w2, b2))[:, :, None, None]
        ),
        "between the two layers is missing": lambda x, w1, b1, w2, b2: (
            x * torch.sigmoid(F.linear(F.linear(x.mean((2, 3)), w1, b1), w2, b2))[:, :, None, None]
        ),
        "these are the gates alone": gates_of,
        "changed its arguments": in_place,
        "the values differ": lambda x, w1, b1, w2, b2: torch.zeros_like(x),
        "it must be a tensor": lambda x, w1, b1, w2, b2: None,
        "torch.float32": lambda x, w1, b1, w2, b2: with_einsum(x, w1, b1, w2, b2).float(),
    },
    "scale": {
        "2 blocks at a depth of 1.1 are 3": lambda t, d, w: [
            (e, k, s, eights(c * w), max(1, round(n * d))) for e, k, s, c, n in t
        ],
        "channels become a multiple of 8": lambda t, d, w: [
            (e, k, s, round(c * w), math.ceil(n * d)) for e, k, s, c, n in t
        ],
        "not always up": lambda t, d, w: [(e, k, s, 8 * math.ceil(c * w / 8), math.ceil(n * d)) for e, k, s, c, n in t],
        "exchanged": lambda t, d, w: loops(t, w, d),
        "changed its arguments": appended,
        "the result has": lambda t, d, w: loops(t, d, w)[:-1],
        "it must be a list": lambda t, d, w: None,
    },
    "constrained": {
        "width and side count twice": lambda g, t, e: [
            (a, b, c) for a in g for b in g for c in g if abs(a * b * c - t) <= e
        ],
        "depth counts once": lambda g, t, e: [
            (a, b, c) for a in g for b in g for c in g if abs((a * b * c) ** 2 - t) <= e
        ],
        "the absolute difference": lambda g, t, e: [
            (a, b, c) for a in g for b in g for c in g if a * b**2 * c**2 <= t + e
        ],
        "α the outermost": lambda g, t, e: [
            (a, b, c) for c in g for b in g for a in g if abs(a * b**2 * c**2 - t) <= e
        ],
        "entries, but it must have": lambda g, t, e: [],
        "it must be a list": lambda g, t, e: None,
    },
    "repaired": {
        "nothing is repaired yet": broken,
        "over the batch": lambda *a: broken(*a, gate=torch.sigmoid, last=lambda y: y),
        "a gate is a ReLU": lambda *a: broken(*a, axes=(2, 3), last=lambda y: y),
        "the narrow end is linear": lambda *a: broken(*a, axes=(2, 3), gate=torch.sigmoid),
        "look at the gate and at the last line": lambda *a: broken(*a, axes=(2, 3)),
        "the input is added": lambda x, *a: modules(x, *a) - x,
    },
}
