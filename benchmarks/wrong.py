"""What networks get wrong, measured in six parts: ``python -m benchmarks.wrong``.

cues: ``SmallVGG`` learns eight classes in which shape and texture say the same, or one of the two alone, and is then
shown images whose shape is of one class and whose texture is of another. attacks, transfer, corruptions, maps: three
``SmallVGG`` and three ``LeNet`` that know the shapes of the common benchmark, attacked within a budget, tried with
each other's attacked images, given damaged ones, and explained where they are right and where they are wrong. defence: LeNet
trained on digits as they are, and on attacked ones. features: what a linear layer reads from EfficientNet-Lite0, shape
or texture, layer by layer.

Writes ``benchmarks/results/wrong_*.json``; about ten minutes of one core. ``--only cues features`` runs these parts.
"""

from __future__ import annotations

import argparse
import itertools
from collections.abc import Callable
from statistics import mean
from typing import Any

import torch
from torch import nn
from torch.nn import functional as F

from utils import adversarial, attribution, models, results, runtime, transfer
from utils.activations import capture
from utils.data import NATURAL, SHAPES, TEXTURES, Images, Scenes, augment, corrupt, digits, scenes, shapes
from utils.models import pretrained
from utils.models.efficientnet import EfficientNetLite
from utils.training import OneCycle, evaluate, fit

SEEDS = [0, 1, 2]
AUGMENT = [augment.Flip(), augment.Crop(4)]
COMMAND = "python -m benchmarks.wrong --only "


def share(flags: torch.Tensor) -> float:
    """Return the share of what is true, with four decimals."""
    return round(flags.double().mean().item(), 4)


@torch.no_grad()
def logits(model: nn.Module, data: Images, images: torch.Tensor) -> torch.Tensor:
    """Return the logits for images, uint8 or in [0, 1], standardised like ``data``."""
    return torch.cat([model(data.standardise(some)) for some in images.split(250)])


# ---- cues ---------------------------------------------------------------------------------------------------------

CLASSES = 8
AROUND = ("gravel", "moon")
INSIDE = tuple(name for name in TEXTURES if name not in AROUND)  # shape i goes with texture i


def drawn(number: int, seed: int, part: str) -> Scenes:
    """Return shapes of eight photographs on two others."""
    return scenes(number, seed=seed, part=part, textures=INSIDE, backgrounds=AROUND)


CUES = ("both", "shape", "texture")


def cues() -> None:
    """Which of two cues does a network take, where either would do?"""
    test = drawn(5000, 0, "test")
    rows: list[dict[str, Any]] = []
    for cue, seed in itertools.product(CUES, SEEDS):
        rows.append({"cue": cue, "seed": seed} | one_of_two(cue, seed, test))
        print(*rows[-1].values(), flush=True)
        # After each network, so that nothing is lost when it is stopped.
        results.record(
            "wrong_cues", rows, command=COMMAND + "cues", seeds=SEEDS,
            data=f"{CLASSES} shapes cut from {', '.join(INSIDE)} and laid on {' or '.join(AROUND)}; 32×32",
            note="SmallVGG, 8 epochs of Adam with one cycle, peak 0.003, batch 64, flips and shifts. cue: what told the class "
            "in training, shape and texture together, or one of them with the other drawn apart. by_shape, by_texture: shares "
            "of the answers to test images whose shape and texture are of different classes; agree: accuracy where they are "
            "of one; shuffled: on these in 16 tiles in another order; silhouette: on dark shapes on plain grey.",
        )  # fmt: skip


