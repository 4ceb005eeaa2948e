"""The command line itself: what it imports, says and returns."""

import json
import os
import re
import subprocess
import sys

import numpy as np
import pytest

from vaelab.commands import main as cli

QUICK = ["--epochs", "1", "--latent", "2", "--width", "16"]


def python(code, **environment):
    return subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        timeout=120,
        env=os.environ | environment,
    )


@pytest.mark.parametrize("args", [[], ["--help"], ["--version"]])
def test_help_imports_nothing_heavy(args):
    heavy = ("torch", "matplotlib", "sklearn", "numpy", "rich", "tyro", "PIL")
    done = python(
        f"import sys; from vaelab.commands.main import main; code = main({args!r});"
        f"print([m for m in {heavy!r} if m in sys.modules]); sys.exit(code)"
    )
    assert done.returncode == 0
    assert done.stdout.splitlines()[-1] == "[]"
    assert "vaelab" in done.stdout


def test_every_command_explains_itself(capsys):
    for name, command in cli.COMMANDS.items():
        assert cli.main([name, "--help"]) == 0
        said = capsys.readouterr().out
        assert command.example.split()[1] == name
        assert f"vaelab {name}" in said
        assert name in cli.overview()


def test_recipes_are_listed_with_a_line_each(capsys):
    from vaelab.recipes.registry import RECIPES

    assert cli.main(["train", "--help"]) == 0
    said = capsys.readouterr().out
    for name in RECIPES:
        (line,) = [line for line in said.splitlines() if line.startswith(f"  {name} ")]
        assert len(line.split()) > 4


def test_recipes_stand_in_groups_and_every_choice_has_an_example_of_its_own(capsys):
    assert cli.main(["train", "--help"]) == 0
    groups = capsys.readouterr().out.split("\n\n")[1:-1]
    assert len(groups) == 7
    first = {group.split("\n")[1].split()[0] for group in groups}
    assert {"vae", "gumbel", "ladder", "learned_prior", "full_covariance"} <= first
    for args, line in (
        (["train", "beta-vae"], "vaelab train beta-vae --data digits --out runs/beta-vae"),
        (["sweep", "vq"], "vaelab sweep vq --data digits --lr"),
        (["fit-prior", "flow"], "vaelab fit-prior flow runs/digits"),
    ):
        assert cli.main([*args, "--help"]) == 0
        said = " ".join(capsys.readouterr().out.split())
        assert said.count("Example: ") == 1
        assert f"Example: {line}" in said
        assert "{None}" not in said
        assert args[0] == "fit-prior" or "(default: unset)" in said


def test_flags_of_a_recipe_follow_its_signature(capsys):
    import dataclasses

    from vaelab.recipes.design import Design
    from vaelab.training import Plan

    assert cli.main(["train", "beta-vae", "--help"]) == 0
    said = capsys.readouterr().out
    fields = [f.name for settings in (Design, Plan) for f in dataclasses.fields(settings)]
    for name in ["beta", "latent", "data", "data_dir", "out", "overwrite", *fields]:
        assert f"--{name.replace('_', '-')} " in said
    assert said.count("--seed ") == 1
    assert "weight of the rate" in said  # the help is the recipe's own docstring
    assert cli.main(["train", "ae", "--help"]) == 0
    assert "--beta" not in capsys.readouterr().out


def test_results_to_stdout_messages_to_stderr(tmp_path, capsys):
    out = tmp_path / "run"
    assert cli.main(["train", "vae", "--data", "digits8x8", "--out", str(out), *QUICK]) == 0
    said = capsys.readouterr()
    assert "1,797 grey images 8 × 8" in said.err
    assert "bernoulli: the data is nearly two-toned" in said.err
    assert "parameters" in said.err
    assert "12 steps; the default is 4,008 (about 334 epochs)" in said.err
    assert "nats per example" in said.out
    assert "\x1b" not in said.out + said.err
    for name in ("samples", "reconstructions", "variations", "latent_map", "manifold", "training"):
        assert (out / f"{name}.png").stat().st_size > 500
        assert f"{name}.png  " in said.out
    assert not (out / "unfinished").exists()
    assert not (out / "traversal.png").exists()


def test_one_seed_for_all(tmp_path):
    for name in ("a", "b"):
        args = ["train", "vae", "--data", "digits8x8", "--out", str(tmp_path / name), "--seed", "3"]
        assert cli.main([*args, *QUICK]) == 0
    a, b = ((tmp_path / n / "weights.safetensors").read_bytes() for n in ("a", "b"))
    assert a == b
    about = json.loads((tmp_path / "a" / "recipe.json").read_text())
    seeds = about["arguments"]["design"]["seed"], about["training"]["seed"], about["data"]["seed"]
    assert seeds == (3, 3, 3)


