"""Augment it: choose a picture, move the strength of each augmentation, see a batch of what it makes.

The arithmetic is in ``augment.js``, so the explorer also works in a page without a kernel; it is that of
:mod:`utils.data.augment`.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import traitlets

from utils.widgets import source
from utils.widgets.base import Explorer, whole

if TYPE_CHECKING:
    import torch

__all__ = ["LIMITS", "AugmentExplorer"]

# The largest strength of each; augment.js holds the same numbers.
LIMITS: dict[str, float] = {
    "flip": 1,
    "crop": 16,
    "rotate": 90,
    "brightness": 1,
    "contrast": 1,
    "saturation": 1,
    "erase": 0.5,
    "mixup": 2,
    "cutmix": 2,
}
START = {"flip": 0.5, "crop": 6, "rotate": 15}
FILLS = ("reflect", "zero", "edge")
SIDES = (17, 96)  # at most 16 pixels are padded, and reflection wants more than that
SIZE = 48


def _strengths(given: Any) -> dict[str, float]:
    """Return all nine strengths, 0 where none was given."""
    if not isinstance(given, Mapping):
        raise ValueError(f"strengths is {given!r}, and must be a dictionary such as {{'flip': 0.5, 'crop': 6}}.")
    for name, value in given.items():
        if name not in LIMITS:
            raise ValueError(f"there is no augmentation {name!r}; there are {', '.join(LIMITS)}.")
        number = isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)
        if not number or not 0 <= value <= LIMITS[name] or (name == "crop" and value != int(value)):
            what = "a whole number" if name == "crop" else "a number"
            raise ValueError(f"{name} is {value!r}, and must be {what} from 0 to {LIMITS[name]}.")
    return {name: given.get(name, 0) for name in LIMITS}


def _examples() -> tuple[torch.Tensor, list[str]]:
    """Return two photographs, two shapes and two digits as uint8 (6, 3, 48, 48), and their names."""
    import torch
    from torch.nn.functional import interpolate

    from utils.data import SHAPES, digits, photo, scenes

    photos = []
    for name, scale, top, left in (("chelsea", 50, 1, 13), ("coffee", 52, 2, 14)):
        photos.append(photo(name, size=scale)[:, top : top + SIZE, left : left + SIZE])
    drawn = scenes(60, size=SIZE, textures=("moon", "brick"))
    shapes = [drawn.images[drawn.shape == SHAPES.index(name)][0].float() / 255 for name in ("arrow", "star")]
    train = digits().train
    numerals = [train.images[train.labels == n][:1].float() / 255 for n in (2, 6)]
    large = [interpolate(n, size=(SIZE, SIZE), mode="bilinear")[0].expand(3, -1, -1) for n in numerals]
    pictures = torch.stack([*photos, *shapes, *large])
    return (pictures * 255).round().to(torch.uint8), ["cat", "cup", "arrow", "star", "digit 2", "digit 6"]


class AugmentExplorer(Explorer):
    """Draw twelve augmented results from one picture; a button draws again.

    The attributes ``strengths``, ``picture``, ``fill`` and ``seed`` hold the current state; setting one changes the
    figure, and the controls of the figure change them.

    Parameters
    ----------
    images : uint8 tensor (n, 3, size, size), optional
        Two to twelve square pictures of 17 to 96 pixels; six of the book's when left out.
    names : sequence of str, optional
        What they show, one for each.
    picture : int
        Which one is augmented; the others are what it is mixed with.
    fill : str
        What stands where a moved or turned picture has no pixels: "reflect", "zero" or "edge".
    seed : int
        Of the draws.
    strengths : float
        ``flip`` (probability), ``crop`` (pixels, at most 16), ``rotate`` (degrees, at most 90), ``brightness``,
        ``contrast``, ``saturation`` (a factor of 1 − strength to 1 + strength), ``erase`` (share of the area, at most 0.5),
        ``mixup``, ``cutmix`` (α of the Beta distribution, at most 2; 0 is off). What is not named is 0; when nothing is
        named, ``flip=0.5, crop=6, rotate=15``.

    Raises
    ------
    ValueError
        For pictures of another kind, or a number out of range.

    Examples
    --------
    >>> AugmentExplorer(picture=4, flip=1)
    <AugmentExplorer: an interactive figure>
    """

    _esm = source("base.js", "augment.js")
    _css = source("base.css", "augment.css")

    strengths = traitlets.Any().tag(sync=True)
    picture = traitlets.Any().tag(sync=True)
    fill = traitlets.Any().tag(sync=True)
    seed = traitlets.Any().tag(sync=True)
    names = traitlets.List(read_only=True).tag(sync=True)
    size = traitlets.Int(read_only=True).tag(sync=True)
    _pixels = traitlets.Bytes().tag(sync=True)
    # What the reset button goes back to.
    _start = traitlets.Dict().tag(sync=True)

    def __init__(
        self,
        *,
        images: torch.Tensor | None = None,
        names: Sequence[str] | None = None,
        picture: int = 0,
        fill: str = "reflect",
        seed: int = 0,
        **strengths: float,
    ) -> None:
        images, names = self._pictures(images, names)
        self.set_trait("names", names)
        self.set_trait("size", images.shape[-1])
        state = {
            "strengths": _strengths(strengths or START),
            "picture": whole("picture", picture, 0, len(names) - 1),
            "fill": self._fill(fill),
            "seed": whole("seed", seed, 0, 2**31 - 1),
        }
        super().__init__(**state, _pixels=images.contiguous().numpy().tobytes(), _start=state)

    @staticmethod
    def _pictures(images: Any, names: Any) -> tuple[torch.Tensor, list[str]]:
        import torch

        if images is None:
            images, known = _examples()
            names = known if names is None else names
        kind = (
            f"{images.dtype} {tuple(images.shape)}" if isinstance(images, torch.Tensor) else repr(type(images).__name__)
        )
        low, high = SIDES
        if not (
            isinstance(images, torch.Tensor)
            and images.dtype == torch.uint8
            and images.dim() == 4
            and 2 <= len(images) <= 12
            and images.shape[1] == 3
            and low <= images.shape[2] <= high
            and images.shape[2] == images.shape[3]
        ):
            raise ValueError(
                f"images is {kind}, and must be a uint8 tensor (n, 3, size, size) of 2 to 12 pictures of {low} to {high} pixels."
            )
        if names is None:
            names = [f"picture {n}" for n in range(1, len(images) + 1)]
        if isinstance(names, str) or len(names) != len(images) or not all(isinstance(n, str) and n for n in names):
            raise ValueError(f"names is {names!r}, and must be {len(images)} texts, one for each picture.")
        return images.cpu(), list(names)

    @staticmethod
    def _fill(value: Any) -> str:
        if value not in FILLS:
            raise ValueError(f"fill is {value!r}, and must be one of {', '.join(FILLS)}.")
        return value

    @traitlets.validate("strengths")
    def _validate_strengths(self, proposal) -> dict[str, float]:
        return _strengths(proposal["value"])

    @traitlets.validate("picture")
    def _validate_picture(self, proposal) -> int:
        return whole("picture", proposal["value"], 0, len(self.names) - 1)

    @traitlets.validate("fill")
    def _validate_fill(self, proposal) -> str:
        return self._fill(proposal["value"])

    @traitlets.validate("seed")
    def _validate_seed(self, proposal) -> int:
        return whole("seed", proposal["value"], 0, 2**31 - 1)
