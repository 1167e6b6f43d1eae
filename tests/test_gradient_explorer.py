"""The gradient explorer: its arithmetic against autograd, and the figure under mouse, keyboard and touch."""

from __future__ import annotations

import random
import re
from fractions import Fraction

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from playwright.sync_api import expect

from browser import LAPTOP, OVERFLOW, PHONE, assert_legible, assert_touchable, button, call, page_of, until_selected
from utils.widgets import GradientExplorer, source
from utils.widgets.gradient import OPERATIONS, PRESETS, RANGES, SIDES

MODULE = source("base.js", "gradient.js")
STATE = ("operation", "image", "kernel", "window", "stride", "padding", "gradient")


# The arithmetic


def by_autograd(layer, image, gradient=None):
    """Return output, input gradient and kernel gradient (None for pooling) as lists of rows."""
    x = torch.tensor(image, dtype=torch.float64)[None, None].requires_grad_()
    k = torch.tensor(layer["kernel"], dtype=torch.float64)[None, None].requires_grad_()
    step = {"stride": layer["stride"], "padding": layer["padding"]}
    if layer["operation"] == "convolution":
        y = F.conv2d(x, k, **step)
    else:
        pool = F.max_pool2d if layer["operation"] == "max pooling" else F.avg_pool2d
        y = pool(x, layer["window"], **step)
    g = torch.ones_like(y) if gradient is None else torch.tensor(gradient, dtype=torch.float64).view(y.shape)
    y.backward(g)
    return [None if t is None else t[0, 0].tolist() for t in (y.detach(), x.grad, k.grad)]


def random_layers(count):
    """Draw layers with settings that the controls reach; half of the images have many equal pixels."""
    rng = random.Random(0)
    for n in range(count):
        h, w = rng.randint(2, 6), rng.randint(2, 6)
        image = [[rng.randint(-1, 1) if n % 2 else rng.uniform(-9, 9) for _ in range(w)] for _ in range(h)]
        k = rng.randint(1, 3)
        kernel = [[rng.uniform(-9, 9) for _ in range(k)] for _ in range(k)]
        window, stride, padding = (rng.randint(*RANGES[name]) for name in ("window", "stride", "padding"))
        layer = dict(operation=rng.choice(OPERATIONS), kernel=kernel, window=window, stride=stride, padding=padding)
        yield layer, image, [[rng.uniform(-9, 9) for _ in range(8)] for _ in range(8)]


def test_arithmetic_is_that_of_autograd(browser):
    page = browser.new_page()
    cases = list(random_layers(3000))
    answers = page.evaluate(
        """async ([source, cases]) => {
            const url = URL.createObjectURL(new Blob([source], { type: "text/javascript" })), m = await import(url);
            return cases.map(([layer, image, pool]) => {
                const problem = m.problem(layer, image.length, image[0].length);
                if (problem) return [problem];
                const output = m.forward(layer, image), g = output.map((row, r) => row.map((_, c) => pool[r][c]));
                return [problem, output, g, m.backward(layer, image, g)];
            });
        }""",
        [MODULE, cases],
    )
    page.close()
    agreed, refused, tied, largest = dict.fromkeys(OPERATIONS, 0), 0, 0, 0.0
    for (layer, image, _), (problem, *rest) in zip(cases, answers, strict=True):
        if problem:
            with pytest.raises(RuntimeError):
                by_autograd(layer, image)
            assert "larger than the" in problem
            refused += 1
            continue
        output, gradient, found = rest
        y, dx, dk = by_autograd(layer, image, gradient)
        for ours, theirs in ((output, y), (found["dx"], dx), (found["dk"], dk)):
            assert (ours is None) == (theirs is None)
            if ours is not None:
                gap = torch.tensor(ours, dtype=torch.float64) - torch.tensor(theirs, dtype=torch.float64)
                largest = max(largest, gap.abs().max().item())
                assert gap.abs().max() < 1e-9, (layer, image)
        agreed[layer["operation"]] += 1
        tied += layer["operation"] == "max pooling" and len({v for row in image for v in row}) <= 3
    print(
        f"{agreed} random layers agree with autograd to {largest:.1e}, {tied} with ties; {refused} are refused by both"
    )
    assert min(agreed.values()) >= 600 and tied >= 300 and refused >= 50


def test_first_of_equal_maxima_is_the_rule_of_pytorch():
    """What the figure says of ties: tried for every pattern of maxima in a window, in both layouts of the batch."""
    for pattern in range(1, 512):
        window = torch.tensor([pattern >> i & 1 for i in range(9)], dtype=torch.float64).view(3, 3)
        for shape in ((1, 3, 3), (1, 1, 3, 3)):
            x = window.view(shape).clone().requires_grad_()
            F.max_pool2d(x, 3).sum().backward()
            assert x.grad.flatten().nonzero().tolist() == [[window.flatten().tolist().index(1)]]


@pytest.mark.parametrize(
    ("gradient", "size", "expected"),
    [
        ([[1, 1], [1, 1]], (3, 1), [[1], [1], [1]]),
        ([[2, 3], [4, 5]], (2, 2), [[2, 3], [4, 5]]),
        ([[2, 3], [4, 5]], (1, 3), [[2, 3, 0]]),
        ([[0]], (2, 2), [[0, 0], [0, 0]]),
    ],
)
def test_output_gradient_follows_the_output(browser, gradient, size, expected):
    page = browser.new_page()
    assert call(page, MODULE, "fit", gradient, *size) == expected
    page.close()


