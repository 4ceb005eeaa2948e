"""A report on a terminal: the subject, a finding at a time, and the list of checks."""

from __future__ import annotations

import sys
from collections.abc import Mapping

from rich.console import Console
from rich.text import Text

from vaelab.doctor.findings import SEVERITIES, Finding, Report
from vaelab.reports.findings_text import Language, console_texts, in_language
from vaelab.utils.program import as_called
from vaelab.utils.text import escape_control

STYLE = {"error": "bold red", "warning": "yellow", "info": "cyan"}
SIGN = {"error": "✗", "warning": "!", "info": "·"}
WIDE = 200
"""Columns of a report that goes to a file."""


def show(report: Report, console: Console | None = None, lang: Language = "en") -> None:
    """Print a report.

    Args:
        report: report to print.
        console: console to print on; stdout by default.
        lang: "en" or "zh".
    """
    report, words = in_language(report, lang), console_texts(lang)
    out = console or Console(width=None if sys.stdout.isatty() else WIDE, highlight=False)
    out.print(Text(escape_control(report.subject), "bold"))
    for line in report.about:
        _print(out, Text(escape_control(line), "dim"), 2)
    for finding in report.findings:
        out.print()
        _show(finding, out, words)
    out.print()
    _print(out, verdict(report, words), 0)
    checked = words["checked"].format(checks=" · ".join(report.checked))
    _print(out, Text(checked, "dim"), 2)


def _show(finding: Finding, out: Console, words: Mapping[str, str]) -> None:
    severity = words[finding.severity]
    head = Text(f"{SIGN[finding.severity]} {severity} ", STYLE[finding.severity])
    head.append(finding.code, "bold").append(f"  {escape_control(finding.what)}")
    _print(out, head, 2)
    if finding.follows:
        _print(out, Text(words["follows"].format(code=finding.follows), "dim"), 4)
    else:
        _print(out, Text(f"→ {as_called(escape_control(finding.remedy))}", "green"), 4)
    evidence = finding.evidence.written(words["limit"])
    _print(out, Text(f"{escape_control(evidence)}  ").append(finding.docs, "dim"), 4)


def _print(out: Console, text: Text, indent: int) -> None:
    """Print a paragraph; all its lines are indented, but for the first of a head."""
    for i, line in enumerate(text.wrap(out, max(20, out.width - indent))):
        line.rstrip()
        hangs = i == 0 and text.plain[:1] in SIGN.values()
        out.print(Text("" if hangs else " " * indent).append_text(line), soft_wrap=True)


def verdict(report: Report, words: Mapping[str, str]) -> Text:
    """The number of findings by severity."""
    if not report.findings:
        return Text(words["nothing"], "bold green")
    counts = [
        (n, s) for s in reversed(SEVERITIES) if (n := sum(f.severity == s for f in report.findings))
    ]
    listed = (words[f"{s}-{'one' if n == 1 else 'many'}"].format(n=n) for n, s in counts)
    return Text(words["mark"].join(listed), "bold")
