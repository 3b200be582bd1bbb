"""Conditioned networks: one `phi`, and a network for every preference.

Here a target network and a hypernetwork meet, through a `Spec` of shapes alone; here a
network reads the preference as an input; and here stands the baseline, one network per
preference, under the same contract, so that one trainer and one evaluator serve all.

`CONDITIONERS` has them by name. A new one is a module with a method `flat` or `leaves`,
handed to `from_hypernetwork`.
"""

import dataclasses
from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from jaxpareto import hyper, tree
from jaxpareto.errors import UsageError, check_name
from jaxpareto.options import is_plain
from jaxpareto.types import Array, Conditioned, Key, Net, Params


def from_hypernetwork(net: Net, module: Any, spec: tree.Spec, m: int) -> Conditioned:
    """Let a hypernetwork make the weights of a target network.

    `params(phi, pref) = unravel(spec, module.flat(phi, pref))`

    Args:
      net: the target network.
      module: a linen module with a method `flat(pref) -> [>= n]`, or with a method
        `leaves(pref)` that lists the target's leaves.
      spec: shapes of the target's parameters, from `tree.spec_of`.
      m: number of objectives.

    >>> from jaxpareto.nets import mlp
    >>> net = mlp((6, 6), widths=(8,))
    >>> spec = tree.spec_of(net.init, jax.random.key(0))
    >>> module = hyper.Chunked(hyper.equal_slices(spec, 64))
    >>> conditioned = from_hypernetwork(net, module, spec, 2)
    >>> phi = jax.jit(conditioned.init)(jax.random.key(1))
    >>> params = jax.jit(conditioned.params)(phi, jnp.array([0.3, 0.7]))
    >>> params["hidden0"]["kernel"].shape
    (36, 8)
    """
    by_leaves = hasattr(type(module), "leaves")
    method = type(module).leaves if by_leaves else type(module).flat
    centre = jnp.full(m, 1.0 / m)

    def init(key: Key) -> Params:
        return module.init(key, centre, method=method)["params"]

    def params(phi: Params, pref: Array) -> Params:
        made = module.apply({"params": phi}, pref, method=method)
        if by_leaves:
            return jax.tree.unflatten(spec.treedef, made)
        return tree.unravel(spec, made[: spec.size])

    return Conditioned(init, params, net.apply, batchwise=net.batchwise)


def chunked(
    net: Net,
    m: int,
    key: Key,
    *,
    chunking: str = "equal",
    chunk_size: int = 1000,
    chunks: int | None = None,
    init: str = "direct",
    **options: Any,
) -> Conditioned:
    """Drive a target network by the chunked hypernetwork.

    Args:
      net: the target network.
      m: number of objectives.
      key: only measures the scale of the target's initial weights; consumed.
      chunking: `"equal"` slices of the flat vector, or one chunk per `"filter"`.
      chunk_size: length of the equal slices.
      chunks: how many equal slices; None is as few as hold the target.
      init: the size of generated weights, a name of `hyper.INITS`.
      options: further attributes of `hyper.Chunked`.

    Raises:
      UsageError: unknown chunking, or chunks that do not hold the target.
    """
    check_name(chunking, hyper.CHUNKINGS, "chunking")
    spec = _spec(net, key, init)
    if chunking == "equal":
        cut = hyper.equal_slices(spec, chunk_size, count=chunks)
    else:
        cut = hyper.per_filter(spec)
    return from_hypernetwork(net, hyper.Chunked(cut, **options), spec, m)


def generated(
    net: Net,
    m: int,
    key: Key,
    *,
    module: Callable[..., Any],
    init: str = "direct",
    **options: Any,
) -> Conditioned:
    """Drive a target network by a hypernetwork that is made from a `Spec`.

    Args:
      net: the target network.
      m: number of objectives.
      key: only measures the scale of the target's initial weights; consumed.
      module: a class of `hyper`, such as `hyper.Heads`.
      init: the size of generated weights, a name of `hyper.INITS`.
      options: further attributes of the module.

    Raises:
      UsageError: unknown initialisation, or whatever the module refuses.

    >>> from jaxpareto.nets import lenet
    >>> made = generated(lenet(), 2, jax.random.key(0), module=hyper.Heads)
    >>> tree.count(jax.eval_shape(made.init, jax.random.key(0)))
    3243410
    """
    spec = _spec(net, key, init)
    made = from_hypernetwork(net, module(spec, **options), spec, m)
    return made._replace(penalty=hyper.crowding if module is hyper.LowRank else None)


def concatenated(
    net: Net, m: int, key: Key, *, image_shape: tuple[int, int]
) -> Conditioned:
    """Show the preference to a network as m extra channels of its images.

    Args:
      net: a network whose images have 1 + m channels.
      m: number of objectives.
      key: not used.
      image_shape: (height, width) of the images.

    Source: Ruchte and Grabocka (2021), COSMOS.
    """
    del key
    planes = hyper.Planes(image_shape)
    centre = jnp.full(m, 1.0 / m)

    def init(key: Key) -> Params:
        own, drawing = jax.random.split(key)
        drawn = planes.init(drawing, centre)["params"]
        return {"network": net.init(own), "planes": drawn}

    def params(phi: Params, pref: Array) -> Params:
        drawn = planes.apply({"params": phi["planes"]}, pref)
        return {"network": phi["network"], "planes": drawn}

    def forward(params: Params, images: Array, *, key: Key | None = None) -> Array:
        images = images[..., None] if images.ndim == 3 else images
        drawn = params["planes"][None]
        drawn = jnp.broadcast_to(drawn, (images.shape[0], *drawn.shape[1:]))
        seen = jnp.concatenate([images, drawn], axis=-1)
        return net.apply(params["network"], seen, key=key)

    return Conditioned(init, params, forward, batchwise=net.batchwise)


