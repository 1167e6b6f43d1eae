"""Fit a network, evaluate it, keep its history and its weights.

The loop is the one that chapter "LeNet" writes out: batches, loss, gradient, step. What is added
here is bookkeeping, and errors that name the cause.
"""

from __future__ import annotations

import math
import os
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import nn
from torch.nn import functional as F

from utils.data import Images


@dataclass
class History:
    """What one run of :func:`fit` measured, one entry for each whole epoch.

    Attributes
    ----------
    loss : list of float
        Mean training loss over all images of the epoch (not of the last batch).
    validation_loss, validation_accuracy : list of float
        Measured after the epoch; empty without validation images. Accuracy is a share in [0, 1].
    seconds : float
        Of the whole run, validation included.
    interrupted : bool
        The run was stopped by hand; the model holds the weights it had reached.
    """

    loss: list[float] = field(default_factory=list)
    validation_loss: list[float] = field(default_factory=list)
    validation_accuracy: list[float] = field(default_factory=list)
    seconds: float = 0.0
    interrupted: bool = False

    @property
    def epochs(self) -> int:
        """Number of whole epochs."""
        return len(self.loss)

    def __str__(self) -> str:
        parts = [f"{self.epochs} epoch{'' if self.epochs == 1 else 's'} in ≈ {self.seconds:.1f} s"]
        if self.loss:
            parts.append(f"training loss ≈ {self.loss[-1]:.4f}")
        if self.validation_accuracy:
            parts.append(f"validation accuracy ≈ {100 * self.validation_accuracy[-1]:.1f} %")
        return ("interrupted after " if self.interrupted else "") + ", ".join(parts)


@dataclass(frozen=True)
class Evaluation:
    """Loss, accuracy (a share in [0, 1]) and logits (N, classes) of a model on a set of images."""

    loss: float
    accuracy: float
    logits: torch.Tensor
    labels: torch.Tensor

    @property
    def predictions(self) -> torch.Tensor:
        """The class with the largest logit, int64 (N,)."""
        return self.logits.argmax(1)

    def confusion(self) -> torch.Tensor:
        """Counts, int64 (classes, classes): row = true class, column = predicted class."""
        classes = self.logits.shape[1]
        pairs = self.labels * classes + self.predictions
        return pairs.bincount(minlength=classes**2).view(classes, classes)


def fit(
    model: nn.Module,
    train: Images,
    validation: Images | None = None,
    *,
    epochs: int,
    batch_size: int = 64,
    optimizer: torch.optim.Optimizer | None = None,
    learning_rate: float = 1e-3,
    loss: Callable[[torch.Tensor, torch.Tensor], torch.Tensor] = F.cross_entropy,
    device: torch.device | str | None = None,
    seed: int = 0,
    progress: bool = True,
    after_epoch: Callable[[int, nn.Module], Any] | None = None,
) -> History:
    """Train ``model`` in place and return its history.

    Parameters
    ----------
    model : nn.Module
        Takes (n, C, H, W), returns logits (n, classes). It is moved to ``device`` and left there in
        evaluation mode.
    train, validation : Images
        Standardised by the constants they carry.
    epochs : int
        Number of passes over the training images.
    optimizer : torch.optim.Optimizer, optional
        Adam with ``learning_rate`` when left out.
    device : optional
        :func:`utils.runtime.device` when left out.
    seed : int
        Of the shuffling alone; the weights are drawn where the model is made.
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
        Before anything is changed: no images, wrong channels or size, labels without an output.
    FloatingPointError
        When the loss becomes NaN or infinite; names epoch, batch and likely causes, and carries the
        history so far as ``error.history``.
    """
    from utils import runtime

    device = torch.device(device) if device is not None else runtime.device()
    if isinstance(epochs, bool) or not isinstance(epochs, int) or epochs < 1:
        raise ValueError(f"epochs is {epochs!r}, but it must be a whole number, at least 1.")
    for name, data in (("training", train), ("validation", validation)):
        if data is not None:
            _check(model, data, name)
    model.to(device)
    train = train.to(device)
    validation = validation.to(device) if validation is not None else None
    if optimizer is None:
        optimizer = torch.optim.Adam(model.parameters(), lr=learning_rate)
    generator = torch.Generator().manual_seed(seed)
    history, began = History(), time.perf_counter()
    bar = _Bar(epochs * math.ceil(len(train) / batch_size)) if progress else None
    try:
        for epoch in range(1, epochs + 1):
            model.train()
            # Summed on the device: asking for a number at every step would make a GPU wait.
            total = torch.zeros((), device=device)
            for inputs, labels in train.batches(batch_size, generator=generator):
                value = loss(model(inputs), labels)
                optimizer.zero_grad()
                value.backward()
                optimizer.step()
                total += value.detach() * len(labels)
                if bar:
                    bar.step()
            mean = (total / len(train)).item()
            if not math.isfinite(mean):
                raise _not_finite(model, mean, epoch, history)
            history.loss.append(mean)
            if validation is not None:
                result = evaluate(model, validation, loss=loss, device=device)
                history.validation_loss.append(result.loss)
                history.validation_accuracy.append(result.accuracy)
            if after_epoch:
                model.eval()
                after_epoch(epoch, model)
    except KeyboardInterrupt:
        history.interrupted = True
    finally:
        model.eval()
        history.seconds = time.perf_counter() - began
        if bar:
            bar.end(str(history))
    return history


