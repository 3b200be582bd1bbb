"""A compiled function with its weights, through `jax.export`: JAX alone runs it."""

import jax
from jax import export

from jaxpareto.errors import RunError, require
from jaxpareto.export.network import Network

PLATFORMS = ("cpu", "cuda")


def to_program(network: Network) -> bytearray:
    """Write the network as the bytes of a serialised StableHLO program.

    `jax.export.deserialize(data).call(images)` runs it, on a CPU or a CUDA device, for
    a batch of any size. JAX promises to read it for at least half a year of its own
    versions.

    Raises:
      RunError: flatbuffers is not installed, which JAX needs here, or a network of your
        own cannot be traced for a batch of any size.
    """
    require("flatbuffers", "export")
    exported = export.export(jax.jit(network.answer), platforms=PLATFORMS)
    (b,) = export.symbolic_shape("b")
    try:
        return exported(*network.inputs(b)).serialize()
    except Exception as error:  # whatever a function of the caller's may raise
        if network.example is None:
            raise
        reason = " ".join(str(error).split())[:200]
        raise RunError(
            f"the network cannot be compiled for a batch of any size ({reason}); "
            "nothing was written: save its weights, as .safetensors"
        ) from error
