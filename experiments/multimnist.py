"""Does one hypernetwork match nine networks, each trained for its own preference?

The source report trained one multi-task CNN per preference, nine in all, and never got
the hypernetwork to train. Here both go through the same trainer: the nine at once, by
`vmap`, and one hypernetwork for every preference. Same data, same number of epochs.

    python experiments/multimnist.py --preset smoke --out runs/smoke
    python experiments/multimnist.py --preset protocol-a --data-dir DATA --out runs/a
    python experiments/multimnist.py --preset report --data-dir DATA --out runs/report
    python experiments/multimnist.py --preset grid --data-dir DATA --out runs/grid

| preset | data | network | epochs | time on 2 cores |
| --- | --- | --- | --- | --- |
| `smoke` | multi-digits | MLP | 3 | a minute or so |
| `protocol-a` | multi-mnist, fresh pairs | LeNet | 10 | half an hour |
| `report` | multi-mnist | CNN 32-64-96, RMSprop | 50 | a day; use a GPU |
| `grid` | multi-mnist | CNN, four sets of filters | 50, 70 | use a GPU |

`grid` is the report's search, of the nine networks alone: Adam or RMSprop, 50 or 70
epochs, four sets of filters. A setting that the call gives is not searched. With
`--patience 5` a combination stops early, after five checkpoints that are no better on
validation, and its networks are those of the best one.

What was found is in `README.md` and `experiments/LOG.md`. Any setting of
`jaxpareto front` can be added and holds for both; a killed run continues when the same
command is given again.
"""

import argparse
import itertools
import sys
from pathlib import Path
from typing import Any

import jax.numpy as jnp
import numpy as np

from jaxpareto import cli, plot, report
from jaxpareto.errors import check_name
from jaxpareto.train.config import configure
from jaxpareto.train.evaluate import score
from jaxpareto.train.log import write_json
from jaxpareto.train.run import Front, load_data, train_front

# Settings of both, then of the hypernetwork alone, then of the nine networks alone.
PRESETS: dict[str, tuple[dict[str, Any], dict[str, Any], dict[str, Any]]] = {
    "smoke": (
        {"data": "multi-digits", "epochs": 3, "train_pairs": 4000, "test_pairs": 2000},
        {},
        {},
    ),
    "protocol-a": (
        {
            "data": "multi-mnist",
            "network": "lenet",
            "epochs": 10,
            "batch_size": 256,
            "fresh_pairs": True,
            "checkpoint_every": 1,
        },
        {"conditioner": "chunked", "learning_rate": 8e-3, "warmup": 200},
        {"learning_rate": 1.6e-2, "warmup": 200},
    ),
    "report": (
        {
            "data": "multi-mnist",
            "network": "cnn-32-64-96",
            "optimizer": "rmsprop",
            "epochs": 50,
            "batch_size": 256,
            "fresh_pairs": False,
        },
        {
            "conditioner": "chunked",
            "conditioner_options": "width=16",
            "learning_rate": 8e-3,
            "warmup": 200,
        },
        {"warmup": 200},
    ),
}

AXES: dict[str, tuple[Any, ...]] = {
    "optimizer": ("adam", "rmsprop"),
    "epochs": (50, 70),
    "network": ("cnn-16-16-32", "cnn-16-32-64", "cnn-32-64-64", "cnn-32-64-96"),
}
"""What the report searched."""


def grid(
    out: Path, *, data_dir: str | None = None, **settings: Any
) -> list[dict[str, Any]]:
    """Train the nine networks with each combination of `AXES`.

    Args:
      out: folder; each combination has a run in it.
      data_dir: folder of the source images.
      settings: of `jaxpareto front`; an axis that is given has that value alone.

    Returns:
      A row for each combination, the best on validation first, as in `out/grid.json`:
      accuracies are means of the two tasks, at the preference that is best on
      validation.
    """
    both, _, nine = PRESETS["report"]
    axes = {name: x for name, x in AXES.items() if name not in settings}
    rows = []
    for values in itertools.product(*axes.values()):
        chosen = dict(zip(axes, values, strict=True))
        name = "-".join(map(str, values)) or "only"
        print(f"{name}:", file=sys.stderr)
        alone = {"conditioner": "independent", "prefs_per_step": 9}
        config = configure(**(both | nine | settings | chosen | alone))
        front, _ = train_front(config, out / name, data_dir=data_dir, resume=True)
        tasks, wishes = load_data(config, data_dir), front.prefs()
        validation = accuracy(front, wishes, tasks.validation)
        at = int(np.argmax(validation))
        rows.append(
            {each: getattr(config, each) for each in AXES}
            | {
                "best_epoch": front.best_epoch,
                "preference": wishes[at].round(6).tolist(),
                "validation": validation[at],
                "test": accuracy(front, wishes, tasks.test)[at],
            }
        )
    rows.sort(key=lambda row: -row["validation"])
    write_json(out / "grid.json", rows)
    body = []
    for row in rows:
        wish = ", ".join(f"{x:.2g}" for x in row["preference"])
        shares = [f"{100 * row[name]:.2f} %" for name in ("validation", "test")]
        body.append([*(row[name] for name in AXES), wish, *shares])
    print(report.markdown([*AXES, "preference", "validation", "test"], body))
    return rows


