"""Damaged files for every reader: each must be read, or refused with a message of vaelab's own.

    python benchmarks/fuzz.py                          20,000 inputs a reader
    python benchmarks/fuzz.py --inputs 500 --only npz

Valid files are changed at random: bytes flipped, cut, repeated, exchanged with those of another
file or with numbers of odd sizes; JSON values replaced by others of any type. An input fails if the
command line would report a bug for it, if reading takes more than a time, or more than a memory.
"""

from __future__ import annotations

import argparse
import faulthandler
import io
import json
import random
import resource
import shutil
import signal
import sys
import tempfile
import time
import traceback
import warnings
import zipfile
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Any

import numpy as np
import torch
from PIL import Image

import vaelab
from vaelab import recipes
from vaelab.commands.main import TOO_LARGE
from vaelab.doctor import file_checks
from vaelab.runs.load import load as load_run
from vaelab.runs.resume import broken_off
from vaelab.utils.readers import raised_here

SECONDS, BYTES = 20, 2 * 2**30
"""Most that one input may take; memory beyond that of the process at first."""

ODD = (
    b"\x00",
    b"\xff" * 4,
    b"\x7f\xff\xff\xff",
    b"\x80" + b"\0" * 7,
    b"'",
    b"{",
    b"-1",
    b"\x1b[31m",
)
ODD_JSON = (
    *(None, True, -1, 0, 1.5, 10**400, 2**31, 2**63, -(2**63), 1e308, float("nan"), float("inf")),
    *("", "x", "\x1b[31m", [], {}, [[]], [0] * 1000, {"a": 1}, [None], "vae", 3, 17, 100_000),
)

Read = Callable[[Path], Any]


def mutated(data: bytes, other: bytes, draws: random.Random) -> bytes:
    """Bytes with a few random changes."""
    content = bytearray(data)
    for _ in range(draws.choice((1, 1, 1, 2, 4, 16))):
        at = draws.randrange(len(content) + 1)
        kind = draws.randrange(7)
        if kind == 0 and content:
            content[at % len(content)] ^= 1 << draws.randrange(8)
        elif kind == 1 and content:
            content[at % len(content)] = draws.randrange(256)
        elif kind == 2:
            del content[at : at + draws.choice((1, 4, 64, len(content)))]
        elif kind == 3:
            content[at:at] = content[at : at + draws.choice((1, 8, 200))]
        elif kind == 4:
            odd = draws.choice(ODD)
            content[at : at + len(odd)] = odd
        elif kind == 5:
            size = draws.choice((2, 16, 200))
            start = draws.randrange(len(other) + 1)
            content[at : at + size] = other[start : start + size]
        else:
            content[at:at] = draws.choice(ODD)
    return bytes(content)


def mutated_json(data: bytes, draws: random.Random) -> bytes:
    """JSON, or lines of it, with values replaced."""
    lines = data.decode().splitlines() if data.count(b"\n{") else [data.decode()]
    at = draws.randrange(len(lines))
    value = json.loads(lines[at])
    for _ in range(draws.choice((1, 1, 2, 5))):
        value = _replaced(value, draws)
    lines[at] = json.dumps(value)
    return "\n".join(lines).encode()


def _replaced(value: Any, draws: random.Random) -> Any:
    if isinstance(value, dict) and value and draws.random() < 0.93:
        key = draws.choice(sorted(value))
        if draws.random() < 0.05:
            return {k: v for k, v in value.items() if k != key}
        return {**value, key: _replaced(value[key], draws)}
    if isinstance(value, list) and value and draws.random() < 0.6:
        at = draws.randrange(len(value))
        return [_replaced(v, draws) if i == at else v for i, v in enumerate(value)]
    if isinstance(value, int | float) and not isinstance(value, bool) and draws.random() < 0.3:
        return value * draws.choice((-1, 0, 2, 10, 1000))
    return draws.choice(ODD_JSON)


def repacked(data: bytes, draws: random.Random) -> bytes:
    """A zip with one member changed, or under another name; its checksums are right."""
    out = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(data)) as old, zipfile.ZipFile(out, "w") as new:
        members = {name: old.read(name) for name in old.namelist()}
        odd, other = draws.choice(sorted(members)), draws.choice(sorted(members))
        for name, content in members.items():
            if name != odd:
                new.writestr(name, content)
            elif draws.random() < 0.8:
                new.writestr(name, mutated(content, members[other], draws))
            else:
                new.writestr(
                    draws.choice((" ", "odd.npy", "../x.png", other + "x", "é/\0.png")), content
                )
    return out.getvalue()


