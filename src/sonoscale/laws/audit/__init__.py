"""Should you trust rank here? A verdict on a table of runs, with its evidence.

The rules of the verdict, fixed beforehand and the same for every table. The unit is the configuration: seeds,
checkpoints and layers of one are averaged and never count as independent. *Significant* is two-sided at
`1 - level` and in the right direction (more rank, more quality).

0. `insufficient_data` where there are fewer configurations than 8, or than the covariates' columns plus 4; or
   where seeds are known and either rank or quality differs no more between configurations than between seeds
   (analysis of variance).
1. `not_supported` where Spearman's rho of rank and quality is not significant though a true correlation of 0.5
   would be detected with a chance of one half or more, or is significant in the wrong direction. Without that
   chance, `insufficient_data`.
2. Else rank goes with quality, and the question is whether it does so at equal covariates and family (a constant
   for each). The covariates enter as logarithms, with the square of their first principal component and, with
   families, a slope along it for each at least, and with more where the data show more (`bases`): curvature that is
   missed is the likeliest way for a useless rank to look useful. `supported` where rank is significant in the basis
   that was chosen and in the next richer one, by the larger p of Student's t and of Freedman and Lane's
   permutations, and lowers the leave-one-configuration-out error. But `insufficient_data` where there are too few
   runs for a basis richer than the chosen, for slopes by family where there are families, or, where the covariates'
   effect is found to bend, for cubes and products; and where there are no covariates, or they determine rank.
3. `only_through_capacity` where rank is not significant in rule 2, though a true partial correlation of 0.5 would
   be detected with a chance of one half or more, or is significant in the wrong direction. Without that chance,
   `insufficient_data`.

Evidence that no rule uses (held-out families, matched pairs, regret, baselines, trajectory, layers) is given beside
the verdict, and where it speaks against it, as a caveat. How often the verdict is right is simulated by
`benchmarks/audit_verdicts.py`.
"""

from sonoscale._callable import make_callable
from sonoscale.laws.audit._audit import audit
from sonoscale.laws.audit._result import Audit
from sonoscale.laws.audit._verdict import VERDICTS

__all__ = ["VERDICTS", "Audit", "audit"]

make_callable(__name__)
