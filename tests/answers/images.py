"""Right and wrong answers to the exercises on images as numbers; see ``tests/test_exercises.py``."""

from __future__ import annotations

import numpy as np
import torch

SHAPES = [[4, 3, 100, 60], [3, 100, 60], [4, 50, 30, 3], [4, 18000], [4, 100, 60, 1]]
RANGES = [[0, 1], [-1, 1], [-0.5, 1.5], [0, 255], [10, 137]]


def changed(right, row, value):
    return [value if i == row else r for i, r in enumerate(right, 1)]


def floats_with_numpy(array):
    if array.ndim == 2:
        array = array[..., None]
    return torch.tensor(np.moveaxis(array, -1, 0).astype(np.float32) / 255)


def floats_by_loop(array):
    channels = [array] if array.ndim == 2 else [array[:, :, c] for c in range(3)]
    return torch.stack([torch.tensor(c).float() / 255 for c in channels])


def colour_floats(array):
    """Right for colour; a grey array fails in permute."""
    return torch.tensor(array).permute(2, 0, 1).float() / 255


def grey_by_slices(x):
    return 0.2125 * x[:, :1] + 0.7154 * x[:, 1:2] + 0.0721 * x[:, 2:]


def grey_by_einsum(x):
    weights = torch.tensor([0.2125, 0.7154, 0.0721], dtype=x.dtype)
    return torch.einsum("nchw,c->nhw", x, weights)[:, None]


def grey_in_place(x):
    result = grey_by_slices(x)
    x[:, 0] = result[:, 0]
    return result


def standardise_by_loop(x):
    result = torch.empty_like(x)
    for c in range(x.shape[1]):
        channel = x[:, c]
        result[:, c] = (channel - channel.mean()) / ((channel - channel.mean()) ** 2).mean().sqrt()
    return result


def standardise_in_place(x):
    return x.copy_(standardise_by_loop(x))


def over(axes, correction=0):
    return lambda x: (x - x.mean(axes, keepdim=True)) / x.std(axes, correction=correction, keepdim=True)


def undo_by_loop(x, mean, std):
    result = torch.empty(x.shape, dtype=torch.uint8)
    for c in range(x.shape[1]):
        fractions = (x[:, c] * std[c] + mean[c]).clamp(0, 1)
        result[:, c] = (fractions * 255 + 0.5).floor().to(torch.uint8)
    return result


def undo_with(x, mean, std, finish):
    return finish((x * std[:, None, None] + mean[:, None, None]) * 255)


def load_with_numpy(pictures):
    ready = []
    for array in pictures:
        if array.shape[-1] == 3:
            array = array.transpose(2, 0, 1)
        ready.append(np.minimum(array.astype(np.int64) + 40, 255).astype(np.float32) / 255)
    return torch.tensor(np.stack(ready))


def load_with(pictures, brighten, first=lambda a: a if a.shape[0] == 3 else np.moveaxis(a, 2, 0)):
    return torch.stack([brighten(torch.tensor(np.ascontiguousarray(first(a)))) for a in pictures])


def bright(x):
    return (x.float() + 40).clamp(0, 255) / 255


def load_that_writes(pictures):
    result = load_with_numpy(pictures)
    pictures[0][...] = 0
    return result


