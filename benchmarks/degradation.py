"""Degradation: plain and residual networks of 8, 20 and 44 layers, trained until the training loss is flat.

Run with ``OMP_NUM_THREADS=1 CNN_DEVICE=cpu python -m benchmarks.degradation`` (about 25 minutes of one core). The
networks are those of He et al., "Deep residual learning for image recognition", 2016, section 4.2, narrow enough for
a CPU, on small digits. The learning rate falls as in that paper: to a tenth when the loss is flat. Writes
``benchmarks/results/degradation.json``: the end of each run, its loss after each epoch, and the norm of the gradient
of each convolution's weights at some moments; and ``degradation_rates.json``: the deepest plain network with lower
first rates.

Chapter: resnet.
"""

from __future__ import annotations

import copy

import torch
from torch import nn
from torch.nn import functional as F

from benchmarks.normalization import small_digits
from utils import results
from utils.data import Images
from utils.models.resnet import CifarResNet
from utils.runtime import seed as set_seed
from utils.training import evaluate, fit

DEPTHS, SEEDS, WIDTH = (8, 20, 44), [0, 1, 2], 8
IMAGES, BATCH, DECAY = 2000, 64, 1e-4
RATES = (0.1, 0.01)  # the first until the loss is flat, then the second until it is flat again
OTHERS = (0.03, 0.01)  # other first rates, for the deepest plain network and one seed
FIRST, WINDOW, LEAST, SMALL = 24, 5, 0.03, 0.002
LIMIT = 120  # epochs
MOMENTS = (0, 1, 2, 4, 8, 16, 24)  # epochs at which gradients are measured, besides the last


def images() -> Images:
    """Return the training digits: 2,000 of 14×14 pixels, the same for all runs."""
    return small_digits().train.take(slice(0, IMAGES))


def flat(losses: list[float]) -> bool:
    """Whether the mean of the last epochs is hardly below that of as many epochs before.

    "Hardly" is less than 3 %, or less than 0.002.
    """
    if len(losses) < 2 * WINDOW:
        return False
    before, now = (sum(part) / WINDOW for part in (losses[-2 * WINDOW : -WINDOW], losses[-WINDOW:]))
    return before - now < max(LEAST * before, SMALL)


def gradients(model: nn.Module, data: Images) -> list[float]:
    """Return, from the first layer to the last, the norm of the gradient of each convolution's weights.

    For one batch of 256 images in training mode; the model is left as it is.
    """
    model = copy.deepcopy(model).train()
    inputs, labels = data.batch(slice(0, 256))
    F.cross_entropy(model(inputs), labels).backward()
    # With zero-padding shortcuts every 4-dimensional weight is one of the 6n + 1 convolutions, in their order.
    return [p.grad.norm().item() for p in model.parameters() if p.dim() == 4]


def train(depth: int, residual: bool, seed: int, rates: tuple[float, ...] = RATES) -> dict[str, object]:
    """Train one network until its loss is flat at each rate; return its row."""
    data = images()
    set_seed(seed)
    model = CifarResNet(depth, WIDTH, residual, in_channels=1)
    optimizer = torch.optim.SGD(model.parameters(), lr=rates[0], momentum=0.9, weight_decay=DECAY)
    losses, norms, ends = [], {"0": gradients(model, data)}, []
    for rate in rates:
        optimizer.param_groups[0]["lr"] = rate
        begun = len(losses)
        # A deep plain network starts so slowly that its loss looks flat before it has begun to fall.
        least = FIRST if not begun else 2 * WINDOW
        while len(losses) < LIMIT and (len(losses) - begun < least or not flat(losses[begun:])):
            epoch = len(losses) + 1
            options = {"batch_size": BATCH, "optimizer": optimizer, "progress": False}
            losses += fit(model, data, epochs=1, seed=1000 * seed + epoch, **options).loss
            if epoch in MOMENTS:
                norms[str(epoch)] = gradients(model, data)
        ends.append(len(losses))
    norms.setdefault(str(len(losses)), gradients(model, data))
    known, test = evaluate(model, data), evaluate(model, small_digits().test)
    return {
        "network": "residual" if residual else "plain",
        "depth": depth,
        "seed": seed,
        "rate": rates[0],
        "parameters": sum(p.numel() for p in model.parameters()),
        "epochs": len(losses),
        "flat_at": ends,
        "stopped_by": "limit" if len(losses) >= LIMIT else "flat",
        "loss": round(losses[-1], 5),
        "training_loss": round(known.loss, 5),
        "training_accuracy": round(100 * known.accuracy, 2),
        "test_accuracy": round(100 * test.accuracy, 2),
        "below_1": next((epoch for epoch, loss in enumerate(losses, 1) if loss < 1), 0),
        "losses": " ".join(f"{loss:.4g}" for loss in losses),
        "gradients": {moment: " ".join(f"{norm:.3g}" for norm in values) for moment, values in norms.items()},
    }


def main() -> None:
    """Train all, record."""
    torch.set_num_threads(1)
    rows = []
    for seed in SEEDS:
        for depth in DEPTHS:
            for residual in (False, True):
                rows.append(train(depth, residual, seed))
                print({k: v for k, v in rows[-1].items() if k not in ("losses", "gradients")}, flush=True)
        record(rows, SEEDS[: SEEDS.index(seed) + 1])  # a long run that is stopped leaves whole seeds behind
    record([train(44, False, SEEDS[0], (rate, rate / 10)) for rate in OTHERS], SEEDS[:1], "degradation_rates")


def record(rows: list[dict[str, object]], seeds: list[int], name: str = "degradation") -> None:
    """Write what was measured so far."""
    results.record(
        name,
        rows,
        command="OMP_NUM_THREADS=1 CNN_DEVICE=cpu python -m benchmarks.degradation",
        data=f"{IMAGES:,} of the 3,500 training digits of utils.data.digits at 14×14 pixels; 1,000 test digits",
        seeds=seeds,
        note=f"CifarResNet of width {WIDTH}, zero-padding shortcuts, batch norm, He's initialisation; SGD with momentum "
        f"0.9, weight decay {DECAY}, batches of {BATCH}, no augmentation. The rate of the row for at least {FIRST} "
        f"epochs and until the loss is flat, then a tenth of it until it is flat again. Flat: the mean loss of {WINDOW} epochs is less "
        f"than {LEAST:.0%}, or less than {SMALL}, below that of the {WINDOW} before. loss: mean of the last epoch; "
        "training_loss and accuracies: of the trained network in evaluation mode, in percent; below_1: first epoch "
        "with a loss below 1; flat_at: last epoch of each rate; gradients: for some epochs, the norm for the weights of "
        "each convolution, in order, on one batch of 256 in training mode.",
    )


if __name__ == "__main__":
    main()
