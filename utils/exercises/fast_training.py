"""Checks for the exercises on fast training."""

from __future__ import annotations

import math
import random
from collections.abc import Callable
from dataclasses import dataclass, field
from statistics import mean, median
from typing import Any

import torch
from torch.overrides import TorchFunctionMode

from utils.data import augment
from utils.exercises.core import Answer, Behaviour, Case, Task

# 1. Amdahl's law for several parts


def _amdahl(shares: list[float], factors: list[float]) -> float:
    """Add up a step of 1 second: the parts one by one, then what is left of it."""
    share, factor = (torch.tensor(values, dtype=torch.float64) for values in (shares, factors))
    return 1 / (share / factor).sum().add(1 - share.sum()).item()


def _amdahl_cases(rng: random.Random) -> list[Case]:
    cases = [([0.2], [10.0]), ([0.2], [math.inf]), ([], []), ([0.5, 0.25], [2.0, 4.0]), ([0.5, 0.5], [4.0, 2.0])]
    cases += [([0.1], [0.5]), ([0.125] * 3, [1.0, 2.0, 8.0])]
    while len(cases) < 24:
        parts = rng.randint(1, 4)
        shares = [rng.randint(1, 24) / 100 for _ in range(parts)]
        cases.append((shares, [rng.choice((0.8, 1.5, 2.0, 3.0, 10.0)) for _ in range(parts)]))
    return cases


amdahl = Task(
    "amdahl",
    _amdahl,
    _amdahl_cases,
    mistakes={
        "the rest of the step takes as long as before: add 1 − the sum of the shares.": lambda shares, factors: (
            1 / sum(s / f for s, f in zip(shares, factors, strict=True))
        ),
        "this is the new time of a step; its inverse says how many times as fast it is.": lambda shares, factors: (
            1 / _amdahl(shares, factors)
        ),
        "times are added, not speeds: a part takes share / factor.": lambda shares, factors: (
            1 - sum(shares) + sum(s * f for s, f in zip(shares, factors, strict=True))
        ),
        "the gains of single parts cannot be multiplied: add up the times of all parts first.": lambda shares, factors: (
            math.prod(_amdahl([s], [f]) for s, f in zip(shares, factors, strict=True))
        ),
        "this is the limit, as if the parts took no time: they take share / factor.": lambda shares, factors: (
            1 / (1 - sum(shares))
        ),
    },
)


# 2. Predict: strides and bytes

SHAPE = (8, 16, 24, 32)


def _layout() -> list[Any]:
    tensor = torch.empty(SHAPE)
    last = tensor.to(memory_format=torch.channels_last)
    short = tensor.bfloat16()
    sizes = [t.nelement() * t.element_size() for t in (tensor, short)]
    return [list(tensor.stride()), list(last.stride()), *sizes]


def _changed(**entries: Any) -> list[Any]:
    """The right answer with some entries, named entry0 to entry3, replaced."""
    return [entries.get(f"entry{i}", value) for i, value in enumerate(_layout())]


layout = Answer(
    "layout",
    _layout,
    mistakes={
        "the two layouts are exchanged.": [_layout()[1], _layout()[0], *_layout()[2:]],
        "the strides are right for the order N, H, W, C; but the index order stays N, C, H, W.": _changed(
            entry1=[12288, 512, 16, 1]
        ),
        "a step to the next row passes all channels of all pixels of a row: 32 · 16 numbers.": _changed(
            entry1=[12288, 1, 32, 16]
        ),
        "the next pixel of a row is 16 numbers away, since the 16 channels of this one lie between.": _changed(
            entry1=[12288, 1, 512, 1]
        ),
        "a float32 has 4 bytes, a bfloat16 has 2; these are counts of numbers.": _changed(entry2=98304, entry3=98304),
        "these are bits; a byte has 8.": _changed(entry2=98304 * 32, entry3=98304 * 16),
        "strides count numbers, not bytes.": _changed(
            entry0=[4 * s for s in _layout()[0]], entry1=[4 * s for s in _layout()[1]]
        ),
        "a bfloat16 has 16 bits, hence 2 bytes.": _changed(entry3=98304),
    },
)


# Answers that may not loop over the images


