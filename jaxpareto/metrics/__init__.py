"""Numbers that judge a front: pure functions of arrays, one front or batch at a time.

`front` measures a set of points in the space of objectives (minimised throughout), by
itself; `quality` compares it with a true front, with its own spread, and with what was
asked for; `classify` turns logits and labels into the losses and hits that such points
are made of; `per_class` asks what each class would choose among several heads;
`losses` are those of networks with one task. Nothing here knows a network or a file.
"""

from jaxpareto.metrics.classify import correct, cross_entropy
from jaxpareto.metrics.front import hypervolume, nondominated, spearman
from jaxpareto.metrics.losses import (
    LOSSES,
    binary_cross_entropy,
    class_cross_entropy,
    squared_error,
)
from jaxpareto.metrics.per_class import Choices, choices, class_means, halves
from jaxpareto.metrics.quality import (
    cross_angle,
    gd,
    igd,
    igd_plus,
    spacing,
    span,
    sparsity,
    uniformity,
)

__all__ = [
    "LOSSES",
    "Choices",
    "binary_cross_entropy",
    "choices",
    "class_cross_entropy",
    "class_means",
    "correct",
    "cross_angle",
    "cross_entropy",
    "gd",
    "halves",
    "hypervolume",
    "igd",
    "igd_plus",
    "nondominated",
    "spacing",
    "span",
    "sparsity",
    "spearman",
    "squared_error",
    "uniformity",
]
