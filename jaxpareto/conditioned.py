"""Conditioned networks: one `phi`, and a network for every preference.

Here a target network and a hypernetwork meet, through a `Spec` of shapes alone; and
here stands the baseline, one network per preference, under the same contract, so that
one trainer and one evaluator serve both.
"""

from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxpareto import hyper, tree
from jaxpareto.errors import UsageError, check_name
from jaxpareto.types import Array, Conditioned, Key, Net, Params


def from_hypernetwork(net: Net, module: Any, spec: tree.Spec, m: int) -> Conditioned:
    """Let a hypernetwork make the weights of a target network.

    `params(phi, pref) = unravel(spec, hyper.flat(phi, pref))`

    Args:
      net: the target network.
      module: a linen module with a method `flat(pref) -> [>= n]`, such as `Chunked`.
      spec: shapes of the target's parameters, from `tree.spec_of`.
      m: number of objectives.

    >>> from jaxpareto.nets import mlp
    >>> net = mlp((6, 6), widths=(8,))
    >>> spec = tree.spec_of(net.init, jax.random.key(0))
    >>> module = hyper.Chunked(hyper.equal_slices(spec, 64))
    >>> conditioned = from_hypernetwork(net, module, spec, 2)
    >>> phi = conditioned.init(jax.random.key(1))
    >>> params = conditioned.params(phi, jnp.array([0.3, 0.7]))
    >>> params["hidden0"]["kernel"].shape
    (36, 8)
    """
    flat = type(module).flat
    centre = jnp.full(m, 1.0 / m)

    def init(key: Key) -> Params:
        return module.init(key, centre, method=flat)["params"]

    def params(phi: Params, pref: Array) -> Params:
        vector = module.apply({"params": phi}, pref, method=flat)
        return tree.unravel(spec, vector[: spec.size])

    return Conditioned(init, params, net.apply)


def chunked(
    net: Net,
    m: int,
    key: Key,
    *,
    chunking: str = "equal",
    chunk_size: int = 2000,
    **options: Any,
) -> Conditioned:
    """Drive a target network by the chunked hypernetwork.

    Args:
      net: the target network.
      m: number of objectives.
      key: only measures the scale of the target's initial weights; consumed.
      chunking: `"equal"` slices of the flat vector, or one chunk per `"filter"`.
      chunk_size: length of the equal slices.
      options: further attributes of `hyper.Chunked`.

    Raises:
      UsageError: unknown chunking, or a chunk size below 1.
    """
    check_name(chunking, hyper.CHUNKINGS, "chunking")
    spec = tree.spec_of(net.init, key)
    if chunking == "equal":
        cut = hyper.equal_slices(spec, chunk_size)
    else:
        cut = hyper.per_filter(spec)
    return from_hypernetwork(net, hyper.Chunked(cut, **options), spec, m)


def independent(net: Net, prefs: Array | np.ndarray) -> Conditioned:
    """Keep one network per preference: the baseline that a conditioned one must match.

    Asked for any preference, the network of the nearest of `prefs` answers. Train it
    with all k preferences on every batch; the mean over preferences then gives each
    network `1/k` of its own gradient, which Adam and RMSprop do not notice and plain
    SGD does (multiply its learning rate by k).

    Args:
      net: the target network.
      prefs: [k, m] on the simplex.

    Raises:
      UsageError: `prefs` is not a matrix.
    """
    prefs = np.asarray(prefs, np.float32)
    if prefs.ndim != 2:
        raise UsageError(f"expected preferences [k, m], found {prefs.shape}")

    def init(key: Key) -> Params:
        return jax.vmap(net.init)(jax.random.split(key, len(prefs)))

    def params(phi: Params, pref: Array) -> Params:
        distance = jnp.sum(jnp.square(prefs - pref[None]), axis=-1)
        nearest = jnp.argmin(distance)
        return jax.tree.map(partial(jnp.take, indices=nearest, axis=0), phi)

    return Conditioned(init, params, net.apply)


CONDITIONERS = {"chunked": chunked, "independent": independent}
"""Name -> maker of a `Conditioned` from a target network."""
