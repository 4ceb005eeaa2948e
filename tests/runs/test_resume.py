"""A training that is broken off and goes on comes to the run of one that was not, bit for bit."""

from __future__ import annotations

import dataclasses
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from vaelab import recipes
from vaelab.data import Data
from vaelab.data import load as load_data
from vaelab.recipes.design import Design
from vaelab.recipes.registry import Recipe
from vaelab.runs import checkpoints
from vaelab.runs.load import load
from vaelab.runs.train import train
from vaelab.training import Plan, Row
from vaelab.training.record import Sums

# 330 rows: three full batches of each epoch and one of 30.
PLAN = Plan(epochs=3, batch_size=100)

COMPARED = ("weights.safetensors", "optimizer.safetensors", "metrics.jsonl")


@pytest.fixture(scope="module")
def digits() -> Data:
    whole = load_data("digits8x8")
    first, valid = torch.arange(330), torch.arange(110)
    return dataclasses.replace(whole, train=whole.train.take(first), valid=whole.valid.take(valid))


@pytest.fixture(autouse=True)
def at_every_step(monkeypatch: pytest.MonkeyPatch) -> None:
    """Call the listener at every step, whatever the time."""
    monkeypatch.setattr(Sums, "due", lambda self: True)


def small(data: Data, name: str = "vae", **design: Any) -> Recipe:
    return getattr(recipes, name)(data.spec, design=Design(width=16, **design))


class Copies:
    """Keeps the folder as it is at every step and epoch: as a death then would leave it."""

    def __init__(self, folder: Path, to: Path) -> None:
        self.folder, self.to = folder, to

    def on_step(self, step: int, steps: int, row: Row) -> None:
        shutil.copytree(self.folder, self.to / f"step-{step}")

    def on_epoch(self, row: Row, best: Any) -> None:
        shutil.copytree(self.folder, self.to / f"epoch-{row['epoch']:.0f}")


def content(folder: Path) -> list[bytes]:
    return [(folder / name).read_bytes() for name in COMPARED]


CASES: dict[str, tuple[Callable[[Data], Recipe], Plan]] = {
    "averaged": (small, dataclasses.replace(PLAN, ema=0.9)),
    "patience": (small, dataclasses.replace(PLAN, patience=2)),
    "adversarial": (lambda data: small(data, "wae_gan"), PLAN),
    "codebook": (lambda data: small(data, "vq"), PLAN),
    "multiplier": (lambda data: small(data, "geco"), PLAN),
    "ladder": (lambda data: small(data, "ladder"), PLAN),
    "schedule": (lambda data: small(data, "annealed"), PLAN),
    "conditional": (lambda data: small(data, condition="labels"), PLAN),
}


@pytest.mark.parametrize("name", CASES)
def test_a_death_at_any_step_changes_no_byte(name: str, tmp_path: Path, digits: Data) -> None:
    make, plan = CASES[name]
    whole = tmp_path / "whole"
    train(make(digits), digits, plan, out=whole, callbacks=[Copies(whole, tmp_path)])
    for moment in ("step-1", "step-3", "epoch-1", "step-6", "step-7", "epoch-3"):
        folder = tmp_path / f"{moment}-resumed"
        shutil.copytree(tmp_path / moment, folder)
        train(make(digits), digits, plan, out=folder, resume=True)
        assert content(folder) == content(whole), moment


@pytest.mark.parametrize("moment", ["step-1", "step-2", "step-3", "step-6", "step-14", "epoch-3"])
def test_a_compiled_step_is_compiled_again_at_the_same_steps(
    moment: str, tmp_path: Path, digits: Data, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With the graph run operator by operator, which differs from the eager step by rounding."""

    def interpreted(name: str, recording: Any, examples: Any) -> Callable[..., Any]:
        module = recording.module()
        return lambda given: module(*given)

    monkeypatch.setattr("vaelab.compile.cache.load", interpreted)
    monkeypatch.setattr("vaelab.compile.program.SELDOM", 2)
    plan = dataclasses.replace(PLAN, epochs=4, compile="on", ema=0.9)
    whole, folder = tmp_path / "whole", tmp_path / "resumed"
    for out, listener in ((whole, Copies(whole, tmp_path)), (folder, None)):
        if out == folder:
            shutil.copytree(tmp_path / moment, folder)
        train(
            *(small(digits, "vq"), digits, plan),
            out=out,
            callbacks=[listener] if listener else (),
            checkpoint_every=0.0,
            resume=True,
        )
    assert content(folder) == content(whole)
    eager = tmp_path / "eager"
    train(small(digits, "vq"), digits, dataclasses.replace(plan, compile="off"), out=eager)
    assert content(eager) != content(whole)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning")
@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_machine_code_goes_on_bit_for_bit(precision: Any, tmp_path: Path, digits: Data) -> None:
    plan = dataclasses.replace(PLAN, epochs=4, compile="on", precision=precision)
    whole = tmp_path / "whole"
    listener = Copies(whole, tmp_path)
    train(small(digits), digits, plan, out=whole, callbacks=[listener], checkpoint_every=0.0)
    for moment in ("step-1", "step-6", "step-14"):
        folder = tmp_path / f"{moment}-resumed"
        shutil.copytree(tmp_path / moment, folder)
        train(small(digits), digits, plan, out=folder, resume=True)
        assert content(folder) == content(whole), moment


def every_step(data: Data, out: Path, **settings: Any) -> None:
    train(small(data), data, PLAN, out=out, checkpoint_every=0.0, **settings)


@pytest.fixture(scope="module")
def whole(digits: Data, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A training with a checkpoint at every step, and copies of its folder."""
    folder = tmp_path_factory.mktemp("whole")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Sums, "due", lambda self: True)
        every_step(digits, folder / "run", callbacks=[Copies(folder / "run", folder)])
    return folder


