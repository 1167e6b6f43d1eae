"""What first filters of 7×7 learn, and from what: run ``python -m benchmarks.filters`` (about four minutes of one core).

One small network learns ten textures, four ways with the same number of steps, three seeds each: on many pictures, on
few, without weight decay, and with shuffled labels. Measured is the form of the 24 filters before and after. Writes
``benchmarks/results/filters.json``; the filters of the first seed are in it as whole numbers from −127 to 127, in parts
of the largest weight.

Chapter: filters and feature maps.
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import replace

import torch
from torch import nn

from utils import results, runtime
from utils.data import Splits, shapes
from utils.training import OneCycle, evaluate, fit

SEEDS = list(range(3))
SEEN = 24_000  # pictures, those that come again counted again
BATCH = 25
# Name: (training pictures, labels shuffled, weight decay)
RUNS = {
    "8,000 pictures": (8000, False, 5e-3),
    "250 pictures": (250, False, 5e-3),
    "no weight decay": (8000, False, 0.0),
    "shuffled labels": (8000, True, 5e-3),
}


def block(before: int, after: int, kernel: int, stride: int = 1) -> nn.Sequential:
    """Return convolution, batch norm, ReLU and pooling: the maps become half as wide, or a quarter with stride 2."""
    return nn.Sequential(
        OrderedDict(
            conv=nn.Conv2d(before, after, kernel, stride, padding=kernel // 2, bias=False),
            norm=nn.BatchNorm2d(after),
            relu=nn.ReLU(),
            pool=nn.MaxPool2d(2),
        )
    )


def network() -> nn.Sequential:
    """Return the network of the chapter: (N, 3, H, W) → (N, 10), H and W at least 16."""
    head = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(48, 10))
    stages = {"stem": block(3, 24, 7, 2), "second": block(24, 32, 3), "third": block(32, 48, 3), "head": head}
    return nn.Sequential(OrderedDict(stages))


def power(filters: torch.Tensor, side: int = 32) -> torch.Tensor:
    """Return the energy of each filter at each spatial frequency: (F, C, k, k) → (F, side, side), channels summed."""
    return torch.fft.fft2(filters, s=(side, side)).abs().square().sum(1)


def low_share(filters: torch.Tensor) -> torch.Tensor:
    """Return the share of each filter's energy below a quarter of a cycle a pixel; of white noise it is π/16."""
    energy = power(filters)
    f = torch.fft.fftfreq(energy.shape[-1])
    near = (f[:, None] ** 2 + f**2).sqrt() < 0.25
    return (energy * near).sum((1, 2)) / energy.sum((1, 2))


def orientation(filters: torch.Tensor) -> torch.Tensor:
    """Return how much of each filter's energy goes one way: 0 for all directions alike, 1 for a single one."""
    energy = power(filters)
    f = torch.fft.fftfreq(energy.shape[-1])
    # Doubled, for a stripe turned by half a circle is the same stripe.
    turn = torch.exp(2j * torch.atan2(f[:, None].expand_as(energy[0]), f.expand_as(energy[0])))
    turn[0, 0] = 0  # a filter's mean has no direction
    return (energy * turn).sum((1, 2)).abs() / energy.sum((1, 2))


def grey_share(filters: torch.Tensor) -> torch.Tensor:
    """Return the share of each filter's energy that is the same in all three colours; of noise it is 1/3."""
    return 3 * filters.mean(1).square().sum((1, 2)) / filters.square().sum((1, 2, 3))


def whole(filters: torch.Tensor) -> str:
    """Return filters as whole numbers from −127 to 127 in parts of the largest, separated by spaces."""
    return " ".join(map(str, (127 * filters / filters.abs().max()).round().int().flatten().tolist()))


def data_of(number: int, shuffled: bool, seed: int) -> Splits:
    """Return training and test pictures of 48×48 for one run."""
    data = shapes(number, 100, 1000, size=48, label="texture", seed=seed)
    if shuffled:
        order = torch.randperm(number, generator=torch.Generator().manual_seed(seed))
        data = replace(data, train=replace(data.train, labels=data.train.labels[order]))
    return data


def form(filters: torch.Tensor) -> dict[str, float]:
    """Return the three measures, means over the filters."""
    measures = {"low": low_share, "orientation": orientation, "grey": grey_share}
    return {name: round(measure(filters).mean().item(), 4) for name, measure in measures.items()}


def measure(name: str, seed: int) -> dict[str, object]:
    """Train once; return accuracies in percent, and the form of the filters before and after."""
    number, shuffled, decay = RUNS[name]
    data = data_of(number, shuffled, seed)
    runtime.seed(seed)
    model = network()
    before = model.stem.conv.weight.detach().clone()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9, weight_decay=decay)
    options = {"batch_size": BATCH, "schedule": OneCycle(), "progress": False, "seed": seed}
    history = fit(model, data.train, epochs=SEEN // number, optimizer=optimizer, **options)
    after = model.stem.conv.weight.detach()
    row = {
        "run": name,
        "seed": seed,
        "parameters": sum(p.numel() for p in model.parameters()),
        "pictures": number,
        "epochs": history.epochs,
        "training": round(100 * evaluate(model, data.train).accuracy, 2),
        "test": round(100 * evaluate(model, data.test).accuracy, 2),
        **{f"{key}_before": value for key, value in form(before).items()},
        **form(after),
        "seconds": round(history.seconds, 1),
    }
    return row | {"filters": whole(after) if seed == SEEDS[0] else ""}


def main() -> None:
    """Train for every run and seed, and record the table."""
    torch.set_num_threads(1)
    rows = []
    for seed in SEEDS:
        for name in RUNS:
            rows.append(measure(name, seed))
            print({k: v for k, v in rows[-1].items() if k != "filters"}, flush=True)
    results.record(
        "filters",
        rows,
        command="OMP_NUM_THREADS=1 CNN_DEVICE=cpu python -m benchmarks.filters",
        data="utils.data.shapes(size=48, label='texture'), the seed's own pictures; 1,000 test pictures",
        seeds=SEEDS,
        note=f"SGD, rate 0.1 in one cycle, momentum 0.9, weight decay 0.005 unless said; batches of {BATCH}, {SEEN:,} "
        "pictures seen. Accuracies in percent. low, orientation, grey: means over the 24 first filters.",
    )


if __name__ == "__main__":
    main()
