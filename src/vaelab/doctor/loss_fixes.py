"""Lines of code that correct a loss, in the user's own names.

`kl`, `reconstruction` and `loss` stand for the loss's own terms.
"""

from __future__ import annotations

from vaelab.doctor.findings import Fix
from vaelab.doctor.loss_arguments import kinds
from vaelab.doctor.loss_forms import RAW, SCALES, Scale
from vaelab.doctor.loss_terms import Probe

BCE = "F.binary_cross_entropy({r}, {x}, reduction='sum') / {x}.shape[0]"
LOGITS = "F.binary_cross_entropy_with_logits({r}, {x}, reduction='sum') / {x}.shape[0]"
LINES = {
    "bce": BCE,
    "bce-swapped": BCE,
    "bce-half": BCE,
    "bce-logits": LOGITS,
    "bce-double": LOGITS,
    "squared": "0.5 * F.mse_loss({r}, {x}, reduction='sum') / {x}.shape[0]",
    "squared-logits": "0.5 * F.mse_loss({r}, {x}, reduction='sum') / {x}.shape[0]",
    "absolute": "F.l1_loss({r}, {x}, reduction='sum') / {x}.shape[0]",
    "log-cosh": "({x} - {r}).cosh().log().sum() / {x}.shape[0]",
    "": "0.5 * F.mse_loss({r}, {x}, reduction='sum') / {x}.shape[0]",
}
"""The right line for each form of the reconstruction, in nats per example."""


def names(probe: Probe) -> dict[str, str]:
    """The user's own names of x, r, mu and s."""
    called = probe.subject.called
    return {
        "x": called.get("x", "x"),
        "r": called.get("reconstruction", "reconstruction"),
        "mu": called.get("mu", "mu"),
        "s": called.get("scale", "logvar"),
    }


def closed_form(probe: Probe, clamp: str = "") -> str:
    """The line that computes the right KL, for the meaning that the name of s has."""
    own = names(probe)
    kl = meant(probe).kl.format(mu=own["mu"], s=f"{own['s']}{clamp}")
    return f"kl = 0.5 * ({kl}).flatten(1).sum(1).mean()"


def kl_fix(probe: Probe) -> Fix:
    """The closed form as a change."""
    return Fix("kl", closed_form(probe))


def right_line(probe: Probe, form: str | None = None) -> str:
    """The line that computes the reconstruction's nats."""
    d = probe.reconstruction
    known = form if form is not None else d.form if d is not None else ""
    return LINES[known].format(**names(probe))


def reconstruction_fix(probe: Probe, form: str | None = None) -> Fix:
    """That line as a change."""
    return Fix("reconstruction", f"reconstruction = {right_line(probe, form)}")


def total_fix(probe: Probe, weight: str = "") -> Fix:
    """Both lines, added up, the KL weighed once."""
    lines = [f"reconstruction = {right_line(probe)}", closed_form(probe)]
    total = f"loss = reconstruction + {weight}{' * ' if weight else ''}kl"
    return Fix("loss", "\n".join([*lines, total]))


def meant(probe: Probe) -> Scale:
    """The meaning of s by its name, else by the loss's use of it."""
    by_name = kinds(names(probe)["s"])[0]
    form = probe.kl.form if probe.kl is not None and probe.kl.form in SCALES else ""
    if form in by_name or (form and (not by_name or form in RAW)):
        return SCALES[form]
    return SCALES[(*by_name, "logvar")[0]]
