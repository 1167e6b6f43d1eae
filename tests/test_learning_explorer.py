"""Watch it learn: `record` against a plain loop, and the figure against what was recorded."""

from __future__ import annotations

import json
import math
import random
import time
from dataclasses import replace
from functools import cache

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F

from browser import LAPTOP, PHONE, SPILL, assert_legible, assert_touchable, page_of, status
from utils.data import Images, Splits, digits
from utils.widgets import LearningExplorer, record, source
from utils.widgets import learning as module_of

MODULE = source("base.js", "learning.js")
RATES = (0.03, 0.3, 1.0)


def build():
    """The small network of the examples; at a learning rate of 1 it diverges."""
    return nn.Sequential(nn.Conv2d(1, 8, 7), nn.ReLU(), nn.MaxPool2d(4), nn.Flatten(), nn.Linear(200, 10))


def part(images: Images, count: int) -> Images:
    return images.take(slice(0, count))


@cache
def few() -> Splits:
    """Few digits, so that every epoch has a last batch of another size."""
    data = digits()
    return Splits(part(data.train, 150), part(data.validation, 100), part(data.test, 10))


@cache
def recorded():
    return record(build, few(), RATES, 60, moments=20)


@cache
def deep():
    """Three layers, two of one kind, more filters than are kept, two classes of long names, no image wrong."""
    data = few()

    def two(images):
        images = images.take(images.labels < 2)
        return replace(images, classes=("circle", "stroke"))

    def network():
        return nn.Sequential(
            nn.Conv2d(1, 12, 5), nn.ReLU(), nn.MaxPool2d(4), nn.Flatten(), nn.Linear(432, 6), nn.ReLU(), nn.Linear(6, 2)
        )

    return record(network, Splits(*map(two, (data.train, data.validation, data.test))), [0.05], 9, show=[3, 0, 1])


def equal(a, b, tolerance=1e-5):
    torch.testing.assert_close(torch.as_tensor(a), torch.as_tensor(b), rtol=tolerance, atol=1e-6, equal_nan=True)


# ---------------------------------------------------------------- recording


def test_recorded_is_what_a_plain_loop_finds():
    data, result = few(), recorded()
    assert result.rates == RATES and result.steps[:4] == (0, 1, 2, 3) and result.steps[-1] == 60
    assert result.layers == ("conv", "dense") and (result.filter_layer, result.filter_count) == ("conv", 8)
    first = [data.validation.labels.tolist().index(label) for label in range(10)]
    assert result.labels == tuple(range(10))
    assert (result.images == data.validation.images[first, 0]).all()
    assert result.classes == tuple("0123456789")
    inputs, labels = data.validation.inputs(), data.validation.labels
    for r, rate in enumerate(RATES):
        torch.manual_seed(0)
        model = build()
        conv, dense = model[0], model[4]
        start = conv.weight.detach().clone()
        shuffle = torch.Generator().manual_seed(0)
        order, lost = [], None
        for step in range(61):
            if not order:
                order = list(torch.randperm(150, generator=shuffle).split(64))
            batch = order.pop(0)
            loss = F.cross_entropy(model(data.train.inputs(batch)), data.train.labels[batch])
            if lost is None and not loss.isfinite():
                lost = step
            gradients = torch.autograd.grad(loss, list(model.parameters()))
            if step in result.steps:
                t = result.steps.index(step)
                with torch.no_grad():
                    logits = model(inputs)
                chances = logits.softmax(1)
                equal(result.training_loss[r, t], loss.detach())
                sure = logits.double().logsumexp(1) - logits.double()[range(100), labels]
                equal(result.validation_loss[r, t], sure.mean().float(), 1e-4)
                # A row with NaN is no answer; NumPy, like PyTorch, would name its first NaN.
                right = [int(np.argmax(row)) == int(y) for row, y in zip(logits.numpy(), labels, strict=True)]
                none = np.isnan(logits.numpy()).any(1)
                equal(result.validation_accuracy[r, t], float(np.mean(np.array(right) & ~none)))
                for i in (0, 1):
                    both = sum(float(g.double().square().sum()) for g in gradients[2 * i : 2 * i + 2]) ** 0.5
                    if both < 1e18 or math.isnan(both):  # its square fits in single precision
                        equal(result.gradient_norm[r, t, i], both, 1e-4)
                equal(result.filters[r, t], conv.weight.detach()[:, 0])
                far = float((conv.weight.detach().double() - start).norm() / start.norm())
                if far < 1e17 or math.isnan(far):
                    equal(result.moved[r, t], far, 1e-4)
                equal(result.probabilities[r, t], chances[first])
            with torch.no_grad():
                for parameter, gradient in zip(model.parameters(), gradients, strict=True):
                    parameter.add_(gradient, alpha=-rate)
        assert result.diverged[r] == lost, rate
        assert dense.weight.isnan().any() == (lost is not None)
    assert result.diverged[:2] == (None, None) and result.diverged[2] > 5
    late = result.steps.index(60)
    assert result.training_loss[2, late].isnan() and result.validation_accuracy[2, late] == 0
    assert 0.5 < result.validation_accuracy[0, late] <= 1  # it does learn
    assert repr(result) == "<Recording: 3 learning rates, 20 moments of 60 steps>"


def test_recording_again_gives_the_same_and_leaves_random_numbers_alone():
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    again = record(build, few(), [0.3], 12, moments=20)
    assert torch.equal(torch.rand(3), expected)
    known = recorded()
    both = set(again.steps) & set(known.steps)
    assert len(both) > 8
    for step in both:
        assert torch.equal(again.filters[0, again.steps.index(step)], known.filters[1, known.steps.index(step)])
    other = record(build, few(), [0.3], 2, seed=1)
    assert not torch.equal(other.filters[0, 0], again.filters[0, 0])
    adam = record(build, few(), [0.3], 2, optimizer=torch.optim.Adam)
    assert torch.equal(adam.filters[0, 0], again.filters[0, 0])  # the same start
    # Adam's first step moves every weight by the learning rate.
    assert (adam.filters[0, 1] - adam.filters[0, 0]).abs().max() == pytest.approx(0.3, abs=1e-3)


