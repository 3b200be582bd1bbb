"""Which way to learn a front is best, on the same data, budget and selection?

Every preset trains on the same pairs for the same number of epochs, its seeds at once
by `vmap`. The learning rate of each is chosen from one list, by the hypervolume on
validation images after a short training; everything else is the preset's own, except
what the size below sets for all. The test images are looked at once, at the end.

    python experiments/leaderboard.py --size smoke --out runs/smoke
    python experiments/leaderboard.py --size cpu --data-dir DATA --out runs/board
    python experiments/leaderboard.py --size protocol-b --data-dir DATA --out runs/b
    python experiments/leaderboard.py --size full --data-dir DATA --out runs/full

| size | data | network | epochs | seeds | time |
| --- | --- | --- | --- | --- | --- |
| `smoke` | multi-digits | MLP | 15 | 2 | 3 minutes on 2 cores |
| `cpu` | multi-mnist, protocol A | LeNet | 2 | 3 | an hour on 2 cores |
| `protocol-b` | multi-mnist, layout pamal | LeNet of PaMaL | 10 | 3 | the same |
| `full` | multi-mnist, protocol A | LeNet | 100 | 5 | for an accelerator |

`single-task` are m networks of their own, each trained for one task alone. Their
losses, each at its own task, are the corner whose hypervolume the ratio refers to. A
killed call continues where it stopped when it is given again; delete `out/NAME` to run
a preset anew. Many devices, and many processes, share the seeds (docs/scaling.md).
"""

import csv
import dataclasses
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxpareto import cli, conditioned, data, metrics, prefs, style, tree
from jaxpareto.errors import RunError, UsageError, check_name
from jaxpareto.report import markdown, plus_minus
from jaxpareto.train import Config, configure
from jaxpareto.train.evaluate import score, summarise
from jaxpareto.train.folder import check_same, flag
from jaxpareto.train.log import read_json, write_json
from jaxpareto.train.mesh import Devices
from jaxpareto.train.presets import PRESETS, preset
from jaxpareto.train.processes import agree, speaks, wait_for_all
from jaxpareto.train.recipe import Hparams, Recipe
from jaxpareto.train.run import (
    Shape,
    choose_devices,
    independent_prefs,
    load_data,
    make_batches,
    make_net,
    make_recipe,
)
from jaxpareto.train.sweep import fit_many
from jaxpareto.types import Conditioned, Params, Split, Tasks


@dataclass(frozen=True)
class Size:
    """What all presets have in common.

    Attributes:
      common: settings of `jaxpareto front`, in place of the presets' own.
      seeds: members trained at once.
      rates: learning rates to choose from; a single one is taken as it is.
      tried: epochs of the training that chooses.
      warmup: share of the steps over which the rate rises: whoever takes smaller
        batches has more steps, and warms up as long.
      points: preferences of the evaluated front.
    """

    common: dict[str, Any]
    seeds: int
    rates: tuple[float, ...]
    tried: int
    warmup: float
    points: int = 25


_SAME = {"schedule": "cosine", "optimizer": "adam", "fresh_pairs": True}

SIZES: dict[str, Size] = {
    "smoke": Size(
        _SAME
        | {
            "data": "multi-digits",
            "network": "mlp",
            "epochs": 15,
            "test_pairs": 2000,
        },
        seeds=2,
        rates=(8e-3,),
        tried=0,
        warmup=0.1,
    ),
    "cpu": Size(
        _SAME
        | {
            "data": "multi-mnist",
            "network": "lenet",
            "train_pairs": 60_000,
            "epochs": 2,
            "test_pairs": 5_000,
        },
        seeds=3,
        rates=(5e-3, 1.5e-2, 4e-2),
        tried=1,
        warmup=0.25,
    ),
    "protocol-b": Size(
        _SAME
        | {
            "data": "multi-mnist",
            "layout": "pamal",
            "network": "lenet-pamal",
            "train_pairs": 60_000,
            "test_pairs": 10_000,
            "validation": 1 / 6,
            "epochs": 10,
        },
        seeds=3,
        rates=(5e-3, 1.5e-2, 4e-2),
        tried=2,
        warmup=0.05,
        points=11,
    ),
    "full": Size(
        _SAME | {"data": "multi-mnist", "network": "lenet", "epochs": 100},
        seeds=5,
        rates=(1e-3, 4e-3, 1.5e-2, 4e-2),
        tried=5,
        warmup=0.01,
    ),
}
CORNER = "single-task"
ALONE = ("patience", "min_delta")
"""Settings of a run that is alone: members of a sweep do not stop early."""


