"""The field's methods by the names people know, and ours: settings as data.

A preset is data. `jaxpareto front --preset phn-ls` is `jaxpareto front` with its
settings, and any of them can be given again: `--preset phn-ls --rule stch`.

What all of them have from here, and no paper: the loop, the initialisation of generated
weights and their division by the inner width (`jaxpareto.hyper`), and where k
preferences meet in one step they share its batch unless `split_batch` says otherwise.
Because of that division the learning rate of a paper's hypernetwork is not this one's;
`experiments/leaderboard.py` chooses it on validation data.
"""

from typing import Any, NamedTuple

from jaxpareto.errors import check_name


class Preset(NamedTuple):
    """A method.

    Attributes:
      settings: fields of `Config`.
      paper: authors, year, title.
      departs: where the settings differ from the paper's, in a line.
    """

    settings: dict[str, Any]
    paper: str
    departs: str


_OURS = {
    "rule": "linear",
    "sampler": "dirichlet",
    "alpha": 0.2,
    "prefs_per_step": 8,
    "batch_size": 64,
    "fresh_pairs": True,
    "optimizer": "adam",
    "schedule": "cosine",
    "warmup": 400,
}
# What the papers have in common, and one preference a step.
_PAPER = {
    "fresh_pairs": False,
    "batch_size": 256,
    "optimizer": "adam",
    "schedule": "constant",
    "warmup": 0,
}
_ONE = _PAPER | {"prefs_per_step": 1}

PRESETS: dict[str, Preset] = {
    "prism": Preset(
        _OURS
        | {
            "conditioner": "heads",
            "conditioner_options": "width=32,straight=0.25",
            "learning_rate": 5e-3,
        },
        "ours: what experiments/LOG.md and docs/leaderboard.md compare",
        "PHN's hypernetwork a third as wide, with a straight path from the preference; "
        "small batches, each shared by eight preferences",
    ),
    "prism-sparse": Preset(
        _OURS
        | {
            "conditioner": "sparse",
            "conditioner_options": "",
            "learning_rate": 1.5e-2,
        },
        "ours, with the hypernetwork of Cubelier (2022)",
        "a ninth of the parameters of prism",
    ),
    "cpmtl": Preset(
        _ONE
        | {
            "conditioner": "chunked",
            "rule": "cpmtl",
            "sampler": "uniform",
            "learning_rate": 1e-3,
        },
        "Lin, Yang, Zhang, Kwong (2020), Controllable Pareto multi-task learning",
        "no code was published: widths, rate and sampler are ours",
    ),
    "phn-ls": Preset(
        _ONE
        | {
            "conditioner": "heads",
            "conditioner_options": "width=100",
            "rule": "linear",
            "sampler": "dirichlet",
            "alpha": 0.2,
            "learning_rate": 1e-3,
        },
        "Navon et al. (2021), Learning the Pareto front with hypernetworks",
        "rate 1e-4 there, before the division by the inner width",
    ),
    "phn-epo": Preset(
        _ONE
        | {
            "conditioner": "heads",
            "conditioner_options": "width=100",
            "rule": "epo",
            "gram_of": "params",
            "sampler": "dirichlet",
            "alpha": 0.2,
            "learning_rate": 1e-3,
        },
        "Navon et al. (2021), Learning the Pareto front with hypernetworks",
        "rate as phn-ls; gradients are compared in the target's weights",
    ),
    "phn-hvi": Preset(
        _PAPER
        | {
            "conditioner": "heads",
            "conditioner_options": "width=100",
            "rule": "hypervolume",
            "rule_options": "penalty=5",
            "sampler": "stratified",
            "prefs_per_step": 16,
            "learning_rate": 1e-3,
        },
        "Hoang et al. (2023), Improving Pareto front learning via multi-sample "
        "hypernetworks",
        "no dropout on weights, no first epoch of cosine alone, no early stop; the 16 "
        "share the batch",
    ),
    "cosmos": Preset(
        _ONE
        | {
            "conditioner": "input",
            "rule": "cosmos",
            "rule_options": "penalty=2",
            "sampler": "dirichlet",
            "alpha": 1.2,
            "learning_rate": 1e-3,
            "schedule": "step",
        },
        "Ruchte, Grabocka (2021), Scalable Pareto front approximation for deep "
        "multi-objective learning",
        "two drops of the rate where the paper has four; the network is as chosen",
    ),
    "pamal": Preset(
        _PAPER
        | {
            "conditioner": "linear",
            "rule": "linear",
            "sampler": "dirichlet",
            "alpha": 1.0,
            "prefs_per_step": 4,
            "learning_rate": 1e-3,
        },
        "Dimitriadis, Frossard, Fleuret (2023), Pareto manifold learning",
        "the window of 4 shares the batch; the copies start alike",
    ),
    "palora": Preset(
        _PAPER
        | {
            "conditioner": "low-rank",
            "conditioner_options": "rank=1",
            "rule": "linear",
            "sampler": "annealed",
            "prefs_per_step": 4,
            "rest_rate": 2.0,
            "learning_rate": 1e-3,
        },
        "Dimitriadis, Frossard, Fleuret (2025), Pareto low-rank adapters",
        "4 preferences of its grid share a step; one per step there",
    ),
    "lorpman": Preset(
        _ONE
        | {
            "conditioner": "low-rank",
            "conditioner_options": "rank=8",
            "rule": "linear",
            "sampler": "dirichlet",
            "alpha": 1.0,
            "base_until": 0.8,
            "penalty": 1e-3,
            "learning_rate": 1e-3,
        },
        "Chen, Kwok (2024), Efficient Pareto manifold learning with low-rank structure",
        "rank and weight of the orthogonality are ours",
    ),
    "yoto": Preset(
        _ONE
        | {
            "conditioner": "film",
            "rule": "linear",
            "sampler": "log-uniform",
            "learning_rate": 1e-3,
        },
        "Dosovitskiy, Djolonga (2020), You only train once: loss-conditional training",
        "reads the preference, not the weights' logarithms",
    ),
    "gmooar-hv": Preset(
        _PAPER
        | {
            "conditioner": "film",
            "rule": "hypervolume",
            "rule_options": "penalty=0",
            "sampler": "stratified",
            "prefs_per_step": 8,
            "learning_rate": 1e-3,
        },
        "Chen, Kwok (2022), Multi-objective deep learning with adaptive reference "
        "vectors",
        "drawn preferences in the place of learned ones",
    ),
    "stch": Preset(
        _PAPER
        | {
            "conditioner": "heads",
            "conditioner_options": "width=100",
            "rule": "stch",
            "rule_options": "mu=0.01",
            "sampler": "uniform",
            "prefs_per_step": 8,
            "learning_rate": 1e-3,
        },
        "Lin et al. (2024), Smooth Tchebycheff scalarization for multi-objective "
        "optimization",
        "8 preferences per step, 10 there; PHN's hypernetwork",
    ),
    "independent": Preset(
        _PAPER
        | {
            "conditioner": "independent",
            "rule": "linear",
            "prefs_per_step": 5,
            "split_batch": False,
            "learning_rate": 3e-3,
        },
        "the baseline: one network per preference",
        "none; k times the work of the others",
    ),
}
"""Name -> `Preset`."""


def preset(name: str) -> Preset:
    """Return a preset by name.

    Raises:
      UsageError: no such preset.

    >>> preset("phn-ls").settings["conditioner"]
    'heads'
    """
    return PRESETS[check_name(name, PRESETS, "preset")]
