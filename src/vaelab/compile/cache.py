"""Compiled programs: ahead of time and kept in the store on a CPU, in memory on an accelerator.

The name of a program is the digest of its graph, of the layout of its tensors, and of all that its
code is generated for: torch's version, the processor's instructions, the numeric settings. A kept
program is thus never out of date, and loads in a millisecond without the compiler, which takes
seconds and 150 MiB to import.
"""

from __future__ import annotations

import atexit
import functools
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

from vaelab.compile import store
from vaelab.compile.bf16_copies import LowPrecisionCopies, keep_copies
from vaelab.compile.recording import Recording
from vaelab.compile.tensor_state import numeric_settings

log = logging.getLogger(__name__)

Run = Callable[[list[Tensor]], Sequence[Tensor]]

KEPT_ON = "cpu"
"""Type of device whose programs are kept; for others torch keeps its own caches."""

COMPILER_CACHE = "TORCHINDUCTOR_CACHE_DIR"

WARM_UP = 3
"""Runs before a CUDA graph is captured: the first ones choose its kernels."""

OPTIONS: dict[str, Any] = {
    # Draw the noise of eager calls, so that compiling changes figures by rounding only.
    "fallback_random": True,
}


class Compiled:
    """A program of inputs and captured tensors, in one list.

    Args:
        run: maps the tensors, and any copies after them, to outputs.
        copies: low-precision copies that the program keeps, or None.
    """

    def __init__(self, run: Run, copies: LowPrecisionCopies | None = None) -> None:
        self.run, self.copies = run, copies

    def __call__(self, tensors: list[Tensor]) -> Sequence[Tensor]:
        if self.copies is None:
            return self.run(tensors)
        self.copies.refresh()
        return self.run([*tensors, *self.copies.kept])

    def forget(self) -> None:
        """Make every copy anew before the next run."""
        if self.copies is not None:
            self.copies.forget()


def make(name: str, recording: Recording, exclusive: bool = False) -> Compiled:
    """Compile a trace, or load its program from the store.

    Args:
        name: noun phrase for messages.
        recording: a closed trace; its graph is changed.
        exclusive: whether low-precision copies of weights may be kept between runs.
    """
    tensors = recording.tensors
    if any(t.device.type != KEPT_ON for t in tensors):
        log.info("compiling %s: some seconds", name)
        return Compiled(accelerated(recording))
    copies = keep_copies(recording.graph, tensors) if exclusive else None
    kept = [] if copies is None else copies.kept
    return Compiled(load(name, recording, [*tensors, *kept]), copies)


def accelerated(recording: Recording) -> Run:
    """A program for an accelerator; on CUDA one graph of its kernels.

    Captured tensors are bound to it, as a graph of kernels needs them at fixed addresses.
    """
    inputs = recording.inputs
    with silence_inductor():
        program = torch._inductor.compile(recording.bound(), [*inputs], options=OPTIONS)
    count, devices = len(inputs), {t.device for t in recording.tensors}

    def run(tensors: list[Tensor]) -> list[Tensor]:
        return list(program(*tensors[:count]))

    if {device.type for device in devices} == {"cuda"} and len(devices) == 1:
        try:
            with without_trace(recording.captured), torch.cuda.device(*devices):
                graph = Graph(program, inputs)
                graph(list(inputs))
                torch.cuda.synchronize()
            return graph
        except Exception as error:
            log.warning("without CUDA graphs, which fail here: %s", error)
    with without_trace(recording.captured):
        run(list(inputs))
    return run


@contextmanager
def without_trace(tensors: Sequence[Tensor]) -> Iterator[None]:
    """Restore these tensors and the random generators at the end."""
    devices = sorted({t.device.index for t in tensors if t.device.type == "cuda"})
    before = [t.detach().clone() for t in tensors]
    with torch.no_grad(), torch.random.fork_rng(devices=devices):
        try:
            yield
        finally:
            for t, kept in zip(tensors, before, strict=True):
                t.copy_(kept)


