"""The ResNet-18 and what it asks of a convolution: strides, padding, many channels."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax

from jaxpareto import tree
from jaxpareto.errors import UsageError
from jaxpareto.nets import layers
from jaxpareto.nets.convolution import choose_form, conv2d, max_pool
from jaxpareto.nets.resnet import NORMS, batch_statistics, resnet18

KEY = jax.random.key(0)
LAYOUT = ("NHWC", "HWIO", "NHWC")

# (form, kernel side, stride, padding, channels): few channels and many.
CONVOLUTIONS = [
    ("shifted", 1, 2, 0, 20),
    ("shifted", 3, 1, 0, 20),
    ("shifted", 3, 1, 1, 20),
    ("shifted", 3, 2, 1, 20),
    ("shifted", 3, 2, 1, 2),
    ("shifted", 7, 1, 3, 1),
    ("shifted", 7, 2, 3, 1),
    ("banded", 3, 1, 1, 2),
    ("native", 3, 2, 1, 2),
]


def normal(seed, shape):
    return np.random.default_rng(seed).normal(size=shape).astype(np.float32)


def close(found, wanted, tolerance=1e-5):
    """Compare pytrees, relative to the largest number of each leaf."""

    def compare(found, wanted):
        scale = float(np.max(np.abs(wanted)))
        np.testing.assert_allclose(found, wanted, rtol=0, atol=tolerance * scale)

    jax.tree.map(compare, found, wanted)


def value_and_gradients(function, *at):
    """Return what a function answers, and the gradients of a mix of its answers."""

    def mixed(*at):
        out = function(*at)
        return jnp.sum(normal(9, out.shape) * out), out

    both = jax.value_and_grad(mixed, tuple(range(len(at))), has_aux=True)
    (_, out), gradients = jax.jit(both)(*at)
    return out, *gradients


@pytest.mark.parametrize(
    ("form", "side", "stride", "padding", "channels"), CONVOLUTIONS
)
def test_mapped_convolutions_equal_xlas_own(form, side, stride, padding, channels):
    images = normal(1, (2, 9, 8, channels))
    kernels = normal(2, (2, side, side, channels, 4))

    def ours(images, kernels):
        def one(kernel):
            return conv2d(images, kernel, stride=stride, padding=padding, form=form)

        return jax.vmap(one)(kernels)

    def theirs(images, kernels):
        return jnp.stack(
            [
                lax.conv_general_dilated(
                    images,
                    kernel,
                    (stride, stride),
                    [(padding, padding)] * 2,
                    dimension_numbers=LAYOUT,
                )
                for kernel in kernels
            ]
        )

    close(
        value_and_gradients(ours, images, kernels),
        value_and_gradients(theirs, images, kernels),
    )


def test_unpadded_convolutions_of_stride_1_stay_banded():
    assert choose_form() == choose_form(stride=1, padding=0) == "banded"
    assert choose_form(stride=2) == choose_form(padding=1) == "shifted"


@pytest.mark.parametrize(
    ("size", "stride", "padding"), [(3, 2, 1), (3, 1, 1), (2, 3, 0), (2, None, 0)]
)
def test_max_pool_equals_reduce_window(size, stride, padding):
    # All negative: zeros around the images would win.
    images = -np.abs(normal(3, (2, 9, 8, 3)))
    step = stride or size

    def theirs(images):
        window, strides = (1, size, size, 1), (1, step, step, 1)
        around = ((0, 0), (padding, padding), (padding, padding), (0, 0))
        return lax.reduce_window(images, -jnp.inf, lax.max, window, strides, around)

    close(
        value_and_gradients(
            lambda x: max_pool(x, size, stride=stride, padding=padding), images
        ),
        value_and_gradients(theirs, images),
        tolerance=0,
    )


def test_pool_after_a_shifted_convolution():
    images, kernel = normal(1, (2, 9, 8, 2)), normal(2, (3, 3, 2, 4))
    close(
        conv2d(images, kernel, padding=1, pool=2),
        max_pool(conv2d(images, kernel, padding=1, form="native")),
    )


# The same architecture, narrow and with two stages; sides that each stage rounds up.
SHAPE, WIDTHS, GROUPS = (36, 29), (4, 16), 2


def narrow(norm, **options):
    return resnet18(
        SHAPE, norm=norm, groups=GROUPS, widths=WIDTHS, classes=3, **options
    )


@jax.jit
def every(params, images, statistics):
    """Answer with each norm, and measure: most of this file's time is compiling it."""
    given = {"frozen": statistics}
    nets = {name: narrow(name, statistics=given.get(name)) for name in NORMS}
    answers = {name: net.apply(params, images) for name, net in nets.items()}
    return answers, batch_statistics(params, images)


