"""Checks of the exercises of chapter batch normalisation and regularisation."""

from __future__ import annotations

import random
import statistics
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F
from torch.nn.utils.fusion import fuse_conv_bn_weights

from utils.exercises.core import Answer, Behaviour, Case, Task, Verdict, fail, not_yet, rounded, weights_by_rule

# Task 1: predict

SHAPE = (4, 6, 5, 7)


def _counts() -> list[int]:
    layer = nn.BatchNorm2d(SHAPE[1])
    numbers = torch.zeros(SHAPE).numel() // layer.running_mean.numel()
    learned = sum(p.numel() for p in layer.parameters())
    kept = layer.running_mean.numel() + layer.running_var.numel()
    return [layer.running_mean.numel(), numbers, learned, kept]


counts = Answer(
    "counts",
    _counts,
    mistakes={
        "a channel's mean is taken over all four images, not over one: 4·5·7 numbers.": [6, 35, 12, 12],
        "there is one mean for each channel, over images, rows and columns.": [4, 210, 12, 12],
        "that is a mean for each place in each channel; batch norm has one for each channel.": [210, 4, 12, 12],
        "γ and β: each channel has two numbers that are learned.": [6, 140, 6, 12],
        "running mean and running variance: each channel has two numbers that follow the batches.": [6, 140, 12, 6],
        "the running statistics are no parameters: they are not learned by a gradient.": [6, 140, 24, 12],
        "the running statistics are kept: a mean and a variance for each channel.": [6, 140, 12, 0],
    },
)


def _running() -> list[float]:
    layer = nn.BatchNorm1d(1).double()
    first = torch.tensor([[1.0], [3.0]], dtype=torch.float64)
    found = []
    for _ in range(2):
        layer(first)
        found += [layer.running_mean.item(), layer.running_var.item()]
    return [round(v, 4) for v in found]


running = Answer(
    "running",
    _running,
    tolerance=1e-3,
    mistakes={
        "the running variance follows the unbiased variance: divide by n − 1 = 1, not by n = 2.": [0.2, 1.0, 0.38, 1.0],
        "momentum 0.1 is the share of the new value; 0.9 of the old one stays.": [1.8, 1.9, 1.98, 1.99],
        "the running variance starts at 1, not at 0.": [0.2, 0.2, 0.38, 0.38],
        "the running mean starts at 0, not at the first batch's mean.": [2.0, 2.0, 2.0, 2.0],
        "the second batch moves the statistics again, by a tenth of what is left.": [0.2, 1.1, 0.2, 1.1],
        "the second step is a tenth of what is left, not of the whole way.": [0.2, 1.1, 0.4, 1.2],
    },
)


# Task 2: batch norm in NumPy


