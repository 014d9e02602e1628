"""Fitted laws with honest uncertainty: from a table of runs to what a new run will score.

Stands alone on NumPy and SciPy. `fit_form` fits one form, `compare` several variables under several forms, and
`spearman` asks only for the order; all three resample clusters of dependent rows.
"""

from sonoscale.laws._compare import Comparison, compare
from sonoscale.laws._correlation import Correlation, spearman
from sonoscale.laws._estimate import Estimate, Prediction
from sonoscale.laws._fit_form import fit_form
from sonoscale.laws._fitted import Fit
from sonoscale.laws._profile import profile_interval
from sonoscale.laws._read import as_runs, read_runs
from sonoscale.laws._runs import RunTable
from sonoscale.laws._screen import Screened, screen
from sonoscale.laws._table import as_table, read_table
from sonoscale.laws._target import Target
from sonoscale.laws.audit import Audit, audit_rank
from sonoscale.laws.extrapolation import Extrapolation, GroupLaw, extrapolate, fit_groups
from sonoscale.laws.forms import FORMS, Form, PowerTerm
from sonoscale.laws.loglinear import LogLinear, TwoStage, fit_loglinear, fit_two_stage
from sonoscale.laws.plan import Allocation, Designed, plan_allocation, plan_design

__all__ = [
    "FORMS",
    "Allocation",
    "Audit",
    "Comparison",
    "Correlation",
    "Designed",
    "Estimate",
    "Extrapolation",
    "Fit",
    "Form",
    "GroupLaw",
    "LogLinear",
    "PowerTerm",
    "Prediction",
    "RunTable",
    "Screened",
    "Target",
    "TwoStage",
    "as_runs",
    "as_table",
    "audit_rank",
    "compare",
    "extrapolate",
    "fit_form",
    "fit_groups",
    "fit_loglinear",
    "fit_two_stage",
    "plan_allocation",
    "plan_design",
    "profile_interval",
    "read_runs",
    "read_table",
    "screen",
    "spearman",
]
