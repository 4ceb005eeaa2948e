"""Every wrong input: a clear message, exit status 2, no traceback, and nothing lost."""

import errno
import json
import os
import re
import shlex
import shutil
import subprocess
import sys

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file, save_file

from vaelab.commands import main as cli

QUICK = ["--epochs", "1", "--latent", "2", "--width", "16"]


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    run = tmp_path_factory.mktemp("trained") / "run"
    assert cli.main(["train", "vae", "--data", "digits8x8", "--out", str(run), *QUICK]) == 0
    return run


@pytest.fixture
def run(trained, tmp_path):
    return shutil.copytree(trained, tmp_path / "run")


def content(folder):
    return {path: path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


@pytest.fixture
def refused(tmp_path, capsys, monkeypatch):
    """Runs a command that must be refused; returns what it said."""
    monkeypatch.chdir(tmp_path)

    def check(*args, status=2, by="vaelab: "):
        before = content(tmp_path)
        capsys.readouterr()
        assert cli.main([str(arg) for arg in args]) == status
        said = capsys.readouterr()
        assert said.out == ""
        assert "Traceback" not in said.err
        assert content(tmp_path) == before
        assert by in said.err
        return said.err

    return check


def train(data, *more, recipe="vae", out="new"):
    return ("train", recipe, "--data", data, "--out", out, *QUICK, *more)


def test_unknown_names_give_the_nearest(refused):
    assert "Did you mean sample?" in refused("sampel", "x")
    assert "vae" in refused(*train("digits8x8", recipe="vea"))
    assert "Did you mean mnist" in refused(*train("mnits"))


def test_no_recipe(refused):
    assert "a recipe comes first" in refused("train", "--data", "digits8x8")
    assert "a recipe comes first" in refused("train")


def test_missing_path(refused, run):
    assert "does not exist" in refused(*train("nowhere/x.npy"))
    assert "does not exist" in refused("reconstruct", run, "nowhere.png")
    assert "does not exist" in refused("sample", "nowhere")
    said = refused("sample", run.parent)
    assert "holds no run" in said
    assert "`vaelab train vae --data digits --out RUN`" in said  # which can be typed


@pytest.mark.parametrize(
    ("args", "said"),
    [
        (train("digits8x8", "--latent", "two"), "--latent: expected a whole number, not 'two'"),
        (train("digits8x8", "--epochs", "many"), "--epochs: expected a whole number, not 'many'"),
        (train("digits8x8", "--epochs", "1e3"), "--epochs: expected a whole number, not '1e3'"),
        (train("digits8x8", "--ema", "x"), "--ema: expected a number, not 'x'"),
        (
            train("digits8x8", "--net", "transformer"),
            "--net: expected auto, mlp, conv or resconv, not 'tr",
        ),
        (train("digits8x8", "--precision", "f32"), "not 'f32'. Did you mean fp32"),
        (
            train("digits8x8", "--latnet", "2"),
            "Unrecognized options: --latnet, 2\nPerhaps you meant:\n--latent N",
        ),
        (
            train("digits8x8", "--image-size", "q"),
            "expected a side, or height,width as in 48,64, not",
        ),
        (
            train("digits8x8", "--lr"),
            "Missing value for argument '--lr'",
        ),
        (train("digits8x8", "--overwrite", "yes"), "Unrecognized options: yes"),
        (
            train("digits8x8", "--layers", "a", recipe="deep_ladder"),
            "expected a whole number, not 'a'",
        ),
        (("train", "vae", "--data", "--out", "new"), "Missing value for argument '--data'"),
        (("train", "vae", "--out", "new"), "--data TEXT\na known name (digits"),
        (
            ("sweep", "vae", "--data", "digits8x8", "--out", "s", "--beta", "1,b"),
            "a number, not 'b'",
        ),
        (("fit-prior", "mixture"), "Missing from vaelab fit-prior mixture:\nRUN\n"),
        (("fit-prior", "mixtrue", "run"), "no kind of prior is called 'mixtrue'. Did you mean mi"),
        (("reconstruct",), "RUN\nfolder of a trained run. (required)\nINPUT\na picture"),
        (("sample", "run", "other"), "Unrecognized options: other"),
        (("sample", "run", "-n", "x"), "expected a whole number, not 'x'"),
        (("sample", "run", "--clas", "3"), "Perhaps you meant:\n--condition-values, --class TEXT"),
        (
            ("evaluate", "run", "--parts", "all"),
            "expected likelihood, latent or samples, not 'all'",
        ),
        (("evaluate", "run", "--parts"), "name one or more of likelihood, latent, samples"),
        (("understand", "--lang", "fr"), "--lang: expected en or zh, not 'fr'"),
        (("doctor",), "Missing from vaelab doctor:\nRUN|DATA|FILE.py:function"),
    ],
)
def test_what_cannot_be_read_is_said_in_plain_words(refused, args, said):
    message = refused(*args)
    assert said in message
    for python in ("Literal", "int()", "None", "tuple", "<class", "INT ", "helptext", "│"):
        assert python not in message


@pytest.mark.parametrize("seed", [2**63, -(2**63) - 1])
def test_a_seed_is_a_number_of_64_bits(refused, run, seed):
    for args in (train("digits8x8"), ("sample", run), ("evaluate", run), ("doctor", run)):
        assert f"--seed: expected a whole number of 64 bits, not '{seed}'" in refused(
            *args, "--seed", seed
        )


def test_settings_that_memory_does_not_hold(refused):
    said = refused(*train("digits8x8")[:-2], "--width", "1000000000000", status=1)
    assert "there is not enough memory for this, choose smaller settings" in said
    assert "there is not enough memory" in refused(*train("digits8x8"), "--width", 2**62, status=1)


def test_a_home_of_nobody(refused):
    assert "~nobody-at-all/x.npy does not exist" in refused(*train("~nobody-at-all/x.npy"))


def damaged(run, name, change):
    """A JSON file of a run, changed."""
    about = json.loads((run / name).read_text())
    change(about)
    (run / name).write_text(json.dumps(about))


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("metrics.jsonl", b"5\n"),
        ("metrics.jsonl", b'{"epoch": "one"}\n'),
        ("metrics.jsonl", b"\xff\xfe\n"),
        ("metrics.jsonl", b"[" * 100_000),
        ("recipe.json", b"[" * 100_000),
        ("codes.json", b'{"mean": [1' + b"0" * 400 + b', 0], "spread": [1, 1], "rate": null}'),
    ],
)
def test_files_of_a_run_that_hold_something_else(refused, run, name, content):
    (run / name).write_bytes(content)
    for command in ("sample", "doctor"):
        assert str(run / name) in refused(command, run).replace("\n", "")


