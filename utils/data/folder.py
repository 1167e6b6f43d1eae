"""Your own pictures: one folder for each class, read into memory as small images of one size.

For folders larger than memory use ``torchvision.datasets.ImageFolder`` with a ``DataLoader``.
"""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import BinaryIO

import numpy as np
import torch

from utils.data.common import Images, Splits, stratified_split

ENDINGS = (".jpg", ".jpeg", ".png", ".bmp", ".gif", ".webp", ".tif", ".tiff", ".ppm", ".pgm")
PARTS = {"train": "train", "val": "validation", "valid": "validation", "validation": "validation", "test": "test"}


def folder(
    path: str | Path,
    size: int | tuple[int, int] = 64,
    *,
    grey: bool = False,
    validation: float = 0.15,
    test: float = 0.15,
    seed: int = 0,
    broken: str = "raise",
    limit: float = 4.0,
) -> Splits:
    """Read ``path/CLASS/PICTURE`` or ``path/PART/CLASS/PICTURE`` into training, validation and test images.

    When ``path`` holds folders ``train`` and, if you like, ``val`` (or ``valid``, ``validation``) and ``test``, these
    are the parts. A part that is not there is drawn from the training pictures, stratified: each class has the same
    share of it. Several pictures of one thing (a patient, a scene, a video) must not be torn apart: sort them into
    part folders yourself.

    Parameters
    ----------
    path : str or Path
    size : int or (int, int)
        Height and width in pixels. A picture is cropped at its centre to this shape and resized with anti-aliasing.
    grey : bool
        Read one channel instead of three.
    validation, test : float
        Share of a part that has no folder, between 0 and 1.
    seed : int
        Of the shuffle that draws parts.
    broken : str
        ``"raise"``, or ``"skip"`` to leave out pictures that cannot be read, and print which.
    limit : float
        Most memory that the images may take, in GiB (2³⁰ bytes).

    Returns
    -------
    Splits
        Classes in the order of their names; ``mean`` and ``std`` are those of the training images.

    Raises
    ------
    FileNotFoundError
        No such folder.
    ValueError
        No classes, only one class, a class without pictures, parts with different classes, a picture that cannot
        be read, a share or size that makes no sense.
    MemoryError
        The images would take more than ``limit``.
    """
    path = _existing(path)
    places = _parts(path)
    options = {"grey": grey, "broken": broken}
    if not places:
        return _draw(folder_images(path, size, limit=limit, **options), validation, test, seed)
    found = {part: _pictures(place) for part, place in places.items()}
    classes = list(found["train"])
    for part, place in places.items():
        if list(found[part]) != classes:
            odd = sorted(set(found[part]) ^ set(classes))
            raise ValueError(
                f"{place} and {places['train']} differ in their classes ({', '.join(odd)}); "
                "give both a folder for each class."
            )
    _check_memory(path, sum(len(files) for part in found.values() for files in part.values()), size, grey, limit)
    sets = {part: _read(found[part], places[part], size, **options) for part in places}
    train = sets["train"]
    if "validation" in sets and "test" in sets:
        train = train.with_statistics()
        return Splits(train, *(replace(sets[p], mean=train.mean, std=train.std) for p in ("validation", "test")))
    if "validation" not in sets and "test" not in sets:
        return _draw(train, validation, test, seed)
    # One part is there; draw the other one from the training pictures.
    name, share = ("test", test) if "validation" in sets else ("validation", validation)
    train, drawn = _cut(train, share, name, seed)
    train = train.with_statistics()
    sets[name] = drawn
    return Splits(train, *(replace(sets[p], mean=train.mean, std=train.std) for p in ("validation", "test")))


def folder_images(
    path: str | Path,
    size: int | tuple[int, int] = 64,
    *,
    grey: bool = False,
    broken: str = "raise",
    limit: float = 4.0,
) -> Images:
    """Read ``path/CLASS/PICTURE`` as one set, in the order of the names; the parameters are those of `folder`."""
    path = _existing(path)
    pictures = _pictures(path)
    _check_memory(path, sum(map(len, pictures.values())), size, grey, limit)
    return _read(pictures, path, size, grey=grey, broken=broken)


