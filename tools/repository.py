"""Write the repository's address wherever it is needed: ``make repository URL=https://github.com/OWNER/NAME``.

The one value lives in ``_config.yml``. From it follow the setup cells of the notebooks (what a bare
kernel installs), the links to Colab, the repository buttons of the pages, and the README's badges.
An empty URL takes all of them out again.
"""

from __future__ import annotations

import re
import sys

from tools import notebooks
from tools.notebooks import ROOT

PATTERN = re.compile(r"https://github\.com/[\w.-]+/[\w.-]+")
BADGES = re.compile(r"<!-- badges -->\n.*?<!-- /badges -->", re.S)


def write(url: str) -> list[str]:
    """Write ``url`` everywhere; return the files that changed.

    Raises
    ------
    ValueError
        When the address is neither empty nor of the form https://github.com/OWNER/NAME.
    """
    url = url.strip().removesuffix("/").removesuffix(".git")
    if url and not PATTERN.fullmatch(url):
        raise ValueError(f"the address is {url!r}, but it must look like https://github.com/OWNER/NAME, or be empty.")
    before = notebooks.setup_source()
    changed = [name for name, text in texts(url).items() if _store(name, text)]
    after = notebooks.setup_source()
    for path in notebooks.select(None):
        notebook = notebooks.read(path)
        for cell in notebook.cells:
            if cell.source == before:
                cell.source = after
        if notebooks.write(notebook, path):
            changed.append(str(path.relative_to(ROOT)))
    return changed


def texts(url: str) -> dict[str, str]:
    """Return the text that the configuration and the README have for the address."""
    config = (ROOT / "_config.yml").read_text(encoding="utf-8")
    config = re.sub(r"(?m)^(repository:\n  url: ).*$", rf'\g<1>"{url}"', config)
    shown = "true" if url else "false"
    config = re.sub(r"(?m)^(  use_(?:repository|issues)_button: ).*$", rf"\g<1>{shown}", config)
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    return {"_config.yml": config, "README.md": BADGES.sub(lambda _: badges(url), readme)}


def badges(url: str) -> str:
    """Return the README's badges, none while there is no address."""
    lines = ["<!-- badges -->"]
    if url:
        place = url.removeprefix("https://github.com/")
        owner, name = place.split("/")
        colab = f"https://colab.research.google.com/github/{place}/blob/main/book/foundations/convolution.ipynb"
        lines += [
            f"[![tests]({url}/actions/workflows/book.yml/badge.svg)]({url}/actions/workflows/book.yml)",
            f"[Read the book](https://{owner.lower()}.github.io/{name}/) · [first chapter in Colab]({colab})",
        ]
    return "\n".join([*lines, "<!-- /badges -->"])


def _store(name: str, text: str) -> bool:
    path = ROOT / name
    if path.read_text(encoding="utf-8") == text:
        return False
    path.write_text(text, encoding="utf-8")
    return True


if __name__ == "__main__":
    try:
        names = write(sys.argv[1] if len(sys.argv) > 1 else "")
    except ValueError as error:
        sys.exit(f"Nothing was changed: {error}")
    print("\n".join(names) or "Nothing had to be changed.")
