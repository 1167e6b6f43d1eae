"""Shift it: its arithmetic against PyTorch and the chapter, and the figure under mouse, keyboard, touch."""

from __future__ import annotations

import ast
import json
import math
from functools import cache

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from browser import LAPTOP, PHONE, SPILL, assert_legible, assert_touchable, button, menu, status
from tools import notebooks
from utils import data
from utils.widgets import ShiftExplorer, source

MODULE = source("base.js", "shift.js")
KINDS = ("max", "average", "blur", "strided", "global")


# ---------------------------------------------------------------- the same in PyTorch


def moved(image, dx, dy):
    return image.roll((dy, dx), (0, 1))


def blur(image, k):
    """Zhang's max-blur pooling of one map (H, W), circular at the edges."""
    everywhere = F.max_pool2d(F.pad(image[None, None], (0, k - 1, 0, k - 1), mode="circular"), k, stride=1)
    row = torch.tensor([math.comb(2 * k - 2, i) for i in range(2 * k - 1)], dtype=image.dtype) / 4 ** (k - 1)
    padded = F.pad(everywhere, (k - 1,) * 4, mode="circular") if k > 1 else everywhere
    return F.conv2d(padded, row.outer(row)[None, None], stride=k)[0, 0]


def single_one(image, k):
    kernel = torch.zeros(1, 1, k, k, dtype=image.dtype)
    kernel[..., 0, 0] = 1
    strided = F.conv2d(image[None, None], kernel, stride=k)[0, 0]
    assert torch.equal(strided, image[::k, ::k])
    return strided


POOLS = {
    "max": lambda image, k: F.max_pool2d(image[None], k)[0],
    "average": lambda image, k: F.avg_pool2d(image[None], k)[0],
    "blur": blur,
    "strided": single_one,
    "global": lambda image, k: image.mean().view(1, 1),
}


def ratio_of(after, reference):
    return float((after - reference).norm() / reference.norm())


def copies(before):
    """Every copy of a map (n, n), moved by whole cells: (dx, dy) and the copy."""
    n = len(before)
    return {(dx, dy): moved(before, dx, dy) for dy in range(n) for dx in range(n)}


@cache
def images():
    """The ten digits on 32×32 pixels."""
    train = data.digits().train
    first = [int((train.labels == label).nonzero()[0]) for label in range(10)]
    return F.pad(train.images[first, 0].double(), (2, 2, 2, 2))


@cache
def expected(digit, window, shift, compare="before"):
    """Return for each kind: the reference, the map now, ‖now − reference‖ ÷ ‖reference‖, cells that differ."""
    result = {}
    for kind, pool in POOLS.items():
        before, now = pool(images()[digit], window), pool(moved(images()[digit], *shift), window)
        if compare == "nearest":
            before = min(copies(before).values(), key=lambda copy: float((now - copy).square().sum()))
        result[kind] = before, now, ratio_of(now, before), int((now != before).sum())
    return result


def in_module(page, body, **values):
    """Run JavaScript with the module's exports as ``m`` and the given values as ``v``."""
    code = f"""async ([source, text]) => {{
        const m = await import(URL.createObjectURL(new Blob([source], {{ type: "text/javascript" }})));
        return JSON.stringify(((v) => {{ {body} }})(JSON.parse(text)));
    }}"""
    return json.loads(page.evaluate(code, [MODULE, json.dumps(values)]))


# ---------------------------------------------------------------- arithmetic


