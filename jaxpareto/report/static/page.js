// Starts the page: one slider, and everything that follows it.

(() => {
  const page = JSON.parse(byId("data").textContent), runs = page.runs;
  const slider = byId("preference"), select = byId("run");
  let run = runs[0], follow = [], later = 0;

  function show(i) {
    slider.value = i;
    slider.setAttribute("aria-valuetext", run.prefs[i].map((p, t) => `${share(p)} for task ${t + 1}`).join(", "));
    const { rows, said } = readout(run, i);
    fill(byId("chosen"), rows);
    follow.forEach((move) => move(i));
    clearTimeout(later); // a screen reader hears where the slider rests, not each step
    later = setTimeout(() => { byId("said").textContent = said; }, 400);
  }

  function open(current) {
    run = runs[current];
    slider.max = run.prefs.length - 1;
    slider.disabled = run.prefs.length < 2;
    follow = [showFront(runs, current, show), showAnswers(run)];
    showCurves(runs, current);
    showNumbers(run);
    const away = run.prefs.map((pref) => Math.hypot(...pref.map((p) => p - 1 / run.tasks)));
    show(away.indexOf(Math.min(...away))); // begin at the even preference
  }

  const several = runs.length > 1;
  byId("title").textContent = several ? `${runs.length} fronts compared` : `Pareto front: ${run.name}`;
  const about = `${run.conditioner} x ${run.rule} on ${run.data}, ${run.epochs} epochs: ` +
    `${run.prefs.length} networks of ${run.parameters.target.toLocaleString("en")} parameters from one of ` +
    `${run.parameters.conditioned.toLocaleString("en")}. Hypervolume ${number(run.hypervolume, 4)} ` +
    `(cross-entropy, reference (${run.reference.join(", ")})), ${run.nondominated} non-dominated, ` +
    `${run.examples.toLocaleString("en")} ${run.split} examples.`;
  byId("lead").textContent = several ? runs.map((each) => each.name).join(", ") : about;
  byId("how").textContent = run.tasks === 2
    ? "Left cares most about task 2, right most about task 1: each step is another network."
    : "Each step is another preference and another network.";
  byId("made").textContent = `Made by jaxpareto ${page.version}. This page asks nothing of any network.`;

  if (several) {
    byId("which").hidden = byId("legend").hidden = false;
    runs.forEach((each, i) => {
      select.append(element("option", { value: i }, each.name));
      const glyph = shape("svg", { viewBox: "0 0 42 16", "aria-hidden": "true" });
      glyph.append(line(i, [[0, 8], [42, 8]], (x) => x, (y) => y), mark(i, 21, 8, 4, true));
      byId("legend").append(element("li", {}, glyph, ` ${each.name}`));
    });
    select.addEventListener("change", () => open(+select.value));
  }
  slider.addEventListener("input", () => show(+slider.value));
  showComparison(runs);
  showSettings(runs);
  open(0);
  if (page.live) startLive(page.live, runs[0]);
})();
