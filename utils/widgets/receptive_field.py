"""The receptive field explorer: a stack of layers, and what one unit reads through all of them.

The arithmetic is in ``receptive_field.js``, so the explorer also works in a page without a kernel.
"""

from __future__ import annotations

from typing import Any

import traitlets

from utils.widgets import source
from utils.widgets.base import Explorer, whole

__all__ = ["PRESETS", "ReceptiveFieldExplorer"]

# Layers from the input upwards: kernel, stride, dilation.
PRESETS: dict[str, list[list[int]]] = {
    "three 3 × 3": [[3, 1, 1]] * 3,
    "one 7 × 7": [[7, 1, 1]],
    "two 3 × 3, stride 2": [[3, 2, 1]] * 2,
    "dilations 1, 2, 4": [[3, 1, 1], [3, 1, 2], [3, 1, 4]],
    "dilations 2, 2, 2": [[3, 1, 2]] * 3,
    "LeNet": [[5, 1, 1], [2, 2, 1], [5, 1, 1], [2, 2, 1]],
}
# What the controls of the explorer reach too; receptive_field.js holds the same numbers.
RANGES = {"kernel": (1, 11), "stride": (1, 4), "dilation": (1, 8)}
SIZE = (1, 64)
MOST = 6


def _stack(value: Any) -> list[list[int]]:
    """Return layers as lists of three numbers, or raise a ValueError that names the fault."""
    if isinstance(value, str):
        if value not in PRESETS:
            names = ", ".join(f"'{name}'" for name in PRESETS)
            raise ValueError(f"layers is '{value}', which is not a preset; choose {names}, or give a list of layers.")
        return [list(layer) for layer in PRESETS[value]]
    if not isinstance(value, (list, tuple)):
        raise ValueError(f"layers is {value!r}, and must be the name of a preset or a list of layers.")
    if len(value) > MOST:
        raise ValueError(f"there are {len(value)} layers, and the explorer shows at most {MOST}.")
    result = []
    for i, layer in enumerate(value, 1):
        if not isinstance(layer, (list, tuple)) or not 1 <= len(layer) <= 3:
            raise ValueError(
                f"layer {i} is {layer!r}, and must be (kernel,), (kernel, stride) or (kernel, stride, dilation)."
            )
        full = (*layer, *(1, 1, 1)[len(layer) :])
        result.append(
            [
                whole(f"the {name} of layer {i}", number, *RANGES[name])
                for name, number in zip(RANGES, full, strict=True)
            ]
        )
    return result


class ReceptiveFieldExplorer(Explorer):
    """Stack layers, choose a unit, and see which cells of the input it reads, back through every layer.

    One axis is shown, and no layer pads. The attributes ``layers`` and ``size`` hold the current
    state; setting one changes the figure, and the controls of the figure change them.

    Parameters
    ----------
    layers : str or list of tuples, default "three 3 × 3"
        A preset ("three 3 × 3", "one 7 × 7", "two 3 × 3, stride 2", "dilations 1, 2, 4",
        "dilations 2, 2, 2", "LeNet") or up to six layers from the input upwards, each (kernel,),
        (kernel, stride) or (kernel, stride, dilation): kernel 1 to 11, stride 1 to 4, dilation 1 to 8.
    size : int, default 28
        Cells of the input, 1 to 64.

    Raises
    ------
    ValueError
        For an unknown name, a layer that is none, or a number out of range. A stack that is too large
        for the input is not refused: the figure says which layer does not fit, and why.

    Examples
    --------
    >>> ReceptiveFieldExplorer(layers=[(3,), (2, 2), (3, 1, 2)])
    <ReceptiveFieldExplorer: an interactive figure>
    """

    _esm = source("base.js", "receptive_field.js")
    _css = source("base.css", "receptive_field.css")

    layers = traitlets.Any().tag(sync=True)
    size = traitlets.Any().tag(sync=True)
    # Pairs of a name and its layers: a notebook file sorts the keys of a dictionary.
    _presets = traitlets.List([[name, layers] for name, layers in PRESETS.items()]).tag(sync=True)
    # What the reset button goes back to.
    _start = traitlets.Dict().tag(sync=True)

    def __init__(self, *, layers: Any = "three 3 × 3", size: int = 28) -> None:
        state = {"layers": _stack(layers), "size": whole("size", size, *SIZE)}
        super().__init__(**state, _start=state)

    @traitlets.validate("layers")
    def _validate_layers(self, proposal) -> list[list[int]]:
        return _stack(proposal["value"])

    @traitlets.validate("size")
    def _validate_size(self, proposal) -> int:
        return whole("size", proposal["value"], *SIZE)
