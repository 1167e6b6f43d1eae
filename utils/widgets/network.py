"""Through the network: the blocks of known networks, what each costs and sees, and how it is wired inside.

The networks are taken apart by ``utils.architecture`` when the explorer is made; what it found is stored with the
explorer, so that the page needs neither a kernel nor PyTorch.
"""

from __future__ import annotations

import functools
import json
from collections.abc import Mapping
from typing import Any

import traitlets

from utils.widgets import source
from utils.widgets.base import Explorer, whole

__all__ = ["BUDGET", "NetworkExplorer", "default_networks"]

BUDGET = 120_000  # bytes of the networks as a notebook stores them
SIDE = 4096  # pixels of the largest image


def default_networks() -> dict[str, tuple[Any, tuple[int, int, int]]]:
    """Return title → (network, (C, H, W)): three small networks of the book and ten for ImageNet, without weights.

    The networks are the book's own, built on the meta device, where they have shapes and no numbers.
    """
    import torch

    from utils import models

    builders = {
        "LeNet": (models.LeNet, (1, 28, 28)),
        "TinyVGG": (models.TinyVGG, (3, 32, 32)),
        "SmallResNet": (models.SmallResNet, (3, 32, 32)),
        "AlexNet": models.AlexNet,
        "VGG-16": functools.partial(models.VGG, 16),
        "GoogLeNet": models.GoogLeNet,
        "ResNet-18": functools.partial(models.ResNet, 18),
        "ResNet-50": functools.partial(models.ResNet, 50),
        "DenseNet-121": functools.partial(models.DenseNet, 121),
        "MobileNetV2": models.MobileNetV2,
        "EfficientNet-B0": models.EfficientNet,
        "ConvNeXt-T": models.ConvNeXt,
        "ViT-B/16": models.VisionTransformer,
    }
    result = {}
    with torch.device("meta"):
        for title, entry in builders.items():
            build, shape = entry if isinstance(entry, tuple) else (entry, (3, 224, 224))
            result[title] = (build(), shape)
    return result


class NetworkExplorer(Explorer):
    """Walk through a network block by block: output shape, parameters, multiply-adds, receptive field, wiring.

    The attributes ``network`` and ``block`` hold what is chosen; setting one changes the figure, and the controls of
    the figure change them.

    Parameters
    ----------
    networks : dict of str to (nn.Module, (C, H, W)), optional
        Title, and a network with the shape of the image it takes; networks built under ``torch.device("meta")``
        cost neither memory nor time. LeNet, TinyVGG, SmallResNet, AlexNet, VGG-16, GoogLeNet, ResNet-18, ResNet-50,
        DenseNet-121, MobileNetV2, EfficientNet-B0, ConvNeXt-T and ViT-B/16 when left out.
    network : str, optional
        The title shown first, the first one when left out.
    block : int, default 1
        The block of it that is chosen, from 1.

    Raises
    ------
    ValueError
        For something that is no such dictionary, a network that cannot be followed or does not take its image, a
        title or a block that is not there, or networks that take more than 120,000 bytes.

    Notes
    -----
    Blocks and numbers are those of ``utils.architecture.outline``: convolutions and dense layers count, a receptive
    field is the theoretical one along one axis.

    Examples
    --------
    >>> NetworkExplorer(network="ResNet-18", block=3)
    <NetworkExplorer: an interactive figure>
    """

    _esm = source("base.js", "network.js")
    _css = source("base.css", "network.css")

    # Not ``Any``, which takes None without asking the validator.
    network = traitlets.TraitType(None).tag(sync=True)
    block = traitlets.TraitType(None).tag(sync=True)
    # [title, (C, H, W), blocks], and wirings that blocks share; see ``_packed``.
    _networks = traitlets.List().tag(sync=True)
    _wirings = traitlets.List().tag(sync=True)
    # What the reset button goes back to.
    _start = traitlets.Dict().tag(sync=True)

    def __init__(self, networks: Any = None, *, network: str | None = None, block: int = 1) -> None:
        found, wirings = _default() if networks is None else _packed(networks)
        self._blocks = {title: len(blocks) for title, _, blocks in found}
        title = self._title(next(iter(self._blocks)) if network is None else network)
        state = {"network": title, "block": whole(f"the block of {title}", block, 1, self._blocks[title])}
        super().__init__(**state, _start=state, _networks=found, _wirings=wirings)

    def _title(self, value: Any) -> str:
        if not isinstance(value, str) or value not in self._blocks:
            raise ValueError(f"network is {value!r}, and must be one of {', '.join(self._blocks)}.")
        return value

    @traitlets.validate("network")
    def _validate_network(self, proposal) -> str:
        return self._title(proposal["value"])

    @traitlets.validate("block")
    def _validate_block(self, proposal) -> int:
        return whole(f"the block of {self.network}", proposal["value"], 1, self._blocks[self.network])

    @traitlets.observe("network")
    def _fit_block(self, change) -> None:
        if "block" in self._trait_values:
            self.block = min(self.block, self._blocks[self.network])


