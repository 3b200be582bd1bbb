"""Scalarisations: one number out of m losses and a preference, one formula each.

A scalarisation is a plain function `f(losses, pref) -> scalar` for one preference;
`SCALARISATIONS` lists them by name, and `ABOUT` says of each what it does and whose it
is. To add one, write the formula, list it in both, and the tests of the table ask it
for every promise. In all of them a larger `pref_i` cares more and makes `loss_i`
smaller, whatever the vector of that letter means in the paper.

Each takes `ideal` and `scale` (a number, or m of them), and sees only
`g = (losses - ideal) / scale`: how far each loss is above the best that it could be, in
a unit that makes the m of them comparable. The defaults, 0 and 1, suit losses of one
kind whose best is near 0, such as cross-entropies. `linear` cares for no ideal; the
others take it for a lower bound of the losses. Bind options with `functools.partial`:
`as_rule(partial(stch, mu=0.1))`.

Training does not call a scalarisation: it calls a *weighting rule*,
`rule(losses [m], gram [m, m] or None, pref [m]) -> weights [m]`, and descends along
`sum_i weights_i * gradient_i`. By the chain rule, the weights of a scalarisation are
its gradient in the losses, which is what `as_rule` returns: so a formula of one line is
on a par with a solver that reads the Gramian of the task gradients. Rules see one
preference; callers `vmap` over k of them.

A loss that is NaN makes the value NaN, in every one of them.
"""

from collections.abc import Callable
from functools import cache, partial

import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer
from jax.typing import ArrayLike

from jaxpareto.errors import UsageError
from jaxpareto.simplex import to_ray
from jaxpareto.types import Array, Rule

Scalarisation = Callable[..., Array]
"""`f(losses [m], pref [m], *, ideal, scale, ...) -> scalar`, to be minimised."""

LEAST = 1e-6
"""`log` is a straight line below this many units of loss: its slope stays finite."""

SHORTEST = 1e-12
"""Losses of a smaller Euclidean length have no direction for `cosmos` to compare."""

SLACK = 0.1
"""`utility` is a straight line from where this share of the ceiling is left."""


def linear(
    losses: Array, pref: Array, *, ideal: ArrayLike = 0.0, scale: ArrayLike = 1.0
) -> Array:
    """Weight each loss by how much one cares.

    `f = sum_i pref_i * g_i`, `g = (losses - ideal) / scale`

    Reaches the convex part of a front only; the losses' units matter (a loss that is
    ten times larger counts ten times as much).

    Args:
      losses: [m], each in its own unit (nats for cross-entropy), minimised.
      pref: [m], on the simplex, no unit; a larger entry cares more.
      ideal: number or [m], in the units of the losses; moves f, and no weight.
      scale: number or [m], positive, the units of the losses.

    Returns:
      Scalar, in the unit of g, to be minimised.

    Raises:
      UsageError: the shapes are not [m] and [m], m < 2, or a scale is 0 or less.

    Source: Boyd and Vandenberghe (2004), "Convex optimization", section 4.7.4.

    >>> print(linear(jnp.array([2.0, 4.0]), jnp.array([0.5, 0.5])))
    3.0
    """
    gains = _gains(losses, pref, ideal, scale)
    return jnp.sum(pref * gains)  # not `@`, which accelerators round to fewer bits


def chebyshev(
    losses: Array, pref: Array, *, ideal: ArrayLike = 0.0, scale: ArrayLike = 1.0
) -> Array:
    """Weight each loss by how much one cares, and look at the worst.

    `f = max_i pref_i * g_i`, `g = (losses - ideal) / scale`

    Reaches every point of a front, concave or not: at the optimum inside it the
    `pref_i * g_i` are equal, so the losses lie on the ray `to_ray(pref)`. One loss
    alone is descended at a time (those that tie share), hence optima that another loss
    could still improve on, and slow, zigzagging progress.

    Args:
      losses: [m], each in its own unit, minimised.
      pref: [m], on the simplex, no unit; a larger entry cares more.
      ideal: number or [m], in the units of the losses; at most the losses.
      scale: number or [m], positive, the units of the losses.

    Returns:
      Scalar, in the unit of g, to be minimised.

    Raises:
      UsageError: the shapes are not [m] and [m], m < 2, or a scale is 0 or less.

    Source: Bowman (1976), "On the relationship of the Tchebycheff norm and the
    efficient frontier of multiple-criteria objectives".

    >>> print(chebyshev(jnp.array([2.0, 4.0]), jnp.array([0.75, 0.25])))
    1.5
    """
    return jnp.max(pref * _gains(losses, pref, ideal, scale))


