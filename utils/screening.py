"""How good is a test that says yes or no: ROC curve, thresholds, intervals, calibration, predictive values.

A *score* is any number that is larger where the network believes in the positive class (label 1). An image is called
positive when its score lies *above* the threshold. Chapter: Project: chest X-rays.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from statistics import NormalDist

import torch

from utils.diagnosis import Reliability
from utils.models.inputs import check_counts


@dataclass(frozen=True)
class Roc:
    """A ROC curve: one point for every threshold that tells scores apart, from "all negative" to "all positive".

    Attributes
    ----------
    threshold : tensor (M,)
        Falling, from the largest score to minus infinity.
    sensitivity : tensor (M,)
        Share of the positives whose score lies above the threshold.
    false_alarms : tensor (M,)
        Share of the negatives whose score lies above it: 1 − specificity.
    """

    threshold: torch.Tensor
    sensitivity: torch.Tensor
    false_alarms: torch.Tensor


@dataclass(frozen=True)
class Outcome:
    """What a threshold does to a set of images, in counts.

    Attributes
    ----------
    found, missed : int
        Positives above the threshold, and those that are not.
    alarms, cleared : int
        Negatives above the threshold, and those that are not.
    """

    found: int
    missed: int
    alarms: int
    cleared: int

    @property
    def sensitivity(self) -> float:
        """Share of the positives that are found."""
        return self.found / (self.found + self.missed)

    @property
    def specificity(self) -> float:
        """Share of the negatives that are cleared."""
        return self.cleared / (self.cleared + self.alarms)

    @property
    def accuracy(self) -> float:
        """Share of right answers."""
        return (self.found + self.cleared) / (self.found + self.missed + self.alarms + self.cleared)

    def intervals(self, confidence: float = 0.95) -> tuple[tuple[float, float], tuple[float, float]]:
        """Return Wilson's intervals of sensitivity and specificity."""
        return (
            wilson(self.found, self.found + self.missed, confidence),
            wilson(self.cleared, self.cleared + self.alarms, confidence),
        )


def roc(scores: torch.Tensor, labels: torch.Tensor) -> Roc:
    """Return the ROC curve. Equal scores pass the threshold together, so ties give a slanted piece.

    Parameters
    ----------
    scores : tensor (N,)
    labels : tensor (N,) of 0 and 1

    Raises
    ------
    ValueError
        When shapes differ, a score is NaN, a label is neither 0 nor 1, or one class is missing.
    """
    scores, positive = _checked(scores, labels)
    values = scores.unique().flip(0)
    threshold = torch.cat([values, values.new_tensor([-math.inf])])
    # The share above a threshold: one minus that of the scores up to it.
    sensitivity, false_alarms = (
        1 - torch.searchsorted(part.sort().values, threshold, right=True).double() / len(part)
        for part in (scores[positive], scores[~positive])
    )
    return Roc(threshold, sensitivity, false_alarms)


def auc(scores: torch.Tensor, labels: torch.Tensor) -> float:
    """Return the area under the ROC curve: how often a positive scores above a negative, a tie counting one half.

    Source: Hanley and McNeil, "The meaning and use of the area under a receiver operating characteristic (ROC) curve",
    Radiology 143, 1982. Raises as :func:`roc`.
    """
    scores, positive = _checked(scores, labels)
    return _pairs(scores[positive], scores[~positive]).item()


def threshold_at(scores: torch.Tensor, labels: torch.Tensor, specificity: float = 0.95) -> float:
    """Return the smallest threshold at which at least that share of the negatives is not above it.

    Choose it on validation images and apply it to others: on those it was chosen on, it flatters.

    Raises
    ------
    ValueError
        As :func:`roc`; and when the specificity is not in (0, 1].
    """
    scores, positive = _checked(scores, labels)
    if not 0 < specificity <= 1:
        raise ValueError(f"specificity is {specificity!r}, but it must lie above 0 and be at most 1.")
    negatives = scores[~positive].sort().values
    # 0.95 · 20 is 19.000000000000004 in floating point, and 19 are meant.
    return negatives[math.ceil(specificity * len(negatives) - 1e-9) - 1].item()


