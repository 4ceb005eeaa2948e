"""Trainings killed at random instants, by the harness of `make test-faults`; a few of its kills."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.mark.skipif(sys.platform == "win32", reason="no fork and no SIGKILL")
def test_killed_trainings_come_to_the_same_run(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text("before\n<!-- faults: begin -->\nold\n<!-- faults: end -->\nafter\n")
    done = subprocess.run(
        [
            *(sys.executable, str(ROOT / "benchmarks" / "reliability.py")),
            *("--kills", "6", "--only", "codebook,GECO", "--page", str(page)),
        ],
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    *_, total = [line for line in done.stdout.splitlines() if line.startswith("| all")]
    _, kills, _, _, runs, unequal = (cell.strip() for cell in total.strip("| ").split("|"))
    assert int(kills) >= 6
    assert int(runs) >= 2
    assert int(unequal) == 0
    text = page.read_text()
    assert total in text
    assert text.startswith("before\n")
    assert text.endswith("after\n")
    assert "old" not in text
