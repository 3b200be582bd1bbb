"""How well do a shallow network, an MLP and LeNet-5 read digits, and who finds out how?

The searches of the first source report, each one command that can be killed and given
again: the naive grid, grids with early stopping, Optuna with pruning; then the best
settings of the report and ours, trained from five seeds.

    python experiments/classics.py --size smoke --out runs/classics-smoke
    python experiments/classics.py --parts best --data-dir DATA --out runs/classics
    python experiments/classics.py --size tenth --data-dir DATA --out runs/tenth
    python experiments/classics.py --size full --data-dir DATA --out runs/classics

| size | images | epochs | trials | time on 2 cores |
| --- | --- | --- | --- | --- |
| `smoke` | embedded digits | 2 | 3 | two minutes, nearly all of it compilation |
| `tenth` | a tenth of MNIST | 20 | 100 | 32 minutes; `mlp` and `deep` hours |
| `full` | 50,400 / 12,600 / 7,000 of MNIST | 20 | 1,000 | `naive` 24 minutes |

| part | network | what |
| --- | --- | --- |
| `naive` | shallow | batch 3-10, width 150-300, four rates, all epochs |
| `early` | shallow | batch 1-5, width 250-600, four rates, patience 2 |
| `wide` | shallow | batch 1-3, width 600-1500, three rates, patience 2 |
| `deep` | mlp | batch 9-30, depth 1-20, width 250-600, three rates, patience 2 |
| `shallow`, `mlp`, `lenet5` | the same | Optuna: batch, rate, Adam or SGD, layers |
| `best` | all | what the report found best, and ours, five seeds |

MNIST's 70,000 images are shuffled and cut as in the report; the test images are never
chosen by. Expected of `best` (the report's numbers, one run each): shallow 98.78 %, MLP
98.69 %, LeNet-5 99.17 %. As there, the grids minimise the squared error by gradient
descent, with the report's `min_delta` of 0.001, and Optuna the cross-entropy. The
report's numbers of epochs (5, 10, 20) are lines of `curves.csv`. A batch of 1 costs
50,400 steps an epoch; `--parts` leaves parts out.
"""

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from jaxpareto import cli, search, style
from jaxpareto.backend import one_device_per_core
from jaxpareto.data import load_source
from jaxpareto.errors import check_name
from jaxpareto.report import markdown, plus_minus
from jaxpareto.search import Plan, Point, Row, figures, table
from jaxpareto.search.folder import Run
from jaxpareto.search.source import Problem
from jaxpareto.train.examples import split_rows
from jaxpareto.train.log import write_json


class Size(NamedTuple):
    """How much of everything.

    Attributes:
      data: a source of images.
      share: of its images.
      epochs: at most.
      trials: of Optuna, for each network.
      seeds: of the best settings.
      least: smallest batch; the others are left out.
      few: try only the first and last value of each list, and small networks.
    """

    data: str
    share: float
    epochs: int
    trials: int
    seeds: int
    least: int = 1
    few: bool = False


SIZES = {
    "smoke": Size("digits", 0.3, 2, 3, 2, least=9, few=True),
    "tenth": Size("mnist", 0.1, 20, 100, 5, least=3),
    "full": Size("mnist", 1.0, 20, 1000, 5),
}


class Grid(NamedTuple):
    """A grid of the report: a network, lists of values, and whether it stops early."""

    net: str
    words: tuple[str, ...]
    stops: bool = True


GRIDS: dict[str, Grid] = {
    "naive": Grid(
        "shallow",
        (
            "batch-size=3,5,10",
            "width=150,200,250,300",
            "learning-rate=1e-5,1e-4,1e-3,1e-2",
        ),
        stops=False,
    ),
    "early": Grid(
        "shallow",
        (
            "batch-size=1,3,5",
            "width=250,350,500,600",
            "learning-rate=1e-5,1e-4,1e-3,1e-2",
        ),
    ),
    "wide": Grid(
        "shallow",
        ("batch-size=1,3", "width=600,1200,1500", "learning-rate=0.05,0.01,0.1"),
    ),
    "deep": Grid(
        "mlp",
        (
            "batch-size=9,15,30",
            "depth=1,5,10,20",
            "width=250,350,500,600",
            "learning-rate=0.05,0.01,0.1",
        ),
    ),
}

