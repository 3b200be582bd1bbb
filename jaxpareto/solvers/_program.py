"""Small convex programs, solved inside `jit`: the workhorse under the solvers.

    minimise f(x)  subject to  inequalities @ x <= bounds,  equalities @ x = values

for a smooth convex f of a handful of variables: a linear or quadratic program is one
formula for its gradient and Hessian. A primal-dual interior-point method needs a dozen
iterations whatever the data, has no cases and no pivots, and so batches under `vmap`.

Data should be of order one: the solvers divide by the scale of the Gramian first. What
could not be solved (no feasible point, no finite minimum) is flagged, never replaced.

Source: Mehrotra (1992), "On the implementation of a primal-dual interior point method";
Boyd and Vandenberghe (2004), "Convex optimization", section 11.7.
"""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax import lax
from jax.scipy.linalg import lu_factor, lu_solve

from jaxpareto.types import Array

MAX_ITERATIONS = 60
_BACK_OFF = 0.99  # share of the way to the boundary that a step may go


class Program(NamedTuple):
    """The constraints, r of them inequalities and q equalities, on x [v].

    Attributes:
      inequalities: [r, v]; a row of zeros with a positive bound switches a row off.
      bounds: [r].
      equalities: [q, v], independent rows.
      values: [q].
    """

    inequalities: Array
    bounds: Array
    equalities: Array
    values: Array


class Solution(NamedTuple):
    """What was found.

    Attributes:
      x: [v], finite whatever happened.
      converged: bool; whether x is feasible and optimal to rounding.
      iterations: int32.
    """

    x: Array
    converged: Array
    iterations: Array


class _Point(NamedTuple):
    """An iterate: x, the inequalities' slack and price, the equalities' price."""

    x: Array
    slack: Array
    price: Array
    toll: Array


class _Carry(NamedTuple):
    """What the loop carries: the best iterate, its errors, and whether to stop."""

    at: _Point
    errors: Array
    iterations: Array
    stuck: Array


def quadratic(program: Program, hessian: Array, linear: Array, start: Array):
    """Minimise `x' hessian x / 2 + linear' x`; a linear program has a zero Hessian."""
    return minimise(program, lambda x: (hessian @ x + linear, hessian), start)


