"""Does an LSTM learn faster when a small one scales its weights at every step?

Ha, Dai and Le (2017), "HyperNetworks": the HyperLSTM beside an LSTM of as many numbers,
both with and without layer norm (`smoke`: without), guessing the next character of a
text: the language reference that comes with Python (it differs between versions;
`settings.json` has its SHA-256), or a file of yours.

    python experiments/hyperlstm.py --preset smoke --out runs/lstm-smoke
    python experiments/hyperlstm.py --preset text --out runs/lstm
    python experiments/hyperlstm.py --preset text --text FILE --out runs/lstm-file

| preset | characters | numbers of each | updates | seeds | time on 2 cores |
| --- | --- | --- | --- | --- | --- |
| `smoke` | 20,000 | 11 thousand | 40 | 2 | half a minute |
| `text` | all, 373,000 | 190 thousand | 2,000 | 4 | 49 minutes beside other work |

Equal size: the HyperLSTM's units are given, and each LSTM gets the number of units that
brings all its parameters, table and answer included, nearest to the HyperLSTM's. Each
kind has a learning rate of its own, chosen on held-out text after a short training. All
see the same characters in the same order, from the same seeds. The network of the
best round is judged on the test text, once, at the end.

A killed call continues from its last round when it is given again. The folder has
`result.json`, `table.csv`, `table.md`, `curves.png` (bits per character against
updates) and `scales.png` (what the small LSTM does to the large one along a text).
"""

import sys
from bisect import bisect_left
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax

from jaxpareto import cli, style, tree
from jaxpareto.backend import one_device_per_core
from jaxpareto.data.text import PYTHON, Text, load_text
from jaxpareto.errors import RunError, check_name, require
from jaxpareto.nets.characters import Guesser, guesser
from jaxpareto.nets.hyper_lstm import hyper_lstm, scales
from jaxpareto.nets.recurrent import lstm
from jaxpareto.report import markdown, mean_std, plus_minus
from jaxpareto.search.table import write_csv
from jaxpareto.train import characters
from jaxpareto.train.folder import claim
from jaxpareto.train.log import read_json, write_json
from jaxpareto.train.pieces import Clock, by_pieces, progress

Row = dict[str, Any]
KINDS = ("lstm", "lstm-norm", "hyper-lstm", "hyper-lstm-norm")


class Preset(NamedTuple):
    """How much of everything.

    Attributes:
      longest: characters of the text; None is all.
      units: of the HyperLSTM.
      hyper_units: of the small LSTM in it.
      embedding: length of its codes.
      streams: texts read side by side.
      span: characters between two updates.
      round_updates: updates between two looks at held-out text.
      rounds: of training.
      seeds: trained at once.
      width: of the vector that a character is looked up as.
      rates: learning rates to choose from; a single one is taken as it is.
      tried: rounds of the training that chooses, with one seed.
      kinds: of cells; each `hyper-` one is compared with that without.
    """

    longest: int | None
    units: int
    hyper_units: int
    embedding: int
    streams: int
    span: int
    round_updates: int
    rounds: int
    seeds: int
    width: int
    rates: tuple[float, ...]
    tried: int
    kinds: tuple[str, ...] = KINDS


PRESETS = {
    "smoke": Preset(
        *(20_000, 24, 8, 4, 16, 32, 10, 4, 2, 16, (4e-3,), 0), ("lstm", "hyper-lstm")
    ),
    "text": Preset(None, 160, 32, 8, 32, 100, 50, 40, 4, 32, (2e-3, 4e-3, 8e-3), 12),
}
SHOWN = 100
"""Characters of the test text along which the scales are drawn."""


def cell_of(kind: str, preset: Preset) -> Callable[..., Any]:
    """Return the maker of a kind of cell."""
    norm = kind.endswith("-norm")
    if kind.startswith("hyper"):
        return partial(
            hyper_lstm,
            hyper_units=preset.hyper_units,
            embedding=preset.embedding,
            layer_norm=norm,
        )
    return partial(lstm, layer_norm=norm)


def size_of(net: Guesser) -> int:
    """Count the parameters of a network."""
    return tree.count(jax.eval_shape(net.init, jax.random.key(0)))


def make(kind: str, preset: Preset, classes: int) -> tuple[Guesser, int]:
    """Make a network of the size of the HyperLSTM of its row; also return its units."""

    def of(kind: str, units: int) -> Guesser:
        return guesser(cell_of(kind, preset), classes, units, width=preset.width)

    if kind.startswith("hyper"):
        return of(kind, preset.units), preset.units
    aim = size_of(of(f"hyper-{kind}", preset.units))
    tried = range(1, 4 * preset.units)
    above = bisect_left(tried, aim, key=lambda units: size_of(of(kind, units)))
    nearest = tried[max(above - 1, 0) : above + 1]
    units = min(nearest, key=lambda units: abs(size_of(of(kind, units)) - aim))
    return of(kind, units), units


