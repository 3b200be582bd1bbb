"""Composition: recorded bytes, exact draws, and a recomposition pixel by pixel."""

import hashlib
from collections import Counter
from functools import partial
from itertools import permutations, product

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.stats import chisquare

from jaxpareto.data import layouts
from jaxpareto.data.digits import load_digits
from jaxpareto.data.idx import load_idx_folder
from jaxpareto.data.layouts import LAYOUTS, compose, place
from jaxpareto.data.multimnist import multi_mnist
from jaxpareto.data.pairs import class_table, draw_pairs
from jaxpareto.errors import UsageError

DIGITS = load_digits()
IMAGES, LABELS = DIGITS.train_images, DIGITS.train_labels

# SHA-256 of 300 pairs of the digits, and of 1,000 pairs of MNIST, from key(0).
RECORDED = {
    ("jitter", 2): "9429bda51ceba0758fe357926fa5a41ffca689a0acf6b772b8bd3c930f3fe82a",
    ("corners", 2): "779484dfa5f2542b540ea389d5471c081c5023a107829bde5aac5f232981397b",
    ("pamal", 2): "10b06ebaa9e1a353744cb1818ba3f84cdb6ac40c9252cd21b5c4158e603ef036",
    ("jitter", 3): "fe3741f617a23fe31aca0bde5fc2f9cce2041a59180ff772b0599eef56da39c5",
}
RECORDED_MNIST = {
    "jitter": "560f9a4c5b92d1587cdb3b27c31c5cc708b2387e8c6fdfc1b93f54b4e0bd2dc5",
    "corners": "ee76906b5a7e0cbedf90a015227b58aa55467a4316eb98a1d02b48a467a99835",
    "pamal": "ff14b489099aa30d696bf0bb9737acdf8cdca191ef176f20580920a4b41c946b",
}
CASES = [*RECORDED, ("corners", 4)]


def sha256(images, labels) -> str:
    """Hash the bytes of images (uint8) and labels (int32, little-endian)."""
    labels = np.asarray(labels)
    assert (images.dtype, labels.dtype) == (np.uint8, np.int32)
    parts = np.asarray(images).tobytes() + labels.astype("<i4").tobytes()
    return hashlib.sha256(parts).hexdigest()


def digits(layout, tasks, key=None, pairs=300):
    key = jax.random.key(0) if key is None else key
    return multi_mnist(IMAGES, LABELS, key, pairs=pairs, layout=layout, tasks=tasks)


# --- The same key, the same bytes -----------------------------------------------------


@pytest.mark.parametrize(("layout", "tasks"), RECORDED)
def test_the_bytes_are_the_recorded_ones(layout, tasks):
    assert sha256(*digits(layout, tasks)) == RECORDED[layout, tasks]


@pytest.mark.parametrize("layout", LAYOUTS)
def test_the_bytes_of_real_mnist_are_the_recorded_ones(mnist_dir, layout):
    mnist = load_idx_folder(mnist_dir / "mnist")
    made = multi_mnist(
        mnist.train_images,
        mnist.train_labels,
        jax.random.key(0),
        pairs=1000,
        layout=layout,
    )
    assert made[0].shape == (1000, *([28, 28] if layout == "pamal" else [36, 36]))
    assert sha256(*made) == RECORDED_MNIST[layout]


def test_raw_keys_and_64_bit_mode_change_nothing():
    recorded = RECORDED["jitter", 2]
    assert sha256(*digits("jitter", 2, jax.random.PRNGKey(0))) == recorded
    with jax.enable_x64(True):
        assert sha256(*digits("jitter", 2)) == recorded


def test_another_key_gives_other_bytes():
    assert sha256(*digits("jitter", 2, jax.random.key(1))) != RECORDED["jitter", 2]


