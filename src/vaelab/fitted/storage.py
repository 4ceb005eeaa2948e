"""Fitted prior: its estimator, its quality, and its two files in a run's folder.

priors/NAME.safetensors   tensors
priors/NAME.json          name and settings of the estimator, figures, fingerprint of the model
"""

from __future__ import annotations

import hashlib
import re
import shlex
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, cast

import torch
from safetensors.torch import save
from torch import Tensor

from vaelab.core import VAE, Condition, Conditional, Site, fork_rng
from vaelab.distributions import OneHotCategorical, UniformCodes
from vaelab.fitted.base import PRIOR_ESTIMATORS, PriorEstimator, nats, rebuild
from vaelab.utils import atomic_files, size_budget
from vaelab.utils.progress import ProgressCallback, no_progress
from vaelab.utils.readers import reading
from vaelab.version import __version__

FORMAT = 1


@dataclass(frozen=True, eq=False)
class Fitted:
    """Prior fitted to the codes of a model.

    Attributes:
        kind: estimator, with all settings that depend on the codes chosen.
        prior: prior of the model's first latent.
        model: fingerprint of the weights whose codes it was fitted to.
        figures: `nats`, −log p(z) of a held-out code under it; `own_nats`, under the model's own
            prior; the numbers of `codes` and `held_out` codes, and the `seed`.
    """

    kind: PriorEstimator
    prior: Conditional
    model: str
    figures: dict[str, Any]


def fit_codes(
    kind: PriorEstimator,
    model: VAE,
    codes: Tensor,
    held_out: Tensor,
    seed: int = 0,
    progress: ProgressCallback = no_progress,
    condition: Condition = (),
) -> Fitted:
    """Fit a prior to draws of a model's first latent.

    Args:
        kind: estimator.
        model: model of the latent.
        codes: draws of q(z|x), one per training example, (N, …); on the model's device.
        held_out: draws for validation data, (M, …), likewise.
        seed: seed of all draws; the caller's random state is left alone.
        progress: progress callback.
        condition: any condition of a conditional model, (1, C); () for any other.

    Raises:
        ValueError: if there are too few codes.
    """
    with fork_rng(seed, codes.device):
        site = first_site(model, condition)
        check_sort(kind, site)
        kind, prior = kind.fit(site, codes, held_out, progress)
        prior = prior.eval().requires_grad_(False).to(codes.device)
        figures = {
            "nats": nats(prior(), held_out),
            "own_nats": nats(site.prior, held_out),
            "codes": len(codes),
            "held_out": len(held_out),
            "seed": seed,
        }
    return Fitted(kind, prior.cpu(), fingerprint(model), figures)


def check_sort(kind: PriorEstimator, site: Site) -> None:
    """Check that an estimator is for this kind of latent.

    Raises:
        ValueError: if the latent consists of codes but the estimator is for real numbers, or vice
            versa.
    """
    if kind.of_codes != isinstance(site.prior, UniformCodes | OneHotCategorical):
        made = "real numbers" if kind.of_codes else "codes or classes"
        fitting = [name for name, cls in PRIOR_ESTIMATORS.items() if cls.of_codes != kind.of_codes]
        raise ValueError(
            f"the latent consists of {made}, but {kind.name} is for others; there is "
            f"{', '.join(fitting)}"
        )


@torch.no_grad()
def first_site(model: VAE, condition: Condition = ()) -> Site:
    """First latent of one generated example, under a condition (1, C) if the model has one."""
    return model.sample(1, condition=condition).sites[0]


def fingerprint(model: VAE) -> str:
    """Hash of a model's weights, which no other model or training has."""
    digest = hashlib.sha256()
    for name, t in sorted(model.state_dict().items()):
        digest.update(name.encode())
        digest.update(t.detach().cpu().contiguous().view(-1).view(torch.uint8).numpy())
    return digest.hexdigest()


def keep(fitted: Fitted, folder: Path, name: str) -> Path:
    """Save a prior under a name, both files or neither; return the path of its tensors.

    Raises:
        ValueError: if the name is not a plain one.
    """
    check_name(name)
    folder.mkdir(parents=True, exist_ok=True)
    about = {
        "format": FORMAT,
        "vaelab": __version__,
        "kind": fitted.kind.name,
        "settings": asdict(cast(Any, fitted.kind)),
        "model": fitted.model,
        "figures": fitted.figures,
    }
    with atomic_files.together(folder) as staged:
        atomic_files.write(staged / f"{name}.safetensors", save(fitted.prior.state_dict()))
        atomic_files.write_json(staged / f"{name}.json", about)
    return folder / f"{name}.safetensors"


def names(folder: Path) -> list[str]:
    """Names of the priors in a folder."""
    return sorted(path.stem for path in folder.glob("*.json"))


def find(folder: Path, name: str, model: VAE, condition: Condition = ()) -> Fitted:
    """Read the prior of a name, fitted to the codes of this model; `condition` as in `fit_codes`.

    Raises:
        FileNotFoundError: if there is none, with the existing names.
        ValueError: if a file is damaged or foreign, or was fitted to other weights.
    """
    check_name(name)
    path = folder / f"{name}.json"
    if not path.is_file():
        there = f"there is {', '.join(names(folder))}" if names(folder) else "none is there"
        raise FileNotFoundError(
            f"{folder.parent} has no fitted prior {name!r}, {there}; "
            f"`vaelab fit-prior KIND {shlex.quote(str(folder.parent))}` fits one"
        )
    about = atomic_files.read_json(path)
    needed = {"format": int, "kind": str, "settings": dict, "model": str, "figures": dict}
    has = about if isinstance(about, dict) else {}
    if wrong := [key for key, type_ in needed.items() if not isinstance(has.get(key), type_)]:
        raise ValueError(
            f"{path} does not describe a prior: {', '.join(wrong)} is missing or of another type"
        )
    if about["format"] != FORMAT:
        raise ValueError(f"{path} has format {about['format']!r}; this version reads {FORMAT}")
    if about["model"] != fingerprint(model):
        again = shlex.join(
            ["vaelab", "fit-prior", about["kind"], str(folder.parent), "--name", name]
        )
        raise ValueError(
            f"{path} was fitted to the codes of other weights than the run has now; fit it again "
            f"with `{again} --overwrite`"
        )
    tensors = path.with_name(f"{name}.safetensors")
    with reading(path, "fitted prior", named=True):
        kind = rebuild(about["kind"], about["settings"])
        site = first_site(model, condition)
        with fork_rng(0), size_budget.within(tensors):
            prior = kind.build(site).eval().requires_grad_(False)
    atomic_files.load_weights(prior, tensors, "prior")
    return Fitted(kind, prior, about["model"], about["figures"])


def check_name(name: str) -> None:
    """Reject a name that could refer to another folder.

    Raises:
        ValueError: if it has characters other than letters, digits, -, _ and inner dots.
    """
    if not re.fullmatch(r"[A-Za-z0-9_][A-Za-z0-9_.-]*", name):
        raise ValueError(f"{name!r} is not a valid name of a prior; use letters, digits, - and _")
