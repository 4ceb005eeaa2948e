"""Reading tables: `vaelab.load_data` beside `pandas.read_csv`, the best of several, in one run.

    python benchmarks/speed/tables.py --rows 100000 --repeats 5

`numbers` are ten columns of normal numbers; `mixed` are numbers, counts, texts, dates, booleans,
prices such as "1,234.50" in quotation marks and digits with leading zeros, of which pandas leaves
dates, prices and zeros unread. `read` is the text as columns, `load` all of `load_data`: kinds of
columns, checks, splits and statistics.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd

import vaelab
from vaelab.data.tabular.reader import read_table


def numbers(rows: int) -> pd.DataFrame:
    """Ten columns of normal numbers."""
    rng = np.random.default_rng(0)
    return pd.DataFrame(rng.normal(size=(rows, 10)), columns=[f"x{j}" for j in range(10)])


def mixed(rows: int) -> pd.DataFrame:
    """Columns of seven kinds."""
    rng = np.random.default_rng(1)
    days = pd.to_timedelta(rng.integers(0, 900, rows), "D")
    return pd.DataFrame(
        {
            "height": rng.normal(size=rows).round(3),
            "children": rng.poisson(3, rows),
            "city": rng.choice(["Oslo", "Rome", "Bonn", "São Paulo"], rows),
            "day": pd.Timestamp("2020-01-01") + days,
            "member": rng.random(rows) < 0.4,
            "price": [f"{price:,.2f}" for price in np.exp(rng.normal(7, 1, rows))],
            "area": [f"{area:05d}" for area in rng.integers(0, 500, rows)],
        }
    )


def best(work: Callable[[], object], repeats: int) -> float:
    """The least time of several, in seconds."""
    times = []
    for _ in range(repeats):
        start = time.perf_counter()
        work()
        times.append(time.perf_counter() - start)
    return min(times)


def main() -> None:
    """Prints one line a table."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0] if __doc__ else "")
    parser.add_argument("--rows", type=int, default=100_000)
    parser.add_argument("--repeats", type=int, default=5)
    options = parser.parse_args()
    print("table      pandas s   read s   ratio   load s   ratio")
    with tempfile.TemporaryDirectory() as folder:
        for make in (numbers, mixed):
            path = Path(folder) / f"{make.__name__}.csv"
            make(options.rows).to_csv(path, index=False)
            theirs = best(partial(pd.read_csv, path), options.repeats)
            read = best(partial(read_table, path), options.repeats)
            load = best(partial(vaelab.load_data, path), options.repeats)
            print(
                f"{make.__name__:<9} {theirs:9.3f} {read:8.3f} {read / theirs:7.1f} "
                f"{load:8.3f} {load / theirs:7.1f}"
            )


if __name__ == "__main__":
    main()
