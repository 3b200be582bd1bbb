"""What does each class want of the weight decay, and how sure is that?

The source report swept 11 weight decays of the last layer on frozen ResNet-50 features,
read each class's favourite off the curves, and left it there. Here the same study is
done twice on the same features: as the report's listing does it (`faithful`), and
soundly: losses of classes without the penalty, heads at rest, one decay chosen on half
of the test rows and reported on the other, favourites with bootstrap and split halves,
and every problem also solved exactly.

    python experiments/logistic_head.py --out runs/head
    python experiments/logistic_head.py --size smoke --out runs/head-smoke
    python experiments/logistic_head.py --data STORE --test STORE --out runs/imagenet

| size | features | time on 2 cores |
| --- | --- | --- |
| `smoke` | digits, 3 epochs | 16 s in a test |
| `full` | digits-d4: 80 classes, 90 epochs | 2 min 44 s, beside light work |

Any setting of `jaxpareto head` can be added and holds for both. A killed run continues
when the same command is given again.
"""

import sys
from pathlib import Path
from typing import Any

from jaxpareto import cli, plot, report
from jaxpareto.cli.head import add_head_settings
from jaxpareto.cli.parser import given_fields
from jaxpareto.errors import check_name
from jaxpareto.train.head_config import FAITHFUL, HeadConfig
from jaxpareto.train.log import write_json
from jaxpareto.train.study import run_study

SIZES: dict[str, dict[str, Any]] = {
    "smoke": {"data": "digits", "epochs": 3, "decays": "0,1e-4,1e-2"},
    "full": {"data": "digits-d4", "decays": "study"},
}


def main(size: str, out: Path, **settings: Any) -> dict[str, Any]:
    """Do the study both ways and write what differs.

    Args:
      size: a name of `SIZES`.
      out: folder; `sound/` and `faithful/` in it are two studies.
      settings: of `HeadConfig`; they hold for both.
    """
    check_name(size, SIZES, "size")
    found = {}
    for name, own in (("sound", {"exact": True}), ("faithful", FAITHFUL)):
        config = HeadConfig(**(own | SIZES[size] | settings))
        print(f"{name}:", flush=True)
        found[name] = run_study(config, out / name, resume=True)
        plot.save_study(out / name, series=config.series)
        print(report.study_table(found[name]), "\n", flush=True)
    both = {name: compared(each) for name, each in found.items()}
    write_json(out / "compared.json", both)
    print(f"numbers: {out / 'compared.json'}   figures: {out}/*/figures")
    return both


def compared(found: dict[str, Any]) -> dict[str, Any]:
    """Pick what the two ways disagree about."""
    picked = {
        "chosen": found["chosen"],
        "choices_train": found["per_class"]["choices_train"],
        "choices_test": found["per_class"]["choices_test"],
        "test_loss": found["heads"]["test_loss"],
        "gap": found["heads"]["gap"],
    }
    if "exact" in found:
        picked["chosen_exact"] = found["chosen_exact"]
        picked["choices_test_exact"] = found["per_class_exact"]["choices_test"]
        picked["test_loss_exact"] = found["exact"]["test_loss"]
    return picked


def _parser():
    parser = cli.script_parser("logistic_head.py", __doc__)
    parser.add_argument("--size", default="full", help=", ".join(SIZES))
    add_head_settings(parser)
    parser.set_defaults(run=_run, parser=parser)
    return parser


def _run(asked: Any) -> None:
    main(asked.size, asked.out, **given_fields(asked, HeadConfig))


if __name__ == "__main__":
    sys.exit(cli.guarded(_parser))
