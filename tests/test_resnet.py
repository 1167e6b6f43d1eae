"""ResNets: the numbers of the papers, small variants, bad arguments and images."""

from __future__ import annotations

from functools import partial

import pytest
import torch
from torch import nn

from paper import steps_of
from utils import architecture, models


@pytest.mark.parametrize(
    ("depth", "parameters"),
    [(18, 11_689_512), (34, 21_797_672), (50, 25_557_032), (101, 44_549_160), (152, 60_192_808)],
)
def test_resnet_has_the_layers_of_its_name(depth, parameters):
    steps = steps_of(partial(models.ResNet, depth), (3, 224, 224))
    assert architecture.totals(steps)[0] == parameters
    assert sum(s.multiply_adds > 0 and ".skip." not in s.name for s in steps) == depth


def test_resnet_with_the_stride_of_the_paper_costs_less_and_has_the_same_weights():
    ours, papers = (steps_of(partial(models.ResNet, 50, version=v), (3, 224, 224)) for v in (1.5, 1))
    assert architecture.totals(ours) == (25_557_032, 4_089_184_256)
    assert architecture.totals(papers) == (25_557_032, 3_857_973_248)  # "3.8 × 10⁹" in table 1
    strides = [[s.label for s in steps if "stride 2" in s.label and ".conv" in s.name] for steps in (ours, papers)]
    assert strides[0] == [f"conv 3×3, {c}, stride 2" for c in (128, 256, 512)]
    assert strides[1] == [f"conv 1×1, {c}, stride 2" for c in (128, 256, 512)]
    basic = [steps_of(partial(models.ResNet, 18, version=v), (3, 64, 64)) for v in (1, 1.5)]
    assert basic[0] == basic[1]  # a basic block has one place for the stride


@pytest.mark.parametrize(
    ("depth", "parameters"),  # table 6 of the paper: 0.27, 0.46, 0.66, 0.85 and 1.7 million
    [(20, 269_722), (32, 464_154), (44, 658_586), (56, 853_018), (110, 1_727_962)],
)
def test_cifar_resnet_has_the_size_of_the_paper(depth, parameters):
    residual, plain = (steps_of(partial(models.CifarResNet, depth, residual=r), (3, 32, 32)) for r in (True, False))
    assert architecture.totals(residual) == architecture.totals(plain)  # the shortcuts cost nothing
    assert architecture.totals(residual)[0] == parameters
    assert sum(s.multiply_adds > 0 for s in residual) == depth
    assert sum(s.label == "+" for s in residual) == (depth - 2) // 2
    assert not any(s.label == "+" for s in plain)
    maps = [s.shape for s in residual if s.label == "+"]
    assert maps[0] == (16, 32, 32)
    assert maps[-1] == (64, 8, 8)


def test_small_variant_of_resnet():
    parameters, work = architecture.totals(architecture.trace(models.CifarResNet(8, 14), (3, 32, 32)))
    assert (parameters, work) == (57_816, 9_419_312)


@pytest.mark.parametrize("size", [(32, 32), (28, 20), (14, 14), (7, 9), (1, 1)])
@pytest.mark.parametrize("options", [{}, {"option": "projection"}, {"residual": False}, {"preactivation": True}])
def test_cifar_resnet_takes_every_size(size, options):
    model = models.CifarResNet(14, 4, classes=7, in_channels=2, **options)
    assert model(torch.randn(3, 2, *size)).shape == (3, 7)
    assert model.eval()(torch.randn(1, 2, *size)).shape == (1, 7)


def test_identity_shortcut_adds_and_the_plain_block_does_not():
    torch.manual_seed(0)
    block, plain = models.BasicBlock(5, 5).double().eval(), models.BasicBlock(5, 5, residual=False).double().eval()
    plain.load_state_dict(block.state_dict())
    x = torch.randn(2, 5, 6, 7).double().relu()
    branch = block.norm2(block.conv2(block.norm1(block.conv1(x)).relu()))
    assert torch.equal(block(x), (branch + x).relu())
    assert torch.equal(plain(x), branch.relu())


