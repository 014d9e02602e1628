"""Embeddings + labels -> downstream score, by a named protocol."""

from sonoscale.probe._linear import PROTOCOL, ProbeResult, linear_probe

__all__ = ["PROTOCOL", "ProbeResult", "linear_probe"]
