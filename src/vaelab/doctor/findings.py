"""Findings of the doctor, with a number each, and the report that holds them."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal, get_args

from vaelab.metrics import Estimate
from vaelab.utils.progress import counted
from vaelab.utils.tables import Tabular

if TYPE_CHECKING:
    import pandas as pd

Severity = Literal["info", "warning", "error"]
SEVERITIES: tuple[Severity, ...] = get_args(Severity)

DOCS = "docs/findings.md"


@dataclass(frozen=True)
class Evidence:
    """The number behind a finding.

    Attributes:
        name: name of the figure.
        value: as measured.
        limit: beyond which it is a finding; None if its mere presence is one.
        unit: "nats", "rows", …; empty for a share or a ratio.
        se: standard error; None for a count or an exact figure.
    """

    name: str
    value: float
    limit: float | None = None
    unit: str = ""
    se: float | None = None

    @classmethod
    def of(cls, name: str, found: Estimate, limit: float | None = None, unit: str = "") -> Evidence:
        """An estimate with its standard error."""
        return cls(name, found.value, limit, unit, found.se)

    def __str__(self) -> str:
        """`rate 0.02 ± 0.01 nats (limit 0.1)`."""
        return self.written(" (limit {limit})")

    def written(self, form: str) -> str:
        """The figure with its limit in a form such as `" (limit {limit})"`."""
        value = short(self.value)
        if self.se is not None:
            value += f" ± {self.se:.2g}"
        limit = "" if self.limit is None else form.format(limit=short(self.limit))
        return f"{self.name} {value}{f' {self.unit}' if self.unit else ''}{limit}"

    def to_json(self) -> dict[str, Any]:
        """Its fields as JSON values; a number that is not finite as null."""
        numbers = {"value": self.value, "limit": self.limit, "se": self.se}
        finite = {k: v if v is None or math.isfinite(v) else None for k, v in numbers.items()}
        return {"name": self.name, "unit": self.unit} | finite


Target = Literal["train", "read", "array", "table", "data", "file", "kl", "reconstruction", "loss"]


@dataclass(frozen=True)
class Fix:
    """A remedy as a change that can be made without reading it.

    Attributes:
        target: object of the change: "train", flags of `vaelab train`; "read", flags by which data
            are read; "array", Python that changes the arrays named in it; "table", Python that
            changes a data frame `frame`; "data", Python that changes a loaded `data`; "file", a
            shell command on the files of a folder; for a loss the line of its "kl",
            its "reconstruction" or the whole "loss".
        change: the flags, or the code.
    """

    target: Target
    change: str

    def to_json(self) -> dict[str, str]:
        """Its fields as JSON values."""
        return {"target": self.target, "change": self.change}


@dataclass(frozen=True)
class Finding:
    """One thing that is wrong, or worth knowing.

    Attributes:
        code: its stable name, and the anchor of its page in the docs.
        severity: an error makes results wrong, a warning makes them worse than they need be, an
            info is worth knowing.
        what: is the matter, in one sentence.
        evidence: the number that shows it.
        remedy: what to do, in one line.
        fix: the same as a change; None if it takes a person's judgement.
        follows: the code of the finding it may be a mere consequence of; empty for none.
    """

    code: str
    severity: Severity
    what: str
    evidence: Evidence
    remedy: str
    fix: Fix | None = None
    follows: str = ""

    @property
    def docs(self) -> str:
        """Link to its explanation."""
        return f"{DOCS}#{self.code}"

    def to_json(self) -> dict[str, Any]:
        """Its fields as JSON values."""
        return {
            "code": self.code,
            "severity": self.severity,
            "what": self.what,
            "evidence": self.evidence.to_json(),
            "remedy": self.remedy,
            "fix": None if self.fix is None else self.fix.to_json(),
            "follows": self.follows or None,
            "docs": self.docs,
        }


Findings = Iterator[Finding]
"""Findings of one check: none if all is well."""


@dataclass
class Report(Tabular):
    """The subject of an examination, and its findings.

    Attributes:
        subject: as it was named.
        kind: "run", "data" or "loss".
        about: description of the subject, a line each.
        checked: the checks that were made, in words.
        findings: the gravest first.
        figures: the measured figures by name.
    """

    subject: str
    kind: Literal["run", "data", "loss"]
    about: list[str]
    checked: list[str]
    findings: list[Finding]
    figures: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.findings = sorted(self.findings, key=lambda f: -SEVERITIES.index(f.severity))

    def __iter__(self) -> Iterator[Finding]:
        return iter(self.findings)

    def reaches(self, severity: Severity) -> bool:
        """Return True if a finding has this severity, or a graver one."""
        grave = SEVERITIES.index(severity)
        return any(SEVERITIES.index(f.severity) >= grave for f in self.findings)

    def to_frame(self) -> pd.DataFrame:
        """One line per finding, the gravest first."""
        import pandas as pd

        columns = ["code", "severity", "finding", "evidence", "remedy", "docs"]
        rows = [
            (f.code, f.severity, f.what, str(f.evidence), f.remedy, f.docs) for f in self.findings
        ]
        return pd.DataFrame(rows, columns=columns)

    def __str__(self) -> str:
        """Subject and findings, a line each."""
        lines = [f"{f.severity}: {f.code}: {f.what} {f.remedy}" for f in self.findings]
        return "\n".join([f"{self.subject}: {counted(len(lines), 'finding')}", *lines])

    def to_json(self) -> dict[str, Any]:
        """Its fields as JSON values."""
        return {
            "subject": self.subject,
            "kind": self.kind,
            "about": self.about,
            "checked": self.checked,
            "figures": _plain(self.figures),
            "findings": [finding.to_json() for finding in self.findings],
        }


def _plain(figures: Any) -> Any:
    """Figures as JSON values, which know neither infinity nor nan."""
    if isinstance(figures, dict):
        return {name: _plain(value) for name, value in figures.items()}
    return None if isinstance(figures, float) and not math.isfinite(figures) else figures


def beyond(found: Estimate, limit: float) -> bool:
    """Return True if a figure exceeds a limit by two standard errors."""
    return found.value - 2 * found.se > limit


def short(value: float) -> str:
    """Three digits, thousands apart.

    >>> short(1234.5), short(0.01234), short(2.0)
    ('1,234', '0.0123', '2')
    """
    return f"{value:,.0f}" if 1000 <= abs(value) < 1e9 else f"{value:.3g}"
