"""The window explorer: where a convolution or pooling layer looks, and which cells it never reads.

The arithmetic is in ``window.js``, so the explorer also works in a page without a kernel.
"""

from __future__ import annotations

from typing import Any

import traitlets

from utils.widgets import source
from utils.widgets.base import Explorer, whole

__all__ = ["KINDS", "PRESETS", "WindowExplorer"]

KINDS = ("convolution", "max pooling", "average pooling")
# What the controls of the explorer reach too; window.js holds the same numbers.
RANGES = {"size": (1, 32), "kernel": (1, 11), "padding": (0, 8), "stride": (1, 8), "dilation": (1, 8)}


def _layer(size: int, kernel: int, padding: int = 0, stride: int = 1, dilation: int = 1, kind: int = 0, ceil=False):
    numbers = zip(RANGES, (size, kernel, padding, stride, dilation), strict=True)
    return {**dict(numbers), "kind": KINDS[kind], "ceil_mode": ceil}


PRESETS: dict[str, dict[str, Any]] = {
    "stride that does not fit": _layer(8, 3, stride=2),
    "same padding 3 × 3": _layer(8, 3, 1),
    "stride 2, padding 1": _layer(8, 3, 1, 2),
    "stride 4 leaves gaps": _layer(9, 3, stride=4),
    "dilated": _layer(9, 3, 2, dilation=2),
    "LeNet's first layer": _layer(32, 5),
    "max pooling 2 × 2": _layer(8, 2, stride=2, kind=1),
    # Krizhevsky, Sutskever and Hinton (2012), the last pooling layer.
    "max pooling 3 × 3, stride 2 (AlexNet)": _layer(13, 3, stride=2, kind=1),
    "ceil_mode": _layer(5, 2, stride=2, kind=1, ceil=True),
    "ceil_mode that adds nothing": _layer(5, 2, 1, 2, kind=1, ceil=True),
    "average pooling 3 × 3, padding 1": _layer(6, 3, 1, kind=2),
}


def _kind(value: Any) -> str:
    if not isinstance(value, str) or value not in KINDS:
        raise ValueError(f"kind is {value!r}, and must be one of {', '.join(map(repr, KINDS))}.")
    return value


def _flag(value: Any) -> bool:
    if not isinstance(value, bool):
        raise ValueError(f"ceil_mode is {value!r}, and must be True or False.")
    return value


class WindowExplorer(Explorer):
    """Set a layer, choose an output, and see which cells it reads and which cells no window reads.

    Input and kernel are square. The attributes of the same names hold the current state; setting
    one changes the figure, and the controls of the figure change them.

    Parameters
    ----------
    size : int, default 8
        Rows and columns of the input, 1 to 32.
    kernel : int, default 3
        Taps along each axis, 1 to 11.
    padding : int, default 0
        Cells added on every side, 0 to 8.
    stride : int, optional
        Step of the window, 1 to 8; when left out 1, or the kernel in a pooling layer, as in PyTorch.
    dilation : int, default 1
        Distance between neighbouring taps, 1 to 8.
    kind : {"convolution", "max pooling", "average pooling"}, default "convolution"
    ceil_mode : bool, default False
        Round up instead of down; pooling only.

    Raises
    ------
    ValueError
        For a number out of range, an unknown kind, or a ceil_mode that is no flag. A layer whose numbers
        do not go together (a kernel larger than the padded input, pooling padded by more than half its
        kernel) is not refused: the figure says why there is no such layer.

    Examples
    --------
    >>> WindowExplorer(size=5, kernel=2, kind="max pooling", ceil_mode=True)
    <WindowExplorer: an interactive figure>
    """

    _esm = source("base.js", "window.js")
    _css = source("base.css", "window.css")

    size = traitlets.Any().tag(sync=True)
    kernel = traitlets.Any().tag(sync=True)
    padding = traitlets.Any().tag(sync=True)
    stride = traitlets.Any().tag(sync=True)
    dilation = traitlets.Any().tag(sync=True)
    kind = traitlets.Any().tag(sync=True)
    ceil_mode = traitlets.Any().tag(sync=True)
    # Pairs of a name and its layer: a notebook file sorts the keys of a dictionary.
    _presets = traitlets.List([[name, layer] for name, layer in PRESETS.items()]).tag(sync=True)
    # What the reset button goes back to.
    _start = traitlets.Dict().tag(sync=True)

    def __init__(
        self,
        *,
        size: int = 8,
        kernel: int = 3,
        padding: int = 0,
        stride: int | None = None,
        dilation: int = 1,
        kind: str = "convolution",
        ceil_mode: bool = False,
    ) -> None:
        state: dict[str, Any] = {
            "kind": _kind(kind),
            "ceil_mode": _flag(ceil_mode),
            "kernel": whole("kernel", kernel, *RANGES["kernel"]),
        }
        if stride is None:
            # A pooling layer whose kernel exceeds the range of the stride needs its stride spelt out.
            stride = 1 if state["kind"] == "convolution" else kernel
        numbers = {"size": size, "padding": padding, "stride": stride, "dilation": dilation}
        state |= {name: whole(name, value, *RANGES[name]) for name, value in numbers.items()}
        super().__init__(**state, _start=state)

    @traitlets.validate("size", "kernel", "padding", "stride", "dilation")
    def _validate_whole(self, proposal) -> int:
        name = proposal["trait"].name
        return whole(name, proposal["value"], *RANGES[name])

    @traitlets.validate("kind")
    def _validate_kind(self, proposal) -> str:
        return _kind(proposal["value"])

    @traitlets.validate("ceil_mode")
    def _validate_flag(self, proposal) -> bool:
        return _flag(proposal["value"])
