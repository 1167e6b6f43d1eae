"""Checks for the exercises of chapter "Filters and feature maps"."""

from __future__ import annotations

import random
from collections import OrderedDict
from collections.abc import Callable
from functools import cache
from typing import Any

import torch
from torch import nn
from torch.nn import functional as F

from utils.exercises.core import Answer, Behaviour, Task, rounded, weights_by_rule

# ---- filters as pictures ------------------------------------------------------------------------------------------


def _normal(rng: random.Random, *shape: int) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(rng.randrange(2**31)))


def _as_pictures(filters: torch.Tensor) -> torch.Tensor:
    limit = filters.abs().max().clamp(min=1e-30)
    return 0.5 + filters / (2 * limit)


def _stretched(filters: torch.Tensor) -> torch.Tensor:
    low, high = filters.amin((1, 2, 3), keepdim=True), filters.amax((1, 2, 3), keepdim=True)
    return (filters - low) / (high - low).clamp(min=1e-30)


def _picture_cases(rng: random.Random) -> list[tuple]:
    cases = [(_normal(rng, rng.randint(1, 8), rng.choice([1, 3]), k, rng.choice([k, k + 2])),) for k in [3, 5, 7] * 6]
    strong = _normal(rng, 4, 3, 3, 3)
    strong[2] *= 100
    return [
        *cases,
        (strong,),
        (_normal(rng, 2, 3, 5, 5).abs(),),
        (-_normal(rng, 2, 1, 3, 3).abs(),),
        (torch.zeros(2, 3, 3, 3),),
    ]


as_pictures = Task(
    "as_pictures",
    _as_pictures,
    _picture_cases,
    mistakes={
        "each filter has a scale of its own; take one largest weight for all of them.": lambda filters: (
            0.5 + filters / (2 * filters.abs().amax((1, 2, 3), keepdim=True).clamp(min=1e-30))
        ),
        "that stretches each filter between its own ends; zero must be 0.5 in all of them.": _stretched,
        "one scale, but zero is not 0.5: take the largest absolute weight for both sides.": lambda filters: (
            (filters - filters.min()) / (filters.max() - filters.min()).clamp(min=1e-30)
        ),
        "that goes from −1 to 1; a picture goes from 0 to 1, with zero at 0.5.": lambda filters: (
            filters / filters.abs().max().clamp(min=1e-30)
        ),
        "the largest weight is 1.5 so: half of the range lies on either side of 0.5.": lambda filters: (
            0.5 + filters / filters.abs().max().clamp(min=1e-30)
        ),
        "the sign is lost: the absolute value belongs into the scale alone.": lambda filters: (
            0.5 + filters.abs() / (2 * filters.abs().max().clamp(min=1e-30))
        ),
        "take the largest absolute weight; a negative one may be larger than the largest positive.": lambda filters: (
            0.5 + filters / (2 * filters.max().clamp(min=1e-30))
        ),
    },
)

# ---- hooks --------------------------------------------------------------------------------------------------------

NAMES = ("body.first.conv", "body.first.norm", "body.first.act", "body.second.conv", "body.second.act", "head.1")


class _Odd(nn.Module):
    """Adds 1; raises when it is told to, as a layer of the wrong size does."""

    broken = False

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        if self.broken:
            raise RuntimeError("the shapes do not agree")
        return x + 1


def _network(seed: int, inplace: bool) -> nn.Module:
    """Return a network with layers at three depths, its parameters filled by rule."""
    width = 2 + seed % 3

    def part(before: int, after: int) -> nn.Sequential:
        layers = {
            "conv": nn.Conv2d(before, after, 3, padding=1),
            "norm": nn.BatchNorm2d(after),
            "act": nn.ReLU(inplace),
        }
        return nn.Sequential(OrderedDict(layers))

    body = nn.Sequential(OrderedDict(first=part(1, width), second=part(width, width + 1)))
    head = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Conv2d(width + 1, 3, 1), _Odd())
    network = nn.Sequential(OrderedDict(body=body, head=head)).double()
    for parameter in network.parameters():
        parameter.data.copy_(weights_by_rule(parameter.shape))
    return network


