"""The common parent of all explorers."""

from __future__ import annotations

import operator
from typing import Any

import anywidget


def index(value: Any) -> int | None:
    """Return a whole number of Python, NumPy or torch as an int, and None for anything else."""
    try:
        return None if isinstance(value, bool) else operator.index(value)
    except TypeError:
        return None


def whole(name: str, value: Any, low: int, high: int) -> int:
    """Return a whole number as an int.

    Raises
    ------
    ValueError
        When it is none, or not from ``low`` to ``high``; the message names the control.
    """
    number = index(value)
    if number is None or not low <= number <= high:
        raise ValueError(f"{name} is {value!r}, and must be a whole number from {low} to {high}.")
    return number


class Explorer(anywidget.AnyWidget):
    """An explorer: state in Python, drawing and arithmetic in JavaScript.

    A subclass names its module once: ``_esm = source("base.js", "mine.js")`` and
    ``_css = source("base.css", "mine.css")``.
    """

    def __repr__(self) -> str:
        # The default repr holds a memory address, which differs in every run.
        return f"<{type(self).__name__}: an interactive figure>"

    def _repr_mimebundle_(self, **kwargs):
        # anywidget stores its own repr as the text of the output; the notebooks compare that text.
        bundle = super()._repr_mimebundle_(**kwargs)
        data = bundle[0] if isinstance(bundle, tuple) else bundle
        if data:
            data["text/plain"] = repr(self)
        return bundle
