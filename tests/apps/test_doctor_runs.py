"""`vaelab doctor RUN`: planted diseases are found, healthy runs are left alone."""

import io
from types import SimpleNamespace

import pytest
import torch
from diseased import runs
from rich.console import Console

from vaelab.apps.doctor import examine_run
from vaelab.apps.doctor.causes import ordered
from vaelab.apps.doctor.findings import Evidence, Finding, Report
from vaelab.apps.doctor.run_checks import enough_latents, matches_prior
from vaelab.apps.doctor.run_seen import AgainstPrior, Codes
from vaelab.apps.doctor.show import show
from vaelab.metrics import Estimate

SLOW = {
    runs.importance_weighted,
    runs.beta_of_a_half,
    runs.wild_learning_rate,
    runs.one_latent_for_two_factors,
    runs.silent_level,
    runs.steps_too_small,
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


def finding(code, severity):
    return Finding(code, severity, "what", Evidence("figure", 1.0), "remedy")


def test_an_under_trained_run_leads_with_that_and_marks_what_may_follow():
    found = [finding("collapse", "error"), finding("leak", "info"), finding("holes", "warning")]
    assert ordered(found) == found
    lead = finding("under-trained", "warning")
    report = Report("a", "run", [], [], ordered([*found, lead]))
    assert [(f.code, f.severity, f.follows) for f in report.findings] == [
        ("under-trained", "error", ""),
        ("collapse", "error", "under-trained"),
        ("holes", "warning", "under-trained"),
        ("leak", "info", ""),
    ]
    console = Console(file=io.StringIO(), width=100)
    show(report, console)
    said = console.file.getvalue()
    assert said.count("→ remedy") == 2  # of the cause, and of what does not follow from it
    assert said.count("may follow from under-trained") == 2


@pytest.mark.parametrize(
    ("beta", "active", "wanted", "unwanted"),
    [
        (1.0, [True, True], ["raise --beta"], ["fewer latents"]),
        (2.0, [True, True], ["fit another prior"], ["raise --beta", "fewer latents"]),
        (1.0, [True, False], ["raise --beta", "fewer latents"], []),
    ],
)
def test_the_remedy_of_holes_contradicts_no_other(beta, active, wanted, unwanted):
    seen = SimpleNamespace(
        beta=Estimate(beta, 0.01, 100),
        active=torch.tensor(active),
        prior=AgainstPrior(Estimate(0.9, 0.01, 100)),
    )
    (holes,) = matches_prior(seen)
    assert all(word in holes.remedy for word in wanted)
    assert not any(word in holes.remedy for word in unwanted)


def test_more_latents_are_not_advised_where_some_are_idle():
    codes = Codes(torch.zeros(200, 2), torch.randn(200, 2), torch.full((200, 2), 0.1), [4.0])
    for active, said in [([True, True], ["few-latents"]), ([True, False], [])]:
        seen = SimpleNamespace(
            beta=None,
            active=torch.tensor(active),
            collapsed=False,
            codes=codes,
            run=SimpleNamespace(latent=2),
        )
        assert [f.code for f in enough_latents(seen)] == said
