"""The window explorer: its arithmetic against PyTorch, and the figure under mouse, keyboard and touch."""

from __future__ import annotations

import io
import random
import re

import pytest
import torch
import torch.nn.functional as F
from PIL import Image
from playwright.sync_api import expect

from browser import PHONE, assert_legible, assert_touchable, button, call, menu, status
from utils.geometry import output_size
from utils.widgets import WindowExplorer, source
from utils.widgets.window import KINDS, PRESETS, RANGES

MODULE = source("base.js", "window.js")
CONVOLUTION, MAX, AVERAGE = KINDS


def layer(size=8, kernel=3, padding=0, stride=1, dilation=1, kind=CONVOLUTION, ceil_mode=False):
    return dict(
        size=size, kernel=kernel, padding=padding, stride=stride, dilation=dilation, kind=kind, ceil_mode=ceil_mode
    )


# The arithmetic


def pytorch(image, layer):
    """Apply the layer as PyTorch does; it raises a TypeError for an argument that a layer does not have."""
    settings = {name: layer[name] for name in ("stride", "padding")}
    if layer["ceil_mode"]:
        settings["ceil_mode"] = True
    if layer["dilation"] > 1:
        settings["dilation"] = layer["dilation"]
    if layer["kind"] == CONVOLUTION:
        return F.conv2d(image, torch.ones(1, 1, layer["kernel"], layer["kernel"], dtype=image.dtype), **settings)
    pool = F.max_pool2d if layer["kind"] == MAX else F.avg_pool2d
    return pool(image, layer["kernel"], **settings)


def reads(layer, height, width, output):
    """Return the derivative of one output (of all for None) with respect to each pixel: not 0 where it is read.

    A maximum passes its derivative to the winner alone, so there each pixel is, in an image of its own, the
    largest one. A window that lies in the padding alone has no winner: None.
    """
    if layer["kind"] != MAX:
        image = torch.ones(1, 1, height, width, dtype=torch.float64, requires_grad=True)
        result = pytorch(image, layer)[0, 0]
        (result.sum() if output is None else result[output]).backward()
        return image.grad[0, 0]
    pixels = height * width
    image = torch.eye(pixels).view(pixels, 1, height, width).requires_grad_()
    result = pytorch(image, layer)[:, 0]
    result = result if output is None else result[:, output[0], output[1]]
    if result.isinf().any():
        return None
    result.sum().backward()
    return image.grad.view(pixels, pixels).diagonal().view(height, width)