class Course(NamedTuple):
    """What the networks of a kind learn, and how.

    Attributes:
      kind: of the cell.
      net: the network.
      data: the texts as streams.
      folder: of the kind.
      number: of the kind, counted from 0.
    """

    kind: str
    net: Guesser
    data: characters.Streams
    folder: Path
    number: int


def learn(
    course: Course, preset: Preset, rates: Any, seeds: Any, name: str
) -> tuple[characters.Progress, Clock]:
    """Train a network for each of some rates and seeds: `tried` ones, or `whole`."""
    rounds = preset.tried if name == "tried" else preset.rounds
    clock = Clock(course.folder / f"{name}.json")
    pupil = characters.Pupil(
        net=course.net,
        optimizer=lambda rate: optax.chain(
            optax.clip_by_global_norm(1.0), optax.adam(rate)
        ),
        span=preset.span,
        round_updates=preset.round_updates,
        rounds=rounds,
    )

    def tell(done: int, state: characters.Progress) -> str:
        clock.tick()
        return f"{course.kind}: {np.mean(state.history[:, done - 1, 1]):.3f} bits"

    def advance(member: Any, state: Any, data: Any, until: Any) -> Any:
        return characters.advance(pupil, member, state, data, until)

    whole = preset.rounds + preset.tried
    before = whole * course.number + (0 if name == "tried" else preset.tried)
    state = by_pieces(
        partial(characters.begin, pupil, preset.streams),
        advance,
        characters.Member(np.asarray(rates, np.float32), np.asarray(seeds, np.int32)),
        course.data,
        (course.folder / name).absolute(),
        until=rounds,
        watch=progress(before, whole * len(preset.kinds), rounds, tell, "round"),
    )
    return state, clock


def choose(course: Course, preset: Preset) -> float:
    """Return the learning rate whose network guesses held-out text best, soon."""
    if len(preset.rates) == 1:
        return preset.rates[0]
    tried, _ = learn(course, preset, preset.rates, [0] * len(preset.rates), "tried")
    return preset.rates[int(np.argmin(tried.best_bits))]


def train(
    kind: str, preset: Preset, text: Text, out: Path, number: int
) -> dict[str, Any]:
    """Train all seeds of a kind, judge them on the test text, keep what was found."""
    net, units = make(kind, preset, len(text.alphabet))
    data = characters.Streams(
        characters.streams(text.train, preset.streams),
        characters.streams(text.validation, min(preset.streams, 16)),
    )
    course = Course(kind, net, data, out / kind, number)
    rate, seeds = choose(course, preset), range(preset.seeds)
    state, clock = learn(course, preset, [rate] * preset.seeds, seeds, "whole")
    if not np.all(np.isfinite(state.history)):
        raise RunError(f"{kind}: losses are not finite; try a smaller learning rate")
    judge = jax.jit(partial(characters.bits, net))
    held = characters.streams(text.test, min(preset.streams, 16))
    best = [jax.tree.map(lambda x, i=i: x[i], state.best) for i in seeds]
    found = {
        "history": state.history.tolist(),
        "test": [float(judge(params, held)) for params in best],
        "parameters": size_of(net),
        "units": units,
        "rate": rate,
        "seconds": clock.seconds,
        "ms": 1000 * clock.pace / (preset.round_updates * preset.seeds),
    }
    if kind.startswith("hyper"):
        read = jnp.asarray(text.test[:SHOWN])
        found["moves"] = np.asarray(
            jax.jit(partial(followed, net))(best[0], read)
        ).tolist()
    write_json(out / kind / "result.json", found)
    return found


def followed(net: Guesser, params: Any, text: jax.Array) -> jax.Array:
    """Read a text [t]; return how far d_x, d_h and b move at each character, [t, 3]."""

    def step(carry: Any, character: jax.Array) -> tuple[Any, jax.Array]:
        state, before = carry
        state, _ = net.apply(params, state, character[None, None])
        now = scales(params["cell"], state.hyper.hidden)[0]
        return (state, now), jnp.mean(jnp.abs(now - before), axis=(1, 2))

    state = net.start(1)
    first = scales(params["cell"], state.hyper.hidden)[0]
    return jax.lax.scan(step, (state, first), text)[1]


def row_of(kind: str, preset: Preset, found: dict[str, dict[str, Any]]) -> Row:
    """Say in one row what came of a kind: means and deviations over seeds.

    `updates to` counts until the held-out text costs what it cost the LSTM of the same
    norms at best, mean over seeds on both sides; None where it never does.
    """
    mine = found[kind]
    held = np.array(mine["history"])[..., 1]
    rival = np.array(found[kind.removeprefix("hyper-")]["history"])[..., 1]
    there = np.flatnonzero(held.mean(axis=0) <= rival.mean(axis=0).min())
    return {
        "cell": kind,
        "units": mine["units"],
        "parameters": mine["parameters"],
        "rate": mine["rate"],
        **spread("test bits", np.array(mine["test"])),
        **spread("held-out bits", held.min(axis=1)),
        "updates to": preset.round_updates * int(there[0] + 1) if len(there) else None,
        "seeds": len(held),
        "ms per update": mine["ms"],
    }


