"""The page in Chromium: opened from a disk, with no network, by keyboard.

Needs the extra `browser` and a Chromium of the system; the network in the page also the
extra `onnx`, and the runtime that `jaxpareto report --live` once fetched.
"""

import json
import re
import shutil
from importlib.resources import files

import jax
import numpy as np
import pytest

from jaxpareto import report
from jaxpareto.export import network, to_onnx
from jaxpareto.prefs import grid
from jaxpareto.report import live
from jaxpareto.train import load
from jaxpareto.train.run import load_data

playwright = pytest.importorskip("playwright.sync_api", reason="extra `browser`")
CHROMIUM = next(
    filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))),
    None,
)
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="there is no Chromium")


@pytest.fixture(scope="module")
def run(trained):
    return trained[0].folder


@pytest.fixture(scope="module")
def gathered(run):
    return report.gather(run)


@pytest.fixture(scope="module")
def browser():
    with playwright.sync_playwright() as driver:
        made = driver.chromium.launch(
            executable_path=CHROMIUM, args=["--no-sandbox"], timeout=60_000
        )
        yield made
        made.close()


@pytest.fixture
def visit(browser):
    """Open a file with the network off; at the end nothing may have gone wrong."""
    opened, wrong = [], []

    def visit(path, allowed=(), **how):
        context = browser.new_context(offline=True, **how)
        opened.append(context)
        page = context.new_page()
        page.set_default_timeout(30_000)
        page.on("console", lambda said: wrong.append(said.text))
        page.on("pageerror", lambda error: wrong.append(str(error)))
        known = {path.as_uri(), *(each.as_uri() for each in allowed)}

        def asked(request):
            inner = request.url.startswith(("data:", "blob:"))
            if request.url not in known and not inner:
                wrong.append(request.url)

        page.on("request", asked)
        page.goto(path.as_uri())
        return page

    yield visit
    for context in opened:
        context.close()
    assert wrong == []


def resized(gathered, k, m=2):
    """Make the gathered numbers of a run with other counts of preferences and tasks."""
    prefs = np.asarray(grid(k, m), float)
    losses, k = 1.5 - prefs + 0.4 * prefs**2, len(prefs)
    curve = gathered["curves"] | {"losses": gathered["curves"]["losses"][:1] * m}
    changed = {
        "tasks": m,
        "prefs": prefs.round(6).tolist(),
        "losses": losses.round(6).tolist(),
        "accuracies": (1 - losses / 2).round(6).tolist(),
        "free": [1] * k,
        "reference": [2.0] * m,
        "spearman": [1.0] * m,
        "curves": curve,
        "answers": None,
    }
    return gathered | changed


def the_slider(page):
    return page.get_by_role("slider", name="Preference", exact=True)


def shown(page, row):
    """Read the numbers beside the slider."""
    cells = page.locator(f"#chosen tbody tr:nth-child({row}) td").all_inner_texts()
    return [float(text.removesuffix(" %")) for text in cells]


@pytest.mark.parametrize("data", ["multi-digits", "multi-mnist"])
def test_the_page_says_why_curves_end_elsewhere_than_the_front(
    gathered, visit, tmp_path, data
):
    checked = {"epoch": [1, 2], "hypervolume": [1.0, 1.9], "best_accuracy": [0.4, 0.5]}
    curves = gathered["curves"] | {"validation": checked}
    changed = gathered | {"data": data, "curves": curves}
    page = visit(report.write_page([changed], tmp_path / "a.html"))
    said = page.locator("#curves-how").inner_text()
    assert "on examples held out from the training set" in said
    assert "are on the test set" in said
    assert ("written by other people" in said) == (data == "multi-digits")


def test_the_slider_goes_through_the_front_by_keyboard(run, gathered, visit, tmp_path):
    front = json.loads((run / "front.json").read_text())
    page = visit(report.write_page([gathered], tmp_path / "page.html"))
    slider = the_slider(page)
    page.keyboard.press("Tab")  # past the link that skips to the front
    page.keyboard.press("Tab")
    assert slider.evaluate("it => it === document.activeElement")
    page.keyboard.press("Home")
    for i in range(25):
        np.testing.assert_allclose(shown(page, 2), front["losses"][i], atol=6e-5)
        accuracies = 100 * np.array(front["accuracies"][i])
        np.testing.assert_allclose(shown(page, 3), accuracies, atol=6e-3)
        first, second = front["preferences"][i]
        said = slider.get_attribute("aria-valuetext")
        numbers = [float(x) for x in re.findall(r"[\d.]+(?= for)", said)]
        np.testing.assert_allclose(numbers, [first, second], atol=6e-4)
        page.keyboard.press("ArrowRight")
    assert slider.input_value() == "24"
    last = f"{front['losses'][-1][0]:.3f}"
    playwright.expect(page.locator("#said")).to_contain_text(last)


def test_the_cards_show_what_the_networks_answer(run, gathered, visit, tmp_path):
    page = visit(report.write_page([gathered], tmp_path / "page.html"))
    front = load(run)
    split = load_data(front.config).test
    images, labels = np.asarray(split.images[:12]), np.asarray(split.labels[:12])
    for key, pref in (("Home", [0.0, 1.0]), ("End", [1.0, 0.0])):
        the_slider(page).press(key)
        chances = np.asarray(jax.nn.softmax(front(pref, images)))
        lines = page.locator("#cards .verdict").all_inner_texts()
        assert len(lines) == 24
        for line, chance, label in zip(
            lines, chances.reshape(24, 10), labels.reshape(24), strict=True
        ):
            _, answer, share, word = re.split(r"[:(%] ?", line.replace("%)", "%"))[:4]
            top = chance.max()
            assert chance[int(answer)] >= top - 2 / 255  # a tie within 255ths
            assert abs(float(share) - 100 * top) <= 0.8
            assert ("right" in word) == (int(answer) == label)


