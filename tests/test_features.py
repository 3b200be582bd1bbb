"""The feature store: written by real processes that are killed, read, and damaged."""

import errno
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from importlib.util import find_spec
from pathlib import Path

import fake_backbone
import numpy as np
import pytest
from fake_backbone import DIM, FAKE
from fake_prepare import SIDE, dies

from jaxpareto import cli
from jaxpareto.data.features import (
    array_images,
    check_alike,
    consolidate,
    disk,
    extract,
    folder_images,
    images_of,
    open_store,
    stats,
    tfds_images,
    verify,
)
from jaxpareto.data.features.shards import LARGEST, check_range, column_stats
from jaxpareto.errors import RunError, UsageError
from jaxpareto.types import Split, Tasks

ROWS, SHARD, BATCH = 23, 10, 4
needs_pillow = pytest.mark.skipif(
    not find_spec("PIL"), reason="needs Pillow: pip install 'jaxpareto[data]'"
)
needs_tfds = pytest.mark.skipif(
    not find_spec("tensorflow_datasets"),
    reason="needs tensorflow-datasets: pip install 'jaxpareto[data]'",
)


def pictures(rows: int = ROWS):
    """Return images [rows, 5, 5] and labels [rows] of 3 classes."""
    rng = np.random.default_rng(1)
    images = rng.integers(0, 256, (rows, SIDE + 1, SIDE + 1), dtype=np.uint8)
    return images, np.arange(rows) % 3


def make(out, backbone=FAKE, source=None, **settings):
    """Extract the pictures in this process."""
    settings = {"batch_size": BATCH, "shard_rows": SHARD, "workers": 0} | settings
    extract(backbone, source or array_images(*pictures()), out, **settings)
    return out


