"""Where images come from beyond the small room's tests: shapes, folders, full sets; and augmentation."""

from __future__ import annotations

import gzip
import hashlib
import http.server
import importlib
import pickle
import socket
import subprocess
import sys
import tarfile
import threading
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch.nn import functional as F
from torchvision.transforms.v2 import functional as theirs

from utils import data, downloads
from utils.data import augment, torchvision_sets

drawing = importlib.import_module("utils.data.shapes")  # the function of that name hides the module

# shapes


def _hash(scenes: data.Scenes) -> str:
    digest = hashlib.sha256()
    for tensor in (scenes.images, scenes.masks, scenes.shape, scenes.texture, scenes.background):
        digest.update(tensor.numpy().tobytes())
    return digest.hexdigest()


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({"number": 500}, "7b15e2c40b09c89fd2f4326179a3bc92d4987be97237f1010106672f3a474603"),
        (
            {"number": 50, "size": 96, "seed": 7, "part": "test"},
            "eeec2a2e20b69e63bb3dc1db9fd99c192d566c9d585723df107e80047c861af4",
        ),
        (
            {"number": 5, "size": 224, "seed": 2**32 - 1, "part": "validation"},
            "5c3366cc7a0bf69a5fe40a2ee595d7755978d212a09b83ac9c38fdbeafc7406d",
        ),
        (
            {"number": 50, "size": 45, "textures": ("moon", "cat", "tissue")},
            "5e0dfc53c1dffbae848b3f8b7a4d5a50119f94d693f5e5ba70548f5869445f7c",
        ),
    ],
)
def test_shapes_have_the_same_pixels_everywhere(options, expected):
    assert _hash(data.scenes(**options)) == expected


def test_textures_come_from_lossless_files():
    """A JPEG decoder may differ between versions and machines; PNG has one meaning."""
    import skimage.data

    for name in drawing.TEXTURES.values():
        file = {"immunohistochemistry": "ihc", "stereo_motorcycle": "motorcycle_left"}.get(name, name)
        assert (Path(skimage.data.data_dir) / f"{file}.png").read_bytes()[:8] == b"\x89PNG\r\n\x1a\n"


def test_parts_never_share_a_pixel_of_a_photograph():
    for name in data.TEXTURES:
        photograph = drawing._photograph(name)
        axis = 1 if photograph.shape[1] > photograph.shape[2] else 2
        strips = [drawing._strips(name, part, 32) for part in ("train", "validation", "test")]
        np.testing.assert_array_equal(np.concatenate([s[0] for s in strips], axis), photograph)
        assert all(len(s) == 3 and min(s[2].shape[1:]) >= 32 for s in strips)


def test_the_first_shapes_stay_when_more_are_drawn():
    few, many = data.scenes(20, seed=3), data.scenes(50, seed=3)
    for name in ("images", "masks", "shape", "texture", "background"):
        assert torch.equal(getattr(few, name), getattr(many, name)[:20])
    small, large = data.shapes(100, 30, 30), data.shapes(200, 30, 30)
    assert torch.equal(small.test.images, large.test.images)
    assert not torch.equal(small.test.images, small.validation.images)
    assert not torch.equal(data.scenes(20, seed=4).images, few.images)


def test_shapes_know_everything_about_themselves():
    scenes = data.scenes(3000)
    assert (scenes.texture != scenes.background).all()
    for labels in (scenes.shape, scenes.texture, scenes.background):
        assert labels.bincount(minlength=10).min() > 240 and labels.max() == 9
    # inside the shape are the pixels of one photograph, around it those of another
    front = data.scenes(3000, textures=("moon", "coffee"))
    reddish = front.images[:, 0].float() - front.images[:, 2].float()
    inside = front.masks[:, 0]
    for k in range(3000):
        shape, around = reddish[k][inside[k]].mean(), reddish[k][~inside[k]].mean()
        assert (shape > around) == (front.textures[front.texture[k]] == "coffee")
    # as large as they should be, and never cut off by the border
    share = scenes.masks.float().mean((1, 2, 3))
    assert share.min() > 0.03 and share.max() < 3.1416 * 0.42**2
    rows, columns = inside.any(2).float().sum(1), inside.any(1).float().sum(1)
    assert min(rows.min(), columns.min()) >= 5 and max(rows.max(), columns.max()) <= 0.84 * 32 + 1


