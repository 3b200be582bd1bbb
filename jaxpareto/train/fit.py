"""Train one network with one task, as a pure function of its numbers.

`begin` makes the state before the first epoch and `advance` trains until a given epoch,
or until the network has stopped: it lost its patience, broke down, or was told to stop.
Both can be traced, and everything that a search varies is a number in `Member`, so that
many networks are one compiled call (`train.members` says how they are arranged).

Early stopping counts epochs whose validation loss is not at least `min_delta` below the
best so far; at `patience` of them in a row the network stops. What is kept is the
parameters of the best epoch.
"""

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax import lax

from jaxpareto.data import mirror_images, shift_images, warp_images
from jaxpareto.metrics import correct
from jaxpareto.train.examples import Examples
from jaxpareto.train.recipe import Hparams, pixels
from jaxpareto.types import Array, Key, Net, Params


class Member(NamedTuple):
    """One network of a search: everything about it that is a number, and traced.

    Attributes:
      learning_rate: of the optimiser.
      weight_decay: of the optimiser; 0 is off.
      dropout: probability of dropping an output of a hidden layer.
      shift: most pixels by which an image moves, anew at every step; 0 is off.
      warp: how much an image is warped, anew at every step; 0 is off.
      seed: decides its first weights, the order of its examples, dropout and how images
        move.
      fold: which of the folds of `Examples` it learns from.
      widths: units of each hidden layer.
    """

    learning_rate: float | Array = 1e-3
    weight_decay: float | Array = 0.0
    dropout: float | Array = 0.0
    shift: int | Array = 0
    warp: float | Array = 0.0
    seed: int | Array = 0
    fold: int | Array = 0
    widths: tuple[int | Array, ...] = ()


def alike(count: int, **given: Any) -> Member:
    """Make members that train together, alike but for what is given.

    Args:
      count: `s`, how many.
      **given: fields of `Member`, each one number for all or an array [s].

    Returns:
      A member whose every number is [s], as `train.members.over_members` takes it.

    >>> made = alike(3, learning_rate=1, seed=np.arange(3))
    >>> made.learning_rate, made.seed
    (array([1., 1., 1.], dtype=float32), array([0, 1, 2], dtype=int32))
    """

    def filled(usual: Any, value: Any) -> np.ndarray:
        kind = np.float32 if isinstance(usual, float) else np.int32
        return np.full(count, value, kind)

    fields = zip(Member(), Member(**given), strict=True)
    return Member(*(jax.tree.map(partial(filled, usual), x) for usual, x in fields))


class Learner(NamedTuple):
    """What all networks of a compiled call have in common.

    Attributes:
      net: `net(member) -> Net`, whose outputs `loss` understands.
      optimizer: `optimizer(hparams) -> optax.GradientTransformation`.
      loss: `loss(outputs, targets) -> [b]`.
      batch_size: `b`; the last `n mod b` examples of an epoch's order are left out.
      epochs: at most.
      patience: epochs without improvement before a network stops; None is never.
      min_delta: by how much the validation loss must fall to count as improvement.
      drops: whether dropout is on.
      shifts: whether images move.
      warps: whether images are warped.
      mirrors: whether half of the images are mirrored, anew at every step.
      reconstructs: whether the targets are the images themselves, [b, h w], and so move
        as these do; else they are labels, and there is an accuracy.
    """

    net: Callable[[Member], Net]
    optimizer: Callable[[Hparams], optax.GradientTransformation]
    loss: Callable[[Array, Array], Array]
    batch_size: int
    epochs: int
    patience: int | None = None
    min_delta: float = 0.0
    drops: bool = False
    shifts: bool = False
    warps: bool = False
    mirrors: bool = False
    reconstructs: bool = False


