"""Make student notebooks from the solutions: ``python -m tools.students``.

In a solution notebook

- ``# BEGIN SOLUTION what to write`` … ``# END SOLUTION`` becomes
  ``raise NotImplementedError("what to write")``;
- a line ``name = value  # SOLUTION`` becomes ``name = ...``;
- a Markdown cell tagged ``solution`` (a model answer) becomes a place to write;
- a code cell tagged ``solution`` is left out;
- ``# Solutions: X`` in the title becomes ``# Exercises: X``.
"""

from __future__ import annotations

import copy
import re
import sys

import nbformat

from tools import notebooks

BLOCK = re.compile(r"^([ \t]*)# BEGIN SOLUTION[ \t]*(.*)\n(?:.*\n)*?[ \t]*# END SOLUTION[ \t]*$", re.M)
LINE = re.compile(r"^([ \t]*[\w, ]+?) = .*# SOLUTION[ \t]*$", re.M)
YOUR_ANSWER = "*Your answer: double-click here and write.*"


def student_source(source: str) -> str:
    """Return the text of a code cell without its solution."""

    def stub(match: re.Match) -> str:
        what = match[2].strip() or "write this part"
        return (
            f"{match[1]}raise NotImplementedError({what!r})"
            if '"' in what
            else f'{match[1]}raise NotImplementedError("{what}")'
        )

    source = BLOCK.sub(stub, source)
    return LINE.sub(lambda m: f"{m[1]} = ...", source)


def student_notebook(solution: nbformat.NotebookNode) -> nbformat.NotebookNode:
    """Return the student's version of a solution notebook, without outputs."""
    result = copy.deepcopy(solution)
    result.cells = []
    result.metadata.pop("widgets", None)
    for cell in copy.deepcopy(solution.cells):
        answer = "solution" in cell.metadata.get("tags", [])
        if cell.cell_type == "code":
            if answer:
                continue
            cell.source = student_source(cell.source)
            cell.outputs = []
        elif answer:
            cell.source = YOUR_ANSWER
            cell.metadata.tags = []
        else:
            cell.source = re.sub(r"^# Solutions: ", "# Exercises: ", cell.source)
        result.cells.append(cell)
    notebooks.normalise(result)
    return result


def generate(chapter: str | None = None) -> list[str]:
    """Write the student notebooks whose text changed, outputs kept where the source is the same."""
    changed = []
    # By name, for the first time a student notebook is made there is no file to select.
    wanted = {path.stem for path in notebooks.select(chapter)}
    for solution, target in zip(notebooks.solutions(), notebooks.exercises(), strict=True):
        if target.stem not in wanted or not solution.exists():
            continue
        fresh = student_notebook(notebooks.read(solution))
        if target.exists():
            old = notebooks.read(target)
            if [c.source for c in old.cells] == [c.source for c in fresh.cells]:
                continue
        notebooks.write(fresh, target)
        changed.append(target.name)
    return changed


if __name__ == "__main__":
    print("made anew:", ", ".join(generate(sys.argv[1] if len(sys.argv) > 1 else None)) or "none, all are up to date")
