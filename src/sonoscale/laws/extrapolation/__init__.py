"""Extrapolation with calibrated intervals: fit small runs, foretell large ones, and say how wrong that was before."""

from sonoscale.laws.extrapolation._groups import GroupLaw, fit_groups
from sonoscale.laws.extrapolation._result import Extrapolation, Forecast, Panellist
from sonoscale.laws.extrapolation._rule import PANEL, extrapolate

__all__ = ["PANEL", "Extrapolation", "Forecast", "GroupLaw", "Panellist", "extrapolate", "fit_groups"]
