"""`vaelab explore`: runs as one page that a hand can move through."""

from vaelab.explore.export import explorer_page
from vaelab.utils.callable_package import make_callable

__all__ = ["explorer_page"]

make_callable(__name__, "vaelab.verbs.explore:explore")
