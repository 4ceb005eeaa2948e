"""`vaelab doctor RUN`: planted diseases are found, healthy runs are left alone."""

import io
import json
from dataclasses import replace
from types import SimpleNamespace

import pytest
import torch
from diseased import data, runs
from rich.console import Console

from vaelab.data import load, with_columns
from vaelab.distributions import CategoricalIndex, Joint, Normal
from vaelab.doctor import examine_run
from vaelab.doctor.comparison_space import view_of
from vaelab.doctor.findings import Evidence, Finding, Report
from vaelab.doctor.prior_measurements import AgainstPrior, Lost, ReferenceRows
from vaelab.doctor.root_cause import ordered
from vaelab.doctor.run_checks import enough_latents, matches_prior, prior_gains
from vaelab.doctor.run_measurements import Codes
from vaelab.metrics import Estimate
from vaelab.reports.findings_console import show

SLOW = {
    runs.importance_weighted,
    runs.beta_of_a_half,
    runs.wild_learning_rate,
    runs.one_latent_for_two_factors,
    runs.silent_level,
    runs.steps_too_small,
    runs.twenty_epochs,  # as the healthy runs of few steps, of which it is said too
    runs.with_priors,  # as the prior `many` of the fixture
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
    # Of few steps it cannot be told whether they were enough, and no more is said of them.
    said = ["few-steps"] if make in runs.FEW_STEPS else []
    assert [finding.code for finding in report.findings] == said
    assert not report.reaches("warning")


@pytest.mark.parametrize(("make", "wanted"), each(runs.ILL.items()))
def test_a_planted_disease_is_found(make, wanted, tmp_path):
    make(tmp_path)
    report = examine_run(tmp_path / "run", prior=runs.PRIOR.get(make))
    assert wanted <= {finding.code for finding in report.findings}


@pytest.fixture(scope="module")
def short_run(tmp_path_factory):
    folder = tmp_path_factory.mktemp("doctor")
    runs.trained(folder, runs.recipes.vae, "digits8x8", 6, latent=4)
    return folder / "run"


def test_the_same_seed_gives_the_same_report_and_leaves_the_random_state_alone(short_run):
    state = torch.get_rng_state()
    first, second = (examine_run(short_run, limit=300).to_json() for _ in range(2))
    assert torch.equal(torch.get_rng_state(), state)
    assert first == second
    assert examine_run(short_run, limit=300, seed=1).figures != first["figures"]


def test_a_training_that_jumped_up_is_unstable(short_run):
    lines = [json.loads(line) for line in (short_run / "metrics.jsonl").read_text().splitlines()]
    kept = (short_run / "metrics.jsonl").read_text()
    lines[3]["valid_loss"] = lines[2]["valid_loss"] + 0.5 * (
        lines[0]["valid_loss"] - lines[-1]["valid_loss"]
    )
    (short_run / "metrics.jsonl").write_text("".join(json.dumps(row) + "\n" for row in lines))
    about = (short_run / "recipe.json").read_text()
    changed = json.loads(about)
    del changed["sha256"]["metrics.jsonl"]
    (short_run / "recipe.json").write_text(json.dumps(changed))
    found = {f.code: f for f in examine_run(short_run, limit=50).findings}
    (short_run / "metrics.jsonl").write_text(kept)
    (short_run / "recipe.json").write_text(about)
    assert "epoch 4" in found["unstable"].what
    assert found["unstable"].evidence.value == pytest.approx(0.5)
    assert "unstable" not in {f.code for f in examine_run(short_run, limit=50).findings}


@pytest.fixture(scope="module")
def with_priors(tmp_path_factory):
    folder = tmp_path_factory.mktemp("priors")
    runs.with_priors(folder)
    return folder / "run"


def test_a_prior_that_is_worse_than_the_models_own_is_found(with_priors):
    one, many, corner = (examine_run(with_priors, prior=n) for n in ("one", "many", "corner"))
    own = examine_run(with_priors)
    for report, wanted in ((own, False), (one, False), (many, True), (corner, True)):
        assert ("worse-prior" in {f.code for f in report.findings}) == wanted
    assert "lost_nats" not in own.figures
    figures = json.loads((with_priors / "priors" / "many.json").read_text())["figures"]
    found = {f.code: f for f in many.findings}["worse-prior"]
    # Of other held-out rows than it was fitted beside.
    assert found.evidence.value == pytest.approx(figures["nats"] - figures["own_nats"], rel=0.3)
    assert f"costs {found.evidence.value:.2f} nats more" in many.about[-1]
    said = {f.code: f for f in corner.findings}["worse-prior"].what
    assert "fewer test rows have a sample nearby" in said


def test_rows_are_compared_by_what_their_columns_are():
    x = data.rng().normal(size=(200, 3)) * [1, 1, 1e6]
    x[:, 1] = data.rng().integers(0, 4, 200)
    named = with_columns(load(x), ["real", "categories", "real"]).spec
    rows = named.prepare(torch.tensor(x).float())
    same, other = rows.repeat(2, 1, 1)
    for category, apart in ((0.0, 0.0), (1.0, 2**0.5), (3.0, 2**0.5)):
        same[:, 1], other[:, 1] = 0.0, category
        difference = view_of(named, rows)(same) - view_of(named, rows)(other)
        torch.testing.assert_close(difference.norm(dim=1), torch.full((200,), apart))
    plain = replace(named, columns=(), header=(), offset=(0.0,), scale=(1.0,))
    raw = torch.tensor(x).float()
    small = raw / torch.tensor([1, 1, 1e6])
    torch.testing.assert_close(view_of(plain, raw)(raw), view_of(plain, small)(small))
    # A name has no mean, but what it is shown as has: how often it comes.
    logits = torch.tensor([0.1, 0.2, 0.3, 0.4]).log().expand(2000, 1, 4)
    numbers = Normal(torch.zeros(2000, 2), torch.zeros(2000, 2))
    likelihood = Joint((numbers, CategoricalIndex(logits)), ((0, 2), (1,)))
    shown = ReferenceRows(named, rows, rows, (), view_of(named, rows)).expected(likelihood).mean(0)
    expected = torch.tensor([0.1, 0.2, 0.3, 0.4])
    assert min((shown[i : i + 4] - expected).abs().max() for i in range(3)) < 0.02


def test_by_which_figures_a_prior_is_worse_is_said():
    better, worse = Estimate(-0.3, 0.02, 100), Estimate(0.3, 0.02, 100)
    for lost, wanted in (
        (Lost(worse, better, better), ["0.30 nats more"]),
        (Lost(better, worse, better), ["30% fewer samples are like"]),
        (Lost(better, better, worse), ["30% fewer test rows have"]),
        (Lost(worse, None, None), ["0.30 nats more"]),
        (Lost(Estimate(0.3, 0.2, 100), better, better), []),
        (Lost(Estimate(0.05, 0.01, 100), better, better), []),
    ):
        found = list(prior_gains(SimpleNamespace(lost=lost)))
        assert len(found) == len(wanted)
        assert all(said in found[0].what for said in wanted)


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
