"""What every solver does first and last: check its inputs, flag its answer."""

from typing import NamedTuple

import jax.numpy as jnp

from jaxpareto.errors import UsageError
from jaxpareto.types import Array


class Info(NamedTuple):
    """How a solver came to its weights.

    Attributes:
      converged: bool; whether the weights solve the method's own program. Where it is
        False the weights are the last ones tried (NaN for NaN inputs), and no other
        method has taken over.
      iterations: int32; of the inner solver, 0 for a closed form.
      active: int32; how many constraints the method had to mind, in its own sense.
    """

    converged: Array
    iterations: Array
    active: Array


def checked(losses: Array, gram: Array | None, pref: Array) -> tuple[Array, ...]:
    """Return the inputs as floats of one type, or say which shape is wrong."""
    if gram is None:
        raise UsageError("a gradient solver needs the Gramian [m, m]; found None")
    dtype = jnp.result_type(losses, gram, pref, jnp.float32)
    losses, gram, pref = (jnp.asarray(each, dtype) for each in (losses, gram, pref))
    m = losses.size
    if m < 2 or (losses.shape, gram.shape, pref.shape) != ((m,), (m, m), (m,)):
        raise UsageError(
            "expected losses [m], a Gramian [m, m] and pref [m] with m >= 2 (use vmap "
            f"for more than one); found {losses.shape}, {gram.shape} and {pref.shape}"
        )
    return losses, gram, pref


def scaled(gram: Array) -> tuple[Array, Array]:
    """Divide a Gramian by its largest diagonal entry; return both."""
    size = jnp.max(jnp.diagonal(gram))
    normal = size > jnp.finfo(gram.dtype).tiny  # by less, division is not defined
    size = jnp.where(normal, size, 1)
    return jnp.where(normal, gram / size, 0), size


def concluded(
    inputs: tuple[Array, ...],
    weights: Array,
    *,
    converged: Array | bool = True,
    iterations: Array | int = 0,
    active: Array | int = 0,
) -> tuple[Array, Info]:
    """Return weights and info; a NaN or an infinity in the inputs shows in both."""
    sound = jnp.all(jnp.stack([jnp.all(jnp.isfinite(each)) for each in inputs]))
    info = Info(
        sound & converged & jnp.all(jnp.isfinite(weights)),
        jnp.asarray(iterations, jnp.int32),
        jnp.asarray(active, jnp.int32),
    )
    return jnp.where(sound, weights, jnp.nan), info
