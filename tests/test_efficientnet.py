"""EfficientNets: the scaled variants, Lite0 and its padding, the small variant, bad arguments and images."""

from __future__ import annotations

from functools import partial

import pytest
import torch
from torch import nn
from torchvision import models as reference

from paper import costs_of
from utils import models
from utils.models.efficientnet import SMALL_TABLE, TABLE_1, VARIANTS, SameConv2d, scaled


@pytest.mark.parametrize("variant", VARIANTS)
def test_weights_of_every_variant_have_the_shapes_of_torchvision(variant):
    with torch.device("meta"):
        ours, theirs = models.EfficientNet(variant), getattr(reference, f"efficientnet_{variant}")(weights=None)
    shapes = [[tuple(value.shape) for value in model.state_dict().values()] for model in (ours, theirs)]
    assert shapes[0] == shapes[1]
    norms = [{(n.eps, n.momentum) for n in m.modules() if isinstance(n, nn.BatchNorm2d)} for m in (ours, theirs)]
    assert norms[0] == norms[1]
    assert ours.head[0].p == theirs.classifier[0].p
    rates = [ours.stages[-1][-1].drop.rate, theirs.features[-2][-1].stochastic_depth.p]
    assert rates[0] == pytest.approx(rates[1])
    assert rates[0] > 0


def test_costs_of_b0_and_b7_and_lite():
    assert costs_of(models.EfficientNet, 224) == (5_288_548, 385_814_752)
    assert costs_of(partial(models.EfficientNet, depth=3.1, width=2.0), 600) == (66_347_960, 37_745_884_192)  # B7
    assert costs_of(models.EfficientNetLite, 224) == (4_652_008, 385_187_552)


def test_table_is_scaled_up_in_blocks_and_by_eights_in_channels():
    assert scaled(TABLE_1, 1.0, 1.0) == list(TABLE_1)
    assert scaled(TABLE_1[:3], 1.1, 1.1) == [(1, 3, 1, 16, 2), (6, 3, 2, 24, 3), (6, 5, 2, 48, 3)]


@pytest.mark.parametrize("side", [(7, 9), (8, 8), (1, 5), (224, 225)])
@pytest.mark.parametrize(("kernel", "stride"), [(1, 1), (3, 1), (3, 2), (5, 2)])
def test_padding_of_tensorflow(side, kernel, stride):
    images, conv = torch.randn(1, 2, *side), SameConv2d(2, 3, kernel, stride)
    y = conv(images)
    assert y.shape[2:] == tuple(-(-n // stride) for n in side)
    if stride == 1:
        assert torch.allclose(y, nn.functional.conv2d(images, conv.weight, conv.bias, padding="same"), atol=1e-5)
    # An even side at stride 2 is padded to the right and below only: the first window starts at the first pixels.
    elif kernel == 3 and side == (8, 8):
        assert torch.allclose(
            y[..., 0, 0], nn.functional.conv2d(images[..., :3, :3], conv.weight, conv.bias)[..., 0, 0]
        )


def test_lite_has_neither_gates_nor_silu():
    with torch.device("meta"):
        kinds = {type(module).__name__ for module in models.EfficientNetLite().modules()}
    assert "ReLU6" in kinds
    assert not kinds & {"SqueezeExcitation", "SiLU", "Sigmoid"}


def test_small_variant():
    assert costs_of(models.SmallEfficientNet, 32) == (191_440, 9_541_504)
    assert costs_of(partial(models.SmallEfficientNet, depth=2.0), 32)[0] > 300_000
    model = models.SmallEfficientNet(classes=7, in_channels=1)
    assert sum(len(stage) for stage in model.stages) == sum(row[-1] for row in SMALL_TABLE) == 7
    assert model(torch.randn(2, 1, 9, 12)).shape == (2, 7)
    assert model.eval()(torch.randn(1, 1, 32, 32)).shape == (1, 7)


def test_a_block_adds_its_input_only_where_shapes_agree_and_drops_its_branch_in_training():
    block, images = models.MBConv(8, 8, rate=0.5).double(), torch.randn(64, 8, 4, 4).double()
    kept = ~(block(images) == images).flatten(1).all(1)
    assert 10 < kept.sum() < 54
    block.eval()
    assert torch.equal(block(images), images + block.branch(images))
    assert not models.MBConv(8, 8, stride=2).adds
    assert not models.MBConv(8, 16).adds


@pytest.mark.parametrize(
    ("build", "said"),
    [
        (partial(models.EfficientNet, "b8"), "variant is 'b8', but EfficientNet has b0, b1"),
        (partial(models.EfficientNet, classes=0), "classes is 0"),
        (partial(models.EfficientNet, width=-1), "width is -1, but it must be a factor above 0"),
        (partial(models.EfficientNetLite, 2.5), r"classes is 2\.5"),
        (partial(models.SmallEfficientNet, depth=0), "depth is 0, but it must be a factor above 0"),
        (lambda: models.EfficientNet()(torch.zeros(1, 3, 20, 20)), "single image of 20×20 in training mode"),
        (lambda: models.EfficientNetLite()(torch.zeros(2, 1, 32, 32)), "these have 1 channels"),
        (lambda: models.SmallEfficientNet()(torch.zeros(3, 32, 32)), "this is one image"),
    ],
)
def test_what_does_not_fit_is_said(build, said):
    with pytest.raises(ValueError, match=said):
        build()
