"""The one place that holds the version of the package (the container has a version number of its own)."""

__version__ = "0.1.0"
