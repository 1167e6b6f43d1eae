"""The feature-map browser: maps, fields and units against PyTorch, and the figure under mouse, keyboard, touch."""

from __future__ import annotations

import random
from collections import OrderedDict

import pytest
import torch
from torch import nn

from browser import LAPTOP, PHONE, SPILL, assert_legible, assert_touchable, button, call, menu, status
from utils.geometry import receptive_field
from utils.widgets import FeatureMapExplorer, feature_maps, source
from utils.widgets import feature_map as module

MODULE = source("base.js", "feature_map.js")


def network(inplace=False):
    """Return a small chain of nested layers; its ReLU works in place if asked."""
    torch.manual_seed(0)
    block = [("conv", nn.Conv2d(3, 7, 5, 2, padding=2)), ("norm", nn.BatchNorm2d(7)), ("relu", nn.ReLU(inplace))]
    layers = {
        "stem": nn.Sequential(OrderedDict(block)),
        "pool": nn.MaxPool2d(3, 2, padding=1),
        "deep": nn.Conv2d(7, 40, 3, padding=1),
        "act": nn.ReLU(inplace),
        "head": nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(40, 4)),
    }
    return nn.Sequential(OrderedDict(layers)).eval()


NAMES = ["stem.conv", "stem.norm", "stem.relu", "pool", "deep", "act"]


def picture(height=24, width=32):
    return torch.rand(3, height, width, generator=torch.Generator().manual_seed(1))


def browsed(inplace=False, **options):
    image = picture()
    return FeatureMapExplorer(network(inplace), image[None] - 0.5, image, **options)


def by_hand():
    """Return the maps (C, H, W) of each layer, computed one after the other."""
    net, values = network(), picture()[None] - 0.5
    with torch.no_grad():
        return {name: (values := net.get_submodule(name)(values))[0] for name in NAMES}


# The maps


@pytest.mark.parametrize("inplace", [False, True])
def test_maps_are_those_of_pytorch(inplace):
    found = feature_maps(network(inplace), picture()[None] - 0.5)
    assert [one.name for one in found] == NAMES and found[2].kind == "ReLU"
    for one, (name, values) in zip(found, by_hand().items(), strict=True):
        assert torch.equal(one.maps, values), name  # also what the ReLU behind overwrites


def test_the_network_is_left_as_it_was():
    net = network().train()
    feature_maps(net, picture()[None])
    assert net.training and net.stem.norm.num_batches_tracked == 0
    assert not any(layer._forward_hooks for layer in net.modules())
    net[0] = nn.Sequential(nn.Conv2d(3, 7, 5), nn.Softmax(1))
    with pytest.raises(ValueError):
        feature_maps(net, picture()[None])
    assert not any(layer._forward_hooks for layer in net.modules())


