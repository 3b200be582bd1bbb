"""Every way to condition a network: the same contract, and each against its formula."""

from functools import cache

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxpareto import conditioned, hyper, tree
from jaxpareto.conditioned import CONDITIONERS, PHN_RESNET
from jaxpareto.errors import UsageError
from jaxpareto.hyper import sparse
from jaxpareto.nets import NETWORKS, layers, lenet, mlp
from jaxpareto.prefs import uniform
from jaxpareto.types import Net
from tests.small import SMALL, conditioner, keyed, normal

KEY = keyed(0)
PREF = jnp.array([0.3, 0.7])
IMAGE = (6, 6)


@cache
def tiny(channels=1, m=2):
    """Make a network with a convolution, a dense layer and heads, quick to compile."""

    def init(key):
        keys = jax.random.split(key, 3)
        return {
            "conv": layers.weights(keys[0], 3, 3, channels, 4),
            "hidden": layers.weights(keys[1], 16, 8),
        } | layers.heads(keys[2], m, 8, 3)

    def apply(params, images, *, key=None):
        del key
        x = layers.with_channels(images)
        x = jax.lax.conv_general_dilated(
            x,
            params["conv"]["kernel"],
            (2, 2),
            "VALID",
            dimension_numbers=("NHWC", "HWIO", "NHWC"),
        )
        x = jax.nn.relu(x + params["conv"]["bias"][None, None, None])
        x = jax.nn.relu(layers.dense(params["hidden"], x.reshape(len(x), -1)))
        return layers.answer(params, x)

    return Net(init, apply)


@cache
def make(name, m=2):
    entry = conditioner(name)
    if entry.reads_pref:
        return entry.make(tiny(1 + m, m), m, KEY, image_shape=IMAGE)
    return entry.make(tiny(m=m), m, KEY, **(entry.options | SMALL[name]))


def test_every_conditioner_is_here():
    assert set(CONDITIONERS) - {"independent"} <= set(SMALL)


@pytest.mark.parametrize("name", SMALL)
def test_mapping_over_preferences_equals_a_loop(name):
    """For three objectives, sixteen preferences and a network that has been trained."""
    made = make(name, 3)
    prefs = uniform(KEY, 16, 3)

    @jax.jit
    def both(phi):
        mapped = jax.vmap(made.params, (None, 0))(phi, prefs)
        return mapped, jax.lax.map(lambda pref: made.params(phi, pref), prefs)

    mapped, looped = both(normal(jax.eval_shape(made.init, KEY)))
    spreads = []
    for a, b in zip(jax.tree.leaves(mapped), jax.tree.leaves(looped), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-4)
        spreads.append(np.std(a, axis=0).max())
    assert max(spreads) > 1e-3, "the preference must matter"


def test_a_network_that_reads_the_preference_answers_for_each():
    made = make("input")
    prefs = jnp.array([[0.1, 0.9], [0.9, 0.1]])
    images = np.random.default_rng(2).standard_normal((2, *IMAGE), np.float32)

    @jax.jit
    def answer():
        phi = made.init(KEY)
        answers = jax.vmap(made.apply, (None, 0, None))(phi, prefs, images)
        return answers, made.apply(phi, prefs[1], images)

    answers, one = answer()
    np.testing.assert_allclose(answers[1], one, atol=1e-5)
    assert not np.allclose(answers[0], answers[1])


@pytest.mark.parametrize("name", SMALL)
def test_gradient_against_finite_differences(name):
    """In float64, where a central difference is good to about nine digits."""
    made = make(name)
    phi = normal(jax.eval_shape(made.init, KEY))
    with jax.enable_x64(True):
        exact = jax.tree.map(lambda p: p.astype(np.float64), phi)
        way = normal(exact, seed=2)
        pref = np.array([0.3, 0.7])

        def f(step):
            at = jax.tree.map(lambda p, w: p + step * w, exact, way)
            leaves = jax.tree.leaves(made.params(at, pref))
            return sum(jnp.sum(jnp.sin(leaf)) for leaf in leaves)

        both = jax.jit(jax.value_and_grad(f))  # one program for all three places
        slope = both(0.0)[1]
        difference = (both(1e-6)[0] - both(-1e-6)[0]) / 2e-6
        np.testing.assert_allclose(difference, slope, rtol=2e-6)


IMAGES = np.random.default_rng(2).standard_normal((16, *IMAGE), np.float32)
SEEDS = jax.random.split(keyed(3), 20)


