"""Networks taken away: each format runs without the library, and answers the same."""

import re
import subprocess
import sys
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxpareto import cli, export, hyper, load
from jaxpareto.conditioned import concatenated, generated, independent
from jaxpareto.errors import RunError, UsageError
from jaxpareto.nets import mlp

PAGE = Path(__file__).parent.parent / "docs" / "export.md"
PREF = [0.3, 0.7]


@pytest.fixture(scope="module")
def front(trained):
    return trained[0]


@pytest.fixture(scope="module")
def images():
    return np.random.default_rng(0).random((5, 12, 12), np.float32)


def need(format):
    if format == "onnx":
        pytest.importorskip("jax2onnx", reason="extra `onnx`, in a venv of its own")
        pytest.importorskip("onnxruntime", reason="extra `onnx`")
    pytest.importorskip("safetensors", reason="extra `export`")
    pytest.importorskip("flatbuffers", reason="extra `export`")


def without_the_library(name: str, folder: Path) -> np.ndarray:
    """Run the page's example of a file in a process that cannot import jaxpareto."""
    (code,) = re.findall(
        rf"<!-- example: {re.escape(name)} -->\n```python\n(.*?)```",
        PAGE.read_text(encoding="utf-8"),
        re.DOTALL,
    )
    assert len([line for line in code.splitlines() if line]) == 5
    program = f"import sys; sys.modules['jaxpareto'] = None\n{code}\n"
    program += "import numpy; numpy.save('logits.npy', logits)"
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=folder, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    return np.load(folder / "logits.npy")


@pytest.mark.parametrize(
    ("name", "tolerance"),
    [
        ("net.safetensors", 1e-5),  # NumPy adds in another order; the weights are equal
        ("net.jaxexport", 0.0),
        ("net.onnx", 1e-5),
        ("all.onnx", 1e-5),
    ],
)
def test_the_example_of_each_format_answers_as_jax(
    front, images, tmp_path, name, tolerance
):
    need(name.split(".")[1])
    export.save(front, tmp_path / name, None if name.startswith("all") else PREF)
    np.save(tmp_path / "images.npy", images)
    found = without_the_library(name, tmp_path)
    want = np.asarray(front(PREF, images))
    assert found.shape == want.shape
    scale = max(1.0, np.abs(want).max())
    assert np.abs(found - want).max() <= tolerance * scale
    assert {path.name for path in tmp_path.iterdir()} == {
        *("images.npy", "logits.npy", name)
    }


def test_weights_are_the_same_bits_and_say_what_they_are(front, tmp_path):
    need("safetensors")
    from safetensors import safe_open

    for pref, params in ((PREF, front.params(PREF)), (None, front.phi)):
        export.save(front, tmp_path / "a.safetensors", pref, force=True)
        with safe_open(tmp_path / "a.safetensors", "numpy") as file:
            saved = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
            about = file.metadata()
        leaves, _ = jax.tree_util.tree_flatten_with_path(params)
        assert len(leaves) == len(saved)
        for path, leaf in leaves:
            name = jax.tree_util.keystr(path, simple=True, separator="/")
            np.testing.assert_array_equal(saved[name], leaf)
        assert about["preference"] == ("0.3,0.7" if pref else "input")
        assert about["image"] == "12x12" and about["network"] == "mlp"


def made(conditioner: str) -> export.Network:
    """Make an exportable network of an untrained family, by the kind of its parts."""
    net, key = mlp((6, 6), widths=(8,)), jax.random.key(0)
    if conditioner == "input":
        family = concatenated(
            mlp((6, 6), widths=(8,), channels=3), 2, key, image_shape=(6, 6)
        )
    elif conditioner == "independent":
        family = independent(net, [[0.1, 0.9], [0.9, 0.1]])
    else:
        family = generated(net, 2, key, module=hyper.Heads)
    phi, about = jax.jit(family.init)(key), {"network": "mlp"}
    return export.Network(phi, family.forward, family.params, (6, 6), 2, about)