def axe_findings(page):
    package = pytest.importorskip("axe_playwright_python", reason="extra `browser`")
    page.evaluate((files(package) / "axe.min.js").read_text())
    found = page.evaluate("axe.run()")["violations"]
    return [f"{each['id']}: {each['nodes'][0]['html'][:80]}" for each in found]


@pytest.mark.parametrize(
    ("k", "m", "scheme", "width"),
    [(5, 2, "dark", 1200), (501, 2, "light", 390), (21, 3, "dark", 390)],
)
def test_accessible_for_few_and_many(gathered, visit, tmp_path, k, m, scheme, width):
    made = resized(gathered, k, m)
    path = report.write_page([made], tmp_path / "page.html")
    view = {"width": width, "height": 800}
    page = visit(path, color_scheme=scheme, viewport=view)
    the_slider(page).press("End")
    np.testing.assert_allclose(shown(page, 2), made["losses"][-1], atol=6e-5)
    assert page.locator("#planes svg").count() == 2 * m * (m - 1) // 2
    assert page.locator("#planes svg").first.locator(".mark").count() == k
    wide = page.evaluate("document.documentElement.scrollWidth")
    assert wide <= width, "nothing sticks out"
    page.get_by_text("Settings").first.click()
    assert axe_findings(page) == []
    page.get_by_text("All numbers").first.click()
    playwright.expect(page.locator("#numbers tbody tr")).to_have_count(k)


def test_the_triangle_walks_by_arrow_keys(gathered, visit, tmp_path):
    page = visit(report.write_page([resized(gathered, 21, 3)], tmp_path / "page.html"))
    triangle = page.locator("#triangle [tabindex]")
    the_slider(page).press("End")
    assert shown(page, 1) == [1.0, 0.0, 0.0]
    triangle.press("ArrowDown")
    first, *others = shown(page, 1)
    assert first == 0.8 and sorted(others) == [0.0, 0.2]
    for _ in range(6):
        triangle.press("ArrowRight")
        triangle.press("ArrowDown")
    assert shown(page, 1) == [0.0, 0.0, 1.0], "the corner at the lower right"


def test_a_click_chooses_the_nearest_network(gathered, visit, tmp_path):
    page = visit(report.write_page([resized(gathered, 5)], tmp_path / "page.html"))
    plane = page.locator("#planes svg").first
    spot = plane.locator(".mark").nth(3).bounding_box()
    page.mouse.click(spot["x"] + 3, spot["y"] + 3)
    assert the_slider(page).input_value() == "3"


def test_compared_runs_are_told_apart(gathered, visit, tmp_path):
    runs = [gathered | {"name": name} for name in ("one", "two", "three")]
    runs[1] = resized(runs[1], 9)
    page = visit(report.write_page(runs, tmp_path / "page.html"))
    marks = page.locator("#legend .mark").evaluate_all(
        "all => all.map(x => x.getAttribute('d'))"
    )
    assert len(set(marks)) == 3, "by the shape of the marks, not by colour alone"
    page.get_by_label("Run", exact=True).select_option("two")
    the_slider(page).press("Home")
    np.testing.assert_allclose(shown(page, 2), runs[1]["losses"][0], atol=6e-5)
    assert page.locator("#comparison tbody tr").count() == 11
    assert page.locator("#commands pre").count() == 3
    assert axe_findings(page) == []


def test_the_network_in_the_page_answers_as_jax(run, gathered, visit, tmp_path):
    for module in ("jax2onnx", "onnxruntime"):
        pytest.importorskip(module, reason="extra `onnx`, in a venv of its own")
    if not (live.cache() / live.ARCHIVE).exists():
        pytest.skip("the runtime is not here: jaxpareto report RUN --live fetches it")
    front, beside = load(run), tmp_path / "page-live"
    report.write_live(to_onnx(network(front)), beside)
    path = report.write_page([gathered], tmp_path / "page.html", live="page-live")
    page = visit(path, allowed=beside.iterdir())
    said = page.locator("#live-said")
    playwright.expect(said).to_contain_text("task 2", timeout=60_000)
    images = np.random.default_rng(0).random((20, 12, 12), np.float32)
    for pref in grid(5, 2).tolist():
        found = page.evaluate(
            """async ([pref, images]) => {
              const logits = [];
              for (const each of images) logits.push(await jaxparetoLive(pref, each));
              return logits;
            }""",
            [pref, images.reshape(20, -1).tolist()],
        )
        np.testing.assert_allclose(found, front(pref, images), atol=1e-4)
    # It begins with the first test image, whose pixels come back from its PNG exactly.
    page.get_by_label("Task 2 or task 1").press("End")
    test = np.asarray(load_data(front.config).test.images[:1])
    chances = np.asarray(jax.nn.softmax(front([1.0, 0.0], test)))[0]
    lines = page.locator("#live-bars p").all_inner_texts()
    for line, chance in zip(lines, chances, strict=True):
        assert line.endswith(f" {chance.argmax()} ({100 * chance.max():.0f} %)")
    assert axe_findings(page) == []


def test_a_page_without_its_folder_says_so(gathered, browser, tmp_path):
    path = report.write_page([gathered], tmp_path / "page.html", live="page-live")
    context = browser.new_context(offline=True)
    page = context.new_page()
    page.goto(path.as_uri())
    playwright.expect(page.locator("#live-said")).to_contain_text("belong together")
    context.close()