def one_of_two(cue: str, seed: int, test: Scenes) -> dict[str, Any]:
    """Return what a network answers that was trained where the cue told the class."""
    train = drawn(20_000, seed, "train")
    both = (train.shape == train.texture).nonzero()[:, 0]
    free = (train.shape < CLASSES).nonzero()[:, 0][: len(both)]
    index, labels = (both, train.shape) if cue == "both" else (free, getattr(train, cue))
    data = Images(train.images[index], labels[index], SHAPES[:CLASSES]).with_statistics()
    runtime.seed(seed)
    model = models.SmallVGG(classes=CLASSES)
    options = {"epochs": 8, "learning_rate": 3e-3, "schedule": OneCycle(), "augment": AUGMENT}
    fit(model, data, seed=seed, progress=False, **options)

    known = test.shape < CLASSES
    conflict, agree = known & (test.shape != test.texture), known & (test.shape == test.texture)
    whole, answers = test.images[agree], logits(model, data, test.images[conflict]).argmax(1)
    order = torch.randperm(16, generator=torch.Generator().manual_seed(seed))
    tiles = F.unfold(whole.float(), 8, stride=8)[:, :, order]
    shuffled = F.fold(tiles, 32, 8, stride=8).byte()
    filled = torch.where(test.masks, 30, 128).byte().expand_as(test.images)[known]
    by_shape, by_texture = share(answers == test.shape[conflict]), share(answers == test.texture[conflict])
    return {
        "images": len(data),
        "training": round(evaluate(model, data).accuracy, 4),
        "agree": share(logits(model, data, whole).argmax(1) == test.shape[agree]),
        "by_shape": by_shape,
        "by_texture": by_texture,
        "shape_bias": round(by_shape / (by_shape + by_texture), 4),
        "shuffled": share(logits(model, data, shuffled).argmax(1) == test.shape[agree]),
        "silhouette": share(logits(model, data, filled).argmax(1) == test.shape[known]),
        "conflicts": len(answers),
    }


# ---- networks that know shapes --------------------------------------------------------------------------------------

BUDGETS = (1, 2, 4, 8)
NETWORKS: dict[str, tuple[Callable[[], nn.Module], float]] = {
    "SmallVGG": (models.SmallVGG, 3e-3),
    "LeNet": (lambda: models.LeNet(32, 3, 10), 3e-3),
}
DATA = "utils.data.shapes(2000, 1000, 1000, textures=('moon', 'brick')), shape labels, 32×32"
RECIPE = "10 epochs of Adam with one cycle, batch 64, flips and shifts, as in benchmarks/architectures.py"


def known_shapes() -> None:
    """Train the six networks, and let them err in four ways."""
    data = shapes(2000, 1000, 1000, textures=("moon", "brick"))
    nets = {}
    for (name, (build, rate)), seed in itertools.product(NETWORKS.items(), SEEDS):
        runtime.seed(seed)
        nets[name, seed] = build()
        options = {"epochs": 10, "learning_rate": rate, "schedule": OneCycle(), "augment": AUGMENT}
        fit(nets[name, seed], data.train, seed=seed, progress=False, **options)
        print(name, seed, evaluate(nets[name, seed], data.test).accuracy, flush=True)
    corruptions(nets, data.test)
    attacks(nets, data.test)
    maps(nets, data.test, scenes(200, part="test", textures=("moon", "brick")).masks)
    exchanged(nets, data.test)


def attacks(nets: dict, test: Images) -> None:
    """Record accuracy by budget."""
    test = test.take(slice(0, 200))
    images, constants = test.images.float() / 255, {"mean": test.mean, "std": test.std}
    rows = []
    for (name, seed), model in nets.items():
        for steps in (0, *BUDGETS):
            budget = steps / 255
            tried = {
                "noise": adversarial.noise(images, budget, seed=seed),
                "FGSM": adversarial.fgsm(model, images, test.labels, budget, **constants),
                "PGD": adversarial.pgd(model, images, test.labels, budget, steps=6, seed=seed, **constants),
            }
            for attack, changed in tried.items():
                found = logits(model, test, changed).softmax(1)
                right = found.argmax(1) == test.labels
                row = {"network": name, "seed": seed, "attack": attack, "budget": steps, "accuracy": share(right)}
                wrong = found.amax(1)[~right]
                rows.append(row | {"confidence_when_wrong": round(wrong.mean().item(), 4) if len(wrong) else None})
        print(*rows[-1].values(), flush=True)
    results.record(
        "wrong_attacks", rows, command=COMMAND + "attacks", data=DATA, seeds=SEEDS,
        note=f"{RECIPE}. Accuracy on {len(test)} test images; budget in bytes (steps of 1/255); PGD: 6 steps from a random "
        "start; noise: plus or minus the budget by the toss of a coin.",
    )  # fmt: skip


