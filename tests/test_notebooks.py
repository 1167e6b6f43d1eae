"""Every notebook follows the template, is stored in its normal form, and says what its pictures show."""

from __future__ import annotations

import copy
import json
import re
import statistics
from pathlib import Path

import nbformat
import pytest

from tools import execute, notebooks, repository, students

CHAPTERS = notebooks.chapters()
EVERYTHING = [
    path
    for path in (*CHAPTERS, *notebooks.references(), *notebooks.solutions(), *notebooks.exercises())
    if path.exists()
]
FILLER = re.compile(r"\b(simply|obviously|just)\b|[a-z]!(\s|$)", re.I)
MYST = re.compile(r"^:::|^```\{|\{[a-z:-]+\}`", re.M)
STRAY = re.compile(r"\bTODO\b|\bFIXME\b|lorem ipsum|coming soon|/(?:home|root|work|tmp|Users)/", re.I)


def name(path: Path) -> str:
    return f"{path.parent.name}/{path.stem}"


def faults(notebook, *, chapter: bool) -> list[str]:
    """Return everything about a notebook that the template forbids, one sentence each."""
    found = []
    code = [c for c in notebook.cells if c.cell_type == "code"]
    prose = [c for c in notebook.cells if c.cell_type == "markdown"]
    note = found.append
    # the beginning
    if not (notebook.cells and notebook.cells[0].cell_type == "markdown" and notebook.cells[0].source.startswith("# ")):
        note("the first cell must be Markdown and begin with a title")
    if not code or code[0].source != notebooks.setup_source():
        note("the first code cell is not the setup cell; `python -m tools.repository` writes it")
    # code
    for i, cell in enumerate(code, 1):
        lines = cell.source.splitlines()
        if cell.execution_count != i:
            note(f"code cell {i} has count {cell.execution_count}; execute the notebook from top to bottom")
        if len(lines) > 30:
            note(f"code cell {i} has {len(lines)} lines; 30 are allowed")
        if any(len(line) > 100 for line in lines) and i > 1:
            note(f"code cell {i} has a line of over 100 characters")
        for output in cell.outputs:
            if output.get("name") == "stderr":
                note(f"code cell {i} stores stderr: {output.text[:80]!r}")
            if output.output_type == "error" and "raises-exception" not in cell.metadata.get("tags", []):
                note(f"code cell {i} stores an error")
            if "image/png" in output.get("data", {}):
                alt = cell.metadata.get("mystnb", {}).get("image", {}).get("alt", "")
                if len(alt) < 30:
                    note(f"the picture of code cell {i} has no alt text that says what there is to see")
            if re.search(
                r"0x[0-9a-f]{6,}", str(output.get("text", "")) + str(output.get("data", {}).get("text/plain", ""))
            ):
                note(f"code cell {i} prints a memory address")
            if "<Axes" in str(output.get("data", {}).get("text/plain", "")):
                note(f"code cell {i} ends with the axes of a figure; write `_ = …` in front")
    if not any("from utils" in c.source for c in code[1:]):
        note("no cell imports from utils")
    # prose
    for i, cell in enumerate(notebook.cells):
        if cell.cell_type != "markdown":
            continue
        for pattern, what in ((MYST, "MyST-only syntax"), (FILLER, "filler or an exclamation mark")):
            if match := pattern.search(
                re.sub(r"`[^`]*`|\$[^$]*\$", "", cell.source) if pattern is FILLER else cell.source
            ):
                note(f"cell {i} has {what}: {match.group().strip()!r}")
        if re.search(r"<summary>[^\n]", cell.source) or re.search(r"</summary>\n(?!\n)", cell.source):
            note(
                f"cell {i}: <summary> and </summary> stand on their own lines with a blank line behind, or maths inside stays raw"
            )
    for i, cell in enumerate(notebook.cells):
        shown = [
            {**o, "data": {kind: part for kind, part in o.get("data", {}).items() if not kind.startswith("image/")}}
            for o in cell.get("outputs", [])  # the base64 of a picture may spell anything
        ]
        if match := STRAY.search(cell.source + json.dumps(shown)):
            note(f"cell {i} holds {match.group()!r}")
    if not chapter:
        return found
    # a chapter as a whole
    first, text = notebook.cells[0].source, "\n".join(c.source for c in prose)
    for part in ("**You will be able to**", "**Time:**", "**Read first:**"):
        if part not in first:
            note(f"the first cell lacks {part}")
    if not 3 <= len(re.findall(r"^[-*] ", first, re.M)) <= 5:
        note("the first cell must list three to five objectives")
    for heading in ("## What we learned", "## Test yourself", "## Where to go next"):
        if heading not in text:
            note(f"there is no section {heading!r}")
    if not 3 <= text.count("<details>") <= 8:
        note(f"there are {text.count('<details>')} hidden answers; three to five self-test questions are asked for")
    words = len(re.sub(r"<[^>]+>|[#*|>`$\\-]", " ", text).split())
    if not 1500 <= words <= 2900:
        note(f"there are {words} words of prose; 1,500 to 2,500 are asked for")
    lengths = [len(c.source.splitlines()) for c in code[1:]]
    if not 10 <= len(code) - 1 <= 24:
        note(f"there are {len(code) - 1} code cells; 10 to 20 are asked for")
    if not 3 <= statistics.median(lengths) <= 9:
        note(f"the median code cell has {statistics.median(lengths)} lines; 3 to 8 are asked for")
    claims = sum(c.source.count("claim(") for c in code)
    kept = sum(str(o.get("text", "")).count("✓") for c in code for o in c.outputs)
    if claims < 3 or kept < 3:
        note(f"there are {claims} claims, {kept} of them printed; at least three are asked for")
    if not any(notebooks.WIDGET_VIEW in o.get("data", {}) for c in code for o in c.outputs):
        note("there is no explorer")
    return found


