"""Real files, where VAELAB_DATA names a folder that has them."""

import gzip
import os
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch

from vaelab.data import load, read_inputs

HOME = Path(os.environ.get("VAELAB_DATA", "/nonexistent"))
FREY = HOME / "freyfaces" / "freyfaces.npy"
OMNIGLOT = HOME / "omniglot_small" / "images_background_small1.zip"


def needs(path: Path) -> pytest.MarkDecorator:
    return pytest.mark.skipif(not path.exists(), reason=f"VAELAB_DATA has no {path.name}")


@needs(HOME / "mnist")
def test_mnist() -> None:
    data = load("mnist")
    assert data.spec.shape == (1, 28, 28)
    assert data.spec.sizes == (55_000, 5_000, 10_000)
    assert (data.spec.levels, data.spec.dtype, data.train.x.dtype) == (256, "uint8", torch.uint8)
    # The mean grey of the 60,000 training images is known: 0.1307.
    both = torch.cat([data.train.x, data.valid.x])
    assert float(both.float().mean()) / 255 == pytest.approx(0.1307, abs=5e-5)
    assert data.test.y is not None
    assert data.test.y[:10].tolist() == [7, 2, 1, 0, 4, 1, 4, 9, 5, 9]
    assert 0.8 < data.spec.contrast < 0.85
    raw, *_ = read_inputs("test:0-15", data.spec)
    assert torch.equal(raw, data.test.x[:16])


@needs(HOME / "mnist")
def test_a_truncated_mnist_is_refused(tmp_path: Path) -> None:
    (tmp_path / "mnist").mkdir()
    for file in (HOME / "mnist").iterdir():
        (tmp_path / "mnist" / file.name).symlink_to(file.resolve())
    labels = tmp_path / "mnist" / "train-labels-idx1-ubyte.gz"
    content = bytearray(gzip.decompress(labels.read_bytes()))
    labels.unlink()
    labels.write_bytes(gzip.compress(content[:-100]))
    with pytest.raises(ValueError, match="59,908 bytes when decompressed; expected 60,008"):
        load("mnist", data_dir=tmp_path)
    content[500] = (content[500] + 1) % 10
    labels.write_bytes(gzip.compress(content))
    with pytest.raises(ValueError, match=r"altered: its SHA-256 is .* expected 65a50cbbf4e9"):
        load("mnist", data_dir=tmp_path)


@needs(HOME / "binarized_mnist")
def test_binarized_mnist() -> None:
    data = load("binarized_mnist")
    assert data.spec.sizes == (50_000, 10_000, 10_000)
    assert (data.spec.levels, data.spec.domain) == (2, "binary")
    assert data.spec.contrast == pytest.approx(1.0)
    # Sorted by class, neighbours would be alike; shuffled, the first 500 are as the whole.
    first, whole = data.test.x[:500].float().mean(0), data.test.x.float().mean(0)
    assert float((first - whole).abs().max()) < 0.15


@needs(FREY)
def test_frey_faces() -> None:
    data = load(FREY)
    assert data.spec.shape == (1, 28, 20)
    assert data.spec.levels == 256
    assert sum(data.spec.sizes) == 1965
    assert (data.spec.low, data.spec.high) == (8, 238)
    assert sum(int(s.x.sum()) for s in (data.train, data.valid, data.test)) == int(
        np.load(FREY).sum(dtype=np.int64)
    )


@needs(OMNIGLOT)
def test_omniglot_as_a_zip_and_as_a_folder(tmp_path: Path) -> None:
    with zipfile.ZipFile(OMNIGLOT) as archive:
        archive.extractall(tmp_path)
    folder, zipped = load(tmp_path, image_size=28), load(OMNIGLOT, image_size=28)
    assert torch.equal(folder.train.x, zipped.train.x)
    assert folder.spec.shape == (1, 28, 28)
    assert folder.spec.resize == (28, 28)
    assert folder.spec.classes == ("Balinese", "Early_Aramaic", "Greek", "Korean", "Latin")
    assert sum(folder.spec.sizes) == 2720
    assert folder.notes[0].startswith("2,720 images of 105×105 brought to 28×28")
    # Thin black strokes on white.
    assert 0.85 < float(folder.train.x.float().mean()) / 255 < 0.97


@needs(OMNIGLOT)
def test_omniglot_at_its_default_size() -> None:
    assert load(OMNIGLOT).spec.shape == (1, 64, 64)
