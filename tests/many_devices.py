"""What `test_mesh.py` asks of 8 devices.

A program of its own, for JAX counts its devices once. It trains small things on one
device and on meshes, and prints what it found as JSON.
"""

import json
import re
import sys
from collections import Counter
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np

from jaxpareto import data, logistic, prefs, rules
from jaxpareto.conditioned import CONDITIONERS
from jaxpareto.data import features
from jaxpareto.nets import mlp
from jaxpareto.train import feeds, heads, loop, study, sweep
from jaxpareto.train.evaluate import score
from jaxpareto.train.head_config import HeadConfig, parse_decays
from jaxpareto.train.mesh import Devices, choose
from jaxpareto.train.optimizers import optimizer
from jaxpareto.train.recipe import Hparams, Recipe
from jaxpareto.types import Backbone, Split

KEY = jax.random.key(0)
RNG = np.random.default_rng(0)
N, K, B = 1003, 8, 64  # no power of two of rows: some devices hold one less
ROWS = Split(
    RNG.integers(256, size=(N, 12, 12)).astype(np.uint8),
    RNG.integers(10, size=(N, 2)).astype(np.int32),
)
SOURCE = (
    RNG.integers(256, size=(N, 8, 8)).astype(np.uint8),
    (np.arange(N) % 10).astype(np.int32),
)
COLLECTIVE = re.compile(r"= (.+?) (all-[a-z-]+|reduce-scatter|collective-permute)\(")


def recipe(rule: str = "linear", *, split: bool = True) -> Recipe:
    """Make a small family of networks, and plain descent, which hides nothing."""
    net = mlp((12, 12), widths=(8,))
    entry = CONDITIONERS["low-rank"]
    return Recipe(
        entry.make(net, 2, KEY, **entry.options),
        rules.RULES[rule],
        prefs.SAMPLERS["dirichlet"](2, 0.5),
        optimizer("sgd", "constant", steps=30),
        K,
        split_batch=split,
    )


BATCHES = {
    "stored": data.stored(ROWS, B),
    "fresh": data.fresh([SOURCE], batch_size=B, steps=3, tasks=2),
}
CASES = {
    "losses": (recipe(), BATCHES["fresh"]),
    "gramians": (recipe("mgda", split=False), BATCHES["stored"]),
}


def off(found, wanted) -> float:
    """Return the largest difference of two pytrees, relative to each leaf's size."""
    pairs = zip(jax.tree.leaves(found), jax.tree.leaves(wanted), strict=True)
    numbers = ((np.asarray(a, np.float64), np.asarray(b, np.float64)) for a, b in pairs)
    return max(float(np.abs(a - b).max() / (np.abs(b).max() or 1)) for a, b in numbers)


def compiled(run, *given, **more) -> dict:
    """Say what a compiled program sends, computes and holds on one device."""
    made = run.lower(*given, **more).compile()
    sent = Counter()
    for shapes, what in COLLECTIVE.findall(made.as_text()):
        for shape in re.findall(r"[a-z]+\d*\[[\d,]*\]", shapes):
            sent[f"{what} {shape}"] += 1
    memory = made.memory_analysis()
    return {
        "sent": sent,
        "flops": made.cost_analysis()["flops"],
        "arguments": memory.argument_size_in_bytes,
        "temporary": memory.temp_size_in_bytes,
    }


def size(tree) -> int:
    """Count the bytes of a pytree."""
    return sum(x.nbytes for x in jax.tree.leaves(tree))


