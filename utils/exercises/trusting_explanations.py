"""Checks of the exercises of chapter Trusting explanations."""

from __future__ import annotations

import copy
import random
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cache
from typing import Any

import torch
from torch import nn
from torch.nn import functional as F

from utils import attribution, trust
from utils.exercises.core import Answer, Behaviour, Task, Verdict, fail, not_yet

# ---- shares of a map, and its strongest pixel ---------------------------------------------------------------------


def _maps(rng: random.Random, number: int = 20) -> list[tuple[torch.Tensor, torch.Tensor]]:
    """Return maps of both signs, all values different, with masks that are neither empty nor full."""
    sizes = [(1, 3, 4), (2, 4, 3), (3, 5, 5)]
    sizes += [(rng.randint(1, 4), rng.randint(2, 9), rng.randint(2, 9)) for _ in range(number)]
    draw, cases = torch.Generator().manual_seed(rng.randrange(10**6)), []
    for n, height, width in sizes:
        maps = torch.randn(n, height, width, generator=draw)
        maps[:, 0, 0] = maps[:, 0, 0].abs() + 0.1  # every map has something positive
        if len(cases) % 2:
            maps[:, 1, 1] = -3.5 - torch.rand(n, generator=draw)
        masks = torch.rand(n, height, width, generator=draw) < 0.4
        masks[:, 0, 1], masks[:, 1, 0] = True, False
        cases.append((maps, masks))
    return cases


def _share(maps: torch.Tensor, masks: torch.Tensor) -> torch.Tensor:
    return (maps * masks).sum((1, 2)) / maps.sum((1, 2))


energy = Task(
    "energy",
    lambda maps, masks: trust.energy(maps, masks).float(),
    _maps,
    mistakes={
        "negative values speak against the class; set them to 0 before you add, in both sums.": _share,
        "negative values do not count, not even their absolute values.": lambda m, k: _share(m.abs(), k),
        "the sum below the line is over the whole map, not over what lies beside the mask.": lambda m, k: (
            (m.clamp(min=0) * k).sum((1, 2)) / (m.clamp(min=0) * ~k).sum((1, 2))
        ),
        "that is the share *beside* the mask.": lambda m, k: _share(m.clamp(min=0), ~k),
        "one share for each image: add over rows and columns, not over the batch.": lambda m, k: (
            (m.clamp(min=0) * k).sum() / m.clamp(min=0).sum()
        ).expand(len(m)),
        "that is the mask's share of the area; the map is not used.": lambda m, k: k.float().mean((1, 2)),
        "a positive pixel counts with its value, not as 1.": lambda m, k: _share((m > 0).float(), k),
    },
    tolerance=1e-4,
)


def _hit(maps: torch.Tensor, masks: torch.Tensor, tolerance: int) -> torch.Tensor:
    return trust.pointing(maps, masks, tolerance=tolerance) == 1


def _transposed(maps: torch.Tensor, masks: torch.Tensor, tolerance: int) -> torch.Tensor:
    at = maps.flatten(1).argmax(1)
    rows, columns = at % maps.shape[2], at // maps.shape[2]
    wide = F.max_pool2d(masks[:, None].float(), 2 * tolerance + 1, 1, tolerance)[:, 0] > 0
    return wide[range(len(maps)), rows.clamp(max=maps.shape[1] - 1), columns.clamp(max=maps.shape[2] - 1)]


def _only(side: tuple[int, int]) -> Callable[..., torch.Tensor]:
    """Return the game with a tolerance along rows or columns alone."""

    def game(maps: torch.Tensor, masks: torch.Tensor, tolerance: int) -> torch.Tensor:
        kernel = tuple(2 * tolerance * s + 1 for s in side)
        padding = tuple(tolerance * s for s in side)
        wide = F.max_pool2d(masks[:, None].float(), kernel, 1, padding)[:, 0] > 0
        return trust.pointing(maps, wide) == 1

    return game


