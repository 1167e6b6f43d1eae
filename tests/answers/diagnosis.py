"""Answers to the exercises of chapter Diagnosis: right ones written differently, and plausible wrong ones."""

from __future__ import annotations

import torch
from torch import nn
from torch.nn import functional as F

WORDS = ["too fast", "too small", "sound", "too slow", "false labels", "few images"]


def exchanged(first, second):
    words = list(WORDS)
    words[first], words[second] = words[second], words[first]
    return words


def recall_by_loops(counts):
    classes = len(counts)
    recall, precision = torch.zeros(classes), torch.zeros(classes)
    for c in range(classes):
        occurs, answered = int(counts[c].sum()), int(counts[:, c].sum())
        if occurs:
            recall[c] = int(counts[c, c]) / occurs
        if answered:
            precision[c] = int(counts[c, c]) / answered
    return recall, precision


def scores_in_place(counts):
    result = recall_by_loops(counts)
    counts.zero_()
    return result


def error_by_matrix(logits, labels, bins):
    p = F.softmax(logits.double(), dim=1)
    confidence, answer = p.max(1)
    total = torch.zeros((), dtype=torch.float64)
    for b in range(bins):
        inside = (confidence > b / bins) & (confidence <= (b + 1) / bins)
        total += ((answer == labels)[inside].double() - confidence[inside]).sum().abs()
    return (total / len(labels)).item()


def error_as_tensor(logits, labels, bins):
    return torch.tensor(error_by_matrix(logits, labels, bins))


def nan_error(logits, labels, bins):
    p, answer = logits.softmax(1).max(1)
    total = 0.0
    for b in range(bins):
        inside = (p > b / bins) & (p <= (b + 1) / bins)
        total += (inside.float().mean() * ((answer == labels)[inside].float().mean() - p[inside].mean()).abs()).item()
    return total


def binned(logits, labels, bins, weigh):
    """The error with weights of the bins by ``weigh(number, total)``."""
    p, answer = logits.softmax(1).max(1)
    total = 0.0
    for b in range(bins):
        inside = (p > b / bins) & (p <= (b + 1) / bins)
        if inside.any():
            gap = (answer == labels)[inside].float().mean() - p[inside].mean()
            total += weigh(inside.sum().item(), len(labels), gap.item())
    return total


def searched(logits, labels):
    candidates = [0.1 * 1.01**i for i in range(480)]
    losses = [F.cross_entropy(logits / t, labels).item() for t in candidates]
    return candidates[losses.index(min(losses))]


def by_descent(logits, labels):
    """Gradient steps on the logarithm of T, which is returned as a tensor."""
    log_t = torch.zeros((), dtype=torch.float64, requires_grad=True)
    optimizer = torch.optim.Adam([log_t], lr=0.05)
    for _ in range(200):
        optimizer.zero_grad()
        F.cross_entropy(logits.double() / log_t.exp(), labels).backward()
        optimizer.step()
    return log_t.exp().detach()


def pipeline(x, y, keep, folds, *, choose="train", scale="train", count="test", smallest=False):
    """Row by row, with lists."""
    rows, right, total = list(range(len(x))), 0, 0
    for held_out in range(folds):
        train = [i for i in rows if i % folds != held_out]
        test = [i for i in rows if i % folds == held_out]
        basis = train if scale == "train" else rows
        z = (x - x[basis].mean(0)) / x[basis].std(0)
        basis = train if choose == "train" else rows
        ones, zeros = ([i for i in basis if y[i] == c] for c in (1, 0))
        distance = (z[ones].mean(0) - z[zeros].mean(0)).abs()
        z = z[:, distance.argsort(descending=not smallest)[:keep]]
        centres = [z[[i for i in train if y[i] == c]].mean(0) for c in (0, 1)]
        for i in test if count == "test" else train:
            answer = int((z[i] - centres[1]).norm() < (z[i] - centres[0]).norm())
            right, total = right + (answer == int(y[i])), total + 1
    return right / total


def in_place_pipeline(x, y, keep, folds):
    result = pipeline(x, y, keep, folds)
    x -= x.mean(0)
    return result


class OwnNetwork(nn.Module):
    """As a class, with layers made in another order than they are used."""

    def __init__(self, channels, classes):
        super().__init__()
        self.head = nn.Linear(16, classes)
        self.second = nn.Conv2d(8, 16, 3, padding=1)
        self.first = nn.Conv2d(channels, 8, 3, padding="same")

    def forward(self, x):
        x = F.max_pool2d(F.relu(self.first(x)), 2)
        return self.head(F.relu(self.second(x)).mean((2, 3)))


