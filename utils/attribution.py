"""Which pixels mattered: seven ways to explain the score that a network gives to a class.

Every function takes ``(model, images, classes)`` and returns one map for each image, either with the channels of the
image, (N, C, H, W), or without, (N, H, W). What is explained is the *logit* of the class, the number in front of the
softmax. The model is left as it was: mode, gradients of the parameters and hooks. Chapter: attribution.

Sources: K. Simonyan, A. Vedaldi and A. Zisserman, "Deep inside convolutional networks: visualising image classification
models and saliency maps", ICLR workshop 2014 (arXiv 1312.6034); D. Smilkov and others, "SmoothGrad: removing noise by
adding noise", 2017 (arXiv 1706.03825); M. Sundararajan, A. Taly and Q. Yan, "Axiomatic attribution for deep networks",
ICML 2017 (arXiv 1703.01365); M. D. Zeiler and R. Fergus, "Visualizing and understanding convolutional networks", ECCV
2014 (arXiv 1311.2901); B. Zhou and others, "Learning deep features for discriminative localization", CVPR 2016 (arXiv
1512.04150); R. R. Selvaraju and others, "Grad-CAM: visual explanations from deep networks via gradient-based
localization", ICCV 2017 (arXiv 1610.02391).
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import nn
from torch.nn import functional as F

from utils.activations import capture, evaluating
from utils.models.inputs import Classes, as_classes, check_batch, check_counts, check_together, logits_of

# The arguments that all functions share, and what all of them raise:
#
# model : nn.Module
#     Gives logits (N, classes) for images. It works in evaluation mode here, whatever its mode was.
# images : float tensor (N, C, H, W)
#     As the model takes them, standardised, on its device and of its dtype.
# classes : int, sequence of int, or int64 tensor (N,)
#     Whose score is explained: one class for all images, or one for each; None for the model's own answers.
#
# TypeError for images or classes of another type; ValueError when a shape does not fit, a class does not exist, or the
# scores have no gradient.


def gradient(model: nn.Module, images: torch.Tensor, classes: Classes = None) -> torch.Tensor:
    """Return the derivative of the class's score by every pixel, with its sign: (N, C, H, W)."""
    with _examined(model, images):
        x = images.detach().clone().requires_grad_()
        # In evaluation mode no image sees another one, so the gradient of the sum holds each image's own.
        return torch.autograd.grad(_differentiable(_scores(model, x, classes)).sum(), x)[0]


def saliency(model: nn.Module, images: torch.Tensor, classes: Classes = None) -> torch.Tensor:
    """Return how strongly the score reacts to each pixel: the largest |derivative| over the channels, (N, H, W).

    Simonyan and others (2014), section 3.1.
    """
    return gradient(model, images, classes).abs().amax(1)


def gradient_times_input(model: nn.Module, images: torch.Tensor, classes: Classes = None) -> torch.Tensor:
    """Return derivative times pixel, (N, C, H, W): what a linear model would add to the score through each pixel."""
    return gradient(model, images, classes) * images.detach()


def smooth_grad(
    model: nn.Module,
    images: torch.Tensor,
    classes: Classes = None,
    *,
    samples: int = 25,
    noise: float = 0.15,
    seed: int = 0,
) -> torch.Tensor:
    """Return the mean gradient over noisy copies of each image, with its sign: (N, C, H, W).

    Smilkov and others (2017). Where no classes are given, the model's answers to the images *without* noise are taken.

    Parameters
    ----------
    samples : int
        Noisy copies of each image.
    noise : float
        Standard deviation of the Gaussian noise as a share of the image's range, largest minus smallest value; the
        paper finds 0.1 to 0.2 useful.
    seed : int
        The same seed gives the same noise on every device.
    """
    check_counts(samples=samples)
    if not 0 <= noise < float("inf"):
        raise ValueError(f"noise is {noise!r}, but it must be a share of the image's range, such as 0.15.")
    classes = _chosen(model, images, classes)
    scale = noise * (images.detach().amax((1, 2, 3), keepdim=True) - images.detach().amin((1, 2, 3), keepdim=True))
    draw = torch.Generator().manual_seed(seed)
    total = torch.zeros_like(images)
    for _ in range(samples):
        drawn = torch.randn(images.shape, generator=draw).to(images)
        total += gradient(model, images.detach() + scale * drawn, classes)
    return total / samples


