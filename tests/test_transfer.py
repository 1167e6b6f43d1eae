"""Feature extraction: features are those of the network, a head on them is scikit-learn's, what is frozen stays."""

from __future__ import annotations

import copy
import pickle
from pathlib import Path

import pytest
import torch
from sklearn.linear_model import LogisticRegression
from torch import nn
from torchvision import models as reference

from utils import data, transfer
from utils.models import pretrained


@pytest.fixture(scope="module")
def lite():
    return pretrained.load()


@pytest.fixture
def net() -> nn.Module:
    torch.manual_seed(0)
    body = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten())
    return nn.Sequential(body, nn.Sequential(nn.Dropout(0.5), nn.Linear(4, 5)))


def pictures(n: int = 5, side: int = 12, channels: int = 3) -> torch.Tensor:
    return torch.randint(0, 256, (n, channels, side, side), generator=torch.Generator().manual_seed(1)).to(torch.uint8)


OPTIONS = {"size": None, "mean": (0.5, 0.4, 0.3), "std": (0.2, 0.3, 0.4)}


# faces and held-out photographs


def test_faces_need_no_network_and_keep_both_classes_in_every_part():
    import skimage.data

    assert (Path(skimage.data.data_dir) / "lfw_subset.npy").is_file()
    sets = data.faces()
    assert [len(part) for part in (sets.train, sets.validation, sets.test)] == [100, 20, 80]
    assert sets.train.images.shape[1:] == (1, 25, 25) and sets.train.classes == ("no face", "face")
    for part in (sets.train, sets.validation, sets.test):
        assert part.labels.bincount().tolist() == [len(part) // 2] * 2
        assert part.mean == sets.train.mean
    # all two hundred, each once
    every = torch.cat([part.images for part in (sets.train, sets.validation, sets.test)]).flatten(1)
    assert len(every.unique(dim=0)) == len({row.numpy().tobytes() for row in every}) == 200
    assert data.faces() is data.faces() and not torch.equal(data.faces(1).test.images, sets.test.images)


def test_faces_are_labelled_rightly():
    sets = data.faces()
    # a face is textured in its middle; of the others, many are flat or cut by a black wedge
    middle = sets.train.images[:, 0, 6:19, 6:19].float().std((1, 2))
    assert middle[sets.train.labels == 1].median() > 1.5 * middle[sets.train.labels == 0].median()
    with pytest.raises(ValueError, match="200 images"):
        data.faces(validation=100, test=100)


def test_held_out_photographs_are_seen_in_the_test_alone():
    out = ("cat", "moon")
    rest = tuple(name for name in data.TEXTURES if name not in out)
    shape = data.shapes(60, 20, 30, held_out=out)
    assert torch.equal(shape.train.images, data.scenes(60, textures=rest).images)
    assert torch.equal(shape.test.images, data.scenes(30, part="test", textures=out).images)
    texture = data.shapes(60, 20, 30, held_out=out, label="texture")
    assert texture.train.classes == texture.test.classes == rest
    scenes = data.scenes(300, part="test", textures=rest, backgrounds=out)
    assert scenes.textures == rest and scenes.backgrounds == out
    assert scenes.background.bincount().min() > 100 and scenes.texture.bincount().min() > 20
    assert torch.equal(texture.test.images, scenes.images[:30])
    # without held-out photographs, both name the same
    usual = data.scenes(5)
    assert usual.backgrounds == usual.textures == tuple(data.TEXTURES)


@pytest.mark.parametrize(
    ("call", "said"),
    [
        (lambda: data.shapes(5, 1, 1, held_out=("wood",)), "'wood' is held out.*brick"),
        (lambda: data.shapes(5, 1, 1, held_out=("cat",)), "at least two"),
        (lambda: data.shapes(5, 1, 1, textures=("cat", "moon"), held_out=("cat",), label="texture"), "at least two"),
        (lambda: data.scenes(5, textures=("cat", "moon"), backgrounds=("moon",)), "none of the textures.*brick"),
        (lambda: data.scenes(5, textures=("cat", "moon"), backgrounds=()), "at least one"),
        (lambda: data.scenes(5, backgrounds=("moon",)), "all are taken"),
    ],
)
def test_photographs_that_make_no_sense_are_named(call, said):
    with pytest.raises(ValueError, match=said):
        call()


# features


def test_features_are_the_input_of_the_head(net):
    net.train()
    net[1].eval()  # each layer gets its own mode back
    before = {name: value.clone() for name, value in net.state_dict().items()}
    rows = transfer.features(net, pictures(), batch_size=2, **OPTIONS)
    assert [part.training for part in net.modules()] == [True] * 7 + [False] * 3
    assert all(torch.equal(value, before[name]) for name, value in net.state_dict().items())
    assert not rows.requires_grad and not any(part._forward_pre_hooks for part in net.modules())
    inputs = (pictures().float() / 255 - torch.tensor(OPTIONS["mean"]).view(3, 1, 1)) / torch.tensor(
        OPTIONS["std"]
    ).view(3, 1, 1)
    expected = net.eval()[0](inputs)
    assert torch.allclose(rows, expected, atol=1e-6)
    maps = transfer.features(net, pictures(), "0.2", **OPTIONS)
    assert torch.allclose(maps, expected, atol=1e-6)  # maps are averaged, as the network does next
    floats = transfer.features(net, pictures() / 255, **OPTIONS)
    assert torch.allclose(floats, rows, atol=1e-6)


def test_head_on_features_is_the_network(lite):
    images = pictures(3, 40)
    rows = transfer.features(lite, images, size=64)
    assert rows.shape == (3, 1280)
    inputs = transfer.prepare(images, 64, lite.mean, lite.std)
    with torch.no_grad():
        assert torch.allclose(lite.model.head(rows), lite.model(inputs), atol=1e-4)
    grey = data.faces().test.take(slice(0, 2))
    assert transfer.features(lite, grey, size=32).shape == (2, 1280)
    assert torch.equal(
        transfer.features(lite, grey, size=32), transfer.features(lite, grey.images.expand(-1, 3, -1, -1), size=32)
    )


@pytest.mark.parametrize(
    ("name", "width"),
    [("resnet18", 512), ("vgg11", 4096), ("densenet121", 1024), ("mobilenet_v3_small", 1024), ("vit_b_16", 768)],
)
def test_heads_of_all_families_are_found_and_replaced(name, width):
    # dense layers inside a transformer are no heads
    model = reference.get_model(name, weights=None)
    assert transfer.features(model, pictures(1, 224), size=None, mean=(0.5,) * 3, std=(0.5,) * 3).shape == (1, width)
    head = transfer.replace_head(model, 7)
    assert model.get_submodule(head).in_features == width
    with torch.no_grad():
        assert model.eval()(torch.zeros(1, 3, 224, 224)).shape == (1, 7)


def test_preparation_resizes_and_cuts_the_middle_out():
    wide = torch.zeros(1, 3, 10, 30)
    wide[..., 10:20] = 1
    assert torch.equal(transfer.prepare(wide, 10), torch.ones(1, 3, 10, 10))
    assert transfer.prepare(wide, (5, 8)).shape == (1, 3, 5, 8)
    assert torch.equal(transfer.prepare(wide[:, :1]), wide)
    assert transfer.prepare(pictures(2, 9), 17).shape == (2, 3, 17, 17)


@pytest.mark.parametrize(
    ("images", "options", "error", "said"),
    [
        ("cat.png", {}, TypeError, "this is str"),
        (torch.zeros(3, 8, 8), {}, ValueError, r"images\[None\]"),
        (torch.zeros(1, 8, 8, 3), {}, ValueError, "permute"),
        (torch.zeros(1, 4, 8, 8), {}, ValueError, r"\(1, 4, 8, 8\)"),
        (torch.zeros(0, 3, 8, 8), {}, ValueError, "no images"),
        (torch.full((1, 3, 8, 8), 255.0), {}, ValueError, "go from 255 to 255"),
        (torch.randn(4, 3, 8, 8), {}, ValueError, "before standardisation"),
        (torch.full((1, 3, 8, 8), torch.nan), {}, ValueError, "floats from 0 to 1"),
        (torch.zeros(1, 3, 8, 8, dtype=torch.int64), {}, ValueError, "torch.int64"),
        (torch.zeros(1, 3, 8, 8), {"size": 0}, ValueError, "size is 0"),
        (torch.zeros(1, 3, 8, 8), {"size": 9.5}, ValueError, "size is 9.5"),
        (torch.zeros(1, 3, 8, 8), {"batch_size": 0}, ValueError, "batch_size is 0"),
        (torch.zeros(1, 3, 8, 8), {"layer": "0.con"}, ValueError, "no layer '0.con'; it has, for example, '0"),
        (torch.zeros(1, 3, 8, 8), {"mean": None}, ValueError, "mean and std are missing"),
    ],
)
def test_bad_images_and_options_are_named(net, images, options, error, said):
    with pytest.raises(error, match=said):
        transfer.features(net, images, **{**OPTIONS, **options})


def test_layers_that_give_no_features_are_named(net):
    with pytest.raises(ValueError, match="no dense layer took part"):
        transfer.features(net[0], pictures(), **OPTIONS)
    with pytest.raises(TypeError, match="the network is list"):
        transfer.features([], pictures(), **OPTIONS)
    net.extra = nn.Linear(2, 2)
    net.forward = lambda x: net[1](net[0](x))
    with pytest.raises(ValueError, match="'extra' took no part"):
        transfer.features(net, pictures(), "extra", **OPTIONS)
    words = nn.Sequential(nn.Flatten(2), nn.Linear(144, 2))
    with pytest.raises(ValueError, match=r"is given \(5, 3, 144\)"):
        transfer.features(words, pictures(), **OPTIONS)
    assert not any(part._forward_hooks or part._forward_pre_hooks for part in net.modules())


# the head


@pytest.mark.parametrize("classes", [2, 4])
def test_the_head_is_that_of_scikit_learn(classes):
    torch.manual_seed(0)
    labels = torch.arange(60) % classes
    rows = torch.randn(60, 9) * torch.logspace(-2, 2, 9) + 3 + labels[:, None]
    rows[:, 4] = 7.0  # a feature that never changes
    head = transfer.linear_head(rows, labels, strength=0.1)
    scaled = (rows - rows.mean(0)).double() / rows.std(0, correction=0).where(rows.std(0) > 0, 1.0)
    theirs = LogisticRegression(C=0.1, max_iter=2000).fit(scaled.numpy(), labels.numpy())
    chances = torch.from_numpy(theirs.predict_proba(scaled.numpy())).float()
    assert torch.allclose(head(rows).softmax(1), chances, atol=1e-4)
    assert transfer.accuracy(head, rows, labels) == pytest.approx(theirs.score(scaled.numpy(), labels.numpy()))


def test_a_class_without_images_is_never_answered():
    rows = torch.randn(20, 3, generator=torch.Generator().manual_seed(0))
    head = transfer.linear_head(rows, 1 + torch.arange(20) % 2, classes=5)
    assert set(head(10 * rows).argmax(1).tolist()) <= {1, 2} and head.out_features == 5


@pytest.mark.parametrize(
    ("rows", "labels", "options", "said"),
    [
        (torch.zeros(4, 2, 2), torch.zeros(4).long(), {}, "one label for each row"),
        (torch.zeros(4, 2), torch.zeros(3).long(), {}, "one label for each row"),
        (torch.zeros(4, 2), torch.zeros(4).long(), {}, r"labels are \[0\].*two different"),
        (torch.zeros(4, 2), torch.arange(4), {"classes": 3}, "3 classes.*from 0 to 2"),
        (torch.full((4, 2), torch.nan), torch.arange(4), {}, "NaN"),
        (torch.zeros(4, 2), torch.arange(4), {"strength": 0}, "strength is 0"),
    ],
)
def test_features_and_labels_that_do_not_fit_are_named(rows, labels, options, said):
    with pytest.raises(ValueError, match=said):
        transfer.linear_head(rows, labels, **options)


# freezing


def step(model: nn.Module) -> None:
    """One training step, in the mode a loop sets."""
    model.train()
    torch.manual_seed(0)
    left = [p for p in model.parameters() if p.requires_grad]
    optimizer = torch.optim.SGD(left, lr=0.1)
    model(torch.randn(6, 3, 12, 12)).square().mean().backward()
    optimizer.step()


def test_what_is_frozen_stays_in_every_way(net):
    before = copy.deepcopy(net.state_dict())
    assert transfer.freeze(net, "0") is net
    step(net)
    changed = {name for name, value in net.state_dict().items() if not torch.equal(value, before[name])}
    assert changed == {"1.1.weight", "1.1.bias"}
    assert not net[0][1].training and net[1][0].training  # the dropout of the head still works
    assert transfer.frozen(net) == ["0.0", "0.1", "0.2", "0.3", "0.4"]
    net.eval()
    net.train()
    assert not net[0][1].training


def test_without_freeze_the_statistics_would_move(net):
    before = net[0][1].running_mean.clone()
    net[0].requires_grad_(False)
    step(net)
    assert not torch.equal(net[0][1].running_mean, before)


def test_copies_and_stored_networks_have_frozen_layers_of_their_own(net):
    transfer.freeze(net, "0")
    for twin in (copy.deepcopy(net), pickle.loads(pickle.dumps(net))):
        assert not twin.train()[0][1].training
        transfer.unfreeze(twin)
        assert twin[0][1].training and not transfer.frozen(twin)
        assert not net.train()[0][1].training  # the first one did not notice
    assert net.state_dict().keys() == transfer.unfreeze(net).state_dict().keys()


def test_a_new_head_is_not_frozen(net):
    transfer.freeze(net)
    with pytest.raises(ValueError, match=r"nothing is left to train: all 6 parameters are frozen; replace the head"):
        transfer.trainable(net)
    assert transfer.replace_head(net, 3) == "1.1"
    assert [p.shape for p in transfer.trainable(net)] == [(3, 4), (3,)]
    assert net.train()[1][1].training and not net[1][0].training
    transfer.unfreeze(net, "0.0")
    assert len(transfer.trainable(net)) == 4


def test_groups_hold_each_parameter_once(net):
    net[1].append(nn.Linear(5, 5))
    net[1][2].weight = nn.Parameter(torch.zeros(5, 5))
    shared = nn.Linear(5, 5)
    shared.weight = net[1][2].weight  # tied
    net[1].append(shared)
    groups = transfer.parameter_groups(net, {"0": 1e-4, "1": 1e-2, "0.1": 1e-3})
    assert [(group["name"], len(group["params"]), group["lr"]) for group in groups] == [
        ("0", 2, 1e-4),
        ("1", 5, 1e-2),
        ("0.1", 2, 1e-3),
    ]
    members = [id(p) for group in groups for p in group["params"]]
    assert len(members) == len(set(members)) and set(members) == {id(p) for p in net.parameters()}
    torch.optim.SGD(groups, lr=1.0)
    transfer.freeze(net, "0.0")
    assert [g["name"] for g in transfer.parameter_groups(net, {"1": 1e-2}, rest=0)] == ["1", "rest"]


@pytest.mark.parametrize(
    ("rates", "rest", "said"),
    [
        ({"1.l": 0.1}, 0.1, "no layer '1.l'; it has, for example, '1"),
        ({"": 0.1}, 0.1, "no layer ''"),
        ({"1": -0.1}, 0.1, "rate of '1' is -0.1"),
        ({"1": "fast"}, 0.1, "rate of '1' is 'fast'"),
        ({"1": 0.1}, None, "4 parameters belong to no group, the first is '0.0.weight'"),
        ({"0.2": 0.1}, 0.1, "'0.2' has nothing to train"),
        ({"1": 0.1}, float("nan"), "rate of 'rest' is nan"),
    ],
)
def test_groups_that_make_no_sense_are_named(net, rates, rest, said):
    with pytest.raises(ValueError, match=said):
        transfer.parameter_groups(net, rates, rest=rest)


def test_unknown_layers_and_heads_are_named(net):
    for call in (transfer.freeze, transfer.unfreeze):
        with pytest.raises(ValueError, match="no layer 'fc'"):
            call(net, "fc")
    with pytest.raises(ValueError, match="no dense layer"):
        transfer.head_name(net[0][0])
    with pytest.raises(ValueError, match="classes is 0"):
        transfer.replace_head(net, 0)
