"""Right and wrong answers to the exercises on GoogLeNet; see ``tests/test_exercises.py``."""

from __future__ import annotations

import torch
from torch import nn
from torch.nn import functional as F


def mlp_in_loops(x, w1, b1, w2, b2):
    n, _, h, w = x.shape
    result = x.new_zeros(n, len(w2), h, w)
    for i in range(n):
        for r in range(h):
            for c in range(w):
                hidden = torch.clamp(w1 @ x[i, :, r, c] + b1, min=0)
                result[i, :, r, c] = torch.clamp(w2 @ hidden + b2, min=0)
    return result


def mlp_by_einsum(x, w1, b1, w2, b2):
    hidden = (torch.einsum("mc,nchw->nmhw", w1, x) + b1[:, None, None]).clamp(min=0)
    return (torch.einsum("km,nmhw->nkhw", w2, hidden) + b2[:, None, None]).clamp(min=0)


def mlp_in_place(x, w1, b1, w2, b2):
    result = mlp_by_einsum(x, w1, b1, w2, b2)
    x.relu_()
    return result


class Block(nn.Module):
    """The block written out, with parts to get wrong."""

    def __init__(self, inputs, row, padding=2, dim=1, stride=1, groups=1, bias=True, norm=False, drop=False):
        super().__init__()
        a, b, c, d, e, f = row
        self.a = nn.Conv2d(inputs, a, 1, bias=bias)
        self.b, self.c = nn.Conv2d(inputs, b, 1, bias=bias), nn.Conv2d(b, c, 3, padding=1, bias=bias)
        self.d, self.e = nn.Conv2d(inputs, d, 1, bias=bias), nn.Conv2d(d, e, 5, padding=padding, bias=bias)
        self.f = nn.Conv2d(inputs, f, 1, bias=bias)
        self.norm = nn.BatchNorm2d(a + c + e + f) if norm else nn.Identity()
        self.dim, self.stride, self.drop = dim, stride, drop

    def forward(self, x):
        pooled = F.max_pool2d(x, 3, stride=self.stride, padding=1)
        branches = [F.relu(self.a(x)), F.relu(self.c(F.relu(self.b(x)))), F.relu(self.e(F.relu(self.d(x))))]
        branches += [] if self.drop else [F.relu(self.f(pooled))]
        return self.norm(torch.cat(branches, dim=self.dim))


class Filled(nn.Module):
    """Writes the branches into an empty tensor instead of concatenating them."""

    def __init__(self, inputs, row):
        super().__init__()
        self.block, self.row = Block(inputs, row), row

    def forward(self, x):
        block, (a, _, c, _, e, f) = self.block, self.row
        result = x.new_empty(len(x), a + c + e + f, *x.shape[2:])
        result[:, :a] = block.a(x)
        result[:, a : a + c] = block.c(block.b(x).relu())
        result[:, a + c : -f] = block.e(block.d(x).relu())
        result[:, -f:] = block.f(F.max_pool2d(F.pad(x, (1, 1, 1, 1), value=-torch.inf), 3, stride=1))
        return result.relu()


def work(inputs, row, height, width, **parts):
    one, three_reduce, three, five_reduce, five, projection = row
    places = height * width
    weights = [
        inputs * one,
        three_reduce * (inputs + 9 * three),
        five_reduce * (inputs + 25 * five),
        inputs * projection,
    ]
    return [w * places for w in weights]


def work_with_biases(inputs, row, height, width):
    biases = (row[0], row[1] + row[2], row[3] + row[4], row[5])
    return [w + b for w, b in zip(work(inputs, row, height, width), biases, strict=True)]