def augmented_chebyshev(
    losses: Array,
    pref: Array,
    *,
    ideal: ArrayLike = 0.0,
    scale: ArrayLike = 1.0,
    rho: ArrayLike = 0.01,
) -> Array:
    """Look at the worst weighted loss, and a little at all of them.

    `f = max_i pref_i * g_i + rho * sum_i g_i`, `g = (losses - ideal) / scale`

    Every loss keeps a weight of at least rho, whatever the preference, so an optimum
    has no loss left to improve for nothing. What is concave more steeply than about
    rho allows is out of reach.

    Args:
      losses: [m], each in its own unit, minimised.
      pref: [m], on the simplex, no unit; a larger entry cares more.
      ideal: number or [m], in the units of the losses; at most the losses.
      scale: number or [m], positive, the units of the losses.
      rho: positive, no unit; small, or f is nearly the plain sum.

    Returns:
      Scalar, in the unit of g, to be minimised.

    Raises:
      UsageError: the shapes are not [m] and [m], m < 2, or scale or rho is 0 or less.

    Source: Steuer and Choo (1983), "An interactive weighted Tchebycheff procedure for
    multiple objective programming".

    >>> f = augmented_chebyshev(jnp.array([2.0, 4.0]), jnp.array([0.75, 0.25]), rho=0.5)
    >>> print(f)
    4.5
    """
    _check_number("rho", rho, above=0)
    gains = _gains(losses, pref, ideal, scale)
    return jnp.max(pref * gains) + rho * jnp.sum(gains)


def modified_chebyshev(
    losses: Array,
    pref: Array,
    *,
    ideal: ArrayLike = 0.0,
    scale: ArrayLike = 1.0,
    rho: ArrayLike = 0.01,
) -> Array:
    """Look at the worst weighted loss, where each holds a little of all the others.

    `f = max_i pref_i * (g_i + rho * sum_j g_j)`, `g = (losses - ideal) / scale`

    As `augmented_chebyshev`, every loss keeps a positive weight; the corner of its
    level sets leans by the same angle for every preference.

    Args:
      losses: [m], each in its own unit, minimised.
      pref: [m], on the simplex, no unit; a larger entry cares more.
      ideal: number or [m], in the units of the losses; at most the losses.
      scale: number or [m], positive, the units of the losses.
      rho: positive, no unit; small.

    Returns:
      Scalar, in the unit of g, to be minimised.

    Raises:
      UsageError: the shapes are not [m] and [m], m < 2, or scale or rho is 0 or less.

    Source: Kaliszewski (1987), "A modified weighted Tchebycheff metric for multiple
    objective programming".

    >>> f = modified_chebyshev(jnp.array([2.0, 4.0]), jnp.array([0.75, 0.25]), rho=0.5)
    >>> print(f)
    3.75
    """
    _check_number("rho", rho, above=0)
    gains = _gains(losses, pref, ideal, scale)
    return jnp.max(pref * (gains + rho * jnp.sum(gains)))


