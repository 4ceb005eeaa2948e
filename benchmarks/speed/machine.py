"""What was measured on: the processor and the versions, without a name or a path."""

from __future__ import annotations

import importlib.metadata
import os
import platform
import re
import subprocess
import sys
from pathlib import Path

import torch

INSTRUCTIONS = ("avx2", "avx512f", "avx512_bf16", "avx512_fp16", "amx_bf16")
_PACKAGES = ("torch", "numpy", "pydantic", "pythae")


def describe() -> dict[str, str]:
    """Processor, cores, memory, instruction sets, system."""
    cpu = _read("/proc/cpuinfo")
    model = re.search(r"^model name\s*:\s*(.+)$", cpu, re.M)
    flags = re.search(r"^flags\s*:\s*(.+)$", cpu, re.M)
    memory = re.search(r"^MemTotal:\s*(\d+)", _read("/proc/meminfo"), re.M)
    has = flags[1].split() if flags else []
    gpu = torch.cuda.get_device_name() if torch.cuda.is_available() else ""
    return {
        "processor": model[1] if model else platform.processor() or platform.machine(),
        "cores": str(os.cpu_count()),
        "memory": f"{int(memory[1]) / 2**20:.0f} GiB" if memory else "unknown",
        "instruction sets": ", ".join(name for name in INSTRUCTIONS if name in has) or "unknown",
        "system": f"{platform.system()} {platform.machine()}, Python {platform.python_version()}",
    } | ({"accelerator": gpu} if gpu else {})


def versions(pythae: Path | None) -> dict[str, str]:
    """vaelab's torch and numpy, and the same of pythae's environment."""
    found = {f"vaelab with {n}": importlib.metadata.version(n) for n in ("torch", "numpy")}
    if pythae is not None:
        code = "import importlib.metadata as m, sys; [print(m.version(n)) for n in sys.argv[1:]]"
        out = subprocess.run(
            [pythae, "-c", code, *_PACKAGES], check=True, stdout=subprocess.PIPE, text=True
        )
        found |= {
            f"pythae with {name}" if name != "pythae" else name: version
            for name, version in zip(_PACKAGES, out.stdout.split(), strict=True)
        }
    return found


def load() -> float:
    """Processes running, averaged over a minute; others than ours make figures doubtful."""
    return os.getloadavg()[0] if sys.platform != "win32" else float("nan")


def _read(path: str) -> str:
    return Path(path).read_text() if Path(path).exists() else ""
