"""Log-linear models in several variables, with effects of families, and the law in two stages through the rank."""

from sonoscale.laws.loglinear._diagnose import Outlier
from sonoscale.laws.loglinear._fit import fit_loglinear
from sonoscale.laws.loglinear._fitted import Coefficient, LogLinear
from sonoscale.laws.loglinear._routes import Route
from sonoscale.laws.loglinear._two_stage import TwoStage, fit_two_stage

__all__ = ["Coefficient", "LogLinear", "Outlier", "Route", "TwoStage", "fit_loglinear", "fit_two_stage"]
