"""Trainings that are killed at random instants: all must come to the run of one that was not.

    python benchmarks/reliability.py                     200 kills; some minutes
    python benchmarks/reliability.py --kills 20 --page docs/reliability.md

Of each recipe one training runs without a break. Others are killed by SIGKILL or ended by SIGTERM
at random instants, as often as it takes, and go on by `resume`; the weights, the optimizer's state
and the metrics of the finished run are then compared byte by byte. Processes are forked from one
that has imported everything, so that instants are spread over the training and not over imports.
"""

from __future__ import annotations

import argparse
import dataclasses
import os
import platform
import random
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from vaelab import recipes
from vaelab.data import Data, load
from vaelab.recipes.design import Design
from vaelab.recipes.registry import Recipe
from vaelab.runs import checkpoints
from vaelab.runs.train import train
from vaelab.training import Plan
from vaelab.utils.signals import Interrupted

COMPARED = ("weights.safetensors", "optimizer.safetensors", "metrics.jsonl")
PLAN = Plan(epochs=6, batch_size=50)
BEGIN, END = "<!-- faults: begin -->", "<!-- faults: end -->"


@dataclasses.dataclass(frozen=True)
class Case:
    """A recipe with its plan."""

    title: str
    name: str
    plan: Plan = PLAN
    design: dict[str, Any] = dataclasses.field(default_factory=dict)

    def recipe(self, data: Data) -> Recipe:
        """The recipe of small networks."""
        build: Callable[..., Recipe] = getattr(recipes, self.name)
        return build(data.spec, design=Design(width=24, **self.design))


CASES = (
    Case("adversarial", "wae_gan"),
    Case("codebook with averaged weights", "vq", dataclasses.replace(PLAN, ema=0.9)),
    Case("ladder", "ladder"),
    Case("multiplier (GECO)", "geco"),
    Case(
        "conditional, with patience",
        "vae",
        dataclasses.replace(PLAN, patience=3),
        {"condition": "labels"},
    ),
    Case("compiled, bf16", "vae", dataclasses.replace(PLAN, compile="on", precision="bf16")),
)


@dataclasses.dataclass
class Outcome:
    """Counts of one case."""

    kills: int = 0
    terms: int = 0
    torn: int = 0
    checkpoints: int = 0
    runs: int = 0
    unequal: int = 0


def forked(job: Callable[[], Any], number: int | None = None, after: float = 0.0) -> int:
    """Run a job in a child, to which a signal may be sent after a time; its exit status."""
    child = os.fork()
    if child == 0:
        status = 1
        try:
            job()
            status = 0
        except Interrupted as error:
            status = 128 + error.signal
        except BaseException as error:
            print(f"{type(error).__name__}: {error}", file=sys.stderr, flush=True)
        finally:
            os._exit(status)
    if number is not None:
        time.sleep(after)
        os.kill(child, number)  # a child that has ended waits to be asked for its status
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def content(folder: Path) -> list[bytes]:
    """Files that must be equal."""
    return [(folder / name).read_bytes() for name in COMPARED]


def tear(folder: Path, draws: random.Random) -> bool:
    """Damage the latest checkpoint; False if there is none."""
    found = checkpoints.numbered(folder / "unfinished" / "checkpoints")
    if not found:
        return False
    path = draws.choice([p for p in sorted(found[0].iterdir()) if p.stat().st_size])
    data = path.read_bytes()
    path.write_bytes(data[: draws.randrange(len(data))])
    return True


def examine(case: Case, data: Data, kills: int, work: Path, draws: random.Random) -> Outcome:
    """Kill trainings of a case until so many kills have met a process at work."""
    found = Outcome()

    def job(folder: Path) -> Callable[[], Any]:
        return lambda: train(
            *(case.recipe(data), data, case.plan), out=folder, resume=True, checkpoint_every=0.05
        )

    forked(job(work / "first"))  # compiles, if anything
    started = time.perf_counter()
    if forked(job(work / "whole")) != 0:
        raise RuntimeError(f"{case.title} does not train")
    took = time.perf_counter() - started
    expected = content(work / "whole")
    while found.kills < kills:
        folder = work / f"run-{found.runs}"
        status = -1
        while status != 0 and found.kills < kills:
            number = signal.SIGTERM if draws.random() < 0.2 else signal.SIGKILL
            status = forked(job(folder), number, draws.random() * took)
            if status == 1:
                raise RuntimeError(f"{case.title} failed in {folder}")
            found.kills += status == -signal.SIGKILL
            found.terms += status in (-signal.SIGTERM, 128 + signal.SIGTERM)
            found.checkpoints += (folder / "unfinished" / "checkpoints").exists()
            if status != 0 and draws.random() < 0.25:
                found.torn += tear(folder, draws)
        if forked(job(folder)) != 0:
            raise RuntimeError(f"{case.title} does not go on in {folder}")
        found.runs += 1
        found.unequal += content(folder) != expected
        shutil.rmtree(folder)
    return found


def table(rows: list[tuple[str, Outcome]]) -> str:
    """The page's table."""
    head = "| training | SIGKILL | SIGTERM | torn checkpoints | runs finished | not byte-equal |"
    lines = [head, "|---|---|---|---|---|---|"]
    total = Outcome(*map(sum, zip(*(dataclasses.astuple(o) for _, o in rows), strict=True)))
    for name, o in [*rows, ("all", total)]:
        lines.append(f"| {name} | {o.kills} | {o.terms} | {o.torn} | {o.runs} | {o.unequal} |")
    return "\n".join(lines)


def write(page: Path, made: str, seed: int) -> None:
    """Put a table between the marks of a page."""
    text = page.read_text()
    before, after = text.partition(BEGIN)[0], text.partition(END)[2]
    version = torch.__version__.partition("+")[0]
    about = f"torch {version}, {platform.system()}, seed {seed}."
    page.write_text(f"{before}{BEGIN}\n{made}\n\n{about}\n{END}{after}")


def main() -> int:
    """Kill, compare, and write the page; the exit status."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--kills", type=int, default=200, help="kills of all cases together")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", default="", help="words of titles, as in ladder,GECO")
    parser.add_argument("--page", type=Path)
    options = parser.parse_args()
    torch.set_num_threads(1)  # threads do not survive a fork
    whole = load("digits8x8")
    data = dataclasses.replace(whole, train=whole.train.take(torch.arange(430)))
    cases = [c for c in CASES if any(word in c.title for word in options.only.split(","))]
    rows = []
    for case in cases:
        with tempfile.TemporaryDirectory() as work:
            draws = random.Random(f"{options.seed} {case.title}")
            found = examine(case, data, -(-options.kills // len(cases)), Path(work), draws)
        rows.append((case.title, found))
        print(f"{case.title}: {dataclasses.asdict(found)}", file=sys.stderr, flush=True)
        if options.page is not None:  # after each, as a machine may be taken away
            write(options.page, table(rows), options.seed)
    print(table(rows))
    return int(any(o.unequal for _, o in rows))


if __name__ == "__main__":
    sys.exit(main())
