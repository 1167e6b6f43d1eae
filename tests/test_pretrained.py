"""ImageNet weights in our networks: photographs are named rightly, files of all kinds are read or refused with a reason."""

from __future__ import annotations

import re

import pytest
import torch
from torchvision import models as reference

from utils import downloads, weights
from utils.data import photo
from utils.models import pretrained


@pytest.fixture(scope="module")
def lite():
    return pretrained.load()


def photograph(name: str) -> torch.Tensor:
    return photo(name).expand(3, -1, -1)


@pytest.mark.parametrize(
    ("name", "classes", "least"),
    [
        ("chelsea", {"tabby", "tiger cat", "Egyptian cat"}, 0.8),  # a cat; which kind cannot be told from its face
        ("coffee", {"espresso"}, 0.8),
        ("camera", {"tripod"}, 0.8),
        ("rocket", {"missile", "projectile"}, 0.3),
        ("china", {"palace", "bell cote"}, 0.3),
        ("flower", {"daisy"}, 0.2),
    ],
)
def test_photographs_are_named_rightly(lite, name, classes, least):
    guesses = lite.classify(photograph(name)[None], k=5)[0]
    assert {label for label, _ in guesses[: len(classes)]} == classes
    assert sum(chance for label, chance in guesses if label in classes) > least
    assert [chance for _, chance in guesses] == sorted((chance for _, chance in guesses), reverse=True)


def test_images_may_be_bytes_and_of_any_size(lite):
    image = photograph("coffee")
    floats, whole = lite.preprocess(image), lite.preprocess((255 * image).round().to(torch.uint8))
    assert floats.shape == whole.shape == (3, 224, 224)
    assert (floats - whole).abs().mean() < 0.01  # they round differently
    assert lite.preprocess(torch.rand(2, 3, 90, 400)).shape == (2, 3, 224, 224)
    assert not lite.model.training
    assert len(lite.categories) == 1000


@pytest.mark.parametrize(
    ("images", "said"),
    [
        (torch.rand(1, 8, 8), r"must be a tensor \(N, 3, H, W\).*this is \(1, 8, 8\).*expand"),
        ("coffee.png", "this is str"),
        (255 * torch.rand(3, 8, 8), "floats from 0 to 1"),
    ],
)
def test_images_that_cannot_be_prepared_are_named(lite, images, said):
    with pytest.raises(ValueError, match=said):
        lite.preprocess(images)


def test_preparation_is_that_of_torchvision(tmp_path):
    torch.save(reference.mobilenet_v3_small().state_dict(), tmp_path / "weights.pt")
    ours = pretrained.load("mobilenet_v3_small", tmp_path / "weights.pt")
    theirs = reference.MobileNet_V3_Small_Weights.IMAGENET1K_V1.transforms()
    image = photograph("chelsea")
    assert torch.allclose(ours.preprocess(image), theirs(image), atol=1e-6)


@pytest.mark.parametrize("name", ["densenet121", "googlenet", "mobilenet_v3_small"])
def test_files_of_torchvision_are_read_old_ones_too(name, tmp_path):
    extra = {"init_weights": False, "aux_logits": True} if name == "googlenet" else {}
    torch.manual_seed(0)
    theirs = reference.get_model(name, weights=None, **extra)
    state = {
        re.sub(r"(denselayer\d+\.(?:norm|conv))([12])\.", r"\1.\2.", key): value  # as in files of 2017
        for key, value in reversed(theirs.state_dict().items())  # files need not have the order of the network
        if not key.endswith("num_batches_tracked")
    }
    torch.save(state, tmp_path / "weights.pt")
    ours = pretrained.load(name, tmp_path / "weights.pt").model
    images = torch.randn(2, 3, 64, 64)
    with torch.no_grad():
        assert torch.allclose(ours(images), theirs.eval()(images), atol=1e-4)


def test_our_own_files_are_read_and_weights_can_be_trained(tmp_path):
    model = pretrained.NETWORKS["mobilenet_v3_small"]()
    torch.save(model.state_dict(), tmp_path / "ours.pt")
    again = pretrained.load("mobilenet_v3_small", tmp_path / "ours.pt").model
    for a, b in zip(model.state_dict().values(), again.state_dict().values(), strict=True):
        assert torch.equal(a, b)
    assert all(parameter.requires_grad for parameter in again.parameters())


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("resnet51", "there is no pretrained network 'resnet51'; did you mean resnet50 or"),
        ("lenet", "there is no pretrained network 'lenet'; did you mean alexnet"),
        (7, "there is no pretrained network 7; there are alexnet, vgg11"),
    ],
)
def test_an_unknown_network_is_named_with_the_near_ones(name, said):
    with pytest.raises(ValueError, match=said):
        pretrained.load(name)


def test_weights_of_another_network_are_refused_with_names_and_numbers(tmp_path):
    torch.save(reference.mobilenet_v3_small().state_dict(), tmp_path / "small.pt")
    with pytest.raises(
        ValueError,
        match=r"not the weights of resnet18, which has 122 tensors: 102 are missing, the first is conv1\.weight; "
        r"244 are unknown to it",
    ):
        pretrained.load("resnet18", tmp_path / "small.pt")
    torch.save(reference.mobilenet_v3_small(num_classes=7).state_dict(), tmp_path / "seven.pt")
    with pytest.raises(
        ValueError, match=r"2 have another shape, the first is classifier\.3\.weight \(7, 1024\) instead"
    ):
        pretrained.load("mobilenet_v3_small", tmp_path / "seven.pt")


def test_files_that_hold_no_weights_are_refused(tmp_path):
    path = tmp_path / "weights.pt"
    with pytest.raises(FileNotFoundError, match=r"there is no file weights\.pt in .*file of weights"):
        pretrained.load(file=path)
    torch.save(weights.read_weights(pretrained._package_file()), path)
    path.write_bytes(path.read_bytes()[:-5000])
    with pytest.raises(ValueError, match=r"weights\.pt cannot be read as weights: it is cut off or something else"):
        pretrained.load(file=path)
    path.write_text("a page of text, saved under the wrong name")
    with pytest.raises(ValueError, match="cannot be read as weights"):
        pretrained.load(file=path)
    torch.save([1, 2, 3], path)
    with pytest.raises(ValueError, match=r"holds a list, but weights are a dict of tensors"):
        pretrained.load(file=path)


def test_weights_that_cannot_be_had_say_where_to_put_them(tmp_path, monkeypatch):
    monkeypatch.setenv("CNN_DATA", str(tmp_path))
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path / "hub"))
    monkeypatch.setattr(downloads, "_download", lambda url, *_: f"{url} could not be read (no network)")
    with pytest.raises(FileNotFoundError) as caught:
        pretrained.load("resnet18")
    said = str(caught.value)
    assert "put resnet18-f37072fd.pth (SHA-256 f37072fd) by hand into" in said
    assert str(tmp_path / "weights") in said
    assert "pretrained.load('efficientnet_lite0')" in said


def test_every_network_has_published_weights():
    for name in pretrained.NETWORKS:
        if name != pretrained.LITE:
            published = next(iter(reference.get_model_weights(name)))
            assert re.search(r"-[0-9a-f]{8}\.pth$", published.url)
            assert published.meta["categories"] == list(pretrained.categories())
