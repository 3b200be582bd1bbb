"""Options of commands that may use many devices, and many processes."""

import argparse


def add_devices(parser: argparse.ArgumentParser, what: str) -> None:
    """Add `--devices` and the four that say where processes meet.

    Args:
      parser: of the command.
      what: is shared out beside the batch, in words.
    """
    group = parser.add_argument_group("devices and processes (docs/scaling.md)")
    add = group.add_argument
    add("--devices", metavar="N|PxB", help=f"how many, or {what} x batch; all at most")
    add("--processes", metavar="N", help="how many run this command, or auto")
    add("--process-id", metavar="I", help="of this one, from 0")
    add("--coordinator", metavar="HOST:PORT", help="of process 0, where they meet")
    add("--wait", metavar="SECONDS", help="for the others to come; 120 unless said")
    parser.set_defaults(meets=True)


def meet(asked: argparse.Namespace) -> None:
    """Join the other processes, where the command may have some."""
    if getattr(asked, "meets", False):
        from jaxpareto.train.processes import Meeting, join

        join(Meeting(**{name: getattr(asked, name) for name in Meeting._fields}))