def test_shapes_are_what_they_are_called():
    """Area of the mask by that of its smallest upright box, averaged: known values for turned shapes."""
    scenes = data.scenes(1000, size=64)
    fill = torch.empty(1000)
    for k, mask in enumerate(scenes.masks[:, 0]):
        fill[k] = mask.sum() / (mask.any(0).sum() * mask.any(1).sum())
    mean = {name: fill[scenes.shape == i].mean().item() for i, name in enumerate(data.SHAPES)}
    assert abs(mean["circle"] - np.pi / 4) < 0.02
    assert abs(mean["ring"] - np.pi / 4 * (1 - (270 / 480) ** 2)) < 0.02
    angles = np.linspace(-0.5, 0.5, 1001)
    square = (1 / (np.cos(angles) + abs(np.sin(angles))) ** 2).mean()
    assert abs(mean["square"] - square) < 0.03
    assert mean["star"] < 0.45 and mean["crescent"] < 0.6 and 0.35 < mean["triangle"] < 0.5


def test_shapes_as_splits():
    sets = data.shapes(200, 50, 60, label="texture")
    assert [len(s) for s in (sets.train, sets.validation, sets.test)] == [200, 50, 60]
    assert sets.train.classes == tuple(data.TEXTURES) and sets.test.mean == sets.train.mean
    assert data.shapes(200, 50, 60).train.classes == data.SHAPES
    assert torch.equal(data.shapes(200, 50, 60).train.images, sets.train.images)
    assert data.shapes(200, 50, 60) is data.shapes(200, 50, 60)
    assert abs(sets.train.inputs().mean()) < 1e-4


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: data.scenes(0), "number of images is 0.*at least 1"),
        (lambda: data.scenes(2, size=4), "size is 4.*from 8"),
        (lambda: data.scenes(2, seed=-1), "seed is -1"),
        (lambda: data.scenes(2, part="dev"), "part is 'dev'.*validation"),
        (lambda: data.scenes(2, textures=("moon",)), "at least two"),
        (lambda: data.scenes(2, textures=("moon", "moon")), "at least two different"),
        (lambda: data.scenes(2, textures=("moon", "wood")), "'wood'.*brick"),
        (lambda: data.shapes(2, 1, 1, label="colour"), "'colour'.*'shape' or 'texture'"),
    ],
)
def test_shapes_name_bad_input(call, words):
    with pytest.raises(ValueError, match=words):
        call()


# augmentation: what is done, against torchvision


@pytest.fixture(params=[(6, 3, 32, 32), (5, 1, 28, 28), (4, 3, 20, 31)], ids=str)
def images(request) -> torch.Tensor:
    return torch.rand(request.param, generator=torch.Generator().manual_seed(0))


def _draw(n: int, low: float, high: float) -> torch.Tensor:
    return low + (high - low) * torch.rand(n, generator=torch.Generator().manual_seed(1))


def test_flip_against_torchvision(images):
    chosen = torch.arange(len(images)) % 2 == 0
    expected = torch.stack([theirs.horizontal_flip(i) if c else i for i, c in zip(images, chosen, strict=True)])
    assert torch.equal(augment.flipped(images, chosen), expected)


@pytest.mark.parametrize(("fill", "mode"), [("zero", "constant"), ("reflect", "reflect"), ("edge", "edge")])
def test_crop_against_torchvision(images, fill, mode):
    height, width = images.shape[-2:]
    top, left = _draw(len(images), 0, 9).long(), _draw(len(images), 0, 9).flip(0).long()
    ours = augment._window(images, 4, top, left, fill)
    for k, image in enumerate(images):
        padded = theirs.pad(image, [4], padding_mode=mode)
        assert torch.equal(ours[k], theirs.crop(padded, int(top[k]), int(left[k]), height, width))


def test_moved_says_where_to(images):
    one = torch.ones(len(images), dtype=torch.int64)
    assert torch.equal(augment.moved(images, 2 * one, -one)[:, :, 2:, :-1], images[:, :, :-2, 1:])
    assert augment.moved(images, 2 * one, -one)[:, :, :2].sum() == 0
    assert torch.equal(augment.moved(images, 0 * one, 0 * one), images)


def test_rotate_against_torchvision(images):
    degrees = _draw(len(images), -180, 180)
    ours = augment.rotated(images, degrees, "zero")
    for k, image in enumerate(images):
        expected = theirs.rotate(image, degrees[k].item(), theirs.InterpolationMode.BILINEAR)
        torch.testing.assert_close(ours[k], expected, atol=2e-4, rtol=0)
    assert augment.rotated(torch.ones_like(images), degrees, "reflect").min() > 0.999  # no black corners


@pytest.mark.parametrize(
    ("ours", "reference"),
    [
        (augment.brightened, theirs.adjust_brightness),
        (augment.contrasted, theirs.adjust_contrast),
        (augment.saturated, theirs.adjust_saturation),
    ],
)
def test_colour_against_torchvision(images, ours, reference):
    factor = _draw(len(images), 0, 2)
    expected = torch.stack([reference(i, f.item()) for i, f in zip(images, factor, strict=True)])
    torch.testing.assert_close(ours(images, factor), expected, atol=1e-5, rtol=0)


