"""Fixtures that several test files share."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parent))


@pytest.fixture(scope="session")
def browser():
    """One headless browser for all tests of a worker."""
    import browser as chromium

    with chromium.launch() as instance:
        yield instance
