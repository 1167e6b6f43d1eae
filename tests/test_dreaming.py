"""What a unit wants to see: values rise, images are repeatable, the model stays as it was, and bad input is named."""

from __future__ import annotations

import math

import pytest
import torch
from torch import nn
from torchvision.transforms.v2 import InterpolationMode
from torchvision.transforms.v2 import functional as change

from utils import dreaming
from utils.data import photo
from utils.models import pretrained


class Small(nn.Module):
    """Nested layers, an in-place ReLU behind what is looked at, batch norm and dropout, one layer that is never used."""

    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Sequential(nn.Sequential(nn.Conv2d(3, 4, 3, stride=2), nn.BatchNorm2d(4)), nn.ReLU(inplace=True))
        self.drop, self.unused = nn.Dropout(0.5), nn.Identity()
        self.head = nn.Linear(4, 5)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.head(self.drop(self.body(x).mean((2, 3))))


@pytest.fixture
def small():
    torch.manual_seed(0)
    return Small()


@pytest.fixture(scope="module")
def lite():
    return pretrained.load()


OBJECTIVES = {
    "neuron": dreaming.neuron("body.0", 1),
    "channel": dreaming.channel("body.0.0", 2),
    "dense unit": dreaming.channel("head", 2),
    "category": dreaming.category(3),
    "layer": dreaming.layer("body.0"),
}


@pytest.mark.parametrize("objective", OBJECTIVES.values(), ids=OBJECTIVES)
@pytest.mark.parametrize("picture", [dreaming.Pixels, dreaming.Fourier])
def test_the_value_rises(small, objective, picture):
    made = picture(2, 16, seed=1)
    before = dreaming.measure(small, objective, made().detach())
    found = dreaming.dream(small, objective, made, transforms=(), steps=20)
    after = dreaming.measure(small, objective, found.image)
    assert (after > before).all()
    assert len(found.values) == 20 and torch.allclose(found.values[0], before, atol=1e-6)
    assert found.image.shape == (2, 3, 16, 16) and found.image.min() >= 0 and found.image.max() <= 1


def test_objectives_are_what_they_say(small):
    maps, logits = torch.randn(2, 4, 5, 6), torch.randn(2, 7)
    assert torch.equal(dreaming.neuron("x", 1).score(maps), maps[:, 1, 2, 3])
    assert torch.equal(dreaming.neuron("x", 1, 0, 5).score(maps), maps[:, 1, 0, 5])
    assert torch.allclose(dreaming.channel("x", 3).score(maps), maps[:, 3].mean((1, 2)))
    assert torch.equal(dreaming.channel("x", 3).score(logits), logits[:, 3])
    assert torch.equal(dreaming.category(6).score(logits), logits[:, 6])
    assert torch.allclose(dreaming.layer("x").score(maps), (maps**2).mean((1, 2, 3)))


def test_what_stands_in_front_of_an_in_place_layer_is_seen(small):
    images = torch.rand(1, 3, 9, 9)
    seen = dreaming.measure(small, dreaming.Objective("body.0", lambda y: y.amin((1, 2, 3)), "least"), images)
    assert torch.allclose(seen, small.body[0].eval()(images).amin((1, 2, 3))) and seen.item() < 0


def test_the_same_seed_gives_the_same_images(small):
    def made(seed):
        picture = dreaming.Fourier(1, 16, decorrelated=True, seed=seed)
        return dreaming.dream(small, OBJECTIVES["channel"], picture, steps=5, keep=[0, 2], seed=seed)

    first, torch_state = made(0), torch.get_rng_state()
    again, other = made(0), made(1)
    assert all(torch.equal(a, b) for a, b in zip(first.images, again.images, strict=True))
    assert not torch.equal(first.image, other.image)
    assert torch.equal(torch.get_rng_state(), torch_state)  # no global random number was drawn
    assert first.steps == [0, 2, 5] and len(first.images) == 3


@pytest.mark.parametrize("training", [True, False])
def test_the_model_is_left_as_it_was(small, training):
    small.train(training)
    small.drop.eval()  # parts may have a mode of their own
    small.head.weight.requires_grad_(False)
    small.head.bias.grad = torch.ones(5)
    state = {name: value.clone() for name, value in small.state_dict().items()}
    modes = [part.training for part in small.modules()]
    with torch.no_grad():  # gradients are needed inside all the same
        dreaming.dream(small, OBJECTIVES["channel"], dreaming.Pixels(1, 16), steps=2)
        dreaming.deep_dream(small, OBJECTIVES["layer"], torch.rand(3, 20, 24), steps=1, octaves=2)
        with pytest.raises(ValueError, match="channel is 9"):
            dreaming.dream(small, dreaming.channel("body.0", 9), dreaming.Pixels(1, 16), steps=2)
    assert modes == [part.training for part in small.modules()]
    assert all(torch.equal(value, state[name]) for name, value in small.state_dict().items())
    assert [p.grad is None for p in small.parameters()] == [True] * 5 + [False] and small.head.bias.grad.sum() == 5
    assert [p.requires_grad for p in small.parameters()] == [True] * 4 + [False, True]
    assert not any(part._forward_hooks for part in small.modules())


