"""Can a map of attributions be trusted: networks redrawn, the pointing game, and two maps that tell little of the network.

An attribution is computed by :mod:`utils.attribution`; here it is put to the test. Chapter: trusting_explanations.

Sources: J. Adebayo and others, "Sanity checks for saliency maps", NeurIPS 2018 (arXiv 1810.03292); J. Zhang and others,
"Top-down neural attention by excitation backprop", IJCV 126, 2018 (arXiv 1608.00507); J. T. Springenberg and others,
"Striving for simplicity: the all convolutional net", ICLR workshop 2015 (arXiv 1412.6806).
"""

from __future__ import annotations

import copy
from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import nn
from torch.nn import functional as F

from utils import attribution
from utils.activations import layer_named
from utils.models.inputs import Classes

_WEIGHTED = (nn.modules.conv._ConvNd, nn.Linear)
_SOBEL = ((-1.0, 0.0, 1.0), (-2.0, 0.0, 2.0), (-1.0, 0.0, 1.0))


def randomised(model: nn.Module, *names: str, seed: int = 0) -> nn.Module:
    """Return a copy of the model in which the named parts are as before training; the model itself stays as it is.

    Weights of convolutions and dense layers are drawn anew as He and others (2015) do, their biases are 0; all other
    layers begin as PyTorch lets them: batch norm with scale 1, shift 0 and *running statistics* of 0 and 1.

    Parameters
    ----------
    names : str
        Parts as in ``model.named_modules()``, with all that is inside them; the whole model when none is given. They
        are drawn in this order: a longer list that begins the same gives the same weights for its beginning.
    seed : int
        The same seed gives the same weights on every device.

    Raises
    ------
    ValueError
        When the model has no part of that name, or a layer has parameters and nobody knows how they are drawn.
    """
    fresh = copy.deepcopy(model)
    draw = torch.Generator().manual_seed(seed)
    for part in [layer_named(fresh, name) for name in names] or [fresh]:
        for layer in part.modules():
            _redraw(layer, draw)
    return fresh


@torch.no_grad()
def _redraw(layer: nn.Module, draw: torch.Generator) -> None:
    """Draw the parameters that a layer has itself, not those of its parts."""
    own = list(layer.parameters(recurse=False))
    if isinstance(layer, _WEIGHTED):
        weights = torch.empty(layer.weight.shape)
        layer.weight.copy_(nn.init.kaiming_normal_(weights, nonlinearity="relu", generator=draw))
        if layer.bias is not None:
            layer.bias.zero_()
    elif isinstance(layer, (nn.modules.batchnorm._NormBase, nn.GroupNorm, nn.LayerNorm)):
        layer.reset_parameters()  # of a batch norm the running statistics, too
    elif own:
        raise ValueError(
            f"a {type(layer).__name__} has parameters of its own, and it is not known how they are drawn; name the "
            "convolutions, dense layers and norms instead."
        )


def pointing(maps: torch.Tensor, masks: torch.Tensor, *, tolerance: int = 0) -> torch.Tensor:
    """Return whether the strongest pixel of each map lies on its mask: float64 (N,), 1 for a hit and 0 for a miss.

    The pointing game of Zhang and others (2018), section 4.1. Where several pixels are equally strong, it is the share of
    them that hits; so a map that is the same everywhere gets the mask's share of the image, which is chance.

    Parameters
    ----------
    maps : float tensor (N, H, W)
        The larger, the more important; signs are not dropped.
    masks : bool tensor (N, H, W)
    tolerance : int
        A miss by at most so many pixels, along a row or a column or both, is a hit, too.
    """
    _check(maps, masks)
    if isinstance(tolerance, bool) or not isinstance(tolerance, int) or tolerance < 0:
        raise ValueError(f"the tolerance is {tolerance!r}, but it must be a whole number of pixels, at least 0.")
    wide = F.max_pool2d(masks[:, None].float(), 2 * tolerance + 1, 1, tolerance)[:, 0].flatten(1)
    strongest = (maps == maps.amax((1, 2), keepdim=True)).flatten(1).double()
    return (strongest * wide).sum(1) / strongest.sum(1)


def energy(maps: torch.Tensor, masks: torch.Tensor) -> torch.Tensor:
    """Return which share of each map lies on its mask: the sum of what is positive there, by all of it, float64 (N,).

    Parameters
    ----------
    maps : float tensor (N, H, W)
        What is negative speaks against the class and does not count. A map without anything positive gives NaN.
    masks : bool tensor (N, H, W)
    """
    _check(maps, masks)
    positive = maps.detach().double().clamp(min=0)
    return (positive * masks).sum((1, 2)) / positive.sum((1, 2))


def guided_backpropagation(model: nn.Module, images: torch.Tensor, classes: Classes = None) -> torch.Tensor:
    """Return the gradient by every pixel when each ReLU passes back only what is positive: (N, C, H, W).

    Springenberg and others (2015), section 3.4. A picture that looks better than what it tells of the network.

    Raises
    ------
    ValueError
        When the model has no layer ``nn.ReLU`` or ``nn.ReLU6``: a call of ``F.relu`` cannot be reached by a hook.
    """
    with _guided(model):
        return attribution.gradient(model, images, classes)


@contextmanager
def _guided(model: nn.Module) -> Iterator[None]:
    layers = [layer for layer in model.modules() if isinstance(layer, (nn.ReLU, nn.ReLU6))]
    if not layers:
        raise ValueError(
            "the model has no layer nn.ReLU or nn.ReLU6, whose gradients could be cut; use layers, not F.relu, or explain "
            "it by another method."
        )

    def cut(_layer: nn.Module, _inputs: tuple, output: torch.Tensor) -> None:
        if output.requires_grad:
            output.register_hook(lambda slope: slope.clamp(min=0))

    handles = [layer.register_forward_hook(cut) for layer in layers]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


def edges(images: torch.Tensor) -> torch.Tensor:
    """Return how strongly the brightness changes at each pixel, by Sobel's kernels: (N, C, H, W) → (N, H, W).

    No attribution at all: the network is not even an argument. What an explanation has to be better than.
    """
    if not isinstance(images, torch.Tensor) or images.dim() != 4 or not images.is_floating_point():
        raise ValueError("images must be a float tensor (N, C, H, W).")
    kernel = torch.tensor(_SOBEL, dtype=images.dtype, device=images.device)
    grey = F.pad(images.detach().mean(1, keepdim=True), (1, 1, 1, 1), mode="replicate")
    across = F.conv2d(grey, torch.stack([kernel, kernel.T])[:, None])
    return across.square().sum(1).sqrt()


def _check(maps: torch.Tensor, masks: torch.Tensor) -> None:
    if not isinstance(maps, torch.Tensor) or maps.dim() != 3 or not maps.is_floating_point():
        found = tuple(maps.shape) if isinstance(maps, torch.Tensor) else type(maps).__name__
        raise ValueError(
            f"maps must be a float tensor (N, H, W), but this is {found}; attribution.per_pixel makes one."
        )
    if not isinstance(masks, torch.Tensor) or masks.dtype != torch.bool or masks.shape != maps.shape:
        found = f"{masks.dtype} {tuple(masks.shape)}" if isinstance(masks, torch.Tensor) else type(masks).__name__
        raise ValueError(f"masks must be bool and of the maps' shape {tuple(maps.shape)}, but this is {found}.")
    if not torch.isfinite(maps).all():
        raise ValueError("the maps have values that are no numbers (NaN or infinite); no pixel is the strongest.")