@pytest.mark.parametrize(
    "change",
    [
        lambda about: about["arguments"].update(latent=10**30),
        lambda about: about["arguments"].update(latent=10**18),
        lambda about: about["arguments"].update(beta=10**400),
        lambda about: about["arguments"]["design"].update(seed=2**64),
        lambda about: about["data"].update(high=10**400),
        lambda about: about["data"].update(shape=[10**9, 10**9, 10**9]),
    ],
)
def test_absurd_numbers_in_a_run(refused, run, change):
    damaged(run, "recipe.json", change)
    said = refused("sample", run)
    assert f"{run / 'recipe.json'}" in said


@pytest.mark.parametrize("dtype", [torch.int64, torch.complex64, torch.float8_e4m3fn])
def test_weights_of_another_type(refused, run, dtype):
    path = run / "weights.safetensors"
    weights = load_file(path)
    name = next(iter(weights))
    save_file(weights | {name: weights[name].to(dtype)}, path)
    assert f"{path} holds {dtype} in {name!r}; expected torch.float32" in refused("sample", run)


def test_a_run_without_its_history(refused, run, tmp_path, capsys):
    (run / "metrics.jsonl").unlink()
    assert "metrics.jsonl is missing or has no valid_loss" in refused("doctor", run)
    assert cli.main(["sample", str(run), "-n", "2", "--out", str(tmp_path / "s.npy")]) == 0
    for other in ('{"epoch": 1}\n', ""):
        (run / "metrics.jsonl").write_text(other)
        assert "metrics.jsonl is not the file that recipe.json" in refused("doctor", run)


