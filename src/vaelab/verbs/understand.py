"""`understand`: the argument for variational autoencoders, measured on data in any form."""

from __future__ import annotations

import html
import json
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vaelab.data import Data, Source
from vaelab.runs.load import load
from vaelab.runs.run import Run
from vaelab.runs.train import as_data
from vaelab.understand import DOCUMENT, RUNS, Watcher
from vaelab.understand import understand as write
from vaelab.utils.hints import hinting
from vaelab.utils.tables import Tabular

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True, eq=False)
class Understanding(Tabular):
    """Finished study.

    Attributes:
        path: page, complete in itself.
        document: content of understand.json.
    """

    path: Path
    document: dict[str, Any]

    @property
    def claims(self) -> list[dict[str, Any]]:
        """Claims of the argument, each with its verdict: holds, fails, undecided or None."""
        return list(self.document["claims"])

    def run(self, name: str) -> Run:
        """Trained model by name, such as `vae-16`."""
        return load(self.path.parent / RUNS / name)

    def to_frame(self) -> pd.DataFrame:
        """One line per model and figure: value, standard error and sample size."""
        import pandas as pd

        rows = [
            {"model": name, "latent": model["latent"], "figure": figure}
            | {key: found.get(key) for key in ("value", "se", "n")}
            for name, model in self.document["models"].items()
            for figure, found in model["figures"].items()
        ]
        return pd.DataFrame(rows)

    def page(self) -> str:
        """The page as HTML."""
        return self.path.read_text(encoding="utf-8")

    def _repr_html_(self) -> str:
        page = html.escape(self.page(), quote=True)
        return f'<iframe srcdoc="{page}" width="100%" height="720" style="border:0"></iframe>'


@hinting
def understand(
    data: Source | Data,
    *,
    out: str | Path | None = None,
    wide: int = 16,
    epochs: int | None = None,
    seed: int = 0,
    lang: str = "en",
    overwrite: bool = False,
    device: str = "auto",
    watcher: Watcher | None = None,
) -> Understanding:
    """Train the eight models of the argument, measure and draw them, and write the page.

    Args:
        data: data, or anything that `load_data` takes.
        out: folder for index.html, understand.json, figures/ and runs/; a temporary one by default.
        wide: latent dimensions of the models that decide, above 2.
        epochs: passes over the training data for each model; by default they follow its size.
        seed: seed of everything random.
        lang: language that the page opens in, "en" or "zh"; it holds both.
        overwrite: True to replace existing runs.
        device: device of the training.
        watcher: callback for progress.

    Raises:
        ValueError: for arguments or data that it cannot work with, or if `out` holds runs.
        NotFinite: if a training breaks down.
    """
    folder = Path(tempfile.mkdtemp(prefix="understand-")) if out is None else Path(out)
    page = write(
        as_data(data, seed),
        out=folder,
        wide=wide,
        epochs=epochs,
        seed=seed,
        lang=lang,
        overwrite=overwrite,
        device=device,
        watcher=watcher,
    )
    found = json.loads((folder / DOCUMENT).read_text(encoding="utf-8"))
    return Understanding(page, found)