def outcome(scores: torch.Tensor, labels: torch.Tensor, threshold: float) -> Outcome:
    """Return how many images of each class lie above the threshold. Raises as :func:`roc`."""
    scores, positive = _checked(scores, labels)
    above = scores > threshold
    found, alarms = int((above & positive).sum()), int((above & ~positive).sum())
    number = int(positive.sum())
    return Outcome(found, number - found, alarms, len(scores) - number - alarms)


def wilson(count: int, number: int, confidence: float = 0.95) -> tuple[float, float]:
    """Return Wilson's interval of a share, ``count`` of ``number``.

    Those shares p whose own standard deviation √(p(1 − p)/n) leaves the observed share within z of them. It stays
    inside [0, 1] and has a width even for 0 of n. Source: E. B. Wilson, "Probable inference, the law of succession, and
    statistical inference", JASA 22, 1927.

    Raises
    ------
    ValueError
        When the counts do not fit together, or the confidence is not in (0, 1).
    """
    if number < 1 or not 0 <= count <= number:
        raise ValueError(
            f"{count} of {number} is no share; the count must lie between 0 and the number, which is at least 1."
        )
    z = _deviations(confidence)
    share = count / number
    middle = (share + z * z / (2 * number)) / (1 + z * z / number)
    half = z / (1 + z * z / number) * math.sqrt(share * (1 - share) / number + z * z / (4 * number**2))
    # At the ends the two terms are equal, but for rounding.
    return (0.0 if count == 0 else middle - half), (1.0 if count == number else middle + half)


def auc_interval(
    scores: torch.Tensor, labels: torch.Tensor, *, confidence: float = 0.95, draws: int = 1000, seed: int = 0
) -> tuple[float, float]:
    """Return a bootstrap interval of the AUC: percentiles over sets drawn with replacement from each class by itself.

    Source: Efron and Tibshirani, "An introduction to the bootstrap", 1993. It says what other images of the same kind
    could have given; it knows nothing of another hospital.

    Parameters
    ----------
    draws : int
        At least 1.
    seed : int
        The same seed gives the same interval.

    Raises
    ------
    ValueError
        As :func:`roc`; and when a number is out of its range.
    """
    scores, positive = _checked(scores, labels)
    _deviations(confidence)
    check_counts(draws=draws)
    generator = torch.Generator().manual_seed(seed)
    parts = [scores[positive].cpu(), scores[~positive].cpu()]
    areas = torch.empty(draws, dtype=torch.float64)
    for draw in range(draws):
        areas[draw] = _pairs(*(p[torch.randint(len(p), (len(p),), generator=generator)] for p in parts))
    tail = (1 - confidence) / 2
    low, high = areas.quantile(torch.tensor([tail, 1 - tail], dtype=torch.float64)).tolist()
    return low, high


def predictive_values(sensitivity: float, specificity: float, prevalence: float) -> tuple[float, float]:
    """Return the positive and the negative predictive value where a share ``prevalence`` is truly positive.

    By Bayes: of all above the threshold, the share that is positive; of all others, the share that is negative.
    NaN where nobody is on that side of the threshold.

    Raises
    ------
    ValueError
        When one of the three is not in [0, 1].
    """
    for name, value in (("sensitivity", sensitivity), ("specificity", specificity), ("prevalence", prevalence)):
        if not 0 <= value <= 1:
            raise ValueError(f"{name} is {value!r}, but it must lie between 0 and 1.")
    found, missed = sensitivity * prevalence, (1 - sensitivity) * prevalence
    cleared, alarms = specificity * (1 - prevalence), (1 - specificity) * (1 - prevalence)
    positive = found / (found + alarms) if found + alarms else math.nan
    return positive, (cleared / (cleared + missed) if cleared + missed else math.nan)


