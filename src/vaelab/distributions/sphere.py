r"""Distributions on the sphere S^{D−1}: von Mises–Fisher and uniform.

q(z) = e^{κ μ·z} / (M(κ) |S|),  |S| = 2 π^{D/2} / Γ(D/2),  M(κ) = E_uniform e^{κ μ·z}

KL(q ‖ uniform) = κ E_q[w] − log M(κ),  w = μ·z

Everything follows from one map. If c is the cosine of a uniform draw with μ, then (Wood 1994)

    w = (m + c) / (1 + m c),     m = 2κ / (D − 1 + √(4κ² + (D − 1)²))
    ρ(c) = exp((D − 1) (m c / (1 + m c) − log(1 + m c))) ≤ 1

has the distribution of μ·z if c is accepted with probability ρ(c), and

    log M(κ) = κ m + (D − 1)/2 · log(1 − m²) + log E ρ(c)

E ρ is between 0.657 and 1 for every κ and D, so that rejection takes few proposals. With c = cos φ,
all integrals are smooth on [0, π]: Gauss–Legendre quadrature with 64 nodes reaches double
precision, whereas Bessel functions need a formula for each regime.

Reference: Hyperspherical Variational Auto-Encoders, Davidson et al., 2018, arXiv:1804.00891.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from vaelab.distributions.base import Distribution, register_kl

PROPOSALS = 32
"""Number of proposals. All are rejected once in 10^15 draws; the first then stands in."""

_LEGENDRE = np.polynomial.legendre.leggauss(64)
_NODES, _WEIGHTS = torch.from_numpy((_LEGENDRE[0] + 1) / 2), torch.from_numpy(_LEGENDRE[1] / 2)
"""Quadrature over [0, 1]."""


@dataclass(frozen=True, eq=False)
class VonMisesFisher(Distribution):
    """Von Mises–Fisher distribution on the unit sphere in D ≥ 2 dimensions.

    q(z) ∝ exp(kappa mu·z)

    >>> q = VonMisesFisher(torch.eye(1, 3), torch.tensor([50.0]))
    >>> q.sample().norm(dim=1).round(decimals=4)
    tensor([1.])

    Attributes:
        mu: unit vectors, (B, D).
        kappa: concentrations, at least 0, (B,); 0 gives the uniform distribution.
    """

    mu: Tensor
    kappa: Tensor

    @property
    def mean(self) -> Tensor:
        """E[z], inside the sphere; the centre of the draws is its direction `mu`."""
        _, short = _integrals(self.kappa, self.mu.shape[1])
        return self.mu * (1 - short)[:, None].to(self.mu.dtype)

    def log_prob(self, x: Tensor) -> Tensor:
        log_norm, _ = _integrals(self.kappa, self.mu.shape[1])
        # μ·z − 1 from the chord: the product of nearly equal vectors alone keeps few digits.
        fall = -0.5 * ((x - self.mu) ** 2).sum(1)
        return self.kappa * fall - log_norm.to(x.dtype) - log_area(self.mu.shape[1])

    def sample(self, temperature: float = 1.0) -> Tensor:
        """Draw (B, D); differentiable in both parameters, in kappa by implicit differentiation.

        Args:
            temperature: fraction of the way from `mu` to an exact draw, along the great circle
                between them.
        """
        return around(self.mu, temperature * self._angle())

    def _angle(self) -> Tensor:
        """Angle between `mu` and a draw, (B,)."""
        dims = self.mu.shape[1]
        with torch.no_grad():
            kappa = self.kappa[:, None]
            shape = (*self.kappa.shape, PROPOSALS)
            c = _uniform_cosine(self.kappa, shape, dims)
            chance = torch.rand(shape, dtype=kappa.dtype, device=kappa.device)
            kept = chance.log() < _log_rho(c, kappa, dims)
            c = c.gather(1, kept.to(c.dtype).argmax(1, keepdim=True))[:, 0]
            gap = _gap(self.kappa, dims)
            squeeze = gap / (2 - gap)  # tan²(θ/2) = squeeze · tan²(φ/2)
            angle = 2 * torch.atan2((squeeze * (1 - c)).sqrt(), (1 + c).sqrt())
        if not torch.is_grad_enabled():
            return angle
        slope = _slope(c, self.kappa, dims)
        return angle + slope * (self.kappa - self.kappa.detach())


@dataclass(frozen=True, eq=False)
class SphereUniform(Distribution):
    """Uniform distribution on the unit sphere in D ≥ 2 dimensions.

    >>> SphereUniform(torch.eye(1, 3)).log_prob(torch.eye(1, 3))  # −log 4π
    tensor([-2.5310])

    Attributes:
        pole: unit vector, (B, D), drawn at temperature 0 as the distribution has no centre.
    """

    pole: Tensor

    @property
    def mean(self) -> Tensor:
        return torch.zeros_like(self.pole)

    def log_prob(self, x: Tensor) -> Tensor:
        return torch.full_like(x[:, 0], -log_area(self.pole.shape[1]))

    def sample(self, temperature: float = 1.0) -> Tensor:
        c = _uniform_cosine(self.pole, self.pole.shape[:1], self.pole.shape[1])
        return around(self.pole, temperature * torch.acos(c))


@register_kl(VonMisesFisher, SphereUniform)
def _vmf_uniform(q: VonMisesFisher, p: SphereUniform) -> Tensor:
    kappa = q.kappa.double()  # gradients through its two uses nearly cancel
    log_norm, short = _integrals(kappa, q.mu.shape[1])
    return (-kappa * short - log_norm).to(q.kappa.dtype)


def log_area(dims: int) -> float:
    """Logarithm log |S^{D−1}| of the area of the unit sphere in D dimensions."""
    return math.log(2) + dims / 2 * math.log(math.pi) - math.lgamma(dims / 2)


def around(mu: Tensor, angle: Tensor) -> Tensor:
    """Points at these angles (B,) from unit vectors mu (B, D), each in a random direction."""
    across = F.normalize(torch.randn_like(mu[:, 1:]), dim=1)
    z = torch.cat([torch.cos(angle)[:, None], torch.sin(angle)[:, None] * across], 1)
    # A reflection takes the first axis to ∓μ, with the sign that keeps its normal from vanishing.
    sign = torch.where(mu[:, :1] < 0, -1.0, 1.0).to(mu.dtype)
    normal = torch.cat([mu[:, :1] + sign, mu[:, 1:]], 1)
    share = (normal * z).sum(1, keepdim=True) / (1 + mu[:, :1].abs())
    return sign * (share * normal - z)


def _uniform_cosine(like: Tensor, shape: tuple[int, ...], dims: int) -> Tensor:
    """Cosine of a uniform draw on S^{D−1} with any fixed direction, of this shape."""
    # Its projection on two axes has a uniform angle and a radius with P(r² > t) = (1 − t)^(D/2−1).
    u, turn = torch.rand((2, *shape), dtype=like.dtype, device=like.device).unbind()
    power = math.inf if dims == 2 else 2 / (dims - 2)
    return (-torch.expm1(power * u.log())).sqrt() * torch.cos(2 * math.pi * turn)


def _gap(kappa: Tensor, dims: int) -> Tensor:
    """Return 1 − m without cancellation if κ is large."""
    n = dims - 1
    return 2 * n / (2 * kappa + torch.sqrt(4 * kappa**2 + n**2) + n)


def _log_rho(c: Tensor, kappa: Tensor, dims: int) -> Tensor:
    """Return log ρ(c) ≤ 0."""
    n = dims - 1
    m = 2 * kappa / (n + torch.sqrt(4 * kappa**2 + n**2))
    stretch = 1 + c - _gap(kappa, dims) * c  # 1 + m c
    return n * (m * c / stretch - stretch.log())


def _short(c: Tensor, kappa: Tensor, dims: int) -> Tensor:
    """Return 1 − w of the map."""
    gap = _gap(kappa, dims)
    return gap * (1 - c) / (1 + c - gap * c)


def _reach(dims: int) -> float:
    """Distance from π/2 at which the density ∝ sin^{D−2} φ of a uniform angle is 1e-17."""
    return math.pi / 2 if dims == 2 else math.acos(math.exp(-39 / (dims - 2)))


def _integrals(kappa: Tensor, dims: int) -> tuple[Tensor, Tensor]:
    """Return log M(κ) − κ and 1 − E_q[w], (B,) in float64."""
    kappa, n = kappa.double(), dims - 1
    reach = _reach(dims)
    phi = math.pi / 2 + reach * (2 * _NODES.to(kappa.device) - 1)
    mass = _WEIGHTS.to(kappa.device) * torch.sin(phi) ** (dims - 2)
    c = torch.cos(phi)
    rho = mass / mass.sum() * _log_rho(c, kappa[:, None], dims).exp()
    expected = rho.sum(1)
    short = (rho * _short(c, kappa[:, None], dims)).sum(1) / expected
    gap = _gap(kappa, dims)
    return expected.log() - kappa * gap + n / 2 * torch.log(gap * (2 - gap)), short


@torch.no_grad()
def _slope(c: Tensor, kappa: Tensor, dims: int) -> Tensor:
    r"""Derivative dθ/dκ of a draw at a fixed quantile: −∂F/∂κ / ∂F/∂θ, (B,).

    With p the density of φ at this κ, ∂F/∂κ = ∫₀^θ (cos t − E_q[w]) q(t) dt becomes

        dθ/dκ = −dθ/dφ ∫_edge^φ (w(s) − E_q[w]) p(s)/p(φ) ds

    with the edge on the side of φ that is away from p's mode π/2, so that nothing cancels.
    """
    kappa, tiny = kappa.double(), 1e-6
    phi = torch.acos(c.double()).clamp(tiny, math.pi - tiny)
    reach = _reach(dims)
    beyond = torch.where(phi < math.pi / 2, phi - reach, phi + reach).clamp(0, math.pi)
    s = beyond[:, None] + (phi - beyond)[:, None] * _NODES.to(kappa.device)

    def log_p(phi: Tensor) -> Tensor:
        tilt = _log_rho(torch.cos(phi), kappa[:, None], dims)
        return tilt if dims == 2 else tilt + (dims - 2) * torch.sin(phi).log()

    _, short = _integrals(kappa, dims)
    above = short[:, None] - _short(torch.cos(s), kappa[:, None], dims)
    ratio = torch.exp(log_p(s) - log_p(phi[:, None]))
    integral = (phi - beyond) * (_WEIGHTS.to(kappa.device) * above * ratio).sum(1)
    gap = _gap(kappa, dims)
    squeeze = gap / (2 - gap)
    turn = squeeze.sqrt() / (torch.cos(phi / 2) ** 2 + squeeze * torch.sin(phi / 2) ** 2)
    return (-turn * integral).to(c.dtype)
