"""Fronts of networks, arrays, losses, rules and conditioners that are not ours."""

import dataclasses
import json
import shutil
from functools import cache

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from flax import linen, nnx

from jaxpareto import (
    adapt,
    cli,
    conditioned,
    configure,
    export,
    fit_front,
    load,
    metrics,
    prefs,
    rules,
    solvers,
    tree,
)
from jaxpareto.errors import RunError, UsageError
from jaxpareto.train import optimizers, own_plan
from jaxpareto.train.recipe import Hparams
from jaxpareto.types import Conditioned, Net

KEY = jax.random.key(0)


def arrays(m, n=60, d=3, seed=0):
    """Return inputs [n, d] and targets [n, m] that no one set of weights can serve."""
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(n, d)).astype(np.float32)
    y = x @ rng.normal(size=(d, m)) + 0.1 * rng.normal(size=(n, m))
    return x, y.astype(np.float32)


X, Y = arrays(2)


def start(key):
    return {"weights": jax.random.normal(key, (3,))}


def answer(params, x, *, key=None):
    return x @ params["weights"]


LINE = Net(start, answer)
"""One set of weights [3] that has to answer all m targets."""


def flat(pytree):
    return np.concatenate([np.ravel(leaf) for leaf in jax.tree.leaves(pytree)])


def uniform(m):
    """Draw preferences by a sampler that compiles in no time."""
    return prefs.SAMPLERS["uniform"](m, 1.0)


def squares(said, y):
    return jnp.mean(jnp.square(said[:, None] - y), axis=0)


def fit(data, **more):
    """Fit with all examples at every step, so that nothing but the rule is left."""
    settings = {"conditioner": "linear", "batch_size": 60, "split_batch": False}
    settings |= {"epochs": 500, "learning_rate": 0.1, "quiet": True}
    settings |= {"sampler": uniform(data[1].shape[1])}
    return fit_front(LINE, data, squares, **(settings | more))


@cache
def fitted(m):
    return fit(arrays(m))


@pytest.mark.parametrize("m", [2, 3])
def test_the_front_of_linear_regressions_is_the_one_on_paper(m):
    """The least squares of the weighted mean of the targets, at each preference."""
    x, y = arrays(m)
    front = fitted(m)
    asked = prefs.grid(11, m)
    best = np.linalg.lstsq(x, (y @ asked.T), rcond=None)[0].T
    found = np.stack([front.params(pref)["weights"] for pref in asked])
    np.testing.assert_allclose(found, best, atol=2e-3)
    losses = np.mean(np.square((x @ best.T)[:, :, None] - y[:, None, :]), axis=0)
    measured = front.evaluate((x, y), 11, reference=[9.0] * m)
    np.testing.assert_allclose(measured["preferences"], asked, atol=1e-6)
    np.testing.assert_allclose(measured["losses"], losses, atol=5e-3)
    volume = metrics.hypervolume(jnp.asarray(losses, float), jnp.full(m, 9.0))
    assert measured["hypervolume"] == pytest.approx(float(volume), rel=1e-3)
    assert measured["nondominated"] == len(asked)
    assert m > 2 or min(measured["spearman"]) > 0.99
    assert measured["parameters"] == {"target": 3, "conditioned": 3 * m}
    assert measured["accuracies"] is None


def test_evaluation_in_batches_with_a_rest_is_that_of_all_at_once():
    data, front = arrays(2), fitted(2)

    def near(said, y):
        return jnp.mean((jnp.abs(said[:, None] - y) < 1.0).astype(float), axis=0)

    whole = front.evaluate(data, 3, accuracies=near)
    parts = front.evaluate(data, 3, accuracies=near, batch_size=17)
    for name in ("losses", "accuracies"):
        np.testing.assert_allclose(whole[name], parts[name], rtol=1e-5)
    said = np.stack([front(pref, data[0]) for pref in prefs.grid(3, 2)])
    by_hand = np.mean(np.abs(said[:, :, None] - data[1][None]) < 1.0, axis=1)
    np.testing.assert_allclose(whole["accuracies"], by_hand, rtol=1e-5)
    assert whole["hypervolume"] is None and whole["reference"] is None
    (own,) = front.evaluate(data, [[0.25, 0.75]])["preferences"]
    assert own == [0.25, 0.75]


