"""Networks and likelihoods of one's own, as instances, by a factory or by a name.

An instance is a template: every build takes a copy. A factory is called with the sizes that the
data and the model ask for:

    encoder        (shape, outputs) -> module from x (B, *shape) to (B, outputs)
    decoder        (inputs, shape, params) -> module from z (B, inputs) to (B, params · C, …)
    likelihood     (data) -> Likelihood, for the specification of the data; a class whose
                   constructor takes no argument will do
"""

from __future__ import annotations

import copy
import inspect
from collections.abc import Callable, Sequence
from typing import Any, Literal, get_args

import torch
from torch import Tensor, nn

from vaelab.data import DataSpec
from vaelab.nets import Shape
from vaelab.parts.likelihoods import Likelihood
from vaelab.utils.plugins import installed
from vaelab.utils.text import did_you_mean

Net = Literal["auto", "mlp", "conv", "resconv"]
NETS: tuple[str, ...] = get_args(Net)

Kind = Literal["encoder", "decoder", "likelihood"]
KINDS: tuple[Kind, ...] = get_args(Kind)

LikelihoodName = Literal[
    "auto",
    "bernoulli",
    "continuous-bernoulli",
    "gaussian",
    "gaussian-fixed",
    "gaussian-heteroscedastic",
    "laplace",
    "student",
    "discretized-logistic",
    "logistic-mixture",
    "categorical",
    "poisson",
    "negative-binomial",
    "zero-inflated",
    "mixed",
]

BUILT_IN: dict[str, tuple[str, ...]] = {
    "encoder": ("auto",),
    "decoder": ("auto",),
    "likelihood": get_args(LikelihoodName),
}

SIGNATURES = {
    "encoder": "(shape, outputs) -> module",
    "decoder": "(inputs, shape, params) -> module",
    "likelihood": "(data) -> Likelihood",
}

REGISTERED: dict[str, dict[str, Callable[..., Any]]] = {kind: {} for kind in KINDS}
"""Registered factories by kind and name."""


def register(kind: Kind, name: str, part: Callable[..., Any]) -> None:
    """Give a network or a likelihood a name, for `Design`, the command line and saved runs.

    An installed package offers parts by entry points instead, of the groups `vaelab.encoders`,
    `vaelab.decoders` and `vaelab.likelihoods`.

    `vaelab.register("likelihood", "sharp", SharpLikelihood)`, and then
    `vaelab.Design(likelihood="sharp")` or `--likelihood sharp`.

    Args:
        kind: encoder, decoder or likelihood.
        name: name to register, such as "patches"; one without a colon.
        part: factory, with the arguments stated in this module.

    Raises:
        TypeError: if the part cannot be called, or the kind does not exist.
        ValueError: if another part has the name.
    """
    if kind not in KINDS:
        raise TypeError(
            f"kind is {kind!r}; expected {', '.join(KINDS)}. A recipe is registered by the "
            "decorator @vaelab.recipe"
        )
    if isinstance(part, nn.Module) or not callable(part):
        raise TypeError(
            f"{name} is a {type(part).__name__}; expected a factory {SIGNATURES[kind]}, which "
            "builds a new one for every model"
        )
    if not name or ":" in name:
        raise ValueError(f"name is {name!r}; expected a word without a colon")
    taken = REGISTERED[kind].get(name)
    if name in names(kind) and (taken is None or place(taken) != place(part)):
        owner = "vaelab" if taken is None else place(taken)
        raise ValueError(f"{owner} has the {kind} {name} already; give yours another name")
    REGISTERED[kind][name] = part


def names(kind: str) -> list[str]:
    """All names of a kind, those of installed packages included."""
    return list(dict.fromkeys((*BUILT_IN[kind], *REGISTERED[kind], *installed(_group(kind)))))


def _group(kind: str) -> str:
    return f"vaelab.{kind}s"


def check(kind: str, part: Any) -> None:
    """Check a field of `Design`: an instance, a factory or a name.

    Raises:
        ValueError: for anything else; states the choices.
    """
    if callable(part) or (isinstance(part, str) and part in names(kind)):
        return
    there = names(kind)
    hint = did_you_mean(part, there) if isinstance(part, str) else ""
    if kind != "likelihood" and part in NETS:
        hint = f" net={part!r} would choose both networks by name."
    choices = " or ".join(", ".join(there).rsplit(", ", 1))
    raise ValueError(
        f"{kind} is {part!r}; expected {choices}, a module (vaelab.nets has some) or a factory "
        f"{SIGNATURES[kind]}.{hint}"
    )


