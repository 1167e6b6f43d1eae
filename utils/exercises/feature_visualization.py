"""Checks for the exercises of chapter "Feature visualisation"."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

import torch
from torch import nn
from torch.nn import functional as F

from utils.exercises.core import Behaviour, Task, rounded

Images = torch.Tensor

# ---- 1: the objective -----------------------------------------------------------------------------------------------


def _objective(maps: Images, channel: int, place: tuple[int, int] | None) -> Images:
    if place is None:
        return F.adaptive_avg_pool2d(maps, 1)[:, channel, 0, 0]
    return maps[:, channel].flatten(1).index_select(1, torch.tensor([place[0] * maps.shape[3] + place[1]]))[:, 0]


def _objective_cases(rng: random.Random) -> list[tuple]:
    torch.manual_seed(rng.randrange(2**31))
    shapes = [(2, 3, 3, 3), (1, 1, 1, 1), (3, 4, 2, 5), (3, 3, 5, 2), (4, 2, 4, 4)]
    shapes += [tuple(rng.randint(1, 6) for _ in range(4)) for _ in range(15)]
    cases = []
    for n, c, h, w in shapes:
        for place in (None, (rng.randrange(h), rng.randrange(w))):
            cases.append((torch.randn(n, c, h, w).double(), rng.randrange(c), place))
    return cases


def _wrong_objective(maps: Images, channel: int, place: tuple[int, int] | None, way: str) -> Images:
    mine = maps[:, channel]
    if place is None:
        if way == "sum":
            return mine.sum((1, 2))
        if way == "max":
            return mine.amax((1, 2))
        if way == "square":
            return mine.square().mean((1, 2))
        if way == "batch":
            return mine.mean()
        if way == "image":
            return maps[channel].mean((1, 2))
    if way == "channel mean" or place is None:
        return mine.mean((1, 2))
    if way == "batch":
        return mine[:, place[0], place[1]].mean()
    if way == "middle":
        return mine[:, mine.shape[1] // 2, mine.shape[2] // 2]
    return mine[:, place[1], place[0]] if way == "swapped" else mine[:, place[0], place[1]]


def _way(way: str) -> Callable[..., Images]:
    return lambda maps, channel, place: _wrong_objective(maps, channel, place, way)


objective = Task(
    "objective",
    _objective,
    _objective_cases,
    mistakes={
        "a channel is the mean over its places, not their sum: it shall not depend on the size of the image.": _way(
            "sum"
        ),
        "a channel is the mean over its places, not the largest value, which has a gradient at one place only.": _way(
            "max"
        ),
        "the square belongs to the objective of a layer; a channel shall rise, so its sign counts.": _way("square"),
        "each image has a value of its own: average over height and width, not over the batch.": _way("batch"),
        "the first axis counts the images, the second the channels.": _way("image"),
        "where a place is given, only the value at that place counts.": _way("channel mean"),
        "a place is (row, column): the row is the first of the two.": _way("swapped"),
        "the place that is given counts, not the middle of the map.": _way("middle"),
    },
)

# ---- 2: total variation ---------------------------------------------------------------------------------------------


def _variation(images: Images) -> Images:
    # Differences as convolutions with (−1, 1), each channel for itself.
    n, c, h, w = images.shape
    kernel = torch.tensor([-1.0, 1.0], dtype=images.dtype)
    flat = images.reshape(n * c, 1, h, w)
    total = torch.zeros(n, dtype=images.dtype)
    for shape, possible in (((1, 1, 1, 2), w > 1), ((1, 1, 2, 1), h > 1)):
        if possible:
            total = total + F.conv2d(flat, kernel.view(shape)).abs().reshape(n, -1).sum(1)
    return total


def _differences(
    images: Images, size: Callable[[Images], Images] = torch.abs, right: bool = True, down: bool = True
) -> Images:
    parts = [images.diff(dim=d) for d, wanted in ((3, right), (2, down)) if wanted]
    return sum(size(part).sum((1, 2, 3)) for part in parts)


def _image_cases(rng: random.Random) -> list[tuple]:
    torch.manual_seed(rng.randrange(2**31))
    shapes = [(1, 1, 2, 2), (2, 3, 4, 4), (2, 3, 1, 5), (2, 3, 5, 1), (3, 1, 2, 6), (1, 3, 1, 1)]
    shapes += [tuple(rng.randint(1, 6) for _ in range(4)) for _ in range(16)]
    return [(torch.rand(*shape).double(),) for shape in shapes]


total_variation = Task(
    "total_variation",
    _variation,
    _image_cases,
    mistakes={
        "take absolute differences; with their signs a rise and a fall cancel.": lambda x: _differences(x, lambda d: d),
        "absolute differences are asked for, not their squares.": lambda x: _differences(x, torch.square),
        "the differences down the columns are missing.": lambda x: _differences(x, down=False),
        "the differences along the rows are missing.": lambda x: _differences(x, right=False),
        "add the differences up; a mean was not asked for.": lambda x: (
            x.diff(dim=3).abs().mean((1, 2, 3)) + x.diff(dim=2).abs().mean((1, 2, 3))
        ),
        "the last pixel of a row is no neighbour of the first: roll goes around the edge.": lambda x: (
            (x - x.roll(1, 3)).abs().sum((1, 2, 3)) + (x - x.roll(1, 2)).abs().sum((1, 2, 3))
        ),
        "each image has a value of its own; keep the first axis.": lambda x: _differences(x).sum(),
        "neighbours are pixels of one channel; differences between channels do not count.": lambda x: (
            _differences(x) + x.diff(dim=1).abs().sum((1, 2, 3))
        ),
    },
)

# ---- 3: a Fourier parametrisation -----------------------------------------------------------------------------------


def _from_waves(
    values: Images, width: int, decay: float, sign: float = -1.0, floor: bool = True, squash: bool = True,
    norm: str = "ortho", root: float = 0.5, given: bool = True,
) -> Images:  # fmt: skip
    height = values.shape[2]
    down, right = torch.fft.fftfreq(height).double()[:, None], torch.fft.rfftfreq(width).double()
    frequency = (down**2 + right**2) ** root
    frequency = frequency.clamp(min=1 / max(height, width)) if floor else frequency + (frequency == 0)
    spectrum = torch.view_as_complex(values) * frequency ** (sign * decay)
    plane = torch.fft.irfft2(spectrum, s=(height, width) if given else None, norm=norm)
    return plane.sigmoid() if squash else plane


def _wave_cases(rng: random.Random) -> list[tuple]:
    torch.manual_seed(rng.randrange(2**31))
    shapes = [(1, 1, 4, 4), (2, 3, 6, 4), (1, 3, 5, 7), (2, 1, 3, 8), (1, 3, 4, 5)]
    shapes += [(rng.randint(1, 3), rng.randint(1, 3), rng.randint(2, 9), rng.randint(2, 9)) for _ in range(16)]
    return [
        (0.3 * torch.randn(n, c, h, w // 2 + 1, 2).double(), w, rng.choice([0.5, 1.0, 1.3])) for n, c, h, w in shapes
    ]


from_waves = Task(
    "from_waves",
    _from_waves,
    _wave_cases,
    mistakes={
        "divide by the frequency; here fine waves are made stronger.": lambda *a: _from_waves(*a, sign=1.0),
        "the amplitudes are not divided by the frequency.": lambda *a: _from_waves(*a, sign=0.0),
        "frequencies below 1 / max(height, width) count as that, the constant wave too: clamp them.": (
            lambda *a: _from_waves(*a, floor=False)
        ),
        "the sigmoid is missing: values lie outside of 0 and 1.": lambda *a: _from_waves(*a, squash=False),
        'norm="ortho" is missing: without it the plane is much fainter.': lambda *a: _from_waves(*a, norm="backward"),
        "the frequency of a wave is the root of the sum of squares.": lambda *a: _from_waves(*a, root=1.0),
        "an odd width cannot be read from the spectrum: give s=(height, width).": lambda *a: _from_waves(
            *a, given=False
        ),
    },
)

# ---- 4: a dream that does not rise ----------------------------------------------------------------------------------


def _network(seed: int) -> nn.Module:
    torch.manual_seed(seed)
    body = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.Tanh(), nn.Conv2d(4, 1, 2), nn.Flatten()).double()
    body[1].running_mean.normal_(0, 0.3)
    body[1].running_var.uniform_(0.5, 2)
    body[3].weight.data.mul_(100)  # a steep one: a step that is not normalised leaves the range
    return body


def ascend(
    model: nn.Module, image: Images, steps: int, rate: float,
    evaluation: bool = True, sign: float = 1.0, normalised: bool = True, clamped: bool = True, back: bool = True,
) -> Images:  # fmt: skip
    """Return the image after some steps; each of the last five arguments is a fault when it is switched."""
    training = model.training
    if evaluation:
        model.eval()
    for _ in range(steps):
        image = image.detach().clone().requires_grad_()
        (slope,) = torch.autograd.grad(model(image).sum(), image)
        slope = slope / slope.abs().mean() if normalised else slope
        image = image.detach() + sign * rate * slope
        image = image.clamp(0, 1) if clamped else image
    if back:
        model.train(training)
    return image


def _ascent(answer: Callable[..., Any]) -> Callable[..., list]:
    def seen(seed: int, steps: int, rate: float, training: bool) -> list:
        model = _network(seed).train(training)
        image = 0.5 + 0.05 * torch.randn(1, 3, 5 + seed % 3, 6).double()
        before, mean = image.clone(), model[1].running_mean.clone()
        result = answer(model, image, steps, rate)
        kept = "the statistics are as before" if torch.equal(mean, model[1].running_mean) else "its statistics changed"
        return [
            f"the model is in {'training' if model.training else 'evaluation'} mode",
            kept,
            "the given image is as before" if torch.equal(image.detach(), before) else "the given image was changed",
            rounded(result) if isinstance(result, torch.Tensor) else f"{type(result).__name__}, not a tensor",
        ]

    return seen


def _ascent_cases(rng: random.Random) -> list[tuple]:
    return [(rng.randrange(1000), 1 + i % 5, rng.choice([0.01, 0.05, 0.2]), i % 2 == 0) for i in range(24)]


def _faulty(**faults: Any) -> Callable[..., Images]:
    return lambda *a: ascend(*a, **faults)


repaired = Behaviour(
    "repaired",
    _ascent(ascend),
    _ascent_cases,
    mistakes={
        "nothing is repaired yet.": _faulty(evaluation=False, sign=-1.0, normalised=False, clamped=False),
        "the sign is that of descent: add the gradient.": _faulty(sign=-1.0),
        "the image does not change: each step adds rate times the gradient to it.": _faulty(sign=0.0),
        "the model is in training mode: batch norm takes the image's own statistics, and changes its running ones.": (
            _faulty(evaluation=False)
        ),
        "the gradient is not normalised: divide it by its mean absolute value.": _faulty(normalised=False),
        "the image leaves the range from 0 to 1: clamp it after each step.": _faulty(clamped=False),
        "the model stays in evaluation mode; give it back the mode that it had.": _faulty(back=False),
        "two faults are left: the mode of the model, and the size of the gradient.": (
            _faulty(evaluation=False, normalised=False)
        ),
        "two faults are left: the mode of the model, and the range of the image.": _faulty(
            evaluation=False, clamped=False
        ),
        "two faults are left: the size of the gradient, and the range of the image.": (
            _faulty(normalised=False, clamped=False)
        ),
        "three faults are left; the sign is right now. Look at the mode of the model, the size of the gradient, the range "
        "of the image.": _faulty(evaluation=False, normalised=False, clamped=False),
    },
    behaviour=_ascent,
)
