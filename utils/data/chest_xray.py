"""Chest X-rays of children, normal or with pneumonia: PneumoniaMNIST of MedMNIST v2, from 28 to 224 pixels.

Data: Kermany and others, "Identifying medical diagnoses and treatable diseases by image-based deep learning", Cell
172(5), 2018: children of one to five years in one hospital, the Guangzhou Women and Children's Medical Center. Cut and
resized: Yang and others, "MedMNIST v2", Scientific Data 10, 41, 2023, https://doi.org/10.5281/zenodo.10519652. Licence:
CC BY 4.0. Addresses and checksums are those of the package medmnist. The set is not intended for clinical use.
"""

from __future__ import annotations

import os
import zipfile
from dataclasses import replace
from functools import cache
from pathlib import Path

import numpy as np
import torch

from utils.data.common import Images, Splits
from utils.downloads import data_folder, fetch

XRAY_CLASSES = ("normal", "pneumonia")
RECORD = "https://zenodo.org/records/10519652/files/"
CHECKSUMS = {
    28: "28209eda62fecd6e6a2d98b1501bb15f",
    64: "8f4eceb4ccffa70c672198ea285246c6",
    128: "05b46931834c231683c68f40c47b2971",
    224: "d6a3c71de1b945ea11211b03746c1fe1",
}  # MD5
# Images in the published file, and how many of them show pneumonia.
PUBLISHED = {"train": (4708, 3494), "val": (524, 389), "test": (624, 390)}


def chest_xray(size: int = 28, *, copy: str | Path | None = None) -> Splits:
    """Return 5,856 X-rays of the chest, grey, in two classes: 4,708 for training, 524 for validation, 624 for test.

    The splits are the published ones. 74 % of the training and validation images show pneumonia, 62.5 % of the test
    images. 4 MB at 28 pixels, 214 MB at 224.

    Parameters
    ----------
    size : {28, 64, 128, 224}
        Height and width in pixels.
    copy : str or Path, optional
        A file of the same form (``train_images``, ``train_labels``, ``val_images``, …); when left out, the environment
        variable ``CNN_XRAYS``. It may hold fewer images or other shares; the ``source`` of the images then says so.

    Raises
    ------
    FileNotFoundError
        When the file is neither there nor to be had; says what was tried and where to put it.
    ValueError
        When there is no such size, or the copy is no such file.
    """
    if size not in CHECKSUMS:
        raise ValueError(f"size is {size!r}, but the X-rays come with {', '.join(map(str, CHECKSUMS))} pixels a side.")
    copy = copy or os.environ.get("CNN_XRAYS") or None
    if copy is None:
        return _published(data_folder(), size)
    return _read(Path(copy).expanduser(), size)


@cache
def _published(root: Path, size: int) -> Splits:
    file = "pneumoniamnist.npz" if size == 28 else f"pneumoniamnist_{size}.npz"
    instead = "utils.data.shapes(), with which the chapter is stored"
    path = fetch("PneumoniaMNIST", [RECORD + file], root / "medmnist" / file, f"MD5 {CHECKSUMS[size]}", instead)
    return _read(path, size)


@cache
def _read(path: Path, size: int) -> Splits:
    """Read the file, and say in ``source`` how it differs from the published one."""
    if not path.is_file():
        raise FileNotFoundError(
            f"CNN_XRAYS or copy names {path}, but there is no such file; name an .npz file of MedMNIST."
        )
    parts = {}
    try:
        with np.load(path, allow_pickle=False) as file:
            arrays = {name: file[name] for part in PUBLISHED for name in (f"{part}_images", f"{part}_labels")}
    except KeyError as error:
        raise ValueError(f"{path} is no file of PneumoniaMNIST: {str(error).strip(chr(39))}.") from None
    except (ValueError, OSError, EOFError, zipfile.BadZipFile, AttributeError, TypeError) as error:
        raise ValueError(
            f"{path} cannot be read as an .npz file ({str(error).splitlines()[0]}); get it anew."
        ) from None
    counts = {}
    for part in PUBLISHED:
        images, labels = arrays[f"{part}_images"], arrays[f"{part}_labels"]
        if images.dtype != np.uint8 or images.shape[1:] != (size, size) or not len(images):
            raise ValueError(
                f"{part}_images in {path} are {images.dtype} of shape {images.shape}, but they must be uint8 of shape "
                f"(N, {size}, {size}); for X-rays of another size say size=…"
            )
        if labels.dtype.kind not in "ui" or labels.size != len(images) or set(np.unique(labels)) - {0, 1}:
            raise ValueError(
                f"{part}_labels in {path} are {labels.dtype} of shape {labels.shape}, but they must be {len(images)} whole "
                "numbers, 0 for normal and 1 for pneumonia."
            )
        labels = torch.from_numpy(labels.reshape(-1).astype(np.int64))
        parts[part] = Images(torch.from_numpy(images)[:, None], labels, XRAY_CLASSES)
        counts[part] = (len(labels), int(labels.sum()))
    source = f"PneumoniaMNIST, {size} px"
    if counts != PUBLISHED:
        described = ", ".join(f"{part} {n:,} ({100 * sick / n:.0f} % pneumonia)" for part, (n, sick) in counts.items())
        source += f", a copy with other counts than the published set: {described}"
    train = replace(parts["train"], source=source).with_statistics()
    others = (replace(parts[part], source=source, mean=train.mean, std=train.std) for part in ("val", "test"))
    return Splits(train, *others)
