"""Answers to the exercises of chapter vision_transformer: right ones written differently, and plausible wrong ones."""

from __future__ import annotations

import torch
from torch.nn import functional as F


def patches_by_loops(images, size):
    rows, columns = images.shape[2] // size, images.shape[3] // size
    found = []
    for row in range(rows):
        for column in range(columns):
            part = images[:, :, size * row : size * (row + 1), size * column : size * (column + 1)]
            found.append(part.flatten(1))
    return torch.stack(found, 1)


def patches_by_reshape(images, size):
    n, c, h, w = images.shape
    cut = images.view(n, c, h // size, size, w // size, size)
    return cut.permute(0, 2, 4, 1, 3, 5).flatten(3).flatten(1, 2)


def square_only(images, size):
    n, c, h, _ = images.shape
    cut = images[:, :, :, :h].reshape(n, c, h // size, size, -1, size)
    return cut.permute(0, 2, 4, 1, 3, 5).reshape(n, -1, c * size * size)


def zeroed(images, size):
    found = patches_by_loops(images, size)
    images.zero_()
    return found


def attend_by_exponentials(query, key, value):
    likeness = torch.einsum("...qd,...kd->...qk", query, key) / query.shape[-1] ** 0.5
    weights = (likeness - likeness.amax(-1, keepdim=True)).exp()
    return torch.einsum("...qk,...kv->...qv", weights / weights.sum(-1, keepdim=True), value)


def score(query, key):
    return query @ key.transpose(-1, -2)


def halved_in_place(query, key, value):
    query /= query.shape[-1] ** 0.5
    return score(query, key).softmax(-1) @ value


def costs_in_words(side, patch, width):
    tokens = (side // patch) * (side // patch)
    layer = tokens * width * width
    return [9 * layer, 4 * layer, 2 * tokens * tokens * width]


def layer(x, position, qkv, *, placed=True, root=True, axis=2, short=True):
    x = x + position if placed else x
    query, key, value = F.linear(x, qkv).chunk(3, 2)
    likeness = torch.bmm(query, key.mT)
    weights = torch.softmax(likeness / query.shape[2] ** 0.5 if root else likeness, axis)
    return torch.bmm(weights, value) + (x if short else 0)


def layer_in_place(x, position, qkv):
    x += position
    return layer(x, 0, qkv)


RIGHT = {
    "patches": [patches_by_loops, patches_by_reshape],
    "attend": [attend_by_exponentials],
    "costs": [costs_in_words],
    "break_even": [2 * 768 + 1],
    "repaired": [layer],
}

WRONG = {
    "patches": {
        "a reshape alone": lambda images, size: images.flatten(1).view(len(images), -1, images.shape[1] * size**2),
        "go down the columns": lambda images, size: patches_by_loops(images.mT, size)
        .unflatten(2, (-1, size, size))
        .mT.flatten(2),
        "channels last": lambda images, size: patches_by_loops(images, size)
        .unflatten(2, (-1, size * size))
        .mT.flatten(2),
        "tokens first, numbers last": lambda images, size: patches_by_loops(images, size).mT,
        "step by `size` pixels": lambda images, size: F.unfold(images, size).mT,
        "changed its arguments": zeroed,
        "has shape (1, 1, 4, 4), but it must have": lambda images, size: F.unfold(images, size, stride=size).view(images.shape),
        "has shape (1, 9, 4), but it must have": lambda images, size: F.unfold(images, size, stride=size, padding=1).mT,
        "torch.float64, but it must be": lambda images, size: patches_by_loops(images.double(), size),
        "must be a tensor": lambda images, size: list(patches_by_loops(images, size)),
        "has shape (1, 1, 18), but it must have": square_only,
    },
    "attend": {
        "divide the scores by the root of d": lambda q, k, v: score(q, k).softmax(-1) @ v,
        "not by d": lambda q, k, v: score(q, k).div(q.shape[-1]).softmax(-1) @ v,
        "not the number of tokens": lambda q, k, v: score(q, k).div(k.shape[-2] ** 0.5).softmax(-1) @ v,
        "softmax along the last axis": lambda q, k, v: score(q, k).div(q.shape[-1] ** 0.5).softmax(-2) @ v,
        "before the softmax, not behind": lambda q, k, v: score(q, k).softmax(-1) @ v / q.shape[-1] ** 0.5,
        "the softmax is missing": lambda q, k, v: score(q, k) @ v / q.shape[-1] ** 0.5,
        "changed its arguments": halved_in_place,
        "raised RuntimeError": lambda q, k, v: (q @ k / q.shape[-1] ** 0.5).softmax(-1) @ v,
        "must be a tensor": lambda q, k, v: (F.scaled_dot_product_attention(q, k, v), score(q, k)),
    },
    "costs": {
        "not pixels": lambda side, patch, width: costs_in_words(side, 1, width),
        "a fourth stands behind the heads": lambda side, patch, width: [
            9 * (side // patch) ** 2 * width**2, 3 * (side // patch) ** 2 * width**2, 2 * (side // patch) ** 4 * width,
        ],
        "there are two products": lambda side, patch, width: [
            9 * (side // patch) ** 2 * width**2, 4 * (side // patch) ** 2 * width**2, (side // patch) ** 4 * width,
        ],
        "nine weights for each pair": lambda side, patch, width: [
            3 * (side // patch) ** 2 * width**2, 4 * (side // patch) ** 2 * width**2, 2 * (side // patch) ** 4 * width,
        ],
        "is the square of side / patch": lambda side, patch, width: [
            9 * (side // patch) * width**2, 4 * (side // patch) * width**2, 2 * (side // patch) ** 2 * width,
        ],
        "must be a whole number": lambda side, patch, width: [float(c) for c in costs_in_words(side, patch, width)],
        "it must have 3": lambda side, patch, width: costs_in_words(side, patch, width)[:2],
    },
    "break_even": {"both cost the same": 1536, "divide both by": 768, "solve for T": 384, "is not right": 1537.5},
    "repaired": {
        "the positions are never added": lambda *given: layer(*given, placed=False),
        "not divided by √d": lambda *given: layer(*given, root=False),
        "runs over the queries": lambda *given: layer(*given, axis=1),
        "the shortcut is missing": lambda *given: layer(*given, short=False),
        "the input has them, too": lambda x, position, qkv: layer(x, position, qkv) - position,
        "nothing is repaired yet": lambda *given: layer(*given, placed=False, root=False, axis=1, short=False),
        "changed its arguments": layer_in_place,
    },
}  # fmt: skip