def test_rules_of_ones_own_do_what_those_with_names_do():
    weigh = rules.from_rule(lambda losses, gram, pref: pref)
    by_hand, by_name = fit(arrays(2), rule=weigh), fitted(2)
    np.testing.assert_array_equal(*map(flat, (by_hand.phi, by_name.phi)))
    compare = rules.from_rule(
        lambda losses, gram, pref: solvers.mgda(losses, gram, pref)[0], needs_gram=True
    )
    rows = np.random.default_rng(0).normal(size=(4, 2, 5)).astype(np.float32)
    seen = jnp.ones((4, 2)), rows @ rows.swapaxes(1, 2), jnp.full((4, 2), 0.5)
    mine, named = (
        jax.jit(each.weigh)(*seen) for each in (compare, rules.RULES["mgda"])
    )
    np.testing.assert_allclose(mine.weights, named.weights, rtol=1e-6)
    assert compare.needs_gram and not weigh.needs_gram and mine.solved.all()
    with pytest.raises(UsageError, match="needs the Gramians"):
        compare.weigh(jnp.ones((1, 2)), None, jnp.ones((1, 2)))


def test_a_conditioner_of_ones_own_and_an_optimiser():
    """Weights along a straight line in the preference: what the truth is, too."""

    def straight(net, m, key):
        spec = tree.spec_of(net.init, key)

        def params(phi, pref):
            return tree.unravel(spec, phi["at0"] + pref[0] * phi["slope"])

        return Conditioned(
            lambda key: {"at0": jnp.zeros(spec.size), "slope": jnp.zeros(spec.size)},
            params,
            net.apply,
        )

    front = fit(arrays(2), conditioner=straight, optimizer=optax.adam(0.05))
    wanted = np.linalg.lstsq(*arrays(2), rcond=None)[0]
    np.testing.assert_allclose(front.params([1, 0])["weights"], wanted[:, 0], atol=0.02)
    np.testing.assert_allclose(front.params([0, 1])["weights"], wanted[:, 1], atol=0.02)


def test_independent_networks_are_a_conditioner_of_ones_own():
    own = np.array([[0.2, 0.8], [0.9, 0.1]], np.float32)
    front = fit(
        arrays(2),
        conditioner=lambda net, m, key: conditioned.independent(net, own),
        sampler=prefs.fixed(own),
        prefs_per_step=2,
    )
    x, y = arrays(2)
    wanted = np.linalg.lstsq(x, y @ own[1], rcond=None)[0]
    np.testing.assert_allclose(front.params(own[1])["weights"], wanted, atol=5e-3)


class Linen(linen.Module):
    """Reads a pytree, answers one: a number and logits, from one narrow layer."""

    @linen.compact
    def __call__(self, x, *, deterministic=True):
        h = linen.Dense(4)(jnp.concatenate([x["a"], x["b"]], axis=1))
        h = linen.Dropout(0.1, deterministic=deterministic)(linen.tanh(h))
        return {"number": linen.Dense(1)(h)[:, 0], "kind": linen.Dense(3)(h)}


class Nnx(nnx.Module):
    """The same with NNX."""

    def __init__(self, rngs):
        self.first = nnx.Linear(4, 4, rngs=rngs)
        self.dropout = nnx.Dropout(0.1, rngs=rngs)
        self.number = nnx.Linear(4, 1, rngs=rngs)
        self.kind = nnx.Linear(4, 3, rngs=rngs)

    def __call__(self, x):
        h = self.first(jnp.concatenate([x["a"], x["b"]], axis=1))
        h = self.dropout(nnx.tanh(h))
        return {"number": self.number(h)[:, 0], "kind": self.kind(h)}


