"""The store of compiled programs: private folders, checks before loading, and its clearing."""

from __future__ import annotations

import os
import platform
import stat
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from vaelab.compile import cache, store
from vaelab.compile.recording import Recording

posix = pytest.mark.skipif(os.name != "posix", reason="owners and modes are those of POSIX")

X = torch.ones(2, 3)


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder for programs, named by the environment, that is not there yet."""
    monkeypatch.setenv("VAELAB_PROGRAMS", str(tmp_path / "a" / "b"))
    return tmp_path / "a" / "b"


class Compiler:
    """A stand-in for the compiler that writes a file, and for the loader that reads it."""

    def __init__(self) -> None:
        self.compiled, self.loaded = 0, list[Path]()

    def compile(self, module: Any, examples: Any, options: dict[str, Any]) -> None:
        self.compiled += 1
        Path(options["aot_inductor.output_path"]).write_bytes(b"code")

    def load(self, place: Path) -> Callable[[list[Tensor]], list[Tensor]]:
        self.loaded.append(place)
        assert (place / store.LIBRARY).read_bytes() == b"code"
        return lambda given: given


@pytest.fixture
def compiler(monkeypatch: pytest.MonkeyPatch) -> Compiler:
    found = Compiler()
    monkeypatch.setattr(torch._inductor, "aot_compile", found.compile)
    monkeypatch.setattr(cache, "load_artifact", found.load)
    return found


def load(number: float = 2.0) -> Path:
    """Load or compile a program that multiplies by a number; its place in the store."""
    recording = Recording([X])
    with recording:
        y = X * number
    recording.close([y])
    cache.load("a product", recording, [X])
    return store.folder() / cache.digest(recording)


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


@pytest.fixture
def open_umask() -> Iterator[None]:
    before = os.umask(0)
    yield
    os.umask(before)


@posix
@pytest.mark.usefixtures("open_umask")
def test_folders_are_closed_to_others_whatever_the_umask(place: Path, compiler: Compiler) -> None:
    kept = load()
    assert [mode(p) for p in (place.parent, place, kept)] == [0o700] * 3
    assert {p.name: mode(p) for p in kept.iterdir()} == {"program.so": 0o600, "sha256": 0o600}


def test_a_kept_program_is_loaded_and_not_compiled_again(place: Path, compiler: Compiler) -> None:
    kept = load()
    load()
    assert compiler.compiled == 1
    assert compiler.loaded[-1] == kept
    assert load(3.0) != kept
    assert compiler.compiled == 2


def other_user(kept: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 4711)
    if os.getuid() == 0:
        for path in (kept, *kept.iterdir()):
            os.chown(path, 4712, -1)


def linked_file(kept: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    target = kept.parent.parent / "other.so"
    (kept / "program.so").rename(target)
    (kept / "program.so").symlink_to(target)


def linked_folder(kept: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    target = kept.parent.parent / "other"
    kept.rename(target)
    kept.symlink_to(target)


def linked_store(kept: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    target = kept.parent.parent / "other"
    kept.parent.rename(target)
    kept.parent.symlink_to(target)


def linked_parent(kept: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    above = kept.parent.parent
    above.rename(above.with_name("other"))
    above.symlink_to(above.with_name("other"))


def writable(relative: str, bits: int) -> Callable[[Path, pytest.MonkeyPatch], None]:
    def change(kept: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        path = (kept / relative).resolve()
        path.chmod(mode(path) | bits)

    return change


@posix
@pytest.mark.parametrize(
    ("tamper", "named"),
    [
        pytest.param(
            other_user,
            "belongs to user",
            marks=pytest.mark.skipif(os.getuid() != 0, reason="only root can give files away"),
        ),
        (linked_file, "program.so is a link"),
        (linked_folder, "is a link"),
        (linked_store, "b is a link"),
        (linked_parent, "a is a link"),
        (writable("program.so", 0o020), "program.so may be written by others"),
        (writable("program.so", 0o002), "program.so may be written by others"),
        (writable("sha256", 0o002), "sha256 may be written by others"),
        (writable(".", 0o002), "may be written by others"),
        (writable("..", 0o020), "b may be written by others (mode 0720)"),
        (writable("../..", 0o002), "a may be written by others"),
    ],
)
def test_nothing_is_loaded_that_others_may_have_written(
    place: Path,
    compiler: Compiler,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
    tamper: Callable[[Path, pytest.MonkeyPatch], None],
    named: str,
) -> None:
    kept = load()
    tamper(kept, monkeypatch)
    load()
    assert compiler.compiled == 2, "compiled for this process"
    assert not compiler.loaded[-1].is_relative_to(place), "and not kept"
    assert not compiler.loaded[-1].exists()
    (message,) = caplog.messages
    assert "neither loaded nor kept" in message
    assert named in message


@posix
def test_a_sticky_folder_above_passes(place: Path, compiler: Compiler) -> None:
    kept = load()
    place.parent.chmod(0o1777)
    load()
    assert compiler.loaded[-1] == kept


@pytest.mark.parametrize("how", ["torn", "without its sum", "half gone", "with a wrong sum"])
def test_a_damaged_program_is_compiled_anew(place: Path, compiler: Compiler, how: str) -> None:
    kept = load()
    match how:
        case "torn":
            (kept / "program.so").write_bytes(b"co")
        case "without its sum":
            (kept / "sha256").unlink()
        case "half gone":
            (kept / "program.so").unlink()
        case _:
            (kept / "sha256").write_bytes(b"\xff")
    load()
    assert compiler.compiled == 2
    assert (kept / "program.so").read_bytes() == b"code"
    load()
    assert compiler.compiled == 2
    assert list(place.iterdir()) == [kept]


def test_another_process_may_be_first(
    place: Path, compiler: Compiler, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its folder stays as it is, as it may have been loaded."""
    kept = load()
    inode = kept.stat().st_ino
    monkeypatch.setattr(os.path, "lexists", lambda path: False)  # not there a moment ago
    load()
    assert compiler.compiled == 2
    assert kept.stat().st_ino == inode
    assert list(place.iterdir()) == [kept]