@pytest.mark.parametrize("path", CHAPTERS, ids=name)
def test_chapter_follows_the_template(path):
    assert not faults(notebooks.read(path), chapter=True)


@pytest.mark.parametrize("path", [p for p in EVERYTHING if p not in CHAPTERS], ids=name)
def test_other_notebook_follows_the_template(path):
    assert not faults(notebooks.read(path), chapter=False)


@pytest.mark.parametrize("path", EVERYTHING, ids=name)
def test_notebook_is_in_its_normal_form(path):
    import nbformat

    notebook = notebooks.read(path)
    notebooks.normalise(notebook)
    assert path.read_text(encoding="utf-8") == nbformat.writes(notebook, version=4) + "\n", "make execute writes it"
    nbformat.validate(notebook)


@pytest.mark.parametrize(
    ("solution", "student"), list(zip(notebooks.solutions(), notebooks.exercises(), strict=True)), ids=lambda p: name(p)
)
def test_student_notebook_follows_from_its_solution(solution, student):
    made = students.student_notebook(notebooks.read(solution))
    assert [c.source for c in made.cells] == [c.source for c in notebooks.read(student).cells], (
        "make students writes it"
    )
    assert not any("SOLUTION" in c.source for c in made.cells)


def test_every_chapter_has_exercises():
    assert {p.stem for p in CHAPTERS} == {p.stem for p in notebooks.exercises()}


# The checks above can fail: each fault is planted and must be found.

PLANTED = {
    "begin with a title": lambda nb: nb.cells[0].update(source="No title"),
    "not the setup cell": lambda nb: nb.cells[1].update(source="import utils"),
    "has count 7": lambda nb: nb.cells[1].update(execution_count=7),
    "31 lines": lambda nb: last_code(nb).update(source="\n".join(["x = 1"] * 31)),
    "stores stderr": lambda nb: last_code(nb).outputs.append(stream("stderr", "Warning: x")),
    "memory address": lambda nb: last_code(nb).outputs.append(stream("stdout", "<object at 0x7f0000000000>")),
    "no alt text": lambda nb: drop_alt(nb),
    "MyST-only": lambda nb: nb.cells[0].update(source=nb.cells[0].source + "\n{ref}`x`"),
    "filler": lambda nb: nb.cells[0].update(source=nb.cells[0].source + "\nIt is simply so."),
    "<summary>": lambda nb: nb.cells[0].update(
        source=nb.cells[0].source + "\n<details><summary>x</summary>\n$y$</details>"
    ),
    "'/home/'": lambda nb: last_code(nb).outputs.append(stream("stdout", "/home/x")),
    "no explorer": lambda nb: [c.update(outputs=[]) for c in nb.cells if c.cell_type == "code"],
    "words of prose": lambda nb: nb.cells[0].update(source=nb.cells[0].source + " word" * 3000),
    "lacks **Time:**": lambda nb: nb.cells[0].update(source=nb.cells[0].source.replace("**Time:**", "")),
    "'## What we learned'": lambda nb: [
        c.update(source=c.source.replace("## What we learned", "## X")) for c in nb.cells
    ],
}


def last_code(notebook):
    return [c for c in notebook.cells if c.cell_type == "code"][-1]


def stream(kind, text):
    import nbformat

    return nbformat.from_dict({"output_type": "stream", "name": kind, "text": text})


def drop_alt(notebook):
    for cell in notebook.cells:
        cell.metadata.pop("mystnb", None)


@pytest.mark.parametrize("words", PLANTED)
def test_the_template_test_can_fail(words):
    notebook = copy.deepcopy(notebooks.read(CHAPTERS[0]))
    PLANTED[words](notebook)
    assert any(words in fault for fault in faults(notebook, chapter=True)), faults(notebook, chapter=True)


