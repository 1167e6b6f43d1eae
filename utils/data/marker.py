"""A letter in a corner of some images, as the metal letter that lies beside a patient on an X-ray: a planted shortcut.

It is a confounder of the kind that Zech and others (PLoS Medicine, 2018) warn of. Here it is known which images have one, so
that a check for shortcuts has a known answer.
"""

from __future__ import annotations

from dataclasses import replace

import torch

from utils.data.common import Images

CORNERS = ("top left", "top right", "bottom left", "bottom right")
LETTER = ("#..", "#..", "#..", "#..", "###")  # L, for left
SMALLEST = 16  # pixels a side


def corner(size: int, where: str = "top right") -> torch.Tensor:
    """Return the corner that holds the letter and a rim around it: bool (size, size), about 7 % of the image.

    Raises
    ------
    ValueError
        When there is no such corner or no room for a letter.
    """
    side = _letter(size, where).shape[0] + 4 * max(1, size // 28)
    mask = torch.zeros(size, size, dtype=torch.bool)
    mask[:side, -side:] = True
    return _turned(mask, where)


def stamp(data: Images, chosen: torch.Tensor, where: str = "top right") -> Images:
    """Return the images with a white letter in one corner of the chosen ones.

    Parameters
    ----------
    chosen : bool tensor (N,)
    where : {"top left", "top right", "bottom left", "bottom right"}

    Raises
    ------
    ValueError
        When there is no such corner, no room, or ``chosen`` is not one truth value for each image.
    """
    if chosen.dtype != torch.bool or chosen.shape != data.labels.shape:
        raise ValueError(
            f"chosen is {chosen.dtype} of shape {tuple(chosen.shape)}, but it must be bool of shape ({len(data)},)."
        )
    size = data.images.shape[-1]
    letter, step = _letter(size, where), max(1, size // 28)
    mask = torch.zeros(size, size, dtype=torch.bool)
    tall, wide = letter.shape
    top = 2 * step if "top" in where else size - 2 * step - tall
    left = 2 * step if "left" in where else size - 2 * step - wide
    mask[top : top + tall, left : left + wide] = letter
    where_to = chosen.view(-1, 1, 1, 1) & mask.to(chosen.device)
    return replace(data, images=data.images.masked_fill(where_to, 255))


def cover(data: Images, where: str = "top right") -> Images:
    """Return the images with a grey square over one corner, whether a letter is there or not."""
    mask = corner(data.images.shape[-1], where).to(data.images.device)
    return replace(data, images=data.images.masked_fill(mask, 128))


def _letter(size: int, where: str) -> torch.Tensor:
    """Return the letter in the size that belongs to an image, bool (5·step, 3·step)."""
    if where not in CORNERS:
        raise ValueError(f"where is {where!r}, but it must be one of {', '.join(CORNERS)}.")
    if size < SMALLEST:
        raise ValueError(f"the images have {size} pixels a side, but a letter needs {SMALLEST}.")
    step = max(1, size // 28)
    letter = torch.tensor([[cell == "#" for cell in row] for row in LETTER])
    return letter.repeat_interleave(step, 0).repeat_interleave(step, 1)


def _turned(mask: torch.Tensor, where: str) -> torch.Tensor:
    """Move a mask from the top right to another corner."""
    down, side = where.split()
    axes = [axis for axis, moved in ((0, down == "bottom"), (1, side == "left")) if moved]
    return mask.flip(axes) if axes else mask
