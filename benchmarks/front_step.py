"""How long is a training step, beside the same step in eager PyTorch?

    python benchmarks/front_step.py                  # a few minutes on 2 cores
    python benchmarks/front_step.py --rounds 2 --steps 2 --no-torch
    python benchmarks/front_step.py --compile        # and torch.compile
    python benchmarks/front_step.py --rule hypervolume     # ours alone
    python benchmarks/front_step.py --only 16 --steps 10   # one case, in longer turns

One step: a batch of 256 protocol A images, k preferences, a hypernetwork of about 3.2 M
parameters, the multi-task LeNet, cross-entropy, Adam. Ours is measured where it runs,
inside the compiled scan; the chunked hypernetwork has an inner vector of 100 so that
it is as large as the dense heads of PHN (Navon et al., 2021; 3,243,410 parameters).
PyTorch loops over the preferences, as all public code does. The contenders take turns
in every round; the table has medians over rounds, and the spread of the ratio to k = 1.

`image-prefs/s` counts the networks' answers that were learned from: images times
preferences for a whole batch, images for a split one.
"""

import argparse
import platform
from collections.abc import Callable, Iterator
from functools import partial

import jax
import numpy as np
from _turns import BATCH, stepper, take_turns

from jaxpareto import conditioned
from jaxpareto.nets import lenet
from jaxpareto.rules import RULES

CASES = [
    ("jaxpareto", k, split)
    for k, split in (
        (1, False),
        (4, False),
        (16, False),
        (4, True),
        (8, True),
        (16, True),
    )
]
TORCH_CASES = [
    *(("pytorch", k, False) for k in (1, 4, 16)),
    ("pytorch", 8, True),
]
COMPILED_CASES = [("torch.compile", k, False) for k in (1, 16)]


def ours(k: int, split: bool, steps: int, rule: str) -> Callable[[], None]:
    """Return a function that does `steps` compiled steps."""
    network = conditioned.chunked(
        lenet(shared_relu=False), 2, jax.random.key(0), chunk_size=1000, width=100
    )
    go, size, _ = stepper(network, k, steps, split=split, rule=RULES[rule])
    print(f"jaxpareto k={k}: {size:,} parameters", flush=True)
    return go


def theirs(k: int, split: bool, steps: int) -> Callable[[], None]:
    """Return the same for PHN's LeNet in eager PyTorch."""
    from _phn import Training

    training = Training(k, steps, BATCH, split=split)
    print(f"pytorch k={k}: {training.size:,} parameters")
    return training.linear


def compiled(k: int, split: bool, steps: int) -> Callable[[], None] | None:
    """Return the same with the losses through `torch.compile`, where that works."""
    import _phn

    losses = _phn.compiled()
    if losses is None:
        return None
    return partial(_phn.Training(k, steps, BATCH, split=split).linear, losses)


def measure(
    steps: int, rounds: int, cases: list[tuple[str, int, bool]], rule: str
) -> dict[tuple, np.ndarray]:
    """Return milliseconds per step, [rounds] for each contender, taken in turns."""
    make = {
        "jaxpareto": partial(ours, rule=rule),
        "pytorch": theirs,
        "torch.compile": compiled,
    }
    going = {(who, k, split): make[who](k, split, steps) for who, k, split in cases}
    there = {case: go for case, go in going.items() if go is not None}
    return take_turns(there, steps, rounds)


def table(spent: dict[tuple, np.ndarray]) -> Iterator[str]:
    """Lay the measurements out in Markdown."""
    yield "| | k | batch | ms per step | image-prefs/s | to own k = 1 | to pytorch |"
    yield "| --- | --- | --- | --- | --- | --- | --- |"
    for (who, k, split), each in spent.items():
        median = np.median(each)
        seen = BATCH if split else BATCH * k
        spread, one = "", spent.get((who, 1, False))
        if one is not None:
            alone = each / one
            spread = f"{np.median(alone):.2f} ({alone.min():.2f}-{alone.max():.2f})"
        peer = spent.get(("pytorch", k, split))
        faster = "" if peer is None else f"{np.median(each / peer):.2f}"
        batch = "split" if split else "whole"
        yield (
            f"| {who} | {k} | {batch} | {median:.1f} | {seen / median * 1e3:,.0f} | "
            f"{spread} | {faster} |"
        )


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--steps", type=int, default=5, help="in a turn")
    parser.add_argument("--no-torch", action="store_true", help="leave the peer out")
    parser.add_argument("--compile", action="store_true", help="also torch.compile")
    parser.add_argument("--only", type=int, metavar="K", help="K on the whole batch")
    parser.add_argument("--rule", choices=RULES, default="linear", help="of ours")
    asked = parser.parse_args()
    peers = []
    if not asked.no_torch and asked.rule == "linear":
        try:
            import torch
        except ModuleNotFoundError:
            print("PyTorch is not installed (pip install torch==2.13.0): left out")
        else:
            peers = TORCH_CASES + (COMPILED_CASES if asked.compile else [])
            print(f"torch {torch.__version__}, {torch.get_num_threads()} threads")
    device = jax.devices()[0].device_kind
    print(f"jax {jax.__version__} on {device}, {platform.processor()}")
    cases = CASES + peers
    if asked.only:
        cases = [case for case in cases if case[1:] == (asked.only, False)]
    if not cases:
        parser.error(f"--only {asked.only}: choose from 1, 4 and 16")
    for line in table(measure(asked.steps, asked.rounds, cases, asked.rule)):
        print(line)


if __name__ == "__main__":
    main()
