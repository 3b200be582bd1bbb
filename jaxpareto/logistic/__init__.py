"""Logistic heads on frozen features: exact solutions, sweeps, decays per class."""

from jaxpareto.logistic import baselines
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
    sensitivity,
    tune,
)
from jaxpareto.logistic.judges import JUDGES, by_class, cvar
from jaxpareto.logistic.newton import Basis, Solved, basis, follow, solve
from jaxpareto.logistic.path import Path, at, conditioned, fit, loss_and_norm, pref_of
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
    "JUDGES",
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
    "baselines",
    "basis",
    "best",
    "by_class",
    "class_losses",
    "conditioned",
    "cross_entropy",
    "cvar",
    "epoch",
    "fit",
    "follow",
    "gap",
    "gradient",
    "heads",
    "logits",
    "loss_and_norm",
    "mean_loss",
    "objective",
    "penalty",
    "pref_of",
    "sensitivity",
    "sgd",
    "solve",
    "stable_rate",
    "start",
    "tune",
    "widen",
    "zeros",
]
