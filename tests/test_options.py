"""Options as words: what is read, what is refused, and what is said then."""

import pytest

from jaxpareto import options
from jaxpareto.conditioned import CONDITIONERS
from jaxpareto.errors import UsageError
from jaxpareto.rules import RULES, options_of, rule_with_options

KNOWN = {"width": 8, "rate": 0.5, "base": False, "form": "linear", "hidden": (4,)}
KNOWN |= {"tables": None}


def test_every_type_is_read():
    words = "width=16, rate=1e-2,base=True,form=mlp,hidden=64x32,tables=3"
    found = options.parse(words, KNOWN, "x")
    assert found == {
        "width": 16,
        "rate": 0.01,
        "base": True,
        "form": "mlp",
        "hidden": (64, 32),
        "tables": 3,
    }
    assert [type(each) for each in found.values()][:3] == [int, float, bool]
    assert options.parse("tables=none", KNOWN, "x") == {"tables": None}
    assert options.parse("tables=0.5", KNOWN, "x") == {"tables": 0.5}
    assert options.parse("", KNOWN, "x") == {}


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("width", r"options of x are NAME=VALUE,...; found 'width'"),
        ("widht=3", r"unknown option of x 'widht'; did you mean width"),
        ("width=3.5", r"width of x must be a whole number, found '3.5'"),
        ("rate=fast", r"rate of x must be a number, found 'fast'"),
        ("base=yes", r"base of x must be true or false, found 'yes'"),
        ("hidden=4,5", r"options of x are NAME=VALUE,...; found '5'"),
        ("hidden=axb", r"hidden of x must be whole numbers as 64x64"),
        ("tables=few", r"tables of x must be a number or none, found 'few'"),
    ],
)
def test_what_is_refused(words, message):
    with pytest.raises(UsageError, match=message):
        options.parse(words, KNOWN, "x")


def test_who_has_no_options_says_so():
    with pytest.raises(UsageError, match="x has no options; found 'width=3'"):
        options.parse("width=3", {}, "x")


def test_spelling_is_undone_by_parsing():
    for known in (KNOWN, *(each.options for each in CONDITIONERS.values())):
        assert options.parse(options.spell(known), known, "x") == known
    for name in RULES:
        known = options_of(name)
        assert options.parse(options.spell(known), known, name) == known


def test_a_rule_takes_its_options():
    import jax.numpy as jnp

    losses, prefs = jnp.array([[1.0, 1.2]]), jnp.array([[0.5, 0.5]])

    def weights(words):
        return rule_with_options("stch", words).weigh(losses, None, prefs).weights[0]

    # A smooth maximum: sharp at mu = 0.01, nearly a mean at mu = 100.
    assert float(weights("")[1]) == pytest.approx(0.5, abs=1e-3)
    assert float(weights("mu=100")[1]) == pytest.approx(0.25, abs=1e-3)
    assert rule_with_options("stch", "mu=100") is rule_with_options("stch", "mu=100")
    assert rule_with_options("stch") is RULES["stch"]
    with pytest.raises(UsageError, match="unknown rule 'stc'; did you mean stch"):
        rule_with_options("stc")
