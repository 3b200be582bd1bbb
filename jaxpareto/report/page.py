"""One HTML file: the template, its style and scripts, and the runs as JSON in it."""

import json
import os
import re
from collections.abc import Sequence
from importlib.resources import files
from pathlib import Path
from typing import Any

from jaxpareto import __version__
from jaxpareto.errors import RunError, UsageError

STYLES = ("page.css",)
SCRIPTS = ("draw.js", "front.js", "answers.js", "about.js", "live.js", "page.js")
MARK = '<meta name="generator" content="jaxpareto'
"""Stands in every page of ours, and says that it may be replaced."""

_POLICY = "default-src 'none'; img-src data:; style-src 'unsafe-inline'; script-src "
_POLICIES = {
    False: _POLICY + "'unsafe-inline'",
    # The network runs in WebAssembly, from scripts in the folder beside the page.
    True: _POLICY + "'unsafe-inline' 'wasm-unsafe-eval' 'self' file: blob:",
}
"""What a browser lets the page do: no request to anywhere is possible."""


def check_page(path: Path, *, force: bool = False) -> None:
    """Refuse a path where something stands that is not a page of ours.

    Raises:
      UsageError: a folder, or a file that somebody else made, without `force`.
    """
    if path.is_dir():
        raise UsageError(f"--out {path} is a folder; name a file, as report.html")
    if path.exists() and not force:
        with open(path, errors="replace") as file:
            if MARK not in file.read(2000):
                raise UsageError(
                    f"{path} exists and is no report; name another --out, or add "
                    "--force"
                )


def write_page(
    runs: Sequence[dict[str, Any]],
    path: str | os.PathLike[str],
    *,
    live: str | None = None,
    force: bool = False,
) -> Path:
    """Write the page of one run, or of several that it compares.

    Args:
      runs: what `gather` returns, one or more.
      path: of the file; an earlier page of ours is replaced.
      live: name of the folder beside the page that `write_live` made for the first run.
      force: replace any file.

    Returns:
      The path.

    Raises:
      UsageError: no run, or the path is something else's.
      RunError: the file cannot be written.
    """
    if not runs:
        raise UsageError("a page needs at least one run")
    path = Path(path)
    check_page(path, force=force)
    text = html(runs, live)
    unfinished = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        unfinished.write_text(text, encoding="utf-8")
        os.replace(unfinished, path)
    except OSError as error:
        raise RunError(f"cannot write {path}: {error.strerror or error}") from error
    return path


def html(runs: Sequence[dict[str, Any]], live: str | None) -> str:
    """Put the template, the style, the scripts and the numbers together."""
    names = ", ".join(run["name"] for run in runs)
    content = {"version": __version__, "live": live, "runs": list(runs)}
    parts = {
        "generator": f'{MARK} {__version__}">',
        "policy": _POLICIES[live is not None],
        "title": _escape(f"{names}: Pareto front"),
        "style": "\n".join(map(_static, STYLES)),
        # `<` may not stand in a script: a name with `</script>` would end it.
        "data": json.dumps(content, separators=(",", ":")).replace("<", "\\u003c"),
        "script": "\n".join(map(_static, SCRIPTS)),
    }
    # In one pass: what is put in is never looked at again.
    return re.sub(r"\{\{(\w+)\}\}", lambda at: parts[at[1]], _static("page.html"))


def _static(name: str) -> str:
    return (files("jaxpareto.report") / "static" / name).read_text(encoding="utf-8")


def _escape(text: str) -> str:
    return text.replace("&", "&amp;").replace("<", "&lt;").replace('"', "&quot;")
