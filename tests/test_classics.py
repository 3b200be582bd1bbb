"""Networks with a single task: the source reports' equations against autodiff."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxpareto import tree
from jaxpareto.errors import UsageError
from jaxpareto.metrics import (
    LOSSES,
    binary_cross_entropy,
    class_cross_entropy,
    squared_error,
)
from jaxpareto.nets import (
    ACTIVATIONS,
    CLASSICS,
    conv1d,
    conv_autoencoder,
    dense_autoencoder,
    dense_net,
    lenet5,
    max_pool1d,
    mlp_net,
    sequence_autoencoder,
    sequence_net,
)
from jaxpareto.nets.layers import dense

KEY = jax.random.key(0)
RNG = np.random.default_rng(0)


def noise(*shape):
    return RNG.standard_normal(shape).astype(np.float32)


def softmax(x):
    e = np.exp(x - x.max(axis=-1, keepdims=True))
    return e / e.sum(axis=-1, keepdims=True)


def sigmoid(x):
    return 1.0 / (1.0 + np.exp(-x))


def parameters(net, scale=0.3):
    shapes = jax.eval_shape(net.init, KEY)
    return jax.tree.map(lambda x: scale * noise(*x.shape), shapes)


def check_module(apply, params, x, forward, in_params, in_inputs):
    """Compare a module with its equations: answer and both gradients.

    Args:
      apply: `apply(params, x)`.
      params: a pytree.
      x: inputs.
      forward: what it should answer.
      in_params: `in_params(delta)`, the gradient in its parameters by hand.
      in_inputs: `in_inputs(delta)`, the gradient in its inputs by hand.
    """
    delta = noise(*forward.shape)

    @jax.jit
    def both(params, x):
        out, back = jax.vjp(apply, params, x)
        return out, *back(delta)

    out, found_params, found_inputs = both(params, x)
    np.testing.assert_allclose(out, forward, atol=1e-5)
    expected = in_params(delta)
    for a, b in zip(
        jax.tree.leaves(found_params), jax.tree.leaves(expected), strict=True
    ):
        np.testing.assert_allclose(a, b, atol=1e-4)
    np.testing.assert_allclose(found_inputs, in_inputs(delta), atol=1e-4)


def test_linear_module():
    x, w, b = noise(4, 6), noise(6, 3), noise(3)
    check_module(
        dense,
        {"bias": b, "kernel": w},
        x,
        x @ w + b,
        lambda d: {"bias": d.sum(axis=0), "kernel": x.T @ d},
        lambda d: d @ w.T,
    )


# Name -> (forward, gradient in the inputs from delta, x and the answer y).
BY_HAND = {
    "linear": (lambda x: x, lambda d, x, y: d),
    "tanh": (np.tanh, lambda d, x, y: d * (1 - y**2)),
    "sigmoid": (sigmoid, lambda d, x, y: d * y * (1 - y)),
    "relu": (lambda x: np.maximum(x, 0), lambda d, x, y: d * (x > 0)),
    "softmax": (
        softmax,
        lambda d, x, y: y * (d - (d * y).sum(axis=-1, keepdims=True)),
    ),
}


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_activation_module(name):
    forward, backward = BY_HAND[name]
    x = noise(4, 6)
    y = forward(x)
    check_module(
        lambda _, x: ACTIVATIONS[name](x),
        {},
        x,
        y,
        lambda _: {},
        lambda d: backward(d, x, y),
    )


def test_convolution_module_in_one_axis():
    """Report 002's Conv1D: windows times kernels, and their transposes backward."""
    x, w, stride = noise(2, 11, 3), noise(4, 3, 5), 2
    starts = range(0, 11 - 4 + 1, stride)
    windows = np.stack([x[:, s : s + 4] for s in starts], axis=1)  # [b, t, i, g]

    def in_inputs(d):
        back = np.zeros_like(x)
        for t, s in enumerate(starts):
            back[:, s : s + 4] += np.einsum("bf,igf->big", d[:, t], w)
        return back

    check_module(
        lambda w, x: conv1d(x, w, stride=stride),
        w,
        x,
        np.einsum("btig,igf->btf", windows, w),
        lambda d: np.einsum("btig,btf->igf", windows, d),
        in_inputs,
    )


