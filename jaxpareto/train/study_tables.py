"""The tables behind the figures of a study: one for each, as CSV.

Names are the report's figure numbers; `exact` and `classes` are ours. Where a figure of
the report shows what was seen while the weights moved, its table has that beside what
holds at the end of an epoch, in columns `running` and `end`.
"""

import csv
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from jaxpareto.logistic import confusion
from jaxpareto.train.heads import Trained

if TYPE_CHECKING:
    from jaxpareto.train.study import Chosen, Judged

Table = Mapping[str, Any]
"""Columns by name, all of one length."""

CONFUSION_DECAY = 1e-4
"""Whose confusion matrix the report draws."""


def tables(
    lines: Sequence[Mapping[str, Any]],
    trained: Trained,
    judged: "Judged",
    chosen: "Chosen",
    names: Sequence[str],
) -> dict[str, Table]:
    """Lay out what the figures of the trained heads show.

    Args:
      lines: of `metrics.jsonl`, one for each epoch.
      trained: the heads.
      judged: what they do at the end.
      chosen: the decays that are chosen.
      names: of the classes.

    Returns:
      Name -> columns.
    """
    of_classes = _of_classes(trained, judged, chosen, names)
    three = {"2.5": _three(trained.decays, judged, chosen, names)}
    return _curves(lines, trained.decays) | of_classes | three


def exact_tables(
    exact: tuple[Trained, "Judged"],
    chosen: "Chosen",
    trained: tuple[Trained, "Judged"],
    names: Sequence[str],
) -> dict[str, Table]:
    """Lay out what solved heads show, and trained heads beside them."""
    of_classes = _of_classes(*exact, chosen, names)
    made = {f"{name}-exact": table for name, table in of_classes.items()}
    both = [("trained", *trained), ("exact", *exact)]
    made["exact"] = {
        "method": [name for name, heads, _ in both for _ in heads.decays],
        "decay": np.concatenate([heads.decays for _, heads, _ in both]),
        "objective": np.concatenate([found.objective for *_, found in both]),
        "gap": np.concatenate([found.gap for *_, found in both]),
        "train": np.concatenate([found.train.loss for *_, found in both]),
        "test": np.concatenate([found.test.loss for *_, found in both]),
    }
    return made


def of_confusion(decays: np.ndarray) -> int:
    """Return which decay's confusion matrix is drawn: the report's, or the nearest."""
    return int(np.argmin(np.abs(decays - CONFUSION_DECAY)))


def confusions(labels: np.ndarray, answers: np.ndarray, c: int) -> dict[str, Table]:
    """Lay out both confusion matrices, of answers [n] to rows with labels [n]."""
    counts = np.asarray(confusion(labels, answers, c))
    return {
        name: _matrix(counts[np.ix_(part, part)], part)
        for name, part in confusion_labels(c).items()
    }


def confusion_labels(c: int) -> dict[str, np.ndarray]:
    """Choose the classes of the two confusion matrices: 0 to 100, and 25 to 75 of them.

    With fewer classes: all of them, and their middle half.

    >>> {name: len(labels) for name, labels in confusion_labels(1000).items()}
    {'5.3a': 101, '5.3b': 51}
    """
    most = min(c - 1, 100)
    first, last = round(most / 4), round(3 * most / 4)
    return {"5.3a": np.arange(most + 1), "5.3b": np.arange(first, last + 1)}


