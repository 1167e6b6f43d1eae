"""The full MNIST, Fashion-MNIST, CIFAR-10 and Oxford-IIIT Pet: fetched once, checked by checksum, kept in one folder.

The addresses, the checksums and the layout of the folder are torchvision's. What is different: a file is used only
after its checksum was compared (torchvision checks MNIST when it downloads, and not the files that it reads later);
it appears under its name only when it is whole; and two processes that ask at once download once.
"""

from __future__ import annotations

import gzip
import io
import os
import pickle
import tarfile
from dataclasses import replace
from functools import cache
from pathlib import Path

import numpy as np
import torch

from utils.data.common import Images, Splits
from utils.data.folder import check_sides, folder_images, read_picture
from utils.downloads import data_folder, fetch

CIFAR10_CLASSES = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")

PETS_ADDRESS = "https://www.robots.ox.ac.uk/~vgg/data/pets/data/"
PETS_CHECKSUMS = {
    "images.tar.gz": "5c4f3ee8e5d25df40f4fd59a7f44e54c",
    "annotations.tar.gz": "95a8c909bbe2e81eed6a22bccdf3f68f",
}  # MD5, as torchvision.datasets.OxfordIIITPet has them


def mnist(validation: int = 5000, *, seed: int = 0) -> Splits:
    """Return 70,000 digits, grey, 28×28: 55,000 for training, 5,000 for validation, 10,000 for test.

    LeCun, Cortes and Burges, "The MNIST database of handwritten digits", 1998. 12 MB.

    Parameters
    ----------
    validation : int
        How many of the 60,000 training images to set aside, each class with its share.
    seed : int
        Of that choice. The test set is the published one.

    Raises
    ------
    FileNotFoundError
        When the files are neither there nor to be had; says what was tried and where to put them.
    ValueError
        When ``validation`` leaves a part empty.
    """
    return _idx(
        "MNIST", tuple("0123456789"), "utils.data.digits(), 5,000 of these digits", data_folder(), validation, seed
    )


def fashion_mnist(validation: int = 5000, *, seed: int = 0) -> Splits:
    """Return 70,000 pieces of clothing, grey, 28×28, in ten classes, split as by :func:`mnist`.

    Xiao, Rasul and Vollgraf, "Fashion-MNIST: a novel image dataset for benchmarking machine learning algorithms",
    2017. 31 MB.

    Raises
    ------
    FileNotFoundError
        When the files are neither there nor to be had; says what was tried and where to put them.
    ValueError
        When ``validation`` leaves a part empty.
    """
    from torchvision.datasets import FashionMNIST

    return _idx("FashionMNIST", tuple(FashionMNIST.classes), "utils.data.digits()", data_folder(), validation, seed)


def cifar10(validation: int = 5000, *, seed: int = 0, copy: str | Path | None = None) -> Splits:
    """Return 60,000 colour images, 32×32, in ten classes: 45,000 for training, 5,000 for validation, 10,000 for test.

    Krizhevsky, "Learning multiple layers of features from tiny images", 2009. 170 MB.

    Parameters
    ----------
    validation : int
        How many of the 50,000 training images to set aside, each class with its share.
    seed : int
        Of that choice. The test set is the published one.
    copy : str or Path, optional
        A folder with ``train/CLASS/PICTURE`` and ``test/CLASS/PICTURE``, such as a copy as JPEG files; when left out,
        the environment variable ``CNN_CIFAR10``. The ``source`` of the images then says so, and so should results.

    Raises
    ------
    FileNotFoundError
        When the file is neither there nor to be had; says what was tried and where to put it.
    ValueError
        When ``validation`` leaves a part empty, or the copy has other classes.
    """
    copy = copy or os.environ.get("CNN_CIFAR10") or None
    if copy is None:
        return _cifar10(data_folder(), validation, seed)
    return _cifar10_copy(Path(copy).expanduser(), validation, seed)


def pets(size: int | tuple[int, int] = 96, validation: int = 740, *, seed: int = 0) -> Splits:
    """Return photographs of cats and dogs of 37 breeds: 2,940 for training, 740 for validation, 3,669 for test.

    Parkhi, Vedaldi, Zisserman and Jawahar, "Cats and dogs", CVPR, 2012; the Oxford-IIIT Pet data set. 811 MB. The
    photographs are from the web, and their copyright stays with those who took them; the set is CC BY-SA 4.0.

    Parameters
    ----------
    size : int or (int, int)
        Height and width: the middle of each photograph, resized.
    validation : int
        How many of the 3,680 published training images to set aside, each breed with its share.
    seed : int
        Of that choice. The test set is the published one.

    Raises
    ------
    FileNotFoundError
        When the files are neither there nor to be had; says what was tried and where to put them.
    ValueError
        When ``validation`` leaves a part empty, or the size makes no sense.
    """
    return _pets(data_folder(), check_sides(size), validation, seed)


