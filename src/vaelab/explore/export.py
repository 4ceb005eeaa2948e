"""Runs to one page."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from vaelab.data import DataSpec, Split
from vaelab.explore import page
from vaelab.explore.describe import MOST_CODES, choose_rows, describe_data, describe_run
from vaelab.explore.model import programs
from vaelab.explore.population import align, describe_sweep
from vaelab.explore.program import Pool
from vaelab.explore.rules import Unsupported
from vaelab.runs.own_data import reload_training_data
from vaelab.runs.run import Run
from vaelab.utils.progress import say


def explorer_page(
    runs: Sequence[Run],
    names: Sequence[str],
    *,
    data: str | None = None,
    data_dir: Path | None = None,
    splits: tuple[Split, Split, Split] | None = None,
    most: int = MOST_CODES,
    lang: str = "en",
    betas: Sequence[float] | None = None,
    served: bool = False,
) -> str:
    """Build the explorer of runs of the same data.

    Args:
        runs: trained runs, on the CPU.
        names: title of each.
        data: present path of the data, if it has moved.
        data_dir: folder of known data sets.
        splits: training, validation and test rows, if they are in memory.
        most: most test rows whose codes are on the page.
        lang: language in which the page opens, "en" or "zh".
        betas: weight of the KL term of each run, if the runs are a sweep over it.
        served: True if a server executes the runs that the page cannot.

    Raises:
        ValueError: if the runs are of different data.
        Unsupported: if a model cannot run in a page, unless `served`.
    """
    spec = check_same_data(runs, names)
    if splits is None:
        splits = _splits(runs, data, data_dir)
    rows = None
    if splits is not None:
        known = next((r.spec for r in runs if r.spec.known), spec)
        rows = choose_rows(splits, known, max(run.latent for run in runs), most)
    pool, sweep = Pool(), None
    listed: list[dict[str, Any] | None] = []
    for run, name in zip(runs, names, strict=True):
        try:
            listed.append({k: p.to_json() for k, p in programs(run, pool).items()})
        except Unsupported as error:
            if not served:
                raise Unsupported(
                    f"{name} cannot go into a file: {error}. `vaelab explore {name}` without "
                    "--export runs it on a server"
                ) from None
            say(f"{name} runs on the server: {error}")
            listed.append(None)
    described = [describe_run(run, n, rows, pool) for run, n in zip(runs, names, strict=True)]
    if betas is not None:
        if splits is None:
            raise ValueError("a sweep is shown with its data; name it with --data")
        sweep = describe_sweep(betas, runs, splits)
        align(runs, described, pool)
    content = {
        "data": describe_data(spec, rows, pool),
        "runs": described,
        "sweep": sweep,
        "served": served,
    }
    policy = page.SERVED if served else page.CSP
    return page.render(content, listed, pool, lang=lang, policy=policy)


def check_same_data(runs: Sequence[Run], names: Sequence[str]) -> DataSpec:
    """The data of runs, which one pointer moves through together.

    Raises:
        ValueError: if they differ.
    """
    first = runs[0].spec
    for run, name in zip(runs, names, strict=True):
        same = (run.spec.shape, run.spec.sha256) == (first.shape, first.sha256)
        if not same:
            raise ValueError(
                f"{names[0]} was trained on {first.source} and {name} on {run.spec.source}; one "
                "page compares runs of the same data"
            )
    return first


def _splits(
    runs: Sequence[Run], data: str | None, data_dir: Path | None
) -> tuple[Split, Split, Split] | None:
    rows = next((run.rows for run in runs if run.rows is not None), None)
    if rows is not None and data is None:
        return rows.train, rows.valid, rows.test
    spec = next((r.spec for r in runs if r.spec.known), runs[0].spec)
    try:
        return reload_training_data(spec, data, data_dir, runs[0].path)
    except (ValueError, OSError) as error:
        if data is not None:
            raise
        say(f"the page is made without codes and examples: {error}")
        return None