def front(name: str, words: str) -> dict:
    """Take two steps of a front; return the state and what was compiled."""
    made, batches = CASES[name]
    devices = choose(words, K, B // K if made.split_batch else B)
    hparams = Hparams(0.1)
    state, rows, run = loop._placed(made, batches, KEY, hparams, devices)
    found = compiled(run, state, rows, hparams, jnp.int32(0), jnp.int32(0), count=2)
    found["state"], found["data"] = size(state), size(rows)
    images = [x for x in jax.tree.leaves(rows) if x.ndim > 1 and x.dtype == jnp.uint8]
    found["images"] = size(images)
    found["images here"] = sum(x.addressable_shards[0].data.nbytes for x in images)
    state, info = run(state, rows, hparams, jnp.int32(0), jnp.int32(0), count=2)
    if devices is not None:
        state, info = devices.fetch((state, info))
    return found | {"end": (state.phi, info.losses, info.objective)}


def seeds(words: str, folder: Path) -> dict:
    """Train 8 seeds, each with its own rate."""
    made, batches = CASES["losses"]
    devices = choose(words, 8, B // K, what="seeds")
    keys, hparams = jax.random.split(KEY, 8), Hparams(jnp.linspace(0.01, 0.1, 8))
    more = Hparams(hparams.learning_rate, jnp.zeros(8))
    state, rows, run = sweep._placed(made, batches, keys, more, devices)
    found = compiled(run, state, rows, more, jnp.int32(0), jnp.int32(0), count=2)
    found |= {"state": size(state), "data": size(rows)}
    swept = sweep.fit_many(
        made, batches, keys, hparams, folder, epochs=1, quiet=True, devices=devices
    )
    assert swept.finite.all()
    return found | {"end": swept.states.phi}


def resumed(folder: Path) -> dict:
    """Train an epoch on each of three meshes, from one's checkpoint to the next.

    The second is the best on validation, as it is told.
    """
    made, batches = recipe(), BATCHES["stored"]
    common = (made, batches, KEY, Hparams(0.1))
    volumes = iter([1.0, 2.0, 1.5] * 2)
    more = {"validate": lambda phi: {"hypervolume": next(volumes)}, "patience": 2}
    for epoch, words in enumerate(("8x1", "1", "2x4"), 1):
        more["devices"] = choose(words, K, B // K)
        fitted = loop.fit(*common, folder, epochs=epoch, quiet=True, **more)
    more["devices"] = None
    alone = loop.fit(*common, folder / "alone", epochs=3, quiet=True, **more)
    return {
        "off": off(fitted.state.phi, alone.state.phi),
        "step": int(alone.state.step),
        "best off": off(fitted.watched.best, alone.watched.best),
        "best": int(fitted.watched.epoch),
        "waited": int(fitted.watched.waited),
    }


def store(folder: Path, rows: int) -> str:
    """Make a store of features; the last batch of an epoch is not full."""
    images = RNG.integers(256, size=(rows, 4, 4)).astype(np.uint8)
    mixing = np.random.default_rng(1).standard_normal((16, 24)).astype(np.float32)
    backbone = Backbone(
        "mixed", 24, lambda x: x.reshape(len(x), -1) @ mixing / 255, np.asarray, "", ""
    )
    source = features.array_images(images, np.arange(rows) % 5, classes=5)
    features.extract(
        backbone, source, folder, workers=0, batch_size=100, shard_rows=300
    )
    return str(folder)


def extracted(folder: Path) -> bool:
    """Say whether a store is the same if eight devices share each batch."""
    weights = jnp.asarray(RNG.integers(9, size=(16, 3)), jnp.float32)  # exact sums

    def see(weights, images):
        return images.reshape(len(images), -1) @ weights

    images = RNG.integers(256, size=(50, 4, 4)).astype(np.uint8)
    source = features.array_images(images, np.zeros(50, int))
    seen = jax.tree_util.Partial(jax.jit(see), weights)
    backbone = Backbone("summed", 3, seen, np.asarray, "", "")
    asked: dict = {"workers": 0, "batch_size": 16}
    features.extract(backbone, source, folder / "one", **asked)
    devices = choose("8", 1, 16)
    many = backbone._replace(features=devices.everywhere(seen))
    features.extract(many, source, folder / "many", **asked, put=devices.rows)
    one, many = (features.open_store(folder / name)[:].x for name in ("one", "many"))
    return bool((one == many).all())


def heads_of(config: HeadConfig, words: str, folder: Path) -> dict:
    """Train and judge the heads of four decays."""
    devices = study.choose_devices(config, words, quiet=True)
    frozen, feed = study.load(config, devices)
    trained = heads.train(config, feed, frozen, folder, rate=0.02, quiet=True)
    judged = heads.judged(trained.wide, feed.still, 4, devices)
    found: dict = {"end": (trained.wide, trained.running, judged)}
    # The certificate divides by the decay what rounding leaves of a gradient.
    found["gap"] = heads.bounds(trained, feed)[1:]
    if devices is not None:
        found |= walked(config, feed, devices)
    return found


def walked(config: HeadConfig, feed: feeds.Feed, devices: Devices) -> dict:
    """Say what the compiled steps of the heads send and hold."""
    rule = heads.optimizer(config, 0.1, feed.steps)
    groups = heads.group(np.array(parse_decays(config.decays)), 0)
    state = heads._placed(heads._begin(config, groups, rule, 24, 5), devices)
    x, y, order = next(iter(feed.moving(0)))
    given = state.sweeps[0], logistic.nothing(4, 5), x, y, order, groups[0]
    plan = logistic.Plan(config.batch_size, config.order)
    run = heads._walker(rule, plan, state, devices)
    found = compiled(run, *given)
    heads_here = size(state.sweeps[0]) // devices.mesh.shape["networks"]
    kept = size((y, order)) + 4 * 4
    return found | {"share": size(x) // devices.count + heads_here, "kept": kept}


def judged() -> float:
    """Score a front on one device and on eight."""
    made, _ = CASES["losses"]
    phi, grid = jax.jit(made.conditioned.init)(KEY), prefs.grid(5, 2)
    one = score(made.conditioned, phi, grid, ROWS)
    devices = choose("8", K, B // K)
    given = devices.everywhere((phi, grid, ROWS))
    return off(devices.fetch(score(made.conditioned, *given, devices=devices)), one)


def main(folder: Path) -> None:
    """Do all of it."""
    found: dict = {"count": len(jax.devices())}
    for name in CASES:
        alone = front(name, "1")
        for words in ("8x1", "2x4") if name == "losses" else ("4x2",):
            many = front(name, words)
            many["off"] = off(many.pop("end"), alone["end"])
            found[f"{name} {words}"] = many
        alone.pop("end")
        found[f"{name} 1"] = alone
    alone = seeds("1", folder / "seeds 1")
    many = seeds("4x2", folder / "seeds 4x2")
    found["seeds 4x2"] = many | {"off": off(many.pop("end"), alone.pop("end"))}
    found["seeds 1"] = alone
    data = store(folder / "train", 1003), store(folder / "test", 301)
    for stream in (False, True):
        more = {"stream": stream, "decays": "0,1e-3,1e-2,1e-1", "epochs": 2}
        config = HeadConfig(*data, batch_size=64, start="uniform", **more)
        name = "stream" if stream else "heads"
        alone = heads_of(config, "1", folder / f"{name} 1")
        many = heads_of(config, "4x2", folder / f"{name} 4x2")
        many["off"] = off(many.pop("end"), alone["end"])
        found[f"{name} 4x2"] = many | {"gap": off(many["gap"], alone["gap"])}
    (folder / "stores").mkdir()
    found["extracted"] = extracted(folder / "stores")
    found["resumed"] = resumed(folder / "resumed")
    found["score"] = judged()
    print(json.dumps(found))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
