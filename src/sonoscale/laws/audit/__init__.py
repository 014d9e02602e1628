"""Should you trust rank here? A verdict on a table of runs, with its evidence.

The rules of the verdict, fixed beforehand and the same for every table. The unit is the configuration: seeds,
checkpoints and layers of one are averaged and never count as independent. With `level` 0.95, *significant* of rule 1 is
two-sided at 0.05; the tests of rule 2 are one-sided.

0. `insufficient_data` where there are fewer configurations than 8, or than the covariates' columns plus 4; or
   where seeds are known and either rank or quality differs no more between configurations than between seeds
   (analysis of variance).
1. `not_supported` where Spearman's rho of rank and quality is significant in the wrong direction; or is not
   significant, and its one-sided upper bound (Fisher's z) lies below `margin` (0.5). With a bound above,
   `insufficient_data`.
2. Else rank goes with quality, and the question is whether it does so at equal covariates and family. `supported` where
   all of these agree; otherwise rule 3:
   - the *joint model* finds a correlation of what is peculiar to each configuration in rank and in quality, p below
     0.05. It allows any effect of size that is linear, smooth, or a step at any cut of any size, and that is one and
     the same in rank and quality: a kink that a model misses would look like agreement (`Joint`). Luck that seeds
     share between rank and quality counts against it, where there are seeds to show it. Where the parametric bases
     (below) agree with it to 1.5 standard errors, the mean of its z and theirs counts, which varies less; where they
     differ by 2.5, there is a bend that they miss, and it counts alone;
   - the correlation exceeds, p below 0.12, what errors of the sizes would make if only `reliability` (0.97) of their
     variance as recorded were true;
   - both hold without the configurations that *stand apart* in rank and in quality alike (4 robust standard deviations
     of what is peculiar to each): two runs that diverged would else make a correlation by themselves;
   - the *parametric bases* do not disagree: the partial correlation is positive, p below 0.10, in the basis that was
     chosen and in the next richer one (logarithms, the square of their first principal component and, with families,
     a slope along it for each at least, and more where the data show more), by the larger p of Student's t and of
     Freedman and Lane's permutations; and rank lowers the leave-one-configuration-out error.
   But `insufficient_data` where there are too few runs for a basis richer than the chosen, for slopes by family where
   there are families, or, where the covariates' effect is found to bend, for cubes and products; and where there are
   no covariates, or they determine rank.
3. `only_through_capacity` where the one-sided 95 % upper bounds of the partial correlation, by the joint model and by
   both bases, all lie below `margin`. Else `insufficient_data`, with how many configurations would settle it.

Of many tables (`audit_groups`), `supported` has to survive Holm's correction for their number.

Evidence that no rule uses (robustness values, decision accuracy, held-out families, matched pairs, regret, baselines,
reliability, trajectory, layers) is given beside the verdict, and where it speaks against it, as a caveat. How often the
verdict is right is simulated by `benchmarks/audit_verdicts.py`; what it cannot see: `docs/what-the-audit-can-say.md`.
"""

from sonoscale._callable import make_callable
from sonoscale.laws.audit._audit import audit
from sonoscale.laws.audit._groups import GroupAudits, audit_groups
from sonoscale.laws.audit._power import AuditPower, audit_power
from sonoscale.laws.audit._result import Audit
from sonoscale.laws.audit._verdict import VERDICTS

__all__ = ["VERDICTS", "Audit", "AuditPower", "GroupAudits", "audit", "audit_groups", "audit_power"]

make_callable(__name__)
