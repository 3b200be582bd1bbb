"""How does the cost of a step grow, in time and in memory?

    python benchmarks/growth.py                        # all axes
    python benchmarks/growth.py --axes prefs,tasks --rounds 3

| axis | what | from | to |
| --- | --- | --- | --- |
| `prefs` | LeNet, a batch of 64 images that each of k preferences sees | 1 | 256 |
| `tasks` | LeNet with m heads, 8 preferences that share 256 images | 2 | 16 |
| `size` | MLP of n parameters, chunked, 4 preferences share 64 images | 1e4 | 1e7 |
| `decays` | heads of l weight decays, 512 features, 100 classes, 2,560 rows | 1 | 64 |

The sizes of an axis take turns in every round. The slope is that of a straight line
through the logarithms: 1 is linear, below 1 better than that. `growth` is what a unit
costs beside the cheapest unit of the smaller sizes: above 1.10 the line is left.
Memory is what the compiled program says that it needs at its peak.
"""

import argparse
import platform
from collections.abc import Callable, Iterator
from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from _turns import peak_bytes, stepper, take_turns

from jaxpareto import conditioned, logistic, tree
from jaxpareto.nets import lenet, mlp

IMAGE = (36, 36)


class Contender(NamedTuple):
    """A size of an axis: the size, a function that does the work, its memory."""

    size: int
    go: Callable[[], None]
    bytes: int


def of_prefs(k: int) -> Contender:
    """Make a step of k preferences that each see the whole batch."""
    network = conditioned.chunked(lenet(), 2, jax.random.key(0), width=32)
    made = stepper(network, k, 1, split=False, batch=64)
    return Contender(k, made.go, made.bytes)


def of_tasks(m: int) -> Contender:
    """Make a step of m tasks."""
    net = lenet(IMAGE, tasks=m)
    network = conditioned.chunked(net, m, jax.random.key(0), width=32)
    made = stepper(network, 8, 2, tasks=m)
    return Contender(m, made.go, made.bytes)


def of_size(n: int) -> Contender:
    """Make a step of a target network of about n parameters, two equal layers."""
    inputs = IMAGE[0] * IMAGE[1]
    linear = inputs + 20.0
    width = max(1, round((np.sqrt(linear**2 + 4 * n) - linear) / 2))
    net = mlp(IMAGE, widths=(width, width))
    found = tree.count(jax.eval_shape(net.init, jax.random.key(0)))
    network = conditioned.chunked(net, 2, jax.random.key(0), chunk_size=4000, width=16)
    made = stepper(network, 4, 2, batch=64)
    return Contender(found, made.go, made.bytes)


def of_decays(l: int) -> Contender:
    """Make an epoch of the heads of l decays, as one wide product."""
    rows, features, classes, batch = 2560, 512, 100, 256
    rng = np.random.default_rng(0)
    x = jnp.asarray(rng.standard_normal((rows, features), dtype=np.float32))
    y = jnp.asarray(np.arange(rows) % classes, jnp.int32)
    rule = logistic.sgd(1e-3, steps=rows // batch)
    epoch = partial(logistic.epoch, optimizer=rule, plan=logistic.Plan(batch))
    decays = jnp.asarray(np.geomspace(1e-7, 1e-2, l), jnp.float32)
    state = logistic.start(logistic.widen(logistic.zeros(features, classes), l), rule)
    given = x, y, decays, jax.random.key(0)
    run = jax.jit(epoch, donate_argnums=0).lower(state, *given).compile()

    def go() -> None:
        nonlocal state
        state, _ = jax.block_until_ready(run(state, *given))

    return Contender(l, go, peak_bytes(run))


AXES: dict[str, tuple[Callable[[int], Contender], tuple[int, ...]]] = {
    "prefs": (of_prefs, (1, 2, 4, 8, 16, 32, 64, 128, 256)),
    "tasks": (of_tasks, (2, 4, 8, 16)),
    "size": (of_size, (10_000, 100_000, 1_000_000, 10_000_000)),
    "decays": (of_decays, (1, 2, 4, 8, 16, 32, 64)),
}
"""Name -> what a size of it is, and the sizes."""


def table(axis: str, found: list[Contender], spent: dict) -> Iterator[str]:
    """Lay an axis out in Markdown."""
    sizes = np.array([each.size for each in found], float)
    medians = np.array([np.median(spent[each.size]) for each in found])
    unit = medians / sizes
    slope = np.polyfit(np.log(sizes), np.log(medians), 1)[0]
    left = np.flatnonzero(unit[1:] > 1.1 * np.minimum.accumulate(unit)[:-1]) + 1
    where = f"left at {found[left[0]].size:,}" if len(left) else "never left"
    yield f"\n{axis}: slope {slope:.2f}; the line is {where}"
    yield f"\n| {axis} | ms | least to most | growth | MiB |"
    yield "| --- | --- | --- | --- | --- |"
    for i, each in enumerate(found):
        took = spent[each.size]
        least, most = took.min(), took.max()
        growth = f"{unit[i] / unit[:i].min():.2f}" if i else ""
        yield (
            f"| {each.size:,} | {medians[i]:.1f} | {least:.1f} to {most:.1f} "
            f"| {growth} | {each.bytes / 2**20:,.0f} |"
        )


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--axes", default=",".join(AXES), help="as prefs,tasks")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--most", type=int, help="largest size of any axis")
    asked = parser.parse_args()
    device = jax.devices()[0].device_kind
    print(f"jax {jax.__version__} on {device}, {platform.processor()}")
    for axis in asked.axes.split(","):
        if axis not in AXES:
            parser.error(f"unknown axis {axis!r}; known: {', '.join(AXES)}")
        make, sizes = AXES[axis]
        found = [make(x) for x in sizes if asked.most is None or x <= asked.most]
        turns = take_turns({each.size: each.go for each in found}, 1, asked.rounds)
        for line in table(axis, found, turns):
            print(line, flush=True)


if __name__ == "__main__":
    main()
