"""`evaluate`: all figures of a run on held-out rows, as a table, a page and files."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import torch
from torch import Tensor

from vaelab.data import Split
from vaelab.evaluation import record
from vaelab.evaluation.definitions import DEFINITIONS
from vaelab.evaluation.evaluate import Evaluation, evaluate_run
from vaelab.evaluation.settings import PARTS, Part, Settings
from vaelab.metrics.annealing import Annealing
from vaelab.metrics.estimate import Estimate
from vaelab.reports import evaluation_page
from vaelab.reports.evaluation_table import written
from vaelab.runs.load import load
from vaelab.runs.own_data import data_for
from vaelab.runs.run import Run
from vaelab.utils import atomic_files
from vaelab.utils.hints import hinting
from vaelab.utils.tables import Tabular
from vaelab.utils.text import did_you_mean

if TYPE_CHECKING:
    import pandas as pd

SplitName = Literal["train", "valid", "test"]
SPLITS: tuple[SplitName, ...] = ("train", "valid", "test")


@dataclass(frozen=True, eq=False)
class EvaluationResult(Tabular):
    """Figures of a run, each with its standard error.

    Attributes:
        run: the evaluated run.
        record: content of evaluation.json.
        evaluation: figures of every example, layers of latents and pictures.
        notes: remarks on the data.
    """

    run: Run
    record: record.Record
    evaluation: Evaluation
    notes: tuple[str, ...] = ()

    @property
    def figures(self) -> dict[str, Estimate]:
        """Estimates by name."""
        return self.evaluation.found.figures

    @property
    def of_each(self) -> dict[str, Tensor]:
        """Figures of every example, (N,), by name."""
        return self.evaluation.found.of_each

    def __getitem__(self, name: str) -> Estimate:
        """Figure of a name, such as nll.

        Raises:
            KeyError: if it was not measured; names the nearest.
        """
        if name not in self.figures:
            hint = did_you_mean(name, self.figures) or f" There is {', '.join(self.figures)}."
            raise KeyError(f"no figure is called {name!r}.{hint}")
        return self.figures[name]

    def to_frame(self) -> pd.DataFrame:
        """One line per figure: name, title, group, value, se, n and unit."""
        import pandas as pd

        rows = [
            {
                "figure": name,
                "title": DEFINITIONS[name].title,
                "group": DEFINITIONS[name].group,
                "value": figure["value"],
                "se": figure["se"],
                "n": figure["n"],
                "unit": figure["unit"],
            }
            for name, figure in self.record["figures"].items()
        ]
        return pd.DataFrame(rows)

    def shown(self) -> pd.DataFrame:
        """One line per figure, its value ± standard error in one cell."""
        import pandas as pd

        rows = [
            {
                "figure": DEFINITIONS[name].title,
                "value": written(name, self.record),
                "unit": DEFINITIONS[name].unit,
            }
            for name in self.record["figures"]
        ]
        return pd.DataFrame(rows)

    def page(self, lang: str = "en") -> str:
        """Page of the evaluation as HTML, complete in itself, in English and Chinese."""
        name = self.run.recipe.name if self.run.path is None else self.run.path.name
        return evaluation_page.document(name, self.record, self.evaluation, self.run, lang)

    def save(self, folder: str | Path | None = None) -> Path:
        """Write evaluation.json, .html and .safetensors into a folder, by default the run's own.

        Returns:
            The path of the page.

        Raises:
            ValueError: if the run is in memory and no folder is given.
        """
        place = self.run.path if folder is None else Path(folder)
        if place is None:
            raise ValueError("the run is in memory; name a folder: save('evaluation')")
        place.mkdir(parents=True, exist_ok=True)
        name = record.file_name(self.record["prior"])
        atomic_files.write_json(place / f"{name}.json", self.record)
        if self.run.path is not None:
            record.keep(place / f"{name}.safetensors", self.run, self.evaluation, self.record)
        atomic_files.write(place / f"{name}.html", self.page())
        return place / f"{name}.html"


@hinting
def evaluate(
    run: Run | str | Path,
    data: Any = None,
    *,
    samples: int = 1000,
    split: SplitName = "test",
    limit: int | None = None,
    parts: tuple[Part, ...] | list[Part] = PARTS,
    ais: bool = False,
    ais_examples: int = 100,
    ais_steps: int = 500,
    ais_chains: int = 8,
    factors: bool = False,
    features: str = "auto",
    draw: bool = False,
    prior: str | None = None,
    seed: int = 0,
    data_dir: Path | None = None,
    device: str = "auto",
) -> EvaluationResult:
    """Evaluate a run on held-out rows: likelihood, latent space, prior and samples.

    >>> import vaelab
    >>> run = vaelab.train("vae", "digits8x8", latent=2, epochs=1)
    >>> found = vaelab.evaluate(run, parts=["likelihood"], samples=2, limit=20)
    >>> list(found.to_frame().columns)
    ['figure', 'title', 'group', 'value', 'se', 'n', 'unit']

    Args:
        run: run, or its folder.
        data: data of the run if they were in memory or have moved, or other data of their kind: a
            path, loaded data, or rows as for `run.encode`.
        samples: draws of z for each example behind the likelihood.
        split: split of the data.
        limit: number of its first rows; all by default.
        parts: groups of figures, `likelihood`, `latent` and `samples`.
        ais: True to check the likelihood by annealed importance sampling; this takes minutes.
        ais_examples: examples that are annealed.
        ais_steps: temperatures.
        ais_chains: independent chains for each example.
        factors: True to set the latents beside the factors of variation, or the labels.
        features: feature space for samples: `auto`, `classifier`, `pixels`, `inception` or
            `FILE.py:function`.
        draw: True to compare draws from the likelihood instead of its means.
        prior: name of a prior that was fitted to the run.
        seed: seed of all draws.
        data_dir: folder of known data sets.
        device: device of the measurement.

    Raises:
        ValueError: for settings or data that do not fit the run.
        FileNotFoundError: if run or data are missing.
    """
    if limit is not None and limit < 1:
        raise ValueError(f"limit is {limit}; it must be 1 or more")
    if split not in SPLITS:
        raise ValueError(f"split is {split!r}; expected {', '.join(SPLITS)}")
    settings = Settings(
        samples=samples,
        seed=seed,
        parts=tuple(parts),
        features=features,
        draw=draw,
        annealing=Annealing(ais_steps, ais_chains) if ais else None,
        annealed=ais_examples,
        factors=factors,
    )
    trained = run if isinstance(run, Run) else load(run)
    trained = trained if prior is None else trained.with_prior(prior)
    splits, notes = data_for(trained, data, data_dir)
    by_name: dict[str, Split] = dict(zip(SPLITS, splits, strict=True))
    held = by_name[split]
    if split == "train":
        notes = (*notes, "The training split was fitted: its figures are optimistic.")
    held = held if limit is None else held.take(torch.arange(min(limit, len(held))))
    judged = evaluate_run(trained, held, by_name["train"], settings, device)
    about = record.describe(trained, judged, settings, split, prior)
    return EvaluationResult(trained, about, judged, notes)
