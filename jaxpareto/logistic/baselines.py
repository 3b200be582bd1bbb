"""What decays per class must beat: simpler ways to treat classes differently.

- one decay for all: heads of a list of decays, by `newton.follow`, and then `pick`;
- `plug_in`: each class takes the decay of the list at which its own loss is smallest;
- `ridge`: squared errors, for which classes do not meet and leaving a row out has a
  closed form; `tempered` turns its scores into probabilities;
- `normalised` and `adjusted`: a trained head, its answers scaled or shifted per class.

`pick` chooses among heads on held rows, by the same value that `tune` minimises.
"""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax import lax
from jax.typing import ArrayLike

from jaxpareto.logistic.convex import Head, logits
from jaxpareto.logistic.implicit import class_losses, mean_loss
from jaxpareto.logistic.newton import basis
from jaxpareto.types import Array

WIDEST = 1e3
"""`tempered` scales answers by at most this, and by at least its inverse."""


class Picked(NamedTuple):
    """The best of several heads.

    Attributes:
      option: what it was made with.
      head: the head.
      values: [k], of all of them.
    """

    option: Array
    head: Head
    values: Array


def pick(
    options: Array,
    heads: Head,
    features: Array,
    labels: Array,
    *,
    value: Callable[[Head, Array, Array], Array] = mean_loss,
) -> Picked:
    """Take the head that is best on held rows.

    Args:
      options: [k], what the heads were made with.
      heads: kernels [k, d, c], biases [k, c].
      features: [h, d], held.
      labels: [h].
      value: `value(head, features, labels) -> scalar`; the smallest wins.

    >>> heads = Head(jnp.zeros((2, 1, 2)), jnp.array([[0.0, 0.0], [0.0, 1.0]]))
    >>> found = pick(jnp.array([7, 8]), heads, jnp.ones((1, 1)), jnp.array([1]))
    >>> int(found.option)
    8
    """
    values = jax.vmap(value, (0, None, None))(heads, features, labels)
    lowest = jnp.argmin(values)
    return Picked(options[lowest], jax.tree.map(lambda x: x[lowest], heads), values)


def plug_in(
    decays: Array,
    heads: Head,
    features: Array,
    labels: Array,
    *,
    toward: ArrayLike | None = None,
) -> Array:
    """Return for each class the decay at which its own loss is smallest, [c].

    `log decay_c = log decays[argmin_l V_lc]`, or the mean of that and `log toward`

    The obvious reading of a sweep, and a poor one: a decay of one class is nothing by
    itself (`logistic.convex`), and the smallest of noisy losses is mostly noise. Half
    the way back to a shared decay it does less harm.

    Args:
      decays: [l].
      heads: the best heads for them, kernels [l, d, c], by `newton.follow`.
      features: [h, d], held.
      labels: [h]; every class must be among them.
      toward: a decay to shrink to, by half, on the scale of logarithms.
    """
    losses = jax.vmap(class_losses, (0, None, None))(heads, features, labels)
    own = decays[jnp.argmin(losses, axis=0)]
    return own if toward is None else jnp.sqrt(own * toward)


class Ridge(NamedTuple):
    """Linear scores by least squares.

    Attributes:
      head: its scores approach 1 for the right class, 0 for the others.
      decay: [c], of those offered, the best for each class.
      errors: [l, c], mean squared error of a row that was left out.
    """

    head: Head
    decay: Array
    errors: Array


