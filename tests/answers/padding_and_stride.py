"""Answers to the exercises on padding, stride and dilation: right ones written differently, and plausible wrong ones."""

from __future__ import annotations

import math

import numpy as np
import torch
import torch.nn.functional as F

# 2. output_size


def size_by_counting(n, k, s, p, d):
    span = d * (k - 1) + 1
    return len(range(0, n + 2 * p - span + 1, s))


def size_by_floor(n, k, s, p, d):
    return math.floor((n + 2 * p - d * (k - 1) - 1) / s + 1)


def size_rounded(n, k, s, p, d):
    return round((n + 2 * p - d * (k - 1) - 1) / s) + 1


# 3. padding_for


def padding_by_trial(wanted, n, k, s, d):
    for p in range(500):
        if n + 2 * p >= d * (k - 1) + 1 and size_by_counting(n, k, s, p, d) == wanted:
            return p
    return None


def padding_raises(wanted, n, k, s, d):
    p = padding_by_trial(wanted, n, k, s, d)
    if p is None:
        raise ValueError("no padding fits")
    return p


# 4. pad2d


def pad_by_joining(image, p, mode):
    if p == 0:
        return image.clone()
    for axis in (0, 1):
        n = image.shape[axis]
        if mode == "zeros":
            before = after = torch.zeros_like(image.narrow(axis, 0, 1)).repeat_interleave(p, axis)
        elif mode == "replicate":
            before = image.narrow(axis, 0, 1).repeat_interleave(p, axis)
            after = image.narrow(axis, n - 1, 1).repeat_interleave(p, axis)
        elif mode == "circular":
            before, after = image.narrow(axis, n - p, p), image.narrow(axis, 0, p)
        else:
            before, after = image.narrow(axis, 1, p).flip(axis), image.narrow(axis, n - 1 - p, p).flip(axis)
        image = torch.cat([before, image, after], axis)
    return image


def pad_by_numpy(image, p, mode):
    name = {"zeros": "constant", "reflect": "reflect", "replicate": "edge", "circular": "wrap"}[mode]
    return torch.from_numpy(np.pad(image.numpy(), p, mode=name))


def pad_symmetric(image, p, mode):
    name = {"zeros": "constant", "reflect": "symmetric", "replicate": "edge", "circular": "wrap"}[mode]
    return torch.from_numpy(np.pad(image.numpy(), p, mode=name))


def pad_in_float32(image, p, mode):
    result = torch.zeros(image.shape[0] + 2 * p, image.shape[1] + 2 * p)
    result[:] = pad_by_joining(image, p, mode)
    return result


def pad_square_only(image, p, mode):
    n = image.shape[0]
    places = torch.arange(-p, n + p)
    index = {
        "replicate": places.clamp(0, n - 1),
        "circular": places % n,
        "reflect": (n - 1) - (n - 1 - places.abs()).abs(),
    }
    return pad_by_joining(image, p, mode) if mode == "zeros" else image[index[mode]][:, index[mode]]


def pad_that_wipes_its_input(image, p, mode):
    result = pad_by_joining(image, p, mode)
    image.zero_()
    return result


def pad_with_ones(image, p, mode):
    return F.pad(image, (p,) * 4, value=1.0) if mode == "zeros" else pad_by_joining(image, p, mode)


# 5. correlate


def correlate_by_slices(image, kernel, s, d):
    (height, width), (h, w) = image.shape, kernel.shape
    rows, columns = (height - d * (h - 1) - 1) // s + 1, (width - d * (w - 1) - 1) // s + 1
    total = torch.zeros(rows, columns, dtype=image.dtype)
    for i in range(h):
        for j in range(w):
            part = image[i * d :, j * d :][::s, ::s][:rows, :columns]
            total = total + kernel[i, j] * part
    return total


def correlate_by_windows(image, kernel, s, d):
    h, w = kernel.shape
    spread = torch.zeros(d * (h - 1) + 1, d * (w - 1) + 1, dtype=image.dtype)
    spread[::d, ::d] = kernel
    windows = image.unfold(0, spread.shape[0], s).unfold(1, spread.shape[1], s)
    return (windows * spread).sum((2, 3))


def correlate_square_size(image, kernel, s, d):
    right = correlate_by_slices(image, kernel, s, d)
    result = torch.zeros(right.shape[0], right.shape[0], dtype=image.dtype)
    n = min(result.shape[1], right.shape[1])
    result[:, :n] = right[:, :n]
    return result


