r"""Spaces in which images are compared: a map x → f(x) whose distances mean something.

    pixels:  f(x) = Vᵀ (v(x) − v̄),  V the leading principal axes of v(x), x a sample of the training
             data; v shows the columns of a table as numbers to compare, and images as they are

A figure of sample quality is nothing without its feature space, so every space has a name to be
recorded beside the figure. `classifier.Classifier` is the other space of this room.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from vaelab.metrics.inputs import as_it_is, in_double, rows


class FeatureSpace(Protocol):
    """A named map from examples (N, …) to features (N, F)."""

    @property
    def name(self) -> str:
        """Name to record beside a figure computed in this space."""
        ...

    def __call__(self, x: Tensor) -> Tensor:
        """Features (N, F) of examples (N, …) in model scale."""
        ...


@dataclass(frozen=True, eq=False)
class Raw:
    """The numbers as they are: for codes, or features computed already."""

    name: str = "as given"

    def __call__(self, x: Tensor) -> Tensor:
        """`x` (N, …) as (N, F)."""
        return rows(x, "points")


@dataclass(frozen=True, eq=False)
class PixelFeatures:
    """Principal components of pixels or columns, for data without labels; made by `fit`.

    Attributes:
        mean: (F,) of the sample it was fitted on.
        axes: orthonormal columns (F, C).
        kept: share of the sample's variance that the axes hold.
        of: what an example is made of, pixels or columns.
        view: v, x (N, …) as what is compared, (N, F).
    """

    mean: Tensor
    axes: Tensor
    kept: float
    of: str = "pixels"
    view: Callable[[Tensor], Tensor] = as_it_is

    @classmethod
    def fit(
        cls,
        x: Tensor,
        variance: float = 0.95,
        sample: int = 4000,
        seed: int = 0,
        view: Callable[[Tensor], Tensor] = as_it_is,
    ) -> "PixelFeatures":
        """As few leading components as hold `variance` of the variance.

        Args:
            x: training examples in model scale, (N, …); vectors (N, D) are rows of columns.
            variance: share to keep, in (0, 1].
            sample: the axes come from this many rows of `x`, drawn with `seed` (all, if fewer);
                the cost grows with the cube of the smaller of `sample` and the size of an example.
            seed: seed of the subsample.
            view: v.

        Raises:
            ValueError: `variance` is out of range, or `x` does not vary at all.
        """
        if not 0.0 < variance <= 1.0:
            raise ValueError(f"variance must lie in (0, 1], got {variance}")
        flat = rows(view(x), "training examples")
        order = torch.randperm(len(flat), generator=torch.Generator().manual_seed(seed))
        drawn = in_double(flat[order[:sample].to(flat.device)])
        mean = drawn.mean(dim=0)
        centred = drawn - mean
        wide = centred.shape[1] > centred.shape[0]
        # The two Gram matrices share their eigenvalues: decompose the smaller.
        gram = centred @ centred.T if wide else centred.T @ centred
        values, vectors = torch.linalg.eigh(gram)
        values, vectors = values.flip(0).clamp(min=0), vectors.flip(1)
        total = values.sum()
        if not float(total) > 0:
            raise ValueError("the training examples are all the same: no axis to compare them on")
        share = values.cumsum(0) / total
        # Axes of rounding size carry nothing, whatever share was asked for.
        count = min(
            int((share < variance - 1e-12).sum()) + 1, int((values > 1e-12 * values[0]).sum())
        )
        axes = vectors[:, :count]
        if wide:
            axes = centred.T @ axes / values[:count].sqrt()
        of = "columns" if x.ndim == 2 else "pixels"
        return cls(mean.to(flat), axes.to(flat), float(share[count - 1]), of, view)

    @property
    def name(self) -> str:
        """The number of components and the share of the variance they hold."""
        return f"{self.axes.shape[1]} principal components of the {self.of} ({self.kept:.1%})"

    def __call__(self, x: Tensor) -> Tensor:
        """Coordinates (N, C) of examples (N, …) on the principal axes."""
        flat = rows(self.view(x), "examples", width=len(self.mean))
        return (flat.to(self.mean) - self.mean) @ self.axes


@dataclass(frozen=True, eq=False)
class NetworkFeatures:
    """Features by any function or module of the user's.

    Attributes:
        function: x (N, …) in model scale → numbers (N, …), flattened to (N, F).
        name: what to record beside a figure computed in this space.
    """

    function: Callable[[Tensor], Tensor]
    name: str

    @torch.no_grad()
    def __call__(self, x: Tensor) -> Tensor:
        """Features (N, F) of examples (N, …), 1,024 at a time.

        Raises:
            ValueError: if the function does not give a row of finite floating-point numbers for
                each example.
        """
        parts = []
        for part in x.split(1024):
            out = self.function(part)
            if not (isinstance(out, Tensor) and out.is_floating_point()):
                kind = out.dtype if isinstance(out, Tensor) else type(out).__name__
                raise ValueError(f"{self.name} gave {kind}; expected a floating-point tensor")
            if out.ndim < 2 or len(out) != len(part):
                raise ValueError(
                    f"{self.name} gave {tuple(out.shape)} for {len(part)} examples; expected "
                    f"({len(part)}, F)"
                )
            parts.append(rows(out, f"the features of {self.name}"))
        return torch.cat(parts)
