"""Recurrent cells as pure functions, and the LSTM.

A `Cell` reads a sequence step by step: `unroll(params, state, xs)` returns the state
after the last step and what came out at each. State goes in and out, so that a long
text can be read in pieces. `hyper_lstm` is a cell like any other.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax import lax

from jaxpareto import draw
from jaxpareto.errors import UsageError
from jaxpareto.types import Array, Key, Params

GATES = 4
"""Input gate i, new value g, forget gate f, output gate o: in this order everywhere."""

_EPSILON = 1e-5


class Cell(NamedTuple):
    """A recurrent network: pure functions of a parameter pytree.

    Attributes:
      init: `init(key) -> params`; the key is consumed.
      start: `start(b) -> state` of b sequences of which nothing is read yet.
      unroll: `unroll(params, state, xs) -> (state, outputs)`, xs [t, b, d] to outputs
        [t, b, h].
    """

    init: Callable[[Key], Params]
    start: Callable[[int], Any]
    unroll: Callable[[Params, Any, Array], tuple[Any, Array]]


class Memory(NamedTuple):
    """The state of an LSTM.

    Attributes:
      hidden: [b, h], what it put out last.
      cell: [b, h].
    """

    hidden: Array
    cell: Array


def lstm(inputs: int, units: int, *, layer_norm: bool = False) -> Cell:
    """Make a long short-term memory.

    `y = [W_x x_t + W_h h_{t-1} + b]_y` for y in i, g, f, o;
    `c_t = sigmoid(f) c_{t-1} + sigmoid(i) tanh(g)`, `h_t = sigmoid(o) tanh(c_t)`

    With `layer_norm` each y is standardised over its units before it is used, and so is
    c_t inside the tanh; each norm has a gain and a shift. The forget gate starts open
    by a bias of 1, or a shift of 1.

    Args:
      inputs: `d`, numbers that come in at a step.
      units: `h`.
      layer_norm: whether to standardise.

    Raises:
      UsageError: a size below one.

    Source: Hochreiter and Schmidhuber (1997); Gers et al. (2000) for the forget gate;
    Ba, Kiros and Hinton (2016) for the norm.

    >>> cell = lstm(3, 5)
    >>> params = cell.init(jax.random.key(0))
    >>> state, outputs = cell.unroll(params, cell.start(2), jnp.ones((7, 2, 3)))
    >>> outputs.shape
    (7, 2, 5)
    """
    check_sizes(inputs=inputs, units=units)

    def init(key: Key) -> Params:
        from_input, from_hidden = jax.random.split(key)
        params = {
            "input": draw.normal(from_input, (inputs, GATES * units), inputs**-0.5),
            "hidden": draw.normal(from_hidden, (units, GATES * units), units**-0.5),
            "bias": jnp.zeros(GATES * units) if layer_norm else open_forget(units),
        }
        return params | ({"norms": norms(units)} if layer_norm else {})

    def unroll(params: Params, memory: Memory, xs: Array) -> tuple[Memory, Array]:
        # What comes from the input alone is done for all steps at once.
        read = xs @ params["input"] + params["bias"][None, None]

        def step(memory: Memory, read: Array) -> tuple[Memory, Array]:
            gates = read + memory.hidden @ params["hidden"]
            memory = update(memory, gates, params.get("norms"))
            return memory, memory.hidden

        return lax.scan(step, memory, read)

    return Cell(init, lambda b: empty(b, units), unroll)


def update(memory: Memory, gates: Array, norms: Params | None) -> Memory:
    """Let the gates [b, 4 h] change a memory."""
    if norms is not None:
        apart = gates.reshape(len(gates), GATES, -1)
        gates = _normalise(norms["gates"], apart).reshape(gates.shape)
    i, g, f, o = jnp.split(gates, GATES, axis=-1)
    cell = jax.nn.sigmoid(f) * memory.cell + jax.nn.sigmoid(i) * jnp.tanh(g)
    seen = cell if norms is None else _normalise(norms["cell"], cell)
    return Memory(jax.nn.sigmoid(o) * jnp.tanh(seen), cell)


def empty(b: int, units: int) -> Memory:
    """Return the memory before the first step: zeros."""
    return Memory(jnp.zeros((b, units)), jnp.zeros((b, units)))


def norms(units: int) -> Params:
    """Make gain and shift of the norms of an LSTM; the forget gate's shift is 1."""
    shift = open_forget(units).reshape(GATES, units)
    return {
        "gates": {"gain": jnp.ones((GATES, units)), "shift": shift},
        "cell": {"gain": jnp.ones(units), "shift": jnp.zeros(units)},
    }


def open_forget(units: int) -> Array:
    """Return a bias [4 h]: 1 for the forget gate, 0 for the others."""
    return jnp.repeat(jnp.array([0.0, 0.0, 1.0, 0.0]), units)


def check_sizes(**sizes: int) -> None:
    """Refuse a size below one."""
    for name, size in sizes.items():
        if size < 1:
            raise UsageError(f"{name} = {size} of a recurrent cell; give at least 1")


def _normalise(norm: Params, x: Array) -> Array:
    """Standardise over the last axis, then scale and shift."""
    mean = jnp.mean(x, axis=-1, keepdims=True)
    var = jnp.mean(jnp.square(x - mean), axis=-1, keepdims=True)
    out = (x - mean) * lax.rsqrt(var + _EPSILON)
    return out * norm["gain"][None] + norm["shift"][None]
