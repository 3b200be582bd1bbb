"""Static hypernetworks without a preference, and the networks that they compress."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxpareto import hyper, tree
from jaxpareto.compressed import compress
from jaxpareto.errors import UsageError
from jaxpareto.nets import cnn7, mlp_net, plain_resnet

KEY = jax.random.key(0)
RNG = np.random.default_rng(0)


def sizes(net):
    return tree.count(jax.eval_shape(net.init, KEY))


def numbers_like(init, seed=0):
    """Draw numbers for every leaf, biases too, with NumPy."""
    rng = np.random.default_rng(seed)
    like = jax.eval_shape(init, KEY)
    return jax.tree.map(lambda x: (0.3 * rng.normal(size=x.shape)).astype("f4"), like)


def test_ha_count_4240_numbers_for_12544():
    """And for the thesis's residual network 87,632 in place of 421,632."""
    target = cnn7()
    params = jax.eval_shape(target.init, KEY)
    assert params["conv1"]["kernel"].shape == (7, 7, 16, 16)
    assert params["conv1"]["kernel"].size == 12_544 and sizes(target) == 21_210
    phi = jax.eval_shape(compress(target, KEY, reach=7).net.init, KEY)
    assert tree.count(phi["made"]["Kernel_0"]) == 4_240
    assert phi["made"]["codes"].shape == (1, 4)
    assert tree.count(phi) == 21_210 - 12_544 + 4_240 + 4
    leaves, treedef = jax.tree.flatten(jax.eval_shape(plain_resnet().init, KEY))
    shapes = tuple(leaf.shape for leaf in leaves)
    ones = (1.0,) * len(shapes)  # measuring the scales would compile for seconds
    spec = tree.Spec(treedef, (), shapes, ones, ones)
    assert spec.size == 426_426
    made = hyper.kernels(spec, (16, 16), 3)
    module = hyper.Relaxed(spec, made, (16, 16), embedding=64, width=64)
    phi = jax.eval_shape(partial(module.init, method="leaves"), KEY)["params"]
    # 16 (64 * 64 + 64) + 3 * 3 * 16 (64 + 1) = 75,920, and 183 codes of 64.
    assert len(made) == 28 and phi["codes"].shape == (183, 64)
    assert tree.count(phi["Kernel_0"]) == 75_920
    assert tree.count(phi) == 75_920 + 183 * 64 + 426_426 - 183 * 3 * 3 * 16 * 16


def test_kernels_are_put_together_from_basic_ones():
    """Each tile by the formula of the paper, index by index."""
    shapes = {"a": (3, 3, 4, 2), "b": (5,), "c": (3, 3, 2, 6), "d": (3, 3, 1, 2)}

    def init(key):
        return {name: jax.random.normal(key, shape) for name, shape in shapes.items()}

    spec = tree.spec_of(init, KEY)
    assert hyper.kernels(spec, (2, 2), 3) == (0, 2)
    module = hyper.Relaxed(spec, (0, 2), (2, 2), embedding=3, width=4)
    like = jax.eval_shape(partial(module.init, method="leaves"), KEY)
    assert jax.tree.map(lambda x: x.shape, like["params"]["codes"]) == (5, 3)
    phi = numbers_like(partial(module.init, method="leaves"))
    made = jax.jit(partial(module.apply, method="leaves"))(phi)
    p = phi["params"]
    maker = p["Kernel_0"]

    def basic(z):
        kernel = np.zeros((3, 3, 2, 2))
        for i in range(2):
            inner = maker["first"][i] @ z + maker["first_bias"][i]
            kernel[:, :, i] = np.einsum("d,dhwf->hwf", inner, maker["out"]) / 4
            kernel[:, :, i] += maker["out_bias"]
        return kernel

    tiles = [basic(z) for z in p["codes"]]
    wanted = [np.concatenate(tiles[:2], axis=2), np.concatenate(tiles[2:], axis=3)]
    for leaf, kernel in zip((0, 2), wanted, strict=True):
        kernel = spec.scales[leaf] * kernel
        np.testing.assert_allclose(made[leaf], kernel, atol=1e-5)
    np.testing.assert_array_equal(made[1], p["direct1"])
    np.testing.assert_array_equal(made[3], p["direct3"])


