"""The convex head: against scikit-learn and SciPy, and against its own theory."""

from functools import cache, partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxpareto import logistic
from jaxpareto.logistic import Head, convex, newton

DECAYS = np.array([1e-5, 1e-4, 1e-3, 1e-2, 1e-1])
# Of the 1,797 digits a third will do to compare with; CI takes all of them, too.
ROWS = [600, pytest.param(1797, marks=pytest.mark.long)]


@cache
def digits(rows=600):
    datasets = pytest.importorskip("sklearn.datasets")
    pixels, labels = datasets.load_digits(return_X_y=True)
    return pixels[:rows] / 16.0, labels[:rows].astype(np.int32)


def small(seed=0, n=60, d=5, c=4):
    """Return features [n, d] that do not stand around zero, and labels [n]."""
    rng = np.random.default_rng(seed)
    labels = np.concatenate([np.arange(c), rng.integers(0, c, n - c)])
    centres = rng.standard_normal((c, d))
    features = 1.0 + centres[labels] + rng.standard_normal((n, d))
    return features, labels.astype(np.int32)


@partial(jax.jit, static_argnames="tolerance")
def path(features, labels, decays, start, tolerance):
    """Solve for all decays at once."""
    one = partial(logistic.solve, tolerance=tolerance)
    return jax.vmap(one, (None, None, 0, None))(features, labels, decays, start)


@partial(jax.jit, static_argnames="tolerance")
def solve(features, labels, decay, start, tolerance=1e-13):
    return logistic.solve(features, labels, decay, start, tolerance=tolerance)


@cache
def solved(dtype, tolerance, rows=600):
    with jax.enable_x64(True):
        pixels, labels = digits(rows)
        given = jnp.asarray(pixels, dtype), jnp.asarray(labels)
        start = logistic.zeros(64, 10, dtype)
        found = path(*given, jnp.asarray(DECAYS, dtype), start, tolerance)
        return jax.tree.map(np.asarray, found)


def random_head(seed, d=5, c=4, scale=0.5):
    rng = np.random.default_rng(seed)
    return Head(scale * rng.standard_normal((d, c)), scale * rng.standard_normal(c))


@pytest.mark.parametrize("rows", ROWS)
def test_objective_as_scikit_learn_finds_it(rows):
    """In float64, to 1e-8: the two of the decays that its L-BFGS is quick at."""
    linear_model = pytest.importorskip("sklearn.linear_model")
    found = solved(np.float64, 1e-12, rows)
    pixels, labels = digits(rows)
    assert found.converged.all() and (found.gap >= 0).all()
    for decay, mine in list(zip(DECAYS, found.objective, strict=True))[3:]:
        theirs = linear_model.LogisticRegression(
            C=1 / (decay * len(pixels)), tol=1e-12, max_iter=20_000
        ).fit(pixels, labels)
        with jax.enable_x64(True):
            head = Head(jnp.asarray(theirs.coef_.T), jnp.asarray(theirs.intercept_))
            value = float(logistic.objective(head, pixels, labels, decay))
        assert abs(value - mine) <= 1e-8


@pytest.mark.parametrize("rows", ROWS)
def test_float32_reaches_a_gap_of_a_millionth(rows):
    found = solved(np.float32, 1e-6, rows)
    assert found.objective.dtype == np.float32
    assert (found.gap <= 1e-6 * found.objective).all() and found.converged.all()
    exact = solved(np.float64, 1e-12, rows)
    np.testing.assert_allclose(found.objective, exact.objective, rtol=3e-6)


def test_the_gap_is_the_distance_between_primal_and_dual():
    """Fenchel's dual, written out: entropies minus a quadratic, at the fitted bias."""
    features, labels = small()
    decay = np.array([0.03, 0.2, 0.1, 0.05])
    with jax.enable_x64(True):
        head = random_head(1)
        answers = features @ head.kernel + head.bias
        more = np.asarray(convex.balanced(jnp.asarray(answers), labels, steps=500))
        head = head._replace(bias=head.bias + more)
        likely = np.asarray(jax.nn.softmax(jnp.asarray(answers + more)))
        primal = float(logistic.objective(head, features, labels, decay))
        bound = float(logistic.gap(head, features, labels, decay))
    beta = np.eye(4)[labels] - likely
    assert np.abs(beta.sum(axis=0)).max() < 1e-10
    entropy = -np.mean(np.sum(likely * np.log(likely), axis=1))
    made = np.sum(np.square(features.T @ beta / len(labels)), axis=0)
    dual = entropy - np.sum(made / (2 * decay))
    assert bound == pytest.approx(primal - dual, rel=1e-9)


@pytest.mark.parametrize("decay", [0.01, np.array([0.03, 0.2, 0.1, 0.05])])
def test_the_gap_bounds_the_distance_to_the_best(decay):
    features, labels = small()
    with jax.enable_x64(True):
        best = solve(features, labels, decay, logistic.zeros(5, 4, np.float64))
        assert best.converged
        for seed, scale in ((1, 0.1), (2, 1.0), (3, 5.0)):
            head = random_head(seed, scale=scale)
            value = logistic.objective(head, features, labels, decay)
            assert logistic.gap(head, features, labels, decay) >= value - best.objective
        # The best kernel with a bias that is off: the kernel's gradient sees nothing.
        head = best.head._replace(bias=best.head.bias + np.array([2.0, 0.0, 0.0, 0.0]))
        value = logistic.objective(head, features, labels, decay)
        assert logistic.gap(head, features, labels, decay) >= value - best.objective
        near = jax.tree.map(lambda x: x + 1e-4, best.head)
        assert logistic.gap(near, features, labels, decay) < 1e-3


