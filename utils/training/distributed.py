"""One run on several processes: data parallelism as ``torchrun`` starts it.

Every process holds the whole model and takes its share of each batch; the gradients are averaged, so all
models stay the same. ``torchrun`` says who is who through environment variables; without them there is
one process, and everything here does nothing.

Source: Li et al., "PyTorch Distributed: Experiences on accelerating data parallel training", 2020.
"""

from __future__ import annotations

import atexit
import inspect
import os
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Any

import torch
from torch import distributed, nn


@dataclass(frozen=True)
class World:
    """Which process this is (``rank``, from 0) of how many (``size``)."""

    rank: int = 0
    size: int = 1

    @property
    def main(self) -> bool:
        """Whether this is the one process that prints and writes."""
        return self.rank == 0


def join(device: torch.device) -> World:
    """Join the other processes that ``torchrun`` started, if it did: NCCL on CUDA devices, else gloo."""
    if int(os.environ.get("WORLD_SIZE", "1")) < 2 or "RANK" not in os.environ:
        return World()
    if not distributed.is_initialized():
        if device.type == "cuda":
            torch.cuda.set_device(device)
        distributed.init_process_group("nccl" if device.type == "cuda" else "gloo")
        atexit.register(leave)
    return World(distributed.get_rank(), distributed.get_world_size())


def leave() -> None:
    """Leave the other processes, if there are any."""
    if distributed.is_initialized():
        distributed.destroy_process_group()


def own_random_numbers(world: World) -> None:
    """Let each process draw numbers of its own: dropout must not drop the same units everywhere."""
    if world.rank:
        torch.manual_seed(torch.initial_seed() + world.rank)


def parallel(model: nn.Module, world: World, device: torch.device) -> nn.Module:
    """Return a model that averages its gradients over all processes; they all start from the weights of rank 0."""
    if world.size == 1:
        return model
    # The statistics of batch norm are averaged once an epoch (same_statistics), not sent at every step. The
    # option that says so has another name since torch 2.15.
    names = inspect.signature(nn.parallel.DistributedDataParallel).parameters
    option = "forward_sync_buffers" if "forward_sync_buffers" in names else "broadcast_buffers"
    return nn.parallel.DistributedDataParallel(
        model, device_ids=[device.index] if device.type == "cuda" else None, **{option: False}
    )


def averaging(model: nn.Module, *, now: bool) -> AbstractContextManager:
    """Return the context in which ``backward`` averages the gradients only ``now``, not for parts of a batch before."""
    return model.no_sync() if isinstance(model, nn.parallel.DistributedDataParallel) and not now else nullcontext()


def same_statistics(model: nn.Module, world: World) -> None:
    """Average the floating-point buffers (running statistics of batch norm) over all processes."""
    if world.size > 1:
        for buffer in model.buffers():
            if buffer.is_floating_point():
                distributed.all_reduce(buffer)
                buffer /= world.size


def total(values: torch.Tensor, world: World) -> torch.Tensor:
    """Return the sum of ``values`` over all processes."""
    if world.size > 1:
        distributed.all_reduce(values)
    return values


def everyone(value: Any, world: World) -> list[Any]:
    """Return the ``value`` of every process, in the order of their ranks."""
    if world.size == 1:
        return [value]
    values = [None] * world.size
    distributed.all_gather_object(values, value)
    return values
