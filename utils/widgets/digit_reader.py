"""LeNet reads your digit: a network trained in the notebook runs in the page on what is drawn."""

from __future__ import annotations

from utils.widgets import source
from utils.widgets.trained import DigitNetwork, half_precision_model

__all__ = ["DigitReader", "half_precision_model"]


class DigitReader(DigitNetwork):
    """Draw a digit, or pick one, and see what every layer of a trained network makes of it.

    The parameters are those of :class:`~utils.widgets.trained.DigitNetwork`.

    Notes
    -----
    The page stores the weights in half precision; see `half_precision_model`. A drawing is centred and
    scaled as the digits of MNIST were: to a box of 20 × 20, centre of mass in the middle of the field
    (LeCun, Bottou, Bengio and Haffner 1998, section III.A).
    """

    _esm = source("base.js", "trained.js", "digit_reader.js")
    _css = source("base.css", "digit_reader.css")
