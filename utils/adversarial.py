"""Images changed by so little that nobody sees it, so that a network errs: FGSM and PGD in a box around each image.

Images are float (N, C, H, W) in [0, 1]; ``mean`` and ``std`` standardise them on their way into the network. The budget
is the most that a pixel may change in one channel, in the same units: ``8 / 255`` is eight of the 255 grey steps. The
size of a change is therefore its largest entry, the L∞ norm. The model is left as it was: mode, gradients of the
parameters, buffers. Chapter: What networks get wrong.

Sources: I. Goodfellow, J. Shlens and C. Szegedy, "Explaining and harnessing adversarial examples", ICLR 2015 (arXiv
1412.6572); A. Madry, A. Makelov, L. Schmidt, D. Tsipras and A. Vladu, "Towards deep learning models resistant to
adversarial attacks", ICLR 2018 (arXiv 1706.06083); on gradients that are hidden: A. Athalye, N. Carlini and D. Wagner,
"Obfuscated gradients give a false sense of security", ICML 2018 (arXiv 1802.00420).
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence

import torch
from torch import nn
from torch.nn import functional as F

from utils.activations import evaluating
from utils.models.inputs import Classes, as_classes, check_batch, check_counts, check_together, logits_of

Constants = float | Sequence[float]

# The arguments that the attacks share, and what both raise:
#
# model : nn.Module
#     Gives logits (N, classes) for standardised images. It works in evaluation mode here, whatever its mode was.
# images : float tensor (N, C, H, W) in [0, 1]
#     Before standardisation, on the model's device.
# labels : int, sequence of int, or int64 tensor (N,)
#     The right answers, from which the attack leads away; with ``targeted`` the wrong ones that it leads to. None for the
#     model's own answers to ``images``.
# budget : float
#     The most that a value of an image may change, from 0 to 1.
# mean, std : number, or one for each channel
#     The network's input is (image − mean) / std.
#
# TypeError for images or labels of another type; ValueError when a shape does not fit, a value lies outside [0, 1], a
# class does not exist, a budget or step makes no sense, or the loss has no gradient. UserWarning when the gradient of an
# image is 0 in every pixel: then the attack knows no direction, and that it fails says nothing about the network.


def fgsm(
    model: nn.Module,
    images: torch.Tensor,
    labels: Classes,
    budget: float,
    *,
    mean: Constants = 0.0,
    std: Constants = 1.0,
    targeted: bool = False,
) -> torch.Tensor:
    """Return the images, every pixel moved by the whole budget in the direction in which the loss rises.

    The fast gradient sign method, Goodfellow and others (2015), section 4: ``images + budget * gradient.sign()``, kept in
    [0, 1]. With ``targeted`` the loss of the wrong label falls instead. Where the gradient is 0 a pixel stays.

    Returns
    -------
    float tensor (N, C, H, W)
        In [0, 1], none further than ``budget`` from its image.
    """
    with torch.inference_mode(False):
        work = _Attack(model, images, labels, budget, mean, std, targeted)
        return work.run(work.images, steps=1, step=work.budget)


def pgd(
    model: nn.Module,
    images: torch.Tensor,
    labels: Classes,
    budget: float,
    *,
    steps: int = 10,
    step: float | None = None,
    random_start: bool = True,
    restarts: int = 1,
    seed: int = 0,
    mean: Constants = 0.0,
    std: Constants = 1.0,
    targeted: bool = False,
) -> torch.Tensor:
    """Return images that many small steps have made wrong, each step followed by a projection into the box.

    Projected gradient descent, Madry and others (2018), section 2.1. The box holds the images that lie in [0, 1] and no
    further than ``budget`` from the original. One step of the size of the budget without a random start is :func:`fgsm`.

    Parameters
    ----------
    steps : int
        Gradients for each image and start.
    step : float, optional
        By how much every pixel moves in a step; 2.5 × budget / steps when left out, so that an attack can cross the box.
    random_start : bool
        Begin at a random place of the box instead of at the image.
    restarts : int
        How often to begin. Of several ends that one is kept for each image that fools the model, or else has the worst
        loss. More than one needs ``random_start``.
    seed : int
        Of the random starts; the same seed gives the same ones on every device.

    Returns
    -------
    float tensor (N, C, H, W)
        In [0, 1], none further than ``budget`` from its image.
    """
    check_counts(steps=steps, restarts=restarts)
    if restarts > 1 and not random_start:
        raise ValueError(f"{restarts} restarts without a random start are {restarts} times the same; set restarts=1.")
    with torch.inference_mode(False):
        work = _Attack(model, images, labels, budget, mean, std, targeted)
        step = 2.5 * work.budget / steps if step is None else _share("step", step)
        draw = torch.Generator().manual_seed(seed)
        ends = []
        for _ in range(restarts):
            start = work.images
            if random_start:
                away = 2 * torch.rand(start.shape, generator=draw).to(start) - 1
                start = project(start + work.budget * away, start, work.budget)
            ends.append(work.run(start, steps, step))
        if restarts == 1:
            return ends[0]
        best = torch.stack([work.success(end) for end in ends]).argmax(0)
        return torch.stack(ends)[best, torch.arange(len(best), device=best.device)]


def noise(images: torch.Tensor, budget: float, *, seed: int = 0) -> torch.Tensor:
    """Return the images, every value moved up or down by the whole budget, by the toss of a coin, and kept in [0, 1].

    The control for an attack: as far away from the image as :func:`fgsm` goes, in no particular direction.
    """
    _check_images(images)
    budget = _share("budget", budget)
    coins = torch.randint(0, 2, images.shape, generator=torch.Generator().manual_seed(seed)).to(images)
    return project(images + budget * (2 * coins - 1), images, budget)


def project(changed: torch.Tensor, images: torch.Tensor, budget: float) -> torch.Tensor:
    """Return the nearest images that lie in [0, 1] and nowhere further than ``budget`` from ``images``.

    Exact: the difference to ``images`` is at most ``budget`` also in the last bit, though neither sum nor difference of two
    floats is.
    """
    low, high = _box(images, _share("budget", budget))
    return torch.minimum(torch.maximum(changed, low), high)


def to_bytes(changed: torch.Tensor, images: torch.Tensor, budget: float) -> torch.Tensor:
    """Return changed images as uint8, as a PNG file stores them, rounded *towards* the original images.

    Rounding to the nearest byte could leave the budget; here every byte is at most ``budget × 255`` from the original's.
    What survives this is an attack that can be saved and sent.

    Parameters
    ----------
    changed, images : float tensors (N, C, H, W) in [0, 1]
        ``images`` hold whole bytes: multiples of 1/255.

    Raises
    ------
    ValueError
        When ``images`` were no bytes, or ``changed`` is further away than the budget.
    """
    budget = _share("budget", budget)
    _check_images(changed)
    _check_images(images)
    if changed.shape != images.shape:
        raise ValueError(
            f"the changed images are {tuple(changed.shape)} and the images {tuple(images.shape)}; give pairs."
        )
    original = (255 * images.detach().double()).round()
    if (original - 255 * images.double()).abs().max() > 1e-3:
        raise ValueError(
            "the images hold values between the bytes, so they have no bytes to start from; round them first."
        )
    moved = 255 * (changed.detach().double() - images.double())
    # A change of whole bytes is not quite whole in float32; it shall not lose its last step.
    if moved.abs().max() > 255 * budget + 1e-3:
        raise ValueError(
            f"the images were changed by up to {moved.abs().max().item():.3f} bytes, but the budget is {255 * budget:.3f}."
        )
    return (original + torch.trunc(moved + 1e-3 * moved.sign())).clamp(0, 255).to(torch.uint8)


class _Attack:
    """What an attack holds on to: the model, the box, the labels."""

    def __init__(
        self,
        model: nn.Module,
        images: torch.Tensor,
        labels: Classes,
        budget: float,
        mean: Constants,
        std: Constants,
        targeted: bool,
    ) -> None:
        _check_images(images)
        check_together(model, images)
        if targeted and labels is None:
            raise ValueError("a targeted attack needs the classes to lead to; give labels.")
        self.model, self.budget, self.targeted = model, _share("budget", budget), targeted
        self.mean, self.std = (_constants(n, v, images) for n, v in (("mean", mean), ("std", std)))
        if (self.std <= 0).any():
            raise ValueError(f"std is {std!r}, but every entry must be larger than 0.")
        self.images = images.detach().clone()  # images made in inference mode cannot be differentiated by, copies can
        with evaluating(model), torch.no_grad():
            self.labels = as_classes(labels, self.logits(self.images), "labels")

    def logits(self, images: torch.Tensor) -> torch.Tensor:
        logits = logits_of(self.model, (images - self.mean) / self.std)
        if logits.shape[1] < 2:
            raise ValueError("the model has a single class, and an attack needs another one to lead to.")
        return logits

    def losses(self, logits: torch.Tensor) -> torch.Tensor:
        """Return what the attack makes large, (N,): the log of the odds against the label, with ``targeted`` for it.

        The cross-entropy is softplus of this, which rises with it: the gradients have the same signs. But where the
        network is sure, the slope of softplus is rounded to 0 and hides the gradient, and this has none.
        """
        own = F.one_hot(self.labels, logits.shape[1]).bool()
        odds = logits.masked_fill(own, -torch.inf).logsumexp(1) - logits[own]
        return -odds if self.targeted else odds

    def run(self, start: torch.Tensor, steps: int, step: float) -> torch.Tensor:
        """Return the images after the steps."""
        x, first = start, True
        for _ in range(steps):
            x = x.detach().clone().requires_grad_()
            with evaluating(self.model), torch.enable_grad():  # the caller may stand in no_grad
                losses = self.losses(self.logits(x))
                if not losses.requires_grad:
                    raise ValueError(
                        "the loss has no gradient: the model's forward runs under torch.no_grad(), detaches its maps or "
                        "rounds; attack a copy without that, or another network, and try whether its images fool this one."
                    )
                # In evaluation mode no image sees another one, so the gradient of the sum holds each image's own.
                slope = torch.autograd.grad(losses.sum(), x)[0]
            if first and (blind := (slope == 0).flatten(1).all(1)).any():
                warnings.warn(
                    f"the gradient is 0 everywhere for {int(blind.sum())} of {len(x)} images: it is masked, by rounding or "
                    "saturation inside the network; the attack has no direction there, and its failure is no sign of robustness.",
                    stacklevel=3,  # the line that called fgsm or pgd
                )
            first = False
            x = project(x.detach() + step * slope.sign(), self.images, self.budget)
        return x

    def success(self, images: torch.Tensor) -> torch.Tensor:
        """Return a number for each image: larger is a better attack, and those that fool are above all others."""
        with evaluating(self.model), torch.no_grad():
            logits = self.logits(images)
            reached = (logits.argmax(1) == self.labels) == self.targeted
            # Into (0, 1) or (1, 2), in the order of the losses.
            return reached.double() + 0.5 + self.losses(logits).atan() / torch.pi


def _box(images: torch.Tensor, budget: float) -> tuple[torch.Tensor, torch.Tensor]:
    """Return the least and the largest value that each pixel may take."""
    middle = images.double()
    low, high = (middle - budget).to(images.dtype), (middle + budget).to(images.dtype)
    # Rounded to the nearest float, half of them outwards: one float further in.
    low = torch.where(middle - low.double() > budget, torch.nextafter(low, images), low)
    high = torch.where(high.double() - middle > budget, torch.nextafter(high, images), high)
    return low.clamp(min=0), high.clamp(max=1)


def _share(name: str, value: float) -> float:
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 <= value <= 1:
        raise ValueError(
            f"the {name} is {value!r}, but it must be a number from 0 to 1, in units of images in [0, 1]: 8 / 255 for eight "
            "grey steps."
        )
    return float(value)


def _constants(name: str, values: Constants, images: torch.Tensor) -> torch.Tensor:
    found = torch.as_tensor(values, dtype=images.dtype, device=images.device)
    if found.dim() > 1 or found.numel() not in (1, images.shape[1]):
        raise ValueError(
            f"{name} is {values!r}, but it must be one number, or one for each of {images.shape[1]} channels."
        )
    return found.view(-1, 1, 1)


def _check_images(images: torch.Tensor) -> None:
    check_batch(images, "in [0, 1]", "write images.float() / 255")
    low, high = images.min().item(), images.max().item()
    if not (low >= 0 and high <= 1):
        raise ValueError(
            f"the images go from {low:.3g} to {high:.3g}, but must lie in [0, 1]; pass them as they are before "
            "standardisation, and give mean and std."
        )