def test_composing_in_chunks_changes_nothing(monkeypatch):
    stack, indices = jnp.asarray(IMAGES[:20]), jnp.arange(20).reshape(10, 2)
    offsets = place(jnp.arange(40, dtype=jnp.uint32).reshape(10, 2, 2), 8, "jitter")

    def composed():
        return jax.jit(lambda i, o: compose([stack] * 2, i, o, "jitter"))(
            indices, offsets
        )

    whole = composed()
    monkeypatch.setattr(layouts, "CHUNK", 4)  # two chunks and a rest of two
    np.testing.assert_array_equal(whole, composed())


# --- Which images meet ----------------------------------------------------------------


@pytest.mark.parametrize(("layout", "tasks"), RECORDED)
def test_classes_of_one_source_differ_except_in_pamal(layout, tasks):
    _, labels = digits(layout, tasks)
    different = [len(set(row)) == tasks for row in np.asarray(labels).tolist()]
    if layout == "pamal":
        assert 0.8 < np.mean(different) < 1  # 1/10 of the pairs coincide
    else:
        assert all(different)


DRAWS = 12_000


@partial(jax.jit, static_argnames=("which", "layout"))
def draw(key, labels, which, layout="jitter"):
    """Draw image numbers [DRAWS, m] from six images, twice over as two sources."""
    table = class_table(labels)
    indices, _ = draw_pairs(key, [table] * 2, which, DRAWS, size=8, layout=layout)
    return indices


def check(drawn, expected):
    """Compare draws with the probability of each choice; nothing else may occur."""
    counts = Counter(map(tuple, np.asarray(drawn).tolist()))
    assert set(counts) == set(expected)
    found = [counts[chosen] for chosen in expected]
    assert sum(expected.values()) == pytest.approx(1)
    assert chisquare(found, [DRAWS * p for p in expected.values()]).pvalue > 1e-3


@pytest.mark.parametrize("which", [(0, 0), (0, 0, 0)])
def test_the_choices_have_their_exact_probabilities(which):
    # Oracle: go through all ordered choices of images of different classes. Classes of
    # 3, 1 and 2 images in no order, so that a wrong segment shows.
    labels, tasks = np.array([2, 0, 1, 0, 2, 0]), len(which)
    expected = {}
    for chosen in permutations(range(6), tasks):
        if len(set(labels[list(chosen)])) < tasks:
            continue
        expected[chosen] = 1.0
        for t in range(tasks):
            taken = set(labels[list(chosen[:t])])
            expected[chosen] /= sum(label not in taken for label in labels)
    check(draw(jax.random.key(5), labels, which), expected)


def test_balanced_classes_give_uniform_pairs():
    labels = np.array([0, 1, 2, 0, 1, 2])
    allowed = [p for p in permutations(range(6), 2) if labels[p[0]] != labels[p[1]]]
    found = draw(jax.random.key(7), labels, (0, 0))
    check(found, dict.fromkeys(allowed, 1 / 24))


@pytest.mark.parametrize(("layout", "which"), [("jitter", (0, 1)), ("pamal", (0, 0))])
def test_without_a_constraint_all_pairs_are_equally_likely(layout, which):
    found = draw(jax.random.key(6), np.array([1, 0, 1, 0, 0, 2]), which, layout)
    check(found, dict.fromkeys(product(range(6), repeat=2), 1 / 36))


def test_each_task_has_its_own_source_and_its_own_labels():
    # Images and labels say where they come from: grey 10 + label, grey 50 + label.
    labels = [np.array([0, 1, 2, 3]), np.array([4, 3, 2, 1, 0])]
    stacks = [
        np.broadcast_to((grey + y)[:, None, None], (len(y), 8, 8)).astype(np.uint8)
        for grey, y in zip((10, 50), labels, strict=True)
    ]
    images, found = multi_mnist(
        stacks, labels, jax.random.key(0), pairs=200, layout="corners"
    )
    np.testing.assert_array_equal(images[:, 0, 0], 10 + found[:, 0])
    np.testing.assert_array_equal(images[:, -1, -1], 50 + found[:, 1])
    assert (found[:, 0] == found[:, 1]).any()  # two sources: a class may come twice


