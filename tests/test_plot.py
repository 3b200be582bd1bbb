"""Figures show what the front says; files are whole and repeatable."""

import json
import os
import subprocess
import sys

import numpy as np
import pytest

from jaxpareto import style
from jaxpareto.errors import RunError, UsageError
from jaxpareto.plot import front_figure, save_front, save_tasks
from jaxpareto.prefs import grid

pytest.importorskip("matplotlib")


def front(k, m=2, *, shift=0.0, **more):
    """Return a made-up front: losses fall as their preference grows."""
    prefs = grid(k, m).astype(float)
    losses = 0.2 + shift + (1 - prefs) ** 2
    return {
        "data": "made-up",
        "split": "test",
        "preferences": prefs.tolist(),
        "losses": losses.tolist(),
        "accuracies": (1 - losses / 4).tolist(),
        "hypervolume": 2.5,
        "reference": [2.0] * m,
        "nondominated": len(prefs),
        "spearman": [1.0] * m,
        **more,
    }


def panels(figure):
    """Return the axes without the colour bar."""
    return [axes for axes in figure.axes if axes.get_label() != "<colorbar>"]


def bar(figure):
    """Return the axes of the colour bar."""
    (axes,) = (axes for axes in figure.axes if axes.get_label() == "<colorbar>")
    return axes


def marks(axes):
    """Return what `scatter` drew: per call the positions [k, 2]."""
    return [np.asarray(each.get_offsets()) for each in axes.collections]


def legend(figure):
    """Return the words of the legend."""
    (box,) = figure.legends
    return [text.get_text() for text in box.get_texts()]


@pytest.mark.parametrize("k", [1, 5, 501])
def test_two_tasks_make_a_plane_of_losses_and_one_of_accuracies(k):
    data = front(k, tasks=["left", "right"])
    figure = front_figure(data)
    losses, accuracies = panels(figure)
    assert losses.get_title() == "test cross-entropy"
    assert (losses.get_xlabel(), losses.get_ylabel()) == ("left (nats)", "right (nats)")
    assert accuracies.get_title() == "test accuracy"
    assert accuracies.get_xlabel() == "left (%)"
    assert accuracies.get_ylabel() == "right (%)"
    np.testing.assert_allclose(np.concatenate(marks(losses)), data["losses"])
    np.testing.assert_allclose(
        np.concatenate(marks(accuracies)), 100 * np.array(data["accuracies"])
    )
    assert bar(figure).get_ylabel() == "preference for left"
    assert bar(figure).get_ylim() == (0, 1)


def test_a_task_without_accuracy_leaves_the_plane_out():
    data = front(5)
    data["accuracies"] = [[right, np.nan] for right, _ in data["accuracies"]]
    (losses,) = panels(front_figure(data))
    assert losses.get_title() == "test cross-entropy"


def test_what_is_no_front_is_told_how_to_become_one():
    with pytest.raises(UsageError, match=r"found 3; draw front\.evaluate"):
        front_figure(3)


def test_points_are_joined_in_the_order_of_preference():
    data = front(9)
    shuffle = np.random.default_rng(0).permutation(9)
    mixed = {**data, "tasks": None}
    for name in ("preferences", "losses", "accuracies"):
        mixed[name] = [data[name][i] for i in shuffle]
    (line,) = panels(front_figure(mixed))[0].lines
    np.testing.assert_allclose(line.get_xydata(), data["losses"])


def test_the_colour_is_the_preference_for_the_first_task():
    (axes, _) = panels(front_figure(front(5)))
    points = axes.collections[1]  # what is dominated comes first
    shade = points.get_facecolors()[:, :3].mean(axis=1)
    assert np.all(np.diff(shade) > 0)  # dark to light, in grey too


