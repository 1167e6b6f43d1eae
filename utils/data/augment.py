"""Augmentation of whole batches, on the device they are on.

One convention holds for everything here: images are float (n, C, H, W) with values in [0, 1], *before* they are
standardised. ``Images.batches(size, generator=…, augment=[Flip(), Crop(4)])`` keeps to it: it divides by 255,
augments, then standardises.

An augmentation is a function ``step(images, labels, generator) -> (images, labels)``; a list of them is applied
from left to right. Every image of a batch gets parameters of its own. They are drawn on the generator's device:
a generator on the CPU gives the same augmentation on every device. Labels stay as they are, except that
:class:`MixUp` and :class:`CutMix` return shares (n, classes), which ``F.cross_entropy`` takes.

What an augmentation does to given images with given parameters is a function (:func:`flipped`, :func:`moved`, …);
what it draws is a class (:class:`Flip`, :class:`Crop`, …).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass

import numpy as np
import torch
from torch.nn import functional as F

Step = Callable[
    [torch.Tensor, torch.Tensor, "torch.Generator | None"],
    tuple[torch.Tensor, torch.Tensor],
]

# What stands where an image has no pixels: its mirror image, black, or its outermost pixels.
FILLS = {
    "reflect": ("reflect", "reflection"),
    "zero": ("constant", "zeros"),
    "edge": ("replicate", "border"),
}  # names of F.pad and of F.grid_sample
GREY = (0.2989, 0.587, 0.114)  # red, green and blue in a grey value, as torchvision has them


def apply(
    steps: Step | Iterable[Step],
    images: torch.Tensor,
    labels: torch.Tensor,
    generator: torch.Generator | None = None,
) -> tuple[torch.Tensor, torch.Tensor]:
    """Apply one augmentation, or several from left to right.

    Parameters
    ----------
    steps : callable or iterable of callables
        Each takes and returns images and labels.
    images : float tensor (n, C, H, W), values in [0, 1]
    labels : int64 tensor (n,) or float tensor (n, classes)
    generator : torch.Generator, optional
        torch's global one when left out.

    Raises
    ------
    ValueError
        When the images are not float (n, C, H, W).
    """
    _check_images(images)
    for step in [steps] if callable(steps) else steps:
        images, labels = step(images, labels, generator)
    return images, labels


# What is done, with parameters for each image. None of these changes its input.


def flipped(images: torch.Tensor, chosen: torch.Tensor) -> torch.Tensor:
    """Swap left and right in the images that ``chosen``, bool (n,), names."""
    return torch.where(_each(chosen), images.flip(-1), images)


def moved(images: torch.Tensor, down: torch.Tensor, right: torch.Tensor, fill: str = "zero") -> torch.Tensor:
    """Move every image by whole pixels: int64 (n,) each, negative is up or left."""
    padding = int(torch.stack([down, right]).abs().max()) if len(images) else 0
    return _window(images, padding, padding - down, padding - right, fill)


def rotated(images: torch.Tensor, degrees: torch.Tensor, fill: str = "zero") -> torch.Tensor:
    """Turn every image about its centre, counter-clockwise by ``degrees``, float (n,); bilinear."""
    height, width = images.shape[-2:]
    angle = torch.deg2rad(degrees).to(images)
    cosine, sine, none = angle.cos(), angle.sin(), torch.zeros_like(angle)
    # For each output pixel: where to read. Coordinates run from −1 to 1 on both sides, whatever their lengths.
    across = torch.stack([cosine, -sine * height / width, none], -1)
    along = torch.stack([sine * width / height, cosine, none], -1)
    grid = F.affine_grid(torch.stack([across, along], 1), list(images.shape), align_corners=False)
    return F.grid_sample(images, grid, mode="bilinear", padding_mode=FILLS[fill][1], align_corners=False)


def brightened(images: torch.Tensor, factor: torch.Tensor) -> torch.Tensor:
    """Multiply every image by its ``factor``, float (n,)."""
    return (images * _each(factor)).clamp(0, 1)


def contrasted(images: torch.Tensor, factor: torch.Tensor) -> torch.Tensor:
    """Multiply every image's distance from its mean grey value by its ``factor``, float (n,)."""
    mean = _grey(images).mean((1, 2, 3), keepdim=True)
    return (mean + _each(factor) * (images - mean)).clamp(0, 1)


