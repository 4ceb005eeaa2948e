"""Folders and zips of pictures: found, decoded, labelled; wrong ones named."""

import io
import threading
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from vaelab.data import load
from vaelab.data.images.decode import Picture, gather
from vaelab.data.images.folder import from_folder

RNG = np.random.default_rng(0)


def noise(height: int = 10, width: int = 12, mode: str = "L") -> Image.Image:
    shape = (height, width) if mode == "L" else (height, width, len(mode))
    return Image.fromarray(RNG.integers(0, 256, shape, dtype=np.uint8), mode=None)


def fill(folder: Path, n: int = 12, **look: object) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for i in range(n):
        noise(**look).save(folder / f"{i:02}.png")  # type: ignore[arg-type]
    return folder


def test_small_equal_pictures_are_kept(tmp_path: Path) -> None:
    data = load(fill(tmp_path / "a"))
    assert data.spec.shape == (1, 10, 12)
    assert data.spec.resize is None
    assert data.spec.levels == 256
    assert data.spec.classes == ()
    seen = {
        tuple(row.flatten().tolist()) for s in (data.train, data.valid, data.test) for row in s.x
    }
    on_disk = {
        tuple(np.asarray(Image.open(path)).flatten().tolist())
        for path in (tmp_path / "a").iterdir()
    }
    assert seen == on_disk


@pytest.mark.parametrize("suffix", ["png", "jpg", "jpeg", "webp", "bmp", "gif", "tif", "TIFF"])
def test_formats(tmp_path: Path, suffix: str) -> None:
    for i in range(10):
        Image.new("L", (8, 8), 100).save(tmp_path / f"{i}.{suffix}")
    x = load(tmp_path).train.x
    # WebP and JPEG lose a little; a flat grey at most a level.
    assert int((x.int() - 100).abs().max()) <= 1


@pytest.mark.parametrize("suffix", ["png", "gif"])
def test_palettes_of_grey_are_grey(tmp_path: Path, suffix: str) -> None:
    for i in range(10):
        noise().convert("P").save(tmp_path / f"{i}.{suffix}")
    assert load(tmp_path).spec.shape == (1, 10, 12)


def test_one_colour_picture_makes_all_rgb(tmp_path: Path) -> None:
    fill(tmp_path)
    noise(mode="RGB").save(tmp_path / "colour.png")
    data = load(tmp_path)
    assert data.spec.shape == (3, 10, 12)
    assert "12 grey images were read as RGB" in data.notes


def test_mixed_sizes_are_brought_to_the_median_side(tmp_path: Path) -> None:
    for side in (10, 20, 30):
        fill(tmp_path / f"{side}", 4, height=side, width=side + 7)
    data = load(tmp_path)
    assert data.spec.shape == (1, 20, 20)
    assert data.spec.resize == (20, 20)
    assert data.notes[0].startswith("12 images of 10×17 to 30×37 brought to 20×20")


def test_large_pictures_are_brought_to_64(tmp_path: Path) -> None:
    data = load(fill(tmp_path, height=70, width=90))
    assert data.spec.shape == (1, 64, 64)
    assert data.notes[0].startswith("12 images of 70×90 brought to 64×64")


@pytest.mark.parametrize(("size", "shape"), [(5, (1, 5, 5)), ((6, 9), (1, 6, 9))])
def test_sizes_asked_for(tmp_path: Path, size: int | tuple[int, int], shape: object) -> None:
    data = load(fill(tmp_path), image_size=size)
    assert data.spec.shape == shape
    assert data.spec.resize == shape[1:]  # type: ignore[index]


@pytest.mark.parametrize("size", [0, -3, (4, 0), (1, 2, 3), 10_000, 2.5])
def test_senseless_sizes(tmp_path: Path, size: object) -> None:
    with pytest.raises(ValueError, match="image_size should be a side or"):
        load(fill(tmp_path), image_size=size)  # type: ignore[arg-type]


def test_resizing_keeps_the_centre_and_the_proportions(tmp_path: Path) -> None:
    wide = np.zeros((8, 24), np.uint8)
    wide[:, 8:16] = 200  # the centre square is all 200
    for i in range(10):
        Image.fromarray(wide).save(tmp_path / f"{i}.png")
    x = load(tmp_path, image_size=4).train.x
    # The filter reaches a little over the edge of the centre; squeezing the whole would give 67.
    assert float(x.float().mean()) == pytest.approx(200, abs=10)


