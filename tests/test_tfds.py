"""Downloads through tensorflow-datasets, tried for real on a server of this test.

The server hands out four small IDX files over the loopback address, so nothing here
needs a network.
"""

import gzip
import io
import socket
import sys
import tarfile
import threading
import time
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from importlib.util import find_spec

import numpy as np
import pytest

from jaxpareto.data import cifar, tfds
from jaxpareto.data.idx import FILES, load_idx_folder
from jaxpareto.errors import RunError, UsageError

needs_tfds = pytest.mark.skipif(
    not find_spec("tensorflow_datasets"),
    reason="needs tensorflow-datasets: pip install 'jaxpareto[data]'",
)


def write_files(folder, train=7, test=3, last_label=9):
    """Write the four files of a set of random 28 x 28 images."""
    folder.mkdir(exist_ok=True)
    rng = np.random.default_rng(0)
    for file in FILES:
        n = train if file.startswith("train") else test
        if "images" in file:
            array = rng.integers(0, 256, (n, 28, 28), dtype=np.uint8)
        else:
            array = np.append(np.arange(n - 1) % 10, last_label).astype(np.uint8)
        header = bytes([0, 0, 8, array.ndim])
        header += b"".join(length.to_bytes(4, "big") for length in array.shape)
        packed = gzip.compress(header + array.tobytes())
        (folder / f"{file}.gz").write_bytes(packed)
    return folder


class Quiet(SimpleHTTPRequestHandler):
    """Serve files and log nothing."""

    def log_message(self, format, *args):
        pass


@pytest.fixture
def served(tmp_path, monkeypatch):
    """Serve tmp_path/www as the address of every set."""
    monkeypatch.setattr(tfds.urllib.request, "getproxies", dict)
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    (tmp_path / "www").mkdir()
    handler = partial(Quiet, directory=tmp_path / "www")
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.05,))
        thread.start()
        address = f"http://127.0.0.1:{server.server_address[1]}/"
        for name in tfds.URLS:
            monkeypatch.setitem(tfds.URLS, name, address)
        yield tmp_path / "www"
        server.shutdown()
        thread.join()


@needs_tfds
@pytest.mark.parametrize("name", ["kmnist", "fashion-mnist"])
def test_a_download_is_the_files_and_made_once(tmp_path, served, monkeypatch, name):
    expected = load_idx_folder(write_files(served))
    found = tfds.load_tfds(name, tmp_path / "kept")
    for field, want, got in zip(found._fields, expected, found, strict=True):
        np.testing.assert_array_equal(want, got, err_msg=field)
    # The address is dead now: the copy answers.
    monkeypatch.setitem(tfds.URLS, name, "http://127.0.0.1:9/")
    again = tfds.load_tfds(name, tmp_path / "kept")
    np.testing.assert_array_equal(again.train_images, expected.train_images)
    assert "tensorflow" not in sys.modules


@needs_tfds
def test_a_file_that_is_not_there(tmp_path, served):
    with pytest.raises(RunError, match=r"kmnist: download failed .*404.*--data-dir"):
        tfds.load_tfds("kmnist", tmp_path / "kept")


@needs_tfds
def test_a_file_that_is_broken(tmp_path, served):
    write_files(served, last_label=10)
    with pytest.raises(RunError, match="label 10 at position"):
        tfds.load_tfds("kmnist", tmp_path / "kept")


@needs_tfds
def test_a_server_that_fails_is_asked_twice_and_not_eleven_times(monkeypatch):
    downloader = tfds.require("tensorflow_datasets.core.download.downloader", "data")
    monkeypatch.setattr(downloader, "MAX_RETRIES", 10)
    with pytest.raises(RunError), tfds.download_errors("kmnist", "do it by hand"):
        during = downloader.MAX_RETRIES
        raise ConnectionError("refused\nsecond line")
    after = downloader.MAX_RETRIES
    assert (during, after) == (1, 10)


@needs_tfds
def test_offline_is_one_clear_line_and_quick(tmp_path, monkeypatch):
    def no_network(*args, **kwargs):
        raise socket.gaierror(-2, "Name or service not known")

    monkeypatch.setattr(tfds.urllib.request, "getproxies", dict)
    monkeypatch.setattr(socket, "create_connection", no_network)
    start = time.monotonic()
    with pytest.raises(RunError) as caught:
        tfds.load_tfds("mnist", tmp_path)
    assert time.monotonic() - start < 5
    said = str(caught.value)
    for word in (
        "cannot reach storage.googleapis.com",
        "--data-dir",
        "JAXPARETO_DATA",
        "/mnist/",
    ):
        assert word in said
    assert "\n" not in said


