"""Checks for the exercises of chapter "Fine-tuning"."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable, Sequence
from itertools import pairwise
from typing import Any

import torch
from torch import nn
from torch.nn import functional as F
from torchvision import models

from utils.exercises.core import Answer, Behaviour, Task, rounded

PARTS = ("stem", "middle", "late", "head")


def _network(widths: Sequence[int], seed: int, names: Sequence[str] = PARTS) -> nn.Module:
    """Return parts of a convolution, a batch norm and dropout each, and a dense head; small enough for a check."""
    torch.manual_seed(seed)
    network = nn.Sequential()
    for name, (inputs, outputs) in zip(names, pairwise([3, *widths]), strict=False):
        layers = (
            nn.Conv2d(inputs, outputs, 3, padding=1, bias=False),
            nn.BatchNorm2d(outputs),
            nn.ReLU(),
            nn.Dropout(0.1),
        )
        network.add_module(name, nn.Sequential(*layers))
    network.add_module(names[-1], nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(widths[-1], 2)))
    return network


def _listed(names: Iterable[str]) -> str:
    return ", ".join(names) or "none"


# ---- 1: parameter groups ------------------------------------------------------------------------------------------


class _Tied(nn.Module):
    """A body, a part whose name begins like the head's, and a head; on request the first two share a layer."""

    def __init__(self, width: int, tied: bool) -> None:
        super().__init__()
        self.body = nn.Sequential(nn.Linear(width, width), nn.BatchNorm1d(width))
        self.header = nn.Sequential(nn.Linear(width, width))
        self.head = nn.Linear(width, width)
        if tied:
            self.header[0].weight = self.body[0].weight


def _grouped(width: int, frozen: str) -> nn.Module:
    torch.manual_seed(width)
    model = _Tied(width, frozen == "nothing")
    for name, parameter in model.named_parameters():
        parameter.requires_grad = not name.startswith(frozen)
    return model


def _seen_groups(answer: Callable[..., Any]) -> Callable[..., Any]:
    def seen(width: int, frozen: str, rate: float) -> Any:
        model = _grouped(width, frozen)
        names = {id(p): name for name, p in model.named_parameters()}
        groups = answer(model, rate)
        if not isinstance(groups, (list, tuple)) or not all(
            isinstance(g, dict) and {"params", "lr"} <= set(g) for g in groups
        ):
            return [f"a {type(groups).__name__} instead of a list of dicts with params and lr"]
        return [
            f"rate {group['lr']:.6g}: {_listed(names.get(id(p), 'not of the model') for p in list(group['params']))}"
            for group in groups
        ]

    return seen


def _groups(
    model: nn.Module, rate: float, factor: float = 10.0, frozen: bool = False, inside: Callable[[str], bool] | None = None,
    everything: bool = False, order: int = 1, once: bool = True,
) -> list[dict[str, Any]]:  # fmt: skip
    """Return the two groups, right unless an argument says otherwise."""
    of_head = set(map(id, model.head.parameters()))
    head, body = [], []
    for name, parameter in model.named_parameters(remove_duplicate=once):
        if parameter.requires_grad or frozen:
            mine = inside(name) if inside else id(parameter) in of_head
            (head if mine else body).append(parameter)
    if everything:
        body = [p for p in model.parameters() if p.requires_grad or frozen]
    return [{"params": body, "lr": rate / factor}, {"params": head, "lr": rate}][::order]


def _group_cases(rng: random.Random) -> list[tuple]:
    return [
        (rng.randint(2, 6), ("nothing", "body.0", "body", "header")[i % 4], rng.choice([1e-3, 3e-3, 0.1]))
        for i in range(24)
    ]


groups = Behaviour(
    "groups",
    lambda *case: _seen_groups(_groups)(*case),
    _group_cases,
    mistakes={
        "frozen parameters are in the groups; leave out those whose requires_grad is False.": lambda m, r: _groups(m, r, frozen=True),
        "the rates are exchanged: the head learns at `rate`, all else at a tenth of it.": lambda m, r: _groups(m, r / 10, 0.1),
        "the part `header` landed in the head: its name begins like the head's. Compare identities, id(p), not beginnings of names.": (
            lambda m, r: _groups(m, r, inside=lambda name: name.startswith("head"))
        ),
        "the parameters of the head are in both groups; an optimizer refuses that.": lambda m, r: _groups(m, r, everything=True),
        "the body comes first in the list, the head second.": lambda m, r: _groups(m, r, order=-1),
        "both groups have the same rate; the body learns at a tenth of it.": lambda m, r: _groups(m, r, factor=1.0),
        "a shared weight is there twice; model.parameters() gives each once.": lambda m, r: _groups(m, r, once=False),
        "the body's rate is a tenth of the head's, not a hundredth.": lambda m, r: _groups(m, r, factor=100.0),
    },
    behaviour=_seen_groups,
)  # fmt: skip


