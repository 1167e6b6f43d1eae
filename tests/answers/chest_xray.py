"""Answers to the exercises of chapter Project: chest X-rays: right ones written differently, and plausible wrong ones."""

from __future__ import annotations

import math

import torch


def area_by_loops(scores, labels):
    won = pairs = 0
    for s, y in zip(scores.tolist(), labels.tolist(), strict=True):
        for other, label in zip(scores.tolist(), labels.tolist(), strict=True):
            if y == 1 and label == 0:
                pairs += 1
                won += 1 if s > other else 0.5 if s == other else 0
    return won / pairs


def area_by_ranks(scores, labels):
    """Mann and Whitney: the ranks of the positives, ties sharing their mean rank."""
    order = scores.sort().values
    rank = (torch.searchsorted(order, scores) + torch.searchsorted(order, scores, right=True) + 1).double() / 2
    n = int(labels.sum())
    return ((rank[labels == 1].sum() - n * (n + 1) / 2) / (n * (len(labels) - n))).item()


def wins(scores, labels):
    return scores[labels == 1][:, None] - scores[labels == 0]


def threshold_by_rank(scores, labels, specificity):
    negatives = sorted(scores[labels == 0].tolist())
    return negatives[math.ceil(specificity * len(negatives) - 1e-9) - 1]


def threshold_by_roc(scores, labels, specificity):
    best = math.inf
    for t in scores[labels == 0].tolist():
        cleared = sum(s <= t for s in scores[labels == 0].tolist())
        if cleared >= round(specificity * int((labels == 0).sum()), 9):
            best = min(best, t)
    return best


def spoiled(scores, labels, specificity):
    scores[labels == 1] = -99.0
    return threshold_by_rank(scores, labels, specificity)


def reported(seen, seen_labels, scores, labels):
    cut = threshold_by_rank(seen, seen_labels, 0.9)
    positives, negatives = scores[labels == 1], scores[labels == 0]
    return cut, (positives > cut).double().mean().item(), (negatives <= cut).double().mean().item()


def on_test(seen, seen_labels, scores, labels):
    return reported(scores, labels, scores, labels)


def on_both(seen, seen_labels, scores, labels):
    cut = threshold_by_rank(torch.cat([seen, scores]), torch.cat([seen_labels, labels]), 0.9)
    return cut, *((part > cut).double().mean().item() for part in (scores[labels == 1], -scores[labels == 0]))


def of_called(seen, seen_labels, scores, labels):
    cut, _, specificity = reported(seen, seen_labels, scores, labels)
    above = scores > cut
    return cut, (labels[above] == 1).sum().item() / max(1, int(above.sum())), specificity


def rates(counts):
    (cleared, alarms), (missed, found) = counts.tolist()
    return found / (found + missed), cleared / (cleared + alarms)


def bayes(counts, prevalence):
    sensitivity, specificity = rates(counts)
    yes = sensitivity * prevalence
    return yes / (yes + (1 - specificity) * (1 - prevalence))


def by_odds(counts, prevalence):
    sensitivity, specificity = rates(counts)
    odds = prevalence / (1 - prevalence) * sensitivity / (1 - specificity)
    return odds / (1 + odds)


def odds(p):
    return p / (1 - p)


def shifted(scores, before, after):
    return (scores + math.log(odds(after)) - math.log(odds(before))).sigmoid()


def by_ratio(scores, before, after):
    ratio = scores.exp() * odds(after) / odds(before)
    return ratio / (1 + ratio)


RIGHT = {
    "area": [area_by_loops, area_by_ranks],
    "threshold": [threshold_by_rank, threshold_by_roc],
    "report": [reported, lambda *a: tuple(reported(*a))],
    "predictive_value": [bayes, by_odds],
    "probability_elsewhere": [shifted, by_ratio],
    "where_it_looks": ["bottom left"],
}

WRONG = {
    "area": {
        "counts nothing": lambda s, y: (wins(s, y) > 0).double().mean().item(),
        "counts as won": lambda s, y: (wins(s, y) >= 0).double().mean().item(),
        "negative scores higher": lambda s, y: area_by_loops(-s, y),
        "divide it by the number": lambda s, y: area_by_loops(s, y) * wins(s, y).numel(),
        "has no threshold": lambda s, y: ((s > 0) == (y == 1)).double().mean().item(),
        "must be a number": lambda s, y: None,
        "the result is 0.5": lambda s, y: 0.5,
    },
    "threshold": {
        "taken of all pictures": lambda s, y, p: threshold_by_rank(s, torch.zeros_like(y), p),
        "taken of the positives": lambda s, y, p: threshold_by_rank(s, 1 - y, p),
        "is no score": lambda s, y, p: s[y == 0].double().quantile(p).item(),
        "wrong end": lambda s, y, p: -threshold_by_rank(-s, y, p),
        "one place too high": lambda s, y, p: sorted(s[y == 0].tolist())[
            min(int((y == 0).sum()) - 1, math.ceil(p * int((y == 0).sum()) - 1e-9))
        ],
        "changed its arguments": spoiled,
        "must be a number": lambda s, y, p: s,
    },
    "report": {
        "choose it on the validation pictures": on_test,
        "divides by all who are called": of_called,
        "the result is": on_both,
        "must have 3": lambda *a: reported(*a)[1:],
        "share of false alarms": lambda *a: (*reported(*a)[:2], 1 - reported(*a)[2]),
        "must be a tuple": lambda *a: reported(*a)[0],
    },
    "predictive_value": {
        "not used": lambda n, p: (n[1, 1] / (n[0, 1] + n[1, 1])).item(),
        "of those called": lambda n, p: rates(n)[0],
        "weigh them with": lambda n, p: rates(n)[0] * p / (rates(n)[0] * p + 1 - rates(n)[1]),
        "exchanged": lambda n, p: bayes(n.T, p),
        "specificity itself": lambda n, p: rates(n)[0] * p / (rates(n)[0] * p + rates(n)[1] * (1 - p)),
        "must be a number": lambda n, p: None,
    },
    "probability_elsewhere": {
        "sign is wrong": lambda s, b, a: shifted(s, a, b),
        "odds change": lambda s, b, a: (s + math.log(a / b)).sigmoid(),
        "nothing was moved": lambda s, b, a: s.sigmoid(),
        "their sigmoid": lambda s, b, a: s + math.log(odds(a)) - math.log(odds(b)),
        "taken off": lambda s, b, a: (s + math.log(odds(a))).sigmoid(),
        "must be a tensor": lambda s, b, a: shifted(s, b, a).tolist(),
    },
    "where_it_looks": {
        "plate in half of all": "top left",
        "corner of the chapter": "top right",
        "nothing is ever drawn": "bottom right",
        "is not right": "the middle",
    },
}
