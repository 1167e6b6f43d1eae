"""A dozen real photographs that scikit-image and scikit-learn carry in their packages."""

from __future__ import annotations

from dataclasses import dataclass

import torch


@dataclass(frozen=True)
class Photo:
    """Where a photograph comes from."""

    package: str
    credit: str


# Credits after the README of skimage/data and the notes in sklearn/datasets/images.
PHOTOS: dict[str, Photo] = {
    "astronaut": Photo("skimage", "Eileen Collins, NASA, public domain"),
    "brick": Photo("skimage", "CC0 Textures, CC0"),
    "camera": Photo("skimage", "Lav Varshney, CC0"),
    "chelsea": Photo("skimage", "Stéfan van der Walt, CC0"),
    "china": Photo("sklearn", "danielbuechele, CC BY 2.0"),
    "coffee": Photo("skimage", "Rachel Michetti, CC0"),
    "coins": Photo("skimage", "Brooklyn Museum, no known copyright"),
    "flower": Photo("sklearn", "vultilion, CC BY 2.0"),
    "grass": Photo("skimage", "linolafett, CC0"),
    "gravel": Photo("skimage", "CC0 Textures, CC0"),
    "moon": Photo("skimage", "NASA, public domain"),
    "rocket": Photo("skimage", "SpaceX, public domain"),
}


def photo(name: str, *, grey: bool = False, size: int | None = None) -> torch.Tensor:
    """Return a photograph as a float32 tensor in [0, 1] of shape (C, H, W).

    Parameters
    ----------
    name : str
        One of ``PHOTOS``.
    grey : bool
        Return one channel: 0.2125 red + 0.7154 green + 0.0721 blue, as scikit-image does.
    size : int, optional
        Length of the shorter side in pixels; the photograph is resized with anti-aliasing.

    Raises
    ------
    ValueError
        When there is no photograph of that name, or the size is no positive whole number.
    """
    if name not in PHOTOS:
        raise ValueError(f"there is no photograph {name!r}; there are {', '.join(PHOTOS)}.")
    if size is not None and (not isinstance(size, int) or isinstance(size, bool) or size < 1):
        raise ValueError(f"size is {size!r}, but it must be a whole number of pixels, at least 1.")
    if PHOTOS[name].package == "sklearn":
        from sklearn.datasets import load_sample_image

        array = load_sample_image(f"{name}.jpg")
    else:
        import skimage.data

        array = getattr(skimage.data, name)()
    image = torch.tensor(array).float() / 255
    image = image[None] if image.dim() == 2 else image.permute(2, 0, 1)
    if grey and len(image) == 3:
        image = (image * torch.tensor([0.2125, 0.7154, 0.0721]).view(3, 1, 1)).sum(0, keepdim=True)
    if size is not None:
        from torchvision.transforms.v2.functional import resize

        image = resize(image, [size], antialias=True).clamp(0, 1)
    return image.contiguous()
