"""Sprites: the grid of dSprites, its numbers, its pictures, and the published file."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from vaelab.data import Batches, Data, load
from vaelab.data.command_inputs import reload
from vaelab.data.known import sprites
from vaelab.data.loading.mapped_rows import Rows
from vaelab.data.splits import Split


def some(count: int, seed: int = 0) -> torch.Tensor:
    return torch.randint(sprites.COUNT, (count,), generator=torch.Generator().manual_seed(seed))


def sprite(shape: int, scale: int, orientation: int, x: int, y: int) -> np.ndarray:
    number = sprites.numbers(torch.tensor([[shape, scale, orientation, x, y]]))
    return sprites.render(number)[0, 0].numpy()


def test_the_grid_is_that_of_dsprites() -> None:
    assert sprites.SIZES == (3, 6, 40, 32, 32)
    assert np.prod(sprites.SIZES) == sprites.COUNT == 737_280
    found = sprites.all_sprites(Path())
    assert found.x.shape == (737_280, 1, 64, 64)
    assert found.factors is not None
    assert (found.factors.values.amax(dim=0) + 1).tolist() == list(sprites.SIZES)
    assert len(found.factors.values.unique(dim=0)) == sprites.COUNT


def test_factors_and_numbers_are_each_others_inverse() -> None:
    every = torch.arange(sprites.COUNT)
    assert torch.equal(sprites.numbers(sprites.factors(every)), every)
    # The last factor runs fastest, as in the published file.
    assert sprites.factors(torch.tensor([1, 32, 1024, 40_960, 245_760])).tolist() == [
        [0, 0, 0, 0, 1],
        [0, 0, 0, 1, 0],
        [0, 0, 1, 0, 0],
        [0, 1, 0, 0, 0],
        [1, 0, 0, 0, 0],
    ]
    with pytest.raises(ValueError, match="invalid"):
        sprites.numbers(torch.tensor([[3, 0, 0, 0, 0]]))


def test_images_are_black_and_white_and_always_the_same() -> None:
    which = some(500)
    images = sprites.render(which)
    assert images.shape == (500, 1, 64, 64)
    assert images.dtype == torch.uint8
    assert images.unique().tolist() == [0, 1]
    assert torch.equal(images, sprites.render(which))
    one_by_one = torch.cat([sprites.render(number[None]) for number in which[:20]])
    assert torch.equal(images[:20], one_by_one)


def test_every_image_holds_its_whole_shape() -> None:
    """A position moves the shape by whole pixels, and none is cut off at an edge."""
    for kind in some(20, seed=1) // 1024:
        places = torch.tensor([0, 31, 992, 1023, 500])  # the corners, and within
        areas = sprites.render(kind * 1024 + places).sum(dim=(1, 2, 3))
        assert (areas == areas[0]).all()
    at = np.argwhere(sprite(2, 3, 7, 4, 9))
    moved = np.argwhere(sprite(2, 3, 7, 4 + 6, 9 + 20))
    assert (moved - at == [20, 6]).all()  # y down the rows, x along the columns


def test_areas_are_those_of_the_shapes() -> None:
    heart = 3.6622 * 12.6**2  # the area inside (u² + v² − 1)³ = u² v³, by its integral
    for shape, area in enumerate([21.8**2, np.pi * 7.7 * 15.4, heart]):
        for scale in range(6):
            pixels = np.mean([sprite(shape, scale, o, 15, 15).sum() for o in range(39)])
            assert pixels == pytest.approx(area * sprites.SCALES[scale] ** 2, rel=0.02)


def test_shapes_turn_anticlockwise_about_their_place() -> None:
    upright = sprite(1, 5, 0, 15, 15)  # an ellipse, tall
    rows, columns = np.nonzero(upright)
    assert np.ptp(rows) == 30
    assert np.ptp(columns) == 14
    rows, columns = np.nonzero(sprite(1, 5, 4, 15, 15))  # by 37°: its top goes left
    assert np.corrcoef(rows, columns)[0, 1] > 0.5
    # The first orientation is met again at the end, as in the published set, and nowhere between.
    turns = [sprite(2, 5, o, 15, 15).tobytes() for o in range(40)]
    assert turns[0] == turns[39]
    assert len(set(turns)) == 39


@pytest.fixture(scope="module")
def data() -> Data:
    return load("sprites")


def test_a_subset_is_loaded_with_its_factors(data: Data) -> None:
    assert data.spec.sizes == (36_000, 4_000, 10_000)
    assert data.spec.shape == (1, 64, 64)
    assert data.spec.levels == 2
    assert data.spec.classes == ("square", "ellipse", "heart")
    numbers = []
    for split in (data.train, data.valid, data.test):
        assert split.factors is not None
        assert split.factors.names[0] == "shape"
        assert split.y is not None
        assert torch.equal(split.factors.values[:, 0], split.y)
        numbers.append(sprites.numbers(split.factors.values))
        # Rows and factors still belong together after the split.
        assert torch.equal(split.x[:50], sprites.render(numbers[-1][:50]))
    assert len(torch.cat(numbers).unique()) == 50_000
    assert data.test.variation is data.test.factors
    again = reload(data.spec)[2]
    assert again.factors is not None
    assert torch.equal(sprites.numbers(again.factors.values), numbers[2])


def test_nothing_is_rendered_before_it_is_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    made = []
    real = sprites._Grid.__getitem__

    def counted(self: sprites._Grid, which: object) -> np.ndarray:
        images = real(self, which)
        made.append(len(images))
        return images

    monkeypatch.setattr(sprites._Grid, "__getitem__", counted)
    found = sprites.all_sprites(Path())
    part = found.rows(some(300))
    assert made == []
    assert isinstance(part.x, Rows)
    part.x[:7]
    assert sum(made) == 7


def test_the_whole_grid_can_be_streamed() -> None:
    from vaelab.data.loading.streaming import Streamed

    found = sprites.all_sprites(Path())
    part = found.rows(some(3000, seed=2))
    assert part.factors is not None
    streamed = Streamed(part.x, torch.device("cpu"))
    assert torch.equal(torch.cat(list(streamed.ordered(512))), part.x[:])
    shuffled = torch.cat([x for x, _ in streamed.shuffled(512, torch.Generator().manual_seed(0))])
    assert not torch.equal(shuffled, part.x[:])
    assert torch.equal(
        shuffled.sum(dim=(1, 2, 3)).sort().values, part.x[:].sum((1, 2, 3)).sort()[0]
    )


def test_batches_are_at_the_models_scale(data: Data) -> None:
    x = next(Batches(data.test.x, data.spec, torch.device("cpu")).fixed(64, 0))
    assert x.shape == (64, 1, 64, 64)
    assert x.unique().tolist() == [0.0, 1.0]


def test_labels_are_a_factor_where_there_are_no_others() -> None:
    digits = load("digits8x8").test
    assert digits.factors is None
    variation = digits.variation
    assert variation is not None
    assert digits.y is not None
    assert variation.names == ("class",)
    assert torch.equal(variation.values[:, 0], digits.y)
    assert Split(torch.zeros(3, 2), None).variation is None


def published(path: Path, which: torch.Tensor, **more: np.ndarray) -> Path:
    """A file as the published one: its metadata are a pickled dict."""
    table = sprites.factors(which).numpy()
    colour = np.zeros((len(which), 1), np.int64)
    arrays = {
        "metadata": np.array({"title": "dSprites"}, dtype=object),
        "imgs": sprites.render(which)[:, 0].numpy(),
        "latents_classes": np.concatenate([colour, table], axis=1),
        "latents_values": np.concatenate([colour + 1, table], axis=1).astype(float),
    }
    np.savez_compressed(path, **(arrays | more))
    return path


def test_the_published_file_is_read_and_its_pickle_is_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    which = some(200, seed=3)
    path = published(tmp_path / "dsprites.npz", which)
    monkeypatch.setattr("pickle.load", lambda *_, **__: pytest.fail("unpickled"))
    data = load(path)
    assert sum(data.spec.sizes) == 200
    assert data.spec.levels == 2
    assert data.train.factors is not None
    assert data.train.factors.names == sprites.NAMES
    numbers = sprites.numbers(data.train.factors.values)
    assert set(numbers.tolist()) <= set(which.tolist())
    assert torch.equal(data.train.x[:], sprites.render(numbers))


def test_a_file_that_only_looks_like_it_is_refused(tmp_path: Path) -> None:
    path = published(tmp_path / "a.npz", some(20), latents_classes=np.zeros((20, 3), np.int64))
    with pytest.raises(ValueError, match=r"a\.npz holds imgs \(20, 64, 64\)"):
        load(path)
    other = tmp_path / "b.npz"
    np.savez(other, x=np.random.default_rng(0).random((30, 4)))
    assert not sprites.is_dsprites(other)
    assert load(other).train.factors is None
    (tmp_path / "c.npz").write_bytes(b"no zip")
    assert not sprites.is_dsprites(tmp_path / "c.npz")
