"""Fitted laws with honest uncertainty: from a table of runs to what a new run will score.

Stands alone on NumPy and SciPy. `fit` fits one form, `compare` several variables under several forms, and
`spearman` asks only for the order; all three resample clusters of dependent rows.
"""

from sonoscale.laws._bootstrap import Interval
from sonoscale.laws._compare import Comparison, compare
from sonoscale.laws._correlation import Correlation, spearman
from sonoscale.laws._fit import fit
from sonoscale.laws._fitted import Fit
from sonoscale.laws._forms import FORMS, Form, PowerTerm

__all__ = [
    "FORMS",
    "Comparison",
    "Correlation",
    "Fit",
    "Form",
    "Interval",
    "PowerTerm",
    "compare",
    "fit",
    "spearman",
]
