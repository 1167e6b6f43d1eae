"""The explorer Occlude it: its maps against PyTorch, and its use by mouse, keyboard and touch."""

from __future__ import annotations

import json
import re

import numpy as np
import pytest
import torch
from playwright.sync_api import expect
from torch import nn

from browser import PHONE, SPILL, assert_legible, assert_touchable, button, menu, status
from utils import attribution, data
from utils.models.lenet import DIGITS_WEIGHTS, LeNet
from utils.training import load_weights
from utils.widgets import OcclusionExplorer, source
from utils.widgets.trained import half_precision_model

MEAN, STD = data.digits().train.mean[0], data.digits().train.std[0]
SHADES = {"mean": 255 * MEAN, "black": 0, "grey": 128, "white": 255}
MODULE = source("base.js", "trained.js", "occlusion.js")
PAD, MAP = ".oc-pad canvas:not(.oc-map)", ".oc-map"


@pytest.fixture(scope="module")
def trained():
    return load_weights(LeNet(), DIGITS_WEIGHTS)


@pytest.fixture(scope="module")
def picked():
    """A test digit of each kind, 0 to 9."""
    test = data.digits().test
    index = [int((test.labels == digit).nonzero()[0]) for digit in range(10)]
    return test.images[index], test.labels[index]


@pytest.fixture
def explorer(trained, picked):
    return OcclusionExplorer(trained, *picked, mean=MEAN, std=STD)


@pytest.fixture
def page(opened, explorer):
    return opened(explorer)


def normalise(pixels: torch.Tensor) -> torch.Tensor:
    return (pixels.double() / 255 - MEAN) / STD


def filled(shade: str) -> float:
    return (SHADES[shade] / 255 - MEAN) / STD


def expected_map(model: nn.Module, image: torch.Tensor, side: int, shade: str = "mean") -> np.ndarray:
    """The map of utils.attribution, with the weights of the page: patches half a side apart, the net's own answer."""
    model = half_precision_model(model).double().eval()
    return attribution.occlusion(model, normalise(image[None]), patch=side, fill=filled(shade))[0].numpy()


def maps_of(page, explorer, cases) -> list[np.ndarray]:
    """Run the module's own function on (digit, class, side, shade) each."""
    body = """async ([source, text]) => {
        const m = await import(URL.createObjectURL(new Blob([source], { type: "text/javascript" }))), v = JSON.parse(text);
        const weights = m.decode(v.bytes);
        return v.cases.map(([input, k, side, fill]) => Array.from(m.occlusionMap(v.layers, weights, Float32Array.from(input), k, side, fill).map));
    }"""
    images = torch.frombuffer(bytearray(explorer.images), dtype=torch.uint8).view(-1, 1, 28, 28)
    inputs = normalise(images).flatten(1).tolist()
    given = [(inputs[i], k, side, filled(shade)) for i, k, side, shade in cases]
    text = json.dumps({"layers": explorer.layers, "bytes": list(explorer.weights), "cases": given})
    return [np.array(found).reshape(28, 28) for found in page.evaluate(body, [MODULE, text])]


@torch.no_grad()
def read(model: nn.Module, image: torch.Tensor, x: int = 0, y: int = 0, side: int = 0, shade: str = "mean"):
    """Return the logits of the network in the page, (10,), with a patch over the digit."""
    pixels = normalise(image[None])
    pixels[:, :, y : y + side, x : x + side] = filled(shade)
    return half_precision_model(model).double()(pixels)[0]


# ---------------------------------------------------------------- arithmetic


def test_maps_equal_those_of_the_helper(page, trained, picked, explorer):
    answers = [int(read(trained, image).argmax()) for image in picked[0]]
    cases = [(i, answers[i], 8, "mean") for i in range(10)]
    cases += [(4, answers[4], side, "mean") for side in (2, 3, 5, 9, 16)]
    cases += [(7, answers[7], 6, shade) for shade in SHADES]
    found = maps_of(page, explorer, cases)
    for (i, _, side, shade), ours in zip(cases, found, strict=True):
        theirs = expected_map(trained, picked[0][i], side, shade)
        assert np.abs(theirs).max() > 0.5
        assert np.abs(ours - theirs).max() < 1e-4, (i, side, shade)


def test_maps_of_another_class_and_network(opened, picked):
    torch.manual_seed(3)
    model = nn.Sequential(
        nn.Conv2d(1, 3, 3, padding=1), nn.Tanh(), nn.AvgPool2d(2), nn.Flatten(), nn.Linear(588, 10)
    )  # fmt: skip
    explorer = OcclusionExplorer(model, *picked, mean=MEAN, std=STD)
    [ours] = maps_of(opened(explorer), explorer, [(2, 5, 7, "white")])
    half = half_precision_model(model).double()
    theirs = attribution.occlusion(half, normalise(picked[0][2:3]), 5, patch=7, fill=filled("white"))[0].numpy()
    assert theirs.std() > 0.01 and np.abs(ours - theirs).max() < 1e-5


