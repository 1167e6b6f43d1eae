"""Checks for the exercises of chapter "Feature extraction"."""

from __future__ import annotations

import copy
import random
from collections.abc import Callable
from functools import cache
from itertools import pairwise
from statistics import mean, stdev
from typing import Any

import torch
from torch import nn
from torch.nn import functional as F
from torchvision import models

from utils.exercises.core import Answer, Behaviour, Task

# ---- 1: freeze a body ---------------------------------------------------------------------------------------------


def _network(widths: list[int], drop: float, seed: int) -> nn.Module:
    torch.manual_seed(seed)
    body: list[nn.Module] = []
    for inputs, outputs in pairwise([3, *widths]):
        body += [nn.Conv2d(inputs, outputs, 3, padding=1, bias=False), nn.BatchNorm2d(outputs), nn.ReLU()]
    network = nn.Sequential()
    network.body = nn.Sequential(*body, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Dropout(drop))
    network.head = nn.Sequential(nn.Dropout(drop), nn.Linear(widths[-1], 2))
    return network


def _names(names: list[str], nothing: str) -> str:
    return ", ".join(names) if names else nothing


def _seen_freezing(answer: Callable[[nn.Module], Any]) -> Callable[..., list[str]]:
    def seen(widths: list[int], drop: float, side: int, seed: int) -> list[str]:
        network = _network(widths, drop, seed)
        answer(network)
        before = {name: value.clone() for name, value in network.state_dict().items()}
        grad = {name.split(".")[0] for name, p in network.named_parameters() if p.requires_grad}
        network.train()  # as each epoch of a loop does
        torch.manual_seed(seed)
        try:
            network(torch.randn(4, 3, side, side + 1)).square().sum().backward()
            torch.optim.SGD([p for p in network.parameters() if p.requires_grad], lr=0.5, weight_decay=0.1).step()
        except (RuntimeError, ValueError) as error:
            return [f"a training step fails: {error}".splitlines()[0]]
        moved = [name for name, value in network.state_dict().items() if not torch.equal(value, before[name])]
        weights = {n.split(".")[0] for n in moved if n.endswith(("weight", "bias"))}
        buffers = sorted({n.rsplit(".", 1)[1] for n in moved if not n.endswith(("weight", "bias"))})
        return [
            f"parameters with a gradient: in {_names(sorted(grad), 'no part')}",
            f"weights moved by a step: in {_names(sorted(weights), 'no part')}",
            f"statistics moved by a pass after train(): {_names(buffers, 'none')}",
            f"dropout of the body: {'on' if network.body[-1].training else 'off'}",
            f"dropout of the head: {'on' if network.head[0].training else 'off'}",
        ]

    return seen


def _right_freezing(*_case: Any) -> list[str]:
    return [
        "parameters with a gradient: in head",
        "weights moved by a step: in head",
        "statistics moved by a pass after train(): none",
        "dropout of the body: off",
        "dropout of the head: on",
    ]


def _held(part: nn.Module) -> None:
    part.eval()
    part.train = lambda mode=True: part


def _norms_held(network: nn.Module) -> None:
    network.body.requires_grad_(False)
    for part in network.body.modules():
        if isinstance(part, nn.BatchNorm2d):
            _held(part)


def _weights_only(network: nn.Module) -> None:
    for name, parameter in network.body.named_parameters():
        parameter.requires_grad = not name.endswith("weight")
    _held(network.body)


def _everything(network: nn.Module) -> None:
    network.requires_grad_(False)
    _held(network.body)


def _eval_once(network: nn.Module) -> None:
    network.body.requires_grad_(False)
    network.body.eval()


def _all_held(network: nn.Module) -> None:
    network.body.requires_grad_(False)
    network.eval()
    network.train = lambda mode=True: network


def _freeze_cases(rng: random.Random) -> list[tuple]:
    return [
        ([rng.randint(1, 5) for _ in range(rng.randint(1, 3))], rng.choice([0.1, 0.5]), rng.randint(1, 6), rng.randrange(999))
        for _ in range(20)
    ]  # fmt: skip


freeze_body = Behaviour(
    "freeze_body",
    _right_freezing,
    _freeze_cases,
    mistakes={
        "nothing is frozen yet.": lambda network: None,
        "the weights are frozen, but the loop's train() wakes the batch norms, and each pass moves their statistics. An eval() "
        "before does not last: the body's own train must do nothing.": _eval_once,
        "the body stays in evaluation mode, but parameters of it still get gradients, all or those of its batch norms.": (
            _weights_only
        ),
        "the head is frozen, too; then nothing is left to learn.": _everything,
        "the head must go on training: its dropout is off, since train() of the whole network does nothing.": _all_held,
        "the batch norms are held; the body's dropout is still on. Hold the whole body in evaluation mode.": _norms_held,
    },
    behaviour=_seen_freezing,
)