@cache
def _idx(name: str, classes: tuple[str, ...], instead: str, root: Path, validation: int, seed: int) -> Splits:
    from torchvision import datasets

    source = getattr(datasets, name)
    arrays = []
    for file, md5 in source.resources:
        urls = [mirror + file for mirror in source.mirrors]
        others = [other for other, _ in source.resources if other != file]
        path = fetch(name, urls, root / name / "raw" / file, f"MD5 {md5}", instead, others)
        arrays.append(_read_idx(gzip.decompress(path.read_bytes())))
    sets = [
        Images(torch.from_numpy(images)[:, None], torch.from_numpy(labels).long(), classes, source=name)
        for images, labels in zip(arrays[::2], arrays[1::2], strict=True)
    ]
    return _split(*sets, validation, seed)


def _read_idx(data: bytes) -> np.ndarray:
    """Read the files of MNIST: two zero bytes, type, number of axes, their lengths, then the bytes themselves."""
    axes = data[3]
    shape = np.frombuffer(data, ">i4", axes, offset=4)
    return np.frombuffer(data, np.uint8, offset=4 + 4 * axes).reshape(shape).copy()


@cache
def _cifar10(root: Path, validation: int, seed: int) -> Splits:
    from torchvision.datasets import CIFAR10

    path = fetch("CIFAR-10", [CIFAR10.url], root / CIFAR10.filename, f"MD5 {CIFAR10.tgz_md5}", "utils.data.shapes()")
    sets = []
    with tarfile.open(path) as archive:
        for files in (CIFAR10.train_list, CIFAR10.test_list):
            # The checksum of the archive was compared, so that these are the published pickles and no others.
            batches = [
                pickle.load(archive.extractfile(f"{CIFAR10.base_folder}/{file}"), encoding="latin1")
                for file, _ in files
            ]
            images = torch.from_numpy(np.concatenate([batch["data"] for batch in batches])).view(-1, 3, 32, 32)
            labels = torch.tensor([label for batch in batches for label in batch["labels"]])
            sets.append(Images(images, labels, CIFAR10_CLASSES, source="CIFAR-10"))
    return _split(*sets, validation, seed)


@cache
def _cifar10_copy(path: Path, validation: int, seed: int) -> Splits:
    sets = []
    for part in ("train", "test"):
        images = folder_images(path / part, 32)
        if images.classes != CIFAR10_CLASSES:
            raise ValueError(
                f"{path / part} has the classes {', '.join(images.classes)}, "
                f"but a copy of CIFAR-10 has {', '.join(CIFAR10_CLASSES)}; name its folders so."
            )
        sets.append(replace(images, source="CIFAR-10, a copy as pictures in folders (recompressed if they are JPEG)"))
    return _split(*sets, validation, seed)


@cache
def _pets(root: Path, size: tuple[int, int], validation: int, seed: int) -> Splits:
    images, notes = (
        fetch(
            "Oxford-IIIT Pet",
            [PETS_ADDRESS + file],
            root / "oxford-iiit-pet" / file,
            f"MD5 {md5}",
            "utils.data.faces()",
            [other for other in PETS_CHECKSUMS if other != file],
        )
        for file, md5 in PETS_CHECKSUMS.items()
    )
    with tarfile.open(notes) as archive:
        # A line is: Abyssinian_100 1 1 1, the picture, its breed from 1, cat or dog, breed among these.
        rows = {
            part: [line.split() for line in archive.extractfile(f"annotations/{part}.txt").read().decode().splitlines()]
            for part in ("trainval", "test")
        }
    breeds = {int(row[1]): row[0].rsplit("_", 1)[0].replace("_", " ") for row in rows["trainval"]}
    wanted, pictures = {row[0] for part in rows.values() for row in part}, {}
    with tarfile.open(images) as archive:
        for member in archive:  # in the order of the file: going back in a compressed one would begin anew each time
            name = Path(member.name).stem
            if member.isfile() and member.name.endswith(".jpg") and name in wanted:
                pictures[name] = read_picture(io.BytesIO(archive.extractfile(member).read()), size)
    sets = [
        Images(
            torch.stack([pictures[row[0]] for row in part]),
            torch.tensor([int(row[1]) - 1 for row in part]),
            tuple(breeds[number] for number in sorted(breeds)),
            source="Oxford-IIIT Pet",
        )
        for part in rows.values()
    ]
    return _split(*sets, validation, seed)


def _split(train: Images, test: Images, validation: int, seed: int) -> Splits:
    """Set aside validation images from the training images, each class with its share; keep the test set."""
    from sklearn.model_selection import train_test_split

    if not len(train.classes) <= validation <= len(train) - len(train.classes):
        raise ValueError(
            f"{validation} validation images were asked for, but of {len(train):,} training images "
            f"{len(train.classes)} to {len(train) - len(train.classes):,} can be set aside."
        )
    kept, aside = train_test_split(
        np.arange(len(train)), test_size=validation, stratify=train.labels.numpy(), random_state=seed
    )
    fit = train.take(torch.from_numpy(kept)).with_statistics()
    others = (replace(part, mean=fit.mean, std=fit.std) for part in (train.take(torch.from_numpy(aside)), test))
    return Splits(fit, *others)
