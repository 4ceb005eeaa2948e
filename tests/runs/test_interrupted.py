"""Signals, locks and failing disks: what a training keeps, and what it says."""

from __future__ import annotations

import dataclasses
import errno
import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from vaelab import recipes
from vaelab.commands.main import main
from vaelab.data import Data
from vaelab.data import load as load_data
from vaelab.recipes.design import Design
from vaelab.runs import checkpoints
from vaelab.runs.checkpointer import NotSaved
from vaelab.runs.load import load
from vaelab.runs.train import train
from vaelab.training import Plan, Row
from vaelab.training.record import Sums
from vaelab.utils import atomic_files
from vaelab.utils.lock import Lock, Locked
from vaelab.utils.signals import Interrupted, deferred

PLAN = Plan(epochs=2, batch_size=100)


@pytest.fixture(scope="module")
def digits() -> Data:
    whole = load_data("digits8x8")
    return dataclasses.replace(whole, train=whole.train.take(torch.arange(330)))


@pytest.fixture(autouse=True)
def at_every_step(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Sums, "due", lambda self: True)


class At:
    """Does something after a step."""

    def __init__(self, step: int, what: Callable[[], Any]) -> None:
        self.step, self.what = step, what

    def on_step(self, step: int, steps: int, row: Row) -> None:
        if step == self.step:
            self.what()

    def on_epoch(self, row: Row, best: Any) -> None: ...


def run(data: Data, out: Path, **settings: Any) -> Any:
    return train(small(data), data, PLAN, out=out, **settings)


def small(data: Data) -> Any:
    return recipes.vae(data.spec, latent=2, design=Design(width=16))


def bytes_of(folder: Path) -> list[bytes]:
    return [(folder / name).read_bytes() for name in ("weights.safetensors", "metrics.jsonl")]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("step", [1, 4, 7])
def test_a_signal_keeps_the_step_and_says_how_to_go_on(
    number: signal.Signals, step: int, tmp_path: Path, digits: Data
) -> None:
    handlers = [signal.getsignal(n) for n in (signal.SIGINT, signal.SIGTERM)]
    listener = At(step, lambda: os.kill(os.getpid(), number))
    with pytest.raises(Interrupted) as error:
        run(digits, tmp_path / "run", callbacks=[listener])
    assert error.value.signal == number
    assert f"{number.name} after step {step}" in str(error.value)
    assert f"vaelab train --resume {tmp_path / 'run'}" in str(error.value)
    assert f"step-{step}" in str(error.value)
    assert [signal.getsignal(n) for n in (signal.SIGINT, signal.SIGTERM)] == handlers
    run(digits, tmp_path / "run", resume=True)
    run(digits, tmp_path / "whole")
    assert bytes_of(tmp_path / "run") == bytes_of(tmp_path / "whole")


def test_a_second_signal_ends_at_once() -> None:
    with deferred() as request:
        os.kill(os.getpid(), signal.SIGINT)
        assert request.signal == signal.SIGINT
        with pytest.raises(Interrupted, match="twice"):
            os.kill(os.getpid(), signal.SIGINT)


def test_a_signal_that_is_ignored_stays_so() -> None:
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        with deferred() as request:
            os.kill(os.getpid(), signal.SIGINT)
            assert request.signal is None
        assert signal.getsignal(signal.SIGINT) is signal.SIG_IGN
    finally:
        signal.signal(signal.SIGINT, before)


