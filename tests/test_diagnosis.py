"""What says what is wrong with a network: calibration, examination, damaged pictures."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from utils import plots
from utils.data import corrupt
from utils.data.corruptions import KINDS
from utils.diagnosis import examine, fit_temperature, reliability
from utils.training import History


def answers(seed: int, number: int = 300, classes: int = 5, scale: float = 2.0, true: float = 1.0):
    """Random logits, and labels drawn by their probabilities at the temperature ``true``."""
    source = torch.Generator().manual_seed(seed)
    logits = scale * torch.randn(number, classes, generator=source)
    labels = torch.multinomial((logits / true).softmax(1), 1, generator=source)[:, 0]
    return logits, labels


# ---- calibration --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("bins", [1, 7, 10, 15])
@pytest.mark.parametrize("seed", range(5))
def test_reliability_equals_a_loop_over_the_bins(seed, bins):
    logits, labels = answers(seed, classes=2 + seed)
    confidence, answer = logits.softmax(1).max(1)
    found, error = reliability(logits, labels, bins), 0.0
    for b in range(bins):
        inside = ((confidence * bins) > b) & ((confidence * bins) <= b + 1)
        assert found.share[b] == pytest.approx(inside.float().mean().item())
        if inside.any():
            right = (answer == labels)[inside].float().mean().item()
            mean = confidence[inside].mean().item()
            assert found.accuracy[b] == pytest.approx(right, abs=1e-5)
            assert found.confidence[b] == pytest.approx(mean, abs=1e-5)
            error += inside.float().mean().item() * abs(right - mean)
        else:
            assert found.accuracy[b] == found.confidence[b] == 0
    assert found.share.sum() == pytest.approx(1)
    assert found.error == pytest.approx(error, abs=1e-5)


def test_error_of_cases_known_by_hand():
    even = torch.zeros(10, 10)  # 1/10 for every class; the answer is class 0
    assert reliability(even, torch.arange(10)).error == pytest.approx(0, abs=1e-6)
    assert reliability(even, torch.ones(10, dtype=torch.int64)).error == pytest.approx(0.1)
    sure = torch.tensor([[100.0, 0.0]] * 4)  # confidence 1 falls into the last bin
    assert reliability(sure, torch.tensor([0, 0, 0, 1])).error == pytest.approx(0.25)
    assert reliability(sure, torch.tensor([0, 0, 0, 1])).share[-1] == 1


@pytest.mark.parametrize("true", [0.3, 1.0, 2.5, 6.0])
def test_temperature_is_where_the_loss_is_smallest(true):
    logits, labels = answers(0, number=4000, scale=2 * true, true=true)
    found = fit_temperature(logits, labels)
    assert found == pytest.approx(true, rel=0.1)
    best = F.cross_entropy(logits / found, labels)
    for factor in (0.9, 0.97, 1.03, 1.1):
        assert F.cross_entropy(logits / (factor * found), labels) > best
    # with PyTorch's own optimiser
    log_t = torch.zeros((), requires_grad=True)
    optimizer = torch.optim.LBFGS([log_t], max_iter=100)

    def closure():
        optimizer.zero_grad()
        loss = F.cross_entropy(logits / log_t.exp(), labels)
        loss.backward()
        return loss

    optimizer.step(closure)
    assert found == pytest.approx(log_t.exp().item(), rel=1e-3)


def test_temperature_has_bounds():
    logits = torch.tensor([[2.0, 0.0], [0.0, 1.0]])
    assert fit_temperature(logits, torch.tensor([0, 1])) == pytest.approx(0.01)  # all right: as sure as possible
    assert fit_temperature(logits, torch.tensor([1, 0])) == pytest.approx(100)  # all wrong: guess


def test_calibration_needs_no_graph_and_leaves_its_arguments():
    logits, labels = answers(1)
    before = logits.clone()
    logits.requires_grad_()
    assert reliability(logits, labels).error >= 0 and fit_temperature(logits, labels) > 0
    assert torch.equal(logits.detach(), before) and logits.grad is None


@pytest.mark.parametrize("function", [reliability, fit_temperature])
def test_calibration_names_what_does_not_fit(function):
    with pytest.raises(ValueError, match=r"\(3, 2\) and the labels \(4,\), but they must be"):
        function(torch.zeros(3, 2), torch.zeros(4, dtype=torch.int64))
    with pytest.raises(ValueError, match="N at least 1"):
        function(torch.zeros(0, 2), torch.zeros(0, dtype=torch.int64))
    with pytest.raises(ValueError, match="bins is 0, but it must be a whole number"):
        reliability(*answers(0), bins=0)


# ---- examination --------------------------------------------------------------------------------------------------


def small() -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(nn.Flatten(), nn.Linear(12, 16), nn.ReLU(), nn.Linear(16, 3))


def batch():
    source = torch.Generator().manual_seed(0)
    return torch.randn(8, 1, 3, 4, generator=source), torch.randint(3, (8,), generator=source)


def test_a_sound_network_passes():
    model = small()
    inputs, labels = batch()
    F.cross_entropy(model(inputs), labels).backward()
    norms = {name: p.grad.norm().item() for name, p in model.named_parameters() if name.endswith("weight")}
    found = examine(small(), inputs, labels, steps=300)
    assert found.first == pytest.approx(F.cross_entropy(model(inputs), labels).item())
    assert found.gradients == pytest.approx(norms) and found.smallest == min(found.gradients.values())
    assert found.last < 0.1 < found.first and found.moved == found.parameters == 4
    assert str(found).startswith("loss ≈ ") and str(found).endswith("4 of 4 moved")


def test_faults_show_in_the_numbers():
    inputs, labels = batch()
    zero = small()
    for parameter in zero.parameters():
        nn.init.zeros_(parameter)
    assert examine(zero, inputs, labels).moved == 1
    frozen = small()
    frozen[1].requires_grad_(False)
    found = examine(frozen, inputs, labels)
    assert found.moved == 2 and found.gradients["1.weight"] == 0 == found.smallest
    found = examine(small().requires_grad_(False), inputs, labels)
    assert found.moved == 0 and found.first == found.last
    stale = torch.optim.SGD(small().parameters(), lr=0.1)
    found = examine(small(), inputs, labels, optimizer=stale)
    assert found.moved == 0 and found.smallest > 0


def test_examination_trains_in_training_mode_with_the_loss_that_is_given():
    inputs, labels = batch()
    model = small().eval()
    found = examine(model, inputs, labels, steps=1, loss=lambda z, y: 2 * F.cross_entropy(z, y))
    assert model.training and found.first == found.last
    assert found.first == pytest.approx(2 * F.cross_entropy(small()(inputs), labels).item())
    again = copy.deepcopy(small())
    examine(again, inputs, labels, steps=3)
    assert not torch.equal(again[1].weight, small()[1].weight)


def test_examination_names_what_it_cannot_do():
    with pytest.raises(ValueError, match="steps is 0"):
        examine(small(), *batch(), steps=0)
    with pytest.raises(ValueError, match="Flatten.* has no weight"):
        examine(nn.Flatten(), *batch())


# ---- damaged pictures ---------------------------------------------------------------------------------------------


def pictures(*shape: int) -> torch.Tensor:
    return torch.randint(0, 256, shape, generator=torch.Generator().manual_seed(0)).to(torch.uint8)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("shape", [(2, 1, 28, 28), (3, 3, 9, 14), (1, 1, 8, 8)])
def test_damage_grows_with_strength_and_leaves_the_images(kind, shape):
    images = pictures(*shape) // 2 + 32 if kind == "noise" else pictures(*shape)
    before = images.clone()
    damaged = [corrupt(images, kind, strength) for strength in range(6)]
    assert torch.equal(images, before) and torch.equal(damaged[0], images) and damaged[0] is not images
    for image in damaged:
        assert image.shape == images.shape and image.dtype == torch.uint8
    distances = [(image.float() - images.float()).abs().mean() for image in damaged]
    assert distances[1] > 0
    if kind in ("noise", "blur", "contrast", "brightness"):
        assert distances == sorted(distances)
    assert torch.equal(corrupt(images, kind, 3), damaged[3])


def test_each_damage_is_what_it_says():
    images = pictures(2, 1, 28, 28)
    assert torch.equal(corrupt(images, "translation", 3)[..., 6:], images[..., :-6])
    assert corrupt(images, "translation", 3)[..., :6].max() == 0
    grey = torch.full((1, 1, 28, 28), 255, dtype=torch.uint8)
    assert corrupt(grey, "contrast", 5).unique().tolist() == [round(255 * (0.5 + 0.5 * 0.1))]
    assert corrupt(grey // 5, "brightness", 2).unique().tolist() == [51 + 51]
    smooth = torch.linspace(40, 200, 28).round().byte().expand(1, 3, 28, 28).contiguous()
    losses = [
        (corrupt(kept, "jpeg", 5).float() - kept.float()).abs().mean() for kept in (smooth, pictures(1, 3, 28, 28))
    ]
    assert losses[0] < 6 < losses[1]  # smooth pictures survive, grains do not
    flat = torch.full((1, 1, 90, 90), 128, dtype=torch.uint8)
    noise = corrupt(flat, "noise", 1).float() / 255 - 128 / 255
    assert noise.std().item() == pytest.approx(0.15, rel=0.05) and abs(noise.mean().item()) < 0.01
    assert not torch.equal(corrupt(flat, "noise", 1), corrupt(flat, "noise", 1, seed=1))
    line = torch.zeros(1, 1, 29, 29, dtype=torch.uint8)
    line[..., 14] = 255
    row = corrupt(line, "blur", 5)[0, 0, 14].double()
    places = torch.arange(29.0).double() - 14
    assert ((row * places**2).sum() / row.sum()).sqrt().item() == pytest.approx(3, rel=0.1)
    right = torch.zeros(1, 1, 29, 29, dtype=torch.uint8)
    right[..., 14, 24:27] = 255  # to the right of the middle; counter-clockwise is up
    turned = corrupt(right, "rotation", 5)[0, 0].double()
    mean_row = (turned.sum(1) * torch.arange(29.0)).sum() / turned.sum()
    assert mean_row.item() == pytest.approx(14 - 11 * 3**0.5 / 2, abs=0.7)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ((pictures(1, 1, 8, 8), "fog", 1), "kind is 'fog', but it must be one of noise, blur"),
        ((pictures(1, 1, 8, 8), "blur", 6), "strength is 6, but it must be a whole number from 0 to 5"),
        ((pictures(1, 1, 8, 8), "blur", True), "strength is True"),
        ((pictures(1, 8, 8), "blur", 1), r"shape \(1, 8, 8\), but they must be uint8"),
        ((pictures(1, 1, 8, 8).float(), "blur", 1), "torch.float32"),
        ((pictures(1, 2, 8, 8), "jpeg", 1), "2 channels"),
    ],
)
def test_damage_names_what_is_wrong(arguments, said):
    with pytest.raises(ValueError, match=said):
        corrupt(*arguments)


# ---- figures ------------------------------------------------------------------------------------------------------


def test_figures_show_the_numbers():
    import matplotlib.pyplot as plt

    histories = {"a": History([2.0, 1.0], [2.1, 1.5]), "b": History([3.0]), "c": History([1.0]), "d": History([1.0])}
    axes = plots.loss_panels(histories)
    assert [axis.get_title() for axis in axes] == list("abcd")
    assert [list(line.get_ydata()) for line in axes[0].lines] == [[2.0, 1.0], [2.1, 1.5]]
    assert len(axes[1].lines) == 1
    with pytest.raises(ValueError, match="no runs to draw"):
        plots.loss_panels({})
    bins = reliability(*answers(0))
    axis = plots.reliability(bins)
    assert [bar.get_height() for bar in axis.patches] == pytest.approx(bins.accuracy.tolist())
    assert len(axis.collections[0].get_offsets()) == int((bins.share > 0).sum())
    plt.close("all")
