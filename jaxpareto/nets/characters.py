"""A network that guesses the next character of a text: any recurrent cell, read out."""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from jaxpareto import draw
from jaxpareto.nets.layers import dense
from jaxpareto.nets.recurrent import Cell
from jaxpareto.types import Array, Key, Params


class Guesser(NamedTuple):
    """A network that reads characters and guesses the next.

    Attributes:
      init: `init(key) -> params`; the key is consumed.
      start: `start(b) -> state` of b texts of which nothing is read yet.
      apply: `apply(params, state, text) -> (state, logits)`, text [b, t] int to logits
        [b, t, c]: those at t are of the character after t.
    """

    init: Callable[[Key], Params]
    start: Callable[[int], Any]
    apply: Callable[[Params, Any, Array], tuple[Any, Array]]


def guesser(
    make: Callable[[int, int], Cell], classes: int, units: int, *, width: int = 32
) -> Guesser:
    """Make a network that guesses characters: a table, a cell, a dense layer.

    Args:
      make: `make(inputs, units) -> Cell`, such as `lstm`.
      classes: `c`, characters of the alphabet.
      units: of the cell.
      width: of the vector that each character is looked up as.

    >>> from jaxpareto.nets.recurrent import lstm
    >>> net = guesser(lstm, 5, 8)
    >>> text = jnp.zeros((2, 7), int)
    >>> state, logits = net.apply(net.init(jax.random.key(0)), net.start(2), text)
    >>> logits.shape
    (2, 7, 5)
    """
    cell = make(width, units)

    def init(key: Key) -> Params:
        look, read, answer = jax.random.split(key, 3)
        kernel = draw.normal(answer, (units, classes), units**-0.5)
        return {
            "table": draw.normal(look, (classes, width)),
            "cell": cell.init(read),
            "answer": {"kernel": kernel, "bias": jnp.zeros(classes)},
        }

    def apply(params: Params, state: Any, text: Array) -> tuple[Any, Array]:
        # A product with one-hot rows: on a CPU the gradient of a look-up is slow.
        rows = jax.nn.one_hot(text.T, classes) @ params["table"]
        state, outputs = cell.unroll(params["cell"], state, rows)
        t, b, _ = outputs.shape
        logits = dense(params["answer"], outputs.reshape(t * b, -1))
        return state, logits.reshape(t, b, classes).transpose(1, 0, 2)

    return Guesser(init, cell.start, apply)
