"""Summary of a run: parts of the model, their size, and the training."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

from torch import nn

from vaelab.utils.tables import Tabular

if TYPE_CHECKING:
    import pandas as pd

    from vaelab.runs.run import Run


class Part(NamedTuple):
    """Part of a model.

    Attributes:
        name: its name, such as `encoder`.
        kind: its class.
        parameters: number of its trained numbers.
    """

    name: str
    kind: str
    parameters: int


@dataclass(frozen=True)
class Summary(Tabular):
    """Parts of a model, and lines on its training.

    Attributes:
        about: the run in words: recipe, data, length and quality of the training.
        formula: training objective, such as D + R.
        likelihood: name and reason of the likelihood.
        parts: encoder and parts of the generator.
    """

    about: str
    formula: str
    likelihood: str
    parts: tuple[Part, ...]

    @property
    def parameters(self) -> int:
        """Number of trained numbers of all parts."""
        return sum(part.parameters for part in self.parts)

    def to_frame(self) -> pd.DataFrame:
        """Data frame with a line per part."""
        import pandas as pd

        return pd.DataFrame(self.parts)

    def __repr__(self) -> str:
        """The parts as a table, below the run in words."""
        rows = [f"  {p.name:<12}{p.kind:<26}{p.parameters:>12,}" for p in self.parts]
        total = f"  {'all':<38}{self.parameters:>12,}"
        lines = [f"  objective {self.formula}", f"  likelihood {self.likelihood}"]
        return "\n".join([self.about, *lines, *rows, total])


def summarize(run: Run) -> Summary:
    """Summary of a run."""
    generator = run.model.generator
    parts = [("encoder", run.model.encoder), *generator.named_children()]
    return Summary(
        repr(run),
        run.recipe.objective.formula,
        run.recipe.reason,
        tuple(Part(name, type(part).__name__, _size(part)) for name, part in parts),
    )


def _size(part: nn.Module) -> int:
    return sum(p.numel() for p in part.parameters() if p.requires_grad)
