"""One head for every weight decay: the path of the best heads as a polynomial.

    W(s) = sum_r T_r(s) W_r,   b(s) = sum_r T_r(s) b_r

s in [-1, 1] is the logarithm of the decay, scaled, and T_r are the polynomials of
Chebyshev. It is fitted at a few nodes s_j at once,

    minimise  sum_j w_j f(W(s_j), b(s_j); decay_j),   w_j = 1 / min f at s_j, about

which is convex in the W_r, because W(s) is linear in them. The logits of any number of
decays cost `terms` heads: `x W(s) = sum_r T_r(s) (x W_r)`.

The loss and the norm of a head are two convex objectives, so the path of the decay is
their whole Pareto front: here a learned front can be held against an exact one.
`conditioned` makes a network of it for the trainer of preferences, and
`problems.weight_decay` poses it as a problem with a known front.

Source: MacKay et al. (2019), "Self-tuning networks", and Bae and Grosse (2020) for best
responses as simple functions of hyperparameters; ours in this form.
"""

import math
from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax import lax
from jax.scipy.sparse.linalg import cg

from jaxpareto.errors import UsageError
from jaxpareto.logistic.convex import Head, cross_entropy, logits, penalty
from jaxpareto.logistic.newton import Basis, basis, minus, search
from jaxpareto.types import Array, Conditioned, Key

INNER = 40


class Path(NamedTuple):
    """A polynomial of heads.

    Attributes:
      kernels: `W_r` [r, d, c].
      biases: `b_r` [r, c].
      low: logarithm of the smallest decay.
      high: logarithm of the largest.
    """

    kernels: Array
    biases: Array
    low: Array
    high: Array


def chebyshev(s: Array, terms: int) -> Array:
    """Return T_0(s) to T_{terms - 1}(s), [terms], for s in [-1, 1].

    >>> chebyshev(jnp.array(0.5), 4).tolist()
    [1.0, 0.5, -0.5, -1.0]
    """
    made = [jnp.ones_like(s), s]
    while len(made) < terms:
        made.append(2.0 * s * made[-1] - made[-2])
    return jnp.stack(made[:terms])


def at(path: Path, decay: Array) -> Head:
    """Return the head for a decay within the range of the path."""
    s = 2.0 * (jnp.log(decay) - path.low) / (path.high - path.low) - 1.0
    weights = chebyshev(s, len(path.kernels))
    return Head(
        jnp.tensordot(weights, path.kernels, 1), jnp.tensordot(weights, path.biases, 1)
    )


def pref_of(decay: Array) -> Array:
    """Return the preference [2] between loss and norm that a decay stands for.

    `pref = (1, decay) / (1 + decay)`: weighed so, the sum of mean cross-entropy and
    `(1/2) |W|^2` is `1 / (1 + decay)` times the objective of `convex`.

    >>> print(pref_of(jnp.array(0.25)))
    [0.8 0.2]
    """
    both = jnp.stack([jnp.ones_like(decay), decay])
    return both / (1.0 + decay)


def conditioned(
    d: int, classes: int, *, low: float = 1e-6, high: float = 1e-2, terms: int = 4
) -> Conditioned:
    """Make the polynomial of heads a network conditioned on a preference.

    `params(phi, pref) = (W(s), b(s))` at the decay `pref_2 / pref_1`, kept within the
    range. Its objectives are `loss_and_norm`, which is the `losses` of a `Recipe`; any
    weighting rule can train it. `phi` is a `Head` with a leading axis [terms], zero at
    first.

    Args:
      d: features.
      classes: `c`.
      low: the smallest decay, positive.
      high: the largest.
      terms: of the polynomial.

    Returns:
      The network; `forward` maps features [b, d] to [b, 2, c], logits and, the same for
      every example, `(1/2) |w_c|^2`: what each class adds to the norm.

    Raises:
      UsageError: the range is empty or not positive, or there is no term.

    >>> net = conditioned(3, 2)
    >>> phi = net.init(jax.random.key(0))
    >>> net.apply(phi, pref_of(jnp.array(1e-3)), jnp.ones((5, 3))).shape
    (5, 2, 2)
    """
    _check_range(low, high)
    if terms < 1:
        raise UsageError(f"a polynomial needs terms, found {terms}")

    def init(key: Key) -> Head:
        del key  # the problem is convex: any start will do
        return Head(jnp.zeros((terms, d, classes)), jnp.zeros((terms, classes)))

    def params(phi: Head, pref: Array) -> Head:
        ends = jnp.log(jnp.asarray([low, high], pref.dtype))
        tiny = jnp.finfo(pref.dtype).tiny
        decay = jnp.clip(pref[1] / jnp.maximum(pref[0], tiny), low, high)
        return at(Path(*phi, *ends), decay)

    def forward(head: Head, features: Array, *, key: Key | None = None) -> Array:
        del key
        answers = logits(head, features)
        norms = 0.5 * jnp.sum(jnp.square(head.kernel), axis=0)
        norms = jnp.broadcast_to(norms[None], answers.shape)
        return jnp.stack([answers, norms], axis=1)

    return Conditioned(init, params, forward)


