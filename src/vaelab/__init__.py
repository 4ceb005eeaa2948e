"""vaelab: variational autoencoders to understand and to use.

Public names, imported on first use, so that `import vaelab` and
`vaelab --help` cost nothing.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from vaelab.version import __version__ as __version__

if TYPE_CHECKING:
    from vaelab import fitted, recipes, sklearn
    from vaelab.core import VAE, Conditional, Ladder, Shallow
    from vaelab.data import Data, DataSpec
    from vaelab.data import load as load_data
    from vaelab.objectives import Distortion, ImportanceWeighted, Objective, Rate
    from vaelab.plots.scaling import picture
    from vaelab.recipes.design import Design
    from vaelab.recipes.parts_by_name import register
    from vaelab.recipes.registry import Recipe, recipe
    from vaelab.runs.fit_prior import fit_prior
    from vaelab.runs.frame import frame
    from vaelab.runs.load import load
    from vaelab.runs.run import Run
    from vaelab.runs.train import train
    from vaelab.training import Plan, fit
    from vaelab.verbs.compare import compare
    from vaelab.verbs.doctor import doctor
    from vaelab.verbs.evaluate import evaluate
    from vaelab.verbs.explore import explore
    from vaelab.verbs.sweep import sweep
    from vaelab.verbs.understand import understand

_HOME = {
    "fitted": ("vaelab.fitted", None),
    "recipes": ("vaelab.recipes", None),
    "sklearn": ("vaelab.sklearn", None),
    "doctor": ("vaelab.doctor", None),
    "explore": ("vaelab.explore", None),
    "sweep": ("vaelab.sweep", None),
    "understand": ("vaelab.understand", None),
    "compare": ("vaelab.verbs.compare", "compare"),
    "evaluate": ("vaelab.verbs.evaluate", "evaluate"),
    "recipe": ("vaelab.recipes.registry", "recipe"),
    "register": ("vaelab.recipes.parts_by_name", "register"),
    "fit_prior": ("vaelab.runs.fit_prior", "fit_prior"),
    "frame": ("vaelab.runs.frame", "frame"),
    "picture": ("vaelab.plots.scaling", "picture"),
    "train": ("vaelab.runs.train", "train"),
    "Data": ("vaelab.data", "Data"),
    "DataSpec": ("vaelab.data", "DataSpec"),
    "load_data": ("vaelab.data", "load"),
    "Design": ("vaelab.recipes.design", "Design"),
    "Distortion": ("vaelab.objectives", "Distortion"),
    "ImportanceWeighted": ("vaelab.objectives", "ImportanceWeighted"),
    "Objective": ("vaelab.objectives", "Objective"),
    "Rate": ("vaelab.objectives", "Rate"),
    "Recipe": ("vaelab.recipes.registry", "Recipe"),
    "Run": ("vaelab.runs.run", "Run"),
    "load": ("vaelab.runs.load", "load"),
    "Plan": ("vaelab.training", "Plan"),
    "fit": ("vaelab.training", "fit"),
    "VAE": ("vaelab.core", "VAE"),
    "Conditional": ("vaelab.core", "Conditional"),
    "Ladder": ("vaelab.core", "Ladder"),
    "Shallow": ("vaelab.core", "Shallow"),
}

__all__ = [
    "VAE",
    "Conditional",
    "Data",
    "DataSpec",
    "Design",
    "Distortion",
    "ImportanceWeighted",
    "Ladder",
    "Objective",
    "Plan",
    "Rate",
    "Recipe",
    "Run",
    "Shallow",
    "compare",
    "doctor",
    "evaluate",
    "explore",
    "fit",
    "fit_prior",
    "fitted",
    "frame",
    "load",
    "load_data",
    "picture",
    "recipe",
    "recipes",
    "register",
    "sklearn",
    "sweep",
    "train",
    "understand",
]


def __getattr__(name: str) -> Any:
    if name in _HOME:
        module, attribute = _HOME[name]
        home = importlib.import_module(module)
        return home if attribute is None else getattr(home, attribute)
    if name.startswith("_"):
        raise AttributeError(f"module 'vaelab' has no attribute {name!r}")
    from vaelab.utils.hints import no_such_name

    recipes = importlib.import_module("vaelab.recipes").__all__
    raise no_such_name(
        "vaelab", name, [*recipes, *__all__], dict.fromkeys(recipes, "vaelab.recipes.")
    )


def __dir__() -> list[str]:
    return sorted([*__all__, "__version__"])