def integrated_gradients(
    model: nn.Module,
    images: torch.Tensor,
    classes: Classes = None,
    *,
    baseline: float | torch.Tensor = 0.0,
    steps: int = 50,
) -> torch.Tensor:
    """Return (image − baseline) × the mean gradient on the straight way from baseline to image: (N, C, H, W).

    Sundararajan and others (2017), equation 3, with the gradient taken in the middle of each step. The map is
    *complete*: its sum over channels and pixels is score(image) − score(baseline), up to the error of the steps.

    Parameters
    ----------
    baseline : number or tensor that broadcasts to (N, C, H, W)
        The image that says nothing, standardised like the images: 0 is their mean colour, not black.
    steps : int
        Gradients for each image; more make the sum exacter.
    """
    check_counts(steps=steps)
    classes = _chosen(model, images, classes)
    start = _filled(baseline, images, "baseline")
    way = images.detach() - start
    total = torch.zeros_like(images)
    for step in range(steps):
        total += gradient(model, start + (step + 0.5) / steps * way, classes)
    return way * total / steps


def occlusion(
    model: nn.Module,
    images: torch.Tensor,
    classes: Classes = None,
    *,
    patch: int | tuple[int, int] = 16,
    stride: int | tuple[int, int] | None = None,
    fill: float | torch.Tensor = 0.0,
    batch_size: int = 64,
) -> torch.Tensor:
    """Return by how much the score falls when a patch covers a pixel, the mean over all such patches: (N, H, W).

    Zeiler and Fergus (2014), section 4.2, who let a grey square glide over the image. Needs no gradient.

    Parameters
    ----------
    patch : int or (int, int)
        Height and width of the patch; it is cut off at the lower and right border.
    stride : int or (int, int), optional
        How far it moves; at most its own size, so that every pixel is covered. Half of the patch when left out.
    fill : number or tensor that broadcasts to (N, C, H, W)
        What the patch shows, standardised like the images: 0 is their mean colour.
    batch_size : int
        Images in one pass.
    """
    tall, wide = _pair("patch", patch)
    down, right = _pair("stride", stride if stride is not None else (max(1, tall // 2), max(1, wide // 2)))
    check_counts(batch_size=batch_size)
    if down > tall or right > wide:
        raise ValueError(
            f"the stride {down}×{right} is larger than the patch {tall}×{wide}: some pixels would never be covered."
        )
    with _examined(model, images), torch.no_grad():
        height, width = images.shape[2:]
        if tall > height or wide > width:
            raise ValueError(f"the patch {tall}×{wide} is larger than the images, {height}×{width}.")
        classes = _chosen(model, images, classes)
        before, filling = _scores(model, images, classes), _filled(fill, images, "fill")
        rows, columns = range(0, height - tall + down, down), range(0, width - wide + right, right)
        # True where the patch is, for each of its places: (places, 1, H, W).
        y, x = torch.arange(height, device=images.device), torch.arange(width, device=images.device)
        masks = torch.stack([
            ((y >= r) & (y < r + tall))[:, None] & ((x >= c) & (x < c + wide)) for r in rows for c in columns
        ])[:, None]  # fmt: skip
        drops = []
        for place in torch.arange(len(images) * len(masks), device=images.device).split(batch_size):
            image, mask = place // len(masks), place % len(masks)
            covered = torch.where(masks[mask], filling[image], images[image])
            drops.append(before[image] - _scores(model, covered, classes[image]))
        covering = masks[:, 0].to(images.dtype)
        drops = torch.cat(drops).view(len(images), len(masks))
        return torch.einsum("np,phw->nhw", drops, covering) / covering.sum(0)


def cam(
    model: nn.Module, images: torch.Tensor, classes: Classes = None, *, layer: str, enlarged: bool = True
) -> torch.Tensor:
    """Return the class activation map: the layer's maps, summed with the weights of the class, (N, H, W).

    Zhou and others (2016), equation 2. Only for networks that take the mean of each of the layer's maps and pass the
    means to one dense layer, which gives the scores: then the mean of the map, before it is enlarged, plus the bias of
    the class *is* the score.

    Parameters
    ----------
    layer : str
        Whose maps are averaged, by its name in ``model.named_modules()``.
    enlarged : bool
        To the size of the images, bilinearly; else the map has the size of the layer's maps, (N, h, w).

    Raises
    ------
    ValueError
        When the layer is unknown or did not run once, or the network does not end as described.
    """
    dense = [name for name, part in model.named_modules() if name and isinstance(part, nn.Linear)]
    if not dense:
        raise ValueError("CAM needs a dense layer (nn.Linear) behind the mean of the maps, but the model has none.")
    head, inputs = model.get_submodule(dense[-1]), []
    watch = head.register_forward_pre_hook(lambda _layer, arguments: inputs.append(arguments[0]))
    try:
        with _examined(model, images), torch.no_grad(), capture(model, layer, dense[-1], every=True) as seen:
            logits = logits_of(model, images)
            classes = as_classes(classes, logits)
    finally:
        watch.remove()
    maps = _only_maps(seen, layer)
    fits = len(inputs) == 1 and seen[dense[-1]][0].shape == logits.shape and inputs[0].shape == maps.shape[:2]
    # In single precision two ways of taking a mean differ by rounding.
    near = {"rtol": 1e-3, "atol": 1e-3 * maps.abs().max().item()}
    if (
        not fits
        or not torch.allclose(inputs[0], maps.mean((2, 3)), **near)
        or not torch.equal(seen[dense[-1]][0], logits)
    ):
        raise ValueError(
            f"CAM needs a network that ends with the mean of each map of {layer!r} and one dense layer, but its last "
            f"dense layer, {dense[-1]!r}, is not fed with these means or does not give the scores; name the last layer "
            "that has maps, or use grad_cam, which fits every network."
        )
    weights = head.weight[classes].detach()  # (N, K): one weight for each map
    return _finished(torch.einsum("nk,nkhw->nhw", weights, maps), images, enlarged)


def grad_cam(
    model: nn.Module,
    images: torch.Tensor,
    classes: Classes = None,
    *,
    layer: str,
    relu: bool = True,
    enlarged: bool = True,
) -> torch.Tensor:
    """Return the layer's maps, each weighted with the mean of its gradient, summed: (N, H, W).

    Selvaraju and others (2017), equations 1 and 2. With ``relu=False``, on the last layer of a network that fits
    :func:`cam`, it is CAM divided by the number of places in a map.

    Parameters
    ----------
    layer : str
        Whose maps are weighted, by its name in ``model.named_modules()``; mostly the last one that has maps.
    relu : bool
        Keep only what speaks for the class, as the paper does.
    enlarged : bool
        To the size of the images, bilinearly; else the map has the size of the layer's maps, (N, h, w).

    Raises
    ------
    ValueError
        When the layer is unknown, did not run once, has no maps, or no influence on the score.
    """
    with _examined(model, images), capture(model, layer, graph=True, every=True) as seen:
        # The images ask for gradients, so that there are some even where all parameters are frozen.
        scores = _differentiable(_scores(model, images.detach().clone().requires_grad_(), classes))
        maps = _only_maps(seen, layer)
        slopes = torch.autograd.grad(scores.sum(), maps, allow_unused=True)[0] if maps.requires_grad else None
    if slopes is None:
        raise ValueError(
            f"the maps of {layer!r} have no influence on the score; name a layer that lies on the way to it."
        )
    weights = slopes.mean((2, 3))  # (N, K): one weight for each map
    summed = torch.einsum("nk,nkhw->nhw", weights, maps.detach())
    return _finished(summed.relu() if relu else summed, images, enlarged)


def per_pixel(maps: torch.Tensor, how: str = "sum") -> torch.Tensor:
    """Return (N, H, W) from (N, C, H, W): the sum over the channels, or of absolute values, or the largest of these.

    Parameters
    ----------
    how : {"sum", "abs", "max"}
        ``"sum"`` keeps the sign, and the completeness of integrated gradients.
    """
    if maps.dim() == 3:
        return maps if how == "sum" else maps.abs()
    ways = {"sum": lambda t: t.sum(1), "abs": lambda t: t.abs().sum(1), "max": lambda t: t.abs().amax(1)}
    if maps.dim() != 4 or how not in ways:
        raise ValueError(
            f"maps have shape {tuple(maps.shape)} and how is {how!r}, but it takes (N, C, H, W) and one of {', '.join(ways)}."
        )
    return ways[how](maps)


def rank_correlation(first: torch.Tensor, second: torch.Tensor) -> torch.Tensor:
    """Return Spearman's rank correlation of two maps of each image, (N, …) and (N, …) → float64 (N,).

    1 when both put the pixels in the same order, 0 when the orders have nothing to do with each other; values that are
    equal share their mean rank. NaN for a map that is the same everywhere, which has no order.
    """
    if first.shape != second.shape or first.dim() < 2:
        raise ValueError(
            f"the maps have shapes {tuple(first.shape)} and {tuple(second.shape)}, but they must be the same, (N, H, W)."
        )
    ranks = []
    for maps in (first, second):
        rows = maps.detach().flatten(1).double()
        ordered = rows.sort(1).values
        # Between the number of smaller values and the number of those that are not larger.
        rank = (torch.searchsorted(ordered, rows) + torch.searchsorted(ordered, rows, right=True)).double()
        ranks.append(rank - rank.mean(1, keepdim=True))
    a, b = ranks
    return (a * b).sum(1) / (a.square().sum(1) * b.square().sum(1)).sqrt()


@contextmanager
def _examined(model: nn.Module, images: torch.Tensor) -> Iterator[None]:
    """Check the images; put the model into evaluation mode, with gradients, and every part back into its own mode."""
    check_batch(images)
    check_together(model, images)
    # The caller may stand in no_grad or inference_mode; what is computed here has its own graph.
    with evaluating(model), torch.inference_mode(False), torch.enable_grad():
        yield


def _chosen(model: nn.Module, images: torch.Tensor, classes: Classes) -> torch.Tensor:
    """Return one class for each image, so that passes over changed images explain the same ones."""
    with _examined(model, images), torch.no_grad():
        return as_classes(classes, logits_of(model, images))


def _scores(model: nn.Module, images: torch.Tensor, classes: Classes) -> torch.Tensor:
    """Return the logit of each image's class, (N,)."""
    logits = logits_of(model, images)
    return logits.gather(1, as_classes(classes, logits)[:, None])[:, 0]


def _differentiable(scores: torch.Tensor) -> torch.Tensor:
    if not scores.requires_grad:
        raise ValueError(
            "the scores have no gradient: the model's forward runs under torch.no_grad(), detaches its maps or rounds; "
            "explain it without gradients, by occlusion."
        )
    return scores


def _only_maps(seen: dict[str, list[torch.Tensor]], layer: str) -> torch.Tensor:
    """Return the maps of a layer that ran once."""
    runs = seen.get(layer, [])
    if len(runs) != 1:
        what = "did not run" if not runs else f"ran {len(runs)} times"
        raise ValueError(f"the layer {layer!r} {what} in the pass, but it must run once; name another layer.")
    if runs[0].dim() != 4:
        raise ValueError(
            f"the layer {layer!r} gives {tuple(runs[0].shape)}, but maps (N, K, h, w) are needed; name a layer before the "
            "maps are flattened."
        )
    return runs[0]


def _finished(maps: torch.Tensor, images: torch.Tensor, enlarged: bool) -> torch.Tensor:
    if not enlarged:
        return maps
    return F.interpolate(maps[:, None], images.shape[2:], mode="bilinear", align_corners=False)[:, 0]


def _filled(value: float | torch.Tensor, images: torch.Tensor, name: str) -> torch.Tensor:
    """Return a number, colour or image in the shape of the images."""
    value = torch.as_tensor(value, dtype=images.dtype, device=images.device).detach()
    try:
        return value.expand_as(images)
    except RuntimeError:
        raise ValueError(
            f"the {name} has shape {tuple(value.shape)}, which does not fit images {tuple(images.shape)}; a colour is "
            "(C, 1, 1), an image (C, H, W)."
        ) from None


def _pair(name: str, value: int | tuple[int, int]) -> tuple[int, int]:
    pair = tuple(value) if isinstance(value, (tuple, list)) else (value, value)
    if len(pair) != 2:
        raise ValueError(f"{name} is {value!r}, but it must be a whole number, or two.")
    for side in pair:
        check_counts(**{name: side})
    return pair
