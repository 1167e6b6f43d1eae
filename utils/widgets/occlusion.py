"""Occlude it: a patch covers a part of a digit, and a network trained in the notebook says what it reads now."""

from __future__ import annotations

from utils.widgets import source
from utils.widgets.trained import DigitNetwork

__all__ = ["OcclusionExplorer"]


class OcclusionExplorer(DigitNetwork):
    """Drag a patch over a digit and watch the answer of a trained network; ask for the map of all places.

    The parameters are those of :class:`~utils.widgets.trained.DigitNetwork`.

    Notes
    -----
    The map is that of :func:`utils.attribution.occlusion` for the network's answer to the whole digit, with patches
    half a side apart, computed in the page with the weights in half precision
    (`utils.widgets.trained.half_precision_model`). Source: M. D. Zeiler and R. Fergus, "Visualizing and understanding
    convolutional networks", ECCV 2014, section 4.2.
    """

    _esm = source("base.js", "trained.js", "occlusion.js")
    _css = source("base.css", "digit_reader.css", "occlusion.css")
