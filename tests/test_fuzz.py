"""Every reader on damaged files: read, or refused by a message of vaelab's own."""

from __future__ import annotations

import json
import shutil
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch

import vaelab
from vaelab.commands.main import main
from vaelab.utils import size_budget

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT / "benchmarks"))

import fuzz  # noqa: E402


@pytest.fixture(scope="module")
def readers(tmp_path_factory: pytest.TempPathFactory) -> dict[str, fuzz.Reader]:
    return {reader.name: reader for reader in fuzz.readers(tmp_path_factory.mktemp("corpus"))}


INPUTS = {
    "npy": 300,
    "npz": 300,
    "array checks of doctor": 300,
    "table": 300,
    "zip of pictures": 200,
    "folder of pictures": 60,
    "picture checks of doctor": 60,
    "run": 150,
    "fitted prior": 60,
    "training to go on with": 150,
}


@pytest.mark.parametrize("name", INPUTS)
def test_damaged_files_are_read_or_refused(name: str, readers: dict[str, fuzz.Reader]) -> None:
    found = fuzz.fuzz(readers[name], INPUTS[name], seed=1)
    assert sum(found.values()) == INPUTS[name]
    assert not [outcome for outcome in found if outcome.startswith("failed")]
    assert found["read"] > 0  # changes are small enough to reach beyond the headers


def test_every_reader_is_tried(readers: dict[str, fuzz.Reader]) -> None:
    assert set(readers) == set(INPUTS)


@pytest.fixture
def run(tmp_path: Path, readers: dict[str, fuzz.Reader]) -> Path:
    for name, data in readers["run"].corpus.items():
        (tmp_path / "run" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "run" / name).write_bytes(data)
    return tmp_path / "run"


def changed(run: Path, **design: object) -> None:
    about = json.loads((run / "recipe.json").read_text())
    about["arguments"]["design"] |= design
    (run / "recipe.json").write_text(json.dumps(about))


def test_the_files_of_a_run_bound_what_is_built(
    run: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    changed(run, width=60_000)
    with pytest.raises(ValueError, match=r"recipe\.json: its settings ask for more than .* values"):
        vaelab.load(run)
    assert main(["sample", str(run), "--out", str(run / "s.csv")]) == 2
    assert "Traceback" not in capsys.readouterr().err


def test_any_number_of_layers_ends(run: Path) -> None:
    about = json.loads((run / "recipe.json").read_text())
    about |= {"recipe": "flow_prior", "arguments": about["arguments"] | {"layers": 2**31}}
    about["arguments"].pop("beta", None)
    (run / "recipe.json").write_text(json.dumps(about))
    with pytest.raises(ValueError, match=r"recipe\.json"):
        vaelab.load(run)


def test_a_prior_is_bounded_by_its_file(run: Path) -> None:
    path = run / "priors" / "mixture.json"
    about = json.loads(path.read_text())
    path.write_text(json.dumps(about | {"kind": "flow", "settings": {"layers": 2**31}}))
    with pytest.raises(ValueError, match=r"mixture\.json: its settings ask for more"):
        vaelab.load(run).with_prior("mixture")


def test_building_is_bounded_inside_alone() -> None:
    with size_budget.within(), pytest.raises(size_budget.TooLarge, match="no file holds 0 in 0"):
        torch.nn.Linear(2**11, 2**12)
    torch.nn.Linear(2**11, 2**12)


def test_members_that_are_not_asked_for_are_not_read(tmp_path: Path) -> None:
    path = tmp_path / "a.npz"
    np.savez(path, x=np.arange(40.0).reshape(10, 4), y=np.arange(10) % 2)
    with zipfile.ZipFile(path, "a", zipfile.ZIP_DEFLATED) as file:
        file.writestr("notes.npy", b"no array")
    assert vaelab.load_data(path).spec.sizes[0] == 8


@pytest.mark.parametrize("shape", [(2**60,), (2**60, 0), (2**31, 2**31)])
def test_a_claim_is_compared_with_the_file(
    tmp_path: Path, shape: tuple[int, ...], capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "a.npy"
    with path.open("wb") as file:
        header = {"descr": "<f4", "fortran_order": False, "shape": shape}
        np.lib.format.write_array_header_1_0(file, header)
        file.write(bytes(40))
    with pytest.raises(ValueError, match=r"a\.npy .* header claims [\d,]+ bytes"):
        vaelab.load_data(path)
    assert main(["doctor", str(path)]) == 2
    assert "Traceback" not in capsys.readouterr().err


def test_a_member_that_is_packed_beyond_measure_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from vaelab.data import archive

    monkeypatch.setattr(archive, "MOST", 2**20)
    path = tmp_path / "a.npz"
    np.savez_compressed(path, x=np.zeros((2**12, 2**10), np.uint8))
    with pytest.raises(ValueError, match=r"x\.npy claims 4,194,432 bytes, packed into"):
        vaelab.load_data(path)
    shutil.rmtree(tmp_path)
