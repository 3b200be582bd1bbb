"""A backbone of ten lines, and the command line as a process that can be killed."""

import os
import resource
import sys
from types import SimpleNamespace
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from fake_prepare import SIDE, prepare

from jaxpareto import cli
from jaxpareto.types import Backbone

DIM = 6
MIX = np.random.default_rng(0).normal(size=(SIDE * SIDE, DIM)).astype(np.float32)


@jax.jit
def features(images):
    """Mix the pixels: [b, SIDE, SIDE] -> [b, DIM]."""
    flat = images.reshape(len(images), -1).astype(jnp.float32) / 255.0
    return jnp.tanh(flat @ MIX)


FAKE = Backbone("fake", DIM, features, prepare, "f" * 64, "the corner of an image")


class Entry(NamedTuple):
    dim: int


def of_net(name, net, params, *, image_shape, channels=1):
    """Freeze a network of this library: here, its pixels' sum alone."""
    del net, params, channels
    return FAKE._replace(
        name=name,
        dim=1,
        features=lambda images: jnp.sum(images, (1, 2), jnp.float32)[:, None],
        prepare=np.asarray,
        preprocess=f"{image_shape} as it is",
    )


BACKBONES = SimpleNamespace(
    BACKBONES={"fake": Entry(DIM)},
    load=lambda name, weights, *, preprocess: FAKE,
    of_net=of_net,
)
"""What takes the place of `jaxpareto.backbones`."""


def main() -> int:
    """Run the command line, with no other backbone than this one."""
    if limit := os.environ.get("LARGEST_FILE"):
        resource.setrlimit(resource.RLIMIT_FSIZE, (int(limit), int(limit)))
    sys.modules["jaxpareto.backbones"] = BACKBONES
    return cli.main()
