"""`jaxpareto head`: what each class wants of the weight decay of a logistic head."""

import argparse
import dataclasses
from pathlib import Path
from typing import Any

from jaxpareto.cli.parser import command
from jaxpareto.errors import UsageError, require


def add_head(commands: Any) -> None:
    """Add the command."""
    parser = command(
        commands, "head", "sweep the weight decay of a head on frozen features", _head
    )
    parser.add_argument(
        "features",
        nargs="?",
        metavar="FEATURES",
        help="a store, or one of digits, digits-d4, synthetic; as --data",
    )
    parser.add_argument("--out", type=Path, required=True, help="folder of the study")
    parser.add_argument(
        "--resume", action="store_true", help="continue the study in --out"
    )
    parser.add_argument(
        "--faithful",
        action="store_true",
        help="do what the report's own listing does; other options switch it back",
    )
    parser.add_argument("--quiet", action="store_true", help="show no progress")
    add_head_settings(parser)


def add_head_settings(parser: argparse.ArgumentParser) -> None:
    """Add one option for each field of `HeadConfig`; absent ones stay absent."""
    from jaxpareto.cli.front import add_fields
    from jaxpareto.train.head_config import HeadConfig

    add_fields(parser.add_argument_group("settings of the study"), HeadConfig)


def _head(asked: argparse.Namespace) -> None:
    from jaxpareto.train.head_config import FAITHFUL, HeadConfig
    from jaxpareto.train.study import read_config, run_study

    names = [each.name for each in dataclasses.fields(HeadConfig)]
    given = {name: getattr(asked, name) for name in names if hasattr(asked, name)}
    if asked.features is not None:
        if given.get("data", asked.features) != asked.features:
            raise UsageError(
                f"FEATURES is {asked.features}, and --data {given['data']}"
            )
        given["data"] = asked.features
    if asked.faithful:
        given = FAITHFUL | given
    if asked.resume and (asked.out / "config.json").exists():
        given = dataclasses.asdict(read_config(asked.out)) | given
    config = HeadConfig(**given)
    plot = require("jaxpareto.plot", "plot")
    require("matplotlib", "plot")
    found = run_study(config, asked.out, resume=asked.resume, quiet=asked.quiet)
    files = plot.save_study(asked.out, series=config.series)
    print(summary(found))
    print(f"numbers: {asked.out / 'study.json'}   figures: {files[0].parent}")


def summary(found: dict[str, Any]) -> str:
    """Lay out what a study found, a line for every decay."""
    heads, exact = found["heads"], found.get("exact")
    solved = dict(zip(exact["decay"], exact["test_loss"], strict=True)) if exact else {}
    lines = [
        f"{found['rows']['train']:,} training and {found['rows']['test']:,} test rows, "
        f"{found['features']:,} features, {found['classes']:,} classes: "
        f"{found['about']}",
        f"learning rate {found['rate']:.3g}, stable below {found['stable_rate']:.3g}",
        "",
        f"{'decay':>9}{'train CE':>10}{'test CE':>9}{'accuracy':>10}{'gap':>10}"
        f"{'classes':>9}" + (f"{'exact CE':>10}" if exact else ""),
    ]
    counts = found["per_class"]["choices_test"]
    for i, decay in enumerate(heads["decay"]):
        gap = heads["gap"][i]
        lines.append(
            f"{decay:>9.2g}{heads['train_loss'][i]:>10.4f}{heads['test_loss'][i]:>9.4f}"
            f"{heads['test_accuracy'][i]:>10.2%}"
            f"{'-' if gap is None else format(gap, '.1e'):>10}{counts[i]:>9}"
            + (f"{solved[decay]:>10.4f}" if decay in solved else "")
        )
    return "\n".join([*lines, "", *_choice_lines(found)])


def _choice_lines(found: dict[str, Any]) -> list[str]:
    """Say what was chosen, for trained heads and for solved ones."""
    lines = []
    for name, ending in (("trained", ""), ("exact", "_exact")):
        if f"chosen{ending}" not in found:
            continue
        chosen, each = found[f"chosen{ending}"], found[f"per_class{ending}"]
        lines.append(
            f"{name} heads: decay {chosen['decay']:.3g}, chosen by {chosen['by']}: "
            f"test cross-entropy {chosen['loss']:.4f} +- {chosen['standard_error']:.4f}"
        )
        lines.append(
            f"  {each['differ_at_99_percent']} classes surely want another; their own "
            f"choices gain {each['gain_on_the_rows_that_chose']:.4f} on the rows that "
            f"chose, {each['gain_on_the_other_half']:.4f} on others"
        )
    return lines
