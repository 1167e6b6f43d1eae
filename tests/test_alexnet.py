"""AlexNet: the numbers of the papers, small variants, bad arguments and images."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from utils import architecture, models


def size(model: nn.Module) -> int:
    return sum(p.numel() for p in model.parameters())


def test_alexnet_of_2012_has_the_parameters_of_the_paper():
    with torch.device("meta"):
        halves, whole = models.AlexNet2012(), models.AlexNet2012(groups=1)
        steps = architecture.trace(halves, (3, 227, 227))
    assert (size(halves), size(whole)) == (60_965_224, 62_378_344)
    assert size(halves.classifier) == 58_631_144
    maps = [s.shape for s in steps if s.label.startswith(("conv", "max pool"))]
    assert maps == [(96, 55, 55), (96, 27, 27), (256, 27, 27), (256, 13, 13), (384, 13, 13), (384, 13, 13),
                    (256, 13, 13), (256, 6, 6)]  # fmt: skip
    assert [s.field for s in steps if s.label.startswith("max pool")][-1] == 195


def test_alexnet_of_2012_on_224_pixels_would_flatten_6400():
    with torch.device("meta"):
        maps = models.AlexNet2012().features(torch.zeros(1, 3, 224, 224))
    assert maps.flatten(1).shape == (1, 6400)
    with torch.device("meta"), pytest.raises(ValueError, match="AlexNet2012 takes images .*227, 227.*measure 224×224"):
        models.AlexNet2012()(torch.zeros(1, 3, 224, 224))


def test_response_norm_is_the_formula_of_the_paper():
    from utils.models.alexnet import response_norm

    maps = torch.randn(2, 9, 3, 4, dtype=torch.float64) * 30
    expected = torch.empty_like(maps)
    for i in range(9):
        near = maps[:, max(0, i - 2) : i + 3]  # n = 5 maps, fewer at the ends
        expected[:, i] = maps[:, i] / (2 + 1e-4 * (near**2).sum(1)) ** 0.75
    assert torch.allclose(response_norm()(maps), expected, rtol=1e-10)


def test_alexnet_of_2012_starts_as_its_paper_says():
    torch.manual_seed(0)
    convolutions = [layer for layer in models.AlexNet2012(10).features if isinstance(layer, nn.Conv2d)]
    assert [layer.bias.unique().tolist() for layer in convolutions] == [[0.0], [1.0], [0.0], [1.0], [1.0]]
    assert all(abs(layer.weight.std().item() - 0.01) < 1e-4 for layer in convolutions)


def test_halves_do_not_see_each_other():
    layer = nn.Conv2d(4, 6, 3, groups=2)
    images = torch.randn(2, 4, 8, 9)
    changed = images.clone()
    changed[:, 2:] += 1
    assert torch.equal(layer(images)[:, :3], layer(changed)[:, :3])
    assert not torch.equal(layer(images)[:, 3:], layer(changed)[:, 3:])


def test_small_alexnet():
    model = models.SmallAlexNet()
    assert architecture.totals(architecture.trace(model, (3, 32, 32))) == (347_610, 10_226_176)
    assert model(torch.zeros(1, 3, 32, 32)).shape == (1, 10)  # maps of 8×8 in front of the last norm: one image will do
    grey = models.SmallAlexNet(classes=4, in_channels=1)
    assert grey(torch.zeros(1, 1, 32, 32)).shape == (1, 4)


@pytest.mark.parametrize("build", [models.AlexNet, models.AlexNet2012, models.SmallAlexNet])
@pytest.mark.parametrize("classes", [0, -1, 2.5, True, "ten"])
def test_alexnets_refuse_a_wrong_number_of_classes(build, classes):
    with pytest.raises(ValueError, match=f"classes is {classes!r}, but it must be a whole number"):
        build(classes)


def test_alexnets_say_what_is_wrong_with_images():
    with torch.device("meta"):
        assert models.AlexNet()(torch.zeros(1, 3, 63, 90)).shape == (1, 1000)
        for model, shape, words in (
            (models.AlexNet(), (1, 3, 62, 300), "sides of at least 63, but these measure 62×300"),
            (models.AlexNet(), (1, 1, 224, 224), "but these have 1 channels"),
            (models.AlexNet(in_channels=1), (1, 3, 224, 224), "in_channels=3"),
            (models.AlexNet2012(), (3, 227, 227), "one image"),
            (models.SmallAlexNet(), (1, 3, 28, 28), "resize them to 32×32"),
        ):
            with pytest.raises(ValueError, match=words):
                model(torch.zeros(shape))
    with pytest.raises(ValueError, match="groups is 3, but AlexNet2012 has 2 groups"):
        models.AlexNet2012(groups=3)