def layers(channels, classes, *last, kernel=3, act=nn.ReLU):
    padding = kernel // 2
    return nn.Sequential(
        *(nn.Conv2d(channels, 8, kernel, padding=padding), act(), nn.MaxPool2d(2)),
        *(nn.Conv2d(8, 16, kernel, padding=padding), act(), nn.AdaptiveAvgPool2d(1), nn.Flatten()),
        *(nn.Linear(16, classes), *last),
    )


def he_by_hand(model):
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if name.endswith("bias"):
                parameter.zero_()
            else:
                fan_in = parameter[0].numel()
                parameter.copy_(torch.randn(parameter.shape) * (2 / fan_in) ** 0.5)


def he_uniform(model):
    for layer in model:
        if hasattr(layer, "weight"):
            bound = (6 / layer.weight.flatten(1).shape[1]) ** 0.5
            nn.init.uniform_(layer.weight, -bound, bound)
            nn.init.zeros_(layer.bias)


def started(how, bias=0.0):
    def start(model):
        with torch.no_grad():
            for parameter in model.parameters():
                if parameter.dim() > 1:
                    how(parameter)
                else:
                    parameter.fill_(bias)

    return start


def only(kind):
    def start(model):
        for layer in model:
            if isinstance(layer, kind):
                nn.init.kaiming_normal_(layer.weight)
                nn.init.zeros_(layer.bias)

    return start


def prepared_anew(model, classes, rate):
    """The layers in a new Sequential, the optimizer with groups."""
    head = nn.Linear(model[-1].in_features, classes)
    model = nn.Sequential(*list(model)[:-1], head)
    groups = [{"params": list(layer.parameters())} for layer in model if list(layer.parameters())]
    return model, torch.optim.SGD(groups, lr=rate)


def unfrozen(model, classes, rate):
    optimizer = torch.optim.SGD(model.parameters(), lr=rate)
    model[-1] = nn.Linear(model[-1].in_features, classes)
    optimizer.param_groups[0]["params"] = [p.requires_grad_() for p in model.parameters()]
    return model, optimizer


def prepared(model, classes, rate, *, head=True, kind=torch.optim.SGD, part=slice(None), swap=False, freeze=False):
    if freeze:
        model.requires_grad_(False)
    if head:
        model[-1] = nn.Linear(model[-1].in_features, classes)
    pair = model, kind([p for layer in model[part] for p in layer.parameters()], lr=rate)
    return pair[::-1] if swap else pair


def broken_prepare(model, classes, rate):
    optimizer = torch.optim.SGD(model.parameters(), lr=rate)
    for parameter in model.parameters():
        parameter.requires_grad = False
    model[-1] = nn.Linear(model[-1].in_features, classes)
    return model, optimizer


def early(model, classes, rate):
    optimizer = torch.optim.SGD(model.parameters(), lr=rate)
    model[-1] = nn.Linear(model[-1].in_features, classes)
    return model, optimizer


RIGHT = {
    "recall_and_precision": [
        recall_by_loops,
        lambda c: tuple(map(torch.nan_to_num, (c.diag() / c.sum(1), c.diag() / c.sum(0)))),
    ],
    "curves": [list(WORDS), [word for word in WORDS]],
    "calibration_error": [error_by_matrix, error_as_tensor],
    "temperature": [searched, by_descent],
    "honest_score": [pipeline, lambda *case: torch.tensor(pipeline(*case), dtype=torch.float64)],
    "network": [OwnNetwork, layers],
    "start_weights": [he_by_hand, he_uniform],
    "prepare": [prepared_anew, unfrozen],
}

