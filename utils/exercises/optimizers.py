"""Checks of the exercises of chapter "Optimisers and learning rates"."""

from __future__ import annotations

import itertools
import math
import random
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F
from torch.optim import SGD, Adam, AdamW, Optimizer
from torch.optim.lr_scheduler import CosineAnnealingLR, LinearLR, LRScheduler

from utils.exercises.core import Answer, Behaviour, Case, Task

Tensor = torch.Tensor
Array = np.ndarray

# Task 1: predict steps


def _after_one_step(make: Callable[[list[Tensor]], Optimizer], weight: float, gradient: float) -> float:
    """Return a weight after one step of an optimiser."""
    w = torch.tensor([weight], dtype=torch.float64, requires_grad=True)
    optimizer = make([w])
    w.grad = torch.full_like(w, gradient)
    optimizer.step()
    return w.item()


def _predictions() -> list[float]:
    curvatures = torch.tensor([2.0, 50.0])
    hessian = torch.autograd.functional.hessian(lambda w: (curvatures * w**2).sum() / 2, torch.ones(2))
    steepest = torch.linalg.eigvalsh(hessian).max().item()
    factor = _after_one_step(lambda w: SGD(w, lr=0.03), 1.0, steepest)
    return [
        2 / steepest,
        factor,
        2 * 1.9 / steepest,
        _after_one_step(lambda w: Adam(w, lr=0.01), 3.0, -0.2),
        _after_one_step(lambda w: AdamW(w, lr=0.1, weight_decay=0.5), 2.0, 0.0),
    ]


predictions = Answer(
    "predictions",
    _predictions,
    mistakes={
        "the first number: the steepest direction, 50, sets the limit, not the flattest.": [1, -0.5, 0.076, 3.01, 1.9],
        "the first number: 1/λ is where one step reaches the bottom; the limit is twice that.": (
            [0.02, -0.5, 0.076, 3.01, 1.9]
        ),
        "the second number: the distance is multiplied by 1 − ηλ, with its sign.": [0.04, 0.5, 0.076, 3.01, 1.9],
        "the third number: with momentum β the limit is 2(1 + β)/λ.": [0.04, -0.5, 0.004, 3.01, 1.9],
        "the fourth number: Adam's first step has the length of the learning rate, whatever the gradient.": (
            [0.04, -0.5, 0.076, 3.002, 1.9]
        ),
        "the fourth number: the step goes against the gradient, which is negative.": [0.04, -0.5, 0.076, 2.99, 1.9],
        "the fifth number: AdamW's decay is not divided by anything: it is ηλ of the weight, 5 %.": (
            [0.04, -0.5, 0.076, 3.01, 1.99]
        ),
        "the fifth number: here Adam would move by its whole rate, 0.1; AdamW shrinks by the share ηλ.": (
            [0.04, -0.5, 0.076, 3.01, 2.0]
        ),
    },
    tolerance=1e-4,
)


# Task 2: momentum and Adam by hand, in NumPy


def _gradients(rng: random.Random) -> list[tuple[Array, Array]]:
    """Return weights (n,) and gradients (T, n): one step first, then more; some gradients are 0."""
    sizes = [(1, 1), (1, 2), (2, 1), (2, 2), (0, 3), (3, 1), (3, 3)]
    sizes += [(rng.randint(2, 12), rng.randint(1, 5)) for _ in range(17)]
    cases = []
    for steps, n in sizes:
        numbers = np.random.RandomState(rng.randrange(10**6))
        gradients = numbers.randn(steps, n).round(1) * rng.choice((1.0, 1.0, 10.0))
        cases.append((numbers.randn(n).round(1), gradients))
    cases[6][1][:, 0] = 0.0
    return cases


def _by_torch(make: Callable[[list[Tensor]], Optimizer], w: Array, gradients: Array) -> Array:
    """Return the weights after one step of a PyTorch optimiser for each row of ``gradients``."""
    weight = torch.tensor(w, requires_grad=True)
    optimizer = make([weight])
    for gradient in gradients:
        weight.grad = torch.tensor(gradient)
        optimizer.step()
    return weight.detach().numpy()