def test_pictures_are_turned_upright(tmp_path: Path) -> None:
    wide = Image.new("L", (12, 8))
    wide.paste(255, (0, 0, 6, 8))  # left half white; turned by 90° it is the top
    exif = Image.Exif()
    exif[0x0112] = 6
    for i in range(10):
        wide.save(tmp_path / f"{i}.jpg", exif=exif, quality=95)
    data = load(tmp_path)
    assert data.spec.shape == (1, 12, 8)
    assert data.spec.resize is None
    assert float(data.train.x[:, :, :5].float().mean()) > 250
    assert float(data.train.x[:, :, 7:].float().mean()) < 5


def test_transparency_is_shown_on_white(tmp_path: Path) -> None:
    icon = Image.new("LA", (8, 8), (0, 0))
    icon.paste((60, 255), (0, 0, 4, 8))
    for i in range(10):
        icon.save(tmp_path / f"{i}.png")
    x = load(tmp_path).train.x
    assert x[:, :, :, :4].unique().tolist() == [60]
    assert x[:, :, :, 4:].unique().tolist() == [255]


def test_grey_of_32_bits_is_read_as_it_is(tmp_path: Path) -> None:
    """These have no range of their own: a shift by 8 bits would leave nothing of them."""
    wide = np.arange(64, dtype=np.int32).reshape(8, 8)
    for i in range(12):
        Image.fromarray(wide + i).save(tmp_path / f"{i}.tif")
    with Image.open(tmp_path / "0.tif") as picture:
        assert picture.mode == "I"
    data = load(tmp_path)
    assert (data.spec.levels, int(data.spec.high)) == (256, 74)
    Image.fromarray(wide * 16).save(tmp_path / "0.tif")
    with pytest.raises(ValueError, match="32-bit grey values from 0 to 1008 are not read beyond"):
        load(tmp_path)


def test_16_bit_greys_keep_their_upper_bits(tmp_path: Path) -> None:
    deep = (np.arange(64, dtype=np.uint16).reshape(8, 8) * 1024).astype(np.uint16)
    for i in range(10):
        Image.fromarray(deep).save(tmp_path / f"{i}.png")
    assert torch.equal(load(tmp_path).train.x[0, 0], torch.arange(0, 256, 4).reshape(8, 8).byte())


def test_pure_black_and_white_is_binary(tmp_path: Path) -> None:
    for i in range(10):
        noise().convert("1").save(tmp_path / f"{i}.png")
    data = load(tmp_path)
    assert data.spec.domain == "binary"
    assert data.train.x.unique().tolist() == [0, 1]


def test_first_level_folders_are_classes(tmp_path: Path) -> None:
    for value, name in enumerate(("cat", "dog")):
        deep = tmp_path / "around" / name / "deep"
        deep.mkdir(parents=True)
        for i in range(8):
            Image.new("L", (8, 8), value * 50).save(deep / f"{i}.png")
    data = load(tmp_path)
    assert data.spec.classes == ("cat", "dog")
    assert data.train.y is not None
    assert torch.equal(data.train.y * 50, data.train.x[:, 0, 0, 0].long())


@pytest.mark.parametrize("places", [("a/b", "."), ("only", "only")])
def test_no_classes_without_two_folders_for_all(tmp_path: Path, places: tuple[str, str]) -> None:
    for name in places:
        fill(tmp_path / name)
    assert load(tmp_path).spec.classes == ()


def test_other_files_are_counted_and_hidden_ones_are_not(tmp_path: Path) -> None:
    fill(tmp_path)
    (tmp_path / "README").write_text("hello")
    (tmp_path / "labels.csv").write_text("a,b")
    (tmp_path / ".DS_Store").write_text("")
    assert "2 other files were ignored" in load(tmp_path).notes


def test_an_empty_folder(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="holds no pictures"):
        load(tmp_path)
    (tmp_path / "README").write_text("hello")
    with pytest.raises(ValueError, match=r"holds no pictures \(1 other files\)"):
        load(tmp_path)


def test_too_few_pictures(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="3 rows seen"):
        load(fill(tmp_path, 3))


def broken(folder: Path, kind: str) -> None:
    if kind == "cut.jpg":
        buffer = io.BytesIO()
        noise(64, 64).save(buffer, "JPEG")
        (folder / kind).write_bytes(buffer.getvalue()[:900])
    elif kind == "cut.png":
        buffer = io.BytesIO()
        noise(64, 64).save(buffer, "PNG")
        (folder / kind).write_bytes(buffer.getvalue()[:900])
    elif kind == "text.png":
        (folder / kind).write_text("I am a text")
    elif kind == "empty.gif":
        (folder / kind).write_bytes(b"")
    else:
        Image.new("F", (10, 12)).save(folder / kind)


