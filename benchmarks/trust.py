"""Which attribution methods can be trusted: ``python -m benchmarks.trust``.

Three trials of the methods of ``utils.attribution``, and of two maps that know little or nothing of the network: guided
backpropagation, and Sobel's edges.

- *Sanity check.* The weights are redrawn part by part, from the last to the first; how alike are the maps of before and
  after? EfficientNet-Lite0 on photographs, three draws, and three small networks on test images of shapes.
- *Pointing game.* Does the strongest pixel lie on the true mask, for test images that are answered rightly? Three small
  networks; beside each one the same network with all weights redrawn.
- *A planted shortcut.* A white square in a corner of most rings in the training set, and of no other shape. Does the
  map show it? Three networks trained with the square, and three that never saw it, on the same marked images.

Writes ``benchmarks/results/trust_pointing.json``, ``trust_shortcut.json`` and ``trust_sanity.json``; about ten
minutes of one core.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterable
from dataclasses import replace
from statistics import mean, stdev
from typing import Any

import torch
from skimage.metrics import structural_similarity
from torch import nn
from torchvision.transforms.v2.functional import center_crop

from utils import attribution, results, runtime, trust
from utils.data import Images, photo
from utils.data.shapes import SHAPES, scenes
from utils.models import pretrained
from utils.models.units import ConvUnit
from utils.training import OneCycle, evaluate, fit

SEEDS, DRAWS = list(range(3)), list(range(3))
COMMAND = "python -m benchmarks.trust"
TEXTURES, KINDS = ("moon", "brick", "grass"), ("cross", "heart", "ring", "star")
RING, SQUARE, MARKED = KINDS.index("ring"), 4, 0.95
PLACE = 4  # pixels: one place of the small network's last maps
LAYERS = ["3", "0.6", "0.5", "0.3", "0.2", "0.0"]  # of the small network, from the last
LITE = ["head", "top", *(f"stages.{n}" for n in range(6, -1, -1)), "stem"]
PHOTOGRAPHS, SIDE = ("coffee", "chelsea", "flower", "rocket"), 128
DATA = f"scenes of 32×32 cut from {TEXTURES}, the shapes {KINDS}"

TRIALS = ["pointing", "shortcut", "sanity"]

Maps = Callable[[nn.Module, torch.Tensor, Any], torch.Tensor]


def methods(layer: str, samples: int, steps: int, patch: int, stride: int) -> dict[str, Maps]:
    """Return the methods by name; each gives (N, H, W), the larger the more important."""
    per_pixel = attribution.per_pixel
    return {
        "saliency": attribution.saliency,
        "gradient × input": lambda *a: per_pixel(attribution.gradient_times_input(*a), "abs"),
        "SmoothGrad": lambda *a: per_pixel(attribution.smooth_grad(*a, samples=samples), "max"),
        "integrated gradients": lambda *a: per_pixel(attribution.integrated_gradients(*a, steps=steps), "abs"),
        "occlusion": lambda *a: attribution.occlusion(*a, patch=patch, stride=stride),
        "CAM": lambda *a: attribution.cam(*a, layer=layer),
        "Grad-CAM": lambda *a: attribution.grad_cam(*a, layer=layer),
        "guided backpropagation": lambda *a: per_pixel(trust.guided_backpropagation(*a), "max"),
        "edges": lambda model, images, classes: trust.edges(images),
    }


WAYS = methods("0", samples=25, steps=20, patch=6, stride=3)  # of the small network


def part(name: str, number: int) -> tuple[Images, torch.Tensor]:
    """Return the images of four shapes with their labels, and the masks (N, H, W)."""
    drawn = scenes(number, part=name, textures=TEXTURES)
    labels = torch.tensor([KINDS.index(kind) if kind in KINDS else -1 for kind in SHAPES])[drawn.shape]
    keep = labels >= 0
    return Images(drawn.images[keep], labels[keep], KINDS), drawn.masks[keep, 0]


def marked(images: Images, which: torch.Tensor) -> Images:
    """Return the images with a white square in the upper left corner of some."""
    pixels = images.images.clone()
    pixels[which, :, :SQUARE, :SQUARE] = 255
    return replace(images, images=pixels)


def trained(train: Images, seed: int, epochs: int, rate: float) -> nn.Module:
    """Return a small network that ends as CAM needs it: 8×8 maps, their means, one dense layer."""
    runtime.seed(seed)
    body = nn.Sequential(
        ConvUnit(3, 16, 3), nn.MaxPool2d(2),
        ConvUnit(16, 32, 3), ConvUnit(32, 32, 3), nn.MaxPool2d(2),
        ConvUnit(32, 64, 3), ConvUnit(64, 64, 3),
    )  # fmt: skip
    model = nn.Sequential(body, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(64, len(KINDS)))
    history = fit(
        model, train, epochs=epochs, batch_size=50, learning_rate=rate, schedule=OneCycle(), seed=seed, progress=False
    )
    print(f"trained, seed {seed}, {history.seconds:.0f} s", flush=True)
    return model.eval()


def spread(values: Iterable[float], key: str) -> dict[str, float]:
    """Return mean and standard deviation over the seeds."""
    values = list(values)
    return {key: round(mean(values), 4), f"{key}_std": round(stdev(values), 4)}


def likeness(before: torch.Tensor, after: torch.Tensor) -> tuple[float, float, float]:
    """Return rank correlation, structural similarity, and the share of maps that are the same everywhere.

    A map without any order agrees with nothing: its rank correlation counts as 0.
    """
    ranks = attribution.rank_correlation(before, after)
    pairs = []
    for pair in zip(before, after, strict=True):
        first, second = (m.clamp(min=0) / m.max().clamp(min=1e-30) for m in pair)
        pairs.append(structural_similarity(first.double().numpy(), second.double().numpy(), data_range=1.0))
    return ranks.nan_to_num(0.0).mean().item(), mean(pairs), ranks.isnan().double().mean().item()


def cascade(
    network: str, runs: list[tuple[nn.Module, torch.Tensor, Any, int]], layers: list[str], ways: dict[str, Maps]
) -> list[dict[str, Any]]:
    """Return one row for each method and number of redrawn parts, over runs (model, images, classes, seed)."""
    found: dict[tuple[str, int], list[tuple[float, ...]]] = {}
    for model, images, classes, seed in runs:
        before, outline = {name: way(model, images, classes) for name, way in ways.items()}, trust.edges(images)
        for level in range(len(layers) + 1):
            changed = trust.randomised(model, *layers[:level], seed=seed) if level else model
            for name, way in ways.items():
                after = way(changed, images, classes) if level else before[name]
                near = attribution.rank_correlation(after, outline).nan_to_num(0.0).mean().item()
                found.setdefault((name, level), []).append((*likeness(before[name], after), near))
        print(network, "seed", seed, flush=True)
    return [
        {"network": network, "method": name, "redrawn": level, "last": layers[level - 1] if level else ""}
        | {key: value for n, what in enumerate(("rank", "ssim", "flat", "edges"))
           for key, value in spread([run[n] for run in values], what).items()}
        for (name, level), values in found.items()
    ]  # fmt: skip


def pointing(clean: list[nn.Module], test: Images, masks: torch.Tensor, number: int) -> None:
    """Record whether the strongest pixels lie on the shapes, for trained networks and for redrawn ones."""
    points: dict[tuple[str, str], list[tuple[float, float]]] = {}
    areas, centres, accuracies = [], [], []
    for seed, model in zip(SEEDS, clean, strict=True):
        result = evaluate(model, test)
        right = (result.logits.argmax(1) == test.labels).nonzero()[:, 0][:number]
        x, y, mask = test.inputs(right), test.labels[right], masks[right]
        accuracies.append(result.accuracy)
        areas.append(mask.double().mean().item())
        centres.append(mask[:, 16, 16].double().mean().item())
        for state, net in (("trained", model), ("redrawn", trust.randomised(model, seed=seed))):
            for name, way in WAYS.items():
                maps = way(net, x, y)
                pair = trust.pointing(maps, mask).mean().item(), trust.energy(maps, mask).nanmean().item()
                points.setdefault((name, state), []).append(pair)
        print("pointing, seed", seed, flush=True)
    known = {"area": round(mean(areas), 4), "centre": round(mean(centres), 4)} | spread(accuracies, "accuracy")
    rows = [
        {"method": name, "network": state, **spread([v[0] for v in values], "pointing")}
        | spread([v[1] for v in values], "energy") | known
        for (name, state), values in points.items()
    ]  # fmt: skip
    print(results.table(rows), flush=True)
    note = (
        f"12 epochs at 0.01; for each seed the first {number} test images that are answered rightly; pointing: share of images "
        "whose strongest pixel lies on the shape; energy: share of the map's positive part on it; area: of the shape; centre: "
        "share of images whose middle pixel is on the shape; std: over seeds; redrawn: the same network with all weights redrawn"
    )
    results.record("trust_pointing", rows, command=COMMAND, data=DATA, seeds=SEEDS, note=note)


def shortcut(plain: Images, test: Images, number: int) -> None:
    """Record what a white square in most training rings does, and which maps show it."""
    draw = torch.Generator().manual_seed(0)
    chosen = (plain.labels == RING) & (torch.rand(len(plain), generator=draw) < MARKED)
    ring, nowhere = test.labels == RING, torch.zeros(len(test), dtype=torch.bool)
    sets = {"nowhere": nowhere, "on rings": ring, "on others": ~ring}
    sources = {"without square": plain, "with square": marked(plain, chosen).with_statistics()}
    scores: dict[str, list[dict[str, float]]] = {state: [] for state in sources}
    shares: dict[tuple[str, str], list[tuple[float, float, float]]] = {}
    asked = (~ring).nonzero()[:, 0][:number]
    mask = torch.zeros(len(asked), *test.images.shape[2:], dtype=torch.bool)
    mask[:, :SQUARE, :SQUARE] = True
    for seed in SEEDS:
        for state, train in sources.items():
            model = trained(train, seed, 8, 3e-3)
            parts = {where: replace(marked(test, some), mean=train.mean, std=train.std) for where, some in sets.items()}
            out = {where: evaluate(model, some) for where, some in parts.items()}
            answers = {where: result.logits.argmax(1) for where, result in out.items()}
            scores[state].append(
                {where: result.accuracy for where, result in out.items()}
                | {"rings found": (answers["nowhere"][ring] == RING).double().mean().item()}
                | {"others called ring": (answers["on others"][~ring] == RING).double().mean().item()}
            )
            print("shortcut, seed", seed, state, scores[state][-1], flush=True)
            x = parts["on others"].inputs(asked)
            for name, way in WAYS.items():
                maps = way(model, x, RING)
                hits = [trust.pointing(maps, mask, tolerance=near).mean().item() for near in (1, PLACE)]
                shares.setdefault((name, state), []).append((*hits, trust.energy(maps, mask).nanmean().item()))
    known = {
        state: {key: value for where in runs[0] for key, value in spread([run[where] for run in runs], where).items()}
        for state, runs in scores.items()
    }
    rows = [
        {"method": name, "trained": state}
        | {key: value for n, what in enumerate(("pointing", "near", "energy"))
           for key, value in spread([run[n] for run in values], what).items()}
        | known[state]
        for (name, state), values in shares.items()
    ]  # fmt: skip
    print(results.table([{k: v for k, v in row.items() if "std" not in k} for row in rows]), flush=True)
    note = (
        f"8 epochs at 0.003; a white square of {SQUARE}×{SQUARE} pixels in the upper left corner of {MARKED:.0%} of the rings in "
        f"training; the score of 'ring' is explained, for {number} test images of other shapes with the square. pointing: "
        f"share of images whose strongest pixel is at most 1 pixel from the square; near: at most {PLACE}; energy: share of "
        "the map's positive part on the square. nowhere, on rings, on others: accuracy on test images with the square there; "
        "rings found: of those without the square; others called ring: of other shapes with it; std: over seeds"
    )
    results.record("trust_shortcut", rows, command=COMMAND, data=DATA, seeds=SEEDS, note=note)


def sanity(clean: list[nn.Module], test: Images, few: int) -> None:
    """Record how alike maps are before and after the weights were redrawn, part by part."""
    first = slice(0, few)
    runs = [(model, test.inputs(first), test.labels[first], seed) for seed, model in zip(SEEDS, clean, strict=True)]
    rows = cascade("small", runs, LAYERS, WAYS)
    net = pretrained.load()
    pictures = torch.stack([center_crop(photo(name, size=SIDE), SIDE) for name in PHOTOGRAPHS])
    mean_colour, deviation = (torch.tensor(value).view(3, 1, 1) for value in (net.mean, net.std))
    images = (pictures - mean_colour) / deviation
    with torch.no_grad():
        answers = net.model(images).argmax(1)
    ways = methods("top", samples=6, steps=8, patch=32, stride=32)
    rows += cascade("Lite0", [(net.model, images, answers, seed) for seed in DRAWS], LITE, ways)
    print(results.table([{k: v for k, v in row.items() if "std" not in k} for row in rows]), flush=True)
    note = (
        "rank: Spearman's correlation of the maps before and after, 0 for a map that is the same everywhere (share: flat); "
        "ssim: structural similarity of the positive parts, each divided by its largest value; edges: rank correlation of "
        f"the map with Sobel's edges of the image; std: over seeds. Lite0: {len(PHOTOGRAPHS)} photographs of {SIDE}×{SIDE}, "
        f"{len(DRAWS)} draws; small: {len(SEEDS)} networks, 12 epochs at 0.01, {few} test images"
    )
    results.record(
        "trust_sanity", rows, command=COMMAND, data=f"{DATA}; photographs {PHOTOGRAPHS}", seeds=SEEDS, note=note
    )


def main() -> None:
    """Train, try and record."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, default=80, help="fewer test images only to try it out")
    parser.add_argument("--only", nargs="+", choices=TRIALS, default=TRIALS, help="these trials alone")
    chosen = parser.parse_args()
    (plain, _), (test, masks) = part("train", 3000), part("test", 1000)
    plain = plain.with_statistics()
    test = replace(test, mean=plain.mean, std=plain.std)
    if {"pointing", "sanity"} & set(chosen.only):
        clean = [trained(plain, seed, 12, 1e-2) for seed in SEEDS]
    if "pointing" in chosen.only:
        pointing(clean, test, masks, chosen.images)
    if "shortcut" in chosen.only:
        shortcut(plain, test, chosen.images // 2)
    if "sanity" in chosen.only:
        sanity(clean, test, max(2, chosen.images // 5))


if __name__ == "__main__":
    main()