def content(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A finished store; not to be changed."""
    return make(tmp_path_factory.mktemp("stores") / "made")


@pytest.fixture
def copy(made, tmp_path):
    """A copy of the finished store that a test may spoil."""
    return Path(shutil.copytree(made, tmp_path / "copy"))


# What is stored


def test_rows_are_the_features_of_their_images(made):
    images, labels = pictures()
    expected = np.asarray(FAKE.features(images[:, :SIDE, :SIDE])).astype(np.float16)
    store = open_store(made)
    x, y, ids = store[:]
    assert (len(store), store.dim, store.classes) == (ROWS, DIM, 3)
    np.testing.assert_array_equal(np.sort(ids), np.arange(ROWS))
    assert np.any(ids != np.arange(ROWS)), "the order is mixed"
    np.testing.assert_array_equal(x, expected[ids])
    np.testing.assert_array_equal(y, labels[ids])
    assert [line["rows"] for line in store.manifest.shards] == [10, 10, 3]


def test_a_limit_takes_the_first_rows_of_the_order(made, tmp_path):
    some = open_store(make(tmp_path / "some", limit=12))
    for part, all_of_it in zip(some[:], open_store(made)[:12], strict=True):
        np.testing.assert_array_equal(part, all_of_it)
    assert some.meta["source_rows"] == ROWS


def test_the_seed_decides_on_the_order(made, tmp_path):
    other = open_store(make(tmp_path / "other", seed=1))
    assert np.any(other.ids != open_store(made).ids)


def test_meta_says_what_the_store_is(made):
    meta = json.loads((made / "meta.json").read_text())
    names = ("backbone", "fingerprint", "preprocess", "source", "seed", "dtype")
    told = ["fake", FAKE.fingerprint, FAKE.preprocess, "arrays", 0, "float16"]
    assert [meta[name] for name in names] == told
    assert {"jax", "numpy", "pillow"} <= meta["versions"].keys()
    for name in ("source_sha256", "order_sha256"):
        assert len(meta[name]) == 64


def test_stats_are_those_of_the_rows(made):
    x = open_store(made).arrays().x.astype(np.float64)
    found = stats(made)
    assert (found.rows, found.dim) == (ROWS, DIM)
    np.testing.assert_array_equal(found.counts, [8, 8, 7])
    np.testing.assert_allclose(found.mean, x.mean(0), rtol=1e-13)
    np.testing.assert_allclose(found.std, x.std(0), rtol=1e-10)
    np.testing.assert_array_equal(found.low, x.min(0))
    np.testing.assert_array_equal(found.high, x.max(0))
    assert found.bytes == sum(len(each) for each in content(made).values())


def test_column_stats_go_through_blocks():
    x = np.random.default_rng(0).normal(size=(50, 3)).astype(np.float16)
    np.testing.assert_allclose(column_stats(x, block=7), column_stats(x), rtol=1e-13)


# Interruptions

WORDS = ["extract", "digits", "--backbone", "fake", "--weights", "w", "--quiet"]
WORDS += ["--limit", "300", "--batch-size", "4", "--shard-rows", "6"]


# A file of JAX's own would hit the limits that a test sets.
NO_CACHE = {"JAX_ENABLE_COMPILATION_CACHE": "0"}


def child(*words, pause=0.0):
    """Start the command line in a process of its own, `pause` seconds an image."""
    here = Path(__file__).parent
    path = os.pathsep.join(map(str, (here, here.parent)))
    # Tests that a script starts in the background ignore Ctrl-C, and so would it.
    listen = "import signal; signal.signal(signal.SIGINT, signal.default_int_handler)"
    program = f"{listen}; import sys, fake_backbone; sys.exit(fake_backbone.main())"
    return subprocess.Popen(
        [sys.executable, "-c", program, *map(str, words)],
        env=os.environ | {"PYTHONPATH": path, "PAUSE": str(pause), **NO_CACHE},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


def finished(folder: Path) -> int:
    path = folder / "manifest.jsonl"
    return path.read_bytes().count(b"\n") if path.exists() else 0


def wait_for(folder: Path, lines: int, process) -> None:
    while finished(folder) < lines and process.poll() is None:
        time.sleep(0.001)


@pytest.fixture
def call(monkeypatch):
    """The command line in this process, with the fake backbone."""
    monkeypatch.setitem(sys.modules, "jaxpareto.backbones", fake_backbone.BACKBONES)
    return lambda *words: cli.main([str(word) for word in words])


@pytest.fixture
def whole(call, tmp_path):
    """What the killed stores have to become."""
    assert call(*WORDS, "--workers", 0, "--out", tmp_path / "whole") == 0
    return content(tmp_path / "whole")


def test_killed_and_resumed_ends_in_the_same_bytes(whole, call, tmp_path):
    """`kill -9` at three moments, the last with worker processes, which end too."""
    cut, rng = tmp_path / "cut", np.random.default_rng()
    for workers, lines in ((0, 0), (0, 3), (2, 5)):
        words = [*WORDS, "--out", cut, "--resume", "--workers", workers]
        process = child(*words)
        wait_for(cut, finished(cut) + lines, process)
        time.sleep(rng.uniform(0, 0.02))
        os.kill(process.pid, signal.SIGKILL)
        process.communicate(timeout=30)  # until the workers let go of the pipes, too
        assert process.returncode == -signal.SIGKILL, "it must not end by itself"
    assert 5 < finished(cut) < 50
    assert call(*WORDS, "--workers", 0, "--out", cut, "--resume") == 0
    assert content(cut) == whole


def test_ctrl_c_is_one_line_and_resumable(whole, call, tmp_path):
    cut = tmp_path / "cut"
    process = child(*WORDS, "--out", cut, "--workers", 1, pause=0.02)
    wait_for(cut, 4, process)
    os.killpg(process.pid, signal.SIGINT)  # a terminal sends it to the workers as well
    out, err = process.communicate(timeout=30)
    assert (process.returncode, out) == (130, "")
    assert err.strip() == "interrupted; continue with --resume"
    assert call(*WORDS, "--workers", 0, "--out", cut, "--resume") == 0
    assert content(cut) == whole


class Killed(BaseException):
    """No program catches a kill."""


@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize("what", ["fsync", "replace"])
def test_a_crash_at_any_step_costs_nothing(tmp_path, monkeypatch, what, when):
    """Die at each call that makes something last, in turn; continue; compare."""
    real, calls = getattr(os, what), 0

    def dies(*args):
        nonlocal calls
        calls += 1
        if calls == step and when == "before":
            raise Killed
        real(*args)
        if calls == step:
            raise Killed

    step, out = 0, tmp_path / "out"
    expected = content(make(tmp_path / "whole", limit=12))
    while True:
        step, calls = step + 1, 0
        monkeypatch.setattr(os, what, dies)
        try:
            make(out, limit=12)
        except Killed:
            monkeypatch.setattr(os, what, real)
            make(out, limit=12, resume=True)
        else:
            break
        assert content(out) == expected, f"died {when} call {step} of os.{what}"
        shutil.rmtree(out)
    assert step > 8


def test_a_manifest_line_cut_short_is_written_again(made, copy):
    path, expected = copy / "manifest.jsonl", content(made)
    raw = expected[path.name]
    last = raw[:-1].rindex(b"\n") + 1
    for size in (last + 1, last + 40, len(raw) - 1):
        path.write_bytes(raw[:size])
        with pytest.raises(RunError, match="cut short"):
            verify(copy)
        with pytest.raises(RunError, match="20 of 23 rows: continue with"):
            open_store(copy)
        make(copy, resume=True)
        assert content(copy) == expected


def test_only_what_it_wrote_itself_is_cleared_away(made, copy):
    ours = ("tmp-x-00003.npy", "tmp-y.npy", "tmp-meta.json", "id-00003.npy")
    theirs = ("tmp-mine", "x-mean.npy", "notes")
    for name in (*ours, *theirs):
        (copy / name).write_text("")
    make(copy, resume=True)
    assert content(copy) == content(made) | dict.fromkeys(theirs, b"")


def test_resuming_what_is_finished_changes_nothing(copy, made):
    times = {path: path.stat().st_mtime_ns for path in copy.iterdir()}
    make(copy, resume=True)
    assert times == {path: path.stat().st_mtime_ns for path in copy.iterdir()}


OTHERS = {
    "fingerprint was fff": {"backbone": FAKE._replace(fingerprint="e" * 64)},
    "backbone was fake, now real": {"backbone": FAKE._replace(name="real")},
    "preprocess was the corner": {"backbone": FAKE._replace(preprocess="the middle")},
    "source_sha256 was": {"source": array_images(pictures()[0], np.zeros(ROWS, int))},
    "order_sha256 was": {"seed": 5},
    "batch_size was 4, now 5": {"batch_size": 5},
    "shard_rows was 10, now 11": {"shard_rows": 11},
    "rows was 23, now 20": {"limit": 20},
}


@pytest.mark.parametrize("message", OTHERS)
def test_another_store_is_not_continued(made, message):
    before = content(made)
    with pytest.raises(UsageError, match=message) as caught:
        make(made, **OTHERS[message], resume=True)
    assert "\n" not in str(caught.value)
    assert content(made) == before


def test_a_store_that_exists_needs_resume(made):
    with pytest.raises(UsageError, match="exists; name another --out, or add --resume"):
        make(made)


def test_a_folder_of_something_else_is_left_alone(tmp_path):
    (tmp_path / "tmp-thesis").write_text("mine")
    with pytest.raises(UsageError, match="holds tmp-thesis and no store"):
        make(tmp_path, resume=True)
    (tmp_path / "thesis").write_text("mine")
    with pytest.raises(UsageError, match="is a file"):
        make(tmp_path / "thesis", resume=True)
    assert content(tmp_path) == {"thesis": b"mine", "tmp-thesis": b"mine"}


def test_two_processes_do_not_write_to_one_store(copy):
    with disk.locked(copy):
        for write in (lambda: make(copy, resume=True), lambda: consolidate(copy)):
            with pytest.raises(RunError, match="another process is writing"):
                write()


# Damage


def test_every_flipped_byte_is_found(copy):
    """Of each file the first and last bytes and some between, one bit at a time."""
    assert consolidate(copy)
    verify(copy)
    rng = np.random.default_rng(0)
    files = sorted(copy.iterdir())
    assert len(files) == 2 + 3 * 4 + 3
    for path in files:
        raw = path.read_bytes()
        places = {0, len(raw) - 1, *rng.integers(0, len(raw), 12).tolist()}
        for place in places:
            spoilt = bytearray(raw)
            spoilt[place] ^= 1 << int(rng.integers(8))
            path.write_bytes(spoilt)
            with pytest.raises(RunError, match=path.name) as caught:
                verify(copy)
            assert "\n" not in str(caught.value)
        path.write_bytes(raw)
    verify(copy)


def test_what_is_missing_or_too_short_is_named(copy):
    consolidate(copy)
    for name in ("x-00001.npy", "stats-00000.npy", "id.npy"):
        raw = (copy / name).read_bytes()
        (copy / name).write_bytes(raw[:-1])
        with pytest.raises(RunError, match=f"{name} has [0-9,]+ bytes, not"):
            open_store(copy)
        (copy / name).unlink()
        for look in (open_store, verify):
            with pytest.raises(RunError, match=f"{name} is missing"):
                look(copy)
        (copy / name).write_bytes(raw)
    (copy / "meta.json").unlink()
    with pytest.raises(UsageError, match="holds no feature store"):
        open_store(copy)


def test_a_damaged_store_is_repaired_as_the_message_says(made, copy):
    path = copy / "y-00001.npy"
    path.write_bytes(path.read_bytes()[:-1] + b"x")
    with pytest.raises(RunError, match=r"y-00001.npy is damaged.*line of shard 1"):
        make(copy, resume=True)
    manifest = copy / "manifest.jsonl"
    lines = manifest.read_bytes().splitlines(keepends=True)
    manifest.write_bytes(b"".join(lines[:2]))
    make(copy, resume=True)
    assert content(copy) == content(made)


def test_a_damaged_shard_is_not_consolidated(copy):
    path = copy / "x-00002.npy"
    path.write_bytes(path.read_bytes()[:-1] + b"x")
    with pytest.raises(RunError, match=r"x-00002[.]npy is damaged"):
        consolidate(copy)
    with pytest.raises(RunError, match="is in shards"):
        _ = open_store(copy).x


def test_consolidating_is_repeated_after_a_crash(copy):
    consolidate(copy)
    expected = content(copy)
    manifest = copy / "manifest.jsonl"
    manifest.write_bytes(expected[manifest.name][:-30])
    with pytest.raises(RunError, match="cut short"):
        verify(copy)
    assert consolidate(copy)
    assert content(copy) == expected


def test_a_consolidated_store_is_one_array(copy):
    shards = open_store(copy)[:]
    assert consolidate(copy) and not consolidate(copy)
    store = open_store(copy)
    assert isinstance(store.x, np.memmap)
    for name, part in zip(("x", "y", "id"), shards, strict=True):
        np.testing.assert_array_equal(np.load(copy / f"{name}.npy"), part)
    np.testing.assert_array_equal(store.x, shards.x)


# Disks


@pytest.fixture
def mounted(tmp_path):
    """A disk of 128 KiB, where this process may mount one."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=128k", "tmpfs", folder]
    if (
        not shutil.which("mount")
        or subprocess.run(mount, capture_output=True).returncode
    ):
        pytest.skip("needs the right to mount a small disk")
    yield folder
    subprocess.run(["umount", folder], check=True)


