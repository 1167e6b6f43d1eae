"""Networks, one architecture per file, each written to be read beside its paper."""

from __future__ import annotations

from importlib import import_module

_CLASSES = {
    "ClassicLeNet": "lenet",
    "ColourNet": "colour_net",
    "DeepCNN": "deep_cnn",
    "LeNet": "lenet",
    "LeNet5": "lenet",
    "Mirrored": "colour_net",
    "SimpleCNN": "small",
    "SmallResNet": "small_resnet",
    "TinyVGG": "small",
}

__all__ = [
    "ClassicLeNet", "ColourNet", "DeepCNN", "LeNet", "LeNet5", "Mirrored", "SimpleCNN", "SmallResNet", "TinyVGG",
]  # fmt: skip


def __getattr__(name: str):
    if name in _CLASSES:
        return getattr(import_module(f"{__name__}.{_CLASSES[name]}"), name)
    raise AttributeError(f"utils.models has no {name!r}; it has {', '.join(_CLASSES)}")
