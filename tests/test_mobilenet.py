"""MobileNet: the counts of the papers, the width multiplier, the small variant, bad arguments and images."""

from __future__ import annotations

from functools import partial

import pytest
import torch
from torch import nn
from torchvision import models as reference

from paper import costs_of
from utils import architecture, models

V1, V2, V3 = models.MobileNetV1, models.MobileNetV2, models.MobileNetV3


@pytest.mark.parametrize(
    "build, side, parameters, millions",
    [
        (V1, 224, 4_231_976, 569),  # tables 6 and 7 of 2017; for 160 pixels it has 290
        (partial(V1, 0.75), 224, 2_585_560, 325),
        (partial(V1, 0.5), 224, 1_331_592, 149),
        (partial(V1, 0.25), 224, 470_072, 41),
        (V1, 192, 4_231_976, 418),
        (V1, 160, 4_231_976, 291),
        (V1, 128, 4_231_976, 186),
        (V3, 224, 5_483_032, 217),
        (partial(V3, "small"), 224, 2_542_856, 57),
    ],
)
def test_mobilenets_cost_what_is_said(build, side, parameters, millions):
    found, work = costs_of(build, side)
    assert (found, round(work / 1e6)) == (parameters, millions)


@pytest.mark.parametrize("width", [0.35, 1.4])
def test_widths_equal_those_of_torchvision(width):
    for ours, theirs in (
        (V2, reference.mobilenet_v2),
        (V3, reference.mobilenet_v3_large),
        (partial(V3, "small"), reference.mobilenet_v3_small),
    ):
        assert costs_of(partial(ours, width=width)) == costs_of(partial(theirs, width_mult=width))


def test_third_generation_has_the_batch_norm_of_torchvision():
    with torch.device("meta"):
        nets = V3(), reference.mobilenet_v3_large()
    norms = [{(m.eps, m.momentum) for m in net.modules() if isinstance(m, nn.BatchNorm2d)} for net in nets]
    assert norms[0] == norms[1] == {(1e-3, 0.01)}


def test_small_mobilenet_adds_where_shapes_fit_and_is_linear_at_narrow_ends():
    model = models.SmallMobileNet(classes=7, in_channels=1)
    assert model(torch.randn(2, 1, 32, 32)).shape == model(torch.randn(2, 1, 20, 33)).shape == (2, 7)
    steps = architecture.trace(models.SmallMobileNet(), (3, 32, 32))
    assert architecture.totals(steps) == (162_906, 9_514_112)
    assert [s.shape for s in steps if s.label == "+"] == [(32, 16, 16), (48, 8, 8), (80, 4, 4)]
    blocks = [m for m in model.modules() if isinstance(m, models.InvertedResidual)]
    assert len(blocks) == 7 and all(len(block.branch[-1]) == 2 for block in blocks)


@pytest.mark.parametrize(
    "build, shape, training, text",
    [
        (V1, (2, 1, 64, 64), False, "MobileNetV1 takes images (N, 3, H, W), but these have 1 channels"),
        (V2, (1, 3, 32, 32), True, "MobileNetV2 was given a single image of 32×32 in training mode"),
        (V3, (3, 64, 64), False, "MobileNetV3 takes images (N, 3, H, W), but this is one image"),
        (models.SmallMobileNet, (1, 3, 8, 8), True, "give at least two images"),
        (models.SmallMobileNet, (2, 32, 32, 3), False, "permute(0, 3, 1, 2)"),
    ],
)
def test_images_that_mobilenets_do_not_take_are_named(build, shape, training, text):
    with pytest.raises(ValueError) as caught:
        build().train(training)(torch.zeros(shape))
    assert text in str(caught.value)


@pytest.mark.parametrize(
    "build, text",
    [
        (lambda: V1(classes=0), "classes is 0"),
        (lambda: V2(in_channels=2.0), "in_channels is 2.0"),
        (lambda: V2(width=0), "width is 0, but it must be a number above 0"),
        (lambda: V3(width="wide"), "width is 'wide'"),
        (lambda: V3("medium"), "variant is 'medium', but it must be 'large' or 'small'"),
        (lambda: models.SmallMobileNet(classes=True), "classes is True"),
    ],
)
def test_arguments_of_mobilenets_that_make_no_sense_are_named(build, text):
    with pytest.raises(ValueError) as caught:
        build()
    assert text in str(caught.value)