def test_relaxed_refuses_what_is_no_kernel():
    def init(key):
        shapes = {"a": (3, 3, 4, 4), "b": (5, 5, 4, 4), "c": (4,)}
        return {name: jnp.ones(shape) for name, shape in shapes.items()}

    spec = tree.spec_of(init, KEY, draws=1)
    for leaves, basic, message in (
        ((0, 1), (4, 4), "makes kernels of one height and width"),
        ((0,), (4, 3), r"\(3, 3, 4, 4\) is not made of kernels of 4 channels and 3"),
        ((2,), (4, 4), r"a leaf of shape \(4,\)"),
    ):
        with pytest.raises(UsageError, match=message):
            jax.eval_shape(
                partial(hyper.Relaxed(spec, leaves, basic).init, method="leaves"), KEY
            )
    with pytest.raises(UsageError, match="no kernel of 3 x 3 between multiples of 16"):
        compress(mlp_net((4, 4), classes=3, widths=(5,)), KEY, reach=3)


def test_a_compressed_network_is_its_target_with_generated_kernels():
    """It starts at the target's scale, and each of its numbers is learned."""
    target = cnn7((8, 8))
    made = compress(target, KEY, reach=7)
    images = RNG.uniform(size=(6, 8, 8)).astype(np.float32)

    @jax.jit
    def run(key):
        phi = made.net.init(key)
        params = made.generate(phi)

        def loss(phi):
            return jnp.sum(jnp.square(made.net.apply(phi, images)))

        answers = made.net.apply(phi, images), target.apply(params, images)
        return answers, params, target.init(key), jax.grad(loss)(phi)

    (found, wanted), params, direct, slope = run(jax.random.key(3))
    np.testing.assert_allclose(found, wanted, atol=1e-5)
    scale = np.std(params["conv1"]["kernel"]) / np.std(direct["conv1"]["kernel"])
    assert 0.5 < scale < 2.0
    for path, leaf in jax.tree_util.tree_leaves_with_path(slope):
        assert np.all(np.isfinite(leaf)) and np.any(leaf != 0), path


def test_cnn7_and_the_plain_resnet_are_pytorchs():
    torch = pytest.importorskip("torch", reason="compares with PyTorch")
    F = torch.nn.functional

    def convolve(layer, x, **more):
        kernel = torch.tensor(layer["kernel"]).permute(3, 2, 0, 1)
        side = kernel.shape[-1] // 2
        return F.conv2d(x, kernel, torch.tensor(layer["bias"]), padding=side, **more)

    def last(layer, x):
        return x @ torch.tensor(layer["kernel"]) + torch.tensor(layer["bias"])

    def small(p, x):
        for name in ("conv0", "conv1"):
            x = F.max_pool2d(F.relu(convolve(p[name], x)), 2)
        return last(p["layer0"], x.permute(0, 2, 3, 1).flatten(1))

    def residual(p, x):
        x = F.relu(convolve(p["conv"], x))
        for name in ("block00", "block01", "block02"):
            block, stride = p[name], 2 if "skip" in p[name] else 1
            out = F.relu(convolve(block["conv0"], x))
            out = F.relu(convolve(block["conv1"], out, stride=stride))
            x = out + (convolve(block["skip"], x, stride=2) if stride == 2 else x)
        return last(p["answer"], x.mean(dim=(2, 3)))

    for net, theirs, shape in (
        (cnn7((9, 8)), small, (2, 9, 8, 1)),
        (plain_resnet((6, 6, 3), blocks=2, widths=(4, 8)), residual, (2, 6, 6, 3)),
    ):
        params = numbers_like(net.init)
        x = RNG.normal(size=shape).astype(np.float32)
        wanted = theirs(params, torch.tensor(x).permute(0, 3, 1, 2))
        found = jax.jit(net.apply)(params, x)
        np.testing.assert_allclose(found, wanted.numpy(), rtol=1e-4, atol=1e-4)


def test_the_plain_resnet_starts_without_growing():
    """Six blocks without norms: what is seen last is as large as what is seen first."""
    net = plain_resnet((2, 2), blocks=7, widths=(16,))
    images = RNG.normal(size=(64, 2, 2)).astype(np.float32)

    @jax.jit
    def run(key):
        params = net.init(key)
        none = {name: x for name, x in params.items() if "block" not in name}
        still = {name: jax.tree.map(jnp.zeros_like, params[name]) for name in params}
        return net.features(params, images), net.features(still | none, images)

    last, first = (np.sqrt(np.mean(np.square(x))) for x in run(KEY))
    assert 0.8 < last / first < 4.0
    for wrong in ({"blocks": 0}, {"widths": ()}, {"image_shape": (3, 3)}):
        with pytest.raises(UsageError, match="give at least 1 block, and"):
            plain_resnet(**wrong)
    with pytest.raises(UsageError, match="too small to be pooled twice"):
        cnn7((3, 8))
