"""Right and wrong answers to the exercises of chapter "Optimisers and learning rates"."""

from __future__ import annotations

import copy
import math

import numpy as np
import torch
from torch.nn import functional as F
from torch.optim.lr_scheduler import CosineAnnealingLR, LambdaLR


def momentum_with_rate_inside(w, gradients, lr, beta):
    """v ← βv − lr·g, w ← w + v: the same path while the rate is constant."""
    w, v = w.copy(), np.zeros_like(w)
    for g in gradients:
        v = beta * v - lr * g
        w += v
    return w


def momentum_by_powers(w, gradients, lr, beta):
    """Gradient s of T is used in T − s steps, each time faded once more."""
    steps = len(gradients)
    weights = [sum(beta**k for k in range(steps - s)) for s in range(steps)]
    return w - lr * np.tensordot(np.array(weights), gradients, axes=1) if steps else w.copy()


def adam(w, gradients, lr, betas, eps, *, start=1):
    m, v = np.zeros(w.shape), np.zeros(w.shape)
    b1, b2 = betas
    w = w.copy()
    for t in range(start, start + len(gradients)):
        g = gradients[t - start]
        m += (1 - b1) * (g - m)
        v += (1 - b2) * (g * g - v)
        w -= lr * math.sqrt(1 - b2**t) / (1 - b1**t) * m / (np.sqrt(v) + eps * math.sqrt(1 - b2**t))
    return w


def adam_with_corrections(w, gradients, lr, betas, eps, *, squares=True, keep=True):
    """Adam with a fault: v is not corrected, or the corrected means are carried on."""
    m = v = np.zeros(w.shape)
    for t in range(1, len(gradients) + 1):
        m = betas[0] * m + (1 - betas[0]) * gradients[t - 1]
        v = betas[1] * v + (1 - betas[1]) * gradients[t - 1] ** 2
        mean, square = m / (1 - betas[0] ** t), v / (1 - betas[1] ** t) if squares else v
        w = w - lr * mean / (square**0.5 + eps)
        m, v = (m, v) if keep else (mean, square)
    return w


def adam_in_place(w, gradients, lr, betas, eps):
    w[:] = adam(w, gradients, lr, betas, eps)
    return w


def rate_by_sine(step, steps, warmup, peak):
    if step < warmup:
        return peak / warmup * (step + 1)
    return peak * math.cos(math.pi / 2 * (step - warmup) / (steps - warmup)) ** 2


def rate_at_once(step, steps, warmup, peak):
    rise = (step + 1) / warmup if warmup else 1
    fall = 0.5 + 0.5 * math.cos(math.pi * max(0, step - warmup) / (steps - warmup))
    return peak * min(1.0, rise) * fall


def loop(model, optimizer, batches, epochs, *, schedule, before=False, per="batch", order=("zero", "back", "step")):
    scheduler = schedule(optimizer)
    for _ in range(epochs):
        for x, y in batches:
            loss = F.cross_entropy(model(x), y)
            for what in order:
                if what == "zero":
                    optimizer.zero_grad()
                elif what == "back":
                    loss.backward()
                else:
                    if before:
                        scheduler.step()
                    optimizer.step()
            if per == "batch" and not before:
                scheduler.step()
        if per == "epoch":
            scheduler.step()


def by_lambda(model, optimizer, batches, epochs):
    steps = epochs * len(batches)
    loop(
        model,
        optimizer,
        batches,
        epochs,
        schedule=lambda o: LambdaLR(o, lambda k: (1 + math.cos(math.pi * k / steps)) / 2),
    )


def by_hand(model, optimizer, batches, epochs):
    rate, done, steps = optimizer.param_groups[0]["lr"], 0, epochs * len(batches)
    for _ in range(epochs):
        for x, y in batches:
            optimizer.param_groups[0]["lr"] = rate * math.cos(math.pi / 2 * done / steps) ** 2
            optimizer.zero_grad()
            F.cross_entropy(model(x), y).backward()
            optimizer.step()
            done += 1


def broken(model, optimizer, batches, epochs):
    for _ in range(epochs):
        schedule = CosineAnnealingLR(optimizer, T_max=epochs)
        for x, y in batches:
            loss = F.cross_entropy(model(x), y)
            optimizer.zero_grad()
            loss.backward()
            schedule.step()
            optimizer.step()


