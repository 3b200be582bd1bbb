"""The pages: every link, block of code, option and public name in them is real.

Nothing here needs Sphinx; `make docs` builds the pages and refuses warnings.
"""

import argparse
import ast
import importlib
import importlib.util
import re
import shlex
from functools import cache
from pathlib import Path

import pytest

from jaxpareto import cli

ROOT = Path(__file__).parent.parent
PAGES = sorted(
    path
    for path in (*ROOT.glob("*.md"), *ROOT.glob("docs/*.md"), *ROOT.glob("*/README.md"))
    if path.name not in ("CHANGELOG.md", "glossary.md")
)
BLOCK = re.compile(r"^(`{3,})([^\n`]*)\n(.*?)^\1$", re.MULTILINE | re.DOTALL)
LINK = re.compile(r"\]\(([^)\s]+)\)")
MADE = ("notebooks/", "api/", "glossary.md")  # written when the pages are built


def name(path):
    return str(path.relative_to(ROOT))


def blocks(path, *kinds):
    """Yield the text of the fenced blocks of these kinds, and their whole heads."""
    for _, head, text in BLOCK.findall(path.read_text(encoding="utf-8")):
        if head.split(" ")[0] in kinds:
            yield head, text


def without_code(path):
    return re.sub(r"`[^`\n]*`", "", BLOCK.sub("", path.read_text(encoding="utf-8")))


@cache
def anchors(path):
    """List the anchors of a page's headings, as code hosts and MyST make them."""
    heads = re.findall(r"^#+ (.*)$", BLOCK.sub("", path.read_text()), re.MULTILINE)
    plain = [re.sub(r"[^\w\s-]", "", head.lower()).replace(" ", "-") for head in heads]
    return set(plain)


def complaint(path, link):
    """Say what is wrong with a link of a page, or None."""
    if re.match(r"https?://|mailto:", link):
        return None  # `make linkcheck`
    target, _, anchor = link.partition("#")
    if target.startswith(MADE):
        made = ROOT / "examples" / f"{Path(target).stem}.py"
        missing = target.startswith("notebooks/") and not made.exists()
        return f"{link}: no {made}" if missing else None
    file = (path.parent / target).resolve() if target else path
    if not file.exists():
        return f"{link}: there is no such file"
    if anchor and anchor not in anchors(file):
        return f"{link}: no heading of {file.name} has this anchor"
    return None


@pytest.mark.parametrize("path", PAGES, ids=name)
def test_links_lead_somewhere(path):
    links = LINK.findall(without_code(path))
    found = [said for link in links if (said := complaint(path, link))]
    assert not found, "\n".join(found)


def test_a_link_to_nowhere_is_seen(tmp_path):
    page = tmp_path / "page.md"
    page.write_text("# One head, `two`\n")
    assert "no such file" in complaint(page, "absent.md")
    assert "no heading" in complaint(page, "page.md#three")
    assert complaint(page, "#one-head-two") is None


@pytest.mark.parametrize("path", PAGES, ids=name)
def test_blocks_of_python_are_python(path):
    for _, text in blocks(path, "python", "pycon", "{code-cell}"):
        if not text.startswith(">>>"):
            ast.parse(text)


RUN = [
    pytest.param(text, id=f"{path.stem}-{number}")
    for path in PAGES
    if path.parent.name == "docs" and path.stem != "export"  # test_export runs these
    for number, (head, text) in enumerate(blocks(path, "python"))
    if "no-run" not in head
]


@pytest.mark.parametrize("text", RUN)
def test_blocks_of_python_run(text, tmp_path, monkeypatch, capsys):
    """Each by itself, as a reader would paste it."""
    monkeypatch.chdir(tmp_path)
    exec(compile(text, "block", "exec"), {"__name__": "block"})
    said = capsys.readouterr().out
    assert said
    # A front that is not below its reference is no example of one.
    assert all(map(float, re.findall(r"hypervolume (\S+)", said)))
    assert len(text.splitlines()) < 60


def test_a_front_of_ones_own_takes_less_than_forty_lines():
    (_, first), *_ = blocks(ROOT / "docs" / "own-problem.md", "python")
    lines = [line for line in first.splitlines() if line.strip()]
    assert "fit_front" in first and len(lines) < 40


