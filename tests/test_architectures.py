"""Our networks against torchvision's: the same parameters, and the same logits when the weights are copied."""

from __future__ import annotations

from functools import partial

import pytest
import torch
from torch import nn
from torchvision import models as reference

from utils import architecture, models

# Name, ours, torchvision's, side of the test images: the smallest that fits. Each builder takes no argument.
PAIRS: list[tuple] = [
    ("alexnet", models.AlexNet, reference.alexnet, 64),
    ("googlenet", models.GoogLeNet, lambda: reference.googlenet(aux_logits=False, init_weights=False), 64),
]
PAIRS += [
    (f"resnet{depth}", partial(models.ResNet, depth), partial(getattr(reference, f"resnet{depth}"), weights=None), 32)
    for depth in (18, 34, 50, 101, 152)
]


def vgg(depth: int, norm: bool) -> nn.Module:
    """Ours with weights that are still to be set: to draw 140 million and throw them away would take seconds."""
    with torch.device("meta"):
        model = models.VGG(depth, norm)
    return model.to_empty(device=torch.get_default_device())


for depth in (11, 13, 16, 19):
    for norm in (False, True):
        name = f"vgg{depth}{'_bn' if norm else ''}"
        theirs = partial(getattr(reference, name), weights=None, init_weights=False)
        PAIRS.append((name, partial(vgg, depth, norm), theirs, 32))


def randomised(model: nn.Module) -> nn.Module:
    """Weights large enough that logits differ from image to image, whatever the default was."""
    generator = torch.Generator().manual_seed(0)
    for layer in model.modules():
        if isinstance(layer, (nn.Conv2d, nn.Linear)):
            fan = layer.weight[0].numel()
            layer.weight.data.normal_(0, (2 / fan) ** 0.5, generator=generator)
            if layer.bias is not None:
                layer.bias.data.normal_(0, 0.1, generator=generator)
    return model


def copied(source: nn.Module, target: nn.Module) -> None:
    """Copy the numbers of one network into another, in the order of their layers, whatever the layers are called."""
    pairs = list(zip(source.state_dict().items(), target.state_dict().items(), strict=True))
    for (name, value), (other, place) in pairs:
        assert value.shape == place.shape, (name, other)
        place.copy_(value)


@pytest.mark.parametrize("name, ours, theirs, side", PAIRS, ids=[pair[0] for pair in PAIRS])
def test_equals_torchvision(name, ours, theirs, side):
    theirs, ours = randomised(theirs()).double(), ours().double()
    assert sum(p.numel() for p in ours.parameters()) == sum(p.numel() for p in theirs.parameters())
    images = torch.randn(4, 3, side, side, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        theirs.train()(images)  # sets the statistics of the batch norms
        copied(theirs, ours)
        expected, found = theirs.eval()(images), ours.eval()(images)
    assert expected.std(0).mean() > 1e-2
    difference = ((found - expected).abs().max() / expected.abs().max()).item()
    print(f"{name}: {sum(p.numel() for p in ours.parameters()):,} parameters, relative difference {difference:.1e}")
    assert difference < 1e-8


@pytest.mark.parametrize("name, ours, theirs, side", PAIRS, ids=[pair[0] for pair in PAIRS])
def test_steps_and_costs_equal_those_of_torchvision(name, ours, theirs, side):
    with torch.device("meta"):
        steps, expected = (architecture.trace(build(), (3, 224, 224)) for build in (ours, theirs))
    assert architecture.totals(steps) == architecture.totals(expected)
    assert [s.shape for s in steps if s.multiply_adds] == [s.shape for s in expected if s.multiply_adds]
