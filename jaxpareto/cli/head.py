"""`jaxpareto head`: what each class wants of the weight decay of a logistic head."""

import argparse
import dataclasses
from pathlib import Path
from typing import Any

from jaxpareto.cli.devices import add_devices
from jaxpareto.cli.parser import add_fields, command, given_fields
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
    add_devices(parser, "decays")
    add_head_settings(parser)


def add_head_settings(parser: argparse.ArgumentParser) -> None:
    """Add one option for each field of `HeadConfig`; absent ones stay absent."""
    from jaxpareto.train.head_config import HeadConfig

    add_fields(parser.add_argument_group("settings of the study"), HeadConfig)


def _head(asked: argparse.Namespace) -> None:
    from jaxpareto.report import study_table
    from jaxpareto.train.head_config import FAITHFUL, HeadConfig
    from jaxpareto.train.processes import speaks
    from jaxpareto.train.study import read_config, run_study

    given = given_fields(asked, HeadConfig)
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
    found = run_study(
        config,
        asked.out,
        resume=asked.resume,
        quiet=asked.quiet,
        devices=asked.devices,
    )
    if not speaks():
        return
    files = plot.save_study(asked.out, series=config.series)
    print(study_table(found))
    print(f"numbers: {asked.out / 'study.json'}   figures: {files[0].parent}")
