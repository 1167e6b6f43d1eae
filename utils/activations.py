"""What each layer computes: its output caught by a hook, and a table of shapes and costs."""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from difflib import get_close_matches
from typing import Any

import torch
from torch import nn


def layer_named(model: nn.Module, name: str) -> nn.Module:
    """Return the layer of that name, as in ``model.named_modules()``, at any depth.

    Raises
    ------
    ValueError
        When there is none; the message names similar ones.
    """
    layers = dict(model.named_modules())
    layers.pop("", None)
    if name not in layers:
        near = get_close_matches(str(name), layers, n=3, cutoff=0.3) or list(layers)[:5]
        raise ValueError(f"the model has no layer {name!r}; it has, for example, {', '.join(map(repr, near))}.")
    return layers[name]


@contextmanager
def evaluating(model: nn.Module) -> Iterator[None]:
    """Put every part of the model into evaluation mode, and afterwards each one back into its own mode.

    ``model.train(was_training)`` would not do: parts can be in other modes than the whole, as frozen ones are.
    """
    modes = [(part, part.training) for part in model.modules()]
    try:
        for part, _ in modes:
            part.training = False
        yield
    finally:
        for part, training in modes:
            part.training = training


@contextmanager
def capture(model: nn.Module, *names: str, graph: bool = False, every: bool = False) -> Iterator[dict[str, Any]]:
    """Catch the outputs of the named layers during the passes made inside the ``with`` block.

    The outputs are cloned, so that an in-place layer behind cannot overwrite them, and detached. The
    hooks are removed at the end, also after an error.

    Parameters
    ----------
    names : str
        Names as in ``model.named_modules()``, at any depth; every leaf layer when none is given.
    graph : bool
        Keep the outputs in the graph of the pass, so that gradients can be taken by them. What follows in the
        network is then given a clone.
    every : bool
        Keep the outputs of all runs of a layer, in a list, instead of the last one.

    Yields
    ------
    dict of name → tensor, or with ``every`` name → list of tensors
        Filled by the pass; a layer that does not run is missing.

    Raises
    ------
    ValueError
        When the model has no layer of that name; the message names similar ones.
    TypeError
        In the pass, when a layer's output is no tensor.

    Examples
    --------
    >>> with capture(nn.Sequential(nn.Conv2d(1, 6, 5)), "0") as seen, torch.no_grad():
    ...     _ = model(image)  # doctest: +SKIP
    """
    if not names:
        names = tuple(name for name, layer in model.named_modules() if name and not list(layer.children()))
    layers = {name: layer_named(model, name) for name in names}
    seen: dict[str, Any] = {}

    def keep(name: str):
        def hook(_layer, _inputs, output):
            if not isinstance(output, torch.Tensor):
                raise TypeError(
                    f"the layer {name!r} returns a {type(output).__name__}, but only tensors can be caught; "
                    "name a layer inside it."
                )
            kept = output if graph else output.detach().clone()
            if every:
                seen.setdefault(name, []).append(kept)
            else:
                seen[name] = kept
            # In the graph the original stays untouched: the layers behind work on its clone, in place or not.
            return output.clone() if graph else None

        return hook

    handles = [layer.register_forward_hook(keep(name)) for name, layer in layers.items()]
    try:
        yield seen
    finally:
        for handle in handles:
            handle.remove()


def multiply_adds(layer: nn.Module, output: torch.Tensor) -> int:
    """Return the multiply-adds of a layer for one image: one for each weight at each output position.

    Convolutions and dense layers count, everything else is 0. ``output`` is what the layer gave, (N, …).
    """
    if isinstance(layer, nn.Conv2d):
        return layer.weight.numel() * output.shape[-1] * output.shape[-2]
    if isinstance(layer, nn.Linear):
        # A dense layer may work on many places at once: (N, …, features).
        return layer.weight.numel() * math.prod(output.shape[1:-1])
    return 0


def layer_table(model: nn.Module, shape: tuple[int, ...]) -> list[dict[str, object]]:
    """Return one row for each leaf layer: name, kind, output shape, parameters, multiply-adds for one image.

    Multiply-adds are those of :func:`multiply_adds`. ``shape`` is the shape of one input, (C, H, W).
    """
    rows: list[dict[str, object]] = []

    def hook(name: str):
        def inner(layer, _inputs, output):
            rows.append(
                {
                    "layer": name,
                    "kind": type(layer).__name__,
                    "output": "×".join(map(str, output.shape[1:])),
                    "parameters": sum(p.numel() for p in layer.parameters()),
                    "multiply_adds": multiply_adds(layer, output),
                }
            )

        return inner

    leaves = [(name, layer) for name, layer in model.named_modules() if not list(layer.children())]
    handles = [layer.register_forward_hook(hook(name)) for name, layer in leaves]
    try:
        with evaluating(model), torch.no_grad():
            parameter = next(model.parameters(), torch.zeros(()))
            model(torch.zeros(1, *shape, device=parameter.device))
    finally:
        for handle in handles:
            handle.remove()
    return rows
