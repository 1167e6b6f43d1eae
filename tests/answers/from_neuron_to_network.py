"""Right and wrong answers to the exercises of chapter "From a neuron to a trained network"."""

from __future__ import annotations

import math

import torch
from torch.nn import functional as F


def loop_layer(x, w, b):
    rows = [[(x[n] * w[k]).sum() + b[k] for k in range(len(w))] for n in range(len(x))]
    return torch.tensor(rows)


def loop_softmax(z):
    """p_i = 1 / Σ e^(z_j − z_i), in float64: a sum that overflows gives 0, which is right."""
    rows = []
    for row in z.double():
        rows.append(torch.stack([1 / (row - v).exp().sum() for v in row]))
    return torch.stack(rows).float()


def in_place_softmax(z):
    z -= z.max(1, keepdim=True).values
    return z.exp() / z.exp().sum(1, keepdim=True)


def loss_by_logsumexp(z, y):
    return (torch.logsumexp(z, 1) - z.gather(1, y[:, None])[:, 0]).mean()


def loss_in_double(z, y):
    return -z.double().log_softmax(1)[range(len(y)), y].mean().float()


def step(w, b, x, y, rate):
    p = (x @ w.T + b).softmax(1) - F.one_hot(y, len(b))
    return [w - rate * p.T @ x / len(x), b - rate * p.mean(0)]


def step_by_loops(w, b, x, y, rate):
    new_w, new_b = w.clone(), b.clone()
    for image, label in zip(x, y, strict=True):
        p = (w @ image + b).softmax(0)
        for k in range(len(b)):
            error = p[k] - (1.0 if k == label else 0.0)
            new_w[k] -= rate * error * image / len(x)
            new_b[k] -= rate * error / len(x)
    return [new_w, new_b]


def step_in_place(w, b, x, y, rate):
    new_w, new_b = step(w, b, x, y, rate)
    return [w.copy_(new_w), b.copy_(new_b)]


def loop(
    model,
    optimizer,
    batches,
    validation,
    epochs,
    *,
    order=("zero", "back", "step"),
    train=True,
    evaluate=True,
    test=None,
    every=1,
):
    result = []
    for _ in range(epochs):
        if train:
            model.train()
        for i, (x, y) in enumerate(batches):
            loss = F.cross_entropy(model(x), y)
            for what in order:
                if what == "zero":
                    optimizer.zero_grad()
                elif what == "back":
                    loss.backward()
                elif i % every == 0:
                    optimizer.step()
        if evaluate:
            model.eval()
        x, y = test(batches, validation) if test else validation
        result.append((model(x).argmax(1) == y).double().mean().item())
    return result


def by_autograd_grad(model, optimizer, batches, validation, epochs):
    """Gradients without .grad, the step by hand, accuracies as tensors."""
    result = []
    for _ in range(epochs):
        model.train()
        for x, y in batches:
            gradients = torch.autograd.grad(F.cross_entropy(model(x), y), list(model.parameters()))
            with torch.no_grad():
                for p, g in zip(model.parameters(), gradients, strict=True):
                    p -= optimizer.param_groups[0]["lr"] * g
        model.eval()
        x, y = validation
        result.append((model(x).max(1).indices == y).float().mean())
    return result


def broken(model, optimizer, batches, validation, epochs):
    return loop(
        model,
        optimizer,
        batches,
        validation,
        epochs,
        order=("step", "back"),
        train=False,
        evaluate=False,
        test=lambda b, v: b[-1],
    )


RIGHT = {
    "start_losses": [[math.log(2), math.log(10), math.log(1000)], (0.69, 2.3, 6.91), [0.693, 2.303, 6.908]],
    "layer": [loop_layer, lambda x, w, b: torch.einsum("nd,kd->nk", x, w) + b],
    "softmax": [loop_softmax, lambda z: z.log_softmax(1).exp()],
    "cross_entropy": [loss_by_logsumexp, loss_in_double],
    "gradient_step": [step, step_by_loops],
    "train": [loop, by_autograd_grad],
}

