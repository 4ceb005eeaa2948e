"""One file from the internet into its place: tried again, checked, and moved there whole.

The wait before try k is pause · 2ᵏ⁻¹. Nothing appears under the final name until its check has
passed; what fails is deleted.
"""

import http.client
import os
import tempfile
import time
import urllib.request
from collections.abc import Callable, Sequence
from pathlib import Path

_BLOCK = 1 << 16


def fetch(
    urls: Sequence[str],
    target: Path,
    check: Callable[[Path], None],
    *,
    tries: int = 3,
    pause: float = 1.0,
    timeout: float = 30.0,
) -> None:
    """Download a file from the first of several homes that gives it whole.

    Args:
        urls: addresses; each is tried in every round.
        target: path of the file; its folder is made if need be.
        check: raises ValueError if the file it is given is not the expected one.
        tries: rounds.
        pause: seconds before the second round, doubled before each further one.
        timeout: seconds without an answer after which a home is given up.

    Raises:
        FileNotFoundError: if no home gave a file that passed; says what to put where.
    """
    reason = ""
    for k in range(tries):
        if k:
            time.sleep(pause * 2 ** (k - 1))
        for url in urls:
            try:
                _once(url, target, check, timeout)
            except (OSError, http.client.HTTPException, ValueError) as error:
                reason = f"{url}: {error}"
            else:
                return
    raise FileNotFoundError(
        f"{target.name} is not at {target} and could not be fetched ({reason}). Check the "
        f"connection and try again, or download {urls[0]} by hand and put it at {target}; another "
        "folder of known data can be named with --data-dir or VAELAB_DATA"
    )


def _once(url: str, target: Path, check: Callable[[Path], None], timeout: float) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    descriptor, name = tempfile.mkstemp(dir=target.parent, prefix=".fetch-", suffix=target.suffix)
    partial = Path(name)
    try:
        with os.fdopen(descriptor, "wb") as file:
            _stream(url, target.name, file.write, timeout)
        check(partial)
        os.replace(partial, target)
    finally:
        partial.unlink(missing_ok=True)


def _stream(url: str, name: str, write: Callable[[bytes], object], timeout: float) -> None:
    from rich.console import Console
    from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn

    console = Console(stderr=True)
    columns = (TextColumn(name), BarColumn(), DownloadColumn(), TimeRemainingColumn())
    request = urllib.request.Request(url, headers={"User-Agent": "vaelab"})
    with (
        urllib.request.urlopen(request, timeout=timeout) as answer,
        Progress(*columns, console=console, disable=not console.is_terminal) as bar,
    ):
        length = answer.headers.get("Content-Length")
        expected = int(length) if length else None
        task = bar.add_task(name, total=expected)
        seen = 0
        while block := answer.read(_BLOCK):
            write(block)
            seen += len(block)
            bar.update(task, completed=seen)
    if expected is not None and seen != expected:
        raise ValueError(f"{seen:,} bytes came; {expected:,} were announced")
