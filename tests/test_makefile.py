"""The targets of the Makefile that could cost somebody work."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


@pytest.mark.skipif(shutil.which("make") is None, reason="there is no make")
def test_clean_keeps_what_took_hours(tmp_path: Path) -> None:
    kept = tmp_path / "bench" / "published" / "vae.json"
    for file in (kept, tmp_path / "demo" / "index.html"):
        file.parent.mkdir(parents=True)
        file.write_text("{}")
    make = ["make", "--silent", "-f", str(ROOT / "Makefile"), "-C", str(tmp_path)]
    subprocess.run([*make, "clean"], check=True, timeout=60)
    assert kept.exists()
    assert not (tmp_path / "demo").exists()
    subprocess.run([*make, "clean-bench"], check=True, timeout=60)
    assert not kept.exists()
