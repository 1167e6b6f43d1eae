"""Checks of the exercises of chapter Project: colour photographs."""

from __future__ import annotations

import copy
import itertools
import random
import statistics
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn
from torch.nn import functional as F
from torch.utils._python_dispatch import TorchDispatchMode

from utils import runtime
from utils.data import Images, cifar10, shapes
from utils.data.augment import apply, moved
from utils.exercises.core import Answer, Behaviour, Task, Verdict, fail, not_yet, rounded, weights_by_rule
from utils.models.lenet import LeNet
from utils.training import History, evaluate

# Task 1: the digit net in colour


def _conv_maps(model: nn.Module, images: torch.Tensor) -> tuple[list[torch.Tensor], torch.Tensor]:
    """Return the outputs of all convolutions, in the order in which they run, and that of the model."""
    maps: list[torch.Tensor] = []
    handles = [
        layer.register_forward_hook(lambda _layer, _inputs, output: maps.append(output.detach().clone()))
        for layer in model.modules()
        if isinstance(layer, nn.Conv2d)
    ]
    try:
        with torch.no_grad():
            return maps, model(images)
    finally:
        for handle in handles:
            handle.remove()


def _coloured(answer: Callable[..., Any]) -> Callable[..., list[str]]:
    """Return a function that describes the colour network made of a digit net with drawn weights."""

    def run(seed: int, number: int) -> list[str]:
        with torch.random.fork_rng():
            torch.manual_seed(seed)
            digit_net = LeNet()
            for layer in (digit_net[0], digit_net[3]):
                nn.init.normal_(layer.bias)
            original = copy.deepcopy(digit_net)
            network = answer(digit_net)
            grey = torch.randn(number, 1, 32, 32)
        if not isinstance(network, nn.Module):
            return [f"{type(network).__name__}, not an nn.Module"]
        before, after = original.state_dict(), digit_net.state_dict()
        kept = before.keys() == after.keys() and all(torch.equal(before[k], after[k]) for k in before)
        found = [f"{sum(p.numel() for p in network.parameters()):,} parameters"]
        try:
            maps, output = _conv_maps(network, grey.expand(-1, 3, -1, -1))
        except RuntimeError as error:
            return [*found, str(error).splitlines()[0][:80]]
        wanted, _ = _conv_maps(nn.Sequential(*list(original)[:6]), grey)
        if [m.shape for m in maps] != [m.shape for m in wanted]:
            return [*found, f"{len(maps)} convolutions, maps of " + ", ".join(str(tuple(m.shape[1:])) for m in maps)]
        off = [(a - b).abs().max() for a, b in zip(maps, wanted, strict=True)]
        same = "the same maps" if max(off) < 1e-4 else "only the first maps" if off[0] < 1e-4 else "other maps"
        if off[0] > 1e-4 and (maps[0] - wanted[0]).std((0, 2, 3)).max() < 1e-4:
            same = "maps off by a constant"
        kernels = [m.weight for m in network.modules() if isinstance(m, nn.Conv2d) and m.in_channels == 3]
        alike = bool(kernels) and all(torch.allclose(w, w[:, :1].expand_as(w)) for w in kernels)
        return [
            *found,
            f"output {tuple(output.shape)}",
            same,
            "colours alike" if alike else "one colour counts more",
            "digit net kept" if kept else "digit net changed",
        ]

    return run


def _colour_lenet(
    digit_net: nn.Sequential,
    *,
    divide: float = 3.0,
    one_colour: bool = False,
    second: bool = True,
    biases: bool = True,
    channels: int = 3,
    side: int = 5,
    last: nn.Module | None = None,
) -> nn.Sequential:
    """Return the digit net for colour; the options plant a mistake."""
    network = LeNet(size=32 if side == 5 else 28, in_channels=channels)
    with torch.no_grad():
        kernel = digit_net[0].weight
        network[0].weight.copy_(kernel.expand(-1, channels, -1, -1) / divide)
        if one_colour:
            network[0].weight.zero_()
            network[0].weight[:, :1] = kernel
        if second:
            network[3].weight.copy_(digit_net[3].weight)
        if biases:
            network[0].bias.copy_(digit_net[0].bias)
            if second:
                network[3].bias.copy_(digit_net[3].bias)
    return network.append(last) if last else network


