"""Tables and lists of the page in one language: numbers, verdicts, definitions, commands."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from html import escape
from typing import Any

from vaelab.reports.understand import formatting
from vaelab.reports.understand.figures import MODELS
from vaelab.reports.understand.translations import Words
from vaelab.reports.understand.values import Facts, link

GROUPS = {
    "distortion": "loss",
    "posterior_scale": "space",
    "roughness": "paths",
    "precision": "samples",
}
"""The first row of each group of the table."""

CERTAIN = 2.0
VERDICTS = {"holds": "yes", "fails": "no", "undecided": "open"}
MARKS = {"yes": "✓", "no": "✗", "open": "?", "missing": "–"}

COMMANDS = {
    "sample": "vaelab sample {vae} -n 64 --temperature 0.8 --out samples.png",
    "vary": "vaelab vary {vae} test:0-5 -n 8 --temperature 1 --out variations.png",
    "interpolate": "vaelab interpolate {vae} test:0 test:7 --steps 10 --out walk.png",
    "traverse": "vaelab traverse {vae} --out traversal.png",
    "reconstruct": "vaelab reconstruct {runs}/vae-2 test:0-15 --out reconstructions.png",
    "encode": "vaelab encode {vae} test:0-99 --out codes.npy",
    "evaluate": "vaelab evaluate {vae}",
    "train": "vaelab train beta-vae --data {source} --beta 4 --out runs/beta-4\n"
    "vaelab evaluate runs/beta-4",
    "again": "vaelab understand --data PATH --out why",
}


def contrast(facts: Facts, words: Words) -> str:
    """The four models: what a code is, what is minimised."""
    head = "".join(
        f"<th scope=col>{words.line(key)}</th>"
        for key in ("ui.model", "opening.column_code", "opening.column_loss")
    )
    rows = "".join(
        f"<tr><th scope=row>{words.line(f'models.{model}')}</th>"
        f"<td>{words.line('opening.code_point' if model == 'ae' else 'opening.code_region')}</td>"
        f"<td>{words.line(f'opening.loss_{model}')}</td></tr>"
        for model in MODELS
    )
    return (
        f'<table class="words" lang="{words.tag}"><thead><tr>{head}</tr></thead>'
        f"<tbody>{rows}</tbody></table>"
    )


def table(facts: Facts, words: Words, only: Iterable[str] = ()) -> str:
    """The numbers of all models, a table a latent size; `only` some figures, or all in groups."""
    chosen = set(only)
    rows = [row for row in facts.rows if not chosen or row["figure"] in chosen]
    return "".join(
        _table(facts, words, rows, latent, grouped=not chosen)
        for latent in facts.document["study"]["latents"]
    )


def _table(
    facts: Facts, words: Words, rows: list[Mapping[str, Any]], latent: int, grouped: bool
) -> str:
    body = []
    for row in rows:
        if grouped and row["figure"] in GROUPS:
            title = words.line(f"table.groups_{GROUPS[row['figure']]}")
            body.append(f'<tr class="group"><th colspan=5 scope=colgroup>{title}</th></tr>')
        cells = "".join(_cell(facts, words, row, model, latent) for model in MODELS)
        body.append(f"<tr><th scope=row>{_row_name(facts, words, row, latent)}</th>{cells}</tr>")
    head = "".join(f"<th scope=col>{words.line(f'short.{model}')}</th>" for model in MODELS)
    return (
        f'<table class="numbers" lang="{words.tag}"><caption>{facts.dims(latent, words)}</caption>'
        f"<thead><tr><th scope=col>{words.line('ui.figure')}</th>{head}</tr></thead>"
        f"<tbody>{''.join(body)}</tbody></table>"
    )


def _row_name(facts: Facts, words: Words, row: Mapping[str, Any], latent: int) -> str:
    figure = row["figure"]
    found = [facts.estimate(f"{model}-{latent}", figure) for model in MODELS]
    counts = sorted({estimate["n"] for estimate in found if estimate})
    told = [facts.dims(latent, words)]
    if counts:
        told.append(words.line("ui.n", {"n": " / ".join(map(formatting.count, counts))}))
    told.append(words.line("ui.seed", {"seed": str(facts.document["study"]["seed"])}))
    unit = words.line("ui.unit_nats") if row["unit"] == "nats" else ""
    unit = "%" if row["unit"] == "share" else unit
    name = link(measure_name(words, figure), f"about-{figure}", " · ".join(told))
    return f'{name} <span class="unit">{unit}</span>' if unit else name


def _cell(facts: Facts, words: Words, row: Mapping[str, Any], model: str, latent: int) -> str:
    key = f"{model}-{latent}"
    estimate = facts.estimate(key, row["figure"])
    if estimate is None:
        found = facts.document["models"].get(key, {}).get("figures", {}).get(row["figure"]) or {}
        why = f"why.{found.get('why')}"
        reason = words.line(why) if why in words else words.line("ui.dash")
        return f'<td><small class="none">{reason}</small></td>'
    value, se = formatting.value_and_error(estimate, row["unit"])
    if model in (row.get("best") or {}).get(str(latent), []):
        value = f'<strong class="best" title="{escape(words.line("ui.best"))}">{value}</strong>'
    return f"<td>{value}{f'<small>{se}</small>' if se else ''}</td>"


def measure_name(words: Words, figure: str) -> str:
    """A figure's name; one the words do not know is called as in the JSON."""
    key = f"measures.{figure}.name"
    return words.line(key) if key in words else f"<code>{escape(figure)}</code>"


