"""Suggestions for misspelt and foreign names, text that is safe to print, and exact numbers."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Mapping, Sequence

from vaelab.utils.foreign_words import FOREIGN, squashed
from vaelab.utils.options import on_command_line

_UNSEEN = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\ud800-\udfff]")
"""Characters that control a terminal or reverse its text, and those without an encoding."""

_ENDINGS = ("vaeconfig", "vaemodel", "vae", "config", "model", "s")
"""Endings without which a name of another library may be one of ours."""

_ANYWHERE = "vaelab."


def escape_control(text: str) -> str:
    """Escape the control characters of a text, since names come from files.

    >>> print(escape_control("café \\x1b[2J"))
    café \\x1b[2J
    """
    return _UNSEEN.sub(lambda sign: sign[0].encode("unicode_escape").decode(), text)


def nearest(name: str, known: Iterable[str], prefix: Mapping[str, str] = {}) -> list[str]:
    """Names that a misspelt or foreign one may stand for, the likeliest first; at most 3.

    >>> nearest("latent_dim", ["latent", "lr"]), nearest("BetaVAE", ["vae", "beta_vae"])
    (['latent'], ['beta_vae'])
    >>> nearest("BetaTCVAE", ["beta_vae", "beta_tc"])
    ['beta_tc']

    Args:
        name: the name.
        known: names.
        prefix: text before a name if it is not written bare, by name.
    """
    names = {each: prefix.get(each, "") + each for each in known}
    by_key: dict[str, list[str]] = {}
    for each, written in names.items():
        by_key.setdefault(squashed(each), []).append(written)
    key = squashed(name)
    if key in by_key:
        return by_key[key][:3]
    bare = (word.removeprefix(_ANYWHERE) for word in FOREIGN.get(key, ()))
    if meant := [names.get(each, each) for each in bare if each.partition(".")[0] in names]:
        return list(dict.fromkeys(meant))[:3]
    for ending in _ENDINGS:
        if (stem := key.removesuffix(ending)) != key and stem in by_key:
            return by_key[stem][:3]
    close = difflib.get_close_matches(key, by_key, n=3, cutoff=0.6)
    return [each for match in close for each in by_key[match]][:3]


def did_you_mean(name: str, known: Iterable[str], prefix: Mapping[str, str] = {}) -> str:
    """Return a sentence to append after a full stop, with the nearest names; empty if none is near.

    >>> did_you_mean("sampel", ["train", "sample"])
    ' Did you mean sample?'
    >>> did_you_mean("--pior", ["--prior", "--json", "--help"])
    ' Did you mean --prior?'
    >>> did_you_mean("xyz", ["train", "sample"])
    ''
    """
    return _asked(nearest(name, known, prefix))


def elsewhere(name: str, known: Iterable[str]) -> str:
    """The same sentence for a foreign word that stands for names of the Python interface alone.

    >>> elsewhere("from_pretrained", ["sample"]), elsewhere("from_pretrained", ["load"])
    (' Did you mean vaelab.load?', '')
    """
    here = {squashed(each) for each in known}
    words = FOREIGN.get(squashed(name), ())
    bare = {squashed(word.removeprefix(_ANYWHERE).partition(".")[0]) for word in words}
    if on_command_line() or here & {squashed(name), *bare}:
        return ""
    return _asked([word for word in words if word.startswith(_ANYWHERE)][:3])


def _asked(names: Sequence[str]) -> str:
    return f" Did you mean {' or '.join(names)}?" if names else ""


def exact(value: float) -> str:
    """A number in as many digits as it takes, no more rounded than it was tested.

    >>> exact(255.000001), exact(16.0), exact(-0.0)
    ('255.000001', '16', '0')
    """
    import numpy as np

    value = float(value) + 0.0  # never −0
    single = np.float32(value)
    text = str(single) if float(single) == value and abs(value) < 1e6 else repr(value)
    return text.removesuffix(".0")
