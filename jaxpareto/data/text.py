"""Text to learn from: the language reference that ships with Python, or a file.

`load_text("python")` needs no download: `help()` reads the same text from the module
`pydoc_data.topics`. Its topics overlap, so a paragraph that was there before is left
out, or what is held out would be known by heart; and they come in an order that no
alphabet knows, or what is held out would be the topics of its end. The text differs
from one version of Python to the next; `Text.sha256` says which it was.
"""

import hashlib
import os
from pathlib import Path
from typing import NamedTuple

import numpy as np

from jaxpareto.errors import RunError, UsageError

PYTHON = "python"
"""The name of the text that ships with Python."""


class Text(NamedTuple):
    """A text as numbers, cut in three.

    Attributes:
      train: [n] int32, places in the alphabet: the first nine tenths.
      validation: to choose by: half of the rest.
      test: to report on: the other half.
      alphabet: all characters of the text, sorted.
      sha256: of the text in UTF-8, 64 hexadecimal digits.
    """

    train: np.ndarray
    validation: np.ndarray
    test: np.ndarray
    alphabet: str
    sha256: str


def load_text(
    name: str | os.PathLike[str] = PYTHON, *, longest: int | None = None
) -> Text:
    """Load a text, and cut it nine tenths : half a tenth : half a tenth.

    Args:
      name: `"python"`, or a file of text in UTF-8.
      longest: take so many characters from the beginning; None is all.

    Raises:
      UsageError: fewer than 100 characters are asked for.
      RunError: the file cannot be read, is no text, or has fewer than 100 characters.

    >>> text = load_text(longest=20_000)
    >>> len(text.train), len(text.validation), len(text.test)
    (18000, 1000, 1000)
    >>> "".join(text.alphabet[i] for i in text.train).isspace()
    False
    """
    if longest is not None and longest < 100:
        raise UsageError(f"{longest} characters of text; give at least 100")
    whole = python_text() if os.fspath(name) == PYTHON else _read(Path(name))
    whole = whole[:longest]
    if len(whole) < 100:
        raise RunError(f"{name} has {len(whole)} characters; at least 100 are needed")
    letters, numbers = np.unique(list(whole), return_inverse=True)
    cuts = [round(0.9 * len(whole)), round(0.95 * len(whole))]
    return Text(
        *np.split(numbers.astype(np.int32), cuts),
        alphabet="".join(letters),
        sha256=hashlib.sha256(whole.encode()).hexdigest(),
    )


def python_text() -> str:
    """Return Python's language reference as one text, each paragraph once.

    Raises:
      RunError: this Python comes without it.
    """
    try:
        from pydoc_data.topics import topics
    except ImportError as error:
        raise RunError(
            "this Python comes without the text of help(), pydoc_data.topics (a part "
            "of the standard library that some systems leave out); name a file of text"
        ) from error
    paragraphs: dict[str, str] = {}
    for name in sorted(topics, key=lambda name: hashlib.sha256(name.encode()).digest()):
        for paragraph in topics[name].split("\n\n"):
            paragraphs.setdefault(" ".join(paragraph.split()), paragraph.rstrip())
    paragraphs.pop("", None)
    return "\n\n".join(paragraphs.values())


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise RunError(f"{path} is no text in UTF-8 ({error.reason})") from error
    except OSError as error:
        raise RunError(f"cannot read {path}: {error.strerror or error}") from error
