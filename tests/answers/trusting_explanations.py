"""Right and wrong answers to the exercises of chapter Trusting explanations."""

from __future__ import annotations

import copy

import torch
from torch import nn


def share_by_image(maps, masks):
    rows = []
    for m, mask in zip(maps, masks, strict=True):
        positive = m[m > 0].sum()
        rows.append(m[(m > 0) & mask].sum() / positive)
    return torch.stack(rows)


def in_place(maps, masks):
    maps.clamp_(min=0)
    return (maps * masks).sum((1, 2)) / maps.sum((1, 2))


def one_by_one(maps, masks, tolerance):
    hits = []
    for m, mask in zip(maps, masks, strict=True):
        row, column = divmod(m.argmax().item(), m.shape[1])
        top, left = max(0, row - tolerance), max(0, column - tolerance)
        hits.append(mask[top : row + tolerance + 1, left : column + tolerance + 1].any())
    return torch.stack(hits)


def wrapped(maps, masks, tolerance):
    """Forgets that a slice must not begin below 0."""
    hits = []
    for m, mask in zip(maps, masks, strict=True):
        row, column = divmod(m.argmax().item(), m.shape[1])
        near = mask[row - tolerance : row + tolerance + 1, column - tolerance : column + tolerance + 1]
        hits.append(near.any())
    return torch.stack(hits)


def strongest(maps, masks, tolerance, *, magnitude=False, extra=0, square=True):
    values = maps.abs() if magnitude else maps
    at = values.flatten(1).argmax(1)
    rows, columns = at // maps.shape[2], at % maps.shape[2]
    hits = []
    for n in range(len(maps)):
        on = masks[n].nonzero()
        away = (on - torch.stack([rows[n], columns[n]])).abs()
        distance = away.amax(1) if square else away.sum(1)
        hits.append((distance <= tolerance + extra).any())
    return torch.stack(hits)


def drawn_by_hand(model, parts):
    fresh = copy.deepcopy(model)
    for name in parts:
        for layer in dict(fresh.named_modules())[name].modules():
            if isinstance(layer, nn.BatchNorm2d):
                layer.reset_running_stats()
                nn.init.ones_(layer.weight)
                nn.init.zeros_(layer.bias)
            elif isinstance(layer, (nn.Conv2d, nn.Linear)):
                nn.init.kaiming_normal_(layer.weight)
                if layer.bias is not None:
                    nn.init.normal_(layer.bias)
    return fresh


def parameters_alone(model, parts):
    fresh = copy.deepcopy(model)
    for name in parts:
        for layer in fresh.get_submodule(name).modules():
            if isinstance(layer, nn.BatchNorm2d):
                nn.init.ones_(layer.weight)
                nn.init.zeros_(layer.bias)
            elif hasattr(layer, "reset_parameters"):
                layer.reset_parameters()
    return fresh


def reset(model, parts, kinds=(nn.Conv2d, nn.Linear, nn.BatchNorm2d)):
    for name in parts:
        for layer in model.get_submodule(name).modules():
            if isinstance(layer, kinds):
                layer.reset_parameters()
    return model


def zeroed(model, parts):
    fresh = reset(copy.deepcopy(model), parts)
    for name in parts:
        for p in fresh.get_submodule(name).parameters():
            nn.init.zeros_(p)
    return fresh


def outer(model, parts):
    fresh = copy.deepcopy(model)
    for name in parts:
        part = fresh.get_submodule(name)
        if hasattr(part, "reset_parameters"):
            part.reset_parameters()
    return fresh


RIGHT = {
    "energy": [share_by_image],
    "pointing": [one_by_one, strongest],
    "redrawn": [drawn_by_hand],
    "facts": [[0.0625, -1, 1, 1], [1 / 16, -1.0, 1.0, 1.0]],
    "place": [(16, 7), (15, 6), (14, 9), [18, 5]],
}

WRONG = {
    "energy": {
        "in both sums": lambda maps, masks: (maps * masks).sum((1, 2)) / maps.sum((1, 2)),
        "not even their absolute values": lambda maps, masks: (
            (maps.abs() * masks).sum((1, 2)) / maps.abs().sum((1, 2))
        ),
        "over what lies beside": lambda maps, masks: (
            (maps.relu() * masks).sum((1, 2)) / (maps.relu() * ~masks).sum((1, 2))
        ),
        "share *beside*": lambda maps, masks: 1 - share_by_image(maps, masks),
        "the map is not used": lambda maps, masks: masks.float().mean((1, 2)),
        "not as 1": lambda maps, masks: ((maps > 0) & masks).sum((1, 2)) / (maps > 0).sum((1, 2)),
        "not over the batch": lambda maps, masks: (
            ((maps.relu() * masks).sum() / maps.relu().sum()).repeat(len(maps))
        ),
        "changed its arguments": in_place,
        "must be a tensor": lambda maps, masks: share_by_image(maps, masks).tolist(),
        "torch.float64": lambda maps, masks: share_by_image(maps.double(), masks),
    },
    "pointing": {
        "speaks against the class": lambda m, k, t: strongest(m, k, t, magnitude=True),
        "is a hit, too": lambda m, k, t: strongest(m, k, 0),
        "too large by one pixel": lambda m, k, t: strongest(m, k, t, extra=1),
        "the weakest pixel": lambda m, k, t: strongest(-m, k, t),
        "rows and columns are exchanged": lambda m, k, t: torch.stack([
            near_swapped(a, b, t) for a, b in zip(m, k, strict=True)
        ]),
        "case": wrapped,
        "got": lambda m, k, t: strongest(m, k, t, square=False),
        "must be torch.bool": lambda m, k, t: strongest(m, k, t).float(),
        "must have": lambda m, k, t: strongest(m, k, t).float().mean() > 0.5,
    },
    "redrawn": {
        "copy.deepcopy": reset,
        "running statistics": parameters_alone,
        "batch norms belong": lambda model, parts: reset(copy.deepcopy(model), parts, (nn.Conv2d, nn.Linear)),
        "zeros are no random weights": zeroed,
        "part.modules()": outer,
        "only the named parts": lambda model, parts: reset(copy.deepcopy(model), ("",)),
        "inside the loop": lambda model, parts: reset(copy.deepcopy(model), parts[:1]),
        "not a network": lambda model, parts: reset(model, parts) and None,
        "redrawn: nothing": lambda model, parts: copy.deepcopy(model),
    },
    "facts": {
        "a sixteenth": [0.25, -1, 1, 1],
        "nothing to do with each other": [1 / 16, 0, 1, 1],
        "a bias is added": [1 / 16, -1, 0, 1],
        "only their order": [1 / 16, -1, 1, 0],
        "must have 4": [1 / 16, -1, 1],
    },
    "place": {
        "exchanged": (7, 16),
        "in no corner": (0, 0),
        "shapes lie there": (12, 12),
        "counted is from 0": (24, 3),
        "no pixel; give two": 7,
        "whole numbers": (16.0, 7.0),
        "not on the mark": (4, 18),
    },
}  # fmt: skip


def near_swapped(values, mask, tolerance):
    """The pixel with row and column exchanged, kept inside the image."""
    at = values.argmax().item()
    row, column = at % values.shape[1], at // values.shape[1]
    row, column = min(row, mask.shape[0] - 1), min(column, mask.shape[1] - 1)
    top, left = max(0, row - tolerance), max(0, column - tolerance)
    return mask[top : row + tolerance + 1, left : column + tolerance + 1].any()