def test_erase_against_torchvision(images):
    n = len(images)
    top, left = _draw(n, 0, 9).long(), _draw(n, 0, 9).flip(0).long()
    height, width = _draw(n, 1, 9).long(), _draw(n, 1, 9).flip(0).long()
    ours = augment.erased(images, augment.boxes(images, top, left, height, width), 0.3)
    for k, image in enumerate(images):
        box = [int(v[k]) for v in (top, left, height, width)]
        assert torch.equal(ours[k], theirs.erase(image, *box, torch.tensor(0.3)))


# augmentation: what is drawn

STEPS = [
    augment.Flip(),
    augment.Crop(3),
    augment.Crop(3, "zero"),
    augment.Rotate(20),
    augment.Colour(),
    augment.Erase(),
    augment.MixUp(10),
    augment.CutMix(10),
]


@pytest.mark.parametrize("step", STEPS, ids=str)
def test_augmentation_repeats_and_leaves_its_input_alone(step, images):
    labels = torch.arange(len(images)) % 10
    before, results = images.clone(), []
    state = torch.random.get_rng_state()
    for seed in (5, 5, 6):
        results.append(augment.apply(step, images, labels, torch.Generator().manual_seed(seed)))
    assert torch.equal(torch.random.get_rng_state(), state)  # the generator's own numbers and no others
    assert torch.equal(images, before) and torch.equal(labels, torch.arange(len(images)) % 10)
    assert torch.equal(results[0][0], results[1][0]) and torch.equal(results[0][1], results[1][1])
    assert not torch.equal(results[0][0], results[2][0])
    new, shares = results[0]
    assert new.shape == images.shape and new.dtype == torch.float32 and new.min() >= 0 and new.max() <= 1
    if isinstance(step, augment.MixUp | augment.CutMix):
        assert shares.shape == (len(images), 10)
        torch.testing.assert_close(shares.sum(1), torch.ones(len(images)))
        F.cross_entropy(torch.randn(len(images), 10), shares)
    else:
        assert torch.equal(shares, labels)


def test_flip_probability():
    images = torch.zeros(10_000, 1, 1, 2)
    images[..., 0] = 1
    for p in (0.0, 0.3, 1.0):
        new, _ = augment.Flip(p)(images, images, torch.Generator().manual_seed(0))
        assert abs(new[:, 0, 0, 1].mean() - p) < 0.02


def test_crop_moves_by_all_offsets_alike():
    images = torch.zeros(10_000, 1, 9, 9)
    images[:, :, 4, 4] = 1
    new, _ = augment.Crop(2, "zero")(images, images, torch.Generator().manual_seed(0))
    share = new.mean((0, 1))
    assert torch.allclose(share[2:7, 2:7], torch.tensor(0.04), atol=0.008) and share.sum() == pytest.approx(1)


def test_every_image_gets_parameters_of_its_own(monkeypatch):
    seen = {}
    for name in ("rotated", "brightened", "contrasted", "saturated"):
        monkeypatch.setattr(augment, name, lambda x, value, *_, name=name: seen.__setitem__(name, value) or x)
    images, generator = torch.zeros(4000, 3, 2, 2), torch.Generator().manual_seed(0)
    augment.apply([augment.Rotate(30), augment.Colour(0.1, 0.2, 0.4)], images, images[:, 0, 0, 0], generator)
    for name, middle, reach in (
        ("rotated", 0, 30),
        ("brightened", 1, 0.1),
        ("contrasted", 1, 0.2),
        ("saturated", 1, 0.4),
    ):
        value = (seen[name] - middle) / reach  # even over −1 … 1: mean 0, standard deviation 1/√3
        assert value.unique().numel() > 3900 and value.abs().max() <= 1.0001
        assert abs(value.mean()) < 0.04 and abs(value.std() - 3**-0.5) < 0.02


def test_erase_keeps_to_its_area():
    images = torch.zeros(4000, 1, 40, 40)
    new, _ = augment.Erase(0.4, (0.1, 0.3), (0.5, 2), 1.0)(images, images, torch.Generator().manual_seed(0))
    share = new.mean((1, 2, 3))
    hit = share[share > 0]
    assert abs(len(hit) / 4000 - 0.4) < 0.03
    assert hit.min() > 0.09 and hit.max() < 0.32 and abs(hit.mean() - 0.2) < 0.01
    # cutout: a square of half the side
    new, _ = augment.Erase(1, (0.25, 0.25), (1, 1), 1.0)(images, images, torch.Generator().manual_seed(0))
    assert (new.sum((1, 2, 3)) == 400).all() and (new[:, 0].amax(1).sum(1) == 20).all()


