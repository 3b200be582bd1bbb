"""Tasks instead of preferences: their data, their codes, and codes of later tasks."""

from functools import cache, partial

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from scipy import ndimage

from jaxpareto import conditioned, hyper, tasks, tree
from jaxpareto.conditioned import CONDITIONERS
from jaxpareto.data import load_source, load_task_set, per_task
from jaxpareto.data.tasks import cut, permuted, rotate, rotated, split_classes
from jaxpareto.errors import UsageError
from jaxpareto.nets import layers, mlp_net, plain_resnet
from jaxpareto.train import tasks as learning
from jaxpareto.train.recipe import Hparams
from jaxpareto.train.step import init, step
from jaxpareto.types import Net, Split
from tests.small import SMALL, conditioner, keyed, normal

KEY = keyed(0)
RNG = np.random.default_rng(0)


# --- data -----------------------------------------------------------------------------


@cache
def parts():
    return cut(load_source("digits"))


def seen_in(split):
    """Return the images of a split, as bytes, without what only fills up."""
    images, labels = np.asarray(split.images), np.asarray(split.labels)
    return {image.tobytes() for image in images[labels >= 0]}


def test_split_tasks_have_their_classes_balanced_and_in_turn():
    made = split_classes(parts(), ((3, 8), (9, 0), (1, 7)))
    source = load_source("digits")
    where = {x.tobytes(): y for x, y in zip(*source[:2], strict=True)}
    assert made.names == ("3-8", "9-0", "1-7") and made.classes == 2
    t, n = made.train.labels.shape
    assert t == 3 and n % 2 == 0
    np.testing.assert_array_equal(made.train.labels, np.arange(n)[None] % 2 + [[0]] * 3)
    for task, group in enumerate(((3, 8), (9, 0), (1, 7))):
        found = [where[x.tobytes()] for x in made.train.images[task]]
        np.testing.assert_array_equal(found, np.array(group)[np.arange(n) % 2])
    counts = [np.isin(source.test_labels, group).sum() for group in ((3, 8), (9, 0))]
    np.testing.assert_array_equal((made.test.labels[:2] >= 0).sum(axis=1), counts)


def test_no_image_is_in_two_parts_whatever_tasks_are_made():
    """The train rows of some pairs are no test rows of others, nor of other seeds."""
    pairs = split_classes(parts(), ((0, 1), (2, 3)))
    others = split_classes(parts(), ((0, 2), (1, 3)))
    for a in (pairs, others):
        for b in (pairs, others):
            assert not seen_in(a.train) & (seen_in(b.validation) | seen_in(b.test))
            assert not seen_in(a.validation) & seen_in(b.test)
    assert seen_in(pairs.train) & seen_in(others.train), "the same images, told anew"


def test_permuted_pixels_are_the_pixels_in_one_order_a_task():
    made = permuted(parts(), 3, rows=100, seed=1)
    np.testing.assert_array_equal(
        made.train.images[0], permuted(parts(), 1, rows=100)[0].images[0]
    )
    flat = [np.asarray(part.images).reshape(3, -1, 64) for part in made[:3]]
    order = np.random.default_rng(1).permutation(64)
    for images in flat:  # the same order in every part
        np.testing.assert_array_equal(images[1], images[0][:, order])
        assert (images[2] != images[1]).any()
    np.testing.assert_array_equal(made.test.labels[0], made.test.labels[2])
    other = permuted(parts(), 3, rows=100, seed=2)
    assert (other.train.images[1] != made.train.images[1]).any()


