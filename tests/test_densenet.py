"""DenseNets: the layers and channels of table 1, what a block keeps, the small variant, bad arguments and images."""

from __future__ import annotations

from functools import partial

import pytest
import torch

from utils import architecture, models

ON_PAPER = partial(torch.device, "meta")  # neither memory nor time


def test_densenet_121_has_the_layers_of_its_name_and_the_channels_of_table_1():
    with ON_PAPER():
        steps = architecture.trace(models.DenseNet(121), (3, 224, 224))
    assert architecture.totals(steps)[0] == 7_978_856
    assert sum(step.multiply_adds > 0 for step in steps) == 121
    shapes = {
        step.name.split(".")[1]: step.shape for step in steps if step.name.startswith("stages")
    }  # the last of each
    assert list(shapes.values()) == [
        (256, 56, 56), (128, 28, 28), (512, 28, 28), (256, 14, 14), (1024, 14, 14), (512, 7, 7), (1024, 7, 7),
    ]  # fmt: skip


def test_a_dense_block_keeps_all_maps_and_reads_them_in_front_of_norm_and_relu():
    torch.manual_seed(0)
    block = models.DenseBlock(5, 3, 4).double().eval()
    x = torch.randn(2, 5, 6, 7).double()
    y = block(x)
    assert y.shape == (2, 17, 6, 7) and torch.equal(y[:, :5], x)
    for i, layer in enumerate(block):
        assert layer.conv1.weight.shape[:2] == (12, 5 + 3 * i)
        assert torch.equal(y[:, 5 + 3 * i : 8 + 3 * i], layer(y[:, : 5 + 3 * i]))
    assert models.Transition(17, 8).double()(y).shape == (2, 8, 3, 3)


def test_small_variant_of_densenet():
    model = models.SmallDenseNet()
    assert architecture.totals(architecture.trace(model, (3, 32, 32))) == (45_690, 11_993_808)
    model = models.SmallDenseNet(7, 2)
    for size in ((32, 32), (28, 21), (4, 9)):
        assert model.train()(torch.randn(2, 2, *size)).shape == model.eval()(torch.randn(2, 2, *size)).shape == (2, 7)


@pytest.mark.parametrize(
    ("build", "said"),
    [
        (partial(models.DenseNet, 100), "depth is 100, but the table of DenseNet has 121, 161, 169, 201"),
        (partial(models.DenseNet, 121, classes=0), "classes is 0"),
        (partial(models.SmallDenseNet, 10, 1.5), "in_channels is 1.5"),
    ],
)
def test_a_densenet_that_cannot_be_built_is_named(build, said):
    with pytest.raises(ValueError, match=said):
        build()


@pytest.mark.parametrize(
    ("shape", "said"),
    [
        ((2, 1, 64, 64), "DenseNet takes images .* in_channels=1"),
        ((2, 3, 28, 64), "sides of at least 29"),
        ((1, 3, 60, 33), "a single image of 60×33 in training mode"),
    ],
)
def test_images_that_do_not_fit_densenet_are_named(shape, said):
    with ON_PAPER():
        model, images = models.DenseNet(121), torch.zeros(shape)
    with pytest.raises(ValueError, match=said):
        model(images)


def test_the_smallest_images_fit():
    with ON_PAPER():
        model, small = models.DenseNet(121), models.SmallDenseNet()
        assert [tuple(model(torch.zeros(n, 3, 29, w)).shape) for n, w in ((2, 29), (1, 61))] == [(2, 1000), (1, 1000)]
        assert small.eval()(torch.zeros(1, 3, 4, 4)).shape == (1, 10)
    with pytest.raises(ValueError, match="a single image of 7×7 in training mode"):
        models.SmallDenseNet()(torch.zeros(1, 3, 7, 7))
    with pytest.raises(ValueError, match="SmallDenseNet takes images .* sides of at least 4"):
        models.SmallDenseNet()(torch.zeros(2, 3, 3, 8))
