"""Answers to the exercises of chapter Your first CNN: right ones written differently, and plausible wrong ones."""

from __future__ import annotations

import copy

import torch
from torch import nn
from torch.nn import functional as F


class OwnNet(nn.Module):
    """As a class; the flatten size is read off a picture of zeros."""

    def __init__(self, channels, height, width, classes):
        super().__init__()
        self.conv1 = nn.Conv2d(channels, 16, 3, padding="same")
        self.conv2 = nn.Conv2d(16, 32, 3, padding="same")
        flat = self.features(torch.zeros(1, channels, height, width)).shape[1]
        self.fc1, self.fc2 = nn.Linear(flat, 128), nn.Linear(128, classes)

    def features(self, x):
        x = F.relu(F.max_pool2d(self.conv1(x), 2))
        return F.relu(F.max_pool2d(self.conv2(x), 2)).flatten(1)

    def forward(self, x):
        return self.fc2(F.relu(self.fc1(self.features(x))))


def net(channels, height, width, classes, *, padding=1, hidden=128, pool=nn.MaxPool2d, last=()):
    body = [nn.Conv2d(channels, 16, 3, padding=padding), nn.ReLU(), pool(2)]
    body += [nn.Conv2d(16, 32, 3, padding=padding), nn.ReLU(), pool(2), nn.Flatten()]
    with torch.no_grad():
        flat = nn.Sequential(*body)(torch.zeros(1, channels, height, width)).shape[1]
    return nn.Sequential(*body, nn.Linear(flat, hidden), nn.ReLU(), nn.Linear(hidden, classes), *last)


@torch.inference_mode()
def right_validate(model, batches):
    """All logits first, then everything at once."""
    model.train(False)
    logits = torch.cat([model(x) for x, _ in batches])
    labels = torch.cat([y for _, y in batches])
    loss = -logits.log_softmax(1)[torch.arange(len(labels)), labels].mean()
    return [loss, (logits.max(1).indices == labels).double().mean()]


def validate(model, batches, *, mode=False, record=False, average=True, factor=1):
    model.train(mode)
    total = right = n = 0
    with torch.set_grad_enabled(record):
        for x, y in batches:
            z = model(x)
            total += F.cross_entropy(z, y, reduction="sum" if average else "mean").item()
            right += int((z.argmax(1) == y).sum())
            n += len(y)
    return total / (n if average else len(batches)), factor * right / n


def spoils_images(model, batches):
    result = right_validate(model, batches)
    for x, _ in batches:
        x.mul_(2)
    return result


def trains_on_validation(model, batches):
    result = right_validate(model, batches)
    with torch.no_grad():
        next(model.parameters()).add_(0.1)
    return result


def right_train(model, optimizer, train_batches, validation_batches, epochs):
    """Gradients by autograd.grad, steps by hand."""
    rate, history = optimizer.param_groups[0]["lr"], []
    for _ in range(epochs):
        model.train()
        each = []
        for x, y in train_batches:
            losses = F.cross_entropy(model(x), y, reduction="none")
            gradients = torch.autograd.grad(losses.mean(), list(model.parameters()))
            with torch.no_grad():
                for parameter, gradient in zip(model.parameters(), gradients, strict=True):
                    parameter.sub_(rate * gradient)
            each.append(losses.detach())
        history.append([torch.cat(each).mean().item(), *right_validate(model, validation_batches)])
    return history


def train(model, optimizer, known, new, epochs, *, mode=True, check=None, average=True, wipe=True, flat=False):
    check = check or right_validate
    history = []
    model.train()
    for _ in range(epochs):
        if mode:
            model.train()
        losses, sizes = [], []
        for x, y in known:
            if wipe:
                optimizer.zero_grad()
            loss = F.cross_entropy(model(x), y)
            loss.backward()
            optimizer.step()
            losses.append(loss.item())
            sizes.append(len(y))
        mean = sum(a * b for a, b in zip(losses, sizes, strict=True)) / sum(sizes) if average else losses[-1]
        history.append((mean, *check(model, new)))
    return history[-1] if flat else history


def right_repaired(model, optimizer, train_batches, validation_batches, test_batches, epochs):
    history, states = [], []
    for _ in range(epochs):
        history += right_train(model, optimizer, train_batches, validation_batches, 1)
        states.append(copy.deepcopy(model.state_dict()))
    accuracies = [float(row[2]) for row in history]
    best = accuracies.index(max(accuracies))
    model.load_state_dict(states[best])
    return [row[0] for row in history], best + 1, right_validate(model, test_batches)[1]


def script(
    model, optimizer, known, new, test, epochs, *, wipe=True, softmax=False, mode=False, last=False, leak=False,
    copied=True, better=float.__gt__, first=1, again=False,
):  # fmt: skip
    losses, best_accuracy, best_epoch, best = [], -1.0, 0, None
    for epoch in range(first, epochs + first):
        model.train()
        total = 0.0
        for x, y in known:
            z = model(x)
            loss = F.cross_entropy(z.softmax(1) if softmax else z, y)
            if wipe:
                optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            total += loss.item() * len(y)
        losses.append(loss.item() if last else total / sum(len(y) for _, y in known))
        now = validate(model, test if leak else new, mode=mode)[1]
        if again:
            validate(model, test)
        if better(now, best_accuracy):
            best_accuracy, best_epoch = now, epoch
            best = copy.deepcopy(model.state_dict()) if copied else model.state_dict()
    model.load_state_dict(best)
    return losses, best_epoch, validate(model, test, mode=mode)[1]


