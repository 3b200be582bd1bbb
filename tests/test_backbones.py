"""Backbones: a name and a file of weights, or a network of this library."""

import hashlib
import pickle
import subprocess
import sys
from functools import partial
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from PIL import Image
from safetensors.numpy import save_file

from jaxpareto import backbones
from jaxpareto.backbones import PREPROCESSINGS, from_state_dict, of_net
from jaxpareto.backbones.preprocess import prepare
from jaxpareto.backbones.registry import standardise
from jaxpareto.errors import RunError, UsageError
from jaxpareto.nets import NETWORKS, imagenet, layers, mlp
from jaxpareto.types import Net
from tests import torchvision_like
from tests.test_backbones_pictures import as_torchvision, picture, saved
from tests.test_backbones_weights import by_hand


def test_pixels_are_standardised_as_by_torchvision():
    images = np.arange(2 * 4 * 4 * 3, dtype=np.uint8).reshape(2, 4, 4, 3)
    mean = np.array([0.485, 0.456, 0.406], np.float32)
    std = np.array([0.229, 0.224, 0.225], np.float32)
    wanted = (images / np.float32(255) - mean) / std
    found = jax.jit(standardise)(images)
    np.testing.assert_allclose(found, wanted, rtol=1e-6, atol=1e-6)
    with pytest.raises(UsageError, match="uint8 as prepare gives them, found float32"):
        standardise(jnp.zeros((1, 4, 4, 3)))


def test_load_gives_a_backbone(tmp_path):
    state = torchvision_like.drawn("resnet18", classes=2)
    path = by_hand(tmp_path / "w.pth", state)
    save_file(state, tmp_path / "w.safetensors")
    backbone = backbones.load("resnet18", path)
    other = backbones.load(
        "resnet18", tmp_path / "w.safetensors", preprocess="v1", folded=False
    )
    assert (backbone.name, backbone.dim) == ("resnet18", 512)
    assert backbone.fingerprint == hashlib.sha256(path.read_bytes()).hexdigest()
    assert "short side to 232 (bilinear, antialiased)" in backbone.preprocess
    assert "short side to 256" in other.preprocess

    images = [picture((240, 300)), picture((500, 233))]
    prepared = np.stack([backbone.prepare(saved(image)) for image in images])
    wanted = [as_torchvision(image, 232, 224) for image in images]
    np.testing.assert_array_equal(prepared, np.stack(wanted))
    again = pickle.loads(pickle.dumps(other.prepare))
    np.testing.assert_array_equal(
        again(saved(images[0])), as_torchvision(images[0], 256, 224)
    )

    # Small cuts of the prepared pictures: the network takes them, and the test is fast.
    cuts = prepared[:, :64, :48]
    mean = np.array([0.485, 0.456, 0.406], np.float32)
    std = np.array([0.229, 0.224, 0.225], np.float32)
    wanted = jax.jit(imagenet.features)(
        from_state_dict(state, "resnet18"), (cuts / np.float32(255) - mean) / std
    )
    scale = np.linalg.norm(wanted)
    for each in (backbone, other):
        found = each.features(cuts)
        assert (found.shape, found.dtype) == ((2, 512), jnp.float32)
        assert np.linalg.norm(found - wanted) < 1e-5 * scale
    # One vector per picture, and it knows nothing of its neighbour.
    assert np.linalg.norm(found[0] - found[1]) > 1e-2 * scale


def test_load_says_what_is_wrong(tmp_path):
    state = torchvision_like.drawn("resnet18", classes=2)
    path = by_hand(tmp_path / "resnet18-0123abcd.pth", state)
    with pytest.raises(UsageError, match="unknown backbone 'resnet19'; did you mean"):
        backbones.load("resnet19", path)
    with pytest.raises(UsageError, match="unknown preprocessing 'v3'"):
        backbones.load("resnet18", path, preprocess="v3")
    with pytest.raises(RunError, match="where 0123abcd was expected"):
        backbones.load("resnet18", path)
    path = path.rename(tmp_path / "mine.pth")
    with pytest.raises(RunError, match="not the weights of a resnet50; missing"):
        backbones.load("resnet50", path)