def main(
    size: str,
    out: Path,
    *,
    presets: Sequence[str] = tuple(PRESETS),
    seeds: int | None = None,
    data_dir: str | None = None,
    devices: str | None = None,
    **settings: Any,
) -> list[dict[str, Any]]:
    """Train and evaluate every preset, and write tables and a figure.

    Args:
      size: a name of `SIZES`.
      out: folder; what a preset found goes to `out/NAME/result.json`.
      presets: names of `PRESETS`.
      seeds: members of each; by default the size's.
      data_dir: folder of the source images.
      devices: how many, or seeds x batch as `4x2`; None for all.
      settings: of `jaxpareto front`, for all presets.

    Returns:
      A row for each preset, the best first, as in `out/leaderboard.json`.

    Raises:
      UsageError: an unknown name, or `out` holds results of other settings.
      RunError: the data cannot be loaded.
    """
    chosen = SIZES[check_name(size, SIZES, "size")]
    members = chosen.seeds if seeds is None else seeds
    if members < 1:
        raise UsageError(f"--seeds must be at least 1, found {members}")
    for name in ALONE:
        if settings.get(name):
            raise UsageError(
                f"{flag(name)}: the seeds of a leaderboard train together, to the end"
            )
    common = chosen.common | settings
    configs = {name: configure(**(preset(name).settings | common)) for name in presets}
    if "seed" in settings:
        raise UsageError("--seed: a leaderboard has seeds 0, 1, ...; see --seeds")
    for name in ("learning_rate", "warmup"):
        if name in settings:
            raise UsageError(f"{flag(name)}: --size {size} chooses it for all presets")
    base = configure(**({"batch_size": 256} | common))  # as in the papers
    for config in (base, *configs.values()):  # known now, not after hours
        choose_devices(config, devices, seeds=members, quiet=True)
    out.mkdir(parents=True, exist_ok=True)
    tasks = load_data(base, data_dir)
    found = {}
    names = [CORNER, *presets]
    for number, name in enumerate(names, start=1):
        if speaks():
            print(f"{name} ({number} of {len(names)}):", file=sys.stderr)
        contest = _contest(name, configs.get(name, base), tasks, chosen.warmup)
        contest = dataclasses.replace(contest, devices=devices)
        found[name] = compete(contest, chosen, members, tasks, out / name)
    rows = leaderboard(found)
    if not speaks():
        return rows
    write_json(out / "leaderboard.json", rows)
    write_csv(rows, out / "leaderboard.csv")
    (out / "leaderboard.md").write_text(table(rows) + "\n")
    draw(found, rows, out / "leaderboard")
    print(table(rows))
    print(
        f"\ntables: {out}/leaderboard.md, .csv, .json   picture: {out}/leaderboard.png"
    )
    return rows


@dataclass(frozen=True)
class Contest:
    """One preset on one data set.

    Attributes:
      name: of the preset.
      config: its settings, with the size's in place of its own.
      recipe: `recipe(epochs) -> Recipe`.
      prefs: [k, m] to evaluate at, or None for a grid.
      batches: how batches are made.
      devices: what they are shared out among, in words.
    """

    name: str
    config: Config
    recipe: Any
    prefs: np.ndarray | None
    batches: data.Batches
    devices: str | None = None


