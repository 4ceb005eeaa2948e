"""Measures speed: see `python benchmarks/speed/run.py --help`."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from speed.main import main

if __name__ == "__main__":
    sys.exit(main())