def copied(whole: Path, moment: str, to: Path) -> Path:
    shutil.copytree(whole / moment, to)
    return to


def latest(folder: Path) -> list[str]:
    return [p.name for p in checkpoints.numbered(folder / "unfinished" / "checkpoints")]


def test_the_last_two_checkpoints_are_kept(whole: Path) -> None:
    assert latest(whole / "step-1") == []
    assert latest(whole / "step-6") == ["step-5", "step-4"]
    assert latest(whole / "epoch-1") == ["step-3", "step-2"]


@pytest.mark.parametrize("moment", ["step-2", "step-4", "step-5", "step-12", "epoch-2"])
def test_from_a_checkpoint_at_any_place_of_an_epoch(
    moment: str, whole: Path, tmp_path: Path, digits: Data
) -> None:
    folder = copied(whole, moment, tmp_path / "run")
    every_step(digits, folder, resume=True)
    assert content(folder) == content(whole / "run")
    assert not (folder / "unfinished").exists()


def test_twice_within_an_epoch(whole: Path, tmp_path: Path, digits: Data) -> None:
    first = copied(whole, "step-6", tmp_path / "first")
    every_step(digits, first, resume=True, callbacks=[Copies(first, tmp_path)])
    second = copied(tmp_path, "step-7", tmp_path / "second")
    every_step(digits, second, resume=True)
    assert content(second) == content(whole / "run")


