"""`vaelab evaluate RUN`: prints the figures of `vaelab.evaluate`, and keeps them in the run."""

from __future__ import annotations

import json as writer
from pathlib import Path
from typing import Annotated

from tyro.conf import Positional, arg

from vaelab.commands.arguments import Device
from vaelab.evaluation.record import file_name
from vaelab.evaluation.settings import PARTS, Part
from vaelab.reports import evaluation_table
from vaelab.utils.progress import say
from vaelab.verbs.evaluate import SplitName
from vaelab.verbs.evaluate import evaluate as judge


def evaluate(
    run: Positional[Annotated[Path, arg(metavar="RUN")]],
    samples: int = 1000,
    split: SplitName = "test",
    limit: int | None = None,
    parts: tuple[Part, ...] = PARTS,
    ais: bool = False,
    ais_examples: int = 100,
    ais_steps: int = 500,
    ais_chains: int = 8,
    factors: bool = False,
    features: str = "auto",
    draw: bool = False,
    prior: str | None = None,
    seed: int = 0,
    data: str | None = None,
    data_dir: Path | None = None,
    device: Device = "auto",
    json: bool = False,
) -> None:
    """Evaluate a run on held-out data: likelihood, latent space, prior and samples.

    Every figure has a definition, a sample size and a standard error; they are printed, and kept in
    the run as evaluation.json, evaluation.html and, example by example, evaluation.safetensors.

    Args:
        run: folder of a trained run.
        samples: draws of z for each example behind the likelihood; more is tighter and slower.
        split: which rows of the run's data.
        limit: only this many of them, the first; all by default.
        parts: which figures.
        ais: check the likelihood by annealed importance sampling, from both sides; minutes.
        ais_examples: examples that are annealed, the first, and as many simulated ones.
        ais_steps: temperatures; more is tighter and slower.
        ais_chains: independent chains for each example.
        factors: set the latents beside the factors of variation that are known to have made the
            data, as of sprites and dSprites or of an .npz file with x and factors (N, F), or
            beside its labels; a minute.
        features: space in which samples are compared with data: auto, classifier, pixels, inception
            (needs torch-fidelity) or FILE.py:function, a function of yours that is run.
        draw: judge draws from the likelihood instead of its means, as for tables in any case.
        prior: judge by this prior of the run's, which `vaelab fit-prior` fitted; the files are
            then called evaluation-PRIOR.
        seed: seed of all draws, and of the binarization of grey data.
        data: the run's data, if it was an array in memory or has moved; or other data of its
            kind, all rows of which are then judged.
        data_dir: folder of known data sets.
        json: print one JSON object instead of the table.
    """
    found = judge(
        run,
        data,
        samples=samples,
        split=split,
        limit=limit,
        parts=parts,
        ais=ais,
        ais_examples=ais_examples,
        ais_steps=ais_steps,
        ais_chains=ais_chains,
        factors=factors,
        features=features,
        draw=draw,
        prior=prior,
        seed=seed,
        data_dir=data_dir,
        device=device,
    )
    for note in found.notes:
        say(note)
    if json:
        print(writer.dumps(found.record, ensure_ascii=False))
    else:
        evaluation_table.show(run, found.record)
    # Printed first: figures that took minutes are not lost if the folder cannot be written.
    page = found.save()
    if not json:
        print(f"{run / file_name(prior)}.json  the same figures")
        print(f"{page}  the page")