def main(
    preset: str, out: Path, *, data_dir: str | None = None, **settings: Any
) -> dict[str, Any]:
    """Train both, compare them on the test set, and write a table and a figure.

    Args:
      preset: a name of `PRESETS`.
      out: folder; the runs go to `out/hypernetwork` and `out/independent`.
      data_dir: folder of the source images.
      settings: of `jaxpareto front`, in place of the preset's.

    Returns:
      What `out/result.json` holds.
    """
    both, hyper, nine = PRESETS[check_name(preset, PRESETS, "preset")]
    fronts, found = {}, {}
    for name, own in (
        ("hypernetwork", hyper),
        ("independent", nine | {"conditioner": "independent", "prefs_per_step": 9}),
    ):
        config = configure(**(both | settings | own))
        print(f"{name}:", file=sys.stderr)
        fronts[name], found[name] = train_front(
            config, out / name, data_dir=data_dir, resume=True
        )
    front = fronts["hypernetwork"]
    tasks = load_data(front.config, data_dir)
    wishes = fronts["independent"].prefs()
    rows = {
        name: {
            split: accuracy(each, wishes, getattr(tasks, split))
            for split in ("validation", "test")
        }
        for name, each in fronts.items()
    }
    result = {
        "preset": preset,
        "preferences": wishes.round(6).tolist(),
        "accuracy": rows,
        "hypervolume": {name: each["hypervolume"] for name, each in found.items()},
        "hypervolume_ratio": ratio(found),
        "seconds_training": {n: each["seconds_training"] for n, each in found.items()},
        "parameters": {name: each["parameters"] for name, each in found.items()},
        "best": best(found["hypernetwork"]),
    }
    write_json(out / "result.json", result)
    plot.save_front(
        found["hypernetwork"], out / "front.png", independent=found["independent"]
    )
    print(table(result))
    print()
    print(report.summary(found["hypernetwork"]))
    print(f"numbers: {out / 'result.json'}   picture: {out / 'front.png'}")
    return result


def accuracy(front: Front, wishes: np.ndarray, split: Any) -> list[float]:
    """Return the mean accuracy of the two tasks at each preference."""
    scores = score(front.conditioned, front.phi, jnp.asarray(wishes), split)
    return np.asarray(scores.accuracies).mean(axis=1).tolist()


def ratio(found: dict[str, dict[str, Any]]) -> float | None:
    """Divide the hypervolumes; None where the nine networks have none."""
    nine = found["independent"]["hypervolume"]
    return found["hypernetwork"]["hypervolume"] / nine if nine else None


def best(front: dict[str, Any]) -> dict[str, Any]:
    """Find the preference of a front with the best mean accuracy of its tasks."""
    means = np.mean(front["accuracies"], axis=1)
    at = int(means.argmax())
    return {"preference": front["preferences"][at], "accuracy": float(means[at])}


def table(result: dict[str, Any]) -> str:
    """Lay out the report's table beside the hypernetwork's, in Markdown."""
    heads = ["preference", "independent, val", "test", "hypernetwork, val", "test"]
    lines = []
    columns = [
        result["accuracy"][name][split]
        for name in ("independent", "hypernetwork")
        for split in ("validation", "test")
    ]
    for pref, *values in zip(result["preferences"], *columns, strict=True):
        cells = [", ".join(f"{x:.2g}" for x in pref)]
        cells += [f"{100 * value:.2f} %" for value in values]
        lines.append(cells)
    volumes = result["hypervolume"]
    share = result["hypervolume_ratio"]
    said = "-" if share is None else f"{share:.4f}"
    return (
        f"{report.markdown(heads, lines)}\n\n"
        f"hypervolume: hypernetwork {volumes['hypernetwork']:.4f}, independent "
        f"{volumes['independent']:.4f}, ratio {said}"
    )


def _parser() -> cli.Parser:
    parser = cli.script_parser("multimnist.py", __doc__)
    parser.add_argument("--preset", default="smoke", help=", ".join([*PRESETS, "grid"]))
    cli.add_settings(parser)
    parser.set_defaults(run=_run)
    return parser


def _run(asked: argparse.Namespace) -> None:
    given = {"data_dir": asked.data_dir, **cli.given_settings(asked)}
    check_name(asked.preset, [*PRESETS, "grid"], "preset")
    if asked.preset == "grid":
        grid(asked.out, **given)
    else:
        main(asked.preset, asked.out, **given)


if __name__ == "__main__":
    sys.exit(cli.guarded(_parser))
