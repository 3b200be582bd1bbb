"""A run: from a `Config` to a folder on disk, and from the folder back to networks."""

import dataclasses
import sys
import time
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxpareto import data as datasets
from jaxpareto import prefs, tree
from jaxpareto.conditioned import CONDITIONERS, independent
from jaxpareto.errors import RunError, UsageError, check_name
from jaxpareto.nets import NETWORKS
from jaxpareto.train import folder as folders
from jaxpareto.train import loop, mesh, optimizers, stopping
from jaxpareto.train.checkpoint import Checkpoints
from jaxpareto.train.config import Config, configure
from jaxpareto.train.evaluate import score, summarise
from jaxpareto.train.log import write_json
from jaxpareto.train.mesh import Devices
from jaxpareto.train.microbatch import choose_microbatch
from jaxpareto.train.processes import speaks
from jaxpareto.train.recipe import Hparams, Recipe
from jaxpareto.train.step import init
from jaxpareto.types import Array, Conditioned, Net, Params, Tasks

SPLITS = ("test", "validation")


@dataclass(frozen=True)
class Shape:
    """What a run's networks read and answer.

    Attributes:
      image: (height, width).
      tasks: `m`.
      classes: `c`.
    """

    image: tuple[int, int]
    tasks: int
    classes: int


@dataclass(frozen=True, repr=False)
class Front:
    """A trained family of networks: one for every preference.

    Attributes:
      folder: of the run.
      config: of the run.
      shape: of images and answers.
      conditioned: the network.
      phi: its parameters.
      epoch: how many epochs the run has done.
      best_epoch: with early stopping, the one after which these were its parameters,
        best on validation; else None, and they are the last ones.
      stopped: whether patience ran out.
    """

    folder: Path
    config: Config
    shape: Shape
    conditioned: Conditioned
    phi: Params
    epoch: int
    best_epoch: int | None = None
    stopped: bool = False

    def __repr__(self) -> str:
        """Say in a line what this is; the weights are in `phi`."""
        config, count = self.config, self.shape.tasks
        return (
            f"Front({config.conditioner} x {config.rule} on {config.data}, "
            f"{config.network}, {count} tasks, {self.epoch} of {config.epochs} epochs, "
            f"in {self.folder})"
        )

    @property
    def finished(self) -> bool:
        """Whether no epoch is left to train."""
        return self.stopped or self.epoch >= self.config.epochs

    @cached_property
    def _params(self):
        return jax.jit(self.conditioned.params)

    @cached_property
    def _apply(self):
        return jax.jit(self.conditioned.apply)

    def params(self, pref: Any) -> Params:
        """Generate the target network's parameters for a preference.

        Args:
          pref: m non-negative numbers that sum to one.

        Returns:
          The pytree that the target network's `apply` takes.

        Raises:
          UsageError: `pref` is not on the simplex, or of the wrong length.
        """
        return self._params(self.phi, prefs.check_pref(pref, self.shape.tasks))

    def __call__(self, pref: Any, images: Any) -> Array:
        """Answer for a preference.

        Args:
          pref: m non-negative numbers that sum to one.
          images: [b, h, w] as the data set gives them: 0 to 255, in integers or floats.
            Floats that are all within [0, 1] are taken as already scaled.

        Returns:
          Logits [b, m, c].

        Raises:
          UsageError: a bad preference, or images of another shape than the run's.
        """
        images = np.asarray(images)
        if images.ndim != 3 or images.shape[1:] != tuple(self.shape.image):
            height, width = self.shape.image
            raise UsageError(
                f"expected images [b, {height}, {width}], found {images.shape}"
            )
        scaled = images.astype(np.float32)
        if images.dtype.kind in "iu" or scaled.max(initial=0.0) > 1.0:
            scaled = scaled / np.float32(255.0)
        pref = prefs.check_pref(pref, self.shape.tasks)
        return self._apply(self.phi, pref, scaled)

    def prefs(self, k: Any = None) -> np.ndarray:
        """Return the preferences to evaluate: k on a grid, or the independents' own.

        Or, where `k` is preferences [k, m] and no number, those, once they are checked.
        """
        m = self.shape.tasks
        if np.ndim(k):
            return np.stack([prefs.check_pref(pref, m) for pref in k])
        return asked_prefs(self.config, self.config.eval_prefs if k is None else k, m)

    def trained_pref(self, pref: Any) -> np.ndarray:
        """Return the preference [m] that the network which answers was trained for.

        It is `pref` itself, but for independent networks the nearest of their own.

        Raises:
          UsageError: `pref` is not on the simplex, or of the wrong length.
        """
        pref = prefs.check_pref(pref, self.shape.tasks)
        if self.config.conditioner != "independent":
            return pref
        # Preferences in the place of networks: the same choice, whatever it is.
        return np.asarray(self._params(self.prefs(), pref))

    def evaluate(
        self,
        k: Any = None,
        *,
        split: str = "test",
        tasks: Tasks | None = None,
        data_dir: str | None = None,
        devices: Devices | None = None,
    ) -> dict[str, Any]:
        """Evaluate the front, in the words of `front.json`.

        Args:
          k: how many preferences, by default `config.eval_prefs`; or preferences
            [k, m].
          split: `"test"`, or `"validation"` to choose settings by.
          tasks: the run's data, if at hand; else they are loaded.
          data_dir: where to load them from.
          devices: to share the work.

        Raises:
          UsageError: unknown split, too few preferences, or one that is none.
          RunError: the data cannot be loaded.
        """
        check_name(split, SPLITS, "split")
        tasks = tasks or load_data(self.config, data_dir)
        asked = self.prefs(k)
        began = time.perf_counter()
        given = self.phi, jnp.asarray(asked), getattr(tasks, split)
        given = jax.device_put(given) if devices is None else devices.everywhere(given)
        scores = score(self.conditioned, *given, devices=devices)
        scores = jax.tree.map(np.asarray, scores)
        spent = time.perf_counter() - began
        config = self.config
        return {
            "schema": 1,
            "data": config.data,
            "split": split,
            **summarise(jnp.asarray(asked), scores),
            "seconds_training": None,
            "seconds_evaluation": round(spent, 3),
            "examples": len(given[2].images),
            "network": config.network,
            "conditioner": config.conditioner,
            "rule": config.rule,
            "seed": config.seed,
            "epochs": self.epoch,
            "best_epoch": self.best_epoch,
            "parameters": self.counts(),
        }

    def counts(self) -> dict[str, int]:
        """Count the parameters of the target network and of the whole family."""
        pref = jnp.full(self.shape.tasks, 1.0 / self.shape.tasks)
        target = jax.eval_shape(self.conditioned.params, self.phi, pref)
        return {"target": tree.count(target), "conditioned": tree.count(self.phi)}


