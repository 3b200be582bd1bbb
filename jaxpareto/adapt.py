"""Networks written with Flax as target networks: pure functions of a pytree.

A `Net` is two functions, `init(key) -> params` and `apply(params, x, *, key=None)`;
whoever writes these by hand needs nothing of this page. `from_linen` and `from_nnx`
read them off a Flax module. Such a network may take and answer any pytree of arrays.

What a module keeps beside its parameters (running averages of a batch normalisation)
has no place in a network whose weights are made for each preference, and is refused.
"""

from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp

from jaxpareto.errors import UsageError
from jaxpareto.types import Array, Key, Net, Params


def from_linen(
    module: Any,
    x: Any,
    *,
    training: Mapping[str, Any] | None = None,
    answering: Mapping[str, Any] | None = None,
) -> Net:
    """Make a target network of a Flax linen module.

    `apply(params, x) = module.apply({"params": params}, x)`

    Args:
      module: the module; called with one argument.
      x: an input that it accepts, any pytree of arrays; shapes and types are read.
      training: more arguments of the call while it is trained, such as
        `{"deterministic": False}`; dropout then draws from the key of each step.
      answering: more arguments of the call elsewhere, such as
        `{"deterministic": True}`.

    Raises:
      UsageError: the module keeps variables that are no parameters.

    >>> from flax import linen as nn
    >>> net = from_linen(nn.Dense(2), jnp.zeros((1, 3)))
    >>> params = net.init(jax.random.key(0))
    >>> net.apply(params, jnp.ones((5, 3))).shape
    (5, 2)
    """
    some = jax.tree.map(
        lambda leaf: jnp.zeros(leaf.shape, jax.dtypes.canonicalize_dtype(leaf.dtype)), x
    )
    learning, asked = dict(training or {}), dict(answering or {})

    def variables(key: Key) -> Any:
        return module.init(key, some, **asked)

    kept = jax.eval_shape(variables, jax.random.key(0))
    _refuse_state(name for name in kept if name != "params")

    def init(key: Key) -> Params:
        return variables(key)["params"]

    def apply(params: Params, x: Any, *, key: Key | None = None) -> Any:
        if key is None:
            return module.apply({"params": params}, x, **asked)
        return module.apply({"params": params}, x, rngs={"dropout": key}, **learning)

    return Net(init, apply)


def from_nnx(make: Callable[..., Any]) -> Net:
    """Make a target network of a Flax NNX module.

    `params` is the pure dictionary of the module's `nnx.Param`.

    Args:
      make: `make(rngs) -> module`, called with one argument; its class will do. While
        it is trained it is in the mode of `module.train()`, and elsewhere in that of
        `module.eval()`; dropout draws from the key of each step.

    Raises:
      UsageError: the module keeps variables that are no parameters, or it is one.

    >>> from flax import nnx
    >>> net = from_nnx(lambda rngs: nnx.Linear(3, 2, rngs=rngs))
    >>> params = net.init(jax.random.key(0))
    >>> net.apply(params, jnp.ones((5, 3))).shape
    (5, 2)
    """
    from flax import nnx

    if isinstance(make, nnx.Module):
        raise UsageError(
            f"found a module, {type(make).__name__}(...); give its class, or a "
            "function rngs -> module, since each seed makes it anew"
        )
    module = make(nnx.Rngs(0))
    _, example, rest = nnx.split(module, nnx.Param, ...)
    kinds = {type(variable).__name__ for _, variable in nnx.to_flat_state(rest)}
    _refuse_state(name for name in sorted(kinds) if not name.startswith("Rng"))
    module.eval()
    answering = nnx.split(module, nnx.Param, ...)[0]
    module.train()
    training = nnx.split(module, nnx.Param, ...)[0]
    structure = jax.tree.structure(example)

    def init(key: Key) -> Params:
        return nnx.to_pure_dict(nnx.split(make(nnx.Rngs(key)), nnx.Param, ...)[1])

    def apply(params: Params, x: Any, *, key: Key | None = None) -> Any:
        state = jax.tree.unflatten(structure, jax.tree.leaves(params))
        # Made anew in every call: Flax counts the draws of a module in place.
        drawing = jax.tree.map(lambda leaf: leaf, rest)
        if key is None:
            return nnx.merge(answering, state, drawing)(x)
        return nnx.merge(training, state, _keyed(drawing, key))(x)

    # A run in a folder keeps this name, to tell one network from another.
    name = getattr(make, "__qualname__", type(make).__qualname__)
    apply.__qualname__ = f"from_nnx({name})"
    return Net(init, apply)


def _keyed(state: Any, key: Key) -> Any:
    """Give each random stream of a module a key of its own."""
    leaves, structure = jax.tree.flatten(state)

    def renew(number: int, leaf: Array) -> Array:
        is_key = jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key)
        return jax.random.fold_in(key, number) if is_key else leaf

    return jax.tree.unflatten(
        structure, [renew(number, leaf) for number, leaf in enumerate(leaves)]
    )


def _refuse_state(names: Any) -> None:
    names = list(names)
    if names:
        raise UsageError(
            f"the module keeps {', '.join(names)} beside its parameters, and a network "
            "made for a preference keeps none; use LayerNorm or GroupNorm in place of "
            "BatchNorm"
        )
