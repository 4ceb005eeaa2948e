"""Design choices of any family: the networks, and the likelihood that fits the data.

The default likelihood follows from the data, with a stated reason:

    binary                     Bernoulli
    grey, nearly two-toned     Bernoulli, binarized afresh at every visit
    integer levels             discretised logistic
    counts                     negative binomial, whose variance may exceed the mean
    mixed columns              one of these per kind of column; log-normal for positive ones
    anything continuous        Gaussian with a learned σ; one per column in a table with names
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields, replace
from functools import partial
from typing import TYPE_CHECKING, Annotated, Any, Literal, NamedTuple, Protocol

from msgspec import Meta
from torch import nn

from vaelab.data import Column, DataSpec
from vaelab.nets import ConvDecoder, ConvEncoder, MLPDecoder, MLPEncoder, Shape, residual
from vaelab.nets.column_encodings import (
    LogCounts,
    Logs,
    ObservedInputs,
    OneHotEncoding,
    Views,
    ZeroFilled,
)
from vaelab.nets.conditional import ConcatCondition, ConditionalRoot, beside
from vaelab.parts import likelihoods as parts
from vaelab.parts import tables
from vaelab.recipes import parts_by_name
from vaelab.recipes.parts_by_name import KINDS, Net
from vaelab.recipes.parts_by_name import LikelihoodName as LikelihoodName
from vaelab.utils.hints import Hinting
from vaelab.utils.validation import Count, Positive, check_fields

ConditionName = Literal["none", "labels", "vectors"]
Binarize = Literal["auto", "dynamic", "threshold"]

if TYPE_CHECKING:
    Network = str | nn.Module | Callable[..., nn.Module]
    LikelihoodChoice = str | parts.Likelihood | Callable[..., parts.Likelihood]
else:  # read by msgspec, which knows no module
    Network = LikelihoodChoice = Any

TWO_TONED = 0.5
"""Contrast from which grey values count as ink rather than shades (MNIST 0.84, faces 0.1)."""

LARGEST_FLAT = 32
"""Side of the largest image, in pixels, that perceptrons model by default. Of 800 photos, in as
many steps, convolutions had 5% fewer nats at 64 × 64 and 7% fewer at 32 × 32."""

DISPERSED = 0.5
"""Variance over mean, in all but a tenth of the columns, from which whole numbers are counts."""

HINTS = {
    parts.COUNTS: (
        " A table of whole numbers that is not stored as uint8 is taken for counts; "
        "vaelab.data.with_columns declares any table to be counts."
    ),
    parts.MIXED: " vaelab.data.with_columns declares the kind of each column of a table.",
}
"""Hints on data for likelihoods that need a certain kind."""


@dataclass(frozen=True)
class Design(Hinting):
    """Networks and likelihood of a model.

    >>> Design(net="conv", likelihood="bernoulli").net
    'conv'

    Attributes:
        net: mlp (any data), conv or resconv (images of any size); auto takes conv for images with
            a side above 32 pixels, and mlp for all other data.
        width: units or channels of the hidden layers: 512 for mlp, 32 for conv and resconv.
        encoder: encoder of your own: a module (a template, copied for each model), a factory
            `(shape, outputs) -> module`, or a name given to `vaelab.register`; auto follows `net`.
        decoder: decoder of your own: a module, a factory `(inputs, shape, params) -> module`, or a
            registered name; auto follows `net`.
        likelihood: distribution of the data given z; auto follows from the data and is printed with
            its reason. A `Likelihood`, or a factory `(data) -> Likelihood`, may be your own.
        binarize: binarization of grey data under a Bernoulli: dynamic draws anew at every visit in
            training and once in evaluation, threshold cuts at one half.
        sigma: standard deviation of the gaussian-fixed likelihood, at the model's scale.
        components: number of components of the logistic-mixture likelihood.
        hide: largest share of the observed cells of a row that are hidden from the encoder in
            training, if the data have missing cells; 0 to show all of them.
        condition: what the model is conditioned on, in training and afterwards: nothing; the label
            of an example, so that examples of a class can be generated; or its vector, the numbers
            named beside the data.
        seed: seed of the initial weights.

    Raises:
        ValueError: if a field has another type or is out of range.
    """

    net: Net = "auto"
    width: Count | None = None
    likelihood: LikelihoodChoice = "auto"
    binarize: Binarize = "auto"
    sigma: Positive = 1.0
    components: Count = 5
    condition: ConditionName = "none"
    seed: int = 0
    encoder: Network = "auto"
    decoder: Network = "auto"
    hide: Annotated[float, Meta(ge=0, le=1)] = 0.5

    def __post_init__(self) -> None:
        check_fields(self)
        for kind in KINDS:
            parts_by_name.check(kind, getattr(self, kind))

    @property
    def own_networks(self) -> tuple[str, ...]:
        """Names of those networks that are not chosen by `net`."""
        return tuple(role for role in ("encoder", "decoder") if getattr(self, role) != "auto")

    def refuse_own_networks(self, name: str) -> None:
        """Raise ValueError if there are any, for a model whose networks are its own."""
        for role in self.own_networks:
            raise ValueError(f"{role} is given, but the networks of {name} are its own")

    @property
    def code(self) -> list[str]:
        """Code of its parts, as `package.module:name`; none for parts of the library by name."""
        places = (parts_by_name.code_of(kind, getattr(self, kind)) for kind in KINDS)
        return [place for place in places if place]

    def to_json(self) -> dict[str, Any]:
        """Fields as JSON values; a part without a name is stated by its code."""
        given = {field.name: getattr(self, field.name) for field in fields(self)}
        unnamed = {
            k: parts_by_name.place(v) for k, v in given.items() if k in KINDS and callable(v)
        }
        return given | {kind: parts_by_name.place(given[kind]) for kind in unnamed}

    def net_for(self, data: DataSpec) -> str:
        """The networks for some data: `mlp`, `conv` or `resconv`."""
        if self.net != "auto":
            return self.net
        return "conv" if data.is_image and max(data.shape[1:]) > LARGEST_FLAT else "mlp"


class MakeEncoder(Protocol):
    """Constructor of an encoder (B, *shape) → (B, outputs); outputs in `zeros` start at 0."""

    def __call__(self, shape: Shape, /, outputs: int, zeros: Sequence[int] = ()) -> nn.Module: ...


class Pair(NamedTuple):
    """Constructors of networks: `encoder(shape, outputs)`, `decoder(inputs, shape, params)`."""

    encoder: MakeEncoder
    decoder: Callable[[int, Shape, int], nn.Module]


def networks(design: Design, data: DataSpec) -> Pair:
    """Constructors of the encoder and decoder of a design.

    Args:
        design: choice of networks.
        data: data as the likelihood sees it; an encoder receives logarithms of counts, one-hot
            categories and the condition.
    """
    width = design.width
    hidden, channels = (width or 512,) * 2, width or 32
    pairs: dict[str, Pair] = {
        "mlp": Pair(partial(MLPEncoder, hidden=hidden), partial(MLPDecoder, hidden=hidden)),
        "conv": Pair(partial(ConvEncoder, width=channels), partial(ConvDecoder, width=channels)),
        "resconv": Pair(
            partial(ConvEncoder, width=channels, stage=residual),
            partial(ConvDecoder, width=channels, stage=residual),
        ),
    }
    make, decoder = pairs[design.net_for(data)]
    if design.decoder != "auto":
        decoder = partial(parts_by_name.decoder, design.decoder)

    def encoder(_: Shape, /, outputs: int, zeros: Sequence[int] = ()) -> nn.Module:
        if design.encoder != "auto":
            made = partial(parts_by_name.encoder, design.encoder)
            return shown(data, lambda shape: made(shape, outputs), design.hide)
        return shown(data, lambda shape: make(shape, outputs, zeros=zeros), design.hide)

    return Pair(encoder, decoder)


def shown(data: DataSpec, make: Callable[[Shape], nn.Module], hide: float = 0.0) -> nn.Module:
    """Build a network on encoder inputs: log counts, one-hot categories, the condition.

    Missing cells are filled with zeros, and the mask of the observed ones is a further input.

    Args:
        data: data as the likelihood sees it.
        make: function from the shape of these inputs to the network.
        hide: largest share of a row's observed cells that are hidden in training.
    """
    views, shape = _inputs(data, hide)
    if data.known:
        shape, spread = beside(shape, data.known)
        return ConcatCondition(make(shape), views, spread)
    return make(shape) if views is None else nn.Sequential(views, make(shape))


def compared(data: DataSpec) -> nn.Module:
    """Module from x at the model's scale to numbers (B, …) with meaningful distances.

    In a table with known columns, two values of a real column and two different names contribute
    the same on average, 2 when squared: real columns are standardised, and so are the logarithms of
    positive ones and of counts; categories and the two values of binary columns are one-hot. All
    other data stay as they are. Missing cells are at the centre of their column.

    Args:
        data: data as the likelihood sees it.
    """
    named = tuple(Column("categories", 2) if c.kind == "binary" else c for c in data.columns)
    views = _views(replace(data, columns=named))[0]
    return ZeroFilled(views) if data.missing else views or nn.Identity()


def with_condition(data: DataSpec, make: Callable[[int], nn.Module], inputs: int) -> nn.Module:
    """Build a network on a vector, with the condition as a further input if there is one.

    Args:
        data: data as the likelihood sees it.
        make: function from the number of inputs to the network.
        inputs: size of the vector without the condition.
    """
    if not data.known:
        return make(inputs)
    return ConcatCondition(make(inputs + data.known), nn.Flatten())


def conditional_root(data: DataSpec, root: nn.Module, *shape: int) -> nn.Module:
    """Root of a hierarchy; a `ConditionalRoot` if there is a condition."""
    return ConditionalRoot(root, data.known, *shape) if data.known else root


def _inputs(data: DataSpec, hide: float) -> tuple[nn.Module | None, Shape]:
    """Encodings of the columns with the mask of observed cells, if cells may be missing."""
    views, shape = _views(data)
    if not data.missing:
        return views, shape
    return ObservedInputs(views, hide), (shape[0] + data.dims,)


def _views(data: DataSpec) -> tuple[Views | None, Shape]:
    """Encodings of the columns of a table and their shape; x itself if the columns are alike."""
    if not data.columns:
        return None, data.shape
    groups, width = [], 0
    for column, places in _grouped(data).items():
        views: dict[str, Callable[[], nn.Module]] = {
            "real": nn.Identity,
            "positive": partial(Logs, _at(data.offset, places), _at(data.scale, places)),
            "binary": nn.Identity,
            "counts": partial(LogCounts, _at(data.offset, places), _at(data.scale, places)),
            "categories": partial(OneHotEncoding, column.categories),
        }
        groups.append((views[column.kind](), places))
        width += len(places) * max(1, column.categories)
    return Views(groups), (width,)


def _likelihood_of_columns(data: DataSpec) -> tables.Mixed:
    """One likelihood for each kind of column."""
    groups: list[tuple[parts.Likelihood, list[int]]] = []
    for column, places in _grouped(data).items():
        kinds: dict[str, Callable[[], parts.Likelihood]] = {
            "real": partial(parts.LearnedGaussian, len(places)),
            "positive": partial(
                tables.PositiveNumbers, _at(data.offset, places), _at(data.scale, places)
            ),
            "binary": parts.BernoulliLikelihood,
            "counts": partial(
                tables.NegativeBinomialCounts, _at(data.offset, places), _at(data.scale, places)
            ),
            "categories": partial(tables.Categories, column.categories),
        }
        groups.append((kinds[column.kind](), places))
    return tables.Mixed(groups)


def _grouped(data: DataSpec) -> dict[Column, list[int]]:
    """Indices of the columns by kind."""
    groups: dict[Column, list[int]] = {}
    for place in range(data.dims):
        column = data.columns[place % len(data.columns)] if data.columns else Column("real")
        groups.setdefault(column, []).append(place)
    return groups


def _at(numbers: Sequence[float], places: Sequence[int]) -> list[float]:
    return [numbers[place % len(numbers)] for place in places]


class FittedLikelihood(NamedTuple):
    """Likelihood, the data as it will see them, and the reason for the choice."""

    likelihood: parts.Likelihood
    data: DataSpec
    reason: str


def fit_likelihood(design: Design, data: DataSpec) -> FittedLikelihood:
    """Choose the likelihood of a design and check it against the data.

    Raises:
        ValueError: if the likelihood does not accept the data's domain; names the observed range.
    """
    # Choices of another recipe for this data do not carry over.
    data = replace(data, binarize="no", condition=design.condition)
    levels = data.levels or 256
    # Columns known to be real differ in how sharp they are; pixels and plain arrays share a scale.
    own = (data.dims,) if data.columns and data.domain == "real" else ()
    makers: dict[str, Callable[[], parts.Likelihood]] = {
        "bernoulli": parts.BernoulliLikelihood,
        "continuous-bernoulli": parts.ContinuousBernoulliLikelihood,
        "gaussian": partial(parts.LearnedGaussian, *own),
        "gaussian-fixed": partial(parts.FixedGaussian, design.sigma),
        "gaussian-heteroscedastic": parts.PixelGaussian,
        "laplace": partial(parts.LaplaceLikelihood, *own),
        "student": partial(parts.StudentLikelihood, shape=own),
        "discretized-logistic": partial(parts.LogisticLevels, levels),
        "logistic-mixture": partial(parts.LogisticMixtureLevels, levels, design.components),
        "categorical": partial(parts.CategoricalLevels, levels),
        "poisson": partial(tables.PoissonCounts, data.offset),
        "negative-binomial": partial(tables.NegativeBinomialCounts, data.offset, data.scale),
        "zero-inflated": partial(tables.ZeroInflatedCounts, data.offset),
        "mixed": partial(_likelihood_of_columns, data),
    }
    name, reason = design.likelihood, "as asked"
    if name == "auto":
        name, reason = _default(data)
    if isinstance(name, str) and name in makers:
        likelihood = makers[name]()
    else:
        likelihood = parts_by_name.likelihood(name, data)
        name = name if isinstance(name, str) else type(likelihood).__name__
    if data.missing:
        likelihood = tables.ObservedCells(likelihood)
        reason += "; of the observed cells alone"
    grey = data.domain in ("levels", "unit")
    if grey and likelihood.accepts == parts.BINARY:
        how = "dynamic" if design.binarize == "auto" else design.binarize
        data = replace(data, binarize=how)
        reason += f"; grey values are binarized ({how})"
    elif design.binarize != "auto":
        raise ValueError(
            f"binarize={design.binarize} was requested, but only grey data under a bernoulli "
            f"likelihood is binarized; here the data is {data.domain} and the likelihood {name}"
        )
    elif data.domain not in likelihood.accepts:
        fitting = [key for key, make in makers.items() if data.domain in make().accepts]
        hint = HINTS.get(likelihood.accepts, "")
        raise ValueError(
            f"the {name} likelihood is for {' or '.join(sorted(likelihood.accepts))} data, but "
            f"this data is {data.domain}: values from {data.low:g} to {data.high:g}. "
            f"Use one of: {', '.join(fitting)}.{hint}"
        )
    if data.domain == "counts" and likelihood.accepts != parts.COUNTS:
        data = replace(data, columns=())  # to a density, counts are standardised numbers
    return FittedLikelihood(likelihood, data, f"{name}: {reason}")


def _default(data: DataSpec) -> tuple[str, str]:
    if data.domain == "binary":
        return "bernoulli", "the data has two values"
    if data.domain == "mixed":
        groups = _grouped(data).items()
        kinds = ", ".join(f"{len(places)} {column.kind}" for column, places in groups)
        return "mixed", f"the columns of the data differ ({kinds})"
    if data.domain == "counts":
        # The variance of counts is seldom below the mean; that of years always is.
        ratios = sorted(s**2 / max(m, 1e-9) for m, s in zip(data.offset, data.scale, strict=True))
        least = ratios[len(ratios) // 10]
        observed = (
            f"whole numbers, {data.low:g} to {data.high:g}, with a variance of {least:.2g} x mean"
        )
        if least < DISPERSED:
            return "gaussian", f"the data is {observed}, too little for counts; one σ is learned"
        return "negative-binomial", f"the data is counts ({observed})"
    if data.bounded and data.contrast >= TWO_TONED:
        return "bernoulli", f"the data is nearly two-toned (contrast {data.contrast:.2f} of 1)"
    if data.domain == "levels":
        return (
            "discretized-logistic",
            f"the data has {data.levels} levels (contrast {data.contrast:.2f} of 1)",
        )
    if data.columns:
        return "gaussian", "all columns are real; one σ is learned for each"
    return "gaussian", f"the data is continuous, {data.low:g} to {data.high:g}; one σ is learned"
