"""What a training is made of: settings, the recipe, what a step carries and tells."""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax.numpy as jnp
import optax

from jaxpareto.data import Look
from jaxpareto.metrics import cross_entropy
from jaxpareto.types import Array, Conditioned, Key, Params, Sampler, Weighting


class Hparams(NamedTuple):
    """Settings that are numbers: traced, so that `vmap` sweeps them, compiled once.

    Attributes:
      learning_rate: at the peak of the schedule.
      weight_decay: of the optimiser; 0 is off.
    """

    learning_rate: float | Array = 1e-3
    weight_decay: float | Array = 0.0


GRAM_OF = ("phi", "params")


class Where(NamedTuple):
    """Where the k networks of a step are judged.

    Attributes:
      prefs: [k, m].
      batch: the whole batch, or its parts with a leading axis [k].
      keys: [k], for dropout.
    """

    prefs: Array
    batch: Any
    keys: Key


def as_it_is(tree: Any) -> Any:
    """Return what is given."""
    return tree


class Layout(NamedTuple):
    """How a step is laid out, where that is anybody's business; by default nobody's.

    Attributes:
      share: what becomes of the k networks and their examples before they are judged.
      whole: what becomes of losses and Gramians before a rule sees all k of them.
      look: `look(images, rows)` finds rows of a data set; None is `images[rows]`.
    """

    share: Callable[[Where], Where] = as_it_is
    whole: Callable[[Any], Any] = as_it_is
    look: Look | None = None


def mean_cross_entropy(logits: Array, labels: Array) -> Array:
    """Return each task's mean loss [m] in nats, from [b, m, c] and [b, m]."""
    return jnp.mean(cross_entropy(logits, labels), axis=0)


def pixels(images: Array) -> Array:
    """Scale uint8 pixels to [0, 1]; floats are taken as they are."""
    if images.dtype == jnp.uint8:
        return images.astype(jnp.float32) / 255.0
    return images


class Recipe(NamedTuple):
    """Everything about a training that changes the compiled program.

    Attributes:
      conditioned: the network to train.
      rule: how the tasks are weighed, one of `rules.RULES` or made by `rules.from_...`.
      sampler: `sampler(key, k, progress) -> [k, m]`.
      optimizer: `optimizer(hparams) -> optax.GradientTransformation`.
      prefs_per_step: `k`.
      split_batch: whether the k preferences share the batch instead of each seeing it.
      one_by_one: whether the k networks are trained one after another instead of all
        at once, which a sparse hypernetwork is for on a CPU: XLA takes long to add up
        what k networks say of one number.
      microbatch: how many examples go through the networks at once, about, where the
        losses are means over examples; 0 is all of them, and so is half of them or
        more. `choose_microbatch` says what suits; a network that drops units at random
        draws them anew for each piece.
      losses: `losses(outputs, labels) -> [m]`, of a batch.
      gram_of: whose gradients a solver compares: `"phi"`, as in the papers, or
        `"params"`, those of the generated network (cheaper: one backward pass through
        the hypernetwork instead of m).
      steps: of the whole training, for samplers that change on the way; 0 is unknown.
      penalty: weight of the network's own penalty, `conditioned.penalty(phi)`.
      average: decay of a moving average of `phi`, which is then what is evaluated; 0 is
        none.
      inputs: `inputs(images)`, what the network reads: `pixels` scales uint8.
      layout: how the step is laid out (`train.mesh` has it on many devices).
    """

    conditioned: Conditioned
    rule: Weighting
    sampler: Sampler
    optimizer: Callable[[Hparams], optax.GradientTransformation]
    prefs_per_step: int = 1
    split_batch: bool = False
    one_by_one: bool = False
    microbatch: int = 0
    losses: Callable[[Any, Any], Array] = mean_cross_entropy
    gram_of: str = "phi"
    steps: int = 0
    penalty: float = 0.0
    average: float = 0.0
    inputs: Callable[[Any], Any] = pixels
    layout: Layout = Layout()


class State(NamedTuple):
    """What the next step needs.

    Attributes:
      phi: parameters of the conditioned network.
      opt_state: of the optimiser.
      key: of the run; step t uses `fold_in(key, t)`, so nothing random is carried.
      step: number of steps done, int32.
      average: a moving average of `phi`, or None where the recipe asks for none.
    """

    phi: Params
    opt_state: Any
    key: Key
    step: Array
    average: Params = None

    @property
    def best(self) -> Params:
        """The parameters to use: the average, where there is one."""
        return self.phi if self.average is None else self.average


class Info(NamedTuple):
    """What a person needs to know of a step.

    Attributes:
      objective: the weighted loss, mean over preferences.
      losses: [m] loss per task in nats, mean over preferences.
      grad_norm: global norm of the gradient in `phi`, before clipping.
      weights: [m] weight per task, mean over preferences.
      solved: share of the preferences at which the rule solved its own program.
    """

    objective: Array
    losses: Array
    grad_norm: Array
    weights: Array
    solved: Array
