"""Right and wrong answers to the exercises on channels; see ``tests/test_exercises.py``."""

from __future__ import annotations

import math

import numpy as np
import torch
from torch import nn


def conv1x1_by_matmul(x, weight, bias):
    n, c, h, w = x.shape
    return (weight @ x.reshape(n, c, h * w) + bias[:, None]).reshape(n, -1, h, w)


def conv1x1_in_loops(x, weight, bias):
    result = x.new_zeros(x.shape[0], len(weight), *x.shape[2:])
    for k, row in enumerate(weight):
        result[:, k] += bias[k]
        for c, factor in enumerate(row):
            result[:, k] += factor * x[:, c]
    return result


def conv1x1_channels_last(x, weight, bias):
    return (x.permute(0, 2, 3, 1) @ weight.T + bias).permute(0, 3, 1, 2)


def conv1x1_that_writes_into_its_input(x, weight, bias):
    result = conv1x1_by_matmul(x, weight, bias)
    x.zero_()
    return result


def conv1x1_reshaped_wrongly(x, weight, bias):
    """Put the pixels first and forget to put them back."""
    n, _, h, w = x.shape
    return (x.permute(0, 2, 3, 1) @ weight.T + bias).reshape(n, len(weight), h, w)


def layer(x, weight, bias, stride, padding, dilation, groups, **parts):
    """The layer, one tap of the kernel after the other, with parts to get wrong."""
    x = np.pad(x, ((0, 0), (padding[0],) * 2, (padding[1],) * 2), constant_values=parts.get("fill", 0))
    k, channels, h, w = weight.shape
    spans = [d * (m - 1) + 1 for d, m in zip(dilation, (h, w), strict=True)]
    rows, columns = ((n - m) // s + 1 for n, m, s in zip(x.shape[1:], spans, stride, strict=True))
    result = np.zeros((k, rows, columns))
    for g in range(groups):
        mine, theirs = slice(g * k // groups, (g + 1) * k // groups), slice(g * channels, (g + 1) * channels)
        for i in range(h):
            for j in range(w):
                part = x[theirs, i * dilation[0] :, j * dilation[1] :]
                part = part[:, :: stride[0], :: stride[1]][:, :rows, :columns]
                result[mine] += np.tensordot(weight[mine, :, i, j], part, axes=1)
    if bias is not None:
        result += parts.get("sign", 1) * bias[:, None, None]
    return result


def layer_by_einsum(x, weight, bias, stride, padding, dilation, groups):
    """The weights spread out by the dilation, and all windows at once."""
    x = np.pad(x, ((0, 0), (padding[0],) * 2, (padding[1],) * 2))
    k, channels, h, w = weight.shape
    spread = np.zeros((k, channels, (h - 1) * dilation[0] + 1, (w - 1) * dilation[1] + 1))
    spread[:, :, :: dilation[0], :: dilation[1]] = weight
    windows = np.lib.stride_tricks.sliding_window_view(x, spread.shape[2:], axis=(1, 2))
    windows = windows[:, :: stride[0], :: stride[1]].reshape(groups, channels, -1, *spread.shape[2:])
    spread = spread.reshape(groups, -1, *spread.shape[1:])
    height = (x.shape[1] - spread.shape[3]) // stride[0] + 1
    result = np.einsum("gkcij,gcpij->gkp", spread, windows).reshape(k, height, -1)
    return result if bias is None else result + bias[:, None, None]


def layer_that_pads_in_place(x, weight, *rest):
    result = layer(x, weight, *rest)
    x[:, 0] = 0
    return result


def layer_that_forgets_none(x, weight, bias, *rest):
    return layer(x, weight, None, *rest) + bias[:, None, None]


def layer_with_a_size_without_dilation(x, weight, bias, stride, padding, dilation, groups):
    """Compute the size with the kernel, not with its span; where windows stand out, leave zeros."""
    result = layer(x, weight, bias, stride, padding, dilation, groups)
    height, width = (
        (n + 2 * p - k) // s + 1 for n, p, k, s in zip(x.shape[1:], padding, weight.shape[2:], stride, strict=True)
    )
    wrong = np.zeros((len(weight), height, width))
    wrong[:, : result.shape[1], : result.shape[2]] = result
    return wrong


def layer_square(x, weight, bias, stride, padding, dilation, groups):
    """Right as long as every pair holds the same number twice."""
    return layer(x, weight, bias, (stride[0],) * 2, (padding[0],) * 2, (dilation[0],) * 2, groups)


def layer_without_groups(x, weight, bias, stride, padding, dilation, groups):
    """In loops, with all channels in the window: where a kernel has one slice, NumPy repeats it."""
    result = np.zeros(layer(x, weight, bias, stride, padding, dilation, groups).shape)
    x = np.pad(x, ((0, 0), (padding[0],) * 2, (padding[1],) * 2))
    for k, r, c in np.ndindex(result.shape):
        window = x[:, r * stride[0] :: dilation[0], c * stride[1] :: dilation[1]]
        window = window[:, : weight.shape[2], : weight.shape[3]]
        result[k, r, c] = (window * weight[k]).sum() + (0 if bias is None else bias[k])
    return result


def layer_groups_in_turn(x, weight, bias, stride, padding, dilation, groups):
    """Send kernel k to group k modulo groups."""
    order = np.argsort(np.arange(len(weight)) % groups, kind="stable")
    maps = layer(x, weight[order], None if bias is None else bias[order], stride, padding, dilation, groups)
    result = np.empty_like(maps)
    result[order] = maps
    return result


def stack(layers, height, width):
    """Recursion instead of a loop."""
    if not layers:
        return 0, 0
    c, k, n, s, p = layers[0]
    height, width = ((x + 2 * p - n + s) // s for x in (height, width))
    rest = stack(layers[1:], height, width)
    return c * k * n**2 + k + rest[0], c * k * n**2 * height * width + rest[1]


def stack_square(layers, height, width):
    return stack(layers, height, height)


def stack_emptying_the_list(layers, height, width):
    result = stack(layers, height, width)
    layers.clear()
    return result


def widest_by_formula(channels, kernel, budget):
    """Solve k²m² + 2Cm = budget with whole numbers."""
    return min(channels, (math.isqrt(channels**2 + kernel**2 * budget) - channels) // kernel**2)


def widest_with_modules(channels, kernel, budget):
    """Count one narrow and one wide block with PyTorch's layers, and search by halves."""

    def cost(m):
        shapes = [(channels, m, 1), (m, m, kernel), (m, channels, 1)]
        return sum(nn.Conv2d(*shape, bias=False, device="meta").weight.numel() for shape in shapes)

    low, high = 0, channels
    while low < high:
        middle = (low + high + 1) // 2
        low, high = (middle, high) if cost(middle) <= budget else (low, middle - 1)
    return low


WEIGHTS = [(16, 3, 5, 5), (32, 16, 3, 3), (8, 32, 1, 1), (12, 8, 1, 5)]
MAPS = [(8, 16, 28, 28), (8, 32, 28, 28), (8, 8, 28, 28), (8, 12, 14, 24)]

RIGHT = {
    "weight_shapes": [[list(s) for s in WEIGHTS], tuple(WEIGHTS)],
    "map_shapes": [[torch.Size(s) for s in MAPS]],
    "conv1x1": [conv1x1_by_matmul, conv1x1_in_loops, conv1x1_channels_last],
    "conv2d": [layer, layer_by_einsum],
    "stack_cost": [stack],
    "widest": [widest_by_formula, widest_with_modules],
    "in_channels": [(3, 16, 16, 8, 40, 12)],
}

WRONG = {
    "weight_shapes": {
        "the kernels come first": [(3, 16, 5, 5), (16, 32, 3, 3), (32, 8, 1, 1), (8, 12, 1, 5)],
        "a slice for every input channel": [(16, 5, 5), (32, 3, 3), (8, 1, 1), (12, 1, 5)],
        "1 high and 5 wide": [*WEIGHTS[:3], (12, 8, 5, 1)],
        "it must have 4": WEIGHTS[:3],
        "entry 2": [*WEIGHTS[:2], (8, 32, 3, 3), WEIGHTS[3]],
    },
    "map_shapes": {
        "the height that the stride halves": [*MAPS[:3], (8, 12, 28, 12)],
        "row 1 has padding 1": [MAPS[0], (8, 32, 26, 26), (8, 8, 26, 26), (8, 12, 13, 22)],
        "row 0 has no padding": [(8, 16, 32, 32), (8, 32, 32, 32), (8, 8, 32, 32), (8, 12, 16, 28)],
        "takes 4 columns away": [*MAPS[:3], (8, 12, 14, 28)],
        "the first number is the batch": [s[1:] for s in MAPS],
        "entry 0": [(8, 48, 28, 28), *MAPS[1:]],
    },
    "conv1x1": {
        "the bias is missing": lambda x, weight, bias: conv1x1_by_matmul(x, weight, 0 * bias),
        "the weights are transposed": lambda x, weight, bias: conv1x1_by_matmul(
            x, weight.T if len(weight) == x.shape[1] else weight, bias
        ),
        "add it once": lambda x, weight, bias: conv1x1_by_matmul(x, weight, x.shape[1] * bias),
        "it is added": lambda x, weight, bias: conv1x1_by_matmul(x, weight, -bias),
        "they are added": lambda x, weight, bias: conv1x1_by_matmul(x, weight / x.shape[1], bias),
        "add (+=) instead of": lambda x, weight, bias: conv1x1_by_matmul(x[:, -1:], weight[:, -1:], bias),
        "over the rows of the image": lambda x, weight, bias: (
            (torch.einsum("kh,nchw->nckw", weight, x) + bias[:, None, None])
            if x.shape[1] == x.shape[2] == len(weight)
            else conv1x1_by_matmul(x, weight, bias)
        ),
        "changed its arguments": conv1x1_that_writes_into_its_input,
        "the values differ": conv1x1_reshaped_wrongly,
        "but it must have": lambda x, weight, bias: x[:, :1],
        "but it must be torch.float64": lambda x, weight, bias: conv1x1_by_matmul(x, weight, bias).float(),
        "(NoneType), but it must be a tensor": lambda x, weight, bias: None,
        "raised RuntimeError": lambda x, weight, bias: weight @ x,
    },
    "conv2d": {
        "begins with bias[k]": lambda x, w, b, *rest: layer(x, w, None, *rest),
        "an output channel has one": lambda x, w, b, *rest: layer(x, w, None if b is None else b * w.shape[1], *rest),
        "use += instead of =": lambda x, w, b, *rest: layer(x[w.shape[1] - 1 :: w.shape[1]], w[:, -1:], b, *rest),
        "turned by 180°": lambda x, w, b, *rest: layer(x, w[:, :, ::-1, ::-1], b, *rest),
        "the padding is missing": lambda x, w, b, s, p, *rest: layer(x, w, b, s, (0, 0), *rest),
        "starts at row r": lambda x, w, b, s, p, *rest: layer(x, w, b, (1, 1), p, *rest),
        "stride is (along the height": lambda x, w, b, s, p, *rest: layer(x, w, b, s[::-1], p, *rest),
        "padding is (above and below": lambda x, w, b, s, p, *rest: layer(x, w, b, s, p[::-1], *rest),
        "they are added": lambda x, w, b, *rest: layer(x, w / w.shape[1], b, *rest),
        "the dilation is missing": lambda x, w, b, s, p, d, g: layer(x, w, b, s, p, (1, 1), g),
        "dilation is (along the height": lambda x, w, b, s, p, d, g: layer(x, w, b, s, p, d[::-1], g),
        "one pixel too many": lambda x, w, b, s, p, d, g: layer(x, w, b, s, p, (d[0] + 1, d[1] + 1), g),
        "the channels of the first group": lambda x, w, b, s, p, d, g: layer(x[: w.shape[1]], w, b, s, p, d, 1),
        "dealt out in turn": layer_groups_in_turn,
        "the result has shape": layer_with_a_size_without_dilation,
        "case 4 of": layer_square,
        "the groups are missing": layer_without_groups,
        "raised ValueError": lambda x, w, *rest: layer(x, w, *rest) if rest[-1] == 1 else w[:, :, 0, 0] @ x[:, 0],
        "expected": lambda x, w, b, *rest: layer(x, w, b, *rest, fill=1),
        "the values differ": lambda x, w, b, *rest: layer(x, w, b, *rest, sign=-1),
        "raised TypeError": layer_that_forgets_none,
        "changed its arguments": layer_that_pads_in_place,
        "it must be a NumPy array": lambda *arguments: torch.tensor(layer(*arguments)),
        "but it must be float64": lambda *arguments: layer(*arguments).astype(np.float32),
        "but it must have": lambda *arguments: layer(*arguments)[0],
        "(NoneType)": lambda *arguments: None,
        "differ by up to": lambda *arguments: 0 * layer(*arguments),
    },
    "stack_cost": {
        "the biases are not counted": lambda layers, h, w: (
            stack(layers, h, w)[0] - sum(k for _, k, *_ in layers),
            stack(layers, h, w)[1],
        ),
        "height and width change on the way": lambda layers, h, w: (
            stack(layers, h, w)[0],
            sum(stack([one], h, w)[1] for one in layers),
        ),
        "only the last layer": lambda layers, h, w: (
            stack(layers[-1:], h, w)[0],
            stack(layers, h, w)[1] - stack(layers[:-1], h, w)[1],
        ),
        "the padding is missing": lambda layers, h, w: (
            stack(layers, h, w)[0],
            stack([(c, k, n, s, 0) for c, k, n, s, _ in layers], h, w)[1],
        ),
        "the stride is missing": lambda layers, h, w: (
            stack(layers, h, w)[0],
            stack([(c, k, n, 1, p) for c, k, n, _, p in layers], h, w)[1],
        ),
        "entry 1": stack_square,
        "changed its arguments": stack_emptying_the_list,
        "it must be a whole number (int)": lambda layers, h, w: tuple(map(float, stack(layers, h, w))),
        "but it must be a tuple": lambda layers, h, w: stack(layers, h, w)[0],
        "entry 0": lambda layers, h, w: stack(layers, h, w)[::-1],
    },
    "widest": {
        "≤, not <": lambda c, k, budget: widest_by_formula(c, k, budget - 1),
        "back up is missing": lambda c, k, budget: max(m for m in range(c + 1) if c * m + (k * m) ** 2 <= budget),
        "k² weights": lambda c, k, budget: max(m for m in range(c + 1) if 2 * c * m + k * m * m <= budget),
        "no bias here": lambda c, k, budget: max(
            m for m in range(c + 1) if m == 0 or 2 * c * m + (k * m) ** 2 + 2 * m + c <= budget
        ),
        "not become wider": lambda c, k, budget: (math.isqrt(c**2 + k**2 * budget) - c) // k**2,
        "not even m = 1": lambda c, k, budget: max(1, widest_by_formula(c, k, budget)),
        "one too many": lambda c, k, budget: min(c, widest_by_formula(c, k, budget) + 1),
        "m channels in and m out": lambda c, k, budget: max(m for m in range(c + 1) if 2 * c * m + k * k * m <= budget),
        "it must be a whole number (int)": lambda c, k, budget: float(widest_by_formula(c, k, budget)),
        "but it must be a number": lambda c, k, budget: widest_by_formula(c, k, budget) or None,
        "expected": lambda c, k, budget: c // 4,
    },
    "in_channels": {
        "the network as it stands": [1, 16, 16, 16, 24, 10],
        "the images have three channels": [1, 16, 16, 8, 40, 12],
        "one behind the other: 16 + 24": [3, 16, 16, 8, 24, 12],
        "it joins": [3, 16, 16, 8, 16, 12],
        "what the squeeze made": [3, 16, 16, 16, 40, 12],
        "the mean over height and width": [3, 16, 16, 8, 40, 768],
        "it reads 12": [3, 16, 16, 8, 40, 10],
        "it must have 6": [3, 16, 16, 8, 40],
        "entry 4": [3, 16, 16, 8, 48, 12],
    },
}
