"""Many weight decays at once: against the same loop in PyTorch, and counted by hand."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxpareto import logistic
from jaxpareto.errors import UsageError
from jaxpareto.logistic import Head
from tests.test_logistic import random_head, small


def their_sgd(features, labels, decays, heads, steps, dtype, decay_bias=True):
    """Do the report's loop in PyTorch: SGD, a step schedule, decay after decay."""
    torch = pytest.importorskip("torch")
    n, batch = len(labels), 32
    found = []
    for decay, kernel, bias in zip(decays, *heads, strict=True):
        linear = torch.nn.Linear(*kernel.shape, dtype=getattr(torch, dtype))
        with torch.no_grad():
            linear.weight.copy_(torch.tensor(kernel.T))
            linear.bias.copy_(torch.tensor(bias))
        groups = [
            {"params": [linear.weight], "weight_decay": float(decay)},
            {"params": [linear.bias], "weight_decay": float(decay) * decay_bias},
        ]
        optimizer = torch.optim.SGD(groups, lr=0.1, momentum=0.9)
        schedule = torch.optim.lr_scheduler.StepLR(optimizer, 2, 0.1)
        x = torch.tensor(features, dtype=getattr(torch, dtype))
        y = torch.tensor(labels, dtype=torch.long)
        done = 0
        while done < steps:
            for first in range(0, n, batch):
                optimizer.zero_grad()
                answers = linear(x[first : first + batch])
                loss = torch.nn.functional.cross_entropy(
                    answers, y[first : first + batch]
                )
                loss.backward()
                optimizer.step()
                done += 1
            schedule.step()
        found.append((linear.weight.detach().numpy().T, linear.bias.detach().numpy()))
    return Head(*(np.stack(each) for each in zip(*found, strict=True)))


@pytest.mark.parametrize(
    ("dtype", "tolerance", "decay_bias"),
    [("float32", 1e-5, True), ("float64", 1e-12, True), ("float64", 1e-12, False)],
)
def test_a_sweep_is_pytorchs_loop_over_decays(dtype, tolerance, decay_bias):
    """Same start, same batches, in order, the last one short; 210 steps."""
    features, labels = small(6, n=650, d=7, c=5)
    decays = np.array([0.0, 1e-4, 1e-2, 1e-1], dtype)
    rng = np.random.default_rng(7)
    first = Head(
        rng.uniform(-0.4, 0.4, (4, 7, 5)).astype(dtype),
        rng.uniform(-0.4, 0.4, (4, 5)).astype(dtype),
    )
    theirs = their_sgd(
        features.astype(dtype), labels, decays, first, 210, dtype, decay_bias
    )
    with jax.enable_x64(True):
        wide = Head(
            jnp.concatenate(list(jnp.asarray(first.kernel)), axis=1),
            jnp.concatenate(list(jnp.asarray(first.bias))),
        )
        plan = logistic.Plan(32, order="none", decay_bias=decay_bias)
        rule = logistic.sgd(0.1, 0.9, steps=21, every=2)
        state = logistic.start(wide, rule)
        run = jax.jit(partial(logistic.epoch, optimizer=rule, plan=plan))
        x = jnp.asarray(features, dtype)
        for _ in range(10):
            state, _ = run(state, x, labels, jnp.asarray(decays), jax.random.key(0))
        mine = logistic.heads(state.head, 4)
    assert mine.kernel.dtype == dtype
    for ours, other in zip(mine, theirs, strict=True):
        scale = np.abs(other).max()
        np.testing.assert_allclose(ours, other, rtol=0, atol=tolerance * scale)


def test_running_numbers_are_those_of_the_rows_as_they_were_met():
    """With a rate of zero the weights stand still, and the numbers can be counted."""
    features, labels = small(8, n=50, d=5, c=4)
    features = features.astype(np.float32)
    decays = jnp.array([0.0, 0.3])
    head = Head(*(jnp.asarray(x, jnp.float32) for x in random_head(9)))
    rule = logistic.sgd(0.0, steps=1)
    state = logistic.start(logistic.widen(head, 2), rule)
    plan = logistic.Plan(16)
    _, seen = jax.jit(partial(logistic.epoch, optimizer=rule, plan=plan))(
        state, features, labels, decays, jax.random.key(1)
    )
    answers = np.asarray(logistic.logits(head, features), np.float64)
    each = np.log(np.exp(answers).sum(axis=1)) - answers[np.arange(50), labels]
    right = answers.argmax(axis=1) == labels
    by_class = [each[labels == c].mean() for c in range(4)]
    for i in range(2):
        assert float(seen.loss[i]) == pytest.approx(each.mean(), rel=1e-5)
        assert float(seen.correct[i]) == pytest.approx(right.mean())
        np.testing.assert_allclose(seen.class_loss[i], by_class, rtol=1e-5)
        paid = float(logistic.penalty(head, decays[i]))
        np.testing.assert_allclose(seen.penalised[i], np.add(by_class, paid), rtol=1e-5)
    assert float(seen.last[1]) > float(seen.last[0])


def test_every_row_is_met_once_in_an_epoch_and_in_another_order_each_time():
    features, labels = small(10, n=37)
    rule = logistic.sgd(0.0, steps=5)
    head = Head(*(jnp.asarray(x, jnp.float32) for x in random_head(9)))
    state = logistic.start(head, rule)
    plan = logistic.Plan(8)
    run = jax.jit(partial(logistic.epoch, optimizer=rule, plan=plan))
    given = features.astype(np.float32), labels, jnp.zeros(1)
    one, two = (run(state, *given, jax.random.key(i))[1] for i in range(2))
    np.testing.assert_allclose(one.class_loss, two.class_loss, rtol=1e-5)
    assert abs(float(one.last[0]) - float(two.last[0])) > 1e-3


