"""Sliders over states that Python computed when the notebook was executed.

What needs Python cannot be computed in a page without a kernel. So all states are computed once, here,
and stored; the sliders then choose among them, in the page as in JupyterLab.
"""

from __future__ import annotations

import base64
import io
import itertools
from collections.abc import Callable, Sequence
from typing import Any

import traitlets

from utils.widgets import source
from utils.widgets.base import Explorer

BUDGET = 600_000  # bytes of pictures and text in one figure: what a page on a phone can bear


class Explore(Explorer):
    """The figure that :func:`explore` returns."""

    _esm = source("base.js", "explored.js")
    _css = source("base.css", "explored.css")
    names = traitlets.List(traitlets.Unicode()).tag(sync=True)
    choices = traitlets.List().tag(sync=True)  # for each name, the texts of its values
    texts = traitlets.List(traitlets.Unicode()).tag(sync=True)  # for each state, in the order of itertools.product
    pictures = traitlets.List(traitlets.Unicode()).tag(sync=True)  # for each state, a data address or ""
    start = traitlets.List(traitlets.Int()).tag(sync=True)


def explore(
    function: Callable[..., str],
    *,
    start: dict[str, Any] | None = None,
    budget: int = BUDGET,
    **choices: Sequence[Any],
) -> Explore:
    """Compute ``function`` for every combination of choices and return a figure that steps through them.

    Parameters
    ----------
    function : callable
        Takes one keyword for each choice. It may draw one matplotlib figure; it returns a sentence that
        states the result. The sentence is shown below the picture and is its alternative text.
    start : dict, optional
        The state shown first; the first value of each choice when left out.
    budget : int
        Most bytes that all states together may take.
    **choices : sequences
        The values of each slider, for example ``stride=[1, 2, 3]``.

    Raises
    ------
    ValueError
        When there are no choices, the start is none of the states, a state cannot be computed (the
        message names it, the cause is chained), a state gives no sentence, or the budget is exceeded.
    """
    import matplotlib.pyplot as plt

    if not choices:
        raise ValueError("there is nothing to choose; give at least one list of values, such as stride=[1, 2, 3].")
    for name, values in choices.items():
        if isinstance(values, str) or not isinstance(values, (Sequence, range)) or not len(values):
            raise ValueError(f"the choices of {name} are {values!r}, but they must be a list of at least one value.")
    first = []
    for name, values in choices.items():
        wanted = (start or {}).get(name, values[0])
        if wanted not in values:
            raise ValueError(f"the start {name}={wanted!r} is none of its choices {list(values)!r}.")
        first.append(list(values).index(wanted))
    if unknown := set(start or {}) - set(choices):
        raise ValueError(f"the start names {', '.join(sorted(unknown))}, but the choices are {', '.join(choices)}.")
    texts, pictures, used = [], [], 0
    for values in itertools.product(*choices.values()):
        state = dict(zip(choices, values, strict=True))
        described = ", ".join(f"{name}={value!r}" for name, value in state.items())
        plt.close("all")
        try:
            text = function(**state)
            picture = _picture(plt)
        except Exception as error:
            raise ValueError(f"the state {described} cannot be computed: {error}") from error
        finally:
            plt.close("all")
        if not isinstance(text, str) or not text.strip():
            raise ValueError(
                f"the state {described} returned {text!r}, but it must return a sentence that states the result."
            )
        texts.append(text)
        pictures.append(picture)
        used += len(text.encode()) + len(picture)
    if used > budget:
        raise ValueError(
            f"the {len(texts)} states take {used:,} bytes, more than the {budget:,} allowed; "
            "offer fewer values or draw a smaller figure."
        )
    return Explore(
        names=[name.replace("_", " ") for name in choices],
        choices=[[str(value) for value in values] for values in choices.values()],
        texts=texts,
        pictures=pictures,
        start=first,
    )


def _picture(plt) -> str:
    """Return the one figure that was drawn, as a data address with few colours, or nothing."""
    numbers = plt.get_fignums()
    if not numbers:
        return ""
    if len(numbers) > 1:
        raise ValueError(f"{len(numbers)} figures were drawn, but a state shows one; use subplots.")
    from PIL import Image

    buffer = io.BytesIO()
    plt.figure(numbers[0]).savefig(buffer, format="png", dpi=110, bbox_inches="tight")
    small = io.BytesIO()
    # 64 colours are enough for a plot and take a third of the bytes.
    Image.open(buffer).convert("RGB").quantize(64).save(small, format="PNG", optimize=True)
    return "data:image/png;base64," + base64.b64encode(small.getvalue()).decode()
