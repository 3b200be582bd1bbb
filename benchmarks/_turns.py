"""What the benchmarks of a training step share: a compiled stepper, and fair turns."""

import time
from collections.abc import Callable, Hashable, Iterator, Mapping
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from jaxpareto import prefs, tree
from jaxpareto.rules import RULES
from jaxpareto.train import Hparams, Recipe, init, optimizers, step
from jaxpareto.train.microbatch import choose_microbatch
from jaxpareto.types import Conditioned, Split, Weighting

BATCH = 256


class Program(NamedTuple):
    """Compiled steps.

    Attributes:
      go: does all of them, from where it stopped the last time.
      parameters: size of `phi`.
      bytes: memory at the peak: arguments, results and temporaries.
    """

    go: Callable[[], None]
    parameters: int
    bytes: int


def stepper(
    network: Conditioned,
    k: int,
    steps: int,
    *,
    split: bool = True,
    rule: Weighting = RULES["linear"],
    gram_of: str = "phi",
    tasks: int = 2,
    batch: int = BATCH,
    microbatch: int | None = None,
) -> Program:
    """Compile `steps` steps, as they are inside the training loop.

    Protocol A's images (noise here), cross-entropy, Adam.

    Args:
      network: on images [36, 36] with heads of ten classes.
      k: preferences per step.
      steps: in a turn.
      split: whether the preferences share the batch.
      rule: how the losses are weighed.
      gram_of: whose gradients a solver compares.
      tasks: `m`, heads of the network.
      batch: images in a step.
      microbatch: of them that go through a network at once; None is what is chosen.
    """
    if microbatch is None:
        image = jax.ShapeDtypeStruct((36, 36), jnp.float32)
        microbatch = choose_microbatch(network, tasks, image)
    recipe = Recipe(
        conditioned=network,
        rule=rule,
        sampler=prefs.SAMPLERS["dirichlet"](tasks, 1.0),
        optimizer=optimizers.optimizer("adam", "constant", steps=1),
        prefs_per_step=k,
        split_batch=split,
        gram_of=gram_of,
        microbatch=microbatch,
    )
    images = jax.random.randint(jax.random.key(1), (steps, batch, 36, 36), 0, 256)
    labels = jax.random.randint(jax.random.key(2), (steps, batch, tasks), 0, 10)
    batches = Split(images.astype(jnp.uint8), labels)
    hparams = Hparams(1e-4)
    state = jax.jit(partial(init, recipe))(jax.random.key(3), hparams)
    run = (
        jax.jit(
            lambda state, batches: jax.lax.scan(
                lambda s, batch: step(recipe, s, batch, hparams), state, batches
            )[0],
            donate_argnums=0,
        )
        .lower(state, batches)
        .compile()
    )

    def go() -> None:
        nonlocal state
        state = jax.block_until_ready(run(state, batches))

    return Program(go, tree.count(state.phi), peak_bytes(run))


def peak_bytes(compiled: Any) -> int:
    """Return what a compiled program holds at its peak."""
    sizes = compiled.memory_analysis()
    return (
        sizes.argument_size_in_bytes
        + sizes.output_size_in_bytes
        + sizes.temp_size_in_bytes
        - sizes.alias_size_in_bytes
    )


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


def beside(
    spent: Mapping[Hashable, np.ndarray], name: str, unit: str, scale: float = 1.0
) -> Iterator[str]:
    """Lay turns out in Markdown, beside those of the last contender.

    Args:
      spent: milliseconds, [rounds] for each contender.
      name: of what was measured.
      unit: of time.
      scale: how many of it are a millisecond.
    """
    peer = list(spent.values())[-1]
    yield f"| {name} | {unit} | the last one's time to it |"
    yield "| --- | --- | --- |"
    for who, each in spent.items():
        ratio = peer / each
        spread = f"{np.median(ratio):.2f} ({ratio.min():.2f}-{ratio.max():.2f})"
        yield f"| {who} | {np.median(each) * scale:.4g} | {spread} |"
