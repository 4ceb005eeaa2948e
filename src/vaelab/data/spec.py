"""x = (raw − offset) / scale: the description of data for a model, and the way there and back.

Raw values with levels 0..L−1 have offset 0 and scale L−1, so x lies in [0, 1]; continuous data in
a known interval are brought to [0, 1] too; any other real data are standardized, (raw − μ) / σ,
with the mean and standard deviation of the training rows. Counts, categories and the binary columns
of a table stay as they are, x = raw: a likelihood needs them whole. So do positive columns, whose
likelihood is a density of the numbers themselves.
"""

import math
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, fields
from functools import lru_cache
from typing import Any, get_type_hints

import torch
from torch import Tensor

from vaelab.data.tabular.header import Heading
from vaelab.utils.hints import Hinting
from vaelab.utils.options import argument
from vaelab.utils.text import exact
from vaelab.utils.validation import Natural, validate

from .label_names import label_name, without_decimals
from .schema_fields import KINDS, NUMBERS, Column, Vectors

BINARIZE = ("no", "dynamic", "threshold")
CONDITIONS = ("none", "labels", "vectors")
LATER = {
    *("columns", "condition", "sha256", "vectors", "header", "label", "shares", "location"),
    *("background", "decimal"),
}
"""Fields that runs of earlier versions lack."""