def _with(function: Callable[..., Any], **options: Any) -> Callable[..., Any]:
    return lambda *arguments: function(*arguments, **options)


def _changed_in_place(digit_net: nn.Sequential) -> nn.Sequential:
    network = _colour_lenet(digit_net)
    digit_net[0], digit_net[7] = network[0], network[7]
    return digit_net


colour_lenet = Behaviour(
    "colour_lenet",
    _coloured(_colour_lenet),
    lambda rng: [(rng.randrange(1000), rng.randint(1, 5)) for _ in range(20)],
    mistakes={
        "the first convolution still reads one channel; a colour image has three.": _with(_colour_lenet, channels=1),
        "the first dense layer belongs to 28×28 pixels: from 32×32, 16 maps of 5×5 are left, 400 numbers.": (
            _with(_colour_lenet, side=4)
        ),
        "the kernel was copied three times, so a grey image counts three times: divide it by 3.": (
            _with(_colour_lenet, divide=1)
        ),
        "one colour has the whole kernel and the others nothing; give each of the three a third.": (
            _with(_colour_lenet, one_colour=True)
        ),
        "the second convolution has not kept its weights.": _with(_colour_lenet, second=False),
        "the kernels are right, but the biases were not copied.": _with(_colour_lenet, biases=False),
        "the convolutions have new weights: copy those of the digit net.": lambda _: LeNet(32, 3),
        "the digit net was changed; build a new network.": _changed_in_place,
    },
    behaviour=_coloured,
)


# Task 2: two blocks with batch norm


# Names of the functions below PyTorch's modules; ReLU6 is a hardtanh.
ACTIVATIONS = (
    *("relu", "leaky_relu", "_prelu_kernel", "hardtanh", "elu", "celu", "selu"),
    *("gelu", "silu", "mish", "hardswish", "softplus", "tanh", "sigmoid"),
)


class Blocks(TorchDispatchMode):
    """Follow what happens to a batch, as modules or as functions, and count convolution → batch norm → activation.

    Attributes
    ----------
    blocks, norms, activations, late, biases : int
        Whole blocks; batch norms; activations; batch norms behind an activation; biases in front of a batch norm.
    """

    def __init__(self) -> None:
        super().__init__()
        self.blocks = self.norms = self.activations = self.late = self.biases = 0
        self._last: dict[int, str] = {}  # what made a tensor: "conv", "biased conv", "norm", "activation"
        self._alive: list[torch.Tensor] = []  # so that no identity is used again

    def __torch_dispatch__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = function(*args, **(kwargs or {}))
        name = function.overloadpacket.__name__.removesuffix("_")
        made = result[0] if isinstance(result, (tuple, list)) and result else result
        if not isinstance(made, torch.Tensor):
            return result
        came = next((self._last[id(a)] for a in args if id(a) in self._last), "")
        if "convolution" in name:
            came = "biased conv" if args[2] is not None else "conv"
        elif "batch_norm" in name:
            self.norms += 1
            self.biases += came == "biased conv"
            self.late += came == "activation"
            came = "norm" if came.endswith("conv") else ""
        elif name in ACTIVATIONS:
            self.activations += 1
            self.blocks += came == "norm"
            came = "activation"
        elif "softmax" in name:
            came = "softmax"
        elif name in ("addmm", "mm"):
            came = ""
        self._last[id(made)] = came
        self._alive.append(made)
        return result

    def made_by(self, output: torch.Tensor) -> str:
        """Return what a tensor came from last: "conv", "biased conv", "norm", "activation", "softmax" or ""."""
        return self._last.get(id(output), "")

    def __str__(self) -> str:
        if self.blocks >= 2:
            return "2 blocks or more"
        if not self.norms:
            return "no batch norm"
        if not self.activations:
            return "no activation"
        if self.late:
            return "batch norm behind the activation"
        return f"{self.blocks} block{'' if self.blocks == 1 else 's'}"


@torch.no_grad()
def _traced(network: nn.Module, images: torch.Tensor) -> tuple[Blocks, torch.Tensor]:
    with Blocks() as trace:
        output = network(images)
    return trace, output


