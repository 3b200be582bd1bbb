"""The chunked hypernetwork: cutting, generating, and the size of what is generated."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxpareto import conditioned, hyper, tree
from jaxpareto.errors import UsageError
from jaxpareto.nets import lenet, mlp

KEY = jax.random.key(0)
PREF = jnp.array([0.3, 0.7])
NET = lenet()
SPEC = tree.spec_of(NET.init, KEY)

CASES = {
    "equal": (hyper.equal_slices(SPEC, 1000), None),
    "equal-shared": (hyper.equal_slices(SPEC, 1000), 5),
    "filter": (hyper.per_filter(SPEC), None),
    "filter-shared": (hyper.per_filter(SPEC), 3),
}


@pytest.fixture(params=CASES, scope="module")
def module(request):
    chunking, tables = CASES[request.param]
    return hyper.Chunked(chunking, width=8, hidden=(20,), tables=tables)


@pytest.fixture(scope="module")
def phi(module):
    return module.init(KEY, PREF, method="flat")


def test_one_chunk_mapped_over_ids_gives_every_chunk(module, phi):
    together = module.apply(phi, PREF, method="every_chunk")
    for number, group in enumerate(module.chunking.groups):
        one = lambda j, g=number: module.apply(phi, PREF, j, g)  # noqa: E731
        mapped = jax.vmap(one)(jnp.arange(group.count))
        assert mapped.shape == (group.count, group.size)
        np.testing.assert_allclose(mapped, together[number], atol=1e-6)


def test_mapping_over_preferences_equals_a_loop(module, phi):
    prefs = jnp.array([[0.0, 1.0], [0.5, 0.5], [0.9, 0.1]])

    def generate(pref):
        return module.apply(phi, pref, method="flat")

    loop = jnp.stack([generate(pref) for pref in prefs])
    np.testing.assert_allclose(jax.vmap(generate)(prefs), loop, atol=1e-6)
    assert not np.allclose(loop[0], loop[1]), "the preference must matter"


def test_gradient_against_finite_differences():
    """In float64, where a central difference is good to about nine digits."""
    spec = tree.spec_of(mlp((4, 4), widths=(5,)).init, KEY)
    with jax.enable_x64(True):
        for cut in (hyper.equal_slices(spec, 30), hyper.per_filter(spec)):
            module = hyper.Chunked(cut, width=4, hidden=(6,), tables=2)
            pref = jnp.array([0.3, 0.7], jnp.float64)
            phi = module.init(KEY, pref, method="flat")
            phi = jax.tree.map(lambda p: p.astype(jnp.float64), phi)

            def f(phi, module=module, pref=pref):
                return jnp.sum(jnp.sin(module.apply(phi, pref, method="flat")))

            leaves, treedef = jax.tree.flatten(phi)
            keys = jax.random.split(jax.random.key(1), len(leaves))
            way = jax.tree.unflatten(
                treedef,
                [
                    jax.random.normal(k, x.shape, x.dtype)
                    for k, x in zip(keys, leaves, strict=True)
                ],
            )
            slope = sum(
                jnp.vdot(a, b)
                for a, b in zip(
                    jax.tree.leaves(jax.grad(f)(phi)), jax.tree.leaves(way), strict=True
                )
            )

            def moved(step, phi=phi, way=way):
                return jax.tree.map(lambda p, w: p + step * w, phi, way)

            ahead, behind = f(moved(1e-6)), f(moved(-1e-6))
            np.testing.assert_allclose((ahead - behind) / 2e-6, slope, rtol=1e-6)


def test_filter_chunks_are_the_filters():
    """Number chunks and places by hand and look where they land in the target."""
    cut = hyper.per_filter(SPEC)
    chunks = []
    for first, group in zip(
        np.cumsum([0, *(g.count for g in cut.groups)]), cut.groups, strict=False
    ):
        ids = first + np.arange(group.count)[:, None]
        chunks.append(ids * 100_000 + np.arange(group.size))
    flat = np.concatenate([c.reshape(-1) for c in chunks])[cut.order]
    params = tree.unravel(SPEC, jnp.asarray(flat))
    kernel = np.asarray(params["conv1"]["kernel"])
    for filter in range(20):
        owner = np.unique(kernel[..., filter] // 100_000)
        places = kernel[..., filter] % 100_000
        assert len(owner) == 1, "a filter is one chunk"
        np.testing.assert_array_equal(places.reshape(-1), np.arange(250))
    assert len(np.unique(kernel // 100_000)) == 20
    assert len(np.unique(np.asarray(params["hidden"]["kernel"]) // 100_000)) == 1


@pytest.mark.parametrize("name", CASES)
def test_generated_layers_have_the_variance_of_a_direct_initialisation(name):
    """Hyperfan-in: mean square over 20 seeds and uniform preferences, per kernel."""
    cut, tables = CASES[name]
    module = hyper.Chunked(cut, width=32, hidden=(100, 100), tables=tables)
    made = conditioned.from_hypernetwork(NET, module, SPEC, 2)

    def draw(key):
        key, pref_key = jax.random.split(key)
        pref = jax.random.dirichlet(pref_key, jnp.ones(2))
        return made.params(made.init(key), pref)

    found = tree.spec_of(draw, jax.random.key(7), draws=20)
    for path, mine, direct in zip(SPEC.paths, found.scales, SPEC.scales, strict=True):
        if path.endswith("kernel"):
            assert mine == pytest.approx(direct, rel=0.15), path
        elif tables is None:
            assert mine == 0.0, path


def test_generated_network_has_well_scaled_activations():
    made = conditioned.chunked(NET, 2, KEY)
    images = jax.random.uniform(jax.random.key(2), (16, 36, 36))

    def spread(params):
        return jnp.std(NET.apply(params, images))

    keys = jax.random.split(jax.random.key(3), 20)
    direct = jax.lax.map(lambda k: spread(NET.init(k)), keys)
    mine = jax.lax.map(lambda k: spread(made.params(made.init(k), PREF)), keys)
    assert 0.5 < float(jnp.median(mine) / jnp.median(direct)) < 2.0


def test_parameter_count_in_closed_form():
    """A projection, an offset and an embedding per chunk, and the small network."""
    module = hyper.Chunked(
        hyper.equal_slices(SPEC, 1000),
        width=8,
        hidden=(20,),
        pref_width=3,
        chunk_width=5,
    )
    phi = jax.eval_shape(lambda: module.init(KEY, PREF, method="flat"))
    network = 2 * 3 + (8 * 20 + 20) + (20 * 8 + 8)
    assert tree.count(phi) == network + 32 * (5 + 8 * 1000 + 1000)


def test_standardised_preferences():
    for m in (2, 3, 5):
        prefs = jax.random.dirichlet(KEY, jnp.ones(m), (20_000,))
        x = jax.vmap(hyper.standardise)(prefs)
        assert float(jnp.mean(jnp.sum(x**2, axis=1))) == pytest.approx(1.0, rel=0.02)
        centre = hyper.standardise(jnp.full(m, 1 / m))
        np.testing.assert_allclose(centre, 0.0, atol=1e-6)


def test_errors():
    with pytest.raises(UsageError, match="at least 1, found 0"):
        hyper.equal_slices(SPEC, 0)
    with pytest.raises(UsageError, match="unknown chunking 'filters'; did you mean"):
        conditioned.chunked(NET, 2, KEY, chunking="filters")
