"""Right and wrong answers to the exercises on back-propagation; see ``tests/test_exercises.py``."""

from __future__ import annotations

import torch
import torch.nn.functional as F


def spread(g, stride):
    wide = g.new_zeros((g.shape[0] - 1) * stride + 1, (g.shape[1] - 1) * stride + 1)
    wide[::stride, ::stride] = g
    return wide


def kernel_by_correlation(x, g, size, stride=1):
    """One convolution with the output gradient as a dilated kernel."""
    return F.conv2d(x[None, None], g[None, None], dilation=stride)[0, 0, : size[0], : size[1]]


def kernel_by_unfold(x, g, size, stride=1):
    windows = F.unfold(x[None, None], size, stride=stride)[0]
    return (windows @ g.flatten()).view(size)


def input_by_full_convolution(g, kernel, size, stride=1, turn=True):
    h, w = kernel.shape
    framed = F.pad(spread(g, stride), (w - 1, w - 1, h - 1, h - 1))
    read = F.conv2d(framed[None, None], (kernel.flip(0, 1) if turn else kernel)[None, None])[0, 0]
    result = torch.zeros(size, dtype=g.dtype)
    result[: read.shape[0], : read.shape[1]] = read
    return result


def input_by_fold(g, kernel, size, stride=1):
    columns = kernel.flatten()[:, None] * g.flatten()[None]
    return F.fold(columns[None], size, tuple(kernel.shape), stride=stride)[0, 0]


def input_by_loops(g, kernel, size, stride=1, add=True, start=0):
    result = torch.zeros(size, dtype=g.dtype)
    h, w = kernel.shape
    for r in range(g.shape[0]):
        for c in range(g.shape[1]):
            top, left = r * stride + start, c * stride + start
            stamp = g[r, c] * kernel
            if add:
                stamp = stamp + result[top : top + h, left : left + w]
            result[top : top + h, left : left + w] = stamp
    return result


def max_pool_by_unfold(x, k, stride):
    windows = x.unfold(0, k, stride).unfold(1, k, stride)
    rows, columns = windows.shape[:2]
    flat = windows.reshape(rows, columns, k * k)
    values, place = flat.amax(-1), flat.argmax(-1)
    row = torch.arange(rows)[:, None] * stride + place // k
    return values, row * x.shape[1] + torch.arange(columns) * stride + place % k


def max_pool_by_lists(x, k, stride, last=False, local=False):
    height, width = x.shape
    values, indices = [], []
    for top in range(0, height - k + 1, stride):
        values.append([])
        indices.append([])
        for left in range(0, width - k + 1, stride):
            places = [(top + i, left + j) for i in range(k) for j in range(k)]
            best = max(reversed(places) if last else places, key=lambda p: x[p].item())
            values[-1].append(x[best].item())
            indices[-1].append(places.index(best) if local else best[0] * width + best[1])
    return torch.tensor(values, dtype=x.dtype), torch.tensor(indices)


def max_pool_that_spoils_its_input(x, k, stride):
    result = max_pool_by_unfold(x, k, stride)
    x[0, 0] = -100
    return result


def max_backward_by_loop(g, indices, size, add=True):
    result = torch.zeros(size, dtype=g.dtype)
    for value, index in zip(g.flatten().tolist(), indices.flatten().tolist(), strict=True):
        place = divmod(index, size[1])
        result[place] = value + (result[place] if add else 0)
    return result


def max_backward_by_one_hot(g, indices, size):
    return (g.flatten() @ F.one_hot(indices.flatten(), size[0] * size[1]).to(g.dtype)).view(size)


def average_by_loops(g, k, stride, size, share=None):
    return input_by_loops(g, torch.full((k, k), share or 1 / k**2, dtype=g.dtype), size, stride)


def average_by_fold(g, k, stride, size):
    return input_by_fold(g, torch.ones(k, k, dtype=g.dtype), size, stride) / k**2