def mixed(n=96):
    """Return inputs and targets that are pytrees: a regression and three classes."""
    rng = np.random.default_rng(3)
    x = {"a": rng.normal(size=(n, 2)), "b": rng.normal(size=(n, 2))}
    x = jax.tree.map(np.float32, x)
    kind = np.argmax(x["a"] @ rng.normal(size=(2, 3)), axis=1)
    number = np.float32(np.sin(x["b"].sum(axis=1)) * 2)
    return x, {"number": number, "kind": kind.astype(np.int32)}


def both(said, y):
    error = jnp.mean(jnp.square(said["number"] - y["number"]))
    surprise = jnp.mean(metrics.class_cross_entropy(said["kind"], y["kind"]))
    return jnp.stack([error, surprise])


def modules():
    x, _ = mixed()
    switches = {
        "training": {"deterministic": False},
        "answering": {"deterministic": True},
    }
    return {
        "linen": adapt.from_linen(Linen(), x, **switches),
        "nnx": adapt.from_nnx(Nnx),
    }


@pytest.mark.parametrize("name", ["linen", "nnx"])
def test_a_regression_beside_a_classification_with_flax(name):
    net, data = modules()[name], mixed()
    front = fit_front(
        *(net, data, both),
        conditioner_options={"width": 4, "hidden": (8,)},
        sampler=uniform(2),
        epochs=30,
        batch_size=32,
        learning_rate=0.02,
        quiet=True,
    )
    measured = front.evaluate(data, 5)
    losses = np.array(measured["losses"])
    assert losses[-1, 0] < losses[0, 0] and losses[0, 1] < losses[-1, 1]
    assert jax.tree.map(jnp.shape, front([0.5, 0.5], data[0])) == {
        "number": (96,),
        "kind": (96, 3),
    }
    params = front.params([0.5, 0.5])
    assert tree.count(params) == measured["parameters"]["target"] == 4 * 5 + 5 + 15


@pytest.mark.parametrize("name", ["linen", "nnx"])
def test_a_key_turns_dropout_on_and_nothing_else_is_random(name):
    net, (x, _) = modules()[name], mixed()
    init, apply = jax.jit(net.init), jax.jit(net.apply)
    params = init(KEY)
    once, again = apply(params, x)["number"], apply(params, x)["number"]
    a, b = (apply(params, x, key=jax.random.key(i))["number"] for i in (1, 2))
    assert jnp.array_equal(once, again)
    assert not jnp.array_equal(a, once) and not jnp.array_equal(a, b)
    assert jnp.array_equal(a, apply(params, x, key=jax.random.key(1))["number"])


def test_a_linen_and_an_nnx_module_answer_as_flax_itself_does():
    x, _ = mixed()
    variables = Linen().init(KEY, x)
    net = adapt.from_linen(Linen(), x)
    np.testing.assert_array_equal(
        net.apply(variables["params"], x)["kind"], Linen().apply(variables, x)["kind"]
    )
    module = Nnx(nnx.Rngs(5))
    module.eval()
    state = nnx.to_pure_dict(nnx.split(module, nnx.Param, ...)[1])
    said = adapt.from_nnx(Nnx).apply(state, x)
    np.testing.assert_array_equal(said["kind"], module(x)["kind"])


def test_shapes_and_double_numbers_will_do_to_adapt_a_module():
    """NumPy makes float64, which JAX would warn of."""
    of = jax.ShapeDtypeStruct((1, 3), np.float32)
    for x in (np.ones((1, 3)), of):
        net = adapt.from_linen(linen.Dense(2), x)
        assert jax.eval_shape(net.init, KEY)["kernel"].dtype == np.float32


def test_an_nnx_module_is_named_by_its_class_and_not_taken_ready_made():
    assert own_plan.about(adapt.from_nnx(Nnx).apply).startswith("from_nnx(Nnx)")
    with pytest.raises(UsageError, match=r"found a module, Nnx.*give its class"):
        adapt.from_nnx(Nnx(nnx.Rngs(0)))


