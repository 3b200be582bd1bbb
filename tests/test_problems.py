"""Each toy problem against its formulas, its true front and independent programs."""

from functools import cache

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxpareto import problems
from jaxpareto.errors import UsageError
from jaxpareto.problems import PROBLEMS, decode, least_squares_pair, weight_decay

ORACLE = "the oracle of these numbers is not installed"


def regression(b=40, n=5):
    """Return features [b, n] of rank n - 1, and two targets [b, 2] that disagree."""
    rng = np.random.default_rng(0)
    features = rng.normal(size=(b, n))
    features[:, -1] = features[:, 0] + features[:, 1]
    return features, features @ rng.normal(size=(n, 2)) + rng.normal(size=(b, 2))


FEATURES, TARGETS = regression()
ALL = PROBLEMS | {"least-squares": least_squares_pair(FEATURES, TARGETS)}
TWO = [name for name, problem in ALL.items() if problem.m == 2]
# Compiled once, whichever test asks first.
LOSSES = {name: jax.jit(jax.vmap(problem.losses)) for name, problem in ALL.items()}
each = pytest.mark.parametrize("name", ALL)


def weighted_fit(weight):
    """Return the x [n] of least length that minimises a weighted sum of both errors."""
    roots = np.sqrt([weight, 1 - weight])
    rows = np.concatenate([root * FEATURES for root in roots])
    sides = np.concatenate([root * TARGETS[:, i] for i, root in enumerate(roots)])
    return np.linalg.lstsq(rows, sides, rcond=None)[0]


def optimal(name, shares):
    """Return Pareto-optimal x [k, n], from shares [k, 2] in [0, 1]."""
    t, n = shares[:, :1], ALL[name].n
    if name == "least-squares":
        return np.stack([weighted_fit(weight) for weight in t[:, 0]])
    if name == "quadratic":
        return np.repeat(t, n, axis=1)
    if name in ("vlmop2", "phn-toy"):
        return np.repeat((1 - 2 * t) / np.sqrt(n), n, axis=1)
    x = np.full((len(t), n), 0.5 if name.startswith("dtlz") else 0.0)
    x[:, :1] = t
    if name.startswith("dtlz"):
        x[:, 1] = shares[:, 1]
    if name == "zdt3":  # one piece after the other, each from its start to its stop
        x[:, 0] = np.interp(t[:, 0], np.linspace(0, 1, 10), np.ravel(problems._ZDT3))
        between = np.floor(t[:, 0] * 9) % 2 == 1
        x[between, 0] = 0
    return x


def second(name, first):
    """Return the f_2 [k] that the curve of a front has at f_1 [k], by the textbook."""
    if name in ("vlmop2", "phn-toy"):
        first = np.minimum(first, 1 - np.exp(-4))
        return 1 - np.exp(-((2 - np.sqrt(-np.log1p(-first))) ** 2))
    if name == "least-squares":
        ends = [weighted_fit(1), weighted_fit(0)]
        errors = np.mean(
            (np.stack(ends) @ FEATURES.T - TARGETS.T[:, None]) ** 2, axis=2
        )
        least, most = errors.min(axis=1) / errors.max(axis=1), 1
        share = (first - least[0]) / (most - least[0])
        return least[1] + (most - least[1]) * (1 - np.sqrt(np.clip(share, 0, 1))) ** 2
    first = np.minimum(first, 1)
    return {
        "quadratic": lambda: (1 - np.sqrt(first)) ** 2,
        "zdt1": lambda: 1 - np.sqrt(first),
        "zdt2": lambda: 1 - first**2,
        "zdt3": lambda: 1 - np.sqrt(first) - first * np.sin(10 * np.pi * first),
    }[name]()


def off_front(name, points):
    """Return how far points [k, m] are from solving the equation of the front, [k]."""
    if name == "dtlz1":
        return np.sum(points, axis=1) - 0.5
    if name == "dtlz2":
        return np.sum(points**2, axis=1) - 1
    return points[:, 1] - second(name, points[:, 0])


def dominates(one, other):
    """Say which of [k, m] dominate any of [r, m], beyond rounding."""
    gaps = one[:, None] - other[None]
    return np.any(np.all(gaps <= 1e-12, axis=2) & np.any(gaps < -1e-9, axis=2), axis=1)


def shares(k=40):
    return np.random.default_rng(1).uniform(0, 1, (k, 2))


