# ---
# jupyter:
#   jupytext:
#     formats: py:percent
#   kernelspec:
#     display_name: Python 3
#     name: python3
# ---

# %% [markdown]
# # Rules, where the truth is known
#
# A weighting rule says how much each task counts at a preference. On a toy problem the
# true front is known, so one can see what a rule finds, what it misses and why.

# %%
import jax
import jax.numpy as jnp
import matplotlib.pyplot as plt
import numpy as np

from jaxpareto import data, metrics, prefs, problems, rules, simplex, style
from jaxpareto.train import Hparams, Recipe, optimizers, train
from jaxpareto.types import Conditioned, Split

plt.rcParams.update(style.STYLE)

# %% [markdown]
# ## A problem with a concave front
# Two losses of ten numbers. No weighted mean of the two has its minimum in the middle
# of this front, so the rule `linear` cannot find it, however long it trains.

# %%
problem = problems.PROBLEMS["vlmop2"]
print(f"{problem.m} losses of {problem.n} numbers")
print(f"hypervolume of the true front {problem.hypervolume:.4f}")

# %% [markdown]
# ## A network from a preference to the ten numbers
# `Conditioned` is the contract that everything trains through: `params` makes
# something of a preference, `forward` answers. Here `params` makes the ten numbers
# themselves, and the answer are their losses.

# %%
HIDDEN = 32


def init(key):
    """Draw a small network, its answers near the middle of the box."""
    first, last = jax.random.split(key)
    return {
        "first": jax.random.normal(first, (4, HIDDEN)) / 2.0,
        "last": jax.random.normal(last, (HIDDEN, problem.n)) * 0.01,
    }


def numbers(phi, pref):
    """Answer n free numbers for a preference [2]."""
    seen = jnp.concatenate([2 * pref - 1, jnp.sqrt(pref)])
    return jax.nn.silu(seen @ phi["first"]) @ phi["last"]


def answer(free, nothing, *, key=None):
    """Answer the problem's losses."""
    del nothing, key
    return problem.losses(problems.decode(problem, free))


network = Conditioned(init, numbers, answer)

# %% [markdown]
# ## Three rules, one training loop
# The weighted mean, another scalarisation (smooth Chebyshev, `stch`) and a gradient
# solver (`epo`). `jaxpareto front --list` has twenty more.

# %%
STEPS, K = 800, 16
nothing = Split(jnp.zeros((1, 1)), jnp.zeros((1, 1)))  # a toy has no data
batches = data.whole(nothing, steps=STEPS)
sampler = prefs.with_corners(prefs.SAMPLERS["stratified"](2, 1.0), 2)
adam = optimizers.optimizer("adam", "cosine", steps=STEPS, warmup=STEPS // 20)
asked = jnp.asarray(prefs.grid(201, 2))


def as_they_are(outputs, labels):
    """Take what the network answers for its losses."""
    del labels
    return outputs


def learn(rule):
    """Train with a rule, and return the losses [201, 2] of the learned front."""
    recipe = Recipe(
        *(network, rule, sampler, adam, K),
        losses=as_they_are,
        gram_of="params",
    )

    @jax.jit
    def run(key):
        state, _ = train(recipe, batches, 1, key, Hparams(1e-2), nothing)
        return jax.vmap(lambda pref: network.apply(state.phi, pref, None))(asked)

    return run(jax.random.key(0))


fronts = {name: learn(rules.RULES[name]) for name in ("linear", "stch")}
fronts["epo"] = learn(rules.rule_with_options("epo", "tolerance=1e-6"))

# %% [markdown]
# How far is each from the truth, and does it obey? `to_ray` says in which direction of
# the losses a preference asks to go.

# %%
rays = jax.vmap(simplex.to_ray)(asked)
for name, found in fronts.items():
    gap = problem.hypervolume - metrics.hypervolume(found, jnp.ones(2))
    angle = jnp.mean(jax.vmap(metrics.cross_angle)(found, rays))
    print(f"{name:7s} hypervolume missing {gap:.4f}, off its ray {angle:.2f} degrees")

# %%
figure, panels = plt.subplots(1, 3, figsize=(6, 2.1), sharey=True, layout="constrained")
truth, colours = problem.front(200), style.colours()
for axes, (name, found) in zip(panels, fronts.items(), strict=True):
    axes.plot(*truth.T, color="0.7", linewidth=4)
    shown = np.asarray(found)[::8]
    axes.scatter(*shown.T, c=colours.to_rgba(asked[::8, 0]), s=8, zorder=2)
    axes.set(title=name, xlabel="loss 1")
panels[0].set_ylabel("loss 2")
figure.colorbar(colours, ax=panels, label="preference for loss 1")
plt.show()

# %% [markdown]
# `linear` jumps from one end to the other: what it shows in between is the network's
# own interpolation. The other two cover the front; `epo` follows its rays more closely.

# %%
volume = {name: metrics.hypervolume(f, jnp.ones(2)) for name, f in fronts.items()}
assert all(volume[name] > volume["linear"] for name in ("stch", "epo"))

# %% [markdown]
# ## One of your own
# A scalarisation is a formula of losses and preference; its gradient in the losses are
# the weights. The weighted sum of squares, written down and compared:


# %%
def squares(losses, pref):
    """Sum the squares, weighted: it bends toward the middle of a concave front."""
    return jnp.sum(pref * jnp.square(losses))


mine = learn(rules.from_scalarisation(squares))
gap = problem.hypervolume - metrics.hypervolume(mine, jnp.ones(2))
print(f"squares hypervolume missing {gap:.4f}")
