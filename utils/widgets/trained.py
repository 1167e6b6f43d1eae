"""A network that was trained on digits and runs in the page: its weights and what must be true of them.

The weights travel in half precision, 2 bytes each, so that a notebook stores 89 kB for the 44,426
parameters of LeNet instead of 178 kB. Half precision keeps 11 significant bits: a weight changes by at
most 0.05 %. That is a different network, if only a little, so its accuracy is measured on its own:
`half_precision_model` returns the very network that runs in the page. The tests compare the two: with the
same half-precision weights the logits of the page and of PyTorch differ by less than 0.001 on 1,000 test
digits. (The page multiplies these weights in single and double precision, as PyTorch does here; only
storing them costs accuracy.)
"""

from __future__ import annotations

import copy
from collections.abc import Sequence

import numpy as np
import torch
import traitlets
from torch import Tensor, nn
from torch.nn import functional as F

from utils.widgets.base import Explorer

MOST_DIGITS = 30
_KNOWN = (
    "Conv2d (stride 1, square kernel, zero padding), ReLU, Tanh, MaxPool2d and AvgPool2d (2 × 2, stride 2), "
    "Flatten and Linear"
)

__all__ = ["DigitNetwork", "half_precision_model"]


def half_precision_model(model: nn.Module) -> nn.Module:
    """Return a copy of ``model`` whose parameters are rounded to half precision.

    The copy still computes in the model's own precision: only the numbers are rounded. It is what the
    page of an explorer runs, so its accuracy is the one to state beside the explorer.

    Raises
    ------
    ValueError
        If a parameter is not a number or lies outside ±65,504, the range of half precision.
    """
    rounded = copy.deepcopy(model)
    with torch.no_grad():
        for name, parameter in rounded.named_parameters():
            half = parameter.half()
            if not half.isfinite().all():
                raise ValueError(
                    f"the largest number in {name!r} is {float(parameter.abs().max()):g}, but half precision "
                    "holds finite numbers up to ±65,504; train again with a smaller learning rate"
                )
            parameter.copy_(half)
    return rounded


class DigitNetwork(Explorer):
    """The parent of the explorers in which such a network runs; its JavaScript is ``trained.js``.

    Parameters
    ----------
    model : torch.nn.Module
        A network for digits ``(N, 1, 28, 28)`` with ten logits. Each step is a module of its own, used
        once and registered in the order of use: Conv2d (stride 1), ReLU, Tanh, MaxPool2d, AvgPool2d (both
        2 × 2 with stride 2), Flatten, Linear. The model itself is not changed.
    images : Tensor or array, uint8, shape (N, 1, 28, 28)
        The digits to pick from, at most 30; about a dozen fit in one row.
    labels : sequence of int, length N
        Their classes, 0 to 9.
    mean, std : float
        What the network was trained with: its input is ``(pixel / 255 - mean) / std``.

    Raises
    ------
    ValueError
        If the model has another kind of layer, if its layers in order do not compute what it computes,
        or if the images, the labels, the mean or the std are not as described.
    """

    layers = traitlets.List().tag(sync=True)
    weights = traitlets.Bytes().tag(sync=True)
    images = traitlets.Bytes().tag(sync=True)
    labels = traitlets.List().tag(sync=True)
    mean = traitlets.Float().tag(sync=True)
    std = traitlets.Float().tag(sync=True)

    def __init__(
        self,
        model: nn.Module,
        images: Tensor | np.ndarray,
        labels: Sequence[int] | Tensor,
        *,
        mean: float,
        std: float,
    ) -> None:
        mean, std = float(mean), float(std)
        if not (np.isfinite(mean) and np.isfinite(std) and std > 0):
            raise ValueError(f"mean is {mean} and std is {std}; both must be finite and std above 0")
        images = _check_images(images)
        labels = _check_labels(labels, len(images))
        model = half_precision_model(model).cpu().eval()
        steps = [_describe(name, module) for name, module in model.named_modules() if not list(module.children())]
        inputs = (torch.from_numpy(images[:1]).double() / 255 - mean) / std
        _check_pass(model, steps, inputs)
        weights = [parameter.detach().flatten() for _, own in steps for parameter in own]
        super().__init__(
            layers=[layer for layer, _ in steps],
            weights=torch.cat(weights).numpy().astype("<f2").tobytes(),
            images=images.tobytes(),
            labels=labels,
            mean=mean,
            std=std,
        )


def _check_images(images: Tensor | np.ndarray) -> np.ndarray:
    """Return the images as a contiguous uint8 array (N, 1, 28, 28)."""
    array = images.detach().cpu().numpy() if isinstance(images, Tensor) else np.asarray(images)
    if array.dtype != np.uint8 or array.ndim != 4 or array.shape[1:] != (1, 28, 28):
        raise ValueError(
            f"images have the shape {array.shape} and the type {array.dtype}; the page takes "
            "uint8 pixels (0 to 255) of the shape (N, 1, 28, 28)"
        )
    if not 1 <= len(array) <= MOST_DIGITS:
        raise ValueError(f"there are {len(array)} images; give 1 to {MOST_DIGITS}, for example images[:12]")
    return np.ascontiguousarray(array)


