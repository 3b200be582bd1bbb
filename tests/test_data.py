"""Files, sources, data sets by name, and mini-batches."""

import gzip
import hashlib
import itertools
import subprocess
import sys
from functools import partial
from importlib import import_module

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import ndimage

from jaxpareto.data import (
    DATASETS,
    fresh,
    load_source,
    load_tasks,
    mirror_images,
    read_idx,
    shift_images,
    stored,
    warp_images,
    whole,
)
from jaxpareto.data import sources as sources_module
from jaxpareto.data.digits import load_digits
from jaxpareto.data.idx import FILES, load_idx_folder
from jaxpareto.errors import RunError, UsageError
from jaxpareto.types import Split

TRAIN_IMAGES, TRAIN_LABELS, TEST_IMAGES, TEST_LABELS = FILES


def idx_bytes(array):
    """Write an array of bytes as IDX, by hand."""
    header = bytes([0, 0, 8, array.ndim])
    lengths = b"".join(length.to_bytes(4, "big") for length in array.shape)
    return header + lengths + array.astype(np.uint8).tobytes()


def numbered(n, first):
    """Make n images whose outermost pixels, at both ends, spell the image's number.

    In the layout `corners` those of the first and the second image stay visible.
    """
    images = np.zeros((n, 28, 28), np.uint8)
    numbers = first + np.arange(n)
    images[:, 0, 0] = images[:, -1, -1] = numbers // 250
    images[:, 0, 1] = images[:, -1, -2] = numbers % 250
    return images, (numbers * 7 + numbers // 10) % 10


def read_numbers(canvases):
    """Read the numbers [n, 2] of the two images on each canvas."""
    first, second = canvases[:, 0, :2].astype(int), canvases[:, -1, :-3:-1].astype(int)
    return np.stack([first @ [250, 1], second @ [250, 1]], axis=1)


def write_set(folder, first=0, train=200, test=50):
    """Write a data set of numbered images: training, then test."""
    folder.mkdir(parents=True)
    arrays = *numbered(train, first), *numbered(test, first + train)
    for file, array in zip(FILES, arrays, strict=True):
        (folder / file).write_bytes(idx_bytes(array))
    return folder


@pytest.fixture(autouse=True)
def no_data_folder(monkeypatch):
    """Read no folder of the person who runs the tests."""
    monkeypatch.delenv("JAXPARETO_DATA", raising=False)


# --- IDX files ------------------------------------------------------------------------


@pytest.mark.parametrize("shape", [(5,), (2, 3), (4, 3, 2), (0, 3, 3)])
@pytest.mark.parametrize("ending", ["", ".gz"])
def test_read_idx_reads_what_was_written(tmp_path, shape, ending):
    array = np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)
    raw = idx_bytes(array)
    path = tmp_path / f"file-ubyte{ending}"
    path.write_bytes(gzip.compress(raw) if ending else raw)
    found = read_idx(path)
    assert found.dtype == np.uint8
    np.testing.assert_array_equal(found, array)


GOOD = idx_bytes(np.arange(6))
PACKED = gzip.compress(GOOD, mtime=0)


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("a", None, "not found; give the path"),
        ("a", b"", "wrong magic number ''"),
        ("a", b"\0\0\x08", "wrong magic number '00 00 08'"),
        ("a", b"\0\0\x0d\1" + GOOD[4:], "wrong magic number '00 00 0d 01'"),
        ("a", b"\0\0\x08\0", "wrong magic number '00 00 08 00'"),
        ("a", b"\0\0\x08\xff", "wrong magic number '00 00 08 ff'"),
        ("a", GOOD[:7], "truncated inside its header; download it again"),
        (
            "a",
            GOOD[:-1],
            r"truncated: .* 6 bytes of data for shape \(6,\), and 5 follow",
        ),
        ("a", GOOD + b"\n", "followed by trailing bytes: .* and 7 follow"),
        ("a", PACKED, "is compressed; rename it to a.gz"),
        ("a.gz", GOOD, "not a gzip file .* or drop the ending .gz"),
        ("a.gz", b"<html>", "not a gzip file .it starts with b'<html>'.; download it"),
        ("a.gz", PACKED[:-9], "truncated gzip file; download it again"),
        ("a.gz", PACKED[:4], "truncated gzip file"),
        ("a.gz", PACKED[:-8] + bytes(8), "damaged gzip file .*CRC"),
        ("a.gz", PACKED[:10] + b"\xff" + PACKED[11:], "damaged gzip file .*block type"),
        ("a.gz", gzip.compress(GOOD[:-1], mtime=0), "truncated: .* and 5 follow"),
    ],
)
def test_a_broken_file_is_one_line_that_names_it(tmp_path, name, content, said):
    path = tmp_path / name
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(RunError, match=said) as caught:
        read_idx(path)
    assert str(caught.value).startswith(f"{path}: ")
    assert "\n" not in str(caught.value)


