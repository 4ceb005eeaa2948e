"""One cause, and what follows from it: a training that was cut short explains most else."""

from __future__ import annotations

from dataclasses import replace

from vaelab.doctor.findings import SEVERITIES, Finding

CAUSES = ("unfinished", "under-trained")
CONSEQUENCES = (
    *("collapse", "ignored-code", "dead-level", "under-regularised", "over-regularised"),
    *("mean-astray", "holes", "unreached", "misfit", "idle-latents", "few-latents"),
)


def ordered(findings: list[Finding]) -> list[Finding]:
    """The findings with a cause before all that may follow from it, and as grave as these."""
    cause = next((f for f in findings if f.code in CAUSES), None)
    if cause is None:
        return findings
    after = [replace(f, follows=cause.code) for f in findings if f.code in CONSEQUENCES]
    gravest = max((cause, *after), key=lambda f: SEVERITIES.index(f.severity)).severity
    rest = [f for f in findings if f is not cause and f.code not in CONSEQUENCES]
    return [replace(cause, severity=gravest), *after, *rest]
