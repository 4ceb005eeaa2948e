r"""The whole argument for variational autoencoders, measured on a user's own data.

study → ground → measure → draw → understand.json and index.html
"""

from __future__ import annotations

import shutil
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from vaelab.data import Data
from vaelab.reports.understand import write_page
from vaelab.runs.run import Run
from vaelab.understand.benchmark import ground
from vaelab.understand.document import document, unfinished
from vaelab.understand.figures import draw
from vaelab.understand.measure import Measured, measure_model, reach
from vaelab.understand.study import MODELS, Interrupted, Study, Watcher, key, study
from vaelab.utils import atomic_files
from vaelab.utils.callable_package import make_callable
from vaelab.utils.progress import say

__all__ = ["MODELS", "Study", "Watcher", "key", "study", "understand"]

make_callable(__name__, "vaelab.verbs.understand:understand")

DOCUMENT, FIGURES, RUNS = "understand.json", "figures", "runs"
UNFINISHED = "unfinished.json"
"""Report of an interrupted study: the models that are kept, with the figures measured so far."""


def understand(
    data: Data,
    *,
    out: str | Path,
    wide: int = 16,
    epochs: int | None = None,
    seed: int = 0,
    lang: str = "en",
    overwrite: bool = False,
    device: str = "auto",
    watcher: Watcher | None = None,
) -> Path:
    """Train the eight models, measure and draw them, and write the page.

    Args:
        data: images or vectors, labelled or not.
        out: the folder for index.html, understand.json, figures/ and runs/.
        wide: latent dimensions of the models that the figures are about, above 2.
        epochs: passes over the training data for each model; by default they follow its size.
        seed: seed of all that is random.
        lang: the language the page opens in, "en" or "zh"; it holds both.
        overwrite: whether runs that are there already may be replaced.
        device: device of the training; measurements run on the CPU.
        watcher: callback for the progress.

    Returns:
        The path of index.html.

    Raises:
        ValueError: for arguments or data it cannot work with, or where `out` holds runs already.
        NotFinite: where a training breaks down.
        KeyboardInterrupt: if it is interrupted; models trained so far stay in `out`, and
            unfinished.json lists them with the figures measured so far.
    """
    folder = Path(out)
    seconds: dict[str, float] = {}
    runs: dict[str, Run] = {}
    measured: dict[str, Measured] = {}
    try:
        with _timed(seconds, "train"):
            found = study(
                data,
                wide=wide,
                epochs=epochs,
                seed=seed,
                out=folder / RUNS,
                overwrite=overwrite,
                device=device,
                watcher=watcher,
            )
        runs = found.runs
        with _timed(seconds, "measure"):
            common = ground(data, found.run("vae", wide).spec, seed)
            reached = {latent: reach(common, latent) for latent in found.sizes}
            for number, (name, run) in enumerate(runs.items()):
                if watcher is not None:
                    watcher.on_progress("measure", name, number, len(runs))
                measured[name] = measure_model(run, common, reached[run.latent])
        with _timed(seconds, "draw"), _replacing(folder / FIGURES) as figures:
            album = draw(found, common, figures, watcher)
    except KeyboardInterrupt as interrupt:
        kept = interrupt.runs if isinstance(interrupt, Interrupted) else runs
        if kept:
            atomic_files.write_json(folder / UNFINISHED, unfinished(kept, measured))
            say(
                f"interrupted: {len(kept)} of {2 * len(MODELS)} models are kept in {folder / RUNS}"
                f" and listed in {folder / UNFINISHED}; the page needs all of them"
            )
        raise
    result = document(found, common, measured, album.facts, seconds)
    atomic_files.write_json(folder / DOCUMENT, result)
    (folder / UNFINISHED).unlink(missing_ok=True)
    return write_page(result, folder / FIGURES, folder, lang)


@contextmanager
def _timed(seconds: dict[str, float], phase: str) -> Iterator[None]:
    started = time.perf_counter()
    yield
    seconds[phase] = time.perf_counter() - started


@contextmanager
def _replacing(folder: Path) -> Iterator[Path]:
    """A new folder that takes the place of an old one when all went well."""
    fresh = Path(tempfile.mkdtemp(dir=folder.parent, prefix=f".{folder.name}."))
    try:
        yield fresh
        fresh.chmod(0o755)
        shutil.rmtree(folder, ignore_errors=True)
        fresh.rename(folder)
    except BaseException:
        shutil.rmtree(fresh, ignore_errors=True)
        raise
