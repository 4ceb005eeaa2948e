"""`explore`: the latent spaces of runs as a page, in a notebook or as a file."""

from __future__ import annotations

import html
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from vaelab.data import Data
from vaelab.explore.export import explorer_page
from vaelab.runs.load import load
from vaelab.runs.run import Run
from vaelab.utils import atomic_files
from vaelab.utils.hints import hinting


@dataclass(frozen=True, eq=False)
class Explorer:
    """Explorer of some runs; a notebook shows it, `save` writes it as one file.

    Attributes:
        page: HTML, complete in itself.
    """

    page: str

    def __repr__(self) -> str:
        """One line: its size and how to keep it."""
        return f"Explorer: a page of {len(self.page) / 1e6:.1f} MB; save('explorer.html') writes it"

    def save(self, path: str | Path) -> Path:
        """Write the page and return its path."""
        out = Path(path)
        out.parent.mkdir(parents=True, exist_ok=True)
        atomic_files.write(out, self.page)
        return out

    def _repr_html_(self) -> str:
        page = html.escape(self.page, quote=True)
        return f'<iframe srcdoc="{page}" width="100%" height="860" style="border:0"></iframe>'


@hinting
def explore(
    *runs: Run | str | Path,
    names: Sequence[str] | None = None,
    data: Data | None = None,
    points: int = 3000,
    lang: str = "en",
) -> Explorer:
    """Build the explorer of runs of the same data, side by side under one pointer.

    Args:
        runs: trained runs, or their folders.
        names: title of each; by default the names of their folders, or of their recipes.
        data: their data, if it cannot be read again.
        points: test rows whose codes are on the maps, at most.
        lang: language that the page opens in, "en" or "zh"; it holds both.

    Raises:
        ValueError: if there is no run, they are of different data, or a model cannot run in a page.
    """
    if not runs:
        raise ValueError("no run was given; expected one or several, as in explore(run)")
    models = [run if isinstance(run, Run) else load(run) for run in runs]
    titles = [m.recipe.name if m.path is None else m.path.name for m in models]
    if names is not None and len(names) != len(models):
        raise ValueError(f"names has {len(names)} titles for {len(models)} runs")
    splits = None if data is None else (data.train, data.valid, data.test)
    return Explorer(explorer_page(models, names or titles, splits=splits, most=points, lang=lang))
