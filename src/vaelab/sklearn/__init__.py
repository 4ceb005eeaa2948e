"""scikit-learn estimators: codes, densities and outliers by a variational autoencoder."""

from vaelab.sklearn.estimators import VAEDensity, VAEOutlierDetector, VAETransformer
from vaelab.utils.hints import missing_from

__all__ = ["VAEDensity", "VAEOutlierDetector", "VAETransformer"]

__getattr__ = missing_from(__name__, __all__)