def reliability(probability: torch.Tensor, labels: torch.Tensor, bins: int = 10) -> Reliability:
    """Compare the probability of the positive class with the share of positives, in bins of equal width.

    :func:`utils.diagnosis.reliability` sorts by the confidence of the answer, which is above one half whatever the
    answer; where positives are rare, it looks good for a network that finds none. Here bin b holds probabilities in
    (b / bins, (b + 1) / bins]; ``confidence`` is their mean and ``accuracy`` the share of positives among them, and
    ``error`` the expected calibration error.

    Raises
    ------
    ValueError
        As :func:`roc`, but one class may be missing; and when a probability is not in [0, 1] or there is no bin.
    """
    probability, positive = _checked(probability, labels, both=False)
    if not (probability.min() >= 0 and probability.max() <= 1):
        raise ValueError(
            f"the probabilities go from {probability.min():.3g} to {probability.max():.3g}, not from 0 to 1."
        )
    if isinstance(bins, bool) or not isinstance(bins, int) or bins < 1:
        raise ValueError(f"bins is {bins!r}, but it must be a whole number, at least 1.")
    place = (probability * bins).ceil().long().clamp(1, bins) - 1
    number = place.bincount(minlength=bins).double()
    sums = (place.bincount(weights=w.double(), minlength=bins) for w in (probability, positive))
    mean, share = (total / number.clamp(min=1) for total in sums)
    return Reliability((number / len(probability)).float(), mean.float(), share.float())


def score_of(logits: torch.Tensor) -> torch.Tensor:
    """Return the log-odds of the second of two classes: logits (N, 2) → (N,). Its sigmoid is the probability.

    Raises
    ------
    ValueError
        When the logits are not (N, 2).
    """
    if logits.dim() != 2 or logits.shape[1] != 2:
        raise ValueError(f"the logits have shape {tuple(logits.shape)}, but they must be (N, 2): negative, positive.")
    return logits[:, 1] - logits[:, 0]


def _pairs(positives: torch.Tensor, negatives: torch.Tensor) -> torch.Tensor:
    """Return the share of pairs in which the positive scores higher, ties counting one half."""
    ordered = negatives.sort().values
    below = torch.searchsorted(ordered, positives) + torch.searchsorted(ordered, positives, right=True)
    return below.double().mean() / (2 * len(negatives))


def _deviations(confidence: float) -> float:
    """Return how many standard deviations of a normal distribution hold this share around its middle."""
    if not 0 < confidence < 1:
        raise ValueError(f"confidence is {confidence!r}, but it must lie between 0 and 1, such as 0.95.")
    return NormalDist().inv_cdf((1 + confidence) / 2)


def _checked(scores: torch.Tensor, labels: torch.Tensor, both: bool = True) -> tuple[torch.Tensor, torch.Tensor]:
    """Return scores in double precision and which of them are positives."""
    scores, labels = torch.as_tensor(scores).detach(), torch.as_tensor(labels).detach()
    if scores.dim() != 1 or scores.shape != labels.shape or not len(scores):
        raise ValueError(
            f"the scores have shape {tuple(scores.shape)} and the labels {tuple(labels.shape)}, but they must both be (N,), "
            "one number for each image."
        )
    scores = scores.double()
    if wrong := int(scores.isnan().sum()):
        raise ValueError(f"{wrong} of {len(scores)} scores are NaN, which lies neither above nor below a threshold.")
    if ((labels != 0) & (labels != 1)).any():
        raise ValueError(
            f"the labels hold {labels.unique().tolist()[:5]}, but they must be 0 (negative) and 1 (positive)."
        )
    positive = labels == 1
    if both and not 0 < int(positive.sum()) < len(positive):
        there = "positive" if positive[0] else "negative"
        raise ValueError(f"all {len(labels)} images are {there}; both classes are needed to tell them apart.")
    return scores, positive
