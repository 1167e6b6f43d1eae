"""Networks, one architecture per file, each written to be read beside its paper."""

from __future__ import annotations

from importlib import import_module

_CLASSES = {
    "AlexNet": "alexnet",
    "AlexNet2012": "alexnet",
    "BasicBlock": "resnet",
    "Bottleneck": "resnet",
    "CifarResNet": "resnet",
    "ClassicLeNet": "lenet",
    "ColourNet": "colour_net",
    "DeepCNN": "deep_cnn",
    "ExplainerVGG": "vgg",
    "GoogLeNet": "googlenet",
    "GoogLeNet2014": "googlenet",
    "LeNet": "lenet",
    "LeNet5": "lenet",
    "Mirrored": "colour_net",
    "NetworkInNetwork": "network_in_network",
    "PreactivationBlock": "resnet",
    "ResNet": "resnet",
    "SimpleCNN": "small",
    "SmallAlexNet": "alexnet",
    "SmallGoogLeNet": "googlenet",
    "SmallResNet": "resnet",
    "SmallVGG": "vgg",
    "TinyVGG": "small",
    "VGG": "vgg",
}

__all__ = [
    "VGG", "AlexNet", "AlexNet2012", "BasicBlock", "Bottleneck", "CifarResNet", "ClassicLeNet", "ColourNet", "DeepCNN",
    "ExplainerVGG", "GoogLeNet", "GoogLeNet2014", "LeNet", "LeNet5", "Mirrored", "NetworkInNetwork",
    "PreactivationBlock", "ResNet", "SimpleCNN", "SmallAlexNet", "SmallGoogLeNet", "SmallResNet", "SmallVGG",
    "TinyVGG",
]  # fmt: skip


def __getattr__(name: str):
    if name in _CLASSES:
        return getattr(import_module(f"{__name__}.{_CLASSES[name]}"), name)
    raise AttributeError(f"utils.models has no {name!r}; it has {', '.join(_CLASSES)}")
