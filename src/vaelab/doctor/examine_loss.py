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
        lines.append(f"loss: {found.chosen}")
    told = []
    d, k = found.reconstruction, found.kl
    if d is not None and d.form:
        form = RECONSTRUCTIONS[d.form]
        told.append(f"reconstruction: {form.title}, which expects {form.expects}")
    if k is not None and k.form:
        told.append(f"KL: {_form_of(k)}")
    if found.beta is not None:
        told.append(
            f"effective β {short(found.beta)} in summed nats{_sigma(found)}, at {found.size.dims} "
            f"data and {found.size.latent} latent dimensions"
        )
    if found.random:
        told.append("it samples inside: figures are expectations over its normal noise")
    if any(term is not None and term.powers.batch == 0 for term in (d, k)):
        told.append("summed over the batch: logged values grow with it, the effective β does not")
    if found.elsewhere:
        told.append(
            f"for rows of numbers; of images it would average the reconstruction over "
            f"{found.elsewhere}: check one with --shape, as in --shape 3,32,32"
        )
    return lines + told


def _form_of(k: KL) -> str:
    title = "a scale that rises with s" if k.form == OTHER else f"a {SCALES[k.form].title}"
    floor = "" if k.floor is None else f", with a floor of {short(k.floor)} nats (free bits)"
    return f"closed form of {title}{floor}"


def _sigma(found: Probe) -> str:
    """The noise that a squared error implies: with σ = √β its β is 1."""
    assert found.reconstruction is not None
    assert found.beta is not None
    if RECONSTRUCTIONS[found.reconstruction.form].nats != 0.5 or found.beta <= 0:
        return ""
    return f" of σ = 1 (1 of σ = {short(math.sqrt(found.beta))})"


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
