"""Checks of the exercises of chapter Project: chest X-rays."""

from __future__ import annotations

import math
import random
from collections.abc import Callable
from dataclasses import replace
from functools import cache
from typing import Any

import torch

from utils import runtime
from utils.data import SHAPES, Images, shapes, stamp
from utils.data.marker import CORNERS
from utils.exercises.core import Answer, Task
from utils.models.screener import Screener
from utils.training import OneCycle, fit

Scored = tuple[torch.Tensor, torch.Tensor]


def _scored(rng: random.Random, ties: bool) -> Scored:
    """Return scores and labels of both classes, rounded to whole numbers for ties."""
    number = rng.randint(4, 30)
    labels = [1, 0, *(int(rng.random() < 0.4) for _ in range(number - 2))]
    rng.shuffle(labels)
    scores = torch.tensor([rng.gauss(1.0 * label, 1.0) for label in labels])
    return (scores * 2).round() if ties else scores, torch.tensor(labels)


# Task 1: the AUC


def _area(scores: torch.Tensor, labels: torch.Tensor) -> float:
    from sklearn.metrics import roc_auc_score

    return float(roc_auc_score(labels.numpy(), scores.numpy()))


def _differences(scores: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    return scores[labels == 1][:, None] - scores[labels == 0]


def _areas(rng: random.Random) -> list[Scored]:
    fixed = [
        (torch.tensor([3.0, 2.0, 2.0, 2.0, 1.0]), torch.tensor([1, 1, 1, 0, 0])),
        (torch.zeros(4), torch.tensor([0, 1, 1, 0])),
        (torch.tensor([0.0, 1.0]), torch.tensor([0, 1])),
        (torch.tensor([1.0, 0.0, 0.5]), torch.tensor([0, 1, 0])),
    ]
    return fixed + [_scored(rng, ties=n % 2 == 0) for n in range(18)]


area = Task(
    "area",
    _area,
    _areas,
    mistakes={
        "a tie counts one half; here it counts nothing.": lambda s, y: (_differences(s, y) > 0).double().mean().item(),
        "a tie counts one half; here it counts as won.": lambda s, y: (_differences(s, y) >= 0).double().mean().item(),
        "this counts the pairs in which the negative scores higher.": lambda s, y: 1 - _area(s, y),
        "this is a number of pairs; divide it by the number of all pairs.": (
            lambda s, y: _area(s, y) * int(y.sum()) * int((1 - y).sum())
        ),
        "the pairs are one positive and one negative each; here all pairs of pictures are counted.": (
            lambda s, y: _area(s, y) * int(y.sum()) * int((1 - y).sum()) / len(y) ** 2
        ),
        "this is the accuracy at the threshold 0; the AUC has no threshold.": (
            lambda s, y: ((s > 0) == (y == 1)).double().mean().item()
        ),
    },
)


# Task 2: a threshold for a specificity


def _threshold(scores: torch.Tensor, labels: torch.Tensor, specificity: float) -> float:
    """By trying all of them."""
    negatives = scores[labels == 0]
    return min(t for t in negatives.tolist() if (negatives <= t).double().mean().item() >= specificity - 1e-12)


def _place(scores: torch.Tensor, labels: torch.Tensor, specificity: float, kept: int, move: int = 0) -> float:
    """Return the score at a rank among the negatives (0), the positives (1) or all (2)."""
    part = scores if kept == 2 else scores[labels == kept]
    rank = math.ceil(specificity * len(part) - 1e-9) - 1 + move
    return part.sort().values[max(0, min(rank, len(part) - 1))].item()


def _thresholds(rng: random.Random) -> list[tuple[torch.Tensor, torch.Tensor, float]]:
    twenty = torch.arange(20.0)[torch.randperm(20, generator=torch.Generator().manual_seed(1))]
    fixed = [
        (torch.cat([twenty, torch.tensor([30.0])]), torch.tensor([0] * 20 + [1]), 0.95),
        (torch.tensor([1.0, 1.0, 1.0, 2.0, 0.0]), torch.tensor([0, 0, 0, 0, 1]), 0.5),
        (torch.tensor([1.0, 5.0, 3.0]), torch.tensor([0, 1, 0]), 1.0),
    ]
    wanted = (0.5, 0.75, 0.8, 0.9, 0.95, 1.0)
    return fixed + [(*_scored(rng, ties=n % 3 == 0), wanted[n % len(wanted)]) for n in range(21)]


threshold = Task(
    "threshold",
    _threshold,
    _thresholds,
    mistakes={
        "the specificity is a share of the negatives; here the share is taken of all pictures.": (
            lambda s, y, p: _place(s, y, p, 2)
        ),
        "the specificity is a share of the negatives; here the share is taken of the positives.": (
            lambda s, y, p: _place(s, y, p, 1)
        ),
        "one place too high: with this score itself cleared, a smaller threshold does as well.": (
            lambda s, y, p: _place(s, y, p, 0, 1)
        ),
        "one place too low: too few negatives are cleared. Whoever scores exactly the threshold is cleared.": (
            lambda s, y, p: _place(s, y, p, 0, -1)
        ),
        "from the wrong end: sort the scores upwards; the share that is cleared lies below.": (
            lambda s, y, p: -_place(-s, y, p, 0)
        ),
        "a quantile between two scores is no score; the smallest score that suffices is asked for.": (
            lambda s, y, p: s[y == 0].double().quantile(p).item()
        ),
    },
)


# Task 3: repair an evaluation


def _report(
    seen: torch.Tensor, seen_labels: torch.Tensor, scores: torch.Tensor, labels: torch.Tensor
) -> tuple[float, float, float]:
    """By scikit-learn's confusion matrix."""
    from sklearn.metrics import confusion_matrix

    cut = _threshold(seen, seen_labels, 0.9)
    (cleared, alarms), (missed, found) = confusion_matrix(labels, scores > cut, labels=[0, 1]).tolist()
    return cut, found / (found + missed), cleared / (cleared + alarms)


def _faulty(
    seen: torch.Tensor,
    seen_labels: torch.Tensor,
    scores: torch.Tensor,
    labels: torch.Tensor,
    *,
    test: bool = False,
    called: bool = False,
    accuracy: bool = False,
    alarms: bool = False,
    equal: bool = False,
) -> tuple[float, float, float]:
    """Return the report; the options plant a mistake."""
    cut = _threshold(scores, labels, 0.9) if test else _threshold(seen, seen_labels, 0.9)
    above = scores >= cut if equal else scores > cut
    positive = labels == 1
    found = int((above & positive).sum())
    sensitivity = found / max(1, int(above.sum())) if called else found / int(positive.sum())
    right = int((~above & ~positive).sum())
    specificity = (right + found) / len(labels) if accuracy else right / int((~positive).sum())
    return cut, sensitivity, 1 - specificity if alarms else specificity


def _with(function: Callable[..., Any], **options: Any) -> Callable[..., Any]:
    return lambda *arguments: function(*arguments, **options)


report = Task(
    "report",
    _report,
    lambda rng: [(*_scored(rng, ties=n % 2 == 0), *_scored(rng, ties=n % 2 == 0)) for n in range(24)],
    mistakes={
        "the threshold is chosen on the test pictures, by which it is then judged; choose it on the validation pictures.": (
            _with(_faulty, test=True)
        ),
        "the second number divides by all who are called, which gives the predictive value; divide by the positives.": (
            _with(_faulty, called=True)
        ),
        "the third number is the accuracy; the specificity is counted among the negatives alone.": (
            _with(_faulty, accuracy=True)
        ),
        "the third number is the share of false alarms; the specificity is what is left of the negatives.": (
            _with(_faulty, alarms=True)
        ),
        "whoever scores exactly the threshold is cleared, as when it was chosen: above, not at least.": (
            _with(_faulty, equal=True)
        ),
        "the threshold and the specificity are repaired; the sensitivity still divides by all who are called.": (
            _with(_faulty, called=True, alarms=True)
        ),
    },
)


# Task 4: another prevalence


def _bayes(counts: torch.Tensor, prevalence: float) -> float:
    """By a crowd of a million, counted."""
    (cleared, alarms), (missed, found) = counts.double().tolist()
    sick = 1e6 * prevalence
    called_sick = sick * found / (found + missed)
    called_well = (1e6 - sick) * alarms / (alarms + cleared)
    return called_sick / (called_sick + called_well)


def _studies(rng: random.Random) -> list[tuple[torch.Tensor, float]]:
    fixed = [(torch.tensor([[95, 5], [10, 90]]), 0.01), (torch.tensor([[95, 5], [10, 90]]), 0.5)]
    drawn = [
        (torch.tensor([[rng.randint(1, 90), rng.randint(1, 20)], [rng.randint(1, 20), rng.randint(1, 60)]]),
         rng.choice((0.001, 0.01, 0.05, 0.2, 0.6)))
        for _ in range(20)
    ]  # fmt: skip
    return fixed + drawn


def _by(formula: Callable[[float, float, float], float]) -> Callable[[torch.Tensor, float], float]:
    """Return a function of counts and prevalence from one of sensitivity, specificity and prevalence."""

    def run(counts: torch.Tensor, prevalence: float) -> float:
        (cleared, alarms), (missed, found) = counts.tolist()
        return formula(found / (found + missed), cleared / (cleared + alarms), prevalence)

    return run


predictive_value = Task(
    "predictive_value",
    _bayes,
    _studies,
    mistakes={
        "this is the share in the study, with the study's prevalence; the prevalence given is not used.": (
            lambda counts, prevalence: (counts[1, 1] / counts[:, 1].sum()).item()
        ),
        "false alarms come from those without the disease: weigh them with 1 − prevalence.": (
            _by(lambda se, sp, p: se * p / (se * p + 1 - sp))
        ),
        "the false alarms are a share of the negatives, 1 − specificity; here the specificity itself is used.": (
            _by(lambda se, sp, p: se * p / (se * p + sp * (1 - p)))
        ),
        "this is the sensitivity: of the sick, the share that is called. Asked is: of those called, the share that is sick.": (
            _by(lambda se, sp, p: se)
        ),
        "rows are the truth and columns the answer; here they are exchanged.": (
            lambda counts, prevalence: _bayes(counts.T.contiguous(), prevalence)
        ),
        "this is the negative predictive value, of those who are cleared.": (
            _by(lambda se, sp, p: sp * (1 - p) / (sp * (1 - p) + (1 - se) * p))
        ),
    },
)


# Task 5: log-odds for another prevalence


def _odds(share: float) -> float:
    return share / (1 - share)


def _moved(scores: torch.Tensor, before: float, after: float) -> torch.Tensor:
    """By the probabilities: p and 1 − p are each multiplied by their class's new share over the old one."""
    p = scores.double().sigmoid()
    yes, no = p * after / before, (1 - p) * (1 - after) / (1 - before)
    return (yes / (yes + no)).to(scores.dtype)


def _moves(rng: random.Random) -> list[tuple[torch.Tensor, float, float]]:
    source = torch.Generator().manual_seed(rng.randrange(2**31))
    shares = (0.01, 0.1, 0.25, 0.5, 0.74)
    fixed = [(torch.tensor([0.0]), 0.5, 0.1), (torch.tensor([-1.0, 0.0, 2.0]), 0.1, 0.5)]
    drawn = [
        (torch.randn(rng.randint(1, 8), generator=source), *(shares[(n + k) % 5] for k in (0, 1 + n % 4)))
        for n in range(20)
    ]
    return fixed + drawn


probability_elsewhere = Task(
    "probability_elsewhere",
    _moved,
    _moves,
    mistakes={
        "the sign is wrong: where positives are rarer, the probability falls.": lambda s, b, a: _moved(s, a, b),
        "the odds change, not only the share of the positives: odds are p / (1 − p).": (
            lambda s, b, a: (s + math.log(a / b)).sigmoid()
        ),
        "nothing was moved: this is the probability at the old prevalence.": lambda s, b, a: s.sigmoid(),
        "these are log-odds; the probability is their sigmoid.": lambda s, b, a: s + math.log(_odds(a) / _odds(b)),
        "the prevalence of the training pictures has to be taken off, too.": (
            lambda s, b, a: (s + math.log(_odds(a))).sigmoid()
        ),
        "probabilities are not multiplied; the odds are.": lambda s, b, a: s.sigmoid() * a / b,
    },
)


# Task 6: which corner?

_PLACE, _PLATE = CORNERS[2], CORNERS[0]  # of the letter, and of a plate that means nothing
SIZE = 24


def _asked(part: Images) -> Images:
    return replace(part, labels=(part.labels == SHAPES.index("ring")).long(), classes=("no ring", "ring"))


def _plated(data: Images, chosen: torch.Tensor) -> Images:
    """Put a white plate into a corner of the chosen pictures."""
    images = data.images.clone()
    images[chosen, :, 1:5, 1:6] = 240
    return replace(data, images=images)


@cache
def _suspects() -> tuple[Screener, Images]:
    sets = shapes(1200, 300, 10, size=SIZE)
    parts = []
    for seed, part in enumerate((sets.train, sets.validation)):
        part, source = _asked(part), torch.Generator().manual_seed(seed)
        lettered = torch.rand(len(part), generator=source) < torch.where(part.labels == 1, 0.95, 0.03)
        part = stamp(part, lettered, _PLACE)
        parts.append(_plated(part, torch.rand(len(part), generator=source) < 0.5))
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = Screener(in_channels=3)
    adam = torch.optim.Adam(model.parameters(), lr=8e-3)
    fit(model, parts[0], epochs=4, batch_size=32, optimizer=adam, schedule=OneCycle(), progress=False, device="cpu")
    return model, parts[1].take(parts[1].labels == 1)


def suspect() -> tuple[Screener, Images]:
    """Return a network that was trained on pictures with a shortcut, and positives it has not seen, on the device."""
    model, positives = _suspects()
    return model.to(runtime.device()), positives.to(runtime.device())


where_it_looks = Answer(
    "where_it_looks",
    lambda: _PLACE,
    mistakes={
        "there is a plate in half of all pictures, of both classes, so it cannot tell them apart. Measure where the score "
        "falls.": _PLATE,
        "that was the corner of the chapter; this network was trained on other pictures.": CORNERS[1],
        "nothing is ever drawn there; cover each corner in turn and compare the scores.": CORNERS[3],
    },
)
