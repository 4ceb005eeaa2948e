"""Install the project into this Python with pip, showing progress and the time left, in a log too.

    python tools/install.py [EXTRA …]

Versions are those of constraints.txt. If there is no NVIDIA driver and PyTorch's own index answers,
torch is its CPU build, a tenth of the size; TORCH_INDEX names another index, and an empty
TORCH_INDEX leaves the choice to pip. On a terminal one line is rewritten; in a log a line is
printed every few seconds.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import sysconfig
import threading
import time
import urllib.request
from pathlib import Path

ROOT = Path(__file__).parents[1]
SITE = Path(sysconfig.get_paths()["purelib"])
CPU_INDEX = "https://download.pytorch.org/whl/cpu"
LOG_EVERY = 3.0
"""Seconds between the lines of a log."""
SIZES = {False: (330.0, 1_050.0), True: (3_000.0, 6_500.0)}
"""Megabytes downloaded and unpacked, about, without and with CUDA: the scale of the bar."""
USUAL = 40.0
"""Seconds that downloading and unpacking take each, about; the pace observed replaces the guess."""
UNITS = {"kB": 1e-3, "MB": 1.0, "GB": 1e3}


class Progress:
    """Share of the installation that is done, and the line that reports it.

    Args:
        download: megabytes to be downloaded, about.
        unpacked: megabytes of the installed packages, about.
    """

    def __init__(self, download: float, unpacked: float) -> None:
        self.download, self.unpacked = download, unpacked
        self.finished = self.current = self.share = 0.0
        self.step, self.unpacks = "starting pip", False
        self.start = self.phase = time.monotonic()
        self.printed = -LOG_EVERY

    def read(self, line: str) -> None:
        """Follow one line of pip's output."""
        if match := re.match(r"Progress (\d+) of (\d+)", line):
            self.current = int(match[1]) / 1e6
        elif match := re.search(r"(Downloading|Using cached) (\S+) \(([\d.]+) ([kMG]B)\)", line):
            size, name = float(match[3]) * UNITS[match[4]], match[2].rpartition("/")[2]
            self.finished += self.current if match[1] == "Downloading" else size
            self.current = 0.0
            self.step = f"{match[1].lower()} {name.split('-')[0]}, {max(size, 0.1):.3g} MB"
        elif match := re.match(r"\s*Collecting ([\w.-]+)", line):
            self.step = f"resolving {match[1]}"
        elif match := re.match(r"Installing collected packages: (.*)", line):
            self.unpacks, self.phase = True, time.monotonic()
            self.step = f"unpacking {len(match[1].split(','))} packages"

    def show(self) -> None:
        """Print the line if it is due."""
        now, live = time.monotonic(), sys.stderr.isatty()
        if now - self.printed < (0.5 if live else LOG_EVERY):
            return
        self.printed, passed = now, now - self.start
        done = (self.finished + self.current) / self.download
        if self.unpacks:
            done = megabytes(SITE) / self.unpacked
        done = min(1.0, done)
        self.share = max(self.share, min(0.99, (done + self.unpacks) / 2))
        left = (1 - done) * (now - self.phase + (1 - done) * USUAL) + USUAL * (not self.unpacks)
        text = f"install {self.share:4.0%}  {words(passed)}, about {words(left)} left: {self.step}"
        print(f"\r\033[K{text}" if live else text, end="" if live else "\n", file=sys.stderr)
        sys.stderr.flush()


def words(duration: float) -> str:
    """Seconds in words: `45 s`, `2 min 05 s`."""
    minutes, seconds = divmod(round(duration), 60)
    return f"{minutes} min {seconds:02} s" if minutes else f"{seconds} s"


def megabytes(folder: Path) -> float:
    """Size of the files in a folder, which may change meanwhile."""
    total = 0
    for path, _, files in os.walk(folder):
        for name in files:
            try:
                total += os.lstat(os.path.join(path, name)).st_size
            except FileNotFoundError:
                continue
    return total / 1e6


def has_driver() -> bool:
    """True if an NVIDIA driver is installed."""
    return shutil.which("nvidia-smi") is not None


def torch_index() -> list[str]:
    """Arguments of pip that choose the build of torch."""
    named = os.environ.get("TORCH_INDEX")
    if named is not None:
        return ["--extra-index-url", named] if named else []
    if sys.platform == "darwin" or has_driver():
        return []
    try:
        urllib.request.urlopen(f"{CPU_INDEX}/torch/", timeout=3).close()
    except OSError:
        return []
    return ["--extra-index-url", CPU_INDEX]


def pip(*arguments: str, progress: Progress) -> None:
    """Run pip and report its progress; exit with its output if it fails."""
    command = [sys.executable, "-m", "pip", "--disable-pip-version-check", "install", *arguments]
    process = subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, cwd=ROOT
    )
    ended = threading.Event()

    def report() -> None:
        while not ended.wait(0.2):
            progress.show()

    reporter = threading.Thread(target=report, daemon=True)
    reporter.start()
    lines = []
    assert process.stdout is not None
    for line in process.stdout:
        lines.append(line)
        progress.read(line)
    ended.set()
    reporter.join()
    if process.wait():
        sys.stderr.write("\n" + "".join(line for line in lines if "Progress " not in line))
        sys.exit(process.returncode)


def main() -> None:
    """Upgrade pip, whose progress is read, then install the project with the extras named."""
    extras = f"[{','.join(sys.argv[1:])}]" if sys.argv[1:] else ""
    index = torch_index()
    progress = Progress(*SIZES[sys.platform == "linux" and has_driver()])
    progress.show()
    pip("--quiet", "--upgrade", "pip>=24.1", progress=progress)
    options = ("--progress-bar", "raw", "--no-compile", "-c", "constraints.txt")
    pip(*options, *index, "-e", f".{extras}", progress=progress)
    clear = "\r\033[K" if sys.stderr.isatty() else ""
    passed = words(time.monotonic() - progress.start)
    print(f"{clear}install 100%  done in {passed}", file=sys.stderr)


if __name__ == "__main__":
    main()