@torch.no_grad()
def evaluate(
    model: nn.Module,
    data: Images,
    *,
    loss: Callable[[torch.Tensor, torch.Tensor], torch.Tensor] = F.cross_entropy,
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
    _check(model, data, "given")
    model.to(device)
    data = data.to(device)
    was_training = model.training
    model.eval()
    try:
        logits = torch.cat([model(inputs) for inputs, _ in data.batches(batch_size)])
    finally:
        model.train(was_training)
    accuracy = (logits.argmax(1) == data.labels).float().mean().item()
    return Evaluation(loss(logits, data.labels).item(), accuracy, logits.cpu(), data.labels.cpu())


@torch.no_grad()
def _check(model: nn.Module, data: Images, name: str) -> None:
    """Try one image, so that a mistake is named before torch's matrix message comes."""
    if len(data) == 0:
        raise ValueError(f"there are no {name} images; give at least one.")
    shape = tuple(data.images.shape[1:])
    first = next((m for m in model.modules() if isinstance(m, nn.Conv2d)), None)
    if first is not None and first.in_channels != shape[0]:
        raise ValueError(
            f"the {name} images have {shape[0]} channel{'' if shape[0] == 1 else 's'} (shape {shape}), but the first "
            f"convolution takes {first.in_channels}; convert the images or build the model with in_channels={shape[0]}."
        )
    was_training = model.training
    model.eval()
    try:
        parameter = next(model.parameters(), torch.zeros(()))
        output = model(data.inputs(slice(0, 1)).to(parameter.device))
    except RuntimeError as error:
        raise ValueError(
            f"the model cannot take the {name} images of shape {shape} ({str(error).splitlines()[0]}); "
            "compare the size that the model was built for."
        ) from error
    finally:
        model.train(was_training)
    highest = int(data.labels.max())
    if output.dim() != 2 or highest >= output.shape[1]:
        raise ValueError(
            f"the {name} labels go up to {highest}, but the model's output for one image has shape "
            f"{tuple(output.shape)}; it must be (1, classes) with at least {highest + 1} classes."
        )


def _not_finite(model: nn.Module, value: float, epoch: int, history: History) -> FloatingPointError:
    lost = [name for name, p in model.named_parameters() if not torch.isfinite(p).all()]
    where = f"; not finite any more: {', '.join(lost[:3])}{' and others' if len(lost) > 3 else ''}" if lost else ""
    error = FloatingPointError(
        f"the loss of epoch {epoch} is {value}{where}. Likely causes: a learning rate that is too large (try a tenth), "
        "inputs that are not standardised, or a division by zero or logarithm of zero in the model or the loss."
    )
    error.history = history
    return error


class _Bar:
    """A bar on one line that is gone when the final line is printed."""

    def __init__(self, steps: int) -> None:
        self.steps, self.done, self.shown, self.width = steps, 0, 0.0, 0

    def step(self) -> None:
        self.done += 1
        now = time.monotonic()
        if now - self.shown > 0.2:
            self.shown = now
            filled = 30 * self.done // self.steps
            text = f"{'█' * filled}{'░' * (30 - filled)} {100 * self.done // self.steps} %"
            self.width = max(self.width, len(text))
            print(f"\r{text}", end="", flush=True)

    def end(self, line: str) -> None:
        # Blanks first: a carriage return moves the cursor and erases nothing.
        blank = f"\r{' ' * self.width}\r" if self.width else ""
        print(f"{blank}{line}")
        sys.stdout.flush()


def save_weights(model: nn.Module, path: str | Path, *, half: bool = False) -> Path:
    """Write the model's weights to ``path``, whole or not at all.

    Parameters
    ----------
    half : bool
        Store floating-point weights in half precision: half the size, about three correct digits.
    """
    path = Path(path)
    state = {
        name: (value.half() if half and value.is_floating_point() else value).cpu().clone()
        for name, value in model.state_dict().items()
    }
    temporary = path.with_name(f"{path.name}.{os.getpid()}.part")
    try:
        torch.save(state, temporary)
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)
    return path


def load_weights(model: nn.Module, path: str | Path) -> nn.Module:
    """Read weights that :func:`save_weights` wrote into ``model``, and return it in evaluation mode.

    Raises
    ------
    FileNotFoundError, ValueError
        When there is no such file, it is no file of weights, or they belong to another model.
    """
    path = Path(path)
    if not path.exists():
        raise FileNotFoundError(f"there is no file {path.name} in {path.parent}; give the path of a file of weights.")
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:
        raise ValueError(
            f"{path.name} is no readable file of weights ({str(error).splitlines()[0]}); get it again."
        ) from error
    own = model.state_dict()
    if not isinstance(state, dict):
        raise ValueError(f"{path.name} holds a {type(state).__name__}, but a dictionary of weights is expected.")
    missing, extra = sorted(own.keys() - state.keys()), sorted(state.keys() - own.keys())
    wrong = [name for name in own.keys() & state.keys() if own[name].shape != state[name].shape]
    if missing or extra or wrong:
        example = (missing + extra + sorted(wrong))[0]
        raise ValueError(
            f"{path.name} belongs to another model: {len(missing)} weights are missing, {len(extra)} are unknown, "
            f"{len(wrong)} have another shape (for example {example!r})."
        )
    model.load_state_dict(state)
    return model.eval()