WRONG = {
    "start_losses": {
        "these are probabilities": [0.5, 0.1, 0.001],
        "base 10": [0.3, 1.0, 3.0],
        "base 2": [1.0, 3.32, 9.97],
        "is positive": [-0.69, -2.3, -6.91],
        "the loss is not 0": [0.0, 0.0, 0.0],
        "entry 2": [0.69, 2.3, 6.2],
        "must have 3": [0.69, 2.3],
        "must be a list": 2.3,
    },
    "layer": {
        "the biases are missing": lambda x, w, b: x @ w.T,
        "the biases are subtracted": lambda x, w, b: x @ w.T - b,
        "a ReLU follows": lambda x, w, b: (x @ w.T + b).clamp(min=0),
        "transposed": lambda x, w, b: w @ x.T + b[:, None],
        "every neuron gets the first bias": lambda x, w, b: x @ w.T + b[:1],
        "raised RuntimeError": lambda x, w, b: x @ w + b,
        "must be torch.float32": lambda x, w, b: F.linear(x.double(), w.double(), b.double()),
        "must have (1, 3)": lambda x, w, b: (x @ w.T + b).flatten(),
        "the values differ": lambda x, w, b: torch.zeros(len(x), len(w)),
        "must be a tensor": lambda x, w, b: None,
    },
    "softmax": {
        "large logits overflow": lambda z: z.exp() / z.exp().sum(1, keepdim=True),
        "one maximum for the whole batch": lambda z: (z - z.max()).exp() / (z - z.max()).exp().sum(1, keepdim=True),
        "each column sums to 1": lambda z: z.softmax(0),
        "divide each row by its own sum": lambda z: (
            (z - z.amax(1, keepdim=True)).exp() / (z - z.amax(1, keepdim=True)).exp().sum()
        ),
        "do not sum to 1": lambda z: (z - z.amax(1, keepdim=True)).exp(),
        "subtracting the mean": lambda z: (
            (z - z.mean(1, keepdim=True)).exp() / (z - z.mean(1, keepdim=True)).exp().sum(1, keepdim=True)
        ),
        "logarithms of the probabilities": lambda z: z.log_softmax(1),
        "changed its arguments": in_place_softmax,
        "must be torch.float32": lambda z: z.double().softmax(1),
        "the values differ": lambda z: torch.full_like(z, 1 / z.shape[1]),
        "must be a tensor": lambda z: z.softmax(1).tolist(),
    },
    "cross_entropy": {
        "is rounded to 0": lambda z, y: -z.softmax(1)[range(len(y)), y].log().mean(),
        "the exponentials overflow": lambda z, y: (z.exp().sum(1).log() - z[range(len(y)), y]).mean(),
        "both overflow": lambda z, y: -(z.exp() / z.exp().sum(1, keepdim=True))[range(len(y)), y].log().mean(),
        "not added again": lambda z, y: ((z - z.amax(1, keepdim=True)).exp().sum(1).log() - z[range(len(y)), y]).mean(),
        "the sign is wrong": lambda z, y: F.nll_loss(-z.log_softmax(1), y),
        "this is the sum": lambda z, y: F.cross_entropy(z, y, reduction="sum"),
        "one loss for each image": lambda z, y: F.cross_entropy(z, y, reduction="none"),
        "the mean over all classes": lambda z, y: -z.log_softmax(1).mean(),
        "hides the infinity": lambda z, y: -(z.softmax(1)[range(len(y)), y] + 1e-9).log().mean(),
        "softmaxed twice": lambda z, y: F.cross_entropy(z.softmax(1), y),
        "must be a tensor": lambda z, y: F.cross_entropy(z, y).item(),
        "changed its arguments": lambda z, y: F.cross_entropy(z.sub_(z.amax(1, keepdim=True)), y),
    },
    "gradient_step": {
        "this climbs": lambda w, b, x, y, r: step(w, b, x, y, -r),
        "the loss is a mean over the batch": lambda w, b, x, y, r: step(w, b, x, y, r * len(x)),
        "no mean over the classes": lambda w, b, x, y, r: step(w, b, x, y, r / x.shape[1]),
        "the biases stay": lambda w, b, x, y, r: [step(w, b, x, y, r)[0], b],
        "these are the gradients": lambda w, b, x, y, r: [
            (w - step(w, b, x, y, 1)[0]),
            (b - step(w, b, x, y, 1)[1]),
        ],
        "the learning rate is missing": lambda w, b, x, y, r: step(w, b, x, y, 1),
        "changed its arguments": step_in_place,
        "the result has shape (2, 1)": lambda w, b, x, y, r: [step(w, b, x, y, r)[0], step(w, b, x, y, r)[1][:, None]],
        "must be a list": lambda w, b, x, y, r: step(w, b, x, y, r)[0],
        "must have 2": lambda w, b, x, y, r: step(w, b, x, y, r)[:1],
        "entry 0": lambda w, b, x, y, r: [torch.zeros_like(w), b],
    },
    "train": {
        "until `zero_grad` is called": lambda *a: loop(*a, order=("back", "step")),
        "between `backward` and `step`": lambda *a: loop(*a, order=("back", "zero", "step")),
        "`step` comes before `backward`: it": lambda *a: loop(*a, order=("step", "zero", "back")),
        "several faults are left. Look at the gradients of earlier batches; the order": lambda *a: loop(
            *a, order=("step", "back")
        ),
        "measure on the validation images": lambda *a: loop(*a, test=lambda b, v: b[-1]),
        "dropout is still at work": lambda *a: loop(*a, evaluate=False),
        "trained in evaluation mode": lambda *a: loop(*a, train=False),
        "this is a percentage": lambda *a: [100 * v for v in loop(*a)],
        "the images of the evaluation; the modes of the model.": broken,
        "entry 1": lambda *a: loop(*a)[-1],
        "entry 0": lambda *a: loop(*a, every=2),
        "must be a list": lambda *a: loop(*a) and None,
    },
}