def test_modules_that_keep_more_than_parameters_are_refused():
    with pytest.raises(UsageError, match=r"batch_stats.*LayerNorm"):
        adapt.from_linen(linen.BatchNorm(use_running_average=False), jnp.ones((2, 3)))
    with pytest.raises(UsageError, match=r"BatchStat.*LayerNorm"):
        adapt.from_nnx(lambda rngs: nnx.BatchNorm(3, rngs=rngs))


def test_a_front_in_a_folder_is_resumed_where_it_stopped(tmp_path, monkeypatch):
    folder, data = tmp_path / "own", arrays(2)
    more = {"epochs": 4, "batch_size": 20, "split_batch": False}
    whole = fit(data, **more)
    with monkeypatch.context() as patched:
        broken = _fails_at_third(patched)
        with pytest.raises(KeyboardInterrupt):
            fit(data, folder=folder, **more)
        assert broken == [1, 2, 3]
    resumed = fit(data, folder=folder, resume=True, **more)
    np.testing.assert_array_equal(*map(flat, (whole.phi, resumed.phi)))
    lines = (folder / "metrics.jsonl").read_text().splitlines()
    assert [json.loads(line)["epoch"] for line in lines] == [1, 2, 3, 4]
    with pytest.raises(UsageError, match="seed was 0, now 1"):
        fit(data, folder=folder, resume=True, seed=1, **more)
    with pytest.raises(UsageError, match="holds another run"):
        fit(data, folder=folder, **more)
    of_front = {"config": dataclasses.asdict(configure()), "shape": {}}
    for other in ({"config": {"rule": "linear"}}, of_front):
        (folder / "config.json").write_text(json.dumps(other))
        with pytest.raises(RunError, match="no plan of fit_front"):
            fit(data, folder=folder, resume=True, **more)


@pytest.fixture(scope="module")
def kept(tmp_path_factory):
    """Make a short run, and return its folder and what it was called with."""
    folder = tmp_path_factory.mktemp("own") / "run"
    more = {"epochs": 1, "folder": folder, "sampler": "uniform", "quiet": True}
    more |= {"conditioner": "linear", "batch_size": 40}
    fit_front(LINE, (X, Y), squares, **more)
    return folder, more | {"resume": True}


def absolute(said, y):
    return jnp.mean(jnp.abs(said[:, None] - y), axis=0)


@pytest.mark.parametrize(
    ("other", "said"),
    [
        ({"rule": "stch"}, "rule was linear, now stch"),
        (
            {"rule": rules.from_scalarisation(lambda losses, pref: losses @ pref)},
            "rule",
        ),
        ({"rule": "mgda", "gram_of": "params"}, "gram_of was phi, now params"),
        ({"conditioner": "low-rank"}, "conditioner was linear, now low-rank"),
        ({"conditioner_options": {"init": "hyperfan-in"}}, "was none, now init=hyp"),
        ({"sampler": "dirichlet"}, r"sampler was uniform, now dirichlet\(0.2\)"),
        ({"sampler": prefs.SAMPLERS["stratified"](2, 1.0)}, r"now .*\(stratified\)"),
        ({"optimizer": "sgd"}, "optimizer was adam, now sgd"),
        ({"optimizer": optax.adam(0.1)}, "optimizer was adam, now one of your own"),
        ({"data": (X[:50], Y[:50])}, "n was 60, now 50"),
        (
            {"data": (X, 2 * Y)},
            r"the checksum of y was \w{8}, now \w{8}\); give what it",
        ),
        ({"data": (X.astype(np.float16), Y)}, r"x was float32\[3\], now float16\[3\]"),
        ({"data": (X, arrays(3)[1])}, r"m was 2, now 3; y was float32\[2\], now fl"),
        ({"losses": absolute}, "losses was squares, now absolute"),
        ({"epochs": 9}, "epochs was 1, now 9.*give what it was.*new folder="),
        ({"resume": False}, "with folder=, or continue that run with resume=True"),
    ],
)
def test_a_folder_of_another_call_is_refused_by_name(kept, other, said):
    folder, more = kept
    before = sorted(folder.rglob("*"))
    with pytest.raises(UsageError, match=said) as caught:
        fit_front(**({"net": LINE, "data": (X, Y), "losses": squares} | more | other))
    assert "--" not in str(caught.value) and "\n" not in str(caught.value)
    assert sorted(folder.rglob("*")) == before


