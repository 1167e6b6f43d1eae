"""Two processes against one: LeNet, the same global batch: ``python -m benchmarks.two_processes``.

The same script trains LeNet for four epochs on 3,500 digits, in batches of 64 and of 512, once on one process and
once on two, as ``torchrun`` starts them; each process has one thread. Five rounds with seeds of their own, the
four runs of a round in turns. The seconds are those inside ``fit`` after a first epoch that does not count, so
neither the start of the processes nor the first allocations; what is compared is their ratio within a round. The
weights after the first epoch are compared number by number. Writes ``benchmarks/results/two_processes.json``.

Run it on a machine of at least two cores that does nothing else. Chapter: scaling out.
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path
from statistics import median

import torch

from utils import results
from utils.training.launch import launch

ROUNDS, BATCHES, EPOCHS = 5, (64, 512), 3
SCRIPT = """
import sys, time, torch
from utils import runtime
from utils.data import digits
from utils.models import LeNet
from utils.training import fit

result, seed, batch, epochs = sys.argv[1], *map(int, sys.argv[2:])
runtime.seed(seed)
model, data, ends, weights = LeNet(), digits(), [], []


def after_epoch(epoch, model):
    ends.append(time.perf_counter())
    weights.append({name: value.clone() for name, value in model.state_dict().items()})


sgd = torch.optim.SGD(model.parameters(), lr=0.05, momentum=0.9)
fit(model, data.train, epochs=epochs + 1, batch_size=batch, optimizer=sgd, seed=seed, progress=False,
    after_epoch=after_epoch)
if runtime.main_process():
    # after the first epoch the processes have met and all memory is there
    torch.save({"weights": weights[0], "seconds": (ends[-1] - ends[0]) / epochs}, result)
"""


def measure(script: Path, processes: int, batch: int, seed: int) -> tuple[float, dict[str, torch.Tensor]]:
    """Return the seconds of one epoch, and the weights after the first."""
    result = script.with_name("result.pt")
    launch(script, result.name, str(seed), str(batch), str(EPOCHS), processes=processes)
    found = torch.load(result, weights_only=True)
    result.unlink()
    return found["seconds"], found["weights"]


def main() -> None:
    """Run all rounds and record them."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=ROUNDS, help=f"fewer than {ROUNDS} only to try it out")
    rounds = parser.parse_args().rounds
    seconds = {(n, batch): [] for batch in BATCHES for n in (1, 2)}
    differences = {batch: [] for batch in BATCHES}
    with tempfile.TemporaryDirectory() as folder:
        script = Path(folder, "train.py")
        script.write_text(SCRIPT, encoding="utf-8")
        for seed in range(rounds):
            for batch in BATCHES:
                weights = {}
                # In turns who begins, in case the machine gets slower or faster in a round.
                for n in (1, 2) if seed % 2 == 0 else (2, 1):
                    taken, weights[n] = measure(script, n, batch, seed)
                    seconds[n, batch].append(taken)
                pairs = zip(weights[1].values(), weights[2].values(), strict=True)
                differences[batch].append(max((a - b).abs().max().item() for a, b in pairs))
                print(
                    seed, batch, [round(seconds[n, batch][-1], 3) for n in (1, 2)], differences[batch][-1], flush=True
                )
    rows = []
    for batch in BATCHES:
        ratios = [two / one for one, two in zip(seconds[1, batch], seconds[2, batch], strict=True)]
        rows.append(
            {
                "batch": batch,
                "one_process": round(median(seconds[1, batch]), 3),
                "two_processes": round(median(seconds[2, batch]), 3),
                "ratio": round(median(ratios), 2),
                "lowest": round(min(ratios), 2),
                "highest": round(max(ratios), 2),
                "difference": float(f"{max(differences[batch]):.1e}"),
            }
        )
    path = results.record(
        "two_processes",
        rows,
        command="python -m benchmarks.two_processes" + ("" if rounds == ROUNDS else f" --rounds {rounds}"),
        data="the 3,500 training digits of utils.data.digits",
        seeds=list(range(rounds)),
        note=f"LeNet, SGD with learning rate 0.05 and momentum 0.9, {EPOCHS} epochs after a first that is not timed, "
        "on the CPU, one thread for each process, gloo. Seconds are those of one epoch inside fit, medians over the "
        "rounds; the ratio is that of two processes to one within a round. The difference is the largest of any "
        "weight after the first epoch, over all rounds.",
    )
    print(f"recorded in {path.name}:\n{results.table(rows)}")


if __name__ == "__main__":
    main()
