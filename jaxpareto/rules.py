"""Weighting rules: how much each task counts at each preference of a step.

A rule is made of one of three things, and training does not care which:

- a scalarisation, whose weights are its gradient in the losses;
- a gradient solver, which reads the inner products of the task gradients;
- a set rule, which sees all k preferences of a step at once.

`RULES` has them all by name; `from_rule`, `from_scalarisation`, `from_solver` and
`from_set` make one from a function of your own. Set rules are defined here, formulas
side by side.
"""

from collections.abc import Callable
from functools import cache, partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jax.typing import ArrayLike

from jaxpareto import scalarize, solvers
from jaxpareto.errors import UsageError, check_name
from jaxpareto.metrics import hypervolume, nondominated
from jaxpareto.options import of_function, parse
from jaxpareto.simplex import to_ray
from jaxpareto.types import Array, Rule, Weighed, Weighting

SetRule = Callable[[Array, Array], Array]
"""`f(losses [k, m], prefs [k, m]) -> weights [k, m]`."""


@cache  # one rule per function: a new closure each time would make `jit` trace again
def from_rule(
    rule: Rule, *, needs_gram: bool = False, needs_losses: bool = True
) -> Weighting:
    """Make the rule of a function that answers the weights of one preference.

    Args:
      rule: `f(losses [m], gram [m, m] or None, pref [m]) -> weights [m]`, any function
        that JAX can trace; the weights may have any sign and any sum.
      needs_gram: whether it reads the inner products of the task gradients, which cost
        m backward passes; else it gets None.
      needs_losses: whether its weights depend on the losses; where they do not a
        training may ask for them before it knows the losses, with other numbers there.

    >>> rule = from_rule(lambda losses, gram, pref: pref * losses)
    >>> losses, prefs = jnp.array([[2.0, 4.0]]), jnp.array([[0.25, 0.75]])
    >>> print(rule.weigh(losses, None, prefs).weights)
    [[0.5 3. ]]
    """

    def weigh(losses: Array, grams: Array | None, prefs: Array) -> Weighed:
        if needs_gram and grams is None:
            raise UsageError("this rule needs the Gramians [k, m, m]; got None")
        seen, axis = (grams, 0) if needs_gram else (None, None)
        # As for solvers: accelerators would round the small products.
        with jax.default_matmul_precision("highest"):
            weights = jax.vmap(rule, (0, axis, 0))(losses, seen, prefs)
        return Weighed(weights, _sound(losses, weights))

    return Weighting(weigh, needs_gram, needs_losses)


@cache
def from_scalarisation(scalarisation: scalarize.Scalarisation) -> Weighting:
    """Make the rule whose weights are a scalarisation's gradient in the losses.

    >>> rule = from_scalarisation(scalarize.linear)
    >>> print(rule.weigh(jnp.ones((1, 2)), None, jnp.array([[0.25, 0.75]])).weights)
    [[0.25 0.75]]
    """
    one = scalarize.as_rule(scalarisation)

    def weigh(losses: Array, grams: Array | None, prefs: Array) -> Weighed:
        del grams
        weights = jax.vmap(one, (0, None, 0))(losses, None, prefs)
        return Weighed(weights, _sound(losses, weights))

    # Only a plane has the same slope everywhere.
    flat = scalarisation is scalarize.linear
    return Weighting(weigh, needs_gram=False, needs_losses=not flat)


@cache
def from_solver(solver: solvers.Solver) -> Weighting:
    """Make the rule of a gradient solver.

    >>> rule = from_solver(solvers.mgda)
    >>> grams = jnp.eye(2)[None]
    >>> print(rule.weigh(jnp.ones((1, 2)), grams, jnp.array([[0.25, 0.75]])).weights)
    [[0.5 0.5]]
    """

    def weigh(losses: Array, grams: Array | None, prefs: Array) -> Weighed:
        if grams is None:
            raise UsageError("a gradient solver needs the Gramians [k, m, m]; got None")
        # Accelerators would round these small products, and solvers read differences.
        with jax.default_matmul_precision("highest"):
            weights, info = jax.vmap(solver)(losses, grams, prefs)
        return Weighed(weights, info.converged)

    return Weighting(weigh, needs_gram=True)


