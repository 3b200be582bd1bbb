"""How much does a network lose whose kernels a small static hypernetwork makes?

Ha, Dai and Le (2017), "HyperNetworks": the second kernel of a network for MNIST, 12,544
numbers, from 4,240 and a code of four; and relaxed weight sharing, where one generator
makes all kernels 3x3 of a residual network, here the thesis's, which has no norms.

    python experiments/static_hypernet.py --preset smoke --out runs/static-smoke
    python experiments/static_hypernet.py --data-dir DATA --out runs/static
    python experiments/static_hypernet.py --preset cifar --out runs/static-cifar

| preset | images | network | epochs | seeds | time on 2 cores |
| --- | --- | --- | --- | --- | --- |
| `smoke` | embedded digits | `cnn7` | 4 | 2 | half a minute |
| `mnist` | MNIST | `cnn7` | 11 | 5 | see docs/hypernetworks.md |
| `cifar` | CIFAR-10 | `plain_resnet`, 28 kernels | 60 | 3 | not run yet; use a GPU |

Expected of `mnist` (their numbers, one run each): direct 99.28 %, generated 99.24 %.
Both networks train alike: Adam, a cosine to zero, training images shifted by up to one
pixel (they do not say that they do), the epoch chosen by the loss on 5,000 images held
out; the test images are looked at once, at the end.

A killed call continues from its last epoch when it is given again. The folder has
`result.json`, `table.csv`, `table.md`, `curves.png` and `kernels.png`.
"""

import sys
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np

from jaxpareto import cli, hyper, nets, style, tree
from jaxpareto.backend import one_device_per_core
from jaxpareto.compressed import compress
from jaxpareto.data import load_source
from jaxpareto.data.cifar import load_cifar
from jaxpareto.errors import RunError, check_name, require
from jaxpareto.metrics import LOSSES
from jaxpareto.report import markdown, mean_std, plus_minus
from jaxpareto.search.figures import curves_figure
from jaxpareto.search.table import write_csv
from jaxpareto.train import fit, optimizers
from jaxpareto.train.examples import Examples, pieces_of, split_rows
from jaxpareto.train.folder import claim
from jaxpareto.train.log import read_json, write_json
from jaxpareto.train.members import over_members, places
from jaxpareto.train.pieces import Clock, by_pieces, progress
from jaxpareto.types import Net, Params

Row = dict[str, Any]


class Preset(NamedTuple):
    """What is trained, and how.

    Attributes:
      data: a source of images, or `cifar10`.
      net: the target network, a name of `NETS`.
      reach: side of the kernels that are generated.
      embedding: length of a code, and of the generator's inner vectors.
      shown: path of a generated kernel, for the picture.
      held: images held out of the training set.
      epochs: of training.
      seeds: trained at once.
      rate: largest learning rate.
      batch: examples in a step.
      shift: pixels that training images move, at most.
      mirror: whether they are mirrored.
      warmup: steps over which the rate rises.
      made_rate: learning rate of the generator and its codes, relative. Their numbers
        are of size one and those of a kernel of size 0.05, and a step of Adam does not
        look at the size.
    """

    data: str
    net: str
    reach: int
    embedding: int
    shown: str
    held: int
    epochs: int
    seeds: int
    rate: float
    batch: int
    shift: int
    mirror: bool = False
    warmup: int = 0
    made_rate: float = 8.0


PRESETS = {
    "smoke": Preset("digits", "cnn7", 7, 4, "conv1/kernel", 200, 4, 2, 3e-3, 50, 0),
    "mnist": Preset(
        "mnist", "cnn7", 7, 4, "conv1/kernel", 5000, 11, 5, 3e-3, 50, 1, warmup=200
    ),
    "cifar": Preset(
        *("cifar10", "resnet", 3, 64, "block00/conv0/kernel", 5000, 60, 3, 1e-3, 100),
        *(4, True, 500),
    ),
}
NETS: dict[str, Callable[..., Net]] = {"cnn7": nets.cnn7, "resnet": nets.plain_resnet}
BASIC = (16, 16)
KINDS = ("direct", "generated")


class Problem(NamedTuple):
    """Images to learn from, to choose by, and to report on."""

    data: Examples
    test: tuple[np.ndarray, np.ndarray]
    classes: int


def load(preset: Preset, data_dir: str | None) -> Problem:
    """Hold out some training images, the same for all seeds."""
    if preset.data == "cifar10":
        source = load_cifar(preset.data, data_dir)
    else:
        source = load_source(preset.data, data_dir)
    order = np.random.default_rng(0).permutation(len(source.train_labels))
    labels, test = (
        each.astype(np.int32) for each in (source.train_labels, source.test_labels)
    )
    data = split_rows(
        source.train_images, labels, order[preset.held :], order[: preset.held]
    )
    return Problem(data, (source.test_images, test), source.classes)


