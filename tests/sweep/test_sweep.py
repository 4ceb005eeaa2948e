"""A sweep: each run a run like any other, each figure the mean of its runs, nothing lost."""

from __future__ import annotations

import json
import statistics
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from vaelab import recipes
from vaelab.commands import main as cli
from vaelab.data import Data
from vaelab.plots.frontier import frontier, rate_distortion
from vaelab.recipes.design import Design
from vaelab.runs.load import load
from vaelab.sweep import Sweep, sweep
from vaelab.sweep.sweep import evaluate_test_split
from vaelab.sweep.train_group import GroupProgress
from vaelab.training import NotFinite, Plan

SMALL, SHORT = Design(width=16), Plan(epochs=2, batch_size=256, lr=1e-2)


def small(data: Data, out: Path, vary: dict[str, list[float]], **given: Any) -> Sweep:
    arguments = {"design": SMALL, "plan": SHORT} | given
    return sweep(recipes.vae, data, {"latent": [2]} | vary, out=out, **arguments)


@pytest.fixture(scope="module")
def made(digits: Data, tmp_path_factory: pytest.TempPathFactory) -> Sweep:
    folder = tmp_path_factory.mktemp("sweep")
    return small(digits, folder, {"beta": [0.1, 20.0], "lr": [1e-2, 2e-2]}, seeds=2)


def test_every_run_is_a_run_like_any_other(made: Sweep, digits: Data) -> None:
    names = [m.name for m in made.members]
    assert names[:3] == ["beta=0.1,lr=0.01,seed=0", "beta=0.1,lr=0.01,seed=1",
                         "beta=0.1,lr=0.02,seed=0"]  # fmt: skip
    assert len(set(names)) == 8
    for member in made.members:
        run = load(made.path / member.name)
        assert run.recipe.arguments["beta"] == member.values["beta"]
        assert run.recipe.arguments["design"].seed == run.training["seed"] == member.seed
        assert run.training["lr"] == member.values["lr"]
        assert run.training["together"] == 8
        assert len(run.history) == 2
        assert run.sample(2).shape == (2, 1, 8, 8)
        assert (made.path / member.name / "optimizer.safetensors").exists()
        assert not (made.path / member.name / "unfinished").exists()
        again = evaluate_test_split(run, digits)
        assert again == pytest.approx(member.figures)
        assert again["neg_elbo"] == pytest.approx(again["rate"] + again["distortion"])
    assert made.reasons == []


def test_the_figures_are_those_of_the_runs(made: Sweep) -> None:
    kept = json.loads((made.path / "sweep.json").read_text())
    assert [s["values"]["beta"] for s in kept["settings"]] == [0.1, 0.1, 20.0, 20.0]
    by_name = {run["name"]: run for run in kept["runs"]}
    for setting in kept["settings"]:
        for figure in ("rate", "distortion", "neg_elbo", "active_units"):
            values = [by_name[name][figure] for name in setting["runs"]]
            assert len(values) == 2
            assert setting[figure]["mean"] == pytest.approx(statistics.mean(values))
            assert setting[figure]["spread"] == pytest.approx(statistics.stdev(values))
    assert kept["settings"][0]["rate"]["mean"] > kept["settings"][2]["rate"]["mean"]
    assert any(setting["frontier"] for setting in kept["settings"])
    assert (kept["split"], kept["n"], kept["data"]) == ("test", 180, "digits8x8")


def test_the_curve_is_drawn(made: Sweep) -> None:
    with Image.open(made.path / "rate_distortion.png") as picture:
        assert min(picture.size) > 300
        assert np.asarray(picture.convert("RGBA"))[..., 3].any()
    assert (made.path / "rate_distortion.svg").read_text().startswith("<?xml")


