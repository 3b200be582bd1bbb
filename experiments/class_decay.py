"""Does a weight decay for every class beat one for all, and who gains?

Heads are fitted on 600 of the embedded digits, everything is chosen on 500 others and
reported on the remaining 697, ten times over. Decays per class are found by the
implicit hypergradient; their shrinkage is chosen by two folds of the 500, then they are
tuned on all of them. Beside them stand the methods of `jaxpareto.logistic.baselines`.

    python experiments/class_decay.py --size smoke --out runs/class-decay-smoke
    python experiments/class_decay.py --out runs/class-decay

| size | splits | heads solved a split, about | time on 2 cores |
| --- | --- | --- | --- |
| `smoke` | 2 | 100 | under a minute, most of it compilation |
| `full` | 10 | 870 | 5 minutes |

`--aims` says what is tuned for: the mean, the mean of the worst three tenths of the
classes (`cvar`), the worst class. Differences are paired: each method against the best
shared decay for the same aim, on the same split, in percent of its mean, with the
standard error over splits.

Expected: tuned for the mean, decays per class lower the test cross-entropy by
5.2 ± 1.4 % (on 10 of 10 splits) and that of the worst class by 5.3 ± 4.3 % (on 9),
where scaled and shifted answers gain 0.4 to 0.6 % and 0.2 to 2.5 %, the plug-in of each
class's own best decay loses 31 %, half of it 5 %, and ridge regression, whose scores
are no logits even after a temperature fitted on the held rows, 64 %. Tuned for the
worst class or three, what 500 rows tell is mostly noise: the folds ask for the
strongest shrinkage, and the gains are about as large as their errors.

`result.json` has every number of every split, `class_decay.md` and `.csv` the table,
`class_decay.png` what each class pays and which decay it was given. A killed run
continues with the split at which it stopped. In float64; split by split, because many
small solves do not gain from `vmap` on a CPU.
"""

import csv
import sys
import time
from collections import Counter
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from jaxpareto import cli, logistic, style
from jaxpareto.data.digits import load_digits
from jaxpareto.errors import RunError, UsageError, check_name, require
from jaxpareto.logistic import Head, baselines
from jaxpareto.report import markdown, mean_std, plus_minus
from jaxpareto.train.folder import check_same, make_empty
from jaxpareto.train.log import read_json, write_json
from jaxpareto.types import Array

CLASSES = 10
AIMS = {"mean": 1.0, "cvar": 0.3, "worst": 1.0 / CLASSES}
"""What is tuned for -> the share of the worst classes whose mean it is; 1 is the mean
over all rows, which is what the table reports."""
UNSEEN = 17  # decays at which the path head is judged, and was not fitted
TAUS = np.linspace(-1.0, 2.0, 31)
OURS = "per class"
OF_NO_AIM = ("plug-in", "half plug-in", "ridge")  # they are what they are
METHODS = ("shared", *OF_NO_AIM, "tau-normalised", "logit-adjusted", OURS)


class Size(NamedTuple):
    """How much is done.

    Attributes:
      splits: of the rows at random.
      train: rows that heads are fitted on.
      held: rows that everything is chosen on.
      decays: of the shared grid, from 1e-1 to 1e-6.
      steps: of Adam on the decays.
      shrinkages: to choose from.
    """

    splits: int = 10
    train: int = 600
    held: int = 500
    decays: int = 21
    steps: int = 30
    shrinkages: tuple[float, ...] = (1e-3, 3e-3, 1e-2, 3e-2)


SIZES = {
    "smoke": Size(2, train=200, held=200, decays=17, steps=3, shrinkages=(1e-3, 1e-2)),
    "full": Size(),
}


class Rows(NamedTuple):
    """Examples: features [n, d] in [0, 1], labels [n]."""

    features: Array
    labels: Array


