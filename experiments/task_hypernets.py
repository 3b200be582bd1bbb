"""Do sparse hypernetworks match chunked ones on many tasks, and do they take new ones?

Cubelier (2022) makes two claims. First, that a sparse hypernetwork conditioned on a
task matches a chunked one. Second, that its linear form is better at inferring networks
for new tasks when the hypernetwork is frozen and only the code of a task is learned.
Here both are asked with one trainer, one budget and one selection, against experts: a
network of its own for each task.

    python experiments/task_hypernets.py --preset smoke --out runs/tasks-smoke
    python experiments/task_hypernets.py --preset split-mnist --data-dir DATA \\
        --out runs/split
    python experiments/task_hypernets.py --preset permuted-mnist --data-dir DATA \\
        --out runs/permuted

| preset | tasks | target | time on 2 cores |
| --- | --- | --- | --- |
| `smoke` | 4 pairs of digits, 1 new | 64-32-2 | 1 minute of CPU, mostly compilation |
| `split-mnist` | 5 pairs; 4, and 1 new | MLP 400 x 3 | an hour or less |
| `permuted-mnist` | 5 orders of pixels, 2 new | MLP 400 x 3 | 41 minutes |
| `rotated-mnist` | 6 angles, 1 new | MLP 400 x 3 | not run yet |
| `lenet` | as `split-mnist` | LeNet-5 | not run yet |
| `cifar10` | as `split-mnist`, of CIFAR-10 | ResNet | not run yet: use a GPU |
| `cifar` | split CIFAR-100: 10; 9, and 1 new | ResNet | not run yet: use a GPU |

Two seeds in `smoke`, five elsewhere. The half hours are worked out from measured steps.
What is done, for experts, a chunked, a sparse linear and a sparse non-linear one:

- learning rate: chosen from one list on validation rows, after a short training;
- multitask: trained on all tasks, seeds at once; test accuracy, numbers, seconds;
- new tasks: a hypernetwork that has not seen them is frozen, and a code is learned from
  1, 5, 10, 50 or all examples of each class, its rate chosen on validation rows with
  the first seed; beside it a network that is trained on the same examples alone;
- recombined: the same for new pairs of classes that were seen in other pairs;
- controls: one code for all tasks together, and the mean code;
- the path: accuracy at 21 codes between those of the first two tasks.

The test rows are looked at once for each number in the tables. A killed call goes on
where it stopped when it is given again; another call needs another --out.
"""

import argparse
import dataclasses
import functools
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from jaxpareto import cli, conditioned, nets, plot, tasks, tree
from jaxpareto.conditioned import CONDITIONERS
from jaxpareto.data import TaskSet, load_task_set, per_task
from jaxpareto.errors import UsageError, check_name, require
from jaxpareto.report import task_answers
from jaxpareto.train import optimizers
from jaxpareto.train import tasks as learning
from jaxpareto.train.folder import claim
from jaxpareto.train.log import Progress, read_json, write_json
from jaxpareto.train.members import choose_arrangement
from jaxpareto.train.recipe import Hparams
from jaxpareto.train.sweep import Swept, fit_many
from jaxpareto.types import Conditioned, Net, Params, Split

KEY = jax.random.key(7)  # only measures the scale of the target's weights
PAIRS = ((0, 1), (2, 3), (4, 5), (6, 7), (8, 9))
RECOMBINED = ((0, 2), (1, 3), (0, 3), (2, 1))
POINTS = 21


