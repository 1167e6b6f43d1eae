"""Networks as blocks: which names are seen through, what belongs together, and that nothing is lost."""

from __future__ import annotations

import pytest
import torch
import torchvision
from torch import nn

from utils import architecture
from utils.architecture import outline, totals, trace
from utils.models import SmallResNet, TinyVGG
from utils.widgets.network import default_networks


@pytest.fixture(scope="module")
def networks():
    return default_networks()


def names(model, shape, **arguments):
    return [block.name for block in outline(model, shape, **arguments)]


def test_every_step_is_in_one_block_and_blocks_are_few(networks):
    for title, (model, shape) in networks.items():
        steps, blocks = trace(model, shape), outline(model, shape)
        assert totals(blocks) == totals(steps), title
        assert totals(step for block in blocks for step in block.steps) == totals(steps), title
        assert sum(p.numel() for p in model.parameters()) == totals(blocks)[0], title
        assert (blocks[-1].shape, blocks[-1].field) == (steps[-1].shape, steps[-1].field)
        assert 6 <= len(blocks) <= 25, title
        for number, block in enumerate(blocks):
            assert block.inputs == (number - 1,), (title, block.name)  # each of these networks is a chain of blocks
            assert block.steps[-1].shape == block.shape
            assert 1 <= len(block.steps) <= 16
            assert all(-1 <= i < k for k, step in enumerate(block.steps) for i in step.inputs)


def test_names_that_a_reader_would_choose(networks):
    found = {title: outline(*network) for title, network in networks.items()}
    listed = {title: [(block.name, block.kind) for block in blocks] for title, blocks in found.items()}
    assert listed["LeNet"][0] == ("0", "conv 5×5, 6, ReLU") and listed["LeNet"][4] == ("7", "flatten, dense 120, ReLU")
    assert len(listed["VGG-16"]) == 9 and listed["VGG-16"][3] == ("features.3", "VGGBlock")
    assert listed["GoogLeNet"][0] == ("stem.0", "conv 7×7, 64, stride 2, batch norm, ReLU")
    assert listed["GoogLeNet"][5:7] == [("stage3.a", "Inception"), ("stage3.b", "Inception")]
    assert [name for name, _ in listed["ResNet-18"]] == [
        "conv1", "pool", *(f"conv{i}_x.{j}" for i in (2, 3, 4, 5) for j in (0, 1)), "mean", "head",
    ]  # fmt: skip
    assert listed["DenseNet-121"][4] == ("stages.block2", "DenseBlock")
    assert [step.label for step in found["DenseNet-121"][4].steps] == [
        "block2.0\nDenseLayer", "block2.1\nDenseLayer", "block2.2\nDenseLayer",
        "block2.3 … block2.10\n8 × DenseLayer", "block2.11\nDenseLayer", "concatenate",
    ]  # fmt: skip
    assert listed["DenseNet-121"][9] == ("norm", "batch norm, ReLU")
    assert sum(kind == "InvertedResidual" for _, kind in listed["MobileNetV2"]) == 17
    assert sum(kind == "MBConv" for _, kind in listed["EfficientNet-B0"]) == 16
    assert sum(kind == "ConvNeXtBlock" for _, kind in listed["ConvNeXt-T"]) == 18
    assert sum(kind == "EncoderBlock" for _, kind in listed["ViT-B/16"]) == 12
    assert ("features.2", "layer norm, conv 2×2, 192, stride 2") in listed["ConvNeXt-T"]
    block = found["ResNet-18"][2]
    assert [(step.label, step.inputs) for step in block.steps] == [
        ("conv 3×3, 64\nbatch norm\nReLU", (-1,)), ("conv 3×3, 64\nbatch norm", (0,)), ("+\nReLU", (1, -1)),
    ]  # fmt: skip