class Progress(NamedTuple):
    """A network on its way.

    Attributes:
      params: after the last epoch.
      opt_state: of the optimiser.
      best: the parameters of the best epoch.
      epoch: epochs done, int32.
      best_loss: the lowest validation loss; infinite before the first epoch.
      best_epoch: when that was, counted from 1; 0 is never.
      waited: epochs since the last improvement.
      finite: whether all losses were numbers.
      stopped: whether it trains no more.
      history: [epochs, 3]: training loss, validation loss, validation accuracy; NaN
        for epochs that were not done.
    """

    params: Params
    opt_state: Any
    best: Params
    epoch: Array
    best_loss: Array
    best_epoch: Array
    waited: Array
    finite: Array
    stopped: Array
    history: Array


def begin(learner: Learner, member: Member) -> Progress:
    """Make a network before its first epoch."""
    key = jax.random.fold_in(jax.random.key(member.seed), 0)
    params = learner.net(member).init(key)
    zero = jnp.zeros((), jnp.int32)
    return Progress(
        params=params,
        opt_state=_transform(learner, member).init(params),
        best=params,
        epoch=zero,
        best_loss=jnp.asarray(jnp.inf, jnp.float32),
        best_epoch=zero,
        waited=zero,
        finite=jnp.asarray(True),
        stopped=jnp.asarray(False),
        history=jnp.full((learner.epochs, 3), jnp.nan, jnp.float32),
    )


def advance(
    learner: Learner,
    member: Member,
    progress: Progress,
    data: Examples,
    until: int | Array,
) -> Progress:
    """Train until `until` epochs are done, or the network has stopped.

    Epoch e depends on the seed and on e alone, so that two calls do what one does.

    Args:
      learner: what the network has in common with others.
      member: its numbers.
      progress: where it is.
      data: what it learns from and is judged by.
      until: epochs; may be traced.
    """
    until = jnp.minimum(until, learner.epochs)

    def unfinished(progress: Progress) -> Array:
        return (progress.epoch < until) & ~progress.stopped

    one = partial(_epoch, learner, member, data)
    return lax.while_loop(unfinished, one, progress)


def fit(learner: Learner, member: Member, data: Examples) -> Progress:
    """Train a network from the beginning to its end.

    >>> import numpy as np
    >>> from jaxpareto.metrics import class_cross_entropy
    >>> from jaxpareto.nets import mlp_net
    >>> from jaxpareto.train.examples import split_rows
    >>> rows = np.arange(8)
    >>> data = split_rows(np.eye(8).reshape(8, 2, 4), rows % 2, rows, rows)
    >>> learner = Learner(lambda member: mlp_net((2, 4), classes=2, widths=()),
    ...     lambda hparams: optax.sgd(hparams.learning_rate), class_cross_entropy,
    ...     batch_size=4, epochs=9)
    >>> done = jax.jit(partial(fit, learner))(Member(1.0), data)
    >>> int(done.epoch), float(done.history[-1, 2])
    (9, 1.0)
    """
    return advance(learner, member, begin(learner, member), data, learner.epochs)


def judge(
    learner: Learner,
    member: Member,
    params: Params,
    images: Array,
    targets: Array,
    counted: Array,
) -> Array:
    """Return the mean loss and accuracy [2] on examples that come in pieces.

    Args:
      learner: what is measured, and how.
      member: the network's numbers.
      params: its parameters.
      images: [pieces, v, h, w].
      targets: [pieces, v] or [pieces, v, d].
      counted: [pieces, v] 1.0, or 0.0 for examples that do not count.

    Returns:
      Both means; the accuracy is NaN where there are no labels.
    """
    net = learner.net(member)

    def piece(sums: Array, at: tuple[Array, Array, Array]) -> tuple[Array, None]:
        images, targets, counted = at
        outputs = net.apply(params, pixels(images))
        losses = learner.loss(outputs, targets)
        right = jnp.full_like(losses, jnp.nan)
        if not learner.reconstructs:
            right = correct(outputs[:, None], targets[:, None])[:, 0]
        # Selected, not multiplied: what fills up may be anything.
        kept = [jnp.where(counted > 0, each, 0.0) for each in (losses, right)]
        return sums + jnp.stack([jnp.sum(each) for each in kept]), None

    sums, _ = lax.scan(piece, jnp.zeros(2), (images, targets, counted))
    return sums / jnp.sum(counted)


