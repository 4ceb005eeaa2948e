"""The README's pair of maps: an autoencoder's codes and a VAE's, in one frame.

    vaelab understand --data mnist --out why
    python benchmarks/readme_maps.py why/runs [--out docs/images]

Both are of the same training rows and on the same axes, which hold all but the outermost codes.
"""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path

from vaelab import plots
from vaelab.data.command_inputs import reload
from vaelab.runs.load import load
from vaelab.understand.benchmark import encode
from vaelab.understand.maps import SHOWN, frame
from vaelab.understand.study import FLAT, key


def main() -> None:
    """Draws them."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("runs", type=Path)
    parser.add_argument("--out", type=Path, default=Path("docs/images"))
    given = parser.parse_args()
    runs = {model: load(given.runs / key(model, FLAT)) for model in ("ae", "vae")}
    spec = runs["vae"].spec
    train = reload(spec)[0]
    grey = replace(spec, binarize="no").prepare(train.x[:SHOWN])
    clouds = {model: encode(run, grey) for model, run in runs.items()}
    extent = frame(*(cloud.mu for cloud in clouds.values()))
    labels = None if train.y is None else train.y[:SHOWN].numpy()
    for model, cloud in clouds.items():
        sigma = None if cloud.is_points else cloud.sigma.numpy()
        drawn = plots.latent_map(cloud.mu.numpy(), sigma, labels, spec.classes, extent=extent)
        print(plots.save(drawn, given.out / f"map-{model}.png"))


if __name__ == "__main__":
    main()