@cache
def direct_spread():
    """Return the median spread of the answers of directly initialised networks."""
    net = tiny()
    spread = jax.jit(lambda key: jnp.std(net.apply(net.init(key), IMAGES)))
    return np.median([spread(key) for key in SEEDS])


@pytest.mark.parametrize("name", SMALL)
def test_generated_networks_start_well_scaled(name):
    """Answers as large as a direct initialisation's, over 20 seeds, and finite."""
    made = make(name)

    @jax.jit
    def spread(key, pref):
        return jnp.std(made.apply(made.init(key), pref, IMAGES))

    prefs = np.random.default_rng(3).dirichlet(np.ones(2), 20).astype(np.float32)
    mine = [spread(key, pref) for key, pref in zip(SEEDS, prefs, strict=True)]
    assert np.isfinite(mine).all()
    ratio = float(np.median(mine) / direct_spread())
    assert 0.4 < ratio < 2.5, ratio


# --- sizes ----------------------------------------------------------------------------


def count_of(entry, net, m=2, **options):
    made = entry.make(net, m, KEY, **(entry.options | options))
    return tree.count(jax.eval_shape(made.init, KEY))


@cache
def lenet_spec():
    return tree.spec_of(lenet().init, KEY, draws=1)


def size_of(module, m=2):
    """Count a module's parameters without making them."""
    method = type(module).leaves if hasattr(module, "leaves") else type(module).flat
    pref = jnp.full(m, 1 / m)
    return tree.count(jax.eval_shape(lambda: module.init(KEY, pref, method=method)))


def test_published_counts():
    spec = lenet_spec()
    assert size_of(hyper.Heads(spec)) == 3_243_410  # Navon et al. (2021)
    assert 126_000 <= size_of(hyper.Sparse(spec)) <= 128_000  # Cubelier (2022)
    assert size_of(hyper.Linear(spec)) == 2 * 31_910
    assert size_of(hyper.Linear(spec), m=3) == 3 * 31_910
    cosmos = CONDITIONERS["input"].make(
        NETWORKS["lenet-cosmos"]((36, 36), channels=3), 2, KEY, image_shape=(36, 36)
    )  # Ruchte and Grabocka (2021)
    assert tree.count(jax.eval_shape(cosmos.init, KEY)) == 43_058
    kernel = hyper.Kernel((7, 7, 16, 16))  # Ha, Dai and Le (2017)
    assert tree.count(jax.eval_shape(kernel.init, KEY, jnp.ones(4))) == 4_240
    pamal = NETWORKS["lenet-pamal"]((28, 28))  # Dimitriadis et al. (2023)
    assert tree.count(jax.eval_shape(pamal.init, KEY)) == 27_450


def test_small_conditioners_are_small():
    spec, target = lenet_spec(), 31_910
    assert size_of(hyper.Sparse(spec)) <= 4.5 * target
    assert size_of(hyper.LowRank(spec)) <= 1.5 * target
    assert size_of(hyper.LowRank(spec, rank=8, gates="mlp")) <= 1.5 * target
    assert size_of(hyper.Film(spec)) <= 1.5 * target


@pytest.mark.parametrize(
    ("size", "published"),
    {"11M": 11_036_684, "5M": 5_044_684, "2M": 2_066_892, "1M": 1_103_564}.items(),
)
def test_published_counts_of_the_resnet(size, published):
    """Navon et al. (2021): a ResNet-18 of 11.4 million weights."""
    n = 11_443_156
    spec = tree.Spec(None, ("w",), ((n,),), (0.1,), (0.0,))
    options = CONDITIONERS["chunked-phn"].options | PHN_RESNET[size]
    cut = hyper.equal_slices(spec, options["chunk_size"], count=options["chunks"])
    own = {k: options[k] for k in ("tables", "width", "offsets")}
    assert size_of(hyper.Chunked(cut, **own)) == published


# --- each against its formula ---------------------------------------------------------

SPEC = tree.spec_of(tiny().init, KEY)


def parts(module, seed=1):
    """Return a module's parameters, moved at random, and what it makes of `PREF`."""
    by_leaves = hasattr(module, "leaves")
    method = type(module).leaves if by_leaves else type(module).flat
    shapes = jax.eval_shape(lambda: module.init(KEY, PREF, method=method)["params"])
    phi = normal(shapes, seed)
    made = jax.jit(lambda phi: module.apply({"params": phi}, PREF, method=method))(phi)
    numbers = jax.tree.map(lambda x: np.asarray(x, np.float64), phi)
    return numbers, [np.asarray(x, np.float64) for x in made] if by_leaves else made


