"""`jaxpareto search`: train many configurations of a classic network at once."""

import argparse
import json
import sys
from pathlib import Path
from typing import Any

from jaxpareto.backend import one_device_per_core
from jaxpareto.cli.parser import columns, command
from jaxpareto.errors import RunError, UsageError, check_name, require


def add_search(commands: Any) -> None:
    parser = command(
        commands, "search", "train many configurations of a network at once", _search
    )
    parser.set_defaults(prepare=one_device_per_core)
    add = parser.add_argument
    add("--net", default="mlp", help="--list says which")
    add("--data", default="digits", help="digits, mnist, fashion-mnist or kmnist")
    add("--data-dir", help="folder of IDX files; else JAXPARETO_DATA")
    add(
        "--grid",
        nargs="*",
        default=[],
        metavar="NAME=A,B",
        help="as learning-rate=1e-3,1e-2 width=64,128 seed=0..4",
    )
    add("--draw", type=int, metavar="N", help="draw N points, also from LOW..HIGH")
    add("--trials", type=int, metavar="N", help="N trials by Optuna, the same way")
    add("--epochs", type=int, default=20, help="at most")
    add("--patience", type=int, help="epochs without improvement before one stops")
    add("--min-delta", type=float, default=0.0, help="what counts as improvement")
    add("--folds", type=int, default=1, help="of a cross-validation; 1 is a split")
    add("--validation", type=float, default=0.2, help="share of the rows in a split")
    add("--rows", type=int, metavar="N", help="use N training images, drawn by --seed")
    add("--seed", type=int, default=0, help="of the split, the folds and the draws")
    add("--at-once", type=int, default=64, metavar="N", help="most networks of a call")
    add("--batch", type=int, default=8, metavar="N", help="trials of a call (--trials)")
    add("--out", type=Path, help="folder of the search")
    add("--resume", action="store_true", help="continue the search in --out")
    add("--tensorboard", action="store_true", help="also write for TensorBoard")
    add("--quiet", action="store_true", help="show no progress")
    add("--list", action="store_true", help="say what can be searched, and stop")


def _search(asked: argparse.Namespace) -> None:
    if asked.list:
        return _list()
    if asked.out is None:
        raise UsageError("name the folder of the search with --out")
    from jaxpareto import search
    from jaxpareto.search import source

    if asked.draw is not None and asked.trials is not None:
        raise UsageError("give --draw or --trials, not both")
    ranges = asked.draw is not None or asked.trials is not None
    space = search.parse(asked.grid, ranges=ranges)
    for name in ("draw", "trials", "at_once", "batch", "rows"):
        if (found := getattr(asked, name)) is not None and found < 1:
            raise UsageError(f"--{name.replace('_', '-')} must be at least 1: {found}")
    check_name(asked.net, search.CLASSICS, "network")
    problem = source.load(
        asked.net,
        asked.data,
        asked.data_dir,
        rows=asked.rows,
        folds=asked.folds,
        validation=asked.validation,
        seed=asked.seed,
    )
    plan = search.Plan(
        asked.net,
        problem.image,
        problem.classes,
        epochs=asked.epochs,
        patience=asked.patience,
        min_delta=asked.min_delta,
        folds=asked.folds,
    )
    search.check(plan, space, problem.data)
    if asked.tensorboard:
        require("tensorboardX", "tensorboard")
    require("matplotlib", "plot")
    _open(asked)
    rows = (_by_optuna if asked.trials else _by_list)(asked, plan, space, problem)
    _finish(asked, rows)