def ridge(features: Array, labels: Array, decays: Array, classes: int) -> Ridge:
    """Fit each class by ridge regression, its decay chosen by leaving rows out.

    `min (1/2n) sum_i (x_i w_c + b_c - [y_i = c])^2 + (decay_c / 2) |w_c|^2`

    Least squares know what a row's error would be had it not been seen,
    `(y_i - f(x_i)) / (1 - h_i)`, h_i the row's own share in its prediction. One
    eigendecomposition serves every decay and every class. As elsewhere, leaving a row
    out keeps `n decay`, the penalty of the sum of errors, as it is.

    Args:
      features: [n, d].
      labels: [n] integers from 0.
      decays: [l], positive.
      classes: `c`.

    Source: Golub, Heath and Wahba (1979), "Generalized cross-validation as a method for
    choosing a good ridge parameter".

    >>> x, y = jnp.array([[0.0], [1.0], [2.0]]), jnp.array([0, 1, 1])
    >>> ridge(x, y, jnp.array([0.1, 1.0]), 2).errors.shape
    (2, 2)
    """
    n = len(labels)
    hot = jax.nn.one_hot(labels, classes, dtype=features.dtype)
    often = jnp.mean(hot, axis=0)
    axes = basis(features)
    along = (features - axes.mean[None]) @ axes.vectors  # [n, d]
    meet = along.T @ hot / n  # [d, c]

    def left_out(decay: Array) -> Array:
        scales = axes.values + decay
        wrong = hot - often[None] - along @ (meet / scales[:, None])
        own = 1.0 / n + jnp.square(along) @ (1.0 / (n * scales))
        return jnp.mean(jnp.square(wrong / (1.0 - own)[:, None]), axis=0)

    errors = lax.map(left_out, decays)
    decay = decays[jnp.argmin(errors, axis=0)]
    kernel = axes.vectors @ (meet / (axes.values[:, None] + decay[None]))
    return Ridge(Head(kernel, often - axes.mean @ kernel), decay, errors)


def tempered(head: Head, features: Array, labels: Array) -> Head:
    """Scale all answers alike, so that their cross-entropy on held rows is smallest.

    `min_s CE(s (x W + b), y)`, s in [1e-3, 1e3]

    What makes probabilities of scores, such as those of `ridge`. The loss is convex in
    s, and its slope is bisected.

    Args:
      head: whose answers are meant.
      features: [h, d], held.
      labels: [h].

    Source: Guo, Pleiss, Sun and Weinberger (2017), "On calibration of modern neural
    networks", section 4.2.
    """
    answers = logits(head, features)
    hot = jax.nn.one_hot(labels, answers.shape[1], dtype=answers.dtype)

    def halve(_: Array, ends: tuple[Array, Array]) -> tuple[Array, Array]:
        low, high = ends
        middle = 0.5 * (low + high)
        likely = jax.nn.softmax(jnp.exp(middle) * answers)
        rising = jnp.sum((likely - hot) * answers) > 0
        return jnp.where(rising, low, middle), jnp.where(rising, middle, high)

    widest = jnp.log(jnp.asarray(WIDEST, answers.dtype))
    low, high = lax.fori_loop(0, 50, halve, (-widest, widest))
    scale = jnp.exp(0.5 * (low + high))
    return Head(scale * head.kernel, scale * head.bias)


def normalised(head: Head, tau: ArrayLike) -> Head:
    """Divide each class's answers by a power of the length of its weights.

    `z_c (g / |w_c|)^tau`, g the geometric mean of all lengths, so that answers keep
    their size on the whole: cross-entropies notice it, the accuracies of the source do
    not. tau = 0 changes no probability, tau = 1 makes all lengths equal. What softmax
    does not notice is settled first: the biases get a mean of 0, as the columns of a
    head with one decay have of themselves.

    Args:
      head: with no column of zeros.
      tau: the power.

    Source: Kang et al. (2020), "Decoupling representation and classifier for
    long-tailed recognition", section 4; there without bias.
    """
    logs = 0.5 * jnp.log(jnp.sum(jnp.square(head.kernel), axis=0))
    scales = jnp.exp(jnp.asarray(tau, logs.dtype) * (jnp.mean(logs) - logs))
    bias = head.bias - jnp.mean(head.bias)
    return Head(head.kernel * scales[None], bias * scales)


def adjusted(head: Head, labels: Array, tau: ArrayLike) -> Head:
    """Add to each class's answer a multiple of the logarithm of how often it is.

    `z_c + tau log pi_c`, pi_c its share of the labels: tau = -1 is for a test that
    counts all classes alike.

    Args:
      head: trained on the labels.
      labels: [n]; every class must be among them.
      tau: the multiple, of either sign.

    Source: Menon et al. (2021), "Long-tail learning via logit adjustment", equation 9.
    """
    hot = jax.nn.one_hot(labels, len(head.bias), dtype=head.bias.dtype)
    often = jnp.mean(hot, axis=0)
    return head._replace(
        bias=head.bias + jnp.asarray(tau, often.dtype) * jnp.log(often)
    )
