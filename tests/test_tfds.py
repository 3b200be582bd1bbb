"""Downloads through tensorflow-datasets, tried for real on a server of this test.

The server hands out four small IDX files over the loopback address, so nothing here
needs a network.
"""

import gzip
import socket
import sys
import threading
import time
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from importlib.util import find_spec

import numpy as np
import pytest

from jaxpareto.data import tfds
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
    with pytest.raises(RunError), tfds._download_errors("kmnist"):
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
