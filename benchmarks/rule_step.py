"""What does a weighting rule cost beside the step it is part of?

One step of the library's LeNet with its chunked hypernetwork, batch 256 split among k
preferences, for each rule. A solver is compared with `backward`, a rule that also goes
backward once for each task and then takes the preference for its weights: what it costs
more than that is its own. All take turns in one run; medians and ratios.

    python benchmarks/rule_step.py
    python benchmarks/rule_step.py --rules epo,cpmtl --gram-of phi --rounds 9
"""

import argparse
import platform
import time
from collections.abc import Callable, Iterator

import jax
import jax.numpy as jnp
import numpy as np
from _turns import stepper, take_turns

from jaxpareto import conditioned
from jaxpareto.nets import lenet
from jaxpareto.rules import RULES
from jaxpareto.types import Array, Weighed, Weighting


def take_the_preference(losses: Array, grams: Array | None, wishes: Array) -> Weighed:
    """Weigh as linear scalarisation does, after reading the Gramians."""
    assert grams is not None
    # An optimiser must not find out that they are not needed.
    unread = 1 + 0 * jnp.sum(grams, axis=(1, 2))[:, None]
    return Weighed(wishes * unread, jnp.all(jnp.isfinite(losses), axis=1))


BACKWARD = Weighting(take_the_preference, needs_gram=True)


def contender(rule: Weighting, gram_of: str, k: int, steps: int) -> Callable[[], None]:
    """Return a function that does `steps` compiled steps."""
    network = conditioned.chunked(
        lenet(), 2, jax.random.key(0), chunk_size=1000, width=32
    )
    return stepper(network, k, steps, rule=rule, gram_of=gram_of)[0]


def measure(
    rules: dict[str, Weighting], gram_of: str, k: int, steps: int, rounds: int
) -> dict[str, np.ndarray]:
    """Return milliseconds per step, [rounds] for each rule, taken in turns."""
    going = {name: contender(rule, gram_of, k, steps) for name, rule in rules.items()}
    return take_turns(going, steps, rounds)


def alone(rule: Weighting, k: int, m: int = 2, count: int = 500) -> float:
    """Return milliseconds of the weighing alone, in a scan of its own."""
    keys = jax.random.split(jax.random.key(0), 3)
    rows = jax.random.normal(keys[0], (count, k, m, 20))
    losses = 0.1 + jax.random.uniform(keys[1], (count, k, m))
    wishes = jax.random.dirichlet(keys[2], jnp.ones(m), (count, k))
    grams = jnp.einsum("skin,skjn->skij", rows, rows)

    def body(total: Array, seen: tuple[Array, ...]) -> tuple[Array, None]:
        return total + jnp.sum(rule.weigh(*seen).weights), None

    run = jax.jit(lambda *seen: jax.lax.scan(body, jnp.zeros(()), seen)[0])
    seen = (losses, grams, wishes)
    jax.block_until_ready(run(*seen))
    times = []
    for _ in range(5):
        began = time.perf_counter()
        jax.block_until_ready(run(*seen))
        times.append((time.perf_counter() - began) / count * 1e3)
    return float(np.median(times))


def table(
    spent: dict[str, np.ndarray], rules: dict[str, Weighting], k: int
) -> Iterator[str]:
    """Lay the measurements out in Markdown."""
    yield "| rule | ms per step | to linear | to backward | weighing, ms | share |"
    yield "| --- | --- | --- | --- | --- | --- |"
    for name, each in spent.items():
        cells = [f"{np.median(each):.1f}", f"{np.median(each / spent['linear']):.2f}"]
        solver = rules[name].needs_gram
        cells.append(f"{np.median(each / spent['backward']):.3f}" if solver else "")
        own = alone(rules[name], k)
        cells += [f"{own:.3f}", f"{100 * own / np.median(each):.1f} %"]
        yield f"| {name} | {' | '.join(cells)} |"


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--rules", default="stch,hypervolume,mgda,cpmtl,epo,pmgda")
    parser.add_argument("--gram-of", default="params", choices=("phi", "params"))
    parser.add_argument("--prefs-per-step", type=int, default=8)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--steps", type=int, default=5, help="in a turn")
    asked = parser.parse_args()
    rules = {"linear": RULES["linear"], "backward": BACKWARD}
    rules |= {name: RULES[name] for name in asked.rules.split(",")}
    device = jax.devices()[0].device_kind
    print(f"jax {jax.__version__} on {device}, {platform.processor()}")
    k = asked.prefs_per_step
    print(f"gradients compared in {asked.gram_of}, {k} preferences a step")
    spent = measure(rules, asked.gram_of, k, asked.steps, asked.rounds)
    for line in table(spent, rules, k):
        print(line)


if __name__ == "__main__":
    main()
