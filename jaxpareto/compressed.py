"""Networks of which a static hypernetwork makes some kernels, so that they have fewer
numbers. No preference is involved: the result is a `Net` like any other.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax

from jaxpareto import hyper, tree
from jaxpareto.errors import UsageError
from jaxpareto.types import Array, Key, Net, Params


class Compressed(NamedTuple):
    """A network with fewer parameters than its target.

    Attributes:
      net: takes the place of the target.
      generate: `generate(phi) -> params`, from its parameters to the target's.
    """

    net: Net
    generate: Callable[[Params], Params]


def compress(
    net: Net,
    key: Key,
    *,
    reach: int,
    basic: tuple[int, int] = (16, 16),
    embedding: int = 4,
    width: int | None = None,
) -> Compressed:
    """Let one small network make all kernels of a side, each from learned codes.

    `apply(phi, images) = net.apply(generate(phi), images)`

    Args:
      net: the target network.
      key: only measures the scale of the target's initial weights; consumed.
      reach: the side of the kernels that are made; those whose channels or filters are
        no multiples of `basic` are learned directly, like all that is no such kernel.
      basic: channels and filters of a basic kernel; larger ones are put together.
      embedding: length of the code of each basic kernel.
      width: of the generator's inner vectors; None is as long as a code.

    Returns:
      A network whose parameters have two parts, `made` (the generator and the codes)
      and `base` (all others), and the function that makes the target's from them.

    Raises:
      UsageError: the network has no such kernel.

    Source: Ha, Dai and Le (2017), "HyperNetworks", section 3.1. For MNIST they generate
    the 12,544 numbers of one kernel from a code of 4 and 4,240 others:

    >>> from jaxpareto.nets import cnn7
    >>> net = compress(cnn7(), jax.random.key(0), reach=7).net
    >>> made = jax.eval_shape(net.init, jax.random.key(1))["made"]
    >>> made["codes"].size, tree.count(made["Kernel_0"])
    (4, 4240)
    """
    spec = tree.spec_of(net.init, key)
    found = hyper.kernels(spec, basic, reach)
    if not found:
        raise UsageError(
            f"the network has no kernel of {reach} x {reach} between multiples of "
            f"{basic[0]} channels and {basic[1]} filters"
        )
    module = hyper.Relaxed(spec, found, basic, embedding, width or embedding)

    def init(key: Key) -> Params:
        drawn = module.init(key, method="leaves")["params"]
        base = {name: drawn[name] for name in drawn if name.startswith("direct")}
        return {"base": base, "made": {k: drawn[k] for k in drawn if k not in base}}

    def generate(phi: Params) -> Params:
        drawn: Any = phi["made"] | phi["base"]
        leaves = module.apply({"params": drawn}, method="leaves")
        return jax.tree.unflatten(spec.treedef, leaves)

    def apply(phi: Params, images: Array, *, key: Key | None = None) -> Array:
        return net.apply(generate(phi), images, key=key)

    return Compressed(Net(init, apply), generate)
