"""Train a network that guesses characters, as a pure function of its numbers.

The training text lies in b streams side by side. An update reads the next t characters
of each, and its gradient goes back over these alone (truncated backpropagation through
time), while the state that they leave behind is where the next update starts; at the
beginning of the text it is empty again. After each round of updates the held-out text
is guessed.
"""

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax import lax

from jaxpareto.errors import UsageError
from jaxpareto.nets.characters import Guesser
from jaxpareto.types import Array, Params


class Streams(NamedTuple):
    """Texts on the device.

    Attributes:
      train: [b, n] int32.
      validation: [v, n'] int32.
    """

    train: Array
    validation: Array


class Pupil(NamedTuple):
    """What networks that train alike have in common.

    Attributes:
      net: what is trained.
      optimizer: `optimizer(rate) -> optax.GradientTransformation`; the rate is traced.
      span: `t`, characters between two updates.
      round_updates: updates between two looks at the held-out text.
      rounds: at most.
    """

    net: Guesser
    optimizer: Callable[[float | Array], optax.GradientTransformation]
    span: int
    round_updates: int
    rounds: int


class Member(NamedTuple):
    """What differs from one network to another, and is traced."""

    rate: float | Array
    seed: int | Array


class Progress(NamedTuple):
    """A network on its way.

    Attributes:
      params: after the last update.
      opt_state: of the optimiser.
      state: of the cell, where the next update starts.
      best: the parameters of the best round.
      round: rounds done, int32.
      best_bits: the fewest bits per character of held-out text.
      history: [rounds, 2]: bits per character of training and of held-out text; NaN for
        rounds that were not done.
    """

    params: Params
    opt_state: Any
    state: Any
    best: Params
    round: Array
    best_bits: Array
    history: Array


def streams(text: np.ndarray, count: int) -> Array:
    """Lay a text [n] in `count` equal streams [count, n // count].

    Raises:
      UsageError: fewer than two characters to a stream.
    """
    length = len(text) // max(count, 1)
    if count < 1 or length < 2:
        raise UsageError(
            f"{count} streams of a text of {len(text)} characters; give 1 to "
            f"{len(text) // 2}"
        )
    return jnp.asarray(text[: count * length].reshape(count, length), jnp.int32)


def begin(pupil: Pupil, b: int, member: Member) -> Progress:
    """Make a network before its first update, to read b streams."""
    params = pupil.net.init(jax.random.key(member.seed))
    return Progress(
        params=params,
        opt_state=pupil.optimizer(member.rate).init(params),
        state=pupil.net.start(b),
        best=params,
        round=jnp.zeros((), jnp.int32),
        best_bits=jnp.asarray(jnp.inf, jnp.float32),
        history=jnp.full((pupil.rounds, 2), jnp.nan, jnp.float32),
    )


def advance(
    pupil: Pupil, member: Member, progress: Progress, data: Streams, until: int | Array
) -> Progress:
    """Train until `until` rounds are done; two calls do what one does."""
    until = jnp.minimum(until, pupil.rounds)
    one = partial(_round, pupil, member, data)
    return lax.while_loop(lambda progress: progress.round < until, one, progress)


def bits(net: Guesser, params: Params, text: Array) -> Array:
    """Return the mean bits that the next character costs, over streams [b, n]."""
    _, logits = net.apply(params, net.start(len(text)), text[:, :-1])
    return jnp.mean(_bits(logits, text[:, 1:]))


def _bits(logits: Array, text: Array) -> Array:
    losses = optax.softmax_cross_entropy_with_integer_labels(logits, text)
    return losses / jnp.log(2.0)


def _round(pupil: Pupil, member: Member, data: Streams, progress: Progress) -> Progress:
    """Do a round of updates, and guess the held-out text."""
    net, transform = pupil.net, pupil.optimizer(member.rate)
    b, length = data.train.shape
    spans = (length - 1) // pupil.span
    if spans < 1:
        raise UsageError(
            f"{b} streams of {length} characters and updates of {pupil.span}; make "
            "the updates shorter, or the streams fewer"
        )

    def objective(params: Params, state: Any, text: Array) -> tuple[Array, Any]:
        state, logits = net.apply(params, state, text[:, :-1])
        return jnp.mean(_bits(logits, text[:, 1:])), state

    def update(carry: Any, number: Array) -> tuple[Any, Array]:
        params, opt_state, state = carry
        place = number % spans
        state = jax.tree.map(lambda x: jnp.where(place == 0, 0.0, x), state)
        size = (b, pupil.span + 1)
        text = lax.dynamic_slice(data.train, (0, place * pupil.span), size)
        (loss, state), gradient = jax.value_and_grad(objective, has_aux=True)(
            params, state, text
        )
        updates, opt_state = transform.update(gradient, opt_state, params)
        return (optax.apply_updates(params, updates), opt_state, state), loss

    numbers = progress.round * pupil.round_updates + jnp.arange(pupil.round_updates)
    carry = progress.params, progress.opt_state, progress.state
    (params, opt_state, state), losses = lax.scan(update, carry, numbers)
    held = bits(net, params, data.validation)
    lower = held < progress.best_bits  # never where it is not a number
    line = jnp.stack([jnp.mean(losses), held])
    return Progress(
        params=params,
        opt_state=opt_state,
        state=state,
        best=jax.tree.map(partial(jnp.where, lower), params, progress.best),
        round=progress.round + 1,
        best_bits=jnp.where(lower, held, progress.best_bits),
        history=progress.history.at[progress.round].set(line),
    )
