"""The study of a head's weight decays, whole: from features to every number of it.

The folder of a study ends up with

| file | what is in it |
| --- | --- |
| `config.json`, `metrics.jsonl`, `heads/` | settings, a line per epoch, checkpoints |
| `study.json` | per decay: losses, accuracies, certificates; the choice; per class |
| `heads.safetensors` | the heads [l, d, c], trained and, with `exact`, solved |
| `figures/*.csv` | what each figure shows; `plot.save_study` draws them |
"""

import dataclasses
import json
import math
import sys
import time
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from jaxpareto import logistic
from jaxpareto.data import Frozen, load_frozen, stream_frozen
from jaxpareto.data.features import Store, open_store
from jaxpareto.errors import RunError, UsageError, require
from jaxpareto.logistic import Head
from jaxpareto.metrics import Choices, choices, halves
from jaxpareto.train import feeds, mesh, study_tables
from jaxpareto.train import folder as folders
from jaxpareto.train import heads as training
from jaxpareto.train.head_config import HeadConfig, parse_decays
from jaxpareto.train.heads import Trained
from jaxpareto.train.log import read_metrics, write_json
from jaxpareto.train.mesh import Devices
from jaxpareto.train.processes import speaks
from jaxpareto.types import Array


class Judged(NamedTuple):
    """Heads of l decays at the end, by rows of both kinds.

    Attributes:
      train: on the training rows.
      test: on the test rows.
      losses: [l, n], cross-entropy of every test row.
      answers: [l, n], the class that each is given.
      objective: [l], what is minimised, without a decay of the bias.
      gap: [l], the objective is at most this far from its minimum.
    """

    train: logistic.Measured
    test: logistic.Measured
    losses: np.ndarray
    answers: np.ndarray
    objective: np.ndarray
    gap: np.ndarray


class Chosen(NamedTuple):
    """Which decay is chosen, by which rows, and what classes would choose.

    Attributes:
      index: of the chosen decay.
      by: [n] bool, the test rows it was chosen by.
      on: [n] bool, the test rows it is reported on.
      test: what classes choose on all test rows, beside it.
      train_losses: [l, c], mean losses of the classes on training rows.
      train: [c], what they choose by these.
    """

    index: int
    by: np.ndarray
    on: np.ndarray
    test: Choices
    train_losses: np.ndarray
    train: np.ndarray


def run_study(
    config: HeadConfig,
    folder: str | Path,
    *,
    resume: bool = False,
    quiet: bool = False,
    devices: str | None = None,
) -> dict[str, Any]:
    """Train all heads, judge them, ask what classes choose; keep all of it in a folder.

    Args:
      config: of the study.
      folder: a new or empty folder; with `resume` also one that holds this very study.
      resume: continue from the newest checkpoint.
      quiet: show no progress.
      devices: how many, as `8`, or decays x batch, as `4x2`; None for all.

    Returns:
      What `study.json` holds.

    Raises:
      UsageError: the folder holds something else, or the rate is not stable.
      RunError: the features cannot be learned from, or a loss is not finite.
    """
    folder = Path(folder)
    folders.check_folder(folder, config, resume=resume, read=read_config)
    require("safetensors.numpy", "export")  # known before the work, not after it
    placed = choose_devices(config, devices, quiet=quiet)
    frozen, feed = load(config, placed)
    x = jnp.asarray(frozen.train.features)
    rate, stable = training.first_rate(config, x)
    folders.write_config(folder, config, about=frozen.about, names=frozen.names)
    trained = training.train(config, feed, frozen, folder, rate=rate, quiet=quiet)
    judged = judge(trained, feed, frozen)
    chosen = choose(config, trained, judged, frozen)
    found = {
        "schema": 1,
        "data": config.data,
        "about": frozen.about,
        "rows": {"train": feed.rows, "test": len(frozen.test.labels)},
        "features": x.shape[1],
        "classes": len(frozen.names),
        "rate": rate,
        "stable_rate": stable,
        "seconds_training": round(trained.seconds, 3),
        "decays": list(parse_decays(config.decays)),
        "heads": _numbers(trained, judged),
        "chosen": _choice(config, trained, judged, chosen),
        "per_class": _per_class(judged, chosen),
    }
    lines = read_metrics(folder / "metrics.jsonl")
    made = study_tables.tables(lines, trained, judged, chosen, frozen.names)
    answers = judged.answers[study_tables.of_confusion(trained.decays)]
    made |= study_tables.confusions(frozen.test.labels, answers, len(frozen.names))
    kept: dict[str, Any] = {
        "kernel": trained.heads.kernel,
        "bias": trained.heads.bias,
        "decays": trained.decays,
    }
    if config.exact and trained.decays.max() > 0:
        more = _exact(config, feed, frozen, (trained, judged), quiet)
        found, made, kept = found | more.found, made | more.tables, kept | more.kept
    if speaks():
        study_tables.write(folder / "figures", made)
        _save_heads(folder / "heads.safetensors", kept, config)
    write_json(folder / "study.json", found)
    return found


