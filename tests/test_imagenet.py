"""ResNets for ImageNet: the numbers of PyTorch, with and without folded norms."""

from functools import cache, partial

import jax
import numpy as np
import pytest

from jaxpareto import tree
from jaxpareto.backbones import from_state_dict
from jaxpareto.errors import UsageError
from jaxpareto.nets import imagenet
from tests import torchvision_like

# One side is even all the way down, which tells padding on both sides from "SAME"; the
# other is odd, and every stage rounds it up.
IMAGES = np.random.default_rng(1).standard_normal((2, 96, 65, 3), np.float32)


def everything(params, images):
    """Return all outputs as one pytree: stages, features, logits."""
    outputs = imagenet.stages(params, images)
    features = imagenet.features(params, images)
    return outputs, features, imagenet.logits(params, images)


@partial(jax.jit, static_argnames="fold")
def answered(params, images, fold):
    """One program for all: most of the time of this file is compilation."""
    found = {"plain": everything(params, images)}
    if fold:
        found["folded"] = everything(imagenet.fold(params), images)
    return found


def distance(found, wanted):
    """Return the largest relative error of any leaf: |found - wanted| / |wanted|."""

    def one(found, wanted):
        assert found.shape == wanted.shape
        return np.linalg.norm(np.asarray(found, np.float64) - wanted) / np.linalg.norm(
            wanted
        )

    return max(jax.tree.leaves(jax.tree.map(one, found, wanted)))


@cache
def wanted(name):
    """Draw weights and answer with them in PyTorch, in float64."""
    state = torchvision_like.drawn(name)
    answers = torchvision_like.answers(name, state, IMAGES)
    # Of order one: an error in a late block cannot hide behind large activations.
    assert all(0.1 < np.std(output) < 30 for output in answers[0])
    return state, answers


@pytest.mark.parametrize(
    ("name", "dtype", "tolerance", "fold"),
    [
        ("resnet18", np.float32, 1e-5, True),
        ("resnet18", np.float64, 1e-12, True),
        ("resnet50", np.float32, 1e-5, True),
        # Folding takes time to compile, and is the same in all networks.
        ("resnet50", np.float64, 1e-12, False),
    ],
)
def test_all_stages_equal_pytorchs(name, dtype, tolerance, fold):
    state, answers = wanted(name)
    with jax.enable_x64(dtype is np.float64):
        params = from_state_dict(state, name, dtype=dtype)
        found = answered(params, IMAGES.astype(dtype), fold)
    assert all(x.dtype == dtype for x in jax.tree.leaves(found))
    for outputs in found.values():
        assert distance(outputs, answers) < tolerance


@pytest.mark.parametrize("name", torchvision_like.NETWORKS)
def test_it_has_the_published_number_of_parameters(name):
    shapes = imagenet.shapes(name)
    learned = jax.tree_util.tree_map_with_path(
        lambda path, leaf: 0 if path[-1].key in ("mean", "var") else leaf.size, shapes
    )
    assert sum(jax.tree.leaves(learned)) == torchvision_like.NETWORKS[name][2]
    assert shapes["head"]["kernel"].shape[0] == imagenet.ARCHITECTURES[name].dim


def test_folding_leaves_no_norm_and_twice_is_once():
    params = jax.eval_shape(imagenet.fold, imagenet.shapes("resnet50"))
    leaves = jax.tree_util.tree_leaves_with_path(params)
    assert {path[-1].key for path, _ in leaves} == {"kernel", "bias"}
    assert len(leaves) == 2 * 54
    assert jax.eval_shape(imagenet.fold, params) == params
    assert tree.count(params["stem"]) == 3 * 49 * 64 + 64


def test_unknown_architecture():
    with pytest.raises(UsageError, match="'resnet05'; did you mean resnet50"):
        imagenet.shapes("resnet05")