def stch(
    losses: Array,
    pref: Array,
    *,
    ideal: ArrayLike = 0.0,
    scale: ArrayLike = 1.0,
    mu: ArrayLike = 0.01,
) -> Array:
    """Take a smooth maximum of the weighted losses (smooth Chebyshev, STCH).

    `f = mu * log sum_i exp(pref_i * g_i / mu)`, `g = (losses - ideal) / scale`

    At most `mu * log m` above `chebyshev`; the weights are `pref` times a softmax, so
    all are positive where pref is. The weighted losses that differ by less than mu
    share the descent: mu has their unit. 0.01 is what the paper learns fronts with, of
    objectives of order one; noisy losses may like it as large as their noise, and the
    larger it is the more f is like `linear`.

    Args:
      losses: [m], each in its own unit, minimised.
      pref: [m], on the simplex, no unit; a larger entry cares more.
      ideal: number or [m], in the units of the losses; at most the losses.
      scale: number or [m], positive, the units of the losses.
      mu: positive, in the unit of g.

    Returns:
      Scalar, in the unit of g, to be minimised.

    Raises:
      UsageError: the shapes are not [m] and [m], m < 2, or scale or mu is 0 or less.

    Source: Lin, Zhang, Yang, Liu, Wang and Zhang (2024), "Smooth Tchebycheff
    scalarization for multi-objective optimization", ICML.

    >>> print(stch(jnp.array([4.0, 4.0]), jnp.array([0.5, 0.5]), mu=1.0).round(4))
    2.6931
    """
    _check_number("mu", mu, above=0)
    weighted = pref * _gains(losses, pref, ideal, scale)
    # Centred before the division: no exponent is positive, however small mu is.
    top = jax.lax.stop_gradient(jnp.max(weighted))
    return top + mu * jnp.log(jnp.sum(jnp.exp((weighted - top) / mu)))


def pbi(
    losses: Array,
    pref: Array,
    *,
    ideal: ArrayLike = 0.0,
    scale: ArrayLike = 1.0,
    theta: ArrayLike = 5.0,
) -> Array:
    """Go down along the ray asked for, and stay near it (boundary intersection).

    `f = d_1 + theta * d_2`, `d_1 = g . r`, `d_2 = |g - d_1 r|`,
    `r = to_ray(pref) / |to_ray(pref)|`, `g = (losses - ideal) / scale`

    Reaches concave parts of a front if theta is large. A weight is *negative* where
    its loss is much smaller than on the ray: this rule raises a loss to get back to it,
    and where the ray misses the front it trades the front for it. So give an ideal near
    the smallest losses there are, and no preference close to a vertex.

    Args:
      losses: [m], each in its own unit, minimised.
      pref: [m], on the simplex, no unit; a larger entry cares more. (The paper's vector
        is the ray.)
      ideal: number or [m], in the units of the losses; the ray starts there.
      scale: number or [m], positive, the units of the losses.
      theta: 0 or more, no unit: how much a distance from the ray counts.

    Returns:
      Scalar, in the unit of g, to be minimised.

    Raises:
      UsageError: the shapes are not [m] and [m], m < 2, a scale is 0 or less, or theta
        is negative.

    Source: Zhang and Li (2007), "MOEA/D: a multiobjective evolutionary algorithm based
    on decomposition", section II.C.

    >>> print(pbi(jnp.array([3.0, 4.0]), jnp.array([4 / 7, 3 / 7])).round(3))
    5.0
    """
    _check_number("theta", theta, least=0)
    gains = _gains(losses, pref, ideal, scale)
    ray = to_ray(pref)
    unit = ray / _length(ray)
    along = jnp.sum(gains * unit)
    return along + theta * _length(gains - along * unit)


def cosmos(
    losses: Array,
    pref: Array,
    *,
    ideal: ArrayLike = 0.0,
    scale: ArrayLike = 1.0,
    penalty: ArrayLike = 2.0,
) -> Array:
    """Weight each loss by how much one cares, and turn them towards the ray asked for.

    `f = sum_i pref_i * g_i - penalty * cos(g, to_ray(pref))`,
    `g = (losses - ideal) / scale`

    The paper puts one vector into both terms. There a large entry asks the first term
    for a small loss and the second for a large one, and the second, which is the
    stronger, decides what the vector means. Here the second has the ray of the
    preference, so that both ask for the same: call that ray the paper's vector, and the
    first term alone differs.

    The cosine's gradient is as large as `penalty / |g|`; losses shorter than 1e-12 have
    no direction, and a cosine of 0. Weights may be negative, as those of `pbi`, and the
    ray may be missed, with the same remedy.

    Args:
      losses: [m], each in its own unit, minimised.
      pref: [m], on the simplex, no unit; a larger entry cares more.
      ideal: number or [m], in the units of the losses; the ray starts there.
      scale: number or [m], positive, the units of the losses.
      penalty: 0 or more, in the unit of g; the paper takes 2 for two of its three image
        data sets, and 0.01 to 8 elsewhere.

    Returns:
      Scalar, in the unit of g, to be minimised.

    Raises:
      UsageError: the shapes are not [m] and [m], m < 2, a scale is 0 or less, or
        penalty is negative.

    Source: Ruchte and Grabocka (2021), "Scalable Pareto front approximation for deep
    multi-objective learning", ICDM.

    >>> print(cosmos(jnp.array([4.0, 4.0]), jnp.array([0.5, 0.5])).round(3))
    2.0
    """
    _check_number("penalty", penalty, least=0)
    gains = _gains(losses, pref, ideal, scale)
    ray = to_ray(pref)
    length = _length(gains)
    short = length <= SHORTEST
    product = jnp.sum(gains * ray) / (_length(ray) * jnp.where(short, 1, length))
    return jnp.sum(pref * gains) - penalty * jnp.where(short, 0, product)