# ---------------------------------------------------------------- the page


def place(page) -> tuple[int, int, int]:
    """Return row, column and side of the patch, from the sentence, counted from 0; the drawing must agree."""
    found = re.search(r"(\d+) × \1 pixels are covered, from row (\d+) and column (\d+) on", status(page))
    assert found, status(page)
    side, row, column = (int(n) for n in found.groups())
    style = page.locator(".oc-patch").evaluate("p => [p.style.top, p.style.left, p.style.width].map(parseFloat)")
    np.testing.assert_allclose(np.array(style) * 28 / 100, [row - 1, column - 1, side], atol=1e-3)
    return row - 1, column - 1, side


def assert_reads(page, trained, picked, digit: int, shade: str = "mean") -> int:
    """The bars and the sentence are what PyTorch computes with the patch where the page says it is."""
    row, column, side = place(page)
    image = picked[0][digit]
    logits, whole = read(trained, image, column, row, side, shade), read(trained, image)
    p, first, answer = logits.softmax(0).numpy(), int(logits.argmax()), int(whole.argmax())
    shown = [float(t.lstrip("<>")) for t in page.locator(".dr-number").all_inner_texts()]
    assert np.abs(np.array(shown) - p).max() <= 0.0011
    text = status(page)
    assert text.startswith(f"The network reads {first}" + (", with" if first == answer else f", no longer {answer},"))
    found = re.search(rf"The score of {answer} (falls|rises) from (\S+) to (\S+):", text)
    before, after = (float(n.replace("−", "-")) for n in found.groups()[1:])
    assert (before, after) == pytest.approx((float(whole[answer]), float(logits[answer])), abs=0.006)
    assert (found[1] == "rises") == (float(logits[answer]) > float(whole[answer]))
    assert text.endswith(f"This test digit is a {int(picked[1][digit])}.")
    # What is seen is what the network is given.
    seen = page.locator(PAD).evaluate("c => [...c.getContext('2d').getImageData(0, 0, 28, 28).data]")
    seen = np.array(seen).reshape(28, 28, 4)[..., 0]
    drawn = image[0].numpy().copy()
    drawn[row : row + side, column : column + side] = round(SHADES[shade])
    assert (seen == drawn).all()
    return first


def spot(page, x: float, y: float) -> tuple[float, float]:
    box = page.locator(PAD).bounding_box()
    return box["x"] + x / 28 * box["width"], box["y"] + y / 28 * box["height"]


def test_the_patch_is_dragged(page, trained, picked):
    assert place(page) == (10, 10, 8)
    assert_reads(page, trained, picked, 0)
    page.mouse.move(*spot(page, 14, 14))
    page.mouse.down()
    for x, y in ((12, 9), (9, 6), (6, 20), (22, 13)):
        page.mouse.move(*spot(page, x, y), steps=2)
        assert place(page) == (y - 4, x - 4, 8)
        assert_reads(page, trained, picked, 0)
    page.mouse.move(*spot(page, 60, -9))  # beyond the pad: the patch stays inside
    assert place(page) == (0, 20, 8)
    page.mouse.up()
    page.mouse.move(*spot(page, 14, 14))
    assert place(page) == (0, 20, 8)


def test_the_answer_changes_somewhere(page, trained, picked):
    """On every digit, the sentence follows the network, also where the answer turns."""
    turned = 0
    menu(page, "the patch shows").select_option("white")
    for digit in range(10):
        page.get_by_role("radio").nth(digit).click()
        page.mouse.move(*spot(page, 14, 14))
        page.mouse.down()
        for x, y in ((6, 14), (14, 6), (14, 22), (22, 14), (18, 10)):
            page.mouse.move(*spot(page, x, y))
            turned += assert_reads(page, trained, picked, digit, "white") != int(
                read(trained, picked[0][digit]).argmax()
            )
        page.mouse.up()
    assert turned >= 3


def test_the_keyboard_moves_it(page, trained, picked):
    page.locator(".oc-pad").focus()
    for key, expected in (
        ("ArrowLeft", (10, 9)), ("ArrowUp", (9, 9)), ("ArrowRight", (9, 10)), ("ArrowDown", (10, 10)),
        ("Shift+ArrowUp", (2, 10)), ("Shift+ArrowUp", (0, 10)), ("Shift+ArrowRight", (0, 18)), ("Shift+ArrowRight", (0, 20)),
    ):  # fmt: skip
        page.keyboard.press(key)
        assert place(page)[:2] == expected, key
    assert_reads(page, trained, picked, 0)
    page.get_by_role("radio").nth(0).focus()
    page.keyboard.press("ArrowRight")
    assert_reads(page, trained, picked, 1)


