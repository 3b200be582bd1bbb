"""Fronts and studies in words: the tables that runs print."""

from typing import Any

import numpy as np


def table(front: dict[str, Any], *, rows: int = 11) -> str:
    """Lay a front out as a table, with its summary below.

    Args:
      front: what `front.json` holds.
      rows: show about so many preferences, evenly chosen; the ends are always there.

    Returns:
      Lines of text: per preference the losses (nats) and accuracies (%) of each task,
      then hypervolume, non-dominated count and rank correlations.
    """
    return "\n".join([front_rows(front, rows=rows), "", summary(front)])


def front_rows(front: dict[str, Any], *, rows: int = 11) -> str:
    """Lay out a line per preference: the losses (nats) and accuracies (%) of each task.

    Args:
      front: what `front.json` holds.
      rows: show about so many preferences, evenly chosen; the ends are always there.
    """
    prefs, losses = np.array(front["preferences"]), np.array(front["losses"])
    k, m = prefs.shape
    tasks = [f"{i + 1}" for i in range(m)]
    head = [f"pref {t}" for t in tasks] + [f"loss {t}" for t in tasks]
    columns = [prefs, losses]
    formats = ["{:.3f}"] * m + ["{:.4f}"] * m
    if front["accuracies"] is not None:
        head += [f"acc {t}" for t in tasks]
        columns.append(100 * np.array(front["accuracies"]))
        formats += ["{:.2f}%"] * m
    body = np.concatenate(columns, axis=1)
    shown = np.unique(np.linspace(0, k - 1, min(rows, k)).round().astype(int))
    cells = [
        [form.format(x) for form, x in zip(formats, body[i], strict=True)]
        for i in shown
    ]
    lines = ["  ".join(f"{cell:>8}" for cell in row) for row in [head, *cells]]
    if len(shown) < k:
        lines.append(f"({len(shown)} of {k} preferences shown)")
    return "\n".join(lines)


def summary(front: dict[str, Any]) -> str:
    """Say the numbers that judge a front, in two lines."""
    reference = ", ".join(f"{x:g}" for x in front["reference"])
    ranks = ", ".join("-" if x is None else f"{x:.3f}" for x in front["spearman"])
    return (
        f"hypervolume {front['hypervolume']:.4f} (cross-entropy, reference "
        f"({reference}); larger is better)\n"
        f"{front['nondominated']} of {len(front['losses'])} networks non-dominated; "
        f"rank correlation of preference and -loss: {ranks}"
    )


def study_table(found: dict[str, Any]) -> str:
    """Lay out what `study.json` holds, a line for every decay, and what is chosen."""
    heads, exact = found["heads"], found.get("exact")
    solved = dict(zip(exact["decay"], exact["test_loss"], strict=True)) if exact else {}
    lines = [
        f"{found['rows']['train']:,} training and {found['rows']['test']:,} test rows, "
        f"{found['features']:,} features, {found['classes']:,} classes: "
        f"{found['about']}",
        f"learning rate {found['rate']:.3g}, stable below {found['stable_rate']:.3g}",
        "",
        f"{'decay':>9}{'train CE':>10}{'test CE':>9}{'accuracy':>10}{'gap':>10}"
        f"{'classes':>9}" + (f"{'exact CE':>10}" if exact else ""),
    ]
    counts = found["per_class"]["choices_test"]
    for i, decay in enumerate(heads["decay"]):
        gap = heads["gap"][i]
        lines.append(
            f"{decay:>9.2g}{heads['train_loss'][i]:>10.4f}{heads['test_loss'][i]:>9.4f}"
            f"{heads['test_accuracy'][i]:>10.2%}"
            f"{'-' if gap is None else format(gap, '.1e'):>10}{counts[i]:>9}"
            + (f"{solved[decay]:>10.4f}" if decay in solved else "")
        )
    return "\n".join([*lines, "", *_choices(found)])


def _choices(found: dict[str, Any]) -> list[str]:
    """Say what was chosen, for trained heads and for solved ones."""
    lines = []
    for name, ending in (("trained", ""), ("exact", "_exact")):
        if f"chosen{ending}" not in found:
            continue
        chosen, each = found[f"chosen{ending}"], found[f"per_class{ending}"]
        lines.append(
            f"{name} heads: decay {chosen['decay']:.3g}, chosen by {chosen['by']}: "
            f"test cross-entropy {chosen['loss']:.4f} +- {chosen['standard_error']:.4f}"
        )
        lines.append(
            f"  {each['differ_at_99_percent']} classes surely want another; their own "
            f"choices gain {each['gain_on_the_rows_that_chose']:.4f} on the rows that "
            f"chose, {each['gain_on_the_other_half']:.4f} on others"
        )
    return lines
