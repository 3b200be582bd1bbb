"""Logistic heads on frozen features: exact solutions, sweeps, decays per class."""

from jaxpareto.logistic.convex import (
    Head,
    cross_entropy,
    gap,
    gradient,
    logits,
    objective,
    penalty,
    zeros,
)
from jaxpareto.logistic.implicit import (
    Tuned,
    best,
    class_losses,
    mean_loss,
    tune,
)
from jaxpareto.logistic.newton import Basis, Solved, basis, solve
from jaxpareto.logistic.path import Path, at, fit
from jaxpareto.logistic.sweep import (
    ORDERS,
    Plan,
    Running,
    Sweep,
    epoch,
    heads,
    sgd,
    stable_rate,
    start,
    widen,
)

__all__ = [
    "ORDERS",
    "Basis",
    "Head",
    "Path",
    "Plan",
    "Running",
    "Solved",
    "Sweep",
    "Tuned",
    "at",
    "basis",
    "best",
    "class_losses",
    "cross_entropy",
    "epoch",
    "fit",
    "gap",
    "gradient",
    "heads",
    "logits",
    "mean_loss",
    "objective",
    "penalty",
    "sgd",
    "solve",
    "stable_rate",
    "start",
    "tune",
    "widen",
    "zeros",
]