# Ranges as in the report; a batch size is a program, so it is chosen from a list.
_COMMON = ("batch-size=3,4,8,16,32,64,100", "learning-rate=1e-5..1e-1")
_COMMON += ("optimizer=adam,sgd",)
STUDIES: dict[str, tuple[str, ...]] = {
    "shallow": (*_COMMON, "width=500..2000"),
    "mlp": (*_COMMON, "depth=2..10", "width=200..1000"),
    "lenet5": _COMMON,
}

# (network, whose settings, schedule, epochs, point). A width of 250 for the third layer
# of the report's MLP is ours: it names the first two.
BEST: list[tuple[str, str, str, int, dict[str, Any]]] = [
    (
        "shallow",
        "ours",
        "cosine",
        30,
        {"batch-size": 100, "width": 1000, "learning-rate": 1e-3, "shift": 1},
    ),
    (
        "mlp",
        "ours",
        "cosine",
        30,
        {"batch-size": 100, "width": (800, 800), "learning-rate": 1e-3, "shift": 1},
    ),
    (
        "lenet5",
        "ours",
        "cosine",
        30,
        {"batch-size": 100, "learning-rate": 3e-3, "shift": 1},
    ),
    (
        "shallow",
        "report",
        "constant",
        20,
        {"batch-size": 100, "width": 1685, "learning-rate": 5e-4},
    ),
    ("lenet5", "report", "constant", 15, {"batch-size": 3, "learning-rate": 2e-4}),
    (
        "mlp",
        "report",
        "constant",
        10,
        {"batch-size": 4, "width": (977, 878, 250), "learning-rate": 4.964e-5},
    ),
]
PARTS = (*GRIDS, *STUDIES, "best")


def load(size: Size, data_dir: str | None) -> Problem:
    """Shuffle all images of a source, and cut them 72 : 18 : 10."""
    source = load_source(size.data, data_dir)
    images = np.concatenate([source.train_images, source.test_images])
    labels = np.concatenate([source.train_labels, source.test_labels]).astype(np.int32)
    if images.shape[1] < 16:  # the embedded digits are too small for LeNet-5
        images = images.repeat(2, axis=1).repeat(2, axis=2)
    order = np.random.default_rng(0).permutation(len(labels))
    test, validation, train = np.split(
        order, [round(0.1 * len(order)), round(0.28 * len(order))]
    )
    train, validation = (
        rows[: round(size.share * len(rows))] for rows in (train, validation)
    )
    height, width = images.shape[1:]
    data = split_rows(images, labels, train, validation)
    return Problem(data, (images[test], labels[test]), (height, width), source.classes)


def plan_of(problem: Problem, net: str, **more: Any) -> Plan:
    """Make a plan for a network on these images."""
    return Plan(net, problem.image, problem.classes, **more)


def by_grid(name: str, size: Size, problem: Problem, out: Path) -> list[Row]:
    """Do a grid of the report, and draw what each hyperparameter does."""
    net, words, stops = GRIDS[name]
    space: Any = search.parse([*words, "optimizer=sgd"])
    large = [each for each in space["batch-size"] if each >= size.least]
    space["batch-size"] = large or [size.least]
    if size.few:
        space = {key: sorted({values[0], values[-1]}) for key, values in space.items()}
        space |= {"width": [8, 16]} | ({"depth": [1, 2]} if net == "mlp" else {})
    stopping = {"patience": 2, "min_delta": 1e-3} if stops else {}
    plan = plan_of(problem, net, epochs=size.epochs, loss="squared-error", **stopping)
    run = Run(out, plan, problem)
    run.claim({"part": name, "size": size._asdict(), "words": words}, resume=True)
    rows = run.by_list(search.grid(space))
    for key in ("batch-size", "width", "learning-rate", "depth"):
        if key in table.numeric(rows):
            style.save_both(figures.effect_figure(rows, key), out / key)
    print("\n".join(run.finish(rows)))
    return rows


