"""A program in the place of a function: the same numbers, the same state, and its reasons."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from vaelab.compile import Program, store
from vaelab.compile import cache as making
from vaelab.compile.recording import Recording

X = torch.linspace(-1, 1, 12).view(4, 3)


class Learning:
    """Forwards, backwards and a step under autocast, with noise and a count in place."""

    def __init__(self, dtype: torch.dtype = torch.float32) -> None:
        torch.manual_seed(3)
        self.net = nn.Sequential(nn.Linear(3, 8), nn.Tanh(), nn.Linear(8, 3)).to(dtype)
        self.steps = torch.zeros((), dtype=torch.float64)

    def __call__(self, x: Tensor) -> tuple[dict[str, Tensor], list[Tensor | None]]:
        with torch.autocast("cpu", torch.bfloat16, enabled=x.dtype == torch.float32):
            y = self.net(x)
        loss = ((y.to(x.dtype) + torch.randn_like(x) - x) ** 2).mean()
        weights = list(self.net.parameters())
        with torch.no_grad():
            for p, g in zip(weights, torch.autograd.grad(loss, weights), strict=True):
                p.copy_(p - 0.1 * g)
            self.steps.add_(1)
        return {"loss": loss.detach(), "largest": y.detach().abs().amax()}, [self.steps * 2, None]

    def state(self) -> list[Tensor]:
        return [*self.net.state_dict().values(), self.steps]


@pytest.fixture
def instead(monkeypatch: pytest.MonkeyPatch) -> list[list[Tensor]]:
    """What is written down runs as it is, so that nothing is compiled; what it was last given."""
    given_last: list[list[Tensor]] = []

    def load(what: str, seen: Any, examples: Any) -> Callable[[list[Tensor]], list[Tensor]]:
        module = seen.module()
        given_last.append(list(examples))

        def run(given: list[Tensor]) -> list[Tensor]:
            found: list[Tensor] = module(*given)
            given_last[-1] = given
            return found

        return run

    monkeypatch.setattr("vaelab.compile.cache.load", load)
    return given_last


def test_it_is_the_function_with_its_noise_and_its_state(instead: list[list[Tensor]]) -> None:
    ours, theirs = Learning(), Learning()
    program = Program("it", ours)
    for seed in range(6):
        torch.manual_seed(seed)
        found, (steps, nothing) = program(X)
        torch.manual_seed(seed)
        expected, (counted, _) = theirs(X)
        assert found == expected
        assert steps == counted == 2 * (seed + 1)
        assert nothing is None
    assert len(instead) == 1
    for a, b in zip(ours.state(), theirs.state(), strict=True):
        assert torch.equal(a, b)


def test_a_cast_is_kept_and_made_anew_where_others_change_its_weight(
    instead: list[list[Tensor]],
) -> None:
    ours, theirs = Learning(), Learning()
    program = Program("it", ours, exclusive=True)
    for seed in range(8):
        if seed == 5:  # as a step outside of the program does, or weights that are put back
            for one in (ours, theirs):
                with torch.no_grad():
                    one.net[0].weight.mul_(-2)
        torch.manual_seed(seed)
        found, _ = program(X)
        torch.manual_seed(seed)
        expected, _ = theirs(X)
        assert found == expected, f"at call {seed}"
    casts = [t for t in instead[-1] if t.dtype == torch.bfloat16]
    assert len(casts) == 4, "of the weights and biases of two layers"
    (first,) = (t for t in casts if t.shape == (8, 3))
    assert torch.equal(first, ours.net[0].weight.detach().bfloat16()), "written with the weight"


def written_to(layer: nn.Linear, how: str, x: Tensor) -> Tensor:
    """A step under autocast whose weight is changed in another way, too."""
    w = layer.weight
    view = w.detach() if how in ("by name", "through a view") else w
    with torch.no_grad():
        if how == "in a list":
            torch._foreach_mul_([w], 1.5)
        elif how == "by name":
            torch.mul(view, 1.5, out=view)
    with torch.autocast("cpu", torch.bfloat16):
        y = layer(x)
    with torch.no_grad():
        w.copy_(w - 0.1)
        if how == "through a view":
            view.mul_(1.5)
    return y.detach()


@pytest.mark.parametrize("how", ["in a list", "by name", "through a view", "not"])
def test_a_cast_is_kept_only_of_what_is_written_once(instead: list[list[Tensor]], how: str) -> None:
    layer = nn.Linear(3, 3)
    program = Program("it", lambda x: written_to(layer, how, x), exclusive=True)
    for _ in range(3):
        program(X)
    assert sum(t.dtype == torch.bfloat16 for t in instead[-1]) == (how == "not")


def test_more_inputs_or_fewer_are_the_function_s(instead: list[list[Tensor]]) -> None:
    program = Program("it", lambda *rows: torch.stack(rows).sum(0))
    for _ in range(4):
        program(X, X + 1)
    assert program.run is not None
    assert torch.equal(program(X), X)
    assert torch.equal(program(X, X + 1, X + 2), torch.stack([X, X + 1, X + 2]).sum(0))


def test_without_casts_nothing_is_kept(instead: list[list[Tensor]]) -> None:
    program = Program("it", Learning(torch.float64))
    for _ in range(4):
        program(X.double())
    assert all(t.dtype == torch.float64 for t in instead[-1])


def test_other_inputs_are_the_function_s(instead: list[list[Tensor]]) -> None:
    program = Program("it", lambda x: 2 * x)
    for _ in range(5):
        assert torch.equal(program(X), 2 * X)
    assert program.run is not None

    def used(tensors: list[Tensor]) -> list[Tensor]:
        raise AssertionError("the program ran")

    program.run.run = used
    assert torch.equal(program(X[:3]), 2 * X[:3])
    assert torch.equal(program(X.double()), 2 * X.double())
    assert torch.equal(program(X.T.contiguous().T), 2 * X)
    with pytest.raises(AssertionError, match="the program ran"):
        program(X)


def test_it_waits_until_two_calls_did_the_same(instead: list[list[Tensor]]) -> None:
    kept: list[Tensor] = []

    def summed(x: Tensor) -> Tensor:
        if not kept:
            kept.append(torch.zeros(3))
        kept[0].add_(x.sum(0))
        return kept[0].clone()

    program = Program("it", summed)
    for i in range(1, 7):
        torch.testing.assert_close(program(X), i * X.sum(0))
    assert program.run is not None
    assert len(instead) == 1


def test_one_that_differs_from_call_to_call_is_left_as_it_is(
    instead: list[list[Tensor]], caplog: pytest.LogCaptureFixture
) -> None:
    calls = []

    def growing(x: Tensor) -> Tensor:
        calls.append(x)
        return x + len(calls)

    program = Program("it", growing)
    for i in range(1, 8):
        assert torch.equal(program(X), X + i)
    assert len(calls) == 7
    (message,) = caplog.messages
    assert "the variable calls of" in message
    assert "vaelab.Rise" in message
    assert instead == []


def test_a_number_changed_in_python_later_is_followed(instead: list[list[Tensor]]) -> None:
    """A weight that a person raises in Python, once an epoch."""
    weight = [1.0]
    program = Program("it", lambda x: x * weight[0])
    for _ in range(25):
        assert torch.equal(program(X), X)
    assert program.run is not None
    weight[0] = 2.0
    for _ in range(4):
        assert torch.equal(program(X), 2 * X)
    assert program.run is not None
    assert len(instead) == 2


def test_what_a_compiler_cannot_do_is_said_once(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fails(what: str, seen: Any, examples: Any) -> None:
        raise RuntimeError("no such luck\nand more")

    monkeypatch.setattr("vaelab.compile.cache.load", fails)
    program = Program("it", lambda x: x + 1)
    for _ in range(5):
        assert torch.equal(program(X), X + 1)
    assert caplog.messages == [
        "it cannot be compiled: RuntimeError: no such luck; going on without"
    ]


def test_the_name_is_of_what_is_done_and_of_what_it_is_made_for(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    learning, recording = Learning(), Recording([X])
    with recording:
        found, _ = learning(X)
    recording.close([found["loss"]])
    name = making.digest(recording)
    assert making.digest(recording) == name
    monkeypatch.setattr(torch, "get_num_threads", lambda: 7)
    assert making.digest(recording) != name


def test_the_ones_unused_for_longest_make_room(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import os

    monkeypatch.setattr(store, "MOST", 2)
    for age, name in enumerate("abcd"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "program.so").touch()
        os.utime(tmp_path / name, (1e9 - age, 1e9 - age))
    store.evict(tmp_path)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["a", "b"]


SCRIPT = """
import sys, torch
sys.path.insert(0, sys.argv[1])
from test_program import Learning, X
from vaelab.compile import Program
torch.set_num_threads(1)
learning = Learning()
program = Program("it", learning)
for seed in range(6):
    torch.manual_seed(seed)
    if seed == 5:
        with torch.no_grad():
            learning.net[0].weight.mul_(-2)
    found, _ = program(X)