def start_of(module):
    """Return what a module makes at its start, and its parameters then."""
    method = type(module).leaves if hasattr(module, "leaves") else type(module).flat

    @jax.jit
    def start():
        made, variables = module.init_with_output(KEY, PREF, method=method)
        return made, variables["params"]

    return start()


def test_the_straight_path_of_heads_adds_a_plane_that_starts_at_zero():
    with_plane = hyper.Heads(SPEC, straight=0.5)
    phi, made = parts(with_plane)
    plane = phi.pop("plane")
    without = hyper.Heads(SPEC).apply(
        {"params": jax.tree.map(np.float32, phi)}, PREF, method=hyper.Heads.flat
    )
    x = np.array([-0.4, 0.4]) * np.sqrt(1.5)  # (m pref - 1) sqrt((m+1) / (m (m-1)))
    np.testing.assert_allclose(made - without, 0.5 * x @ plane, rtol=1e-4, atol=1e-5)
    _, fresh = start_of(with_plane)
    assert not fresh["plane"].any()


def test_linear_is_the_mixture():
    phi, made = parts(hyper.Linear(SPEC, spread=0.5))
    for i, leaf in enumerate(made):
        copies = phi[f"copies{i}"]
        np.testing.assert_allclose(leaf, 0.3 * copies[0] + 0.7 * copies[1], atol=1e-6)


def test_low_rank_corrections_have_their_rank_and_start_at_zero():
    module = hyper.LowRank(SPEC, rank=2, strength=0.5)
    made, fresh = start_of(module)
    for i, leaf in enumerate(made):
        np.testing.assert_allclose(leaf, fresh[f"base{i}"], rtol=1e-6)
    phi, made = parts(module)
    for i, leaf in enumerate(made):
        change = leaf - phi[f"base{i}"]
        if leaf.ndim == 1:
            expected = 0.5 * np.array([0.3, 0.7]) @ phi[f"whole{i}"]
        else:
            expected = 0.5 * sum(
                weight * phi[f"down{i}"][:, j] @ phi[f"up{i}"][j]
                for j, weight in enumerate((0.3, 0.7))
            ).reshape(leaf.shape)
            flat = change.reshape(-1, leaf.shape[-1])
            assert np.linalg.matrix_rank(flat, tol=1e-4) == min(4, *flat.shape)
        np.testing.assert_allclose(change, expected, atol=1e-6)


def test_crowding_is_the_distance_from_orthogonal_columns():
    module = hyper.LowRank(SPEC, rank=2)
    phi, _ = parts(module)
    total = 0.0
    for name, leaf in phi.items():
        if name.startswith("down"):
            columns = leaf.reshape(len(leaf), -1)
            columns = columns / np.linalg.norm(columns, axis=0)
            total += np.square(columns.T @ columns - np.eye(columns.shape[1])).sum()
    assert float(hyper.crowding(phi)) == pytest.approx(total, rel=1e-5)
    orthogonal = {"down0": jnp.asarray(np.linalg.qr(np.ones((6, 4)) + np.eye(6, 4))[0])}
    assert float(hyper.crowding(orthogonal)) < 1e-9