def one_line(error) -> str:
    assert "\n" not in str(error.value)
    return str(error.value)


def test_a_full_disk_is_one_line_and_keeps_what_is_finished(made, mounted):
    out = mounted / "out"
    filler = mounted / "filler"
    filler.write_bytes(bytes(128 * 1024 - 11 * 4096))  # room for a shard or two
    with pytest.raises(RunError, match=r"cannot write .*No space left") as caught:
        make(out)
    assert "--resume" in one_line(caught)
    kept = content(out)
    assert 2 <= finished(out) <= 3 and not any(n.startswith("tmp-") for n in kept)
    with pytest.raises(RunError, match="No space left"):
        make(out, resume=True)
    filler.unlink()
    make(out, resume=True)
    assert content(out) == content(made)


def test_a_full_disk_while_consolidating(mounted):
    out = make(mounted / "out")
    (mounted / "filler").touch()
    with open(mounted / "filler", "ab", buffering=0) as file, pytest.raises(OSError):
        while True:
            file.write(bytes(4096))
    with pytest.raises(RunError, match=r"cannot write .*x.npy .No space left"):
        consolidate(out)
    verify(out)


def test_a_file_that_may_not_grow_is_one_line(tmp_path, monkeypatch):
    """Where no disk can be mounted: a limit on the size of files stops the writing."""
    monkeypatch.setenv("LARGEST_FILE", "2000")
    process = child(*WORDS, "--workers", 0, "--out", tmp_path / "out")
    _, err = process.communicate(timeout=60)
    assert process.returncode == 1
    assert err.count("\n") == 1 and os.strerror(errno.EFBIG) in err
    assert 2 <= finished(tmp_path / "out") < 50


