"""What is seen while a training goes on."""

import io
from types import SimpleNamespace

import pytest
from rich.console import Console

from vaelab.commands import training_progress
from vaelab.commands.train import table
from vaelab.commands.training_progress import Watch
from vaelab.training.record import figures
from vaelab.utils.progress import counting, following

ROW = {
    "epoch": 1,
    "loss": 105.25,
    "rate": 25.0,
    "distortion": 80.25,
    "valid_loss": 104.0,
    "valid_rate": 24.0,
    "valid_distortion": 80.0,
    "active_units": 18.0,
    "images_per_s": 12_300.0,
}


def watched(terminal):
    out = io.StringIO()
    console = Console(file=out, force_terminal=terminal, width=80, no_color=True)
    with Watch(3, 1, console) as watch:
        watch.on_epoch(ROW, None)
        watch.on_step(5, 30, ROW)
        watch.on_step(10, 30, ROW)
        watch.progress.refresh()
    return out.getvalue()


def test_a_terminal_sees_one_live_line():
    seen = watched(terminal=True)
    for text in ("2/3", "loss 105.2", "rate 25.0", "distortion 80.2", "18 active", "/s"):
        assert text in seen
    assert "…" not in seen  # nothing is cut off at 80 columns


def test_a_file_sees_a_line_now_and_then(capsys, monkeypatch):
    assert watched(terminal=False) == ""
    assert capsys.readouterr().err == ""
    monkeypatch.setattr(training_progress, "LOG_FIRST", 0.0)
    # Five steps in 5 s: 20 more take 20 s.
    clock = iter([0.0, 10.0, 15.0])
    monkeypatch.setattr(training_progress.time, "monotonic", lambda: next(clock))
    watched(terminal=False)
    (line,) = capsys.readouterr().err.splitlines()
    assert line == (
        "epoch 2/3, 33%, about 20 s left: loss 105.2 · rate 25.0 · distortion 80.2 · 18 active"
        " · 1/s"
    )


def test_of_codebooks_it_sees_how_many_codes_are_in_use(capsys, monkeypatch):
    monkeypatch.setattr(training_progress, "LOG_FIRST", 0.0)
    monkeypatch.delitem(ROW, "active_units")
    monkeypatch.setitem(ROW, "perplexity", 61.3)
    monkeypatch.setitem(ROW, "perplexity_layer_1", 61.3)
    watched(terminal=False)
    line = capsys.readouterr().err
    assert " · 61 codes · " in line
    assert "active" not in line


@pytest.mark.parametrize("name", ["loss", "rate", "distortion"])
def test_figures_that_do_not_exist_are_left_out(name):
    row = {key: value for key, value in ROW.items() if key != name}
    assert f"{name} " not in figures(row)


def test_the_table_at_the_end_has_a_line_for_every_layer():
    rates = {"rate_layer_1": 10.0, "valid_rate_layer_1": 9.0, "rate_layer_2": 15.0}
    row = ROW | rates | {"valid_rate_layer_2": 15.0}
    training = {"best_epoch": 1, "ending": "early"}
    run = SimpleNamespace(history=[row], training=training, latent=20)
    out = io.StringIO()
    Console(file=out, width=80).print(table(run))
    lines = [line.strip("│┃ ").split("│") for line in out.getvalue().splitlines() if "│" in line]
    shown = {cells[0].strip(): [cell.strip() for cell in cells[1:]] for cells in lines}
    assert list(shown) == ["loss", "rate", "of layer 1", "of layer 2", "distortion", "active units"]
    assert shown["of layer 1"] == ["10.00", "9.00"]
    assert shown["active units"][1] == "18 of 20"
    del row["active_units"]
    out.truncate(0)
    run.history = [row | {"perplexity": 61.3, "perplexity_layer_1": 60.0}]
    Console(file=out, width=80).print(table(run))
    assert "active" not in out.getvalue()
    assert "perplexity" in out.getvalue()
    assert "61.3" in out.getvalue()


def test_counting_is_silent_in_a_file(capsys):
    with counting("likelihood", 10) as done:
        done(5)
    said = capsys.readouterr()
    assert said.out + said.err == ""


@pytest.mark.parametrize("terminal", [True, False])
def test_work_in_parts_is_one_line_on_a_terminal_and_silent_elsewhere(terminal):
    out = io.StringIO()
    console = Console(file=out, force_terminal=terminal, width=80, no_color=True)
    with following(console) as told:
        for what, total in (("codes", 5_000), ("epochs", 500)):
            told(what, total // 2, total, 3.25)
    seen = out.getvalue()
    assert ("codes" in seen and "epochs" in seen and "3.25 nats" in seen) == terminal
    assert terminal or seen == ""