def test_without_tensorflow_datasets_the_extra_and_the_way_round_are_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "tensorflow_datasets", None)
    monkeypatch.setattr(tfds, "_builder_class", tfds._builder_class.__wrapped__)
    with pytest.raises(RunError, match=r"jaxpareto\[data\].*--data-dir"):
        tfds.load_tfds("mnist")


def test_an_unknown_name_names_the_nearest():
    with pytest.raises(UsageError, match="did you mean mnist"):
        tfds.load_tfds("mnits")


def write_archive(folder, name, *, cut_short=0, label=1):
    """Write an archive of two images of each file, as it is published."""
    about = cifar.ARCHIVES[name]
    (folder / name).mkdir(exist_ok=True)
    path = folder / name / about.url.rpartition("/")[2]
    with tarfile.open(path, "w:gz") as tar:
        for number, file in enumerate((*about.train, *about.test)):
            rows = np.zeros((2, about.labels + cifar.PIXELS), np.uint8)
            rows[:, about.labels - 1] = [number % about.classes, label]
            rows[1, about.labels] = 7  # red, upper left
            rows[1, -1] = 9  # blue, lower right
            content = rows.tobytes()[: rows.size - cut_short]
            member = tarfile.TarInfo(f"cifar-{name}/{file}")
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))
    return path


@pytest.mark.parametrize("name", cifar.ARCHIVES)
def test_cifar_from_a_folder(tmp_path, name):
    with pytest.raises(RunError, match=r"is not there; put the archive from https:"):
        cifar.load_cifar(name, tmp_path)
    write_archive(tmp_path, name)
    found = cifar.load_cifar(name, tmp_path)
    files = len(cifar.ARCHIVES[name].train)
    assert found.train_images.shape == (2 * files, 32, 32, 3)
    assert found.train_images[1, 0, 0].tolist() == [7, 0, 0]
    assert found.train_images[1, 31, 31].tolist() == [0, 0, 9]
    wanted = [x for i in range(files) for x in (i, 1)]
    assert found.train_labels.tolist() == wanted and found.classes in (10, 100)
    write_archive(tmp_path, name, cut_short=1)
    with pytest.raises(RunError, match=r"bytes, and an image has 307[34]; download"):
        cifar.load_cifar(name, tmp_path)
    write_archive(tmp_path, name, label=200)
    with pytest.raises(RunError, match="label 200; labels are 0 to"):
        cifar.load_cifar(name, tmp_path)
    path = write_archive(tmp_path, name)
    path.write_bytes(path.read_bytes()[:50])
    with pytest.raises(RunError, match="damaged"):
        cifar.load_cifar(name, tmp_path)


@needs_tfds
def test_cifar_downloads_what_the_folder_would_hold(tmp_path, served, monkeypatch):
    monkeypatch.delenv("JAXPARETO_DATA", raising=False)
    monkeypatch.setenv("TFDS_DATA_DIR", str(tmp_path / "kept"))
    path = write_archive(tmp_path, "cifar100")
    expected = cifar.load_cifar("cifar100", tmp_path)
    path.rename(served / path.name)
    archive = cifar.ARCHIVES["cifar100"]
    address = f"{tfds.URLS['mnist']}{path.name}"
    for url in (address, "http://127.0.0.1:9/"):  # the second time it is dead
        monkeypatch.setitem(cifar.ARCHIVES, "cifar100", archive._replace(url=url))
        found = cifar._download("cifar100", cifar.ARCHIVES["cifar100"])
        for want, got in zip(expected, found, strict=True):
            np.testing.assert_array_equal(want, got)
    dead = archive._replace(url="http://127.0.0.1:9/")
    with pytest.raises(RunError, match=r"cannot reach 127.0.0.1 .*--data-dir"):
        cifar._download("cifar10", dead)


def test_cifar_without_tensorflow_datasets_names_the_way_round(monkeypatch):
    monkeypatch.delenv("JAXPARETO_DATA", raising=False)
    monkeypatch.setitem(sys.modules, "tensorflow_datasets", None)
    monkeypatch.setattr(cifar, "_builder_class", cifar._builder_class.__wrapped__)
    with pytest.raises(
        RunError, match=r"jaxpareto\[data\].*cifar10/ and give --data-dir"
    ):
        cifar.load_cifar("cifar10")