@each
def test_front(name):
    problem = ALL[name]
    # 91 is a lattice of three losses, too.
    points = problem.front(91)
    assert points.shape == (91, problem.m)
    assert points.dtype == np.float64
    np.testing.assert_allclose(off_front(name, points), 0, atol=1e-12)
    assert not np.any(dominates(points, points))
    assert np.all(points < problem.reference + np.array(1e-12))
    ends = np.array(problem.ends)
    np.testing.assert_allclose(off_front(name, ends), 0, atol=1e-12)
    np.testing.assert_allclose(np.diag(ends), points.min(axis=0), atol=1e-12)
    if problem.m == 2:
        np.testing.assert_allclose(points[[0, -1]], ends, atol=1e-12)
        steps = np.linalg.norm(np.diff(points, axis=0), axis=1)
        jumps = 4 if name == "zdt3" else 0
        steps = np.sort(steps)[: 90 - jumps]
        # Even along the curve: where it bends, the straight step is shorter.
        np.testing.assert_allclose(steps, np.median(steps), rtol=0.04)


@each
def test_optimal_x_lie_on_the_front_and_no_x_below_it(name):
    problem, rng = ALL[name], np.random.default_rng(0)
    lower, upper = np.array(problem.lower)[None], np.array(problem.upper)[None]
    best = optimal(name, shares(10_000))
    near = np.clip(best + rng.normal(0, 0.01, best.shape), lower, upper)
    anywhere = rng.uniform(lower, upper, best.shape)
    with jax.enable_x64(True):
        losses, close, far = (
            np.asarray(LOSSES[name](x)) for x in (best, near, anywhere)
        )
    # Not to more digits: the curve of VLMOP2 and others is steep at its ends.
    np.testing.assert_allclose(off_front(name, losses), 0, atol=1e-7)
    front = problem.front(91)
    assert not np.any(dominates(close, front))
    assert not np.any(dominates(far, front))
    assert np.any(close < far)  # they are different draws


@each
def test_losses_in_single_precision(name):
    best = optimal(name, shares(1000))
    off = best + np.random.default_rng(0).normal(0, 1e-4, best.shape)
    for x in (best, np.clip(off, ALL[name].lower[0], ALL[name].upper[0])):
        rounded = x.astype(np.float32)
        found = LOSSES[name](rounded)
        assert found.dtype == jnp.float32
        with jax.enable_x64(True):
            losses = LOSSES[name](rounded.astype(np.float64))
        np.testing.assert_allclose(found, losses, atol=3e-6)
    corners = np.stack([ALL[name].lower, ALL[name].upper]).astype(np.float32)
    assert np.all(LOSSES[name](corners) >= 0)


@each
def test_hypervolume_by_quadrature(name):
    problem = ALL[name]
    if problem.m == 3:
        worst = problem.reference[0]
        middle = (np.arange(2000) + 0.5) * worst / 2000
        a, b = middle[:, None], middle[None]
        if name == "dtlz1":
            lowest = np.maximum(0.5 - a - b, 0)
        else:
            lowest = np.sqrt(np.maximum(1 - a**2 - b**2, 0))
        volume = np.mean(worst - lowest) * worst**2
    else:
        start, stop = problem.ends[0][0], problem.reference[0]
        first = start + (np.arange(2_000_000) + 0.5) * (stop - start) / 2_000_000
        lowest = np.minimum.accumulate(second(name, first))
        volume = np.mean(problem.reference[1] - lowest) * (stop - start)
    exact = pytest.approx(problem.hypervolume, abs=1e-5 if problem.m == 3 else 1e-8)
    assert volume == exact


@each
def test_hypervolume_is_the_limit_of_moocores(name):
    moocore = pytest.importorskip("moocore", reason=ORACLE)
    problem = ALL[name]
    sizes = (1000, 2000) if problem.m == 2 else (1891, 7381)  # lattices of 60 and 120
    coarse, fine = (
        moocore.hypervolume(problem.front(k), ref=problem.reference) for k in sizes
    )
    assert coarse < fine < problem.hypervolume
    # The gap goes with 1 / k, or with the lattice's step: twice as many halve it.
    assert 2 * fine - coarse == pytest.approx(problem.hypervolume, abs=1e-4)


def test_known_hypervolumes():
    assert PROBLEMS["vlmop2"].hypervolume == pytest.approx(0.342116, abs=5e-7)
    assert PROBLEMS["phn-toy"].hypervolume == PROBLEMS["vlmop2"].hypervolume
    moocore = pytest.importorskip("moocore", reason=ORACLE)
    for k, even_x, even in ((25, 0.3208, 0.3240), (1000, 0.3416, 0.3417)):
        x = optimal("vlmop2", np.linspace([0, 0], [1, 1], k))
        losses = np.asarray(LOSSES["vlmop2"](x), float)
        volume = moocore.hypervolume(losses, ref=[1, 1])
        assert volume == pytest.approx(even_x, abs=5e-5)
        volume = moocore.hypervolume(PROBLEMS["vlmop2"].front(k), ref=[1, 1])
        assert volume == pytest.approx(even, abs=6e-5)


