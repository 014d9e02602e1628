"""Embeddings -> one mergeable sketch -> spectrum -> effective rank, with an interval. Knows nothing of audio."""

from sonoscale.rank._estimators import rankme
from sonoscale.rank._record import RankRecord, measure_rank
from sonoscale.rank._sketch import SpectralSketch

__all__ = ["RankRecord", "SpectralSketch", "measure_rank", "rankme"]
