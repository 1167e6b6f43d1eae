"""Checks for the exercises on nonlinearity and the parts of a network."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch import nn

from utils.exercises.core import Answer, Behaviour, Case, Task, describe_network


def _whole(rng: random.Random, *shape: int, dtype: torch.dtype = torch.float32) -> torch.Tensor:
    """Small whole numbers, zero among them: exact in every order of summation, and short in a message."""
    count = torch.Size(shape).numel()
    return torch.tensor([rng.randint(-5, 5) for _ in range(count)], dtype=dtype).view(shape)


# 1. Predict the shapes. The network in the notebook is printed from here.

BATCH = (4, 3, 12, 18)
LAYERS: list[nn.Module] = [
    nn.Conv2d(3, 5, 5),
    nn.ReLU(),
    nn.MaxPool2d(2),
    nn.Conv2d(5, 6, 3, padding=1),
    nn.LeakyReLU(),
    nn.MaxPool2d(3, stride=2),
    nn.Flatten(),
    nn.Linear(18, 10),
]


def _shapes() -> list[list[int]]:
    x, result = torch.zeros(BATCH), []
    for layer in LAYERS:
        x = layer(x)
        if not isinstance(layer, (nn.ReLU, nn.LeakyReLU)):
            result.append(list(x.shape))
    return result


_FIRST = [[4, 5, 8, 14], [4, 5, 4, 7], [4, 6, 4, 7]]

shapes = Answer(
    "shapes",
    expected=_shapes,
    mistakes={
        "the last pooling has a window of 3 and stride 2: (n − 3)//2 + 1 windows, not n//2.": [
            *_FIRST, [4, 6, 2, 3], [4, 36], [4, 10],
        ],
        "the last pooling moves by its stride of 2, not by its window of 3: (n − 3)//2 + 1 windows.": [
            *_FIRST, [4, 6, 1, 2], [4, 12], [4, 10],
        ],
        "flatten leaves the batch axis alone: one row for each of the 4 images.": [*_FIRST, [4, 6, 1, 3], [72], [10]],
        "the batch axis stays after flatten: [4, …].": [*_FIRST, [4, 6, 1, 3], [18], [10]],
        "flatten lines up all channels: multiply by the 6 as well.": [*_FIRST, [4, 6, 1, 3], [4, 3], [4, 10]],
        "the second convolution has padding 1, so a 3×3 kernel takes nothing away.": [
            *_FIRST[:2], [4, 6, 2, 5], [4, 6, 1, 2], [4, 12], [4, 10],
        ],
        "activations were to be left out; six shapes are asked for.": [
            _FIRST[0], *_FIRST, _FIRST[2], [4, 6, 1, 3], [4, 18], [4, 10],
        ],
        "the shapes are (N, C, H, W): the height, 12, comes before the width.": [
            [4, 5, 14, 8], [4, 5, 7, 4], [4, 6, 7, 4], [4, 6, 3, 1], [4, 18], [4, 10],
        ],
    },
)  # fmt: skip


# 2. ReLU, its gradient, and leaky ReLU.


def _relu_gradient(x: torch.Tensor, above: torch.Tensor) -> torch.Tensor:
    x = x.clone().requires_grad_()
    F.relu(x).backward(above)
    return x.grad


def _gradient_cases(rng: random.Random) -> list[Case]:
    cases: list[Case] = [(torch.tensor([-1.0, 0, 2, 3]), torch.tensor([5.0, 5, 5, -4]))]
    cases += [(torch.zeros(3), torch.ones(3)), (-torch.ones(2, 3), torch.ones(2, 3))]
    cases += [(_whole(rng, 2, 3, dtype=torch.float64), _whole(rng, 2, 3, dtype=torch.float64))]
    while len(cases) < 30:
        shape = [rng.randint(1, 4) for _ in range(rng.randint(1, 4))]
        cases.append((_whole(rng, *shape), _whole(rng, *shape)))
    return cases


relu_gradient = Task(
    "relu_gradient",
    reference=_relu_gradient,
    cases=_gradient_cases,
    mistakes={
        "that is the slope of ReLU alone; the chain rule multiplies it by the slope from above.": lambda x, above: (
            x > 0
        ).to(x),
        "that is ReLU of x; the slope is asked for.": lambda x, above: F.relu(x),
        "at exactly 0 the slope is 0: x > 0, not x >= 0.": lambda x, above: torch.where(x >= 0, above, 0),
        "the sign of x decides, not that of the slope from above.": lambda x, above: F.relu(above),
        "the slope is 1 where x is positive, not x itself.": lambda x, above: F.relu(x) * above,
        "a negative slope from above passes as well; here it was cut off.": lambda x, above: torch.where(
            (x > 0) & (above > 0), above, 0
        ),
        "that is turned round: the slope passes where x is positive.": lambda x, above: torch.where(x <= 0, above, 0),
        "the slope from above is passed on everywhere; where x is negative ReLU is flat.": lambda x, above: (
            above.clone()
        ),
    },
)


def _leaky_cases(rng: random.Random) -> list[Case]:
    cases: list[Case] = [(torch.tensor([-2.0, 0, 3]),), (torch.tensor([[-2.0, 4]]), 0.5)]
    cases += [(_whole(rng, 2, 3), slope) for slope in (0.0, 1.0, 2.0, 0.01)]
    cases += [(_whole(rng, 3, 2, dtype=torch.float64), 0.1), (_whole(rng, 1, 2, 3, 2), 0.2)]
    while len(cases) < 30:
        shape = [rng.randint(1, 4) for _ in range(rng.randint(1, 4))]
        cases.append((_whole(rng, *shape), rng.choice([0.01, 0.1, 0.25, 0.5, 2.0])))
    return cases


leaky_relu = Task(
    "leaky_relu",
    reference=F.leaky_relu,
    cases=_leaky_cases,
    mistakes={
        "that is ReLU; left of 0 the result is slope · x.": lambda x, slope=0.01: F.relu(x),
        "max(x, slope · x) is right up to a slope of 1; with a slope of 2 it takes the wrong side.": (
            lambda x, slope=0.01: torch.maximum(x, slope * x)
        ),
        "left of 0 the result is negative: slope · x, not −slope · x.": lambda x, slope=0.01: torch.where(
            x > 0, x, -slope * x
        ),
        "left of 0 the result is slope · x, not the slope itself.": lambda x, slope=0.01: torch.where(
            x > 0, x, torch.full_like(x, slope)
        ),
        "the slope that was given is not used.": lambda x, slope=0.01: F.leaky_relu(x, 0.01),
        "the sides are exchanged: slope · x belongs to the left of 0.": lambda x, slope=0.01: torch.where(
            x > 0, slope * x, x
        ),
        "this multiplies both sides by the slope; the right side stays as it is.": lambda x, slope=0.01: slope * x,
    },
)


# 3. Two repairs.


def _flatten_cases(rng: random.Random) -> list[Case]:
    cases: list[Case] = [
        (torch.arange(8.0).view(8, 1, 1, 1).repeat(1, 32, 16, 16),),  # the batch of the notebook
        (_whole(rng, 2, 2, 2, 2),),
        (_whole(rng, 1, 3, 2, 4),),
        (_whole(rng, 3, 1, 4, 2),),
        (_whole(rng, 3, 3, 1, 1),),
        (_whole(rng, 2, 32, 8, 8),),
    ]
    while len(cases) < 25:
        cases.append((_whole(rng, *(rng.randint(1, 5) for _ in range(4))),))
    return cases


flatten = Task(
    "flatten",
    reference=lambda x: torch.flatten(x, 1),
    cases=_flatten_cases,
    mistakes={
        "the −1 stands for the number of rows, so a wrong width moves into the batch; name the batch axis.": (
            lambda x: x.reshape(-1, 32 * 8 * 8)
        ),
        "the batch axis is gone: all images stand in one row.": lambda x: x.flatten(),
        "only height and width were joined; the channels belong into the row, too.": lambda x: x.flatten(2),
        "each map has a row of its own here; an image has C maps and one row.": lambda x: x.flatten(0, 1).flatten(1),
        "shape right, order wrong: a row has to begin with the whole first channel.": lambda x: x.permute(
            0, 2, 3, 1
        ).flatten(1),
        "shape right, but the images are mixed: reshape to (N, …) and do not transpose.": lambda x: (
            x.reshape(-1, x.shape[0]).T
        ),
        "height and width are swapped inside the row.": lambda x: x.transpose(2, 3).flatten(1),
        "the channels were averaged; flatten keeps every number.": lambda x: x.mean(1).flatten(1),
    },
)


def _network(
    height: int,
    width: int,
    *,
    side: Callable[[int], int] = lambda n: n // 2 // 2,
    middle: Callable[[], nn.Module] = nn.ReLU,
    dense: Callable[[], nn.Module] = nn.ReLU,
    last: Callable[[], nn.Module] | None = None,
) -> nn.Sequential:
    layers = [
        nn.Conv2d(1, 16, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2),
        nn.Conv2d(16, 32, 3, padding=1), middle(), nn.MaxPool2d(2),
        nn.Flatten(), nn.Linear(32 * side(height) * side(width), 128), dense(), nn.Linear(128, 10),
    ]  # fmt: skip
    return nn.Sequential(*layers, *([last()] if last else []))


def _seen(build: Callable[..., Any]) -> Callable[..., Any]:
    return lambda height, width: describe_network(build(height, width), (1, height, width))


def _sizes(rng: random.Random) -> list[Case]:
    fixed: list[Case] = [(32, 32), (28, 28), (28, 32), (8, 8), (9, 15), (30, 29)]
    return fixed + [(rng.randint(8, 40), rng.randint(8, 40)) for _ in range(16)]


network = Behaviour(
    "network",
    reference=_seen(_network),
    cases=_sizes,
    tolerance=2e-3,
    mistakes={
        "the dense layer still has room for 8×8 maps only: compute 32 · rows · columns from height and width.": (
            lambda h, w: _network(32, 32)
        ),
        "the dense layer has room for 7×7 maps only: compute 32 · rows · columns from height and width.": (
            lambda h, w: _network(28, 28)
        ),
        "the height is used for both sides: the image may be oblong.": lambda h, w: _network(h, h),
        "two poolings divide each side by 4, not by 2.": lambda h, w: _network(h, w, side=lambda n: n // 2),
        "pooling rounds down: a row or column that fills no window is dropped.": lambda h, w: _network(
            h, w, side=lambda n: -(-n // 4)
        ),
        "a ReLU still follows the output layer; logits have both signs.": lambda h, w: _network(h, w, last=nn.ReLU),
        "a ReLU follows the output layer, and one is missing behind the second convolution.": lambda h, w: _network(
            h, w, middle=nn.Identity, last=nn.ReLU
        ),
        "there is no activation behind the second convolution.": lambda h, w: _network(h, w, middle=nn.Identity),
        "there is no activation between the dense layers, so they act as one.": lambda h, w: _network(
            h, w, dense=nn.Identity
        ),
        "a softmax follows the output layer; return the logits.": lambda h, w: _network(
            h, w, last=lambda: nn.Softmax(1)
        ),
        "Flatten(0) takes the batch axis in as well; nn.Flatten() keeps it.": lambda h, w: nn.Sequential(
            *_network(h, w)[:6], nn.Flatten(0), *_network(h, w)[7:]
        ),
    },
    behaviour=_seen,
)


# 4. A head for any size.


def _gap_head(maps: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor) -> torch.Tensor:
    return F.linear(F.adaptive_avg_pool2d(maps, 1).flatten(1), weight, bias)


def _head_cases(rng: random.Random) -> list[Case]:
    cases: list[Case] = []
    shapes_ = [(1, 2, 2, 2, 3), (2, 1, 3, 1, 2), (3, 2, 1, 4, 2), (2, 3, 4, 2, 3), (3, 3, 3, 3, 3), (1, 1, 1, 1, 1)]
    while len(shapes_) < 24:
        shapes_.append(tuple(rng.randint(1, 5) for _ in range(5)))
    for i, (n, c, h, w, k) in enumerate(shapes_):
        dtype = torch.float64 if i == 3 else torch.float32
        cases.append(
            (_whole(rng, n, c, h, w, dtype=dtype), _whole(rng, k, c, dtype=dtype), _whole(rng, k, dtype=dtype))
        )
    return cases


gap_head = Task(
    "gap_head",
    reference=_gap_head,
    cases=_head_cases,
    mistakes={
        "the bias is missing.": lambda maps, weight, bias: maps.mean((2, 3)) @ weight.T,
        "that is the sum of each map; the mean is asked for.": lambda maps, weight, bias: F.linear(
            maps.sum((2, 3)), weight, bias
        ),
        "that is the maximum of each map; the mean is asked for.": lambda maps, weight, bias: F.linear(
            maps.amax((2, 3)), weight, bias
        ),
        "a ReLU follows the output layer; logits have both signs.": lambda maps, weight, bias: F.relu(
            _gap_head(maps, weight, bias)
        ),
        "a ReLU was put between the means and the output layer; the head has none.": lambda maps, weight, bias: (
            F.linear(F.relu(maps.mean((2, 3))), weight, bias)
        ),
        "the softmax belongs to the loss; return the logits.": lambda maps, weight, bias: _gap_head(
            maps, weight, bias
        ).softmax(1),
        "divide by height times width, not by height².": lambda maps, weight, bias: F.linear(
            maps.sum((2, 3)) / maps.shape[2] ** 2, weight, bias
        ),
        "the means are right, the output layer is missing.": lambda maps, weight, bias: maps.mean((2, 3)),
        "the result is turned round: one row for each image, one column for each class.": lambda maps, weight, bias: (
            _gap_head(maps, weight, bias).T
        ),
    },
)


# 5. Dead units.


def _dead(z: torch.Tensor) -> int:
    z = z.clone().requires_grad_()
    F.relu(z).sum().backward()
    return int((z.grad == 0).all(0).sum())


def _dead_cases(rng: random.Random) -> list[Case]:
    cases: list[Case] = [
        (torch.tensor([[-1.0, 2, 0], [-3.0, -1, 0]]),),
        (torch.tensor([[-1.0, -2], [3.0, 4]]),),
        (torch.zeros(2, 3),),
        (-torch.ones(3, 2),),
        (torch.ones(2, 4),),
    ]
    while len(cases) < 30:
        n, u = rng.randint(1, 5), rng.randint(1, 6)
        cases.append((_whole(rng, n, u) - rng.choice([0, 2, 4]),))
    return cases


dead_units = Task(
    "dead_units",
    reference=_dead,
    cases=_dead_cases,
    mistakes={
        "that counts units that are off for at least one image; dead means off for all of them.": lambda z: int(
            (z <= 0).any(0).sum()
        ),
        "that counts images for which all units are off: the images are axis 0, the units axis 1.": lambda z: int(
            (z <= 0).all(1).sum()
        ),
        "at exactly 0 the slope is 0: z <= 0, not z < 0.": lambda z: int((z < 0).all(0).sum()),
        "that counts single numbers; count units.": lambda z: int((z <= 0).sum()),
        "that counts the units that are alive.": lambda z: int((z > 0).any(0).sum()),
        "the mean of a unit may be negative although it answers some images.": lambda z: int((z.mean(0) <= 0).sum()),
        "ReLU comes behind z: negative numbers become 0, so do not look for zeros in z itself.": lambda z: int(
            (z == 0).all(0).sum()
        ),
    },
)
