"""What a trained network is worth on another task: its features, a head on them, and which parts go on learning.

Chapter: feature extraction. Everything works on our networks and on torchvision's: nothing assumes that the head is
called ``fc``.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
from torch import nn

from utils.activations import evaluating, layer_named
from utils.data import Images
from utils.models.inputs import check_counts
from utils.models.pretrained import Pretrained

LEFT = "replace the head after freezing the body, or call unfreeze(model, …) for a layer that shall learn"


def prepare(
    images: torch.Tensor,
    size: int | tuple[int, int] | None = None,
    mean: tuple[float, ...] = (0.0, 0.0, 0.0),
    std: tuple[float, ...] = (1.0, 1.0, 1.0),
) -> torch.Tensor:
    """Return images as a network for colour photographs wants them: float32 (N, 3, H, W), resized and standardised.

    Parameters
    ----------
    images : tensor (N, 3, H, W) or (N, 1, H, W)
        uint8, or floats in [0, 1]. A grey channel is repeated.
    size : int or (int, int), optional
        New height and width. One number resizes the shorter side, with anti-aliasing, and cuts the centre out. The
        images keep their size when left out.
    mean, std : tuple of float
        ``(pixel − mean) / std`` for each channel, in units of pixel / 255: those of the network's training.

    Raises
    ------
    TypeError
        When the images are no tensor.
    ValueError
        When their shape, their range or the size makes no sense.
    """
    from torchvision.transforms.v2 import functional as transforms

    if not isinstance(images, torch.Tensor):
        raise TypeError(f"images must be a tensor (N, 3, H, W) or (N, 1, H, W), but this is {type(images).__name__}.")
    if images.dim() != 4 or images.shape[1] not in (1, 3):
        hint = ""
        if images.dim() == 3:
            hint = "; one image needs a batch: images[None]"
        elif images.dim() == 4 and images.shape[3] in (1, 3):
            hint = "; the channels stand last, move them: images.permute(0, 3, 1, 2)"
        raise ValueError(f"images must be (N, 3, H, W) or (N, 1, H, W), but the shape is {tuple(images.shape)}{hint}.")
    if not len(images):
        raise ValueError("there are no images; give at least one.")
    if images.dtype == torch.uint8:
        pixels = images.float() / 255
    elif not images.is_floating_point():
        raise ValueError(f"images must be uint8, or floats from 0 to 1, but these are {images.dtype}.")
    elif not (images.min() >= 0 and images.max() <= 1):  # NaN fails, too
        raise ValueError(
            f"images must be uint8, or floats from 0 to 1, but these go from {images.min():.3g} to "
            f"{images.max():.3g}; pass them as they are before standardisation."
        )
    else:
        pixels = images.float()
    if size is not None:
        sides = tuple(size) if isinstance(size, (tuple, list)) else (size, size)
        if len(sides) != 2 or any(isinstance(s, bool) or not isinstance(s, int) or s < 1 for s in sides):
            raise ValueError(f"size is {size!r}, but it must be a whole number of pixels, or two, of at least 1.")
        pixels = transforms.resize(pixels, [size] if isinstance(size, int) else list(sides), antialias=True)
        pixels = transforms.center_crop(pixels, list(sides))
    pixels = pixels.expand(-1, 3, -1, -1)
    shape = (1, 3, 1, 1)
    mean, std = (torch.tensor(values, device=pixels.device).view(shape) for values in (mean, std))
    return (pixels - mean) / std


@torch.no_grad()
def features(
    network: Pretrained | nn.Module,
    images: torch.Tensor | Images,
    layer: str | None = None,
    *,
    size: int | tuple[int, int] | None = 96,
    mean: tuple[float, ...] | None = None,
    std: tuple[float, ...] | None = None,
    batch_size: int = 32,
) -> torch.Tensor:
    """Return what a network has computed of each image just before its head: float32 (N, F).

    The pass runs in evaluation mode and without gradients, on the device of the network; afterwards every layer is in
    the mode in which it was. The result is on the CPU.

    Parameters
    ----------
    network : Pretrained or nn.Module
        With ``Pretrained`` the constants for standardising are known; for another module give ``mean`` and ``std``.
    images : tensor (N, 3, H, W) or (N, 1, H, W), or Images
        As :func:`prepare` takes them: uint8 or floats in [0, 1], not standardised.
    layer : str, optional
        Whose output is wanted, a name as in ``model.named_modules()``; maps are averaged over height and width. When left
        out, the input of the last dense layer: the network with its head removed.
    size : int or (int, int), optional
        Images are resized to it; None leaves them as they are.
    mean, std : tuple of float, optional
        Constants in the place of the network's own.
    batch_size : int
        Images in one pass. On a CPU 32 took less time than 64: what a layer gives stays nearer to the processor.

    Raises
    ------
    TypeError
        When the network or the images are something else.
    ValueError
        When there is no such layer (similar names are listed), it does not run or gives something else than maps or rows,
        the network has no dense layer, the constants are missing, or the images do not fit.
    """
    model = network.model if isinstance(network, Pretrained) else network
    if not isinstance(model, nn.Module):
        raise TypeError(
            f"the network is {type(model).__name__}, but it must be an nn.Module or from pretrained.load()."
        )
    if isinstance(network, Pretrained):
        mean, std = mean or network.mean, std or network.std
    if mean is None or std is None:
        raise ValueError(
            "mean and std are missing: a bare module does not know by which constants its training images were "
            "standardised; give both, or pass what pretrained.load() returns."
        )
    check_counts(batch_size=batch_size)
    images = images.images if isinstance(images, Images) else images
    device = next((p.device for p in model.parameters()), torch.device("cpu"))
    rows = []
    with evaluating(model), _watched(model, layer) as seen:
        for start in range(0, max(1, len(images)), batch_size) if isinstance(images, torch.Tensor) else [0]:
            part = images[start : start + batch_size] if isinstance(images, torch.Tensor) else images
            seen.clear()
            model(prepare(part, size, mean, std).to(device))
            if "value" not in seen:
                raise ValueError(
                    f"the layer {layer!r} took no part in the pass; name another one."
                    if layer
                    else "no dense layer took part in the pass, so it is not clear what the head is; name a layer."
                )
            rows.append(_as_rows(seen["value"], layer).float().cpu())
    return torch.cat(rows)


@contextmanager
def _watched(model: nn.Module, layer: str | None) -> Iterator[dict[str, torch.Tensor]]:
    """Keep as "value" the output of a layer, or what the last dense layer of the pass was given."""
    seen: dict[str, torch.Tensor] = {}

    def output(_layer: nn.Module, _inputs: Any, value: torch.Tensor) -> None:
        seen["value"] = value.clone() if isinstance(value, torch.Tensor) else value

    def given(_layer: nn.Module, inputs: tuple[torch.Tensor, ...]) -> None:
        seen["value"] = inputs[0].clone()

    if layer is None:
        handles = [part.register_forward_pre_hook(given) for part in model.modules() if isinstance(part, nn.Linear)]
    else:
        handles = [layer_named(model, layer).register_forward_hook(output)]
    try:
        yield seen
    finally:
        for handle in handles:
            handle.remove()


def _as_rows(value: torch.Tensor, layer: str | None) -> torch.Tensor:
    if isinstance(value, torch.Tensor) and value.dim() == 4:
        return value.mean((2, 3))
    if isinstance(value, torch.Tensor) and value.dim() == 2:
        return value
    found = tuple(value.shape) if isinstance(value, torch.Tensor) else type(value).__name__
    what = f"the layer {layer!r} gives {found}" if layer else f"the last dense layer is given {found}"
    raise ValueError(f"{what}, but features are maps (N, C, H, W) or rows (N, F); name another layer.")


def linear_head(
    rows: torch.Tensor, labels: torch.Tensor, classes: int | None = None, *, strength: float = 0.01
) -> nn.Linear:
    """Return the dense layer that logistic regression finds on frozen features.

    The problem is convex: there is one best layer, and scikit-learn's solver (L-BFGS) finds it in a second, without
    learning rate, batches and epochs to be chosen. Each feature is standardised for the fit; the constants are then
    folded into weights and bias, so the layer takes the features as they are, and fits the network as its head.

    Parameters
    ----------
    rows : float tensor (N, F)
        From :func:`features`.
    labels : int64 tensor (N,)
    classes : int, optional
        Number of outputs; as many as the labels say when left out. A class without an image is never answered.
    strength : float
        Inverse strength of the penalty on the squared weights, scikit-learn's ``C``. Smaller is more careful.

    Raises
    ------
    ValueError
        When shapes, labels or the strength do not fit, or there is a single class.
    """
    from sklearn.linear_model import LogisticRegression

    if rows.dim() != 2 or labels.shape != rows.shape[:1]:
        raise ValueError(
            f"the features have shape {tuple(rows.shape)} and the labels {tuple(labels.shape)}, but they must be (N, F) "
            "and (N,), one label for each row."
        )
    if not rows.isfinite().all():
        raise ValueError("the features contain NaN or infinity; look at the images and at the weights of the network.")
    if not strength > 0:
        raise ValueError(f"strength is {strength!r}, but it must be a number above 0.")
    known = labels.unique()
    classes = int(known.max()) + 1 if classes is None else classes
    if len(known) < 2 or int(known.min()) < 0 or int(known.max()) >= classes:
        raise ValueError(
            f"the labels are {known.tolist()}, but a head for {classes} classes needs at least two different ones from "
            f"0 to {classes - 1}."
        )
    rows = rows.double().cpu()
    mean, std = rows.mean(0), rows.std(0, correction=0)
    std = torch.where(std > 1e-6, std, 1.0)  # a feature that never changes says nothing
    fit = LogisticRegression(C=strength, max_iter=2000).fit(((rows - mean) / std).numpy(), labels.cpu().numpy())
    weights, bias = torch.from_numpy(fit.coef_).double(), torch.from_numpy(fit.intercept_).double()
    if len(known) == 2:  # scikit-learn keeps one row, for the second of two classes
        weights, bias = torch.cat([-weights, weights]) / 2, torch.cat([-bias, bias]) / 2
    weights = weights / std
    head = nn.Linear(rows.shape[1], classes)
    with torch.no_grad():
        head.weight.zero_()
        head.bias.fill_(-1e4)
        head.weight[known] = weights.float()
        head.bias[known] = (bias - weights @ mean).float()
    return head


@torch.no_grad()
def accuracy(head: nn.Module, rows: torch.Tensor, labels: torch.Tensor) -> float:
    """Return the share of rows (N, F) for which the largest output of the head is that of the label."""
    return (head(rows).argmax(1) == labels).double().mean().item()


class _Stay:
    """In the place of a frozen layer's ``train``: the layer stays in evaluation mode.

    An object and not a closure, so that a copied or stored network has frozen layers of its own.
    """

    def __init__(self, layer: nn.Module) -> None:
        self.layer = layer

    def __call__(self, mode: bool = True) -> nn.Module:
        return self.layer


def freeze(model: nn.Module, *layers: str) -> nn.Module:
    """Stop the named layers from changing in any way, and return the model.

    Their parameters get no gradient. And since a batch norm in training mode goes on averaging its statistics, whether its
    parameters are frozen or not, all they contain is put into evaluation mode and stays there when ``model.train()`` is
    called; dropout inside is off as well. A new layer that takes the place of a frozen one is not frozen.

    Parameters
    ----------
    layers : str
        Names as in ``model.named_modules()``; the whole model when none is given.

    Raises
    ------
    ValueError
        When the model has no layer of that name; similar names are listed.
    """
    for part in [layer_named(model, name) for name in layers] or [model]:
        part.requires_grad_(False)
        for leaf in _leaves(part):
            leaf.training = False
            leaf.train = _Stay(leaf)
    return model


def unfreeze(model: nn.Module, *layers: str) -> nn.Module:
    """Undo :func:`freeze` for the named layers, the whole model when none is given, and return the model.

    Layers that are no longer frozen take over the mode of the model.

    Raises
    ------
    ValueError
        When the model has no layer of that name; similar names are listed.
    """
    for part in [layer_named(model, name) for name in layers] or [model]:
        part.requires_grad_(True)
        for leaf in _leaves(part):
            if isinstance(leaf.__dict__.get("train"), _Stay):
                del leaf.train
            leaf.train(model.training)
    return model


def frozen(model: nn.Module) -> list[str]:
    """Return the names of the layers without parts that :func:`freeze` keeps in evaluation mode."""
    return [name for name, part in model.named_modules() if isinstance(part.__dict__.get("train"), _Stay)]


def head_name(model: nn.Module) -> str:
    """Return the name of the last dense layer, such as ``fc``, ``classifier.6`` or ``heads.head``.

    Raises
    ------
    ValueError
        When the model has none.
    """
    names = [name for name, part in model.named_modules() if isinstance(part, nn.Linear)]
    if not names:
        raise ValueError(f"{type(model).__name__} has no dense layer, so its head has to be replaced by hand.")
    return names[-1]


def replace_head(model: nn.Module, classes: int) -> str:
    """Put a new dense layer with ``classes`` outputs in the place of the last one, and return its name.

    Raises
    ------
    ValueError
        When the model has no dense layer, or the number is not a whole one of at least 1.
    """
    check_counts(classes=classes)
    name = head_name(model)
    old = model.get_submodule(name)
    new = nn.Linear(old.in_features, classes, bias=old.bias is not None).to(old.weight)
    model.set_submodule(name, new)
    return name


def trainable(model: nn.Module) -> list[nn.Parameter]:
    """Return the parameters that an optimizer shall change: those that are not frozen.

    Raises
    ------
    ValueError
        When there are none.
    """
    left = [parameter for parameter in model.parameters() if parameter.requires_grad]
    if not left:
        number = len(list(model.parameters()))
        raise ValueError(f"nothing is left to train: all {number} parameters are frozen; {LEFT}.")
    return left


def parameter_groups(
    model: nn.Module, rates: Mapping[str, float], *, rest: float | None = None
) -> list[dict[str, Any]]:
    """Return groups for an optimizer, each with a learning rate of its own; frozen parameters are left out.

    Each parameter belongs to the innermost of the named layers that contains it, and is in one group even if two layers share
    it. Parameters are told apart by identity: ``in`` and ``==`` would compare their values.

    Parameters
    ----------
    rates : dict of layer name to learning rate
        Names as in ``model.named_modules()``.
    rest : float, optional
        The rate of all other parameters.

    Returns
    -------
    list of dict
        With ``params``, ``lr`` and ``name``, as ``torch.optim`` takes them; ``"rest"`` comes last.

    Raises
    ------
    ValueError
        When a layer is unknown or has nothing to train, a rate is no number of at least 0, parameters belong to no group,
        or nothing is left to train at all.

    Examples
    --------
    >>> groups = parameter_groups(nn.Sequential(nn.Linear(2, 3), nn.Linear(3, 2)), {"0": 1e-4, "1": 1e-2})
    >>> [(group["name"], len(group["params"]), group["lr"]) for group in groups]
    [('0', 2, 0.0001), ('1', 2, 0.01)]
    """
    wanted = trainable(model)
    for name, rate in [*rates.items(), *([("rest", rest)] if rest is not None else [])]:
        if isinstance(rate, bool) or not isinstance(rate, (int, float)) or not 0 <= rate < float("inf"):
            raise ValueError(f"the learning rate of {name!r} is {rate!r}, but it must be a number of at least 0.")
    owner: dict[int, str] = {}
    for name in sorted(rates, key=lambda name: -name.count(".")):  # the innermost first
        for parameter in layer_named(model, name).parameters():
            owner.setdefault(id(parameter), name)
    groups = {name: [p for p in wanted if owner.get(id(p)) == name] for name in rates}
    if empty := [name for name, members in groups.items() if not members]:
        raise ValueError(f"the layer {empty[0]!r} has nothing to train: it is frozen, has no parameters, or its parts have "
                         "rates of their own; leave it out.")  # fmt: skip
    others = [p for p in wanted if id(p) not in owner]
    if others and rest is None:
        first = next(name for name, p in model.named_parameters() if p is others[0])
        raise ValueError(
            f"{len(others)} parameters belong to no group, the first is {first!r}; name their layers, freeze them, or give "
            "rest=, the learning rate of all others."
        )
    result = [{"params": members, "lr": rates[name], "name": name} for name, members in groups.items()]
    return result + ([{"params": others, "lr": rest, "name": "rest"}] if others else [])


def _leaves(part: nn.Module) -> list[nn.Module]:
    return [module for module in part.modules() if not list(module.children())]