def _check_labels(labels: Sequence[int] | Tensor, count: int) -> list[int]:
    """Return the labels as a list of ``count`` classes from 0 to 9."""
    values = np.asarray(labels.detach().cpu() if isinstance(labels, Tensor) else labels)
    if values.shape != (count,):
        raise ValueError(f"labels have the shape {values.shape}; {count} images need the shape ({count},)")
    if values.dtype.kind not in "iu" or values.min() < 0 or values.max() > 9:
        raise ValueError(f"labels are {values.tolist()}; each must be a whole number from 0 to 9")
    return [int(value) for value in values]


def _describe(name: str, module: nn.Module) -> tuple[dict, list[nn.Parameter]]:
    """Return what the page needs to know about a layer, and its parameters in the order they are stored."""
    own = list(module.parameters())
    kind = type(module)
    if kind is nn.ReLU:
        return {"kind": "relu"}, own
    if kind is nn.Tanh:
        return {"kind": "tanh"}, own
    if kind is nn.Flatten and (module.start_dim, module.end_dim) == (1, -1):
        return {"kind": "flatten"}, own
    if kind is nn.Linear:
        sizes = {"in": module.in_features, "out": module.out_features}
        return {"kind": "linear", **sizes, "bias": module.bias is not None}, own
    if kind is nn.MaxPool2d and _is_halving(module) and module.dilation in (1, (1, 1)):
        return {"kind": "maxpool"}, own
    if kind is nn.AvgPool2d and _is_halving(module) and module.divisor_override is None:
        return {"kind": "avgpool"}, own
    if kind is nn.Conv2d and (padding := _padding(module)) is not None:
        sizes = {"in": module.in_channels, "out": module.out_channels, "kernel": module.kernel_size[0]}
        return {"kind": "conv", **sizes, "padding": padding, "bias": module.bias is not None}, own
    raise ValueError(f"the page cannot show the layer {name!r}, {module}; it knows {_KNOWN}")


def _is_halving(module: nn.MaxPool2d | nn.AvgPool2d) -> bool:
    pair = (2, (2, 2))
    return (
        module.kernel_size in pair and module.stride in pair and module.padding in (0, (0, 0)) and not module.ceil_mode
    )


def _padding(module: nn.Conv2d) -> int | None:
    """Return the padding on each side, or None for a convolution that the page does not compute."""
    size, other = module.kernel_size
    plain = module.stride == (1, 1) and module.dilation == (1, 1) and module.groups == 1
    if not plain or size != other or module.padding_mode != "zeros":
        return None
    if module.padding == "valid":
        return 0
    if module.padding == "same":
        return size // 2 if size % 2 else None
    return module.padding[0] if module.padding[0] == module.padding[1] else None


def _run(steps: list[tuple[dict, list[nn.Parameter]]], x: Tensor) -> Tensor:
    """Compute what the page computes: the layers in order, (N, 1, 28, 28) to (N, 10)."""
    for layer, own in steps:
        kind = layer["kind"]
        if kind == "conv":
            x = F.conv2d(x, own[0].double(), own[1].double() if layer["bias"] else None, padding=layer["padding"])
        elif kind == "linear":
            x = F.linear(x.flatten(1), own[0].double(), own[1].double() if layer["bias"] else None)
        elif kind in ("maxpool", "avgpool"):
            x = (F.max_pool2d if kind == "maxpool" else F.avg_pool2d)(x, 2)
        else:
            x = {"relu": torch.relu, "tanh": torch.tanh, "flatten": lambda v: v.flatten(1)}[kind](x)
    return x


@torch.no_grad()
def _check_pass(model: nn.Module, steps: list[tuple[dict, list[nn.Parameter]]], x: Tensor) -> None:
    """Raise ValueError unless the layers in order give what the model gives on ``x``, ten logits."""
    name = type(model).__name__
    advice = "make each step a module of its own, used once and registered in the order of use"
    try:
        expected = copy.deepcopy(model).double()(x)
    except RuntimeError as error:
        raise ValueError(f"{name} does not take digits of the shape {tuple(x.shape)}: {error}") from error
    if tuple(expected.shape) != (1, 10):
        raise ValueError(f"{name} gives the shape {tuple(expected.shape)} for one digit; the page needs (1, 10)")
    try:
        difference = float((_run(steps, x) - expected).abs().max())
    except RuntimeError as error:
        raise ValueError(
            f"the layers of {name} do not fit together in the order they are registered; {advice}"
        ) from error
    if not difference <= 1e-6 * max(1.0, float(expected.abs().max())):
        raise ValueError(
            f"the layers of {name}, in the order they are registered, give logits that differ from the model's "
            f"by {difference:.2g}; {advice}"
        )