def cosine(length, **options):
    return lambda model, optimizer, batches, epochs: loop(
        model,
        optimizer,
        batches,
        epochs,
        schedule=lambda o: CosineAnnealingLR(o, T_max=length(epochs, len(batches))),
        **options,
    )


def every_epoch_anew(model, optimizer, batches, epochs):
    for _ in range(epochs):
        loop(
            model,
            optimizer,
            batches,
            1,
            schedule=lambda o: CosineAnnealingLR(o, T_max=epochs * len(batches)),
        )


def sweep(model, batches, low, high, *, tensors=False, restore=True, count=None, limit=4.0, spaced=np.geomspace):
    """With torch.optim.SGD on a copy of the network, and the rates in advance."""
    net = copy.deepcopy(model) if restore else model
    optimizer = torch.optim.SGD(net.parameters(), lr=low)
    rates = spaced(low, high, count or len(batches)).tolist()
    losses = []
    for rate, (x, y) in zip(rates, batches, strict=False):
        optimizer.param_groups[0]["lr"] = rate
        loss = F.cross_entropy(net(x), y)
        losses.append(loss.item())
        if losses[-1] > limit * min(losses):
            break
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    rates = rates[: len(losses)]
    return (torch.tensor(rates), torch.tensor(losses)) if tensors else (rates, losses)


def unstepped(model, batches, low, high):
    rates, losses = np.geomspace(low, high, len(batches)).tolist(), []
    for x, y in batches:
        losses.append(F.cross_entropy(model(x), y).item())
        if losses[-1] > 4 * min(losses):
            break
    return rates[: len(losses)], losses


RIGHT = {
    "predictions": [(0.04, -0.5, 0.076, 3.01, 1.9), [1 / 25, 1 - 0.03 * 50, 3.8 / 50, 3 + 0.01, 2 * 0.95]],
    "momentum_steps": [momentum_with_rate_inside, momentum_by_powers],
    "adam_steps": [adam],
    "learning_rate": [rate_by_sine, rate_at_once],
    "train": [by_lambda, by_hand, cosine(lambda e, b: e * b)],
    "traps": [(0.2, 0, 0.4, 0.2, 0.4)],
    "range_test": [sweep, lambda *case: sweep(*case, tensors=True)],
    "curve_moves": [("left", "stays", "left", "stays", "right")],
}