# ---- 2: the head of a VGG -----------------------------------------------------------------------------------------


@cache
def _template(name: str) -> nn.Module:
    with torch.device("meta"):
        return models.get_model(name, weights=None)


def _vgg(name: str) -> nn.Module:
    return copy.deepcopy(_template(name))


def _seen_head(answer: Callable[[nn.Module, int], Any]) -> Callable[..., list[str]]:
    def seen(name: str, classes: int) -> list[str]:
        network = _vgg(name)
        old = {id(p) for p in network.parameters()}
        with torch.device("meta"):
            answer(network, classes)
            try:
                output = tuple(network.eval()(torch.zeros(2, 3, 32, 32)).shape)
            except (RuntimeError, NotImplementedError) as error:
                return [f"a pass fails: {error}".splitlines()[0][:100]]
        learns = [n for n, p in network.named_parameters() if p.requires_grad]
        new = [n for n, p in network.named_parameters() if id(p) not in old]
        return [
            f"output {output}",
            f"layers of the classifier: {len(network.classifier) if isinstance(network.classifier, nn.Sequential) else 1}",
            f"new parameters: {_names(new, 'none')}",
            f"learning: {_names(learns, 'nothing') if len(learns) < 5 else f'{len(learns)} tensors'}",
        ]

    return seen


def _right_head(name: str, classes: int) -> list[str]:
    return [
        f"output {(2, classes)}",
        f"layers of the classifier: {len(_template(name).classifier)}",
        "new parameters: classifier.6.weight, classifier.6.bias",
        "learning: classifier.6.weight, classifier.6.bias",
    ]


def _put(place: str, freezes: str = "before") -> Callable[[nn.Module, int], None]:
    def put(network: nn.Module, classes: int) -> None:
        if freezes == "before":
            network.requires_grad_(False)
        if place == "fc":
            network.fc = nn.Linear(4096, classes)
        elif place == "classifier":
            network.classifier = nn.Linear(512 * 7 * 7, classes)
        elif place == "appended":
            network.classifier.append(nn.Linear(1000, classes))
        elif place == "first":
            network.classifier[0] = nn.Linear(25088, classes)
        elif place == "out_features":
            network.classifier[6].out_features = classes
        elif place == "6":
            network.classifier[6] = nn.Linear(4096, classes)
        if freezes == "after":
            network.requires_grad_(False)
        elif freezes == "features":
            network.features.requires_grad_(False)

    return put


def _head_cases(rng: random.Random) -> list[tuple]:
    return [("vgg16" if i == 0 else "vgg11", rng.choice([2, 3, 5, 10, 37])) for i in range(20)]


new_head = Behaviour(
    "new_head",
    _right_head,
    _head_cases,
    mistakes={
        "a VGG has no fc: Python makes the attribute, and no pass ever calls it.": _put("fc"),
        "the whole classifier was replaced, and its two trained dense layers are lost; replace its last entry.": (
            _put("classifier")
        ),
        "the new layer stands behind the old one; the 1,000 scores are no longer wanted: replace the layer.": _put("appended"),
        "frozen after the replacement: the new layer is frozen, too, and nothing learns.": _put("6", "after"),
        "the head is right, but nothing is frozen.": _put("6", "none"),
        "only the features are frozen; the two dense layers in front of the head, with most of the weights, still learn.": (
            _put("6", "features")
        ),
        "the old layer is still in its place; put a new nn.Linear there (to set out_features changes a note, not the weights).": (
            _put("out_features")
        ),
    },
    behaviour=_seen_head,
)  # fmt: skip


# ---- 3: a preprocessing with faults -------------------------------------------------------------------------------


def _prepared(
    images: torch.Tensor, size: int, mean: list[float], std: list[float], scale: float = 255.0, flip: bool = False,
    late: bool = False, smooth: bool = True, squared: bool = False,
) -> torch.Tensor:  # fmt: skip
    middle, spread = (torch.tensor(values).view(3, 1, 1) for values in (mean, std))
    pixels = images.permute(0, 3, 1, 2).float() / scale
    pixels = pixels.flip(1) if flip else pixels
    pixels = F.interpolate(pixels, (size, size), mode="bilinear", antialias=smooth, align_corners=False)
    return pixels / spread - middle if late else (pixels - middle) / (spread**2 if squared else spread)