def _contest(name: str, config: Config, tasks: Tasks, warmup: float) -> Contest:
    height, width = tasks.train.images.shape[1:]
    m = tasks.train.labels.shape[1]
    shape = Shape((height, width), m, tasks.classes)
    batches = make_batches(config, tasks)
    own = None
    if name == CORNER:
        own = np.eye(m, dtype=np.float32)
    elif config.conditioner == "independent":
        own = independent_prefs(config.prefs_per_step, m)

    def recipe(epochs: int) -> Recipe:
        steps = epochs * batches.steps
        warm = dataclasses.replace(config, warmup=round(warmup * steps))
        made = make_recipe(warm, shape, steps)
        if name != CORNER:
            return made
        net = conditioned.independent(make_net(config, shape), own)
        return made._replace(
            conditioned=net,
            sampler=prefs.fixed(own),
            prefs_per_step=m,
            split_batch=False,
        )

    return Contest(name, config, recipe, own, batches)


def compete(
    contest: Contest, size: Size, seeds: int, tasks: Tasks, folder: Path
) -> dict[str, Any]:
    """Choose a learning rate, train all seeds, evaluate them on the test set.

    What was found before is read back, if it was found with the same settings.
    """
    path = folder / "result.json"
    asked = _settings(contest, size, seeds)
    if agree(path.exists()):
        return read_back(path, asked)
    rate, tried = choose_rate(contest, size, tasks, folder)
    swept = fit_many(
        contest.recipe(contest.config.epochs),
        contest.batches,
        jax.vmap(jax.random.key)(jnp.arange(seeds)),
        Hparams(rate, contest.config.weight_decay),
        folder,
        epochs=contest.config.epochs,
        label=contest.name,
        devices=choose_devices(
            contest.config, contest.devices, seeds=seeds, quiet=True
        ),
    )
    network = contest.recipe(1).conditioned
    target = jax.eval_shape(
        network.params, member(swept.states.best, 0), jnp.zeros(len(tasks.sources))
    )
    found = {
        "settings": asked,
        "rate": rate,
        "tried": tried,
        "finite": swept.finite.tolist(),
        "fronts": [
            front_of(
                network,
                member(swept.states.best, i),
                contest,
                size.points,
                tasks.test,
            )
            for i in range(seeds)
        ],
        "parameters": tree.count(member(swept.states.best, 0)),
        "target": tree.count(target),
        "seconds_per_seed": round(swept.seconds / seeds, 2),
    }
    write_json(path, found)
    return found


def choose_rate(
    contest: Contest, size: Size, tasks: Tasks, folder: Path
) -> tuple[float, dict[str, float]]:
    """Train once with each rate, for few epochs, and take the best on validation."""
    if len(size.rates) == 1:
        return size.rates[0], {}
    path = folder / "rates.json"
    epochs = min(size.tried, contest.config.epochs)
    recipe = contest.recipe(epochs)
    if not agree(path.exists()):
        rates = jnp.asarray(size.rates)
        swept = fit_many(
            recipe,
            contest.batches,
            jax.vmap(jax.random.key)(jnp.full(len(rates), 1_000)),
            Hparams(rates, contest.config.weight_decay),
            folder / "rates",
            epochs=epochs,
            label=f"{contest.name}, rates:",
            devices=_for_rates(contest, len(rates)),
        )
        volumes = {}
        for i, rate in enumerate(size.rates):
            phi = member(swept.states.best, i)
            front = front_of(recipe.conditioned, phi, contest, 9, tasks.validation)
            volume = worth(contest.name, front)
            volumes[f"{rate:g}"] = volume if swept.finite[i] else 0.0
        write_json(path, volumes)
        wait_for_all("the rates are written")
    volumes = read_json(path)
    return float(max(volumes, key=lambda name: volumes[name])), volumes


def _for_rates(contest: Contest, rates: int) -> Devices | None:
    """Choose devices for the rates: their number is the size's own, any that fit do."""
    words = "1" if contest.devices == "1" else None
    return choose_devices(contest.config, words, seeds=rates, quiet=True)


def front_of(
    network: Conditioned, phi: Params, contest: Contest, points: int, split: Split
) -> dict[str, Any]:
    """Evaluate the networks of one member, for so many preferences."""
    m = split.labels.shape[1]
    at = prefs.grid(points, m) if contest.prefs is None else contest.prefs
    return summarise(jnp.asarray(at), score(network, phi, jnp.asarray(at), split))


