"""Embeddings -> one mergeable sketch -> spectrum -> effective rank and other label-free metrics, with intervals.

Knows nothing of audio: NumPy and SciPy, and torch only where torch tensors, devices or process groups come in.
"""

from sonoscale.rank._compare import Difference, check_comparable, compare, compare_sketches
from sonoscale.rank._estimators import ESTIMATORS, get_estimator
from sonoscale.rank._files import open_embeddings
from sonoscale.rank._hypersphere import alignment, uniformity
from sonoscale.rank._lidar import LidarSketch
from sonoscale.rank._measure import measure_all, measure_rank, rankme
from sonoscale.rank._monitor import RankMonitor
from sonoscale.rank._neighbours import TwoNN, two_nn
from sonoscale.rank._record import RankRecord, read_records, write_records
from sonoscale.rank._sample_size import (
    ClipsNeeded,
    CurvePoint,
    Extrapolation,
    clips_needed,
    extrapolate,
    rank_curve,
)
from sonoscale.rank._sketch import SpectralSketch

__all__ = [
    "ESTIMATORS",
    "ClipsNeeded",
    "Difference",
    "Extrapolation",
    "LidarSketch",
    "RankMonitor",
    "RankRecord",
    "SpectralSketch",
    "TwoNN",
    "alignment",
    "check_comparable",
    "clips_needed",
    "compare",
    "compare_sketches",
    "extrapolate",
    "measure_all",
    "open_embeddings",
    "rank_curve",
    "rankme",
    "read_records",
    "two_nn",
    "uniformity",
    "write_records",
]
