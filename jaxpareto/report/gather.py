"""All that a page says of a run, in plain values: its files, and a few answers."""

import dataclasses
import json
import shlex
from pathlib import Path
from typing import Any

import numpy as np

from jaxpareto.errors import RunError, UsageError
from jaxpareto.metrics import nondominated
from jaxpareto.report.answers import Answers
from jaxpareto.train import folder as folders
from jaxpareto.train.config import Config, configure
from jaxpareto.train.folder import flag
from jaxpareto.train.log import read_metrics
from jaxpareto.train.run import Front, load, load_data, read_config

CURVE_POINTS = 160
"""A training curve is drawn through so many points at most, each a mean."""


def gather(
    folder: str | Path,
    *,
    prefs: int | None = None,
    data_dir: str | None = None,
    answers: int = 300_000,
) -> dict[str, Any]:
    """Collect what a page shows of a run.

    Args:
      folder: of the run.
      prefs: evaluate the test front anew, at so many preferences, for this page alone;
        by default `front.json` is shown.
      data_dir: where the run's images are; else where they were in training.
      answers: how many probabilities are kept at most; of 12 test images, or of fewer
        where the preferences are many.

    Returns:
      Values that JSON can hold. `answers` is None where the checkpoint or the images
      are not at hand, and `why_no_answers` then says what is missing.

    Raises:
      UsageError: the folder holds no run or no front, or `prefs` is below 1.
      RunError: a file is damaged, or `prefs` was given and the data are not at hand.
    """
    folder = Path(folder)
    config, shape = read_config(folder)
    stored = folders.read_config(folder)
    data_dir = data_dir or stored.get("data_dir")
    found = _front(folder) if prefs is None else _evaluated(folder, prefs, data_dir)
    each = len(found["preferences"]) * shape.tasks * shape.classes
    images = min(12, max(2, answers // each))
    asked, why = _answers(folder, found, data_dir, images)
    return {
        "name": folder.resolve().name,
        "tasks": shape.tasks,
        "classes": shape.classes,
        "image": shape.image,
        **_numbers(found),
        "curves": curves(read_metrics(folder / "metrics.jsonl")),
        "command": repeat(config, stored.get("data_dir")),
        "settings": _settings(config),
        "versions": stored.get("versions", {}),
        "device": stored.get("device", ""),
        "answers": asked,
        "why_no_answers": why,
    }


def _front(folder: Path) -> dict[str, Any]:
    """Read `front.json`, and refuse one that no page can be made of."""
    path = folder / "front.json"
    if not path.exists():
        raise UsageError(
            f"{folder} has no front yet (no {path.name}); finish the run with: "
            f"jaxpareto front --resume --out {folder}, or evaluate it as it is with: "
            f"jaxpareto eval {folder}"
        )
    again = f"evaluate the run again with: jaxpareto eval {folder}"
    try:
        found = json.loads(path.read_text())
        k = len(found["preferences"])
        whole = k == len(found["losses"])
    except (json.JSONDecodeError, KeyError, TypeError) as error:
        raise RunError(f"{path} is damaged ({error!r}); {again}") from error
    if not k or not whole:
        raise RunError(f"{path} has {k} preferences, nothing to show; {again}")
    return found


def _evaluated(folder: Path, k: int, data_dir: str | None) -> dict[str, Any]:
    if k < 1:
        raise UsageError(f"a page shows 1 preference or more; found --prefs {k}")
    return load(folder).evaluate(k, data_dir=data_dir)


def _numbers(found: dict[str, Any]) -> dict[str, Any]:
    """Pick the numbers of a front; six digits are more than anyone reads."""
    losses = np.asarray(found["losses"])
    names = ("data", "split", "network", "conditioner", "rule", "seed", "epochs")
    names += ("reference", "nondominated", "spearman", "examples", "parameters")
    names += ("hypervolume", "seconds_training", "seconds_evaluation")
    accuracies = found.get("accuracies")
    return {
        **{name: found.get(name) for name in names},
        "prefs": np.round(found["preferences"], 6).tolist(),
        "losses": np.round(losses, 6).tolist(),
        "accuracies": None if accuracies is None else np.round(accuracies, 6).tolist(),
        "free": np.asarray(nondominated(losses)).astype(int).tolist(),
    }


def _answers(
    folder: Path, found: dict[str, Any], data_dir: str | None, images: int
) -> tuple[dict[str, Any] | None, str | None]:
    """Ask the networks about test images; say why where they cannot be asked."""
    try:
        front: Front = load(folder)
        split = getattr(load_data(front.config, data_dir), found.get("split", "test"))
    except RunError as error:
        return None, str(error)
    return Answers.ask(front, found["preferences"], split, images).plain(), None


def curves(lines: list[dict[str, Any]]) -> dict[str, Any]:
    """Thin `metrics.jsonl` out to what a small picture can show.

    Returns:
      `epoch` and, per task, `losses`, each value the mean of equally many lines; and
      `validation`, as measured: `epoch`, `hypervolume` and `best_accuracy`.

    >>> lines = [{"epoch": 1, "step": s, "losses": [s, 1.0]} for s in (1, 2)]
    >>> curves(lines)["losses"]
    [[1.0, 2.0], [1.0, 1.0]]
    """
    if not lines:
        return {"epoch": [], "losses": [], "lines": 1, "validation": {"epoch": []}}
    every = -(-len(lines) // CURVE_POINTS)
    pieces = [lines[i : i + every] for i in range(0, len(lines), every)]
    steps = lines[-1]["step"] / lines[-1]["epoch"]
    epochs = [np.mean([line["step"] for line in piece]) / steps for piece in pieces]
    losses = [np.mean([line["losses"] for line in piece], axis=0) for piece in pieces]
    checked = [line for line in lines if "validation" in line]
    names = ("hypervolume", "best_accuracy")
    validation = {n: [line["validation"][n] for line in checked] for n in names}
    return {
        "epoch": np.round(epochs, 3).tolist(),
        "losses": np.round(np.transpose(losses), 5).tolist(),
        "lines": every,
        "validation": {"epoch": [line["epoch"] for line in checked], **validation},
    }


def repeat(config: Config, data_dir: str | None) -> str:
    """Spell the command that repeats a run: what differs from the defaults.

    >>> repeat(configure(seed=3, split_batch=False), None)
    'jaxpareto front --data multi-digits --no-split-batch --seed 3'
    """
    words = ["jaxpareto", "front", "--data", config.data]
    if data_dir is not None:
        words += ["--data-dir", data_dir]
    if config.conditioner != Config.conditioner:
        words += ["--conditioner", config.conditioner]
    usual = configure(data=config.data, conditioner=config.conditioner)
    for each in dataclasses.fields(config):
        value = getattr(config, each.name)
        if value == getattr(usual, each.name):
            continue
        if isinstance(value, bool):
            words.append(flag(each.name if value else f"no_{each.name}"))
        else:
            words += [flag(each.name), str(value)]
    return shlex.join(words)


def _settings(config: Config) -> list[list[Any]]:
    """List each setting as (name, value, whether the command must say it)."""
    usual = configure(data=config.data, conditioner=config.conditioner)
    return [
        [flag(name)[2:], value, value != getattr(usual, name)]
        for name, value in dataclasses.asdict(config).items()
    ]
