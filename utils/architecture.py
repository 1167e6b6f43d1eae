"""A network taken apart: its operations in order, with shapes, costs and receptive fields, and how they are wired.

``torch.fx`` follows the forward pass of a network symbolically, so additions, concatenations and parallel branches
are found where the code has them, not where somebody drew them. The chapters on architectures draw their diagrams
from what is found here (:func:`utils.plots.wiring`, :func:`utils.plots.network`), and so does the explorer
:class:`utils.widgets.NetworkExplorer`.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from itertools import groupby
from typing import Any

import torch
from torch import fx, nn

from utils.activations import evaluating, multiply_adds
from utils.models.inputs import check_images

# Functions and methods by the name under which torch.fx meets them, and how a diagram calls them.
_CALLS = {
    "add": "+", "iadd": "+", "add_": "+", "sum": "+", "mul": "×", "imul": "×", "cat": "concatenate", "flatten": "flatten",
    "relu": "ReLU", "gelu": "GELU", "silu": "SiLU", "tanh": "tanh", "sigmoid": "sigmoid", "hardswish": "hardswish",
    "relu6": "ReLU6", "mean": "average", "amax": "maximum", "dropout": "dropout", "max_pool2d": "max pool",
    "avg_pool2d": "average pool", "adaptive_avg_pool2d": "average", "truediv": "÷", "permute": "permute", "pad": "pad",
    "stochastic_depth": "stochastic depth", "chunk": "split", "getitem": "slice",
    "scaled_dot_product_attention": "attention", "matmul": "product", "bmm": "product", "einsum": "product",
    "unbind": "split",
}  # fmt: skip
_LAYERS = (nn.Conv2d, nn.Linear, nn.modules.batchnorm._NormBase, nn.LayerNorm)
# Steps of one input that a diagram writes into the box of the step in front.
_SMALL = (
    nn.modules.batchnorm._NormBase, nn.GroupNorm, nn.LayerNorm, nn.LocalResponseNorm, nn.Dropout, nn.ReLU, nn.ReLU6,
    nn.GELU, nn.SiLU, nn.Sigmoid, nn.Hardswish, nn.Hardsigmoid, nn.Tanh, nn.Identity,
)  # fmt: skip
_NAMES = {
    "BatchNorm2d": "batch norm", "LayerNorm": "layer norm", "GroupNorm": "group norm", "Hardsigmoid": "hard sigmoid",
    "LocalResponseNorm": "response norm", "Dropout": "dropout", "Tanh": "tanh", "Sigmoid": "sigmoid",
    "Hardswish": "hardswish", "Identity": "identity", "Flatten": "flatten", "LayerNorm2d": "layer norm",
    "MultiheadAttention": "attention",
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
    """Neighbouring steps under one name: its output shape, and the sums of their costs.

    From :func:`outline` it has two things more: ``inputs``, the places in the list of blocks of what it reads (−1 is
    the image), and ``steps``, its wiring, in which −1 stands for the first of these, −2 for the second.
    """

    name: str
    kind: str
    shape: tuple[int, ...]
    parameters: int
    multiply_adds: int
    field: int | None
    inputs: tuple[int, ...] = ()
    steps: tuple[Step, ...] = ()


class _Tracer(fx.Tracer):
    def __init__(self) -> None:
        super().__init__(autowrap_functions=(check_images,))

    def is_leaf_module(self, m: nn.Module, module_qualified_name: str) -> bool:
        # A layer of torch.nn that somebody extended, such as torchvision's LayerNorm2d, is still that layer.
        return super().is_leaf_module(m, module_qualified_name) or (isinstance(m, _LAYERS) and not list(m.children()))


class _Recorder(fx.Interpreter):
    """Runs a traced network once and notes every step."""

    def __init__(self, model: nn.Module, graph: fx.GraphModule, shape: tuple[int, ...]) -> None:
        super().__init__(graph)
        self.shape = shape
        self.model, self.steps, self.place, self.several = model, [], {}, set()
        self.loose: dict[fx.Node, list[fx.Node]] = {}  # what is made of weights alone, and of which
        self.counted: set[fx.Node] = set()

    def run_node(self, node: fx.Node) -> Any:
        args, kwargs = self.fetch_args_kwargs_from_env(node)
        result = super().run_node(node)
        # Of several results (a split, an attention with its weights) the first stands for the step.
        several = isinstance(result, (tuple, list)) and len(result) > 0
        first = result[0] if several else result
        # What is neither a map nor a vector (a size, a check) is no step of the network.
        if node.op == "placeholder":
            self.place[node] = -1
        elif node.op in ("call_module", "call_function", "call_method") and isinstance(first, torch.Tensor):
            source = node.args[0] if node.args else None
            if several:
                self.several.add(node)
            if _call(node) == "getitem" and source in self.several:
                self.place[node] = self.place[source]
            else:
                self._note(node, first, args, kwargs)
        elif node.op == "get_attr" and isinstance(result, nn.Parameter):
            self.loose[node] = [node]
        return result

    def call_module(self, target: str, args: tuple, kwargs: dict) -> Any:
        # Without numbers there is nothing to normalise, and what keeps the shape need not run: half of the time.
        layer = self.fetch_attr(target)
        keeps = isinstance(layer, _SMALL) and len(args) == 1 and args[0].is_meta
        if keeps and getattr(layer, "num_features", args[0].shape[1]) == args[0].shape[1]:
            return args[0]
        return super().call_module(target, args, kwargs)

    def _note(self, node: fx.Node, result: torch.Tensor, args: tuple, kwargs: dict) -> None:
        inputs = tuple(dict.fromkeys(self.place[i] for i in node.all_input_nodes if i in self.place))
        # A weight that no layer holds, such as a class token, belongs to the first step that joins it to the image.
        loose = list(dict.fromkeys(weight for i in node.all_input_nodes for weight in self.loose.get(i, [])))
        if not inputs:
            self.loose[node] = loose
            return
        layer = self.model.get_submodule(node.target) if node.op == "call_module" else None
        weights = [self.fetch_attr(i.target) for i in loose if i not in self.counted]
        self.counted.update(loose)
        if layer is not None:
            weights += layer.parameters()
        fields = [(1, 1) if i < 0 else (self.steps[i].field, self.steps[i].jump) for i in inputs]
        field = None if any(size is None for size, _ in fields) else max(size for size, _ in fields)
        step = Step(
            name=node.target if layer is not None else _path(node),
            label=_label(layer, result) if layer is not None else _call_label(node, result),
            inputs=inputs,
            shape=tuple(result.shape[1:]),
            parameters=sum(w.numel() for w in weights),
            multiply_adds=_work(layer, node, result, args, kwargs),
            field=field,
            jump=max(jump for _, jump in fields),
            small=isinstance(layer, _SMALL) or (layer is None and _call(node) in _ACTIVATIONS),
        )
        if step.label == "×" and len(inputs) == 1 and (loose or any(i.op == "get_attr" for i in node.all_input_nodes)):
            step = replace(step, label="scale", small=True)
        elif step.label in ("+", "concatenate") and loose:
            names = (i.target.split(".")[-1].replace("_", " ") for i in loose)
            step = replace(step, label=f"{step.label} {', '.join(names)}")
        self.place[node] = len(self.steps)
        before = self.steps[inputs[0]].shape if inputs[0] >= 0 else self.shape
        self.steps.append(_seen(step, layer, node, before))


_ACTIVATIONS = {"relu", "relu_", "gelu", "silu", "tanh", "sigmoid", "hardswish", "relu6", "dropout", "stochastic_depth"}
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
    with evaluating(model):
        try:
            tracer = _Tracer()
            graph = fx.GraphModule(model, tracer.trace(model))
        except Exception as error:
            raise ValueError(
                f"the forward pass of {type(model).__name__} cannot be followed symbolically ({error}); "
                "utils.activations.layer_table lists its layers without their wiring."
            ) from error
        parameter = next(model.parameters(), torch.zeros(()))
        recorder = _Recorder(model, graph, tuple(shape))
        with torch.no_grad():
            recorder.run(torch.zeros(1, *shape, device=parameter.device, dtype=parameter.dtype))
    return recorder.steps


def merged(steps: Sequence[Step], kept: Iterable[int] = ()) -> list[Step]:
    """Return the steps with every norm, activation and dropout written into the step in front, if it alone reads it.

    Nothing is written into the steps at the places ``kept``: something else reads them, too.
    """
    readers = [0] * len(steps)
    for i in (*kept, *(i for step in steps for i in step.inputs)):
        if i >= 0:
            readers[i] += 1
    result: list[Step] = []
    place: dict[int, int] = {}
    for number, step in enumerate(steps):
        front = step.inputs[0]
        if step.small and len(step.inputs) == 1 and front >= 0 and readers[front] == 1:
            target = place[front]
            before = result[target]
            label = before.label if step.label in _SILENT else f"{before.label}\n{step.label}"
            result[target] = replace(before, label=label, parameters=before.parameters + step.parameters)
            place[number] = target
        else:
            place[number] = len(result)
            result.append(replace(step, inputs=tuple(dict.fromkeys(place.get(i, i) for i in step.inputs))))
    return result


# Does nothing when a network is evaluated.
_SILENT = ("dropout", "identity", "stochastic depth")


def blocks(model: nn.Module, shape: Sequence[int], depth: int = 1) -> list[Block]:
    """Return the network as blocks: neighbouring steps whose names begin alike, up to ``depth`` parts of the name.

    A container of the model that holds only blocks (``features``, ``blocks``) is seen through when ``depth`` is 2.
    """
    result: list[Block] = []
    modules = dict(model.named_modules())
    for step in trace(model, shape):
        parts = step.name.split(".")
        name = ".".join(parts[:depth]) if len(parts) > depth else step.name
        module = modules.get(name)
        kind = step.label if module is None or not list(module.children()) else type(module).__name__
        if result and result[-1].name == name:
            last = result[-1]
            parameters, work = totals((last, step))
            result[-1] = replace(last, shape=step.shape, parameters=parameters, multiply_adds=work, field=step.field)
        else:
            result.append(Block(name, kind, step.shape, step.parameters, step.multiply_adds, step.field))
    return result


def outline(model: nn.Module, shape: Sequence[int], most: int = 25) -> list[Block]:
    """Return a network as the blocks that a reader would name, with the wiring of each.

    Plain containers (``nn.Sequential``, ``nn.ModuleList``) are opened from the outside in, those alike together and
    the costliest first, as long as there are at most ``most`` blocks; a class with a forward pass of its own
    is one block. Norms and activations that stand alone belong to the layer in front, a flattening to the one behind.

    Parameters
    ----------
    model : nn.Module
        As for :func:`trace`.
    shape : (C, H, W)
        Of one image.
    most : int
        Blocks; only the layers and blocks of the outermost level can be more.

    Raises
    ------
    ValueError
        When the forward pass cannot be followed symbolically.
    """
    steps = trace(model, shape)
    modules = dict(model.named_modules())
    opened = {""}
    rows = _rows(steps, modules, opened)
    while True:
        alike: dict[tuple, list[list]] = {}
        for row in rows:
            if _opens(modules.get(row[0]), row[1], steps):
                kinds = sorted({type(child).__name__ for child in modules[row[0]].children()})
                alike.setdefault((row[0].count("."), *kinds), []).append(row)
        costs = sorted(alike.values(), key=lambda group: -sum(steps[i].multiply_adds for _, own in group for i in own))
        for group in costs:
            names = {name for name, _ in group}
            finer = _rows(steps, modules, opened | names)
            if len(finer) <= most:
                opened, rows = opened | names, finer
                break
        else:
            break
    owner = {i: number for number, (_, own) in enumerate(rows) for i in own}
    readers: dict[int, set[int]] = {}
    for number, step in enumerate(steps):
        for i in step.inputs:
            readers.setdefault(i, set()).add(number)
    result = []
    for name, own in rows:
        inner, outside = _cut(steps, own)
        wired = merged(inner, [k for k, i in enumerate(own[:-1]) if readers.get(i, set()) - set(own)])
        kind = _kind(modules.get(name), wired)
        if len(wired) > _BOXES:
            wired = _folded(name, inner, modules)
        last = steps[own[-1]]
        result.append(
            Block(
                name, kind, last.shape, *totals(inner), last.field, tuple(owner.get(i, -1) for i in outside), (*wired,)
            )
        )
    return result


_CONTAINERS = (nn.Sequential, nn.ModuleList, nn.ModuleDict)
_SHAPING = ("flatten", "permute", *_SILENT)
_BOXES = 16  # more in one wiring than this, and it is drawn from the children of the block
_RUN = 8  # more children than this, and those in the middle that are alike become one box


def _rows(steps: Sequence[Step], modules: dict[str, nn.Module], opened: set[str]) -> list[list]:
    """Return [name, places of its steps] for each block, where the modules ``opened`` are seen through."""
    rows: list[list] = []
    readers: dict[int, int] = {}
    for step in steps:
        for i in step.inputs:
            readers[i] = readers.get(i, 0) + 1
    for number, step in enumerate(steps):
        parts, depth = step.name.split("."), 1
        while ".".join(parts[:depth]) in opened and depth < len(parts):
            depth += 1
        name = ".".join(parts[:depth])
        leaf = not (name in modules and list(modules[name].children()))
        if rows and not leaf and rows[-1][0] == name:
            rows[-1][1].append(number)
            continue
        own = [number]
        if rows and step.inputs == (rows[-1][1][-1],) and readers[step.inputs[0]] == 1:
            front, before = rows[-1]
            if step.small and leaf and not (front in modules and list(modules[front].children())):
                before.append(number)
                continue
            if all(steps[i].label in _SHAPING for i in before):
                own = [*rows.pop()[1], number]
        rows.append([name, own])
    return rows


def _opens(module: nn.Module | None, own: Sequence[int], steps: Sequence[Step]) -> bool:
    """Whether a block is a plain container of more than one layer that does something."""
    working = {steps[i].name for i in own if not steps[i].small}
    return type(module) in _CONTAINERS and len(working) > 1


def _cut(steps: Sequence[Step], own: Sequence[int]) -> tuple[list[Step], list[int]]:
    """Return the steps of a block, numbered from 0, and what they read from outside: −1, −2, … in their inputs."""
    place = {i: k for k, i in enumerate(own)}
    outside: list[int] = []
    for i in own:
        outside += [j for j in steps[i].inputs if j not in place and j not in outside]
    place |= {j: -1 - k for k, j in enumerate(outside)}
    return [replace(steps[i], inputs=tuple(place[j] for j in steps[i].inputs)) for i in own], outside


def _kind(module: nn.Module | None, wired: Sequence[Step]) -> str:
    """Return what a block is, in words: its layers when they are few, else its class."""
    children = list(module.children()) if module is not None else []
    plain = type(module) in _CONTAINERS
    if not children or len([s for s in wired if s.label not in _SHAPING]) == 1 or (plain and len(wired) < 3):
        return ", ".join(line for step in wired for line in step.label.split("\n"))
    kinds = {type(child).__name__.lstrip("_") for child in children}
    if plain or isinstance(module, (nn.ModuleList, nn.ModuleDict)):
        return f"{len(children)} × {kinds.pop()}" if len(kinds) == 1 else f"{len(wired)} steps"
    return type(module).__name__.lstrip("_")


def _short(name: str) -> str:
    """Return the last part of a path, and one more where that is a number."""
    parts = name.split(".")
    return ".".join(parts[-2:] if parts[-1].isdigit() else parts[-1:])


def _folded(name: str, inner: Sequence[Step], modules: dict[str, nn.Module]) -> list[Step]:
    """Return the wiring of a large block with one step for each of its children, and one for many alike."""
    opened = {""} | {name[:i] for i, sign in enumerate(name) if sign == "."} | {name}
    rows = _rows(inner, modules, opened)
    while len(rows) == 1 and modules.get(rows[0][0]) is not None and list(modules[rows[0][0]].children()):
        opened.add(rows[0][0])
        rows = _rows(inner, modules, opened)

    rows = _with_what_they_read(rows, inner, modules)

    def kind(row: list) -> str:
        return type(modules.get(row[0])).__name__.lstrip("_")

    groups: list[list[list]] = [[row] for row in rows]
    if len(rows) > _RUN:
        runs = [list(run) for _, run in groupby(rows, key=lambda row: (row[0] in modules, kind(row)))]
        longest = max(runs, key=len)
        if len(longest) > 5:  # the first three, those between, the last
            start = rows.index(longest[0])
            groups[start + 3 : start + len(longest) - 1] = [longest[3:-1]]
    place: dict[int, int] = {}
    result: list[Step] = []
    for group in groups:
        own = [i for _, steps in group for i in steps]
        place |= dict.fromkeys(own, len(result))
        first, last = (_short(group[k][0]) for k in (0, -1))
        alone = merged(_cut(inner, own)[0])
        if len(group) > 1:
            label = f"{first} … {last}\n{len(group)} × {kind(group[0])}"
        else:
            label = alone[0].label if len(alone) == 1 else f"{first}\n{kind(group[0])}"
        inputs = dict.fromkeys(place.get(j, j) for i in own for j in inner[i].inputs)
        step = replace(
            inner[own[-1]],
            name=group[0][0],
            label=label,
            inputs=tuple(j for j in inputs if j != len(result)),
            small=False,
        )
        parameters, work = totals(inner[i] for i in own)
        result.append(replace(step, parameters=parameters, multiply_adds=work))
    return result


def _with_what_they_read(rows: list[list], steps: Sequence[Step], modules: dict[str, nn.Module]) -> list[list]:
    """Give a sum or concatenation that a block makes for one of its children alone, as in DenseNet, to that child."""
    result: list[list] = []
    for name, own in rows:
        if result and name in modules and result[-1][0] not in modules:
            made = result[-1][1]
            readers = [k for k, step in enumerate(steps) if set(step.inputs) & set(made) and k not in made]
            if steps[own[0]].inputs == (made[-1],) and readers == [own[0]]:
                own = [*result.pop()[1], *own]
        result.append([name, own])
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


def _call_label(node: fx.Node, result: torch.Tensor) -> str:
    if _call(node) in ("adaptive_avg_pool2d", "mean") and math.prod(result.shape[2:]) == 1:
        return "global average"
    return _CALLS.get(_call(node), _call(node))


def _work(layer: nn.Module | None, node: fx.Node, result: torch.Tensor, args: tuple, kwargs: dict) -> int:
    """Return the multiply-adds of a step for a batch of one image: n·k·m for the product of (n, k) and (k, m)."""
    name = "" if layer is not None else _call(node)
    if isinstance(layer, nn.MultiheadAttention) or name == "scaled_dot_product_attention":
        given = dict(zip(("query", "key", "value"), args, strict=False)) | kwargs
        query, key, value = given["query"], given["key"], given["value"]
    if isinstance(layer, nn.MultiheadAttention):
        width = layer.embed_dim
        queries, keys = query.numel() // width, key.numel() // key.shape[-1]
        dense = 2 * queries * width + keys * (key.shape[-1] + value.shape[-1])  # in front of the heads, and behind
        return width * (dense + 2 * queries * keys)
    if layer is not None:
        return multiply_adds(layer, result)
    if name == "scaled_dot_product_attention":
        scores = result.numel() // value.shape[-1] * key.shape[-2]
        return scores * (query.shape[-1] + value.shape[-1])
    if name in ("matmul", "bmm", "mm", "linear"):
        first = args[0] if args else kwargs["input"]
        return result.numel() * first.shape[-1]
    if name == "einsum":
        return _einsum(*args) * result.numel()
    return 0


def _einsum(equation: str, *operands: Any) -> int:
    """Return how many products are summed in each element of the result; 0 for a single operand."""
    operands = operands[0] if isinstance(operands[0], (tuple, list)) else operands
    left, _, right = equation.replace(" ", "").partition("->")
    if "->" not in equation:
        right = [letter for letter in left if left.count(letter) == 1]
    sizes = {}
    for term, operand in zip(left.split(","), operands, strict=True):
        before, _, after = term.partition("...")
        sizes |= zip(before, operand.shape, strict=False)
        sizes |= zip(reversed(after), reversed(operand.shape), strict=False)
    return math.prod(size for letter, size in sizes.items() if letter not in right) if len(operands) > 1 else 0


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


def _seen(step: Step, layer: nn.Module | None, node: fx.Node, before: tuple[int, ...]) -> Step:
    """Return the step with its receptive field: Araujo, Norris and Sim, Distill, 2019, as in ``utils.geometry``."""
    if isinstance(layer, (nn.Conv2d, nn.MaxPool2d, nn.AvgPool2d)):
        kernel, stride, dilation = layer.kernel_size, layer.stride, getattr(layer, "dilation", 1)
    elif layer is None and _call(node) in ("max_pool2d", "avg_pool2d"):
        values = dict(zip(("kernel_size", "stride"), node.args[1:], strict=False)) | node.kwargs
        kernel, dilation = values["kernel_size"], 1
        stride = values.get("stride") or kernel
    elif isinstance(layer, nn.AdaptiveAvgPool2d) and math.prod(step.shape[1:]) > 1:
        # Cell i of n averages from i·H/n, rounded down, to (i + 1)·H/n, rounded up.
        height, cells = before[1], step.shape[1]
        kernel = max(-(-(i + 1) * height // cells) - i * height // cells for i in range(cells))
        stride, dilation = max(1, height // cells), 1
    elif isinstance(layer, (nn.AdaptiveAvgPool2d, nn.Linear, nn.Flatten, nn.MultiheadAttention)) or (
        layer is None and _call(node) in _WHOLE
    ):
        # Reads every place of its map, unless it works on each place for itself, as a dense layer on (H, W, C) does,
        # or keeps them apart, as a flattening to (C, places) does.
        flat = isinstance(layer, nn.Flatten) or (layer is None and _call(node) == "flatten")
        places = (isinstance(layer, nn.Linear) or flat) and len(step.shape) > 1
        return step if places else replace(step, field=None)
    elif layer is None and (
        _call(node) == "scaled_dot_product_attention" or (step.multiply_adds and len(step.inputs) > 1)
    ):
        return replace(step, field=None)  # products of maps: every place may read every other
    else:
        return step
    if step.field is None:
        return step
    return replace(
        step,
        field=step.field + _first(dilation) * (_first(kernel) - 1) * step.jump,
        jump=step.jump * _first(stride),
    )
