# ---
# jupyter:
#   jupytext:
#     formats: py:percent
#   kernelspec:
#     display_name: Python 3
#     name: python3
# ---

# %% [markdown]
# # Weight decay: one for all, or one for each class?
#
# A network is frozen and a logistic head is fitted on its features. How strong should
# its weight decay be, does each class want another one, and how much of what classes
# seem to want is noise? The same study at its full size is `jaxpareto head`.

# %%
import jax
import jax.numpy as jnp
import matplotlib.pyplot as plt
import numpy as np

from jaxpareto import data, logistic, metrics, style
from jaxpareto.logistic import baselines

jax.config.update("jax_enable_x64", True)  # exact heads deserve exact arithmetic
plt.rcParams.update(style.STYLE)

# %% [markdown]
# ## Rows
# The embedded digits, 16 coarse pixels each. Some rows fit the heads, others choose the
# decay, and others again report.

# %%
frozen = data.load_frozen("digits")
pixels = np.concatenate([frozen.train.features, frozen.test.features])
labels = np.concatenate([frozen.train.labels, frozen.test.labels])
coarse = pixels.reshape(-1, 4, 2, 4, 2).mean(axis=(2, 4)).reshape(-1, 16).astype(float)
order = np.random.default_rng(0).permutation(len(labels))
parts = np.split(order, [300, 800])
fit, held, test = ((jnp.asarray(coarse[p]), jnp.asarray(labels[p])) for p in parts)
print("rows to fit, to choose, to report:", *map(len, parts))

# %% [markdown]
# ## Every decay, solved exactly
# The problem is convex: for each decay there is one best head, and a certificate says
# how far at most the one found is from it.

# %%
decays = jnp.logspace(-1, -6, 16)
solved = jax.jit(lambda: logistic.follow(*fit, decays, 10, tolerance=1e-8))()
print("largest gap:", float(jnp.max(solved.gap / solved.objective)))
judge = jax.jit(jax.vmap(logistic.mean_loss, (0, None, None)))
curves = {"fit": judge(solved.head, *fit), "held": judge(solved.head, *held)}
shared = int(jnp.argmin(curves["held"]))
print(f"best shared decay {decays[shared]:.1e}: {curves['held'][shared]:.4f} nats")

# %% [markdown]
# ## What each class would choose, and what that is worth
# `choices` bootstraps the held rows. `gain` is what a class wins by its favourite on
# the rows that it chose by; `split` is what it wins on rows that it did not.

# %%
answers = jax.vmap(logistic.logits, (0, None))(solved.head, held[0])
each_row = metrics.class_cross_entropy(answers, jnp.broadcast_to(held[1], (16, 500)))
chosen = metrics.choices(
    np.asarray(each_row)[::-1],  # decays rising
    np.asarray(held[1]),
    len(decays) - 1 - shared,
    np.log(np.asarray(decays))[::-1],
    draws=200,
)
print("favourites:", *[f"{decays[::-1][i]:.0e}" for i in chosen.choice])
print(f"gained on the rows that chose {np.mean(chosen.gain):+.4f} nats")
print(f"gained on rows that did not   {np.mean(chosen.split):+.4f} nats")
print(f"two halves agree in {np.mean(chosen.agreement):.0%} of cases")

# %%
figure, axes = plt.subplots(figsize=(3.6, 2.6), layout="constrained")
for (name, curve), marker in zip(curves.items(), "os", strict=True):
    axes.plot(decays, curve, marker=marker, markersize=3, label=f"rows to {name}")
axes.plot(decays[shared], curves["held"][shared], "k*", label="best shared decay")
axes.set(xscale="log", xlabel="weight decay", ylabel="cross-entropy (nats)")
axes.legend(frameon=False)
plt.show()

# %% [markdown]
# ## A decay for every class
# A decay of one class is nothing by itself: softmax couples the classes. So all ten are
# moved together, by the derivative of the held loss through the best head (`tune`). The
# obvious way, each class its own favourite, is `plug_in`.

# %%
start = jnp.full(10, decays[shared])
tuned = jax.jit(logistic.tune, static_argnames="steps")(
    *(*fit, *held, start), shrinkage=1e-3, steps=8
)
favourites = baselines.plug_in(decays, solved.head, *held)
plugged = logistic.solve(*fit, favourites, logistic.zeros(16, 10, float)).head
alone = jax.tree.map(lambda leaf: leaf[shared], solved.head)
for name, head in {
    "one shared decay": alone,
    "each class its favourite": plugged,
    "a decay per class, tuned": tuned.head,
}.items():
    everyone = logistic.mean_loss(head, *test)
    worst = jnp.max(logistic.class_losses(head, *test))
    print(f"{name:25s} test {everyone:.4f}   worst class {worst:.4f} nats")

# %% [markdown]
# One split of few rows proves nothing; over ten splits of the full digits the tuned
# decays lower the test cross-entropy by 5.2 ± 1.4 % (`experiments/class_decay.py`).

# %%
figure, axes = plt.subplots(figsize=(3.6, 2.2), layout="constrained")
axes.plot(tuned.decay, "o", label="tuned together")
axes.plot(favourites, "s", mfc="none", label="own favourite")
axes.axhline(float(decays[shared]), color="0.6", label="shared")
axes.set(yscale="log", xlabel="class", ylabel="weight decay", xticks=range(10))
axes.legend(frameon=False)
plt.show()