def test_module_is_small():
    size = len(source("gradient.js").encode())
    print(f"gradient.js: {size} bytes")
    assert size <= 18_000


# Python


def test_presets_are_what_their_names_say():
    y, dx, _ = by_autograd(PRESETS["stride 2, kernel 3: checkerboard"], PRESETS["3 × 3 convolution"]["image"])
    assert dx == [[1, 2, 1, 2, 1], [2, 4, 2, 4, 2]] * 2 + [[1, 2, 1, 2, 1]]
    for name, preset in PRESETS.items():
        explorer = GradientExplorer(preset=name)
        assert {part: getattr(explorer, part) for part in STATE} == preset
        y, _, _ = by_autograd(preset, preset["image"])
        assert np.shape(y) == np.shape(preset["gradient"])


def test_arguments_replace_the_preset():
    rows = [[1, 2, 3, 4], [5, 6, 7, 8]]
    for image in (rows, np.array(rows), torch.tensor(rows, dtype=torch.float32), tuple(map(tuple, rows))):
        explorer = GradientExplorer(preset="average pooling", image=image, window=2, gradient="all ones")
        assert explorer.image == rows and explorer.gradient == [[1, 1, 1]]
    assert GradientExplorer(stride=2).gradient == [[1, 0], [0, 0]]
    assert GradientExplorer(stride=2, gradient=[[1, 2], [3, 4]]).gradient == [[1, 2], [3, 4]]
    assert GradientExplorer(kernel=[[5]], padding=1).gradient[0] == [1, 0, 0, 0, 0, 0, 0]
    assert repr(explorer) == "<GradientExplorer: an interactive figure>"
    with pytest.raises(TypeError):
        GradientExplorer("max pooling")


BAD = {
    "preset": (dict(preset="pooling"), "preset is 'pooling', and must be one of '3 × 3 convolution'"),
    "operation": (dict(operation="min pooling"), "operation is 'min pooling', and must be one of 'convolution'"),
    "unhashable": (dict(operation=["convolution"]), "operation is"),
    "image text": (
        dict(image="cross"),
        "image must be rows of whole numbers, all of one length, each side with 2 to 6",
    ),
    "one dimension": (dict(image=[1, 2, 3]), "image must be rows of whole numbers"),
    "ragged": (dict(image=[[1, 2], [3]]), r"it has 2 rows of \[1, 2\] cells"),
    "too small": (dict(image=[[1, 2, 3]]), r"it has 1 rows of \[3\] cells"),
    "too large": (dict(image=np.zeros((7, 3))), r"it has 7 rows of \[3\] cells"),
    "empty": (dict(image=[]), "image must be rows"),
    "fraction": (dict(image=[[1, 2], [3, 0.5]]), r"image\[1, 1\] is 0.5, and must be a whole number from -99 to 99"),
    "nan": (dict(image=[[1, float("nan")]] * 2), r"image\[0, 1\] is nan"),
    "letter": (dict(kernel=[["a"]]), r"kernel\[0, 0\] is 'a'"),
    "huge": (dict(kernel=[[100]]), r"kernel\[0, 0\] is 100"),
    "not square": (dict(kernel=[[1, 2]]), "kernel is 1 × 2, and must be square"),
    "window": (dict(window=4), "window is 4, and must be a whole number from 2 to 3"),
    "stride": (dict(stride=0), "stride is 0, and must be a whole number from 1 to 3"),
    "padding": (dict(padding=True), "padding is True, and must be a whole number from 0 to 1"),
    "half": (dict(stride=1.5), "stride is 1.5"),
    "gradient text": (dict(gradient="ones"), "gradient is 'ones', and must be 'all ones', 'one cell' or rows"),
    "gradient shape": (dict(gradient=[[1, 2], [3, 4]]), "gradient is 2 × 2, and the output is 3 × 3"),
    "kernel too large": (dict(image=[[1, 2, 3]] * 2), "the kernel of 3 × 3 is larger than the image of 2 × 3"),
    "window too large": (
        dict(operation="max pooling", image=[[1, 2]] * 2, window=3),
        "the window of 3 × 3 is larger than the image of 2 × 2",
    ),
}


@pytest.mark.parametrize("arguments, sentence", BAD.values(), ids=BAD.keys())
def test_bad_arguments_get_one_sentence(arguments, sentence):
    with pytest.raises(ValueError, match=sentence) as caught:
        GradientExplorer(**arguments)
    assert "\n" not in str(caught.value) and str(caught.value).endswith(".")


def test_bad_assignment_keeps_the_old_value():
    explorer = GradientExplorer()
    for name, value in (("image", "x"), ("kernel", [[1, 2]]), ("window", 1), ("stride", 9), ("padding", -1),
                        ("operation", "x"), ("gradient", [[0.5]])):  # fmt: skip
        before = getattr(explorer, name)
        with pytest.raises(ValueError):
            setattr(explorer, name, value)
        assert getattr(explorer, name) == before


# The figure


def number(text):
    return float(Fraction(text.replace("−", "-")))


def part(page, selector, nth=0):
    return page.locator(".cx-gradient").nth(nth).locator(selector)


