"""The built pages in a browser: over http and from a folder, with every other host blocked.

``make test`` builds the book first. Sizes are tested; times are printed and never asserted.
"""

from __future__ import annotations

import functools
import gzip
import http.server
import re
import threading
from pathlib import Path

import pytest
from playwright.sync_api import expect

from browser import LAPTOP, PHONE
from tools import notebooks, single_file

HTML = notebooks.ROOT / "_build" / "html"
PAGES = notebooks.pages()
CHAPTERS = [str(p.relative_to(notebooks.ROOT).with_suffix("")) for p in notebooks.chapters()]
PATIENCE = 120_000  # milliseconds: what a busy machine needs is no fault of a page
BUDGET = 1_000_000  # bytes, gzipped, of one page without pictures, when nothing is cached

pytestmark = pytest.mark.skipif(not (HTML / "index.html").exists(), reason="the book is not built; run `make book`")


class Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *args):
        pass


@pytest.fixture(scope="session")
def address():
    handler = functools.partial(Quiet, directory=str(HTML))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


def visit(browser, base: str, page: str, *, width: int = LAPTOP, theme: str = "light"):
    """Open a page, let nothing leave for another host, and note all that goes wrong."""
    context = browser.new_context(
        viewport={"width": width, "height": 900}, color_scheme=theme, has_touch=width == PHONE
    )
    context.set_default_timeout(PATIENCE)
    tab = context.new_page()
    tab.problems, tab.foreign, tab.loaded, tab.pending = [], [], {}, set()

    def gate(route):
        url = route.request.url
        if url.startswith((base, "data:", "blob:")):
            route.continue_()
        else:
            tab.foreign.append(url)
            route.abort()

    context.route("**/*", gate)
    tab.on("pageerror", lambda error: tab.problems.append(f"uncaught: {error}"))
    tab.on("console", lambda m: m.type in ("error", "warning") and tab.problems.append(f"{m.type}: {m.text}"))
    tab.on("requestfailed", lambda r: tab.problems.append(f"failed: {r.url}"))
    tab.on("request", lambda r: tab.pending.add(r))
    for end in ("requestfinished", "requestfailed"):
        tab.on(end, lambda r: tab.pending.discard(r))
    tab.on("response", lambda r: tab.loaded.update({r.url: r}))
    tab.goto(f"{base}/{page}.html")
    settle(tab)
    return tab