def split(seed: int, size: Size) -> tuple[Rows, Rows, Rows]:
    """Deal the digits out at random: to fit on, to choose on, to report on."""
    source = load_digits()
    images = np.concatenate([source.train_images, source.test_images])
    labels = np.concatenate([source.train_labels, source.test_labels])
    order = np.random.default_rng(seed).permutation(len(labels))
    pixels = images.reshape(len(labels), -1) / 255.0
    ends = [size.train, size.train + size.held]
    train, held, test = (
        Rows(jnp.asarray(pixels[part]), jnp.asarray(labels[part], jnp.int32))
        for part in np.split(order, ends)
    )
    return train, held, test


def value_of(share: Array) -> Any:
    """Return what is minimised on held rows; the share is traced, so compiled once."""
    some = logistic.by_class(partial(logistic.cvar, share=share))

    def value(head: Head, features: Array, labels: Array) -> Array:
        everyone = logistic.mean_loss(head, features, labels)
        return jnp.where(share < 1.0, some(head, features, labels), everyone)

    return value


@jax.jit
def grid(train: Rows, decays: Array) -> logistic.Solved:
    """Solve for every shared decay of a grid, from large to small."""
    return logistic.follow(*train, decays, CLASSES, tolerance=1e-10)


@jax.jit
def simple(
    train: Rows, held: Rows, decays: Array, heads: Head, share: Array
) -> tuple[dict[str, Head], Array]:
    """Return the head of every method but ours, and the best shared decay."""
    value = value_of(share)

    def chosen(options: Array, made: Head) -> baselines.Picked:
        return baselines.pick(options, made, *held, value=value)

    def solved(decay: Array) -> Head:
        start = logistic.zeros(train.features.shape[1], CLASSES, decays.dtype)
        return logistic.solve(*train, decay, start, tolerance=1e-10).head

    shared = chosen(decays, heads)
    own = baselines.plug_in(decays, heads, *held)
    half = baselines.plug_in(decays, heads, *held, toward=shared.option)
    plugged = jax.lax.map(solved, jnp.stack([own, half]))
    ridge = baselines.ridge(*train, decays, CLASSES).head
    taus = jnp.asarray(TAUS)
    scaled = jax.vmap(lambda tau: baselines.normalised(shared.head, tau))(taus)
    shifted = jax.vmap(lambda tau: baselines.adjusted(shared.head, train.labels, tau))(
        taus
    )
    found = {
        "shared": shared.head,
        "plug-in": jax.tree.map(lambda x: x[0], plugged),
        "half plug-in": jax.tree.map(lambda x: x[1], plugged),
        "ridge": baselines.tempered(ridge, *held),
        "tau-normalised": chosen(taus, scaled).head,
        "logit-adjusted": chosen(taus, shifted).head,
    }
    return found, shared.option


@partial(jax.jit, static_argnames="steps")
def tuned(
    train: Rows,
    held: Rows,
    decays: Array,
    heads: Head,
    share: Array,
    shrinkage: Array,
    steps: int,
) -> logistic.Tuned:
    """Find decays per class, from the shared one that is best on the same rows."""
    value = value_of(share)
    begin = baselines.pick(decays, heads, *held, value=value).option
    return logistic.tune(
        *(*train, *held, jnp.full(CLASSES, begin)),
        shrinkage=shrinkage,
        value=value,
        steps=steps,
    )


@jax.jit
def judged(head: Head, rows: Rows, share: Array) -> Array:
    """Return what is minimised, on rows that the decays were not tuned on."""
    return value_of(share)(head, *rows)


def ours(
    train: Rows, held: Rows, decays: Array, heads: Head, share: Array, size: Size
) -> tuple[logistic.Tuned, float]:
    """Choose the shrinkage by two folds of the held rows, then tune on all of them."""
    middle = len(held.labels) // 2
    folds = [Rows(*(x[:middle] for x in held)), Rows(*(x[middle:] for x in held))]

    def tried(shrinkage: float) -> float:
        total = 0.0
        for seen, unseen in (folds, folds[::-1]):
            found = tuned(train, seen, decays, heads, share, shrinkage, size.steps)
            total += float(judged(found.head, unseen, share))
        return total

    best = min(size.shrinkages, key=tried)
    return tuned(train, held, decays, heads, share, best, size.steps), best


