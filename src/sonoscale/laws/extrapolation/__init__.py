"""Extrapolation with calibrated intervals: fit small runs, predict large ones, and say how wrong that was before."""

from sonoscale.laws.extrapolation._result import Extrapolation, PanelMember
from sonoscale.laws.extrapolation._rule import PANEL, extrapolate

__all__ = ["PANEL", "Extrapolation", "PanelMember", "extrapolate"]
