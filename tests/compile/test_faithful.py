"""Programs compute what their functions compute, or are not used."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from faithful_cases import CASES, CLASSIC, Case
from torch import Tensor

from vaelab.compile import Program


@pytest.fixture
def interpreted(monkeypatch: pytest.MonkeyPatch) -> None:
    """Run the recorded graph operator by operator in place of machine code."""

    def load(name: str, recording: Any, examples: Any) -> Callable[[list[Tensor]], Any]:
        module = recording.module()
        return lambda given: module(*given)

    monkeypatch.setattr("vaelab.compile.cache.load", load)


def make(name: str) -> Case:
    torch.manual_seed(1)
    return CASES[name]()


def seed(number: int) -> None:
    torch.manual_seed(number)
    random.seed(number)
    np.random.seed(number)  # noqa: NPY002


def outcome(name: str, wrap: bool) -> tuple[list[Tensor], Program[Tensor] | None]:
    """Outputs of a case's calls, six before its change and ten after."""
    case = make(name)
    program = Program(name, case.function) if wrap else None
    function = program or case.function
    found = []
    for i in range(16):
        if i == 6:
            case.change()
        given = case.before if i < 6 or case.after is None else case.after()
        seed(i)
        found.append(function(*given).detach().clone())
    return found, program


def compare(name: str) -> Program[Tensor]:
    expected, _ = outcome(name, wrap=False)
    found, program = outcome(name, wrap=True)
    assert program is not None
    for i, (a, b) in enumerate(zip(found, expected, strict=True)):
        torch.testing.assert_close(a, b, rtol=1e-2, atol=1e-4, msg=lambda m, i=i: f"call {i}: {m}")
    return program


@pytest.mark.usefixtures("interpreted")
@pytest.mark.parametrize("name", CASES)
def test_a_program_is_its_function_whatever_changes(name: str) -> None:
    compare(name)


COMPILED = (
    *("data", "format", "frozen", "alias", "eval", "double", "attribute", "module_swapped"),
    *("hook", "weight_transposed", "closure_changed_by_others", "slots_in_a_data_class"),
)


@pytest.mark.usefixtures("interpreted")
@pytest.mark.parametrize("name", COMPILED)
def test_what_can_be_guarded_is_compiled_before_the_change(name: str) -> None:
    case = make(name)
    program = Program(name, case.function)
    for i in range(6):
        seed(i)
        program(*case.before)
    assert program.run is not None, program.reason


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning")
@pytest.mark.parametrize("name", CLASSIC)
def test_machine_code_is_its_function_whatever_changes(name: str) -> None:
    compare(name)


@pytest.mark.usefixtures("interpreted")
@pytest.mark.parametrize(
    ("name", "named"),
    [
        ("counter", "Counter.n"),
        ("counter_of_a_module", "Counting.n"),
        ("closure", "the variable n of closure"),
        ("default_argument", "the default arguments of default_argument"),
        ("attribute_of_a_class", "Own.n"),
        ("random", "random"),
        ("numpy_random", "random"),
        ("generator_of_its_own", "random.Random"),
        ("clock", "perf_counter"),
        ("iterator", "numbers of iterator"),
        ("array", "ndarray"),
        ("dlpack", "__dlpack__"),
        ("storage", "untyped_storage"),
        ("pointer", "ctypes"),
        ("normalised", "without declaring"),
    ],
)
def test_the_reason_names_what_decides(
    name: str, named: str, caplog: pytest.LogCaptureFixture
) -> None:
    _, program = outcome(name, wrap=True)
    assert program is not None
    assert program.reason is not None
    assert named in program.reason
    (message,) = caplog.messages
    assert program.reason in message
    if name.startswith("counter"):
        assert "vaelab.Rise" in message
