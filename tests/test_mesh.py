"""Many devices: what they find is what one finds, and each holds its share.

JAX counts its devices once, so 8 virtual ones are a process of their own: what
`many_devices.py` does there is judged here.
"""

import json
import math
import os
import re
import subprocess
import sys
from pathlib import Path

import jax
import pytest

from jaxpareto import cli
from jaxpareto.errors import UsageError
from jaxpareto.train import mesh

HEADS = ["heads 4x2", "stream 4x2"]
MESHES = ["losses 8x1", "losses 2x4", "gramians 4x2", "seeds 4x2"]
BYTES = {"pred": 1, "u8": 1, "f16": 2, "s32": 4, "u32": 4, "f32": 4}


@pytest.fixture(scope="module")
def found(tmp_path_factory):
    program = Path(__file__).with_name("many_devices.py")
    flags = os.environ["XLA_FLAGS"] + " --xla_force_host_platform_device_count=8"
    ran = subprocess.run(
        [sys.executable, program, tmp_path_factory.mktemp("meshes")],
        env=os.environ | {"XLA_FLAGS": flags, "PYTHONPATH": str(program.parent.parent)},
        capture_output=True,
        text=True,
    )
    assert ran.returncode == 0, ran.stderr[-3000:]
    return json.loads(ran.stdout.splitlines()[-1])


@pytest.mark.long
@pytest.mark.parametrize("name", [*MESHES, *HEADS])
def test_a_mesh_finds_what_one_device_finds(found, name):
    assert found["count"] == 8
    assert found[name]["off"] < 1e-6


@pytest.mark.long
def test_checkpoints_go_from_mesh_to_mesh(found):
    assert found["resumed"]["step"] == 3 * (1003 // 64)
    assert found["resumed"]["off"] < 3e-6  # 45 steps add up
    assert (found["resumed"]["best"], found["resumed"]["waited"]) == (2, 1)
    assert found["resumed"]["best off"] < 3e-6


@pytest.mark.long
def test_a_store_is_extracted_alike(found):
    assert found["extracted"]


@pytest.mark.long
def test_a_front_is_scored_alike(found):
    assert found["score"] < 1e-6


@pytest.mark.long
@pytest.mark.parametrize("name", HEADS)
def test_heads_and_their_rows_are_shared_out(found, name):
    """The rows of a batch are looked up; the store stays where it is."""
    many = found[name]
    assert many["gap"] < 1e-4
    for word in many["sent"]:
        assert not word.startswith("all-gather")
        assert "f16" not in word or word == "all-reduce f16[64,24]"
    here = many["arguments"] - many["kept"]
    assert here == pytest.approx(many["share"], rel=0.15)


@pytest.mark.long
@pytest.mark.parametrize("name", MESHES)
def test_no_device_gathers_the_data(found, name):
    """What is sent: a batch that is looked up, gradients, and a few small vectors."""
    for word in found[name]["sent"]:
        what, shape = word.split(" ")
        kind, sizes = re.fullmatch(r"([a-z0-9]+)\[([\d,]*)\]", shape).groups()
        numbers = math.prod(int(each) for each in sizes.split(",") if each)
        if what == "all-gather":
            assert BYTES[kind] * numbers <= 4 * 64, "a number for each example at most"
        if kind == "u8":
            assert numbers <= 64 * 12 * 12, "the pixels of one batch"


@pytest.mark.long
@pytest.mark.parametrize("name", MESHES)
def test_each_device_holds_and_computes_its_share(found, name):
    one, many = found[f"{name.split()[0]} 1"], found[name]
    p, b = map(int, name.split()[1].split("x"))
    if name.startswith("seeds"):  # what is shared out is the state
        shared, here = many["state"], many["arguments"] - many["data"]
        share = 1 / p
    else:
        shared, here, share = one["images"], many["images here"], 1 / (p * b)
        kept = many["data"] - many["images"] + many["state"]
        assert many["arguments"] == pytest.approx(kept + here, rel=0.15)
    assert here == pytest.approx(shared * share, rel=0.15)
    # Each of the b devices that share a network's examples makes the network.
    assert many["flops"] < one["flops"] / p * (1.5 if b == 1 else 1.0)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("16", "found 8 devices, asked for 16; .*xla_force_host_platform_device_count"),
        (
            "5",
            "6 seeds and 4 examples of each cannot .* counts that can: 1, 2, 3, 4, 6",
        ),
        ("4x2", "--devices 4x2: 6 seeds and 4 examples"),
        ("many", "--devices must be a count, as 8, or seeds x batch, as 4x2; found"),
        ("0", "must be a count"),
        ("2x2x2", "must be a count"),
    ],
)
def test_devices_that_cannot_be(monkeypatch, words, message):
    monkeypatch.setattr(mesh.jax, "devices", lambda: [None] * 8)
    with pytest.raises(UsageError, match=message):
        mesh.choose(words, 6, 4, what="seeds")


def test_one_device_is_the_plain_program_and_the_command_says_what_is_missing(
    tmp_path, capsys
):
    if jax.device_count() > 1:
        pytest.skip("needs a single device")
    assert mesh.choose(None, 8, 8) is None and mesh.choose("1", 8, 8) is None
    words = ["front", "--devices", "8", "--out", str(tmp_path / "run")]
    assert cli.main(words) == 2
    said = capsys.readouterr().err
    assert said.count("\n") == 1 and "found 1 device, asked for 8" in said
    assert not (tmp_path / "run").exists()
