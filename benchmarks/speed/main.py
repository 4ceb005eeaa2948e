"""Runs the contestants in turn, keeps every repeat in bench/speed.json, writes the page."""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from speed import machine, report
from speed.accelerator import accelerated
from speed.measures import Contestant, Measure, Settings, measures, search_settings
from speed.places import BENCH, DOC, NOTES, environment, pythae_python

NAMES = ("mlp", "conv", "race", "bound", "help", "sprint", "population")
SIDES = ("vaelab", "pythae")
LIMIT = 3600


def main(arguments: list[str] | None = None) -> int:
    """Measures, and writes bench/speed.json and docs/benchmarks.md."""
    parser = argparse.ArgumentParser(prog="run.py", description=__doc__)
    parser.add_argument(
        "--quick", action="store_true", help="see that it works; figures mean nothing"
    )
    parser.add_argument(
        "--only",
        nargs="+",
        choices=NAMES,
        metavar="MEASURE",
        help=f"of {', '.join(NAMES)}; the others keep their last figures",
    )
    parser.add_argument("--device", default="cpu", help="cpu, or cuda for what is asked of a GPU")
    parser.add_argument("--repeats", type=int, default=None, help="of every contestant (5)")
    parser.add_argument("--threads", type=int, default=os.cpu_count() or 1)
    parser.add_argument(
        "--search",
        nargs="*",
        choices=SIDES,
        help=f"search the race's settings anew, of {' or '.join(SIDES)}; of both if none is named",
    )
    parser.add_argument(
        "--report", action="store_true", help="write the page from the last figures"
    )
    options = parser.parse_args(arguments)
    on_cpu = options.device == "cpu"
    kind = "" if on_cpu else f"-{options.device}"
    store = BENCH / f"speed{kind}{'-quick' if options.quick else ''}.json"
    results = json.loads(store.read_text()) if store.exists() else {}
    if not options.report:
        results = run(options, results, store)
    notes = NOTES.read_text() if on_cpu and NOTES.exists() else ""
    text = report.page(results, known(options, {}), notes)
    if options.quick:
        print(text)
    else:
        doc = DOC.with_stem(DOC.stem + kind)
        write(doc, text)
        print(f"wrote {doc.name} and {store.name}", file=sys.stderr)
    return 0


def known(options: argparse.Namespace, raced: dict[str, Settings]) -> dict[str, Measure]:
    """What is measured on the device asked for."""
    if options.device == "cpu":
        return measures(options.quick, raced)
    return accelerated(options.device, options.quick)


def run(options: argparse.Namespace, results: dict[str, Any], store: Path) -> dict[str, Any]:
    """Every chosen measure, its repeats kept as soon as they are there."""
    interpreters = {"vaelab": Path(sys.executable)}
    on_cpu = options.device == "cpu"
    only = options.only or (NAMES if on_cpu else list(known(options, {})))
    if set(only) - {"help"}:
        interpreters["pythae"] = pythae_python()
    results |= {
        "threads": options.threads,
        "command": report.COMMAND + ("" if on_cpu else f" --device {options.device}"),
        "machine": machine.describe(),
        "versions": machine.versions(interpreters.get("pythae")) or results.get("versions", {}),
        "measures": results.get("measures", {}),
    }
    run_one = Runner(interpreters, options.threads)
    repeats = options.repeats or (1 if options.quick else 5)
    raced: dict[str, Settings] = {}
    if on_cpu and "race" in only:
        known_sides = results.setdefault("search", {})
        anew = SIDES if options.search == [] or options.quick else options.search or ()
        for side in SIDES:
            if side in anew or side not in known_sides:
                known_sides[side] = search(run_one, side, options.quick)
                write(store, json.dumps(results, indent=1))
        raced = chosen(results["search"], options.quick)
    for name, measure in known(options, raced).items():
        if name in only:
            found: dict[str, report.Records] = {who: [] for who in measure.contestants}
            for contestant in measure.contestants.values():
                if contestant.keeps and not options.quick:
                    run_one(contestant)
            results["measures"][name] = found
            for repeat in range(repeats):
                for who, contestant in measure.contestants.items():
                    record = run_one(contestant)
                    found[who].append(record)
                    say(f"{name} {repeat + 1}/{repeats} {who}", measure, record)
                    write(store, json.dumps(results, indent=1))
    if "help" in only:
        results["measures"]["help"] = {"vaelab": [cold_help(options.threads) for _ in range(10)]}
    write(store, json.dumps(results, indent=1))
    return results


