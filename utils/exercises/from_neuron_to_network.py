"""Checks of the exercises of chapter "From a neuron to a trained network"."""

from __future__ import annotations

import itertools
import random
from collections.abc import Callable
from typing import Any

import torch
from torch import nn
from torch.nn import functional as F

from utils.exercises.core import Answer, Behaviour, Case, Task

Tensor = torch.Tensor

# Task 1: predict numbers of training

_CLASSES = (2, 10, 1000)


def _start_losses() -> list[float]:
    """Return the cross-entropy of equal logits, with two decimals."""
    return [round(F.cross_entropy(torch.zeros(1, k), torch.tensor([0])).item(), 2) for k in _CLASSES]


start_losses = Answer(
    "start_losses",
    _start_losses,
    mistakes={
        "these are probabilities; the loss is minus their logarithm.": [0.5, 0.1, 0.001],
        "this is the logarithm to base 10; the loss uses the natural logarithm, ln.": [0.3, 1.0, 3.0],
        "this is the logarithm to base 2; the loss uses the natural logarithm, ln.": [1.0, 3.32, 9.97],
        "−ln p is positive, since p is below 1 and its logarithm negative.": [-0.69, -2.3, -6.91],
        "nothing is known yet, so the loss is not 0; give each of K classes 1/K and take −ln.": [0.0, 0.0, 0.0],
    },
    tolerance=0.006,
)


# Task 2: a layer of neurons for a batch


def _source(rng: random.Random) -> torch.Generator:
    return torch.Generator().manual_seed(rng.randrange(10**6))


def _short(*shape: int, source: torch.Generator) -> Tensor:
    """Return random numbers with one decimal, with which a student can compute along."""
    return torch.randn(*shape, generator=source).mul(10).round().div(10)


def _layers(rng: random.Random) -> list[Case]:
    sizes = [(1, 2, 3), (2, 3, 4), (1, 3, 2), (4, 1, 3), (3, 5, 1), (1, 1, 1), (4, 4, 4), (3, 2, 3), (5, 3, 3)]
    sizes += [(rng.randint(1, 7), rng.randint(1, 7), rng.randint(1, 7)) for _ in range(14)]
    cases = []
    for n, d, k in sizes:
        source = _source(rng)
        cases.append(tuple(_short(*shape, source=source) for shape in ((n, d), (k, d), (k,))))
    return cases


layer = Task(
    "layer",
    F.linear,
    _layers,
    mistakes={
        "the biases are missing: each neuron adds its own.": lambda x, w, b: x @ w.T,
        "the biases are subtracted; a neuron adds its bias.": lambda x, w, b: x @ w.T - b,
        "a ReLU follows here; a neuron's z may be negative.": lambda x, w, b: (x @ w.T + b).relu(),
        "the result is transposed: one row for each input, one column for each neuron.": (
            lambda x, w, b: (x @ w.T + b).T
        ),
        "all biases are added to every neuron; neuron k adds bias k alone.": lambda x, w, b: x @ w.T + b.sum(),
        "every neuron gets the first bias; neuron k adds bias k.": lambda x, w, b: x @ w.T + b[0],
    },
)


# Task 3: a softmax that does not overflow


def _logits(rng: random.Random) -> list[Tensor]:
    """Return logits (N, K): ordinary ones first, then large, far apart, and rows of very different sizes."""
    fixed = [
        [[2.0, 1.0, -1.0]],
        [[0.0, 0.0], [1.0, 3.0]],
        [[5.0]],
        [[1000.0, 1001.0, 999.0]],
        [[-1000.0, -1001.0]],
        [[500.0, -500.0, 0.0]],
        [[1000.0, 1001.0], [-1000.0, -1002.0], [0.0, 1.0]],
        [[88.0, 89.0, 90.0]],
    ]
    result = [torch.tensor(rows) for rows in fixed]
    for _ in range(16):
        shape = (rng.randint(1, 6), rng.randint(2, 7))
        result.append(torch.randn(shape, generator=_source(rng)) * rng.choice((1.0, 3.0, 60.0, 400.0)))
    return result