def independent_prefs(k: int, m: int) -> np.ndarray:
    """Choose the preferences of k independent networks, [k', m] with k' <= k.

    For two tasks evenly inside the simplex, so that nine are 0.1, 0.2, ... 0.9 as in
    the source report; for more tasks the evaluation grid.

    >>> independent_prefs(9, 2)[0].tolist() == [np.float32(0.1), np.float32(0.9)]
    True
    """
    if m > 2:
        return np.asarray(prefs.grid(k, m))
    first = np.arange(1, k + 1, dtype=np.float32) / np.float32(k + 1)
    return np.stack([first, 1 - first], axis=1)


def asked_prefs(config: Config, k: int, m: int) -> np.ndarray:
    """Choose where to evaluate: on a grid of k, or at the independents' own."""
    if config.conditioner == "independent":
        return independent_prefs(config.prefs_per_step, m)
    return np.asarray(prefs.grid(k, m))


def load_data(config: Config, data_dir: str | None = None) -> Tasks:
    """Load and compose the data of a run."""
    return datasets.load_tasks(
        config.data,
        data_dir=data_dir,
        layout=config.layout,
        train_pairs=config.train_pairs,
        test_pairs=config.test_pairs,
        validation=config.validation,
        seed=config.data_seed,
        tasks=config.tasks,
    )


