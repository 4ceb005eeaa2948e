"""What a program takes for granted: modes, settings, errors of the recorder, and later traces."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode

from vaelab.compile import Program, cache, store
from vaelab.compile import program as programs
from vaelab.compile.agreement import close
from vaelab.compile.denormals import flush_denormals, flushes_denormals
from vaelab.compile.python_state import MOST, PythonState
from vaelab.compile.recording import Recording
from vaelab.compile.tensor_state import TensorState, ambient

X = torch.linspace(-1, 1, 12).view(4, 3)


@pytest.fixture
def interpreted(monkeypatch: pytest.MonkeyPatch) -> None:
    """Run the recorded graph operator by operator in place of machine code."""

    def load(name: str, recording: Any, examples: Any) -> Callable[[list[Tensor]], Any]:
        module = recording.module()
        return lambda given: module(*given)

    monkeypatch.setattr(cache, "load", load)


class Called:
    """A function of one tensor that counts its calls where no guard looks."""

    unguarded = frozenset({"calls"})

    def __init__(self, function: Callable[[Tensor], Any]) -> None:
        self.function, self.calls = function, 0

    def __call__(self, x: Tensor) -> Any:
        self.calls += 1
        return self.function(x)


def compiled(function: Callable[..., Any]) -> Program[Any]:
    program = Program("it", function)
    for _ in range(3):
        program(X)
    assert program.run is not None, program.reason
    return program


# Modes and settings ---------------------------------------------------------------------------


class Sees(TorchDispatchMode):
    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.operators = 0

    def __torch_dispatch__(self, op: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        self.operators += 1
        return op(*args, **(kwargs or {}))


class Doubles(TorchFunctionMode):
    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        found = func(*args, **(kwargs or {}))
        return found * 2 if func is torch.Tensor.sin else found


@contextmanager
def setting(read: Callable[[], Any], write: Callable[[Any], Any], value: Any) -> Iterator[None]:
    before = read()
    write(value)
    try:
        yield
    finally:
        write(before)


def precise() -> AbstractContextManager[None]:
    get, put = torch.get_float32_matmul_precision, torch.set_float32_matmul_precision
    return setting(get, put, "medium")


def deterministic() -> AbstractContextManager[None]:
    get, put = torch.are_deterministic_algorithms_enabled, torch.use_deterministic_algorithms
    return setting(get, put, True)


def flushing() -> AbstractContextManager[None]:
    return setting(flushes_denormals, torch.set_flush_denormal, True)


MODES: dict[str, Callable[[], AbstractContextManager[Any]]] = {
    "dispatch mode": Sees,
    "function mode": Doubles,
    "no gradients": torch.no_grad,
    "inference": torch.inference_mode,
    "autocast": lambda: torch.autocast("cpu", torch.bfloat16),
    "default dtype": lambda: setting(
        torch.get_default_dtype, torch.set_default_dtype, torch.float64
    ),
    "precision": precise,
    "deterministic": deterministic,
    "denormals": flushing,
}


@pytest.mark.usefixtures("interpreted")
@pytest.mark.parametrize("mode", MODES)
def test_a_mode_or_setting_of_the_caller_is_not_skipped(mode: str) -> None:
    function = Called(lambda x: (x.sin() @ x.T).sum(0))
    program, calls = compiled(function), function.calls
    with MODES[mode]():
        found, expected = program(X), function.function(X)
    assert torch.equal(found, expected)
    assert found.dtype == expected.dtype
    assert function.calls == calls + 1
    program(X)
    assert function.calls == calls + 1, "and the program goes on behind it"


@pytest.mark.usefixtures("interpreted")
def test_a_transform_of_the_caller_is_not_skipped() -> None:
    function = Called(lambda x: x.sin().sum(0))
    program, calls = compiled(function), function.calls
    mapped = torch.func.vmap(program)(torch.stack([X, 2 * X]))
    torch.testing.assert_close(mapped, torch.stack([X.sin().sum(0), (2 * X).sin().sum(0)]))
    assert function.calls == calls + 1


def test_settings_are_part_of_the_digest() -> None:
    recording = Recording([X])
    with recording:
        y = X * 2
    recording.close([y])
    plain = cache.digest(recording)
    changed = []
    for mode in ("precision", "deterministic", "denormals", "default dtype"):
        with MODES[mode]():
            changed.append(cache.digest(recording))
    assert len({plain, *changed}) == 5


def test_flushing_is_read_from_the_processor() -> None:
    assert not flushes_denormals()
    with flushing():
        assert flushes_denormals()
        assert float(torch.tensor(1e-310, dtype=torch.float64) * 1) == 0
    assert not flushes_denormals()


@pytest.mark.parametrize("before", [False, True])
def test_denormals_are_flushed_in_all_threads_and_the_setting_restored(before: bool) -> None:
    tiny = torch.full((1 << 18,), torch.finfo(torch.float32).tiny)

    def flushed() -> float:
        return float((tiny * 0.5 == 0).float().mean())

    threads = torch.get_num_threads()
    torch.set_num_threads(4)
    try:
        assert flushed() == 0  # the threads exist before the setting changes
        torch.set_flush_denormal(before)
        with flush_denormals(torch.device("meta")):
            assert flushes_denormals() == before
        with suppress(KeyError), flush_denormals(torch.device("cpu")):
            assert flushed() == 1
            with flush_denormals(torch.device("cpu")):
                assert flushed() == 1
            assert flushed() == 1
            raise KeyError
        assert flushes_denormals() == before
        assert flushed() == before
    finally:
        torch.set_flush_denormal(False)
        torch.set_num_threads(threads)


# Errors ---------------------------------------------------------------------------------------


@pytest.mark.usefixtures("interpreted")
@pytest.mark.parametrize("where", ["_arguments", "_add", "_close"])
def test_an_error_of_the_recorder_ends_the_recording_and_not_the_call(
    where: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fails(*_: Any) -> None:
        raise KeyError("unexpected")

    monkeypatch.setattr(Recording, where, fails)
    program = Program("it", lambda x: x * 2)
    for _ in range(4):
        assert torch.equal(program(X), X * 2)
    assert program.reason == "it cannot be traced (KeyError: 'unexpected')"
    assert len(caplog.messages) == 1


class NotUnderModes:
    """A step that fails while a mode watches it, half done."""

    def __init__(self) -> None:
        self.w = torch.zeros(3)

    def __call__(self, x: Tensor) -> Tensor:
        self.w.add_(x.sum(0) + torch.rand(3))
        if torch._C._len_torch_dispatch_stack():
            raise NotImplementedError("not with a mode")
        return self.w * 2


def test_a_call_that_fails_only_while_it_is_traced_is_done_again() -> None:
    ours, theirs = NotUnderModes(), NotUnderModes()
    program = Program("it", ours)
    for seed in range(4):
        torch.manual_seed(seed)
        found = program(X)
        torch.manual_seed(seed)
        assert torch.equal(found, theirs(X)), "from the state and the noise before it"
    assert program.reason is not None
    assert "not with a mode" in program.reason


def test_an_error_of_the_function_is_its_own() -> None:
    def fails(x: Tensor) -> Tensor:
        raise ValueError("of the function")

    program = Program("it", fails)
    for _ in range(2):
        with pytest.raises(ValueError, match="of the function"):
            program(X)
    assert program.reason is None


# Comparison with the eager call -----------------------------------------------------------------


@pytest.mark.parametrize(
    ("spoil", "reason"),
    [
        (lambda x, w, y: [y * 1.1], "returns other values"),
        (lambda x, w, y: [y.double()], "returns"),
        (lambda x, w, y: [w.mul_(1.1), y][1:], "writes other values"),
        (lambda x, w, y: [torch.rand(3), y][1:], "other random numbers"),
        (lambda x, w, y: [y * torch.nan], "returns other values"),
    ],
)
def test_a_program_that_computes_something_else_is_not_used(
    spoil: Callable[..., list[Tensor]], reason: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def load(name: str, recording: Any, examples: Any) -> Callable[[list[Tensor]], Any]:
        module = recording.module()

        def run(given: list[Tensor]) -> list[Tensor]:
            (y,) = module(*given)
            return spoil(*given, y)

        return run

    monkeypatch.setattr(cache, "load", load)

    def step(w: Tensor, x: Tensor) -> Tensor:
        w.add_(x.sum(0) + torch.rand(3))
        return w * 2

    ours, theirs = torch.zeros(3), torch.zeros(3)
    program = Program("it", lambda x: step(ours, x))
    for seed in range(5):
        torch.manual_seed(seed)
        found = program(X)
        torch.manual_seed(seed)
        assert torch.equal(found, step(theirs, X))
        assert torch.equal(ours, theirs), "nothing is left of the trial"
    assert program.reason is not None
    assert reason in program.reason


def test_changes_are_held_to_each_other_and_not_to_what_is_changed() -> None:
    before = torch.full((4,), 100.0)
    change = torch.linspace(0.1, 0.4, 4)
    assert close(before + change * 1.001, before + change, before, 1e-2)
    assert not close(before + change * 1.1, before + change, before, 1e-2)
    assert not close(before, before + change, before, 1e-2)
    whole = torch.arange(3)
    assert close(whole, whole, whole, 1e-2)
    assert not close(whole + 1, whole, whole, 1e-2)


# Later traces -----------------------------------------------------------------------------------


@pytest.mark.usefixtures("interpreted")
def test_calls_8_16_32_are_traced_again(monkeypatch: pytest.MonkeyPatch) -> None:
    function = Called(lambda x: x * 2)
    program = compiled(function)
    traced = []
    for call in range(1, 40):
        before = function.calls
        program(X)
        traced += [call] if function.calls > before else []
    assert traced[:1] == [7], "the first of the three calls before is the program's, too"
    assert len(traced) == 3


@pytest.mark.usefixtures("interpreted")
def test_an_epoch_s_end_is_traced_unless_a_trace_is_recent(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(programs, "SELDOM", 5)
    function = Called(lambda x: x * 2)
    program = compiled(function)
    program.revisit()
    before = function.calls
    program(X)
    assert function.calls == before
    for _ in range(5):
        program(X)
    program.revisit()
    program(X)
    assert function.calls == before + 1


class Hidden:
    """Keeps a number where no guard looks, and declares so."""

    unguarded = frozenset({"n"})

    def __init__(self) -> None:
        self.n = 1.0

    def __call__(self, x: Tensor) -> Tensor:
        return x * self.n


@pytest.mark.usefixtures("interpreted")
def test_a_later_trace_finds_what_no_guard_sees(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(programs, "SELDOM", 0)
    hidden = Hidden()
    program = compiled(hidden)
    hidden.n = 3.0
    program.revisit()
    for _ in range(3):
        assert torch.equal(program(X), X * 3)
    assert program.reason == "its operators differ from call to call"


@pytest.mark.usefixtures("interpreted")
def test_a_function_that_changes_again_and_again_is_left_as_it_is(
    caplog: pytest.LogCaptureFixture,
) -> None:
    kept = [1.0]
    program = Program("it", lambda x: x * kept[0])
    for i in range(8):
        kept[0] = float(i)
        for _ in range(3):
            assert torch.equal(program(X), X * i)
    assert program.reason is not None
    assert "the variable kept of" in program.reason
    assert len(caplog.messages) == 1


# Private names of torch ---------------------------------------------------------------------------


@pytest.mark.usefixtures("interpreted")
def test_hooks_are_seen_that_are_added_later() -> None:
    """By `_backward_hooks`, and the dictionaries of global hooks in torch.nn.modules.module."""
    w = nn.Parameter(torch.ones(3))
    state = TensorState([w])
    assert state.unchanged()
    handle = w.register_hook(lambda g: g)
    assert not state.unchanged()
    handle.remove()
    layer = nn.Linear(3, 3)
    python = PythonState(layer)
    assert python.unchanged()
    for register in (
        nn.modules.module.register_module_forward_hook,
        nn.modules.module.register_module_forward_pre_hook,
        nn.modules.module.register_module_full_backward_hook,
    ):
        hook = register(lambda *_: None)
        assert not python.unchanged(), register.__name__
        hook.remove()
        assert python.unchanged()


def test_torch_is_of_a_release_that_was_tried() -> None:
    """Lift the bound in pyproject.toml once all tests pass with the release that this names."""
    import re
    import tomllib
    from pathlib import Path

    project = tomllib.loads((Path(__file__).parents[2] / "pyproject.toml").read_text())["project"]
    (torch_line,) = [d for d in project["dependencies"] if re.match(r"torch\b", d)]
    assert torch_line == "torch>=2.13,<2.15", "2.13.0 and 2.14.1 were tried"
    major, minor = map(int, torch.__version__.split(".")[:2])
    assert (2, 13) <= (major, minor) < (2, 15)


def test_modes_and_transforms_are_counted() -> None:
    """By `_len_torch_dispatch_stack`, `_len_torch_function_stack` and `peek_interpreter_stack`."""
    plain, inside = ambient("cpu"), []
    for mode in (Sees(), Doubles()):
        with mode:
            inside.append(ambient("cpu"))

    def seen(x: Tensor) -> Tensor:
        inside.append(ambient("cpu"))
        return x

    torch.func.vmap(seen)(X)
    assert all(found != plain for found in inside)


def test_writes_are_counted() -> None:
    """By `_version`, on which kept copies of weights rely."""
    w = torch.ones(3)
    before = w._version
    w.mul_(2)
    assert w._version == before + 1


def test_the_runner_of_programs_and_their_compiler_are_where_they_were() -> None:
    assert callable(torch._inductor.aot_compile)
    assert callable(torch._inductor.compile)
    assert hasattr(torch._C._aoti.AOTIModelContainerRunnerCpu, "run")
    assert store.LIBRARY.endswith(".so")


def test_recording_imports_no_compiler() -> None:
    """By `_should_skip_dynamo`."""
    import subprocess
    import sys

    script = (
        "import sys, torch; from vaelab.compile.recording import Recording; x = torch.ones(3)\n"
        "with Recording([x]): x * 2\n"
        "sys.exit('torch._dynamo' in sys.modules or 'torch._inductor' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", script], check=False).returncode == 0


# Python state -------------------------------------------------------------------------------------


def test_more_state_than_can_be_compared_is_refused() -> None:
    kept = list(map(float, range(MOST + 1)))
    reason = PythonState(lambda x: x * kept[0]).unsupported_reason
    assert reason is not None
    assert "20,000 values" in reason


def test_equal_values_are_no_change_and_equal_numbers_of_other_types_are() -> None:
    kept = {"a": 1000.5, "b": (1, 2), "c": True}
    function = lambda x: x * kept["a"]  # noqa: E731
    before = PythonState(function)
    kept["a"], kept["b"] = float("1000.5"), tuple(range(1, 3))  # other objects, equal
    assert PythonState(function).difference(before) is None
    kept["c"] = 1
    assert "kept" in str(PythonState(function).difference(before))
    kept["c"], kept["a"] = True, -0.0
    before = PythonState(function)
    kept["a"] = 0.0
    assert "'a'" in str(PythonState(function).difference(before))