def test_option_a_keeps_every_second_pixel_and_adds_zeros():
    from utils.models.resnet import ZeroPadding

    x = torch.randn(2, 3, 5, 6)
    y = ZeroPadding(3, 8, 2)(x)
    assert y.shape == models.BasicBlock(3, 8, 2)(x).shape == (2, 8, 3, 3)
    assert torch.equal(y[:, :3], x[:, :, ::2, ::2])
    assert not y[:, 3:].any()


def test_preactivation_passes_its_input_through_unchanged():
    torch.manual_seed(0)
    blocks = nn.Sequential(*(models.PreactivationBlock(4, 4) for _ in range(5)))
    x = torch.randn(2, 4, 6, 6)
    for block in blocks:
        nn.init.zeros_(block.conv2.weight)  # a branch of nothing
    assert torch.equal(blocks(x), x)  # negative values, too
    after = models.BasicBlock(4, 4).eval()
    nn.init.zeros_(after.conv2.weight)
    assert torch.equal(after(x), x.relu())  # the ReLU behind the sum


def test_blocks_cost_what_the_layers_say():
    count = {
        "basic": sum(p.numel() for p in models.BasicBlock(64, 64).parameters()),
        "projection": sum(p.numel() for p in models.BasicBlock(64, 128, 2).parameters()),
        "padding": sum(p.numel() for p in models.BasicBlock(64, 128, 2, option="padding").parameters()),
        "bottleneck": sum(p.numel() for p in models.Bottleneck(256, 64).parameters()),
        "pre-activation": sum(p.numel() for p in models.PreactivationBlock(64, 64).parameters()),
    }
    assert count == {
        "basic": 73_984, "projection": 230_144, "padding": 230_144 - 64 * 128 - 256, "bottleneck": 70_400,
        "pre-activation": 73_984,
    }  # fmt: skip


@pytest.mark.parametrize(
    ("build", "said"),
    [
        (partial(models.ResNet, 20), "depth is 20, but the table of ResNet has 18, 34, 50, 101, 152"),
        (partial(models.ResNet, 50, version=2), "version is 2, but it must be 1"),
        (partial(models.ResNet, 50, classes=0), "classes is 0"),
        (partial(models.ResNet, 50, in_channels=2.5), "in_channels is 2.5"),
        (partial(models.CifarResNet, 18), "depth is 18, but it must be 6n \\+ 2 .*; 14 and 20 are near"),
        (partial(models.CifarResNet, 2), "depth is 2, .*; 8 and 14 are near"),
        (partial(models.CifarResNet, 55), "50 and 56 are near"),
        (partial(models.CifarResNet, 20.0), "depth is 20.0, but it must be a whole number of at least 1"),
        (partial(models.CifarResNet, 20, 0), "width is 0"),
        (partial(models.CifarResNet, 20, option="zeros"), "option is 'zeros'"),
        (partial(models.SmallResNet, True), "classes is True"),
    ],
)
def test_a_resnet_that_cannot_be_built_is_named(build, said):
    with pytest.raises(ValueError, match=said):
        build()


@pytest.mark.parametrize(
    ("build", "shape", "said"),
    [
        (partial(models.ResNet, 18), (2, 1, 64, 64), "ResNet takes images .* in_channels=1"),
        (partial(models.ResNet, 18), (1, 3, 32, 32), "a single image of 32×32 in training mode"),
        (partial(models.CifarResNet, 8, 4), (2, 32, 32, 3), "the channels stand last"),
        (partial(models.CifarResNet, 8, 4), (3, 32, 32), "add the batch"),
        (partial(models.CifarResNet, 8, 4), (1, 3, 4, 4), "a single image of 4×4 in training mode"),
        (models.SmallResNet, (2, 1, 32, 32), "SmallResNet takes images"),
    ],
)
def test_images_that_do_not_fit_a_resnet_are_named(build, shape, said):
    with pytest.raises(ValueError, match=said):
        build()(torch.zeros(shape))