class Made(NamedTuple):
    """A network to train, and the target's parameters that its own stand for."""

    net: Net
    generate: Callable[[Params], Params]


def make(kind: str, preset: Preset, problem: Problem) -> Made:
    """Make the target network, or the one that generates its kernels."""
    shape = problem.data.images.shape[1:]
    target = NETS[preset.net](shape, classes=problem.classes)
    if kind == "direct":
        return Made(target, lambda params: params)
    more = {"reach": preset.reach, "basic": BASIC, "embedding": preset.embedding}
    return Made(*compress(target, jax.random.key(0), **more))


def train(
    kind: str, preset: Preset, problem: Problem, out: Path, number: int
) -> dict[str, Any]:
    """Train all seeds of a network, look at the test images, keep what was found."""
    made = make(kind, preset, problem)
    steps = problem.data.train.shape[1] // preset.batch * preset.epochs
    learner = fit.Learner(
        net=lambda _: made.net,
        optimizer=optimizers.optimizer(
            "adam",
            "cosine",
            steps=steps,
            warmup=preset.warmup,
            # `_parts` tells the generator from the rest by the name of its parameters.
            rest_rate=preset.made_rate if kind == "generated" else 1.0,
        ),
        loss=LOSSES["cross-entropy"],
        batch_size=preset.batch,
        epochs=preset.epochs,
        shifts=preset.shift > 0,
        mirrors=preset.mirror,
    )
    members = fit.alike(
        preset.seeds,
        learning_rate=preset.rate,
        shift=preset.shift,
        seed=np.arange(preset.seeds),
    )
    clock = Clock(out / kind / "seconds.json")

    def tell(done: int, state: fit.Progress) -> str:
        clock.tick()
        accuracy = np.mean(state.history[:, done - 1, 2])
        return f"{kind}: held out {100 * accuracy:.2f} %"

    state = by_pieces(
        partial(fit.begin, learner),
        lambda member, state, data, until: fit.advance(
            learner, member, state, data, until
        ),
        members,
        problem.data,
        (out / kind / "checkpoints").absolute(),
        until=preset.epochs,
        watch=progress(
            number * preset.epochs,
            len(KINDS) * preset.epochs,
            preset.epochs,
            tell,
            "epoch",
        ),
    )
    if not np.all(state.finite):
        raise RunError(f"{kind}: losses are not finite; try a smaller learning rate")
    tested = judged(learner, members, state.best, problem)
    first = made.generate(jax.tree.map(lambda x: x[0], state.best))
    np.save(out / kind / "kernel.npy", leaf(first, preset.shown))
    found = {
        "history": state.history.tolist(),
        "best_epoch": state.best_epoch.tolist(),
        "test": tested.tolist(),
        "parameters": tree.count(state.params) // preset.seeds,
        "seconds per seed": clock.pace * preset.epochs / preset.seeds,
    }
    write_json(out / kind / "result.json", found)
    return found


def judged(
    learner: fit.Learner, members: fit.Member, best: Params, problem: Problem
) -> np.ndarray:
    """Return loss and accuracy [s, 2] on the test images."""
    slots = places(len(members.seed))
    who = np.where(slots < len(members.seed), slots, 0)
    mine = jax.tree.map(lambda x: x[who], (members, best))
    judge = over_members(lambda _, mine, test: fit.judge(learner, *mine, *test))
    found = np.asarray(judge(None, mine, pieces_of(*problem.test)))
    return found[np.argsort(slots)[: len(members.seed)]]


def leaf(params: Params, path: str) -> np.ndarray:
    """Return the leaf `a/b` of nested dictionaries."""
    for name in path.split("/"):
        params = params[name]
    return np.asarray(params)


def row_of(kind: str, preset: Preset, problem: Problem, found: dict[str, Any]) -> Row:
    """Say in one row what came of a network: means and deviations over seeds."""
    target = make("direct", preset, problem)
    spec = tree.spec_of(target.net.init, jax.random.key(0), draws=1)
    made = make("generated", preset, problem).net
    own = tree.count(jax.eval_shape(made.init, jax.random.key(0))["made"])
    chosen = hyper.kernels(spec, BASIC, preset.reach)
    direct = sum(spec.sizes[i] for i in chosen)
    history, best = np.array(found["history"]), np.array(found["best_epoch"]) - 1
    validation = history[np.arange(len(best)), best]
    loss, accuracy = np.array(found["test"]).T
    return {
        "network": kind,
        "parameters": found["parameters"],
        "of the kernels": direct if kind == "direct" else own,
        **spread("test accuracy", accuracy),
        **spread("test loss", loss),
        **spread("validation accuracy", validation[:, 2]),
        "epoch": float(np.mean(best + 1)),
        "seeds": len(best),
        "seconds per seed": found["seconds per seed"],
    }


