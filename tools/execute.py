"""Execute notebooks and store their outputs: ``python -m tools.execute [CHAPTER]``.

A stored output that equals the new one after sanitising is kept while the code is the same, so that executing
again changes nothing unless something really changed. Student notebooks are made anew from their solutions first.
"""

from __future__ import annotations

import argparse
import base64
import io
import os
import re
import sys
import time
from pathlib import Path

import nbformat
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError

from tools import notebooks, students


def main() -> int:
    """Execute what was asked for; return 1 when a notebook failed, with the cell and the reason."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("chapter", nargs="?", help="name of one chapter, such as pooling; all when left out")
    arguments = parser.parse_args()
    # The same number of threads as under test: one and two threads give different weights.
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    os.environ["CNN_SCALE"] = "small"
    students.generate(arguments.chapter)
    problems = []
    for path in notebooks.select(arguments.chapter):
        began = time.perf_counter()
        problem, changed = execute(path)
        name = path.relative_to(notebooks.ROOT)
        print(f"{time.perf_counter() - began:6.1f} s  {name}  {'changed' if changed else 'unchanged'}", flush=True)
        if problem:
            problems.append(f"{name}: {problem}")
    print("\n".join(problems), file=sys.stderr)
    return 1 if problems else 0


def execute(path: Path) -> tuple[str, bool]:
    """Execute one notebook in its folder; return (problem or "", whether the file changed)."""
    stored = notebooks.read(path)
    fresh = notebooks.read(path)
    fresh.metadata.pop("widgets", None)
    fresh.metadata["kernelspec"] = {"display_name": "Python 3", "language": "python", "name": "python3"}
    client = NotebookClient(
        fresh,
        timeout=600,
        kernel_name="python3",
        extra_arguments=["--log-level=ERROR"],
        resources={"metadata": {"path": str(path.parent)}},
    )
    try:
        client.execute()
    except CellExecutionError as error:
        lines = [re.sub(r"\x1b\[[0-9;]*m", "", line) for line in str(error).strip().splitlines()]
        failed = next(
            i for i, c in enumerate(fresh.cells) if any(o.output_type == "error" for o in c.get("outputs", []))
        )
        return f"cell {failed} failed; nothing was stored.\n" + "\n".join(lines), False
    for number, cell in enumerate(fresh.cells):
        if cell.cell_type != "code":
            continue
        cell.outputs = tidy(cell.outputs)
        for output in cell.outputs:
            if output.output_type == "stream" and output.name == "stderr":
                return f"cell {number} wrote to stderr; nothing was stored.\n{output.text}", False
    keep_equal(stored, fresh)
    return "", notebooks.write(fresh, path)


def tidy(outputs: list) -> list:
    """Join neighbouring streams, collapse carriage returns as nbval does, drop what changes at every run."""
    result: list = []
    for output in outputs:
        if output.output_type == "stream" and result and result[-1].get("name") == output.name:
            result[-1].text += output.text
        else:
            result.append(output)
    for output in result:
        if output.output_type == "stream":
            output.text = re.sub(r".*\r(?=[^\n])", "", output.text)
        if "metadata" in output:
            output.metadata = nbformat.from_dict({})
    return [output for output in result if output.get("text") != ""]


def keep_equal(stored: nbformat.NotebookNode, fresh: nbformat.NotebookNode) -> None:
    """Put stored outputs back where the same code gave equal ones."""
    old, new = ([cell for cell in notebook.cells if cell.cell_type == "code"] for notebook in (stored, fresh))
    # Outputs of two versions must not stand side by side: a number in one may be computed from one in another.
    if [cell.source.rstrip() for cell in old] != [cell.source.rstrip() for cell in new]:
        return
    for before, cell in zip((cell.outputs for cell in old), new, strict=True):
        # Views of widgets go with the new state, so their ids must be the new ones.
        if any(notebooks.WIDGET_VIEW in o.get("data", {}) for o in cell.outputs):
            continue
        if len(before) == len(cell.outputs) and all(map(equal, before, cell.outputs)):
            cell.outputs = before


def equal(a: nbformat.NotebookNode, b: nbformat.NotebookNode) -> bool:
    """Whether two outputs are the same after sanitising; pictures are compared pixel by pixel."""
    if a.output_type != b.output_type or a.get("name") != b.get("name"):
        return False
    if a.output_type == "stream":
        return notebooks.sanitise(a.text) == notebooks.sanitise(b.text)
    if a.output_type == "error":
        return a.ename == b.ename and a.evalue == b.evalue
    if a.data.keys() != b.data.keys():
        return False
    for kind, value in a.data.items():
        other = b.data[kind]
        if kind == "image/png":
            if _pixels(value) != _pixels(other):
                return False
        elif isinstance(value, str):
            if notebooks.sanitise(value) != notebooks.sanitise(other):
                return False
        elif value != other:
            return False
    return True


def _pixels(png: str) -> tuple:
    from PIL import Image

    image = Image.open(io.BytesIO(base64.b64decode(png))).convert("RGBA")
    return image.size, image.tobytes()


if __name__ == "__main__":
    sys.exit(main())