def test_workers_prepare_without_jax(tmp_path):
    net = mlp((8, 6))
    params = jax.tree.map(
        lambda leaf: np.ones(leaf.shape, np.float32),
        jax.eval_shape(net.init, jax.random.key(0)),
    )
    own = of_net("mine", net, params, image_shape=(8, 6)).prepare
    resnets = partial(prepare, steps=PREPROCESSINGS["v2"])
    (tmp_path / "both").write_bytes(pickle.dumps((own, resnets)))
    program = """
import pickle, sys
import numpy as np
sys.modules["jax"] = None
own, resnets = pickle.load(open(sys.argv[1], "rb"))
image = np.zeros((8, 6), np.uint8)
print(own(image).shape, resnets(image).shape)
"""
    done = subprocess.run(
        [sys.executable, "-c", program, tmp_path / "both"],
        capture_output=True,
        text=True,
        cwd=Path(__file__).parent.parent,
    )
    assert done.stdout == "(8, 6) (224, 224, 3)\n", done.stderr


@pytest.mark.parametrize(
    ("network", "channels"), [("mlp", 1), ("lenet-pamal", 3), ("cnn-16-16-32", 1)]
)
def test_a_network_of_this_library_is_a_backbone(network, channels):
    generator = np.random.default_rng(0)
    net = NETWORKS[network]((28, 20), channels=channels)
    params = jax.tree.map(
        lambda leaf: 0.1 * generator.standard_normal(leaf.shape, np.float32),
        jax.eval_shape(net.init, jax.random.key(0)),
    )
    shape = (28, 20) if channels == 1 else (28, 20, 3)
    images = generator.integers(256, size=(3, *shape), dtype=np.uint8)
    backbone = of_net("mine", net, params, image_shape=(28, 20), channels=channels)
    prepare_picture = pickle.loads(pickle.dumps(backbone.prepare))
    prepared = np.stack([prepare_picture(image) for image in images])
    np.testing.assert_array_equal(prepared, images)
    np.testing.assert_array_equal(
        prepare_picture(saved(Image.fromarray(images[0]))), images[0]
    )
    features = backbone.features(prepared)
    assert features.shape == (3, backbone.dim)
    np.testing.assert_array_equal(jax.jit(backbone.features)(prepared), features)
    # Its own heads on them give its own answers, to images scaled as in training.
    np.testing.assert_allclose(
        layers.answer(params, features),
        jax.jit(net.apply)(params, images / np.float32(255)),
        rtol=1e-5,
        atol=1e-6,
    )

    leaves = [
        params[name][leaf] for name in sorted(params) for leaf in sorted(params[name])
    ]
    content = b"".join(leaf.tobytes() for leaf in leaves)
    assert backbone.fingerprint == hashlib.sha256(content).hexdigest()


def test_of_net_says_what_is_wrong():
    net = mlp((8, 6))
    params = jax.tree.map(
        lambda leaf: np.ones(leaf.shape, np.float32),
        jax.eval_shape(net.init, jax.random.key(0)),
    )
    backbone = of_net("mine", net, params, image_shape=(8, 6))
    assert backbone.preprocess == "grey 8 x 6, / 255"
    with pytest.raises(RunError, match="a picture of 8 x 6, found 6 x 8 in an array"):
        backbone.prepare(np.zeros((6, 8), np.uint8))
    with pytest.raises(RunError, match=r"found 5 x 5 in \d+ bytes; resize it before"):
        backbone.prepare(saved(picture((5, 5))))
    with pytest.raises(UsageError, match=r"\[h, w, 3\] of uint8, found \(8, 6\) of fl"):
        backbone.prepare(np.zeros((8, 6)))
    with pytest.raises(UsageError, match=r"images \[b, 8, 6\] of uint8 as prepare"):
        backbone.features(np.zeros((1, 8, 6), np.float32))
    with pytest.raises(UsageError, match="mine has no features that all its heads"):
        of_net("mine", Net(net.init, net.apply), params, image_shape=(8, 6))
    with pytest.raises(UsageError, match="do not fit images of 9 x 6 with 1 channels"):
        of_net("mine", net, params, image_shape=(9, 6))
    with pytest.raises(UsageError, match="1 or 3 channels, found 2"):
        of_net("mine", net, params, image_shape=(8, 6), channels=2)
