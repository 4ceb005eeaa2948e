"""scikit-learn estimators: codes, densities, outliers and imputations by an autoencoder."""

from vaelab.sklearn.estimators import VAEDensity, VAEOutlierDetector, VAETransformer
from vaelab.sklearn.imputer import VAEImputer

__all__ = ["VAEDensity", "VAEImputer", "VAEOutlierDetector", "VAETransformer"]
