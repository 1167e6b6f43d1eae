"""Right and wrong answers to the exercises on data and augmentation; see ``tests/test_exercises.py``."""

from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as F
from torch.utils.data import Dataset


def constants_by_counting(parts):
    """Count how often each of the 256 values occurs."""
    counts = 0
    for part in parts:
        counts = counts + torch.stack([channel.flatten().bincount(minlength=256) for channel in part.unbind(1)])
    shares = counts.double() / counts.sum(1, keepdim=True)
    values = torch.arange(256).double() / 255
    mean = shares @ values
    return mean, (shares * (values - mean[:, None]) ** 2).sum(1).sqrt()


def constants_by_merging(parts):
    """Merge count, mean and squared deviations part by part (Chan and others, 1979)."""
    number, mean, squares = 0, 0.0, 0.0
    for part in parts:
        x = part.transpose(0, 1).flatten(1).double() / 255
        n, m = x.shape[1], x.mean(1)
        delta = m - mean
        squares = squares + ((x - m[:, None]) ** 2).sum(1) + delta**2 * number * n / (number + n)
        mean = mean + delta * n / (number + n)
        number += n
    return mean, (squares / number) ** 0.5


def joined(parts, scale=255.0, correction=0, axes=(0, 2, 3)):
    x = torch.cat(parts).double() / scale
    return x.mean(axes), x.std(axes, correction=correction)


def mean_over_parts(parts):
    each = [joined([part]) for part in parts]
    return torch.stack([m for m, _ in each]).mean(0), torch.stack([s for _, s in each]).mean(0)


def constants_that_spoil(parts):
    result = joined(parts)
    parts[0].zero_()
    return result


class ByNumPy(Dataset):
    """Prepare everything at the start, with NumPy."""

    def __init__(self, arrays, names):
        numbers = {name: number for number, name in enumerate(sorted(set(names)))}
        images = [torch.from_numpy(np.moveaxis(a.astype(np.float32) / 255, 2, 0).copy()) for a in arrays]
        self.pairs = [(image, numbers[name]) for image, name in zip(images, names, strict=True)]

    def __len__(self):
        return len(self.pairs)

    def __getitem__(self, i):
        return self.pairs[i]


class WithToTensor:
    """No subclass of Dataset: the two methods are enough."""

    def __init__(self, arrays, names):
        self.arrays, self.names = arrays, names

    def __len__(self):
        return len(self.names)

    def __getitem__(self, i):
        from torchvision.transforms.v2.functional import to_dtype, to_image

        image = to_dtype(to_image(self.arrays[i]), torch.float32, scale=True)
        return image.as_subclass(torch.Tensor), sorted(set(self.names)).index(self.names[i])


def data_set(image=None, label=None, **methods):
    """A right data set with one part exchanged."""

    def item(self, i):
        picture = torch.from_numpy(self.arrays[i]).permute(2, 0, 1) / 255 if image is None else image(self.arrays[i])
        number = sorted(set(self.names)).index(self.names[i]) if label is None else label(self.names, i)
        return picture, number

    return type("Changed", (WithToTensor,), {"__getitem__": item, **methods})


def crop_by_slices(images, padding, top, left):
    out = torch.zeros_like(images)
    height, width = images.shape[-2:]
    for n, (t, x) in enumerate(zip((top - padding).tolist(), (left - padding).tolist(), strict=True)):
        for r in range(height):
            for c in range(width):
                if 0 <= r + t < height and 0 <= c + x < width:
                    out[n, :, r, c] = images[n, :, r + t, c + x]
    return out


def crop_by_windows(images, padding, top, left):
    height, width = images.shape[-2:]
    windows = F.pad(images, [padding] * 4).unfold(2, height, 1).unfold(3, width, 1)
    return windows[torch.arange(len(images)), :, top, left]


def crop_with_copies(images, padding, top, left):
    padded = F.pad(images, [padding] * 4, mode="replicate")
    height, width = images.shape[-2:]
    pairs = zip(padded, top.tolist(), left.tolist(), strict=True)
    return torch.stack([p[:, t : t + height, x : x + width] for p, t, x in pairs])


def crop_of_square(images, padding, top, left):
    side = images.shape[-1]
    padded = F.pad(images, [padding] * 4)
    pairs = zip(padded, top.tolist(), left.tolist(), strict=True)
    return torch.stack([p[:, t : t + side, x : x + side] for p, t, x in pairs])


def crop_that_writes(images, padding, top, left):
    result = crop_by_slices(images, padding, top, left)
    images[..., 0, 0] = 0.25
    return result


