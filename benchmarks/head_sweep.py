"""How fast are the heads of many weight decays as one wide product?

    python benchmarks/head_sweep.py                                  # d 2,048, c 1,000
    python benchmarks/head_sweep.py --rows 5600 --features 256 --classes 80

An epoch of SGD with momentum, batches of 256, of 11 decays: all heads in one product,
in groups, head by head, and head by head in eager PyTorch, from slices of a tensor and
through its DataLoader. All take turns in one process; beside them the machine's own
speed at a large square product. scikit-learn's solver is another algorithm: what is
shown is one of its iterations, for all decays, which goes through the rows once or
more. The last table says what the sweep of ImageNet would take at these speeds.
"""

import argparse
import time
from collections.abc import Callable
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
from _turns import take_turns

from jaxpareto import logistic

BATCH = 256
DECAYS = np.geomspace(1e-7, 1e-2, 11)
SQUARE = 4096
IMAGENET = 1_281_167, 2048, 1000
"""Rows, features, classes."""


def ours(x: np.ndarray, y: np.ndarray, c: int, group: int) -> Callable[[], None]:
    """Make an epoch of all heads, `group` of them at a time."""
    rule = logistic.sgd(1e-3, steps=-(-len(y) // BATCH))
    plan = logistic.Plan(BATCH)
    run = jax.jit(partial(logistic.epoch, optimizer=rule, plan=plan), donate_argnums=0)
    rows, labels = jnp.asarray(x), jnp.asarray(y)
    parts = [DECAYS[i : i + group] for i in range(0, len(DECAYS), group)]
    zeros = logistic.zeros(x.shape[1], c)
    states = [logistic.start(logistic.widen(zeros, len(part)), rule) for part in parts]

    def go() -> None:
        for i, part in enumerate(parts):
            states[i], _ = run(
                states[i], rows, labels, jnp.asarray(part), jax.random.key(0)
            )
        jax.block_until_ready(states)

    return go


def theirs(x: np.ndarray, y: np.ndarray, c: int, *, loader: bool) -> Callable[[], None]:
    """Make an epoch in PyTorch, head by head, as the report's listing has it."""
    import torch

    rows, labels = torch.tensor(x), torch.tensor(y, dtype=torch.long)
    heads = []
    for decay in DECAYS:
        linear = torch.nn.Linear(x.shape[1], c)
        sgd = torch.optim.SGD(
            linear.parameters(), lr=1e-3, momentum=0.9, weight_decay=decay
        )
        heads.append((linear, sgd))
    stored = torch.utils.data.TensorDataset(rows, labels)
    feed = torch.utils.data.DataLoader(stored, BATCH, shuffle=True)

    def batches():
        if loader:
            return feed
        mixed = torch.randperm(len(labels))
        cuts = (mixed[i : i + BATCH] for i in range(0, len(labels), BATCH))
        return ((rows[cut], labels[cut]) for cut in cuts)

    def go() -> None:
        for linear, sgd in heads:
            for inputs, answers in batches():
                sgd.zero_grad()
                torch.nn.functional.cross_entropy(linear(inputs), answers).backward()
                sgd.step()

    return go


def lbfgs(x: np.ndarray, y: np.ndarray, iterations: int = 3) -> float:
    """Time one iteration of scikit-learn's solver for one decay, in seconds."""
    import warnings

    from sklearn.exceptions import ConvergenceWarning
    from sklearn.linear_model import LogisticRegression

    model = LogisticRegression(C=1e3 / len(y), max_iter=iterations)
    began = time.perf_counter()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        model.fit(x, y)
    return (time.perf_counter() - began) / iterations


def square() -> Callable[[], None]:
    """Make a product of two large square matrices."""
    a = jax.random.normal(jax.random.key(0), (SQUARE, SQUARE))
    product = jax.jit(jnp.matmul)
    return lambda: jax.block_until_ready(product(a, a))


def contenders(x: np.ndarray, y: np.ndarray, c: int) -> dict[str, Callable[[], None]]:
    """Return all that take turns."""
    l = len(DECAYS)
    made = {
        "one wide product": ours(x, y, c, l),
        "groups of 3": ours(x, y, c, 3),
        "head by head": ours(x, y, c, 1),
    }
    try:
        made["PyTorch"] = theirs(x, y, c, loader=False)
        made["PyTorch, DataLoader"] = theirs(x, y, c, loader=True)
    except ImportError:
        print("PyTorch is not installed: it is left out")
    return made | {"square product": square()}


def main() -> None:
    """Take turns and print the tables."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--rows", type=int, default=2560)
    parser.add_argument("--features", type=int, default=2048)
    parser.add_argument("--classes", type=int, default=1000)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--steps", help="ignored: each turn is an epoch")
    asked = parser.parse_args()
    n, d, c = asked.rows, asked.features, asked.classes
    rng = np.random.default_rng(0)
    x = rng.standard_normal((n, d), dtype=np.float32)
    y = (np.arange(n) % c).astype(np.int32)
    spent = take_turns(contenders(x, y, c), 1, asked.rounds)
    peak = 2 * SQUARE**3 / np.median(spent.pop("square product")) / 1e6
    work = 4 * n * d * c * len(DECAYS) / 1e6
    print(f"{n:,} rows, {d:,} features, {c:,} classes, {len(DECAYS)} decays, one epoch")
    print(f"square product of {SQUARE:,}: {peak:.0f} GFLOP/s")
    first = spent["one wide product"]
    print(f"{'':<22}{'ms':>9}{'GFLOP/s':>9}{'of peak':>9}{'x wide':>8}  (rounds)")
    for name, each in spent.items():
        rate = work / np.median(each)
        ratios = each / first
        print(
            f"{name:<22}{np.median(each):>9.0f}{rate:>9.0f}{rate / peak:>9.0%}"
            f"{np.median(ratios):>8.2f}  ({ratios.min():.2f} to {ratios.max():.2f})"
        )
    try:
        each = [lbfgs(x, y) * len(DECAYS) * 1e3 for _ in range(min(asked.rounds, 3))]
        print(f"{'scikit-learn, L-BFGS':<22}{np.median(each):>9.0f}  (an iteration)")
    except ImportError:
        print("scikit-learn is not installed: it is left out")
    _project(work / np.median(first), peak)


def _project(rate: float, peak: float) -> None:
    """Print what ImageNet's sweep would take at these GFLOP/s."""
    n, d, c = IMAGENET
    for name, heads in (("one decay, one epoch", 1), ("11 decays, 90 epochs", 990)):
        work = 4 * n * d * c * heads / 1e9
        print(
            f"ImageNet, {name}: {work:.3g} GFLOP, {work / rate / 3600:.2g} h at this "
            f"rate, {work / peak / 3600:.2g} h at the peak"
        )


if __name__ == "__main__":
    main()
