# ---
# jupyter:
#   jupytext:
#     formats: py:percent
#   kernelspec:
#     display_name: Python 3
#     name: python3
# ---

# %% [markdown]
# # One network, every preference, several seeds
#
# Train once, then look at as many trade-offs as you like, choose one by numbers of your
# own, and see how much of it is luck of the seed. Training is a pure function of a key
# and a network a pure function of a preference, so both sweeps are a `vmap`.

# %%
from functools import partial

import jax
import jax.numpy as jnp
import matplotlib.pyplot as plt
import numpy as np

from jaxpareto import configure, metrics, prefs, style
from jaxpareto.train import Hparams, run, score, train

plt.rcParams.update(style.STYLE)

# %% [markdown]
# ## Words become functions
# Every setting of `jaxpareto front --help` has the same name here; what is left out
# takes the default that suits the data. `train_front(config, folder)` would do all of
# the command; here its pieces are put together by hand.

# %%
config = configure(
    data="multi-digits",
    conditioner_options="width=16,hidden=32,straight=0.25",
    epochs=5,
    train_pairs=12_000,
    test_pairs=2000,
    warmup=100,
)
tasks = run.load_data(config)
shape = run.Shape(tasks.train.images.shape[1:], tasks=2, classes=tasks.classes)
batches = run.make_batches(config, tasks)
recipe = run.make_recipe(config, shape, config.epochs * batches.steps)
print(batches.steps, "steps in each of", config.epochs, "epochs")

# %% [markdown]
# ## Three trainings as one program
# Over keys here; learning rates and weight decays (`Hparams`) work the same way.

# %%
learn = jax.vmap(partial(train, recipe, batches, config.epochs), (0, None, None))
keys = jax.vmap(jax.random.key)(jnp.arange(3))
states, history = jax.jit(learn)(keys, Hparams(config.learning_rate), batches.data)
print("objective of each seed, by epoch:", np.round(history.objective.mean(axis=2), 3))

# %% [markdown]
# ## 101 networks of each, on the whole test set
# One compiled call, whatever the number of preferences.

# %%
wishes = prefs.grid(101, 2)
sweep = jax.vmap(partial(score, recipe.conditioned), (0, None, None))
scores = sweep(states.phi, jnp.asarray(wishes), tasks.test)
scores = jax.tree.map(np.asarray, scores)
print("losses", scores.losses.shape, "accuracies", scores.accuracies.shape)

# %%
figure, axes = plt.subplots(figsize=(3.4, 2.8), layout="constrained")
colours = style.colours()
for losses, marker in zip(scores.losses, "o^s", strict=True):
    shown = colours.to_rgba(wishes[::5, 0])
    axes.scatter(*losses[::5].T, c=shown, s=12, marker=marker)
axes.set(xlabel="task 1, cross-entropy (nats)", ylabel="task 2, cross-entropy (nats)")
axes.set_title("three seeds")
figure.colorbar(colours, ax=axes, label="preference for task 1")
plt.show()

# %% [markdown]
# More points fill a front, and its hypervolume rises toward that of the whole curve.
# The seeds differ by more than that: a single one says little about a method.

# %%
volume = jax.jit(jax.vmap(metrics.hypervolume, (0, None)))
corner = jnp.full(2, 2.0)
for step in (50, 10, 1):
    found = np.asarray(volume(scores.losses[:, ::step], corner))
    print(f"{100 // step + 1:3d} preferences:", found.round(3))
print(f"mean {found.mean():.3f}, standard deviation {found.std(ddof=1):.3f}")

# %% [markdown]
# ## Choose
# On validation images, never on those that are reported: which network is best if both
# tasks count alike, and which if task 1 comes first but not at any price?

# %%
held = np.asarray(sweep(states.phi, jnp.asarray(wishes), tasks.validation).accuracies)
first, second = held[0].T  # of the first seed
reported = scores.accuracies[0]
good = first >= np.quantile(first, 0.8)
for name, at in {
    "best on average": np.argmax(first + second),
    "task 1 first": np.argmax(np.where(good, second, -1.0)),
}.items():
    print(f"{name}: preference {wishes[at]}, test accuracies {reported[at].round(3)}")

# %% [markdown]
# Caring more about a task makes that task better, for every seed.

# %%
assert (reported[-1, 0] > reported[0, 0]) and (reported[0, 1] > reported[-1, 1])