@pytest.mark.parametrize("angle", [0, 30, 90, 180, -77.5])
def test_rotation_against_scipy(angle):
    images = RNG.integers(0, 256, (3, 9, 9), dtype=np.uint8)
    wanted = ndimage.rotate(
        images.astype(float),
        angle,
        axes=(1, 2),
        reshape=False,
        order=1,
        mode="grid-constant",
    )
    np.testing.assert_allclose(rotate(images, angle), wanted, atol=0.51)
    if angle % 90 == 0:
        turned = np.rot90(images, angle // 90, axes=(1, 2))
        np.testing.assert_array_equal(rotate(images, angle), turned)


@pytest.mark.long
def test_sets_by_name(mnist_dir):
    for name, shape, classes in (
        ("split-mnist", (5, 20), 2),
        ("permuted-mnist", (5, 20), 10),
        ("rotated-mnist", (5, 20), 10),
    ):
        made = load_task_set(name, data_dir=mnist_dir, rows=20)
        assert made.train.labels.shape == shape and made.classes == classes


@pytest.mark.parametrize(
    ("call", "said"),
    [
        (lambda: load_task_set("split-digit"), "did you mean split-digits"),
        (lambda: load_task_set("split-digits", rows=1), "1 training rows for 2"),
        (lambda: load_task_set("split-digits", rows=9999), "the rarest has 122 rows"),
        (lambda: load_task_set("split-digits", tasks=6), "6 tasks of 5 groups"),
        (lambda: load_task_set("split-digits", validation=1.0), "validation = 1.0"),
        (lambda: load_task_set("split-digits").of((5,)), "task 5 of 5: .* 0 to 4"),
        (lambda: split_classes(parts(), ((0, 1), (2,))), "groups of different sizes"),
        (lambda: split_classes(parts(), ((0, 10),)), "the images show 0 to 9"),
        (lambda: permuted(parts(), 0), "0 tasks; give at least 1"),
        (lambda: rotated(parts(), ()), "0 tasks; give at least 1"),
        (lambda: tasks.one_hot(3, 3), "task 3 of 3: the tasks are 0 to 2"),
        (lambda: tasks.path({"codes": np.ones((2, 2))}, 0, 1, 1), "a path of 1 points"),
        (lambda: tasks.of_tasks(None, 0, 8), "0 tasks with codes of 8"),
        (lambda: per_task(Split(np.ones((2, 4)), np.ones((2, 4))), 5), "for 4 rows a"),
        (lambda: learning.check_count(11, 10), "11 examples of 10 rows; give 1 to 10"),
        (lambda: plain_resnet((2, 2, 3)), "images of 2 x 2"),
    ],
)  # fmt: skip
def test_what_is_refused(call, said):
    with pytest.raises(UsageError, match=said) as caught:
        call()
    assert "\n" not in str(caught.value)


# --- codes ----------------------------------------------------------------------------

IMAGE, CLASSES, WIDTH, COUNT = (6, 6), 3, 5, 4


def small():
    """Make a network with a convolution and a dense layer, for one task."""

    def init(key):
        keys = jax.random.split(key, 2)
        return {
            "conv": layers.weights(keys[0], 3, 3, 1, 4),
            "head": layers.weights(keys[1], 16, CLASSES),
        }

    def apply(params, images, *, key=None):
        x = jax.lax.conv_general_dilated(
            images[..., :1], params["conv"]["kernel"], (2, 2), "VALID",
            dimension_numbers=("NHWC", "HWIO", "NHWC"),
        )  # fmt: skip
        x = jax.nn.relu(x + params["conv"]["bias"][None, None, None])
        return layers.dense(params["head"], x.reshape(len(x), -1))

    return Net(init, apply)


FORMS = SMALL | {
    "sparse-code": {"embed": False},
    "sparse-affine": {"embed": False, "form": "affine"},
    "sparse-mlp": {"embed": False, "form": "mlp-bias"},
}
"""Those of `SMALL`, and sparse ones that read the code itself, without embedding it."""


@cache
def shared(name):
    entry = conditioner(name)
    if entry.reads_pref:
        return entry.make(small(), WIDTH, KEY, image_shape=IMAGE)
    return entry.make(small(), WIDTH, KEY, **(entry.options | FORMS[name]))


def test_every_conditioner_takes_codes():
    assert set(CONDITIONERS) - {"independent"} <= set(FORMS)


@pytest.mark.parametrize("name", FORMS)
def test_a_family_over_tasks(name):
    """Tasks at once are tasks in a loop; a corner is its code; the codes learn."""
    made = tasks.of_tasks(shared(name), COUNT, WIDTH)
    at_code = tasks.of_codes(shared(name))
    corners = jnp.eye(COUNT)
    phi = normal(jax.eval_shape(made.init, KEY))
    assert phi["codes"].shape == (COUNT, WIDTH)

    def total(codes, step=0.0, way=0.0):
        moved = phi | {"codes": codes + step * way}
        every = jax.vmap(made.params, (None, 0))(moved, corners)
        return sum(jnp.sum(jnp.sin(leaf)) for leaf in jax.tree.leaves(every))

    @jax.jit
    def all_at_once(phi):
        mapped = jax.vmap(made.params, (None, 0))(phi, corners)
        looped = jax.lax.map(partial(made.params, phi), corners)
        by_code = jax.vmap(at_code.params, (None, 0))(phi["shared"], phi["codes"])
        return mapped, looped, by_code, jax.grad(total)(phi["codes"])

    mapped, looped, by_code, gradient = all_at_once(phi)
    for others in (looped, by_code):
        for a, b in zip(jax.tree.leaves(mapped), jax.tree.leaves(others), strict=True):
            np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-4)
    spreads = [np.std(leaf, axis=0).max() for leaf in jax.tree.leaves(mapped)]
    assert max(spreads) > 1e-3, "the task must matter"
    assert (np.abs(gradient).max(axis=1) > 1e-4).all(), "every code must learn"


