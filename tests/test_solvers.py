"""Every solver of the table keeps the same promises; then each against an oracle.

A new row of `SOLVERS` is tested by all that is parametrised over it. Compiling is what
these tests cost: all of them call one batched program for each solver, m and type, with
always `K` instances, and read as many of its answers as they need.
"""

import inspect
from collections import Counter
from functools import cache, partial
from itertools import permutations, product

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.sparse import csc_matrix

from jaxpareto import solvers
from jaxpareto.errors import UsageError
from jaxpareto.simplex import to_ray, unit_rays
from jaxpareto.solvers import ABOUT, BLIND, SOLVERS
from jaxpareto.solvers.pcgrad import pcgrad

ROWS = pytest.mark.parametrize("name", SOLVERS)
K = 250

# What a common unit does: gram * s^2 and losses * s multiply the weights by s to this
# power. FERERO's rate is per unit of step size, and so it is the one that has a unit:
# only losses * s^2 leave its weights.
POWER = {
    "mgda": 0,
    "pmtl": 0,
    "cpmtl": 0,
    "epo": 0,
    "pmgda": -1,  # far from its ray; its tolerance has the unit of the losses
    "ferero": None,
    "pcgrad": 0,
    "cagrad": 0,
    "nash-mtl": 0,
    "imtl-g": 0,
    "upgrad": 0,
}
TRACES = Counter()


@pytest.fixture(autouse=True, scope="module")
def quick_compilation():
    """Compile twice as fast; the programs are so small that they run as before."""
    before = jax.config.read("jax_disable_most_optimizations")
    jax.config.update("jax_disable_most_optimizations", True)
    yield
    jax.config.update("jax_disable_most_optimizations", before)


@cache
def compiled(name):
    """Return a solver over K instances; counts how often it is traced."""

    def counted(losses, gram, pref):
        TRACES[name, losses.size, losses.dtype] += 1
        return SOLVERS[name](losses, gram, pref)

    return jax.jit(jax.vmap(counted))


def answer(name, losses, grams, prefs, dtype=np.float64):
    """Return the weights [k, m] and info [k] of up to K instances, as NumPy arrays."""
    k, m = np.shape(losses)
    given = np.broadcast_to(losses, (k, m)), grams, np.broadcast_to(prefs, (k, m))
    with jax.enable_x64(True):  # float32 must also stay what it is where both exist
        rows = np.arange(K) % k
        padded = [jnp.asarray(np.asarray(each)[rows], dtype) for each in given]
        weights, info = compiled(name)(*padded)
        assert weights.shape == (K, m)
        assert weights.dtype == dtype
        types = [(each.shape, each.dtype) for each in info]
        assert types == [((K,), bool), ((K,), np.int32), ((K,), np.int32)]
        return jax.tree.map(lambda each: np.asarray(each)[:k], (weights, info))


@cache
def instances(m, seed=0):
    """Return K instances: losses [K, m], Jacobians [K, m, n], preferences [K, m].

    A third of the Jacobians has a rank below m; some gradients agree, some conflict all
    around; their lengths differ up to a hundredfold. Every fourth loss vector lies near
    its ray.
    """
    rng = np.random.default_rng([m, seed])
    jacobians = np.zeros((K, m, 2 * m))
    for k, each in enumerate(jacobians):
        n = rng.integers(1, m) if k % 3 == 0 else rng.integers(m, 2 * m + 1)
        each[:, :n] = rng.normal(size=(m, n))
        if k % 4 == 1:
            each[:, :n] += 2 * rng.normal(size=(1, n))
        elif k % 4 == 2:
            each -= 0.9 * each.mean(axis=0)
    jacobians *= 10 ** rng.uniform(-1, 1, (K, m, 1))
    prefs = rng.dirichlet(np.ones(m), K)
    losses = rng.uniform(0.1, 2, (K, m))
    near = 1 / prefs / np.sum(1 / prefs, axis=1, keepdims=True)
    near *= np.exp(1e-3 * rng.normal(size=(K, m)))
    losses[::4] = near[::4]
    return losses, jacobians, prefs


def gramians(jacobians):
    return jacobians @ jacobians.swapaxes(-1, -2)


def quiet(m):
    """Return losses, Gramians and prefs [K, ...] without ties or lost ranks."""
    losses, jacobians, prefs = instances(m)
    full = np.arange(K) % 3 != 0
    full &= np.arange(K) % 4 != 0
    return losses[full], gramians(jacobians[full]), prefs[full]


# --- promises of every row ------------------------------------------------------------


# The rest takes seconds to compile one operation at a time; the examples of the
# docstrings call those without `jit`, and check what comes.
EAGER = ("mgda", "pcgrad", "cagrad", "nash-mtl", "imtl-g")


@ROWS
def test_one_call_is_what_the_batch_gives(name):
    losses, grams, prefs = quiet(2)  # fewer tasks compile sooner
    batch, infos = answer(name, losses, grams, prefs)
    one = SOLVERS[name] if name in EAGER else jax.jit(SOLVERS[name])
    with jax.enable_x64(True):
        for i in range(3):
            weights, info = one(*(jnp.asarray(x[i]) for x in (losses, grams, prefs)))
            np.testing.assert_allclose(weights, batch[i], rtol=1e-6, atol=1e-8)
            assert [x.shape for x in info] == [(), (), ()]
            assert info.converged == infos.converged[i]
            assert info.active == infos.active[i]


