"""`jaxpareto report`: a run, or several, on one page that a browser opens."""

import argparse
from pathlib import Path
from typing import Any

from jaxpareto.cli.parser import command
from jaxpareto.errors import UsageError

_ANSWERS = 300_000
"""Probabilities on a page at most: with more runs or preferences, fewer images."""


def add_report(commands: Any) -> None:
    """Add the command."""
    parser = command(
        commands, "report", "write a page that shows a run, or compares some", _report
    )
    parser.add_argument(
        "folders", nargs="+", type=Path, metavar="RUN", help="folder of a run"
    )
    parser.add_argument(
        "--out",
        type=Path,
        help="file; else report.html, or comparison.html, in the first RUN",
    )
    parser.add_argument(
        "--prefs", type=int, metavar="K", help="so many preferences, on this page alone"
    )
    parser.add_argument(
        "--live",
        action="store_true",
        help="the network of the first RUN answers in the page (extra `onnx`, npm)",
    )
    parser.add_argument("--data-dir", help="folder of IDX files; else as in training")
    parser.add_argument(
        "--force", action="store_true", help="replace a file that is no report"
    )


def _report(asked: argparse.Namespace) -> None:
    from jaxpareto import report
    from jaxpareto.train.run import read_config

    name = "report.html" if len(asked.folders) == 1 else "comparison.html"
    out = asked.out or asked.folders[0] / name
    shapes = [read_config(folder)[1] for folder in asked.folders]
    report.check_page(out, force=asked.force)
    if len({shape.tasks for shape in shapes}) > 1:
        counts = ", ".join(str(shape.tasks) for shape in shapes)
        raise UsageError(f"runs of {counts} tasks cannot share a page; make one each")
    share = _ANSWERS // len(asked.folders)
    runs = [
        report.gather(folder, prefs=asked.prefs, data_dir=asked.data_dir, answers=share)
        for folder in asked.folders
    ]
    live = f"{out.stem}-live" if asked.live else None
    if live is not None:
        _write_model(asked.folders[0], out.with_name(live))
    report.write_page(runs, out, live=live, force=asked.force)
    for run in runs:
        if run["answers"] is None:
            print(f"{run['name']}: no answers to show: {run['why_no_answers']}")
    beside = "" if live is None else f", with {live} beside it"
    print(f"{out}: {out.stat().st_size / 1e3:,.0f} kB{beside}; open it in a browser")


def _write_model(run: Path, folder: Path) -> None:
    """Put the network of a run, and what runs it, beside the page."""
    from jaxpareto.export import network, to_onnx
    from jaxpareto.report import archive, write_live
    from jaxpareto.train.run import load

    archive()  # known to be there before the work
    write_live(to_onnx(network(load(run))), folder)