def test_shapes_that_differ_are_trained_one_after_another_and_said_so(
    digits: Data, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    found = small(digits, tmp_path, {"latent": [2, 3], "beta": [1.0, 2.0]})
    said = capsys.readouterr().err
    assert "latent=3,beta=1,seed=0 is not trained together with latent=2,beta=1,seed=0" in said
    assert "out_features is 4 in one and 6 in another" in said
    assert said.count("2 runs as one") == 2
    assert [load(tmp_path / m.name).latent for m in found.members] == [2, 2, 3, 3]


def test_one_member_alone_is_trained_as_by_train(digits: Data, tmp_path: Path) -> None:
    (member,) = small(digits, tmp_path, {}).members
    assert member.name == "seed=0"
    assert "together" not in load(tmp_path / "seed=0").training


def test_without_a_rate_there_is_no_curve(digits: Data, tmp_path: Path) -> None:
    sweep(recipes.ae, digits, {"latent": [2]}, out=tmp_path, seeds=2, design=SMALL, plan=SHORT)
    (setting,) = json.loads((tmp_path / "sweep.json").read_text())["settings"]
    assert setting["distortion"]["spread"] > 0
    assert "rate" not in setting
    assert not (tmp_path / "rate_distortion.png").exists()


def test_a_run_that_breaks_down_is_named_and_the_others_stay(
    digits: Data, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    found = small(digits, tmp_path, {"lr": [1e-2, 1e30]})
    assert "lr=1e+30,seed=0 broke down" in capsys.readouterr().err
    whole, broken = found.members
    assert whole.figures
    assert broken.run is None
    assert not (tmp_path / broken.name).exists()
    kept = json.loads((tmp_path / "sweep.json").read_text())
    assert "not finite" in kept["runs"][1]["failure"]
    assert len(kept["settings"]) == 1


def test_where_every_run_breaks_down_it_is_an_error(digits: Data, tmp_path: Path) -> None:
    with pytest.raises(NotFinite, match="every run broke down"):
        small(digits, tmp_path, {"lr": [1e30, 2e30]})


def test_an_interrupt_keeps_what_was_reached(
    digits: Data, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    listen = GroupProgress.on_epoch

    def stop(self: GroupProgress, row: dict[str, float], best: Any) -> None:
        listen(self, row, best)
        if len(self.losses) == 2:  # both members have finished their first epoch
            raise KeyboardInterrupt

    monkeypatch.setattr(GroupProgress, "on_epoch", stop)
    found = small(digits, tmp_path, {"latent": [2, 3]}, seeds=2)
    endings = [m.run.training["ending"] for m in found.members if m.run is not None]
    assert endings == ["interrupted"] * 2
    assert sorted(p.name for p in tmp_path.iterdir() if p.is_dir()) == [
        "latent=2,seed=0",
        "latent=2,seed=1",
    ]
    kept = json.loads((tmp_path / "sweep.json").read_text())
    assert [run.get("failure") for run in kept["runs"]] == [None, None, *["not reached"] * 2]


def test_an_interrupt_before_anything_was_reached(
    digits: Data, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def stop(self: GroupProgress, step: int, steps: int, row: dict[str, float]) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(GroupProgress, "on_step", stop)
    with pytest.raises(KeyboardInterrupt):
        small(digits, tmp_path, {"latent": [2, 3]}, seeds=2)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("vary", "given", "message"),
    [
        ({"gamma": [1.0]}, {}, "gamma cannot be varied; there is latent, beta, width, sigma, c"),
        ({"seed": [1.0]}, {}, "seed cannot be varied"),
        ({"net": ["mlp"]}, {}, "net cannot be varied"),
        ({"beta": [1.0, 1.0]}, {}, "give each value once"),
        ({"beta": []}, {}, "give each value once"),
        ({"latent": [2.5]}, {}, r"latent is 2.5; expected a whole number"),
        ({"beta": [-1.0]}, {}, "beta is -1.0; a weight must be 0 or more"),
        ({"lr": [0.0]}, {}, "lr is 0.0; expected a number above 0"),
        ({}, {"seeds": 0}, "seeds is 0"),
    ],
)
def test_what_cannot_be_swept_is_refused_before_anything_is_written(
    digits: Data, tmp_path: Path, vary: Any, given: Any, message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        small(digits, tmp_path / "out", vary, **given)
    assert not (tmp_path / "out").exists()


def test_what_is_there_is_not_replaced_unless_asked(digits: Data, tmp_path: Path) -> None:
    small(digits, tmp_path, {"beta": [1.0, 2.0]})
    with pytest.raises(ValueError, match="holds a sweep already"):
        small(digits, tmp_path, {"beta": [3.0, 4.0]})
    (tmp_path / "sweep.json").unlink()
    with pytest.raises(ValueError, match="beta=2,seed=0 holds a run already"):
        small(digits, tmp_path, {"beta": [2.0, 3.0]})
    assert not (tmp_path / "beta=3,seed=0").exists()
    small(digits, tmp_path, {"beta": [2.0, 3.0]}, overwrite=True)
    assert (tmp_path / "beta=3,seed=0").exists()


# The command.


def test_the_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    line = "sweep vae --data digits8x8 --latent 2 --width 16 --epochs 1 --beta 0.5,4 --seeds 2"
    assert cli.main([*line.split(), "--lr", "1e-3,2e-3", "--out", str(tmp_path / "s")]) == 0
    said = capsys.readouterr()
    assert "8 runs as one" in said.err
    for part in ("−ELBO", "* on the frontier", "0.002", "±", "sweep.json", "rate_distortion.png"):
        assert part in said.out
    rows = [line.split() for line in said.out.splitlines() if line.count("±") == 4]
    assert [row[:2] for row in rows] == [[b, lr] for b in ("0.5", "4") for lr in ("0.001", "0.002")]
    assert "…" not in said.out  # nothing was cut
    assert cli.main(["sample", str(tmp_path / "s" / "beta=4,lr=0.002,seed=1"), "-n", "2",
                     "--out", str(tmp_path / "s.png")]) == 0  # fmt: skip


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (["vae", "--beta", "much"], "expected a number, not"),
        (["vae", "--latent", "2.5"], "expected a whole number, not"),
        (["vea"], "Did you mean vae"),
        ([], "a recipe comes first"),
    ],
)
def test_wrong_words_are_refused(
    args: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(["sweep", *args, "--data", "digits8x8", "--out", "nowhere"]) == 2
    assert message in " ".join(capsys.readouterr().err.split())
    assert not Path("nowhere").exists()


def test_help_says_that_numbers_may_be_several(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["sweep", "vae", "--help"]) == 0
    said = capsys.readouterr().out
    for part in ("--beta NUMBER,…", "--latent N,…", "--lr NUMBER,…", "--seeds N", "default: 1)"):
        assert part in said
    assert said.count("--seed N") == 1
    assert cli.main(["sweep", "--help"]) == 0
    assert "beta_vae" in capsys.readouterr().out


# The picture.


def test_the_frontier_is_what_no_other_beats() -> None:
    points = np.array([[3.0, 1.0], [1.0, 3.0], [2.0, 3.0], [2.0, 2.0], [4.0, 1.0], [2.5, 2.5]])
    assert frontier(points) == [1, 3, 0]
    assert frontier(np.array([[0.0, 5.0]])) == [0]


def test_the_diagonals_are_of_equal_elbo_and_say_of_which() -> None:
    runs = [np.array([[2.0, 10.0], [4.0, 12.0]]), np.array([[5.0, 6.0]])]
    (axes,) = rate_distortion(runs, ["one", "two"]).axes
    sums = [x + y for x, y in (line.get_data() for line in axes.get_lines() if line.zorder == 0)]
    assert all(total[0] == pytest.approx(total[-1]) for total in sums)
    texts = [text.get_text() for text in axes.texts]
    said = [float(text.removeprefix("−ELBO ")) for text in texts if text not in ("one", "two")]
    assert said == pytest.approx([float(total[0]) for total in sums])
    assert len(texts) == len(said) + 2


def test_a_picture_needs_settings_with_runs() -> None:
    for points, names in ([], []), ([np.zeros((0, 2))], ["a"]), ([np.zeros((1, 2))], []):
        with pytest.raises(ValueError, match="a run for every setting"):
            rate_distortion(points, names)
