"""What is exported: the network of one preference, or of all of them."""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from jaxpareto import __version__, tree
from jaxpareto.prefs import check_pref
from jaxpareto.train.own_front import OwnFront
from jaxpareto.train.run import Front
from jaxpareto.types import Array, Params


class Network(NamedTuple):
    """A network on its way out of this library.

    Attributes:
      weights: the parameters of one network, or `phi`, those of the whole family.
      forward: `forward(params, images) -> logits`, [b, h, w] in [0, 1] -> [b, m, c].
      make: `make(phi, pref) -> params` where the preference [m] stays an input, None
        where one was chosen.
      image: (h, w); of a network of your own, ().
      tasks: `m`.
      about: what files can say of it, in strings.
      example: of a network of your own, the shapes and types of one input, a pytree;
        None is an image.
    """

    weights: Params
    forward: Callable[[Params, Array], Array]
    make: Callable[[Params, Array], Params] | None
    image: tuple[int, ...]
    tasks: int
    about: dict[str, str]
    example: Any = None

    def __repr__(self) -> str:
        """Say in one line what it is; the weights would fill pages."""
        return f"Network({tree.count(self.weights):,} parameters, {self.shapes})"

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

    def inputs(self, b: Any) -> list[Any]:
        """Return the shape and type of each input for a batch of `b`, to be traced."""
        image = jax.ShapeDtypeStruct(self.image, jnp.float32)
        batch = jax.tree.map(
            lambda leaf: jax.ShapeDtypeStruct((b, *leaf.shape), leaf.dtype),
            image if self.example is None else self.example,
        )
        pref = jax.ShapeDtypeStruct((self.tasks,), jnp.float32)
        return [pref, batch] if self.whole else [batch]


def network(front: Front | OwnFront, pref: Any = None) -> Network:
    """Pick what of a trained family is exported.

    Args:
      front: the family.
      pref: m non-negative numbers that sum to one; None keeps it an input.

    Raises:
      UsageError: `pref` is not on the simplex, or of the wrong length.
    """
    if isinstance(front, OwnFront):
        settings, m, image, example = front.plan, front.m, (), front.example
        reads = {}
    else:
        settings, m, example = front.config, front.shape.tasks, None
        image = front.shape.image
        reads = {"image": "x".join(map(str, image))}
    about = {
        "network": settings.network,
        "conditioner": settings.conditioner,
        "preference": "input",
        **reads,
        "jaxpareto": __version__,
    }
    forward, make = front.conditioned.forward, front.conditioned.params
    if pref is None:
        return Network(front.phi, forward, make, image, m, about, example)
    pref = check_pref(pref, m)
    about["preference"] = ",".join(f"{x:.6g}" for x in pref)
    trained = pref if isinstance(front, OwnFront) else front.trained_pref(pref)
    if not np.array_equal(trained, pref):  # of independent networks, the nearest
        about["trained_for"] = ",".join(f"{x:.6g}" for x in trained)
    weights = front.params(jnp.asarray(pref))
    return Network(weights, forward, None, image, m, about, example)
