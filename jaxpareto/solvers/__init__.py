"""Gradient solvers: how much each task counts, from the inner products of gradients.

A solver is a pure function for one preference, `f(losses [m], gram [m, m], pref [m]) ->
(weights [m], info)`; the direction of descent is `sum_i weights_i * g_i`. It never sees
the network: the Gramian `gram[i, j] = g_i' g_j` is all there is to know of it. Callers
`vmap` over preferences. One algorithm per file; the small programs that several of them
solve are in `_program`.
"""

from collections.abc import Callable

from jaxpareto.solvers._shared import Info
from jaxpareto.solvers.cagrad import cagrad
from jaxpareto.solvers.cpmtl import cpmtl, pmtl, pmtl_feasible
from jaxpareto.solvers.epo import epo
from jaxpareto.solvers.ferero import ferero
from jaxpareto.solvers.imtl import imtl_g
from jaxpareto.solvers.mgda import mgda
from jaxpareto.solvers.nash import nash_mtl
from jaxpareto.solvers.pcgrad import pcgrad
from jaxpareto.solvers.pmgda import pmgda
from jaxpareto.solvers.upgrad import upgrad
from jaxpareto.types import Array

Solver = Callable[[Array, Array, Array], tuple[Array, Info]]
"""`f(losses [m], gram [m, m], pref [m]) -> (weights [m], info)`."""

SOLVERS: dict[str, Solver] = {
    "mgda": mgda,
    "pmtl": pmtl,
    "cpmtl": cpmtl,
    "epo": epo,
    "pmgda": pmgda,
    "ferero": ferero,
    "pcgrad": pcgrad,
    "cagrad": cagrad,
    "nash-mtl": nash_mtl,
    "imtl-g": imtl_g,
    "upgrad": upgrad,
}
"""Name -> solver."""

ABOUT: dict[str, tuple[str, str]] = {
    "mgda": ("shortest mean of the gradients", "Desideri (2012)"),
    "pmtl": ("MGDA within the sector of a ray", "Lin et al. (2019)"),
    "cpmtl": ("MGDA within the sector around any ray", "Lin et al. (2020)"),
    "epo": ("balance the losses on the ray, then descend", "Mahapatra, Rajan (2020)"),
    "pmgda": ("return to the ray, else MGDA", "Zhang et al. (2024)"),
    "ferero": ("descend, returning to the ray at a rate", "Chen et al. (2024)"),
    "pcgrad": ("gradients without what conflicts", "Yu et al. (2020)"),
    "cagrad": ("best worst gain near the mean gradient", "Liu et al. (2021)"),
    "nash-mtl": ("largest product of gains", "Navon et al. (2022)"),
    "imtl-g": ("equal projection on every gradient", "Liu et al. (2021)"),
    "upgrad": ("mean of projections on common descent", "Quinton, Rey (2024)"),
}
"""Name -> (what it does, source)."""

BLIND = frozenset({"mgda", "pcgrad", "nash-mtl", "imtl-g", "upgrad"})
"""Those that do not read the preference: they find one point of a front, not all."""

__all__ = ["ABOUT", "BLIND", "SOLVERS", "Info", "Solver"]
__all__ += ["cagrad", "cpmtl", "epo", "ferero", "imtl_g", "mgda", "nash_mtl", "pcgrad"]
__all__ += ["pmgda", "pmtl", "pmtl_feasible", "upgrad"]