def test_no_decay_no_bound():
    features, labels = small()
    with jax.enable_x64(True):
        assert np.isinf(logistic.gap(random_head(1), features, labels, 0.0))


def test_decays_per_class_against_scipy_and_the_balance_they_keep():
    """SciPy's L-BFGS on the same objective; `sum_c decay_c w_c = 0` at the optimum."""
    optimize = pytest.importorskip("scipy.optimize")
    features, labels = small(3)
    decay = np.array([0.001, 0.02, 0.1, 0.01])

    def plain(flat):
        kernel, bias = flat[:20].reshape(5, 4), flat[20:]
        answers = features @ kernel + bias
        answers = answers - answers.max(axis=1, keepdims=True)
        likely = np.exp(answers)
        likely /= likely.sum(axis=1, keepdims=True)
        each = -np.log(likely[np.arange(len(labels)), labels])
        wrong = (likely - np.eye(4)[labels]) / len(labels)
        slope = features.T @ wrong + decay * kernel
        value = each.mean() + 0.5 * np.sum(decay * np.sum(kernel**2, axis=0))
        return value, np.concatenate([slope.ravel(), wrong.sum(axis=0)])

    theirs = optimize.minimize(
        plain, np.zeros(24), jac=True, method="L-BFGS-B", tol=1e-14
    )
    with jax.enable_x64(True):
        mine = solve(features, labels, decay, logistic.zeros(5, 4, np.float64))
    assert mine.converged
    assert float(mine.objective) == pytest.approx(theirs.fun, abs=1e-10)
    balance = np.asarray(mine.head.kernel) @ decay
    assert np.linalg.norm(balance) <= 1e-6


def test_where_it_starts_and_how_features_are_shifted_change_nothing():
    features, labels = small()
    with jax.enable_x64(True):
        one = solve(features, labels, 0.01, logistic.zeros(5, 4, np.float64), 1e-17)
        two = solve(features + 7.0, labels, 0.01, random_head(4), 1e-17)
        # |W - W*| <= sqrt(2 gap / decay)
        np.testing.assert_allclose(one.head.kernel, two.head.kernel, atol=1e-7)
        # From the solution there is nothing to do.
        again = solve(features, labels, 0.01, one.head)
        assert again.steps == 0 and again.converged


def test_mapped_over_decays_equals_one_by_one():
    features, labels = small()
    with jax.enable_x64(True):
        start = logistic.zeros(5, 4, np.float64)
        decays = jnp.asarray(DECAYS)
        mapped = path(features, labels, decays, start, 1e-12)
        for i, decay in enumerate(DECAYS):
            one = solve(features, labels, decay, start, tolerance=1e-12)
            np.testing.assert_allclose(mapped.objective[i], one.objective, rtol=1e-11)
            assert mapped.steps[i] == one.steps


def test_too_few_steps_are_said():
    features, labels = small()
    found = logistic.solve(
        features.astype(np.float32), labels, 1e-4, logistic.zeros(5, 4), max_steps=1
    )
    assert found.steps == 1 and not found.converged and np.isfinite(found.objective)


def test_gradient_is_autodiffs():
    features, labels = small()
    head, decay = random_head(5), np.array([0.1, 0.2, 0.3, 0.4])
    with jax.enable_x64(True):
        by_hand = logistic.gradient(head, features, labels, decay)
        auto = jax.grad(logistic.objective)(head, features, labels, decay)
        jax.tree.map(partial(np.testing.assert_allclose, atol=1e-14), by_hand, auto)


def test_a_balanced_bias_predicts_every_class_often_enough():
    rng = np.random.default_rng(0)
    answers = rng.standard_normal((200, 3)).astype(np.float32)
    labels = np.repeat([0, 1, 2], [150, 40, 10])
    bias = convex.balanced(answers, labels, steps=200)
    likely = jax.nn.softmax(answers + bias[None])
    np.testing.assert_allclose(likely.mean(axis=0), [0.75, 0.2, 0.05], atol=1e-5)


def test_the_basis_diagonalises_the_covariance():
    features, _ = small()
    with jax.enable_x64(True):
        found = newton.basis(jnp.asarray(features))
    covariance = np.cov(features.T, bias=True)
    axes = np.asarray(found.vectors)
    np.testing.assert_allclose(
        axes.T @ covariance @ axes, np.diag(found.values), atol=1e-10
    )


def test_followed_heads_are_the_exact_ones():
    features, labels = small()

    @jax.jit
    def both(decays):
        found = logistic.follow(features, labels, decays, 4, tolerance=1e-12)
        gap = jax.vmap(logistic.gap, (0, None, None, 0))
        return found, gap(found.head, features, labels, decays)

    with jax.enable_x64(True):
        found, gaps = both(DECAYS[::-1])
        assert found.converged.all() and np.max(gaps) <= 1e-12
        assert (np.diff(found.objective) < 0).all()