def mixup_by_loop(images, labels, other, stays, classes):
    mixed, shares = torch.empty_like(images), torch.zeros(len(images), classes)
    for n, (o, s) in enumerate(zip(other.tolist(), stays, strict=True)):
        mixed[n] = s * images[n] + (1 - s) * images[o]
        shares[n, labels[n]] += s
        shares[n, labels[o]] += 1 - s
    return mixed, shares


def mixup_by_eye(images, labels, other, stays, classes):
    eye = torch.eye(classes)
    mixed = torch.einsum("n,nchw->nchw", stays, images) + torch.einsum("n,nchw->nchw", 1 - stays, images[other])
    return mixed, torch.diag(stays) @ eye[labels] + torch.diag(1 - stays) @ eye[labels[other]]


def mixup_that_assigns(images, labels, other, stays, classes):
    """Assigns instead of adding: two of the same class end with too little."""
    mixed, shares = mixup_by_loop(images, labels, other, stays, classes)
    shares = torch.zeros_like(shares)
    rows = torch.arange(len(labels))
    shares[rows, labels] = stays
    shares[rows, labels[other]] = 1 - stays
    return mixed, shares


def mixup_in_place(images, labels, other, stays, classes):
    result = mixup_by_loop(images, labels, other, stays, classes)
    images.copy_(result[0])
    return result


def pipeline(train, labels, test, order, chosen, constants="train", flip_test=False, move=True, flip="after"):
    known = {"train": train, "all": torch.cat([train, test]), "test": test}[constants].float() / 255
    mean = known.mean((0, 2, 3)).view(-1, 1, 1)
    std = ((known - mean) ** 2).mean((0, 2, 3)).sqrt().view(-1, 1, 1)
    x, y = train[order].float() / 255, test.float() / 255
    if flip == "before":  # before the order is changed
        x = train.float() / 255
        x = torch.stack([p.flip(-1) if c else p for p, c in zip(x, chosen, strict=True)])[order]
    elif flip == "after":
        x = torch.stack([p.flip(-1) if c else p for p, c in zip(x, chosen, strict=True)])
    elif flip == "all":
        x = x.flip(-1)
    elif flip == "upside down":
        x = torch.stack([p.flip(-2) if c else p for p, c in zip(x, chosen, strict=True)])
    if flip_test:
        y = torch.where(chosen.view(-1, 1, 1, 1)[: len(y)], y.flip(-1), y)
    return (x - mean) / std, labels[order] if move else labels.clone(), (y - mean) / std


def changed(**settings):
    return lambda *case: pipeline(*case, **settings)


RIGHT = {
    "batches": [[(10, 100), (8, 104), (7, 128), (1, 50), (3, 1)]],
    "constants": [constants_by_counting, constants_by_merging, joined],
    "Arrays": [ByNumPy, WithToTensor, data_set()],
    "crop": [crop_by_slices, crop_by_windows],
    "mixup": [mixup_by_loop, mixup_by_eye],
    "prepare": [pipeline],
    "harmful": [[("flip", "turn"), ("turn",), ("colours",), ("erase",)]],
}

