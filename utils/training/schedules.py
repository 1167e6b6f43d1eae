"""The learning rate over a run: functions of the share of the steps that are done.

A schedule takes a share in [0, 1), 0 at the first step, and returns the factor by which the optimizer's
own learning rates are multiplied. Any function does: ``fit(..., schedule=lambda share: 1 - share)``.
It knows nothing of epochs or batches, so it cannot be stepped at the wrong place, and a run that goes on
after a stop finds its rate by the number of the step alone.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

Schedule = Callable[[float], float]


def _share(name: str, value: float, low: float = 0.0, high: float = 1.0) -> None:
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not low <= value <= high:
        raise ValueError(f"{name} is {value!r}, but it must be a number from {low:g} to {high:g}.")


@dataclass(frozen=True)
class Cosine:
    """Half a cosine from 1 down to ``final``, after a linear warm-up.

    Source: Loshchilov and Hutter, "SGDR: Stochastic gradient descent with warm restarts", 2017, equation 5,
    without restarts; the warm-up is that of Goyal et al., "Accurate, large minibatch SGD", 2017.

    Parameters
    ----------
    warmup : float
        Share of the steps in which the factor rises linearly from nearly 0 to 1.
    final : float
        The factor at the end.
    """

    warmup: float = 0.0
    final: float = 0.0

    def __post_init__(self) -> None:
        _share("warmup", self.warmup, high=0.99)
        _share("final", self.final)

    def __call__(self, share: float) -> float:
        if share < self.warmup:
            # Never quite 0: a first step that moves nothing would be lost.
            return max(share / self.warmup, 1e-3)
        done = (share - self.warmup) / (1 - self.warmup)
        return self.final + (1 - self.final) * (1 + math.cos(math.pi * done)) / 2


@dataclass(frozen=True)
class OneCycle:
    """Up from ``start`` to 1, then down to ``final``, each along half a cosine.

    Source: Smith and Topin, "Super-convergence: Very fast training of neural networks using large learning
    rates", 2018; with cosines in place of straight lines, as ``torch.optim.lr_scheduler.OneCycleLR`` does.

    Parameters
    ----------
    peak : float
        Share of the steps at which the factor is 1.
    start, final : float
        The factor at the first step and at the end.
    """

    peak: float = 0.3
    start: float = 0.04
    final: float = 4e-6

    def __post_init__(self) -> None:
        _share("peak", self.peak, low=0.01, high=0.99)
        _share("start", self.start)
        _share("final", self.final)

    def __call__(self, share: float) -> float:
        low, done = (
            (self.start, 1 - share / self.peak)
            if share < self.peak
            else (self.final, (share - self.peak) / (1 - self.peak))
        )
        return low + (1 - low) * (1 + math.cos(math.pi * done)) / 2


@dataclass(frozen=True)
class Steps:
    """Multiplied by ``factor`` at each of the shares ``at``, as in most papers from 2012 to 2016."""

    at: tuple[float, ...] = (0.5, 0.75)
    factor: float = 0.1

    def __post_init__(self) -> None:
        for share in self.at:
            _share("a share of at", share)
        _share("factor", self.factor)

    def __call__(self, share: float) -> float:
        return self.factor ** sum(share >= at for at in self.at)
