"""Pictures: numpy arrays in, Pillow images or matplotlib figures out, `save` to a file.

Nothing here knows a model. Sample grids are pixel-exact (`grids`, `cells`), drawings (`maps`,
`curves`) are matplotlib figures made without pyplot; both have a transparent background and
mid-grey ink, so that one file serves light and dark pages. `captioned` puts a strip of text below
a picture that stands alone; on a page, captions belong to the page.
"""

from vaelab.plots.captions import captioned
from vaelab.plots.curves import bars, training_curves
from vaelab.plots.grids import comparison, grid, manifold, picture, rows, strips, traversal
from vaelab.plots.maps import density_map, field_map, latent_map, limits
from vaelab.plots.save import Picture, png, save, svg
from vaelab.plots.style import DIVERGING, SEQUENTIAL, class_styles, figure, printable
from vaelab.plots.tables import agreement, lines, marginals, plane, spread
from vaelab.utils.hints import missing_from

__all__ = [
    "DIVERGING",
    "SEQUENTIAL",
    "Picture",
    "agreement",
    "bars",
    "captioned",
    "class_styles",
    "comparison",
    "density_map",
    "field_map",
    "figure",
    "grid",
    "latent_map",
    "limits",
    "lines",
    "manifold",
    "marginals",
    "picture",
    "plane",
    "png",
    "printable",
    "rows",
    "save",
    "spread",
    "strips",
    "svg",
    "training_curves",
    "traversal",
]

__getattr__ = missing_from(__name__, __all__)
