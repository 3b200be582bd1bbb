"""The network itself in the page: ONNX and a runtime for it, in a folder beside it.

A page that is opened from a disk may not read other files, but it may load scripts. So
the runtime (`runtime.js`, onnxruntime-web) and the network (`model.js`) are scripts
that hold their bytes in base64. The runtime comes from its npm package, through npm,
once: a pinned version whose SHA-512 is checked, kept in the user's cache folder.
"""

import base64
import gzip
import hashlib
import os
import shutil
import subprocess
import tarfile
import tempfile
from pathlib import Path

from jaxpareto.errors import RunError

PACKAGE, VERSION = "onnxruntime-web", "1.30.0"
SHA512 = (
    "q0y+JrrtukXSzsBWEMccVfqX25LRmosXHF+CaRJmg8pZ"
    "ClzcV7svNc4rKY3jL02Vb7QmRMDs1SigqR4CXAfKYQ=="
)
ARCHIVE = f"{PACKAGE}-{VERSION}.tgz"
_LICENSE = f"/* {PACKAGE} {VERSION}, (c) Microsoft Corporation, MIT License */\n"
_PARTS = {
    "module": "package/dist/ort.wasm.bundle.min.mjs",
    "binary": "package/dist/ort-wasm-simd-threaded.wasm",
}


def write_live(model: bytes, folder: Path) -> None:
    """Write a network, and what runs it in a browser, into a folder.

    Args:
      model: an ONNX file that reads `preference` and `images`.
      folder: made if it is not there; two files in it are replaced.

    Raises:
      RunError: the runtime is not at hand, or a file cannot be written.
    """
    with tarfile.open(archive()) as package:
        parts = {name: _member(package, path) for name, path in _PARTS.items()}
    fields = ", ".join(
        f'{name}: "{_base64(gzip.compress(part, 9, mtime=0))}"'
        for name, part in parts.items()
    )
    try:
        folder.mkdir(parents=True, exist_ok=True)
        _write(
            folder / "runtime.js", f"{_LICENSE}var jaxparetoRuntime = {{{fields}}};\n"
        )
        _write(folder / "model.js", f'var jaxparetoModel = "{_base64(model)}";\n')
    except OSError as error:
        raise RunError(f"cannot write {folder}: {error.strerror or error}") from error


def archive() -> Path:
    """Return the runtime's package from the cache; fetch it if it is not there.

    Raises:
      RunError: there is no npm, npm could not fetch it, or it is not what was pinned.
    """
    path = cache() / ARCHIVE
    remedy = f"--live needs {ARCHIVE} of the npm registry, once, in {path.parent}"
    if not path.exists():
        _fetch(path, remedy)
    _check(path, remedy)
    return path


def _check(path: Path, remedy: str) -> None:
    """Refuse another file than the one that was pinned."""
    found = base64.b64encode(hashlib.sha512(path.read_bytes()).digest()).decode()
    if found != SHA512:
        raise RunError(f"{path} is not the package that was pinned; {remedy}")


def cache() -> Path:
    """Return the folder where fetched files are kept."""
    home = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(home) / "jaxpareto"


def _fetch(path: Path, remedy: str) -> None:
    """Let npm bring the package, whole or not at all."""
    npm = shutil.which("npm")
    if npm is None:
        raise RunError(f"{remedy}; npm would fetch it, and is not installed")
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=path.parent) as folder:
        words = [npm, "pack", f"{PACKAGE}@{VERSION}", "--ignore-scripts"]
        words += ["--fetch-retries=1", "--fetch-timeout=60000"]
        try:
            subprocess.run(
                words, cwd=folder, check=True, capture_output=True, timeout=300
            )
            _check(Path(folder) / ARCHIVE, remedy)
            os.replace(Path(folder) / ARCHIVE, path)
        except (subprocess.SubprocessError, OSError) as error:
            raise RunError(
                f"{remedy}; npm could not fetch it: is there a network?"
            ) from error


def _member(package: tarfile.TarFile, name: str) -> bytes:
    file = package.extractfile(name)
    assert file is not None, name  # the package is the pinned one
    return file.read()


def _base64(data: bytes) -> str:
    return base64.b64encode(data).decode()


def _write(path: Path, text: str) -> None:
    unfinished = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    unfinished.write_text(text)
    os.replace(unfinished, path)
