"""What is wrong with a network's arguments, its images or what is asked of it, in a sentence, before torch complains."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import nn

Classes = int | Sequence[int] | torch.Tensor | None


def check_counts(**counts: int) -> None:
    """Say which of the counts (classes, channels, …) is no whole number of at least 1.

    Raises
    ------
    ValueError
        For the first that is none.
    """
    for name, value in counts.items():
        if isinstance(value, bool) or not isinstance(value, int) or value < 1:
            raise ValueError(f"{name} is {value!r}, but it must be a whole number of at least 1.")


def check_images(
    name: str,
    images: torch.Tensor,
    *,
    channels: int,
    least: int = 1,
    exact: int | None = None,
    training: bool = False,
    shrinks: int | None = None,
    fits: str = "dense layer behind the maps fits",
) -> None:
    """Say which images a network takes, if these are not such.

    Parameters
    ----------
    name : str
        The network, as its reader knows it.
    images : tensor
        What was passed in.
    channels : int
        Input channels of the first layer.
    least : int
        Smallest height and width.
    exact : int, optional
        The only height and width that fit, for a network that flattens its maps into a dense layer.
    training : bool
        Whether batch norm takes its statistics from this batch.
    shrinks : int, optional
        By how much the sides are divided before the last batch norm; needed when ``training``.
    fits : str
        Which part of the network has room for ``exact`` alone, and its verb.

    Raises
    ------
    TypeError
        When the images are no float tensor.
    ValueError
        When shape, channels or sides do not fit, or when a batch norm of a training pass would see a single number.
    """
    if not isinstance(images, torch.Tensor):
        raise TypeError(
            f"{name} takes a float tensor (N, {channels}, H, W), but it was given a {type(images).__name__}."
        )
    shape = tuple(images.shape)
    sides = f"{exact}, {exact}" if exact else "H, W"
    wanted = f"{name} takes images (N, {channels}, {sides})"
    if not images.is_floating_point():
        raise TypeError(
            f"{wanted} as float numbers, but these are {images.dtype}; divide by 255 and standardise them first."
        )
    if len(shape) == 3:
        raise ValueError(f"{wanted}, but this is one image {shape}; add the batch: images[None].")
    if len(shape) != 4:
        raise ValueError(f"{wanted}, but the shape is {shape}.")
    if shape[1] != channels:
        if shape[3] == channels:
            hint = "the channels stand last; move them with images.permute(0, 3, 1, 2)"
        elif shape[1] == 1 and channels == 3:
            hint = "repeat the grey channel, images.expand(-1, 3, -1, -1), or build the network with in_channels=1"
        else:
            hint = f"build the network with in_channels={shape[1]}"
        raise ValueError(f"{wanted}, but these have {shape[1]} channels: {shape}; {hint}.")
    if exact and shape[2:] != (exact, exact):
        raise ValueError(
            f"{wanted}, but these measure {shape[2]}×{shape[3]}: the {fits} one size only; "
            f"resize them to {exact}×{exact}."
        )
    if min(shape[2:]) < least:
        raise ValueError(
            f"{wanted} with sides of at least {least}, but these measure {shape[2]}×{shape[3]}: "
            "nothing would be left of their maps; enlarge them, or take the network's variant for small images."
        )
    if training and shrinks and shape[0] == 1 and math.prod(math.ceil(side / shrinks) for side in shape[2:]) == 1:
        raise ValueError(
            f"{name} was given a single image of {shape[2]}×{shape[3]} in training mode: its last maps are 1×1, and "
            "batch norm cannot take a mean and a spread from one number; give at least two images, or call model.eval()."
        )


def check_batch(
    images: torch.Tensor, wanted: str = "as the model takes them", cure: str = "standardise them first"
) -> None:
    """Say why these are no float images (N, C, H, W), where any network may be asked.

    Parameters
    ----------
    wanted, cure : str
        What the numbers should be, and what to do with others, for the message.

    Raises
    ------
    TypeError
        When the images are no float tensor.
    ValueError
        When they have another shape, or there are none.
    """
    if not isinstance(images, torch.Tensor):
        raise TypeError(f"images must be a float tensor (N, C, H, W), but this is a {type(images).__name__}.")
    if not images.is_floating_point():
        raise TypeError(f"images must be float numbers {wanted}, but these are {images.dtype}; {cure}.")
    if images.dim() != 4 or 0 in images.shape:
        hint = "; add the batch: images[None]" if images.dim() == 3 else ""
        raise ValueError(f"images must have shape (N, C, H, W), but this is {tuple(images.shape)}{hint}.")


def check_together(model: nn.Module, images: torch.Tensor) -> None:
    """Say so if model and images are on different devices, or of different precision.

    Raises
    ------
    ValueError
    """
    weights = next((p for p in model.parameters() if p.is_floating_point()), images)
    if weights.device != images.device:
        raise ValueError(f"the images are on {images.device} and the model is on {weights.device}; move one of them.")
    if weights.dtype != images.dtype:
        raise ValueError(
            f"the images are {images.dtype} and the model's parameters {weights.dtype}; convert one: images.to(…)."
        )


def logits_of(model: nn.Module, images: torch.Tensor) -> torch.Tensor:
    """Return the model's logits (N, classes) for the images.

    Raises
    ------
    ValueError
        When it gives something else.
    """
    logits = model(images)
    if not isinstance(logits, torch.Tensor) or logits.dim() != 2 or len(logits) != len(images):
        found = tuple(logits.shape) if isinstance(logits, torch.Tensor) else f"a {type(logits).__name__}"
        raise ValueError(
            f"the model must give logits ({len(images)}, classes) for {len(images)} images, but gave {found}."
        )
    return logits


def as_classes(classes: Classes, logits: torch.Tensor, name: str = "classes") -> torch.Tensor:
    """Return one class for each image, int64 (N,), on the device of the logits (N, classes).

    Parameters
    ----------
    classes : int, sequence of int, or int64 tensor (N,)
        One class for all images, or one for each; None for the largest logits.
    name : str
        What the caller calls them, for the message.

    Raises
    ------
    TypeError
        When they are no whole numbers.
    ValueError
        When their number does not fit, or a class does not exist.
    """
    if classes is None:
        return logits.argmax(1)
    chosen = torch.as_tensor(classes, device=logits.device)
    if chosen.is_floating_point() or chosen.is_complex() or chosen.dtype == torch.bool:
        raise TypeError(f"{name} must be whole numbers, but these are {chosen.dtype}.")
    if chosen.dim() == 0:
        chosen = chosen.expand(len(logits))
    if chosen.shape != (len(logits),):
        raise ValueError(
            f"there are {len(logits)} images, but {name} has shape {tuple(chosen.shape)}; give one for each."
        )
    wrong = (chosen < 0) | (chosen >= logits.shape[1])
    if wrong.any():
        raise ValueError(
            f"there is no class {chosen[wrong][0].item()}; the model has {logits.shape[1]}, from 0 to {logits.shape[1] - 1}."
        )
    return chosen.long()
