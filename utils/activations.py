"""What each layer computes: its output caught by a hook, and a table of shapes and costs."""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from difflib import get_close_matches

import torch
from torch import nn


@contextmanager
def capture(model: nn.Module, *names: str) -> Iterator[dict[str, torch.Tensor]]:
    """Catch the outputs of the named layers during the passes made inside the ``with`` block.

    The outputs are cloned, so that an in-place layer behind cannot overwrite them, and detached. The
    hooks are removed at the end, also after an error.

    Parameters
    ----------
    names : str
        Names as in ``model.named_modules()``; every leaf layer when none is given.

    Yields
    ------
    dict of name → tensor
        Filled by the pass; a layer that runs twice keeps its last output.

    Raises
    ------
    ValueError
        When the model has no layer of that name; the message names similar ones.

    Examples
    --------
    >>> with capture(nn.Sequential(nn.Conv2d(1, 6, 5)), "0") as seen, torch.no_grad():
    ...     _ = model(image)  # doctest: +SKIP
    """
    layers = dict(model.named_modules())
    layers.pop("", None)
    if not names:
        names = tuple(name for name, layer in layers.items() if not list(layer.children()))
    for name in names:
        if name not in layers:
            near = get_close_matches(name, layers, n=3, cutoff=0.3) or list(layers)[:5]
            raise ValueError(f"the model has no layer {name!r}; it has, for example, {', '.join(map(repr, near))}.")
    seen: dict[str, torch.Tensor] = {}

    def keep(name: str):
        def hook(_layer, _inputs, output):
            seen[name] = output.detach().clone()

        return hook

    handles = [layers[name].register_forward_hook(keep(name)) for name in names]
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
    was_training = model.training
    model.eval()
    try:
        with torch.no_grad():
            parameter = next(model.parameters(), torch.zeros(()))
            model(torch.zeros(1, *shape, device=parameter.device))
    finally:
        model.train(was_training)
        for handle in handles:
            handle.remove()
    return rows
