"""Extrapolation with calibrated intervals: fit small runs, foretell large ones, and say how wrong that was before."""

from sonoscale.laws.extrapolate._extrapolate import PANEL, extrapolate
from sonoscale.laws.extrapolate._groups import GroupLaw, fit_groups
from sonoscale.laws.extrapolate._result import Extrapolation, Forecast, Panellist

__all__ = ["PANEL", "Extrapolation", "Forecast", "GroupLaw", "Panellist", "extrapolate", "fit_groups"]