def spread(name: str, values: np.ndarray) -> Row:
    """Return mean and standard deviation as two columns."""
    return dict(zip((name, f"{name} std"), mean_std(values), strict=True))


def table(rows: Sequence[Row]) -> str:
    """Lay the rows out in Markdown."""
    heads = ["cell", "units", "parameters", "test bits", "held-out bits"]
    heads += ["updates to the LSTM's best", "seeds", "rate", "ms per update"]

    def cells(row: Row) -> list[Any]:
        bits = [
            plus_minus(row[name], row[f"{name} std"], 3)
            for name in ("test bits", "held-out bits")
        ]
        first = [row["cell"], row["units"], f"{row['parameters']:,}", *bits]
        last = [row["seeds"], f"{row['rate']:g}", f"{row['ms per update']:.0f}"]
        return [*first, row["updates to"] or "never", *last]

    return markdown(heads, map(cells, rows))


@style.styled
def curves_figure(found: dict[str, dict[str, Any]], preset: Preset) -> Any:
    """Draw bits per character against updates: held-out solid, training dashed."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(5.0, 3.4), layout="constrained")
    axes = figure.subplots()
    updates = preset.round_updates * (1 + np.arange(preset.rounds))
    for i, (kind, mine) in enumerate(found.items()):
        colour, marker = style.COLOURS[i], style.MARKERS[i]
        learned, held = np.moveaxis(np.array(mine["history"]), -1, 0)
        mean, std = held.mean(axis=0), held.std(axis=0)
        axes.plot(
            *(updates, mean),
            color=colour,
            marker=marker,
            markevery=max(1, len(mean) // 8),
            ms=3,
            lw=1.2,
            label=kind,
        )
        axes.plot(updates, learned.mean(axis=0), "--", color=colour, lw=0.6)
        axes.fill_between(
            updates, mean - std, mean + std, color=colour, alpha=0.15, lw=0
        )
    axes.set_xlabel("updates")
    axes.set_ylabel("bits per character")
    last = [np.array(mine["history"])[..., -1, :] for mine in found.values()]
    axes.set_ylim(0.95 * np.min(last), None)
    axes.set_yscale("log")
    axes.yaxis.set_major_formatter("{x:g}")
    axes.yaxis.set_minor_formatter("{x:g}")
    axes.legend(frameon=False)
    return figure


@style.styled
def scales_figure(moves: np.ndarray, text: str) -> Any:
    """Draw how far the small LSTM moves the large one's weights at each character."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9.0, 2.2), layout="constrained")
    axes = figure.subplots()
    for column, name in enumerate(("d_x", "d_h", "b")):
        line = moves[:, column]
        axes.plot(line / line.mean(), color=f"C{column}", lw=0.9, label=name)
    axes.set_xticks(range(len(text)), [c if c.isprintable() else "⏎" for c in text])
    axes.tick_params(axis="x", length=0, labelsize=6)
    axes.set_xlim(-0.5, len(text) - 0.5)
    axes.set_ylabel("move, relative to its mean")
    axes.legend(frameon=False, ncols=3)
    return figure


def main(preset: str, out: Path, *, text: str = PYTHON) -> list[Row]:
    """Train the kinds that are not trained yet, and write what was found.

    Raises:
      UsageError: an unknown preset, or `out` holds something else.
      RunError: the text cannot be read, or a file in `out` is damaged.
    """
    chosen = PRESETS[check_name(preset, PRESETS, "preset")]
    require("matplotlib", "plot")  # known before the work, not after it
    loaded = load_text(text, longest=chosen.longest)
    claim(out, chosen._asdict() | {"text": loaded.sha256})
    found = {}
    for number, kind in enumerate(chosen.kinds):
        path = out / kind / "result.json"
        done = path.exists()
        found[kind] = (
            read_json(path) if done else train(kind, chosen, loaded, out, number)
        )
    rows = [row_of(kind, chosen, found) for kind in chosen.kinds]
    write_json(out / "result.json", {"rows": rows, "cells": found})
    write_csv(rows, out / "table.csv")
    said = table(rows)
    (out / "table.md").write_text(said + "\n")
    shown = "".join(loaded.alphabet[i] for i in loaded.test[:SHOWN])
    moves = np.array(found[chosen.kinds[-1]]["moves"])
    style.save(curves_figure(found, chosen), out / "curves.png")
    style.save(scales_figure(moves, shown), out / "scales.png")
    print(f"{said}\ntable: {out}/table.csv   pictures: {out}/*.png")
    return rows


def _parser() -> cli.Parser:
    parser = cli.script_parser("hyperlstm.py", __doc__)
    parser.add_argument("--preset", default="text", help=", ".join(PRESETS))
    parser.add_argument(
        "--text", default=PYTHON, help=f"a file in UTF-8; by default {PYTHON}'s own"
    )
    parser.set_defaults(
        run=lambda asked: main(asked.preset, asked.out, text=asked.text),
        prepare=one_device_per_core,
    )
    return parser


if __name__ == "__main__":
    sys.exit(cli.guarded(_parser))
