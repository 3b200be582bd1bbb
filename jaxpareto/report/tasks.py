"""The experiment on tasks in words: its tables, and what becomes of the two claims.

They read what `result.json` of `experiments/task_hypernets.py` holds: by contender
`multitask` (`test` [s, t], `finite` [s], `parameters`, `target`, `seconds`, `rate`),
`later` (`new` and `recombined` [s, t, shots], and `shots`) and `controls` (`single` and
`mean` [s, t]), accuracies all; `names` has the names of the tasks, by kind.

Source of the claims: Cubelier (2022), "Sparse hypernetworks for multitasking" (master's
thesis, University of Liege).
"""

from collections.abc import Iterator
from typing import Any

import numpy as np

from jaxpareto.report.markdown import markdown, mean_std, plus_minus

CLAIMED = ("chunked", "sparse-linear", "sparse-mlp")
"""The contenders that the claims are about."""

Found = dict[str, Any]


def task_answers(found: Found) -> str:
    """Write the tables, in percent of test rows, and answer the two claims."""
    names = {kind: ", ".join(each) for kind, each in found["names"].items()}
    parts = [
        f"# {found['preset']}: {found['seeds']} seeds, test accuracy in percent",
        f"## All tasks at once ({names['known']})",
        _multitask(found),
    ]
    for kind in _later_kinds(found):
        title = f"## {kind.capitalize()} tasks ({names[kind]}), all else frozen"
        parts += [title, _later(found, kind)]
    parts += ["## One code for all known tasks", _controls(found)]
    parts += ["## The two claims", "\n".join(_claims(found))]
    return "\n\n".join(parts) + "\n"


def _per_seed(found: Found, kind: str, name: str) -> np.ndarray:
    """Return accuracies, means over tasks: [s], or [s, shots] of later tasks."""
    if kind == "multitask":
        return np.mean(found["multitask"][name]["test"], axis=1)
    return np.mean(found["later"][name][kind], axis=1)


def _said(values: Any) -> str:
    """Spell mean and deviation over seeds [s], in percent."""
    return plus_minus(*mean_std(values), 2, scale=100)


def _multitask(found: Found) -> str:
    rows = []
    for name, each in found["multitask"].items():
        broken, seconds = each["finite"].count(False), each["seconds"]
        rows.append(
            [
                name + (f" ({broken} broken)" if broken else ""),
                _said(_per_seed(found, "multitask", name)),
                f"{each['parameters']:,}",
                f"{each['parameters'] / each['target']:.2f}",
                "" if seconds is None else f"{seconds:.0f}",
                f"{each['rate']:g}",
            ]
        )
    heads = ["", "test accuracy", "parameters", "x target", "s per seed", "rate"]
    return markdown(heads, rows)


def _later_kinds(found: Found) -> list[str]:
    return [kind for kind in ("new", "recombined") if found["names"][kind]]


def _later(found: Found, kind: str) -> str:
    """Lay out accuracies by examples of each class."""
    *few, every = next(iter(found["later"].values()))["shots"]
    rows = [
        [name, *map(_said, _per_seed(found, kind, name).T)] for name in found["later"]
    ]
    return markdown(["examples of each class", *few, f"all {every}"], rows)


def _controls(found: Found) -> str:
    rows = []
    for name, each in found["controls"].items():
        own = _per_seed(found, "multitask", name)
        both = (np.mean(each[kind], axis=1) for kind in ("single", "mean"))
        rows.append([name, _said(own), *map(_said, both)])
    return markdown(["", "own codes", "one learned code", "mean code"], rows)


def _claims(found: Found) -> Iterator[str]:
    """Answer the claims, whichever way they fall."""
    if not set(CLAIMED) <= set(found["multitask"]):
        yield f"Not asked: they need {', '.join(CLAIMED)}."
        return
    chunked = _per_seed(found, "multitask", "chunked")
    mean, deviation = (100 * x for x in mean_std(chunked))
    for name in ("sparse-linear", "sparse-mlp"):
        mine = _per_seed(found, "multitask", name)
        answer = "yes" if 100 * mine.mean() >= mean - deviation else "no"
        yield (
            f"- Claim 1, {name} matches chunked at many tasks: **{answer}**. "
            f"{_said(mine)} against {_said(chunked)}: to match is to reach the mean of "
            f"chunked less its deviation, {mean - deviation:.2f}."
        )
    for kind in _later_kinds(found):
        for other in ("chunked", "sparse-mlp"):
            yield _second_claim(found, kind, other)


def _second_claim(found: Found, kind: str, other: str) -> str:
    """Compare the sparse linear hypernetwork with another at tasks that come later.

    Differences are paired by seed; one whose 95 % interval (Student's t) has zero in it
    decides nothing, and two seeds never do.
    """
    mine, theirs = (_per_seed(found, kind, name) for name in ("sparse-linear", other))
    gains = 100 * (mine - theirs)
    whole, verdict = _gain(gains.mean(axis=1))
    shots = found["later"][other]["shots"]
    by = ", ".join(
        f"{number}: {_gain(gain)[0]}"
        for number, gain in zip(shots, gains.T, strict=True)
    )
    return (
        f"- Claim 2, sparse-linear is better than {other} at {kind} tasks: "
        f"**{verdict}**. Mean gain over all numbers of examples {whole} points "
        f"(standard error over seeds); by examples of each class: {by}."
    )


def _gain(points: np.ndarray) -> tuple[str, str]:
    """Spell a gain [s] with its standard error, and say whether it is one."""
    from scipy.stats import t

    seeds = len(points)
    mean, std = mean_std(points)
    error = std / np.sqrt(seeds) if seeds > 1 else np.inf
    # The deviation of two numbers says too little of the spread of their kind.
    sure = seeds > 2 and abs(mean) > t.ppf(0.975, seeds - 1) * error
    answer = ("yes" if mean > 0 else "no") if sure else "undecided"
    return f"{mean:+.2f} ± {error:.2f}", answer
