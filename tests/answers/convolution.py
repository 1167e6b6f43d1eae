"""Right and wrong answers to the exercises on convolution."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from scipy.signal import convolve2d as scipy_convolve2d


def _correlate(image, kernel):
    return F.conv2d(image[None, None], kernel[None, None])[0, 0]


# correlate2d


def _windows(image, kernel):
    """Two loops over the output."""
    (height, width), (h, w) = image.shape, kernel.shape
    rows = []
    for r in range(height - h + 1):
        rows.append(
            torch.stack([(image[r : r + h, c : c + w] * kernel).sum() for c in range(width - w + 1)]).to(image.dtype)
        )
    return torch.stack(rows)


def _strided_view(image, kernel):
    return torch.einsum("rcij,ij->rc", image.unfold(0, kernel.shape[0], 1).unfold(1, kernel.shape[1], 1), kernel)


def _square_only(image, kernel):
    size, k = image.shape[0], kernel.shape[0]
    output = torch.zeros(size - k + 1, size - k + 1, dtype=image.dtype)
    for i in range(k):
        for j in range(k):
            output += kernel[i, j] * image[i : i + size - k + 1, j : j + size - k + 1]
    return output


def _spoils_its_input(image, kernel):
    result = _correlate(image, kernel)
    image.mul_(0)
    return result


def _whole_numbers(image, kernel):
    return _correlate(image, kernel).long()


# conv_layer


def _by_unfold(images, weight, bias):
    n, _, height, width = images.shape
    k, _, h, w = weight.shape
    windows = F.unfold(images, (h, w))
    return (weight.flatten(1) @ windows + bias[:, None]).view(n, k, height - h + 1, width - w + 1)


def _by_channel(images, weight, bias):
    n, channels, height, width = images.shape
    kernels, _, h, w = weight.shape
    output = bias.view(1, kernels, 1, 1).repeat(n, 1, height - h + 1, width - w + 1)
    for k in range(kernels):
        for c in range(channels):
            output[:, k] += F.conv2d(images[:, c : c + 1], weight[k, c][None, None])[:, 0]
    return output


def _as_printed(images, weight, bias):
    n, channels, height, width = images.shape
    kernels, _, h, w = weight.shape
    output = torch.zeros(n, kernels, height - h + 1, width - w + 1)
    for k in range(kernels):
        for c in range(channels):
            part = F.conv2d(images[:, c : c + 1], weight[k, c][None, None])
            output[:, k] = part[:, 0] + bias[k]
    return output


def _half_repaired(images, weight, bias):
    n, channels, height, width = images.shape
    kernels, _, h, w = weight.shape
    output = torch.zeros(n, kernels, height - h + 1, width - w + 1)
    for k in range(kernels):
        for c in range(channels):
            output[:, k] += F.conv2d(images[:, c : c + 1], weight[k, c][None, None])[:, 0] + bias[k]
    return output


def _bias_changes_weight(images, weight, bias):
    result = F.conv2d(images, weight, bias)
    bias.zero_()
    return result


# layer_cost


def _cost(in_channels, out_channels, kernel, height, width, bias):
    weights = out_channels * in_channels * kernel[0] * kernel[1]
    return weights + bias * out_channels, weights * (height - kernel[0] + 1) * (width - kernel[1] + 1)


def _cost_from_tensors(in_channels, out_channels, kernel, height, width, bias):
    weight = torch.empty(out_channels, in_channels, *kernel)
    windows = torch.empty(height, width).unfold(0, kernel[0], 1).unfold(1, kernel[1], 1)
    return [
        weight.numel() + (len(weight) if bias else 0),
        weight[:, 0].numel() * in_channels * windows[..., 0, 0].numel(),
    ]


RIGHT = {
    "edge_down": [[12, 12, 0], (12.0, 12.0, 0.0)],
    "edge_across": [[0, 0, 0, 0], [0.0] * 4],
    "correlate2d": [_windows, _strided_view],
    "convolve2d": [
        lambda image, kernel: torch.from_numpy(_full(image, kernel)),
        lambda image, kernel: _windows(image, torch.rot90(kernel, 2)),
    ],
    "conv_layer": [_by_unfold, _by_channel],
    "layer_cost": [_cost, _cost_from_tensors],
    "shift_left": [[[0, 0, 0], [0, 0, 1], [0, 0, 0]], torch.eye(3).roll(1, 1) * torch.tensor([[0.0], [1], [0]])],
    "dot_finder": [
        [[0, -1, 0], [-1, 4, -1], [0, -1, 0]],
        torch.tensor([[-1, -1, -1], [-1, 8, -1], [-1, -1, -1]]),
        [[-0.25, 0, -0.25], [0, 1, 0], [-0.25, 0, -0.25]],
    ],
}


def _full(image, kernel):
    """SciPy's convolution of everything, cut to the windows that lie inside the image."""
    (height, width), (h, w) = image.shape, kernel.shape
    full = scipy_convolve2d(image.numpy(), kernel.numpy(), mode="full")
    return full[h - 1 : height, w - 1 : width].copy()


