"""`jaxpareto front`, `eval`: learn a front, look at it again."""

import argparse
import dataclasses
from pathlib import Path
from typing import Any, NoReturn

from jaxpareto.cli.devices import add_devices
from jaxpareto.cli.parser import add_fields, columns, command, given_fields
from jaxpareto.errors import UsageError, require


def add_front(commands: Any) -> None:
    """Add `front`: train a family of networks and evaluate it."""
    parser = command(
        commands, "front", "train a conditioned network and evaluate its front", _front
    )
    parser.add_argument("--out", type=Path, help="folder of the run; else runs/NAME")
    parser.add_argument(
        "--resume",
        action="store_true",
        help="continue the run in --out, if there is one",
    )
    parser.add_argument(
        "--tensorboard", action="store_true", help="also write for TensorBoard"
    )
    parser.add_argument("--quiet", action="store_true", help="show no progress")
    parser.add_argument(
        "--preset", metavar="NAME", help="the settings of a method (--list)"
    )
    parser.add_argument(
        "--list",
        action=_List,
        help="say what each preset, conditioner, rule and sampler does, and stop",
    )
    add_devices(parser, "preferences")
    add_settings(parser)


def add_settings(parser: argparse.ArgumentParser) -> None:
    """Add `--data-dir`, and one option for each field of `Config`.

    Settings that are not given stay absent.
    """
    from jaxpareto.train.config import Config

    parser.add_argument("--data-dir", help="folder of IDX files; else JAXPARETO_DATA")
    add_fields(parser.add_argument_group("settings of the run"), Config)


def given_settings(asked: argparse.Namespace) -> dict[str, Any]:
    """Pick the settings that the call names."""
    from jaxpareto.train.config import Config

    return given_fields(asked, Config)


class _List(argparse.Action):
    """Print what can be named, one line each, and leave."""

    def __init__(self, *args: Any, **settings: Any):
        super().__init__(*args, **(settings | {"nargs": 0}))

    def __call__(self, parser: argparse.ArgumentParser, *_: Any) -> NoReturn:
        from jaxpareto import prefs, rules
        from jaxpareto.conditioned import CONDITIONERS
        from jaxpareto.train.presets import PRESETS

        print("--preset NAME: the settings of a method")
        columns([(name, each.paper) for name, each in PRESETS.items()])
        print("\n--conditioner NAME: how the network depends on the preference")
        columns(
            [(name, each.about, each.source) for name, each in CONDITIONERS.items()]
        )
        print("\n--rule NAME: how the tasks are weighed at a preference")
        columns([(name, *rules.ABOUT[name]) for name in rules.RULES])
        print("\n--sampler NAME: where the preferences of a step come from")
        columns([(name, *prefs.ABOUT[name]) for name in prefs.SAMPLERS])
        print("\n--conditioner-options NAME=VALUE,...: with their defaults")
        columns([(n, _words(each.options)) for n, each in CONDITIONERS.items()])
        print("\n--rule-options NAME=VALUE,...: with their defaults")
        columns([(name, _words(rules.options_of(name))) for name in rules.RULES])
        parser.exit()


def _words(known: dict[str, Any]) -> str:
    """Spell options as the command line takes them."""
    from jaxpareto.options import spell

    return spell(known) or "-"


def _front(asked: argparse.Namespace) -> None:
    from jaxpareto.train.config import configure
    from jaxpareto.train.presets import preset
    from jaxpareto.train.processes import many, speaks
    from jaxpareto.train.run import read_config, recorded_data_dir, train_front

    given = given_settings(asked)
    if asked.preset is not None:  # as if its settings had been typed
        given = preset(asked.preset).settings | given
    out, data_dir = asked.out, asked.data_dir
    if asked.resume:
        if out is None:
            raise UsageError("--resume needs --out, the folder of the run to continue")
        if (out / "config.json").exists():
            stored, _ = read_config(out)
            given = dataclasses.asdict(stored) | given
            data_dir = data_dir or recorded_data_dir(out)
    config = configure(**given)
    if out is None and many():
        raise UsageError("many processes share one folder; name it with --out")
    out = out or _free_folder(config.data)
    plot = require("jaxpareto.plot", "plot")
    require("matplotlib", "plot")
    _, found = train_front(
        config,
        out,
        data_dir=data_dir,
        resume=asked.resume,
        tensorboard=asked.tensorboard,
        quiet=asked.quiet,
        devices=asked.devices,
    )
    if not speaks():
        return
    counts = found["parameters"]
    print(
        f"{config.conditioner} x {config.rule} on {config.data}: {config.network} of "
        f"{counts['target']:,} parameters from {counts['conditioned']:,}"
    )
    _show(found, out, plot)
    print(f"training {found['seconds_training']:.1f} s", end=", ")
    print(f"evaluation {found['seconds_evaluation']:.1f} s")


def add_eval(commands: Any) -> None:
    """Add `eval`: evaluate a run again."""
    parser = command(commands, "eval", "evaluate a run again", _eval)
    parser.add_argument("folder", type=Path, metavar="RUN", help="folder of the run")
    parser.add_argument("--prefs", type=int, metavar="K", help="how many preferences")
    parser.add_argument(
        "--split", default="test", help="test (the default) or validation"
    )
    parser.add_argument("--data-dir", help="folder of IDX files; else as in training")


def _eval(asked: argparse.Namespace) -> None:
    from jaxpareto.train.log import read_metrics, write_json
    from jaxpareto.train.run import load, recorded_data_dir

    front = load(asked.folder)
    found = front.evaluate(
        asked.prefs,
        split=asked.split,
        data_dir=asked.data_dir or recorded_data_dir(asked.folder),
    )
    lines = read_metrics(asked.folder / "metrics.jsonl")
    found["seconds_training"] = round(
        sum(line["seconds"] for line in lines if line["epoch"] <= front.epoch), 3
    )
    if not front.finished:
        print(f"an interrupted run: {front.epoch} of {front.config.epochs} epochs")
    # The test front keeps its name; another split must not take its place.
    stem = "front" if asked.split == "test" else f"front-{asked.split}"
    write_json(asked.folder / f"{stem}.json", found)
    _show(found, asked.folder, require("jaxpareto.plot", "plot"), stem)


def _show(found: dict[str, Any], folder: Path, plot: Any, stem: str = "front") -> None:
    from jaxpareto.report import table

    picture = folder / f"{stem}.png"
    for ending in (".svg", ".png"):
        plot.save_front(found, picture.with_suffix(ending))
    print(table(found))
    print(f"numbers: {folder / stem}.json   picture: {picture}")


def _free_folder(data: str) -> Path:
    """Find the first unused `runs/NAME-NNN`."""
    number = 1
    while (folder := Path("runs") / f"{data}-{number:03d}").exists():
        number += 1
    return folder
