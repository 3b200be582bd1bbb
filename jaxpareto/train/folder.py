"""The folder of a run: what may be written where, and the settings that it keeps.

`config.json` of a run holds its settings and what they were run with, `settings.json`
those of an experiment. They are written once; whoever continues must ask for the same.
"""

import dataclasses
import json
import platform
import sys
from collections.abc import Callable, Iterator, Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any

import jax

from jaxpareto.errors import UsageError
from jaxpareto.train.log import read_json, write_json
from jaxpareto.train.processes import wait_for_all

OWN = "fit_front"
"""The kind of a run whose functions are the caller's, as its `config.json` says."""

OWN_NUMBERS = {
    "epochs",
    "batch_size",
    "prefs_per_step",
    "split_batch",
    "learning_rate",
    "seed",
}
"""Settings that each run of `fit_front` has kept from the first version on."""

_PACKAGES = ("jaxpareto", "jax", "jaxlib", "flax", "optax", "orbax-checkpoint")


def flag(name: str) -> str:
    """Spell a setting as on the command line.

    >>> flag("batch_size")
    '--batch-size'
    """
    return "--" + name.replace("_", "-")


def differences(
    stored: Any, asked: Any, spell: Callable[[str], str] = flag
) -> Iterator[str]:
    """Say how two configurations, of one dataclass, differ: a phrase for each field."""
    for each in dataclasses.fields(stored):
        old, new = getattr(stored, each.name), getattr(asked, each.name)
        if old != new:
            yield f"{spell(each.name)} was {old}, now {new}"


def make_empty(folder: Path) -> None:
    """Make a folder that nothing is in yet.

    Raises:
      UsageError: it is a file, or holds something.
    """
    if folder.is_file():
        raise UsageError(f"--out {folder} is a file; name a folder")
    if folder.exists() and any(folder.iterdir()):
        raise UsageError(
            f"{folder} is not empty and holds something else; name a new --out"
        )
    folder.mkdir(parents=True, exist_ok=True)


def check_same(
    stored: Mapping[str, Any],
    asked: Mapping[str, Any],
    said: str,
    remedy: str = "name a new --out",
) -> None:
    """Refuse to go on with other settings than those that are stored.

    Args:
      stored: as read back from JSON.
      asked: for; may hold what JSON turns into lists.
      said: how the line begins, as `"runs/x holds a run"`.
      remedy: how it ends.

    Raises:
      UsageError: a setting differs; the line names it.

    >>> check_same({"epochs": 3, "sizes": [1, 2]}, {"epochs": 3, "sizes": (1, 2)}, "x")
    """
    asked = json.loads(json.dumps(asked))
    other = [name for name in asked if stored.get(name) != asked[name]]
    if other:
        raise UsageError(f"{said} with another {', '.join(other)}; {remedy}")


def claim(
    folder: Path,
    settings: Mapping[str, Any],
    *,
    file: str = "settings.json",
    what: str = "a run",
) -> None:
    """Make the folder of an experiment, or check that it holds this very one.

    Args:
      folder: its own.
      settings: what it must be given again to go on.
      file: in the folder, that keeps them.
      what: it is, in words.

    Raises:
      UsageError: the folder is a file, or holds something else.
      RunError: the file is damaged.
    """
    path = folder / file
    if path.exists():
        return check_same(read_json(path), settings, f"{folder} holds {what}")
    make_empty(folder)
    write_json(path, settings)


def check_folder(
    folder: Path,
    config: Any,
    *,
    resume: bool,
    read: Callable[[Path], Any],
    spell: Callable[[str], str] = flag,
    remedy: str = "leave those options out",
) -> None:
    """Refuse an output folder that must not be written to.

    Args:
      folder: where the run shall be.
      config: what is asked for, a dataclass.
      resume: whether a run that is there shall be continued.
      read: `read(folder) -> config` of the run that is there.
      spell: how messages write the name of a setting.
      remedy: what to do about settings that differ from those of the run.

    Raises:
      UsageError: it holds another run, or something that is no run.
    """
    out, again = spell("out"), spell("resume")
    if folder.exists() and not folder.is_dir():
        raise UsageError(f"{out} {folder} is a file; name a folder")
    if (folder / "config.json").exists():
        if not resume:
            raise UsageError(
                f"{folder} holds another run; name a new folder with {out}, or "
                f"continue that run with {again}"
            )
        found = list(differences(read(folder), config, spell))
        if found:
            raise UsageError(
                f"{again}: {folder} holds a different configuration "
                f"({'; '.join(found)}); {remedy}, or name a new {out}"
            )
    elif folder.exists() and any(
        not entry.name.endswith(".tmp") for entry in folder.iterdir()
    ):
        raise UsageError(
            f"{folder} is not empty and holds no run; name a new folder with {out}"
        )


def read_config(folder: Path, *, own: bool = False) -> dict[str, Any]:
    """Read `config.json`.

    Args:
      folder: of the run.
      own: whether it may be one of `fit_front`, which nobody can continue or load
        without its functions.

    Raises:
      UsageError: the folder holds no run, or one of `fit_front`.
      RunError: the file is damaged.
    """
    path = folder / "config.json"
    if not path.exists():
        raise UsageError(_no_run(folder))
    content = read_json(path, "start the run anew")
    if not own and is_own(content):
        raise UsageError(
            f"{folder} holds a run of fit_front, whose functions are not kept: call "
            f"fit_front again with the same ones, folder={str(folder)!r} and "
            "resume=True"
        )
    return content


def _no_run(folder: Path) -> str:
    """Say that a folder holds no run, and name the runs inside it, if there are any."""
    inside = [
        path.parent
        for path in sorted(folder.glob("*/config.json"))
        if '"shape"' in path.read_text(errors="replace")  # else it is another's
    ]
    if not inside:
        return f"{folder} holds no run (there is no {folder / 'config.json'})"
    more = f" and {len(inside) - 3} more" if len(inside) > 3 else ""
    return (
        f"{folder} holds no run itself, but has runs inside: "
        f"{', '.join(map(str, inside[:3]))}{more}; name one of them"
    )


def is_own(content: Any) -> bool:
    """Say whether a run is one of `fit_front`; the first ones kept numbers alone."""
    if not isinstance(content, dict):
        return False
    config = content.get("config")
    bare = isinstance(config, dict) and {*config} == OWN_NUMBERS
    return content.get("kind") == OWN or bare


def write_config(folder: Path, config: Any, **more: Any) -> None:
    """Write `config.json` once; a run that continues leaves it as it is.

    Args:
      folder: of the run; made if it is not there.
      config: a dataclass.
      more: what else repeats the run.
    """
    wait_for_all("every process has looked at the folder")
    folder.mkdir(parents=True, exist_ok=True)
    if (folder / "config.json").exists():
        return
    versions = {name: version(name) for name in _PACKAGES}
    write_json(
        folder / "config.json",
        {
            "config": dataclasses.asdict(config),
            **more,
            "command": sys.argv,
            "versions": {"python": platform.python_version()} | versions,
            "device": f"{jax.device_count()} x {jax.devices()[0].device_kind}",
        },
    )