def test_a_read_only_disk_is_one_line_and_keeps_what_is_finished(made, mounted):
    out = make(mounted / "out", limit=12)
    before = content(out)
    subprocess.run(["mount", "-o", "remount,ro", mounted], check=True)
    with pytest.raises(RunError, match="Read-only file system") as caught:
        make(mounted / "other")
    one_line(caught)
    with pytest.raises(RunError, match="Read-only file system"):
        consolidate(out)
    make(out, limit=12, resume=True)  # it is finished: nothing to write
    verify(out)
    assert open_store(out).rows == 12
    assert content(out) == before


def test_a_folder_without_write_permission_is_one_line(tmp_path):
    if os.geteuid() == 0:
        pytest.skip("the superuser writes where nobody may")
    tmp_path.chmod(0o500)
    try:
        with pytest.raises(RunError, match="Permission denied") as caught:
            make(tmp_path / "out")
        one_line(caught)
    finally:
        tmp_path.chmod(0o700)


# Numbers, images and labels that cannot be used


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf, 65504.1, -1e5])
def test_what_float16_cannot_hold_is_named(value):
    x = np.zeros((3, 2), np.float32)
    x[0], x[1, 1] = LARGEST, value
    check_range(x[:1], np.array([7]), str)
    with pytest.raises(RunError, match=f"^5: feature 1 is {value:g}; .*65504"):
        check_range(x, np.array([7, 5, 9]), str)


def test_a_feature_that_is_no_number_stops_at_its_image(made, tmp_path):
    bad = int(open_store(made).ids[21])

    def features(images):
        wrong = (images == IMAGES[None, bad, :SIDE, :SIDE]).all((1, 2))
        return FAKE.features(images) / ~wrong[:, None]

    with pytest.raises(RunError, match=f"image {bad} of arrays: feature 0 is -?inf"):
        make(tmp_path / "out", FAKE._replace(features=features))
    assert finished(tmp_path / "out") == 3, "two shards and the first line"
    make(tmp_path / "out", resume=True)
    assert content(tmp_path / "out") == content(made)