def _exp(z: Tensor, dim: int = 1) -> Tensor:
    return (z - z.max(dim, keepdim=True).values).exp()


softmax = Task(
    "softmax",
    lambda z: torch.softmax(z, 1),
    lambda rng: [(z,) for z in _logits(rng)],
    mistakes={
        "large logits overflow: e^89 is already more than float32 can hold. Subtract each row's maximum first.": (
            lambda z: z.exp() / z.exp().sum(1, keepdim=True)
        ),
        "one maximum for the whole batch is not enough: where another row is much larger, all of a row's exponentials "
        "become 0, and 0/0 is nan. Subtract each row's own maximum.": (
            lambda z: (z - z.max()).exp() / (z - z.max()).exp().sum(1, keepdim=True)
        ),
        "each column sums to 1 here; an image is a row, so sum over dim=1.": lambda z: _exp(z, 0) / _exp(z, 0).sum(0),
        "divide each row by its own sum, not by the sum of the whole batch.": lambda z: _exp(z) / _exp(z).sum(),
        "these do not sum to 1: divide by the sum of each row.": _exp,
        "subtracting the mean helps with one large offset, not with logits that lie far apart; subtract the maximum.": (
            lambda z: (z - z.mean(1, keepdim=True)).exp() / (z - z.mean(1, keepdim=True)).exp().sum(1, keepdim=True)
        ),
        "these are the logarithms of the probabilities.": lambda z: z.log_softmax(1),
    },
)


# Task 4: a cross-entropy that does not overflow


def _labelled(rng: random.Random) -> list[Case]:
    cases = []
    for z in _logits(rng):
        cases.append((z, torch.randint(z.shape[1], z.shape[:1], generator=_source(rng))))
    # The true class is hopeless: its probability is 0 in float32, and its loss is not infinite.
    cases.insert(3, (torch.tensor([[200.0, 0.0, 0.0]]), torch.tensor([1])))
    return cases


def _true(values: Tensor, labels: Tensor) -> Tensor:
    return values[torch.arange(len(labels)), labels]


cross_entropy = Task(
    "cross_entropy",
    F.cross_entropy,
    _labelled,
    mistakes={
        "a probability below 1e-45 is rounded to 0, and −ln 0 is infinite. Do not form the probability: "
        "−ln p = ln Σ e^z − z of the true class.": lambda z, y: -_true(z.softmax(1), y).log().mean(),
        "the exponentials overflow: subtract each row's maximum before exp, and add it again after the logarithm.": (
            lambda z, y: (z.exp().sum(1).log() - _true(z, y)).mean()
        ),
        "both overflow and −ln 0 happen here: subtract each row's maximum, and use −ln p = ln Σ e^z − z of the true "
        "class.": lambda z, y: -_true(z.exp() / z.exp().sum(1, keepdim=True), y).log().mean(),
        "the maximum was subtracted before exp and not added again after the logarithm.": (
            lambda z, y: (_exp(z).sum(1).log() - _true(z, y)).mean()
        ),
        "the sign is wrong: the loss is minus the logarithm, and never negative.": lambda z, y: -F.cross_entropy(z, y),
        "this is the sum over the batch; return the mean.": lambda z, y: F.cross_entropy(z, y, reduction="sum"),
        "this is one loss for each image; return their mean.": lambda z, y: F.cross_entropy(z, y, reduction="none"),
        "this is the mean over all classes; only the true class counts.": lambda z, y: -z.log_softmax(1).mean(),
        "a tiny number inside the logarithm hides the infinity and gives a wrong loss where p is small; "
        "use −ln p = ln Σ e^z − z of the true class.": lambda z, y: -(_true(z.softmax(1), y) + 1e-9).log().mean(),
        "the logits are softmaxed twice.": lambda z, y: F.cross_entropy(z.softmax(1), y),
    },
    tolerance=1e-4,
)