def _prepare_cases(rng: random.Random) -> list[tuple]:
    torch.manual_seed(rng.randrange(2**31))
    cases = []
    for _ in range(22):
        n, h, w = rng.randint(1, 3), rng.randint(2, 12), rng.randint(2, 12)
        constants = [[round(rng.uniform(low, high), 3) for _ in range(3)] for low, high in ((0.3, 0.6), (0.2, 0.5))]
        cases.append((torch.randint(0, 256, (n, h, w, 3)).to(torch.uint8), rng.randint(2, 10), *constants))
    return cases


prepared = Task(
    "prepared",
    _prepared,
    _prepare_cases,
    mistakes={
        "nothing is repaired yet.": lambda *a: _prepared(*a, scale=1.0, flip=True, late=True),
        "bytes are not scaled: divide by 255 before the constants.": lambda *a: _prepared(*a, scale=1.0),
        "the colours come in the order blue, green, red; the network wants red first.": lambda *a: _prepared(*a, flip=True),
        "the mean is subtracted after the division; it is (pixel − mean) / std.": lambda *a: _prepared(*a, late=True),
        "one fault is repaired; look at the order of the colours and at the formula.": (
            lambda *a: _prepared(*a, flip=True, late=True)
        ),
        "one fault is repaired; look at the scale of bytes and at the formula.": (
            lambda *a: _prepared(*a, scale=1.0, late=True)
        ),
        "one fault is repaired; look at the scale of bytes and at the order of the colours.": (
            lambda *a: _prepared(*a, scale=1.0, flip=True)
        ),
        "the anti-aliasing was right: without it a reduced image skips pixels.": lambda *a: _prepared(*a, smooth=False),
        "divide by the standard deviation, not by its square.": lambda *a: _prepared(*a, squared=True),
        "the constants are missing.": lambda images, size, mean, std: _prepared(images, size, [0.0] * 3, [1.0] * 3),
    },
)  # fmt: skip


# ---- 4: what learns -----------------------------------------------------------------------------------------------


def _learning() -> int:
    with torch.device("meta"):
        network = models.resnet18(weights=None).requires_grad_(False)
        network.fc = nn.Linear(network.fc.in_features, 10)
    return sum(p.numel() for p in network.parameters() if p.requires_grad)


learning = Answer(
    "learning",
    _learning,
    mistakes={
        "each of the ten outputs has a bias, too.": 5120,
        "that is the old head, with 1,000 outputs.": 513_000,
        "that is all of ResNet-18; the body is frozen.": 11_689_512,
        "that is all of the network with its new head; the body is frozen.": 11_181_642,
    },
)


# ---- 5: a verdict -------------------------------------------------------------------------------------------------


def _verdict(
    first: list[float], second: list[float],
    spread: Callable[[list[float], list[float]], float] = lambda a, b: max(stdev(a), stdev(b)),
) -> str:  # fmt: skip
    gap = mean(first) - mean(second)
    if abs(gap) <= spread(first, second):
        return "no difference"
    return "features" if gap > 0 else "scratch"


def _verdict_cases(rng: random.Random) -> list[tuple]:
    cases = []
    for i in range(30):
        gap, noise, number = rng.choice([-0.2, -0.05, -0.02, 0.02, 0.05, 0.2]), rng.choice([0.01, 0.03, 0.1]), 2 + i % 4
        one = [round(0.6 + gap + rng.gauss(0, noise), 4) for _ in range(number)]
        two = [round(0.6 + rng.gauss(0, rng.choice([0.01, 0.05])), 4) for _ in range(number)]
        cases.append((one, two))
    return cases


verdict = Task(
    "verdict",
    _verdict,
    _verdict_cases,
    mistakes={
        "a gap within the spread is no difference.": lambda a, b: _verdict(a, b, lambda a, b: 0.0),
        "the larger of the two standard deviations counts, not the smaller.": (
            lambda a, b: _verdict(a, b, lambda a, b: min(stdev(a), stdev(b)))
        ),
        "the larger of the two standard deviations counts, not their sum.": (
            lambda a, b: _verdict(a, b, lambda a, b: stdev(a) + stdev(b))
        ),
        "the two names are exchanged: `first` belongs to the features.": lambda a, b: _verdict(b, a),
        "compare the means, not the best runs.": lambda a, b: "features" if max(a) > max(b) else "scratch",
        "where the second is better, the answer is 'scratch'.": (
            lambda a, b: "features" if _verdict(a, b) == "features" else "no difference"
        ),
    },
)