@pytest.mark.parametrize(("number", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_the_command_goes_on_after_a_signal(
    number: int,
    status: int,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    from vaelab.commands import train as command

    words = ["train", "vae", "--data", "digits8x8", "--width", "16", "--epochs", "2", "--out"]
    monkeypatch.chdir(tmp_path)
    assert main([*words, "whole"]) == 0
    whole = command.train

    def signalled(*given: Any, progress: bool, **settings: Any) -> Any:
        return whole(*given, callbacks=[At(5, lambda: os.kill(os.getpid(), number))], **settings)

    with monkeypatch.context() as patch:
        patch.setattr(command, "train", signalled)
        assert main([*words, "run"]) == status
    said = capsys.readouterr().err
    assert "step-5" in said
    assert "vaelab train --resume run" in said
    assert main(["sample", "run", "-n", "2"]) == 2
    assert "vaelab train --resume run" in capsys.readouterr().err
    assert main(["train", "--resume", "run"]) == 0
    assert bytes_of(tmp_path / "run") == bytes_of(tmp_path / "whole")
    assert main(["train", "--resume", "run"]) == 0
    assert main(["train", "--resume", "nothing"]) == 2
    assert "no training to go on with" in capsys.readouterr().err


def test_another_process_is_named_and_refused(tmp_path: Path, digits: Data) -> None:
    script = (
        "import sys; from pathlib import Path; from vaelab.utils.lock import Lock\n"
        "lock = Lock(Path(sys.argv[1])); print('held', flush=True); sys.stdin.read()"
    )
    folder = tmp_path / "run"
    folder.mkdir()
    with subprocess.Popen(
        [sys.executable, "-c", script, str(folder / "training.lock")],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == "held\n"
        for settings in ({}, {"overwrite": True}, {"resume": True}):
            with pytest.raises(Locked, match=f"process {other.pid} on "):
                run(digits, folder, **settings)
        assert [p.name for p in folder.iterdir()] == ["training.lock"]
        other.kill()
    run(digits, folder)  # what a killed process leaves blocks nobody
    assert not (folder / "training.lock").exists()


def test_a_second_training_of_this_process_is_refused(tmp_path: Path, digits: Data) -> None:
    folder = tmp_path / "run"

    def again() -> None:
        with pytest.raises(Locked, match="another training of this process"):
            run(digits, folder, overwrite=True)

    run(digits, folder, callbacks=[At(2, again)])
    assert len(load(folder).history) == 2


def test_a_lock_is_given_back(tmp_path: Path) -> None:
    path = tmp_path / "training.lock"
    lock = Lock(path)
    about = json.loads(path.read_text())
    assert about["process"] == os.getpid()
    assert about["host"]
    lock.release()
    assert not path.exists()
    Lock(path).release()


def test_a_save_that_fails_is_tried_again(
    tmp_path: Path, digits: Data, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    write, append, failures = checkpoints.write, atomic_files.append, []

    def full(*given: Any) -> Any:
        failures.append(given)
        if len(failures) < 4:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return write(*given)

    def lost(*given: Any) -> Any:
        monkeypatch.setattr(atomic_files, "append", append)
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    monkeypatch.setattr(checkpoints, "write", full)
    monkeypatch.setattr(atomic_files, "append", lost)
    run(digits, tmp_path / "run", checkpoint_every=0.0)
    said = [m for m in caplog.messages if "could not be saved" in m]
    assert len(said) == 4
    assert any("No space left" in m for m in said)
    assert len(load(tmp_path / "run").history) == 2
    monkeypatch.undo()
    run(digits, tmp_path / "whole")
    assert bytes_of(tmp_path / "run") == bytes_of(tmp_path / "whole")


def test_a_last_save_that_fails_ends_with_what_was_kept(
    tmp_path: Path, digits: Data, monkeypatch: pytest.MonkeyPatch
) -> None:
    from vaelab.runs.run import Run

    def full(self: Run, *given: Any) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(given[0]))

    with monkeypatch.context() as patch:
        patch.setattr(Run, "save", full)
        with pytest.raises(NotSaved, match=r"No space left.*vaelab train --resume"):
            run(digits, tmp_path / "run", checkpoint_every=0.0)
    run(digits, tmp_path / "run", resume=True)
    run(digits, tmp_path / "whole")
    assert bytes_of(tmp_path / "run") == bytes_of(tmp_path / "whole")


def test_a_folder_that_is_removed_while_training_is_made_again(
    tmp_path: Path, digits: Data
) -> None:
    import shutil

    folder = tmp_path / "run"
    run(digits, folder, callbacks=[At(2, lambda: shutil.rmtree(folder))], checkpoint_every=0.0)
    assert len(load(folder).history) == 2
