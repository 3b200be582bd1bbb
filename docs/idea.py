"""Draw the two axes of the idea, with the methods that the presets take from them.

python docs/idea.py      # writes docs/idea.svg
"""

from collections import defaultdict
from pathlib import Path

from jaxpareto import rules, style
from jaxpareto.conditioned import CONDITIONERS
from jaxpareto.train.presets import PRESETS

KINDS = ("scalarisation", "solver", "set rule")
OURS = ("prism", "prism-sparse")


@style.styled
def draw():
    """Lay the presets out: conditioners across, rules up."""
    from matplotlib.figure import Figure

    used = {name: preset.settings for name, preset in PRESETS.items()}
    across = [n for n in CONDITIONERS if n in {s["conditioner"] for s in used.values()}]
    up = sorted(
        {settings["rule"] for settings in used.values()},
        key=lambda name: (KINDS.index(rules.ABOUT[name].kind), name != "linear", name),
    )
    figure = Figure(figsize=(7.0, 4.0), layout="constrained")
    axes = figure.subplots()
    axes.set_xticks(range(len(across)), across, rotation=30, ha="right")
    axes.set_yticks(range(len(up)), up)
    axes.set(xlim=(-0.6, len(across) - 0.4), ylim=(-0.6, len(up) - 0.4))
    axes.set_xlabel("conditioner: how the network depends on the preference")
    axes.set_ylabel("rule: how the tasks are weighed at it")
    axes.grid(color="0.9", linewidth=0.6)
    axes.set_axisbelow(True)
    axes.tick_params(length=0)
    places = defaultdict(list)
    for name, settings in used.items():
        kind = KINDS.index(rules.ABOUT[settings["rule"]].kind)
        place = across.index(settings["conditioner"]), up.index(settings["rule"])
        places[(*place, kind)].append(name)
    for (x, y, kind), names in places.items():
        look = {"color": style.COLOURS[kind], "marker": style.MARKERS[kind]}
        axes.plot(x, y, ms=7, lw=0, **look)
        for number, name in enumerate(reversed(names)):
            weight = "bold" if name in OURS else "normal"
            above = {"xytext": (0, 6 + 9 * number), "textcoords": "offset points"}
            axes.annotate(name, (x, y), size=7, weight=weight, ha="center", **above)
    for kind, name in enumerate(KINDS):
        look = {"color": style.COLOURS[kind], "marker": style.MARKERS[kind]}
        axes.plot([], [], ms=6, lw=0, label=name, **look)
    figure.legend(loc="outside upper center", ncols=3, frameon=False)
    return figure


if __name__ == "__main__":
    style.save(draw(), Path(__file__).with_suffix(".svg"))