def test_the_pieces_of_zdt3():
    a, pieces = 10 * np.pi, np.array(problems._ZDT3)
    starts, stops = pieces[1:, 0], pieces[:, 1]
    slope = -0.5 / np.sqrt(stops) - np.sin(a * stops) - a * stops * np.cos(a * stops)
    np.testing.assert_allclose(slope, 0, atol=1e-12)
    drop = second("zdt3", stops[:-1]) - second("zdt3", starts)
    assert np.all((drop > 0) & (drop < 5e-15))  # the start is new, just

    def area(f):
        return f - 2 / 3 * f**1.5 - np.sin(a * f) / a**2 + f * np.cos(a * f) / a

    below = np.sum(area(stops) - area(pieces[:, 0]))
    gaps = np.append(starts, 1.1) - stops
    boxes = 1.1 * np.sum(stops - pieces[:, 0]) + gaps @ (1.1 - second("zdt3", stops))
    assert problems._ZDT3_HYPERVOLUME == pytest.approx(boxes - below, abs=1e-14)


@pytest.mark.parametrize("name", ["zdt1", "zdt2", "zdt3", "dtlz1", "dtlz2"])
def test_losses_and_front_are_pymoos(name):
    folder = "multi" if name.startswith("zdt") else "many"
    module = pytest.importorskip(f"pymoo.problems.{folder}.{name[:-1]}", reason=ORACLE)
    ours = ALL[name]
    theirs = getattr(module, name.upper())(n_var=ours.n)
    x = np.random.default_rng(0).uniform(0, 1, (10_000, ours.n))
    x[:3] = np.array([[0.0], [1.0], [0.5]])
    with jax.enable_x64(True):
        losses = LOSSES[name](x)
    np.testing.assert_allclose(losses, theirs.evaluate(x), rtol=1e-9, atol=1e-9)
    if ours.m == 3:
        front = theirs.pareto_front(problems.lattice(91, 3))
        np.testing.assert_allclose(ours.front(91), front, atol=1e-12)
    else:
        front = theirs.pareto_front(500)
        np.testing.assert_allclose(off_front(name, front), 0, atol=1e-12)
        gaps = np.linalg.norm(front[:, None] - ours.front(500)[None], axis=2)
        assert gaps.min(axis=1).max() < 0.004  # each of theirs has one of ours near it
        assert gaps.min(axis=0).max() < 0.05  # theirs are far apart where it is steep


@each
def test_gradients_are_finite(name):
    problem, rng = ALL[name], np.random.default_rng(0)
    lower, upper = np.array(problem.lower)[None], np.array(problem.upper)[None]
    face = rng.uniform(lower, upper, (20, problem.n))
    face[:10, 0], face[10:, 0] = lower[0, 0], upper[0, 0]
    x = np.concatenate([lower, upper, face, optimal(name, shares(20))])

    def folded(free):
        return problem.losses(decode(problem, free))

    free = np.concatenate(
        [np.full((2, problem.n), np.pi / 2), np.zeros((2, problem.n))]
    )
    free[0] *= -1
    for losses, at in ((problem.losses, x), (folded, free)):
        slopes = jax.jit(jax.vmap(jax.jacobian(losses)))(at.astype(np.float32))
        assert slopes.shape == (len(at), problem.m, problem.n)
        assert np.all(np.isfinite(slopes))


@each
def test_decode_reaches_both_faces_and_stays_inside(name):
    problem = ALL[name]
    lower, upper = (
        np.array(side, np.float32) for side in (problem.lower, problem.upper)
    )
    right = jnp.full(problem.n, jnp.pi / 2)
    fold = jax.jit(decode, static_argnums=0)
    np.testing.assert_array_equal(fold(problem, right), upper)
    np.testing.assert_array_equal(fold(problem, -right), lower)
    np.testing.assert_allclose(fold(problem, 0 * right), (lower + upper) / 2, atol=1e-7)
    free = np.random.default_rng(0).normal(0, 30, (300, problem.n))
    x = jax.jit(jax.vmap(decode, (None, 0)), static_argnums=0)(problem, free)
    assert np.all((x >= lower[None]) & (x <= upper[None]))
    with pytest.raises(UsageError, match="expected a vector"):
        decode(problem, jnp.zeros(problem.n + 1))
    with pytest.raises(UsageError, match="expected a vector"):
        problem.losses(jnp.zeros((2, problem.n)))


