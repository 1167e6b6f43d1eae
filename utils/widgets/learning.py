"""Watch it learn: a small network is trained once for each learning rate, and its recorded steps are shown.

Training needs Python, so `record` does it when the notebook is executed; the page only chooses among the
recorded moments.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch
import traitlets
from torch import Tensor, nn
from torch.nn import functional as F

from utils.data import Images, Splits
from utils.training import errors
from utils.widgets import source
from utils.widgets.base import Explorer

__all__ = ["BUDGET", "LearningExplorer", "Recording", "record"]

BUDGET = 250_000  # bytes of one explorer as a notebook stores it, its module included
FILTERS = 8  # filters of the first convolution that are kept
CLASSES = 10  # most classes, and most images shown: what fits on a phone
RATES = (0.01, 0.03, 0.1, 0.3, 1.0)
# A probability is stored in 2 bytes: a whole number of parts of 1 / PARTS; one more means "not a number".
PARTS = 65_534
NAMES = {nn.Conv2d: "conv", nn.Linear: "dense", nn.BatchNorm2d: "norm"}


@dataclass(frozen=True, eq=False, repr=False)
class Recording:
    """What `record` measured, for each of R learning rates at T moments.

    A moment is a number of steps done. All its values belong to the weights of that moment; the training
    loss and the gradient are those of the batch that comes next.

    Attributes
    ----------
    rates : tuple of float, length R
        Ascending.
    steps : tuple of int, length T
        The recorded moments; the first is 0, before training, and the last the end.
    layers : tuple of str, length L
        Names of the layers that have parameters.
    training_loss, validation_loss, validation_accuracy : float32 tensor (R, T)
        Accuracy is a share in [0, 1]; an image whose logits are not numbers counts as not read.
    gradient_norm : float32 tensor (R, T, L)
        Root of the sum of squares of the gradient of all parameters of a layer.
    filters : float32 tensor (R, T, F, k, k)
        The first F ≤ 8 filters of the first convolution.
    moved : float32 tensor (R, T)
        Length of the change of these filters since step 0, in units of their length at step 0.
    probabilities : float32 tensor (R, T, D, K)
        Softmax of the logits of D validation images.
    diverged : tuple of (int or None), length R
        The first of all steps, recorded or not, whose training loss was infinite or not a number.
    images : uint8 tensor (D, H, W)
    labels : tuple of int, length D
    classes : tuple of str, length K
    filter_layer : str
        Name of the first convolution.
    filter_count : int
        Filters that it has in all.
    """

    rates: tuple[float, ...]
    steps: tuple[int, ...]
    layers: tuple[str, ...]
    training_loss: Tensor
    validation_loss: Tensor
    validation_accuracy: Tensor
    gradient_norm: Tensor
    filters: Tensor
    moved: Tensor
    probabilities: Tensor
    diverged: tuple[int | None, ...]
    images: Tensor
    labels: tuple[int, ...]
    classes: tuple[str, ...]
    filter_layer: str
    filter_count: int

    def __repr__(self) -> str:
        return f"<Recording: {len(self.rates)} learning rates, {len(self.steps)} moments of {self.steps[-1]} steps>"


def record(
    build: Callable[[], nn.Module],
    data: Splits,
    rates: Sequence[float] = RATES,
    steps: int = 200,
    *,
    moments: int = 44,
    batch_size: int = 64,
    show: Sequence[int] | None = None,
    optimizer: Callable[..., torch.optim.Optimizer] = torch.optim.SGD,
    seed: int = 0,
) -> Recording:
    """Train a small network once for each learning rate, and keep what it was at some of the steps.

    All runs begin with the same weights and see the same batches. They run on the CPU, where the network is
    fast enough and the result does not depend on a GPU, and leave PyTorch's random numbers as they were.

    Parameters
    ----------
    build : callable() -> nn.Module
        Makes the network, with a convolution of grey images in it. Called once for each rate, after seeding.
    data : Splits
        Grey images of at most 10 classes, such as ``digits()``; trained on ``train``, measured on ``validation``.
    rates : sequence of float
        Learning rates, above 0 and different.
    steps : int
        Gradient steps of each run.
    moments : int
        How many moments to keep, the start and the end included: close together at first, then ever further
        apart, evenly in log(1 + step).
    batch_size : int
    show : sequence of int, optional
        Places of at most 10 validation images whose probabilities are kept; the first of each class when left out.
    optimizer : callable(parameters, lr=rate) -> torch.optim.Optimizer
    seed : int
        Of the weights and of the shuffling.

    Raises
    ------
    ValueError
        When an argument is none of these, or the network does not fit the images.
    """
    if isinstance(build, nn.Module):
        raise ValueError("build is a network, but it must be a function that makes a new one for each rate.")
    if not callable(build) or not callable(optimizer):
        name, value = ("optimizer", optimizer) if callable(build) else ("build", build)
        raise ValueError(f"{name} is {value!r}, but it must be a function that makes one; give it without brackets.")
    if not isinstance(data, Splits):
        raise ValueError(
            f"data is of the type {type(data).__name__}, but it must be Splits, with training and validation images, "
            "such as digits() returns."
        )
    rates = _rates(rates)
    for name, value, low in (("steps", steps, 1), ("moments", moments, 2), ("batch_size", batch_size, 1)):
        errors.whole(name, value, low)
    errors.whole("seed", seed, 0)
    data = data.to("cpu")
    for name, images in (("training", data.train), ("validation", data.validation)):
        channels, height, width = images.images.shape[1:]
        if channels != 1 or height != width or not 2 <= len(images.classes) <= CLASSES:
            raise ValueError(
                f"the {name} images have the shape {(channels, height, width)} and {len(images.classes)} classes, but "
                f"record takes square grey images, (1, H, H), of 2 to {CLASSES} classes."
            )
    places = _places(show, data.validation)
    kept = _moments(steps, moments)
    runs = []
    for rate in rates:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            runs.append(_run(_model(build, data), data, rate, kept, batch_size, places, optimizer, seed))
    first = runs[0]
    shown = data.validation.take(places)
    return Recording(
        rates=rates,
        steps=kept,
        layers=first["layers"],
        **{
            name: torch.stack([run[name] for run in runs])
            for name in (
                "training_loss", "validation_loss", "validation_accuracy",
                "gradient_norm", "filters", "moved", "probabilities",
            )
        },
        diverged=tuple(run["diverged"] for run in runs),
        images=shown.images[:, 0].clone(),
        labels=tuple(shown.labels.tolist()),
        classes=tuple(data.validation.classes),
        filter_layer=first["filter_layer"],
        filter_count=first["filter_count"],
    )  # fmt: skip


def _run(
    model: nn.Module,
    data: Splits,
    rate: float,
    kept: tuple[int, ...],
    batch_size: int,
    places: Tensor,
    make: Callable[..., torch.optim.Optimizer],
    seed: int,
) -> dict[str, Any]:
    """Train one network; return its part of the recording."""
    optimizer = make(model.parameters(), lr=rate)
    layers = _layers(model)
    weight = _first_convolution(model).weight
    start = weight.detach()[:FILTERS].clone()
    inputs, labels = data.validation.inputs(), data.validation.labels
    found: dict[str, list] = {}
    diverged = None
    for step, (batch, truth) in enumerate(_forever(data.train, batch_size, seed)):
        model.train()
        loss = F.cross_entropy(model(batch), truth)
        optimizer.zero_grad()
        loss.backward()
        if diverged is None and not loss.isfinite():
            diverged = step
        if step in kept:
            model.eval()
            with torch.no_grad():
                logits = model(inputs)
            filters = weight.detach()[:FILTERS].clone()
            read = (logits.argmax(1) == labels) & ~logits.isnan().any(1)  # NaN is no answer
            moment = {
                "training_loss": loss.detach(),
                "validation_loss": F.cross_entropy(logits, labels),
                "validation_accuracy": read.float().mean(),
                "gradient_norm": torch.stack([_norm([p.grad for p in own]) for own in layers.values()]),
                "filters": filters[:, 0],
                "moved": (filters - start).norm() / start.norm(),
                "probabilities": logits[places].softmax(1),
            }
            for name, value in moment.items():
                found.setdefault(name, []).append(value)
        if step == kept[-1]:
            break
        optimizer.step()
    return {
        **{name: torch.stack(values) for name, values in found.items()},
        "layers": tuple(layers),
        "diverged": diverged,
        "filter_layer": next(name for name, own in layers.items() if any(p is weight for p in own)),
        "filter_count": len(weight),
    }


def _forever(images: Images, size: int, seed: int) -> Iterator[tuple[Tensor, Tensor]]:
    """Yield batches, epoch after epoch, each in a new order."""
    shuffle = torch.Generator().manual_seed(seed)
    while True:
        yield from images.batches(size, generator=shuffle)


def _norm(gradients: list[Tensor | None]) -> Tensor:
    return torch.cat([torch.zeros(1), *(g.flatten() for g in gradients if g is not None)]).norm()


def _moments(steps: int, count: int) -> tuple[int, ...]:
    """Return ``count`` whole numbers from 0 to ``steps``, evenly in log(1 + step) as far as whole numbers allow."""
    count = min(count, steps + 1)
    asked = count
    while True:  # small numbers fall together, so ask for more until enough are different
        spread = (math.expm1(math.log1p(steps) * i / (asked - 1)) for i in range(asked))
        different = sorted({round(step) for step in spread})
        if len(different) >= count:
            break
        asked += 1
    # One more than wanted can come up at once: leave out late ones, where they lie far apart anyway.
    while len(different) > count:
        del different[-2]
    return tuple(different)


def _rates(rates: Any) -> tuple[float, ...]:
    """Return the learning rates in ascending order, or raise a ValueError that names the fault."""
    if isinstance(rates, Tensor) or hasattr(rates, "tolist"):
        rates = rates.tolist()
    if not isinstance(rates, (list, tuple)) or not rates:
        raise ValueError(f"rates are {rates!r}, but they must be a list of at least one learning rate, such as [0.1].")
    for rate in rates:
        number = isinstance(rate, (int, float)) and not isinstance(rate, bool)
        if not number or not (math.isfinite(rate) and rate > 0):
            raise ValueError(f"one of the rates is {rate!r}, but a learning rate must be a finite number above 0.")
    if len(set(rates)) < len(rates):
        raise ValueError(f"the rates {list(rates)} hold one twice; give each once.")
    return tuple(sorted(map(float, rates)))


def _places(show: Any, images: Images) -> Tensor:
    """Return places of images to show, or raise a ValueError that says what they must be."""
    count = len(images)
    if show is None:
        return torch.tensor([int((images.labels == label).nonzero()[0]) for label in images.labels.unique()])
    places = show.tolist() if hasattr(show, "tolist") else show
    whole = isinstance(places, (list, tuple, range)) and all(type(place) is int for place in places)
    if not whole or not 1 <= len(places) <= CLASSES or not all(0 <= place < count for place in places):
        raise ValueError(
            f"show is {show!r}, but it must hold 1 to {CLASSES} places of validation images, each from 0 to {count - 1}."
        )
    return torch.tensor(list(places))


def _model(build: Callable[[], nn.Module], data: Splits) -> nn.Module:
    """Build the network, and raise a ValueError where it cannot be recorded."""
    model = build()
    if not isinstance(model, nn.Module):
        raise ValueError(f"build returned {model!r}, but it must return a network, an nn.Module.")
    convolution = _first_convolution(model)
    if convolution is None or convolution.kernel_size[0] != convolution.kernel_size[1]:
        has = (
            "no nn.Conv2d" if convolution is None else f"kernels of {convolution.kernel_size} in its first convolution"
        )
        raise ValueError(f"{type(model).__name__} has {has}, but square filters are what is shown.")
    for name, images in (("training", data.train), ("validation", data.validation)):
        errors.check(model, images, name)
    logits = model(data.validation.inputs(slice(0, 1))).shape[1]
    if logits != len(data.validation.classes):
        raise ValueError(f"the network gives {logits} logits, but there are {len(data.validation.classes)} classes.")
    return model.cpu()


def _first_convolution(model: nn.Module) -> nn.Conv2d | None:
    return next((module for module in model.modules() if isinstance(module, nn.Conv2d)), None)


def _layers(model: nn.Module) -> dict[str, list[nn.Parameter]]:
    """Return the parameters of each layer by a name to read: its own, or "conv", "dense" in a Sequential."""
    owners = [(name, module) for name, module in model.named_modules() if list(module.parameters(recurse=False))]
    names = []
    for name, module in owners:
        own = name.rpartition(".")[2]
        names.append(NAMES.get(type(module), type(module).__name__) if own.isdigit() or not own else own)
    numbered = [
        f"{name} {names[: i + 1].count(name)}" if names.count(name) > 1 else name for i, name in enumerate(names)
    ]
    return {name: list(module.parameters(recurse=False)) for name, (_, module) in zip(numbered, owners, strict=True)}


class LearningExplorer(Explorer):
    """Step through a recorded training: loss, filters, gradients and answers move together.

    Parameters
    ----------
    recording : Recording
        What `record` returned.
    step : int, default 0
        The recorded moment shown first. The attribute of this name holds the current one.
    rate : float, optional
        The learning rate shown first, the middle one when left out. The attribute holds the current one.

    Raises
    ------
    ValueError
        For something that is no recording, a step or rate that was not recorded, or a recording of more
        than 250,000 bytes.

    Notes
    -----
    Losses, accuracies and norms are stored in single precision, as measured. A filter is stored in one byte a
    weight: its largest weight is ±127, so a weight is off by at most 0.4 % of that. Probabilities are off by less
    than 0.00001.

    Examples
    --------
    >>> LearningExplorer(record(build, digits(), rates=[0.03, 0.3], steps=100), rate=0.3)
    <LearningExplorer: an interactive figure>
    """

    _esm = source("base.js", "learning.js")
    _css = source("base.css", "learning.css")

    # Not ``Any``, which takes None without asking the validator.
    step = traitlets.TraitType(None).tag(sync=True)
    rate = traitlets.TraitType(None).tag(sync=True)
    _about = traitlets.Dict().tag(sync=True)
    # float32 (R, T, 4 + L): training loss, validation loss, accuracy, how far the filters moved, gradient norms.
    _numbers = traitlets.Bytes().tag(sync=True)
    _filters = traitlets.Bytes().tag(sync=True)  # int8 (R, T, F, k, k)
    _scales = traitlets.Bytes().tag(sync=True)  # float32 (R, T, F): the weight that 1 stands for, NaN for no number
    _probabilities = traitlets.Bytes().tag(sync=True)  # uint16 (R, T, D, K)
    _images = traitlets.Bytes().tag(sync=True)
    # What the reset button goes back to.
    _start = traitlets.Dict().tag(sync=True)

    def __init__(self, recording: Recording, *, step: int = 0, rate: float | None = None) -> None:
        if not isinstance(recording, Recording):
            raise ValueError(
                f"recording is of the type {type(recording).__name__}, but it must be what record() returns."
            )
        packed = _packed(recording)
        size = sum(len(value) * 4 // 3 for value in packed.values()) + len(self._esm) + len(self._css)
        if size > BUDGET:
            raise ValueError(
                f"the explorer would take {size:,} bytes of the notebook, more than {BUDGET:,}; "
                "record fewer rates, moments or images, or smaller filters."
            )
        self._recording = recording
        state = {
            "step": _one_of("step", step, recording.steps),
            "rate": _one_of(
                "rate", recording.rates[len(recording.rates) // 2] if rate is None else rate, recording.rates
            ),
        }
        about = {
            "steps": list(recording.steps),
            "rates": list(recording.rates),
            "layers": list(recording.layers),
            "labels": list(recording.labels),
            "classes": list(recording.classes),
            "diverged": list(recording.diverged),
            "conv": recording.filter_layer,
            "filters": recording.filter_count,
        }
        super().__init__(**state, _start=state, _about=about, **packed)

    @traitlets.validate("step")
    def _validate_step(self, proposal) -> int:
        return _one_of("step", proposal["value"], self._recording.steps)

    @traitlets.validate("rate")
    def _validate_rate(self, proposal) -> float:
        return _one_of("rate", proposal["value"], self._recording.rates)


def _one_of(name: str, value: Any, known: tuple) -> Any:
    """Return the known value that equals ``value``, or raise a ValueError that lists what there is."""
    if not isinstance(value, (bool, str)) and value is not None:
        try:
            return next(one for one in known if one == value)
        except (StopIteration, RuntimeError):
            pass
    raise ValueError(f"{name} is {value!r}, and must be one that was recorded: {', '.join(f'{v:g}' for v in known)}.")


def _packed(recording: Recording) -> dict[str, bytes]:
    """Return the arrays as the page reads them, little-endian."""
    single = [recording.training_loss, recording.validation_loss, recording.validation_accuracy, recording.moved]
    numbers = torch.cat([torch.stack(single, 2), recording.gradient_norm], 2)
    filters = recording.filters
    scales = filters.abs().amax((3, 4)) / 127  # NaN where one weight is
    scales = torch.where(scales.isfinite(), scales, torch.nan)
    divisor = torch.where(scales > 0, scales, 1.0)[..., None, None]
    whole = (filters.nan_to_num(0, 0, 0) / divisor).round().clamp(-127, 127)
    whole = torch.where(scales.isnan()[..., None, None], 0, whole)
    parts = (recording.probabilities.double() * PARTS).round().nan_to_num(PARTS + 1)
    return {
        "_numbers": numbers.numpy().astype("<f4").tobytes(),
        "_filters": whole.to(torch.int8).numpy().tobytes(),
        "_scales": scales.numpy().astype("<f4").tobytes(),
        "_probabilities": parts.numpy().astype("<u2").tobytes(),
        "_images": recording.images.numpy().tobytes(),
    }