# --- Where they go --------------------------------------------------------------------


@pytest.mark.parametrize(("size", "unit"), [(28, 4), (8, 2)])
def test_jittered_offsets_cover_their_ranges_uniformly(size, unit):
    table = class_table(jnp.arange(10))
    drawn = draw_pairs(jax.random.key(2), [table], (0,) * 4, 5_000, size=size)
    indices, offsets = map(np.asarray, drawn)
    far = [(0, 0), (1, 1), (1, 0), (0, 1)]
    for task, axis in product(range(4), range(2)):
        low = unit * far[task][axis]
        values, counts = np.unique(offsets[:, task, axis], return_counts=True)
        assert values.tolist() == list(range(low, low + unit + 1))
        assert chisquare(counts).pvalue > 1e-3
    # Where an image goes says nothing about which it is.
    both = np.stack([indices[:, 0], offsets[:, 0, 0]], axis=1)
    counts = np.unique(both, axis=0, return_counts=True)[1]
    assert len(counts) == 10 * (unit + 1) and chisquare(counts).pvalue > 1e-3
    # Row and column, and one image and the next, move on their own.
    flat = offsets.reshape(5_000, 8) - offsets.reshape(5_000, 8).mean(0)
    correlation = np.corrcoef(flat.T) - np.eye(8)
    assert np.abs(correlation).max() < 4 / np.sqrt(5_000)


@pytest.mark.parametrize(
    ("layout", "size", "step"),
    [("corners", 28, 8), ("corners", 8, 4), ("pamal", 28, 6), ("pamal", 8, 3)],
)
def test_fixed_offsets(layout, size, step):
    offsets = place(jnp.arange(16, dtype=jnp.uint32).reshape(2, 4, 2), size, layout)
    once = [[0, 0], [step, step], [step, 0], [0, step]]
    assert offsets.tolist() == [once, once]


# --- What is seen ---------------------------------------------------------------------


def canvases(images, indices, offsets, add):
    """Compose in plain NumPy loops, whole canvases before any resizing."""
    size = images[0].shape[1]
    side = {28: 36, 8: 12}[size]
    made = np.zeros((len(indices), side, side), int)
    for pair, pixel_row, pixel_column in product(
        range(len(indices)), range(side), range(side)
    ):
        seen = []
        for task, stack in enumerate(images):
            row = pixel_row - offsets[pair, task, 0]
            column = pixel_column - offsets[pair, task, 1]
            if 0 <= row < size and 0 <= column < size:
                seen.append(int(stack[indices[pair, task], row, column]))
        made[pair, pixel_row, pixel_column] = (
            min(sum(seen), 255) if add else max(seen, default=0)
        )
    return made.astype(np.uint8)


@partial(jax.jit, static_argnames="layout")
def composed(images, indices, offsets, layout):
    """Compose images of one source."""
    return compose([images] * indices.shape[1], indices, offsets, layout)


def random_images(size):
    """Bright images of every class, in which each pixel counts."""
    images = np.random.default_rng(size).integers(1, 256, (12, size, size))
    return images.astype(np.uint8), np.arange(12) % 6


@pytest.mark.parametrize("size", [28, 8])
@pytest.mark.parametrize(("layout", "tasks"), CASES)
def test_a_layout_equals_its_recomposition_pixel_by_pixel(layout, tasks, size):
    rng = np.random.default_rng(tasks)
    images, _ = random_images(size)
    indices = rng.integers(0, len(images), (4, tasks))
    # Any place on the canvas, corners included, whatever the layout would draw.
    room = {28: 8, 8: 4}[size]
    offsets = rng.integers(0, room + 1, (4, tasks, 2))
    offsets[0], offsets[1] = 0, room
    found = composed(images, indices, offsets, layout)
    expected = canvases([images] * tasks, indices, offsets, add=layout == "jitter")
    if layout == "pamal":
        # The middle of new pixel i lies in this old one; exact in floating point here.
        middle = (np.arange(size) + 0.5) * expected.shape[1] / size
        chosen = np.floor(middle).astype(int)
        expected = expected[:, chosen][:, :, chosen]
    np.testing.assert_array_equal(found, expected)