def place(part: Any) -> str:
    """Module and name of a part's code, as `package.module:name`."""
    code = type(part) if isinstance(part, nn.Module) else inspect.unwrap(part)
    kind = code if hasattr(code, "__qualname__") else type(code)
    return f"{kind.__module__}:{kind.__qualname__}"


def code_of(kind: str, part: Any) -> str | None:
    """Code outside of the library that a field of `Design` needs, if any."""
    if not isinstance(part, str):
        return place(part)
    if part in BUILT_IN[kind]:
        return None
    return place(_find(kind, part))


def _find(kind: str, name: str) -> Callable[..., Any]:
    if name in REGISTERED[kind]:
        return REGISTERED[kind][name]
    point = installed(_group(kind))[name]
    try:
        return point.load()
    except Exception as error:
        raise ValueError(
            f"the {kind} {name} of {point.value} cannot be imported: {error}"
        ) from None


def _made(kind: str, part: Any, *sizes: Any) -> Any:
    """A new part: a copy of an instance, or the result of a factory."""
    if isinstance(part, nn.Module):
        return copy.deepcopy(part)
    factory = _find(kind, part) if isinstance(part, str) else part
    made = factory() if _takes_nothing(factory) else factory(*sizes)
    if not isinstance(made, nn.Module):
        raise TypeError(
            f"the factory of the {kind} returns a {type(made).__name__}; expected "
            f"{SIGNATURES[kind]}"
        )
    return made


def _takes_nothing(factory: Any) -> bool:
    """True for a class without arguments, such as a likelihood with fixed settings."""
    if not inspect.isclass(factory):
        return False
    parameters = inspect.signature(factory).parameters.values()
    loose = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)
    return all(p.kind in loose or p.default is not p.empty for p in parameters)


def encoder(part: Any, shape: Shape, outputs: int) -> nn.Module:
    """Encoder of one's own from x (B, *shape) to (B, outputs).

    Raises:
        TypeError: if it returns no tensor.
        ValueError: if a shape does not fit; states both.
    """
    made: nn.Module = _made("encoder", part, shape, outputs)
    result = _walked(made, "encoder", shape)
    if isinstance(result, tuple | list) and len(result) == 2:
        raise TypeError(
            f"the encoder returns a pair; expected one tensor (N, {outputs}), means and logarithms "
            "of σ side by side: return torch.cat([mu, log_sigma], 1), with log_sigma = 0.5 * logvar"
        )
    _expect("encoder", result, (outputs,), f"the posterior asks for {outputs} numbers")
    return made


def decoder(part: Any, inputs: int, shape: Shape, params: int) -> nn.Module:
    """Decoder of one's own from z (B, inputs) to (B, params · C, …); raises as `encoder` does."""
    made: nn.Module = _made("decoder", part, inputs, shape, params)
    asked = f"the likelihood asks for {params} for each of the data's ({_written(shape)})"
    _expect("decoder", _walked(made, "decoder", (inputs,)), (params * shape[0], *shape[1:]), asked)
    return made


def likelihood(part: Any, data: DataSpec) -> Likelihood:
    """Likelihood of one's own for some data.

    Raises:
        TypeError: if it is none.
    """
    made = _made("likelihood", part, data)
    if not isinstance(made, Likelihood):
        raise TypeError(
            f"the likelihood is a {type(made).__name__}; expected a subclass of "
            "vaelab.parts.likelihoods.Likelihood, whose forward returns a Distribution"
        )
    return made


@torch.no_grad()
def _walked(net: nn.Module, role: str, shape: Sequence[int]) -> Any:
    """Output for two examples of zeros; the mode and the statistics of the network stay."""
    training = net.training
    net.eval()
    try:
        return net(torch.zeros(2, *shape))
    except (RuntimeError, TypeError, ValueError) as error:
        raise ValueError(f"the {role} does not take (N, {_written(shape)}): {error}") from None
    finally:
        net.train(training)


def _expect(role: str, result: Any, shape: Sequence[int], asked: str) -> None:
    if not isinstance(result, Tensor):
        raise TypeError(f"the {role} returns a {type(result).__name__}; expected a tensor")
    if tuple(result.shape[1:]) != tuple(shape):
        raise ValueError(
            f"the {role} gives (N, {_written(result.shape[1:])}); expected (N, {_written(shape)}): "
            f"{asked}"
        )


def _written(shape: Sequence[int]) -> str:
    return ", ".join(map(str, shape))
