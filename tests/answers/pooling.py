"""Right and wrong answers to the exercises on pooling; see ``tests/test_exercises.py``."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F


def max_pool_by_unfold(x, k, stride=None, padding=0):
    padded = F.pad(x, (padding,) * 4, value=-math.inf)
    return padded.unfold(0, k, stride or k).unfold(1, k, stride or k).amax((-2, -1))


def max_pool_by_slices(x, k, stride=None, padding=0):
    """Take the maximum over the k² places of a window, all windows at once."""
    stride = stride or k
    h, w = x.shape
    rows, columns = (h + 2 * padding - k) // stride + 1, (w + 2 * padding - k) // stride + 1
    padded = torch.full((h + 2 * padding, w + 2 * padding), -math.inf, dtype=x.dtype)
    padded[padding : padding + h, padding : padding + w] = x
    result = torch.full((rows, columns), -math.inf, dtype=x.dtype)
    for r in range(k):
        for c in range(k):
            result = result.maximum(padded[r::stride, c::stride][:rows, :columns])
    return result


def loops(x, k, stride=None, padding=0, fill=-math.inf, start=0, last=0):
    """Max pooling in loops, with parts to get wrong."""
    stride = stride or k
    padded = F.pad(x, (padding,) * 4, value=fill)
    h, w = ((n - k) // stride + 1 + last for n in padded.shape)
    result = torch.zeros(h, w, dtype=x.dtype)
    for r in range(h):
        for c in range(w):
            top, left = r * stride + start, c * stride + start
            result[r, c] = padded[top : top + k, left : left + k].max()
    return result


def max_pool_that_writes_into_its_input(x, k, stride=None, padding=0):
    result = max_pool_by_unfold(x, k, stride, padding)
    x[0, 0] = 0
    return result


def average_by_depthwise(x, k):
    n, c, h, w = x.shape
    kernel = torch.full((1, 1, k, k), 1 / k**2, dtype=x.dtype)
    return F.conv2d(x.reshape(n * c, 1, h, w), kernel, stride=k).view(n, c, h // k, w // k)


def average_by_identity(x, k):
    """One kernel for each pair of channels, zero where they differ."""
    channels = x.shape[1]
    kernel = torch.eye(channels, dtype=x.dtype)[:, :, None, None].expand(-1, -1, k, k) / k**2
    return F.conv2d(x, kernel, stride=k)


def global_average_with_window(x):
    return F.avg_pool2d(x, (x.shape[2], x.shape[3]))[:, :, 0, 0]


def after(n):
    return ((n - 4) // 2 - 4 - 3) // 2 + 1


def head_inputs_in_steps(height, width):
    for size, stride in ((5, 1), (2, 2), (5, 1), (3, 2)):
        height, width = (height - size) // stride + 1, (width - size) // stride + 1
    return 16 * height * width


def kept_by_loops(x, k, pixels):
    moved = torch.cat([x[..., x.shape[-1] - pixels % x.shape[-1] :], x[..., : x.shape[-1] - pixels % x.shape[-1]]], -1)
    before, now = F.max_pool2d(x, k), F.max_pool2d(moved, k)
    return sum(a == b for a, b in zip(before.flatten().tolist(), now.flatten().tolist(), strict=True)) / before.numel()


def pooled(x, k):
    return F.max_pool2d(x, k)


RIGHT = {
    "shapes": [[(9, 9), (56, 56), (3, 5), (4, 5), (1, 1)], [[9, 9], [56, 56], [3, 5], [4, 5], [1, 1]]],
    "max_pool": [max_pool_by_unfold, max_pool_by_slices, loops],
    "average_pool": [average_by_depthwise, average_by_identity],
    "global_average": [
        lambda x: x.mean((2, 3)),
        lambda x: x.flatten(2).mean(2),
        lambda x: x.sum((-1, -2)) / (x.shape[2] * x.shape[3]),
        global_average_with_window,
    ],
    "head_inputs": [head_inputs_in_steps, lambda height, width: 16 * after(height) * after(width)],
    "kept_share": [
        kept_by_loops,
        lambda x, k, pixels: (pooled(torch.roll(x, pixels, 3), k) == pooled(x, k)).double().mean(),
    ],
    "law": [[0.8, 0.5, 0], [8 / 10, 6 / 12, 0 / 10], (0.8, 0.5, 0.0)],
}

WRONG = {
    "shapes": {
        "moves by its kernel size": [[26, 26], [56, 56], [3, 5], [4, 5], [1, 1]],
        "pixels 27 to 29": [[10, 10], [56, 56], [3, 5], [4, 5], [1, 1]],
        "rows 3 and 4 differ": [[9, 9], [56, 56], [4, 5], [4, 5], [1, 1]],
        "size of the output": [[9, 9], [56, 56], [3, 5], [4, 5], [7, 10]],
        "4 entries": [[9, 9], [56, 56], [3, 5], [4, 5]],
        "entry 0": [9, 56, 3, 4, 1],
    },
    "max_pool": {
        "fill it with -torch.inf, not with 0": lambda *case: loops(*case, fill=0.0),
        "without a stride the window moves by k": lambda x, k, stride=None, padding=0: loops(
            x, k, stride or 1, padding
        ),
        "the stride is ignored": lambda x, k, stride=None, padding=0: loops(x, k, None, padding),
        "padding is missing": lambda x, k, stride=None, padding=0: loops(x, k, stride),
        "that is the average": lambda x, k, stride=None, padding=0: F.avg_pool2d(x[None], k, stride, padding)[0],
        "must have (2, 2)": lambda x, k, stride=None, padding=0: loops(x, k, stride, padding, last=-1),
        "raised": lambda *case: loops(*case, last=1),
        "values differ": lambda *case: loops(*case, start=1),
        "rows and columns are swapped": lambda *case: loops(*case).T,
        "changed its arguments": max_pool_that_writes_into_its_input,
        "must be a tensor": lambda *case: loops(*case).tolist(),
        "is torch.float32": lambda *case: loops(*case).float(),
        "height and width can differ": lambda *case: loops(*case)[:, : loops(*case).shape[0]],
        "got      [[0, 0], [0, 0]]": lambda *case: torch.zeros_like(loops(*case)),
    },
    "average_pool": {
        "a mean needs weights of 1/k²": lambda x, k: average_by_depthwise(x, k) * k**2,
        "not 1/k": lambda x, k: average_by_depthwise(x, k) * k,
        "stride k": lambda x, k: F.avg_pool2d(x, k, 1),
        "the channels are added up": lambda x, k: (
            average_by_depthwise(x, k).sum(1, keepdim=True).expand(-1, x.shape[1], -1, -1)
        ),
        "keeps the C channels": lambda x, k: average_by_depthwise(x.mean(1, keepdim=True), k),
        "that is max pooling": lambda x, k: F.max_pool2d(x, k),
        "dtype=x.dtype": lambda x, k: average_by_depthwise(x.float(), k),
        "raised RuntimeError": lambda x, k: F.conv2d(x, torch.full((1, 1, k, k), 1 / k**2), stride=k),
        "values differ": lambda x, k: average_by_depthwise(x, k).round(),
        "changed its arguments": lambda x, k: average_by_depthwise(x.mul_(1.5), k) / 1.5,
    },
    "global_average": {
        "square maps only": lambda x: F.avg_pool2d(x, x.shape[-1]).flatten(1),
        "raised RuntimeError": lambda x: F.avg_pool2d(x, x.shape[-2]).flatten(1),
        "the shape must be (N, C)": lambda x: F.adaptive_avg_pool2d(x, 1),
        "that is the sum": lambda x: x.flatten(2).sum(2),
        "the maximum of each map": lambda x: x.flatten(2).amax(2),
        "one axis too many": lambda x: x.flatten(1).mean(1),
        "the channels are gone": lambda x: x.mean(1),
        "not by width²": lambda x: x.sum((2, 3)) / x.shape[-1] ** 2,
        "values differ": lambda x: x.mean((2, 3)).floor(),
        "is torch.float64, but it must be torch.float32": lambda x: x.double().mean((2, 3)),
    },
    "head_inputs": {
        "the 16 channels are missing": lambda h, w: after(h) * after(w),
        "16 channels, not 6": lambda h, w: 6 * after(h) * after(w),
        "16·5·5 for every size": lambda h, w: 16 * 5 * 5,
        "the width can differ": lambda h, w: 16 * after(h) * after(h),
        "takes 4 pixels": lambda h, w: 16 * ((h // 2 - 3) // 2 + 1) * ((w // 2 - 3) // 2 + 1),
        "has a window of 3": lambda h, w: 16 * (((h - 4) // 2 - 4) // 2) * (((w - 4) // 2 - 4) // 2),
        "not n//3": lambda h, w: 16 * (((h - 4) // 2 - 4) // 3) * (((w - 4) // 2 - 4) // 3),
        "round down at each pooling": lambda h, w: 16 * after(h + h % 2) * after(w + w % 2),
        "must be a whole number": lambda h, w: 16.0 * after(h) * after(w),
        "the result is": lambda h, w: (16, after(h), after(w)),
    },
    "kept_share": {
        "cells that change": lambda x, k, pixels: (pooled(x.roll(pixels, 3), k) != pooled(x, k)).float().mean(),
        "moved along its height": lambda x, k, pixels: (pooled(x.roll(pixels, 2), k) == pooled(x, k)).float().mean(),
        "moved to the left": lambda x, k, pixels: (pooled(x.roll(-pixels, 3), k) == pooled(x, k)).float().mean(),
        "the pooled map was moved": lambda x, k, pixels: (pooled(x, k).roll(pixels, 3) == pooled(x, k)).float().mean(),
        "compare the pooled maps": lambda x, k, pixels: (x.roll(pixels, 3) == x).float().mean(),
        "divide by how many": lambda x, k, pixels: (pooled(x.roll(pixels, 3), k) == pooled(x, k)).sum().item() * 1.0,
        "must be a number": lambda x, k, pixels: (pooled(x.roll(pixels, 3), k) == pooled(x, k)).float(),
        "(NoneType)": lambda x, k, pixels: None,
    },
    "law": {
        "divided the shared pixels by those of one window": [8 / 9, 2 / 3, 0],
        "the shares that change": [0.2, 0.5, 1],
        "what do the windows share after 3": [0.8, 0.8, 0.667],
        "along one axis only": [64 / 98, 36 / 126, 0],
        "is not right": [0.5, 0.5, 0.5],
    },
}