@cache
def from_set(rule: SetRule) -> Weighting:
    """Make the rule of a function that sees all preferences of a step.

    >>> rule = from_set(lambda losses, prefs: prefs)
    >>> print(rule.weigh(jnp.ones((1, 2)), None, jnp.array([[0.25, 0.75]])).weights)
    [[0.25 0.75]]
    """

    def weigh(losses: Array, grams: Array | None, prefs: Array) -> Weighed:
        del grams
        weights = rule(losses, prefs)
        told = jnp.any(
            weights != 0, axis=1
        )  # else this member does not know where to go
        return Weighed(weights, told & _sound(losses, weights))

    return Weighting(weigh, needs_gram=False)


def hypervolume_gradient(
    losses: Array,
    prefs: Array,
    *,
    reference: ArrayLike | None = None,
    penalty: float = 5.0,
) -> Array:
    """Enlarge the hypervolume of the set, each member staying near its own ray.

    `weights_k = -dHV(layer of k)/dL_k / |.| - penalty * d cos(L_k, ray_k)/dL_k`

    The first layer are the non-dominated points; the second those that are so without
    the first; and so on, so that dominated points, too, are told where to go.

    Args:
      losses: [k, m], minimised.
      prefs: [k, m], each row on the simplex.
      reference: [m], the worst losses that count; by default the largest ones of the
        set and a tenth more, so that every point counts.
      penalty: weight of the cosine.

    Returns:
      [k, m]; entries may be negative through the cosine.

    Raises:
      UsageError: the shapes are not [k, m] and [k, m] with m >= 2, or the penalty is
        negative.

    Source: Hoang, Le, Tuan and Thang (2023), "Improving Pareto front learning via
    multi-sample hypernetworks" (PHN-HVI), section 4; Deist, Maree, Alderliesten and
    Bosman (2020), "Multi-objective optimization by uncrowded hypervolume gradient
    ascent", for the layers.

    >>> losses = jnp.array([[1.0, 2.0], [2.0, 1.0]])
    >>> prefs = jnp.array([[2 / 3, 1 / 3], [1 / 3, 2 / 3]])  # both lie on their rays
    >>> rule = jax.jit(partial(hypervolume_gradient, reference=3.0))
    >>> print(rule(losses, prefs).round(3))
    [[0.707 0.707]
     [0.707 0.707]]
    """
    _check_set(losses, prefs)
    if not penalty >= 0:
        raise UsageError(f"penalty must be 0 or more; found {penalty}")
    k, m = losses.shape
    largest, smallest = jnp.max(losses, axis=0), jnp.min(losses, axis=0)
    beyond = largest + 0.1 * jnp.maximum(jnp.abs(largest), largest - smallest)
    worst = beyond if reference is None else reference
    worst = jnp.broadcast_to(jnp.asarray(worst, losses.dtype), (m,))

    def volumes(points: Array) -> Array:
        """Sum the hypervolumes of the layers; a point acts on that of its own only."""
        layers = _layers(lax.stop_gradient(points))

        def volume(layer: Array) -> Array:
            there = (layers == layer)[:, None]
            return hypervolume(jnp.where(there, points, worst[None, :]), worst)

        return jnp.sum(jax.vmap(volume)(jnp.arange(k)))

    gain = -jax.grad(volumes)(losses)
    length = jnp.linalg.norm(gain, axis=1, keepdims=True)
    gain = gain / jnp.where(length > 0, length, 1)
    return gain - penalty * jax.vmap(jax.grad(_cosine))(losses, jax.vmap(to_ray)(prefs))


def spread(
    losses: Array, prefs: Array, *, width: float = 0.1, strength: float = 0.1
) -> Array:
    """Lower the weighted losses, the members of the set pushing each other apart.

    `weights_k = pref_k + strength * d/dL_k sum_{i != j} exp(-|L_i - L_j|^2 / width^2)`

    The paper moves a set of learned rays by this gradient and trains the network along
    them with plain weights; here, where rays are drawn, it acts on the losses.

    Args:
      losses: [k, m], minimised, of one unit.
      prefs: [k, m], each row on the simplex.
      width: distance at which two members feel each other, in the unit of the losses.
      strength: of the push.

    Returns:
      [k, m]; entries may be negative between close members.

    Raises:
      UsageError: the shapes are not [k, m] and [k, m] with m >= 2, the width is not
        positive, or the strength is negative.

    Source: Chen and Kwok (2022), "Multi-objective deep learning with adaptive reference
    vectors" (GMOOAR-U), for the measure of spread.

    >>> far = jnp.array([[0.0, 9.0], [9.0, 0.0]])
    >>> print(spread(far, jnp.array([[0.25, 0.75], [0.75, 0.25]])))
    [[0.25 0.75]
     [0.75 0.25]]
    """
    _check_set(losses, prefs)
    if not width > 0 or not strength >= 0:
        raise UsageError(
            "width must be positive and strength 0 or more; "
            f"found {width} and {strength}"
        )

    def crowding(points: Array) -> Array:
        apart = points[:, None, :] - points[None, :, :]
        return jnp.sum(jnp.exp(-jnp.sum(jnp.square(apart / width), axis=-1)))

    return prefs + strength * jax.grad(crowding)(losses)