@jax.jit
def measures(head: Head, test: Rows) -> dict[str, Array]:
    """Judge a head on rows that nothing was chosen on."""
    hits = jnp.argmax(logistic.logits(head, test.features), axis=1) == test.labels
    hot = jax.nn.one_hot(test.labels, CLASSES)
    return {
        "loss": logistic.mean_loss(head, *test),
        "class_losses": logistic.class_losses(head, *test),
        "accuracy": jnp.mean(hits),
        "class_accuracies": hits @ hot / jnp.sum(hot, axis=0),
    }


@jax.jit
def certified(train: Rows, found: logistic.Tuned) -> dict[str, Array]:
    """Say how far the tuned head is from the best one, and from its balance."""
    reached = logistic.objective(found.head, *train, found.decay)
    return {
        "gap": logistic.gap(found.head, *train, found.decay) / reached,
        "balance": jnp.linalg.norm(found.head.kernel @ found.decay),
    }


@jax.jit
def differences(train: Rows, held: Rows, decay: Array) -> Array:
    """Hold the hypergradient at a shared decay against central differences.

    Returns:
      The largest error, as a share of the largest derivative.
    """
    axes = logistic.basis(train.features)
    start = logistic.zeros(train.features.shape[1], CLASSES, decay.dtype)

    def outer(theta: Array) -> Array:
        head = logistic.best(theta, *train, start, axes, 1e-18)
        return logistic.mean_loss(head, *held)

    theta, step, ways = jnp.log(decay), 1e-3, jnp.eye(CLASSES)
    thetas = theta + step * jnp.concatenate([0.0 * ways[:1], ways, -ways])
    values, slopes = jax.lax.map(jax.value_and_grad(outer), thetas)
    above, below = jnp.split(values[1:], 2)
    change = (above - below) / (2.0 * step)
    return jnp.max(jnp.abs(change - slopes[0])) / jnp.max(jnp.abs(slopes[0]))


@jax.jit
def objectives_of_path(train: Rows, decays: Array) -> Array:
    """Fit the path head with 4 terms; return its objectives [l] at other decays."""
    path = logistic.fit(*train, CLASSES, terms=4)

    def reached(decay: Array) -> Array:
        return logistic.objective(logistic.at(path, decay), *train, decay)

    return jax.vmap(reached)(decays)


def compare(seed: int, size: Size, aims: Sequence[str]) -> dict[str, Any]:
    """Fit, choose and report everything of one split; plain lists and numbers."""
    train, held, test = split(seed, size)
    decays = jnp.logspace(-1.0, -6.0, size.decays)
    heads = grid(train, decays).head
    found: dict[str, Any] = {"aims": {}}
    for aim in aims:
        share = jnp.asarray(AIMS[aim])
        simpler, shared = simple(train, held, decays, heads, share)
        own, shrinkage = ours(train, held, decays, heads, share, size)
        reports = {name: measures(head, test) for name, head in simpler.items()} | {
            OURS: measures(own.head, test)
        }
        found["aims"][aim] = {
            "methods": reports,
            "shared": shared,
            "decays": own.decay,
            "shrinkage": shrinkage,
            **certified(train, own),
        }
    found["hypergradient"] = differences(train, held, jnp.asarray(1e-4))
    unseen = jnp.logspace(-2.0, -6.0, UNSEEN)
    best = grid(train, unseen).objective
    found["path"] = objectives_of_path(train, unseen) / best - 1.0
    return jax.tree.map(lambda x: np.asarray(x).tolist(), found)