def saturated(images: torch.Tensor, factor: torch.Tensor) -> torch.Tensor:
    """Multiply every pixel's distance from its own grey value by ``factor``, float (n,)."""
    grey = _grey(images)
    return (grey + _each(factor) * (images - grey)).clamp(0, 1)


def erased(images: torch.Tensor, inside: torch.Tensor, value: float = 0.5) -> torch.Tensor:
    """Write ``value`` into the pixels that ``inside``, bool (n, 1, H, W), names."""
    return torch.where(inside, torch.as_tensor(value).to(images), images)


def boxes(
    images: torch.Tensor,
    top: torch.Tensor,
    left: torch.Tensor,
    height: torch.Tensor,
    width: torch.Tensor,
) -> torch.Tensor:
    """Return where a box of each image is: four int64 (n,) → bool (n, 1, H, W); it may reach over the border."""
    row = torch.arange(images.shape[-2], device=images.device)
    column = torch.arange(images.shape[-1], device=images.device)
    rows = (row >= top[:, None]) & (row < (top + height)[:, None])
    columns = (column >= left[:, None]) & (column < (left + width)[:, None])
    return (rows[:, :, None] & columns[:, None, :])[:, None]


def shares(labels: torch.Tensor, classes: int) -> torch.Tensor:
    """Return labels int64 (n,) as shares float (n, classes), 1 for the class; shares are returned as they are."""
    return labels if labels.is_floating_point() else F.one_hot(labels, classes).float()


# What is drawn.


@dataclass(frozen=True)
class Flip:
    """Swap left and right with probability ``p``. Not for digits, letters, or arrows that mean a side."""

    p: float = 0.5

    def __post_init__(self) -> None:
        _check("p", self.p, 0, 1)

    def __call__(
        self, images: torch.Tensor, labels: torch.Tensor, generator: torch.Generator | None = None
    ) -> tuple[torch.Tensor, torch.Tensor]:
        return flipped(images, _uniform(images, generator) < self.p), labels


@dataclass(frozen=True)
class Crop:
    """Pad by ``padding`` pixels on every side, then cut out the old size anywhere.

    That moves an image by −``padding`` to ``padding`` whole pixels down and to the right, all equally likely.
    """

    padding: int = 4
    fill: str = "reflect"

    def __post_init__(self) -> None:
        _check_fill(self.fill)
        if isinstance(self.padding, bool) or not isinstance(self.padding, int) or self.padding < 0:
            raise ValueError(f"padding is {self.padding!r}, but it must be a whole number of pixels, at least 0.")

    def __call__(
        self, images: torch.Tensor, labels: torch.Tensor, generator: torch.Generator | None = None
    ) -> tuple[torch.Tensor, torch.Tensor]:
        top, left = (_whole(images, generator, 0, 2 * self.padding) for _ in range(2))
        return _window(images, self.padding, top, left, self.fill), labels


@dataclass(frozen=True)
class Rotate:
    """Turn by an angle between −``degrees`` and ``degrees``, all equally likely."""

    degrees: float = 15
    fill: str = "reflect"

    def __post_init__(self) -> None:
        _check_fill(self.fill)
        _check("degrees", self.degrees, 0, 180)

    def __call__(
        self, images: torch.Tensor, labels: torch.Tensor, generator: torch.Generator | None = None
    ) -> tuple[torch.Tensor, torch.Tensor]:
        return rotated(images, _uniform(images, generator, -self.degrees, self.degrees), self.fill), labels


@dataclass(frozen=True)
class Colour:
    """Change brightness, contrast and saturation, in this order, by factors from 1 − amount to 1 + amount."""

    brightness: float = 0.2
    contrast: float = 0.2
    saturation: float = 0.2

    def __post_init__(self) -> None:
        for name in ("brightness", "contrast", "saturation"):
            _check(name, getattr(self, name), 0, 1)

    def __call__(
        self, images: torch.Tensor, labels: torch.Tensor, generator: torch.Generator | None = None
    ) -> tuple[torch.Tensor, torch.Tensor]:
        changes = [(brightened, self.brightness), (contrasted, self.contrast), (saturated, self.saturation)]
        for change, amount in changes:
            if amount:
                images = change(images, _uniform(images, generator, 1 - amount, 1 + amount))
        return images, labels