def test_a_backbone_of_another_width(tmp_path):
    with pytest.raises(RunError, match=r"features of backbone fake are \[4, 6\], not"):
        make(tmp_path / "out", FAKE._replace(dim=7))


def test_a_prepare_that_cannot_travel(tmp_path):
    there = FAKE._replace(prepare=lambda image: image)
    with pytest.raises(UsageError, match="`prepare` cannot be sent to a process"):
        make(tmp_path / "out", there, workers=1)


def test_workers_do_without_jax():
    program = (
        "import sys, jaxpareto.data.features.work, jaxpareto.cli; print(*sys.modules)"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert {"jax", "jaxlib"}.isdisjoint(done.stdout.split())


def test_a_worker_that_is_killed_is_not_waited_for(tmp_path):
    there = FAKE._replace(prepare=dies)
    with pytest.raises(RunError, match="a worker process ended early"):
        make(tmp_path / "out", there, workers=1)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"batch_size": 0}, "batch size must be at least 1, found 0"),
        ({"shard_rows": 0}, "shard rows must be at least 1"),
        ({"limit": 0}, "limit must be at least 1"),
        ({"seed": -1}, "seed must be at least 0"),
        ({"workers": -1}, "workers must be at least 0"),
    ],
)
def test_numbers_out_of_range_leave_nothing_behind(tmp_path, settings, message):
    with pytest.raises(UsageError, match=message):
        make(tmp_path / "out", **settings)
    assert not (tmp_path / "out").exists()


IMAGES, LABELS = pictures()


@pytest.mark.parametrize(
    ("images", "labels", "message"),
    [
        (IMAGES.astype(np.float32), LABELS, r"images float32\[23, 5, 5\]; give uint8"),
        (IMAGES[:, :, 0], LABELS, r"images uint8\[23, 5\]"),
        (IMAGES[:0], LABELS[:0], r"images uint8\[0, 5, 5\]"),
        (IMAGES, LABELS[:-1], r"labels int64\[22\] for 23 images"),
        (IMAGES, LABELS / 1, r"labels float64\[23\]"),
    ],
)
def test_arrays_that_do_not_fit_together(images, labels, message):
    with pytest.raises(UsageError, match=message):
        array_images(images, labels)


@pytest.mark.parametrize("label", [3, -1])
def test_a_label_out_of_range_is_named(tmp_path, label):
    labels = LABELS.copy()
    labels[17] = label
    source = array_images(IMAGES, labels, classes=3)
    with pytest.raises(RunError, match=f"image 17 of arrays: label {label}, but there"):
        make(tmp_path / "out", source=source)


# Folders


def write_folder(base: Path, rows: int = ROWS) -> Path:
    """Write the pictures as PNG files: classes b, a.x and c, some in a subfolder."""
    from PIL import Image

    images, labels = pictures(rows)
    for i, (image, label) in enumerate(zip(images, labels, strict=True)):
        folder = base / ("a.x", "b", "c")[label]
        if i % 4 == 0:
            folder /= "more"
        folder.mkdir(parents=True, exist_ok=True)
        name = f"{i:02d}.{'PNG' if i % 5 == 0 else 'png'}"
        Image.fromarray(image).save(folder / name, format="png")
    (base / "b" / "notes.txt").write_text("no image")
    (base / "notes.png").write_text("in no class")
    return base


@needs_pillow
def test_a_folder_is_listed_as_torchvision_does(tmp_path):
    found = folder_images(write_folder(tmp_path / "set", 12))
    assert (found.names, found.classes, found.rows) == (("a.x", "b", "c"), 3, 12)
    listed = [found.item(i) for i in range(12)]
    names = [os.path.relpath(path, tmp_path / "set") for path, _ in listed]
    assert names == [
        *("a.x/03.png", "a.x/06.png", "a.x/09.png", "a.x/more/00.PNG"),
        *("b/01.png", "b/07.png", "b/10.PNG", "b/more/04.png"),
        *("c/02.png", "c/05.PNG", "c/11.png", "c/more/08.png"),
    ]
    assert [label for _, label in listed] == [0] * 4 + [1] * 4 + [2] * 4


@needs_pillow
def test_a_folder_through_workers_gives_the_rows_of_the_arrays(made, tmp_path):
    source = folder_images(write_folder(tmp_path / "set"))
    calls = []
    out = tmp_path / "out"
    make(out, source=source, workers=2, report=lambda *each: calls.append(each))
    assert calls == [(n, ROWS) for n in (0, 4, 8, 10, 14, 18, 20, 23)]
    store, arrays = open_store(out), open_store(made)
    assert store.meta["class_names"] == ["a.x", "b", "c"]
    which = [int(Path(source.item(i)[0]).stem) for i in store.ids]
    place = np.argsort(arrays.ids)[which]
    np.testing.assert_array_equal(store[:].x, arrays[place].x)
    np.testing.assert_array_equal(store.labels, arrays[place].y)
    # A broken file is named by the worker that met it; the store can be continued.
    victim = Path(source.item(int(store.ids[15]))[0])
    raw = victim.read_bytes()
    victim.write_bytes(b"\x89PNG" + bytes(len(raw) - 4))
    with pytest.raises(RunError, match=f"cannot identify.*{victim}") as caught:
        make(tmp_path / "second", source=source, workers=2)
    assert "\n" not in str(caught.value)
    assert finished(tmp_path / "second") == 2
    victim.write_bytes(raw)
    make(tmp_path / "second", source=source, resume=True)
    assert content(tmp_path / "second") == content(out)