def main(
    size: str,
    out: Path,
    *,
    aims: Sequence[str] = tuple(AIMS),
    splits: int | None = None,
) -> list[dict[str, Any]]:
    """Do what is left to do, then write table, numbers and picture.

    Args:
      size: a name of `SIZES`.
      out: folder.
      aims: names of `AIMS`.
      splits: in place of the size's.

    Returns:
      The rows of the table, as in `out/class_decay.csv`.

    Raises:
      UsageError: an unknown name, or `out` holds something else.
      RunError: what is in `out` is damaged.
    """
    chosen = SIZES[check_name(size, SIZES, "size")]
    aims = [check_name(name, AIMS, "aim") for name in aims]
    count = chosen.splits if splits is None else splits
    if count < 1:
        raise UsageError(f"--splits must be at least 1, found {count}")
    require("matplotlib", "plot")
    settings = chosen._replace(splits=0)._asdict() | {"aims": aims}
    done = read_back(out, settings)
    began, first = time.monotonic(), len(done)
    with jax.enable_x64(True):
        for seed in range(first, count):
            done.append(compare(seed, chosen, aims))
            write_json(out / "result.json", {"settings": settings, "splits": done})
            left = (time.monotonic() - began) / (seed + 1 - first) * (count - seed - 1)
            words = f"split {seed + 1} of {count}, {left / 60:.1f} min left"
            print(words, file=sys.stderr)
    rows = summarise(done[:count], aims)
    write_csv(out / "class_decay.csv", rows)
    text = f"{table(rows)}\n\n{checks(done[:count])}"
    (out / "class_decay.md").write_text(text + "\n")
    draw(out / "class_decay", done[:count], aims[0])
    print(text)
    print(f"\nnumbers: {out / 'result.json'}   picture: {out / 'class_decay.png'}")
    return rows


def read_back(out: Path, settings: dict[str, Any]) -> list[dict[str, Any]]:
    """Read the splits that an earlier call finished, or start anew."""
    path = out / "result.json"
    if not path.exists():
        make_empty(out)
        return []
    stored = read_json(path, f"delete {out}")
    try:
        found, done = stored["settings"], stored["splits"]
    except (KeyError, TypeError) as error:
        raise RunError(f"{path} is damaged ({error!r}); delete {out}") from error
    check_same(found, settings, f"{out} was made")
    return done


def summarise(
    done: Sequence[dict[str, Any]], aims: Sequence[str]
) -> list[dict[str, Any]]:
    """Reduce the splits to a row for each aim and method."""
    rows = []
    for number, aim in enumerate(aims):
        by_split = [each["aims"][aim]["methods"] for each in done]
        shared = [numbers(methods["shared"]) for methods in by_split]
        for name in METHODS:
            if number and name in OF_NO_AIM:
                continue
            row: dict[str, Any] = {"tuned for": aim, "method": name}
            mine = [numbers(methods[name]) for methods in by_split]
            for key in mine[0]:
                values = np.array([each[key] for each in mine])
                base = np.array([each[key] for each in shared])
                gain = 100.0 * (values - base) / base.mean()
                row[key] = values.mean()
                row[f"{key}_std"] = mean_std(values)[1]
                row[f"{key}_change"] = gain.mean()
                row[f"{key}_change_error"] = mean_std(gain)[1] / np.sqrt(len(gain))
                row[f"{key}_better"] = int(np.sum(gain < 0))
            rows.append(row | {"splits": len(done)})
    return rows


def numbers(found: dict[str, Any]) -> dict[str, float]:
    """Take the four numbers of the table from what `measures` said."""
    return {
        "loss": found["loss"],
        "worst_loss": max(found["class_losses"]),
        "accuracy": 100.0 * found["accuracy"],
        "worst_accuracy": 100.0 * min(found["class_accuracies"]),
    }


def table(rows: Sequence[dict[str, Any]]) -> str:
    """Lay the rows out in Markdown."""
    heads = ["tuned for", "method", "test cross-entropy", "change, %", "worst class"]
    heads += ["change, %", "accuracy, %", "of the worst class, %"]
    lines = []

    def mean(row: dict[str, Any], key: str, digits: int) -> str:
        return plus_minus(row[key], row[f"{key}_std"], digits)

    def change(row: dict[str, Any], key: str) -> str:
        if row["method"] == "shared":
            return "0"
        won = f"{row[f'{key}_better']} of {row['splits']}"
        moved, error = row[f"{key}_change"], row[f"{key}_change_error"]
        return f"{moved:+.1f} ± {error:.1f} ({won})"

    for row in rows:
        aim = "-" if row["method"] in OF_NO_AIM else row["tuned for"]
        cells = [aim, row["method"]]
        for key in ("loss", "worst_loss"):
            cells += [mean(row, key, 4), change(row, key)]
        cells += [mean(row, "accuracy", 2), mean(row, "worst_accuracy", 1)]
        lines.append(cells)
    return markdown(heads, lines)