def permute_by_loop(x, order):
    result = torch.empty_like(x)
    width = x.shape[3]
    for i, source in enumerate(order.tolist()):
        result[:, :, i // width, i % width] = x[:, :, source // width, source % width]
    return result


def permute_by_gather(x, order):
    flat = x.flatten(2)
    return flat.gather(2, order.expand_as(flat)).view(x.shape)


def permute_other_way(x, order):
    result = torch.empty_like(x.flatten(2))
    result[:, :, order] = x.flatten(2)
    return result.view(x.shape)


def permute_in_place(x, order):
    return x.copy_(permute_by_loop(x, order))


RIGHT = {
    "shapes": [[tuple(row) for row in SHAPES]],
    "ranges": [[[float(v) for v in row] for row in RANGES[:3]] + RANGES[3:]],
    "to_floats": [floats_with_numpy, floats_by_loop],
    "to_grey": [grey_by_slices, grey_by_einsum],
    "standardise": [standardise_by_loop, over((0, 2, 3))],
    "undo": [undo_by_loop, lambda x, m, s: undo_with(x, m, s, lambda p: p.round().clamp(0, 255).to(torch.uint8))],
    "load": [load_with_numpy, lambda pictures: load_with(pictures, bright)],
    "permute_pixels": [permute_by_loop, permute_by_gather],
}

WRONG = {
    "shapes": {
        "keep their order": changed(SHAPES, 1, [4, 3, 60, 100]),
        "the batch axis is gone": changed(SHAPES, 2, [1, 3, 100, 60]),
        "(N, H, W, C)": changed(SHAPES, 3, [2, 50, 60, 3]),
        "joins all the others": changed(SHAPES, 4, [72000]),
        "an axis of length 1": changed(SHAPES, 5, [4, 100, 60]),
        "4 entries": SHAPES[:4],
        "must be a": 5,
    },
    "ranges": {
        "twice its length": changed(RANGES, 2, [-0.5, 0.5]),
        "put 0 and 1": changed(RANGES, 3, [-1, 1]),
        "starts again at 0": changed(RANGES, 4, [1, 256]),
        "254 + 1 is 255": changed(RANGES, 4, [1, 255]),
        "divides first": changed(RANGES, 5, [5, 132]),
        "entry 0": changed(RANGES, 1, [0, 255]),
    },
    "to_floats": {
        "permute(2, 0, 1) moves the axes": lambda a: (
            torch.tensor(a).reshape((3 if a.ndim == 3 else 1, *a.shape[:2])).float() / 255
        ),
        "exchanged": lambda a: floats_with_numpy(np.swapaxes(a, 0, 1)),
        "divide by 255.": lambda a: floats_with_numpy(a) * 255,
        "a dark picture must stay dark": lambda a: floats_with_numpy(a) * 255 / float(a.max()),
        "a grey array": lambda a: floats_with_numpy(a) if a.ndim == 3 else torch.tensor(a / 255).float(),
        "raised RuntimeError": colour_floats,
        "it must be a tensor": lambda a: np.moveaxis(a, -1, 0) / 255,
        "float32": lambda a: floats_with_numpy(a).double(),
        "must have (3, 2, 4)": lambda a: floats_with_numpy(a)[None],
        "None": lambda a: None,
        "differ by up to": lambda a: torch.zeros_like(floats_with_numpy(a)),
    },
    "to_grey": {
        "plain mean": lambda x: x.mean(1, keepdim=True),
        "red and blue are exchanged": lambda x: grey_by_slices(x.flip(1)),
        "keep the channel axis": lambda x: grey_by_slices(x)[:, 0],
        "not into three": lambda x: grey_by_slices(x).expand(-1, 3, -1, -1),
        "changed its arguments": grey_in_place,
        "differ by up to": lambda x: torch.zeros_like(x[:, :1]),
        "single channel": lambda x: x[:, 1:2],
        "torch.uint8": lambda x: (grey_by_slices(x) * 255).to(torch.uint8),
    },
    "standardise": {
        "over the axes 0, 2 and 3 only": over((0, 1, 2, 3)),
        "by itself": over((2, 3)),
        "correction=0": over((0, 2, 3), 1),
        "now divide": lambda x: x - x.mean((0, 2, 3), keepdim=True),
        "not by the variance": lambda x: (
            (x - x.mean((0, 2, 3), keepdim=True)) / x.var((0, 2, 3), keepdim=True, correction=0)
        ),
        "a range of": lambda x: x * 2 - 1,
        "changed its arguments": standardise_in_place,
        "differ by up to": torch.zeros_like,
    },
    "undo": {
        "cut off": lambda x, m, s: undo_with(x, m, s, lambda p: p.clamp(0, 255).to(torch.uint8)),
        "wrapped around": lambda x, m, s: undo_with(x, m, s, lambda p: p.round().to(torch.uint8)),
        "neither rounded nor clamped": lambda x, m, s: undo_with(x, m, s, lambda p: p.to(torch.uint8)),
        "must be uint8": lambda x, m, s: undo_by_loop(x, m, s).float(),
        "units of pixel / 255": lambda x, m, s: (x * s[:, None, None] + m[:, None, None]).clamp(0, 1).round().byte(),
        "multiply by std first": lambda x, m, s: undo_by_loop(x + m[:, None, None], 0 * m, s),
        "changed its arguments": lambda x, m, s: (undo_by_loop(x, m, s), x.zero_())[0],
        "differ by up to": lambda x, m, s: torch.zeros_like(x, dtype=torch.uint8),
    },
    "load": {
        "convert to float before": lambda p: load_with(p, lambda x: (x + 40).float() / 255),
        "reshape tears the": lambda p: load_with(
            p, bright, lambda a: a if a.shape[0] == 3 else a.reshape(3, *a.shape[:2])
        ),
        "both faults": lambda p: load_with(
            p, lambda x: (x + 40) / 255, lambda a: a if a.shape[0] == 3 else a.reshape(3, *a.shape[:2])
        ),
        "clamp after adding": lambda p: load_with(p, lambda x: (x.float() + 40) / 255),
        "a number of bytes": lambda p: load_with(p, lambda x: (x / 255 + 40).clamp(max=1)),
        "the 40 is missing": lambda p: load_with(p, lambda x: x / 255),
        "changed its arguments": load_that_writes,
        "must have (1, 3, 1, 2)": lambda p: load_with(p, bright, lambda a: a),
        "None": lambda p: None,
    },
    "permute_pixels": {
        "this is the inverse": permute_other_way,
        "row by row": lambda x, order: permute_by_loop(x.transpose(2, 3), order).transpose(2, 3),
        "put the height and the width back": lambda x, order: permute_by_loop(x, order).flatten(2),
        "changed its arguments": permute_in_place,
        "differ by up to": lambda x, order: torch.zeros_like(x),
        "raised": lambda x, order: x[order],
        "height and width are exchanged": lambda x, order: permute_by_loop(x, order).reshape(
            *x.shape[:2], x.shape[3], x.shape[2]
        ),
        "must be torch.uint8": lambda x, order: permute_by_loop(x, order).float(),
    },
}