SETS: dict[str, SetRule] = {"hypervolume": hypervolume_gradient, "spread": spread}
"""Name -> set rule."""


_FUNCTIONS: dict[str, tuple[Callable[..., Weighting], Callable[..., Any]]] = {
    **{name: (from_scalarisation, f) for name, f in scalarize.SCALARISATIONS.items()},
    **{name: (from_solver, f) for name, f in solvers.SOLVERS.items()},
    **{name: (from_set, f) for name, f in SETS.items()},
}


_ARRAYS = ("rays", "key")  # options that words cannot give


def options_of(name: str) -> dict[str, Any]:
    """List the options of a rule that words can give, with their defaults.

    >>> options_of("stch")
    {'ideal': 0.0, 'scale': 1.0, 'mu': 0.01}
    """
    known = of_function(_FUNCTIONS[check_name(name, _FUNCTIONS, "rule")][1])
    return {each: known[each] for each in known if each not in _ARRAYS}


@cache
def rule_with_options(name: str, words: str = "") -> Weighting:
    """Make a rule by name, with options as words.

    Args:
      name: a name of `RULES`.
      words: `"name=value,..."`, of `options_of(name)`.

    Raises:
      UsageError: no such rule, no such option of it, or not of that type.

    >>> rule = rule_with_options("stch", "mu=0.5")
    >>> rule.needs_gram
    False
    """
    known = options_of(name)
    make, function = _FUNCTIONS[name]
    given = parse(words, known, f"rule {name}")
    return make(partial(function, **given)) if given else RULES[name]


class Entry(NamedTuple):
    """A row of the list of rules.

    Attributes:
      kind: `"scalarisation"`, `"solver"` or `"set rule"`.
      about: what it does, in a few words.
      source: authors and year.
    """

    kind: str
    about: str
    source: str


RULES: dict[str, Weighting] = {
    name: make(function) for name, (make, function) in _FUNCTIONS.items()
}
"""Name -> rule."""

ABOUT: dict[str, Entry] = {
    **{name: Entry("scalarisation", *row) for name, row in scalarize.ABOUT.items()},
    **{name: Entry("solver", *row) for name, row in solvers.ABOUT.items()},
    "hypervolume": Entry(
        "set rule", "enlarge the hypervolume, near the rays", "Hoang et al. (2023)"
    ),
    "spread": Entry("set rule", "linear, and pushed apart", "Chen, Kwok (2022)"),
}
"""Name -> what `--list` says of it."""


def _layers(points: Array) -> Array:
    """Number the non-dominated layers [k], from 0."""
    k = len(points)

    def peel(number: Array, layers: Array) -> Array:
        left = layers < 0
        # Whoever has been peeled off dominates nobody: move it out of sight.
        front = nondominated(jnp.where(left[:, None], points, jnp.inf)) & left
        return jnp.where(front, number, layers)

    return lax.fori_loop(0, k, peel, jnp.full(k, -1))


def _cosine(losses: Array, ray: Array) -> Array:
    """Return the cosine between losses and ray; no slope where the losses vanish."""
    square = jnp.sum(jnp.square(losses))
    length = jnp.sqrt(jnp.where(square > 0, square, 1))
    return jnp.where(square > 0, losses @ ray / length / jnp.linalg.norm(ray), 0)


def _sound(losses: Array, weights: Array) -> Array:
    """Say at which preferences [k] both losses and weights are numbers."""
    both = jnp.concatenate([losses, weights], axis=1)
    return jnp.all(jnp.isfinite(both), axis=1)


def _check_set(losses: Array, prefs: Array) -> None:
    shape = np.shape(losses)
    if len(shape) != 2 or shape[1] < 2 or np.shape(prefs) != shape:
        raise UsageError(
            "expected losses [k, m] and prefs [k, m] with m >= 2; "
            f"found {shape} and {np.shape(prefs)}"
        )
