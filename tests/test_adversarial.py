"""Attacks: the box is never left, Captum's attacks and a plain loop agree, and bad input gets a sentence."""

from __future__ import annotations

import warnings

import pytest
import torch
from captum import robust
from torch import nn
from torch.nn import functional as F

from utils import adversarial
from utils.adversarial import fgsm, noise, pgd, project, to_bytes
from utils.data import digits, photo
from utils.models import LeNet, pretrained
from utils.models.lenet import DIGITS_WEIGHTS
from utils.training import load_weights

MEAN, STD = (0.4, 0.5, 0.45), (0.2, 0.25, 0.3)


class Small(nn.Module):
    """Batch norm, dropout and an in-place layer, for oblong colour images."""

    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Sequential(nn.Conv2d(3, 8, 3, padding=1), nn.BatchNorm2d(8), nn.ReLU(inplace=True))
        self.drop, self.head = nn.Dropout(0.5), nn.Linear(8, 5)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.head(self.drop(self.body(x).mean((2, 3))))


@pytest.fixture
def small():
    torch.manual_seed(0)
    return Small().eval(), torch.rand(6, 3, 9, 7), torch.tensor([0, 4, 2, 1, 1, 3])


@pytest.fixture(scope="module")
def reader():
    test = digits().test.take(slice(0, 100))
    model = load_weights(LeNet(), DIGITS_WEIGHTS).eval()
    return model, test.images.float() / 255, test.labels, {"mean": test.mean, "std": test.std}


ATTACKS = {
    "FGSM": fgsm,
    "FGSM, targeted": lambda *a, **k: fgsm(*a, targeted=True, **k),
    "PGD": pgd,
    "PGD, many steps": lambda *a, **k: pgd(*a, steps=30, step=1.0, **k),
    "PGD, targeted, restarts": lambda *a, **k: pgd(*a, targeted=True, restarts=2, steps=3, **k),
    "noise": lambda model, images, labels, budget, **k: noise(images, budget),
}


@pytest.mark.parametrize("attack", ATTACKS.values(), ids=ATTACKS)
@pytest.mark.parametrize("budget", [0.0, 1e-9, 0.5 / 255, 8 / 255, 0.1, 1 / 3, 1.0])
def test_the_budget_is_kept_to_the_last_bit(small, attack, budget):
    model, images, labels = small
    images[0, :, 0] = torch.tensor([0.0, 1.0, 0.5, 1e-30, 1 - 2**-24, 1 / 255, 254 / 255])
    given = images.clone()
    found = attack(model, images, labels, budget, mean=MEAN, std=STD)
    assert found.shape == images.shape and found.dtype == images.dtype and not found.requires_grad
    assert (found.double() - images.double()).abs().max().item() <= budget
    assert found.min() >= 0 and found.max() <= 1 and torch.equal(images, given)
    if budget == 0:
        assert torch.equal(found, images)
    elif budget > 1e-3:
        assert (found - images).abs().max() > 0.99 * min(budget, 0.5)


def test_the_plain_projection_would_not_keep_it():
    torch.manual_seed(0)
    images = torch.rand(1, 3, 64, 64)
    naive = (images + 8 / 255).clamp(max=1)
    assert (naive.double() - images.double()).max().item() > 8 / 255
    exact = project(images + 1, images, 8 / 255)
    assert (naive - exact).abs().max() < 1e-7 and torch.equal(project(exact, images, 8 / 255), exact)


def test_bytes_keep_the_budget_and_the_change(reader):
    model, images, labels, constants = reader
    for budget in (0.5 / 255, 1 / 255, 7.5 / 255, 40 / 255):
        found = pgd(model, images, labels, budget, steps=3, **constants)
        saved, original = to_bytes(found, images, budget), (255 * images).round()
        assert saved.dtype == torch.uint8
        assert (saved.double() - original.double()).abs().max().item() <= 255 * budget
    whole = project(images + 12 / 255, images, 12 / 255)
    assert torch.equal(to_bytes(whole, images, 12 / 255), (original + 12).clamp(max=255).to(torch.uint8))


@pytest.mark.parametrize("targeted", [False, True])
def test_fgsm_is_pgd_of_one_step(small, targeted):
    model, images, labels = small
    options = {"mean": MEAN, "std": STD, "targeted": targeted}
    one = pgd(model, images, labels, 0.03, steps=1, step=0.03, random_start=False, **options)
    assert torch.equal(fgsm(model, images, labels, 0.03, **options), one)


