"""Numbers that judge a front: pure functions of arrays, one front or batch at a time.

`front` measures a set of points in the space of objectives (minimised throughout);
`classify` turns logits and labels into the losses and hits that such points are made
of. Nothing here knows a network or a file.
"""

from jaxpareto.metrics.classify import correct, cross_entropy
from jaxpareto.metrics.front import hypervolume, nondominated, spearman

__all__ = ["correct", "cross_entropy", "hypervolume", "nondominated", "spearman"]
