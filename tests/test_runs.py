"""What long runs need of ``fit``: schedules, parts of a batch, clipping, precision, going on after a kill, processes."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from utils import training
from utils.data import Images, digits
from utils.data.augment import Crop, Flip, MixUp
from utils.models import LeNet
from utils.training import Cosine, OneCycle, checkpoints, errors, loop, precision
from utils.training.__main__ import main
from utils.training.distributed import World

ROOT = Path(__file__).resolve().parent.parent


def few(n: int = 200) -> Images:
    return digits().train.take(slice(0, n))


class Small(nn.Module):
    """A net with everything that has a state of its own: batch norm and dropout."""

    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Sequential(
            nn.Conv2d(1, 4, 5, stride=3, bias=False), nn.BatchNorm2d(4), nn.ReLU(), nn.Flatten(), nn.Dropout(0.3)
        )
        self.head = nn.Linear(4 * 8 * 8, 10)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.head(self.body(x))


def run(build=Small, data=None, **options):
    """Train a net of seed 0 on the CPU; return it and its history."""
    torch.manual_seed(0)
    model = build()
    options = {"epochs": 3, "batch_size": 32, "progress": False, "device": "cpu", **options}
    options.setdefault("optimizer", torch.optim.SGD(model.parameters(), lr=0.05, momentum=0.9))
    data = few() if data is None else data
    return model, training.fit(model, data, digits().validation.take(slice(0, 100)), **options)


def weights(model: nn.Module) -> list[torch.Tensor]:
    return [value.clone() for value in model.state_dict().values()]


def same(a: nn.Module, b: nn.Module) -> bool:
    return all(torch.equal(x, y) for x, y in zip(weights(a), weights(b), strict=True))


def largest_difference(a: nn.Module, b: nn.Module) -> float:
    return max((x - y).abs().max().item() for x, y in zip(a.parameters(), b.parameters(), strict=True))


# Schedules, parts, clipping


def test_schedule_sets_the_rate_of_every_step_and_gives_the_optimizer_back():
    model = Small()
    groups = [{"params": model.body.parameters(), "lr": 0.1}, {"params": model.head.parameters()}]
    optimizer = torch.optim.SGD(groups, lr=1)
    _, history = run(lambda: model, optimizer=optimizer, schedule=Cosine(warmup=0.25))
    assert len(history.step_loss) == len(history.step_rate) == 21
    assert history.step_rate == pytest.approx([0.1 * Cosine(warmup=0.25)(i / 21) for i in range(21)])
    assert [group["lr"] for group in optimizer.param_groups] == [0.1, 1]


@pytest.mark.parametrize("clip", [None, 0.5])
def test_schedule_and_clipping_equal_the_loop_written_out(clip):
    model, history = run(LeNet, schedule=OneCycle(), clip=clip)
    torch.manual_seed(0)
    other = LeNet()
    optimizer = torch.optim.SGD(other.parameters(), lr=0.05, momentum=0.9)
    generator, losses = torch.Generator().manual_seed(0), []
    for _ in range(3):
        for inputs, labels in few().batches(32, generator=generator):
            optimizer.param_groups[0]["lr"] = 0.05 * OneCycle()(len(losses) / 21)
            loss = F.cross_entropy(other(inputs), labels)
            optimizer.zero_grad()
            loss.backward()
            if clip:
                nn.utils.clip_grad_norm_(other.parameters(), clip)
            optimizer.step()
            losses.append(loss.item())
    assert same(model, other)
    assert history.step_loss == losses


def test_a_batch_in_parts_is_the_same_step():
    whole, one = run(LeNet)
    for parts in (2, 3, 50):  # 50: more than there are images
        parted, two = run(LeNet, accumulate=parts)
        assert largest_difference(whole, parted) < 1e-5
        assert two.step_loss == pytest.approx(one.step_loss, abs=1e-4)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"accumulate": 0}, "accumulate is 0"),
        ({"clip": -1.0}, "clip is -1.0"),
        ({"clip": float("nan")}, "clip is nan"),
        ({"precision": "half"}, "precision is 'half'"),
        ({"precision": "float16"}, "needs a GPU"),
    ],
)
def test_bad_options_are_named(options, words):
    with pytest.raises(ValueError, match=words):
        run(**options)


def test_augmentation_sees_training_images_alone():
    seen = []

    def watch(images, labels, generator):
        seen.append((len(images), images.min().item() >= 0, images.max().item() <= 1))
        return images * 0, labels

    model, history = run(LeNet, augment=watch, epochs=1)
    assert seen == [(32, True, True)] * 6 + [(8, True, True)]
    a, _ = run(LeNet, augment=Crop(4))
    b, _ = run(LeNet, augment=[Crop(4)])
    c, _ = run(LeNet, augment=[Crop(4)], seed=1)
    assert same(a, b) and not same(a, c)


# Precision


def test_bfloat16_computes_in_bfloat16_and_keeps_float32_weights():
    seen = []

    class Watched(LeNet):
        def forward(self, x):
            result = super().forward(x)
            seen.append(result.dtype)
            return result

    model, history = run(Watched, precision="bfloat16")
    assert torch.bfloat16 in seen and history.precision == "bfloat16"
    assert {p.dtype for p in model.parameters()} == {torch.float32}
    exact, _ = run(LeNet)
    assert 0 < largest_difference(model, exact) < 0.1


@pytest.mark.parametrize(("slow", "chosen"), [(False, "bfloat16"), (True, "float32")])
def test_auto_precision_takes_what_is_faster(slow, chosen):
    class Waiting(LeNet):
        def forward(self, x):
            if torch.is_autocast_enabled("cpu") == slow:
                time.sleep(0.05)
            return super().forward(x)

    model = Waiting()
    before, state = weights(model), torch.get_rng_state()
    found = precision.choose(model, few(4).inputs(), few(4).labels, F.cross_entropy)
    assert found == chosen
    assert torch.equal(torch.get_rng_state(), state) and all(map(torch.equal, before, weights(model)))
    assert all(p.grad is None for p in model.parameters())


# What goes wrong


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_a_loss_that_is_not_finite_stops_before_the_step(bad):
    calls = []

    def loss(logits, labels):
        if logits.requires_grad:
            calls.append(1)
        return F.cross_entropy(logits, labels) * (bad if len(calls) == 10 else 1)

    torch.manual_seed(0)
    model = LeNet()
    kept = []

    def build():
        return model

    with pytest.raises(
        FloatingPointError, match=r"epoch 2 is (nan|inf) at batch 3 of 7 \(step 10, learning rate 0.05\)"
    ) as e:
        run(build, loss=loss, after_epoch=lambda epoch, m: kept.append(weights(m)))
    assert e.value.history.epochs == 1 and len(kept) == 1
    assert all(p.isfinite().all() for p in model.parameters())
    assert not model.training


def test_on_a_gpu_the_first_bad_loss_is_found_later():
    run_ = SimpleNamespace(device=torch.device("cuda"), batches=120, optimizer=torch.optim.SGD(LeNet().parameters(), 1))
    run_.model = LeNet()
    losses, rates = torch.ones(120), [0.1] * 120
    losses[60:] = float("nan")
    for done in range(1, 100):  # looked at after 50, not finite from the 61st on, noticed after 100
        loop._Run.look(run_, losses[:done], 1, rates, training.History())
    with pytest.raises(FloatingPointError, match="batch 61 of 120"):
        loop._Run.look(run_, losses[:100], 1, rates, training.History())
    with pytest.raises(FloatingPointError, match="batch 61 of 120"):
        loop._Run.look(run_, losses, 1, rates, training.History())


def test_out_of_memory_names_a_batch_size_to_try():
    class Large(LeNet):
        def forward(self, x):
            if len(x) > 8:
                raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.")
            return super().forward(x)

    with pytest.raises(MemoryError, match=r"batch_size=32 does not fit.*accumulate=2.*parts of 16, or batch_size=16"):
        run(Large)
    with pytest.raises(MemoryError, match=r"batch_size=32 in 2 parts.*accumulate=4.*parts of 8"):
        run(Large, accumulate=2)
    with pytest.raises(RuntimeError, match="size of tensor"):  # anything else stays what it is
        run(LeNet, loss=lambda logits, labels: (logits - labels).mean())
    assert errors.out_of_memory(RuntimeError("shapes cannot be multiplied"), 8, 1) is None
    assert "one image at a time" in str(errors.out_of_memory(RuntimeError("MPS backend out of memory"), 4, 4))


# Going on after a stop


def stop_after(last: int):
    def stop(epoch, _model):
        if epoch == last:
            raise KeyboardInterrupt

    return stop


OPTIONS = {"epochs": 5, "schedule": OneCycle(), "clip": 1.0, "augment": [Crop(2), MixUp(10)]}


def test_a_run_that_was_stopped_ends_the_same(tmp_path, capsys):
    straight, expected = run(**OPTIONS)
    for stop in (1, 3):
        _, first = run(**OPTIONS, checkpoint=tmp_path / str(stop), after_epoch=stop_after(stop))
        assert first.interrupted and first.epochs == stop
        spent = torch.load(tmp_path / str(stop) / "last.pt", weights_only=True)["history"]["seconds"]
        torch.manual_seed(99)  # whatever the state of the new process is
        model, history = run(**{**OPTIONS, "progress": True}, checkpoint=tmp_path / str(stop))
        assert f"{stop} of 5 epochs found" in capsys.readouterr().out
        assert same(straight, model)
        for name in ("loss", "step_loss", "step_rate", "validation_loss", "validation_accuracy"):
            assert getattr(history, name) == getattr(expected, name), name
        assert history.seconds > spent > 0 and not history.interrupted


def test_a_finished_run_is_given_back(tmp_path):
    straight, expected = run(**OPTIONS, checkpoint=tmp_path)
    again, history = run(**OPTIONS, checkpoint=tmp_path)
    assert same(straight, again) and history.loss == expected.loss


def test_best_weights_are_those_of_the_best_epoch(tmp_path):
    kept = []
    _, history = run(**OPTIONS, checkpoint=tmp_path, after_epoch=lambda epoch, model: kept.append(weights(model)))
    ranks = list(zip(history.validation_accuracy, [-v for v in history.validation_loss], strict=True))
    assert history.best_epoch == ranks.index(max(ranks)) + 1
    best = training.load_weights(Small(), tmp_path / "best.pt")
    assert all(map(torch.equal, weights(best), kept[history.best_epoch - 1]))
    assert training.History().best_epoch == 0
    worse = training.History(validation_accuracy=[0.5, 0.6, 0.6, 0.4], validation_loss=[1, 2, 1, 1], loss=[0] * 4)
    assert worse.best_epoch == 3


def test_killed_while_writing_keeps_the_last_checkpoint(tmp_path, monkeypatch):
    straight, _ = run(**OPTIONS)
    run(**OPTIONS, checkpoint=tmp_path, after_epoch=stop_after(2))
    before = (tmp_path / "last.pt").read_bytes()

    def half(state, path):  # writes something and dies, as a full disk or a kill would
        path.write_bytes(b"half")
        raise OSError("no space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(checkpoints.torch, "save", half)
        with pytest.raises(OSError, match="no space"):
            run(**OPTIONS, checkpoint=tmp_path)
    assert (tmp_path / "last.pt").read_bytes() == before
    (tmp_path / "last.pt.12345.part").write_bytes(b"half")  # what a kill leaves behind
    model, _ = run(**OPTIONS, checkpoint=tmp_path)
    assert same(straight, model)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["best.pt", "last.pt"]


def test_a_checkpoint_of_another_run_is_refused(tmp_path):
    run(**OPTIONS, checkpoint=tmp_path)
    before = (tmp_path / "last.pt").read_bytes()
    for change, words in (
        ({"epochs": 6}, "epochs 5, and this one has 6"),
        ({"batch_size": 64}, "batch_size 32, and this one has 64"),
        ({"schedule": Cosine()}, r"schedule OneCycle\(.*, and this one has Cosine\("),
        ({"augment": Flip()}, r"augment Crop\(.*, and this one has Flip\("),
        ({"seed": 1}, "seed 0, and this one has 1"),
        ({"data": few(100)}, "training images 200 of 1×28×28.*100 of 1×28×28"),
        ({"optimizer": None}, "optimizer SGD .*Adam"),
        ({"build": LeNet}, "are not the weights of this LeNet"),
    ):
        with pytest.raises(ValueError, match=words) as caught:
            run(**{**OPTIONS, **change}, checkpoint=tmp_path)
        assert "\n" not in str(caught.value)
    assert (tmp_path / "last.pt").read_bytes() == before
    (tmp_path / "last.pt").write_bytes(before[:1000])
    with pytest.raises(ValueError, match=r"last\.pt cannot be read as a checkpoint.*delete it"):
        run(**OPTIONS, checkpoint=tmp_path)
    (tmp_path / "file").touch()
    with pytest.raises(ValueError, match="a file, but it must be a folder"):
        run(**OPTIONS, checkpoint=tmp_path / "file")


def python(*arguments: str) -> subprocess.Popen:
    paths = os.pathsep.join(map(str, (ROOT, ROOT / "tests")))
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "CNN_DEVICE": "cpu", "PYTHONPATH": paths}
    return subprocess.Popen(
        [sys.executable, *arguments],
        cwd=ROOT,
        env=environment,
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )


def finish(process: subprocess.Popen) -> str:
    out, err = process.communicate(timeout=300)
    assert process.returncode == 0, err
    return out


RECIPE = ["-m", "utils.training", "--epochs", "4", "--schedule", "one-cycle", "--batch-size", "16", "--augment", "crop"]


def test_a_run_that_was_killed_ends_with_the_same_bits(tmp_path):
    finish(python(*RECIPE, "--checkpoint", str(tmp_path / "straight")))
    folder = tmp_path / "killed"
    for epochs in (1, 2, 3):
        process = python(*RECIPE, "--checkpoint", str(folder))
        # Killed somewhere in the epoch after the next checkpoint, or while it is written.
        written = (folder / "last.pt").stat().st_mtime_ns if epochs > 1 else 0
        while not (folder / "last.pt").exists() or (folder / "last.pt").stat().st_mtime_ns == written:
            assert process.poll() is None, process.stderr.read()
            time.sleep(0.01)
        process.send_signal(signal.SIGKILL)
        process.wait()
        process.stdout.close()
        process.stderr.close()
    finish(python(*RECIPE, "--checkpoint", str(folder)))
    read = [torch.load(tmp_path / name / "last.pt", weights_only=True) for name in ("straight", "killed")]
    assert all(map(torch.equal, read[0]["model"].values(), read[1]["model"].values()))
    assert read[0]["history"]["step_loss"] == read[1]["history"]["step_loss"]


# Several processes


def torchrun(*arguments: str) -> str:
    return finish(python("-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2", *arguments))


@pytest.mark.parametrize("images", ["193"])  # 193: one image for two processes in the last batch of 32
def test_two_processes_train_the_same_net_as_one(tmp_path, images):
    script = tmp_path / "script.py"
    script.write_text(
        "import sys, torch\n"
        "from utils import runtime\n"
        "from utils.data import digits\n"
        "from utils.models import LeNet\n"
        "from utils.training import fit, save_weights\n"
        "torch.manual_seed(0)\n"
        "model, data = LeNet(), digits()\n"
        "train = data.train.take(slice(0, int(sys.argv[1])))\n"
        "history = fit(model, train, data.validation.take(slice(0, 101)), epochs=2, batch_size=32, clip=1.0, accumulate=2)\n"
        "if runtime.main_process():\n"
        "    save_weights(model, sys.argv[2])\n"
        "    print(history.loss + history.validation_loss)\n"
    )
    one = finish(python(str(script), images, str(tmp_path / "one.pt")))
    two = torchrun(str(script), images, str(tmp_path / "two.pt"))
    a, b = (training.load_weights(LeNet(), tmp_path / name) for name in ("one.pt", "two.pt"))
    assert 0 < largest_difference(a, b) < 1e-5
    first, second = (json.loads(text.splitlines()[-1]) for text in (one, two))
    assert first == pytest.approx(second, abs=1e-4)
    assert two.count("2 epochs in") == 1  # one process prints


def test_two_processes_go_on_together(tmp_path):
    recipe = ["-m", "utils.training", "--model", "test_runs:Small", "--epochs", "2", "--checkpoint"]
    straight, stopped = tmp_path / "straight", tmp_path / "stopped"
    torchrun(*recipe, str(straight))
    # The same run, stopped as soon as it has written its first epoch.
    process = python("-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2", *recipe, str(stopped))
    while not (stopped / "last.pt").exists():
        assert process.poll() is None, process.stderr.read()
        time.sleep(0.005)
    process.terminate()
    process.communicate(timeout=60)
    torchrun(*recipe, str(stopped))
    read = [torch.load(path / "last.pt", weights_only=True) for path in (straight, stopped)]
    assert all(map(torch.equal, read[0]["model"].values(), read[1]["model"].values()))


def test_batch_norm_statistics_are_those_of_all_processes():
    model = nn.BatchNorm2d(2)
    training.distributed.same_statistics(model, World())  # one process: nothing to do
    assert model.running_mean.eq(0).all()


# Without a notebook


def test_command_line(tmp_path, capsys):
    out = tmp_path / "history.json"
    torch.manual_seed(3)
    assert main(["--epochs", "1", "--test", "--history", str(out), "--device", "cpu"]) == 0
    printed = capsys.readouterr().out
    assert "1 epoch in ≈" in printed and "test accuracy ≈" in printed and "of 1,000 images" in printed
    history = json.loads(out.read_text())
    assert len(history["step_loss"]) == 55 and len(history["validation_accuracy"]) == 1


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--data", "nothing-there"], "--data is 'nothing-there'"),
        (["--model", "NoSuch"], "--model is 'NoSuch'.*LeNet"),
        (["--model", "no.such:Net"], "--model is 'no.such:Net'"),
        (["--optimizer", "Nadir"], "--optimizer is 'Nadir'"),
        (["--optimizer", "Adam", "--momentum", "0.9"], "Adam does not take these settings"),
        (["--epochs", "0"], "epochs is 0"),
        (["--augment", "crop", "fly"], "--augment names 'fly'"),
        (["--learning-rate", "1e30", "--epochs", "9"], "Likely causes"),
    ],
)
def test_command_line_answers_bad_input_with_a_sentence(arguments, words, capsys):
    assert main([*arguments, "--device", "cpu"]) == 2
    text = capsys.readouterr().err
    assert re.search(words, text), text
    assert text.count("\n") == 1
