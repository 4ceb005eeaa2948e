"""The command line: a table of commands, each a typed function its flags are derived from.

Results go to stdout, messages and progress to stderr. Exit status: 0 done, 1 failed, 2 wrong usage
or bad input, 130 or 143 interrupted by SIGINT or SIGTERM. Nothing heavy is imported until a
command is chosen.
"""

from __future__ import annotations

import importlib
import logging
import os
import sys
import traceback
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from vaelab.commands.interrupts import interruptible
from vaelab.utils.options import command_line
from vaelab.utils.program import as_called, program
from vaelab.utils.readers import raised_here
from vaelab.utils.text import did_you_mean, escape_control
from vaelab.version import __version__

DONE, FAILED, WRONG, INTERRUPTED = 0, 1, 2, 130

TOO_LARGE = (
    *("allocate memory", "out of memory", "not enough memory"),
    "Storage size calculation overflowed",
)
"""Parts of torch's messages for tensors that exceed memory."""


class Command(NamedTuple):
    """One command.

    Attributes:
        target: "module:function"; its parameters are the flags, its docstring their help.
        summary: one line.
        example: a line that can be typed.
        choice: whether the function only picks, by its first argument, the function to run.
    """

    target: str
    summary: str
    example: str
    choice: bool = False


COMMANDS = {
    "understand": Command(
        "vaelab.commands.understand:command",
        "show and measure, on your own data, why a VAE: one page to read and send",
        "vaelab understand --data digits --out understand",
    ),
    "train": Command(
        "vaelab.commands.train:choose",
        "train a model on images, arrays or tables",
        "vaelab train vae --data digits --latent 2 --out runs/digits",
        choice=True,
    ),
    "sweep": Command(
        "vaelab.commands.sweep:choose",
        "train a recipe at many settings and seeds: the rate–distortion curve",
        "vaelab sweep vae --data digits --latent 8 --beta 0.5,1,2,4 --seeds 4 --out sweeps/beta",
        choice=True,
    ),
    "evaluate": Command(
        "vaelab.commands.evaluate:evaluate",
        "judge a run on its test data: likelihood, latent space, prior, samples",
        "vaelab evaluate runs/digits --samples 1000",
    ),
    "compare": Command(
        "vaelab.commands.compare:compare",
        "put evaluated runs side by side, with paired differences",
        "vaelab compare runs/beta-1 runs/beta-4",
    ),
    "explore": Command(
        "vaelab.commands.explore:explore",
        "put your hand into a latent space: one page with the models in it",
        "vaelab explore runs/digits --export explorer.html",
    ),
    "doctor": Command(
        "vaelab.commands.doctor:doctor",
        "what is wrong with a run, a data set, or somebody else's loss, and what to do",
        "vaelab doctor runs/digits",
    ),
    "fit-prior": Command(
        "vaelab.commands.fit_prior:choose",
        "fit another prior to a run's codes, for better samples",
        "vaelab fit-prior mixture runs/digits",
        choice=True,
    ),
    "sample": Command(
        "vaelab.commands.generate:sample",
        "generate new examples",
        "vaelab sample runs/digits -n 64 --out samples.png",
    ),
    "reconstruct": Command(
        "vaelab.commands.generate:reconstruct",
        "encode examples and decode them again",
        "vaelab reconstruct runs/digits test:0-15 --out reconstructions.png",
    ),
    "impute": Command(
        "vaelab.commands.impute:impute",
        "fill the missing cells of a table, given the others",
        "vaelab impute runs/people people.csv --out filled.csv",
    ),
    "vary": Command(
        "vaelab.commands.generate:vary",
        "make variations of examples",
        "vaelab vary runs/digits test:0-5 -n 8 --out variations.png",
    ),
    "interpolate": Command(
        "vaelab.commands.generate:interpolate",
        "walk from one example to another",
        "vaelab interpolate runs/digits test:0 test:7 --steps 10 --out walk.png",
    ),
    "traverse": Command(
        "vaelab.commands.generate:traverse",
        "change one latent dimension at a time",
        "vaelab traverse runs/digits --out traversal.png",
    ),
    "score": Command(
        "vaelab.commands.score:score",
        "write −ELBO, distortion and rate of examples: which are unlike the training data",
        "vaelab score runs/digits test:0-99 --out scores.csv",
    ),
    "encode": Command(
        "vaelab.commands.generate:encode",
        "write the codes of examples",
        "vaelab encode runs/digits test:0-99 --out codes.npy",
    ),
}


class _Said(logging.Handler):
    """Print the library's log records as plain lines."""

    def emit(self, record: logging.LogRecord) -> None:
        print(record.getMessage(), file=sys.stderr, flush=True)