def shown(page, sheet, nth=0):
    """Return the numbers of a sheet, or None where it is hidden."""
    root = part(page, f"[data-sheet={sheet}]", nth)
    if not root.is_visible():
        return None
    rows = root.locator(".cx-row").evaluate_all(
        "rows => rows.map((row) => [...row.children].map((cell) => cell.firstChild.value ?? cell.firstChild.textContent))"
    )
    return [[number(text) for text in row] for row in rows]


def cell(page, sheet, r, c, nth=0):
    return part(page, f"[data-sheet={sheet}] .cx-row", nth).nth(r).locator(".cx-cell").nth(c)


def badges(page, sheet):
    """Return {(row, column): factor} for the cells with a factor."""
    texts = part(page, f"[data-sheet={sheet}] .cx-row").evaluate_all(
        "rows => rows.map((row) => [...row.children].map((cell) => cell.lastChild.textContent))"
    )
    return {(r, c): number(text[1:]) for r, row in enumerate(texts) for c, text in enumerate(row) if text}


def outlined(page, sheet, mark=".cx-tap"):
    """Return the places of the cells with a mark."""
    return page.evaluate(
        """([sheet, mark]) => [...document.querySelector(`[data-sheet=${sheet}]`).querySelectorAll(".cx-row")].flatMap(
            (row, r) => [...row.children].flatMap((cell, c) => cell.matches(mark) ? [[r, c]] : []))""",
        [sheet, mark],
    )


def status(page, nth=0):
    return part(page, ".cx-status", nth).inner_text()


def work(page, nth=0):
    return part(page, ".cx-work", nth).inner_text()


def menu(page, name):
    return page.get_by_role("combobox", name=name, exact=True).first


def assert_shows(page, state, nth=0):
    """Compare all sheets with autograd."""
    y, dx, dk = by_autograd(state, state["image"], state["gradient"])
    expected = {"image": state["image"], "output": y, "dx": dx, "dk": dk, "gradient": state["gradient"],
                "kernel": state["kernel"] if dk else None}  # fmt: skip
    for sheet, rows in expected.items():
        found = shown(page, sheet, nth)
        assert (found is None) == (rows is None), sheet
        if rows is not None:
            assert np.shape(found) == np.shape(rows), sheet
            assert np.abs(np.subtract(found, rows)).max() < 1e-9, (sheet, found, rows)


def test_every_preset_by_the_menu(opened):
    page = opened(GradientExplorer(preset="max pooling"))
    for name, preset in PRESETS.items():
        menu(page, "Preset").select_option(name)
        assert_shows(page, preset)
        assert menu(page, "Operation").input_value() == preset["operation"]
        assert menu(page, "Preset").input_value() == name
    menu(page, "Operation").select_option("max pooling")
    assert menu(page, "Preset").input_value() == "overlapping max pooling: gradients add up"
    button(page, "Padding: more").click()
    assert menu(page, "Preset").input_value() == "your own"
    button(page, "Reset").click()
    assert_shows(page, PRESETS["max pooling"])


def test_convolution_says_where_an_output_gradient_goes(opened):
    page = opened(GradientExplorer())
    assert status(page) == (
        "Output [0, 0] has the gradient 2. It goes to 9 pixels, times the weight that each met. "
        "In all, 24 of 25 pixels have a gradient other than 0. Windows that read a pixel: 1, 2, 3, 4, 6, 9."
    )
    assert work(page) == "To the input: 2·1, 2·2, 2·3, 2·4, 2·5, 2·6, 2·7, 2·8, 2·9"
    cell(page, "output", 1, 2).click()
    window = [[r, c] for r in (1, 2, 3) for c in (2, 3, 4)]
    assert outlined(page, "image") == outlined(page, "dx") == window
    assert badges(page, "dx") == {(r, c): 3 * (r - 1) + c - 1 for r, c in window}  # the kernel, not turned
    image = PRESETS["3 × 3 convolution"]["image"]
    assert badges(page, "dk") == {(r - 1, c - 2): image[r][c] for r, c in window}
    for sheet in ("output", "gradient"):
        assert outlined(page, sheet, "[aria-selected=true]") == [[1, 2]]
    assert badges(page, "gradient") == {} and outlined(page, "output") == outlined(page, "kernel") == []


def test_convolution_says_what_a_pixel_receives(opened):
    page = opened(GradientExplorer())
    cell(page, "dx", 2, 1).click()
    assert work(page) == "Input gradient[2, 1] = 2·8 + 0·7 + 0·5 + 1·4 + 1·2 + 0·1 = 22"
    assert status(page).startswith("Pixel [2, 1] is read by 6 windows and receives 22. In all,")
    # Seen from a pixel, the weights lie turned.
    assert badges(page, "gradient") == {(0, 0): 8, (0, 1): 7, (1, 0): 5, (1, 1): 4, (2, 0): 2, (2, 1): 1}
    assert outlined(page, "output") == [list(place) for place in badges(page, "gradient")]
    assert outlined(page, "kernel") == [[r, c] for r in range(3) for c in range(2)]
    assert outlined(page, "image") == outlined(page, "dx") == outlined(page, "dk") == []
    cell(page, "image", 0, 3).click()  # the pixel itself does the same
    assert work(page) == "Input gradient[0, 3] = 0·3 + (−1)·2 = −2"
    for sheet in ("image", "dx"):
        assert outlined(page, sheet, "[aria-selected=true]") == [[0, 3]]


