"""Vocabulary and contracts: open this page first.

Axis letters, used in every docstring and in shape-suffixed names:

| letter | axis |
| --- | --- |
| `m` | objectives (tasks) |
| `k` | preferences handled at once |
| `n` | parameters of the target network |
| `p` | parameters of the conditioned network (usually of a hypernetwork) |
| `b` | batch of examples |
| `c` | classes |
| `d` | features; width of the inner vector of a hypernetwork |
| `l` | weight decays |
| `s` | seeds |

Words:

- `pref` [m]: a point of the simplex; a larger entry means "care more about this one".
- `ray` [m]: a direction in the space of losses. Never the same thing as `pref`.
- `params`: the pytree of a target network.
- `phi`: the pytree of a conditioned network, which serves all preferences.
- `key`: a JAX random key; a function that takes one consumes it.
"""

from collections.abc import Callable
from typing import Any, NamedTuple, Protocol

import jax
import numpy as np

Array = jax.Array
Key = jax.Array
Params = Any
"""A pytree of arrays: the parameters of a target network, or of a conditioned one."""


class Net(NamedTuple):
    """A target network: pure functions of a parameter pytree.

    Attributes:
      init: `init(key) -> params`; the key is consumed.
      apply: `apply(params, images, *, key=None) -> logits`, images [b, h, w] float, or
        [b, h, w, channels], logits [b, m, c]. A network with a single task answers
        logits [b, c], and an autoencoder pixels [b, h w] in [0, 1]. One of your own may
        read and answer any pytrees of arrays. A key turns dropout on.
      features: `features(params, images) -> [b, d]`, what all heads see: the shared
        representation just before them, without dropout. None if there is none.
      batchwise: whether an answer depends on the other images of its batch, as with
        batch norm. Such a batch is never cut into pieces.
    """

    init: Callable[[Key], Params]
    apply: Callable[..., Array]
    features: Callable[[Params, Array], Array] | None = None
    batchwise: bool = False


class Backbone(NamedTuple):
    """A frozen network that turns images into features.

    Attributes:
      name: of the network, e.g. `"resnet50"`.
      dim: `d`, the number of features of an image.
      features: pure, and may be traced: prepared images, stacked along a new first axis
        -> [b, d] float32. It is compiled once for each shape and takes its weights as
        arguments; inside a `jax.jit` of yours they would become constants.
      prepare: one image -> array; takes a file's path, its bytes, or a uint8 array
        [h, w] or [h, w, 3]. It needs no JAX and can be pickled: it runs in processes.
      fingerprint: SHA-256 of the weights, 64 hexadecimal digits.
      preprocess: one line that names all that happens to the pixels.
    """

    name: str
    dim: int
    features: Callable[[Array], Array]
    prepare: Callable[[Any], np.ndarray]
    fingerprint: str
    preprocess: str


class Conditioned(NamedTuple):
    """A network conditioned on a preference: one `phi` for every trade-off.

    The work is cut in two, so that whatever depends on the preference alone is done
    once for a whole batch or test set.

    Attributes:
      init: `init(key) -> phi`; the key is consumed.
      params: `params(phi, pref) -> params`, pref [m]: the target network for `pref`.
      forward: `forward(params, images, *, key=None) -> logits`, [b, h, w] -> [b, m, c].
      penalty: `penalty(phi) -> scalar`, what the source of this network adds to its
        loss, or None.
      batchwise: as of the target network.
    """

    init: Callable[[Key], Params]
    params: Callable[[Params, Array], Params]
    forward: Callable[..., Array]
    penalty: Callable[[Params], Array] | None = None
    batchwise: bool = False

    def apply(self, phi: Params, pref: Array, images: Array, *, key: Key | None = None):
        """Answer for one preference: `forward(params(phi, pref), images)`."""
        return self.forward(self.params(phi, pref), images, key=key)


class Rule(Protocol):
    """A weighting rule: how much each task's gradient counts at this preference."""

    def __call__(self, losses: Array, gram: Array | None, pref: Array) -> Array:
        """Return the weights [m] for losses [m], Gramian [m, m] (or None), pref [m]."""
        ...


class Weighed(NamedTuple):
    """The answer of a `Weighting`.

    Attributes:
      weights: [k, m].
      solved: [k] bool; False where a rule's own program was not solved.
    """

    weights: Array
    solved: Array


class Weighting(NamedTuple):
    """A rule as training uses it: for all k preferences of a step at once.

    Attributes:
      weigh: `weigh(losses [k, m], grams [k, m, m] or None, prefs [k, m]) -> Weighed`.
      needs_gram: whether it reads the Gramians, which cost m backward passes.
      needs_losses: whether the weights depend on the losses. Where they do not they
        are known before the networks are judged, which may save a forward pass.
    """

    weigh: Callable[[Array, Array | None, Array], Weighed]
    needs_gram: bool
    needs_losses: bool = True


Sampler = Callable[..., Array]
"""`sampler(key, k, progress=1.0) -> prefs` [k, m]; the key is consumed, and progress
says how much of the training is done, from 0 to 1."""


class Split(NamedTuple):
    """Examples of one split.

    Attributes:
      images: [n, h, w] uint8.
      labels: [n, m] int32, one label per task.
    """

    images: Array
    labels: Array


class Tasks(NamedTuple):
    """A multi-task classification data set.

    Attributes:
      train: examples to learn from.
      validation: examples to choose by; no source image in common with the others.
      test: examples to report on, never to choose by.
      classes: `c`, the number of classes of each task.
      sources: per task the training images and labels that `train` was composed from
        (to compose fresh pairs on the device), or None.
    """

    train: Split
    validation: Split
    test: Split
    classes: int
    sources: Any = None
