"""The flags that say what data a command reads, and what it says of them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from vaelab.apps.progress import say
from vaelab.data import Data, load


@dataclass(frozen=True, kw_only=True)
class Source:
    """What data to read.

    Attributes:
        data: a known name (digits, mnist, fashion-mnist, kmnist, binarized_mnist, sprites), a
            .npy or .npz file, or a folder or zip of pictures.
        seed: of the split, the initial weights and the training.
        data_dir: where known data sets live; by default VAELAB_DATA, else ~/.cache/vaelab/data.
        image_size: side, or height and width, to bring pictures of a folder to.
        skip_unreadable: leave out pictures that cannot be read instead of refusing the folder.
        vectors: what is known of every row, for --condition vectors: the name of an array in the
            .npz, or columns of a table, as 0,3-5 (from 0), which are then not modelled.
    """

    data: str
    seed: int = 0
    data_dir: Path | None = None
    image_size: int | tuple[int, int] | None = None
    skip_unreadable: bool = False
    vectors: str | None = None

    def read(self) -> Data:
        """Reads the data and says on stderr what it found."""
        found = load(
            self.data,
            data_dir=self.data_dir,
            seed=self.seed,
            image_size=self.image_size,
            skip_unreadable=self.skip_unreadable,
            vectors=self.vectors,
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
        what = f"rows of {spec.dims} numbers"
    values = f"{spec.levels} levels" if spec.levels else f"values {spec.low:g} to {spec.high:g}"
    classes = f", {len(spec.classes)} classes" if spec.classes else ""
    if spec.vectors is not None:
        classes += f", a vector of {len(spec.vectors.offset)} known of each"
    train_rows, valid, test = spec.sizes
    return (
        f"{spec.source}: {sum(spec.sizes):,} {what}, {values}{classes}; "
        f"{train_rows:,} training, {valid:,} validation, {test:,} test"
    )