def test_containers_open_only_as_far_as_there_is_room():
    model, shape = TinyVGG(), (3, 32, 32)
    assert names(model, shape, most=3) == ["block1", "block2", "head.1"]
    # Both or none: blocks that are alike are treated alike.
    assert names(model, shape, most=6) == ["block1", "block2", "head.1"]
    assert len(names(model, shape, most=7)) == 7
    with torch.device("meta"):
        deep = torchvision.models.resnet152()
    blocks = outline(deep, (3, 224, 224))
    assert [block.kind for block in blocks[2:6]] == [f"{n} × Bottleneck" for n in (3, 8, 36, 3)]
    assert [step.label for step in blocks[4].steps] == [
        "layer3.0\nBottleneck", "layer3.1\nBottleneck", "layer3.2\nBottleneck",
        "layer3.3 … layer3.34\n32 × Bottleneck", "layer3.35\nBottleneck",
    ]  # fmt: skip
    assert totals(blocks[4].steps) == totals(blocks[4:5])


class Forked(nn.Module):
    """Blocks that read what is far above, and a step that two of them read."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(1, 4, 3, padding=1)
        self.norm = nn.BatchNorm2d(4)
        self.body = nn.Sequential(nn.Conv2d(4, 4, 3, padding=1), nn.ReLU(), nn.Conv2d(4, 4, 3, padding=1))
        self.down = nn.Conv2d(4, 4, 1)

    def forward(self, x):
        stem = self.stem(x)
        return torch.cat([self.body(self.norm(stem)), self.down(stem)], 1)


def test_blocks_know_what_they_read():
    blocks = outline(Forked(), (1, 8, 8), most=4)
    # The norm may not be written into the stem, whose output somebody else reads, too.
    assert [(b.name, b.inputs) for b in blocks] == [
        ("stem", (-1,)), ("norm", (0,)), ("body", (1,)), ("down", (0,)), ("cat", (2, 3)),
    ]  # fmt: skip
    assert blocks[-1].steps[0].inputs == (-1, -2)


def test_several_results_and_meta_cost_nothing():
    """A split loses no branch, and what is skipped without numbers is what runs with them."""
    with torch.device("meta"):
        shuffle = torchvision.models.shufflenet_v2_x1_0()
    assert totals(trace(shuffle, (3, 224, 224)))[0] == sum(p.numel() for p in shuffle.parameters())
    with torch.device("meta"):
        thin = SmallResNet()
    assert trace(thin, (3, 32, 32)) == trace(SmallResNet(), (3, 32, 32))
    with torch.device("meta"), pytest.raises(RuntimeError):
        trace(nn.Sequential(nn.Conv2d(1, 4, 3), nn.BatchNorm2d(5)), (1, 8, 8))


@pytest.mark.parametrize("side, cells", [(12, 3), (13, 6), (12, 12), (11, 4), (9, 1)])
def test_receptive_field_of_an_adaptive_average(side, cells):
    model = nn.Sequential(nn.Conv2d(1, 1, 3, padding=1), nn.AdaptiveAvgPool2d(cells)).double()
    nn.init.ones_(model[0].weight)
    image = torch.ones(1, 1, side + 6, side + 6, dtype=torch.float64, requires_grad=True)
    output = model[1](model[0](image)[..., 3:-3, 3:-3])
    widest = 0
    for k in range(cells):
        (gradient,) = torch.autograd.grad(output[0, 0, k, k], image, retain_graph=True)
        widest = max(widest, int((gradient[0, 0].abs().sum(1) > 0).sum()))
    field = trace(model, (1, side, side))[-1].field
    assert field == (None if cells == 1 else widest)


def test_words_of_single_steps():
    labels = [step.label for step in trace(SmallResNet(), (3, 32, 32))]
    assert "global average" in labels
    with torch.device("meta"):
        steps = architecture.merged(trace(torchvision.models.convnext_tiny(), (3, 224, 224)))
    assert steps[0].label == "conv 4×4, 96, stride 4\nlayer norm" and any("scale" in step.label for step in steps)
    assert not any("stochastic" in step.label or "_" in step.label for step in steps)
