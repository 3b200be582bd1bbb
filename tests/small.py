"""Small things that several test files share: settings that are quick, and numbers."""

from typing import Any

import jax
import numpy as np

from jaxpareto.conditioned import CONDITIONERS, Conditioner

RUN: dict[str, Any] = {
    "train_pairs": 400,
    "test_pairs": 100,
    "batch_size": 40,
    "epochs": 2,
}
"""Settings of the run that `conftest.trained` has."""

SMALL: dict[str, dict[str, Any]] = {
    "heads": {},
    "heads-straight": {"straight": 0.5},
    "delta": {},
    "chunked": {"width": 8, "hidden": (20,), "chunk_size": 50},
    "chunked-filter": {"width": 8, "hidden": (20,), "chunking": "filter"},
    "chunked-phn": {"width": 8, "hidden": (20,), "chunk_size": 50},
    "chunked-hmlp": {"width": 8, "hidden": (20,), "chunk_size": 50},
    "sparse": {},
    "sparse-mlp": {"form": "mlp-bias"},
    "static": {},
    "linear": {"spread": 0.3},
    "low-rank": {"rank": 2},
    "low-rank-mlp": {"rank": 3, "gates": "mlp", "hidden": (6,)},
    "film": {"hidden": (6,)},
    "input": {},
}
"""Each conditioner (up to a dash and a form) with options that keep it small."""


def conditioner(name: str) -> Conditioner:
    """Find the conditioner that a name of `SMALL`, or one like it, is a form of."""
    kinds = sorted(CONDITIONERS, key=len)[::-1]
    return CONDITIONERS[next(kind for kind in kinds if name.startswith(kind))]


def keyed(seed: int) -> jax.Array:
    """Make a key whose generator compiles many times faster than the default one."""
    return jax.random.key(seed, impl="unsafe_rbg")


def normal(shapes: Any, seed: int = 1) -> Any:
    """Fill a pytree of shapes with normal numbers, without compiling anything."""
    rng = np.random.default_rng(seed)
    return jax.tree.map(lambda x: rng.standard_normal(x.shape, x.dtype), shapes)