@ROWS
@pytest.mark.parametrize("m", [2, 3])
def test_the_order_of_the_tasks_does_not_matter(name, m):
    losses, grams, prefs = quiet(m)
    order = np.random.default_rng(0).permutation(m)
    order = order if np.any(order != np.arange(m)) else np.roll(order, 1)
    weights, _ = answer(name, losses, grams, prefs)
    moved, _ = answer(
        name, losses[:, order], grams[:, order][:, :, order], prefs[:, order]
    )
    size = np.max(np.abs(weights), axis=1, keepdims=True)
    np.testing.assert_allclose(moved / size, weights[:, order] / size, atol=1e-4)


@ROWS
def test_the_second_call_does_not_trace(name):
    losses, grams, prefs = quiet(3)
    answer(name, losses, grams, prefs)
    answer(name, 2 * losses, 3 * grams, prefs)
    assert TRACES[name, 3, np.dtype(np.float64)] == 1


@ROWS
@pytest.mark.parametrize("unit", [1e-4, 1e4])
def test_a_common_unit_scales_the_weights_as_the_method_says(name, unit):
    losses, grams, prefs = quiet(3)
    power = POWER[name]
    weights, before = answer(name, losses, grams, prefs)
    losses = losses * (unit**2 if power is None else unit)
    scaled, after = answer(name, losses, grams * unit**2, prefs)
    same = before.active == after.active  # pmgda: what was far may now be near
    assert np.mean(same) > 0.9 or (name, unit) == ("pmgda", 1e-4)
    np.testing.assert_allclose(
        scaled[same], weights[same] * unit ** (power or 0), rtol=1e-5, atol=1e-7
    )


@pytest.mark.parametrize("name", ["nash-mtl", "imtl-g"])
def test_a_unit_of_each_task_leaves_the_direction(name):
    losses, grams, prefs = quiet(3)
    units = np.array([[1e-3, 1.0, 1e2]])
    weights, _ = answer(name, losses, grams, prefs)
    scaled, _ = answer(name, losses, grams * units[:, :, None] * units[:, None], prefs)
    scaled = scaled * units
    weights, scaled = (
        each / np.linalg.norm(each, axis=1, keepdims=True) for each in (weights, scaled)
    )
    # Up to its sign: IMTL-G's weights add up to 1 also where that means to go uphill.
    np.testing.assert_allclose(np.abs(np.sum(scaled * weights, axis=1)), 1, rtol=1e-6)


def edges(m):
    """Return (losses, Gramian, pref) at each combination of what is awkward."""
    one, eye = np.ones((m, m)), np.eye(m)
    first = np.diag(np.where(np.arange(m) == 0, -1.0, 1.0))
    turned, _ = np.linalg.qr(np.random.default_rng(0).normal(size=(m, m)))
    falling = np.diag(np.logspace(0, -12, m))
    grams = {
        "zero": 0 * one,
        "parallel": one,
        "nearly parallel": one + 1e-7 * eye,
        "opposite": first @ one @ first,
        "one of zero": np.diag(np.where(np.arange(m) == 0, 0.0, 1.0)),
        "condition": turned @ falling @ turned.T,
        "lengths": falling,
        "short": 1e-20 * eye,
        "long": 1e20 * eye,
    }
    losses = [np.zeros(m), np.ones(m), eye[0], np.logspace(-12, 6, m), np.eye(m)[0] + 1]
    prefs = [
        eye[0],
        eye[-1],
        np.full(m, 1 / m),
        np.arange(1, m + 1) / (m * (m + 1) / 2),
    ]
    rows = [(a, b, c) for a in losses for b in grams.values() for c in prefs]
    kinds = [kind for _ in losses for kind in grams for _ in prefs]
    return *(np.array(each) for each in zip(*rows, strict=True)), np.array(kinds)


# Where there is no answer, which must then be said: with a gradient of length zero, or
# with two that are opposite, nobody bargains, and nobody is impartial.
NONE = {name: ["zero", "one of zero", "opposite"] for name in ("nash-mtl", "imtl-g")}
# And where rounding may hide the answer.
BLURRED = {"imtl-g": ["condition"], "ferero": ["parallel"]}


@ROWS
@pytest.mark.parametrize(
    "m, dtype", [(2, np.float64), (3, np.float64), (3, np.float32)]
)
def test_weights_are_finite_at_the_edges(name, m, dtype):
    *given, kinds = edges(m)
    weights, info = answer(name, *given, dtype)
    assert np.all(np.isfinite(weights))
    clear = ~np.isin(kinds, BLURRED.get(name, []))
    solvable = ~np.isin(kinds, NONE.get(name, []))
    np.testing.assert_array_equal(info.converged[clear], solvable[clear])


