"""`vaelab explore`: put a hand into a latent space, in one page."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path
from typing import Annotated, Literal

from tyro.conf import Positional, arg

from vaelab.commands.generate import DataDir
from vaelab.commands.output_files import check_output_path
from vaelab.data import load as load_data
from vaelab.explore.export import explorer_page
from vaelab.explore.population import is_population, load_betas, name, read_betas, train_betas
from vaelab.recipes.design import Design
from vaelab.runs.load import load
from vaelab.training import Plan
from vaelab.utils import atomic_files
from vaelab.utils.progress import say

Runs = Positional[
    Annotated[
        tuple[Path, ...],
        arg(metavar="RUN ...", help="folders of trained runs of the same data, side by side."),
    ]
]


def explore(
    runs: Runs = (),
    export: Path | None = None,
    port: int = 0,
    points: int = 3000,
    lang: Literal["en", "zh"] = "en",
    beta: str | None = None,
    data: str | None = None,
    out: Path = Path("explorer"),
    latent: int = 2,
    width: int = 128,
    epochs: int = 100,
    seed: int = 0,
    data_dir: DataDir = None,
    overwrite: bool = False,
) -> None:
    """Move through the latent space of runs: maps, decoded pictures, walks, drawn inputs.

    Args:
        export: file to write, one .html page that works from disk without network or Python; by
            default the page is served on this machine until Ctrl-C, large models included.
        port: port of the server on 127.0.0.1; 0 takes a free one.
        points: test rows whose codes are on the maps, at most.
        lang: language in which the page opens; it holds both.
        beta: weights of the KL term, as in 0,0.1,1,10,inf: train a model for each on --data, and
            slide between them. `vaelab explore OUT` shows them again.
        data: data to train on with --beta; else the present path of the runs' data, if moved.
        out: folder of the models of --beta.
        latent: latent dimensions of the models of --beta.
        width: units of their hidden layers.
        epochs: passes over the data for each of them.
        seed: seed of their weights, order and noise.
        overwrite: replace the file and the folder if they are there.
    """
    if not runs and beta is None:
        raise ValueError(
            "name a trained run, as in `vaelab explore runs/digits --export page.html`"
        )
    if points < 1:
        raise ValueError(f"points is {points}; ask for at least 1 code")
    if export is not None:
        check_output_path(export, overwrite, ".html")
    elif find_spec("fastapi") is None or find_spec("uvicorn") is None:
        raise ValueError(
            "the server takes FastAPI and uvicorn, which are not installed: pip install "
            "'vaelab[explore]', or write a page with --export explorer.html"
        )
    betas: list[float] | None = None
    if beta is not None:
        weights = read_betas(beta)
        if runs or data is None:
            raise ValueError("--beta trains models of its own: pass --data, and no run")
        source = load_data(data, data_dir=data_dir, seed=seed)
        design, plan = Design(net="mlp", width=width, seed=seed), Plan(epochs=epochs, seed=seed)
        train_betas(
            weights, source, out, latent=latent, design=design, plan=plan, overwrite=overwrite
        )
        runs, data = (out,), None
    if len(runs) == 1 and is_population(runs[0]):
        betas, models = load_betas(runs[0])
        names = [f"β = {name(weight)}" for weight in betas]
    else:
        models, names = [load(folder) for folder in runs], [folder.name for folder in runs]
    page = explorer_page(
        models,
        names,
        betas=betas,
        data=data,
        data_dir=data_dir,
        most=points,
        lang=lang,
        served=export is None,
    )
    if export is None:
        from vaelab.explore.server import serve

        say("Ctrl-C ends the server")
        serve(page, models, port, lambda address: print(address, flush=True))
    else:
        write_page(export, page)


def write_page(out: Path, page: str) -> None:
    """Write a page, and report its size."""
    out.parent.mkdir(parents=True, exist_ok=True)
    atomic_files.write(out, page)
    say("open it from disk; it needs no network")
    print(f"{out}  the explorer, {len(page.encode()) / 1e6:.1f} MB")
