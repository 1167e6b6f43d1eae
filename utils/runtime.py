"""Where and how a notebook runs: the device, the seed, small or full scale."""

from __future__ import annotations

import os
import random
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    import torch

T = TypeVar("T")
SCALES = ("small", "full")


def device() -> torch.device:
    """Return the fastest device there is: CUDA, XPU, MPS, else the CPU.

    The environment variable ``CNN_DEVICE`` overrides the choice (``CNN_DEVICE=cpu``).

    Raises
    ------
    ValueError
        When ``CNN_DEVICE`` names no device that this machine has.
    """
    import torch

    wanted = os.environ.get("CNN_DEVICE")
    if wanted:
        try:
            chosen = torch.device(wanted)
            torch.empty(1, device=chosen)
        except (RuntimeError, AssertionError, NotImplementedError) as error:
            reason = str(error).split("\n")[0]
            raise ValueError(
                f"CNN_DEVICE is {wanted!r}, but that device cannot be used here ({reason}); "
                "unset it to let the book choose, or set it to 'cpu'."
            ) from None
        return chosen
    for name in ("cuda", "xpu", "mps"):
        backend = getattr(torch, name, None)
        if backend is not None and backend.is_available():
            # torchrun starts one process for each device of a machine, and says which is whose.
            return torch.device(name, int(os.environ.get("LOCAL_RANK", 0)))
    return torch.device("cpu")


def main_process() -> bool:
    """Whether this process is the one that prints and writes, of those that ``torchrun`` started."""
    return os.environ.get("RANK", "0") == "0"


def seed(value: int) -> None:
    """Seed Python, NumPy and PyTorch (all devices), so that a run can be repeated."""
    import numpy as np
    import torch

    random.seed(value)
    np.random.seed(value)
    torch.manual_seed(value)


def scale() -> str:
    """Return ``"small"`` (seconds on two cores, what the book stores) or ``"full"`` (for a GPU).

    Raises
    ------
    ValueError
        When the environment variable ``CNN_SCALE`` is neither.
    """
    value = os.environ.get("CNN_SCALE", "small")
    if value not in SCALES:
        raise ValueError(f"CNN_SCALE is {value!r}, but it must be 'small' or 'full'.")
    return value


def pick(*, small: T, full: T) -> T:
    """Return the argument that belongs to the current scale: only arguments differ, never the code."""
    return small if scale() == "small" else full


def start(seed_value: int = 0) -> torch.device:
    """Begin a notebook: set the figure style and the seed, return the device to compute on."""
    from utils import plots

    plots.use_house_style()
    seed(seed_value)
    return device()
