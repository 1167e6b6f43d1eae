"""What a unit wants to see: an image is changed, step by step, until the unit answers as strongly as it can.

Activation maximisation: D. Erhan, Y. Bengio, A. Courville and P. Vincent, "Visualizing higher-layer features of a deep
network", technical report 1341, University of Montreal, 2009. Fourier parametrisation, decorrelated colours and
transformation robustness: C. Olah, A. Mordvintsev and L. Schubert, "Feature visualization", Distill, 2017. DeepDream:
A. Mordvintsev, C. Olah and M. Tyka, "Inceptionism: going deeper into neural networks", Google Research blog, 2015.

Images are float (N, 3, H, W) in [0, 1] throughout; ``mean`` and ``std`` standardise them on their way into the network.
Chapter: Feature visualisation.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from functools import cache

import torch
from torch import nn
from torch.nn import functional as F

from utils.activations import capture, evaluating
from utils.models.inputs import check_counts

# ---- objectives: which number shall rise --------------------------------------------------------------------------


@dataclass(frozen=True)
class Objective:
    """A number for each image, which shall rise.

    Attributes
    ----------
    layer : str or None
        A name as in ``model.named_modules()``; None is the model's own output.
    score : callable
        What the layer gives, (N, …) → (N,).
    name : str
    """

    layer: str | None
    score: Callable[[torch.Tensor], torch.Tensor]
    name: str


def neuron(layer: str, channel: int, row: int | None = None, column: int | None = None) -> Objective:
    """Return the objective of one unit of a map (N, C, H, W): a channel at one place, the middle when none is given."""

    def score(output: torch.Tensor) -> torch.Tensor:
        _check_maps(output, layer)
        height, width = output.shape[2:]
        place = (height // 2 if row is None else row, width // 2 if column is None else column)
        for value, size, what in ((channel, output.shape[1], "channel"), (place[0], height, "row"), (place[1], width, "column")):  # fmt: skip
            _check_index(value, size, what, layer)
        return output[:, channel, *place]

    return Objective(layer, score, f"{layer}, channel {channel}, one place")


def channel(layer: str, channel: int) -> Objective:
    """Return the objective of a channel: the mean of its map (N, C, H, W) over all places, or a unit of (N, C)."""

    def score(output: torch.Tensor) -> torch.Tensor:
        _check_index(channel, output.shape[1], "channel", layer)
        return output[:, channel].flatten(1).mean(1) if output.dim() > 2 else output[:, channel]

    return Objective(layer, score, f"{layer}, channel {channel}")


def category(index: int) -> Objective:
    """Return the objective of a class: its logit in the model's output (N, classes).

    The logit, not the probability, which also rises when all other logits fall.
    """

    def score(output: torch.Tensor) -> torch.Tensor:
        if output.dim() != 2:
            raise ValueError(f"the model gives {tuple(output.shape)}, but a class needs logits (N, classes).")
        _check_index(index, output.shape[1], "class", "the output")
        return output[:, index]

    return Objective(None, score, f"class {index}")


def layer(layer: str) -> Objective:
    """Return DeepDream's objective: the mean square of all that a layer gives, (N, …); what it sees, more of it."""
    return Objective(layer, lambda output: output.flatten(1).square().mean(1), layer)


def _check_maps(output: torch.Tensor, layer: str) -> None:
    if output.dim() != 4:
        raise ValueError(
            f"layer {layer!r} gives {tuple(output.shape)}, which has no places; a neuron at a place needs maps "
            "(N, C, H, W), a dense layer takes `channel`."
        )


def _check_index(value: int, size: int, what: str, where: str) -> None:
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value < size:
        raise ValueError(f"{what} is {value!r}, but {where} has {size}, from 0 to {size - 1}.")


# ---- parametrisations: what is changed, so that an image changes ----------------------------------------------------


