"""What was recorded as machine code, kept in folders whose names say what it does.

The name is the digest of the operators, of the layout of their tensors and of all that code is made
for: torch's version, the processor's instructions, the number of threads. So nothing kept is ever
out of date, and a program is loaded in a millisecond, without the compiler, which takes seconds and
150 MiB to import.
"""

from __future__ import annotations

import hashlib
import logging
import os
import shutil
import tempfile
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from vaelab.compile.bf16_copies import keep_casts
from vaelab.compile.recording import Recording

log = logging.getLogger(__name__)

Run = Callable[[list[Tensor]], list[Tensor]]

KEPT_ON = "cpu"
"""The kind of device whose programs are kept; for others torch keeps what it makes, its own way."""

LIBRARY = "program.so"

MOST = 200
"""Programs that are kept; beyond these, the ones unused for longest make room."""

WARM_UP = 3
"""Runs before kernels are recorded: the first ones choose them."""

OPTIONS: dict[str, Any] = {
    # The noise of the calls before, so that compiling changes figures by rounding only.
    "fallback_random": True,
}


def folder() -> Path:
    """Where programs are kept: `VAELAB_PROGRAMS` if it is set, else `~/.cache/vaelab/programs`."""
    named = os.environ.get("VAELAB_PROGRAMS")
    place = Path(named) if named else Path("~", ".cache", "vaelab", "programs")
    return place.expanduser().absolute()


def make(what: str, seen: Recording, examples: Sequence[Tensor]) -> Run:
    """A program of a recording, which takes the inputs and the tensors from outside in one list.

    Args:
        what: its name for people.
        seen: what it is to do; changed.
        examples: tensors as it will be given.
    """
    if any(t.device.type != KEPT_ON for t in examples):
        log.info("compiling %s: some seconds", what)
        return accelerated(seen, examples[: len(examples) - len(seen.outside)])
    casts = keep_casts(seen.graph, examples)
    run = load(what, seen, [*examples, *casts.kept])

    def with_casts(tensors: list[Tensor]) -> list[Tensor]:
        casts.refresh()
        return run([*tensors, *casts.kept])

    return with_casts


def accelerated(seen: Recording, inputs: Sequence[Tensor]) -> Run:
    """A program for an accelerator, which was seen to run; on CUDA one graph of its kernels.

    Its tensors from outside stay where they are, as a graph of kernels must have them.
    """
    with quietly():
        program = torch._inductor.compile(seen.bound(), list(inputs), options=OPTIONS)
    count, devices = len(inputs), {t.device for t in [*inputs, *seen.outside]}

    def run(tensors: list[Tensor]) -> list[Tensor]:
        return list(program(*tensors[:count]))

    if {device.type for device in devices} == {"cuda"} and len(devices) == 1:
        try:
            with without_trace(seen.outside), torch.cuda.device(*devices):
                graph = Graph(program, inputs)
                graph(list(inputs))
                torch.cuda.synchronize()
            return graph
        except Exception as error:
            log.warning("without CUDA graphs, as they fail here: %s", error)
    with without_trace(seen.outside):
        run(list(inputs))
    return run


@contextmanager
def without_trace(tensors: Sequence[Tensor]) -> Iterator[None]:
    """What runs inside leaves these tensors and all noise as they were."""
    devices = sorted({t.device.index for t in tensors if t.device.type == "cuda"})
    before = [t.detach().clone() for t in tensors]
    with torch.no_grad(), torch.random.fork_rng(devices=devices):
        try:
            yield
        finally:
            for t, kept in zip(tensors, before, strict=True):
                t.copy_(kept)


class Graph:
    """A program as one CUDA graph: kernels that are started together, not one by one.

    It reads and writes where it did when it was recorded: inputs are copied there, and what it
    returns stays there until the next run. Noise is drawn afresh in each.

    Args:
        program: of tensors of one device, the current one; run to warm up and to be recorded.
        inputs: as it will be given.
    """

    def __init__(self, program: Callable[..., Sequence[Tensor]], inputs: Sequence[Tensor]) -> None:
        self.program = program  # which holds the tensors that the kernels know by their places
        self.inputs = [x.clone() for x in inputs]
        aside = torch.cuda.Stream()
        aside.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(aside):
            for _ in range(WARM_UP):
                program(*self.inputs)
        torch.cuda.current_stream().wait_stream(aside)
        self.graph = torch.cuda.CUDAGraph()
        # Other threads, as one that reads rows ahead, go on as they like.
        with torch.cuda.graph(self.graph, stream=aside, capture_error_mode="thread_local"):
            self.outputs = list(program(*self.inputs))

    def __call__(self, tensors: list[Tensor]) -> list[Tensor]:
        for ours, given in zip(self.inputs, tensors, strict=False):
            ours.copy_(given)
        self.graph.replay()
        return self.outputs


def load(what: str, seen: Recording, examples: Sequence[Tensor]) -> Run:
    """The kept program of what is done on a CPU, or a new one, which is kept."""
    place = folder() / name(seen)
    if place.exists():
        with suppress(RuntimeError):  # of a file that was damaged, or of another system's libraries
            return opened(place)
    log.info("compiling %s: some seconds, once, as it is kept for the next time", what)
    build(seen, examples, place)
    return opened(place)


def opened(place: Path) -> Run:
    """A program that is kept; it counts as used now."""
    run: Run = torch._C._aoti.AOTIModelContainerRunnerCpu(str(place / LIBRARY), 1).run
    with suppress(OSError):  # as where everybody's are kept by another user
        os.utime(place)
    return run


def name(seen: Recording) -> str:
    """The digest of what a program does and of what it is made for."""
    made_for = (torch.__version__, torch.cpu.get_capabilities(), torch.get_num_threads(), OPTIONS)
    return hashlib.sha256(f"{seen.digest()}{made_for}".encode()).hexdigest()


def build(seen: Recording, examples: Sequence[Tensor], place: Path) -> None:
    """Compiles a recording into a folder `place`, which is there whole or not at all."""
    place.parent.mkdir(parents=True, exist_ok=True)
    with (
        tempfile.TemporaryDirectory(dir=place.parent) as work,
        quietly(),
        torch.random.fork_rng(devices=[]),
    ):
        made = Path(work) / "made"
        made.mkdir()
        options = OPTIONS | {"aot_inductor.output_path": str(Path(work) / LIBRARY)}
        torch._inductor.aot_compile(seen.module(), tuple(examples), options=options)
        (Path(work) / LIBRARY).rename(made / LIBRARY)
        # What it calls through torch's dispatcher is listed in a file that lies beside it.
        for listed in Path(work).glob("*.wrapper.json"):
            listed.rename((made / LIBRARY).with_suffix(".json"))
        shutil.rmtree(place, ignore_errors=True)
        with suppress(OSError):  # another process was there first, with the same
            made.rename(place)
    with suppress(OSError):  # as where another process makes room at the same time
        make_room(place.parent)


@contextmanager
def quietly() -> Iterator[None]:
    """What the compiler remarks inside is nothing that a person could act on."""
    compiler = logging.getLogger("torch._inductor")
    level = compiler.level
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        compiler.setLevel(logging.ERROR)
        try:
            yield
        finally:
            compiler.setLevel(level)


def make_room(where: Path) -> None:
    """Removes the programs unused for longest, beyond those that are kept; and what was begun."""
    found = sorted(where.iterdir(), key=lambda p: p.stat().st_mtime, reverse=True)
    for old in found[MOST:]:
        shutil.rmtree(old, ignore_errors=True)