def test_dominated_points_are_hollow_and_small():
    data = front(5)
    data["losses"][1] = [2.0, 2.0]
    data["accuracies"][3] = [0.1, 0.1]
    figure = front_figure(data)
    losses, accuracies = panels(figure)
    hollow, full = losses.collections
    np.testing.assert_allclose(hollow.get_offsets(), [[2.0, 2.0]])
    np.testing.assert_array_equal(hollow.get_facecolors()[:, :3], [[1, 1, 1]])
    assert len(full.get_offsets()) == 4
    assert hollow.get_sizes()[0] < full.get_sizes()[0]
    # In accuracy, where the larger is the better, it is another one.
    hollow, full = accuracies.collections
    np.testing.assert_allclose(hollow.get_offsets(), [[10.0, 10.0]])
    assert len(full.get_offsets()) == 4
    assert legend(figure)[1] == "dominated"
    assert "dominated" not in legend(front_figure(front(5)))


def test_hypervolume_is_in_the_legend_where_there_is_one():
    (words,) = legend(front_figure(front(5)))
    assert words == "front of 5 preferences, hypervolume 2.500 (reference 2, 2)"
    for missing in (None, float("nan")):
        (words,) = legend(front_figure(front(1, hypervolume=missing)))
        assert words == "front of 1 preference"


def test_independent_networks_are_open_squares_on_the_same_scale():
    alone = front(3, shift=0.1)
    data = front(5, independent=alone)
    figure = front_figure(data)
    assert legend(figure)[-1] == "3 independent networks"
    for axes, name, unit in zip(
        panels(figure), ("losses", "accuracies"), (1, 100), strict=True
    ):
        _, full, squares = axes.collections
        np.testing.assert_allclose(squares.get_offsets(), unit * np.array(alone[name]))
        assert len(squares.get_facecolors()) == 0
        np.testing.assert_allclose(
            squares.get_edgecolors(), full.get_facecolors()[[0, 2, 4]]
        )


def test_without_accuracies_there_are_losses_only():
    data = front(5, accuracies=None, independent=front(2, accuracies=None))
    (axes,) = panels(front_figure(data))
    assert axes.get_title() == "test cross-entropy"


@pytest.mark.parametrize("m, pairs", [(3, 3), (4, 6)])
def test_more_tasks_make_every_pair_of_them(m, pairs):
    data = front(21, m, independent=front(m, m))
    axes = panels(front_figure(data))
    assert len(axes) == 2 * pairs
    assert not any(each.lines for each in axes)
    last = axes[-1]  # the accuracies of the last two tasks
    assert (last.get_xlabel(), last.get_ylabel()) == (
        f"task {m - 1} (%)",
        f"task {m} (%)",
    )
    accuracies = 100 * np.array(data["accuracies"])[:, -2:]
    drawn = np.concatenate(marks(last)[:2])
    np.testing.assert_allclose(np.sort(drawn, axis=0), np.sort(accuracies, axis=0))


def test_several_fronts_have_their_own_marks_and_names():
    several = [front(5), front(9, shift=0.1), front(3, shift=0.2)]
    figure = front_figure(several, labels=["a", "b", "c"])
    assert [words.split(",")[0] for words in legend(figure)] == ["a", "b", "c"]
    assert len({line.get_linestyle() for line in panels(figure)[0].lines}) == 3
    handles = figure.legends[0].legend_handles
    assert len({handle.get_marker() for handle in handles}) == 3
    assert [words.split(",")[0] for words in legend(front_figure(several))] == [
        "front 1",
        "front 2",
        "front 3",
    ]


def test_what_is_not_finite_is_left_out():
    data = front(5)
    data["losses"][0] = [None, 1.0]  # as JSON has it
    data["losses"][1] = [float("inf"), 1.0]
    data["losses"][2] = [0.1, float("nan")]
    figure = front_figure(data)
    figure.draw_without_rendering()
    losses = panels(figure)[0]
    assert max(losses.get_xlim() + losses.get_ylim()) < 2
    assert [len(each) for each in marks(losses)] == [0, 5]  # NaN ones are not drawn