WRONG = {
    "predictions": {
        "not the flattest": [1, -0.5, 0.076, 3.01, 1.9],
        "the limit is twice that": [0.02, -0.5, 0.076, 3.01, 1.9],
        "with its sign": [0.04, 0.5, 0.076, 3.01, 1.9],
        "whatever the gradient": [0.04, -0.5, 0.076, 3.002, 1.9],
        "5 %": [0.04, -0.5, 0.076, 3.01, 1.99],
        "is not right": [0.0, 0.0, 0.0, 0.0, 0.0],
        "must have 5": [0.04, -0.5, 0.076, 3.01],
    },
    "momentum_steps": {
        "keep v from step to step": lambda w, gradients, lr, beta: w - lr * gradients.sum(0),
        "without the factor 1 − β": lambda w, gradients, lr, beta: momentum_with_rate_inside(
            w, gradients, lr * (1 - beta), beta
        ),
        "this climbs": lambda w, gradients, lr, beta: momentum_with_rate_inside(w, gradients, -lr, beta),
        "how far the weights have moved": lambda w, *c: momentum_by_powers(w, *c) - w,
        "must be a NumPy array": lambda *c: torch.tensor(momentum_by_powers(*c)),
        "must be float64": lambda *c: momentum_by_powers(*c).astype(np.float32),
        "changed its arguments": lambda w, gradients, lr, beta: momentum_with_rate_inside(
            np.add(w, 0, out=w), np.negative(gradients, out=gradients), -lr, beta
        ),
        "shape": lambda *c: momentum_by_powers(*c)[:1],
        "(NoneType)": lambda *c: None,
        "got      [0]": lambda w, *c: np.zeros_like(w),
    },
    "adam_steps": {
        "t is one too large": lambda *c: adam(*c, start=2),
        "only m is corrected": lambda *c: adam_with_corrections(*c, squares=False),
        "written back": lambda *c: adam_with_corrections(*c, keep=False),
        "raised ZeroDivisionError": lambda *c: adam(*c, start=0),
        "not the gradient of this step": lambda w, g, lr, betas, eps: adam(w, g, lr, (0.0, betas[1]), eps),
        "here they are swapped": lambda w, g, lr, betas, eps: adam(w, g, lr, betas[::-1], eps),
        "this climbs": lambda w, g, lr, betas, eps: adam(w, -g, lr, betas, eps),
        "changed its arguments": adam_in_place,
        "the values differ": lambda w, g, lr, betas, eps: adam(w, g, lr, betas, 0.01),
        "must be a NumPy array": lambda *c: adam(*c).tolist(),
        "(NoneType)": lambda *c: None,
    },
    "learning_rate": {
        "a first step that moves nothing is lost": lambda step, steps, warmup, peak: (
            peak * step / warmup if step < warmup else rate_by_sine(step, steps, warmup, peak)
        ),
        "has already fallen when the warm-up ends": lambda step, steps, warmup, peak: (
            peak * (step + 1) / warmup if step < warmup else rate_by_sine(step, steps, 0, peak)
        ),
        "rises above peak": lambda step, steps, warmup, peak: (
            peak / warmup * (step + 1) if warmup and step <= warmup else rate_by_sine(step, steps, warmup, peak)
        ),
        "the warm-up is missing": lambda step, steps, warmup, peak: rate_by_sine(step, steps, 0, peak),
        "multiply it by peak": lambda step, steps, warmup, peak: rate_by_sine(step, steps, warmup, 1.0),
        "a straight line": lambda step, steps, warmup, peak: (
            peak * (step + 1) / warmup if step < warmup else peak * (steps - step) / (steps - warmup)
        ),
        "add 1 and halve it": lambda step, steps, warmup, peak: (
            peak * (step + 1) / warmup
            if step < warmup
            else peak * math.cos(math.pi * (step - warmup) / (steps - warmup))
        ),
        "raised ZeroDivisionError": lambda step, steps, warmup, peak: min(
            peak * (step + 1) / warmup, rate_by_sine(step, steps, warmup, peak)
        ),
        "(NoneType)": lambda *c: None,
        "got      0": lambda *c: 0.0,
    },
    "train": {
        "the length of the cosine; the order of the two steps; the place where": broken,
        "T_max is the number of calls": cosine(lambda e, b: e),
        "the first rate is never used": cosine(lambda e, b: e * b, before=True),
        "make it once, before the loop": every_epoch_anew,
        "the rate changes once an epoch": cosine(lambda e, b: e, per="epoch"),
        "so the rate hardly falls": cosine(lambda e, b: e * b, per="epoch"),
        "the rate is 0 after one epoch": cosine(lambda e, b: b),
        "is not called": cosine(lambda e, b: e * b, per="never"),
        "was lost on the way": cosine(lambda e, b: e * b, order=("back", "step")),
        "entry 0": lambda *c: None,
        "entry 2": cosine(lambda e, b: e * b, order=("back", "zero", "step")),
    },
    "traps": {
        "the cosine does not stay at 0": [0.2, 0.0, 0.0, 0.0, 0.4],
        "it counts calls of step()": [0.4, 0.4, 0.4, 0.4, 0.4],
        "who never calls step()": [0.2, 0.0, 0.4, 0.2, 0.0],
        "is not right": [0.0, 0.0, 0.0, 0.0, 0.0],
        "must have 5": [0.2, 0.0, 0.4, 0.2],
    },
    "range_test": {
        "equal amounts": lambda *c: sweep(*c, spaced=np.linspace),
        "the last rate is not `high`": lambda m, b, low, high: sweep(m, b, low, high, count=len(b) + 1),
        "have changed": lambda *c: sweep(*c, restore=False),
        "goes on after the loss": lambda *c: sweep(*c, limit=1e9),
        "the weights never move": unstepped,
        "return the rates first": lambda *c: sweep(*c)[::-1],
        "no pair of lists": lambda *c: sweep(*c)[1],
        "0 losses": lambda *c: (sweep(*c)[0], []),
        "entry 2": lambda *c: (sweep(*c)[0], [0.0] * len(sweep(*c)[1])),
        "raised TypeError": lambda m, b, low, high: sweep(m, b, low),
    },
    "curve_moves": {
        "SGD's curve moves left": ["right", "stays", "right", "stays", "right"],
        "a factor in the loss cancels": ["left", "left", "left", "left", "right"],
        "the limit 2/λ grows": ["left", "stays", "left", "stays", "left"],
        "inputs do matter to SGD": ["left", "stays", "left", "stays", "stays"],
        "is not right": ["stays"] * 5,
        "must be a list": "left",
    },
}