def settle(tab) -> None:
    """Return when nothing has been loading for 0.3 seconds; Playwright's "networkidle" at times never comes for files."""
    quiet = 0
    for _ in range(PATIENCE // 100):
        tab.wait_for_timeout(100)
        quiet = 0 if tab.pending else quiet + 1
        if quiet == 3:
            return
    raise AssertionError(f"these requests never end: {sorted(r.url for r in tab.pending)}")


def bases(address: str) -> dict[str, str]:
    return {"http": address, "file": HTML.as_uri()}


def assert_whole(tab, page: str) -> None:
    """One title, maths rendered, explorers drawn, pictures loaded and described."""
    assert tab.locator("article h1").count() == 1
    # maths: everything that Sphinx marked is rendered, and nothing is left raw
    marked = tab.locator(".math").count()
    assert tab.locator(".katex").count() >= marked and tab.locator(".katex-error").count() == 0
    text = tab.locator("article").inner_text()
    assert "\\(" not in text and "\\[" not in text and not re.search(r"(?<!\w)\$[^$\n]{1,80}\$", text)
    # explorers: all that the notebook shows are drawn
    notebook = notebooks.ROOT / f"{page}.ipynb"
    shown = 0
    if notebook.exists():
        shown = sum(
            notebooks.WIDGET_VIEW in output.get("data", {})
            for cell in notebooks.read(notebook).cells
            for output in cell.get("outputs", [])
        )
    expect(tab.locator(".explorer[data-ready] .cx")).to_have_count(shown, timeout=PATIENCE)
    pictures = tab.locator("article img").evaluate_all(
        "all => all.map(i => [i.getAttribute('src'), i.complete && i.naturalWidth > 0, i.alt])"
    )
    for source, loaded, alt in pictures:
        assert loaded, source
        assert len(alt) >= 30 and "_images" not in alt, source


def assert_light(tab, address: str, page: str) -> None:
    """All that the page needs, without pictures, is within the budget."""
    size = pictures = 0
    for url, response in tab.loaded.items():
        if url.startswith(address):
            body = response.body()
            if re.search(r"\.(png|jpe?g|svg|gif)$", url):
                pictures += len(body)
            else:
                # woff2 is compressed already
                size += len(body) if url.endswith("woff2") else len(gzip.compress(body, 6))
    load = tab.evaluate("performance.getEntriesByType('navigation')[0].loadEventEnd")
    print(
        f"\n{page}: {size / 1e6:.2f} MB gzipped, {pictures / 1e6:.2f} MB of pictures, loaded in {load:.0f} ms, "
        f"{len(tab.foreign)} requests to other hosts"
    )
    assert size <= BUDGET


def assert_offers_its_single_file(tab, page: str) -> None:
    """A link to the file that carries the helpers; and none to a repository while there is no address of one."""
    target = tab.locator("p.run-it a[download]").evaluate("a => a.href")
    assert target.endswith("downloads/" + single_file.name(notebooks.ROOT / f"{page}.ipynb"))
    assert tab.request.get(target).json()["cells"]
    addresses = tab.locator(".bd-header-article a").evaluate_all("all => all.map(a => a.href)")
    if not notebooks.repository():
        assert not [a for a in addresses if re.match(r"\w+://[^/]*(github|colab)", a)]
        assert tab.locator("p.run-it a").count() == 1


# A visit takes seconds and there are a hundred pages, so each visit looks at all that it can.


@pytest.mark.parametrize("page", PAGES)
def test_page_on_a_laptop(browser, address, page):
    """Over http: whole, light, and with its single file."""
    tab = visit(browser, address, page)
    assert tab.foreign == [] and tab.problems == []
    assert_whole(tab, page)
    assert_light(tab, address, page)
    if (notebooks.ROOT / f"{page}.ipynb").exists():
        assert_offers_its_single_file(tab, page)
    tab.context.close()


@pytest.mark.parametrize("page", PAGES)
def test_page_on_a_phone(browser, page):
    """From a folder: whole, and no wider than the screen in both colour modes."""
    tab = visit(browser, HTML.as_uri(), page, width=PHONE)
    assert_whole(tab, page)
    for theme in ("light", "dark"):
        tab.emulate_media(color_scheme=theme)
        expect(tab.locator("html")).to_have_attribute("data-theme", theme, timeout=PATIENCE)
        assert tab.evaluate("document.documentElement.scrollWidth") <= PHONE
    assert tab.foreign == [] and tab.problems == []
    tab.context.close()


@pytest.mark.parametrize("scheme", ["http", "file"])
def test_search_finds_a_chapter(browser, address, scheme):
    tab = visit(browser, bases(address)[scheme], "search")
    tab.goto(tab.url + "?q=pooling")
    tab.wait_for_selector("ul.search li a")
    found = [a.get_attribute("href") for a in tab.locator("ul.search li a").all()]
    assert any("pooling" in href for href in found), found
    assert tab.problems == [] and tab.foreign == []
    tab.context.close()


def test_links_between_pages_lead_somewhere(browser, address):
    """Every local link of every page, with its anchor."""
    missing = []
    for page in PAGES:
        source = (HTML / f"{page}.html").read_text(encoding="utf-8")
        for href in re.findall(r'<a [^>]*href="([^"#:]*)(?:#([^"]*))?"', source):
            path, anchor = href
            target = (HTML / page).parent / path if path else HTML / f"{page}.html"
            target = Path(*target.parts).resolve()
            if not target.exists():
                missing.append((page, path))
            elif anchor and target.suffix == ".html" and f'id="{anchor}"' not in target.read_text(encoding="utf-8"):
                missing.append((page, f"{path}#{anchor}"))
    assert not missing


# The explorers in the page, driven without a kernel.


def explorer_page(kind: str) -> str | None:
    """Return the first chapter that shows an explorer whose module holds ``kind``."""
    for page in CHAPTERS:
        if f"<{kind}:" in (notebooks.ROOT / f"{page}.ipynb").read_text(encoding="utf-8"):
            return page
    return None


@pytest.mark.parametrize("scheme", ["http", "file"])
@pytest.mark.parametrize("kind", ["ConvolutionExplorer", "DigitReader"])
def test_explorer_answers_in_the_page(browser, address, kind, scheme):
    page = explorer_page(kind)
    assert page, f"no chapter shows a {kind}"
    tab = visit(browser, bases(address)[scheme], page)
    tab.wait_for_selector(".explorer[data-ready] .cx")
    first = tab.locator(".explorer .cx").first
    before = first.locator("[aria-live]").first.inner_text()
    if kind == "ConvolutionExplorer":
        plus = first.get_by_role("button", name=re.compile("padding.*more", re.I))
        plus.click()
    else:
        first.locator("canvas").first.scroll_into_view_if_needed()
        box = first.locator("canvas").first.bounding_box()
        tab.mouse.move(box["x"] + box["width"] / 2, box["y"] + box["height"] * 0.2)
        tab.mouse.down()
        tab.mouse.move(box["x"] + box["width"] / 2, box["y"] + box["height"] * 0.8, steps=12)
        tab.mouse.up()
    status = first.locator("[aria-live]").first
    expect(status).not_to_have_text(before)
    if kind == "DigitReader":
        expect(status).to_have_text(re.compile(r"reads (a )?1\b"))  # a vertical stroke
    assert tab.problems == [] and tab.foreign == []
    tab.context.close()


# The checks above can fail: a page with each fault is planted and must be noticed.


@pytest.mark.parametrize(
    ("fault", "noticed"),
    [
        ('<script src="https://cdn.example/x.js"></script>', "foreign"),
        ("<script>throw new Error('planted')</script>", "problems"),
        ('<img src="missing.png" alt="">', "problems"),
        ("<script>console.error('planted')</script>", "problems"),
    ],
)
def test_a_planted_fault_is_noticed(browser, tmp_path, fault, noticed):
    (tmp_path / "page.html").write_text(f"<!doctype html><h1>x</h1>{fault}", encoding="utf-8")
    tab = visit(browser, tmp_path.as_uri(), "page")
    assert getattr(tab, noticed)
    tab.context.close()
