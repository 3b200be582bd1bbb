"""`jaxpareto front`, `eval`: learn a front, look at it again."""

import argparse
import dataclasses
import shlex
from pathlib import Path
from typing import Any, NoReturn

import numpy as np

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
        nargs="?",
        metavar="PRESET",
        help="say what each preset, conditioner, rule and sampler does, or the "
        "settings of a preset, and stop",
    )
    add_devices(parser, "preferences")
    add_settings(parser)


def add_settings(parser: argparse.ArgumentParser) -> None:
    """Add `--data-dir`, and one option for each field of `Config`.

    Settings that are not given stay absent.
    """
    from jaxpareto.train.config import Config

    parser.add_argument("--data-dir", help="folder of IDX files; else JAXPARETO_DATA")
    group = parser.add_argument_group("settings of the run")
    add_fields(group, Config, _other_defaults())


def _other_defaults() -> dict[str, dict[str, Any]]:
    """Find the settings whose default a data set or a conditioner changes.

    Returns:
      Field of `Config` -> {name of what changes it: the default there}.
    """
    from jaxpareto.data import DATASETS
    from jaxpareto.train.config import DEFAULTS, Config

    changes: list[tuple[str, dict[str, Any]]] = [
        (name, {"train_pairs": each.train_pairs, "test_pairs": each.test_pairs})
        for name, each in DATASETS.items()
    ]
    for names, settings in DEFAULTS.items():
        where = names if isinstance(names, str) else " with ".join(names)
        changes.append((where, settings))
    found: dict[str, dict[str, Any]] = {}
    for where, settings in changes:
        for name, value in settings.items():
            if value != getattr(Config, name):
                found.setdefault(name, {})[where] = value
    return found


def given_settings(asked: argparse.Namespace) -> dict[str, Any]:
    """Pick the settings that the call names."""
    from jaxpareto.train.config import Config

    return given_fields(asked, Config)


class _List(argparse.Action):
    """Print what can be named, one line each, or what a preset sets, and leave."""

    def __call__(
        self, parser: argparse.ArgumentParser, _: Any, name: Any, *__: Any
    ) -> NoReturn:
        if name is None:
            _list_names()
        else:
            _list_preset(name)
        parser.exit()


def _list_names() -> None:
    from jaxpareto import prefs, rules
    from jaxpareto.conditioned import CONDITIONERS
    from jaxpareto.train.presets import PRESETS

    print("--preset NAME: the settings of a method; --list NAME shows them")
    columns([(name, each.paper) for name, each in PRESETS.items()])
    print("\n--conditioner NAME: how the network depends on the preference")
    columns([(name, each.about, each.source) for name, each in CONDITIONERS.items()])
    print("\n--rule NAME: how the tasks are weighed at a preference")
    columns([(name, *rules.ABOUT[name]) for name in rules.RULES])
    print("\n--sampler NAME: where the preferences of a step come from")
    columns([(name, *prefs.ABOUT[name]) for name in prefs.SAMPLERS])
    print("\n--conditioner-options NAME=VALUE,...: with their defaults")
    columns([(n, _words(each.options)) for n, each in CONDITIONERS.items()])
    print("\n--rule-options NAME=VALUE,...: with their defaults")
    columns([(name, _words(rules.options_of(name))) for name in rules.RULES])


def _list_preset(name: str) -> None:
    from jaxpareto.train.folder import flag
    from jaxpareto.train.presets import preset

    found = preset(name)
    print(f"--preset {name}: {found.paper}\nwhere it departs: {found.departs}\n")
    print("It is these settings; any can be given again beside it:")
    for each, value in found.settings.items():
        if isinstance(value, bool):
            print(f"  {flag(each if value else f'no_{each}')}")
        else:
            print(f"  {flag(each)} {shlex.quote(str(value))}")


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
    asked.out = out = out or _free_folder(config.data)
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
    _show(found, out / "front", plot)
    print(f"training {found['seconds_training']:.1f} s", end=", ")
    print(f"evaluation {found['seconds_evaluation']:.1f} s")