def commands(path):
    """List the calls in the shell blocks of a page, and in its inline code."""
    text = path.read_text(encoding="utf-8")
    lines = [line for _, block in blocks(path, "sh") for line in block.splitlines()]
    lines += re.findall(r"`((?:jaxpareto|python) [^`]+)`", BLOCK.sub("", text))
    for line in lines:
        words = shlex.split(line.replace("\n", " "), comments=True)
        while words and re.fullmatch(r"\w+=\S*", words[0]):  # VARIABLE=value
            del words[0]
        if words:
            words[0] = words[0].removeprefix(".venv/bin/")
            yield words


@cache
def options(parser):
    """List the options of a parser."""
    return {word for action in parser._actions for word in action.option_strings}


@cache
def subcommands():
    parser = cli._parser()
    (choices,) = [
        action.choices
        for action in parser._actions
        if isinstance(action, argparse._SubParsersAction)
    ]
    return choices


@cache
def script_words(path):
    """List the options of a script: of its parser, or those that its text spells."""
    if path.parent.name == "experiments":
        return options(importlib.import_module(f"experiments.{path.stem}")._parser())
    return set(re.findall(r'"(--[a-z][a-z-]*)"', path.read_text()))


def wrong(words):
    """Say what is wrong with a call, or None."""
    given = {word.split("=")[0] for word in words if word.startswith("--")}
    if words[0] == "jaxpareto" and len(words) > 1:
        if words[1] not in subcommands():
            return f"jaxpareto has no command {words[1]}"
        return unknown(given, options(subcommands()[words[1]]))
    if words[0] in ("python", "python3") and words[1].endswith(".py"):
        path = ROOT / words[1]
        if not path.exists():
            return f"there is no {words[1]}"
        return unknown(given, script_words(path)) if given else None
    if words[0] == "make":
        targets = re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), re.M)
        asked = {word for word in words[1:] if "=" not in word}
        return unknown(asked, {*targets})
    return None


def unknown(given, known):
    missing = sorted(given - known)
    return f"unknown: {', '.join(missing)}" if missing else None


@pytest.mark.parametrize("path", PAGES, ids=name)
def test_commands_and_their_options_exist(path):
    calls = list(commands(path))
    found = [f"{' '.join(call)}: {said}" for call in calls if (said := wrong(call))]
    assert not found, "\n".join(found)


def test_a_wrong_call_is_seen():
    assert wrong(["jaxpareto", "fron"]) and wrong(["make", "fronts"])
    assert wrong(["jaxpareto", "front", "--epoch", "3"]) == "unknown: --epoch"
    assert wrong(["python", "experiments/absent.py"])
    assert wrong(["python", "benchmarks/grid.py", "--round", "5"])


def generated():
    spec = importlib.util.spec_from_file_location(
        "generated", ROOT / "docs" / "generated.py"
    )
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


PUBLISHED = generated()
ROOMS = [room for group in PUBLISHED.rooms().values() for room in group]


@pytest.mark.parametrize("room", ROOMS)
def test_every_public_name_is_documented(room):
    bare = [each.name for each in PUBLISHED.public(room) if not each.doc.strip()]
    assert not bare, f"jaxpareto.{room}: {', '.join(bare)} have no docstring"


def test_every_room_has_its_page_and_every_shortcut_its_room():
    import jaxpareto

    assert {*jaxpareto._ROOMS} <= {*ROOMS}
    trained = {each.name for each in PUBLISHED.public("train")}
    assert {*jaxpareto._SHORTCUTS} <= trained


def test_a_bare_name_is_seen(tmp_path, monkeypatch):
    (tmp_path / "bare.py").write_text(
        'def f():\n    pass\n\nX = 1\n"""One."""\nY = 2\n'
    )
    monkeypatch.syspath_prepend(tmp_path)
    module = importlib.import_module("bare")
    assert PUBLISHED._defined(module) == ["f", "X"]
    assert [PUBLISHED._public(module, n).doc for n in ("f", "X")] == ["", "One."]