def test_a_folder_in_place_of_a_file(tmp_path):
    with pytest.raises(RunError, match=r"cannot be read .*directory"):
        read_idx(tmp_path)


def test_a_folder_gives_its_four_arrays_plain_or_packed(tmp_path):
    folder = write_set(tmp_path / "set", train=6, test=4)
    packed = folder / f"{TEST_LABELS}.gz"
    packed.write_bytes(gzip.compress((folder / TEST_LABELS).read_bytes()))
    (folder / TEST_LABELS).unlink()
    source = load_idx_folder(folder)
    expected = *numbered(6, 0), *numbered(4, 6)
    for found, want in zip(source[:4], expected, strict=True):
        np.testing.assert_array_equal(found, want)
    assert source.classes == 10


@pytest.mark.parametrize(
    ("file", "array", "said"),
    [
        (TRAIN_LABELS, None, f"{TRAIN_LABELS} .plain or .gz. not found; put the four"),
        (TRAIN_LABELS, np.zeros(5), f"{TRAIN_IMAGES} holds 6 images and .* 5 labels"),
        (
            TEST_LABELS,
            np.array([0, 10, 1, 2]),
            f"{TEST_LABELS}: label 10 at position 1",
        ),
        (TEST_LABELS, np.zeros((4, 1)), r"wrong magic number 2050 .* expected 2049"),
        (TEST_IMAGES, np.zeros(4), r"wrong magic number 2049 .* expected 2051"),
        (TEST_IMAGES, np.zeros((4, 9, 9)), r"different data sets"),
    ],
)
def test_files_that_do_not_belong_together(tmp_path, file, array, said):
    folder = write_set(tmp_path / "set", train=6, test=4)
    (folder / file).unlink()
    if array is not None:
        (folder / file).write_bytes(idx_bytes(array))
    with pytest.raises(RunError, match=said):
        load_idx_folder(folder)


def test_an_empty_set_is_refused(tmp_path):
    folder = write_set(tmp_path / "set", train=6, test=0)
    with pytest.raises(RunError, match=r"holds 0 images and .* 0 labels"):
        load_idx_folder(folder)


def test_real_mnist_is_the_published_one(mnist_dir):
    source = load_idx_folder(mnist_dir / "mnist")
    assert (len(source.train_images), len(source.test_images)) == (60_000, 10_000)
    published = "ff7bcfd416de33731a308c3f266cc351222c34898ecbeaf847f06e48f7ec33f2"
    header = bytes([0, 0, 8, 1]) + (10_000).to_bytes(4, "big")
    raw = header + source.test_labels.tobytes()
    assert hashlib.sha256(raw).hexdigest() == published


# --- Sources --------------------------------------------------------------------------


def test_the_embedded_digits_are_those_of_scikit_learn():
    datasets = pytest.importorskip("sklearn.datasets", reason="needs scikit-learn")
    original = datasets.load_digits()
    found = load_digits()
    images = np.concatenate([found.train_images, found.test_images])
    labels = np.concatenate([found.train_labels, found.test_labels])
    np.testing.assert_array_equal(images, np.rint(original.images * 255 / 16))
    np.testing.assert_array_equal(labels, original.target)
    assert (len(found.train_images), images.dtype, images.max()) == (
        1437,
        np.uint8,
        255,
    )


def test_digits_need_no_folder_and_read_none(tmp_path):
    assert load_source("digits", tmp_path / "absent").train_images.shape[1:] == (8, 8)


def test_an_unknown_source_names_the_nearest(tmp_path):
    for folder in (None, tmp_path):
        with pytest.raises(UsageError, match="'mnits'; did you mean mnist"):
            load_source("mnits", folder)


