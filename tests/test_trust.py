"""Networks redrawn, the pointing game, shares on a mask, guided backpropagation and edges; bad input gets a sentence."""

from __future__ import annotations

import captum.attr as captum
import pytest
import skimage.filters
import torch
from torch import nn

from utils import trust
from utils.models import DeepCNN, SmallViT, pretrained


@pytest.fixture
def small():
    """Batch norm whose statistics have moved, in-place ReLU, a dense layer."""
    torch.manual_seed(0)
    first = nn.Sequential(nn.Conv2d(3, 6, 3, padding=1), nn.BatchNorm2d(6), nn.ReLU(inplace=True))
    second = nn.Sequential(nn.Conv2d(6, 8, 3, padding=1, bias=False), nn.BatchNorm2d(8), nn.ReLU())
    model = nn.Sequential(first, second, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8, 5))
    model(3 + 2 * torch.randn(16, 3, 9, 7))
    with torch.no_grad():
        for layer in (first[1], second[1]):
            layer.weight.uniform_(0.5, 2)
            layer.bias.normal_()
    model.eval()[0].train()  # modes differ
    return model


def differs(a: nn.Module, b: nn.Module) -> set[str]:
    other = b.state_dict()
    return {name for name, value in a.state_dict().items() if not torch.equal(value, other[name])}


# redrawn networks


def test_only_the_named_parts_are_redrawn_and_the_given_model_is_not(small):
    before = {name: value.clone() for name, value in small.state_dict().items()}
    changed = trust.randomised(small, "4", "1")
    assert differs(small, changed) == {
        "4.weight", "4.bias", "1.0.weight", "1.1.weight", "1.1.bias", "1.1.running_mean", "1.1.running_var",
        "1.1.num_batches_tracked",
    }  # fmt: skip
    assert all(torch.equal(value, before[name]) for name, value in small.state_dict().items())
    assert not {p.data_ptr() for p in small.parameters()} & {p.data_ptr() for p in changed.parameters()}
    modes = [[part.training for part in model.modules()] for model in (small, changed)]
    assert modes[0] == modes[1]


def test_batch_norm_forgets_what_it_has_seen(small):
    norm = trust.randomised(small)[1][1]
    assert (norm.running_mean == 0).all() and (norm.running_var == 1).all() and norm.num_batches_tracked == 0
    assert (norm.weight == 1).all() and (norm.bias == 0).all()


def test_without_names_everything_is_redrawn(small):
    changed = trust.randomised(small)
    assert differs(small, changed) == set(small.state_dict())
    assert not differs(changed, trust.randomised(small, "0", "1", "4"))


def test_a_longer_list_goes_on_where_the_shorter_one_ended(small):
    short, long = trust.randomised(small, "4"), trust.randomised(small, "4", "1")
    assert torch.equal(short[4].weight, long[4].weight)
    assert differs(short, long) == {name for name in small.state_dict() if name.startswith("1.")}


def test_the_seed_chooses_the_weights(small):
    weights = [trust.randomised(small, seed=seed)[4].weight for seed in (0, 0, 1)]
    assert torch.equal(weights[0], weights[1]) and not torch.equal(weights[0], weights[2])
    state = torch.get_rng_state()
    trust.randomised(small)
    assert torch.equal(state, torch.get_rng_state())  # nobody else's random numbers are used up


def test_weights_have_the_variance_of_he():
    layer = trust.randomised(nn.Sequential(nn.Conv2d(64, 200, 3)))[0]
    torch.testing.assert_close(layer.weight.std().item(), (2 / (9 * 64)) ** 0.5, rtol=0.02, atol=0)
    assert (layer.bias == 0).all()


def test_parts_inside_a_trained_network_are_found():
    model = pretrained.load().model
    changed = trust.randomised(model, "head", "stages.6")
    assert {name.split(".")[0] for name in differs(model, changed)} == {"head", "stages"}
    assert all(name.startswith(("head.", "stages.6")) for name in differs(model, changed))


def test_a_model_in_another_dtype_stays_there(small):
    assert {p.dtype for p in trust.randomised(small.double()).parameters()} == {torch.float64}


def test_unknown_parts_and_unknown_kinds_of_layers(small):
    with pytest.raises(ValueError, match="no layer 'body'; it has, for example, '0'"):
        trust.randomised(small, "body")
    with pytest.raises(ValueError, match="Positions has parameters of its own, and it is not known how they are drawn"):
        trust.randomised(SmallViT())


# the pointing game


def test_pointing_by_hand():
    maps, masks = torch.zeros(4, 5, 6), torch.zeros(4, 5, 6, dtype=torch.bool)
    masks[:, 1:3, 2:4] = True
    maps[0, 2, 3] = 1  # on it
    maps[1, 3, 4] = 1  # one pixel beside it, diagonally
    maps[2] -= 1
    maps[2, 1, 2] = -0.5  # the largest, though -1 is stronger
    maps[3, 2, 2], maps[3, 0, 0] = 2, 2  # two are equally strong, one hits
    assert trust.pointing(maps, masks).tolist() == [1, 0, 1, 0.5]
    assert trust.pointing(maps, masks, tolerance=1).tolist() == [1, 1, 1, 0.5]
    assert trust.pointing(maps, masks, tolerance=2).tolist() == [1, 1, 1, 1]
    assert trust.pointing(maps, masks).dtype == torch.float64


def test_a_flat_map_hits_by_chance():
    masks = torch.rand(3, 7, 5) < 0.4
    share = masks.double().mean((1, 2))
    for value in (0.0, 3.0):
        torch.testing.assert_close(trust.pointing(torch.full((3, 7, 5), value), masks), share)


