"""Measures of a yes-or-no test, compared with scikit-learn and SciPy; and the X-rays."""

from __future__ import annotations

import math
import random

import numpy as np
import pytest
import torch
from scipy import stats
from sklearn import metrics

from utils import screening
from utils.diagnosis import fit_temperature

NAN = float("nan")


def drawn(seed: int, number: int = 200, ties: bool = False):
    """Return scores (N,) and labels (N,) of both classes, with ties when asked for."""
    rng = random.Random(seed)
    labels = torch.tensor([1, 0, *(int(rng.random() < 0.3) for _ in range(number - 2))])
    scores = torch.tensor([rng.gauss(float(label), 1.0) for label in labels.tolist()])
    return (scores * 2).round() if ties else scores, labels


@pytest.mark.parametrize("ties", [False, True])
def test_roc_and_area_are_those_of_scikit_learn(ties):
    for seed in range(5):
        scores, labels = drawn(seed, ties=ties)
        curve = screening.roc(scores, labels)
        alarms, sensitivity, _ = metrics.roc_curve(labels, scores, drop_intermediate=False)
        np.testing.assert_allclose(curve.false_alarms, alarms)
        np.testing.assert_allclose(curve.sensitivity, sensitivity)
        area = screening.auc(scores, labels)
        assert area == pytest.approx(metrics.roc_auc_score(labels, scores))
        assert area == pytest.approx(torch.trapezoid(curve.sensitivity, curve.false_alarms).item())
        assert screening.auc(-scores, labels) == pytest.approx(1 - area)
    assert screening.auc(torch.zeros(6), torch.tensor([0, 1, 0, 0, 1, 0])) == 0.5


@pytest.mark.parametrize("ties", [False, True])
def test_threshold_reaches_the_specificity_and_no_smaller_one_does(ties):
    for seed in range(5):
        scores, labels = drawn(seed, ties=ties)
        for wanted in (0.1, 0.5, 0.9, 0.95, 1.0):
            threshold = screening.threshold_at(scores, labels, wanted)
            assert screening.outcome(scores, labels, threshold).specificity >= wanted - 1e-12
            lower = scores[scores < threshold]
            if len(lower):
                assert screening.outcome(scores, labels, lower.max().item()).specificity < wanted
    negatives = torch.arange(20.0)
    labels = torch.tensor([0] * 20 + [1])
    assert screening.threshold_at(torch.cat([negatives, torch.ones(1)]), labels, 0.95) == 18


def test_outcome_counts_what_the_confusion_matrix_counts():
    scores, labels = drawn(3)
    found = screening.outcome(scores, labels, 0.4)
    (cleared, alarms), (missed, hits) = metrics.confusion_matrix(labels, scores > 0.4)
    assert (found.found, found.missed, found.alarms, found.cleared) == (hits, missed, alarms, cleared)
    assert found.sensitivity == pytest.approx(metrics.recall_score(labels, scores > 0.4))
    assert found.accuracy == pytest.approx(metrics.accuracy_score(labels, scores > 0.4))
    assert found.intervals() == (screening.wilson(hits, hits + missed), screening.wilson(cleared, cleared + alarms))


def test_wilson_is_that_of_scipy():
    for count, number in ((0, 10), (3, 10), (10, 10), (57, 60), (1, 1000)):
        for confidence in (0.8, 0.95):
            theirs = stats.binomtest(count, number).proportion_ci(confidence, method="wilson")
            np.testing.assert_allclose(screening.wilson(count, number, confidence), theirs, atol=1e-12)
    assert screening.wilson(0, 10)[0] == 0 and screening.wilson(10, 10)[1] == 1


def test_bootstrap_of_the_area():
    scores, labels = drawn(1, 300)
    low, high = screening.auc_interval(scores, labels, draws=400)
    area = screening.auc(scores, labels)
    assert low < area < high and (low, high) == screening.auc_interval(scores, labels, draws=400)
    assert (low, high) != screening.auc_interval(scores, labels, draws=400, seed=1)
    positives, negatives = scores[labels == 1].numpy(), scores[labels == 0].numpy()

    def area_of(p, n):
        return (p[:, None] > n[None]).mean() + (p[:, None] == n[None]).mean() / 2

    theirs = stats.bootstrap(
        (positives, negatives), area_of, n_resamples=400, vectorized=False, method="percentile", rng=0
    ).confidence_interval
    assert abs(low - theirs.low) < 0.015 and abs(high - theirs.high) < 0.015


