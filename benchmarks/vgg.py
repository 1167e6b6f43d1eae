"""Plain VGG-like networks of 4, 7, 13 and 25 layers, with and without batch norm: ``python -m benchmarks.vgg``.

Three blocks of n convolutions each, for digits at 14×14 pixels, and one dense layer. For every network the peak
learning rate is chosen by the validation accuracy of one seed; then five other seeds are trained with it and tested.
A seed draws the training digits, the weights and the order of the batches, the same for all networks. Writes
``benchmarks/results/vgg.json``; about six minutes of one core.

Chapter: VGG.
"""

from __future__ import annotations

from statistics import mean, stdev

import torch
from torch import nn

from benchmarks.normalization import small_digits
from utils import architecture, results, runtime
from utils.models.vgg import VGGBlock
from utils.training import OneCycle, evaluate, fit

SEEDS = list(range(5))
CHOOSING = 100  # the seed that chooses the learning rate, and is not counted
RATES = (1e-3, 4e-3, 1.6e-2)
EACH = (1, 2, 4, 8)  # convolutions in each of the three blocks
IMAGES, EPOCHS, BATCH = 1000, 16, 50


def build(each: int, norm: bool) -> nn.Sequential:
    """Return the network of 3·each + 1 layers, its convolutions drawn as He et al. (2015) do."""
    blocks = [VGGBlock(i, o, (3,) * each, norm) for i, o in ((1, 8), (8, 16), (16, 32))]  # 14 → 7 → 3 → 1
    model = nn.Sequential(*blocks, nn.Flatten(), nn.Linear(32, 10))
    for layer in model.modules():
        if isinstance(layer, nn.Conv2d):
            nn.init.kaiming_normal_(layer.weight, nonlinearity="relu")
            nn.init.zeros_(layer.bias)
    return model


def train(each: int, norm: bool, rate: float, seed: int) -> tuple[nn.Module, float]:
    """Return the trained network and the training loss of its last epoch."""
    data = small_digits().train
    order = torch.randperm(len(data), generator=torch.Generator().manual_seed(seed))
    runtime.seed(seed)
    model = build(each, norm)
    history = fit(
        model, data.take(order[:IMAGES]), epochs=EPOCHS, batch_size=BATCH, learning_rate=rate, schedule=OneCycle(),
        seed=seed, progress=False,
    )  # fmt: skip
    return model, history.loss[-1]


def row(each: int, norm: bool) -> dict[str, object]:
    """Choose the rate of one network, train it over the seeds, test it."""
    data = small_digits()
    scores = {rate: evaluate(train(each, norm, rate, CHOOSING)[0], data.validation).accuracy for rate in RATES}
    rate = max(scores, key=scores.get)
    runs = [train(each, norm, rate, seed) for seed in SEEDS]
    accuracies = [round(evaluate(model, data.test).accuracy, 4) for model, _ in runs]
    parameters, work = architecture.totals(architecture.trace(build(each, norm), (1, 14, 14)))
    return {
        "layers": 3 * each + 1,
        "norm": norm,
        "parameters": parameters,
        "multiply_adds": work,
        "rate": rate,
        "validation_by_rate": {str(r): round(v, 3) for r, v in scores.items()},
        "training_loss": round(mean(loss for _, loss in runs), 3),
        "accuracy": round(mean(accuracies), 4),
        "std": round(stdev(accuracies), 4),
        "runs": accuracies,
    }


def main() -> None:
    """Train all, print and record the table."""
    rows = []
    for norm in (False, True):
        for each in EACH:
            rows.append(row(each, norm))
            print(rows[-1], flush=True)
    results.record(
        "vgg",
        rows,
        command="OMP_NUM_THREADS=1 CNN_DEVICE=cpu python -m benchmarks.vgg",
        data=f"{IMAGES:,} of the 3,500 training digits of utils.data.digits at 14×14 pixels, drawn by seed; 500 for "
        "validation, 1,000 for the test",
        seeds=SEEDS,
        note=f"Three blocks of n 3×3 convolutions with 8, 16 and 32 channels, then one dense layer; weights as He et al. "
        f"(2015). {EPOCHS} epochs, Adam with a one-cycle schedule, batches of {BATCH}; peak learning rate chosen from "
        f"{', '.join(map(str, RATES))} by the validation accuracy of another seed. Accuracy on the test set.",
    )


if __name__ == "__main__":
    main()