@pytest.mark.filterwarnings("ignore:.*did not already require gradients:UserWarning")
@pytest.mark.parametrize("targeted", [False, True])
def test_captum_makes_the_same_images(targeted):
    torch.manual_seed(1)
    model, images = Small().double().eval(), torch.rand(6, 3, 9, 7, dtype=torch.float64)
    labels = torch.tensor([0, 4, 2, 1, 1, 3])
    mean, std = (torch.tensor(v, dtype=torch.float64).view(3, 1, 1) for v in (MEAN, STD))

    def on_pixels(x):
        return model((x - mean) / std)

    loss = nn.CrossEntropyLoss(reduction="none")
    options = {"mean": MEAN, "std": STD, "targeted": targeted}
    theirs = robust.FGSM(on_pixels, loss, 0.0, 1.0).perturb(images.clone(), 0.04, labels, targeted=targeted)
    assert torch.allclose(fgsm(model, images, labels, 0.04, **options), theirs, atol=1e-12)
    theirs = robust.PGD(on_pixels, loss, 0.0, 1.0).perturb(
        images.clone(), 0.04, 0.01, 7, labels, random_start=False, targeted=targeted, norm="Linf"
    )
    ours = pgd(model, images, labels, 0.04, steps=7, step=0.01, random_start=False, **options)
    assert torch.allclose(ours, theirs, atol=1e-12)


def test_a_plain_loop_on_a_pretrained_network_makes_the_same_images():
    lite = pretrained.load()
    image = photo("coffee", size=96)[None, :, :96, :96]
    x, label = image.clone().requires_grad_(), torch.tensor([967])
    F.cross_entropy(lite.model((x - lite.mean[0]) / lite.std[0]), label).backward()
    expected = (image + 2 / 255 * x.grad.sign()).clamp(0, 1)
    found = fgsm(lite.model, image, 967, 2 / 255, mean=lite.mean, std=lite.std)
    # Where the gradient is 0 but for rounding, its sign may differ.
    assert ((found - expected).abs() < 1e-6).float().mean() > 0.995


def test_a_larger_budget_fools_more_and_a_better_attack_too(reader):
    model, images, labels, constants = reader

    def right(changed):
        with torch.no_grad():
            standard = (changed - torch.tensor(constants["mean"])) / torch.tensor(constants["std"])
            return (model(standard).argmax(1) == labels).float().mean().item()

    clean = right(images)
    by_fgsm = [right(fgsm(model, images, labels, b, **constants)) for b in (0.02, 0.08, 0.16)]
    by_pgd = [right(pgd(model, images, labels, b, **constants)) for b in (0.02, 0.08, 0.16)]
    assert clean > by_fgsm[0] > by_fgsm[1] > by_fgsm[2] and by_pgd[0] > by_pgd[1] > by_pgd[2]
    assert by_pgd[1] < by_fgsm[1] and by_pgd[2] < by_fgsm[2] - 0.1
    assert right(noise(images, 0.16)) > by_fgsm[2] + 0.3
    # A target is reached, and more restarts never do worse.
    target = (labels + 3) % 10
    once, thrice = ((right(pgd(model, images, labels, 0.08, steps=4, restarts=n, **constants))) for n in (1, 3))
    assert thrice <= once
    led = pgd(model, images, target, 0.3, steps=20, targeted=True, **constants)
    with torch.no_grad():
        answers = model((led - constants["mean"][0]) / constants["std"][0]).argmax(1)
    assert (answers == target).float().mean() > 0.9


def test_seeds_and_labels(small):
    model, images, labels = small
    first, again, other = (pgd(model, images, labels, 0.05, steps=2, seed=s) for s in (0, 0, 1))
    assert torch.equal(first, again) and not torch.equal(first, other)
    own = model(images).argmax(1)
    assert torch.equal(fgsm(model, images, None, 0.05), fgsm(model, images, own.tolist(), 0.05))
    assert torch.equal(fgsm(model, images, 2, 0.05), fgsm(model, images, torch.full((6,), 2), 0.05))
    assert torch.equal(noise(images, 0.05, seed=3), noise(images, 0.05, seed=3))
    steps = (255 * (noise(torch.full((1, 1, 40, 40), 0.5), 8 / 255) - 0.5)).round()
    assert steps.unique().tolist() == [-8, 8] and abs(steps.mean()) < 1


def test_the_model_is_left_as_it_was(small):
    model, images, labels = small
    model.train()
    model.body[1].eval()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    for parameter in model.body.parameters():
        parameter.requires_grad_(False)
    random = torch.random.get_rng_state()
    with torch.no_grad():
        fgsm(model, images, labels, 0.05)
    with torch.inference_mode():
        pgd(model, images, labels, 0.05, restarts=2, steps=2)
    assert model.training and model.drop.training and not model.body[1].training
    assert all(torch.equal(before[name], value) for name, value in model.state_dict().items())
    assert all(p.grad is None for p in model.parameters())
    assert torch.equal(random, torch.random.get_rng_state())


class Sharp(nn.Module):
    """The same answers, surer by a factor."""

    def __init__(self, model: nn.Module, factor: float) -> None:
        super().__init__()
        self.model, self.factor = model, factor

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.factor * self.model(x)


