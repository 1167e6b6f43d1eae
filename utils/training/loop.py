"""The loop: batches, loss, gradient, step. Chapter "LeNet" writes it out; here is what long runs need besides."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn
from torch.nn import functional as F

from utils.activations import evaluating
from utils.data import Images
from utils.data.augment import Step
from utils.training import distributed, errors
from utils.training import precision as formats
from utils.training.checkpoints import Checkpoint
from utils.training.distributed import World
from utils.training.history import Evaluation, History
from utils.training.progress import Bar
from utils.training.schedules import Schedule

Loss = Callable[[torch.Tensor, torch.Tensor], torch.Tensor]
# On a GPU, asking for the loss at every step would make it wait; on a CPU it costs nothing.
STEPS_BETWEEN_LOOKS = 50


def fit(
    model: nn.Module,
    train: Images,
    validation: Images | None = None,
    *,
    epochs: int,
    batch_size: int = 64,
    optimizer: torch.optim.Optimizer | None = None,
    learning_rate: float = 1e-3,
    schedule: Schedule | None = None,
    loss: Loss = F.cross_entropy,
    augment: Step | Iterable[Step] = (),
    precision: str = "float32",
    clip: float | None = None,
    accumulate: int = 1,
    checkpoint: str | Path | None = None,
    device: torch.device | str | None = None,
    seed: int = 0,
    progress: bool = True,
    after_epoch: Callable[[int, nn.Module], Any] | None = None,
) -> History:
    """Train ``model`` in place and return its history.

    Started by ``torchrun --nproc-per-node=2 script.py`` it shares each batch among the processes, and one
    of them prints and writes; the script stays the same.

    Parameters
    ----------
    model : nn.Module
        Takes (n, C, H, W), returns logits (n, classes). It is moved to ``device`` and left there in
        evaluation mode.
    train, validation : Images
        Standardised by the constants they carry.
    epochs : int
        Number of passes over the training images.
    batch_size : int
        Images for each step of the optimizer, over all processes and parts together.
    optimizer : torch.optim.Optimizer, optional
        Adam with ``learning_rate`` when left out.
    schedule : callable(share) -> factor, optional
        Multiplies the optimizer's learning rates; ``share`` is the share of all steps that are done, in
        [0, 1). See :mod:`utils.training.schedules`.
    loss : callable(logits, labels) -> mean over the batch
    augment : callable or several of them
        Steps of :mod:`utils.data.augment`, applied to each training batch from left to right, for example
        ``[Flip(), Crop(4)]``.
    precision : {"float32", "bfloat16", "float16", "auto"}
        Number format of the matrix products; "auto" measures which is faster on this device.
    clip : float, optional
        Largest norm of the gradient of all parameters; a longer one is shortened to it.
    accumulate : int
        Compute each batch in this many parts, one after the other: the same step in less memory (only
        batch norm sees the smaller parts).
    checkpoint : path, optional
        A folder. After each epoch the run is written there, and a run that finds one goes on from it: it
        ends with the same weights, bit for bit on the same CPU with the same number of threads. ``best.pt``
        holds the weights of the best epoch (see ``History.best_epoch``).
    device : optional
        :func:`utils.runtime.device` when left out.
    seed : int
        Of shuffling and augmentation alone; the weights are drawn where the model is made.
    progress : bool
        Show a bar while running, and one line at the end.
    after_epoch : callable(epoch, model), optional
        Called after each epoch, counted from 1, with the model in evaluation mode.

    Returns
    -------
    History
        Also when interrupted by Ctrl-C or the stop button: then of the epochs that were finished.

    Raises
    ------
    ValueError
        Before anything is changed: no images, wrong channels or size, labels without an output, a number
        out of range, a checkpoint of another run.
    FloatingPointError
        When the loss becomes NaN or infinite; names step, batch and likely causes, and carries the history
        so far as ``error.history``. On a CPU the model keeps the weights of before that step.
    MemoryError
        When a batch does not fit; names the batch size and a smaller one to try.
    """
    from utils import runtime

    device = torch.device(device) if device is not None else runtime.device()
    for name, value in (("epochs", epochs), ("batch_size", batch_size), ("accumulate", accumulate)):
        errors.whole(name, value)
    if clip is not None and not clip > 0:
        raise ValueError(f"clip is {clip!r}, but it must be a number above 0, or None.")
    formats.check(precision, device)
    for name, data in (("training", train), ("validation", validation)):
        if data is not None:
            errors.check(model, data, name)
    model.to(device)
    train = train.to(device)
    validation = validation.to(device) if validation is not None else None
    if optimizer is None:
        optimizer = torch.optim.Adam(model.parameters(), lr=learning_rate)
    began, before = time.perf_counter(), 0.0
    world = distributed.join(device)
    augment = [augment] if callable(augment) else list(augment)
    run = _Run(
        model, train, optimizer, schedule, loss, augment, precision, clip, accumulate, batch_size, epochs, device, world
    )
    run.seed(seed)
    distributed.own_random_numbers(world)
    store = Checkpoint(checkpoint, {**run.settings(), "seed": seed}) if checkpoint is not None else None
    history = store.load(model, run.parts(), world) if store else None
    if history is None:
        history = History(precision=run.chosen_precision())
    else:
        before = history.seconds
        if progress and world.main:
            print(f"{history.epochs} of {epochs} epochs found in {checkpoint}, going on from there")
    run.start(history.precision)

    bar = Bar(epochs * run.batches, history.epochs * run.batches) if progress and world.main else None
    try:
        for epoch in range(history.epochs + 1, epochs + 1):
            model.train()
            run.epoch(epoch, history, bar)
            distributed.same_statistics(model, world)
            if validation is not None:
                result = _evaluate(model, validation, loss, run.precision, device, world)
                history.validation_loss.append(result.loss)
                history.validation_accuracy.append(result.accuracy)
            history.seconds = before + time.perf_counter() - began
            if store:
                store.save(model, run.parts(), history, world)
            if after_epoch:
                model.eval()
                after_epoch(epoch, model)
    except KeyboardInterrupt:
        history.interrupted = True
    except RuntimeError as error:
        named = errors.out_of_memory(error, batch_size, accumulate)
        if named is None:
            raise
        raise named from error
    finally:
        model.eval()
        if schedule:
            run.scale_rates(1.0)  # the optimizer is the caller's
        history.seconds = before + time.perf_counter() - began
        if bar:
            bar.end(str(history))
    return history


@dataclass
class _Run:
    """What the steps of one run share."""

    model: nn.Module
    train: Images
    optimizer: torch.optim.Optimizer
    schedule: Schedule | None
    loss: Loss
    augment: Step | list[Step]
    precision: str
    clip: float | None
    accumulate: int
    batch_size: int
    epochs: int
    device: torch.device
    world: World

    def __post_init__(self) -> None:
        self.batches = math.ceil(len(self.train) / self.batch_size)
        self.rates = [group["lr"] for group in self.optimizer.param_groups]
        # The order is drawn on the CPU: the same on every device and in every process.
        self.shuffling, self.drawing = torch.Generator(), torch.Generator(self.device)

    def seed(self, seed: int) -> None:
        self.shuffling.manual_seed(seed)
        # Each process augments images of its own, so each draws numbers of its own.
        self.drawing.manual_seed(seed + 1 + 1_000_003 * self.world.rank)

    def settings(self) -> dict[str, Any]:
        """What the result depends on, in plain values."""
        return {
            "epochs": self.epochs,
            "batch_size": self.batch_size,
            "accumulate": self.accumulate,
            "clip": self.clip,
            "precision": self.precision,
            "schedule": _described(self.schedule),
            "augment": ", ".join(map(_described, self.augment)),
            "loss": _described(self.loss),
            "optimizer": f"{type(self.optimizer).__name__} {self.optimizer.defaults}",
            "learning rates": self.rates,
            "training images": self.train.fingerprint(),
            "processes": self.world.size,
        }

    def parts(self) -> dict[str, Any]:
        """What a run needs besides the weights to go on."""
        return {"optimizer": self.optimizer, "shuffling": self.shuffling, "augmentation": self.drawing}

    def chosen_precision(self) -> str:
        """Return the precision, measured when it is to be chosen; the same in every process."""
        if self.precision != "auto":
            return self.precision
        share = -(-self.batch_size // (self.accumulate * self.world.size))
        inputs, labels = self.train.batch(torch.arange(min(share, len(self.train)), device=self.device))
        return distributed.everyone(formats.choose(self.model, inputs, labels, self.loss), self.world)[0]

    def start(self, precision: str) -> None:
        self.precision = precision
        self.scaler = formats.scaler(precision, self.device)
        self.parallel = distributed.parallel(self.model, self.world, self.device)

    def epoch(self, epoch: int, history: History, bar: Bar | None) -> None:
        """Show every training image once, in an order drawn anew, and write down what was measured."""
        losses, rates = torch.zeros(self.batches, device=self.device), []
        order = torch.randperm(len(self.train), generator=self.shuffling).to(self.device)
        groups = order.split(self.batch_size)
        for batch, index in enumerate(groups):
            if self.schedule:
                self.scale_rates(self.schedule(((epoch - 1) * self.batches + batch) / (self.epochs * self.batches)))
            rates.append(self.optimizer.param_groups[0]["lr"])
            losses[batch] = self.gradient(index)
            self.look(losses[: batch + 1], epoch, rates, history)
            self.step()
            if bar:
                bar.step()
        losses = distributed.total(losses, self.world).tolist()
        history.step_loss += losses
        history.step_rate += rates
        history.loss.append(sum(v * len(g) for v, g in zip(losses, groups, strict=True)) / len(self.train))

    def scale_rates(self, factor: float) -> None:
        for group, rate in zip(self.optimizer.param_groups, self.rates, strict=True):
            group["lr"] = rate * factor

    def gradient(self, index: torch.Tensor) -> torch.Tensor:
        """Compute the gradient for the images ``index``; return their mean loss, or this process's part of it."""
        mine = index[self.world.rank :: self.world.size]
        # A process without an image in a small last batch takes part all the same, with weight 0.
        pieces = mine.chunk(self.accumulate) if len(mine) else [index[:1]]
        total = 0.0
        for number, piece in enumerate(pieces, 1):
            share = len(piece) / len(index) if len(mine) else 0.0
            inputs, labels = self.train.batch(piece, augment=self.augment, generator=self.drawing)
            with distributed.averaging(self.parallel, now=number == len(pieces)):
                with formats.cast(self.precision, self.device):
                    output = self.parallel(inputs)
                value = self.loss(output.float(), labels)
                # The gradients of the processes are averaged and have to be summed: hence their number.
                weight = share * self.world.size
                self.scaler.scale(value if weight == 1 else value * weight).backward()
            total += value.detach() * share
        return total

    def look(self, losses: torch.Tensor, epoch: int, rates: list[float], history: History) -> None:
        """Raise when a loss is not finite, before the weights are touched; on a GPU only now and then."""
        if self.device.type == "cpu":
            if math.isfinite(losses[-1].item()):
                return
        elif (len(losses) % STEPS_BETWEEN_LOOKS and len(losses) < self.batches) or losses.isfinite().all():
            return
        batch = int((~losses.isfinite()).nonzero()[0])
        self.optimizer.zero_grad()
        raise errors.not_finite(
            self.model,
            losses[batch].item(),
            epoch=epoch,
            batch=batch + 1,
            batches=self.batches,
            rate=rates[batch],
            history=history,
        )

    def step(self) -> None:
        if self.clip is not None:
            self.scaler.unscale_(self.optimizer)
            nn.utils.clip_grad_norm_(self.model.parameters(), self.clip)
        self.scaler.step(self.optimizer)
        self.scaler.update()
        self.optimizer.zero_grad()