@needs_pillow
def test_a_changed_folder_is_another_source(tmp_path):
    base = write_folder(tmp_path / "set")
    before = folder_images(base).sha256
    os.rename(base, tmp_path / "moved")
    assert folder_images(tmp_path / "moved").sha256 == before
    with open(tmp_path / "moved" / "b" / "01.png", "ab") as file:
        file.write(b"!")
    assert folder_images(tmp_path / "moved").sha256 != before


def test_folders_that_hold_nothing(tmp_path):
    with pytest.raises(RunError, match="has no subfolders"):
        folder_images(tmp_path)
    (tmp_path / "cat").mkdir()
    with pytest.raises(RunError, match=r"cat holds no image; accepted are [.]jpg"):
        folder_images(tmp_path)


@pytest.mark.parametrize("batch_size", [4, 23])
def test_images_of_another_shape_are_named(made, tmp_path, batch_size):
    odd = int(open_store(made).ids[14])

    def shorter(image):
        rows = 3 if np.array_equal(image, IMAGES[odd]) else SIDE
        return image[:rows, :SIDE]

    other = FAKE._replace(prepare=shorter)
    with pytest.raises(RunError, match=f"image {odd} of arrays: prepared as .3, 4"):
        make(tmp_path / "out", other, batch_size=batch_size)


# tensorflow-datasets


@pytest.fixture(scope="module")
def tfds_folder(tmp_path_factory):
    """A set with image files, prepared by tensorflow-datasets itself."""
    pytest.importorskip("PIL")
    tfds = pytest.importorskip("tensorflow_datasets")
    pytest.importorskip("importlib_resources")
    base = tmp_path_factory.mktemp("tfds")
    files = write_folder(base / "set", 6)
    paths = sorted(files.rglob("[0-9]*.*"), key=lambda path: path.stem)

    class LittlePictures(tfds.core.GeneratorBasedBuilder):
        """Six files."""

        VERSION = tfds.core.Version("1.0.0")

        def _info(self):
            names = {"image": tfds.features.Image(), "name": tfds.features.Text()}
            names["label"] = tfds.features.ClassLabel(names=["u", "v", "w"])
            return tfds.core.DatasetInfo(
                builder=self,
                features=tfds.features.FeaturesDict(names),
                disable_shuffling=True,
            )

        def _split_generators(self, _):
            return {"train": self._generate_examples()}

        def _generate_examples(self):
            for i, path in enumerate(paths):
                example = {"image": path.read_bytes(), "name": path.name}
                yield i, example | {"label": i % 3}

    builder = LittlePictures(data_dir=base / "kept", file_format="array_record")
    builder.download_and_prepare()
    return base / "kept"


@needs_tfds
def test_a_tfds_split_gives_the_rows_of_the_arrays(tfds_folder, made, tmp_path):
    source = images_of("tfds:little_pictures/train", tfds_folder)
    assert (source.rows, source.names) == (6, ("u", "v", "w"))
    assert isinstance(source.read(0)[0], bytes), "prepare decodes it, not TFDS"
    store = open_store(make(tmp_path / "out", source=source, workers=1))
    place = np.argsort(open_store(made).ids)[store.ids]
    np.testing.assert_array_equal(store[:].x, open_store(made)[place].x)
    np.testing.assert_array_equal(store.labels, store.ids % 3)
    assert store.meta["source"] == "tfds:little_pictures/1.0.0/train"
    assert "tensorflow" not in sys.modules
    half = tfds_images("little_pictures/train[:50%]", tfds_folder)
    assert half.rows == 3 and half.sha256 != source.sha256


@needs_tfds
@pytest.mark.parametrize(
    ("words", "error", "message"),
    [
        ("tfds:train", UsageError, "names no split; as tfds:NAME/train"),
        ("tfds:little_pictures/test", UsageError, "split of little_pictures 'test'"),
        ("tfds:little_pictures/train[:x]", RunError, "tfds:little_pictures/train"),
        ("tfds:litle_pictures/train", RunError, "litle_pictures"),
        ("tfds:mnist/train", RunError, "tfds build mnist --file_format=array_record"),
    ],
)
def test_tfds_words_that_lead_nowhere(tfds_folder, words, error, message):
    with pytest.raises(error, match=message) as caught:
        images_of(words, tfds_folder)
    assert "\n" not in str(caught.value)


