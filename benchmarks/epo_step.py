"""How long is an EPO step, beside PHN's with cvxpy?

    python benchmarks/epo_step.py         # a minute on 2 cores; needs PyTorch and cvxpy

One preference, a batch of 256 protocol A images, PHN's LeNet and 3.2 M parameters on
both sides: forward, one gradient per task, their products, the linear program, the
weighted gradient, Adam. The contenders take turns.
"""

import argparse

import jax
from _turns import BATCH, beside, stepper, take_turns

from jaxpareto import conditioned
from jaxpareto.nets import lenet
from jaxpareto.rules import RULES


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--steps", type=int, default=5, help="in a turn")
    asked = parser.parse_args()
    network = conditioned.chunked(
        lenet(shared_relu=False), 2, jax.random.key(0), chunk_size=1000, width=100
    )
    going = {
        f"jaxpareto, gradients of {of}": stepper(
            network, 1, asked.steps, split=False, rule=RULES["epo"], gram_of=of
        ).go
        for of in ("phi", "params")
    }
    try:
        from _phn import Training
    except ModuleNotFoundError as error:
        print(f"{error.name} is not installed: PHN is left out")
    else:
        going["PHN, eager PyTorch and cvxpy"] = Training(1, asked.steps, BATCH).epo
    spent = take_turns(going, asked.steps, asked.rounds)
    print(f"jax {jax.__version__}, {jax.devices()[0].device_kind}\n")
    for line in beside(spent, "EPO, one preference", "ms per step"):
        print(line)


if __name__ == "__main__":
    main()
