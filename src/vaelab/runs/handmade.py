"""Models of one's own: checked at the door, and trained, saved and loaded like those of recipes."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from vaelab.core import VAE, Shallow, Trace, fork_rng
from vaelab.data import Batches, Data, DataSpec, load
from vaelab.distributions import Distribution
from vaelab.objectives import FunctionObjective, Objective
from vaelab.recipes.registry import HANDMADE, Recipe
from vaelab.runs.latent_summary import Codes, summarize_latents

ObjectiveFunction = Callable[[Trace, Tensor], Tensor]
"""Plain function from a trace and x (B, …) to the nats of each example, (B,)."""


def handmade(model: Any, objective: Any, data: Data) -> Recipe:
    """Recipe of a model of one's own: it has no arguments, and is loaded with the model at hand.

    Raises:
        TypeError: if a part is of another type, or does not fit its neighbours.
        ValueError: if shapes disagree; states both, and the fix.
    """
    if not isinstance(model, VAE):
        raise TypeError(
            f"model is a {type(model).__name__}; expected a vaelab.VAE(encoder, generator), whose "
            "encoder and decoder may be any modules: "
            "vaelab.VAE(encoder, vaelab.Shallow(prior, posterior, decoder, likelihood))"
        )
    if objective is None:
        raise TypeError(
            "a model of your own needs its objective, such as objective=vaelab.Distortion() + "
            "vaelab.Rate()"
        )
    if not isinstance(objective, Objective):
        if not callable(objective) or isinstance(objective, type):
            raise TypeError(
                f"objective is a {type(objective).__name__}; expected an Objective, or a function "
                "(trace, x) -> (B,) in nats"
            )
        objective = FunctionObjective(objective)
    spec = seen_by(model, data.spec)
    check_parts(model, objective, data, spec)
    reason = f"{_likelihood(model)}: that of the model"
    return Recipe(HANDMADE, {}, model, objective, spec, reason)


def seen_by(model: VAE, spec: DataSpec) -> DataSpec:
    """Specification of the data as the model's likelihood sees them.

    Raises:
        ValueError: if the likelihood does not accept the domain of the data.
    """
    accepts = getattr(getattr(model.generator, "likelihood", None), "accepts", None)
    if accepts is None or spec.domain in accepts:
        return spec
    if spec.domain in ("levels", "unit") and accepts == frozenset({"binary"}):
        return replace(spec, binarize="dynamic")
    raise ValueError(
        f"the {_likelihood(model)} is for {' or '.join(sorted(accepts))} data, but this data is "
        f"{spec.domain}: values from {spec.low:g} to {spec.high:g}"
    )


def _likelihood(model: VAE) -> str:
    return type(getattr(model.generator, "likelihood", model.generator)).__name__


@torch.no_grad()
def check_parts(model: VAE, objective: Objective, data: Data, spec: DataSpec) -> None:
    """Walk two examples through every part, and state the shapes where they do not fit.

    Raises:
        TypeError: for an encoder or an objective that returns another type.
        ValueError: for a part that does not take, or give, the shape that its neighbour does.
    """
    rows = data.train.take(torch.arange(min(2, len(data.train))))
    device = next((p.device for p in model.parameters()), torch.device("cpu"))
    batch = next(iter(Batches(rows.x, spec, device, rows.known(spec)).fixed(2, 0)))
    condition = tuple(part.to(device) for part in spec.tell(rows.known(spec)))
    training = model.training
    model.eval()
    try:
        with fork_rng(0, device):
            _walk(model, objective, batch, condition)
    finally:
        model.train(training)


def _walk(model: VAE, objective: Objective, x: Tensor, condition: Any) -> None:
    shape = tuple(x.shape[1:])
    try:
        evidence = model.encoder(x, *condition)
    except (RuntimeError, TypeError) as error:
        raise ValueError(
            f"the encoder does not take x of shape (N, {_written(shape)}): {error}"
        ) from None
    _check_evidence(model, evidence)
    if isinstance(model.generator, Shallow):
        _check_distribution("prior", model.generator.prior())
        if isinstance(evidence, Tensor):
            with suppress(RuntimeError, ValueError):  # of a shape, which the walk reports
                _check_distribution("posterior", model.generator.posterior(evidence, *condition))
    try:
        trace = model.infer(evidence, objective.samples, condition=condition)
    except (RuntimeError, TypeError, AttributeError, ValueError) as error:
        raise ValueError(_misfit(model, evidence, error)) from None
    mean = trace.likelihood.mean
    if tuple(mean.shape[1:]) != shape:
        raise ValueError(
            f"the likelihood is of (N, {_written(mean.shape[1:])}), the data are "
            f"(N, {_written(shape)}): the decoder must end in {_params(model)} numbers for each"
        )
    loss = objective(trace, x)
    if loss.total.shape != (len(x),):
        raise ValueError(
            f"the objective gives {tuple(loss.total.shape)} for {len(x)} examples; "
            f"expected ({len(x)},): nats of each example, summed over its dimensions"
        )


def _check_distribution(role: str, made: Any) -> None:
    if not isinstance(made, Distribution):
        raise TypeError(
            f"the {role} yields a {type(made).__module__}.{type(made).__name__}; expected a "
            "vaelab.distributions.Distribution. Wrap one of torch: FromTorch(distribution), of "
            "vaelab.distributions"
        )


def _check_evidence(model: VAE, evidence: Any) -> None:
    pair = isinstance(evidence, tuple | list) and len(evidence) == 2
    if (
        pair
        and isinstance(model.generator, Shallow)
        and hasattr(model.generator.posterior, "outputs")
    ):
        first = tuple(evidence[0].shape[1:])
        both = (2 * first[0], *first[1:]) if first else ()
        raise TypeError(
            f"the encoder returns a pair of (N, {_written(first)}); "
            f"{type(model.generator.posterior).__name__} reads one tensor (N, {_written(both)}), "
            "means and logarithms of σ side by side: return torch.cat([mu, log_sigma], 1), with "
            "log_sigma = 0.5 * logvar"
        )
    if not isinstance(evidence, Tensor | tuple):
        raise TypeError(
            f"the encoder returns a {type(evidence).__name__}; expected a tensor (N, …) or a tuple "
            "of tensors"
        )


def _misfit(model: VAE, evidence: Any, error: Exception) -> str:
    read = f"(N, {_written(evidence.shape[1:])})" if isinstance(evidence, Tensor) else "a tuple"
    posterior = getattr(model.generator, "posterior", None)
    ask = ""
    outputs: Any = getattr(posterior, "outputs", None)
    if outputs is not None:
        latent = getattr(getattr(model.generator, "prior", None), "mu", None)
        if isinstance(latent, Tensor):
            size = latent.shape[1]
            ask = (
                f"; {type(posterior).__name__} asks for {outputs(size)} numbers for "
                f"{size} latent dimensions"
            )
    return f"the encoder gives {read}, and the model cannot go on from there{ask}: {error}"


def _params(model: VAE) -> int:
    return int(getattr(getattr(model.generator, "likelihood", None), "params", 1))


def _written(shape: Any) -> str:
    return ", ".join(map(str, shape))


def from_elsewhere(model: VAE, objective: Any, data: Any) -> tuple[Recipe, Codes, Data]:
    """Recipe, latent summary and data of a model that was trained elsewhere."""
    loaded = data if isinstance(data, Data) else load(data)
    recipe = handmade(model, objective, loaded)
    valid = Batches(loaded.valid.x, recipe.data, y=loaded.valid.known(recipe.data))
    return recipe, summarize_latents(model, valid), loaded
