"""Embeddings + labels -> downstream score, by a named protocol."""

from sonoscale.probe._linear import ProbeResult, linear_probe

__all__ = ["ProbeResult", "linear_probe"]
