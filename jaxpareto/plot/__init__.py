"""Figures of finished runs, drawn from their files alone.

Needs Matplotlib, which is imported on the first call. Figures are made without pyplot:
no window, no global state, no backend to choose.
"""

from jaxpareto.plot.front import Front, front_figure, save_front
from jaxpareto.plot.study import save_study
from jaxpareto.plot.tasks import save_tasks

__all__ = ["Front", "front_figure", "save_front", "save_study", "save_tasks"]