def independent(net: Net, prefs: Array | np.ndarray) -> Conditioned:
    """Keep one network per preference: the baseline that a conditioned one must match.

    Asked for any preference, the network of the nearest of `prefs` answers. Train it
    with all k preferences on every batch; the mean over preferences then gives each
    network `1/k` of its own gradient, which Adam and RMSprop do not notice and plain
    SGD does (multiply its learning rate by k).

    Args:
      net: the target network.
      prefs: [k, m] on the simplex.

    Raises:
      UsageError: `prefs` is not a matrix.
    """
    prefs = np.asarray(prefs, np.float32)
    if prefs.ndim != 2:
        raise UsageError(f"expected preferences [k, m], found {prefs.shape}")

    def init(key: Key) -> Params:
        return jax.vmap(net.init)(jax.random.split(key, len(prefs)))

    def params(phi: Params, pref: Array) -> Params:
        distance = jnp.sum(jnp.square(prefs - pref[None]), axis=-1)
        nearest = jnp.argmin(distance)
        return jax.tree.map(partial(jnp.take, indices=nearest, axis=0), phi)

    return Conditioned(init, params, net.apply, batchwise=net.batchwise)


def _spec(net: Net, key: Key, init: str) -> tree.Spec:
    aim = hyper.INITS[check_name(init, hyper.INITS, "init")]
    return aim(tree.spec_of(net.init, key))


class Conditioner(NamedTuple):
    """A way to condition a network on a preference, by name.

    Attributes:
      make: `make(net, m, key, **options) -> Conditioned`.
      options: name -> default of what `make` takes.
      about: what it does, in a few words.
      source: authors and year.
      reads_pref: whether its network reads the preference, as m more channels.
    """

    make: Callable[..., Conditioned]
    options: dict[str, Any]
    about: str
    source: str
    reads_pref: bool = False


def _module(module: Any, about: str, source: str, **own: Any) -> Conditioner:
    """Make the entry of a module of `hyper` that is made from a `Spec`."""
    options = {"init": "direct"} | _attributes(module) | own
    return Conditioner(partial(generated, module=module), options, about, source)


def _chunked(about: str, source: str, **own: Any) -> Conditioner:
    options = {
        "chunking": "equal",
        "chunk_size": 1000,
        "chunks": None,
        "init": "direct",
    }
    options |= _attributes(hyper.Chunked) | own
    return Conditioner(chunked, options, about, source)


def _attributes(module: Any) -> dict[str, Any]:
    """List the attributes of a linen module that have plain defaults."""
    return {
        each.name: each.default
        for each in dataclasses.fields(module)
        if each.name not in ("parent", "name") and is_plain(each.default)
    }


CONDITIONERS: dict[str, Conditioner] = {
    "heads": _module(
        hyper.Heads, "dense heads make all weights", "Navon et al. (2021), PHN"
    ),
    "delta": _module(
        hyper.Heads,
        "a network, and small dense corrections",
        "as PHN, with a learned base",
        width=8,
        hidden=(32,),
        base=True,
    ),
    "chunked": _chunked("chunks, each with a projection", "Lin et al. (2020), CPMTL"),
    "chunked-phn": _chunked(
        "chunks that share one projection",
        "Navon et al. (2021), its ResNet",
        chunk_size=10_000,
        tables=1,
        width=100,
        offsets="none",
    ),
    "chunked-hmlp": _chunked(
        "the same, with biases and small embeddings",
        "von Oswald et al. (2020)",
        tables=1,
        width=100,
        hidden=(100,),
        pref_width=8,
        chunk_width=8,
        offsets="table",
        balance="embeddings",
        rectify=True,
    ),
    "sparse": _module(
        hyper.Sparse, "sparsely wired layers that grow", "Cubelier (2022)"
    ),
    "static": _module(
        hyper.Static, "one small network per kernel shape", "Ha, Dai and Le (2017)"
    ),
    "linear": _module(
        hyper.Linear, "a mixture of m networks", "Dimitriadis et al. (2023), PaMaL"
    ),
    "low-rank": _module(
        hyper.LowRank,
        "a network and m corrections of low rank",
        "Dimitriadis et al. (2025), PaLoRA",
    ),
    "film": _module(
        hyper.Film,
        "a network, its layers scaled and shifted",
        "Dosovitskiy, Djolonga (2020), YOTO",
    ),
    "input": Conditioner(
        concatenated,
        {},
        "the preference as more channels of the image",
        "Ruchte, Grabocka (2021), COSMOS",
        reads_pref=True,
    ),
    "independent": Conditioner(
        independent, {}, "one network for each preference", "the baseline"
    ),
}
"""Name -> `Conditioner`. `run.make_recipe` hands `input` and `independent` what they
need beside a network."""

PHN_RESNET: dict[str, dict[str, int]] = {
    size: {"chunk_size": 10_000 * projections, "chunks": chunks}
    for size, (chunks, projections) in {
        "11M": (105, 11),
        "5M": (230, 5),
        "2M": (577, 2),
        "1M": (1150, 1),
    }.items()
}
"""Options of `chunked-phn` that give Navon et al.'s hypernetworks for a ResNet-18."""
