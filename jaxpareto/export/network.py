"""What is exported: the network of one preference, or of all of them."""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np

from jaxpareto import __version__
from jaxpareto.prefs import check_pref
from jaxpareto.train.run import Front
from jaxpareto.types import Array, Params


class Network(NamedTuple):
    """A network on its way out of this library.

    Attributes:
      weights: the parameters of one network, or `phi`, those of the whole family.
      forward: `forward(params, images) -> logits`, [b, h, w] in [0, 1] -> [b, m, c].
      make: `make(phi, pref) -> params` where the preference [m] stays an input, None
        where one was chosen.
      image: (h, w).
      tasks: `m`.
      about: what files can say of it, in strings.
    """

    weights: Params
    forward: Callable[[Params, Array], Array]
    make: Callable[[Params, Array], Params] | None
    image: tuple[int, int]
    tasks: int
    about: dict[str, str]

    @property
    def whole(self) -> bool:
        """Whether the preference is an input."""
        return self.make is not None

    def answer(self, *inputs: Array) -> Array:
        """Answer `(images)`, or `(pref, images)` where the preference is an input."""
        *pref, images = inputs
        made = self.make(self.weights, *pref) if self.make else self.weights
        return self.forward(made, images)

    @property
    def shapes(self) -> dict[str, tuple[int | str, ...]]:
        """Name -> shape of each input; the batch `"b"` has any size."""
        images: dict[str, tuple[int | str, ...]] = {"images": ("b", *self.image)}
        return ({"preference": (self.tasks,)} if self.whole else {}) | images


def network(front: Front, pref: Any = None) -> Network:
    """Pick what of a trained family is exported.

    Args:
      front: the family.
      pref: m non-negative numbers that sum to one; None keeps it an input.

    Raises:
      UsageError: `pref` is not on the simplex, or of the wrong length.
    """
    config, shape = front.config, front.shape
    about = {
        "network": config.network,
        "conditioner": config.conditioner,
        "preference": "input",
        "image": "x".join(map(str, shape.image)),
        "jaxpareto": __version__,
    }
    forward, make = front.conditioned.forward, front.conditioned.params
    if pref is None:
        return Network(front.phi, forward, make, shape.image, shape.tasks, about)
    pref = check_pref(pref, shape.tasks)
    about["preference"] = ",".join(f"{x:.6g}" for x in pref)
    trained = front.trained_pref(pref)
    if not np.array_equal(trained, pref):  # of independent networks, the nearest
        about["trained_for"] = ",".join(f"{x:.6g}" for x in trained)
    weights = front.params(jnp.asarray(pref))
    return Network(weights, forward, None, shape.image, shape.tasks, about)
