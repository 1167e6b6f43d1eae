"""Fixtures that several test files share."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parent)]  # for `import browser` and `import tools`


@pytest.fixture(scope="session")
def browser():
    """One headless browser for all tests of a worker."""
    from browser import launch

    with launch() as instance:
        yield instance


@pytest.fixture
def opened(browser):
    """Return a function that opens explorers, and check at the end that nothing was reported."""
    from browser import open_page

    pages = []

    def function(*explorers, **arguments):
        pages.append(open_page(browser, *explorers, **arguments))
        return pages[-1]

    yield function
    for page in pages:
        assert page.problems == []
        page.close()


@pytest.fixture
def touched(browser):
    """Return a function that opens explorers on a telephone."""
    from browser import PHONE, page_of

    contexts = []

    def function(*explorers):
        contexts.append(browser.new_context(viewport={"width": PHONE, "height": 740}, has_touch=True, is_mobile=True))
        page = contexts[-1].new_page()
        page.set_content(page_of(*explorers))
        page.wait_for_selector(".explorer[data-ready]")
        return page

    yield function
    for context in contexts:
        context.close()


@pytest.fixture
def learned():
    """Return a function that trains a network on one batch, and returns the loss of its last step."""
    import torch

    def function(model, images, labels, steps):
        optimizer = torch.optim.Adam(model.parameters(), lr=3e-3)
        for _ in range(steps):
            loss = torch.nn.functional.cross_entropy(model(images), labels)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        return loss.item()

    return function
