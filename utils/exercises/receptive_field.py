"""Checks for the exercises on the receptive field."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import Any

import torch
import torch.nn.functional as F
from torch import nn

from utils.exercises.core import Answer, Case, Task, Verdict, _brief, fail, not_yet

Layer = tuple[int, ...]


def build(layers: list[Layer]) -> nn.Sequential:
    """Return a network of one-channel convolutions with fixed random weights, positive and negative ones.

    Parameters
    ----------
    layers : list of (kernel, stride, dilation)
        From the input upwards; no layer pads and none has a bias.
    """
    convs = [nn.Conv2d(1, 1, k, stride=s, dilation=d, bias=False) for k, s, d in layers]
    generator = torch.Generator().manual_seed(0)
    for conv in convs:
        conv.weight.data = torch.randn(conv.weight.shape, generator=generator, dtype=torch.float64)
    return nn.Sequential(*convs)


def _row(layers: tuple[Layer, ...], units: tuple[int, ...]) -> list[list[int]]:
    """Return which cells of a long row the given units depend on, by gradients; layers are (k, s, d)."""
    r, j = 1, 1
    for k, s, d in layers:  # only to make the row long enough
        r, j = r + d * (k - 1) * j, j * s
    row = torch.ones(1, 1, r + max(units) * j, dtype=torch.float64, requires_grad=True)
    output = row
    for k, s, d in layers:
        output = F.conv1d(output, torch.ones(1, 1, k, dtype=torch.float64) / k, stride=s, dilation=d)
    return [
        torch.autograd.grad(output[0, 0, u], row, retain_graph=True)[0][0, 0].nonzero().flatten().tolist()
        for u in units
    ]


@cache
def _measured(layers: tuple[Layer, ...]) -> tuple[int, int]:
    """Return the field and the jump that gradients show."""
    first, second = _row(layers, (0, 1))
    return first[-1] - first[0] + 1, second[0] - first[0]


def _grown(layers: list[Layer], step: Callable[..., tuple[int, int]]) -> tuple[int, int]:
    """Run a recursion that need not be right."""
    r = j = 1
    for k, s, d in layers:
        r, j = step(r, j, k, s, d)
    return r, j


WRONG_STEPS: dict[str, Callable[..., tuple[int, int]]] = {
    "the stride of a layer acts on the layers after it: use the old jump for r, then multiply it.": (
        lambda r, j, k, s, d: (r + d * (k - 1) * j * s, j * s)
    ),
    "the steps of a layer are j pixels wide: multiply d·(k − 1) by the jump.": (
        lambda r, j, k, s, d: (r + d * (k - 1), j * s)
    ),
    "a kernel of k cells takes k − 1 steps: r grows by d·(k − 1)·j, not by d·k·j.": (
        lambda r, j, k, s, d: (r + d * k * j, j * s)
    ),
    "the dilation is missing: the cells that a kernel reads are d units apart.": (
        lambda r, j, k, s, d: (r + (k - 1) * j, j * s)
    ),
    "jumps multiply: two layers of stride 2 make a jump of 4, and three of 8.": (
        lambda r, j, k, s, d: (r + d * (k - 1) * j, j + s - 1)
    ),
    "the dilation does not belong to the jump: only strides move a unit's neighbour further away.": (
        lambda r, j, k, s, d: (r + d * (k - 1) * j, j * s * d)
    ),
}


# 1. Predict three fields.

STACKS = [
    [(3, 1, 1), (3, 1, 1), (3, 1, 1), (3, 1, 1)],
    [(7, 2, 1), (3, 2, 1), (3, 1, 1)],
    [(3, 1, 1), (3, 1, 2), (2, 2, 1), (5, 1, 1)],
]

fields = Answer(
    "fields",
    expected=lambda: [_measured(tuple(layers))[0] for layers in STACKS],
    mistakes={hint: [_grown(layers, step)[0] for layers in STACKS] for hint, step in list(WRONG_STEPS.items())[:5]},
)


# 2. The recursion.


def _stacks(rng: random.Random, count: int, padded: bool = False) -> list[list[Layer]]:
    """Draw stacks of one to five layers; half of them have a large stride or dilation."""
    result = []
    while len(result) < count:
        layers = []
        for _ in range(rng.randint(1, 5)):
            k, s, d = rng.choice([1, 2, 3, 3, 4, 5, 7]), rng.choice([1, 1, 2, 3]), rng.choice([1, 1, 2, 3])
            layers.append((k, s, rng.randint(0, 3), d) if padded else (k, s, d))
        result.append(layers)
    return result


def _recursion_cases(rng: random.Random) -> list[Case]:
    known: list[list[Layer]] = [[(3, 1, 1)], [(3, 2, 1), (3, 2, 1)], [], [(1, 4, 1)], [(3, 1, 2), (5, 3, 1)]]
    return [(layers,) for layers in known + _stacks(rng, 40)]


recursion = Task(
    "recursion",
    reference=lambda layers: _measured(tuple(layers)),
    cases=_recursion_cases,
    mistakes={
        **{hint: (lambda layers, step=step: _grown(layers, step)) for hint, step in WRONG_STEPS.items()},
        "the layers come from the input upwards: begin with the first one.": lambda layers: _measured(
            tuple(layers[::-1])
        ),
        "return both, the field and the jump: (r, j).": lambda layers: _measured(tuple(layers))[0],
        "return the field first, then the jump: (r, j).": lambda layers: _measured(tuple(layers))[::-1],
    },
)


# 3. First pixel, last pixel, centre.


def _located(layers: list[Layer], unit: int) -> tuple[int, int, float]:
    """Measure two neighbouring units far from the edges, and count back to the one that is asked for."""
    first, last, jump, inner = _inside(tuple(layers))
    first, last = first - (inner - unit) * jump, last - (inner - unit) * jump
    return first, last, (first + last) / 2


@cache
def _inside(layers: tuple[Layer, ...]) -> tuple[int, int, int, int]:
    """Return first cell, last cell and jump of a unit whose field hangs over no edge, and its number."""
    r, j, pads = 1, 1, 0  # only to choose the unit and to make the row long enough
    for k, s, p, d in layers:
        r, pads, j = r + d * (k - 1) * j, pads + p * j, j * s
    inner = pads // j + 1
    row = torch.ones(1, 1, r + pads + (inner + 2) * j, dtype=torch.float64, requires_grad=True)
    output = row
    for k, s, p, d in layers:
        output = F.conv1d(output, torch.ones(1, 1, k, dtype=torch.float64) / k, stride=s, padding=p, dilation=d)
    one, two = (
        torch.autograd.grad(output[0, 0, u], row, retain_graph=True)[0][0, 0].nonzero().flatten().tolist()
        for u in (inner, inner + 1)
    )
    return one[0], one[-1], two[0] - one[0], inner


def _locate_cases(rng: random.Random) -> list[Case]:
    known: list[Case] = [
        ([(3, 2, 1, 1), (3, 2, 1, 1)], 0),
        ([(3, 2, 1, 1), (3, 2, 1, 1)], 2),
        ([(3, 1, 1, 1)], 5),
        ([(2, 2, 0, 1)], 3),
        ([(7, 2, 3, 1), (3, 2, 1, 1)], 1),
        ([], 4),
    ]
    return known + [(layers, rng.randint(0, 6)) for layers in _stacks(rng, 34, padded=True)]


def _located_by(layers: list[Layer], unit: int, pad: Callable[[int, int, int], int]) -> tuple[int, int, float]:
    """Like :func:`_located`, with another rule for how far the padding of a layer shifts the field."""
    shift, jump = 0, 1
    for _, s, p, _ in layers:
        shift += pad(p, jump, s)
        jump *= s
    (cells,) = _row(tuple((k, s, d) for k, s, _, d in layers), (unit,))
    first, last = cells[0] - shift, cells[-1] - shift
    return first, last, (first + last) / 2


locate = Task(
    "locate",
    reference=_located,
    cases=_locate_cases,
    mistakes={
        "the padding is missing: with it the field of unit 0 begins before pixel 0.": lambda layers, unit: _located_by(
            layers, unit, lambda p, j, s: 0
        ),
        "the padding of a layer counts in units of its input, and these lie j pixels apart: multiply it by j.": (
            lambda layers, unit: _located_by(layers, unit, lambda p, j, s: p)
        ),
        "use the jump below the layer for its padding, before it is multiplied by the stride.": (
            lambda layers, unit: _located_by(layers, unit, lambda p, j, s: p * j * s)
        ),
        "padding is added on each side, but only the one on the left moves the start.": (
            lambda layers, unit: _located_by(layers, unit, lambda p, j, s: 2 * p * j)
        ),
        "neighbouring units see windows that lie j pixels apart: the start moves by unit·j.": (
            lambda layers, unit: _located_by(layers, 0, lambda p, j, s: p * j)
        ),
        "return the last pixel that is seen, start + r − 1, not the one after it.": lambda layers, unit: (
            (f := _located(layers, unit))[0],
            f[1] + 1,
            f[2],
        ),
        "the centre lies between first and last, half-way: (first + last)/2, without rounding.": (
            lambda layers, unit: ((f := _located(layers, unit))[0], f[1], f[2] // 1)
        ),
        "a field may begin before pixel 0 and end behind the image; leave negative numbers as they are.": (
            lambda layers, unit: (max(0, (f := _located(layers, unit))[0]), f[1], (max(0, f[0]) + f[1]) / 2)
        ),
    },
)


# 4. Measured by gradient.


def _slopes(layers: list[Layer], h: int, w: int, pick: Callable[[torch.Tensor], torch.Tensor]) -> torch.Tensor:
    image = torch.ones(1, 1, h, w, dtype=torch.float64, requires_grad=True)
    pick(build(layers)(image)[0, 0]).backward()
    return image.grad[0, 0]


def _middle(output: torch.Tensor) -> torch.Tensor:
    return output[output.shape[0] // 2, output.shape[1] // 2]


def _seen_cases(rng: random.Random) -> list[Case]:
    cases: list[Case] = [
        ([(3, 1, 1)], 5, 5),
        ([(3, 1, 2)], 5, 6),
        ([(3, 2, 1), (3, 2, 1)], 11, 9),
        ([(3, 1, 2), (3, 1, 2)], 12, 14),
        ([(1, 1, 1)], 3, 4),
    ]
    while len(cases) < 30:
        layers = [
            (rng.choice([1, 2, 3, 4]), rng.choice([1, 1, 2]), rng.choice([1, 2])) for _ in range(rng.randint(1, 3))
        ]
        r, j = _grown(layers, lambda r, j, k, s, d: (r + d * (k - 1) * j, j * s))
        cases.append((layers, r + rng.randint(0, 3 * j), r + rng.randint(0, 3 * j)))
    return cases


seen = Task(
    "seen",
    reference=lambda layers, h, w: _slopes(layers, h, w, _middle) != 0,
    cases=_seen_cases,
    mistakes={
        "that is what all units see together: take the gradient of one unit, not of the sum.": (
            lambda layers, h, w: _slopes(layers, h, w, torch.sum) != 0
        ),
        "weights, and so gradients, may be negative: a pixel is seen when its gradient is not 0.": (
            lambda layers, h, w: _slopes(layers, h, w, _middle) > 0
        ),
        "return True and False, not the gradient itself: compare it with 0.": lambda layers, h, w: _slopes(
            layers, h, w, _middle
        ),
        "take the unit in the middle of the output, row H//2 and column W//2, not the first one.": (
            lambda layers, h, w: _slopes(layers, h, w, lambda output: output[0, 0]) != 0
        ),
        "rows and columns are swapped: the image has h rows and w columns.": lambda layers, h, w: (
            _slopes(layers, w, h, _middle) != 0
        ),
        "leave the holes open: mark the pixels that are read, not the whole square around them.": (
            lambda layers, h, w: _filled(_slopes(layers, h, w, _middle) != 0)
        ),
        "the middle of the output is output.shape // 2, and the output is smaller than the image.": (
            lambda layers, h, w: _slopes(layers, h, w, lambda output: output[h // 2, w // 2]) != 0
        ),
    },
)


def _filled(mask: torch.Tensor) -> torch.Tensor:
    """Return the box around what is marked."""
    rows, columns = (mask.any(axis).nonzero().flatten() for axis in (1, 0))
    result = torch.zeros_like(mask)
    result[rows.min() : rows.max() + 1, columns.min() : columns.max() + 1] = True
    return result


# 5 and 6. Stacks that are judged by what they do.


def read_cells(layers: list[Layer]) -> list[int]:
    """Return which cells of a row unit 0 reads, measured by gradients; layers are (kernel, stride, dilation)."""
    return _row(tuple(layers), (0,))[0]


@dataclass(frozen=True)
class Stack(Answer):
    """A list that is judged by what the stack does that it describes; many lists may be right.

    Attributes
    ----------
    fault : callable(answer) → str
        Returns "" when the answer does what was asked, else a sentence that says what it does instead.
    """

    fault: Callable[[Any], str] = lambda answer: ""

    def __call__(self, answer: Any) -> Verdict:
        """Check ``answer`` (``...`` means not yet), print what came out, and return whether it passed."""
        if answer is ...:
            return not_yet(self.name, "replace the ... by your list.")
        if problem := self.fault(answer):
            return fail(self.name, problem)
        print(f"✓ {self.name}: it does what was asked.")
        return Verdict(True)


def _is_whole(value: Any, low: int, high: int) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and low <= value <= high


def _holes(cells: list[int]) -> list[int]:
    return sorted(set(range(cells[0], cells[-1] + 1)) - set(cells))


REACH, FEWEST = 31, 36


def _design_fault(answer: Any) -> str:
    if not isinstance(answer, (list, tuple)) or not answer:
        return f"{_brief(answer)} is no stack; give a list of layers, such as [(3, 1), (5, 2)]."
    if len(answer) > 40:
        return f"the stack has {len(answer)} layers; far fewer are enough."
    for i, layer in enumerate(answer):
        if not isinstance(layer, (list, tuple)) or len(layer) != 2:
            return f"layer {i} is {_brief(layer)}, but a layer is (kernel, dilation)."
        k, d = layer
        if not _is_whole(k, 3, REACH) or k % 2 == 0:
            return f"layer {i} has the kernel {_brief(k)}, but it must be odd and at least 3."
        if not _is_whole(d, 1, 64):
            return f"layer {i} has the dilation {_brief(d)}, but it must be a whole number from 1 to 64."
    cells = read_cells([(k, 1, d) for k, d in answer])
    span, weights = cells[-1] + 1, sum(k * k for k, _ in answer)
    if span != REACH:
        return f"the field is {span} pixels wide, but it must be {REACH}."
    if holes := _holes(cells):
        return (
            f"the field is {REACH} pixels wide, but {len(holes)} of them are not read, for example number {holes[0]}."
        )
    if weights > FEWEST:
        hint = " With dilation fewer layers reach as far." if all(d == 1 for _, d in answer) else ""
        return f"the field is {REACH} pixels wide and whole, with {weights} weights; fewer are enough.{hint}"
    return ""


design = Stack("design", expected=lambda: [(3, 1), (3, 2), (3, 4), (3, 8)], fault=_design_fault)

GRIDDED = [2, 4, 8, 2]  # dilations of 3×3 layers: 33 pixels, of which every second is read


def _repair_fault(answer: Any) -> str:
    if not isinstance(answer, (list, tuple)) or len(answer) != len(GRIDDED):
        return f"the answer is {_brief(answer)}, but it must be a list of {len(GRIDDED)} dilations, one for each layer."
    for i, d in enumerate(answer):
        if not _is_whole(d, 1, 64):
            return f"dilation {i} is {_brief(d)}, but it must be a whole number from 1 to 64."
    cells = read_cells([(3, 1, d) for d in answer])
    span, before = cells[-1] + 1, 1 + 2 * sum(GRIDDED)
    if span != before:
        return f"the field is {span} pixels wide, but it must keep its {before}: the dilations must still add up to {sum(GRIDDED)}."
    if holes := _holes(cells):
        even = " All dilations are even, so no sum of steps is odd." if all(d % 2 == 0 for d in answer) else ""
        return (
            f"{len(holes)} of the {span} pixels along an axis are still not read, for example number {holes[0]}.{even}"
        )
    return ""


repaired = Stack("repaired", expected=lambda: [1, 2, 4, 9], fault=_repair_fault)
