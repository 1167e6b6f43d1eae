"""Ten shapes cut from one photograph and laid on another: as many colour images as wanted, of any size.

Every image has two labels, what shape it shows and what it is made of, and a mask. The same seed gives the
same pixels on every machine: the random numbers come from NumPy's ``RandomState``, whose stream is frozen; all
that follows is integer arithmetic; and the ten photographs are the PNG files in scikit-image's package, which
hold the same pixels whatever decodes them (JPEG decoders may differ in the last bit).
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from functools import cache

import numpy as np
import torch

from utils.data.common import Images, Splits

SHAPES = ("circle", "square", "triangle", "star", "cross", "ring", "heart", "crescent", "hexagon", "arrow")

# Name here: name in skimage.data. Credits of most are in ``utils.data.photos``; of the other two: motorcycle, Scharstein
# et al., "High-resolution stereo datasets with subpixel-accurate ground truth", GCPR 2014; tissue, Center for
# Microscopy and Molecular Imaging, no known copyright restrictions.
TEXTURES = {
    "brick": "brick",
    "cat": "chelsea",
    "coffee": "coffee",
    "coins": "coins",
    "grass": "grass",
    "gravel": "gravel",
    "moon": "moon",
    "motorcycle": "stereo_motorcycle",
    "space suit": "astronaut",
    "tissue": "immunohistochemistry",
}

# The grey photographs get a colour of their own: red, green and blue in 256ths of the grey value.
TINTS = {
    "brick": (256, 176, 144),
    "coins": (256, 232, 168),
    "grass": (184, 256, 128),
    "gravel": (256, 256, 256),
    "moon": (208, 224, 256),
}

# Where along its longer side each part cuts its textures, in quarters: no pixel of a test texture is ever trained on.
STRIPS = {"train": (0, 2), "validation": (2, 3), "test": (3, 4)}

STRIP = 96  # pixels, the narrowest strip: a quarter of the coins
FINE = 3  # each pixel's coverage is counted on 3×3 points
UNIT = 2 * FINE  # positions are whole numbers of sixths of a pixel, so that the points lie at odd ones
RADIUS = 256  # of the circle around a stencil, in stencil cells
ANGLES = 101  # from −0.5 to +0.5 rad
# Corners in half cells.
STAR = (
    (0, -512), (123, -170), (487, -158), (199, 65), (301, 414),
    (0, 209), (-301, 414), (-199, 65), (-487, -158), (-123, -170),
)  # fmt: skip
ARROW = ((500, 0), (60, -360), (60, -130), (-490, -130), (-490, 130), (60, 130), (60, 360))
CHUNK = 2**22  # points at once: small enough for the cache


@dataclass(frozen=True)
class Scenes:
    """Shapes with everything that is known about them.

    Attributes
    ----------
    images : uint8 tensor (N, 3, H, W)
    masks : bool tensor (N, 1, H, W)
        True where the shape covers more than half of the pixel.
    shape : int64 tensor (N,)
        Index into ``SHAPES``.
    texture, background : int64 tensor (N,)
        Photographs of the shape and of what lies around it, never the same: indices into ``textures`` and
        ``backgrounds``.
    textures, backgrounds : tuple of str
        Names of the photographs; the same ones unless ``scenes`` was given others for the backgrounds.
    """

    images: torch.Tensor
    masks: torch.Tensor
    shape: torch.Tensor
    texture: torch.Tensor
    background: torch.Tensor
    textures: tuple[str, ...]
    backgrounds: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.shape)

    def __repr__(self) -> str:
        size = "×".join(map(str, self.images.shape[1:]))
        return f"Scenes({len(self):,} images of {size}, {len(SHAPES)} shapes, {len(self.textures)} textures)"

    def labelled(self, label: str = "shape") -> Images:
        """Return the images with one of their labels, ``"shape"`` or ``"texture"``."""
        _check_label(label)
        if label == "shape":
            return Images(self.images, self.shape, SHAPES)
        return Images(self.images, self.texture, self.textures)


@cache
def shapes(
    train: int = 8000,
    validation: int = 1000,
    test: int = 1000,
    *,
    size: int = 32,
    seed: int = 0,
    label: str = "shape",
    textures: tuple[str, ...] = tuple(TEXTURES),
    held_out: tuple[str, ...] = (),
) -> Splits:
    """Return training, validation and test images (3, size, size) of ten shapes.

    Each part cuts its textures from its own strip of every photograph. The parts are drawn apart from each other:
    with more training images the first ones, and the other parts, stay what they were.

    Parameters
    ----------
    train, validation, test : int
        Number of images in each part.
    size : int
        Height and width in pixels.
    seed : int
        The same seed gives the same pixels on every machine.
    label : str
        ``"shape"`` or ``"texture"``: which of the two the labels name.
    textures : tuple of str
        The photographs to cut from, at least two of ``TEXTURES``.
    held_out : tuple of str
        Photographs among them that only test images show. With shape labels (at least two then) all of a test image is
        cut from them. With texture labels they are its background: a photograph that is a class has to be
        known, and shows up in the test by its own strip, as always.

    Raises
    ------
    ValueError
        When a number, the label or the textures make no sense.

    See Also
    --------
    scenes : one part with masks and both labels
    """
    _check_label(label)
    if unknown := [name for name in held_out if name not in textures]:
        raise ValueError(f"{unknown[0]!r} is held out, but it is none of the textures {', '.join(textures)}.")
    shown = tuple(name for name in textures if name not in held_out)
    photographs: dict[str, dict[str, tuple[str, ...]]] = {part: {"textures": shown} for part in STRIPS}
    if held_out:
        photographs["test"] = (
            {"textures": held_out} if label == "shape" else {"textures": shown, "backgrounds": held_out}
        )
    numbers = {"train": train, "validation": validation, "test": test}
    parts = {
        part: scenes(number, size=size, seed=seed, part=part, **photographs[part]).labelled(label)
        for part, number in numbers.items()
    }
    fit = parts["train"].with_statistics()
    others = [replace(parts[part], mean=fit.mean, std=fit.std) for part in ("validation", "test")]
    return Splits(fit, *others)


@cache
def scenes(
    number: int,
    *,
    size: int = 32,
    seed: int = 0,
    part: str = "train",
    textures: tuple[str, ...] = tuple(TEXTURES),
    backgrounds: tuple[str, ...] | None = None,
) -> Scenes:
    """Return ``number`` images of shapes with masks and labels.

    A shape is drawn in a circle of radius 0.22 to 0.42 times the image, anywhere inside it, turned by −0.5 to
    0.5 rad. Shape and background are random crops of two different photographs, one to three times as large as
    the image while a strip of a photograph holds that (three times up to 32 pixels, once from 49 pixels on);
    above 96 pixels strips that are too small are continued by mirroring. The first images of a seed are the same
    whatever the number.

    Parameters
    ----------
    number : int
        At least 1.
    size : int
        Height and width in pixels, at least 8.
    seed : int
        From 0 to 2³² − 1.
    part : str
        ``"train"``, ``"validation"`` or ``"test"``: other random numbers, and another strip of every photograph.
    textures : tuple of str
        The photographs to cut from, at least two of ``TEXTURES``.
    backgrounds : tuple of str, optional
        Other photographs for what lies around the shapes, at least one; the textures themselves when left out.

    Raises
    ------
    ValueError
        When a number, the part or the photographs make no sense.
    """
    _check_number("the number of images", number, 1, None)
    _check_number("size", size, 8, 4096)
    _check_number("seed", seed, 0, 2**32 - 1)
    if part not in STRIPS:
        raise ValueError(f"the part is {part!r}, but it must be one of {', '.join(STRIPS)}.")
    unknown = [name for name in textures if name not in TEXTURES]
    if unknown or len(set(textures)) < max(2, len(textures)):
        raise ValueError(
            f"the textures are {textures!r}, but they must be at least two different ones of {', '.join(TEXTURES)}."
        )
    _check_backgrounds(backgrounds, textures)
    # One row of whole numbers for each image, so that the first rows do not depend on how many follow.
    random = np.random.RandomState([seed, list(STRIPS).index(part)])
    draws = random.randint(0, 2**31 - 1, (number, 13), dtype=np.int64)
    shape, texture = draws[:, 0] % len(SHAPES), draws[:, 1] % len(textures)
    if backgrounds is None:
        background = (texture + 1 + draws[:, 2] % (len(textures) - 1)) % len(textures)
    else:
        background = draws[:, 2] % len(backgrounds)
    around = textures if backgrounds is None else backgrounds
    coverage = _draw(shape, draws[:, 3:7], size)
    strips = {name: _strips(name, part, size) for name in (*textures, *around)}
    front = _crops([strips[name] for name in textures], texture, draws[:, 7:10], size)
    back = _crops([strips[name] for name in around], background, draws[:, 10:13], size)
    return Scenes(
        images=torch.from_numpy(_lay(front, back, coverage)),
        masks=torch.from_numpy(coverage > FINE**2 // 2)[:, None],
        shape=torch.from_numpy(shape),
        texture=torch.from_numpy(texture),
        background=torch.from_numpy(background),
        textures=tuple(textures),
        backgrounds=tuple(around),
    )


def _draw(shape: np.ndarray, draws: np.ndarray, size: int) -> np.ndarray:
    """Return how many of its 3×3 points each pixel has inside the shape: uint8 (n, size, size) from 0 to 9."""
    stencils = _stencils()
    width = stencils.shape[-1]
    edge = UNIT * size
    radius = edge * (220 + draws[:, 0] % 201) // 1000
    centre = radius[:, None] + draws[:, 1:3] % (edge - 2 * radius + 1)[:, None]
    # A turned and scaled point is a sum of a term in x and a term in y, in 1/65536 of a stencil cell.
    angle = draws[:, 3] % ANGLES
    cosine, sine = (turn[angle] * RADIUS * 2 // radius for turn in _turns())
    points = np.arange(1, edge, 2, dtype=np.int64)
    x, y = points - centre[:, :1], points - centre[:, 1:]
    terms = [(cosine, x), (sine, y), (-sine, x), (cosine, y)]
    from_x, from_y, up_x, up_y = ((factor[:, None] * offset).astype(np.int32) for factor, offset in terms)
    coverage = np.empty((len(shape), size, size), np.uint8)
    step = max(1, CHUNK // len(points) ** 2)
    for start in range(0, len(shape), step):
        cut = slice(start, start + step)
        column = from_x[cut, None, :] + from_y[cut, :, None]
        row = up_x[cut, None, :] + up_y[cut, :, None]
        for cells in (column, row):
            cells >>= 16
            cells += width // 2
            np.clip(cells, 0, width - 1, out=cells)  # the stencil's border is empty
        row *= width
        row += column
        row += (shape[cut] * width**2).astype(np.int32)[:, None, None]
        inside = stencils.ravel()[row]
        lines = inside[:, 0::FINE] + inside[:, 1::FINE] + inside[:, 2::FINE]
        coverage[cut] = lines[:, :, 0::FINE] + lines[:, :, 1::FINE] + lines[:, :, 2::FINE]
    return coverage


def _lay(front: np.ndarray, back: np.ndarray, coverage: np.ndarray) -> np.ndarray:
    """Return ``front`` where a pixel is covered, ``back`` where not, and their mixture in between, rounded."""
    full = FINE**2
    share = coverage[:, None].astype(np.uint16)
    return ((front * share + back * (full - share) + full // 2) // full).astype(np.uint8)


def _crops(sources: list[list[np.ndarray]], which: np.ndarray, draws: np.ndarray, size: int) -> np.ndarray:
    """Cut one square of ``size`` pixels for each image: uint8 (n, 3, size, size)."""
    crops = np.empty((len(which), 3, size, size), np.uint8)
    for crop, source, (zoom, down, right) in zip(crops, which.tolist(), draws.tolist(), strict=True):
        texture = sources[source][zoom % len(sources[source])]
        top, left = down % (texture.shape[1] - size + 1), right % (texture.shape[2] - size + 1)
        crop[:] = texture[:, top : top + size, left : left + size]
    return crops


def _strips(name: str, part: str, size: int) -> list[np.ndarray]:
    """Return one part's strip of a photograph, at full size and reduced 2 and 3 times: uint8 (3, H, W) each."""
    pixels = _photograph(name)
    first, last = STRIPS[part]
    axis = 1 if pixels.shape[1] > pixels.shape[2] else 2
    length = pixels.shape[axis]
    strip = np.take(pixels, range(length * first // 4, length * last // 4), axis=axis)
    reduced = [_reduce(strip, factor) for factor in (1, 2, 3) if factor == 1 or factor * size <= STRIP]
    missing = [(0, 0), *((0, max(0, size - side)) for side in strip.shape[1:])]
    return [np.pad(reduced[0], missing, mode="symmetric"), *reduced[1:]]


def _reduce(pixels: np.ndarray, factor: int) -> np.ndarray:
    """Average squares of ``factor`` × ``factor`` pixels, rounded; what does not fill a square is left out."""
    channels, height, width = pixels.shape
    height, width = height // factor, width // factor
    squares = pixels[:, : height * factor, : width * factor].reshape(channels, height, factor, width, factor)
    return ((squares.sum((2, 4), dtype=np.int64) + factor**2 // 2) // factor**2).astype(np.uint8)


@cache
def _photograph(name: str) -> np.ndarray:
    """Return one of ``TEXTURES`` as uint8 (3, H, W); grey photographs get three equal channels."""
    import skimage.data

    pixels = getattr(skimage.data, TEXTURES[name])()
    if name == "motorcycle":
        pixels = pixels[0]  # of a stereo pair and its disparity, the left image
    if pixels.ndim == 2:
        pixels = (pixels[..., None].astype(np.int64) * TINTS[name] // 256).astype(np.uint8)
    return np.ascontiguousarray(pixels.transpose(2, 0, 1))


@cache
def _turns() -> tuple[np.ndarray, np.ndarray]:
    """Return 32,768 times the cosine and the sine of every angle, as whole numbers."""
    angles = [(step / (ANGLES - 1) - 0.5) for step in range(ANGLES)]
    # No value lies within 10⁻⁴ of a half, so a last bit that differs between machines cannot change the rounding.
    return tuple(np.array([round(2**15 * turn(angle)) for angle in angles], np.int64) for turn in (math.cos, math.sin))


@cache
def _stencils() -> np.ndarray:
    """Return the ten shapes in a circle of radius 256, upright: uint8 (10, 514, 514), 1 inside, an empty border."""
    cells = np.arange(-2 * RADIUS + 1, 2 * RADIUS, 2, dtype=np.int64)  # cell centres in half cells: never on a corner
    x, y = cells[None, :], cells[:, None]  # to the right, down
    far = x * x + y * y
    unit = 390  # of the heart's curve, in half cells
    heart_x, heart_y = x, -y + unit // 8
    drawn = {
        "circle": far <= 460**2,
        "square": (abs(x) <= 362) & (abs(y) <= 362),
        "triangle": _polygon(x, y, ((0, -512), (443, 256), (-443, 256))),
        "star": _polygon(x, y, STAR),
        "cross": ((abs(x) <= 160) & (abs(y) <= 486)) | ((abs(y) <= 160) & (abs(x) <= 486)),
        "ring": (far <= 480**2) & (far >= 270**2),
        # (x² + y² − 1)³ = x² y³
        "heart": (heart_x**2 + heart_y**2 - unit**2) ** 3 <= heart_x**2 * heart_y**3 * unit,
        "crescent": (far <= 500**2) & ((x - 230) ** 2 + y * y >= 400**2),
        "hexagon": _polygon(x, y, ((500, 0), (250, 433), (-250, 433), (-500, 0), (-250, -433), (250, -433))),
        "arrow": _polygon(x, y, ARROW),
    }
    return np.stack([np.pad(drawn[name], 1) for name in SHAPES]).astype(np.uint8)


def _polygon(x: np.ndarray, y: np.ndarray, corners: tuple[tuple[int, int], ...]) -> np.ndarray:
    """Return where points lie inside a polygon: a ray to the right crosses its sides an odd number of times."""
    inside = np.zeros(np.broadcast_shapes(x.shape, y.shape), bool)
    for (x0, y0), (x1, y1) in zip(corners, corners[1:] + corners[:1], strict=True):
        if y0 == y1:
            continue
        if y0 > y1:
            x0, y0, x1, y1 = x1, y1, x0, y0
        inside ^= (y >= y0) & (y < y1) & ((x - x0) * (y1 - y0) < (x1 - x0) * (y - y0))
    return inside


def _check_backgrounds(backgrounds: tuple[str, ...] | None, textures: tuple[str, ...]) -> None:
    if backgrounds is None:
        return
    others = [name for name in TEXTURES if name not in textures]
    if not backgrounds or len(set(backgrounds)) < len(backgrounds) or not set(backgrounds) <= set(others):
        raise ValueError(
            f"the backgrounds are {backgrounds!r}, but they must be different photographs, at least one, that are "
            f"none of the textures: {', '.join(others) or 'all are taken'}."
        )


def _check_label(label: str) -> None:
    if label not in ("shape", "texture"):
        raise ValueError(f"label is {label!r}, but it must be 'shape' or 'texture'.")


def _check_number(name: str, value: int, low: int, high: int | None) -> None:
    whole = isinstance(value, int) and not isinstance(value, bool)
    if not whole or value < low or (high is not None and value > high):
        limit = f"at least {low}" if high is None else f"from {low} to {high}"
        raise ValueError(f"{name} is {value!r}, but it must be a whole number, {limit}.")