def exchanged(nets: dict, test: Images) -> None:
    """Record how many of the images that were made with one network fool another one."""
    test, budget, rows = test.take(slice(0, 300)), 8 / 255, []
    images, constants = test.images.float() / 255, {"mean": test.mean, "std": test.std}
    right = {key: logits(model, test, images).argmax(1) == test.labels for key, model in nets.items()}
    for source, model in nets.items():
        made = {
            "FGSM": adversarial.fgsm(model, images, test.labels, budget, **constants),
            "PGD": adversarial.pgd(model, images, test.labels, budget, steps=8, **constants),
        }
        for (attack, changed), (target, other) in itertools.product(made.items(), nets.items()):
            both = right[source] & right[target]
            wrong = logits(other, test, changed).argmax(1) != test.labels
            blurred = adversarial.noise(images, budget)
            control = logits(other, test, blurred).argmax(1) != test.labels
            rows.append(
                {
                    "source": source[0],
                    "source_seed": source[1],
                    "target": target[0],
                    "target_seed": target[1],
                    "attack": attack,
                    "fooled": share(wrong[both]),
                    "by_noise": share(control[both]),
                    "images": int(both.sum()),
                }
            )
    results.record(
        "wrong_transfer", rows, command=COMMAND + "attacks", data=DATA, seeds=SEEDS,
        note=f"{RECIPE}. Budget {255 * budget:.0f} bytes, PGD of 8 steps. fooled: of the test images, out of {len(test)}, that "
        "both networks read, the share that the target no longer reads.",
    )  # fmt: skip


def corruptions(nets: dict, test: Images) -> None:
    """Record accuracy and confidence by kind and strength."""
    test, rows = test.take(slice(0, 500)), []
    for kind, strength in itertools.product(NATURAL, range(6)):
        pictures = corrupt(test.images, kind, strength, seed=1)
        for (name, seed), model in nets.items():
            chances = logits(model, test, pictures).softmax(1)
            right = chances.argmax(1) == test.labels
            rows.append(
                {
                    "kind": kind,
                    "strength": strength,
                    "network": name,
                    "seed": seed,
                    "accuracy": share(right),
                    "confidence": round(chances.amax(1).mean().item(), 4),
                }
            )
        print(kind, strength, *(r["accuracy"] for r in rows[-6:]), flush=True)
    results.record(
        "wrong_corruptions", rows, command=COMMAND + "attacks", data=DATA, seeds=SEEDS,
        note=f"{RECIPE}. {len(test):,} test images; confidence: mean of the largest probability.",
    )  # fmt: skip


LAYERS = {"SmallVGG": "features.2.layers.5", "LeNet": "4"}


