"""One latent and a standard normal prior, with objectives other than D + β R.

Each differs from the VAE in its objective alone, except for three that set a posterior to match
(DReG, PIWAE and the regularised autoencoder).
"""

from __future__ import annotations

from typing import Literal, cast

from vaelab.core import Shallow
from vaelab.data import DataSpec
from vaelab.objectives import (
    MMD,
    Capacity,
    CodeNorm,
    CombinedBound,
    Constraint,
    Cycles,
    DecoderPenalty,
    Diagonal,
    Distortion,
    DoublyReparameterised,
    FreeBits,
    MultiplyImportanceWeighted,
    NormPenalisedPoint,
    OffDiagonal,
    PartiallyImportanceWeighted,
    Rate,
    ReweightedPosterior,
    Rise,
    Schedule,
    SplitRate,
    StructuralDistortion,
)
from vaelab.objectives.regularise import Penalty, gradient_norm, weight_norm
from vaelab.parts.posteriors import DiagonalNormal, Point
from vaelab.recipes.building import check_weights, shallow, weighed
from vaelab.recipes.design import Design
from vaelab.recipes.registry import Built, recipe


@recipe
def annealed(
    data: DataSpec,
    latent: int = 16,
    beta: float = 1.0,
    schedule: Literal["linear", "cyclical"] = "linear",
    warmup_fraction: float = 0.5,
    cycles: int = 4,
    design: Design = Design(),
) -> Built:
    """The β-VAE whose β rises from 0, once (1511.06349) or again and again (1903.10145).

    Good for strong decoders that would otherwise ignore z from the start.

    Args:
        data: data to model.
        latent: dimensions of z, at least 1.
        beta: final weight of the rate, under which models are evaluated; at least 0.
        schedule: linear rises once, cyclical starts over.
        warmup_fraction: share of training, or of a cycle, that a rise takes.
        cycles: number of cycles of a cyclical schedule.
        design: networks and likelihood.
    """
    check_weights(beta=beta)
    schedules: dict[str, Schedule] = {
        "linear": Rise(0.0, beta, warmup_fraction),
        "cyclical": Cycles(beta, cycles, warmup_fraction),
    }
    objective = Distortion() + schedules[schedule] * Rate()
    return shallow(data, latent, DiagonalNormal(), objective, design)


@recipe
def capacity(
    data: DataSpec,
    latent: int = 16,
    capacity: float = 25.0,
    gamma: float = 2.0,
    warmup_fraction: float = 0.5,
    design: Design = Design(),
) -> Built:
    """The β-VAE of a stated rate, which rises from 0: D + γ |R − C(t)| (Burgess 1804.03599).

    Good for a rate that is chosen beforehand.

    Args:
        data: data to model.
        latent: dimensions of z, at least 1.
        capacity: C at the end, nats an example, at least 0.
        gamma: weight of the distance from C; above 1, or a rate beyond C may still pay.
        warmup_fraction: share of training that C rises for.
        design: networks and likelihood.
    """
    if not capacity >= 0:
        raise ValueError(f"capacity is {capacity}; a rate is 0 or more")
    check_weights(gamma=gamma)
    objective = Distortion() + gamma * Capacity(Rise(0.0, capacity, warmup_fraction))
    return shallow(data, latent, DiagonalNormal(), objective, design)


@recipe
def free_bits(
    data: DataSpec,
    latent: int = 16,
    free: float = 0.25,
    groups: int | None = None,
    design: Design = Design(),
) -> Built:
    """The VAE that gains nothing by a rate below λ nats a group (Kingma 1606.04934).

    Good for keeping latents alive that would be given up early.

    Args:
        data: data to model.
        latent: dimensions of z, at least 1.
        free: λ, nats a group, at least 0.
        groups: number of equal groups of latents; each latent is its own if not given.
        design: networks and likelihood.
    """
    if groups is not None and (groups < 1 or latent % groups):
        raise ValueError(f"{latent} latents cannot be cut into {groups} equal groups")
    return shallow(data, latent, DiagonalNormal(), Distortion() + FreeBits(free, groups), design)


