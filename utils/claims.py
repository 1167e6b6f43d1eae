"""Statements that the machine checks: every conclusion the text draws from a number is a claim."""

from __future__ import annotations

import math
import operator
from typing import Any

RELATIONS = {
    ">": operator.gt,
    ">=": operator.ge,
    "<": operator.lt,
    "<=": operator.le,
    "==": operator.eq,
    "!=": operator.ne,
}


def claim(text: str, value: Any, relation: str = "==", bound: Any = True) -> None:
    """Print ``✓ text`` when ``value relation bound`` holds, else raise with all three.

    Parameters
    ----------
    text : str
        What the reader is to conclude, as a sentence.
    value, bound : number, bool, str, or tuple or list of them
        A tensor of one element counts as its number. Larger tensors are refused: reduce them first, so
        that the claim says what it compares. Without relation and bound, ``value`` must be ``True``.
    relation : {">", ">=", "<", "<=", "==", "!="}

    Raises
    ------
    AssertionError
        When the claim does not hold; NaN never holds.
    TypeError, ValueError
        When the value cannot be compared or the relation is unknown.

    Examples
    --------
    >>> claim("a 5×5 kernel shortens 28 pixels to 24", 28 - 5 + 1, "==", 24)
    ✓ a 5×5 kernel shortens 28 pixels to 24
    """
    if relation not in RELATIONS:
        raise ValueError(f"the relation is {relation!r}, but it must be one of {', '.join(RELATIONS)}.")
    value, bound = _plain(value), _plain(bound)
    try:
        holds = RELATIONS[relation](value, bound)
    except TypeError:
        raise TypeError(
            f"{value!r} ({type(value).__name__}) and {bound!r} ({type(bound).__name__}) cannot be compared by {relation}."
        ) from None
    # NaN != 1 is true in Python, but a claim about a number that is none proves nothing.
    if any(isinstance(v, float) and math.isnan(v) for v in (value, bound)):
        holds = False
    if holds is not True:
        raise AssertionError(f"not so: {text} — the value is {value!r}, expected {relation} {bound!r}.")
    print(f"✓ {text}")


def _plain(value: Any) -> Any:
    """Return Python's own number for a tensor, array or NumPy number of one element; refuse larger ones."""
    if isinstance(value, (tuple, list)):
        return [_plain(v) for v in value]
    if hasattr(value, "item") and hasattr(value, "shape"):
        if math.prod(value.shape) == 1:
            return value.item()
        raise TypeError(
            f"the value has shape {tuple(value.shape)}, but a claim compares single numbers; "
            "reduce it first, for example with .abs().max(), or compare .tolist()."
        )
    return value