def test_arithmetic_is_that_of_pytorch(browser):
    torch.manual_seed(0)
    cases = []
    for i in range(640):
        k = (1, 2, 3, 4)[i % 4]
        n = k * int(torch.randint(2, 32 // k + 1, ()))
        # Every other image has few grey values: ties, and cells that stay.
        image = torch.randn(n, n, dtype=torch.double) if i % 8 < 4 else torch.randint(0, 3, (n, n)).double()
        image[0, 0] += 1  # never zero in every k-th pixel
        cases.append((image, k, *torch.randint(-8, 9, (2,)).tolist()))
    page = browser.new_page()
    ours = in_module(
        page,
        """return v.cases.map(([image, k, dx, dy]) => {
            const now = m.shift(image, dx, dy);
            return { now, ...Object.fromEntries(Object.entries(m.pools).map(([kind, pool]) => {
                const before = pool(image, k), after = pool(now, k);
                return [kind, { after, ...m.change(after, before), by: m.nearest(after, before) }];
            })) };
        });""",
        cases=[(image.flatten().tolist(), *rest) for image, *rest in cases],
    )
    page.close()
    worst, compared = 0.0, 0
    for (image, k, dx, dy), result in zip(cases, ours, strict=True):
        now = moved(image, dx, dy)
        assert result.pop("now") == now.flatten().tolist()
        assert tuple(result) == KINDS
        for kind, pool in POOLS.items():
            one, after, before = result[kind], pool(now, k), pool(image, k)
            worst = max(worst, float((torch.tensor(one["after"], dtype=torch.double) - after.flatten()).abs().max()))
            worst = max(worst, abs(one["ratio"] - ratio_of(after, before)) / max(1, ratio_of(after, before)))
            # Real numbers summed in another order differ by rounding; whole ones, halved, do not.
            whole = kind in ("max", "strided") or (bool((image == image.round()).all()) and k != 3)
            changed = int((after != before).sum() if whole else ((after - before).abs() > 1e-9).sum())
            assert changed == one["cells"] if whole else changed <= one["cells"], (kind, k)
            if len(after) <= 8:  # the nearest copy, among all
                best = min(float((after - copy).square().sum()) for copy in copies(before).values())
                found = float((after - moved(before, *one["by"])).square().sum())
                assert found == pytest.approx(best, abs=1e-9), (kind, k, dx, dy)
            n = len(after)
            assert all(-n / 2 < step <= n / 2 for step in one["by"])
            compared += 1
    print(f"\n{compared} maps of {len(cases)} images: largest difference from PyTorch {worst:.1e}")
    assert len(cases) >= 500 and worst < 1e-6


def test_bell_is_binomial(browser):
    page = browser.new_page()
    assert in_module(page, "return [1, 2, 3, 4].map(m.bell);") == [
        [1],
        [0.25, 0.5, 0.25],
        [1 / 16, 4 / 16, 6 / 16, 4 / 16, 1 / 16],
        [1 / 64, 6 / 64, 15 / 64, 20 / 64, 15 / 64, 6 / 64, 1 / 64],
    ]
    page.close()


def test_change_of_maps_that_are_zero(browser):
    page = browser.new_page()
    found = in_module(
        page, "return [m.change([0, 0, 0, 0], [0, 0, 0, 0]), String(m.change([0, 1, 0, 0], [0, 0, 0, 0]).ratio)];"
    )
    assert found == [{"ratio": 0, "cells": 0}, "Infinity"]  # never NaN
    page.close()


def chapter_functions(*names):
    """Return functions of the chapter on pooling, from the notebook itself."""
    path = next(path for path in notebooks.chapters() if path.stem == "pooling")
    scope = {"torch": torch, "F": F}
    for cell in notebooks.read(path).cells:
        if cell.cell_type == "code":
            for node in ast.parse(cell.source).body:
                if isinstance(node, ast.FunctionDef) and node.name in names:
                    exec(compile(ast.Module([node], []), "pooling", "exec"), scope)
    return [scope[name] for name in names]


def test_blur_and_shift_are_those_of_the_chapter(browser):
    shift, blurred_max, distance = chapter_functions("shift", "blurred_max", "distance")
    page = browser.new_page()
    for digit, image in enumerate(images()):
        flat = image.flatten().tolist()
        after, before, ratio = in_module(
            page,
            "const a = m.pools.blur(m.shift(v.map, 3, 0), 4), b = m.pools.blur(v.map, 4); return [a, b, m.change(a, b).ratio];",
            map=flat,
        )
        now, then = blurred_max(shift(image[None].float(), 3)), blurred_max(image[None].float())
        assert np.abs(np.array(after) - now.flatten().numpy()).max() < 1e-3  # grey values up to 255, in float32
        # The same root of the sum of squares; the chapter divides it by another number.
        deviation = float(then.std()) * then.numel() ** 0.5
        assert ratio * math.hypot(*before) == pytest.approx(distance(now, then) * deviation, rel=1e-5), digit
    page.close()


def test_what_the_chapter_says_about_ten_digits(browser):
    """The sentences beside the explorer in the chapter, on all ten digits and four directions."""
    calmest, larger, exact = [], [], []
    for digit in range(10):
        for dx, dy in ((1, 0), (-1, 0), (0, 1), (0, -1)):
            ratios = {kind: row[2] for kind, row in expected(digit, 4, (dx, dy)).items()}
            assert ratios.pop("global") == 0
            calmest.append((min(ratios, key=ratios.get), digit, dx, dy))
            larger.append(ratios["max"] > ratios["average"])
            for pixels in (1, 2, 3, 4):
                rows = expected(digit, 4, (pixels * dx, pixels * dy), "nearest")
                exact += [pixels for kind in KINDS[:4] if rows[kind][2] == 0]
                assert rows["global"][2] == 0
    assert [case for case in calmest if case[0] != "blur"] == [("max", 4, 0, -1)]
    assert sum(larger) == 22 and len(larger) == 40  # on digits, neither is the calmer one
    assert exact == [4] * 160


def test_the_module_is_small():
    size = len(source("shift.js").encode())
    print(f"\nshift.js: {size:,} bytes")
    assert size <= 16_000


# ---------------------------------------------------------------- Python

BAD = {
    "digit 10": (dict(digit=10), "digit is 10, and must be a whole number from 0 to 9"),
    "digit letters": (dict(digit="five"), "digit is 'five'"),
    "digit flag": (dict(digit=True), "digit is True"),
    "window 3": (dict(window=3), "window is 3, and must be 2 or 4"),
    "window fraction": (dict(window=2.0), "window is 2.0"),
    "window none": (dict(window=None), "window is None"),
    "shift too far": (dict(shift=(9, 0)), r"shift is \(9, 0\), and must be two whole numbers from -8 to 8"),
    "shift too far up": (dict(shift=(0, -9)), r"shift is \(0, -9\)"),
    "shift of half a pixel": (dict(shift=(0.5, 0)), r"shift is \(0.5, 0\)"),
    "one number": (dict(shift=1), "shift is 1, and must be two whole numbers"),
    "three numbers": (dict(shift=(1, 2, 3)), "shift is"),
    "compare": (dict(compare="after"), "compare is 'after', and must be 'before'"),
    "compare list": (dict(compare=[]), r"compare is \[\]"),
}


@pytest.mark.parametrize("arguments, sentence", BAD.values(), ids=BAD.keys())
def test_bad_arguments_get_one_sentence(arguments, sentence):
    with pytest.raises(ValueError, match=sentence):
        ShiftExplorer(**arguments)
    explorer = ShiftExplorer()
    with pytest.raises(ValueError, match=sentence):
        for name, value in arguments.items():
            setattr(explorer, name, value)
    assert (explorer.digit, explorer.window, explorer.shift, explorer.compare) == (5, 4, [0, 0], "before")
    assert repr(explorer) == "<ShiftExplorer: an interactive figure>"


def test_numbers_of_numpy_and_torch_are_taken():
    explorer = ShiftExplorer(digit=np.int64(3), window=torch.tensor(2), shift=[np.int8(-8), 8])
    assert (explorer.digit, explorer.window, explorer.shift) == (3, 2, [-8, 8])
    assert len(explorer._images) == 7840


# ---------------------------------------------------------------- the figure


def pixels(page, selector):
    """Return the colours of canvases as arrays (side, side, 3)."""
    found = page.locator(selector).evaluate_all(
        "all => all.map((c) => [c.width, c.height, ...c.getContext('2d').getImageData(0, 0, c.width, c.height).data])"
    )
    assert all(width == height for width, height, *_ in found)
    return [np.array(values[2:]).reshape(values[0], values[0], 4)[..., :3] for values in found]


def shown(ratio):
    return "0" if ratio == 0 else "less than 0.01" if ratio < 0.005 else f"{ratio:.2f}"


def steps(shift, unit):
    """[1, -2] as the figure says it."""
    words = []
    for step, names in zip(shift, (("right", "left"), ("down", "up")), strict=True):
        if step:
            words.append(f"{abs(step)} {unit}{'s' * (abs(step) != 1)} {names[step < 0]}")
    return " and ".join(words)


def assert_shows(page, digit, window, shift, compare="before"):
    """Everything the first explorer of the page shows is what PyTorch computes."""
    shift = tuple(shift)
    results = expected(digit, window, shift, compare)
    (field,) = pixels(page, ".explorer:first-of-type .sh-pad canvas")
    assert (field == moved(images()[digit], *shift).numpy()[..., None]).all()
    rows = page.locator(".explorer:first-of-type .sh-row")
    heads = rows.nth(0).locator(".sh-head").all_inner_texts()
    assert heads == [{"before": "before", "nearest": "nearest copy"}[compare], "now", "difference", "change"]
    maps = pixels(page, ".explorer:first-of-type .sh-map canvas")
    assert len(maps) == 15
    for i, (kind, (reference, now, ratio, cells)) in enumerate(results.items()):
        row = rows.nth(i + 1)
        for canvas, grey in zip(maps[3 * i : 3 * i + 2], (reference, now), strict=True):
            assert canvas.shape[:2] == grey.shape, kind
            assert np.abs(canvas - grey.numpy()[..., None]).max() <= 0.5 + 1e-9, kind
        red, _, blue = np.moveaxis(maps[3 * i + 2].astype(int), -1, 0)
        difference = (now - reference).numpy()
        assert (np.sign(red - blue) == np.sign(np.where(abs(difference) < 3, red - blue, difference))).all(), kind
        assert (maps[3 * i + 2][difference == 0] == 247).all(), kind
        assert (maps[3 * i + 2][abs(difference) > 3] != 247).any(1).all(), kind
        assert row.locator(".sh-change > b").inner_text() == shown(ratio), kind
        count = now.numel()
        assert row.locator(".sh-change > span:last-child").inner_text() == f"{cells} of {count} cell{'s' * (count > 1)}"
        width = row.locator(".sh-track span").evaluate("bar => parseFloat(bar.style.width)")
        assert width == pytest.approx(100 * min(1, ratio / 1.5), abs=1e-3), kind
        over = "sh-over" in (row.locator(".sh-track span").get_attribute("class") or "")
        assert over == (ratio > 1.5), kind
    text, itself = status(page), page.locator(".sh-left .sh-small").first.inner_text()
    if shift == (0, 0):
        assert text == "Not moved yet, so nothing changes: drag the digit, or press an arrow."
        assert itself == "The digit is in the middle."
        return
    names = [
        "average pooling",
        "blur pooling",
        {2: "every second pixel", 4: "every fourth pixel"}[window],
        "the global average",
    ]
    verb = {"before": "changes", "nearest": "differs from its nearest moved copy"}[compare]
    values = [shown(results[kind][2]) for kind in KINDS]
    sentence = f"Moved {steps(shift, 'pixel')}: max pooling {window}×{window} {verb} by {values[0]}, "
    sentence += ", ".join(f"{name} by {value}" for name, value in zip(names, values[1:], strict=True))
    assert text == sentence + "."
    own = ratio_of(moved(images()[digit], *shift), images()[digit])
    assert itself == f"The digit itself changes by {shown(own)}."


def test_it_starts_where_python_says(opened):
    for state in (
        dict(digit=5, window=4, shift=(0, 0)),
        dict(digit=4, window=4, shift=(3, 0)),  # the strided map changes by more than a full bar
        dict(digit=0, window=2, shift=(-8, 7), compare="nearest"),
        dict(digit=9, window=4, shift=(8, -8), compare="nearest"),
    ):
        page = opened(ShiftExplorer(**state))
        assert_shows(page, **state)
        assert [menu(page, name).input_value() for name in ("Digit", "Window", "Compare with")] == [
            str(state["digit"]), str(state["window"]), state.get("compare", "before"),
        ]  # fmt: skip


def test_arrow_buttons_and_the_edge(opened):
    page = opened(ShiftExplorer(digit=6))
    for name, shift in (("right", (1, 0)), ("down", (1, 1)), ("left", (0, 1)), ("up", (0, 0)), ("up", (0, -1))):
        button(page, f"one pixel {name}").click()
        assert_shows(page, 6, 4, shift)
    for _ in range(9):
        button(page, "one pixel up").click()
        button(page, "one pixel left").click()
    assert_shows(page, 6, 4, (-8, -8))  # no further than 8
    button(page, "back to the middle").click()
    assert_shows(page, 6, 4, (0, 0))


def test_menus_and_reset(opened):
    page = opened(ShiftExplorer(digit=7, shift=(2, 1), window=2, compare="nearest"))
    menu(page, "Digit").select_option("1")
    assert_shows(page, 1, 2, (2, 1), "nearest")
    menu(page, "Window").select_option("4")
    assert_shows(page, 1, 4, (2, 1), "nearest")
    menu(page, "Compare with").select_option("before")
    assert_shows(page, 1, 4, (2, 1))
    button(page, "one pixel right").click()
    button(page, "Reset").click()
    assert_shows(page, 7, 2, (2, 1), "nearest")
    button(page, "back to the middle").click()
    assert_shows(page, 7, 2, (0, 0), "nearest")
    button(page, "Reset").click()  # what it goes back to is never changed
    assert_shows(page, 7, 2, (2, 1), "nearest")


def test_every_digit(opened):
    page = opened(ShiftExplorer())
    button(page, "one pixel down").click()
    assert menu(page, "Digit").locator("option").all_inner_texts() == [str(i) for i in range(10)]
    for digit in range(10):
        menu(page, "Digit").select_option(str(digit))
        assert_shows(page, digit, 4, (0, 1))


def test_a_shift_by_the_stride_moves_the_map_by_one_cell(opened):
    page = opened(ShiftExplorer(digit=2, compare="nearest"))
    page.locator(".sh-pad").focus()
    for window in (4, 2):
        menu(page, "Window").select_option(str(window))
        page.locator(".sh-pad").press("Shift+ArrowRight")
        page.locator(".sh-pad").press("Shift+ArrowUp")
        assert_shows(page, 2, window, (window, -window), "nearest")
        assert page.locator(".sh-change > b").all_inner_texts() == ["0"] * 5
        assert page.locator(".sh-row .sh-name span").all_inner_texts() == [
            "copy moved 1 cell right and 1 cell up"
        ] * 4 + ["copy not moved"]
        button(page, "back to the middle").click()
    button(page, "one pixel right").click()
    assert "0.00" not in status(page)
    menu(page, "Compare with").select_option("before")
    texts = page.locator(".sh-row .sh-name span").all_inner_texts()
    assert texts[0] == "the largest of each window" and "every second" in texts[2] and "every second" in texts[3]
    menu(page, "Window").select_option("4")
    texts = page.locator(".sh-row .sh-name span").all_inner_texts()
    assert "every fourth" in texts[2] and "every fourth" in texts[3]


def at(page, x, y):
    """The middle of a pixel of the field, on the page."""
    box = page.locator(".sh-pad canvas").first.bounding_box()
    return box["x"] + (x + 0.5) / 32 * box["width"], box["y"] + (y + 0.5) / 32 * box["height"]


def test_drag_with_the_mouse(opened):
    page = opened(ShiftExplorer(digit=3, shift=(1, 0)))
    page.mouse.move(*at(page, 10, 10))
    page.mouse.move(*at(page, 12, 12))
    assert_shows(page, 3, 4, (1, 0))  # nothing is held yet
    page.mouse.down()
    page.mouse.move(*at(page, 14, 9))
    assert_shows(page, 3, 4, (3, -3))
    assert page.locator(".cx-status").get_attribute("aria-busy") == "true"
    page.mouse.move(*at(page, 90, 9))  # out of the field and back: it never jumps
    assert_shows(page, 3, 4, (8, -3))
    page.mouse.move(*at(page, 13, 12))
    assert_shows(page, 3, 4, (2, 0))
    page.mouse.up()
    assert page.locator(".cx-status").get_attribute("aria-busy") is None
    page.mouse.move(*at(page, 20, 20))
    assert_shows(page, 3, 4, (2, 0))  # let go
    page.mouse.down(button="right")
    page.mouse.move(*at(page, 5, 5))
    page.mouse.up(button="right")
    assert_shows(page, 3, 4, (2, 0))
    page.mouse.move(*at(page, 20, 20))
    page.mouse.down()  # a second drag goes on from where the digit is
    page.mouse.move(*at(page, 19, 21))
    page.mouse.up()
    assert_shows(page, 3, 4, (1, 1))


def test_keyboard_reaches_everything(opened):
    page = opened(ShiftExplorer(digit=8))
    stops = []
    for _ in range(20):
        page.keyboard.press("Tab")
        if page.evaluate("document.activeElement === document.body"):
            break
        stops.append(
            page.evaluate(
                "document.activeElement.className || document.activeElement.ariaLabel || document.activeElement.textContent"
            )
        )
        assert page.evaluate("getComputedStyle(document.activeElement).outlineStyle") != "none"
    assert stops[3:5] == ["Reset", "sh-pad"] and len(stops) == 10
    pad = page.locator(".sh-pad")
    pad.focus()
    for key, shift in (("ArrowRight", (1, 0)), ("ArrowDown", (1, 1)), ("ArrowLeft", (0, 1)), ("ArrowUp", (0, 0))):
        page.keyboard.press(key)
        assert_shows(page, 8, 4, shift)
    page.keyboard.press("Shift+ArrowDown")
    page.keyboard.press("Shift+ArrowDown")
    page.keyboard.press("Shift+ArrowDown")
    assert_shows(page, 8, 4, (0, 8))
    prevented = "pad => !pad.dispatchEvent(new KeyboardEvent('keydown', { key: 'ArrowDown', cancelable: true }))"
    assert pad.evaluate(prevented)  # the page does not scroll
    assert "moved 8 pixels down" in pad.get_attribute("aria-label") and "digit 8" in pad.get_attribute("aria-label")
    # Keys that belong to somebody else go on to them; the arrows do not.
    heard = "window.heard = []; addEventListener('keydown', (e) => heard.push(e.key))"
    page.evaluate(heard)
    page.keyboard.press("Control+ArrowUp")
    page.keyboard.press("a")
    page.keyboard.press("ArrowUp")
    assert page.evaluate("window.heard") == ["Control", "ArrowUp", "a"]
    assert_shows(page, 8, 4, (0, 7))


def test_touch_on_a_phone(touched):
    page = touched(ShiftExplorer(digit=0))
    button(page, "one pixel left").tap()
    assert_shows(page, 0, 4, (-1, 0))
    client = page.context.new_cdp_session(page)

    def touch(kind, *points):
        places = [dict(zip(("x", "y"), at(page, *point), strict=True), id=i) for i, point in enumerate(points)]
        client.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": places})

    touch("touchStart", (16, 10))
    touch("touchMove", (18, 14))
    touch("touchMove", (18, 14), (5, 5))
    touch("touchMove", (18, 15), (25, 25))  # a second finger does nothing
    touch("touchEnd")
    assert_shows(page, 0, 4, (1, 5))
    assert page.evaluate("window.scrollY") == 0  # the finger moved the digit, not the page


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_small_phone_and_both_colour_modes(opened, theme):
    page = opened(ShiftExplorer(digit=4), width=PHONE, theme=theme)
    for width in (PHONE, 320, 616, 700, LAPTOP):
        page.set_viewport_size({"width": width, "height": 740})
        for compare in ("nearest", "before"):
            menu(page, "Compare with").select_option(compare)
            menu(page, "Window").select_option("2" if compare == "before" else "4")
            button(page, "one pixel right").click()
            assert_legible(page, texts=26)
            assert page.evaluate(SPILL) == [], width
        box = page.locator(".sh-pad canvas").bounding_box()
        assert box["width"] >= 140 and box["width"] == pytest.approx(box["height"], abs=0.5)
        boxes = page.locator(".sh-map canvas").evaluate_all("all => all.map((c) => c.getBoundingClientRect().width)")
        assert min(boxes) >= 44 and max(boxes) <= 64.5
        places = {name: button(page, f"one pixel {name}").bounding_box() for name in ("up", "left", "right", "down")}
        assert places["up"]["y"] < places["left"]["y"] == places["right"]["y"] < places["down"]["y"]
        assert places["left"]["x"] < places["up"]["x"] == places["down"]["x"] < places["right"]["x"]
        assert_touchable(page)


def test_the_grid_is_that_of_the_windows(opened):
    page = opened(ShiftExplorer())
    grid = "getComputedStyle(document.querySelector('.sh-pad')).getPropertyValue('--windows')"
    assert page.evaluate(grid) == "8"
    menu(page, "Window").select_option("2")
    assert page.evaluate(grid) == "16"


def test_labels_for_screen_readers(opened):
    page = opened(ShiftExplorer(shift=(1, 0)))
    table = page.get_by_role("table", name="Five ways to shrink the digit")
    assert table.get_by_role("row").count() == 6
    assert table.get_by_role("rowheader").locator("b").all_inner_texts() == [
        "max pooling", "average pooling", "blur pooling", "strided", "global average",
    ]  # fmt: skip
    names = page.locator(".sh-map canvas").evaluate_all("all => all.map((c) => c.ariaLabel)")
    assert names[:3] == ["max pooling, before", "max pooling, now", "max pooling, difference"] and len(set(names)) == 15
    menu(page, "Compare with").select_option("nearest")
    assert page.locator(".sh-map canvas").first.get_attribute("aria-label") == "max pooling, nearest copy"


def test_two_copies_and_views(opened):
    one, two = ShiftExplorer(digit=1), ShiftExplorer(digit=2)
    page = opened(one, two, two)
    button(page, "one pixel right").click()
    assert [status(page, i)[:5] for i in range(3)] == ["Moved", "Not m", "Not m"]
    assert_shows(page, 1, 4, (1, 0))
    page.get_by_role("button", name="one pixel down", exact=True).nth(1).click()
    assert status(page, 1) == status(page, 2) and "1 pixel down" in status(page, 2)  # a second view follows
    assert "1 pixel right" in status(page, 0) and "down" not in status(page, 0)
    ids = page.evaluate("[...document.querySelectorAll('[id]')].map((node) => node.id)")
    assert len(ids) == len(set(ids))


def test_the_host_is_told_and_left_clean(browser):
    """A model as a host provides it: each kind of buffer, changes from Python, and the end."""
    page = browser.new_page()
    result = page.evaluate(
        """async ([source, bytes]) => {
            const module = (await import(URL.createObjectURL(new Blob([source], { type: "text/javascript" })))).default;
            const all = Uint8Array.from(bytes), shifted = new Uint8Array([9, 9, 9, ...all]);
            const buffers = [all.buffer, all, new DataView(shifted.buffer, 3)], found = [];
            for (const _images of buffers) {
                const values = { digit: 5, window: 4, shift: [1, 0], compare: "before", _start: {}, _images }, heard = new Map();
                let saved = 0;
                const model = {
                    get: (name) => values[name], save_changes: () => { saved += 1; },
                    set: (name, value) => { values[name] = value; heard.get(`change:${name}`)?.forEach((f) => f()); },
                    on: (name, f) => heard.set(name, (heard.get(name) ?? new Set()).add(f)),
                    off: (name, f) => heard.get(name).delete(f),
                };
                const el = document.createElement("div");
                document.body.append(el);
                const end = module.render({ model, el });
                const texts = [el.querySelector(".cx-status").textContent];
                model.set("shift", [0, 2]);
                texts.push(el.querySelector(".cx-status").textContent);
                el.querySelector("[aria-label='one pixel up']").click();
                texts.push(values.shift, saved);
                end();
                found.push([...texts, [...heard.values()].reduce((sum, set) => sum + set.size, 0), el.childElementCount]);
            }
            return found;
        }""",
        [MODULE, list(ShiftExplorer()._images)],
    )
    page.close()
    assert result[0] == result[1] == result[2]
    first, second, *rest = result[0]
    assert first.startswith(f"Moved 1 pixel right: max pooling 4×4 changes by {expected(5, 4, (1, 0))['max'][2]:.2f},")
    assert second.startswith(f"Moved 2 pixels down: max pooling 4×4 changes by {expected(5, 4, (0, 2))['max'][2]:.2f},")
    assert rest == [[0, 1], 1, 0, 0]


def test_update_time_is_printed(opened):
    page = opened(ShiftExplorer(window=2, compare="nearest"), width=LAPTOP)
    for compare in ("nearest", "before"):
        menu(page, "Compare with").select_option(compare)
        times = page.evaluate(
            """() => {
                const buttons = ["right", "down", "left", "up"].map((n) => document.querySelector(`[aria-label="one pixel ${n}"]`));
                const times = [];
                for (let n = 0; n < 60; n += 1) {
                    const start = performance.now();
                    buttons[Math.floor(n / 8) % 4].click();
                    document.body.getBoundingClientRect();
                    times.push(performance.now() - start);
                }
                return times.sort((a, b) => a - b);
            }"""
        )
        print(f"\none pixel, compared with {compare}: median {times[30]:.1f} ms, largest {times[-1]:.1f} ms")
        assert len(times) == 60
