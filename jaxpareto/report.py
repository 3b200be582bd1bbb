"""A front in words: the table that a run prints."""

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
    return "\n".join([*lines, "", summary(front)])


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
