"""What makes a network of 8 x 8 digits learn, and what does its latent space know?

All figures of the second source report, and what it left undone: a convolutional
autoencoder that works, and the clustering of the latent space.

    python experiments/digits.py --size smoke --out runs/digits-smoke
    python experiments/digits.py --out runs/digits
    python experiments/digits.py --parts best,latent,warped,clusters --out runs/digits

| size | epochs, classifiers and autoencoders | seeds | time on 2 cores |
| --- | --- | --- | --- |
| `smoke` | 3 and 3 | 2 | a minute or two, nearly all of it compilation |
| `full` | 200 and 1,000 | 5 (10 for the clusters) | an hour and a quarter |

The 1,797 digits of the package are shuffled and cut into 1,077 to train on, 360 to
validate (curves and the choice of the epoch) and 360 to test. Bands are standard
deviations over seeds. Departures from the report: Adam in place of plain gradient
descent, so that one learning rate (1e-3) serves all figures but 3.6. With a kernel of 5
or 10 pixels, 10 filters leave 300 or 270 numbers; the report's 310 is that of 3.

A part that is done is not trained again; `result-SIZE.json` has the numbers.
"""

import sys
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from jaxpareto import cli, nets, style
from jaxpareto.backend import one_device_per_core
from jaxpareto.data import load_source
from jaxpareto.errors import check_name, require
from jaxpareto.metrics import LOSSES, squared_error
from jaxpareto.nets import Autoencoder
from jaxpareto.report import markdown, mean_std
from jaxpareto.search import figures
from jaxpareto.train import fit, optimizers
from jaxpareto.train.examples import pieces_of, split_rows
from jaxpareto.train.log import read_json, write_json
from jaxpareto.train.members import over_members, places
from jaxpareto.types import Net, Params

IMAGE, CLASSES = (8, 8), 10
RATE, BATCH = 1e-3, 32
LATENT = (10, 30, 50, 70)
HIDDEN = (50, 100, 200)


class Size(NamedTuple):
    """How long to train, and how many seeds."""

    classify: int
    encode: int
    seeds: int
    cluster_seeds: int


SIZES = {"smoke": Size(3, 3, 2, 2), "full": Size(200, 1000, 5, 10)}


class Digits(NamedTuple):
    """The digits, shuffled: images [n, 8, 8] uint8, labels [n], rows of each part."""

    images: np.ndarray
    labels: np.ndarray
    train: np.ndarray
    validation: np.ndarray
    test: np.ndarray

    @property
    def pixels(self) -> np.ndarray:
        """What an autoencoder should answer, [n, 64] in [0, 1]."""
        return self.images.reshape(len(self.images), -1).astype(np.float32) / 255.0


def load_digits(turn: float = 0.0) -> Digits:
    """Shuffle all digits with a seed of their own, and cut them 60 : 20 : 20.

    A turn in [0, 1) rotates the order by that share of it before the cut: five turns of
    a fifth test every digit once.
    """
    source = load_source("digits")
    images = np.concatenate([source.train_images, source.test_images])
    labels = np.concatenate([source.train_labels, source.test_labels]).astype(np.int32)
    order = np.random.default_rng(0).permutation(len(labels))
    order = np.roll(order, round(turn * len(order)))
    parts = np.split(order, [1077, 1437])
    return Digits(images, labels, *parts)


class Learned(NamedTuple):
    """Networks of one kind, one for each seed.

    Attributes:
      history: [s, epochs, 3], as `fit.Progress.history`.
      tested: [s, 2], loss and accuracy of the best epoch on the test images.
      params: of the best epoch, leaves [s, ...].
    """

    history: np.ndarray
    tested: np.ndarray
    params: Params