def member(pytree: Any, i: int) -> Any:
    """Take one member out of a sweep."""
    return jax.tree.map(lambda x: x[i], pytree)


def _settings(contest: Contest, size: Size, seeds: int) -> dict[str, Any]:
    config = dataclasses.asdict(contest.config)
    return {name: x for name, x in config.items() if name not in ALONE} | {
        "seeds": seeds,
        "rates": size.rates,
        "tried": size.tried,
        "warmup": size.warmup,
        "points": size.points,
    }


def read_back(path: Path, asked: dict[str, Any]) -> dict[str, Any]:
    """Read what a preset found before.

    Raises:
      RunError: the file is damaged.
      UsageError: it was found with other settings.
    """
    delete = f"delete {path.parent}"
    found = read_json(path, delete)
    if not isinstance(found, dict) or "settings" not in found:
        raise RunError(f"{path} is damaged (it has no settings); {delete}")
    check_same(
        found["settings"], asked, f"{path} was found", f"name a new --out, or {delete}"
    )
    return found


def measures(front: dict[str, Any]) -> dict[str, float]:
    """Reduce a front to the numbers of the table."""
    losses, accuracies = np.array(front["losses"]), np.array(front["accuracies"])
    wishes = np.array(front["preferences"])
    centre = np.argmin(np.square(wishes - 1 / wishes.shape[1]).sum(axis=1))
    ends = [accuracies[np.argmax(wishes[:, i]), i] for i in range(wishes.shape[1])]
    ranks = [np.nan if x is None else x for x in front["spearman"]]
    return {
        "hypervolume": front["hypervolume"],
        "accuracy_hypervolume": float(
            metrics.hypervolume(jnp.asarray(-accuracies), jnp.zeros(wishes.shape[1]))
        ),
        "centre": float(accuracies[centre].mean()),
        **{f"end{i + 1}": float(x) for i, x in enumerate(ends)},
        "span": float(metrics.span(jnp.asarray(losses))),
        "spearman": float(np.mean(ranks)),
        "nondominated": front["nondominated"],
    }


def worth(name: str, front: dict[str, Any]) -> float:
    """Return the volume that counts: a front's, or the corner's of single tasks."""
    return box(front) if name == CORNER else front["hypervolume"]


def box(front: dict[str, Any]) -> float:
    """Multiply what each task's own network stays below the reference by."""
    own = np.diag(np.array(front["losses"]))
    return float(np.prod(np.maximum(np.array(front["reference"]) - own, 0.0)))


def own(front: dict[str, Any]) -> float:
    """Multiply the accuracies of the networks, each at its own task."""
    return float(np.prod(np.diag(np.array(front["accuracies"]))))


def leaderboard(found: dict[str, Any]) -> list[dict[str, Any]]:
    """Make the rows: means and standard deviations over seeds, the best first.

    A member whose training broke down counts with what its front is worth: nothing.
    """
    corner = np.mean([box(front) for front in found[CORNER]["fronts"]])
    rows = []
    for name, each in found.items():
        seeds = [measures(front) for front in each["fronts"]]
        if name == CORNER:
            for one, front in zip(seeds, each["fronts"], strict=True):
                one |= {"hypervolume": box(front), "accuracy_hypervolume": own(front)}
        for one, finite in zip(seeds, each["finite"], strict=True):
            if not finite:
                one |= {"hypervolume": 0.0, "accuracy_hypervolume": 0.0}
        row: dict[str, Any] = {"preset": name}
        for key in seeds[0]:
            values = np.array([one[key] for one in seeds], float)
            row[key] = float(values.mean())
            row[f"{key}_std"] = float(values.std(ddof=1)) if len(values) > 1 else 0.0
        row["ratio"] = row["hypervolume"] / float(corner) if corner else np.nan
        row["of"] = len(each["fronts"][0]["preferences"])
        row["parameters"] = each["parameters"]
        row["times_target"] = each["parameters"] / each["target"]
        row["seconds_per_seed"] = each["seconds_per_seed"]
        row["rate"] = each["rate"]
        row["broken"] = int(np.sum(~np.array(each["finite"])))
        rows.append(row)
    return sorted(rows, key=lambda row: -row["hypervolume"])