@ROWS
@pytest.mark.parametrize("what", [np.nan, np.inf])
def test_what_is_not_finite_is_never_hidden(name, what):
    losses, grams, prefs = (each[:5].copy() for each in quiet(3))
    losses[0, 1] = what
    grams[1, 1, 1] = what
    grams[2, 0, 2] = grams[2, 2, 0] = what
    prefs[3, 2] = what
    weights, info = answer(name, losses, grams, prefs)
    np.testing.assert_array_equal(info.converged, [False] * 4 + [True])
    assert np.all(np.isnan(weights[:4]))
    assert np.all(np.isfinite(weights[4]))


@ROWS
@pytest.mark.parametrize(
    "losses, gram, pref, found",
    [
        ((2,), (3, 3), (2,), r"\(2,\), \(3, 3\) and \(2,\)"),
        ((2,), (2,), (2,), r"\(2,\), \(2,\) and \(2,\)"),
        ((2,), (2, 2), (3,), r"\(2,\), \(2, 2\) and \(3,\)"),
        ((5, 2), (5, 2, 2), (5, 2), r"\(5, 2\), \(5, 2, 2\) and \(5, 2\)"),
        ((1,), (1, 1), (1,), r"m >= 2 .*\(1,\), \(1, 1\) and \(1,\)"),
        ((), (), (), r"\(\), \(\) and \(\)"),
    ],
)
def test_shapes_that_would_broadcast_are_refused(name, losses, gram, pref, found):
    with pytest.raises(UsageError, match=found):
        SOLVERS[name](jnp.ones(losses), jnp.ones(gram), jnp.ones(pref))


@ROWS
def test_no_gramian_is_refused(name):
    with pytest.raises(UsageError, match=r"needs the Gramian \[m, m\]; found None"):
        SOLVERS[name](jnp.ones(2), None, jnp.ones(2))


@pytest.mark.parametrize(
    "name, option, wrong",
    [
        ("pmtl", "slack", -0.1),
        ("cpmtl", "slack", -0.1),
        ("epo", "tolerance", 0.0),
        ("epo", "tolerance", np.nan),
        ("pmgda", "sigma", 0.0),
        ("pmgda", "sigma", 1.0),
        ("pmgda", "tolerance", -1.0),
        ("ferero", "rate", -1.0),
        ("ferero", "ridge", 0.0),
        ("cagrad", "c", -0.1),
        ("cagrad", "c", 1.0),
        ("cagrad", "c", np.nan),
        ("upgrad", "ridge", 0.0),
    ],
)
def test_options_out_of_range_are_refused(name, option, wrong):
    with pytest.raises(UsageError, match=f"{option} must .*found {wrong}"):
        SOLVERS[name](jnp.ones(2), jnp.eye(2), jnp.ones(2), **{option: wrong})


@pytest.mark.parametrize("rays", [np.ones(2), np.ones((4, 3))])
def test_reference_rays_of_the_wrong_shape_are_refused(rays):
    for function in (solvers.cpmtl, solvers.pmtl, solvers.pmtl_feasible):
        with pytest.raises(UsageError, match=r"reference rays \[r, 2\]; found \("):
            function(jnp.ones(2), jnp.eye(2), jnp.ones(2), rays=rays)


def test_pcgrad_of_many_tasks_asks_for_a_key():
    with pytest.raises(UsageError, match="up to 5 tasks; for 6 of them give a key"):
        pcgrad(jnp.ones(6), jnp.eye(6), jnp.ones(6))


@ROWS
def test_every_row_says_what_it_is_and_whose(name):
    what, source = ABOUT[name]
    assert 0 < len(what) <= 79
    assert "\n" not in what
    # The docstring cites the same work.
    author, year = source.split()[0].rstrip(","), source[-5:-1]
    citation = inspect.getdoc(SOLVERS[name]).split("Source:")[1]
    assert citation.split()[0].rstrip(",") == author
    assert f"({year})" in citation
    assert list(ABOUT) == list(SOLVERS) == list(POWER)
    assert set(SOLVERS) > BLIND


@ROWS
def test_who_is_blind_to_the_preference(name):
    losses, grams, prefs = quiet(3)
    weights, _ = answer(name, losses, grams, prefs)
    others, _ = answer(name, losses[::-1], grams, prefs[::-1])
    assert (name in BLIND) == np.array_equal(weights, others)


# --- oracles --------------------------------------------------------------------------


def optimum(cost, hessian=None, *, equal=None, least=None, ball=None):
    """Minimise `x' hessian x / 2 + cost' x` by Clarabel; None where it is infeasible.

    Args:
      equal: (rows, values), `rows @ x = values`.
      least: (rows, bounds), `rows @ x >= bounds`.
      ball: (rows, center, radius), `|rows @ x - center| <= radius`.
    """
    clarabel = pytest.importorskip("clarabel", reason="an oracle: needs clarabel")
    rows, bounds, cones = [], [], []
    if equal is not None:
        rows.append(equal[0])
        bounds.append(equal[1])
        cones.append(clarabel.ZeroConeT(len(equal[1])))
    if least is not None:
        rows.append(-least[0])
        bounds.append(-least[1])
        cones.append(clarabel.NonnegativeConeT(len(least[1])))
    if ball is not None:
        rows += [np.zeros((1, len(cost))), -ball[0]]
        bounds += [[ball[2]], -ball[1]]
        cones.append(clarabel.SecondOrderConeT(1 + len(ball[1])))
    settings = clarabel.DefaultSettings()
    settings.verbose = False
    for tolerance in ("gap_abs", "gap_rel", "feas"):
        setattr(settings, f"tol_{tolerance}", 1e-10)
    hessian = np.zeros((len(cost),) * 2) if hessian is None else hessian
    found = clarabel.DefaultSolver(
        csc_matrix(np.triu(hessian)),
        cost,
        csc_matrix(np.concatenate(rows)),
        np.concatenate(bounds),
        cones,
        settings,
    ).solve()
    status = str(found.status)
    if status in ("PrimalInfeasible", "AlmostPrimalInfeasible"):
        return None
    assert status in ("Solved", "AlmostSolved"), status
    return np.array(found.x)