def p_norm(
    losses: Array,
    pref: Array,
    *,
    ideal: ArrayLike = 0.0,
    scale: ArrayLike = 1.0,
    p: ArrayLike = 2.0,
) -> Array:
    """Measure the weighted distance from the ideal in a p-norm.

    `f = (sum_i max(pref_i * g_i, 0)^p)^(1/p)`, `g = (losses - ideal) / scale`

    Between `linear` (p = 1) and `chebyshev` (p to infinity): the larger p, the more
    concave a front it reaches. The default is the Euclidean distance. A loss below its
    ideal is as good as one that is there.

    Args:
      losses: [m], each in its own unit, minimised.
      pref: [m], on the simplex, no unit; a larger entry cares more.
      ideal: number or [m], in the units of the losses; at most the losses.
      scale: number or [m], positive, the units of the losses.
      p: 1 or more, finite, no unit.

    Returns:
      Scalar, in the unit of g, to be minimised.

    Raises:
      UsageError: the shapes are not [m] and [m], m < 2, a scale is 0 or less, or p is
        below 1.

    Source: Yu (1973), "A class of solutions for group decision problems".

    >>> print(p_norm(jnp.array([6.0, 8.0]), jnp.array([0.5, 0.5])))
    5.0
    """
    _check_number("p", p, least=1)
    weighted = pref * _gains(losses, pref, ideal, scale)
    weighted = jnp.where(weighted < 0, 0, weighted)
    # In units of the largest no power overflows; at the ideal itself there is no unit,
    # and the root, whose slope is infinite there, is left out.
    largest = jax.lax.stop_gradient(jnp.max(weighted))
    at_ideal = largest == 0
    unit = jnp.where(at_ideal, 1, largest)
    total = jnp.sum((weighted / unit) ** p)
    root = jnp.where(at_ideal, 1, total) ** (1 / p)
    return unit * jnp.where(at_ideal, total, root)


def log(
    losses: Array, pref: Array, *, ideal: ArrayLike = 0.0, scale: ArrayLike = 1.0
) -> Array:
    """Weight the logarithms of the losses: percents are traded, and not units.

    `f = sum_i pref_i * log g_i`, `g = (losses - ideal) / scale`

    The logarithm of a weighted product, as in Nash's solution of bargaining and in
    proportional fairness. The weights, `pref_i / g_i`, make up for the losses' units:
    `scale` moves f and no optimum. A loss near 0 is worth any price, so this reaches
    less of a front than `linear` does, and only what is convex in the logarithms.

    Below `g_i = 1e-6` the logarithm goes on as a straight line, so no weight is above
    `1e6 * pref_i`, and losses of 0 or less have a value and a weight.

    Args:
      losses: [m], each in its own unit, minimised.
      pref: [m], on the simplex, no unit; a larger entry cares more.
      ideal: number or [m], in the units of the losses; at most the losses.
      scale: number or [m], positive, the units of the losses.

    Returns:
      Scalar, no unit, to be minimised.

    Raises:
      UsageError: the shapes are not [m] and [m], m < 2, or a scale is 0 or less.

    Source: Kelly, Maulloo and Tan (1998), "Rate control for communication networks:
    shadow prices, proportional fairness and stability".

    >>> print(log(jnp.array([1.0, jnp.e]), jnp.array([0.5, 0.5])).round(3))
    0.5
    """
    gains = _gains(losses, pref, ideal, scale)
    return jnp.sum(pref * _log(gains, LEAST))