@dataclass(frozen=True)
class Erase:
    """With probability ``p`` overwrite a rectangle that lies inside the image.

    Its share of the image's area is drawn from ``area``, its height divided by its width from ``ratio`` (on a
    logarithmic scale); a side that would be longer than the image's is cut to it. ``Erase(1, (0.25, 0.25), (1, 1))``
    is Cutout with a square of half the side. DeVries and Taylor, "Improved regularization of convolutional neural
    networks with cutout", 2017; Zhong et al., "Random erasing data augmentation", AAAI 2020.
    """

    p: float = 0.5
    area: tuple[float, float] = (0.02, 0.2)
    ratio: tuple[float, float] = (0.3, 3.3)
    value: float = 0.5

    def __post_init__(self) -> None:
        _check("p", self.p, 0, 1)
        _check("value", self.value, 0, 1)
        for name, (low, high), limit in (("area", self.area, 1), ("ratio", self.ratio, math.inf)):
            if not 0 < low <= high <= limit:
                raise ValueError(
                    f"{name} is {(low, high)}, but it must be two numbers, both above 0, the smaller one first"
                    + (" and none above 1." if limit == 1 else ".")
                )

    def __call__(
        self, images: torch.Tensor, labels: torch.Tensor, generator: torch.Generator | None = None
    ) -> tuple[torch.Tensor, torch.Tensor]:
        high, wide = images.shape[-2:]
        area = _uniform(images, generator, *self.area) * high * wide
        ratio = _uniform(images, generator, *map(math.log, self.ratio)).exp()
        height = (area * ratio).sqrt().round().clamp(1, high).long()
        width = (area / ratio).sqrt().round().clamp(1, wide).long()
        top = (_uniform(images, generator) * (high - height + 1)).long()
        left = (_uniform(images, generator) * (wide - width + 1)).long()
        inside = boxes(images, top, left, height, width)
        return erased(images, inside & _each(_uniform(images, generator) < self.p), self.value), labels


@dataclass(frozen=True)
class MixUp:
    """Mix every image, and its label, with another image of the batch.

    The share that stays is drawn for each image from a Beta(``alpha``, ``alpha``) distribution. Zhang et al.,
    "mixup: Beyond empirical risk minimization", ICLR 2018, equation 2 (where one share serves the whole batch).
    """

    classes: int
    alpha: float = 0.2

    def __post_init__(self) -> None:
        _check_mixing(self)

    def __call__(
        self, images: torch.Tensor, labels: torch.Tensor, generator: torch.Generator | None = None
    ) -> tuple[torch.Tensor, torch.Tensor]:
        labels = shares(labels, self.classes)
        other, stays = _partner(images, generator), _beta(images, generator, self.alpha)
        kept = stays[:, None]
        return (
            _each(stays) * images + (1 - _each(stays)) * images[other],
            kept * labels + (1 - kept) * labels[other],
        )


@dataclass(frozen=True)
class CutMix:
    """Paste a rectangle of another image of the batch; the labels are mixed in proportion to the areas.

    The rectangle has the image's shape, an area drawn from Beta(``alpha``, ``alpha``) and its centre anywhere; what
    lies outside the image is lost, and the share of the label is counted from the pixels. Yun et al., "CutMix:
    Regularization strategy to train strong classifiers with localizable features", ICCV 2019, equations 1 and 2
    (where one rectangle serves the whole batch).
    """

    classes: int
    alpha: float = 1.0

    def __post_init__(self) -> None:
        _check_mixing(self)

    def __call__(
        self, images: torch.Tensor, labels: torch.Tensor, generator: torch.Generator | None = None
    ) -> tuple[torch.Tensor, torch.Tensor]:
        labels = shares(labels, self.classes)
        high, wide = images.shape[-2:]
        other, side = _partner(images, generator), (1 - _beta(images, generator, self.alpha)).sqrt()
        height, width = (side * high).long(), (side * wide).long()
        top = (_uniform(images, generator) * high).long() - height // 2
        left = (_uniform(images, generator) * wide).long() - width // 2
        inside = boxes(images, top, left, height, width)
        pasted = inside.float().mean((1, 2, 3))[:, None]
        return torch.where(inside, images[other], images), (1 - pasted) * labels + pasted * labels[other]