@dataclass(frozen=True)
class Preset:
    """What all contenders have in common.

    Attributes:
      data: a name of `TASK_SETS`.
      known: tasks of the multitask comparison.
      seen: tasks that a hypernetwork is trained on before new ones come.
      new: tasks that come then.
      recombined: tasks of classes that were known in other tasks.
      target: a name of `TARGETS`.
      groups: classes of the tasks, for a split set.
      tasks: how many, for another.
      rows: training rows of each task.
      width: of a code.
      epochs: times through the rows.
      batch: rows of each task in a step.
      seeds: trained at once.
      rates: learning rates to choose from.
      tried: epochs of the training that chooses.
      code_rates: learning rates of codes to choose from.
      scratch_rates: of networks from scratch.
      steps: of inferring a code.
      shots: examples of each class; all of them is always tried, too.
    """

    data: str
    known: tuple[int, ...]
    seen: tuple[int, ...]
    new: tuple[int, ...]
    recombined: tuple[int, ...] = ()
    target: str = "mlp"
    groups: tuple[tuple[int, ...], ...] | None = None
    tasks: int | None = None
    rows: int | None = None
    width: int = 64
    epochs: int = 5
    batch: int = 100
    seeds: int = 5
    rates: tuple[float, ...] = (1e-3, 3e-3, 1e-2)
    tried: int = 1
    code_rates: tuple[float, ...] = (0.03, 0.1, 0.3)
    scratch_rates: tuple[float, ...] = (3e-4, 1e-3, 3e-3)
    steps: int = 80
    shots: tuple[int, ...] = (1, 5, 10, 50)


_SPLIT = Preset(
    "split-mnist",
    known=(0, 1, 2, 3, 4),
    seen=(0, 1, 2, 3),
    new=(4,),
    recombined=(5, 6, 7, 8),
    groups=(*PAIRS, *RECOMBINED),
)
PRESETS: dict[str, Preset] = {
    "smoke": dataclasses.replace(
        _SPLIT,
        data="split-digits",
        known=(0, 1, 2, 3),
        target="small",
        width=24,
        epochs=6,
        batch=10,
        seeds=2,
        rates=(3e-3,),
        code_rates=(0.1,),
        scratch_rates=(1e-3,),
        steps=60,
    ),
    "split-mnist": _SPLIT,
    "permuted-mnist": Preset(
        "permuted-mnist",
        known=(0, 1, 2, 3, 4),
        seen=(0, 1, 2, 3, 4),
        new=(5, 6),
        tasks=7,
        rows=20_000,
        epochs=4,
    ),
    "rotated-mnist": Preset(
        "rotated-mnist",
        known=(0, 1, 2, 4, 5, 6),
        seen=(0, 1, 2, 4, 5, 6),
        new=(3,),
        tasks=7,
        rows=20_000,
        epochs=4,
    ),
    "lenet": dataclasses.replace(_SPLIT, target="lenet5"),
    "cifar10": dataclasses.replace(
        _SPLIT, data="split-cifar10", target="resnet", epochs=60, batch=50, tried=5
    ),
    "cifar": Preset(
        "split-cifar100",
        known=tuple(range(10)),
        seen=tuple(range(9)),
        new=(9,),
        target="resnet",
        epochs=60,
        batch=50,
        tried=5,
    ),
}
TARGETS: dict[str, Callable[[tuple[int, ...], int], Net]] = {
    "mlp": lambda image, c: nets.mlp_net(image, classes=c, widths=(400, 400, 400)),
    "small": lambda image, c: nets.mlp_net(image, classes=c, widths=(32,)),
    "lenet5": lambda image, c: nets.lenet5(image, classes=c),
    "resnet": lambda image, c: nets.plain_resnet(image, classes=c),
}
"""Name -> `maker(image_shape, classes)`."""


