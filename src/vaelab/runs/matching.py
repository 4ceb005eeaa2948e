"""Match of data with the data that a recipe was made for."""

from __future__ import annotations

import reprlib

from vaelab.data import DataSpec


def check_data_matches(made_for: DataSpec, given: DataSpec) -> None:
    """Check that data match the data a recipe was made for, in kind and scale.

    Raises:
        ValueError: names the first difference.
    """
    names = ["shape", "levels", "offset", "scale"]
    # A density treats counts as plain numbers, without column kinds.
    names += ["columns"] if made_for.columns else []
    names += {"none": [], "labels": ["classes"], "vectors": ["vectors"]}[made_for.condition]
    for name in names:
        then, now = getattr(made_for, name), getattr(given, name)
        if then != now:
            raise ValueError(
                f"the recipe was made for data whose {name} is {reprlib.repr(then)}, this data's "
                f"is {reprlib.repr(now)}; build it with this data's spec"
            )
