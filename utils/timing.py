"""How many times as fast a new version is, measured so that the number can be trusted. Chapter: fast training."""

from __future__ import annotations

import time
from collections.abc import Callable
from statistics import median


def wait() -> None:
    """Return when every GPU in use has done all that it was told; on a CPU that is at once."""
    import torch

    # Asking which device there is would take longer than what is measured; this costs next to nothing.
    for name in ("cuda", "xpu"):
        backend = getattr(torch, name, None)
        if backend is not None and backend.is_initialized():
            backend.synchronize()
    if torch.backends.mps.is_available():
        torch.mps.synchronize()


def seconds_of(function: Callable[[], object], clock: Callable[[], float] = time.perf_counter) -> float:
    """Return what the clock says about one call, without waiting: on a GPU it is wrong."""
    began = clock()
    function()
    return clock() - began


def ratios(
    old: Callable[[], object],
    new: Callable[[], object],
    rounds: int = 7,
    *,
    wait: Callable[[], None] = wait,
    clock: Callable[[], float] = time.perf_counter,
) -> list[float]:
    """Return old / new, in seconds, for each round.

    Each version is called once before; then the two run in turns, and the device is waited for whenever the clock
    is read.

    Parameters
    ----------
    old, new : callable
        Two versions of the same work.
    rounds : int
        At least 1; an odd number has a median that was measured.
    wait, clock : callable
        For a device, or a clock, of another kind.
    """
    if rounds < 1:
        raise ValueError(f"rounds is {rounds}, but it must be at least 1.")

    def done(version: Callable[[], object]) -> None:
        version()
        wait()

    done(old)
    done(new)
    return [seconds_of(lambda: done(old), clock) / seconds_of(lambda: done(new), clock) for _ in range(rounds)]


def compare(name: str, old: Callable[[], object], new: Callable[[], object], rounds: int = 7) -> float:
    """Print how many times as fast ``new`` is, with the lowest and the highest round, and return the median."""
    found = ratios(old, new, rounds)
    print(f"{name}: ≈ {median(found):.2f} times as fast (from ≈ {min(found):.2f} to ≈ {max(found):.2f})")
    return median(found)