def test_film_scales_and_shifts_the_outputs_of_every_layer():
    """Apply the same gammas and betas to the layers' outputs, one after another."""
    net = tiny()
    module = hyper.Film(SPEC, hidden=(6,))
    phi, made = parts(module)
    images = np.random.default_rng(5).standard_normal((4, *IMAGE), np.float32)
    base = jax.tree.unflatten(
        SPEC.treedef, [phi[f"base{i}"] for i in range(len(SPEC.paths))]
    )
    inner = np.asarray(hyper.standardise(PREF))
    trunk = phi["Trunk_0"]["Dense_0"]
    inner = np.maximum(inner @ trunk["kernel"] + trunk["bias"], 0)
    knobs = inner @ phi["Dense_0"]["kernel"] + phi["Dense_0"]["bias"]
    widths = {"conv": 4, "hidden": 8, "task0": 3, "task1": 3}
    gammas, betas = np.split(knobs, 2)
    ends = np.cumsum(list(widths.values()))[:-1]
    gamma = dict(zip(widths, np.split(1 + gammas, ends), strict=True))
    beta = dict(zip(widths, np.split(betas, ends), strict=True))

    def layer(name, y):
        return y * gamma[name] + beta[name]

    x = jax.lax.conv_general_dilated(
        np.asarray(images)[..., None].astype(np.float32),
        base["conv"]["kernel"].astype(np.float32),
        (2, 2),
        "VALID",
        dimension_numbers=("NHWC", "HWIO", "NHWC"),
    )
    x = np.maximum(layer("conv", np.asarray(x) + base["conv"]["bias"]), 0)
    dense = lambda name, x: layer(  # noqa: E731
        name, x @ base[name]["kernel"] + base[name]["bias"]
    )
    x = np.maximum(dense("hidden", x.reshape(4, -1)), 0)
    expected = np.stack([dense("task0", x), dense("task1", x)], axis=1)
    params = jax.tree.unflatten(
        SPEC.treedef, [leaf.astype(np.float32) for leaf in made]
    )
    np.testing.assert_allclose(net.apply(params, images), expected, atol=2e-4)


def test_film_starts_as_one_network_and_needs_layers():
    module = hyper.Film(SPEC)
    made, phi = start_of(module)
    for i, leaf in enumerate(made):
        np.testing.assert_allclose(leaf, phi[f"base{i}"], rtol=1e-6)
    bare = tree.spec_of(lambda key: {"w": jax.random.normal(key, (3, 2))}, KEY)
    with pytest.raises(UsageError, match="no parameter of this network is called bias"):
        hyper.Film(bare).init(KEY, PREF, method="leaves")


@pytest.mark.parametrize("form", sparse.FORMS)
def test_sparse_is_a_product_of_sparse_matrices(form):
    from scipy.sparse import csr_matrix

    module = hyper.Sparse(SPEC, latent=8, form=form)
    phi, made = parts(module)
    x = np.asarray(PREF, np.float64) @ phi["embeddings"]
    x = (x - x.mean()) / np.sqrt(x.var() + 1e-6)
    for i, table in enumerate(module._tables()):
        c, out = table.shape
        if "mlp" in form and i > 0:
            x = np.where(x > 0, x, phi[f"slope{i}"] * x)
        rows = np.tile(np.arange(out), c)
        matrix = csr_matrix(
            (phi[f"values{i}"].ravel(), (rows, table.ravel())), (out, len(x))
        )
        x = matrix @ x
        if form in ("affine", "mlp-bias"):
            x = x + phi[f"bias{i}"]
    scales = SPEC.each(SPEC.scales)
    scales = np.where(scales > 0, scales, scales[scales > 0].min())
    np.testing.assert_allclose(made, scales * x, rtol=1e-3, atol=1e-4)


