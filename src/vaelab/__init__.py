"""vaelab: variational autoencoders to understand and to use."""

__version__ = "0.1.0"
