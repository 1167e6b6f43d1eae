"""GoogLeNet and network in network: the numbers of the papers, small variants, bad arguments and images."""

from __future__ import annotations

import pytest
import torch
from test_architectures import copied, randomised
from torch import nn
from torchvision import models as reference

from utils import architecture, models


def parameters_of(build) -> int:
    with torch.device("meta"):
        return sum(p.numel() for p in build().parameters())


def test_googlenet_with_auxiliary_heads_equals_torchvisions_in_training_mode():
    theirs = randomised(reference.googlenet(aux_logits=True, init_weights=False)).double().train()
    ours = models.GoogLeNet(aux=True).double().train()
    copied(theirs, ours)
    for layer in [*theirs.modules(), *ours.modules()]:
        if isinstance(layer, nn.Dropout):
            layer.p = 0.0
    images = torch.randn(4, 3, 64, 64, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        expected, found = theirs(images), ours(images)
    for one, other in zip((expected.logits, expected.aux_logits1, expected.aux_logits2), found, strict=True):
        assert one.std(0).mean() > 1e-2
        assert (one - other).abs().max() / one.abs().max() < 1e-8
    assert torch.equal(ours.eval()(images), ours(images)) and ours(images).shape == (4, 1000)


@pytest.mark.parametrize(
    "build, parameters",
    [
        (lambda: models.GoogLeNet(aux=True), 13_004_888),
        (lambda: models.GoogLeNet(largest=5), 7_005_832),
        (models.GoogLeNet2014, 6_998_552),
        (lambda: models.GoogLeNet2014(aux=True), 13_378_280),
        (models.SmallGoogLeNet, 267_522),
        (models.NetworkInNetwork, 966_986),
    ],
)
def test_googlenets_have_as_many_parameters_as_is_said(build, parameters):
    assert parameters_of(build) == parameters


@pytest.mark.parametrize("build", [lambda: models.GoogLeNet(aux=True), lambda: models.GoogLeNet2014(aux=True)])
def test_googlenet_answers_three_times_in_training_and_once_in_use(build):
    model = build()
    images = torch.randn(2, 3, 224, 224)
    with torch.no_grad():
        assert [tuple(out.shape) for out in model.train()(images)] == [(2, 1000)] * 3
        assert model.eval()(images).shape == (2, 1000)


def test_small_networks_with_branches_take_any_sides_and_learn(learned):
    torch.manual_seed(0)
    for build in (models.SmallGoogLeNet, models.NetworkInNetwork):
        model = build(classes=7, in_channels=1)
        assert model(torch.randn(2, 1, 32, 32)).shape == model(torch.randn(2, 1, 20, 33)).shape == (2, 7)
    steps = architecture.trace(models.SmallGoogLeNet(), (3, 32, 32))
    assert 5e6 <= architecture.totals(steps)[1] <= 12e6
    assert [s.shape for s in steps if s.label == "concatenate"] == [(120, 8, 8), (144, 8, 8), (208, 4, 4), (256, 4, 4)]
    model = models.SmallGoogLeNet(classes=4)
    images, labels = torch.randn(16, 3, 32, 32), torch.arange(16) % 4
    assert learned(model, images, labels, steps=30) < 0.1


@pytest.mark.parametrize(
    "build, shape, training, text",
    [
        (models.GoogLeNet, (1, 3, 14, 14), False, "GoogLeNet takes images (N, 3, H, W) with sides of at least 15"),
        (models.GoogLeNet2014, (1, 3, 30, 60), False, "at least 31"),
        (models.GoogLeNet, (2, 1, 64, 64), False, "repeat the grey channel"),
        (models.GoogLeNet, (1, 3, 32, 32), True, "give at least two images"),
        (lambda: models.GoogLeNet2014(aux=True), (1, 3, 64, 64), True, "resize them to 224×224"),
        (
            models.SmallGoogLeNet,
            (2, 3, 7, 32),
            False,
            "SmallGoogLeNet takes images (N, 3, H, W) with sides of at least 8",
        ),
        (models.SmallGoogLeNet, (3, 32, 32), False, "add the batch"),
        (models.SmallGoogLeNet, (2, 32, 32, 3), False, "permute(0, 3, 1, 2)"),
        (models.SmallGoogLeNet, (1, 3, 8, 8), True, "give at least two images"),
        (models.NetworkInNetwork, (1, 3, 3, 3), False, "at least 4"),
    ],
)
def test_what_googlenets_do_not_take_is_said(build, shape, training, text):
    with pytest.raises(ValueError) as caught:
        build().train(training)(torch.zeros(shape))
    assert text in str(caught.value)


@pytest.mark.parametrize(
    "build", [models.GoogLeNet, models.GoogLeNet2014, models.SmallGoogLeNet, models.NetworkInNetwork]
)
@pytest.mark.parametrize("wrong", [{"classes": 0}, {"classes": 2.0}, {"in_channels": -1}, {"classes": True}])
def test_googlenets_of_impossible_size_are_refused(build, wrong):
    with pytest.raises(ValueError, match="but it must be a whole number of at least 1"):
        build(**wrong)


def test_googlenets_largest_kernel_is_odd():
    with pytest.raises(ValueError, match="largest is 4"):
        models.GoogLeNet(largest=4)