def test_convolution_says_what_a_weight_receives(opened):
    page = opened(GradientExplorer(padding=1, stride=2, gradient=[[2, 0, -1], [0, 1, 0], [1, 0, 3]]))
    cell(page, "dk", 0, 1).click()
    assert work(page) == "Kernel gradient[0, 1] = 2·0 + 0·0 + (−1)·0 + 0·0 + 1·3 + 0·1 + 1·1 + 0·1 + 3·2 = 10"
    assert status(page).startswith("Weight [0, 1] is used by 9 outputs; its gradient is 10. ")
    assert outlined(page, "image") == [[r, c] for r in (1, 3) for c in (0, 2, 4)]
    assert badges(page, "gradient")[1, 1] == 3 and len(badges(page, "gradient")) == 9
    assert outlined(page, "output") == [[r, c] for r in range(3) for c in range(3)] and outlined(page, "dx") == []
    cell(page, "kernel", 2, 2).click()
    assert work(page).startswith("Kernel gradient[2, 2] = ")


def test_padding_loses_its_share(opened):
    page = opened(GradientExplorer(padding=1))
    assert status(page).startswith(
        "Output [0, 0] has the gradient 1. It goes to 4 pixels, times the weight that each met. "
        "The share of 5 cells in the padding is lost. In all, 4 of 25 pixels"
    )
    assert work(page) == "To the input: 1·5, 1·6, 1·8, 1·9"
    assert badges(page, "dx") == {(0, 0): 5, (0, 1): 6, (1, 0): 8, (1, 1): 9}
    menu(page, "Operation").select_option("average pooling")
    assert "It goes to 4 pixels, 1/9 to each. The share of 5 cells in the padding is lost." in status(page)
    assert work(page) == "To the input: 1·1/9, 1·1/9, 1·1/9, 1·1/9"
    below = opened(GradientExplorer(image=[[-1, -2], [-3, -4]], operation="max pooling", window=2, padding=1))
    assert "the −1 at [0, 0]. In all" in status(below)  # padding never wins, not even over negative numbers


def test_checkerboard_counts_are_uneven(opened):
    page = opened(GradientExplorer(preset="stride 2, kernel 3: checkerboard"))
    assert status(page).endswith(
        "In all, 25 of 25 pixels have a gradient other than 0. Windows that read a pixel: 1, 2, 4."
    )
    cell(page, "dx", 1, 1).click()
    assert work(page) == "Input gradient[1, 1] = 1·1 + 1·1 + 1·1 + 1·1 = 4"
    button(page, "Kernel: less").click()  # 2 divides 2: even again
    button(page, "Padding: less").click()
    assert status(page).endswith(
        "In all, 16 of 25 pixels have a gradient other than 0. Windows that read a pixel: 0, 1."
    )
    cell(page, "dx", 4, 0).click()
    assert status(page).startswith("Pixel [4, 0] is read by 0 windows and receives 0.")
    assert work(page) == "Input gradient[4, 0] = 0"


def test_max_pooling_routes_and_overlaps_add_up(opened):
    page = opened(GradientExplorer(preset="overlapping max pooling: gradients add up"))
    assert status(page) == (
        "Output [0, 0] has the gradient 1. All of it goes to the maximum, the 7 at [2, 2]. "
        "In all, 2 of 16 pixels have a gradient other than 0. Windows that read a pixel: 1, 2, 4."
    )
    assert badges(page, "dx") == {(r, c): int(r == c == 2) for r in range(3) for c in range(3)}
    cell(page, "dx", 2, 2).click()
    assert work(page) == "Input gradient[2, 2] = 1·1 + 2·1 + 3·0 + 4·0 = 3"
    assert status(page).startswith("Pixel [2, 2] is read by 4 windows, wins 2 and receives 3.")
    assert badges(page, "gradient") == {(0, 0): 1, (0, 1): 1, (1, 0): 0, (1, 1): 0}
    assert shown(page, "kernel") is shown(page, "dk") is None
    assert not page.get_by_role("group", name="Kernel", exact=True).is_visible()


def test_ties_go_to_the_first_in_reading_order(opened):
    page = opened(GradientExplorer(preset="max pooling with ties"))
    sentences = {
        (0, 0): "the 0 at [0, 0]. 4 pixels tie: PyTorch takes the first in reading order.",
        (0, 1): "the 3 at [0, 2]. 3 pixels tie: ",
        (1, 0): "the 2 at [2, 1]. 2 pixels tie: ",
        (1, 1): "the 1 at [3, 3]. In all",
    }
    for place, sentence in sentences.items():
        cell(page, "output", *place).click()
        assert sentence in status(page)
    assert_shows(page, PRESETS["max pooling with ties"])


