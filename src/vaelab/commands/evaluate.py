"""The command `vaelab evaluate`: measure a run on its data, print and save the figures."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Literal

import torch
from tyro.conf import Positional, arg

from vaelab.commands.arguments import Device
from vaelab.evaluation import record
from vaelab.evaluation.evaluate import evaluate_run
from vaelab.evaluation.settings import PARTS, Part, Settings
from vaelab.metrics.annealing import Annealing
from vaelab.reports import evaluation_page, evaluation_table
from vaelab.runs.own_data import named_data
from vaelab.runs.run import load
from vaelab.utils import atomic_files
from vaelab.utils.progress import say

SplitName = Literal["train", "valid", "test"]
SPLITS: tuple[SplitName, ...] = ("train", "valid", "test")


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
    if limit is not None and limit < 1:
        raise ValueError(f"limit is {limit}; it must be 1 or more")
    settings = Settings(
        samples=samples,
        seed=seed,
        parts=parts,
        features=features,
        draw=draw,
        annealing=Annealing(ais_steps, ais_chains) if ais else None,
        annealed=ais_examples,
        factors=factors,
    )
    trained = load(run) if prior is None else load(run).with_prior(prior)
    splits, notes = named_data(trained.data, data, data_dir, run)
    for note in notes:
        say(note)
    by_name = dict(zip(SPLITS, splits, strict=True))
    train, held = by_name["train"], by_name[split]
    if split == "train":
        say("The training split is what the model was fitted to: its figures flatter.")
    held = held if limit is None else held.take(torch.arange(min(limit, len(held))))
    judged = evaluate_run(trained, held, train, settings, device)
    about = record.describe(trained, judged, settings, split, prior)
    if json:
        _print_json(about)
    else:
        evaluation_table.show(run, about)
    # Printed first: what took minutes is not lost where the folder cannot be written.
    name = record.file_name(prior)
    atomic_files.write_json(run / f"{name}.json", about)
    record.keep(run / f"{name}.safetensors", trained, judged, about)
    atomic_files.write(
        run / f"{name}.html", evaluation_page.document(run.name, about, judged, trained)
    )
    if not json:
        print(f"{run / name}.json  the same figures")
        print(f"{run / name}.html  the page")


def _print_json(about: record.Record) -> None:
    print(json.dumps(about, ensure_ascii=False))