def random_layers(count):
    """Draw layers that the controls reach, most of them possible, and a second side for an oblong image."""
    rng = random.Random(0)
    for _ in range(count):
        kind = rng.choice(KINDS)
        kernel = rng.choice([1, 2, 2, 3, 3, 4, 5, 7, 11])
        most = 8 if kind == CONVOLUTION else min(8, kernel // 2 + rng.choice([0, 0, 0, 1]))
        height = rng.choice([rng.randint(1, 9), rng.randint(1, 24), rng.randint(1, 32)])
        yield (
            layer(
                height,
                kernel,
                rng.randint(0, rng.choice([1, most])) if most else 0,
                rng.choice([1, 2, 2, 3, 4, rng.randint(1, 8)]),
                rng.choice([1, 1, 2, 3, rng.randint(1, 8)]) if kind != AVERAGE or rng.random() < 0.05 else 1,
                kind,
                rng.random() < (0.05 if kind == CONVOLUTION else 0.5),
            ),
            height if rng.random() < 0.5 else rng.randint(1, 20),
        )


def check_words(layer, r, c, rows, cols, sentence, formula):
    """Compare the sentence and the formula with the windows, which are compared with PyTorch elsewhere."""
    down, across, count, n = rows["windows"][r], rows["windows"][c], rows["count"], layer["size"]
    cells = len(down["reads"]) * len(across["reads"])
    kept = [len(w["reads"]) + len(w["pads"]) for w in (down, across)]
    padded, over = kept[0] * kept[1] - cells, layer["kernel"] ** 2 - kept[0] * kept[1]
    assert sentence.startswith(f"The output is {count} × {count}. Output [{r}, {c}] reads "), sentence
    assert (f": {cells} input cell" in sentence) if cells else ("no input cell at all" in sentence), sentence
    assert (f"{padded} tap" in sentence) if padded else ("no tap lies in the padding" in sentence), sentence
    assert (f"{over} over the edge" in sentence) == bool(over), sentence
    assert ("Its sum is divided by" in sentence) == (layer["kind"] == AVERAGE)
    if layer["kind"] == AVERAGE:
        assert f"divided by {kept[0] * kept[1]}." in sentence
    lost = rows["lost"]
    lines = "row and column" if lost == 1 else f"{lost} rows and columns"
    assert (f"The last {lines} of the" in sentence) if lost else ("Nothing falls off" in sentence), sentence
    missed = sum(0 <= x < n for x in rows["unread"])
    pixels = n * n - (n - missed) ** 2
    assert (f": {pixels} of {n * n} input cell" in sentence) if missed else ("Every input cell is read." in sentence)
    # the formula, from its own numbers
    steps, rest = divmod(n + 2 * layer["padding"] - layer["dilation"] * (layer["kernel"] - 1) - 1, layer["stride"])
    _, numbers, division = formula
    assert int(re.search(r"\d+$", numbers).group()) == count, numbers
    if (quotient := re.search(r"[⌊⌈](−?[\d.]+)(…?)[⌋⌉]", numbers)) is not None:
        exact = steps + rest / layer["stride"]
        shown = float(quotient[1].replace("−", "-"))
        assert abs(shown - exact) < (1e-3 if quotient[2] else 1e-12), (numbers, exact)
    assert ("no remainder" in division) == (rest == 0 and steps >= 0), division
    if steps >= 0:
        assert division.startswith(f"{steps * layer['stride'] + rest} = {steps}·{layer['stride']} + {rest}: ")
        assert (f"a remainder of {rest}" in division) == (rest > 0)
        assert ("is dropped" in division) == rows["dropped"] == ("one is dropped" in numbers)
    assert ("hangs over the edge by" in division or "hangs over its edge by" in division) == (rows["hang"] > 0)


def test_arithmetic_is_that_of_pytorch(browser):
    page = browser.new_page()
    cases = list(random_layers(1500))
    evaluate = """async ([source, cases]) => {
        const url = URL.createObjectURL(new Blob([source], { type: "text/javascript" })), m = await import(url);
        return cases.map(([layer, width]) => {
            const rows = m.windowsOf(layer), r = Math.floor(rows.count / 3), c = Math.max(0, rows.count - 1);
            return [rows, m.windowsOf({ ...layer, size: width }), r, c, m.describe(layer, r, c), m.formulaOf(layer)];
        });
    }"""
    answers = page.evaluate(evaluate, [MODULE, cases])
    page.close()
    agreed = {kind: 0 for kind in KINDS}
    refused = stricter = windowless = hanging = dropped = 0
    for (shape, width), (rows, cols, r, c, sentence, formula) in zip(cases, answers, strict=True):
        height = shape["size"]
        problem = rows["problem"] or cols["problem"]
        try:
            sizes = tuple(pytorch(torch.zeros(1, 1, height, width), shape).shape[2:])
        except (RuntimeError, TypeError):
            assert problem, (shape, width)
            refused += 1
            continue
        if problem:  # this version of PyTorch allows padding of half of the dilated kernel
            assert "more than half of the kernel" in problem and shape["dilation"] > 1 and shape["kind"] == MAX
            assert 2 * shape["padding"] > shape["kernel"]
            stricter += 1
            continue
        assert sizes == (rows["count"], cols["count"]), (shape, width)
        known = {name: value for name, value in shape.items() if name not in ("size", "kind")}
        for size, axis in ((height, rows), (width, cols)):
            assert output_size(size, **known, pooling=shape["kind"] != CONVOLUTION) == axis["count"]
        for place in {(0, 0), (sizes[0] - 1, sizes[1] - 1), (sizes[0] // 3, sizes[1] // 2)}:
            down, across = rows["windows"][place[0]], cols["windows"][place[1]]
            read = [[x in w["reads"] for x in range(n)] for w, n in ((down, height), (across, width))]
            expected = torch.tensor(read[0])[:, None] & torch.tensor(read[1])
            derivative = reads(shape, height, width, place)
            if derivative is None:
                assert not expected.any()
                windowless += 1
                continue
            assert torch.equal(derivative != 0, expected), (shape, width, place)
            if shape["kind"] == AVERAGE and expected.any():
                kept = [len(w["reads"]) + len(w["pads"]) for w in (down, across)]
                assert abs(1 / derivative.max() - kept[0] * kept[1]) < 1e-9, (shape, width, place)
            for window in (down, across):
                assert len(window["reads"]) + len(window["pads"]) + len(window["over"]) == shape["kernel"]
        # what no window reads at all
        derivative = reads(shape, height, width, None)
        if derivative is not None:
            seen = [[x not in axis["unread"] for x in range(n)] for n, axis in ((height, rows), (width, cols))]
            assert torch.equal(derivative != 0, torch.tensor(seen[0])[:, None] & torch.tensor(seen[1])), (shape, width)
        # the same for the padding; what falls off and what hangs over, counted from the last window
        for size, axis in ((height, rows), (width, cols)):
            padding, taps = shape["padding"], range(0, shape["kernel"] * shape["dilation"], shape["dilation"])
            covered = {i * shape["stride"] - padding + tap for i in range(axis["count"]) for tap in taps}
            assert axis["unread"] == [x for x in range(-padding, size + padding) if x not in covered]
            behind = size + shape["padding"] - axis["windows"][-1]["start"] - axis["span"]
            assert (axis["lost"], axis["hang"]) == (max(0, behind), max(0, -behind))
            assert axis["unread"][len(axis["unread"]) - axis["lost"] :] == [
                *range(size + shape["padding"] - axis["lost"], size + shape["padding"])
            ]
            if not shape["ceil_mode"]:
                assert axis["lost"] == axis["room"] % shape["stride"] == axis["rest"]
            hanging += axis["hang"] > 0
            dropped += axis["dropped"]
        check_words(shape, r, c, rows, rows, sentence, formula)
        agreed[shape["kind"]] += 1
    print(
        f"random layers that agree with PyTorch in size and in what each output reads: {agreed}; refused by both "
        f"{refused}; padding beyond half of the undilated kernel {stricter}; last windows that hang over {hanging}, "
        f"that are dropped {dropped}; windows in the padding alone {windowless}"
    )
    assert sum(agreed.values()) >= 1000 and min(agreed.values()) >= 300
    assert refused >= 100 and hanging >= 100 and dropped >= 20


SENTENCES = [
    (
        layer(8, 3, stride=2),
        (0, 2),
        "The output is 3 × 3. Output [0, 2] reads rows 0 to 2 and columns 4 to 6: 9 input cells; no tap lies in the "
        "padding. The last row and column of the input fall off. No window reads row and column 7: 15 of 64 input cells.",
    ),
    (
        layer(9, 3, 2, dilation=2),
        (1, 8),
        "The output is 9 × 9. Output [1, 8] reads rows 1, 3 and columns 6, 8: 4 input cells; 5 taps lie in the padding. "
        "Nothing falls off. Every input cell is read.",
    ),
    (
        layer(9, 3, stride=4),
        (1, 0),
        "The output is 2 × 2. Output [1, 0] reads rows 4 to 6 and columns 0 to 2: 9 input cells; no tap lies in the padding. "
        "The last 2 rows and columns of the input fall off. No window reads rows and columns 3, 7, 8: 45 of 81 input cells.",
    ),
    (
        layer(3, 2, 1, kind=AVERAGE, stride=3, ceil_mode=True),
        (1, 0),
        "The output is 2 × 2. Output [1, 0] reads row 2 and column 0: 1 input cell; 3 taps lie in the padding. Its sum is "
        "divided by 4. Nothing falls off. No window reads row and column 1: 5 of 9 input cells.",
    ),
    (
        layer(5, 2, stride=2, kind=MAX, ceil_mode=True),
        (2, 2),
        "The output is 3 × 3. Output [2, 2] reads row 4 and column 4: 1 input cell; no tap lies in the padding, and 3 over "
        "the edge, where nothing is read. Nothing falls off. Every input cell is read.",
    ),
    (
        layer(8, 3, 1, 2),
        (0, 0),
        "The output is 4 × 4. Output [0, 0] reads rows 0, 1 and columns 0, 1: 4 input cells; 5 taps lie in the padding. "
        "The last row and column of the padded input fall off. Every input cell is read.",
    ),
    (
        layer(1, 1, 1),
        (0, 1),
        "The output is 3 × 3. Output [0, 1] reads no input cell at all; 1 tap lies in the padding. Nothing falls off. "
        "Every input cell is read.",
    ),
]


@pytest.mark.parametrize("shape, place, sentence", SENTENCES)
def test_sentences(browser, shape, place, sentence):
    page = browser.new_page()
    assert call(page, MODULE, "describe", shape, *place) == sentence
    page.close()


FORMULAS = [
    (
        layer(8, 3, stride=2),
        "= ⌊(8 + 2·0 − 1·(3 − 1) − 1)/2⌋ + 1 = ⌊5/2⌋ + 1 = ⌊2.5⌋ + 1 = 2 + 1 = 3",
        "5 = 2·2 + 1: after the first window, 2 whole steps of 2 and a remainder of 1: the last cell falls off.",
    ),
    (
        layer(32, 5),
        "= ⌊(32 + 2·0 − 1·(5 − 1) − 1)/1⌋ + 1 = ⌊27/1⌋ + 1 = 27 + 1 = 28",
        "27 = 27·1 + 0: after the first window, 27 whole steps of 1 and no remainder: nothing falls off.",
    ),
    (
        layer(25, 3, stride=5),  # 22/5: 4.4, which 100·4.4 in floating point does not show
        "= ⌊(25 + 2·0 − 1·(3 − 1) − 1)/5⌋ + 1 = ⌊22/5⌋ + 1 = ⌊4.4⌋ + 1 = 4 + 1 = 5",
        "22 = 4·5 + 2: after the first window, 4 whole steps of 5 and a remainder of 2: the last 2 cells fall off.",
    ),
    (
        layer(8, 3, 1, 3),
        "= ⌊(8 + 2·1 − 1·(3 − 1) − 1)/3⌋ + 1 = ⌊7/3⌋ + 1 = ⌊2.333…⌋ + 1 = 2 + 1 = 3",
        "7 = 2·3 + 1: after the first window, 2 whole steps of 3 and a remainder of 1: the last cell falls off.",
    ),
    (
        layer(5, 2, stride=2, kind=MAX, ceil_mode=True),
        "= ⌈(5 + 2·0 − 1·(2 − 1) − 1)/2⌉ + 1 = ⌈3/2⌉ + 1 = ⌈1.5⌉ + 1 = 2 + 1 = 3",
        "3 = 1·2 + 1: after the first window, 1 whole step of 2 and a remainder of 1. Rounding up adds a window, "
        "which hangs over the edge by 1.",
    ),
    (
        layer(5, 2, 1, 2, kind=MAX, ceil_mode=True),
        "= ⌈(5 + 2·1 − 1·(2 − 1) − 1)/2⌉ + 1 = ⌈5/2⌉ + 1 = ⌈2.5⌉ + 1 = 3 + 1 = 4; one is dropped: 3",
        "5 = 2·2 + 1: after the first window, 2 whole steps of 2 and a remainder of 1. Rounding up adds a window, "
        "which would start in the right padding and is dropped: the last cell falls off.",
    ),
    (
        layer(2, 3, stride=2, kind=MAX, ceil_mode=True),
        "= ⌈(2 + 2·0 − 1·(3 − 1) − 1)/2⌉ + 1 = ⌈−1/2⌉ + 1 = ⌈−0.5⌉ + 1 = 0 + 1 = 1",
        "The only window is longer than the padded input and hangs over its edge by 1.",
    ),
    (layer(4, 7), "4 + 2·0 − 1·(7 − 1) − 1 = −3: below 0, the first window has no room.", None),
    (layer(8, 3, 2, kind=MAX), "", None),
]


@pytest.mark.parametrize("shape, numbers, division", FORMULAS)
def test_formula_with_its_numbers(browser, shape, numbers, division):
    page = browser.new_page()
    brackets = "⌈⌉" if shape["ceil_mode"] else "⌊⌋"
    rule = f"Output size = {brackets[0]}(n + 2p − d(k − 1) − 1)/s{brackets[1]} + 1"
    expected = [rule, numbers] if division is None else [rule, numbers, division]
    assert call(page, MODULE, "formulaOf", shape) == expected
    page.close()


# Python

BAD = {
    "size": (dict(size=33), "size is 33, and must be a whole number from 1 to 32"),
    "kernel": (dict(kernel=0), "kernel is 0, and must be a whole number from 1 to 11"),
    "padding": (dict(padding=-1), "padding is -1, and must be a whole number from 0 to 8"),
    "stride": (dict(stride=1.5), "stride is 1.5, and must"),
    "dilation": (dict(dilation="2"), "dilation is '2', and must"),
    "flag": (dict(kernel=True), "kernel is True"),
    "same": (dict(padding="same"), "padding is 'same', and must be a whole number"),
    "kind": (dict(kind="pooling"), "kind is 'pooling', and must be one of 'convolution', 'max pooling'"),
    "no name": (dict(kind=["convolution"]), "kind is"),
    "ceil_mode": (dict(ceil_mode=1), "ceil_mode is 1, and must be True or False"),
}


@pytest.mark.parametrize("arguments, sentence", BAD.values(), ids=BAD.keys())
def test_bad_arguments_get_one_sentence(arguments, sentence):
    with pytest.raises(ValueError, match=sentence):
        WindowExplorer(**arguments)
    explorer = WindowExplorer()
    before = explorer.get_state()
    with pytest.raises(ValueError, match=sentence):
        for name, value in arguments.items():
            setattr(explorer, name, value)
    assert explorer.get_state() == before
    assert repr(explorer) == "<WindowExplorer: an interactive figure>"


def test_defaults_are_those_of_pytorch():
    assert WindowExplorer().stride == 1
    assert WindowExplorer(kernel=2, kind="max pooling").stride == 2
    assert WindowExplorer(kernel=3, kind="average pooling", stride=1).stride == 1
    with pytest.raises(ValueError, match="stride is 9"):
        WindowExplorer(kernel=9, kind="max pooling")
    with pytest.raises(TypeError):
        WindowExplorer(8)
    for name, known in PRESETS.items():
        assert WindowExplorer(**known).get_state(list(known)) == known, name


# The figure


def set_size(page, n):
    page.get_by_label("Input size").first.fill(str(n))


def drawn(page, nth=0):
    """Return what the drawings show, read back from their shapes; places count from the first input cell."""
    return (
        page.locator(".cx-window")
        .nth(nth)
        .evaluate(
            """root => {
            const d = (where, name) => [...root.querySelectorAll(`.cx-${where} > path.${name}`)].map((p) => p.getAttribute("d"));
            const p = -Number(root.querySelector(".cx-input").getAttribute("viewBox").split(" ")[0]);
            const cells = (text) => [...text.matchAll(/M(\\S+) \\S+?h([\\d.]+)/g)].map(([, x, w]) => Math.round((x - 1) / w) - p);
            const squares = (text) => [...text.matchAll(/M(-?\\d+) (-?\\d+)h/g)].map(([, c, r]) => [Number(r), Number(c)]);
            const of = (where, name) => d(where, name).flatMap(where === "strip" ? cells : squares);
            const windows = [...root.querySelectorAll(".cx-strip > .cx-reach")].map((reach) => {
                const parts = [reach.nextSibling, reach.nextSibling.nextSibling, reach.nextSibling.nextSibling.nextSibling];
                return [...parts.map((part) => cells(part.getAttribute("d"))), parts[0].classList.contains("cx-on")];
            });
            const rows = (text) => [...text.matchAll(/M\\S+ (-?\\d+)H/g)].map(([, r]) => Number(r));
            const strip = root.querySelector(".cx-strip"), wide = Number(/h([\\d.]+)/.exec(d("strip", "cx-cell")[0])[1]);
            const labels = [...strip.querySelectorAll("text:not(.cx-lost)")].map((t) => [Number(t.textContent),
                Math.floor((t.getAttribute("x") - 1) / wide) - p]);
            const holes = d("strip", "cx-reach").map((text) => [...text.matchAll(/M(\\S+) \\S+?h([\\d.]+)/g)]
                .map(([, x, w]) => [Math.round((x - 1) / wide) - p, Math.round(w / wide)]));
            const brace = d("strip", "cx-brace").map((text) => text.match(/M([\\d.]+).*H([\\d.]+)/))
                .map(([, a, b]) => [Math.round((a - 1) / wide) - p, Math.round((b - 1) / wide) - p]);
            return { labels, holes, brace,
                windows, row: cells(d("strip", "cx-on")[0] ?? ""), padding: of("strip", "cx-frame"), cells: of("strip", "cx-cell"),
                never: of("strip", "cx-never"), lost: root.querySelector(".cx-lost")?.textContent ?? "",
                read: squares(d("input", "cx-on")[0] ?? ""), padded: of("input", "cx-half"), over: of("input", "cx-beyond"),
                neverRows: d("input", "cx-never").flatMap(rows), chosen: of("output", "cx-on"),
                outline: d("input", "cx-outline").map((text) => text.match(/-?\\d+/g).slice(0, 4).map(Number)), legend: [...root.querySelectorAll(".cx-legend span")].map((s) => s.textContent),
            };
        }"""
        )
    )


def check_picture(page, shape, place):
    """Compare all that is drawn with the arithmetic, which is compared with PyTorch."""
    axis, shown = call(page, MODULE, "windowsOf", shape), drawn(page)
    n, p = shape["size"], shape["padding"]
    down, across = (axis["windows"][i] for i in place)
    assert shown["windows"] == [
        [w["reads"], w["pads"], w["over"], i == place[1]] for i, w in enumerate(axis["windows"])
    ]
    assert shown["row"] == across["reads"] and shown["cells"] == list(range(n))
    assert shown["padding"] == [*range(-p, 0), *range(n, n + p)]
    assert shown["never"] == shown["neverRows"] == axis["unread"]
    assert shown["read"] == [[r, c] for r in down["reads"] for c in across["reads"]]
    behind = [[r, c] for r in range(down["start"], 99) for c in range(across["start"], 99)]
    kept = [sorted(w["reads"] + w["pads"]) for w in (down, across)]
    taps = [kept[0] + down["over"], kept[1] + across["over"]]
    inside = [x for x in behind if x[0] in kept[0] and x[1] in kept[1]]
    assert sorted(shown["padded"]) == [x for x in inside if x not in shown["read"]]
    assert sorted(shown["over"]) == [x for x in behind if x[0] in taps[0] and x[1] in taps[1] and x not in inside]
    assert shown["chosen"] == [list(place)] and shown["outline"] == [
        [across["start"], down["start"], axis["span"], axis["span"]]
    ]
    every = next(step for step in (1, 2, 5, 10) if len(shown["labels"]) == len(range(0, n, step)))
    assert shown["labels"] == [[i, i] for i in range(0, n, every)]
    k, d = shape["kernel"], shape["dilation"]
    assert shown["holes"] == [[[w["start"] + t * d + 1, d - 1] for t in range(k - 1)] for w in axis["windows"]]
    assert shown["brace"] == ([[n + p - axis["lost"], n + p]] if axis["lost"] else [])
    lost = axis["lost"]
    assert shown["lost"] == (f"{lost} fall{'' if lost > 1 else 's'} off" if lost else "")
    assert ("read by no window" in shown["legend"]) == bool(axis["unread"])
    assert ("over the edge" in shown["legend"]) == bool(axis["hang"])
    assert any(text.startswith("padding") for text in shown["legend"]) == bool(p)
    assert status(page) == call(page, MODULE, "describe", shape, *place)
    lines = [text for text in call(page, MODULE, "formulaOf", shape) if text]
    assert page.locator(".cx-formula p").all_inner_texts() == lines
    titles = page.locator(".cx-title").all_inner_texts()
    assert titles[1:] == [f"Input {n} × {n}", f"Output {axis['count']} × {axis['count']}"]
    assert titles[0].startswith(f"Along one row: {n} cell")


def test_presets_and_their_pictures(opened):
    page = opened(WindowExplorer())
    assert menu(page, "Preset").input_value() == "your own"
    sizes = {"LeNet's first layer": 28, "max pooling 3 × 3, stride 2 (AlexNet)": 6, "dilated": 9, "ceil_mode": 3}
    for name, shape in PRESETS.items():
        menu(page, "Preset").select_option(name)
        check_picture(page, shape, (0, 0))
        assert menu(page, "Preset").input_value() == name and menu(page, "Layer").input_value() == shape["kind"]
        if name in sizes:
            assert f"The output is {sizes[name]} × {sizes[name]}." in status(page)
        count = call(page, MODULE, "windowsOf", shape)["count"]
        page.locator(".cx-figure").press("End")
        check_picture(page, shape, (0, count - 1))
    menu(page, "Preset").select_option("max pooling 2 × 2")
    menu(page, "Layer").select_option("convolution")
    assert menu(page, "Preset").input_value() == "your own"
    menu(page, "Preset").select_option("ceil_mode that adds nothing")
    assert "padding, −∞" in drawn(page)["legend"]
    menu(page, "Preset").select_option("average pooling 3 × 3, padding 1")
    assert "padding, 0" in drawn(page)["legend"] and "Its sum is divided by 9." in status(page)


def test_every_control_changes_its_number(opened):
    explorer = WindowExplorer(size=9, kernel=3, padding=2, stride=2, dilation=2)
    page = opened(explorer)
    shape = layer(9, 3, 2, 2, 2)
    check_picture(page, shape, (0, 0))
    for name in ("kernel", "padding", "stride", "dilation"):
        for way, step in (("more", 1), ("less", -1)):
            button(page, f"{name.title()}: {way}").click()
            shape[name] += step
            check_picture(page, shape, (0, 0))
    for n in (1, 32, 10):
        set_size(page, n)
        shape["size"] = n
        check_picture(page, shape, (0, 0))
        assert page.get_by_text(f"Input size {n} × {n}").is_visible()
    menu(page, "Layer").select_option(MAX)
    button(page, "Padding: less").click()
    shape |= dict(kind=MAX, padding=1)
    check_picture(page, shape, (0, 0))
    assert button(page, "ceil_mode").get_attribute("aria-pressed") == "false"
    button(page, "ceil_mode").click()
    shape["ceil_mode"] = True
    check_picture(page, shape, (0, 0))
    assert button(page, "ceil_mode").get_attribute("aria-pressed") == "true"
    button(page, "Reset").click()
    check_picture(page, layer(9, 3, 2, 2, 2), (0, 0))
    assert button(page, "ceil_mode").is_disabled()  # a convolution has none


def test_the_controls_reach_what_python_allows(opened):
    page = opened(WindowExplorer())
    slider = page.get_by_label("Input size")
    assert (int(slider.get_attribute("min")), int(slider.get_attribute("max"))) == RANGES["size"]
    for name, (low, high) in RANGES.items():
        if name == "size":
            continue
        for way, limit in (("less", low), ("more", high)):
            for _ in range(high):
                if button(page, f"{name.title()}: {way}").is_enabled():
                    button(page, f"{name.title()}: {way}").click()
            assert page.get_by_role("group", name=name.title()).locator("output").inner_text() == str(limit)
    assert menu(page, "Layer").locator("option").all_inner_texts() == list(KINDS)


def test_impossible_layers_say_why_and_nothing_is_claimed(opened):
    page = opened(WindowExplorer(size=4, kernel=7))
    text = (
        "The kernel spans 7 cells (1·(7 − 1) + 1), and the padded input has only 4: "
        "take a larger input, more padding or a smaller kernel."
    )

    def refused(sentence, shape):
        assert status(page) == sentence and "cx-error" in page.locator(".cx-status").get_attribute("class")
        shown, n, p = drawn(page), shape["size"], shape["padding"]
        assert shown["cells"] == list(range(n)) and shown["padding"] == [*range(-p, 0), *range(n, n + p)]
        for name in ("windows", "row", "never", "read", "padded", "over", "neverRows", "chosen", "outline", "lost"):
            assert not shown[name], name
        assert not any("read" in entry for entry in shown["legend"])
        assert page.locator(".cx-title").nth(2).inner_text() == "No output"
        assert button(page, "Next window").is_disabled()
        page.locator(".cx-figure").press("ArrowRight")  # there is nothing to choose
        page.locator(".cx-input").click(position={"x": 10, "y": 10})
        page.locator(".cx-strip").click(position={"x": 10, "y": 10})
        assert status(page) == sentence

    refused(text, layer(4, 7))
    assert "4 + 2·0 − 1·(7 − 1) − 1 = −3: below 0" in page.locator(".cx-formula").inner_text()
    set_size(page, 7)
    check_picture(page, layer(7, 7), (0, 0))
    assert "cx-error" not in page.locator(".cx-status").get_attribute("class")
    # pooling: too much padding
    menu(page, "Preset").select_option("average pooling 3 × 3, padding 1")
    button(page, "Padding: more").click()
    padding = "Padding 2 is more than half of the kernel, and a pooling layer with kernel 3 allows at most 1: "
    refused(padding + "take less padding or a larger kernel.", layer(6, 3, 2, kind=AVERAGE))
    button(page, "Kernel: more").click()
    check_picture(page, layer(6, 4, 2, kind=AVERAGE), (0, 0))
    # average pooling has no dilation
    button(page, "Dilation: more").click()
    dilated = "Average pooling has no dilation, and 2 is set: go back to 1, or choose max pooling."
    refused(dilated, layer(6, 4, 2, dilation=2, kind=AVERAGE))
    menu(page, "Layer").select_option(MAX)
    check_picture(page, layer(6, 4, 2, dilation=2, kind=MAX), (0, 0))
    # a convolution has no ceil_mode
    button(page, "ceil_mode").click()
    menu(page, "Layer").select_option(CONVOLUTION)
    ceil = "A convolution has no ceil_mode and always rounds down: switch it off, or choose a pooling layer."
    refused(ceil, layer(6, 4, 2, dilation=2, ceil_mode=True))
    button(page, "ceil_mode").click()
    check_picture(page, layer(6, 4, 2, dilation=2), (0, 0))


def test_chosen_output_stays_inside_when_the_output_shrinks(opened):
    page = opened(WindowExplorer(size=9))
    page.locator(".cx-figure").press("End")
    check_picture(page, layer(9), (0, 6))
    button(page, "Stride: more").click()
    check_picture(page, layer(9, stride=2), (0, 3))


def middle(page, drawing, across, down):
    """Return the place in the page at a fraction of a drawing's width and height."""
    box = page.locator(f".cx-{drawing}").bounding_box()
    return box["x"] + across * box["width"], box["y"] + down * box["height"]


def test_mouse_chooses_by_every_drawing(opened):
    shape = layer(8, 3, 1, 2)
    page = opened(WindowExplorer(size=8, padding=1, stride=2))
    page.mouse.click(*middle(page, "output", 0.9, 0.3))
    check_picture(page, shape, (1, 3))
    # the padded input has 10 cells; windows have their middles at cells 1.5, 3.5, 5.5, 7.5
    for cell, window in ((0.2, 0), (2.3, 0), (2.7, 1), (5.5, 2), (9.8, 3)):
        page.mouse.click(*middle(page, "input", cell / 10, 0.99))
        check_picture(page, shape, (3, window))
        page.mouse.click(*middle(page, "input", 0.01, cell / 10))
        check_picture(page, shape, (window, 0))
    strip = page.locator(".cx-strip").bounding_box()
    cell = (strip["width"] - 2) / 10
    for window in (3, 0, 2):  # by the lines of the windows, wherever along the line
        bar = page.locator(".cx-strip .cx-reach + path").nth(window).bounding_box()
        page.mouse.click(strip["x"] + 5, bar["y"] + bar["height"] / 2)
        check_picture(page, shape, (3, window))
    page.mouse.click(strip["x"] + 1 + 5.4 * cell, strip["y"] + 24)  # and by the cells above them
    check_picture(page, shape, (3, 2))
    page.mouse.move(*middle(page, "output", 0.1, 0.1))
    assert "Output [3, 2]" in status(page)  # passing over chooses nothing
    page.mouse.down()
    check_picture(page, shape, (0, 0))
    page.mouse.move(*middle(page, "output", 0.6, 0.6), steps=3)
    check_picture(page, shape, (2, 2))
    page.mouse.up()
    page.mouse.click(*middle(page, "output", 0.1, 0.1), button="right")
    check_picture(page, shape, (2, 2))


def test_next_window_goes_through_all_and_starts_again(opened):
    page = opened(WindowExplorer(size=5, kernel=2, stride=2))
    for place in ((0, 1), (1, 0), (1, 1), (0, 0), (0, 1)):
        button(page, "Next window").click()
        check_picture(page, layer(5, 2, stride=2), place)
    set_size(page, 2)
    assert button(page, "Next window").is_disabled()  # there is one


def test_keyboard_reaches_everything(opened):
    page = opened(WindowExplorer(size=8, padding=1, stride=2))
    stops = []
    for _ in range(30):
        page.keyboard.press("Tab")
        if page.evaluate("document.activeElement === document.body"):
            break
        stops.append(page.evaluate("document.activeElement.ariaLabel ?? document.activeElement.innerText"))
        assert page.evaluate("getComputedStyle(document.activeElement).outlineStyle") != "none"
    # two menus, the slider, four steppers less the button that is at its limit, two buttons (ceil_mode is off), the figure
    assert len(stops) == 2 + 1 + 7 + 2 + 1 and stops[-1].startswith("The windows: arrow keys")
    assert page.evaluate(
        "[...document.querySelectorAll('.cx [tabindex], .cx button')].every((n) => 'lmSuppressShortcuts' in n.dataset)"
    )
    figure = page.locator(".cx-figure")
    steps = {
        "ArrowRight": (0, 1), "ArrowDown": (1, 1), "End": (1, 3), "ArrowLeft": (1, 2), "ArrowUp": (0, 2), "Home": (0, 0),
    }  # fmt: skip
    for key, place in steps.items():
        figure.press(key)
        check_picture(page, layer(8, 3, 1, 2), place)
    for key in ("ArrowUp", "ArrowLeft"):
        figure.press(key)
        check_picture(page, layer(8, 3, 1, 2), (0, 0))
    page.get_by_label("Input size").focus()
    page.keyboard.press("ArrowRight")
    check_picture(page, layer(9, 3, 1, 2), (0, 0))
    # the page does not scroll under the arrows, and other keys are left alone
    taken = figure.evaluate(
        """(node, keys) => keys.filter((key) => {
            const event = new KeyboardEvent("keydown", { key, cancelable: true, bubbles: true });
            return !node.dispatchEvent(event);
        })""",
        [*steps, "a", "Tab"],
    )
    assert taken == list(steps)
    assert page.locator(".cx-status").get_attribute("aria-live") == "polite"


def test_touch_on_a_phone(touched):
    page = touched(WindowExplorer(size=8, stride=2))
    page.locator(".cx-output").scroll_into_view_if_needed()
    page.touchscreen.tap(*middle(page, "output", 0.8, 0.5))
    check_picture(page, layer(8, stride=2), (1, 2))
    page.touchscreen.tap(*middle(page, "input", 0.1, 0.9))
    check_picture(page, layer(8, stride=2), (2, 0))
    button(page, "Next window").tap()
    check_picture(page, layer(8, stride=2), (2, 1))


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_small_phone_and_both_colour_modes(opened, theme):
    page = opened(WindowExplorer(size=32, kernel=5, padding=8), width=PHONE, theme=theme)

    def check():
        assert_legible(page)
        edge = page.locator(".cx-window").evaluate("node => node.getBoundingClientRect().right")
        for drawing in page.locator(".cx-draw").all():
            box = drawing.bounding_box()
            assert box["x"] + box["width"] <= edge

    for width in (PHONE, 316):
        page.set_viewport_size({"width": width, "height": 740})
        button(page, "Reset").click()
        expect(page.locator(".cx-strip")).to_have_attribute("width", re.compile(r"^[23]\d\d"))
        page.wait_for_function(
            "w => document.querySelector('.cx-strip').getBoundingClientRect().right <= w - 8", arg=width
        )
        check()
        for name in PRESETS:
            menu(page, "Preset").select_option(name)
            check()
        menu(page, "Layer").select_option(MAX)
        for _ in range(5):
            button(page, "Padding: more").click()
        assert "more than half" in status(page)
        check()  # an error is on the page
    # the picture uses the room that it gets
    page.set_viewport_size({"width": 900, "height": 740})
    button(page, "Reset").click()
    page.wait_for_function("document.querySelector('.cx-strip').clientWidth > 700")
    assert_touchable(page)
    # what the chosen output reads, and what no window reads, stand out from the cells; 3 is WCAG's bound for graphics
    menu(page, "Preset").select_option("stride that does not fit")
    ratios = page.evaluate(
        """() => {
            const luminance = (colour) => colour.match(/[\\d.]+/g).slice(0, 3).reduce((sum, c, i) => {
                c /= 255;
                return sum + [0.2126, 0.7152, 0.0722][i] * (c <= 0.03928 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4);
            }, 0);
            const at = (selector, name) => luminance(getComputedStyle(document.querySelector(selector))[name]);
            const ratio = (a, b) => (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
            const cell = at(".cx-input > .cx-cell", "fill");
            return [ratio(at(".cx-input > .cx-on", "fill"), cell), ratio(at(".cx-input .cx-stroke", "stroke"), cell)];
        }"""
    )
    assert min(ratios) >= 3, ratios


def test_unread_cells_are_hatched_in_every_drawing(opened):
    page = opened(WindowExplorer(stride=2), WindowExplorer(size=9, stride=4))
    fills = page.locator(".cx-draw > .cx-never").evaluate_all("nodes => nodes.map((n) => n.style.fill)")
    ids = page.evaluate("[...document.querySelectorAll('pattern')].map((node) => node.id)")
    assert len(fills) == 4 and fills == [f'url("#{name}")' for name in ids] and len(set(ids)) == 4
    # the lines are lines: under the hatch some pixels keep the colour of the cell, and some do not
    for drawing in ("strip", "input"):
        path = page.locator(f".cx-{drawing} > .cx-never").first.bounding_box()
        clip = {"x": path["x"] + path["width"] - 20, "y": path["y"] + 22, "width": 14, "height": 20}
        picture = Image.open(io.BytesIO(page.screenshot(clip=clip))).convert("L")
        dark = (torch.tensor(list(picture.tobytes())) < 200).float().mean().item()
        assert 0.08 < dark < 0.6, (drawing, dark)


def test_two_copies_views_and_cleanup(opened):
    one, two = WindowExplorer(), WindowExplorer(size=32, kernel=5)
    page = opened(one, two, two)
    menu(page, "Preset").select_option("dilated")
    assert "The output is 9 × 9" in status(page, 0)
    assert "28 × 28" in status(page, 1) and "28 × 28" in status(page, 2)
    page.get_by_label("Preset").nth(1).select_option("ceil_mode")  # a second view of one model follows it
    assert "The output is 3 × 3" in status(page, 2) and "9 × 9" in status(page, 0)
    assert page.locator(".cx-window").nth(2).locator("select").nth(1).input_value() == MAX
    page.locator(".cx-figure").nth(1).press("End")  # the chosen output belongs to the view
    assert "Output [0, 2]" in status(page, 1) and "Output [0, 0]" in status(page, 2)
    ids = page.evaluate("[...document.querySelectorAll('[id]')].map((node) => node.id)")
    assert len(ids) == len(set(ids))
    left = page.evaluate(
        """async ([source, state]) => {
            const url = URL.createObjectURL(new Blob([source], { type: "text/javascript" })), heard = [];
            const model = { get: (name) => state[name], set() {}, save_changes() {}, on: (name) => heard.push(name),
                off: (name) => heard.splice(heard.indexOf(name), 1) };
            const el = document.body.appendChild(document.createElement("div"));
            const clean = (await import(url)).default.render({ model, el }), before = heard.length;
            clean();
            return [before, heard.length, el.childElementCount];
        }""",
        [MODULE, {**layer(), "_presets": [[k, v] for k, v in PRESETS.items()], "_start": layer()}],
    )
    assert left == [7, 0, 0]


def test_update_time_is_printed(opened):
    page = opened(WindowExplorer(size=32, kernel=5, padding=8))
    times = page.evaluate(
        """() => {
            const measure = (act) => {
                const start = performance.now();
                act();
                document.body.getBoundingClientRect();
                return performance.now() - start;
            };
            const figure = document.querySelector(".cx-figure"), slider = document.querySelector("input[type=range]");
            const key = (name) => figure.dispatchEvent(new KeyboardEvent("keydown", { key: name }));
            const chosen = Array.from({ length: 40 }, (_, n) => measure(() => key(n % 3 ? "ArrowRight" : "ArrowDown")));
            return chosen.sort((a, b) => a - b);
        }"""
    )
    layers = page.evaluate(
        """async () => {
            const slider = document.querySelector("input[type=range]"), times = [];
            for (let n = 0; n < 40; n += 1) {
                const start = performance.now();
                slider.value = 32 - n % 6;
                slider.dispatchEvent(new Event("input", { bubbles: true }));
                await null; // changes of one moment are drawn once
                await null;
                document.body.getBoundingClientRect();
                times.push(performance.now() - start);
            }
            return times.sort((a, b) => a - b);
        }"""
    )
    assert "Input size 29 × 29" in page.locator(".cx-range").inner_text()
    for what, values in (("choosing an output of 44 × 44", times), ("changing the size", layers)):
        print(f"{what}: median {values[20]:.1f} ms, largest {values[-1]:.1f} ms")
        assert len(values) == 40


def test_module_is_small():
    size = len(source("window.js").encode())
    print(f"window.js: {size:,} bytes")
    assert size <= 18_000
