"""Two processes against one: LeNet, the same global batch: ``python -m benchmarks.two_processes``.

The same script trains a network for four epochs on 3,500 digits, once on one process and once on two, as ``torchrun``
starts them; each process has one thread. The classic LeNet, with tanh and average pooling, in batches of 64 and of
512; and LeNet with ReLU and max pooling, whose gradient jumps where two values are nearly equal, so that a rounding
may grow. Five rounds with seeds of their own, the runs of a round in turns. The seconds are those inside ``fit`` after a first epoch that does not count, so
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

ROUNDS, EPOCHS = 5, 3
CASES = (("ClassicLeNet", 64), ("ClassicLeNet", 512), ("LeNet", 64))
SCRIPT = """
import sys, time, torch
from utils import models, runtime
from utils.data import digits
from utils.training import fit

result, network, seed, batch, epochs = *sys.argv[1:3], *map(int, sys.argv[3:])
runtime.seed(seed)
model, data, ends, weights = getattr(models, network)(), digits(), [], []


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


def measure(script: Path, processes: int, network: str, batch: int, seed: int) -> tuple[float, dict[str, torch.Tensor]]:
    """Return the seconds of one epoch, and the weights after the first."""
    result = script.with_name("result.pt")
    launch(script, result.name, network, str(seed), str(batch), str(EPOCHS), processes=processes)
    found = torch.load(result, weights_only=True)
    result.unlink()
    return found["seconds"], found["weights"]


def main() -> None:
    """Run all rounds and record them."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=ROUNDS, help=f"fewer than {ROUNDS} only to try it out")
    rounds = parser.parse_args().rounds
    seconds = {(n, case): [] for case in CASES for n in (1, 2)}
    differences = {case: [] for case in CASES}
    with tempfile.TemporaryDirectory() as folder:
        script = Path(folder, "train.py")
        script.write_text(SCRIPT, encoding="utf-8")
        for seed in range(rounds):
            for case in CASES:
                weights = {}
                # In turns who begins, in case the machine gets slower or faster in a round.
                for n in (1, 2) if seed % 2 == 0 else (2, 1):
                    taken, weights[n] = measure(script, n, *case, seed)
                    seconds[n, case].append(taken)
                pairs = zip(weights[1].values(), weights[2].values(), strict=True)
                differences[case].append(max((a - b).abs().max().item() for a, b in pairs))
                taken = [round(seconds[n, case][-1], 3) for n in (1, 2)]
                print(seed, *case, taken, differences[case][-1], flush=True)
    rows = []
    for case in CASES:
        ratios = [two / one for one, two in zip(seconds[1, case], seconds[2, case], strict=True)]
        rows.append(
            {
                "network": case[0],
                "batch": case[1],
                "one_process": round(median(seconds[1, case]), 3),
                "two_processes": round(median(seconds[2, case]), 3),
                "ratio": round(median(ratios), 2),
                "lowest": round(min(ratios), 2),
                "highest": round(max(ratios), 2),
                "difference": float(f"{max(differences[case]):.1e}"),
            }
        )
    path = results.record(
        "two_processes",
        rows,
        command="python -m benchmarks.two_processes" + ("" if rounds == ROUNDS else f" --rounds {rounds}"),
        data="the 3,500 training digits of utils.data.digits",
        seeds=list(range(rounds)),
        note=f"SGD with learning rate 0.05 and momentum 0.9, {EPOCHS} epochs after a first that is not timed, "
        "on the CPU, one thread for each process, gloo. Seconds are those of one epoch inside fit, medians over the "
        "rounds; the ratio is that of two processes to one within a round. The difference is the largest of any "
        "weight after the first epoch, over all rounds.",
    )
    print(f"recorded in {path.name}:\n{results.table(rows)}")


if __name__ == "__main__":
    main()