def test_average_pooling_shares(opened):
    page = opened(GradientExplorer(preset="average pooling"))
    assert "Output [0, 0] has the gradient 1. It goes to 9 pixels, 1/9 to each. In all, 16 of 16" in status(page)
    cell(page, "dx", 1, 0).click()
    assert work(page) == "Input gradient[1, 0] = 1·1/9 + 3·1/9 = 4/9"
    assert cell(page, "dx", 1, 1).inner_text() == "10/9"
    assert badges(page, "gradient") == {(0, 0): 1 / 9, (1, 0): 1 / 9}
    button(page, "Window: less").click()
    assert set(shown(page, "gradient")[2]) == {0}  # the two by two became three by three
    cell(page, "output", 0, 0).click()
    assert badges(page, "dx") == dict.fromkeys([(0, 0), (0, 1), (1, 0), (1, 1)], 0.25)


def test_controls_reach_what_python_takes(opened):
    page = opened(GradientExplorer(gradient="all ones"))
    state = {name: getattr(GradientExplorer(), name) for name in STATE}
    for name in ("kernel", "window", "stride", "padding"):
        if name == "window":
            menu(page, "Operation").select_option("average pooling")
        group = page.get_by_role("group", name=name.capitalize(), exact=True)
        less, more = group.get_by_role("button").all()
        values = [int(group.locator("output").inner_text())]
        while less.is_enabled():
            less.click()
            values.append(int(group.locator("output").inner_text()))
        while more.is_enabled():
            more.click()
            values.append(int(group.locator("output").inner_text()))
        assert (min(values), max(values)) == (RANGES | {"kernel": SIDES["kernel"]})[name]
        button(page, "Reset").click()
    for n in range(2, 7):
        menu(page, "Input").select_option(f"{n} × {n}")
        image = shown(page, "image")
        assert np.shape(image) == (n, n)
        assert [row[:5] for row in image[:5]] == [[float(v) for v in row[: min(n, 5)]] for row in image[:5]]
        if n > 2:
            assert image[0][:2] == state["image"][0][:2]
            assert_shows(page, state | {"image": image, "gradient": [[1] * (n - 2)] * (n - 2)})
    oblong = opened(GradientExplorer(image=[[1, 2, 3, 4, 5], [6, 7, 8, 9, 0], [1, 3, 5, 7, 9]], gradient=[[1, -2, 3]]))
    assert menu(oblong, "Input").evaluate("node => node.selectedOptions[0].textContent") == "3 × 5"
    cell(oblong, "dx", 2, 4).click()
    assert work(oblong) == "Input gradient[2, 4] = 3·9 = 27"
    assert_shows(
        oblong, state | {"image": [[1, 2, 3, 4, 5], [6, 7, 8, 9, 0], [1, 3, 5, 7, 9]], "gradient": [[1, -2, 3]]}
    )


def test_output_gradient_by_buttons_and_taps(opened):
    page = opened(GradientExplorer())
    button(page, "All ones").click()
    assert shown(page, "gradient") == [[1] * 3] * 3
    menu(page, "Operation").select_option("max pooling")
    button(page, "Stride: more").click()
    assert shown(page, "gradient") == [[1, 1], [1, 1]]  # all ones stay all ones
    button(page, "Stride: less").click()
    assert shown(page, "gradient") == [[1] * 3] * 3
    button(page, "Clear").click()
    assert shown(page, "gradient") == [[0] * 3] * 3 and "In all, 0 of 25 pixels" in status(page)
    target = cell(page, "gradient", 1, 2)
    target.click()  # the first click selects
    assert shown(page, "gradient") == [[0] * 3] * 3 and status(page).startswith("Output [1, 2] has the gradient 0.")
    for value in (1, 2, -1, 0, 1):
        target.click()
        assert shown(page, "gradient")[1][2] == value and f"Output [1, 2] has the gradient {value}".replace(
            "-", "−"
        ) in status(page)
    button(page, "All ones").click()
    button(page, "One cell").click()
    assert shown(page, "gradient") == [[0, 0, 0], [0, 0, 1], [0, 0, 0]]
    cell(page, "dx", 0, 0).click()
    button(page, "One cell").click()  # none is selected: the first
    assert shown(page, "gradient") == [[1, 0, 0], [0, 0, 0], [0, 0, 0]] and status(page).startswith("Output [0, 0]")
    cell(page, "gradient", 2, 2).click()
    until_selected(page)
    page.keyboard.type("7")
    page.keyboard.press("Enter")
    target = cell(page, "gradient", 2, 2)
    target.click()  # a number of your own goes to 0
    assert shown(page, "gradient")[2][2] == 0
    state = {name: getattr(GradientExplorer(), name) for name in STATE}
    assert_shows(page, state | {"operation": "max pooling", "gradient": [[1, 0, 0], [0, 0, 0], [0, 0, 0]]})


def retype(page, sheet, r, c, text):
    """Select a cell that is not selected, replace its number, confirm."""
    cell(page, sheet, r, c).locator("input").focus()
    page.keyboard.press("Backspace")
    page.keyboard.type(text)
    page.keyboard.press("Enter")