def test_the_named_folder_goes_before_the_environment(tmp_path, monkeypatch):
    write_set(tmp_path / "a" / "mnist", first=0)
    write_set(tmp_path / "b" / "mnist", first=1000)
    monkeypatch.setenv("JAXPARETO_DATA", str(tmp_path / "b"))
    assert load_source("mnist").train_images[0, 0, 0] == 4
    assert load_source("mnist", tmp_path / "a").train_images[0, 0, 0] == 0


def test_a_named_folder_may_hold_the_files_itself(tmp_path, monkeypatch):
    folder = write_set(tmp_path / "mine")
    assert len(load_source("kmnist", folder).train_images) == 200
    # Not when the set has a folder of its own there: that one counts, full or not.
    (folder / "kmnist").mkdir()
    with pytest.raises(RunError, match="kmnist/ lacks train-images"):
        load_source("kmnist", folder)
    # Nor through the environment, which names one folder for all sets.
    monkeypatch.setenv("JAXPARETO_DATA", str(folder))
    with pytest.raises(RunError, match=r"JAXPARETO_DATA is .*mnist/ is not there"):
        load_source("mnist")


def test_no_set_is_taken_for_another(tmp_path):
    folder = write_set(tmp_path / "mnist")
    assert len(load_source("mnist", folder).train_images) == 200
    with pytest.raises(RunError, match="fashion-mnist/ is not there"):
        load_source("fashion-mnist", folder)


def test_a_named_folder_without_the_files_names_each_expected_path(tmp_path):
    with pytest.raises(RunError) as caught:
        load_source("fashion-mnist", tmp_path)
    for file in FILES:
        assert str(tmp_path / "fashion-mnist" / file) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_only_without_any_folder_it_is_downloaded(tmp_path, monkeypatch):
    asked = []
    monkeypatch.setattr(sources_module, "load_tfds", asked.append)
    load_source("kmnist")
    monkeypatch.setenv("JAXPARETO_DATA", "")
    load_source("mnist")
    with pytest.raises(RunError):
        load_source("mnist", tmp_path)
    assert asked == ["kmnist", "mnist"]


