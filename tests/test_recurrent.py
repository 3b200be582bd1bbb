"""Recurrent cells against loops in NumPy and PyTorch, and learning to guess text."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from jaxpareto import tree
from jaxpareto.data.text import Text, load_text, python_text
from jaxpareto.errors import RunError, UsageError
from jaxpareto.nets import hyper_lstm as dynamic
from jaxpareto.nets.characters import Guesser, guesser
from jaxpareto.nets.hyper_lstm import hyper_lstm
from jaxpareto.nets.recurrent import lstm
from jaxpareto.train import characters
from jaxpareto.train.optimizers import optimizer
from jaxpareto.train.recipe import Hparams

KEY = jax.random.key(0)
RNG = np.random.default_rng(0)
INPUTS, UNITS, SMALL, CODE = 3, 5, 4, 2
CELLS = {
    "lstm": partial(lstm, INPUTS, UNITS),
    "hyper": partial(hyper_lstm, INPUTS, UNITS, hyper_units=SMALL, embedding=CODE),
}
XS = RNG.normal(size=(6, 2, INPUTS)).astype(np.float32)


def numbers_like(cell, seed=0):
    """Draw numbers for every parameter, also for those that start at a constant."""
    rng = np.random.default_rng(seed)
    like = jax.eval_shape(cell.init, KEY)
    return jax.tree.map(lambda x: 0.7 * rng.normal(size=x.shape), like)


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def normalised(norm, x):
    """Standardise one vector, with a loop's patience."""
    x = (x - x.mean()) / np.sqrt(x.var() + 1e-5)
    return x * norm["gain"] + norm["shift"]


def remember(gates, cell, norms):
    """Return (h, c) [units] from the four gates [4, units] of one sequence."""
    if norms:
        gates = [
            normalised({k: v[j] for k, v in norms["gates"].items()}, gates[j])
            for j in range(4)
        ]
    i, g, f, o = gates
    cell = sigmoid(f) * cell + sigmoid(i) * np.tanh(g)
    seen = normalised(norms["cell"], cell) if norms else cell
    return sigmoid(o) * np.tanh(seen), cell


def by_hand(params, xs, units):
    """The LSTM for one sequence [t, d], gate by gate as the formula has it."""
    h, c, out = np.zeros(units), np.zeros(units), []
    for x in xs:
        y = x @ params["input"] + h @ params["hidden"] + params["bias"]
        h, c = remember(y.reshape(4, units), c, params.get("norms"))
        out.append(h)
    return np.array(out)


def hyper_by_hand(p, xs):
    """The HyperLSTM for one sequence, with a matrix and a code for each gate."""
    h, c = np.zeros(UNITS), np.zeros(UNITS)
    small, small_c, out = np.zeros(SMALL), np.zeros(SMALL), []
    q = p["hyper"]
    for x in xs:
        seen = np.concatenate([x, h])
        gates = seen @ q["input"] + small @ q["hidden"] + q["bias"]
        small, small_c = remember(gates.reshape(4, SMALL), small_c, q.get("norms"))
        gates = np.zeros((4, UNITS))
        for y in range(4):
            at = slice(y * UNITS, (y + 1) * UNITS)
            codes = {name: small @ p["codes"][name][:, y] for name in p["codes"]}
            for name in ("input", "hidden"):
                codes[name] = codes[name] + p["offsets"][name][y]
            d_x, d_h, b = (
                codes[name] @ p["projections"][name][y]
                for name in ("input", "hidden", "bias")
            )
            gates[y] = d_x * (x @ p["input"][:, at]) + d_h * (h @ p["hidden"][:, at])
            gates[y] += b + p["bias"][at]
        h, c = remember(gates, c, p.get("norms"))
        out.append(h)
    return np.array(out)


