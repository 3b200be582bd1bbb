"""What a call of `fit_front` asked for, in numbers and words, which its folder keeps.

Functions cannot be kept; their names can, and so can the shapes of the arrays and a
checksum of what is in them. Whoever continues a run with another rule or other arrays
is told which.
"""

import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import jax
import numpy as np

from jaxpareto.errors import RunError, UsageError
from jaxpareto.options import spell
from jaxpareto.rules import RULES
from jaxpareto.train import folder as folders
from jaxpareto.types import Weighting

_PLAIN = (bool, int, float, str)
_SPELLED = {
    "out": "folder=",
    "resume": "resume=True",
    "x_sum": "the checksum of x",
    "y_sum": "the checksum of y",
}


@dataclass(frozen=True)
class Plan:
    """The settings of a call of `fit_front`.

    Attributes:
      epochs: this and the next five are numbers, as given.
      parameters: of the target network, how many.
      network: the name of the function and of those that it is made of; likewise what
        else may be one.
      m: tasks.
      n: examples.
      x: types and shapes of the inputs, and `y` of the targets, without the axis [n].
      x_sum: a checksum of the inputs, and `y_sum` of the targets; empty where nothing
        is kept.
    """

    epochs: int
    batch_size: int
    prefs_per_step: int
    split_batch: bool
    learning_rate: float
    seed: int
    m: int
    n: int
    x: str
    y: str
    x_sum: str
    y_sum: str
    network: str
    parameters: int
    losses: str
    conditioner: str
    conditioner_options: str
    rule: str
    rule_options: str
    gram_of: str
    sampler: str
    optimizer: str

    def __post_init__(self):
        """Refuse what cannot be run, before any work."""
        for name in ("epochs", "batch_size", "prefs_per_step"):
            if getattr(self, name) < 1:
                raise UsageError(f"{name} must be at least 1, found {vars(self)[name]}")
        if not 0.0 < self.learning_rate < float("inf"):
            raise UsageError(
                f"learning_rate must be positive, found {self.learning_rate}"
            )
        if self.split_batch and self.batch_size % self.prefs_per_step:
            raise UsageError(
                f"{self.prefs_per_step} preferences cannot share a batch of "
                f"{self.batch_size} evenly; choose a prefs_per_step that divides "
                "batch_size, or split_batch=False"
            )


def claim(folder: Path, plan: Plan, *, resume: bool) -> None:
    """Make the folder of a run, or check that it holds this very one.

    Raises:
      UsageError: it is a file, holds something else, or a run of another plan.
      RunError: its `config.json` is none of `fit_front`.
    """
    read = partial(_read, like=plan)
    folders.check_folder(
        folder,
        plan,
        resume=resume,
        read=read,
        spell=_argument,
        remedy="give what it was",
    )
    folders.write_config(folder, plan, kind=folders.OWN)


def _read(folder: Path, like: Plan) -> Plan:
    """Read the plan of a folder; what older versions did not keep is taken as alike."""
    content = folders.read_config(folder, own=True)
    if not folders.is_own(content):
        raise RunError(
            f"{folder / 'config.json'} is no plan of fit_front; name another folder"
        )
    try:
        return replace(like, **content["config"])
    except TypeError as error:
        raise RunError(
            f"{folder / 'config.json'} is of another version of jaxpareto ({error})"
        ) from error


def _argument(name: str) -> str:
    """Spell a setting as in a call of `fit_front`."""
    return _SPELLED.get(name, name)


def about_rule(rule: str | Weighting) -> str:
    """Name a rule: by its name if it has one, else by its function."""
    if isinstance(rule, str):
        return rule
    known = [name for name, each in RULES.items() if each is rule]
    return known[0] if known else about(rule.weigh)


def about_options(given: Mapping[str, Any] | None) -> str:
    """Spell options in one order, as `"hidden=8,width=4"`."""
    return spell(dict(sorted((given or {}).items()))) or "none"


def about_arrays(tree: Any) -> str:
    """Name the types and shapes of an example's arrays.

    >>> about_arrays({"a": np.ones((5, 2), np.float32), "b": np.ones(5, np.int32)})
    'a: float32[2], b: int32[]'
    """
    leaves, _ = jax.tree_util.tree_flatten_with_path(tree)
    words = []
    for path, leaf in leaves:
        name = jax.tree_util.keystr(path, simple=True, separator="/")
        sizes = ", ".join(map(str, np.shape(leaf)[1:]))
        words.append(f"{name}: " * bool(name) + f"{leaf.dtype}[{sizes}]")
    return ", ".join(words)


def checksum(tree: Any) -> str:
    """Return the CRC-32 of a pytree's arrays, so that a changed number is seen.

    >>> checksum(np.zeros(3)), checksum(np.arange(3.0)) == checksum(np.zeros(3))
    ('a3c1ca20', False)
    """
    found = 0
    for leaf in jax.tree.leaves(tree):
        found = zlib.crc32(np.asarray(leaf).tobytes(), found)
    return f"{found:08x}"


def about(function: Any, depth: int = 3) -> str:
    """Name a function, and the functions that it was made of.

    >>> about(partial(np.mean, axis=0)), about(partial(partial, about))
    ('mean(axis=0)', 'partial(about)')
    """
    name = getattr(function, "__qualname__", type(function).__qualname__)
    parts: list[str] = []
    if isinstance(function, partial):
        name = about(function.func, depth)
        values = function.keywords.items()
        parts = [f"{each}={value}" for each, value in values if type(value) in _PLAIN]
        parts = [about(each, 0) for each in function.args if callable(each)] + parts
    elif depth:
        parts = [about(each, depth - 1) for each in _enclosed(function)]
    name = name.replace("<locals>.", "")
    return f"{name}({', '.join(parts)})" if parts else name


def _enclosed(function: Any) -> Iterator[Any]:
    """List the functions and modules in the closure of a function."""
    for cell in getattr(function, "__closure__", None) or ():
        try:
            held = cell.cell_contents
        except ValueError:  # not yet assigned
            continue
        if callable(held) and held is not function:
            yield held