# --- Data sets by name ----------------------------------------------------------------


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A data folder, and `multi-mnist` made from the numbered images in it."""
    folder = tmp_path_factory.mktemp("data")
    write_set(folder / "mnist", first=0)
    write_set(folder / "fashion-mnist", first=1000)
    return folder, load_small("multi-mnist", data_dir=folder)


load_small = partial(load_tasks, layout="corners", train_pairs=500, test_pairs=100)


def numbers_of(split):
    return read_numbers(np.asarray(split.images))


def test_a_set_has_the_sizes_and_types_it_promises(made):
    _, data = made
    for split, n in ((data.train, 450), (data.validation, 50), (data.test, 100)):
        assert (split.images.shape, split.labels.shape) == ((n, 36, 36), (n, 2))
        assert (split.images.dtype, split.labels.dtype) == (jnp.uint8, jnp.int32)
    assert data.classes == 10


def test_the_splits_share_no_source_image(made):
    _, data = made
    train, held, test = (
        set(numbers_of(split).ravel())
        for split in (data.train, data.validation, data.test)
    )
    kept = set(read_numbers(np.asarray(data.sources[0][0]))[:, 0])
    assert train <= kept and len(train) > 175
    assert held <= set(range(200)) - kept and len(held) > 15
    assert test <= set(range(200, 250)) and len(test) > 40
    assert len(kept) == 180


def test_the_labels_are_those_of_the_images(made):
    _, data = made
    _, labels = numbered(250, 0)
    for split in (data.train, data.validation, data.test):
        np.testing.assert_array_equal(split.labels, labels[numbers_of(split)])
    images, found = data.sources[1]
    numbers = read_numbers(np.asarray(images))[:, 0]
    np.testing.assert_array_equal(found, labels[numbers])


def test_one_source_is_held_once_and_two_are_held_apart(made):
    folder, data = made
    assert len(data.sources) == 2 and data.sources[0] is data.sources[1]
    both = load_small("fashion-and-mnist", data_dir=folder)
    numbers = numbers_of(both.train)
    assert numbers[:, 0].min() >= 1000 and numbers[:, 1].max() < 200
    first, second = (read_numbers(np.asarray(x))[:, 0] for x, _ in both.sources)
    assert first.min() >= 1000 and second.max() < 200
    # The two are cut independently: not by one permutation.
    assert set(first - 1000) != set(second)


def test_a_seed_says_it_all(made):
    folder, data = made
    again = load_small("multi-mnist", data_dir=folder)
    other = load_small("multi-mnist", data_dir=folder, seed=1)
    assert all(map(np.array_equal, jax.tree.leaves(data), jax.tree.leaves(again)))
    assert not np.array_equal(data.train.images, other.train.images)
    assert not np.array_equal(data.test.images, other.test.images)
    assert not np.array_equal(data.sources[0][1], other.sources[0][1])


def test_the_bytes_of_a_whole_set_are_the_recorded_ones():
    data = load_tasks("multi-digits", train_pairs=200, test_pairs=50, seed=3)
    parts = [np.asarray(x).tobytes() for x in jax.tree.leaves(data)]
    recorded = "3ce356389038d63fafd6695d77ae1591d1a2de82d4982b0b4ea51219ef0ac940"
    assert hashlib.sha256(b"".join(parts)).hexdigest() == recorded


def test_nothing_held_out(made):
    data = load_small("multi-mnist", data_dir=made[0], validation=0)
    assert data.validation.images.shape == (0, 36, 36)
    assert data.validation.labels.shape == (0, 2)
    assert len(data.train.labels) == 500
    assert len(data.sources[0][1]) == 200


def test_the_published_sizes():
    for name in ("multi-mnist", "multi-fashion", "multi-kmnist", "fashion-and-mnist"):
        assert DATASETS[name][1:] == (120_000, 20_000)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"name": "multi-mnits"}, "unknown data set .*did you mean multi-mnist"),
        ({"layout": "corner"}, "unknown layout 'corner'; did you mean corners"),
        ({"validation": 1}, "validation = 1; give 0 <= validation < 1"),
        ({"validation": -0.1}, "validation = -0.1; give"),
        ({"validation": float("nan")}, "validation = nan; give"),
        ({"train_pairs": 1}, "1 training pairs .of which 1 for validation."),
        ({"train_pairs": 0}, "0 training pairs"),
        ({"test_pairs": 0}, "0 test pairs; each split needs at least 1"),
        ({"seed": -1}, "seed = -1; give 0 <= seed"),
        ({"seed": 2**31}, "seed = 2147483648; give"),
        ({"tasks": 1}, r"tasks = 1; accepted for multi-digits: \(2, 3, 4\)"),
        ({"name": "fashion-and-mnist", "tasks": 3}, r"tasks = 3; .*and-mnist: \(2,\)"),
    ],
)
def test_bad_words_are_one_line(change, said):
    given = {"name": "multi-digits"} | change
    with pytest.raises(UsageError, match=said) as caught:
        load_tasks(given.pop("name"), **given)
    assert "\n" not in str(caught.value)


def test_one_folder_is_not_two_sources(tmp_path):
    folder = write_set(tmp_path / "mine")
    with pytest.raises(
        RunError, match="fashion-mnist and mnist are two; name the folder"
    ):
        load_tasks("fashion-and-mnist", data_dir=folder)


# --- Mini-batches ---------------------------------------------------------------------


def epoch(batches, key):
    """Take all mini-batches of an epoch in one scan: [steps, b, ...]."""

    @jax.jit
    def scanned(data, key):
        plan = batches.begin(data, key)

        def step(carry, i):
            return carry, batches.take(data, plan, i)

        return jax.lax.scan(step, None, jnp.arange(batches.steps))[1]

    return scanned(batches.data, key)


def test_stored_takes_each_example_once_an_epoch():
    numbers = jnp.arange(10, dtype=jnp.int32)
    images = jnp.broadcast_to(numbers[:, None, None], (10, 3, 3)).astype(jnp.uint8)
    split = Split(images, jnp.stack([numbers, -numbers], axis=1))
    batches = stored(split, 5)
    taken = [epoch(batches, jax.random.key(seed)) for seed in range(2)]
    orders = [one.labels[:, :, 0].ravel().tolist() for one in taken]
    assert [sorted(order) for order in orders] == [list(range(10))] * 2
    assert orders[0] != orders[1] and sorted(orders[0]) != orders[0]
    np.testing.assert_array_equal(taken[0].images[..., 2, 2], taken[0].labels[..., 0])
    np.testing.assert_array_equal(taken[0].labels[..., 0], -taken[0].labels[..., 1])


def test_stored_drops_the_incomplete_batch():
    split = Split(jnp.zeros((10, 3, 3)), jnp.arange(20).reshape(10, 2))
    batches = stored(split, 4)
    labels = epoch(batches, jax.random.key(0)).labels
    assert labels.shape == (2, 4, 2)
    assert len(set(labels.ravel().tolist())) == 16


@pytest.mark.parametrize("batch_size", [0, 11])
def test_stored_refuses_a_batch_that_does_not_fit(batch_size):
    split = Split(jnp.zeros((10, 3, 3)), jnp.zeros((10, 2)))
    with pytest.raises(UsageError, match=f"batch size {batch_size} for 10 examples"):
        stored(split, batch_size)


def test_whole_gives_all_examples_at_every_step():
    split = Split(jnp.arange(12.0).reshape(3, 2, 2), jnp.zeros((3, 2), jnp.int32))
    batches = whole(split, steps=4)
    assert batches.steps == 4
    plan = batches.begin(batches.data, jax.random.key(0))
    for i in range(4):
        batch = batches.take(batches.data, plan, i)
        np.testing.assert_array_equal(batch.images, split.images)
    with pytest.raises(UsageError, match="0 steps"):
        whole(split, steps=0)


def test_fresh_composes_new_pairs_of_the_sources_at_every_step(made):
    _, data = made
    batches = fresh(data.sources, batch_size=20, steps=3, layout="corners")
    assert len(batches.data.images) == 1  # one source for both tasks
    taken = epoch(batches, jax.random.key(0))
    assert taken.images.shape == (3, 20, 36, 36)
    numbers = np.stack([read_numbers(np.asarray(images)) for images in taken.images])
    _, labels = numbered(250, 0)
    np.testing.assert_array_equal(taken.labels, labels[numbers])
    assert (taken.labels[..., 0] != taken.labels[..., 1]).all()
    assert set(numbers.ravel()) <= set(
        read_numbers(np.asarray(data.sources[0][0]))[:, 0]
    )
    assert len({tuple(pair) for pair in numbers.reshape(-1, 2)}) > 55
    # Step i of an epoch is the same by itself.
    plan = batches.begin(batches.data, jax.random.key(0))
    alone = jax.jit(batches.take)(batches.data, plan, 2)
    np.testing.assert_array_equal(alone.images, taken.images[2])


def test_fresh_with_one_source_per_task_and_one_for_three(made):
    folder, _ = made
    mnist, fashion = (load_source(s, folder) for s in ("mnist", "fashion-mnist"))
    pairs = [(s.train_images, s.train_labels) for s in (fashion, mnist)]
    batches = fresh(pairs, batch_size=30, steps=1, layout="corners")
    numbers = read_numbers(np.asarray(epoch(batches, jax.random.key(0)).images[0]))
    assert numbers[:, 0].min() >= 1000 and numbers[:, 1].max() < 200
    batches = fresh(pairs[:1], batch_size=30, steps=1, tasks=3)
    labels = np.asarray(epoch(batches, jax.random.key(0)).labels[0])
    assert all(len(set(row)) == 3 for row in labels.tolist())


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"batch_size": 0}, "batch size 0 and 3 steps; give at least 1"),
        ({"steps": 0}, "batch size 5 and 0 steps"),
        ({"layout": "pamel"}, "unknown layout 'pamel'; did you mean pamal"),
        ({"tasks": 3}, "2 arrays of images and 2 of labels for tasks = 3"),
    ],
)
def test_fresh_refuses_bad_words(change, said):
    digits = load_digits()
    source = digits.train_images, digits.train_labels
    with pytest.raises(UsageError, match=said):
        fresh([source, source], **({"batch_size": 5, "steps": 3} | change))


# --- What an import loads -------------------------------------------------------------


def test_importing_the_data_room_loads_jax_and_numpy_alone():
    program = """