# ---- 2: freeze the right parts ------------------------------------------------------------------------------------


def _seen_parts(answer: Callable[[nn.Module, list[str]], Any]) -> Callable[..., list[str]]:
    def seen(widths: list[int], calls: list[list[str]], side: int, seed: int) -> list[str]:
        network, said = _network(widths, seed), []
        for learns in calls:
            answer(network, list(learns))
            before = {name: value.clone() for name, value in network.state_dict().items()}
            network.eval()  # as each epoch of a loop does
            awake = any(leaf.training for part in network for leaf in part)
            network.train()
            torch.manual_seed(seed)
            try:
                network(torch.randn(4, 3, side, side + 1)).square().sum().backward()
                torch.optim.SGD([p for p in network.parameters() if p.requires_grad], lr=0.5, weight_decay=0.1).step()
            except (RuntimeError, ValueError) as error:
                return [*said, f"learns {learns}: a training step fails: {error}".splitlines()[0]]
            network.zero_grad()
            moved = [name for name, value in network.state_dict().items() if not torch.equal(value, before[name])]
            weights = {n.split(".")[0] for n in moved if n.endswith(("weight", "bias"))}
            statistics = {n.split(".")[0] for n in moved if not n.endswith(("weight", "bias"))}
            modes = {n for n, part in network.named_children() if all(leaf.training for leaf in part)}
            said.append(
                f"asked for {_listed(learns)}: weights moved in {_listed(p for p in PARTS if p in weights)}; statistics in "
                f"{_listed(p for p in PARTS if p in statistics)}; training mode in {_listed(p for p in PARTS if p in modes)}"
                + (", and eval() does not reach all" if awake else "")
            )
        return said

    return seen


def _freeze_parts(
    network: nn.Module, learns: list[str], grads: bool = True, lasts: bool = True,
    turned: bool = False,
) -> None:  # fmt: skip
    for name, part in network.named_children():
        active = (name in learns) != turned
        if grads:
            part.requires_grad_(active)
        part.__dict__.pop("train", None)
        part.train(active)
        if not active and lasts:
            part.train = lambda mode=True, part=part: part


def _only_freezes(network: nn.Module, learns: list[str]) -> None:
    for name, part in network.named_children():
        if name not in learns:
            part.requires_grad_(False)
            part.eval()
            part.train = lambda mode=True, part=part: part


def _whole_still(network: nn.Module, learns: list[str]) -> None:
    for name, part in network.named_children():
        part.__dict__.pop("train", None)
        part.requires_grad_(name in learns)
        part.train(name in learns)
    network.train = lambda mode=True: network


def _norms_only(network: nn.Module, learns: list[str]) -> None:
    for name, part in network.named_children():
        part.requires_grad_(name in learns)
        for leaf in part:
            leaf.__dict__.pop("train", None)
            leaf.train(name in learns)
            if name not in learns and isinstance(leaf, nn.BatchNorm2d):
                leaf.train = lambda mode=True, leaf=leaf: leaf


def _part_cases(rng: random.Random) -> list[tuple]:
    cases = []
    for i in range(20):
        calls = [["head"]] if i == 0 else [["head"], ["late", "head"]] if i == 1 else []
        while not calls:
            calls = [[p for p in PARTS if rng.random() < 0.6] for _ in range(rng.randint(1, 3))]
            calls = [c for c in calls if c]
        cases.append(([rng.randint(2, 5) for _ in range(3)], calls, rng.randint(2, 6), rng.randrange(999)))
    return cases


freeze_parts = Behaviour(
    "freeze_parts",
    lambda *case: _seen_parts(_freeze_parts)(*case),
    _part_cases,
    mistakes={
        "nothing is frozen yet.": lambda network, learns: None,
        "the gradients are right, but the loop's train() wakes the batch norms of frozen parts, and their statistics move. "
        "An eval() before does not last: give a frozen part a `train` that does nothing.": lambda n, p: _freeze_parts(n, p, lasts=False),
        "the statistics stay, but the weights of frozen parts still learn: requires_grad_(False).": (
            lambda n, p: _freeze_parts(n, p, grads=False)
        ),
        "a part that was frozen once stays frozen; a second call with more names must set it free: gradients, mode, `train`.": (
            _only_freezes
        ),
        "`learns` names the parts that learn; you froze those.": lambda n, p: _freeze_parts(n, p, turned=True),
        "the train() of the whole network does nothing now, so eval() does nothing either; only frozen parts may stay as they are.": _whole_still,
        "the batch norms are held, but dropout in the frozen parts is still on; hold the whole part.": _norms_only,
    },
    behaviour=_seen_parts,
)  # fmt: skip