WRONG = {
    "recall_and_precision": {
        "exchanged": lambda c: recall_by_loops(c.T),
        "0 by 0": lambda c: (c.diag() / c.sum(1), c.diag() / c.sum(0)),
        "number of all images": lambda c: (c.diag() / max(1, c.sum()), c.diag() / max(1, c.sum())),
        "both are recall": lambda c: (recall_by_loops(c)[0],) * 2,
        "both are precision": lambda c: (recall_by_loops(c)[1],) * 2,
        "these are counts": lambda c: (c.diag().float(), c.diag().float()),
        "must be a tuple": lambda c: torch.stack(recall_by_loops(c)),
        "torch.float64": lambda c: tuple(t.double() for t in recall_by_loops(c)),
        "changed its arguments": scores_in_place,
        "shape ()": lambda c: tuple(t.mean() for t in recall_by_loops(c)),
    },
    "curves": {
        "B and D": exchanged(1, 3),
        "A and B": exchanged(0, 1),
        "C and F": exchanged(2, 5),
        "B and E": exchanged(1, 4),
        "entry 0": ["too large", *WORDS[1:]],
        "must have 6": WORDS[:5],
    },
    "calibration_error": {
        "every bin counts the same": lambda z, y, b: (
            binned(z, y, b, lambda n, all_, gap: abs(gap)) / max(1, binned(z, y, b, lambda n, all_, gap: 1))
        ),
        "with their signs": lambda z, y, b: binned(z, y, b, lambda n, all_, gap: n / all_ * gap),
        "confidence minus accuracy": lambda z, y, b: binned(z, y, b, lambda n, all_, gap: -n / all_ * gap),
        "squared": lambda z, y, b: binned(z, y, b, lambda n, all_, gap: n / all_ * gap**2),
        "NaN": nan_error,
        "multiplied by 100": lambda z, y, b: 100 * error_by_matrix(z, y, b),
        "always 10": lambda z, y, b: error_by_matrix(z, y, 10),
        "every single answer": lambda z, y, b: (
            sum(abs(p.max().item() - float(p.argmax() == label)) for p, label in zip(z.softmax(1), y, strict=True))
            / len(y)
        ),
        "one bin": lambda z, y, b: error_by_matrix(z, y, 1),
        "the result is": lambda z, y, b: binned(z, y, b, lambda n, all_, gap: n * abs(gap)),
        "must be a number": lambda z, y, b: [error_by_matrix(z, y, b)],
    },
    "temperature": {
        "1/T": lambda z, y: 1 / searched(z, y),
        "logarithm": lambda z, y: torch.tensor(searched(z, y)).log(),
        "before the softmax": lambda z, y: searched(z.softmax(1), y),
        "T stays 1": lambda z, y: 1,
        "never falls below 1": lambda z, y: min(
            (1 + 0.01 * i for i in range(700)), key=lambda t: F.cross_entropy(z / t, y).item()
        ),
        "case 1 of 20": lambda z, y: z.std().item(),
        "must be a number": lambda z, y: z / searched(z, y),
    },
    "honest_score": {
        "both leaks": lambda *case: pipeline(*case, choose="all", scale="all"),
        "still chosen": lambda *case: pipeline(*case, choose="all"),
        "still those of all rows": lambda *case: pipeline(*case, scale="all"),
        "count the rows held out": lambda *case: pipeline(*case, count="train"),
        "share of wrong": lambda *case: 1 - pipeline(*case),
        "percentage": lambda *case: 100 * pipeline(*case),
        "the result is": lambda *case: pipeline(*case, smallest=True),
        "changed its arguments": in_place_pipeline,
    },
    "network": {
        "nothing is repaired": lambda c, k: layers(c, k, nn.ReLU(), nn.Softmax(1)),
        "the softmax is still there": lambda c, k: layers(c, k, nn.Softmax(dim=1)),
        "a ReLU still follows": lambda c, k: layers(c, k, nn.ReLU()),
        "log-softmax": lambda c, k: layers(c, k, nn.LogSoftmax(1)),
        "all ReLUs are gone": lambda c, k: layers(c, k, act=nn.Identity),
        "parameters": lambda c, k: layers(c, k, kernel=5),
        "output (3, 10)": lambda c, k: layers(c, 10),
        "not an nn.Module": lambda c, k: layers(c, k).state_dict(),
    },
    "start_weights": {
        "still equal": lambda model: None,
        "the weights are 0": started(lambda w: w.zero_()),
        "take the square root": started(lambda w: w.normal_(0, 2 / w[0].numel())),
        "hence the 2": started(lambda w: w.normal_(0, w[0].numel() ** -0.5)),
        "Xavier": started(nn.init.xavier_normal_),
        "far too much": started(lambda w: w.normal_()),
        "fan-out": started(lambda w: nn.init.kaiming_normal_(w, mode="fan_out")),
        "PyTorch's own start": lambda model: [
            nn.init.zeros_(layer.bias) for layer in model if hasattr(layer, "bias") and not layer.reset_parameters()
        ],
        "convolutions have weights, too": only(nn.Linear),
        "dense layers have weights, too": only(nn.Conv2d),
        "got": started(lambda w: nn.init.kaiming_normal_(w), bias=0.5),
    },
    "prepare": {
        "nothing is repaired": broken_prepare,
        "make it last": early,
        "the body is still frozen": lambda m, c, r: prepared(m, c, r, freeze=True),
        "the head alone": lambda m, c, r: prepared(m, c, r, part=slice(-1, None)),
        "the head is still the old one": lambda m, c, r: prepared(m, c, r, head=False),
        "is it plain SGD": lambda m, c, r: prepared(m, c, r, kind=torch.optim.Adam),
        "not a pair": lambda m, c, r: prepared(m, c, r, swap=True),
    },
}