def add_eval(commands: Any) -> None:
    """Add `eval`: evaluate a run again."""
    parser = command(commands, "eval", "evaluate a run again", _eval)
    parser.add_argument("folder", type=Path, metavar="RUN", help="folder of the run")
    parser.add_argument(
        "--prefs",
        type=int,
        metavar="K",
        help="how many preferences; other than the run's own go to front-K.json",
    )
    parser.add_argument("--pref", help="one alone, as 0.3,0.7; writes nothing")
    parser.add_argument(
        "--split", default="test", help="test (the default) or validation"
    )
    parser.add_argument("--data-dir", help="folder of IDX files; else as in training")


def _eval(asked: argparse.Namespace) -> None:
    from jaxpareto.prefs import parse_pref
    from jaxpareto.report import front_rows
    from jaxpareto.train.log import read_metrics, write_json
    from jaxpareto.train.run import load, recorded_data_dir

    if asked.pref is not None and asked.prefs is not None:
        raise UsageError("--pref is one preference, --prefs how many: give one of them")
    front = load(asked.folder)
    pref = None if asked.pref is None else parse_pref(asked.pref, front.shape.tasks)
    found = front.evaluate(
        asked.prefs if pref is None else pref[None],
        split=asked.split,
        data_dir=asked.data_dir or recorded_data_dir(asked.folder),
    )
    if not front.finished:
        print(f"an interrupted run: {front.epoch} of {front.config.epochs} epochs")
    if pref is not None:
        print(front_rows(found) + trained_for(front, pref))
        return
    lines = read_metrics(asked.folder / "metrics.jsonl")
    found["seconds_training"] = round(
        sum(line["seconds"] for line in lines if line["epoch"] <= front.epoch), 3
    )
    path = asked.folder / _name(front, asked.prefs, asked.split)
    write_json(path.with_suffix(".json"), found)
    _show(found, path, require("jaxpareto.plot", "plot"))
    own = len(front.prefs(asked.prefs))
    if asked.prefs not in (None, own):
        print(f"independent networks: {own} of them, each at its own preference")


def _name(front: Any, k: int | None, split: str) -> str:
    """Name a front: only the run's own preferences on the test set are `front`."""
    name = "front" if split == "test" else f"front-{split}"
    own = np.array_equal(front.prefs(k), front.prefs())
    return name if own else f"{name}-{k}"


def trained_for(front: Any, pref: Any) -> str:
    """Say where the network that answers was trained, if not for this preference."""
    nearest = front.trained_pref(pref)
    if np.array_equal(nearest, np.asarray(pref, np.float32)):
        return ""
    return (
        f"\nindependent networks, {len(front.prefs())} of them, and none for this "
        "preference: this is the nearest, trained for "
        + ",".join(f"{x:.6g}" for x in nearest)
    )


def _show(found: dict[str, Any], path: Path, plot: Any) -> None:
    """Print a front, and draw it beside its numbers; `path` has no ending."""
    from jaxpareto.report import table

    picture = path.with_suffix(".png")
    for ending in (".svg", ".png"):
        plot.save_front(found, picture.with_suffix(ending))
    print(table(found))
    if found["hypervolume"] == 0.0:
        reference = ", ".join(f"{x:g}" for x in found["reference"])
        print(
            f"no network is better than the reference ({reference}) at every task: "
            "train longer (--epochs), or, where losses are large, try a lower "
            "--learning-rate"
        )
    print(f"numbers: {path.with_suffix('.json')}   picture: {picture}")


def _free_folder(data: str) -> Path:
    """Find the first unused `runs/NAME-NNN`."""
    number = 1
    while (folder := Path("runs") / f"{data}-{number:03d}").exists():
        number += 1
    return folder
