"""The gradient explorer: a small convolution or pooling, forward and backward, over the same wires.

The arithmetic is in ``gradient.js``, so the explorer also works in a page without a kernel. Its
gradients are those of ``torch.nn.functional``: ``conv2d``, ``max_pool2d`` (on a CPU, where the first
of equal maxima in reading order gets everything) and ``avg_pool2d`` (which counts padding).
"""

from __future__ import annotations

from typing import Any

import traitlets

from utils.widgets import source
from utils.widgets.base import Explorer, whole

__all__ = ["OPERATIONS", "PRESETS", "GradientExplorer"]

OPERATIONS = ("convolution", "max pooling", "average pooling")
# What the controls of the explorer reach too; gradient.js holds the same numbers.
RANGES = {"window": (2, 3), "stride": (1, 3), "padding": (0, 1)}
SIDES = {"image": (2, 6), "kernel": (1, 3), "gradient": (1, 8)}
LIMIT = 99
FILLS = ("all ones", "one cell")


def _rows(text: str) -> list[list[int]]:
    """Read rows of numbers: "1 2, 3 4"."""
    return [[int(number) for number in row.split()] for row in text.split(",")]


_WORKED = _rows("1 0 2 1 0, 0 1 3 0 1, 2 1 0 2 1, 1 0 1 0 2, 0 1 2 1 0")
_COUNTING = _rows("1 2 3, 4 5 6, 7 8 9")
_MAP = _rows("1 3 2 4, 5 6 1 2, 1 2 7 3, 0 4 8 5")
_FOUR = _rows("1 2, 3 4")


def _preset(operation: str, image: list, gradient: list, kernel=_COUNTING, window=3, stride=1, padding=0) -> dict:
    return {
        "operation": operation,
        "image": image,
        "kernel": kernel,
        "window": window,
        "stride": stride,
        "padding": padding,
        "gradient": gradient,
    }


PRESETS: dict[str, dict[str, Any]] = {
    # Every weight has its own number, so each can be told where it lands.
    "3 × 3 convolution": _preset("convolution", _WORKED, _rows("2 0 -1, 0 1 0, 1 0 3")),
    # Weights and output gradients of 1: the gradient of a pixel is the number of windows that read it.
    "stride 2, kernel 3: checkerboard": _preset(
        "convolution", _WORKED, _rows("1 1 1, 1 1 1, 1 1 1"), kernel=_rows("1 1 1, 1 1 1, 1 1 1"), stride=2, padding=1
    ),
    "max pooling": _preset("max pooling", _MAP, _FOUR, window=2, stride=2),
    # As behind a ReLU: many zeros, so many windows without a single winner.
    "max pooling with ties": _preset(
        "max pooling", _rows("0 0 3 0, 0 0 3 3, 0 2 0 0, 2 0 0 1"), _FOUR, window=2, stride=2
    ),
    "overlapping max pooling: gradients add up": _preset("max pooling", _MAP, _FOUR),
    "average pooling": _preset("average pooling", _MAP, _FOUR),
}


def _grid(name: str, value: Any) -> list[list[int]]:
    """Return rows of whole numbers, or raise a ValueError that names the fault."""
    if hasattr(value, "tolist"):  # an array or a tensor
        value = value.tolist()
    low, high = SIDES[name]
    needed = f"{name} must be rows of whole numbers, all of one length, each side with {low} to {high} cells"
    if not isinstance(value, (list, tuple)) or not all(isinstance(row, (list, tuple)) for row in value):
        raise ValueError(f"{needed}; it is {value!r}.")
    lengths = {len(row) for row in value}
    if len(lengths) != 1 or not all(low <= side <= high for side in (len(value), *lengths)):
        raise ValueError(f"{needed}; it has {len(value)} rows of {sorted(lengths)} cells.")
    if name == "kernel" and lengths != {len(value)}:
        raise ValueError(f"kernel is {len(value)} × {len(value[0])}, and must be square.")
    # The 3.0 of an array is the whole number 3.
    rows = [[int(v) if isinstance(v, float) and v.is_integer() else v for v in row] for row in value]
    return [[whole(f"{name}[{r}, {c}]", v, -LIMIT, LIMIT) for c, v in enumerate(row)] for r, row in enumerate(rows)]


def _operation(value: Any) -> str:
    if value not in OPERATIONS:
        raise ValueError(f"operation is {value!r}, and must be one of {', '.join(map(repr, OPERATIONS))}.")
    return value