import sys, jax, jax.numpy, numpy
before = set(sys.modules)
import jaxpareto.data
tops = {name.partition('.')[0] for name in set(sys.modules) - before}
print(*sorted(tops - set(sys.stdlib_module_names)))
"""
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert done.stdout.split() == ["jaxpareto"]


def test_every_exported_name_is_there():
    room = import_module("jaxpareto.data")
    assert all(hasattr(room, name) for name in room.__all__)


# -- images that move


def test_an_image_moves_by_whole_pixels_and_what_leaves_is_lost():
    """Each is one of the 25 images that SciPy shifts, and all 25 come up."""
    image = np.arange(1, 31, dtype=np.uint8).reshape(5, 6)
    images = np.repeat(image[None], 400, axis=0)
    shifted = jax.jit(shift_images)(images, jax.random.key(1), jnp.int32(2))
    by = list(itertools.product(range(-2, 3), repeat=2))
    known = {ndimage.shift(image, each, order=0, cval=0).tobytes() for each in by}
    found = [each.tobytes() for each in np.asarray(shifted)]
    assert shifted.dtype == np.uint8 and set(found) == known and len(known) == 25
    assert max(found.count(each) for each in known) < 40, "16 of each are expected"
    still = jax.jit(shift_images)(images, jax.random.key(1), jnp.int32(0))
    np.testing.assert_array_equal(still, images)


def test_a_warp_is_an_affine_map_that_scipy_does_too():
    """The map is recovered from images of ramps, then done by SciPy to other images."""
    rng = np.random.default_rng(0)
    key, most, (h, w) = jax.random.key(3), 0.2, (12, 9)
    y, x = np.mgrid[:h, :w].astype(np.float32)
    warp = jax.jit(warp_images)
    count, half = 30, np.array([h, w]) / 2
    many = [np.repeat(x[None], count, axis=0) for x in (y, x, rng.random((h, w)))]
    rows, columns, noise = (np.asarray(warp(each, key, most)) for each in many)
    inner = slice(4, 8), slice(3, 6)  # where no warp of this strength leaves the image
    at = np.stack([y, x, np.ones_like(y)], axis=-1)[inner].reshape(-1, 3)
    seen = set()
    for i in range(count):
        found = np.stack([rows[i][inner].ravel(), columns[i][inner].ravel()], axis=1)
        maps, misfit, *_ = np.linalg.lstsq(at, found, rcond=None)
        assert misfit.max() < 1e-7, "not affine"
        other = ndimage.affine_transform(
            many[2][i], maps[:2].T, maps[2], order=1, mode="grid-constant"
        )
        np.testing.assert_allclose(noise[i], other, atol=1e-4)
        # Back to the six numbers, in units of half the side.
        centre = half - 0.5
        turned = maps[:2].T * half[None] / half[:, None] - np.eye(2)
        moved = (centre @ maps[:2] + maps[2] - centre) / half
        six = np.append(turned, moved)
        assert np.abs(six).max() < most + 1e-5
        seen.add(tuple(np.sign(six)))
    assert len(seen) > 15, "all signs come up"


def test_a_warp_keeps_the_type_and_colours_together():
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, size=(5, 6, 7, 3), dtype=np.uint8)
    key = jax.random.key(1)
    warped = jax.jit(warp_images)(images, key, 0.3)
    assert warped.dtype == np.uint8
    for channel in range(3):
        alone = warp_images(images[..., channel].astype(np.float32), key, 0.3)
        np.testing.assert_allclose(warped[..., channel], np.round(alone), atol=1)
    np.testing.assert_array_equal(warp_images(images, key, 0.0), images)


def test_colour_images_move_whole_and_half_are_mirrored():
    """Each is found among the 9 shifts of itself or its mirror, colours together."""
    rng = np.random.default_rng(0)
    images = rng.integers(1, 256, size=(40, 4, 5, 3), dtype=np.uint8)

    @jax.jit
    def run(images):
        turned = mirror_images(images, jax.random.key(1))
        return shift_images(turned, jax.random.key(2), jnp.int32(1))

    used = []
    for image, moved in zip(images, np.asarray(run(images)), strict=True):
        for mirrored in (False, True):
            own = image[:, ::-1] if mirrored else image
            room = np.pad(own, ((1, 1), (1, 1), (0, 0)))
            for y, x in np.ndindex(3, 3):
                if np.array_equal(room[y : y + 4, x : x + 5], moved):
                    used.append((mirrored, y, x))
    assert len(used) == len(images) and len(set(used)) > 10
