"""Which rule learns which front, where the truth is known?

One small network reads a preference and answers with the variables of a toy problem; it
is trained with every weighting rule of the library on every problem with a known front.
Then 1,000 preferences are asked for, and what comes back is laid over the truth.

    python experiments/toy_fronts.py --preset smoke --out runs/toys-smoke
    python experiments/toy_fronts.py --out runs/toys
    python experiments/toy_fronts.py --rules epo,cpmtl --problems vlmop2 --out runs/two
    python experiments/toy_fronts.py --problems weight-decay --out runs/head

| preset | steps | preferences a step | time on 2 cores |
| --- | --- | --- | --- |
| `smoke` | 60, two rules | 8 | half a minute, most of it compilation |
| `full` | 3,000 | 32 | 7 minutes |

Expected: on the concave front of `vlmop2` the rules that minimise a weighted mean, of
losses or of logarithms, crowd at its ends (gaps of 3e-3 and more; `spread`, which
pushes them apart, covers it and does not obey), those that are blind to the preference
find one point, and all others cover it (gaps below 1e-3). A rule is trained on all
problems at once, by `vmap`. A killed run continues with the rule at which it stopped.

`weight-decay`, a logistic head of 170 numbers whose front is solved for, is posed only
if it is named.

The losses that rules see are measured from the ideal point, so that every ray meets the
front. `toy.json` has the numbers, `toy.npz` the fronts, `toy.png` the picture.
"""

import sys
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from jaxpareto import cli, data, metrics, prefs, problems, scalarize, solvers, style
from jaxpareto.data.digits import load_digits
from jaxpareto.errors import UsageError, check_name, require
from jaxpareto.problems import Problem, decode
from jaxpareto.report import markdown
from jaxpareto.rules import RULES, from_scalarisation, from_solver
from jaxpareto.simplex import to_ray, unit_rays
from jaxpareto.train import Hparams, Recipe, optimizers, train
from jaxpareto.train.folder import make_empty
from jaxpareto.train.log import read_json, write_json
from jaxpareto.types import Array, Conditioned, Key, Split, Weighting

ASKED = 1000
WIDTHS = (64, 64)
LEARNING_RATE = 1e-2
SECTORS = {2: (101, 2), 3: (105, 6)}  # m -> reference rays, neighbours that count


class Preset(NamedTuple):
    """How long to train, and with how many preferences at every step."""

    steps: int
    prefs_per_step: int
    rules: Sequence[str] = tuple(RULES)


PRESETS = {"smoke": Preset(60, 8, ("linear", "epo")), "full": Preset(3000, 32)}


def toy_rules(m: int) -> dict[str, Weighting]:
    """Return all rules; where a default suits losses in nats, one for losses in [0, 1].

    Tolerances are what a thousandth of a front asks for. Sectors are narrow, and their
    rules go back to them first (`restore`), since on a front the shortest vector is
    zero in the wrong sector too.
    """
    count, near = SECTORS[m]
    sectors = {"rays": unit_rays(count, m), "neighbors": near, "restore": True}
    return RULES | {
        "cosmos": from_scalarisation(partial(scalarize.cosmos, penalty=5.0)),
        "p-norm": from_scalarisation(partial(scalarize.p_norm, p=8.0)),
        "utility": from_scalarisation(partial(scalarize.utility, ceiling=1.1)),
        "pmtl": from_solver(partial(solvers.pmtl, **sectors)),
        "cpmtl": from_solver(partial(solvers.cpmtl, **sectors)),
        "epo": from_solver(partial(solvers.epo, tolerance=1e-6)),
        "pmgda": from_solver(partial(solvers.pmgda, tolerance=1e-3)),
    }


def toy_problems() -> dict[str, Problem]:
    """Return the problems of the library, and a real one: two digits' regressions.

    Is the digit odd, and is it at least five: 64 pixels, standardised, one set of
    weights for both answers.
    """
    source = load_digits()
    images, labels = source.train_images, source.train_labels
    pixels = images.reshape(len(images), -1).astype(float)
    pixels = (pixels - pixels.mean(0)) / (pixels.std(0) + 1e-9)
    targets = np.stack([labels % 2, labels >= 5], axis=1).astype(float)
    real = problems.least_squares_pair(pixels, targets - targets.mean(0))
    return problems.PROBLEMS | {"digits": real}


