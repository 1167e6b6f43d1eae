"""What all tools know about the book's notebooks: where they are, the setup cell, one normal form."""

from __future__ import annotations

import configparser
import hashlib
import json
import re
from pathlib import Path

import nbformat
import yaml

ROOT = Path(__file__).resolve().parent.parent
BOOK = ROOT / "book"
SANITISER = ROOT / "tests" / "nbval.cfg"

SETUP = """\
# Setup, the same in every notebook: find the book's helpers, choose the device, seed, figure style.
try:
    from utils import runtime
except ImportError:
    {otherwise}
device = runtime.start()"""
NOT_INSTALLED = (
    "raise ModuleNotFoundError(\n"
    "        \"The book's helpers are not installed in this kernel. Run `make lab` in the book's folder and open the \"\n"
    '        "notebook there, or download this page as a single file, which carries them."\n'
    "    ) from None"
)
FETCH = "%pip install --quiet git+{url}\n    from utils import runtime"


def repository() -> str:
    """Return the address of the repository, the one value in ``_config.yml``; empty while it is not set."""
    return (yaml.safe_load((ROOT / "_config.yml").read_text(encoding="utf-8")).get("repository") or {}).get("url", "")


def setup_source(url: str | None = None) -> str:
    """Return the text of the setup cell for the repository address."""
    url = repository() if url is None else url
    return SETUP.format(otherwise=FETCH.format(url=url) if url else NOT_INSTALLED)


def pages() -> list[str]:
    """Return the pages in reading order, relative to the root, without suffix, from ``_toc.yml``."""
    toc = yaml.safe_load((ROOT / "_toc.yml").read_text(encoding="utf-8"))
    found = [toc["root"]]

    def walk(node: dict) -> None:
        if "file" in node:
            found.append(node["file"])
        for key in ("parts", "chapters", "sections"):
            for child in node.get(key, []):
                walk(child)

    walk(toc)
    return found


def chapters() -> list[Path]:
    """Return the chapter notebooks in reading order."""
    others = ("exercises", "reference")
    return [path for path in map(_notebook, pages()) if path.parent.name not in others and path.exists()]


def references() -> list[Path]:
    """Return the reference notebooks: executed and compared like chapters, without exercises."""
    return [path for path in map(_notebook, pages()) if path.parent.name == "reference" and path.exists()]


def exercises() -> list[Path]:
    """Return the student notebooks, which are generated from the solutions."""
    return [path for path in map(_notebook, pages()) if path.parent.name == "exercises"]


def solutions() -> list[Path]:
    """Return the solution notebooks, in the order of their chapters."""
    return [path.parent.parent / "solutions" / path.name for path in exercises()]


def _notebook(page: str) -> Path:
    return ROOT / f"{page}.ipynb"


def select(name: str | None) -> list[Path]:
    """Return all notebooks, or those of ``name``: chapter, solution and exercises, or a reference notebook.

    Raises
    ------
    SystemExit
        When there is no such chapter.
    """
    everything = [path for path in (*chapters(), *references(), *solutions(), *exercises()) if path.exists()]
    if not name:
        return everything
    name = Path(name).stem
    chosen = [path for path in everything if path.stem == name]
    if not chosen:
        known = ", ".join(path.stem for path in (*chapters(), *references()))
        raise SystemExit(f"There is no chapter {name!r}; there are {known}.")
    return chosen


def read(path: Path) -> nbformat.NotebookNode:
    """Read a notebook in format 4."""
    return nbformat.read(path, as_version=4)


def write(notebook: nbformat.NotebookNode, path: Path) -> bool:
    """Write the notebook in its normal form; return whether the file changed."""
    normalise(notebook)
    text = nbformat.writes(notebook, version=4) + "\n"
    if path.exists() and path.read_text(encoding="utf-8") == text:
        return False
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    return True


KEPT_CELL_METADATA = ("tags", "mystnb")


def normalise(notebook: nbformat.NotebookNode) -> None:
    """Bring a notebook into the one form that is committed: ids, counts, kernel, metadata, widget ids."""
    notebook.nbformat, notebook.nbformat_minor = 4, 5
    seen: dict[str, int] = {}
    count = 0
    for cell in notebook.cells:
        cell.source = cell.source.rstrip()
        cell.metadata = {k: cell.metadata[k] for k in KEPT_CELL_METADATA if cell.metadata.get(k)}
        # An id that follows from the text: the same on every machine, and stable when cells move.
        again = seen[cell.source] = seen.get(cell.source, -1) + 1
        cell.id = hashlib.sha256(f"{cell.cell_type} {again} {cell.source}".encode()).hexdigest()[:12]
        if cell.cell_type == "code":
            count += 1
            cell.execution_count = count
            for output in cell.outputs:
                if output.output_type == "execute_result":
                    output.execution_count = count
    widgets = notebook.metadata.get("widgets")
    notebook.metadata = nbformat.from_dict(
        {
            "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
            "language_info": {"name": "python"},
        }
    )
    if widgets:
        notebook.metadata["widgets"] = widgets
        _number_widgets(notebook)


WIDGET_STATE = "application/vnd.jupyter.widget-state+json"
WIDGET_VIEW = "application/vnd.jupyter.widget-view+json"


def _number_widgets(notebook: nbformat.NotebookNode) -> None:
    """Replace the random ids of widget models by ones that follow from their order; drop models nobody shows."""
    state = notebook.metadata["widgets"][WIDGET_STATE]["state"]
    waiting = [
        output.data[WIDGET_VIEW]["model_id"]
        for cell in notebook.cells
        for output in cell.get("outputs", [])
        if WIDGET_VIEW in output.get("data", {})
    ]
    names: dict[str, str] = {}
    while waiting:
        old = waiting.pop(0)
        if old in names or old not in state:
            continue
        names[old] = hashlib.sha256(f"widget {len(names)}".encode()).hexdigest()[:32]
        waiting += re.findall(r'"IPY_MODEL_([0-9a-f]+)"', json.dumps(state[old]))
    if not names:
        del notebook.metadata["widgets"]
        return
    kept = {names[old]: state[old] for old in names}
    text = json.dumps(kept)
    for old, new in names.items():
        text = text.replace(f"IPY_MODEL_{old}", f"IPY_MODEL_{new}")
    notebook.metadata["widgets"][WIDGET_STATE]["state"] = nbformat.from_dict(json.loads(text))
    for cell in notebook.cells:
        for output in cell.get("outputs", []):
            view = output.get("data", {}).get(WIDGET_VIEW)
            if view:
                view["model_id"] = names[view["model_id"]]


def sanitise(text: str) -> str:
    """Mask what a run measured, by the same expressions that nbval is given."""
    config = configparser.RawConfigParser()
    config.read(SANITISER, encoding="utf-8")
    for section in config.sections():
        text = re.sub(config.get(section, "regex"), config.get(section, "replace"), text)
    return text
