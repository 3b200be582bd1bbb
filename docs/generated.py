"""Pages that are written from the code: API, glossary, notebooks.

They lie in `docs/api/`, `docs/notebooks/` and `docs/glossary.md`, which git ignores.
"""

import ast
import fnmatch
import importlib
import inspect
import pkgutil
import re
import sys
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import Any, NamedTuple

ROOT = Path(__file__).parent.parent
ORDER = {
    "Start here": ("types", "train", "conditioned", "rules", "prefs"),
    "Mathematics": ("scalarize", "solvers", "metrics", "problems", "simplex"),
    "Networks": ("nets", "hyper", "adapt", "logistic", "backbones"),
    "Data": ("data", "data.features"),
    "Around a run": ("search", "plot", "style", "report"),
    "Inside": ("tree", "options", "backend", "draw", "errors", "lazy"),
}


class Public(NamedTuple):
    """A public name.

    Attributes:
      name: in its room.
      value: what it stands for.
      doc: its docstring, or the text below its assignment; empty if there is none.
    """

    name: str
    value: Any
    doc: str


def rooms() -> dict[str, tuple[str, ...]]:
    """Group the rooms under the headings of `ORDER`; a new one goes to the last."""
    import jaxpareto

    known = [room for group in ORDER.values() for room in group]
    found = [
        each.name
        for each in pkgutil.iter_modules(jaxpareto.__path__)
        if each.name != "cli" and not each.name.startswith("_")
    ]
    groups = {
        title: tuple(room for room in group if room.partition(".")[0] in found)
        for title, group in ORDER.items()
    }
    groups["Inside"] += tuple(room for room in found if room not in known)
    return groups


def public(room: str) -> list[Public]:
    """List the public names of a room: `__all__`, or what its module defines."""
    module = importlib.import_module(f"jaxpareto.{room}")
    names = getattr(module, "__all__", None)
    if names is None:
        names = [name for name in _defined(module) if not name.startswith("_")]
    return [_public(module, name) for name in names]


def _public(module: ModuleType, name: str) -> Public:
    value = getattr(module, name)
    if inspect.ismodule(value) or inspect.isclass(value) or inspect.isroutine(value):
        own = isinstance(value, type) and "__doc__" not in vars(value)
        return Public(name, value, "" if own else inspect.getdoc(value) or "")
    if hasattr(value, "__wrapped__"):  # compiled or cached functions
        return Public(name, value, inspect.getdoc(value) or "")
    return Public(name, value, _below(module, name))


def _below(module: ModuleType, name: str) -> str:
    """Find the string below the assignment of a name, wherever it was made."""
    loaded = [sys.modules[each] for each in sorted(sys.modules)]
    places = [each for each in loaded if each.__name__.startswith("jaxpareto.")]
    places.insert(0, module)
    for place in places:
        same = getattr(place, name, None) is getattr(module, name)
        if same and (found := _assigned(place).get(name)):
            return inspect.cleandoc(found)
    return ""


@cache
def _assigned(module: ModuleType) -> dict[str, str]:
    """Map each assigned name of a module to the string below it."""
    body = ast.parse(inspect.getsource(module)).body
    found = {}
    for node, after in zip(body, [*body[1:], None], strict=True):
        for name in _targets(node):
            found[name] = ""
            match after:
                case ast.Expr(value=ast.Constant(value=str(text))):
                    found[name] = text
    return found


def _targets(node: ast.stmt) -> list[str]:
    match node:
        case ast.Assign(targets=targets):
            leaves = [leaf for each in targets for leaf in ast.walk(each)]
        case ast.AnnAssign(target=target):
            leaves = [target]
        case _:
            return []
    return [leaf.id for leaf in leaves if isinstance(leaf, ast.Name)]


def _defined(module: ModuleType) -> list[str]:
    """List what a module defines, in its order: functions, classes, documented names.

    A constant without a text is no part of the interface, whatever its name.
    """
    told = _assigned(module)
    names = []
    for node in ast.parse(inspect.getsource(module)).body:
        if isinstance(node, ast.FunctionDef | ast.ClassDef):
            names.append(node.name)
        names += [name for name in _targets(node) if told[name]]
    return list(dict.fromkeys(names))


def skip(app: Any, what: str, name: str, obj: Any, skipped: bool, options: Any) -> Any:
    """Tell autodoc to leave out the fields of named tuples and dataclasses."""
    del app, what, name, options
    is_method = inspect.isroutine(obj) or isinstance(obj, property)
    return True if not is_method else skipped


_OUTSIDE = {
    "](../experiments/LOG.md)": "](log.md)",
    "](../experiments/README.md)": "](experiments.md)",
    "](../CONTRIBUTING.md)": "](contributing.md)",
    "](../CHANGELOG.md)": "](changelog.md)",
}
"""What pages link to as files of the repository, and what Sphinx has in their place."""


