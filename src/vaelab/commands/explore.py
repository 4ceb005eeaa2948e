"""`vaelab explore`: put a hand into a latent space, in one page."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from tyro.conf import Positional, arg

from vaelab.commands.generate import DataDir
from vaelab.commands.output_files import check_output_path
from vaelab.explore.export import explorer_page
from vaelab.runs.run import load
from vaelab.utils import atomic_files
from vaelab.utils.progress import say

Runs = Positional[
    Annotated[
        tuple[Path, ...],
        arg(metavar="RUN ...", help="folders of trained runs of the same data, side by side."),
    ]
]


def explore(
    runs: Runs,
    export: Path | None = None,
    points: int = 3000,
    lang: Literal["en", "zh"] = "en",
    data: str | None = None,
    data_dir: DataDir = None,
    overwrite: bool = False,
) -> None:
    """Move through the latent space of runs: maps, decoded pictures, walks, drawn inputs.

    Args:
        export: file to write, one .html page that works from disk without network or Python.
        points: test rows whose codes are on the maps, at most.
        lang: language in which the page opens; it holds both.
        data: present path of the data, if it has moved.
        overwrite: replace the file if it is there.
    """
    if not runs:
        raise ValueError("name a trained run, as in `vaelab explore runs/digits --export page.html`")
    if points < 1:
        raise ValueError(f"points is {points}; ask for at least 1 code")
    assert export is not None
    check_output_path(export, overwrite, ".html")
    page = explorer_page(
        [load(folder) for folder in runs],
        [folder.name for folder in runs],
        data=data,
        data_dir=data_dir,
        most=points,
        lang=lang,
    )
    export.parent.mkdir(parents=True, exist_ok=True)
    atomic_files.write(export, page)
    say("open it from disk; it needs no network")
    print(f"{export}  the explorer, {len(page.encode()) / 1e6:.1f} MB")
