"""Checks for the exercises on data and augmentation."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch.nn import functional as F
from torch.utils.data import DataLoader, Dataset

from utils.exercises.core import Answer, Behaviour, Case, Task

# 1. Predict: how many batches, and how many pictures are in the last one?

LOADERS: list[tuple[str, int, dict[str, Any]]] = [
    ("1,000 pictures, DataLoader(data, batch_size=100)", 1000, {"batch_size": 100}),
    ("1,000 pictures, DataLoader(data, batch_size=128)", 1000, {"batch_size": 128}),
    ("1,000 pictures, DataLoader(data, batch_size=128, drop_last=True)", 1000, {"batch_size": 128, "drop_last": True}),
    ("50 pictures, DataLoader(data, batch_size=64, shuffle=True)", 50, {"batch_size": 64, "shuffle": True}),
    ("129 pictures, DataLoader(data, batch_size=64)", 129, {"batch_size": 64}),
]

_BATCHES = [[10, 100], [8, 104], [7, 128], [1, 50], [3, 1]]


def _with(row: int, value: list[int]) -> list[list[int]]:
    """Return the right list with one row replaced (rows count from 1, as in the notebook)."""
    return [value if i == row else right for i, right in enumerate(_BATCHES, 1)]


def _count(number: int, settings: dict[str, Any]) -> list[int]:
    sizes = [len(batch) for batch in DataLoader(list(range(number)), **settings)]
    return [len(sizes), sizes[-1]]


batches = Answer(
    "batches",
    expected=lambda: [_count(number, settings) for _, number, settings in LOADERS],
    mistakes={
        "row 2: what is left makes a batch of its own: 7·128 = 896, and 104 pictures remain.": _with(2, [7, 128]),
        "row 2: the last batch holds what is left, 1,000 − 7·128 pictures.": _with(2, [8, 128]),
        "row 3: drop_last leaves the incomplete batch out.": _with(3, [8, 104]),
        "row 4: fewer pictures than a batch still make one batch, of all of them.": _with(4, [1, 64]),
        "row 4: without drop_last nothing is lost, so there is a batch.": _with(4, [0, 0]),
        "row 5: 2·64 = 128, and one picture is left: a batch of one.": _with(5, [2, 64]),
    },
)


# 2. Constants in one pass.


def _bytes(rng: random.Random, *shape: int, low: int = 0, high: int = 255) -> torch.Tensor:
    generator = torch.Generator().manual_seed(rng.randrange(2**31))
    return torch.randint(low, high + 1, shape, generator=generator, dtype=torch.uint8)


def _constants(parts: list[torch.Tensor]) -> tuple[torch.Tensor, torch.Tensor]:
    pixels = torch.cat(parts).double() / 255
    return pixels.mean((0, 2, 3)), pixels.std((0, 2, 3), correction=0)


def _constants_cases(rng: random.Random) -> list[Case]:
    cases: list[Case] = [
        ([torch.tensor([[[[0, 51]]], [[[102, 255]]]], dtype=torch.uint8)],),
        # unequal batches: a dark one of three pictures and a bright one of one
        ([_bytes(rng, 3, 1, 2, 2, high=40), _bytes(rng, 1, 1, 2, 2, low=200)],),
        ([_bytes(rng, 2, 3, 2, 5)],),
    ]
    while len(cases) < 24:
        channels, height, width = rng.choice([1, 3]), rng.choice([2, 3, 7]), rng.choice([2, 4, 5])
        parts = []
        for _ in range(rng.randint(2, 4)):
            low = rng.choice([0, 0, 100])
            parts.append(
                _bytes(rng, rng.randint(1, 6), channels, height, width, low=low, high=low + rng.randint(30, 150))
            )
        cases.append((parts,))
    return cases


def _of_each(parts: list[torch.Tensor], correction: int = 0) -> list[tuple[torch.Tensor, torch.Tensor]]:
    return [(p.double().mean((0, 2, 3)) / 255, p.double().std((0, 2, 3), correction=correction) / 255) for p in parts]


def _mean_of_batches(parts):
    each = _of_each(parts)
    return tuple(torch.stack(values).mean(0) for values in zip(*each, strict=True))


def _within_batches(parts):
    counts = torch.tensor([float(len(p)) for p in parts], dtype=torch.float64)[:, None]
    means, stds = (torch.stack(values) for values in zip(*_of_each(parts), strict=True))
    return (counts * means).sum(0) / counts.sum(), ((counts * stds**2).sum(0) / counts.sum()).sqrt()


def _per_picture(parts):
    pixels = torch.cat(parts).double() / 255
    return pixels.mean((0, 2, 3)), pixels.std((2, 3), correction=0).mean(0)


def _squares_in_bytes(parts):
    number = sum(p.numel() // p.shape[1] for p in parts)
    mean = sum(p.sum((0, 2, 3)) for p in parts).double() / number / 255
    squares = sum((p * p).sum((0, 2, 3)) for p in parts).double() / number / 255**2
    return mean, (squares - mean**2).sqrt()


def _joined(parts, axes=(0, 2, 3), scale=255, correction=0):
    pixels = torch.cat(parts).double() / scale
    return pixels.mean(axes), pixels.std(axes, correction=correction)


constants = Task(
    "constants",
    reference=_constants,
    cases=_constants_cases,
    mistakes={
        "that averages over the batches; one of six pictures must count six times as much as one of one.": _mean_of_batches,
        "the variance *between* the batches is missing: add up sums and sums of squares, and divide at the end.": _within_batches,
        "that is the mean of the pictures' own deviations; it forgets that pictures differ in brightness.": _per_picture,
        "the squares were computed in uint8, where 20·20 = 400 becomes 144: convert to double first.": _squares_in_bytes,
        "divide the bytes by 255: the constants are in units of pixel / 255.": lambda parts: _joined(parts, scale=1),
        "that deviation divides by the number minus 1; divide by the number of pixels.": lambda parts: _joined(
            parts, correction=1
        ),
        "one mean for all channels: each channel has its own.": lambda parts: tuple(
            v.expand(parts[0].shape[1]).clone() for v in _joined(parts, (0, 1, 2, 3))
        ),
        "return the deviation, the square root of the variance.": lambda parts: (
            _constants(parts)[0],
            _constants(parts)[1] ** 2,
        ),
    },
    tolerance=1e-6,
)


# 3. A Dataset for a list of arrays.


class _Arrays(Dataset):
    """The reference; the parts that usually go wrong can be exchanged."""

    def __init__(self, arrays, names):
        self.arrays, self.names = arrays, names
        self.classes = sorted(set(names))

    def __len__(self):
        return len(self.arrays)

    def __getitem__(self, i):
        return torch.tensor(self.arrays[i]).permute(2, 0, 1).float() / 255, self.classes.index(self.names[i])


def _described(answer: Callable[..., Any]) -> Callable[[list[np.ndarray], list[str]], list[Any]]:
    """Look at a data set as a loader does."""

    def look(arrays: list[np.ndarray], names: list[str]) -> list[Any]:
        data = answer(arrays, names)
        seen: list[Any] = [f"{len(data)} pictures"]
        for i in range(len(arrays)):
            item = data[i]
            if not isinstance(item, tuple) or len(item) != 2:
                return [*seen, f"picture {i} comes as {type(item).__name__}, not as a pair (image, label)"]
            image, label = item
            if not isinstance(image, torch.Tensor):
                return [*seen, f"image {i} is {type(image).__name__}, not a tensor"]
            sums = [round(v, 3) for v in image.double().flatten(1).mean(1).tolist()] if image.dim() == 3 else []
            corner = [round(v, 3) for v in image.double().flatten()[:3].tolist()]
            text = f"{str(image.dtype).removeprefix('torch.')} {tuple(image.shape)}, channel means {sums}"
            seen.append(f"picture {i}: {text}, first values {corner}, label {label!r}")
        return seen

    return look


def _arrays_cases(rng: random.Random) -> list[Case]:
    cases: list[Case] = []
    while len(cases) < 20:
        shape = rng.choice([2, 4, 5]), rng.choice([2, 6, 7])
        number = 2 if not cases else rng.randint(1, 4)
        arrays = [_bytes(rng, *shape, 3).numpy() for _ in range(number)]
        names = ["dog", "cat"] if not cases else [rng.choice(["cat", "dog", "bird", "ant"]) for _ in range(number)]
        cases.append((arrays, names))
    return cases


def _variant(name: str, **changes: Callable[..., Any]) -> type:
    return type(name, (_Arrays,), changes)


def _item(image: Callable[[np.ndarray], Any], label: Callable[[Any, int], Any] | None = None) -> Callable[..., Any]:
    return lambda self, i: (
        image(self.arrays[i]),
        self.classes.index(self.names[i]) if label is None else label(self, i),
    )


def _right_image(array: np.ndarray) -> torch.Tensor:
    return torch.tensor(array).permute(2, 0, 1).float() / 255


Arrays = Behaviour(
    "Arrays",
    reference=lambda arrays, names: _described(_Arrays)(arrays, names),
    cases=_arrays_cases,
    behaviour=_described,
    mistakes={
        "the image is still (H, W, C); permute(2, 0, 1) puts the channels first.": _variant(
            "A", __getitem__=_item(lambda a: torch.tensor(a).float() / 255)
        ),
        "reshape tears the picture apart; permute(2, 0, 1) moves the axes.": _variant(
            "B", __getitem__=_item(lambda a: torch.tensor(a).reshape(3, *a.shape[:2]).float() / 255)
        ),
        "divide by 255: the values must lie between 0 and 1.": _variant(
            "C", __getitem__=_item(lambda a: torch.tensor(a).permute(2, 0, 1).float())
        ),
        "the image is still uint8; convert it to float and divide by 255.": _variant(
            "D", __getitem__=_item(lambda a: torch.tensor(a).permute(2, 0, 1))
        ),
        "the label is the name; return its place in the sorted list of classes.": _variant(
            "E", __getitem__=_item(_right_image, lambda self, i: self.names[i])
        ),
        "the classes are numbered in the order in which they appear; number them by the alphabet.": _variant(
            "F", __getitem__=_item(_right_image, lambda self, i: list(dict.fromkeys(self.names)).index(self.names[i]))
        ),
        "len() is the number of pictures, not of classes.": _variant("G", __len__=lambda self: len(self.classes)),
        "every index gives the first picture; use i.": _variant(
            "H", __getitem__=lambda self, i: _Arrays.__getitem__(self, 0)
        ),
    },
)


# 4. Random crop with padding, a whole batch at once.


def _floats(rng: random.Random, *shape: int) -> torch.Tensor:
    return _bytes(rng, *shape).float() / 255


def _crop(images: torch.Tensor, padding: int, top: torch.Tensor, left: torch.Tensor) -> torch.Tensor:
    from torchvision.transforms.v2 import functional as TF

    height, width = images.shape[-2:]
    cut = [
        TF.crop(TF.pad(image, [padding]), t, x, height, width)
        for image, t, x in zip(images, top.tolist(), left.tolist(), strict=True)
    ]
    return torch.stack(cut)


def _crop_cases(rng: random.Random) -> list[Case]:
    small = torch.tensor([[[[1.0, 2.0], [3.0, 4.0]]]])
    cases: list[Case] = [
        (small, 1, torch.tensor([0]), torch.tensor([2])),
        (torch.cat([small, small]), 1, torch.tensor([0, 1]), torch.tensor([1, 2])),
    ]
    while len(cases) < 24:
        number, padding = rng.randint(1, 4), rng.choice([0, 1, 2, 3])
        shape = number, rng.choice([1, 3]), rng.choice([2, 4, 5]), rng.choice([2, 3, 6])
        drawn = [torch.tensor([rng.randint(0, 2 * padding) for _ in range(number)]) for _ in range(2)]
        cases.append((_floats(rng, *shape), padding, *drawn))
    return cases


def _crop_mode(mode: str) -> Callable[..., torch.Tensor]:
    def crop(images, padding, top, left):
        padded = F.pad(images, [padding] * 4, mode=mode)
        height, width = images.shape[-2:]
        cut = zip(padded, top.tolist(), left.tolist(), strict=True)
        return torch.stack([p[:, t : t + height, x : x + width] for p, t, x in cut])

    return crop


crop = Task(
    "crop",
    reference=_crop,
    cases=_crop_cases,
    mistakes={
        "all pictures are cut at the place of the first; each has a top and a left of its own.": lambda x, p, t, le: (
            _crop(x, p, t[:1].expand(len(x)), le[:1].expand(len(x)))
        ),
        "top and left are exchanged: top counts rows, from above.": lambda x, p, t, le: _crop(x, p, le, t),
        "the frame is padded with copies of the border; pad with zeros.": _crop_mode("replicate"),
        "the pictures are moved the wrong way: a top of 0 shows the frame above the picture.": lambda x, p, t, le: (
            _crop(x, p, 2 * p - t, 2 * p - le)
        ),
        "what leaves on one side comes in on the other (roll); the frame is zeros.": lambda x, p, t, le: torch.stack(
            [i.roll((p - int(a), p - int(b)), (1, 2)) for i, a, b in zip(x, t, le, strict=True)]
        ),
        "the pictures come back as they are.": lambda x, p, t, le: x.clone(),
        "the result is as large as the padded picture; cut out the old height and width.": lambda x, p, t, le: F.pad(
            x, [p] * 4
        ),
    },
)


# 5. Mixup with right labels.


def _mixup(images, labels, other, stays, classes):
    share = stays.view(-1, 1, 1, 1)
    targets = F.one_hot(labels, classes).to(images.dtype)
    return torch.lerp(images[other], images, share), torch.lerp(targets[other], targets, stays[:, None])


def _mixup_cases(rng: random.Random) -> list[Case]:
    cases: list[Case] = [
        (
            torch.tensor([[[[0.0]]], [[[1.0]]]]),
            torch.tensor([0, 2]),
            torch.tensor([1, 0]),
            torch.tensor([0.75, 0.5]),
            3,
        )
    ]
    while len(cases) < 24:
        number, classes = rng.randint(2, 5), rng.randint(2, 6)
        images = _floats(rng, number, rng.choice([1, 3]), rng.choice([1, 2, 4]), rng.choice([2, 3]))
        labels = torch.tensor([rng.randrange(classes) for _ in range(number)])
        other = torch.tensor(rng.sample(range(number), number))
        stays = torch.tensor([rng.choice([0.0, 0.1, 0.25, 0.6, 0.9, 1.0]) for _ in range(number)])
        cases.append((images, labels, other, stays, classes))
    return cases


mixup = Task(
    "mixup",
    reference=_mixup,
    cases=_mixup_cases,
    mistakes={
        "the labels are not mixed: each row has a single 1.": lambda x, y, o, s, c: (
            _mixup(x, y, o, s, c)[0],
            F.one_hot(y, c).to(x.dtype),
        ),
        "the shares of the labels are exchanged: `stays` belongs to the picture itself.": lambda x, y, o, s, c: (
            _mixup(x, y, o, s, c)[0],
            _mixup(x, y, o, 1 - s, c)[1],
        ),
        "the pictures are mixed the wrong way round: `stays` is the share of the picture itself.": lambda x, y, o, s, c: (
            _mixup(x, y, o, 1 - s, c)[0],
            _mixup(x, y, o, s, c)[1],
        ),
        "one share serves the whole batch; every picture has its own.": lambda x, y, o, s, c: _mixup(
            x, y, o, s[:1].expand(len(s)), c
        ),
        "labels are mixed with those of the next picture; take those of `other`, as for the pictures.": lambda x, y, o, s, c: (
            _mixup(x, y, o, s, c)[0],
            _mixup(x, y, torch.arange(len(y)).roll(1), s, c)[1],
        ),
        "class numbers were averaged: half of class 0 and half of class 2 is not class 1. Mix rows of shares.": lambda x, y, o, s, c: (
            _mixup(x, y, o, s, c)[0],
            F.one_hot((s * y + (1 - s) * y[o]).round().long(), c).to(x.dtype),
        ),
        "the pictures are not mixed.": lambda x, y, o, s, c: (x.clone(), _mixup(x, y, o, s, c)[1]),
    },
)


# 6. A pipeline to repair.


def _prepare(train, labels, test, order, chosen, leak=False, test_flipped=False, moved=True, augmented=True):
    source = (torch.cat([train, test]) if leak else train).double() / 255
    mean, std = (v.view(-1, 1, 1) for v in (source.mean((0, 2, 3)), source.std((0, 2, 3), correction=0)))
    inputs, other = train[order].double() / 255, test.double() / 255
    turned = chosen.view(-1, 1, 1, 1)
    if augmented:
        inputs = torch.where(turned, inputs.flip(-1), inputs)
    if test_flipped:
        other = torch.where(turned[: len(test)], other.flip(-1), other)
    result = (inputs - mean) / std, labels[order] if moved else labels.clone(), (other - mean) / std
    return tuple(r.float() if r.is_floating_point() else r for r in result)


def broken_prepare(train, labels, test, order, chosen):
    """The pipeline of the notebook, with its three faults."""
    return _prepare(train, labels, test, order, chosen, leak=True, test_flipped=True, moved=False)


def _prepare_cases(rng: random.Random) -> list[Case]:
    cases: list[Case] = []
    while len(cases) < 24:
        number = 3 if not cases else rng.randint(3, 6)
        rest = rng.randint(1, number)
        shape = (1, 1, 2) if not cases else (rng.choice([1, 3]), rng.choice([2, 3]), rng.choice([2, 5]))
        labels = torch.tensor(rng.sample(range(10), number))
        order = torch.tensor(rng.sample(range(number), number))
        chosen = torch.tensor([i == 0 or rng.random() < 0.5 for i in range(number)])
        train, test = _bytes(rng, number, *shape, high=160), _bytes(rng, rest, *shape, low=60)
        cases.append((train, labels, test, order, chosen))
    return cases


def _fault(**faults: bool) -> Callable[..., Any]:
    return lambda *case: _prepare(*case, **faults)


prepare = Task(
    "prepare",
    reference=_prepare,
    cases=_prepare_cases,
    mistakes={
        "all three faults are still there: look at the constants, at the labels, and at the test pictures.": _fault(
            leak=True, test_flipped=True, moved=False
        ),
        "the constants are still those of all pictures; the test pictures must not take part.": _fault(leak=True),
        "the test pictures are still flipped; what is measured must be left as it is.": _fault(test_flipped=True),
        "the labels still stand in the old order: picture and label move together.": _fault(moved=False),
        "the labels and the test pictures: two faults are left.": _fault(test_flipped=True, moved=False),
        "the constants and the labels: two faults are left.": _fault(leak=True, moved=False),
        "the constants and the test pictures: two faults are left.": _fault(leak=True, test_flipped=True),
        "the training pictures are no longer augmented.": _fault(augmented=False),
        "test pictures need the constants of the training pictures, not their own.": lambda *case: (
            *_prepare(*case)[:2],
            _prepare(case[2], torch.arange(len(case[2])), case[2], torch.arange(len(case[2])), case[4][: len(case[2])])[
                2
            ],
        ),
    },
    tolerance=1e-4,
)


# 7. Which augmentation makes which labels false? Rules on pictures (N, 3, 8, 8), and what is done to them.


def _halves(axis: int) -> Callable[[torch.Tensor], torch.Tensor]:
    def rule(images: torch.Tensor) -> torch.Tensor:
        first, second = (half.mean((1, 2, 3)) for half in images.chunk(2, axis))
        return first > second

    return rule


SETS: dict[str, Callable[[torch.Tensor], torch.Tensor]] = {
    "Is the left half of the picture brighter than the right half?": _halves(3),
    "Is the upper half of the picture brighter than the lower half?": _halves(2),
    "Is there more red than green in the picture?": lambda x: x[:, 0].mean((1, 2)) > x[:, 1].mean((1, 2)),
    "Is there a white pixel anywhere?": lambda x: (x.amin(1) > 0.99).flatten(1).any(1),
}
CHANGES: dict[str, Callable[[torch.Tensor], torch.Tensor]] = {
    "flip": lambda x: x.flip(-1),
    "turn": lambda x: x.rot90(2, (2, 3)),
    "colours": lambda x: x[:, [1, 2, 0]],
    "erase": lambda x: _erased(x),
}


def _erased(images: torch.Tensor) -> torch.Tensor:
    """Cover the four pixels in the middle."""
    out = images.clone()
    out[..., 3:5, 3:5] = 0.5
    return out


def _harmful() -> list[list[str]]:
    images = torch.rand(2000, 3, 8, 8, generator=torch.Generator().manual_seed(0)) * 0.6
    # Halves and colours that differ clearly, so that four covered pixels decide nothing there.
    sign = torch.randint(0, 2, (2000, 3), generator=torch.Generator().manual_seed(1)) * 2.0 - 1
    images[..., :4] += 0.1 * sign[:, :1, None, None]
    images[:, :, :4] += 0.1 * sign[:, 1:2, None, None]
    images[:, 0] += 0.1 * sign[:, 2, None, None]
    images = images.clamp(0, 0.9)
    images[:1000, :, 3, 4] = 1.0  # a white pixel near the middle of half of the pictures
    found = []
    for rule in SETS.values():
        changed = {
            name: (rule(change(images)) != rule(images)).float().mean().item() for name, change in CHANGES.items()
        }
        found.append([name for name, share in changed.items() if share > 0.2])
    return found


harmful = Answer(
    "harmful",
    expected=_harmful,
    mistakes={
        "row 1: a turn by 180° exchanges left and right, too.": [["flip"], ["turn"], ["colours"], ["erase"]],
        "row 2: a flip exchanges left and right, and leaves up and down alone.": [
            ["flip", "turn"],
            ["flip", "turn"],
            ["colours"],
            ["erase"],
        ],
        "row 4: a white pixel that is moved is still there; what covers it?": [
            ["flip", "turn"],
            ["turn"],
            ["colours"],
            ["flip", "turn", "erase"],
        ],
        "row 4: one pixel decides, and one change can hide it.": [["flip", "turn"], ["turn"], ["colours"], []],
    },
)