class _Exact(NamedTuple):
    """What the exact solutions add to `study.json`, to the tables, to the heads."""

    found: dict[str, Any]
    tables: dict[str, study_tables.Table]
    kept: dict[str, Any]


def _exact(
    config: HeadConfig,
    feed: feeds.Feed,
    frozen: Frozen,
    trained: tuple[Trained, Judged],
    quiet: bool,
) -> _Exact:
    """Solve every problem, and judge the solutions beside the trained heads."""
    x, y = (jnp.asarray(each) for each in frozen.train)
    solved = solve_all(x, y, trained[0].decays, len(frozen.names), quiet=quiet)
    judged = judge(solved, feed, frozen)
    at_rest = dataclasses.replace(config, series="end", class_loss="plain")
    chosen = choose(at_rest, solved, judged, frozen)
    found = {
        "exact": _numbers(solved, judged),
        "per_class_exact": _per_class(judged, chosen),
        "chosen_exact": _choice(config, solved, judged, chosen),
        "seconds_exact": round(solved.seconds, 3),
    }
    kept = {
        "exact_kernel": solved.heads.kernel,
        "exact_bias": solved.heads.bias,
        "exact_decays": solved.decays,
    }
    both = (solved, judged), chosen, trained
    return _Exact(found, study_tables.exact_tables(*both, frozen.names), kept)


def _save_heads(path: Path, kept: dict[str, Any], config: HeadConfig) -> None:
    """Write heads and decays, whole or not at all."""
    from safetensors.numpy import save_file

    arrays = {name: np.ascontiguousarray(each) for name, each in kept.items()}
    partial = path.with_name(path.name + ".tmp")
    save_file(
        arrays, partial, metadata={"config": json.dumps(dataclasses.asdict(config))}
    )
    partial.replace(path)


def choose_devices(
    config: HeadConfig, words: str | None, *, quiet: bool = False
) -> Devices | None:
    """Choose the devices of a study: they share decays, or groups of these, and batch.

    Raises:
      UsageError: as `mesh.choose`.
    """
    decays = np.array(parse_decays(config.decays))
    groups = training.group(decays, config.heads_per_group)
    l = math.gcd(*map(len, groups))
    devices = mesh.choose(words, l, config.batch_size, what="decays")
    if devices is not None and speaks() and not quiet:
        print(f"devices: {devices.about} (decays x batch)", file=sys.stderr)
    return devices


def load(
    config: HeadConfig, devices: Devices | None = None
) -> tuple[Frozen, feeds.Feed]:
    """Load the features of a study, and make what feeds them to the heads.

    With `stream`, the training rows of the problem are only the first few thousand, to
    find a learning rate by; the feed has all of them. So it is for two stores and many
    devices: each process reads the rows of its own, and none has all of them.

    Raises:
      UsageError: no such features, or a stream of what is no store.
      RunError: they are damaged, or cannot be learned from.
    """
    stores = bool(config.test) and Path(config.data).is_dir()
    if config.stream and not stores:
        raise UsageError("--stream needs two stores: --data FOLDER and --test FOLDER")
    if config.stream and config.exact:
        raise UsageError("--stream: --exact needs all rows at once; leave one out")
    if config.stream or (devices is not None and stores and not config.exact):
        frozen = stream_frozen(config.data, config.test)
        return frozen, _from_store(open_store(config.data), config, devices)
    share, seed = config.test_share, config.seed
    frozen = load_frozen(config.data, config.test, share=share, seed=seed)
    x, y = frozen.train
    if devices is not None:
        return frozen, feeds.shared(lambda a, b: x[a:b], y, config, devices)
    return frozen, feeds.resident(jnp.asarray(x), jnp.asarray(y), config)


def _from_store(
    store: Store, config: HeadConfig, devices: Devices | None
) -> feeds.Feed:
    """Feed a store without a copy of it in the memory of this host."""
    if devices is None:
        return feeds.streamed(store, config)
    if config.stream:
        return feeds.shared_stream(store, config, devices)

    def read(first: int, last: int) -> np.ndarray:
        return store.read(np.arange(first, last))

    return feeds.shared(read, store.labels, config, devices)


def read_config(folder: Path) -> HeadConfig:
    """Read the settings of a study."""
    content = folders.read_config(folder)
    try:
        return HeadConfig(**content["config"])
    except (KeyError, TypeError) as error:
        raise RunError(
            f"{folder / 'config.json'} is not of a study of heads ({error}); name "
            "another folder"
        ) from error


def judge(trained: Trained, feed: feeds.Feed, frozen: Frozen) -> Judged:
    """Judge heads that are finished."""
    l, wide = len(trained.decays), trained.wide
    here = training.judged(wide, feed.still, l, feed.devices)
    test = feeds.tests(*frozen.test, feed.devices)
    there = training.judged(wide, test, l, feed.devices)
    x, y = (jnp.asarray(each) for each in frozen.test)
    losses, answers = jax.jit(logistic.each_row, static_argnames="l")(wide, x, y, l)
    _, squares = logistic.norms(wide, l)
    return Judged(
        here,
        there,
        np.asarray(losses, np.float64),
        np.asarray(answers),
        np.asarray(here.loss + 0.5 * trained.decays * squares),
        training.bounds(trained, feed),
    )


