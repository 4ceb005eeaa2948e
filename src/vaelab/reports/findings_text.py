"""The doctor's sentences in another language."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Literal

from vaelab.doctor.findings import Evidence, Finding, Report
from vaelab.reports.page import tables
from vaelab.reports.translations import find
from vaelab.utils.messages import Message

Language = Literal["en", "zh"]


def console_texts(lang: Language) -> Mapping[str, str]:
    """The words around findings on a console, by name."""
    texts: Mapping[str, str] = tables(f"doctor/{lang}.toml")["console"]
    return texts


def in_language(report: Report, lang: Language) -> Report:
    """A report with its sentences in a language; code, names and numbers are kept as they are."""
    if lang == "en":
        return report
    tree = tables(f"doctor/{lang}.toml")
    return replace(
        report,
        about=[translated(line, tree) for line in report.about],
        checked=[translated(check, tree) for check in report.checked],
        findings=[_finding(finding, tree) for finding in report.findings],
    )


def translated(text: Any, tree: Mapping[str, Any]) -> Any:
    """A message or known term in the language of a tree of texts; anything else as it is."""
    if not isinstance(text, str):
        return text
    if not isinstance(text, Message):
        return tree["terms"].get(text, text)
    blanks = {name: translated(value, tree) for name, value in text.blanks.items()}
    template = find(tree, text.key)
    if not text.key:
        template = text.template
        for mark, own in tree["marks"].items():
            template = template.replace(mark, own)
    return text if template is None else template.format(**blanks)


def _finding(finding: Finding, tree: Mapping[str, Any]) -> Finding:
    return replace(
        finding,
        what=translated(finding.what, tree),
        remedy=translated(finding.remedy, tree),
        evidence=_evidence(finding.evidence, tree),
    )


def _evidence(evidence: Evidence, tree: Mapping[str, Any]) -> Evidence:
    return replace(
        evidence, name=translated(evidence.name, tree), unit=translated(evidence.unit, tree)
    )
