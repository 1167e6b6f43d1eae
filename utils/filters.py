"""Hand-made kernels, and convolution of a plain 2-D image without batch and channel axes.

Chapters: convolution, padding and stride.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch

KERNELS: dict[str, list[list[float]]] = {
    "identity": [[0, 0, 0], [0, 1, 0], [0, 0, 0]],
    "vertical edge": [[1, 0, -1], [1, 0, -1], [1, 0, -1]],
    "horizontal edge": [[1, 1, 1], [0, 0, 0], [-1, -1, -1]],
    "Sobel x": [[-1, 0, 1], [-2, 0, 2], [-1, 0, 1]],
    "Sobel y": [[-1, -2, -1], [0, 0, 0], [1, 2, 1]],
    "blur": [[1 / 9] * 3] * 3,
    "sharpen": [[0, -1, 0], [-1, 5, -1], [0, -1, 0]],
    "Laplacian": [[0, 1, 0], [1, -4, 1], [0, 1, 0]],
}


def kernel(name: str) -> torch.Tensor:
    """Return the named hand-made kernel, float32 of shape (3, 3).

    Raises
    ------
    ValueError
        When there is no kernel of that name; the message lists those there are.
    """
    import torch

    if name not in KERNELS:
        raise ValueError(f"there is no kernel {name!r}; there are {', '.join(KERNELS)}.")
    return torch.tensor(KERNELS[name], dtype=torch.float32)


def correlate(
    image: torch.Tensor,
    kernel: torch.Tensor,
    *,
    stride: int = 1,
    padding: int = 0,
    dilation: int = 1,
    mode: str = "zeros",
) -> torch.Tensor:
    """Slide ``kernel`` over ``image``: what PyTorch calls convolution, for one 2-D image.

    Parameters
    ----------
    image : tensor (H, W)
    kernel : tensor (h, w)
    stride, padding, dilation : int
        The same along both axes.
    mode : {"zeros", "reflect", "replicate", "circular"}
        What the padding is filled with.

    Returns
    -------
    tensor (H', W')
        H' and W' by :func:`utils.geometry.output_size`.

    Raises
    ------
    TypeError, ValueError
        When an argument is not 2-D, the kernel does not fit, or a number is out of range.
    """
    import torch
    import torch.nn.functional as F

    from utils.geometry import output_size

    for name, value in (("image", image), ("kernel", kernel)):
        if not isinstance(value, torch.Tensor) or value.dim() != 2:
            shape = tuple(value.shape) if isinstance(value, torch.Tensor) else type(value).__name__
            raise TypeError(f"the {name} is {shape}, but it must be a tensor with two axes (height, width).")
    for size, extent in zip(image.shape, kernel.shape, strict=True):
        output_size(size, extent, stride, padding, dilation)  # raises the clear sentence
    modes = {"zeros": "constant", "reflect": "reflect", "replicate": "replicate", "circular": "circular"}
    if mode not in modes:
        raise ValueError(f"the padding mode is {mode!r}, but it must be one of {', '.join(modes)}.")
    limit = {"reflect": min(image.shape) - 1, "circular": min(image.shape)}.get(mode)
    if limit is not None and padding > limit:
        raise ValueError(
            f"padding is {padding}, but {mode} padding of a {image.shape[0]}×{image.shape[1]} image allows at most {limit}."
        )
    image = image.to(torch.get_default_dtype()) if not image.is_floating_point() else image
    padded = F.pad(image[None, None], (padding,) * 4, mode=modes[mode]) if padding else image[None, None]
    return F.conv2d(padded, kernel.to(padded)[None, None], stride=stride, dilation=dilation)[0, 0]