class Pixels(nn.Module):
    """Images (N, 3, H, W) in [0, 1] whose pixels are learned; they start as faint noise around grey.

    A sigmoid keeps them between black and white without clamping, which has no gradient.

    Parameters
    ----------
    number, size : int
        Of the images, which are square.
    decorrelated : bool
        The three numbers of a pixel are mixed by :func:`colour_mixing`, so that a step of each is a likely change of
        colour: mostly brightness, little of blue against yellow.
    seed : int
        Of the noise, which is drawn on the CPU: the same on every device.
    """

    def __init__(self, number: int = 1, size: int = 96, decorrelated: bool = False, seed: int = 0) -> None:
        super().__init__()
        check_counts(number=number, size=size)
        self.size, self.decorrelated = size, decorrelated
        noise = torch.randn(self.shape(number), generator=torch.Generator().manual_seed(seed))
        self.values = nn.Parameter(0.05 * noise)
        self.register_buffer("mixing", colour_mixing() if decorrelated else torch.eye(3))

    def shape(self, number: int) -> tuple[int, ...]:
        return number, 3, self.size, self.size

    def plane(self) -> torch.Tensor:
        """Return the pixels before colours are mixed, (N, 3, H, W), of any size."""
        return self.values

    def forward(self) -> torch.Tensor:
        return torch.sigmoid(torch.einsum("ij,njhw->nihw", self.mixing, self.plane()))


class Fourier(Pixels):
    """Images as :class:`Pixels` has them, learned as sums of waves: a spectrum of complex numbers, (N, 3, H, W // 2 + 1).

    The amplitude of each wave is divided by its frequency to the power ``decay``, since long waves are the strong ones in
    photographs, too. A step of the optimiser then moves coarse structure more than fine grain.

    Parameters
    ----------
    number, size, decorrelated, seed
        As for :class:`Pixels`.
    decay : float
        0: all waves alike; 1: as in photographs, about; the default is a little smoother.
    """

    def __init__(
        self, number: int = 1, size: int = 96, decorrelated: bool = False, seed: int = 0, decay: float = 1.3
    ) -> None:
        super().__init__(number, size, decorrelated, seed)
        self.register_buffer("amplitudes", amplitudes((size, size), decay))

    def shape(self, number: int) -> tuple[int, ...]:
        return number, 3, self.size, self.size // 2 + 1, 2  # real and imaginary part

    def plane(self) -> torch.Tensor:
        spectrum = torch.view_as_complex(self.values * self.amplitudes[..., None])
        return torch.fft.irfft2(spectrum, s=(self.size, self.size), norm="ortho")


def amplitudes(size: Sequence[int], decay: float) -> torch.Tensor:
    """Return 1 / frequency ** ``decay`` for each wave of ``torch.fft.rfft2``, (H, W // 2 + 1), with mean square 1.

    ``size`` is (H, W). The constant wave counts as the longest one.
    """
    height, width = size
    frequency = torch.hypot(torch.fft.fftfreq(height)[:, None], torch.fft.rfftfreq(width))
    result = frequency.clamp(min=1 / max(size)) ** -decay
    return result / result.square().mean().sqrt()


PHOTOGRAPHS = ("astronaut", "chelsea", "china", "coffee", "flower", "rocket")  # those in colour


@cache
def colour_mixing() -> torch.Tensor:
    """Return (3, 3): the matrix that gives three independent numbers the colour correlations of photographs.

    A square root of the covariance of red, green and blue over all pixels of the book's photographs, each of which
    weighs the same. Its columns are brightness, then two contrasts of colours; the longest has length √3, as a step of
    all three channels by 1.
    """
    from utils.data import photo

    pixels = [photo(name, size=64).flatten(1) for name in PHOTOGRAPHS]
    values, vectors = torch.linalg.eigh(sum(torch.cov(p) for p in pixels) / len(pixels))
    vectors = vectors * vectors.sum(0).sign()  # their signs are arbitrary otherwise
    root = (vectors * values.sqrt()).flip(1)
    return root * math.sqrt(3) / root.norm(dim=0).max()


# ---- transformations: what shall not matter -------------------------------------------------------------------------

Transform = Callable[[int, int, "torch.Generator | None"], torch.Tensor]