def utility(
    losses: Array,
    pref: Array,
    *,
    ideal: ArrayLike = 0.0,
    scale: ArrayLike = 1.0,
    ceiling: ArrayLike = 3.0,
) -> Array:
    """Keep each loss away from a ceiling, the more the more one cares.

    `f = 1 / prod_i (ceiling - g_i)^pref_i`, `g = (losses - ideal) / scale`

    The weights, `f * pref_i / (ceiling - g_i)`, lean towards what is near the ceiling:
    a low one reaches concave fronts, a high one makes f like `linear`. The default is
    above any loss that ten classes should see: guessing costs 2.3 nats.

    The formula holds up to 90 % of the ceiling. From there on the logarithm of the
    slack, `log(ceiling - g_i)`, and where f would exceed `10 / ceiling` also f as a
    function of the sum of these, go on as straight lines. So f has no pole: beyond the
    ceiling it is finite and still rises, with weights of at most
    `(10 / ceiling)^2 * pref_i`, and descent leads back.

    Args:
      losses: [m], each in its own unit, minimised.
      pref: [m], on the simplex, no unit; a larger entry cares more.
      ideal: number or [m], in the units of the losses; at most the losses.
      scale: number or [m], positive, the units of the losses.
      ceiling: positive, in the unit of g: above the losses that training should see.

    Returns:
      Scalar, in 1 / the unit of g, to be minimised.

    Raises:
      UsageError: the shapes are not [m] and [m], m < 2, or scale or ceiling is 0 or
        less.

    Source: Tuan, Hoang, Le and Thang (2024), "A framework for controllable Pareto front
    learning with completed scalarization functions and its applications".

    >>> print(utility(jnp.array([1.0, 2.0]), jnp.array([1.0, 0.0])))
    0.5
    """
    _check_number("ceiling", ceiling, above=0)
    gains = _gains(losses, pref, ideal, scale)
    tops = _per_loss("ceiling", ceiling, gains)
    least = SLACK * tops[0]
    exponent = -jnp.sum(pref * _log(tops - gains, least))
    most = -jnp.log(least)
    over = exponent > most
    inside = jnp.exp(jnp.where(over, most, exponent))
    return jnp.where(over, (1 + exponent - most) / least, inside)


SCALARISATIONS: dict[str, Scalarisation] = {
    "linear": linear,
    "chebyshev": chebyshev,
    "augmented-chebyshev": augmented_chebyshev,
    "modified-chebyshev": modified_chebyshev,
    "stch": stch,
    "pbi": pbi,
    "cosmos": cosmos,
    "p-norm": p_norm,
    "log": log,
    "utility": utility,
}
"""Name -> `f(losses [m], pref [m], *, ideal, scale, ...) -> scalar`."""

ABOUT: dict[str, tuple[str, str]] = {
    "linear": (
        "weighted sum of the losses; convex fronts only",
        "Boyd and Vandenberghe (2004)",
    ),
    "chebyshev": ("largest weighted loss; any front", "Bowman (1976)"),
    "augmented-chebyshev": (
        "largest weighted loss, plus a little of the sum of all",
        "Steuer and Choo (1983)",
    ),
    "modified-chebyshev": (
        "largest weighted loss, each with a little of the sum of all",
        "Kaliszewski (1987)",
    ),
    "stch": ("smooth maximum of the weighted losses; any front", "Lin et al. (2024)"),
    "pbi": (
        "distance along the ray asked for, plus a penalty on the distance from it",
        "Zhang and Li (2007)",
    ),
    "cosmos": (
        "weighted sum, minus a cosine that turns the losses to the ray asked for",
        "Ruchte and Grabocka (2021)",
    ),
    "p-norm": ("p-norm of the weighted losses, from sum to maximum", "Yu (1973)"),
    "log": (
        "weighted sum of the losses' logarithms; units do not matter",
        "Kelly et al. (1998)",
    ),
    "utility": (
        "inverse of the weighted product of the distances below a ceiling",
        "Tuan et al. (2024)",
    ),
}
"""Name -> (what it does, in a line; its source)."""