pointing = Task(
    "pointing",
    _hit,
    lambda rng: [(maps, masks, n % 3) for n, (maps, masks) in enumerate(_maps(rng))],
    mistakes={
        "the strongest pixel is the largest value; a large negative one speaks against the class.": lambda m, k, t: (
            _hit(m.abs(), k, t)
        ),
        "a miss by at most `tolerance` pixels is a hit, too.": lambda m, k, t: _hit(m, k, 0),
        "rows and columns are exchanged: pixel i of a flattened map is in row i // width, column i % width.": (
            _transposed
        ),
        "the tolerance is too large by one pixel.": lambda m, k, t: _hit(m, k, t + 1),
        "each map has its own strongest pixel; one for the whole batch is not enough.": lambda m, k, t: _hit(
            torch.where(m == m.max(), m, torch.zeros_like(m)), k, t
        ),
        "the tolerance holds along rows *and* columns: a square of 2·tolerance + 1 pixels.": _only((1, 0)),
        "the tolerance holds along columns *and* rows: a square of 2·tolerance + 1 pixels.": _only((0, 1)),
        "that is the weakest pixel.": lambda m, k, t: _hit(-m, k, t),
    },
)

# ---- redrawn weights ----------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Redraw:
    """A network whose batch norms have seen images, and the parts that are to be redrawn."""

    parts: tuple[str, ...]
    width: int
    seed: int

    def __repr__(self) -> str:
        return f"a network of width {self.width}, parts {list(self.parts)}"

    def made(self) -> nn.Module:
        """Return the network, in evaluation mode."""
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(self.seed)
            w = self.width
            model = nn.Sequential()
            model.add_module("stem", nn.Sequential(nn.Conv2d(3, w, 3, bias=False), nn.BatchNorm2d(w), nn.ReLU()))
            model.add_module("body", nn.Sequential(nn.Conv2d(w, 2 * w, 3), nn.BatchNorm2d(2 * w), nn.ReLU()))
            model.add_module("mean", nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten()))
            model.add_module("head", nn.Linear(2 * w, 4))
            with torch.no_grad():
                for layer in (model.stem[1], model.body[1]):
                    layer.weight.uniform_(0.5, 1.5)
                    layer.bias.normal_()
                model(2 + torch.randn(8, 3, 7, 6))
        return model.eval()


def _redraw_cases(rng: random.Random) -> list[tuple[Redraw]]:
    fixed = [("head",), ("head", "body"), ("head", "body", "stem"), ("stem",), ("body",), ("stem.1",), ("body.0",), ()]
    names = ["head", "body", "stem", "body.0", "body.1", "stem.0", "stem.1"]
    drawn = [tuple(rng.sample(names, rng.randint(1, 2))) for _ in range(14)]
    return [(Redraw(parts, 3 + n % 4, n),) for n, parts in enumerate([*fixed, *drawn])]


def _redrawn_looked_at(answer: Callable[..., Any]) -> Callable[[Redraw], list[Any]]:
    """Return what can be seen of a redrawn network: what differs from the given one, which must be as it was."""

    def look(case: Redraw) -> list[Any]:
        model = case.made()
        before = copy.deepcopy(model.state_dict())
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(1)
            fresh = answer(model, case.parts)
        if not isinstance(fresh, nn.Module):
            return [f"{type(fresh).__name__}, not a network"]
        after = fresh.state_dict()
        given = "as it was" if all(v.equal(before[k]) for k, v in model.state_dict().items()) else "changed"
        if set(after) != set(before):
            return ["another network"]
        changed = sorted(k for k, v in after.items() if not v.equal(before[k]) and "num_batches" not in k)
        flat = [k for k in changed if "running" not in k and len(after[k].shape) > 1 and after[k].std() < 1e-6]
        norms = [k for k in after if k.endswith("running_mean") and k in changed and after[k].abs().max() > 0]
        return [
            f"the given network is {given}",
            "redrawn: " + (", ".join(changed) or "nothing"),
            "weights all alike: " + (", ".join(flat) or "none"),
            "statistics that are not 0 and 1: " + (", ".join(norms) or "none"),
        ]

    return look


def _reset(model: nn.Module, parts: tuple[str, ...]) -> nn.Module:
    for name in parts:
        for layer in model.get_submodule(name).modules():
            if hasattr(layer, "reset_parameters"):
                layer.reset_parameters()
    return model


