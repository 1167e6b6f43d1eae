"""The feature-map browser: every map that the layers of a network give for one image, and the pixels each unit sees.

The maps need PyTorch, so they are computed when the notebook is executed and stored as bytes; the page only walks
through them. Chapter: filters and feature maps.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
import traitlets
from torch import Tensor, nn

from utils.activations import evaluating
from utils.geometry import receptive_field, same_padding
from utils.widgets import source
from utils.widgets.base import Explorer, index

__all__ = ["BUDGET", "FeatureMapExplorer", "LayerMaps", "feature_maps"]

BUDGET = 500_000  # bytes of maps in one explorer; the page holds them as text, a third longer
SCALES = ("layer", "map")
# A unit of these sees what the unit below it at the same place sees.
POINTWISE = (
    nn.BatchNorm2d, nn.Dropout, nn.Dropout2d, nn.ELU, nn.GELU, nn.Hardswish, nn.Identity, nn.LeakyReLU, nn.ReLU,
    nn.ReLU6, nn.SiLU, nn.Sigmoid, nn.Tanh,
)  # fmt: skip
WINDOWS = (nn.Conv2d, nn.MaxPool2d, nn.AvgPool2d)
# Where a network stops giving maps.
ENDS = (nn.AdaptiveAvgPool2d, nn.AdaptiveMaxPool2d, nn.Flatten, nn.Linear)


@dataclass(frozen=True, eq=False, repr=False)
class LayerMaps:
    """What one layer gave for one image, and which pixels its units see.

    Along each axis, the unit ``i`` sees the pixels from ``i·jump − offset`` on, ``field`` of them, those outside of the
    image being padding.

    Attributes
    ----------
    name : str
        As in ``model.named_modules()``.
    kind : str
        The class of the layer.
    maps : float tensor (C, H, W)
    field, jump, offset : int
        In pixels; size and jump are those of :func:`utils.geometry.receptive_field`.
    """

    name: str
    kind: str
    maps: Tensor
    field: int
    jump: int
    offset: int


def feature_maps(model: nn.Module, inputs: Tensor) -> list[LayerMaps]:
    """Return the maps of all layers for one image, in the order in which they are computed, down to the last maps.

    Parameters
    ----------
    model : nn.Module
        Its layers must form a chain, each of them reading what the one before gave: then the field of a unit follows
        from the layers alone.
    inputs : tensor (1, C, H, W)
        As the model takes it. It runs in evaluation mode, without a graph.

    Raises
    ------
    ValueError
        When the layers form no chain, or one is not known or not square.
    """
    if not isinstance(inputs, Tensor) or inputs.dim() != 4 or len(inputs) != 1:
        found = tuple(inputs.shape) if isinstance(inputs, Tensor) else type(inputs).__name__
        raise ValueError(f"inputs is {found}, but it must be one image as a tensor (1, C, H, W).")
    names = {layer: name for name, layer in model.named_modules() if name and not list(layer.children())}
    found: list[LayerMaps] = []
    stack: list[tuple[int, int, int]] = []
    state: dict[str, Any] = {"last": inputs, "open": True, "offset": 0}

    def note(layer, arguments, output):
        if isinstance(layer, ENDS) or not isinstance(output, Tensor) or output.dim() != 4:
            state["open"] = False
        if not state["open"]:
            return
        name, kind = names[layer], type(layer).__name__
        if not arguments or arguments[0] is not state["last"]:
            before = f"the layer {found[-1].name!r}" if found else "the image itself"
            raise ValueError(
                f"the layer {name!r} does not read what {before} gave, but the browser needs a chain of layers, each "
                "written as a module; name a part of the network that is one."
            )
        state["last"] = output
        if isinstance(layer, WINDOWS):
            kernel, stride, dilation, padding = _window(layer, name)
            state["offset"] += padding * receptive_field(stack).jump
            stack.append((kernel, stride, dilation))
        elif not isinstance(layer, POINTWISE):
            raise ValueError(
                f"the layer {name!r} is a {kind}, and it is not known which pixels its units see; "
                f"known are {', '.join(sorted(known.__name__ for known in (*WINDOWS, *POINTWISE)))}."
            )
        field = receptive_field(stack)
        # A clone: the next layer may work in place.
        maps = output[0].detach().float().cpu().clone()
        found.append(LayerMaps(name, kind, maps, field.size, field.jump, state["offset"]))

    handles = [layer.register_forward_hook(note) for layer in names]
    try:
        with evaluating(model), torch.no_grad():
            model(inputs)
    finally:
        for handle in handles:
            handle.remove()
    if not found:
        raise ValueError(f"{type(model).__name__} has no layers that give maps; it needs convolutions as modules.")
    return found


def _window(layer: nn.Module, name: str) -> tuple[int, int, int, int]:
    """Return kernel, stride, dilation and padding of a layer that is the same along both axes."""
    values = []
    for setting in ("kernel_size", "stride", "dilation", "padding"):
        value = getattr(layer, setting, 1)
        if value == "valid":
            value = 0
        elif value == "same":
            value = same_padding(values[0], values[2])[0]
        pair = tuple(value) if isinstance(value, (tuple, list)) else (value, value)
        if pair[0] != pair[1]:
            raise ValueError(
                f"the {setting} of the layer {name!r} is {pair}, but the browser needs the same both ways."
            )
        values.append(pair[0])
    return values[0], values[1], values[2], values[3]


class FeatureMapExplorer(Explorer):
    """Walk through all layers and channels of a network for one image, and see which pixels a unit sees.

    The attributes ``place`` and ``scale`` hold the current state; setting one changes the figure, and the controls of
    the figure change them.

    Parameters
    ----------
    model : nn.Module
        A chain of layers, see :func:`feature_maps`.
    inputs : tensor (1, C, H, W)
        One image as the model takes it.
    picture : tensor (1, H, W) or (3, H, W)
        The same image as it is shown: uint8, or floats in [0, 1].
    layer : str or int, default 0
        The layer shown first, by name or number.
    channel : int, default 0
    unit : (int, int), optional
        Row and column; the middle of the map when left out.
    scale : {"layer", "map"}, default "layer"
        What the colours of a map are relative to: the largest value of the layer, or its own.

    Raises
    ------
    ValueError
        For a network that is no chain, a picture that does not belong to the inputs, a place that does not exist, maps
        that are not numbers, or more than 500,000 bytes of maps.

    Notes
    -----
    A value takes one byte: 0 to 255 where no value of the layer is negative, else 1 to 255 with 128 for 0, in parts of
    the largest absolute value of its map. The error is at most half a part.

    Examples
    --------
    >>> FeatureMapExplorer(nn.Sequential(nn.Conv2d(1, 4, 3), nn.ReLU()), torch.zeros(1, 1, 8, 8), torch.zeros(1, 8, 8))
    <FeatureMapExplorer: an interactive figure>
    """

    _esm = source("base.js", "feature_map.js")
    _css = source("base.css", "feature_map.css")

    # Layer, channel, row, column.
    place = traitlets.TraitType(None).tag(sync=True)
    scale = traitlets.TraitType(None).tag(sync=True)
    _layers = traitlets.List().tag(sync=True)
    _maps = traitlets.Bytes().tag(sync=True)
    _picture = traitlets.Bytes().tag(sync=True)
    _size = traitlets.List().tag(sync=True)
    # What the reset button goes back to.
    _start = traitlets.Dict().tag(sync=True)

    def __init__(
        self,
        model: nn.Module,
        inputs: Tensor,
        picture: Tensor,
        *,
        layer: str | int = 0,
        channel: int = 0,
        unit: tuple[int, int] | None = None,
        scale: str = "layer",
    ) -> None:
        layers = feature_maps(model, inputs)
        used = sum(one.maps.numel() for one in layers)
        if used > BUDGET:
            raise ValueError(
                f"the maps of {len(layers)} layers take {used:,} bytes, more than the {BUDGET:,} allowed; "
                "take a smaller image or a smaller network."
            )
        stored, described = [], []
        for one in layers:
            data, facts = _stored(one)
            stored.append(data)
            described.append(facts)
        number = _number(layer, layers)
        row, column = (side // 2 for side in layers[number].maps.shape[1:]) if unit is None else unit
        self._described = described
        state = {"place": _place([number, channel, row, column], described), "scale": _scale(scale)}
        super().__init__(
            **state,
            _layers=described,
            _maps=b"".join(stored),
            _picture=_pixels(picture, inputs),
            _size=[int(side) for side in inputs.shape[2:]],
            _start=state,
        )

    @traitlets.validate("place")
    def _validate_place(self, proposal) -> list[int]:
        return _place(proposal["value"], self._described)

    @traitlets.validate("scale")
    def _validate_scale(self, proposal) -> str:
        return _scale(proposal["value"])


def _stored(layer: LayerMaps) -> tuple[bytes, dict[str, Any]]:
    """Return the maps of a layer as bytes, and what the page has to know of it."""
    maps = layer.maps
    if not maps.isfinite().all():
        raise ValueError(f"the maps of the layer {layer.name!r} hold values that are not finite numbers.")
    signed = bool((maps < 0).any())
    # As the page reads them: six digits, so that both sides use the same number.
    largest = [float(f"{value:.6g}") for value in maps.abs().amax((1, 2)).tolist()]
    scale = torch.tensor([value or 1.0 for value in largest]).view(-1, 1, 1)
    parts = (maps / scale * (127 if signed else 255)).round().clamp(-127, 255).int() + (128 if signed else 0)
    channels, height, width = maps.shape
    return bytes(parts.clamp(0, 255).to(torch.uint8).numpy().tobytes()), {
        "name": layer.name,
        "kind": layer.kind,
        "channels": channels,
        "height": height,
        "width": width,
        "field": layer.field,
        "jump": layer.jump,
        "offset": layer.offset,
        "signed": signed,
        "largest": largest,
        "zeros": (maps == 0).sum((1, 2)).tolist(),
    }


def _pixels(picture: Any, inputs: Tensor) -> bytes:
    """Return the picture as bytes, red, green and blue of each pixel in a row."""
    sides = tuple(inputs.shape[2:])
    if not isinstance(picture, Tensor) or picture.dim() != 3 or picture.shape[0] not in (1, 3):
        found = tuple(picture.shape) if isinstance(picture, Tensor) else type(picture).__name__
        raise ValueError(f"the picture is {found}, but it must be a tensor (1, H, W) or (3, H, W).")
    if tuple(picture.shape[1:]) != sides:
        raise ValueError(f"the picture has {tuple(picture.shape[1:])} pixels and the inputs {sides}; they must agree.")
    if picture.is_floating_point():
        if not 0 <= picture.min() <= picture.max() <= 1:
            raise ValueError(
                f"the picture goes from {picture.min():.3g} to {picture.max():.3g}, but floats must lie between 0 and 1; "
                "give it as it was before standardisation."
            )
        picture = (picture * 255).round()
    return picture.to(torch.uint8).cpu().expand(3, -1, -1).permute(1, 2, 0).contiguous().numpy().tobytes()


def _number(layer: Any, layers: list[LayerMaps]) -> int:
    names = [one.name for one in layers]
    number = names.index(layer) if layer in names else index(layer)
    if number is None or not 0 <= number < len(names):
        raise ValueError(
            f"layer is {layer!r}, but it must be a number from 0 to {len(names) - 1} or one of {', '.join(names)}."
        )
    return number


def _place(value: Any, layers: list[dict[str, Any]]) -> list[int]:
    """Return layer, channel, row and column as whole numbers that exist."""
    numbers = [index(one) for one in value] if isinstance(value, (list, tuple)) else []
    if len(numbers) != 4 or None in numbers:
        raise ValueError(f"the place is {value!r}, and must be four whole numbers: layer, channel, row and column.")
    layer = numbers[0]
    counts = [len(layers)]
    if 0 <= layer < len(layers):
        counts += [layers[layer][side] for side in ("channels", "height", "width")]
    for name, number, count in zip(("layer", "channel", "row", "column"), numbers, counts, strict=False):
        if not 0 <= number < count:
            raise ValueError(f"the {name} is {number}, and must be a whole number from 0 to {count - 1}.")
    return numbers


def _scale(value: Any) -> str:
    if not isinstance(value, str) or value not in SCALES:
        raise ValueError(
            f"scale is {value!r}, and must be 'layer' (one scale for all maps) or 'map' (each map its own)."
        )
    return value
