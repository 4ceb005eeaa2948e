"""Discrete latents: classes, classes beside a continuous latent, and codes from a codebook.

A code has P positions with one of K codes each. With perceptrons the encoder's vector is split into
P parts; with convolutions the positions are the cells of a grid.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple, cast

from torch import nn

from vaelab.core import VAE, Block, Ladder, Shallow
from vaelab.data import DataSpec
from vaelab.nets import MLPDecoder, MLPPyramid, plain, residual
from vaelab.nets.conditional import Chain
from vaelab.nets.feature_grid import GridDecoder, GridEncoder, grids, halvings_for
from vaelab.nets.init import ConvOutput
from vaelab.nets.pyramid import ConvPyramid, ResidualBottleneck, resolutions
from vaelab.objectives import Capacity, Constant, Distortion, Objective, Rate, Rise
from vaelab.objectives.codebook import CodebookLoss, Commitment
from vaelab.parts.discrete import (
    Blank,
    Classes,
    ConcreteClasses,
    Independent,
    UniformClasses,
    UniformConcrete,
)
from vaelab.parts.ladder import Root
from vaelab.parts.posteriors import DiagonalNormal
from vaelab.parts.priors import Standard
from vaelab.parts.quantize import (
    AveragedCodebook,
    Codebook,
    DenseCodes,
    FiniteScalars,
    LearnedCodebook,
    MapCodes,
    ResidualCodes,
)
from vaelab.recipes.building import check_latent, check_weights, shallow
from vaelab.recipes.design import Design, conditional_root, fit_likelihood, networks, shown
from vaelab.recipes.registry import Built, recipe

WARM = 1.0
"""Initial temperature of a relaxation."""


@recipe
def gumbel(
    data: DataSpec,
    variables: int = 10,
    classes: int = 10,
    tau: float = 0.5,
    design: Design = Design(),
) -> Built:
    """Categorical latents: exact draws, with the gradient of a relaxation (1611.01144).

    Good for discovering classes and switches without labels.

    Args:
        data: data to model.
        variables: number of variables, at least 1.
        classes: classes of each variable, at least 2.
        tau: temperature of the relaxation, above 0, reached from 1 halfway through training.
        design: networks and likelihood.
    """
    check_tau(tau)
    prior = UniformClasses(variables, classes)
    posterior = Classes(variables, classes, Rise(WARM, tau))
    return shallow(data, variables * classes, posterior, Distortion() + Rate(), design, prior)


@recipe
def concrete(
    data: DataSpec,
    variables: int = 30,
    classes: int = 2,
    tau: float = 0.5,
    design: Design = Design(),
) -> Built:
    """Relaxed categorical latents, points inside the simplex: an exact gradient (1611.00712).

    Good for the uses of gumbel, if the gradient must be exact and a soft choice will do.

    The rate of a relaxed variable exceeds that of its classes, and early in training it outweighs
    the information in the code; so its weight rises from 0 to 1 over the first half of training.
    A code is the logarithm of the point; the decoder receives the point itself.

    Args:
        data: data to model.
        variables: number of variables, at least 1.
        classes: classes of each variable, at least 2.
        tau: temperature of prior and posterior, above 0; the smaller, the nearer to classes.
        design: networks and likelihood.
    """
    check_tau(tau)
    prior = UniformConcrete(variables, classes, Constant(tau))
    posterior = ConcreteClasses(variables, classes, Constant(tau))
    objective = Distortion() + Rise(0.0, 1.0) * Rate()
    built = shallow(data, variables * classes, posterior, objective, design, prior)
    generator = cast(Shallow, built.model.generator)
    # exp of a code that was drawn, and a point of the simplex for any other code.
    generator.decoder = Chain(nn.Softmax(-1), generator.decoder, told=1)
    return built


@recipe
def joint(
    data: DataSpec,
    latent: int = 8,
    variables: int = 1,
    classes: int = 10,
    tau: float = 0.5,
    capacity: float | None = None,
    class_capacity: float | None = None,
    gamma: float = 2.0,
    warmup_fraction: float = 0.5,
    design: Design = Design(),
) -> Built:
    """Continuous beside categorical latents, independent of each other (JointVAE, 1804.00104).

    Good for data in classes with continuous variation within each.

    Each may have a capacity of its own, as in the paper, so that neither encodes the content of
    the other; it rises from 0: D + γ |R₁ − C₁(t)| + γ |R₂ − C₂(t)|.

    Args:
        data: data to model.
        latent: dimensions of the continuous latent, at least 1.
        variables: number of categorical latents, at least 1.
        classes: classes of each of them, at least 2.
        tau: temperature of their relaxation, above 0, reached from 1 halfway through training.
        capacity: target rate of the continuous latent, at least 0; free if not given.
        class_capacity: target rate of the categorical ones, at most log K for each of them.
        gamma: weight of the distance from a capacity; above 1, or a rate beyond it may still pay.
        warmup_fraction: share of training that capacities rise for.
        design: networks and likelihood.
    """
    check_latent(latent)
    check_tau(tau)
    check_weights(gamma=gamma, warmup_fraction=warmup_fraction)
    likelihood, data, reason = fit_likelihood(design, data)
    pair = networks(design, data)
    normal, one_hot = DiagonalNormal(), Classes(variables, classes, Rise(WARM, tau))
    cut, numbers = normal.params * latent, variables * classes
    blocks = [
        Independent(Standard(latent), normal, 0, cut),
        Independent(UniformClasses(variables, classes), one_hot, cut, cut + numbers),
    ]
    decoder = pair.decoder(data.known + latent + numbers, data.shape, likelihood.params)
    root = conditional_root(data, Blank(data.known), data.known)
    generator = Ladder(root, blocks, decoder, likelihood)
    encoder = pair.encoder(data.shape, cut + numbers, normal.zeros(latent))
    objective = Distortion() + Rate()
    if capacity is not None or class_capacity is not None:
        most = variables * math.log(classes)
        held = [
            _held(1, "capacity", capacity, gamma, warmup_fraction),
            _held(2, "class_capacity", class_capacity, gamma, warmup_fraction, most),
        ]
        objective = Distortion() + held[0] + held[1]
    return Built(VAE(encoder, generator), objective, data, reason)


def _held(
    layer: int, name: str, capacity: float | None, gamma: float, rise: float, most: float = math.inf
) -> Objective:
    """Capacity term γ |R_l − C(t)| with a rising capacity, or R_l itself without one."""
    if capacity is None:
        return Rate(layer)
    if not 0 <= capacity <= most:
        raise ValueError(
            f"{name} is {capacity:g}; a rate is 0 or more"
            + (f", and that of these classes at most {most:.2f} nats" if most < math.inf else "")
        )
    return gamma * Capacity(Rise(0.0, capacity, rise), Rate(layer))


@recipe
def vq(
    data: DataSpec,
    codes: int = 128,
    dim: int = 8,
    positions: int = 16,
    averaged: bool = True,
    commitment: float = 0.25,
    design: Design = Design(),
) -> Built:
    """The vector-quantised VAE: the nearest of K codes at every position (1711.00937).

    Good for compression to tokens, and a second model that generates them.

    Args:
        data: data to model.
        codes: K, at least 2.
        dim: numbers of a code, at least 1.
        positions: positions of a code; with convolutions, the coarsest grid with so many cells.
        averaged: True for codes that are running averages of encodings, False for a gradient.
        commitment: weight of the encoder's distance to its codes, at least 0.
        design: networks and likelihood.
    """
    book = _codebook(codes, dim, averaged)
    return _coded(data, [book], positions, _objective(averaged, commitment), design)


@recipe
def rvq(
    data: DataSpec,
    codes: int = 64,
    dim: int = 8,
    positions: int = 16,
    stages: int = 3,
    averaged: bool = True,
    commitment: float = 0.25,
    design: Design = Design(),
) -> Built:
    """Residual quantisation: each codebook encodes the residual of those before (2107.03312).

    Good for more bits a position than one codebook can hold.

    Args:
        data: data to model.
        codes: K of every codebook, at least 2.
        dim: numbers of a code, at least 1.
        positions: positions of a code; with convolutions, the coarsest grid with so many cells.
        stages: number of codebooks, at least 1.
        averaged: True for codes that are running averages of encodings, False for a gradient.
        commitment: weight of the encoder's distance to its codes, at least 0.
        design: networks and likelihood.
    """
    if stages < 1:
        raise ValueError(f"stages is {stages}; at least 1 codebook is needed")
    books = [_codebook(codes, dim, averaged) for _ in range(stages)]
    return _coded(data, books, positions, _objective(averaged, commitment), design)


@recipe
def fsq(
    data: DataSpec,
    levels: tuple[int, ...] = (8, 5, 5, 5),
    positions: int = 16,
    design: Design = Design(),
) -> Built:
    """Finite scalar quantisation: every number rounded to a few levels, no codebook (2309.15505).

    Good for tokens without a codebook that could die.

    Args:
        data: data to model.
        levels: levels of each number of a code, at least 2; the codes are all combinations.
        positions: positions of a code; with convolutions, the coarsest grid with so many cells.
        design: networks and likelihood.
    """
    objective = Distortion() + Rate()
    return _coded(data, [FiniteScalars(levels)], positions, objective, design)


@recipe
def vq2(
    data: DataSpec,
    codes: int = 64,
    dim: int = 8,
    positions: int = 4,
    averaged: bool = True,
    commitment: float = 0.25,
    design: Design = Design(),
) -> Built:
    """Two levels of codes, the lower with four times the positions (VQ-VAE-2, 1906.00446).

    Good for tokens of structure apart from tokens of detail.

    Args:
        data: data to model.
        codes: K of both codebooks, at least 2.
        dim: numbers of a code, at least 1.
        positions: positions of the upper code; with convolutions, the coarsest such grid.
        averaged: True for codes that are running averages of encodings, False for a gradient.
        commitment: weight of the encoder's distance to its codes, at least 0.
        design: networks and likelihood; its convolutions are residual ones of its own.
    """
    _check_positions(positions)
    design.refuse_own_networks("vq2")
    likelihood, data, reason = fit_likelihood(design, data)
    books = [_codebook(codes, dim, averaged) for _ in range(2)]
    levels = _dense_levels if design.net_for(data) == "mlp" else _map_levels
    encoder, root, blocks, decoder = levels(books, design, data, positions, likelihood.params)
    generator = Ladder(root, blocks, decoder, likelihood)
    return Built(VAE(encoder, generator), _objective(averaged, commitment), data, reason)


Levels = tuple[nn.Module, nn.Module, list[Block], nn.Module]
"""Encoder, root, blocks and decoder."""


def _dense_levels(
    books: Sequence[Codebook], design: Design, data: DataSpec, positions: int, params: int
) -> Levels:
    width = design.width or 512
    blocks: list[Block] = [
        DenseCodes(book, positions * 4**level, width, level) for level, book in enumerate(books)
    ]
    decoder = MLPDecoder(width, data.shape, params, (width,))
    encoder = shown(data, lambda shape: MLPPyramid(shape, width, len(books)), design.hide)
    return encoder, conditional_root(data, Root(width), width), blocks, decoder


def _map_levels(
    books: Sequence[Codebook], design: Design, data: DataSpec, positions: int, params: int
) -> Levels:
    shape = data.shape
    width, count = design.width or 64, halvings_for(shape, positions) + 1
    if count < len(books):
        raise ValueError(
            f"positions is {positions}, and no grid of these images has four times as many cells; "
            "use fewer"
        )
    sizes = resolutions(shape, count)
    ways = [[finer] for finer in sizes[1 : len(books)]] + [sizes[len(books) :]]
    blocks: list[Block] = [
        MapCodes(book, width, level, _way(width, way))
        for level, (book, way) in enumerate(zip(books, ways, strict=True))
    ]
    decoder = nn.Sequential(nn.GELU(), ConvOutput(width, params * shape[0]))
    encoder = shown(data, lambda shape: ConvPyramid(shape, width, [1] * count))
    return encoder, conditional_root(data, Root(width, *sizes[0]), width, 1, 1), blocks, decoder


def _way(width: int, sizes: Sequence[tuple[int, int]]) -> nn.Sequential:
    """Path from maps of one size to the last of `sizes`, with residual blocks at each."""
    steps: list[nn.Module] = [ResidualBottleneck(width)]
    for size in sizes:
        steps += [nn.Upsample(size), ResidualBottleneck(width)]
    return nn.Sequential(*steps)


def _coded(
    data: DataSpec, books: Sequence[Codebook], positions: int, objective: Objective, design: Design
) -> Built:
    """Build a model whose single code is quantized by one codebook, or by several in turn."""
    _check_positions(positions)
    likelihood, data, reason = fit_likelihood(design, data)
    dim = books[0].table.shape[1]
    coder = _coder(design, data, positions, dim, likelihood.params)
    blocks = [ResidualCodes(book, coder.positions, book is books[0]) for book in books]
    root = conditional_root(data, Blank(coder.positions, dim), coder.positions, dim)
    generator = Ladder(root, blocks, coder.decoder, likelihood)
    return Built(VAE(coder.encoder, generator), objective, data, reason)


class Coder(NamedTuple):
    """Networks between data and a code of P positions, (B, P, D)."""

    encoder: nn.Module
    decoder: nn.Module
    positions: int


def _coder(design: Design, data: DataSpec, positions: int, dim: int, params: int) -> Coder:
    stage = {"conv": plain, "resconv": residual}.get(design.net_for(data))
    if stage is None or design.own_networks:
        pair = networks(design, data)
        encoder = pair.encoder(data.shape, positions * dim)
        decoder = pair.decoder(positions * dim, data.shape, params)
        cut = nn.Unflatten(1, (positions, dim))
        return Coder(Chain(encoder, cut), decoder, positions)
    halvings, width = halvings_for(data.shape, positions), design.width or 32
    return Coder(
        shown(data, lambda shape: GridEncoder(shape, dim, halvings, width, stage)),
        GridDecoder(dim, data.shape, params, halvings, width, stage),
        math.prod(grids(data.shape, halvings)[-1]),
    )


def _codebook(codes: int, dim: int, averaged: bool) -> Codebook:
    if dim < 1:
        raise ValueError(f"dim is {dim}; a code needs at least 1 number")
    return AveragedCodebook(codes, dim) if averaged else LearnedCodebook(codes, dim)


def _objective(averaged: bool, commitment: float) -> Objective:
    """D + R, the commitment term, and the codebook loss if codes follow a gradient."""
    check_weights(commitment=commitment)
    objective = Distortion() + Rate() + commitment * Commitment()
    return objective if averaged else objective + CodebookLoss()


def _check_positions(positions: int) -> None:
    if positions < 1:
        raise ValueError(f"positions is {positions}; a code needs at least 1")


def check_tau(tau: float) -> None:
    """Raise ValueError unless the temperature is positive."""
    if not tau > 0:
        raise ValueError(f"tau is {tau}; a temperature is above 0")
