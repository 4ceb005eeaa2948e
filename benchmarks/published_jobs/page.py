"""docs/published.md: what was published, what was reached, and why not more."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from itertools import groupby
from math import sqrt
from typing import Any

from published_jobs.rows import ROWS, Row

Result = Mapping[str, Any]

HEAD = """# Published figures, measured again

Written by `python benchmarks/published.py` (`make bench-published`), which trains the networks of a
publication on its data in its way, as far as the time allows, and goes on from there when it is
called again. Every figure is NLL_K = −log (1/K) Σ p(x, z_k)/q(z_k|x) in nats an image, over the
10,000 test images, an upper bound on −log p(x).

± is the standard error over the test images, or over seeds where there are several. That over
images says how far another test set of digits could lead; between two models on the same images
much of it cancels, so it does not bound the difference. Of the same weights: −ELBO, of 10 draws an
image; the slack, by how many nats more draws would lower NLL_K, to first order; and the share of
images where the bound is loose, with fewer than 10 draws that carry weight, and the slack is more.
"""

FEWER = """With fewer passes than published, all learning rates of the publication are gone through
in their order: a stage of n passes becomes one of n^a, with the a in [0, 1] that makes as many as
are asked for. `--passes 0` asks for as many as published.
"""

EVERYWHERE = """Everywhere here log σ of the posterior is smoothly bounded to ±10, and first
weights, noise and order come from torch's generators.
"""


def page(results: Sequence[Result]) -> str:
    """The page of all results there are."""
    groups = grouped(results)
    parts = [HEAD, "## Reached so far\n", table(groups), "## Why not more\n", FEWER]
    parts += [reasons(groups), on(results), "## How\n", *map(how, ROWS.values()), EVERYWHERE]
    return "\n".join(parts).rstrip() + "\n"


def grouped(results: Sequence[Result]) -> list[list[Result]]:
    """Results of one row and one setting, which differ in their seed alone; longest last."""
    names = list(ROWS)

    def setting(r: Result) -> tuple[int, ...]:
        return names.index(r["name"]), r["done"], r["passes"], r["batch"], r["samples"]

    return [list(group) for _, group in groupby(sorted(results, key=setting), setting)]


def table(groups: Sequence[Sequence[Result]]) -> str:
    """Published and ours side by side."""
    head = (
        "", "published", "ours", "difference", "K", "passes", "batch", "seeds",
        "−ELBO", "slack", "loose",
    )  # fmt: skip
    lines = ["| " + " | ".join(head) + " |", "|" + "---|" * len(head)]
    for name, row in ROWS.items():
        published = [row.title, f"{row.published:.2f}"]
        own = [group for group in groups if group[0]["name"] == name]
        cells = [figures(group, row) for group in own] or [["not run"] + [""] * 8]
        lines += ["| " + " | ".join(published + ours) + " |" for ours in cells]
    return "\n".join(lines) + "\n"


def figures(group: Sequence[Result], row: Row) -> list[str]:
    """Ours, and what it was come by."""
    first, (nll, se) = group[0], over_seeds(group)
    cells = [f"{nll:.2f} ± {se:.2f}", f"{nll - row.published:+.2f}"]
    cells += [of(first["samples"], row.samples), of(first["done"], row.passes)]
    own_batch = "" if first["batch"] == row.batch else f" (published {row.batch})"
    cells += [f"{first['batch']}{own_batch}", f"{len(group)}"]
    cells += [f"{mean(group, name):.2f}" for name in ("neg_elbo", "slack")]
    return [*cells, f"{mean(group, 'loose'):.0%}"]


def over_seeds(group: Sequence[Result]) -> tuple[float, float]:
    """NLL with its standard error: over seeds, or over images where there is one seed."""
    nlls = [r["nll"] for r in group]
    if len(nlls) == 1:
        return nlls[0], group[0]["nll_se"]
    return statistics.mean(nlls), statistics.stdev(nlls) / sqrt(len(nlls))


def mean(group: Sequence[Result], name: str) -> float:
    """Of one figure over seeds."""
    return statistics.mean(r[name] for r in group)


def of(ours: int, published: int) -> str:
    """Ours, and the published where it is another."""
    return f"{ours:,}" if ours == published else f"{ours:,} of {published:,}"


def reasons(groups: Sequence[Sequence[Result]]) -> str:
    """What is missing from each, as far as it is known."""
    lines = [f"- {reason(group, ROWS[group[0]['name']])}" for group in groups]
    run = {group[0]["name"] for group in groups}
    lines += [
        f"- **{row.title}**, not run: no time was left for it."
        for name, row in ROWS.items()
        if name not in run
    ]
    return "\n".join(lines) + "\n"


def reason(group: Sequence[Result], row: Row) -> str:
    """What is missing from one row at one setting."""
    first, hours = group[0], mean(group, "seconds") / 3600
    passes = f"{first['done']:,} pass{'' if first['done'] == 1 else 'es'}"
    said = [f"**{row.title}**, {passes} in {60 * hours:.1f} minutes"]
    if first["done"] < first["passes"]:
        said.append(
            f"broken off before the {first['passes']:,} asked for, at a learning rate of "
            f"{first['lr']:.2g} where the last is {row.lr * row.stages[-1][1]:.2g}"
        )
    if first["done"] < row.passes:
        needed = hours * row.passes / first["done"]
        said.append(f"the published {row.passes:,} would take {needed:,.0f} hours at this pace")
    if first["fell"] is not None:
        said.append(
            f"in the last tenth of the passes the training loss still fell by {first['fell']:.2f}"
        )
    if first["samples"] < row.samples:
        said.append(
            f"K is {first['samples']:,} rather than {row.samples:,}, which is worth about "
            f"{mean(group, 'slack'):.2f}"
        )
    return "; ".join(said) + "."


def on(results: Sequence[Result]) -> str:
    """What it was trained on."""
    machines = {
        f"{r['device']} ({r['machine']['processor']}, {r['machine']['cores']} cores), "
        f"{r['threads']} {'thread' if r['threads'] == 1 else 'threads'}"
        for r in results
    }
    if not machines:
        return ""
    busy = max(r["load"] for r in results)
    return (
        f"Trained in float32 on {'; '.join(sorted(machines))}. The load was up to {busy:.0f} when "
        "they were measured: other programs shared the cores, and the pace is theirs too.\n"
    )


def how(row: Row) -> str:
    """One publication's protocol."""
    return (
        f"**{row.title}: {row.published:.2f}** ({row.source}; K = {row.samples:,}). "
        f"{row.protocol}.\nDifferences here: {row.differences}.\n"
    )
