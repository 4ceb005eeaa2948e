"""vaelab: variational autoencoders to understand and to use.

The public names, on one screen. They are imported when first asked for, so that `import vaelab` and
`vaelab --help` cost nothing.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from vaelab.version import __version__ as __version__

if TYPE_CHECKING:
    from vaelab import fitted, recipes
    from vaelab.apps.fit_prior import fit_prior
    from vaelab.apps.rows import frame
    from vaelab.apps.shown import picture
    from vaelab.apps.train import train
    from vaelab.data import Data, DataSpec
    from vaelab.data import load as load_data
    from vaelab.design import Design
    from vaelab.objectives import Distortion, ImportanceWeighted, Objective, Rate
    from vaelab.recipe import Recipe
    from vaelab.run import Run, load
    from vaelab.training import Plan, fit
    from vaelab.walk import VAE, Conditional, Ladder, Shallow

_HOME = {
    "fitted": ("vaelab.fitted", None),
    "recipes": ("vaelab.recipes", None),
    "fit_prior": ("vaelab.apps.fit_prior", "fit_prior"),
    "frame": ("vaelab.apps.rows", "frame"),
    "picture": ("vaelab.apps.shown", "picture"),
    "train": ("vaelab.apps.train", "train"),
    "Data": ("vaelab.data", "Data"),
    "DataSpec": ("vaelab.data", "DataSpec"),
    "load_data": ("vaelab.data", "load"),
    "Design": ("vaelab.design", "Design"),
    "Distortion": ("vaelab.objectives", "Distortion"),
    "ImportanceWeighted": ("vaelab.objectives", "ImportanceWeighted"),
    "Objective": ("vaelab.objectives", "Objective"),
    "Rate": ("vaelab.objectives", "Rate"),
    "Recipe": ("vaelab.recipe", "Recipe"),
    "Run": ("vaelab.run", "Run"),
    "load": ("vaelab.run", "load"),
    "Plan": ("vaelab.training", "Plan"),
    "fit": ("vaelab.training", "fit"),
    "VAE": ("vaelab.walk", "VAE"),
    "Conditional": ("vaelab.walk", "Conditional"),
    "Ladder": ("vaelab.walk", "Ladder"),
    "Shallow": ("vaelab.walk", "Shallow"),
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
    "fit",
    "fit_prior",
    "fitted",
    "frame",
    "load",
    "load_data",
    "picture",
    "recipes",
    "train",
]


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"vaelab has no {name!r}; it has {', '.join(__all__)}")
    module, attribute = _HOME[name]
    found = importlib.import_module(module)
    return found if attribute is None else getattr(found, attribute)


def __dir__() -> list[str]:
    return sorted([*__all__, "__version__"])