def _momentum(
    w: Array,
    gradients: Array,
    lr: float,
    beta: float,
    *,
    new: float = 1.0,
    late: bool = False,
    nesterov: bool = False,
    sign: float = -1.0,
    keep: bool = True,
) -> Array:
    v = np.zeros_like(w)
    for g in gradients:
        before = v
        v = (beta * v if keep else 0) + new * g
        w = w + sign * lr * (before if late else g + beta * v if nesterov else v)
    return w


momentum_steps = Task(
    "momentum_steps",
    lambda w, gradients, lr, beta: _by_torch(lambda p: SGD(p, lr=lr, momentum=beta), w, gradients),
    lambda rng: [(w, g, rng.choice((0.01, 0.1, 0.5)), rng.choice((0.5, 0.9, 0.0))) for w, g in _gradients(rng)],
    mistakes={
        "this is SGD without momentum: keep v from step to step.": lambda *c: _momentum(*c, keep=False),
        "PyTorch's velocity is βv + g, without the factor 1 − β of a running mean.": (
            lambda w, g, lr, beta: _momentum(w, g, lr, beta, new=1 - beta)
        ),
        "the step uses the velocity of the step before; update v first, then w.": lambda *c: _momentum(*c, late=True),
        "this is Nesterov momentum; here the step is lr · v.": lambda *c: _momentum(*c, nesterov=True),
        "this climbs: the step goes against the velocity.": lambda *c: _momentum(*c, sign=1.0),
        "this is how far the weights have moved; return the weights.": lambda w, *c: _momentum(w, *c) - w,
    },
    tolerance=1e-9,
)


def _adam(
    w: Array,
    gradients: Array,
    lr: float,
    betas: tuple[float, float],
    eps: float,
    *,
    correct: bool = True,
    both: bool = True,
    written_back: bool = False,
    late: int = 0,
    root: bool = True,
    inside: bool = False,
    square: Callable[[Array], Array] = np.square,
    sign: float = -1.0,
    first: bool = True,
) -> Array:
    b1, b2 = betas
    m = v = np.zeros_like(w)
    for t, g in enumerate(gradients, 1 + late):
        m = b1 * m + (1 - b1) * g if first else g
        v = b2 * v + (1 - b2) * square(g)
        mean, squares = (m / (1 - b1**t) if first else m, v / (1 - b2**t) if both else v) if correct else (m, v)
        if written_back:
            m, v = mean, squares
        scale = np.sqrt(squares + eps) if inside else (np.sqrt(squares) if root else squares) + eps
        w = w + sign * lr * mean / scale
    return w


def _adam_cases(rng: random.Random) -> list[Case]:
    # A large eps shows where it is added; betas far from the usual ones show which is which.
    return [
        (w, g, rng.choice((0.001, 0.01, 0.1)), rng.choice(((0.9, 0.999), (0.5, 0.9), (0.8, 0.6))), eps)
        for (w, g), eps in zip(_gradients(rng), itertools.cycle((1e-8, 0.1)), strict=False)
    ]


adam_steps = Task(
    "adam_steps",
    lambda w, gradients, lr, betas, eps: _by_torch(lambda p: Adam(p, lr=lr, betas=betas, eps=eps), w, gradients),
    _adam_cases,
    mistakes={
        "the two corrections are missing: divide m by 1 − β₁^t and v by 1 − β₂^t.": lambda *c: _adam(*c, correct=False),
        "only m is corrected: divide v by 1 − β₂^t as well.": lambda *c: _adam(*c, both=False),
        "the corrected values are written back into m and v; give them names of their own, for this step alone.": (
            lambda *c: _adam(*c, written_back=True)
        ),
        "t is one too large in the corrections: it is 1 in the first step.": lambda *c: _adam(*c, late=1),
        "the step divides by the square root of v, not by v.": lambda *c: _adam(*c, root=False),
        "eps is added to the root, not inside it.": lambda *c: _adam(*c, inside=True),
        "v is the running mean of the squares of g, not of their absolute values.": lambda *c: _adam(*c, square=np.abs),
        "β₁ belongs to m and β₂ to v; here they are swapped.": lambda w, g, lr, b, e: _adam(w, g, lr, b[::-1], e),
        "the numerator is m, the running mean, not the gradient of this step alone.": lambda *c: _adam(*c, first=False),
        "this climbs: the step goes against m.": lambda *c: _adam(*c, sign=1.0),
    },
    tolerance=1e-7,
)