def spread(name: str, values: np.ndarray) -> Row:
    """Return mean and standard deviation as two columns."""
    return dict(zip((name, f"{name} std"), mean_std(values), strict=True))


def table(rows: Sequence[Row]) -> str:
    """Lay the rows out in Markdown, and say what the generated kernels cost."""

    def share(row: Row, name: str) -> str:
        return plus_minus(row[name], row[f"{name} std"], 2, scale=100) + " %"

    heads = ["network", "parameters", "of the kernels", "test accuracy", "validation"]
    return markdown(
        [*heads, "seeds", "seconds per seed"],
        [
            [
                row["network"],
                f"{row['parameters']:,}",
                f"{row['of the kernels']:,}",
                share(row, "test accuracy"),
                share(row, "validation accuracy"),
                row["seeds"],
                f"{row['seconds per seed']:.0f}",
            ]
            for row in rows
        ],
    )


def compared(found: dict[str, dict[str, Any]]) -> str:
    """Say how far the two networks are apart, seed by seed."""
    direct, generated = (np.array(found[kind]["test"])[:, 1] for kind in KINDS)
    mean, std = mean_std(100 * (generated - direct))
    return (
        f"generated minus direct: {mean:+.2f} ± {std:.2f} "
        f"points of test accuracy, {len(direct)} seeds"
    )


@style.styled
def kernel_figure(kernels: dict[str, np.ndarray]) -> Any:
    """Draw a kernel of each network: a picture for each pair of channel and filter."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(3.3 * len(kernels), 3.5), layout="constrained")
    panels = figure.subplots(1, len(kernels), squeeze=False)[0]
    for axes, (kind, kernel) in zip(panels, kernels.items(), strict=True):
        side, _, channels, filters = kernel.shape
        framed = np.pad(
            kernel, ((0, 1), (0, 1), (0, 0), (0, 0)), constant_values=np.nan
        )
        tiles = framed.transpose(2, 0, 3, 1).reshape(channels * (side + 1), -1)
        # One very large weight would make all others grey.
        most = np.quantile(np.abs(kernel), 0.995)
        axes.imshow(tiles[:-1, :-1], cmap="RdBu_r", vmin=-most, vmax=most)
        axes.set_title(f"{kind}, seed 0")
        axes.set_xlabel(f"{filters} filters")
        axes.set_ylabel(f"{channels} channels")
        axes.set_xticks([])
        axes.set_yticks([])
    return figure


def main(preset: str, out: Path, *, data_dir: str | None = None) -> list[Row]:
    """Train both networks unless they are, and write what was found.

    Raises:
      UsageError: an unknown preset, or `out` holds something else.
      RunError: the images cannot be loaded, or a file in `out` is damaged.
    """
    chosen = PRESETS[check_name(preset, PRESETS, "preset")]
    require("matplotlib", "plot")  # known before the work, not after it
    problem = load(chosen, data_dir)
    claim(out, chosen._asdict())
    found = {}
    for number, kind in enumerate(KINDS):
        path = out / kind / "result.json"
        done = path.exists()
        found[kind] = (
            read_json(path) if done else train(kind, chosen, problem, out, number)
        )
    rows = [row_of(kind, chosen, problem, found[kind]) for kind in KINDS]
    write_json(out / "result.json", {"rows": rows, "networks": found})
    write_csv(rows, out / "table.csv")
    said = f"{table(rows)}\n\n{compared(found)}\n"
    (out / "table.md").write_text(said)
    curves = {kind: np.array(found[kind]["history"]) for kind in KINDS}
    kernels = {kind: np.load(out / kind / "kernel.npy") for kind in KINDS}
    style.save(curves_figure(curves, title=chosen.data), out / "curves.png")
    style.save(kernel_figure(kernels), out / "kernels.png")
    print(f"{said}table: {out}/table.csv   pictures: {out}/*.png")
    return rows


def _parser() -> cli.Parser:
    parser = cli.script_parser("static_hypernet.py", __doc__)
    parser.add_argument("--preset", default="mnist", help=", ".join(PRESETS))
    parser.add_argument("--data-dir", help="folder of IDX files; else JAXPARETO_DATA")
    parser.set_defaults(
        run=lambda asked: main(asked.preset, asked.out, data_dir=asked.data_dir),
        prepare=one_device_per_core,
    )
    return parser


if __name__ == "__main__":
    sys.exit(cli.guarded(_parser))