def by_optuna(name: str, size: Size, problem: Problem, out: Path) -> list[Row]:
    """Let Optuna search as in the report, with a line in TensorBoard for each trial."""
    words = STUDIES[name]
    if size.few:
        words = ("batch-size=32", *words[1:3])
        words += () if name == "lenet5" else ("width=4..8",)
    space = search.parse(words, ranges=True)
    plan = plan_of(problem, name, epochs=size.epochs, patience=3)
    run = Run(out, plan, problem, tensorboard=True)
    settings = {"part": name, "size": size._replace(trials=0)._asdict()}
    run.claim(settings | {"words": words}, resume=True)
    rows = run.by_optuna(space, size.trials, batch=min(8, size.trials))
    print("\n".join(run.finish(rows)))
    return rows


def by_seed(size: Size, problem: Problem, out: Path) -> list[Row]:
    """Train the best settings of the report and ours from several seeds."""
    found = []
    for net, whose, schedule, epochs, given in BEST:
        point: dict[str, Any] = dict(given)
        if size.few:
            point |= {"width": 8} if "width" in point else {}
        epochs = min(epochs, size.epochs) if size.few else epochs
        points: list[Point] = search.grid(
            {name: [value] for name, value in point.items()}
            | {"seed": list(range(size.seeds))}
        )
        print(f"{net}, {whose}:", file=sys.stderr)
        plan = plan_of(problem, net, epochs=epochs, schedule=schedule)
        run = Run(out / f"{net}-{whose}", plan, problem)
        settings = {"size": size._asdict(), "epochs": epochs, "point": point}
        run.claim(settings | {"schedule": schedule}, resume=True)
        (mean,) = table.average(run.by_list(points), over=("fold", "seed"))
        found.append({"net": net, "settings": whose, **mean})
    return found


def main(
    size: str,
    out: Path,
    *,
    parts: Sequence[str] = PARTS,
    data_dir: str | None = None,
) -> dict[str, list[Row]]:
    """Do the parts; what is done already is read back.

    Args:
      size: a name of `SIZES`.
      out: folder; each part has one in it.
      parts: names of `PARTS`.
      data_dir: folder of the source images.

    Returns:
      The tables, by part; `out/best.json` has that of the best settings.

    Raises:
      UsageError: an unknown name, or `out` holds searches of other settings.
    """
    chosen = SIZES[check_name(size, SIZES, "size")]
    for name in parts:
        check_name(name, PARTS, "part")
    problem = load(chosen, data_dir)
    found: dict[str, list[Row]] = {}
    for number, name in enumerate(parts, start=1):
        print(f"{name} ({number} of {len(parts)}):", file=sys.stderr)
        if name in GRIDS:
            found[name] = by_grid(name, chosen, problem, out / name)
        elif name in STUDIES:
            found[name] = by_optuna(name, chosen, problem, out / f"optuna-{name}")
        else:
            found[name] = by_seed(chosen, problem, out)
            write_json(out / "best.json", found[name])
            print(best_table(found[name]))
    return found


def best_table(rows: Sequence[Row]) -> str:
    """Lay the best settings out in Markdown."""

    def share(row: Row, name: str) -> str:
        return plus_minus(row[name], row[f"{name}_std"], 2, scale=100) + " %"

    return markdown(
        ["network", "settings", "test accuracy", "validation", "seeds"],
        [
            [
                row["net"],
                row["settings"],
                share(row, "test_accuracy"),
                share(row, "accuracy"),
                row["count"],
            ]
            for row in rows
        ],
    )


def _parser() -> cli.Parser:
    parser = cli.script_parser("classics.py", __doc__)
    parser.add_argument("--size", default="full", help=", ".join(SIZES))
    parser.add_argument("--data-dir", help="folder of IDX files; else JAXPARETO_DATA")
    parser.add_argument(
        "--parts",
        type=lambda text: text.split(","),
        default=PARTS,
        metavar="A,B",
        help="by default all: " + ", ".join(PARTS),
    )
    parser.set_defaults(
        run=lambda asked: main(
            asked.size, asked.out, parts=asked.parts, data_dir=asked.data_dir
        ),
        prepare=one_device_per_core,
    )
    return parser


if __name__ == "__main__":
    sys.exit(cli.guarded(_parser))
