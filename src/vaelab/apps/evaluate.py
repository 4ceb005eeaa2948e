r"""`vaelab evaluate RUN`: how good a run is on data it never saw, in nats per example.

    −ELBO = distortion + rate ≥ NLL_K ≥ −log p(x)

Grey data under a Bernoulli is binarized once, from the stated seed. The figures are kept in the
run's evaluation.json.
"""

from __future__ import annotations

import dataclasses
import json
import math
import platform
from pathlib import Path
from typing import Annotated, Any

import torch
from rich.console import Console
from rich.table import Table
from tyro.conf import Positional, arg

from vaelab import __version__, files
from vaelab.apps.progress import counting, say
from vaelab.data import Batches, DataSpec, Raw
from vaelab.data.inputs import reload
from vaelab.metrics.estimate import Estimate
from vaelab.metrics.likelihood import elbo, importance_weighted
from vaelab.parts.likelihoods import Likelihood, bits_per_dim
from vaelab.run import EVALUATION, Run, load
from vaelab.training import find_device

BATCH, AT_ONCE = 256, 4096
MEANING = {
    "neg_elbo": ("−ELBO", "distortion + rate, an upper bound on NLL"),
    "rate": ("rate", "what z tells of x: KL(q(z|x) ‖ p(z))"),
    "distortion": ("distortion", "what it leaves untold: −E log p(x|z)"),
    "nll": ("NLL", "−log p(x), bounded by {samples} draws of z"),
}
NO_ELBO = "its code is a point, which has no density: neither a rate nor a bound on p(x) exists"


def evaluate(
    run: Positional[Annotated[Path, arg(metavar="RUN")]],
    samples: int = 1000,
    limit: int | None = None,
    seed: int = 0,
    data: str | None = None,
    data_dir: Path | None = None,
    device: str = "auto",
    json: bool = False,
) -> None:
    """Judges a run on its test split: −ELBO, rate, distortion and likelihood, in nats per example.

    Args:
        run: folder of a trained run.
        samples: draws of z for each example behind the likelihood; more is tighter and slower.
        limit: only this many test examples, the first; all by default.
        seed: of all draws, and of the binarization of grey data.
        data: the run's data, where it was an array in memory or has moved.
        data_dir: where known data sets live.
        device: auto, cpu, cuda, cuda:1, mps, …
        json: print one JSON object instead of the table.
    """
    for name, value in (("samples", samples), ("limit", limit)):
        if value is not None and value < 1:
            raise ValueError(f"{name} is {value}; it must be 1 or more")
    trained = load(run)
    test = held_out(trained.data, data, data_dir)
    test = test if limit is None else test[:limit]
    figures = measure(trained, test, samples, seed, device)
    record = report(trained, figures, len(test), samples, seed)
    if json:
        _print_json(record)
    else:
        _print_table(trained, figures, record)
    # Printed first: what took minutes is not lost where the folder cannot be written.
    files.write_json(run / EVALUATION, record)
    if not json:
        print(f"{run / EVALUATION}  the same figures")


def held_out(spec: DataSpec, named: str | None, data_dir: Path | None) -> Raw:
    """The run's test rows, raw.

    Raises:
        ValueError: where the data cannot be found again or has changed.
        FileNotFoundError: where it has moved.
    """
    if named is None and spec.source == "array":
        raise ValueError(
            "the run was trained on an array in memory; save that array with numpy.save and name "
            "the file with --data"
        )
    source = spec.source if named is None else named
    try:
        return reload(dataclasses.replace(spec, source=source), data_dir=data_dir)[2].x
    except FileNotFoundError as error:
        if named is None:
            raise FileNotFoundError(
                f"{error}. Where the run's data has moved, name it with --data"
            ) from None
        raise


def measure(
    run: Run, test: Raw, samples: int, seed: int, device: str = "cpu"
) -> dict[str, Estimate]:
    """The figures of raw test rows (N, …), each in nats per example; those that exist."""
    place = find_device(device)
    batches = Batches(test, run.data, place)
    model = run.model.to(place)
    cuda = [place] if place.type == "cuda" else []
    try:
        with torch.random.fork_rng(devices=cuda):
            torch.manual_seed(seed)
            figures = elbo(model, batches.fixed(BATCH, seed))
            if "neg_elbo" in figures:
                with counting(f"likelihood, {samples} samples each", len(test)) as done:
                    # Batches small enough to be told often how far it is.
                    size = max(16, AT_ONCE // samples)
                    figures["nll"] = importance_weighted(
                        model, batches.fixed(size, seed), samples, done
                    )
    finally:
        model.to("cpu")
    return figures


def report(
    run: Run, figures: dict[str, Estimate], n: int, samples: int, seed: int
) -> dict[str, Any]:
    """The figures with all that is needed to read them, as JSON values."""
    record: dict[str, Any] = {"unit": "nats per example"}
    for name in MEANING:
        found = figures.get(name)
        record[name] = None if found is None else _number(found.value)
        record[f"{name}_se"] = None if found is None else _number(found.se)
    tightest = figures.get("nll")
    discrete = _likelihood(run).discrete
    record["bits_per_dim"] = (
        bits_per_dim(tightest.value, run.data.dims) if tightest is not None and discrete else None
    )
    if tightest is None:
        record["why_no_elbo"] = NO_ELBO
    return record | {
        "samples": samples,
        "n": n,
        "seed": seed,
        "data": run.data.source,
        "split": "test",
        "binarize": run.data.binarize,
        "recipe": run.recipe.name,
        "likelihood": run.recipe.reason.partition(":")[0],
        "vaelab": __version__,
        "torch": str(torch.__version__),
        "python": platform.python_version(),
    }


def _likelihood(run: Run) -> Likelihood:
    found = run.model.generator.likelihood
    assert isinstance(found, Likelihood)
    return found


def _number(value: float) -> float | None:
    """JSON knows neither infinity nor nan."""
    return value if math.isfinite(value) else None


def _print_json(record: dict[str, Any]) -> None:
    print(json.dumps(record, ensure_ascii=False))


def _print_table(run: Run, figures: dict[str, Estimate], record: dict[str, Any]) -> None:
    binarized = {"no": "", "dynamic": f", binarized once by seed {record['seed']}"}
    how = binarized.get(run.data.binarize, ", binarized at one half")
    print(
        f"{run.path}: {run.recipe.name}, {record['likelihood']} likelihood, on {record['n']:,} "
        f"test examples of {run.data.source}{how}"
    )
    table = Table()
    table.add_column("nats per example")
    table.add_column("± standard error", justify="right")
    table.add_column("what it is")
    for name, (title, meaning) in MEANING.items():
        if name in figures:
            what = meaning.format(samples=f"{record['samples']:,}")
            table.add_row(title, str(figures[name]), what)
    Console().print(table)
    if record["bits_per_dim"] is not None:
        print(f"NLL of {record['bits_per_dim']:.4f} bits per dimension ({run.data.dims} of them)")
    elif "nll" in figures:
        print(
            "A density, of data at the model's scale (raw − offset) / scale: nats may be negative, "
            "and there are no bits per dimension"
        )
    if "nll" not in figures:
        say(f"No ELBO: {NO_ELBO}")
