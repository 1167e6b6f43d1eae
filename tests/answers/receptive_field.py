"""Answers to the exercises on the receptive field: right ones written differently, and plausible wrong ones."""

from __future__ import annotations

import math

import torch

from utils.exercises.receptive_field import build

# 2. recursion


def recursion_closed_form(layers):
    strides = [s for _, s, _ in layers]
    r = 1 + sum(d * (k - 1) * math.prod(strides[:i]) for i, (k, _, d) in enumerate(layers))
    return r, math.prod(strides)


def recursion_from_the_top(layers):
    r = 1
    for k, s, d in reversed(layers):  # how many units of the level below does the field so far span?
        r = (r - 1) * s + d * (k - 1) + 1
    return r, math.prod(s for _, s, _ in layers)


def recursion_new_jump(layers):
    r = j = 1
    for k, s, d in layers:
        j *= s
        r += d * (k - 1) * j
    return r, j


def recursion_that_empties_its_list(layers):
    result = recursion_closed_form(layers)
    layers.clear()
    return result


def recursion_two_layers_at_most(layers):
    return recursion_closed_form(layers[:2])


# 3. locate


def locate_from_the_top(layers, unit):
    first = last = unit
    for k, s, p, d in reversed(layers):
        first, last = first * s - p, last * s - p + d * (k - 1)
    return first, last, (first + last) / 2


def locate_closed_form(layers, unit):
    j, start, r = 1, 0, 1
    for k, s, p, d in layers:
        start, r, j = start - p * j, r + d * (k - 1) * j, j * s
    return start + unit * j, start + unit * j + r - 1, start + unit * j + (r - 1) / 2


def locate_with(rule):
    def answer(layers, unit):
        j, start, r = 1, 0, 1
        for k, s, p, d in layers:
            start, r, j = start - rule(p, j, s), r + d * (k - 1) * j, j * s
        return start + unit * j, start + unit * j + r - 1, start + unit * j + (r - 1) / 2

    return answer


# 4. seen


