"""Checks for the exercises on AlexNet."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

import torch
from torch import nn
from torch.nn import functional as F

from utils.exercises.core import Answer, Behaviour, Case, Task, describe_network
from utils.models.alexnet import AlexNet, AlexNet2012

Tensor = torch.Tensor


def _numbered(rng: random.Random, *shape: int) -> Tensor:
    """Small whole numbers: exact in every order of summation, and short in a message."""
    return torch.tensor([float(rng.randint(-3, 5)) for _ in range(torch.Size(shape).numel())]).view(shape)


def _sizes(model: nn.Module) -> list[int]:
    """Return the parameters of each convolution and dense layer."""
    layers = [layer for layer in model.modules() if isinstance(layer, (nn.Conv2d, nn.Linear))]
    return [sum(p.numel() for p in layer.parameters()) for layer in layers]


# Task 1: AlexNet counted with pencil and paper


def _of_2012(groups: int = 2) -> list[int]:
    with torch.device("meta"):
        return _sizes(AlexNet2012(groups=groups))


def _without_biases() -> list[int]:
    with torch.device("meta"):
        model = AlexNet2012()
    return [p.numel() for p in model.parameters() if p.dim() > 1]


by_hand = Answer(
    "by_hand",
    _of_2012,
    mistakes={
        "these are the weights; each kernel and each dense unit has a bias besides.": _without_biases(),
        "this is the network without groups: in layers 2, 4 and 5 a kernel reads half of the maps.": _of_2012(1),
        "layer 3 reads the maps of both halves, all 256; the others in groups read half.": [
            34_944, 307_456, 442_752, 663_936, 442_624, 37_752_832, 16_781_312, 4_097_000,
        ],
        "layer 6 reads 256 maps of 6×6, not of 13×13: a pooling lies in between.": [
            34_944, 307_456, 885_120, 663_936, 442_624, 177_213_440, 16_781_312, 4_097_000,
        ],
    },
)  # fmt: skip


# Task 2: count any network of this kind


def _counted(convs: list[tuple[int, ...]], dense: list[int], side: int) -> list[int]:
    """Build the network without memory and count."""
    with torch.device("meta"):
        layers: list[nn.Module] = []
        channels = 3
        for kernels, kernel, stride, padding, groups, pool in convs:
            layers.append(nn.Conv2d(channels, kernels, kernel, stride=stride, padding=padding, groups=groups))
            layers += [nn.MaxPool2d(3, stride=2)] * pool
            channels = kernels
        features = nn.Sequential(*layers, nn.Flatten())
        width = features(torch.zeros(1, 3, side, side)).shape[1]
        head = [nn.Linear(i, o) for i, o in zip([width, *dense], dense, strict=False)]
        return _sizes(nn.Sequential(features, *head))


def _count(
    convs: list[tuple[int, ...]],
    dense: list[int],
    side: int,
    *,
    bias: bool = True,
    grouped: Callable[[int, int], int] = lambda channels, groups: channels // groups,
    window: int = 3,
    up: bool = False,
    pools: bool = True,
    area: bool = True,
    kernel_area: bool = True,
) -> list[int]:
    """Count by formula, with parts to get wrong."""
    result, channels = [], 3
    for kernels, kernel, stride, padding, groups, pool in convs:
        weights = kernels * grouped(channels, groups) * (kernel**2 if kernel_area else kernel)
        result.append(weights + bias * kernels)
        room = side + 2 * padding - kernel
        side = (-(-room // stride) if up else room // stride) + 1
        if pool and pools:
            side = (side - window) // 2 + 1
        channels = kernels
    width = channels * (side**2 if area else side)
    for units in dense:
        result.append(width * units + bias * units)
        width = units
    return result


ALEXNET_2012 = (
    [(96, 11, 4, 0, 1, True), (256, 5, 1, 2, 2, True), (384, 3, 1, 1, 1, False), (384, 3, 1, 1, 2, False),
     (256, 3, 1, 1, 2, True)],
    [4096, 4096, 1000],
    227,
)  # fmt: skip
ALEXNET = (
    [(64, 11, 4, 2, 1, True), (192, 5, 1, 2, 1, True), (384, 3, 1, 1, 1, False), (256, 3, 1, 1, 1, False),
     (256, 3, 1, 1, 1, True)],
    [4096, 4096, 1000],
    224,
)  # fmt: skip


def _networks(rng: random.Random) -> list[Case]:
    cases: list[Case] = [([(8, 3, 1, 1, 1, True)], [10], 16), ([(4, 2, 1, 0, 1, False)], [5], 7), ALEXNET, ALEXNET_2012]
    while len(cases) < 24:
        convs, channels = [], 3
        for _ in range(rng.randint(1, 4)):
            kernels = 4 * rng.randint(1, 8)
            groups = rng.choice([1, 2, 4]) if channels % 4 == 0 else 1
            kernel = rng.choice([1, 2, 3, 5])
            stride = rng.choice([1, 1, 2, 3])
            convs.append((kernels, kernel, stride, rng.randint(0, kernel // 2), groups, rng.random() < 0.5))
            channels = kernels
        case = (convs, [rng.randint(1, 60) for _ in range(rng.randint(1, 3))], rng.randint(70, 160))
        try:
            _counted(*case)
        except RuntimeError:  # nothing is left of the maps
            continue
        cases.append(case)
    return cases


count = Task(
    "count",
    _counted,
    _networks,
    mistakes={
        "the biases are missing: one for each kernel, one for each dense unit.": lambda *n: _count(*n, bias=False),
        "with groups, a kernel reads channels // groups input channels, not all of them.": (
            lambda *n: _count(*n, grouped=lambda channels, groups: channels)
        ),
        "the pooling window is 3 pixels wide: (side − 3) // 2 + 1.": lambda *n: _count(*n, window=2),
        "the poolings are left out of the sizes.": lambda *n: _count(*n, pools=False),
        "the flatten has channels · side · side numbers, height times width.": lambda *n: _count(*n, area=False),
        "a kernel has kernel · kernel weights for each channel it reads.": lambda *n: _count(*n, kernel_area=False),
        "the size after a stride is rounded down.": lambda *n: _count(*n, up=True),
    },
)


# Task 3: repair a network whose flatten size is wrong


def _net(height: int, width: int, classes: int, *, sides: tuple[int, int] | None = None, step: int = 2) -> nn.Module:
    features = nn.Sequential(
        nn.Conv2d(3, 6, 7, stride=step), nn.ReLU(), nn.MaxPool2d(3, stride=2),
        nn.Conv2d(6, 8, 5, padding=2), nn.ReLU(), nn.MaxPool2d(3, stride=2),
        nn.Flatten(),
    )  # fmt: skip
    with torch.no_grad():
        numbers = features(torch.zeros(1, 3, *(sides or (height, width)))).shape[1]
    return nn.Sequential(features, nn.Linear(numbers, 12), nn.ReLU(), nn.Dropout(), nn.Linear(12, classes))


def _built(build: Callable[..., Any]) -> Callable[..., Any]:
    return lambda height, width, classes: describe_network(build(height, width, classes), (3, height, width))


def _averaged_to(height: int, width: int, classes: int) -> nn.Module:
    """Make every size fit by averaging to the 8·6·6 that the broken network expects."""
    whole = _net(height, width, classes, sides=(63, 63))
    return nn.Sequential(whole[0][:-1], nn.AdaptiveAvgPool2d(6), nn.Flatten(), *whole[1:])


repaired = Behaviour(
    "repaired",
    _built(_net),
    lambda rng: [
        (64, 64, 10),
        (35, 35, 10),
        (64, 48, 10),
        (40, 90, 7),
        *((rng.randint(35, 90), rng.randint(35, 90), rng.randint(2, 12)) for _ in range(18)),
    ],
    mistakes={
        "the height is used for both sides: the image may be oblong.": lambda h, w, classes: _net(
            h, w, classes, sides=(h, h)
        ),
        "288 numbers, 8 maps of 6×6, belong to one size; compute them from height and width.": (
            lambda h, w, classes: _net(h, w, classes, sides=(63, 63))
        ),
        "the last layer must have `classes` outputs, not 10.": lambda h, w, classes: _net(h, w, 10),
        "the averages let every size pass, but the head no longer sees the maps as they are: flatten them.": _averaged_to,
    },
    tolerance=2e-3,
    behaviour=_built,
)


# Task 4: two halves that do not see each other


def _grouped(x: Tensor, weight: Tensor, bias: Tensor, padding: int) -> Tensor:
    return F.conv2d(x, weight, bias, padding=padding, groups=2)


def _halves(
    x: Tensor,
    weight: Tensor,
    bias: Tensor,
    padding: int,
    *,
    swap: bool = False,
    biased: bool = True,
    same: bool = False,
    join: str = "one after the other",
    interleaved: bool = False,
) -> Tensor:
    inputs = [x[:, 0::2], x[:, 1::2]] if interleaved else list(x.chunk(2, 1))
    inputs = [inputs[0], inputs[0]] if same else inputs[::-1] if swap else inputs
    parts = [
        F.conv2d(part, w, b if biased else None, padding=padding)
        for part, w, b in zip(inputs, weight.chunk(2), bias.chunk(2), strict=True)
    ]
    if join == "sum":
        return parts[0] + parts[1]
    return torch.stack(parts, 2).flatten(1, 2) if join == "in turns" else torch.cat(parts, 1)


def _grouped_cases(rng: random.Random) -> list[Case]:
    # N, channels of a half, kernels of a half, kernel height, width, image height, width, padding
    sizes = [(1, 1, 1, 1, 1, 2, 2, 0), (1, 1, 1, 1, 2, 2, 3, 0), (1, 2, 1, 2, 2, 3, 3, 0), (2, 1, 2, 3, 3, 4, 3, 1)]
    while len(sizes) < 24:
        kernel = rng.randint(1, 3), rng.randint(1, 3)
        image = rng.randint(3, 6), rng.randint(3, 6)
        sizes.append((rng.randint(1, 3), rng.randint(1, 3), rng.randint(1, 3), *kernel, *image, rng.randint(0, 2)))
    return [
        (_numbered(rng, n, 2 * c, h, w), _numbered(rng, 2 * k, c, kh, kw), _numbered(rng, 2 * k) + 0.5, padding)
        for n, c, k, kh, kw, h, w, padding in sizes
    ]


two_halves = Task(
    "two_halves",
    _grouped,
    _grouped_cases,
    mistakes={
        "the halves are exchanged: the first kernels read the first channels.": lambda *a: _halves(*a, swap=True),
        "the bias is missing.": lambda *a: _halves(*a, biased=False),
        "both halves of the kernels read the first half of the channels.": lambda *a: _halves(*a, same=True),
        "the two results are added; they are different maps: put them one after the other.": (
            lambda *a: _halves(*a, join="sum")
        ),
        "the maps of the halves alternate; all maps of the first half come first.": (
            lambda *a: _halves(*a, join="in turns")
        ),
        "a half is a run of neighbouring channels, not every second one.": lambda *a: _halves(*a, interleaved=True),
    },
)


# Task 5: local response normalisation


def _normalised(x: Tensor, size: int, alpha: float, beta: float, k: float) -> Tensor:
    return F.local_response_norm(x, size, alpha=alpha, beta=beta, k=k)


def _response_norm(
    x: Tensor,
    size: int,
    alpha: float,
    beta: float,
    k: float,
    *,
    divide: bool = True,
    across: int = 1,
    square: bool = True,
    mean_of_there: bool = False,
    reach: Callable[[int], int] = lambda size: size // 2,
) -> Tensor:
    result = torch.empty_like(x)
    for i in range(x.shape[across]):
        first, last = max(0, i - reach(size)), i + reach(size) + 1
        near = x.narrow(across, first, min(last, x.shape[across]) - first)
        total = (near**2 if square else near.abs()).sum(across)
        total = total / (near.shape[across] if mean_of_there else size if divide else 1)
        result.select(across, i).copy_(x.select(across, i) / (k + alpha * total) ** beta)
    return result


def _norm_cases(rng: random.Random) -> list[Case]:
    sizes = [(1, 3, 1, 2), (1, 5, 1, 1), (2, 7, 2, 3), (1, 2, 3, 1), (1, 1, 2, 2)]
    sizes += [(rng.randint(1, 3), rng.randint(1, 9), rng.randint(1, 4), rng.randint(1, 4)) for _ in range(19)]
    return [
        (
            _numbered(rng, *shape),
            (3, 3, 5, 5, 1)[number] if number < 5 else rng.choice([1, 3, 5, 7]),
            rng.choice([0.5, 1.0, 2.0]),
            rng.choice([0.5, 0.75, 1.0]),
            rng.choice([1.0, 2.0]),
        )
        for number, shape in enumerate(sizes)
    ]


response_norm = Task(
    "response_norm",
    _normalised,
    _norm_cases,
    mistakes={
        "α is divided by `size`: this is the formula of the paper, not PyTorch's.": (
            lambda *a: _response_norm(*a, divide=False)
        ),
        "at the first and last maps the sum has fewer terms, but α is divided by `size` there too.": (
            lambda *a: _response_norm(*a, mean_of_there=True)
        ),
        "the values are to be squared before they are added.": lambda *a: _response_norm(*a, square=False),
        "the neighbours are other maps at the same pixel (axis 1), not other pixels.": (
            lambda *a: _response_norm(*a, across=3)
        ),
        "the window reaches `size // 2` maps to either side.": (
            lambda *a: _response_norm(*a, reach=lambda size: size // 2 + 1)
        ),
    },
)


# Task 6: top-5 error


def _top_error(logits: Tensor, labels: Tensor, k: int) -> float:
    hits = (logits.topk(k, dim=1).indices == labels[:, None]).any(1)
    return (~hits).double().mean().item()


def _answers(rng: random.Random) -> list[Case]:
    sizes = [(2, 3, 1), (4, 6, 5), (1, 5, 5), (3, 8, 2), (6, 4, 4)]
    sizes += [(rng.randint(1, 9), n := rng.randint(2, 12), rng.randint(1, n)) for _ in range(19)]
    cases = []
    for images, classes, k in sizes:
        order = [rng.sample(range(classes), classes) for _ in range(images)]  # no two logits alike
        labels = [rng.randrange(classes) for _ in range(images)]
        cases.append((torch.tensor(order) / 2 - 1, torch.tensor(labels), k))
    return cases


top_error = Task(
    "top_error",
    _top_error,
    _answers,
    mistakes={
        "this is the share of right answers; the error is 1 minus it.": lambda *a: 1 - _top_error(*a),
        "this is the number of errors; divide by the number of images.": (
            lambda logits, labels, k: _top_error(logits, labels, k) * len(labels)
        ),
        "only the largest logit is looked at; the label may be any of the k largest.": (
            lambda logits, labels, k: _top_error(logits, labels, 1)
        ),
        "these are the k smallest logits.": lambda logits, labels, k: _top_error(-logits, labels, k),
        "always 5 are looked at; use k.": lambda logits, labels, k: _top_error(logits, labels, min(5, logits.shape[1])),
        "this is in per cent; return a share between 0 and 1.": lambda *a: 100 * _top_error(*a),
    },
)


# Task 7: averages in place of the flatten head


def _features() -> nn.Sequential:
    return nn.Sequential(nn.Conv2d(3, 6, 5, stride=2), nn.ReLU(), nn.MaxPool2d(3, stride=2), nn.Conv2d(6, 9, 3))


def _with_head(build: Callable[..., Any]) -> Callable[..., Any]:
    def behaviour(height: int, width: int, classes: int) -> Any:
        return describe_network(build(_features(), 9, classes), (3, height, width))

    return behaviour


def _average(
    features: nn.Module, channels: int, classes: int, *, pool: nn.Module | None = None, last: tuple[nn.Module, ...] = ()
) -> nn.Module:
    return nn.Sequential(features, pool or nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(channels, classes), *last)


average_head = Behaviour(
    "average_head",
    _with_head(_average),
    lambda rng: [
        (32, 32, 10),
        (17, 17, 5),
        (40, 25, 3),
        *((rng.randint(17, 60), rng.randint(17, 60), rng.randint(2, 12)) for _ in range(18)),
    ],
    mistakes={
        "this takes the maximum of each map; global average pooling takes its mean.": (
            lambda f, channels, classes: _average(f, channels, classes, pool=nn.AdaptiveMaxPool2d(1))
        ),
        "there are 10 outputs, whatever `classes` says.": lambda f, channels, classes: _average(f, channels, 10),
        "a ReLU follows the last layer; logits have both signs.": (
            lambda f, channels, classes: _average(f, channels, classes, last=(nn.ReLU(),))
        ),
        "a softmax follows the last layer; the loss applies it itself.": (
            lambda f, channels, classes: _average(f, channels, classes, last=(nn.Softmax(1),))
        ),
        "the features are missing; they come first.": (
            lambda f, channels, classes: nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(3, classes))
        ),
    },
    tolerance=2e-3,
    behaviour=_with_head,
)


def _saved() -> int:
    with torch.device("meta"):
        model = AlexNet()
        short = _average(model.features, 256, 1000)
    return sum(_sizes(model)) - sum(_sizes(short))


saved = Answer(
    "saved",
    _saved,
    mistakes={
        "these are the parameters that are left; the question is how many are saved.": 61_100_840 - 58_374_144,
        "this is the old head alone; the new one has 256 · 1000 + 1000 parameters of its own.": 58_631_144,
        "the new dense layer has biases, too.": 58_375_144,
    },
)
