"""X-rays from a file, letters in corners, and the networks that read grey images. Nothing here needs a network."""

from __future__ import annotations

import hashlib
import importlib

import numpy as np
import pytest
import torch
from torchvision.models import ResNet50_Weights, resnet18

from utils import data, downloads
from utils.attribution import grad_cam
from utils.data import corner, cover, stamp
from utils.data.marker import CORNERS
from utils.models.screener import Screener, one_channel
from utils.training import evaluate, fit
from utils.transfer import replace_head

xrays = importlib.import_module("utils.data.chest_xray")  # the function of that name hides the module
COUNTS = {"train": 20, "val": 6, "test": 8}


def arrays(size: int = 28) -> dict[str, np.ndarray]:
    """Return what MedMNIST's file holds, a few images of it: labels (N, 1), a bright lung for pneumonia."""
    rng, made = np.random.RandomState(0), {}
    for part, number in COUNTS.items():
        labels = (np.arange(number) % 4 > 0).astype(np.uint8)
        made[f"{part}_images"] = (rng.randint(0, 120, (number, size, size)) + 100 * labels[:, None, None]).astype(
            np.uint8
        )
        made[f"{part}_labels"] = labels[:, None]
    return made


@pytest.fixture
def copy(tmp_path, monkeypatch):
    monkeypatch.setenv("CNN_XRAYS", str(tmp_path / "copy.npz"))
    np.savez_compressed(tmp_path / "copy.npz", **arrays())
    xrays._read.cache_clear()
    yield tmp_path / "copy.npz"
    xrays._read.cache_clear()


def test_a_copy_is_read_and_described(copy):
    sets = data.chest_xray()
    assert [len(part) for part in vars(sets).values()] == [20, 6, 8]
    assert sets.train.images.shape == (20, 1, 28, 28) and sets.train.classes == ("normal", "pneumonia")
    assert sets.test.labels.tolist() == [0, 1, 1, 1, 0, 1, 1, 1]
    assert sets.train.images[3, 0, 1, 2] == arrays()["train_images"][3, 1, 2]
    assert "copy with other counts" in sets.test.source and "train 20 (75 % pneumonia)" in sets.test.source
    assert sets.test.mean == sets.train.mean and abs(sets.train.inputs().mean()) < 1e-4
    assert data.chest_xray(copy=copy) is sets


def test_the_published_file_is_compared_with_its_checksum(tmp_path, monkeypatch):
    monkeypatch.delenv("CNN_XRAYS", raising=False)
    monkeypatch.setenv("CNN_DATA", str(tmp_path))
    monkeypatch.setattr(xrays, "RECORD", "http://127.0.0.1:9/")
    monkeypatch.setattr(downloads, "TIMEOUT", 0.5)
    for size in xrays.CHECKSUMS:
        file = "pneumoniamnist.npz" if size == 28 else f"pneumoniamnist_{size}.npz"
        with pytest.raises(FileNotFoundError, match=rf"PneumoniaMNIST cannot be had: .*{file} .MD5 .*shapes\(\)"):
            data.chest_xray(size)
    path = tmp_path / "medmnist" / "pneumoniamnist_64.npz"
    np.savez_compressed(path, **arrays(64))
    with pytest.raises(FileNotFoundError, match="is broken"):
        data.chest_xray(64)
    monkeypatch.setitem(xrays.CHECKSUMS, 64, hashlib.md5(path.read_bytes()).hexdigest())
    monkeypatch.setattr(xrays, "PUBLISHED", {"train": (20, 15), "val": (6, 4), "test": (8, 6)})
    assert data.chest_xray(64).train.source == "PneumoniaMNIST, 64 px"