def digits_head() -> Problem:
    """Pose a real head: 300 digits of 4 x 4 pixels, cross-entropy against norm."""
    source = load_digits()
    images = source.train_images[:300] / 255.0
    pixels = images.reshape(300, 4, 2, 4, 2).mean(axis=(2, 4)).reshape(300, 16)
    return problems.weight_decay(pixels, source.train_labels[:300].astype(int))


ON_REQUEST = {"weight-decay": digits_head}
"""Name -> maker of a problem that is posed only if it is named: solving for its truth
takes seconds, whatever else is asked for."""


def learner(family: Sequence[Problem], which: Array) -> Conditioned:
    """Make the network that learns one problem of a family, the one of number `which`.

    It reads the preference and its square root (next to a vertex the variables of a
    smooth problem move like the root), and writes what `decode` folds into the box. It
    starts near the middle of the box, where `phn-toy` has slopes; for the variables of
    DTLZ that should be 1/2 this is a gift, and no rule gets more of it than another.
    """
    m, n = family[0].m, max(problem.n for problem in family)
    sizes = (2 * m, *WIDTHS, n)

    def init(key: Key) -> Any:
        keys = jax.random.split(key, len(sizes) - 1)
        scales = [1.0] * len(WIDTHS) + [0.01]
        return [
            {
                "kernel": jax.random.normal(key, (inputs, outputs))
                * (scale / np.sqrt(inputs)),
                "bias": jnp.zeros(outputs),
            }
            for key, inputs, outputs, scale in zip(
                keys, sizes[:-1], sizes[1:], scales, strict=True
            )
        ]

    def free(phi: Any, pref: Array) -> Array:
        x = jnp.concatenate([2 * pref - 1, jnp.sqrt(pref)])
        for layer in phi[:-1]:
            x = jax.nn.silu(x @ layer["kernel"] + layer["bias"])
        return x @ phi[-1]["kernel"] + phi[-1]["bias"]

    def above_ideal(problem: Problem) -> Callable[[Array], Array]:
        ideal = np.array([problem.ends[i][i] for i in range(m)], np.float32)
        return lambda free: problem.losses(decode(problem, free[: problem.n])) - ideal

    def forward(free: Array, nothing: Array, *, key: Key | None = None) -> Array:
        del nothing, key
        return jax.lax.switch(which, [above_ideal(each) for each in family], free)

    return Conditioned(init, free, forward)