def widest(inputs, outputs, kernel, side, budget):
    return min(inputs, budget // (side * side * (inputs + kernel * kernel * outputs)))


def widest_by_halves(inputs, outputs, kernel, side, budget):
    low, high = 0, inputs
    while low < high:
        middle = (low + high + 1) // 2
        weights = inputs * middle + middle * outputs * kernel**2
        low, high = (middle, high) if weights * side**2 <= budget else (low, middle - 1)
    return low


def joined(x, w1, w3, w5):
    result = [F.conv2d(x, w1).relu(), F.conv2d(x, w3, padding="same").relu(), F.conv2d(x, w5, padding="same").relu()]
    return torch.concatenate([*result, F.max_pool2d(x, (3, 3), 1, 1)], 1)


def written(x, w1, w3, w5):
    pooled = F.unfold(F.pad(x, (1, 1, 1, 1), value=-1e9), 3).view(len(x), x.shape[1], 9, *x.shape[2:]).amax(2)
    parts = [F.conv2d(x, w, padding=p).clamp(min=0) for w, p in ((w1, 0), (w3, 1), (w5, 2))] + [pooled]
    return torch.stack([torch.cat([part[i] for part in parts]) for i in range(len(x))])


def broken(x, w1, w3, w5):
    maps = [F.relu(F.conv2d(x, w1)), F.relu(F.conv2d(x, w3, padding=1)), F.relu(F.conv2d(x, w5, padding=1))]
    return torch.cat([*maps, F.max_pool2d(x, 3, padding=1)])


def joined_in_place(x, w1, w3, w5):
    result = joined(x, w1, w3, w5)
    x.clamp_(min=0)
    return result


RIGHT = {
    "mlp_at_each_place": [mlp_in_loops, mlp_by_einsum],
    "inception": [Block, Filled],
    "branch_work": [work, lambda *case: tuple(work(*case))],
    "reduction_width": [widest, widest_by_halves],
    "side_by_side": [joined, written],
    "heads": [(50_177_000, 1_025_000)],
}

WRONG = {
    "mlp_at_each_place": {
        "the ReLU between": lambda x, w1, b1, w2, b2: (
            torch.einsum("kc,nchw->nkhw", w2 @ w1, x) + (w2 @ b1 + b2)[:, None, None]
        ).clamp(min=0),
        "second layer has a ReLU": lambda x, w1, b1, w2, b2: F.linear(
            F.linear(x.movedim(1, -1), w1, b1).relu(), w2, b2
        ).movedim(-1, 1),
        "both ReLUs": lambda x, w1, b1, w2, b2: F.linear(F.linear(x.movedim(1, -1), w1, b1), w2, b2).movedim(-1, 1),
        "biases are missing": lambda x, w1, b1, w2, b2: (
            F.linear(F.linear(x.movedim(1, -1), w1).relu(), w2).relu().movedim(-1, 1)
        ),
        "move them back": lambda x, w1, b1, w2, b2: F.linear(F.linear(x.movedim(1, -1), w1, b1).relu(), w2, b2).relu(),
        "changed its arguments": mlp_in_place,
        "(NoneType), but it must be a tensor": lambda *a: None,
        "but it must be torch.float64": lambda *a: mlp_by_einsum(*a).float(),
        "raised RuntimeError": lambda x, w1, b1, w2, b2: F.linear(F.linear(x, w1, b1).relu(), w2, b2).relu(),
        "the values differ": lambda *a: 0 * mlp_by_einsum(*a) - 1,
    },
    "inception": {
        "has a 3×3 kernel": lambda inputs, row: _three(inputs, row),
        "Sizes of tensors must match": lambda inputs, row: Block(inputs, row, padding=1),
        "Expected size": lambda inputs, row: Block(inputs, row, stride=3),
        "output (8, ": lambda inputs, row: Block(3, (2, 2, 2, 1, 2, 2), dim=0) if row[0] == 1 else Block(inputs, row),
        "entry 1": lambda inputs, row: Block(inputs, row, drop=True),
        "parameters'": lambda inputs, row: Block(inputs, row, bias=False),
        "not an nn.Module": lambda inputs, row: row,
        "raised TypeError": lambda inputs: Block(inputs, (1,) * 6),
        "entry 0": lambda inputs, row: Block(inputs, row, norm=True),
        "raised ValueError": lambda inputs, row: Block(inputs, row[1:]),
    },
    "branch_work": {
        "the reductions are missing": lambda i, r, h, w: [
            i * r[0] * h * w,
            9 * r[1] * r[2] * h * w,
            25 * r[3] * r[4] * h * w,
            i * r[5] * h * w,
        ],
        "read the reduced channels": lambda i, r, h, w: [x * i * h * w for x in (r[0], 9 * r[2], 25 * r[4], r[5])],
        "the places are missing": lambda i, r, h, w: [x // (h * w) for x in work(i, r, h, w)],
        "may be oblong": lambda i, r, h, w: work(i, r, h, h),
        "has 25 weights": lambda i, r, h, w: [
            *work(i, r, h, w)[:2],
            (i + 9 * r[4]) * r[3] * h * w,
            work(i, r, h, w)[3],
        ],
        "the pooling costs no": lambda i, r, h, w: [*work(i, r, h, w)[:3], 0],
        "it must be a number": lambda *case: [str(x) for x in work(*case)],
        "it must be a whole number": lambda *case: [float(x) for x in work(*case)],
        "must have 4": lambda *case: work(*case)[:3],
        "but it must be a list": lambda *case: sum(work(*case)),
        "entry 0": work_with_biases,
        "entry 3": lambda i, r, h, w: [*work(i, r, h, w)[:3], r[4] * r[5] * h * w],
    },
    "reduction_width": {
        "≤, not <": lambda i, o, k, s, budget: widest(i, o, k, s, budget - 1),
        "at most as many channels": lambda i, o, k, s, budget: budget // (s * s * (i + k * k * o)),
        "itself costs too": lambda i, o, k, s, budget: min(i, budget // (s * s * k * k * o)),
        "side × side places": lambda i, o, k, s, budget: widest(i, o, k, 1, budget),
        "0 when not even": lambda *case: max(1, widest(*case)),
        "kernel² weights": lambda i, o, k, s, budget: min(i, budget // (s * s * (i + k * o))),
        "whole number (int)": lambda *case: float(widest(*case)),
        "(NoneType)": lambda *case: None,
        "expected": lambda i, o, k, s, budget: i // 12,
        "case 1": lambda *case: 0,
    },
    "side_by_side": {
        "raised RuntimeError": broken,
        "along the channels": lambda x, w1, w3, w5: (
            torch.cat(
                [F.conv2d(x, w, padding=len(w[0, 0]) // 2).relu() for w in (w1, w3, w5)] + [F.max_pool2d(x, 3, 1, 1)]
            )
            if len(w1) == len(w3) == len(w5) == x.shape[1]
            else torch.empty(x.shape[0] * 4)
        ),
        "those of the average": lambda x, w1, w3, w5: torch.cat(
            [joined(x, w1, w3, w5)[:, : -x.shape[1]], F.avg_pool2d(x, 3, 1, 1)], 1
        ),
        "pooling branch is missing": lambda x, w1, w3, w5: joined(x, w1, w3, w5)[:, : -x.shape[1]],
        "in another order": lambda x, w1, w3, w5: torch.cat(
            [
                F.max_pool2d(x, 3, 1, 1),
                *(F.conv2d(x, w, padding=len(w[0, 0]) // 2).relu() for w in (w5, w3, w1)),
            ],
            1,
        ),
        "changed its arguments": joined_in_place,
        "the values differ": lambda x, w1, w3, w5: joined(x, w1, w3.flip(2, 3), w5),
        "(NoneType)": lambda *a: None,
        "has shape": lambda *a: joined(*a)[0],
    },
    "heads": {
        "biases are missing": [50_176_000, 1_024_000],
        "all 7×7 places": [1_025_000, 1_025_000],
        "the dense layer behind it has": [50_177_000, 0],
        "not 1,024·7": [7_169_000, 1_025_000],
        "flatten first": [1_025_000, 50_177_000],
        "must have 2": [49_152_000],
        "must be a list": 49_152_000,
    },
}


def _three(inputs, row):
    block = Block(inputs, row)
    block.e = nn.Conv2d(row[3], row[4], 3, padding=1)
    return block