def seen_by_autograd(layers, h, w):
    image = torch.zeros(1, 1, h, w).double().requires_grad_()
    output = build(layers)(image)
    unit = output[0, 0, output.size(2) // 2, output.size(3) // 2]
    return torch.autograd.grad(unit, image)[0].squeeze((0, 1)).abs().gt(0)


def seen_by_poking(layers, h, w):
    """Change one pixel at a time, as Hubel and Wiesel did."""
    network, result = build(layers), torch.zeros(h, w, dtype=torch.bool)

    def middle(image):
        output = network(image)
        return output[0, 0, output.shape[2] // 2, output.shape[3] // 2]

    with torch.no_grad():
        dark = middle(torch.zeros(1, 1, h, w).double())
        for row in range(h):
            for column in range(w):
                image = torch.zeros(1, 1, h, w).double()
                image[0, 0, row, column] = 1
                result[row, column] = middle(image) != dark
    return result


def seen_square_only(layers, h, w):
    return seen_by_autograd(layers, h, h)


RIGHT = {
    "fields": [[9, 19, 16], (9, 19, 16)],
    "recursion": [recursion_closed_form, recursion_from_the_top],
    "locate": [locate_closed_form, locate_from_the_top],
    "seen": [seen_by_autograd, seen_by_poking],
    "design": [[(3, 1), (3, 2), (3, 4), (3, 8)], ((3, 9), (3, 3), (3, 1), (3, 2)), [[3, 5], [3, 2], [3, 1], [3, 7]]],
    "repaired": [[1, 2, 4, 9], (2, 4, 9, 1), [1, 3, 9, 3]],
}

WRONG = {
    "fields": {
        "use the old jump": [9, 29, 17],
        "multiply d·(k − 1) by the jump": [9, 11, 12],
        "takes k − 1 steps": [13, 26, 22],
        "the dilation is missing": [9, 19, 14],
        "jumps multiply": [9, 17, 16],
        "entry 0": [12, 19, 16],
        "it must have 3": [9, 19],
        "it must be a whole number (int)": [9, 19.5, 16],
    },
    "recursion": {
        "use the old jump for r": recursion_new_jump,
        "multiply d·(k − 1) by the jump": lambda layers: (
            1 + sum(d * (k - 1) for k, _, d in layers),
            math.prod(s for _, s, _ in layers),
        ),
        "by d·k·j": lambda layers: (
            1 + sum(d * k * math.prod(s for _, s, _ in layers[:i]) for i, (k, _, d) in enumerate(layers)),
            math.prod(s for _, s, _ in layers),
        ),
        "the dilation is missing": lambda layers: recursion_closed_form([(k, s, 1) for k, s, _ in layers]),
        "begin with the first one": lambda layers: recursion_closed_form(layers[::-1]),
        "return both": lambda layers: recursion_closed_form(layers)[0],
        "the field first": lambda layers: recursion_closed_form(layers)[::-1],
        "changed its arguments": recursion_that_empties_its_list,
        "expected": recursion_two_layers_at_most,
        "it must be a tuple": lambda layers: None,
        "raised TypeError": lambda layers: layers + 1,
    },
    "locate": {
        "the padding is missing": locate_with(lambda p, j, s: 0),
        "multiply it by j": locate_with(lambda p, j, s: p),
        "before it is multiplied": locate_with(lambda p, j, s: p * j * s),
        "only the one on the left": locate_with(lambda p, j, s: 2 * p * j),
        "the start moves by unit·j": lambda layers, unit: locate_closed_form(layers, 0),
        "not the one after it": lambda layers, unit: (
            (f := locate_closed_form(layers, unit))[0],
            f[1] + 1,
            f[2],
        ),
        "without rounding": lambda layers, unit: (
            (f := locate_closed_form(layers, unit))[0],
            f[1],
            (f[0] + f[1]) // 2,
        ),
        "leave negative numbers": lambda layers, unit: (
            max(0, (f := locate_closed_form(layers, unit))[0]),
            f[1],
            (max(0, f[0]) + f[1]) / 2,
        ),
        "it must have 3": lambda layers, unit: locate_closed_form(layers, unit)[:2],
        "raised ZeroDivisionError": lambda layers, unit: 1 / unit,
        "it must be a tuple": lambda layers, unit: None,
    },
    "seen": {
        "not of the sum": lambda layers, h, w: seen_all(layers, h, w),
        "may be negative": lambda layers, h, w: slopes(layers, h, w) > 0,
        "it must be torch.bool": lambda layers, h, w: slopes(layers, h, w),
        "not the first one": lambda layers, h, w: slopes(layers, h, w, first=True) != 0,
        "rows and columns are swapped": lambda layers, h, w: seen_by_autograd(layers, w, h),
        "leave the holes open": lambda layers, h, w: box(seen_by_autograd(layers, h, w)),
        "the result has shape": seen_square_only,
        "raised RuntimeError": lambda layers, h, w: build(layers)(torch.zeros(h, w)),
        "it must be a tensor": lambda layers, h, w: seen_by_autograd(layers, h, w).numpy(),
        "the values differ": lambda layers, h, w: torch.ones(h, w, dtype=torch.bool),
        "the result has shape ()": lambda layers, h, w: build(layers)(torch.zeros(1, 1, h, w).double())[
            0, 0, h // 2, w // 2
        ],
    },
    "design": {
        "the field is 9 pixels wide, but it must be 31": [(3, 1)] * 4,
        "with 135 weights; fewer are enough. With dilation": [(3, 1)] * 15,
        "with 43 weights; fewer are enough": [(5, 1), (3, 4), (3, 9)],
        "are not read": [(3, 1), (3, 1), (3, 1), (3, 12)],
        "it must be odd": [(2, 1), (2, 2)],
        "a layer is (kernel, dilation)": [(3, 1, 1), (3, 1, 2)],
        "it must be a whole number from 1": [(3, 1.5), (3, 2)],
        "is no stack": 31,
        "far fewer": [(3, 1)] * 50,
    },
    "repaired": {
        "All dilations are even": [2, 2, 4, 8],
        "must still add up to 16": [1, 2, 4, 8],
        "are still not read": [1, 1, 1, 13],
        "one for each layer": [1, 2, 13],
        "it must be a whole number": [1, 2, 4.5, 8.5],
        "but it must be a list": 16,
    },
}


def slopes(layers, h, w, first=False):
    image = torch.zeros(1, 1, h, w).double().requires_grad_()
    output = build(layers)(image)[0, 0]
    (output[0, 0] if first else output[output.shape[0] // 2, output.shape[1] // 2]).backward()
    return image.grad[0, 0]


def seen_all(layers, h, w):
    image = torch.zeros(1, 1, h, w).double().requires_grad_()
    build(layers)(image).sum().backward()
    return image.grad[0, 0] != 0


def box(mask):
    rows, columns = mask.any(1).nonzero(), mask.any(0).nonzero()
    result = torch.zeros_like(mask)
    result[rows.min() : rows.max() + 1, columns.min() : columns.max() + 1] = True
    return result
