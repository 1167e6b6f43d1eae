"""Activation maximisation with one regulariser after the other: ``python -m benchmarks.dreams``.

Three units of EfficientNet-Lite0, three seeds each, images of 96×96, 48 steps. For each way it is measured how strongly
the final image excites the unit as it is, moved by one pixel, and under transformations that are larger than those in
training; how much of its energy is in fine waves; and how alike the images of three seeds are.

Writes ``benchmarks/results/dreams.json``; about a minute of one core.
"""

from __future__ import annotations

import argparse
import itertools

import torch

from utils import dreaming, results
from utils.dreaming import ROBUST, Fourier, Jitter, Pixels, Rotate, Scale
from utils.models import pretrained

SEEDS = list(range(3))
UNITS = {
    "early channel": dreaming.channel("stages.2.1", 5),
    "late channel": dreaming.channel("stages.5.3", 7),
    "class daisy": dreaming.category(985),
}
# Fourier or not, decorrelated colours or not, transformations.
WAYS = {
    "pixels": (Pixels, False, ()),
    "+ jitter": (Pixels, False, (Jitter(8),)),
    "Fourier": (Fourier, False, ()),
    "+ colours": (Fourier, True, ()),
    "+ transformations": (Fourier, True, ROBUST),
}
UNSEEN = (Jitter(3), Scale(0.7, 0.8), Rotate(25))


def main() -> None:
    """Dream all, print and record the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", type=int, default=48, help="fewer only to try it out")
    steps = parser.parse_args().steps
    lite = pretrained.load()
    options = {"mean": lite.mean, "std": lite.std}
    rows = []
    for (unit, objective), (way, (kind, colours, transforms)) in itertools.product(UNITS.items(), WAYS.items()):
        found = dreaming.dream(
            lite.model, objective, kind(len(SEEDS), decorrelated=colours), transforms=transforms, steps=steps, **options
        )
        images = found.image

        def value(changed: torch.Tensor, objective: dreaming.Objective = objective) -> torch.Tensor:
            return dreaming.measure(lite.model, objective, changed, **options)

        plain = value(images)
        moved = value(images.roll(1, 3)) / plain
        generator = torch.Generator().manual_seed(1)
        unseen = [value(dreaming.transformed(images, UNSEEN, generator)) for _ in range(8)]
        unseen = torch.stack(unseen).mean(0)
        fine = dreaming.spectrum(images)[:, 24:].sum(1)
        start, shares = found.values[0], unseen / plain
        for i, seed in enumerate(SEEDS):
            rows.append(
                {
                    "unit": unit,
                    "way": way,
                    "seed": seed,
                    "start": round(start[i].item(), 2),
                    "value": round(plain[i].item(), 2),
                    "moved_by_one": round(moved[i].item(), 3),
                    "unseen_share": round(shares[i].item(), 3),
                    "unseen_value": round(unseen[i].item(), 2),
                    "fine_share": round(fine[i].item(), 3),
                }
            )
            print(*rows[-1].values(), flush=True)
    path = results.record(
        "dreams",
        rows,
        command="python -m benchmarks.dreams" + ("" if steps == 48 else f" --steps {steps}"),
        data="no images: noise of 96×96 pixels; EfficientNet-Lite0 with its ImageNet weights",
        seeds=SEEDS,
        note=f"{steps} steps of Adam at 0.08. Unseen: means of 8 draws of a shift by up to 3 pixels, a scale of 0.7 to 0.8 "
        "and a rotation by up to 25°, where dreams with transformations had 8 pixels, 0.85 to 1.15 and 10°. Fine: share of "
        "the energy in waves of at least 25 periods across the image. The three seeds are three images of one batch.",
    )
    print(f"recorded in {path.name}")


if __name__ == "__main__":
    main()
