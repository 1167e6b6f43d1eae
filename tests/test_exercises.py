"""A right answer passes, however it is written; a wrong one never does, and hears what is wrong.

For each chapter, ``tests/answers/CHAPTER.py`` holds ``RIGHT`` (answers written differently from the
solution) and ``WRONG`` (plausible mistakes, each with words that the message must contain).
"""

from __future__ import annotations

import importlib
import random
import re

import numpy as np
import pytest
import torch

from tools import notebooks
from utils.exercises.core import Answer, Task

CHAPTERS = [path.stem for path in notebooks.exercises()]


def tasks_of(chapter: str) -> dict[str, Task | Answer]:
    module = importlib.import_module(f"utils.exercises.{chapter}")
    return {name: value for name, value in vars(module).items() if isinstance(value, (Task, Answer))}


def answers(chapter: str):
    return importlib.import_module(f"answers.{chapter}")


ALL = [(chapter, name) for chapter in CHAPTERS for name in tasks_of(chapter)]
RIGHT = [(c, n, i) for c, n in ALL for i in range(len(answers(c).RIGHT.get(n, [])))]
WRONG = [(c, n, words) for c, n in ALL for words in answers(c).WRONG.get(n, {})]


@pytest.mark.parametrize("chapter", CHAPTERS)
def test_each_task_is_tested(chapter):
    tasks = tasks_of(chapter)
    assert 4 <= len({*tasks}) <= 12
    assert set(answers(chapter).RIGHT) == set(answers(chapter).WRONG) == set(tasks)
    for name, task in tasks.items():
        assert task.name == name
        assert answers(chapter).RIGHT[name], name
        assert len(answers(chapter).WRONG[name]) >= (5 if isinstance(task, Task) else 3), name
        if isinstance(task, Task):
            assert len(task.cases(random.Random(0))) >= 20, name


@pytest.mark.parametrize(("chapter", "name", "i"), RIGHT)
def test_right_answers_pass(chapter, name, i, capsys):
    assert tasks_of(chapter)[name](answers(chapter).RIGHT[name][i])
    assert capsys.readouterr().out.startswith("✓ ")


@pytest.mark.parametrize(("chapter", "name", "words"), WRONG)
def test_wrong_answers_are_rejected_with_a_reason(chapter, name, words, capsys):
    assert not tasks_of(chapter)[name](answers(chapter).WRONG[name][words])
    out = capsys.readouterr().out
    assert out.startswith("✗ ") and words in out, out
    assert len(out.splitlines()) <= 12  # no wall of text


HINTS = [(c, n, h) for c, n in ALL if isinstance(tasks_of(c)[n], Task) for h in tasks_of(c)[n].mistakes]


@pytest.mark.parametrize(("chapter", "name", "hint"), HINTS)
def test_each_usual_mistake_gets_its_hint(chapter, name, hint, capsys):
    task = tasks_of(chapter)[name]
    assert not task(task.mistakes[hint])
    assert hint in capsys.readouterr().out


def _spoil(value):
    """Return the value with every number changed a little, in the same type and shape."""
    if isinstance(value, torch.Tensor):
        return value + 1 if value.dtype != torch.bool else ~value
    if isinstance(value, np.ndarray):
        return value + 1
    if isinstance(value, (tuple, list)):
        return type(value)(_spoil(v) for v in value) or [1]
    if isinstance(value, bool):
        return not value
    return value + 1 if isinstance(value, (int, float)) else f"{value}?"


@pytest.mark.parametrize(("chapter", "name"), [(c, n) for c, n in ALL if isinstance(tasks_of(c)[n], Task)])
def test_nothing_wrong_slips_through(chapter, name, capsys):
    """Answers that are wrong for any task: nothing, zeros, right for one case alone, an argument, an error."""
    task = tasks_of(chapter)[name]
    cases = task.cases(random.Random(0))
    last = repr(cases[-1])

    def wrong_at_the_end(*case):
        right = task.reference(*case)
        return _spoil(right) if repr(case) == last else right

    def raises(*case):
        raise KeyError("x")

    constant = task.reference(*cases[0])
    for answer in (lambda *c: None, lambda *c: constant, lambda *c: c[0], wrong_at_the_end, raises, None, 3):
        assert not task(answer)
        assert capsys.readouterr().out.startswith("✗ ")

    def unwritten(*case):
        raise NotImplementedError("write me")

    assert not task(unwritten)
    assert capsys.readouterr().out == f"○ {name}: not yet — write me\n"


def test_a_changed_argument_is_noticed(capsys):
    def reference(x):
        return x * 2

    task = Task("double", reference, lambda rng: [(torch.ones(2, 2),)] * 20)
    assert task(reference)
    assert not task(lambda x: x.mul_(2))
    assert "changed its arguments" in capsys.readouterr().out


@pytest.mark.parametrize("path", notebooks.solutions(), ids=lambda p: p.stem)
def test_solutions_pass_and_students_start_at_not_yet(path):
    """In the stored outputs, which nbval compares: every check says ✓ in the solution and ○ for the student."""
    chapter = path.stem
    student = path.parent.parent / "exercises" / path.name
    for notebook, sign in ((notebooks.read(path), "✓"), (notebooks.read(student), "○")):
        checked = {}
        for cell in notebook.cells:
            if cell.cell_type == "code":
                names = re.findall(r"\bcheck\.(\w+)\(", cell.source)
                signs = [line[0] for o in cell.outputs for line in o.get("text", "").splitlines() if line[:1] in "✓✗○"]
                if names:
                    assert len(signs) >= len(names), cell.source
                    assert set(signs) == {sign}, cell.source
                checked.update(dict.fromkeys(names, sign))
        assert set(checked) == set(tasks_of(chapter))
        open_questions = [
            c for c in notebook.cells if c.cell_type == "markdown" and "solution" in c.metadata.get("tags", [])
        ]
        assert bool(open_questions) == (sign == "✓")