def make_recipe(config: Config, shape: Shape, steps: int) -> Recipe:
    """Turn words into functions: network, conditioner, rule, sampler, optimiser.

    Args:
      config: of the run.
      shape: of its images and answers.
      steps: of the whole training, for the schedule.
    """
    m = shape.tasks
    if config.conditioner == "independent":
        own = independent_prefs(config.prefs_per_step, m)
        sampler = prefs.fixed(own)
    else:
        sampler = prefs.SAMPLERS[config.sampler](m, config.alpha)
    conditioned = make_conditioned(config, shape)
    image = jax.ShapeDtypeStruct(shape.image, jnp.float32)
    return Recipe(
        conditioned=conditioned,
        rule=config.weighting(),
        sampler=sampler,
        optimizer=optimizers.optimizer(
            config.optimizer,
            config.schedule,
            steps=steps,
            warmup=config.warmup,
            clip=config.clip or None,
            base_until=config.base_until,
            rest_rate=config.rest_rate,
        ),
        prefs_per_step=config.prefs_per_step,
        split_batch=config.split_batch,
        gram_of=config.gram_of,
        steps=steps,
        penalty=config.penalty,
        average=config.average,
        microbatch=choose_microbatch(conditioned, m, image),
    )


def make_net(config: Config, shape: Shape) -> Net:
    """Make the target network that a configuration names."""
    more = shape.tasks if CONDITIONERS[config.conditioner].reads_pref else 0
    return NETWORKS[config.network](
        shape.image, tasks=shape.tasks, classes=shape.classes, channels=1 + more
    )


def make_conditioned(config: Config, shape: Shape) -> Conditioned:
    """Make the conditioned network that a configuration names."""
    m, conditioner = shape.tasks, CONDITIONERS[config.conditioner]
    net = make_net(config, shape)
    key = jax.random.key(config.seed)
    settings = config.conditioner_settings()
    if config.conditioner == "independent":
        made = independent(net, independent_prefs(config.prefs_per_step, m))
    elif conditioner.reads_pref:
        made = conditioner.make(net, m, key, image_shape=shape.image, **settings)
    else:
        made = conditioner.make(net, m, key, **settings)
    # Traced, not run: it says what it refuses.
    _check_parts(config, made, jax.eval_shape(made.init, key))
    return made


def _check_parts(config: Config, made: Conditioned, phi: Params) -> None:
    """Refuse settings of parts that this conditioner does not have."""
    what = f"--conditioner {config.conditioner}"
    if config.penalty and made.penalty is None:
        raise UsageError(
            f"--penalty {config.penalty:g}: {what} has no penalty of its own"
        )
    parted = config.base_until < 1.0 or config.rest_rate != 1.0
    if parted and not any(name.startswith("base") for name in phi):
        raise UsageError(f"--base-until and --rest-rate: {what} has no base network")


def hparams(config: Config) -> Hparams:
    """Pick the numbers of a configuration that are traced."""
    return Hparams(config.learning_rate, config.weight_decay)


def train_front(
    config: Config,
    folder: str | Path,
    *,
    data_dir: str | None = None,
    resume: bool = False,
    tensorboard: bool = False,
    quiet: bool = False,
    devices: str | None = None,
) -> tuple[Front, dict[str, Any]]:
    """Train a front, evaluate it on the test set, and keep all of it in a folder.

    Args:
      config: of the run.
      folder: a new or empty folder; with `resume` also one that holds this very run.
      data_dir: folder of the source images; else `JAXPARETO_DATA`.
      resume: continue from the newest checkpoint.
      tensorboard: also write `tensorboard/`.
      quiet: show no progress.
      devices: how many, as `8`, or preferences x batch, as `4x2`; None for all.

    Returns:
      The front, and what `front.json` holds.

    Raises:
      UsageError: the folder holds something else, or a different configuration.
      RunError: the data cannot be loaded, or the loss is not finite.
    """
    folder = Path(folder)
    folders.check_folder(
        folder, config, resume=resume, read=lambda path: read_config(path)[0]
    )
    tasks = load_data(config, data_dir)
    height, width = tasks.train.images.shape[1:]
    shape = Shape((height, width), tasks.train.labels.shape[1], tasks.classes)
    batches = make_batches(config, tasks)
    recipe = make_recipe(config, shape, config.epochs * batches.steps)
    placed = choose_devices(config, devices, quiet=quiet)
    folders.write_config(
        folder, config, shape=dataclasses.asdict(shape), data_dir=data_dir
    )
    # Few preferences: enough to compare settings, a small part of an epoch's time.
    few = jnp.asarray(asked_prefs(config, max(5, shape.tasks), shape.tasks))
    held = (few, tasks.validation)
    held = held if placed is None else placed.everywhere(held)

    def validate(phi: Params) -> dict[str, Any]:
        scores = score(recipe.conditioned, phi, *held, devices=placed)
        found = summarise(few, jax.tree.map(np.asarray, scores))
        accuracy = np.mean(found["accuracies"], axis=1)
        return {
            "hypervolume": found["hypervolume"],
            "best_accuracy": float(accuracy.max()),
        }

    fitted = loop.fit(
        recipe,
        batches,
        jax.random.key(config.seed),
        hparams(config),
        folder,
        epochs=config.epochs,
        checkpoint_every=config.checkpoint_every,
        validate=validate,
        patience=config.patience,
        min_delta=config.min_delta,
        tensorboard=tensorboard,
        quiet=quiet,
        devices=placed,
    )
    phi, ended = stopping.ending(fitted.state, fitted.watched, config.patience)
    phi = phi if placed is None else placed.fetch(phi)
    front = Front(folder, config, shape, recipe.conditioned, phi, fitted.epoch, **ended)
    if ended and speaks() and not quiet:
        _say_best(front)
    found = front.evaluate(tasks=tasks, devices=placed)
    found["seconds_training"] = round(fitted.seconds, 3)
    write_json(folder / "front.json", found)
    return front, found


