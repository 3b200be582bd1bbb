// How a run was trained, how runs compare, and what repeats them.

function curve(title, yLabel, series, names) {
  const xs = series.flatMap(([points]) => points.map((p) => p[0]));
  const ys = series.flatMap(([points]) => points.map((p) => p[1]));
  const { svg, x, y, box } = axes(title, `${title} (${yLabel}) by epoch: ${names}`, xs, ys, "epoch", yLabel);
  series.forEach(([points, kind, text], i) => {
    svg.append(line(kind, points, x, y));
    if (points.length < 30) points.forEach((p) => svg.append(mark(kind, x(p[0]), y(p[1]), 2.5, true)));
    if (!text) return;
    const at = box.top + 10 + 16 * i; // losses fall: the upper right is free
    svg.append(line(kind, [[box.right - 84, at], [box.right - 48, at]], Number, Number),
      mark(kind, box.right - 66, at, 2.5, true),
      shape("text", { x: box.right, y: at + 4, class: "halo", "text-anchor": "end" }, text));
  });
  return svg;
}

// Why the validation curves do not end at the numbers of the front.
function heldOut(runs) {
  const embedded = runs.some((run) => run.data === "multi-digits");
  const others = ", which for the embedded digits was, but for a few, written by other people";
  return " Validation curves are on examples held out from the training set; the front and the hypervolume further up " +
    `are on the ${runs[0].split} set${embedded ? others : ""}.`;
}

function showCurves(runs, current) {
  const box = byId("curves"), { curves, tasks } = runs[current];
  box.replaceChildren();
  if (!curves.epoch.length) {
    byId("curves-how").textContent = "The run's folder has no metrics.jsonl.";
    return;
  }
  const by = (values, epochs) => epochs.map((epoch, i) => [epoch, values[i]]);
  const whose = runs.length > 1 ? `, ${runs[current].name}` : "";
  box.append(curve(`Training loss${whose}`, "nats",
    curves.losses.map((values, t) => [by(values, curves.epoch), t, `task ${t + 1}`]),
    [...Array(tasks).keys()].map((t) => `task ${t + 1}`).join(", ")));
  const several = runs.length > 1;
  const checked = (name) => (several ? runs.map((run, i) => [run, i]) : [[runs[current], 0]])
    .filter(([run]) => run.curves.validation.epoch.length > 1)
    .map(([run, i]) => [by(run.curves.validation[name], run.curves.validation.epoch), i, ""]);
  const names = (several ? runs : [runs[current]]).map((run) => run.name).join(", ");
  if (checked("hypervolume").length) {
    box.append(curve("Validation hypervolume", "nats" + "²³⁴⁵⁶"[tasks - 2], checked("hypervolume"), names));
    box.append(curve("Best mean accuracy, validation", "%", checked("best_accuracy"), names));
  }
  byId("curves-how").textContent =
    `Training losses are means over the preferences of a step${curves.lines > 1 ? ` and over ${curves.lines} lines of metrics.jsonl` : ""}.` +
    (several ? " Validation curves show all runs, with the lines of the legend above." : "") +
    (checked("hypervolume").length ? heldOut(runs) : "");
}

const number = (x, digits) => (x === null || x === undefined ? "-" : x.toFixed(digits));

function showComparison(runs) {
  if (runs.length < 2) return;
  byId("compared").hidden = false;
  const best = (run) => (run.accuracies
    ? percent(Math.max(...run.accuracies.map((a) => a.reduce((x, y) => x + y) / a.length)), 1) : "-");
  const rows = [
    ["method", (run) => `${run.conditioner} x ${run.rule}`],
    ["data", (run) => `${run.data}, ${run.split}`],
    ["network", (run) => run.network],
    ["epochs, seed", (run) => `${run.epochs}, ${run.seed}`],
    [`hypervolume to (${runs[0].reference.join(", ")}), larger is better`, (run) => number(run.hypervolume, 4)],
    ["non-dominated", (run) => `${run.nondominated} of ${run.prefs.length}`],
    ["rank correlation with the preference", (run) => run.spearman.map((x) => number(x, 3)).join(", ")],
    ["best mean accuracy", best],
    ["parameters, network", (run) => run.parameters.target.toLocaleString("en")],
    ["parameters, family", (run) => run.parameters.conditioned.toLocaleString("en")],
    ["training, s", (run) => number(run.seconds_training, 1)],
  ];
  fill(byId("comparison"), [["", ...runs.map((run) => run.name)],
    ...rows.map(([name, of]) => [name, ...runs.map(of)])], false);
  const same = ["data", "split", "reference", "examples"].every((name) =>
    runs.every((run) => JSON.stringify(run[name]) === JSON.stringify(runs[0][name])));
  byId("fair").textContent = same ? "All runs were measured on the same kind and number of examples."
    : "These runs were measured on different data or references: their losses and hypervolumes cannot be compared.";
}

function showSettings(runs) {
  const commands = byId("commands");
  for (const run of runs) {
    if (runs.length > 1) commands.append(element("h3", {}, run.name));
    commands.append(element("pre", { tabindex: 0 }, `${run.command} --out ${run.name}`));
    const versions = Object.entries(run.versions).map(([name, version]) => `${name} ${version}`);
    commands.append(element("p", { class: "hint" }, [run.device, ...versions].filter(Boolean).join(", ")));
  }
  const names = runs[0].settings.map(([name]) => name);
  const rows = names.map((name, i) => {
    const values = runs.map((run) => run.settings[i]);
    const differ = values.some(([, value]) => value !== values[0][1]);
    return [name, ...values.map(([, value, said]) => {
      const text = value === "" ? "-" : `${value}`;
      const note = runs.length > 1 ? (differ ? " (differs)" : "") : (said ? " (not the default)" : "");
      return note ? element("mark", {}, text + note) : text;
    })];
  });
  fill(byId("settings"), [["setting", ...runs.map((run) => run.name)], ...rows], false);
}

// The whole front as a table, made when somebody opens it.
function showNumbers(run) {
  const box = byId("all"), tasks = ones(run);
  const make = () => {
    if (!box.open) return;
    const head = ["", ...tasks.map((t) => `preference ${t + 1}`), ...tasks.map((t) => `loss ${t + 1}`),
      ...(run.accuracies ? tasks.map((t) => `accuracy ${t + 1}`) : []), "non-dominated"];
    fill(byId("numbers"), [head, ...run.prefs.map((pref, i) => [`${i + 1}`, ...pref.map(share),
      ...run.losses[i].map((x) => x.toFixed(4)), ...(run.accuracies ? run.accuracies[i].map((x) => percent(x)) : []),
      run.free[i] ? "yes" : "no"])]);
  };
  box.ontoggle = make;
  make();
}
