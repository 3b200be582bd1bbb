# ---
# jupyter:
#   jupytext:
#     formats: py:percent
#   kernelspec:
#     display_name: Python 3
#     name: python3
# ---

# %% [markdown]
# # A Pareto front by hand
#
# Two digits on one canvas, two tasks, one small network that cannot serve both well.
# We train *one* hypernetwork and get a network for every trade-off: in a dozen cells,
# from single functions of `jaxpareto`.

# %%
import jax
import jax.numpy as jnp
import numpy as np
import optax

from jaxpareto import data, hyper, metrics, nets, tree

# %% [markdown]
# ## Data
# Composed from scikit-learn's digits, which ship with the package.

# %%
tasks = data.load_tasks("multi-digits", train_pairs=8000, test_pairs=4000)
images, labels = tasks.train.images / 255.0, tasks.train.labels
print("images", images.shape, "labels", labels.shape)

# %% [markdown]
# ## The target network, and what its parameters look like
# A network is two pure functions. Its `spec` is all that a hypernetwork needs to know.

# %%
net = nets.mlp((12, 12), widths=(32,))
spec = tree.spec_of(net.init, jax.random.key(0))
print(f"{spec.size:,} parameters in {len(spec.shapes)} tensors:", *spec.paths)

# %% [markdown]
# ## The hypernetwork: (preference, chunk id) -> one chunk of those parameters

# %%
cut = hyper.equal_slices(spec, 500)
module = hyper.Chunked(cut, width=16)
centre = jnp.array([0.5, 0.5])
phi = module.init(jax.random.key(1), centre, method="flat")["params"]
one = module.apply({"params": phi}, centre, chunk_id=3)
print(f"{cut.count} chunks of {one.shape[0]}; {tree.count(phi):,} parameters make them")

# %% [markdown]
# `vmap` over chunk ids gives all of them; cut to the spec they are the network.


# %%
def network(phi, pref):
    """Return the target's parameter pytree for a preference."""

    def chunk(chunk_id):
        return module.apply({"params": phi}, pref, chunk_id)

    chunks = jax.vmap(chunk)(jnp.arange(cut.count))
    return tree.unravel(spec, chunks.reshape(-1)[: spec.size])


print(jax.tree.map(jnp.shape, network(phi, centre)))


# %% [markdown]
# ## The gradient that the source report could not find
# The loss of the target network, differentiated in the *hyper*network: `jax.grad`
# through two pure functions.


# %%
def losses(phi, pref, images, labels):
    """Return both tasks' mean cross-entropy, [2]."""
    logits = net.apply(network(phi, pref), images)
    return metrics.cross_entropy(logits, labels).mean(axis=0)


def objective(phi, prefs, images, labels):
    """Return the weighted loss, averaged over preferences that share the batch."""
    images = images.reshape(len(prefs), -1, *images.shape[1:])
    labels = labels.reshape(len(prefs), -1, 2)
    each = jax.vmap(losses, (None, 0, 0, 0))(phi, prefs, images, labels)
    return jnp.mean(jnp.sum(prefs * each, axis=1))


# %% [markdown]
# ## One step, then all of them in one compiled scan

# %%
steps, batch, k = 800, 128, 4
optimizer = optax.adam(optax.cosine_decay_schedule(3e-3, steps))


def step(carry, key):
    """Draw a batch and k preferences, follow the gradient."""
    phi, state = carry
    batch_key, pref_key = jax.random.split(key)
    chosen = jax.random.randint(batch_key, (batch,), 0, len(images))
    prefs = jax.random.dirichlet(pref_key, jnp.ones(2), (k,))
    value, gradient = jax.value_and_grad(objective)(
        phi, prefs, images[chosen], labels[chosen]
    )
    updates, state = optimizer.update(gradient, state)
    return (optax.apply_updates(phi, updates), state), value


keys = jax.random.split(jax.random.key(2), steps)
(phi, _), history = jax.jit(lambda c, k: jax.lax.scan(step, c, k))(
    (phi, optimizer.init(phi)), keys
)
print(f"loss {history[:20].mean():.3f} -> {history[-20:].mean():.3f}")

# %% [markdown]
# ## The front: `vmap` over preferences
# Eleven networks on the whole test set, in one call.

# %%
first = jnp.linspace(0.0, 1.0, 11)
prefs = jnp.stack([first, 1 - first], axis=1)
test = tasks.test.images / 255.0
front = jax.jit(jax.vmap(losses, (None, 0, None, None)))(
    phi, prefs, test, tasks.test.labels
)
for pref, loss in zip(prefs, front, strict=True):
    print("preference", np.round(pref, 1), "losses", np.round(loss, 3))
print("hypervolume", metrics.hypervolume(front, jnp.array([2.5, 2.5])))

# %% [markdown]
# Caring more about a task makes that task better: that is the whole point.

# %%
assert front[-1, 0] < front[0, 0] and front[0, 1] < front[-1, 1]

# %%
import matplotlib.pyplot as plt

figure, axes = plt.subplots(figsize=(4, 4))
dots = axes.scatter(front[:, 0], front[:, 1], c=prefs[:, 0], cmap="viridis")
axes.set(xlabel="task 1, cross-entropy (nats)", ylabel="task 2, cross-entropy (nats)")
figure.colorbar(dots, label="preference for task 1")
plt.show()
