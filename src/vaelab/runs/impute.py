"""Imputation: missing cells of rows, given the observed ones, from a trained model."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from vaelab.core import complete, fork_rng
from vaelab.data.loading.mapped_rows import Raw
from vaelab.data.tabular.reader import is_frame
from vaelab.runs.frame import typed
from vaelab.utils.options import option

if TYPE_CHECKING:
    from vaelab.runs.run import Run

CELLS = 2**22
"""Numbers that are drawn at a time."""


@dataclass(frozen=True, eq=False)
class Imputation:
    """Rows with their missing cells filled; observed cells are those of the input.

    Attributes:
        missing: cells that were missing, (N, D), bool, in the order of the run's columns.
        single: conditional mean of each number, most probable value of each category, (N, D), on
            the raw scale.
        draws: n draws of whole rows from p(x_mis | x_obs), (n, N, D).
        low: lower ends of the central intervals of missing cells, (N, D); NaN elsewhere, and for
            categories.
        high: upper ends, likewise.
        effective_draws: effective number of importance samples (ESS) of each row, (N,).
        source: input, whose type and other columns `filled` keeps.
        run: run that filled the cells.
    """

    missing: Tensor
    single: Tensor
    draws: Tensor
    low: Tensor
    high: Tensor
    effective_draws: Tensor
    source: Any
    run: Run

    @property
    def filled(self) -> Any:
        """Copy of the input with single imputations, of its type."""
        return self._into(self.single)

    @property
    def multiple(self) -> list[Any]:
        """n copies of the input with drawn imputations, of its type."""
        return [self._into(rows) for rows in self.draws]

    def _into(self, rows: Tensor) -> Any:
        if is_frame(self.source):
            return self._into_frame(rows)
        if isinstance(self.source, Tensor):
            filled = torch.where(self.missing, rows, self.source.to(rows))
            return filled if self.source.dtype != torch.float64 else self._exact(rows)
        return self._exact(rows).numpy() if isinstance(self.source, np.ndarray) else rows

    def _exact(self, rows: Tensor) -> Tensor:
        """Rows in the precision of the input, whose observed cells are unchanged."""
        given = torch.as_tensor(np.asarray(self.source)).view(rows.shape)
        kind = given.dtype if given.is_floating_point() else rows.dtype
        return torch.where(self.missing, rows.to(kind), given.to(kind))

    def _into_frame(self, rows: Tensor) -> Any:
        import pandas

        frame = self.source.copy()
        names = [str(name).strip() for name in frame.columns]
        for j, heading in enumerate(self.run.spec.headings):
            gaps = self.missing[:, j].numpy()
            if not gaps.any():
                continue
            place = names.index(heading.name)
            series, fills = frame.iloc[:, place], iter(typed(heading, rows[:, j][gaps].tolist()))
            cells = [next(fills) if gap else cell for gap, cell in zip(gaps, series, strict=True)]
            try:
                column = pandas.Series(cells, series.index, dtype=series.dtype)
            except (TypeError, ValueError):
                column = pandas.Series(cells, series.index)
            frame[frame.columns[place]] = column
        return frame


def impute(
    run: Run, rows: Raw, source: Any, n: int, samples: int, interval: float, seed: int
) -> Imputation:
    """Fill missing cells of raw rows (N, D), which a source holds; as `Run.impute`."""
    check_imputable(run)
    if n < 0 or samples < 1:
        raise ValueError(f"n is {n} and samples {samples}; expected n ≥ 0 and samples ≥ 1")
    if not 0 < interval < 1:
        raise ValueError(f"interval is {interval}; the share it holds lies between 0 and 1")
    raw = rows[:].float()
    missing = raw.isnan()
    places = missing.any(1).nonzero()[:, 0]
    conditions = run._condition_for(len(raw))
    tail = (1 - interval) / 2
    single, draws = raw.clone(), raw.repeat(n, 1, 1)
    low, high = torch.full_like(raw, torch.nan), torch.full_like(raw, torch.nan)
    effective = torch.full((len(raw),), float(samples))
    categories = _places_of(run, ("categories",))
    numbers = torch.ones(run.spec.dims, dtype=torch.bool)
    numbers[_places_of(run, ("categories", "binary"))] = False
    with fork_rng(seed, run.device):
        for chunk in places.split(max(1, CELLS // (samples * run.spec.dims))):
            x = run.spec.prepare(raw[chunk]).to(run.device)
            found = complete(
                run.model, x, samples, tuple(c[chunk].to(run.device) for c in conditions)
            )
            best = found.mean
            best[:, categories] = found.modes(categories)
            here = missing[chunk]
            single[chunk] = torch.where(here, run.spec.restore(best.cpu()), raw[chunk])
            if n:
                drawn = run.spec.restore(found.resample(n).cpu())
                draws[:, chunk] = torch.where(here, drawn, raw[chunk])
            ends = run.spec.unscale(found.quantiles(tail, 1 - tail).cpu())
            shown = here & numbers
            low[chunk], high[chunk] = torch.where(shown, ends, torch.nan)
            effective[chunk] = found.effective_draws.cpu()
    return Imputation(missing, single, draws, low, high, effective, source, run)


def check_imputable(run: Run) -> None:
    """Refuse a run that has no distribution of missing cells.

    Raises:
        ValueError: names the reason, and the training that gives such a run.
    """
    if not run.spec.missing:
        raise ValueError(
            "the run was trained on complete rows, and its encoder takes no others; train it again "
            f"with {option('missing', 'expect')}, so that cells may be missing"
        )
    if not run.has_rate:
        raise ValueError(
            "the codes of this run are points, which have no weights given the observed cells; "
            "train a recipe with a rate, such as vae"
        )


def _places_of(run: Run, kinds: Sequence[str]) -> list[int]:
    columns = run.spec.columns
    return [j for j in range(run.spec.dims) if columns and columns[j % len(columns)].kind in kinds]