def test_a_table_and_a_point_code_leave_their_pictures(tmp_path, capsys):
    rows = np.random.default_rng(0).normal([0, 100], [1, 50], (60, 2)).astype(np.float32)
    np.save(tmp_path / "table.npy", rows)
    out = tmp_path / "run"
    data = ["--data", str(tmp_path / "table.npy"), "--out", str(out)]
    assert cli.main(["train", "ae", *data, *QUICK]) == 0
    names = {path.name for path in out.glob("*.png")}
    assert {"samples.png", "traversal.png", "latent_map.png", "interpolation.png"} <= names
    # Without a posterior there are no variations, and vectors make no manifold.
    assert not {"variations.png", "manifold.png"} & names
    assert "is not trained to decode them" in capsys.readouterr().out


def test_broken_pipe_is_quiet():
    done = subprocess.run(
        f"{sys.executable} -m vaelab.commands.main | true",
        shell=True,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.stderr == ""


def test_interrupt_outside_training_is_quiet(monkeypatch, capsys):
    def interrupted(target):
        raise KeyboardInterrupt

    monkeypatch.setattr(cli, "_resolve", interrupted)
    assert cli.main(["sample", "x"]) == 130
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize("error", [RuntimeError("odd"), TypeError("odd"), KeyError("odd")])
def test_a_bug_shows_its_traceback(error, monkeypatch, capsys):
    def broken(target):
        raise error

    monkeypatch.setattr(cli, "_resolve", broken)
    assert cli.main(["sample", "x"]) == 1
    said = capsys.readouterr().err
    assert "Traceback" in said
    assert "this is a bug" in said


def test_a_value_error_from_elsewhere_is_a_bug(monkeypatch, capsys):
    monkeypatch.setattr(cli, "_resolve", lambda target: json.loads("{"))
    assert cli.main(["sample", "x"]) == 1
    assert "Traceback" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("recipe", "more", "said"),
    [
        ("vae", ["--width", "16"], "networks mlp: the default for images up to 32 pixels"),
        ("vae", ["--width", "4", "--net", "conv"], "networks conv: as asked"),
        ("deep-ladder", ["--width", "4", "--layers", "1"], "networks of convolutions: this recipe"),
    ],
)
def test_training_says_which_networks_and_why(recipe, more, said, tmp_path, monkeypatch, capsys):
    messages = told_of_networks(recipe, "digits8x8", more, tmp_path, monkeypatch, capsys)
    assert said in messages
    assert "at most 1 epoch of 12 steps" in messages


@pytest.mark.parametrize(
    ("side", "said"), [(40, "conv: the default for images with a side"), (32, "mlp: the default")]
)
def test_images_above_32_pixels_get_convolutions_by_default(
    side, said, tmp_path, monkeypatch, capsys
):
    colour = np.random.default_rng(0).integers(0, 256, (20, side, side, 3), dtype=np.uint8)
    np.save(tmp_path / "photos.npy", colour)
    data, few = str(tmp_path / "photos.npy"), ["--width", "4"]
    found = told_of_networks("vae", data, few, tmp_path, monkeypatch, capsys)
    assert said in next(line for line in found.splitlines() if line.startswith("networks"))


def told_of_networks(recipe, data, more, tmp_path, monkeypatch, capsys):
    from vaelab.commands import train

    def unreached(*args, **kwargs):
        raise KeyboardInterrupt

    monkeypatch.setattr(train, "train", unreached)
    args = ["train", recipe, "--data", data, "--out", str(tmp_path / "run"), *more]
    assert cli.main([*args, "--epochs", "1"]) == 130
    return capsys.readouterr().err


def test_train_with_valid_and_test_holds_out_so_many_rows(tmp_path, capsys):
    np.save(tmp_path / "rows.npy", np.random.default_rng(0).normal(size=(80, 3)))
    args = ["train", "vae", "--data", str(tmp_path / "rows.npy"), "--out", str(tmp_path / "run")]
    assert cli.main([*args, "--valid", "10", "--test", "0.25", *QUICK]) == 0
    assert "50 training, 10 validation, 20 test" in capsys.readouterr().err
    assert cli.main([*args, "--overwrite", "--valid", "90", *QUICK]) == 2
    assert "from 1 to 79, not 90" in capsys.readouterr().err


def test_train_tells_beforehand_how_long_it_may_take(tmp_path, monkeypatch, capsys):
    messages = told_of_networks("vae", "digits8x8", ["--width", "8"], tmp_path, monkeypatch, capsys)
    assert re.search(r"1 epoch of 12 steps, about \d+ s", messages)