def _draw(data: Images, validation: float, test: float, seed: int) -> Splits:
    for name, share in (("validation", validation), ("test", test)):
        _check_share(name, share)
    numbers = [_number(data, share) for share in (validation, test)]
    rarest = int(data.labels.bincount(minlength=len(data.classes)).min())
    if rarest < 3 or len(data) - sum(numbers) < len(data.classes):
        raise _too_few(data, "three parts", 3)
    return stratified_split(data, *numbers, seed=seed)


def _cut(data: Images, share: float, name: str, seed: int) -> tuple[Images, Images]:
    """Draw one more part from the training images."""
    from sklearn.model_selection import train_test_split

    _check_share(name, share)
    if int(data.labels.bincount(minlength=len(data.classes)).min()) < 2:
        raise _too_few(data, "two parts", 2)
    kept, drawn = train_test_split(
        range(len(data)), test_size=_number(data, share), stratify=data.labels.numpy(), random_state=seed
    )
    return data.take(torch.tensor(kept)), data.take(torch.tensor(drawn))


def _number(data: Images, share: float) -> int:
    return max(len(data.classes), round(share * len(data)))


def _too_few(data: Images, parts: str, least: int) -> ValueError:
    counts = data.labels.bincount(minlength=len(data.classes))
    rarest = int(counts.argmin())
    return ValueError(
        f"class {data.classes[rarest]!r} has {int(counts[rarest])} of {len(data)} pictures, which is too few for {parts}; "
        f"add pictures (at least {least} of each class, and more than three times the number of classes in all) "
        "or make the part folders yourself."
    )


def _check_share(name: str, share: float) -> None:
    if not 0 < share < 1:
        raise ValueError(f"{name} is {share!r}, but it must be a share of the pictures between 0 and 1, such as 0.15.")


def _existing(path: str | Path) -> Path:
    path = Path(path).expanduser()
    if path.is_file():
        raise ValueError(f"{path} is a file, but a folder is wanted; when it is an archive, unpack it first.")
    if not path.is_dir():
        raise FileNotFoundError(f"there is no folder {path}; give the path of a folder with one sub-folder a class.")
    return path


def _folders(path: Path) -> list[Path]:
    return sorted((p for p in path.iterdir() if p.is_dir() and not p.name.startswith(".")), key=lambda p: p.name)


def _files(path: Path) -> list[Path]:
    """Return the pictures in a folder and below it, sorted by path, the same on every machine."""
    files = [p for p in path.rglob("*") if p.suffix.lower() in ENDINGS and not p.name.startswith(".") and p.is_file()]
    return sorted(files, key=lambda p: p.relative_to(path).as_posix())


def _parts(path: Path) -> dict[str, Path]:
    """Return the part folders in ``path``; none when its folders are classes (one of which may be named train)."""
    inside = _folders(path)
    if not inside or any(p.name not in PARTS or not _folders(p) for p in inside):
        return {}
    places: dict[str, Path] = {}
    for place in inside:
        if PARTS[place.name] in places:
            raise ValueError(
                f"{path} holds both {places[PARTS[place.name]].name} and {place.name}; keep one of the two folders."
            )
        places[PARTS[place.name]] = place
    if "train" not in places:
        raise ValueError(f"{path} holds {' and '.join(p.name for p in inside)}, but no folder train; add it.")
    return places


def _pictures(path: Path) -> dict[str, list[Path]]:
    """Return the pictures of every class, in the order of their names."""
    classes = _folders(path)
    if not classes:
        number = len(_files(path))
        raise ValueError(
            f"{path} holds {number} pictures and no sub-folders; make one sub-folder for each class, named after it."
        )
    pictures = {place.name: _files(place) for place in classes}
    empty = [name for name, files in pictures.items() if not files]
    if empty:
        raise ValueError(
            f"class {empty[0]!r} in {path} has no pictures; add some ({', '.join(ENDINGS)}) or remove the folder."
        )
    if len(classes) == 1:
        raise ValueError(
            f"{path} holds one class, {classes[0].name!r}, but a classifier chooses between at least two; "
            "add a sub-folder for another class."
        )
    return pictures


