"""What a program sets before JAX starts: flags, and the place of what it compiles."""

import gc
import os
import subprocess
import sys

import pytest

from jaxpareto.backend import collect_rarely, keep_compiled

PROGRAM = """
{before}
import jax
from jaxpareto.backend import keep_compiled
print(keep_compiled())
print(jax.jit(lambda x: (x * 2 + 1).sum())(jax.numpy.arange(5.0)))
"""


def start(home, before=""):
    """Run a program that compiles, in a process of its own; say what it said."""
    environ = {k: v for k, v in os.environ.items() if not k.startswith("JAX_")}
    environ |= {"XDG_CACHE_HOME": str(home), "JAX_PLATFORMS": "cpu"}
    # However soon it is compiled.
    environ["JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS"] = "0"
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM.format(before=before)],
        env=environ,
        capture_output=True,
        text=True,
        check=True,
    )
    assert not done.stderr
    return done.stdout.split()


def kept(folder):
    return {path.name for path in folder.glob("*-cache")}


def test_a_second_start_finds_what_the_first_compiled(tmp_path):
    folder = tmp_path / "jaxpareto" / "jax"
    assert start(tmp_path) == [str(folder), "25.0"]
    first = kept(folder)
    assert first
    # Also where JAX was imported before it was told.
    assert start(tmp_path, "import jax.numpy") == [str(folder), "25.0"]
    assert kept(folder) == first


@pytest.mark.parametrize(("before", "after"), [(700, 50_000), (60_000, 60_000), (0, 0)])
def test_garbage_is_looked_for_less_often_and_never_more(before, after):
    kept = gc.get_threshold()
    try:
        gc.set_threshold(before, 7, 9)
        collect_rarely()
        assert gc.get_threshold() == (after, 7, 9)
    finally:
        gc.set_threshold(*kept)


def test_a_choice_that_was_made_stays(tmp_path):
    environ = {"JAX_COMPILATION_CACHE_DIR": "", "XDG_CACHE_HOME": str(tmp_path)}
    assert keep_compiled(dict(environ)) is None and not any(tmp_path.iterdir())
    smallest = "JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES"
    environ = {"XDG_CACHE_HOME": str(tmp_path), smallest: "5"}
    assert keep_compiled(environ) == tmp_path / "jaxpareto" / "jax"
    assert environ[smallest] == "5"
    assert environ["JAX_COMPILATION_CACHE_DIR"] == str(tmp_path / "jaxpareto" / "jax")


def test_what_was_not_used_for_longest_goes_first(tmp_path):
    folder = tmp_path / "jaxpareto" / "some"
    folder.mkdir(parents=True)
    for name, used in (("old", 3.0), ("older", 2.0), ("oldest", 1.0)):
        (folder / name).write_bytes(bytes(10))
        os.utime(folder / name, (used, used))
    os.utime(folder / "older", (4.0, 2.0))  # written before, but read since
    environ = {"XDG_CACHE_HOME": str(tmp_path)}
    assert keep_compiled(dict(environ), name="some", limit=30) == folder
    assert {path.name for path in folder.iterdir()} == {"old", "older", "oldest"}
    keep_compiled(dict(environ), name="some", limit=25)
    assert {path.name for path in folder.iterdir()} == {"old", "older"}
    keep_compiled(dict(environ), name="some", limit=10)
    assert [path.name for path in folder.iterdir()] == ["older"]


def test_a_damaged_program_is_compiled_anew_without_a_word(tmp_path):
    """As a process leaves it that is killed while it writes."""
    start(tmp_path)
    for path in (tmp_path / "jaxpareto" / "jax").glob("*-cache"):
        path.write_bytes(path.read_bytes()[:50])
    assert start(tmp_path)[1] == "25.0"


def test_nothing_is_kept_where_nothing_can_be_written(tmp_path):
    (tmp_path / "file").touch()
    environ = {"XDG_CACHE_HOME": str(tmp_path / "file")}
    assert keep_compiled(environ) is None and len(environ) == 1


@pytest.mark.parametrize("words", [["--version"], ["front", "--data", "nosuch"]])
def test_the_command_still_says_what_it_says(words, tmp_path):
    found = subprocess.run(
        [sys.executable, "-m", "jaxpareto.cli", *words, "--out", str(tmp_path / "x")],
        env=os.environ | {"XDG_CACHE_HOME": "/dev/null"},
        capture_output=True,
        text=True,
    )
    assert found.returncode == (0 if words[0] == "--version" else 2)
