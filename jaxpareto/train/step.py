"""One training step, and many of them, as pure functions.

The step is the same for every method: draw k preferences, make k networks, take their
losses, let the rule weigh the tasks, and follow the gradient in `phi`:

    d = 1/k sum_k sum_i w_i(L(pref_k), pref_k)  grad_phi L_i(params(phi, pref_k)).

The k preferences either all see the whole batch, or share it among them: b/k examples
each cost about what one preference costs and see more of the front. A rule that reads
losses alone costs one backward pass; one that compares the gradients of the tasks costs
m of them.
"""

from collections.abc import Callable
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import optax

from jaxpareto.data import Batches
from jaxpareto.data.batches import count_rows
from jaxpareto.errors import UsageError
from jaxpareto.train.microbatch import mean_over
from jaxpareto.train.recipe import Hparams, Info, Recipe, State, Where
from jaxpareto.tree import gramian, jacobian
from jaxpareto.types import Array, Key, Params, Split, Weighed


def init(recipe: Recipe, key: Key, hparams: Hparams) -> State:
    """Make the state before the first step; the key is consumed.

    Args:
      recipe: what is trained and how.
      key: decides the initial parameters and all preferences and dropouts drawn later.
      hparams: numbers of the optimiser.
    """
    init_key, run_key = jax.random.split(key)
    phi = recipe.conditioned.init(init_key)
    opt_state = recipe.optimizer(hparams).init(phi)
    average = phi if recipe.average else None
    return State(phi, opt_state, run_key, jnp.zeros((), jnp.int32), average)


def step(
    recipe: Recipe, state: State, batch: Split, hparams: Hparams
) -> tuple[State, Info]:
    """Do one step on one batch.

    Args:
      recipe: what is trained and how.
      state: before the step.
      batch: images [b, h, w] uint8 or float, labels [b, m].
      hparams: numbers of the optimiser.

    Raises:
      UsageError: the batch is to be split and k does not divide it.
    """
    k, rows = recipe.prefs_per_step, count_rows(batch)
    recipe = recipe._replace(microbatch=_piece(recipe, rows))
    key = jax.random.fold_in(state.key, state.step)
    pref_key, dropout_key = jax.random.split(key)
    progress = state.step / recipe.steps if recipe.steps else 1.0
    prefs = recipe.sampler(pref_key, k, progress)
    if recipe.split_batch:
        check_split(rows, k)
        batch = jax.tree.map(lambda x: x.reshape(k, -1, *x.shape[1:]), batch)
    at = Where(prefs, batch, jax.random.split(dropout_key, k))
    at = recipe.layout.share(at)
    gradients = _through_gramians if recipe.rule.needs_gram else _through_losses
    gradient, losses, weighed = gradients(recipe, state.phi, at)
    if recipe.penalty and recipe.conditioned.penalty is not None:
        more = jax.grad(recipe.conditioned.penalty)(state.phi)
        gradient = jax.tree.map(lambda g, p: g + recipe.penalty * p, gradient, more)
    updates, opt_state = recipe.optimizer(hparams).update(
        gradient, state.opt_state, state.phi
    )
    phi = optax.apply_updates(state.phi, updates)
    info = Info(
        objective=jnp.mean(jnp.sum(weighed.weights * losses, axis=1)),
        losses=jnp.mean(losses, axis=0),
        grad_norm=optax.tree.norm(gradient),
        weights=jnp.mean(weighed.weights, axis=0),
        solved=jnp.mean(weighed.solved.astype(losses.dtype)),
    )
    average = _averaged(recipe, state, phi) if recipe.average else None
    return State(phi, opt_state, state.key, state.step + 1, average), info


def _piece(recipe: Recipe, rows: int) -> int:
    """Say how many examples go through at once: all of a step of one or two pieces.

    There is little to save, and a rule that reads the losses would pay more for a
    forward pass of its own: 1.13 of the step where 8 preferences share 64 images.
    """
    judged = rows if recipe.split_batch else rows * recipe.prefs_per_step
    return 0 if judged <= 2 * recipe.microbatch else recipe.microbatch


def _averaged(recipe: Recipe, state: State, phi: Params) -> Params:
    """Move the average toward `phi`; at first fast, so that the start is forgotten."""
    t = state.step.astype(jnp.float32)
    keep = jnp.minimum(recipe.average, (1.0 + t) / (10.0 + t))
    return jax.tree.map(lambda a, p: keep * a + (1.0 - keep) * p, state.average, phi)


