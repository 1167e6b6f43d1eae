"""Our networks against torchvision's: the same parameters, and the same logits when the weights are copied."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import pytest
import torch
from torch import nn
from torchvision import models as reference

from paper import on_paper
from utils import architecture, models
from utils.models import pretrained

# Compared in numbers; of the larger ones the costs and shapes are enough, since their blocks are the same.
SIDES = {
    "alexnet": 64, "googlenet": 64, "mobilenet_v2": 64, "mobilenet_v3_large": 64, "mobilenet_v3_small": 64,
    "vit": 224,
}  # fmt: skip
LARGER = [f"efficientnet_b{n}" for n in range(1, 8)] + ["convnext_small", "convnext_base", "convnext_large", "vit_b_16"]
# Name → ours and torchvision's. Each builder takes no argument.
PAIRS: dict[str, tuple[Callable[[], nn.Module], Callable[[], nn.Module]]] = {
    name: (build, partial(reference.get_model, name, weights=None))
    for name, build in pretrained.NETWORKS.items()
    if name != pretrained.LITE  # which torchvision does not have; see test_pretrained.py
}
PAIRS["googlenet"] = (models.GoogLeNet, partial(reference.googlenet, init_weights=False, aux_logits=False))
# A narrow ViT of two blocks on 49 patches, in the place of the whole ViT-B/16.
PAIRS["vit"] = (
    partial(models.VisionTransformer, 224, 32, 2, 48, 4),
    partial(reference.VisionTransformer, 224, 32, 2, 4, 48, 192),
)


def randomised(model: nn.Module) -> nn.Module:
    """Weights large enough that logits differ from image to image, whatever the default was.

    The model comes without numbers, since to draw 140 million and to replace them takes seconds.
    """
    model = model.to_empty(device="cpu")
    generator = torch.Generator().manual_seed(0)
    for name, parameter in model.named_parameters():
        if parameter.dim() in (2, 4):
            parameter.data.normal_(0, (2 / parameter[0].numel()) ** 0.5, generator=generator)
        else:  # norms as new, layer scale 1, biases and positions small
            bias = "bias" in name or "position" in name or "pos_emb" in name
            parameter.data.normal_(0, 0.1, generator=generator).add_(0 if bias else 1)
    for layer in model.modules():
        if isinstance(layer, nn.BatchNorm2d):
            layer.reset_running_stats()
            layer.momentum = None  # one pass sets the statistics fully, so that nothing dies out on a long way
    return model


def copied(source: nn.Module, target: nn.Module) -> None:
    """Copy the numbers of one network into another, in the order of their layers, whatever the layers are called."""
    pairs = list(zip(source.state_dict().items(), target.state_dict().items(), strict=True))
    for (name, value), (other, place) in pairs:
        assert value.shape == place.shape, (name, other)
        place.copy_(value)


@pytest.mark.parametrize("name", [name for name in PAIRS if name not in LARGER])
def test_equals_torchvision(name):
    ours, theirs = map(on_paper, PAIRS[name])
    theirs, ours = randomised(theirs).double(), ours.to_empty(device="cpu").double()
    side = SIDES.get(name, 32)
    images = torch.randn(4, 3, side, side, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        theirs.train()(images)  # sets the statistics of the batch norms
        copied(theirs, ours)
        expected, found = theirs.eval()(images), ours.eval()(images)
    assert expected.std(0).mean() > 1e-2
    difference = ((found - expected).abs().max() / expected.abs().max()).item()
    print(f"{name}: {sum(p.numel() for p in ours.parameters()):,} parameters, relative difference {difference:.1e}")
    assert difference < 1e-8


@pytest.mark.parametrize("name", PAIRS)
def test_steps_and_costs_equal_those_of_torchvision(name):
    ours, theirs = map(on_paper, PAIRS[name])
    steps, expected = (architecture.trace(model, (3, 224, 224)) for model in (ours, theirs))
    assert architecture.totals(steps) == architecture.totals(expected)
    assert architecture.totals(steps)[0] == sum(p.numel() for p in theirs.parameters())
    # An attention is one step there, its layers and products are several here.
    shapes = [[s.shape for s in some if s.multiply_adds and "attention" not in s.name] for some in (steps, expected)]
    assert shapes[0] == shapes[1]
    state = [[value.shape for value in model.state_dict().values()] for model in (ours, theirs)]
    assert state[0] == state[1]