def write(folder: Path, made: Mapping[str, Table]) -> None:
    """Write tables as `fig-NAME.csv`, each whole or not at all."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, columns in made.items():
        path = folder / f"fig-{name}.csv"
        partial = path.with_name(path.name + ".tmp")
        with open(partial, "w", newline="") as file:
            writer = csv.writer(file)
            writer.writerow(columns)
            values = [np.asarray(column).tolist() for column in columns.values()]
            writer.writerows(zip(*map(_spelled, values), strict=True))
        os.replace(partial, path)


def _spelled(column: list) -> list:
    return [f"{x:.9g}" if isinstance(x, float) else x for x in column]


def _curves(lines: Sequence[Mapping[str, Any]], decays: np.ndarray) -> dict[str, Table]:
    """Lay out what happens epoch by epoch."""
    epochs = np.array([line["epoch"] for line in lines])

    def of(split: str, name: str) -> np.ndarray:
        return np.array([line[split][name] for line in lines]).reshape(-1)

    axes = {
        "epoch": np.repeat(epochs, len(decays)),
        "decay": np.tile(decays, len(epochs)),
    }
    return {
        "4.1a": axes
        | {
            "running": 100 * of("running", "accuracy"),
            "end": 100 * of("train", "accuracy"),
        },
        "4.1b": axes | {"running": of("running", "loss"), "end": of("train", "loss")},
        "4.1c": axes
        | {"running": of("running", "last"), "end": of("train", "objective")},
        "4.2a": axes | {"end": 100 * of("test", "accuracy")},
        "4.2b": axes | {"end": of("test", "loss")},
        "4.3": axes
        | {"end": np.array([line["sum_abs"] for line in lines]).reshape(-1)},
    }


def _of_classes(
    trained: Trained, judged: "Judged", chosen: "Chosen", names: Sequence[str]
) -> dict[str, Table]:
    """Lay out what classes lose and choose."""
    decays, test = trained.decays, chosen.test
    of_test = np.asarray(judged.test.class_loss)
    return {
        "5.1a": _bars(decays, chosen.train),
        "5.1b": _by_class(decays, chosen.train_losses, chosen.train, names),
        "5.2a": _bars(decays, test.choice, test.low > 0),
        "5.2b": _by_class(decays, of_test, test.choice, names),
        "classes": _classes(decays, chosen, names),
    }


def _bars(
    decays: np.ndarray, choice: np.ndarray, sure: np.ndarray | None = None
) -> Table:
    """Count the classes that choose each decay, and those of them that are sure."""
    made = {"decay": decays, "classes": np.bincount(choice, minlength=len(decays))}
    if sure is not None:
        made["sure"] = np.bincount(choice[sure], minlength=len(decays))
    return made


def _by_class(
    decays: np.ndarray, losses: np.ndarray, choice: np.ndarray, names: Sequence[str]
) -> Table:
    """Lay out the loss of every class [l, c] under every decay."""
    l, c = losses.shape
    return {
        "class": np.tile(np.arange(c), l),
        "name": list(names) * l,
        "choice": np.tile(decays[choice], l),
        "decay": np.repeat(decays, c),
        "loss": losses.reshape(-1),
    }


def _three(
    decays: np.ndarray, judged: "Judged", chosen: "Chosen", names: Sequence[str]
) -> Table:
    """Pick three classes that choose differently: least, middle and most decay.

    Among those of one choice, the one that gains most by it.
    """
    order = np.lexsort((-chosen.test.gain, chosen.test.choice))
    middle = np.median(chosen.test.choice)
    near = np.lexsort((-chosen.test.gain, np.abs(chosen.test.choice - middle)))
    most = np.lexsort((-chosen.test.gain, -chosen.test.choice))
    picked = list(dict.fromkeys([int(order[0]), int(near[0]), int(most[0])]))
    l = len(decays)
    return {
        "class": np.repeat(picked, l),
        "name": [names[i] for i in picked for _ in range(l)],
        "decay": np.tile(decays, len(picked)),
        "train": np.asarray(judged.train.class_loss)[:, picked].T.reshape(-1),
        "test": np.asarray(judged.test.class_loss)[:, picked].T.reshape(-1),
    }


def _classes(decays: np.ndarray, chosen: "Chosen", names: Sequence[str]) -> Table:
    """Lay out what each class chooses on the test rows, and how sure that is."""
    test = chosen.test
    return {
        "class": np.arange(len(names)),
        "name": list(names),
        "choice_train": decays[chosen.train],
        "choice": decays[test.choice],
        "optimum": 10.0**test.optimum,
        "gain": test.gain,
        "low": test.low,
        "high": test.high,
        "gain_left_out": test.honest,
        "gain_other_half": test.split,
        "halves_agree": test.agreement,
    }


def _matrix(counts: np.ndarray, labels: np.ndarray) -> Table:
    """Lay a confusion matrix out as rows."""
    size = len(labels)
    return {
        "true": np.repeat(labels, size),
        "answered": np.tile(labels, size),
        "rows": counts.reshape(-1),
    }