# Task 3: a cosine with warm-up


def _rates(make: Callable[[Optimizer], LRScheduler], count: int, peak: float) -> list[float]:
    """Return the rates of ``count`` steps under a scheduler of PyTorch."""
    optimizer = SGD([nn.Parameter(torch.zeros(1))], lr=peak)
    scheduler, used = make(optimizer), []
    for _ in range(count):
        used.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        scheduler.step()
    return used


def _torch_rate(step: int, steps: int, warmup: int, peak: float) -> float:
    if step >= warmup:
        return _rates(lambda o: CosineAnnealingLR(o, T_max=steps - warmup), step - warmup + 1, peak)[-1]
    if warmup == 1:
        return peak
    return _rates(lambda o: LinearLR(o, start_factor=1 / warmup, total_iters=warmup - 1), step + 1, peak)[-1]


def _schedules(rng: random.Random) -> list[Case]:
    cases: list[Case] = [(0, 10, 0, 1.0), (0, 10, 2, 1.0), (1, 10, 2, 1.0), (2, 10, 2, 1.0), (6, 10, 2, 1.0)]
    cases += [(9, 10, 2, 0.1), (0, 4, 1, 0.5), (1, 4, 1, 0.5), (5, 10, 0, 0.2), (9, 10, 9, 0.3), (8, 10, 9, 0.3)]
    for _ in range(20):
        steps = rng.randint(5, 60)
        cases.append((rng.randrange(steps), steps, rng.randrange(steps // 2 + 1), rng.choice((0.001, 0.1, 0.5))))
    return cases


def _rate(
    step: int,
    steps: int,
    warmup: int,
    peak: float,
    *,
    first: int = 1,
    shifted: bool = True,
    rise: bool = True,
    longer: int = 0,
    curve: Callable[[float], float] = lambda share: (1 + math.cos(math.pi * share)) / 2,
    end: int = 0,
    scale: bool = True,
) -> float:
    if rise and step < warmup + longer:
        factor = (step + first) / warmup
    elif shifted:
        factor = curve((step - warmup) / max(1, steps - warmup - end))
    else:
        factor = curve(step / steps)
    return peak * factor if scale else factor


learning_rate = Task(
    "learning_rate",
    _torch_rate,
    _schedules,
    mistakes={
        "the warm-up begins at 0: a first step that moves nothing is lost. Step 0 has the rate peak / warmup.": (
            lambda *c: _rate(*c, first=0)
        ),
        "the cosine counts from step 0, so it has already fallen when the warm-up ends, and the rate jumps. Let it "
        "begin at step warmup.": lambda *c: _rate(*c, shifted=False),
        "the cosine has the length of all steps, so it does not reach 0; steps − warmup are left for it.": (
            lambda step, steps, warmup, peak: _rate(step, steps + warmup, warmup, peak)
        ),
        "the warm-up takes one step too many and rises above peak: step number `warmup` belongs to the cosine.": (
            lambda step, steps, warmup, peak: _rate(step, steps, warmup, peak, longer=min(1, warmup))
        ),
        "the warm-up is missing.": lambda step, steps, warmup, peak: _rate(step, steps, 0, peak),
        "a straight line falls here; the factor is (1 + cos πs) / 2.": lambda *c: _rate(*c, curve=lambda s: 1 - s),
        "a cosine from 0 to π runs from 1 to −1; add 1 and halve it.": (
            lambda *c: _rate(*c, curve=lambda s: math.cos(math.pi * s))
        ),
        "a quarter of a cosine: it falls at full speed when it ends. The factor is (1 + cos πs) / 2.": (
            lambda *c: _rate(*c, curve=lambda s: math.cos(math.pi * s / 2))
        ),
        "the rate is 0 in the last step already; it reaches 0 at step = steps, which is no longer taken.": (
            lambda *c: _rate(*c, end=1)
        ),
        "this is the factor; multiply it by peak.": lambda *c: _rate(*c, scale=False),
    },
    tolerance=1e-7,
)


# Task 4: repair a loop with scheduler faults


def _followed(train: Callable[..., Any]) -> Callable[..., Any]:
    """Run a training function on a small problem; look at the rate of every step and at the weights at the end."""

    def run(batches: int, epochs: int, rate: float, seed: int) -> list[Any]:
        source = torch.Generator().manual_seed(seed)
        data = []
        for _ in range(batches):
            labels = torch.randint(3, (5,), generator=source)
            data.append((F.one_hot(labels, 3).double() + torch.randn(5, 3, generator=source).double(), labels))
        model = nn.Linear(3, 3).double()
        with torch.no_grad():
            model.weight.copy_(torch.randn(3, 3, generator=source))
            model.bias.zero_()
        optimizer = SGD(model.parameters(), lr=rate)
        rates: list[float] = []
        optimizer.register_step_pre_hook(lambda o, *_: rates.append(round(o.param_groups[0]["lr"], 4)))
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of PyTorch, about the order: the message of the check says it, too
            train(model, optimizer, data, epochs)
        weights = [round(value, 3) for value in model.weight.detach().flatten().tolist()]
        return [f"{len(rates)} steps", rates, weights]

    return run


def _train(
    model: nn.Module,
    optimizer: Optimizer,
    batches: list[tuple[Tensor, Tensor]],
    epochs: int,
    *,
    length: str = "all",
    early: bool = False,
    anew: bool = False,
    every: str = "batch",
    forget: bool = True,
) -> None:
    count = {"all": epochs * len(batches), "epochs": epochs, "batches": len(batches)}[length]
    schedule = CosineAnnealingLR(optimizer, T_max=count)
    for epoch in range(epochs):
        if anew and epoch:
            schedule = CosineAnnealingLR(optimizer, T_max=count)
        for inputs, labels in batches:
            loss = F.cross_entropy(model(inputs), labels)
            if forget:
                optimizer.zero_grad()
            loss.backward()
            if early:
                schedule.step()
            optimizer.step()
            if every == "batch" and not early:
                schedule.step()
        if every == "epoch":
            schedule.step()


def _wrong_train(**options: Any) -> Callable[..., None]:
    return lambda *case: _train(*case, **options)


_FAULTS: tuple[tuple[dict[str, Any], str, str], ...] = (
    (
        {"length": "epochs"},
        "the length of the cosine",
        "T_max is counted in epochs, but step() is called after each batch: the rate is 0 after a few batches, and then "
        "climbs. T_max is the number of calls.",
    ),
    (
        {"early": True},
        "the order of the two steps",
        "`schedule.step()` comes before `optimizer.step()`: the first rate is never used, and the last step has the "
        "rate 0.",
    ),
    (
        {"anew": True},
        "the place where the scheduler is made",
        "a new scheduler in each epoch starts a new cosine, from the rate that it finds; make it once, before the loop.",
    ),
)


def _train_mistakes() -> dict[str, Callable[..., None]]:
    """Return hint → wrong loop: one fault is explained, of several it is said where to look."""
    mistakes = {hint: _wrong_train(**options) for options, _, hint in _FAULTS}
    for count in (2, 3):
        for chosen in itertools.combinations(_FAULTS, count):
            options = {name: value for fault in chosen for name, value in fault[0].items()}
            places = "; ".join(place for _, place, _ in chosen)
            mistakes[f"several faults are left. Look at {places}."] = _wrong_train(**options)
    return mistakes


train = Behaviour(
    "train",
    _followed(_train),
    lambda rng: [
        (rng.randint(2, 5), rng.randint(2, 4), rng.choice((0.1, 0.5, 1.0)), rng.randrange(1000)) for _ in range(22)
    ],
    mistakes={
        **_train_mistakes(),
        "the rate changes once an epoch; it is to change after each batch.": _wrong_train(
            length="epochs", every="epoch"
        ),
        "step() is called once an epoch, but T_max counts batches, so the rate hardly falls.": _wrong_train(
            every="epoch"
        ),
        "T_max is the number of batches in one epoch: the rate is 0 after one epoch, and then climbs.": _wrong_train(
            length="batches"
        ),
        "the rate never changes: `schedule.step()` is not called.": _wrong_train(every="never"),
        "`optimizer.zero_grad()` was lost on the way.": _wrong_train(forget=False),
    },
    tolerance=2e-3,
    behaviour=_followed,
)


# Task 5: predict what a scheduler does


def _trap_rates() -> list[float]:
    wave = _rates(lambda o: CosineAnnealingLR(o, T_max=10), 26, 0.4)
    never = _rates(lambda o: LinearLR(o, start_factor=1.0, total_iters=1), 26, 0.4)
    return [round(value, 6) for value in (wave[5], wave[10], wave[20], wave[25], never[25])]


traps = Answer(
    "traps",
    _trap_rates,
    mistakes={
        "the cosine does not stay at 0: after 10 calls it climbs, and after 20 it is at the top.": (
            [0.2, 0.0, 0.0, 0.0, 0.4]
        ),
        "this would be right if T_max counted epochs of 25 batches; it counts calls of step().": (
            [0.4, 0.4, 0.4, 0.4, 0.4]
        ),
        "the cosine does not jump back to the top after 10 calls; it climbs as slowly as it fell.": (
            [0.2, 0.4, 0.4, 0.2, 0.4]
        ),
        "the last one: who never calls step() keeps the rate with which the optimiser was made.": (
            [0.2, 0.0, 0.4, 0.2, 0.0]
        ),
        "the fourth one: 25 calls are a whole wave of 20 and half of the next fall.": [0.2, 0.0, 0.4, 0.4, 0.4],
    },
    tolerance=1e-4,
)


# Task 6: a learning-rate range test


def _tested(range_test: Callable[..., Any]) -> Callable[..., Any]:
    """Run a range test on a small problem; look at what it returns and at the weights that it leaves."""

    def run(count: int, low: float, high: float, seed: int) -> list[Any]:
        source = torch.Generator().manual_seed(seed)
        batches = []
        for _ in range(count):
            labels = torch.randint(3, (6,), generator=source)
            batches.append((F.one_hot(labels, 3).double() + torch.randn(6, 3, generator=source).double(), labels))
        model = nn.Linear(3, 3).double()
        with torch.no_grad():
            model.weight.copy_(torch.randn(3, 3, generator=source) * 0.3)
            model.bias.zero_()
        before = [p.detach().clone() for p in model.parameters()]
        result = range_test(model, batches, low, high)
        restored = all(torch.equal(p.detach(), b) for p, b in zip(model.parameters(), before, strict=True))
        weights = "the weights are those of before" if restored else "the weights have changed"
        if not isinstance(result, (tuple, list)) or len(result) != 2 or not all(hasattr(r, "__len__") for r in result):
            return ["no pair of lists", weights]
        rates, losses = ([round(float(v), 5) for v in values] for values in result)
        return [f"{len(rates)} rates, {len(losses)} losses", rates, losses, weights]

    return run


def _range_test(
    model: nn.Module,
    batches: list[tuple[Tensor, Tensor]],
    low: float,
    high: float,
    *,
    spacing: str = "factor",
    last: int = 1,
    restore: bool = True,
    stop: bool = True,
    listed: bool = True,
    after: bool = False,
    move: bool = True,
    best_of_all: bool = True,
) -> tuple[list[float], list[float]]:
    before = [p.detach().clone() for p in model.parameters()]
    rates: list[float] = []
    losses: list[float] = []
    for i, (inputs, labels) in enumerate(batches):
        share = i / (len(batches) - last)
        rate = low * (high / low) ** share if spacing == "factor" else low + (high - low) * share
        loss = F.cross_entropy(model(inputs), labels)
        gradients = torch.autograd.grad(loss, list(model.parameters()))
        smallest = min(losses if best_of_all else losses[:1], default=math.inf)
        over = stop and loss.item() > 4 * smallest
        if over and not listed:
            break
        if move and not (over and not after):
            with torch.no_grad():
                for p, g in zip(model.parameters(), gradients, strict=True):
                    p -= rate * g
        rates.append(rate)
        losses.append(F.cross_entropy(model(inputs), labels).item() if after else loss.item())
        if over:
            break
    if restore:
        with torch.no_grad():
            for p, b in zip(model.parameters(), before, strict=True):
                p.copy_(b)
    return rates, losses


def _wrong_range(**options: Any) -> Callable[..., Any]:
    return lambda *case: _range_test(*case, **options)


range_test = Behaviour(
    "range_test",
    _tested(_range_test),
    lambda rng: [
        (rng.randint(2, 14), rng.choice((0.001, 0.01)), rng.choice((1.0, 100.0, 1000.0)), rng.randrange(1000))
        for _ in range(24)
    ],
    mistakes={
        "the rates grow by equal amounts; they are to grow by equal factors, or most steps are spent at large rates.": (
            _wrong_range(spacing="amount")
        ),
        "the last rate is not `high`: n batches have n − 1 steps from the first rate to the last.": _wrong_range(
            last=0
        ),
        "the weights are not those of before: a test leaves the network as it found it. Copy the state, load it back.": (
            _wrong_range(restore=False)
        ),
        "it goes on after the loss has grown to more than four times the smallest so far.": _wrong_range(stop=False),
        "the loss at which it stops is missing; list it, then stop.": _wrong_range(listed=False),
        "the losses are measured after the step; take the loss from which the gradient came.": _wrong_range(after=True),
        "the weights never move: take a step with each rate.": _wrong_range(move=False),
        "compare with the smallest loss so far, not with the first one.": _wrong_range(best_of_all=False),
        "return the rates first, then the losses.": lambda *case: _range_test(*case)[::-1],
    },
    tolerance=2e-3,
    behaviour=_tested,
)


def _limit(make: Callable[..., Optimizer], *, loss_scale: float = 1.0, input_scale: float = 1.0) -> float:
    """Return the smallest rate, on a grid of factors of two, with which least squares end no better than they began."""
    source = torch.Generator().manual_seed(0)
    inputs = torch.randn(50, 3, generator=source, dtype=torch.float64)
    targets = inputs @ torch.tensor([1.0, -2.0, 0.5], dtype=torch.float64)
    for power in range(-16, 24):
        w = torch.zeros(3, dtype=torch.float64, requires_grad=True)
        optimizer, losses = make([w], lr=2.0**power), []
        for _ in range(30):
            loss = loss_scale * ((input_scale * inputs @ w - targets) ** 2).mean()
            losses.append(loss.item())
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        if not losses[-1] < losses[0]:
            return 2.0**power
    raise AssertionError("no rate was too large.")


def _moves() -> list[str]:
    """Return where the limit goes for each change of the task: least squares stand for the network."""
    changes: list[tuple[Callable[..., Optimizer], dict[str, float]]] = [
        (SGD, {"loss_scale": 10.0}),
        (Adam, {"loss_scale": 10.0}),
        (SGD, {"loss_scale": 50.0}),
        (AdamW, {"loss_scale": 50.0}),
        (SGD, {"input_scale": 0.1}),
    ]
    words = []
    for make, options in changes:
        now, then = _limit(make), _limit(make, **options)
        words.append("left" if then < now else "right" if then > now else "stays")
    return words


curve_moves = Answer(
    "curve_moves",
    _moves,
    mistakes={
        "a larger loss has larger gradients and a larger curvature, so the limit 2/λ falls: SGD's curve moves left.": (
            ["right", "stays", "right", "stays", "right"]
        ),
        "Adam and AdamW divide by the size of the gradients, so a factor in the loss cancels.": (
            ["left", "left", "left", "left", "right"]
        ),
        "the last one: with inputs a tenth as large, the curvature is a hundredth, and the limit 2/λ grows.": (
            ["left", "stays", "left", "stays", "left"]
        ),
        "the last one: inputs do matter to SGD: the curvature grows with their square.": (
            ["left", "stays", "left", "stays", "stays"]
        ),
    },
)