def test_pooling_module_in_one_axis():
    """MaxPool1D: the gradient goes to the place of the maximum, and nowhere else."""
    x = noise(2, 9, 3)
    pieces = x[:, :8].reshape(2, 4, 2, 3)
    first = pieces[:, :, :1] >= pieces[:, :, 1:]

    def in_inputs(d):
        back = np.where(np.concatenate([first, ~first], 2), d[:, :, None], 0)
        return np.pad(back.reshape(2, 8, 3), ((0, 0), (0, 1), (0, 0)))

    check_module(
        lambda _, x: max_pool1d(x), {}, x, pieces.max(axis=2), lambda _: {}, in_inputs
    )


LABELS = np.array([2, 0, 1, 2])
HOT = np.eye(3, dtype=np.float32)[LABELS]
# Name -> (value by hand, gradient in the outputs by hand).
LOSSES_BY_HAND = {
    "squared-error": (
        lambda z: np.square(z - HOT).mean(axis=1),
        lambda z: 2 * (z - HOT) / 3,
    ),
    "binary-cross-entropy": (
        lambda z: -np.where(HOT, np.log(sigmoid(z)), np.log(sigmoid(-z))).mean(axis=1),
        lambda z: (sigmoid(z) - HOT) / 3,
    ),
    "cross-entropy": (
        lambda z: -np.log(softmax(z))[np.arange(4), LABELS],
        lambda z: softmax(z) - HOT,
    ),
}


@pytest.mark.parametrize("name", LOSSES)
def test_loss_module(name):
    z = noise(4, 3)
    value, gradient = LOSSES_BY_HAND[name]
    out, back = jax.vjp(lambda z: LOSSES[name](z, LABELS), z)
    np.testing.assert_allclose(out, value(z), rtol=1e-5)
    np.testing.assert_allclose(back(jnp.ones(4))[0], gradient(z), atol=1e-6)


def test_losses_of_other_targets_and_of_large_logits():
    z, pixels = noise(4, 3), RNG.uniform(size=(4, 3)).astype(np.float32)
    np.testing.assert_allclose(
        squared_error(z, pixels), np.square(z - pixels).mean(1), rtol=1e-5
    )
    p = sigmoid(z)
    expected = -(pixels * np.log(p) + (1 - pixels) * np.log(1 - p)).mean(1)
    np.testing.assert_allclose(binary_cross_entropy(z, pixels), expected, rtol=1e-4)
    far = class_cross_entropy(jnp.array([[1e4, -1e4]]), jnp.array([1]))
    assert float(far[0]) == 2e4


def test_perceptron_has_the_gradient_that_report_001_wrote_by_hand():
    """`grad = y - t`, `w -= eta x^T grad`: squared error of one layer, batch 5."""
    net = mlp_net((28, 28), widths=())
    params = parameters(net, 0.01)
    x, t = RNG.uniform(size=(5, 28, 28)).astype(np.float32), np.eye(10)[[3, 1, 4, 1, 5]]

    def loss(params):  # half the squared distance, summed over the batch
        return 0.5 * jnp.sum(jnp.square(net.apply(params, x) - t))

    found = jax.jit(jax.grad(loss))(params)["layer0"]
    flat = x.reshape(5, 784)
    grad = flat @ params["layer0"]["kernel"] + params["layer0"]["bias"] - t
    np.testing.assert_allclose(found["kernel"], flat.T @ grad, atol=1e-4)
    np.testing.assert_allclose(found["bias"], grad.sum(axis=0), atol=1e-5)