def _built(build: Callable[..., Any]) -> Callable[..., list[str]]:
    """Return a function that says what a network does with a batch in both modes."""

    def run(number: int, channels: int, height: int, width: int, classes: int) -> list[str]:
        with torch.random.fork_rng():
            torch.manual_seed(0)
            network = build(channels, classes)
            images = torch.randn(number, channels, height, width)
        if not isinstance(network, nn.Module):
            return [f"{type(network).__name__}, not an nn.Module"]
        try:
            trace, output = _traced(network.train(), images)
            with torch.no_grad():
                together, alone = network.eval()(images), network(images[:1])
        except (RuntimeError, ValueError) as error:
            return [str(error).splitlines()[0][:90]]
        right = output.shape == together.shape == (number, classes)
        if not right:
            return [f"output {tuple(together.shape)}"]
        own = torch.allclose(together[:1], alone, atol=1e-4)
        ends = {"softmax": "a softmax at the end", "activation": "an activation at the end"}
        return [
            str(trace),
            "no bias in front of a norm" if not trace.biases else "a bias in front of a norm",
            ends.get(trace.made_by(output), "logits"),
            "each image by itself" if own else "an image's answer depends on its batch",
        ]

    return run


class _Flat(nn.Module):
    """Flattens whatever comes to the size that 32×32 pixels have."""

    def __init__(self, features: int, classes: int) -> None:
        super().__init__()
        self.dense = nn.Linear(features, classes)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.dense(x.flatten(1))


class _BatchStatistics(nn.Module):
    """Batch norm that uses the batch in evaluation as well."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return F.batch_norm(x, None, None, training=True)


def _cnn(
    channels: int,
    classes: int,
    *,
    blocks: int = 2,
    norm: Callable[[int], nn.Module] | None = nn.BatchNorm2d,
    bias: bool = False,
    early: bool = False,
    act: Callable[[], nn.Module] = nn.ReLU,
    last: nn.Module | None = None,
    flat: bool = False,
) -> nn.Sequential:
    layers: list[nn.Module] = []
    for inputs, outputs in itertools.pairwise([channels, *(8 * 2**n for n in range(blocks))]):
        layers += [nn.Conv2d(inputs, outputs, 3, padding=1, bias=bias or norm is None)]
        pair = [norm(outputs)] if norm else []
        pair.insert(0 if early else len(pair), act())
        layers += [*pair, nn.MaxPool2d(2)]
    wide = 8 * 2 ** (blocks - 1)
    if flat:
        layers.append(_Flat(wide * (32 // 2**blocks) ** 2, classes))
    else:
        layers += [nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(wide, classes)]
    return nn.Sequential(*layers, *([last] if last else []))


def _batch_shapes(rng: random.Random) -> list[tuple[int, int, int, int, int]]:
    fixed = [(4, 3, 32, 32, 10), (3, 1, 28, 28, 10), (2, 3, 16, 40, 2), (5, 3, 33, 17, 5)]
    return fixed + [
        (rng.randint(2, 6), rng.choice((1, 3, 3, 4)), rng.randint(16, 40), rng.randint(16, 40), rng.randint(2, 12))
        for _ in range(16)
    ]


network = Behaviour(
    "network",
    _built(_cnn),
    _batch_shapes,
    mistakes={
        "there is no batch norm behind the convolutions.": _with(_cnn, norm=None),
        "there is one block of convolution, batch norm and activation; two or more are asked for.": (
            _with(_cnn, blocks=1)
        ),
        "the activation comes before the batch norm; the order here is convolution, batch norm, activation.": (
            _with(_cnn, early=True)
        ),
        "there is no activation, so convolutions and norms collapse into one linear map.": (
            _with(_cnn, act=nn.Identity)
        ),
        "the convolutions have a bias that the batch norm subtracts again: write bias=False.": _with(_cnn, bias=True),
        "a softmax follows the last layer; the loss applies it itself.": _with(_cnn, last=nn.Softmax(1)),
        "a ReLU follows the last layer; logits have both signs.": _with(_cnn, last=nn.ReLU()),
        "the flatten size belongs to one image size: average over rows and columns, nn.AdaptiveAvgPool2d(1).": (
            _with(_cnn, flat=True)
        ),
        "the norm uses the batch in evaluation mode as well; nn.BatchNorm2d keeps running statistics.": (
            _with(_cnn, norm=lambda channels: _BatchStatistics())
        ),
        "the last layer must have `classes` outputs, not 10.": lambda channels, classes: _cnn(channels, 10),
        "the first convolution must take `channels` channels, not 3.": lambda channels, classes: _cnn(3, classes),
    },
    behaviour=_built,
)


# Task 3: an augmentation that keeps the label

REACH, BATCHES = 2, 6  # pixels; batches that are looked at


def _placed(image: torch.Tensor, down: int, right: int, wrap: bool = False) -> torch.Tensor:
    """Return an image (C, H, W) moved by whole pixels; zeros, or the other side's pixels, come in."""
    if wrap:
        return image.roll((down, right), (1, 2))
    _, height, width = image.shape
    frame = F.pad(image, [REACH + 1] * 4)
    top, left = REACH + 1 - down, REACH + 1 - right
    return frame[:, top : top + height, left : left + width]


