"""The book's own Sphinx extension: the line under each title, and the single files it offers."""

from __future__ import annotations

import sys
from pathlib import Path
from urllib.parse import quote

from docutils import nodes

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))  # Sphinx imports this module from the folder, not from the package

from tools import notebooks, single_file  # noqa: E402

DOWNLOADS = "downloads"


def add_run_line(app, doctree, docname: str) -> None:
    """Put "Run it: single file · Colab · source" under the title of each page that is a notebook."""
    path = ROOT / f"{docname}.ipynb"
    if app.builder.format != "html" or not path.exists():
        return
    up = "../" * docname.count("/")
    links = [f'<a href="{up}{DOWNLOADS}/{single_file.name(path)}" download>this page as one notebook file</a>']
    url = notebooks.repository()
    if url:
        place = quote(f"{url.removeprefix('https://github.com/')}/blob/main/{docname}.ipynb")
        links.append(f'<a href="https://colab.research.google.com/github/{place}">open in Colab</a>')
    text = f'<p class="run-it">Run it yourself: {" · ".join(links)}.</p>'
    title = next(doctree.findall(nodes.title), None)
    if title is not None:
        title.parent.insert(title.parent.index(title) + 1, nodes.raw("", text, format="html"))


def write_single_files(app, exception) -> None:
    """Write the single-file notebooks beside the pages."""
    if exception is None and app.builder.format == "html":
        single_file.write_all(Path(app.outdir) / DOWNLOADS)


def slim_theme(app, exception) -> None:
    """Empty the theme's fontawesome.js: 1.5 MB that draw the icons a second time, over those of the web font."""
    script = Path(app.outdir) / "_static" / "scripts" / "fontawesome.js"
    if exception is None and script.exists():
        script.write_text("// The icons come from the web font.\n", encoding="utf-8")


def setup(app):
    """Register the hooks."""
    app.connect("doctree-resolved", add_run_line)
    app.connect("build-finished", write_single_files)
    app.connect("build-finished", slim_theme)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