@pytest.mark.parametrize("kind", ["cut.jpg", "cut.png", "text.png", "empty.gif", "float.tif"])
def test_unreadable_pictures(tmp_path: Path, kind: str) -> None:
    broken(fill(tmp_path, height=64, width=64), kind)
    with pytest.raises(ValueError, match=rf"1 of 13 pictures .*{kind}: .*skip_unreadable=True"):
        load(tmp_path)
    data = load(tmp_path, skip_unreadable=True)
    assert sum(data.spec.sizes) == 12
    assert any(kind in note and "left out" in note for note in data.notes)


def test_the_first_five_unreadable_pictures_are_listed(tmp_path: Path) -> None:
    fill(tmp_path)
    for i in range(8):
        (tmp_path / f"bad{i}.png").write_text("no")
    with pytest.raises(ValueError, match=r"8 of 20 .*bad0.*bad4.*and 3 more") as caught:
        load(tmp_path)
    assert "bad5" not in str(caught.value)


def test_labels_stay_with_their_pictures_when_some_are_left_out(tmp_path: Path) -> None:
    for value, name in enumerate(("a", "b")):
        (tmp_path / name).mkdir()
        (tmp_path / name / "0.png").write_text("bad")
        for i in range(1, 9):
            Image.new("L", (8, 8), value * 50).save(tmp_path / name / f"{i}.png")
    data = load(tmp_path, skip_unreadable=True)
    assert data.train.y is not None
    assert torch.equal(data.train.y * 50, data.train.x[:, 0, 0, 0].long())


def test_only_unreadable_pictures(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_text("bad")
    with pytest.raises(ValueError, match="0 rows seen"):
        load(tmp_path, skip_unreadable=True)


def test_decompression_bombs_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fill(tmp_path)
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 1000)
    noise(40, 40).save(tmp_path / "warned.png")
    noise(50, 50).save(tmp_path / "refused.png")
    with pytest.raises(ValueError, match=r"2 of 14 .*refused.*bomb.*warned.*bomb"):
        load(tmp_path)


def test_the_order_of_the_file_system_does_not_matter(tmp_path: Path) -> None:
    for name, order in (("a", range(12)), ("b", reversed(range(12)))):
        (tmp_path / name).mkdir()
        for i in order:
            Image.new("L", (8, 8), 20 * i).save(tmp_path / name / f"{i:02}.png")
    assert torch.equal(load(tmp_path / "a").train.x, load(tmp_path / "b").train.x)


def zipped(folder: Path, path: Path) -> Path:
    with zipfile.ZipFile(path, "w") as archive:
        for file in folder.rglob("*"):
            archive.write(file, file.relative_to(folder))
        archive.writestr("__MACOSX/._00.png", b"fork")
    return path


def test_a_zip_is_a_folder(tmp_path: Path) -> None:
    for name in ("a", "b"):
        fill(tmp_path / "f" / name)
    one, other = load(tmp_path / "f"), load(zipped(tmp_path / "f", tmp_path / "f.zip"))
    assert torch.equal(one.train.x, other.train.x)
    assert one.spec.classes == other.spec.classes == ("a", "b")


def test_damaged_zips(tmp_path: Path) -> None:
    path = zipped(fill(tmp_path / "f"), tmp_path / "f.zip")
    content = bytearray(path.read_bytes())
    content[60] ^= 0xFF  # inside the first picture
    path.write_bytes(content)
    with pytest.raises(ValueError, match=r"1 of 12 pictures .*Bad CRC-32"):
        load(path)
    path.write_bytes(content[:200])
    with pytest.raises(ValueError, match=r"f\.zip cannot be read as a zip"):
        load(path)


def test_other_files_are_refused(tmp_path: Path) -> None:
    (tmp_path / "a.docx").write_text("hello")
    with pytest.raises(ValueError, match=r"expected a table \(\.csv"):
        load(tmp_path / "a.docx")


def test_reading_tells_how_far_it_is_and_keeps_the_order(tmp_path: Path) -> None:
    for i in range(30):
        Image.new("L", (8, 8), 8 * i).save(tmp_path / f"{i:02}.png")
    (tmp_path / "29.png").write_text("not a picture")
    heard: list[tuple[int, int]] = []
    found = from_folder(tmp_path, None, True, lambda _, done, total: heard.append((done, total)))
    assert heard == [(i, 29) for i in range(1, 30)]
    assert found.x.dtype == torch.uint8
    assert found.x[:, 0, 0, 0].tolist() == [8 * i for i in range(29)]


def test_pictures_are_decoded_side_by_side(tmp_path: Path) -> None:
    """Every picture waits for another to be open, which one after another would never come."""
    together = threading.Barrier(2, timeout=60)

    @contextmanager
    def slow() -> Iterator[Image.Image]:
        together.wait()
        yield Image.new("L", (8, 8))

    assert len(gather([Picture(str(i), slow) for i in range(4)], None).x) == 4
