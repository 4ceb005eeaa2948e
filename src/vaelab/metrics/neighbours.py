r"""Exact nearest neighbours by brute force, a chunk of queries at a time.

    ‖a − b‖² = ‖a‖² − 2 a·b + ‖b‖²

One matrix product, of (a, 1) with (−2 b, ‖b‖²), ranks all M reference points for a chunk of
queries (‖a‖² is the same for a whole row); the distances of the few that win are then computed
afresh from a − b, so that cancellation cannot spoil them. The ranking
has the precision of the input: give float64 for points whose neighbours are closer than about
1e-3 of their distance from the common mean.
"""

import torch
import torch.nn.functional as F
from torch import Tensor

from vaelab.metrics.inputs import rows

CHUNK_ELEMENTS = 2**22  # of the chunk × M matrix of one step: 16 MiB in float32
BLOCK = 20  # scores whose least is taken before any are sorted
SPARE = 3  # candidates beyond k, so that a rounded ranking still holds the true k


def k_nearest(
    queries: Tensor, reference: Tensor, k: int, exclude_self: bool = False
) -> tuple[Tensor, Tensor]:
    """The k nearest reference points of each query, nearest first.

    Args:
        queries: (N, D) floating point.
        reference: (M, D) floating point.
        k: at least 1 and at most M (M - 1 with `exclude_self`).
        exclude_self: the queries *are* the reference, row by row, and no row may be its own
            neighbour. A twin, another row with the same numbers, still counts, at distance 0.

    Returns:
        Euclidean distances (N, k) and row numbers in `reference` (N, k), int64.

    Raises:
        ValueError: shapes or `k` do not fit, or a number is not finite.

    Example:
        >>> line = torch.tensor([[0.0], [1.0], [3.0]])
        >>> k_nearest(line, line, k=1, exclude_self=True)[0].flatten().tolist()
        [1.0, 1.0, 2.0]
    """
    r = rows(reference, "reference")
    q = rows(queries, "queries", width=r.shape[1]).to(r)
    m = len(r) - exclude_self
    if exclude_self and len(q) != len(r):
        raise ValueError(
            f"exclude_self needs the reference itself as queries: {len(q)} and {len(r)} rows"
        )
    if not 1 <= k <= m:
        raise ValueError(f"k must lie in 1…{m} for {m} reference points, got {k}")

    centre = r.mean(dim=0)
    centred = F.pad(r - centre, (0, 0, 0, -len(r) % BLOCK))
    squares = centred.square().sum(dim=1, keepdim=True)
    squares[len(r) :] = torch.inf  # the padding is nobody's neighbour
    weights = torch.cat([-2 * centred, squares], dim=1).T
    chunk = max(1, CHUNK_ELEMENTS // len(r))
    distances, indices = [], []
    for start in range(0, len(q), chunk):
        part = q[start : start + chunk]
        score = F.pad(part - centre, (0, 1), value=1.0) @ weights
        if exclude_self:
            score.diagonal(offset=start).fill_(torch.inf)
        near = _smallest(score, min(k + SPARE, m))
        exact = (part[:, None, :] - r[near]).norm(dim=-1)
        distance, order = exact.sort(dim=1, stable=True)
        distances.append(distance[:, :k])
        indices.append(near.gather(1, order[:, :k]))
    return torch.cat(distances), torch.cat(indices)


def kth_distance(
    queries: Tensor, reference: Tensor, k: int = 5, exclude_self: bool = False
) -> Tensor:
    """Distance (N,) from each query to its k-th nearest reference point; see `k_nearest`."""
    return k_nearest(queries, reference, k, exclude_self)[0][:, -1]


def nearest(queries: Tensor, reference: Tensor) -> tuple[Tensor, Tensor]:
    """Distance (N,) to the nearest reference point and its row number (N,); see `k_nearest`."""
    distances, indices = k_nearest(queries, reference, k=1)
    return distances[:, 0], indices[:, 0]


def _smallest(score: Tensor, k: int) -> Tensor:
    """Columns (N, k) of the k smallest of each row of (N, BLOCK · W), some times faster than topk.

    Every W-th column forms a block; the k smallest lie in the k blocks with the smallest minima.
    """
    width = score.shape[1] // BLOCK
    least = score.unflatten(1, (BLOCK, width)).amin(dim=1)
    blocks = least.topk(min(k, width), dim=1, largest=False).indices
    offsets = width * torch.arange(BLOCK, device=score.device)
    columns = (blocks[:, :, None] + offsets).flatten(1)
    return columns.gather(1, score.gather(1, columns).topk(k, dim=1, largest=False).indices)