def table(rows: Sequence[dict[str, Any]]) -> str:
    """Lay the rows out in Markdown."""
    ends = [key for key in rows[0] if key.startswith("end") and key[3:].isdigit()]
    heads = ["preset", "hypervolume", "ratio", "accuracy hypervolume", "centre", *ends]
    heads += ["span", "Spearman", "non-dominated", "parameters", "x target"]
    heads += ["s", "rate"]
    lines = []

    def spread(row: dict[str, Any], key: str, digits: int, factor: float = 1.0) -> str:
        return plus_minus(row[key], row[f"{key}_std"], digits, scale=factor)

    for row in rows:
        cells = [
            row["preset"] + (f" ({row['broken']} broken)" if row["broken"] else ""),
            spread(row, "hypervolume", 3),
            f"{row['ratio']:.3f}",
            spread(row, "accuracy_hypervolume", 4),
            *(spread(row, key, 1, 100.0) for key in ("centre", *ends)),
            spread(row, "span", 3),
            spread(row, "spearman", 2),
            f"{row['nondominated']:.1f} of {row['of']}",
            f"{row['parameters']:,}",
            f"{row['times_target']:.2f}",
            f"{row['seconds_per_seed']:.0f}",
            f"{row['rate']:g}",
        ]
        lines.append(cells)
    return markdown(heads, lines)


def write_csv(rows: Sequence[dict[str, Any]], path: Path) -> None:
    """Write the rows, one line each."""
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)


@style.styled
def draw(found: dict[str, Any], rows: Sequence[dict[str, Any]], path: Path) -> None:
    """Draw the hypervolumes of all seeds, and the fronts of the first of them."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7.0, 0.6 + 0.2 * len(rows)), layout="constrained")
    left, right = figure.subplots(1, 2, width_ratios=(3, 2))
    names = [row["preset"] for row in rows]
    for place, name in enumerate(reversed(names)):
        fronts = found[name]["fronts"]
        volumes = [worth(name, front) for front in fronts]
        left.plot(volumes, [place] * len(volumes), "o", ms=4, mfc="none", color="C0")
        left.plot([np.mean(volumes)], [place], "|", ms=9, color="black")
    left.set_yticks(range(len(names)), list(reversed(names)))
    left.set_xlabel("test hypervolume (nats²), a ring for each seed")
    left.grid(axis="x", lw=0.3)
    shown = [*[name for name in names if name != CORNER][:4], CORNER]
    for number, name in enumerate(shown):
        losses = np.array(found[name]["fronts"][0]["losses"])
        if name == CORNER:  # each network's own task alone
            losses = np.diag(losses)[None]
        look: Any = {"ms": 3.5, "lw": 0.8, "label": name}
        look |= {"marker": style.MARKERS[number], "color": style.COLOURS[number]}
        if name == CORNER:
            look |= {"marker": "*", "color": "black", "ms": 7, "lw": 0}
        right.plot(losses[:, 0], losses[:, 1], **look)
    right.set_xlabel("task 1, test cross-entropy (nats)")
    right.set_ylabel("task 2, test cross-entropy (nats)")
    right.legend(frameon=False)
    style.save_both(figure, path)


def _parser() -> cli.Parser:
    parser = cli.script_parser("leaderboard.py", __doc__)
    parser.add_argument("--size", default="smoke", help=", ".join(SIZES))
    parser.add_argument(
        "--presets",
        type=lambda text: tuple(text.split(",")),
        default=tuple(PRESETS),
        metavar="A,B",
        help="by default " + ",".join(PRESETS),
    )
    parser.add_argument("--seeds", type=int, help="members of each preset")
    cli.add_devices(parser, "seeds")
    cli.add_settings(parser)
    parser.set_defaults(
        run=lambda asked: main(
            asked.size,
            asked.out,
            presets=asked.presets,
            seeds=asked.seeds,
            data_dir=asked.data_dir,
            devices=asked.devices,
            **cli.given_settings(asked),
        )
    )
    return parser


if __name__ == "__main__":
    sys.exit(cli.guarded(_parser))
