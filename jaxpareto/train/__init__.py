"""Training: the pure step, the loop around it, evaluation, and runs on disk.

The only side effects of the library are here: checkpoints, logs, progress.
"""

from jaxpareto.train.config import Config, configure
from jaxpareto.train.evaluate import Scores, score, summarise
from jaxpareto.train.own import OwnFront, fit_front
from jaxpareto.train.recipe import Hparams, Info, Recipe, State
from jaxpareto.train.run import Front, load, train_front
from jaxpareto.train.step import init, step, train

__all__ = [
    "Config",
    "Front",
    "Hparams",
    "Info",
    "OwnFront",
    "Recipe",
    "Scores",
    "State",
    "configure",
    "fit_front",
    "init",
    "load",
    "score",
    "step",
    "summarise",
    "train",
    "train_front",
]
