"""The common parent of all explorers."""

from __future__ import annotations

import anywidget


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
