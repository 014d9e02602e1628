"""Label-free scaling laws for audio encoders."""

__version__ = "0.1.0"