def draw(shapes):
    """Draw what training could have made of a pytree: nothing is zero or one."""
    generator = np.random.default_rng(0)

    def leaf(path, shape):
        name = path[-1].key
        size = np.sqrt(2 / np.prod(shape.shape[:-1])) if name == "kernel" else 0.1
        noise = size * generator.normal(size=shape.shape)
        return np.asarray(noise + (name in ("scale", "var")), np.float32)

    return jax.tree_util.tree_map_with_path(leaf, shapes)


IMAGES = np.abs(normal(4, (5, *SHAPE)))


@pytest.fixture(scope="module")
def params():
    return draw(jax.eval_shape(narrow("group").init, KEY))


@pytest.fixture(scope="module")
def statistics(params):
    return draw(jax.eval_shape(batch_statistics, params, IMAGES))


def in_torch(params, images, norm, statistics):
    """Do the same with PyTorch's own layers."""
    torch = pytest.importorskip("torch", reason="an oracle: needs PyTorch")
    F = torch.nn.functional
    params, statistics = jax.tree.map(
        lambda x: torch.tensor(np.asarray(x)), (params, statistics)
    )

    def layer(x, layer, used, stride):
        kernel = layer["kernel"].permute(3, 2, 0, 1)
        x = F.conv2d(x, kernel, stride=stride, padding=kernel.shape[-1] // 2)
        affine = layer["scale"], layer["bias"]
        if norm == "group":
            return F.group_norm(x, GROUPS, *affine)
        if norm == "batch":
            return F.batch_norm(x, None, None, *affine, training=True)
        return F.batch_norm(x, used["mean"], used["var"], *affine)

    x = F.pad(torch.tensor(np.asarray(images))[:, None], (0, 2, 0, 2))
    x = F.relu(layer(x, params["stem"], statistics["stem"], 2))
    x = F.max_pool2d(x, 3, stride=2, padding=1)
    for stage in range(1, len(WIDTHS) + 1):
        for block in range(2):
            name = f"stage{stage}_block{block}"
            mine, used = params[name], statistics[name]
            first = 2 if block == 0 and stage > 1 else 1
            out = F.relu(layer(x, mine["conv0"], used["conv0"], first))
            out = layer(out, mine["conv1"], used["conv1"], 1)
            if first == 2:
                x = layer(x, mine["projection"], used["projection"], 2)
            x = F.relu(out + x)

    def dense(x, name):
        return F.linear(x, params[name]["kernel"].T, params[name]["bias"])

    x = F.relu(dense(F.adaptive_avg_pool2d(x, 1).flatten(1), "hidden"))
    return torch.stack([dense(x, "task0"), dense(x, "task1")], 1).numpy()


@pytest.mark.parametrize("norm", NORMS)
def test_it_answers_as_the_same_network_in_pytorch(norm, params, statistics):
    answers, _ = every(params, IMAGES, statistics)
    close(answers[norm], in_torch(params, IMAGES, norm, statistics), 1e-4)


def test_frozen_statistics_of_a_batch_give_the_batch_norms_answer(params, statistics):
    answers, measured = every(params, IMAGES, statistics)
    frozen, _ = every(params, IMAGES, measured)
    close(frozen["frozen"], answers["batch"], 1e-4)
    assert jnp.max(jnp.abs(answers["frozen"] - answers["batch"])) > 1e-2


def test_only_the_batch_norm_looks_at_the_other_images(params, statistics):
    company = np.concatenate([IMAGES[:2], 3 * IMAGES[2:]])
    one, _ = every(params, IMAGES, statistics)
    other, _ = every(params, company, statistics)
    apart = {n: float(jnp.max(jnp.abs(one[n] - other[n])[:2])) for n in NORMS}
    assert max(apart["group"], apart["frozen"]) < 1e-5
    assert apart["batch"] > 1e-2


def test_the_heads_see_nothing_but_the_features(params, statistics):
    net = narrow("frozen", statistics=statistics)

    @jax.jit
    def both(params):
        features = net.features(params, IMAGES)
        return features, layers.answer(params, features), net.apply(params, IMAGES)

    features, answers, expected = both(params)
    assert features.shape == (5, WIDTHS[-1])
    np.testing.assert_array_equal(answers, expected)


def test_mapping_over_networks_equals_a_loop():
    net = resnet18((16, 16), groups=2, widths=(4,))
    one = draw(jax.eval_shape(net.init, KEY))
    other = jax.tree.map(lambda x: np.float32(1.1) * x, one)
    both = jax.tree.map(lambda *x: np.stack(x), one, other)
    # Images with and without an axis of channels are the same.
    images = IMAGES[:, :16, :16]
    mapped = jax.jit(jax.vmap(net.apply, (0, None)))(both, images[..., None])
    apply = jax.jit(net.apply)
    close(mapped, jnp.stack([apply(one, images), apply(other, images)]))


def test_mapping_over_networks_makes_no_grouped_convolution(params):
    both = jax.tree.map(lambda x: np.stack([x, x]), params)

    def loss(both):
        return jnp.sum(jax.vmap(narrow("group").apply, (0, None))(both, IMAGES))

    assert "conv_general_dilated" not in str(jax.make_jaxpr(jax.grad(loss))(both))


def test_it_has_the_published_number_of_parameters_under_readable_names():
    shapes = jax.eval_shape(resnet18().init, KEY)
    assert tree.count(shapes) == 11_443_156
    assert tree.count(shapes["hidden"]) == 512 * 512 + 512
    assert tree.count([shapes["task0"], shapes["task1"]]) == 10_260
    leaves = jax.tree_util.tree_leaves_with_path(shapes)
    named = {
        jax.tree_util.keystr(path, simple=True, separator="/"): leaf.shape
        for path, leaf in leaves
    }
    assert named["stem/kernel"] == (7, 7, 1, 64)
    assert named["stage4_block0/projection/kernel"] == (1, 1, 256, 512)
    assert named["stage1_block1/conv1/scale"] == (64,)
    colour = jax.eval_shape(resnet18(channels=3, tasks=3, classes=4).init, KEY)
    assert tree.count(colour["stem"]["kernel"]) == 3 * 7 * 7 * 64
    assert colour["task2"]["kernel"].shape == (512, 4)


def test_it_starts_as_he_et_al_and_its_norms_at_one():
    params = resnet18(widths=(48,), groups=16).init(KEY)
    layer = params["stage1_block1"]["conv1"]
    assert float(jnp.std(layer["kernel"])) == pytest.approx(
        np.sqrt(2 / (9 * 48)), rel=0.05
    )
    np.testing.assert_array_equal(layer["scale"], 1.0)
    np.testing.assert_array_equal(layer["bias"], 0.0)
    assert jnp.any(layer["kernel"] != params["stage1_block1"]["conv0"]["kernel"])


def test_errors():
    with pytest.raises(UsageError, match="unknown norm 'grup'; did you mean group"):
        resnet18(norm="grup")
    with pytest.raises(UsageError, match="14 x 36 are too small for the ResNet"):
        resnet18((14, 36))
    with pytest.raises(UsageError, match="5 groups do not divide"):
        resnet18(groups=5)
    other = {"stem": {"mean": np.zeros(64), "var": np.ones(64)}}
    with pytest.raises(UsageError, match="of another network; measure them"):
        resnet18(norm="frozen", statistics=other)
    with pytest.raises(UsageError, match="'frozen', found 'batch'"):
        resnet18(norm="batch", statistics=other)
    image, kernel = jnp.ones((1, 4, 4, 1)), jnp.ones((3, 3, 1, 1))
    with pytest.raises(UsageError, match="banded convolution has stride 1"):
        conv2d(image, kernel, stride=2, form="banded")
    with pytest.raises(UsageError, match=r"\(7, 7\) does not fit"):
        conv2d(image, jnp.ones((7, 7, 1, 1)), stride=2, padding=1)
    with pytest.raises(UsageError, match="would fill a square of side 2"):
        max_pool(image, 2, padding=2)
