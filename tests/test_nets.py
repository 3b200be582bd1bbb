"""Target networks: shapes, counts, and the convolution that must not be grouped."""

import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import linen as nn

from jaxpareto import tree
from jaxpareto.errors import UsageError
from jaxpareto.nets import NETWORKS, conv2d, layers, lenet, max_pool, mlp, multitask_cnn
from jaxpareto.nets.convolution import block_width
from jaxpareto.nets.layers import dropout

KEY = jax.random.key(0)


def drawn(shapes, seed=0):
    """Fill a pytree of shapes with normal numbers, without compiling anything."""
    rng = np.random.default_rng(seed)
    return jax.tree.map(lambda x: rng.standard_normal(x.shape, np.float32), shapes)


def parameters(net, scale=0.1):
    """Make parameters of a network in which no leaf is zero."""
    return jax.tree.map(lambda x: scale * x, drawn(jax.eval_shape(net.init, KEY)))


# (images, kernel): the LeNet's two, the CNN's, odd and prime sizes, a kernel as large
# as the image, one row, one column.
SHAPES = [
    ((3, 36, 36, 1), (9, 9, 1, 10)),
    ((3, 14, 14, 10), (5, 5, 10, 20)),
    ((2, 17, 17, 5), (3, 3, 5, 7)),
    ((2, 9, 4, 2), (3, 4, 2, 4)),
    ((2, 5, 9, 3), (5, 1, 3, 70)),
    ((1, 1, 13, 1), (1, 5, 1, 2)),
]


@pytest.mark.parametrize("pool", [1, 2, 3])
@pytest.mark.parametrize(("images", "kernel"), SHAPES)
def test_banded_convolution_equals_the_native_one(images, kernel, pool):
    if min(images[1] - kernel[0], images[2] - kernel[1]) + 1 < pool:
        pytest.skip("nothing to pool")
    shapes = [jax.ShapeDtypeStruct(shape, jnp.float32) for shape in (images, kernel)]
    out = jax.eval_shape(lambda x, w: conv2d(x, w, pool=pool), *shapes)
    x, w, weights = drawn([*shapes, out])

    def value_and_gradients(form):
        def f(x, w):
            out = conv2d(x, w, pool=pool, form=form)
            return jnp.sum(weights * out), out

        (_, out), gradients = jax.value_and_grad(f, (0, 1), has_aux=True)(x, w)
        return out, *gradients

    # One program for both: most of the time of this test is compilation.
    both = jax.jit(lambda: [value_and_gradients(form) for form in ("banded", "native")])
    for banded, native in zip(*both(), strict=True):
        scale = float(jnp.max(jnp.abs(native)))
        np.testing.assert_allclose(banded, native, rtol=1e-5, atol=1e-5 * scale)


@pytest.mark.parametrize("name", ["lenet", "cnn-16-32-64"])
def test_mapping_over_kernels_makes_no_grouped_convolution(name):
    """The compiled gradient of k networks has no convolution, and costs k times one."""
    net = NETWORKS[name]((36, 36))
    images = jnp.ones((8, 36, 36))

    def cost_and_program(k):
        keys = jax.eval_shape(lambda: jax.random.split(KEY, k))
        params = jax.eval_shape(jax.vmap(net.init), keys)  # shapes will do to compile

        def loss(params):
            out = jax.vmap(net.apply, (0, None))(params, images)
            return jnp.sum(jnp.square(out))

        compiled = jax.jit(jax.grad(loss)).lower(params).compile()
        return compiled.cost_analysis()["flops"], compiled.as_text()

    one, _ = cost_and_program(1)
    four, program = cost_and_program(4)
    # XLA's own word for a convolution with groups, whatever it was lowered to.
    assert not re.search(r"= \S+ convolution\(", program)
    assert "feature_group_count" not in program
    assert four <= 4.2 * one


@pytest.mark.parametrize(("channels", "stride"), [(10, 1), (3, 2), (20, 2)])
def test_a_convolution_multiplies_matrices_both_ways(channels, stride):
    """A gradient of larger arrays would be transposed first: a tenth of a step."""
    images, kernel = jnp.ones((4, 14, 14, channels)), jnp.ones((5, 5, channels, 20))

    def loss(images, kernel):
        return jnp.sum(conv2d(images, kernel, stride=stride))

    program = jax.make_jaxpr(jax.grad(loss, (0, 1)))(images, kernel)
    products = [
        equation
        for equation in program.eqns
        if equation.primitive.name == "dot_general"
    ]
    assert len(products) >= 3  # forward, and to each of the two
    assert all(each.ndim == 2 for x in products for each in (v.aval for v in x.invars))


