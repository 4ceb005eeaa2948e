"""What a plan comes to: its steps, their rate, its precision, its device."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch

from vaelab.training import Length, Plan, find_device
from vaelab.training.fit import learning_rate
from vaelab.training.plan import should_compile, uses_bf16


def test_the_schedule_rises_then_falls_to_nothing() -> None:
    rates = [learning_rate(step, 100, 0.1, 0.5) for step in range(101)]
    assert rates[:10] == pytest.approx([0.1 * (k + 1) for k in range(10)])
    assert set(rates[10:50]) == {1.0}
    assert rates[50:] == pytest.approx([1 - k / 50 for k in range(51)])
    # Rise and fall that overlap meet below the peak; without them the rate is the peak throughout.
    assert max(learning_rate(step, 100, 0.8, 0.8) for step in range(100)) == pytest.approx(50 / 80)
    assert {learning_rate(step, 7, 0.0, 0.0) for step in range(7)} == {1.0}
    assert learning_rate(0, 1, 0.05, 0.5) == 1.0


def test_half_precision_is_chosen_only_where_it_pays() -> None:
    cpu = torch.device("cpu")
    assert not uses_bf16("auto", cpu, 1000)
    assert uses_bf16("bf16", cpu, 1000)
    assert not uses_bf16("fp32", cpu, 10**9)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"epochs": 0}, "epochs is 0"),
        ({"batch_size": 0}, "batch_size is 0"),
        ({"lr": 0.0}, "lr is 0.0"),
        ({"lr": math.nan}, "lr is nan"),
        ({"clip": -1.0}, "clip is -1.0"),
        ({"weight_decay": -0.1}, "weight_decay is -0.1"),
        ({"warmup_share": -1.0}, "warmup_share is -1"),
        ({"cooldown_share": 1.5}, "cooldown_share is 1.5"),
        ({"ema": 1.0}, "ema is 1.0"),
        ({"patience": 0}, "patience is 0"),
    ],
)
def test_a_plan_that_makes_no_sense_is_refused(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Plan(**settings)


def test_the_default_number_of_epochs_gives_enough_steps() -> None:
    assert Plan(batch_size=100).num_epochs(1_000) == 400
    assert Plan(batch_size=100).num_epochs(10_000_000) == 10
    assert Plan(epochs=2).num_epochs(10) == 2


def test_few_steps_are_less_than_a_quarter_of_the_default() -> None:
    # 1,000 rows in batches of 100: ten steps an epoch, 400 epochs by default.
    assert Length.of(99, 1_000, 100).few
    assert not Length.of(100, 1_000, 100).few
    assert Length.of(2, 1_000_001, 100).few  # of 10 epochs
    told = str(Length.of(5, 1437, 128))
    assert told == "60 steps; the default is 4,008 (about 334 epochs)"


def test_a_device_that_is_not_there_is_refused() -> None:
    with pytest.raises(ValueError, match=r"there is no device 'cuda:77' here; there is .*cpu"):
        find_device("cuda:77")
    assert find_device("cpu") == torch.device("cpu")
    assert find_device("auto").type in ("cpu", "cuda", "mps")


def test_compiling_is_decided_by_counting_steps() -> None:
    steps, OVERHEAD = 15_000, 500_000
    assert not should_compile("auto", steps - 1, 0)
    assert not should_compile("off", 10**9, 10**6)
    assert should_compile("auto", steps, 0) == should_compile("auto", 10**9, 10**6)
    assert should_compile("auto", steps // 2, OVERHEAD) == should_compile("auto", steps, 0)
