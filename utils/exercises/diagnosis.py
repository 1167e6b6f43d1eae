"""Checks of the exercises of chapter Diagnosis."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

import torch
from torch import nn
from torch.nn import functional as F

from utils import diagnosis
from utils.exercises.core import Answer, Behaviour, Task, describe_network

Logits = tuple[torch.Tensor, torch.Tensor]

# Task 1: recall and precision


def _scores(counts: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """By scikit-learn, from the list of single answers that the counts stand for."""
    from sklearn.metrics import precision_recall_fscore_support

    classes = len(counts)
    pairs = torch.arange(classes**2).repeat_interleave(counts.flatten())
    if not len(pairs):
        return torch.zeros(classes), torch.zeros(classes)
    precision, recall, _, _ = precision_recall_fscore_support(
        pairs // classes, pairs % classes, labels=range(classes), zero_division=0
    )
    return torch.tensor(recall, dtype=torch.float32), torch.tensor(precision, dtype=torch.float32)


def _matrices(rng: random.Random) -> list[tuple[torch.Tensor]]:
    source = torch.Generator().manual_seed(rng.randrange(2**31))
    cases = [(torch.tensor([[8, 2], [1, 9]]),), (torch.tensor([[5, 0, 0], [3, 0, 0], [0, 0, 0]]),)]
    for _ in range(20):
        classes = rng.randint(2, 5)
        counts = torch.randint(0, 9, (classes, classes), generator=source)
        if rng.random() < 0.3:
            counts[:, rng.randrange(classes)] = 0
        if rng.random() < 0.3:
            counts[rng.randrange(classes)] = 0
        cases.append((counts,))
    return cases


def _ratio(counts: torch.Tensor, row: torch.Tensor, column: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    return counts.diag() / row.clamp(min=1), counts.diag() / column.clamp(min=1)


recall_and_precision = Task(
    "recall_and_precision",
    _scores,
    _matrices,
    mistakes={
        "the two are exchanged: rows are true classes, and recall is taken along a row.": (
            lambda counts: _ratio(counts, counts.sum(0), counts.sum(1))
        ),
        "this divides 0 by 0: a class that never occurs, or is never answered, shall have 0.": (
            lambda counts: (counts.diag() / counts.sum(1), counts.diag() / counts.sum(0))
        ),
        "both are divided by the number of all images; divide by the row, or the column, of each class.": (
            lambda counts: _ratio(counts, counts.sum(), counts.sum())
        ),
        "both are recall; precision divides by the sum of the column.": (
            lambda counts: _ratio(counts, counts.sum(1), counts.sum(1))
        ),
        "both are precision; recall divides by the sum of the row.": (
            lambda counts: _ratio(counts, counts.sum(0), counts.sum(0))
        ),
        "these are counts; divide them by the sums of rows and columns.": (
            lambda counts: (counts.diag().float(), counts.diag().float())
        ),
        "a clamped sum of 1 where it is 0 is right, but here 1 is added to every sum.": (
            lambda counts: _ratio(counts, counts.sum(1) + 1, counts.sum(0) + 1)
        ),
    },
)

# Task 2: six curves. Runs of an MLP (or four averages and a dense layer) on digits: training loss, validation loss.

CURVES = {
    "A": (
        [4.81, 2.08, 1.98, 2.06, 1.8, 1.85, 1.81, 1.77, 1.75, 1.72, 1.72, 1.84],
        [2.08, 1.98, 2.08, 1.91, 1.85, 1.84, 1.8, 1.78, 1.8, 1.84, 1.77, 2.25],
    ),
    "B": (
        [1.94, 1.67, 1.6, 1.56, 1.54, 1.53, 1.52, 1.51, 1.51, 1.51, 1.51, 1.51],
        [1.74, 1.64, 1.57, 1.56, 1.54, 1.54, 1.54, 1.53, 1.53, 1.53, 1.53, 1.53],
    ),
    "C": (
        [1.2, 0.5, 0.37, 0.32, 0.28, 0.25, 0.23, 0.21, 0.2, 0.18, 0.17, 0.16],
        [0.68, 0.48, 0.42, 0.39, 0.37, 0.37, 0.34, 0.34, 0.34, 0.33, 0.33, 0.32],
    ),
    "D": (
        [2.28, 2.23, 2.18, 2.13, 2.08, 2.02, 1.97, 1.92, 1.86, 1.81, 1.76, 1.7],
        [2.26, 2.21, 2.16, 2.11, 2.06, 2.01, 1.96, 1.9, 1.85, 1.8, 1.75, 1.7],
    ),
    "E": (
        [2.03, 1.75, 1.68, 1.63, 1.6, 1.57, 1.55, 1.52, 1.51, 1.48, 1.46, 1.44],
        [1.37, 1.09, 1.02, 0.96, 0.89, 0.91, 0.87, 0.86, 0.86, 0.82, 0.84, 0.81],
    ),
    "F": (
        [2.05, 1.26, 0.6, 0.11, 0.01, 0.01, 0.01, 0.0, 0.0, 0.0, 0.0, 0.0],
        [1.91, 1.37, 1.22, 1.01, 1.0, 1.01, 1.02, 1.03, 1.04, 1.05, 1.06, 1.06],
    ),
}

_TRUE = ["too fast", "too small", "sound", "too slow", "false labels", "few images"]


def _exchanged(first: int, second: int) -> list[str]:
    words = list(_TRUE)
    words[first], words[second] = words[second], words[first]
    return words


curves = Answer(
    "curves",
    lambda: list(_TRUE),
    mistakes={
        "look at B and D again: one is flat, the other still falls at the same pace when it ends.": _exchanged(1, 3),
        "look at A and B again: which of them is ragged, and begins above ln 10?": _exchanged(0, 1),
        "look at C and F again: in which one does the validation loss climb while the training loss is 0?": (
            _exchanged(2, 5)
        ),
        "look at B and E again: in which one is the training loss far above the validation loss?": _exchanged(1, 4),
        "look at A and D again: small steps go smoothly and slowly, large ones do neither.": _exchanged(0, 3),
        "look at E and F again: false training labels lift the training loss, not the gap.": _exchanged(4, 5),
    },
)

# Task 3: the expected calibration error


def _answers(rng: random.Random, number: int = 22) -> list[Logits]:
    source = torch.Generator().manual_seed(rng.randrange(2**31))
    cases = []
    for _ in range(number):
        classes, images = rng.randint(2, 8), rng.randint(20, 60)
        scale, temperature = rng.choice((0.3, 1.0, 3.0)), rng.choice((0.6, 1.0, 2.5))
        logits = scale * torch.randn(images, classes, generator=source)
        labels = torch.multinomial((logits / temperature).softmax(1), 1, generator=source)[:, 0]
        cases.append((logits, labels))
    return cases


def _with_bins(rng: random.Random) -> list[tuple[torch.Tensor, torch.Tensor, int]]:
    drawn = [(logits, labels, rng.choice((5, 10, 15))) for logits, labels in _answers(rng)]
    small = torch.tensor([[0.0, 2.0, 1.0], [3.0, 0.0, 0.0], [0.0, 0.2, 0.1]])
    return [(small, torch.tensor([1, 0, 2]), 10), *drawn]


def _error(
    logits: torch.Tensor,
    labels: torch.Tensor,
    bins: int,
    *,
    combine: Callable[[torch.Tensor, torch.Tensor], torch.Tensor] = lambda share, gap: (share * gap.abs()).sum(),
) -> float:
    found = diagnosis.reliability(logits, labels, bins)
    return combine(found.share, found.accuracy - found.confidence).item()


def _other_confidence(logits: torch.Tensor, labels: torch.Tensor, bins: int, kind: str) -> float:
    p = logits.softmax(1)
    confidence, answer = p.max(1)
    if kind == "true class":
        confidence = p.gather(1, labels[:, None])[:, 0]
    if kind == "logit":
        confidence = logits.max(1).values
    place = (confidence * bins).ceil().long().clamp(1, bins) - 1
    right, total = (answer == labels).float(), 0.0
    for b in range(bins):
        inside = place == b
        if inside.any():
            total += inside.float().mean().item() * abs(right[inside].mean() - confidence[inside].mean()).item()
    return total


calibration_error = Task(
    "calibration_error",
    lambda logits, labels, bins: diagnosis.reliability(logits, labels, bins).error,
    _with_bins,
    mistakes={
        "every bin counts the same here; weight each by its share of the answers.": (
            lambda *case: _error(*case, combine=lambda share, gap: gap.abs().sum() / (share > 0).sum())
        ),
        "the distances are summed with their signs and cancel; take the absolute value of each bin.": (
            lambda *case: _error(*case, combine=lambda share, gap: (share * gap).sum())
        ),
        "the distances are summed with their signs (confidence minus accuracy) and cancel; take absolute values.": (
            lambda *case: _error(*case, combine=lambda share, gap: -(share * gap).sum())
        ),
        "this is the largest distance; the ECE is the weighted mean of all.": (
            lambda *case: _error(*case, combine=lambda share, gap: gap.abs().max())
        ),
        "the distances are squared; take their absolute values.": (
            lambda *case: _error(*case, combine=lambda share, gap: (share * gap**2).sum())
        ),
        "an empty bin gives 0/0, which is NaN; skip bins without an answer.": (
            lambda *case: _error(*case, combine=lambda share, gap: (share * gap.abs() * (share / share)).sum())
        ),
        "the confidence is the probability of the *answer*, the largest one, not that of the true class.": (
            lambda *case: _other_confidence(*case, "true class")
        ),
        "the confidence is a probability: take the softmax of the logits first.": (
            lambda *case: _other_confidence(*case, "logit")
        ),
        "the error is multiplied by 100; return a share.": lambda *case: 100 * _error(*case),
        "the number of bins is given; here it is always 10.": lambda logits, labels, bins: _error(logits, labels, 10),
        "this compares every single answer with its confidence; take the means of each bin first, then their distance.": (
            lambda logits, labels, bins: (
                (logits.softmax(1).max(1).values - (logits.argmax(1) == labels).float()).abs().mean().item()
            )
        ),
        "this is the difference of mean confidence and accuracy, as if there were one bin.": (
            lambda logits, labels, bins: _error(logits, labels, 1)
        ),
    },
)

# Task 4: temperature scaling


def _hot_and_cold(rng: random.Random) -> list[Logits]:
    source = torch.Generator().manual_seed(rng.randrange(2**31))
    cases = []
    for i in range(20):
        classes, images = rng.randint(2, 8), 200
        true = (0.5, 0.8, 1.5, 2.5, 4.0)[i % 5]
        logits = 2 * true * torch.randn(images, classes, generator=source)
        labels = torch.multinomial((logits / true).softmax(1), 1, generator=source)[:, 0]
        cases.append((logits, labels))
    return cases


def _search(logits: torch.Tensor, labels: torch.Tensor, value: Callable[[torch.Tensor, torch.Tensor], float]) -> float:
    candidates = torch.logspace(-1, 1, 201).tolist()
    return min(candidates, key=lambda t: value(logits / t, labels))


temperature = Task(
    "temperature",
    diagnosis.fit_temperature,
    _hot_and_cold,
    tolerance=0.03,
    mistakes={
        "this is 1/T: the logits are divided by the temperature, not multiplied.": (
            lambda logits, labels: 1 / diagnosis.fit_temperature(logits, labels)
        ),
        "this is the logarithm of T.": lambda logits, labels: (
            torch.tensor(diagnosis.fit_temperature(logits, labels)).log().item()
        ),
        "T was found for the probabilities; divide the logits, before the softmax.": (
            lambda logits, labels: _search(logits.softmax(1), labels, lambda z, y: F.cross_entropy(z, y).item())
        ),
        "the accuracy does not depend on T, so it cannot choose it; take the cross-entropy.": (
            lambda logits, labels: _search(logits, labels, lambda z, y: -(z.argmax(1) == y).float().mean().item())
        ),
        "T was chosen by the ECE, which jumps with the bins; take the cross-entropy.": (
            lambda logits, labels: _search(logits, labels, lambda z, y: diagnosis.reliability(z, y).error)
        ),
        "T stays 1: was a step taken, and was its result returned?": lambda logits, labels: 1.0,
        "T never falls below 1: a network that is too modest needs a smaller one. Search from 0.2 to 8.": (
            lambda logits, labels: max(1.0, diagnosis.fit_temperature(logits, labels))
        ),
    },
)

# Task 5: find the leak


def _pipeline(
    x: torch.Tensor,
    y: torch.Tensor,
    keep: int,
    folds: int,
    *,
    choose_on_all: bool = False,
    scale_on_all: bool = False,
    score_on_train: bool = False,
) -> float:
    fold, right = torch.arange(len(x)) % folds, 0
    number = 0
    for held_out in range(folds):
        train = fold != held_out
        known = torch.ones_like(train) if scale_on_all else train
        z = (x - x[known].mean(0)) / x[known].std(0)
        known = torch.ones_like(train) if choose_on_all else train
        distance = (z[known & (y == 1)].mean(0) - z[known & (y == 0)].mean(0)).abs()
        z = z[:, distance.topk(keep).indices]
        centres = torch.stack([z[train & (y == c)].mean(0) for c in (0, 1)])
        test = train if score_on_train else ~train
        right += (torch.cdist(z[test], centres).argmin(1) == y[test]).sum().item()
        number += int(test.sum())
    return right / number


def _tables(rng: random.Random) -> list[tuple[torch.Tensor, torch.Tensor, int, int]]:
    source = torch.Generator().manual_seed(rng.randrange(2**31))
    cases = []
    for i in range(24):
        number, width = 2 * rng.randint(10, 20), rng.randint(20, 60)
        # The scales differ, so that standardising matters; half of the cases have something to find.
        scale = 10 ** torch.rand(width, generator=source, dtype=torch.float64)
        x = torch.randn(number, width, generator=source, dtype=torch.float64)
        y = torch.arange(number)[torch.randperm(number, generator=source)] % 2
        x[:, :2] += (i % 2) * y[:, None]
        cases.append((x * scale + scale, y, rng.randint(2, 6), rng.randint(3, 5)))
    return cases


honest_score = Task(
    "honest_score",
    _pipeline,
    _tables,
    mistakes={
        "both leaks are still there: mean, deviation and the chosen columns come from all rows.": (
            lambda *case: _pipeline(*case, choose_on_all=True, scale_on_all=True)
        ),
        "one leak is left: the columns are still chosen with the labels of the rows held out.": (
            lambda *case: _pipeline(*case, choose_on_all=True)
        ),
        "one leak is left: mean and standard deviation are still those of all rows.": (
            lambda *case: _pipeline(*case, scale_on_all=True)
        ),
        "the rows that are counted are those it was trained on; count the rows held out.": (
            lambda *case: _pipeline(*case, score_on_train=True)
        ),
        "this is the share of wrong answers.": lambda *case: 1 - _pipeline(*case),
        "this is a percentage; return a share.": lambda *case: 100 * _pipeline(*case),
    },
)

# Task 6: three networks that do not learn


def _network(channels: int, classes: int, *last: nn.Module) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(channels, 8, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(8, 16, 3, padding=1), nn.ReLU(),
        nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(16, classes), *last,
    )  # fmt: skip


def _without_activations(channels: int, classes: int) -> nn.Sequential:
    return nn.Sequential(*(layer for layer in _network(channels, classes) if not isinstance(layer, nn.ReLU)))


def _described(build: Callable[..., Any]) -> Callable[..., Any]:
    return lambda channels, classes: describe_network(build(channels, classes), (channels, 12, 10))


network = Behaviour(
    "network",
    _described(_network),
    lambda rng: [(1, 10), (3, 2), *((rng.randint(1, 5), rng.randint(2, 12)) for _ in range(20))],
    tolerance=2e-3,
    mistakes={
        "nothing is repaired yet: which two of the last layers does cross-entropy not want?": (
            lambda channels, classes: _network(channels, classes, nn.ReLU(), nn.Softmax(1))
        ),
        "the softmax is still there; the loss applies it itself.": (
            lambda channels, classes: _network(channels, classes, nn.Softmax(1))
        ),
        "a ReLU still follows the last dense layer; logits have both signs.": (
            lambda channels, classes: _network(channels, classes, nn.ReLU())
        ),
        "a log-softmax does no harm before cross-entropy, and no good; return the logits.": (
            lambda channels, classes: _network(channels, classes, nn.LogSoftmax(1))
        ),
        "a sigmoid is not wanted either: return the logits.": (
            lambda channels, classes: _network(channels, classes, nn.Sigmoid())
        ),
        "all ReLUs are gone; those between the layers must stay.": _without_activations,
    },
    behaviour=_described,
)


def _spreads(start: Callable[[nn.Module], Any]) -> Callable[..., Any]:
    """Return for each layer: standard deviation over √(2 / fan-in), mean over the same, largest bias."""

    def run(channels: int, width: int, seed: int) -> list[Any]:
        torch.manual_seed(seed)
        layers = [nn.Conv2d(channels, width, 5), nn.ReLU(), nn.Conv2d(width, 16, 3), nn.Flatten(), nn.Linear(300, 40)]
        model = nn.Sequential(*layers)
        for parameter in model.parameters():
            nn.init.constant_(parameter, 0.05)
        start(model)
        result = []
        for layer in (model[0], model[2], model[4]):
            expected = (2 / layer.weight[0].numel()) ** 0.5
            values = [layer.weight.std().item() / expected, layer.weight.mean().item() / expected]
            result.append([*(round(v, 3) for v in values), round(layer.bias.abs().max().item(), 3)])
        return result

    return run


def _start(
    model: nn.Module,
    *,
    how: Callable[[torch.Tensor], Any] = nn.init.kaiming_normal_,
    kinds: tuple[type, ...] = (nn.Conv2d, nn.Linear),
    bias: float | None = 0.0,
) -> None:
    for layer in model.modules():
        if isinstance(layer, kinds):
            how(layer.weight)
            if bias is not None:
                nn.init.constant_(layer.bias, bias)


start_weights = Behaviour(
    "start_weights",
    lambda channels, width, seed: [[1.0, 0.0, 0.0]] * 3,
    lambda rng: [(rng.randint(3, 6), rng.randint(24, 40), rng.randrange(1000)) for _ in range(20)],
    tolerance=0.12,
    mistakes={
        "all weights of a layer are still equal, so all its units stay copies of one another: draw them at random.": (
            lambda model: None
        ),
        "the weights are 0: no unit passes anything on, and no gradient comes back.": (
            lambda model: _start(model, how=nn.init.zeros_)
        ),
        "the standard deviation is 2/fan-in; take the square root.": (
            lambda model: _start(model, how=lambda w: nn.init.normal_(w, 0, 2 / w[0].numel()))
        ),
        "the standard deviation is √(1/fan-in); a ReLU lets half through, hence the 2.": (
            lambda model: _start(model, how=lambda w: nn.init.normal_(w, 0, w[0].numel() ** -0.5))
        ),
        "this is Xavier's start, √(2/(fan-in + fan-out)); He's has the fan-in alone.": (
            lambda model: _start(model, how=nn.init.xavier_normal_)
        ),
        "the standard deviation is 1, which is far too much for layers with many inputs.": (
            lambda model: _start(model, how=lambda w: nn.init.normal_(w))
        ),
        "the fan-out was used (mode='fan_out'); the fan-in is the number of inputs of one unit.": (
            lambda model: _start(model, how=lambda w: nn.init.kaiming_normal_(w, mode="fan_out"))
        ),
        "PyTorch's own start has √(1/(3 fan-in)): right for learning, but not what was asked for.": (
            lambda model: _start(model, how=lambda w: nn.init.kaiming_uniform_(w, a=5**0.5))
        ),
        "the weights are positive only, since they were drawn between 0 and a bound.": (
            lambda model: _start(model, how=lambda w: nn.init.uniform_(w, 0, (6 / w[0].numel()) ** 0.5))
        ),
        "the biases are not 0: set every layer's bias.": (
            lambda model: _start(model, bias=None) or _raise_biases(model)
        ),
        "only dense layers were started anew; convolutions have weights, too.": (
            lambda model: _start(model, kinds=(nn.Linear,))
        ),
        "only convolutions were started anew; dense layers have weights, too.": (
            lambda model: _start(model, kinds=(nn.Conv2d,))
        ),
    },
    behaviour=_spreads,
)


def _raise_biases(model: nn.Module) -> None:
    for layer in model.modules():
        if isinstance(layer, (nn.Conv2d, nn.Linear)):
            nn.init.constant_(layer.bias, 0.3)


def _moves(prepare: Callable[..., Any]) -> Callable[..., Any]:
    """Return what one step of the prepared optimizer does to the prepared model."""

    def run(inputs: int, classes: int, rate: float, seed: int) -> list[Any]:
        torch.manual_seed(seed)
        model = nn.Sequential(nn.Linear(inputs, 6), nn.Tanh(), nn.Linear(6, 5), nn.Tanh(), nn.Linear(5, 4))
        body = [p.detach().clone() for p in model[:4].parameters()]
        made = prepare(model, classes, rate)
        if not isinstance(made, tuple) or len(made) != 2 or not isinstance(made[0], nn.Module):
            return ["not a pair of a model and an optimizer", "", "", "", ""]
        model, optimizer = made
        kept = all(torch.equal(a, b) for a, b in zip(body, model[:4].parameters(), strict=True))
        x = torch.randn(8, inputs)
        output = model(x)
        before = [p.detach().clone() for p in model.parameters()]
        if output.requires_grad and output.dim() == 2:
            F.cross_entropy(output, torch.arange(8) % output.shape[1]).backward()
        gradients = [p.grad for p in model.parameters()]
        optimizer.step()
        steps = [a - b for a, b in zip(before, model.parameters(), strict=True)]
        moved = sum(bool(step.abs().max() > 0) for step in steps)
        pairs = zip(steps, gradients, strict=True)
        right = all(g is not None and torch.allclose(s, rate * g, atol=1e-6) for s, g in pairs)
        return [
            f"output {tuple(output.shape)}",
            f"{sum(not p.requires_grad for p in model.parameters())} frozen",
            f"{moved} of {len(steps)} parameter tensors moved",
            f"the body's weights {'kept' if kept else 'lost'}",
            f"step {'=' if right else 'is not'} rate × gradient",
        ]

    return run


def _prepare(
    model: nn.Module,
    classes: int,
    rate: float,
    *,
    early: bool = False,
    frozen: bool = False,
    head_only: bool = False,
    replace: bool = True,
    used_rate: float | None = None,
    anew: bool = False,
) -> tuple[nn.Module, torch.optim.Optimizer]:
    optimizer = torch.optim.SGD(model.parameters(), lr=used_rate or rate)
    if frozen:
        model.requires_grad_(False)
    if anew:
        for layer in model[:4]:
            if isinstance(layer, nn.Linear):
                layer.reset_parameters()
    if replace:
        model[-1] = nn.Linear(model[-1].in_features, classes)
    if not early:
        optimizer = torch.optim.SGD((model[-1] if head_only else model).parameters(), lr=used_rate or rate)
    return model, optimizer


def _wrong_prepare(**options: Any) -> Callable[..., Any]:
    return lambda model, classes, rate: _prepare(model, classes, rate, **options)


prepare = Behaviour(
    "prepare",
    _moves(_prepare),
    lambda rng: [
        (rng.randint(2, 9), rng.randint(2, 8), rng.choice((0.01, 0.1, 0.5)), rng.randrange(1000)) for _ in range(20)
    ],
    mistakes={
        "nothing is repaired yet: the body is frozen, and the optimizer was made before the new head.": (
            _wrong_prepare(early=True, frozen=True)
        ),
        "the optimizer was made before the new head, so it holds the old one: make it last.": _wrong_prepare(
            early=True
        ),
        "the body is still frozen: all layers shall be trained.": _wrong_prepare(frozen=True),
        "the optimizer holds the head alone: give it the parameters of the whole model.": (
            _wrong_prepare(head_only=True)
        ),
        "the head is still the old one: replace `model[-1]`.": _wrong_prepare(replace=False),
        "the step is not rate × gradient: is it plain SGD, and with the learning rate that was given?": _wrong_prepare(
            used_rate=0.003
        ),
        "the body's weights were drawn anew; only the head is to be new.": _wrong_prepare(anew=True),
    },
    behaviour=_moves,
)
