"""Words in, one call, an exit status out: what every command and experiment shares."""

import argparse
import dataclasses
import os
import sys
from collections.abc import Callable, Mapping, Sequence
from difflib import get_close_matches
from errno import EDQUOT, ENOSPC
from pathlib import Path
from typing import Any, NoReturn

from jaxpareto.backend import collect_rarely, compile_quickly, keep_compiled
from jaxpareto.cli.devices import meet
from jaxpareto.errors import RunError, UsageError


class Parser(argparse.ArgumentParser):
    """A parser whose complaints are one line, and name the nearest option."""

    def __init__(self, **settings: Any):
        super().__init__(**settings, allow_abbrev=False)

    def error(self, message: str) -> NoReturn:
        raise UsageError(message)

    def parse_args(self, args: Any = None, namespace: Any = None) -> Any:
        found, unknown = self.parse_known_args(args, namespace)
        if unknown:
            mine = found.parser if "parser" in found else self
            word = unknown[0].split("=")[0]
            options = [o for action in mine._actions for o in action.option_strings]
            near = get_close_matches(word, options, n=2)
            hint = f"did you mean {' or '.join(near)}? " if near else ""
            raise UsageError(f"unknown word {word!r}; {hint}see {mine.prog} --help")
        return found


def guarded(
    make_parser: Callable[[], argparse.ArgumentParser],
    argv: Sequence[str] | None = None,
) -> int:
    """Parse, call `asked.run(asked)`, turn what goes wrong into a line and a status.

    Args:
      make_parser: a parser whose defaults set `run`, and perhaps `prepare`, which is
        called before it in place of `compile_quickly`.
      argv: the words of the call; by default the process's own.

    Returns:
      0 done, 1 failed, 2 wrong words, 130 interrupted.
    """
    argv = sys.argv[1:] if argv is None else list(argv)
    debug = "--debug" in argv
    asked: Any = None
    collect_rarely()
    try:
        asked = make_parser().parse_args(argv)
        keep_compiled()
        getattr(asked, "prepare", compile_quickly)()
        meet(asked)
        asked.run(asked)
    except UsageError as error:
        return _fail(error, str(error), 2, debug)
    except RunError as error:
        return _fail(error, str(error), 1, debug)
    except KeyboardInterrupt:
        print("\ninterrupted; continue with --resume", file=sys.stderr)
        return _alone(130)
    except BrokenPipeError:
        return 1
    except Exception as error:
        # As wide as this because nothing is above it: whatever was not foreseen is told
        # in one line and fails the command; `--debug` raises it again.
        what = f"{type(error).__name__}: {' '.join(str(error).split())[:300]}"
        line = f"{what} (unforeseen; --debug shows where)"
        processes = sys.modules.get("jaxpareto.train.processes")
        if processes is not None and processes.blames_others(error):
            line = processes.GONE
        if (refused := _refused(error, asked)) is not None:
            line = refused
        return _fail(error, line, 1, debug)
    return 0


def _refused(error: Exception, asked: Any) -> str | None:
    """Say that a folder cannot be written to, if that is what the error is about."""
    given, kept = getattr(asked, "out", None), getattr(asked, "folder", None)
    folder = given or kept
    if not isinstance(error, OSError) or not isinstance(folder, Path):
        return None
    why = error.strerror or type(error).__name__
    else_where = "name another --out" if given else "work on a copy of the folder"
    if error.errno in (ENOSPC, EDQUOT):
        return f"cannot write to {folder} ({why}); make room, or {else_where}"
    where = Path(error.filename) if isinstance(error.filename, str) else None
    if where is None or not (
        where.is_relative_to(folder) or folder.is_relative_to(where)
    ):
        return None
    return f"cannot write to {where} ({why}); {else_where}"


def _fail(error: Exception, line: str, status: int, debug: bool) -> int:
    if debug:
        raise error
    print(f"jaxpareto: error: {line}", file=sys.stderr)
    return _alone(status)


def _alone(status: int) -> int:
    """Return a status; one of many processes ends here: the others may wait for it."""
    processes = sys.modules.get("jaxpareto.train.processes")
    if processes is not None and processes.many():
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(status)
    return status


def command(commands: Any, name: str, help: str, run: Any) -> Parser:
    """Add a command; `run(asked)` carries it out."""
    parser = commands.add_parser(name, help=help, description=help)
    parser.add_argument("--debug", action="store_true", help="show tracebacks")
    parser.set_defaults(run=run, parser=parser)
    return parser


def script_parser(name: str, about: str | None) -> Parser:
    """Make the parser of an experiment: its docstring as help, `--out`, `--debug`."""
    parser = Parser(
        prog=name,
        description=about,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--out", type=Path, required=True, help="folder")
    parser.add_argument("--debug", action="store_true", help="show tracebacks")
    return parser


def columns(rows: Sequence[tuple[str, ...]]) -> None:
    """Print rows with their columns aligned."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        cells = [each.ljust(width) for each, width in zip(row, widths, strict=True)]
        print("  " + "  ".join(cells).rstrip())


def add_fields(
    group: Any, config: Any, others: Mapping[str, Mapping[str, Any]] | None = None
) -> None:
    """Add an option for each field of a dataclass of settings, its default in the help.

    Settings that are not given stay absent.

    Args:
      group: of the parser.
      config: the dataclass.
      others: field -> {where: its default there}.
    """
    from jaxpareto.train.folder import flag

    for each in dataclasses.fields(config):
        kind = type(each.default)
        more: dict[str, Any] = {"type": kind, "metavar": kind.__name__.upper()}
        if kind is bool:
            more = {"action": argparse.BooleanOptionalAction}
        said = [_spelled(each.default)] if each.default != "" else []
        elsewhere = (others or {}).get(each.name, {})
        said += [f"{_spelled(value)} for {name}" for name, value in elsewhere.items()]
        default = f" (default: {'; '.join(said)})" if said else ""
        group.add_argument(
            flag(each.name),
            default=argparse.SUPPRESS,
            help=(each.metadata["help"] + default).replace("%", "%%"),
            **more,
        )


def _spelled(value: Any) -> str:
    """Spell a default: `yes` and `no`, and floats as short as they were written."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    return f"{value:g}" if isinstance(value, float) else str(value)


def given_fields(asked: argparse.Namespace, config: Any) -> dict[str, Any]:
    """Pick the settings of a dataclass that the call names."""
    names = [each.name for each in dataclasses.fields(config)]
    return {name: getattr(asked, name) for name in names if hasattr(asked, name)}