@dataclass(frozen=True)
class Jitter:
    """Move by up to so many whole pixels in each direction."""

    pixels: int = 4

    def __call__(self, number: int, size: int, generator: torch.Generator | None) -> torch.Tensor:
        moved = torch.randint(-self.pixels, self.pixels + 1, (number, 2), generator=generator)
        result = torch.eye(3).repeat(number, 1, 1)
        result[:, :2, 2] = moved * 2 / size  # affine_grid counts from −1 to 1
        return result


@dataclass(frozen=True)
class Scale:
    """Enlarge by a factor from ``low`` to ``high``, about the middle."""

    low: float = 0.9
    high: float = 1.1

    def __call__(self, number: int, size: int, generator: torch.Generator | None) -> torch.Tensor:
        factor = self.low + (self.high - self.low) * torch.rand(number, generator=generator)
        return torch.diag_embed(torch.stack([1 / factor, 1 / factor, torch.ones(number)], 1))


@dataclass(frozen=True)
class Rotate:
    """Turn by up to so many degrees in either direction, about the middle."""

    degrees: float = 10.0

    def __call__(self, number: int, size: int, generator: torch.Generator | None) -> torch.Tensor:
        angle = math.radians(self.degrees) * (2 * torch.rand(number, generator=generator) - 1)
        result = torch.eye(3).repeat(number, 1, 1)
        result[:, 0, 0] = result[:, 1, 1] = angle.cos()
        result[:, 1, 0] = angle.sin()
        result[:, 0, 1] = -angle.sin()
        return result


ROBUST = (Jitter(8), Scale(0.85, 1.15), Rotate(10))


def transformed(
    images: torch.Tensor, transforms: Sequence[Transform], generator: torch.Generator | None = None
) -> torch.Tensor:
    """Return the images (N, C, S, S) transformed, each in its own way; what comes in from outside is the mirror image.

    A transform gives matrices (N, 3, 3). They are multiplied, so that pixels are interpolated once.
    """
    if not transforms:
        return images
    number, size = images.shape[0], images.shape[-1]
    together = torch.eye(3)
    for transform in transforms:
        together = together @ transform(number, size, generator)
    grid = F.affine_grid(together[:, :2].to(images), list(images.shape), align_corners=False)
    return F.grid_sample(images, grid, padding_mode="reflection", align_corners=False)


# ---- the ascent -----------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Dream:
    """What :func:`dream` or :func:`deep_dream` found.

    Attributes
    ----------
    steps : list of int
        After how many steps there is an image; 0 is the start.
    images : list of tensor (N, 3, H, W) in [0, 1]
        One for each of ``steps``.
    values : list of tensor (N,)
        The objective before each step, of the images as the network saw them, so transformed.
    """

    steps: list[int]
    images: list[torch.Tensor]
    values: list[torch.Tensor]

    @property
    def image(self) -> torch.Tensor:
        """The last images, (N, 3, H, W)."""
        return self.images[-1]


@torch.enable_grad()  # also where the caller switched gradients off
def dream(
    model: nn.Module,
    objective: Objective,
    picture: Pixels | None = None,
    *,
    transforms: Sequence[Transform] = ROBUST,
    steps: int = 128,
    keep: Sequence[int] = (),
    learning_rate: float = 0.08,
    mean: Sequence[float] = (0.0,) * 3,
    std: Sequence[float] = (1.0,) * 3,
    seed: int = 0,
) -> Dream:
    """Change a picture by Adam until the objective is high.

    The model runs in evaluation mode and is left as it was: its mode, its gradients, its hooks.

    Parameters
    ----------
    model : nn.Module
        Takes (N, 3, H, W).
    objective : Objective
        From :func:`neuron`, :func:`channel`, :func:`category` or :func:`layer`.
    picture : Pixels or Fourier
        Where to start and what to change; it is changed. Left out: ``Fourier(decorrelated=True, seed=seed)``.
    transforms : sequence
        Drawn anew at each step: what shall not matter.
    steps : int
        At least 1.
    keep : sequence of int
        After how many steps to keep the images, besides the last.
    learning_rate : float
    mean, std : three numbers each
        Standardise the images, as ``utils.models.pretrained.load()`` has them.
    seed : int
        Of the transformations. Same seed, same device, same number of threads: the same images.

    Raises
    ------
    ValueError
        When the layer, the channel or the class does not exist, the images are too small for the model, or a number of
        steps is none.
    """
    check_counts(steps=steps)
    kept = sorted({*keep, steps})
    for step in kept:
        if isinstance(step, bool) or not isinstance(step, int) or not 0 <= step <= steps:
            raise ValueError(f"keep names step {step!r}, but there are steps 0 to {steps}.")
    device = next((p.device for p in model.parameters()), torch.device("cpu"))
    picture = (Fourier(decorrelated=True, seed=seed) if picture is None else picture).to(device)
    generator = torch.Generator().manual_seed(seed)
    adam = torch.optim.Adam(picture.parameters(), lr=learning_rate)
    images, values = [], []
    with looking(model, objective, mean, std) as look:
        for step in range(steps + 1):
            if step in kept:
                images.append(picture().detach().clone())
            if step == steps:
                break
            value = look(transformed(picture(), transforms, generator))
            adam.zero_grad()
            # Each image for itself: the sum, whose gradient at one image does not depend on the others.
            (-value.sum()).backward(inputs=list(picture.parameters()))
            adam.step()
            values.append(value.detach())
    return Dream(kept, images, values)


