"""The version of this release; by itself, so that any file may import it."""

__version__ = "0.1.0"