@pytest.mark.parametrize("norm", [False, True])
@pytest.mark.parametrize("name", CELLS)
def test_a_cell_is_its_formula_step_by_step(name, norm):
    cell = CELLS[name](layer_norm=norm)
    params = numbers_like(cell)

    @jax.jit
    def run(params):
        """At once; in two pieces; and how the sum of squares slopes where x is zero."""
        state, whole = cell.unroll(params, cell.start(2), XS)
        middle, first = cell.unroll(params, cell.start(2), XS[:4])
        again, last = cell.unroll(params, middle, XS[4:])

        def loss(params):
            _, out = cell.unroll(params, cell.start(2), jnp.zeros_like(XS))
            return jnp.sum(jnp.square(out))

        pieces = jnp.concatenate([first, last])
        return (whole, state), (pieces, again), jax.grad(loss)(params)

    (whole, state), (pieces, again), slope = run(
        jax.tree.map(lambda x: x.astype(np.float32), params)
    )
    hand = partial(by_hand, units=UNITS) if name == "lstm" else hyper_by_hand
    for b in range(2):
        np.testing.assert_allclose(whole[:, b], hand(params, XS[:, b]), atol=1e-5)
    np.testing.assert_allclose(whole, pieces, atol=1e-6)
    jax.tree.map(partial(np.testing.assert_allclose, atol=1e-6), state, again)
    assert all(np.all(np.isfinite(leaf)) for leaf in jax.tree.leaves(slope))


def test_the_lstm_is_pytorchs():
    torch = pytest.importorskip("torch", reason="compares with PyTorch")
    cell = lstm(INPUTS, UNITS)
    params = jax.tree.map(lambda x: x.astype(np.float32), numbers_like(cell))
    theirs = torch.nn.LSTM(INPUTS, UNITS)

    def ordered(x):  # theirs are i, f, g, o, and lie along the first axis
        i, g, f, o = np.split(x.T, 4)
        return torch.tensor(np.concatenate([i, f, g, o]))

    with torch.no_grad():
        theirs.weight_ih_l0.copy_(ordered(params["input"]))
        theirs.weight_hh_l0.copy_(ordered(params["hidden"]))
        theirs.bias_ih_l0.copy_(ordered(params["bias"]))
        theirs.bias_hh_l0.zero_()
        wanted, (h, c) = theirs(torch.tensor(XS))
    state, found = jax.jit(cell.unroll)(params, cell.start(2), XS)
    np.testing.assert_allclose(found, wanted.numpy(), atol=1e-5)
    np.testing.assert_allclose(state.hidden, h[0].numpy(), atol=1e-5)
    np.testing.assert_allclose(state.cell, c[0].numpy(), atol=1e-5)


def test_a_hyperlstm_starts_as_the_lstm_within_it():
    """Its scales start at one, and its biases at the LSTM's."""
    cell, plain = CELLS["hyper"](), CELLS["lstm"]()

    @jax.jit
    def run(key):
        params = cell.init(key)
        own = {name: params[name] for name in ("input", "hidden", "bias")}
        _, found = cell.unroll(params, cell.start(2), XS)
        _, wanted = plain.unroll(own, plain.start(2), XS)
        return found, wanted, dynamic.scales(params, jnp.ones((2, SMALL)))

    found, wanted, made = run(KEY)
    np.testing.assert_allclose(found, wanted, atol=1e-6)
    np.testing.assert_allclose(made[:, :2], 1.0, atol=1e-6)
    np.testing.assert_allclose(made[:, 2].sum(), 2 * UNITS, atol=1e-5)
    small = jax.eval_shape(hyper_lstm(8, 16, layer_norm=True).init, KEY)
    assert tree.count(small["codes"]) == 3 * 16 * 4 * 4


def test_cells_refuse_sizes_below_one():
    for make in (
        lambda: lstm(0, 3),
        lambda: hyper_lstm(3, 0),
        lambda: hyper_lstm(3, 3, hyper_units=0),
        lambda: hyper_lstm(3, 3, embedding=-1),
    ):
        with pytest.raises(UsageError, match="of a recurrent cell; give at least 1"):
            make()