def chunked(net: Net, width: int) -> Conditioned:
    """Make the thesis's chunked hypernetwork: 23 chunks behind one projection."""
    size = tree.count(jax.eval_shape(net.init, KEY))
    return conditioned.chunked(
        net,
        width,
        KEY,
        chunk_size=-(-size // 23),
        chunks=min(23, size),
        tables=1,
        width=2 * width,
        hidden=(2 * width, 2 * width),
        pref_width=width,
        chunk_width=width,
        offsets="table",
        pref_scale=1.0,
    )


def sparse(net: Net, width: int, *, form: str) -> Conditioned:
    """Make the thesis's sparse hypernetwork, whose first layer reads the code."""
    entry = CONDITIONERS["sparse"]
    options = entry.options | {"form": form, "embed": False}
    return entry.make(net, width, KEY, **options)


HYPERNETWORKS: dict[str, Callable[[Net, int], Conditioned]] = {
    "chunked": chunked,
    "sparse-linear": functools.partial(sparse, form="linear"),
    "sparse-mlp": functools.partial(sparse, form="mlp-bias"),
}
"""Name -> `maker(net, width of a code)`."""
EXPERTS, SCRATCH = "experts", "from scratch"


@dataclass(frozen=True)
class Bench:
    """What a contender is tried on."""

    preset: Preset
    data: TaskSet
    net: Net
    out: Path
    kept: dict[Any, Any] = dataclasses.field(default_factory=dict)

    def shared(self, name: str) -> Conditioned:
        """Return a hypernetwork by name."""
        return HYPERNETWORKS[name](self.net, self.preset.width)

    def family(self, name: str, count: int) -> Conditioned:
        """Return a contender for so many tasks."""
        if name == EXPERTS:
            return conditioned.independent(self.net, np.eye(count))
        return tasks.of_tasks(self.shared(name), count, self.preset.width)


def train(
    bench: Bench,
    name: str,
    which: Sequence[int],
    folder: Path,
    rates: Any,
    *,
    epochs: int,
    label: str,
) -> Swept:
    """Train a contender on some tasks, with a seed or a rate for each member."""
    rates = jnp.asarray(rates, jnp.float32)
    part = bench.data.of(which).train
    batches = per_task(Split(*map(jnp.asarray, part)), bench.preset.batch)
    steps = epochs * batches.steps
    adam = optimizers.optimizer(
        "adam", "cosine", steps=steps, warmup=steps // 20, clip=1.0
    )
    alone = name.startswith("sparse") and choose_arrangement() == "map"
    recipe = learning.recipe(
        bench.family(name, len(which)), len(which), adam, one_by_one=alone
    )
    first = 1000 if label == "rates" else 0
    seeds = first + jnp.arange(len(rates)) * (label != "rates")
    keys = jax.vmap(jax.random.key)(seeds)
    said = f"{name}, {label}:"
    return fit_many(
        recipe, batches, keys, Hparams(rates), folder, epochs=epochs, label=said
    )


def score(
    network: Conditioned, phis: Params, which: Sequence[int], part: Split
) -> np.ndarray:
    """Measure every seed at every task, [s, t]."""
    corners, numbers = jnp.eye(len(which)), jnp.asarray(which)
    part = Split(*map(jnp.asarray, part))

    @jax.jit
    def all_of(phis: Params, part: Split) -> jax.Array:
        def one(phi: Params) -> jax.Array:
            return learning.accuracies(network, phi, corners, numbers, part)

        return jax.lax.map(one, phis)

    return np.asarray(all_of(phis, part), float)


def choose_rate(bench: Bench, name: str) -> dict[str, Any]:
    """Train shortly with each rate, and take the best on validation rows."""
    rates, path = bench.preset.rates, bench.out / name / "rates.json"
    if len(rates) == 1:
        return {"rate": rates[0], "tried": {}}
    if not path.exists():
        known, folder = bench.preset.known, bench.out / name / "rates"
        swept = train(
            bench, name, known, folder, rates, epochs=bench.preset.tried, label="rates"
        )
        network = bench.family(name, len(known))
        found = score(network, swept.states.phi, known, bench.data.validation)
        means = np.where(swept.finite, found.mean(axis=1), 0.0)
        tried = {f"{rate:g}": float(x) for rate, x in zip(rates, means, strict=True)}
        write_json(path, {"rate": rates[int(np.argmax(means))], "tried": tried})
    return read_json(path)


def multitask(bench: Bench, name: str) -> dict[str, Any]:
    """Train on all tasks, and report on the test rows of each."""
    path = bench.out / name / "multitask.json"
    if path.exists():
        return read_json(path)
    known, seeds = bench.preset.known, bench.preset.seeds
    resumed = any((bench.out / name / "known" / "checkpoints").glob("[0-9]*"))
    done = trained(bench, name, "known")
    network = bench.family(name, len(known))
    found = choose_rate(bench, name) | {
        "finite": done.finite.tolist(),
        # What a session before a kill took is not known.
        "seconds": None if resumed else round(done.seconds / seeds, 2),
        "parameters": tree.count(done.phi) // seeds,
        "target": tree.count(jax.eval_shape(bench.net.init, KEY)),
        "test": score(network, done.phi, known, bench.data.test).tolist(),
    }
    write_json(path, found)
    return found


class Trained(NamedTuple):
    """Trained networks, on the host: phi [s, ...], and as in `Swept`."""

    phi: Params
    finite: np.ndarray
    seconds: float

    def seed(self, i: int) -> Params:
        """Return the network of one seed."""
        return jax.tree.map(lambda x: x[i], self.phi)


def trained(bench: Bench, name: str, which: str) -> Trained:
    """Train on `known` or `seen` tasks, or read back what was trained."""
    preset = bench.preset
    if preset.seen == preset.known:
        which = "known"
    if (name, which) not in bench.kept:
        rates = [choose_rate(bench, name)["rate"]] * preset.seeds
        ids, folder = getattr(preset, which), bench.out / name / which
        swept = train(
            bench, name, ids, folder, rates, epochs=preset.epochs, label=which
        )
        phi = jax.tree.map(np.asarray, swept.states.phi)
        bench.kept[name, which] = Trained(phi, swept.finite, swept.seconds)
    return bench.kept[name, which]


def finder_of(bench: Bench, name: str) -> "Finder":
    """Return the finder of a contender, compiled once."""
    if name not in bench.kept:
        bench.kept[name] = Finder(bench, name)
    return bench.kept[name]


class Finder:
    """Finds codes for one frozen contender, in one compiled program."""

    def __init__(self, bench: Bench, name: str):
        self.bench, self.name, preset = bench, name, bench.preset
        self.shots = shots_of(preset, bench.data)
        if name == SCRATCH:
            network = learning.from_scratch(bench.net)
        else:
            network = tasks.of_codes(bench.shared(name))
        test = Split(*map(jnp.asarray, bench.data.test))
        held = Split(*map(jnp.asarray, bench.data.validation))
        counts = jnp.asarray(self.shots) * bench.data.classes
        adam = optimizers.optimizer("adam", "cosine", steps=preset.steps)

        @jax.jit
        def find(shared, start, rows, rate, key, task, held, test, counts):
            def one(count):
                found = learning.infer(
                    network,
                    shared,
                    start,
                    rows,
                    count,
                    key,
                    adam(Hparams(rate)),
                    steps=preset.steps,
                    batch_size=preset.batch,
                )
                at = jax.tree.map(lambda x: x[None], found.code)
                judged = [
                    learning.accuracies(network, shared, at, task[None], part)[0]
                    for part in (held, test)
                ]
                return found.code, jnp.stack(judged)

            return jax.lax.map(one, counts)

        @jax.jit
        def judge(shared, codes, which, test):
            return learning.accuracies(network, shared, codes, which, test)

        self._find = lambda *given: find(*given, held, test, counts)
        self._judge = lambda *given: judge(*given, test)

    def find(self, phi: Params, rows: Split, rate: float, seed: int, task: int) -> Any:
        """Return codes, and accuracies [shots, 2] on validation and test rows."""
        key = jax.random.fold_in(jax.random.key(seed), 2000 + task)
        if self.name == SCRATCH:
            shared, start = None, jax.jit(self.bench.net.init)(key)
        else:
            shared, start = phi[tasks.SHARED], phi[tasks.CODES].mean(axis=0)
        codes, judged = self._find(
            shared, start, rows, jnp.float32(rate), key, jnp.int32(task)
        )
        return codes, np.asarray(judged, float)

    def judge(self, phi: Params, codes: Any, which: Sequence[int]) -> np.ndarray:
        """Return the test accuracy of each code at a task."""
        numbers = jnp.asarray(which, jnp.int32)
        return np.asarray(self._judge(phi[tasks.SHARED], codes, numbers), float)


def shots_of(preset: Preset, data: TaskSet) -> list[int]:
    """List the examples of each class to try, with all of them at the end."""
    each = data.train.labels.shape[1] // data.classes
    for shots in preset.shots:
        learning.check_count(shots * data.classes, each * data.classes)
    return [*preset.shots, each]


def rows_of(data: TaskSet, task: int) -> Split:
    """Return the training rows of a task."""
    return Split(data.train.images[task], data.train.labels[task])


def pooled(data: TaskSet, which: Sequence[int]) -> Split:
    """Return as many training rows as one task has, of several tasks in equal parts."""
    n, t = data.train.labels.shape[1], len(which)
    chosen = [(which[i % t], i // t) for i in range(n)]
    task, row = map(list, zip(*chosen, strict=True))
    return Split(data.train.images[task, row], data.train.labels[task, row])


def later_tasks(bench: Bench, name: str) -> dict[str, Any]:
    """Learn codes of new tasks with everything else frozen.

    What was found for a seed, a task and a rate is kept at once, so that a killed call
    goes on from there.
    """
    path, preset = bench.out / name / "later.json", bench.preset
    found: dict[str, Any] = read_json(path) if path.exists() else {"rows": {}}
    if "rate" in found:
        return found
    path.parent.mkdir(parents=True, exist_ok=True)
    rates = preset.scratch_rates if name == SCRATCH else preset.code_rates
    finder = finder_of(bench, name)
    each = len(preset.new) + len(preset.recombined)
    total = preset.seeds * each + (len(rates) - 1) * len(preset.new)
    bar = Progress(total, len(found["rows"]), unit="task")

    def row(seed: int, kind: str, task: int, rate: float) -> dict[str, Any]:
        key = f"seed {seed}, task {task}, rate {rate:g}"
        if key not in found["rows"]:
            phi = frozen(bench, name, kind, seed)
            rows = rows_of(bench.data, task)
            _, judged = finder.find(phi, rows, rate, seed, task)
            both = {"validation": judged[:, 0].tolist(), "test": judged[:, 1].tolist()}
            found["rows"][key] = both
            write_json(path, found)
            bar.advance(1, f"{name}, new tasks:")
        return found["rows"][key]

    tried = {
        rate: np.mean([row(0, "new", i, rate)["validation"] for i in preset.new])
        for rate in rates
    }
    rate = max(tried, key=lambda rate: tried[rate])
    for kind in ("new", "recombined"):
        found[kind] = [
            [row(seed, kind, task, rate)["test"] for task in getattr(preset, kind)]
            for seed in range(preset.seeds)
        ]
    bar.close()
    write_json(path, found | {"rate": rate, "shots": finder.shots})
    return read_json(path)


def frozen(bench: Bench, name: str, kind: str, seed: int) -> Params:
    """Return the network of a seed: the classes of recombined pairs were all known."""
    if name == SCRATCH:
        return None
    return trained(bench, name, "known" if kind == "recombined" else "seen").seed(seed)


def controls(bench: Bench, name: str) -> dict[str, Any]:
    """Measure the mean code, one code for all known tasks, and the path of two."""
    path, preset = bench.out / name / "controls.json", bench.preset
    if path.exists():
        return read_json(path)
    finder, known = finder_of(bench, name), preset.known
    rate = later_tasks(bench, name)["rate"]
    found: dict[str, Any] = {"mean": [], "single": [], "path": []}
    bar = Progress(preset.seeds, unit="seed")
    for seed in range(preset.seeds):
        phi = trained(bench, name, "known").seed(seed)
        codes, _ = finder.find(phi, pooled(bench.data, known), rate, seed, known[0])
        mean = phi[tasks.CODES].mean(axis=0)
        for kind, code in (("mean", mean), ("single", codes[-1])):
            copies = np.broadcast_to(code, (len(known), *code.shape))
            found[kind].append(finder.judge(phi, copies, known).tolist())
        way = np.asarray(tasks.path(phi, 0, 1, POINTS))
        ends = [known[0]] * POINTS + [known[1]] * POINTS
        both = finder.judge(phi, np.concatenate([way, way]), ends)
        found["path"].append(both.reshape(2, POINTS).tolist())
        bar.advance(1, f"{name}, controls:")
    bar.close()
    write_json(path, found)
    return found


def main(
    preset: str,
    out: Path,
    *,
    data_dir: str | None = None,
    contenders: Sequence[str] = (EXPERTS, *HYPERNETWORKS),
    **settings: Any,
) -> dict[str, Any]:
    """Do what is not done yet, and write tables, figures and the answers.

    Args:
      preset: a name of `PRESETS`.
      out: folder.
      data_dir: folder of the source images.
      contenders: `experts`, and names of `HYPERNETWORKS`.
      settings: fields of `Preset` in place of its own.

    Returns:
      What `out/result.json` holds.

    Raises:
      UsageError: an unknown name, a number out of its range, or `out` holds something
        else.
      RunError: the data cannot be loaded, or a file of `out` is damaged.
    """
    chosen = PRESETS[check_name(preset, PRESETS, "preset")]
    chosen = dataclasses.replace(chosen, **settings)
    for name in contenders:
        check_name(name, (EXPERTS, *HYPERNETWORKS), "contender")
    check_name(chosen.target, TARGETS, "target")
    if min(chosen.seeds, chosen.epochs) < 1:
        raise UsageError("--seeds and --epochs must be at least 1")
    require("matplotlib", "plot")
    data = load_task_set(
        chosen.data,
        data_dir=data_dir,
        tasks=chosen.tasks,
        groups=chosen.groups,
        rows=chosen.rows,
    )
    shots_of(chosen, data)
    settings = {"preset": preset} | dataclasses.asdict(chosen)
    claim(out, settings, what="what was made")
    net = TARGETS[chosen.target](data.train.images.shape[2:], data.classes)
    bench = Bench(chosen, data, net, out)
    found: dict[str, Any] = {"preset": preset, "seeds": chosen.seeds}
    found["names"] = {
        kind: [data.names[i] for i in getattr(chosen, kind)]
        for kind in ("known", "seen", "new", "recombined")
    }
    found["multitask"] = {name: multitask(bench, name) for name in contenders}
    hypernetworks = [name for name in contenders if name != EXPERTS]
    asked = [*hypernetworks, *([SCRATCH] if EXPERTS in contenders else [])]
    found["later"] = {name: later_tasks(bench, name) for name in asked}
    found["controls"] = {name: controls(bench, name) for name in hypernetworks}
    write_json(out / "result.json", found)
    text = task_answers(found)
    (out / "answers.md").write_text(text)
    pictures = ", ".join(path.name for path in plot.save_tasks(out))
    print(text)
    print(f"answers: {out}/answers.md   pictures: {pictures}")
    return found


def _numbers(text: str) -> tuple[int, ...]:
    try:
        return tuple(int(each) for each in text.split(","))
    except ValueError:
        raise argparse.ArgumentTypeError(
            f"expected whole numbers as 1,5,10, found {text!r}"
        ) from None


def _parser() -> cli.Parser:
    parser = cli.script_parser("task_hypernets.py", __doc__)
    parser.add_argument("--preset", default="smoke", help=", ".join(PRESETS))
    parser.add_argument("--data-dir", help="folder of the images; else JAXPARETO_DATA")
    parser.add_argument(
        "--contenders",
        type=lambda text: tuple(text.split(",")),
        default=(EXPERTS, *HYPERNETWORKS),
        metavar="A,B",
        help="by default " + ",".join((EXPERTS, *HYPERNETWORKS)),
    )
    parser.add_argument("--seeds", type=int, help="in place of the preset's")
    parser.add_argument("--epochs", type=int, help="in place of the preset's")
    parser.add_argument("--rows", type=int, help="training rows of each task")
    parser.add_argument("--target", help=", ".join(TARGETS))
    parser.add_argument(
        "--shots", type=_numbers, metavar="K,K", help="examples of each class"
    )

    def run(asked: Any) -> None:
        names = ("seeds", "epochs", "rows", "target", "shots")
        given = {name: getattr(asked, name) for name in names}
        main(
            asked.preset,
            asked.out,
            data_dir=asked.data_dir,
            contenders=asked.contenders,
            **{name: value for name, value in given.items() if value is not None},
        )

    parser.set_defaults(run=run)
    return parser


if __name__ == "__main__":
    sys.exit(cli.guarded(_parser))
