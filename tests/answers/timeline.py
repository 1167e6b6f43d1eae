"""Right and wrong answers to the exercises on the timeline; see ``tests/test_exercises.py``."""

from __future__ import annotations

import torch


def top_k_by_sorting(logits, labels, k):
    missed = 0
    for row, label in zip(logits.tolist(), labels.tolist(), strict=True):
        order = sorted(range(len(row)), key=lambda i: -row[i])
        missed += label not in order[:k]
    return 100 * missed / len(labels)


def averaged_in_loops(logits):
    total = torch.zeros_like(logits[0, 0])
    for network in logits:
        for crop in network:
            total += crop.exp() / crop.exp().sum(1, keepdim=True)
    return total.max(1).indices


def front_by_pairs(rows):
    names = []
    for name, cost, accuracy in sorted(rows, key=lambda row: row[1]):
        others = [row for row in rows if row[0] != name]
        if all(c > cost or a < accuracy for _, c, a in others):
            names.append(name)
    return names


def choose_by_sorting(rows, most_work, most_parameters):
    for name, work, parameters, _ in sorted(rows, key=lambda row: -row[3]):
        if work <= most_work and parameters <= most_parameters:
            return name
    return None


def in_place(logits):
    return logits.sub_(logits.logsumexp(-1, keepdim=True)).exp().mean((0, 1)).argmax(-1)


RIGHT = {
    "top_k_error": [top_k_by_sorting],
    "averaged": [averaged_in_loops],
    "front": [front_by_pairs],
    "gigabytes": [5.2, torch.tensor(5.2, dtype=torch.float64)],
    "saved": [2.4],
    "choose": [choose_by_sorting],
}

WRONG = {
    "top_k_error": {
        "this is the accuracy": lambda x, y, k: 100 * (x.topk(k).indices == y[:, None]).any(1).double().mean().item(),
        "in per cent": lambda x, y, k: 1 - (x.topk(k).indices == y[:, None]).any(1).double().mean().item(),
        "only the largest": lambda x, y, k: 100 * (x.argmax(1) != y).double().mean().item(),
        "smallest": lambda x, y, k: 100 - 100 * (x.sort(1).indices[:, :k] == y[:, None]).any(1).double().mean().item(),
        "must be a number": lambda x, y, k: "50 %",
        "raised": lambda x, y, k: x.topk(k + 100),
    },
    "averaged": {
        "the logits are averaged": lambda x: x.mean(1).mean(0).argmax(-1),
        "wrong dimension": lambda x: x.softmax(0).mean((0, 1)).argmax(-1),
        "most votes": lambda x: x.argmax(-1).flatten(0, 1).mode(0).values,
        "average probabilities": lambda x: x.softmax(-1).mean((0, 1)),
        "changed its arguments": in_place,
        "int32": lambda x: x.softmax(-1).mean((0, 1)).argmax(-1).int(),
    },
    "front": {
        "from cheap to costly": lambda rows: [row[0] for row in rows if row[0] in front_by_pairs(rows)],
        "turn it round": lambda rows: list(reversed(front_by_pairs(rows))),
        "have to go": lambda rows: [row[0] for row in sorted(rows, key=lambda row: row[1])],
        "must have": lambda rows: [],
        "must be a list": lambda rows: ", ".join(front_by_pairs(rows)),
        "entry 0": lambda rows: [row for row in rows if row[0] in front_by_pairs(rows)],
    },
    "gigabytes": {"only the maps": 4.8, "a batch has 32": 0.6, "megabytes": 5209.6, "not right": 1.0},
    "saved": {"do not depend on the batch": 2.6, "what remains": 2.8, "not right": 0.0},
    "choose": {
        "exactly at a limit": lambda r, w, p: choose_by_sorting(r, w - 1, p - 1),
        "parameters is not": lambda r, w, p: choose_by_sorting(r, w, 1000),
        "multiply-adds is not": lambda r, w, p: choose_by_sorting(r, 1000, p),
        "only its name": lambda r, w, p: next((x for x in r if x[0] == choose_by_sorting(r, w, p)), None),
        "raised": lambda r, w, p: max(x for x in r if x[1] <= w and x[2] <= p)[0],
        "the result is": lambda r, w, p: choose_by_sorting(r, w, p) or "none",
    },
}