def test_its_side_and_its_shade(page, trained, picked):
    plus, minus = (button(page, f"side of the patch: {word}") for word in ("more", "less"))
    for _ in range(8):
        plus.click()
    assert place(page) == (6, 6, 16) and plus.is_disabled()
    assert_reads(page, trained, picked, 0)
    for _ in range(14):
        minus.click()
    assert place(page)[2] == 2 and minus.is_disabled()
    for shade in SHADES:
        menu(page, "the patch shows").select_option(shade)
        assert_reads(page, trained, picked, 0, shade)
    page.get_by_role("radio").nth(3).click()
    button(page, "Reset").click()
    assert place(page) == (10, 10, 8) and menu(page, "the patch shows").input_value() == "mean"
    assert_reads(page, trained, picked, 0)


def shown_map(page) -> np.ndarray:
    expect(page.locator(".oc")).to_have_attribute("data-map", "done", timeout=60_000)
    values = page.locator(MAP).evaluate("c => [...c.getContext('2d').getImageData(0, 0, 28, 28).data]")
    return np.array(values, dtype=float).reshape(28, 28, 4)


def test_the_map_is_drawn_and_follows(page, trained, picked):
    toggle = button(page, "Map")
    assert not page.locator(MAP).is_visible() and toggle.get_attribute("aria-pressed") == "false"
    toggle.click()
    assert page.locator(MAP).is_visible() and toggle.get_attribute("aria-pressed") == "true"

    def assert_shows(digit: int, side: int, shade: str = "mean") -> None:
        theirs, ours = expected_map(trained, picked[0][digit], side, shade), shown_map(page)
        strength = 210 * np.abs(theirs) / np.abs(theirs).max()
        assert np.abs(ours[..., 3] - strength).max() <= 1.01
        clear = strength > 12  # the colours of nearly clear pixels are rounded by the browser
        assert ((ours[..., 0] > ours[..., 2]) == (theirs > 0))[clear].all()
        legend = page.locator(".oc-legend").inner_text()
        most = float(re.search(r"falls, by up to (\S+) \(", legend)[1])
        assert most == pytest.approx(theirs.max(), abs=0.006)
        stride = max(1, side // 2)
        passes = len(range(0, 28 - side + stride, stride)) ** 2 + 1
        assert f"{passes} passes" in legend

    assert_shows(0, 8)
    page.get_by_role("radio").nth(5).click()
    assert_shows(5, 8)
    for _ in range(3):
        button(page, "side of the patch: less").click()
    assert_shows(5, 5)
    menu(page, "the patch shows").select_option("white")
    assert_shows(5, 5, "white")
    # Moving the patch does not compute the map anew.
    page.locator(".oc-pad").focus()
    page.keyboard.press("ArrowLeft")
    assert page.locator(".oc").get_attribute("data-map") == "done"
    toggle.click()
    assert not page.locator(MAP).is_visible() and page.locator(".oc").get_attribute("data-map") == "off"


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("width", [PHONE, 720, 1280])
def test_it_fits_and_is_legible(opened, explorer, theme, width):
    page = opened(explorer, width=width, theme=theme)
    button(page, "Map").click()
    shown_map(page)
    assert_legible(page)
    assert_touchable(page)
    assert page.evaluate(SPILL) == []


def test_by_touch(touched, trained, picked, explorer):
    page = touched(explorer)
    page.touchscreen.tap(*spot(page, 8, 20))
    assert place(page) == (16, 4, 8)
    assert_reads(page, trained, picked, 0)
    assert page.locator(".oc-pad").evaluate("p => getComputedStyle(p).touchAction") == "none"


def test_two_copies_do_not_disturb_each_other(opened, explorer):
    page = opened(explorer, explorer)
    pads = page.locator(".oc-pad")
    pads.nth(1).focus()
    page.keyboard.press("ArrowUp")
    assert status(page, 0) != status(page, 1)
    assert len(set(page.locator(".oc [id]").evaluate_all("nodes => nodes.map((n) => n.id)"))) == 2


def test_the_size_that_a_notebook_stores(explorer):
    size = len(explorer._esm) + len(explorer._css) + 4 * (len(explorer.weights) + len(explorer.images)) // 3
    assert size < 200_000
    assert repr(explorer) == "<OcclusionExplorer: an interactive figure>"