# Task 5: one gradient step by hand


def _problems(rng: random.Random) -> list[Case]:
    sizes = [(1, 2, 2), (2, 3, 2), (3, 3, 3), (1, 1, 2), (4, 2, 5)]
    sizes += [(rng.randint(1, 8), rng.randint(1, 6), rng.randint(2, 6)) for _ in range(16)]
    cases = []
    for n, d, k in sizes:
        source = _source(rng)
        weights, biases, inputs = (_short(*shape, source=source) for shape in ((k, d), (k,), (n, d)))
        labels = torch.randint(k, (n,), generator=source)
        cases.append((weights, biases, inputs, labels, rng.choice((0.01, 0.1, 0.5, 2.0))))
    return cases


def _autograd_step(weights: Tensor, biases: Tensor, inputs: Tensor, labels: Tensor, rate: float) -> list[Tensor]:
    """Return the weights and the biases after one step of SGD by PyTorch."""
    parameters = [weights.requires_grad_(), biases.requires_grad_()]
    optimizer = torch.optim.SGD(parameters, lr=rate)
    F.cross_entropy(F.linear(inputs, weights, biases), labels).backward()
    optimizer.step()
    return [p.detach() for p in parameters]


def _step(
    weights: Tensor,
    biases: Tensor,
    inputs: Tensor,
    labels: Tensor,
    rate: float,
    *,
    sign: float = -1,
    scale: Callable[[Tensor], float] = len,
    right: float = 1,
    bias_rate: float = 1,
    at: tuple[Tensor, Tensor] | None = None,
) -> list[Tensor]:
    """One step from the formula, with room for the usual mistakes; ``at`` moves the place of the gradient."""
    p = F.linear(inputs, *(at or (weights, biases))).softmax(1)
    error = (p - right * F.one_hot(labels, len(biases))) / scale(inputs)
    return [weights + sign * rate * error.T @ inputs, biases + sign * rate * bias_rate * error.sum(0)]


def _wrong_step(**options: Any) -> Callable[..., list[Tensor]]:
    return lambda *case: _step(*case, **options)


gradient_step = Task(
    "gradient_step",
    _autograd_step,
    _problems,
    mistakes={
        "this climbs: the step goes against the gradient.": _wrong_step(sign=1),
        "the loss is a mean over the batch: divide by the number of inputs.": _wrong_step(scale=lambda x: 1),
        "divide by the number of inputs alone; the loss is no mean over the classes.": _wrong_step(
            scale=lambda x: x.numel()
        ),
        "the error is p − y: subtract 1 at the true class.": _wrong_step(right=0),
        "the biases stay as they are; they are parameters, too.": _wrong_step(bias_rate=0),
        "these are the gradients; return weights − rate · gradient, and the same for the biases.": (
            lambda w, b, x, y, rate: _step(0 * w, 0 * b, x, y, 1.0, sign=1, at=(w, b))
        ),
        "the learning rate is missing.": lambda w, b, x, y, rate: _step(w, b, x, y, 1.0),
    },
)


# Task 6: repair a training loop


def _learned(train: Callable[..., Any]) -> Callable[..., Any]:
    """Run a training function on a small problem and look at what it leaves behind."""

    def run(sizes: tuple[int, ...], epochs: int, seed: int) -> list[Any]:
        source = torch.Generator().manual_seed(seed)

        def draw(n: int, noise: float) -> tuple[Tensor, Tensor]:
            labels = torch.randint(3, (n,), generator=source)
            return F.one_hot(labels, 3).double() + noise * torch.randn(n, 3, generator=source).double(), labels

        batches, validation = [draw(n, 0.3) for n in sizes], draw(17, 1.0)
        model = nn.Sequential(nn.Dropout(0.5), nn.Linear(3, 3)).double()
        with torch.no_grad():
            model[1].weight.copy_(torch.randn(3, 3, generator=source))
            model[1].bias.zero_()
        random_state = torch.get_rng_state()
        torch.manual_seed(seed)  # dropout draws from the global generator
        model.eval()  # as an earlier evaluation left it
        try:
            result = train(model, torch.optim.SGD(model.parameters(), lr=0.5), batches, validation, epochs)
        finally:
            torch.set_rng_state(random_state)
        weights = [round(v, 3) for v in model[1].weight.detach().flatten().tolist()]
        if isinstance(result, (list, tuple)):
            result = [round(float(v), 3) if isinstance(v, (int, float, Tensor)) else v for v in result]
        return [weights, result]

    return run


