"""`jaxpareto export`: take a network away, as a file that needs no jaxpareto."""

import argparse
from pathlib import Path
from typing import Any

from jaxpareto.cli.front import trained_for
from jaxpareto.cli.parser import command
from jaxpareto.errors import UsageError


def add_export(commands: Any) -> None:
    """Add the command."""
    parser = command(commands, "export", "write a network of a run to a file", _export)
    parser.add_argument("folder", type=Path, metavar="RUN", help="folder of the run")
    parser.add_argument("--pref", help="as 0.3,0.7: one per task, sum 1")
    parser.add_argument(
        "--whole",
        action="store_true",
        help="all preferences at once: the preference stays an input",
    )
    parser.add_argument(
        "--out",
        type=Path,
        required=True,
        help="file: .safetensors (weights), .jaxexport (for JAX) or .onnx",
    )
    parser.add_argument(
        "--format", help="safetensors, jaxexport or onnx, if the ending does not say it"
    )
    parser.add_argument("--force", action="store_true", help="replace the file")


def _export(asked: argparse.Namespace) -> None:
    from jaxpareto import tree
    from jaxpareto.export import check_target, save
    from jaxpareto.prefs import parse_pref
    from jaxpareto.train.run import load, read_config

    check_target(asked.out, asked.format, force=asked.force)
    _, shape = read_config(asked.folder)
    pref = None if asked.pref is None else parse_pref(asked.pref, shape.tasks)
    if (pref is None) != asked.whole:
        raise UsageError(
            "which network? give --pref, as 0.5,0.5, or --whole for all of them; "
            f"found {'both' if asked.whole else 'neither'}"
        )
    front = load(asked.folder)
    taken = save(front, asked.out, pref, format=asked.format, force=asked.force)
    inputs = ", ".join(
        f"{name} [{', '.join(map(str, shape))}]" for name, shape in taken.shapes.items()
    )
    print(
        f"{asked.out}: {tree.count(taken.weights):,} parameters, "
        f"{asked.out.stat().st_size / 1e3:,.0f} kB; {inputs} -> logits "
        f"[b, {front.shape.tasks}, {front.shape.classes}]"
        + ("" if pref is None else trained_for(front, pref))
    )
