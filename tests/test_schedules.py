"""Schedules: functions of the share of steps done, compared with PyTorch's schedulers step by step."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable

import pytest
import torch
from torch import nn
from torch.optim import SGD, Optimizer
from torch.optim.lr_scheduler import CosineAnnealingLR, LinearLR, LRScheduler, MultiStepLR, OneCycleLR, SequentialLR

from utils.data import Images
from utils.training import Cosine, OneCycle, Steps, fit

LENGTHS = [2, 7, 10, 97, 1000]


def torch_factors(make: Callable[[Optimizer], LRScheduler], steps: int, rate: float = 1.0) -> list[float]:
    """Return the learning rate that each of ``steps`` steps uses, the scheduler stepped after each."""
    optimizer = SGD([nn.Parameter(torch.zeros(1))], lr=rate)
    scheduler, used = make(optimizer), []
    for _ in range(steps):
        used.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        scheduler.step()
    return used


def factors(schedule: Callable[[float], float], steps: int) -> list[float]:
    """Return the factor of each step, as ``fit`` asks for it."""
    return [schedule(step / steps) for step in range(steps)]


def distance(one: list[float], other: list[float]) -> float:
    return max(abs(a - b) for a, b in zip(one, other, strict=True))


# ---- Cosine -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("final", [0.0, 0.1, 1.0])
@pytest.mark.parametrize("steps", LENGTHS)
def test_cosine_is_cosine_annealing(steps, final):
    theirs = torch_factors(lambda o: CosineAnnealingLR(o, T_max=steps, eta_min=final), steps)
    assert distance(factors(Cosine(final=final), steps), theirs) < 1e-9


@pytest.mark.parametrize(("steps", "warm"), [(10, 2), (100, 10), (1000, 50), (97, 30), (40, 39)])
def test_warm_up_is_linear_and_then_a_shorter_cosine(steps, warm):
    """PyTorch writes it as two schedulers in sequence."""

    def theirs(optimizer):
        rise = LinearLR(optimizer, start_factor=1e-9, total_iters=warm)
        return SequentialLR(optimizer, [rise, CosineAnnealingLR(optimizer, T_max=steps - warm)], milestones=[warm])

    ours = factors(Cosine(warmup=warm / steps), steps)
    assert ours[0] == 1e-3
    assert distance(ours[1:], torch_factors(theirs, steps)[1:]) < 1e-6


def test_cosine_reaches_its_ends_and_falls_in_between():
    for schedule in (Cosine(), Cosine(final=0.2), Cosine(warmup=0.25), Cosine(warmup=0.1, final=0.05)):
        falling = [schedule(schedule.warmup + (1 - schedule.warmup) * i / 500) for i in range(501)]
        assert math.isclose(falling[0], 1) and math.isclose(falling[-1], schedule.final, abs_tol=1e-12)
        assert all(a > b for a, b in itertools.pairwise(falling))
        rising = [schedule(schedule.warmup * i / 500) for i in range(500)]
        assert all(0 < a <= b <= 1 for a, b in itertools.pairwise(rising))


# ---- OneCycle -----------------------------------------------------------------------------------------------------


def one_cycle(schedule: OneCycle, steps: int) -> list[float]:
    """PyTorch's factors for the same start, peak and end."""

    def make(optimizer):
        return OneCycleLR(
            optimizer,
            max_lr=1.0,
            total_steps=steps,
            pct_start=schedule.peak,
            div_factor=1 / schedule.start,
            final_div_factor=schedule.start / schedule.final,
        )

    return torch_factors(make, steps)


CYCLES = [OneCycle(), OneCycle(peak=0.5), OneCycle(peak=0.1, start=0.2, final=0.01)]


@pytest.mark.parametrize("schedule", CYCLES)
@pytest.mark.parametrize("steps", [20, 97, 1000])
def test_one_cycle_is_torchs_within_one_step(schedule, steps):
    """PyTorch counts its steps from 0 to n − 1 where we count to n: its step k lies between ours at k and k + 1."""
    ours = [schedule(step / steps) for step in range(steps + 1)]
    for step, theirs in enumerate(one_cycle(schedule, steps)):
        low, high = sorted(ours[step : step + 2])
        # The step of the peak itself may lie above both neighbours.
        high = 1.0 if step / steps < schedule.peak <= (step + 1) / steps else high
        assert low - 1e-9 <= theirs <= high + 1e-9, step


