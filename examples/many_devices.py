# ---
# jupyter:
#   jupytext:
#     formats: py:percent
#   kernelspec:
#     display_name: Python 3
#     name: python3
# ---

# %% [markdown]
# # One front on many devices
#
# The preferences of a step do not need each other, and neither do the examples of its
# batch: both can be shared out among devices. What comes out is what one device finds,
# up to the rounding of sums. Here a CPU appears as four devices, so that this runs
# anywhere. These share the cores of one machine: it shows that results agree, and
# nothing of speed.
#
# JAX counts its devices once, when it first needs one, and how many a CPU appears as is
# read from the environment just then. So this cell comes before anything that computes.
# Flags that are there already stay.

# %%
import os

flags = os.environ.get("XLA_FLAGS", "")
if "--xla_force_host_platform_device_count" not in flags:
    flags = f"{flags} --xla_force_host_platform_device_count=4".strip()
os.environ["XLA_FLAGS"] = flags
os.environ.setdefault("JAX_PLATFORMS", "cpu")  # an accelerator may be a single device

import jax

if jax.device_count() < 4:
    raise SystemExit(
        f"this notebook needs 4 devices and JAX found {jax.device_count()}, as it was "
        "started before this cell or XLA_FLAGS asks for fewer: restart Python (the "
        "kernel) and run this cell first"
    )
print(*jax.devices())

# %%
import tempfile

import matplotlib.pyplot as plt
import numpy as np

from jaxpareto import configure, style, train_front
from jaxpareto.errors import UsageError
from jaxpareto.train import mesh, run

plt.rcParams.update(style.STYLE)

# %% [markdown]
# ## The same run, on one device and on four
# `devices="4x1"`: four devices share the preferences of a step, and each sees all the
# examples of its own. In the shell it is `jaxpareto front --devices 4x1`.

# %%
config = configure(
    data="multi-digits",
    conditioner_options="width=16,hidden=32,straight=0.25",
    epochs=10,
    train_pairs=4000,
    test_pairs=1000,
    warmup=20,
    checkpoint_every=10,
    eval_prefs=5,
)
networks = config.prefs_per_step
batch = config.batch_size // networks
print(f"{networks} preferences in a step, {batch} examples for each")

with tempfile.TemporaryDirectory() as folder:
    one, alone = train_front(config, f"{folder}/1", devices="1", quiet=True)
    four, shared = train_front(config, f"{folder}/4x1", devices="4x1", quiet=True)

print("preference   losses on 1 device (nats)   on 4")
table = alone["preferences"], alone["losses"], shared["losses"]
for pref, *both in zip(*table, strict=True):
    first, second = (f"{loss[0]:.4f}  {loss[1]:.4f}" for loss in both)
    print(f"{pref[0]:.2f}  {pref[1]:.2f}   {first}             {second}")

# %% [markdown]
# Numbers are added up in another order, and their last bits follow. The largest
# difference, in the weights of the hypernetwork and in the losses of the front:


# %%
def apart(these, those):
    """Return the largest difference of two pytrees of arrays."""
    pairs = zip(jax.tree.leaves(these), jax.tree.leaves(those), strict=True)
    return max(float(np.abs(np.subtract(a, b)).max()) for a, b in pairs)


weights = apart(one.phi, four.phi)
losses = apart(alone["losses"], shared["losses"])
print(f"weights {weights:.1e}, losses {losses:.1e} nats")
assert weights < 1e-3 and losses < 1e-3

# %% [markdown]
# ## P x B
# A mesh P x B is a grid of devices: its P rows share the preferences, and the B devices
# of a row share the examples that each preference sees. P must divide the preferences,
# and B the examples. `choose` reads these words for every command and refuses what does
# not fit; without words it takes as many devices as divide the work.

# %%
print("without words:", mesh.choose(None, networks, batch).about)
try:
    mesh.choose("3", networks, batch)
except UsageError as error:
    print(error)

# %% [markdown]
# So `--devices 2x2` means two halves of the preferences, and of each one's examples two
# halves again. This is which of the devices 0 to 3 has what of the batch of a step:

# %%
figure, panels = plt.subplots(
    1, 3, figsize=(6.0, 2.2), sharey=True, layout="constrained"
)
for axes, words in zip(panels, ("4x1", "2x2", "1x4"), strict=True):
    place = mesh.choose(words, networks, batch).at(mesh.NETWORKS, mesh.BATCH)
    owner = np.full((networks, batch), -1)
    parts = place.devices_indices_map(owner.shape)
    for i, cut in enumerate(parts.values()):
        owner[cut] = i
        row, column = np.argwhere(owner == i).mean(axis=0)
        axes.text(column, row, str(i), ha="center", va="center")
    axes.imshow(owner, cmap="Blues", vmin=-1, vmax=8, aspect="auto")
    axes.set(title=f"--devices {words}", xlabel="example of a preference")
panels[0].set_ylabel("preference of the step")
plt.show()

# %% [markdown]
# ## What lies where
# The images are cut in as many parts as there are devices, whatever P and B: no device
# holds the data set. The hypernetwork serves all preferences and is on every device. So
# more devices make room for more data, more preferences and larger batches, but not for
# a larger hypernetwork.

# %%
devices = mesh.choose("2x2", networks, batch)
images = run.load_data(config).train.images
placed = {"images": devices.rows(images), "phi": devices.everywhere(one.phi)}
for name, value in placed.items():
    leaves = jax.tree.leaves(value)
    print(f"{name}: {sum(x.nbytes for x in leaves):,} bytes")
    for i in range(devices.count):
        shards = [x.addressable_shards[i] for x in leaves]
        held = sum(shard.data.nbytes for shard in shards)
        print(f"    {shards[0].device}: {held:,}")
    print("    ", leaves[0].sharding.spec)

# %% [markdown]
# ## Further
# A checkpoint knows nothing of devices: `--resume` may go on with another number of
# them. Seeds, weight decays and features are shared out in the same words. Several
# processes, on one host or on many, run this very program with `--processes`; their
# devices form one mesh. How, with Slurm and Kubernetes, and what was measured, is in
# `docs/scaling.md`.
