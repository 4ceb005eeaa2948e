"""Commands whose first word says which of several they are: `vaelab train RECIPE`."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from typing import Any

Command = Callable[..., None]


@dataclass(frozen=True)
class Choice:
    """What there is to choose from, and the command of each.

    Attributes:
        what: is chosen, such as a recipe.
        known: its names.
        example: of a whole command line.
        listing: what there is, for people.
        command: that of a name; raises a ValueError where it is not known.
        flags: commands that a flag names in place of a name.
    """

    what: str
    known: Collection[str]
    example: str
    listing: Callable[[], str]
    command: Callable[[str], Command]
    flags: Mapping[str, Callable[[], Command]] = field(default_factory=dict)

    def __call__(self, args: list[str]) -> Command | None:
        """The command of what the arguments name first; None where help was shown.

        Raises:
            ValueError: where no name, or none that is known, comes first.
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
    """The first line of what a function or a class says of itself."""
    return inspect.cleandoc(documented.__doc__ or "").partition("\n")[0]