def test_sizes_are_the_papers():
    sizes = {name: (problem.m, problem.n) for name, problem in PROBLEMS.items()}
    assert sizes == {
        **{"vlmop2": (2, 10), "phn-toy": (2, 100), "quadratic": (2, 2)},
        **{"zdt1": (2, 30), "zdt2": (2, 30), "zdt3": (2, 30)},
        **{"dtlz1": (3, 7), "dtlz2": (3, 12)},
    }
    for problem in PROBLEMS.values():
        assert len(problem.lower) == len(problem.upper) == problem.n


def test_quadratic_is_cvx2():
    x = np.random.default_rng(0).uniform(0, 1, (9, 2))
    theirs = [np.sum((5 * x - a) ** 2, axis=1) / 50 for a in (0, 5)]
    np.testing.assert_allclose(LOSSES["quadratic"](x), np.stack(theirs, 1), rtol=1e-5)


@pytest.mark.parametrize(
    "make, said",
    [
        (lambda: problems.vlmop2(0), "1 or more variables; found 0"),
        (lambda: problems.quadratic(0), "1 or more variables; found 0"),
        (lambda: problems.zdt(1, 1), "2 or more variables; found 1"),
        (lambda: problems.zdt(4), "one of the problems .1, 2, 3.; found 4"),
        (lambda: problems.dtlz(1, 2), "3 or more variables; found 2"),
        (lambda: problems.dtlz(3, 9), "one of the problems .1, 2.; found 3"),
        (lambda: PROBLEMS["zdt1"].front(1), "2 or more points of a front; found 1"),
        (lambda: PROBLEMS["dtlz1"].front(2), "found 2 points"),
    ],
)
def test_sizes_are_refused(make, said):
    with pytest.raises(UsageError, match=said):
        make()


# --- least squares --------------------------------------------------------------------


def test_least_squares_are_normalised_errors():
    problem = ALL["least-squares"]
    fits = np.stack([weighted_fit(1), weighted_fit(0)])
    with jax.enable_x64(True):
        losses = np.asarray(LOSSES["least-squares"](fits))
    np.testing.assert_allclose(losses, problem.ends, atol=1e-12)
    assert losses[1, 0] == pytest.approx(1)
    assert losses[0, 1] == pytest.approx(1)
    errors = np.mean((FEATURES @ fits[0] - TARGETS[:, 0]) ** 2)
    scale = np.mean((FEATURES @ fits[1] - TARGETS[:, 0]) ** 2)
    assert losses[0, 0] == pytest.approx(errors / scale)
    assert np.max(np.abs(fits)) * 2 == pytest.approx(problem.upper[0])


def test_least_squares_hold_for_other_units_and_shapes():
    volume = ALL["least-squares"].hypervolume
    rescaled = least_squares_pair(1e-6 * FEATURES, 1e9 * TARGETS)
    assert rescaled.hypervolume == pytest.approx(volume, rel=1e-9)
    swapped = least_squares_pair(FEATURES, TARGETS[:, ::-1])
    assert swapped.hypervolume == pytest.approx(volume, rel=1e-12)
    twice = least_squares_pair(np.repeat(FEATURES, 2, axis=1), TARGETS)
    assert twice.hypervolume == pytest.approx(volume, rel=1e-9)
    # More features than rows: both targets can be met, and the losses go down to 0.
    exact = least_squares_pair(FEATURES[:3], TARGETS[:3])
    assert exact.hypervolume == pytest.approx(5 / 6)
    np.testing.assert_allclose(exact.ends, [[0, 1], [1, 0]], atol=1e-12)


@pytest.mark.parametrize(
    "features, targets, said",
    [
        (FEATURES, TARGETS[:, 0], r"targets \[b, 2\]; found \(40, 5\) and \(40,\)"),
        (FEATURES[:9], TARGETS, r"targets \[b, 2\]"),
        (FEATURES[0], TARGETS[:5], r"features \[b, n\]"),
        (np.zeros((0, 3)), np.zeros((0, 2)), r"features \[b, n\]"),
        (np.full((40, 5), np.nan), TARGETS, "finite"),
        (FEATURES, np.full((40, 2), np.inf), "finite"),
        (FEATURES, TARGETS[:, [0, 0]], "the front is one point"),
        (0 * FEATURES, TARGETS, "the front is one point"),
        (FEATURES, 0 * TARGETS, "the front is one point"),
    ],
)
def test_least_squares_refuse(features, targets, said):
    with pytest.raises(UsageError, match=said):
        least_squares_pair(features, targets)