@pytest.mark.parametrize("step", [augment.MixUp(4, 0.5), augment.CutMix(4)], ids=str)
def test_mixed_labels_are_what_the_images_show(step):
    """Images whose channels are their label as shares: mixed, their means must be the mixed labels."""
    labels = torch.arange(2000) % 4
    images = F.one_hot(labels, 4).float()[:, :, None, None].expand(-1, -1, 8, 12)
    new, shares = step(images, labels, torch.Generator().manual_seed(0))
    torch.testing.assert_close(new.mean((2, 3)), shares)
    kept = shares[torch.arange(2000), labels]
    mixed = kept[kept < 0.999]
    assert len(mixed) > 1000 and mixed.unique().numel() > 30  # every image has a share of its own
    if isinstance(step, augment.MixUp):
        # partners of the same class keep their label whole: 1/4 + 3/4 of Beta's mean 1/2
        assert abs(kept.mean() - (1 / 4 + 3 / 4 / 2)) < 0.03
    mixup = augment.MixUp(4)
    again, both = mixup(new, shares, torch.Generator().manual_seed(1))  # shares can be mixed again
    torch.testing.assert_close(again.mean((2, 3)), both)


def test_batches_augment_before_standardising():
    part = data.digits().validation
    steps = [augment.Crop(2, "zero"), augment.MixUp(10)]
    generator, same = torch.Generator().manual_seed(3), torch.Generator().manual_seed(3)
    inputs, labels = next(part.batches(50, generator=generator, augment=steps))
    order = torch.randperm(500, generator=same)[:50]
    pixels, expected = augment.apply(steps, part.images[order].float() / 255, part.labels[order], same)
    assert torch.equal(labels, expected)
    torch.testing.assert_close(inputs, (pixels - part.mean[0]) / part.std[0])
    # zero is black before standardising, so it is not zero afterwards
    assert inputs.min() == pytest.approx(-part.mean[0] / part.std[0], abs=1e-5)
    # without augmentation nothing changes, and one step needs no list
    plain = next(part.batches(50, generator=torch.Generator().manual_seed(3)))
    assert torch.equal(plain[0], part.inputs(order)) and torch.equal(plain[1], part.labels[order])
    flipped, _ = next(part.batches(50, augment=augment.Flip(1.0)))
    assert torch.equal(flipped, part.inputs(slice(0, 50)).flip(-1))


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
@pytest.mark.parametrize("step", STEPS, ids=str)
def test_augmentation_is_the_same_on_a_gpu(step, images):
    labels = torch.arange(len(images)) % 10
    here = augment.apply(step, images, labels, torch.Generator().manual_seed(0))
    there = augment.apply(step, images.cuda(), labels.cuda(), torch.Generator().manual_seed(0))
    torch.testing.assert_close(there[0].cpu(), here[0], atol=1e-4, rtol=0)
    torch.testing.assert_close(there[1].cpu(), here[1])
    augment.apply(step, images.cuda(), labels.cuda(), torch.Generator("cuda").manual_seed(0))


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: augment.Flip(1.5), "p is 1.5.*from 0 to 1"),
        (lambda: augment.Crop(-1), "padding is -1"),
        (lambda: augment.Crop(4, "mirror"), "'mirror'.*reflect, zero, edge"),
        (lambda: augment.Rotate(270), "degrees is 270"),
        (lambda: augment.Colour(contrast=-0.1), "contrast is -0.1"),
        (lambda: augment.Erase(area=(0.5, 0.2)), "area is .*smaller one first"),
        (lambda: augment.MixUp(0), "classes is 0"),
        (lambda: augment.CutMix(10, alpha=0), "alpha is 0"),
        (lambda: augment.apply([], torch.zeros(1, 3, 8, 8, dtype=torch.uint8), torch.zeros(1)), "divide uint8"),
        (lambda: augment.Crop(8)(torch.zeros(1, 3, 8, 8), torch.zeros(1)), "at most 7"),
        (lambda: augment.saturated(torch.zeros(1, 2, 8, 8), torch.ones(1)), "2 channels"),
    ],
)
def test_augmentation_names_bad_input(call, words):
    with pytest.raises(ValueError, match=words):
        call()


# folders


def _picture(path: Path, colour: tuple[int, int, int] | int, size: tuple[int, int] = (20, 10)) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB" if isinstance(colour, tuple) else "L", size, colour).save(path)


@pytest.fixture
def pets(tmp_path) -> Path:
    for k in range(20):
        _picture(tmp_path / "dog" / f"{k:02}.png", (k, 200, 0))
        _picture(tmp_path / "cat" / f"{k:02}.JPG", (250 - k, 0, 0), (12, 30))
    (tmp_path / "cat" / "Thumbs.db").write_bytes(b"no picture")
    (tmp_path / ".git" / "x").mkdir(parents=True)
    return tmp_path


