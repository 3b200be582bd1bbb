"""`jaxpareto search`: train many configurations of a classic network at once."""

import argparse
from pathlib import Path
from typing import Any

from jaxpareto.backend import one_device_per_core
from jaxpareto.cli.parser import columns, command
from jaxpareto.errors import UsageError, check_name


def add_search(commands: Any) -> None:
    """Add `search`: a grid, draws, or a study."""
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
    add("--schedule", default="constant", help="of the learning rate")
    add("--loss", help="cross-entropy, squared-error or binary-cross-entropy")
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
    from jaxpareto.search import folder, source

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
        schedule=asked.schedule,
        loss=asked.loss,
    )
    search.check(plan, space, problem.data)
    run = folder.Run(
        asked.out, plan, problem, quiet=asked.quiet, tensorboard=asked.tensorboard
    )
    run.claim(_settings(asked), resume=asked.resume)
    if asked.trials:
        rows = run.by_optuna(space, asked.trials, batch=asked.batch, seed=asked.seed)
    else:
        points = (
            search.draw(space, asked.draw, asked.seed)
            if asked.draw
            else search.grid(space)
        )
        rows = run.by_list(points, at_once=asked.at_once)
    for line in run.finish(rows):
        print(line)


def _settings(asked: argparse.Namespace) -> dict[str, Any]:
    """Pick what a call that continues a search must say again."""
    free = ("out", "resume", "quiet", "debug", "tensorboard", "list", "data_dir")
    free += ("run", "prepare", "parser", "trials", "at_once", "batch")
    return {name: x for name, x in vars(asked).items() if name not in free}


def _list() -> None:
    from jaxpareto.nets import CLASSICS
    from jaxpareto.search import HYPERPARAMETERS

    print("--net NAME")
    columns([(name, each.about) for name, each in CLASSICS.items()])
    print("\n--grid NAME=VALUE,VALUE or NAME=LOW..HIGH")
    columns([(name, each.about) for name, each in HYPERPARAMETERS.items()])