def maps(nets: dict, test: Images, masks: torch.Tensor) -> None:
    """Record how much of a map lies on the shape where the answer is right, and where it is wrong."""
    number = 200
    test, masks, rows = test.take(slice(0, number)), masks[:number, 0], []
    images, constants = test.images.float() / 255, {"mean": test.mean, "std": test.std}
    for (name, seed), model in nets.items():
        cases = {
            "as they are": images,
            "PGD": adversarial.pgd(model, images, test.labels, 8 / 255, steps=8, seed=seed, **constants),
            "noise 2": corrupt(test.images, "noise", 2, seed=1).float() / 255,
            "blur 2": corrupt(test.images, "blur", 2).float() / 255,
        }
        for case, changed in cases.items():
            inputs, chances = test.standardise(changed), logits(model, test, changed).softmax(1)
            right, confidence = chances.argmax(1) == test.labels, chances.amax(1)
            tried = {
                "Grad-CAM": attribution.grad_cam(model, inputs, layer=LAYERS[name]),
                "integrated gradients": attribution.integrated_gradients(model, inputs, steps=8).abs().sum(1),
            }
            for method, found in tried.items():
                energy = (found * masks).sum((1, 2)) / found.sum((1, 2)).clamp(min=1e-12)
                mean_of = {key: energy[some] for key, some in (("right", right), ("wrong", ~right))}
                row: dict[str, Any] = {"network": name, "seed": seed, "images": case, "method": method}
                row |= {"wrong_answers": int((~right).sum()), "area": share(masks)}
                row |= {f"on_shape_{k}": round(v.mean().item(), 4) if len(v) else None for k, v in mean_of.items()}
                for key, score in (("by_map", energy), ("by_confidence", confidence)):
                    row[f"told_{key}"] = told(score, right)
                rows.append(row)
                print(*row.values(), flush=True)
    results.record(
        "wrong_maps", rows, command=COMMAND + "attacks", data=DATA, seeds=SEEDS,
        note=f"{RECIPE}. Maps of the network's own answers to {number} test images; on_shape: share of the map within the "
        "shape's mask, the mean over right and over wrong answers; area: the masks' share of the image; told_by: how often a "
        "right answer has the larger share, or the larger confidence, of a right and a wrong one (1 always, 0.5 by chance).",
    )  # fmt: skip


def told(score: torch.Tensor, right: torch.Tensor) -> float | None:
    """Return how often the score of a right answer is above that of a wrong one; ties count half."""
    a, b = score[right][:, None], score[~right][None]
    return round(((a > b).double() + 0.5 * (a == b)).mean().item(), 4) if a.numel() and b.numel() else None


# ---- defence -------------------------------------------------------------------------------------------------------

HARDENED = 0.2  # the budget in training


def defence() -> None:
    """Train LeNet on digits, and on digits that are attacked while it learns; record accuracy by budget."""
    data = digits()
    train, test = data.train.take(slice(0, 1500)), data.test.take(slice(0, 250))
    clean, constants, rows = test.images.float() / 255, {"mean": train.mean, "std": train.std}, []
    for training, seed in itertools.product(("plain", "attacked"), SEEDS):
        runtime.seed(seed)
        model, epochs = models.LeNet(), 8
        steps = epochs * len(train.labels) // 50
        adam = torch.optim.Adam(model.parameters(), 2e-3)
        cycle = torch.optim.lr_scheduler.OneCycleLR(adam, 4e-3, total_steps=steps + epochs)
        generator = torch.Generator().manual_seed(seed)
        for epoch in range(epochs):
            for index in torch.randperm(len(train), generator=generator).split(50):
                pixels, labels = train.images[index].float() / 255, train.labels[index]
                if training == "attacked":  # the budget grows: at full size from the start, LeNet learns nothing
                    budget = HARDENED * min(1, (epoch + 1) / 4)
                    pixels = adversarial.pgd(model, pixels, labels, budget, steps=4, seed=int(index[0]), **constants)
                adam.zero_grad()
                F.cross_entropy(model.train()(train.standardise(pixels)), labels).backward()
                adam.step()
                cycle.step()
        model.eval()
        for budget in (0.0, 0.05, 0.1, 0.15, 0.2, 0.3):
            options = {"steps": 10, "seed": seed, **constants}
            attacked = adversarial.pgd(model, clean, test.labels, budget, **options)
            accuracy = share(logits(model, test, attacked).argmax(1) == test.labels)
            rows.append({"training": training, "seed": seed, "budget": budget, "accuracy": accuracy})
            print(*rows[-1].values(), flush=True)
    results.record(
        "wrong_defence", rows, command=COMMAND + "defence", data="1,500 training and 250 test images of digits", seeds=SEEDS,
        note=f"LeNet, 8 epochs of Adam with one cycle, peak 0.004, batch 50; attacked: PGD of 4 steps on every batch, with a "
        f"budget that grows to {HARDENED}. Accuracy under PGD of 10 steps.",
    )  # fmt: skip


# ---- features ------------------------------------------------------------------------------------------------------