def _say_best(front: Front) -> None:
    """Say why a run with early stopping ended, and which epoch it ended with."""
    why = "patience ran out" if front.stopped else "trained to the end"
    best = f"best on validation, and kept: epoch {front.best_epoch}"
    print(f"{why} after epoch {front.epoch}; {best}", file=sys.stderr)


def choose_devices(
    config: Config, words: str | None, *, seeds: int = 0, quiet: bool = False
) -> Devices | None:
    """Choose the devices of a run, or of so many seeds of it at once.

    Args:
      config: of the run.
      words: `--devices`, as `train_front` takes them.
      seeds: how many are trained at once, and shared out in place of preferences.
      quiet: do not say which are taken.

    Raises:
      UsageError: as `mesh.choose`.
    """
    k, b = config.prefs_per_step, config.batch_size
    of_each = b // k if config.split_batch else b
    networks, what = (seeds, "seeds") if seeds else (k, "preferences")
    devices = mesh.choose(words, networks, of_each, what=what)
    if devices is not None and speaks() and not quiet:
        print(f"devices: {devices.about} ({what} x batch)", file=sys.stderr)
    return devices


def load(path: str | Path) -> Front:
    """Load a finished or interrupted run.

    Args:
      path: the run's folder.

    Raises:
      UsageError: the folder holds no run.
      RunError: the run has no checkpoint yet, or a file of it is damaged.
    """
    folder = Path(path)
    config, shape = read_config(folder)
    recipe = make_recipe(config, shape, steps=1)
    state = jax.eval_shape(
        partial(init, recipe), jax.random.key(config.seed), hparams(config)
    )
    watched = jax.eval_shape(stopping.begin, state.best) if config.patience else None
    checkpoints = Checkpoints(folder / "checkpoints", create=False)
    try:
        epoch, state, watched = stopping.restore(checkpoints, state, watched)
    finally:
        checkpoints.close()
    if not epoch:
        raise RunError(
            f"{folder} has no checkpoint yet; continue it with: jaxpareto front "
            f"--resume --out {folder}"
        )
    phi, ended = stopping.ending(state, watched, config.patience)
    return Front(folder, config, shape, recipe.conditioned, phi, epoch, **ended)


def read_config(folder: Path) -> tuple[Config, Shape]:
    """Read what `config.json` says of a run."""
    content = folders.read_config(folder)
    try:
        shape = content["shape"]
        return (
            configure(**content["config"]),
            Shape(tuple(shape["image"]), shape["tasks"], shape["classes"]),
        )
    except (KeyError, TypeError) as error:
        raise RunError(
            f"{folder / 'config.json'} is damaged ({error!r} is missing or wrong)"
        ) from error


def recorded_data_dir(folder: Path) -> str | None:
    """Return the `--data-dir` that a run was trained with."""
    return folders.read_config(folder).get("data_dir")


def make_batches(config: Config, tasks: Tasks) -> datasets.Batches:
    """Turn the training pairs into mini-batches, composed anew or not."""
    stored = datasets.stored(tasks.train, config.batch_size)
    if not config.fresh_pairs:
        return stored
    return datasets.fresh(
        tasks.sources,
        batch_size=config.batch_size,
        steps=stored.steps,
        layout=config.layout,
        tasks=config.tasks,
    )
