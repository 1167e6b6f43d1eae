"""The common type of all image sets: tensors in memory, batches cut on the device they are used on."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import torch

if TYPE_CHECKING:
    from utils.data.augment import Step


@dataclass(frozen=True)
class Images:
    """Labelled images.

    Attributes
    ----------
    images : uint8 tensor (N, C, H, W)
    labels : int64 tensor (N,)
    classes : tuple of str
        The names; label ``i`` means ``classes[i]``.
    mean, std : tuple of float, one for each channel
        Constants for standardising, in units of pixel / 255. They belong to the *training* images and
        are carried along by all splits, so that nothing of the test set leaks into them.
    source : str
        Where they are from, when results should say so, such as a recompressed copy.
    """

    images: torch.Tensor
    labels: torch.Tensor
    classes: tuple[str, ...]
    mean: tuple[float, ...] = (0.0,)
    std: tuple[float, ...] = (1.0,)
    source: str = ""

    def __post_init__(self) -> None:
        if self.images.dim() != 4 or self.images.dtype != torch.uint8:
            raise ValueError(
                f"the images are {self.images.dtype} of shape {tuple(self.images.shape)}, "
                "but they must be uint8 of shape (N, C, H, W)."
            )
        if self.labels.shape != self.images.shape[:1] or self.labels.dtype != torch.int64:
            raise ValueError(
                f"the labels are {self.labels.dtype} of shape {tuple(self.labels.shape)}, "
                f"but they must be int64 of shape ({len(self.images)},), one for each image."
            )
        if len(self.labels) and not 0 <= int(self.labels.min()) <= int(self.labels.max()) < len(self.classes):
            raise ValueError(
                f"the labels run from {int(self.labels.min())} to {int(self.labels.max())}, "
                f"but with {len(self.classes)} classes they must run from 0 to {len(self.classes) - 1}."
            )

    def __len__(self) -> int:
        return len(self.labels)

    def __repr__(self) -> str:
        shape = "×".join(map(str, self.images.shape[1:]))
        return f"Images({len(self):,} images of {shape}, {len(self.classes)} classes)"

    def to(self, device: torch.device | str) -> Images:
        """Return the same images on ``device``."""
        return replace(self, images=self.images.to(device), labels=self.labels.to(device))

    def take(self, index: torch.Tensor | slice) -> Images:
        """Return the images at ``index`` (a slice, a mask or whole numbers) as a set of their own."""
        return replace(self, images=self.images[index], labels=self.labels[index])

    def inputs(self, index: torch.Tensor | slice | None = None) -> torch.Tensor:
        """Return images as a network wants them: float32 (n, C, H, W), standardised by ``mean`` and ``std``."""
        images = self.images if index is None else self.images[index]
        return self.standardise(images)

    def standardise(self, images: torch.Tensor) -> torch.Tensor:
        """Return images as float32, ``(pixel − mean) / std`` for each channel.

        uint8 images are divided by 255 first; float images must be in [0, 1] already.
        """
        pixels = images if images.is_floating_point() else images.float() / 255
        mean = torch.tensor(self.mean, device=images.device).view(-1, 1, 1)
        std = torch.tensor(self.std, device=images.device).view(-1, 1, 1)
        return (pixels - mean) / std

    def with_statistics(self) -> Images:
        """Return the set with ``mean`` and ``std`` measured on its own pixels, channel by channel."""
        # There are 256 values of a pixel: counting them is exact, and takes no memory for floats.
        counts = torch.stack([channel.flatten().bincount(minlength=256) for channel in self.images.unbind(1)])
        shares = counts.double() / counts.sum(1, keepdim=True)
        values = torch.arange(256, device=counts.device).double() / 255
        mean = (shares * values).sum(1)
        std = (shares * (values - mean[:, None]) ** 2).sum(1).sqrt()
        if ((counts > 0).sum(1) < 2).any():
            raise ValueError(
                "a channel is the same in every pixel of every image, so it cannot be standardised; drop it."
            )
        return replace(self, mean=tuple(mean.tolist()), std=tuple(std.tolist()))

    def batch(
        self,
        index: torch.Tensor | slice,
        *,
        augment: Step | Iterable[Step] = (),
        generator: torch.Generator | None = None,
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Return (inputs, labels) of the images at ``index``, as :meth:`batches` does."""
        images, labels = self.images[index], self.labels[index]
        if augment:
            from utils.data.augment import apply

            images, labels = apply(augment, images.float() / 255, labels, generator)
        return self.standardise(images), labels

    def fingerprint(self) -> str:
        """Return a short text that is the same for the same images and labels in the same order."""
        place = torch.arange(1, len(self) + 1, device=self.labels.device)
        number = (self.images.flatten(1).sum(1) * place).sum() + (self.labels * place).sum()
        return f"{len(self)} of {'×'.join(map(str, self.images.shape[1:]))}, checksum {int(number)}"

    def batches(
        self,
        size: int,
        *,
        generator: torch.Generator | None = None,
        augment: Step | Iterable[Step] = (),
    ) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
        """Yield (inputs, labels) batches of ``size``; the last one holds what is left.

        Parameters
        ----------
        size : int
            Images in a batch, at least 1.
        generator : torch.Generator, optional
            On the CPU. Given, the images are shuffled; the augmentation draws from it, too.
        augment : callable or iterable of callables
            Steps of :mod:`utils.data.augment`, applied from left to right to pixels in [0, 1] before they are
            standardised. Labels become shares, float (n, classes), when a step mixes images.
        """
        if size < 1:
            raise ValueError(f"the batch size is {size}, but it must be at least 1.")
        if generator is None:
            order = torch.arange(len(self), device=self.labels.device)
        else:
            order = torch.randperm(len(self), generator=generator).to(self.labels.device)
        for index in order.split(size):
            yield self.batch(index, augment=augment, generator=generator)


@dataclass(frozen=True)
class Splits:
    """Three disjoint sets: fit on ``train``, choose on ``validation``, look once at ``test``."""

    train: Images
    validation: Images
    test: Images

    def to(self, device: torch.device | str) -> Splits:
        """Return the same splits on ``device``."""
        return Splits(self.train.to(device), self.validation.to(device), self.test.to(device))


def stratified_split(data: Images, validation: int, test: int, *, seed: int = 0) -> Splits:
    """Split shuffled images so that each class has the same share of every part.

    Parameters
    ----------
    data : Images
    validation, test : int
        Number of images for each part; what is left is for training.
    seed : int
        Of the shuffle; the same seed gives the same split on every machine.

    Raises
    ------
    ValueError
        When nothing would be left for training, or a class is too small for its share.
    """
    from sklearn.model_selection import train_test_split

    if validation < 1 or test < 1 or validation + test >= len(data):
        raise ValueError(
            f"{validation} validation and {test} test images were asked for, but there are {len(data)} images in all "
            "and each part, training too, needs at least one."
        )
    labels = data.labels.numpy()
    rest, test_index = train_test_split(range(len(data)), test_size=test, stratify=labels, random_state=seed)
    train_index, validation_index = train_test_split(
        rest, test_size=validation, stratify=labels[rest], random_state=seed
    )
    train = data.take(torch.tensor(train_index)).with_statistics()
    others = [
        replace(data.take(torch.tensor(index)), mean=train.mean, std=train.std)
        for index in (validation_index, test_index)
    ]
    return Splits(train, *others)
