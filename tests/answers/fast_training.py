"""Right and wrong answers to the exercises on fast training."""

from __future__ import annotations

import math
from statistics import mean, median

import torch
from torch.nn import functional as F


def amdahl_by_adding(shares, factors):
    rest, time = 1.0, 0.0
    for share, factor in zip(shares, factors, strict=True):
        rest -= share
        time += share / factor
    return 1 / (rest + time)


def amdahl_by_saving(shares, factors):
    """What each part saves, taken off a whole of 1."""
    return 1 / (1 - sum(s * (1 - 1 / f) for s, f in zip(shares, factors, strict=True)))


LAYOUT = [[12288, 768, 32, 1], [12288, 1, 512, 16], 393216, 196608]


def changed(place, value):
    return [value if i == place else entry for i, entry in enumerate(LAYOUT)]


def standard_by_einsum(images, mean, std):
    scale = 1 / torch.tensor(std)
    return torch.einsum("nchw,c->nchw", images / 255, scale) - (torch.tensor(mean) * scale)[:, None, None]


def standard_by_lookup(images, mean, std):
    """A table of 256 values for each channel."""
    values = torch.arange(256) / 255
    table = (values - torch.tensor(mean)[:, None]) / torch.tensor(std)[:, None]
    channel = torch.arange(images.shape[1])[:, None, None]
    return table[channel, images.long()]


def standard_in_place(images, mean, std):
    result = standard_by_lookup(images, mean, std)
    images.zero_()
    return result


def standard_by_loop(images, mean, std):
    return torch.stack([standard_by_lookup(image[None], mean, std)[0] for image in images])


def constants(values, *shape):
    return torch.tensor(values).view(shape)


def crop_by_index(images, top, left, flip, padding):
    n, _, height, width = images.shape
    padded = F.pad(images, [padding] * 4)
    rows = top[:, None] + torch.arange(height)
    across = torch.arange(width).expand(n, width)
    across = torch.where(flip[:, None], across.flip(1), across)
    columns = left[:, None] + across
    picture = torch.arange(n)[:, None, None]
    return padded[picture, :, rows[:, :, None], columns[:, None, :]].permute(0, 3, 1, 2)


def crop_by_product(images, top, left, flip, padding):
    """Rows and columns are chosen by matrices of 0 and 1."""
    _, _, height, width = images.shape
    padded = F.pad(images, [padding] * 4)
    rows = F.one_hot(top[:, None] + torch.arange(height), height + 2 * padding).float()
    columns = F.one_hot(left[:, None] + torch.arange(width), width + 2 * padding).float()
    result = torch.einsum("nab,ncbd,ned->ncae", rows, padded, columns)
    return torch.where(flip[:, None, None, None], result.flip(3), result)


def crop_by_loop(images, top, left, flip, padding):
    height, width = images.shape[2:]
    padded, result = F.pad(images, [padding] * 4), []
    for i, (t, le) in enumerate(zip(top.tolist(), left.tolist(), strict=True)):
        image = padded[i, :, t : t + height, le : le + width]
        result.append(image.flip(2) if flip[i] else image)
    return torch.stack(result)


def crop_by_edge(images, top, left, padding):
    height, width = images.shape[2:]
    padded = F.pad(images, [padding] * 4, mode="replicate")
    rows = top[:, None] + torch.arange(height)
    columns = left[:, None] + torch.arange(width)
    picture = torch.arange(len(images))[:, None, None]
    return padded[picture, :, rows[:, :, None], columns[:, None, :]].permute(0, 3, 1, 2)


def crop_in_place(images, top, left, flip, padding):
    return images.copy_(crop_by_index(images, top, left, flip, padding))