def test_without_tensorflow_datasets_the_extra_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "tensorflow_datasets", None)
    with pytest.raises(RunError, match=r"jaxpareto\[data\]"):
        images_of("tfds:mnist/train")


# Words for sources


def test_named_sources():
    assert images_of("digits").rows == 1437
    assert images_of("digits/test").about == "digits/test"
    tasks = Tasks(*[Split(IMAGES, np.stack([LABELS, LABELS[::-1]], 1))] * 3, classes=3)
    found = images_of("multi-mnist/test", task=1, load=lambda name, data_dir: tasks)
    assert found.item(5)[1] == LABELS[::-1][5]
    assert (found.about, found.classes) == ("multi-mnist/test, task 1", 3)
    with pytest.raises(UsageError, match="task 2 of multi-mnist; give 0 to 1"):
        images_of("multi-mnist", task=2, load=lambda name, data_dir: tasks)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("nowhere", "nowhere is no folder; accepted: a folder with"),
        ("digits/tset", "did you mean test"),
        ("multi-digits/tset", "did you mean test"),
    ],
)
def test_wrong_sources(words, message):
    with pytest.raises(UsageError, match=message):
        images_of(words)


# Reading


@pytest.fixture(scope="module")
def wide(tmp_path_factory):
    """A store of several stretches and windows, when these are small."""
    folder = tmp_path_factory.mktemp("stores") / "wide"
    return open_store(make(folder, source=array_images(*pictures(150)), shard_rows=40))


