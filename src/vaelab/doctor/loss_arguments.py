"""Roles of a loss's arguments, inferred from their names or stated by the user."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch

from vaelab.doctor.loss_subject import Subject
from vaelab.utils.messages import Message, joined

ROLES = ("x", "reconstruction", "mu", "scale", "noise")
NAMES: dict[str, str] = {
    "noise": r"^(x|px|dec|out|obs|recon|rec|noise|likelihood)\w*(logv|logs|lv$|var|std|sigma|scale)"
    r"|^(log)?(var|v|std|sigma|sig|sd|scale)(x|px|dec|out|obs|recon|rec|noise|likelihood)$"
    r"|^(log)?(noise|gamma)$",
    "reconstruction": r"recon|rec$|^rec|[xy]hat$|^out|output|decoded|pred|logit|prime|tilde|fake"
    r"|^(x|px|dec)(mu|mean|means|loc)$|^(mu|mean|loc)(x|px|dec)$",
    "mu": r"^(z|q|latent)*(mu|mean|means|loc|m)(z|s|q)?$",
    "scale": r"log(var|v$|sig|std|sd|scale|s2)|^lv$|var|std|sigma|^sd$|scale$|^rho$",
    "x": r"^x|input|target|data|orig|ima?ge?s?$|batch|true|^y$|features|labels",
}
"""Tried in this order, on names in small letters without underscores."""
WEIGHTS = r"beta|weight|lambda|lamb|alpha|gamma|^w$|^kld?w|coef"
"""Names of a number that weighs a term; 1 unless the signature or the user says otherwise."""
KINDS: dict[str, tuple[tuple[str, ...], str]] = {
    "raw|^pre|unconstrained|^rho$": ((), ""),
    "log.*(var|s2|sigma2|sq|v$)|^lv$": (("logvar",), "log-variance"),
    "log.*(sig|scale)": (("logvar", "logstd"), "log-variance or log standard deviation"),
    "log.*(std|sd)": (("logstd",), "log standard deviation"),
    "var|sigma2|sq": (("var",), "variance"),
    "std|sigma|sd": (("std",), "standard deviation"),
}
"""Meaning of s by its name; an unclear name has none."""


def role(name: str) -> str | None:
    """The role of a parameter by its name.

    >>> role("recon_x"), role("x"), role("z_mean"), role("log_var"), role("beta")
    ('reconstruction', 'x', 'mu', 'scale', None)
    """
    plain = name.lower().replace("_", "")
    return next((r for r, pattern in NAMES.items() if re.search(pattern, plain)), None)


def kinds(name: str) -> tuple[tuple[str, ...], str]:
    """The meaning of s by its name, as keys of `SCALES` and in words; empty if the name has none.

    >>> kinds("log_var")[0], kinds("std")[0], kinds("log_sigma")[0]
    (('logvar',), ('std',), ('logvar', 'logstd'))
    """
    plain = name.lower().replace("_", "")
    return next((v for pattern, v in KINDS.items() if re.search(pattern, plain)), ((), ""))


def arguments_by_name(function: Callable[..., Any], name: str) -> Subject:
    try:
        parameters = list(inspect.signature(called_function(function)).parameters.values())
    except (TypeError, ValueError):
        raise ValueError(f"the signature of {name} cannot be read; {TELL}") from None
    if any(p.kind is p.VAR_POSITIONAL for p in parameters):
        raise ValueError(f"{name} takes any arguments (*{parameters[0].name}); {TELL}")
    plain = [p for p in parameters if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)]
    required = [p.name for p in plain if p.default is p.empty]
    found: dict[str, str] = {}
    for parameter in required:
        what = role(parameter)
        if what == "noise" and "scale" not in found and not _another_scale(required, parameter):
            what = "scale"
        elif what == "scale" and "scale" in found:
            what = "noise"
        if what is not None and what not in found:
            found[what] = parameter
    weights = [p for p in required if p not in found.values() and re.search(WEIGHTS, p.lower())]
    needed = [p for p in required if p not in weights]
    unknown = [p for p in needed if p not in found.values()]
    missing = [r for r in ROLES[:4] if r not in found]
    if len(needed) == 4 and len(unknown) == len(missing) and len(unknown) != 1 and unknown:
        found = dict(zip(ROLES, needed, strict=False))
    elif len(unknown) == len(missing) == 1:
        found[missing[0]] = unknown[0]
    elif unknown or not (_both(found, "x", "reconstruction") or _both(found, "mu", "scale")):
        listing = ", ".join(required) or "none"
        raise ValueError(
            f"which of the arguments of {name} ({listing}) is x, the reconstruction, mu and logvar "
            f"cannot be inferred from their names; {TELL}"
        )
    roles = {parameter: what for what, parameter in found.items()}
    said = [Message("part.is", "{name} is {role}", name=p, role=WORDS[roles[p]]) for p in needed]
    assumed = (
        Message("about.arguments", "arguments: {said}", said=joined(", ", said)),
        *(Message("about.taken-as-1", "{name} is taken as 1", name=p) for p in weights),
    )
    positional = tuple(roles.get(p, 1.0) for p in required)
    return Subject(function, positional, {}, found, assumed)


def called_function(function: Callable[..., Any]) -> Callable[..., Any]:
    """The function with the parameters: a module's own `forward`."""
    return function.forward if isinstance(function, torch.nn.Module) else function


def _another_scale(names: Sequence[str], but: str) -> bool:
    return any(role(name) in ("scale", "noise") for name in names if name != but)


TELL = 'say it with --arguments, in their order, as in --arguments "reconstruction,x,mu,logvar"'
WORDS = {
    "x": "the data",
    "reconstruction": "its reconstruction",
    "mu": "μ",
    "scale": "s",
    "noise": "σ of the likelihood",
}


def _both(found: Mapping[str, str], a: str, b: str) -> bool:
    return a in found and b in found


def arguments_stated(function: Callable[..., Any], arguments: str) -> Subject:
    positional: list[str | float] = []
    named: dict[str, float] = {}
    called: dict[str, str] = {}
    for piece in (p.strip() for p in arguments.split(",")):
        name, _, value = piece.rpartition("=")
        what = role(piece)
        if what == "scale" and "scale" in called:
            what = "noise"
        try:
            if name:
                named[name] = float(value)
            elif what is None:
                positional.append(float(piece))
        except ValueError:
            raise ValueError(
                f"--arguments has {piece!r}; expected x, reconstruction, mu, logvar (or var, std, "
                "logstd), a number, or NAME=number"
            ) from None
        if not name and what is not None:
            if what in called:
                raise ValueError(f"--arguments names {called[what]!r} and {piece!r}: which is it?")
            positional.append(what)
            called[what] = piece
    if not (_both(called, "x", "reconstruction") or _both(called, "mu", "scale")):
        raise ValueError(
            f"--arguments {arguments!r} has neither x and reconstruction nor mu and logvar"
        )
    return Subject(function, tuple(positional), named, called, ())