WRONG = {
    "edge_down": {
        "does change on the way down": [0, 0, 0],
        "the sign": [-12, -12, 0],
        "three columns count": [4, 4, 0],
        "which are all equal": [12, 12, 12],
        "it must have 3": [12, 12, 0, 0],
        "must be a list": 12,
    },
    "edge_across": {
        "compares left with right": [12, 12, 12, 12],
        "6 − 3 + 1 = 4 numbers": [0, 0, 0, 0, 0, 0],
        "entry 1": [0, 12, 12, 0],
        "must be a list": 0,
    },
    "correlate2d": {
        "true convolution": lambda image, kernel: _correlate(image, kernel.flip(0, 1)),
        "must have (2, 3)": _square_only,
        "n − k + 1 places": lambda image, kernel: _correlate(image, kernel)[:-1, :-1],
        "the values differ": lambda image, kernel: torch.zeros_like(_correlate(image, kernel)),
        "changed its arguments": _spoils_its_input,
        "torch.int64": _whole_numbers,
        "must be a tensor": lambda image, kernel: None,
        "torch.float32, but it must be torch.float64": lambda image, kernel: _correlate(image, kernel).float(),
        "exchanged": lambda image, kernel: _correlate(image, kernel.T),
    },
    "convolve2d": {
        "that is cross-correlation": _correlate,
        "left to right only": lambda image, kernel: _correlate(image, kernel.fliplr()),
        "top to bottom only": lambda image, kernel: _correlate(image, kernel.flipud()),
        "a negative kernel": lambda image, kernel: _correlate(image, -kernel),
        "instead of the kernel": lambda image, kernel: _correlate(image.flip(0, 1), kernel),
        "must have (2, 3)": lambda image, kernel: torch.from_numpy(scipy_convolve2d(image, kernel, mode="same")),
        "must be a tensor": lambda image, kernel: _full(image, kernel),
        "the values differ": lambda image, kernel: _correlate(image.flip(0, 1), kernel.flip(0, 1)),
    },
    "conv_layer": {
        "only the last channel": _as_printed,
        "once for each input channel": _half_repaired,
        "the bias is missing": lambda images, weight, bias: F.conv2d(images, weight),
        "averaged": lambda images, weight, bias: F.conv2d(images, weight) / images.shape[1] + bias.view(-1, 1, 1),
        "changed its arguments": _bias_changes_weight,
        "the values differ": lambda images, weight, bias: F.conv2d(images, weight.flip(2, 3), bias),
        "it must have (1, 1, 2, 2)": lambda images, weight, bias: F.conv2d(images, weight, bias, padding=1),
        "raised": lambda images, weight, bias: F.conv2d(images, weight.transpose(0, 1), bias),
    },
    "layer_cost": {
        "the biases are not counted": lambda i, o, k, h, w, b: _cost(i, o, k, h, w, False),
        "although bias is False": lambda i, o, k, h, w, b: _cost(i, o, k, h, w, True),
        "in_channels is missing": lambda i, o, k, h, w, b: _cost(1, o, k, h, w, b),
        "smaller than the image": lambda i, o, k, h, w, b: (
            _cost(i, o, k, h, w, b)[0],
            i * o * k[0] * k[1] * h * w,
        ),
        "must be a whole number (int)": lambda i, o, k, h, w, b: tuple(map(float, _cost(i, o, k, h, w, b))),
        "need not be square": lambda i, o, k, h, w, b: (
            o * i * k[0] ** 2 + o * b,
            o * i * k[0] ** 2 * (h - k[0] + 1) * (w - k[1] + 1),
        ),
        "must be a tuple": lambda i, o, k, h, w, b: _cost(i, o, k, h, w, b)[0],
        "entry 0": lambda i, o, k, h, w, b: _cost(i, o, k, h, w, b)[::-1],
    },
    "shift_left": {
        "the picture moves right": [[0, 0, 0], [1, 0, 0], [0, 0, 0]],
        "stays where it is": [[0, 0, 0], [0, 1, 0], [0, 0, 0]],
        "the picture moves up": [[0, 0, 0], [0, 0, 0], [0, 1, 0]],
        "the picture moves down": [[0, 1, 0], [0, 0, 0], [0, 0, 0]],
        "the first output is": [[0, 0, 1], [0, 0, 1], [0, 0, 1]],
        "a factor of 2": [[0, 0, 0], [0, 0, 2], [0, 0, 0]],
        "(1, 3)": [[0, 0, 1]],
        "is not a kernel": "left",
        "not finite": [[0, 0, 0], [0, 0, float("nan")], [0, 0, 0]],
    },
    "dot_finder": {
        "on a flat image of 10": [[0, 0, 0], [0, 1, 0], [0, 0, 0]],
        "on a ramp 1, 2, 3 from left to right": [[1, 0, -1], [1, 0, -1], [1, 0, -1]],
        "from top to bottom": [[-1, -1, -1], [0, 0, 0], [1, 1, 1]],
        "it must be greater than 0": [[0, 1, 0], [1, -4, 1], [0, 1, 0]],
        "the dot must win": [[2, -2.25, 2], [-2.25, 1, -2.25], [2, -2.25, 2]],
        "(2, 2)": [[-1, 1], [1, -1]],
        "greater than 0": [[0, 0, 0], [0, 0, 0], [0, 0, 0]],
    },
}
