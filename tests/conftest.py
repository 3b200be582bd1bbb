"""Settings of every test, and the fixtures that more than one file needs.

JAX's settings are environment variables, set before anything imports it, so that the
processes that tests start (the command line, the examples) have the same ones.
"""

import os
import shutil
import tempfile
from importlib import metadata
from pathlib import Path

import pytest

from jaxpareto.backend import collect_rarely, compile_quickly, keep_compiled

# The numbers in the tests are a CPU's; JAX_PLATFORMS=cuda runs the same tests on a GPU.
os.environ.setdefault("JAX_PLATFORMS", "cpu")
# Most of the time of these tests is compilation. The workers of a run, and later runs,
# find what was compiled before; what took less than 0.2 s is compiled again sooner than
# it is kept.
os.environ.setdefault("JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS", "0.2")
if not keep_compiled(name="tests"):  # a folder that is read-only, or chosen already
    os.environ.setdefault("JAX_COMPILATION_CACHE_DIR", tempfile.mkdtemp())
compile_quickly()
collect_rarely()  # an eighth of the time of the tests
# No program here runs long enough to be worth optimising: without it, compilation takes
# two thirds of the time; in one piece, as the cores are busy, a tenth less.
_FLAGS = [os.environ.get("XLA_FLAGS", ""), "--xla_backend_optimization_level=0"]
if metadata.version("jaxlib").startswith("0.10."):  # XLA aborts at an unknown flag
    _FLAGS.append("--xla_cpu_parallel_codegen_split_count=1")
os.environ["XLA_FLAGS"] = " ".join(_FLAGS).strip()
# There may be no screen, and a window would wait for somebody to close it.
os.environ["MPLBACKEND"] = "Agg"

import jax  # noqa: E402  (after the settings that it reads)

# [k] + [k, m] is a mistake in this library more often than it is meant: broadcasting
# over a missing axis is an error here, and the code writes the axis out.
jax.config.update("jax_numpy_rank_promotion", "raise")

from tests import small  # noqa: E402


@pytest.fixture(scope="session")
def trained(tmp_path_factory):
    """Train a small front once: the `Front`, and what its `front.json` holds.

    It serves many files, so no test writes into its folder: `copied` is for that.
    """
    from jaxpareto.train import configure, train_front

    folder = tmp_path_factory.mktemp("runs") / "small"
    front, found = train_front(configure(**small.RUN), folder, quiet=True)
    before = _stamps(folder)
    yield front, found
    assert _stamps(folder) == before, "a test wrote into the run that all share"


@pytest.fixture(scope="module")
def copied(trained, tmp_path_factory) -> Path:
    """Return a copy of the trained run's folder, for the tests of one file."""
    front, _ = trained
    return shutil.copytree(front.folder, tmp_path_factory.mktemp("runs") / "small")


def _stamps(folder: Path) -> dict[Path, int]:
    return {path: path.stat().st_mtime_ns for path in folder.rglob("*")}


@pytest.fixture(scope="session")
def mnist_dir() -> Path:
    """Return the folder that holds `mnist/`, fit for `--data-dir`; or skip the test."""
    folder = os.environ.get("JAXPARETO_DATA")
    if not folder:
        pytest.skip("needs real MNIST: set JAXPARETO_DATA to a folder that has mnist/")
    if not (Path(folder) / "mnist").is_dir():
        pytest.skip(f"needs real MNIST: JAXPARETO_DATA is {folder}, without mnist/")
    return Path(folder)
