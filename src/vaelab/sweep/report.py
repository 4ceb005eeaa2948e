"""Results of a sweep: means and spreads over seeds, as a table, as JSON, as a curve."""

from __future__ import annotations

import itertools
import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import torch
from matplotlib.figure import Figure
from rich.box import SIMPLE_HEAD
from rich.table import Table

from vaelab.data import DataSpec
from vaelab.plots import save as save_picture
from vaelab.plots.frontier import frontier, rate_distortion
from vaelab.runs.run import Run
from vaelab.sweep.grid import Member, Values
from vaelab.utils.tables import Tabular
from vaelab.version import __version__

if TYPE_CHECKING:
    import pandas as pd

SWEEP, PICTURE = "sweep.json", "rate_distortion"
FIGURES = {
    "rate": "rate",
    "distortion": "distortion",
    "neg_elbo": "−ELBO",
    "active_units": "active",
    "perplexity": "codes",
}


class Setting(NamedTuple):
    """Runs of one setting with figures, and its place on the frontier.

    Attributes:
        values: varied values by name.
        members: runs, one per seed.
        best: True if no other setting has both a lower rate and a lower distortion.
    """

    values: Values
    members: list[Member]
    best: bool

    def summary(self, figure: str) -> tuple[float, float | None] | None:
        """Mean over seeds and standard deviation (None for one seed); None without figures."""
        values = [m.figures[figure] for m in self.members if figure in m.figures]
        if not values:
            return None
        return statistics.fmean(values), statistics.stdev(values) if len(values) > 1 else None

    @property
    def label(self) -> str:
        """Short label: `beta 0.5`, or `0.5 · 0.001` if several values vary."""
        if len(self.values) == 1:
            ((name, value),) = self.values.items()
            return f"{name} {value:g}"
        return " · ".join(f"{value:g}" for value in self.values.values())


@dataclass
class Sweep(Tabular):
    """Finished sweep.

    Attributes:
        members: runs, setting by setting.
        data: specification of the training data.
        reasons: reasons if not all members were trained together.
        path: folder of the sweep; None in memory.
    """

    members: list[Member]
    data: DataSpec
    reasons: list[str]
    path: Path | None

    @property
    def has_rate(self) -> bool:
        """True if its models have a rate, and so an ELBO."""
        return any("rate" in member.figures for member in self.members)

    @property
    def runs(self) -> list[Run]:
        """Trained runs, setting by setting."""
        return [member.run for member in self.members if member.run is not None]

    def to_frame(self) -> pd.DataFrame:
        """One line per run: settings, seed, and figures of the test split in nats."""
        import pandas as pd

        return pd.DataFrame([m.values | {"seed": m.seed} | m.figures for m in self.members])

    def shown(self) -> pd.DataFrame:
        """One line per setting: mean ± standard deviation over its seeds."""
        import pandas as pd

        rows = []
        for setting in self.settings:
            cells: dict[str, str] = {name: f"{value:g}" for name, value in setting.values.items()}
            for figure, title in FIGURES.items():
                if (summary := setting.summary(figure)) is not None:
                    cells[title] = _cell(summary)
            rows.append(cells | {"frontier": "*" if setting.best else ""})
        return pd.DataFrame(rows)

    def plot(self, save: str | Path | None = None) -> Figure:
        """Rate–distortion curve; it is also written to `save`, .png, .svg or .pdf."""
        figure = curve(self)
        if save is not None:
            save_picture(figure, save)
        return figure

    @property
    def spread(self) -> str:
        """Clause about spreads; empty if no setting has figures of two runs."""
        several = any(len(setting.members) > 1 for setting in self.settings)
        return ": mean ± standard deviation over the seeds" if several else ""

    @property
    def settings(self) -> list[Setting]:
        """Settings with figures, in order."""
        groups = itertools.groupby(self.members, key=lambda member: member.values)
        rows = [(values, [m for m in members if m.figures]) for values, members in groups]
        rows = [(values, members) for values, members in rows if members]
        best = frontier(np.array([p.mean(0) for p in _points(rows)])) if self.has_rate else []
        return [Setting(values, members, i in best) for i, (values, members) in enumerate(rows)]


def _points(settings: Sequence[tuple[Values, list[Member]]]) -> list[np.ndarray[Any, Any]]:
    """Rate and distortion of each setting's runs, (K, 2)."""
    return [
        np.array([[m.figures["rate"], m.figures["distortion"]] for m in members])
        for _, members in settings
    ]


def curve(result: Sweep) -> Figure:
    """Rate–distortion curve with its frontier and spread."""
    settings = result.settings
    points = _points([(s.values, s.members) for s in settings])
    return rate_distortion(points, [s.label for s in settings])


def describe(result: Sweep) -> dict[str, Any]:
    """Content of sweep.json."""
    settings = []
    for setting in result.settings:
        about: dict[str, Any] = {"values": setting.values, "frontier": setting.best}
        for figure in FIGURES:
            if (summary := setting.summary(figure)) is not None:
                about[figure] = {"mean": summary[0], "spread": summary[1]}
        settings.append(about | {"runs": [m.name for m in setting.members]})
    runs: list[dict[str, Any]] = []
    for m in result.members:
        about = {"name": m.name, "values": m.values, "seed": m.seed} | m.figures
        reason = m.failure or ("not reached" if m.run is None else "not evaluated")
        runs.append(about if m.figures else about | {"failure": reason})
    return {
        "recipe": result.members[0].recipe.name,
        "data": result.data.source,
        "split": "test",
        "n": result.data.sizes[2],
        "unit": "nats per example",
        "spread": "standard deviation over seeds" if result.spread else None,
        "settings": settings,
        "runs": runs,
        "not_together": result.reasons,
        "vaelab": __version__,
        "torch": str(torch.__version__),
    }


def table(result: Sweep) -> Table:
    """Table with one line per setting: mean ± spread over its seeds."""
    settings = result.settings
    shown = Table(box=SIMPLE_HEAD, show_edge=False)
    figures = [figure for figure in FIGURES if any(s.summary(figure) for s in settings)]
    for name in [*settings[0].values, *(FIGURES[figure] for figure in figures), ""]:
        shown.add_column(name, justify="right")
    for setting in settings:
        cells = [f"{value:g}" for value in setting.values.values()]
        cells += [_cell(setting.summary(figure)) for figure in figures]
        shown.add_row(*cells, "*" if setting.best else "")
    if result.has_rate:
        shown.caption = "* on the frontier: no other setting has both less rate and less distortion"
        shown.caption_justify = "left"
    return shown


def _cell(summary: tuple[float, float | None] | None) -> str:
    if summary is None:
        return ""
    mean, spread = summary
    return f"{mean:.2f}" if spread is None else f"{mean:.2f} ± {spread:.2f}"
