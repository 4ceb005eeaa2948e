"""Flags for the data that a command reads, and messages about them; the data of a run."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from vaelab.data import Data, load
from vaelab.data.tabular.header import as_kinds
from vaelab.runs.own_data import describe
from vaelab.utils.progress import PartsDisplay, say


@dataclass(frozen=True, kw_only=True)
class Source:
    """The data set to read.

    Attributes:
        data: a known name (digits, digits8x8, mnist, fashion-mnist, kmnist, binarized_mnist,
            sprites), a file of arrays (.npy, or .npz with x and, for labels, y), a table (.csv,
            .tsv, .parquet), or a folder or zip of pictures (folders in it are classes).
        seed: seed of the split, the initial weights and the training.
        data_dir: folder of known data sets; by default VAELAB_DATA, else ~/.cache/vaelab/data.
        valid: validation rows, as a number or a share of the training rows (0.1); by default a
            tenth, or 5,000 of 60,000. Refused if the data has validation rows of its own.
        test: test rows, likewise.
        image_size: to bring pictures of a folder to: a side, or height,width as in 48,64.
        skip_unreadable: leave out pictures that cannot be read, and rows of a table that lack a
            value, instead of refusing them all.
        columns: kinds of columns of a table, if they are not to be inferred: real, positive,
            counts, binary, categories, or out to leave one out, as in age=real,id=out; "*=out" for
            all others.
        label: the column of a table that holds labels (for --condition labels, and figures by
            class); it is not modelled.
        condition_columns: vectors known for every row, for --condition vectors: the name of an
            array of the data's .npz, or columns, which are then not modelled: of a table by name,
            as age,income, of an array by number, as 0,3-5 (from 0).
        kind: layout of arrays: table (N, D), images, or series (N, T, C), if not to be inferred.
        background: background of transparent pictures: white, black or a colour as #rrggbb;
            alpha, to read the alpha as a grey picture; or keep, for all four channels.
        decimal: the decimal mark of a table's numbers, if it is not to be inferred.
    """

    data: str
    seed: int = 0
    data_dir: Path | None = None
    valid: int | float | None = None
    test: int | float | None = None
    image_size: int | tuple[int, int] | None = None
    skip_unreadable: bool = False
    columns: str | None = None
    label: str | None = None
    condition_columns: str | None = None
    kind: Literal["auto", "table", "images", "series"] = "auto"
    background: str = "white"
    decimal: Literal["auto", ".", ","] = "auto"

    def read(self) -> Data:
        """Read the data and report on stderr."""
        with PartsDisplay() as progress:
            found = load(
                self.data,
                data_dir=self.data_dir,
                seed=self.seed,
                valid=self.valid,
                test=self.test,
                image_size=self.image_size,
                skip_unreadable=self.skip_unreadable,
                columns=None if self.columns is None else as_kinds(self.columns),
                label=self.label,
                vectors=self.condition_columns,
                kind=self.kind,
                background=self.background,
                decimal="" if self.decimal == "auto" else self.decimal,
                progress=progress,
            )
        for line in [describe(found), *found.notes]:
            say(line)
        return found