def loss_and_norm(outputs: Array, labels: Array) -> Array:
    """Return the objectives [2] of `conditioned`: mean cross-entropy, `(1/2) |W|^2`.

    Args:
      outputs: [b, 2, c], of its `forward`.
      labels: [b].
    """
    norm = jnp.sum(jnp.mean(outputs[:, 1], axis=0))
    return jnp.stack([cross_entropy(outputs[:, 0], labels), norm])


def _check_range(low: float, high: float) -> None:
    """Refuse decays that make no range."""
    if not 0.0 < low < high:
        raise UsageError(f"decays must rise from above 0, found {low:g} to {high:g}")


def fit(
    features: Array,
    labels: Array,
    classes: int,
    *,
    low: float = 1e-6,
    high: float = 1e-2,
    terms: int = 4,
    nodes: int = 9,
    steps: int = 30,
    axes: Basis | None = None,
) -> Path:
    """Learn the heads of all decays between two.

    Newton's method on all terms together, as in `newton`: the Hessian in products, a
    preconditioner from the features' axes with a block of `terms` numbers squared for
    each axis and class, a search along the step on the logits.

    Args:
      features: [n, d].
      labels: [n] integers; every class must be among them.
      classes: `c`.
      low: the smallest decay, positive.
      high: the largest.
      terms: `r`, of the polynomial.
      nodes: decays it is fitted at, between Chebyshev's points; at least `terms`.
      steps: of Newton's method.
      axes: of the features, if they are known already.

    Raises:
      UsageError: the range is empty or not positive, or too few nodes.
    """
    _check_range(low, high)
    if not 1 <= terms <= nodes:
        raise UsageError(f"{nodes} nodes cannot tell {terms} terms")
    axes = basis(features) if axes is None else axes
    centred = features - axes.mean[None]
    kind = features.dtype
    ends = jnp.log(jnp.asarray([low, high], kind))
    s = jnp.cos(math.pi * (jnp.arange(nodes, dtype=kind) + 0.5) / nodes)
    decays = jnp.exp(ends[0] + 0.5 * (s + 1.0) * (ends[1] - ends[0]))
    mix = jax.vmap(lambda x: chebyshev(x, terms))(s)  # [nodes, terms]
    phi = Head(
        jnp.zeros((terms, features.shape[1], classes), kind),
        jnp.zeros((terms, classes), kind),
    )

    def answers(phi: Head) -> Array:
        """Return the logits of every node, [nodes, n, c], from a product per term."""
        each = jnp.einsum("nd,rdc->rnc", centred, phi.kernel) + phi.bias[:, None]
        return jnp.tensordot(mix, each, 1)

    def losses(phi: Head) -> Array:
        """Return f at every node."""
        heads = Head(jnp.tensordot(mix, phi.kernel, 1), mix @ phi.bias)
        entropies = jax.vmap(cross_entropy, (0, None))(answers(phi), labels)
        return entropies + jax.vmap(penalty)(heads, decays)

    def step(phi: Head, _: None) -> tuple[Head, None]:
        shares = 1.0 / (nodes * losses(phi))  # relative: a small decay counts as much

        def total(phi: Head) -> Array:
            return shares @ losses(phi)

        slope, hessian = jax.linearize(jax.grad(total), phi)
        ease = _easing(jax.nn.softmax(answers(phi)), shares, decays, mix, axes)
        way, _ = cg(hessian, minus(slope), tol=1e-2, maxiter=INNER, M=ease)
        return search(total, phi, slope, way)[0], None

    phi, _ = lax.scan(step, phi, length=steps)
    shift = jnp.einsum("d,rdc->rc", axes.mean, phi.kernel)
    return Path(phi.kernel, phi.bias - shift, ends[0], ends[1])


def _easing(
    likely: Array, shares: Array, decays: Array, mix: Array, axes: Basis
) -> Callable[[Head], Head]:
    """Make the preconditioner: a small system for each axis and class."""
    spread = jnp.mean(likely * (1.0 - likely), axis=1)  # [nodes, c]
    spread = jnp.maximum(spread, jnp.finfo(likely.dtype).eps)
    squares = mix[:, :, None] * mix[:, None, :] * shares[:, None, None]
    meet = jnp.einsum("jrq,jc->crq", squares, spread)
    decayed = jnp.einsum("jrq,j->rq", squares, decays)
    blocks = axes.values[:, None, None, None] * meet[None] + decayed[None, None]
    inverse = jnp.linalg.inv(blocks)  # [d, c, r, r], symmetric and positive
    of_bias = jnp.linalg.inv(meet)

    def eased(way: Head) -> Head:
        turned = jnp.einsum("ed,rec->rdc", axes.vectors, way.kernel)
        turned = jnp.einsum("dcrq,qdc->rdc", inverse, turned)
        kernel = jnp.einsum("de,rec->rdc", axes.vectors, turned)
        bias = jnp.einsum("crq,qc->rc", of_bias, way.bias)
        return Head(kernel, bias - jnp.mean(bias, axis=1, keepdims=True))

    return eased
