"""Where things are, and the environment pythae is put into."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
HERE = Path(__file__).resolve().parent
BENCH = ROOT / "bench"
PYTHAE = BENCH / "pythae-venv"
DOC = ROOT / "docs" / "benchmarks.md"
NOTES = HERE / "notes.md"


def pythae_python() -> Path:
    """The interpreter of pythae's environment, which is made where it is not there.

    torch comes first and by itself, in the version of the constraints file, so that both sides run
    on the same one.
    """
    python = PYTHAE / "bin" / "python"
    stamp = PYTHAE / ".installed"
    if not stamp.exists():
        torch = re.search(r"^torch==\S+", (ROOT / "constraints.txt").read_text(), re.M)
        assert torch is not None, "constraints.txt pins torch"
        subprocess.run([sys.executable, "-m", "venv", PYTHAE], check=True)
        pip: list[str | Path] = [
            python,
            "-m",
            "pip",
            "install",
            "--quiet",
            "--disable-pip-version-check",
        ]
        subprocess.run([*pip, torch[0]], check=True)
        subprocess.run([*pip, "-r", HERE / "requirements-pythae.txt"], check=True)
        stamp.touch()
    return python


def environment(threads: int, programs: Path = BENCH / "programs") -> dict[str, str]:
    """The environment of every measuring process.

    Args:
        threads: it may have.
        programs: where what is compiled is kept.
    """
    path = os.pathsep.join([str(HERE.parent), str(ROOT / "src")])
    count = str(threads)
    counts = {"OMP_NUM_THREADS": count, "MKL_NUM_THREADS": count}
    return os.environ | counts | {"PYTHONPATH": path, "VAELAB_PROGRAMS": str(programs)}
