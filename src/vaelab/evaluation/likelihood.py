r"""Bounds on −log p(x) of a split: −ELBO, the importance-weighted bound, and annealing."""

from __future__ import annotations

import math
from itertools import islice

import torch
from torch import Tensor

from vaelab.data import Batches
from vaelab.evaluation.result import Result
from vaelab.evaluation.settings import Settings
from vaelab.metrics.annealing import anneal, sandwich
from vaelab.metrics.estimate import Estimate
from vaelab.metrics.likelihood import LEAST, Weighed, elbo_of_each, weigh
from vaelab.parts.likelihoods import Likelihood
from vaelab.runs.run import Run
from vaelab.training.plan import can_compile
from vaelab.utils.messages import Message
from vaelab.utils.progress import counting

BATCH, AT_ONCE = 256, 4096
DRAWS = 8
"""Draws of z for each x, if the rate has no closed form."""
WORTH_COMPILING = 5_000_000_000
"""Numbers decoded from which compiling repays its seconds; benchmarks/speed measures both."""

NO_ELBO = "its code is a point, which has no density: neither a rate nor a bound on p(x) exists"

ESTIMATED = Message(
    "estimated",
    "The rate has no closed form here: it is log q(z|x) − log p(z) at one drawn z an x, an "
    "estimate whose noise is in the standard errors.",
)


def likelihood_of(run: Run) -> Likelihood:
    """The run's likelihood."""
    found = run.model.generator.likelihood
    assert isinstance(found, Likelihood)
    return found


def measure_evidence(run: Run, batches: Batches, settings: Settings) -> Result:
    """The bounds that exist, of every example and on average."""
    size = BATCH // DRAWS
    of_each = elbo_of_each(
        run.model, batches.fixed(size, settings.seed), DRAWS, batches.conditions(size)
    )
    if "neg_elbo" not in of_each:
        figures = {name: Estimate.mean(nats) for name, nats in of_each.items()}
        return Result(
            figures,
            _home(of_each),
            {"why_no_elbo": NO_ELBO},
            (Message("no_elbo", "No ELBO: {reason}.", reason=NO_ELBO),),
        )
    weighed = _weigh(run, batches, settings)
    # Of the same draws, so that NLL is never above −ELBO; the rate is known better, mostly exactly.
    of_each |= {
        "neg_elbo": weighed.neg_elbo,
        "distortion": weighed.neg_elbo - of_each["rate"],
        "nll": weighed.nll,
        "ess": weighed.ess,
    }
    figures = {name: Estimate.mean(nats) for name, nats in of_each.items()}
    if weighed.samples > 1:
        figures["slack"] = weighed.slack
    if likelihood_of(run).discrete and not run.spec.missing:
        figures["bits"] = Estimate.mean(weighed.nll / (run.spec.dims * math.log(2)))
    closed = _rate_is_closed(run, batches, settings.seed)
    notes = tightness(weighed) + (() if closed else (ESTIMATED,))
    facts = {"loose": weighed.is_loose, "rate_is_closed": closed}
    found = Result(figures, _home(of_each), facts, notes)
    if settings.annealing is None:
        return found
    return found | _annealed(run, batches, settings, weighed)


def tightness(weighed: Weighed) -> tuple[str, ...]:
    """A sentence if the bound is loose, else nothing."""
    if not weighed.is_loose:
        return ()
    note = Message(
        "loose",
        "NLL is a loose bound here: for {share} of the examples fewer than {least} of {samples} "
        "draws carry weight, and its slack is at least {slack} nats. More --samples tighten it, "
        "--ais checks it.",
        share=f"{weighed.loose.value:.0%}",
        least=str(LEAST),
        samples=f"{weighed.samples:,}",
        slack=f"{weighed.slack.value:.2f}",
    )
    return (note,)


@torch.no_grad()
def _rate_is_closed(run: Run, batches: Batches, seed: int) -> bool:
    x, condition = next(batches.fixed(1, seed)), next(batches.conditions(1))
    return run.model(x, condition=condition).rate()[1]


def _weigh(run: Run, batches: Batches, settings: Settings) -> Weighed:
    with counting(f"likelihood, {settings.samples} samples each", len(batches)) as done:
        # Small batches, for frequent progress.
        size = max(16, AT_ONCE // settings.samples)
        parts = batches.fixed(size, settings.seed)
        long = len(batches) * settings.samples * run.spec.dims >= WORTH_COMPILING
        compile = long and can_compile()
        conditions = batches.conditions(size)
        return weigh(
            run.model, parts, settings.samples, done, compile=compile, conditions=conditions
        )


def _annealed(run: Run, batches: Batches, settings: Settings, weighed: Weighed) -> Result:
    how, wanted = settings.annealing, min(settings.annealed, len(batches))
    assert how is not None
    parts = batches.fixed(min(BATCH, wanted), settings.seed)
    x = torch.cat(list(islice(parts, -(-wanted // min(BATCH, wanted)))))[:wanted]
    condition = next(batches.conditions(wanted))
    try:
        with counting(f"annealing, {how.chains} chains each", 3 * wanted) as done:
            forward = anneal(run.model, x, how, on_rows=done, condition=condition)
            both = sandwich(
                run.model, wanted, how, on_rows=lambda n: done(wanted + n), condition=condition
            )
    except TypeError as error:
        return Result(notes=(Message("no_ais", "No AIS: {error}.", error=str(error)),))
    excess = weighed.nll[:wanted].to(forward.log_p) + forward.log_p
    figures = {
        "nll_ais": forward.nll,
        "nll_excess": Estimate.mean(excess),
        "bdmc_gap": both.gap,
    }
    facts = {
        "annealed": wanted,
        "acceptance": forward.acceptance,
        "bdmc_nll_above": both.lower.nll.value,
        "bdmc_nll_below": both.upper.nll.value,
    }
    return Result(figures, facts=facts)


def _home(of_each: dict[str, Tensor]) -> dict[str, Tensor]:
    return {name: nats.cpu().float() for name, nats in of_each.items()}