def _window(images: torch.Tensor, padding: int, top: torch.Tensor, left: torch.Tensor, fill: str) -> torch.Tensor:
    """Pad on every side, and cut the old size out of each image, its upper left corner at ``top``, ``left``."""
    height, width = images.shape[-2:]
    if fill == "reflect" and padding >= min(height, width):
        raise ValueError(
            f"images of {height}×{width} pixels are padded by {padding}, but reflection allows at most "
            f"{min(height, width) - 1}; pad less, or use fill='edge' or 'zero'."
        )
    padded = F.pad(images, [padding] * 4, mode=FILLS[fill][0])
    rows = top[:, None] + torch.arange(height, device=images.device)
    columns = left[:, None] + torch.arange(width, device=images.device)
    image = torch.arange(len(images), device=images.device)[:, None, None, None]
    channel = torch.arange(images.shape[1], device=images.device)[None, :, None, None]
    return padded[image, channel, rows[:, None, :, None], columns[:, None, None, :]]


def _grey(images: torch.Tensor) -> torch.Tensor:
    """Return the grey values of colour or grey images: (n, 1, H, W)."""
    if images.shape[1] == 1:
        return images
    if images.shape[1] != 3:
        raise ValueError(
            f"the images have {images.shape[1]} channels, but contrast and saturation are defined for 1 or 3."
        )
    return (images * torch.tensor(GREY, device=images.device).view(3, 1, 1)).sum(1, keepdim=True)


def _each(values: torch.Tensor) -> torch.Tensor:
    """Give (n,) the shape (n, 1, 1, 1), so that it goes with the images."""
    return values.view(-1, 1, 1, 1)


def _place(images: torch.Tensor, generator: torch.Generator | None) -> torch.device:
    return generator.device if generator is not None else images.device


def _uniform(
    images: torch.Tensor, generator: torch.Generator | None, low: float = 0.0, high: float = 1.0
) -> torch.Tensor:
    """Draw one number in [low, high) for each image."""
    drawn = torch.rand(len(images), generator=generator, device=_place(images, generator))
    return (low + (high - low) * drawn).to(images.device)


def _whole(images: torch.Tensor, generator: torch.Generator | None, low: int, high: int) -> torch.Tensor:
    """Draw one whole number from ``low`` to ``high`` for each image."""
    place = _place(images, generator)
    return torch.randint(low, high + 1, (len(images),), generator=generator, device=place).to(images.device)


def _partner(images: torch.Tensor, generator: torch.Generator | None) -> torch.Tensor:
    """Draw the order in which the images of a batch meet each other."""
    return torch.randperm(len(images), generator=generator, device=_place(images, generator)).to(images.device)


def _beta(images: torch.Tensor, generator: torch.Generator | None, alpha: float) -> torch.Tensor:
    """Draw one share for each image. NumPy draws, since torch's Beta distribution takes no generator."""
    seed = torch.randint(2**32, (1,), generator=generator, device=_place(images, generator)).item()
    drawn = np.random.RandomState(seed).beta(alpha, alpha, len(images))
    return torch.from_numpy(drawn).float().to(images.device)


def _check_images(images: torch.Tensor) -> None:
    if images.dim() != 4 or not images.is_floating_point():
        raise ValueError(
            f"the images are {images.dtype} of shape {tuple(images.shape)}, but augmentation takes float images "
            "(n, C, H, W) in [0, 1]; divide uint8 images by 255, and standardise afterwards."
        )


def _check(name: str, value: float, low: float, high: float) -> None:
    if not low <= value <= high:
        raise ValueError(f"{name} is {value!r}, but it must be a number from {low} to {high}.")


def _check_fill(fill: str) -> None:
    if fill not in FILLS:
        raise ValueError(f"fill is {fill!r}, but it must be one of {', '.join(FILLS)}.")


def _check_mixing(step: MixUp | CutMix) -> None:
    if isinstance(step.classes, bool) or not isinstance(step.classes, int) or step.classes < 1:
        raise ValueError(f"classes is {step.classes!r}, but it must be the number of classes, such as 10.")
    if not 0 < step.alpha < math.inf:
        raise ValueError(f"alpha is {step.alpha!r}, but it must be a number above 0.")