def _output_size(state: dict[str, Any]) -> tuple[int, int]:
    """Return rows and columns of the output, or raise a ValueError where the window fits nowhere."""
    convolves = state["operation"] == "convolution"
    k = len(state["kernel"]) if convolves else state["window"]
    padding, name = state["padding"], "kernel" if convolves else "window"
    height, width = (side + 2 * padding for side in (len(state["image"]), len(state["image"][0])))
    if k > min(height, width):
        raise ValueError(
            f"the {name} of {k} × {k} is larger than the {'padded ' if padding else ''}image of {height} × {width}; "
            f"take a smaller {name}, a larger image or padding."
        )
    return tuple((side - k) // state["stride"] + 1 for side in (height, width))


def _gradient(value: Any, size: tuple[int, int]) -> list[list[int]]:
    """Return the output gradient for an output of ``size``, or raise a ValueError that names the fault."""
    rows, columns = size
    if isinstance(value, str):
        if value not in FILLS:
            raise ValueError(f"gradient is '{value}', and must be 'all ones', 'one cell' or rows of numbers.")
        return [[int(value == "all ones" or r == c == 0) for c in range(columns)] for r in range(rows)]
    grid = _grid("gradient", value)
    if (len(grid), len(grid[0])) != size:
        raise ValueError(f"gradient is {len(grid)} × {len(grid[0])}, and the output is {rows} × {columns}.")
    return grid


class GradientExplorer(Explorer):
    """Set the gradient of a layer's output, and see where it lands: on which pixels, on which weights, how much.

    Parameters
    ----------
    preset : str, default "3 × 3 convolution"
        Where all other settings come from: "3 × 3 convolution", "stride 2, kernel 3: checkerboard",
        "max pooling", "max pooling with ties", "overlapping max pooling: gradients add up" or
        "average pooling". What is given besides replaces the setting of the preset.
    operation : {"convolution", "max pooling", "average pooling"}, optional
    image : array-like of shape (H, W), optional
        Whole numbers, 2 to 6 cells a side.
    kernel : array-like of shape (k, k), optional
        Whole numbers, k from 1 to 3. Pooling does not use it.
    window : int, optional
        Size of the pooling window, 2 or 3. A convolution does not use it.
    stride : int, optional
        Step of the window, 1 to 3.
    padding : int, optional
        Cells added on every side, 0 or 1: zeros, or for max pooling cells that never win.
    gradient : {"all ones", "one cell"} or array-like of the shape of the output, optional
        The output gradient: whole numbers. Left out, that of the preset where its shape fits, else "one cell".

    The attributes of the same names hold the current state, with ``image``, ``kernel`` and ``gradient`` as
    lists of rows; setting one changes the figure, and editing the figure changes them. Where the output
    changes its shape, the figure cuts the gradient or fills it up. All numbers lie between -99 and 99.

    Raises
    ------
    ValueError
        For an unknown name, rows that are not whole numbers of equal length, numbers out of range, a gradient
        that has not the shape of the output, and a kernel or window larger than the padded image.

    Examples
    --------
    >>> GradientExplorer(preset="max pooling", gradient="all ones")
    <GradientExplorer: an interactive figure>
    """

    _esm = source("base.js", "gradient.js")
    _css = source("base.css", "gradient.css")

    operation = traitlets.Any().tag(sync=True)
    image = traitlets.Any().tag(sync=True)
    kernel = traitlets.Any().tag(sync=True)
    window = traitlets.Any().tag(sync=True)
    stride = traitlets.Any().tag(sync=True)
    padding = traitlets.Any().tag(sync=True)
    gradient = traitlets.Any().tag(sync=True)
    # Pairs of a name and its state: a notebook file sorts the keys of a dictionary.
    _presets = traitlets.List([list(pair) for pair in PRESETS.items()]).tag(sync=True)
    # What the reset button goes back to.
    _start = traitlets.Dict().tag(sync=True)

    def __init__(
        self,
        *,
        preset: str = "3 × 3 convolution",
        operation: str | None = None,
        image: Any = None,
        kernel: Any = None,
        window: int | None = None,
        stride: int | None = None,
        padding: int | None = None,
        gradient: Any = None,
    ) -> None:
        if not isinstance(preset, str) or preset not in PRESETS:
            raise ValueError(f"preset is {preset!r}, and must be one of {', '.join(map(repr, PRESETS))}.")
        known = PRESETS[preset]
        state = {
            "operation": known["operation"] if operation is None else _operation(operation),
            "image": _grid("image", known["image"] if image is None else image),
            "kernel": _grid("kernel", known["kernel"] if kernel is None else kernel),
        }
        for name, value in (("window", window), ("stride", stride), ("padding", padding)):
            state[name] = known[name] if value is None else whole(name, value, *RANGES[name])
        size = _output_size(state)
        if gradient is None:
            own = known["gradient"]
            gradient = own if (len(own), len(own[0])) == size else "one cell"
        state["gradient"] = _gradient(gradient, size)
        super().__init__(**state, _start=state)

    @traitlets.validate("image", "kernel", "gradient")
    def _validate_grid(self, proposal) -> list[list[int]]:
        return _grid(proposal["trait"].name, proposal["value"])

    @traitlets.validate("window", "stride", "padding")
    def _validate_whole(self, proposal) -> int:
        name = proposal["trait"].name
        return whole(name, proposal["value"], *RANGES[name])

    @traitlets.validate("operation")
    def _validate_operation(self, proposal) -> str:
        return _operation(proposal["value"])
