"""`vaelab understand`: the argument for variational autoencoders on one page."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Literal

from vaelab.commands.arguments import Device
from vaelab.commands.data_options import Source
from vaelab.commands.understand_progress import StudyDisplay
from vaelab.training import Length, find_device
from vaelab.understand import RUNS
from vaelab.utils.progress import say, show
from vaelab.verbs.understand import understand


def command(
    source: Source = Source(data="digits"),
    out: Path = Path("understand"),
    wide: int = 16,
    epochs: int | None = None,
    lang: Literal["en", "zh"] = "en",
    overwrite: bool = False,
    device: Device = "auto",
) -> None:
    """Show and measure, on your own data, why an autoencoder is made variational.

    Trains an autoencoder, the rate alone, the reconstruction alone and the VAE, twice each, and
    writes one page that can be sent to someone else.

    Args:
        source: what data to read.
        out: folder for index.html, understand.json, figures/ and the eight runs.
        wide: latent dimensions of the models that decide; the maps always have 2.
        epochs: passes over the training data for each model; by default they follow its size.
        lang: the language the page opens in; it holds both.
        overwrite: replace runs that are there already.
    """
    find_device(device)  # before a long read
    if source.condition_columns is not None:
        raise ValueError(
            "--condition-columns are for models that are told them, and the models of this page "
            "are told "
            "nothing; leave it out, or leave columns out of a table with --columns NAME=out"
        )
    data = source.read()
    with StudyDisplay() as display:
        found = understand(
            data,
            out=out,
            wide=wide,
            epochs=epochs,
            seed=source.seed,
            lang=lang,
            overwrite=overwrite,
            device=device,
            watcher=display,
        )
    held = [claim["verdict"] for claim in found.claims if claim["verdict"] is not None]
    print(
        f"{held.count('holds')} of {len(held)} tests of a claim that could be made hold on this "
        f"data, {held.count('fails')} fail, {held.count('undecided')} are within error"
    )
    length = Length(
        *(found.document["study"][key] for key in ("steps", "usual_steps", "usual_epochs"))
    )
    if length.few:
        say(f"{length}: the page tells more of an unfinished training than of the models")
    run = shlex.quote(str(out / RUNS / f"vae-{wide}"))
    show(f"{out / RUNS}  the eight runs; try: vaelab sample {run} -n 64")
    print(f"{found.path}  the page")