@pytest.mark.parametrize("activation", ["relu", "sigmoid", "softmax"])
def test_a_network_within_a_wider_one_is_that_network(activation):
    """Same first weights, same answer, same gradient; what is unused stays at zero."""
    names = [activation, activation, "linear"]
    small = dense_net((6, 3, 5, 4), names)
    wide = dense_net((6, 8, 7, 4), names, widths=(jnp.array(3), jnp.array(5)))
    x, weights = noise(9, 2, 3), noise(9, 4)

    @jax.jit
    def both():
        made = [net.init(KEY) for net in (small, wide)]
        return made, [
            jax.value_and_grad(lambda p, n=n: jnp.sum(weights * n.apply(p, x)))(p)
            for n, p in zip((small, wide), made, strict=True)
        ]

    (start, start_wide), ((value, slope), (value_wide, slope_wide)) = both()
    np.testing.assert_allclose(value_wide, value, rtol=1e-5)
    for name, (rows, columns) in {
        "layer0": (6, 3),
        "layer1": (3, 5),
        "layer2": (5, 4),
    }.items():
        for little, large in ((start, start_wide), (slope, slope_wide)):
            kernel, bias = large[name]["kernel"], large[name]["bias"]
            np.testing.assert_allclose(
                kernel[:rows, :columns], little[name]["kernel"], atol=1e-5
            )
            np.testing.assert_allclose(bias[:columns], little[name]["bias"], atol=1e-5)
            assert not np.any(np.asarray(kernel)[rows:]), "nothing leads away"
            assert not np.any(np.asarray(kernel)[:, columns:]), "nothing leads to them"
            assert not np.any(np.asarray(bias)[columns:])


def test_first_weights_have_the_variance_they_should():
    net = dense_net((400, 300, 200), ("relu", "tanh"))
    params = jax.jit(net.init)(KEY)
    assert np.std(params["layer0"]["kernel"]) == pytest.approx(
        np.sqrt(2 / 400), rel=0.02
    )
    assert np.std(params["layer1"]["kernel"]) == pytest.approx(
        np.sqrt(1 / 300), rel=0.02
    )


def test_published_numbers_of_parameters():
    def size(net):
        return tree.count(jax.eval_shape(net.init, KEY))

    assert size(mlp_net((28, 28), widths=())) == 7_850
    assert size(mlp_net((28, 28), widths=(300,))) == 784 * 300 + 300 + 3010
    assert size(lenet5()) == 44_426
    assert size(sequence_net((8, 8))) == 128 + 992 * 100 + 100 + 1010
    dense_size = size(dense_autoencoder().net)
    assert dense_size == 46_114
    for coder in (conv_autoencoder(), sequence_autoencoder()):
        assert size(coder.net) <= dense_size


def test_lenet5_equals_the_same_network_in_torch():
    torch = pytest.importorskip("torch")
    from torch.nn import functional as F

    net = lenet5()
    params = parameters(net, 0.1)
    x = RNG.uniform(size=(3, 28, 28)).astype(np.float32)
    t = jax.tree.map(lambda a: torch.tensor(np.asarray(a)), params)
    y = torch.tensor(x)[:, None]
    for name in ("conv0", "conv1"):
        kernel = t[name]["kernel"].permute(3, 2, 0, 1)
        y = F.max_pool2d(F.relu(F.conv2d(y, kernel, t[name]["bias"])), 2)
    y = y.permute(0, 2, 3, 1).flatten(1)
    for name in ("layer0", "layer1", "layer2"):
        y = y @ t[name]["kernel"] + t[name]["bias"]
        y = F.relu(y) if name != "layer2" else y
    np.testing.assert_allclose(jax.jit(net.apply)(params, x), y.numpy(), atol=1e-4)