@pytest.mark.parametrize(
    ("change", "named"),
    [
        (lambda about: about.pop("digest"), "digest"),
        (lambda about: about.update(discrete="yes"), "discrete"),
        (lambda about: about.update(figures=[1]), "figures"),
        (lambda about: about["figures"].update(rate=3), "figures"),
        (lambda about: about["figures"]["rate"].update(se="small"), "figures"),
        (lambda about: about.update(n="many"), "n is"),
    ],
)
def test_a_damaged_evaluation_is_not_compared(refused, judged, tmp_path, change, named):
    run = shutil.copytree(judged, tmp_path / "judged")
    damaged(run, "evaluation.json", change)
    said = refused("compare", run, run)
    assert f"{run / 'evaluation.json'} is damaged: {named}" in said
    assert "vaelab evaluate" in said


@pytest.fixture(scope="module")
def judged(trained, tmp_path_factory):
    run = shutil.copytree(trained, tmp_path_factory.mktemp("judged") / "run")
    how = ["--parts", "likelihood", "--samples", "2", "--limit", "20"]
    assert cli.main(["evaluate", str(run), *how]) == 0
    return run


def test_closed_streams(tmp_path):
    """Nothing can be said, and nothing is a bug."""
    for closed, status in ((">&-", 0), ("2>&-", 0), (">&- 2>&-", 0)):
        line = f"{shlex.quote(sys.executable)} -m vaelab --version {closed}"
        done = subprocess.run(line, shell=True, capture_output=True, text=True, timeout=60)
        assert (done.returncode, done.stderr) == (status, "")


def test_help_speaks_of_numbers_and_not_of_types(capsys):
    for args in (["train", "deep_ladder"], ["sweep", "vae"], ["fit-prior", "flow"], ["sample"]):
        assert cli.main([*args, "--help"]) == 0
        said = capsys.readouterr().out
        assert re.search(r"--\w+ N\b", said)
        for python in ("None", "INT", "FLOAT", "STR"):
            assert python not in said


@pytest.mark.parametrize(
    ("flag", "value"),
    [
        ("--latent", "0"),
        ("--latent", "-3"),
        ("--batch-size", "0"),
        ("--lr", "-1"),
        ("--width", "0"),
        ("--epochs", "0"),
        ("--sigma", "0"),
    ],
)
def test_value_out_of_range(refused, flag, value):
    said = refused(*train("digits8x8", flag, value))
    assert value.lstrip("-") in said
    assert flag.strip("-").replace("-", "_") in said


def test_device_that_is_not_there(refused, run, monkeypatch):
    commands = (
        train("digits8x8"),
        ("sweep", "vae", "--data", "digits8x8", "--out", "sweep"),
        ("understand", "--data", "digits8x8"),
        ("fit-prior", "mixture", run),
        ("interpolate", run, "test:0", "test:1"),
        *((name, run, "test:0") for name in ("reconstruct", "vary", "encode")),
        *((name, run) for name in ("sample", "traverse", "evaluate", "doctor")),
    )
    for args in commands:
        assert "there is no device 'cuda:77' here" in refused(*args, "--device", "cuda:77")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    for version, why in ((None, "This torch is without CUDA"), ("13.0", "no GPU it can use")):
        monkeypatch.setattr(torch.version, "cuda", version)
        assert why in refused("sample", run, "--device", "cuda")


def test_a_run_is_not_replaced_unasked(refused, run):
    assert "pass --overwrite" in refused(*train("digits8x8", out=run))


def test_out_is_a_file(refused, tmp_path):
    (tmp_path / "new").write_text("mine")
    assert "is a file" in refused(*train("digits8x8"))
    assert refused(*train("digits8x8", out="new/inside"))