@pytest.mark.parametrize("filters", [1, 10, 20, 64, 96])
@pytest.mark.parametrize("out_width", [1, 5, 10, 13, 28, 34])
@pytest.mark.parametrize("kernel_width", [1, 3, 9])
def test_block_width_wastes_less_than_one_block(out_width, filters, kernel_width):
    block = block_width(out_width, filters, kernel_width)
    assert 1 <= block <= out_width
    assert -(-out_width // block) * block - out_width < block


def test_max_pool_equals_reduce_window():
    x = drawn(jax.ShapeDtypeStruct((2, 7, 6, 3), jnp.float32))
    expected = nn.max_pool(x, (2, 2), (2, 2))
    np.testing.assert_array_equal(max_pool(x), expected)


@pytest.mark.parametrize("shared_relu", [True, False])
def test_lenet_equals_the_same_network_in_flax(shared_relu):
    """Pooling before bias and ReLU changes nothing: compare with the usual order."""
    net = lenet(shared_relu=shared_relu)
    params = parameters(net)
    images = np.random.default_rng(1).uniform(size=(4, 36, 36)).astype(np.float32)

    @jax.jit
    def both(params):
        x = images[..., None]
        for name, features in (("conv0", 10), ("conv1", 20)):
            size = params[name]["kernel"].shape[:2]
            layer = nn.Conv(features, size, padding="VALID")
            x = nn.relu(layer.apply({"params": params[name]}, x))
            x = nn.max_pool(x, (2, 2), (2, 2))
        x = nn.Dense(50).apply({"params": params["hidden"]}, x.reshape(4, -1))
        x = nn.relu(x) if shared_relu else x
        heads = [params[f"task{i}"] for i in range(2)]
        usual = [nn.Dense(10).apply({"params": head}, x) for head in heads]
        return net.apply(params, images), jnp.stack(usual, 1)

    mine, expected = both(params)
    np.testing.assert_allclose(mine, expected, rtol=1e-5, atol=1e-3)


def test_lenet_has_the_published_number_of_parameters():
    assert tree.count(jax.eval_shape(lenet().init, KEY)) == 31_910


def test_cnn_parameters_by_hand():
    params = jax.eval_shape(multitask_cnn(filters=(32, 64, 96)).init, KEY)
    convolutions = (9 * 32 + 32) + (9 * 32 * 64 + 64) + (9 * 64 * 96 + 96)
    dense = 5 * 5 * 96 * 128 + 128 + 2 * (128 * 10 + 10)
    assert tree.count(params) == convolutions + dense


# The ResNets have tests of their own.
@pytest.mark.parametrize("name", [n for n in NETWORKS if "resnet" not in n])
@pytest.mark.parametrize("tasks", [2, 3])
def test_every_network_answers_per_task(name, tasks):
    net = NETWORKS[name]((36, 36), tasks=tasks, classes=7)
    params = parameters(net)
    images = np.random.default_rng(1).uniform(size=(5, 36, 36)).astype(np.float32)
    apply = jax.jit(net.apply)
    out = np.asarray(apply(params, images))
    assert out.shape == (5, tasks, 7)
    # Each task has a head of its own: changing one changes no other answer.
    params["task1"] = jax.tree.map(lambda p: p + 1.0, params["task1"])
    changed = np.any(np.asarray(apply(params, images)) != out, axis=(0, 2))
    assert changed.tolist() == [False, True, False][:tasks]


# Inputs of a head, or of the decoder in front of it.
DIMS = {"mlp": 32, "lenet": 50, "cnn": 128}


@pytest.mark.parametrize("name", [n for n in NETWORKS if "resnet" not in n])
def test_the_heads_see_nothing_but_the_features(name):
    net = NETWORKS[name]((36, 36), classes=7)
    params = parameters(net)
    images = np.random.default_rng(1).uniform(size=(5, 36, 36)).astype(np.float32)

    @jax.jit
    def both(params):
        features = net.features(params, images)
        return features, layers.answer(params, features), net.apply(params, images)

    features, answers, expected = both(params)
    assert features.shape == (5, DIMS[name.partition("-")[0]])
    np.testing.assert_array_equal(answers, expected)
    bare = {leaf: params[leaf] for leaf in params if leaf[:4] not in ("task", "deco")}
    assert jax.eval_shape(net.features, bare, images).shape == features.shape


def test_the_features_of_a_linear_classifier_are_its_pixels():
    images = np.arange(24.0, dtype=np.float32).reshape(2, 3, 4)
    found = mlp((3, 4), widths=()).features({}, images)
    np.testing.assert_array_equal(found, images.reshape(2, 12))


def test_dropout_keeps_the_mean_and_needs_a_key():
    x = np.ones((400, 100), np.float32)
    kept = np.asarray(jax.jit(lambda: dropout(KEY, x, 0.3))())
    assert np.mean(kept == 0) == pytest.approx(0.3, abs=0.01)
    assert np.mean(kept) == pytest.approx(1.0, abs=0.01)
    np.testing.assert_array_equal(dropout(None, x, 0.3), x)
    net = multitask_cnn((18, 18), filters=(2, 2, 2))
    params, images = parameters(net), np.ones((2, 18, 18), np.float32)

    @jax.jit
    def both(params):
        return net.apply(params, images, key=KEY), net.apply(params, images)

    dropped, whole = both(params)
    assert np.any(np.asarray(dropped) != np.asarray(whole))


def test_errors():
    with pytest.raises(UsageError, match="12 x 12 are too small for the LeNet"):
        lenet((12, 12))
    with pytest.raises(UsageError, match="too small for the CNN"):
        multitask_cnn((12, 12))
    with pytest.raises(UsageError, match="three filter counts"):
        multitask_cnn(filters=(1, 2))
    with pytest.raises(UsageError, match="at least 2 tasks"):
        mlp((4, 4), tasks=1).init(KEY)
    with pytest.raises(UsageError, match="does not fit images"):
        conv2d(jnp.ones((1, 2, 2, 1)), jnp.ones((3, 3, 1, 1)))
    with pytest.raises(UsageError, match="expected images"):
        conv2d(jnp.ones((1, 4, 4, 2)), jnp.ones((3, 3, 1, 1)))
    with pytest.raises(UsageError, match="unknown form of convolution"):
        conv2d(jnp.ones((1, 4, 4, 1)), jnp.ones((3, 3, 1, 1)), form="winograd")
