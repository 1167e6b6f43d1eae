"""Build the book from the stored outputs: ``python -m tools.build``; warnings are errors.

With ``SOLUTIONS=1`` in the environment the solution notebooks become pages, too.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from tools.notebooks import ROOT

OUTPUT = ROOT / "_build" / "html"


def main() -> int:
    """Build, print the address of the start page, and return the exit code."""
    toc = ROOT / "_toc.yml"
    with tempfile.TemporaryDirectory() as scratch:
        if os.environ.get("SOLUTIONS") == "1":
            toc = with_solutions(toc, Path(scratch))
        # A page whose source is gone must not stay in the output.
        shutil.rmtree(OUTPUT, ignore_errors=True)
        jupyter_book = Path(sys.executable).with_name("jupyter-book")
        command = [jupyter_book, "build", str(ROOT), "--toc", str(toc), "-W", "-n", "--keep-going", "-q"]
        code = subprocess.run(command, cwd=ROOT).returncode
    if code:
        print("The book was not built; the warnings above are errors.", file=sys.stderr)
        return code
    print(f"The book is built. Open {(OUTPUT / 'index.html').as_uri()}")
    return 0


def with_solutions(toc: Path, folder: Path) -> Path:
    """Return a copy of the table of contents with each solution after its exercises."""
    lines = []
    for line in toc.read_text(encoding="utf-8").splitlines():
        lines.append(line)
        if "file: book/exercises/" in line:
            lines.append(line.replace("book/exercises/", "book/solutions/"))
    target = folder / "_toc.yml"
    target.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return target


if __name__ == "__main__":
    sys.exit(main())
