"""The formulas of ``utils.geometry`` against PyTorch, on thousands of random cases.

Layers run on PyTorch's meta device: shapes without arithmetic, so that thousands take a second.
"""

from __future__ import annotations

import random

import pytest
import torch
from torch import nn

from utils import geometry

CASES = 2500


def _shape(layer: nn.Module, *size: int) -> tuple[int, ...]:
    layer = layer.to("meta")
    channels = getattr(layer, "in_channels", 1)
    shape = tuple(layer(torch.empty(1, channels, *size, device="meta")).shape[2:])
    if 0 in shape:
        raise ValueError("an empty map counts as refused")
    return shape


def _refuses(call) -> bool:
    """Whether the call raises one of the errors by which bad geometry is refused."""
    try:
        call()
    except (RuntimeError, ValueError):
        return True
    return False


def _draw(rng: random.Random) -> dict[str, tuple[int, int]]:
    """Draw a layer that differs along the two axes."""
    pair = lambda low, high: (rng.randint(low, high), rng.randint(low, high))  # noqa: E731
    return {"kernel_size": pair(1, 7), "stride": pair(1, 5), "padding": pair(0, 4), "dilation": pair(1, 4)}


def test_convolution():
    rng, refused = random.Random(0), 0
    for _ in range(CASES):
        size, layer = (rng.randint(1, 40), rng.randint(1, 40)), _draw(rng)
        arguments = list(zip(size, *layer.values(), strict=True))
        ours = lambda: tuple(geometry.output_size(*a) for a in arguments)  # noqa: E731, B023
        theirs = lambda: _shape(nn.Conv2d(1, 1, **layer), *size)  # noqa: E731, B023
        if _refuses(theirs):
            assert _refuses(ours), (size, layer)
            refused += 1
        else:
            assert ours() == theirs(), (size, layer)
    assert 50 < refused < CASES / 2  # both kinds were met


@pytest.mark.parametrize("kind", [nn.MaxPool2d, nn.AvgPool2d])
def test_pooling(kind):
    rng, refused, odd = random.Random(1), 0, 0
    for _ in range(CASES):
        size, layer = (rng.randint(1, 40), rng.randint(1, 40)), _draw(rng)
        ceil_mode = rng.random() < 0.5
        if kind is nn.AvgPool2d:
            layer["dilation"] = (1, 1)
        arguments = list(zip(size, *layer.values(), strict=True))
        given = {k: v for k, v in layer.items() if kind is nn.MaxPool2d or k != "dilation"}
        ours = lambda: tuple(geometry.output_size(*a, ceil_mode=ceil_mode, pooling=True) for a in arguments)  # noqa: E731, B023
        theirs = lambda: _shape(kind(**given, ceil_mode=ceil_mode), *size)  # noqa: E731, B023
        if any(2 * p > k for p, k in zip(layer["padding"], layer["kernel_size"], strict=True)):
            assert _refuses(ours), (size, layer, ceil_mode)  # PyTorch's limit depends on its version when dilated
            refused += 1
        elif _refuses(theirs):
            assert _refuses(ours), (size, layer, ceil_mode)
            refused += 1
        else:
            assert ours() == theirs(), (size, layer, ceil_mode)
            odd += ceil_mode
    assert 50 < refused < 0.8 * CASES and odd > 200


def test_transposed():
    rng, refused = random.Random(2), 0
    for _ in range(CASES):
        size, layer = (rng.randint(1, 20), rng.randint(1, 20)), _draw(rng)
        extra = (rng.randint(0, 4), rng.randint(0, 4))
        arguments = [(*a, e) for a, e in zip(zip(size, *layer.values(), strict=True), extra, strict=True)]
        ours = lambda: tuple(geometry.transposed_output_size(*a) for a in arguments)  # noqa: E731, B023
        theirs = lambda: _shape(nn.ConvTranspose2d(1, 1, **layer, output_padding=extra), *size)  # noqa: E731, B023
        if _refuses(theirs):
            assert _refuses(ours), (size, layer, extra)
            refused += 1
        else:
            assert ours() == theirs(), (size, layer, extra)
    assert 50 < refused < 0.9 * CASES


@pytest.mark.filterwarnings("ignore:Using padding='same' with even kernel")
def test_same_padding():
    rng = random.Random(3)
    for _ in range(CASES):
        size, kernel, dilation = rng.randint(1, 40), rng.randint(1, 8), rng.randint(1, 4)
        left, right = geometry.same_padding(kernel, dilation)
        x = nn.functional.pad(torch.empty(1, 1, size, device="meta"), (left, right))
        out = nn.Conv1d(1, 1, kernel, dilation=dilation, device="meta")(x)
        assert out.shape[-1] == size == geometry.output_size(size, kernel, 1, "same", dilation)
    # where PyTorch puts the odd pixel
    x, w = torch.arange(1.0, 6)[None, None], torch.tensor([[[1.0, 0, 0, 0]]])
    ours = nn.functional.conv1d(nn.functional.pad(x, geometry.same_padding(4)), w)
    assert torch.equal(ours, nn.functional.conv1d(x, w, padding="same"))