def test_sparse_wiring_is_local_fixed_and_counted():
    tables = hyper.Sparse(lenet_spec(), latent=32)._tables()
    assert [len(table) for table in tables] == list(range(len(tables), 0, -1))
    assert tables[-1].shape == (1, 31_910)
    np.testing.assert_array_equal(tables[-1][0], np.arange(31_910) * 15_955 // 31_910)
    middle = tables[-3]
    into, out = tables[-4].shape[1], middle.shape[1]
    away = middle - np.arange(out) * into / out
    assert 6 < np.sqrt(np.mean(away**2)) < 10, "about latent / 4 = 8 from where it is"
    again = hyper.Sparse(lenet_spec(), latent=32)._tables()
    for a, b in zip(tables, again, strict=True):
        np.testing.assert_array_equal(a, b)
    uniform = hyper.Sparse(lenet_spec(), wiring="uniform")._tables()
    assert abs(uniform[-1].mean() / (15_955 / 2) - 1) < 0.02
    with pytest.raises(UsageError, match="unknown wiring 'far'"):
        hyper.Sparse(SPEC, wiring="far")._tables()


def test_static_makes_the_kernels_and_nothing_else():
    module = hyper.Static(SPEC)
    phi, made = parts(module)
    at = SPEC.paths.index("conv/kernel")
    code = phi["embeddings"][0] + np.asarray(hyper.standardise(PREF)) @ phi["shifts"][0]
    maker = phi["Kernel_0"]
    height, width, channels, _ = SPEC.shapes[at]
    for i in range(channels):
        inner = maker["first"][i] @ code + maker["first_bias"][i]
        for y in range(height):
            for x in range(width):
                expected = inner @ maker["out"][:, y, x] / 4 + maker["out_bias"][y, x]
                np.testing.assert_allclose(
                    made[at][y, x, i], SPEC.scales[at] * expected, atol=1e-5
                )
    for i, leaf in enumerate(made):
        if i != at:
            np.testing.assert_allclose(leaf, phi[f"direct{i}"], atol=1e-6)


def test_static_shares_a_maker_among_kernels_of_a_shape():
    def init(key):
        return {f"conv{i}": jax.random.normal(key, (3, 3, 4, 4)) for i in range(3)}

    module = hyper.Static(tree.spec_of(init, KEY))
    made, phi = start_of(module)
    assert sum(name.startswith("Kernel") for name in phi) == 1
    assert not np.allclose(made[0], made[1])
    with pytest.raises(UsageError, match="makes convolution kernels"):
        flat = tree.spec_of(mlp(IMAGE).init, KEY)
        hyper.Static(flat).init(KEY, PREF, method="leaves")


def test_planes_are_cosmos_upsampler():
    torch = pytest.importorskip("torch", reason="compares with PyTorch")
    module = hyper.Planes((36, 36))
    drawn, variables = jax.jit(lambda: module.init_with_output(KEY, PREF))()
    phi = variables["params"]
    x = torch.tensor(np.asarray(PREF))[None, :, None, None]
    for name, stride, padding in (("ConvTranspose_0", 1, 0), ("ConvTranspose_1", 2, 1)):
        kernel = np.asarray(phi[name]["kernel"])[::-1, ::-1].transpose(2, 3, 0, 1)
        x = torch.nn.functional.conv_transpose2d(
            x, torch.tensor(kernel.copy()), stride=stride, padding=padding
        ).relu()
    assert x.shape == (1, 2, 10, 10)
    x = torch.nn.functional.interpolate(x, size=(36, 36), mode="nearest-exact")
    np.testing.assert_allclose(drawn, x[0].numpy().transpose(1, 2, 0), atol=1e-5)


def test_independent_heads_and_decoders():
    net = NETWORKS["lenet-pamal"]((28, 28))
    shapes = jax.eval_shape(net.init, KEY)
    params = normal(shapes)
    x = np.ones((3, 50), np.float32)
    second = jax.nn.relu(layers.dense(params["decoder1"], x))
    answers = layers.answer(params, x)
    np.testing.assert_allclose(
        answers[:, 1], layers.dense(params["task1"], second), atol=1e-5
    )


# --- initialisation -------------------------------------------------------------------


@pytest.mark.parametrize("init", ["direct", "hyperfan-in", "hyperfan-out"])
@pytest.mark.parametrize("kind", ["heads", "chunked"])
def test_generated_numbers_have_the_variance_asked_for(kind, init):
    net = mlp((8, 8), widths=(24,))
    spec = hyper.INITS[init](tree.spec_of(net.init, KEY))
    if kind == "heads":
        module = hyper.Heads(spec, width=32)
    else:
        module = hyper.Chunked(hyper.equal_slices(spec, 100))

    def draw(key):
        key, pref_key = jax.random.split(key)
        pref = uniform(pref_key, 1, 2)[0]
        phi = module.init(key, pref, method="flat")
        flat = module.apply(phi, pref, method="flat")[: spec.size]
        return tree.unravel(spec, flat)

    found = tree.spec_of(draw, keyed(7), draws=200)
    for path, mine, asked in zip(spec.paths, found.scales, spec.scales, strict=True):
        assert mine == pytest.approx(asked, rel=0.15, abs=1e-6), path


def test_hyperfan_in_keeps_outputs_and_hyperfan_out_keeps_gradients():
    """Mean squares through a deep rectified network stay the same, there and back."""
    net = mlp((8, 8), widths=(64, 32, 128, 64))
    spec = tree.spec_of(net.init, KEY, draws=2)
    names = [f"hidden{i}" for i in range(4)]

    @jax.jit
    def measure(key, aims):
        keys = jax.random.split(key, 3)
        flat = aims * jax.random.normal(keys[0], (spec.size,))
        params = tree.unravel(spec, flat)
        images = jax.random.normal(keys[1], (50, 64))

        def outputs(nudges):
            x, before = images, []
            for name, nudge in zip(names, nudges, strict=True):
                before.append(layers.dense(params[name], x) + nudge)
                x = jax.nn.relu(before[-1])
            return x, before

        zeros = [jnp.zeros((50, params[name]["bias"].size)) for name in names]
        last, pull_back, before = jax.vjp(outputs, zeros, has_aux=True)
        (gradients,) = pull_back(jax.random.normal(keys[2], last.shape))
        square = lambda x: jnp.mean(jnp.square(x))  # noqa: E731
        return jnp.stack([square(x) for x in before]), jnp.stack(
            [square(g) for g in gradients]
        )

    def means(aim):
        aims = spec.each(aim(spec).scales)
        keys = jax.random.split(KEY, 100)
        found = jax.lax.map(lambda key: measure(key, aims), keys)
        return [np.mean(x, axis=0) for x in found]

    outputs, _ = means(hyper.hyperfan_in)
    # A ReLU halves the mean square, the kernel hands it on, the bias adds one: 2 stays.
    np.testing.assert_allclose(outputs, 2.0, rtol=0.15)
    _, gradients = means(hyper.hyperfan_out)
    np.testing.assert_allclose(gradients, 0.5, rtol=0.15)


def test_embeddings_give_each_chunk_its_mean_variance():
    """The chunked form of hyperfan: one projection, embeddings of different sizes."""
    net = mlp((8, 8), widths=(64, 16))
    spec = tree.spec_of(net.init, KEY)
    cut = hyper.equal_slices(spec, 512)
    module = hyper.Chunked(
        cut, width=100, tables=1, offsets="table", balance="embeddings", rectify=True
    )

    @jax.jit
    def squares(keys):
        def one(key):
            key, pref_key = jax.random.split(key)
            pref = uniform(pref_key, 1, 2)[0]
            phi = module.init(key, pref, method="flat")
            chunks = module.apply(phi, pref, method="every_chunk")[0]
            return jnp.mean(chunks**2, axis=1)

        return jnp.mean(jax.lax.map(one, keys), axis=0)

    found = squares(jax.random.split(keyed(4), 100))
    asked = np.mean(np.square(cut.scales[0]), axis=1)
    assert asked.max() / asked.min() > 1.5, "else there is nothing to balance"
    np.testing.assert_allclose(found, asked, rtol=0.25)


def test_a_leaf_that_starts_at_a_constant_is_generated_around_it():
    """The scale of a normalisation starts at one, in every conditioner."""

    def init(key):
        return {"norm": {"scale": jnp.ones(6), "bias": jnp.zeros(6)}} | {
            "out": layers.weights(key, 6, 3)
        }

    spec = tree.spec_of(init, KEY)
    assert dict(zip(spec.paths, spec.means, strict=True))["norm/scale"] == 1.0
    assert dict(zip(spec.paths, spec.scales, strict=True))["norm/scale"] == 0.0
    at = spec.paths.index("norm/scale")
    start = sum(spec.sizes[:at])
    modules = (
        hyper.Heads(spec),
        hyper.Heads(spec, base=True),
        hyper.Chunked(hyper.equal_slices(spec, 5)),
        hyper.Chunked(hyper.per_filter(spec)),
        hyper.Chunked(hyper.equal_slices(spec, 5), tables=1, offsets="none"),
        hyper.Linear(spec),
        hyper.LowRank(spec),
        hyper.Film(spec),
    )
    all_made = jax.jit(lambda: [start_of(module)[0] for module in modules])()
    for module, made in zip(modules, all_made, strict=True):
        scale = made[at] if isinstance(made, list) else made[start : start + 6]
        assert abs(float(np.mean(scale)) - 1.0) < 0.8, module


def test_what_cannot_be_made_is_refused():
    with pytest.raises(UsageError, match="need at least 5 chunks of 50, found 3"):
        conditioned.chunked(tiny(), 2, KEY, chunk_size=50, chunks=3)
    with pytest.raises(UsageError, match="unknown init 'hyperfan'; did you mean"):
        conditioned.chunked(tiny(), 2, KEY, init="hyperfan")
    for module, message in (
        (hyper.Sparse(SPEC, form="curved"), "unknown form 'curved'"),
        (hyper.LowRank(SPEC, gates="open"), "unknown gates 'open'"),
        (hyper.Chunked(hyper.equal_slices(SPEC, 9), offsets="no"), "unknown offsets"),
    ):
        with pytest.raises(UsageError, match=message):
            method = "leaves" if hasattr(module, "leaves") else "flat"
            module.init(KEY, PREF, method=method)