def learn(
    net: Net,
    digits: Digits,
    *,
    seeds: int,
    epochs: int,
    loss: str | None = None,
    rate: float = RATE,
    batch: int = BATCH,
    schedule: str = "constant",
    dropout: float = 0.0,
    warp: float = 0.0,
) -> Learned:
    """Train a network from several seeds; without a loss it is an autoencoder."""
    targets = digits.pixels if loss is None else digits.labels
    data = split_rows(digits.images, targets, digits.train, digits.validation)
    steps = len(digits.train) // batch * epochs
    learner = fit.Learner(
        net=lambda _: net,
        optimizer=optimizers.optimizer("adam", schedule, steps=steps),
        loss=squared_error if loss is None else LOSSES[loss],
        batch_size=batch,
        epochs=epochs,
        drops=dropout > 0,
        warps=warp > 0,
        reconstructs=loss is None,
    )
    test = pieces_of(digits.images[digits.test], targets[digits.test])

    def one(_: None, member: fit.Member, shared: Any) -> tuple[Any, ...]:
        data, test = shared
        done = fit.fit(learner, member, data)
        tested = fit.judge(learner, member, done.best, *test)
        return done.history, tested, done.best

    slots = places(seeds)
    seed = np.where(slots < seeds, slots, 0)
    members = fit.alike(
        len(slots), learning_rate=rate, dropout=dropout, warp=warp, seed=seed
    )
    found = over_members(one)(None, members, (data, test))
    back = np.argsort(slots)[:seeds]
    return Learned(*jax.tree.map(lambda x: np.asarray(x)[back], found))


class Case(NamedTuple):
    """A curve of a figure: a classifier, and how it is trained."""

    net: Net
    loss: str = "cross-entropy"
    rate: float = RATE
    batch: int = BATCH


def classifiers() -> dict[str, dict[str, Case]]:
    """Return figures 3.1 to 3.9: name -> label -> case."""
    dense = partial(nets.mlp_net, IMAGE, classes=CLASSES)
    conv = partial(nets.sequence_net, IMAGE, classes=CLASSES)
    simple = dense(widths=(100,))
    return {
        "3.1-linear-or-convolution": {
            "64-992-100-10": Case(dense(widths=(992, 100))),
            "Conv1D(3, 1, 32)-100-10": Case(conv()),
        },
        "3.2-activation": {
            name: Case(dense(widths=(100,), activation=name))
            for name in ("relu", "tanh", "sigmoid", "softmax")
        },
        "3.3-layers": {
            "64-10": Case(dense(widths=())),
            "64-100-10": Case(simple),
            "64-100-10-200-10": Case(dense(widths=(100, 10, 200))),
        },
        "3.4-width": {
            f"64-{width}-10": Case(dense(widths=(width,))) for width in (10, 100, 1000)
        },
        "3.5-loss": {name: Case(simple, name) for name in LOSSES},
        "3.6-learning-rate": {
            f"{rate:g}": Case(simple, rate=rate) for rate in (1e-5, 1e-4, 1e-3, 1e-2)
        },
        "3.7-batch-size": {
            f"{batch}": Case(simple, batch=batch) for batch in (8, 32, 128, 512)
        },
        "3.8-kernel": {
            f"{kernel} pixels": Case(conv(kernel=kernel, filters=10, widths=()))
            for kernel in (1, 5, 10)
        },
        "3.9-filters": {
            f"{filters} filters": Case(conv(filters=filters, widths=()))
            for filters in (3, 10, 32)
        },
    }


def classify(name: str, digits: Digits, size: Size, out: Path) -> dict[str, Any]:
    """Draw one of the figures 3.1 to 3.9, and return its numbers."""
    curves, rows = {}, {}
    for label, case in classifiers()[name].items():
        print(f"{name}: {label}", file=sys.stderr)
        found = learn(
            case.net,
            digits,
            seeds=size.seeds,
            epochs=size.classify,
            loss=case.loss,
            rate=case.rate,
            batch=case.batch,
        )
        curves[label] = found.history
        rows[label] = {
            "validation_loss": spread(np.nanmin(found.history[..., 1], axis=1)),
            "test_accuracy": spread(found.tested[:, 1]),
        }
    # Losses of different kinds have no common axis; accuracies have.
    measure = "accuracy" if name == "3.5-loss" else "loss"
    save(figures.curves_figure(curves, title=name, measure=measure), out, name)
    return rows