def test_editing_takes_whole_numbers(opened):
    page = opened(GradientExplorer())
    state = {name: getattr(GradientExplorer(), name) for name in STATE}
    for sheet, r, c, text, value in (
        ("image", 0, 2, "-7", -7), ("image", 4, 4, "99", 99), ("kernel", 1, 1, "−3", -3), ("kernel", 2, 0, " +5 ", 5),
        ("gradient", 1, 2, "12", 12), ("gradient", 0, 0, "-0", 0), ("gradient", 2, 2, "–9", -9),
    ):  # fmt: skip
        retype(page, sheet, r, c, text)
        state[sheet][r][c] = value
        assert_shows(page, state)
        assert "cx-error" not in part(page, ".cx-status").get_attribute("class")
    cell(page, "image", 3, 3).click()
    until_selected(page)
    page.keyboard.type("8")  # a click selects the number, so typing replaces it
    state["image"][3][3] = 8
    assert_shows(page, state)
    for _ in range(2):  # a click on a number that is selected drops the selection, and gets it back
        cell(page, "image", 1, 2).click()
    until_selected(page)
    page.keyboard.type("-4")
    state["image"][1][2] = -4
    assert_shows(page, state)


@pytest.mark.parametrize("sheet", ["image", "kernel", "gradient"])
def test_bad_cells_keep_the_old_number_and_say_so(opened, sheet):
    page = opened(GradientExplorer())
    name = {"image": "Input", "kernel": "Kernel", "gradient": "Output gradient"}[sheet]
    error = lambda: "cx-error" in part(page, ".cx-status").get_attribute("class")  # noqa: E731
    for text in ("abc", "", "-", "100", "-100", "1000000", "1e1", "0.5", "1/2", "--1", "1_2", "NaN", "<b>"):
        state = {name: getattr(GradientExplorer(), name) for name in STATE}
        button(page, "Reset").click()
        target = cell(page, sheet, 0, 2).locator("input")
        target.focus()
        page.keyboard.press("Backspace")
        page.keyboard.type(text)
        # What cannot become a number is refused at once; what is only begun, when the cell is left.
        assert error() == (text not in ("", "-")), text
        page.keyboard.press("Enter")
        kept = target.input_value()
        why = f", not “{text}”" if text else " and cannot be empty"
        assert status(page) == f"{name}[0, 2] takes a whole number from −99 to 99{why}; it stays {kept}." and error()
        # A beginning that is a number, the 10 of 100 or the 1 of 1/2, counts while it is being typed.
        begun = {"100": 10, "-100": -10, "1000000": 10, "1e1": 1, "0.5": 0, "1/2": 1, "1_2": 1}
        state[sheet][0][2] = begun.get(text, state[sheet][0][2])
        assert number(kept) == state[sheet][0][2], text
        assert_shows(page, state)
        cell(page, sheet, 1, 1).click()
        assert not error(), text


def test_refusal_is_not_lost_when_the_focus_moves_on(opened):
    page = opened(GradientExplorer())
    cell(page, "image", 0, 0).click()
    until_selected(page)
    page.keyboard.press("Backspace")
    assert "takes" not in status(page)  # an empty cell may become a number
    page.keyboard.press("Tab")
    text = "Input[0, 0] takes a whole number from −99 to 99 and cannot be empty; it stays 1. Weight [0, 0] is used by 9"
    assert status(page).startswith(text)
    assert cell(page, "image", 0, 0).locator("input").input_value() == "1"
    cell(page, "image", 0, 0).click()
    until_selected(page)
    page.keyboard.type("x")
    menu(page, "Input").select_option("3 × 3")  # the cell that is typed in goes
    assert shown(page, "image") == [[1, 0, 2], [0, 1, 3], [2, 1, 0]]


def test_input_shrinks_in_another_view_while_a_cell_is_typed_in(opened):
    explorer = GradientExplorer()
    page = opened(explorer, explorer)
    cell(page, "image", 4, 4).click()
    until_selected(page)
    page.keyboard.type("x")
    page.evaluate(
        """() => { const menu = document.querySelectorAll(".cx-gradient")[1].querySelectorAll("select")[2];
            menu.value = "3 × 3"; menu.dispatchEvent(new Event("change")); }"""
    )
    expected = [[1, 0, 2], [0, 1, 3], [2, 1, 0]]
    assert shown(page, "image") == shown(page, "image", 1) == expected and "takes" not in status(page)
    cell(page, "image", 2, 2).click()
    assert status(page).startswith("Pixel [2, 2] is read by 1 window and receives 18.")


def test_impossible_layers_say_why_and_are_left_again(opened):
    page = opened(GradientExplorer())
    menu(page, "Input").select_option("2 × 2")
    text = "The kernel of 3 × 3 is larger than the input of 2 × 2: there is no output. Take a smaller kernel, a larger input or padding."
    assert status(page) == text and "cx-error" in part(page, ".cx-status").get_attribute("class")
    assert [shown(page, sheet) for sheet in ("output", "dx", "dk", "gradient")] == [None] * 4
    assert not page.get_by_text("← Backward").is_visible() and work(page) == ""
    for name in ("All ones", "One cell", "Clear"):
        assert button(page, name).is_disabled()
    cell(page, "kernel", 1, 1).click()
    until_selected(page)
    page.keyboard.type("-5")
    assert status(page) == text and shown(page, "kernel")[1][1] == -5
    menu(page, "Operation").select_option("max pooling")
    assert status(page).startswith("The window of 3 × 3 is larger than the input of 2 × 2")
    button(page, "Padding: more").click()
    assert shown(page, "gradient") == [[2, 0], [0, 1]] and button(page, "Clear").is_enabled()
    button(page, "Padding: less").click()
    menu(page, "Operation").select_option("convolution")
    button(page, "Kernel: less").click()
    assert shown(page, "kernel") == [[1, 2], [4, -5]] and shown(page, "gradient") == [[2]]
    assert shown(page, "dx") == [[2, 4], [8, -10]]
    assert "cx-error" not in part(page, ".cx-status").get_attribute("class")


