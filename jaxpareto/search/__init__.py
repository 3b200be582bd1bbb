"""Search: many configurations of a classic network train in one compiled call.

`space` reads grids and ranges; `run` trains points to their end, `study` asks Optuna
for them; `table` has what came of it, `figures` draws it, `board` shows it in
TensorBoard. The pure core, one network with early stopping, is `train.fit`.

>>> plan = Plan("mlp", image=(8, 8), classes=10, epochs=30, patience=5)
>>> points = grid(parse(["learning-rate=0.001,0.01", "width=64", "seed=0..4"]))
>>> len(points)
10
"""

from jaxpareto.nets import CLASSICS
from jaxpareto.search.group import FAILED, FINISHED, PRUNED, Group, Row
from jaxpareto.search.plan import Plan, check
from jaxpareto.search.run import run
from jaxpareto.search.space import HYPERPARAMETERS, Point, Range, draw, grid, parse
from jaxpareto.search.table import (
    average,
    best,
    correlations,
    lines,
    read_csv,
    write_csv,
)

__all__ = [
    "CLASSICS",
    "FAILED",
    "FINISHED",
    "HYPERPARAMETERS",
    "PRUNED",
    "Group",
    "Plan",
    "Point",
    "Range",
    "Row",
    "average",
    "best",
    "check",
    "correlations",
    "draw",
    "grid",
    "lines",
    "parse",
    "read_csv",
    "run",
    "write_csv",
]
