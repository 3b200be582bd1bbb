"""What does each way to condition a network cost in a training step?

    python benchmarks/conditioner_step.py            # minutes on 2 cores
    python benchmarks/conditioner_step.py --prefs-per-step 8 --rounds 3

One step: 16 preferences share a batch of 256 protocol A images, the multi-task LeNet of
31,910 weights, cross-entropy, Adam. All conditioners take turns in every round; the
table has medians, and the ratio to `linear` within a round.
"""

import argparse
import platform

import jax
import numpy as np
from _turns import stepper, take_turns

from jaxpareto.conditioned import CONDITIONERS
from jaxpareto.train.config import Config, configure
from jaxpareto.train.run import Shape, make_recipe

SHAPE = Shape((36, 36), tasks=2, classes=10)
PEER = "linear"


def settings(name: str) -> Config:
    """Return the settings of a run with a conditioner and nothing else said."""
    options = "width=100" if name == "heads" else ""
    return configure(data="multi-mnist", conditioner=name, conditioner_options=options)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--prefs-per-step", type=int, default=16)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--steps", type=int, default=3, help="in a turn")
    asked = parser.parse_args()
    device = jax.devices()[0].device_kind
    print(f"jax {jax.__version__} on {device}, {platform.processor()}")
    going, sizes = {}, {}
    for name in CONDITIONERS:
        if name != "independent":
            network = make_recipe(settings(name), SHAPE, asked.steps).conditioned
            going[name], sizes[name], _ = stepper(
                network, asked.prefs_per_step, asked.steps
            )
    spent = take_turns(going, asked.steps, asked.rounds)
    print("| conditioner | parameters | ms per step | to linear |")
    print("| --- | --- | --- | --- |")
    for name, each in spent.items():
        ratio = np.median(each / spent[PEER])
        print(f"| {name} | {sizes[name]:,} | {np.median(each):.1f} | {ratio:.2f} |")


if __name__ == "__main__":
    main()