class Runner:
    """Starts a contestant and reads its record.

    Args:
        interpreters: by side.
        threads: every process has.
    """

    def __init__(self, interpreters: dict[str, Path], threads: int) -> None:
        self.interpreters, self.threads = interpreters, threads

    def __call__(self, contestant: Contestant) -> dict[str, Any]:
        """The record, with the load before it and the seconds of the whole process."""
        with tempfile.TemporaryDirectory() as empty:
            kept = environment(self.threads)
            fresh = environment(self.threads, Path(empty))
            return self._run(contestant, fresh if contestant.first else kept)

    def _run(self, contestant: Contestant, around: dict[str, str]) -> dict[str, Any]:
        load, started = machine.load(), time.time()
        settings = contestant.settings | {"threads": self.threads, "started": started}
        command: list[str | Path] = [self.interpreters[contestant.side], "-m", contestant.module]
        done = subprocess.run(
            [*command, json.dumps(settings)],
            env=around,
            capture_output=True,
            text=True,
            timeout=LIMIT,
        )
        took = {"load_before": load, "process_s": time.time() - started}
        if done.returncode != 0:
            last = (done.stderr.strip().splitlines() or ["it said nothing"])[-1]
            return took | {"failed": last}
        record: dict[str, Any] = json.loads(done.stdout.strip().splitlines()[-1])
        return took | record


def search(run_one: Runner, side: str, quick: bool) -> list[dict[str, Any]]:
    """Tries every setting of a side within a budget, the most promising ones for longer.

    vaelab's schedules end by themselves, and are tried with their program kept; pythae's settings,
    without one, first get a short budget, and the two lowest then a long one.
    """
    target, module = report.TARGET_NATS, {"vaelab": "speed.ours", "pythae": "speed.pythae_jobs"}
    short, long = (20, 25) if quick else (60, 300)
    tried = []
    for settings in search_settings(quick)[side]:
        budget = short if side == "pythae" else long
        for _ in range(1 if side == "pythae" or quick else 2):  # the first leaves its program
            record = _try(run_one, side, module[side], settings, target, budget)
        tried.append({"settings": settings} | record)
    if side == "pythae":
        for entry in sorted(tried, key=_promise)[:2]:
            entry |= _try(run_one, side, module[side], entry["settings"], target, long)
    min(tried, key=_promise)["chosen"] = True
    return tried


def _try(
    run_one: Runner, side: str, module: str, settings: Settings, target: float, budget: float
) -> dict[str, Any]:
    job = {"job": "race", "latent": 32, "target": target, "budget": budget} | settings
    record = run_one(Contestant(side, module, job))
    lowest = min((nats for _, nats in record.get("track", [])), default=float("inf"))
    print(f"search {side} {settings}: {lowest:.2f} nats", file=sys.stderr)
    return {"track": record.get("track", []), "failed": record.get("failed", "")}


def _promise(entry: dict[str, Any]) -> tuple[float, float]:
    """The soonest at the target first; of those that never are, the lowest."""
    lowest = min((nats for _, nats in entry["track"]), default=float("inf"))
    return report.reached(entry["track"], report.TARGET_NATS), lowest


def chosen(search: dict[str, list[dict[str, Any]]], quick: bool) -> dict[str, Settings]:
    """What each side races with."""
    limits = {"target": report.TARGET_NATS, "budget": 25 if quick else 420}
    return {
        side: limits | next(e["settings"] for e in tried if e.get("chosen"))
        for side, tried in search.items()
    }


def cold_help(threads: int) -> dict[str, Any]:
    """Seconds of `vaelab --help` in a new process."""
    started = time.perf_counter()
    done = subprocess.run(
        [sys.executable, "-m", "vaelab", "--help"], env=environment(threads), capture_output=True
    )
    return {"seconds": time.perf_counter() - started, "status": done.returncode}


def say(what: str, measure: Measure, record: dict[str, Any]) -> None:
    """One line of progress."""
    figure = record.get(measure.figure) or record.get("skipped") or record.get("failed")
    if "track" in record:
        figure = record["track"][-1] if record["track"] else "no epoch"
    print(f"{what}: {figure} (load {record['load_before']:.1f})", file=sys.stderr, flush=True)


def write(path: Path, text: str) -> None:
    """Writes beside the target and moves into place."""
    path.parent.mkdir(parents=True, exist_ok=True)
    beside = path.with_name(path.name + ".part")
    beside.write_text(text)
    os.replace(beside, path)