def _drawn(answer: Callable[..., Any]) -> Callable[..., list[str]]:
    """Return a function that reads from the pictures what was drawn for each of them."""

    def run(number: int, channels: int, height: int, width: int, seed: int) -> list[str]:
        size = channels * height * width
        picture = (torch.arange(1, size + 1).float() / (size + 1)).view(channels, height, width)
        images = picture.expand(number, -1, -1, -1).clone()
        batches = [answer(images, torch.Generator().manual_seed(s)) for s in (seed, *range(seed, seed + BATCHES))]
        made = batches[0]
        if not isinstance(made, torch.Tensor) or made.dtype != torch.float32 or made.shape != images.shape:
            what = f"{made.dtype} {tuple(made.shape)}" if isinstance(made, torch.Tensor) else type(made).__name__
            return [f"{what}, not float32 {tuple(images.shape)}"]
        if not torch.equal(images, picture.expand_as(images)):
            return ["the images were changed in place"]
        if not torch.equal(made, batches[1]) or all(torch.equal(made, batch) for batch in batches[2:]):
            return ["what is drawn does not follow from the generator"]
        forms = {"": picture, "mirrored": picture.flip(-1), "upside down": picture.flip(-2)}
        moves = list(itertools.product(range(-REACH - 1, REACH + 2), repeat=2))
        options = [(form, wrap, move) for wrap in (False, True) for form in forms for move in moves]
        candidates = torch.stack([_placed(forms[form], *move, wrap=wrap) for form, wrap, move in options])
        # Without a move, wrapping makes no difference: of equal candidates the first, unwrapped one is found.
        distance, place = torch.cdist(torch.stack(batches[1:]).flatten(2), candidates.flatten(1)).min(2)
        found = [[options[i] for i in batch] for batch in place.tolist()]
        everything = list(itertools.chain.from_iterable(found))
        share = sum(form == "mirrored" for form, _, _ in everything) / len(everything)
        mirrored = "half are mirrored" if 0.4 < share < 0.6 else f"{share:.0%} are mirrored"
        if 0 < share < 1 and all(len({form for form, _, _ in batch}) == 1 for batch in found):
            mirrored = "all of a batch alike"
        steps = sorted({step for _, _, move in everything for step in move})
        kinds = len({move for _, _, move in everything})
        reach = f"{kinds} moves from {steps[0]} to {steps[-1]}"
        if all(len({move for _, _, move in batch}) == 1 for batch in found):
            reach = "one move for a batch"
        return [
            "known" if (distance < 0.05).all() else "some are neither mirrored nor moved",
            "upright" if not any(form == "upside down" for form, _, _ in everything) else "some are upside down",
            "not wrapped" if not any(wrap for _, wrap, _ in everything) else "pixels return on the other side",
            mirrored,
            reach,
        ]

    return run


def _augmented(
    images: torch.Tensor,
    generator: torch.Generator,
    *,
    batch_coin: bool = False,
    axis: int = -1,
    wrap: bool = False,
    low: int = -REACH,
    high: int = REACH,
    batch_move: bool = False,
    p: float = 0.5,
) -> torch.Tensor:
    number = len(images)
    coin = torch.rand(1 if batch_coin else number, generator=generator).expand(number) < p
    images = torch.where(coin[:, None, None, None], images.flip(axis), images)
    down, right = torch.randint(low, high + 1, (2, 1 if batch_move else number), generator=generator).expand(2, number)
    if not wrap:
        return moved(images, down, right)
    pairs = zip(images, torch.stack([down, right], 1).tolist(), strict=True)
    return torch.stack([_placed(image, *move, wrap=True) for image, move in pairs])


