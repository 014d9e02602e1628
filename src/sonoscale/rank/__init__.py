"""Embeddings -> one mergeable sketch -> spectrum -> effective rank and its rivals, with intervals.

Knows nothing of audio: NumPy and SciPy, and torch only where torch tensors, devices or process groups come in.
"""

from sonoscale.rank._compare import Difference, check_comparable, compare, compare_sketches
from sonoscale.rank._dispersion import condition_number, nesum, numerical_rank, participation_ratio, stable_rank
from sonoscale.rank._entropy import (
    collapse,
    rankme,
    rankme_eigenvalues,
    rankme_positive,
    rankme_share,
    rankme_twice_smoothed,
    renyi,
)
from sonoscale.rank._estimators import ESTIMATORS, Estimator, get_estimator
from sonoscale.rank._files import EmbeddingFile, open_embeddings
from sonoscale.rank._from_file import FileSketch, sketch_file
from sonoscale.rank._hypersphere import alignment, uniformity
from sonoscale.rank._lidar import LidarSketch
from sonoscale.rank._measure import measure_all, measure_rank
from sonoscale.rank._measure_files import (
    FileComparison,
    FileMeasurement,
    compare_files,
    measure_file,
    write_measurements,
)
from sonoscale.rank._monitor import RankMonitor
from sonoscale.rank._neighbours import TwoNN, two_nn
from sonoscale.rank._powerlaw import PowerLaw, alpha_req
from sonoscale.rank._record import RankRecord, read_records, write_records
from sonoscale.rank._sample_records import sample_records
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
    "CurvePoint",
    "Difference",
    "EmbeddingFile",
    "Estimator",
    "Extrapolation",
    "FileComparison",
    "FileMeasurement",
    "FileSketch",
    "LidarSketch",
    "PowerLaw",
    "RankMonitor",
    "RankRecord",
    "SpectralSketch",
    "TwoNN",
    "alignment",
    "alpha_req",
    "check_comparable",
    "clips_needed",
    "collapse",
    "compare",
    "compare_files",
    "compare_sketches",
    "condition_number",
    "extrapolate",
    "get_estimator",
    "measure_all",
    "measure_file",
    "measure_rank",
    "nesum",
    "numerical_rank",
    "open_embeddings",
    "participation_ratio",
    "rank_curve",
    "rankme",
    "rankme_eigenvalues",
    "rankme_positive",
    "rankme_share",
    "rankme_twice_smoothed",
    "read_records",
    "renyi",
    "sample_records",
    "sketch_file",
    "stable_rank",
    "two_nn",
    "uniformity",
    "write_measurements",
    "write_records",
]