@dataclass(frozen=True, eq=False)
class DataSpec(Hinting):
    """All a model must know of its data; kept with every run.

    Args:
        source: a known name, a path as it was typed, or `"array"`.
        shape: shape of one example: (C, H, W) for images, (T, C) for series, (D,) for vectors.
        dtype: type of the raw values: `"uint8"` or `"float32"`.
        levels: raw values are the integers 0..levels−1; None if they are continuous.
        low: smallest raw value of the training rows.
        high: largest raw value of the training rows.
        offset: one number, or one per column of a table or channel of a series.
        scale: as `offset`; all positive. Columns that are not real keep their mean and deviation
            here, positive ones those of their logarithm, and are not scaled by them.
        contrast: Var(x) / (E x (1 − E x)) of training values x in [0, 1]: 1 for pure black and
            white, 0 for a flat grey; nan if x is not in [0, 1].
        binarize: `"no"`; `"threshold"`, black or white at x = ½; `"dynamic"`, drawn afresh as
            Bernoulli(x) each time a training row is met (Burda et al. 2016, arXiv:1509.00519).
        condition: the condition of the model for every row: `"none"`, its class, `"labels"`, or its
            vector, `"vectors"`.
        classes: class names by label number; empty if unlabelled.
        shares: shares of the classes among training rows, by label number; empty if not known.
        sizes: rows in training, validation and test.
        seed: seed of the split.
        resize: the (H, W) that every image of a folder was brought to; None if left alone.
        columns: kinds of a table's columns: one for all of them, or one each; empty if they
            are alike and `domain` follows from the values.
        header: names of a table's columns and of their values, if it has any.
        label: label column of such a table; empty if there is none.
        sha256: fingerprint of the raw rows, or of the files they were decoded from; empty if
            unknown.
        vectors: description of the condition vectors; None if there are none.
        location: the absolute path of the source, if it is a file or folder; else empty.
        background: background of transparent parts of pictures.
        decimal: the decimal mark of a table's numbers, if it was given.

    Raises:
        ValueError: if the fields contradict each other.

    >>> spec = DataSpec("array", (3,), "uint8", 17, 0, 16, (0.0,), (16.0,))
    >>> spec.domain, spec.dims
    ('levels', 3)
    >>> spec.prepare(torch.tensor([[0, 8, 16]], dtype=torch.uint8))
    tensor([[0.0000, 0.5000, 1.0000]])
    """

    source: str
    shape: tuple[int, ...]
    dtype: str
    levels: int | None
    low: float
    high: float
    offset: tuple[float, ...]
    scale: tuple[float, ...]
    contrast: float = math.nan
    binarize: str = "no"
    condition: str = "none"
    classes: tuple[str, ...] = ()
    sizes: tuple[Natural, Natural, Natural] = (0, 0, 0)
    seed: int = 0
    resize: tuple[int, int] | None = None
    columns: tuple[Column, ...] = ()
    header: tuple[Heading, ...] = ()
    label: str = ""
    sha256: str = ""
    vectors: Vectors | None = None
    shares: tuple[float, ...] = ()
    location: str = ""
    background: str = "white"
    decimal: str = ""

    def __post_init__(self) -> None:
        if len(self.shape) not in (1, 2, 3) or min(self.shape) < 1:
            raise ValueError(f"shape should be (D,), (T, C) or (C, H, W), not {self.shape}")
        if (self.dtype, self.levels is None) not in (("uint8", False), ("float32", True)):
            raise ValueError(
                "raw data are uint8 with levels or float32 without, "
                f"not {self.dtype} with levels={self.levels}"
            )
        if self.levels is not None and not 2 <= self.levels <= 256:
            raise ValueError(f"levels should be 2 to 256, not {self.levels}")
        columns = (1,) if self.is_image else (1, self.shape[-1])
        if len(self.offset) not in columns or len(self.scale) != len(self.offset):
            raise ValueError(
                f"offset and scale should hold one number each (or one per column of a table), "
                f"not {len(self.offset)} and {len(self.scale)}"
            )
        numbers = (*self.offset, *self.scale, self.low, self.high)
        if not all(map(math.isfinite, numbers)) or min(self.scale) <= 0:
            raise ValueError("offset, scale, low and high should be finite, and scale positive")
        if self.binarize not in BINARIZE:
            raise ValueError(
                f"binarize should be one of {', '.join(BINARIZE)}, not {self.binarize!r}"
            )
        if self.condition not in CONDITIONS:
            raise ValueError(
                f"condition should be one of {', '.join(CONDITIONS)}, not {self.condition!r}"
            )
        if self.condition == "labels" and not self.classes:
            raise ValueError(
                "the condition is to be the labels, but this data has none; give labelled data, "
                "or leave the condition at none"
            )
        if self.condition == "vectors" and self.vectors is None:
            raise ValueError(
                "the condition is to be vectors, but this data has none; name them with "
                f"{argument('vectors')}, or leave the condition at none"
            )
        if self.shares and (len(self.shares) != len(self.classes) or min(self.shares) < 0):
            raise ValueError(
                f"shares are of the {len(self.classes)} classes, one each and none below 0, not "
                f"{self.shares}"
            )
        if self.vectors is not None:
            self.vectors.check()
        if self.columns:
            self._check_columns()
        if self.header and (len(self.shape) > 1 or len(self.header) != self.dims):
            raise ValueError(
                f"the header has {len(self.header)} names; expected one for each column of a "
                f"table, and rows here have the shape {self.shape}"
            )
        if self.binarize != "no" and not self.bounded:
            raise ValueError(
                f"binarize={self.binarize!r} needs data in [0, 1] or with levels; "
                f"these are {self.domain} values from {self.value_range}"
            )

    def _check_columns(self) -> None:
        flat = len(self.shape) == 1
        if not flat or self.levels is not None or len(self.columns) not in (1, self.dims):
            raise ValueError(
                f"columns are of a table of float32 rows, one for all or {self.dims} of them; "
                f"{len(self.columns)} were given for {self.dtype} rows of shape {self.shape}"
            )
        for kind, categories in self.columns:
            if kind not in KINDS or (categories < 2 if kind == "categories" else categories != 0):
                raise ValueError(
                    f"a column is {kind!r} with {categories} categories; expected one of "
                    f"{', '.join(KINDS)}, and 2 or more categories for the last alone"
                )

    @property
    def domain(self) -> str:
        """Domain of raw values: `"binary"`, `"levels"`, `"unit"` ([0, 1], continuous), `"real"`,
        `"counts"` (whole and not bounded) or, for all other columns of a table, `"mixed"`.

        `binarize` does not enter: it describes a later transformation.
        """
        if self.columns:
            kinds = {c.kind for c in self.columns}
            return kinds.pop() if kinds in ({"counts"}, {"real"}) else "mixed"
        if self.levels is not None:
            return "binary" if self.levels == 2 else "levels"
        offset, scale = self.offset[0], self.scale[0]
        bounded = len(self.offset) == 1 and offset <= self.low and self.high <= offset + scale
        return "unit" if bounded else "real"

    @property
    def bounded(self) -> bool:
        """True if x lies in [0, 1]."""
        return self.domain in ("binary", "levels", "unit")

    @property
    def known(self) -> int:
        """C, the numbers of the condition of every row: one for each class, or its vector's."""
        vector = () if self.vectors is None else self.vectors.offset
        return {"none": 0, "labels": len(self.classes), "vectors": len(vector)}[self.condition]

    def class_numbers(self, labels: Iterable[Any]) -> Tensor:
        """Numbers (N,) of classes, int64, from labels as the data have them, of any type.

        Raises:
            ValueError: for a label that is no class of the data.

        >>> spec = DataSpec("array", (1,), "uint8", 2, 0, 1, (0.0,), (1.0,), classes=("5", "10"))
        >>> spec.class_numbers([10, "5", 5.0])
        tensor([1, 0, 0])
        """
        places = {name: i for i, name in enumerate(self.classes)}
        places = {without_decimals(name): i for name, i in places.items()} | places
        labels = list(labels)
        names = list(map(label_name, labels))
        names = [name if name in places else without_decimals(name) for name in names]
        for label, name in zip(labels, names, strict=True):
            if name not in places:
                one = label.item() if hasattr(label, "item") else label
                raise ValueError(f"there is no class {one!r}; there is {', '.join(self.classes)}")
        return torch.tensor([places[name] for name in names], dtype=torch.int64)

    def class_names(self, numbers: Iterable[int]) -> list[str]:
        """Labels from class numbers such as `Split.y`, the inverse of `class_numbers`."""
        return [self.classes[int(number)] for number in numbers]

    def tell(self, known: Tensor | None) -> tuple[Tensor, ...]:
        """The condition of rows: empty, or (B, C), one-hot or standardised.

        Args:
            known: conditions of each row, as `Split.known` returns them: labels (B,), int64, or
                vectors (B, C); None if they are unknown.

        Raises:
            ValueError: if the condition is unknown, and required.
        """
        if not self.known:
            return ()
        if self.condition == "vectors":
            assert self.vectors is not None
            return (self.vectors.standard(known),)
        if known is None:
            raise ValueError(
                "this model is told the class of every row, and these come without labels; there "
                f"is {', '.join(self.classes)}"
            )
        return ((known[:, None] == torch.arange(self.known, device=known.device)).float(),)

    @property
    def headings(self) -> tuple[Heading, ...]:
        """The header of a table; the columns of one without are called by their numbers."""
        if self.header:
            return self.header
        columns = self.columns or (Column("real" if self.levels is None else "counts"),)
        whole = [columns[j % len(columns)].kind not in NUMBERS for j in range(self.dims)]
        names = list(map(str, range(self.dims)))
        if len(self.shape) == 2:
            names = [f"{t}.{c}" for t in range(self.shape[0]) for c in range(self.shape[1])]
        return tuple(Heading(names[j], (), 0 if whole[j] else None) for j in range(self.dims))

    @property
    def drawn(self) -> bool:
        """True if a new example is a draw from the likelihood, not its mean.

        A row of a table is: nobody has 1.8 children. The mean of an image shows its contents.
        """
        return not self.is_image

    @property
    def is_image(self) -> bool:
        """True if an example is (C, H, W)."""
        return len(self.shape) == 3

    @property
    def is_series(self) -> bool:
        """True if an example is (T, C): T steps of C channels."""
        return len(self.shape) == 2

    def flat(self, x: Tensor) -> Tensor:
        """Series (…, T, C) as rows of a table (…, T · C); all other examples as they are."""
        return x.flatten(-2) if self.is_series else x

    @property
    def value_range(self) -> str:
        """The range of the training values, no more rounded than they were tested."""
        return f"{exact(self.low)} to {exact(self.high)}"

    @property
    def dims(self) -> int:
        """Numbers in one example."""
        return math.prod(self.shape)

    def prepare(self, raw: Tensor) -> Tensor:
        """Raw rows to model scale, x = (raw − offset) / scale; black or white under "threshold".

        Args:
            raw: (…, *shape), uint8 or float.

        Returns:
            x: (…, *shape), float32.

        Raises:
            ValueError: if the last axes are not `shape`.
        """
        offset, scale = self._affine(raw)
        x = (raw.float() - offset).div_(scale)
        return (x > 0.5).float() if self.binarize == "threshold" else x

    def unscale(self, x: Tensor) -> Tensor:
        """Model scale to the raw scale, raw = x · scale + offset, not rounded to levels.

        Args:
            x: (…, *shape), float. Values out of [0, 1] are clipped if the data are bounded.

        Returns:
            raw: (…, *shape), float32; a mean image on the raw scale.

        Raises:
            ValueError: if the last axes are not `shape`.
        """
        offset, scale = self._affine(x)
        if self.bounded:
            x = x.clamp(0, 1)
        return x.float() * scale + offset

    def restore(self, x: Tensor) -> Tensor:
        """Model scale to raw rows, the inverse of `prepare`: `unscale`, then the nearest level.

        Args:
            x: (…, *shape), float. Values out of [0, 1] are clipped if the data are bounded.

        Returns:
            raw: (…, *shape): uint8, rounded to the nearest level, if there are levels; float32
            otherwise, with columns of other than real or positive numbers rounded to whole ones.

        Raises:
            ValueError: if the last axes are not `shape`.
        """
        raw = self.unscale(x)
        if self.levels is not None:
            return raw.round().to(torch.uint8)
        if not self.columns:
            return raw
        whole = torch.tensor([c.kind not in NUMBERS for c in self.columns], device=raw.device)
        return torch.where(whole, raw.round(), raw)

    def to_json(self) -> dict[str, object]:
        """The fields as JSON values: tuples as lists, a nan contrast as null."""
        record: dict[str, object] = {
            name: list(value) if isinstance(value, tuple) else value
            for name, value in asdict(self).items()
        }
        if self.vectors is not None:
            record["vectors"] = [self.vectors.source, *map(list, self.vectors[1:])]
        record["contrast"] = None if math.isnan(self.contrast) else self.contrast
        return record

    @classmethod
    def from_json(cls, record: Mapping[str, object]) -> "DataSpec":
        """The inverse of `to_json`.

        Raises:
            ValueError: for unknown or missing keys, or a value of another type.
        """
        if not isinstance(record, Mapping):
            raise ValueError(f"a data spec is a JSON object, not {type(record).__name__}")
        record = {f.name: f.default for f in fields(cls) if f.name in LATER} | dict(record)
        names = {field.name for field in fields(cls)}
        if names != set(record):
            unknown = ", ".join(sorted(map(str, set(record) - names))) or "none"
            missing = ", ".join(sorted(names - set(record))) or "none"
            raise ValueError(f"data spec: unknown keys: {unknown}; missing keys: {missing}")
        if record["contrast"] is None:
            del record["contrast"]  # undefined by default
        hints = get_type_hints(cls, include_extras=True)
        values = {k: validate(v, hints[k], f"data spec: {k}") for k, v in record.items()}
        return cls(**values)

    def __eq__(self, other: object) -> bool:
        # Through JSON, where an undefined contrast equals itself; nan does not.
        return isinstance(other, DataSpec) and self.to_json() == other.to_json()

    def __hash__(self) -> int:
        return hash((self.source, self.shape, self.levels, self.sizes, self.seed))

    def _affine(self, rows: Tensor) -> tuple[Tensor | float, Tensor | float]:
        if rows.shape[-len(self.shape) :] != self.shape:
            raise ValueError(
                f"rows of shape {self.shape} are expected (after any leading axes), "
                f"not a tensor of shape {tuple(rows.shape)}"
            )
        if self.domain == "counts":
            return 0.0, 1.0
        if len(self.offset) == 1 and not self.columns:
            # Plain numbers: nothing to copy to the device.
            return self.offset[0], self.scale[0]
        return _by_column(self.offset, self.scale, self.columns, rows.device)


@lru_cache(maxsize=16)
def _by_column(
    offset: tuple[float, ...],
    scale: tuple[float, ...],
    columns: tuple[Column, ...],
    device: torch.device,
) -> tuple[Tensor, Tensor]:
    """Offset and scale of each number of a row; copied once, not with every batch."""
    real = [c.kind == "real" for c in columns] or [True] * len(offset)
    by = [(o, s) if real_ else (0.0, 1.0) for o, s, real_ in zip(offset, scale, real, strict=True)]
    numbers = torch.tensor(by, dtype=torch.float32, device=device)
    return numbers[:, 0], numbers[:, 1]
