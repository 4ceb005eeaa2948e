"""Commands whose first word says which of several they are: `vaelab train RECIPE`."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from typing import Any

Command = Callable[..., None]


@dataclass(frozen=True)
class Choice:
    """Alternatives that a first argument selects, and the command of each.

    Attributes:
            what: name of the alternatives, such as "recipe".
        known: their names.
        example: a whole command line.
        listing: returns the text that lists them.
        command: returns the command of a name; raises a ValueError if it is unknown.
        flags: commands that a flag names in place of a name.
    """

    what: str
    known: Collection[str]
    example: str
    listing: Callable[[], str]
    command: Callable[[str], Command]
    flags: Mapping[str, Callable[[], Command]] = field(default_factory=dict)

    def __call__(self, args: list[str]) -> Command | None:
        """The command of the first argument; None if help was printed.

        Raises:
            ValueError: if the first argument is no name, or an unknown one.
        """
        if args and args[0] in ("-h", "--help"):
            print(self.listing())
            return None
        if args and args[0] in self.flags:
            return self.flags[args[0]]()
        if not args or args[0].startswith("-"):
            raise ValueError(
                f"a {self.what} comes first, as in `{self.example}`; "
                f"there is {', '.join(self.known)}"
            )
        return self.command(args[0])


def summary(documented: Any) -> str:
    """The first line of the docstring of a function or class."""
    return inspect.cleandoc(documented.__doc__ or "").partition("\n")[0]