def _by_torch(
    x: np.ndarray,
    weight: np.ndarray,
    bias: np.ndarray,
    mean: np.ndarray,
    var: np.ndarray,
    training: bool,
    momentum: float = 0.1,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    x, weight, bias, mean, var = (torch.from_numpy(a.copy()) for a in (x, weight, bias, mean, var))
    y = F.batch_norm(x, mean, var, weight, bias, training=training, momentum=momentum)
    return y.numpy(), mean.numpy(), var.numpy()


def _numpy_norm(
    *,
    axes: tuple[int, ...] = (0, 2, 3),
    used: int = 0,
    kept: int = 1,
    power: float = 0.5,
    eps_inside: bool = True,
    share: Callable[[float], float] = lambda m: m,
    swap: bool = False,
    affine: Callable[..., np.ndarray] = lambda z, w, b: z * w + b,
    always: bool = False,
    moves: bool = True,
    late: bool = False,
) -> Callable[..., Any]:
    """Return batch norm in NumPy, right unless an argument says otherwise."""

    def batch_norm(x, weight, bias, mean, var, training, momentum=0.1):
        own_axes = axes
        shape = (1, -1, 1, 1)
        new_mean, new_var = mean.copy(), var.copy()
        use_mean, use_var = mean.reshape(shape), var.reshape(shape)
        if training or always:
            use_mean = x.mean(own_axes, keepdims=True)
            use_var = x.var(own_axes, ddof=used, keepdims=True)
        if training and moves:
            m = share(momentum)
            new_mean = (1 - m) * mean + m * x.mean((0, 2, 3))
            new_var = (1 - m) * var + m * x.var((0, 2, 3), ddof=kept)
        if late and training:
            use_mean, use_var = new_mean.reshape(shape), new_var.reshape(shape)
        root = (use_var + 1e-5) ** power if eps_inside else use_var**power
        with np.errstate(invalid="ignore", divide="ignore"):  # one of the mistakes divides 0 by 0
            z = (x - use_mean) / root
        y = affine(z, weight.reshape(shape), bias.reshape(shape))
        return (y, new_var, new_mean) if swap else (y, new_mean, new_var)

    return batch_norm


def _norm_cases(rng: random.Random) -> list[Case]:
    # The first one can be computed by hand: mean 4, variance 5, and 6.667 over n − 1.
    x = np.array([[[[1.0, 3.0]]], [[[5.0, 7.0]]]])
    cases = [(x, np.array([2.0]), np.array([1.0]), np.array([0.0]), np.array([1.0]), True)]
    shapes = [(4, 2, 1, 2), (2, 1, 2, 2), (2, 3, 1, 1), (1, 2, 2, 3), (3, 3, 3, 3), (5, 4, 2, 6)]
    shapes += [(rng.randint(2, 6), rng.randint(1, 5), rng.randint(1, 6), rng.randint(1, 6)) for _ in range(18)]
    for number, shape in enumerate(shapes):
        noise = np.random.RandomState(rng.randint(0, 2**31 - 1))
        channels = shape[1]
        x = noise.randn(*shape) * noise.uniform(0.5, 5) + noise.uniform(-5, 5)
        if number == 3:
            x[:, 0] = 7.0  # a channel without any spread
        case = (
            x.round(3),
            noise.uniform(-2, 2, channels).round(2),
            noise.uniform(-2, 2, channels).round(2),
            noise.uniform(-2, 2, channels).round(2),
            noise.uniform(0.5, 4, channels).round(2),
            number % 3 != 2,
        )
        cases.append((*case, 0.3) if number % 4 == 1 else case)
    return cases


batch_norm = Task(
    "batch_norm",
    _by_torch,
    _norm_cases,
    mistakes={
        "the running variance follows the variance over n − 1 (ddof=1); only the batch itself is divided by that over n.": (
            _numpy_norm(kept=0)
        ),
        "the batch is divided by the variance over n (ddof=0); that over n − 1 is for the running variance.": (
            _numpy_norm(used=1)
        ),
        "divide by the standard deviation, the square root of the variance.": _numpy_norm(power=1.0),
        "ε is missing: a channel without spread gives 0 / 0.": _numpy_norm(eps_inside=False),
        "momentum is the share of the *new* value: (1 − m)·old + m·new.": _numpy_norm(share=lambda m: 1 - m),
        "the argument momentum is not used.": _numpy_norm(share=lambda m: 0.1),
        "the statistics are taken over images, rows and columns; here each image has its own.": _numpy_norm(
            axes=(2, 3)
        ),
        "each channel has its own mean and variance; here all channels share one.": _numpy_norm(axes=(0, 1, 2, 3)),
        "each place has its own mean here; a channel has one for all its rows and columns.": _numpy_norm(axes=(0,)),
        "in evaluation the running statistics are used, not those of the batch.": _numpy_norm(always=True),
        "in training the batch is normalised by its own statistics; the running ones only follow.": _numpy_norm(
            late=True
        ),
        "in training the running statistics have to move.": _numpy_norm(moves=False),
        "weight and bias are missing: the result is weight · normalised + bias.": _numpy_norm(affine=lambda z, w, b: z),
        "the bias is missing: the result is weight · normalised + bias.": _numpy_norm(affine=lambda z, w, b: z * w),
        "first times the weight, then plus the bias.": _numpy_norm(affine=lambda z, w, b: (z + b) * w),
        "return (y, mean, var), in this order.": _numpy_norm(swap=True),
    },
)


# Task 3: dropout


def _dropped(x: torch.Tensor, u: torch.Tensor, p: float, training: bool) -> torch.Tensor:
    if not training:
        return x.clone()
    if p == 1:
        return torch.zeros_like(x)
    return torch.where(u < p, torch.zeros_like(x), x / (1 - p))


def _drop_cases(rng: random.Random) -> list[Case]:
    cases = []
    for number in range(26):
        shape = [rng.randint(1, 6) for _ in range(rng.randint(1, 3))]
        size = torch.Size(shape).numel()
        x = torch.tensor([float(rng.randint(-9, 9)) for _ in range(size)]).view(shape)
        u = torch.tensor([rng.random() for _ in range(size)]).view(shape)
        p = (0.5, 0.25, 0.0, 0.8, 0.1, 1.0)[number % 6]
        cases.append((x, u, p, number % 5 != 3))
    return cases


dropout = Task(
    "dropout",
    _dropped,
    _drop_cases,
    mistakes={
        "the survivors are not scaled: divide by 1 − p, so that the mean stays.": (
            lambda x, u, p, training: x * (u >= p) if training else x.clone()
        ),
        "divide by 1 − p, the share that survives, not by p.": (
            lambda x, u, p, training: torch.where(u >= p, x / p, torch.zeros_like(x)) if training else x.clone()
        ),
        "multiply by 1 / (1 − p), not by 1 − p.": (
            lambda x, u, p, training: x * (u >= p) * (1 - p) if training else x.clone()
        ),
        "a number is dropped with probability p: where u < p, not where u ≥ p.": (
            lambda x, u, p, training: (
                torch.where(u < p, x / (1 - p), torch.zeros_like(x)) if training and p < 1 else x * (not training)
            )
        ),
        "in evaluation nothing is dropped and nothing scaled.": lambda x, u, p, training: _dropped(x, u, p, True),
        "this is the old way, scaling in evaluation; PyTorch divides in training and leaves evaluation alone.": (
            lambda x, u, p, training: x * (u >= p) if training else x * (1 - p)
        ),
        "p = 1 drops everything: 0 / 0 must not come out.": (
            lambda x, u, p, training: x * (u >= p) / (1 - p) if training else x.clone()
        ),
    },
)


# Task 4: fold batch norm into the convolution in front of it


def _fused(
    weight: torch.Tensor,
    bias: torch.Tensor | None,
    gamma: torch.Tensor,
    beta: torch.Tensor,
    mean: torch.Tensor,
    var: torch.Tensor,
    eps: float,
) -> tuple[torch.Tensor, torch.Tensor]:
    folded = fuse_conv_bn_weights(weight, bias, mean, var, eps, gamma, beta)
    return tuple(part.detach() for part in folded)


def _folding(
    *,
    axis: int = 0,
    root: Callable[[torch.Tensor, float], torch.Tensor] = lambda var, eps: (var + eps).sqrt(),
    shift: Callable[..., torch.Tensor] = lambda b, g, beta, m, r: (b - m) * g / r + beta,
    gamma_used: bool = True,
    needs_bias: bool = False,
) -> Callable[..., Any]:
    def fold(weight, bias, gamma, beta, mean, var, eps):
        if needs_bias:
            bias = bias + 0
        start = torch.zeros_like(mean) if bias is None else bias
        deviation, g = root(var, eps), gamma if gamma_used else torch.ones_like(gamma)
        scale = (g / deviation).view([-1 if i == axis else 1 for i in range(4)])
        return weight * scale, shift(start, g, beta, mean, deviation)

    return fold


def _fold_cases(rng: random.Random) -> list[Case]:
    # The first one can be computed by hand: √(8.75 + 0.25) = 3.
    numbers = ([[[[6.0, -3.0]]]], [2.0], [1.5], [1.0], [4.0], [8.75])
    cases = [(*(torch.tensor(n, dtype=torch.float64) for n in numbers), 0.25)]
    for number in range(24):
        outputs, inputs = rng.randint(1, 4), rng.randint(1, 4)
        if number >= 12:
            inputs = outputs  # where a wrong axis raises no error
        kernel = rng.choice(((1, 1), (3, 3), (3, 1), (2, 3)))
        draw = torch.Generator().manual_seed(rng.randint(0, 2**31 - 1))

        def values(*shape: int, draw: torch.Generator = draw) -> torch.Tensor:
            return torch.randn(*shape, generator=draw, dtype=torch.float64)

        bias = None if number % 3 == 2 else values(outputs)
        var = values(outputs).abs() + 0.1
        eps = (1e-5, 0.1)[number % 2]
        rest = [values(outputs), values(outputs), values(outputs), var, eps]
        cases.append((values(outputs, inputs, *kernel), bias, *rest))
    return cases


fold = Task(
    "fold",
    _fused,
    _fold_cases,
    mistakes={
        "the kernels of output channel k are scaled, axis 0 of the weight; here it is the input channels.": _folding(
            axis=1
        ),
        "ε is missing under the root.": _folding(root=lambda var, eps: var.sqrt()),
        "ε belongs under the root: √(var + ε), not √var + ε.": _folding(root=lambda var, eps: var.sqrt() + eps),
        "divide by the standard deviation, the root of var + ε.": _folding(root=lambda var, eps: var + eps),
        "γ is missing: each kernel is multiplied by γ / √(var + ε).": _folding(gamma_used=False),
        "the old bias is normalised too: (bias − mean) · scale + β.": _folding(
            shift=lambda b, g, beta, m, r: b - m * g / r + beta
        ),
        "the old bias is missing: (bias − mean) · scale + β.": _folding(
            shift=lambda b, g, beta, m, r: -m * g / r + beta
        ),
        "the mean is missing: (bias − mean) · scale + β.": _folding(shift=lambda b, g, beta, m, r: b * g / r + beta),
        "β is missing: (bias − mean) · scale + β.": _folding(shift=lambda b, g, beta, m, r: (b - m) * g / r),
        "the mean is subtracted, not added.": _folding(shift=lambda b, g, beta, m, r: (b + m) * g / r + beta),
    },
)


# Task 5: a body that stays frozen


class _Frozen(nn.Module):
    """The right answer, unless an argument says otherwise."""

    def __init__(self, body: nn.Module, *, gradients: bool = False, override: bool = True, value: bool = True) -> None:
        super().__init__()
        self.body = body.requires_grad_(gradients)
        self.override, self.value = override, value
        body.eval()

    def train(self, mode: bool = True) -> nn.Module:
        super().train(mode)
        if self.override:
            self.body.eval()
        return self if self.value else None

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.body(x)


class _FrozenNorms(_Frozen):
    """Keeps batch norms in evaluation mode, and forgets the dropout."""

    def train(self, mode: bool = True) -> nn.Module:
        nn.Module.train(self, mode)
        for layer in self.body.modules():
            if isinstance(layer, nn.BatchNorm2d):
                layer.eval()
        return self


def _frozen_seen(build: Callable[[nn.Module], nn.Module]) -> Callable[..., list[Any]]:
    """Return a function that trains a head on a frozen body for two steps; it gives the first fault and an output."""

    def seen(channels: int, side: int, batch: int) -> list[Any]:
        body = nn.Sequential(
            nn.Conv2d(2, channels, 3), nn.BatchNorm2d(channels), nn.ReLU(), nn.Dropout(0.5),
            nn.AdaptiveAvgPool2d(1), nn.Flatten(),
        ).double()  # fmt: skip
        head = nn.Linear(channels, 3).double()
        with torch.no_grad():
            for parameter in (*body.parameters(), *head.parameters()):
                parameter.copy_(weights_by_rule(parameter.shape))
        frozen = build(body)
        if not isinstance(frozen, nn.Module):
            return [f"{type(frozen).__name__}, not an nn.Module", []]
        model = nn.Sequential(frozen, head)
        returned = frozen.train()
        learning = [p for p in model.parameters() if p.requires_grad]
        before = {name: value.clone() for name, value in frozen.state_dict().items()}
        generator = torch.Generator().manual_seed(0)
        optimizer = torch.optim.SGD(learning, lr=0.1)
        for _ in range(2):
            model.train()
            images = 3 * torch.randn(batch, 2, side, side, generator=generator, dtype=torch.float64) + 1
            optimizer.zero_grad()
            F.cross_entropy(model(images), torch.arange(batch) % 3).backward()
            optimizer.step()
        changed = [name for name, value in frozen.state_dict().items() if not torch.equal(value, before[name])]
        model.train()
        with torch.no_grad(), torch.random.fork_rng():
            torch.manual_seed(0)  # so that an answer with dropout is recognised
            output, again = frozen(images), frozen(images)
        fault = "no fault"
        if returned is not frozen:
            fault = f"train() returns {type(returned).__name__}"
        elif len(learning) > 2:
            fault = f"{len(learning) - 2} parameters of the body learn"
        elif changed:
            fault = f"changed: {', '.join(changed)}"
        elif not torch.equal(output, again):
            fault = "two answers for the same images"
        return [fault, rounded(output[0]) if fault == "no fault" and output.dim() == 2 else list(output.shape)]

    return seen


def _frozen_cases(rng: random.Random) -> list[Case]:
    return [(rng.randint(3, 6), rng.randint(3, 7), rng.randint(3, 6)) for _ in range(20)]


frozen = Behaviour(
    "frozen",
    _frozen_seen(_Frozen),
    _frozen_cases,
    behaviour=_frozen_seen,
    mistakes={
        "the next model.train() puts the body back in training mode: train() must end with the body in eval().": (
            lambda body: _Frozen(body, override=False)
        ),
        "the parameters of the body still learn: requires_grad_(False) is missing.": (
            lambda body: _Frozen(body, gradients=True)
        ),
        "train() must return self, as in every nn.Module.": lambda body: _Frozen(body, value=False),
        "the batch norms are still, but the dropout is not: put the whole body in eval().": _FrozenNorms,
    },
)


# Task 6: an experiment


def _swapped(
    *, bias: bool = False, copied: bool = True, width: str = "out", place: int = 1, last: bool = True
) -> Callable[[nn.Sequential], nn.Sequential]:
    """Return a function that puts a batch norm behind each convolution, right unless an argument says otherwise."""

    def with_batch_norm(plain: nn.Sequential) -> nn.Sequential:
        layers: list[nn.Module] = []
        for layer in plain:
            if not isinstance(layer, nn.Conv2d):
                layers.append(layer)
                continue
            conv = nn.Conv2d(
                layer.in_channels, layer.out_channels, layer.kernel_size, layer.stride, layer.padding, bias=bias
            )
            conv = conv.to(layer.weight.dtype)
            if copied:
                conv.weight.data.copy_(layer.weight)
                if bias:
                    conv.bias.data.copy_(layer.bias)
            norm = nn.BatchNorm2d(layer.out_channels if width == "out" else layer.in_channels).to(layer.weight.dtype)
            layers += [conv, norm] if place else [norm, conv]
        if not last:
            index = max(i for i, layer in enumerate(layers) if isinstance(layer, nn.BatchNorm2d))
            del layers[index]
        return nn.Sequential(*layers)

    return with_batch_norm


def _rebuilt(answer: Callable[[nn.Sequential], nn.Module]) -> Callable[..., list[Any]]:
    """Return a function that describes what the answer makes of a plain network."""

    def seen(widths: tuple[int, ...], kernel: int, stride: int) -> list[Any]:
        layers: list[nn.Module] = []
        for inputs, outputs in zip((2, *widths), widths, strict=False):
            layers += [nn.Conv2d(inputs, outputs, kernel, stride, padding=kernel // 2), nn.ReLU()]
        plain = nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(widths[-1], 3)).double()
        with torch.no_grad():
            for parameter in plain.parameters():
                parameter.copy_(weights_by_rule(parameter.shape))
        kept = [p.clone() for p in plain.parameters()]
        network = answer(plain)
        if not isinstance(network, nn.Module):
            return [f"{type(network).__name__}, not an nn.Module", "", "", []]
        if len(list(plain.parameters())) != len(kept) or not all(map(torch.equal, plain.parameters(), kept)):
            return ["the plain network was changed; build a new one", "", "", []]
        images = torch.randn(4, 2, 9, 11, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
        short = {"Conv2d": "conv", "BatchNorm2d": "norm", "ReLU": "relu"}
        names = [short[type(layer).__name__] for layer in network.modules() if type(layer).__name__ in short]
        parameters = f"{sum(p.numel() for p in network.parameters())} parameters"
        try:
            output = network.double().train()(images).detach()
        except (RuntimeError, ValueError) as error:
            return [parameters, str(error).splitlines()[0], "", []]
        if output.shape != (4, 3):
            return [parameters, " ".join(names), f"output {tuple(output.shape)}", []]
        old, new = ([m.weight for m in net.modules() if isinstance(m, nn.Conv2d)] for net in (plain, network))
        if len(old) != len(new) or not all(
            a.shape == b.shape and torch.equal(a, b) for a, b in zip(old, new, strict=True)
        ):
            return [parameters, " ".join(names), "the convolutions have not the old weights", []]
        return [parameters, " ".join(names), "output (4, 3)", rounded(output[0])]

    return seen


def _plain_cases(rng: random.Random) -> list[Case]:
    fixed = [((3,), 3, 1), ((2, 2), 3, 1), ((2, 2), 1, 1), ((4, 3), 3, 2)]
    drawn = [
        (tuple(rng.randint(2, 5) for _ in range(rng.randint(1, 3))), rng.choice((1, 3, 5)), rng.choice((1, 2)))
        for _ in range(18)
    ]
    return fixed + drawn


with_batch_norm = Behaviour(
    "with_batch_norm",
    _rebuilt(_swapped()),
    _plain_cases,
    behaviour=_rebuilt,
    tolerance=2e-3,
    mistakes={
        "the biases in front of the batch norms are dead: bias=False.": _swapped(bias=True),
        "the new convolutions must start with the weights of the old ones, so that both networks can be compared.": (
            _swapped(copied=False)
        ),
        "batch norm comes behind the convolution and has its output channels.": _swapped(width="in", place=0),
        "the last convolution has no batch norm behind it.": _swapped(last=False),
        "the convolutions were changed in place; the plain network is still needed.": lambda plain: (
            [layer.register_parameter("bias", None) for layer in plain if isinstance(layer, nn.Conv2d)] and plain
        ),
    },
)


def _paired_right(ours: list[float], theirs: list[float]) -> list[Any]:
    differences = [a - b for a, b in zip(ours, theirs, strict=True)]
    mean, spread = statistics.mean(differences), statistics.stdev(differences)
    return [mean, spread, "difference" if abs(mean) > spread else "no difference"]


def _paired_wrong(
    *,
    spread: Callable[[list[float], list[float]], float] | None = None,
    sign: int = 1,
    absolute: bool = False,
    verdict: Callable[[float, float], bool] | None = None,
) -> Callable[[list[float], list[float]], list[Any]]:
    def paired(ours, theirs):
        differences = [sign * (a - b) for a, b in zip(ours, theirs, strict=True)]
        if absolute:
            differences = [abs(d) for d in differences]
        mean = statistics.mean(differences)
        width = spread(ours, theirs) if spread else statistics.stdev(differences)
        differs = verdict(mean, width) if verdict else abs(mean) > width
        return [mean, width, "difference" if differs else "no difference"]

    return paired


def _paired_cases(rng: random.Random) -> list[Case]:
    cases = [([90.0, 92.0], [88.0, 88.0])]
    for number in range(24):
        size = rng.randint(2, 8)
        theirs = [round(rng.uniform(60, 95), 1) for _ in range(size)]
        shift, noise = (0, 3, -3, 1)[number % 4], (0.5, 2, 6)[number % 3]
        ours = [round(v + shift + rng.uniform(-noise, noise), 1) for v in theirs]
        cases.append((ours, theirs))
    return cases


paired = Task(
    "paired",
    _paired_right,
    _paired_cases,
    mistakes={
        "the spread is that of the differences, seed by seed, not the sum of both spreads.": _paired_wrong(
            spread=lambda a, b: statistics.stdev(a) + statistics.stdev(b)
        ),
        "the spread is that of the differences, seed by seed, not that of one recipe.": _paired_wrong(
            spread=lambda a, b: statistics.stdev(b)
        ),
        "the standard deviation of a sample divides by n − 1: statistics.stdev, not pstdev.": _paired_wrong(
            spread=lambda a, b: statistics.pstdev([x - y for x, y in zip(a, b, strict=True)])
        ),
        "the difference is ours minus theirs.": _paired_wrong(sign=-1),
        "a difference below 0 counts as well: compare its absolute value with the spread.": _paired_wrong(
            verdict=lambda mean, spread: mean > spread
        ),
        "the differences have signs, and some may cancel: do not take absolute values one by one.": _paired_wrong(
            absolute=True
        ),
        "it is a difference where it is larger than the spread, not smaller.": _paired_wrong(
            verdict=lambda mean, spread: abs(mean) < spread
        ),
    },
)


@dataclass(frozen=True)
class Experiment(Answer):
    """Accuracies in percent of two recipes over the same seeds, judged by thresholds."""

    seeds: int = 3
    good: float = 75.0
    lead: float = 3.0

    def __call__(self, answer: Any) -> Verdict:
        """Check ``answer`` (``...`` means not yet), print what came out, and return whether it passed."""
        if answer is ...:
            return not_yet(self.name, "run the experiment: a list of accuracies for plain, and one for batch norm.")
        try:
            plain, norm = ([float(v) for v in values] for values in answer)
        except (TypeError, ValueError):
            return fail(self.name, "give two lists of accuracies: of the plain networks, and of those with batch norm.")
        if len(plain) != len(norm) or len(plain) < self.seeds:
            return fail(
                self.name,
                f"there are {len(plain)} and {len(norm)} accuracies; give one of each for at least {self.seeds} seeds.",
            )
        if not all(0 <= v <= 100 for v in plain + norm):
            return fail(self.name, "an accuracy lies outside 0 to 100 percent.")
        if max(plain + norm) <= 1:
            return fail(self.name, "the accuracies are shares; give them in percent.")
        if len(set(norm)) == 1:
            return fail(self.name, "all accuracies with batch norm are the same: do the seeds reach the weights?")
        mean, spread, verdict = _paired_right(norm, plain)
        if statistics.mean(norm) < self.good:
            return fail(
                self.name,
                f"batch norm reaches {statistics.mean(norm):.1f} %, expected at least {self.good:.0f} %: "
                "is the network in training mode while it learns, and the learning rate 0.1?",
            )
        if mean < self.lead or verdict != "difference":
            return fail(
                self.name,
                f"batch norm leads by {mean:.1f} ± {spread:.1f} %, expected more than {self.lead:.0f} and than the "
                "spread: do both networks get the same images, epochs and seeds?",
            )
        print(f"✓ {self.name}: batch norm leads, by more than the spread.")
        return Verdict(True)


experiment = Experiment("experiment", lambda: [[60.0, 70.0, 75.0], [91.0, 92.0, 93.0]])