@torch.enable_grad()
def deep_dream(
    model: nn.Module,
    objective: Objective,
    photograph: torch.Tensor,
    *,
    octaves: int = 3,
    ratio: float = 1.4,
    steps: int = 10,
    rate: float = 0.02,
    decay: float = 0.5,
    jitter: int = 16,
    mean: Sequence[float] = (0.0,) * 3,
    std: Sequence[float] = (1.0,) * 3,
    seed: int = 0,
) -> Dream:
    """Let a photograph show more of what a layer sees in it: DeepDream.

    Gradient ascent from the photograph, each step of the same mean size. It begins with the photograph made small, and
    goes on with what it added, enlarged, on the next larger one: an *octave*. So structures of several sizes appear.

    Parameters
    ----------
    photograph : float tensor (3, H, W) or (N, 3, H, W) in [0, 1]
    octaves : int
        How many sizes.
    ratio : float
        Of the sides of an octave and the one before.
    steps : int
        For each octave.
    rate : float
        Mean absolute change of a pixel in a step.
    decay : float
        The waves of the gradient are divided by their frequency to this power, as :class:`Fourier` does; 0 is plain
        ascent on pixels.
    jitter : int
        The image is rolled by up to so many pixels at each step, so that no grid of strides shows.

    Returns
    -------
    Dream
        Images after no step and at the end of each octave, all of the photograph's size.

    Raises
    ------
    TypeError, ValueError
        When the photograph is none, or too small for the model; as :func:`dream` for the rest.
    """
    check_counts(octaves=octaves, steps=steps)
    photograph = _checked_photograph(photograph)
    if not ratio > 1:
        raise ValueError(f"ratio is {ratio!r}, but each octave must be larger than the one before: above 1.")
    device = next((p.device for p in model.parameters()), torch.device("cpu"))
    photograph = photograph.to(device)
    sides = photograph.shape[2:]
    generator = torch.Generator().manual_seed(seed)
    images, values = [photograph.clone()], []
    added = torch.zeros_like(photograph)
    with looking(model, objective, mean, std) as look:
        for octave in reversed(range(octaves)):
            size = [max(1, round(side / ratio**octave)) for side in sides]
            base = _resized(photograph, size)
            image = (base + _resized(added, size)).clamp(0, 1)
            waves = amplitudes(size, decay).to(device)
            for _ in range(steps):
                by = torch.randint(-jitter, jitter + 1, (2,), generator=generator).tolist()
                rolled = image.roll(by, (2, 3)).requires_grad_()
                value = look(rolled)
                (slope,) = torch.autograd.grad(value.sum(), rolled)
                slope = torch.fft.irfft2(torch.fft.rfft2(slope) * waves, s=size)
                slope = slope / slope.abs().mean((1, 2, 3), keepdim=True).clamp(min=1e-12)
                image = (rolled.detach() + rate * slope).clamp(0, 1).roll([-b for b in by], (2, 3))
                values.append(value.detach())
            added = image - base
            images.append((photograph + _resized(added, sides)).clamp(0, 1))
    return Dream([steps * i for i in range(octaves + 1)], images, values)


