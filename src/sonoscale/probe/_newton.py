"""Newton's method for logistic regressions, many at once, over a path of strengths."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import torch
from torch import Tensor
from torch.nn.functional import softplus

STEPS, INNER, HALVINGS = 100, 60, 20  # at most: of Newton, of conjugate gradients in one, of the line search


@dataclass(frozen=True)
class Problems:
    """Clips, targets and penalties: minimised is `sum of losses + 1/2 sum of penalty * w^2`.

    Parts (folds) have clips of their own; shorter ones are filled up with zeros. In each there is either one
    multinomial problem over all outputs, or a binary one for each output: "of each problem" below means
    `[parts, 1, 1]` or `[parts, outputs, 1]`. Few rows and long ones are the faster way round for matrix products.

    Attributes:
        x: `[parts, n, rank + 1]`, on principal axes, the last column 1.
        energy: column sums of `x^2`, `[parts, 1, rank + 1]`.
        there: 1 where there is a clip, else 0, `[parts, 1, n]`.
        y: 0 or 1, `[parts, outputs, n]`.
        penalty: of each column of the weights, `[parts, 1, rank + 1]`; 0 for the intercept.
        multinomial: whether the outputs are one softmax.
    """

    x: Tensor
    energy: Tensor
    there: Tensor
    y: Tensor
    penalty: Tensor
    multinomial: bool

    def only(self, parts: Tensor, outputs: Tensor) -> Problems:
        """Some of the parts, and some of the outputs."""
        x, energy, there, penalty = (each[parts] for each in (self.x, self.energy, self.there, self.penalty))
        return Problems(x, energy, there, self.y[parts][:, outputs], penalty, self.multinomial)

    def dot(self, a: Tensor, b: Tensor) -> Tensor:
        """Inner product of `[parts, outputs, rank + 1]`, of each problem."""
        return (a * b).sum(dim=(1, 2) if self.multinomial else 2, keepdim=True)

    def objective(self, logits: Tensor, w: Tensor) -> Tensor:
        """float64, of each problem."""
        if self.multinomial:
            own = (logits * self.y).sum(dim=1, keepdim=True)
            losses = torch.logsumexp(logits - own, dim=1, keepdim=True)
        else:
            losses = softplus(logits * (1 - 2 * self.y))
        total = (losses * self.there).sum(dim=2, keepdim=True, dtype=torch.float64)
        return total + 0.5 * self.dot(w.double() * self.penalty, w.double())

    def probabilities(self, logits: Tensor) -> Tensor:
        return torch.softmax(logits, dim=1) if self.multinomial else torch.sigmoid(logits)

    def curvature(self, p: Tensor) -> Callable[[Tensor], Tensor]:
        """Second derivative of the losses, as what it makes of a change of logits `[parts, outputs, n]`."""
        if not self.multinomial:
            weight = p * (1 - p)
            return lambda change: weight * change

        def apply(change: Tensor) -> Tensor:
            part = p * change
            return part.addcmul_(p, part.sum(dim=1, keepdim=True), value=-1)

        return apply

    def preconditioner(self, p: Tensor) -> Callable[[Tensor], Tensor]:
        """Inverse of the Hessian as if every clip had the mean curvature.

        That Hessian is the Kronecker product of the Gram matrix, about diagonal here, and an `[outputs, outputs]`
        matrix, which is diagonal too unless the outputs are one softmax.
        """
        q, n = p * self.there, self.there.sum(dim=2, keepdim=True)
        if not self.multinomial:
            mean = (q * (1 - p)).sum(dim=2, keepdim=True) / n
            inverse = 1 / (mean.clamp_min(1e-6) * self.energy + self.penalty)
            return lambda g: inverse * g
        mean = (torch.diag_embed(q.sum(dim=2)) - q @ p.transpose(1, 2)) / n
        # Adding one number to all logits of a clip changes nothing: some curvature there, for an inverse to exist.
        mean = mean + mean.diagonal(dim1=1, dim2=2).mean(dim=1)[:, None, None] / p.shape[1]
        values, vectors = torch.linalg.eigh(mean.double())
        values, vectors = values.clamp_min(1e-6).to(p.dtype)[:, :, None], vectors.to(p.dtype)
        inverse = 1 / (values * self.energy + self.penalty)
        return lambda g: torch.bmm(vectors, torch.bmm(vectors.transpose(1, 2), g).mul_(inverse))


def solve(problems: Problems, w: Tensor, tolerance: float) -> Tensor:
    """Weights `[parts, outputs, rank + 1]` whose objectives are about `tolerance` (relative) above the least.

    Each step is Newton's, by preconditioned conjugate gradients, and halved until the objective falls enough (Nocedal
    and Wright, Numerical Optimization, algorithm 7.1). A problem is done once the decrement that the preconditioner
    gives, an estimate of twice the distance to the least, is below the tolerance.

    Arguments:
        w: where to start.
    """
    solved = w.clone()
    parts, outputs = (torch.arange(size, device=w.device) for size in w.shape[:2])
    v, logits = w, w @ problems.x.transpose(1, 2)
    for _ in range(STEPS):
        value = problems.objective(logits, v)
        p = problems.probabilities(logits)
        gradient = (p - problems.y) @ problems.x + problems.penalty * v
        precondition = problems.preconditioner(p)
        going = problems.dot(gradient, precondition(gradient)) > tolerance * value
        if not going.any():
            break
        going_parts = going.any(dim=1)[:, 0]
        rows = going.any(dim=0)[:, 0].expand(len(outputs))
        if not (going_parts.all() and rows.all()):
            solved[parts[:, None], outputs] = v
            parts, outputs, problems = parts[going_parts], outputs[rows], problems.only(going_parts, rows)
            v, logits, p, gradient = (each[going_parts][:, rows] for each in (v, logits, p, gradient))
            value, going = (value[going_parts], going[going_parts])
            if not problems.multinomial:
                value, going = value[:, rows], going[:, rows]
            precondition = problems.preconditioner(p)
        target_size = torch.where(going, 0.25 * tolerance * value, torch.inf).to(v.dtype)
        step, change = _newton_step(problems, p, gradient, precondition, target_size)
        length = _line_search(problems, logits, change, v, step, value, problems.dot(gradient, step))
        if not (length * problems.dot(step, step)).any():
            break
        v, logits = v + length * step, logits + length * change
    solved[parts[:, None], outputs] = v
    return solved


def _newton_step(
    problems: Problems, p: Tensor, gradient: Tensor, precondition: Callable[[Tensor], Tensor], target_size: Tensor
) -> tuple[Tensor, Tensor]:
    """About `-H^-1 gradient`, and what it does to the logits; 0 for problems whose target is infinite."""
    curvature, across = problems.curvature(p), problems.x.transpose(1, 2)
    step, change = torch.zeros_like(gradient), torch.zeros_like(p)
    residual = -gradient
    direction = precondition(residual)
    size = problems.dot(residual, direction)
    target = torch.maximum(0.1 * size, target_size)
    for _ in range(INNER):
        logits = torch.bmm(direction, across)
        product = torch.bmm(curvature(logits), problems.x).addcmul_(problems.penalty, direction)
        length = torch.where(size > target, size / problems.dot(direction, product), 0)
        step.addcmul_(length, direction)
        change.addcmul_(length, logits)
        residual.addcmul_(length, product, value=-1)
        inner = precondition(residual)
        before, size = size, problems.dot(residual, inner)
        open_ = size > target
        if not open_.any():
            break
        direction = torch.addcmul(inner, torch.where(open_, size / before, 0), direction)
    return step, change


def _line_search(
    problems: Problems, logits: Tensor, change: Tensor, w: Tensor, step: Tensor, value: Tensor, slope: Tensor
) -> Tensor:
    """How much of the step to take, of each problem: 1, 1/2, 1/4, ..., or 0 where nothing falls any more."""
    length = torch.ones_like(slope)
    noise = 1e-8 * value  # of sums in single precision
    for _ in range(HALVINGS):
        found = problems.objective(logits + length * change, w + length * step)
        good = found <= value + 1e-4 * length * slope + noise
        if good.all():
            return length
        length = torch.where(good, length, length / 2)
    return torch.zeros_like(length).where(length < 2.0 ** (1 - HALVINGS), length)


def solve_path(problems: Problems, strengths: Tensor, start: Tensor, tolerance: float) -> list[Tensor]:
    """Weights `[parts, outputs, rank + 1]` for each strength.

    Each is solved from the one before, or from halfway between the lines and the parabolas through those before,
    whichever objective is less.

    Arguments:
        problems: their penalty is put in.
        strengths: C, `[parts, strengths]`, best from strong to weak in equal steps of their logarithm.
        start: of the first, like the weights.
        tolerance: see `solve`.
    """
    path: list[Tensor] = []
    for strength in strengths.T:
        penalty = (1 / strength[:, None, None]).expand_as(problems.energy).clone()
        penalty[..., -1] = 0  # of the intercept
        each = replace(problems, penalty=penalty)
        if len(path) > 2:
            ahead = 2.5 * path[-1] - 2 * path[-2] + 0.5 * path[-3]
            now, then = (each.objective(w @ each.x.transpose(1, 2), w) for w in (start, ahead))
            start = torch.where(then < now, ahead, start)
        start = solve(each, start, tolerance)
        path.append(start)
    return path