@recipe
def geco(
    data: DataSpec, latent: int = 16, distortion: float = 0.1, design: Design = Design()
) -> Built:
    """The VAE of a stated distortion, at the least rate that allows it (GECO, 1810.00597).

    Good for an error that is chosen beforehand.

    Args:
        data: data to model.
        latent: dimensions of z, at least 1.
        distortion: target distortion, nats per number of an example.
        design: networks and likelihood.
    """
    objective = Rate() + Constraint(Distortion(), distortion * data.dims)
    return shallow(data, latent, DiagonalNormal(), objective, design)


@recipe
def dreg(data: DataSpec, latent: int = 16, samples: int = 10, design: Design = Design()) -> Built:
    """The importance-weighted autoencoder with a less noisy gradient (DReG, 1810.04152).

    Good for the uses of iwae, with an encoder that still learns at a large K.

    Args:
        data: data to model.
        latent: dimensions of z, at least 1.
        samples: K, at least 1; at 1 the ELBO, sticking the landing (1703.09194).
        design: networks and likelihood.
    """
    built = shallow(data, latent, DiagonalNormal(), DoublyReparameterised(samples), design)
    return _reweighted(built)


@recipe
def miwae(
    data: DataSpec,
    latent: int = 16,
    bounds: int = 2,
    samples_each: int = 5,
    design: Design = Design(),
) -> Built:
    """The mean of M importance-weighted bounds of K draws each (MIWAE, 1802.04537).

    Good for a middle way between the VAE's encoder and the IWAE's decoder.

    Args:
        data: data to model.
        latent: dimensions of z, at least 1.
        bounds: M, at least 1.
        samples_each: K, at least 1.
        design: networks and likelihood.
    """
    objective = MultiplyImportanceWeighted(bounds, samples_each)
    return shallow(data, latent, DiagonalNormal(), objective, design)


@recipe
def piwae(
    data: DataSpec,
    latent: int = 16,
    bounds: int = 2,
    samples_each: int = 5,
    design: Design = Design(),
) -> Built:
    """A decoder under the bound of M·K draws, an encoder under MIWAE(M, K) (PIWAE, 1802.04537).

    Good for the uses of iwae, with an encoder trained by more and looser bounds.

    Args:
        data: data to model.
        latent: dimensions of z, at least 1.
        bounds: M, at least 1.
        samples_each: K, at least 1.
        design: networks and likelihood.
    """
    objective = PartiallyImportanceWeighted(bounds, samples_each)
    return _reweighted(shallow(data, latent, DiagonalNormal(), objective, design))


@recipe
def ciwae(
    data: DataSpec,
    latent: int = 16,
    samples: int = 10,
    share: float = 0.05,
    design: Design = Design(),
) -> Built:
    """A share of the ELBO and the rest of the importance-weighted bound (CIWAE, 1802.04537).

    Good for the uses of iwae, closer to the ELBO.

    Args:
        data: data to model.
        latent: dimensions of z, at least 1.
        samples: K, at least 1.
        share: share of the ELBO, in [0, 1].
        design: networks and likelihood.
    """
    return shallow(data, latent, DiagonalNormal(), CombinedBound(samples, share), design)


@recipe
def beta_tc(
    data: DataSpec, latent: int = 16, beta: float = 6.0, design: Design = Design()
) -> Built:
    """The VAE with the total correlation of its codes weighed by β (β-TCVAE, 1802.04942).

    Good for latents that vary one thing each, without a critic.

    Args:
        data: data to model; the number of its training rows enters.
        latent: dimensions of z, at least 1.
        beta: weight of the total correlation, at least 0; 1 is the ELBO.
        design: networks and likelihood.
    """
    check_weights(beta=beta)
    rate = SplitRate(data.sizes[0], total_correlation=beta)
    return shallow(data, latent, DiagonalNormal(), Distortion() + rate, design)


@recipe
def dip(
    data: DataSpec,
    latent: int = 16,
    variant: Literal["i", "ii"] = "ii",
    weight: float = 1.0,
    design: Design = Design(),
) -> Built:
    """The VAE with a penalty on the covariance of its codes (DIP-VAE, 1711.00848).

    Good for latents that do not covary, at the cost of two small terms.

    Args:
        data: data to model.
        latent: dimensions of z, at least 1.
        variant: i penalises the covariance of posterior means, ii that of the codes.
        weight: weight of the squared covariances; the variances' distance from 1 has ten times that
            weight under i and the same under ii, as in the paper.
        design: networks and likelihood.
    """
    check_weights(weight=weight)
    within, diagonal = {"i": (False, 10 * weight), "ii": (True, weight)}[variant]
    penalty = weight * OffDiagonal(within) + diagonal * Diagonal(within)
    return shallow(data, latent, DiagonalNormal(), Distortion() + Rate() + penalty, design)


