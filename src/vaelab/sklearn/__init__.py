"""scikit-learn estimators: codes, densities and outliers by a variational autoencoder."""

from vaelab.sklearn.estimators import VAEDensity, VAEOutlierDetector, VAETransformer

__all__ = ["VAEDensity", "VAEOutlierDetector", "VAETransformer"]
