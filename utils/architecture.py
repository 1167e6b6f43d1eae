"""A network taken apart: its operations in order, with shapes, costs and receptive fields, and how they are wired.

``torch.fx`` follows the forward pass of a network symbolically, so additions, concatenations and parallel branches
are found where the code has them, not where somebody drew them. The chapters on architectures draw their diagrams
from what is found here (:func:`utils.plots.wiring`, :func:`utils.plots.network`).
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import fx, nn

from utils.activations import multiply_adds
from utils.models.inputs import check_images

# Functions and methods by the name under which torch.fx meets them, and how a diagram calls them.
_CALLS = {
    "add": "+", "iadd": "+", "add_": "+", "sum": "+", "mul": "×", "imul": "×", "cat": "concatenate", "flatten": "flatten",
    "relu": "ReLU", "gelu": "GELU", "silu": "SiLU", "tanh": "tanh", "sigmoid": "sigmoid", "hardswish": "hardswish",
    "relu6": "ReLU6", "mean": "average", "amax": "maximum", "dropout": "dropout", "max_pool2d": "max pool",
    "avg_pool2d": "average pool", "adaptive_avg_pool2d": "average", "truediv": "÷", "permute": "permute", "pad": "pad",
}  # fmt: skip
# Steps of one input that a diagram writes into the box of the step in front.
_SMALL = (
    nn.modules.batchnorm._NormBase, nn.GroupNorm, nn.LayerNorm, nn.LocalResponseNorm, nn.Dropout, nn.ReLU, nn.ReLU6,
    nn.GELU, nn.SiLU, nn.Sigmoid, nn.Hardswish, nn.Hardsigmoid, nn.Tanh, nn.Identity,
)  # fmt: skip
_NAMES = {
    "BatchNorm2d": "batch norm", "LayerNorm": "layer norm", "GroupNorm": "group norm", "Hardsigmoid": "hard sigmoid",
    "LocalResponseNorm": "response norm", "Dropout": "dropout", "Tanh": "tanh", "Sigmoid": "sigmoid",
    "Hardswish": "hardswish", "Identity": "identity", "Flatten": "flatten",
}  # fmt: skip


@dataclass(frozen=True)
class Step:
    """One operation of a forward pass.

    Attributes
    ----------
    name : str
        The path of the layer, such as ``blocks.0.conv1``; for a sum, a concatenation or a function the path of the
        module that calls it and the name of the function.
    label : str
        What it is, in the words of a diagram: ``conv 3×3, 64, stride 2``.
    inputs : tuple of int
        Places in the list of steps of what it reads; −1 is the input of the network.
    shape : tuple of int
        Its output for one image, (C, H, W) or (features,).
    parameters, multiply_adds : int
        For one image; each weight of a convolution or dense layer counts once for each output position.
    field : int or None
        Its theoretical receptive field along one axis, in pixels; None for the whole image.
    jump : int
        Pixels between the fields of neighbouring outputs.
    small : bool
        Whether it is a norm, an activation or a dropout, which diagrams write behind the step in front.
    """

    name: str
    label: str
    inputs: tuple[int, ...]
    shape: tuple[int, ...]
    parameters: int = 0
    multiply_adds: int = 0
    field: int | None = 1
    jump: int = 1
    small: bool = False


@dataclass(frozen=True)
class Block:
    """Neighbouring steps under one name: its output shape, and the sums of their costs."""

    name: str
    kind: str
    shape: tuple[int, ...]
    parameters: int
    multiply_adds: int
    field: int | None


class _Tracer(fx.Tracer):
    def __init__(self) -> None:
        super().__init__(autowrap_functions=(check_images,))


class _Recorder(fx.Interpreter):
    """Runs a traced network once and notes every step."""

    def __init__(self, model: nn.Module, graph: fx.GraphModule) -> None:
        super().__init__(graph)
        self.model, self.steps, self.place = model, [], {}

    def run_node(self, node: fx.Node) -> Any:
        result = super().run_node(node)
        # What is neither a map nor a vector (a size, a check) is no step of the network.
        if node.op == "placeholder":
            self.place[node] = -1
        elif node.op in ("call_module", "call_function", "call_method") and isinstance(result, torch.Tensor):
            self._note(node, result)
        return result

    def _note(self, node: fx.Node, result: torch.Tensor) -> None:
        inputs = tuple(dict.fromkeys(self.place[i] for i in node.all_input_nodes if i in self.place))
        if not inputs:
            return
        layer = self.model.get_submodule(node.target) if node.op == "call_module" else None
        # A weight that no layer holds, such as a scale per channel, belongs to the step that uses it.
        weights = list(layer.parameters()) if layer is not None else []
        weights += [self.fetch_attr(i.target) for i in node.all_input_nodes if i.op == "get_attr"]
        fields = [(1, 1) if i < 0 else (self.steps[i].field, self.steps[i].jump) for i in inputs]
        field = None if any(size is None for size, _ in fields) else max(size for size, _ in fields)
        step = Step(
            name=node.target if layer is not None else _path(node),
            label=_label(layer, result) if layer is not None else _CALLS.get(_call(node), _call(node)),
            inputs=inputs,
            shape=tuple(result.shape[1:]),
            parameters=sum(w.numel() for w in weights if isinstance(w, nn.Parameter)),
            multiply_adds=multiply_adds(layer, result) if layer is not None else 0,
            field=field,
            jump=max(jump for _, jump in fields),
            small=isinstance(layer, _SMALL) or (layer is None and _call(node) in _ACTIVATIONS),
        )
        self.place[node] = len(self.steps)
        self.steps.append(_seen(step, layer, node))


_ACTIVATIONS = {"relu", "relu_", "gelu", "silu", "tanh", "sigmoid", "hardswish", "relu6", "dropout"}
_WHOLE = {"adaptive_avg_pool2d", "mean", "amax", "flatten"}


def trace(model: nn.Module, shape: Sequence[int]) -> list[Step]:
    """Return the steps of one forward pass in evaluation mode, in the order in which they run.

    A model built under ``torch.device("meta")`` costs neither memory nor time: shapes and counts are all that is read.

    Parameters
    ----------
    model : nn.Module
        Its forward pass may not branch on the values of tensors.
    shape : (C, H, W)
        Of one image.

    Raises
    ------
    ValueError
        When the forward pass cannot be followed symbolically; the cause is chained.
    """
    was_training = model.training
    model.eval()
    try:
        try:
            tracer = _Tracer()
            graph = fx.GraphModule(model, tracer.trace(model))
        except Exception as error:
            raise ValueError(
                f"the forward pass of {type(model).__name__} cannot be followed symbolically ({error}); "
                "utils.activations.layer_table lists its layers without their wiring."
            ) from error
        parameter = next(model.parameters(), torch.zeros(()))
        recorder = _Recorder(model, graph)
        with torch.no_grad():
            recorder.run(torch.zeros(1, *shape, device=parameter.device, dtype=parameter.dtype))
    finally:
        model.train(was_training)
    return recorder.steps


def merged(steps: Sequence[Step]) -> list[Step]:
    """Return the steps with every norm, activation and dropout written into the step in front, if it alone reads it."""
    readers = [0] * len(steps)
    for step in steps:
        for i in step.inputs:
            if i >= 0:
                readers[i] += 1
    result: list[Step] = []
    place = {-1: -1}
    for number, step in enumerate(steps):
        front = step.inputs[0]
        if step.small and len(step.inputs) == 1 and front >= 0 and readers[front] == 1:
            target = place[front]
            before = result[target]
            label = before.label if step.label in ("dropout", "identity") else f"{before.label}\n{step.label}"
            result[target] = replace(before, label=label, parameters=before.parameters + step.parameters)
            place[number] = target
        else:
            place[number] = len(result)
            result.append(replace(step, inputs=tuple(dict.fromkeys(place[i] for i in step.inputs))))
    return result


def blocks(model: nn.Module, shape: Sequence[int], depth: int = 1) -> list[Block]:
    """Return the network as blocks: neighbouring steps whose names begin alike, up to ``depth`` parts of the name.

    A container of the model that holds only blocks (``features``, ``blocks``) is seen through when ``depth`` is 2.
    """
    result: list[Block] = []
    for step in trace(model, shape):
        parts = step.name.split(".")
        name = ".".join(parts[:depth]) if len(parts) > depth else step.name
        module = dict(model.named_modules()).get(name)
        kind = step.label if module is None or not list(module.children()) else type(module).__name__
        if result and result[-1].name == name:
            last = result[-1]
            result[-1] = Block(
                name, last.kind, step.shape, last.parameters + step.parameters,
                last.multiply_adds + step.multiply_adds, step.field,
            )  # fmt: skip
        else:
            result.append(Block(name, kind, step.shape, step.parameters, step.multiply_adds, step.field))
    return result


def totals(steps: Iterable[Step | Block]) -> tuple[int, int]:
    """Return parameters and multiply-adds for one image."""
    steps = list(steps)
    return sum(s.parameters for s in steps), sum(s.multiply_adds for s in steps)


def count(number: float) -> str:
    """Return a count in few digits: 61.1 M, 714 M, 15.5 G, 1,792."""
    for size, unit in ((1e9, "G"), (1e6, "M")):
        if number >= size:
            return f"{number / size:.{0 if number >= 100 * size else 1}f} {unit}"
    return f"{number:,.0f}"


def _call(node: fx.Node) -> str:
    return node.target if isinstance(node.target, str) else node.target.__name__


def _path(node: fx.Node) -> str:
    stack = list(node.meta.get("nn_module_stack", {}))
    owner = stack[-1] if stack else ""
    return f"{owner}.{_call(node)}" if owner else _call(node)


def _square(value: Any) -> str:
    height, width = value if isinstance(value, tuple) else (value, value)
    return f"{height}×{width}"


def _first(value: Any) -> int:
    return value[0] if isinstance(value, tuple) else value


def _label(layer: nn.Module, result: torch.Tensor) -> str:
    """Return what a diagram writes for a layer."""
    if isinstance(layer, nn.Conv2d):
        depthwise = layer.groups == layer.in_channels > 1
        words = [f"{'depthwise' if depthwise else 'conv'} {_square(layer.kernel_size)}, {layer.out_channels}"]
        if _first(layer.stride) > 1:
            words.append(f"stride {_first(layer.stride)}")
        if _first(layer.dilation) > 1:
            words.append(f"dilation {_first(layer.dilation)}")
        if layer.groups > 1 and not depthwise:
            words.append(f"{layer.groups} groups")
        return ", ".join(words)
    if isinstance(layer, nn.Linear):
        return f"dense {layer.out_features}"
    if isinstance(layer, (nn.MaxPool2d, nn.AvgPool2d)):
        kind = "max pool" if isinstance(layer, nn.MaxPool2d) else "average pool"
        stride = _first(layer.stride)
        return f"{kind} {_square(layer.kernel_size)}" + (f", stride {stride}" if stride > 1 else "")
    if isinstance(layer, nn.AdaptiveAvgPool2d):
        return (
            "global average" if math.prod(result.shape[2:]) == 1 else f"average to {_square(tuple(result.shape[2:]))}"
        )
    return _NAMES.get(type(layer).__name__, type(layer).__name__)


def _seen(step: Step, layer: nn.Module | None, node: fx.Node) -> Step:
    """Return the step with its receptive field: Araujo, Norris and Sim, Distill, 2019, as in ``utils.geometry``."""
    if isinstance(layer, (nn.Conv2d, nn.MaxPool2d, nn.AvgPool2d)):
        kernel, stride, dilation = layer.kernel_size, layer.stride, getattr(layer, "dilation", 1)
    elif layer is None and _call(node) in ("max_pool2d", "avg_pool2d"):
        values = dict(zip(("kernel_size", "stride"), node.args[1:], strict=False)) | node.kwargs
        kernel, dilation = values["kernel_size"], 1
        stride = values.get("stride") or kernel
    elif isinstance(layer, (nn.AdaptiveAvgPool2d, nn.Linear, nn.Flatten, nn.MultiheadAttention)) or (
        layer is None and _call(node) in _WHOLE
    ):
        # Reads every place of its map, unless it works on each place for itself, as a dense layer on (H, W, C) does.
        places = isinstance(layer, nn.Linear) and len(step.shape) == 3
        return step if places else replace(step, field=None)
    else:
        return step
    if step.field is None:
        return step
    return replace(
        step,
        field=step.field + _first(dilation) * (_first(kernel) - 1) * step.jump,
        jump=step.jump * _first(stride),
    )