def focused(page):
    return page.evaluate(
        "document.activeElement.closest('label')?.firstChild.textContent ?? document.activeElement.ariaLabel ?? "
        "document.activeElement.textContent"
    )


def test_keyboard_reaches_everything(opened):
    page = opened(GradientExplorer())
    seen = []
    for _ in range(16):
        page.keyboard.press("Tab")
        seen.append(focused(page))
        assert page.evaluate("getComputedStyle(document.activeElement).outlineStyle") != "none"
    assert seen == [
        "Preset", "Operation", "Input", "Kernel: less", "Stride: more", "Padding: more", "All ones", "One cell",
        "Clear", "Reset", "Input[0, 0]", "Kernel[0, 0]", "Output[0, 0] = 52", "Input gradient[0, 0] = 2",
        "Kernel gradient[0, 0] = 3", "Output gradient[0, 0]",
    ]  # fmt: skip
    assert page.locator(".cx-grid [tabindex='0']").count() == 6
    for key, place in (("ArrowRight", "[0, 1]"), ("ArrowDown", "[1, 1]"), ("ArrowLeft", "[1, 0]"),
                       ("ArrowLeft", "[1, 0]"), ("ArrowUp", "[0, 0]"), ("ArrowUp", "[0, 0]")):  # fmt: skip
        page.keyboard.press(key)
        assert focused(page) == f"Output gradient{place}" and status(page).startswith(f"Output {place}")
    for value in (-1, 0, 1, 2):
        page.keyboard.press("Space")
        assert shown(page, "gradient")[0][0] == value
    page.keyboard.type("5")  # replaces the number
    assert shown(page, "gradient")[0][0] == 5
    page.keyboard.press("Shift+Tab")
    page.keyboard.press("ArrowRight")
    assert focused(page).startswith("Kernel gradient[0, 1] = ") and status(page).startswith("Weight [0, 1]")
    page.keyboard.press("Space")  # no number of your own
    page.keyboard.press("x")
    page.keyboard.press("Shift+Tab")
    page.keyboard.press("ArrowDown")
    assert focused(page).startswith("Input gradient[1, 0] = ") and status(page).startswith("Pixel [1, 0]")
    page.keyboard.press("Shift+Tab")
    page.keyboard.press("Shift+Tab")
    assert focused(page) == "Kernel[0, 0]"
    page.keyboard.press("ArrowRight")
    page.keyboard.type("-9")
    assert shown(page, "kernel")[0] == [1, -9, 3]
    assert page.locator("[aria-live], [role=status]").count() == 1
    assert page.evaluate("document.activeElement.hasAttribute('data-lm-suppress-shortcuts')")


def test_touch_on_a_phone(touched):
    page = touched(GradientExplorer(preset="max pooling"))
    target = cell(page, "gradient", 0, 1)
    target.tap()
    assert shown(page, "gradient") == [[1, 2], [3, 4]] and status(page).startswith("Output [0, 1] has the gradient 2.")
    target.tap()
    assert shown(page, "gradient") == [[1, -1], [3, 4]] and shown(page, "dx")[0][3] == -1
    # No keyboard rises over the figure when a gradient is tapped.
    assert target.locator("input").get_attribute("inputmode") == "none"
    assert cell(page, "image", 0, 0).locator("input").get_attribute("inputmode") == "text"
    cell(page, "image", 0, 2).tap()
    until_selected(page)
    page.keyboard.type("9")
    assert shown(page, "dx")[0] == [0, 0, -1, 0]
    button(page, "All ones").tap()
    cell(page, "dx", 1, 1).tap()
    assert status(page).startswith("Pixel [1, 1] is read by 1 window, wins 1 and receives 1.")
    button(page, "Reset").tap()
    assert_shows(page, PRESETS["max pooling"])


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_small_phone_and_both_colour_modes(opened, theme):
    page = opened(GradientExplorer(), width=PHONE, theme=theme)
    for width in (PHONE, 320):
        page.set_viewport_size({"width": width, "height": 740})
        for name in PRESETS:
            menu(page, "Preset").select_option(name)
            for size in ("6 × 6", "2 × 2", "4 × 4"):
                menu(page, "Input").select_option(size)
                assert_legible(page)
    assert_touchable(page, ".cx button, .cx select, .cx-cell")
    assert page.evaluate("getComputedStyle(document.querySelector('.cx')).backgroundColor") == (
        "rgb(255, 255, 255)" if theme == "light" else "rgb(20, 24, 29)"
    )


def test_large_numbers_fit_into_their_cells(opened):
    page = opened(GradientExplorer(image=[[-99] * 6] * 6, kernel=[[99] * 3] * 3, gradient=[[99] * 4] * 4), width=PHONE)
    spill = "cells => cells.filter((cell) => cell.firstChild.scrollWidth > cell.clientWidth).length"
    for operation in OPERATIONS:
        menu(page, "Operation").select_option(operation)
        for place in ("gradient", "dx"):
            cell(page, place, 1, 1).click()
            assert page.locator(".cx-cell").evaluate_all(spill) == 0
            assert page.evaluate(OVERFLOW) == 0
    assert min(shown(page, "output")[0]) == -99


