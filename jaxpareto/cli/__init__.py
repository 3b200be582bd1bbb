"""The command `jaxpareto`: words in, one call of the library, words out.

Exit status: 0 done; 1 it failed; 2 the words of the call are wrong. Each failure is one
line that says what was found and what to do; `--debug` shows the traceback instead. A
file of this room has the commands of one habit: their words, and what they do.
"""

import sys
from collections.abc import Sequence

from jaxpareto import __version__
from jaxpareto.cli.devices import add_devices
from jaxpareto.cli.export import add_export
from jaxpareto.cli.front import (
    add_eval,
    add_front,
    add_settings,
    given_settings,
)
from jaxpareto.cli.head import add_head
from jaxpareto.cli.parser import Parser, guarded, script_parser
from jaxpareto.cli.report import add_report
from jaxpareto.cli.search import add_search
from jaxpareto.cli.store import add_extract, add_store

__all__ = [
    "Parser",
    "add_devices",
    "add_settings",
    "given_settings",
    "guarded",
    "main",
    "script_parser",
]


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit status."""
    if not (sys.argv[1:] if argv is None else argv):
        _parser().print_help(sys.stderr)
        return 2
    return guarded(_parser, argv)


def _parser() -> Parser:
    parser = Parser(
        prog="jaxpareto",
        description="One training run, every trade-off.",
        epilog="jaxpareto COMMAND --help says more of each.",
    )
    parser.add_argument("--version", action="version", version=__version__)
    commands = parser.add_subparsers(
        title="commands", metavar="COMMAND", required=True, parser_class=Parser
    )
    add_front(commands)
    add_eval(commands)
    add_export(commands)
    add_report(commands)
    add_head(commands)
    add_extract(commands)
    add_store(commands)
    add_search(commands)
    return parser