@functools.cache
def _default() -> tuple[list, list]:
    return _packed(default_networks())


def _packed(networks: Any) -> tuple[list, list]:
    """Return networks and wirings in short lists, or raise a ValueError that names the fault.

    A network is [title, (C, H, W), blocks]; a block [name, kind, shape, parameters, multiply-adds, field or None,
    what it reads, place of its wiring]; a step of a wiring [label, inputs, shape, parameters, multiply-adds].
    """
    from torch import nn

    from utils.architecture import outline

    if not isinstance(networks, Mapping) or not networks:
        raise ValueError(
            f"networks is {'empty' if isinstance(networks, Mapping) else f'of the type {type(networks).__name__}'}, but "
            "it must be a dictionary with at least one title → (network, (C, H, W))."
        )
    found: list[list] = []
    wirings: dict[str, int] = {}
    for title, entry in networks.items():
        if not isinstance(title, str) or not title.strip():
            raise ValueError(f"one title is {title!r}, but it must be a text, such as 'my network'.")
        if not isinstance(entry, (tuple, list)) or len(entry) != 2 or not isinstance(entry[0], nn.Module):
            raise ValueError(
                f"the entry of {title!r} must be a pair (network, (C, H, W)), such as (LeNet(), (1, 28, 28))."
            )
        model, shape = entry
        if not isinstance(shape, (tuple, list)) or len(shape) != 3:
            raise ValueError(f"the image of {title!r} is {shape!r}, but it must be (C, H, W), such as (3, 224, 224).")
        names = zip(("channels", "height", "width"), shape, strict=True)
        shape = [whole(f"the {name} of the image of {title!r}", number, 1, SIDE) for name, number in names]
        try:
            blocks = outline(model, shape)
        except (RuntimeError, TypeError, ValueError) as error:
            why = str(error).strip().split("\n")[0].rstrip(".")
            size = "×".join(map(str, shape))
            raise ValueError(f"{title!r} cannot be followed with an image of {size}: {why}.") from error
        if not blocks:
            raise ValueError(f"{title!r} does nothing with its image, so there is nothing to show.")
        rows = []
        for block in blocks:
            steps = [[s.label, list(s.inputs), list(s.shape), s.parameters, s.multiply_adds] for s in block.steps]
            key = json.dumps(steps)
            costs = (block.parameters, block.multiply_adds, block.field)
            place = wirings.setdefault(key, len(wirings))
            rows.append([block.name, block.kind, list(block.shape), *costs, list(block.inputs), place])
        found.append([title, shape, rows])
    result = found, [json.loads(key) for key in wirings]
    size = len(json.dumps(result, ensure_ascii=False).encode())
    if size > BUDGET:
        raise ValueError(
            f"the networks would take {size:,} bytes of the notebook, more than {BUDGET:,}; show fewer of them."
        )
    return result