_SAID = _Said()


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command line and return its exit status."""
    for name in ("stdout", "stderr"):  # None if the caller has closed them
        if getattr(sys, name) is None:
            setattr(sys, name, open(os.devnull, "w", encoding="utf-8"))  # noqa: SIM115
    logging.getLogger("vaelab").addHandler(_SAID)
    logging.getLogger("vaelab").setLevel(logging.INFO)
    with interruptible() as interrupts:
        return interrupts.status(_status(list(sys.argv[1:] if argv is None else argv)))


def _status(args: list[str]) -> int:
    """Exit status of a command line, without regard to signals."""
    try:
        with command_line():
            status = _run(args)
        sys.stdout.flush()
        return status
    except SystemExit as exit:  # tyro, after it has shown help or what it could not parse
        return exit.code if isinstance(exit.code, int) else FAILED
    except KeyboardInterrupt as error:
        return _interrupted(error)
    except BrokenPipeError:  # whoever read our output has seen enough
        sys.stdout = open(os.devnull, "w", encoding="utf-8")  # noqa: SIM115
        return FAILED
    except Exception as error:
        return _report(error)


def _run(args: list[str]) -> int:
    if not args or args[0] in ("-h", "--help", "help"):
        print(as_called(overview()))
        return DONE
    if args[0] == "--version":
        print(f"vaelab {__version__}")
        return DONE
    args = _with_modules(args)
    if not args:
        raise ValueError("--module comes with a command: vaelab --module NAME train RECIPE …")
    name, *rest = args
    if name not in COMMANDS:
        hint = did_you_mean(name, COMMANDS)
        raise ValueError(f"there is no command {name!r}.{hint} `vaelab --help` lists them.")
    command, prog = COMMANDS[name], f"{program()} {name}"
    function = _resolve(command.target)
    if command.choice:
        chosen = function(rest)
        if chosen is None:  # it has shown what there is to choose from
            return DONE
        function, prog, rest = chosen, f"{prog} {rest[0]}", rest[1:]
    _call(function, rest, prog, command.example)
    return DONE


def _with_modules(args: list[str]) -> list[str]:
    """Arguments without `--module NAME`, whose modules are imported: their parts register."""
    rest: list[str] = []
    words = iter(args)
    for word in words:
        flag, given, value = word.partition("=")
        if flag != "--module":
            rest.append(word)
            continue
        from vaelab.utils.plugins import import_named

        module = value if given else next(words, "")
        if not module:
            raise ValueError("--module names a Python module, as in --module my_package.models")
        import_named(module)
    return rest


def _call(function: Callable[..., Any], args: list[str], prog: str, example: str) -> None:
    from vaelab.commands.arguments import call

    about, _, rest = (function.__doc__ or "").partition("\n\n")
    own = rest if rest.startswith("Example: ") else f"Example: {example}"
    call(function, args, prog, as_called(f"{' '.join(about.split())}\n\n{own}"))


def _resolve(target: str) -> Callable[..., Any]:
    module, _, function = target.partition(":")
    found: Callable[..., Any] = getattr(importlib.import_module(module), function)
    return found


def overview() -> str:
    """Text printed by `vaelab` without arguments."""
    width = max(map(len, COMMANDS))
    lines = [f"  {name:<{width}}  {command.summary}" for name, command in COMMANDS.items()]
    return "\n".join(
        [
            f"vaelab {__version__}: variational autoencoders to understand and to use.",
            "",
            *lines,
            "",
            "Begin with     vaelab understand --data digits --out understand",
            "or             vaelab train vae --data digits --latent 2 --out runs/digits",
            "then try       vaelab sample runs/digits -n 64 --out samples.png",
            "Every command  vaelab COMMAND --help",
            "",
            "Results go to stdout, messages to stderr. Exit status: 0 done, 1 failed, 2 wrong",
            "input, 130 interrupted. VAELAB_DATA names the folder where known data sets live.",
        ]
    )


def _report(error: Exception) -> int:
    """Print a message for the library's own errors, and a traceback for a bug."""
    if isinstance(error, OSError):
        if error.strerror is None:
            return _say(str(error), WRONG)
        where = "" if error.filename is None else f"{error.filename}: "
        return _say(f"{where}{error.strerror}", WRONG)
    if raised_here(error.__traceback__):
        if isinstance(error, ValueError):
            return _say(str(error), WRONG)
        if isinstance(error, ArithmeticError | RuntimeError):  # NotFinite, NotSaved
            return _say(str(error), FAILED)
    if isinstance(error, MemoryError) or any(words in str(error) for words in TOO_LARGE):
        said = str(error).partition("\n")[0] or "MemoryError"
        return _say(f"there is not enough memory for this, choose smaller settings: {said}", FAILED)
    traceback.print_exception(error)
    return _say("this is a bug; please report it with the lines above", FAILED)


def _interrupted(error: KeyboardInterrupt) -> int:
    """Say what was kept, if anything; the status of the signal."""
    from vaelab.utils.signals import Interrupted

    if not isinstance(error, Interrupted):
        return INTERRUPTED
    return _say(str(error), 128 + error.signal)


def _say(message: str, status: int) -> int:
    print(f"vaelab: {as_called(escape_control(message))}", file=sys.stderr)
    return status


if __name__ == "__main__":
    sys.exit(main())