def test_pointing_is_a_loop_over_pixels():
    torch.manual_seed(0)
    maps, masks = torch.rand(30, 8, 11), torch.rand(30, 8, 11) < 0.1
    for tolerance in (0, 1, 3):
        hits = []
        for m, mask in zip(maps, masks, strict=True):
            r, c = divmod(m.argmax().item(), 11)
            near = mask[max(0, r - tolerance) : r + tolerance + 1, max(0, c - tolerance) : c + tolerance + 1]
            hits.append(float(near.any()))
        assert trust.pointing(maps, masks, tolerance=tolerance).tolist() == hits


def test_energy_counts_what_is_positive():
    masks = torch.zeros(3, 2, 2, dtype=torch.bool)
    masks[:, 0] = True
    maps = torch.tensor([[[1.0, 2.0], [3.0, 4.0]], [[1.0, -9.0], [3.0, -9.0]], [[-1.0, 0.0], [0.0, 0.0]]])
    shares = trust.energy(maps, masks)
    assert shares[:2].tolist() == pytest.approx([0.3, 0.25]) and shares[2].isnan()
    assert trust.energy(maps[:1] * 1000, masks[:1]).item() == pytest.approx(0.3)


@pytest.mark.parametrize("function", [trust.pointing, trust.energy])
@pytest.mark.parametrize(
    ("maps", "masks", "words"),
    [
        (torch.rand(2, 3, 4, 4), torch.ones(2, 4, 4) > 0, r"float tensor \(N, H, W\), but this is \(2, 3, 4, 4\)"),
        ([[1.0]], torch.ones(1, 1, 1) > 0, "but this is list"),
        (torch.ones(2, 4, 4, dtype=torch.int64), torch.ones(2, 4, 4) > 0, "maps must be a float tensor"),
        (torch.rand(2, 4, 4), torch.ones(2, 4, 4), "must be bool"),
        (torch.rand(2, 4, 4), torch.ones(2, 1, 4, 4) > 0, r"maps' shape \(2, 4, 4\)"),
        (torch.full((2, 4, 4), float("nan")), torch.ones(2, 4, 4) > 0, "no numbers"),
    ],
)
def test_maps_and_masks_that_do_not_fit(function, maps, masks, words):
    with pytest.raises(ValueError, match=words):
        function(maps, masks)


@pytest.mark.parametrize("tolerance", [-1, 1.5, True, "2"])
def test_a_tolerance_is_a_number_of_pixels(tolerance):
    with pytest.raises(ValueError, match="whole number of pixels"):
        trust.pointing(torch.rand(1, 3, 3), torch.rand(1, 3, 3) < 0.5, tolerance=tolerance)


# maps that tell little


def test_guided_backpropagation_is_captums(small):
    model = small.double().eval()
    model[0][2].inplace = False  # Captum's hooks do not bear it
    images, classes = torch.randn(3, 3, 9, 7, dtype=torch.float64), torch.tensor([4, 0, 2])
    ours = trust.guided_backpropagation(model, images, classes)
    with pytest.warns(UserWarning):  # Captum says that it sets hooks
        theirs = captum.GuidedBackprop(model).attribute(images.clone().requires_grad_(), classes)
    torch.testing.assert_close(ours, theirs, rtol=1e-9, atol=1e-12)
    model[0][2].inplace = True
    torch.testing.assert_close(trust.guided_backpropagation(model, images, classes), ours)


def test_guided_backpropagation_leaves_no_hook(small):
    before = [p.clone() for p in small.parameters()]
    trust.guided_backpropagation(small, torch.randn(2, 3, 9, 7), 1)
    assert not any(layer._forward_hooks for layer in small.modules())
    assert all(p.grad is None and torch.equal(p, q) for p, q in zip(small.parameters(), before, strict=True))
    with pytest.raises(ValueError, match="there is no class 9"):
        trust.guided_backpropagation(small, torch.randn(2, 3, 9, 7), 9)
    assert not any(layer._forward_hooks for layer in small.modules())


def test_relu6_is_guided_and_a_model_without_layers_is_refused():
    model = nn.Sequential(nn.Flatten(), nn.Linear(4, 3), nn.ReLU6(), nn.Linear(3, 2, bias=False)).eval()
    with torch.no_grad():
        model[1].weight.fill_(1)
        model[1].bias.copy_(torch.tensor([0.0, 0.0, 10.0]))  # the third saturates
        model[3].weight.copy_(torch.tensor([[2.0, -1.0, 5.0], [0.0, 0.0, 0.0]]))
    guided = trust.guided_backpropagation(model, torch.ones(1, 1, 2, 2), 0)
    assert guided.flatten().tolist() == [2, 2, 2, 2]  # not 2 − 1, and nothing through the third
    with pytest.raises(ValueError, match="no layer nn.ReLU or nn.ReLU6"):
        trust.guided_backpropagation(DeepCNN(3, 4, 10), torch.randn(1, 3, 8, 8))


def test_edges_are_sobels():
    images = torch.rand(2, 3, 9, 12, dtype=torch.float64)
    for image, found in zip(images, trust.edges(images), strict=True):
        # scikit-image's kernels are 1/4 of these, and it takes the mean of both squares
        theirs = torch.from_numpy(skimage.filters.sobel(image.mean(0).numpy(), mode="nearest"))
        torch.testing.assert_close(found, theirs * 4 * 2**0.5)
    assert (trust.edges(torch.full((1, 3, 5, 5), 0.7)) < 1e-6).all()
    with pytest.raises(ValueError, match="float tensor"):
        trust.edges(torch.zeros(3, 4, 4))
