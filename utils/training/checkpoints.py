"""Weights and whole runs on disk: written whole or not at all, read without running code from the file."""

from __future__ import annotations

import os
import random
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from torch import nn

from utils.training import distributed
from utils.training.distributed import World
from utils.training.history import History
from utils.weights import check_weights, read, read_weights


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
        for name, value in _plain(model).state_dict().items()
    }
    _write(state, path)
    return path


def load_weights(model: nn.Module, path: str | Path) -> nn.Module:
    """Read weights that :func:`save_weights` wrote into ``model``, and return it in evaluation mode.

    Raises
    ------
    FileNotFoundError, ValueError
        When there is no such file, it is no file of weights, or they belong to another model.
    """
    path = Path(path)
    _load(model, read_weights(path), path.name)
    return model.eval()


class Checkpoint:
    """A folder that holds a run: ``last.pt``, from which it goes on, and ``best.pt``, the best weights.

    Parameters
    ----------
    folder : path
        Made when it is not there.
    settings : dict
        What the result depends on; a run is only gone on with by the same settings.
    """

    def __init__(self, folder: str | Path, settings: dict[str, Any]) -> None:
        self.folder, self.settings = Path(folder), settings
        if self.folder.exists() and not self.folder.is_dir():
            raise ValueError(f"checkpoint is {str(folder)!r}, which is a file, but it must be a folder.")
        self.last, self.best = self.folder / "last.pt", self.folder / "best.pt"

    def save(self, model: nn.Module, parts: dict[str, Any], history: History, world: World) -> None:
        """Write the run after an epoch, and the weights if this epoch is the best so far.

        Parameters
        ----------
        parts : dict
            What has a ``state_dict`` or, a generator, a ``get_state``, by name.
        """
        # Each process draws its own random numbers, so each goes on from its own state.
        states = distributed.everyone((random_state(), parts["augmentation"].get_state()), world)
        if not world.main:
            return
        self.folder.mkdir(parents=True, exist_ok=True)
        if history.best_epoch in (0, history.epochs):
            # Before last.pt: killed between the two, the run goes on from the epoch before and writes both again.
            save_weights(model, self.best)
        state = {
            "settings": self.settings,
            "model": _plain(model).state_dict(),
            "parts": {
                name: part.get_state() if isinstance(part, torch.Generator) else part.state_dict()
                for name, part in parts.items()
            },
            "history": asdict(history),
            "random": [list(state) for state in states],
        }
        _write(state, self.last)

    def load(self, model: nn.Module, parts: dict[str, Any], world: World) -> History | None:
        """Put everything back as :meth:`save` found it and return the history, or None when there is nothing.

        Raises
        ------
        ValueError
            When the file is broken or belongs to a run with other settings; then nothing is changed.
        """
        if world.main:
            for left_over in self.folder.glob("*.part"):  # of a process that was killed while it wrote
                left_over.unlink()
        if not self.last.exists():
            return None
        state = read(self.last, "a checkpoint")
        if not isinstance(state, dict) or "settings" not in state:
            raise ValueError(f"{self.last} is no checkpoint of fit; give another folder.")
        for name, now in self.settings.items():
            then = state["settings"].get(name)
            if then != now:
                raise ValueError(
                    f"the checkpoint in {self.folder} belongs to a run with {name} {then}, and this one has {now}; "
                    "go on with the same settings, or give another folder."
                )
        _load(model, state["model"], f"the checkpoint in {self.folder}")
        for name, part in parts.items():
            if isinstance(part, torch.Generator):
                part.set_state(state["parts"][name])
            else:
                part.load_state_dict(state["parts"][name])
        own, augmentation = state["random"][world.rank]
        set_random_state(own)
        parts["augmentation"].set_state(augmentation)
        return History(**state["history"])


def random_state() -> dict[str, Any]:
    """Return the state of Python's, NumPy's and PyTorch's generators, of plain values and tensors only."""
    import numpy as np

    version, numbers, spare = random.getstate()
    name, keys, *rest = np.random.get_state()
    state = {
        "python": [version, list(numbers), spare],
        "numpy": [str(name), torch.from_numpy(keys.astype("int64")), *(float(number) for number in rest)],
        "torch": torch.get_rng_state(),
    }
    if torch.cuda.is_available():
        state["cuda"] = torch.cuda.get_rng_state()
    return state


def set_random_state(state: dict[str, Any]) -> None:
    """Put back what :func:`random_state` returned."""
    import numpy as np

    version, numbers, spare = state["python"]
    random.setstate((version, tuple(numbers), spare))
    name, keys, position, has_gauss, cached = state["numpy"]
    np.random.set_state((name, keys.numpy().astype("uint32"), int(position), int(has_gauss), cached))
    torch.set_rng_state(state["torch"])
    if "cuda" in state and torch.cuda.is_available():
        torch.cuda.set_rng_state(state["cuda"])


def _plain(model: nn.Module) -> nn.Module:
    """The model itself, where ``torch.compile`` put a cover around it that renames all weights."""
    return getattr(model, "_orig_mod", model)


def _load(model: nn.Module, state: dict[str, torch.Tensor], source: str) -> None:
    model = _plain(model)
    check_weights(state, model.state_dict(), f"this {type(model).__name__}", f"the tensors in {source}")
    model.load_state_dict(state)


def _write(state: Any, path: Path) -> None:
    with _whole(path) as temporary:
        torch.save(state, temporary)


@contextmanager
def _whole(path: Path) -> Iterator[Path]:
    """Yield a path to write to, and put it in the place of ``path`` when all of it is on the disk."""
    temporary = path.with_name(f"{path.name}.{os.getpid()}.part")
    try:
        yield temporary
        with temporary.open("rb") as file:
            os.fsync(file.fileno())  # else a crash of the machine may leave the name without the content
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)
