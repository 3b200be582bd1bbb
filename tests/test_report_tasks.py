"""What the experiment on tasks says: its tables, and its claims against a t-test."""

import re

import numpy as np
import pytest
from scipy.stats import ttest_1samp

from jaxpareto.report.tasks import task_answers

# Three seeds, two numbers of examples, one task of each kind.
SCORES = {
    "experts": [0.99, 0.99, 0.99],
    "chunked": [0.90, 0.91, 0.92],
    "sparse-linear": [0.90, 0.90, 0.905],
    "sparse-mlp": [0.88, 0.88, 0.88],
}
LATER = {
    "chunked": [0.7, 0.7, 0.7],
    "sparse-linear": [0.80, 0.81, 0.82],
    "sparse-mlp": [0.85, 0.81, 0.77],
}


def found(**other):
    """Return what a run of three seeds finds."""
    return {
        "preset": "smoke",
        "seeds": 3,
        "names": {"known": ["0-1"], "new": ["8-9"], "recombined": []},
        "multitask": {
            name: {
                "test": [[x] for x in scores],
                "finite": [True, True, name != "sparse-mlp"],
                "parameters": 1500,
                "target": 1000,
                "seconds": None if name == "experts" else 12.0,
                "rate": 1e-3,
            }
            for name, scores in SCORES.items()
        },
        "later": {
            name: {"shots": [1, 5], "new": [[[x, x]] for x in scores]}
            for name, scores in LATER.items()
        },
        "controls": {
            name: {"single": [[0.5]] * 3, "mean": [[0.25]] * 3} for name in LATER
        },
    } | other


def test_the_tables_hold_means_with_their_deviations():
    said = task_answers(found())
    assert "| chunked | 91.00 ± 1.00 | 1,500 | 1.50 | 12 | 0.001 |" in said
    assert "| sparse-mlp (1 broken) | 88.00 ± 0.00 |" in said
    assert "| experts | 99.00 ± 0.00 | 1,500 | 1.50 |  | 0.001 |" in said
    assert "| examples of each class | 1 | all 5 |" in said
    assert "| sparse-linear | 81.00 ± 1.00 | 81.00 ± 1.00 |" in said
    assert "| chunked | 91.00 ± 1.00 | 50.00 ± 0.00 | 25.00 ± 0.00 |" in said


def test_to_match_is_to_reach_the_mean_less_the_deviation():
    one, two = [x for x in task_answers(found()).splitlines() if "Claim 1" in x]
    assert "sparse-linear matches chunked at many tasks: **yes**" in one
    assert "90.17 ± 0.29 against 91.00 ± 1.00" in one and "deviation, 90.00" in one
    assert "sparse-mlp matches chunked at many tasks: **no**" in two


@pytest.mark.parametrize("other", ["chunked", "sparse-mlp"])
def test_to_be_better_is_what_a_paired_t_test_says(other):
    """SciPy's test at 5 percent: surely better, surely worse, and nothing to tell."""
    rng = np.random.default_rng(0)
    seen = set()
    for shift in np.linspace(-0.04, 0.04, 9):
        theirs = np.asarray(LATER["sparse-linear"]) - shift + rng.normal(0, 0.01, 3)
        later = found()["later"]
        later[other]["new"] = [[[x, x]] for x in theirs]
        (line,) = [
            x
            for x in task_answers(found(later=later)).splitlines()
            if f"better than {other}" in x
        ]
        gains = np.asarray(LATER["sparse-linear"]) - theirs
        sure = ttest_1samp(gains, 0.0).pvalue < 0.05
        answer = ("yes" if gains.mean() > 0 else "no") if sure else "undecided"
        assert f"**{answer}**" in line
        mean, error = map(float, re.findall(r"examples (\S+) ± (\S+) points", line)[0])
        assert mean == pytest.approx(100 * gains.mean(), abs=0.006)
        assert error == pytest.approx(100 * gains.std(ddof=1) / 3**0.5, abs=0.006)
        seen.add(answer)
    assert seen == {"yes", "no", "undecided"}


def test_two_seeds_and_too_few_contenders_decide_nothing():
    later = found()["later"]
    for name in LATER:
        later[name]["new"] = later[name]["new"][:2]
    said = task_answers(found(later=later))
    assert said.count("**undecided**") == 2
    only = {
        part: {"chunked": found()[part]["chunked"]}
        for part in ("multitask", "later", "controls")
    }
    assert "Not asked: they need chunked" in task_answers(found(**only))
