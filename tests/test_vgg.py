"""VGG: the numbers of the papers, small variants, bad arguments and images."""

from __future__ import annotations

import math
import re

import pytest
import torch
from torch import nn

from utils import architecture, models

# VGG


def convolutions(model: nn.Module) -> list[tuple[int, int]]:
    """Return output channels and side of the kernel of every convolution."""
    return [(m.out_channels, m.kernel_size[0]) for m in model.modules() if isinstance(m, nn.Conv2d)]


@pytest.mark.parametrize(
    ("column", "layers", "millions", "field"),
    [("A", 11, 133, 150), ("B", 13, 133, 156), ("C", 16, 134, 156), ("D", 16, 138, 212), ("E", 19, 144, 268)],
)
def test_columns_of_vgg_have_the_parameters_of_the_papers_table_2(column, layers, millions, field):
    with torch.device("meta"):
        model = models.VGG(column)
    weighted = [m for m in model.modules() if isinstance(m, (nn.Conv2d, nn.Linear))]
    steps = architecture.trace(model, (3, 224, 224))
    parameters, _ = architecture.totals(steps)
    pool5 = [s for s in steps if s.label.startswith("max pool")][-1]
    assert len(weighted) == layers
    assert round(parameters / 1e6) == millions
    assert pool5.shape == (512, 7, 7)
    assert pool5.field == field


def test_vgg_16_has_the_numbers_that_the_chapter_names():
    with torch.device("meta"):
        model = models.VGG(16)
    steps = architecture.trace(model, (3, 224, 224))
    assert architecture.totals(steps) == (138_357_544, 15_470_264_320)
    assert sum(p.numel() for p in model.head.parameters()) == 123_642_856
    outputs = sum(math.prod(s.shape) for s in steps if s.multiply_adds)
    assert round(4 * outputs / 2**20) == 52
    assert len(convolutions(model)) == 13
    assert {kernel for _, kernel in convolutions(model)} == {3}


def test_column_c_of_vgg_ends_three_blocks_with_a_1x1_convolution():
    with torch.device("meta"):
        assert [c for c in convolutions(models.VGG("C")) if c[1] == 1] == [(256, 1), (512, 1), (512, 1)]
        assert convolutions(models.VGG("D")) == convolutions(models.VGG(16))


def test_vgg_starts_with_the_weights_that_torchvision_draws():
    layers = [m for m in models.VGG(16, classes=10).modules() if isinstance(m, (nn.Conv2d, nn.Linear))]
    assert all(layer.bias.eq(0).all() for layer in layers)
    for layer in layers[1:13]:
        deviation = (2 / (9 * layer.out_channels)) ** 0.5  # He et al. (2015), by the number of outputs
        assert layer.weight.std().item() == pytest.approx(deviation, rel=0.02)
    assert layers[13].weight.std().item() == pytest.approx(0.01, rel=0.02)


def test_small_vgg():
    model = models.SmallVGG()
    steps = architecture.trace(model, (3, 32, 32))
    assert architecture.totals(steps) == (205_018, 10_011_904)
    assert [s.shape for s in steps if s.label.startswith("max pool")] == [(16, 16, 16), (32, 8, 8), (64, 4, 4)]
    assert models.SmallVGG(classes=7, in_channels=1)(torch.randn(2, 1, 32, 32)).shape == (2, 7)
    assert model(torch.randn(1, 3, 32, 32)).shape == (1, 10)  # one image in training mode


def test_the_two_tiny_vggs_are_two_networks():
    ours, theirs = models.ExplainerVGG(), models.TinyVGG()
    sizes = [architecture.totals(architecture.trace(m, (3, s, s)))[0] for m, s in ((ours, 64), (theirs, 32))]
    assert sizes == [19_920, 19_440]
    assert sum(p.numel() for p in models.TinyVGG(hidden=64).parameters()) == 342_090
    shapes = [s.shape for s in architecture.trace(ours, (3, 64, 64)) if len(s.shape) == 3 and not s.small]
    assert [shape[1] for shape in shapes] == [62, 60, 30, 28, 26, 13]
    assert {shape[0] for shape in shapes} == {10}
    assert ours(torch.randn(2, 3, 64, 64)).shape == (2, 10)
    assert models.ExplainerVGG(classes=3, in_channels=1, width=4)(torch.randn(2, 1, 64, 64)).shape == (2, 3)


@pytest.mark.parametrize(
    ("build", "words"),
    [
        (lambda: models.VGG(12), "depth is 12, but VGG has the depths and columns 11, 13, 16, 19, 'A', 'B'"),
        (lambda: models.VGG("F"), "depth is 'F'"),
        (lambda: models.VGG([64, "M"]), "depth is [64, 'M']"),
        (lambda: models.VGG(classes=0), "classes is 0, but it must be a whole number of at least 1."),
        (lambda: models.VGG(classes=2.5), "classes is 2.5"),
        (lambda: models.SmallVGG(classes=True), "classes is True"),
        (lambda: models.SmallVGG(in_channels=0), "in_channels is 0"),
        (lambda: models.ExplainerVGG(width=-1), "width is -1"),
    ],
)
def test_vgg_says_what_it_cannot_build(build, words):
    with torch.device("meta"), pytest.raises(ValueError, match=re.escape(words)):
        build()


@pytest.mark.parametrize(
    ("build", "shape", "words"),
    [
        (
            models.VGG,
            (2, 3, 31, 64),
            "VGG takes images (N, 3, H, W) with sides of at least 32, but these measure 31×64",
        ),
        (models.VGG, (2, 1, 64, 64), "repeat the grey channel"),
        (models.VGG, (3, 64, 64), "add the batch"),
        (models.SmallVGG, (2, 3, 64, 64), "resize them to 32×32"),
        (models.ExplainerVGG, (2, 3, 32, 32), "resize them to 64×64"),
        (models.ExplainerVGG, (2, 64, 64, 3), "the channels stand last"),
    ],
)
def test_vgg_says_which_images_it_takes(build, shape, words):
    with torch.device("meta"), pytest.raises(ValueError, match=re.escape(words)):
        build()(torch.zeros(shape))