def test_leftovers_of_a_broken_compilation_are_cleared(place: Path, compiler: Compiler) -> None:
    load()
    ended = subprocess.Popen([sys.executable, "-c", ""])
    ended.wait()
    mine, gone = (f"building-{platform.node()}-{pid}-x" for pid in (os.getpid(), ended.pid))
    for name in (mine, gone, "building-elsewhere-1-x"):
        (place / name).mkdir()
    load(3.0)
    left = {p.name for p in place.iterdir() if p.name.startswith("building")}
    assert left == {mine, "building-elsewhere-1-x"}


def test_the_compilers_own_cache_is_of_this_process(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("TORCHINDUCTOR_CACHE_DIR", raising=False)
    with cache.private_compiler_cache():
        folder = Path(os.environ["TORCHINDUCTOR_CACHE_DIR"])
        assert mode(folder) == 0o700
    assert "TORCHINDUCTOR_CACHE_DIR" not in os.environ
    monkeypatch.setenv("TORCHINDUCTOR_CACHE_DIR", "/chosen")
    with cache.private_compiler_cache():
        assert os.environ["TORCHINDUCTOR_CACHE_DIR"] == "/chosen"


@posix
@pytest.mark.skipif(os.getuid() == 0, reason="root may write anywhere")
def test_a_store_that_can_only_be_read_is_not_written_to(
    place: Path, compiler: Compiler, caplog: pytest.LogCaptureFixture
) -> None:
    kept = load()
    place.chmod(0o500)
    load()
    assert compiler.loaded[-1] == kept
    load(3.0)
    assert "cannot be written to" in caplog.messages[-1]
    place.chmod(0o700)


SCRIPT = """
import sys, torch
from vaelab.compile import Program
torch.set_num_threads(1)
w = torch.ones(3)
program = Program("it", lambda x: w.add_(x.sum(0)) * 2)
for _ in range(4):
    y = program(torch.ones(2, 3))
assert program.run is not None, program.reason
print(y.tolist())
"""


@pytest.mark.slow
def test_two_processes_may_compile_the_same_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("VAELAB_PROGRAMS", str(tmp_path / "kept"))
    command = [sys.executable, "-c", SCRIPT]
    pipes = dict.fromkeys(("stdout", "stderr"), subprocess.PIPE)
    running = [subprocess.Popen(command, text=True, **pipes) for _ in range(2)]  # type: ignore[call-overload]
    for process in running:
        out, errors = process.communicate()
        assert process.returncode == 0, errors
        assert out.strip() == str([18.0] * 3)
    assert len(list((tmp_path / "kept").iterdir())) == 1
