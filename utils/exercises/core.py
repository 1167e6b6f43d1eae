"""How an answer is checked.

A :class:`Task` knows a reference (PyTorch's own function), a source of random cases, and the usual
mistakes as *wrong functions* with a hint. An answer passes when it equals the reference on every
case. When it does not, the first failing case is shown, and the hint of the first mistake whose
function gives what the answer gave. The tests feed the same wrong functions, and others, to the
check and require that each is rejected.
"""

from __future__ import annotations

import copy
import math
import random
import traceback
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import nn

Case = tuple[Any, ...]


class Verdict:
    """Whether an answer passed: true or false in an ``if``, and silent as the last line of a cell."""

    def __init__(self, passed: bool) -> None:
        self.passed = passed

    def __bool__(self) -> bool:
        return self.passed

    def _ipython_display_(self) -> None:
        """Show nothing: the check has printed its sentence."""


@dataclass(frozen=True)
class Task:
    """A function that the student writes.

    Attributes
    ----------
    name : str
        What the student's function is called.
    reference : callable
        The right answer: PyTorch's, not a copy of the solution.
    cases : callable(random.Random) → sequence of cases
        Draws the argument tuples; at least 20, with oblong shapes and edge cases among them.
    mistakes : dict of hint → wrong function
        The usual wrong answers. The hint says what is wrong and where to look.
    tolerance : float
        Largest allowed difference, absolute and relative.
    """

    name: str
    reference: Callable[..., Any]
    cases: Callable[[random.Random], Sequence[Case]]
    mistakes: dict[str, Callable[..., Any]] = field(default_factory=dict)
    tolerance: float = 1e-5

    def __call__(self, answer: Callable[..., Any]) -> Verdict:
        """Check ``answer``, print what came out, and return whether it passed."""
        if not callable(answer):
            return fail(self.name, f"{self.name} is {_brief(answer)}, but it must be a function.")
        cases = list(self.cases(random.Random(0)))
        for number, case in enumerate(cases, 1):
            expected = self.reference(*copy.deepcopy(case))
            given = copy.deepcopy(case)
            try:
                got = answer(*given)
            except NotImplementedError as error:
                return not_yet(self.name, str(error))
            except Exception as error:
                where = traceback.extract_tb(error.__traceback__)[-1]
                return fail(
                    self.name,
                    f"case {number} of {len(cases)} raised {type(error).__name__}: {error}",
                    f"in the line `{where.line}`" if where.line else "",
                    _arguments(case),
                )
            problem = _difference(got, expected, self.tolerance)
            if problem is None and _difference(list(given), list(case), 0.0) is not None:
                copied = "`.copy()`" if any(isinstance(value, np.ndarray) for value in case) else "`.clone()`"
                problem = f"the function changed its arguments; work on a copy ({copied}), the caller still needs them."
                return fail(self.name, f"case {number} of {len(cases)}: {problem}", _arguments(case))
            if problem is not None:
                hint = self._hint(answer, cases)
                return fail(
                    self.name,
                    f"case {number} of {len(cases)}: {problem}",
                    _arguments(case),
                    f"expected {_brief(expected)}",
                    f"got      {_brief(got)}",
                    f"Hint: {hint}" if hint else "",
                )
        print(f"✓ {self.name}: {len(cases)} cases agree with the reference.")
        return Verdict(True)

    def _hint(self, answer: Callable[..., Any], cases: Sequence[Case]) -> str:
        """Return the hint of the first mistake that explains the answer on every case that it can be tried on."""
        once: dict[int, tuple[Any, Any] | None] = {}  # what the answer gave and what was right, by the case's number

        def compared(number: int) -> tuple[Any, Any] | None:
            if number not in once:
                try:
                    given, right = copy.deepcopy(cases[number]), copy.deepcopy(cases[number])
                    once[number] = answer(*given), self.reference(*right)
                except Exception:
                    once[number] = None
            return once[number]

        for hint, wrong in self.mistakes.items():
            explained = differs = 0
            for number, case in enumerate(cases):
                if (pair := compared(number)) is None:
                    continue
                theirs, right = pair
                try:
                    ours = wrong(*copy.deepcopy(case))
                except Exception:
                    continue
                if _difference(theirs, ours, self.tolerance) is not None:
                    explained = 0
                    break
                explained += 1
                differs += _difference(ours, right, self.tolerance) is not None
            if explained and differs:
                return hint
        return ""


