"""The speed benchmark: its arithmetic on planted records, its scorer against the library's."""

from __future__ import annotations

import json
import math
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT / "benchmarks"))

from speed import machine, mnist, ours, report, score  # noqa: E402
from speed.accelerator import accelerated  # noqa: E402
from speed.measures import Target, measures, search_settings  # noqa: E402
from speed.worker import Race, steady  # noqa: E402

TARGET = Target("t", "images_per_s", "a", "b", 4)


def test_ratios_are_taken_pair_by_pair() -> None:
    # Medians of each side are 40 and 10; pair by pair the machine's slow spell cancels.
    ratio = report.Ratio.of(TARGET, [40, 8, 60], [10, 2, 20])
    assert (ratio.middle, ratio.low, ratio.high, ratio.met) == (4, 3, 4, True)


def test_a_ratio_of_seconds_is_turned_round_and_at_most_is_a_ceiling() -> None:
    faster = replace(TARGET, inverse=True)
    assert report.Ratio.of(faster, [2.0], [10.0]).middle == 5
    memory = replace(TARGET, bound=0.6, at_most=True)
    assert not report.Ratio.of(memory, [7.0], [10.0]).met
    assert report.Ratio.of(memory, [6.0], [10.0]).met


def test_a_race_is_read_at_100_nats_or_at_what_all_reached() -> None:
    fast = {"track": [[1, 120.0], [2, 99.0]], "peak_mib": 1.0}
    slow = {"track": [[5, 130.0], [10, 98.0]], "peak_mib": 1.0}
    assert report.figures({"a": [fast], "b": [slow]}, "seconds") == {"a": [2.0], "b": [10.0]}
    short = {"track": [[5, 130.0], [10, 103.42]], "peak_mib": 1.0}
    records = {"a": [fast], "b": [short]}
    assert report.common_target(records) == pytest.approx(103.5)
    assert report.figures(records, "seconds") == {"a": [2.0], "b": [10.0]}


def test_the_page_says_met_missed_and_left_out() -> None:
    known = measures(quick=True, raced={})
    record = {"peak_mib": 100.0, "warm_up_s": 1.5}
    mlp = {
        "vaelab": [record | {"images_per_s": 50_000.0}],
        "pythae": [record | {"images_per_s": 10_000.0}],
        "DataLoader loop": [record | {"images_per_s": 25_000.0}],
        "products alone": [{"failed": "no memory"}],
        "vaelab, fp32": [{"skipped": "no such setting"}],
    }
    results = {"threads": 2, "machine": {}, "versions": {}, "measures": {"mlp": mlp}}
    page = report.page(results, known, "By hand.")
    rows = {line.split(" |")[0].strip("| "): line for line in page.splitlines() if "|" in line}
    assert "5.00× (5.00–5.00)" in rows["training, against pythae"]
    assert rows["training, against pythae"].endswith("| met |")
    assert "**missed**" in rows["training, against the loop"]
    assert "share of the products" not in rows
    assert "products alone: no memory" in page
    assert "By hand." in page
    assert str(Path.home()) not in page


def test_the_first_epoch_is_warm_up() -> None:
    record = steady([10.0, 2.0, 4.0], images=300)
    assert record["images_per_s"] == 100
    assert record["warm_up_s"] == 7


def test_a_race_ends_at_the_target_or_at_the_budget() -> None:
    nats = iter([120.0, 99.0])
    race = Race(0.0, lambda _: next(nats), target=100.0, budget=math.inf)
    assert [race.over({}), race.over({})] == [False, True]
    assert [found for _, found in race.track] == [120.0, 99.0]
    assert Race(0.0, lambda _: 120.0, target=100.0, budget=1.0).over({})


def test_every_setting_of_the_search_makes_a_plan() -> None:
    for settings in search_settings(quick=False)["vaelab"]:
        assert not isinstance(ours.make_plan(settings["plan"]), str)
    assert ours.make_plan({"no_such": 1}) == "Plan has no no_such"