def test_text_is_guessed_the_same_in_one_call_or_two():
    """A text of one repeated word is soon known; truncated gradients suffice."""
    text = np.tile([0, 1, 2, 3, 2, 1, 4], 60).astype(np.int32)
    net = guesser(lstm, 5, 16, width=4)
    make = optimizer("adam", "constant", steps=1, clip=1.0)
    pupil = characters.Pupil(net, lambda rate: make(Hparams(rate)), 7, 40, 2)
    data = characters.Streams(
        characters.streams(text, 4), characters.streams(text[:98], 2)
    )
    member = characters.Member(np.float32(0.03), np.int32(0))

    @jax.jit
    def run(data):
        start = characters.begin(pupil, 4, member)
        half = characters.advance(pupil, member, start, data, 1)
        both = characters.advance(pupil, member, half, data, 2)
        once = characters.advance(pupil, member, start, data, 9)
        flat = jax.tree.map(jnp.zeros_like, start.params)
        return both, once, characters.bits(net, flat, data.validation)

    both, once, ignorant = run(data)
    close = partial(np.testing.assert_allclose, rtol=1e-4, atol=1e-5)
    jax.tree.map(close, both, once)
    assert once.round == 2 and once.history.shape == (2, 2)
    assert ignorant == pytest.approx(np.log2(5), abs=1e-5)
    assert 0 < once.best_bits < 0.5 and once.best_bits == once.history[:, 1].min()


def test_updates_read_on_and_begin_again_with_an_empty_state():
    """A network that only notes the first character of each update, as a digit."""

    def read(params, state, text):
        logits = jnp.zeros((*text.shape, 9)) + params["bias"][None, None]
        return 10 * state + text[:, 0], logits

    net = Guesser(lambda key: {"bias": jnp.zeros(9)}, jnp.zeros, read)
    pupil = characters.Pupil(net, lambda rate: optax.sgd(rate), 2, 3, 3)
    text = np.array([1, 0, 2, 0, 3, 0, 4, 0, 0, 5, 0, 6, 0, 7, 0, 8, 0, 0], np.int32)
    data = characters.Streams(characters.streams(text, 2), jnp.zeros((1, 3), int))
    member = characters.Member(0.0, 0)

    @jax.jit
    def states(data):
        at, seen = characters.begin(pupil, 2, member), []
        for until in (1, 2, 3):  # three updates each, of four that the text has
            at = characters.advance(pupil, member, at, data, until)
            seen.append(at.state)
        return seen

    assert [state.tolist() for state in states(data)] == [
        [123, 567],
        [12, 56],
        [1, 5],
    ]


def test_streams_and_updates_that_do_not_fit_are_refused():
    with pytest.raises(UsageError, match="4 streams of a text of 7"):
        characters.streams(np.zeros(7, np.int32), 4)
    net = guesser(lstm, 2, 3)
    pupil = characters.Pupil(net, lambda rate: None, 50, 1, 1)
    data = characters.Streams(*2 * [jnp.zeros((2, 9), int)])
    with pytest.raises(UsageError, match="updates of 50; make the updates shorter"):
        characters._round(pupil, characters.Member(0.1, 0), data, None)


def test_pythons_own_text_has_each_paragraph_once():
    text = python_text()
    paragraphs = [" ".join(each.split()) for each in text.split("\n\n")]
    assert len(set(paragraphs)) == len(paragraphs) > 1000
    loaded = load_text()
    parts = [loaded.train, loaded.validation, loaded.test]
    assert "".join(loaded.alphabet[i] for i in np.concatenate(parts)) == text
    assert len(loaded.train) == round(0.9 * len(text)) and len(text) > 200_000
    assert abs(len(loaded.validation) - len(loaded.test)) <= 1


def test_text_of_a_file_and_what_is_none(tmp_path):
    path = tmp_path / "a.txt"
    path.write_text("é b\n" * 50, encoding="utf-8")
    found = load_text(path)
    assert isinstance(found, Text) and found.alphabet == "\n bé"
    path.write_bytes(b"\xff\xfe" * 100)
    for name, longest, error, message in (
        (path, None, RunError, "is no text in UTF-8"),
        (tmp_path / "b.txt", None, RunError, "cannot read .*b.txt: No such file"),
        ("python", 7, UsageError, "7 characters of text; give at least 100"),
    ):
        with pytest.raises(error, match=message):
            load_text(name, longest=longest)
    path.write_text("short")
    with pytest.raises(RunError, match="has 5 characters; at least 100"):
        load_text(path)