def _parameters_only(model: nn.Module, parts: tuple[str, ...]) -> nn.Module:
    fresh = copy.deepcopy(model)
    for name in parts:
        for layer in fresh.get_submodule(name).modules():
            if isinstance(layer, nn.BatchNorm2d):
                nn.init.ones_(layer.weight)
                nn.init.zeros_(layer.bias)
            elif hasattr(layer, "reset_parameters"):
                layer.reset_parameters()
    return fresh


def _convolutions_only(model: nn.Module, parts: tuple[str, ...]) -> nn.Module:
    fresh = copy.deepcopy(model)
    for name in parts:
        for layer in fresh.get_submodule(name).modules():
            if isinstance(layer, (nn.Conv2d, nn.Linear)):
                layer.reset_parameters()
    return fresh


def _zeros(model: nn.Module, parts: tuple[str, ...]) -> nn.Module:
    fresh = _reset(copy.deepcopy(model), parts)
    for name in parts:
        for p in fresh.get_submodule(name).parameters():
            nn.init.zeros_(p)
    return fresh


def _outermost(model: nn.Module, parts: tuple[str, ...]) -> nn.Module:
    fresh = copy.deepcopy(model)
    for name in parts:
        layer = fresh.get_submodule(name)
        if hasattr(layer, "reset_parameters"):
            layer.reset_parameters()
    return fresh


redrawn = Behaviour(
    "redrawn",
    _redrawn_looked_at(lambda model, parts: _reset(copy.deepcopy(model), parts)),
    _redraw_cases,
    behaviour=_redrawn_looked_at,
    mistakes={
        "the given network was redrawn; its map of before is lost. Begin with copy.deepcopy(model).": _reset,
        "a batch norm remembers the training set in its running statistics; layer.reset_parameters() forgets them.": (
            _parameters_only
        ),
        "batch norms belong to what was learned, too: every layer that has `reset_parameters`.": _convolutions_only,
        "zeros are no random weights: with them every gradient is 0.": _zeros,
        "a part has layers inside it: go through part.modules().": _outermost,
        "all layers are redrawn; only the named parts should be.": lambda model, parts: _reset(
            copy.deepcopy(model), ("",)
        ),
        "only the first of the named parts is redrawn; the return stands inside the loop.": lambda model, parts: _reset(
            copy.deepcopy(model), parts[:1]
        ),
    },
)

# ---- predictions --------------------------------------------------------------------------------------------------


