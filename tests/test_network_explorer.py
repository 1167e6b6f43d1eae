"""Through the network: numbers against torchvision's own, wirings that can be followed, and the figure under mouse, keyboard, touch."""

from __future__ import annotations

import json
import random
import time
from itertools import pairwise

import pytest
import torch
import torchvision
from torch import nn

from browser import LAPTOP, PHONE, assert_legible, assert_touchable, button, call, menu
from browser import status as status_text
from utils import architecture
from utils.models import LeNet
from utils.widgets import NetworkExplorer, network, source

MODULE = source("base.js", "network.js")
WEIGHTS = {
    "AlexNet": "AlexNet_Weights", "VGG-16": "VGG16_Weights", "GoogLeNet": "GoogLeNet_Weights",
    "ResNet-18": "ResNet18_Weights", "ResNet-50": "ResNet50_Weights", "DenseNet-121": "DenseNet121_Weights",
    "MobileNetV2": "MobileNet_V2_Weights", "EfficientNet-B0": "EfficientNet_B0_Weights",
    "ConvNeXt-T": "ConvNeXt_Tiny_Weights",
}  # fmt: skip


class Forked(nn.Module):
    """A network whose blocks do not follow one after the other."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(1, 4, 3, stride=2)
        self.left, self.right = nn.Conv2d(4, 4, 1), nn.Conv2d(4, 6, 1)

    def forward(self, x):
        x = self.stem(x)
        return torch.cat([self.left(x), self.right(x)], 1)


@pytest.fixture(scope="module")
def explorer():
    start = time.perf_counter()
    result = NetworkExplorer()
    print(f"twelve networks taken apart in {time.perf_counter() - start:.1f} s")
    return result


@pytest.fixture(scope="module")
def small():
    return {"LeNet": (LeNet(), (1, 28, 28)), "Forked": (Forked(), (1, 9, 9))}


def status(page, nth=0):
    return status_text(page, nth).replace("\u00a0", " ")


def options(page):
    return page.locator(".cx [role=option]")


# What is stored


def test_totals_are_those_that_torchvision_publishes(explorer):
    for title, _, blocks in explorer._networks:
        parameters, work = (sum(block[k] for block in blocks) for k in (3, 4))
        if title in WEIGHTS:
            meta = getattr(torchvision.models, WEIGHTS[title]).IMAGENET1K_V1.meta
            assert parameters == meta["num_params"], title
            assert abs(work / 1e9 / meta["_ops"] - 1) < 0.01, title
    assert len(WEIGHTS) == 9 and {title for title, *_ in explorer._networks} >= set(WEIGHTS)


def test_blocks_and_wirings_are_those_of_the_architecture(explorer):
    networks = network.default_networks()
    for title, shape, blocks in explorer._networks:
        expected = architecture.outline(*networks[title])
        assert tuple(shape) == networks[title][1]
        for row, block in zip(blocks, expected, strict=True):
            name, kind, size, parameters, work, field, inputs, wiring = row
            assert (name, kind, tuple(size), parameters, work, field, tuple(inputs)) == (
                block.name, block.kind, block.shape, block.parameters, block.multiply_adds, block.field, block.inputs,
            )  # fmt: skip
            steps = explorer._wirings[wiring]
            assert [step[0] for step in steps] == [step.label for step in block.steps]
            assert [tuple(step[1]) for step in steps] == [step.inputs for step in block.steps]
            assert (sum(step[3] for step in steps), sum(step[4] for step in steps)) == (parameters, work)


def test_what_a_notebook_stores_is_small(explorer):
    stored = [len(json.dumps(part, ensure_ascii=False).encode()) for part in (explorer._networks, explorer._wirings)]
    wirings = [json.dumps(wiring) for wiring in explorer._wirings]
    print(f"twelve networks: {stored[0]:,} + {stored[1]:,} bytes, {len(wirings)} wirings")
    assert sum(stored) <= 60_000
    assert len(source("network.js").encode()) <= 20_000
    assert len(set(wirings)) == len(wirings) < sum(len(blocks) for *_, blocks in explorer._networks)


def test_counts_and_shares(browser, explorer):
    page = browser.new_page()
    numbers = sorted({n for *_, blocks in explorer._networks for block in blocks for n in block[3:5]} | {10**6, 999})
    evaluate = """async ([source, numbers]) => {
        const m = await import(URL.createObjectURL(new Blob([source], { type: "text/javascript" })));
        return numbers.map((n) => m.count(n));
    }"""
    assert page.evaluate(evaluate, [MODULE, numbers]) == [architecture.count(n) for n in numbers]
    assert call(page, MODULE, "share", 1, 8).replace("\u00a0", " ") == "12.5 %"
    assert call(page, MODULE, "share", 1, 10**6).replace("\u00a0", " ") == "under 0.1 %"
    assert call(page, MODULE, "share", 1, 1000).replace("\u00a0", " ") == "0.1 %"
    assert call(page, MODULE, "share", 0, 0).replace("\u00a0", " ") == "0 %"
    page.close()


# The layout

LAYOUTS = """async ([source, cases]) => {
    const m = await import(URL.createObjectURL(new Blob([source], { type: "text/javascript" })));
    return cases.map(([steps, sources]) => m.layout(steps, sources));
}"""


def crosses(a, b, box, margin=0.5):
    """Whether the line from a to b meets the inside of a box (Liang and Barsky, 1984)."""
    low, high = 0.0, 1.0
    for k, (near, far) in enumerate([(box["x"], box["x"] + box["w"]), (box["y"], box["y"] + box["h"])]):
        near, far, step = near + margin, far - margin, b[k] - a[k]
        if abs(step) < 1e-9:
            if not near < a[k] < far:
                return False
            continue
        first, last = sorted([(near - a[k]) / step, (far - a[k]) / step])
        low, high = max(low, first), min(high, last)
    return low < high


def check_layout(case, drawn):
    """No box on another, no edge through a box, all edges go down, from the box that is read to its reader."""
    steps, sources = case
    boxes, edges = drawn["boxes"], drawn["edges"]
    assert len(boxes) == len(steps) + len(sources)
    for k, one in enumerate(boxes):
        assert one["x"] >= 0 and one["x"] + one["w"] <= drawn["width"] and one["y"] + one["h"] <= drawn["height"]
        for other in boxes[:k]:
            apart = [
                one[at] + one[size] <= other[at] or other[at] + other[size] <= one[at]
                for at, size in (("x", "w"), ("y", "h"))
            ]
            assert any(apart), case
    wanted = [(-1 - i if i < 0 else len(sources) + i, len(sources) + k) for k, s in enumerate(steps) for i in s[1]]
    assert sorted((e["from"], e["to"]) for e in edges) == sorted(wanted)
    for edge in edges:
        points, start, end = edge["points"], boxes[edge["from"]], boxes[edge["to"]]
        assert points[0] == pytest.approx([start["x"] + start["w"] / 2, start["y"] + start["h"]])
        assert points[-1] == pytest.approx([end["x"] + end["w"] / 2, end["y"]])
        for a, b in pairwise(points):
            assert b[1] > a[1] and 0 <= b[0] <= drawn["width"]
            assert not any(crosses(a, b, box) for box in boxes), case
    # A vertical run belongs to one source: two edges side by side may share it only where they come from one box.
    runs = {}
    for edge in edges:
        for a, b in pairwise(edge["points"]):
            if a[0] == b[0]:
                runs.setdefault((round(a[0], 3), a[1], b[1]), set()).add(edge["from"])
    assert all(len(owners) == 1 for owners in runs.values()), case


def test_layout_of_all_networks(browser, explorer):
    page = browser.new_page()
    cases = [[steps, ["image\n3×224×224"]] for steps in explorer._wirings]
    for case, drawn in zip(cases, page.evaluate(LAYOUTS, [MODULE, cases]), strict=True):
        check_layout(case, drawn)
    page.close()
    assert len(cases) > 100


def test_layout_of_random_wirings(browser):
    rng, cases = random.Random(0), []
    for _ in range(300):
        sources = rng.choice([1, 1, 1, 2, 3])
        steps = []
        for k in range(rng.randint(1, 12)):
            reads = rng.sample(range(-sources, k), min(k + sources, rng.choice([1, 1, 1, 2, 2, 3, 5])))
            steps.append(["\n".join(["x" * rng.randint(1, 25)] * rng.randint(1, 3)), reads, [64, 56, 56]])
        cases.append([steps, ["from somewhere\n1×2×3"] * sources])
    page = browser.new_page()
    for case, drawn in zip(cases, page.evaluate(LAYOUTS, [MODULE, cases]), strict=True):
        check_layout(case, drawn)
    page.close()


def test_the_first_branch_goes_straight_down(browser, explorer):
    page = browser.new_page()
    blocks = {(title, b[0]): explorer._wirings[b[7]] for title, _, rows in explorer._networks for b in rows}
    residual, inception = (
        page.evaluate(LAYOUTS, [MODULE, [[blocks[key], ["image"]]]])[0]
        for key in [("ResNet-18", "conv2_x.0"), ("GoogLeNet", "stage3.a")]
    )
    page.close()
    middles = [box["x"] + box["w"] / 2 for box in residual["boxes"]]
    assert max(middles) - min(middles) < 1e-6  # the shortcut alone leaves the column
    assert max(x for edge in residual["edges"] for x, _ in edge["points"]) > middles[0]
    assert [box["joins"] for box in residual["boxes"]] == [False, False, False, True]
    first = [box["y"] for box in inception["boxes"]]
    assert sorted(first.count(y) for y in set(first)) == [1, 1, 3, 4]  # input and concatenation, and the branches


# Python


def test_bad_arguments_get_one_sentence(small, monkeypatch):
    lenet = small["LeNet"]
    bad = {
        "networks is empty": dict(networks={}),
        "networks is of the type int": dict(networks=3),
        "one title is 3": dict(networks={3: lenet}),
        r"the entry of 'a' must be a pair \(network": dict(networks={"a": LeNet()}),
        r"the image of 'a' is \(28, 28\)": dict(networks={"a": (LeNet(), (28, 28))}),
        "the height of the image of 'a' is 0": dict(networks={"a": (LeNet(), (1, 0, 28))}),
        "'a' cannot be followed with an image of 3×28×28": dict(networks={"a": (LeNet(), (3, 28, 28))}),
        "'a' does nothing": dict(networks={"a": (nn.Sequential(), (1, 2, 2))}),
        "network is 'ResNet', and must be one of LeNet": dict(networks=small, network="ResNet"),
        "network is 1": dict(networks=small, network=1),
        "the block of LeNet is 8, and must be a whole number from 1 to 7": dict(networks=small, block=8),
        "the block of Forked is 0": dict(networks=small, network="Forked", block=0),
        "the block of LeNet is '2'": dict(networks=small, block="2"),
        "the block of LeNet is True": dict(networks=small, block=True),
    }
    for sentence, arguments in bad.items():
        with pytest.raises(ValueError, match=sentence) as error:
            NetworkExplorer(**arguments)
        assert "\n" not in str(error.value)
    monkeypatch.setattr(network, "BUDGET", 500)
    with pytest.raises(ValueError, match="bytes of the notebook, more than 500"):
        NetworkExplorer(small)


def test_attributes_follow_each_other(small):
    explorer = NetworkExplorer(small, block=6)
    explorer.network = "Forked"
    assert explorer.block == 4  # the last there is
    for name, value in {"network": "none", "block": 5}.items():
        with pytest.raises(ValueError):
            setattr(explorer, name, value)
    assert (explorer.network, explorer.block) == ("Forked", 4)
    explorer.set_state({"block": 7, "network": "LeNet"})  # as the page sends both at once
    assert (explorer.network, explorer.block) == ("LeNet", 7)
    assert repr(explorer) == "<NetworkExplorer: an interactive figure>"


# The figure


def test_mouse_and_sentences(opened):
    page = opened(NetworkExplorer(network="ResNet-18"))
    assert "ResNet-18: 11,689,512 parameters and 1.8 G multiply-adds" in page.locator(".cx-totals").inner_text()
    options(page).nth(2).click()
    assert status(page) == (
        "Block 3 of 12, conv2_x.0 (BasicBlock): 64×56×56 stays 64×56×56; 73,984 parameters, 0.6 % of all; "
        "231 M multiply-adds, 12.7 %; sees 27 of 224 pixels."
    )
    options(page).nth(9).click()
    assert status(page).endswith("its field of 435 pixels is wider than the image of 224.")
    menu(page, "Network").select_option("GoogLeNet")
    assert status(page).startswith(
        "Block 1 of 18, stem.0 (conv 7×7, 64, stride 2, batch norm, ReLU): 3×224×224 becomes"
    )
    assert options(page).count() == 18
    options(page).nth(1).click()
    assert "; no parameters; no multiply-adds; sees 11 of 224 pixels." in status(page)
    options(page).nth(17).click()
    assert status(page).endswith("sees the whole image.")
    words = page.locator(".cx-wiring svg").get_attribute("aria-label")
    assert words == (
        "Wiring of head.3 (flatten, dense 1000). 1: flatten reads the input and gives 1024. "
        "2: dense 1000 reads 1 and gives 1000."
    )
    button(page, "Reset").click()
    assert menu(page, "Network").input_value() == "ResNet-18" and status(page).startswith("Block 1 of 12")


def test_bars_follow_the_chosen_scale(opened, explorer):
    page = opened(NetworkExplorer(network="ResNet-18"))
    blocks = next(blocks for title, _, blocks in explorer._networks if title == "ResNet-18")

    def widths(kind):
        found = page.locator(f".cx-{kind} i").evaluate_all("nodes => nodes.map((i) => parseFloat(i.style.width))")
        return dict(zip([block[0] for block in blocks], found, strict=True))

    parameters = {block[0]: block[3] for block in blocks}
    assert widths("parameters")["conv5_x.1"] == pytest.approx(100 * parameters["conv5_x.1"] / 11_689_512, abs=0.01)
    assert widths("parameters")["pool"] == 0
    assert widths("sees")["conv2_x.0"] == pytest.approx(100 * 27 / 224, abs=0.01)
    assert widths("sees")["mean"] == widths("sees")["conv5_x.1"] == 100
    menu(page, "Bars").select_option("share of the largest")
    assert widths("parameters")["conv5_x.1"] == 100 and widths("work")["conv2_x.0"] == 100
    assert widths("sees")["conv2_x.0"] == pytest.approx(100 * 27 / 224, abs=0.01)
    assert page.locator("[aria-selected=true]").count() == 1
    tracks = page.locator(".cx-track").evaluate_all("nodes => nodes.map((node) => node.getBoundingClientRect().width)")
    assert all(max(tracks[k::3]) - min(tracks[k::3]) < 0.01 for k in range(3))  # equal bars mean equal numbers


def test_blocks_that_read_others(opened, small):
    page = opened(NetworkExplorer(small, network="Forked", block=3))
    assert status(page) == (
        "Block 3 of 4, right (conv 1×1, 6): 4×4×4 becomes 6×4×4; 30 parameters, 33.3 % of all; "
        "384 multiply-adds, 31.6 %; sees 3 of 9 pixels. It reads stem."
    )
    options(page).nth(3).click()
    assert "4×4×4 and 6×4×4 become 10×4×4; no parameters" in status(page)
    assert "It reads left and right." in status(page)
    assert page.locator(".cx-source").count() == 2


def test_keyboard(opened):
    page = opened(NetworkExplorer(network="ResNet-50"))
    page.keyboard.press("Tab")
    page.keyboard.press("Tab")
    page.keyboard.press("Tab")
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.getAttribute('role')") == "option"
    for keys, number in (
        ("ArrowDown", 2),
        ("ArrowDown", 3),
        ("ArrowUp", 2),
        ("End", 20),
        ("ArrowDown", 20),
        ("Home", 1),
    ):
        page.keyboard.press(keys)
        assert status(page).startswith(f"Block {number} of 20")
        assert page.evaluate("document.activeElement.ariaSelected") == "true"
        assert page.evaluate("getComputedStyle(document.activeElement).outlineStyle") != "none"
        seen = page.evaluate(
            """() => {
                const row = document.activeElement.getBoundingClientRect();
                const frame = document.querySelector(".cx-blocks").getBoundingClientRect();
                const head = document.querySelector(".cx-heads").getBoundingClientRect();
                return row.top >= head.bottom - 1 && row.bottom <= frame.bottom + 1;
            }"""
        )
        assert seen, keys  # the list scrolls to the chosen row, and its heads do not cover it
    assert page.locator("[role=option][tabindex='0']").count() == 1
    page.keyboard.press("Control+End")  # scrolls the page, and is none of ours
    assert status(page).startswith("Block 1 of 20")
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.ariaLabel") == "Wiring of the chosen block"
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    assert page.locator("tbody tr").first.inner_text().split("\t")[:3] == [
        "1",
        "conv 7×7, 64, stride 2, batch norm, ReLU",
        "image",
    ]


def test_names_for_screen_readers(opened):
    page = opened(NetworkExplorer(network="EfficientNet-B0", block=4))
    assert (
        page.get_by_role("listbox").get_attribute("aria-label")
        == "Blocks of EfficientNet-B0, from the image to the output"
    )
    name = "4, stages.1.1 (MBConv), 24×56×56, 10,710 parameters, 25.7 M multiply-adds, field: whole image"
    assert page.get_by_role("option", name=name, exact=True, selected=True).count() == 1
    words = page.get_by_role("img").get_attribute("aria-label")
    assert "6: × reads 2 and 5 and gives 144×56×56." in words and "8: + reads the input and 7" in words
    page.locator("summary").click()
    rows = page.locator("tbody tr").all_inner_texts()
    assert rows[5].split("\t") == ["6", "×", "2, 5", "144×56×56", "0", "0"] and len(rows) == 8
    assert rows[7].split("\t")[2] == "stages.1.0, 7"


def test_touch_on_a_phone(touched):
    page = touched(NetworkExplorer(network="GoogLeNet"))
    options(page).nth(3).tap()
    assert status(page).startswith("Block 4 of 18, stem.3")
    menu(page, "Bars").select_option("share of the largest")
    page.locator("summary").tap()
    assert page.locator("tbody tr").count() == 1
    button(page, "Reset").tap()
    assert status(page).startswith("Block 1 of 18") and menu(page, "Bars").input_value() == "total"


# Each drawn text: whether it fits its box, and its contrast to the box; for every block of the network.
DRAWN = """() => {
    const parts = (colour) => {
        const [, kind, ...n] = colour.match(/(rgb|srgb)\\D+([\\d.]+)[ ,]+([\\d.]+)[ ,]+([\\d.]+)/);
        return n.map((c) => (kind === "rgb" ? c / 255 : Number(c)));
    };
    const light = (rgb) => [0.2126, 0.7152, 0.0722].reduce((sum, weight, i) =>
        sum + weight * (rgb[i] <= 0.03928 ? rgb[i] / 12.92 : ((rgb[i] + 0.055) / 1.055) ** 2.4), 0);
    const result = [];
    for (const row of document.querySelectorAll("[role=option]")) {
        row.click();
        let box, rect;
        for (const node of document.querySelectorAll(".cx-wiring svg :is(rect, text)")) {
            const measured = node.getBBox();
            if (node.tagName === "rect") { box = measured; rect = node; continue; }
            const [a, b] = [node, rect].map((n) => light(parts(getComputedStyle(n).fill)));
            result.push([measured.x >= box.x && measured.x + measured.width <= box.x + box.width &&
                measured.y >= box.y && measured.y + measured.height <= box.y + box.height,
                (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05), node.textContent]);
        }
    }
    return result;
}"""


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_texts_fit_their_boxes_and_stand_out(opened, explorer, theme):
    page = opened(NetworkExplorer(), theme=theme)
    seen = 0
    for title, *_ in explorer._networks:
        menu(page, "Network").select_option(title)
        for fits, contrast, text in page.evaluate(DRAWN):
            assert fits and contrast >= 4.5, (title, text, contrast)
            seen += 1
    assert seen > 1000


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_small_phone_and_both_colour_modes(opened, theme):
    page = opened(NetworkExplorer(network="GoogLeNet", block=6), width=PHONE, theme=theme)
    page.locator("summary").click()
    for width in (PHONE, 320):
        page.set_viewport_size({"width": width, "height": 740})
        for title in ("GoogLeNet", "DenseNet-121", "ConvNeXt-T", "LeNet"):
            menu(page, "Network").select_option(title)
            options(page).nth(5).click()
            assert_legible(page, texts=50)
            assert page.locator(".cx-blocks").evaluate("node => node.scrollWidth - node.clientWidth") == 0
    menu(page, "Network").select_option("GoogLeNet")
    options(page).nth(5).click()
    wiring = page.locator(".cx-wiring")
    assert wiring.evaluate("node => node.scrollWidth - node.clientWidth") > 0  # scrolls in its own frame
    assert_touchable(page, ".cx button, .cx select, .cx summary, .cx [role=option]")


def test_two_copies_views_and_reset(opened, small):
    one, two = NetworkExplorer(small), NetworkExplorer(small, network="Forked", block=2)
    page = opened(one, two, two)
    options(page).nth(3).click()
    assert status(page, 0).startswith("Block 4 of 7, layer 5") and status(page, 1).startswith("Block 2 of 4")
    page.get_by_label("Network").nth(1).select_option("LeNet")  # a second view of one model follows it
    assert status(page, 2).startswith("Block 1 of 7") and status(page, 0).startswith("Block 4 of 7")
    page.get_by_role("button", name="Reset").nth(2).click()
    assert status(page, 1).startswith("Block 2 of 4, left") and status(page, 0).startswith("Block 4 of 7")
    ids = page.evaluate("[...document.querySelectorAll('[id]')].map((node) => node.id)")
    assert len(ids) == len(set(ids))


def test_cleanup_leaves_nothing(browser, small):
    explorer, page = NetworkExplorer(small), browser.new_page()
    state = {name: getattr(explorer, name) for name in ("network", "block", "_networks", "_wirings", "_start")}
    left = page.evaluate(
        """async ([source, state]) => {
            const { default: module } = await import(URL.createObjectURL(new Blob([source], { type: "text/javascript" })));
            const listeners = new Set(), el = document.body;
            const model = { get: (name) => state[name], set() {}, save_changes() {},
                on: (name, f) => listeners.add(name), off: (name, f) => listeners.delete(name) };
            const clean = module.render({ model, el });
            const before = [listeners.size, el.children.length];
            clean();
            return [...before, listeners.size, el.children.length];
        }""",
        [MODULE, state],
    )
    page.close()
    assert left == [2, 1, 0, 0]


def test_update_time_is_printed(opened):
    page = opened(NetworkExplorer(network="DenseNet-121"), width=LAPTOP)
    times = page.evaluate(
        """() => {
            const rows = [...document.querySelectorAll("[role=option]")], times = [];
            for (let n = 0; n < 40; n += 1) {
                const start = performance.now();
                rows[n % rows.length].click();
                document.body.getBoundingClientRect();
                times.push(performance.now() - start);
            }
            return times.sort((a, b) => a - b);
        }"""
    )
    print(f"choosing a block of DenseNet-121: median {times[20]:.1f} ms, largest {times[-1]:.1f} ms")
    assert len(times) == 40
