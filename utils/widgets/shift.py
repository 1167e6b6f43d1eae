"""Shift it: a digit is moved pixel by pixel, and five ways to shrink it are compared before and after.

The arithmetic is in ``shift.js``, so the explorer also works in a page without a kernel.
"""

from __future__ import annotations

from functools import cache
from typing import Any

import traitlets

from utils.widgets import source
from utils.widgets.base import Explorer, index, whole

__all__ = ["ShiftExplorer"]

WINDOWS = (2, 4)
# The largest shift on each axis, in pixels; shift.js holds the same number.
MOST = 8
COMPARED = ("before", "nearest")


@cache
def _digits() -> bytes:
    """Return the first training digit of each class, 0 to 9: ten images of 28×28 bytes in a row."""
    from utils.data import digits

    train = digits().train
    first = [int((train.labels == label).nonzero()[0]) for label in range(10)]
    return train.images[first].numpy().tobytes()


def _window(value: Any) -> int:
    number = index(value)
    if number not in WINDOWS:
        raise ValueError(f"window is {value!r}, and must be 2 or 4: the sides of the windows that are compared.")
    return number


def _shift(value: Any) -> list[int]:
    pair = [index(one) for one in value] if isinstance(value, (list, tuple)) else []
    if len(pair) != 2 or any(one is None or abs(one) > MOST for one in pair):
        raise ValueError(
            f"shift is {value!r}, and must be two whole numbers from -{MOST} to {MOST}: pixels to the right and down."
        )
    return pair


def _compare(value: Any) -> str:
    if not isinstance(value, str) or value not in COMPARED:
        raise ValueError(
            f"compare is {value!r}, and must be 'before' (the map before the shift) or 'nearest' (its nearest moved copy)."
        )
    return value


class ShiftExplorer(Explorer):
    """Move a digit pixel by pixel, and see how much max, average, blur, strided and global pooling change.

    The digit lies in the middle of 32×32 pixels; what leaves on one side comes back on the other. A map
    ``a`` is compared with a reference ``b`` by ‖a − b‖ ÷ ‖b‖, with ‖·‖ the root of the sum of squares over
    all cells, and by the number of cells that differ. The attributes hold the current state; setting one
    changes the figure, and the controls of the figure change them.

    Parameters
    ----------
    digit : int, default 5
        0 to 9: the first training digit of this class.
    window : int, default 4
        Side and stride of the windows, 2 or 4.
    shift : pair of int, default (0, 0)
        Pixels to the right and down, each from -8 to 8.
    compare : str, default "before"
        The reference: "before", the map before the shift, or "nearest", the copy of that map, moved by
        whole cells, that is nearest to the map after the shift.

    Raises
    ------
    ValueError
        For a digit, window, shift or reference that is none of these.

    Notes
    -----
    Blur pooling takes the maximum around every pixel, blurs with binomial weights (1, 2, 1 for a window of
    2; 1, 6, 15, 20, 15, 6, 1 for a window of 4) and keeps every second or fourth value: R. Zhang, "Making
    convolutional networks shift-invariant again", ICML 2019.

    Examples
    --------
    >>> ShiftExplorer(digit=3, shift=(1, 0))
    <ShiftExplorer: an interactive figure>
    """

    _esm = source("base.js", "shift.js")
    _css = source("base.css", "shift.css")

    # Not ``Any``, which takes None without asking the validator.
    digit = traitlets.TraitType(None).tag(sync=True)
    window = traitlets.TraitType(None).tag(sync=True)
    shift = traitlets.TraitType(None).tag(sync=True)
    compare = traitlets.TraitType(None).tag(sync=True)
    _images = traitlets.Bytes().tag(sync=True)
    # What the reset button goes back to.
    _start = traitlets.Dict().tag(sync=True)

    def __init__(
        self, *, digit: int = 5, window: int = 4, shift: tuple[int, int] = (0, 0), compare: str = "before"
    ) -> None:
        state = {
            "digit": whole("digit", digit, 0, 9),
            "window": _window(window),
            "shift": _shift(shift),
            "compare": _compare(compare),
        }
        super().__init__(**state, _start=state, _images=_digits())

    @traitlets.validate("digit")
    def _validate_digit(self, proposal) -> int:
        return whole("digit", proposal["value"], 0, 9)

    @traitlets.validate("window")
    def _validate_window(self, proposal) -> int:
        return _window(proposal["value"])

    @traitlets.validate("shift")
    def _validate_shift(self, proposal) -> list[int]:
        return _shift(proposal["value"])

    @traitlets.validate("compare")
    def _validate_compare(self, proposal) -> str:
        return _compare(proposal["value"])
