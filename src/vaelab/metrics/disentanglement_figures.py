r"""Disentanglement metrics of codes against known factors of variation, with standard errors.

Codes are means of q(z|x); their information on the factors is counted in bins
(`disentanglement_information`), learned by predictors (`disentanglement_predictors`) and voted upon
(`disentanglement_votes`), on 10,000 points at most.

Every seed cuts the points into two halves at random. Figures of counts and votes are of all points;
those of predictors learn on one half and are judged on the other, both ways, and are averaged. With
θ_A and θ_B the figure of either half,

    se² = mean over seeds of (θ_A − θ_B)² / 4

widened by Student's factor for so few: halves share nothing, and a figure's variance falls as 1/N.
That of V votes does not: p (1 − p) / 2V of it is taken off, and p (1 − p) / VS, theirs in a mean
over S seeds, put in its place. The standard error covers the choice of points and the draws of
forests and votes. It does not cover the training of the model, whose seeds often differ by more,
nor what the figure owes to its bins or its predictor.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from vaelab.metrics import disentanglement_information as counts
from vaelab.metrics import disentanglement_predictors as learned
from vaelab.metrics.disentanglement_votes import VOTES, factor_vae_score
from vaelab.metrics.estimate import Estimate
from vaelab.metrics.inputs import in_double, rows

POINTS, SEEDS = 10_000, 5
DEAD = 0.05
VOTED = ("factor_vae",)
FEW = 20
"""Points that must differ from a factor's commonest value for it to be a factor at all."""
OFTEN = 4
"""Points that a value of a factor must have, on average: it is learned from half of them."""


@dataclass(frozen=True, eq=False)
class Disentanglement:
    """Disentanglement metrics of one set of codes and factors.

    Attributes:
        figures: mig, dci_disentanglement, dci_completeness, dci_informativeness, sap, factor_vae,
            modularity, explicitness, infom, infoc, infoe; those there are.
        information: I(z_j; v_f) in nats, (D, F'); 0 for dead latents.
        importances: importance of latent j in predicting factor f, (D, F'); 0 for dead latents.
        live: (D,), bool, the latents that were looked at.
        factors: names of the F' factors that vary.
        facts: settings that the figures depend on, as JSON values.
        notes: sentences on latents and factors that were left out, with the reason.
    """

    figures: dict[str, Estimate]
    information: Tensor
    importances: Tensor
    live: Tensor
    factors: tuple[str, ...]
    facts: dict[str, Any]
    notes: tuple[str, ...]


def disentanglement(
    codes: Tensor,
    factors: Tensor,
    names: tuple[str, ...] | None = None,
    ordered: tuple[bool, ...] | None = None,
    *,
    dead_below: float | None = DEAD,
    seeds: int = SEEDS,
    seed: int = 0,
) -> Disentanglement:
    """All figures of codes against factors; the same whatever the order of the points.

    Args:
        codes: means of q(z|x), (N, D), N of at least 100.
        factors: class indices from 0, (N, F), whole numbers.
        names: names of the factors; None: factor 1, factor 2, …
        ordered: True for each factor with ordered values; None: none has.
        dead_below: latents whose variance over the points is below are dead, and left out (0.05,
            1802.05983, for codes whose prior has variance 1). None: the codes have no scale of
            their own, as an autoencoder's, and only latents that are constant are left out.
        seeds: random cuts of the points, and seeds of forests and votes.
        seed: first of these seeds.

    Raises:
        TypeError: for codes that are no floats, or factors that are no whole numbers.
        ValueError: for shapes that do not fit, too few points, or no factor that varies.
    """
    z, v = _checked(codes, factors)
    names = names or tuple(f"factor {f + 1}" for f in range(v.shape[1]))
    ordered = ordered or (False,) * v.shape[1]
    if not len(names) == len(ordered) == v.shape[1]:
        raise ValueError(
            f"{v.shape[1]} factors have {len(names)} names, and {len(ordered)} of them say whether "
            "they are ordered"
        )
    if seeds < 1:
        raise ValueError(f"seeds is {seeds}; it must be 1 or more")
    z, v = _points(z, v, seed)
    faults = [_fault(column) for column in v.unbind(dim=1)]
    varied = [f for f, fault in enumerate(faults) if not fault]
    told = [f"{name} {fault}" for name, fault in zip(names, faults, strict=True) if fault]
    if not varied:
        raise ValueError(f"no factor can be set beside the {len(v):,} points: {'; '.join(told)}")
    notes = [f"{fault}: left out." for fault in told]
    v, kept = v[:, varied], tuple(names[f] for f in varied)
    live, note = _live(z, dead_below)
    facts: dict[str, Any] = {
        "points": len(z),
        "seeds": seeds,
        "bins": counts.BINS,
        "regressor": learned.FOREST,
        "votes": VOTES,
        "dead_below": dead_below,
        "factors": list(kept),
    }
    information, importances = torch.zeros(2, z.shape[1], len(kept), dtype=torch.float64)
    notes += [note] if note else []
    figures: dict[str, Estimate] = {}
    if bool(live.any()):
        z = z[:, live]
        information[live] = counts.mutual_information(counts.binned(z), v)
        figures, importances[live] = _figures(z, v, [ordered[f] for f in varied], seeds, seed)
        facts["guess"] = _guess(v)
    else:
        notes.append("Every latent is dead: there is nothing to score.")
    if len(kept) == 1:
        notes.append("With one factor, no latent can be at another's service: completeness alone.")
    return Disentanglement(figures, information, importances, live, kept, facts, tuple(notes))