@dataclass(frozen=True)
class Behaviour(Task):
    """A task whose answer is judged by what it does: a network by its outputs, a loop by its effect.

    ``reference`` takes a case and returns what should be seen; the answer and the ``mistakes`` are what the
    student writes, and ``behaviour`` looks at them.

    Attributes
    ----------
    behaviour : callable(answer) → callable(*case)
        Returns plain values that can be compared and shown: sentences and short lists of numbers.
    """

    behaviour: Callable[[Callable[..., Any]], Callable[..., Any]] = field(default=lambda answer: answer)

    def __call__(self, answer: Callable[..., Any]) -> Verdict:
        """Check ``answer``, print what came out, and return whether it passed."""
        mistakes = {hint: self.behaviour(wrong) for hint, wrong in self.mistakes.items()}
        task = Task(self.name, self.reference, self.cases, mistakes, self.tolerance)
        return task(self.behaviour(answer) if callable(answer) else answer)


def rounded(values: torch.Tensor) -> list[float]:
    """Return a row of numbers with three decimals, short enough to be shown in a message."""
    return [round(v, 3) for v in values.detach().flatten().tolist()]


def weights_by_rule(shape: torch.Size) -> torch.Tensor:
    """Return values for a parameter that depend on its size alone, not on the order in which layers were made."""
    size = shape.numel()
    values = torch.randn(size, generator=torch.Generator().manual_seed(size), dtype=torch.float64)
    return (values * (0.1 if len(shape) == 1 else (2 * shape[0] / size) ** 0.5)).view(shape)


