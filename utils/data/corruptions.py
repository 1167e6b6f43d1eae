"""Pictures damaged on purpose, in seven ways and five strengths, to test what a network withstands.

After Hendrycks and Dietterich, "Benchmarking neural network robustness to common corruptions and perturbations",
2019, who have fifteen ways for photographs; here those that make sense for small pictures.
Chapters: Diagnosis, with the five ``CORRUPTIONS`` for grey pictures; What networks get wrong, with ``NATURAL`` ones.
"""

from __future__ import annotations

import torch

CORRUPTIONS = ("noise", "blur", "contrast", "rotation", "translation")
NATURAL = ("noise", "blur", "contrast", "brightness", "jpeg")  # what happens to photographs
KINDS = tuple(dict.fromkeys(CORRUPTIONS + NATURAL))
STRENGTHS = range(6)


def corrupt(images: torch.Tensor, kind: str, strength: int, *, seed: int = 0) -> torch.Tensor:
    """Return damaged copies of images.

    ============= ==================================================================================
    noise         a normal random number is added to each pixel: standard deviation 0.15 × strength,
                  where black is 0 and white is 1
    blur          Gaussian, standard deviation 0.6 × strength pixels
    contrast      distance to middle grey times 1 − 0.18 × strength
    rotation      by 12° × strength, counter-clockwise
    translation   by 2 × strength pixels to the right
    brightness    0.1 × strength is added to each pixel, where black is 0 and white is 1
    jpeg          written as JPEG of quality 60 − 10 × strength and read again
    ============= ==================================================================================

    Parameters
    ----------
    images : uint8 tensor (N, C, H, W)
    kind : str
        One of ``KINDS``: ``CORRUPTIONS`` and ``NATURAL`` ones.
    strength : int
        From 0, which changes nothing, to 5.
    seed : int
        Of the noise, which is drawn on the CPU: the same on every device.

    Returns
    -------
    uint8 tensor (N, C, H, W)
        New pixels at the border are black.

    Raises
    ------
    ValueError
        When the kind or the strength is unknown, or the images are not uint8 (N, C, H, W); for JPEG, also when
        they have neither one channel nor three.
    """
    from torchvision.transforms.v2 import InterpolationMode
    from torchvision.transforms.v2 import functional as change

    if kind not in KINDS:
        raise ValueError(f"kind is {kind!r}, but it must be one of {', '.join(KINDS)}.")
    if isinstance(strength, bool) or not isinstance(strength, int) or strength not in STRENGTHS:
        raise ValueError(f"strength is {strength!r}, but it must be a whole number from 0 to 5.")
    if images.dim() != 4 or images.dtype != torch.uint8:
        raise ValueError(
            f"the images are {images.dtype} of shape {tuple(images.shape)}, "
            "but they must be uint8 of shape (N, C, H, W)."
        )
    if strength == 0:
        return images.clone()
    if kind == "jpeg":
        return torch.stack([_compressed(image, 60 - 10 * strength) for image in images])
    pixels = images.float() / 255
    if kind == "noise":
        noise = torch.randn(pixels.shape, generator=torch.Generator().manual_seed(seed))
        pixels = pixels + 0.15 * strength * noise.to(pixels.device)
    elif kind == "blur":
        width = 0.6 * strength
        # Three deviations to each side; a kernel may not reach beyond the mirrored border.
        side = 2 * min(round(3 * width), min(pixels.shape[-2:]) - 1) + 1
        pixels = change.gaussian_blur(pixels, [side, side], [width, width])
    elif kind == "contrast":
        pixels = 0.5 + (pixels - 0.5) * (1 - 0.18 * strength)
    elif kind == "brightness":
        pixels = pixels + 0.1 * strength
    elif kind == "rotation":
        pixels = change.rotate(pixels, 12.0 * strength, InterpolationMode.BILINEAR)
    else:
        pixels = change.affine(pixels, 0.0, [2 * strength, 0], 1.0, [0.0, 0.0])
    return (255 * pixels.clamp(0, 1)).round().to(torch.uint8)


def _compressed(image: torch.Tensor, quality: int) -> torch.Tensor:
    """Return an image (C, H, W) as it comes back from a JPEG file."""
    import io

    import numpy as np
    from PIL import Image

    if len(image) not in (1, 3):
        raise ValueError(f"the images have {len(image)} channels, but JPEG knows only grey (1) and colour (3).")
    array, buffer = image.permute(1, 2, 0).cpu().numpy(), io.BytesIO()
    Image.fromarray(array[..., 0] if len(image) == 1 else array).save(buffer, "JPEG", quality=quality)
    read = torch.from_numpy(np.array(Image.open(buffer)))
    return (read[None] if read.dim() == 2 else read.permute(2, 0, 1)).to(image.device)