@pytest.mark.parametrize(
    "data, problem",
    [
        ([], "one or more fronts"),
        ([front(5), front(6, 3)], "same number of tasks"),
        ({"losses": [[1, 2]]}, "no 'preferences'; its keys: losses"),
        ({**front(5), "losses": None}, "no 'losses'"),
        ({**front(5), "losses": front(4)["losses"]}, r"\(5, 2\), and losses \(4, 2\)"),
        ({**front(5), "accuracies": [[1, 1]]}, "and accuracies"),
        ({**front(5), "losses": [1, 2, 3]}, r"\[k\]\[m\]"),
        ({**front(5), "losses": [[1, 2], [3]]}, "rows"),
        ({**front(5), "tasks": ["left"]}, "1 task names for 2 tasks"),
        ({"preferences": [[1.0]], "losses": [[1.0]]}, "2 or more"),
    ],
)
def test_what_is_not_a_front_is_refused_in_words(data, problem):
    with pytest.raises(UsageError, match=problem):
        front_figure(data)


def test_the_number_of_labels_is_checked():
    with pytest.raises(UsageError, match="2 labels for 1 fronts"):
        front_figure(front(5), labels=["a", "b"])


# --- files ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    "name, start", [("a.PNG", b"\x89PNG"), ("a.pdf", b"%PDF"), ("a.svg", b"<?xml")]
)
def test_files_are_written_whole_and_the_same_each_time(tmp_path, name, start):
    path = save_front(front(2), tmp_path / name)
    assert path == tmp_path / name
    first = path.read_bytes()
    assert first.startswith(start)
    assert save_front(front(2), str(path)) == path
    assert path.read_bytes() == first
    assert list(tmp_path.iterdir()) == [path]


def test_independent_networks_can_be_handed_over(tmp_path):
    alone, other = front(3), front(4)
    inside = save_front(front(5, independent=alone), tmp_path / "a.svg").read_bytes()
    beside = save_front(
        front(5, independent=other), tmp_path / "a.svg", independent=alone
    )
    assert beside.read_bytes() == inside


def test_png_has_300_dots_per_inch(tmp_path):
    from matplotlib.image import imread

    path = save_front(front(5), tmp_path / "a.png")
    width = front_figure(front(5)).get_figwidth()
    assert imread(path).shape[1] == 300 * width


def test_the_front_is_left_as_it_was(tmp_path):
    data = front(5)
    before = json.dumps(data)
    save_front(data, tmp_path / "a.svg", independent=front(3))
    assert json.dumps(data) == before


def test_a_failure_leaves_the_old_file(tmp_path, monkeypatch):
    path = tmp_path / "a.svg"
    path.write_bytes(b"old")

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "replace", full)
    with pytest.raises(RunError, match=r"cannot write .*a\.svg: No space left"):
        save_front(front(5), path)
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


def test_a_missing_folder_is_said_in_one_line(tmp_path):
    with pytest.raises(RunError, match="No such file"):
        save_front(front(5), tmp_path / "absent" / "a.svg")


@pytest.mark.parametrize("name", ["a.txt", "a"])
def test_other_endings_are_refused(tmp_path, name):
    with pytest.raises(UsageError, match=r"accepted endings: \.png, \.pdf, \.svg"):
        save_front(front(5), tmp_path / name)


def test_pyplot_and_settings_are_left_alone():
    code = """if True:
        import sys
        import jaxpareto.plot
        assert "matplotlib" not in sys.modules, "it must load on the first call"
        import matplotlib
        before = dict(matplotlib.rcParams)
        jaxpareto.plot.front_figure({"preferences": [[1, 0]], "losses": [[1, 2]]})
        assert "matplotlib.pyplot" not in sys.modules, "pyplot has global state"
        assert dict(matplotlib.rcParams) == before
    """
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)


def test_without_matplotlib_the_extra_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(RunError, match=r"pip install 'jaxpareto\[plot\]'"):
        front_figure(front(5))


