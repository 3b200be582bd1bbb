"""Published methods as settings: each can be made, and says what it is."""

import jax
import pytest

from jaxpareto.conditioned import CONDITIONERS
from jaxpareto.errors import UsageError
from jaxpareto.train.config import configure
from jaxpareto.train.presets import PRESETS, preset
from jaxpareto.train.recipe import Hparams
from jaxpareto.train.run import Shape, make_recipe
from jaxpareto.train.step import init

NAMES = [
    "cpmtl",
    "phn-ls",
    "phn-epo",
    "phn-hvi",
    "cosmos",
    "pamal",
    "palora",
    "lorpman",
    "yoto",
    "gmooar-hv",
    "stch",
    "independent",
]


def test_the_names_that_people_know_are_here():
    assert set(NAMES) <= set(PRESETS)


@pytest.mark.parametrize("name", PRESETS)
def test_a_preset_makes_a_training(name):
    """Traced, not run: settings, network, rule, sampler and optimiser fit together."""
    config = configure(**preset(name).settings)
    recipe = make_recipe(config, Shape((12, 12), 2, 10), steps=10)
    state = jax.eval_shape(lambda key: init(recipe, key, Hparams()), jax.random.key(0))
    k = config.prefs_per_step
    drawn = jax.eval_shape(lambda: recipe.sampler(jax.random.key(0), k))
    assert state.phi and drawn.shape == (k, 2)
    assert preset(name).paper and preset(name).departs
    if config.penalty:
        assert recipe.conditioned.penalty is not None


def test_ours_is_what_runs_when_nothing_is_said():
    said = configure(data="multi-mnist", **preset("prism").settings)
    assert said == configure(data="multi-mnist")


def test_settings_are_data():
    for each in PRESETS.values():
        assert each.settings["conditioner"] in CONDITIONERS
        assert all(type(x) in (str, int, float, bool) for x in each.settings.values())


def test_an_unknown_preset_is_refused():
    with pytest.raises(
        UsageError, match="unknown preset 'pnh-ls'; did you mean phn-ls"
    ):
        preset("pnh-ls")