assert program.run is not None, program.reason
print(float(found["loss"]), float(learning.state()[0].sum()), "torch._inductor" in sys.modules)
"""


def test_the_folder_is_the_same_from_wherever_it_is_looked_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As the compiler works in a folder of its own."""
    monkeypatch.chdir(tmp_path)
    for named in (".", "kept", "~/kept"):
        monkeypatch.setenv("VAELAB_PROGRAMS", named)
        assert store.folder().is_absolute()
    monkeypatch.setenv("VAELAB_PROGRAMS", "kept")
    assert store.folder() == tmp_path / "kept"


@pytest.mark.slow
def test_a_kept_program_is_loaded_by_another_process_without_the_compiler(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("VAELAB_PROGRAMS", str(tmp_path / "kept"))

    def run() -> list[str]:
        command = [sys.executable, "-c", SCRIPT, str(Path(__file__).parent)]
        return subprocess.run(command, check=True, capture_output=True, text=True).stdout.split()

    first = run()
    (kept,) = (tmp_path / "kept").glob("*/*.so")
    second = run()
    assert (first[2], second[2]) == ("True", "False")
    assert first[:2] == second[:2]
    assert list((tmp_path / "kept").glob("*/*.so")) == [kept]
    kept.write_bytes(b"torn")
    assert run() == first, "what is damaged is made anew"
    plain = Learning()
    for seed in range(6):
        torch.manual_seed(seed)
        if seed == 5:  # of which a program that keeps casts must take notice
            with torch.no_grad():
                plain.net[0].weight.mul_(-2)
        expected, _ = plain(X)
    assert float(first[0]) == pytest.approx(float(expected["loss"]), rel=1e-2)
    assert float(first[1]) == pytest.approx(float(plain.state()[0].sum()), rel=1e-2)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning")
def test_away_from_the_cpu_it_is_compiled_as_it_is_needed(monkeypatch: pytest.MonkeyPatch) -> None:
    """As the branch is one for accelerators, here the CPU is called one."""
    monkeypatch.setattr(making, "KEPT_ON", "cuda")
    ours, theirs = Learning(), Learning()
    program = Program("it", ours)
    for seed in range(6):
        torch.manual_seed(seed)
        found, _ = program(X)
        torch.manual_seed(seed)
        expected, _ = theirs(X)
        assert float(found["loss"]) == pytest.approx(float(expected["loss"]), rel=1e-2)
    assert program.run is not None
    for a, b in zip(ours.state(), theirs.state(), strict=True):
        torch.testing.assert_close(a, b, rtol=1e-2, atol=1e-3)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
@pytest.mark.filterwarnings("ignore")
def test_on_a_gpu_it_is_one_graph_with_noise_and_state(caplog: pytest.LogCaptureFixture) -> None:
    def learning() -> tuple[Tensor, Callable[[Tensor], Tensor]]:
        w = torch.ones(3, device="cuda")

        def step(x: Tensor) -> Tensor:
            w.add_((x + torch.randn_like(x)).sum(0))
            return w * 2

        return w, step

    (ours, step), (theirs, plain) = learning(), learning()
    program = Program("it", step)
    for seed in range(6):
        x = (X + seed).cuda()
        torch.manual_seed(seed)
        found = [program(x).clone(), program(x).clone()]
        torch.manual_seed(seed)
        for y in found:
            torch.testing.assert_close(y, plain(x))
        torch.testing.assert_close(ours, theirs)
    assert isinstance(program.run, making.Graph), caplog.messages


def test_a_trial_that_fails_leaves_everything_as_it_was(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """As CUDA graphs may, on a machine that nobody has seen."""
    ours, theirs = Learning(), Learning()

    def compile(module: Any, inputs: Any, options: Any) -> Callable[..., Any]:
        def breaks(*given: Tensor) -> Any:
            for t in module.buffers():
                t.zero_()
            torch.rand(5)
            raise RuntimeError("capture failed")

        return breaks

    monkeypatch.setattr(making, "KEPT_ON", "cuda")
    monkeypatch.setattr(torch._inductor, "compile", compile)
    program = Program("it", ours)
    for seed in range(5):
        torch.manual_seed(seed)
        found, _ = program(X)
        after = torch.rand(3)
        torch.manual_seed(seed)
        assert found == theirs(X)[0]
        assert torch.equal(after, torch.rand(3))
    assert [line for line in caplog.messages if "cannot" in line] == [
        "it cannot be compiled: RuntimeError: capture failed; going on without"
    ]
