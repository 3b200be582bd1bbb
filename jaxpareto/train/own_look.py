"""A look at losses of one's own before the training: what a person would want to know.

Both findings are remarks, not errors: there are losses that mean to be so.
"""

from collections.abc import Callable, Iterator
from typing import Any

import jax
import numpy as np

from jaxpareto.types import Array, Key, Net, Split

_ROWS = 256  # to judge the size of the losses by
_FEW = 8  # to judge one by one
_APART = 100.0  # so many times another, a loss has the front to itself


def remarks(
    net: Net, losses: Callable[[Any, Any], Array], split: Split, key: Key
) -> Iterator[str]:
    """Say what is odd about the losses of a network that has not been trained.

    Args:
      net: the target network.
      losses: `losses(outputs, targets) -> [m]`.
      split: examples; the first ones are looked at.
      key: of the network's initialisation.
    """

    @jax.jit
    def look(key: Key, split: Split) -> tuple[Array, Array, Array]:
        params = net.init(key)

        def of(split: Split) -> Array:
            return losses(net.apply(params, split.images), split.labels)

        few = jax.tree.map(lambda x: x[:_FEW], split)
        one_by_one = jax.tree.map(lambda x: x[:, None], few)
        return of(split), of(few), jax.lax.map(of, one_by_one).mean(axis=0)

    some = jax.tree.map(lambda x: x[:_ROWS], split)
    try:
        whole, together, apart = map(np.asarray, look(key, some))
    except (TypeError, ValueError):  # a network for batches of one size alone
        return
    if np.isfinite(whole).all() and whole.min() > 0:
        ratio, large, small = whole.max() / whole.min(), whole.argmax(), whole.argmin()
        if ratio > _APART:
            yield (
                f"loss {large + 1} is {ratio:,.0f} times loss {small + 1} at the "
                f"start, and the front will serve task {large + 1} alone; bring the "
                "targets or the losses to one size"
            )
    if not net.batchwise and np.isfinite([together, apart]).all():
        for i in np.flatnonzero(~np.isclose(together, apart, rtol=0.01, atol=1e-4)):
            yield (
                f"loss {i + 1} is no mean over examples: {together[i]:.4g} of {_FEW} "
                f"of them, {apart[i]:.4g} on average one by one. Targets [n, 1] "
                "against answers [n] are a common cause"
            )
