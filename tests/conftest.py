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