def shortest(rows):
    """Return the weights of the shortest vector in the hull of rows [v, n]."""
    v = len(rows)
    return optimum(
        np.zeros(v),
        rows @ rows.T,
        equal=(np.ones((1, v)), np.ones(1)),
        least=(np.eye(v), np.zeros(v)),
    )


# Each of these judges weights [m] for one instance, from the paper's program and not
# from the code: how far above the optimum they are, and how far outside the feasible
# set, both relative to the size of the program. None where the program is infeasible.


def off_simplex(weights):
    return max(-np.min(weights), abs(np.sum(weights) - 1))


def judge_mgda(weights, losses, jacobian, pref):
    size = np.max(np.sum(jacobian**2, axis=1))
    best = shortest(jacobian / np.sqrt(size)) @ jacobian
    gap = np.sum((weights @ jacobian) ** 2) - np.sum(best**2)
    return gap / size, off_simplex(weights)


def judge_cpmtl(weights, losses, jacobian, pref, *, nearest=False):
    m = losses.size
    rays = np.asarray(unit_rays(25, m))
    own = np.asarray(to_ray(pref))
    own = rays[np.argmax(rays @ own)] if nearest else own / np.linalg.norm(own)
    differences = rays - own
    there = np.linalg.norm(differences, axis=1) > 1e-6
    violated = differences[there & (differences @ losses > 0)]
    rows = np.concatenate([np.eye(m), violated])
    size = np.max(np.sum(jacobian**2, axis=1))
    scaled = jacobian / np.sqrt(size)
    best = shortest(rows @ scaled) @ rows @ scaled
    # The weights are known up to a factor. That by which they come nearest both to the
    # hull of the rows and to the shortest vector, which is unique:
    v = len(rows)
    both = np.block(
        [
            [rows.T, -weights[:, None]],
            [np.zeros((best.size, v)), (weights @ scaled)[:, None]],
        ]
    )
    aim = np.append(np.zeros(m), best)
    found = optimum(
        -aim @ both,
        both.T @ both,
        equal=(np.append(np.ones(v), 0)[None], np.ones(1)),
        least=(np.eye(v + 1), np.zeros(v + 1)),
    )
    off = both @ found - aim
    # What is e away from the shortest is no more than e^2 too long.
    return np.sum(off[m:] ** 2), np.linalg.norm(off[:m])


def hull_distance(point, rows):
    """Return how far a point [n] is from the hull of rows [v, n]."""
    return np.linalg.norm(shortest(rows - point) @ (rows - point))


def judge_upgrad(weights, losses, jacobian, pref):
    gram = jacobian @ jacobian.T
    m = losses.size
    gram = gram / np.trace(gram) + 1e-4 * np.eye(m)
    parts = [optimum(np.zeros(m), gram, least=(np.eye(m), e)) for e in np.eye(m)]
    off = weights - np.mean(parts, axis=0)
    return off @ gram @ off, np.max(1 / m - weights)


def judge_ferero(weights, losses, jacobian, pref):
    m = losses.size
    gram = jacobian @ jacobian.T
    size = np.max(np.diagonal(gram))
    ray = np.asarray(to_ray(pref))
    ray = ray / np.linalg.norm(ray)
    eye, zero = np.eye(m), np.zeros(m)
    both = np.concatenate([eye, eye], axis=1)
    small = 1e-4 * size * np.diag([0] * m + [1] * m)
    hessian = both.T @ gram @ both + small
    cost = -0.5 * np.append(zero, losses - losses @ ray * ray)
    constraints = {
        "equal": (np.stack([[1] * m + [0] * m, np.append(zero, ray)]), np.eye(2)[0]),
        "least": (np.eye(2 * m)[:m], zero),
    }
    best = optimum(cost / size, hessian / size, **constraints)
    best = both @ optimum(cost / size, hessian / size, **constraints)
    # Convex: what is e away from the best, as gradients go, is no more than e^2 worse.
    off = (weights - best) @ jacobian
    scale = max(1, np.sum(np.abs(best))) ** 2
    across = weights @ ray  # only w goes along the ray
    outside = max(across - np.max(ray), np.min(ray) - across)
    return off @ off / size / scale, outside / np.sqrt(scale)