def test_layers_have_names_to_read():
    class Named(nn.Module):
        def __init__(self):
            super().__init__()
            self.norm0 = nn.BatchNorm2d(1)
            self.body = nn.Sequential(nn.Conv2d(1, 3, 5, bias=False), nn.BatchNorm2d(3), nn.ReLU(), nn.MaxPool2d(6))
            self.head = nn.Linear(48, 10)
            self.unused = nn.Linear(2, 2)

        def forward(self, x):
            return self.head(self.body(self.norm0(x)).flatten(1))

    result = record(Named, few(), [0.1], 3)
    assert result.layers == ("norm0", "conv", "norm", "head", "unused")
    assert result.filter_layer == "conv" and result.filters.shape == (1, 4, 3, 5, 5)
    assert (result.gradient_norm[..., -1] == 0).all() and (result.gradient_norm[..., :-1] > 0).all()
    assert deep().layers == ("conv", "dense 1", "dense 2") and deep().filter_count == 12
    assert deep().filters.shape == (1, 10, 8, 5, 5) and deep().labels == tuple(
        int(v) for v in few().validation.take(few().validation.labels < 2).labels[[3, 0, 1]]
    )


def test_moments_are_close_at_first_and_far_apart_later():
    for steps in [*range(1, 60), 199, 200, 1000, 3517, 100_000]:
        for count in (2, 3, 7, 20, 44, 48):
            kept = module_of._moments(steps, count)
            assert kept[0] == 0 and kept[-1] == steps and len(kept) == min(count, steps + 1)
            assert list(kept) == sorted(set(kept))
    gaps = np.diff(module_of._moments(200, 44))
    assert gaps[:10].tolist() == [1] * 10 and gaps[-1] >= 12 and gaps.argmax() >= len(gaps) - 2
    assert set(range(14)) | {40, 200} <= set(module_of._moments(200, 44))


def test_packing_loses_no_more_than_it_says():
    result = recorded()
    packed = module_of._packed(result)
    numbers = np.frombuffer(packed["_numbers"], "<f4").reshape(3, 20, 6)
    single = [result.training_loss, result.validation_loss, result.validation_accuracy, result.moved]
    for i, one in enumerate([*single, result.gradient_norm[..., 0], result.gradient_norm[..., 1]]):
        assert np.array_equal(numbers[..., i], one.numpy(), equal_nan=True), i
    whole, scales = unpacked(result)[:2]
    real = result.filters.numpy()
    lost = ~np.isfinite(real).all((3, 4))
    assert lost.any() and not lost[:2].any()
    assert np.array_equal(np.isnan(scales), lost) and (whole[lost] == 0).all()
    kept = ~lost
    assert (np.abs(whole[kept]).max((1, 2)) == 127).all()
    error = np.abs(whole[kept] * scales[kept][:, None, None].astype(float) - real[kept])
    assert (error <= scales[kept][:, None, None] * 0.501).all()
    parts = unpacked(result)[2]
    chances = result.probabilities.numpy()
    assert np.array_equal(np.isnan(parts), np.isnan(chances)) and np.isnan(parts).any()
    assert np.nanmax(np.abs(parts - chances)) < 1e-5
    assert packed["_images"] == result.images.numpy().tobytes()
    zeros = replace(result, filters=torch.zeros_like(result.filters))
    assert (unpacked(zeros)[0] == 0).all() and (unpacked(zeros)[1] == 0).all()


@cache
def unpacked(result):
    """Filters in whole numbers, their scales, and probabilities: as the page has them."""
    packed = module_of._packed(result)
    whole = np.frombuffer(packed["_filters"], np.int8).reshape(result.filters.shape)
    scales = np.frombuffer(packed["_scales"], "<f4").reshape(result.filters.shape[:3])
    parts = np.frombuffer(packed["_probabilities"], "<u2").reshape(result.probabilities.shape)
    return whole, scales, np.where(parts == 65_535, np.nan, parts / 65_534)


def full_size():
    """A recording of the default size, without the seconds that it takes."""
    r, t, k = 5, len(module_of._moments(200, 44)), 10
    draw = torch.Generator().manual_seed(0)
    return replace(
        recorded(),
        rates=module_of.RATES,
        steps=module_of._moments(200, 44),
        diverged=(None,) * r,
        **{name: torch.rand(r, t, generator=draw) for name in ("training_loss", "validation_loss", "moved")},
        validation_accuracy=torch.rand(r, t, generator=draw),
        gradient_norm=torch.rand(r, t, 2, generator=draw),
        filters=torch.randn(r, t, 8, 7, 7, generator=draw),
        probabilities=torch.rand(r, t, k, k, generator=draw).softmax(-1),
    )


def test_it_is_small():
    from ipywidgets.embed import dependency_state

    size = len(source("learning.js").encode())
    stored = len(json.dumps(dependency_state([LearningExplorer(full_size())], drop_defaults=False)))
    print(f"\nlearning.js: {size:,} bytes; stored with five rates, 44 moments and ten digits: {stored:,} bytes")
    assert size <= 14_000 and stored <= module_of.BUDGET
    many = full_size()
    many = replace(many, filters=many.filters.repeat(1, 1, 1, 2, 2))
    with pytest.raises(ValueError, match=r"would take \d{3},\d{3} bytes of the notebook, more than 250,000; record"):
        LearningExplorer(many)


def test_time_of_recording_is_printed():
    data = digits()
    began = time.process_time()
    record(build, data, [0.1], 50, moments=11)
    seconds = time.process_time() - began
    print(f"\none rate, 50 steps, 11 moments: {seconds:.2f} s of one core; five rates, 200 steps: {20 * seconds:.1f} s")


# ---------------------------------------------------------------- bad arguments


def colourful():
    return Splits(*[Images(torch.zeros(4, 3, 28, 28, dtype=torch.uint8), torch.zeros(4).long(), ("a", "b"))] * 3)


def oblong():
    return Splits(*[Images(torch.zeros(4, 1, 28, 20, dtype=torch.uint8), torch.zeros(4).long(), ("a", "b"))] * 3)


