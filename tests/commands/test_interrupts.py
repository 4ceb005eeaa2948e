"""Interrupts: what was reached is kept and reported, and the status is that of the signal."""

import importlib
import json
import os
import signal
import subprocess
import sys
import threading
import time

import numpy as np
import pytest

from vaelab.commands import main as cli
from vaelab.data import load
from vaelab.understand import UNFINISHED, understand

BOTH = [(signal.SIGINT, 130), (signal.SIGTERM, 143)]


@pytest.mark.parametrize(("number", "status"), BOTH)
@pytest.mark.parametrize("ends", [True, False])
def test_a_signal_decides_the_status_even_of_a_command_that_keeps_its_results(
    monkeypatch, number, status, ends
):
    before = signal.getsignal(number)

    def run(args):
        try:
            os.kill(os.getpid(), number)
            time.sleep(5)
            pytest.fail("the signal raised nothing")
        except KeyboardInterrupt:
            if ends:
                return 0
            raise

    monkeypatch.setattr(cli, "_run", run)
    assert cli.main(["any"]) == status
    assert signal.getsignal(number) is before
    monkeypatch.setattr(cli, "_run", lambda args: 0)
    assert cli.main(["any"]) == 0


def test_signals_that_the_parent_ignores_stay_ignored(monkeypatch):
    def run(args):
        os.kill(os.getpid(), signal.SIGTERM)
        return 0

    before = signal.signal(signal.SIGTERM, signal.SIG_IGN)
    try:
        monkeypatch.setattr(cli, "_run", run)
        assert cli.main(["any"]) == 0
    finally:
        signal.signal(signal.SIGTERM, before)


def test_a_command_runs_outside_the_main_thread(monkeypatch):
    monkeypatch.setattr(cli, "_run", lambda args: 0)
    found = []
    thread = threading.Thread(target=lambda: found.append(cli.main(["any"])))
    thread.start()
    thread.join()
    assert found == [0]


class StopAt:
    """Watcher that interrupts at a step of a model of a phase."""

    def __init__(self, phase, name, done):
        self.at = (phase, name, done)

    def on_progress(self, phase, name, done, total):
        if (phase, name) == self.at[:2] and done >= self.at[2]:
            raise KeyboardInterrupt


@pytest.fixture
def rows(tmp_path, monkeypatch):
    """Small data, with small networks and few draws behind the figures."""
    sizes = {"study": {"WIDTH": 8}, "measure": {"SAMPLES": 200, "PRIOR_DRAWS": 400}}
    for module, values in sizes.items():
        for name, value in values.items():
            monkeypatch.setattr(importlib.import_module(f"vaelab.understand.{module}"), name, value)
    np.save(tmp_path / "rows.npy", np.random.default_rng(0).normal(size=(300, 3)))
    return load(tmp_path / "rows.npy")


def interrupted(rows, folder, *at, epochs=2):
    with pytest.raises(KeyboardInterrupt):
        understand(rows, out=folder, wide=3, epochs=epochs, watcher=StopAt(*at))
    kept = folder / UNFINISHED
    assert not (folder / "index.html").exists()
    return json.loads(kept.read_text())["models"] if kept.exists() else None


def test_a_study_keeps_the_models_that_are_done_and_lists_them(rows, tmp_path):
    models = interrupted(rows, tmp_path / "one", "train", "kl-only-2", 1)
    assert {name: model["ending"] for name, model in models.items()} == {"ae-2": "finished"}
    assert (tmp_path / "one" / models["ae-2"]["run"] / "weights.safetensors").is_file()
    assert models["ae-2"]["figures"] is None
    assert np.isfinite(models["ae-2"]["valid_loss"])
    # One that has a complete epoch is kept as well, and says that it was interrupted.
    models = interrupted(rows, tmp_path / "two", "train", "kl-only-2", 20, epochs=200)
    assert [model["ending"] for model in models.values()] == ["finished", "interrupted"]
    assert interrupted(rows, tmp_path / "three", "train", "ae-2", 1) is None


def test_a_study_interrupted_while_it_measures_keeps_the_figures_so_far(rows, tmp_path):
    models = interrupted(rows, tmp_path / "study", "measure", "reconstruction-only-2", 0, epochs=1)
    assert len(models) == 8
    measured = [name for name, model in models.items() if model["figures"] is not None]
    assert measured == ["ae-2", "kl-only-2"]
    assert models["ae-2"]["figures"]["rate"] == {"value": None, "why": "point"}


def test_too_few_rows_for_thresholds_are_refused_before_any_training(tmp_path):
    np.save(tmp_path / "few.npy", np.random.default_rng(0).normal(size=(90, 3)))
    with pytest.raises(ValueError, match="18 held-out rows") as refused:
        understand(load(tmp_path / "few.npy"), out=tmp_path / "study", wide=3, epochs=1)
    assert "20" in str(refused.value)
    assert not (tmp_path / "study").exists()


def _wait_for_an_epoch(folder):
    for _ in range(600):
        if any(file.stat().st_size for file in folder.rglob("metrics.jsonl")):
            return
        time.sleep(0.2)
    pytest.fail("no epoch was complete within two minutes")


@pytest.mark.slow
@pytest.mark.parametrize(("number", "status"), BOTH)
@pytest.mark.parametrize("command", ["train", "sweep", "understand"])
def test_real_signals_end_a_command_with_what_it_has(tmp_path, rows, command, number, status):
    data = ["--data", str(tmp_path / "rows.npy"), "--out", str(tmp_path / "out")]
    args = {
        "train": ["train", "vae", *data, "--epochs", "9000", "--compile", "off"],
        "sweep": ["sweep", "vae", *data, "--latent", "2,3", "--epochs", "9000"],
        "understand": ["understand", *data, "--wide", "3", "--epochs", "9000"],
    }[command]
    if command == "sweep":
        args += ["--compile", "off"]
    program = "import sys; from vaelab.commands.main import main; sys.exit(main())"
    process = subprocess.Popen(
        [sys.executable, "-c", program, *args], stderr=subprocess.PIPE, text=True
    )
    _wait_for_an_epoch(tmp_path / "out")
    process.send_signal(number)
    _, messages = process.communicate(timeout=120)
    assert process.returncode == status, messages
    assert "Traceback" not in messages
    report = {
        "train": "unfinished/weights.safetensors",
        "sweep": "sweep.json",
        "understand": UNFINISHED,
    }
    assert (tmp_path / "out" / report[command]).is_file()