def judge_cagrad(weights, losses, jacobian, pref):
    m = losses.size
    size = np.max(np.sum(jacobian**2, axis=1))
    jacobian = jacobian / np.sqrt(size)
    n = jacobian.shape[1]
    mean = pref @ jacobian
    radius = 0.5 * np.linalg.norm(mean)
    # The primal: a direction [n], and the least gain, as large as may be.
    best = optimum(
        -np.eye(n + 1)[n],
        least=(np.append(jacobian, -np.ones((m, 1)), axis=1), np.zeros(m)),
        ball=(np.eye(n + 1)[:n], mean, radius),
    )
    direction = weights @ jacobian
    gap = best[n] - np.min(jacobian @ direction)
    return gap, np.linalg.norm(direction - mean) - radius


def judge_epo(weights, losses, jacobian, pref):
    m = losses.size
    gram = jacobian @ jacobian.T
    gram = gram / np.max(np.diagonal(gram))
    weighted = np.maximum(pref, 1e-6) * losses
    shares = weighted / np.sum(weighted)
    imbalance = np.sum(shares * np.log(m * shares))
    gain = gram @ (np.maximum(pref, 1e-6) * (np.log(m * shares) - imbalance))
    bounds = np.zeros(m)
    rows = gram
    if imbalance > 1e-4:
        cost = -gain
        if np.any(gain > 0):
            bounds = np.where(gain > 0, -np.inf, gain)
            bounds[np.argmax(shares)] = 0
    else:
        cost = -np.sum(gram, axis=0)
        rows = np.append(gram, gain[None], axis=0)
        bounds = np.append(bounds, min(np.max(gain), 0))
    rows, bounds = rows[np.isfinite(bounds)], bounds[np.isfinite(bounds)]
    best = optimum(
        cost,
        equal=(np.ones((1, m)), np.ones(1)),
        least=(np.concatenate([np.eye(m), rows]), np.append(np.zeros(m), bounds)),
    )
    if best is None:
        return None
    w = weights / m
    gap = cost @ (w - best) / np.max(np.abs(cost))
    return gap, max(off_simplex(w), np.max(bounds - rows @ w))


def judge_pmgda(weights, losses, jacobian, pref):
    ray = np.asarray(to_ray(pref))
    ray = ray / np.linalg.norm(ray)
    off = losses - losses @ ray * ray
    if np.linalg.norm(off) <= 0.01:
        return judge_mgda(weights, losses, jacobian, pref)
    direction = weights @ jacobian
    jacobian = jacobian / np.sqrt(np.max(np.sum(jacobian**2, axis=1)))
    home = off / np.linalg.norm(off) @ jacobian
    units = np.append(jacobian, home[None], axis=0)
    lengths = np.linalg.norm(units, axis=1, keepdims=True)
    units = units / np.where(lengths > 1e-9, lengths, np.inf)  # home may be nowhere
    m, v = losses.size, losses.size + 2  # mu, and the smallest gain
    best = optimum(
        -np.eye(v)[m + 1],
        equal=((np.arange(v) <= m)[None].astype(float), np.ones(1)),
        least=(
            np.concatenate(
                [
                    np.eye(v)[: m + 1],
                    np.append(jacobian @ units.T, -np.ones((m, 1)), axis=1),
                    np.append(units @ home, 0)[None],
                ]
            ),
            np.append(np.zeros(2 * m + 1), 0.95 * np.linalg.norm(home)),
        ),
    )
    gap = best[m + 1] - np.min(jacobian @ direction)
    hull = hull_distance(direction, units)
    return gap, max(hull, 0.95 * np.linalg.norm(home) - home @ direction)


JUDGES = {
    "mgda": judge_mgda,
    "pmtl": partial(judge_cpmtl, nearest=True),
    "cpmtl": judge_cpmtl,
    "epo": judge_epo,
    "pmgda": judge_pmgda,
    "ferero": judge_ferero,
    "cagrad": judge_cagrad,
    "upgrad": judge_upgrad,
}


@pytest.mark.parametrize("m", [2, 3, 5, 10])
@pytest.mark.parametrize("name", JUDGES)
def test_no_program_has_a_better_answer(name, m):
    losses, jacobians, prefs = instances(m)
    weights, info = answer(name, losses, gramians(jacobians), prefs)
    judged = [
        JUDGES[name](*each)
        for each in zip(weights, losses, jacobians, prefs, strict=True)
    ]
    solvable = np.array([each is not None for each in judged])
    assert not np.any(info.converged & ~solvable)
    assert np.mean(info.converged[solvable]) > (0.97 if name == "cagrad" else 0.999)
    found = np.array([judged[k] for k in np.flatnonzero(info.converged)])
    assert np.all(found < 1e-5)


def common_descent(jacobian):
    """Return how much one unit step can lower the loss that it lowers least."""
    units = jacobian / np.linalg.norm(jacobian, axis=1, keepdims=True)
    return np.linalg.norm(shortest(units) @ units)


@pytest.mark.parametrize("m", [2, 3, 5, 10])
def test_the_bargain_is_struck_wherever_all_can_gain(m):
    losses, jacobians, prefs = instances(m)
    grams = gramians(jacobians)
    weights, info = answer("nash-mtl", losses, grams, prefs)
    gains = np.einsum("kij,kj->ki", grams, weights)
    struck = (gains * weights)[info.converged]  # of sum m: equal, where w itself has 1
    np.testing.assert_allclose(struck / struck[:, :1], 1, rtol=1e-6)
    np.testing.assert_allclose(np.sum(weights, axis=1), m, rtol=1e-9)
    assert np.all(weights > 0)
    room = np.array([common_descent(each) for each in jacobians])
    assert np.all(info.converged[room > 5e-3])  # nearer to none, 60 steps may not do
    assert not np.any(info.converged[room < 1e-9])
    assert 0.05 < np.mean(info.converged) < 0.95


