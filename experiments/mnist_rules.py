"""How do the rules compare on a real pair of tasks, at the same short budget?

The same network, hypernetwork, data, sampler and number of steps; only the weighting
rule changes. Settings were chosen for linear scalarisation.

    python experiments/mnist_rules.py --preset smoke --out runs/rules-smoke
    python experiments/mnist_rules.py --data-dir DATA --out runs/rules

| preset | data | epochs | time on 2 cores |
| --- | --- | --- | --- |
| `smoke` | multi-digits, MLP | 2 | a minute, most of it compilation |
| `mnist` | multi-mnist, LeNet, fresh pairs | 3 | 11 minutes |

Each rule is a run of its own, `out/RULE`, and a killed call continues where it stopped.
Any setting of `jaxpareto front` can be added and holds for all of them.
"""

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from jaxpareto import cli, metrics, plot
from jaxpareto.errors import check_name
from jaxpareto.report import markdown
from jaxpareto.rules import RULES
from jaxpareto.train.config import configure
from jaxpareto.train.log import read_metrics, write_json
from jaxpareto.train.run import train_front

PRESETS: dict[str, dict[str, Any]] = {
    "smoke": {"data": "multi-digits", "epochs": 2, "train_pairs": 4000},
    "mnist": {
        "data": "multi-mnist",
        "network": "lenet",
        "conditioner": "chunked",
        "fresh_pairs": True,
        "epochs": 3,
        "batch_size": 256,
        "learning_rate": 8e-3,
        "warmup": 200,
        "alpha": 0.2,
        "checkpoint_every": 1,
        "gram_of": "params",
    },
}
CHOSEN = ("linear", "stch", "cpmtl", "epo", "hypervolume")


def main(
    preset: str,
    out: Path,
    *,
    rules: Sequence[str] = CHOSEN,
    data_dir: str | None = None,
    **settings: Any,
) -> dict[str, Any]:
    """Train a front with each rule, and write a table and a figure.

    Args:
      preset: a name of `PRESETS`.
      out: folder; each rule's run goes to `out/RULE`.
      rules: names of `RULES`.
      data_dir: folder of the source images.
      settings: of `jaxpareto front`, in place of the preset's.

    Returns:
      What `out/result.json` holds.
    """
    common = PRESETS[check_name(preset, PRESETS, "preset")] | settings
    configs = {
        rule: configure(**common, rule=check_name(rule, RULES, "rule"))
        for rule in rules
    }
    found, rows = [], {}
    for number, (rule, config) in enumerate(configs.items(), start=1):
        print(f"{rule} ({number} of {len(configs)}):", file=sys.stderr)
        _, front = train_front(config, out / rule, data_dir=data_dir, resume=True)
        found.append(front)
        rows[rule] = summary(front, out / rule)
    result = {"preset": preset, "rules": rows}
    write_json(out / "result.json", result)
    plot.save_front(found, out / "front.png", labels=list(configs))
    print(table(result))
    print(f"\nnumbers: {out / 'result.json'}   picture: {out / 'front.png'}")
    return result


def summary(front: dict[str, Any], folder: Path) -> dict[str, Any]:
    """Pick what the table shows of a run."""
    losses = np.array(front["losses"])
    return {
        "hypervolume": front["hypervolume"],
        "span": float(metrics.span(losses)),
        "spearman": front["spearman"],
        "nondominated": front["nondominated"],
        "accuracy": float(np.mean(front["accuracies"], axis=1).max()),
        **pace(folder),
    }


def pace(folder: Path) -> dict[str, float]:
    """Return the median milliseconds of a step, and how often the rule was solved."""
    lines = read_metrics(folder / "metrics.jsonl")
    ends = np.array([line["step"] for line in lines])
    seconds = np.array([line["seconds"] for line in lines])
    steps = np.diff(ends, prepend=0)
    return {
        "ms_per_step": float(np.median(1e3 * seconds / steps)),
        "solved": float(np.average([line["solved"] for line in lines], weights=steps)),
    }


def table(result: dict[str, Any]) -> str:
    """Lay the rules out side by side, in Markdown."""
    names = ("hypervolume", "span", "Spearman", "non-dominated", "best accuracy")
    lines = []
    for rule, row in result["rules"].items():
        cells = [
            rule,
            f"{row['hypervolume']:.3f}",
            f"{row['span']:.3f}",
            ", ".join(f"{x:.2f}" for x in row["spearman"]),
            f"{row['nondominated']}",
            f"{100 * row['accuracy']:.2f} %",
            f"{row['ms_per_step']:.1f}",
            f"{100 * row['solved']:.1f} %",
        ]
        lines.append(cells)
    return markdown(["rule", *names, "ms per step", "solved"], lines)


def _parser() -> cli.Parser:
    parser = cli.script_parser("mnist_rules.py", __doc__)
    parser.add_argument("--preset", default="mnist", help=", ".join(PRESETS))
    parser.add_argument(
        "--rules",
        type=lambda text: text.split(","),
        default=CHOSEN,
        metavar="A,B",
        help="by default " + ",".join(CHOSEN),
    )
    cli.add_settings(parser)
    parser.set_defaults(
        run=lambda asked: main(
            asked.preset,
            asked.out,
            rules=asked.rules,
            data_dir=asked.data_dir,
            **{k: v for k, v in cli.given_settings(asked).items() if k != "rule"},
        )
    )
    return parser


if __name__ == "__main__":
    sys.exit(cli.guarded(_parser))
