"""scikit-learn estimators: codes, densities, outliers and imputations by an autoencoder."""

from vaelab.sklearn.estimators import VAEDensity, VAEOutlierDetector, VAETransformer
from vaelab.sklearn.imputer import VAEImputer
from vaelab.utils.hints import missing_from

__all__ = ["VAEDensity", "VAEImputer", "VAEOutlierDetector", "VAETransformer"]

__getattr__ = missing_from(__name__, __all__)