def read(app: Any, page: str, source: list[str]) -> None:
    """Fit the text of a page: links to files that are pages here, absent globs."""
    text = source[0]
    for there, here in _OUTSIDE.items():
        text = text.replace(there, here)
    if page == "index":
        names = [each.stem for each in Path(app.srcdir).glob("*.md")]
        lines = [
            line
            for line in text.split("\n")
            if not re.fullmatch(r"\w+\*", line) or fnmatch.filter(names, line)
        ]
        text = "\n".join(lines)
    source[0] = text


def write(docs: Path) -> None:
    """Write all pages; those whose text is the same stay untouched."""
    pages = {docs / "glossary.md": _glossary()}
    groups = rooms()
    pages[docs / "api" / "index.md"] = _index(groups)
    for room in (room for group in groups.values() for room in group):
        pages[docs / "api" / f"{room}.md"] = _page(room)
    for script in sorted((ROOT / "examples").glob("*.py")):
        pages[docs / "notebooks" / f"{script.stem}.md"] = _notebook(script)
    for folder in ("api", "notebooks"):
        (docs / folder).mkdir(exist_ok=True)
        for old in {*(docs / folder).glob("*.md")} - pages.keys():
            old.unlink()
    for path, text in pages.items():
        if not path.exists() or path.read_text(encoding="utf-8") != text:
            path.write_text(text, encoding="utf-8")


def _glossary() -> str:
    from jaxpareto import types

    _, _, text = inspect.getdoc(types).partition("\n")
    return (
        "# Glossary\n\nThese words mean the same everywhere: in docstrings, in files "
        f"and in options. They are kept in `jaxpareto/types.py`.\n{text}\n\n"
        "More words of these pages:\n\n"
        "- **front**: the networks of all preferences, or their losses. A point is "
        "*dominated* if another is as good on each task and better on one.\n"
        "- **hypervolume**: of the losses that are no worse than a reference point, "
        "the share that the front is better than; larger is better, and two are "
        "comparable only with the same reference.\n"
        "- **conditioner**: how a network depends on the preference.\n"
        "- **rule**: how the tasks are weighed at a preference.\n"
        "- **span**: how long a front is: the largest difference of a loss along it.\n"
        "- **Gramian** [m, m]: the inner products of the gradients of the m tasks.\n"
    )


def _index(groups: dict[str, tuple[str, ...]]) -> str:
    lines = [
        "# API\n",
        "From the docstrings. The rooms are listed by what they are for;",
    ]
    lines += [
        "`jaxpareto.load`, `fit_front`, `train_front` and `configure` are those of"
    ]
    lines += ["[`jaxpareto.train`](train.md).\n"]
    for title, group in groups.items():
        lines += [f"```{{toctree}}\n:caption: {title}\n:maxdepth: 1\n"]
        lines += [*group, "```\n"]
    return "\n".join(lines)


def _page(room: str) -> str:
    module = importlib.import_module(f"jaxpareto.{room}")
    lines = [f"# jaxpareto.{room}\n", _as_markdown(inspect.getdoc(module) or ""), ""]
    lines += ["```{eval-rst}", f".. py:module:: jaxpareto.{room}", ""]
    for each in public(room):
        lines += [*_entry(room, each), ""]
    return "\n".join([*lines, "```\n"])


def _entry(room: str, each: Public) -> list[str]:
    """Write the directive of one name."""
    where = f"jaxpareto.{room}.{each.name}"
    if inspect.ismodule(each.value):
        return [f".. py:data:: {each.name}", "   :noindex:", "", *_indented(each.doc)]
    if inspect.isclass(each.value) and not _is_alias(each):
        return [f".. autoclass:: {where}", "   :members:"]
    if inspect.isroutine(each.value) or hasattr(each.value, "__wrapped__"):
        return [f".. autofunction:: {where}"]
    lines = [f".. py:data:: {each.name}", "", *_indented(each.doc)]
    if isinstance(each.value, dict) and all(isinstance(k, str) for k in each.value):
        lines += ["", f"   Names: {', '.join(f'`{name}`' for name in each.value)}."]
    return lines


def _is_alias(each: Public) -> bool:
    return getattr(each.value, "__name__", each.name) != each.name


def _indented(text: str) -> list[str]:
    return [f"   {line}".rstrip() for line in text.splitlines()]


def _as_markdown(text: str) -> str:
    """Fence the examples and the formulas of a module's docstring."""
    lines, fence = [], ""
    for line in text.splitlines():
        kind = ""
        if fence and line.strip():
            kind = fence
        if line.startswith(">>>"):
            kind = "pycon"
        elif not fence and line.startswith("    ") and not (lines and lines[-1]):
            kind = "text"
        if fence == "text" and not line.startswith("    "):
            kind = ""
        if fence and kind != fence:
            lines.append("```")
        if kind and kind != fence:
            lines.append(f"```{kind}")
        fence = kind
        lines.append(line)
    return "\n".join([*lines, "```"] if fence else lines)


def _notebook(script: Path) -> str:
    import jupytext

    notebook = jupytext.read(script, fmt="py:percent")
    notebook.metadata["language_info"] = {"name": "python"}
    notebook.metadata["jupytext"] = {"notebook_metadata_filter": "language_info"}
    return jupytext.writes(notebook, fmt="md:myst")
