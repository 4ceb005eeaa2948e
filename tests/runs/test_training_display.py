"""What is seen while a training goes on."""

import io
from types import SimpleNamespace

import pytest
from rich.console import Console

from vaelab.commands.train import table
from vaelab.commands.understand_progress import StudyDisplay
from vaelab.runs.training_display import TrainingDisplay
from vaelab.training.record import figures
from vaelab.utils import progress
from vaelab.utils.progress import PartsDisplay, counting

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
    with TrainingDisplay(3, 1, console) as watch:
        watch.on_epoch(ROW, None)
        watch.on_step(5, 30, ROW)
        watch.on_step(10, 30, ROW)
        watch.lines.refresh()
    return out.getvalue()


def test_a_terminal_sees_one_live_line():
    seen = watched(terminal=True)
    for text in ("2/3", "loss 105.2", "rate 25.0", "distortion 80.2", "18 active", "/s"):
        assert text in seen
    assert "…" not in seen  # nothing is cut off at 80 columns


@pytest.fixture
def clock(monkeypatch):
    """Seconds that pass only when they are set."""
    now = SimpleNamespace(seconds=0.0)
    monkeypatch.setattr(progress, "time", SimpleNamespace(monotonic=lambda: now.seconds))
    return now


def logged():
    return Console(file=io.StringIO(), force_terminal=False)


def test_a_log_gets_a_line_now_and_then_with_the_time_left(capsys, clock):
    with TrainingDisplay(4, 1, logged()) as display:
        clock.seconds = 2.0
        display.on_epoch(ROW, None)
        assert capsys.readouterr().err == ""
        clock.seconds = 100.0
        display.on_epoch(ROW, None)
        clock.seconds = 109.0
        display.on_epoch(ROW | {"epoch": 2}, None)
    (line,) = capsys.readouterr().err.splitlines()
    assert line == (
        "epoch 1/4: validation loss 104.00 · rate 24.00 · distortion 80.00 · 18 active · 12,300/s"
        " · about 5 min left"
    )


def test_a_log_gets_lines_within_a_long_epoch(capsys, clock):
    with TrainingDisplay(2, 1, logged()) as display:
        for clock.seconds, step in ((11.0, 1), (31.0, 10), (59.0, 12)):
            display.on_step(step, 40, ROW)
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("epoch 1/2, step 10 of 40: loss 105.2")
    assert line.endswith(" · about 2 min left")  # 31 s for a quarter


def test_of_codebooks_it_sees_how_many_codes_are_in_use(capsys, clock):
    row = {key: value for key, value in ROW.items() if key != "active_units"}
    with TrainingDisplay(3, 1, logged()) as display:
        clock.seconds = 11.0
        display.on_epoch(row | {"perplexity": 61.3, "perplexity_layer_1": 61.3}, None)
    line = capsys.readouterr().err
    assert " · 61 codes · 12,300/s" in line
    assert "active" not in line


def test_parts_are_timed_each_by_itself(capsys, clock):
    with PartsDisplay(logged()) as display:
        display("codes", 0, 5000)
        clock.seconds = 100.0
        display("epochs", 0, 50)
        clock.seconds = 120.0
        display("epochs", 10, 50)
    (line,) = capsys.readouterr().err.splitlines()
    assert line == "epochs: 10 of 50 · about 1 min left"


def test_a_study_logs_the_time_left_of_the_whole(capsys, clock):
    with StudyDisplay(logged()) as display:
        display.on_progress("train", "ae-2", 0, 4)
        clock.seconds = 70.0
        display.on_progress("train", "ae-2", 4, 4)
    (line,) = capsys.readouterr().err.splitlines()
    assert line == "model 1 of 8, train ae-2: 100% · all: 9% · about 12 min left"  # 0.7 / 8 in 70 s


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
    with PartsDisplay(console) as told:
        for what, total in (("codes", 5_000), ("epochs", 500)):
            told(what, total // 2, total, 3.25)
    seen = out.getvalue()
    assert ("codes" in seen and "epochs" in seen and "3.25 nats" in seen) == terminal
    assert terminal or seen == ""
