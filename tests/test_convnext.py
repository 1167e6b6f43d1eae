"""ConvNeXt: its sizes, its parts, the steps of its roadmap, the small variant, bad arguments and images."""

from __future__ import annotations

from functools import partial

import pytest
import torch
from torch import nn

from paper import costs_of, steps_of
from utils import architecture, models
from utils.models.convnext import ROADMAP, LayerNorm2d, Modernised


@pytest.mark.parametrize(
    ("variant", "parameters", "work", "depth"),  # section 3; torchvision's weights name the same parameters
    [
        ("tiny", 28_589_128, 4_455_531_264, 18),
        ("small", 50_223_688, 8_683_712_256, 36),
        ("base", 88_591_464, 15_354_729_472, 36),
        ("large", 197_767_336, 34_361_433_600, 36),
    ],
)
def test_convnext_has_the_size_of_its_name(variant, parameters, work, depth):
    steps = steps_of(partial(models.ConvNeXt, variant))
    assert architecture.totals(steps) == (parameters, work)
    assert sum(s.label == "+" for s in steps) == depth


def test_stochastic_depth_grows_linearly_to_the_rate_of_the_variant():
    with torch.device("meta"):
        model = models.ConvNeXt("small")
    rates = [block.drop.rate for block in model.modules() if isinstance(block, models.ConvNeXtBlock)]
    assert rates == pytest.approx([0.4 * i / 35 for i in range(36)])


def test_layer_norm_over_channels_is_pytorchs_group_norm_of_one_pixel():
    torch.manual_seed(0)
    norm = LayerNorm2d(5).double()
    nn.init.normal_(norm.weight)
    nn.init.normal_(norm.bias)
    x = torch.randn(2, 5, 3, 4).double()
    pixels = x.permute(0, 2, 3, 1).reshape(-1, 5)
    expected = nn.functional.group_norm(pixels, 1, norm.weight, norm.bias, 1e-6).reshape(2, 3, 4, 5)
    assert torch.allclose(norm(x), expected.permute(0, 3, 1, 2), rtol=0, atol=1e-12)


def test_block_starts_as_nearly_the_identity():
    torch.manual_seed(0)
    block, x = models.ConvNeXtBlock(8), torch.randn(2, 8, 9, 7)
    assert (block(x) - x).abs().max() < 1e-5
    assert not torch.equal(models.ConvNeXtBlock(8, initial=1.0)(x), x)


@pytest.mark.parametrize("step", ROADMAP)
def test_roadmap_costs_what_table_10_says(step):
    printed = dict(zip(ROADMAP, (4.09, 4.53, 4.42, 2.35, 5.27, 4.64, 4.07, *[4.15] * 4), strict=False))
    parameters, work = costs_of(partial(Modernised, step))
    if step in printed:
        assert abs(work / 1e9 - printed[step]) <= 0.006
    else:  # the table has 4.46 and 4.49 in its last two rows, figure 2 has 4.2 and 4.5
        assert round(work / 1e9, 1) == {"layer norm": 4.1, "separate downsampling": 4.5}[step]
    if step == "ResNet-50":
        assert (parameters, work) == costs_of(partial(models.ResNet, 50))


def test_roadmap_ends_at_convnext_without_layer_scale():
    with torch.device("meta"):
        last, full = Modernised("separate downsampling"), models.ConvNeXt()
    scales = sum(block.scale.numel() for block in full.modules() if isinstance(block, models.ConvNeXtBlock))
    assert scales == 6624
    found, expected = (architecture.totals(architecture.trace(m, (3, 224, 224))) for m in (last, full))
    assert found == (expected[0] - scales, expected[1])


def test_small_variant_of_convnext(learned):
    torch.manual_seed(0)
    parameters, work = architecture.totals(architecture.trace(models.SmallConvNeXt(), (3, 32, 32)))
    assert (parameters, work) == (264_874, 10_439_936)
    model = models.SmallConvNeXt(classes=7, in_channels=1)
    assert model(torch.randn(1, 1, 8, 11)).shape == (1, 7)  # a batch of one, in training mode, too
    labels, images = torch.arange(16) % 4, torch.randn(16, 1, 16, 16)
    assert learned(model, images, labels, steps=20) < 0.1


@pytest.mark.parametrize(
    ("build", "said"),
    [
        (partial(models.ConvNeXt, "nano"), "variant is 'nano', but ConvNeXt has tiny, small, base, large"),
        (partial(models.ConvNeXt, classes=0), "classes is 0"),
        (partial(models.SmallConvNeXt, in_channels=1.5), "in_channels is 1.5"),
        (partial(models.ConvNeXtBlock, 8, kernel=4), "kernel is 4, but .* odd"),
        (partial(Modernised, "swin"), "step is 'swin', but the roadmap has ResNet-50, stage ratio"),
    ],
)
def test_a_convnext_that_cannot_be_built_is_named(build, said):
    with pytest.raises(ValueError, match=said):
        build()


@pytest.mark.parametrize(
    ("build", "shape", "said"),
    [
        (models.ConvNeXt, (2, 3, 31, 64), "ConvNeXt takes images .* at least 32"),
        (models.SmallConvNeXt, (2, 3, 7, 32), "SmallConvNeXt takes images .* at least 8"),
        (models.SmallConvNeXt, (2, 32, 32, 3), "the channels stand last"),
        (partial(Modernised, "GELU"), (3, 64, 64), "add the batch"),
    ],
)
def test_images_that_do_not_fit_a_convnext_are_named(build, shape, said):
    with torch.device("meta"):
        model, images = build(), torch.zeros(shape)
    with pytest.raises(ValueError, match=said):
        model(images)