def conv_by_transposed(x, weight, g):
    dw = torch.stack([F.conv2d(x.transpose(0, 1), g[:, k : k + 1].transpose(0, 1)) for k in range(len(weight))])
    return F.conv_transpose2d(g, weight), dw[:, :, 0], g.flatten(2).sum((0, 2))


def conv_by_unfold(x, weight, g):
    columns, flat = F.unfold(x, weight.shape[2:]), g.flatten(2)
    dw = torch.einsum("nkp,nqp->kq", flat, columns).view(weight.shape)
    dx = F.fold(weight.flatten(1).T @ flat, x.shape[2:], weight.shape[2:])
    return dx, dw, flat.sum((0, 2))


def conv_by_autograd(x, weight, g):
    bias = torch.zeros(len(weight), dtype=x.dtype, requires_grad=True)
    x, weight = x.clone().requires_grad_(), weight.clone().requires_grad_()
    F.conv2d(x, weight, bias).backward(g)
    return x.grad, weight.grad, bias.grad


def broken(x, weight, g):
    """The text of the notebook."""
    h, w = weight.shape[2:]
    dx = F.conv2d(g, weight.transpose(0, 1), padding=(h - 1, w - 1))
    dw = F.conv2d(x[:1].transpose(0, 1), g[:1].transpose(0, 1)).transpose(0, 1)
    db = g.mean((0, 2, 3))
    return dx, dw, db


def overlaps_by_reading(n, k, stride, padding=0):
    length = (n - 1) * stride + k
    return [sum(i * stride <= place < i * stride + k for i in range(n)) for place in range(padding, length - padding)]


def overlaps_by_gradient(n, k, stride, padding=0):
    row = torch.zeros(1, 1, (n - 1) * stride + k - 2 * padding, requires_grad=True)
    F.conv1d(row, torch.ones(1, 1, k), stride=stride, padding=padding).sum().backward()
    return row.grad.flatten().int().tolist()


BOXES = [[2, 4, 1, 3], [0, 1, 3, 5], [1, 5, 0, 4], [2, 3, 4, 5], [3, 3, 5, 5]]

RIGHT = {
    "lands": [BOXES, [tuple(box) for box in BOXES]],
    "kernel_gradient": [kernel_by_correlation, kernel_by_unfold],
    "input_gradient": [input_by_full_convolution, input_by_fold, input_by_loops],
    "max_pool": [max_pool_by_unfold, max_pool_by_lists],
    "max_pool_backward": [max_backward_by_loop, max_backward_by_one_hot],
    "average_pool_backward": [average_by_loops, average_by_fold],
    "conv_backward": [conv_by_transposed, conv_by_unfold, conv_by_autograd],
    "overlaps": [overlaps_by_reading, overlaps_by_gradient],
    "even": [
        [True, False, True, True, False],
        [k % stride == 0 for k, stride in ((6, 2), (7, 3), (8, 4), (9, 3), (9, 2))],
    ],
}

