"""A front of your own problem: any network, any arrays, any losses.

`fit_front` is what `jaxpareto front` does, with functions in place of names: the same
step, the same loop, the same evaluation.
"""

import inspect
import warnings
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import jax
import numpy as np
import optax

from jaxpareto import prefs, tree
from jaxpareto.conditioned import CONDITIONERS
from jaxpareto.data.batches import stored
from jaxpareto.errors import RunError, UsageError, check_name
from jaxpareto.options import spell
from jaxpareto.rules import RULES, rule_with_options
from jaxpareto.train import loop, optimizers, own_look, own_plan
from jaxpareto.train.microbatch import choose_microbatch
from jaxpareto.train.own_front import Losses, OwnFront, not_finite, split_of
from jaxpareto.train.own_plan import Plan
from jaxpareto.train.recipe import GRAM_OF, Hparams, Recipe, as_it_is
from jaxpareto.types import Conditioned, Key, Net, Sampler, Split, Weighting

_NAMES = tuple(name for name in CONDITIONERS if name not in ("input", "independent"))
_OPTIONS = {"heads": {"width": 32, "straight": 0.25}}  # as in the preset prism
_ELSEWHERE = {
    "input": "it draws the preference into images, and x reaches your network as it "
    "is; film is the nearest of the others, or write f(net, m, key) -> Conditioned",
    "independent": "it needs its preferences; give conditioner=lambda net, m, key: "
    "conditioned.independent(net, own), sampler=prefs.fixed(own), "
    "prefs_per_step=len(own) and split_batch=False",
}