def _train(
    model: nn.Module,
    optimizer: torch.optim.Optimizer,
    batches: list[tuple[Tensor, Tensor]],
    validation: tuple[Tensor, Tensor],
    epochs: int,
    *,
    forget: str = "before",
    early: bool = False,
    on_training: bool = False,
    evaluate: bool = True,
    switch: bool = True,
    percent: bool = False,
) -> list[float]:
    accuracies = []
    for _ in range(epochs):
        if switch:
            model.train()
        for inputs, labels in batches:
            loss = F.cross_entropy(model(inputs), labels)
            if early:
                optimizer.step()
            if forget == "before":
                optimizer.zero_grad()
            loss.backward()
            if forget == "after":
                optimizer.zero_grad()
            if not early:
                optimizer.step()
        if evaluate:
            model.eval()
        seen, truth = batches[-1] if on_training else validation
        with torch.no_grad():
            right = (model(seen).argmax(1) == truth).double().mean().item()
        accuracies.append(100 * right if percent else right)
    return accuracies


def _wrong_train(**options: Any) -> Callable[..., list[float]]:
    return lambda *case: _train(*case, **options)


# Each fault of the loop: how to make it, where to look, and what to do about it.
_FAULTS: tuple[tuple[dict[str, Any], str, str], ...] = (
    (
        {"forget": "never"},
        "the gradients of earlier batches",
        "the gradients of earlier batches are still in the sum: `backward` adds to them until `zero_grad` is called.",
    ),
    (
        {"early": True},
        "the order of the lines within a batch",
        "`step` comes before `backward`: it uses the gradient of the batch before, or none at all.",
    ),
    (
        {"on_training": True},
        "the images of the evaluation",
        "the weights are right, but the accuracy is that of training images; measure on the validation images.",
    ),
    (
        {"evaluate": False},
        "the mode during the evaluation",
        "the model is evaluated in training mode: dropout is still at work. Call `model.eval()` before the evaluation.",
    ),
    (
        {"switch": False},
        "the modes of the model",
        "the model is trained in evaluation mode: call `model.train()` at the start of every epoch.",
    ),
)


def _faults() -> dict[str, Callable[..., list[float]]]:
    """Return hint → wrong loop: one fault is explained, of several it is said where to look."""
    mistakes = {hint: _wrong_train(**options) for options, _, hint in _FAULTS}
    for count in range(2, len(_FAULTS) + 1):
        for chosen in itertools.combinations(_FAULTS, count):
            options = {name: value for fault in chosen for name, value in fault[0].items()}
            if {"evaluate", "switch"} <= options.keys():
                continue  # without either call the model stays in evaluation mode, as without `train` alone
            hint = f"several faults are left. Look at {'; '.join(place for _, place, _ in chosen)}."
            mistakes[hint] = _wrong_train(**options)
    return mistakes


train = Behaviour(
    "train",
    _learned(_train),
    lambda rng: [
        ((rng.randint(6, 16),) * rng.randint(1, 4) + (rng.randint(3, 6),), rng.randint(2, 4), rng.randrange(1000))
        for _ in range(22)
    ],
    mistakes={
        **_faults(),
        "`zero_grad` comes between `backward` and `step`, so every step is 0.": _wrong_train(forget="after"),
        "this is a percentage; return a share between 0 and 1.": _wrong_train(percent=True),
    },
    tolerance=2e-3,
    behaviour=_learned,
)