WRONG = {
    "batches": {
        "104 pictures remain": [[10, 100], [7, 128], [7, 128], [1, 50], [3, 1]],
        "drop_last leaves the incomplete batch out": [[10, 100], [8, 104], [8, 104], [1, 50], [3, 1]],
        "still make one batch": [[10, 100], [8, 104], [7, 128], [1, 64], [3, 1]],
        "a batch of one": [[10, 100], [8, 104], [7, 128], [1, 50], [2, 64]],
        "must have 5": [10, 8, 7],
    },
    "constants": {
        "averages over the batches": mean_over_parts,
        "the mean of the pictures' own deviations": lambda parts: (
            joined(parts)[0],
            torch.cat(parts).double().div(255).std((2, 3), correction=0).mean(0),
        ),
        "in units of pixel / 255": lambda parts: joined(parts, scale=1.0),
        "number minus 1": lambda parts: joined(parts, correction=1),
        "the square root of the variance": lambda parts: (joined(parts)[0], joined(parts)[1] ** 2),
        "must be torch.float64": lambda parts: tuple(v.float() for v in joined(parts)),
        "must have (3,)": lambda parts: joined(parts, axes=(0, 1, 2, 3)) if parts[0].shape[1] == 3 else joined(parts),
        "changed its arguments": constants_that_spoil,
        "values differ": lambda parts: joined(parts[:1]),
        "entry 0: the values differ": lambda parts: joined(parts)[::-1],
    },
    "Arrays": {
        "still (H, W, C)": data_set(image=lambda a: torch.from_numpy(a) / 255),
        "reshape tears": data_set(image=lambda a: torch.from_numpy(a).reshape(3, *a.shape[:2]) / 255),
        "divide by 255": data_set(image=lambda a: torch.from_numpy(a).permute(2, 0, 1).float()),
        "still uint8": data_set(image=lambda a: torch.from_numpy(a).permute(2, 0, 1)),
        "the label is the name": data_set(label=lambda names, i: names[i]),
        "in the order in which they appear": data_set(
            label=lambda names, i: list(dict.fromkeys(names)).index(names[i])
        ),
        "not of classes": data_set(__len__=lambda self: len(set(self.names))),
        "every index gives the first": type(
            "First", (WithToTensor,), {"__getitem__": lambda self, i: WithToTensor.__getitem__(self, 0)}
        ),
        "not as a pair": type("Alone", (WithToTensor,), {"__getitem__": lambda self, i: self.arrays[i]}),
        "label tensor(": data_set(label=lambda names, i: torch.tensor(sorted(set(names)).index(names[i]))),
        "float64": data_set(image=lambda a: torch.from_numpy(a).permute(2, 0, 1).double() / 255),
    },
    "crop": {
        "the place of the first": lambda x, p, t, le: crop_by_slices(x, p, t[:1].expand(len(x)), le[:1].expand(len(x))),
        "top and left are exchanged": lambda x, p, t, le: crop_by_slices(x, p, le, t),
        "the wrong way": lambda x, p, t, le: crop_by_slices(x, p, 2 * p - t, 2 * p - le),
        "pad with zeros": crop_with_copies,
        "cut out the old height and width": lambda x, p, t, le: F.pad(x, [p] * 4),
        "come back as they are": lambda x, p, t, le: x + 0,
        "raised RuntimeError": crop_of_square,
        "changed its arguments": crop_that_writes,
        "must be torch.float32": lambda *case: crop_by_slices(*case).double(),
        "values differ": lambda x, p, t, le: crop_by_slices(x, p, t + 1, le),
    },
    "mixup": {
        "each row has a single 1": lambda x, y, o, s, c: (mixup_by_loop(x, y, o, s, c)[0], torch.eye(c)[y]),
        "shares of the labels are exchanged": lambda x, y, o, s, c: (
            mixup_by_loop(x, y, o, s, c)[0],
            mixup_by_loop(x, y, o, 1 - s, c)[1],
        ),
        "mixed the wrong way round": lambda x, y, o, s, c: (
            mixup_by_loop(x, y, o, 1 - s, c)[0],
            mixup_by_loop(x, y, o, s, c)[1],
        ),
        "every picture has its own": lambda x, y, o, s, c: mixup_by_loop(x, y, o, s[:1].expand(len(s)), c),
        "the pictures are not mixed": lambda x, y, o, s, c: (x + 0, mixup_by_loop(x, y, o, s, c)[1]),
        "entry 1: the values differ": mixup_that_assigns,
        "changed its arguments": mixup_in_place,
        "entry 1: the result has shape": lambda x, y, o, s, c: (mixup_by_loop(x, y, o, s, c)[0], y),
        "entry 1: the result is torch.float64": lambda x, y, o, s, c: (
            mixup_by_loop(x, y, o, s, c)[0],
            mixup_by_loop(x, y, o, s, c)[1].double(),
        ),
    },
    "prepare": {
        "all three faults": changed(constants="all", flip_test=True, move=False),
        "the test pictures must not take part": changed(constants="all"),
        "left as it is": changed(flip_test=True),
        "the old order": changed(move=False),
        "constants and the labels": changed(constants="all", move=False),
        "no longer augmented": changed(flip="none"),
        "entry 0: the values differ": changed(flip="all"),
        "values differ": changed(flip="before"),
        "differ by": changed(constants="test"),
        "must be torch.float32": lambda *case: tuple(
            v.double() if v.is_floating_point() else v for v in pipeline(*case)
        ),
    },
    "harmful": {
        "exchanges left and right, too": [["flip"], ["turn"], ["colours"], ["erase"]],
        "leaves up and down alone": [["flip", "turn"], ["flip", "turn"], ["colours"], ["erase"]],
        "what covers it": [["flip", "turn"], ["turn"], ["colours"], ["flip", "turn", "erase"]],
        "one change can hide it": [["flip", "turn"], ["turn"], ["colours"], []],
        "must have 4": [["flip"]],
    },
}