def learn(
    family: Sequence[Problem], rule: Weighting, steps: int, k: int, seed: int
) -> tuple[np.ndarray, dict[str, float]]:
    """Train a rule on all problems of a family at once, and ask for their fronts.

    Returns:
      Losses above the ideal [problems, preferences, m], and seconds and `solved`.
    """
    m = family[0].m
    sampler = prefs.with_corners(prefs.SAMPLERS["stratified"](m, 1.0), m)
    nothing = Split(jnp.zeros((1, 1)), jnp.zeros((1, 1)))
    batches = data.whole(nothing, steps=steps)
    adam = optimizers.optimizer("adam", "cosine", steps=steps, warmup=steps // 40)
    asked = jnp.asarray(prefs.grid(ASKED, m))

    def run(which: Array, key: Key) -> tuple[Array, Array]:
        network = learner(family, which)
        # Solvers compare the gradients in the variables, as on toys in their papers.
        recipe = Recipe(
            *(network, rule, sampler, adam, k), losses=_as_they_are, gram_of="params"
        )
        hparams = Hparams(LEARNING_RATE)
        state, info = train(recipe, batches, 1, key, hparams, nothing)
        front = jax.vmap(lambda pref: network.apply(state.phi, pref, None))(asked)
        return front, jnp.mean(info.solved)

    many = jnp.arange(len(family))
    keys = jax.random.split(jax.random.key(seed), len(family))
    began = time.perf_counter()
    compiled = jax.jit(jax.vmap(run)).lower(many, keys).compile()
    ready = time.perf_counter()
    fronts, solved = jax.block_until_ready(compiled(many, keys))
    spent = {
        "seconds_compiling": ready - began,
        "seconds": time.perf_counter() - ready,
        "solved": float(jnp.mean(solved)),
    }
    return np.asarray(fronts, float), spent


def _as_they_are(losses: Array, labels: Array) -> Array:
    """Return what the network answers: a toy's outputs are its losses."""
    del labels
    return losses


def judge(problem: Problem, above: np.ndarray) -> dict[str, float]:
    """Compare a learned front with the true one; `above` [k, m] is above the ideal."""
    moocore = require("moocore", "metrics")
    asked = prefs.grid(ASKED, problem.m)
    ideal = np.array([problem.ends[i][i] for i in range(problem.m)])
    points = above + ideal
    volume = moocore.hypervolume(points, ref=np.array(problem.reference))
    rays = jax.vmap(to_ray)(jnp.asarray(asked))
    angles = jax.vmap(metrics.cross_angle)(jnp.asarray(above, jnp.float32), rays)
    vertices = [int(np.argmax(asked[:, i])) for i in range(problem.m)]
    return {
        "gap": problem.hypervolume - float(volume),
        "igd": float(moocore.igd(points, ref=problem.front(ASKED))),
        "angle": float(np.mean(angles)),
        "ends": float(max(above[row, i] for i, row in enumerate(vertices))),
        "inside": inside(above, asked),
        "nondominated": int(metrics.nondominated(jnp.asarray(points)).sum()),
    }


def inside(above: np.ndarray, asked: np.ndarray) -> float:
    """Return the share of preferences whose losses lie in the sector asked for."""
    m = asked.shape[1]
    rays = unit_rays(SECTORS[m][0], m)
    own = np.asarray(jax.vmap(to_ray)(jnp.asarray(asked)), float)
    own /= np.linalg.norm(own, axis=1, keepdims=True)
    others = np.where(own @ rays.T > 1 - 1e-7, -np.inf, above @ rays.T)
    return float(np.mean(others.max(axis=1) <= (own * above).sum(axis=1)))


def main(
    preset: str,
    out: Path,
    *,
    rules: Sequence[str] = (),
    names: Sequence[str] = (),
    steps: int | None = None,
    seed: int = 0,
) -> dict[str, Any]:
    """Train, judge, and write numbers, fronts and a picture.

    Args:
      preset: a name of `PRESETS`.
      out: folder.
      rules: names of `RULES`; by default the preset's.
      names: of the problems; by default all.
      steps: in place of the preset's.
      seed: of initial weights and drawn preferences.

    Returns:
      What `out/toy.json` holds.
    """
    chosen = PRESETS[check_name(preset, PRESETS, "preset")]
    rules = [check_name(name, RULES, "rule") for name in rules or chosen.rules]
    known = toy_problems()
    both = [*known, *ON_REQUEST]
    names = [check_name(name, both, "problem") for name in names or known]
    known |= {name: ON_REQUEST[name]() for name in names if name in ON_REQUEST}
    steps = chosen.steps if steps is None else steps
    if steps < 1:
        raise UsageError(f"--steps must be at least 1, found {steps}")
    settings = {"steps": steps, "k": chosen.prefs_per_step, "seed": seed}
    result, fronts = read_result(out, settings | {"problems": names})
    families = {m: [n for n in names if known[n].m == m] for m in (2, 3)}
    families = {m: family for m, family in families.items() if family}
    todo = [rule for rule in rules if rule not in result["rules"]]
    began = time.monotonic()
    for done, rule in enumerate(todo):
        row: dict[str, Any] = {"problems": {}, "seconds": 0.0, "seconds_compiling": 0.0}
        for m, family in families.items():
            group = [known[name] for name in family]
            above, spent = learn(group, toy_rules(m)[rule], **settings)
            row["solved"] = min(spent["solved"], row.get("solved", 1.0))
            for each in ("seconds", "seconds_compiling"):
                row[each] += spent[each]
            for name, problem, points in zip(family, group, above, strict=True):
                row["problems"][name] = judge(problem, points)
                fronts[f"{rule}/{name}"] = points
        result["rules"][rule] = row
        write_result(out, result, fronts)
        left = (time.monotonic() - began) / (done + 1) * (len(todo) - done - 1)
        print(
            f"{rule}: {done + 1} of {len(todo)}, {left / 60:.1f} min left",
            file=sys.stderr,
        )
    draw(out / "toy", known, names, rules, fronts)
    print(table(result, rules, names))
    print(f"\nnumbers: {out / 'toy.json'}   picture: {out / 'toy.png'}")
    return result


def read_result(
    out: Path, settings: dict[str, Any]
) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    """Read what an earlier call has done, or start anew; refuse other settings."""
    if not (out / "toy.json").exists():
        make_empty(out)
        return {"settings": settings, "rules": {}}, {}
    result = read_json(out / "toy.json", f"delete {out}")
    if result["settings"] != settings:
        raise UsageError(
            f"{out} holds a run with {result['settings']}; asked for {settings}: "
            "name a new --out"
        )
    with np.load(out / "toy.npz") as stored:
        return result, dict(stored)


def write_result(out: Path, result: dict[str, Any], fronts: dict[str, Any]) -> None:
    """Write fronts, then the numbers that say which of them are whole."""
    partial = out / "toy.tmp.npz"
    np.savez_compressed(partial, **fronts)
    partial.replace(out / "toy.npz")
    write_json(out / "toy.json", result)


def table(result: dict[str, Any], rules: Sequence[str], names: Sequence[str]) -> str:
    """Lay out the gap of each rule on each problem, and more of the first problem."""
    first = names[0]
    said = (
        f"Hypervolume gap of {ASKED} preferences to the true front; then, on {first}: "
        "IGD, mean angle to the ray, distance from the ends, share in its sector.\n\n"
    )
    lines = []
    for rule in rules:
        row = result["rules"][rule]
        gaps = [f"{row['problems'][name]['gap']:.5f}" for name in names]
        found = row["problems"][first]
        cells = [f"{found['igd']:.4f}", f"{found['angle']:.3f}", f"{found['ends']:.4f}"]
        cells += [f"{found['inside']:.3f}", f"{row['seconds']:.1f}"]
        lines.append([rule, *gaps, *cells])
    heads = ["rule", *names, "IGD", "angle", "ends", "inside", "seconds"]
    return said + markdown(heads, lines)


@style.styled
def draw(
    path: Path,
    known: dict[str, Problem],
    names: Sequence[str],
    rules: Sequence[str],
    fronts: dict[str, np.ndarray],
) -> None:
    """Draw each learned front over the true one: rules down, problems across."""
    from matplotlib.figure import Figure

    size = (0.85 * len(names) + 1.1, 0.72 * len(rules) + 0.6)
    figure = Figure(figsize=size, layout="constrained")
    # Thousands of dots are an image in the file of lines, too.
    dots: Any = {"linewidths": 0, "rasterized": True}
    for row, rule in enumerate(rules):
        for column, name in enumerate(names):
            problem = known[name]
            place = row * len(names) + column + 1
            threes = {"projection": "3d"} if problem.m == 3 else {}
            axes = figure.add_subplot(len(rules), len(names), place, **threes)
            truth, points = problem.front(400), fronts[f"{rule}/{name}"]
            points = points + np.array([problem.ends[i][i] for i in range(problem.m)])
            colour = prefs.grid(ASKED, problem.m)[:, 0]
            axes.scatter(*truth.T, s=2, c="0.75", **dots)
            axes.scatter(*points.T, s=1.5, c=style.colours().to_rgba(colour), **dots)
            span = truth.max(0) - truth.min(0)
            limits = zip(
                truth.min(0) - 0.1 * span, truth.max(0) + 0.35 * span, strict=True
            )
            for axis, ends in zip("xyz", limits, strict=False):
                axes.set(**{f"{axis}lim": ends, f"{axis}ticks": []})
            if threes:
                axes.view_init(25, 45)
            if row == 0:
                axes.set_title(name)
            if column == 0:
                axes.set_ylabel(rule, rotation=0, ha="right", va="center")
    figure.supxlabel(
        "loss 1 across, loss 2 up; colour: preference for loss 1, dark is none of it; "
        "grey: the true front",
        fontsize=8,
    )
    style.save_both(figure, path)


def _parser() -> cli.Parser:
    parser = cli.script_parser("toy_fronts.py", __doc__)
    words = {"type": lambda text: text.split(","), "default": (), "metavar": "A,B"}
    parser.add_argument("--preset", default="full", help=", ".join(PRESETS))
    parser.add_argument("--rules", help="by default those of the preset", **words)
    parser.add_argument("--problems", help="by default all", **words)
    parser.add_argument("--steps", type=int, help="in place of the preset's")
    parser.add_argument("--seed", type=int, default=0, help="of weights and draws")
    parser.set_defaults(
        run=lambda asked: main(
            asked.preset,
            asked.out,
            rules=asked.rules,
            names=asked.problems,
            steps=asked.steps,
            seed=asked.seed,
        )
    )
    return parser


if __name__ == "__main__":
    sys.exit(cli.guarded(_parser))