def checks(done: Sequence[dict[str, Any]]) -> str:
    """Say how exact the heads, the hypergradient and the path are, at worst."""
    reports = [found for each in done for found in each["aims"].values()]
    above = np.array([each["path"] for each in done])
    picked = Counter(f"{each['shrinkage']:g}" for each in reports)
    return "\n".join(
        [
            "At worst over the splits:",
            f"- |sum_c decay_c w_c| of the tuned heads: "
            f"{max(each['balance'] for each in reports):.1e}",
            f"- their duality gap, as a share of the objective: "
            f"{max(each['gap'] for each in reports):.1e}",
            f"- hypergradient against central differences, relative error: "
            f"{max(each['hypergradient'] for each in done):.1e}",
            f"- path head, 4 terms, {UNSEEN} unseen decays: {100 * above.mean():.3f} % "
            f"above the minimum on average, {100 * above.max():.3f} % at most",
            "",
            f"Shrinkages chosen, and how often: "
            f"{', '.join(f'{each} ({picked[each]})' for each in sorted(picked))}",
        ]
    )


def write_csv(path: Path, rows: Sequence[dict[str, Any]]) -> None:
    """Write the rows, one line each."""
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)


@style.styled
def draw(path: Path, done: Sequence[dict[str, Any]], aim: str) -> None:
    """Draw what each class pays, and which decay it was given."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7.0, 2.6), layout="constrained")
    left, right = figure.subplots(1, 2)
    found = [each["aims"][aim] for each in done]
    places = np.arange(CLASSES)
    for name, shift, marks in (("shared", -0.12, "C1s"), (OURS, 0.12, "C0o")):
        losses = np.array([each["methods"][name]["class_losses"] for each in found])
        error = losses.std(axis=0) / np.sqrt(max(len(losses) - 1, 1))
        label = "one decay for all" if name == "shared" else "a decay per class"
        left.errorbar(
            places + shift, losses.mean(0), error, fmt=marks, ms=4, label=label
        )
    left.set(xlabel="class", ylabel="test cross-entropy (nats)", ylim=(0, None))
    left.legend(frameon=False, loc="upper left")
    ratios = np.array([np.array(each["decays"]) / each["shared"] for each in found])
    for row in ratios:
        right.plot(places, row, "o", ms=3, mfc="none", color="0.6")
    right.plot(places, np.exp(np.log(ratios).mean(0)), "C0_", ms=14, mew=2)
    right.axhline(1.0, lw=0.6, color="black")
    right.set(xlabel="class", ylabel="its decay / the shared one", yscale="log")
    right.set_yticks([0.1, 0.2, 0.5, 1.0, 2.0, 5.0], ["1/10", "1/5", "1/2", *"125"])
    right.minorticks_off()
    for axes in (left, right):
        axes.set_xticks(places)
    style.save_both(figure, path)


def _parser() -> cli.Parser:
    parser = cli.script_parser("class_decay.py", __doc__)
    parser.add_argument("--size", default="full", help=", ".join(SIZES))
    parser.add_argument(
        "--aims",
        type=lambda text: text.split(","),
        default=tuple(AIMS),
        metavar="A,B",
        help="by default " + ",".join(AIMS),
    )
    parser.add_argument("--splits", type=int, help="in place of the size's")
    parser.set_defaults(
        run=lambda asked: main(
            asked.size, asked.out, aims=asked.aims, splits=asked.splits
        )
    )
    return parser


if __name__ == "__main__":
    sys.exit(cli.guarded(_parser))
