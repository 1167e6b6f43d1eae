"""Chromium for the tests: where it is, how it is started, and explorers mounted in an empty page."""

from __future__ import annotations

import html
import json
from contextlib import contextmanager
from pathlib import Path

from tools import chromium

ROOT = Path(__file__).resolve().parent.parent
FLAGS = [
    "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-sync",
    "--disable-background-networking", "--disable-component-update",
]  # fmt: skip
# Widths in CSS pixels: a small phone and a laptop.
PHONE, LAPTOP = 360, 1280


@contextmanager
def launch():
    """Yield a headless browser with an empty profile."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium.path(), args=FLAGS)
        try:
            yield browser
        finally:
            browser.close()


def page_of(*explorers, theme: str = "light") -> str:
    """Return a page that shows the explorers the way a built page does, through ``widgets_loader.js``."""
    from ipywidgets.embed import dependency_state

    state = {"version_major": 2, "version_minor": 0, "state": dependency_state(explorers, drop_defaults=False)}
    views = "".join(
        '<script type="application/vnd.jupyter.widget-view+json">'
        + json.dumps({"model_id": explorer.model_id, "version_major": 2, "version_minor": 0})
        + "</script>"
        for explorer in explorers
    )
    loader = (ROOT / "book" / "static" / "widgets_loader.js").read_text(encoding="utf-8")
    text = json.dumps(state).replace("</", "<\\/")
    return (
        f'<!doctype html><html lang="en" data-theme="{html.escape(theme)}"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width"><title>explorer</title></head>'
        f'<body style="margin:8px;background:{"#0d1117" if theme == "dark" else "#fff"}">{views}'
        f'<script type="application/vnd.jupyter.widget-state+json">{text}</script>'
        f"<script>{loader}</script></body></html>"
    )


def open_page(browser, *explorers, width: int = LAPTOP, theme: str = "light"):
    """Open the explorers in a new page of ``width`` CSS pixels and wait until all are drawn.

    ``page.problems`` collects console errors and uncaught exceptions.
    """
    page = browser.new_page(viewport={"width": width, "height": 900})
    page.problems = []
    page.on("pageerror", lambda error: page.problems.append(str(error)))
    page.on("console", lambda message: message.type == "error" and page.problems.append(message.text))
    page.set_content(page_of(*explorers, theme=theme))
    page.wait_for_function("n => document.querySelectorAll('.explorer[data-ready]').length === n", arg=len(explorers))
    return page


def call(page, module: str, function: str, *arguments):
    """Import an explorer's module text in the page, call one of its named exports, return the result."""
    return page.evaluate(
        """async ([source, name, args]) => {
            const url = URL.createObjectURL(new Blob([source], { type: "text/javascript" }));
            return (await import(url))[name](...args);
        }""",
        [module, function, list(arguments)],
    )


# For each visible text of the explorers: its contrast to what is behind it, its size in pixels, and the text.
# The contrast is that of WCAG 2.1, section 1.4.3.
CONTRAST = """() => {
    const parts = (colour) => colour.match(/[\\d.]+/g).map(Number);
    const luminance = (rgb) => [0.2126, 0.7152, 0.0722].reduce((sum, weight, i) => {
        const c = rgb[i] / 255;
        return sum + weight * (c <= 0.03928 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4);
    }, 0);
    const behind = (node) => {
        for (; node; node = node.parentElement) {
            const [r, g, b, a = 1] = parts(getComputedStyle(node).backgroundColor);
            if (a === 1) return [r, g, b];
        }
        return [255, 255, 255];
    };
    const texts = [...document.querySelectorAll(".cx *")].filter((node) => node.checkVisibility() && !node.disabled &&
        (node.matches("input") || [...node.childNodes].some((child) => child.nodeType === 3 && child.data.trim())));
    return texts.map((node) => {
        const style = getComputedStyle(node), ink = node.namespaceURI.endsWith("svg") ? style.fill : style.color;
        const [a, b] = [luminance(parts(ink)), luminance(behind(node))];
        return [(Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05), parseFloat(style.fontSize), node.textContent];
    });
}"""


OVERFLOW = "document.documentElement.scrollWidth - document.documentElement.clientWidth"

# What is seen and reaches beyond the right edge of its explorer.
SPILL = """() => [...document.querySelectorAll(".cx")].flatMap((root) => {
    const edge = root.getBoundingClientRect().right;
    return [...root.querySelectorAll("*")].filter((node) => node.checkVisibility() &&
        node.getBoundingClientRect().right > edge + 0.1).map((node) => node.outerHTML.slice(0, 80));
})"""


def status(page, nth=0) -> str:
    """Return the sentence of the nth explorer."""
    return page.locator(".cx-status").nth(nth).inner_text()


def menu(page, name):
    """Return the menu that stands behind a word."""
    return page.locator(f"label:has(> span:text-is('{name}')) select").first


def button(page, name):
    """Return the first button of that name."""
    return page.get_by_role("button", name=name, exact=True).first


def assert_legible(page, *, texts: int = 5) -> list:
    """Nothing is wider than the page, texts stand out (WCAG 2.1: 4.5) and have 12 pixels; return them.

    ``texts``: how many there are at least, so that an empty figure does not pass.
    """
    assert page.evaluate(OVERFLOW) == 0, page.viewport_size
    wide = "nodes => nodes.map((node) => node.scrollWidth - node.clientWidth)"
    assert max(page.locator(".explorer").evaluate_all(wide)) == 0, page.viewport_size
    found = page.evaluate(CONTRAST)
    assert len(found) >= texts and min(found)[0] >= 4.5, min(found)
    assert min(size for _, size, _ in found) >= 12
    return found


def assert_touchable(page, selector: str = ".cx button, .cx select, .cx input") -> None:
    """Everything that is tapped measures 34 pixels either way."""
    sides = page.locator(selector).evaluate_all(
        """nodes => nodes.filter((node) => node.checkVisibility()).map((node) => {
            const box = node.getBoundingClientRect();
            return [Math.min(box.width, box.height), node.outerHTML.slice(0, 80)];
        })"""
    )
    assert min(sides)[0] >= 34, min(sides)


def until_selected(page) -> None:
    """Wait until the number that was clicked is selected, as it is long before a person types.

    The explorers select it in a timer, because the browser drops a selection at the end of a click: the page's clock
    must run.
    """
    page.evaluate("() => new Promise((done) => setTimeout(() => setTimeout(done)))")
    page.wait_for_function(
        "() => { const i = document.activeElement; return i.selectionStart === 0 && i.selectionEnd === i.value.length; }"
    )