def test_a_whole_set_called_compiled_and_in_pieces():
    images, labels = map(jnp.asarray, random_images(8))
    key, options = jax.random.key(1), {"pairs": 30, "tasks": 3}
    called = multi_mnist(images, labels, key, **options)
    compiled = jax.jit(partial(multi_mnist, **options))(images, labels, key)
    # Drawn operation by operation, and composed in NumPy.
    drawn = draw_pairs(key, [class_table(labels)], (0, 0, 0), 30, size=8)
    indices, offsets = map(np.asarray, drawn)
    canvas = canvases([np.asarray(images)] * 3, indices, offsets, add=True)
    for a, b, c in zip(called, compiled, (canvas, labels[indices]), strict=True):
        np.testing.assert_array_equal(a, b)
        np.testing.assert_array_equal(a, c)


@pytest.mark.parametrize("size", [28, 8])
def test_pamal_resizes_as_pillow_does(size):
    pillow = pytest.importorskip("PIL.Image", reason="needs pillow")
    images, _ = random_images(size)
    indices = np.array([[0, 1], [2, 3]])
    offsets = np.asarray(place(jnp.zeros((2, 2, 2), jnp.uint32), size, "pamal"))
    found = composed(images, indices, offsets, "pamal")
    whole = canvases([images, images], indices, offsets, add=False)
    for canvas, image in zip(whole, found, strict=True):
        resized = pillow.fromarray(canvas).resize(
            (size, size), pillow.Resampling.NEAREST
        )
        np.testing.assert_array_equal(image, np.asarray(resized))


# --- Bad input ------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"layout": "jiter"}, "unknown layout 'jiter'; did you mean jitter"),
        ({"pairs": 0}, "pairs = 0; compose at least 1"),
        ({"tasks": 1}, "tasks = 1; a canvas holds 2 to 4"),
        ({"tasks": 5}, "tasks = 5; a canvas holds 2 to 4"),
        ({"images": IMAGES[0]}, r"shape \(8, 8\); give square ones"),
        ({"images": IMAGES[:, :7]}, r"shape \(1437, 7, 8\); give square ones"),
        ({"images": IMAGES[:0], "labels": LABELS[:0]}, r"shape \(0, 8, 8\)"),
        ({"images": IMAGES / 255}, "images are float64; give uint8"),
        ({"labels": LABELS[:9]}, r"labels are uint8 of shape \(9,\) for 1437 images"),
        ({"labels": LABELS / 2}, "labels are float64 .* give integers"),
        ({"labels": LABELS * 0}, "2 images of different classes .* hold 1 class;"),
        ({"labels": LABELS % 2, "tasks": 3}, "3 images .* hold 2 classes;"),
        ({"images": [IMAGES] * 2}, "2 arrays of images and 3 of labels for tasks = 3"),
        (
            {"images": [IMAGES, np.zeros((1437, 9, 9), np.uint8)], "tasks": 2},
            r"images of \[8, 9\] rows do not fit",
        ),
    ],
)
def test_bad_input_is_one_line(change, said):
    given = {"images": IMAGES, "labels": LABELS, "pairs": 3} | change
    if isinstance(given["images"], list):
        given["labels"] = [LABELS] * given.setdefault("tasks", 3)
    with pytest.raises(UsageError, match=said) as caught:
        multi_mnist(key=jax.random.key(0), **given)
    assert "\n" not in str(caught.value)


def test_one_class_is_enough_for_pamal():
    multi_mnist(IMAGES[:5], LABELS[:5] * 0, jax.random.key(0), pairs=2, layout="pamal")