@pytest.mark.parametrize("name", CLASSICS)
def test_every_classic_answers_and_has_finite_gradients(name):
    """At zero inputs too: there every maximum is a tie and every ReLU at its corner."""
    classic = CLASSICS[name]
    net = classic.make(
        (16, 16), classes=7, widths=classic.widths, sizes=None, dropout=0.5
    )
    params = parameters(net)
    x = np.concatenate([np.zeros((1, 16, 16)), RNG.uniform(size=(2, 16, 16))])

    @jax.jit
    def both(params, x):
        def loss(params):
            out = net.apply(params, x, key=KEY)
            return jnp.sum(jnp.square(out)), out

        return jax.grad(loss, has_aux=True)(params), net.apply(params, x)

    (slope, noisy), out = both(params, x.astype(np.float32))
    assert out.shape == (3, 256 if classic.reconstructs else 7)
    if classic.reconstructs:
        assert np.all((np.asarray(out) >= 0) & (np.asarray(out) <= 1))
    for leaf in jax.tree.leaves(slope):
        assert np.all(np.isfinite(leaf)) and np.any(leaf != 0)
    assert classic.drops != np.allclose(noisy, out, atol=1e-6), "a key turns it on"


def test_autoencoders_are_their_two_halves():
    for coder, latent in (
        (dense_autoencoder((4, 4), widths=(9, 3, 9)), 3),
        (conv_autoencoder((4, 4), latent=5, filters=2), 5),
        (sequence_autoencoder((4, 4), latent=6, filters=2), 6),
    ):
        params, x = parameters(coder.net), noise(2, 4, 4)

        @jax.jit
        def both(params, x, coder=coder):
            code = coder.encode(params, x)
            return code, coder.decode(params, code), coder.net.apply(params, x)

        code, out, whole = both(params, x)
        assert code.shape == (2, latent) and out.shape == (2, 16)
        np.testing.assert_allclose(out, whole, atol=1e-6)


def test_a_latent_vector_may_have_an_activation_of_its_own():
    coder = dense_autoencoder(
        (2, 3), widths=(5, 2, 4), activation="relu", code="linear"
    )
    params, x = parameters(coder.net), noise(3, 2, 3)
    first, second = (params[f"layer{i}"] for i in range(2))
    hidden = np.maximum(x.reshape(3, -1) @ first["kernel"] + first["bias"][None], 0)
    expected = hidden @ second["kernel"] + second["bias"][None]
    np.testing.assert_allclose(coder.encode(params, x), expected, atol=1e-6)
    assert np.any(expected < 0), "a ReLU would have cut this"


def test_latent_units_that_are_not_used_change_nothing():
    """A latent size below the one compiled for, with an activation that is not odd."""
    widths = [jnp.array(5), jnp.array(2), jnp.array(4)]
    wide = dense_autoencoder(
        (2, 3), widths=widths, sizes=(5, 4, 6), activation="sigmoid"
    )
    small = dense_autoencoder((2, 3), widths=(5, 2, 4), activation="sigmoid")
    x = noise(3, 2, 3)

    @jax.jit
    def codes():
        return [
            (c.encode(c.init(KEY), x), c.net.apply(c.init(KEY), x))
            for c in (wide, small)
        ]

    (code, out), (code_small, out_small) = codes()
    np.testing.assert_allclose(code[:, :2], code_small, atol=1e-6)
    assert not np.any(np.asarray(code[:, 2:]))
    np.testing.assert_allclose(out, out_small, atol=1e-6)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: mlp_net((8, 8), widths=(0,)), "sizes of at least 1"),
        (lambda: mlp_net((8, 8), activation="rely"), "did you mean relu"),
        (lambda: dense_net((4, 3, 2), ("relu", "linear"), widths=()), "found 0 widths"),
        (lambda: lenet5((15, 28)), "at least 16 x 16"),
        (lambda: sequence_net((1, 2)), "too few"),
        (lambda: dense_autoencoder(widths=(3, 3)), "odd number"),
        (lambda: dense_autoencoder(code="rely"), "did you mean relu"),
        (lambda: conv_autoencoder((7, 8)), "even sides"),
        (lambda: sequence_autoencoder((7, 7)), "even number of pixels"),
        (lambda: conv1d(jnp.ones((2, 5)), jnp.ones((3, 1, 1))), "expected sequences"),
    ],
)
def test_what_cannot_be_is_one_line(make, message):
    with pytest.raises(UsageError, match=message) as refused:
        make()
    assert "\n" not in str(refused.value)
