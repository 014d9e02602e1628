"""What to train next: the best split of a budget, or the best design, with how sure that is."""

from sonoscale.laws.plan._allocation import plan_allocation
from sonoscale.laws.plan._cost import PowerCost
from sonoscale.laws.plan._design import plan_design
from sonoscale.laws.plan._plan import plan
from sonoscale.laws.plan._results import Allocation, Designed, GroupPlans

__all__ = ["Allocation", "Designed", "GroupPlans", "PowerCost", "plan", "plan_allocation", "plan_design"]