class _Counter(TorchFunctionMode):
    """Counts the calls of PyTorch's functions and of tensors' methods."""

    calls = 0

    def __torch_function__(self, function: Callable, types: Any, args: tuple = (), kwargs: dict | None = None) -> Any:
        self.calls += 1
        return function(*args, **(kwargs or {}))


def _without_loop(batched: int) -> Callable[[Callable], Callable]:
    """Let an answer run, and refuse it when twice the images make it call PyTorch more often.

    The first ``batched`` arguments have an entry for each image.
    """

    def behaviour(answer: Callable) -> Callable:
        def run(*case: Any) -> Any:
            twice = [torch.cat([v, v]) if i < batched else v for i, v in enumerate(case)]
            with _Counter() as one:
                result = answer(*case)
            with _Counter() as two:
                answer(*twice)
            if two.calls > one.calls:
                n = len(case[0])
                raise AssertionError(
                    f"{one.calls} calls of PyTorch for n = {n}, {two.calls} for n = {2 * n}: this is a loop over the "
                    "images; let each call work on the whole batch"
                )
            return result

        return run

    return behaviour


# 3. Standardise a batch of bytes

Constants = tuple[float, ...]


def _standardised(images: torch.Tensor, mean: Constants, std: Constants) -> torch.Tensor:
    from torchvision.transforms.v2 import functional as TF

    return TF.normalize(TF.to_dtype(images, torch.float32, scale=True), list(mean), list(std))


def _along(images: torch.Tensor, values: Constants, axis: int) -> torch.Tensor:
    shape = [1] * 4
    shape[axis] = -1
    return torch.tensor(values).view(shape)


def _byte_cases(rng: random.Random) -> list[Case]:
    drawn = torch.Generator().manual_seed(rng.randrange(10**6))
    shapes = [(1, 1, 2, 3), (2, 3, 3, 3), (3, 3, 2, 3), (2, 3, 3, 2), (4, 1, 5, 2), (1, 4, 4, 4), (2, 2, 1, 1)]
    while len(shapes) < 22:
        shapes.append((rng.randint(1, 5), rng.choice((1, 3)), rng.randint(1, 6), rng.randint(1, 6)))
    cases = []
    for shape in shapes:
        images = torch.randint(256, shape, generator=drawn, dtype=torch.uint8)
        means = tuple(rng.randint(10, 60) / 100 for _ in range(shape[1]))
        cases.append((images, means, tuple(rng.randint(15, 40) / 100 for _ in range(shape[1]))))
    return cases


