"""What is wrong with the arguments of a network or with its images, in a sentence, before torch complains."""

from __future__ import annotations

import math

import torch


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