@pytest.mark.parametrize("m", [2, 3, 5, 10])
def test_imtl_has_equal_projections_or_says_that_there_are_none(m):
    losses, jacobians, prefs = instances(m)
    weights, info = answer("imtl-g", losses, gramians(jacobians), prefs)
    units = jacobians / np.linalg.norm(jacobians, axis=2, keepdims=True)
    gains = np.einsum("kin,kjn,kj->ki", units, jacobians, weights)
    even = np.ptp(gains, axis=1) < 1e-6 * np.max(np.abs(gains), axis=1)
    assert np.all(even[info.converged])
    np.testing.assert_allclose(np.sum(weights[info.converged], axis=1), 1, rtol=1e-9)
    full = np.linalg.matrix_rank(units) == m
    assert np.mean(info.converged[full]) > 0.99
    # Fewer dimensions than tasks, and nothing has the same cosine with all of them.
    ones = np.ones((K, m, 1))
    none = np.linalg.matrix_rank(np.concatenate([units, ones], axis=2)) > (
        np.linalg.matrix_rank(units)
    )
    assert np.any(none)
    assert not np.any(info.converged[none])


def surgery(jacobian, orders):
    """Return the direction of PCGrad, as its authors' algorithm 1 is written."""
    total = 0
    for i, order in enumerate(orders):
        g = jacobian[i].copy()
        for j in order:
            if g @ jacobian[j] < 0:
                g -= g @ jacobian[j] / (jacobian[j] @ jacobian[j]) * jacobian[j]
        total = total + g
    return total


@pytest.mark.parametrize("m", [2, 3])
def test_pcgrad_is_the_mean_over_all_orders_and_one_of_them_with_a_key(m):
    losses, jacobians, prefs = instances(m)
    grams = gramians(jacobians)
    weights, info = answer("pcgrad", losses, grams, prefs)
    others = [[j for j in range(m) if j != i] for i in range(m)]
    choices = list(product(*(list(permutations(each)) for each in others)))
    with jax.enable_x64(True):
        keys = jax.random.split(jax.random.key(0), K)
        drawn, _ = jax.jit(jax.vmap(lambda *x: pcgrad(*x[:3], key=x[3])))(
            losses, grams, prefs, keys
        )
    picked = Counter()
    for k in range(K):
        size = np.max(np.abs(jacobians[k]))
        ways = np.array([surgery(jacobians[k], orders) for orders in choices]) / size
        np.testing.assert_allclose(
            weights[k] @ jacobians[k] / size, np.mean(ways, axis=0), atol=1e-9
        )
        one = np.asarray(drawn)[k] @ jacobians[k] / size
        off = np.max(np.abs(ways - one), axis=1)
        assert np.min(off) < 1e-9
        if np.sum(off < 1e-9) == 1:
            picked[int(np.argmin(off))] += 1
        conflicts = np.sum(np.triu(grams[k], 1) < 0)
        assert info.active[k] == conflicts
    if m == 3:
        assert len(picked) == len(choices)  # and each of the orders is drawn


def test_ferero_comes_down_across_the_ray_at_its_rate():
    # The primal of the paper: J d off the ray is -rate * losses off the ray.
    losses, _, prefs = instances(3)
    rng = np.random.default_rng(0)
    jacobians, _ = np.linalg.qr(rng.normal(size=(K, 3, 3)))
    jacobians = jacobians * rng.uniform(1, 2, (K, 3, 1))
    grams = gramians(jacobians)
    weights, _ = answer("ferero", losses, grams, prefs)
    ray = np.array([to_ray(pref) for pref in prefs], np.float64)
    ray /= np.linalg.norm(ray, axis=1, keepdims=True)
    change = -np.einsum("kij,kj->ki", grams, weights)
    across = [
        each - np.sum(each * ray, axis=1, keepdims=True) * ray
        for each in (change, -0.5 * losses)
    ]
    np.testing.assert_allclose(across[0], across[1], atol=2e-3)  # but for the ridge


@ROWS
def test_float32_comes_near_float64(name):
    losses, grams, prefs = quiet(3)
    exact, info = answer(name, losses, grams, prefs)
    rough, single = answer(name, losses, grams, prefs, np.float32)
    off = rough - exact
    size = np.max(np.einsum("kii->ki", grams), axis=1) * np.sum(exact**2, axis=1)
    worse = np.einsum("ki,kij,kj->k", off, grams, off) / size
    assert np.max(worse[info.converged & single.converged]) < 1e-3
    assert np.mean(single.converged) > 0.9


