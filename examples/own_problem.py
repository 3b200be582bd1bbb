# ---
# jupyter:
#   jupytext:
#     formats: py:percent
#   kernelspec:
#     display_name: Python 3
#     name: python3
# ---

# %% [markdown]
# # Your own problem
#
# Your network, your arrays, your losses: `jaxpareto.fit_front` learns a network for
# every trade-off between them in one training run. Here one small Flax network sees the
# upper half of a digit and has to do two things that do not go together: name the
# digit, and draw its lower half. Then a third task joins in.

# %%
import jax
import jax.numpy as jnp
import matplotlib.pyplot as plt
import numpy as np
from flax import linen, nnx

from jaxpareto import adapt, data, fit_front, metrics, rules, style

plt.rcParams.update(style.STYLE)

# %% [markdown]
# ## Arrays
# `x` is what the network reads and `y` what the losses read: arrays, or any pytree of
# arrays, with the examples along the first axis. They arrive as they are: nothing is
# scaled or shuffled behind your back (but each epoch goes through them in a new order).

# %%
source = data.load_source("digits")


def arrays(images, labels):
    """Cut each digit in two: the upper half to see, the lower half to draw."""
    halves = images.reshape(-1, 2, 32).astype(np.float32) / 255.0
    return halves[:, 0], {"digit": labels.astype(np.int32), "below": halves[:, 1]}


images = np.concatenate([source.train_images, source.test_images])
labels = np.concatenate([source.train_labels, source.test_labels])
order = np.random.default_rng(0).permutation(len(labels))
train, test = (arrays(images[p], labels[p]) for p in np.split(order, [1300]))
print("x", train[0].shape, "y", {name: each.shape for name, each in train[1].items()})

# %% [markdown]
# ## A network
# Any Flax module, here of linen. What it answers is yours to choose; only your losses
# read it. Eight units in the middle are too few to serve both tasks well.


# %%
class Network(linen.Module):
    """Eight shared units, and an answer for each task."""

    @linen.compact
    def __call__(self, x):
        shared = linen.relu(linen.Dense(8)(x))
        return {"digit": linen.Dense(10)(shared), "below": linen.Dense(32)(shared)}


net = adapt.from_linen(Network(), train[0][:1])

# %% [markdown]
# ## Losses
# One function answers all m of them, each a mean over the examples that it is given: a
# classification in nats beside a regression in squared grey levels. Their sizes need
# not match, but where one is a hundred times the other, so is its gradient: bring them
# to about one size, as the factor 10 does here.


# %%
def losses(said, y):
    """Return both tasks' mean losses, [2]."""
    surprise = metrics.class_cross_entropy(said["digit"], y["digit"])
    error = metrics.squared_error(said["below"], y["below"])
    return jnp.stack([jnp.mean(surprise), 10.0 * jnp.mean(error)])


# %% [markdown]
# ## The front

# %%
settings = {"epochs": 12, "batch_size": 32, "learning_rate": 0.01, "quiet": True}
front = fit_front(net, train, losses, **settings)
found = front.evaluate(test, 11, reference=[2.0, 1.0])
for pref, loss in zip(found["preferences"], found["losses"], strict=True):
    print(
        f"preference {pref[0]:.1f} {pref[1]:.1f}   losses {loss[0]:.3f} {loss[1]:.3f}"
    )
print(f"hypervolume {found['hypervolume']:.3f}, {found['parameters']}")

# %% [markdown]
# Caring more about a task makes that task better.

# %%
ends = np.array(found["losses"])
assert ends[-1, 0] < ends[0, 0] and ends[0, 1] < ends[-1, 1]

# %%
figure, axes = plt.subplots(figsize=(3.4, 2.8), layout="constrained")
colours = style.colours()
wishes = np.array(found["preferences"])[:, 0]
axes.scatter(*ends.T, c=colours.to_rgba(wishes), s=14)
axes.set(xlabel="which digit (nats)", ylabel="lower half (10 x squared grey)")
figure.colorbar(colours, ax=axes, label="preference for the digit")
plt.show()

# %% [markdown]
# `front.params(pref)` are the weights of one of your networks, for your own code to
# use; `front(pref, x)` answers at once.

# %%
params = front.params([0.5, 0.5])
print(jax.tree.map(jnp.shape, params))
below = front([0.0, 1.0], test[0][:5])["below"]
print("five lower halves", below.shape)

# %% [markdown]
# ## Three tasks, NNX, and a rule of your own
# A third loss is one more number. Which of the two Flax interfaces a network is written
# in makes no difference. And how the tasks are weighed at a preference is a function of
# losses, Gramian and preference: this one weighs a task by its loss as well, so that
# what is bad gets more attention. (`needs_gram=True` would hand it the inner products
# of the task gradients.)


# %%
class Three(nnx.Module):
    """The same with NNX, and is the digit odd?"""

    def __init__(self, rngs):
        self.shared = nnx.Linear(32, 8, rngs=rngs)
        self.digit = nnx.Linear(8, 10, rngs=rngs)
        self.below = nnx.Linear(8, 32, rngs=rngs)
        self.odd = nnx.Linear(8, 1, rngs=rngs)

    def __call__(self, x):
        shared = nnx.relu(self.shared(x))
        answers = {"digit": self.digit(shared), "below": self.below(shared)}
        return answers | {"odd": self.odd(shared)}


def three_losses(said, y):
    """Return the mean losses of all three, [3]."""
    odd = (y["digit"] % 2).astype(float)[:, None]
    surprise = jnp.mean(metrics.binary_cross_entropy(said["odd"], odd))
    return jnp.append(losses(said, y), surprise)


def attentive(losses, gram, pref):
    """Weigh what is still bad more."""
    del gram
    return 3 * pref * losses / jnp.sum(losses)


front = fit_front(
    adapt.from_nnx(Three),
    train,
    three_losses,
    conditioner="linear",
    rule=rules.from_rule(attentive),
    **settings,
)
found = front.evaluate(test, 15)
for pref, loss in zip(found["preferences"], found["losses"], strict=True):
    if max(pref) == 1.0:
        print("preference", pref, "losses", np.round(loss, 3))
print(f"{found['nondominated']} of {len(found['losses'])} non-dominated")