class Reader:
    """A reader with its corpus.

    Args:
        name: name in the table.
        read: function of a path.
        corpus: valid files by name, or a valid folder.
        targets: files of the folder that are changed.
    """

    def __init__(
        self, name: str, read: Read, corpus: dict[str, bytes], targets: tuple[str, ...] = ()
    ) -> None:
        self.name, self.read, self.corpus, self.targets = name, read, corpus, targets

    def write(self, folder: Path, draws: random.Random) -> Path:
        """Write one damaged input; return the path to read."""
        if not self.targets:
            name = draws.choice(sorted(self.corpus))
            other = self.corpus[draws.choice(sorted(self.corpus))]
            path = folder / f"odd{Path(name).suffix}"
            data = self.corpus[name]
            packed = path.suffix in (".npz", ".zip") and draws.random() < 0.7
            path.write_bytes(repacked(data, draws) if packed else mutated(data, other, draws))
            return path
        place = folder / "odd"
        if not place.exists():
            for name, data in self.corpus.items():
                (place / name).parent.mkdir(parents=True, exist_ok=True)
                (place / name).write_bytes(data)
        for name in self.targets:
            (place / name).write_bytes(self.corpus[name])
        name = draws.choice(self.targets)
        data = self.corpus[name]
        if name.endswith((".json", ".jsonl")) and draws.random() < 0.85:
            (place / name).write_bytes(mutated_json(data, draws))
        else:
            (place / name).write_bytes(mutated(data, data, draws))
        return place


class Failed(Exception):
    """An input that takes too long."""


def _late(number: int, frame: FrameType | None) -> None:
    raise Failed(f"took more than {SECONDS} s")


@contextmanager
def bounded() -> Iterator[None]:
    """Bounds on the time and memory of one input."""
    before = signal.signal(signal.SIGALRM, _late)
    signal.alarm(SECONDS)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)


