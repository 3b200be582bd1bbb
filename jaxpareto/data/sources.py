"""Where single images come from: a folder of yours, a download, or this package.

`load_source` looks in this order and never takes one data set for another:

1. `digits` is embedded;
2. the folder named by the call, or by the environment variable `JAXPARETO_DATA`: the
   set's IDX files lie in `<folder>/<name>/`;
3. if no folder is named: tensorflow-datasets downloads the set once and keeps it.
"""

import os
from pathlib import Path

from jaxpareto.data.digits import load_digits
from jaxpareto.data.idx import FILES, Source, load_idx_folder, missing_files
from jaxpareto.data.tfds import URLS, load_tfds
from jaxpareto.errors import RunError, check_name

SOURCES = ("digits", *URLS)
"""The sets of single images: digits, mnist, fashion-mnist, kmnist."""


def load_source(name: str, data_dir: str | os.PathLike[str] | None = None) -> Source:
    """Load a set of single images by name.

    Args:
      name: one of `SOURCES`.
      data_dir: the folder that holds `<name>/` with the four IDX files, or the files
        themselves; None means the folder `JAXPARETO_DATA`, or a download.

    Returns:
      The data set, on the host.

    Raises:
      UsageError: no such set.
      RunError: the files are missing or broken, or the download failed.

    >>> load_source("digits").train_images.shape
    (1437, 8, 8)
    """
    check_name(name, SOURCES, "source")
    if name == "digits":
        return load_digits()
    folder = find_folder(name, data_dir)
    return load_tfds(name) if folder is None else load_idx_folder(folder)


def find_folder(name: str, data_dir: str | os.PathLike[str] | None) -> Path | None:
    """Return the folder with the IDX files of a set; None if no folder was named.

    A folder of the call may hold the four files itself, unless its own name is that of
    another set. One named by the environment serves all sets, so there it may not.
    """
    named = data_dir or os.environ.get("JAXPARETO_DATA")
    if not named:
        return None
    base = Path(named)
    folder = base / name
    if not folder.is_dir():
        other = base.name in SOURCES and base.name != name
        if data_dir and not other and not missing_files(base):
            return base
        folders = f"{folder}/ is not there"
    elif missing := missing_files(folder):
        folders = f"{folder}/ lacks {', '.join(missing)}"
    else:
        return folder
    origin = "the data folder" if data_dir else "JAXPARETO_DATA"
    raise RunError(
        f"{origin} is {base}, and {folders}; put these files of {name} there, plain or "
        f"with the ending .gz: {', '.join(str(folder / file) for file in FILES)}"
    )
