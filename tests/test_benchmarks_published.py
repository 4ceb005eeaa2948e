"""The published rows: their stages, a training taken up again, what is judged, and the page."""

from __future__ import annotations

import math
import sys
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT / "benchmarks"))

import published  # noqa: E402
from published_jobs.page import page  # noqa: E402
from published_jobs.rows import ROWS, composed, milestones  # noqa: E402
from published_jobs.training import Course, Setting, measured  # noqa: E402

from vaelab.core import VAE  # noqa: E402


def small(mean: Tensor) -> VAE:
    return composed(mean.shape, (12,), 3, nn.Tanh)


TINY = replace(ROWS["vae"], data="digits8x8", valid=100, model=small, batch=100, lr=0.01)


@pytest.mark.parametrize("row", ROWS.values(), ids=ROWS)
def test_all_passes_are_the_published_stages_and_fewer_meet_the_same_rates(row: Any) -> None:
    found = Counter(row.shares(row.passes))
    assert found == Counter({share: count for count, share in row.stages})
    fewer = row.shares(60)
    assert fewer == sorted(fewer, reverse=True)
    assert len(fewer) == 60
    assert set(fewer) == {share for _, share in row.stages}
    assert len(row.shares(1)) == 1


def test_the_staircase_is_that_of_the_paper() -> None:
    row = ROWS["iwae-50"]
    assert row.passes == 3280
    assert row.lr * row.shares(3280)[-1] == pytest.approx(1e-4)
    assert milestones(10, (3, 8, 20), 0.5) == ((3, 1.0), (5, 0.5), (2, 0.25))


def test_the_network_begins_as_the_papers_did() -> None:
    mean = torch.rand(1, 28, 28, generator=torch.Generator().manual_seed(0))
    model = ROWS["vae"].model(mean)
    layers = [m for m in model.modules() if isinstance(m, nn.Linear)]
    assert [(m.in_features, m.out_features) for m in layers] == [
        (784, 200), (200, 200), (200, 100), (50, 200), (200, 200), (200, 784)
    ]  # fmt: skip
    # Without biases of their own, tanh layers lead z = 0 to the last biases alone.
    drawn = torch.sigmoid(model.decode([torch.zeros(1, 50)]).likelihood.logits)
    torch.testing.assert_close(drawn[0], mean.clamp(0.001, 0.999))
    assert not torch.allclose(model.decode([torch.ones(1, 50)]).likelihood.logits, drawn)
    # Mean and log σ are two layers of 200 to 50, not one of 200 to 100.
    assert float(layers[2].weight.detach().abs().max()) == pytest.approx(math.sqrt(6 / 250), 0.01)


def test_a_training_broken_off_ends_as_one_that_was_not(tmp_path: Path) -> None:
    row = replace(TINY, keeps_best=True)
    setting = Setting(row, passes=3, batch=100, seed=0)
    whole = Course(setting, tmp_path / "whole", "cpu")
    whole.go(60)
    for done in (1, 2, 3):
        part = Course(setting, tmp_path / "part", "cpu")
        part.go(0)  # no training
        assert part.done == done - 1
        part.go(1e-9)
        assert part.done == done
    for name, t in whole.model.state_dict().items():
        torch.testing.assert_close(part.model.state_dict()[name], t, rtol=0, atol=0)
        torch.testing.assert_close(part.kept[name], whole.kept[name], rtol=0, atol=0)
    assert [r["loss"] for r in part.history] == [r["loss"] for r in whole.history]
    assert part.history[-1]["loss"] < part.history[0]["loss"] - 1
    assert sorted(p.name for p in (tmp_path / "part").iterdir()) == [
        "state.json",
        "state.safetensors",
    ]


def test_what_is_judged_are_the_weights_that_are_kept(tmp_path: Path) -> None:
    course = Course(Setting(replace(TINY, keeps_best=True), 4, 100, 0), tmp_path, "cpu")
    course.go(60)
    found = measured(course, 50)
    assert found["nll"] < found["neg_elbo"]
    # Every pixel black or white with probability ½, whatever z: the posterior is the prior.
    course.best = {name: torch.zeros_like(t) for name, t in course.kept.items()}
    planted = measured(course, 50)
    assert planted["nll"] == pytest.approx(64 * math.log(2), abs=1e-3)
    assert found["nll"] < planted["nll"]


def test_the_command_goes_on_and_writes_the_page(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(ROWS, "vae", TINY)
    monkeypatch.setattr(published, "KEPT", tmp_path / "kept")
    monkeypatch.setattr(published, "PAGE", tmp_path / "docs" / "published.md")
    words = ["--only", "vae", "--passes", "2", "--samples", "3"]
    words += ["--threads", str(torch.get_num_threads()), "--minutes"]
    for minutes, done in (("1e-9", 1), ("0", 1), ("60", 2), ("60", 2)):
        assert published.main([*words, minutes]) == 0
        (result,) = published.found(tmp_path / "kept")
        assert result["done"] == done
        assert f"| {done} of 3,280 |" in (tmp_path / "docs" / "published.md").read_text()


def test_the_page_says_what_is_missing() -> None:
    result = {"name": "vae", "passes": 40, "batch": 20, "seed": 0, "device": "cpu", "threads": 1}
    result |= {
        "load": 7.5,
        "machine": {"processor": "P", "cores": "2"},
        "nll": 90.0,
        "nll_se": 0.25,
    }
    result |= {"neg_elbo": 95.0, "neg_elbo_se": 0.2, "images": 10_000, "samples": 1000}
    result |= {"slack": 0.12, "loose": 0.0, "done": 20, "seconds": 720.0, "lr": 2e-4, "fell": 0.5}
    text = page([result])
    row = next(line for line in text.splitlines() if line.startswith("| VAE, dynamic"))
    assert "| 86.76 | 90.00 ± 0.25 | +3.24 | 1,000 of 5,000 | 20 of 3,280 | 20 | 1 |" in row
    assert "would take 33 hours" in text  # 720 s / 20 · 3,280 = 32.8 h
    assert "broken off before the 40 asked for" in text
    assert "still fell by 0.50" in text
    two = page([result, result | {"seed": 1, "nll": 91.0}])
    assert "90.50 ± 0.50" in two
    assert "| IWAE-50, static MNIST | 86.82 | not run |" in text
    assert page([]).count("| not run |") == len(ROWS)
    assert str(Path.home()) not in text