class Graph:
    """A program as one CUDA graph, whose kernels are launched together.

    It reads and writes at the addresses of its capture: inputs are copied there, and outputs stay
    there until the next run. Noise is drawn afresh in each run.

    Args:
        program: function of tensors on the current device; run to warm up and to be captured.
        inputs: tensors with the layouts of later calls.
    """

    def __init__(self, program: Callable[..., Sequence[Tensor]], inputs: Sequence[Tensor]) -> None:
        self.program = program  # keeps the tensors alive whose addresses the kernels hold
        self.inputs = [x.clone() for x in inputs]
        aside = torch.cuda.Stream()
        aside.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(aside):
            for _ in range(WARM_UP):
                program(*self.inputs)
        torch.cuda.current_stream().wait_stream(aside)
        self.graph = torch.cuda.CUDAGraph()
        # Only this thread is held to the capture: another one may be reading rows ahead.
        with torch.cuda.graph(self.graph, stream=aside, capture_error_mode="thread_local"):
            self.outputs = list(program(*self.inputs))

    def __call__(self, tensors: list[Tensor]) -> list[Tensor]:
        for own, given in zip(self.inputs, tensors, strict=False):
            own.copy_(given)
        self.graph.replay()
        return self.outputs


def load(name: str, recording: Recording, examples: Sequence[Tensor]) -> Run:
    """The kept program of a trace on a CPU, or a new one, which is kept if the store is private."""
    try:
        place = store.open_store() / digest(recording)
        if os.path.lexists(place):
            if (run := _kept(place)) is not None:
                return run
            log.info("the kept program of %s is damaged and compiled anew", name)
            store.remove(place)
        if not os.access(place.parent, os.W_OK):
            raise PermissionError(f"{place.parent} cannot be written to")
    except (store.Untrusted, OSError) as error:
        log.warning("the program of %s is neither loaded nor kept: %s", name, error)
        return build(name, recording, examples, None)
    return build(name, recording, examples, place)


def _kept(place: Path) -> Run | None:
    """A program of the store, or None if it is damaged."""
    if not store.verify(place):
        return None
    try:
        return load_artifact(place)
    except RuntimeError:  # of system libraries that have been replaced since
        return None


def load_artifact(place: Path) -> Run:
    """The program in a folder, which counts as used now."""
    # Private to torch: the runner that loads a library without importing the compiler. If it goes,
    # use torch._inductor.aoti_load_package, which imports it; the test of where it was fails first.
    run: Run = torch._C._aoti.AOTIModelContainerRunnerCpu(str(place / store.LIBRARY), 1).run
    with suppress(OSError):  # a store that this user may only read
        os.utime(place)
    return run


def digest(recording: Recording) -> str:
    """SHA-256 of a program's graph and of all that its code is generated for."""
    made_for = (torch.__version__, torch.cpu.get_capabilities(), numeric_settings(), OPTIONS)
    return hashlib.sha256(f"{recording.digest()}{made_for}".encode()).hexdigest()


def build(name: str, recording: Recording, examples: Sequence[Tensor], place: Path | None) -> Run:
    """Compile a trace and load it; keep it in a folder `place` of the store, if there is one."""
    log.info("compiling %s: some seconds%s", name, ", once" if place else "")
    with (
        store.workshop(place.parent if place else None) as work,
        private_compiler_cache(),
        silence_inductor(),
        torch.random.fork_rng(devices=[]),
    ):
        made = work / "made"
        made.mkdir(mode=0o700)
        options = OPTIONS | {"aot_inductor.output_path": str(work / store.LIBRARY)}
        # Private to torch: compiles a graph of plain operators, which torch.export would trace
        # again. If it goes, use torch._inductor.aoti_compile_and_package; the same test fails.
        torch._inductor.aot_compile(recording.module(), tuple(examples), options=options)
        (work / store.LIBRARY).rename(made / store.LIBRARY)
        # Beside it lies a list of the operators that it calls through torch's dispatcher.
        for listed in work.glob("*.wrapper.json"):
            listed.rename((made / store.LIBRARY).with_suffix(".json"))
        run = load_artifact(made)
        if place is not None:
            store.publish(made, place)
    return run


@contextmanager
def private_compiler_cache() -> Iterator[None]:
    """Point torch's compiler to a folder of this process alone, unless the user has named one.

    Its default lies under a name that anybody can guess in the system's temporary folder, and it
    compiles and runs its contents.
    """
    chosen = os.environ.get(COMPILER_CACHE)
    os.environ[COMPILER_CACHE] = chosen or _compiler_folder()
    try:
        yield
    finally:
        if chosen is None:
            del os.environ[COMPILER_CACHE]


@functools.cache
def _compiler_folder() -> str:
    folder = tempfile.mkdtemp(prefix="vaelab-compiler-")
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return folder


@contextmanager
def silence_inductor() -> Iterator[None]:
    """Hide the compiler's remarks: nobody could act on them."""
    compiler = logging.getLogger("torch._inductor")
    level = compiler.level
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        compiler.setLevel(logging.ERROR)
        try:
            yield
        finally:
            compiler.setLevel(level)