def check_sides(size: int | tuple[int, int]) -> tuple[int, int]:
    """Return height and width of a size.

    Raises
    ------
    ValueError
        When it is neither a whole number of at least 1 nor two.
    """
    sides = size if isinstance(size, tuple) else (size, size)
    if len(sides) != 2 or any(isinstance(s, bool) or not isinstance(s, int) or s < 1 for s in sides):
        raise ValueError(f"size is {size!r}, but it must be a whole number of pixels, or two: (height, width).")
    return sides


def _check_memory(path: Path, number: int, size: int | tuple[int, int], grey: bool, limit: float) -> None:
    height, width = check_sides(size)
    need = number * height * width * (1 if grey else 3) / 2**30
    if need > limit:
        raise MemoryError(
            f"{number:,} pictures of {height}×{width} in {path} would take {need:.2f} GiB of memory, above the limit "
            f"of {limit:g} GiB; use a smaller size, raise the limit, or read them batch by batch with "
            "torchvision.datasets.ImageFolder and torch.utils.data.DataLoader."
        )


def _read(
    pictures: dict[str, list[Path]], path: Path, size: int | tuple[int, int], *, grey: bool, broken: str
) -> Images:
    if broken not in ("raise", "skip"):
        raise ValueError(f"broken is {broken!r}, but it must be 'raise' or 'skip'.")
    files = [file for group in pictures.values() for file in group]
    labels = torch.tensor([label for label, group in enumerate(pictures.values()) for _ in group])
    images = torch.empty(len(files), 1 if grey else 3, *check_sides(size), dtype=torch.uint8)
    good = torch.ones(len(files), dtype=torch.bool)

    def read(index: int) -> None:
        try:
            images[index] = read_picture(files[index], size, grey)
        except (OSError, ValueError, SyntaxError) as error:  # what Pillow raises for broken files
            if broken == "raise":
                raise ValueError(
                    f"{files[index]} cannot be read as a picture ({str(error).splitlines()[0]}); delete or replace it, "
                    "or pass broken='skip' to leave out such files."
                ) from error
            good[index] = False

    # Pillow lets other threads run while it decodes.
    with ThreadPoolExecutor(min(8, os.cpu_count() or 1)) as pool:
        list(pool.map(read, range(len(files))))
    if not good.all():
        bad = [files[i].relative_to(path).as_posix() for i in (~good).nonzero().flatten().tolist()]
        print(f"left out {len(bad)} of {len(files)} pictures that cannot be read: {', '.join(bad[:5])}")
        images, labels = images[good], labels[good]
        gone = set(range(len(pictures))) - set(labels.tolist())
        if gone:
            raise ValueError(
                f"class {list(pictures)[min(gone)]!r} in {path} has no picture that can be read; add some."
            )
    return Images(images, labels, tuple(pictures), mean=(0.0,) * images.shape[1], std=(1.0,) * images.shape[1])


def read_picture(file: Path | BinaryIO, size: int | tuple[int, int], grey: bool = False) -> torch.Tensor:
    """Read one picture as uint8 (C, H, W): upright, on white where it is transparent, cropped and resized.

    Raises
    ------
    OSError, ValueError, SyntaxError
        As Pillow does for broken files; ValueError also for pixels of a mode whose range is not known.
    """
    from PIL import Image, ImageOps

    height, width = check_sides(size)
    with Image.open(file) as image:
        image = ImageOps.exif_transpose(image)  # cameras store how they were held
        if image.mode.startswith("I;16"):
            image = Image.fromarray((np.asarray(image) >> 8).astype(np.uint8))
        elif image.mode in ("I", "F"):
            raise ValueError(f"its pixels are of mode {image.mode}, whose range is not known; save it with 8 bits")
        elif "transparency" in image.info or image.mode in ("RGBA", "LA", "PA"):
            image = image.convert("RGBA")
            image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image)
        image = image.convert("L" if grey else "RGB")
        if image.size != (width, height):
            image = ImageOps.fit(image, (width, height), Image.Resampling.BICUBIC)
        pixels = np.array(image)
    return torch.from_numpy(pixels).view(height, width, -1).permute(2, 0, 1)