def state(claim: Mapping[str, Any]) -> str:
    """What measurement says of a claim: "yes", "no", "open" or "missing"."""
    sides = [claim["left"], *([claim["right"]] if claim.get("right") else [])]
    if any(side.get("value") is None for side in sides):
        return "missing"
    if claim.get("verdict"):
        return VERDICTS[claim["verdict"]]
    if claim.get("holds") is None or abs(claim.get("z") or CERTAIN) < CERTAIN:
        return "open"
    return "yes" if claim["holds"] else "no"


def claims(facts: Facts, words: Words, chosen: list[Mapping[str, Any]]) -> str:
    """Statements, and under each what was measured at each latent size; "" where there is none.

    A statement that could be measured at no size is left out.
    """
    groups: dict[str, list[Mapping[str, Any]]] = {}
    for claim in chosen:
        groups.setdefault(claim["id"], []).append(claim)
    items = []
    for group in groups.values():
        if all(state(claim) == "missing" for claim in group):
            continue
        results = "".join(_result(facts, words, claim) for claim in group)
        items.append(f"<li><p>{_statement(facts, words, group[0])}</p><ul>{results}</ul></li>")
    return f'<ul class="claims" lang="{words.tag}">{"".join(items)}</ul>' if items else ""


def _statement(facts: Facts, words: Words, claim: Mapping[str, Any]) -> str:
    key = f"claims.{claim['id']}"
    if key in words:
        return words.line(key)
    right = claim.get("right")
    return words.line(
        "verdict.generic",
        {
            "figure": measure_name(words, claim["left"]["figure"]),
            "left_model": facts.name(claim["left"]["model"], words),
            "relation": words.line(f"verdict.{claim['relation']}"),
            "right_model": facts.name(right["model"], words) if right else str(claim["bound"]),
        },
    )


def _result(facts: Facts, words: Words, claim: Mapping[str, Any]) -> str:
    left, right, found = claim["left"], claim.get("right"), state(claim)
    blanks = {
        "left": facts.number(left["model"], left["figure"], words),
        "left_model": facts.name(left["model"], words),
    }
    if right:
        blanks["right"] = facts.number(right["model"], right["figure"], words)
        blanks["right_model"] = facts.name(right["model"], words)
    elif claim.get("bound") is not None:
        unit = facts.units[left["figure"]]
        blanks["bound"] = formatting.written({"value": claim["bound"]}, unit, words.language)
    key = "missing" if found == "missing" else f"{found}{'' if right else '_bound'}"
    text = words.line(f"verdict.{key}", blanks)
    size = facts.dims(claim["latent"], words)
    colon = ": " if words.language == "en" else "："
    return (
        f'<li class="{found}"><span class="mark" aria-hidden="true">{MARKS[found]}</span>'
        f"<span>{size}{colon}{text}</span></li>"
    )


def verdict(facts: Facts, words: Words) -> str:
    """How many statements hold, and which do not."""
    every = facts.document["claims"]
    found = {name: [c for c in every if state(c) == name] for name in ("yes", "no", "open")}
    counts: dict[str, str | None] = {name: str(len(group)) for name, group in found.items()}
    counts["count"] = str(sum(map(len, found.values())))
    parts = [f'<p lang="{words.tag}">{words.line("verdict.all", counts)}</p>']
    for name, key in (("no", "fails"), ("open", "opens")):
        if found[name]:
            parts.append(f'<p lang="{words.tag}">{words.line(f"verdict.{key}")}</p>')
            parts.append(claims(facts, words, found[name]))
        elif name == "no":
            parts.append(f'<p lang="{words.tag}">{words.line("verdict.none_fail")}</p>')
    return "".join(parts)


def definitions(facts: Facts, words: Words, figure: str) -> str:
    """What a figure is, in one language."""
    key = f"measures.{figure}.says"
    return words.line(key) if key in words else ""


def setup(facts: Facts, words: Words) -> str:
    """How the numbers were made, as a list."""
    keys = ("data", "likelihood", "binarize", "models", "draws", "features", "classifier", "made")
    lines = [words.line(f"definitions.setup_{key}") for key in keys]
    items = "".join(f"<li>{line}</li>" for line in lines if line)
    return f'<ul lang="{words.tag}">{items}</ul>'


def commands(facts: Facts) -> str:
    """What to type next: the explanation in both languages, the command once."""
    where = {
        "vae": _quoted(f"{facts.folder}/runs/vae-{facts.wide}"),
        "runs": _quoted(f"{facts.folder}/runs"),
        "source": _quoted(facts.document["data"]["source"]),
    }
    items = []
    for key, command in COMMANDS.items():
        says = "".join(
            f'<span lang="{words.tag}">{words.line(f"next.{key}")}</span>'
            for words in facts.words.values()
        )
        typed = escape(command.format(**where))
        items.append(f"<dt>{says}</dt><dd><pre><code>{typed}</code></pre></dd>")
    return f'<dl class="commands">{"".join(items)}</dl>'


def _quoted(path: str) -> str:
    return f'"{path}"' if " " in path else path