# ---- 3: gradual unfreezing ----------------------------------------------------------------------------------------


def _parts_at(parts: list[str], epoch: int, first: int, every: int, shift: int = 0, start: int = 1) -> list[str]:
    number = 1 if epoch <= first else 2 + (epoch - first - 1 + shift) // every
    return list(parts[-min(len(parts), number + start - 1) :])


def _plan_cases(rng: random.Random) -> list[tuple]:
    cases: list[tuple] = [(["body", "head"], 1, 1, 1), (["head"], 5, 1, 1)]
    for _ in range(40):
        parts = [f"part{i}" for i in range(rng.randint(1, 6))] + ["head"]
        cases.append((parts, rng.randint(1, 14), rng.randint(1, 4), rng.randint(1, 3)))
    return cases


parts_at = Task(
    "parts_at",
    _parts_at,
    _plan_cases,
    mistakes={
        "epochs are counted from 1, and the head alone learns in the first `first` of them; yours changes one epoch early.": (
            lambda p, e, f, n: _parts_at(p, e + 1, f, n)
        ),
        "yours changes one epoch late: in epoch first + 1 the second part joins.": lambda p, e, f, n: _parts_at(p, e - 1, f, n),
        "parts join from the end of the list, next to the head, not from the image.": (
            lambda p, e, f, n: [*p[: len(_parts_at(p, e, f, n)) - 1], p[-1]]
        ),
        "parts that have joined go on learning; yours gives only the newest.": lambda p, e, f, n: _parts_at(p, e, f, n)[:1],
        "the order is that of `parts`, from the image to the answer.": lambda p, e, f, n: _parts_at(p, e, f, n)[::-1],
        "one part joins every `every` epochs; yours takes one each epoch.": lambda p, e, f, n: _parts_at(p, e, f, 1),
        "when the second part has joined, the next one follows `every` epochs later; yours follows at multiples of `every`.": (
            lambda p, e, f, n: list(p[-min(len(p), 1 + max(0, e - f) // n) :])
        ),
        "a list of all parts is not longer than `parts`: mind p[-0:] and numbers above len(parts).": (
            lambda p, e, f, n: [] if e <= f else _parts_at(p, e, f, n, start=0)
        ),
    },
)  # fmt: skip


# ---- 4: repair a loop ---------------------------------------------------------------------------------------------


def _seen_loop(answer: Callable[..., Any]) -> Callable[..., list[Any]]:
    def seen(widths: list[int], batches: int, rate: float, seed: int) -> list[Any]:
        torch.manual_seed(seed)
        model = nn.Sequential()
        model.body = _network(widths, seed)[:-1].double()
        for part in model.body:
            part[3].p = 0.0  # what is seen must not hang on random numbers
        model.head = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(widths[-1], 2)).double()
        data = [(torch.randn(5, 3, 4, 5).double(), torch.randint(0, 2, (5,))) for _ in range(batches)]
        start = [p.detach().clone() for p in model.body.parameters()]
        passes: list[str] = []

        def look(_part: nn.Module, _inputs: Any) -> None:
            modes = {leaf.training for leaf in model.body.modules() if isinstance(leaf, nn.BatchNorm2d)}
            mode = "mixed" if len(modes) > 1 else "training" if modes == {True} else "evaluation"
            moved = any(not torch.equal(p, q) for p, q in zip(model.body.parameters(), start, strict=True))
            passes.append(f"{mode}, weights {'moved' if moved else 'as loaded'}")

        handle = model.body.register_forward_pre_hook(look)
        answer(model, data, rate)
        handle.remove()
        norms = [leaf for leaf in model.body.modules() if isinstance(leaf, nn.BatchNorm2d)]
        kinds = list(dict.fromkeys(f"{passes.count(kind)} passes with the body in {kind}" for kind in passes))
        return [
            *(kinds or ["no pass was made"]),
            f"head {rounded(model.head[-1].weight.flatten()[:2])}",
            f"body {rounded(next(model.body.parameters()).flatten()[:2])}",
            f"statistics {rounded(norms[0].running_mean[:2])}",
        ]

    return seen


def _loop(
    model: nn.Module, batches: list, rate: float, held: bool = True, late: bool = True, factor: float = 0.1, clear: bool = True,
    woken: bool = True, frozen: bool = True,
) -> None:  # fmt: skip
    """Train the head for one epoch, then everything for another; right unless an argument says otherwise."""
    head, body = list(model.head.parameters()), list(model.body.parameters())
    sgd = torch.optim.SGD(head, lr=rate)
    for epoch in (1, 2):
        model.body.requires_grad_(epoch == 2 or not frozen)
        if epoch == 2 and late:
            sgd.add_param_group({"params": body, "lr": factor * rate})
        model.train()
        if (epoch == 1 and held) or (epoch == 2 and not woken):
            model.body.eval()
        for images, labels in batches:
            loss = F.cross_entropy(model(images), labels)
            if clear:
                model.zero_grad()
            loss.backward()
            sgd.step()


def _loop_cases(rng: random.Random) -> list[tuple]:
    return [
        ([rng.randint(2, 4) for _ in range(3)], rng.randint(1, 3), rng.choice([0.2, 0.5, 1.0]), rng.randrange(999))
        for _ in range(20)
    ]


tuned = Behaviour(
    "tuned",
    lambda *case: _seen_loop(_loop)(*case),
    _loop_cases,
    tolerance=1e-4,
    mistakes={
        "nothing is repaired yet.": lambda m, b, r: _loop(m, b, r, held=False, late=False, clear=False),
        "the body never moves: the optimizer was given its parameters before the body was set free. Give it the body's as a "
        "group of their own (add_param_group), or make it anew.": lambda m, b, r: _loop(m, b, r, late=False),
        "in the first epoch the body's batch norms are in training mode, and their statistics move.": (
            lambda m, b, r: _loop(m, b, r, held=False)
        ),
        "the body learns at the head's rate; it should be a tenth of it.": lambda m, b, r: _loop(m, b, r, factor=1.0),
        "gradients add up from batch to batch: they are never set to zero.": lambda m, b, r: _loop(m, b, r, clear=False),
        "in the second epoch the body should be in training mode, so that its statistics follow.": (
            lambda m, b, r: _loop(m, b, r, woken=False)
        ),
        "the optimizer is right; the gradients still add up, and the body is in training mode in the first epoch.": (
            lambda m, b, r: _loop(m, b, r, held=False, clear=False)
        ),
        "the gradients are right; the body never moves, and its statistics move in the first epoch.": (
            lambda m, b, r: _loop(m, b, r, held=False, late=False)
        ),
        "the modes are right; the body never moves, and gradients add up.": lambda m, b, r: _loop(m, b, r, late=False, clear=False),
    },
    behaviour=_seen_loop,
)  # fmt: skip


# ---- 5: how much of a VGG-16 learns -------------------------------------------------------------------------------


def _vgg_counts(block: bool = True, bias: bool = True, classes: int = 37) -> list[int]:
    with torch.device("meta"):
        vgg = models.vgg16(weights=None).requires_grad_(False)
        vgg.classifier[6] = nn.Linear(4096, classes)
        counts = [_learning(vgg, bias)]
        vgg.features[24:].requires_grad_(block)
        counts.append(_learning(vgg, bias))
        vgg.requires_grad_(True)
    return [*counts, _learning(vgg, bias)]


def _learning(model: nn.Module, bias: bool) -> int:
    return sum(
        p.numel() for name, p in model.named_parameters() if p.requires_grad and (bias or not name.endswith("bias"))
    )


learns = Answer(
    "learns",
    _vgg_counts,
    mistakes={
        "each output, of a convolution and of a dense layer, has a bias, too.": _vgg_counts(bias=False),
        "in the second case the three convolutions learn *and* the head.": [151_589, 7_079_424, 134_412_133],
        "the third number is that of VGG-16 with 1,000 classes; the head was replaced.": [151_589, 7_231_013, 138_357_544],
        "that is a head for 1,000 classes.": _vgg_counts(classes=1000),
        "a kernel reads all 512 channels: 3·3·512 weights for each of 512 outputs.": [151_589, 151_589 + 3 * (9 * 512 + 512), 134_412_133],
        "the last block has three convolutions, not one.": [151_589, 151_589 + 9 * 512 * 512 + 512, 134_412_133],
    },
)  # fmt: skip
