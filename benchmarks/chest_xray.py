"""X-rays of the chest, normal or pneumonia: two small networks, and a planted shortcut: ``python -m benchmarks.chest_xray``.

``CNN_XRAYS`` may name a copy of the set, whose counts are then written down. Three seeds each: the book's ``Screener``,
a residual network of 14 layers, and the ``Screener`` on pictures with a letter in the corner of most of those with
pneumonia, tested with the letters and without. The threshold is chosen on the validation pictures for a specificity of
95 %, and temperature as well. Writes ``benchmarks/results/chest_xray.json``. About five minutes on one core.
"""

from __future__ import annotations

import argparse
from dataclasses import replace
from typing import Any

import torch
from torch import nn

from utils import results, runtime, screening
from utils.attribution import grad_cam
from utils.data import Images, Splits, chest_xray, corner, stamp
from utils.diagnosis import fit_temperature
from utils.models import CifarResNet, Screener
from utils.training import OneCycle, evaluate, fit

EPOCHS, BATCH, RATE = 8, 64, 5e-3
WITH, WITHOUT = 0.9, 0.05  # share of the pictures with and without pneumonia that get a letter


def lettered(data: Images, seed: int) -> tuple[Images, torch.Tensor]:
    """Return the pictures with letters, and which have one."""
    share = torch.where(data.labels == 1, WITH, WITHOUT)
    chosen = torch.rand(len(data), generator=torch.Generator().manual_seed(seed)) < share
    return stamp(data, chosen), chosen


def train(model: nn.Module, data: Splits, seed: int) -> None:
    """Train in place: Adam, a rate that rises and falls."""
    adam = torch.optim.Adam(model.parameters(), lr=RATE)
    fit(
        model,
        data.train,
        epochs=EPOCHS,
        batch_size=BATCH,
        optimizer=adam,
        schedule=OneCycle(),
        seed=seed,
        progress=False,
    )


def measure(model: nn.Module, data: Splits) -> dict[str, Any]:
    """Return what the test pictures say, threshold and temperature chosen on the validation pictures."""
    chosen, tested = evaluate(model, data.validation), evaluate(model, data.test)
    before, after = screening.score_of(chosen.logits), screening.score_of(tested.logits)
    result = screening.outcome(after, tested.labels, screening.threshold_at(before, chosen.labels, 0.95))
    (low, high), (spec_low, spec_high) = result.intervals()
    temperature = fit_temperature(chosen.logits, chosen.labels)
    auc_low, auc_high = screening.auc_interval(after, tested.labels)
    return {
        "accuracy": tested.accuracy,
        "validation_auc": screening.auc(before, chosen.labels),
        "auc": screening.auc(after, tested.labels), "auc_low": auc_low, "auc_high": auc_high,
        "sensitivity": result.sensitivity, "sensitivity_low": low, "sensitivity_high": high,
        "specificity": result.specificity, "specificity_low": spec_low, "specificity_high": spec_high,
        "temperature": temperature,
        "ece": screening.reliability(after.sigmoid(), tested.labels).error,
        "ece_scaled": screening.reliability((after / temperature).sigmoid(), tested.labels).error,
    }  # fmt: skip


def corner_share(model: nn.Module, data: Images, which: torch.Tensor) -> float:
    """Return the mean share of the Grad-CAM of class 1 that lies in the corner."""
    maps = grad_cam(model, data.inputs(which), 1, layer="block3")
    total = maps.sum((1, 2))
    share = (maps * corner(maps.shape[-1])).sum((1, 2))[total > 0] / total[total > 0]
    return share.mean().item()


def main() -> None:
    """Train and record."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, default=3)
    seeds = list(range(parser.parse_args().seeds))
    data = chest_xray()
    rows = []
    for seed in seeds:
        networks = {"small CNN": Screener, "ResNet, 14 layers": lambda: CifarResNet(14, classes=2, in_channels=1)}
        for name, make in networks.items():
            runtime.seed(seed)
            model = make()
            train(model, data, seed)
            rows.append({"network": name, "test": "as it is", "seed": seed, "corner": -1.0, **measure(model, data)})
            print(results.table(rows[-1:]), flush=True)
        parts = {part: lettered(getattr(data, part), 100 + n) for n, part in enumerate(("train", "validation", "test"))}
        planted = Splits(*(images for images, _ in parts.values()))
        runtime.seed(seed)
        model = Screener()
        train(model, planted, seed)
        sick = parts["test"][1] & (data.test.labels == 1)
        seen = corner_share(model, planted.test, sick)
        for name, test in (("with letters", planted.test), ("without letters", data.test)):
            row = {"network": "small CNN, letter in training", "test": name, "seed": seed, "corner": seen}
            rows.append(row | measure(model, replace(planted, test=test)))
            print(results.table(rows[-1:]), flush=True)
    results.record(
        "chest_xray",
        rows,
        command=f"python -m benchmarks.chest_xray --seeds {len(seeds)}",
        data=data.test.source,
        seeds=seeds,
        note=f"{EPOCHS} epochs, batches of {BATCH}, Adam at {RATE}, one cycle; letters on {WITH:.0%} of the pictures with "
        f"pneumonia and {WITHOUT:.0%} of the others; corner: share of the Grad-CAM there",
    )


if __name__ == "__main__":
    main()
