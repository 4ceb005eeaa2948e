"""Examine any loss function: load it, probe it with planted inputs, and report findings."""

from __future__ import annotations

import contextlib
import math
import sys
from collections.abc import Callable
from typing import Any

from vaelab.doctor.findings import Report, short
from vaelab.doctor.loss_checks import CHECKS
from vaelab.doctor.loss_forms import RECONSTRUCTIONS, SCALES
from vaelab.doctor.loss_loader import load_loss
from vaelab.doctor.loss_probe import probe
from vaelab.doctor.loss_terms import KL, OTHER, Probe
from vaelab.utils.messages import Message


def examine_loss(
    named: str | Callable[..., Any],
    arguments: str | None = None,
    shape: tuple[int, ...] | None = None,
) -> Report:
    """Examine a loss. This runs the file it is in.

    Args:
        named: FILE.py:function, or the function itself.
        arguments: what its arguments are, as for `load_loss`; by their names if not given.
        shape: shape of one example.

    Raises:
        FileNotFoundError: if there is no such file.
        ValueError: if it cannot be loaded or called.
    """
    with contextlib.redirect_stdout(sys.stderr):  # what it prints is no part of the report
        found = probe(load_loss(named, arguments), shape)
    findings = [finding for check in CHECKS.values() for finding in check(found)]
    subject = named if isinstance(named, str) else getattr(named, "__name__", repr(named))
    return Report(subject, "loss", _about(found), list(CHECKS), findings, _figures(found))


def _about(found: Probe) -> list[str]:
    lines = list(found.subject.assumed)
    if found.chosen:
        lines.append(Message("about.chosen", "loss: {how}", how=found.chosen))
    told: list[str] = []
    d, k = found.reconstruction, found.kl
    if d is not None and d.form:
        form = RECONSTRUCTIONS[d.form]
        told.append(
            Message(
                "about.reconstruction",
                "reconstruction: {title}, which expects {expects}",
                title=form.title,
                expects=form.expects,
            )
        )
    if k is not None and k.form:
        told.append(Message("about.kl", "KL: {form}{floor}", form=_form_of(k), floor=_floor(k)))
    if found.beta is not None:
        told.append(
            Message(
                "about.loss-beta",
                "effective β {beta} in summed nats{sigma}, at {dims} data and {latent} latent "
                "dimensions",
                beta=short(found.beta),
                sigma=_sigma(found),
                dims=found.size.dims,
                latent=found.size.latent,
            )
        )
    if found.random:
        told.append(
            Message(
                "about.random", "it samples inside: figures are expectations over its normal noise"
            )
        )
    if any(term is not None and term.powers.batch == 0 for term in (d, k)):
        told.append(
            Message(
                "about.summed",
                "summed over the batch: logged values grow with it, the effective β does not",
            )
        )
    if found.elsewhere:
        told.append(
            Message(
                "about.elsewhere",
                "for rows of numbers; of images it would average the reconstruction over {axes}: "
                "check one with --shape, as in --shape 3,32,32",
                axes=found.elsewhere,
            )
        )
    return lines + told


def _form_of(k: KL) -> Message:
    if k.form == OTHER:
        return Message("part.rising-scale", "closed form of a scale that rises with s")
    return Message("part.closed-form", "closed form of a {scale}", scale=SCALES[k.form].title)


def _floor(k: KL) -> str:
    if k.floor is None:
        return ""
    text = ", with a floor of {floor} nats (free bits)"
    return Message("part.floor", text, floor=short(k.floor))


def _sigma(found: Probe) -> str:
    """The noise that a squared error implies: with σ = √β its β is 1."""
    assert found.reconstruction is not None
    assert found.beta is not None
    if RECONSTRUCTIONS[found.reconstruction.form].nats != 0.5 or found.beta <= 0:
        return ""
    sigma = short(math.sqrt(found.beta))
    return Message("part.sigma", " of σ = 1 (1 of σ = {sigma})", sigma=sigma)


def _figures(found: Probe) -> dict[str, Any]:
    figures: dict[str, Any] = {
        "effective_beta": found.beta,
        "batch": found.size.batch,
        "shape": list(found.size.shape),
        "latent": found.size.latent,
        "gradients": found.gradients,
        "arguments": dict(found.subject.called),
    }
    for name, term in (("reconstruction", found.reconstruction), ("kl", found.kl)):
        if term is not None:
            figures[name] = {
                "form": term.form or None,
                "weight": term.weight,
                "unexplained": term.left,
                "powers": term.powers._asdict(),
            }
    if found.noise is not None:
        figures["noise"] = found.noise._asdict()
    figures["weights"] = {c.name: [c.reconstruction, c.kl] for c in found.constants}
    return figures
