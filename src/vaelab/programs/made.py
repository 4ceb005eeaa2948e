"""What was recorded as machine code, kept in a folder under a name that says what it does.

The name is the digest of the operators, of the layout of their tensors and of all that code is made
for: torch's version, the processor's instructions, the number of threads. So nothing kept is ever
out of date, and a program is loaded in a millisecond, without the compiler, which takes seconds and
150 MiB to import.
"""

from __future__ import annotations

import hashlib
import logging
import os
import tempfile
import warnings
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from vaelab.programs.casts import keep_casts
from vaelab.programs.recording import Recording

log = logging.getLogger(__name__)

Run = Callable[[list[Tensor]], list[Tensor]]

KEPT_ON = "cpu"
"""The kind of device whose programs are kept; for others torch keeps what it makes, its own way."""

MOST = 200
"""Programs that are kept; beyond these, the ones unused for longest make room."""

TRIALS = 4
"""Runs in which CUDA graphs warm up, are recorded and are played."""

OPTIONS: dict[str, Any] = {
    # The noise of the calls before, so that compiling changes figures by rounding only.
    "fallback_random": True,
}


def folder() -> Path:
    """Where programs are kept: `VAELAB_PROGRAMS` if it is set, else `~/.cache/vaelab/programs`."""
    named = os.environ.get("VAELAB_PROGRAMS")
    return Path(named).expanduser() if named else Path.home() / ".cache" / "vaelab" / "programs"


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
    """A program for an accelerator: with CUDA graphs where there are any and they work.

    Its tensors from outside stay where they are, as a graph of kernels must have them.
    """
    cuda = any(t.device.type == "cuda" for t in [*inputs, *seen.outside])
    try:
        return _tried(seen, inputs, OPTIONS | {"triton.cudagraphs": cuda})
    except Exception as error:
        if not cuda:
            raise
        log.warning("without CUDA graphs, as they fail here: %s", error)
        return _tried(seen, inputs, OPTIONS)


def _tried(seen: Recording, inputs: Sequence[Tensor], options: dict[str, Any]) -> Run:
    """A program that was seen to run; the trial leaves no trace in tensors or noise."""
    program = torch._inductor.compile(seen.bound(), list(inputs), options=options)
    devices = sorted({t.device.index or 0 for t in seen.outside if t.device.type == "cuda"})
    before = [t.detach().clone() for t in seen.outside]
    try:
        with torch.no_grad(), torch.random.fork_rng(devices=devices):
            for _ in range(TRIALS):
                program(*inputs)
    finally:
        with torch.no_grad():
            for t, kept in zip(seen.outside, before, strict=True):
                t.copy_(kept)
    count = len(inputs)
    return lambda tensors: list(program(*tensors[:count]))


def load(what: str, seen: Recording, examples: Sequence[Tensor]) -> Run:
    """The kept program of what is done on a CPU, or a new one, which is kept."""
    place = folder() / f"{name(seen)}.so"
    if place.exists():
        with suppress(RuntimeError):  # of a file that was damaged, or of another system's libraries
            return opened(place)
    log.info("compiling %s: some seconds, once, as it is kept for the next time", what)
    build(seen, examples, place)
    return opened(place)


def opened(place: Path) -> Run:
    """A program that is kept; it counts as used now."""
    run: Run = torch._C._aoti.AOTIModelContainerRunnerCpu(str(place), 1).run
    with suppress(OSError):  # as where everybody's are kept by another user
        place.touch()
    return run


def name(seen: Recording) -> str:
    """The digest of what a program does and of what it is made for."""
    made_for = (torch.__version__, torch.cpu.get_capabilities(), torch.get_num_threads(), OPTIONS)
    return hashlib.sha256(f"{seen.digest()}{made_for}".encode()).hexdigest()


def build(seen: Recording, examples: Sequence[Tensor], place: Path) -> None:
    """Compiles a recording to a library at `place`, which is there whole or not at all."""
    place.parent.mkdir(parents=True, exist_ok=True)
    with (
        tempfile.TemporaryDirectory(dir=place.parent) as made,
        warnings.catch_warnings(),
        torch.random.fork_rng(devices=[]),
    ):
        warnings.simplefilter("ignore")
        library = Path(made) / place.name
        options = OPTIONS | {"aot_inductor.output_path": str(library)}
        torch._inductor.aot_compile(seen.module(), tuple(examples), options=options)
        # What it calls through torch's dispatcher is listed in a file that lies beside it.
        for listed in Path(made).glob("*.wrapper.json"):
            listed.replace(place.with_suffix(".json"))
        library.replace(place)
    make_room(place.parent)


def make_room(where: Path) -> None:
    """Removes the programs unused for longest, beyond those that are kept."""
    found = sorted(where.glob("*.so"), key=lambda p: p.stat().st_mtime, reverse=True)
    for old in found[MOST:]:
        old.unlink(missing_ok=True)
        old.with_suffix(".json").unlink(missing_ok=True)