# ---- parametrisations


@pytest.mark.parametrize("size", [16, 17])
def test_fourier_is_a_sum_of_waves_that_fall_with_frequency(size):
    picture = dreaming.Fourier(1, size, decay=1.0)
    whole = torch.fft.rfft2(picture.plane()[0, 0], norm="ortho")
    wave = picture.values[0, 0, 2, 3]  # two periods down, three across
    expected = torch.view_as_complex(wave * picture.amplitudes[2, 3])
    assert torch.allclose(whole[2, 3], expected, atol=1e-5)
    assert picture.amplitudes[0, 4] / picture.amplitudes[0, 2] == pytest.approx(1 / 2)
    assert picture.amplitudes.square().mean().item() == pytest.approx(1, abs=1e-5)
    assert picture.amplitudes[0, 0] == picture.amplitudes[0, 1]
    assert torch.allclose(dreaming.Fourier(1, size, decay=0.0).amplitudes, torch.ones(size, size // 2 + 1))


def test_colours_have_the_correlations_of_photographs():
    mixing = dreaming.colour_mixing()
    ratio = mixing @ mixing.T / sum(torch.cov(photo(name, size=64).flatten(1)) for name in dreaming.PHOTOGRAPHS)
    assert torch.allclose(ratio, ratio[0, 0].expand(3, 3), rtol=1e-3)
    lengths = mixing.norm(dim=0)
    assert lengths[0].item() == pytest.approx(math.sqrt(3)) and lengths[0] > lengths[1] > lengths[2]
    assert (mixing[:, 0] > 0).all()  # brightness: all three together
    plain, mixed = (dreaming.Pixels(1, 64, colours)().detach()[0].flatten(1) for colours in (False, True))
    assert torch.corrcoef(plain)[0, 1].abs() < 0.1 and torch.corrcoef(mixed)[0, 1] > 0.5


# ---- transformations


def test_jitter_moves_by_whole_pixels():
    images = torch.rand(40, 3, 12, 12)
    moved = dreaming.transformed(images, [dreaming.Jitter(2)], torch.Generator().manual_seed(0))
    shifts = [(y, x) for y in range(-2, 3) for x in range(-2, 3)]
    found = set()
    for before, after in zip(images, moved, strict=True):
        inner = after[:, 2:-2, 2:-2]
        fits = [s for s in shifts if torch.allclose(before.roll(s, (1, 2))[:, 2:-2, 2:-2], inner, atol=1e-4)]
        assert len(fits) == 1
        found.update(fits)
    assert len(found) > 15


def test_scale_and_rotation_agree_with_torchvision():
    image = nn.functional.avg_pool2d(torch.rand(1, 3, 68, 68), 5, 1)[..., :64, :64]
    bilinear = {"interpolation": InterpolationMode.BILINEAR}
    for transform, options in (
        (dreaming.Scale(1.2, 1.2), {"angle": 0, "scale": 1.2}),
        (dreaming.Scale(0.8, 0.8), {"angle": 0, "scale": 0.8}),
    ):
        ours = dreaming.transformed(image, [transform])
        theirs = change.affine(image, translate=[0, 0], shear=[0], **options, **bilinear)
        assert (ours - theirs)[..., 10:-10, 10:-10].abs().max() < 1e-3
    turned = dreaming.transformed(image.expand(8, -1, -1, -1), [dreaming.Rotate(20)], torch.Generator().manual_seed(0))
    angles = 20 * (2 * torch.rand(8, generator=torch.Generator().manual_seed(0)) - 1)
    for ours, angle in zip(turned, angles.tolist(), strict=True):
        off = min(
            (change.rotate(image[0], a, **bilinear) - ours)[:, 16:-16, 16:-16].abs().max() for a in (angle, -angle)
        )
        assert off < 1e-3


def test_transforms_together_are_one_interpolation_and_none_is_nothing():
    images = torch.rand(3, 3, 10, 10)
    assert dreaming.transformed(images, ()) is images
    back = [dreaming.Scale(2.0, 2.0), dreaming.Scale(0.5, 0.5)]
    assert torch.allclose(dreaming.transformed(images, back), images, atol=1e-4)


def test_spectrum_finds_a_wave():
    across = torch.arange(32) * 2 * math.pi / 32
    image = 0.5 + 0.3 * torch.sin(5 * across).expand(1, 3, 32, 32)
    shares = dreaming.spectrum(image)
    assert shares.shape == (1, 16) and shares[0].argmax() == 4 and shares[0, 4].item() == pytest.approx(1, abs=1e-4)
    assert dreaming.spectrum(torch.ones(1, 3, 8, 8)).tolist() == [[0.0] * 4]


# ---- DeepDream


def test_deep_dream_raises_the_value_and_keeps_the_photograph(lite):
    options = {"mean": lite.mean, "std": lite.std}
    objective = dreaming.layer("stages.2.1")
    photograph = photo("coffee", size=64)
    found = dreaming.deep_dream(lite.model, objective, photograph, steps=3, octaves=2, **options)
    again = dreaming.deep_dream(lite.model, objective, photograph[None], steps=3, octaves=2, **options)
    before, after = dreaming.measure(lite.model, objective, torch.cat(found.images), **options)[[0, -1]]
    assert after > 1.2 * before
    assert found.steps == [0, 3, 6] and len(found.values) == 6 and torch.equal(found.image, again.image)
    assert found.image.shape == (1, *photograph.shape) and torch.equal(found.images[0][0], photograph)
    assert 0.01 < (found.image[0] - photograph).abs().mean() < 0.25


# ---- the real network


def test_regularised_images_excite_the_unit_under_changes_they_were_not_made_for(lite):
    options = {"mean": lite.mean, "std": lite.std}
    objective = dreaming.channel("stages.5.3", 7)
    naive = dreaming.dream(lite.model, objective, dreaming.Pixels(1, 96), transforms=(), steps=24, **options)
    robust = dreaming.dream(lite.model, objective, dreaming.Fourier(1, 96, True), steps=24, **options)
    turn = [dreaming.Jitter(3), dreaming.Scale(0.7, 0.8), dreaming.Rotate(25)]
    kept = []
    for image in (naive.image, robust.image):
        changed = dreaming.transformed(image.expand(8, -1, -1, -1), turn, torch.Generator().manual_seed(1))
        values = dreaming.measure(lite.model, objective, torch.cat([image, changed]), **options)
        assert values[0] > 20
        kept.append((values[1:].mean() / values[0]).item())
    assert kept[0] < 0.4 and kept[1] > 0.5
    fine = [dreaming.spectrum(image)[0, 24:].sum().item() for image in (naive.image, robust.image)]
    assert fine[0] > 2 * fine[1]


# ---- bad input


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        (lambda m: dreaming.dream(m, dreaming.channel("body.0.2", 0)), r"no layer 'body.0.2'; it has.*'body.0'"),
        (lambda m: dreaming.dream(m, dreaming.channel("body.0", 4)), "channel is 4, but body.0 has 4, from 0 to 3"),
        (lambda m: dreaming.dream(m, dreaming.channel("body.0", -1)), "channel is -1"),
        (lambda m: dreaming.dream(m, dreaming.channel("body.0", "0")), "channel is '0'"),
        (lambda m: dreaming.dream(m, dreaming.channel("unused", 0)), "'unused' was not used in the pass"),
        (lambda m: dreaming.dream(m, dreaming.neuron("body.0", 0, row=99)), "row is 99"),
        (lambda m: dreaming.dream(m, dreaming.neuron("head", 0)), "which has no places"),
        (lambda m: dreaming.dream(m, dreaming.category(5)), "class is 5, but the output has 5, from 0 to 4"),
        (lambda m: dreaming.dream(m.body, dreaming.category(5)), r"a class needs logits \(N, classes\)"),
        (lambda m: dreaming.dream(m, dreaming.category(0), steps=0), "steps is 0, but"),
        (lambda m: dreaming.dream(m, dreaming.category(0), steps=True), "steps is True"),
        (lambda m: dreaming.dream(m, dreaming.category(0), steps=3, keep=[4]), "keep names step 4"),
        (lambda m: dreaming.dream(m, dreaming.category(0), dreaming.Pixels(1, 2)), "cannot take images of 2×2 pixels"),
        (lambda m: dreaming.Pixels(0), "number is 0"),
        (lambda m: dreaming.Fourier(1, 9.5), "size is 9.5"),
        (lambda m: dreaming.deep_dream(m, OBJECTIVES["layer"], torch.rand(1, 9, 9)), r"\(1, 9, 9\).*expand"),
        (lambda m: dreaming.deep_dream(m, OBJECTIVES["layer"], 255 * torch.rand(3, 9, 9)), r"must lie in \[0, 1\]"),
        (lambda m: dreaming.deep_dream(m, OBJECTIVES["layer"], torch.rand(3, 9, 9), steps=0), "steps is 0"),
        (lambda m: dreaming.deep_dream(m, OBJECTIVES["layer"], torch.rand(3, 9, 9), octaves=0), "octaves is 0"),
        (lambda m: dreaming.deep_dream(m, OBJECTIVES["layer"], torch.rand(3, 9, 9), ratio=1), "ratio is 1"),
        (lambda m: dreaming.deep_dream(m, OBJECTIVES["layer"], torch.rand(3, 9, 9), octaves=9), "cannot take images of 1×1"),
    ],
)  # fmt: skip
def test_bad_input_is_named(small, wrong, said):
    with pytest.raises(ValueError, match=said):
        wrong(small)
    assert not any(part._forward_hooks for part in small.modules()) and small.training


@pytest.mark.parametrize(
    ("photograph", "said"),
    [("cat.png", "is str"), (torch.zeros(3, 9, 9, dtype=torch.uint8), "torch.uint8, but it must be float")],
)
def test_a_photograph_of_another_type_is_refused(small, photograph, said):
    with pytest.raises(TypeError, match=said):
        dreaming.deep_dream(small, OBJECTIVES["layer"], photograph)
