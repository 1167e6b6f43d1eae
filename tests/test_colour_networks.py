"""The networks of the CIFAR-10 project: sizes, counts, the whitening stem, the identity start, flip at test."""

from __future__ import annotations

import pytest
import torch
from torch.nn import functional as F

from utils.models import ColourNet, Mirrored, SmallResNet

PLAIN = {"residual": False, "whitened": False}


def count(model):
    return sum(p.numel() for p in model.parameters())


def test_parameters():
    assert count(SmallResNet()) == 2_777_674
    # The plain one: 9 · (3·64 + 64² + 64·128 + 128² + 128·256 + 256²) weights, 896 biases, 2,560 in the head.
    assert count(ColourNet(norm=False, **PLAIN)) == 1_144_512 + 896 + 2560
    assert count(ColourNet(**PLAIN)) == count(ColourNet(norm=False, **PLAIN)) + 896
    assert count(ColourNet(whitened=False)) == count(ColourNet(**PLAIN))
    # 21 more input channels for 64 filters of 3×3, and 24 filters of 2×2 with biases.
    assert count(ColourNet()) == count(ColourNet(**PLAIN)) + 9 * 21 * 64 + 24 * 13


@pytest.mark.parametrize("size", [(9, 9), (32, 32), (16, 33)])
@pytest.mark.parametrize("parts", [{"norm": False, **PLAIN}, PLAIN, {"whitened": False}, {}])
def test_shapes(parts, size):
    model = ColourNet(7, (4, 8, 12), **parts).eval()
    assert model(torch.rand(2, 3, *size)).shape == (2, 7)


def test_small_resnet_takes_every_size():
    model = SmallResNet(3).eval()
    assert [tuple(model(torch.rand(2, 3, *size)).shape) for size in ((8, 8), (33, 20))] == [(2, 3)] * 2


def test_whitening_makes_outputs_uncorrelated_and_equally_strong():
    torch.manual_seed(0)
    # Neighbouring pixels and channels of real images are alike; so are these.
    images = F.avg_pool2d(torch.randn(50, 1, 18, 18), 3, 1) + 0.3 * torch.randn(50, 3, 16, 16) + 1
    model = ColourNet(widths=(4, 8))
    model.whiten(images, epsilon=0.0)
    outputs = model.stem(images).detach().transpose(0, 1).flatten(1)
    assert torch.allclose(outputs[:12].cov(), torch.eye(12), atol=1e-3)
    assert torch.allclose(outputs[:12], -outputs[12:], atol=1e-4)  # each comes with both signs
    assert torch.allclose(outputs.mean(1), torch.zeros(24), atol=1e-4)
    assert not any(p.requires_grad for p in model.stem.parameters())


def test_only_a_whitened_network_can_be_whitened():
    with pytest.raises(ValueError, match="whitened=True"):
        ColourNet(**PLAIN).whiten(torch.rand(4, 3, 8, 8))


def test_convolutions_begin_by_copying():
    block = ColourNet(widths=(24, 30)).blocks[0]
    x = torch.randn(2, 24, 6, 6)
    assert torch.allclose(block.conv1(x), x, atol=1e-6)
    assert not block.norm1.weight.requires_grad and block.norm1.bias.requires_grad


def test_residual_adds_its_input():
    torch.manual_seed(0)
    plain, skip = (ColourNet(widths=(4,), residual=r, whitened=False).blocks[0].eval() for r in (False, True))
    skip.load_state_dict(plain.state_dict())
    x = torch.randn(2, 3, 8, 8)
    inner = F.relu(plain.norm1(F.max_pool2d(plain.conv1(x), 2)))
    assert torch.allclose(skip(x), inner + plain(x), atol=1e-6)


def test_mirrored_answers_do_not_depend_on_the_side():
    torch.manual_seed(0)
    model, x = ColourNet(widths=(4, 8)).eval(), torch.randn(3, 3, 12, 12)
    both = Mirrored(model)
    assert torch.allclose(both(x), both(x.flip(-1)), atol=1e-5)
    assert torch.allclose(both(x), model(x) + model(x.flip(-1)), atol=1e-6)


def test_moved_views_count_as_much_as_the_others():
    class Corner(torch.nn.Module):  # the pixel in the middle: which place of the image a view shows there
        def forward(self, x):
            return x[:, 0, 2, 2:3]

    x = torch.arange(50.0).view(2, 1, 5, 5)
    middle, down_right, up_left = x[:, 0, 2, 2:3], x[:, 0, 1, 1:2], x[:, 0, 3, 3:4]
    expected = 2 * middle + (2 * down_right + 2 * up_left) / 2  # the middle of a mirrored image is the middle
    assert torch.equal(Mirrored(Corner(), shift=1)(x), expected)
