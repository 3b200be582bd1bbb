"""Files of weights: every format gives the same arrays, and nothing in one is run."""

import hashlib
import zipfile

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxpareto.backbones import file_hash, from_state_dict, read_weights
from jaxpareto.backbones.weights import HASHES
from jaxpareto.errors import RunError, UsageError
from jaxpareto.nets import imagenet
from tests import torchvision_like

ORDERED = b"ccollections\nOrderedDict\n)R"
REBUILD = b"ctorch._utils\n_rebuild_tensor_v2\n"
STORAGES = {"float32": b"FloatStorage", "float16": b"HalfStorage"} | {
    "bfloat16": b"BFloat16Storage",
    "float64": b"DoubleStorage",
    "int64": b"LongStorage",
}


def text(string):
    return b"X" + len(string).to_bytes(4, "little") + string.encode()


def number(value):
    return b"J" + value.to_bytes(4, "little", signed=True)


def row(*items):
    return b"(" + b"".join(items) + b"t"


def tensor(array, key, *, offset=0, strides=None, size=None, storage=None):
    """Return the opcodes of a tensor in the storage `key`."""
    if strides is None:
        strides = [step // array.itemsize for step in array.strides]
    storage = storage or b"ctorch\n" + STORAGES[array.dtype.name] + b"\n"
    size = number(array.size if size is None else size)
    stored = row(text("storage"), storage, text(key), text("cpu"), size) + b"Q"
    shape = row(*map(number, array.shape))
    steps = row(*map(number, strides))
    return REBUILD + row(stored, number(offset), shape, steps, b"\x89", ORDERED) + b"R"


def by_hand(path, arrays, *, pickled=None, omit=(), compress=False, **extra):
    """Write what torch.save writes, opcode by opcode: a zip of a pickle and storages.

    Args:
      path: the file.
      arrays: name -> array, each in a storage of its own.
      pickled: opcodes instead of those of a state dict.
      omit: keys of storages to leave out.
      compress: the archive.
      extra: further files of the archive.
    """
    if pickled is None:
        items = [text(k) + tensor(a, str(i)) for i, (k, a) in enumerate(arrays.items())]
        pickled = ORDERED + b"(" + b"".join(items) + b"u"
    files = {"data.pkl": b"\x80\x02" + pickled + b".", "version": b"3\n"}
    for i, array in enumerate(arrays.values()):
        if str(i) not in omit:
            files[f"data/{i}"] = array.tobytes()
    method = zipfile.ZIP_DEFLATED if compress else zipfile.ZIP_STORED
    with zipfile.ZipFile(path, "w", method) as archive:
        for name, content in (files | extra).items():
            archive.writestr(f"archive/{name}", content)
    return path


GENERATOR = np.random.default_rng(0)
ARRAYS = {
    "kernel": GENERATOR.standard_normal((4, 3, 2, 2)).astype(np.float32),
    "half": GENERATOR.standard_normal(5).astype(np.float16),
    "brain": GENERATOR.standard_normal((2, 3)).astype(jnp.bfloat16),
    "double": GENERATOR.standard_normal((3, 1)),
    "bn.num_batches_tracked": np.array(7, np.int64),
    "none": np.zeros((0, 4), np.float32),
}


def alike(found, wanted):
    assert set(found) == set(wanted)
    for name, array in wanted.items():
        assert found[name].dtype == array.dtype
        np.testing.assert_array_equal(found[name], array)


def as_torch(path, arrays):
    torch = pytest.importorskip("torch", reason="it writes the file")
    tensors = {}
    for name, array in arrays.items():
        wide = torch.tensor(array.astype(np.float64))  # it takes no bfloat16
        tensors[name] = wide.to(getattr(torch, array.dtype.name))
    torch.save(tensors, path)


def as_safetensors(path, arrays):
    pytest.importorskip("safetensors.numpy").save_file(arrays, path)


WRITERS = {"hand.pth": by_hand, "torch.pth": as_torch, "w.safetensors": as_safetensors}


@pytest.mark.parametrize("name", WRITERS)
def test_every_format_gives_the_same_arrays(tmp_path, name):
    path = tmp_path / name
    WRITERS[name](path, ARRAYS)
    alike(read_weights(path), ARRAYS)
    # What is in a file tells its format, whatever it is called.
    alike(read_weights(path.rename(tmp_path / "weights.bin")), ARRAYS)


def test_pytorch_reads_what_was_written_by_hand(tmp_path):
    torch = pytest.importorskip("torch", reason="an oracle: needs PyTorch")
    found = torch.load(by_hand(tmp_path / "w.pth", ARRAYS), weights_only=True)
    alike({k: v.double().numpy() for k, v in found.items()}, _doubled(ARRAYS))


def _doubled(arrays):
    return {name: array.astype(np.float64) for name, array in arrays.items()}


def test_views_of_one_storage(tmp_path):
    """Strides and offsets count, as for tied, transposed and sliced weights."""
    whole = np.arange(24, dtype=np.float32)
    views = {
        "transposed": whole.reshape(4, 6).T,
        "slice": whole.reshape(4, 6)[1:3, ::2],
        "repeated": np.broadcast_to(whole[5], (2, 3)),
        "last": whole[23:],
    }
    items = b"".join(
        text(name)
        + tensor(
            view,
            "0",
            offset=int(view.flat[0]),
            strides=[step // 4 for step in view.strides],
            size=24,
        )
        for name, view in views.items()
    )
    pickled = ORDERED + b"(" + items + b"u"
    path = by_hand(tmp_path / "views.pth", {"whole": whole}, pickled=pickled)
    found = read_weights(path)
    alike(found, views)
    assert found["transposed"].base is not None
    torch = pytest.importorskip("torch", reason="an oracle: needs PyTorch")
    tensors = torch.load(path, weights_only=True)
    alike({name: each.numpy() for name, each in tensors.items()}, views)
    torch.save(tensors, tmp_path / "again.pth")
    alike(read_weights(tmp_path / "again.pth"), views)


def test_a_modules_own_state_dict_parameters_and_a_wrapper(tmp_path):
    torch = pytest.importorskip("torch", reason="it writes the files")
    module = torch.nn.Sequential(torch.nn.Linear(3, 2), torch.nn.BatchNorm1d(2))
    wanted = {k: v.detach().numpy() for k, v in module.state_dict().items()}
    parameters = dict(module.named_parameters())
    saved = {
        "state": (module.state_dict(), wanted),
        "wrapped": ({"epoch": 3, "state_dict": module.state_dict()}, wanted),
        "parameters": (parameters, {name: wanted[name] for name in parameters}),
    }
    for name, (content, arrays) in saved.items():
        torch.save(content, tmp_path / name)
        alike(read_weights(tmp_path / name), arrays)
    torch.save(module, tmp_path / "module")
    with pytest.raises(RunError, match=r"asks for 'torch\.nn\.modules\S*Sequential'"):
        read_weights(tmp_path / "module")


@pytest.mark.parametrize(
    "called",
    [
        b"cposix\nsystem\n" + row(text("touch made")) + b"R",
        b"cbuiltins\neval\n" + row(text("open('made', 'w')")) + b"R",
        b"(" + text("touch made") + b"iposix\nsystem\n",  # the opcode INST
        b"\x8c\x05posix\x8c\x06system\x93" + row(text("touch made")) + b"R",
        b"ctorch\nload\n" + row(text("made")) + b"R",
        b"ccollections\nCounter\n)R",
        b"\x8c\x09two\nlines\x8c\x01x\x93)R",
    ],
)
def test_a_pickle_that_asks_for_anything_else_is_refused(tmp_path, monkeypatch, called):
    monkeypatch.chdir(tmp_path)
    path = by_hand(tmp_path / "w.pth", {}, pickled=called)
    with pytest.raises(RunError, match=r"asks for '.*', which no state dict .*: refu"):
        read_weights(path)
    assert not (tmp_path / "made").exists()


FLOATS = b"ctorch\nFloatStorage\n"
FOUR = np.arange(4, dtype=np.float32)


@pytest.mark.parametrize(
    ("pickled", "said"),
    [
        (tensor(FOUR, "0", offset=1), "reaches beyond its storage of 4 numbers"),
        (tensor(FOUR, "0", strides=[2]), "reaches beyond its storage"),
        (tensor(FOUR, "0", offset=-1), "reaches beyond its storage"),
        (tensor(FOUR[::-1], "0", offset=3), "reaches beyond its storage"),
        (tensor(FOUR, "0", strides=[1, 1]), "is damaged"),
        (tensor(FOUR, "0", size=5), "16 bytes where 5 numbers take 20"),
        (tensor(FOUR, "1"), "no item named 'archive/data/1'"),
        (tensor(FOUR, "0", storage=text("os.system")), "is damaged"),
        (REBUILD + row(number(0), number(0), b"(t", b"(t") + b"R", "a tensor of int"),
        # A tensor is a note, which nothing in the pickle can change.
        (tensor(FOUR, "0") + b"}" + text("shape") + number(9) + b"sb", "is damaged"),
        (b"", "is damaged"),
    ],
)
def test_a_pickle_that_lies_about_its_tensors(tmp_path, pickled, said):
    pickled = ORDERED + b"(" + text("x") + pickled + b"u"
    path = by_hand(tmp_path / "w.pth", {"x": FOUR}, pickled=pickled)
    with pytest.raises(RunError, match=said) as error:
        read_weights(path)
    assert "\n" not in str(error.value)


def test_damaged_files_give_one_line_each(tmp_path):
    """Cut anywhere, or with bytes changed anywhere: read, or one line that says so."""
    by_hand(tmp_path / "w.pth", {"x": FOUR, "y": FOUR[:2]})
    whole = (tmp_path / "w.pth").read_bytes()
    broken = [whole[:length] for length in range(len(whole))]
    for i in range(len(whole)):
        flipped = bytearray(whole)
        flipped[i] ^= 1 << i % 8
        broken.append(bytes(flipped))
    # The pickle alone, so that no checksum of the archive stands in front of it.
    items = [text("x") + tensor(FOUR, "0"), text("y") + tensor(FOUR[:2], "1")]
    pickled = ORDERED + b"(" + b"".join(items) + b"u"
    refused = 0
    for i in range(1200):
        path = tmp_path / "broken.pth"
        if i < len(broken):
            path.write_bytes(broken[i])
        else:
            other = bytearray(pickled)
            for at in GENERATOR.integers(len(other), size=2):
                other[at] = GENERATOR.integers(256)
            by_hand(path, {"x": FOUR, "y": FOUR[:2]}, pickled=bytes(other))
        try:
            read_weights(path)
        except RunError as error:
            refused += 1
            assert "\n" not in str(error)
            assert str(path) in str(error)
    assert refused > len(whole)


def test_other_files_are_named(tmp_path):
    def said(name, content):
        (tmp_path / name).write_bytes(content)
        with pytest.raises(RunError) as error:
            read_weights(tmp_path / name)
        return str(error.value)

    assert "pickle, as torch.save wrote before PyTorch 1.6" in said("a", b"\x80\x02l.")
    assert "neither a .safetensors file nor one of torch.save" in said("b", b"hello")
    assert "is damaged" in said("c.safetensors", b"hello")
    as_safetensors(tmp_path / "d", ARRAYS)
    assert "is damaged" in said("e", (tmp_path / "d").read_bytes()[:-1])
    with pytest.raises(RunError, match=r"cannot read the weights .*No such file"):
        read_weights(tmp_path / "absent.pth")
    with pytest.raises(RunError, match=r"cannot read the weights .*directory"):
        read_weights(tmp_path)

    def refused(**options):
        by_hand(tmp_path / "w.pth", {"x": FOUR}, **options)
        with pytest.raises(RunError) as error:
            read_weights(tmp_path / "w.pth")
        return str(error.value)

    assert "is compressed" in refused(compress=True)
    assert "big-endian" in refused(byteorder=b"big")
    assert "not one of torch.save" in refused(**{"other/data.pkl": b""})
    assert "holds a dictionary with nothing" in refused(pickled=ORDERED)
    assert "holds something of type int, not" in refused(pickled=number(3))
    pickled = ORDERED + b"(" + text("epoch") + number(3) + b"u"
    assert "a dictionary with 'epoch', not a state dict" in refused(pickled=pickled)


def test_a_name_with_a_hash_is_a_promise(tmp_path):
    content = b"weights"
    digest = hashlib.sha256(content).hexdigest()
    kept = ["w.pth", f"net-{digest[:8]}.pth", f"net-{digest}.safetensors"]
    broken = [
        "net-0123abcd.pth",
        f"net-{digest[:63]}{'0' if digest[63] == 'e' else 'e'}.pth",
    ]
    for name in [*kept, "net-20240131.pth", "net-deadbeef-v2.pth", *broken, *HASHES]:
        (tmp_path / name).write_bytes(content)
        if name in broken or name in HASHES:
            with pytest.raises(RunError, match=f"SHA-256 {digest} where .* was expect"):
                file_hash(tmp_path / name)
        else:
            assert file_hash(tmp_path / name) == digest
    with pytest.raises(RunError, match=r"cannot read the weights .*No such file"):
        file_hash(tmp_path / "absent.pth")


def test_known_hashes_start_as_their_files_names_end():
    for name, known in HASHES.items():
        assert known.startswith(name.removesuffix(".pth").split("-")[1])
        assert name.split("-")[0] in imagenet.ARCHITECTURES


@pytest.mark.parametrize("name", torchvision_like.NETWORKS)
def test_every_tensor_has_its_place(name):
    """Constants that differ from tensor to tensor, so that none can be exchanged."""
    shapes = torchvision_like.shapes(name, classes=3)
    state = {
        key: np.broadcast_to(np.float32(i + 1), shape)
        for i, (key, shape) in enumerate(shapes.items())
    }
    params = from_state_dict(state, name)
    spec = imagenet.shapes(name, classes=3)
    assert jax.tree.map(np.shape, params) == jax.tree.map(np.shape, spec)

    def value(tensor):
        return state[tensor].flat[0]

    leaves = jax.tree_util.tree_leaves_with_path(params)
    used = {leaf.flat[0] for _, leaf in leaves}
    tracked = {value(key) for key in state if key.endswith("tracked")}
    assert len(used) == len(leaves)
    assert used == {value(key) for key in state} - tracked
    last = len(params["stages"][2]) - 1
    block = params["stages"][2][last]
    assert block["conv1"]["kernel"].flat[0] == value(f"layer3.{last}.conv2.weight")
    assert block["conv0"]["var"].flat[0] == value(f"layer3.{last}.bn1.running_var")
    projection = params["stages"][1][0]["projection"]
    assert projection["mean"].flat[0] == value("layer2.0.downsample.1.running_mean")
    assert projection["scale"].flat[0] == value("layer2.0.downsample.1.weight")
    assert params["head"]["bias"].flat[0] == value("fc.bias")
    assert (name != "resnet50") or len(state) == 320


def test_all_keys_that_do_not_fit_are_in_one_line():
    state = torchvision_like.drawn("resnet18", classes=2)
    del state["layer3.0.bn2.running_mean"], state["bn1.bias"]
    state["layer9.weight"] = FOUR
    state["fc.bias"] = FOUR
    state["layer1.0.conv1.weight"] = np.zeros((64, 64, 3, 3), np.int64)
    with pytest.raises(RunError) as error:
        from_state_dict(state, "resnet18")
    said = str(error.value)
    assert "missing: bn1.bias, layer3.0.bn2.running_mean" in said
    assert "unknown: layer9.weight" in said
    assert "fc.bias (4,) instead of (2,)" in said
    assert "not of floats: layer1.0.conv1.weight (int64)" in said
    with pytest.raises(RunError, match=r"of a resnet34; missing: .*, and \d+ more"):
        from_state_dict(torchvision_like.drawn("resnet18", classes=2), "resnet34")
    with pytest.raises(UsageError, match="unknown architecture 'resnet20'"):
        from_state_dict({}, "resnet20")


def test_numbers_that_no_training_gives():
    state = torchvision_like.drawn("resnet18", classes=2)
    state["fc.bias"][1] = np.nan
    state["bn1.running_var"][3] = -1
    with pytest.raises(RunError, match=r"not finite.*: bn1.running_var, fc.bias"):
        from_state_dict(state, "resnet18")