def fit_front(
    net: Net,
    data: tuple[Any, Any],
    losses: Losses,
    *,
    conditioner: str | Callable[[Net, int, Key], Conditioned] = "heads",
    conditioner_options: Mapping[str, Any] | None = None,
    rule: str | Weighting = "linear",
    rule_options: Mapping[str, Any] | None = None,
    gram_of: str = "phi",
    sampler: str | Sampler = "dirichlet",
    alpha: float = 0.2,
    optimizer: str | optax.GradientTransformation = "adam",
    epochs: int = 40,
    batch_size: int = 64,
    prefs_per_step: int = 8,
    split_batch: bool = True,
    learning_rate: float = 5e-3,
    seed: int = 0,
    folder: str | Path | None = None,
    checkpoint_every: int | None = None,
    resume: bool = False,
    quiet: bool = False,
) -> OwnFront:
    """Learn a front of your own network, arrays and losses in one training run.

    Args:
      net: the target network: `Net(init, apply)` of your own, or one that
        `adapt.from_linen` or `adapt.from_nnx` made of a Flax module.
      data: (x, y), arrays or pytrees of arrays with one leading axis [n]. `x` reaches
        `net.apply` as it is, `y` reaches `losses`.
      losses: `f(outputs, y) -> [m]`, a mean per task over the examples it is given;
        smaller is better. It says how many tasks there are. On a CPU a large batch is
        judged in pieces, and what is no mean over examples depends on their size.
      conditioner: a name of `conditioned.CONDITIONERS` other than `"input"` and
        `"independent"`, or `f(net, m, key) -> Conditioned`.
      conditioner_options: of the named one (`jaxpareto front --list`); None is what
        suits.
      rule: a name of `rules.RULES`, or a `Weighting` made of a function by
        `rules.from_rule`, `from_scalarisation`, `from_solver` or `from_set`.
      rule_options: of the named one, as `{"mu": 0.1}` of `"stch"`.
      gram_of: whose gradients a gradient solver compares: `"phi"`, those of the whole
        family, or `"params"`, those of the generated network, which is cheaper.
      sampler: of preferences: a name of `prefs.SAMPLERS`, or `f(key, k, progress) ->
        [k, m]`, such as `prefs.fixed(own)`.
      alpha: concentration of `"dirichlet"`, which draws near the vertices below 1 and
        near the centre above; the other names do not use it.
      optimizer: a name of Optax that needs a learning rate alone, as `"adamw"`, or an
        optimiser made by it. A name's learning rate is warmed up over a tenth of the
        steps and then lowered along a cosine.
      epochs: times through the examples.
      batch_size: examples at every step, `b`; what is left over of an epoch waits for
        the next one.
      prefs_per_step: `k`, preferences at every step.
      split_batch: whether these share the batch, b/k examples each, or each see all.
      learning_rate: at the peak of a named optimiser's schedule.
      seed: decides everything random.
      folder: where to keep checkpoints and `metrics.jsonl`; None keeps nothing.
      checkpoint_every: epochs from one checkpoint to the next, a twentieth of all by
        default; a killed training loses what came after the last one.
      resume: continue what is in the folder; the functions must be the same, and their
        names, the settings and the arrays are compared.
      quiet: show no progress.

    Warns:
      UserWarning: a loss is a hundred times another at the start, or is no mean over
        examples.

    Returns:
      The front: `front(pref, x)`, `front.params(pref)`, `front.evaluate((x, y))`.

    Raises:
      UsageError: an unknown name, arrays that do not fit together, an input or a number
        out of its range, losses that are not [m], or a folder that holds another run.
      RunError: a loss is not finite, or a checkpoint cannot be read.

    >>> import jax.numpy as jnp
    >>> x = np.linspace(-1.0, 1.0, 64, dtype=np.float32)[:, None]
    >>> y = np.concatenate([x, -x], axis=1)  # two wishes that one line cannot grant
    >>> line = Net(
    ...     lambda key: {"slope": jax.random.normal(key, (1, 1))},
    ...     lambda params, x, *, key=None: x @ params["slope"],
    ... )
    >>> def losses(said, y):
    ...     return jnp.mean((said - y) ** 2, axis=0)
    >>> more = {"conditioner": "linear", "epochs": 60, "learning_rate": 0.1}
    >>> front = fit_front(line, (x, y), losses, batch_size=16, **more)
    >>> print(front.params([1.0, 0.0])["slope"].round(1))
    [[1.]]
    """
    kept = None if folder is None else Path(folder)
    if resume and kept is None:
        raise UsageError("resume=True continues what is in a folder; give folder=")
    if checkpoint_every is not None and checkpoint_every < 1:
        raise UsageError(
            f"checkpoint_every must be at least 1, found {checkpoint_every}"
        )
    split = split_of(data)
    m = _count_tasks(net, losses, split)
    weighting = _weigh(rule, rule_options)
    given = _conditioner_options(conditioner, conditioner_options)
    plan = Plan(
        epochs=epochs,
        batch_size=batch_size,
        prefs_per_step=prefs_per_step,
        split_batch=split_batch,
        learning_rate=learning_rate,
        seed=seed,
        m=m,
        n=len(jax.tree.leaves(split)[0]),
        x=own_plan.about_arrays(split.images),
        y=own_plan.about_arrays(split.labels),
        x_sum="" if kept is None else own_plan.checksum(split.images),
        y_sum="" if kept is None else own_plan.checksum(split.labels),
        network=own_plan.about(net.apply),
        parameters=tree.count(jax.eval_shape(net.init, jax.random.key(0))),
        losses=own_plan.about(losses),
        conditioner=_name(conditioner),
        conditioner_options=own_plan.about_options(given),
        rule=own_plan.about_rule(rule),
        rule_options=own_plan.about_options(rule_options),
        gram_of=check_name(gram_of, GRAM_OF, "gram_of"),
        sampler=_name(sampler) + f"({alpha})" * (sampler == "dirichlet"),
        optimizer=optimizer if isinstance(optimizer, str) else "one of your own",
    )
    batches = stored(split, batch_size)
    steps = epochs * batches.steps
    conditioned = _condition(net, m, conditioner, given, seed)
    example = jax.tree.map(
        lambda x: jax.ShapeDtypeStruct(x.shape[1:], x.dtype), split.images
    )
    recipe = Recipe(
        conditioned=conditioned,
        rule=weighting,
        sampler=_sample(sampler, m, prefs_per_step, alpha),
        optimizer=_optimize(optimizer, steps),
        prefs_per_step=prefs_per_step,
        split_batch=split_batch,
        losses=losses,
        gram_of=gram_of,
        steps=steps,
        inputs=as_it_is,
        microbatch=choose_microbatch(conditioned, m, example),
    )
    if kept is not None:
        own_plan.claim(kept, plan, resume=resume)
    for remark in own_look.remarks(net, losses, split, jax.random.key(seed)):
        warnings.warn(remark, stacklevel=2)
    try:
        fitted = loop.fit(
            recipe,
            batches,
            jax.random.key(seed),
            Hparams(learning_rate),
            kept,
            epochs=epochs,
            checkpoint_every=checkpoint_every or max(1, epochs // 20),
            quiet=quiet,
        )
    except loop.Diverged as error:
        raise RunError(f"{error.found}. {_remedy(split)}") from error
    phi = fitted.state.best
    return OwnFront(conditioned, phi, losses, plan, example, fitted.seconds, kept)


def _remedy(split: Split) -> str:
    """Say what may help where a loss is not finite."""
    if bad := not_finite(split.labels):
        return (
            f"y holds {bad} values that are no finite numbers: leave those examples "
            "out, or let losses pass over them"
        )
    return (
        "Start anew with a lower learning_rate, or an optimizer that clips gradients: "
        "optax.chain(optax.clip_by_global_norm(1.0), optax.adam(1e-3))"
    )


def _count_tasks(net: Net, losses: Losses, split: Split) -> int:
    """Ask the losses how many tasks there are, without computing any."""
    _check_net(net)
    params = jax.eval_shape(net.init, jax.random.key(0))
    outputs = jax.eval_shape(net.apply, params, split.images)
    found = jax.tree.map(np.shape, jax.eval_shape(losses, outputs, split.labels))
    if not isinstance(found, tuple) or len(found) != 1 or found[0] < 2:
        raise UsageError(
            "losses(outputs, y) must return one array [m], a mean for each of m >= 2 "
            f"tasks (jnp.stack makes one of several numbers); found {found}"
        )
    return found[0]


def _check_net(net: Any) -> None:
    """Refuse what is no target network, before JAX says so in its own words."""
    if not isinstance(net, Net):
        raise UsageError(
            f"net must be a {_path(Net)}, found {_path(type(net))}; "
            "adapt.from_linen and adapt.from_nnx make one of a Flax module, "
            "Net(init, apply) of functions"
        )
    takes = inspect.signature(net.apply).parameters.values()
    if not any(each.name == "key" or each.kind is each.VAR_KEYWORD for each in takes):
        raise UsageError(
            "net.apply takes no key; write apply(params, x, *, key=None): a key turns "
            "dropout on, and may be ignored"
        )


def _path(kind: type) -> str:
    return f"{kind.__module__}.{kind.__qualname__}"


def _name(given: Any) -> str:
    return given if isinstance(given, str) else own_plan.about(given)


def _options(given: Any, name: str, example: str) -> dict[str, Any]:
    """Refuse options that are no mapping."""
    if not isinstance(given, Mapping | None):
        raise UsageError(f"{name} must be a dict, as {example}, found {given!r}")
    return dict(given or {})


def _conditioner_options(conditioner: Any, given: Any) -> dict[str, Any]:
    """Check the options of a conditioner, and fill in what suits."""
    found = _options(given, "conditioner_options", '{"width": 16}')
    if not isinstance(conditioner, str):
        if not callable(conditioner):
            raise UsageError(
                "conditioner must be a name or f(net, m, key) -> Conditioned, found "
                f"{conditioner!r}"
            )
        if given is not None:
            raise UsageError("conditioner_options go with the name of a conditioner")
        return {}
    if conditioner in _ELSEWHERE:
        raise UsageError(
            f"conditioner {conditioner!r} is not offered here: "
            f"{_ELSEWHERE[conditioner]}"
        )
    known = CONDITIONERS[check_name(conditioner, _NAMES, "conditioner")].options
    for name in found:
        check_name(name, known, f"option of conditioner {conditioner}")
    return _OPTIONS.get(conditioner, {}) if given is None else found


def _condition(
    net: Net,
    m: int,
    conditioner: str | Callable[[Net, int, Key], Conditioned],
    options: Mapping[str, Any],
    seed: int,
) -> Conditioned:
    """Make the conditioned network of a name or of a function."""
    key = jax.random.key(seed)
    if not isinstance(conditioner, str):
        return conditioner(net, m, key)
    chosen = CONDITIONERS[conditioner]
    return chosen.make(net, m, key, **(chosen.options | dict(options)))


def _weigh(rule: str | Weighting, options: Any) -> Weighting:
    """Make the rule of a name and its options, or take the one that is given."""
    found = _options(options, "rule_options", '{"mu": 0.1}')
    if isinstance(rule, str):
        return rule_with_options(check_name(rule, RULES, "rule"), spell(found))
    if not isinstance(rule, Weighting):
        raise UsageError(
            "rule must be a name or a Weighting; make one of a function by "
            "rules.from_rule, from_scalarisation, from_solver or from_set"
        )
    if found:
        raise UsageError("rule_options go with the name of a rule")
    return rule


def _sample(sampler: str | Sampler, m: int, k: int, alpha: float) -> Sampler:
    """Make the sampler of a name, or take the one that is given."""
    if isinstance(sampler, str):
        check_name(sampler, prefs.SAMPLERS, "sampler")
        if not 0.0 < alpha < float("inf"):
            raise UsageError(f"alpha must be positive, found {alpha}")
        sampler = prefs.SAMPLERS[sampler](m, alpha)
    if not callable(sampler):
        raise UsageError(
            "sampler must be a name of prefs.SAMPLERS or f(key, k, progress) -> [k, m],"
            f" found {sampler!r}"
        )
    drawn = jax.eval_shape(lambda key: sampler(key, k, 0.0), jax.random.key(0))
    if drawn.shape != (k, m):
        raise UsageError(
            f"the sampler must answer {k} preferences of {m} tasks, [{k}, {m}]; found "
            f"{list(drawn.shape)}"
        )
    return sampler


def _optimize(
    optimizer: str | optax.GradientTransformation, steps: int
) -> Callable[[Hparams], optax.GradientTransformation]:
    """Make the optimiser of a name, or take the one that is given."""
    if isinstance(optimizer, str):
        return optimizers.optimizer(
            optimizer, "cosine", steps=steps, warmup=steps // 10
        )
    if not isinstance(optimizer, optax.GradientTransformation):
        raise UsageError(
            'optimizer must be a name, as "adamw", or one of Optax, as '
            f"optax.adam(1e-3), found {optimizer!r}"
        )
    return lambda _: optimizer
