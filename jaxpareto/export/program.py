"""A compiled function with its weights, through `jax.export`: JAX alone runs it."""

import jax
import jax.numpy as jnp
from jax import export

from jaxpareto.errors import require
from jaxpareto.export.network import Network

PLATFORMS = ("cpu", "cuda")


def to_program(network: Network) -> bytearray:
    """Write the network as the bytes of a serialised StableHLO program.

    `jax.export.deserialize(data).call(images)` runs it, on a CPU or a CUDA device, for
    a batch of any size. JAX promises to read it for at least half a year of its own
    versions.

    Raises:
      RunError: flatbuffers is not installed, which JAX needs here.
    """
    require("flatbuffers", "export")
    exported = export.export(jax.jit(network.answer), platforms=PLATFORMS)
    (b,) = export.symbolic_shape("b")
    return exported(
        *(
            jax.ShapeDtypeStruct([b if n == "b" else n for n in shape], jnp.float32)
            for shape in network.shapes.values()
        )
    ).serialize()