@pytest.mark.parametrize("file", ["state.safetensors", "state.json", "history.jsonl", "SHA256SUMS"])
@pytest.mark.parametrize("how", ["torn", "altered", "missing"])
def test_a_damaged_checkpoint_falls_back_to_the_one_before(
    file: str, how: str, whole: Path, tmp_path: Path, digits: Data, caplog: pytest.LogCaptureFixture
) -> None:
    folder = copied(whole, "step-7", tmp_path / "run")
    path = folder / "unfinished" / "checkpoints" / "step-6" / file
    data = path.read_bytes()
    if how == "missing":
        path.unlink()
    else:
        path.write_bytes(data[: len(data) // 2] if how == "torn" else b"\x01" + data[1:])
    state = checkpoints.latest(folder / "unfinished" / "checkpoints")
    assert state is not None
    assert state.facts["step"] == 5
    assert "step-6 cannot be used" in caplog.text
    if file == "state.safetensors" and how == "torn":
        every_step(digits, folder, resume=True)
        assert content(folder) == content(whole / "run")


def test_without_any_whole_checkpoint_it_begins_anew(
    whole: Path, tmp_path: Path, digits: Data
) -> None:
    folder = copied(whole, "step-7", tmp_path / "run")
    for path in (folder / "unfinished" / "checkpoints").glob("*/state.safetensors"):
        path.write_bytes(b"")
    every_step(digits, folder, resume=True)
    assert content(folder) == content(whole / "run")


def test_a_death_during_the_write_of_a_checkpoint(
    whole: Path, tmp_path: Path, digits: Data, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Death(BaseException):
        pass

    flush, folder = checkpoints.flush, tmp_path / "run"

    def dies(place: Path) -> None:
        if place.name.startswith(".") and (place.parent / "step-5").exists():
            shutil.copytree(folder, tmp_path / "died", dirs_exist_ok=True)
            raise Death
        flush(place)

    monkeypatch.setattr(checkpoints, "flush", dies)
    with pytest.raises(Death):
        every_step(digits, folder)
    monkeypatch.undo()
    left = [p.name for p in (tmp_path / "died" / "unfinished" / "checkpoints").iterdir()]
    assert any(name.startswith(".") for name in left)
    every_step(digits, tmp_path / "died", resume=True)
    assert content(tmp_path / "died") == content(whole / "run")


@pytest.mark.parametrize("moved", range(7))
def test_a_death_while_files_of_an_old_run_are_replaced(
    moved: int, whole: Path, tmp_path: Path, digits: Data, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Death(BaseException):
        pass

    folder = tmp_path / "run"
    plan = dataclasses.replace(PLAN, epochs=1, seed=5)
    train(small(digits), digits, plan, out=folder)
    old = (folder / "recipe.json").read_bytes()
    replace, count = Path.replace, 0

    def dies(self: Path, target: Any) -> Path:
        nonlocal count
        if self.parent.name == "unfinished" and Path(target).parent == folder:
            if count == moved:
                shutil.copytree(folder, tmp_path / "died")
                raise Death
            count += 1
        return replace(self, target)

    with monkeypatch.context() as patch:
        patch.setattr(Path, "replace", dies)
        if moved < 6:
            with pytest.raises(Death):
                every_step(digits, folder, overwrite=True)
        else:
            every_step(digits, folder, overwrite=True)
            shutil.copytree(folder, tmp_path / "died")
    died = tmp_path / "died"
    if 0 < moved < 6:
        assert (died / "recipe.json").read_bytes() == old
        with pytest.raises(ValueError, match=r"is not the file .* --resume"):
            load(died)
    every_step(digits, died, resume=True)
    assert content(died) == content(whole / "run")
    assert load(died).training["seed"] == 0


def test_a_complete_run_is_read_and_left_as_it_is(
    whole: Path, tmp_path: Path, digits: Data
) -> None:
    folder = copied(whole, "run", tmp_path / "run")
    before = (folder / "recipe.json").stat().st_mtime_ns
    every_step(digits, folder, resume=True)
    assert (folder / "recipe.json").stat().st_mtime_ns == before
    other = dataclasses.replace(PLAN, lr=0.5)
    with pytest.raises(ValueError, match=r"training lr is 0\.5 and was 0\.002"):
        train(small(digits), digits, other, out=folder, resume=True)


def test_another_training_is_not_gone_on_with(whole: Path, tmp_path: Path, digits: Data) -> None:
    folder = copied(whole, "step-7", tmp_path / "run")
    with pytest.raises(ValueError, match="recipe is 'ae' and was 'vae'"):
        train(small(digits, "ae"), digits, PLAN, out=folder, resume=True)
    assert latest(folder) == ["step-6", "step-5"], "nothing is lost"
    with pytest.raises(ValueError, match="one of them"):
        every_step(digits, folder, resume=True, overwrite=True)


def test_a_training_to_go_on_with_is_neither_read_nor_replaced(
    whole: Path, tmp_path: Path, digits: Data
) -> None:
    folder = copied(whole, "step-7", tmp_path / "run")
    with pytest.raises(FileNotFoundError, match=r"has not ended.*vaelab train --resume"):
        load(folder)
    with pytest.raises(ValueError, match=r"did not end.*vaelab train --resume"):
        every_step(digits, folder)
    assert latest(folder) == ["step-6", "step-5"]


def test_before_the_first_checkpoint_nothing_blocks_a_retry(
    whole: Path, tmp_path: Path, digits: Data
) -> None:
    folder = copied(whole, "step-1", tmp_path / "run")
    every_step(digits, folder)
    assert content(folder) == content(whole / "run")
    assert sorted(p.name for p in folder.iterdir() if p.name.startswith((".", "unf"))) == []


def test_overwriting_keeps_an_old_training_until_the_new_one_reaches_something(
    whole: Path, tmp_path: Path, digits: Data
) -> None:
    class Fails:
        def on_step(self, step: int, steps: int, row: Row) -> None:
            raise RuntimeError("of the listener")

        def on_epoch(self, row: Row, best: Any) -> None: ...

    folder = copied(whole, "step-7", tmp_path / "run")
    with pytest.raises(RuntimeError, match="of the listener"):
        every_step(digits, folder, overwrite=True, callbacks=[Fails()])
    assert latest(folder) == ["step-6", "step-5"]
    every_step(digits, folder, resume=True)
    assert content(folder) == content(whole / "run")


def test_clocks_are_in_a_file_of_their_own(whole: Path) -> None:
    rows = [json.loads(line) for line in (whole / "run" / "metrics.jsonl").read_text().splitlines()]
    assert all(not {"seconds", "images_per_s"} & row.keys() for row in rows)
    history = load(whole / "run").history
    assert [row["epoch"] for row in history] == [1, 2, 3]
    assert all(row["seconds"] > 0 and row["images_per_s"] > 0 for row in history)