WRONG = {
    "lands": {
        "3 pixels end at 4": [[2, 5, 1, 4], *BOXES[1:]],
        "no pixel has row −1": [BOXES[0], [-1, 1, 3, 5], *BOXES[2:]],
        "three weights span five": [*BOXES[:2], [1, 3, 0, 2], *BOXES[3:]],
        "to the winner alone": [*BOXES[:4], [2, 3, 4, 5]],
        "is not right": [[0, 5, 0, 5]] * 5,
        "must have 5": BOXES[:4],
    },
    "kernel_gradient": {
        "here they are one apart": lambda x, g, size, stride=1: kernel_by_correlation(x, g, size, 1),
        "the kernel gradient is not turned": lambda *case: kernel_by_unfold(*case).flip(0, 1),
        "rows and columns are swapped": lambda *case: kernel_by_unfold(*case).T,
        "do not take the mean": lambda x, g, size, stride=1: kernel_by_unfold(x, g / g.numel(), size, stride),
        "must have (1, 3)": lambda x, g, size, stride=1: F.conv2d(x[None, None], g[None, None])[0, 0, :, :2],
        "must have (3, 3)": lambda x, g, size, stride=1: F.conv2d(x[None, None], g[None, None], dilation=stride)[0, 0],
        "each window counts g[r, c] times": lambda x, g, size, stride=1: kernel_by_unfold(x, g * 0 + 1, size, stride),
        "must be torch.float64": lambda *case: kernel_by_unfold(*case).float(),
        "changed its arguments": lambda x, g, size, stride=1: kernel_by_unfold(x.mul_(2), g, size, stride) / 2,
        "(NoneType)": lambda x, g, size, stride=1: None,
        "got      [[0, 0, 0]]": lambda x, g, size, stride=1: torch.zeros(size, dtype=x.dtype),
    },
    "input_gradient": {
        "turn the kernel; if you add": lambda *case: input_by_full_convolution(*case, turn=False),
        "overwrite earlier ones": lambda *case: input_by_loops(*case, add=False),
        "here they are one apart": lambda g, kernel, size, stride=1: input_by_loops(g, kernel, size, 1),
        "that no window reads": lambda g, kernel, size, stride=1: F.conv_transpose2d(
            g[None, None], kernel[None, None], stride=stride
        )[0, 0],
        "raised RuntimeError": lambda *case: input_by_loops(*case, start=1),
        "must be torch.float64": lambda *case: input_by_fold(*case).float(),
        "a pixel receives g times the weight": lambda g, kernel, size, stride=1: input_by_fold(
            g, torch.ones_like(kernel), size, stride
        ),
        "the sign is wrong": lambda *case: -input_by_fold(*case),
        "changed its arguments": lambda g, kernel, size, stride=1: input_by_fold(g, kernel.neg_(), size, stride).neg(),
        "must be a tensor": lambda *case: input_by_fold(*case).tolist(),
        "got      [[0, 0, 0, 0, 0]]": lambda g, kernel, size, stride=1: torch.zeros(size, dtype=g.dtype),
    },
    "max_pool": {
        "counted in the window": lambda *case: max_pool_by_lists(*case, local=True),
        "the first pixel in reading order": lambda *case: max_pool_by_lists(*case, last=True),
        "a row has W": lambda x, k, stride: (
            max_pool_by_unfold(x, k, stride)[0],
            max_pool_by_unfold(x, k, stride)[1] // x.shape[1] * x.shape[0]
            + max_pool_by_unfold(x, k, stride)[1] % x.shape[1],
        ),
        "here they are k apart": lambda x, k, stride: max_pool_by_unfold(x, k, k),
        "entry 1: the result is torch.int32": lambda *case: (
            max_pool_by_unfold(*case)[0],
            max_pool_by_unfold(*case)[1].int(),
        ),
        "must be a tuple": lambda *case: max_pool_by_unfold(*case)[0],
        "entry 1: the values differ": lambda *case: (max_pool_by_unfold(*case)[0], max_pool_by_unfold(*case)[1] + 1),
        "entry 0: the values differ": lambda *case: (-max_pool_by_unfold(*case)[0], max_pool_by_unfold(*case)[1]),
        "changed its arguments": max_pool_that_spoils_its_input,
        "−3 is less than 1": lambda x, k, stride: (
            x.flatten()[max_pool_by_unfold(x.abs(), k, stride)[1]],
            max_pool_by_unfold(x.abs(), k, stride)[1],
        ),
    },
    "max_pool_backward": {
        "overwrites the others": lambda *case: max_backward_by_loop(*case, add=False),
        "the winner receives g, not 1": lambda g, indices, size: max_backward_by_loop(g * 0 + 1, indices, size),
        "the shape of the map": lambda *case: max_backward_by_loop(*case).flatten(),
        "rows and columns are swapped": lambda g, indices, size: max_backward_by_loop(g, indices, size[::-1]).T,
        "dtype=g.dtype": lambda *case: max_backward_by_loop(*case).double(),
        "got      [[0, 0, 0], [0, 0, 0]]": lambda g, indices, size: torch.zeros(size, dtype=g.dtype),
        "(NoneType)": lambda g, indices, size: None,
        "changed its arguments": lambda g, indices, size: max_backward_by_loop(g.mul_(2), indices, size) / 2,
    },
    "average_pool_backward": {
        "here each gets all of g": lambda *case: average_by_loops(*case, share=1),
        "not 1/k": lambda g, k, stride, size: average_by_loops(g, k, stride, size, share=1 / k),
        "overwrite earlier ones": lambda g, k, stride, size: input_by_loops(
            g, torch.full((k, k), 1 / k**2, dtype=g.dtype), size, stride, add=False
        ),
        "that no window reads": lambda g, k, stride, size: F.conv_transpose2d(
            g[None, None], torch.full((1, 1, k, k), 1 / k**2, dtype=g.dtype), stride=stride
        )[0, 0],
        "must be torch.float32": lambda *case: average_by_loops(*case).double(),
        "must be torch.float64": lambda *case: average_by_loops(*case).float(),
        "(NoneType)": lambda g, k, stride, size: None,
        "changed its arguments": lambda g, k, stride, size: average_by_loops(g.div_(2), k, stride, size) * 2,
    },
    "conv_backward": {
        "all three mistakes": broken,
        "turn it with .flip(2, 3)": lambda x, weight, g: (broken(x, weight, g)[0], *conv_by_unfold(x, weight, g)[1:]),
        "only the first image": lambda x, weight, g: (
            conv_by_unfold(x, weight, g)[0],
            broken(x, weight, g)[1],
            g.sum((0, 2, 3)),
        ),
        "is the sum, not the mean": lambda x, weight, g: (*conv_by_unfold(x, weight, g)[:2], g.mean((0, 2, 3))),
        "do not take the mean": lambda x, weight, g: (
            conv_by_unfold(x, weight, g)[0],
            conv_by_unfold(x, weight, g)[1] / len(x),
            g.sum((0, 2, 3)),
        ),
        "along both axes": lambda x, weight, g: (
            F.conv_transpose2d(g, weight.flip(3)),
            *conv_by_unfold(x, weight, g)[1:],
        ),
        "as well as over the places": lambda x, weight, g: (*conv_by_unfold(x, weight, g)[:2], g.sum((2, 3))),
        "2 entries": lambda x, weight, g: conv_by_unfold(x, weight, g)[:2],
        "entry 0: the result is torch.float64": lambda x, weight, g: tuple(
            t.double() for t in conv_by_unfold(x, weight, g)
        ),
        "changed its arguments": lambda x, weight, g: conv_by_unfold(x, weight, g.neg_().neg_().mul_(1.5) / 1.5),
    },
    "overlaps": {
        "the padding is missing": lambda n, k, stride, padding=0: overlaps_by_reading(n, k, stride),
        "cuts places off *both* ends": lambda n, k, stride, padding=0: overlaps_by_reading(n, k, stride)[padding:],
        "each place counts at most one": lambda *case: [min(1, count) for count in overlaps_by_reading(*case)],
        "return whole numbers": lambda *case: [count / 1 for count in overlaps_by_reading(*case)],
        "the last stamp hangs over": lambda n, k, stride, padding=0: overlaps_by_reading(n, k, stride)[: n * stride][
            padding : n * stride - padding
        ],
        "must be a list": lambda *case: torch.tensor(overlaps_by_reading(*case)),
        "smaller, not larger": lambda n, k, stride, padding=0: (
            [0] * padding + overlaps_by_reading(n, k, stride) + [0] * padding
        ),
        "raised": lambda n, k, stride, padding=0: overlaps_by_reading(n, k, stride) / 1,
    },
    "even": {
        "the even ones were asked for": [False, True, False, False, True],
        "compare the kernel with its stride": [True, False, True, False, False],
        "overlapping alone is not even": [True, True, True, True, True],
        "no multiple of 3": [True, True, True, True, False],
        "is not right": [False] * 5,
        "must have 5": [True, False, True, True],
    },
}