def test_receptive_field_by_gradient():
    """A unit sees the pixels that its gradient reaches."""
    rng = random.Random(4)
    for _ in range(60):
        layers = [(rng.randint(1, 4), rng.randint(1, 3), rng.randint(1, 2)) for _ in range(rng.randint(1, 4))]
        field = geometry.receptive_field(layers)
        net = nn.Sequential(*[nn.Conv1d(1, 1, k, s, dilation=d, bias=False) for k, s, d in layers])
        for p in net.parameters():
            nn.init.ones_(p)
        x = torch.zeros(1, 1, field.size + field.jump, requires_grad=True)
        out = net(x)
        assert out.shape[-1] == 2, layers  # exactly two units fit: neighbours, one jump apart
        first, second = (torch.autograd.grad(out[0, 0, i], x, retain_graph=True)[0][0, 0].nonzero() for i in (0, 1))
        assert int(first.max() - first.min()) + 1 == field.size, layers
        assert int(second.min() - first.min()) == field.jump, layers


def test_known_receptive_fields():
    vgg16 = [block for n in (2, 2, 3, 3, 3) for block in [(3, 1)] * n + [(2, 2)]]
    assert geometry.receptive_field([(3,)] * 3).size == 7
    assert geometry.receptive_field([(5, 1), (2, 2)] * 2).size == 16
    assert geometry.receptive_field(vgg16).size == 212


def test_parameters_and_multiply_adds():
    rng = random.Random(5)
    for _ in range(CASES):
        groups, kernel = rng.randint(1, 4), rng.randint(1, 7)
        i, o, bias = groups * rng.randint(1, 8), groups * rng.randint(1, 8), rng.random() < 0.5
        layer = nn.Conv2d(i, o, kernel, groups=groups, bias=bias, device="meta")
        assert geometry.conv_parameters(i, o, kernel, groups=groups, bias=bias) == sum(
            p.numel() for p in layer.parameters()
        )
        dense = nn.Linear(i, o, bias=bias, device="meta")
        assert geometry.linear_parameters(i, o, bias=bias) == sum(p.numel() for p in dense.parameters())
    assert geometry.conv_multiply_adds(3, 64, 3, 224) == geometry.conv_multiply_adds(3, 64, 3, (224, 224)) == 86_704_128
    assert geometry.linear_parameters(224 * 224 * 3, 1000) == 150_529_000


@pytest.mark.parametrize(
    ("call", "error", "words"),
    [
        (lambda: geometry.output_size(4, 7), ValueError, "covers 7 pixels"),
        (lambda: geometry.output_size(4, 3, dilation=3, padding=1), ValueError, "padded input has only 6"),
        (lambda: geometry.output_size(28, 3, stride=0), ValueError, "stride is 0"),
        (lambda: geometry.output_size(28, 3, stride=-2), ValueError, "stride is -2"),
        (lambda: geometry.output_size(28, 3, padding=-1), ValueError, "padding is -1"),
        (lambda: geometry.output_size("28", 3), TypeError, "size is '28'"),
        (lambda: geometry.output_size(28, 3.0), TypeError, "kernel is 3.0"),
        (lambda: geometry.output_size(28, (3, 3)), TypeError, "once for the height"),
        (lambda: geometry.output_size(28, True), TypeError, "kernel is True"),
        (lambda: geometry.output_size(28, float("nan")), TypeError, "kernel is nan"),
        (lambda: geometry.output_size(28, 3, padding="full"), ValueError, "'full'"),
        (lambda: geometry.output_size(28, 3, stride=2, padding="same"), ValueError, "needs stride 1"),
        (lambda: geometry.output_size(28, 3, ceil_mode=True), ValueError, "pooling=True"),
        (lambda: geometry.output_size(28, 2, padding=2, pooling=True), ValueError, "at most 1"),
        (lambda: geometry.receptive_field([(3,), "3"]), TypeError, "layer 1 is '3'"),
        (lambda: geometry.receptive_field([(3, 0)]), ValueError, "stride of layer 0 is 0"),
        (lambda: geometry.receptive_field([(2.5,)]), TypeError, "kernel of layer 0 is 2.5"),
        (lambda: geometry.receptive_field([()]), TypeError, "layer 0 is ()"),
        (lambda: geometry.conv_parameters(3, 64, 3, groups=2), ValueError, "2 groups do not divide"),
        (lambda: geometry.transposed_output_size(1, 1, padding=3), ValueError, "nothing is left"),
        (lambda: geometry.transposed_output_size(4, 3, output_padding=1), ValueError, "output_padding is 1"),
    ],
)
def test_bad_input_is_named(call, error, words):
    with pytest.raises(error, match=".*") as caught:
        call()
    assert words in str(caught.value)
    assert str(caught.value).count("\n") == 0