def correlate_off_by_one(image, kernel, s, d):
    return correlate_by_slices(image, kernel, s, d)[:-1]


def correlate_scaling_its_kernel(image, kernel, s, d):
    result = correlate_by_slices(image, kernel, s, d)
    kernel *= 2
    return result


def correlate_with_abs(image, kernel, s, d):
    return correlate_by_slices(image, kernel, s, d).clamp(min=0)


def correlate_out_of_range(image, kernel, s, d):
    height, width = ((n - k) // s + 1 for n, k in zip(image.shape, kernel.shape, strict=True))
    result = image.new_zeros(height, width)
    for r in range(height):
        for c in range(width):
            for i in range(kernel.shape[0]):
                for j in range(kernel.shape[1]):
                    result[r, c] += image[r * s + i * d, c * s + j * d] * kernel[i, j]
    return result


RIGHT = {
    "sizes": [[24, 16, 28, 33, 6], (24, 16, 28, 33, 6)],
    "output_size": [size_by_counting, size_by_floor],
    "padding_for": [padding_by_trial],
    "paddings": [[2, 1, 2, 1], (2, 1, 2, 1)],
    "pad2d": [pad_by_joining, pad_by_numpy],
    "correlate": [correlate_by_slices, correlate_by_windows],
    "dilations": [[1, 3, 9], (1, 3, 9)],
}

WRONG = {
    "sizes": {
        "add 1 to the number of steps": [23, 15, 27, 32, 5],
        "round down, not up": [24, 17, 28, 34, 6],
        "the dilation is missing": [24, 16, 30, 33, 7],
        "not d·k": [24, 16, 27, 33, 5],
        "added on both sides": [24, 16, 28, 32, 5],
        "the padding is missing": [24, 15, 28, 32, 5],
        "entry 3": [24, 16, 28, 34, 6],
        "it must be a whole number (int)": [24, 16.5, 28, 33, 6],
        "it must have 5": [24, 16, 28, 33],
    },
    "output_size": {
        "add 1 to the number of steps": lambda n, k, s, p, d: (n + 2 * p - d * (k - 1) - 1) // s,
        "it must be a whole number (int)": lambda n, k, s, p, d: (n + 2 * p - d * (k - 1) - 1) / s + 1,
        "no matter how large the rest": lambda n, k, s, p, d: math.ceil((n + 2 * p - d * (k - 1) - 1) / s) + 1,
        "the dilation is missing": lambda n, k, s, p, d: (n + 2 * p - k) // s + 1,
        "not d·k": lambda n, k, s, p, d: (n + 2 * p - d * k) // s + 1,
        "added on both sides": lambda n, k, s, p, d: (n + p - d * (k - 1) - 1) // s + 1,
        "the padding is missing": lambda n, k, s, p, d: (n - d * (k - 1) - 1) // s + 1,
        "divide by the stride before": lambda n, k, s, p, d: (n + 2 * p - d * (k - 1)) // s,
        "expected": size_rounded,
        "the result is None (NoneType), but it must be a number": lambda n, k, s, p, d: None,
        "raised TypeError": lambda n, k: n - k + 1,
    },
    "padding_for": {
        "here another size may be wanted, with any stride": lambda wanted, n, k, s, d: (k - 1) // 2,
        "d·(k − 1)/2 keeps the size at stride 1": lambda wanted, n, k, s, d: d * (k - 1) // 2,
        "the floor allows a rest": lambda wanted, n, k, s, d: next(
            (p for p in range(500) if n + 2 * p - d * (k - 1) - 1 == (wanted - 1) * s), None
        ),
        "return None when the size": lambda wanted, n, k, s, d: max(
            0, -((n - (wanted - 1) * s - d * (k - 1) - 1) // 2)
        ),
        "the dilation is missing": lambda wanted, n, k, s, d: padding_by_trial(wanted, n, k, s, 1),
        "a padding cannot be negative": lambda wanted, n, k, s, d: next(
            (p for p in range(-300, 300) if (n + 2 * p - d * (k - 1) - 1) // s + 1 == wanted), None
        ),
        "return the smallest": lambda wanted, n, k, s, d: next(
            (
                p
                for p in range(300, -1, -1)
                if n + 2 * p > d * (k - 1) and (n + 2 * p - d * (k - 1) - 1) // s + 1 == wanted
            ),
            None,
        ),
        "raised ValueError: no padding fits": padding_raises,
        "(float), but it must be a whole number": lambda wanted, n, k, s, d: (
            ((wanted - 1) * s + d * (k - 1) + 1 - n) / 2
        ),
    },
    "paddings": {
        "the stack as it stands": [0, 0, 0, 0],
        "layer 2 has dilation 2": [2, 1, 1, 1],
        "once for each side": [4, 2, 4, 2],
        "from 14 to 8": [2, 1, 2, 2],
        "only for 3×3 kernels": [1, 1, 1, 1],
        "it must have 4": [2, 1, 2],
        "entry 0": [1, 1, 2, 1],
    },
    "pad2d": {
        "does not repeat it": pad_symmetric,
        "here they are swapped": lambda image, p, mode: (
            pad_by_joining(image, p, {"reflect": "replicate", "replicate": "reflect"}.get(mode, mode))
            if p < min(image.shape)
            else pad_by_joining(image, p, mode)
        ),
        "not its first": lambda image, p, mode: (
            torch.cat(
                [
                    (rows := torch.cat([image[:p], image, image[len(image) - p :]]))[:, :p],
                    rows,
                    rows[:, image.shape[1] - p :],
                ],
                1,
            )
            if mode == "circular"
            else pad_by_joining(image, p, mode)
        ),
        "came out as zeros": lambda image, p, mode: pad_by_joining(image, p, "zeros"),
        "the columns are padded too": lambda image, p, mode: pad_by_joining(image, p, mode)[:, p : p + image.shape[1]],
        "on all four sides": lambda image, p, mode: pad_by_joining(image, p, mode)[
            : image.shape[0] + p, : image.shape[1] + p
        ],
        "keeps the type of the image": pad_in_float32,
        "it must have (4, 5)": pad_square_only,
        "changed its arguments": pad_that_wipes_its_input,
        "expected": pad_with_ones,
        "it must be a tensor": lambda image, p, mode: pad_by_numpy(image, p, mode).numpy(),
        "but it must have": lambda image, p, mode: image,
    },
    "correlate": {
        "the kernel is flipped": lambda image, kernel, s, d: correlate_by_slices(image, kernel.flip(0, 1), s, d),
        "not at (r, c)": lambda image, kernel, s, d: correlate_by_slices(image, kernel, 1, d)[
            : len(range(0, image.shape[0] - d * (kernel.shape[0] - 1), s)),
            : len(range(0, image.shape[1] - d * (kernel.shape[1] - 1), s)),
        ],
        "the taps lie d pixels apart": lambda image, kernel, s, d: correlate_by_slices(image, kernel, s, 1)[
            : len(range(0, image.shape[0] - d * (kernel.shape[0] - 1), s)),
            : len(range(0, image.shape[1] - d * (kernel.shape[1] - 1), s)),
        ],
        "the stride is missing": lambda image, kernel, s, d: correlate_by_slices(image, kernel, 1, d),
        "the dilation is missing": lambda image, kernel, s, d: correlate_by_slices(image, kernel, s, 1),
        "stride and dilation are swapped": lambda image, kernel, s, d: correlate_by_slices(image, kernel, d, s),
        "rows and columns are swapped": lambda image, kernel, s, d: correlate_by_slices(image, kernel, s, d).T,
        "keeps the type of the image": lambda image, kernel, s, d: correlate_by_slices(image, kernel, s, d).float(),
        "the result is torch.int64": lambda image, kernel, s, d: correlate_by_slices(image, kernel, s, d).long(),
        "raised IndexError": correlate_out_of_range,
        "but it must have": correlate_off_by_one,
        "the result has shape": correlate_square_size,
        "changed its arguments": correlate_scaling_its_kernel,
        "the values differ": correlate_with_abs,
        "but it must be a tensor": lambda image, kernel, s, d: None,
    },
    "dilations": {
        "a span of 13": [1, 2, 3],
        "a span of 15": [1, 2, 4],
        "that has holes": [2, 2, 2],
        "there are holes": [1, 3, 10],
        "smallest dilation first": [9, 3, 1],
        "it must be a list": 9,
    },
}
