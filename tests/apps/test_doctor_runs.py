"""`vaelab doctor RUN`: planted diseases are found, healthy runs are left alone."""

import pytest
import torch
from diseased import runs

from vaelab.apps.doctor import examine_run

SLOW = {
    runs.importance_weighted,
    runs.beta_of_a_half,
    runs.wild_learning_rate,
    runs.one_latent_for_two_factors,
    runs.silent_level,
}


def each(cases):
    return [
        pytest.param(*case, id=case[0].__name__, marks=pytest.mark.slow if case[0] in SLOW else ())
        for case in cases
    ]


@pytest.mark.parametrize("make", each([(make,) for make in runs.HEALTHY]))
def test_a_healthy_run_is_left_alone(make, tmp_path):
    make(tmp_path)
    report = examine_run(tmp_path / "run")
    assert report.findings == []


@pytest.mark.parametrize(("make", "wanted"), each(runs.ILL.items()))
def test_a_planted_disease_is_found(make, wanted, tmp_path):
    make(tmp_path)
    assert wanted <= {finding.code for finding in examine_run(tmp_path / "run").findings}


@pytest.fixture(scope="module")
def short_run(tmp_path_factory):
    folder = tmp_path_factory.mktemp("doctor")
    runs.trained(folder, runs.recipes.vae, "digits", 6, latent=4)
    return folder / "run"


def test_the_same_seed_gives_the_same_report_and_leaves_the_random_state_alone(short_run):
    state = torch.get_rng_state()
    first, second = (examine_run(short_run, limit=300).to_json() for _ in range(2))
    assert torch.equal(torch.get_rng_state(), state)
    assert first == second
    assert examine_run(short_run, limit=300, seed=1).figures != first["figures"]


def test_a_training_that_jumped_up_is_unstable(short_run):
    import json

    lines = [json.loads(line) for line in (short_run / "metrics.jsonl").read_text().splitlines()]
    kept = (short_run / "metrics.jsonl").read_text()
    lines[3]["valid_loss"] = lines[2]["valid_loss"] + 0.5 * (
        lines[0]["valid_loss"] - lines[-1]["valid_loss"]
    )
    (short_run / "metrics.jsonl").write_text("".join(json.dumps(row) + "\n" for row in lines))
    found = {f.code: f for f in examine_run(short_run, limit=50).findings}
    (short_run / "metrics.jsonl").write_text(kept)
    assert "epoch 4" in found["unstable"].what
    assert found["unstable"].evidence.value == pytest.approx(0.5)
    assert "unstable" not in {f.code for f in examine_run(short_run, limit=50).findings}