@torch.no_grad()
def measure(
    model: nn.Module, objective: Objective, images: torch.Tensor,
    mean: Sequence[float] = (0.0,) * 3, std: Sequence[float] = (1.0,) * 3,
) -> torch.Tensor:  # fmt: skip
    """Return the objective of images (N, 3, H, W) in [0, 1] as they are, (N,), in evaluation mode."""
    with looking(model, objective, mean, std) as look:
        return look(images).detach()


def spectrum(images: torch.Tensor) -> torch.Tensor:
    """Return how the energy of square images (N, C, S, S) is spread over the frequencies, (N, S // 2).

    Entry k is the share of the waves with about k + 1 periods across the image; the mean of each channel is left out,
    and so are the finer diagonal waves. The shares add up to 1. An image without any contrast gives zeros.
    """
    size = images.shape[-1]
    flat = images - images.mean((2, 3), keepdim=True)
    power = torch.fft.fft2(flat, norm="ortho").abs().square().sum(1)  # (N, S, S)
    periods = torch.fft.fftfreq(size, 1 / size, device=images.device)
    ring = torch.hypot(periods[:, None], periods).round().long()
    rows = torch.stack([power[:, ring == k].sum(1) for k in range(1, size // 2 + 1)], 1)
    return rows / rows.sum(1, keepdim=True).clamp(min=1e-20)


@contextmanager
def looking(
    model: nn.Module, objective: Objective, mean: Sequence[float], std: Sequence[float]
) -> Iterator[Callable[[torch.Tensor], torch.Tensor]]:
    """Yield the function images (N, 3, H, W) in [0, 1] → values (N,); inside, the model is in evaluation mode.

    Values can be derived. Modes of all parts, hooks and gradients are as before in the end, also after an error.
    """
    names = () if objective.layer is None else (objective.layer,)
    catch = capture(model, *names, graph=True) if names else nullcontext({})
    with evaluating(model), catch as seen:

        def look(images: torch.Tensor) -> torch.Tensor:
            centre, spread = (torch.tensor(v, device=images.device).view(1, -1, 1, 1) for v in (mean, std))
            seen.clear()
            try:
                output = model((images - centre) / spread)
            except RuntimeError as error:
                raise ValueError(
                    f"the model cannot take images of {images.shape[-2]}×{images.shape[-1]} pixels; "
                    f"give larger ones, or those that it was made for ({str(error).splitlines()[0]})"
                ) from error
            if names and objective.layer not in seen:
                raise ValueError(f"layer {objective.layer!r} was not used in the pass; choose one that is.")
            return objective.score(seen[objective.layer] if names else output)

        yield look


def _resized(images: torch.Tensor, size: Sequence[int]) -> torch.Tensor:
    return F.interpolate(images, tuple(size), mode="bilinear", antialias=True)


def _checked_photograph(photograph: torch.Tensor) -> torch.Tensor:
    if not isinstance(photograph, torch.Tensor):
        raise TypeError(
            f"the photograph is {type(photograph).__name__}, but it must be a tensor (3, H, W), as utils.data.photo gives."
        )
    if not photograph.is_floating_point():
        raise TypeError(f"the photograph is {photograph.dtype}, but it must be float in [0, 1]; bytes / 255 are.")
    if photograph.dim() not in (3, 4) or photograph.shape[-3] != 3:
        raise ValueError(
            f"the photograph is {tuple(photograph.shape)}, but it must be (3, H, W); a grey one becomes one by "
            "expand(3, -1, -1)."
        )
    if not photograph.isfinite().all() or photograph.min() < 0 or photograph.max() > 1:
        raise ValueError(
            f"the photograph goes from {photograph.min():.3g} to {photograph.max():.3g}, but it must lie in [0, 1]; "
            "give it as it is before standardisation."
        )
    return photograph.detach() if photograph.dim() == 4 else photograph.detach()[None]
