"""``fit`` and ``evaluate``: they learn, they repeat, and what goes wrong is named."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from utils import training
from utils.data import Images, digits
from utils.models import LeNet, LeNet5
from utils.models.lenet import ClassicLeNet, trainable_parameters
from utils.training import progress


def few(n: int = 200) -> Images:
    return digits().train.take(slice(0, n))


def quiet(model, train, *rest, **more):
    return training.fit(model, train, *rest, progress=False, device="cpu", **{"epochs": 1, **more})


def test_fit_learns_and_repeats():
    runs = []
    for _ in range(2):
        torch.manual_seed(0)
        model = LeNet()
        history = quiet(model, few(), digits().validation, epochs=4)
        runs.append((history.loss, [p.sum().item() for p in model.parameters()]))
    assert runs[0] == runs[1]
    assert history.loss[-1] < history.loss[0] and history.epochs == 4 and len(history.validation_accuracy) == 4
    assert history.validation_accuracy[-1] > 0.2  # chance is 0.1
    assert not model.training


def test_fit_equals_the_loop_written_out():
    torch.manual_seed(0)
    ours, theirs = LeNet(), LeNet()
    theirs.load_state_dict(ours.state_dict())
    data = few(100)
    history = quiet(ours, data, epochs=2, batch_size=32, seed=3)
    optimizer, generator, losses = torch.optim.Adam(theirs.parameters(), 1e-3), torch.Generator().manual_seed(3), []
    for _ in range(2):
        total = 0.0
        for inputs, labels in data.batches(32, generator=generator):
            loss = F.cross_entropy(theirs(inputs), labels)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            total += loss.item() * len(labels)
        losses.append(total / len(data))
    assert history.loss == pytest.approx(losses, rel=1e-6)  # the mean over all images, not the last batch
    for a, b in zip(ours.parameters(), theirs.parameters(), strict=True):
        assert torch.equal(a, b)


def test_evaluate():
    model, data = LeNet().train(), digits().validation
    result = training.evaluate(model, data, device="cpu")
    assert model.training  # put back
    assert not result.logits.requires_grad
    assert result.accuracy == pytest.approx((result.logits.argmax(1) == data.labels).float().mean().item())
    assert result.loss == pytest.approx(F.cross_entropy(result.logits, data.labels).item())
    counts = result.confusion()
    assert counts.sum() == 500 and counts.diagonal().sum() == round(result.accuracy * 500)
    assert counts.sum(1).tolist() == [50] * 10


def test_progress_bar_leaves_one_line(capsys, monkeypatch):
    monkeypatch.setattr(progress.time, "monotonic", iter(range(10_000)).__next__)  # so that every step is drawn
    training.fit(LeNet(), few(), epochs=2, device="cpu")
    out = capsys.readouterr().out
    assert "\r" in out and "█" in out
    last = out.split("\r")[-1]
    assert last.startswith("2 epochs in ≈ ") and last.count("\n") == 1 and "█" not in last
    blank = out.split("\r")[-2]
    assert not blank.strip() and len(blank) >= max(len(part) for part in out.split("\r")[:-2])


def test_interrupt_keeps_what_there_is():
    def stop(epoch, _model):
        if epoch == 2:
            raise KeyboardInterrupt

    model = LeNet()
    history = quiet(model, few(), digits().validation, epochs=9, after_epoch=stop)
    assert history.interrupted and history.epochs == 2 and str(history).startswith("interrupted after 2 epochs")
    assert not model.training


def test_nan_is_named():
    class Broken(LeNet):
        def forward(self, x):
            return super().forward(x) * (x.sum() * 0 + 1e38) * 1e38

    with pytest.raises(FloatingPointError, match="loss of epoch 1 is (nan|inf).*learning rate") as caught:
        quiet(Broken(), few())
    assert caught.value.history.epochs == 0


def test_too_large_a_learning_rate_is_named():
    with pytest.raises(FloatingPointError, match="try a tenth"):
        quiet(LeNet(), few(), epochs=30, optimizer=None, learning_rate=1e25)


def coloured(n: int = 4) -> Images:
    return Images(
        torch.zeros(n, 3, 28, 28, dtype=torch.uint8), torch.zeros(n, dtype=torch.int64), ("a",), (0.0,) * 3, (1.0,) * 3
    )


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: quiet(LeNet(), few(0)), "no training images"),
        (lambda: quiet(LeNet(), few(), few(0)), "no validation images"),
        (lambda: quiet(LeNet(classes=5), few()), "labels go up to 9"),
        (lambda: quiet(LeNet(), coloured()), "3 channels.*takes 1"),
        (lambda: quiet(LeNet(size=32), few()), r"cannot take the training images of shape \(1, 28, 28\)"),
        (lambda: quiet(LeNet(), few(), epochs=0), "epochs is 0"),
        (lambda: quiet(LeNet(), few(), epochs=1.5), "epochs is 1.5"),
        (lambda: quiet(LeNet(), few(), batch_size=0), "batch_size is 0"),
        (lambda: training.evaluate(LeNet(), few(0)), "no given images"),
    ],
)
def test_bad_input_is_named_before_anything_changes(call, words):
    with pytest.raises(ValueError, match=words) as caught:
        call()
    assert "\n" not in str(caught.value)


def test_weights_roundtrip(tmp_path):
    model = LeNet()
    path = training.save_weights(model, tmp_path / "a.pt")
    again = training.load_weights(LeNet(), path)
    for a, b in zip(model.parameters(), again.parameters(), strict=True):
        assert torch.equal(a, b)
    half = training.save_weights(model, tmp_path / "half.pt", half=True)
    assert half.stat().st_size < 0.6 * path.stat().st_size
    assert training.load_weights(LeNet(), half)[0].weight.dtype == torch.float32
    assert sorted(p.name for p in tmp_path.iterdir()) == ["a.pt", "half.pt"]


def test_wrong_weights_are_named(tmp_path):
    path = training.save_weights(LeNet(size=32), tmp_path / "a.pt")
    with pytest.raises(ValueError, match=r"in a\.pt are not the weights of this LeNet.*1 have another shape"):
        training.load_weights(LeNet(size=28), path)
    with pytest.raises(ValueError, match="has 10 tensors: 10 are missing"):
        training.load_weights(LeNet(), training.save_weights(nn.Linear(1, 1), tmp_path / "b.pt"))
    with pytest.raises(FileNotFoundError, match=r"no file none\.pt"):
        training.load_weights(LeNet(), tmp_path / "none.pt")
    path.write_bytes(path.read_bytes()[:1000])
    with pytest.raises(ValueError, match=r"a\.pt cannot be read as weights: it is cut off"):
        training.load_weights(LeNet(), path)


def test_lenets():
    assert sum(p.numel() for p in LeNet(28).parameters()) == 44_426
    assert sum(p.numel() for p in LeNet(32).parameters()) == 61_706
    assert sum(p.numel() for p in ClassicLeNet(28).parameters()) == 44_426
    for size in (28, 32):
        assert LeNet(size)(torch.zeros(2, 1, size, size)).shape == (2, 10)
    published = LeNet5()
    assert trainable_parameters(published) - (84 * 10 + 10) == 60_000
    assert published(torch.zeros(2, 1, 32, 32)).shape == (2, 10)
    with pytest.raises(ValueError, match="size is 30"):
        LeNet(30)