@pytest.mark.parametrize("name", ["heads", "chunked-phn", "sparse-mlp", "low-rank"])
def test_the_gradient_of_a_code_against_finite_differences(name):
    """In float64, where a central difference is good to about nine digits."""
    made = tasks.of_codes(shared(name))
    phi = normal(jax.eval_shape(made.init, KEY))
    with jax.enable_x64(True):
        exact = jax.tree.map(lambda p: p.astype(np.float64), phi)
        code, way = RNG.standard_normal((2, WIDTH))

        def f(step):
            leaves = jax.tree.leaves(made.params(exact, code + step * way))
            return sum(jnp.sum(jnp.sin(leaf)) for leaf in leaves)

        both = jax.jit(jax.value_and_grad(f))
        slope = both(0.0)[1]
        difference = (both(1e-6)[0] - both(-1e-6)[0]) / 2e-6
        np.testing.assert_allclose(difference, slope, rtol=2e-6)


def test_a_sparse_hypernetwork_that_reads_codes_has_no_embedding():
    """Cubelier's: z, normalised, into the first layer; of any size the same network."""
    spec = tree.spec_of(small().init, KEY, draws=1)
    module = hyper.Sparse(spec, embed=False)
    at_code = tasks.of_codes(conditioned.from_hypernetwork(small(), module, spec, 5))
    phi = normal(jax.eval_shape(at_code.init, KEY))
    assert not [name for name in phi if name.startswith("embeddings")]
    code = np.array([0.5, -1.0, 2.0, 0.1, 0.3], np.float32)
    params = jax.jit(at_code.params)
    one, two = params(phi, code), params(phi, 3.0 * code + 1.0)
    for a, b in zip(jax.tree.leaves(one), jax.tree.leaves(two), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-3, atol=1e-4)
    with pytest.raises(UsageError, match="at least 3 numbers, found 2"):
        module.init(KEY, jnp.ones(2) / 2, method="flat")


def test_mixtures_of_tasks_are_mixtures_of_codes():
    made = tasks.of_tasks(shared("linear"), 2, WIDTH)
    phi = normal(jax.eval_shape(made.init, KEY))
    way = tasks.path(phi, 0, 1, 3)
    np.testing.assert_allclose(way[1], phi["codes"].mean(axis=0), rtol=1e-6)
    at_code = tasks.of_codes(shared("linear"))
    a = jax.jit(made.params)(phi, np.array([0.5, 0.5], np.float32))
    b = jax.jit(at_code.params)(phi["shared"], way[1])
    for x, y in zip(jax.tree.leaves(a), jax.tree.leaves(b), strict=True):
        np.testing.assert_allclose(x, y, atol=1e-5)


# --- training -------------------------------------------------------------------------

NET = mlp_net((3, 3), classes=CLASSES, widths=(4,))
ROWS = Split(
    jnp.asarray(RNG.integers(0, 256, (COUNT, 12, 3, 3)), jnp.uint8),
    jnp.asarray(RNG.integers(CLASSES, size=(COUNT, 12)), jnp.int32),
)


def sgd(hparams):
    return optax.sgd(hparams.learning_rate)


def family(name):
    if name == "independent":
        return conditioned.independent(NET, np.eye(COUNT))
    entry = CONDITIONERS[name]
    made = entry.make(NET, WIDTH, KEY, **(entry.options | SMALL[name]))
    return tasks.of_tasks(made, COUNT, WIDTH)


