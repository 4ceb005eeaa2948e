r"""A function of tensors with a compiled program in its place.

f(x) → y, reading and writing tensors of its own in place

The first calls run eagerly and are traced. Once two consecutive traces match, f is compiled, and
the program is held to the eager call of the second trace. From then on it runs in place of f, with
the noise that f would draw, as long as everything holds that the trace took for granted:

    the layout of the inputs                          else this call runs f
    Python state that f can reach (`PythonState`)     else f is traced anew
    properties of its tensors (`TensorState`)         else f is traced anew
    modes and numeric settings (`ambient`)            else this call runs f

Calls 8, 16, 32, … are traced again, and so is the first one after `revisit`.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Generic, TypeVar

import torch
from torch import Tensor
from torch.utils._pytree import tree_flatten, tree_unflatten

from vaelab.compile.agreement import disagreement
from vaelab.compile.cache import Compiled, make
from vaelab.compile.python_state import PythonState
from vaelab.compile.recording import Recording, layout, recording, storage
from vaelab.compile.tensor_state import TensorState, ambient

T = TypeVar("T")

log = logging.getLogger(__name__)

CALLS = 4
"""Traces within which two consecutive ones must match; the first may set things up."""

FIRST_CHECK = 8
"""Call of a program that is traced again, and so are those at twice its number, and so on."""

SELDOM = 500
"""Fewest calls between two traces at the end of epochs: a trace takes the time of some 15 calls."""

STATE = ("calls", "traces", "traced_at", "restarts", "due", "reason")
"""Numbers that decide which calls are traced, and so which run f itself."""

RESTARTS = 3
"""Recompilations of f after an assumption of the trace has changed."""


class Program(Generic[T]):
    """A function of tensors, compiled once its calls are seen to repeat.

    Args:
        name: noun phrase for messages, such as "the training step".
        function: maps tensors to tensors and None, in tuples, lists and dictionaries. It may read
            tensors of its own, and change them in place.
        exclusive: whether nothing else writes the function's tensors between two calls without
            either counting a new version (as all but `.data` does) or calling `revisit`. The
            program may then keep low-precision copies of weights from call to call.

    Attributes:
        run: the compiled program, or None.
        reason: why the function is not compiled and will not be, or None.
    """

    def __init__(self, name: str, function: Callable[..., T], exclusive: bool = False) -> None:
        self.name, self.function, self.exclusive = name, function, exclusive
        self.recording: Recording | None = None
        self.run: Compiled | None = None
        self.reason: str | None = None
        self.calls = self.traces = self.restarts = self.traced_at = 0
        self.due = self.rehearse = False
        self.python: PythonState | None = None

    def __call__(self, *given: Any) -> T:
        """f(*given), by the program if everything holds that its trace took for granted."""
        if self.reason is not None or recording():
            return self.function(*given)
        inputs, spec = tree_flatten(given)
        if not self._fits(inputs, spec):
            return self.function(*given)
        if self.rehearse:
            self._rehearse(given, inputs)
        if self.run is None:
            return self.function(*given) if self.reason else self._trace(given, inputs)
        if (change := self._change()) is not None:
            self._restart(change)
            return self.function(*given) if self.reason else self._trace(given, inputs)
        self.calls += 1
        if self.due or (self.calls >= FIRST_CHECK and self.calls.bit_count() == 1):
            return self._trace(given, inputs)
        assert self.recording is not None
        with torch.no_grad():
            return self._shaped(self.run([*inputs, *self.recording.captured]))

    @property
    def settled(self) -> bool:
        """True once f is compiled, or it is certain that it will not be."""
        return self.run is not None or self.reason is not None or self.rehearse

    def state(self) -> dict[str, Any]:
        """Numbers and text to go on from in another process, by `resume`."""
        return {name: getattr(self, name) for name in STATE}

    def resume(self, state: Mapping[str, Any]) -> None:
        """Go on from the `state` of a settled program: the next call first compiles f."""
        for name in STATE:
            setattr(self, name, state[name])
        self.rehearse = self.reason is None

    def revisit(self) -> None:
        """Trace the next call again, unless the last trace is recent, and `refresh`."""
        self.due = self.calls - self.traced_at >= SELDOM
        self.refresh()

    def refresh(self) -> None:
        """Read all that is kept from call to call afresh, as other code may have run."""
        if self.run is not None:
            self.run.forget()

    def _rehearse(self, given: Sequence[Any], inputs: Sequence[Tensor]) -> None:
        """Trace and compile f, leaving tensors, random generators and counts as they are."""
        kept, self.rehearse, self.traces = self.state(), False, 0
        while not self.settled:
            self._trace(given, inputs, rehearsal=True)
        for name in STATE[:-1]:  # but for a reason that only this process has
            setattr(self, name, kept[name])

    def _fits(self, inputs: Sequence[Any], spec: Any) -> bool:
        """Return True if the trace, existing or to be made, covers a call."""
        if not all(isinstance(x, Tensor) for x in inputs):
            self._give_up("it takes arguments that are not tensors")
            return False
        if self.recording is None:
            self.input_spec = spec
            self.ambient = ambient(self._device(inputs))
            return True
        try:
            return (
                spec == self.input_spec
                and [layout(x) for x in inputs] == self.recording.input_layouts
                and ambient(self._device(inputs)) == self.ambient
                and not self._overlaps(inputs)
            )
        except RuntimeError:  # tensors without memory of their own, as under a transform
            return False

    def _device(self, inputs: Sequence[Tensor]) -> str:
        return inputs[0].device.type if inputs else "cpu"

    def _overlaps(self, inputs: Sequence[Tensor]) -> bool:
        """Return True if an input shares memory with a tensor that the function writes."""
        if self.run is None:
            return False
        places = [storage(x) for x in inputs]
        shared = not self.written.isdisjoint(places)
        return shared or (self.writes_inputs and len({*places}) < len(places))

    def _change(self) -> str | None:
        """The first thing, besides inputs and values, that is not as it was traced; or None."""
        assert self.python is not None
        if not self.python.unchanged():
            now = PythonState(self.function, (Program,))
            if (name := now.difference(self.python)) is not None:
                return name
            self.python = now
        return None if self.tensors.unchanged() else "a tensor's layout, dtype, memory or gradient"

    def _restart(self, change: str) -> None:
        """Forget the program after a change outside of the function."""
        self.run, self.recording, self.python, self.traces = None, None, None, 0
        self.restarts += 1
        if self.restarts > RESTARTS:
            self._give_up(_advice(change))
        else:
            log.info("%s is compiled anew, as %s has changed", self.name, change)

    def _give_up(self, reason: str) -> None:
        self.run, self.recording, self.python, self.reason = None, None, None, reason
        log.warning("%s cannot be compiled: %s; going on without", self.name, reason)

    def _trace(self, given: Sequence[Any], inputs: Sequence[Tensor], rehearsal: bool = False) -> T:
        """Run a call eagerly, trace it, and compile the function if it repeats the last trace.

        Args:
            given: arguments of the call.
            inputs: tensors among them.
            rehearsal: True to give all tensors and random generators back as they were.
        """
        self.due, self.traced_at, before = False, self.calls, self.python
        if self.python is None or not self.python.unchanged():
            self.python = PythonState(self.function, (Program,))
        state = self.python
        tensors = TensorState(state.tensors)
        now = Recording(inputs)
        try:
            with now:
                found = self.function(*given)
        except Exception as error:
            if now.unsupported_reason is not None:
                raise
            now.undo()
            found = self.function(*given)  # which raises again if the error is its own
            self._give_up(f"it does not run while it is traced ({type(error).__name__}: {error})")
            return found
        leaves, self.output_spec = tree_flatten(found)
        outputs = list({id(leaf): leaf for leaf in leaves if leaf is not None}.values())
        number = {id(leaf): i for i, leaf in enumerate(outputs)}
        self.places = [None if leaf is None else number[id(leaf)] for leaf in leaves]
        now.close(outputs)
        change = self._changed_by_call(before, tensors)
        self._judge(now, change, outputs)
        if rehearsal:
            now.undo()
        now.release()
        return found

    def _changed_by_call(self, before: PythonState | None, tensors: TensorState) -> str | None:
        """The first Python state that changed in a traced call, or since the last; or None."""
        assert self.python is not None
        old, name = self.python, None
        if not old.unchanged():
            self.python = PythonState(self.function, (Program,))
            name = self.python.difference(old)
        if name is None and before is not None and before is not old:
            name = old.difference(before)
        if name is None and not tensors.unchanged():
            name = "the gradient, layout or memory of a tensor"
        return name

    def _judge(self, now: Recording, change: str | None, outputs: Sequence[Tensor]) -> None:
        """Compile the function, keep its program, wait for another trace, or give up."""
        assert self.python is not None
        last, self.recording = self.recording, now
        self.traces += 1
        reason = self.python.unsupported_reason or now.unsupported_reason
        difference = None if last is None or reason is not None else now.difference(last)
        if reason is None and now.overlaps():
            self.recording, difference = None, "an input shares memory with a tensor it writes"
        if reason is not None:
            self._give_up(reason)
        elif change is not None or difference is not None:
            if self.traces >= CALLS or self.run is not None:
                self._give_up(_advice(change) if change is not None else str(difference))
        elif last is not None and self.run is None:
            self._make(now, outputs)

    def _make(self, now: Recording, outputs: Sequence[Tensor]) -> None:
        assert self.python is not None
        guarded = {id(t): t for t in [*self.python.tensors, *now.captured]}
        self.tensors = TensorState(
            t for number, t in guarded.items() if number not in self.python.unguarded
        )
        self.written = {storage(now.tensors[i]) for i in now.before}
        self.writes_inputs = any(i < len(now.inputs) for i in now.before)
        self.calls = self.traced_at = 0
        try:
            run = make(self.name, now, self.exclusive)
            reason = disagreement(run, now, outputs)
        except Exception as error:  # anything that a compiler may raise
            lines = str(error).strip().splitlines() or [""]
            reason = f"{type(error).__name__}: {lines[0]}"
        if reason is not None:
            self._give_up(reason)
        else:
            self.run = run

    def _shaped(self, tensors: Sequence[Tensor]) -> T:
        """The outputs of the program, in the structure that the function returns."""
        leaves = [None if i is None else tensors[i] for i in self.places]
        found: T = tree_unflatten(leaves, self.output_spec)
        return found


def _advice(change: str) -> str:
    return (
        f"{change} changes in Python, where a program would not see it; keep a number that changes "
        "in a buffer, changed in place, or let it follow training by a schedule such as vaelab.Rise"
    )
