"""Does a ResNet-18 for every preference fit, and how long is its training step?

    python benchmarks/resnet_step.py                 # minutes on 2 cores
    python benchmarks/resnet_step.py --norm batch --prefs-per-step 1 --steps 1

One step: a batch of images of 36 x 36 that each of k preferences sees whole, a chunked
hypernetwork whose chunks share one projection (the recipe of Navon et al., 2021), and
for each preference the 11,443,156 weights it makes; cross-entropy, Adam. The memory is
that of the compiled step, and the most that this process ever held, compiling included.
"""

import argparse
import platform
import resource
import time
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxpareto import conditioned, prefs, tree
from jaxpareto.nets.resnet import NORMS, resnet18
from jaxpareto.rules import RULES
from jaxpareto.train import Hparams, Recipe, State, init, optimizers, step
from jaxpareto.train.microbatch import choose_microbatch
from jaxpareto.types import Split

HPARAMS = Hparams(1e-4)
GIB = 2**30


def recipe(norm: str, size: str, k: int, split: bool) -> Recipe:
    """Return the training of which one step is measured."""
    entry = conditioned.CONDITIONERS["chunked-phn"]
    options = entry.options | conditioned.PHN_RESNET[size]
    made = entry.make(resnet18(norm=norm), 2, jax.random.key(0), **options)
    image = jax.ShapeDtypeStruct((36, 36), jnp.float32)
    return Recipe(
        conditioned=made,
        rule=RULES["linear"],
        sampler=prefs.SAMPLERS["dirichlet"](2, 1.0),
        optimizer=optimizers.optimizer("adam", "constant", steps=1),
        prefs_per_step=k,
        split_batch=split,
        microbatch=choose_microbatch(made, 2, image),
    )


def examples(count: int) -> Split:
    """Return a batch of noise."""
    images = jax.random.randint(jax.random.key(1), (count, 36, 36), 0, 256)
    labels = jax.random.randint(jax.random.key(2), (count, 2), 0, 10)
    return Split(images.astype(jnp.uint8), labels)


def compiled(training: Recipe, state: State, batch: Split) -> Any:
    """Compile one step, which gives back the memory of the state before it."""
    one = jax.jit(
        lambda state, batch: step(training, state, batch, HPARAMS), donate_argnums=0
    )
    began = time.perf_counter()
    program = one.lower(state, batch).compile()
    print(f"compiled in {time.perf_counter() - began:.1f} s", flush=True)
    return program


def report_memory(program: Any) -> None:
    """Print what the compiled step says of its memory."""
    said = program.memory_analysis()
    state = said.argument_size_in_bytes / GIB
    work = (
        said.output_size_in_bytes - said.alias_size_in_bytes + said.temp_size_in_bytes
    ) / GIB
    print(f"state and batch {state:.2f} GiB, work {work:.2f} GiB", flush=True)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--norm", default="group", choices=NORMS)
    parser.add_argument("--size", default="11M", choices=conditioned.PHN_RESNET)
    parser.add_argument("--prefs-per-step", type=int, default=4)
    parser.add_argument("--batch-size", type=int, default=64)
    parser.add_argument("--split-batch", action="store_true")
    parser.add_argument("--steps", type=int, default=5)
    asked = parser.parse_args()
    device = jax.devices()[0].device_kind
    print(f"jax {jax.__version__} on {device}, {platform.processor()}")
    training = recipe(asked.norm, asked.size, asked.prefs_per_step, asked.split_batch)
    state = jax.jit(partial(init, training))(jax.random.key(3), HPARAMS)
    print(
        f"{asked.norm} norm, {asked.prefs_per_step} preferences, a batch of "
        f"{asked.batch_size}, {tree.count(state.phi):,} parameters in the hypernetwork"
    )
    batch = examples(asked.batch_size)
    program = compiled(training, state, batch)
    report_memory(program)
    spent = []
    for _ in range(asked.steps):
        began = time.perf_counter()
        state, info = jax.block_until_ready(program(state, batch))
        spent.append(time.perf_counter() - began)
        print(f"{spent[-1]:.2f} s, loss {info.objective:.3f}", flush=True)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / GIB
    print(f"{np.median(spent):.2f} s a step; this process held {peak:.2f} GiB at most")


if __name__ == "__main__":
    main()
