"""Answers to the exercises of chapter what_networks_get_wrong: right ones written differently, and plausible wrong ones."""

from __future__ import annotations

import torch
from torch import nn


def slope(model, images, labels):
    x = images.detach().requires_grad_()
    loss = nn.CrossEntropyLoss(reduction="sum")(model(x), labels)
    loss.backward()
    grad, x.grad = x.grad, None
    return grad.clone()


def fast(model, images, labels, budget):
    up = slope(model, images.clone(), labels) > 0
    down = slope(model, images.clone(), labels) < 0
    return torch.where(up, images + budget, torch.where(down, images - budget, images)).clip(0, 1)


def projected(model, images, labels, budget, steps, step):
    change = torch.zeros_like(images)
    for _ in range(steps):
        change = (change + step * slope(model, (images + change).clone(), labels).sign()).clamp(-budget, budget)
        change = (images + change).clamp(0, 1) - images
    return images + change


def variant(sign=True, box="original", limits=True, renewed=True):
    def attack(model, images, labels, budget, steps, step):
        x = images.clone()
        for _ in range(steps):
            before = x
            way = slope(model, (x if renewed else images).clone(), labels) / (1 if sign else len(images))
            x = x + step * (way.sign() if sign else way)
            centre = {"original": images, "moving": before, None: None}[box]
            if centre is not None:
                x = centre + (x - centre).clamp(-budget, budget)
            if limits:
                x = x.clamp(0, 1)
        return x

    return attack


def counted(answers, shapes, textures):
    decided = [(a == s) for a, s, t in zip(answers, shapes, textures, strict=True) if s != t and a in (s, t)]
    return sum(map(bool, decided)) / len(decided)


def ten_steps(model, images, labels, budget):
    return projected(model, images, labels, budget, 10, budget / 5)


def trained_away(model, images, labels, budget):
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.zero_()
    return images.clone()


def in_place(model, images, labels, budget):
    images += 0.01
    return images.clamp(0, 1)


RIGHT = {
    "moved": [(0, 116, 255, 60)],
    "fgsm": [fast],
    "repaired": [projected, variant()],
    "fool": [ten_steps, lambda *a: variant()(*a, 20, 0.02)],
    "shape_bias": [counted],
}

WRONG = {
    "moved": {
        "darker than 0": [-11, 116, 266, 60],
        "size of the slope does not matter": [0, 100, 255, 60],
        "where the slope is negative": [21, 84, 234, 60],
        "that pixel stays": [0, 116, 255, 76],
        "has 3 entries": [0, 116, 255],
        "entry 2": [0, 116, 254, 60],
    },
    "fgsm": {
        "pixels leave [0, 1]": lambda model, x, y, b: x + b * slope(model, x.clone(), y).sign(),
        "this helps the network": lambda model, x, y, b: (x - b * slope(model, x.clone(), y).sign()).clamp(0, 1),
        "the sign of the gradient is missing": lambda model, x, y, b: (
            x + b * slope(model, x.clone(), y) / len(x)
        ).clamp(0, 1),
        "the change alone": lambda model, x, y, b: b * slope(model, x.clone(), y).sign(),
        "in units of [0, 1] already": lambda model, x, y, b: (x + 255 * b * slope(model, x.clone(), y).sign()).clamp(
            0, 1
        ),
        "not of the network's answers": lambda model, x, y, b: fast(model, x, model(x).argmax(1), b),
        "the images that were given are changed": lambda model, x, y, b: x.copy_(fast(model, x, y, b)),
        "instead of images": lambda model, x, y, b: fast(model, x, y, b)[0],
        "NoneType instead": lambda model, x, y, b: None,
        "got      ['": lambda model, x, y, b: x.clone(),
        "raised TypeError": lambda model, x, y: x,
    },
    "repaired": {
        "all three faults": variant(sign=False, box="moving", limits=False),
        "the box moves along with the image, and pixels leave": variant(box="moving", limits=False),
        "the sign is missing, and pixels leave": variant(sign=False, limits=False),
        "the sign is missing, and the box moves": variant(sign=False, box="moving"),
        "n budgets away": variant(box="moving"),
        "no box at all": variant(box=None),
        "no picture has such values": variant(limits=False),
        "the steps are far too small": variant(sign=False),
        "anew at each place": variant(renewed=False),
        "got      ['": lambda model, x, y, b, steps, step: fast(model, x, y, b),
    },
    "fool": {
        "but it must be a function": 3,
        "a NoneType": lambda model, x, y, b: None,
        "must return images": lambda model, x, y, b: x[:3],
        "the given digits are changed": in_place,
        "the network's weights are changed": trained_away,
        "must lie in [0, 1]": lambda model, x, y, b: x + 0.1,
        "the pixels go from nan": lambda model, x, y, b: x * float("nan"),
        "the budget is 0.15": lambda model, x, y, b: ten_steps(model, x, y, 2 * b),
        "one step reaches about half": fast,
        "0% of 60 digits": lambda model, x, y, b: x.clone(),
        "raises ZeroDivisionError": lambda model, x, y, b: 1 / 0,
    },
    "shape_bias": {
        "leave those images out": lambda a, s, t: (a == s).sum().item() / ((a == s).sum() + (a == t).sum()).item(),
        "a third class": lambda a, s, t: ((a == s) & (s != t)).sum().item() / max(1, (s != t).sum().item()),
        "that is the texture bias": lambda a, s, t: 1 - counted(a, s, t),
        "the accuracy on all images": lambda a, s, t: (a == s).float().mean().item(),
        "a percentage": lambda a, s, t: 100 * counted(a, s, t),
        "must be a number": lambda a, s, t: str(counted(a, s, t)),
        "expected": lambda a, s, t: 0.5,
    },
}