def as_rule(scalarisation: Scalarisation) -> Rule:
    """Make the weighting rule of a scalarisation.

    `weights = d scalarisation(losses, pref) / d losses`

    Args:
      scalarisation: `f(losses [m], pref [m]) -> scalar`, differentiable in the losses;
        with options bound by `functools.partial` if need be.

    Returns:
      `rule(losses [m], gram, pref [m]) -> weights [m]`, in the unit of the
      scalarisation per unit of each loss; the Gramian is not read and may be None. The
      same object for the same scalarisation with equal options (write several numbers
      as a tuple; arrays cannot be compared, and give a new rule each time).

    >>> rule = as_rule(linear)
    >>> print(rule(jnp.array([2.0, 4.0]), None, jnp.array([0.25, 0.75])))
    [0.25 0.75]
    >>> as_rule(partial(stch, mu=0.1)) is as_rule(partial(stch, mu=0.1))
    True
    """
    if not isinstance(scalarisation, partial) or scalarisation.args:
        return _cached_rule(scalarisation)
    options = tuple(sorted(scalarisation.keywords.items()))
    try:
        hash(options)
    except TypeError:  # an array among them
        return _rule(scalarisation.func, options)
    return _cached_rule(scalarisation.func, options)


def _rule(scalarisation: Scalarisation, options: tuple = ()) -> Rule:
    """Return the gradient in the losses, in the shape of a rule."""
    gradient = jax.grad(partial(scalarisation, **dict(options)))

    def rule(losses: Array, gram: Array | None, pref: Array) -> Array:
        del gram
        _check(losses, pref)
        return gradient(losses, pref)

    return rule


_cached_rule = cache(_rule)  # a new closure each time would make `jit` trace again


def _gains(losses: Array, pref: Array, ideal: ArrayLike, scale: ArrayLike) -> Array:
    """Return `(losses - ideal) / scale` [m], after a look at all the shapes."""
    _check(losses, pref)
    losses = jnp.asarray(losses, dtype=jnp.result_type(losses, float))
    if not isinstance(scale, Tracer) and not np.all(np.asarray(scale) > 0):
        raise UsageError(f"scale must be positive; found {scale}")
    above = losses - _per_loss("ideal", ideal, losses)
    return above / _per_loss("scale", scale, losses)


def _per_loss(name: str, value: ArrayLike, losses: Array) -> Array:
    """Return a number or [m] as [m], of the type of the losses."""
    values = jnp.asarray(value, dtype=losses.dtype)
    if values.shape not in ((), losses.shape):
        raise UsageError(
            f"{name} must be a number or have shape {losses.shape}; "
            f"found shape {values.shape}"
        )
    return jnp.broadcast_to(values, losses.shape)


def _length(vector: Array) -> Array:
    """Return the Euclidean length, with a gradient of 0 where it is 0."""
    squares = jnp.sum(vector**2)
    zero = squares == 0
    return jnp.where(zero, 0, jnp.sqrt(jnp.where(zero, 1, squares)))


def _log(values: Array, least: ArrayLike) -> Array:
    """Return the logarithm, and below `least` its tangent there."""
    least = jnp.broadcast_to(jnp.asarray(least, dtype=values.dtype), values.shape)
    low = values < least
    inside = jnp.log(jnp.where(low, least, values))
    return inside + jnp.where(low, values / least - 1, 0)


def _check(losses: Array, pref: Array) -> None:
    """Refuse shapes that broadcasting would turn into another formula."""
    if jnp.ndim(losses) != 1 or jnp.shape(losses) != jnp.shape(pref):
        raise UsageError(
            f"expected losses [m] and pref [m] (use vmap for more than one); "
            f"found {jnp.shape(losses)} and {jnp.shape(pref)}"
        )
    if len(losses) < 2:
        raise UsageError(f"expected 2 or more losses; found {len(losses)}")


def _check_number(
    name: str,
    value: ArrayLike,
    *,
    above: float = -np.inf,
    least: float = -np.inf,
) -> None:
    """Refuse an option out of its range; if it is traced, nobody can."""
    if isinstance(value, Tracer):
        return
    number = np.asarray(value)
    if number.ndim == 0 and above < number < np.inf and number >= least:
        return
    accepted = f"above {above:g}" if np.isfinite(above) else f"of {least:g} or more"
    raise UsageError(f"{name} must be a finite number {accepted}; found {value}")