@recipe
def info_vae(
    data: DataSpec,
    latent: int = 16,
    alpha: float = 0.5,
    scale: float = 10.0,
    design: Design = Design(),
) -> Built:
    """The VAE that trades rate for MMD: D + (1 − α) R + (α + λ − 1) MMD² (InfoVAE, 1706.02262).

    Good for informative codes that still fill the prior.

    Args:
        data: data to model.
        latent: dimensions of z, at least 1.
        alpha: α, at most 1; the larger, the more information a code may carry.
        scale: λ, above 1 − α.
        design: networks and likelihood.
    """
    if not (alpha <= 1 and alpha + scale > 1):
        raise ValueError(
            f"alpha is {alpha} and scale {scale}; expected an alpha of at most 1, and a scale "
            "above 1 − alpha"
        )
    objective = Distortion() + (1 - alpha) * Rate() + (alpha + scale - 1) * MMD()
    return shallow(data, latent, DiagonalNormal(), objective, design)


@recipe
def wae_mmd(
    data: DataSpec, latent: int = 16, weight: float = 10.0, design: Design = Design()
) -> Built:
    """The autoencoder whose codes match the prior by a kernel (WAE-MMD, 1711.01558).

    Good for codes that fill the prior, without a critic.

    Args:
        data: data to model.
        latent: dimensions of the code, at least 1.
        weight: weight of MMD², which lies between 0 and 14, in nats.
        design: networks and likelihood.
    """
    check_weights(weight=weight)
    return shallow(data, latent, Point(), Distortion() + weight * MMD(), design)


@recipe
def rae(
    data: DataSpec,
    latent: int = 16,
    penalty: Literal["l2", "gradient"] = "l2",
    beta: float = 0.1,
    weight: float = 0.01,
    design: Design = Design(),
) -> Built:
    """The autoencoder regularised by its decoder and its codes' norm (RAE, 1903.12436).

    Good for the sharpest reconstructions, generating from a prior fitted afterwards.

    Args:
        data: data to model.
        latent: dimensions of the code, at least 1.
        penalty: l2 norm of the decoder's weights, or gradient norm of its output by the code.
        beta: weight of ½‖z‖².
        weight: weight of the penalty.
        design: networks and likelihood.
    """
    check_weights(beta=beta, weight=weight)
    penalties: dict[str, Penalty] = {"l2": weight_norm, "gradient": gradient_norm}
    objective = Distortion() + beta * CodeNorm() + weight * DecoderPenalty()
    built = shallow(data, latent, Point(), objective, design)
    generator = cast(Shallow, built.model.generator)
    generator.posterior = NormPenalisedPoint(
        generator.decoder, generator.likelihood, penalties[penalty]
    )
    return built


@recipe
def ms_ssim(
    data: DataSpec,
    latent: int = 16,
    weight: float = 0.1,
    beta: float = 1.0,
    design: Design = Design(),
) -> Built:
    """The VAE of images with a structural similarity term, MS-SSIM (Wang et al. 2003).

    Good for images whose structure matters more than each pixel.

    Args:
        data: data to model; images.
        latent: dimensions of z, at least 1.
        weight: weight of D (1 − MS-SSIM), D the numbers in an image, beside the distortion.
        beta: weight of the rate, at least 0.
        design: networks and likelihood.
    """
    if not data.is_image:
        raise ValueError(
            f"examples of shape {data.shape} are no images (C, H, W), which MS-SSIM compares"
        )
    check_weights(weight=weight)
    data_range = (data.high - data.low) / data.scale[0] if data.domain == "real" else 1.0
    objective = weighed(beta) + weight * StructuralDistortion(data_range)
    return shallow(data, latent, DiagonalNormal(), objective, design)


def _reweighted(built: Built) -> Built:
    """Return the same model with a reweighted encoder's gradient."""
    generator = cast(Shallow, built.model.generator)
    generator.posterior = ReweightedPosterior(generator.posterior)
    return built
