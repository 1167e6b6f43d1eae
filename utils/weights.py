"""Tensors in files: read without running code from the file, and compared with what a network needs."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch


def read(path: Path, what: str = "weights") -> Any:
    """Return what ``torch.save`` wrote to a file: tensors and plain values, on the CPU.

    Parameters
    ----------
    what : str
        What the file should hold, for the message.

    Raises
    ------
    FileNotFoundError
        When there is no such file.
    ValueError
        When it is cut off, or something else.
    """
    if not path.is_file():
        raise FileNotFoundError(f"there is no file {path.name} in {path.parent}; give the path of a file of {what}.")
    try:
        return torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # what is no such file fails in many ways, an IndexError among them
        raise ValueError(
            f"{path} cannot be read as {what}: it is cut off or something else "
            f"({type(error).__name__}); get it again, write it anew, or delete it."
        ) from error


def read_weights(path: Path) -> dict[str, torch.Tensor]:
    """Return the tensors of a file by their names.

    Raises
    ------
    FileNotFoundError, ValueError
        As :func:`read`, and when the file holds something else than tensors with names.
    """
    state = read(path)
    if not isinstance(state, Mapping) or not all(isinstance(value, torch.Tensor) for value in state.values()):
        raise ValueError(
            f"{path} holds a {type(state).__name__}, but weights are a dict of tensors, as model.state_dict() gives."
        )
    return dict(state)


def check_weights(
    state: Mapping[str, torch.Tensor],
    places: Mapping[str, torch.Tensor],
    name: str = "this network",
    source: str = "these tensors",
) -> None:
    """Say how tensors differ, by name and shape, from those that a network needs.

    Parameters
    ----------
    state : dict of tensors
        Weights, as from a file.
    places : dict of tensors
        What the network has: ``model.state_dict()``.
    name, source : str
        Of the network, and where the tensors are from, for the message.

    Raises
    ------
    ValueError
        When names or shapes differ: these are weights of another network.
    """
    missing = [key for key in places if key not in state]
    unknown = [key for key in state if key not in places]
    other = [
        f"{key} {tuple(state[key].shape)} instead of {tuple(place.shape)}"
        for key, place in places.items()
        if key in state and state[key].shape != place.shape
    ]
    found = [
        f"{len(keys)} {what}, the first is {keys[0]}"
        for keys, what in ((missing, "are missing"), (unknown, "are unknown to it"), (other, "have another shape"))
        if keys
    ]
    if found:
        raise ValueError(
            f"{source} are not the weights of {name}, which has {len(places)} tensors: {'; '.join(found)}. Take the file "
            "that belongs to this network, or build the network that belongs to the file."
        )
