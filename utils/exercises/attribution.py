"""Checks of the exercises of chapter Attribution."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn
from torch.nn import functional as F

from utils.exercises.core import Behaviour


@dataclass(frozen=True)
class Batch:
    """What an answer is tried on, small enough to be named in a message."""

    images: int
    height: int
    width: int
    seed: int

    def __repr__(self) -> str:
        return f"{self.images} image(s) of 2×{self.height}×{self.width}, network {self.seed}"

    def made(self) -> tuple[nn.Module, torch.Tensor, torch.Tensor]:
        """Return a network in evaluation mode, its images, and one class for each of them."""
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(self.seed)
            model = nn.Sequential(
                nn.Conv2d(2, 6, 3, padding=1), nn.ReLU(), nn.Conv2d(6, 5, 3, padding=1), nn.Tanh(),
                nn.Flatten(), nn.Linear(5 * self.height * self.width, 4),
            ).double().eval()  # fmt: skip
            images = torch.randn(self.images, 2, self.height, self.width, dtype=torch.float64)
            return model, images, torch.randint(4, (self.images,))


def _batches(rng: random.Random, number: int = 20) -> list[tuple[Batch]]:
    sizes = [(1, 6, 6), (2, 5, 8), *((rng.randint(1, 3), rng.randint(4, 9), rng.randint(4, 9)) for _ in range(number))]
    return [(Batch(*size, seed),) for seed, size in enumerate(sizes)]


def _looked_at(extra: Callable[[Batch, torch.Tensor], tuple] = lambda batch, images: ()) -> Callable[..., Any]:
    """Return what makes of an answer a function of a batch: its map, and what it left in the model and images."""

    def behaviour(answer: Callable[..., Any]) -> Callable[[Batch], Any]:
        def look(batch: Batch) -> tuple[Any, str]:
            model, images, classes = batch.made()
            before = images.clone()
            maps = answer(model, images, classes, *extra(batch, before))
            left = []
            if any(p.grad is not None for p in model.parameters()) or images.grad is not None:
                left.append("gradients left behind")
            if any(layer._forward_hooks for layer in model.modules()):
                left.append("a hook left behind")
            if not torch.equal(images, before):
                left.append("the images changed")
            if isinstance(maps, torch.Tensor) and maps.requires_grad:
                left.append("the map still has its graph; detach it")
            return maps, ", ".join(left) or "nothing left behind"

        return look

    return behaviour


def _clean(function: Callable[..., torch.Tensor]) -> Callable[[Batch], Any]:
    """Return the reference: one image at a time, by ``function(score of an image, image)``."""

    def look(batch: Batch) -> tuple[torch.Tensor, str]:
        model, images, classes = batch.made()
        rows = [function(model, x, k) for x, k in zip(images, classes.tolist(), strict=True)]
        return torch.stack(rows), "nothing left behind"

    return look


def _slope(model: nn.Module, image: torch.Tensor, k: int) -> torch.Tensor:
    return torch.autograd.functional.jacobian(lambda x: model(x[None])[0, k], image)


def _slopes(model: nn.Module, images: torch.Tensor, classes: torch.Tensor | None) -> torch.Tensor:
    x = images.detach().clone().requires_grad_()
    logits = model(x)
    scores = logits if classes is None else logits.gather(1, classes[:, None])
    return torch.autograd.grad(scores.sum(), x)[0]


# Task 1: saliency


def _accumulated(model, images, classes):
    x = images.clone().requires_grad_()
    model(x).gather(1, classes[:, None]).sum().backward()
    return x.grad.abs().amax(1)


saliency = Behaviour(
    "saliency",
    _clean(lambda model, x, k: _slope(model, x, k).abs().amax(0)),
    _batches,
    behaviour=_looked_at(),
    mistakes={
        "the absolute value is missing: a pixel that lowers the score matters, too.": (
            lambda m, x, k: _slopes(m, x, k).amax(1)
        ),
        "these are sums over the channels; take the largest absolute value.": lambda m, x, k: (
            _slopes(m, x, k).abs().sum(1)
        ),
        "the scores of all classes are added; take that of each image's own class.": (
            lambda m, x, k: _slopes(m, x, None).abs().amax(1)
        ),
        "every image is asked for the class of the first one; use gather.": (
            lambda m, x, k: _slopes(m, x, k[:1].expand_as(k)).abs().amax(1)
        ),
        "this is the answer's class, not the one that is given.": (
            lambda m, x, k: _slopes(m, x, m(x).argmax(1)).abs().amax(1)
        ),
        "backward() leaves gradients in all parameters; use torch.autograd.grad(scores.sum(), x).": _accumulated,
        "the mean over the batch divides every map by the number of images; add the scores up.": (
            lambda m, x, k: _slopes(m, x, k).abs().amax(1) / len(x)
        ),
    },
)

# Task 2: Grad-CAM


def _cam_of(model: nn.Module, image: torch.Tensor, k: int) -> torch.Tensor:
    maps = model[:4](image[None])[0].detach()
    slopes = torch.autograd.functional.jacobian(lambda a: model[4:](a[None])[0, k], maps)
    return sum(slope.mean() * a for slope, a in zip(slopes, maps, strict=True)).relu()


def _grad_cam(model, images, classes, name, *, weigh=lambda s: s.mean((2, 3), keepdim=True), relu=True, own=True):
    start = int(name) + 1
    maps = model[:start](images).detach().requires_grad_()
    logits = model[start:](maps)
    slopes = torch.autograd.grad((logits.gather(1, classes[:, None]) if own else logits).sum(), maps)[0]
    summed = (weigh(slopes) * maps).sum(1).detach()
    return summed.relu() if relu else summed


def _leaking(model, images, classes, name):
    model.get_submodule(name).register_forward_hook(lambda *_: None)
    return _grad_cam(model, images, classes, name)


grad_cam = Behaviour(
    "grad_cam",
    _clean(_cam_of),
    _batches,
    behaviour=_looked_at(lambda batch, images: ("3",)),
    mistakes={
        "the ReLU is forgotten: only what speaks for the class is kept.": lambda *a: _grad_cam(*a, relu=False),
        "the hook was not removed; use capture, or handle.remove() in a finally.": _leaking,
        "the scores of all classes are added; take that of each image's own class.": lambda *a: _grad_cam(
            *a, own=False
        ),
        "the maps are multiplied by the gradient place by place; take its mean over the places first.": (
            lambda *a: _grad_cam(*a, weigh=lambda s: s)
        ),
        "the weights are sums over the places, h·w times too large; take means.": (
            lambda *a: _grad_cam(*a, weigh=lambda s: s.sum((2, 3), keepdim=True))
        ),
        "the ReLU belongs behind the sum, not on the weights.": (
            lambda *a: _grad_cam(*a, weigh=lambda s: s.mean((2, 3), keepdim=True).relu())
        ),
    },
)

# Task 3: integrated gradients

STEPS = 8


def _path(model, images, classes, baseline, steps, *, places=None, scale=True):
    total = torch.zeros_like(images)
    for n in range(steps):
        a = (n + 0.5) / steps if places is None else places(n, steps)
        total += _slopes(model, baseline + a * (images - baseline), classes)
    return (images - baseline) * total / steps if scale else total / steps


def _path_of(model: nn.Module, image: torch.Tensor, k: int) -> torch.Tensor:
    base = torch.full_like(image, -0.5)
    way = torch.stack([base + (n + 0.5) / STEPS * (image - base) for n in range(STEPS)])
    return torch.stack([_slope(model, x, k) for x in way]).mean(0) * (image - base)


integrated_gradients = Behaviour(
    "integrated_gradients",
    _clean(_path_of),
    lambda rng: _batches(rng, 18),
    behaviour=_looked_at(lambda batch, images: (torch.full_like(images, -0.5), STEPS)),
    mistakes={
        "the factor (image − baseline) is missing.": lambda *a: _path(*a, scale=False),
        "the baseline is left out: this starts at 0.": lambda m, x, k, b, n: _path(m, x, k, torch.zeros_like(x), n),
        "the factor is the image; it must be the image minus the baseline.": (
            lambda m, x, k, b, n: _path(m, x, k, b, n, scale=False) * x
        ),
        "the gradient is taken at the beginning of each step; take the middle, (n + 0.5) / steps.": (
            lambda *a: _path(*a, places=lambda n, steps: n / steps)
        ),
        "the gradient is taken at the end of each step; take the middle, (n + 0.5) / steps.": (
            lambda *a: _path(*a, places=lambda n, steps: (n + 1) / steps)
        ),
        "the gradients are added up; divide by the number of steps.": lambda *a: a[4] * _path(*a),
        "this is one gradient at the image, not the mean along the way.": (
            lambda m, x, k, b, n: (x - b) * _slopes(m, x, k)
        ),
    },
)

# Task 4: occlusion, with squares that do not overlap


@torch.no_grad()
def _covered(model, images, classes, patch, fill=0.0, *, sign=1, log=False):
    def score(x):
        return (model(x).softmax(1) if log else model(x)).gather(1, classes[:, None])[:, 0]

    maps, before = torch.zeros_like(images[:, 0]), score(images)
    for r in range(0, images.shape[2], patch):
        for c in range(0, images.shape[3], patch):
            x = images.clone()
            x[:, :, r : r + patch, c : c + patch] = fill
            maps[:, r : r + patch, c : c + patch] = sign * (before - score(x))[:, None, None]
    return maps


def _covered_of(model: nn.Module, image: torch.Tensor, k: int) -> torch.Tensor:
    """By masks that are enlarged from single squares."""
    height, width = image.shape[1:]
    rows, columns = -(-height // 3), -(-width // 3)
    single = torch.eye(rows * columns, dtype=image.dtype).view(-1, 1, rows, columns)
    masks = F.interpolate(single, scale_factor=3)[:, :, :height, :width]
    with torch.no_grad():
        falls = model(image[None])[0, k] - model(image * (1 - masks))[:, k]
    return (falls[:, None, None] * masks[:, 0]).sum(0)


def _in_place(model, images, classes, patch):
    result = _covered(model, images, classes, patch)
    images[:, :, :patch, :patch] = 0
    return result


occlusion = Behaviour(
    "occlusion",
    _clean(_covered_of),
    lambda rng: _batches(rng, 18),
    behaviour=_looked_at(lambda batch, images: (3,)),
    mistakes={
        "the sign is turned: it is the score before minus the score when covered.": lambda *a: _covered(*a, sign=-1),
        "the images are covered and stay so; clone them for every patch.": _in_place,
        "these are probabilities; the score is the logit.": lambda *a: _covered(*a, log=True),
        "the patch is filled with 1, not with 0.": lambda *a: _covered(*a, fill=1.0),
    },
)

# Task 5: repair. The reference and the mistakes are those of Grad-CAM, each fault by itself and together.

repaired = Behaviour(
    "repaired",
    _clean(_cam_of),
    _batches,
    behaviour=_looked_at(lambda batch, images: ("3",)),
    mistakes={
        "nothing is repaired yet: class, gradients, ReLU and hook are all wrong.": (
            lambda m, x, k, name: (
                m.register_forward_hook(lambda *_: None),
                _grad_cam(m, x, m(x).argmin(1), name, relu=False),
            )[1]
        ),
        "the ReLU behind the sum is still missing.": lambda *a: _grad_cam(*a, relu=False),
        "the hook is still there when the function returns; remove it, also after an error.": _leaking,
        "the scores of all classes are still added; each image has its own class.": lambda *a: _grad_cam(*a, own=False),
        "every image is still asked for the class of the first one.": (
            lambda m, x, k, name: _grad_cam(m, x, k[:1].expand_as(k), name)
        ),
    },
)