def best(name: str, digits: Digits, size: Size, out: Path) -> dict[str, Any]:
    """Do as well as the report's two networks can: warps, dropout, a decaying rate.

    Each digit is tested once, over five turns of the split; the spread is that of the
    turns. LeNet-5, which wants 16 x 16, sees each pixel as a square of four.
    """
    del digits, out
    dense = partial(nets.mlp_net, IMAGE, classes=CLASSES)
    cases = {
        "64-992-100-10": (dense(widths=(992, 100), dropout=0.3), 1),
        "Conv1D(3, 1, 32)-100-10": (
            nets.sequence_net(IMAGE, classes=CLASSES, dropout=0.3),
            1,
        ),
        "LeNet-5": (nets.lenet5((16, 16), classes=CLASSES, dropout=0.3), 2),
    }
    rows = {}
    for label, (net, scale) in cases.items():
        found = []
        for turn in range(5):
            print(f"{name}: {label}, turn {turn + 1} of 5", file=sys.stderr)
            turned = load_digits(turn / 5)
            large = turned.images.repeat(scale, axis=1).repeat(scale, axis=2)
            learned = learn(
                net,
                turned._replace(images=large),
                seeds=2,
                epochs=size.classify,
                loss="cross-entropy",
                rate=2e-3,
                schedule="cosine",
                dropout=0.3,
                warp=0.15,
            )
            at = np.nanargmin(learned.history[..., 1], axis=1)
            found.append(
                (
                    learned.history[np.arange(2), at, 2].mean(),
                    learned.tested[:, 1].mean(),
                )
            )
        validation, tested = zip(*found, strict=True)
        rows[label] = {
            "validation_accuracy": spread(validation),
            "test_accuracy": spread(tested),
        }
    return rows