def test_predictive_values_are_the_shares_in_a_crowd():
    scores, labels = drawn(2, 500)
    found = screening.outcome(scores, labels, 0.5)
    prevalence = (found.found + found.missed) / 500
    positive, negative = screening.predictive_values(found.sensitivity, found.specificity, prevalence)
    assert positive == pytest.approx(metrics.precision_score(labels, scores > 0.5))
    assert negative == pytest.approx(metrics.precision_score(labels, scores > 0.5, pos_label=0))
    assert screening.predictive_values(0.9, 0.9, 0.5) == pytest.approx((0.9, 0.9))
    assert math.isnan(screening.predictive_values(0.0, 1.0, 0.5)[0])


def test_reliability_of_the_probability():
    from sklearn.calibration import calibration_curve

    scores, labels = drawn(4, 1000)
    probability = scores.sigmoid()
    bins = screening.reliability(probability, labels)
    shares, means = calibration_curve(labels, probability, n_bins=10)
    there = bins.share > 0
    np.testing.assert_allclose(bins.accuracy[there], shares, atol=1e-6)
    np.testing.assert_allclose(bins.confidence[there], means, atol=1e-6)
    weights = bins.share[there].numpy()
    assert bins.error == pytest.approx((weights * abs(shares - means)).sum(), abs=1e-6)
    assert screening.reliability(torch.full((10,), 0.3), torch.tensor([1] * 3 + [0] * 7)).error == pytest.approx(
        0, abs=1e-6
    )


def test_a_temperature_changes_no_rank():
    scores, labels = drawn(5)
    logits = torch.stack([torch.zeros_like(scores), 3 * scores], 1)
    temperature = fit_temperature(logits, labels)
    assert temperature > 1
    before, after = screening.score_of(logits), screening.score_of(logits / temperature)
    assert screening.auc(before, labels) == screening.auc(after, labels)
    assert screening.reliability(after.sigmoid(), labels).error < screening.reliability(before.sigmoid(), labels).error


TWO = torch.tensor([0, 1])


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: screening.auc(torch.zeros(3), TWO), r"\(3,\) and the labels \(2,\)"),
        (lambda: screening.roc(torch.zeros(0), torch.zeros(0)), "one number for each image"),
        (lambda: screening.auc(torch.tensor([0.0, NAN]), TWO), "1 of 2 scores are NaN"),
        (lambda: screening.auc(torch.zeros(2), torch.ones(2)), "all 2 images are positive; both classes"),
        (lambda: screening.roc(torch.zeros(2), torch.zeros(2)), "all 2 images are negative"),
        (lambda: screening.outcome(torch.zeros(2), torch.tensor([0, 2]), 0.0), "labels hold .*2.*must be 0"),
        (lambda: screening.threshold_at(torch.zeros(2), TWO, 95), "specificity is 95"),
        (lambda: screening.wilson(3, 2), "3 of 2 is no share"),
        (lambda: screening.wilson(0, 0), "0 of 0 is no share"),
        (lambda: screening.wilson(1, 2, 95), "confidence is 95"),
        (lambda: screening.auc_interval(torch.zeros(2), TWO, draws=0), "draws is 0"),
        (lambda: screening.predictive_values(0.9, 0.9, 10), "prevalence is 10"),
        (lambda: screening.reliability(torch.tensor([0.5, 1.5]), TWO), "from 0.5 to 1.5"),
        (lambda: screening.reliability(torch.tensor([0.5, 0.5]), TWO, 0), "bins is 0"),
        (lambda: screening.score_of(torch.zeros(4, 3)), r"\(4, 3\).*\(N, 2\)"),
    ],
)
def test_bad_input_is_named(call, words):
    with pytest.raises(ValueError, match=words):
        call()
