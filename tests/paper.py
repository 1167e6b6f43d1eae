"""Networks on paper: shapes, steps and costs of what is built without numbers, which takes neither memory nor time."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import nn

from utils import architecture


def on_paper(build: Callable[[], nn.Module]) -> nn.Module:
    """Return a network without numbers."""
    with torch.device("meta"):
        return build()


def steps_of(build: Callable[[], nn.Module], shape: tuple[int, int, int] = (3, 224, 224)) -> list[architecture.Step]:
    """Return the operations of a network for one image of that shape."""
    return architecture.trace(on_paper(build), shape)


def costs_of(build: Callable[[], nn.Module], side: int = 224) -> tuple[int, int]:
    """Return the parameters and multiply-adds of a network for one colour image of that side."""
    return architecture.totals(steps_of(build, (3, side, side)))