def test_an_experiment_on_tasks_is_drawn_from_its_file(tmp_path):
    """Two seeds of one contender; what is not there is not drawn."""
    with pytest.raises(UsageError, match="holds no finished experiment"):
        save_tasks(tmp_path)
    found = {
        "multitask": {
            "experts": {"test": [[0.9, 0.8], [0.7, 0.9]], "parameters": 8, "target": 4}
        },
        "later": {},
        "controls": {},
        "names": {"known": ["0-1", "2-3"], "new": ["8-9"], "recombined": []},
    }
    path = tmp_path / "result.json"
    path.write_text(json.dumps(found))
    assert [file.name for file in save_tasks(tmp_path)] == ["multitask.png"]
    first = (tmp_path / "multitask.png").read_bytes()
    save_tasks(tmp_path)
    assert (tmp_path / "multitask.png").read_bytes() == first
    for damaged in ("{", json.dumps({"names": {}})):
        path.write_text(damaged)
        with pytest.raises(RunError, match="is damaged"):
            save_tasks(tmp_path)


# What an eye without one kind of cone sees, on linear RGB: Machado, Oliveira and
# Fernandes (2009), "A physiologically-based model for simulation of color vision
# deficiency", severity 1; and what a grey printer makes of a colour (BT.709).
SEEN = {
    "all": np.eye(3),
    "protanopia": [
        [0.152286, 1.052583, -0.204868],
        [0.114503, 0.786281, 0.099216],
        [-0.003882, -0.048116, 1.051998],
    ],
    "deuteranopia": [
        [0.367322, 0.860646, -0.227968],
        [0.280085, 0.672501, 0.047413],
        [-0.011820, 0.042940, 0.968881],
    ],
    "tritanopia": [
        [1.255528, -0.076749, -0.178779],
        [-0.078411, 0.930809, 0.147602],
        [0.004733, 0.691367, 0.303900],
    ],
}


def lightness_and_colour(linear):
    """Turn linear RGB [k, 3] into CIELAB [k, 3], where 2.3 is just noticeable."""
    to_xyz = [
        [0.4124, 0.3576, 0.1805],
        [0.2126, 0.7152, 0.0722],
        [0.0193, 0.1192, 0.9505],
    ]
    xyz = np.clip(linear, 0, 1) @ np.transpose(to_xyz) / [0.9505, 1.0, 1.089]
    f = np.where(xyz > 0.008856, np.cbrt(xyz), 7.787 * xyz + 16 / 116)
    x, y, z = f.T
    return np.stack([116 * y - 16, 500 * (x - y), 200 * (y - z)], axis=1)


@pytest.mark.parametrize("eye", SEEN)
def test_the_colours_of_series_differ_for_every_eye(eye):
    codes = np.array(
        [[int(c[i : i + 2], 16) for i in (1, 3, 5)] for c in style.COLOURS]
    )
    linear = (codes / 255.0) ** 2.2
    lab = lightness_and_colour(linear @ np.transpose(SEEN[eye]))
    apart = np.linalg.norm(lab[:, None, :] - lab[None, :, :], axis=2)
    assert (apart + 100 * np.eye(len(lab))).min() > 10
    white = lightness_and_colour(np.ones((1, 3)))
    assert np.linalg.norm(lab - white, axis=1).min() > 25
    assert len(set(style.MARKERS)) == len(style.COLOURS)  # grey is told by the marker


def test_a_figure_is_saved_as_dots_and_as_lines_in_our_style(tmp_path):
    @style.styled
    def draw():
        from matplotlib.figure import Figure

        figure = Figure(figsize=(2, 2))
        figure.subplots().plot([0, 1], [0, 1], label="C0")
        return figure

    figure = draw()
    axes = figure.axes[0]
    assert axes.lines[0].get_color() == style.COLOURS[0]
    assert not axes.spines["top"].get_visible()
    png, svg = style.save_both(figure, tmp_path / "fig-1.5")
    assert (png.name, svg.name) == ("fig-1.5.png", "fig-1.5.svg")
    assert png.read_bytes().startswith(b"\x89PNG") and b"<svg" in svg.read_bytes()