def _image(seed: int, height: int, width: int) -> torch.Tensor:
    return torch.randn(1, 1, height, width, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def _shown(maps: Any) -> list[Any]:
    """Return what is kept, as a shape and a few numbers."""
    if not isinstance(maps, torch.Tensor):
        return [f"{type(maps).__name__}, not a tensor", []]
    values = maps.detach().flatten()
    return [
        f"shape {tuple(maps.shape)}",
        rounded(torch.stack([values.min(), values.mean(), *values[:3]])) if len(values) else [],
    ]


def _nested(answer: Callable[..., Any]) -> Callable[..., list[Any]]:
    def look(name: str, seed: int, height: int, width: int) -> list[Any]:
        network, image = _network(seed, inplace=False).eval(), _image(seed, height, width)
        before = image.clone()
        maps = answer(network, name, image)
        return [*_shown(maps), "the image is as before" if torch.equal(image, before) else "the image was changed"]

    return look


def _by_hook(
    network: nn.Module, name: str, image: torch.Tensor, clone: bool = True, detach: bool = True
) -> torch.Tensor:
    kept = {}

    def keep(layer, inputs, output):
        output = output.detach() if detach else output
        kept["maps"] = output.clone() if clone else output

    handle = network.get_submodule(name).register_forward_hook(keep)
    try:
        network(image)
    finally:
        handle.remove()
    return kept["maps"]


def _nested_cases(rng: random.Random) -> list[tuple]:
    return [(name, rng.randrange(1000), rng.randint(3, 8), rng.randint(3, 8)) for name in NAMES * 4]


def _first_of_kind(network: nn.Module, name: str, image: torch.Tensor) -> torch.Tensor:
    kind = type(network.get_submodule(name))
    return _by_hook(network, next(n for n, layer in network.named_modules() if isinstance(layer, kind)), image)


def _input_of(network: nn.Module, name: str, image: torch.Tensor) -> torch.Tensor:
    kept = {}
    hook = network.get_submodule(name).register_forward_hook(lambda layer, inputs, output: kept.update(maps=inputs[0]))
    network(image)
    hook.remove()
    return kept["maps"].detach().clone()


feature_map = Behaviour(
    "feature_map",
    _nested(lambda network, name, image: _by_hook(network, name, image)[0]),
    _nested_cases,
    mistakes={
        "the batch axis is still there; the maps of one image have the shape (C, H, W).": _by_hook,
        "that is the network's answer, not what the layer gave.": lambda network, name, image: network(image)[0],
        "that is the output of the outer part; `get_submodule` finds a layer by its full name.": lambda network, name, image: (
            _by_hook(network, name.partition(".")[0], image)[0]
        ),
        "that is the first layer of the same kind; look it up by its full name.": lambda network, name, image: (
            _first_of_kind(network, name, image)[0]
        ),
        "that is what the layer reads: a hook gets (layer, inputs, output).": lambda network, name, image: _input_of(
            network, name, image
        )[0],
    },
    behaviour=_nested,
)


def _watched(answer: Callable[..., Any]) -> Callable[..., list[Any]]:
    """Return a function that says what is kept, and what is left behind, also when the network fails."""

    def look(name: str, seed: int, fails: bool) -> list[Any]:
        network, image = _network(seed, inplace=True).train(), _image(seed, 5, 6)
        network.get_submodule("body.second").eval()
        modes = [layer.training for layer in network.modules()]
        network.get_submodule("head.2").broken = fails
        try:
            maps = answer(network, name, image)
            seen = _shown(maps)
            graph = isinstance(maps, torch.Tensor) and maps.requires_grad
        except NotImplementedError:  # a RuntimeError, too: the task is not yet written
            raise
        except RuntimeError as error:
            seen, graph = [f"RuntimeError: {error}", []], False
        hooks = sum(len(layer._forward_hooks) for layer in network.modules())
        after = [layer.training for layer in network.modules()]
        said = {True: "all parts in training mode", False: "no part in training mode"}
        left = "modes as before" if after == modes else said[after[0]] if len(set(after)) == 1 else "modes changed"
        return [
            *seen,
            "it keeps the graph alive" if graph else "no graph",
            f"{hooks} hook{'s' * (hooks != 1)} left",
            left,
        ]

    return look


def _watch(network, name, image, clone=True, detach=True, remove="always", modes="each"):
    kept = {}

    def keep(layer, inputs, output):
        output = output.detach() if detach else output
        kept["maps"] = output.clone() if clone else output

    before = [(layer, layer.training) for layer in network.modules()]
    handle = network.get_submodule(name).register_forward_hook(keep)
    if modes != "never":
        network.eval()
    try:
        network(image)
    except RuntimeError:
        if remove == "on success":
            handle = None
        raise
    finally:
        if handle is not None and remove != "never":
            handle.remove()
        if modes == "each":
            for layer, training in before:
                layer.training = training
        elif modes == "whole":
            network.train()
    return kept["maps"]


def _watch_with(**faults: Any) -> Callable[..., torch.Tensor]:
    return lambda network, name, image: _watch(network, name, image, **faults)


watch = Behaviour(
    "watch",
    _watched(_watch),
    lambda rng: [(name, rng.randrange(1000), fails) for name in NAMES[:5] for fails in (False, False, False, True)],
    mistakes={
        "a hook is still there: keep its handle and remove it.": _watch_with(remove="never"),
        "when the network raises, the hook stays: remove it in a `finally`.": _watch_with(remove="on success"),
        "an in-place ReLU has overwritten what was kept: clone it in the hook.": _watch_with(clone=False),
        "the kept maps hold the graph of the whole pass: detach them.": _watch_with(detach=False),
        "every part must get its own mode back; `network.train()` sets all of them.": _watch_with(modes="whole"),
        "the network stays in evaluation mode; put every part back into its own mode.": _watch_with(modes="left"),
        "batch norm worked in training mode: call `network.eval()` before the pass.": _watch_with(modes="never"),
        "two faults are left: the hook stays, and what it kept is overwritten.": _watch_with(
            remove="never", clone=False
        ),
    },
    behaviour=_watched,
)

# ---- the patches that excite a unit most --------------------------------------------------------------------------


def _top(images, maps, field, jump, offset, count, order=True, shift=0, turned=False, one=True, inner=False):
    width = maps.shape[2]
    if one:
        best, place = maps.flatten(1).max(1)
        pictures = best.topk(count, largest=order).indices
        rows, columns = place[pictures] // width, place[pictures] % width
    else:
        places = maps.flatten().topk(count).indices
        pictures, rest = places // maps[0].numel(), places % maps[0].numel()
        rows, columns = rest // width, rest % width
    if turned:
        rows, columns = columns, rows
    framed = F.pad(images, (field + offset,) * 4)
    patches = []
    for picture, row, column in zip(pictures.tolist(), rows.tolist(), columns.tolist(), strict=True):
        top, left = (field + offset + i * jump - (offset if not inner else 0) + shift for i in (row, column))
        patches.append(framed[picture, :, top : top + field, left : left + field])
    return torch.stack(patches)


def _reference_top(images, maps, field, jump, offset, count):
    """Return the patches by unfold, which cuts all windows at once."""
    number, channels = images.shape[:2]
    windows = F.unfold(F.pad(images, (offset, field) * 2), field, stride=jump)
    across = (images.shape[3] + offset) // jump + 1
    windows = windows.view(number, channels, field, field, -1)
    best, place = maps.flatten(1).max(1)
    chosen = best.argsort(descending=True)[:count]
    rows, columns = place[chosen] // maps.shape[2], place[chosen] % maps.shape[2]
    return torch.stack([windows[n, ..., r * across + c] for n, r, c in zip(chosen, rows, columns, strict=True)])


def _top_cases(rng: random.Random) -> list[tuple]:
    cases = []
    for _ in range(24):
        layers, jump, field, offset = [], 1, 1, 0
        for _ in range(rng.randint(1, 3)):
            kernel, stride = rng.choice([1, 3, 5]), rng.choice([1, 1, 2])
            layers.append(nn.Conv2d(1, 1, kernel, stride, padding=kernel // 2, bias=False))
            field, offset, jump = field + (kernel - 1) * jump, offset + kernel // 2 * jump, jump * stride
        images = _normal(rng, rng.randint(4, 9), rng.choice([1, 3]), rng.randint(8, 14), rng.randint(8, 14))
        with torch.no_grad():
            side = nn.Sequential(*layers)(images[:, :1]).shape[1:]
        maps = _normal(rng, len(images), *side[1:])
        cases.append((images, maps, field, jump, offset, rng.randint(1, len(images))))
    return cases


def _top_with(**faults: Any) -> Callable[..., torch.Tensor]:
    return lambda *case: _top(*case, **faults)


top_patches = Task(
    "top_patches",
    _reference_top,
    _top_cases,
    mistakes={
        "rows and columns are exchanged: place // width is the row, place % width the column.": _top_with(turned=True),
        "the field of unit i begins at i·jump − offset, not at i·jump.": _top_with(inner=True),
        "one patch from each picture: take the strongest place of every map first, then the strongest pictures.": _top_with(
            one=False
        ),
        "those are the weakest pictures; the strongest comes first.": _top_with(order=False),
        "one pixel too far down and to the right.": _top_with(shift=1),
        "one pixel too far up and to the left.": _top_with(shift=-1),
    },
)

# ---- predictions --------------------------------------------------------------------------------------------------


def stem_of_alexnet() -> nn.Sequential:
    """Return the layers that the prediction is about."""
    return nn.Sequential(
        nn.Conv2d(3, 4, 11, 4, padding=2), nn.ReLU(), nn.MaxPool2d(3, 2), nn.Conv2d(4, 4, 5, padding=2), nn.ReLU()
    )


@cache
def _sizes() -> list[int]:
    """Side, field and jump behind the last layer for 224×224, measured by gradients."""
    net = stem_of_alexnet().double()
    for parameter in net.parameters():
        nn.init.constant_(parameter, 0.01)
    # A ramp, so that each maximum has one place; several images, so that all places of a window win once.
    spans = []
    sign = torch.tensor([-1.0, 1.0], dtype=torch.float64)
    for unit in (12, 13):
        seen = torch.zeros(224, dtype=torch.bool)
        for down in sign:
            ramp = 1000 + down * torch.arange(224, dtype=torch.float64).view(1, 1, 224, 1).expand(1, 3, 224, 224)
            ramp = ramp.clone().requires_grad_()
            output = net(ramp)
            (gradient,) = torch.autograd.grad(output[0, 0, unit, 13], ramp)
            seen |= gradient[0].sum((0, 2)) != 0
        places = seen.nonzero().flatten().tolist()
        spans.append((places[0], places[-1]))
    return [output.shape[-1], spans[0][1] - spans[0][0] + 1, spans[1][0] - spans[0][0]]


sizes = Answer(
    "sizes",
    lambda: list(_sizes()),
    mistakes={
        "the pooling takes windows of 3 with stride 2 and no padding: (55 − 3) / 2 + 1.": [28, 51, 8],
        "behind the first convolution the jump is 4, so the pooling adds (3 − 1)·4 pixels.": [27, 45, 8],
        "behind the pooling the jump is 8, so the last convolution adds (5 − 1)·8 pixels.": [27, 35, 8],
        "the last convolution has stride 1; the jump is the product of all strides.": [27, 51, 16],
        "the pooling has a stride, too: the jump is 4·2.": [27, 51, 4],
        "that is the side behind the first convolution; the pooling halves it.": [55, 51, 8],
    },
)


@cache
def _colour_after_grey() -> str:
    """Train a small network on pictures without colour; say what became of the difference of two colour channels."""
    from utils import runtime

    with torch.random.fork_rng(devices=[]):
        runtime.seed(0)
        net = nn.Sequential(nn.Conv2d(3, 4, 5), nn.ReLU(), nn.Flatten(), nn.Linear(4 * 16, 2)).double()
        start = net[0].weight.detach().clone()
        images = torch.randn(64, 1, 8, 8, dtype=torch.float64).expand(-1, 3, -1, -1)
        labels = (images[:, 0, 0, 0] > 0).long()
        sgd = torch.optim.SGD(net.parameters(), lr=0.1)
        for _ in range(50):
            sgd.zero_grad()
            F.cross_entropy(net(images), labels).backward()
            sgd.step()
    end = net[0].weight.detach()
    moved = (end.mean(1) - start.mean(1)).norm() / start.mean(1).norm()
    red, blue = ((one[:, 0] - one[:, 2]) for one in (start, end))
    if moved < 0.01:
        raise AssertionError("the network did not learn")
    kept = torch.allclose(red, blue, atol=1e-9)
    return "kept" if kept else "faded" if blue.norm() < 0.5 * red.norm() else "changed"


colour = Answer(
    "colour",
    _colour_after_grey,
    mistakes={
        "for that something would have to push the three channels together; which gradient do they get?": "faded",
        "the three channels of every picture are equal: compare the gradients of the three channels of a filter.": "changed",
    },
)
