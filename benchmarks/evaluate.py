"""How long is the evaluation of a front, beside PHN's?

    python benchmarks/evaluate.py         # a minute on 2 cores

25 networks of PHN's LeNet on 20,000 protocol A images (noise here): ours in one
compiled call, weights generated once for each; PHN's as its code does, one preference
and one batch after another. The contenders take turns; compiling is not counted.
"""

import argparse

import jax
import jax.numpy as jnp
import numpy as np
from _turns import beside, take_turns

from jaxpareto import conditioned, prefs
from jaxpareto.nets import lenet
from jaxpareto.train import score
from jaxpareto.types import Split


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--images", type=int, default=20_000)
    asked = parser.parse_args()
    draw = np.random.default_rng(0)
    images = draw.integers(0, 256, (asked.images, 36, 36)).astype(np.uint8)
    labels = draw.integers(0, 10, (asked.images, 2))
    rays = prefs.grid(25, 2)
    network = conditioned.generated(
        lenet(shared_relu=False), 2, jax.random.key(0), module=conditioned.hyper.Heads
    )
    phi = network.init(jax.random.key(1))
    split = Split(jnp.asarray(images), jnp.asarray(labels, jnp.int32))

    going = {
        "jaxpareto": lambda: jax.block_until_ready(score(network, phi, rays, split))
    }
    try:
        from _phn import evaluate
    except ModuleNotFoundError as error:
        print(f"{error.name} is not installed: PHN is left out")
    else:
        scaled = images.astype(np.float32) / 255
        going["PHN, eager PyTorch"] = lambda: evaluate(np.array(rays), scaled, labels)
    spent = take_turns(going, 1, asked.rounds)
    print(f"jax {jax.__version__}, {jax.devices()[0].device_kind}\n")
    name = f"25 preferences, {asked.images:,} images"
    for line in beside(spent, name, "s", 1e-3):
        print(line)


if __name__ == "__main__":
    main()
