"""Networks conditioned on a task: one learned code per task in place of a preference.

A family over t tasks is a family over the simplex of t corners. A corner is a task; a
point between two corners has a code between theirs, and the centre the mean code. So
whatever trains, evaluates or draws a network conditioned on a preference does so with
tasks, and every conditioner takes them.

The baseline, a network of its own for each task, is
`conditioned.independent(net, np.eye(t))`.
"""

import math

import jax
import jax.numpy as jnp

from jaxpareto import draw
from jaxpareto.errors import UsageError
from jaxpareto.hyper import unstandardise
from jaxpareto.types import Array, Conditioned, Key, Params

SHARED, CODES = "shared", "codes"


def of_tasks(conditioned: Conditioned, tasks: int, width: int) -> Conditioned:
    """Condition a network on tasks, each with a learned code.

    `params(phi, pref) = shared network at the code sum_t pref_t codes_t`

    Args:
      conditioned: a network made for `m = width` "objectives", by any conditioner.
      tasks: `t`, how many codes are learned.
      width: of a code.

    Returns:
      A network for preferences [t] over the tasks, with
      `phi = {"shared": ..., "codes": [t, width]}`. Codes start as normal numbers of
      variance one.

    Raises:
      UsageError: no task, or codes of fewer than two numbers.

    Source: von Oswald et al. (2020), "Continual learning with hypernetworks"; Cubelier
    (2022), whose tasks are one-hot vectors in front of a matrix, as here.

    >>> from jaxpareto import conditioned, nets
    >>> net = nets.mlp_net((4, 4), classes=2, widths=(8,))
    >>> shared = conditioned.CONDITIONERS["heads"].make(net, 6, jax.random.key(0))
    >>> family = of_tasks(shared, tasks=3, width=6)
    >>> phi = jax.jit(family.init)(jax.random.key(1))
    >>> params = jax.jit(family.params)(phi, one_hot(1, 3))
    >>> phi["codes"].shape, params["layer0"]["kernel"].shape
    ((3, 6), (16, 8))
    """
    if tasks < 1 or width < 2:
        raise UsageError(
            f"{tasks} tasks with codes of {width} numbers; give at least 1 and 2"
        )
    at_code = of_codes(conditioned)

    def init(key: Key) -> Params:
        own, drawing = jax.random.split(key)
        codes = draw.normal(drawing, (tasks, width))
        return {SHARED: conditioned.init(own), CODES: codes}

    def params(phi: Params, pref: Array) -> Params:
        return at_code.params(phi[SHARED], pref @ phi[CODES])

    penalty = conditioned.penalty
    return Conditioned(
        init,
        params,
        conditioned.forward,
        None if penalty is None else lambda phi: penalty(phi[SHARED]),
        conditioned.batchwise,
    )


def of_codes(conditioned: Conditioned) -> Conditioned:
    """Let a network read free codes in place of preferences.

    `params(shared, code) = conditioned.params(shared, unstandardise(code / sqrt(w)))`

    With `shared = phi["shared"]` of `of_tasks` these are the networks of codes that no
    task has: what a new task is given, with everything else as it is.

    Args:
      conditioned: a network made for m = w "objectives", by any conditioner.

    Returns:
      The same network for codes [w] of mean square one.
    """

    def params(shared: Params, code: Array) -> Params:
        length = math.sqrt(code.shape[-1])
        return conditioned.params(shared, unstandardise(code / length))

    return conditioned._replace(params=params)


def one_hot(task: int, tasks: int) -> Array:
    """Name one of t tasks: the corner [t] of the simplex.

    Raises:
      UsageError: no such task.

    >>> print(one_hot(1, 3))
    [0. 1. 0.]
    """
    if not 0 <= task < tasks:
        raise UsageError(f"task {task} of {tasks}: the tasks are 0 to {tasks - 1}")
    return jnp.eye(tasks)[task]


def path(phi: Params, first: int, last: int, points: int = 21) -> Array:
    """Go straight from the code of one task to that of another.

    Args:
      phi: of `of_tasks`.
      first: a task, where the path begins.
      last: a task, where it ends.
      points: how many codes, both ends among them.

    Returns:
      Codes [points, width].

    Raises:
      UsageError: no such task, or fewer than two points.

    >>> print(path({"codes": jnp.array([[0.0, 2.0], [1.0, 0.0]])}, 0, 1, 3))
    [[0.  2. ]
     [0.5 1. ]
     [1.  0. ]]
    """
    if points < 2:
        raise UsageError(f"a path of {points} points; give at least 2")
    t = len(phi[CODES])
    along = jnp.linspace(0.0, 1.0, points)[:, None]
    ends = one_hot(first, t)[None], one_hot(last, t)[None]
    return ((1.0 - along) * ends[0] + along * ends[1]) @ phi[CODES]
