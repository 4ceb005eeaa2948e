r"""Distances between two samples: are a and b drawn from one distribution?

    MMD²     E k(a, a') + E k(b, b') − 2 E k(a, b)                    (Gretton et al. 2012)
    KID      MMD² with k(a, b) = (aᵀb / F + 1)³ on features          (Bińkowski 1801.01401)
    Fréchet  ‖m_a − m_b‖² + tr(C_a + C_b − 2 (C_a C_b)^½)             (Heusel 1706.08500)

MMD² is estimated without bias, so it can be negative when a and b are alike: the means over i ≠ j
of k(a_i, a_j) and k(b_i, b_j), less twice that over all i, j of k(a_i, b_j). Its spread is that of
h_ij = k(a_i, a_j) + k(b_i, b_j) − k(a_i, b_j) − k(a_j, b_i).
"""

import math
from collections.abc import Callable

import torch
from torch import Tensor

from vaelab.metrics.estimate import Estimate
from vaelab.metrics.inputs import in_double, rows
from vaelab.metrics.neighbours import CHUNK_ELEMENTS

Kernel = Callable[[Tensor, Tensor], Tensor]  # (N, F), (M, F) -> (N, M)


def inverse_multiquadratic(a: Tensor, b: Tensor) -> Tensor:
    """C / (C + ‖a − b‖²) with C = 2 D: the Wasserstein autoencoder's for N(0, I) (1711.01558).

    2 D is the expected squared distance of two draws of the prior in D dimensions, and the heavy
    tails see outliers that a Gaussian kernel cannot.
    """
    c = 2.0 * a.shape[1]
    # 1 + ‖a − b‖²/C as one product: (a, ‖a‖² + C, 1) with (−2 b, 1, ‖b‖²), over C.
    left = torch.cat([a, a.square().sum(dim=1, keepdim=True) + c, torch.ones_like(a[:, :1])], dim=1)
    right = torch.cat(
        [-2 * b, torch.ones_like(b[:, :1]), b.square().sum(dim=1, keepdim=True)], dim=1
    )
    return (left @ (right / c).T).reciprocal_()


def cubic(a: Tensor, b: Tensor) -> Tensor:
    """(aᵀb / F + 1)³, the kernel of KID (1801.01401)."""
    return (a @ b.T / a.shape[1] + 1) ** 3


def mmd(a: Tensor, b: Tensor, kernel: Kernel = inverse_multiquadratic) -> Estimate:
    """MMD² between two samples, unbiased; 0 in expectation for one distribution.

    The standard error is the U-statistic's, both terms of Hoeffding's decomposition:
    Var = 4 (N − 2) / (N (N − 1)) ζ₁ + 2 / (N (N − 1)) ζ₂ with ζ₁ = Var_i(E_j h_ij), ζ₂ = Var(h_ij).
    ζ₁ may come out below 0 if the samples are alike; half of the second term is kept then.

    Args:
        a: (N, F), N of at least 3.
        b: (N, F), as many as `a`.
        kernel: positive definite, (N, F) × (M, F) → (N, M).

    Raises:
        ValueError: the samples differ in size or are too small.
    """
    x, y = _pair(a, b)
    n = len(x)
    if n != len(y) or n < 3:
        raise ValueError(
            f"MMD compares samples of one size, at least 3; got {n} and {len(y)}: "
            f"give a[:{min(n, len(y))}] and b[:{min(n, len(y))}]"
        )
    sums, squares = torch.zeros_like(x[:, 0]), torch.zeros_like(x[:, 0])
    across, twins = 0.0, 0.0
    chunk = max(1, CHUNK_ELEMENTS // n)
    for start in range(0, n, chunk):
        part = slice(start, start + chunk)
        cross = kernel(x[part], y)
        across += float(cross.sum())
        twins += float(cross.diagonal(offset=start).sum())
        h = kernel(x[part], x) + kernel(y[part], y) - cross - kernel(y[part], x)
        h.diagonal(offset=start).zero_()
        sums[part] = h.sum(dim=1)
        squares[part] = h.square().sum(dim=1)
    pairs = n * (n - 1)
    paired = float(sums.sum()) / pairs
    # Who stands beside whom must not matter: the cross term takes all N² pairs, i = j too.
    value = paired + 2 * (across - twins) / pairs - 2 * across / n**2
    zeta_2 = max(0.0, float(squares.sum()) / pairs - paired**2)
    # The spread of the row means, less what a mean of n − 1 terms has by chance.
    zeta_1 = float((sums / (n - 1)).var()) - zeta_2 / (n - 1)
    variance = max(4 * (n - 2) * zeta_1 + 2 * zeta_2, zeta_2) / pairs
    return Estimate(value, math.sqrt(variance), n)


def kernel_distance(a: Tensor, b: Tensor) -> Estimate:
    """KID between features (N, F) of two samples of one size: unbiased MMD², cubic kernel."""
    return mmd(a, b, cubic)


def frechet_distances(a: Tensor, b: Tensor, groups: int = 20) -> tuple[Estimate, Estimate]:
    """Fréchet distance between the normals fitted to two samples of features; squared units.

    The first is the plain figure: biased upwards, by about the number of features over N. Compare
    only figures with one N and one feature space, which is why none can be set beside a published
    FID. Its standard error is a jackknife's over `groups` blocks of rows, so rows must be in no
    order; it is that of the figure at this N, and does not cover the bias.

    The second is without the part of the bias that falls as 1/N. It is the jackknife's,
    G θ − (G − 1) mean of θ without a block: an estimate of the distance between the distributions,
    which may fall below 0 if they are alike.

    Args:
        a: (N, F).
        b: (M, F).
        groups: G, blocks left out in turn, at least 2; each sample needs two rows of each.

    Raises:
        ValueError: the samples differ in width, or are too small for so many blocks.
    """
    x, y = _pair(a, b)
    if not 2 <= groups <= min(len(x), len(y)) // 2:
        raise ValueError(f"{groups} groups need 2 rows each; got {len(x)} and {len(y)} rows")
    left_out = torch.tensor(
        [_frechet(_without(x, g, groups), _without(y, g, groups)) for g in range(groups)],
        dtype=torch.float64,
    )
    spread = float((left_out - left_out.mean()).square().sum())
    se, n = math.sqrt((groups - 1) / groups * spread), min(len(x), len(y))
    whole = _frechet(x, y)
    corrected = groups * whole - (groups - 1) * float(left_out.mean())
    return Estimate(whole, se, n), Estimate(corrected, se, n)


def _frechet(x: Tensor, y: Tensor) -> float:
    gap = x.mean(dim=0) - y.mean(dim=0)
    c_x, c_y = torch.cov(x.T).reshape(len(gap), -1), torch.cov(y.T).reshape(len(gap), -1)
    values, vectors = torch.linalg.eigh(c_x)
    root = vectors * values.clamp(min=0).sqrt() @ vectors.T
    # C_a C_b and C_a^½ C_b C_a^½ share their eigenvalues; the second is symmetric.
    cross = torch.linalg.eigvalsh(root @ c_y @ root).clamp(min=0).sqrt().sum()
    return float(gap.square().sum() + c_x.trace() + c_y.trace() - 2 * cross)


def _without(x: Tensor, group: int, groups: int) -> Tensor:
    keep = torch.arange(len(x), device=x.device) % groups != group
    return x[keep]


def _pair(a: Tensor, b: Tensor) -> tuple[Tensor, Tensor]:
    x = in_double(rows(a, "the first sample"))
    return x, in_double(rows(b, "the second sample", width=x.shape[1]))