@pytest.mark.parametrize("batch_size", [1, 7, 16, 40, 150, 1000])
@pytest.mark.parametrize("small", [False, True])
def test_an_epoch_has_every_row_once(wide, batch_size, small, monkeypatch):
    if small:
        monkeypatch.setattr("jaxpareto.data.features.read.BLOCK", 8)
        monkeypatch.setattr("jaxpareto.data.features.read.WINDOW", 2 * DIM * 30)
    got = list(wide.batches(batch_size, seed=1, epoch=2))
    sizes = [len(each.y) for each in got]
    assert set(sizes[:-1]) <= {batch_size} and sizes[-1] <= batch_size
    assert len(sizes) == -(-150 // batch_size)
    x, y, ids = map(np.concatenate, zip(*got, strict=True))
    np.testing.assert_array_equal(np.sort(ids), np.arange(150))
    place = np.argsort(wide.ids)[ids]
    np.testing.assert_array_equal(x, wide[place].x)
    np.testing.assert_array_equal(y, wide.labels[place])


@pytest.mark.parametrize("batch_size", [7, 40, 150])
def test_the_order_can_be_known_without_reading(wide, batch_size, monkeypatch):
    monkeypatch.setattr("jaxpareto.data.features.read.BLOCK", 8)
    monkeypatch.setattr("jaxpareto.data.features.read.WINDOW", 2 * DIM * 30)
    plan = {"seed": 1, "epoch": 2}
    orders = wide.orders(batch_size, **plan)
    for rows, batch in zip(orders, wide.batches(batch_size, **plan), strict=True):
        np.testing.assert_array_equal(wide.ids[rows], batch.ids)
        np.testing.assert_array_equal(wide.read(np.sort(rows)), wide[np.sort(rows)].x)


def test_rows_that_lie_apart_are_read_apart(wide):
    for rows in ([], [149], [3, 4, 5, 60, 61, 140]):
        rows = np.array(rows, int)
        np.testing.assert_array_equal(wide.read(rows), wide[rows].x)


def test_the_order_of_an_epoch_depends_on_seed_and_epoch_alone(wide):
    def order(**settings):
        return np.concatenate([each.ids for each in wide.batches(16, **settings)])

    first = order(seed=1, epoch=2)
    np.testing.assert_array_equal(order(seed=1, epoch=2), first)
    for other in ({"seed": 2, "epoch": 2}, {"seed": 1, "epoch": 3}):
        assert np.any(order(**other) != first)
    np.testing.assert_array_equal(order(shuffle=False), wide.ids)


def test_a_stream_can_be_left_and_fails_in_words(wide, tmp_path, monkeypatch):
    monkeypatch.setattr("jaxpareto.data.features.read.BLOCK", 8)
    monkeypatch.setattr("jaxpareto.data.features.read.WINDOW", 2 * DIM * 8)
    next(wide.batches(4)).x[0]
    copy = shutil.copytree(wide.folder, tmp_path / "copy")
    store = open_store(copy)
    os.truncate(Path(copy) / "x-00002.npy", 200)
    with pytest.raises(RunError, match=r"x-00002\.npy ends too soon"):
        list(store.batches(4))
    with pytest.raises(UsageError, match="batch size 0"):
        store.batches(0)


def test_rows_by_number(wide):
    everything = wide.arrays()
    assert everything.x.dtype == np.float32
    for rows in ([3, 149, 3, -1], slice(35, 90, 7), np.array([], int)):
        got = wide[rows]
        assert got.x.dtype == np.float16
        for part, whole in zip(got, everything, strict=True):
            np.testing.assert_array_equal(part, whole[rows])
    for rows in ([150], [-151], [0.5], [[1]]):
        with pytest.raises(UsageError, match="rows "):
            wide[rows]


def test_stores_that_do_not_go_together(made, wide, tmp_path):
    check_alike(open_store(made), wide)
    for change in ({"fingerprint": "e" * 64}, {"preprocess": "the middle"}):
        other = make(tmp_path / next(iter(change)), FAKE._replace(**change), limit=4)
        with pytest.raises(UsageError, match=f"differ in {next(iter(change))}: "):
            check_alike(wide, open_store(other))


# The command line


def test_the_chain_of_commands(call, tmp_path, capsys):
    words = ["extract", "digits/test", "--backbone", "fake", "--weights", "w"]
    words += ["--workers", 0, "--batch-size", 32, "--shard-rows", 100]
    out = tmp_path / "store"
    assert call(*words, "--out", out) == 0
    said = capsys.readouterr()
    assert "360 x 6 features of digits/test by fake, 10 classes" in said.out
    assert call("extract", *words[1:6], "--out", out, "--resume", "--quiet") == 0
    assert call("store", "verify", out) == 0
    assert "360 rows in 4 shards" in capsys.readouterr().out
    assert call("store", "stats", out) == 0
    said = capsys.readouterr().out
    assert "360 of 360" in said and "min 33  median 36  max 37" in said
    assert call("store", "consolidate", out) == 0
    assert call("store", "consolidate", out) == 0
    assert "already there" in capsys.readouterr().out
    (out / "y.npy").write_bytes(b"")
    assert call("store", "verify", out) == 1
    assert "y.npy is damaged" in capsys.readouterr().err


@pytest.mark.long
def test_a_run_of_this_library_as_backbone(call, tmp_path, capsys):
    run, out = tmp_path / "run", tmp_path / "store"
    words = ["--train-pairs", 400, "--test-pairs", 100, "--batch-size", 40]
    # As the run of test_cli.py, so that its compiled programs serve here too.
    assert call("front", *words, "--epochs", 2, "--out", run, "--quiet") == 0
    words = ["extract", "multi-digits/test", "--backbone", run, "--out", out]
    words += ["--workers", 0, "--quiet"]
    assert call(*words) == 2
    assert "is a run: which network of it? --pref" in capsys.readouterr().err
    assert call(*words, "--pref", "0.5,0.5", "--task", 1) == 0
    assert "100 x 1 features" in capsys.readouterr().out, "as many as the run has"
    assert open_store(out).meta["source"] == "multi-digits/test, task 1"
    assert call(*words, "--pref", "0.5,0.5", "--weights", "w", "--resume") == 2
    assert "is a run: no --weights" in capsys.readouterr().err


BAD = [
    (["extract", "digits", "--backbone", "fake"], 2, "required: --out"),
    (["extract", "digits", "--out", "{tmp}/x"], 2, "required: --backbone"),
    ([*WORDS[:4], "--out", "{tmp}/x"], 2, "--weights FILE is missing"),
    ([*WORDS, "--out", "{made}"], 2, "exists; name another --out"),
    ([*WORDS, "--out", "{made}", "--resume"], 2, "holds another store: rows was 23"),
    ([*WORDS, "--out", "{tmp}/x", "--pref", "0.5,0.5"], 2, "--pref is for a run"),
    ([*WORDS, "--out", "{tmp}/x", "--workers", "two"], 2, "invalid int value: 'two'"),
    (["extract", "nowhere", *WORDS[2:], "--out", "{tmp}/x"], 2, "is no folder"),
    (
        ["extract", "digits", "--backbone", "fkae", "--out", "{tmp}/x"],
        2,
        "unknown backbone 'fkae'; did you mean fake?",
    ),
    (["store", "verfy", "{made}"], 2, "did you mean verify"),
    (["store", "verify", "{tmp}"], 2, "holds no feature store"),
    (["store", "stats", "{tmp}/none"], 2, "holds no feature store"),
    (["store", "stats"], 2, "required: STORE"),
]


@pytest.mark.parametrize(("words", "status", "message"), BAD)
def test_bad_words_give_one_clear_line(
    made, call, tmp_path, capsys, words, status, message
):
    before = content(made)
    assert call(*(word.format(tmp=tmp_path, made=made) for word in words)) == status
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err.count("\n") == 1 and message in said.err
    assert list(tmp_path.iterdir()) == [] and content(made) == before