@pytest.mark.parametrize("reason", [errno.ENOSPC, errno.EROFS])
def test_full_or_read_only_disk_keeps_the_old_run(refused, run, monkeypatch, reason):
    def full(handle):
        raise OSError(reason, os.strerror(reason))

    monkeypatch.setattr(os, "fsync", full)
    said = refused(*train("digits8x8", "--overwrite", out=run))
    assert f"{run}" in said
    assert os.strerror(reason) in said
    assert os.strerror(reason) in refused(*train("digits8x8", out="fresh"))
    assert not (run.parent / "fresh").exists()
    assert os.strerror(reason) in refused("sample", run, "-n", "4", "--out", "s.png")


def test_disk_that_fills_up_at_the_end_keeps_the_old_run(run, monkeypatch, capsys):
    from vaelab.runs.run import Run

    before, save, calls = content(run), Run.save, []

    def fills(self, path, optimizer=None):
        calls.append(path)
        if len(calls) == 1:
            return save(self, path, optimizer)
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path))

    monkeypatch.setattr(Run, "save", fills)
    assert cli.main([*train("digits8x8", "--overwrite", out=str(run))]) == 1
    assert "No space left" in capsys.readouterr().err
    after = content(run)
    assert {path: after[path] for path in before} == before
    # What was reached is a run of its own, and is not dropped unasked either.
    monkeypatch.undo()
    assert cli.main(["sample", str(run / "unfinished"), "--out", str(run / "s.png")]) == 0
    (run / "recipe.json").unlink()
    assert cli.main([*train("digits8x8", out=str(run))]) == 2
    assert "unfinished" in capsys.readouterr().err


def test_training_that_breaks_down_keeps_the_old_run(refused, run):
    rows = np.random.default_rng(0).normal(size=(60, 4)).astype(np.float32)
    np.save(run.parent / "rows.npy", rows)
    wild = ("--overwrite", "--lr", "1e30", "--epochs", "5", "--warmup-share", "0")
    said = refused(*train("rows.npy", *wild, out=run), status=1)
    assert "not finite" in said
    assert "step" in said


def test_run_without_weights(refused, run):
    (run / "weights.safetensors").unlink()
    assert "is missing" in refused("sample", run)


def test_run_with_truncated_weights(refused, run):
    path = run / "weights.safetensors"
    path.write_bytes(path.read_bytes()[:1000])
    assert "damaged" in refused("sample", run)


def test_run_with_foreign_weights(refused, run):
    from safetensors.torch import save_file
    from torch import zeros

    save_file({"other": zeros(2)}, run / "weights.safetensors")
    assert "does not belong" in refused("sample", run)


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("recipe", "os.system"),
        ("arguments", {"latent": "two"}),
        ("arguments", {"danger": 1}),
        ("data", {}),
        ("format", 99),
    ],
)
def test_recipe_file_that_names_something_else(refused, run, key, value):
    about = json.loads((run / "recipe.json").read_text())
    (run / "recipe.json").write_text(json.dumps(about | {key: value}))
    assert "recipe.json" in refused("sample", run)


def test_recipe_file_that_is_not_json(refused, run):
    (run / "recipe.json").write_text("nonsense")
    assert "not JSON" in refused("sample", run)


def test_values_outside_the_likelihood(refused, tmp_path):
    np.save(tmp_path / "real.npy", np.random.default_rng(0).normal(size=(50, 3)))
    said = refused(*train("real.npy", "--likelihood", "bernoulli"))
    assert "Use one of" in said
    assert "gaussian" in said


@pytest.mark.parametrize(
    "array",
    [
        np.full((50, 3), np.nan),
        np.where(np.eye(50) > 0, np.inf, 0.5),
        np.zeros((4, 4, 4, 4, 4)),
        np.float64(3.0),
        np.array([["a", "b"]] * 50),
        np.array([{}, None] * 25, dtype=object),
    ],
    ids=["nan", "infinity", "rank5", "rank0", "text", "objects"],
)
def test_arrays_that_are_no_data(refused, tmp_path, array):
    np.save(tmp_path / "bad.npy", array)
    assert "bad.npy" in refused(*train("bad.npy"))


