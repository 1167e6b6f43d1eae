"""Checks for the exercises of chapter "What networks get wrong"."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn
from torch.nn import functional as F

from utils.exercises.core import Answer, Behaviour, Task, Verdict, fail, not_yet

# ---- predictions --------------------------------------------------------------------------------------------------


def _moved() -> list[int]:
    """Return four bytes after FGSM with a budget of 16/255."""
    values = torch.tensor([5.0, 100.0, 250.0, 60.0]) / 255
    slopes = torch.tensor([-0.3, 1e-7, 2.0, 0.0])
    return (255 * (values + 16 / 255 * slopes.sign()).clamp(0, 1)).round().int().tolist()


moved = Answer(
    "moved",
    _moved,
    mistakes={
        "a pixel cannot become darker than 0 or brighter than 255.": [-11, 116, 266, 60],
        "the sign of 1e-7 is 1, as that of any number above 0: the size of the slope does not matter.": [
            0,
            100,
            255,
            60,
        ],
        "the loss shall rise: where the slope is negative, the pixel becomes darker.": [21, 84, 234, 60],
        "the sign of 0 is 0: that pixel stays.": [0, 116, 255, 76],
    },
)

# ---- attacks ------------------------------------------------------------------------------------------------------


def _setting(seed: int, number: int, height: int, width: int) -> tuple[nn.Module, torch.Tensor, torch.Tensor]:
    """Return a small network, images with black and white pixels among them, and labels."""
    draw = torch.Generator().manual_seed(seed)
    model = nn.Sequential(
        nn.Conv2d(2, 6, 3, padding=1), nn.Tanh(), nn.AdaptiveAvgPool2d(2), nn.Flatten(), nn.Linear(24, 4)
    )
    model = model.double().eval()
    for parameter in model.parameters():
        parameter.data = torch.randn(parameter.shape, generator=draw, dtype=torch.float64)
    images = torch.rand(number, 2, height, width, generator=draw, dtype=torch.float64)
    images = (1.4 * images - 0.2).clamp(0, 1)
    return model, images, torch.randint(0, 4, (number,), generator=draw)


def _seen(answer: Callable[..., Any], steps: bool) -> Callable[..., list[Any]]:
    """Return a function that lets the answer attack, and says what it has done to the images."""

    def look(seed: int, number: int, height: int, width: int, budget: int, *more: int) -> list[Any]:
        model, images, labels = _setting(seed, number, height, width)
        given = images.clone()
        extra = (more[0], more[1] / 255) if steps else ()
        found = answer(model, given, labels.clone(), budget / 255, *extra)
        if not isinstance(found, torch.Tensor) or found.shape != images.shape:
            what = tuple(found.shape) if isinstance(found, torch.Tensor) else type(found).__name__
            return [f"{what} instead of images {tuple(images.shape)}", "", [], []]
        found = found.detach().double()
        change = 255 * (found - images)
        inside = "all in [0, 1]" if found.min() >= 0 and found.max() <= 1 else "some outside [0, 1]"
        kept = inside if torch.equal(given, images) else "the images that were given are changed"
        counts = [int((change > 1e-6).sum()), int((change < -1e-6).sum()), int((change.abs() <= 1e-6).sum())]
        weights = torch.randn(change.numel(), generator=torch.Generator().manual_seed(1), dtype=torch.float64)
        trace = [round(change.abs().max().item(), 3), round((change.flatten() @ weights).item(), 3)]
        return [f"{tuple(found.shape)}", kept, counts, trace]

    return look


def _cases(rng: random.Random) -> list[tuple]:
    fixed = [(0, 1, 4, 4, 8), (1, 2, 3, 6, 1), (2, 3, 5, 4, 0), (3, 2, 6, 3, 200)]
    drawn = [(rng.randint(4, 999), rng.randint(1, 4), rng.randint(3, 7), rng.randint(3, 7), rng.randint(1, 40)) for _ in range(18)]  # fmt: skip
    return fixed + drawn


def _step_cases(rng: random.Random) -> list[tuple]:
    return [
        (*case, rng.randint(2, 5), rng.randint(1, 6) if case[4] < 10 else rng.randint(4, 20)) for case in _cases(rng)
    ]


def _slope(model: nn.Module, images: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    x = images.clone().requires_grad_()
    return torch.autograd.grad(F.cross_entropy(model(x), labels), x)[0]


def _fgsm(fault: str = "") -> Callable[..., torch.Tensor]:
    def attack(model: nn.Module, images: torch.Tensor, labels: torch.Tensor, budget: float) -> torch.Tensor:
        labels = model(images).argmax(1) if fault == "own" else labels
        slope = _slope(model, images, labels)
        way = slope if fault == "no sign" else slope.sign()
        way = -way if fault == "down" else way
        if fault == "change":
            return budget * way
        moved = images + budget * way * (255 if fault == "bytes" else 1)
        return moved if fault == "no clamp" else moved.clamp(0, 1)

    return attack


fgsm = Behaviour(
    "fgsm",
    _seen(_fgsm(), steps=False),
    _cases,
    mistakes={
        "pixels leave [0, 1]: no picture has such values; clamp them.": _fgsm("no clamp"),
        "the loss falls: this helps the network; the attack goes up the gradient.": _fgsm("down"),
        "the sign of the gradient is missing: each pixel shall use the whole budget.": _fgsm("no sign"),
        "that is the change alone; add it to the images.": _fgsm("change"),
        "the budget is in units of [0, 1] already.": _fgsm("bytes"),
        "the loss is that of the given labels, not of the network's answers.": _fgsm("own"),
    },
    behaviour=lambda answer: _seen(answer, steps=False),
)


def _pgd(*faults: str) -> Callable[..., torch.Tensor]:
    def attack(
        model: nn.Module, images: torch.Tensor, labels: torch.Tensor, budget: float, steps: int, step: float
    ) -> torch.Tensor:
        x = images.clone()
        for _ in range(steps):
            slope = _slope(model, images if "same slope" in faults else x, labels)
            before = x
            x = x + step * (slope if "no sign" in faults else slope.sign())
            centre = before if "moving box" in faults else images
            if "no box" not in faults:
                x = torch.minimum(torch.maximum(x, centre - budget), centre + budget)
            if "no range" not in faults:
                x = x.clamp(0, 1)
        return x

    return attack


repaired = Behaviour(
    "repaired",
    _seen(_pgd(), steps=True),
    _step_cases,
    mistakes={
        "all three faults are still there.": _pgd("no sign", "moving box", "no range"),
        "two are left: the box moves along with the image, and pixels leave [0, 1].": _pgd("moving box", "no range"),
        "two are left: the sign is missing, and pixels leave [0, 1].": _pgd("no sign", "no range"),
        "two are left: the sign is missing, and the box moves along with the image.": _pgd("no sign", "moving box"),
        "the box moves along: after n steps the image may be n budgets away; its centre is the original.": _pgd(
            "moving box"
        ),
        "there is no box at all: many steps leave the budget.": _pgd("no box"),
        "pixels leave [0, 1]: no picture has such values.": _pgd("no range"),
        "the sign of the gradient is missing: the steps are far too small.": _pgd("no sign"),
        "the gradient has to be taken anew at each place, not at the original each time.": _pgd("same slope"),
    },
    behaviour=lambda answer: _seen(answer, steps=True),
)

# ---- fool a network -----------------------------------------------------------------------------------------------

BUDGET, BAR, NUMBER = 0.15, 0.65, 60


@dataclass(frozen=True)
class _Fool(Answer):
    """An attack on LeNet: budget and range are measured, and what share of the digits is no longer read."""

    def __call__(self, answer: Any) -> Verdict:
        if answer is ...:
            return not_yet(self.name, "write a function that returns changed digits.")
        if not callable(answer):
            return fail(self.name, f"{self.name} is {type(answer).__name__}, but it must be a function.")
        from utils.activations import evaluating
        from utils.data import digits
        from utils.models.lenet import DIGITS_WEIGHTS, LeNet
        from utils.training import load_weights

        data = digits().test
        network = load_weights(LeNet(), DIGITS_WEIGHTS).eval()
        model = nn.Sequential(_Standardise(data.mean[0], data.std[0]), network).eval()
        images, labels = data.images[:200].float() / 255, data.labels[:200]
        with torch.no_grad():
            read = (model(images).argmax(1) == labels).nonzero()[:NUMBER, 0]
        images, labels = images[read], labels[read]
        weights = [p.detach().clone() for p in model.parameters()]
        given = images.clone()
        try:
            found = answer(model, given, labels.clone(), BUDGET)
        except NotImplementedError as error:
            return not_yet(self.name, str(error))
        except Exception as error:
            return fail(self.name, f"the attack raises {type(error).__name__}: {str(error).splitlines()[0]}")
        if not isinstance(found, torch.Tensor) or found.shape != images.shape:
            what = f"a tensor {tuple(found.shape)}" if isinstance(found, torch.Tensor) else f"a {type(found).__name__}"
            return fail(self.name, f"the attack returns {what}, but it must return images {tuple(images.shape)}.")
        if not torch.equal(given, images):
            return fail(self.name, "the given digits are changed; work on a copy (`.clone()`).")
        if any(not torch.equal(a, b) for a, b in zip(weights, model.parameters(), strict=True)):
            return fail(self.name, "the network's weights are changed: the attack may change pixels alone.")
        found = found.detach().to(images.dtype)
        if not (found.isfinite().all() and found.min() >= 0 and found.max() <= 1):
            return fail(
                self.name, f"the pixels go from {found.min():.3f} to {found.max():.3f}, but must lie in [0, 1]."
            )
        largest = (found - images).abs().max().item()
        if largest > BUDGET + 1e-6:
            return fail(self.name, f"a pixel was changed by {largest:.3f}, but the budget is {BUDGET}.")
        with evaluating(model), torch.no_grad():
            fooled = (model(found).argmax(1) != labels).double().mean().item()
        if fooled < BAR:
            return fail(
                self.name,
                f"{fooled:.0%} of {NUMBER} digits are no longer read; at least {BAR:.0%} are asked for.",
                "Hint: one step reaches about half. Take ten steps of a fifth of the budget, each followed by the projection.",
            )
        print(f"✓ {self.name}: the budget is kept, and at least {BAR:.0%} of {NUMBER} digits are no longer read.")
        return Verdict(True)


class _Standardise(nn.Module):
    def __init__(self, mean: float, std: float) -> None:
        super().__init__()
        self.mean, self.std = mean, std

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return (x - self.mean) / self.std


fool = _Fool("fool", lambda: None)

# ---- shape bias ---------------------------------------------------------------------------------------------------


def _bias(answers: torch.Tensor, shapes: torch.Tensor, textures: torch.Tensor) -> float:
    conflict = shapes != textures
    shape, texture = (((answers == cue) & conflict).sum().item() for cue in (shapes, textures))
    return shape / (shape + texture)


def _bias_cases(rng: random.Random) -> list[tuple]:
    cases = [([2, 0, 1, 1], [2, 1, 1, 0], [0, 0, 1, 2]), ([1, 1], [1, 0], [0, 0]), ([3, 3, 3], [1, 3, 2], [3, 0, 2])]
    for _ in range(20):
        number, classes = rng.randint(5, 30), rng.randint(3, 8)
        shapes, textures = ([rng.randrange(classes) for _ in range(number)] for _ in range(2))
        answers = [rng.choice([s, t, t, rng.randrange(classes)]) for s, t in zip(shapes, textures, strict=True)]
        shapes[0], textures[0], answers[0] = 0, 1, rng.randrange(2)  # one at least is decided
        cases.append((answers, shapes, textures))
    return [tuple(torch.tensor(row) for row in case) for case in cases]


shape_bias = Task(
    "shape_bias",
    _bias,
    _bias_cases,
    mistakes={
        "where shape and texture are of one class, an answer decides nothing: leave those images out.": lambda a, s, t: (
            (a == s).sum().item() / ((a == s).sum() + (a == t).sum()).item()
        ),
        "answers of a third class are left out as well: divide by those that are of the shape or of the texture.": (
            lambda a, s, t: ((a == s) & (s != t)).sum().item() / max(1, (s != t).sum().item())
        ),
        "that is the texture bias: 1 minus the shape bias.": lambda a, s, t: 1 - _bias(a, s, t),
        "that is the accuracy on all images.": lambda a, s, t: (a == s).double().mean().item(),
        "that is a percentage; asked for is a share from 0 to 1.": lambda a, s, t: 100 * _bias(a, s, t),
    },
)
