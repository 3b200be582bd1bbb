"""How long does a grid of small networks take, in each arrangement and in PyTorch?

    python benchmarks/grid.py --data-dir DATA              # a few minutes on 2 cores
    python benchmarks/grid.py --rounds 1 --rows 300 --no-torch

The grid of the source report (001, section 3.2) at one batch size: 4 learning rates x 4
widths of a network with one hidden layer, batches of 3, 5,040 training images (10 %),
one epoch, then the loss on 1,260 validation images. The contenders take turns in every
round; the table has medians over rounds, without compilation, and the ratio to ours
round by round. Without `--data-dir` the images are noise, which costs the same.

`one by one` is one compiled program for each width, called for each member; `ours` is
`search.run` as `jaxpareto search` calls it: on a CPU one device for each core, which
trains its share of the members one after another. All but PyTorch start from the same
weights and see the same order, and their losses must agree.
"""

import argparse
import platform
from collections.abc import Callable, Iterator

import jax
import jax.numpy as jnp
import numpy as np
from _turns import take_turns

from jaxpareto import search
from jaxpareto.backend import one_device_per_core
from jaxpareto.data import load_source
from jaxpareto.search import Plan
from jaxpareto.search.plan import make_learner
from jaxpareto.train import fit
from jaxpareto.train.examples import Examples, split_rows
from jaxpareto.train.members import over_members

RATES, WIDTHS = (1e-5, 1e-4, 1e-3, 1e-2), (150, 200, 250, 300)
GRID = [(rate, width) for rate in RATES for width in WIDTHS]
PLAN = Plan("shallow", (28, 28), 10, epochs=1)


def examples(rows: int, data_dir: str | None) -> Examples:
    """Return so many training images, and a quarter as many to validate."""
    count = rows + rows // 4
    order = np.arange(count)
    if data_dir is None:
        rng = np.random.default_rng(0)
        images = rng.integers(0, 256, (count, 28, 28)).astype(np.uint8)
        labels = rng.integers(0, 10, count)
    else:
        source = load_source("mnist", data_dir)
        images, labels = source.train_images[:count], source.train_labels[:count]
    return split_rows(images, labels.astype(np.int32), order[:rows], order[rows:])


def vmapped(data: Examples, asked: argparse.Namespace) -> Callable[[], None]:
    """Return a function that trains the grid as one `vmap` on one device."""
    rates, widths = (np.array(x) for x in zip(*GRID, strict=True))
    members = fit.alike(len(GRID), learning_rate=rates, widths=(widths,))
    learner = learner_of(max(WIDTHS), asked)
    run = over_members(
        lambda _, one, data: fit.fit(learner, one, data).history[0],
        arrangement="vmap",
        devices=jax.devices()[:1],
    )

    def go() -> None:
        LOSSES["vmap"] = np.asarray(run(None, members, data))[:, 1]

    return go


def ours(data: Examples, asked: argparse.Namespace) -> Callable[[], None]:
    """Return a function that trains the grid as `jaxpareto search` does."""
    points = search.grid(
        {
            "learning-rate": RATES,
            "width": WIDTHS,
            "batch-size": [asked.batch_size],
            "optimizer": [asked.optimizer],
        }
    )

    def go() -> None:
        rows = search.run(PLAN, points, data)
        LOSSES["ours"] = np.array([row["validation_loss"] for row in rows])

    return go


def learner_of(width: int, asked: argparse.Namespace) -> fit.Learner:
    """Make the program of one width."""
    return make_learner(
        PLAN,
        asked.batch_size,
        (width,),
        asked.optimizer,
        drops=False,
        shifts=False,
        warps=False,
        rows=asked.rows,
    )


def alone(data: Examples, asked: argparse.Namespace) -> Callable[[], None]:
    """Return a function that trains the members one by one, each at its own width."""
    programs = {}
    for width in WIDTHS:
        learner = learner_of(width, asked)
        programs[width] = jax.jit(
            lambda one, data, learner=learner: fit.fit(learner, one, data).history[0]
        )

    def go() -> None:
        LOSSES["one by one"] = np.array(
            [
                np.asarray(
                    programs[width](fit.Member(rate, widths=(jnp.int32(width),)), data)
                )[1]
                for rate, width in GRID
            ]
        )

    return go


def torch_alone(data: Examples, asked: argparse.Namespace) -> Callable[[], None]:
    """Return a function that does the same in eager PyTorch."""
    import torch
    from torch.nn import functional as F

    images = torch.tensor(np.asarray(data.images).reshape(-1, 784) / np.float32(255))
    labels = torch.tensor(np.asarray(data.targets)).long()
    optimizers = {"sgd": torch.optim.SGD, "adam": torch.optim.Adam}
    n, b = asked.rows, asked.batch_size

    def train(rate: float, width: int) -> float:
        net = torch.nn.Sequential(
            torch.nn.Linear(784, width), torch.nn.ReLU(), torch.nn.Linear(width, 10)
        )
        optimizer = optimizers[asked.optimizer](net.parameters(), rate)
        order = torch.randperm(n)[: n // b * b].reshape(-1, b)
        for rows in order:
            optimizer.zero_grad()
            F.cross_entropy(net(images[rows]), labels[rows]).backward()
            optimizer.step()
        with torch.no_grad():
            return F.cross_entropy(net(images[n:]), labels[n:]).item()

    def go() -> None:
        for rate, width in GRID:
            train(rate, width)

    return go


LOSSES: dict[str, np.ndarray] = {}


def table(spent: dict[str, np.ndarray]) -> Iterator[str]:
    """Lay the measurements out in Markdown."""
    yield "| | seconds | to ours |"
    yield "| --- | --- | --- |"
    for name, each in spent.items():
        ratio = each / spent["ours"]
        spread = f"{np.median(ratio):.2f} ({ratio.min():.2f}-{ratio.max():.2f})"
        yield f"| {name} | {np.median(each) / 1e3:.2f} | {spread} |"


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--rows", type=int, default=5040)
    parser.add_argument("--batch-size", type=int, default=3)
    parser.add_argument("--optimizer", default="sgd", help="sgd or adam")
    parser.add_argument("--data-dir", help="folder of MNIST's IDX files")
    parser.add_argument("--no-torch", action="store_true", help="leave the peer out")
    asked = parser.parse_args()
    one_device_per_core()
    data = examples(asked.rows, asked.data_dir)
    device = f"{jax.device_count()} x {jax.devices()[0].device_kind}"
    print(f"jax {jax.__version__} on {device}, {platform.processor()}")
    contenders = {
        "one by one": alone(data, asked),
        "vmap": vmapped(data, asked),
        "ours": ours(data, asked),
    }
    if not asked.no_torch:
        try:
            contenders["pytorch"] = torch_alone(data, asked)
        except ModuleNotFoundError:
            print("PyTorch is not installed (pip install torch==2.13.0): left out")
    for line in table(take_turns(contenders, 1, asked.rounds)):
        print(line)
    worst = max(np.abs(each - LOSSES["ours"]).max() for each in LOSSES.values())
    print(f"largest difference in loss: {worst:.1e}")


if __name__ == "__main__":
    main()