def _transform(learner: Learner, member: Member) -> optax.GradientTransformation:
    return learner.optimizer(Hparams(member.learning_rate, member.weight_decay))


def _epoch(
    learner: Learner, member: Member, data: Examples, progress: Progress
) -> Progress:
    """Do an epoch, judge it, and decide whether to go on."""
    params, opt_state, train_loss = _learn(learner, member, data, progress)
    rows = data.validation[member.fold]
    loss, accuracy = judge(
        learner,
        member,
        params,
        data.images[rows],
        data.targets[rows],
        data.counted[member.fold],
    )
    finite = progress.finite & jnp.isfinite(train_loss) & jnp.isfinite(loss)
    epoch = progress.epoch + 1
    lower = finite & (loss < progress.best_loss)
    enough = finite & (loss < progress.best_loss - learner.min_delta)
    waited = jnp.where(enough, 0, progress.waited + 1)
    patience = learner.epochs if learner.patience is None else learner.patience
    line = jnp.stack([train_loss, loss, accuracy])
    return Progress(
        params=params,
        opt_state=opt_state,
        best=jax.tree.map(partial(jnp.where, lower), params, progress.best),
        epoch=epoch,
        best_loss=jnp.where(lower, loss, progress.best_loss),
        best_epoch=jnp.where(lower, epoch, progress.best_epoch),
        waited=waited,
        finite=finite,
        stopped=progress.stopped | (waited >= patience) | ~finite,
        history=progress.history.at[progress.epoch].set(line),
    )


def _move(learner: Learner, member: Member, images: Array, key: Key) -> Array:
    """Shift, mirror and warp the images of a step, as far as the learner does."""
    if learner.shifts:
        images = shift_images(images, key, member.shift)
    if learner.mirrors:
        images = mirror_images(images, jax.random.fold_in(key, 1))
    if learner.warps:
        images = warp_images(images, jax.random.fold_in(key, 2), member.warp)
    return images


def _learn(
    learner: Learner, member: Member, data: Examples, progress: Progress
) -> tuple[Params, Any, Array]:
    """Go once through the training rows; return parameters, optimiser, mean loss."""
    net, transform = learner.net(member), _transform(learner, member)
    run_key = jax.random.fold_in(jax.random.key(member.seed), 1)
    order_key, drop_key = jax.random.split(jax.random.fold_in(run_key, progress.epoch))
    shift_key = jax.random.fold_in(order_key, 0)
    rows = data.train[member.fold]
    steps = len(rows) // learner.batch_size
    order = jax.random.permutation(order_key, rows)[: steps * learner.batch_size]

    def objective(params: Params, rows: Array, step: Array) -> Array:
        key = jax.random.fold_in(drop_key, step) if learner.drops else None
        moving = jax.random.fold_in(shift_key, step)
        images = pixels(_move(learner, member, data.images[rows], moving))
        targets = data.targets[rows]
        if learner.reconstructs:
            targets = images.reshape(targets.shape)
        return jnp.mean(learner.loss(net.apply(params, images, key=key), targets))

    def step(carry: Any, at: tuple[Array, Array]) -> tuple[Any, Array]:
        params, opt_state = carry
        loss, gradient = jax.value_and_grad(objective)(params, *at)
        updates, opt_state = transform.update(gradient, opt_state, params)
        return (optax.apply_updates(params, updates), opt_state), loss

    batches = order.reshape(steps, learner.batch_size), jnp.arange(steps)
    carry, losses = lax.scan(step, (progress.params, progress.opt_state), batches)
    return *carry, jnp.mean(losses)
