"""Answers to the exercises on AlexNet: right ones written differently, and plausible wrong ones."""

from __future__ import annotations

import torch
from torch import nn
from torch.nn import functional as F

# 1. by_hand

BY_HAND = [34_944, 307_456, 885_120, 663_936, 442_624, 37_752_832, 16_781_312, 4_097_000]
WEIGHTS = [34_848, 307_200, 884_736, 663_552, 442_368, 37_748_736, 16_777_216, 4_096_000]
NO_GROUPS = [34_944, 614_656, 885_120, 1_327_488, 884_992, 37_752_832, 16_781_312, 4_097_000]

# 2. count


def count_by_formula(convs, dense, side):
    result, channels = [], 3
    for kernels, kernel, stride, padding, groups, pool in convs:
        result.append(kernels * (channels // groups * kernel * kernel + 1))
        side = (side + 2 * padding - kernel) // stride + 1
        side = (side - 3) // 2 + 1 if pool else side
        channels = kernels
    width = channels * side * side
    for units in dense:
        result.append((width + 1) * units)
        width = units
    return result


def count_with_layers(convs, dense, side):
    x, channels, result = torch.zeros(1, 3, side, side, device="meta"), 3, []
    for kernels, kernel, stride, padding, groups, pool in convs:
        layer = nn.Conv2d(channels, kernels, kernel, stride, padding, groups=groups, device="meta")
        result.append(sum(p.numel() for p in layer.parameters()))
        x = layer(x)
        x = F.max_pool2d(x, 3, 2) if pool else x
        channels = kernels
    numbers = x[0].numel()
    for units in dense:
        result.append(numbers * units + units)
        numbers = units
    return result


def count_that_empties_its_list(convs, dense, side):
    result = count_by_formula(convs, dense, side)
    dense.clear()
    return result


def count_without(*, bias=1, groups=True, window=3, area=2):
    def count(convs, dense, side):
        result, channels = [], 3
        for kernels, kernel, stride, padding, parts, pool in convs:
            result.append(kernels * (channels // (parts if groups else 1) * kernel * kernel + bias))
            side = (side + 2 * padding - kernel) // stride + 1
            side = (side - window) // 2 + 1 if pool and window else side
            channels = kernels
        width = channels * side**area
        for units in dense:
            result.append((width + bias) * units)
            width = units
        return result

    return count


# 3. repaired


def small(flatten, *, outputs=None, dropout=True):
    def build(height, width, classes):
        maps = nn.Sequential(
            nn.Conv2d(3, 6, 7, stride=2), nn.ReLU(), nn.MaxPool2d(3, stride=2),
            nn.Conv2d(6, 8, 5, padding=2), nn.ReLU(), nn.MaxPool2d(3, stride=2),
        )  # fmt: skip
        last = nn.Linear(12, outputs or classes)
        return nn.Sequential(maps, nn.Flatten(), nn.Linear(flatten(height, width), 12), nn.ReLU(), nn.Dropout(), last)

    return build


def after(side):
    side = (side - 7) // 2 + 1
    side = (side - 3) // 2 + 1
    return (side - 3) // 2 + 1


class Repaired(nn.Module):
    def __init__(self, height, width, classes):
        super().__init__()
        self.one, self.two = nn.Conv2d(3, 6, 7, stride=2), nn.Conv2d(6, 8, 5, padding=2)
        with torch.no_grad():
            numbers = self.maps(torch.zeros(1, 3, height, width)).numel()
        self.three, self.four = nn.Linear(numbers, 12), nn.Linear(12, classes)

    def maps(self, x):
        for layer in (self.one, self.two):
            x = F.max_pool2d(F.relu(layer(x)), 3, 2)
        return x

    def forward(self, x):
        return self.four(F.relu(self.three(self.maps(x).flatten(1))))


def averaged(height, width, classes):
    maps = small(lambda h, w: 288)(64, 64, classes)
    return nn.Sequential(maps[0], nn.AdaptiveAvgPool2d(6), *maps[1:])


# 4. two_halves


def halves(x, weight, bias, padding):
    c, k = x.shape[1] // 2, len(weight) // 2
    first = F.conv2d(x[:, :c], weight[:k], bias[:k], padding=padding)
    second = F.conv2d(x[:, c:], weight[k:], bias[k:], padding=padding)
    return torch.cat([first, second], 1)


def halves_in_one_kernel(x, weight, bias, padding):
    """An ordinary convolution whose weights from one half to the other are 0."""
    k, c = weight.shape[:2]
    full = weight.new_zeros(k, 2 * c, *weight.shape[2:])
    full[: k // 2, :c], full[k // 2 :, c:] = weight[: k // 2], weight[k // 2 :]
    return F.conv2d(x, full, bias, padding=padding)


def halves_exchanged(x, weight, bias, padding):
    c = x.shape[1] // 2
    return halves(torch.cat([x[:, c:], x[:, :c]], 1), weight, bias, padding)


def halves_added(x, weight, bias, padding):
    result = halves(x, weight, bias, padding)
    return result[:, : len(weight) // 2] + result[:, len(weight) // 2 :]


def halves_of_the_first(x, weight, bias, padding):
    return F.conv2d(x[:, : x.shape[1] // 2], weight, bias, padding=padding)


def halves_that_clear_their_input(x, weight, bias, padding):
    result = halves(x, weight, bias, padding)
    x.zero_()
    return result


# 5. response_norm


def norm_by_loop(x, size, alpha, beta, k):
    result = x.clone()
    for i in range(x.shape[1]):
        near = x[:, max(0, i - size // 2) : i + size // 2 + 1]
        result[:, i] = x[:, i] / (k + alpha / size * near.square().sum(1)) ** beta
    return result


def norm_by_padding(x, size, alpha, beta, k):
    half, c = size // 2, x.shape[1]
    padded = F.pad(x**2, (0, 0, 0, 0, half, half))
    total = sum(padded[:, i : i + c] for i in range(size))
    return x * (k + alpha * total / size) ** -beta


def norm_of_the_paper(x, size, alpha, beta, k):
    return norm_by_loop(x, size, alpha * size, beta, k)


def norm_over_pixels(x, size, alpha, beta, k):
    return norm_by_loop(x.transpose(1, 3), size, alpha, beta, k).transpose(1, 3)


def norm_of_absolute_values(x, size, alpha, beta, k):
    return x * norm_by_loop(x.abs().sqrt(), size, alpha, beta, k) / x.abs().sqrt().clamp(min=1e-30)


def norm_of_those_there(x, size, alpha, beta, k):
    result = x.clone()
    for i in range(x.shape[1]):
        near = x[:, max(0, i - size // 2) : i + size // 2 + 1]
        result[:, i] = x[:, i] / (k + alpha * near.square().mean(1)) ** beta
    return result


def norm_in_place(x, size, alpha, beta, k):
    result = norm_by_loop(x, size, alpha, beta, k)
    x.copy_(result)
    return x


# 6. top_error


def top_error_by_rank(logits, labels, k):
    true = logits.gather(1, labels[:, None])
    return ((logits > true).sum(1) >= k).float().mean().item()


def top_error_by_loop(logits, labels, k):
    wrong = 0
    for row, label in zip(logits, labels.tolist(), strict=True):
        wrong += label not in row.argsort(descending=True)[:k].tolist()
    return wrong / len(labels)


# 7. average_head


class Averaged(nn.Module):
    def __init__(self, features, channels, classes):
        super().__init__()
        self.features, self.last = features, nn.Linear(channels, classes)

    def forward(self, x):
        return self.last(self.features(x).mean((2, 3)))


def averaged_head(pool=nn.AdaptiveAvgPool2d, *, last=(), outputs=None):
    return lambda features, channels, classes: nn.Sequential(
        features, pool(1), nn.Flatten(), nn.Linear(channels, outputs or classes), *last
    )


RIGHT = {
    "by_hand": [BY_HAND, tuple(BY_HAND)],
    "count": [count_by_formula, count_with_layers],
    "repaired": [Repaired, small(lambda h, w: 8 * after(h) * after(w))],
    "two_halves": [halves, halves_in_one_kernel],
    "response_norm": [norm_by_loop, norm_by_padding],
    "top_error": [top_error_by_rank, top_error_by_loop],
    "average_head": [Averaged, averaged_head()],
    "saved": [58_374_144],
}

WRONG = {
    "by_hand": {
        "these are the weights": WEIGHTS,
        "without groups": NO_GROUPS,
        "entry 6": [*BY_HAND[:6], 16_777_216, 4_097_000],
        "8": BY_HAND[:7],
        "all 256": [34_944, 307_456, 442_752, *BY_HAND[3:]],
    },
    "count": {
        "the biases are missing": count_without(bias=0),
        "channels // groups": count_without(groups=False),
        "3 pixels wide": count_without(window=2),
        "left out of the sizes": count_without(window=0),
        "height times width": count_without(area=1),
        "changed its arguments": count_that_empties_its_list,
        "must be a list": lambda *network: sum(count_by_formula(*network)),
    },
    "repaired": {
        "both sides": small(lambda h, w: 8 * after(h) ** 2),
        "belong to one size": small(lambda h, w: 288),
        "no longer sees the maps as they are": averaged,
        "not 10": small(lambda h, w: 8 * after(h) * after(w), outputs=10),
        "not an nn.Module": lambda h, w, classes: None,
        "parameters": small(lambda h, w: 8 * ((h - 7) // 8) * ((w - 7) // 8)),
    },
    "two_halves": {
        "exchanged": halves_exchanged,
        "shape": halves_added,
        "read the first half": halves_of_the_first,
        "changed its arguments": halves_that_clear_their_input,
        "bias is missing": lambda x, w, b, padding: halves(x, w, 0 * b, padding),
        "must be torch.float32": lambda *a: halves(*a).double(),
        "raised": lambda x, w, b, padding: F.conv2d(x, w, b, padding=padding),
    },
    "response_norm": {
        "not PyTorch's": norm_of_the_paper,
        "other pixels": norm_over_pixels,
        "squared": norm_of_absolute_values,
        "changed its arguments": norm_in_place,
        "differ": lambda x, size, alpha, beta, k: norm_by_loop(x, size, alpha, 1.0, k),
        "there too": norm_of_those_there,
    },
    "top_error": {
        "1 minus it": lambda *a: 1 - top_error_by_loop(*a),
        "divide by the number": lambda logits, labels, k: top_error_by_loop(logits, labels, k) * len(labels),
        "only the largest": lambda logits, labels, k: (logits.argmax(1) != labels).float().mean().item(),
        "smallest": lambda logits, labels, k: top_error_by_loop(-logits, labels, k),
        "per cent": lambda *a: 100 * top_error_by_loop(*a),
        "always 5": lambda logits, labels, k: top_error_by_loop(logits, labels, 5),
    },
    "average_head": {
        "takes its mean": averaged_head(nn.AdaptiveMaxPool2d),
        "whatever `classes` says": averaged_head(outputs=10),
        "a ReLU follows": averaged_head(last=(nn.ReLU(),)),
        "a softmax follows": averaged_head(last=(nn.Softmax(1),)),
        "features are missing": lambda f, c, classes: nn.Sequential(
            nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(3, classes)
        ),
        "mat1 and mat2": lambda f, c, classes: nn.Sequential(f, nn.Flatten(), nn.Linear(c, classes)),
    },
    "saved": {
        "that are left": 2_726_696,
        "of its own": 58_631_144,
        "biases": 58_375_144,
        "is not right": 58_000_000,
    },
}