@pytest.fixture
def folder(tmp_path):
    made = tmp_path / "pictures"
    made.mkdir()
    for i in range(20):
        pixels = np.random.default_rng(i).integers(0, 256, (8, 8), dtype=np.uint8)
        Image.fromarray(pixels).save(made / f"{i:02}.png")
    return made


def test_empty_folder(refused, tmp_path):
    (tmp_path / "empty").mkdir()
    assert "empty" in refused(*train("empty"))


def test_broken_picture_is_named_and_skipped_when_asked(refused, folder, capsys):
    Image.new("L", (8, 8)).save(folder / "broken.jpg")
    broken = (folder / "broken.jpg").read_bytes()
    (folder / "broken.jpg").write_bytes(broken[: len(broken) // 2])
    assert "broken.jpg" in refused(*train("pictures"))
    assert cli.main([*train("pictures", "--skip-unreadable")]) == 0
    assert "broken.jpg" in capsys.readouterr().err


def test_text_named_png(refused, folder):
    (folder / "text.png").write_text("not a picture")
    assert "text.png" in refused(*train("pictures"))


def test_image_of_another_size_is_resized_with_a_note(run, tmp_path, capsys):
    Image.new("L", (31, 47), 200).save(tmp_path / "large.png")
    out = tmp_path / "out.npy"
    code = cli.main(["reconstruct", str(run), str(tmp_path / "large.png"), "--out", str(out)])
    assert code == 0
    assert "8×8" in capsys.readouterr().err
    assert np.load(out).shape == (1, 1, 8, 8)


def test_inputs_that_do_not_fit_the_run(refused, run, tmp_path):
    np.save(tmp_path / "wide.npy", np.zeros((3, 9), np.uint8))
    assert "expected one example of shape" in refused("encode", run, "wide.npy")
    np.save(tmp_path / "high.npy", np.full((1, 1, 8, 8), 200, np.uint8))
    assert "from 0 to 16" in refused("encode", run, "high.npy")
    assert "no selection of rows" in refused("encode", run, "test:a-b")
    assert "rows" in refused("encode", run, "test:99999")


def test_a_run_is_not_data(refused, run):
    """Its folder holds pictures, of what the model makes."""
    for args in (
        train(run),
        ("reconstruct", run, run),
        ("evaluate", run, "--data", run),
        ("fit-prior", "mixture", run, "--data", run),
        ("sweep", "vae", "--data", run, "--out", "sweep"),
        ("understand", "--data", run),
        ("doctor", run, "--data", run),
    ):
        said = refused(*args)
        assert f"{run} is a run, a trained model, not data" in said
        assert "give digits8x8, its training data" in said
    (run / "recipe.json").write_text("nonsense")
    assert "is a run, a trained model, not data" in refused(*train(run))


def test_outputs_are_not_replaced_unasked(refused, run, tmp_path):
    (tmp_path / "mine.png").write_text("mine")
    assert "pass --overwrite" in refused("sample", run, "--out", "mine.png")
    assert "should end in" in refused("sample", run, "--out", "samples.jpeg")
    assert "should end in" in refused("encode", run, "test:0", "--out", "codes.png")
    assert "is a folder" in refused("sample", run, "--out", shutil.copytree(run, "f.png"))


@pytest.mark.parametrize(
    "args",
    [
        ("sample", "-n", "0"),
        ("sample", "--temperature", "-1"),
        ("sample", "--temperature", "inf"),
        ("sample", "--temperature", "nan"),
        ("vary", "test:0", "-n", "0"),
        ("interpolate", "test:0", "test:1", "--steps", "1"),
        ("interpolate", "test:0-1", "test:0-2"),
        ("traverse", "--steps", "0"),
        ("traverse", "--most", "0"),
        ("evaluate", "--samples", "0"),
        ("evaluate", "--limit", "0"),
        ("evaluate", "--device", "cuda:77"),
        ("evaluate", "--data", "nowhere.npy"),
    ],
)
def test_numbers_that_make_no_sense(refused, run, args):
    refused(args[0], run, *args[1:])
