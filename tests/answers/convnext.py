"""Answers to the exercises of chapter convnext: right ones written differently, and plausible wrong ones."""

from __future__ import annotations

import torch
from torch import nn
from torch.nn import functional as F


def norm_by_matrix(x, weight, bias, eps):
    n, c, h, w = x.shape
    rows = x.transpose(0, 1).reshape(c, -1)  # a column for each place
    rows = rows - rows.mean(0)
    rows = rows / torch.sqrt((rows**2).mean(0) + eps)
    rows = weight[:, None] * rows + bias[:, None]
    return rows.reshape(c, n, h, w).transpose(0, 1)


def norm_in_place(x, weight, bias, eps):
    x -= x.mean(1, keepdim=True)
    x /= (x.square().mean(1, keepdim=True) + eps).sqrt()
    return x * weight[:, None, None] + bias[:, None, None]


class Convolutions(nn.Module):
    """The block with 1×1 convolutions; subclasses are wrong in one place."""

    groups, initial, hidden, activation = None, 1e-6, 4, nn.GELU

    def __init__(self, width, kernel=7):
        super().__init__()
        self.width = width
        self.gamma = nn.Parameter(self.initial * torch.ones(1, width, 1, 1))
        self.out = nn.Conv2d(self.hidden * width, width, 1)
        self.up = nn.Conv2d(width, self.hidden * width, 1)
        self.weight, self.bias = nn.Parameter(torch.ones(width)), nn.Parameter(torch.zeros(width))
        self.depth = nn.Conv2d(width, width, kernel, padding="same", groups=self.groups or width)
        self.act = self.activation()

    def norm(self, x):
        return norm_by_matrix(x, self.weight, self.bias, 1e-6)

    def branch(self, x):
        return self.gamma * self.out(self.act(self.up(self.norm(self.depth(x)))))

    def forward(self, x):
        return x + self.branch(x)


def variant(**changes):
    """Return the class with some of its methods or switches replaced."""
    return type("Variant", (Convolutions,), changes)


def in_place(self, x):
    x += self.branch(x)
    return x


def turned(self, x):
    return x + self.branch(x).transpose(2, 3)


def behind(self, x):
    return self.gamma * self.act(self.out(self.up(self.norm(self.depth(x)))))


def grouped(self, x):
    return F.group_norm(x, 1, self.weight, self.bias, 1e-6)


def batched(self, x):
    return F.batch_norm(x, None, None, self.weight, self.bias, training=True, eps=1e-6)


def counted(width, kernel):
    return width * (kernel * kernel + 1) + 2 * width + (width + 1) * 4 * width + (4 * width + 1) * width + width


RIGHT = {
    "channel_norm": [
        norm_by_matrix,
        lambda x, w, b, eps: F.layer_norm(x.permute(0, 2, 3, 1), (x.shape[1],), w, b, eps).permute(0, 3, 1, 2),
    ],
    "price": [counted, lambda width, kernel: 8 * width**2 + (kernel**2 + 9) * width],
    "block": [Convolutions, lambda width, kernel: nn.Sequential(Convolutions(width, kernel))],
    "Repaired": [Convolutions],
}

WRONG = {
    "channel_norm": {
        "over its channels and places": lambda x, w, b, eps: F.group_norm(x, 1, w, b, eps),
        "as batch norm does": lambda x, w, b, eps: F.batch_norm(x, None, None, w, b, training=True, eps=eps),
        "of each image": lambda x, w, b, eps: (
            (x - x.mean((2, 3), keepdim=True)) / (x.var((2, 3), keepdim=True, correction=0) + eps).sqrt()
            * w[:, None, None] + b[:, None, None]
        ),
        "not by C − 1": lambda x, w, b, eps: (
            (x - x.mean(1, keepdim=True)) / (x.var(1, keepdim=True) + eps).sqrt() * w[:, None, None] + b[:, None, None]
        ),
        "under the root": lambda x, w, b, eps: (
            (x - x.mean(1, keepdim=True)) / (x.std(1, keepdim=True, correction=0) + eps) * w[:, None, None]
            + b[:, None, None]
        ),
        "the bias is missing": lambda x, w, b, eps: norm_by_matrix(x, w, 0 * b, eps),
        "weight and bias are missing": lambda x, w, b, eps: norm_by_matrix(x, 1 + 0 * w, 0 * b, eps),
        "reshape does not move": lambda x, w, b, eps: F.layer_norm(
            x.reshape(x.shape[0], *x.shape[2:], x.shape[1]), w.shape, w, b, eps
        ).reshape(x.shape),
        "changed its arguments": norm_in_place,
        "must be torch.float32": lambda x, w, b, eps: norm_by_matrix(x, w, b, eps).double(),
        "must have (2, 3, 4, 5)": lambda x, w, b, eps: norm_by_matrix(x, w, b, eps).permute(0, 2, 3, 1),
        "must be a tensor": lambda x, w, b, eps: None,
        "the values differ": lambda x, w, b, eps: 0 * x,
        "raised RuntimeError": lambda x, w, b, eps: F.layer_norm(x, w.shape, w, b, eps),
    },
    "price": {
        "one kernel for each channel": lambda width, kernel: counted(width, kernel) + kernel**2 * (width**2 - width),
        "one number for each channel is missing": lambda width, kernel: counted(width, kernel) - width,
        "layer norm has two parameters": lambda width, kernel: counted(width, kernel) - 2 * width,
        "the dense layers have biases": lambda width, kernel: counted(width, kernel) - 5 * width,
        "are missing": lambda width, kernel: kernel**2 * width + 8 * width**2,
        "there are two dense layers": lambda width, kernel: counted(width, kernel) - 4 * width**2 - width,
        "must be a whole number": lambda width, kernel: float(counted(width, kernel)),
        "got      79": lambda width, kernel: 79_200,
    },
    "block": {
        "the shortcut is missing": variant(forward=lambda self, x: self.branch(x)),
        "starts at 1e-6": variant(initial=1.0),
        "groups=width": variant(groups=1),
        "out to 4·width": variant(hidden=2),
        "GELU, not ReLU": variant(activation=nn.ReLU),
        "between the two dense layers": variant(branch=behind),
        "an activation is missing": variant(activation=nn.Identity),
        "nothing stands behind the sum": variant(forward=lambda self, x: F.gelu(x + self.branch(x))),
        "one mean for each image": variant(norm=grouped),
        "looks at the other images": variant(norm=batched),
        "writes into the input": variant(forward=in_place),
        "not an nn.Module": lambda width, kernel: None,
        "returns NoneType": variant(forward=lambda self, x: None),
        "must match the size of tensor": variant(forward=lambda self, x: x + self.branch(x)[..., 1:, :]),
        "got      ['": variant(forward=lambda self, x: 0 * x),
    },
    "Repaired": {
        "still dense": variant(groups=1),
        "height and width are exchanged": variant(forward=turned),
        "behind both dense layers": variant(branch=behind),
        "writes into the input": variant(forward=in_place),
        "the activation is gone": variant(activation=nn.Identity),
        "the sum is gone": variant(forward=lambda self, x: self.branch(x)),
        "was right as it was": variant(initial=1.0),
        "raised TypeError": lambda: Convolutions(4),
        "not an nn.Module": lambda width: "a block",
    },
}  # fmt: skip
