"""Checks of the exercises of chapter LeNet."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

import torch
from torch import nn
from torch.nn import functional as F

from utils.exercises.core import Answer, Behaviour, describe_network, rounded, weights_by_rule
from utils.models.lenet import LeNet, LeNet5, trainable_parameters

# Task 1: shapes


def _shapes() -> list[Any]:
    x, result = torch.zeros(1, 1, 36, 44), []
    for layer in LeNet()[:7]:
        x = layer(x)
        if not isinstance(layer, nn.ReLU):
            result.append(tuple(x.shape[1:]))
    return [*result[:4], result[4][0]]


shapes = Answer(
    "shapes",
    _shapes,
    mistakes={
        "a 5×5 kernel has n − 4 places in a row of n pixels, not n − 5.": [
            (6, 31, 39), (6, 15, 19), (16, 10, 14), (16, 5, 7), 560,
        ],
        "without padding a 5×5 convolution takes 4 pixels from the height and 4 from the width.": [
            (6, 36, 44), (6, 18, 22), (16, 18, 22), (16, 9, 11), 1584,
        ],
        "flatten keeps all channels: multiply the 16 in as well.": [
            (6, 32, 40), (6, 16, 20), (16, 12, 16), (16, 6, 8), 48,
        ],
        "the shapes are (channels, height, width): 36 is the height.": [
            (6, 40, 32), (6, 20, 16), (16, 16, 12), (16, 8, 6), 768,
        ],
    },
)  # fmt: skip


# Task 2: the parameters of LeNet-5

lenet5_parameters = Answer(
    "lenet5_parameters",
    lambda: [trainable_parameters(layer) for layer in LeNet5()[:-1] if list(layer.parameters())],
    mistakes={
        "C3 is not fully connected: its 16 maps read 6·3 + 9·4 + 1·6 = 60 of the 96 pairs.": [
            156, 12, 2416, 32, 48120, 10164,
        ],
        "the biases are missing: one for each map, or for each unit.": [150, 6, 1500, 16, 48000, 10080],
        "sub-sampling has parameters in LeNet-5: one coefficient and one bias for each map.": [
            156, 0, 1516, 0, 48120, 10164,
        ],
        "C5 reads 16 maps of 5×5: the input of LeNet-5 has 32×32 pixels.": [156, 12, 1516, 32, 30840, 10164],
        "C3 has one bias for each of its 16 maps, not one for each of the 60 kernels.": [
            156, 12, 1560, 32, 48120, 10164,
        ],
    },
)  # fmt: skip


# Task 3: a LeNet for any size


def _built(build: Callable[..., Any]) -> Callable[..., Any]:
    return lambda height, width, channels, classes: describe_network(
        build(height, width, channels, classes), (channels, height, width)
    )


def _make(
    height: int,
    width: int,
    channels: int,
    classes: int,
    *,
    last: Callable[[], nn.Module] | None = None,
    relus: bool = True,
) -> nn.Sequential:
    rows, columns = (((side - 4) // 2 - 4) // 2 for side in (height, width))
    act = nn.ReLU if relus else nn.Identity
    layers = [
        nn.Conv2d(channels, 6, 5), act(), nn.MaxPool2d(2), nn.Conv2d(6, 16, 5), act(), nn.MaxPool2d(2), nn.Flatten(),
        nn.Linear(16 * rows * columns, 120), act(), nn.Linear(120, 84), act(), nn.Linear(84, classes),
    ]  # fmt: skip
    return nn.Sequential(*layers, *([last()] if last else []))


def _sizes(rng: random.Random) -> list[tuple[int, int, int, int]]:
    fixed = [(28, 28, 1, 10), (32, 32, 1, 10), (32, 32, 3, 10), (28, 36, 1, 10), (16, 16, 1, 2), (33, 29, 2, 5)]
    drawn = [
        (rng.randint(16, 48), rng.randint(16, 48), rng.choice((1, 1, 3, 4)), rng.randint(2, 12)) for _ in range(18)
    ]
    return fixed + drawn


lenet_for = Behaviour(
    "lenet_for",
    _built(_make),
    _sizes,
    tolerance=2e-3,
    mistakes={
        "the network ignores the size: compute the flatten size from height and width.": (
            lambda height, width, channels, classes: _make(28, 28, channels, classes)
        ),
        "the network is built for 32×32, whatever the size: compute the flatten size from height and width.": (
            lambda height, width, channels, classes: _make(32, 32, channels, classes)
        ),
        "the height is used for both sides: the image may be oblong.": (
            lambda height, width, channels, classes: _make(height, height, channels, classes)
        ),
        "the first convolution must take `channels` channels, not 1.": (
            lambda height, width, channels, classes: _make(height, width, 1, classes)
        ),
        "the last layer must have `classes` outputs, not 10.": (
            lambda height, width, channels, classes: _make(height, width, channels, 10)
        ),
        "a ReLU follows the last layer; logits have both signs.": lambda *size: _make(*size, last=nn.ReLU),
        "a softmax follows the last layer; the loss applies it itself.": (
            lambda *size: _make(*size, last=lambda: nn.Softmax(1))
        ),
        "there is no ReLU between the layers, so they act as one linear map (and the maxima).": (
            lambda *size: _make(*size, relus=False)
        ),
    },
    behaviour=_built,
)


# Task 4: repair a forward pass


def _passed(answer: Callable[..., Any]) -> Callable[..., Any]:
    """Run a forward pass on ``batch`` images of ``size`` pixels, with weights filled by rule."""

    def run(batch: int, size: int) -> list[Any]:
        with torch.no_grad():
            weights = [weights_by_rule(p.shape) for p in LeNet(size).parameters()]
            images = torch.randn(batch, 1, size, size, generator=torch.Generator().manual_seed(batch)).double()
            copies = [t.clone() for t in (images, *weights)]
            output = answer(images, weights)
        if not isinstance(output, torch.Tensor):
            return [f"{type(output).__name__}, not a tensor", "", []]
        same = all(torch.equal(a, b) for a, b in zip(copies, (images, *weights), strict=True))
        rows = rounded(output[-1]) if output.dim() else []
        return [f"output {tuple(output.shape)}", f"arguments {'kept' if same else 'changed in place'}", rows]

    return run


def _forward(
    images: torch.Tensor, weights: list[torch.Tensor], *, pool: Callable[..., Any] = F.max_pool2d, middle: bool = True
) -> torch.Tensor:
    w1, b1, w2, b2, w3, b3, w4, b4, w5, b5 = weights
    x = pool(F.relu(F.conv2d(images, w1, b1)), 2)
    x = pool(F.relu(F.conv2d(x, w2, b2)), 2)
    x = F.relu(F.linear(x.flatten(1), w3, b3))
    x = F.linear(x, w4, b4)
    return F.linear(F.relu(x) if middle else x, w5, b5)


forward = Behaviour(
    "forward",
    _passed(_forward),
    lambda rng: [(25, 28), (1, 32), (1, 28), *((rng.randint(1, 30), rng.choice((28, 32))) for _ in range(18))],
    mistakes={
        "a ReLU still follows the last dense layer, so no logit can be negative.": lambda x, w: F.relu(_forward(x, w)),
        "a ReLU is missing between two dense layers; without it they act as one.": (
            lambda x, w: _forward(x, w, middle=False)
        ),
        "a ReLU is missing between two dense layers, and one too many follows the last.": (
            lambda x, w: F.relu(_forward(x, w, middle=False))
        ),
        "the softmax belongs to the loss; return the logits.": lambda x, w: _forward(x, w).softmax(1),
        "LeNet as taught today takes the maximum of each 2×2 block, not the average.": (
            lambda x, w: _forward(x, w, pool=F.avg_pool2d)
        ),
    },
    tolerance=2e-3,
    behaviour=_passed,
)


# Task 5: repair a training loop

Batches = list[tuple[torch.Tensor, torch.Tensor]]


def _trained(loop: Callable[..., Any]) -> Callable[..., Any]:
    """Run a loop over batches of the given sizes on a small classifier, and look at what it leaves behind."""

    def run(sizes: tuple[int, ...], seed: int) -> list[Any]:
        source = torch.Generator().manual_seed(seed)
        model = nn.Linear(2, 2).double()
        with torch.no_grad():
            model.weight.copy_(torch.randn(2, 2, generator=source))
            model.bias.zero_()
        batches = [
            (2 * torch.randn(n, 2, generator=source).double(), torch.randint(2, (n,), generator=source)) for n in sizes
        ]
        loss = loop(model, torch.optim.SGD(model.parameters(), lr=0.5), batches)
        # The weights come first: where they are wrong, the loss is wrong as well.
        return [rounded(model.weight), round(loss, 3) if isinstance(loss, float) else loss]

    return run


def _loop(
    model: nn.Module,
    optimizer: torch.optim.Optimizer,
    batches: Batches,
    *,
    forget: bool = True,
    step: bool = True,
    mean: Callable[[list[float], list[int]], float] = lambda losses, sizes: (
        sum(a * n for a, n in zip(losses, sizes, strict=True)) / sum(sizes)
    ),
) -> float:
    losses, sizes = [], []
    for inputs, labels in batches:
        loss = F.cross_entropy(model(inputs), labels)
        if forget:
            optimizer.zero_grad()
        loss.backward()
        if step:
            optimizer.step()
        losses.append(loss.item())
        sizes.append(len(labels))
    return mean(losses, sizes)


def _wrong_loop(**options: Any) -> Callable[..., float]:
    return lambda model, optimizer, batches: _loop(model, optimizer, batches, **options)


def _stepped_too_early(model: nn.Module, optimizer: torch.optim.Optimizer, batches: Batches) -> float:
    def step_first(loss: torch.Tensor) -> None:
        optimizer.step()
        optimizer.zero_grad()
        loss.backward()

    total = 0.0
    for inputs, labels in batches:
        loss = F.cross_entropy(model(inputs), labels)
        step_first(loss)
        total += loss.item() * len(labels)
    return total / sum(len(labels) for _, labels in batches)


def _epochs(rng: random.Random) -> list[tuple[tuple[int, ...], int]]:
    sizes = [(8, 8, 3), (4, 4, 4, 4), (1,), (16, 1), (5, 1, 1)]
    sizes += [(n,) * rng.randint(1, 4) + (rng.randint(1, n),) for n in (rng.randint(2, 16) for _ in range(17))]
    return [(s, rng.randrange(1000)) for s in sizes]


train_epoch = Behaviour(
    "train_epoch",
    _trained(_loop),
    _epochs,
    mistakes={
        "the gradients of earlier batches are still there: `backward` adds to them until `zero_grad` is called.": (
            _wrong_loop(forget=False)
        ),
        "this is the loss of the last batch; return the mean over all images of the epoch.": (
            _wrong_loop(mean=lambda losses, sizes: losses[-1])
        ),
        "every batch counts the same here, but the last one has fewer images: weight each loss by its images.": (
            _wrong_loop(mean=lambda losses, sizes: sum(losses) / len(losses))
        ),
        "this is a sum; divide by the number of images.": (
            _wrong_loop(mean=lambda losses, sizes: sum(a * n for a, n in zip(losses, sizes, strict=True)))
        ),
        "the sum of the batch means is divided by the number of images: multiply each by its images first.": (
            _wrong_loop(mean=lambda losses, sizes: sum(losses) / sum(sizes))
        ),
        "the weights never change: `optimizer.step()` is missing.": _wrong_loop(step=False),
        "the step is taken before `backward`, so it uses the gradient of the batch before.": _stepped_too_early,
        "gradients pile up, and the loss returned is that of the last batch: both faults are still there.": (
            _wrong_loop(forget=False, mean=lambda losses, sizes: losses[-1])
        ),
    },
    tolerance=2e-3,
    behaviour=_trained,
)


# Task 6: global average pooling instead of the flatten head


def _gap(
    *, pool: Callable[[], nn.Module] = lambda: nn.AdaptiveAvgPool2d(1), early: bool = False, head: bool = False
) -> nn.Sequential:
    layers = [layer for layer in LeNet()[:6]]
    if early:
        layers.pop()
    dense = [nn.Linear(16, 120), nn.ReLU(), nn.Linear(120, 84), nn.ReLU(), nn.Linear(84, 10)]
    return nn.Sequential(*layers, pool(), nn.Flatten(), *(dense if head else [nn.Linear(16, 10)]))


def _averaged(build: Callable[[], Any]) -> Callable[..., Any]:
    return lambda height, width: describe_network(build(), (1, height, width))


gap_lenet = Behaviour(
    "gap_lenet",
    _averaged(_gap),
    lambda rng: [
        (28, 28),
        (32, 32),
        (28, 40),
        (16, 16),
        *((rng.randint(16, 64), rng.randint(16, 64)) for _ in range(18)),
    ],
    mistakes={
        "this takes the maximum of each map; global average pooling takes its mean.": (
            lambda: _gap(pool=lambda: nn.AdaptiveMaxPool2d(1))
        ),
        "the second max pooling is missing: keep the first six layers as they are.": lambda: _gap(early=True),
        "the three dense layers are still there; one, from 16 to 10, is enough.": lambda: _gap(head=True),
        "the flatten head is still there: its first dense layer takes 256 numbers, so only one size fits.": (
            lambda: LeNet()
        ),
    },
    tolerance=2e-3,
    behaviour=_averaged,
)