def _networks(recipe: Recipe, phi: Params, prefs: Array) -> Params:
    """Make the networks of the preferences [k, m]: parameters with an axis [k]."""
    params_of = partial(recipe.conditioned.params, phi)
    if recipe.one_by_one:
        return jax.lax.map(params_of, prefs)
    return jax.vmap(params_of)(prefs)


def _each(recipe: Recipe, function: Callable[..., Any], at: Where, *more: Any) -> Any:
    """Map `function(pref, batch, key, *more)` over the k preferences."""
    k, split = len(at.prefs), recipe.split_batch
    rows = jax.tree.leaves(at.batch)[0].shape[1 if split else 0]
    together = max(1, recipe.microbatch // rows) if recipe.microbatch else k
    if recipe.one_by_one:
        together = 1
    if together >= k:
        axes = (0, 0 if split else None, 0, *(0 for _ in more))
        return jax.vmap(function, axes)(*at, *more)

    def one(at: Any) -> Any:
        mine, (pref, key, *more) = at
        return function(pref, mine if split else batch, key, *more)

    prefs, batch, keys = at
    given = (batch if split else None, (prefs, keys, *more))
    return jax.lax.map(one, given, batch_size=together if together > 1 else None)


def _means(recipe: Recipe, function: Callable[..., Any], at: Where, *more: Any) -> Any:
    """Map `function(batch, key, *more)`, a mean over examples, piece by piece.

    A piece that all networks see goes through all of them before the next one does:
    what depends on the examples alone is then made once for all networks.
    """
    size = recipe.microbatch

    def of_one(pref: Array, batch: Split, key: Key, *more: Any) -> Any:
        del pref
        return mean_over(lambda *piece: function(*piece, *more), batch, key, size)

    def of_all(batch: Split, keys: Key) -> Any:
        return _each(recipe, of_one, Where(at.prefs, batch, keys), *more)

    if recipe.split_batch:
        return of_all(at.batch, at.keys)
    return mean_over(of_all, at.batch, at.keys, size)


def _judge(recipe: Recipe, batch: Split, key: Key, params: Params) -> Array:
    """Return the losses [m] of a target network."""
    seen = recipe.inputs(batch.images)
    outputs = recipe.conditioned.forward(params, seen, key=key)
    return recipe.losses(outputs, batch.labels)


def _slope(
    recipe: Recipe, batch: Split, key: Key, params: Params, weights: Array
) -> tuple[Array, Params]:
    """Return the losses [m] and the gradient of their weighted sum in the network."""

    def weighted(params: Params) -> tuple[Array, Array]:
        losses = _judge(recipe, batch, key, params)
        return jnp.dot(weights, losses), losses

    gradient, losses = jax.grad(weighted, has_aux=True)(params)
    return losses, gradient


def _rows(
    recipe: Recipe, batch: Split, key: Key, params: Params
) -> tuple[Array, Params]:
    """Return the losses [m] and their gradients in the network, rows [m, ...]."""
    return jacobian(
        partial(_judge, recipe, batch, key),
        params,
        one_by_one=recipe.microbatch > 0,
    )


def _through_losses(
    recipe: Recipe, phi: Params, at: Where
) -> tuple[Params, Array, Weighed]:
    """Weigh by the losses alone, and go backward once."""
    k = recipe.prefs_per_step
    params, pull_back = jax.vjp(lambda phi: _networks(recipe, phi, at.prefs), phi)

    def losses_of(params: Params) -> Array:
        return _means(recipe, partial(_judge, recipe), at, params)

    def weigh(losses: Array) -> Weighed:
        losses, prefs = recipe.layout.whole((losses, at.prefs))
        return recipe.rule.weigh(losses, None, prefs)

    if recipe.microbatch:
        # Each piece goes forward and backward while it is in the cache: the weights
        # must be known before, and a rule that reads the losses costs a pass for them.
        seen = losses_of(params) if recipe.rule.needs_losses else at.prefs
        share = weigh(seen).weights / k
        losses, slopes = _means(recipe, partial(_slope, recipe), at, params, share)
        weighed = weigh(losses)
    else:
        losses, back = jax.vjp(losses_of, params)
        weighed = weigh(losses)
        (slopes,) = back(weighed.weights / k)
    return pull_back(slopes)[0], losses, weighed


def _through_gramians(
    recipe: Recipe, phi: Params, at: Where
) -> tuple[Params, Array, Weighed]:
    """Go backward once for each task, compare the gradients, and combine them."""
    params_of, k = recipe.conditioned.params, recipe.prefs_per_step

    def rows_in_phi(pref: Array, batch: Split, key: Key) -> tuple[Array, Params]:
        params, pull_back = jax.vjp(lambda phi: params_of(phi, pref), phi)
        judged = partial(_rows, recipe, params=params)
        losses, rows = mean_over(judged, batch, key, recipe.microbatch)
        return losses, jax.vmap(pull_back)(rows)[0]

    if recipe.gram_of == "phi":
        losses, rows = _each(recipe, rows_in_phi, at)
        pull_back = None
    else:
        params, pull_back = jax.vjp(lambda phi: _networks(recipe, phi, at.prefs), phi)
        losses, rows = _means(recipe, partial(_rows, recipe), at, params)
    seen = losses, jax.vmap(gramian)(rows), at.prefs
    weighed = recipe.rule.weigh(*recipe.layout.whole(seen))
    share = weighed.weights / k
    if pull_back is None:
        return jax.tree.map(partial(jnp.tensordot, share), rows), losses, weighed
    mixed = jax.tree.map(
        lambda each: jax.vmap(jnp.tensordot, (0, 0, None))(share, each, 1), rows
    )
    return pull_back(mixed)[0], losses, weighed


def run_steps(
    recipe: Recipe,
    batches: Batches,
    state: State,
    data: Any,
    hparams: Hparams,
    epoch: Array | int,
    first: Array | int,
    *,
    count: int,
) -> tuple[State, Info]:
    """Scan `count` steps of an epoch, from its batch number `first` on.

    An epoch cut into pieces ends in the same state as one done in one go: the plan of
    its batches depends on the key and the epoch alone.

    Args:
      recipe: what is trained and how.
      batches: how batches are made from the data.
      state: before the steps.
      data: device arrays, as in `batches.data`.
      hparams: numbers of the optimiser.
      epoch: number of the epoch, from 0.
      first: number of the first batch, from 0.
      count: how many steps; a new count compiles anew.

    Returns:
      The state after, and the steps' `Info` with a leading axis [count].
    """
    # The order of the data has a key of its own, apart from those of the steps.
    plan_key = jax.random.fold_in(jax.random.fold_in(state.key, 0x0DA7A), epoch)
    plan = batches.begin(data, plan_key)

    def body(state: State, i: Array) -> tuple[State, Info]:
        batch = batches.take(data, plan, i, recipe.layout.look)
        return step(recipe, state, batch, hparams)

    return jax.lax.scan(body, state, first + jnp.arange(count))


def train(
    recipe: Recipe,
    batches: Batches,
    epochs: int,
    key: Key,
    hparams: Hparams,
    data: Any,
) -> tuple[State, Info]:
    """Train from scratch in one pure function; map it over keys and hyperparameters.

    `jax.vmap(partial(train, recipe, batches, epochs), (0, None, None))` trains one
    network per key. The loop of `train.loop` does the same steps, with talking,
    checkpoints and stops in between.

    Args:
      recipe: what is trained and how.
      batches: how batches are made from the data.
      epochs: how many times through the data.
      key: the key is consumed.
      hparams: numbers of the optimiser.
      data: device arrays, as in `batches.data`.

    Returns:
      The last state, and the history: an `Info` with leading axes [epochs, steps].
    """

    def body(state: State, epoch: Array) -> tuple[State, Info]:
        return run_steps(
            recipe, batches, state, data, hparams, epoch, 0, count=batches.steps
        )

    return jax.lax.scan(body, init(recipe, key, hparams), jnp.arange(epochs))


def check_split(batch_size: int, k: int) -> None:
    """Raise `UsageError` unless k preferences can share the batch evenly."""
    if batch_size % k:
        raise UsageError(
            f"{k} preferences cannot share a batch of {batch_size} evenly; choose a "
            "--prefs-per-step that divides --batch-size, or --no-split-batch"
        )
