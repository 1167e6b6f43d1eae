"""Mixed precision: which number format the matrix products use, and which is faster here.

Weights, gradients and the loss stay in float32; ``torch.autocast`` computes convolutions and matrix
products in 16 bits. Source: Micikevicius et al., "Mixed precision training", 2018; Kalamkar et al., "A
study of bfloat16 for deep learning training", 2019.
"""

from __future__ import annotations

import copy
import time
from collections.abc import Callable

import torch
from torch import nn

PRECISIONS = ("float32", "bfloat16", "float16")
# Below this gain the risk of fewer digits is not worth it.
WORTH_IT = 1.2


def check(precision: str, device: torch.device) -> None:
    """Raise a ValueError when ``precision`` is unknown or cannot be used on ``device``."""
    if precision not in (*PRECISIONS, "auto"):
        raise ValueError(f"precision is {precision!r}, but it must be one of {', '.join(PRECISIONS)} or auto.")
    if precision == "float16" and device.type == "cpu":
        raise ValueError("precision is 'float16', which needs a GPU; on a CPU use 'bfloat16', 'float32' or 'auto'.")


def cast(precision: str, device: torch.device) -> torch.autocast:
    """Return the context in which the model computes in ``precision``."""
    dtype = torch.bfloat16 if precision == "float32" else getattr(torch, precision)
    return torch.autocast(device.type, dtype=dtype, enabled=precision != "float32")


def scaler(precision: str, device: torch.device) -> torch.amp.GradScaler:
    """Return the scaler that keeps small float16 gradients from becoming 0; bfloat16 and float32 need none."""
    return torch.amp.GradScaler(device.type, enabled=precision == "float16")


def candidate(device: torch.device) -> str:
    """Return the 16-bit format that this device may be faster with."""
    if device.type == "cuda" and not torch.cuda.is_bf16_supported():
        return "float16"
    return "bfloat16"


def choose(
    model: nn.Module,
    inputs: torch.Tensor,
    labels: torch.Tensor,
    loss: Callable[[torch.Tensor, torch.Tensor], torch.Tensor],
) -> str:
    """Return the faster precision for this model on this device, measured on a copy of it.

    16 bits must be at least 1.2 times as fast as float32. The global random state is left as it was.
    """
    names = ("float32", candidate(inputs.device))
    seconds = {name: [] for name in names}
    with torch.random.fork_rng():
        trial = copy.deepcopy(model).train()
        for repeat in range(6):
            for name in names:  # in turns, so that both meet the same disturbances
                _wait(inputs.device)
                began = time.perf_counter()
                with cast(name, inputs.device):
                    output = trial(inputs)
                loss(output.float(), labels).backward()
                _wait(inputs.device)
                if repeat:  # the first one allocates and compiles
                    seconds[name].append(time.perf_counter() - began)
    fastest = {name: min(times) for name, times in seconds.items()}
    return names[1] if fastest["float32"] >= WORTH_IT * fastest[names[1]] else "float32"


def _wait(device: torch.device) -> None:
    if device.type != "cpu":
        getattr(torch, device.type).synchronize()
