"""Schedules at the start, after one step, in between, at rest and past the end."""

from __future__ import annotations

import pytest
import torch

from vaelab.core.schedule import Constant, Cycles, Rise, Schedule, as_schedule


def at(schedule: Schedule, *progress: float) -> list[float]:
    values = []
    for t in progress:
        schedule.progress.fill_(t)
        values.append(float(schedule()))
    return values


def test_schedule_before_training_is_at_its_end() -> None:
    for schedule, end in ((Rise(1.0, 3.0), 3.0), (Cycles(2.5), 2.5), (Constant(0.7), 0.7)):
        assert float(schedule.progress) == 1.0
        assert float(schedule()) == end
        assert schedule().dtype == torch.float64
        assert schedule().shape == ()


def test_schedule_is_no_part_of_what_a_run_keeps() -> None:
    for schedule in (Rise(1.0, 3.0), Cycles(2.5), Constant(0.7)):
        assert schedule.state_dict() == {}
        assert {name for name, _ in schedule.named_buffers()} >= {"progress"}


def test_rise_is_a_line_and_then_level() -> None:
    assert at(Rise(1.0, 3.0), 0, 0.05, 0.25, 0.5, 0.75, 1) == pytest.approx([1, 1.2, 2, 3, 3, 3])
    assert at(Rise(4.0, 1.0, 0.2), 0, 0.1, 0.2, 0.3) == pytest.approx([4, 2.5, 1, 1])
    assert at(Rise(0.0, 1.0, 1.0), 0, 0.3, 1) == pytest.approx([0, 0.3, 1])


def test_cycles_rise_again_and_end_held() -> None:
    # Four cycles by default, each half a rise.
    expected = [0, 0.8, 2, 2, 0, 0.8, 2, 2]
    progress = (0, 0.05, 0.125, 0.2, 0.25, 0.3, 0.875, 1)
    assert at(Cycles(2.0), *progress) == pytest.approx(expected)
    assert at(Cycles(3.0, cycles=1, warmup_fraction=1.0), 0, 0.5, 0.999, 1) == pytest.approx(
        [0, 1.5, 2.997, 3]
    )
    assert at(Cycles(3.0, cycles=2, warmup_fraction=0.25), 0.0625, 0.125, 0.5, 0.5625) == (
        pytest.approx([1.5, 3, 0, 1.5])
    )


def test_schedule_prints_its_ends() -> None:
    assert [str(s) for s in (Constant(0.25), Rise(0.0, 1.5), Cycles(2.0, 3))] == [
        *("0.25", "(0 → 1.5)", "(3 × 0 → 2)")
    ]


@pytest.mark.parametrize("share", [0.0, -0.1, 1.01])
def test_schedule_refuses_a_share_outside_of_training(share: float) -> None:
    with pytest.raises(ValueError, match="at most 1"):
        Rise(0.0, 1.0, share)
    with pytest.raises(ValueError, match="at most 1"):
        Cycles(1.0, 2, share)


def test_schedule_refuses_less_than_one_cycle() -> None:
    with pytest.raises(ValueError, match="cycles is 0"):
        Cycles(1.0, 0)


def test_as_schedule_keeps_schedules_and_wraps_finite_numbers() -> None:
    rise = Rise(0.0, 1.0)
    assert as_schedule(rise) is rise
    assert at(as_schedule(2.5), 0, 0.5, 1) == [2.5, 2.5, 2.5]
    for weight in (float("nan"), float("inf")):
        with pytest.raises(ValueError, match="finite"):
            as_schedule(weight)
