"""Options as words: `width=16,hidden=64x64` for whoever has options by those names.

Conditioners and rules have options of their own, which differ from one to the next. On
the command line, in `config.json` and in presets they are one word, read here against
the names and the defaults of the function or module that takes them.
"""

import inspect
from collections.abc import Callable, Mapping
from typing import Any

from jaxpareto.errors import UsageError, check_name


def of_function(function: Callable[..., Any]) -> dict[str, Any]:
    """List the options of a function: its keyword-only arguments that words can give.

    >>> def f(x, *, width=16, rays=(0.5,), hidden=(64, 64)): ...
    >>> of_function(f)
    {'width': 16, 'hidden': (64, 64)}
    """
    return {
        name: parameter.default
        for name, parameter in inspect.signature(function).parameters.items()
        if parameter.kind is parameter.KEYWORD_ONLY and is_plain(parameter.default)
    }


def is_plain(value: Any) -> bool:
    """Say whether a default is one that words can replace."""
    if isinstance(value, tuple):
        return all(type(each) is int for each in value)
    return value is None or isinstance(value, bool | int | float | str)


def parse(text: str, known: Mapping[str, Any], what: str) -> dict[str, Any]:
    """Read `name=value,name=value`.

    Args:
      text: the words; empty is no option.
      known: name -> default, whose type says how the value is read: `true` or `false`,
        a number, a word, `64x64` for a tuple, `none` or a number where it is None.
      what: whose options they are, for the message.

    Raises:
      UsageError: a word of another form, an unknown name, or a value of another type.

    >>> parse("width=16,hidden=64x64", {"width": 8, "hidden": (2,)}, "heads")
    {'width': 16, 'hidden': (64, 64)}
    """
    found = {}
    for word in filter(None, (part.strip() for part in text.split(","))):
        name, equals, value = (part.strip() for part in word.partition("="))
        if not equals:
            raise UsageError(f"options of {what} are NAME=VALUE,...; found {word!r}")
        if not known:
            raise UsageError(f"{what} has no options; found {word!r}")
        check_name(name, known, f"option of {what}")
        found[name] = _read(value, known[name], f"{name} of {what}")
    return found


def spell(values: Mapping[str, Any]) -> str:
    """Write options as `parse` reads them.

    >>> spell({"width": 16, "hidden": (64, 64), "base": True, "tables": None})
    'width=16,hidden=64x64,base=true,tables=none'
    """

    def word(value: Any) -> str:
        if isinstance(value, tuple):
            return "x".join(map(str, value))
        plain = value is None or isinstance(value, bool)
        return str(value).lower() if plain else str(value)

    return ",".join(f"{name}={word(value)}" for name, value in values.items())


def _read(text: str, default: Any, what: str) -> Any:
    """Turn a word into a value of the default's type."""
    try:
        if isinstance(default, bool):
            return {"true": True, "false": False}[text.lower()]
        if isinstance(default, tuple):
            return tuple(int(each) for each in text.split("x") if each)
        if default is None:
            return None if text.lower() == "none" else _number(text)
        if type(default) is int:
            return int(text)
        return type(default)(text)
    except (ValueError, KeyError):
        accepted = {
            bool: "true or false",
            tuple: "whole numbers as 64x64",
            int: "a whole number",
            float: "a number",
        }.get(type(default), "a number or none")
        raise UsageError(f"{what} must be {accepted}, found {text!r}") from None


def _number(text: str) -> int | float:
    try:
        return int(text)
    except ValueError:
        return float(text)