def test_folder_of_classes(pets):
    whole = data.folder_images(pets, 8)
    assert whole.classes == ("cat", "dog") and whole.images.shape == (40, 3, 8, 8)
    assert whole.labels.tolist() == [0] * 20 + [1] * 20
    assert whole.images[20:, 0, 0, 0].tolist() == list(range(20))  # in the order of the names
    sets = data.folder(pets, (8, 6), grey=True, validation=0.2, test=0.3, seed=1)
    assert [len(s) for s in (sets.train, sets.validation, sets.test)] == [20, 8, 12]
    assert all(s.labels.bincount().unique().numel() == 1 for s in (sets.train, sets.validation, sets.test))
    assert sets.train.images.shape[1:] == (1, 8, 6) and sets.test.mean == sets.train.mean
    again = data.folder(pets, (8, 6), grey=True, validation=0.2, test=0.3, seed=1)
    assert torch.equal(again.train.images, sets.train.images)


@pytest.mark.parametrize("parts", [("train", "val", "test"), ("train", "test"), ("train", "valid")])
def test_folder_of_parts(tmp_path, parts):
    numbers = {"train": 20, "val": 4, "valid": 5, "test": 6}
    for p, part in enumerate(parts):
        for c, name in enumerate("ab"):
            for k in range(numbers[part]):
                _picture(tmp_path / part / name / f"{k}.png", (100 * p + k, c, k))
    sets = data.folder(tmp_path, 4, validation=0.2, test=0.2)
    assert [len(s) for s in (sets.train, sets.validation, sets.test)] == {
        ("train", "val", "test"): [40, 8, 12],
        ("train", "test"): [32, 8, 12],
        ("train", "valid"): [32, 10, 8],
    }[parts]
    assert (sets.train.images[:, 0] < 100).all()
    assert sets.train.mean == sets.validation.mean == sets.test.mean != (0, 0, 0)
    rows = [{bytes(image) for image in s.images.numpy()} for s in (sets.train, sets.validation, sets.test)]
    assert not rows[0] & rows[1] and not rows[0] & rows[2] and not rows[1] & rows[2]


def test_a_class_may_be_named_train(tmp_path):
    for name in ("train", "test"):  # vehicles, say, and their trials
        _picture(tmp_path / name / "1.png", 7)
    assert data.folder_images(tmp_path, 4, grey=True).classes == ("test", "train")
    with pytest.raises(ValueError, match="too few for three parts"):
        data.folder(tmp_path, 4)


def test_pictures_are_cropped_and_smoothed(tmp_path):
    stripes = np.zeros((40, 80), np.uint8)
    stripes[:, 20:60:2] = 255  # the centre square: every other column is white
    (tmp_path / "a").mkdir()
    Image.fromarray(stripes).save(tmp_path / "a" / "1.png")
    _picture(tmp_path / "b" / "1.png", 0)
    image = data.folder_images(tmp_path, 5, grey=True).images[0, 0]
    assert (image.float() - 127.5).abs().max() < 20  # an average, not every eighth column
    # upright as the camera was held, white where transparent, 16 bits brought to 8
    turned = Image.new("RGB", (8, 8))
    turned.paste((255, 0, 0), (0, 0, 8, 4))
    exif = Image.Exif()
    exif[0x0112] = 6  # "rotate by 90 degrees clockwise to see it upright"
    turned.save(tmp_path / "b" / "2.png", exif=exif)
    Image.new("RGBA", (8, 8), (9, 9, 9, 0)).save(tmp_path / "b" / "3.png")
    Image.fromarray(np.full((8, 8), 0x8000, np.uint16)).save(tmp_path / "b" / "4.png")
    b = data.folder_images(tmp_path, 8).images[2:]
    assert (b[0, 0, :, 4:] == 255).all() and (b[0, 0, :, :4] == 0).all()
    assert (b[1] == 255).all() and (b[2] == 0x80).all()


