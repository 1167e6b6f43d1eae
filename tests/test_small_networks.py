"""The small networks of chapter "Your first CNN": sizes, counts, and the bias that does nothing."""

from __future__ import annotations

import pytest
import torch

from utils.models.small import ConvBlock, DeepCNN, SimpleCNN, TinyVGG


def count(model):
    return sum(p.numel() for p in model.parameters())


@pytest.mark.parametrize(
    ("model", "parameters"),
    [
        (SimpleCNN(), 206_922),
        (SimpleCNN(3, 32), 268_650),
        (SimpleCNN(widths=(32, 64)), 421_642),
        (SimpleCNN(widths=(32, 64), dropout=0.5), 421_642),
        (TinyVGG(), 19_440),
        (TinyVGG(3, 64), 342_090),
        (DeepCNN(3, 64, bias=True), 262_218),
        (DeepCNN(), 261_834),
    ],
)
def test_parameters(model, parameters):
    assert count(model) == parameters


@pytest.mark.parametrize("size", [4, 7, 28, 33])
@pytest.mark.parametrize("build", [SimpleCNN, TinyVGG])
def test_any_size_and_no_other(build, size):
    model = build(in_channels=2, size=size, classes=5)
    assert model(torch.zeros(3, 2, size, size)).shape == (3, 5)
    with pytest.raises(RuntimeError, match="shapes cannot be multiplied"):
        model(torch.zeros(3, 2, 2 * size, 2 * size))


def test_deep_cnn_takes_every_size():
    model = DeepCNN(1, 4, 3)
    assert [tuple(model(torch.zeros(2, 1, *s)).shape) for s in ((4, 4), (9, 30))] == [(2, 3)] * 2


@pytest.mark.parametrize("size", [3, 28.0])
@pytest.mark.parametrize("build", [SimpleCNN, TinyVGG])
def test_a_size_that_is_too_small_is_named(build, size):
    with pytest.raises(ValueError, match=f"size is {size}, but two poolings need"):
        build(size=size)


def test_the_bias_before_the_norm_does_nothing():
    block, x = ConvBlock(2, 3, bias=True), torch.randn(4, 2, 5, 6)
    before = block(x)
    with torch.no_grad():
        block.conv.bias += 7
    assert torch.allclose(block(x), before, atol=1e-4)
    assert ConvBlock(2, 3).conv.bias is None