def test_the_scorer_agrees_with_the_library_and_both_layouts_agree() -> None:
    from vaelab.metrics.likelihood import elbo

    torch.manual_seed(0)
    model = ours.mlp(latent=4).eval()
    with torch.no_grad():  # a spread small enough that the bound on log σ is felt
        model.encoder[3].bias[4:] += torch.tensor([-3.0, -1.0, -2.0, -6.0])
    x = (torch.rand(2000, 784, generator=torch.Generator().manual_seed(1)) < 0.2).float()
    found = elbo(model, [x.reshape(-1, 1, 28, 28)], samples=4)["neg_elbo"]
    scored = score.neg_elbo(score.of_vaelab(model.state_dict(), F.relu), x)
    assert scored == pytest.approx(found.value, abs=0.3)
    own = {
        k.removeprefix("generator."): t
        for k, t in model.state_dict().items()
        if not k.startswith("encoder.3")
    }
    w, b = model.encoder[3].weight.detach(), model.encoder[3].bias.detach()
    heads = {"encoder.embedding.weight": w[:4], "encoder.embedding.bias": b[:4]}
    heads |= {"encoder.log_var.weight": w[4:] * 0, "encoder.log_var.bias": b[4:] * 0 + 2.0}
    net = score.of_pythae(own | heads, F.relu)
    assert net.log_sigma(torch.tensor(2.0)) == 1.0  # log σ² = 2
    assert len(net.encoder) == 1
    assert len(net.decoder) == 2
    assert torch.equal(net.mu[0], w[:4])


def test_the_machine_is_described_without_its_paths() -> None:
    said = " ".join(machine.describe().values())
    assert "/" not in said.replace("/s", "")


@pytest.mark.parametrize("module", ["speed.products"])
def test_a_contestant_answers_with_one_line(module: str) -> None:
    job = {"job": "train", "threads": 1, "precision": "fp32", "batch": 8, "blocks": 1, "steps": 1}
    done = subprocess.run(
        [sys.executable, "-m", module, json.dumps(job)],
        env=os.environ | {"PYTHONPATH": str(ROOT / "benchmarks"), "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        check=True,
    )
    record = json.loads(done.stdout)
    assert record["images_per_s"] > 0
    assert record["peak_mib"] > 20


def test_mnist_is_read_as_the_library_reads_it() -> None:
    if "VAELAB_DATA" not in os.environ or not mnist.folder().exists():
        pytest.skip("VAELAB_DATA names no folder with mnist")
    import vaelab

    test = vaelab.load_data("mnist").test.x.squeeze(1).numpy()
    np.testing.assert_array_equal(mnist.images("t10k"), test)
    x = mnist.binarized_test()
    assert x.shape == (10_000, 784)
    assert set(np.unique(x)) == {0.0, 1.0}
    assert x.mean() == pytest.approx(test.mean() / 255, abs=1e-3)


def test_a_figure_of_its_own_is_held_to_its_bound() -> None:
    alone = Target("an epoch", "epoch_ms", "a", "", 60, at_most=True)
    assert report.Ratio.of(alone, [50.0, 70.0, 55.0], []) == report.Ratio(55.0, 50.0, 70.0, True)
    known = accelerated("cuda", quick=True)
    records = {"vaelab": [{"epoch_ms": 80.0, "images_per_s": 1e6, "peak_mib": 1.0}]}
    results = {"threads": 2, "machine": {}, "versions": {}, "measures": {"mlp": records}}
    page = report.page(results, known, "")
    assert "| an epoch | vaelab: 80 |  | 80.00 (80.00–80.00) | at most 60 | **missed** |" in page


def test_what_is_asked_of_an_accelerator_makes_plans_here_too() -> None:
    for measure in accelerated("cpu", quick=False).values():
        for contestant in measure.contestants.values():
            if "plan" in contestant.settings:
                assert not isinstance(ours.make_plan(contestant.settings["plan"]), str)