@pytest.mark.parametrize(
    "name", ["mgda", "pcgrad", "cagrad", "imtl-g", "upgrad", "nash-mtl"]
)
def test_torchjd_agrees(name):
    theirs = pytest.importorskip("torchjd.aggregation", reason="an oracle: torchjd")
    if name == "upgrad":
        pytest.importorskip(
            "qpsolvers", reason="an oracle: torchjd[quadprog-projector]"
        )
    import torch
    from torchjd.linalg import QuadprogProjector

    m = 2 if name == "pcgrad" else 3
    make = {
        "mgda": lambda: theirs.MGDA(epsilon=1e-6, max_iters=3000),
        "pcgrad": theirs.PCGrad,
        "cagrad": lambda: theirs.CAGrad(c=0.5, norm_eps=0.0),
        "imtl-g": theirs.IMTLG,
        "upgrad": lambda: theirs.UPGrad(
            projector=QuadprogProjector(norm_eps=0.0, reg_eps=1e-4)
        ),
        "nash-mtl": lambda: theirs.NashMTL(n_tasks=m, max_norm=0.0, optim_niter=200),
    }
    try:
        aggregator = make[name]()
    except ImportError as error:
        pytest.skip(f"an oracle: {error}")
    losses, jacobians, _ = instances(m)
    some = np.flatnonzero(np.arange(K) % 3 != 0)[:12]
    weights, _ = answer(
        name, losses[some], gramians(jacobians[some]), np.full((len(some), m), 1 / m)
    )
    for jacobian, each in zip(jacobians[some], weights, strict=True):
        expected = aggregator(torch.tensor(jacobian)).numpy()
        direction = each @ jacobian
        if name == "nash-mtl":  # theirs is at the mercy of its own loop
            expected, direction = (x / np.linalg.norm(x) for x in (expected, direction))
        size = np.max(np.abs(jacobian))
        atol = {"mgda": 2e-2, "nash-mtl": 2e-2}.get(name, 1e-4)
        np.testing.assert_allclose(direction / size, expected / size, atol=atol)


# --- theory ---------------------------------------------------------------------------


def gains_of(name, m):
    """Return to first order how much each loss falls [k, m], and all the rest."""
    losses, jacobians, prefs = instances(m)
    grams = gramians(jacobians)
    weights, info = answer(name, losses, grams, prefs)
    size = np.max(np.einsum("kii->ki", grams), axis=1)
    size = (size * np.max(np.abs(weights), axis=1))[:, None]
    gains = np.einsum("kij,kj->ki", grams, weights) / size
    good = info.converged
    return gains[good], losses[good], grams[good], prefs[good], weights[good], info


@pytest.mark.parametrize(
    "name, m",
    [
        *((name, m) for name in ("mgda", "upgrad", "nash-mtl") for m in (3, 10)),
        ("pcgrad", 2),
    ],
)
def test_no_loss_rises(name, m):
    # UPGrad's ridge lets it rise a little.
    assert np.min(gains_of(name, m)[0]) > (-1e-3 if name == "upgrad" else -1e-7)


@pytest.mark.parametrize("m", [3, 10])
def test_mgda_meets_the_conditions_of_its_optimum(m):
    gains, _, _, _, weights, info = gains_of("mgda", m)
    # Whoever counts gains the same, and whoever does not gains no less.
    least = np.min(gains, axis=1, keepdims=True)
    assert np.max(weights * (gains - least)) < 1e-7
    assert np.all(info.active >= 0)


def test_mgda_vanishes_where_nothing_lowers_all_losses():
    rng = np.random.default_rng(0)
    jacobians = rng.normal(size=(K, 3, 4))
    hidden = rng.dirichlet(np.ones(3), K)
    jacobians[:, 2] = -np.einsum("ki,kin->kn", hidden[:, :2], jacobians[:, :2])
    jacobians[:, 2] /= hidden[:, 2:]
    weights, info = answer("mgda", np.ones((K, 3)), gramians(jacobians), hidden)
    assert np.all(info.converged)
    np.testing.assert_allclose(weights, hidden, atol=1e-3)
    size = np.max(np.abs(jacobians), axis=(1, 2))
    direction = np.einsum("ki,kin->kn", weights, jacobians) / size[:, None]
    assert np.max(np.abs(direction)) < 1e-6


@pytest.mark.parametrize("name", ["cpmtl", "pmtl"])
def test_pareto_mtl_keeps_the_size_of_its_weights(name):
    losses, grams, prefs = quiet(3)
    weights, _ = answer(name, losses, grams, prefs)
    np.testing.assert_allclose(np.sum(np.abs(weights), axis=1), 3, rtol=1e-9)
    raw, _ = jax.jit(partial(SOLVERS[name], normalize=False))(
        losses[0], grams[0], prefs[0]
    )
    np.testing.assert_allclose(
        raw / np.sum(np.abs(raw)), weights[0] / 3, rtol=1e-3, atol=1e-4
    )
    assert np.sum(np.abs(raw)) < 2  # a mean of rows, most of which add up to less


@pytest.mark.parametrize("name", ["cpmtl", "pmtl"])
def test_outside_its_sector_every_violated_constraint_falls(name):
    gains, losses, _, prefs, _, info = gains_of(name, 3)
    rays = np.asarray(unit_rays(25, 3))
    outside = 0
    for gain, loss, pref in zip(gains, losses, prefs, strict=True):
        own = np.asarray(to_ray(pref))
        own = own / np.linalg.norm(own)
        own = rays[np.argmax(rays @ own)] if name == "pmtl" else own
        violated = (rays - own)[(rays - own) @ loss > 1e-9]
        outside += len(violated) > 0
        assert np.min(violated @ gain, initial=0) > -1e-6
        assert np.min(gain) > -1e-6  # and so does every loss
    assert outside > 100
    assert np.sum(info.active > 0) == outside


