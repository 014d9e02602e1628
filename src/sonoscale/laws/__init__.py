"""Fitted laws with honest uncertainty: from a table of runs to what a new run will score.

Stands alone on NumPy and SciPy. The verbs read one table of runs: `fit` fits a law and predicts beyond the data,
`compare` holds several variables against one another, `fit_loglinear` and `fit_two_stage` explain in many variables;
`audit` and `plan` are in the packages of their names. `fit_form`, `extrapolate` and `spearman` take arrays.
"""

from sonoscale.laws._compare import Comparison, compare
from sonoscale.laws._correlation import Correlation, spearman
from sonoscale.laws._estimate import Estimate, Prediction
from sonoscale.laws._fit import fit
from sonoscale.laws._fit_form import fit_form
from sonoscale.laws._fitted import Fit
from sonoscale.laws._laws import Law, Laws
from sonoscale.laws._profile import profile_interval
from sonoscale.laws._quality import Quality, QualityRule, Reliability, quality, reliability
from sonoscale.laws._read import read_runs
from sonoscale.laws._runs import RunTable
from sonoscale.laws._table import read_table
from sonoscale.laws._target import Target
from sonoscale.laws.extrapolation import Extrapolation, extrapolate
from sonoscale.laws.forms import FORMS, Form
from sonoscale.laws.loglinear import LogLinear, TwoStage, fit_loglinear, fit_two_stage

__all__ = [
    "FORMS",
    "Comparison",
    "Correlation",
    "Estimate",
    "Extrapolation",
    "Fit",
    "Form",
    "Law",
    "Laws",
    "LogLinear",
    "Prediction",
    "Quality",
    "QualityRule",
    "Reliability",
    "RunTable",
    "Target",
    "TwoStage",
    "compare",
    "extrapolate",
    "fit",
    "fit_form",
    "fit_loglinear",
    "fit_two_stage",
    "profile_interval",
    "quality",
    "read_runs",
    "reliability",
    "spearman",
]