def _fault(values: Tensor) -> str:
    """Reason to leave out a factor with these values (N,); empty if there is none."""
    seen = values.bincount()
    if len(values) - int(seen.max()) < FEW:
        return "hardly varies"
    different = int((seen > 0).sum())
    return (
        f"has {different:,} values, too many to tell apart"
        if different * OFTEN > len(values)
        else ""
    )


def _figures(
    z: Tensor, v: Tensor, ordered: list[bool], seeds: int, seed: int
) -> tuple[dict[str, Estimate], Tensor]:
    """All figures of live latents and factors that vary, and mean importances (D, F)."""
    n, several = len(z), v.shape[1] > 1
    whole, halves, importances = [], [], []
    for cut in range(seed, seed + seeds):
        generator = torch.Generator().manual_seed(cut)
        order = torch.randperm(n, generator=generator)
        a, b = order[: n // 2], order[n // 2 :]
        whole.append(_counted(z, v, generator))
        pair = []
        for mine, other in ((a, b), (b, a)):
            figures, importance = _predicted(
                z[mine], v[mine], z[other], v[other], tuple(ordered), cut
            )
            pair.append(_counted(z[mine], v[mine], generator) | figures)
            importances.append(importance)
        halves.append(pair)
    # Student's factor: 95% shall lie within 1.96 standard errors, however few the cuts.
    from scipy.stats import t

    wider = float(t.ppf(0.975, seeds)) / 1.96
    needs_two = () if several else ("factor_vae", "modularity", "infom", "dci_disentanglement")
    found = {}
    for name in (name for name in halves[0][0] if name not in needs_two):
        sides = np.array([[half[name] for half in pair] for pair in halves])
        all_points = [run[name] for run in whole if name in run]
        value = float(np.mean(all_points or sides))
        variance = float(np.mean(np.diff(sides) ** 2)) / 4
        if name in VOTED:
            variance -= value * (1 - value) / VOTES * (1 / 2 - 1 / seeds)
        found[name] = Estimate(value, wider * math.sqrt(max(variance, 0.0)), n)
    for name, items in (("factor_vae", seeds * VOTES), ("dci_informativeness", n * v.shape[1])):
        if name in found:
            found[name] = _never_certain(found[name], items)
    return found, torch.stack(importances).mean(dim=0)


def _counted(z: Tensor, v: Tensor, generator: torch.Generator) -> dict[str, float]:
    bins, entropy = counts.binned(z), counts.entropies(v)
    told = counts.beyond_chance(bins, v, generator)
    return {
        "mig": counts.mig(counts.mutual_information(bins, v), entropy),
        "factor_vae": factor_vae_score(z, v, generator),
        "modularity": counts.modularity(told),
        "infom": counts.infom(told, entropy),
        "infoc": counts.infoc(told, entropy),
    }


def _predicted(
    z: Tensor, v: Tensor, others: Tensor, truth: Tensor, ordered: tuple[bool, ...], seed: int
) -> tuple[dict[str, float], Tensor]:
    importances, hits = learned.forests(z, v, others, truth, seed)
    explicit, informed = learned.logistic(z, v, others, truth)
    figures = {
        "dci_disentanglement": learned.dci_disentanglement(importances),
        "dci_completeness": learned.dci_completeness(importances),
        "dci_informativeness": float(hits.double().mean()),
        "sap": learned.sap(z, v, others, truth, ordered),
        "explicitness": explicit,
        "infoe": informed,
    }
    return figures, importances


def _never_certain(share: Estimate, items: int) -> Estimate:
    hits = torch.arange(items) < round(share.value * items)
    return Estimate(share.value, max(share.se, Estimate.share(hits).se), share.n)


def _guess(v: Tensor) -> float:
    """Accuracy of always naming a factor's commonest value, averaged over factors."""
    return float(np.mean([int(f.bincount().max()) / len(f) for f in v.unbind(dim=1)]))


def _checked(codes: Tensor, factors: Tensor) -> tuple[Tensor, Tensor]:
    z = in_double(rows(codes.detach(), "codes")).cpu()
    if factors.is_floating_point() or factors.ndim != 2 or len(factors) != len(z):
        raise ValueError(
            f"factors should be whole numbers (N, F), a row for each of {len(z):,} codes; got "
            f"{factors.dtype} {tuple(factors.shape)}"
        )
    if len(z) < 100:
        raise ValueError(f"{len(z)} points are too few to tell; give at least 100")
    if int(factors.min()) < 0:
        raise ValueError("factors are class indices from 0; a negative one was seen")
    return z, factors.cpu().long()


def _points(z: Tensor, v: Tensor, seed: int) -> tuple[Tensor, Tensor]:
    """At most 10,000 points at random, in an order that does not depend on theirs."""
    keys = np.concatenate([z.numpy(), v.numpy()], axis=1)
    order = torch.from_numpy(np.lexsort(keys.T))
    if len(order) > POINTS:
        generator = torch.Generator().manual_seed(seed)
        order = order[torch.randperm(len(order), generator=generator)[:POINTS].sort().values]
    return z[order], v[order]


def _live(z: Tensor, dead_below: float | None) -> tuple[Tensor, str]:
    spread = z.var(dim=0)
    if dead_below is None:
        return spread > 0, "Nothing sets the scale of these codes: no latent was taken for dead."
    live = spread >= dead_below
    dead = int((~live).sum())
    note = f"{dead} of {len(live)} latents are dead (variance below {dead_below:g}): left out."
    return live, note if dead else ""
