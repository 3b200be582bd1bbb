"""The two experiments on hypernetworks of Ha et al., at their smallest."""

import json
import os

import numpy as np
import pytest

from experiments import hyperlstm, static_hypernet
from jaxpareto import cli
from jaxpareto.data.idx import Source
from jaxpareto.train import pieces

pytestmark = pytest.mark.long


@pytest.fixture(autouse=True)
def own_flags(monkeypatch):
    """Keep what the scripts set for themselves from the other tests."""
    monkeypatch.setenv("XLA_FLAGS", os.environ.get("XLA_FLAGS", ""))


def called(experiment, capsys, *words):
    status = cli.guarded(experiment._parser, [str(word) for word in words])
    return status, *capsys.readouterr()


def killed_after(monkeypatch, experiment, count):
    """Let a training be killed after so many pieces, once."""
    real, left = pieces.progress, [count]

    def progress(*words):
        watch = real(*words)

        def counted(done, state):
            watch(done, state)
            left[0] -= 1
            if left[0] == 0:
                raise KeyboardInterrupt

        return counted

    monkeypatch.setattr(experiment, "progress", progress)


def test_static_hypernet_smoke_killed_and_continued(tmp_path, capsys, monkeypatch):
    small = static_hypernet.PRESETS["smoke"]._replace(epochs=2)
    monkeypatch.setitem(static_hypernet.PRESETS, "smoke", small)
    killed_after(monkeypatch, static_hypernet, 5)  # in the second network
    call = ["--preset", "smoke", "--out", tmp_path / "x"]
    assert called(static_hypernet, capsys, *call)[0] == 130
    first = tmp_path / "x" / "direct" / "result.json"
    assert not (tmp_path / "x" / "result.json").exists()
    written = first.stat().st_mtime_ns
    status, out, _ = called(static_hypernet, capsys, *call)
    assert status == 0 and first.stat().st_mtime_ns == written
    assert "| direct | 14,010 | 12,544 |" in out
    assert "| generated | 5,710 | 4,244 |" in out
    assert "points of test accuracy, 2 seeds" in out
    found = json.loads((tmp_path / "x" / "result.json").read_text())
    histories = [each["history"] for each in found["networks"].values()]
    assert np.isfinite(histories).all() and np.shape(histories) == (2, 2, 2, 3)
    assert found["rows"][0]["test accuracy"] > 0.3
    for name in ("table.csv", "table.md"):
        assert (tmp_path / "x" / name).stat().st_size > 200
    for name in ("curves.png", "kernels.png"):
        assert (tmp_path / "x" / name).stat().st_size > 10_000
    # Done already: nothing is trained, and the words are the same.
    assert called(static_hypernet, capsys, *call) == (0, out, "")
    nowhere = ["--preset", "mnist", "--data-dir", tmp_path]
    for words, code, message in (
        (nowhere, 1, "mnist/ is not there"),
        (["--preset", "minst"], 2, "did you mean mnist"),
    ):
        status, _, other = called(static_hypernet, capsys, *call, *words)
        assert status == code and other.count("\n") == 1 and message in other
    monkeypatch.setitem(
        static_hypernet.PRESETS, "smoke", small._replace(epochs=3, rate=1.0)
    )
    status, _, other = called(static_hypernet, capsys, *call)
    assert status == 2 and "holds a run with another epochs, rate; name a new" in other
    first.write_text("{")
    monkeypatch.setitem(static_hypernet.PRESETS, "smoke", small)
    status, _, other = called(static_hypernet, capsys, *call)
    assert status == 1 and "is damaged" in other


def test_the_residual_networks_path_on_small_colour_images(tmp_path, monkeypatch):
    """Classes that differ by their colour are learned with shared kernels."""
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 3, 150).astype(np.uint8)
    images = rng.integers(0, 90, (150, 8, 8, 3), dtype=np.uint8)
    images[np.arange(150), :, :, labels] += 150
    source = Source(images, labels, images[:30], labels[:30], 3)
    monkeypatch.setattr(static_hypernet, "load_cifar", lambda *words: source)
    small = static_hypernet.PRESETS["cifar"]._replace(
        embedding=4, held=30, epochs=4, seeds=1, rate=1e-2, batch=20, shift=1, warmup=2
    )
    monkeypatch.setitem(static_hypernet.PRESETS, "cifar", small)
    two = static_hypernet.nets.plain_resnet
    monkeypatch.setitem(
        static_hypernet.NETS,
        "resnet",
        lambda shape, classes: two(shape, classes=classes, blocks=1, widths=(16, 32)),
    )
    rows = static_hypernet.main("cifar", tmp_path / "x")
    assert [row["of the kernels"] for row in rows] == [
        3 * 3 * (16 * 16 + 16 * 32),
        16 * (4 * 4 + 4) + 3 * 3 * 16 * 5 + 3 * 4,
    ]
    assert all(row["validation accuracy"] > 0.6 for row in rows)


def test_hyperlstm_smoke_killed_and_continued(tmp_path, capsys, monkeypatch):
    small = hyperlstm.PRESETS["smoke"]._replace(
        longest=6000,
        round_updates=4,
        rounds=2,
        streams=4,
        span=16,
        rates=(1e-3, 4e-3),
        tried=1,
    )
    monkeypatch.setitem(hyperlstm.PRESETS, "smoke", small)
    killed_after(monkeypatch, hyperlstm, 8)
    call = ["--preset", "smoke", "--out", tmp_path / "x"]
    assert called(hyperlstm, capsys, *call)[0] == 130
    first = tmp_path / "x" / "lstm" / "result.json"
    written = first.stat().st_mtime_ns
    status, out, _ = called(hyperlstm, capsys, *call)
    assert status == 0 and first.stat().st_mtime_ns == written
    found = json.loads((tmp_path / "x" / "result.json").read_text())
    assert [row["cell"] for row in found["rows"]] == ["lstm", "hyper-lstm"]
    sizes = [row["parameters"] for row in found["rows"]]
    assert abs(sizes[0] / sizes[1] - 1) < 0.02, "of equal size"
    assert all(row["rate"] in (1e-3, 4e-3) for row in found["rows"])
    bits = [row["test bits"] for row in found["rows"]]
    assert np.isfinite(bits).all() and min(bits) > 1.0
    for name in ("table.csv", "table.md"):
        assert (tmp_path / "x" / name).stat().st_size > 200
    for name in ("curves.png", "scales.png"):
        assert (tmp_path / "x" / name).stat().st_size > 10_000
    assert called(hyperlstm, capsys, *call) == (0, out, "")
    (tmp_path / "own.txt").write_text("an own text. " * 100)
    for words, code, message in (
        (["--text", tmp_path / "own.txt"], 2, "holds a run with another text"),
        (["--text", tmp_path / "no.txt"], 1, "cannot read"),
        (["--preset", "txet"], 2, "did you mean text"),
        (["--out", tmp_path], 2, "is not empty and holds something else"),
    ):
        status, _, other = called(hyperlstm, capsys, *call, *words)
        assert status == code and other.count("\n") == 1 and message in other