def test_broken_pictures(pets, capsys):
    whole = (pets / "dog" / "03.png").read_bytes()
    (pets / "dog" / "03.png").write_bytes(whole[: len(whole) // 2])
    (pets / "cat" / "07.JPG").write_bytes(b"not a picture")
    with pytest.raises(ValueError, match=r"(07.JPG|03.png) cannot be read as a picture .*broken='skip'"):
        data.folder(pets)
    assert len(data.folder_images(pets, 8, broken="skip")) == 38
    assert capsys.readouterr().out == "left out 2 of 40 pictures that cannot be read: cat/07.JPG, dog/03.png\n"


def test_folder_names_bad_input(pets, tmp_path_factory):
    new = tmp_path_factory.mktemp
    with pytest.raises(FileNotFoundError, match=r"there is no folder .*nowhere"):
        data.folder(pets / "nowhere")
    with pytest.raises(ValueError, match=r"is a file.*unpack"):
        data.folder(pets / "dog" / "00.png")
    with pytest.raises(ValueError, match="holds 20 pictures and no sub-folders"):
        data.folder(pets / "dog")
    with pytest.raises(ValueError, match="holds 0 pictures"):
        data.folder(new("empty"))
    one = new("one")
    _picture(one / "dog" / "1.png", 0)
    with pytest.raises(ValueError, match="one class, 'dog'"):
        data.folder(one)
    (one / "cat").mkdir()
    with pytest.raises(ValueError, match="class 'cat' .* has no pictures"):
        data.folder(one)
    with pytest.raises(MemoryError, match=r"40 pictures of 2000×2000 .* 0.45 GiB .* 0.1 GiB.*ImageFolder"):
        data.folder(pets, 2000, limit=0.1)
    with pytest.raises(ValueError, match="size is 0"):
        data.folder(pets, 0)
    with pytest.raises(ValueError, match="test is 0"):
        data.folder(pets, 8, test=0)
    with pytest.raises(ValueError, match="broken is 'ignore'"):
        data.folder(pets, broken="ignore")
    parts = new("parts")
    for place in ("test/a", "test/b", "val/a", "val/c"):
        _picture(parts / place / "1.png", 0)
    with pytest.raises(ValueError, match="test and val, but no folder train"):
        data.folder(parts)
    for name in "ab":
        _picture(parts / "train" / name / "1.png", 0)
    with pytest.raises(ValueError, match=r"differ in their classes \(b, c\)"):
        data.folder(parts)
    (parts / "valid" / "a").mkdir(parents=True)
    with pytest.raises(ValueError, match="both val and valid"):
        data.folder(parts)


# full sets


def _md5(path: Path) -> str:
    return hashlib.md5(path.read_bytes()).hexdigest()


@pytest.fixture
def tiny_mnist(tmp_path, monkeypatch):
    """Files in MNIST's format, of 40 and 20 images, in an empty cache; no address answers."""
    from torchvision.datasets import MNIST

    monkeypatch.setenv("CNN_DATA", str(tmp_path))
    monkeypatch.setattr(MNIST, "mirrors", ["http://127.0.0.1:9/", "http://127.0.0.1:9/again/"])
    raw, resources = tmp_path / "MNIST" / "raw", []
    raw.mkdir(parents=True)
    for part, number in (("train", 40), ("t10k", 20)):
        images = np.random.RandomState(number).randint(0, 256, (number, 28, 28)).astype(np.uint8)
        labels = (np.arange(number) % 10).astype(np.uint8)
        for name, array in ((f"{part}-images-idx3-ubyte.gz", images), (f"{part}-labels-idx1-ubyte.gz", labels)):
            header = bytes([0, 0, 8, array.ndim]) + np.array(array.shape, ">i4").tobytes()
            (raw / name).write_bytes(gzip.compress(header + array.tobytes()))
            resources.append((name, _md5(raw / name)))
    monkeypatch.setattr(MNIST, "resources", resources)
    torchvision_sets._idx.cache_clear()
    yield raw
    torchvision_sets._idx.cache_clear()


def test_mnist_from_files_put_there_by_hand(tiny_mnist):
    from torchvision.datasets.mnist import read_image_file

    sets = data.mnist(validation=10)
    assert [len(s) for s in (sets.train, sets.validation, sets.test)] == [30, 10, 20]
    assert sets.validation.labels.sort()[0].tolist() == list(range(10)) and sets.test.classes == tuple("0123456789")
    plain = tiny_mnist / "plain"
    plain.write_bytes(gzip.decompress((tiny_mnist / "t10k-images-idx3-ubyte.gz").read_bytes()))
    assert torch.equal(sets.test.images[:, 0], read_image_file(str(plain)))
    assert sets.test.mean == sets.train.mean and sets.train.images.shape[1:] == (1, 28, 28)
    with pytest.raises(ValueError, match="50 validation images.*of 40 training images 10 to 30"):
        data.mnist(validation=50)


@pytest.mark.parametrize("damage", ["missing", "truncated", "changed"])
def test_mnist_that_cannot_be_had(tiny_mnist, damage):
    file = tiny_mnist / "train-labels-idx1-ubyte.gz"
    good = file.read_bytes()
    if damage == "missing":
        file.unlink()
    else:
        file.write_bytes(good[:-5] if damage == "truncated" else good[:20] + b"?" + good[21:])
    with pytest.raises(FileNotFoundError) as error:
        data.mnist(validation=10)
    text = str(error.value)
    for words in (
        "MNIST cannot be had: http://127.0.0.1:9/train-labels",
        "http://127.0.0.1:9/again/train-labels",
        f"put {file.name} (MD5 {hashlib.md5(good).hexdigest()})",
        "t10k-images",
        str(tiny_mnist),
        "CNN_DATA",
        "utils.data.digits()",
    ):
        assert words in text
    assert ("is broken" in text) == (damage != "missing")
    file.write_bytes(good)  # put there by hand, it works, in the same session
    assert len(data.mnist(validation=10).train) == 30
    assert not list(tiny_mnist.glob("*.part"))


class _Server(http.server.BaseHTTPRequestHandler):
    """Serves the bytes it is told to, slowly enough that two processes meet, and counts."""

    body, hits = b"", 0

    def do_GET(self):
        type(self).hits += 1
        self.send_response(200)
        self.send_header("Content-Length", str(len(self.body)))
        self.end_headers()
        half = len(self.body) // 2
        self.wfile.write(self.body[:half])
        if self.path == "/cut":
            return
        threading.Event().wait(1)
        self.wfile.write(self.body[half:])

    def log_message(self, *_):
        pass


@pytest.fixture
def server():
    _Server.body, _Server.hits = bytes(range(256)) * 4000, 0
    served = http.server.ThreadingHTTPServer(("127.0.0.1", 0), _Server)
    threading.Thread(target=served.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{served.server_port}"
    served.shutdown()
    served.server_close()


def test_two_processes_download_once(server, tmp_path):
    path, md5 = tmp_path / "sub" / "file", hashlib.md5(_Server.body).hexdigest()
    code = (
        "import sys; from pathlib import Path; from utils.downloads import fetch;"
        f"fetch('X', ['{server}/whole'], Path(sys.argv[1]), 'MD5 {md5}', 'nothing')"
    )
    both = [subprocess.Popen([sys.executable, "-c", code, str(path)], stdout=subprocess.DEVNULL) for _ in range(2)]
    assert [process.wait(300) for process in both] == [0, 0]
    assert _Server.hits == 1 and path.read_bytes() == _Server.body


def test_a_download_that_breaks_off_is_not_kept(server, tmp_path, capsys):
    path, md5 = tmp_path / "file", hashlib.md5(_Server.body).hexdigest()
    with pytest.raises(FileNotFoundError, match="/cut (gave a broken file|could not be read)"):
        downloads.fetch("X", [f"{server}/cut"], path, f"MD5 {md5}", "nothing")
    assert not path.exists() and not list(tmp_path.glob("*.part"))
    path.write_bytes(b"broken")  # replaced, since the second address works
    assert downloads.fetch("X", [f"{server}/cut", f"{server}/whole"], path, f"MD5 {md5}", "nothing") == path
    assert path.read_bytes() == _Server.body
    start = "SHA-256 " + hashlib.sha256(_Server.body).hexdigest()[:8]  # as the names of weight files have it
    assert downloads.fetch("X", [], path, start, "nothing") == path
    with pytest.raises(FileNotFoundError, match=rf"put file \(SHA-256 00000000\) by hand .*broken \({start}\)"):
        downloads.fetch("X", [], path, "SHA-256 00000000", "nothing")


def test_an_address_that_never_answers_is_given_up(tmp_path, monkeypatch):
    monkeypatch.setattr(downloads, "TIMEOUT", 0.2)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"http://127.0.0.1:{silent.getsockname()[1]}/file"
        with pytest.raises(FileNotFoundError, match="could not be read .*timed out"):
            downloads.fetch("X", [url], tmp_path / "file", "MD5 " + "0" * 32, "nothing")


def test_a_cache_that_cannot_be_written(tmp_path):
    (tmp_path / "taken").write_bytes(b"a file where the folder should be")
    with pytest.raises(FileNotFoundError, match="cannot be written to"):
        downloads.fetch("X", [], tmp_path / "taken" / "file", "MD5 " + "0" * 32, "nothing")


@pytest.fixture
def tiny_cifar(tmp_path, monkeypatch):
    from torchvision.datasets import CIFAR10

    rng, base = np.random.RandomState(0), tmp_path / CIFAR10.base_folder
    base.mkdir()
    for file, _ in CIFAR10.train_list + CIFAR10.test_list:
        batch = {
            "data": rng.randint(0, 256, (20, 3072)).astype(np.uint8),
            "labels": [k % 10 for k in range(20)],
        }
        (base / file).write_bytes(pickle.dumps(batch))
    with tarfile.open(tmp_path / CIFAR10.filename, "w:gz") as archive:
        archive.add(base, CIFAR10.base_folder)
    monkeypatch.setattr(CIFAR10, "tgz_md5", _md5(tmp_path / CIFAR10.filename))
    monkeypatch.setattr(CIFAR10, "url", "http://127.0.0.1:9/cifar")
    monkeypatch.setenv("CNN_DATA", str(tmp_path))
    monkeypatch.delenv("CNN_CIFAR10", raising=False)
    torchvision_sets._cifar10.cache_clear()
    yield tmp_path / CIFAR10.filename
    torchvision_sets._cifar10.cache_clear()


def test_cifar10(tiny_cifar):
    sets = data.cifar10(validation=20)
    assert [len(s) for s in (sets.train, sets.validation, sets.test)] == [80, 20, 20]
    batch = pickle.loads((tiny_cifar.parent / "cifar-10-batches-py" / "test_batch").read_bytes())
    assert sets.test.images[3, 2, 1, 5] == batch["data"][3].reshape(3, 32, 32)[2, 1, 5]
    assert sets.train.source == "CIFAR-10"
    tiny_cifar.write_bytes(tiny_cifar.read_bytes()[:-1])
    torchvision_sets._cifar10.cache_clear()
    with pytest.raises(FileNotFoundError, match=r"CIFAR-10 cannot be had: .*shapes\(\).* is broken"):
        data.cifar10(validation=20)


@pytest.fixture
def tiny_pets(tmp_path, monkeypatch):
    folder = tmp_path / "oxford-iiit-pet"
    (folder / "annotations").mkdir(parents=True)
    kinds = {"Abyssinian": 1, "american_bulldog": 2}
    for part, numbers in (("trainval", range(4)), ("test", range(4, 6))):
        rows = [f"{kind}_{i} {label} 1 1" for i in numbers for kind, label in kinds.items()]
        (folder / "annotations" / f"{part}.txt").write_text("\n".join(rows) + "\n")
    for i in range(6):
        for kind, label in kinds.items():
            _picture(folder / "images" / f"{kind}_{i}.jpg", (100 * label, 40 * i, 0), (50, 30))
    (folder / "images" / "Abyssinian_9.mat").write_bytes(b"the archive holds such files, too")
    for name in ("images", "annotations"):
        with tarfile.open(folder / f"{name}.tar.gz", "w:gz") as archive:
            archive.add(folder / name, name)
    sums = {file: _md5(folder / file) for file in torchvision_sets.PETS_CHECKSUMS}
    monkeypatch.setattr(torchvision_sets, "PETS_CHECKSUMS", sums)
    monkeypatch.setattr(torchvision_sets, "PETS_ADDRESS", "http://127.0.0.1:9/")
    monkeypatch.setenv("CNN_DATA", str(tmp_path))
    torchvision_sets._pets.cache_clear()
    yield folder
    torchvision_sets._pets.cache_clear()


def test_pets(tiny_pets):
    sets = data.pets(24, validation=4)
    assert [len(s) for s in (sets.train, sets.validation, sets.test)] == [4, 4, 4]
    assert sets.train.classes == ("Abyssinian", "american bulldog")
    assert sets.test.images.shape == (4, 3, 24, 24) and sets.test.labels.tolist() == [0, 1, 0, 1]
    # each picture has one colour, which JPEG nearly keeps: red is the breed, green the number
    colours = sets.test.images.float().mean((2, 3))[:, :2]
    assert (colours - torch.tensor([[100, 160], [200, 160], [100, 200], [200, 200]])).abs().max() < 3
    assert data.pets((24, 24), validation=4).train is sets.train
    with pytest.raises(ValueError, match="size is 0"):
        data.pets(0)
    (tiny_pets / "images.tar.gz").unlink()
    torchvision_sets._pets.cache_clear()
    with pytest.raises(FileNotFoundError, match=r"Oxford-IIIT Pet cannot be had: .*images.*faces\(\)"):
        data.pets(24, validation=4)


def test_cifar10_from_a_copy(tmp_path, monkeypatch):
    for part, number in (("train", 4), ("test", 1)):
        for k, name in enumerate(torchvision_sets.CIFAR10_CLASSES):
            for i in range(number):
                _picture(tmp_path / part / name / f"{i}.jpg", (20 * k, 50 * i, 0), (32, 32))
    monkeypatch.setenv("CNN_CIFAR10", str(tmp_path))
    sets = data.cifar10(validation=10)
    assert [len(s) for s in (sets.train, sets.validation, sets.test)] == [30, 10, 10]
    assert "copy" in sets.test.source and sets.test.labels.tolist() == list(range(10))
    assert data.cifar10(validation=10, copy=tmp_path).train is sets.train
    (tmp_path / "test" / "truck").rename(tmp_path / "test" / "lorry")
    torchvision_sets._cifar10_copy.cache_clear()
    with pytest.raises(ValueError, match="lorry.*truck"):
        data.cifar10(validation=10)