def peak() -> int:
    """Most bytes of memory that the process has had."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def is_bug(error: Exception) -> bool:
    """True if the command line would print a traceback for an error."""
    if isinstance(error, OSError | MemoryError):
        return False
    if isinstance(error, ValueError | ArithmeticError) and raised_here(error.__traceback__):
        return False
    return not any(words in str(error) for words in TOO_LARGE)


def fuzz(reader: Reader, inputs: int, seed: int = 0, keep: Path | None = None) -> Counter[str]:
    """Read damaged inputs; the count of each outcome, with one line for each kind of failure."""
    found: Counter[str] = Counter()
    draws = random.Random(f"{seed} {reader.name}")
    with tempfile.TemporaryDirectory() as work:
        for _ in range(inputs):
            path = reader.write(Path(work), draws)
            most = peak()
            outcome = "read"
            try:
                with bounded(), warnings.catch_warnings():
                    warnings.simplefilter("ignore")
                    reader.read(path)
            except Failed as error:
                outcome = f"failed: {error}"
            except Exception as error:
                outcome = "refused"
                if is_bug(error):
                    last = traceback.extract_tb(error.__traceback__)[-1]
                    place = f"{Path(last.filename).name}:{last.lineno}"
                    outcome = f"failed: {type(error).__name__} at {place}: {str(error)[:120]}"
            if peak() - most > BYTES:
                outcome = f"failed: took {(peak() - most) / 2**30:.1f} GiB"
            if outcome.startswith("failed") and not found[outcome] and keep is not None:
                target = keep / f"{reader.name}-{len(found)}{path.suffix}"
                (shutil.copytree if path.is_dir() else shutil.copyfile)(path, target)
            found[outcome] += 1
    return found


# Corpus


def readers(work: Path) -> list[Reader]:
    """Every reader with valid files, made here."""
    draws = np.random.default_rng(0)
    x = draws.integers(0, 256, (12, 6, 5)).astype(np.uint8)
    arrays, archives, tables, zips = {}, {}, {}, {}
    for name, array in (
        ("bytes", x),
        ("floats", draws.normal(size=(14, 3))),
        ("names", np.array(["a", "bc"] * 6)),
        ("fortran", np.asfortranarray(draws.normal(size=(9, 4)).astype(np.float32))),
    ):
        arrays[f"{name}.npy"] = _saved(lambda f, a=array: np.save(f, a))  # type: ignore[misc]
    y = np.arange(12) % 3
    for name, members in (
        ("labelled", {"x": x, "y": y}),
        ("split", {"x_train": x, "y_train": y, "x_test": x[:3], "y_test": y[:3]}),
        ("named", {"data": x.reshape(12, -1) / 9, "labels": np.array(["u", "v"] * 6)}),
        ("factors", {"x": x, "factors": np.stack([y, y % 2], 1), "names": np.array(["a", "b"])}),
        (
            "dsprites",
            {
                "imgs": draws.integers(0, 2, (12, 64, 64)).astype(np.uint8),
                "latents_classes": np.stack([y * 0, y, y, y, y, y], 1),
            },
        ),
    ):
        save = np.savez if name != "named" else np.savez_compressed
        archives[f"{name}.npz"] = _saved(lambda f, m=members, s=save: s(f, **m))  # type: ignore[misc]
    columns = zip(draws.normal(size=30), "xyz" * 10, range(30), strict=True)
    rows = [f"{a:.3f},{b},{c}" for a, b, c in columns]
    tables["plain.csv"] = "\n".join(["one,two,three", *rows]).encode()
    tables["dates.tsv"] = "\n".join(
        ["day\tincome", *(f"2024-01-{d:02}\t1.{d:03},5" for d in range(1, 29))]
    ).encode()
    pictures = {}
    for kind in ("png", "jpeg", "gif", "bmp", "tiff", "webp", "ppm"):
        out = io.BytesIO()
        mode = {"gif": "P", "jpeg": "L", "tiff": "L"}.get(kind, "RGB")
        image = Image.fromarray(draws.integers(0, 256, (9, 8, 3)).astype(np.uint8))
        image.convert(mode).save(out, kind)
        pictures[f"a/{kind}.{kind.replace('jpeg', 'jpg')}"] = out.getvalue()
    for name in ("deflated", "lzma", "stored"):
        how = getattr(zipfile, f"ZIP_{name.upper()}")
        out = io.BytesIO()
        with zipfile.ZipFile(out, "w", how) as archive:
            for inner, data in pictures.items():
                archive.writestr(inner, data)
                archive.writestr(inner.replace("a/", "b/"), data)
        zips[f"{name}.zip"] = out.getvalue()
    folder = pictures | {f"b/{name[2:]}": data for name, data in pictures.items()}
    run = _run(work / "run")
    ours = ("recipe.json", "metrics.jsonl", "codes.json", "weights.safetensors", "timing.jsonl")
    every = arrays | archives
    prior = tuple(name for name in run if name.startswith("priors"))
    return [
        Reader("npy", vaelab.load_data, arrays),
        Reader("npz", vaelab.load_data, archives),
        Reader("array checks of doctor", lambda p: list(file_checks.array_file(p)), every),
        Reader("table", vaelab.load_data, tables),
        Reader("zip of pictures", vaelab.load_data, zips),
        Reader("folder of pictures", _skipping, folder, tuple(folder)),
        Reader("picture checks of doctor", _checked, folder, tuple(folder)),
        Reader("run", _used, run, ours),
        Reader("fitted prior", _sampled, run, prior),
        Reader("training to go on with", broken_off, run, ("recipe.json",)),
    ]


def _skipping(path: Path) -> None:
    vaelab.load_data(path, skip_unreadable=True)


def _checked(path: Path) -> None:
    list(file_checks.pictures(path, 0))


def _saved(save: Callable[[Any], Any]) -> bytes:
    out = io.BytesIO()
    save(out)
    return out.getvalue()


def _used(path: Path) -> None:
    run = load_run(path)
    repr(run)
    run.sample(2)


def _sampled(path: Path) -> None:
    load_run(path).with_prior("mixture").sample(2)


def _run(folder: Path) -> dict[str, bytes]:
    """Files of a small run with a prior and an evaluation."""
    x = np.random.default_rng(1).integers(0, 9, (60, 4)).astype(np.float32)
    data = vaelab.load_data((x, np.arange(60) % 2))
    recipe = recipes.vae(data.spec, latent=2, design=vaelab.Design(width=3))
    run = vaelab.train(recipe, data, vaelab.Plan(epochs=2), out=folder, progress=False)
    vaelab.fit_prior(run, "mixture", name="mixture")
    vaelab.evaluate(run, samples=2)
    found = (p for p in sorted(folder.rglob("*")) if p.is_file())
    files = {str(p.relative_to(folder)): p.read_bytes() for p in found}
    about = json.loads(files["recipe.json"])
    del about["sha256"]  # as of an earlier version: else altered files are not used at all
    return files | {"recipe.json": json.dumps(about).encode()}


def main() -> int:
    """Fuzz all readers and print the table; the exit status."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--inputs", type=int, default=20_000, help="inputs a reader")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", default="", help="a word of a reader's name")
    parser.add_argument("--keep", type=Path, help="folder for the inputs that fail")
    options = parser.parse_args()
    faulthandler.enable()
    torch.set_num_threads(1)
    if options.keep is not None:
        options.keep.mkdir(parents=True, exist_ok=True)
    print("| reader | inputs | read | refused | failed |\n|---|---|---|---|---|")
    failed = 0
    with tempfile.TemporaryDirectory() as work:
        for reader in readers(Path(work)):
            if options.only not in reader.name:
                continue
            started = time.perf_counter()
            found = fuzz(reader, options.inputs, options.seed, options.keep)
            bad = {outcome: n for outcome, n in found.items() if outcome.startswith("failed")}
            failed += sum(bad.values())
            counts = (options.inputs, found["read"], found["refused"], sum(bad.values()))
            print(f"| {reader.name} | {' | '.join(map(str, counts))} |", flush=True)
            print(f"{reader.name}: {time.perf_counter() - started:.0f} s", file=sys.stderr)
            for outcome, n in bad.items():
                print(f"  {n} {outcome}", file=sys.stderr, flush=True)
    return int(failed > 0)


if __name__ == "__main__":
    sys.exit(main())