def test_a_folder_that_kept_numbers_alone_is_continued(kept, tmp_path):
    """As of the first version; another network is told by its shapes, quietly."""
    folder, more = kept
    shutil.copytree(folder, tmp_path / "old")
    path, more = tmp_path / "old" / "config.json", more | {"folder": tmp_path / "old"}
    content = json.loads(path.read_text())
    del content["kind"]
    six = [
        "epochs",
        "batch_size",
        "prefs_per_step",
        "split_batch",
        "learning_rate",
        "seed",
    ]
    content["config"] = {name: content["config"][name] for name in six}
    path.write_text(json.dumps(content))
    front = fit_front(LINE, (X, Y), squares, **more)
    again = fit_front(LINE, (X, Y), squares, **(more | {"folder": folder}))
    np.testing.assert_array_equal(flat(front.phi), flat(again.phi))
    three = arrays(3)
    same = optimizers.optimizer("adam", "cosine", steps=1)(Hparams(0.1))
    nested = optax.chain(same, optax.identity())  # no other shapes, but other names
    others = {"data": three}, {"conditioner": "low-rank"}, {"optimizer": nested}
    for wrong in others:
        call = {"net": LINE, "data": (X, Y), "losses": squares} | more | wrong
        with pytest.raises(
            RunError, match=r"of another network.*found shape"
        ) as caught:
            fit_front(**call)
        assert "delete" not in str(caught.value)
    with pytest.raises(UsageError, match="call fit_front again"):
        load(tmp_path / "old")


def test_what_needs_a_run_of_the_command_says_so(kept, capsys):
    folder, _ = kept
    commands = (["report", folder], ["eval", folder], ["front", "--resume", "--out"])
    export_it = ["export", folder, "--out", "a.onnx"]
    for words in (*commands[:2], [*commands[2], folder], export_it):
        assert cli.main([str(word) for word in words]) == 2
        said = capsys.readouterr().err
        assert "call fit_front again with the same ones" in said
        assert "resume=True" in said and len(said.splitlines()) == 1


def test_a_front_is_one_line(kept):
    folder, more = kept
    front = fit_front(LINE, (X, Y), squares, **more)
    assert repr(front) == (
        f"OwnFront(linear x linear, answer, 2 tasks, 1 epochs, in {folder})"
    )
    with pytest.raises(UsageError, match=r"one number or 2, .*found shape \(1,\)"):
        front.evaluate((X, Y), 3, reference=[1.0])


def test_parts_by_name_are_those_of_their_makers():
    short = {"epochs": 3, "conditioner": "linear", "sampler": "stratified"}
    more = {"rule": "stch", "rule_options": {"mu": 0.5}, "optimizer": "adamw"}
    named = fit(arrays(2), **short, **more)
    by_hand = {
        "sampler": prefs.SAMPLERS["stratified"](2, 1.0),
        "rule": rules.rule_with_options("stch", "mu=0.5"),
    }
    made = fit(arrays(2), **(short | by_hand), optimizer="adamw")
    np.testing.assert_array_equal(flat(named.phi), flat(made.phi))
    ordinary = fit(arrays(2), **short, rule="stch", optimizer="adamw")
    assert not np.array_equal(flat(named.phi), flat(ordinary.phi))
    cheap, dear = (
        fit(arrays(2), **short, rule="upgrad", gram_of=each)
        for each in ("params", "phi")
    )
    assert not np.array_equal(flat(cheap.phi), flat(dear.phi))


