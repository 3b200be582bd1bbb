"""The chunked hypernetwork: cutting, generating, and the size of what is generated."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxpareto import conditioned, hyper, tree
from jaxpareto.errors import UsageError
from jaxpareto.nets import layers, mlp
from jaxpareto.types import Net

KEY = jax.random.key(0)
PREF = jnp.array([0.3, 0.7])


def small_init(key):
    """Make what a convolutional network has: filters, matrices and biases.

    Chunks of one length come from several leaves, as in the LeNet, whose many more
    lengths would only take longer to compile; so would draws of odd last axes, such as
    10, of which LLVM unrolls every step.
    """
    first, last = jax.random.split(key)
    return {"conv": layers.weights(first, 4, 4, 2, 16)} | layers.heads(last, 2, 12, 16)


NET = Net(small_init, lambda params, images, *, key=None: images)
SPEC = tree.spec_of(NET.init, KEY)

CASES = {
    "equal": (hyper.equal_slices(SPEC, 64), None),
    "equal-shared": (hyper.equal_slices(SPEC, 64), 4),
    "filter": (hyper.per_filter(SPEC), None),
    "filter-shared": (hyper.per_filter(SPEC), 3),
}


@pytest.fixture(params=CASES, scope="module")
def module(request):
    chunking, tables = CASES[request.param]
    return hyper.Chunked(chunking, width=8, hidden=(20,), tables=tables)


def numbers_like(phi, scale=0.3, seed=0):
    """Draw numbers for every leaf, with NumPy: JAX compiles each draw for itself."""
    rng = np.random.default_rng(seed)
    return jax.tree.map(
        lambda x: jnp.asarray(scale * rng.standard_normal(x.shape), x.dtype), phi
    )


@pytest.fixture(scope="module")
def phi(module):
    """Return numbers for every parameter, offsets included, which start at zero."""
    return numbers_like(jax.eval_shape(lambda: module.init(KEY, PREF, method="flat")))


def test_one_chunk_mapped_over_ids_gives_every_chunk(module, phi):
    groups = module.chunking.groups

    @jax.jit
    def both(phi):
        one = [
            jax.vmap(lambda j, g=g: module.apply(phi, PREF, j, g))(
                jnp.arange(group.count)
            )
            for g, group in enumerate(groups)
        ]
        return one, module.apply(phi, PREF, method="every_chunk")

    for mapped, together, group in zip(*both(phi), groups, strict=True):
        assert mapped.shape == (group.count, group.size)
        np.testing.assert_allclose(mapped, together, atol=1e-6)


def test_mapping_over_preferences_equals_a_loop(module, phi):
    prefs = jnp.array([[0.0, 1.0], [0.5, 0.5], [0.9, 0.1]])

    @jax.jit
    def generate(pref):
        return module.apply(phi, pref, method="flat")

    loop = np.stack([generate(pref) for pref in prefs])
    mapped = jax.jit(jax.vmap(generate))(prefs)
    np.testing.assert_allclose(mapped, loop, atol=1e-6)
    assert not np.allclose(loop[0], loop[1]), "the preference must matter"


@pytest.mark.parametrize("name", ["equal-shared", "filter-shared"])
def test_gradient_against_finite_differences(name):
    """In float64, where a central difference is good to about nine digits."""
    chunking, tables = CASES[name]
    module = hyper.Chunked(chunking, width=4, hidden=(6,), tables=tables)
    with jax.enable_x64(True):
        pref = jnp.array([0.3, 0.7], jnp.float64)

        @jax.jit
        @jax.value_and_grad
        def f(phi):
            return jnp.sum(jnp.sin(module.apply(phi, pref, method="flat")))

        like = jax.eval_shape(lambda: module.init(KEY, pref, method="flat"))
        like = jax.tree.map(lambda x: x.update(dtype=jnp.float64), like)
        phi, way = numbers_like(like), numbers_like(like, 1.0, seed=1)

        def moved(step):
            return jax.tree.map(
                lambda p, w: np.asarray(p) + step * np.asarray(w), phi, way
            )

        slopes = jax.tree.map(np.vdot, f(phi)[1], way)
        ahead, behind = f(moved(1e-6))[0], f(moved(-1e-6))[0]
        found = (float(ahead) - float(behind)) / 2e-6
        np.testing.assert_allclose(found, sum(jax.tree.leaves(slopes)), rtol=1e-6)


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
    params = tree.unravel(SPEC, flat)
    kernel = params["conv"]["kernel"]
    for filter in range(16):
        owner = np.unique(kernel[..., filter] // 100_000)
        places = kernel[..., filter] % 100_000
        assert len(owner) == 1, "a filter is one chunk"
        np.testing.assert_array_equal(places.reshape(-1), np.arange(32))
    assert len(np.unique(kernel // 100_000)) == 16
    assert len(np.unique(params["task0"]["kernel"] // 100_000)) == 1


@pytest.mark.parametrize("name", CASES)
def test_generated_layers_have_the_variance_of_a_direct_initialisation(name):
    """Hyperfan-in: mean square over 200 seeds and uniform preferences, per kernel."""
    cut, tables = CASES[name]
    module = hyper.Chunked(cut, width=32, hidden=(100, 100), tables=tables)
    made = conditioned.from_hypernetwork(NET, module, SPEC, 2)

    def draw(key):
        key, pref_key = jax.random.split(key)
        # Uniform on the simplex, and sooner compiled than a Dirichlet of ones.
        first = jax.random.uniform(pref_key)
        return made.params(made.init(key), jnp.stack([first, 1.0 - first]))

    found = tree.spec_of(draw, jax.random.key(7), draws=200)
    for path, mine, direct in zip(SPEC.paths, found.scales, SPEC.scales, strict=True):
        if path.endswith("kernel"):
            assert mine == pytest.approx(direct, rel=0.15), path
        elif tables is None:
            assert mine == 0.0, path


def test_generated_network_has_well_scaled_activations():
    net = mlp((6, 6), classes=16, widths=(32, 32))
    made = conditioned.chunked(net, 2, KEY, chunk_size=64)
    images = np.random.default_rng(2).uniform(size=(16, 6, 6)).astype(np.float32)

    def spreads(key):
        direct, mine = net.init(key), made.params(made.init(key), PREF)
        return jnp.std(net.apply(direct, images)), jnp.std(net.apply(mine, images))

    keys = jax.random.split(jax.random.key(3), 20)
    direct, mine = jax.lax.map(spreads, keys)
    assert 0.5 < float(np.median(mine) / np.median(direct)) < 2.0


def test_parameter_count_in_closed_form():
    """A projection, an offset and an embedding per chunk, and the small network."""
    module = hyper.Chunked(
        hyper.equal_slices(SPEC, 64),
        width=8,
        hidden=(20,),
        pref_width=3,
        chunk_width=5,
    )
    phi = jax.eval_shape(lambda: module.init(KEY, PREF, method="flat"))
    network = 2 * 3 + (8 * 20 + 20) + (20 * 8 + 8)
    assert tree.count(phi) == network + 15 * (5 + 8 * 64 + 64)


def test_standardised_preferences():
    for m in (2, 3, 5):
        prefs = np.random.default_rng(0).dirichlet(np.ones(m), 20_000)
        x = np.asarray(jax.vmap(hyper.standardise)(prefs))
        assert np.mean(np.sum(x**2, axis=1)) == pytest.approx(1.0, rel=0.02)
        centre = hyper.standardise(jnp.full(m, 1 / m))
        np.testing.assert_allclose(centre, 0.0, atol=1e-6)


def test_errors():
    with pytest.raises(UsageError, match="at least 1, found 0"):
        hyper.equal_slices(SPEC, 0)
    with pytest.raises(UsageError, match="unknown chunking 'filters'; did you mean"):
        conditioned.chunked(NET, 2, KEY, chunking="filters")
