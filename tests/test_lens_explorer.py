"""The lens: what it lays over a photograph, against PyTorch and utils.attribution, and its use."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from playwright.sync_api import expect
from torch import nn
from torch.nn import functional as F

from browser import PHONE, SPILL, assert_legible, assert_touchable, button, call, menu, open_page, status
from utils import attribution
from utils.widgets import Lens, source

MODULE = source("base.js", "lens.js")
LAYERS, NAMES = ["0", "2", "4"], ["grey", "orange"]
ASKED = [[("cat", 3.3), ("dog", -1.0)], [("cat", 0.5), ("dog", 2.0), ("bird", 0.125)]]
CLASSES = [[0, 1], [0, 1, 2]]


@pytest.fixture(scope="module")
def given():
    """Two pictures, a small network, and its maps before the ReLU."""
    torch.manual_seed(0)
    model = nn.Sequential(
        nn.Conv2d(3, 6, 3, padding=1), nn.MaxPool2d(2), nn.Conv2d(6, 8, 3, padding=1), nn.MaxPool2d(2),
        nn.Conv2d(8, 8, 3, padding=1), nn.Flatten(), nn.Linear(8 * 64, 3),
    )  # fmt: skip
    pictures = torch.empty(2, 3, 32, 32, dtype=torch.uint8)
    pictures[0] = (torch.arange(32) * 8).to(torch.uint8)
    pictures[1] = (torch.tensor([[240.0], [130.0], [20.0]]) * torch.linspace(0.2, 1, 32)).to(torch.uint8)[..., None]
    return model, pictures


def grad_cam(given, n: int, k: int, layer: str, **options) -> torch.Tensor:
    model, pictures = given
    return attribution.grad_cam(model, pictures[n : n + 1] / 255, k, layer=layer, **options)[0]


@pytest.fixture
def lens(given):
    maps = [
        [[grad_cam(given, n, k, layer, relu=False, enlarged=False) for layer in LAYERS] for k in ks]
        for n, ks in enumerate(CLASSES)
    ]
    return Lens(given[1], NAMES, ASKED, LAYERS, maps, start=(0, 1, 2))


@pytest.mark.parametrize("size", [(1, 1), (2, 3), (5, 5), (7, 4), (32, 32)])
def test_maps_are_enlarged_as_torch_does(browser, size):
    values = torch.randn(size)
    page = browser.new_page()
    for smooth, mode in ((True, {"mode": "bilinear", "align_corners": False}), (False, {"mode": "nearest"})):
        ours = call(page, f"{MODULE}\nexport const listed = (...a) => Array.from(enlarge(...a));", "listed",
                    values.flatten().tolist(), *size, 32, smooth)  # fmt: skip
        theirs = F.interpolate(values[None, None], 32, **mode)[0, 0]
        assert np.abs(np.array(ours).reshape(32, 32) - theirs.numpy()).max() < 1e-6
    page.close()


def drawn(page, nth: int = 0) -> np.ndarray:
    expect(page.locator(".ln").nth(nth)).to_have_attribute("data-drawn", "true")
    values = page.locator(".ln canvas").nth(nth).evaluate(
        "c => [...c.getContext('2d').getImageData(0, 0, c.width, c.height).data]"
    )  # fmt: skip
    return np.array(values, dtype=float).reshape(32, 32, 4)[..., :3]


def slide(page, percent: int) -> None:
    page.get_by_role("slider").evaluate(
        "(node, value) => { node.value = value; node.dispatchEvent(new Event('input')); }", percent
    )


def photograph(page) -> np.ndarray:
    """The photograph in colour, as this browser decodes it."""
    slide(page, 0)
    return drawn(page)


def full_at(values) -> float:
    """Where the colour is full, of maps that are shown on one scale."""
    strengths = [np.sort(np.abs(np.asarray(v)).ravel())[::-1] for v in values]
    return max(float(s[int(0.02 * s.size)] or s[0]) for s in strengths)


def mixed(ground: np.ndarray, value: np.ndarray, largest: float, overlay: float) -> np.ndarray:
    grey = (ground @ [0.2125, 0.7154, 0.0721])[..., None]
    weight = overlay * np.clip(np.abs(value) / largest, 0, 1)[..., None]
    colour = np.where(value[..., None] < 0, [33, 102, 172], [224, 106, 0])
    return (1 - weight) * ((1 - overlay) * ground + overlay * grey) + weight * colour


def test_every_state_shows_the_map_of_the_helper(opened, lens, given):
    page = opened(lens)
    for n, ks in enumerate(CLASSES):
        menu(page, "photograph").select_option(str(n))
        ground = photograph(page)
        assert np.abs(ground - given[1][n].permute(1, 2, 0).numpy()).mean() < 5  # it was compressed
        for k in ks:
            menu(page, "class").select_option(str(k))
            for depth, layer in enumerate(LAYERS):
                menu(page, "layer").select_option(str(depth))
                value = grad_cam(given, n, k, layer).numpy()
                strongest = full_at([grad_cam(given, n, k, layer, enlarged=False)])
                for percent in (70, 100):
                    slide(page, percent)
                    assert f"overlay: {percent} %" in page.locator(".ln-range").inner_text()
                    expected = mixed(ground, value, strongest or 1, percent / 100)
                    assert np.abs(drawn(page) - expected).max() < 1.01
                word, score = ASKED[n][k]
                text = status(page)
                assert text.startswith(
                    f"{NAMES[n]}, “{word}”: score {f'{score:.1f}'.replace('-', '−').removesuffix('.0')}"
                )
                assert f"has {32 >> depth} × {32 >> depth} numbers" in text
                assert page.locator(".ln canvas").get_attribute("aria-label") == text


def test_squares_both_signs_and_one_scale(opened, lens, given):
    page = opened(lens)
    menu(page, "photograph").select_option("1")
    ground = photograph(page)
    slide(page, 100)
    menu(page, "layer").select_option("2")
    signed = [grad_cam(given, 1, k, "4", relu=False, enlarged=False) for k in range(3)]
    large = F.interpolate(signed[0][None, None], 32, mode="nearest")[0, 0].numpy()
    page.get_by_label("show the numbers as squares").check()
    page.get_by_label("also what speaks against the class").check()
    assert (large < 0).any() and (large > 0).any()
    assert np.abs(drawn(page) - mixed(ground, large, full_at(signed[:1]), 1)).max() < 1.01
    page.get_by_label("one scale for all classes").check()
    most = full_at(signed)
    assert np.abs(drawn(page) - mixed(ground, large, most, 1)).max() < 1.01
    page.get_by_label("also what speaks against the class").uncheck()
    most = full_at([m.relu() for m in signed])
    assert np.abs(drawn(page) - mixed(ground, large.clip(0), most, 1)).max() < 1.01
    button(page, "Reset").click()
    assert status(page).startswith("grey, “dog”: score −1. The map of 4 ")
    assert page.get_by_role("slider").input_value() == "70"
    assert page.locator(".ln input:checked").count() == 0


def test_another_photograph_has_its_own_classes(opened, lens):
    page = opened(lens)
    assert menu(page, "class").locator("option").all_inner_texts() == ["cat", "dog"]
    menu(page, "photograph").select_option("1")
    assert menu(page, "class").locator("option").all_inner_texts() == ["cat", "dog", "bird"]
    assert "“cat”" in status(page)


def test_a_map_of_zeros_leaves_the_photograph(opened, given):
    maps = [[[torch.zeros(2, 2)]]] * 2
    page = opened(Lens(given[1], NAMES, [[("cat", 1)]] * 2, ["0"], maps))
    slide(page, 100)
    grey = drawn(page)
    assert "nothing is coloured" in status(page) and np.ptp(grey, axis=-1).max() <= 1


def test_the_keyboard_slides(opened, lens):
    page = opened(lens)
    page.get_by_role("slider").focus()
    page.keyboard.press("ArrowRight")
    assert page.get_by_role("slider").get_attribute("aria-valuetext") == "75 %"


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("width", [PHONE, 720])
def test_it_fits_and_is_legible(browser, lens, theme, width):
    page = open_page(browser, lens, width=width, theme=theme)
    assert_legible(page)
    assert_touchable(page, ".cx button, .cx select, .cx input[type=range]")
    assert_touchable(page, ".ln-tick")
    assert page.evaluate(SPILL) == [] and page.problems == []
    page.close()


def test_two_copies_do_not_disturb_each_other(opened, lens):
    page = opened(lens, lens)
    before = drawn(page, 0)
    page.locator(".ln").nth(1).get_by_label("photograph").select_option("1")
    assert (drawn(page, 0) == before).all() and (drawn(page, 1) != before).any()


PICTURES, ONE = torch.zeros(1, 3, 8, 8, dtype=torch.uint8), [[[torch.zeros(2, 2)]]]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"pictures": PICTURES.float()}, r"pictures are torch.float32 \(1, 3, 8, 8\); the lens takes uint8"),
        ({"pictures": PICTURES[:, :1]}, r"\(1, 1, 8, 8\)"),
        ({"pictures": PICTURES[..., :4]}, r"the pictures are 8×4; cut them to squares"),
        ({"names": ["a", "b"]}, r"there are 1 pictures, 2 names"),
        ({"questions": [[("cat", 1), ("dog", 2)]]}, r"a has 2 classes and maps for 1"),
        ({"layers": ["0", "1"]}, r"the maps of a, cat, have the shapes \[\(2, 2\)\]; there are 2 layers"),
        ({"maps": [[[torch.zeros(1, 2, 2)]]]}, r"have the shapes \[\(1, 2, 2\)\]"),
        ({"start": (0, 0, 1)}, r"the start is \(0, 0, 1\), but there are 1 pictures and 1 layers"),
        ({"start": (0, 3, 0)}, r"the start is \(0, 3, 0\), but a has 1 classes"),
        ({"maps": [[[torch.zeros(400, 400)]]]}, r"more than the 600,000 allowed"),
    ],
)
def test_bad_arguments(changes, message):
    given = {"pictures": PICTURES, "names": ["a"], "questions": [[("cat", 1)]], "layers": ["0"], "maps": ONE} | changes
    with pytest.raises(ValueError, match=message):
        Lens(**given)