def autoencode(name: str, digits: Digits, size: Size, out: Path) -> dict[str, Any]:
    """Draw one of the figures 3.10 to 3.14, and return its numbers."""
    dense = partial(nets.dense_autoencoder, IMAGE)
    cases: dict[str, dict[str, tuple[Autoencoder, int]]] = {
        "3.10-base": {"64-200-50-200-64": (dense(), size.encode)},
        "3.11-epochs": {
            f"{epochs} epochs": (dense(), epochs)
            for epochs in (size.encode // part for part in (4, 2, 1))
            if epochs
        },
        "3.12-latent": {
            f"latent {latent}": (dense(widths=(200, latent, 200)), size.encode)
            for latent in LATENT
        },
        "3.13-encoder": {
            f"encoder {width}": (dense(widths=(width, 50, 200)), size.encode)
            for width in HIDDEN
        },
        "3.14-decoder": {
            f"decoder {width}": (dense(widths=(200, 50, width)), size.encode)
            for width in HIDDEN
        },
    }
    return compare(name, cases[name], digits, size.seeds, out)


def compare(
    name: str,
    cases: dict[str, tuple[Autoencoder, int]],
    digits: Digits,
    seeds: int,
    out: Path,
    **training: Any,
) -> dict[str, Any]:
    """Train autoencoders, draw reconstructions, and curves of a few; return errors."""
    curves, rows, shown = {}, {}, digits.test[:8]
    pictures = {"original": digits.pixels[shown]}
    for label, (coder, epochs) in cases.items():
        print(f"{name}: {label}", file=sys.stderr)
        found = learn(coder.net, digits, seeds=seeds, epochs=epochs, **training)
        curves[label] = found.history
        params = jax.tree.map(lambda x: x[0], found.params)
        images = jnp.asarray(digits.images[shown] / np.float32(255))
        pictures[label] = np.asarray(jax.jit(coder.net.apply)(params, images))
        rows[label] = {
            "test_error": spread(found.tested[:, 0]),
            "parameters": sum(x[0].size for x in jax.tree.leaves(found.params)),
        }
    if len(curves) <= len(style.COLOURS):
        save(figures.curves_figure(curves, title=name), out, name)
    save(picture_figure(pictures), out, f"{name}-images")
    return rows


def latent(name: str, digits: Digits, size: Size, out: Path) -> dict[str, Any]:
    """Compare the report's dense autoencoder with convolutional ones, by latent size.

    At 50 the two-dimensional one has 45,971 parameters, the dense one 46,114. All decay
    their learning rate over a quarter of the epochs.
    """
    kinds = "dense", "convolution", "1-D convolution"
    return by_latent_size(name, kinds, digits, size, out)


def warped(name: str, digits: Digits, size: Size, out: Path) -> dict[str, Any]:
    """Do the same with images that are warped a little at every step.

    What stops an autoencoder of 1,077 digits is not its size: warping keeps it from
    learning them by heart. Then a dense one with ReLU around a linear latent vector,
    of as many parameters as the report's, is the best at the smallest size.
    """
    kinds = "dense", "dense, ReLU", "convolution"
    return by_latent_size(name, kinds, digits, size, out, warp=0.03)


CODERS: dict[str, Callable[[int], Autoencoder]] = {
    "dense": lambda d: nets.dense_autoencoder(IMAGE, widths=(200, d, 200)),
    "dense, ReLU": lambda d: nets.dense_autoencoder(
        IMAGE, widths=(200, d, 200), activation="relu", code="linear"
    ),
    "convolution": lambda d: nets.conv_autoencoder(IMAGE, latent=d),
    "1-D convolution": lambda d: nets.sequence_autoencoder(IMAGE, latent=d),
}
"""Kind -> autoencoder of a latent size."""


def by_latent_size(
    name: str,
    kinds: Sequence[str],
    digits: Digits,
    size: Size,
    out: Path,
    **training: Any,
) -> dict[str, Any]:
    """Compare kinds of autoencoders at every latent size, with a decaying rate."""
    epochs = max(size.encode // 4, 1)
    cases = {f"{kind} {d}": (CODERS[kind](d), epochs) for d in LATENT for kind in kinds}
    training = {"rate": 4e-3, "schedule": "cosine", **training}
    rows = compare(name, cases, digits, size.seeds, out, **training)
    errors = {
        kind: np.array([rows[f"{kind} {d}"]["test_error"] for d in LATENT])
        for kind in kinds
    }
    save(error_figure(errors), out, name)
    return rows


def clusters(name: str, digits: Digits, size: Size, out: Path) -> dict[str, Any]:
    """Cluster the latent space of the convolutional autoencoder, and map it.

    k-means with 10 clusters and HDBSCAN, on the latent vectors of all digits and, to
    compare, on their pixels: adjusted Rand index with the labels, over seeds.
    """
    cluster = require("sklearn.cluster", "dev")
    score = require("sklearn.metrics", "dev").adjusted_rand_score
    rows: dict[str, Any] = {}
    spaces = {"pixels": [digits.pixels] * size.cluster_seeds}
    for d in (10, 50):
        print(f"{name}: latent {d}", file=sys.stderr)
        coder = nets.conv_autoencoder(IMAGE, latent=d)
        found = learn(
            coder.net, digits, seeds=size.cluster_seeds, epochs=max(size.encode // 5, 1)
        )
        images = jnp.asarray(digits.pixels.reshape(-1, *IMAGE))
        encode = jax.jit(jax.vmap(coder.encode, (0, None)))
        spaces[f"latent {d}"] = list(np.asarray(encode(found.params, images)))
    for label, each in spaces.items():
        for method, make in {
            "k-means": lambda seed: cluster.KMeans(10, n_init=10, random_state=seed),
            "HDBSCAN": lambda _: cluster.HDBSCAN(min_cluster_size=15, copy=True),
        }.items():
            found = [make(seed).fit_predict(x) for seed, x in enumerate(each)]
            rows[f"{method}, {label}"] = {
                "adjusted_rand": spread([score(digits.labels, x) for x in found]),
                "clusters": spread([len(set(x) - {-1}) for x in found]),
                "noise": spread([np.mean(x == -1) for x in found]),
            }
    save(map_figure(spaces["latent 10"][0], digits.labels), out, f"{name}-map")
    return rows


@style.styled
def error_figure(errors: dict[str, np.ndarray]) -> Any:
    """Draw errors by latent size; each is [sizes, 2], mean and standard deviation."""
    require("matplotlib", "plot")
    from matplotlib.figure import Figure

    figure = Figure(figsize=(5, 3.4), layout="constrained")
    axes = figure.subplots()
    for number, (kind, (mean, spread)) in enumerate(
        (kind, each.T) for kind, each in errors.items()
    ):
        marker = style.MARKERS[number]
        axes.errorbar(LATENT, mean, spread, marker=marker, capsize=2, label=kind)
    axes.set_xlabel("latent size, numbers")
    axes.set_ylabel("mean squared error, test")
    axes.set_yscale("log")
    axes.set_xticks(LATENT)
    axes.legend(frameon=False)
    return figure


@style.styled
def map_figure(codes: np.ndarray, labels: np.ndarray) -> Any:
    """Draw latent vectors in two dimensions (t-SNE), coloured by their digit."""
    manifold = require("sklearn.manifold", "dev")
    flat = manifold.TSNE(random_state=0, init="pca").fit_transform(codes)
    from matplotlib.figure import Figure

    figure = Figure(figsize=(5, 4.4), layout="constrained")
    axes = figure.subplots()
    count = len(style.COLOURS)
    for digit in range(CLASSES):
        # Fewer colours than digits: those that share one differ in their marker.
        marker = style.MARKERS[(digit + 3 * (digit // count)) % count]
        at = flat[labels == digit]
        axes.scatter(*at.T, s=6, c=f"C{digit}", marker=marker, lw=0, label=f"{digit}")
    axes.set_xticks([])
    axes.set_yticks([])
    axes.legend(
        frameon=False, markerscale=3, loc="center left", bbox_to_anchor=(1, 0.5)
    )
    return figure


@style.styled
def picture_figure(pictures: dict[str, np.ndarray]) -> Any:
    """Draw rows of digits, one row for each label."""
    require("matplotlib", "plot")
    from matplotlib.figure import Figure

    count = len(next(iter(pictures.values())))
    figure = Figure(figsize=(1.6 + 0.6 * count, 0.65 * len(pictures)))
    panels = figure.subplots(len(pictures), count, squeeze=False)
    for row, (label, images) in zip(panels, pictures.items(), strict=True):
        row[0].set_ylabel(label, rotation=0, ha="right", va="center", size=7)
        for axes, image in zip(row, images, strict=True):
            axes.imshow(image.reshape(IMAGE), cmap="gray_r", vmin=0, vmax=1)
            axes.set_xticks([])
            axes.set_yticks([])
    figure.subplots_adjust(left=0.28, right=0.99, top=0.98, bottom=0.02)
    return figure


def spread(values: Any) -> list[float]:
    """Return mean and standard deviation, as JSON has them."""
    return list(mean_std(values))


def save(figure: Any, out: Path, name: str) -> None:
    """Write a figure into the folder."""
    style.save_both(figure, out / name)


PARTS: dict[str, Callable[[str, Digits, Size, Path], dict[str, Any]]] = {
    **dict.fromkeys(classifiers(), classify),
    "best": best,
    **dict.fromkeys(
        ("3.10-base", "3.11-epochs", "3.12-latent", "3.13-encoder", "3.14-decoder"),
        autoencode,
    ),
    "latent": latent,
    "warped": warped,
    "clusters": clusters,
}
"""Name -> `part(name, digits, size, out)`: figures of the report, then our own."""


def main(
    size: str, out: Path, *, parts: Sequence[str] = tuple(PARTS)
) -> dict[str, Any]:
    """Do the parts that are not done yet, and return what `out/result-SIZE.json` holds.

    Raises:
      UsageError: an unknown name.
      RunError: the file of numbers is damaged.
    """
    chosen = SIZES[check_name(size, SIZES, "size")]
    for name in parts:
        check_name(name, PARTS, "part")
    out.mkdir(parents=True, exist_ok=True)
    path = out / f"result-{size}.json"
    result = read_json(path) if path.exists() else {}
    digits = load_digits()
    for name in parts:
        if name not in result:
            result[name] = PARTS[name](name, digits, chosen, out)
            write_json(path, result)
    for name in parts:
        print(table(name, result[name]))
    print(f"numbers: {path}   pictures: {out}/*.png")
    return result


def table(name: str, rows: dict[str, Any]) -> str:
    """Lay a part out in Markdown."""
    columns = list(dict.fromkeys(column for row in rows.values() for column in row))

    def cell(value: Any) -> str:
        if isinstance(value, list):
            return f"{value[0]:.4g} ± {value[1]:.2g}"
        return f"{value}"

    body = [[label, *(cell(row[x]) for x in columns)] for label, row in rows.items()]
    return "\n" + markdown([name, *columns], body)


def _parser() -> cli.Parser:
    parser = cli.script_parser("digits.py", __doc__)
    parser.add_argument("--size", default="full", help=", ".join(SIZES))
    parser.add_argument(
        "--parts",
        type=lambda text: text.split(","),
        default=tuple(PARTS),
        metavar="A,B",
        help="by default all: " + ", ".join(PARTS),
    )
    parser.set_defaults(
        run=lambda asked: main(asked.size, asked.out, parts=asked.parts),
        prepare=one_device_per_core,
    )
    return parser


if __name__ == "__main__":
    sys.exit(cli.guarded(_parser))