@pytest.mark.parametrize("conditioner", ["heads", "input", "independent"])
def test_a_whole_family_runs_for_any_batch(conditioner):
    need("jaxexport")
    network = made(conditioner)
    assert network.whole
    assert network.shapes == {"preference": (2,), "images": ("b", 6, 6)}
    program = jax.export.deserialize(export.to_program(network))
    assert set(program.platforms) == {"cpu", "cuda"}
    for b in (1, 3):
        images = np.random.default_rng(b).random((b, 6, 6), np.float32)
        pref = jnp.asarray(PREF)
        want = jax.jit(network.answer)(pref, images)
        np.testing.assert_array_equal(jax.jit(program.call)(pref, images), want)


@pytest.mark.parametrize("conditioner", ["heads", "input"])
def test_modules_do_not_reach_the_onnx_converter(conditioner):
    need("onnx")
    from jaxpareto.export.onnx_model import difference

    network = made(conditioner)
    assert difference(network, export.to_onnx(network), examples=3) < 1e-6


def test_a_wrong_conversion_is_not_given_away(front, monkeypatch):
    need("onnx")
    from jaxpareto.export import onnx_model

    monkeypatch.setattr(onnx_model, "TOLERANCE", -1.0)
    with pytest.raises(RunError, match="nothing was written"):
        export.to_onnx(export.network(front, PREF))


def call(*words):
    return cli.main(["export", *map(str, words)])


def test_the_command_says_what_the_file_reads_and_answers(front, tmp_path, capsys):
    need("jaxexport")
    path = tmp_path / "new" / "net.program"
    words = (front.folder, "--whole", "--format", "jaxexport", "--out", path)
    assert call(*words) == 0
    said = capsys.readouterr().out
    assert "preference [2], images [b, 12, 12] -> logits [b, 2, 10]" in said
    assert call(*words) == 2
    assert "add --force" in capsys.readouterr().err
    assert call(*words, "--force") == 0


@pytest.mark.parametrize(
    ("words", "status", "said"),
    [
        (["--pref", "0.3,0.8", "--out", "a.onnx"], 2, "sums to 1.1"),
        (["--pref", "1", "--out", "a.onnx"], 2, "0.5,0.5"),
        (["--pref", "0.3,0.7", "--out", "a.txt"], 2, ".safetensors, .jaxexport, .onnx"),
        (["--pref", "0.3,0.7", "--out", "a", "--format", "onxx"], 2, "mean onnx"),
        (["--out", "a.onnx"], 2, "--whole for all of them; found neither"),
        (["--pref", "0.3,0.7", "--whole", "--out", "a.onnx"], 2, "found both"),
        (["--whole", "--out", "."], 2, "is a folder"),
        (["--whole", "--out", "a.onnx"], 1, "pip install 'jaxpareto[onnx]'"),
        (["--whole", "--out", "a.jaxexport"], 1, "pip install 'jaxpareto[export]'"),
    ],
)
def test_bad_words_give_one_clear_line(
    front, tmp_path, monkeypatch, capsys, words, status, said
):
    for missing in ("jax2onnx", "flatbuffers"):
        monkeypatch.setitem(sys.modules, missing, None)
    monkeypatch.chdir(tmp_path)
    assert call(front.folder, *words) == status
    captured = capsys.readouterr()
    assert captured.err.count("\n") == 1 and said in captured.err
    assert captured.out == "" and list(tmp_path.iterdir()) == []


def test_a_disk_that_refuses_is_named(front, tmp_path):
    need("safetensors")
    (tmp_path / "file").write_text("")
    with pytest.raises(RunError, match="cannot write"):
        export.save(front, tmp_path / "file" / "a.safetensors", PREF)
    with pytest.raises(UsageError, match="2 non-negative numbers"):
        export.save(front, tmp_path / "a.safetensors", [0.2, 0.3, 0.5])


def test_a_run_is_loaded_as_ever(front, images):
    np.testing.assert_array_equal(load(front.folder)(PREF, images), front(PREF, images))