@torch.no_grad()
def evaluate(
    model: nn.Module,
    data: Images,
    *,
    loss: Loss = F.cross_entropy,
    precision: str = "float32",
    device: torch.device | str | None = None,
    batch_size: int = 500,
) -> Evaluation:
    """Return loss, accuracy and logits of ``model`` on ``data``, in evaluation mode and without a graph.

    The model's mode is put back afterwards.

    Raises
    ------
    ValueError
        No images, wrong channels or size, labels without an output.
    """
    from utils import runtime

    device = torch.device(device) if device is not None else runtime.device()
    errors.check(model, data, "given")
    model.to(device)
    return _evaluate(model, data.to(device), loss, precision, device, World(), batch_size)


@torch.no_grad()
def _evaluate(
    model: nn.Module,
    data: Images,
    loss: Loss,
    precision: str,
    device: torch.device,
    world: World,
    batch_size: int = 500,
) -> Evaluation:
    """Evaluate, every process its share of the images; all get the whole result."""
    mine = torch.arange(len(data), device=device).tensor_split(world.size)
    with evaluating(model), formats.cast(precision, device):
        parts = [model(data.inputs(index)).float() for index in mine[world.rank].split(batch_size)]
    logits = torch.cat([part.to(device) for part in distributed.everyone(torch.cat(parts), world)])
    accuracy = (logits.argmax(1) == data.labels).float().mean().item()
    return Evaluation(loss(logits, data.labels).item(), accuracy, logits.cpu(), data.labels.cpu())


def _described(what: Any) -> str:
    """A function by its name, everything else by its repr: the same in the next process."""
    return getattr(what, "__qualname__", None) or repr(what)