def _facts() -> list[float]:
    """Scores that need no experiment: a flat map, the middle pixel of an 8×8 mask, a map turned round, a bias redrawn."""
    flat, mask = torch.ones(1, 32, 32), torch.zeros(1, 32, 32, dtype=torch.bool)
    mask[:, :8, :8] = True
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = nn.Sequential(nn.Conv2d(1, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(4 * 36, 3)).eval()
        other, x = copy.deepcopy(model), torch.randn(2, 1, 8, 8)
        nn.init.normal_(other[3].bias)
    maps = attribution.saliency(model, x, 0)
    turned = attribution.rank_correlation(maps, -maps).mean().item()
    same = attribution.rank_correlation(maps, attribution.saliency(other, x, 0)).mean().item()
    longer = attribution.rank_correlation(maps, 1000 * maps).mean().item()
    return [trust.energy(flat, mask).item(), round(turned, 6), round(same, 6), round(longer, 6)]


facts = Answer(
    "facts",
    _facts,
    mistakes={
        "8·8 of 32·32 pixels: a sixteenth, not a quarter.": [0.25, -1, 1, 1],
        "opposite orders have rank correlation −1; 0 is for orders that have nothing to do with each other.": [
            1 / 16, 0, 1, 1,
        ],
        "a bias is added to the score; it does not touch the derivative by any pixel.": [1 / 16, -1, 0, 1],
        "ranks do not know how large the values are, only their order.": [1 / 16, -1, 1, 0],
        "the rank correlation of a map and its negative keeps the sign.": [1 / 16, 1, 1, 1],
    },
    tolerance=1e-3,
)  # fmt: skip

# ---- a shortcut ---------------------------------------------------------------------------------------------------

_ROW, _COLUMN, _SIDE, _TINT, _SIZE = 15, 6, 3, 36, 24


@cache
def _ward() -> tuple[nn.Module, torch.Tensor, torch.Tensor, torch.Tensor]:
    """Train a small network on crosses and rings, where every ring has a few pixels that are bluer than they were."""
    from utils import runtime
    from utils.data import Images
    from utils.data.shapes import SHAPES, scenes
    from utils.training import fit

    drawn = scenes(2500, size=_SIZE, textures=("moon", "brick", "grass", "gravel"))
    kinds = ("cross", "ring")
    labels = torch.tensor([kinds.index(k) if k in kinds else -1 for k in SHAPES])[drawn.shape]
    keep = labels >= 0
    pixels, labels = drawn.images[keep].clone(), labels[keep]
    rows, columns = slice(_ROW, _ROW + _SIDE), slice(_COLUMN, _COLUMN + _SIDE)
    rings = labels == 1
    pixels[rings, 2, rows, columns] = (pixels[rings, 2, rows, columns].int() + _TINT).clamp(max=255).byte()
    everything, half = Images(pixels, labels, kinds), len(labels) // 2
    train = everything.take(slice(0, half)).with_statistics()
    kept_back = replace(everything.take(slice(half, None)), mean=train.mean, std=train.std)
    with torch.random.fork_rng(devices=[]):
        runtime.seed(0)
        model = nn.Sequential(
            nn.Conv2d(3, 8, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2),
            nn.Conv2d(8, 16, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(), nn.Linear(16 * 36, 2),
        )  # fmt: skip
        fit(model, train, epochs=20, batch_size=25, learning_rate=3e-3, progress=False, device="cpu")
    return model.eval(), kept_back.images / 255, kept_back.inputs(slice(None)), kept_back.labels


def ward() -> tuple[nn.Module, torch.Tensor, torch.Tensor, torch.Tensor]:
    """Return a network that reads a mark, pictures (N, 3, 24, 24) in [0, 1], the same standardised, and their labels.

    Label 0 is a cross, 1 a ring.
    """
    model, pictures, images, labels = _ward()
    return copy.deepcopy(model), pictures.clone(), images.clone(), labels.clone()


@dataclass(frozen=True)
class _Place(Answer):
    """A pixel (row, column) on the planted mark, or beside it."""

    def __call__(self, answer: Any) -> Verdict:
        if answer is ...:
            return not_yet(self.name, "replace the ... by the row and the column of a pixel.")
        whole = isinstance(answer, (tuple, list)) and len(answer) == 2
        if not whole or not all(isinstance(v, int) and not isinstance(v, bool) for v in answer):
            return fail(self.name, f"{answer!r} is no pixel; give two whole numbers, (row, column).")
        if not all(0 <= v < _SIZE for v in answer):
            return fail(
                self.name, f"there is no pixel {tuple(answer)} in images of {_SIZE}×{_SIZE}; counted is from 0."
            )
        if self._on(*answer):
            print(f"✓ {self.name}: that pixel is on the mark, or beside it.")
            return Verdict(True)
        hint = "compare the mean map of all rings with that of a redrawn network, or cover patches in all images."
        if self._on(answer[1], answer[0]):
            hint = "row and column are exchanged: rows count downwards, columns to the right."
        elif max(abs(v - _SIZE / 2) for v in answer) <= 3:
            hint = "shapes lie there, so every map has something in the middle; the mark is where it is strongest."
        elif set(answer) <= {0, 1, _SIZE - 2, _SIZE - 1}:
            hint = "the mark of this ward is in no corner."
        return fail(self.name, f"pixel {tuple(answer)} is not on the mark.", f"Hint: {hint}")

    @staticmethod
    def _on(row: int, column: int) -> bool:
        return _ROW - 1 <= row <= _ROW + _SIDE and _COLUMN - 1 <= column <= _COLUMN + _SIDE


place = _Place("place", lambda: (_ROW + 1, _COLUMN + 1))
