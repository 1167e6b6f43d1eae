"""Checks of the exercises of chapter GoogLeNet."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import nn
from torch.nn import functional as F

from utils.exercises.core import Answer, Behaviour, Task, rounded, weights_by_rule
from utils.models.googlenet import TABLE_1, Inception

# Task 1: the two dense layers of an mlpconv layer


def _mlp(x: torch.Tensor, w1: torch.Tensor, b1: torch.Tensor, w2: torch.Tensor, b2: torch.Tensor) -> torch.Tensor:
    hidden = F.relu(F.conv2d(x, w1[:, :, None, None], b1))
    return F.relu(F.conv2d(hidden, w2[:, :, None, None], b2))


def _linear(x: torch.Tensor, w: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
    return F.conv2d(x, w[:, :, None, None], b)


def _mlps(rng: random.Random) -> list[tuple]:
    torch.manual_seed(rng.randrange(2**31))
    shapes = [(1, 1, 1, 1, 1, 1), (2, 3, 3, 3, 4, 5), (1, 4, 4, 4, 4, 4), (2, 3, 5, 2, 1, 7), (3, 2, 6, 4, 5, 1)]
    shapes += [tuple(rng.randint(1, 6) for _ in range(6)) for _ in range(18)]
    return [
        (torch.randn(n, c, h, w).double(), torch.randn(m, c).double(), torch.randn(m).double(),
         torch.randn(k, m).double(), torch.randn(k).double())
        for n, c, m, k, h, w in shapes
    ]  # fmt: skip


mlp_at_each_place = Task(
    "mlp_at_each_place",
    _mlp,
    _mlps,
    mistakes={
        "the ReLU between the two layers is missing; without it they are one matrix.": (
            lambda x, w1, b1, w2, b2: F.relu(_linear(_linear(x, w1, b1), w2, b2))
        ),
        "the second layer has a ReLU too.": lambda x, w1, b1, w2, b2: _linear(F.relu(_linear(x, w1, b1)), w2, b2),
        "both ReLUs are missing.": lambda x, w1, b1, w2, b2: _linear(_linear(x, w1, b1), w2, b2),
        "the biases are missing.": lambda x, w1, b1, w2, b2: _mlp(x, w1, 0 * b1, w2, 0 * b2),
        "the channels were moved to the end for the dense layers; move them back, to dimension 1.": (
            lambda *arguments: _mlp(*arguments).permute(0, 2, 3, 1)
        ),
        "a reshape does not move channels, it deals the numbers out anew; use permute or movedim.": (
            lambda x, w1, b1, w2, b2: F.relu(
                F.relu(x.reshape(len(x), *x.shape[2:], -1) @ w1.T + b1) @ w2.T + b2
            ).reshape(len(x), -1, *x.shape[2:])
        ),
        "the answer is a mean over all places; each place has its own.": (
            lambda *arguments: _mlp(*arguments).mean((2, 3), keepdim=True).expand_as(_mlp(*arguments)).clone()
        ),
    },
)


# Task 2: the block from its row


def _inception(
    inputs: int,
    row: Sequence[int],
    *,
    kernels: tuple[int, int] = (3, 5),
    order: Sequence[int] = (0, 1, 2, 3),
    relu: bool = True,
    reduce_relu: bool = True,
    project: bool = True,
    average: bool = False,
) -> nn.Module:
    """The block, with parts to get wrong."""
    one, three_reduce, three, five_reduce, five, projection = row

    def conv(channels: int, outputs: int, kernel: int, act: bool = relu) -> list[nn.Module]:
        return [nn.Conv2d(channels, outputs, kernel, padding=kernel // 2), nn.ReLU() if act else nn.Identity()]

    pool = (nn.AvgPool2d if average else nn.MaxPool2d)(3, stride=1, padding=1)
    branches = [
        conv(inputs, one, 1),
        [*conv(inputs, three_reduce, 1, relu and reduce_relu), *conv(three_reduce, three, kernels[0])],
        [*conv(inputs, five_reduce, 1, relu and reduce_relu), *conv(five_reduce, five, kernels[1])],
        [pool, *(conv(inputs, projection, 1) if project else [])],
    ]
    return _SideBySide(nn.Sequential(*branches[i]) for i in order)


class _SideBySide(nn.ModuleList):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.cat([branch(x) for branch in self], dim=1)


@torch.no_grad()
def _described(build: Callable[..., Any]) -> Callable[..., Any]:
    """Return the size of a block, the shape of its output, and the means of its first and last channels."""

    @torch.no_grad()
    def run(inputs: int, row: tuple[int, ...], height: int, width: int) -> list[Any]:
        block = build(inputs, row)
        if not isinstance(block, nn.Module):
            return [f"{type(block).__name__}, not an nn.Module", "no output", []]
        block = block.double().eval()
        for parameter in block.parameters():
            parameter.copy_(weights_by_rule(parameter.shape))
        images = torch.randn(2, inputs, height, width, generator=torch.Generator().manual_seed(inputs)).double()
        parameters = f"{sum(p.numel() for p in block.parameters()):,} parameters"
        try:
            output = block(images)
        except RuntimeError as error:
            return [parameters, str(error).splitlines()[0], []]
        if not isinstance(output, torch.Tensor) or output.dim() != 4:
            shape = tuple(output.shape) if isinstance(output, torch.Tensor) else type(output).__name__
            return [parameters, f"output {shape}", []]
        means = rounded(output[0].mean((1, 2)))
        return [parameters, f"output {tuple(output.shape)}", means if len(means) <= 14 else means[:7] + means[-7:]]

    return run


def _rows(rng: random.Random) -> list[tuple]:
    fixed = [
        (3, (1, 2, 2, 1, 2, 1), 6, 6), (4, (2, 3, 4, 1, 2, 3), 5, 9), (192, TABLE_1["3a"], 7, 7),
        (512, TABLE_1["4b"], 4, 6), (1, (1, 1, 1, 1, 1, 1), 5, 5), (480, TABLE_1["4a"], 3, 3),
    ]  # fmt: skip
    drawn = [
        (rng.randint(2, 9), tuple(rng.randint(1, 5) for _ in range(6)), rng.randint(4, 9), rng.randint(4, 9))
        for _ in range(18)
    ]
    return fixed + drawn


inception = Behaviour(
    "inception",
    _described(lambda inputs, row: Inception(inputs, row, norm=False)),
    _rows,
    tolerance=2e-3,
    mistakes={
        "the branch called 5×5 has a 3×3 kernel, as in torchvision; the paper's is 5×5.": (
            lambda inputs, row: _inception(inputs, row, kernels=(3, 3))
        ),
        "the pooled channels pass whole; the 1×1 projection behind the pooling is missing.": (
            lambda inputs, row: _inception(inputs, row, project=False)
        ),
        "the reductions have no ReLU; every convolution of the block has one.": (
            lambda inputs, row: _inception(inputs, row, reduce_relu=False)
        ),
        "there is no ReLU at all; every convolution of the block has one.": (
            lambda inputs, row: _inception(inputs, row, relu=False)
        ),
        "the branches are right and stand in another order; the channels go 1×1, 3×3, 5×5, pool.": (
            lambda inputs, row: _inception(inputs, row, order=(3, 0, 1, 2))
        ),
        "the numbers of a row come in the order 1×1, 3×3 reduce, 3×3, 5×5 reduce, 5×5, projection.": (
            lambda inputs, row: _inception(inputs, (row[0], row[2], row[1], row[4], row[3], row[5]))
        ),
        "the pooling takes the mean of its window; the block takes the maximum.": (
            lambda inputs, row: _inception(inputs, row, average=True)
        ),
        "the kernels 3×3 and 5×5 are swapped.": lambda inputs, row: _inception(inputs, row, kernels=(5, 3)),
    },
    behaviour=_described,
)


# Task 3: what the branches cost


def _branch_work(inputs: int, row: Sequence[int], height: int, width: int) -> list[int]:
    with torch.device("meta"):
        block = Inception(inputs, row, norm=False)
    branches = (block.one, block.three, block.five, block.pool)
    return [
        sum(layer.weight.numel() * height * width for layer in branch.modules() if isinstance(layer, nn.Conv2d))
        for branch in branches
    ]


def _miscounted(three: int, five: int) -> Callable[..., list[int]]:
    """Return a count by the formula, with so many weights for each pair of channels in the 3×3 and the 5×5."""

    def count(inputs: int, row: Sequence[int], height: int, width: int) -> list[int]:
        one, reduce_three, wide_three, reduce_five, wide_five, projection = row
        weights = (
            inputs * one,
            inputs * reduce_three + three * reduce_three * wide_three,
            inputs * reduce_five + five * reduce_five * wide_five,
            inputs * projection,
        )
        return [number * height * width for number in weights]

    return count


def _without_reductions(inputs: int, row: Sequence[int], height: int, width: int) -> list[int]:
    return [inputs * c * k * k * height * width for c, k in ((row[0], 1), (row[2], 3), (row[4], 5))] + [
        inputs * row[5] * height * width
    ]


def _large_kernels_alone(inputs: int, row: Sequence[int], height: int, width: int) -> list[int]:
    whole = _branch_work(inputs, row, height, width)
    reduced = [0, inputs * row[1], inputs * row[3], 0]
    return [work - weights * height * width for work, weights in zip(whole, reduced, strict=True)]


branch_work = Task(
    "branch_work",
    _branch_work,
    lambda rng: (
        [(192, TABLE_1["3a"], 28, 28), (256, TABLE_1["3b"], 28, 28), (832, TABLE_1["5b"], 7, 7)]
        + [
            (rng.randint(1, 600), tuple(rng.randint(1, 300) for _ in range(6)), rng.randint(1, 40), rng.randint(1, 40))
            for _ in range(20)
        ]
    ),
    mistakes={
        "the reductions are missing: a branch costs its 1×1 and then its large kernel.": _large_kernels_alone,
        "the large kernels read the reduced channels, not those of the input.": _without_reductions,
        "the places are missing: each weight is used height·width times.": (
            lambda inputs, row, height, width: _branch_work(inputs, row, 1, 1)
        ),
        "the maps may be oblong: height·width places, not height².": (
            lambda inputs, row, height, width: _branch_work(inputs, row, height, height)
        ),
        "a 5×5 kernel has 25 weights for each pair of channels.": _miscounted(three=9, five=9),
        "a kernel of side k has k² weights for each pair of channels, not k.": _miscounted(three=3, five=5),
        "the pooling costs no multiply-adds here; the projection behind it does: inputs × projection weights.": (
            lambda inputs, row, height, width: [*_branch_work(inputs, row, height, width)[:3], 0]
        ),
    },
)


# Task 4: the width that meets a budget


def _cost(inputs: int, outputs: int, kernel: int, side: int, width: int) -> int:
    return side**2 * width * (inputs + kernel**2 * outputs)


def _widest(inputs: int, outputs: int, kernel: int, side: int, budget: int) -> int:
    fitting = [r for r in range(1, inputs + 1) if _cost(inputs, outputs, kernel, side, r) <= budget]
    return max(fitting, default=0)


def _budgets(rng: random.Random) -> list[tuple]:
    cases = [(192, 32, 5, 28, 12_443_648), (192, 32, 5, 28, 12_443_647), (64, 8, 3, 14, 100), (4, 4, 3, 2, 10**9)]
    for _ in range(20):
        inputs, outputs, kernel, side = (
            rng.randint(1, 300),
            rng.randint(1, 200),
            rng.choice((1, 3, 5, 7)),
            rng.randint(1, 30),
        )
        middle = _cost(inputs, outputs, kernel, side, rng.randint(1, inputs))
        cases.append((inputs, outputs, kernel, side, middle + rng.choice((-1, 0, 1, rng.randint(0, middle)))))
    return cases


reduction_width = Task(
    "reduction_width",
    _widest,
    _budgets,
    mistakes={
        "a width that meets the budget exactly is allowed: ≤, not <.": (
            lambda inputs, outputs, kernel, side, budget: _widest(inputs, outputs, kernel, side, budget - 1)
        ),
        "a reduction has at most as many channels as there are inputs.": (
            lambda inputs, outputs, kernel, side, budget: budget // _cost(inputs, outputs, kernel, side, 1)
        ),
        "the reduction itself costs too: inputs × width weights.": (
            lambda inputs, outputs, kernel, side, budget: min(inputs, budget // (side**2 * kernel**2 * outputs))
        ),
        "the budget is for all side × side places.": (
            lambda inputs, outputs, kernel, side, budget: _widest(inputs, outputs, kernel, 1, budget)
        ),
        "0 when not even one channel fits the budget.": (lambda *case: max(1, _widest(*case))),
        "the budget is exceeded; round down.": (
            lambda inputs, outputs, kernel, side, budget: min(
                inputs, -(-budget // _cost(inputs, outputs, kernel, side, 1))
            )
        ),
        "a kernel has kernel² weights for each pair of channels.": (
            lambda inputs, outputs, kernel, side, budget: min(inputs, budget // (side**2 * (inputs + kernel * outputs)))
        ),
    },
)


# Task 5: repair


def _side_by_side(
    x: torch.Tensor, w1: torch.Tensor, w3: torch.Tensor, w5: torch.Tensor, pool: Callable[..., Any] = F.max_pool2d
) -> torch.Tensor:
    maps = [F.relu(F.conv2d(x, w, padding=w.shape[-1] // 2)) for w in (w1, w3, w5)]
    return torch.cat([*maps, pool(x, 3, stride=1, padding=1)], dim=1)


def _branches(rng: random.Random) -> list[tuple]:
    torch.manual_seed(rng.randrange(2**31))
    shapes = [(2, 3, 3, 3, 3, 8, 8), (1, 2, 1, 2, 3, 6, 9), (3, 1, 1, 1, 1, 5, 5), (1, 4, 2, 3, 1, 7, 6)]
    shapes += [(*(rng.randint(1, 4) for _ in range(5)), rng.randint(3, 9), rng.randint(3, 9)) for _ in range(18)]
    return [
        (torch.randn(n, c, h, w).double(), *(torch.randn(k, c, s, s).double() for k, s in ((a, 1), (b, 3), (d, 5))))
        for n, c, a, b, d, h, w in shapes
    ]


side_by_side = Task(
    "side_by_side",
    _side_by_side,
    _branches,
    mistakes={
        "the images are still stacked one behind the other; join along the channels, dimension 1.": (
            lambda x, w1, w3, w5: torch.cat(
                _side_by_side(x, w1, w3, w5).split([len(w1), len(w3), len(w5), x.shape[1]], 1)
            )
        ),
        "the pooled maps are those of the average; the block takes the maximum.": (
            lambda x, w1, w3, w5: _side_by_side(x, w1, w3, w5, pool=F.avg_pool2d)
        ),
        "the pooling branch is missing.": lambda x, w1, w3, w5: _side_by_side(x, w1, w3, w5)[:, : -x.shape[1]],
        "the ReLUs were lost in the repair.": lambda x, w1, w3, w5: torch.cat(
            [
                *(F.conv2d(x, w, padding=w.shape[-1] // 2) for w in (w1, w3, w5)),
                F.max_pool2d(x, 3, stride=1, padding=1),
            ],
            1,
        ),
        "the maps were made larger or smaller to fit; give each branch the padding that keeps the size.": (
            lambda x, w1, w3, w5: torch.cat(
                [
                    F.interpolate(F.relu(F.conv2d(x, w, padding=p)), x.shape[2:])
                    for w, p in ((w1, 0), (w3, 1), (w5, 1 if min(x.shape[2:]) > 2 else 2))
                ]
                + [F.max_pool2d(x, 3, stride=1, padding=1)],
                1,
            )
        ),
        "the branches are right and stand in another order; keep 1×1, 3×3, 5×5, pool.": (
            lambda x, w1, w3, w5: torch.cat(
                _side_by_side(x, w1, w3, w5).split([len(w1), len(w3), len(w5), x.shape[1]], 1)[::-1], 1
            )
        ),
    },
)


# Task 6: another head


def _parameters(*layers: nn.Linear) -> int:
    return sum(p.numel() for layer in layers for p in layer.parameters())


def _saved() -> list[int]:
    with torch.device("meta"):
        flat, average = nn.Linear(1024 * 7 * 7, 1000), nn.Linear(1024, 1000)
    return [_parameters(flat), _parameters(average)]


heads = Answer(
    "heads",
    _saved,
    mistakes={
        "the biases are missing: one for each of the 1,000 outputs.": [50_176_000, 1_024_000],
        "flatten keeps all 7×7 places of every map: 1,024·49 inputs.": [1_025_000, 1_025_000],
        "an average has no weights, but the dense layer behind it has: one for each map and class.": [50_177_000, 0],
        "the maps have 7×7 places, so flatten makes 1,024·49 numbers, not 1,024·7.": [7_169_000, 1_025_000],
        "the order is flatten first, then average.": [1_025_000, 50_177_000],
        "the average leaves one number for each map, not one for each place.": [50_177_000, 50_000],
    },
)
