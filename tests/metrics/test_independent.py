"""The same figures by other people's code: prdc, torchmetrics."""

from __future__ import annotations

import pytest
import torch

from vaelab.metrics import frechet_distances, kernel_distance, precision_recall_density_coverage

REAL = torch.randn(300, 6, generator=torch.Generator().manual_seed(0)).double()
FAKE = 0.8 * torch.randn(250, 6, generator=torch.Generator().manual_seed(1)).double() + 0.2


@pytest.mark.parametrize("k", [3, 5])
def test_the_four_are_those_of_prdc(k: int, capsys: pytest.CaptureFixture[str]) -> None:
    prdc = pytest.importorskip("prdc")
    theirs = prdc.compute_prdc(REAL.numpy(), FAKE.numpy(), nearest_k=k)
    ours = precision_recall_density_coverage(REAL, FAKE, k)
    for name in ("precision", "recall", "density", "coverage"):
        assert getattr(ours, name).value == pytest.approx(float(theirs[name]), abs=1e-9)
    capsys.readouterr()


@pytest.mark.filterwarnings("ignore")
def test_distances_are_those_of_torchmetrics() -> None:
    fid = pytest.importorskip("torchmetrics.image.fid")
    kid = pytest.importorskip("torchmetrics.image.kid")
    mean = [t.mean(0) for t in (REAL, FAKE)]
    cov = [torch.cov(t.T) for t in (REAL, FAKE)]
    theirs = fid._compute_fid(mean[0], cov[0], mean[1], cov[1])
    assert frechet_distances(REAL, FAKE)[0].value == pytest.approx(float(theirs), abs=1e-6)
    theirs = kid.poly_mmd(REAL[:250], FAKE)
    assert kernel_distance(REAL[:250], FAKE).value == pytest.approx(float(theirs), abs=1e-9)
