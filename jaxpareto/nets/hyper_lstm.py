"""The dynamic hypernetwork of Ha et al.: an LSTM whose weights another one scales.

A small LSTM reads the same sequence. From what it puts out come, at every step and for
every gate, vectors that scale the rows of the large LSTM's matrices, and its biases: a
network of weights that move, at the memory of one whose weights do not.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax import lax

from jaxpareto import draw
from jaxpareto.nets import recurrent
from jaxpareto.nets.recurrent import GATES, Cell, Memory
from jaxpareto.types import Array, Key, Params

MADE: tuple[str, ...] = ("input", "hidden", "bias")
"""What is made at each step for each gate: d_x, d_h and b."""


class HyperMemory(NamedTuple):
    """The state of a HyperLSTM.

    Attributes:
      main: of the large LSTM.
      hyper: of the small one.
    """

    main: Memory
    hyper: Memory


def hyper_lstm(
    inputs: int,
    units: int,
    *,
    hyper_units: int = 16,
    embedding: int = 4,
    layer_norm: bool = False,
) -> Cell:
    """Make a HyperLSTM in its memory-efficient form.

    The small LSTM makes `h'_t` from `(x_t, h_{t-1})`. For y in i, g, f, o,

        z_x = Z_x h'_t + u_x,  z_h = Z_h h'_t + u_h,  z_b = Z_b h'_t,
        y = (D_x z_x) * (W_x x_t) + (D_h z_h) * (W_h h_{t-1}) + D_b z_b + b,

    each with matrices of its own, and the gates then do what they do in `lstm`.

    At the start the scales are the same for all units and steps: 0.1 with `layer_norm`
    as in the paper (the norm undoes it, and their gradients are then larger), 1
    without. Two departures: the paper's recurrent dropout is left out, and it makes z
    from `h'_{t-1}`, where the authors' program and this one take `h'_t`.

    Args:
      inputs: `d`, numbers that come in at a step.
      units: `h`, of the large LSTM.
      hyper_units: of the small one.
      embedding: length of each z.
      layer_norm: whether both LSTMs standardise, as `lstm` says.

    Raises:
      UsageError: a size below one.

    Source: Ha, Dai and Le (2017), "HyperNetworks", the HyperLSTM of its appendix.

    >>> cell = hyper_lstm(3, 5, hyper_units=4, embedding=2)
    >>> params = cell.init(jax.random.key(0))
    >>> state, outputs = cell.unroll(params, cell.start(2), jnp.ones((7, 2, 3)))
    >>> outputs.shape
    (7, 2, 5)
    """
    recurrent.check_sizes(inputs=inputs, units=units)
    recurrent.check_sizes(hyper_units=hyper_units, embedding=embedding)
    main = recurrent.lstm(inputs, units, layer_norm=layer_norm)
    hyper = recurrent.lstm(inputs + units, hyper_units, layer_norm=layer_norm)
    scale = 0.1 if layer_norm else 1.0

    def init(key: Key) -> Params:
        own, small, shift = jax.random.split(key, 3)
        sizes = (hyper_units, GATES, embedding)
        codes = dict.fromkeys(MADE[:2], jnp.zeros(sizes))
        codes |= {"bias": draw.normal(shift, sizes, 0.01)}
        project = jnp.full((GATES, embedding, units), scale / embedding)
        return main.init(own) | {
            "hyper": hyper.init(small),
            "codes": codes,
            "offsets": dict.fromkeys(MADE[:2], jnp.ones((GATES, embedding))),
            "projections": dict.fromkeys(MADE[:2], project)
            | {"bias": jnp.zeros_like(project)},
        }

    def unroll(params: Params, state: HyperMemory, xs: Array):
        small, width = params["hyper"], GATES * units
        # What comes from the input alone is done for all steps at once; what both LSTMs
        # make of the last output is one product.
        read = xs @ params["input"]
        read_small = xs @ small["input"][:inputs] + small["bias"][None, None]
        both = jnp.concatenate([params["hidden"], small["input"][inputs:]], axis=-1)
        makers = _makers(params)

        def step(state: HyperMemory, reads: tuple[Array, Array]):
            x, x_small = reads
            recalled = state.main.hidden @ both
            gates = x_small + recalled[:, width:] + state.hyper.hidden @ small["hidden"]
            hyper = recurrent.update(state.hyper, gates, small.get("norms"))
            d_x, d_h, b = _made(makers, hyper.hidden)
            gates = d_x * x + d_h * recalled[:, :width] + b
            now = recurrent.update(state.main, gates, params.get("norms"))
            return HyperMemory(now, hyper), now.hidden

        return lax.scan(step, state, (read, read_small))

    def start(b: int) -> HyperMemory:
        return HyperMemory(main.start(b), hyper.start(b))

    return Cell(init, start, unroll)


def scales(params: Params, hidden: Array) -> Array:
    """Return what the small LSTM makes of its output: d_x, d_h and b of each gate.

    Args:
      params: of a `hyper_lstm`.
      hidden: [b, hyper_units], as in `HyperMemory.hyper`.

    Returns:
      [b, 3, 4, units].
    """
    made = jnp.stack(_made(_makers(params), hidden), axis=1)
    return made.reshape(len(hidden), len(MADE), GATES, -1)


def _makers(params: Params) -> tuple[Array, Array]:
    """Multiply codes and projections out: one matrix [k, 3 * 4 h] and its bias.

    The step then has one product of a useful size in place of twelve tiny ones.
    """
    codes, projections = params["codes"], params["projections"]
    matrix = [
        jnp.einsum("kye,yeh->kyh", codes[name], projections[name]) for name in MADE
    ]
    offset = [
        jnp.einsum("ye,yeh->yh", params["offsets"][name], projections[name]).ravel()
        for name in MADE[:2]
    ]
    bias = jnp.concatenate([*offset, params["bias"]])
    return jnp.stack(matrix, axis=1).reshape(len(matrix[0]), -1), bias


def _made(makers: tuple[Array, Array], hidden: Array) -> list[Array]:
    """Return d_x, d_h and b, each [b, 4 h]."""
    matrix, bias = makers
    return jnp.split(hidden @ matrix + bias[None], len(MADE), axis=-1)