def choose(
    config: HeadConfig, trained: Trained, judged: Judged, frozen: Frozen
) -> Chosen:
    """Choose one decay for all classes, then let each class choose beside it."""
    labels = frozen.test.labels
    by = halves(labels, config.seed)
    on = ~by
    if config.selection == "test":
        by = on = np.ones(len(labels), bool)
    index = int(judged.losses[:, by].mean(axis=1).argmin())
    with np.errstate(divide="ignore"):
        places = np.log10(trained.decays.astype(np.float64))
    beside = choices(judged.losses, labels, index, places, seed=config.seed)
    if config.class_loss == "penalised":
        of_train = trained.running.penalised
    elif config.series == "running":
        of_train = trained.running.class_loss
    else:
        of_train = judged.train.class_loss
    of_train = np.asarray(of_train, np.float64)
    return Chosen(index, by, on, beside, of_train, of_train.argmin(axis=0))


def solve_all(
    x: Array, y: Array, decays: np.ndarray, c: int, *, quiet: bool = False
) -> Trained:
    """Solve the convex problem of every positive decay, from the largest down.

    As `logistic.follow`, one compiled call for each decay, to say how far it is.

    Returns:
      The heads side by side, in the order of their decays; nothing was running.
    """
    began = time.perf_counter()
    axes = jax.jit(logistic.basis)(x)
    solve = jax.jit(logistic.solve)
    head, found = logistic.zeros(x.shape[1], c), []
    positive = decays[decays > 0]
    for i, decay in enumerate(positive[::-1]):
        head = solve(x, y, decay, head, axes=axes).head
        found.append(head)
        if not quiet:
            print(
                f"solved for decay {decay:.3g} ({i + 1} of {len(positive)})",
                file=sys.stderr,
                flush=True,
            )
    wide = Head(
        jnp.concatenate([each.kernel for each in found[::-1]], axis=1),
        jnp.concatenate([each.bias for each in found[::-1]]),
    )
    seen = logistic.running(logistic.nothing(len(positive), c))
    jax.block_until_ready(wide)
    return Trained(wide, positive, seen, time.perf_counter() - began)


def _numbers(trained: Trained, judged: Judged) -> dict[str, list[float | None]]:
    """Say how the heads of l decays do, each in a list of l."""
    sizes, squares = logistic.norms(trained.wide, len(trained.decays))
    columns = {
        "decay": trained.decays,
        "objective": judged.objective,
        "gap": judged.gap,
        "train_loss": judged.train.loss,
        "train_accuracy": judged.train.correct,
        "test_loss": judged.test.loss,
        "test_accuracy": judged.test.correct,
        "sum_abs": sizes,
        "square_norm": squares,
    }
    return {name: _plain(each) for name, each in columns.items()}


def _choice(
    config: HeadConfig, trained: Trained, judged: Judged, chosen: Chosen
) -> dict[str, Any]:
    """Say what was chosen, and how it does on the rows that did not choose."""
    losses = judged.losses[chosen.index, chosen.on]
    error = losses.std(ddof=1) / np.sqrt(len(losses))
    return {
        "decay": float(trained.decays[chosen.index]),
        "by": "half of the test rows" if config.selection == "half" else "all of them",
        "loss": float(losses.mean()),
        "standard_error": float(error),
    }


def _per_class(judged: Judged, chosen: Chosen) -> dict[str, Any]:
    """Say what classes choose on the test rows, and how much of it is noise."""
    test = chosen.test
    l = len(judged.losses)
    return {
        "choices_test": np.bincount(test.choice, minlength=l).tolist(),
        "choices_train": np.bincount(chosen.train, minlength=l).tolist(),
        "differ_at_99_percent": int(np.sum(test.low > 0)),
        "gain_on_the_rows_that_chose": float(np.nanmean(test.gain)),
        "gain_on_rows_left_out": float(np.nanmean(test.honest)),
        "gain_on_the_other_half": float(np.nanmean(test.split)),
        "halves_agree": float(np.nanmean(test.agreement)),
        "choice": test.choice.tolist(),
        "gain": _plain(test.gain),
        "low": _plain(test.low),
        "high": _plain(test.high),
        "optimal_log10_decay": _plain(test.optimum),
        "train_loss": _rows(judged.train.class_loss),
        "test_loss": _rows(judged.test.class_loss),
        "test_accuracy": _rows(judged.test.class_correct),
    }


def _rows(table: Any) -> list[list[float | None]]:
    return [_plain(row) for row in np.asarray(table)]


def _plain(numbers: Any) -> list[float | None]:
    """Turn numbers into what JSON can hold: what is not finite is null."""
    return [float(x) if np.isfinite(x) else None for x in np.asarray(numbers)]