@torch.no_grad()
def describe_network(network: Any, shape: tuple[int, int, int]) -> list[Any]:
    """Return the size of a network and what it answers once its parameters are filled by rule."""
    if not isinstance(network, nn.Module):
        return [f"{type(network).__name__}, not an nn.Module", "no output", []]
    network = network.double().eval()
    for parameter in network.parameters():
        parameter.copy_(weights_by_rule(parameter.shape))
    images = torch.randn(3, *shape, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    parameters = f"{sum(p.numel() for p in network.parameters()):,} parameters"
    try:
        output = network(images)
    except RuntimeError as error:
        return [parameters, str(error).splitlines()[0].removeprefix("addmm: "), []]
    return [parameters, f"output {tuple(output.shape)}", rounded(output[0])]


def describe_block(
    block: Any,
    images: torch.Tensor,
    shown: Callable[[torch.Tensor], Sequence[torch.Tensor]],
    scale: Callable[[torch.Tensor], float] = lambda parameter: 1.0,
) -> list[Any]:
    """Return what a block gives for a batch in training mode once its parameters are filled by rule.

    Its size, the shape of its output or the error, whether it left the images alone, and some values.

    Parameters
    ----------
    block : nn.Module
        What the student built; of anything else it is said that it is none.
    images : float64 tensor (N, C, H, W)
    shown : callable(output) → sequence of tensors with one number each
        What to show of an output that is not empty.
    scale : callable(parameter) → number
        Factor of the rule's values.
    """
    if not isinstance(block, nn.Module):
        return [f"{type(block).__name__}, not an nn.Module", "no output", "", []]
    block = block.double().train()
    for parameter in block.parameters():
        parameter.data.copy_(scale(parameter) * weights_by_rule(parameter.shape))
    before = images.clone()
    size = f"{sum(p.numel() for p in block.parameters()):,} parameters"
    try:
        with torch.no_grad():
            output = block(images)
    except RuntimeError as error:
        reason = str(error).splitlines()[0]
        # Which of the two sizes is named first depends on the order of the sum.
        if "must match the size of tensor" in reason:
            reason = "the two parts of a sum have shapes that do not agree"
        return [size, f"RuntimeError: {reason}", "", []]
    if not isinstance(output, torch.Tensor):
        return [size, f"forward returns {type(output).__name__}, not a tensor", "", []]
    kept = "the input is as before" if torch.equal(images, before) else "the input was changed"
    values = rounded(torch.stack(list(shown(output)))) if output.dim() == 4 and output.numel() else []
    return [size, f"output {tuple(output.shape)}", kept, values]


@dataclass(frozen=True)
class Answer:
    """A value that the student predicts: a number, a list, a word.

    Attributes
    ----------
    expected : callable() → value
        Computes the right answer with PyTorch, so that it is not typed in.
    mistakes : dict of hint → wrong value
    """

    name: str
    expected: Callable[[], Any]
    mistakes: dict[str, Any] = field(default_factory=dict)
    tolerance: float = 1e-5

    def __call__(self, answer: Any) -> Verdict:
        """Check ``answer`` (``...`` means not yet), print what came out, and return whether it passed."""
        if answer is ...:
            return not_yet(self.name, "replace the ... by your prediction.")
        expected = self.expected()
        problem = _difference(answer, expected, self.tolerance)
        if problem is None:
            print(f"✓ {self.name}: right.")
            return Verdict(True)
        hint = next((h for h, wrong in self.mistakes.items() if _difference(answer, wrong, self.tolerance) is None), "")
        # The expected value is not shown: it is the answer. Which entry is wrong, or that the type is, may be said.
        known = f"the result is {_brief(answer)}." == problem or isinstance(expected, torch.Tensor)
        verdict = f"{_brief(answer)} is not right" + ("." if known else f": {problem}")
        return fail(self.name, verdict, f"Hint: {hint}" if hint else "")


def not_yet(name: str, what: str) -> Verdict:
    """Print that the task waits, and what is to be written."""
    print(f"○ {name}: not yet — {what}")
    return Verdict(False)


def fail(name: str, *lines: str) -> Verdict:
    """Print what is wrong, one line each; empty lines are left out."""
    print("\n  ".join([f"✗ {name}", *(line for line in lines if line)]))
    return Verdict(False)


def _difference(got: Any, expected: Any, tolerance: float) -> str | None:
    """Return in one sentence how ``got`` differs from ``expected``, or None when it does not."""
    if isinstance(expected, torch.Tensor):
        if not isinstance(got, torch.Tensor):
            return f"the result is {_brief(got)} ({type(got).__name__}), but it must be a tensor."
        if got.shape != expected.shape:
            return f"the result has shape {tuple(got.shape)}, but it must have {tuple(expected.shape)}."
        if got.dtype != expected.dtype:
            return f"the result is {got.dtype}, but it must be {expected.dtype}."
        # NaN equals NaN here, so that a wrong answer of NaN is recognised as the mistake that gives it.
        if not torch.allclose(got.detach().double(), expected.double(), atol=tolerance, rtol=tolerance, equal_nan=True):
            if expected.isfinite().all() and not (finite := got.detach().isfinite()).all():
                count = int((~finite).sum())
                of_all = f"{count} of {got.numel()} values" if got.numel() > 1 else "the result"
                return f"{of_all} {'is' if count == 1 else 'are'} NaN or infinite."
            largest = (got.detach().double() - expected.double()).abs().max().item()
            return f"the values differ by up to {largest:.4g}."
        return None
    if isinstance(expected, np.ndarray):
        if not isinstance(got, np.ndarray):
            return f"the result is {_brief(got)} ({type(got).__name__}), but it must be a NumPy array."
        if got.dtype != expected.dtype:
            return f"the result is {got.dtype}, but it must be {expected.dtype}."
        return _difference(torch.as_tensor(got), torch.as_tensor(expected), tolerance)
    if isinstance(expected, (tuple, list)):
        if not isinstance(got, (tuple, list)):
            return f"the result is {_brief(got)} ({type(got).__name__}), but it must be a {type(expected).__name__}."
        if len(got) != len(expected):
            return f"the result has {len(got)} entries, but it must have {len(expected)}."
        for i, (g, e) in enumerate(zip(got, expected, strict=True)):
            if (problem := _difference(g, e, tolerance)) is not None:
                return f"entry {i}: {problem}"
        return None
    if isinstance(expected, (bool, str)) or expected is None:
        return None if type(got) is type(expected) and got == expected else f"the result is {_brief(got)}."
    if isinstance(expected, (int, float)):
        if isinstance(got, (torch.Tensor, np.ndarray, np.generic)) and math.prod(got.shape) == 1:
            got = got.item()
        if isinstance(got, bool) or not isinstance(got, (int, float)):
            return f"the result is {_brief(got)} ({type(got).__name__}), but it must be a number."
        if isinstance(expected, int) and not isinstance(got, int):
            return f"the result is {got!r} ({type(got).__name__}), but it must be a whole number (int)."
        # NaN equals NaN here as well, so that a wrong answer of NaN gets its hint; no reference is NaN.
        if math.isnan(got) and math.isnan(expected):
            return None
        # A count is right or wrong; a relative tolerance would let 293,225 pass for 293,226.
        near = 0.0 if isinstance(expected, int) else tolerance
        if not math.isclose(got, expected, rel_tol=near, abs_tol=near):
            return f"the result is {_brief(got)}."
        return None
    return None if got == expected else f"the result is {_brief(got)}."


def _arguments(case: Case) -> str:
    return "for " + ", ".join(_brief(value) for value in case)


def _brief(value: Any) -> str:
    """Return a short description that still lets a student compute along."""
    if isinstance(value, (torch.Tensor, np.ndarray)):
        if math.prod(value.shape) <= 36:
            rounded = torch.as_tensor(value).double().mul(1e4).round().div(1e4).tolist()
            return f"{_tidy(rounded)}"
        return f"a {'tensor' if isinstance(value, torch.Tensor) else 'array'} of shape {tuple(value.shape)}"
    if isinstance(value, (tuple, list)) and any(isinstance(v, (torch.Tensor, np.ndarray)) for v in value):
        return f"({', '.join(map(_brief, value))})"
    text = repr(value)
    return text if len(text) <= 120 else text[:117] + "..."


def _tidy(value: Any) -> Any:
    """Write 2.0 as 2, deep inside lists."""
    if isinstance(value, list):
        return [_tidy(v) for v in value]
    return int(value) if isinstance(value, float) and value.is_integer() else value
