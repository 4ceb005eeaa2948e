"""Trains every image recipe on MNIST for a small, equal budget, and pythae's beside them.

    python benchmarks/zoo.py [--epochs 3] [--only vae vamp pythae:VAE …] [--report]

Every contestant has a process of its own and the same perceptron (784-512-512-16-512-512-784,
unless a recipe is made otherwise), batch 128, binarization anew at every visit and a learning rate
that falls from 0.002 as a cosine (vaelab's by the step, pythae's by the epoch).
Keeps what it finds in bench/zoo.json, so that it can be broken off and taken up again, and writes
docs/zoo.md: what each recipe is, from the code, and what it reached, from this run.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent))

from speed import machine
from speed.places import BENCH, ROOT, environment, pythae_python
from zoo_jobs.judge import Judge
from zoo_jobs.page import page

import vaelab.recipes  # noqa: F401  (its functions register themselves)
from vaelab.recipes.registry import RECIPES

FOUND, PAGE = BENCH / "zoo.json", ROOT / "docs" / "zoo.md"
COUNT, LIMIT = 2_500, 3_600
UNTAUGHT = ("kl_only", "reconstruction_only")
"""One term of the ELBO alone: shown by `vaelab understand`, not a model to choose."""

WEIGHED = "beta_vae@2"
"""β-VAE between the VAE and the zoo's own at β = 4: what others are held to at equal distortion."""

THEIRS = {
    "vae": "VAE",
    "beta_vae": "BetaVAE",
    "ae": "AE",
    "iwae": "IWAE",
    "miwae": "MIWAE",
    "ciwae": "CIWAE",
    "vamp": "VAMP",
    "iaf": "VAE_IAF",
    "planar": "VAE_LinNF",
    "beta_tc": "BetaTCVAE",
    "factor_vae": "FactorVAE",
    "info_vae": "INFOVAE_MMD",
    "wae_mmd": "WAE_MMD",
    "wae_gan": "Adversarial_AE",
    "rae": "RAE_L2",
}
"""pythae's counterparts by recipe."""


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--epochs", type=int, default=3)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--threads", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--only", nargs="+", metavar="NAME", help="recipes, or pythae:MODEL")
    parser.add_argument("--again", action="store_true", help="also what was found before")
    parser.add_argument("--report", action="store_true", help="only write the page anew")
    options = parser.parse_args()
    names = [name for name in RECIPES if name not in UNTAUGHT]
    names += [WEIGHED, *(f"pythae:{name}" for name in THEIRS.values())]
    chosen = options.only or names
    if unknown := sorted(set(chosen) - set(names)):
        parser.error(f"there is no {', '.join(unknown)}; there is {', '.join(names)}")
    found: dict[str, Any] = json.loads(FOUND.read_text()) if FOUND.exists() else {}
    key = {"epochs": options.epochs, "seed": options.seed}
    if found.get("settings") != key:
        found = {"settings": key, "rows": {}}
    if not options.report:
        judge = Judge(COUNT)
        for name in chosen:
            if name in found["rows"] and not options.again:
                continue
            found["rows"][name] = row = contest(name, judge, options)
            found["machine"] = machine.describe()
            FOUND.parent.mkdir(exist_ok=True)
            FOUND.write_text(json.dumps(found, indent=1))
            print(name, json.dumps(row), file=sys.stderr)
    PAGE.write_text(page(found, THEIRS, [n for n in RECIPES if n not in UNTAUGHT]))
    return 0


def contest(name: str, judge: Judge, options: argparse.Namespace) -> dict[str, Any]:
    """Trains one contestant and judges it; what failed says why."""
    theirs = name.startswith("pythae:")
    python = pythae_python() if theirs else Path(sys.executable)
    job = {"job": "train", "epochs": options.epochs, "seed": options.seed, "count": COUNT}
    plain, _, beta = name.split(":")[-1].partition("@")
    job |= {"threads": options.threads} | {"model" if theirs else "recipe": plain}
    job |= {"arguments": {"beta": float(beta)} if beta else {}}
    with tempfile.TemporaryDirectory() as folder:
        done = subprocess.run(
            [
                python,
                "-m",
                f"zoo_jobs.{'theirs' if theirs else 'ours'}",
                json.dumps(job | {"folder": folder}),
            ],
            env=environment(options.threads),
            capture_output=True,
            text=True,
            timeout=LIMIT,
            check=False,
        )
        if done.returncode:
            said = done.stderr.strip().splitlines() or [f"exit status {done.returncode}"]
            return {"failed": said[-1][:200]}
        record: dict[str, Any] = json.loads(done.stdout.strip().splitlines()[-1])
        scores = {prior: judge(path) for prior, path in record.pop("samples").items()}
    return record | {"samples": scores}


if __name__ == "__main__":
    sys.exit(main())
