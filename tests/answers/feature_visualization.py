"""Answers to the exercises of chapter feature_visualization: right ones written differently, and plausible wrong ones."""

from __future__ import annotations

import torch


def with_einsum(maps, channel, place):
    if place:
        return torch.stack([image[channel][place] for image in maps])
    return torch.einsum("nchw->nc", maps)[:, channel] / (maps.shape[2] * maps.shape[3])


def by_slices(images):
    right = (images[..., 1:] - images[..., :-1]).abs().flatten(1).sum(1)
    return right + (images[:, :, :-1] - images[:, :, 1:]).abs().flatten(1).sum(1)


def by_loop(values, width, decay):
    height = values.shape[2]
    scaled = torch.zeros(values.shape[:-1], dtype=torch.complex128)
    for row in range(height):
        for column in range(width // 2 + 1):
            periods = min(row, height - row) / height
            frequency = max((periods**2 + (column / width) ** 2) ** 0.5, 1 / max(height, width))
            scaled[:, :, row, column] = torch.complex(*values[:, :, row, column].unbind(-1)) / frequency**decay
    return 1 / (1 + (-torch.fft.irfft2(scaled, (height, width), norm="ortho")).exp())


def waves(values, width, decay, norm="ortho", sign=-1, last=torch.sigmoid, floor=True):
    height = values.shape[2]
    f = torch.hypot(torch.fft.fftfreq(height)[:, None].double(), torch.fft.rfftfreq(width).double())
    f = f.clamp(min=1 / max(height, width)) if floor else f + (f == 0)
    return last(torch.fft.irfft2(torch.view_as_complex(values) * f ** (sign * decay), s=(height, width), norm=norm))


def with_backward(model, image, steps, rate):
    was = model.training
    model.eval()
    image = image.clone()
    for _ in range(steps):
        image.requires_grad_(True)
        model(image).sum().backward()
        with torch.no_grad():
            image = (image + rate * image.grad / image.grad.abs().mean()).clip(0, 1)
    return model.train(was) and image.detach()


def broken(model, image, steps, rate, evaluation=False, sign=-1, normalised=False, clamped=False, back=True):
    was = model.training
    if evaluation:
        model.eval()
    for _ in range(steps):
        image = image.detach().clone().requires_grad_()
        (slope,) = torch.autograd.grad(model(image).sum(), image)
        if normalised:
            slope = slope / slope.abs().mean()
        image = image.detach() + sign * rate * slope
        if clamped:
            image = image.clamp(0, 1)
    if back:
        model.train(was)
    return image


FIXED = {"evaluation": True, "sign": 1, "normalised": True, "clamped": True}

RIGHT = {
    "objective": [with_einsum],
    "total_variation": [by_slices],
    "from_waves": [by_loop, waves],
    "repaired": [with_backward],
}

WRONG = {
    "objective": {
        "not their sum": lambda m, c, p: m[:, c].sum((1, 2)) if p is None else m[:, c, p[0], p[1]],
        "not the largest value": lambda m, c, p: m[:, c].amax((1, 2)) if p is None else m[:, c, p[0], p[1]],
        "over the batch": lambda m, c, p: m[:, c].mean() if p is None else m[:, c, p[0], p[1]].mean(),
        "only the value at that place": lambda m, c, p: m[:, c].mean((1, 2)),
        "the row is the first": lambda m, c, p: m[:, c].mean((1, 2)) if p is None else m[:, c, p[1], p[0]],
        "not the middle": lambda m, c, p: (
            m[:, c].mean((1, 2)) if p is None else m[:, c, m.shape[2] // 2, m.shape[3] // 2]
        ),
        "its sign counts": lambda m, c, p: m[:, c].square().mean((1, 2)) if p is None else m[:, c, p[0], p[1]],
        "it must be a tensor": lambda m, c, p: None,
        "torch.float32": lambda m, c, p: with_einsum(m, c, p).float(),
    },
    "total_variation": {
        "cancel": lambda x: x.diff(dim=2).sum((1, 2, 3)) + x.diff(dim=3).sum((1, 2, 3)),
        "not their squares": lambda x: x.diff(dim=2).square().sum((1, 2, 3)) + x.diff(dim=3).square().sum((1, 2, 3)),
        "down the columns are missing": lambda x: x.diff(dim=3).abs().sum((1, 2, 3)),
        "along the rows are missing": lambda x: x.diff(dim=2).abs().sum((1, 2, 3)),
        "around the edge": lambda x: sum((x - x.roll(1, d)).abs().sum((1, 2, 3)) for d in (2, 3)),
        "keep the first axis": lambda x: by_slices(x).sum(),
        "the function changed its arguments": lambda x: (by_slices(x), x.zero_())[0],
        "the values differ": lambda x: torch.zeros_like(by_slices(x)),
    },
    "from_waves": {
        "fine waves are made stronger": lambda v, w, d: waves(v, w, d, sign=1),
        "not divided by the frequency": lambda v, w, d: waves(v, w, 0),
        "count as that": lambda v, w, d: waves(v, w, d, floor=False),
        "the sigmoid is missing": lambda v, w, d: waves(v, w, d, last=lambda x: x),
        "much fainter": lambda v, w, d: waves(v, w, d, norm="backward"),
        "it must have": lambda v, w, d: waves(v, w, d)[:, :1, :-1],
        "it must be a tensor": lambda v, w, d: waves(v, w, d).tolist(),
    },
    "repaired": {
        "nothing is repaired yet": broken,
        "does not change": lambda model, image, steps, rate: image.clone(),
        "that of descent": lambda *a: broken(*a, **FIXED | {"sign": -1}),
        "in training mode": lambda *a: broken(*a, **FIXED | {"evaluation": False}),
        "is not normalised": lambda *a: broken(*a, **FIXED | {"normalised": False}),
        "leaves the range": lambda *a: broken(*a, **FIXED | {"clamped": False}),
        "give it back the mode": lambda *a: broken(*a, **FIXED, back=False),
        "three faults are left": lambda *a: broken(*a, sign=1),
        "not a tensor": lambda *a: None,
    },
}
