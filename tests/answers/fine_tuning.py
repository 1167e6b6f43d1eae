"""Answers to the exercises of chapter fine_tuning: right ones written differently, and plausible wrong ones."""

from __future__ import annotations

import torch
from torch import nn
from torch.nn import functional as F

# ---- groups


def groups_by_loop(model, rate):
    head = {id(p) for p in model.head.parameters()}
    found = {False: [], True: []}
    for p in model.parameters():
        if p.requires_grad:
            found[id(p) in head].append(p)
    return [{"params": found[False], "lr": rate / 10}, {"params": found[True], "lr": rate}]


def groups_by_identity(model, rate):
    head = list(model.head.parameters())
    rest = [p for p in model.parameters() if not any(p is q for q in head) and p.requires_grad]
    return [{"params": rest, "lr": 0.1 * rate}, {"params": [p for p in head if p.requires_grad], "lr": rate}]


def groups_by_in(model, rate):
    head = list(model.head.parameters())
    return [
        {"params": [p for p in model.parameters() if p not in head], "lr": rate / 10},
        {"params": head, "lr": rate},
    ]


def groups_by_name(model, rate):
    named = [(n, p) for n, p in model.named_parameters() if p.requires_grad]
    return [
        {"params": [p for n, p in named if not n.startswith("head")], "lr": rate / 10},
        {"params": [p for n, p in named if n.startswith("head")], "lr": rate},
    ]


def change_groups(change):
    def wrong(model, rate):
        return change(groups_by_loop(model, rate), model, rate)

    return wrong


def with_frozen(found, model, rate):
    head = {id(p) for p in model.head.parameters()}
    found[0]["params"] = [p for p in model.parameters() if id(p) not in head]
    found[1]["params"] = list(model.head.parameters())
    return found


def in_both(found, model, rate):
    found[0]["params"] = [p for p in model.parameters() if p.requires_grad]
    return found


def rates(body, head):
    def change(found, model, rate):
        found[0]["lr"], found[1]["lr"] = body * rate, head * rate
        return found

    return change


# ---- freeze_parts


class Still:
    def __init__(self, part):
        self.part = part

    def __call__(self, mode=True):
        return self.part


def parts_by_leaves(network, learns):
    for name, part in network.named_children():
        for parameter in part.parameters():
            parameter.requires_grad = name in learns
        for leaf in part.modules():
            leaf.__dict__.pop("train", None)
            leaf.training = name in learns
        if name not in learns:
            part.train = Still(part)


def parts_without_modes(network, learns):
    for name, part in network.named_children():
        part.requires_grad_(name in learns)


def parts_eval_once(network, learns):
    for name, part in network.named_children():
        part.requires_grad_(name in learns)
        part.train(name in learns)


def parts_once(network, learns):
    for name, part in network.named_children():
        if name not in learns:
            part.requires_grad_(False)
            part.eval()
            part.train = Still(part)


def parts_turned(network, learns):
    parts_by_leaves(network, [name for name, _ in network.named_children() if name not in learns])


def parts_statistics_only(network, learns):
    for name, part in network.named_children():
        part.__dict__.pop("train", None)
        part.train(name in learns)
        if name not in learns:
            part.train = Still(part)


def parts_all_still(network, learns):
    parts_eval_once(network, learns)
    network.train = Still(network)


def parts_norms(network, learns):
    for name, part in network.named_children():
        part.requires_grad_(name in learns)
        for leaf in part:
            leaf.__dict__.pop("train", None)
            leaf.train(name in learns)
            if name not in learns and isinstance(leaf, nn.BatchNorm2d):
                leaf.train = Still(leaf)


# ---- parts_at


def plan_by_walk(parts, epoch, first, every):
    number, until = 1, first
    while until < epoch and number < len(parts):
        number, until = number + 1, until + every
    return parts[len(parts) - number :]


def plan_wrong(change):
    def wrong(parts, epoch, first, every):
        return change(plan_by_walk, parts, epoch, first, every)

    return wrong


def drops_from(f, parts, epoch, first, every):
    while len(parts) > len(f(list(parts), epoch, first, every)):
        parts.pop(0)
    return parts


# ---- tuned


def tuned_anew(model, batches, rate):
    for epoch in (1, 2):
        whole = epoch == 2
        model.body.requires_grad_(whole)
        found = [{"params": list(model.head.parameters()), "lr": rate}]
        if whole:
            found.append({"params": list(model.body.parameters()), "lr": rate / 10})
        sgd = torch.optim.SGD(found)
        model.head.train()
        model.body.train(whole)
        for images, labels in batches:
            sgd.zero_grad()
            F.cross_entropy(model(images), labels).backward()
            sgd.step()


