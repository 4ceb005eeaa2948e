"""One recipe of vaelab on MNIST: trained, judged in nats, and asked for samples."""

from __future__ import annotations

import time
from pathlib import Path
from statistics import geometric_mean

import numpy as np
import torch
from speed.worker import Record, Settings, answer

import vaelab
from vaelab.core import Trace
from vaelab.data import Batches
from vaelab.distributions import UniformCodes
from vaelab.fitted import FittedMixture, FittedSequence
from vaelab.metrics.aggregate import rate_split
from vaelab.metrics.likelihood import elbo, importance_weighted
from vaelab.recipes.registry import find
from vaelab.runs.fit_prior import fit_prior
from vaelab.runs.latent_summary import summarize_latents
from vaelab.runs.run import Run

NLL_ROWS, SPLIT_ROWS = 500, 5_000


def train(settings: Settings) -> Record:
    """Trains one recipe; its samples go to files in the folder it is given."""
    data = vaelab.load_data("mnist")
    recipe = find(settings["recipe"])(data.spec, **settings["arguments"])
    plan = vaelab.Plan(epochs=settings["epochs"], seed=settings["seed"])
    started = time.perf_counter()
    history = vaelab.fit(recipe.model, recipe.objective, data, recipe.data, plan).history
    record: Record = {"seconds": time.perf_counter() - started, "loss": history[-1]["valid_loss"]}
    codes = summarize_latents(recipe.model, Batches(data.valid.x, recipe.data))
    run = Run(recipe, {}, history, codes)
    record |= in_use(run, data) | judged(run, data)
    return record | {"samples": samples(run, data, Path(settings["folder"]), settings["count"])}


@torch.no_grad()
def in_use(run: Run, data: vaelab.Data) -> Record:
    """Active units, of how many; of codebooks, which have none, the perplexity and its most."""
    trace: Trace = run.model(next(iter(Batches(data.valid.x, run.spec).fixed(1024, 0))))
    if units := trace.units.shape[1]:
        return {"active": sum(run.codes.active), "latent": units}
    books = [site.prior for site in trace.sites if isinstance(site.prior, UniformCodes)]
    found = [float(book.perplexity.mean()) for book in books]
    return {"perplexity": geometric_mean(found), "codes": books[0].table.shape[1]}


@torch.no_grad()
def judged(run: Run, data: vaelab.Data) -> Record:
    """−ELBO, rate and distortion of the test set, NLL of some of it, and where the rate goes.

    Nothing where the likelihood is not of binarized digits, as the nats are then other ones.
    """
    if run.spec.binarize != "dynamic":
        return {}
    test = Batches(data.test.x, run.spec)
    torch.manual_seed(0)
    found: Record = {name: e.value for name, e in elbo(run.model, test.fixed(1000, 0)).items()}
    some = Batches(data.test.x[:NLL_ROWS], run.spec)
    # Before the walk is known to have them: a point has no density, and says so.
    trace: Trace = run.model(next(iter(some.fixed(10, 0))))
    if trace.has_rate:
        bound = importance_weighted(run.model, some.fixed(100, 0), 1000)
        found |= {"nll": bound.value, "nll_se": bound.se}
    if trace.has_rate and isinstance(run.model.generator, vaelab.Shallow):
        x = next(iter(Batches(data.test.x[:SPLIT_ROWS], run.spec).fixed(SPLIT_ROWS, 0)))
        site = run.model(x).sites[0]
        try:
            split = rate_split([site.posterior], run.model.generator.prior())
        except (TypeError, ValueError):
            return found
        if split.total_correlation is not None:
            found["total_correlation"] = split.total_correlation.value
    return found


def samples(run: Run, data: vaelab.Data, folder: Path, count: int) -> dict[str, str]:
    """Files of samples in [0, 1], from the model's own prior and from one fitted afterwards."""
    drawn = {"own": run.sample(count, seed=1)}
    for kind in (FittedMixture(components=50), FittedSequence()):
        try:
            fitted = fit_prior(run, kind, data, seed=0)
        except (TypeError, ValueError):
            continue  # each kind is for latents of another sort
        drawn["fitted"] = run.with_prior(fitted.prior).sample(count, seed=1)
        break
    files = {}
    for name, x in drawn.items():
        path = folder / f"{name}.npy"
        np.save(path, (x.float() / 255).clamp(0, 1).numpy())
        files[name] = str(path)
    return files


if __name__ == "__main__":
    answer({"train": train})
