"""What a program sets before JAX starts. The library itself sets nothing."""

import contextlib
import gc
import os
import sys
import tempfile
import warnings
from collections.abc import MutableMapping
from importlib import metadata
from pathlib import Path

_FLAG = "--xla_cpu_use_fusion_emitters"
_DEVICES = "--xla_force_host_platform_device_count"


def compile_quickly(environ: MutableMapping[str, str] = os.environ) -> None:
    """Let XLA write a CPU's programs with its older code generator.

    It compiles in 0.6 of the time. Training steps are as fast where preferences share a
    batch, and a tenth to a fifth slower where one sees 256 images; accelerators do not
    read the flag. Only for the versions of XLA where that was measured: one that
    does not know a flag aborts. A choice already made in `XLA_FLAGS` stays.

    Call it before the first computation; later it is without effect.

    >>> compile_quickly(environ := {"XLA_FLAGS": "--xla_cpu_use_fusion_emitters=true"})
    >>> environ
    {'XLA_FLAGS': '--xla_cpu_use_fusion_emitters=true'}
    """
    flags = environ.get("XLA_FLAGS", "")
    if metadata.version("jaxlib").startswith("0.10.") and _FLAG not in flags:
        environ["XLA_FLAGS"] = f"{flags} {_FLAG}=false".strip()


def one_device_per_core(environ: MutableMapping[str, str] = os.environ) -> None:
    """Let a CPU appear as one device for each core, so that small networks share it.

    Each device then trains its own, one after another, in its own cache (see
    `train.members`); accelerators do not read the flag. A choice already made in
    `XLA_FLAGS` stays. It takes the place of `compile_quickly`, whose older code does a
    step of Adam on one small network at a third of the pace.

    Call it before the first computation; later it is without effect.

    >>> one_device_per_core(environ := {"XLA_FLAGS": f"{_DEVICES}=3"})
    >>> environ
    {'XLA_FLAGS': '--xla_force_host_platform_device_count=3'}
    """
    flags = environ.get("XLA_FLAGS", "")
    if _DEVICES not in flags:
        environ["XLA_FLAGS"] = f"{flags} {_DEVICES}={_cores()}".strip()


def collect_rarely(objects: int = 50_000) -> None:
    """Let Python look for garbage that refers to itself less often.

    What JAX makes when it is imported and when it traces mostly stays, and the
    collector goes through it again and again: an eighth of a start. What nothing refers
    to is freed at once all the same.

    Args:
      objects: how many more there are before it looks; Python's own number is 700. A
        larger one that is set already stays, and so does 0, never.

    >>> before = gc.get_threshold()
    >>> collect_rarely()
    >>> gc.get_threshold()[0]
    50000
    >>> gc.set_threshold(*before)
    """
    now, *older = gc.get_threshold()
    if 0 < now < objects:
        gc.set_threshold(objects, *older)


def keep_compiled(
    environ: MutableMapping[str, str] = os.environ,
    *,
    name: str = "jax",
    limit: int = 2 * 2**30,
) -> Path | None:
    """Let JAX keep compiled programs on disk, so that a second start compiles nothing.

    They lie in `~/.cache/jaxpareto/jax`, or under `XDG_CACHE_HOME`. What cannot be read
    or written there is compiled anew, without a word.
    `JAX_COMPILATION_CACHE_DIR` names another place, which is left as it is, and
    `JAX_ENABLE_COMPILATION_CACHE=false` keeps none.

    Args:
      environ: the environment, where JAX finds its settings; those made already stay.
      name: of the folder.
      limit: bytes above which programs are deleted, those not used for longest first.

    Returns:
      The folder; None where it cannot be written to, or the caller has chosen one.

    >>> keep_compiled({"JAX_COMPILATION_CACHE_DIR": "/elsewhere"}) is None
    True
    """
    if "JAX_COMPILATION_CACHE_DIR" in environ:
        return None
    home = Path(environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    folder = home / "jaxpareto" / name
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError:
        return None
    _prune(folder, limit)
    kept = {
        "JAX_COMPILATION_CACHE_DIR": str(folder),
        # However soon compiled and however small: a run has sixty small programs, and
        # they are a second of its start.
        "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": 0.0,
        "JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES": -1,
    }
    for setting in kept.keys() - environ.keys():
        environ[setting] = str(kept[setting])
        # JAX reads the environment when it is imported.
        if environ is os.environ and (jax := sys.modules.get("jax")):
            jax.config.update(setting.lower(), kept[setting])
    failed = "Error (reading|writing) persistent compilation cache entry"
    warnings.filterwarnings("ignore", message=failed)
    return folder


def _prune(folder: Path, limit: int) -> None:
    """Delete the files that were not used for longest, until the rest fits.

    JAX has a limit of its own (`JAX_COMPILATION_CACHE_MAX_SIZE`). It reads a file for
    each program whenever it keeps one more, and when such a file is missing, because a
    process was killed or did without a limit, it keeps no program ever again.
    """
    found = []
    for path in folder.iterdir():
        with contextlib.suppress(OSError):  # another process has deleted it
            about = path.stat()
            # Some file systems do not note when a file was read.
            found.append((max(about.st_atime, about.st_mtime), about.st_size, path))
    size = sum(each for _, each, _ in found)
    for _, each, path in sorted(found):
        if size <= limit:
            return
        with contextlib.suppress(OSError):
            path.unlink()
        size -= each


def _cores() -> int:
    """Count the cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
