"""How many images should go through a network at once on a CPU?

    python benchmarks/microbatch.py        # ten minutes on 2 cores

A step of the chunked hypernetwork (k = 1, a batch of 256 images, linear rule, Adam) in
pieces of several sizes, for target networks that make little and much of an image. The
sizes take turns in every round. `train.microbatch` chooses by what a forward pass
writes; the column `chosen` says what it chooses here.
"""

import argparse

import jax
import jax.numpy as jnp
import numpy as np
from _turns import BATCH, stepper, take_turns

from jaxpareto import conditioned
from jaxpareto.nets import lenet, mlp, multitask_cnn, resnet18
from jaxpareto.train.microbatch import choose_microbatch

NETWORKS = {
    "mlp": mlp((36, 36)),
    "lenet": lenet(),
    "cnn-16-16-32": multitask_cnn(filters=(16, 16, 32)),
    "cnn-32-64-96": multitask_cnn(filters=(32, 64, 96)),
    "resnet18": resnet18((36, 36)),  # a quarter of the batch, or it takes minutes
}
SIZES = (4, 8, 16, 32, 64, 128, 256)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--steps", type=int, default=3, help="in a turn")
    parser.add_argument("--networks", nargs="+", choices=NETWORKS, default=NETWORKS)
    asked = parser.parse_args()
    print(f"jax {jax.__version__}, {jax.devices()[0].device_kind}\n")
    print(f"| ms per step | {' | '.join(map(str, SIZES))} | chosen |")
    print("| --- |" + " --- |" * (len(SIZES) + 1))
    for name in asked.networks:
        net = NETWORKS[name]
        made = conditioned.chunked(net, 2, jax.random.key(0), chunk_size=1000, width=32)
        image = jax.ShapeDtypeStruct((36, 36), jnp.float32)
        batch = BATCH // 4 if name == "resnet18" else BATCH
        going = {
            size: stepper(
                made, 1, asked.steps, split=False, batch=batch, microbatch=size
            ).go
            for size in SIZES
            if size <= batch
        }
        spent = take_turns(going, asked.steps, asked.rounds)
        each = " | ".join(
            f"{np.median(spent[size]):.1f}" if size in spent else "" for size in SIZES
        )
        print(f"| {name} | {each} | {choose_microbatch(made, 2, image)} |", flush=True)


if __name__ == "__main__":
    main()