def test_colours_tell_the_sign(opened):
    page = opened(GradientExplorer(image=[[-9, 0, 9]] * 3, kernel=[[1]], gradient=[[4, -4, 0], [2, 0, 0], [0, 0, 0]]))
    back = lambda *at: tuple(map(int, re.findall(r"\d+", cell(page, *at).evaluate("c => c.style.background"))))  # noqa: E731
    assert [back("image", 0, c) for c in range(3)] == [(0,) * 3, (128,) * 3, (255,) * 3]
    for sheet in ("gradient", "dx"):
        plus, minus, zero = (back(sheet, 0, c) for c in range(3))
        assert plus[0] > plus[2] + 100 and minus[2] > minus[0] + 100 and zero == (247,) * 3
        assert plus[2] < back(sheet, 1, 0)[2] < zero[2]  # half as much is paler


def test_two_copies_two_views_and_reset(opened):
    first, second = GradientExplorer(gradient="all ones"), GradientExplorer(preset="max pooling")
    page = opened(first, second, first)
    state = {name: getattr(first, name) for name in STATE}
    state["kernel"] = [[1, 2, 3], [4, -8, 6], [7, 8, 9]]
    retype(page, "kernel", 1, 1, "-8")  # in the first view
    for nth in (0, 2):
        assert_shows(page, state, nth)
    assert_shows(page, PRESETS["max pooling"], 1)
    cell(page, "dx", 4, 4, 2).click()  # each view has a selection of its own
    assert status(page, 2).startswith("Pixel [4, 4]") and status(page, 0).startswith("Weight [1, 1]")
    page.get_by_role("button", name="Reset").nth(2).click()
    assert status(page, 2).startswith("Output [0, 0]")
    assert_shows(page, state | {"kernel": PRESETS["3 × 3 convolution"]["kernel"]}, 0)
    ids = page.evaluate("[...document.querySelectorAll('[id]')].map((node) => node.id)")
    assert len(ids) == len(set(ids))


def test_python_changes_the_figure_and_the_view_cleans_up(browser):
    page = browser.new_page()
    explorer = GradientExplorer()
    state = {name: getattr(explorer, name) for name in (*STATE, "_presets", "_start")}
    shape, text, saved, left = page.evaluate(
        """async ([source, state]) => {
            const url = URL.createObjectURL(new Blob([source], { type: "text/javascript" }));
            const { render } = (await import(url)).default;
            const listeners = new Map(), saved = [];
            const model = {
                get: (name) => state[name], set: (name, value) => { state[name] = value; },
                save_changes: () => saved.push(structuredClone(state)),
                on: (name, f) => listeners.set(name, f), off: (name, f) => listeners.get(name) === f && listeners.delete(name),
            };
            const cleanup = render({ model, el: document.body });
            state.stride = 2;  // as if Python had set it
            listeners.get("change:stride")();
            await Promise.resolve();
            const shape = document.querySelectorAll("[data-sheet=gradient] input").length;
            const text = document.querySelector(".cx-status").textContent;
            document.querySelector("[data-sheet=kernel] input").focus();
            document.activeElement.value = "5";
            document.activeElement.dispatchEvent(new Event("input", { bubbles: true }));
            cleanup();
            await Promise.resolve();
            return [shape, text, saved, [document.body.childElementCount, listeners.size]];
        }""",
        [MODULE, state],
    )
    page.close()
    assert shape == 4 and text.startswith("Output [0, 0] has the gradient 2.") and left == [0, 0]
    assert saved[-1]["kernel"][0] == [5, 2, 3] and saved[-1]["gradient"] == [[2, 0], [0, 1]]


def test_page_needs_no_network(browser):
    page = browser.new_page()
    asked = []
    page.on("request", lambda request: asked.append(request.url))
    page.set_content(page_of(GradientExplorer()))
    expect(page.locator(".explorer[data-ready]")).to_have_count(1)
    page.close()
    assert [url for url in asked if not url.startswith("blob:")] == []


def test_update_time_is_printed(opened):
    page = opened(
        GradientExplorer(image=[[1, 2, 3, 4, 5, 6]] * 6, kernel=[[3]], padding=1, gradient="all ones"), width=LAPTOP
    )
    times = page.evaluate(
        """async () => {
            const result = { select: [], edit: [], stride: [] };
            const timed = async (name, act) => {
                const start = performance.now();
                act();
                await Promise.resolve();  // changes are drawn in a microtask
                document.body.getBoundingClientRect();
                result[name].push(performance.now() - start);
            };
            const cells = [...document.querySelectorAll("[data-sheet=dx] .cx-cell")];
            const input = document.querySelector("[data-sheet=image] input");
            const [less, more] = document.querySelectorAll("[aria-label=Stride] button");
            for (let n = 0; n < 30; n += 1) {
                await timed("select", () => cells[n].focus());
                await timed("edit", () => { input.value = n; input.dispatchEvent(new Event("input", { bubbles: true })); });
                await timed("stride", () => (n % 2 ? less : more).click());
            }
            return result;
        }"""
    )
    for name, values in times.items():
        values.sort()
        print(f"{name}: median {values[15]:.1f} ms, largest {values[-1]:.1f} ms")
    assert all(len(values) == 30 for values in times.values())