def test_networks_of_ones_own_leave_as_weights_and_as_programs(tmp_path):
    pytest.importorskip("safetensors", reason="extra `export`")
    pytest.importorskip("flatbuffers", reason="extra `export`")
    from safetensors.numpy import load_file

    data, options = mixed(), {"width": 4, "hidden": (8,)}
    small = {"batch_size": 32, "epochs": 1, "sampler": "uniform", "quiet": True}
    net = modules()["linen"]
    front = fit_front(net, data, both, conditioner_options=options, **small)
    export.save(front, tmp_path / "a.safetensors", [0.3, 0.7])
    kernel = load_file(tmp_path / "a.safetensors")["Dense_0/kernel"]
    made = front.params([0.3, 0.7])["Dense_0"]["kernel"]
    np.testing.assert_array_equal(kernel, made)
    export.save(front, tmp_path / "a.jaxexport")
    program = jax.export.deserialize((tmp_path / "a.jaxexport").read_bytes())
    for rows in (3, 96):
        x = jax.tree.map(lambda each, rows=rows: each[:rows], data[0])
        said = program.call(jnp.array([0.3, 0.7]), x)
        expected = front([0.3, 0.7], x)
        np.testing.assert_allclose(said["kind"], expected["kind"], atol=1e-5)
    with pytest.raises(UsageError, match=r"of your own leaves as \.jaxexport"):
        export.save(front, tmp_path / "a.onnx")


def test_a_network_of_one_batch_size_is_not_compiled_for_any(tmp_path):
    pytest.importorskip("flatbuffers", reason="extra `export`")

    def picky(params, x, *, key=None):
        return x @ params["weights"] * (1.0 if x.shape[0] > 7 else 2.0)

    with pytest.warns(UserWarning, match="no mean over examples"):
        front = fit_front(
            *(Net(start, picky), (X, Y), squares),
            **{"conditioner": "linear", "epochs": 1, "sampler": "uniform"},
            batch_size=40,
            quiet=True,
        )
    with pytest.raises(RunError, match=r"batch of any size .*as \.safetensors"):
        export.save(front, tmp_path / "a.jaxexport", [0.3, 0.7])
    assert not any(tmp_path.iterdir())


def _fails_at_third(patched):
    """Stop the loop as a person would, before the third checkpoint."""
    from jaxpareto.train import loop

    saved, save = [], loop.Checkpoints.save

    def stop(self, epoch, state):
        saved.append(epoch)
        if epoch == 3:
            raise KeyboardInterrupt
        save(self, epoch, state)

    patched.setattr(loop.Checkpoints, "save", stop)
    return saved


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"data": [X, Y]}, r"a tuple \(x, y\), found list"),
        ({"data": (X, Y, Y)}, "found one of 3: put the targets into one array or dict"),
        ({"resume": True}, "give folder="),
        ({"checkpoint_every": 0}, "checkpoint_every must be at least 1, found 0"),
        (
            {"net": Linen()},
            r"a jaxpareto.types.Net, found \S*test_own.Linen; adapt.from",
        ),
        ({"net": Net(start, lambda params, x: x)}, r"write apply\(params, x, \*, key="),
        ({"data": (X.tolist(), Y)}, "no lists"),
        ({"data": (X, Y[:-1])}, r"one length n .* \(60, 3\), \(59, 2\)"),
        ({"data": (X, 3.0)}, r"found shapes \(60, 3\), \(\)"),
        ({"losses": lambda said, y: jnp.mean(said)}, r"jnp.stack.*found \(\)"),
        ({"losses": lambda said, y: [jnp.mean(said)] * 2}, r"found \[\(\), \(\)\]"),
        ({"conditioner": "header"}, "did you mean heads"),
        ({"conditioner": "input"}, "not offered here: it draws the preference into im"),
        (
            {"conditioner": "independent"},
            "conditioned.independent.*sampler=prefs.fixed",
        ),
        ({"conditioner": None}, r"a name or f\(net, m, key\)"),
        ({"conditioner_options": "width=2"}, "a dict, as .*found 'width=2'"),
        ({"conditioner_options": {"widht": 3}}, "did you mean width"),
        ({"rule": "liner"}, "did you mean linear"),
        ({"rule": lambda losses, pref: pref}, "from_scalarisation"),
        ({"rule": "stch", "rule_options": {"um": 1.0}}, "did you mean mu"),
        ({"rule_options": "mu=1"}, "rule_options must be a dict"),
        ({"rule": rules.RULES["stch"], "rule_options": {"mu": 1.0}}, "name of a rule"),
        ({"gram_of": "ph"}, "unknown gram_of 'ph'; did you mean phi"),
        ({"sampler": "unifrom"}, "did you mean uniform"),
        ({"sampler": 3}, "a name of prefs.SAMPLERS or"),
        (
            {"sampler": uniform(3)},
            r"8 preferences of 2 tasks, \[8, 2\]; found \[8, 3\]",
        ),
        ({"alpha": 0.0}, "alpha must be positive"),
        ({"optimizer": "adm"}, "did you mean adam"),
        ({"optimizer": 1e-3}, r"as optax.adam\(1e-3\), found 0.001"),
        (
            {"data": (np.where(X > 2, np.nan, X), Y)},
            "x holds [0-9]+ values that are no",
        ),
        (
            {"batch_size": 20},
            "of 20 evenly; choose a prefs_per_step that divides batch_s",
        ),
        ({"batch_size": 600}, "batch size 600 for 60 examples"),
        ({"epochs": 0}, "epochs must be at least 1"),
        ({"learning_rate": 0.0}, "learning_rate must be positive"),
    ],
)
def test_what_is_refused_says_why(wrong, said):
    call = {"net": LINE, "data": (X, Y), "losses": squares, "batch_size": 40}
    with pytest.raises(UsageError, match=said):
        fit_front(**(call | wrong))