def test_a_batch_has_each_tasks_own_rows_once_an_epoch():
    batches = per_task(ROWS, 5)
    numbered = Split(ROWS.images, jnp.arange(48, dtype=jnp.int32).reshape(COUNT, 12))
    plan = batches.begin(numbered, KEY)
    found = [batches.take(numbered, plan, i) for i in range(batches.steps)]
    assert batches.steps == 2 and found[0].images.shape == (20, 3, 3)
    labels = np.stack([np.asarray(each.labels).reshape(COUNT, 5) for each in found])
    assert (labels // 12 == np.arange(COUNT)[None, :, None]).all()
    assert len(np.unique(labels)) == labels.size
    images = np.asarray(ROWS.images).reshape(48, 3, 3)
    np.testing.assert_array_equal(found[1].images, images[labels[1].ravel()])


@pytest.mark.parametrize("name", ["independent", "linear"])
def test_a_step_follows_the_mean_of_the_tasks_losses(name):
    """All tasks at once, one by one, and by hand."""
    made, corners = family(name), jnp.eye(COUNT)
    batch = per_task(ROWS, 12)
    key, hparams = jax.random.key(3), Hparams(0.1)

    @jax.jit
    def three():
        state = init(learning.recipe(made, COUNT, sgd), key, hparams)
        rows = batch.take(ROWS, jnp.tile(jnp.arange(12)[None], (COUNT, 1)), 0)
        ways = [
            step(
                learning.recipe(made, COUNT, sgd, one_by_one=way), state, rows, hparams
            )
            for way in (False, True)
        ]

        def by_hand(phi):
            total = 0.0
            for i in range(COUNT):
                logits = made.apply(phi, corners[i], ROWS.images[i] / 255.0)
                chosen = jax.nn.log_softmax(logits)[jnp.arange(12), ROWS.labels[i]]
                total = total - jnp.mean(chosen) / COUNT
            return total

        moved = jax.tree.map(
            lambda p, g: p - 0.1 * g, state.phi, jax.grad(by_hand)(state.phi)
        )
        return [way[0].phi for way in ways], moved

    ways, moved = three()
    for way in ways:
        for a, b in zip(jax.tree.leaves(way), jax.tree.leaves(moved), strict=True):
            np.testing.assert_allclose(a, b, atol=1e-5)


def test_accuracies_count_the_rows_that_are_there():
    made = family("independent")
    phi = normal(jax.eval_shape(made.init, KEY))
    labels = np.asarray(ROWS.labels).copy()
    labels[1, 7:] = -1
    which = jnp.array([0, 1, 1])
    at = jnp.eye(COUNT)[jnp.array([0, 1, 3])]
    found = jax.jit(partial(learning.accuracies, made))(
        phi, at, which, Split(ROWS.images, jnp.asarray(labels))
    )
    for got, network, task, n in zip(
        found, (0, 1, 3), (0, 1, 1), (12, 7, 7), strict=True
    ):
        mine = jax.tree.map(lambda x, i=network: x[i], phi)
        logits = NET.apply(mine, ROWS.images[task, :n] / 255.0)
        assert float(got) == pytest.approx(
            np.mean(np.argmax(logits, 1) == labels[task, :n])
        )


@pytest.mark.parametrize("name", ["chunked", "sparse"])
def test_a_new_task_is_learned_by_its_code_alone(name):
    """The frozen numbers keep every bit, and no row beyond `count` is looked at."""
    entry = CONDITIONERS[name]
    made = tasks.of_codes(entry.make(NET, WIDTH, KEY, **(entry.options | SMALL[name])))
    frozen = normal(jax.eval_shape(made.init, KEY))
    before = jax.tree.map(np.copy, frozen)
    images = np.asarray(ROWS.images[0], np.float32) / 255.0
    images[6:] = np.nan  # whoever looks there is found out
    rows = Split(jnp.asarray(images), ROWS.labels[0])

    @partial(jax.jit, donate_argnums=())
    def infer(shared, count):
        return learning.infer(
            made, shared, jnp.zeros(WIDTH) + 0.1, rows, count, KEY, optax.adam(0.05),
            steps=40, batch_size=8,
        ), shared  # fmt: skip

    found, after = infer(frozen, 6)
    for a, b in zip(jax.tree.leaves(before), jax.tree.leaves(after), strict=True):
        assert a.tobytes() == np.asarray(b).tobytes()
    assert np.isfinite(found.losses).all()
    assert found.losses[-5:].mean() < found.losses[:5].mean() - 0.05
    blind, _ = infer(frozen, 7)
    assert np.isnan(blind.losses).any()
    with pytest.raises(UsageError, match="13 examples of 12 rows; give 1 to 12"):
        learning.infer(made, frozen, jnp.zeros(WIDTH), rows, 13, KEY, optax.adam(0.1),
                       steps=1, batch_size=1)  # fmt: skip


def test_a_network_from_scratch_is_sought_the_same_way():
    """Plain gradient descent on one row, against the same by hand."""
    scratch = learning.from_scratch(NET)
    start = normal(jax.eval_shape(NET.init, KEY))
    rows = Split(ROWS.images[0] / 255.0, ROWS.labels[0])

    @jax.jit
    def both(start):
        found = learning.infer(
            scratch, None, start, rows, 1, KEY, optax.sgd(0.1), steps=2, batch_size=3
        )
        params = start
        for _ in range(2):
            gradient = jax.grad(
                lambda p: (
                    -jax.nn.log_softmax(NET.apply(p, rows.images[:1]))[0][
                        rows.labels[0]
                    ]
                )
            )(params)
            params = jax.tree.map(lambda p, g: p - 0.1 * g, params, gradient)
        return found.code, params

    for a, b in zip(*map(jax.tree.leaves, both(start)), strict=True):
        np.testing.assert_allclose(a, b, atol=1e-5)