def _by_list(asked: argparse.Namespace, plan: Any, space: Any, problem: Any) -> Any:
    """Train the points of a grid, or drawn ones, that are not in the table yet."""
    from jaxpareto import search
    from jaxpareto.train.log import Progress

    points = (
        search.draw(space, asked.draw, asked.seed) if asked.draw else search.grid(space)
    )
    path = asked.out / "trials.csv"
    rows = search.read_csv(path) if path.exists() else []
    done = {row["trial"] for row in rows}
    left = [i for i in range(len(points)) if i not in done]
    total, before = len(points) * plan.epochs, len(done) * plan.epochs
    bar = Progress(total, before, quiet=asked.quiet)
    moved = {"epochs": 0}

    def watch(group: Any) -> None:
        ahead = sum(
            plan.epochs if over else int(epochs)
            for over, epochs in zip(group.done, group.epochs, strict=True)
        )
        bar.advance(ahead - moved["epochs"], f"best loss {group.best_loss.min():.4f}")
        moved["epochs"] = ahead

    def keep(group: Any, found: list[Any]) -> None:
        rows.extend(found)
        rows.sort(key=lambda row: (row["trial"], row["fold"]))
        search.write_csv(rows, path)
        moved["epochs"] = 0
        _show(asked, group, found)

    try:
        search.run(
            plan,
            [points[i] for i in left],
            problem.data,
            numbers=left,
            test=problem.test,
            at_once=asked.at_once,
            every=max(1, plan.epochs // 20),
            watch=watch,
            keep=keep,
        )
    finally:
        bar.close()
    return rows


def _by_optuna(asked: argparse.Namespace, plan: Any, space: Any, problem: Any) -> Any:
    from jaxpareto.search import study
    from jaxpareto.train.log import Progress

    journal = asked.out / "study.journal"
    before = study.counted(study.open_study(journal, asked.seed))
    bar = Progress(asked.trials, min(before, asked.trials), quiet=asked.quiet)
    moved = {"trials": before}

    def watch(done: int, _: Any) -> None:
        bar.advance(max(done - moved["trials"], 0), f"{done} trials")
        moved["trials"] = done

    try:
        rows = study.optimise(
            plan,
            space,
            problem.data,
            journal,
            trials=asked.trials,
            batch=asked.batch,
            seed=asked.seed,
            test=problem.test,
            keep=lambda group, found: _show(asked, group, found),
            watch=watch,
        )
    finally:
        bar.close()
    return rows


def _show(asked: argparse.Namespace, group: Any, rows: list[Any]) -> None:
    if asked.tensorboard:
        from jaxpareto.search import board

        board.write_trials(asked.out / "tensorboard", group, rows)


def _open(asked: argparse.Namespace) -> None:
    """Make the folder, or check that it holds this search."""
    from jaxpareto.train.log import write_json

    path = asked.out / "search.json"
    free = ("out", "resume", "quiet", "debug", "tensorboard", "list", "data_dir")
    free += ("run", "prepare", "parser", "trials", "at_once", "batch")
    mine = {name: x for name, x in vars(asked).items() if name not in free}
    if asked.out.is_file():
        raise UsageError(f"--out {asked.out} is a file; name a folder")
    if not path.exists():
        if asked.out.exists() and any(asked.out.iterdir()):
            raise UsageError(f"{asked.out} is not empty and holds no search")
        asked.out.mkdir(parents=True, exist_ok=True)
        return write_json(path, mine)
    if not asked.resume:
        raise UsageError(
            f"{asked.out} holds a search; name a new --out, or continue it with "
            "--resume"
        )
    try:
        stored = json.loads(path.read_text())
    except json.JSONDecodeError as error:
        raise RunError(f"{path} is damaged: {error}") from error
    if other := [name for name in mine if stored.get(name) != mine[name]]:
        raise UsageError(
            f"{asked.out} holds a search with another {', '.join(other)}; name a new "
            "--out"
        )


def _finish(asked: argparse.Namespace, rows: list[Any]) -> None:
    """Write the table and the figures, and say what was best."""
    from jaxpareto import search
    from jaxpareto.search import board, figures

    search.write_csv(rows, asked.out / "trials.csv")
    drawn = {
        "correlations": figures.correlation_figure(rows),
        "parallel": figures.parallel_figure(rows),
    }
    for name, figure in drawn.items():
        figures.save(figure, asked.out / f"{name}.png")
    if asked.tensorboard:
        board.write_figures(asked.out / "tensorboard", drawn)
    states = [row["status"] for row in rows]
    told = ", ".join(
        f"{states.count(name)} {name}"
        for name in (search.FINISHED, search.PRUNED, search.FAILED)
    )
    print(f"{len(rows)} networks: {told}")
    for line in search.lines(rows):
        print(line)
    print(f"table: {asked.out}/trials.csv   pictures: {asked.out}/*.png")
    if search.FINISHED not in states:
        print("no network has finished; try smaller learning rates", file=sys.stderr)


def _list() -> None:
    from jaxpareto.nets import CLASSICS
    from jaxpareto.search import HYPERPARAMETERS

    print("--net NAME")
    columns([(name, each.about) for name, each in CLASSICS.items()])
    print("\n--grid NAME=VALUE,VALUE or NAME=LOW..HIGH")
    columns([(name, each.about) for name, each in HYPERPARAMETERS.items()])
