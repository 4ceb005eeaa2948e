"""−ELBO of a perceptron VAE on the dynamically binarized MNIST test set, through the command line.

    python benchmarks/mnist_elbo.py [--epochs 10] [--latent 32] [--target 101]

Runs `vaelab train vae --data mnist` and `vaelab evaluate` as a user would, each in a process of its
own, prints the figures, and exits with 1 where −ELBO is above the target.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--epochs", type=int, default=10)
    parser.add_argument("--latent", type=int, default=32)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--samples", type=int, default=100, help="K of the importance-weighted NLL")
    parser.add_argument("--target", type=float, default=101.0, help="nats of −ELBO to stay below")
    options = parser.parse_args()
    vaelab = [sys.executable, "-m", "vaelab"]
    with tempfile.TemporaryDirectory() as folder:
        run = str(Path(folder) / "run")
        started = time.perf_counter()
        settings = {"latent": options.latent, "epochs": options.epochs, "seed": options.seed}
        flags = [word for name, value in settings.items() for word in (f"--{name}", str(value))]
        subprocess.run(
            [*vaelab, "train", "vae", "--data", "mnist", "--out", run, *flags],
            check=True,
            stdout=subprocess.DEVNULL,
        )
        trained = time.perf_counter() - started
        found = subprocess.run(
            [*vaelab, "evaluate", run, "--json", "--samples", str(options.samples)],
            check=True,
            stdout=subprocess.PIPE,
            text=True,
        )
    figures = json.loads(found.stdout)
    print(
        f"MNIST test set, dynamically binarized, latent {options.latent}, {options.epochs} epochs"
    )
    print(f"  −ELBO         {figures['neg_elbo']:.2f} ± {figures['neg_elbo_se']:.2f} nats")
    print(f"  rate          {figures['rate']:.2f} nats")
    print(f"  distortion    {figures['distortion']:.2f} nats")
    print(f"  NLL (K = {options.samples}) {figures['nll']:.2f} ± {figures['nll_se']:.2f} nats")
    print(f"  whole process of training: {trained:.0f} s")
    reached = figures["neg_elbo"] <= options.target
    print(f"  at most {options.target:g} nats: {'yes' if reached else 'NO'}")
    return 0 if reached else 1


if __name__ == "__main__":
    sys.exit(main())
