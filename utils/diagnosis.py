"""What is wrong with a network: can its confidence be believed, and does it learn at all? Chapter: Diagnosis."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import nn
from torch.nn import functional as F


@dataclass(frozen=True)
class Reliability:
    """A reliability diagram: float32 (bins,) each; bins without an answer hold 0.

    Attributes
    ----------
    share : tensor
        Share of all answers in each bin; the sum is 1.
    confidence, accuracy : tensor
        Mean confidence, and share of right answers, in each bin.
    """

    share: torch.Tensor
    confidence: torch.Tensor
    accuracy: torch.Tensor

    @property
    def error(self) -> float:
        """The expected calibration error (ECE): the mean distance of accuracy and confidence, a share in [0, 1]."""
        return (self.share * (self.accuracy - self.confidence).abs()).sum().item()


def reliability(logits: torch.Tensor, labels: torch.Tensor, bins: int = 10) -> Reliability:
    """Sort answers into bins of equal width by their confidence, the largest probability.

    Bin ``b`` holds confidences in (b / bins, (b + 1) / bins]. Source: Naeini, Cooper and Hauskrecht, "Obtaining
    well calibrated probabilities using Bayesian binning", 2015; Guo et al., "On calibration of modern neural
    networks", 2017, equations 2 and 3.

    Parameters
    ----------
    logits : float tensor (N, classes)
    labels : int64 tensor (N,)
    bins : int

    Raises
    ------
    ValueError
        When the shapes do not fit, there is no answer, or there is no bin.
    """
    _check(logits, labels)
    if isinstance(bins, bool) or not isinstance(bins, int) or bins < 1:
        raise ValueError(f"bins is {bins!r}, but it must be a whole number, at least 1.")
    confidence, answer = logits.detach().float().softmax(1).max(1)
    place = (confidence * bins).ceil().long().clamp(1, bins) - 1
    member = F.one_hot(place, bins).float()  # (N, bins): 1 in the answer's bin
    number = member.sum(0)
    right = (answer == labels).float()
    accuracy, mean = (values @ member / number.clamp(min=1) for values in (right, confidence))
    return Reliability(number / len(labels), mean, accuracy)


def fit_temperature(logits: torch.Tensor, labels: torch.Tensor) -> float:
    """Return the temperature T > 0 for which the cross-entropy of ``logits / T`` is smallest.

    Fit it on validation images, never on the images that are judged. The loss is convex in 1/T, so bisecting its
    slope finds the minimum. Source: Guo et al., 2017, section 4.2.

    Parameters
    ----------
    logits : float tensor (N, classes)
    labels : int64 tensor (N,)

    Returns
    -------
    float
        Between 0.01 and 100: those ends when every answer is right, or when guessing is better.

    Raises
    ------
    ValueError
        When the shapes do not fit or there is no answer.
    """
    _check(logits, labels)
    logits = logits.detach().double()
    true = logits.gather(1, labels[:, None])[:, 0]

    def slope(temperature: float) -> float:
        """Derivative of the mean loss by 1/T: expected logit minus true logit."""
        return ((logits / temperature).softmax(1) * logits).sum(1).sub(true).mean().item()

    low, high = 0.01, 100.0
    for _ in range(60):
        middle = (low * high) ** 0.5
        if slope(middle) > 0:  # a smaller 1/T lowers the loss
            low = middle
        else:
            high = middle
    return (low * high) ** 0.5


@dataclass(frozen=True)
class Examination:
    """What a few steps on one batch tell of a network.

    Attributes
    ----------
    first, last : float
        Loss before the first and before the last step.
    gradients : dict of str to float
        Norm of the first gradient of every weight (matrix or kernel, not the biases), by name; 0 where none came.
    moved, parameters : int
        Number of parameter tensors that changed, and of all.
    """

    first: float
    last: float
    gradients: dict[str, float]
    moved: int
    parameters: int

    @property
    def smallest(self) -> float:
        """The smallest of the gradient norms."""
        return min(self.gradients.values())

    def __str__(self) -> str:
        return (
            f"loss ≈ {self.first:.3f} → ≈ {self.last:.3f}, smallest gradient ≈ {self.smallest:.3f}, "
            f"{self.moved} of {self.parameters} moved"
        )


def examine(
    model: nn.Module,
    inputs: torch.Tensor,
    labels: torch.Tensor,
    *,
    optimizer: torch.optim.Optimizer | None = None,
    loss: Callable[[torch.Tensor, torch.Tensor], torch.Tensor] = F.cross_entropy,
    steps: int = 60,
) -> Examination:
    """Train ``model`` in place on one batch alone and note what a sound network would show.

    A sound classifier starts near the logarithm of the number of classes, has a gradient in every layer, moves all
    its parameters and knows some 32 images by heart after 60 steps.

    Parameters
    ----------
    model : nn.Module
        Left in training mode.
    inputs : float tensor (n, C, H, W)
    labels : int64 tensor (n,)
    optimizer : torch.optim.Optimizer, optional
        Adam with the learning rate 0.002 when left out.
    loss : callable(logits, labels) -> mean over the batch
    steps : int
        At least 1.

    Raises
    ------
    ValueError
        When there is no step to take, or the model has no weight.
    """
    if isinstance(steps, bool) or not isinstance(steps, int) or steps < 1:
        raise ValueError(f"steps is {steps!r}, but it must be a whole number, at least 1.")
    weights = {name: p for name, p in model.named_parameters() if p.dim() > 1}
    if not weights:
        raise ValueError(f"the model ({type(model).__name__}) has no weight to examine; give one with layers.")
    optimizer = optimizer or torch.optim.Adam(model.parameters(), lr=2e-3)
    start = [p.detach().clone() for p in model.parameters()]
    losses, gradients = [], {}
    model.train()
    for step in range(steps):
        value = loss(model(inputs), labels)
        optimizer.zero_grad()
        if value.requires_grad:  # not when everything is frozen: then nothing moves, which is what to report
            value.backward()
        if step == 0:
            gradients = {name: 0.0 if p.grad is None else p.grad.norm().item() for name, p in weights.items()}
        optimizer.step()
        losses.append(value.item())
    pairs = zip(start, model.parameters(), strict=True)
    moved = sum(not torch.equal(before, after) for before, after in pairs)
    return Examination(losses[0], losses[-1], gradients, moved, len(start))


def _check(logits: torch.Tensor, labels: torch.Tensor) -> None:
    if logits.dim() != 2 or labels.shape != logits.shape[:1] or len(labels) == 0:
        raise ValueError(
            f"the logits have shape {tuple(logits.shape)} and the labels {tuple(labels.shape)}, "
            "but they must be (N, classes) and (N,) with N at least 1."
        )
