"""The flags that say what data a command reads, and what it says of them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from vaelab.apps.progress import say
from vaelab.data import Data, load
from vaelab.data.header import as_kinds


@dataclass(frozen=True, kw_only=True)
class Source:
    """What data to read.

    Attributes:
        data: a known name (digits, mnist, fashion-mnist, kmnist, binarized_mnist, sprites), a
            .npy or .npz file, a table (.csv, .tsv, .parquet), or a folder or zip of pictures.
        seed: of the split, the initial weights and the training.
        data_dir: where known data sets live; by default VAELAB_DATA, else ~/.cache/vaelab/data.
        image_size: side, or height and width, to bring pictures of a folder to.
        skip_unreadable: leave out pictures that cannot be read, and rows of a table that lack a
            value, instead of refusing them all.
        columns: what columns of a table are, where it is not to be found out: real, counts, binary,
            categories, or out to leave one out, as in age=real,id=out; "*=out" for all others.
        label: the column of a table that holds labels (for --condition labels, and figures by
            class); it is not modelled.
    """

    data: str
    seed: int = 0
    data_dir: Path | None = None
    image_size: int | tuple[int, int] | None = None
    skip_unreadable: bool = False
    columns: str | None = None
    label: str | None = None

    def read(self) -> Data:
        """Reads the data and says on stderr what it found."""
        found = load(
            self.data,
            data_dir=self.data_dir,
            seed=self.seed,
            image_size=self.image_size,
            skip_unreadable=self.skip_unreadable,
            columns=None if self.columns is None else as_kinds(self.columns),
            label=self.label,
        )
        for line in [describe(found), *found.notes]:
            say(line)
        return found


def describe(data: Data) -> str:
    """One line on what was read."""
    spec = data.spec
    if spec.is_image:
        kind = {1: "grey images", 3: "colour images"}.get(spec.shape[0], f"{spec.shape[0]}-planes")
        what = f"{kind} {spec.shape[1]} × {spec.shape[2]}"
    else:
        what = f"rows of {spec.dims} {'columns' if spec.header else 'numbers'}"
    values = f"{spec.levels} levels" if spec.levels else f"values {spec.low:g} to {spec.high:g}"
    classes = f", {len(spec.classes)} classes" if spec.classes else ""
    train_rows, valid, test = spec.sizes
    return (
        f"{spec.source}: {sum(spec.sizes):,} {what}, {values}{classes}; "
        f"{train_rows:,} training, {valid:,} validation, {test:,} test"
    )
