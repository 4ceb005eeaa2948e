"""What may stand in the blanks of the words: the numbers and facts of understand.json as HTML."""

from __future__ import annotations

from collections.abc import Mapping
from html import escape
from pathlib import PurePath
from typing import Any

from vaelab.reports.understand import formatting
from vaelab.reports.understand.translations import LANGUAGES, Words
from vaelab.training import Length

LITTLE = 0.5
"""Nats of rate below which the argument has no VAE to stand on."""


class Facts:
    """A study as the page speaks of it.

    Args:
        document: the content of understand.json.
        folder: the name of the folder the page is written to.
    """

    def __init__(self, document: Mapping[str, Any], folder: str) -> None:
        self.document = document
        self.wide = int(document["study"]["wide"])
        # What no model has on this data, such as figures that need classes, is not spoken of.
        self.rows = [row for row in document["rows"] if self._measured(row["figure"])]
        self.units = {row["figure"]: row["unit"] for row in document["rows"]}
        self.folder = folder
        self._plain = {name: escape(text) for name, text in self._facts().items()}
        self.words = {language: self._words(language) for language in LANGUAGES}

    def latent(self, size: str) -> int:
        """The dimensions of a size, "2" or "wide"."""
        return self.wide if size == "wide" else int(size)

    def estimate(self, model: str, figure: str) -> Mapping[str, Any] | None:
        """A figure of a model such as "vae-16"; None where it has no value."""
        found = self.document["models"].get(model, {}).get("figures", {}).get(figure)
        return found if found and found.get("value") is not None else None

    def _measured(self, figure: str) -> bool:
        return any(self.estimate(model, figure) for model in self.document["models"])

    def number(self, model: str, figure: str, words: Words) -> str | None:
        """A figure as a link to its definition; None where it has no value."""
        estimate = self.estimate(model, figure)
        if estimate is None:
            return None
        text = formatting.written(estimate, self.units[figure], words.language)
        return link(text, f"about-{figure}", self._told(model, estimate, words))

    def name(self, model: str, words: Words, room: str = "short") -> str:
        """A model's name from its key: "vae-16" is the VAE."""
        return words.line(f"{room}.{model.rpartition('-')[0]}")

    def dims(self, latent: int, words: Words) -> str:
        """How many dimensions, in words."""
        return words.line("ui.dims", {"latent": str(latent)})

    def _told(self, model: str, estimate: Mapping[str, Any], words: Words) -> str:
        se = estimate.get("se")
        error = words.line("ui.se", {"se": formatting.short(se)}) if se else words.line("ui.no_se")
        parts = [
            self.name(model, words, "models"),
            self.dims(int(model.rpartition("-")[2]), words),
            formatting.exact(estimate["value"]),
            error,
            words.line("ui.n", {"n": formatting.count(estimate["n"])}),
            words.line("ui.seed", {"seed": str(self.document["study"]["seed"])}),
        ]
        return " · ".join(parts)

    def _untold(self) -> bool:
        """Whether the VAE's codes say next to nothing, at either size."""
        rates = [self.estimate(f"vae-{n}", "rate") for n in self.document["study"]["latents"]]
        return any(rate is not None and rate["value"] < LITTLE for rate in rates)

    def _words(self, language: str) -> Words:
        data, study = self.document["data"], self.document["study"]
        met = {
            "labels": bool(data["classes"]),
            "images": bool(data["is_image"]),
            "columns": bool(data["by_column"]),
            "binarized": data["binarize"] != "no",
            "few-steps": Length(study["steps"], study["usual_steps"], study["usual_epochs"]).few,
            "untold": self._untold(),
            "untouched": self.document["measurement"]["heldout"]["split"] == "test",
        }

        def fill(name: str) -> str | None:
            if name in ("thing", "things", "a_thing"):
                noun = name if data["is_image"] else f"{name}_plain"
                return self.words[language].line(f"noun.{noun}")
            if name in ("features", "pixels"):
                return self._space(name, self.words[language])
            if name == "heldout":
                split = self.document["measurement"]["heldout"]["split"]
                return self.words[language].line(f"definitions.split_{split}")
            model, dot, figure = name.partition(".")
            if dot:
                key = model.removesuffix("wide") + str(self.wide) if "wide" in model else model
                return self.number(key, figure, self.words[language])
            return self._plain.get(name)

        return Words(language, (name for name, holds in met.items() if holds), fill)

    def _space(self, name: str, words: Words) -> str:
        """In what features things are compared, as in the JSON where it is only said there."""
        measurement = self.document["measurement"]
        found = measurement.get(f"{name}_of")
        if found is None:
            return escape(measurement[name])
        blanks = {"dims": str(found["dims"]), "classes": str(found.get("classes"))}
        if found.get("explained") is not None:
            blanks["explained"] = f"{100 * found['explained']:.0f}%"
        return words.line(f"definitions.space_{found.get('kind', 'pixels')}", blanks)

    def _facts(self) -> dict[str, str]:
        """Blanks with one value in both languages; what does not exist is left out."""
        d, s, m = (self.document[room] for room in ("data", "study", "measurement"))
        count = formatting.count
        optional = {
            "chance": m.get("chance"),
            "classifier_accuracy": (m.get("classifier_accuracy") or {}).get("value"),
        }
        lengths = {
            "gap_distance": self.document["strips"].get("gap", {}).get("distance"),
            "noise_2": self.document["noise_relative"].get("2"),
            "noise_wide": self.document["noise_relative"].get(str(self.wide)),
        }
        sizes = dict(zip(("n_train", "n_valid", "n_test"), map(count, d["sizes"]), strict=True))
        return {
            **{name: f"{100 * value:.0f}%" for name, value in optional.items() if value},
            **{
                name: formatting.short(value)
                for name, value in lengths.items()
                if value is not None
            },
            **sizes,
            **{name: count(m[name]) for name in ("samples", "prior_draws", "generated", "pairs")},
            **{name: str(m[name]) for name in ("k", "walk_steps")},
            **{
                name: count(s[name])
                for name in ("epochs", "batch_size", "steps", "usual_epochs", "usual_steps")
            },
            "seed": str(s["seed"]),
            "net": s["net"],
            "parameters_2": count(s["parameters"]["2"]),
            "parameters_wide": count(s["parameters"][str(self.wide)]),
            "seconds": f"{s['seconds']['train']:.0f}",
            "seconds_measure": f"{s['seconds']['measure']:.0f}",
            "seed_binarization": str(m["seeds"]["binarization"]),
            "seed_draws": str(m["seeds"]["draws"]),
            "n_heldout": count(m["heldout"]["n"]),
            "level": f"{100 * m['level']:.0f}%",
            "calibrated": f"{100 * (1 - m['level']):.0f}%",
            "source": PurePath(d["source"]).name or d["source"],
            "shape": " × ".join(map(str, d["shape"])),
            "likelihood": d["likelihood"].partition(":")[0],
            "likelihood_why": d["likelihood"],
            "wide": str(self.wide),
            "inputs": str(len(self.document["inputs"])),
            "temperatures": ", ".join(map(formatting.short, self.document["temperatures"])),
            "folder": self.folder,
            "vaelab": self.document["vaelab"],
            "torch": self.document["torch"],
            "device": self.document.get("device") or s["device"],
        }


def link(text: str, about: str, told: str) -> str:
    """Text linked to a definition; a script shows it in place, with what is particular to it."""
    return f'<a class="num" href="#{about}" data-facts="{escape(told)}">{text}</a>'
