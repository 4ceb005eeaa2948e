"""Values of understand.json as the page shows them: numbers, claims, and blanks of its texts."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Mapping
from pathlib import PurePath
from typing import Any, NamedTuple

from markupsafe import Markup

from vaelab.reports.page import link, tables
from vaelab.reports.translations import LANGUAGES, Texts, find
from vaelab.reports.understand import formatting
from vaelab.training import Length

MODELS = ("ae", "kl-only", "reconstruction-only", "vae")

LITTLE = 0.5
"""Nats of rate below which the VAE counts as collapsed."""

CERTAIN = 2.0
VERDICTS = {"holds": "yes", "fails": "no", "undecided": "open"}
MARKS = {"yes": "✓", "no": "✗", "open": "?", "missing": "–"}

COMMANDS = {
    "sample": "vaelab sample {vae} -n 64 --temperature 0.8 --out samples.png",
    "vary": "vaelab vary {vae} test:0-{upto_5} -n 8 --temperature 1 --out variations.png",
    "interpolate": "vaelab interpolate {vae} test:0 test:{upto_7} --steps 10 --out walk.png",
    "traverse": "vaelab traverse {vae} --out traversal.png",
    "reconstruct": "vaelab reconstruct {flat} test:0-{upto_15} --out reconstructions.png",
    "encode": "vaelab encode {vae} test:0-{upto_99} --out codes.npy",
    "evaluate": "vaelab evaluate {vae}",
    "train": "vaelab train beta-vae --data {source} --beta 4 --out runs/beta-4\n"
    "vaelab evaluate runs/beta-4",
    "again": "vaelab understand --data PATH --out why",
}

Estimate = Mapping[str, Any]
"""value, se and n; or a null value and why."""


class Cell(NamedTuple):
    """A figure of one model in a table.

    Attributes:
        value: without its unit; None if there is none.
        se: its standard error, or the interval it is within; may be empty.
        best: the best of the row, or not distinguishable from it.
        reason: why there is no value.
    """

    value: str | None
    se: str = ""
    best: bool = False
    reason: Markup = Markup()


class Values:
    """The study behind a page.

    Args:
        document: the content of understand.json.
        folder: name of the folder that the page is written to.
        lang: language the page opens in.
    """

    def __init__(self, document: Mapping[str, Any], folder: str, lang: str) -> None:
        self.document, self.folder = document, folder
        self.wide = int(document["study"]["wide"])
        # Figures that no model has on this data, such as those that need classes, are left out.
        self.rows = [row for row in document["rows"] if self._exists(row["figure"])]
        self.units = {row["figure"]: row["unit"] for row in document["rows"]}
        self.texts = {language: self._texts(language) for language in LANGUAGES}
        self.ordered = sorted(self.texts.values(), key=lambda t: t.language != lang)

    def latent(self, size: str) -> int:
        """The dimensions of a size, "2" or "wide"."""
        return self.wide if size == "wide" else int(size)

    def dims(self, latent: int, t: Texts) -> Markup:
        """The number of latent dimensions, in words."""
        return t.line("ui.dims", {"latent": str(latent)})

    def estimate(self, model: str, figure: str) -> Estimate | None:
        """A figure of a model such as "vae-16"; None if it has no value."""
        found = self.document["models"].get(model, {}).get("figures", {}).get(figure)
        return found if found and found.get("value") is not None else None

    def number(self, model: str, figure: str, t: Texts) -> Markup | None:
        """A figure as a link to its definition; None if it has no value."""
        estimate = self.estimate(model, figure)
        if estimate is None:
            return None
        se = estimate.get("se")
        name, _, latent = model.rpartition("-")
        facts = [
            t.line(f"models.{name}"),
            self.dims(int(latent), t),
            formatting.exact(estimate["value"]),
            t.line("ui.se", {"se": formatting.short(se)}) if se else t.line("ui.no_se"),
            t.line("ui.n", {"n": formatting.count(estimate["n"])}),
            t.line("ui.seed", {"seed": str(self.document["study"]["seed"])}),
        ]
        text = formatting.written(estimate, self.units[figure], t.language)
        return link(text, f"about-{figure}", " · ".join(facts))

    def figure_name(self, figure: str, t: Texts) -> Markup:
        """A figure's name, or its key in the JSON if the texts have none."""
        code = Markup("<code>{}</code>").format(figure)
        return t.first(f"measures.{figure}.name") or code

    def row_name(self, row: Mapping[str, Any], latent: int, t: Texts) -> Markup:
        """The name of a table's row, linked to its definition."""
        figure = row["figure"]
        found = [self.estimate(f"{model}-{latent}", figure) for model in MODELS]
        counts = sorted({estimate["n"] for estimate in found if estimate})
        n = " / ".join(map(formatting.count, counts)) or None
        seed = {"seed": str(self.document["study"]["seed"])}
        facts = [self.dims(latent, t), t.line("ui.n", {"n": n}), t.line("ui.seed", seed)]
        return link(self.figure_name(figure, t), f"about-{figure}", " · ".join(filter(None, facts)))

    def unit(self, row: Mapping[str, Any], t: Texts) -> str:
        """The unit of a row of the table; may be empty."""
        return {"nats": t.line("ui.unit_nats"), "share": "%"}.get(row["unit"], "")

    def cell(self, row: Mapping[str, Any], model: str, latent: int, t: Texts) -> Cell:
        """One figure of the table."""
        key = f"{model}-{latent}"
        estimate = self.estimate(key, row["figure"])
        if estimate is None:
            figures = self.document["models"].get(key, {}).get("figures", {})
            why = (figures.get(row["figure"]) or {}).get("why")
            return Cell(None, reason=t.first(f"why.{why}", "ui.dash"))
        best = model in (row.get("best") or {}).get(str(latent), [])
        return Cell(*formatting.value_and_error(estimate, row["unit"]), best)

    def claims(self, section: int) -> list[list[Mapping[str, Any]]]:
        """The claims of a section, those of one statement together."""
        return _grouped([c for c in self.document["claims"] if c["section"] == section])

    def claims_that(self, state: str) -> list[list[Mapping[str, Any]]]:
        """The claims of one state, as `state_of` names it."""
        return _grouped([c for c in self.document["claims"] if state_of(c) == state])

    def counts(self) -> dict[str, str]:
        """The number of comparisons that could be made, and of those in each state."""
        states = [state_of(claim) for claim in self.document["claims"]]
        counts = {name: states.count(name) for name in VERDICTS.values()}
        counts["count"] = sum(counts.values())
        return {name: str(count) for name, count in counts.items()}

    def statement(self, claim: Mapping[str, Any], t: Texts) -> Markup:
        """The statement of a claim."""
        return t.line(f"claims.{claim['id']}")

    def result(self, claim: Mapping[str, Any], t: Texts) -> Markup:
        """The numbers behind a claim at its latent size, and the verdict."""
        state, comparisons = state_of(claim), claim["comparisons"]
        size = self.dims(claim["latent"], t) + t.line("ui.colon")
        if len(comparisons) == 1:
            bound = "" if state == "missing" or comparisons[0].get("right") else "_bound"
            return size + t.line(f"verdict.{state}{bound}", self._sides(comparisons[0], t))
        of_several = len({one["left"]["figure"] for one in comparisons}) > 1
        parts = (
            t.line("verdict.part_of" if of_several else "verdict.part", self._sides(one, t))
            for one in comparisons
        )
        every = "" if state == "missing" else "_all"
        blanks = {"parts": t.line("verdict.semicolon").join(parts)}
        return size + t.line(f"verdict.{state}{every}", blanks)

    def _sides(self, one: Mapping[str, Any], t: Texts) -> dict[str, Any]:
        """Both sides of a comparison as blanks."""
        left, right = one["left"], one.get("right")
        blanks: dict[str, Any] = {
            "figure": self.figure_name(left["figure"], t),
            "left": self.number(left["model"], left["figure"], t),
            "left_model": self._short(left["model"], t),
            "mark": MARKS[state_of(one)],
        }
        if right:
            blanks["right"] = self.number(right["model"], right["figure"], t)
            blanks["right_model"] = self._short(right["model"], t)
        elif one.get("bound") is not None:
            unit = self.units[left["figure"]]
            bound = formatting.written({"value": one["bound"]}, unit, t.language)
            blanks["bound"] = Markup("{}").format(bound)
        return blanks

    def commands(self) -> dict[str, str]:
        """Command lines to try next, by the key of their explanation."""
        places = {
            "vae": f"{self.folder}/runs/vae-{self.wide}",
            "flat": f"{self.folder}/runs/vae-2",
            "source": self.document["data"]["source"],
        }
        last = self.document["data"]["sizes"][2] - 1
        rows = {f"upto_{row}": min(row, last) for row in (5, 7, 15, 99)}
        quoted = {name: shlex.quote(place) for name, place in places.items()}
        return {key: command.format(**quoted, **rows) for key, command in COMMANDS.items()}

    def _short(self, model: str, t: Texts) -> Markup:
        return t.line(f"short.{model.rpartition('-')[0]}")

    def _exists(self, figure: str) -> bool:
        return any(self.estimate(model, figure) for model in self.document["models"])

    def _collapsed(self) -> bool:
        """True if the VAE's codes carry next to nothing at either size."""
        rates = [self.estimate(f"vae-{n}", "rate") for n in self.document["study"]["latents"]]
        return any(rate is not None and rate["value"] < LITTLE for rate in rates)

    def _gaps(self, latent: int) -> bool:
        """True if the autoencoder's own ellipse holds more holes than real codes would."""
        share = self.estimate(f"ae-{latent}", "hole_ellipse")
        mark = 1 - self.document["measurement"]["level"]
        return share is not None and share["value"] - CERTAIN * share["se"] > mark

    def _texts(self, language: str) -> Texts:
        data, study = self.document["data"], self.document["study"]
        measurement, strip = self.document["measurement"], self.document["strips"]["gap"]
        met = {
            "labels": measurement["chance"] is not None,
            "paired": measurement["pairs_of"] == "different classes",
            "repeats": measurement["repeats"],
            "gaps-2": self._gaps(2),
            "gaps-wide": self._gaps(self.wide),
            "gap": strip["hole"],
            "judged": strip["off"] is not None,
            "strays": bool(strip["off"]),
            "images": bool(data["is_image"]),
            "columns": bool(data["by_column"]),
            "binarized": data["binarize"] != "no",
            "few-steps": Length(study["steps"], study["usual_steps"], study["usual_epochs"]).few,
            "untold": self._collapsed(),
            "untouched": measurement["heldout"]["split"] == "test",
        }
        tree = tables(f"understand/{language}.toml", f"understand/{language}-figures.toml")

        return Texts(
            language,
            tree,
            (name for name, holds in met.items() if holds),
            lambda name: self._blank(name, self.texts[language]),
        )

    def _blank(self, name: str, t: Texts) -> Any:
        """The value of a blank: a figure of a model, a formula, or a value of understand.json."""
        data, measurement = self.document["data"], self.document["measurement"]
        room, _, key = name.partition(".")
        model = room.replace("wide", str(self.wide))
        if model in self.document["models"]:
            return self.number(model, key, t)
        own: dict[str, Callable[[], Any]] = {
            "math": lambda: Markup(tables("understand/formulas.toml")[key]),
            "thing": lambda: self._noun(name, t),
            "things": lambda: self._noun(name, t),
            "a_thing": lambda: self._noun(name, t),
            "features": lambda: self._space(name, t),
            "pixels": lambda: self._space(name, t),
            "heldout": lambda: t.line(f"definitions.split_{measurement['heldout']['split']}"),
            "calibrated": lambda: f"{1 - measurement['level']:.0%}",
            "source": lambda: PurePath(data["source"]).name or data["source"],
            "shape": lambda: " × ".join(map(str, data["shape"])),
            "likelihood": lambda: data["likelihood"].partition(":")[0],
            "temperatures": lambda: ", ".join(map(formatting.short, self.document[name])),
            "inputs": lambda: len(self.document["inputs"]),
            "wide": lambda: self.wide,
            "folder": lambda: self.folder,
        }
        path = name.replace(".wide", f".{self.wide}")
        return own[room]() if room in own else find(self.document, path)

    def _noun(self, name: str, t: Texts) -> Markup:
        return t.line(f"noun.{name}{'' if self.document['data']['is_image'] else '_plain'}")

    def _space(self, name: str, t: Texts) -> str:
        """The feature space of a comparison, in words."""
        measurement = self.document["measurement"]
        found = measurement.get(f"{name}_of")
        if found is None:
            return str(measurement[name])
        blanks = {"dims": str(found["dims"]), "classes": str(found.get("classes"))}
        if found.get("explained") is not None:
            blanks["explained"] = f"{100 * found['explained']:.0f}%"
        return t.line(f"definitions.space_{found.get('kind', 'pixels')}", blanks)


def state_of(claim: Mapping[str, Any]) -> str:
    """The state of a claim or of one of its comparisons: "yes", "no", "open" or "missing"."""
    return VERDICTS.get(claim["verdict"], "missing")


def _grouped(claims: list[Mapping[str, Any]]) -> list[list[Mapping[str, Any]]]:
    """Claims of one statement together, without statements that could be measured at no size."""
    groups: dict[str, list[Mapping[str, Any]]] = {}
    for claim in claims:
        groups.setdefault(claim["id"], []).append(claim)
    return [g for g in groups.values() if any(state_of(claim) != "missing" for claim in g)]
