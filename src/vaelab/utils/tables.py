"""Results as tables: data frame, CSV, LaTeX and HTML from one method."""

from __future__ import annotations

from abc import abstractmethod
from pathlib import Path
from typing import TYPE_CHECKING

from vaelab.utils import atomic_files
from vaelab.utils.hints import Hinting

if TYPE_CHECKING:
    import pandas as pd

_LATEX = {"−": "$-$", "±": r"$\pm$", "·": r"$\cdot$", "–": "--", "σ": r"$\sigma$", "²": "$^2$"}
"""Characters that LaTeX does not set by itself."""


class Tabular(Hinting):
    """Result that is a table."""

    @abstractmethod
    def to_frame(self) -> pd.DataFrame:
        """Data frame with numbers in full precision."""

    def shown(self) -> pd.DataFrame:
        """Data frame as people read it; the numbers themselves unless a class says otherwise."""
        return self.to_frame()

    def to_csv(self, path: str | Path | None = None) -> str:
        """CSV of `to_frame`, with a header; it is also written to `path` if one is given."""
        return _written(self.to_frame().to_csv(index=False), path)

    def to_latex(self, path: str | Path | None = None) -> str:
        """LaTeX table of `shown` for the booktabs package; also written to `path` if given."""
        frame = self.shown()
        cells = [list(map(str, frame.columns)), *frame.map(_cell).to_numpy().tolist()]
        head, *body = (" & ".join(map(_escaped, row)) + r" \\" for row in cells)
        columns = "l" + "r" * (frame.shape[1] - 1)
        lines = [rf"\begin{{tabular}}{{{columns}}}", r"\toprule", head, r"\midrule", *body]
        return _written("\n".join([*lines, r"\bottomrule", r"\end{tabular}", ""]), path)

    def _repr_html_(self) -> str:
        return str(self.shown().map(_cell).to_html(index=False))


def _cell(value: object) -> str:
    if value is None or value != value:  # nan
        return "–"
    return f"{value:.2f}".replace("-", "−") if isinstance(value, float) else str(value)


def _escaped(text: str) -> str:
    for sign in "&%_#":
        text = text.replace(sign, "\\" + sign)
    for sign, written in _LATEX.items():
        text = text.replace(sign, written)
    return text


def _written(text: str, path: str | Path | None) -> str:
    if path is not None:
        Path(path).parent.mkdir(parents=True, exist_ok=True)
        atomic_files.write(Path(path), text)
    return text
