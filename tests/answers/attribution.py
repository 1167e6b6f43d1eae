"""Right and wrong answers to the exercises of chapter Attribution."""

from __future__ import annotations

import torch


def by_one(model, images, classes):
    """Saliency, one image at a time."""
    rows = []
    for image, k in zip(images, classes.tolist(), strict=True):
        x = image[None].clone().requires_grad_()
        rows.append(torch.autograd.grad(model(x)[0, k], x)[0][0].abs().max(0).values)
    return torch.stack(rows)


def slopes(model, images, classes):
    x = images.clone().requires_grad_()
    scores = model(x)[torch.arange(len(x)), classes]
    return torch.autograd.grad(scores.sum(), x)[0]


def with_backward(model, images, classes):
    x = images.clone().requires_grad_()
    model(x).gather(1, classes[:, None]).sum().backward()
    return x.grad.abs().amax(1)


def by_split(model, images, classes, name, relu=True, mean=True, place=False, hook=False):
    """Grad-CAM, with the network cut in two behind the layer."""
    cut = int(name) + 1
    maps = model[:cut](images).detach().requires_grad_()
    scores = model[cut:](maps)[torch.arange(len(images)), classes]
    g = torch.autograd.grad(scores.sum(), maps)[0]
    weights = g if place else (g.flatten(2).mean(2) if mean else g.flatten(2).sum(2))[..., None, None]
    if hook:
        model[0].register_forward_hook(lambda *_: None)
    summed = torch.sum(weights * maps.detach(), dim=1)
    return summed.clamp(min=0) if relu else summed


def in_one_pass(model, images, classes, baseline, steps):
    """Integrated gradients, with all steps of an image in one batch."""
    a = ((torch.arange(steps, dtype=images.dtype) + 0.5) / steps).view(-1, 1, 1, 1)
    rows = []
    for x, b, k in zip(images, baseline, classes, strict=True):
        rows.append((x - b) * slopes(model, b + a * (x - b), k.expand(steps)).mean(0))
    return torch.stack(rows)


def covered(model, images, classes, patch, turn=1, only_first=False, dtype=None):
    height, width = images.shape[2:]
    y, x = torch.arange(height) // patch, torch.arange(width) // patch
    with torch.no_grad():
        rows = torch.arange(len(images))
        before, maps = model(images)[rows, classes], torch.zeros(len(images), height, width).to(images)
        for r in range(int(y.max()) + 1):
            for c in range(int(x.max()) + 1):
                mask = (y == r)[:, None] & (x == c)
                hidden = images.masked_fill(mask, 0)
                if only_first:
                    hidden[:, 1:] = images[:, 1:]
                maps += turn * (before - model(hidden)[rows, classes])[:, None, None] * mask
    return maps.to(dtype) if dtype else maps


def overwriting(model, images, classes, patch):
    result = covered(model, images, classes, patch)
    images[:, :, :patch, :patch] = 0
    return result


RIGHT = {
    "saliency": [by_one],
    "grad_cam": [by_split],
    "integrated_gradients": [in_one_pass],
    "occlusion": [covered],
    "repaired": [by_split],
}

WRONG = {
    "saliency": {
        "the absolute value is missing": lambda m, x, k: slopes(m, x, k).amax(1),
        "sums over the channels": lambda m, x, k: slopes(m, x, k).abs().sum(1),
        "class of the first one": lambda m, x, k: slopes(m, x, k[:1].expand_as(k)).abs().amax(1),
        "it must be a tensor": lambda m, x, k: None,
        "must have (1, 6, 6)": lambda m, x, k: slopes(m, x, k).abs(),
        "torch.float32, but it must be torch.float64": lambda m, x, k: by_one(m, x, k).float(),
        "leaves gradients in all parameters": with_backward,
    },
    "grad_cam": {
        "the ReLU is forgotten": lambda *a: by_split(*a, relu=False),
        "h·w times too large": lambda *a: by_split(*a, mean=False),
        "place by place": lambda *a: by_split(*a, place=True),
        "the hook was not removed": lambda *a: by_split(*a, hook=True),
        "the values differ": lambda m, x, k, name: torch.zeros_like(x[:, 0]),
        "it must be a tensor": lambda *a: None,
    },
    "integrated_gradients": {
        "this is one gradient at the image": lambda m, x, k, b, n: (x - b) * slopes(m, x, k),
        "the factor (image − baseline) is missing": lambda m, x, k, b, n: in_one_pass(m, x, k, b, n) / (x - b),
        "this starts at 0": lambda m, x, k, b, n: in_one_pass(m, x, k, torch.zeros_like(x), n),
        "divide by the number of steps": lambda m, x, k, b, n: n * in_one_pass(m, x, k, b, n),
        "must have (1, 2, 6, 6)": lambda *a: in_one_pass(*a).sum(1),
        "it must be a tensor": lambda *a: None,
    },
    "occlusion": {
        "the sign is turned": lambda *a: covered(*a, turn=-1),
        "the images are covered and stay so": overwriting,
        "the values differ": lambda *a: covered(*a, only_first=True),
        "torch.float32, but it must be torch.float64": lambda *a: covered(*a, dtype=torch.float32),
        "it must be a tensor": lambda *a: None,
    },
    "repaired": {
        "the ReLU behind the sum is still missing": lambda *a: by_split(*a, relu=False),
        "the hook is still there": lambda *a: by_split(*a, hook=True),
        "class of the first one": lambda m, x, k, name: by_split(m, x, k[:1].expand_as(k), name),
        "the values differ": lambda *a: by_split(*a, mean=False),
        "it must be a tensor": lambda *a: None,
    },
}
