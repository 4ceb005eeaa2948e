"""Training on a file too large for memory, against the same training on rows in memory.

    python benchmarks/speed/larger_than_memory.py [--images 10_000_000] [--steps 300] [--rounds 7]

Writes MNIST over and over into a temporary .npy file (784 bytes an image), and takes the same steps
of the same 784-512-16 model in turn on rows that lie in memory and on rows that stay in the file.
Prints the median ratio of their speeds, and the memory of the process at every stage: anonymous
memory, as the pages of the mapped file belong to the system, which takes them back at will.
"""

from __future__ import annotations

import argparse
import os
import shutil
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator
from itertools import chain, islice, repeat
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

import vaelab
from vaelab.data import Batches, Rows
from vaelab.data.loading import streaming

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from speed import mnist, ours

BATCH = 128
AT_LEAST = 0.8


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--images", type=int, default=10_000_000)
    parser.add_argument("--steps", type=int, default=300, help="in a round, on either side")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--folder", type=Path, help="where the file is put while it lasts")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=options.folder) as folder:
        need, free = options.images * 784, shutil.disk_usage(folder).free
        if need > 0.9 * free:
            print(f"{need / 1e9:.1f} GB are needed in {folder}, {free / 1e9:.1f} are free")
            return 2
        path = Path(folder) / "images.npy"
        seconds = write(path, options.images)
        print(f"{options.images:,} images, {need / 1e9:.2f} GB, written in {seconds:.0f} s")
        return measure(path, options.steps, options.rounds)


def write(path: Path, images: int) -> float:
    """The training images over and over, (images, 28, 28) uint8; returns seconds."""
    some, started = mnist.images("train"), time.perf_counter()
    with path.open("wb") as file:
        header = np.lib.format.header_data_from_array_1_0(some)
        header["shape"] = (images, 28, 28)
        np.lib.format.write_array_header_1_0(file, header)
        for start in range(0, images, len(some)):
            file.write(some[: images - start].data)
        file.flush()
        os.fsync(file.fileno())
        # The first reading is then from the disk, not from what the system still remembers.
        os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
    return time.perf_counter() - started


def measure(path: Path, steps: int, rounds: int) -> int:
    """Prints the figures; 1 where the file costs more than a fifth of the speed."""
    memory("at the start")
    reading(path, "from the disk")
    started = time.perf_counter()
    data = vaelab.load_data(path)
    print(f"loaded, looked through and split in {time.perf_counter() - started:.1f} s")
    rows = data.train.x
    assert isinstance(rows, Rows), "the file was read whole; it is not large enough"
    memory("loaded")
    reading(path, "from the system's own cache")
    resident = Batches(rows[:60_000], data.spec)
    streaming.SHARE = 0.0  # on a machine with much memory, too, the file is left where it is
    streamed = Batches(rows, data.spec)
    print(f"threads: {torch.get_num_threads()}; {BATCH} images a step")
    model = ours.mlp()
    step = Steps(model)
    feeds = [endless(resident), endless(streamed)]
    for feed in feeds:
        step(feed, 20)
    memory("first pools read")
    speeds = [[step(feed, steps) for feed in feeds] for _ in range(rounds)]
    peak = memory("at the end")
    ratio = statistics.median(there / here for here, there in speeds)
    here, there = (statistics.median(column) for column in zip(*speeds, strict=True))
    print(f"in memory {here:,.0f} images/s, from the file {there:,.0f} images/s")
    print(f"ratio {ratio:.3f} (at least {AT_LEAST}), most anonymous memory {peak / 1e6:,.0f} MB")
    return 0 if ratio >= AT_LEAST else 1


class Steps:
    """Steps of −ELBO with AdamW."""

    def __init__(self, model: vaelab.VAE) -> None:
        self.model, self.objective = model, vaelab.Distortion() + vaelab.Rate()
        self.optimizer = torch.optim.AdamW(model.parameters(), 1e-3, fused=True)

    def __call__(self, feed: Iterator[Tensor], steps: int) -> float:
        """Images a second."""
        started = time.perf_counter()
        for x in islice(feed, steps):
            self.optimizer.zero_grad(set_to_none=True)
            self.objective(self.model(x), x).mean.backward()
            self.optimizer.step()
        return steps * BATCH / (time.perf_counter() - started)


def endless(batches: Batches) -> Iterator[Tensor]:
    """Epoch after epoch."""
    order = torch.Generator().manual_seed(0)
    epochs = (batches.epoch(BATCH, order) for _ in repeat(None))
    return (batch.x for batch in chain.from_iterable(epochs))


def reading(path: Path, whence: str, batches: int = 3000) -> None:
    """Prints how fast shuffled rows come where nothing is done with them."""
    rows = Rows(np.load(path, mmap_mode="r"), np.dtype(np.uint8))
    feed = streaming.Streamed(rows, torch.device("cpu")).shuffled(BATCH, None)
    started = time.perf_counter()
    seen = sum(len(x) for x in islice(feed, batches))
    print(f"reading alone, {whence}: {seen / (time.perf_counter() - started):,.0f} images/s")


def memory(when: str) -> float:
    """Prints and returns the anonymous memory of this process, in bytes."""
    lines = Path("/proc/self/status").read_text().splitlines()
    found = {line.split(":")[0]: line.split()[1] for line in lines if line.startswith("Rss")}
    anonymous = int(found["RssAnon"]) * 1024
    print(f"memory {when}: {anonymous / 1e6:,.0f} MB")
    return anonymous


if __name__ == "__main__":
    sys.exit(main())