# The tools.


def test_sanitiser_masks_the_number_after_the_sign_and_nothing_else():
    text = "accuracy ≈ 97.6 % of 1,000 in ≈ 12.5 s, 0.976 ± 0.004, ≈ −1.5e-3, ≈ 1,234 images"
    assert notebooks.sanitise(text) == (
        "accuracy ≈MEASURED % of 1,000 in ≈MEASURED s, 0.976 ±MEASURED, ≈MEASURED, ≈MEASURED images"
    )


def notebook_of(*sources):
    import nbformat

    return nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(s) for s in sources])


def run(path, *sources):
    if sources:
        notebooks.write(notebook_of(*sources), path)
    problem, changed = execute.execute(path)
    return problem, changed, notebooks.read(path)


def test_execute_stores_once_and_then_nothing(tmp_path):
    path = tmp_path / "trial.ipynb"
    sources = (
        "import time\nprint(f'took ≈ {time.time()} s')",
        "import matplotlib.pyplot as plt\nplt.plot([1, 2]);",
        "from utils.widgets import ConvolutionExplorer\nConvolutionExplorer()",
    )
    problem, changed, first = run(path, *sources)
    assert not problem and changed and all(c.outputs for c in first.cells)
    assert first.cells[2].outputs[0].data["text/plain"] == "<ConvolutionExplorer: an interactive figure>"
    text = path.read_text()
    problem, changed, _ = run(path)
    assert not problem and not changed and path.read_text() == text
    # a measured number may differ, an exact one may not
    stored = notebooks.read(path)
    stored.cells[0].outputs[0].text = "took ≈ 1.5 h\n"
    notebooks.write(stored, path)
    assert run(path)[1]
    assert run(path)[2].cells[0].outputs[0].text.endswith(" s\n")


def test_stored_outputs_are_kept_only_while_the_code_is_the_same():
    def run(number, code):
        first, second = nbformat.v4.new_code_cell("measure()"), nbformat.v4.new_code_cell(code)
        first.outputs = [nbformat.v4.new_output("stream", name="stdout", text=f"≈ {number} s\n")]
        return nbformat.v4.new_notebook(cells=[first, second])

    for code, expected in (("x = 1", "≈ 1.0 s\n"), ("x = 2", "≈ 2.0 s\n")):
        fresh = run("2.0", code)
        execute.keep_equal(run("1.0", "x = 1"), fresh)
        assert fresh.cells[0].outputs[0].text == expected


@pytest.mark.parametrize(
    ("source", "words"),
    [("1 / 0", "ZeroDivisionError"), ("import sys; print('x', file=sys.stderr)", "wrote to stderr")],
)
def test_execute_names_the_cell_that_failed_and_stores_nothing(tmp_path, source, words):
    path = tmp_path / "trial.ipynb"
    notebooks.write(notebook_of("x = 1", source), path)
    before = path.read_text()
    problem, changed, _ = run(path)
    assert "cell 1" in problem and words in problem and not changed and path.read_text() == before


def test_execute_collapses_a_progress_bar(tmp_path):
    _, _, notebook = run(tmp_path / "trial.ipynb", "print('\\r██ 50 %', end='')\nprint('\\r     \\rdone')")
    assert notebook.cells[0].outputs[0].text == "done\n"


def test_students_see_no_solution():
    source = (
        "def f(x):\n    y = 1\n    # BEGIN SOLUTION return x plus y\n    z = x\n    return z + y\n    # END SOLUTION\n\n"
        "answer = f(2)  # SOLUTION"
    )
    assert students.student_source(source) == (
        'def f(x):\n    y = 1\n    raise NotImplementedError("return x plus y")\n\nanswer = ...'
    )


def test_unknown_chapter_is_named():
    with pytest.raises(SystemExit, match="no chapter 'pulling'; there are .*pooling"):
        notebooks.select("pulling")


def test_repository_address_is_checked():
    for wrong in ("github.com/a/b", "https://github.com/a", "https://example.com/a/b", "https://github.com/a/b c"):
        with pytest.raises(ValueError, match="must look like https://github.com/OWNER/NAME"):
            repository.write(wrong)


def test_setup_cell_for_an_address():
    source = notebooks.setup_source("https://github.com/owner/name")
    assert "%pip install --quiet git+https://github.com/owner/name" in source and "==" not in source
    assert "%pip" not in notebooks.setup_source("")


def test_repository_address_is_the_same_everywhere():
    """Badges, setup cells and configuration all agree with the one value."""
    url = notebooks.repository()
    for file, text in repository.texts(url).items():
        assert (notebooks.ROOT / file).read_text(encoding="utf-8") == text, f"make repository URL={url} writes {file}"