def random_chains(count):
    rng = random.Random(0)
    for _ in range(count):
        layers = []
        for _ in range(rng.randint(1, 5)):
            kernel, stride = rng.choice([1, 2, 3, 5, 7]), rng.choice([1, 1, 2, 3])
            dilation = rng.choice([1, 1, 1, 2])
            if rng.random() < 0.3:
                layers.append(nn.AvgPool2d(kernel, stride, padding=rng.randint(0, kernel // 2)))
            else:
                padding = "same" if stride == 1 and kernel % 2 and rng.random() < 0.3 else rng.randint(0, kernel)
                layers.append(nn.Conv2d(1, 1, kernel, stride, padding=padding, dilation=dilation, bias=False))
                nn.init.ones_(layers[-1].weight)
            if rng.random() < 0.5:
                layers.append(nn.ReLU())
        yield nn.Sequential(*layers).double()


def test_fields_are_those_of_the_gradient_and_of_the_formula(browser):
    page, rng, tried = browser.new_page(), random.Random(1), 0
    cases, expected = [], []
    for net in random_chains(150):
        image = torch.ones(1, 1, 40, 40, dtype=torch.float64, requires_grad=True)
        try:
            output = net(image)
        except RuntimeError:  # does not fit
            continue
        last = feature_maps(net, image)[-1]
        stack = []
        for layer in net:
            if not isinstance(layer, nn.ReLU):
                settings = (layer.kernel_size, layer.stride, getattr(layer, "dilation", 1))
                stack.append(tuple(v[0] if isinstance(v, tuple) else v for v in settings))
        known = receptive_field(stack)
        assert (last.field, last.jump) == (known.size, known.jump)
        unit = rng.randrange(output.shape[-1])
        (gradient,) = torch.autograd.grad(output[0, 0, unit, output.shape[-1] // 2], image)
        rows = gradient[0, 0].sum(1).nonzero().flatten().tolist()
        if not rows:  # a unit that sees padding alone
            continue
        cases.append([{"field": last.field, "jump": last.jump, "offset": last.offset}, unit, 40])
        expected.append(rows)
    evaluate = """async ([source, cases]) => {
        const m = await import(URL.createObjectURL(new Blob([source], { type: "text/javascript" })));
        return cases.map((one) => m.fieldOf(...one));
    }"""
    for (layer, unit, _), seen, rows in zip(cases, page.evaluate(evaluate, [MODULE, cases]), expected, strict=True):
        start = unit * layer["jump"] - layer["offset"]
        end = start + layer["field"] - 1
        assert (seen["first"], seen["last"]) == (max(0, start), min(39, end))
        assert seen["padding"] == sum(not 0 <= i < 40 for i in range(start, end + 1))
        # The ends are read, unless the image ends there first: then the next pixel may fall into a hole.
        assert rows[0] == start if start >= 0 else rows[0] >= 0
        assert rows[-1] == end if end < 40 else rows[-1] <= 39
        tried += 1
    page.close()
    print(f"{tried} random chains agree with PyTorch's gradients")
    assert tried > 80


def test_bytes_hold_the_values(browser):
    page = browser.new_page()
    explorer = browsed()
    shares = [[call(page, MODULE, "shareOf", b, signed) for b in range(256)] for signed in (False, True)]
    page.close()
    first = 0
    for facts, (name, values) in zip(explorer._layers, by_hand().items(), strict=True):
        stored = torch.frombuffer(bytearray(explorer._maps[first : first + values.numel()]), dtype=torch.uint8)
        first += values.numel()
        largest = torch.tensor(facts["largest"], dtype=torch.float64).view(-1, 1, 1)
        read = torch.tensor(shares[facts["signed"]], dtype=torch.float64)[stored.long()].view(values.shape) * largest
        parts = 127 if facts["signed"] else 255
        assert ((read - values.double()).abs() <= 0.501 * largest / parts).all(), name
        assert facts["signed"] == bool((values < 0).any()) and facts["name"] == name
        assert facts["zeros"] == (values == 0).sum((1, 2)).tolist()
        assert (read == 0).sum() >= (values == 0).sum()
    assert first == len(explorer._maps)
    assert (
        torch.frombuffer(bytearray(explorer._picture), dtype=torch.uint8)
        .view(24, 32, 3)
        .permute(2, 0, 1)
        .equal((picture() * 255).round().byte())
    )


def test_another_layer_is_entered_at_the_same_place(browser):
    torch.manual_seed(0)
    chain = nn.Sequential(
        nn.Conv2d(3, 9, 7, 1), nn.Conv2d(9, 5, 4, 3, padding=2), nn.MaxPool2d(2, 2), nn.Conv2d(5, 6, 3)
    )
    layers = FeatureMapExplorer(chain, torch.rand(1, 3, 40, 48), torch.rand(3, 40, 48))._layers
    page, rng = browser.new_page(), random.Random(0)

    def middle(layer, unit):
        return unit * layer["jump"] - layer["offset"] + (layer["field"] - 1) / 2

    for _ in range(60):
        old, new = rng.randrange(4), rng.randrange(4)
        place = [old, *(rng.randrange(layers[old][side]) for side in ("channels", "height", "width"))]
        to, channel, *units = call(page, MODULE, "moved", layers, place, new)
        assert (to, channel) == (new, min(place[1], layers[new]["channels"] - 1))
        for unit, before, side in zip(units, place[2:], ("height", "width"), strict=True):
            far = [abs(middle(layers[new], i) - middle(layers[old], before)) for i in range(layers[new][side])]
            assert far[unit] == min(far), (place, new)
    page.close()


# Python


class Reused(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv, self.more = nn.Conv2d(3, 3, 3, padding=1), nn.Conv2d(3, 3, 3, padding=1)

    def forward(self, x):
        return self.more(self.conv(x) + x)


BAD = {
    "no image": (dict(inputs=torch.zeros(3, 24, 32)), r"inputs is \(3, 24, 32\)"),
    "two images": (dict(inputs=torch.zeros(2, 3, 24, 32)), r"inputs is \(2, 3, 24, 32\)"),
    "no chain": (dict(model=Reused()), "'more' does not read what the layer 'conv' gave"),
    "unknown kind": (dict(model=nn.Sequential(nn.Conv2d(3, 4, 3), nn.Softmax(1))), "'1' is a Softmax"),
    "oblong": (dict(model=nn.Conv2d(3, 4, (3, 5))), "has no layers"),
    "oblong kernel": (dict(model=nn.Sequential(nn.Conv2d(3, 4, (3, 5)))), r"kernel_size of the layer '0' is \(3, 5\)"),
    "no maps": (dict(model=nn.Sequential(nn.Flatten())), "no layers that give maps"),
    "other picture": (dict(picture=torch.zeros(3, 24, 24)), "the picture has"),
    "standardised picture": (dict(picture=picture() - 0.5), "must lie between 0 and 1"),
    "four channels": (dict(picture=torch.zeros(4, 24, 32)), r"the picture is \(4, 24, 32\)"),
    "layer": (dict(layer="stem.pool"), "layer is 'stem.pool', but it must be a number from 0 to 5 or one of stem.conv"),
    "channel": (dict(channel=7), "the channel is 7, and must be a whole number from 0 to 6"),
    "unit": (dict(unit=(12, 0)), "the row is 12, and must be a whole number from 0 to 11"),
    "scale": (dict(scale="none"), "scale is 'none'"),
}


@pytest.mark.parametrize("arguments, sentence", BAD.values(), ids=BAD.keys())
def test_bad_arguments_get_one_sentence(arguments, sentence):
    given = {"model": network(), "inputs": picture()[None], "picture": picture()} | arguments
    with pytest.raises(ValueError, match=sentence):
        FeatureMapExplorer(given.pop("model"), given.pop("inputs"), given.pop("picture"), **given)


def test_too_large_and_not_finite(monkeypatch):
    monkeypatch.setattr(module, "BUDGET", 8_000)
    with pytest.raises(ValueError, match="maps of 6 layers take .* bytes, more than the 8,000 allowed"):
        browsed()
    monkeypatch.undo()
    net = network()
    net.deep.bias.data[3] = torch.inf
    with pytest.raises(ValueError, match="'deep' hold values that are not finite"):
        FeatureMapExplorer(net, picture()[None], picture())


def test_state_from_python():
    explorer = browsed(layer=4, channel=39, unit=(5, 7))
    assert explorer.place == [4, 39, 5, 7] and repr(explorer) == "<FeatureMapExplorer: an interactive figure>"
    for name, value, words in (
        ("place", [6, 0, 0, 0], "the layer is 6"),
        ("place", [0, 0, 0], "must be four whole numbers"),
        ("place", [4, 40, 0, 0], "the channel is 40"),
        ("place", None, "must be four"),
        ("scale", 3, "scale is 3"),
    ):
        with pytest.raises(ValueError, match=words):
            setattr(explorer, name, value)
    assert explorer.place == [4, 39, 5, 7] and explorer.scale == "layer"
    explorer.place = (0, 1, 2, 3)
    assert explorer.place == [0, 1, 2, 3]


# The figure


def stage(page, which, nth=0):
    return page.locator(f".fm-{which}").nth(nth)


def assert_shows(page, place, nth=0, text=None):
    """What the sentence says is what PyTorch and the formula say of this unit."""
    layer, channel, row, column = place
    name = NAMES[layer]
    values = by_hand()[name]
    text = text or status(page, nth)
    facts = browsed()._layers[layer]
    channels, height, width = values.shape
    assert text.startswith(f"Layer {layer + 1} of 6, {name} ({facts['kind']}): {channels} maps of {height} × {width}.")
    zeros = int((values[channel] == 0).sum())
    assert f" Map {channel}: {zeros} of {height * width} values" in text
    value = float(text.split("is about ")[1].split(";")[0].replace("−", "-"))
    step = facts["largest"][channel] / (127 if facts["signed"] else 255)
    assert abs(value - values[channel, row, column].item()) <= 0.501 * step + 0.051 * abs(value)  # two digits are shown
    spans = []
    for i, size in ((row, 24), (column, 32)):
        start = i * facts["jump"] - facts["offset"]
        inside = [p for p in range(start, start + facts["field"]) if 0 <= p < size]
        missing = facts["field"] - len(inside)
        spans.append(f" {inside[0]} to {inside[-1]}" + (f" (and {missing} of padding)" if missing else ""))
    field = facts["field"]
    assert text.endswith(
        f"Unit ({row}, {column}) is about {text.split('is about ')[1].split(';')[0]}; it sees {field} × {field} pixels: "
        f"rows{spans[0]}, columns{spans[1]}."
    )


def pixel(page, which, x, y):
    """The colour at a place of a canvas, in shares of its width and height."""
    return page.locator(f".fm-{which} canvas").first.evaluate(
        "(c, [x, y]) => [...c.getContext('2d').getImageData(Math.floor(x * c.width), Math.floor(y * c.height), 1, 1).data]",
        [x, y],
    )[:3]


def test_it_starts_where_python_says(opened):
    for place in ([0, 0, 6, 8], [2, 6, 0, 0], [3, 1, 5, 7], [5, 39, 2, 3]):
        page = opened(browsed(layer=place[0], channel=place[1], unit=tuple(place[2:])))
        assert_shows(page, place)
        assert menu(page, "Layer").input_value() == str(place[0])
        assert menu(page, "Channel").input_value() == str(place[1])
    assert menu(page, "Layer").locator("option").all_inner_texts()[2] == "stem.relu: ReLU"


def test_what_is_drawn_are_the_values(opened):
    page = opened(browsed(layer="act", channel=5))
    values = by_hand()["act"]
    _, height, width = values.shape
    for scale, most in (("layer", values.max()), ("map", values[5].max())):
        menu(page, "Scale of the colours").select_option(scale)
        for row, column in ((0, 0), (3, 5), (height - 1, width - 1)):
            grey = pixel(page, "map", (column + 0.5) / width, (row + 0.5) / height)
            assert grey == pytest.approx([255 * float(values[5, row, column] / most)] * 3, abs=1.5)
    menu(page, "Scale of the colours").select_option("layer")
    # One tile of all: its colour in the middle of a unit.
    frame = (
        stage(page, "all")
        .locator(".fm-tile")
        .evaluate("t => [t.style.left, t.style.top, t.style.width, t.style.height]")
    )
    left, top, across, down = (float(v.rstrip("%")) / 100 for v in frame)
    for row, column in ((1, 1), (2, 4)):
        grey = pixel(page, "all", left + across * (column + 0.5) / width, top + down * (row + 0.5) / height)
        assert grey == pytest.approx([255 * float(values[5, row, column] / values.max())] * 3, abs=1.5)
    menu(page, "Layer").select_option("4")
    values = by_hand()["deep"]
    channel, row, column = (int(i) for i in torch.unravel_index(values.argmin(), values.shape))
    menu(page, "Channel").select_option(str(channel))
    red, _, blue = pixel(page, "map", (column + 0.5) / width, (row + 0.5) / height)
    assert blue > red + 50  # far below zero
    shown = pixel(page, "image", 10.5 / 32, 3.5 / 24)
    assert shown == (picture()[:, 3, 10] * 255).round().int().tolist()


def test_buttons_and_menus_walk(opened):
    page = opened(browsed())
    assert button(page, "previous layer").is_disabled() and button(page, "previous channel").is_disabled()
    for layer, unit in ((1, (6, 8)), (2, (6, 8)), (3, (3, 4)), (4, (3, 4)), (5, (3, 4))):
        button(page, "next layer").click()
        assert_shows(page, [layer, 0, *unit])  # the same place of the image
    assert button(page, "next layer").is_disabled()
    menu(page, "Channel").select_option("39")
    assert_shows(page, [5, 39, 3, 4])
    assert button(page, "next channel").is_disabled()
    button(page, "previous channel").click()
    assert_shows(page, [5, 38, 3, 4])
    menu(page, "Layer").select_option("0")  # which has seven channels
    assert_shows(page, [0, 6, 6, 8])
    menu(page, "Scale of the colours").select_option("map")
    assert "two maps must not be compared" in page.locator(".fm-small").inner_text()
    button(page, "Reset").click()
    assert_shows(page, [0, 0, 6, 8])
    assert menu(page, "Scale of the colours").input_value() == "layer"


def test_mouse_chooses_maps_units_and_pixels(opened):
    page = opened(browsed(layer="deep"))

    def click(which, x, y):
        box = page.locator(f".fm-{which} canvas").bounding_box()
        page.mouse.click(box["x"] + x * box["width"], box["y"] + y * box["height"])

    click("map", 0.99, 0.01)
    assert_shows(page, [4, 0, 0, 7])
    click("image", 0.01, 0.99)
    assert_shows(page, [4, 0, 5, 0])
    tile = page.locator(".fm-tile")
    for channel in (1, 17, 39):
        menu(page, "Channel").select_option(str(channel))
        box = tile.bounding_box()
        menu(page, "Channel").select_option("0")
        page.mouse.click(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
        assert_shows(page, [4, channel, 5, 0])
    box = page.locator(".fm-map canvas").bounding_box()
    page.mouse.move(box["x"] + 2, box["y"] + 2)
    page.mouse.down()
    page.mouse.move(box["x"] + box["width"] - 2, box["y"] + box["height"] - 2, steps=5)
    page.mouse.up()
    assert_shows(page, [4, 39, 5, 7])
    page.mouse.move(box["x"] + 2, box["y"] + 2)
    assert_shows(page, [4, 39, 5, 7])  # let go


def test_the_frame_is_the_field(opened):
    page = opened(browsed(layer="deep", unit=(2, 3)))
    facts = browsed()._layers[4]
    image, frame = page.locator(".fm-image canvas").bounding_box(), page.locator(".fm-field").bounding_box()
    for axis, side, i, size in (("y", "height", 2, 24), ("x", "width", 3, 32)):
        start = max(0, i * facts["jump"] - facts["offset"])
        end = min(size, i * facts["jump"] - facts["offset"] + facts["field"])
        scale = image[side] / size
        assert frame[axis] - image[axis] == pytest.approx(start * scale, abs=0.6)
        assert frame[side] == pytest.approx((end - start) * scale, abs=0.6)


def test_keyboard_reaches_everything(opened):
    page = opened(browsed(layer=1, channel=3))
    stops = []
    for _ in range(20):
        page.keyboard.press("Tab")
        if page.evaluate("document.activeElement === document.body"):
            break
        stops.append(page.evaluate("document.activeElement.className || document.activeElement.ariaLabel"))
        assert page.evaluate("getComputedStyle(document.activeElement).outlineStyle") != "none"
    assert len(stops) == 10 and stops[-2:] == ["fm-stage fm-map", "fm-stage fm-all"]
    stage(page, "all").focus()
    for key, place in (
        ("ArrowRight", [1, 4, 6, 8]), ("ArrowDown", [2, 4, 6, 8]), ("ArrowLeft", [2, 3, 6, 8]), ("ArrowUp", [1, 3, 6, 8]),
        ("ArrowUp", [0, 3, 6, 8]), ("ArrowUp", [0, 3, 6, 8]),
    ):  # fmt: skip
        page.keyboard.press(key)
        assert_shows(page, place)
    stage(page, "map").focus()
    for key, place in (("ArrowUp", [0, 3, 5, 8]), ("ArrowRight", [0, 3, 5, 9]), ("ArrowDown", [0, 3, 6, 9])):
        page.keyboard.press(key)
        assert_shows(page, place)
    for _ in range(20):
        page.keyboard.press("ArrowLeft")
    assert_shows(page, [0, 3, 6, 0])  # no further
    heard = "window.heard = []; addEventListener('keydown', (e) => heard.push(e.key))"
    page.evaluate(heard)
    page.keyboard.press("Control+ArrowUp")
    page.keyboard.press("a")
    page.keyboard.press("ArrowUp")
    assert page.evaluate("window.heard") == ["Control", "ArrowUp", "a"]  # arrows are ours, the rest goes on


def test_touch_on_a_phone(touched):
    page = touched(browsed(layer="deep"))
    box = page.locator(".fm-map canvas").bounding_box()
    page.touchscreen.tap(box["x"] + 3, box["y"] + 3)
    assert_shows(page, [4, 0, 0, 0])
    button(page, "next channel").tap()
    assert_shows(page, [4, 1, 0, 0])


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_small_phone_and_both_colour_modes(opened, theme):
    page = opened(browsed(), width=PHONE, theme=theme)
    for width in (PHONE, 320, 700, LAPTOP):
        page.set_viewport_size({"width": width, "height": 740})
        page.wait_for_timeout(60)
        for layer in ("0", "5"):
            menu(page, "Layer").select_option(layer)
            assert_legible(page, texts=10)
            assert page.evaluate(SPILL) == [], width
            tile = page.locator(".fm-tile").bounding_box()
            assert tile["width"] >= 33.9, width
    assert_touchable(page)


def test_two_copies_views_and_labels(opened):
    one, two = browsed(), browsed(layer=2)
    page = opened(one, two, two)
    page.get_by_role("button", name="next channel").nth(1).click()
    assert_shows(page, [0, 0, 6, 8])
    assert_shows(page, [2, 1, 6, 8], nth=1)
    assert status(page, 1) == status(page, 2)  # a second view follows
    ids = page.evaluate("[...document.querySelectorAll('[id]')].map((node) => node.id)")
    assert len(ids) == len(set(ids))
    assert page.get_by_role("application", name="The chosen map").count() == 3
    assert page.get_by_role("application", name="All maps of the layer").count() == 3
    assert page.get_by_role("img", name="The image").count() == 3


def test_the_host_is_told_and_left_clean(browser):
    """A model as a host provides it: each kind of buffer, changes from Python, and the end."""
    page, explorer = browser.new_page(), browsed()
    result = page.evaluate(
        """async ([source, state, maps, picture]) => {
            const module = (await import(URL.createObjectURL(new Blob([source], { type: "text/javascript" })))).default;
            const all = Uint8Array.from(maps), shifted = new Uint8Array([9, 9, 9, ...all]), found = [];
            for (const _maps of [all.buffer, all, new DataView(shifted.buffer, 3)]) {
                const values = { ...structuredClone(state), _maps, _picture: Uint8Array.from(picture) }, heard = new Map();
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
                model.set("place", [5, 20, 1, 2]);
                const texts = [el.querySelector(".cx-status").textContent];
                el.querySelector("[aria-label='next channel']").click();
                texts.push(el.querySelector(".cx-status").textContent, values.place, saved);
                end();
                found.push([...texts, [...heard.values()].reduce((sum, set) => sum + set.size, 0), el.childElementCount]);
            }
            return found;
        }""",
        [
            MODULE,
            {name: getattr(explorer, name) for name in ("place", "scale", "_layers", "_size", "_start")},
            list(explorer._maps),
            list(explorer._picture),
        ],
    )
    page.close()
    assert result[0] == result[1] == result[2]
    first, second, *rest = result[0]
    assert_shows(None, [5, 20, 1, 2], text=first)
    assert_shows(None, [5, 21, 1, 2], text=second)
    assert rest == [[5, 21, 1, 2], 1, 0, 0]


def test_update_time_is_printed(opened):
    page = opened(browsed(layer="act"), width=LAPTOP)
    for name, keys in (("fm-all", ["ArrowRight", "ArrowUp", "ArrowDown"]), ("fm-map", ["ArrowRight", "ArrowLeft"])):
        times = page.evaluate(
            """([name, keys]) => {
                const node = document.querySelector(`.${name}`), times = [];
                for (let n = 0; n < 40; n += 1) {
                    const start = performance.now();
                    node.dispatchEvent(new KeyboardEvent("keydown", { key: keys[n % keys.length], bubbles: true }));
                    document.body.getBoundingClientRect();
                    times.push(performance.now() - start);
                }
                return times.sort((a, b) => a - b);
            }""",
            [name, keys],
        )
        print(f"\n{name}: median {times[20]:.1f} ms, largest {times[-1]:.1f} ms")
        assert len(times) == 40