def test_bad_files_are_named(copy):
    def written(**changes):
        made = arrays() | changes
        np.savez(copy, **{name: value for name, value in made.items() if value is not None})
        xrays._read.cache_clear()
        return data.chest_xray()

    with pytest.raises(ValueError, match="size is 32, but .*28, 64, 128, 224"):
        data.chest_xray(32)
    with pytest.raises(ValueError, match=r"copy.npz is no file of PneumoniaMNIST: .*val_labels"):
        written(val_labels=None)
    with pytest.raises(ValueError, match=r"test_labels .* 0 for normal and 1 for pneumonia"):
        written(test_labels=np.full((8, 1), 2, np.uint8))
    with pytest.raises(ValueError, match=r"test_labels .* must be 8 whole"):
        written(test_labels=np.zeros((7, 1), np.uint8))
    with pytest.raises(ValueError, match=r"train_images .*float64.*uint8"):
        written(train_images=np.zeros((20, 28, 28)))
    with pytest.raises(ValueError, match=r"\(20, 64, 64\).*say size="):
        written(**arrays(64))
    copy.write_bytes(b"PK\x03\x04 cut off")
    xrays._read.cache_clear()
    with pytest.raises(ValueError, match="copy.npz cannot be read"):
        data.chest_xray()
    copy.unlink()
    with pytest.raises(FileNotFoundError, match="CNN_XRAYS or copy names .*no such file"):
        data.chest_xray()


def test_objects_in_a_file_are_not_unpickled(copy):
    np.savez(copy, **arrays() | {"val_labels": np.array([[{}]] * 6, dtype=object)})
    xrays._read.cache_clear()
    with pytest.raises(ValueError, match="copy.npz cannot be read"):
        data.chest_xray()


# letters


@pytest.mark.parametrize("where", CORNERS)
@pytest.mark.parametrize("size", [16, 28, 32, 64])
def test_a_letter_lies_in_its_corner(where, size):
    images = data.Images(torch.zeros(3, 3, size, size, dtype=torch.uint8), torch.tensor([0, 1, 1]), ("a", "b"))
    made = stamp(images, torch.tensor([True, False, True]), where)
    inside = corner(size, where)
    step = max(1, size // 28)
    assert images.images.sum() == 0 and made.images[1].sum() == 0
    for image in (made.images[0], made.images[2]):
        assert (image > 0).sum() == 3 * 7 * step**2 and (image[:, ~inside] == 0).all()
        down, right = (int(image[0].sum(axis).argmax()) for axis in (1, 0))
        assert (down < size / 2) == ("top" in where) and (right < size / 2) == ("left" in where)
    assert 0.05 < inside.float().mean() < 0.33
    hidden = cover(made, where).images
    assert torch.equal(hidden, cover(images, where).images) and (hidden[:, :, inside] == 128).all()


def test_letters_name_bad_input():
    images = data.Images(torch.zeros(3, 1, 28, 28, dtype=torch.uint8), torch.zeros(3).long(), ("a", "b"))
    with pytest.raises(ValueError, match="'middle'.*top left"):
        stamp(images, torch.ones(3).bool(), "middle")
    with pytest.raises(ValueError, match=r"bool of shape \(3,\)"):
        stamp(images, torch.ones(2).bool())
    with pytest.raises(ValueError, match="12 pixels a side"):
        corner(12)


# networks


def test_one_channel_answers_as_three_equal_ones():
    torch.manual_seed(0)
    for model in (resnet18(weights=None), Screener(in_channels=3)):
        model.eval()
        grey = torch.randn(4, 1, 32, 32)
        with torch.no_grad():
            before = model(grey.expand(-1, 3, -1, -1))
            assert one_channel(model) is model
            torch.testing.assert_close(model(grey), before, atol=1e-4, rtol=1e-4)
        with pytest.raises(ValueError, match="must read three channels, but '.*' reads 1"):
            one_channel(model)
    with pytest.raises(ValueError, match="Linear has none"):
        one_channel(torch.nn.Linear(2, 2))


def test_the_way_of_the_full_scale_runs(copy):
    """What the chapter does with a ResNet-50 at 224 pixels, with a ResNet-18 that knows nothing at 28."""
    assert ResNet50_Weights.IMAGENET1K_V2.url.startswith("https://")
    torch.manual_seed(0)
    model = resnet18(weights=None)
    assert replace_head(model, 2) == "fc"
    one_channel(model)
    sets = data.chest_xray()
    adam = torch.optim.Adam(model.parameters(), lr=1e-3)
    history = fit(model, sets.train, epochs=3, batch_size=10, optimizer=adam, progress=False, device="cpu")
    assert history.loss[-1] < history.loss[0]
    logits = evaluate(model, sets.test, device="cpu").logits
    assert logits.shape == (8, 2) and logits.isfinite().all()
    assert grad_cam(model, sets.test.inputs(slice(0, 3)), 1, layer="layer4").shape == (3, 28, 28)