BAD = {
    "no rates": (dict(rates=[]), r"rates are \[\], but they must be a list of at least one learning rate"),
    "one number": (dict(rates=0.1), "rates are 0.1, but they must be a list"),
    "text": (dict(rates="0.1"), "rates are '0.1', but"),
    "rate 0": (dict(rates=[0.1, 0]), "one of the rates is 0, but a learning rate must be a finite number above 0"),
    "rate below 0": (dict(rates=[-0.1]), "one of the rates is -0.1"),
    "rate nan": (dict(rates=[float("nan")]), "one of the rates is nan"),
    "rate infinite": (dict(rates=[float("inf")]), "one of the rates is inf"),
    "rate letters": (dict(rates=["fast"]), "one of the rates is 'fast'"),
    "rate flag": (dict(rates=[True]), "one of the rates is True"),
    "twice": (dict(rates=[0.1, 0.3, 0.1]), r"the rates \[0.1, 0.3, 0.1\] hold one twice"),
    "no steps": (dict(steps=0), "steps is 0, but it must be a whole number, at least 1"),
    "half a step": (dict(steps=2.5), "steps is 2.5"),
    "one moment": (dict(moments=1), "moments is 1, but it must be a whole number, at least 2"),
    "no batch": (dict(batch_size=0), "batch_size is 0"),
    "seed": (dict(seed=-1), "seed is -1, but it must be a whole number, at least 0"),
    "images alone": (dict(data=few().train), "data is of the type Images, but it must be Splits"),
    "no data": (dict(data=None), "data is of the type NoneType"),
    "colour": (dict(data=colourful()), r"the training images have the shape \(3, 28, 28\) and 2 classes, but"),
    "oblong": (dict(data=oblong()), r"the shape \(1, 28, 20\) and 2 classes, but record takes square grey images"),
    "no images": (dict(data=replace(few(), train=part(few().train, 0))), "there are no training images"),
    "place": (dict(show=[100]), r"show is \[100\], but it must hold 1 to 10 places .* each from 0 to 99"),
    "eleven": (dict(show=range(11)), r"show is range\(0, 11\)"),
    "nothing shown": (dict(show=[]), r"show is \[\]"),
    "shown text": (dict(show="012"), "show is '012'"),
    "a network": (dict(build=build()), "build is a network, but it must be a function that makes a new one"),
    "no function": (dict(build=7), "build is 7, but it must be a function that makes one"),
    "no network": (dict(build=lambda: 7), "build returned 7, but it must return a network"),
    "no optimizer": (dict(optimizer="SGD"), "optimizer is 'SGD', but it must be a function"),
    "no convolution": (
        dict(build=lambda: nn.Sequential(nn.Flatten(), nn.Linear(784, 10))),
        "Sequential has no nn.Conv2d, but square filters are what is shown",
    ),
    "oblong filters": (
        dict(build=lambda: nn.Sequential(nn.Conv2d(1, 2, (3, 5)), nn.Flatten(), nn.Linear(1248, 10))),
        r"Sequential has kernels of \(3, 5\) in its first convolution",
    ),
    "colour network": (
        dict(build=lambda: nn.Sequential(nn.Conv2d(3, 2, 3), nn.Flatten(), nn.Linear(1352, 10))),
        "the training images have 1 channel .*, but the first convolution takes 3",
    ),
    "size": (
        dict(build=lambda: nn.Sequential(nn.Conv2d(1, 2, 3), nn.Flatten(), nn.Linear(99, 10))),
        "the model cannot take the training images",
    ),
    "outputs": (
        dict(build=lambda: nn.Sequential(nn.Conv2d(1, 2, 3), nn.Flatten(), nn.Linear(1352, 12))),
        "the network gives 12 logits, but there are 10 classes",
    ),
}


@pytest.mark.parametrize("arguments, sentence", BAD.values(), ids=BAD.keys())
def test_bad_arguments_get_one_sentence(arguments, sentence):
    whole = {"build": build, "data": few(), "rates": [0.1], "steps": 2, **arguments}
    with pytest.raises(ValueError, match=sentence):
        record(**whole)


def test_a_bad_explorer_gets_one_sentence():
    explorer = LearningExplorer(recorded(), rate=0.3)
    assert repr(explorer) == "<LearningExplorer: an interactive figure>"
    assert (explorer.step, explorer.rate) == (0, 0.3) and LearningExplorer(recorded()).rate == 0.3
    for name, values in {"step": (9999, "one", None, True, 1.5, [0]), "rate": (0.2, "0.3", None, False)}.items():
        for value in values:
            sentence = f"{name} is .*, and must be one that was recorded: "
            with pytest.raises(ValueError, match=sentence):
                LearningExplorer(recorded(), **{name: value}) if value is not None or name == "step" else setattr(
                    explorer, name, value
                )
            with pytest.raises(ValueError, match=sentence):
                setattr(explorer, name, value)
    assert (explorer.step, explorer.rate) == (0, 0.3)
    explorer.step, explorer.rate = np.int64(60), torch.tensor(1)
    assert (explorer.step, explorer.rate) == (60, 1.0) and type(explorer.rate) is float
    for wrong in (None, build(), digits, {}):
        with pytest.raises(ValueError, match="recording is of the type .*, but it must be what record"):
            LearningExplorer(wrong)


def test_rates_of_numpy_and_torch_are_taken_and_sorted():
    for rates in (np.array([0.5, 0.25]), torch.tensor([0.5, 0.25]), (0.5, 0.25)):
        assert record(build, few(), rates, 1).rates == (0.25, 0.5)


# ---------------------------------------------------------------- arithmetic of the page


def in_module(page, body, **values):
    """Run JavaScript with the module's exports as ``m`` and the given values as ``v``."""
    code = f"""async ([source, text]) => {{
        const m = await import(URL.createObjectURL(new Blob([source], {{ type: "text/javascript" }})));
        return JSON.stringify(((v) => {{ {body} }})(JSON.parse(text)));
    }}"""
    return json.loads(page.evaluate(code, [MODULE, json.dumps(values)]))


