"""The shapes a law may take, as data: a new form is one more entry in `FORMS`."""

from sonoscale.laws.forms._catalogue import FORMS, find_form
from sonoscale.laws.forms._constrain import constrain
from sonoscale.laws.forms._curves import broken_power_law
from sonoscale.laws.forms._form import Form, PowerTerm, Scale
from sonoscale.laws.forms._sums import Term, sum_of_powers

__all__ = ["FORMS", "Form", "PowerTerm", "Term", "broken_power_law", "constrain", "find_form", "sum_of_powers"]