PLACES = ("pixels", *(f"stages.{i}" for i in range(7)), "top")


def features() -> None:
    """Read shape and texture from the layers of EfficientNet-Lite0, and look for the nearest neighbour."""
    lite, rows = pretrained.load(), []
    for seed in SEEDS:
        train, test = (scenes(n, size=96, seed=seed, part=p) for n, p in ((500, "train"), (300, "test")))
        runtime.seed(seed)
        networks = {"ImageNet": lite.model} | ({"random weights": started()} if seed == 0 else {})
        for weights, model in networks.items():
            found = [rows_of(model, lite, part) for part in (train, test)]
            for place in PLACES if weights == "ImageNet" else PLACES[1:]:
                x, y = (part[place] for part in found)
                y, x = (y - x.mean(0)) / (x.std(0) + 1e-6), (x - x.mean(0)) / (x.std(0) + 1e-6)
                row = {"weights": weights, "place": place, "seed": seed, "width": x.shape[1]}
                for label in ("shape", "texture"):
                    head = transfer.linear_head(x, getattr(train, label), 10, strength=0.1)
                    row[label] = round(transfer.accuracy(head, y, getattr(test, label)), 4)
                row["nearer_by_shape"] = nearer(x, y, train, test)
                rows.append(row)
                print(*row.values(), flush=True)
    results.record(
        "wrong_features", rows, command=COMMAND + "features", seeds=SEEDS,
        data="utils.data.scenes: 500 training and 300 test images of 96×96, ten shapes and ten textures, drawn apart",
        note="EfficientNet-Lite0; the mean of each channel of a layer's maps, standardised; pixels: 8×8 means. shape, texture: "
        "accuracy of logistic regression, 0.1 is chance. nearer_by_shape: of pairs of training images, one of a test image's "
        "shape and not its texture, the other of its texture and not its shape, how often the first is nearer (cosine).",
    )  # fmt: skip


def started() -> nn.Module:
    """Return EfficientNet-Lite0 with random weights, its batch norms adjusted to some scenes."""
    model = EfficientNetLite()
    for part in model.modules():
        if isinstance(part, nn.BatchNorm2d):
            part.momentum = None  # the plain mean over what is seen
    pictures = scenes(64, size=96, seed=9).images.float() / 255
    with torch.no_grad():
        model.train()((pictures - 0.5) / 0.5)
    return model.eval()


@torch.no_grad()
def rows_of(model: nn.Module, lite: pretrained.Pretrained, part: Scenes) -> dict[str, torch.Tensor]:
    """Return what each place says of every image, (N, features)."""
    found: dict[str, list[torch.Tensor]] = {place: [] for place in PLACES}
    for some in part.images.split(50):
        pixels = some.float() / 255
        with capture(model, *PLACES[1:]) as seen:
            model((pixels - lite.mean[0]) / lite.std[0])
        found["pixels"].append(F.adaptive_avg_pool2d(pixels, 8).flatten(1))
        for place in PLACES[1:]:
            found[place].append(seen[place].mean((2, 3)))
    return {place: torch.cat(values) for place, values in found.items()}


def nearer(x: torch.Tensor, y: torch.Tensor, train: Scenes, test: Scenes) -> float:
    """Return how often an image of the same shape is nearer than one of the same texture."""
    alike = F.normalize(y) @ F.normalize(x).T  # (test, train)
    shape = test.shape[:, None] == train.shape
    texture = test.texture[:, None] == train.texture
    shares = []
    for row, one, other in zip(alike, shape & ~texture, texture & ~shape, strict=True):
        shares.append((row[one][:, None] > row[other][None]).double().mean().item())
    return round(mean(shares), 4)


PARTS = {"cues": cues, "attacks": known_shapes, "defence": defence, "features": features}


def main() -> None:
    """Run the parts that are asked for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", nargs="+", choices=PARTS, default=list(PARTS), metavar="PART", help="run these parts")
    for part in parser.parse_args().only:
        print(part, flush=True)
        PARTS[part]()


if __name__ == "__main__":
    main()