def _in_place(images: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
    return images.copy_(_augmented(images, generator))


augmented = Behaviour(
    "augmented",
    _drawn(_augmented),
    lambda rng: [
        (80, rng.choice((1, 3)), rng.randint(7, 9), rng.randint(7, 11), rng.randrange(1000)) for _ in range(20)
    ],
    mistakes={
        "all four faults are still there.": _with(_augmented, batch_coin=True, axis=-2, wrap=True, high=REACH - 1),
        "one coin is tossed for the whole batch; each image needs its own.": _with(_augmented, batch_coin=True),
        "axis −2 is the height, so the images are upside down: a mirror exchanges left and right, axis −1.": (
            _with(_augmented, axis=-2)
        ),
        "torch.roll brings what leaves on one side back on the other; pad with zeros instead.": (
            _with(_augmented, wrap=True)
        ),
        "the upper end of torch.randint is left out: for −2 to 2 write randint(-2, 3, …).": (
            _with(_augmented, high=REACH - 1)
        ),
        "the images move in one direction only: draw from −2 to 2.": _with(_augmented, low=0),
        "one move is drawn for the whole batch; each image needs its own.": _with(_augmented, batch_move=True),
        "too many images are mirrored: the coin has two sides, p = 0.5.": _with(_augmented, p=0.8),
        "the images of the caller were changed: work on a copy.": _in_place,
        "the random numbers must come from `generator`, so that a run can be repeated.": (
            lambda images, generator: _augmented(images, torch.Generator().manual_seed(0))
        ),
    },
    behaviour=_drawn,
)


# Task 4: a residual block


def _block(build: Callable[..., Any]) -> Callable[..., list[Any]]:
    """Return a function that describes a block whose parameters are filled by rule."""

    def run(inputs: int, outputs: int, stride: int, height: int, width: int) -> list[Any]:
        block = build(inputs, outputs, stride)
        if not isinstance(block, nn.Module):
            return [f"{type(block).__name__}, not an nn.Module"]
        block = block.double().train()
        images = torch.randn(4, inputs, height, width, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
        before, parameters = images.clone(), f"{sum(p.numel() for p in block.parameters()):,} parameters"
        with torch.no_grad():
            for parameter in block.parameters():
                parameter.copy_(weights_by_rule(parameter.shape) * (10 if parameter.dim() == 1 else 1))
            try:
                output = block(images)
            except (RuntimeError, ValueError) as error:
                return [parameters, str(error).splitlines()[0][:80]]
        if not torch.equal(images, before):
            return [parameters, "the input was changed in place"]
        numbers = torch.stack([output.mean(), output.std(), output.min(), output.max()])
        return [parameters, f"output {tuple(output.shape)}", rounded(numbers)]

    return run


def _basic(inputs: int, outputs: int, stride: int) -> nn.Module:
    """Torchvision's block, with a projection where input and output differ in shape."""
    from torchvision.models.resnet import BasicBlock

    projection = None
    if stride != 1 or inputs != outputs:
        projection = nn.Sequential(nn.Conv2d(inputs, outputs, 1, stride, bias=False), nn.BatchNorm2d(outputs))
    return BasicBlock(inputs, outputs, stride, projection)


class _Residual(nn.Module):
    """The block by hand; the options plant a mistake."""

    def __init__(
        self,
        inputs: int,
        outputs: int,
        stride: int,
        *,
        project: str = "where needed",
        bias: bool = False,
        add: str = "before the ReLU",
        strides: int = 1,
        norm: bool = True,
    ) -> None:
        super().__init__()
        self.add = add
        norms = [nn.BatchNorm2d(outputs) if norm else nn.Identity() for _ in range(2)]
        self.branch = nn.Sequential(
            nn.Conv2d(inputs, outputs, 3, stride, padding=1, bias=bias),
            norms[0],
            nn.ReLU(),
            nn.Conv2d(outputs, outputs, 3, stride if strides == 2 else 1, padding=1, bias=bias),
            norms[1],
        )
        differs = stride != 1 or inputs != outputs
        self.shortcut = nn.Identity()
        if project == "always" or (differs and project == "where needed"):
            self.shortcut = nn.Sequential(
                nn.Conv2d(inputs, outputs, 1, stride, bias=False), nn.BatchNorm2d(outputs) if norm else nn.Identity()
            )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        if self.add == "never":
            return F.relu(self.branch(x))
        if self.add == "behind the ReLU":
            return F.relu(self.branch(x)) + self.shortcut(x)
        if self.add == "side by side":
            return F.relu(torch.cat([self.branch(x), self.shortcut(x)], 1))
        y = self.branch(x) + self.shortcut(x)
        return y if self.add == "without a ReLU" else F.relu(y)


def _residual(**options: Any) -> Callable[..., nn.Module]:
    return lambda inputs, outputs, stride: _Residual(inputs, outputs, stride, **options)


def _block_shapes(rng: random.Random) -> list[tuple[int, int, int, int, int]]:
    fixed = [(4, 4, 1, 8, 8), (4, 8, 2, 8, 8), (3, 6, 1, 7, 9), (5, 5, 2, 6, 9)]
    return fixed + [
        (rng.randint(2, 6), rng.randint(2, 6), rng.choice((1, 1, 2)), rng.randint(4, 10), rng.randint(4, 10))
        for _ in range(18)
    ]


Residual = Behaviour(
    "Residual",
    _block(_basic),
    _block_shapes,
    tolerance=3e-3,
    mistakes={
        "this is the plain block: the input is not added.": _residual(add="never"),
        "the input is added behind the last ReLU; add first, then apply it.": _residual(add="behind the ReLU"),
        "the last ReLU is missing: it follows the addition.": _residual(add="without a ReLU"),
        "where channels or stride differ, the shortcut needs a 1×1 convolution of that stride, and a batch norm.": (
            _residual(project="never")
        ),
        "the shortcut is the input itself wherever shapes agree; a projection belongs only where they differ.": (
            _residual(project="always")
        ),
        "the 3×3 convolutions have a bias in front of a batch norm: write bias=False.": _residual(bias=True),
        "only the first convolution has the stride.": _residual(strides=2),
        "the batch norms are missing.": _residual(norm=False),
        "the two ways are to be added, not put side by side.": _residual(add="side by side"),
    },
    behaviour=_block,
)


# Task 5: ask twice, the image and its mirror image


class _Asked(nn.Module):
    """A linear classifier that notes how it is asked, and answers otherwise in training mode."""

    def __init__(self, pixels: int, seed: int) -> None:
        super().__init__()
        source = torch.Generator().manual_seed(seed)
        self.weight = nn.Parameter(torch.randn(pixels, 4, generator=source, dtype=torch.float64))
        self.notes: set[str] = set()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        logits = x.flatten(1) @ self.weight * (0.5 if self.training else 1.0)
        self.notes.add("train mode" if self.training else "eval mode")
        self.notes.add("recorded" if logits.requires_grad else "not recorded")
        return logits


def _asked(answer: Callable[..., Any]) -> Callable[..., list[Any]]:
    def run(number: int, channels: int, height: int, width: int, seed: int) -> list[Any]:
        model = _Asked(channels * height * width, seed)
        source = torch.Generator().manual_seed(seed + 1)
        images = torch.randn(number, channels, height, width, generator=source, dtype=torch.float64)
        before = images.clone()
        result = answer(model, images)
        if not isinstance(result, torch.Tensor):
            return [f"{type(result).__name__}, not a tensor"]
        if not torch.equal(images, before):
            return ["the images were changed in place"]
        return [", ".join(sorted(model.notes)), f"logits {tuple(result.shape)}", rounded(result[:2])]

    return run


def _mean_logits(
    model: nn.Module,
    images: torch.Tensor,
    *,
    axis: int = -1,
    mode: bool = False,
    record: bool = False,
    join: Callable[[torch.Tensor, torch.Tensor], torch.Tensor] = lambda a, b: (a + b) / 2,
) -> torch.Tensor:
    model.train(mode)
    with torch.set_grad_enabled(record):
        return join(model(images), model(images.flip(axis)))


flip_at_test = Behaviour(
    "flip_at_test",
    _asked(_mean_logits),
    lambda rng: [
        (rng.randint(1, 6), rng.randint(1, 3), rng.randint(1, 6), rng.randint(2, 7), rng.randrange(1000))
        for _ in range(24)
    ],
    tolerance=2e-3,
    mistakes={
        "the model answers in training mode: call model.eval() first.": _with(_mean_logits, mode=True),
        "PyTorch keeps a record of both passes; compute inside torch.no_grad().": _with(_mean_logits, record=True),
        "both switches are missing: model.eval() and torch.no_grad().": _with(_mean_logits, mode=True, record=True),
        "the images were turned upside down; the mirror image exchanges left and right, axis −1.": (
            _with(_mean_logits, axis=-2)
        ),
        "the colours were exchanged; the mirror image exchanges left and right, axis −1.": (
            _with(_mean_logits, axis=1)
        ),
        "this is the sum of the logits; return their mean.": _with(_mean_logits, join=lambda a, b: a + b),
        "these are probabilities; average the logits.": (
            _with(_mean_logits, join=lambda a, b: (a.softmax(1) + b.softmax(1)) / 2)
        ),
        "this is the larger of the two logits; return their mean.": _with(_mean_logits, join=torch.maximum),
        "these are the logits of the images alone.": _with(_mean_logits, join=lambda a, b: a),
        "these are the logits of the mirror images alone.": _with(_mean_logits, join=lambda a, b: b),
    },
    behaviour=_asked,
)


# Task 6: is it a difference?

Scores = list[float]


def _verdict(before: Scores, after: Scores) -> tuple[float, float, str]:
    import numpy as np

    gains = np.subtract(after, before)
    mean, spread = float(gains.mean()), float(gains.std(ddof=1))
    return mean, spread, "no difference" if abs(mean) <= spread else "better" if mean > 0 else "worse"


def _judged(spread_of: Callable[[Scores, Scores], float]) -> Callable[[Scores, Scores], tuple[float, float, str]]:
    def wrong(before: Scores, after: Scores) -> tuple[float, float, str]:
        mean, spread = statistics.mean(after) - statistics.mean(before), spread_of(before, after)
        return mean, spread, "no difference" if abs(mean) <= spread else "better" if mean > 0 else "worse"

    return wrong


def _gains(before: Scores, after: Scores) -> Scores:
    return [b - a for a, b in zip(before, after, strict=True)]


def _scores(rng: random.Random) -> list[tuple[Scores, Scores]]:
    cases = [
        ([60.0, 70.0, 80.0], [62.0, 72.5, 81.5]),  # each seed gains: the spread between seeds does not matter
        ([70.0, 70.5, 71.0], [72.0, 67.0, 75.0]),
        ([90.0, 91.0], [88.0, 89.0]),
        ([50.0, 52.0], [50.0, 52.0]),
    ]
    for _ in range(20):
        level, step, number = rng.uniform(30, 90), rng.uniform(-3, 3), rng.randint(2, 6)
        before = [round(level + rng.gauss(0, 2), 1) for _ in range(number)]
        cases.append((before, [round(v + step + rng.gauss(0, 1.2), 1) for v in before]))
    return cases


verdict = Task(
    "verdict",
    _verdict,
    _scores,
    mistakes={
        "the sign is turned round: the gain is after minus before.": lambda before, after: _verdict(after, before),
        "divide by n − 1 (statistics.stdev), not by n.": _judged(lambda a, b: statistics.pstdev(_gains(a, b))),
        "this is the spread of the accuracies; take the gains seed by seed, and their spread.": (
            _judged(lambda a, b: statistics.stdev(b))
        ),
        "this is the spread of the first accuracies; take the gains seed by seed, and their spread.": (
            _judged(lambda a, b: statistics.stdev(a))
        ),
        "this is the standard error of the mean; return the standard deviation of the gains.": (
            _judged(lambda a, b: statistics.stdev(_gains(a, b)) / len(a) ** 0.5)
        ),
        "a loss larger than the spread is 'worse', not 'no difference'.": (
            lambda a, b: (*_verdict(a, b)[:2], "better" if _verdict(a, b)[2] == "better" else "no difference")
        ),
        "a loss is called 'better': look at the sign of the mean.": (
            lambda a, b: (*_verdict(a, b)[:2], _verdict(a, b)[2].replace("worse", "better"))
        ),
        "every gain is called a difference; compare it with the spread.": (
            lambda a, b: (*_verdict(a, b)[:2], "better" if _verdict(a, b)[0] > 0 else "worse")
        ),
    },
)


# Task 7: ten epochs

THRESHOLD = {"small": 0.60, "full": 0.70}


def project_data():
    """Return the pictures of the project: shapes, or at full scale CIFAR-10."""
    return cifar10() if runtime.scale() == "full" else shapes(4000, 1000, 1000)


@dataclass(frozen=True)
class Project(Answer):
    """A trained network with the settings and the history of its training."""

    epochs: int = 10

    def __call__(self, answer: Any) -> Verdict:
        """Check ``answer`` (``...`` means not yet), print what came out, and return whether it passed."""
        if answer is ...:
            return not_yet(self.name, "write settings, and train your network with them.")
        problem = self.problem(answer)
        if problem:
            return fail(self.name, problem)
        model, settings, _ = answer
        data = project_data().validation
        accuracy, wanted = evaluate(model, data).accuracy, THRESHOLD[runtime.scale()]
        if accuracy < wanted:
            return fail(
                self.name,
                f"{100 * accuracy:.1f} % of {len(data):,} validation pictures are right, expected at least "
                f"{100 * wanted:.0f} %.",
                f"Hint: {self.advice(answer)}",
            )
        print(f"✓ {self.name}: ≈ {100 * accuracy:.1f} % after {settings['epochs']} epochs.")
        return Verdict(True)

    def problem(self, answer: Any) -> str:
        """Return in one sentence what is missing, or nothing."""
        if not isinstance(answer, (tuple, list)) or len(answer) != 3:
            return "give three things: the trained model, its settings, and the history that fit returned."
        model, settings, history = answer
        if not isinstance(model, nn.Module) or not isinstance(settings, dict) or not isinstance(history, History):
            kinds = ", ".join(type(part).__name__ for part in answer)
            return f"the three are {kinds}, but they must be an nn.Module, a dict and a History."
        epochs = settings.get("epochs")
        if not isinstance(epochs, int) or max(epochs, history.epochs) > self.epochs:
            return f"{max(epochs or 0, history.epochs)} epochs, but at most {self.epochs} are allowed."
        if not history.epochs:
            return "the history has no epoch: train the network."
        few = project_data().train.take(slice(0, 64))
        try:
            trace, _ = _traced(copy.deepcopy(model).cpu().train(), few.inputs())
        except (RuntimeError, ValueError) as error:
            return f"the network cannot read the pictures: {str(error).splitlines()[0]}"
        if trace.blocks < 2:
            return f"{trace}: the network needs two blocks of convolution, batch norm, activation."
        steps = settings.get("augment") or []
        if not steps:
            return "there is no augmentation: give settings['augment'], such as [Flip()]."
        if not _keeps(steps, few):
            return "the augmentation leaves every picture as it is, or spoils the labels."
        if not callable(settings.get("schedule")):
            return "there is no schedule: give settings['schedule'], such as OneCycle()."
        if history.step_rate[-1] > 0.25 * max(history.step_rate):
            return (
                f"the learning rate ends at {history.step_rate[-1]:.2g} of at most {max(history.step_rate):.2g}: "
                "a schedule should bring it down."
            )
        return ""

    def advice(self, answer: Any) -> str:
        """Return what to look at first when the accuracy is too low."""
        model, _, history = answer
        if history.epochs < self.epochs:
            return f"only {history.epochs} of {self.epochs} epochs were used."
        if history.loss[-1] > 1.2:
            return "the training loss is still high: try a higher learning rate, more channels or weaker augmentation."
        if sum(p.numel() for p in model.parameters()) < 10_000:
            return "the network is very small: give it more channels."
        return "the training loss is low: try one more block, or augmentation that keeps more of the labels true."


def _keeps(steps: Any, few: Images) -> bool:
    """Whether an augmentation changes pictures and returns labels, whole or as shares."""
    pictures = few.images.float() / 255
    made, labels = apply(steps, pictures.clone(), few.labels.clone(), torch.Generator().manual_seed(0))
    if torch.equal(made, pictures) or len(labels) != len(few):
        return False
    return labels.is_floating_point() or torch.equal(labels, few.labels)


ten_epochs = Project("ten_epochs", lambda: None)
