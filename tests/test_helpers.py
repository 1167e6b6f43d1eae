"""The small rooms of ``utils``: claims, runtime, filters, data, activations, results, plots."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest
import torch
from torch import nn

from utils import activations, data, filters, plots, results, runtime
from utils.claims import claim


def test_importing_utils_is_light():
    """``import utils`` loads neither torch, matplotlib nor ipywidgets; nor do the rooms that need none."""
    code = (
        "import sys, utils, utils.geometry, utils.runtime, utils.claims, utils.filters, utils.widgets, utils.models;"
        "print([m for m in ('torch', 'matplotlib', 'ipywidgets', 'anywidget', 'numpy') if m in sys.modules])"
    )
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout.strip() == "[]"


# claims


@pytest.mark.parametrize(
    "arguments",
    [
        (1, "==", 1),
        (2.0, ">", 1),
        ([1, 2], "==", (1, 2)),
        (torch.tensor(3.0), "<", 4),
        (True,),
        (np.float64(1), "<=", 1),
    ],
)
def test_a_claim_that_holds_is_printed(arguments, capsys):
    claim("so it is", *arguments)
    assert capsys.readouterr().out == "✓ so it is\n"


@pytest.mark.parametrize(
    "arguments",
    [
        (1, "==", 2),
        (float("nan"), "!=", 1),
        (float("nan"), "<", 1),
        (1, "<", float("nan")),
        (False,),
        ([1, 2], "==", [1]),
    ],
)
def test_a_claim_that_fails_says_all(arguments):
    with pytest.raises(AssertionError, match="not so: the text — the value is .*, expected "):
        claim("the text", *arguments)


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        ((1, "~", 1), ValueError),
        ((torch.zeros(2), "==", 0), TypeError),
        (("a", "<", 1), TypeError),
        ((1, True), ValueError),
    ],
)
def test_a_claim_that_makes_no_sense_is_refused(arguments, error):
    with pytest.raises(error):
        claim("the text", *arguments)


# runtime


def test_scale(monkeypatch):
    monkeypatch.delenv("CNN_SCALE", raising=False)
    assert runtime.pick(small=1, full=2) == 1
    monkeypatch.setenv("CNN_SCALE", "full")
    assert runtime.pick(small=1, full=2) == 2
    monkeypatch.setenv("CNN_SCALE", "huge")
    with pytest.raises(ValueError, match="'huge'.*'small' or 'full'"):
        runtime.scale()


def test_device(monkeypatch):
    monkeypatch.setenv("CNN_DEVICE", "cpu")
    assert runtime.device() == torch.device("cpu")
    for wrong in ("gpu", "cuda:99"):
        monkeypatch.setenv("CNN_DEVICE", wrong)
        with pytest.raises(ValueError, match=f"CNN_DEVICE is '{wrong}'"):
            runtime.device()


def test_seed_repeats():
    draws = []
    for _ in range(2):
        runtime.seed(7)
        draws.append((torch.rand(1).item(), np.random.rand()))
    assert draws[0] == draws[1]


# filters


def test_correlate_against_scipy():
    from scipy.signal import correlate2d

    generator = np.random.default_rng(0)
    for _ in range(200):
        image = generator.normal(size=generator.integers(5, 12, 2))
        kernel = generator.normal(size=generator.integers(1, 5, 2))
        padding, stride = int(generator.integers(0, 3)), int(generator.integers(1, 4))
        ours = filters.correlate(torch.tensor(image), torch.tensor(kernel), padding=padding, stride=stride)
        theirs = correlate2d(np.pad(image, padding), kernel, mode="valid")[::stride, ::stride]
        np.testing.assert_allclose(ours.numpy(), theirs, atol=1e-12)


@pytest.mark.parametrize(("mode", "name"), [("reflect", "reflect"), ("replicate", "edge"), ("circular", "wrap")])
def test_padding_modes_against_numpy(mode, name):
    image = torch.arange(20.0).view(4, 5)
    ours = filters.correlate(image, torch.ones(1, 1), padding=3, mode=mode)
    np.testing.assert_array_equal(ours.numpy(), np.pad(image.numpy(), 3, mode=name))


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda i, k: filters.correlate(i[None], k), r"the image is \(1, 5, 5\)"),
        (lambda i, k: filters.correlate(i.tolist(), k), "the image is list"),
        (lambda i, k: filters.correlate(i, torch.ones(7, 7)), "covers 7 pixels"),
        (lambda i, k: filters.correlate(i, k, stride=0), "stride is 0"),
        (lambda i, k: filters.correlate(i, k, stride="2"), "stride is '2'"),
        (lambda i, k: filters.correlate(i, k, padding=1.5), "padding is 1.5"),
        (lambda i, k: filters.correlate(i, k, padding=5, mode="reflect"), "allows at most 4"),
        (lambda i, k: filters.correlate(i, k, padding=6, mode="circular"), "allows at most 5"),
        (lambda i, k: filters.correlate(i, k, mode="mirror"), "'mirror'"),
        (lambda i, k: filters.kernel("sobel"), "Sobel x"),
    ],
)
def test_filters_name_bad_input(call, words):
    with pytest.raises((TypeError, ValueError), match=words):
        call(torch.zeros(5, 5), filters.kernel("blur"))


# data


def test_digits_are_stratified_and_disjoint():
    sets = data.digits()
    assert [len(s) for s in (sets.train, sets.validation, sets.test)] == [3500, 500, 1000]
    for part in (sets.train, sets.validation, sets.test):
        assert part.labels.bincount().tolist() == [len(part) // 10] * 10
        assert part.mean == sets.train.mean and part.std == sets.train.std
        # shuffled: the package's array is sorted by class
        assert part.labels[:50].unique().numel() > 5
    rows = [{bytes(image) for image in part.images.numpy()} for part in (sets.train, sets.validation, sets.test)]
    assert not rows[0] & rows[2] and not rows[1] & rows[2] and not rows[0] & rows[1]
    inputs = sets.train.inputs()
    assert abs(inputs.mean()) < 1e-4 and abs(inputs.std() - 1) < 1e-4


def test_batches_see_every_image_once():
    part = data.digits().validation
    labels = torch.cat([y for _, y in part.batches(64)])
    assert torch.equal(labels, part.labels)
    shuffled = torch.cat([y for _, y in part.batches(64, generator=torch.Generator().manual_seed(1))])
    assert not torch.equal(shuffled, part.labels) and torch.equal(shuffled.sort()[0], part.labels.sort()[0])


@pytest.mark.parametrize(
    ("images", "labels", "words"),
    [
        (torch.zeros(2, 1, 4, 4), torch.zeros(2, dtype=torch.int64), "must be uint8"),
        (torch.zeros(2, 4, 4, dtype=torch.uint8), torch.zeros(2, dtype=torch.int64), r"\(N, C, H, W\)"),
        (torch.zeros(2, 1, 4, 4, dtype=torch.uint8), torch.zeros(3, dtype=torch.int64), "one for each image"),
        (torch.zeros(2, 1, 4, 4, dtype=torch.uint8), torch.tensor([0, 5]), "from 0 to 5.*from 0 to 1"),
    ],
)
def test_images_name_bad_input(images, labels, words):
    with pytest.raises(ValueError, match=words):
        data.Images(images, labels, ("a", "b"))


def test_split_names_bad_input():
    with pytest.raises(ValueError, match="500 images in all"):
        data.stratified_split(data.digits().validation, 400, 100)
    blank = data.Images(torch.zeros(4, 1, 2, 2, dtype=torch.uint8), torch.zeros(4, dtype=torch.int64), ("a",))
    with pytest.raises(ValueError, match="same in every pixel"):
        blank.with_statistics()


@pytest.mark.parametrize("name", list(data.PHOTOS))
def test_photos(name):
    image = data.photo(name, size=32)
    assert image.dim() == 3 and min(image.shape[1:]) == 32 and image.min() >= 0 and image.max() <= 1
    assert image.std() > 0.02  # a picture, not a blank
    assert data.photo(name, grey=True, size=32).shape[0] == 1
    assert data.PHOTOS[name].credit


def test_photo_names_bad_input():
    with pytest.raises(ValueError, match="'dog'.*chelsea"):
        data.photo("dog")
    with pytest.raises(ValueError, match="size is 0"):
        data.photo("moon", size=0)


# activations


def test_capture_clones_and_cleans_up():
    torch.manual_seed(0)
    model = nn.Sequential(nn.BatchNorm2d(1), nn.ReLU(inplace=True)).eval()
    with activations.capture(model, "0") as seen:
        model(torch.randn(1, 1, 4, 4))
    assert seen["0"].min() < 0  # the in-place layer behind did not overwrite it
    with pytest.raises(RuntimeError), activations.capture(model) as seen:
        model(torch.randn(1, 3, 4, 4))
    assert not any(layer._forward_hooks for layer in model.modules())
    with pytest.raises(ValueError, match="no layer '7'"), activations.capture(model, "7"):
        pass


def test_capture_in_the_graph_gives_the_gradients_of_the_plain_pass():
    torch.manual_seed(0)
    model = nn.Sequential(nn.Conv2d(1, 2, 3), nn.ReLU(inplace=True), nn.Flatten(), nn.Linear(8, 3))
    images = torch.randn(2, 1, 4, 4)
    maps = model[0](images)
    plain = torch.autograd.grad(model[3](model[2](maps.relu())).sum(), maps)[0]
    with activations.capture(model, "0", graph=True) as seen:
        output = model(images)
    assert torch.equal(seen["0"], maps) and seen["0"].min() < 0  # the in-place layer worked on the clone
    assert torch.equal(torch.autograd.grad(output.sum(), seen["0"])[0], plain)


def test_capture_of_nested_and_repeated_layers():
    class Twice(nn.Module):
        def __init__(self):
            super().__init__()
            self.body = nn.Sequential(nn.Sequential(nn.ReLU()), nn.Identity())
            self.unused = nn.Identity()

        def forward(self, x):
            return self.body(self.body(x) - 1)

    model, x = Twice(), torch.tensor([-1.0, 3.0])
    with activations.capture(model, "body.0.0", "unused", every=True) as seen:
        model(x)
    assert [t.tolist() for t in seen["body.0.0"]] == [[0, 3], [0, 2]] and "unused" not in seen
    with activations.capture(model, "body.0.0", "body.0.0") as seen:
        model(x)
    assert seen["body.0.0"].tolist() == [0, 2]
    with (
        pytest.raises(ValueError, match=r"no layer 'body.0.1'; it has, for example, .*'body.0'"),
        activations.capture(model, "body.0.1"),
    ):
        pass
    attention = nn.MultiheadAttention(4, 1)
    whole = nn.Sequential(attention)
    refused = pytest.raises(TypeError, match="the layer '0' returns a tuple, but only tensors")
    with refused, activations.capture(whole, "0"):
        whole[0](*[torch.zeros(2, 1, 4)] * 3)
    assert not attention._forward_hooks


def test_layer_table_counts():
    model = nn.Sequential(nn.Conv2d(3, 64, 3, padding=1), nn.ReLU(), nn.Flatten(), nn.Linear(64 * 16, 10))
    rows = activations.layer_table(model, (3, 4, 4))
    assert [r["output"] for r in rows] == ["64×4×4", "64×4×4", "1024", "10"]
    assert [r["parameters"] for r in rows] == [1792, 0, 0, 10250]
    assert [r["multiply_adds"] for r in rows] == [1728 * 16, 0, 0, 10240]


# results


def test_results_roundtrip(tmp_path, monkeypatch):
    monkeypatch.setattr(results, "FOLDER", tmp_path)
    results.record("trial", [{"name": "a", "accuracy": 0.5}], command="python -m x", data="none", seeds=[0])
    run = results.load("trial")
    assert run["rows"] == [{"name": "a", "accuracy": 0.5}]
    assert run["hardware"]["device"] and run["versions"]["torch"] and run["command"] == "python -m x"
    with pytest.raises(FileNotFoundError, match="'other' was not recorded; recorded runs: trial"):
        results.load("other")
    with pytest.raises(ValueError, match="no rows"):
        results.record("empty", [], command="", data="", seeds=[])


def test_table_aligns():
    text = results.table([{"net": "a", "n": 5}, {"net": "longer", "n": 1234}], {"net": "", "n": ","})
    assert text.splitlines() == ["net         n", "─────────────", "a           5", "longer  1,234"]


# plots


def test_figures_keep_text_legible():
    import matplotlib.pyplot as plt

    plots.use_house_style()
    drawn = [
        plots.show([torch.zeros(1, 8, 8), torch.zeros(3, 8, 8)], ["grey", "colour"]),
        plots.show([torch.randn(8, 8)] * 9, signed=True),
        plots.numbers([torch.eye(3), torch.ones(2, 2)], ["a", "b"], marks=[[(0, 0)], None], signs=["∗"]),
        plots.confusion(torch.eye(3).long(), "abc"),
    ]
    for axes in drawn:
        figure = np.ravel(axes)[0].figure
        figure.canvas.draw()
        assert figure.get_size_inches()[0] <= 7.3
        sizes = [t.get_fontsize() for t in figure.findobj(plt.Text) if t.get_text()]
        assert min(sizes, default=9) >= 9
        plt.close(figure)


def test_names_of_points_cover_neither_points_nor_each_other():
    import matplotlib.pyplot as plt

    plots.use_house_style()
    figure, axis = plt.subplots(figsize=(4, 3))
    axis.set(xlim=(0, 10), ylim=(0, 10))
    points = {"left": (5, 5), "right": (5.4, 5), "above": (5.2, 5.4), "at the edge": (0.1, 8), "alone": (8, 2)}
    plots.name_points(axis, points)
    boxes = [text.get_window_extent() for text in axis.texts]
    assert [text.get_text() for text in axis.texts] == list(points)
    places = axis.transData.transform(list(points.values()))
    for i, box in enumerate(boxes):
        assert not any(box.overlaps(other) for other in boxes[:i])
        assert not any(box.contains(*place) for place in places)
        assert axis.bbox.x0 <= box.x0 and box.x1 <= figure.bbox.x1
    plots.name_points(axis, dict.fromkeys("abcdef", (5, 2)))  # no room for all: written all the same
    assert len(axis.texts) == 11
    plt.close(figure)


def test_a_cell_that_is_no_number_stays_empty():
    (axis,) = plots.numbers([torch.tensor([[1.0, torch.nan], [-2.0, 3.0]])])
    assert [text.get_text() for text in axis.texts] == ["1", "−2", "3"]


def test_plots_name_bad_input():
    with pytest.raises(ValueError, match=r"shape \(5, 2, 3, 4\)"):
        plots.show([torch.zeros(5, 2, 3, 4)])
    with pytest.raises(ValueError, match="1 titles for 2 images"):
        plots.show([torch.zeros(2, 2)] * 2, ["a"])