def ratios_by_loop(old, new, wait, clock, rounds):
    old()
    new()
    found = []
    for _ in range(rounds):
        wait()
        first = clock()
        old()
        wait()
        second = clock()
        new()
        wait()
        found.append((second - first) / (clock() - second))
    found.sort()
    return (found[(rounds - 1) // 2] + found[rounds // 2]) / 2


def measured(old, new, wait, clock, rounds, *, middle=median, order=(0, 1), invert=False):
    versions = (old, new)
    for version in versions:
        version()
        wait()
    found = []
    for _ in range(rounds):
        seconds = [0.0, 0.0]
        for which in order:
            began = clock()
            versions[which]()
            wait()
            seconds[which] = clock() - began
        found.append(seconds[1] / seconds[0] if invert else seconds[0] / seconds[1])
    return middle(found)


def cold(old, new, wait, clock, rounds):
    found = []
    for _ in range(rounds):
        times = [clock()]
        for version in (old, new):
            version()
            wait()
            times.append(clock())
        found.append((times[1] - times[0]) / (times[2] - times[1]))
    return median(found)


def warm_but_hasty(old, new, wait, clock, rounds):
    old()
    new()
    return cold(old, new, wait, clock, rounds)


def broken(old, new, wait, clock, rounds):
    """The text of the notebook."""
    began = clock()
    for _ in range(rounds):
        old()
    middle = clock()
    for _ in range(rounds):
        new()
    return (middle - began) / (clock() - middle)


def in_blocks(old, new, wait, clock, rounds):
    old()
    new()
    wait()
    seconds = []
    for version in (old, new):
        for _ in range(rounds):
            began = clock()
            version()
            wait()
            seconds.append(clock() - began)
    return median(seconds[i] / seconds[rounds + i] for i in range(rounds))


def ratio_of_sums(old, new, wait, clock, rounds):
    old()
    new()
    wait()
    total = [0.0, 0.0]
    for _ in range(rounds):
        for i, version in enumerate((old, new)):
            began = clock()
            version()
            wait()
            total[i] += clock() - began
    return total[0] / total[1]


def pays_by_formula(price, old, new):
    return price // (old - new) + 1 if old > new else None


def pays_by_counting(price, old, new):
    if old <= new:
        return None
    n, saved = 0, 0
    while saved <= price:
        n, saved = n + 1, saved + old - new
    return max(n, 1)


RIGHT = {
    "amdahl": [amdahl_by_adding, amdahl_by_saving],
    "layout": [LAYOUT, [tuple(LAYOUT[0]), tuple(LAYOUT[1]), *LAYOUT[2:]]],
    "standardised": [standard_by_einsum, standard_by_lookup],
    "crop_and_flip": [crop_by_index, crop_by_product],
    "times_as_fast": [ratios_by_loop, measured],
    "break_even": [pays_by_formula, pays_by_counting],
}

WRONG = {
    "amdahl": {
        "add 1 − the sum of the shares": lambda shares, factors: (
            1 / sum(s / f for s, f in zip(shares, factors, strict=True)) if shares else 1.0
        ),
        "this is the new time": lambda shares, factors: 1 / amdahl_by_adding(shares, factors),
        "times are added, not speeds": lambda shares, factors: (
            1 + sum(s * (f - 1) for s, f in zip(shares, factors, strict=True))
        ),
        "cannot be multiplied": lambda shares, factors: math.prod(
            amdahl_by_saving([s], [f]) for s, f in zip(shares, factors, strict=True)
        ),
        "this is the limit": lambda shares, factors: 1 / (1 - min(sum(shares), 0.999999999)),
        "must be a number": lambda shares, factors: None,
        "the result is": lambda shares, factors: amdahl_by_adding(shares[:1], factors[:1]),
    },
    "layout": {
        "exchanged": [LAYOUT[1], LAYOUT[0], *LAYOUT[2:]],
        "the index order stays": changed(1, [12288, 512, 16, 1]),
        "passes all channels": changed(1, [12288, 1, 32, 16]),
        "the 16 channels of this one": changed(1, [12288, 1, 512, 1]),
        "these are counts of numbers": [*LAYOUT[:2], 98304, 98304],
        "these are bits": [*LAYOUT[:2], 98304 * 32, 98304 * 16],
        "not bytes": [[4 * s for s in LAYOUT[0]], [4 * s for s in LAYOUT[1]], *LAYOUT[2:]],
        "hence 2 bytes": changed(3, 98304),
        "must have 4": LAYOUT[:3],
    },
    "standardised": {
        "divide by 255 first": lambda images, mean, std: (
            (images - constants(mean, 1, -1, 1, 1)) / constants(std, 1, -1, 1, 1)
        ),
        "not by 256": lambda images, mean, std: (images / 256 - constants(mean, -1, 1, 1)) / constants(std, -1, 1, 1),
        "subtract the mean first": lambda images, mean, std: (
            images / 255 / constants(std, -1, 1, 1) - constants(mean, -1, 1, 1)
        ),
        "this multiplies it": lambda images, mean, std: (
            (images / 255 - constants(mean, -1, 1, 1)) * constants(std, -1, 1, 1)
        ),
        "along the columns": lambda images, mean, std: (images / 255 - torch.tensor(mean)) / torch.tensor(std),
        "in whole numbers": lambda images, mean, std: (
            (images // 255 - constants(mean, -1, 1, 1)) / constants(std, -1, 1, 1)
        ),
        "float64": lambda images, mean, std: standard_by_einsum(images, mean, std).double(),
        "a loop over the images": standard_by_loop,
        "changed its arguments": standard_in_place,
        "must have (1, 1, 2, 3)": lambda images, mean, std: standard_by_einsum(images, mean, std).flatten(1),
        "(NoneType)": lambda images, mean, std: None,
    },
    "crop_and_flip": {
        "rows and columns are exchanged": lambda images, top, left, flip, padding: crop_by_index(
            images, left, top, flip, padding
        ),
        "crop first, then flip": lambda images, top, left, flip, padding: crop_by_product(
            torch.where(flip[:, None, None, None], images.flip(3), images), top, left, flip & ~flip, padding
        ),
        "no image is flipped": lambda images, top, left, flip, padding: crop_by_index(
            images, top, left, flip & ~flip, padding
        ),
        "all images are flipped": lambda images, top, left, flip, padding: crop_by_index(
            images, top, left, flip | ~flip, padding
        ),
        "at the place of the first": lambda images, top, left, flip, padding: crop_by_index(
            images, top * 0 + top[0], left * 0 + left[0], flip, padding
        ),
        "upside down": lambda images, top, left, flip, padding: (
            lambda cut: torch.where(flip[:, None, None, None], cut.flip(2), cut)
        )(crop_by_index(images, top, left, flip & ~flip, padding)),
        "the wrong way": lambda images, top, left, flip, padding: crop_by_index(
            images, 2 * padding - top, 2 * padding - left, flip, padding
        ),
        "pad with zeros": lambda images, top, left, flip, padding: (
            lambda cut: torch.where(flip[:, None, None, None], cut.flip(3), cut)
        )(crop_by_edge(images, top, left, padding)),
        "a loop over the images": crop_by_loop,
        "changed its arguments": crop_in_place,
        "must be torch.float32": lambda images, top, left, flip, padding: crop_by_index(
            images, top, left, flip, padding
        ).double(),
        "(NoneType)": lambda images, top, left, flip, padding: None,
        "the values differ": lambda images, top, left, flip, padding: torch.zeros_like(images),
    },
    "times_as_fast": {
        "the first call of each version": cold,
        "before the work is done": broken,
        "also after the warm-up": warm_but_hasty,
        "all its rounds before the new one": in_blocks,
        "moves a mean": lambda *given: measured(*given, middle=mean),
        "new / old": lambda *given: measured(*given, middle=lambda found: 1 / median(found)),
        "the luckiest round": lambda *given: measured(*given, middle=max),
        "the result is": lambda *given: measured(*given, order=(1, 0)),
        "got      ": ratio_of_sums,
        "must be a number": lambda *given: None,
    },
    "break_even": {
        "both take equally long": lambda price, old, new: max(1, -(-price // (old - new))) if old > new else None,
        "one step too few": lambda price, old, new: price // (old - new) if old > new else None,
        "each step saves old − new": lambda price, old, new: price // old + 1 if old > new else None,
        "return None then": lambda price, old, new: int(price / (old - new) // 1) + 1 if old != new else None,
        "a whole number": lambda price, old, new: price / (old - new) + 1.0 if old > new else None,
        "must be a number": lambda price, old, new: None,
        "the result is": lambda price, old, new: price // (old - new) + 1 if old > new else math.inf,
    },
}
