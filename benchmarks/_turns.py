"""What the benchmarks of a training step share: a compiled stepper, and fair turns."""

import time
from collections.abc import Callable, Hashable, Mapping
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np

from jaxpareto import prefs, tree
from jaxpareto.rules import RULES
from jaxpareto.train import Hparams, Recipe, init, optimizers, step
from jaxpareto.types import Conditioned, Split, Weighting

BATCH = 256


def stepper(
    network: Conditioned,
    k: int,
    steps: int,
    *,
    split: bool = True,
    rule: Weighting = RULES["linear"],
    gram_of: str = "phi",
) -> tuple[Callable[[], None], int]:
    """Return a function that does `steps` compiled steps, and the size of `phi`.

    Protocol A's images (noise here), two tasks, cross-entropy, Adam.

    Args:
      network: on images [36, 36] with two heads of ten classes.
      k: preferences per step.
      steps: in a turn.
      split: whether the preferences share the batch of 256.
      rule: how the losses are weighed.
      gram_of: whose gradients a solver compares.
    """
    recipe = Recipe(
        conditioned=network,
        rule=rule,
        sampler=prefs.SAMPLERS["dirichlet"](2, 1.0),
        optimizer=optimizers.optimizer("adam", "constant", steps=1),
        prefs_per_step=k,
        split_batch=split,
        gram_of=gram_of,
    )
    images = jax.random.randint(jax.random.key(1), (steps, BATCH, 36, 36), 0, 256)
    labels = jax.random.randint(jax.random.key(2), (steps, BATCH, 2), 0, 10)
    batches = Split(images.astype(jnp.uint8), labels)
    hparams = Hparams(1e-4)
    run = jax.jit(
        lambda state, batches: jax.lax.scan(
            lambda s, batch: step(recipe, s, batch, hparams), state, batches
        )[0],
        donate_argnums=0,
    )
    state = jax.jit(partial(init, recipe))(jax.random.key(3), hparams)

    def go() -> None:
        nonlocal state
        state = jax.block_until_ready(run(state, batches))

    return go, tree.count(state.phi)


def take_turns(
    contenders: Mapping[Hashable, Callable[[], None]], steps: int, rounds: int
) -> dict[Hashable, np.ndarray]:
    """Return milliseconds per step, [rounds] for each, after one turn to warm up."""
    for go in contenders.values():
        go()
    spent: dict[Hashable, list[float]] = {name: [] for name in contenders}
    for _ in range(rounds):
        for name, go in contenders.items():
            began = time.perf_counter()
            go()
            spent[name].append((time.perf_counter() - began) / steps * 1e3)
    return {name: np.array(each) for name, each in spent.items()}