def test_odd_losses_are_remarked_upon():
    """One loss for itself, and one that is no mean: targets [n, 1], answers [n]."""
    more = {"batch_size": 40, "conditioner": "linear", "epochs": 1, "quiet": True}

    def alone(said, y):
        return squares(said, y) * jnp.array([1000.0, 1.0])

    with pytest.warns(UserWarning, match=r"loss 1 is [0-9,]+ times loss 2"):
        fit_front(LINE, (X, Y), alone, **more)

    def broadcast(said, y):
        with jax.numpy_rank_promotion("allow"):
            wrong = jnp.mean(jnp.square(said - y[:, :1]))
        return jnp.stack([jnp.mean(jnp.square(said - y[:, 1])), wrong])

    with pytest.warns(UserWarning, match="loss 2 is no mean over examples"):
        fit_front(LINE, (X, Y), broadcast, **more)


def test_preferences_may_be_mapped_and_one_alone_evaluated():
    front, given = fitted(2), jnp.array([[0.3, 0.7], [1.0, 0.0]])
    for pref, made in zip(given, jax.vmap(front.params)(given)["weights"], strict=True):
        np.testing.assert_allclose(made, front.params(pref)["weights"], rtol=1e-6)
    one = front.evaluate((X, Y), [0.3, 0.7])
    assert one["losses"] == front.evaluate((X, Y), [[0.3, 0.7]])["losses"]
    with pytest.raises(UsageError, match=r"accuracies\(outputs, y\) must return \[2\]"):
        front.evaluate((X, Y), 3, accuracies=lambda said, y: jnp.mean(said))
    with pytest.raises(UsageError, match=r"a tuple \(x, y\)"):
        front.evaluate(X, Y)


def test_a_loss_that_is_no_number_stops_the_training():
    def broken(said, y):
        return squares(said, y) / 0.0

    more = {"batch_size": 40, "conditioner": "linear", "sampler": "uniform"}
    with pytest.raises(RunError, match=r"not finite at steps 1.*none yet") as caught:
        fit_front(LINE, (X, Y), broken, **more)
    assert "learning_rate" in str(caught.value) and "--" not in str(caught.value)
    holes = np.where(Y > 2, np.nan, Y)
    with pytest.raises(RunError, match=r"y holds [0-9]+ values that are no"):
        fit_front(LINE, (X, holes), squares, **more)