def test_the_first_phase_of_pareto_mtl_goes_home_and_stops_there():
    losses, jacobians, prefs = instances(3)
    grams = gramians(jacobians)
    rays = np.asarray(unit_rays(25, 3))
    with jax.enable_x64(True):
        weights, info = jax.jit(jax.vmap(solvers.pmtl_feasible))(losses, grams, prefs)
        weights, active = np.asarray(weights), np.asarray(info.active)
        assert np.all(info.converged)
    home = np.array([rays[np.argmax(rays @ np.asarray(to_ray(p)))] for p in prefs])
    for k in range(K):
        differences = rays - home[k]
        violated = differences[differences @ losses[k] > 1e-12]
        assert active[k] == len(violated)
        if len(violated) == 0:
            assert np.all(weights[k] == 0)
            continue
        size = np.max(np.diagonal(grams[k]))
        best = shortest(violated @ jacobians[k] / np.sqrt(size)) @ violated
        off = (weights[k] - best) @ jacobians[k] / np.sqrt(size)
        assert np.linalg.norm(off) < 1e-5
        assert np.min(violated @ grams[k] @ weights[k]) > -1e-7 * size
    assert 0 < np.sum(active == 0) < K - 100


def test_epo_lowers_what_is_worst_while_it_balances():
    gains, losses, _, prefs, _, _ = gains_of("epo", 3)
    weighted = prefs * losses
    shares = weighted / np.sum(weighted, axis=1, keepdims=True)
    imbalance = np.sum(shares * np.log(3 * shares), axis=1)
    balancing = imbalance > 1e-4
    assert 100 < np.sum(balancing) < len(balancing) - 20
    worst = np.take_along_axis(gains, np.argmax(shares, axis=1)[:, None], axis=1)
    assert np.min(worst[balancing]) > -1e-7
    assert np.min(gains[~balancing]) > -1e-7  # then, no loss rises


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_epo_on_its_ray_lowers_most_whatever_rounding_left(dtype):
    _, jacobians, prefs = instances(3)
    losses = 1 / prefs / np.sum(1 / prefs, axis=1, keepdims=True)
    grams = gramians(jacobians)
    weights, info = answer("epo", losses, grams, prefs, dtype)
    assert np.all(info.converged)
    for gram, each in zip(grams, weights, strict=True):
        gram = gram / np.max(np.diagonal(gram))
        total = np.sum(gram, axis=0) / np.max(np.abs(np.sum(gram, axis=0)))
        best = optimum(
            -total,
            equal=(np.ones((1, 3)), np.ones(1)),
            least=(np.concatenate([np.eye(3), gram]), np.zeros(6)),
        )
        assert total @ (best - each / 3) < 1e-5


def test_pmgda_comes_nearer_to_its_ray_while_it_is_far():
    gains, losses, _, prefs, _, info = gains_of("pmgda", 3)
    ray = np.array([to_ray(pref) for pref in prefs], np.float64)
    ray /= np.linalg.norm(ray, axis=1, keepdims=True)
    off = losses - np.sum(losses * ray, axis=1, keepdims=True) * ray
    far = np.linalg.norm(off, axis=1) > 0.01
    assert 100 < np.sum(far) < K - 20
    assert np.sum(info.active) == np.sum(far)
    assert np.min(np.sum(gains * off, axis=1)[far]) > -1e-7
    assert np.min(gains[~far]) > -1e-7


@pytest.mark.parametrize("name", sorted(set(SOLVERS) - BLIND))
def test_caring_more_about_a_task_does_not_raise_its_loss(name):
    # Losses |x - a_i|^2: the front is the line from a_0 to a_1, and every ray meets it.
    # Steps shrink, or what has a kink would hop about it for ever.
    solver = SOLVERS[name]
    with jax.enable_x64(True):
        targets = jnp.array([[0.5, 0.0], [-0.2, 0.1]])

        def losses_at(x):
            return jnp.sum((x[None, :] - targets) ** 2, axis=1)

        @jax.jit
        @jax.vmap
        def descend(pref):
            def step(x, t):
                slopes = 2 * (x[None, :] - targets)
                given = losses_at(x), slopes @ slopes.T, pref
                weights, _ = solver(*given)
                return x - 0.1 / (1 + t / 50) * weights @ slopes, None

            start = jnp.array([0.3, 1.0])
            return losses_at(jax.lax.scan(step, start, jnp.arange(400.0))[0])

        first = jnp.linspace(0.1, 0.9, 12)
        reached = np.asarray(descend(jnp.stack([first, 1 - first], axis=1)))
    assert np.all(np.diff(reached[:, 0]) < 2e-3)
    assert np.all(np.diff(reached[:, 1]) > -2e-3)
    assert reached[0, 0] > reached[-1, 0] + 0.1  # it does steer
    excess = np.sqrt(reached).sum(axis=1) - np.sqrt(0.5)
    np.testing.assert_allclose(excess, 0, atol=0.02)  # and the front is where it ends