def minimise(
    program: Program,
    derivatives: Callable[[Array], tuple[Array, Array]],
    start: Array,
) -> Solution:
    """Minimise a smooth convex function under linear constraints.

    Args:
      program: the constraints.
      derivatives: `derivatives(x) -> (gradient [v], Hessian [v, v])` of f.
      start: [v]; it need not be feasible.
    """
    rows, cols, bounds, values = (
        program.inequalities,
        program.equalities,
        program.bounds,
        program.values,
    )
    (v,), (q,), r = start.shape, values.shape, bounds.size
    eps = jnp.finfo(start.dtype).eps
    # Where a constraint and its price both vanish, x is off by the root of the gap: aim
    # for a smaller gap than residual. Then accept what rounding allows.
    tolerances = jnp.array([eps**0.75, eps], start.dtype)
    acceptable = eps**0.5
    # A little curvature keeps the linear system regular where f is flat.
    ridge = eps**0.75 * jnp.eye(v, dtype=start.dtype)

    def residuals(at: _Point, gradient: Array) -> tuple[Array, Array, Array]:
        stationary = gradient + rows.T @ at.price + cols.T @ at.toll
        return stationary, rows @ at.x + at.slack - bounds, cols @ at.x - values

    def errors(at: _Point) -> Array:
        gradient, _ = derivatives(at.x)
        largest = [
            jnp.max(jnp.abs(each), initial=0) for each in residuals(at, gradient)
        ]
        return jnp.stack([jnp.max(jnp.stack(largest)), at.slack @ at.price / r])

    def move(at: _Point) -> _Point:
        gradient, hessian = derivatives(at.x)
        stationary, broken, uneven = residuals(at, gradient)
        stiffness = at.price / at.slack
        reduced = hessian + ridge + rows.T @ (stiffness[:, None] * rows)
        system = jnp.block([[reduced, cols.T], [cols, jnp.zeros((q, q), at.x.dtype)]])
        lu, pivots = lu_factor(system)
        # Stiff constraints round the rest away, now and then down to a pivot of zero.
        pivot = jnp.diagonal(lu)
        least = jnp.where(pivot == 0, eps * jnp.max(jnp.abs(pivot)), 0)
        factors = lu + jnp.diag(least), pivots

        def direction(complementarity: Array) -> _Point:
            pull = (at.price * broken - complementarity) / at.slack
            right = jnp.concatenate([-stationary - rows.T @ pull, -uneven])
            solved = lu_solve(factors, right)
            dx, dtoll = solved[:v], solved[v:]
            dslack = -broken - rows @ dx
            dprice = -(complementarity + at.price * dslack) / at.slack
            return _Point(dx, dslack, dprice, dtoll)

        def reach(d: _Point) -> Array:
            both = jnp.concatenate([at.slack, at.price])
            change = jnp.concatenate([d.slack, d.price])
            safe = jnp.where(change < 0, change, -1)
            return jnp.min(jnp.where(change < 0, -both / safe, 1), initial=1)

        # Mehrotra: look straight ahead, see how far one gets, then aim as centrally as
        # that suggests and correct for the curvature met on the way.
        gap = at.slack @ at.price / r
        ahead = direction(at.slack * at.price)
        far = reach(ahead)
        left = (at.slack + far * ahead.slack) @ (at.price + far * ahead.price) / r
        # Below its tolerance the gap has nothing to win, and the system gets stiffer.
        centring = jnp.maximum((left / gap) ** 3 * gap, 0.1 * tolerances[1])
        d = direction(
            at.slack * at.price + far**2 * ahead.slack * ahead.price - centring
        )
        size = _BACK_OFF * reach(d)
        return jax.tree.map(lambda each, change: each + size * change, at, d)

    def body(carry: _Carry) -> _Carry:
        moved = move(carry.at)
        found = errors(moved)
        sound = jnp.all(jnp.isfinite(found))
        sound &= jnp.all(moved.slack > 0) & jnp.all(moved.price > 0)
        # So near the end that rounding, not progress, decides where the next step goes.
        # Each error counts in its own tolerance: a residual that dances at the level of
        # rounding says nothing while the gap still falls.
        worse = jnp.max(found / tolerances) > jnp.max(carry.errors / tolerances)
        worse |= jnp.any(found >= acceptable)
        worse &= jnp.all(carry.errors < acceptable)
        at, found = jax.tree.map(
            lambda new, old: jnp.where(sound & ~worse, new, old),
            (moved, found),
            (carry.at, carry.errors),
        )
        return _Carry(at, found, carry.iterations + 1, ~sound | worse)

    def going(carry: _Carry) -> Array:
        close = jnp.all(carry.errors <= tolerances)
        return ~close & ~carry.stuck & (carry.iterations < MAX_ITERATIONS)

    first = _Point(
        start,
        jnp.maximum(bounds - rows @ start, 0.1),
        jnp.ones_like(bounds),
        jnp.zeros_like(values),
    )
    far = jnp.full(2, jnp.inf, start.dtype)
    zero, no = jnp.zeros((), jnp.int32), jnp.zeros((), bool)
    end = lax.while_loop(going, body, _Carry(first, far, zero, no))
    good = jnp.all(end.errors < acceptable)
    return Solution(end.at.x, good, end.iterations)


def on_simplex(
    v: int, dtype: jnp.dtype, *, allowed: Array | None = None
) -> tuple[Program, Array]:
    """Return `x >= 0, sum x = 1`, with a start.

    Entries not allowed are left out of the sum; a cost of their own brings them to 0.
    """
    eye = jnp.eye(v, dtype=dtype)
    allowed = jnp.ones(v, dtype) if allowed is None else allowed.astype(dtype)
    program = Program(-eye, jnp.zeros(v, dtype), allowed[None, :], jnp.ones(1, dtype))
    return program, allowed / jnp.maximum(jnp.sum(allowed), 1)
