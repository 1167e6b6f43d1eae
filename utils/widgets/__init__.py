"""Explorers: moving figures that compute in the page.

Each explorer is one Python class, which holds the state, and one ES module, which draws and
computes. The same module runs in JupyterLab, VS Code, Colab and, mounted by
``book/static/widgets_loader.js``, in the built page without a kernel.

The module that a class sends is ``base.js`` followed by its own file, so what explorers share is
written once. Besides the default export that anywidget calls, a module exports its arithmetic
by name; the tests compare that with PyTorch.
"""

from __future__ import annotations

from importlib import import_module
from pathlib import Path

_HERE = Path(__file__).parent
# The module of ``explore`` has another name: a module called ``explore`` would hide the function.
_CLASSES = {
    "AugmentExplorer": "augment",
    "ConvolutionExplorer": "convolution",
    "DigitReader": "digit_reader",
    "Explore": "explored",
    "FeatureMapExplorer": "feature_map",
    "GradientExplorer": "gradient",
    "LearningExplorer": "learning",
    "Lens": "lens",
    "NetworkExplorer": "network",
    "OcclusionExplorer": "occlusion",
    "ReceptiveFieldExplorer": "receptive_field",
    "ShiftExplorer": "shift",
    "WindowExplorer": "window",
    "explore": "explored",
    "feature_maps": "feature_map",
    "record": "learning",
}

__all__ = [
    "AugmentExplorer",
    "ConvolutionExplorer",
    "DigitReader",
    "Explore",
    "FeatureMapExplorer",
    "GradientExplorer",
    "LearningExplorer",
    "Lens",
    "NetworkExplorer",
    "OcclusionExplorer",
    "ReceptiveFieldExplorer",
    "ShiftExplorer",
    "WindowExplorer",
    "explore",
    "feature_maps",
    "record",
    "source",
]


def source(*names: str) -> str:
    """Join files of this folder into one text, in the given order."""
    return "\n".join((_HERE / name).read_text(encoding="utf-8") for name in names)


def __getattr__(name: str):
    if name in _CLASSES:
        return getattr(import_module(f"{__name__}.{_CLASSES[name]}"), name)
    raise AttributeError(f"utils.widgets has no {name!r}; it has {', '.join(_CLASSES)}")
