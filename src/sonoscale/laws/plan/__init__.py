"""What to train next: the best split of a budget, or the best design, with how sure that is."""

from sonoscale.laws.plan._allocation import Allocation, plan_allocation
from sonoscale.laws.plan._candidates import DesignCost
from sonoscale.laws.plan._choice import Candidate
from sonoscale.laws.plan._cost import SIX_ND, Cost, PowerCost, fit_cost
from sonoscale.laws.plan._design import plan_design
from sonoscale.laws.plan._designed import Designed

__all__ = [
    "SIX_ND",
    "Allocation",
    "Candidate",
    "Cost",
    "DesignCost",
    "Designed",
    "PowerCost",
    "fit_cost",
    "plan_allocation",
    "plan_design",
]
