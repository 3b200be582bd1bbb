"""Training in pieces: what was killed goes on, and a folder holds one experiment."""

import jax.numpy as jnp
import numpy as np
import pytest

from jaxpareto.errors import RunError, UsageError
from jaxpareto.train.folder import claim
from jaxpareto.train.log import read_json
from jaxpareto.train.pieces import Clock, by_pieces, progress

MEMBERS = {"step": np.array([1.0, 10.0, 100.0], np.float32)}


def begin(member):
    return {"sum": 0.0 * member["step"], "done": jnp.zeros((), jnp.int32)}


def advance(member, state, shared, until):
    """Add up; whoever is told to go nowhere stays."""
    more = jnp.maximum(until - state["done"], 0)
    total = state["sum"] + more * member["step"] * shared
    return {"sum": total, "done": state["done"] + more}


def test_a_killed_training_goes_on_where_it_was(tmp_path, monkeypatch):
    """Whatever places the members have, they come back in their own order."""
    seen = []
    dealt = np.array([2, 0, 3, 1])  # as by two devices; place 2 is spare
    monkeypatch.setattr("jaxpareto.train.pieces.places", lambda count: dealt)

    def killed(done, state):
        seen.append((done, state["sum"].tolist()))
        if done == 3 and len(seen) == 4:
            raise KeyboardInterrupt

    run = (begin, advance, MEMBERS, np.float32(2.0), tmp_path / "c")
    with pytest.raises(KeyboardInterrupt):
        by_pieces(*run, until=7, watch=killed)
    assert [done for done, _ in seen] == [0, 1, 2, 3]
    found = by_pieces(*run, until=7, every=3, watch=killed)
    assert [done for done, _ in seen[4:]] == [3, 6, 7]
    assert seen[4] == (3, [6.0, 60.0, 600.0])
    assert found["sum"].tolist() == [14.0, 140.0, 1400.0]
    assert by_pieces(*run, until=7, watch=killed)["done"].tolist() == [7, 7, 7]
    monkeypatch.undo()
    other = {"step": np.ones(2, np.float32)}
    with pytest.raises(RunError, match="is of another network"):
        by_pieces(begin, advance, other, 2.0, tmp_path / "c", until=7, watch=killed)


def test_a_folder_holds_one_experiment(tmp_path):
    claim(tmp_path / "x", {"seeds": 3, "rates": (1, 2)})
    claim(tmp_path / "x", {"seeds": 3, "rates": (1, 2)})
    (tmp_path / "file").touch()
    for folder, settings, message in (
        (tmp_path / "x", {"seeds": 4, "rates": (1, 3)}, "another seeds, rates; name a"),
        (tmp_path, {}, "is not empty and holds something else"),
        (tmp_path / "file", {}, "is a file; name a folder"),
    ):
        with pytest.raises(UsageError, match=message):
            claim(folder, settings)
    (tmp_path / "x" / "settings.json").write_text("{")
    with pytest.raises(RunError, match="is damaged"):
        claim(tmp_path / "x", {})


def test_time_and_progress_survive_a_kill(tmp_path, monkeypatch, capsys):
    now = iter([10.0, 19.0, 20.0, 100.0, 102.0])
    monkeypatch.setattr("jaxpareto.train.pieces.time.monotonic", lambda: next(now))
    clock = Clock(tmp_path / "s.json")
    clock.tick()
    clock.tick()
    again = Clock(tmp_path / "s.json")
    again.tick()
    assert read_json(tmp_path / "s.json") == [9.0, 1.0, 2.0]
    assert again.seconds == 12.0 and again.pace == 2.0
    monkeypatch.undo()
    monkeypatch.setattr("jaxpareto.train.log.Progress.PAUSE", -1.0)
    watch = progress(5, 15, 5, lambda done, state: f"{state} {done}", "epoch")
    for done in (2, 3, 5):
        watch(done, "loss")
    said = capsys.readouterr().err
    assert "epoch 8/15  loss 3" in said and "epoch 10/15  loss 5" in said