def tuned_with(held=True, late=True, factor=0.1, clear=True, epochs=(1, 2), frozen=True, woken=True):
    def tune(model, batches, rate):
        sgd = torch.optim.SGD(list(model.head.parameters()), lr=rate)
        for epoch in epochs:
            model.body.requires_grad_(epoch == 2 or not frozen)
            if epoch == 2 and late:
                sgd.add_param_group({"params": list(model.body.parameters()), "lr": factor * rate})
            model.train()
            if (epoch == 1 and held) or (epoch == 2 and not woken):
                model.body.eval()
            for images, labels in batches:
                if clear:
                    sgd.zero_grad()
                    model.zero_grad()
                F.cross_entropy(model(images), labels).backward()
                sgd.step()

    return tune


def tuned_all_at_once(model, batches, rate):
    sgd = torch.optim.SGD(
        [{"params": model.head.parameters()}, {"params": model.body.parameters(), "lr": rate / 10}], lr=rate
    )
    for _ in (1, 2):
        model.train()
        for images, labels in batches:
            sgd.zero_grad()
            F.cross_entropy(model(images), labels).backward()
            sgd.step()


LEARNS = [151_589, 7_231_013, 134_412_133]

RIGHT = {
    "groups": [groups_by_loop, groups_by_identity],
    "freeze_parts": [parts_by_leaves],
    "parts_at": [plan_by_walk],
    "tuned": [tuned_anew, tuned_with()],
    "learns": [list(LEARNS)],
}
WRONG = {
    "groups": {
        "raised RuntimeError": groups_by_in,
        "name begins like the head's": groups_by_name,
        "frozen parameters are in the groups": change_groups(with_frozen),
        "in both groups": change_groups(in_both),
        "rates are exchanged": change_groups(rates(1, 0.1)),
        "both groups have the same rate": change_groups(rates(1, 1)),
        "not a hundredth": change_groups(rates(0.01, 1)),
        "comes first in the list": change_groups(lambda found, model, rate: found[::-1]),
        "NoneType instead of a list": lambda model, rate: None,
    },
    "freeze_parts": {
        "nothing is frozen yet": lambda network, learns: None,
        "give a frozen part a `train`": parts_without_modes,
        "eval() before does not last": parts_eval_once,
        "stays frozen": parts_once,
        "you froze those": parts_turned,
        "weights of frozen parts still learn": parts_statistics_only,
        "of the whole network does nothing now": parts_all_still,
        "dropout in the frozen parts is still on": parts_norms,
    },
    "parts_at": {
        "one epoch early": plan_wrong(lambda f, p, e, a, n: f(p, e + 1, a, n)),
        "one epoch late": plan_wrong(lambda f, p, e, a, n: f(p, e - 1, a, n)),
        "not from the image": plan_wrong(lambda f, p, e, a, n: p[: len(f(p, e, a, n)) - 1] + p[-1:]),
        "only the newest": plan_wrong(lambda f, p, e, a, n: f(p, e, a, n)[:1]),
        "from the image to the answer": plan_wrong(lambda f, p, e, a, n: f(p, e, a, n)[::-1]),
        "takes one each epoch": plan_wrong(lambda f, p, e, a, n: f(p, e, a, 1)),
        "multiples of `every`": lambda p, e, a, n: p[-min(len(p), 1 + max(0, e - a) // n) :],
        "changed its arguments": plan_wrong(drops_from),
        "must be a list": plan_wrong(lambda f, p, e, a, n: tuple(f(p, e, a, n)) and len(f(p, e, a, n))),
    },
    "tuned": {
        "nothing is repaired yet": tuned_with(held=False, late=False, clear=False),
        "the body never moves: the optimizer": tuned_with(late=False),
        "their statistics move": tuned_with(held=False),
        "it should be a tenth": tuned_with(factor=1.0),
        "never set to zero": tuned_with(clear=False),
        "statistics follow": tuned_with(woken=False),
        "passes with the body": tuned_all_at_once,
        "no pass was made": tuned_with(epochs=()),
        "modes are right": tuned_with(late=False, clear=False),
    },
    "learns": {
        "has a bias, too": [151_552, 7_229_440, 134_399_680],
        "*and* the head": [151_589, 7_079_424, 134_412_133],
        "the head was replaced": [151_589, 7_231_013, 138_357_544],
        "three convolutions, not one": [151_589, 2_511_397, 134_412_133],
        "entry 1": [151_589, 7_000_000, 134_412_133],
    },
}
