"""What classes choose: against SciPy's bootstrap, and against truths that are known."""

import numpy as np
import pytest
from scipy import stats

from jaxpareto.metrics import choices, class_means, halves

PLACES = np.arange(-3.0, 2.0)


def rows(n=200, noise=0.5, seed=0):
    """Return losses [5, 2 n] and labels: class 0 is best under head 1, class 1 under 3.

    Rows share their noise between heads, as images do, so that pairs tell more.
    """
    rng = np.random.default_rng(seed)
    truth = np.stack([(PLACES + 2.0) ** 2, (PLACES - 0.2) ** 2]) / 10.0
    labels = np.repeat([0, 1], n)
    own = noise * rng.standard_normal(2 * n)[None]
    return truth[labels].T + own + 0.02 * rng.standard_normal((5, 2 * n)), labels


def test_classes_with_a_choice_of_their_own_are_told_from_the_shared_one():
    losses, labels = rows()
    found = choices(losses, labels, shared=3, places=PLACES)
    assert found.choice.tolist() == [1, 3]
    assert found.low[0] > 0 and found.gain[1] == found.high[1] == 0.0
    assert found.gain[0] == pytest.approx(0.4, abs=0.02)
    np.testing.assert_allclose(found.honest, [0.4, 0.0], atol=0.02)
    np.testing.assert_allclose(found.split, found.honest, atol=0.02)
    assert (found.agreement == 1.0).all()
    assert found.optimum[0] == pytest.approx(-2.0, abs=0.03)
    assert found.optimum[1] == pytest.approx(0.2, abs=0.03)


def test_the_interval_is_scipys():
    losses, labels = rows(n=60, noise=1.0)
    losses = losses + 0.3 * np.random.default_rng(5).standard_normal(losses.shape)
    found = choices(losses, labels, shared=3, places=PLACES, draws=5000)
    of_class = losses[:, labels == 0]
    pairs = of_class[3] - of_class[found.choice[0]]
    theirs = stats.bootstrap(
        (pairs,), np.mean, confidence_level=0.99, method="percentile", rng=1
    ).confidence_interval
    spread = pairs.std() / np.sqrt(60)
    assert found.low[0] == pytest.approx(theirs.low, abs=0.15 * spread)
    assert found.high[0] == pytest.approx(theirs.high, abs=0.15 * spread)


def test_where_all_heads_are_equal_the_apparent_gain_is_noise():
    """It is there on the rows that chose, and gone on those that did not."""
    rng = np.random.default_rng(3)
    labels = np.repeat(np.arange(40), 30)
    losses = rng.standard_normal((5, 1200))
    found = choices(losses, labels, shared=2, places=PLACES, draws=200)
    assert found.gain.mean() > 0.15
    error = 2.0 / np.sqrt(1200)
    assert abs(found.honest.mean()) < 3 * error
    assert abs(found.split.mean()) < 3 * error
    assert found.agreement.mean() < 0.4
    assert np.mean(found.low > 0) <= 0.1


def test_a_place_that_is_missing_and_a_class_with_one_row():
    losses, labels = rows()
    places = np.array([-np.inf, *PLACES[1:]])  # a decay of zero has no logarithm
    found = choices(losses, labels, shared=3, places=places, draws=50)
    assert np.isnan(found.optimum[0]) and np.isfinite(found.optimum[1])
    one = np.array([*labels, 2])
    losses = np.concatenate([losses, losses[:, :1]], axis=1)
    found = choices(losses, one, shared=3, places=PLACES, draws=50)
    assert found.choice[2] == 3 and np.isnan(found.gain[2])


def test_means_and_halves_are_class_by_class():
    labels = np.random.default_rng(0).integers(0, 7, 100)
    first = halves(labels, seed=1)
    for i in range(7):
        assert abs(int(first[labels == i].sum()) - int((labels == i).sum()) / 2) <= 0.5
    assert not np.array_equal(first, halves(labels, seed=2))
    losses = np.random.default_rng(1).standard_normal((2, 100))
    means = class_means(losses, labels, 8)
    assert means[1, 3] == pytest.approx(losses[1, labels == 3].mean())
    assert np.isnan(means[:, 7]).all()
