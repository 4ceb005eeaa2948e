"""Trains and measures again what was published on binarized MNIST, as far as the time allows.

    python benchmarks/published.py [--only NAME …] [--passes 100] [--minutes 60] [--seeds 0 …]

Every row has the networks, data and training of its source (see published_jobs/rows.py). Fewer
passes than published go through the same learning rates; `--passes 0` asks for all. Training stops
after `--minutes` a row and seed, and goes on from there when the same is asked for again: state and
results are kept in bench/published. Writes docs/published.md from all that is there.
"""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent))

import torch
from published_jobs.page import page
from published_jobs.rows import ROWS
from published_jobs.training import Course, Setting, measured
from speed import machine
from speed.places import BENCH, ROOT

from vaelab.utils.atomic_files import read_json, write, write_json

KEPT, PAGE = BENCH / "published", ROOT / "docs" / "published.md"


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", nargs="+", metavar="NAME", choices=ROWS, default=list(ROWS))
    parser.add_argument("--passes", type=int, default=100, help="0 for as many as published")
    parser.add_argument("--minutes", type=float, default=60, help="a row and seed; 0: only measure")
    parser.add_argument("--seeds", nargs="+", type=int, default=[0])
    parser.add_argument("--batch", type=int, help="examples in a step; as published if not given")
    parser.add_argument("--samples", type=int, help="K of the figure; as published if not given")
    parser.add_argument("--threads", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--report", action="store_true", help="only write the page anew")
    options = parser.parse_args(arguments)
    torch.set_num_threads(options.threads)
    for name in [] if options.report else options.only:
        for seed in options.seeds:
            row = ROWS[name]
            passes, batch = options.passes or row.passes, options.batch or row.batch
            folder = KEPT / f"{name}-passes{passes}-batch{batch}-seed{seed}"
            setting = Setting(row, passes, batch, seed)
            contest(name, setting, folder, options.minutes, options.samples or row.samples)
    PAGE.parent.mkdir(exist_ok=True)
    write(PAGE, page(found(KEPT)))
    return 0


def contest(name: str, setting: Setting, folder: Path, minutes: float, samples: int) -> None:
    """Trains on, and measures what was reached, if anything, unless that was done before."""
    course = Course(setting, folder)
    course.go(minutes)
    if course.done == 0:
        return
    result = folder / "result.json"
    before = read_json(result) if result.exists() else {}
    if (before.get("done"), before.get("samples")) != (course.done, samples):
        asked = {"name": name, "passes": setting.passes, "batch": setting.batch}
        asked |= {"seed": setting.seed, "device": course.device.type}
        asked |= {"threads": torch.get_num_threads(), "load": machine.load()}
        asked |= {"machine": machine.describe()}
        figures = measured(course, samples)
        write_json(result, asked | figures)
        print(name, figures, file=sys.stderr)


def found(kept: Path) -> list[dict[str, Any]]:
    """Every result there is."""
    return [read_json(path) for path in sorted(kept.glob("*/result.json"))]


if __name__ == "__main__":
    sys.exit(main())