def two_heads(dtype=np.float64):
    """Return two heads side by side, and the same one by one."""
    one, two = random_head(9), random_head(10, scale=0.3)
    wide = Head(
        jnp.asarray(np.concatenate([one.kernel, two.kernel], axis=1), dtype),
        jnp.asarray(np.concatenate([one.bias, two.bias]), dtype),
    )
    return wide, (one, two)


def test_an_epoch_in_pieces_is_the_epoch():
    """Rows that come from a disk in blocks, of whole batches, give the same heads."""
    features, labels = small(10, n=40)
    features = features.astype(np.float32)
    decays = jnp.array([0.0, 0.1])
    rule, plan = logistic.sgd(0.1, steps=5), logistic.Plan(8, order="none")
    state = logistic.start(two_heads(np.float32)[0], rule)
    whole, seen = logistic.epoch(
        state, features, labels, decays, jax.random.key(0), optimizer=rule, plan=plan
    )
    tally = logistic.nothing(2, 4)
    for rows in (slice(0, 16), slice(16, 40)):
        x, y = features[rows], labels[rows]
        order = logistic.table(len(y), 8)
        state, tally = logistic.walk(
            state, tally, x, y, order, decays, optimizer=rule, plan=plan
        )
    np.testing.assert_array_equal(state.head.kernel, whole.head.kernel)
    for mine, other in zip(logistic.running(tally), seen, strict=True):
        np.testing.assert_allclose(mine, other, rtol=1e-6)


def test_heads_are_judged_by_all_rows_however_they_are_cut():
    features, labels = small(11, n=45)
    with jax.enable_x64(True):
        wide, each = two_heads()
        run = jax.jit(logistic.measure, static_argnames=("l", "block"))
        for block in (10, 45, 100):
            found = run(wide, features, labels, 2, block=block)
            for i, head in enumerate(each):
                answers = features @ head.kernel + head.bias
                right = answers.argmax(axis=1) == labels
                by_class = logistic.class_losses(head, features, labels)
                np.testing.assert_allclose(found.class_loss[i], by_class)
                assert float(found.correct[i]) == pytest.approx(right.mean())
                for c in range(4):
                    there = right[labels == c].mean()
                    assert float(found.class_correct[i, c]) == pytest.approx(there)
        losses, answered = logistic.each_row(wide, features, labels, 2)
        np.testing.assert_allclose(losses.mean(axis=1), found.loss)
        counts = logistic.confusion(labels, answered[1], 4)
        assert int(counts.sum()) == 45
        assert int(jnp.trace(counts)) == round(45 * float(found.correct[1]))


def test_the_gap_of_rows_in_blocks_is_that_of_all_rows():
    features, labels = small(12, n=50)
    decays = np.array([0.03, 0.2])
    with jax.enable_x64(True):
        wide, each = two_heads()

        def blocks():
            return [
                (jnp.asarray(features[rows]), jnp.asarray(labels[rows]))
                for rows in (slice(0, 20), slice(20, 50))
            ]

        found = logistic.gaps(wide, blocks, jnp.asarray(decays))
        for i in range(2):
            whole = logistic.gap(each[i], features, labels, decays[i])
            assert float(found[i]) == pytest.approx(float(whole), rel=1e-9)
        assert np.isinf(logistic.gaps(wide, blocks, jnp.array([0.0, 0.1]))[0])


def test_factors_of_16_bits_and_sums_of_32():
    features, labels = small(11, n=64)
    features = features.astype(np.float32)
    rule = logistic.sgd(0.1, steps=4)
    state = logistic.start(logistic.widen(logistic.zeros(5, 4), 2), rule)
    ends = {}
    for kind in (None, jnp.bfloat16):
        plan = logistic.Plan(16, order="none", operands=kind)
        run = jax.jit(partial(logistic.epoch, optimizer=rule, plan=plan))
        ends[kind], _ = run(
            state, features, labels, jnp.array([0.0, 0.1]), jax.random.key(0)
        )
    half, full = ends[jnp.bfloat16].head.kernel, ends[None].head.kernel
    assert half.dtype == jnp.float32
    off = np.abs(half - full).max() / np.abs(full).max()
    assert 1e-6 < off < 2e-2


def test_the_stable_rate_is_that_of_the_largest_curvature():
    features = small(12)[0].astype(np.float32)
    exact = np.linalg.eigvalsh(
        (x := np.c_[features, np.ones(len(features))]).T @ x / len(x)
    ).max()
    bound = float(logistic.stable_rate(jnp.asarray(features), 0.1, 0.9))
    assert bound == pytest.approx(3.8 / (0.5 * exact + 0.1), rel=1e-4)


@pytest.mark.parametrize(
    ("plan", "message"),
    [
        (logistic.Plan(order="random"), "order must be one of none, epoch"),
        (logistic.Plan(batch_size=0), "a batch needs rows, found 0"),
    ],
)
def test_a_plan_that_cannot_be(plan, message):
    features, labels = small()
    rule = logistic.sgd(0.1, steps=1)
    state = logistic.start(logistic.zeros(5, 4), rule)
    with pytest.raises(UsageError, match=message):
        logistic.epoch(
            state,
            features,
            labels,
            jnp.zeros(1),
            jax.random.key(0),
            optimizer=rule,
            plan=plan,
        )
