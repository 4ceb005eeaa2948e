"""`vaelab understand`: the argument for variational autoencoders on one page."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Literal

from vaelab.apps.progress import say
from vaelab.apps.train_recipe import describe
from vaelab.apps.understand import DOCUMENT, RUNS, understand
from vaelab.apps.understand.progress import Lines
from vaelab.data import load


def command(
    data: str = "digits",
    out: Path = Path("understand"),
    wide: int = 16,
    epochs: int | None = None,
    lang: Literal["en", "zh"] = "en",
    seed: int = 0,
    overwrite: bool = False,
    data_dir: Path | None = None,
    image_size: int | tuple[int, int] | None = None,
    skip_unreadable: bool = False,
) -> None:
    """Shows and measures, on your own data, why an autoencoder is made variational.

    Trains an autoencoder, the rate alone, the reconstruction alone and the VAE, twice each, and
    writes one page that can be sent to someone else.

    Args:
        data: a known name (digits, mnist, …), a .npy or .npz file, or a folder of pictures.
        out: folder for index.html, understand.json, figures/ and the eight runs.
        wide: latent dimensions of the models that decide; the maps always have 2.
        epochs: passes over the training data for each model; by default they follow its size.
        lang: the language the page opens in; it holds both.
        seed: of all that is random.
        overwrite: replace runs that are there already.
        data_dir: where known data sets live; by default VAELAB_DATA, else ~/.cache/vaelab/data.
        image_size: side, or height and width, to bring pictures of a folder to.
        skip_unreadable: leave out pictures that cannot be read instead of refusing the folder.
    """
    read = load(
        data,
        data_dir=data_dir,
        seed=seed,
        image_size=image_size,
        skip_unreadable=skip_unreadable,
    )
    for line in [describe(read), *read.notes]:
        say(line)
    with Lines() as lines:
        page = understand(
            read,
            out=out,
            wide=wide,
            epochs=epochs,
            seed=seed,
            lang=lang,
            overwrite=overwrite,
            watcher=lines,
        )
    found = json.loads((out / DOCUMENT).read_text(encoding="utf-8"))
    held = [claim["verdict"] for claim in found["claims"]]
    print(
        f"{held.count('holds')} of the argument's {len(held)} claims hold on this data, "
        f"{held.count('fails')} fail, {held.count('undecided')} are within error"
    )
    print(f"{out / RUNS}  the eight runs; try: vaelab sample {out / RUNS / f'vae-{wide}'} -n 64")
    print(f"{page}  the page")
