"""Checks of the exercises of chapter Your first CNN."""

from __future__ import annotations

import copy
import random
from collections.abc import Callable
from itertools import groupby
from typing import Any

import torch
from torch import nn
from torch.nn import functional as F

from utils.exercises.core import Answer, Behaviour, describe_network, rounded

Batches = list[tuple[torch.Tensor, torch.Tensor]]

# Task 1: count the parameters


def _digit_net(
    channels: int,
    height: int,
    width: int,
    classes: int,
    *,
    sides: tuple[int, int] | None = None,
    padding: int = 1,
    last: nn.Module | None = None,
    relus: bool = True,
) -> nn.Sequential:
    """Return the chapter's network for images of any size; the options plant a mistake."""
    rows, columns = sides or (height // 2 // 2, width // 2 // 2)
    act = nn.ReLU if relus else nn.Identity
    return nn.Sequential(
        nn.Conv2d(channels, 16, 3, padding=padding), act(), nn.MaxPool2d(2),
        nn.Conv2d(16, 32, 3, padding=padding), act(), nn.MaxPool2d(2),
        nn.Flatten(), nn.Linear(32 * rows * columns, 128), act(), nn.Linear(128, classes),
        *([last] if last else []),
    )  # fmt: skip


def _counts() -> list[int]:
    counts = [sum(p.numel() for p in layer.parameters()) for layer in _digit_net(3, 40, 28, 10)]
    return [n for n in counts if n] + [sum(counts)]


parameters = Answer(
    "parameters",
    _counts,
    mistakes={
        "the biases are missing: one for each channel, one for each dense unit.": [432, 4608, 286720, 1280, 293040],
        "the images have three colours, and each kernel reads all of them.": [160, 4640, 286848, 1290, 292938],
        "32·7·7 belongs to 28×28; 40×28 pixels end as 10×7.": [448, 4640, 200832, 1290, 207210],
        "there are two poolings: 40×28, then 20×14, then 10×7.": [448, 4640, 1147008, 1290, 1153386],
        "each of the 32 kernels reads all 16 channels below it.": [448, 320, 286848, 1290, 288906],
    },
)


# Task 2: from digits to colour


def _built(build: Callable[..., Any]) -> Callable[..., Any]:
    return lambda channels, height, width, classes: describe_network(
        build(channels, height, width, classes), (channels, height, width)
    )


def _sizes(rng: random.Random) -> list[tuple[int, int, int, int]]:
    fixed = [(3, 32, 32, 10), (1, 28, 28, 10), (3, 40, 28, 10), (3, 28, 40, 2), (4, 33, 31, 5), (1, 4, 4, 3)]
    return fixed + [
        (rng.choice((1, 3, 3, 4)), rng.randint(4, 48), rng.randint(4, 48), rng.randint(2, 12)) for _ in range(18)
    ]


colour_net = Behaviour(
    "colour_net",
    _built(_digit_net),
    _sizes,
    tolerance=2e-3,
    mistakes={
        "the first convolution must take `channels` channels, not 1.": (
            lambda channels, height, width, classes: _digit_net(1, height, width, classes)
        ),
        "the first convolution takes 3 channels, whatever `channels` says.": (
            lambda channels, height, width, classes: _digit_net(3, height, width, classes)
        ),
        "32·7·7 belongs to 28×28 pixels: compute the flatten size from height and width.": (
            lambda channels, height, width, classes: _digit_net(channels, height, width, classes, sides=(7, 7))
        ),
        "32·8·8 belongs to 32×32 pixels: compute the flatten size from height and width.": (
            lambda channels, height, width, classes: _digit_net(channels, height, width, classes, sides=(8, 8))
        ),
        "the height is used for both sides: the image may be oblong.": (
            lambda channels, height, width, classes: _digit_net(channels, height, height, classes)
        ),
        "the last layer must have `classes` outputs, not 10.": (
            lambda channels, height, width, classes: _digit_net(channels, height, width, 10)
        ),
        "a softmax follows the last layer; the loss applies it itself.": (
            lambda *case: _digit_net(*case, last=nn.Softmax(1))
        ),
        "a ReLU follows the last layer; logits have both signs.": lambda *case: _digit_net(*case, last=nn.ReLU()),
        "there is no ReLU between the layers.": lambda *case: _digit_net(*case, relus=False),
    },
    behaviour=_built,
)


# Tasks 3 to 5: a small classifier that notes what is done to it

TRAIN, VALIDATION, TEST = 0.0, 1.0, 2.0


class _Watched(nn.Module):
    """A linear classifier of two numbers; the third says which set the images belong to, and is only noted.

    In training mode it halves its first input, as dropout might: forgetting ``eval()`` changes the result, and
    the result stays the same at every run.
    """

    def __init__(self, seed: int) -> None:
        super().__init__()
        source = torch.Generator().manual_seed(seed)
        self.dense = nn.Linear(2, 3).double()
        with torch.no_grad():
            self.dense.weight.copy_(torch.randn(3, 2, generator=source))
            self.dense.bias.zero_()
        self.notes: list[tuple[float, bool, bool]] = []

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        halves = torch.tensor([0.5 if self.training else 1.0, 1.0], dtype=torch.float64)
        logits = self.dense(x[:, :2] * halves)
        self.notes.append((x[0, 2].item(), self.training, logits.requires_grad))
        return logits

    def modes(self, which: float) -> str:
        """Say in which mode the images of a set were seen."""
        modes = {"train mode" if training else "eval mode" for tag, training, _ in self.notes if tag == which}
        return " and ".join(sorted(modes)) or "never seen"

    def recorded(self, which: float) -> str:
        """Say whether autograd kept a record for a set."""
        records = any(record for tag, _, record in self.notes if tag == which)
        return "recorded for backward" if records else "no record"

    def times(self, which: float) -> int:
        """Count the passes over a set: how often it came after another one."""
        return sum(tag == which for tag, _ in groupby(tag for tag, _, _ in self.notes))


def _batches(sizes: tuple[int, ...], tag: float, seed: int) -> Batches:
    source = torch.Generator().manual_seed(1000 * int(tag) + seed)
    result = []
    for n in sizes:
        x = 2 * torch.randn(n, 3, generator=source).double()
        x[:, 2] = tag
        labels = (x[:, 0] + 0.5 * torch.randn(n, generator=source) > 0).long() + (x[:, 1] > 1).long()
        result.append((x, labels))
    return result


def _numbers(values: Any) -> Any:
    """Return numbers with three decimals, deep inside lists; everything else as it is."""
    if isinstance(values, (tuple, list)):
        return [_numbers(v) for v in values]
    if isinstance(values, torch.Tensor):
        return rounded(values) if values.dim() else round(values.item(), 3)
    return round(values, 3) if isinstance(values, float) else values


def _same(batches: Batches, copies: Batches) -> str:
    same = all(
        torch.equal(a, b) for pair, other in zip(batches, copies, strict=True) for a, b in zip(pair, other, strict=True)
    )
    return "images kept" if same else "images changed in place"


# Task 3: validate


def _validated(answer: Callable[..., Any]) -> Callable[..., Any]:
    def run(sizes: tuple[int, ...], seed: int) -> list[Any]:
        model, batches = _Watched(seed), _batches(sizes, VALIDATION, seed)
        copies, before = copy.deepcopy(batches), model.dense.weight.detach().clone()
        result = answer(model, batches)
        weights = "weights kept" if torch.equal(before, model.dense.weight) else "weights changed"
        return [model.modes(VALIDATION), model.recorded(VALIDATION), weights, _same(batches, copies), _numbers(result)]

    return run


def _mean(losses: list[float], sizes: list[int]) -> float:
    return sum(a * n for a, n in zip(losses, sizes, strict=True)) / sum(sizes)


def _validate(
    model: nn.Module,
    batches: Batches,
    *,
    mode: bool = False,
    record: bool = False,
    loss_of: Callable[[list[float], list[int]], float] = _mean,
    share_of: Callable[[list[int], list[int]], float] = lambda right, sizes: sum(right) / sum(sizes),
) -> tuple[float, float]:
    model.train(mode)
    losses, right, sizes = [], [], []
    with torch.set_grad_enabled(record):
        for inputs, labels in batches:
            logits = model(inputs)
            losses.append(F.cross_entropy(logits, labels).item())
            right.append((logits.argmax(1) == labels).sum().item())
            sizes.append(len(labels))
    return loss_of(losses, sizes), share_of(right, sizes)


def _wrongly(function: Callable[..., Any], **options: Any) -> Callable[..., Any]:
    return lambda *arguments: function(*arguments, **options)


def _set_sizes(rng: random.Random) -> list[tuple[tuple[int, ...], int]]:
    sizes: list[tuple[int, ...]] = [(8, 8, 3), (4, 4, 4), (1,), (16, 1), (5, 1, 1)]
    sizes += [(n,) * rng.randint(1, 4) + (rng.randint(1, n),) for n in (rng.randint(2, 16) for _ in range(17))]
    return [(s, rng.randrange(1000)) for s in sizes]


def _last(values: list[float], sizes: list[int]) -> float:
    return values[-1]


validate = Behaviour(
    "validate",
    _validated(_validate),
    _set_sizes,
    tolerance=2e-3,
    mistakes={
        "`model.eval()` is missing: dropout and batch norm act as in training.": _wrongly(_validate, mode=True),
        "PyTorch keeps a record of every pass; compute inside `torch.no_grad()`.": _wrongly(_validate, record=True),
        "both switches are missing: `model.eval()` and `torch.no_grad()`.": (
            _wrongly(_validate, mode=True, record=True)
        ),
        "this is the loss of the last batch; return the mean over all images.": _wrongly(_validate, loss_of=_last),
        "every batch counts the same here, but the last one has fewer images: weight each loss by its images.": (
            _wrongly(_validate, loss_of=lambda losses, sizes: sum(losses) / len(losses))
        ),
        "the loss is a sum over the images; divide by their number.": (
            _wrongly(_validate, loss_of=lambda losses, sizes: sum(a * n for a, n in zip(losses, sizes, strict=True)))
        ),
        "accuracy is a share from 0 to 1; this is the number of right answers.": (
            _wrongly(_validate, share_of=lambda right, sizes: sum(right))
        ),
        "accuracy is a share from 0 to 1, not in percent.": (
            _wrongly(_validate, share_of=lambda right, sizes: 100 * sum(right) / sum(sizes))
        ),
        "this is the accuracy on the last batch alone.": (
            _wrongly(_validate, share_of=lambda right, sizes: right[-1] / sizes[-1])
        ),
        "the mean of the batches' accuracies counts a small batch like a large one: count right answers.": (
            _wrongly(
                _validate,
                share_of=lambda right, sizes: sum(r / n for r, n in zip(right, sizes, strict=True)) / len(sizes),
            )
        ),
        "accuracy comes second: return the mean loss, then the accuracy.": (
            lambda model, batches: _validate(model, batches)[::-1]
        ),
    },
    behaviour=_validated,
)


# Task 4: the loop with validation


def _looped(answer: Callable[..., Any]) -> Callable[..., Any]:
    def run(sizes: tuple[int, ...], epochs: int, seed: int) -> list[Any]:
        model = _Watched(seed)
        known, new = _batches(sizes, TRAIN, seed), _batches(sizes[:2], VALIDATION, seed)
        history = answer(model, torch.optim.SGD(model.parameters(), lr=0.5), known, new, epochs)
        seen = f"training images in {model.modes(TRAIN)}, validation images in {model.modes(VALIDATION)}"
        return [seen, rounded(model.dense.weight), _numbers(history)]

    return run


def _epoch(
    model: nn.Module,
    optimizer: torch.optim.Optimizer,
    known: Batches,
    *,
    forget: bool = True,
    step: bool = True,
    softmax: bool = False,
    mean: Callable[[list[float], list[int]], float] = _mean,
) -> float:
    """Train for one epoch in the mode that the model is in; return the loss to report."""
    losses, sizes = [], []
    for inputs, labels in known:
        logits = model(inputs)
        loss = F.cross_entropy(logits.softmax(1) if softmax else logits, labels)
        if forget:
            optimizer.zero_grad()
        loss.backward()
        if step:
            optimizer.step()
        losses.append(loss.item())
        sizes.append(len(labels))
    return mean(losses, sizes)


def _train(
    model: nn.Module,
    optimizer: torch.optim.Optimizer,
    known: Batches,
    new: Batches,
    epochs: int,
    *,
    back_to_train: bool = True,
    evaluation: bool = True,
    early: bool = False,
    **options: Any,
) -> list[tuple[float, float, float]]:
    history = []
    for epoch in range(epochs):
        before = _validate(model, new) if early else ()
        model.train(back_to_train or epoch == 0)
        loss = _epoch(model, optimizer, known, **options)
        history.append((loss, *(before or _validate(model, new, mode=not evaluation))))
    return history


def _set_sizes_and_epochs(rng: random.Random) -> list[tuple[tuple[int, ...], int, int]]:
    return [(sizes, rng.randint(1, 4), seed) for sizes, seed in _set_sizes(rng)]


train = Behaviour(
    "train",
    _looped(_train),
    _set_sizes_and_epochs,
    tolerance=2e-3,
    mistakes={
        "from the second epoch on the network is trained in eval mode: call `model.train()` in every epoch.": (
            _wrongly(_train, back_to_train=False)
        ),
        "validation runs in training mode: call `model.eval()` before it.": _wrongly(_train, evaluation=False),
        "the gradients of earlier batches are still there: `zero_grad` is missing.": _wrongly(_train, forget=False),
        "the weights never change: `optimizer.step()` is missing.": _wrongly(_train, step=False),
        "validation comes before the epoch's training; it belongs after it.": _wrongly(_train, early=True),
        "the training loss is that of the last batch; return the mean over all images of the epoch.": (
            _wrongly(_train, mean=_last)
        ),
        "every batch counts the same in the training loss; weight each by its images.": (
            _wrongly(_train, mean=lambda losses, sizes: sum(losses) / len(losses))
        ),
        "only the last epoch is returned; return one entry for each epoch.": lambda *a: _train(*a)[-1:],
    },
    behaviour=_looped,
)


# Task 5: five bugs in a training script


def _scripted(answer: Callable[..., Any]) -> Callable[..., Any]:
    def run(sizes: tuple[int, ...], epochs: int, seed: int) -> list[Any]:
        model = _Watched(seed)
        sets = [_batches(sizes, tag, seed) for tag in (TRAIN, VALIDATION, TEST)]
        result = answer(model, torch.optim.SGD(model.parameters(), lr=0.5), *sets, epochs)
        modes = [model.modes(tag) for tag in (TRAIN, VALIDATION, TEST)]
        times = model.times(TEST)
        return [
            "train / validation / test in " + " / ".join(modes),
            f"test set used {times} time{'' if times == 1 else 's'}",
            _numbers(result),
            rounded(model.dense.weight),
        ]

    return run


def _accuracy(model: nn.Module, batches: Batches, evaluation: bool = True) -> float:
    return _validate(model, batches, mode=not evaluation)[1]


def _script(
    model: nn.Module,
    optimizer: torch.optim.Optimizer,
    known: Batches,
    new: Batches,
    test: Batches,
    epochs: int,
    *,
    forget: bool = True,
    softmax: bool = False,
    evaluation: bool = True,
    last: bool = False,
    choose_by_test: bool = False,
    keep_best: bool = True,
) -> tuple[list[float], int, float]:
    losses, best_accuracy, best_epoch, best = [], -1.0, 0, {}
    for epoch in range(1, epochs + 1):
        model.train()
        losses.append(_epoch(model, optimizer, known, forget=forget, softmax=softmax, mean=_last if last else _mean))
        accuracy = _accuracy(model, test if choose_by_test else new, evaluation)
        if accuracy > best_accuracy:
            best_accuracy, best_epoch, best = accuracy, epoch, copy.deepcopy(model.state_dict())
    if keep_best:
        model.load_state_dict(best)
    return losses, best_epoch, best_accuracy if choose_by_test else _accuracy(model, test, evaluation)


repaired = Behaviour(
    "repaired",
    _scripted(_script),
    lambda rng: [(sizes, rng.randint(2, 6), seed) for sizes, seed in _set_sizes(rng)],
    tolerance=2e-3,
    mistakes={
        "one bug is left: gradients pile up from batch to batch.": _wrongly(_script, forget=False),
        "one bug is left: `F.cross_entropy` is given probabilities, and applies a softmax itself.": (
            _wrongly(_script, softmax=True)
        ),
        "one bug is left: accuracy is measured in training mode.": _wrongly(_script, evaluation=False),
        "one bug is left: the loss reported for an epoch is that of its last batch.": _wrongly(_script, last=True),
        "one bug is left: the epoch is chosen by the test set, which is for the final number alone.": (
            _wrongly(_script, choose_by_test=True)
        ),
        "all five bugs are still there.": (
            _wrongly(_script, forget=False, softmax=True, evaluation=False, last=True, choose_by_test=True)
        ),
        "the test accuracy belongs to the best epoch: load its weights before testing, as the script did.": (
            _wrongly(_script, keep_best=False)
        ),
    },
    behaviour=_scripted,
)


# Task 6: what the one-batch test finds

one_batch = Answer(
    "one_batch",
    lambda: [True, False, True, False, True],
    mistakes={
        "wrong labels can be learned by heart as well: 16 of them are few.": [True, True, True, False, True],
        "one batch is seen and no validation set: images in both sets leave no trace in this test.": (
            [True, False, True, True, True]
        ),
        "with a second softmax no loss below ln(1 + 9/e) = 1.461 is possible.": [False, False, True, False, True],
        "a rate of 10 throws the weights far away at the first step, and the loss does not settle at 0.": (
            [True, False, False, False, True]
        ),
        "gradients that pile up overshoot: try it in the figure of the chapter.": [True, False, True, False, False],
        "the test sees neither wrong labels nor a leak between the sets: both are faults of the data.": (
            [True, True, True, True, True]
        ),
    },
)
