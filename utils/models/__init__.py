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
    "ConvNeXt": "convnext",
    "ConvNeXtBlock": "convnext",
    "DeepCNN": "deep_cnn",
    "DenseBlock": "densenet",
    "DenseLayer": "densenet",
    "DenseNet": "densenet",
    "EfficientNet": "efficientnet",
    "EfficientNetLite": "efficientnet",
    "ExplainerVGG": "vgg",
    "GoogLeNet": "googlenet",
    "GoogLeNet2014": "googlenet",
    "InvertedResidual": "mobilenet",
    "LeNet": "lenet",
    "LeNet5": "lenet",
    "MBConv": "efficientnet",
    "Mirrored": "colour_net",
    "MobileNetV1": "mobilenet",
    "MobileNetV2": "mobilenet",
    "MobileNetV3": "mobilenet",
    "NetworkInNetwork": "network_in_network",
    "PreactivationBlock": "resnet",
    "ResNet": "resnet",
    "Screener": "screener",
    "SimpleCNN": "small",
    "SmallAlexNet": "alexnet",
    "SmallConvNeXt": "convnext",
    "SmallDenseNet": "densenet",
    "SmallEfficientNet": "efficientnet",
    "SmallGoogLeNet": "googlenet",
    "SmallMobileNet": "mobilenet",
    "SmallResNet": "resnet",
    "SmallVGG": "vgg",
    "SmallViT": "vision_transformer",
    "TinyVGG": "small",
    "Transition": "densenet",
    "VGG": "vgg",
    "VisionTransformer": "vision_transformer",
}

__all__ = list(_CLASSES)


def __getattr__(name: str):
    if name in _CLASSES:
        return getattr(import_module(f"{__name__}.{_CLASSES[name]}"), name)
    raise AttributeError(f"utils.models has no {name!r}; it has {', '.join(_CLASSES)}")