def broken(model, optimizer, train_batches, validation_batches, test_batches, epochs):
    def accuracy(batches):
        with torch.no_grad():
            right = [(model(x).argmax(1) == y).sum().item() for x, y in batches]
        return sum(right) / sum(len(y) for _, y in batches)

    losses, best_accuracy = [], -1.0
    for epoch in range(1, epochs + 1):
        model.train()
        for inputs, labels in train_batches:
            probabilities = model(inputs).softmax(1)
            loss = F.cross_entropy(probabilities, labels)
            loss.backward()
            optimizer.step()
        losses.append(loss.item())
        now = accuracy(test_batches)
        if now > best_accuracy:
            best_accuracy, best_epoch = now, epoch
            best = copy.deepcopy(model.state_dict())
    model.load_state_dict(best)
    return losses, best_epoch, best_accuracy


RIGHT = {
    "parameters": [(16 * 28, 32 * 145, 128 * 2241, 10 * 129, 448 + 4640 + 286848 + 1290)],
    "colour_net": [OwnNet, net],
    "validate": [right_validate, validate],
    "train": [right_train, train],
    "repaired": [right_repaired, script],
    "one_batch": [(1 > 0, 1 < 0, True, not True, True)],
}

WRONG = {
    "parameters": {
        "the biases are missing": [432, 4608, 286720, 1280, 293040],
        "three colours": [160, 4640, 286848, 1290, 292938],
        "32·7·7 belongs to 28×28": [448, 4640, 200832, 1290, 207210],
        "two poolings": [448, 4640, 1147008, 1290, 1153386],
        "entry 4": [448, 4640, 286848, 1290, 293225],
        "must have 5": [448, 4640, 286848, 1290],
        "must be a list": 293226,
    },
    "colour_net": {
        "must take `channels` channels": lambda c, h, w, k: net(1, h, w, k),
        "takes 3 channels": lambda c, h, w, k: net(3, h, w, k),
        "32·8·8 belongs": lambda c, h, w, k: nn.Sequential(
            *net(c, 32, 32, k)[:7], nn.Linear(2048, 128), nn.ReLU(), nn.Linear(128, k)
        ),
        "the image may be oblong": lambda c, h, w, k: net(c, h, h, k),
        "not 10": lambda c, h, w, k: net(c, h, w, 10),
        "a softmax follows the last layer": lambda *s: net(*s, last=[nn.Softmax(1)]),
        "a ReLU follows the last layer": lambda *s: net(*s, last=[nn.ReLU()]),
        "entry 0": lambda *s: net(*s, hidden=64),
        "entry 2": lambda *s: net(*s, pool=nn.AvgPool2d),
        "NoneType, not an nn.Module": lambda *s: None,
        "raised TypeError": lambda: net(3, 32, 32, 10),
    },
    "validate": {
        "`model.eval()` is missing": lambda *a: validate(*a, mode=True),
        "inside `torch.no_grad()`": lambda *a: validate(*a, record=True),
        "not in percent": lambda *a: validate(*a, factor=100),
        "entry 4": lambda *a: validate(*a, average=False),
        "images changed in place": spoils_images,
        "weights changed": trains_on_validation,
        "accuracy comes second": lambda *a: right_validate(*a)[::-1],
        "must be a list": lambda *a: right_validate(*a)[0].item(),
        "NoneType": lambda *a: right_validate(*a) and None,
        "never seen": lambda *a: (0.0, 1.0),
    },
    "train": {
        "from the second epoch on": lambda *a: train(*a, mode=False),
        "validation runs in training mode": lambda *a: train(*a, check=lambda m, b: validate(m, b, mode=True)),
        "`zero_grad` is missing": lambda *a: train(*a, wipe=False),
        "that of the last batch": lambda *a: train(*a, average=False),
        "validation images in never seen": lambda *a: train(*a, check=lambda m, b: (0.0, 0.0)),
        "entry 2": lambda *a: train(*a, check=lambda m, b: right_validate(m, b)[::-1]),
        "must be a list": lambda *a: train(*a) and None,
        "case 1 of 22": lambda *a: train(*a, flat=True),
        "raised TypeError": lambda model: [],
    },
    "repaired": {
        "all five bugs": broken,
        "gradients pile up": lambda *a: script(*a, wipe=False),
        "is given probabilities": lambda *a: script(*a, softmax=True),
        "measured in training mode": lambda *a: script(*a, mode=True),
        "that of its last batch": lambda *a: script(*a, last=True),
        "the epoch is chosen by the test set": lambda *a: script(*a, leak=True),
        "test set used": lambda *a: script(*a, again=True),
        "entry 2": lambda *a: script(*a, first=0),
        "load its weights before testing": lambda *a: script(*a, copied=False),
        "case ": lambda *a: script(*a, better=float.__ge__),
        "raised TypeError": lambda model: None,
    },
    "one_batch": {
        "learned by heart": [True, True, True, False, True],
        "leave no trace": [True, False, True, True, True],
        "second softmax": [False, False, True, False, True],
        "gradients that pile up": [True, False, True, False, False],
        "entry 0": [1, 0, 1, 0, 1],
        "must have 5": [True, False, True, False],
    },
}