@pytest.mark.parametrize("schedule", CYCLES)
def test_one_cycle_comes_closer_with_more_steps(schedule):
    """The distance is at most the steepest slope, π/2 over the shorter side, times one step."""
    slope = math.pi / 2 / min(schedule.peak, 1 - schedule.peak)
    for steps in (50, 500, 5000):
        assert distance(factors(schedule, steps), one_cycle(schedule, steps)) <= slope / steps


def test_one_cycle_falls_exactly_as_torchs_does():
    ours = [OneCycle()(step / 100) for step in range(101)]
    assert distance(ours[32:], one_cycle(OneCycle(), 100)[31:]) < 1e-9


def test_one_cycle_has_the_defaults_of_torch():
    theirs = torch_factors(lambda o: OneCycleLR(o, max_lr=1.0, total_steps=1000), 1000)
    assert distance(theirs, one_cycle(OneCycle(), 1000)) < 1e-9
    assert OneCycle()(0) == pytest.approx(0.04) and OneCycle()(0.3) == 1 and OneCycle()(1) == pytest.approx(4e-6)


# ---- Steps --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("at", "factor"), [((0.5, 0.75), 0.1), ((0.3, 0.6, 0.9), 0.5), ((0.5,), 0.0), ((), 0.1), ((0.5, 0.5), 0.1)]
)
@pytest.mark.parametrize("steps", [10, 20, 200])
def test_steps_is_multi_step(at, factor, steps):
    milestones = [round(share * steps) for share in at]
    theirs = torch_factors(lambda o: MultiStepLR(o, milestones, gamma=factor), steps)
    assert distance(factors(Steps(at, factor), steps), theirs) < 1e-12


# ---- what all have in common --------------------------------------------------------------------------------------

ALL = [Cosine(), Cosine(0.1), Cosine(0.3, 0.2), *CYCLES, Steps(), Steps((0.2, 0.4, 0.8), 0.5)]


@pytest.mark.parametrize("schedule", ALL, ids=str)
def test_factors_lie_between_0_and_1_and_end_low(schedule):
    values = factors(schedule, 1000)
    assert all(0 <= value <= 1 for value in values) and values[0] > 0
    assert max(values) == pytest.approx(1, abs=1e-3) and values[-1] < 0.5


@pytest.mark.parametrize("schedule", ALL, ids=str)
def test_fit_uses_the_factor_of_each_step_and_puts_the_rate_back(schedule):
    images = Images(torch.zeros(10, 1, 2, 2, dtype=torch.uint8), torch.zeros(10, dtype=torch.int64), ("a", "b"))
    model = nn.Sequential(nn.Flatten(), nn.Linear(4, 2))
    optimizer = SGD(model.parameters(), lr=0.5)
    options = {"epochs": 3, "batch_size": 4, "progress": False, "device": "cpu"}
    history = fit(model, images, optimizer=optimizer, schedule=schedule, **options)
    assert history.step_rate == [0.5 * factor for factor in factors(schedule, 9)]
    assert len(history.step_loss) == 9 and optimizer.param_groups[0]["lr"] == 0.5


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda: Cosine(warmup=1.0), "warmup is 1.0, but it must be a number from 0 to 0.99"),
        (lambda: Cosine(warmup=-0.1), "warmup is -0.1"),
        (lambda: Cosine(warmup=500), "warmup is 500"),
        (lambda: Cosine(warmup="0.1"), "warmup is '0.1'"),
        (lambda: Cosine(warmup=True), "warmup is True"),
        (lambda: Cosine(warmup=math.nan), "warmup is nan"),
        (lambda: Cosine(final=2), "final is 2, but it must be a number from 0 to 1"),
        (lambda: OneCycle(peak=0), "peak is 0, but it must be a number from 0.01 to 0.99"),
        (lambda: OneCycle(peak=1), "peak is 1"),
        (lambda: OneCycle(start=25), "start is 25"),
        (lambda: OneCycle(final=1e4), "final is 10000.0"),
        (lambda: Steps(at=(30, 60)), "a share of at is 30, but it must be a number from 0 to 1"),
        (lambda: Steps(at=(0.5, None)), "a share of at is None"),
        (lambda: Steps(factor=10), "factor is 10"),
    ],
)
def test_bad_input_is_named(make, said):
    with pytest.raises(ValueError) as error:
        make()
    assert said in str(error.value)


def test_a_schedule_cannot_be_changed_under_a_run():
    with pytest.raises(AttributeError):
        Cosine().warmup = 0.5