# --- weight decay ---------------------------------------------------------------------


@cache
def head_problem():
    """Return features [40, 3], labels of three classes and the problem they pose."""
    rng = np.random.default_rng(1)
    labels = np.concatenate([np.arange(3), rng.integers(0, 3, 37)])
    features = 1 + rng.normal(size=(3, 3))[labels] + rng.normal(size=(40, 3))
    return features, labels, weight_decay(features, labels, 1e-2)


def head_losses(x):
    """Return mean cross-entropy plus decay, and half the squared norm, by NumPy."""
    features, labels, _ = head_problem()
    kernel, bias = x[:9].reshape(3, 3), x[9:]
    answers = features @ kernel + bias
    answers = answers - answers.max(axis=1, keepdims=True)
    each = np.log(np.exp(answers).sum(axis=1)) - answers[np.arange(40), labels]
    norm = np.sum(kernel**2) / 2
    return np.array([each.mean() + 1e-2 * norm, norm])


def test_the_front_of_weight_decay_is_scipys():
    """L-BFGS on weighted sums: its heads lie on the front, in the box, at the ends."""
    optimize = pytest.importorskip("scipy.optimize")
    _, _, problem = head_problem()
    shares = np.bincount(head_problem()[1]) / 40
    entropy = -np.sum(shares * np.log(shares))
    front, slopes = problem.front(4001), np.geomspace(1e-3, 10, 7)
    heads = [
        optimize.minimize(
            lambda x, slope: head_losses(x) @ [1, slope], np.zeros(12), slope, tol=1e-12
        ).x
        for slope in (0.0, *slopes)
    ]
    scales = np.array([entropy, head_losses(heads[0])[1]])
    found = np.stack([head_losses(x) for x in heads]) / scales
    np.testing.assert_allclose(found[0], problem.ends[0], atol=1e-5)
    assert problem.ends[1] == (1.0, 0.0)
    lowest = np.interp(found[1:, 0], *front.T)
    np.testing.assert_allclose(found[1:, 1], lowest, atol=2e-6)
    assert (np.abs(heads) < problem.upper[0]).all() and problem.n == 12
    with jax.enable_x64(True):
        losses = jax.jit(jax.vmap(problem.losses))(np.stack(heads))
    np.testing.assert_allclose(losses, found, rtol=1e-5)
    spread = np.linalg.norm(np.diff(front, axis=0), axis=1)
    np.testing.assert_allclose(spread, spread.mean(), rtol=0.03)


def test_the_hypervolume_of_weight_decay_is_that_of_its_chords():
    _, _, problem = head_problem()
    first, second = problem.front(8001).T
    below = np.sum(np.diff(first) * (second[1:] + second[:-1])) / 2
    volume = (1 - first[0]) - below
    assert volume == pytest.approx(problem.hypervolume, abs=2e-7)


def test_more_nodes_do_not_move_the_front_of_weight_decay(monkeypatch):
    features, labels, problem = head_problem()
    monkeypatch.setattr(problems, "_NODES", 511)  # halfway between those of 256, too
    finer = weight_decay(features, labels, 1e-2)
    assert finer.hypervolume == pytest.approx(problem.hypervolume, abs=1e-7)
    # Evenly spaced is true to a percent: compare the curves, not the places on them.
    first, second = problem.front(300).T
    lowest = np.interp(first, *finer.front(8001).T)
    np.testing.assert_allclose(second[1:], lowest[1:], atol=1e-6)


@pytest.mark.parametrize(
    "features, labels, decay, said",
    [
        (np.zeros((4, 2)), np.zeros(3, int), 0.1, r"labels \[b\]; found \(4, 2\) and"),
        (np.full((2, 2), np.nan), np.arange(2), 0.1, "finite"),
        (np.zeros((3, 2)), np.array([0, 2, 2]), 0.1, r"classes; none of \[1\]"),
        (np.zeros((3, 2)), np.zeros(3, int), 0.1, "2 or more classes"),
        (np.zeros((3, 2)), np.array([0.0, 1, 1]), 0.1, "integers from 0"),
        (np.zeros((3, 2)), np.array([0, 1, 1]), 0.0, "positive and finite; found 0"),
        (np.zeros((3, 2)), np.array([0, 1, 1]), 0.1, "features tell nothing"),
    ],
)
def test_weight_decay_refuses(features, labels, decay, said):
    with pytest.raises(UsageError, match=said):
        weight_decay(features, labels, decay)