standardised = Behaviour(
    "standardised",
    _standardised,
    _byte_cases,
    behaviour=_without_loop(1),
    mistakes={
        "divide by 255 first: mean and std are in units of pixel / 255.": lambda images, mean, std: (
            (images.float() - _along(images, mean, 1)) / _along(images, std, 1)
        ),
        "divide by 255, the largest byte, not by 256.": lambda images, mean, std: (
            (images.float() / 256 - _along(images, mean, 1)) / _along(images, std, 1)
        ),
        "subtract the mean first, then divide by std.": lambda images, mean, std: (
            images.float() / 255 / _along(images, std, 1) - _along(images, mean, 1)
        ),
        "divide the difference by std; this multiplies it.": lambda images, mean, std: (
            (images.float() / 255 - _along(images, mean, 1)) * _along(images, std, 1)
        ),
        "the constants are laid along the columns; channels are axis 1, so give them the shape (C, 1, 1).": (
            lambda images, mean, std: (images.float() / 255 - _along(images, mean, 3)) / _along(images, std, 3)
        ),
        "the division was done in whole numbers; make floats of the bytes first.": lambda images, mean, std: (
            ((images // 255).float() - _along(images, mean, 1)) / _along(images, std, 1)
        ),
        "the result is float64; divide float32 by float32, `images.float()`.": lambda images, mean, std: _standardised(
            images, mean, std
        ).double(),
    },
)


# 4. Crop and flip a whole batch


def _cropped(
    images: torch.Tensor, top: torch.Tensor, left: torch.Tensor, flip: torch.Tensor, padding: int, fill: str = "zero"
) -> torch.Tensor:
    return augment.flipped(augment.moved(images, padding - top, padding - left, fill), flip)


def _first(values: torch.Tensor) -> torch.Tensor:
    return values[:1].expand_as(values)


def _crop_cases(rng: random.Random) -> list[Case]:
    drawn = torch.Generator().manual_seed(rng.randrange(10**6))
    shapes = [(2, 1, 2, 3, 1), (3, 3, 4, 5, 2), (1, 2, 3, 5, 1), (4, 1, 5, 4, 0), (2, 3, 6, 6, 3), (3, 1, 1, 4, 1)]
    while len(shapes) < 24:
        shapes.append((rng.randint(1, 4), rng.choice((1, 3)), rng.randint(3, 7), rng.randint(3, 7), rng.randint(1, 2)))
    cases = []
    for number, channels, height, width, padding in shapes:
        images = torch.randint(1, 10, (number, channels, height, width), generator=drawn).float()
        top, left = torch.randint(2 * padding + 1, (2, number), generator=drawn)
        cases.append((images, top, left, torch.rand(number, generator=drawn) < 0.5, padding))
    return cases


crop_and_flip = Behaviour(
    "crop_and_flip",
    _cropped,
    _crop_cases,
    behaviour=_without_loop(4),
    mistakes={
        "rows and columns are exchanged: top counts rows (axis 2), left counts columns (axis 3).": (
            lambda images, top, left, flip, padding: _cropped(images, left, top, flip, padding)
        ),
        "crop first, then flip: flipped before, an image moves to the other side.": (
            lambda images, top, left, flip, padding: _cropped(
                augment.flipped(images, flip), top, left, torch.zeros_like(flip), padding
            )
        ),
        "no image is flipped: use flip to choose between an image and its mirror image.": (
            lambda images, top, left, flip, padding: _cropped(images, top, left, torch.zeros_like(flip), padding)
        ),
        "all images are flipped: only those that flip names.": (
            lambda images, top, left, flip, padding: _cropped(images, top, left, torch.ones_like(flip), padding)
        ),
        "all images are cut at the place of the first; each has a top and a left of its own.": (
            lambda images, top, left, flip, padding: _cropped(images, _first(top), _first(left), flip, padding)
        ),
        "this flips upside down: left and right are axis 3, the last one.": (
            lambda images, top, left, flip, padding: torch.where(
                flip.view(-1, 1, 1, 1),
                _cropped(images, top, left, torch.zeros_like(flip), padding).flip(2),
                _cropped(images, top, left, torch.zeros_like(flip), padding),
            )
        ),
        "this moves the images the wrong way: top = 0 cuts at the upper border of the padded image.": (
            lambda images, top, left, flip, padding: _cropped(
                images, 2 * padding - top, 2 * padding - left, flip, padding
            )
        ),
        "pad with zeros, not with the outermost pixels.": (
            lambda images, top, left, flip, padding: _cropped(images, top, left, flip, padding, "edge")
        ),
    },
)


# 5. A stopwatch to repair, on a machine with a clock of its own


@dataclass
class Machine:
    """A device that takes orders at once and works them off one after the other; times in whole milliseconds.

    ``first`` is added to the first call of each version, each call makes the next ones slower by ``drift`` per
    cent, and calls whose number is in ``disturbed`` take twenty times as long.
    """

    old_cost: int
    new_cost: int
    first: int
    drift: int
    disturbed: tuple[int, ...]
    now: float = 0.0
    free: float = 0.0
    calls: int = 0
    met: set[str] = field(default_factory=set)

    def _order(self, name: str, cost: int) -> None:
        work = cost * (1 + self.drift * self.calls / 100) * (20 if self.calls in self.disturbed else 1)
        work += 0 if name in self.met else self.first
        self.now += 1  # what giving an order takes
        self.free = max(self.free, self.now) + work
        self.met.add(name)
        self.calls += 1

    def old(self) -> None:
        """Order the old version."""
        self._order("old", self.old_cost)

    def new(self) -> None:
        """Order the new version."""
        self._order("new", self.new_cost)

    def wait(self) -> None:
        """Let the clock run until everything ordered is done."""
        self.now = max(self.now, self.free)

    def clock(self) -> float:
        """Return the seconds since the start."""
        return self.now / 1000


def _on_machine(answer: Callable) -> Callable:
    def run(*case: Any) -> Any:
        *numbers, rounds = case
        machine = Machine(*numbers)
        return answer(machine.old, machine.new, machine.wait, machine.clock, rounds)

    return run


def _stopwatch(
    old: Callable[[], None],
    new: Callable[[], None],
    wait: Callable[[], None],
    clock: Callable[[], float],
    rounds: int,
    *,
    warm: bool = True,
    waits: bool = True,
    settle: bool = True,
    in_turns: bool = True,
    middle: Callable[[list[float]], float] = median,
) -> float:
    """The right measurement, each of its parts switched off by itself."""
    versions = (old, new)
    for version in versions if warm else ():
        version()
    if waits and settle:
        wait()

    def seconds(version: Callable[[], None]) -> float:
        began = clock()
        version()
        if waits:
            wait()
        return clock() - began

    if in_turns:
        times = [[seconds(version) for version in versions] for _ in range(rounds)]
    else:
        times = list(zip(*([seconds(version) for _ in range(rounds)] for version in versions), strict=True))
    return middle([a / b for a, b in times])


def _machines(rng: random.Random) -> list[Case]:
    cases: list[Case] = [
        (8, 4, 0, 0, (), 1),
        (8, 4, 50, 0, (), 1),
        (9, 3, 90, 0, (), 2),
        (5, 5, 40, 20, (), 3),
        (6, 3, 0, 0, (4,), 5),
        (6, 9, 30, 10, (3, 6), 5),
    ]
    while len(cases) < 22:
        disturbed = tuple(sorted(rng.sample(range(2, 10), rng.randint(0, 2))))
        costs = rng.randint(2, 20), rng.randint(2, 20)
        cases.append((*costs, rng.choice((0, 30, 200)), rng.choice((0, 5, 25)), disturbed, rng.choice((1, 2, 3, 5, 7))))
    return cases


def _without(**off: Any) -> Callable:
    return lambda *given: _stopwatch(*given, **off)


times_as_fast = Behaviour(
    "times_as_fast",
    _on_machine(_stopwatch),
    _machines,
    behaviour=_on_machine,
    mistakes={
        "the first call of each version is counted; call each once before the clock is read.": _without(warm=False),
        "the clock is read before the work is done: wait() before each second reading.": _without(waits=False),
        "wait() also after the warm-up, or its work is counted in the first round.": _without(settle=False),
        "the old version ran all its rounds before the new one: old, new, old, new.": _without(in_turns=False),
        "one disturbed round moves a mean; take the median of the ratios.": _without(middle=mean),
        "this is the ratio new / old; a faster new version has old / new above 1.": lambda *given: (
            1 / _stopwatch(*given)
        ),
        "the largest ratio is the luckiest round; take the median.": _without(middle=max),
    },
)


# 6. When compiling pays


def _break_even(price: int, old: int, new: int) -> int | None:
    """Count the steps, in blocks at first: by search, not by a formula."""
    if new >= old:
        return None
    n = 1
    while price + n * new >= n * old:
        n *= 2
    return next(k for k in range(n // 2, n + 1) if price + k * new < k * old)


def _price_cases(rng: random.Random) -> list[Case]:
    fixed = [
        (40_000, 8, 6),
        (10, 5, 4),
        (10, 7, 2),
        (11, 7, 2),
        (0, 3, 2),
        (0, 3, 3),
        (500, 4, 4),
        (500, 4, 9),
        (1, 9, 1),
    ]
    drawn = [(rng.randint(0, 5000), rng.randint(2, 30), rng.randint(1, 30)) for _ in range(20)]
    return fixed + drawn


def _paid(price: int, old: int, new: int, formula: Callable[[float], Any]) -> Any:
    return formula(price / (old - new)) if new < old else None


break_even = Task(
    "break_even",
    _break_even,
    _price_cases,
    mistakes={
        "at this number both take equally long in some cases; the compiled run must take less.": lambda *case: _paid(
            *case, lambda n: max(1, math.ceil(n))
        ),
        "this is one step too few: after it the compiled run is not yet faster.": lambda *case: _paid(
            *case, math.floor
        ),
        "a compiled step takes time as well: each step saves old − new.": lambda price, old, new: (
            price // old + 1 if new < old else None
        ),
        "a version that is not faster never pays: return None then.": lambda price, old, new: (
            price // (old - new) + 1 if old != new else None
        ),
        "return a whole number of steps.": lambda *case: _paid(*case, lambda n: n + 1.0),
    },
)
