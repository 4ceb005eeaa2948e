"""Medians, ratios pair by pair, and the page that says them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median
from typing import Any

from speed.measures import Measure, Target

Records = list[dict[str, Any]]
TARGET_NATS = 100.0
COMMAND = "python benchmarks/speed/run.py"


@dataclass(frozen=True)
class Ratio:
    """A ratio pair by pair: its median, its extremes, and whether the target is met."""

    middle: float
    low: float
    high: float
    met: bool

    @classmethod
    def of(cls, target: Target, ours: Sequence[float], theirs: Sequence[float]) -> Ratio:
        """Compares the i-th repeat of one with the i-th of the other, or with nobody's."""
        pairs = (
            [(b / a) if target.inverse else (a / b) for a, b in zip(ours, theirs, strict=False)]
            if target.theirs
            else list(ours)
        )
        middle: float = median(pairs)
        met = middle <= target.bound if target.at_most else middle >= target.bound
        return cls(middle, min(pairs), max(pairs), met)


def common_target(records: dict[str, Records]) -> float:
    """100 nats, or the lowest −ELBO that every race reached, rounded up to a tenth."""
    best: list[float] = [min(nats for _, nats in r["track"]) for rs in records.values() for r in rs]
    return max(TARGET_NATS, *(math.ceil(nats * 10) / 10 for nats in best))


def reached(track: Sequence[Sequence[float]], nats: float) -> float:
    """Seconds until the first epoch at most at `nats`; infinite where there is none."""
    return next((seconds for seconds, found in track if found <= nats), math.inf)


def counts(record: dict[str, Any]) -> bool:
    """Whether a process came to a figure."""
    if "skipped" in record or "failed" in record:
        return False
    return "track" not in record or bool(record["track"])


def figures(records: dict[str, Records], figure: str) -> dict[str, list[float]]:
    """The figure of every contestant's repeats; a race's seconds are read off its track."""
    kept = {who: [r for r in rs if counts(r)] for who, rs in records.items()}
    kept = {who: rs for who, rs in kept.items() if rs}
    if figure == "seconds" and kept and all("track" in r for rs in kept.values() for r in rs):
        nats = common_target(kept)
        return {who: [reached(r["track"], nats) for r in rs] for who, rs in kept.items()}
    return {who: [float(r[figure]) for r in rs] for who, rs in kept.items()}


def compare(
    measure: Measure, records: dict[str, Records]
) -> list[tuple[Target, Ratio, float, float]]:
    """Every target whose contestants were measured, with the medians of ours and theirs."""
    rows = []
    for target in measure.targets:
        found = figures(records, target.figure)
        if target.ours in found and (target.theirs in found or not target.theirs):
            ours, theirs = found[target.ours], found.get(target.theirs, [math.nan])
            rows.append((target, Ratio.of(target, ours, theirs), median(ours), median(theirs)))
    return rows


def page(results: dict[str, Any], known: dict[str, Measure], notes: str) -> str:
    """The whole of docs/benchmarks.md."""
    lines = [
        "# Benchmarks",
        "",
        f"Written by `{results.get('command', COMMAND)}`, which runs every contestant in a process "
        f"of its own, in turn (A B A B), with {results['threads']} threads each. Figures are "
        "medians; ratios are taken pair by pair and given as median (lowest–highest).",
        "",
    ]
    lines += table(("", ""), [*results["machine"].items(), *results["versions"].items()])
    lines += ["## Targets", ""]
    rows = []
    measured = results["measures"]
    for name, measure in known.items():
        for target, ratio, ours, theirs in compare(measure, measured.get(name, {})):
            against = f"{target.theirs}: {number(theirs)}" if target.theirs else ""
            row = (f"{target.ours}: {number(ours)}", against, *_ratio(target, ratio))
            rows.append((target.title, *row))
    if "help" in measured:
        seconds = median(r["seconds"] for r in measured["help"]["vaelab"])
        met = "met" if seconds < 0.5 else "**missed**"
        rows.append(
            ("`vaelab --help`, a new process", f"{seconds:.3f} s", "", "", "under 0.5 s", met)
        )
    lines += table(("measure", "ours", "theirs", "ratio", "target", ""), rows)
    for name, measure in known.items():
        if measured.get(name):
            lines += section(name, measure, measured[name], results)
    lines += ["## Notes", "", notes.strip(), ""] if notes.strip() else []
    return "\n".join(lines)


def section(
    name: str, measure: Measure, records: dict[str, Records], results: dict[str, Any]
) -> list[str]:
    """One measure: every contestant's median and range, and what was left out."""
    lines = [f"## {measure.title}", "", measure.about, ""]
    found = figures(records, measure.figure)
    rows = []
    for who, values in found.items():
        rs = [r for r in records[who] if counts(r)]
        peak = number(median(r["peak_mib"] for r in rs))
        warm = [r["warm_up_s"] for r in rs if "warm_up_s" in r]
        rows.append(
            (
                who,
                number(median(values)),
                f"{number(min(values))}–{number(max(values))}",
                str(len(values)),
                f"{median(warm):.1f}" if warm else "",
                peak,
            )
        )
    lines += table(("", measure.unit, "range", "repeats", "warm-up, s", "peak, MiB"), rows)
    for who, rs in records.items():
        lines += [
            f"{who}: {r.get('skipped') or r['failed']}"
            for r in rs[:1]
            if "skipped" in r or "failed" in r
        ]
    if name == "race" and found:
        nats = common_target({who: [r for r in records[who] if counts(r)] for who in found})
        said = (
            f" {TARGET_NATS:g} nats were not reached by all within the budget; this is the lowest "
            "−ELBO that all reached."
        )
        lines += [f"The target was {nats:g} nats.{said if nats > TARGET_NATS else ''}", ""]
        lines += searched(results.get("search", {}))
    return [*lines, ""]


def searched(search: dict[str, Records]) -> list[str]:
    """The settings that were tried before the race."""
    rows = []
    for side, tried in search.items():
        for entry in tried:
            track = entry["track"]
            chosen = "raced" if entry.get("chosen") else ""
            best = min((nats for _, nats in track), default=math.inf)
            at = reached(track, TARGET_NATS)
            words = ", ".join(
                f"{k} {v}" for k, v in _flat(entry["settings"]).items() if k != "rows"
            )
            rows.append(
                (
                    side,
                    words,
                    f"{best:.2f}",
                    f"{at:.0f}" if math.isfinite(at) else "not reached",
                    chosen,
                )
            )
    if not rows:
        return []
    head = ("side", "setting", "lowest −ELBO", f"s to {TARGET_NATS:g} nats", "")
    return [
        "The search before the race, each setting once within its budget:",
        "",
        *table(head, rows),
    ]


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    """A Markdown table and an empty line."""
    lines = ["| " + " | ".join(head) + " |", "|" + "---|" * len(head)]
    return [*lines, *("| " + " | ".join(row) + " |" for row in rows), ""]


def number(value: float) -> str:
    """Three digits that count, with thousands set apart."""
    if not math.isfinite(value):
        return "not reached"
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"


def _ratio(target: Target, ratio: Ratio) -> tuple[str, str, str]:
    times = "×" if target.theirs else ""
    bound = f"{'at most' if target.at_most else 'at least'} {target.bound:g}{times}"
    said = f"{ratio.middle:.2f}{times} ({ratio.low:.2f}–{ratio.high:.2f})"
    return said, bound, "met" if ratio.met else "**missed**"


def _flat(settings: dict[str, Any]) -> dict[str, Any]:
    flat = {k: v for k, v in settings.items() if k != "plan"}
    return {**flat, **settings.get("plan", {})}
