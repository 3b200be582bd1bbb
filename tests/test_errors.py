"""What a wrong name and a missing module say."""

import json

import pytest

from jaxpareto.errors import RunError, UsageError, check_name, require

NETWORKS = ["lenet", "mlp", "cnn-16-16-32", "cnn-16-32-64"]


def test_a_known_name_comes_back():
    assert check_name("mlp", NETWORKS, "network") == "mlp"


@pytest.mark.parametrize("known", [dict.fromkeys(NETWORKS), iter(NETWORKS)])
def test_known_names_may_be_a_table_or_an_iterator(known):
    assert check_name("cnn-16-32-64", known, "network") == "cnn-16-32-64"


@pytest.mark.parametrize(
    ("name", "nearest"),
    [("lenett", "did you mean lenet?"), ("cnn-16-32-32", "did you mean cnn-16-")],
)
def test_an_unknown_name_says_the_nearest_first(name, nearest):
    with pytest.raises(UsageError) as caught:
        check_name(name, NETWORKS, "network")
    message = str(caught.value)
    assert message.startswith(f"unknown network {name!r}; {nearest}")
    assert message.endswith("accepted: lenet, mlp, cnn-16-16-32, cnn-16-32-64")
    assert "\n" not in message


def test_at_most_two_names_are_near():
    known = ["front-1", "front-2", "front-3"]
    with pytest.raises(UsageError, match=r"mean front-\d or front-\d\? accepted"):
        check_name("front-4", known, "run")


def test_a_name_far_from_all_gets_the_list_alone():
    with pytest.raises(UsageError) as caught:
        check_name("zzz", ["linear", "epo"], "rule")
    assert str(caught.value) == "unknown rule 'zzz'; accepted: linear, epo"


@pytest.mark.parametrize("name", ["", "MLP", "mlp "])
def test_names_are_exact(name):
    with pytest.raises(UsageError, match="unknown network"):
        check_name(name, NETWORKS, "network")


def test_both_errors_are_of_the_usual_kinds():
    assert issubclass(UsageError, ValueError)
    assert issubclass(RunError, RuntimeError)


def test_require_returns_the_module():
    assert require("json", "data") is json
    assert require("json.decoder", "data") is json.decoder


@pytest.mark.parametrize(
    "module", ["absent_module", "absent_module.part", "json.absent"]
)
def test_require_names_the_extra(module):
    with pytest.raises(RunError) as caught:
        require(module, "plot")
    message = str(caught.value)
    assert message.startswith(f"{module} is not installed")
    assert "pip install 'jaxpareto[plot]'" in message
    assert "\n" not in message


def test_require_does_not_hide_what_a_module_itself_lacks(tmp_path, monkeypatch):
    (tmp_path / "present_module.py").write_text("import absent_module")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(ModuleNotFoundError, match="absent_module"):
        require("present_module", "plot")