class Stepped(nn.Module):
    """Rounds its input: the derivative is 0 wherever there is one."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.model((8 * x).round() / 8)


def test_a_masked_gradient_is_warned_of(reader, small):
    model, images, labels, constants = reader
    with pytest.warns(UserWarning, match="0 everywhere for 6 of 6 images.*no sign of robustness") as caught:
        pgd(Stepped(small[0]), *small[1:], 0.1)
    assert len(caught) == 1 and caught[0].filename == __file__
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        # A very sure network masks only the gradient of the cross-entropy, which is rounded to 0.
        sure = Sharp(model, 1000)
        found = fgsm(sure, images, labels, 0.1, **constants)
    x = images.clone().requires_grad_()
    loss = F.cross_entropy(sure((x - constants["mean"][0]) / constants["std"][0]), labels, reduction="none")
    slope = torch.autograd.grad(loss.sum(), x)[0]
    assert (slope == 0).flatten(1).all(1).float().mean() > 0.9
    with torch.no_grad():
        answers = [model((x - constants["mean"][0]) / constants["std"][0]).argmax(1) for x in (images, found)]
    assert (answers[0] == labels).sum() - (answers[1] == labels).sum() > 20


def standardised(images):
    return (images - 0.5) / 0.2


BAD = {
    "a negative budget": (lambda m, x, y: fgsm(m, x, y, -0.1), ValueError, "the budget is -0.1"),
    "a budget in bytes": (lambda m, x, y: pgd(m, x, y, 8), ValueError, "8 / 255"),
    "a budget that is none": (lambda m, x, y: fgsm(m, x, y, float("nan")), ValueError, "the budget is nan"),
    "a negative step": (lambda m, x, y: pgd(m, x, y, 0.1, step=-1), ValueError, "the step is -1"),
    "no steps": (lambda m, x, y: pgd(m, x, y, 0.1, steps=0), ValueError, "steps is 0"),
    "half a restart": (lambda m, x, y: pgd(m, x, y, 0.1, restarts=0.5), ValueError, "restarts is 0.5"),
    "the same again": (lambda m, x, y: pgd(m, x, y, 0.1, restarts=2, random_start=False), ValueError, "the same"),
    "standardised": (lambda m, x, y: fgsm(m, standardised(x), y, 0.1), ValueError, "before standardisation"),
    "not a number": (lambda m, x, y: fgsm(m, x * float("nan"), y, 0.1), ValueError, "from nan"),
    "bytes": (lambda m, x, y: fgsm(m, (255 * x).byte(), y, 0.1), TypeError, "uint8"),
    "an array": (lambda m, x, y: fgsm(m, x.numpy(), y, 0.1), TypeError, "ndarray"),
    "one image": (lambda m, x, y: fgsm(m, x[0], y, 0.1), ValueError, r"images\[None\]"),
    "no image": (lambda m, x, y: fgsm(m, x[:0], y[:0], 0.1), ValueError, "shape"),
    "other floats": (lambda m, x, y: fgsm(m, x.double(), y, 0.1), ValueError, "float64"),
    "a class too many": (lambda m, x, y: fgsm(m, x, y + 1, 0.1), ValueError, "no class 5; the model has 5"),
    "a class below 0": (lambda m, x, y: pgd(m, x, -1, 0.1), ValueError, "no class -1"),
    "too few labels": (lambda m, x, y: fgsm(m, x, y[:2], 0.1), ValueError, "6 images"),
    "shares as labels": (lambda m, x, y: fgsm(m, x, y.float(), 0.1), TypeError, "whole numbers"),
    "no target": (lambda m, x, y: fgsm(m, x, None, 0.1, targeted=True), ValueError, "give labels"),
    "two means": (lambda m, x, y: fgsm(m, x, y, 0.1, mean=(0.1, 0.2)), ValueError, "3 channels"),
    "no spread": (lambda m, x, y: fgsm(m, x, y, 0.1, std=0.0), ValueError, "larger than 0"),
    "maps": (lambda m, x, y: fgsm(m.body, x, y, 0.1), ValueError, "logits"),
    "bytes from between": (lambda m, x, y: to_bytes(x, x, 0.1), ValueError, "between the bytes"),
    "bytes over budget": (lambda m, x, y: to_bytes(0 * x, 0 * x + 0.2, 0.1), ValueError, "51.000 bytes"),
    "bytes of others": (lambda m, x, y: to_bytes(x, x[:2], 0.1), ValueError, "give pairs"),
}


@pytest.mark.parametrize(("call", "error", "words"), BAD.values(), ids=BAD)
def test_bad_input_is_named(small, call, error, words):
    with pytest.raises(error, match=words):
        call(*small)


def test_a_model_without_a_gradient_is_named(small):
    model, images, labels = small

    class Detached(nn.Module):
        def forward(self, x):
            return model(x.detach()).detach()

    with pytest.raises(ValueError, match="no gradient"):
        fgsm(Detached(), images, labels, 0.1)


def test_the_module_says_where_it_is_from():
    assert "1412.6572" in adversarial.__doc__ and "1706.06083" in adversarial.__doc__