def words(value):
    """A number as the figure writes it."""
    value = float(value)
    if not math.isfinite(value):
        return "NaN" if math.isnan(value) else "infinite"
    if value == 0:
        return "0"
    if abs(value) >= 1e4 or abs(value) < 1e-3:
        front, power = f"{value:.1e}".split("e")
        return f"{front} × 10" + str(int(power)).translate(str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹"))
    if abs(value) < 0.1:
        return f"{value:#.2g}"
    return f"{value:.2f}" if abs(value) < 100 else f"{value:.0f}"


def percent(share):
    share = float(share)
    if math.isnan(share):
        return "NaN"
    if 0 < share < 0.005:
        return "< 1 %"
    return "> 99 %" if 0.995 <= share < 1 else f"{math.floor(100 * share + 0.5)} %"


def test_words_and_percent(browser):
    draw = random.Random(0)
    values = [draw.uniform(-1, 1) * 10 ** draw.uniform(-40, 38) for _ in range(3000)]
    values += [draw.uniform(0, 10) for _ in range(1000)]
    shares = [draw.random() ** 4 for _ in range(2000)] + [1 - draw.random() ** 6 for _ in range(2000)]
    page = browser.new_page()
    texts, parts = in_module(page, "return [v.a.map(m.words), v.b.map(m.percent)];", a=values, b=shares)
    assert texts == list(map(words, values)) and parts == list(map(percent, shares))
    assert in_module(page, "return [NaN, Infinity, -Infinity, 0, 2.5, 206, 4.1e6, 0.0123, 0.0001].map(m.words);") == [
        "NaN", "infinite", "infinite", "0", "2.50", "206", "4.1 × 10⁶", "0.012", "1.0 × 10⁻⁴",
    ]  # fmt: skip
    assert in_module(page, "return [NaN, 0, 0.001, 0.005, 0.844, 0.994, 0.999, 1].map(m.percent);") == [
        "NaN", "0 %", "< 1 %", "1 %", "84 %", "99 %", "> 99 %", "100 %",
    ]  # fmt: skip
    page.close()


def test_small_functions(browser):
    page = browser.new_page()
    found = in_module(page, "return [[1, 3, 3], [0, 0], [1, NaN], [1, Infinity], []].map(m.largestOf);")
    assert found == [1, 0, -1, 1, -1]
    found = in_module(page, "return [[0, 200], [200, 200], [1, 200], [19, 99]].map(([s, l]) => m.place(s, l));")
    assert found == pytest.approx([0, 1, math.log(2) / math.log(201), math.log(20) / math.log(100)])
    scales = [1, 2, 3, 5.1, 0.3, 0.02, 1e-6, 7e12, 1000]
    found = in_module(page, "return v.scales.map((s) => m.roundScale([s]));", scales=scales)
    assert found == pytest.approx([1, 2, 5, 10, 0.5, 0.02, 1e-6, 1e13, 1000], rel=1e-9)
    spread = "m.roundScale([...Array(99).fill(3), 1e9, NaN, Infinity])"
    assert in_module(page, f"return [{spread}, m.roundScale([]), m.roundScale([0, 0, 0])];") == [5, 1, 1]
    body = """const bytes = Uint8Array.from([9, 0, 0, 128, 63, 0, 0, 192, 127]), view = new DataView(bytes.buffer, 1);
        const forms = [view, bytes.subarray(1), bytes.slice(1).buffer];
        return forms.map((form) => [...m.unpack(form, Float32Array)].map(String));"""
    assert in_module(page, body) == [["1", "NaN"]] * 3
    page.close()


# ---------------------------------------------------------------- the figure


def slider(page, name, nth=0):
    return page.get_by_role("slider", name=name, exact=True).nth(nth)


def button(page, name, nth=0):
    return page.get_by_role("button", name=name).nth(nth)


# Everything the first explorer shows, in one call.
STATE = """(root, asked) => {
    const all = (s) => [...root.querySelectorAll(s)], text = (s) => all(s).map((n) => n.textContent);
    const pixels = (c) => [c.width, c.height, ...c.getContext("2d").getImageData(0, 0, c.width, c.height).data];
    const style = (s, name) => all(s).map((n) => n.style[name]);
    return {
        status: text(".cx-status")[0], losses: text(".le-loss .cx-title b"), about: text(".le-side .cx-title"),
        filters: all(".le-filters canvas").map(pixels), labels: all(".le-filters canvas").map((n) => n.ariaLabel),
        images: asked ? all(".le-digit canvas").map(pixels) : null, said: text(".le-digit > span"),
        error: all(".le-digit > span").map((n) => n.classList.contains("cx-error")),
        names: text(".le-norms > div > span:first-child"), norms: text(".le-norms b"),
        widths: style(".le-track span", "width"), over: all(".le-track span").map((n) => n.classList.contains("le-over")),
        heights: all(".le-digit").map((n) => [...n.querySelectorAll(".le-columns i")].map((i) => i.style.transform)),
        classes: all(".le-digit").map((n) => [...n.querySelectorAll(".le-columns > span")].map((i) => i.className)),
        sliders: all("input").map((n) => [Number(n.value), n.getAttribute("aria-valuetext")]),
        values: text(".le-slider b"), lines: all("polyline").map((n) => n.getAttribute("points")),
        dots: all(".le-dot").map((n) => [n.hidden, n.style.left, n.style.top, n.classList.contains("le-over")]),
        cursor: style(".le-cursor", "left"), lost: all(".le-lost").map((n) => n.hidden ? null : n.style.left),
        plot: all(".le-plot").map((n) => n.ariaLabel), small: text(".le-small")[0],
    };
}"""


CHOOSE = """(t) => {
    const input = document.querySelector("input");
    input.value = t;
    input.dispatchEvent(new Event("input"));
}"""


def number(text):
    assert text.endswith("%")
    return float(text[:-1])


def scale_of(result):
    """The value of a full gradient bar."""
    sound = [r for r, step in enumerate(result.diverged) if step is None] or range(len(result.rates))
    norms = sorted(float(v) for v in result.gradient_norm[list(sound)].flatten() if v.isfinite())
    most = norms[int(0.98 * (len(norms) - 1))]
    return min(n * 10**p for n in (1, 2, 5) for p in range(-9, 30) if n * 10.0**p >= most)


def colours(values, largest):
    """signedColour of the shared module."""
    t = np.clip(values / largest, -1, 1) if largest > 0 else values * 0
    ends = np.where((t < 0)[..., None], [33, 102, 172], [200, 90, 10])
    return 247 + (ends - 247) * (np.abs(t) ** 0.8)[..., None]


def assert_shows(page, result, step, rate, nth=0):
    """Everything the explorer shows at this moment is what was recorded; the images are looked at once."""
    state = page.locator(".cx").nth(nth).evaluate(STATE, step == 0)
    r, t, last = result.rates.index(rate), result.steps.index(step), result.steps[-1]
    place = lambda s: math.log1p(s) / math.log1p(last)  # noqa: E731
    train, valid, accuracy, moved, norms = (
        getattr(result, name)[r, t]
        for name in ("training_loss", "validation_loss", "validation_accuracy", "moved", "gradient_norm")
    )
    # the sentence
    shown = f"{rate:g}"
    largest = "gradient not a number"
    if not norms.isnan().any():
        largest = f"largest gradient in {result.layers[int(norms.argmax())]}" if norms.max() > 0 else "every gradient 0"
    loss = "not a number (NaN)" if train.isnan() else words(train)
    sentence = f"Step {step} of {last}, learning rate {shown}: training loss {loss}, validation accuracy "
    sentence += f"{percent(accuracy)}, {largest}."
    lost = result.diverged[r]
    if lost is not None and step >= lost:
        sentence += f" Diverged at step {lost}: no further step repairs that."
    assert state["status"] == sentence
    # the sliders
    assert state["sliders"] == [[t, f"{step} of {last}"], [r, shown]]
    assert state["values"] == [f"{step} of {last}", shown]
    # the losses
    assert state["losses"] == [words(train), words(valid)]
    top = 2 * math.log(len(result.classes))
    up = lambda loss: 1 - min(float(loss), top) / top  # noqa: E731
    for i, losses in enumerate((result.training_loss[r], result.validation_loss[r])):
        finite = [(place(s), up(v)) for s, v in zip(result.steps, losses, strict=True) if not v.isnan()]
        for points, until in ((state["lines"][i], last), (state["lines"][2 + i], step)):
            drawn = [tuple(map(float, point.split(","))) for point in points.split()]
            expected = [point for point in finite if point[0] <= place(until) + 1e-9]
            assert np.allclose(drawn, expected, atol=6e-5) and len(drawn) == len(expected)
        hidden, left, height, over = state["dots"][i]
        assert hidden == bool(losses[t].isnan())
        assert number(left) == pytest.approx(100 * place(step), abs=1e-3)
        if not hidden:
            assert number(height) == pytest.approx(100 * up(losses[t]), abs=1e-3)
            assert over == bool(losses[t] > top)
    assert number(state["cursor"][0]) == pytest.approx(100 * place(step), abs=1e-3)
    if lost is None:
        assert state["lost"] == [None]
    else:
        assert number(state["lost"][0]) == pytest.approx(100 * place(lost), abs=1e-3)
    ends = [f"{words(v[0])} to {words(v[-1])}" for v in (result.training_loss[r], result.validation_loss[r])]
    assert state["plot"] == [
        f"Loss by step, learning rate {shown}: training from {ends[0]}, validation from {ends[1]}."
    ]
    # the filters
    whole, scales, chances = unpacked(result)
    real = whole[r, t] * scales[r, t][:, None, None].astype(float)
    sound = ~np.isnan(scales[r, t])
    most = 127 * float(scales[r, t][sound].max()) if sound.any() else 0
    count, side = result.filters.shape[2], result.filters.shape[3]
    some = f"{count} of {result.filter_count}" if count < result.filter_count else f"{count}"
    about = f"full colour: ±{words(most)}, change: {words(moved)}"
    assert state["about"] == [
        f"{some} filters of {result.filter_layer}",
        about if sound.any() else "their weights are not numbers any more",
        "Length of the gradient, by layer",
    ]
    for f, picture in enumerate(state["filters"]):
        assert picture[:2] == [side, side]
        seen = np.array(picture[2:]).reshape(side, side, 4)[..., :3]
        if sound[f]:
            assert np.abs(seen - colours(real[f], most)).max() <= 0.5 + 1e-6, f
            assert state["labels"][f] == f"filter {f + 1}"
        else:
            assert {tuple(c) for c in seen.reshape(-1, 3)} == {
                (208, 215, 222),
                (139, 148, 158),
            }  # no colour of a weight
            assert state["labels"][f] == f"filter {f + 1}, not numbers"
    # the gradients
    full = scale_of(result)
    assert state["names"] == list(result.layers) and state["norms"] == list(map(words, norms))
    assert f"A full gradient bar is {words(full)};" in state["small"]
    for i, norm in enumerate(norms.nan_to_num(0)):
        assert number(state["widths"][i]) == pytest.approx(min(100, 100 * float(norm) / full), abs=1e-3)
        assert state["over"][i] == bool(norm > full)
    # the answers
    for d, label in enumerate(result.labels):
        share, said = chances[r, t, d], lambda c: f"{result.classes[c]}: {percent(chances[r, t, d, c])}"  # noqa: B023
        heights = [float(text.removeprefix("scaleY(").removesuffix(")")) for text in state["heights"][d]]
        assert heights == pytest.approx(np.nan_to_num(share), abs=1e-5)
        if np.isnan(share).any():
            text, answer = "✗ no answer (NaN)", None
        else:
            answer = int(share.argmax())
            text = f"✓ {said(label)}" if answer == label else f"✗ {said(answer)}, {said(label)}"
        assert state["said"][d] == text and state["error"][d] == (answer != label)
        marks = [" ".join(filter(None, ("le-true" * (c == label), "le-wrong" * (c == answer != label))))
                 for c in range(len(result.classes))]  # fmt: skip
        assert state["classes"][d] == marks
        if step == 0:
            picture = np.array(state["images"][d][2:]).reshape(28, 28, 4)[..., 0]
            assert (picture == result.images[d].numpy()).all()


def test_every_moment_of_every_rate(opened):
    result = recorded()
    page = opened(LearningExplorer(result, rate=0.03))
    wrong = set()
    for r, rate in enumerate(RATES):
        slider(page, "Learning rate").fill(str(r))
        for t, step in enumerate(result.steps):
            page.evaluate(CHOOSE, t)
            assert_shows(page, result, step, rate)
            wrong |= set(page.locator(".le-digit > span").all_inner_texts())
    assert any(text.startswith("✓") for text in wrong) and any(text.startswith("✗ no answer") for text in wrong)
    assert any(text.startswith("✗") and "," in text for text in wrong)


def test_another_network_with_long_names(opened):
    result = deep()
    page = opened(LearningExplorer(result, step=2))
    for step in result.steps:
        slider(page, "Step").fill(str(result.steps.index(step)))
        assert_shows(page, result, step, 0.05)
    assert page.locator(".le-columns").first.inner_text().strip() == ""  # a long name does not fit below a column
    assert "circle: " in page.locator(".le-digit").all_inner_texts()[0] + page.locator(".le-digit").all_inner_texts()[1]


def test_values_no_run_of_the_tests_has(opened):
    """Infinite losses, gradients of 0, one filter of eight that is lost, and only runs that diverge."""
    result = recorded()
    filters = result.filters.clone()
    filters[0, 1, 3, 2, 2] = float("inf")
    filters[0, 2] = 0
    gradient, training, validation = (
        getattr(result, name).clone() for name in ("gradient_norm", "training_loss", "validation_loss")
    )
    gradient[0, 1], training[0, 2], validation[0, 2] = 0, float("inf"), 1e12
    gradient[0, 2] = torch.tensor([1.0, float("inf")])
    odd = replace(result, filters=filters, gradient_norm=gradient, training_loss=training, validation_loss=validation)
    page = opened(LearningExplorer(odd, rate=0.03))
    for t in range(4):
        slider(page, "Step").fill(str(t))
        assert_shows(page, odd, odd.steps[t], 0.03)
    slider(page, "Step").fill("2")
    assert "training loss infinite" in status(page) and "largest gradient in dense" in status(page)
    lost = replace(result, diverged=(3, 4, 5))
    page = opened(LearningExplorer(lost, rate=0.3, step=4))
    assert_shows(page, lost, 4, 0.3)
    assert "Diverged at step 4: no further" in status(page)


def test_a_single_rate_and_a_single_step(opened):
    result = record(build, few(), [0.25], 1)
    page = opened(LearningExplorer(result))
    assert_shows(page, result, 0, 0.25)
    slider(page, "Step").press("ArrowRight")
    assert_shows(page, result, 1, 0.25)
    assert page.locator(".le-wide").all_inner_texts() == ["0", "1"]


def test_axes(opened):
    page = opened(LearningExplorer(recorded()), LearningExplorer(full_size()))
    texts = [page.locator(".cx").nth(i).locator(".le-wide").all_inner_texts() for i in (0, 1)]
    assert texts == [["0", "1", "2", "5", "10", "20", "60"], ["0", "1", "2", "5", "10", "20", "50", "100", "200"]]
    places = page.locator(".le-wide").evaluate_all("all => all.map((n) => parseFloat(n.style.left))")
    assert places[1] == pytest.approx(100 * math.log(2) / math.log(61), abs=1e-3) and places[6] == 100
    assert page.locator(".cx").first.locator(".le-high").all_inner_texts() == ["0", "1", "2", "3", "4"]
    heights = page.locator(".le-high").evaluate_all("all => all.map((n) => parseFloat(n.style.top))")
    assert heights[2] == pytest.approx(100 * (1 - 2 / (2 * math.log(10))), abs=1e-3)
    chance = page.locator(".le-chance").first
    assert chance.inner_text() == "guessing: 2.30" and "top:50%" in chance.get_attribute("style")


def test_keyboard(opened):
    result = recorded()
    page = opened(LearningExplorer(result, step=1, rate=1.0))
    stops = []
    for _ in range(10):
        page.keyboard.press("Tab")
        if page.evaluate("document.activeElement === document.body"):
            break
        stops.append(page.evaluate("document.activeElement.ariaLabel || document.activeElement.textContent"))
        assert page.evaluate("getComputedStyle(document.activeElement).outlineStyle") != "none"
    assert stops == ["▶ Play", "Step", "Learning rate", "Reset"]
    slider(page, "Step").focus()
    for key, t in (("ArrowRight", 2), ("ArrowUp", 3), ("ArrowLeft", 2), ("End", 19), ("ArrowRight", 19), ("Home", 0)):
        page.keyboard.press(key)
        assert_shows(page, result, result.steps[t], 1.0)
    slider(page, "Learning rate").press("ArrowLeft")
    assert_shows(page, result, 0, 0.3)
    button(page, "Reset").press("Enter")
    assert_shows(page, result, 1, 1.0)
    button(page, "Reset").press("Enter")
    assert_shows(page, result, 1, 1.0)


# ---------------------------------------------------------------- play


@pytest.fixture
def stopped(browser):
    """Return a function that opens explorers in a page whose clock stands still."""
    contexts = []

    def function(*explorers, **arguments):
        contexts.append(browser.new_context(viewport={"width": LAPTOP, "height": 900}, **arguments))
        page = contexts[-1].new_page()
        page.clock.install(time=0)
        page.set_content(page_of(*explorers))
        page.wait_for_selector(".explorer[data-ready]")
        page.clock.pause_at(1_000_000)
        return page

    yield function
    for context in contexts:
        context.close()


def test_play_pause_and_the_end(stopped):
    result = recorded()
    page = stopped(LearningExplorer(result, rate=0.3))
    page.clock.run_for(60_000)
    assert_shows(page, result, 0, 0.3)  # it never starts by itself
    button(page, "Play").click()
    assert_shows(page, result, 0, 0.3)
    page.clock.run_for(149)
    assert_shows(page, result, 0, 0.3)
    page.clock.run_for(1)
    assert_shows(page, result, 1, 0.3)
    page.clock.run_for(750)
    assert_shows(page, result, result.steps[6], 0.3)
    live = page.locator(".cx-status")
    assert live.get_attribute("aria-live") == "off"
    slider(page, "Learning rate").press("ArrowRight")  # another rate while it plays
    page.clock.run_for(150)
    assert_shows(page, result, result.steps[7], 1.0)
    button(page, "Pause").click()
    assert live.get_attribute("aria-live") == "polite"
    page.clock.run_for(60_000)
    assert_shows(page, result, result.steps[7], 1.0)
    button(page, "Play").click()  # it goes on from there
    page.clock.run_for(150 * 11)
    assert_shows(page, result, result.steps[18], 1.0)
    assert button(page, "Pause").count() == 1
    page.clock.run_for(150)
    assert_shows(page, result, 60, 1.0)
    assert button(page, "Play").count() == 1 and live.get_attribute("aria-live") == "polite"
    page.clock.run_for(60_000)
    assert_shows(page, result, 60, 1.0)
    button(page, "Play").click()  # from the end: anew
    assert_shows(page, result, 0, 1.0)
    page.clock.run_for(300)
    assert_shows(page, result, 2, 1.0)


def test_what_stops_it(stopped):
    result = recorded()
    page = stopped(LearningExplorer(result, rate=0.3, step=3))
    for act in (
        lambda: slider(page, "Step").press("ArrowRight"),
        lambda: button(page, "Reset").click(),
        lambda: page.locator(".le-plot").click(position={"x": 2, "y": 20}),
    ):
        button(page, "Play").click()
        page.clock.run_for(300)
        act()
        before = status(page)
        assert button(page, "Play").count() == 1 and button(page, "Pause").count() == 0
        page.clock.run_for(5000)
        assert status(page) == before
    assert "Step 0 of 60" in before


def test_reduced_motion_plays_slowly_and_only_when_asked(stopped):
    result = recorded()
    page = stopped(LearningExplorer(result, rate=0.3), reduced_motion="reduce")
    page.clock.run_for(60_000)
    assert_shows(page, result, 0, 0.3)
    button(page, "Play").click()
    page.clock.run_for(599)
    assert_shows(page, result, 0, 0.3)
    page.clock.run_for(1)
    assert_shows(page, result, 1, 0.3)
    assert page.evaluate("document.getAnimations().length") == 0


# ---------------------------------------------------------------- pointer, places, looks


def along(page, step, last=60, height=0.4):
    box = page.locator(".le-plot").first.bounding_box()
    return box["x"] + box["width"] * math.log1p(step) / math.log1p(last), box["y"] + box["height"] * height


def test_the_curve_is_a_slider_for_the_mouse(opened):
    result = recorded()
    page = opened(LearningExplorer(result, rate=0.3))
    page.mouse.move(*along(page, 10))
    assert_shows(page, result, 0, 0.3)
    page.mouse.down()
    assert_shows(page, result, 10, 0.3)
    page.mouse.move(*along(page, 3))
    assert_shows(page, result, 3, 0.3)
    middle = [(a + b) / 2 for a, b in zip(along(page, 1), along(page, 2), strict=True)]
    page.mouse.move(middle[0] - 4, middle[1])
    assert_shows(page, result, 1, 0.3)
    page.mouse.move(middle[0] + 4, middle[1])
    assert_shows(page, result, 2, 0.3)
    page.mouse.move(5000, middle[1])  # beyond the end
    assert_shows(page, result, 60, 0.3)
    page.mouse.up()
    page.mouse.move(*along(page, 3))
    assert_shows(page, result, 60, 0.3)  # let go
    page.mouse.down(button="right")
    page.mouse.up(button="right")
    assert_shows(page, result, 60, 0.3)


def test_touch_on_a_phone(touched):
    result = recorded()
    page = touched(LearningExplorer(result, rate=0.3))

    def begins(text):  # what a tap does comes a moment after it
        page.wait_for_function("text => document.querySelector('.cx-status').textContent.startsWith(text)", arg=text)

    page.touchscreen.tap(*along(page, 10))
    begins("Step 10 of")
    assert_shows(page, result, 10, 0.3)
    box = slider(page, "Learning rate").bounding_box()
    assert box["height"] >= 34
    page.touchscreen.tap(box["x"] + box["width"] - 4, box["y"] + box["height"] / 2)
    begins("Step 10 of 60, learning rate 1:")
    assert_shows(page, result, 10, 1.0)
    button(page, "Reset").tap()
    begins("Step 0 of 60, learning rate 0.3:")
    client = page.context.new_cdp_session(page)
    for kind, step in (("touchStart", 10), ("touchMove", 20), ("touchMove", 3), ("touchEnd", None)):
        places = [] if step is None else [dict(zip(("x", "y"), along(page, step), strict=True))]
        client.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": places})
    begins("Step 3 of 60")
    assert_shows(page, result, 3, 0.3)
    # The sliders stay in sight while the answers are.
    page.evaluate("window.scrollTo(0, 400)")
    page.wait_for_function("window.scrollY > 100")
    box = slider(page, "Step").bounding_box()
    assert 0 < box["y"] < 740 - box["height"]


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_small_phone_and_both_colour_modes(opened, theme):
    page = opened(LearningExplorer(full_size()), LearningExplorer(recorded(), rate=1.0), width=PHONE, theme=theme)
    for width in (PHONE, 320, 616, 700, 800, LAPTOP):
        page.set_viewport_size({"width": width, "height": 740})
        for t in (0, 5, 19):
            slider(page, "Step", 1).fill(str(t))
            slider(page, "Step", 0).fill(str(2 * t))
            assert_legible(page, texts=151)
            assert page.evaluate(SPILL) == [], width
        assert_touchable(page)
        boxes = page.locator(".le-filters canvas").evaluate_all(
            "all => all.map((c) => c.getBoundingClientRect().width)"
        )
        assert min(boxes) >= 28
        # Columns stand on one line and never rise above their picture.
        columns = page.locator(".le-columns i").evaluate_all(
            """all => all.map((i) => { const a = i.getBoundingClientRect(), digit = i.closest(".le-digit");
                const b = digit.querySelector("canvas").getBoundingClientRect();
                return [a.top - b.top, b.bottom - a.bottom]; })"""
        )
        assert min(top for top, _ in columns) > -1 and {round(bottom) for _, bottom in columns} == {14}


def test_labels_for_screen_readers(opened):
    page = opened(LearningExplorer(recorded(), rate=1.0, step=60))
    assert page.get_by_role("group", name="Watch it learn").count() == 1
    assert page.get_by_role("img", name="an image of 7", exact=True).count() == 1
    assert page.get_by_role("img", name="filter 3, not numbers").count() == 1
    assert page.get_by_role("listitem").count() == 10
    assert "training from " in page.get_by_role("img", name="Loss by step").get_attribute("aria-label")
    assert "to NaN" in page.get_by_role("img", name="Loss by step").get_attribute("aria-label")


def test_two_copies_and_views(opened):
    result = recorded()
    one, two = LearningExplorer(result, rate=0.03), LearningExplorer(result, rate=0.3)
    page = opened(one, two, two)
    slider(page, "Step").fill("4")
    assert [status(page, i)[:7] for i in range(3)] == ["Step 4 ", "Step 0 ", "Step 0 "]
    slider(page, "Learning rate", 1).fill("2")
    slider(page, "Step", 2).fill("7")
    assert_shows(page, result, 4, 0.03, 0)
    assert_shows(page, result, 7, 1.0, 1)
    assert_shows(page, result, 7, 1.0, 2)  # a second view follows
    ids = page.evaluate("[...document.querySelectorAll('[id]')].map((node) => node.id)")
    assert len(ids) == len(set(ids))


def test_the_host_is_told_and_left_clean(browser):
    """A model as a host provides it: each kind of buffer, changes from Python, and the end while it plays."""
    explorer = LearningExplorer(recorded(), rate=0.3)
    binary = {name: list(getattr(explorer, name)) for name in
              ("_numbers", "_filters", "_scales", "_probabilities", "_images")}  # fmt: skip
    page = browser.new_page()
    page.clock.install(time=0)
    page.goto("about:blank")
    page.clock.pause_at(1_000_000)
    result = page.evaluate(
        """async ([source, binary, about]) => {
            const module = (await import(URL.createObjectURL(new Blob([source], { type: "text/javascript" })))).default;
            const forms = [(a) => a.buffer, (a) => a, (a) => new DataView(new Uint8Array([9, 9, 9, ...a]).buffer, 3)], found = [];
            window.ended = [];
            for (const form of forms) {
                const values = { step: 2, rate: 0.3, _start: { step: 2, rate: 0.3 }, _about: about }, heard = new Map();
                for (const name in binary) values[name] = form(Uint8Array.from(binary[name]));
                let saved = 0;
                const model = {
                    get: (name) => values[name], save_changes: () => { saved += 1; },
                    set: (name, value) => { values[name] = value; heard.get(`change:${name}`)?.forEach((f) => f()); },
                    on: (name, f) => heard.set(name, (heard.get(name) ?? new Set()).add(f)),
                    off: (name, f) => heard.get(name).delete(f),
                };
                const el = document.createElement("div");
                document.body.append(el);
                const end = module.render({ model, el }), say = () => el.querySelector(".cx-status").textContent;
                const texts = [say()];
                model.set("step", 5);
                texts.push(say());
                model.set("rate", 1);
                texts.push(say(), saved);
                const [step] = el.querySelectorAll("input");
                step.value = 7;
                step.dispatchEvent(new Event("input"));
                texts.push(values.step, saved);
                el.querySelector(".le-play").click();
                if (form === forms[2]) window.playing = { values, el, saved: () => saved };
                else end();
                found.push([...texts, [...heard.values()].reduce((sum, set) => sum + set.size, 0), el.childElementCount]);
                if (form !== forms[2]) window.ended.push(values);
            }
            return found;
        }""",
        [MODULE, binary, explorer._about],
    )
    # While it plays, a kernel would get seven messages a second; it is told where the play ended.
    told = "[playing.values.step, playing.saved()]"
    page.clock.run_for(450)
    later = explorer._about["steps"][10]
    assert page.evaluate(told) == [later, 1]
    page.evaluate("playing.el.querySelector('.le-play').click()")
    assert page.evaluate(told) == [later, 2]
    page.clock.run_for(10_000)
    assert page.evaluate(told) == [later, 2]
    assert page.evaluate("window.ended.map((values) => values.step)") == [7, 7]  # the timer ended with the figure
    page.close()
    assert result[0] == result[1] and result[0][:-2] == result[2][:-2]
    *texts, untold, step, told, listeners, children = result[0]
    assert [text.split(":")[0] for text in texts] == [
        "Step 2 of 60, learning rate 0.3", "Step 5 of 60, learning rate 0.3", "Step 5 of 60, learning rate 1",
    ]  # fmt: skip
    assert (untold, step, told, listeners, children) == (0, 7, 1, 0, 0)


def test_update_time_is_printed(opened):
    page = opened(LearningExplorer(full_size()), width=LAPTOP)
    times = page.evaluate(
        """() => {
            const [step, rate] = document.querySelectorAll("input"), times = [];
            for (let n = 0; n < 120; n += 1) {
                const input = n % 4 ? step : rate;
                input.value = n % 4 ? n % 44 : n % 5;
                const start = performance.now();
                input.dispatchEvent(new Event("input"));
                document.body.getBoundingClientRect();
                times.push(performance.now() - start);
            }
            return times.sort((a, b) => a - b);
        }"""
    )
    print(f"\none moment or rate: median {times[60]:.1f} ms, largest {times[-1]:.1f} ms")
    assert len(times) == 120
