"""Training history: one row of figures per epoch, and the course of each figure."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, overload

from vaelab.utils.tables import Tabular
from vaelab.utils.text import did_you_mean

if TYPE_CHECKING:
    from typing import SupportsIndex

    import pandas as pd


class History(Tabular, list[dict[str, float]]):
    """Rows by epoch; a name gives the values of a figure, `history["valid_loss"]`.

    >>> history = History([{"epoch": 1, "loss": 9.0}, {"epoch": 2, "loss": 7.5}])
    >>> history["loss"], history[-1]["epoch"]
    ([9.0, 7.5], 2)
    """

    @overload
    def __getitem__(self, index: SupportsIndex) -> dict[str, float]: ...
    @overload
    def __getitem__(self, index: slice) -> list[dict[str, float]]: ...
    @overload
    def __getitem__(self, index: str) -> list[float]: ...
    def __getitem__(self, index: Any) -> Any:
        if not isinstance(index, str):
            return super().__getitem__(index)
        if index not in self.names:
            hint = did_you_mean(index, self.names) or f" There is {', '.join(self.names)}."
            raise KeyError(f"no figure is called {index!r}.{hint}")
        return [row.get(index, float("nan")) for row in self]

    @property
    def names(self) -> list[str]:
        """Names of the figures, validation figures with the prefix `valid_`."""
        return list(dict.fromkeys(name for row in self for name in row))

    def row(self, epoch: int) -> dict[str, float]:
        """Validation figures of an epoch, counted from 1: loss, rate and distortion."""
        found = self[epoch - 1] if self else {}
        names = ("loss", "rate", "distortion")
        return {name: found[f"valid_{name}"] for name in names if f"valid_{name}" in found}

    def to_frame(self) -> pd.DataFrame:
        """Data frame with a line per epoch."""
        import pandas as pd

        return pd.DataFrame(list(self))
