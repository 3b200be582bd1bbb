// The front: planes, the triangle of three preferences, and the slider that moves along.

const wordsOf = (run, i) => run.prefs[i].map(share).join(", ");
const ones = (run) => [...Array(run.tasks).keys()];

function pairs(m) {
  const found = [];
  for (let a = 0; a < m; a++) for (let b = a + 1; b < m; b++) found.push([a, b]);
  return found;
}

// One plane: all runs, the chosen run's point in a ring, guides to the axes.
function plane(runs, current, values, what, unit, [a, b], choose) {
  const all = runs.flatMap((run) => run[values] || []);
  const title = `${what}: task ${a + 1} and task ${b + 1}`;
  const label = (t) => `task ${t + 1}: ${what.toLowerCase()}, ${unit}`;
  const better = values === "losses" ? "lower left is better" : "upper right is better";
  const names = runs.map((run) => run.name).join(", ");
  const { svg, x, y, box } = axes(`${title} (${better})`, `${title}, ${unit}, of ${names}`,
    all.map((p) => p[a]), all.map((p) => p[b]), label(a), label(b));
  svg.classList.add("pick");
  const order = runs.map((_, i) => i).filter((i) => i !== current).concat(current);
  for (const i of order) {
    const points = runs[i][values];
    if (!points) continue;
    if (runs[i].tasks === 2) svg.append(line(i, points.map((p) => [p[a], p[b]]), x, y));
    const r = points.length > 60 ? 2.2 : 3.6;
    points.forEach((p, j) => svg.append(mark(i, x(p[a]), y(p[b]), r, runs[i].free[j])));
  }
  const points = runs[current][values];
  const guide = shape("path", { class: "guide" }), ring = shape("circle", { class: "ring", r: 8 });
  svg.append(guide, ring);
  picker(svg, points.map((p) => [x(p[a]), y(p[b])]), choose);
  const move = (i) => {
    const [px, py] = [x(points[i][a]), y(points[i][b])];
    guide.setAttribute("d", `M${box.left} ${py}H${px}V${box.bottom}`);
    ring.setAttribute("cx", px);
    ring.setAttribute("cy", py);
  };
  return { svg, move };
}

// Clicking or dragging chooses the nearest of some places.
function picker(svg, places, choose) {
  const nearest = (event) => {
    const [px, py] = place(svg, event);
    const away = places.map(([x, y]) => (x - px) ** 2 + (y - py) ** 2);
    choose(away.indexOf(Math.min(...away)));
  };
  svg.addEventListener("pointerdown", nearest);
  svg.addEventListener("pointermove", (event) => { if (event.buttons) nearest(event); });
}

// Three tasks: every preference in a triangle, a corner for each task.
function triangle(run, current, choose) {
  const corners = [[180, 36], [30, 260], [330, 260]];
  const at = (pref) => [0, 1].map((d) => pref.reduce((sum, p, t) => sum + p * corners[t][d], 0));
  const svg = shape("svg", { viewBox: "0 0 360 296", role: "img", class: "pick",
    "aria-label": "Preferences of the three tasks, a corner for each" });
  svg.append(shape("path", { class: "axis", d: `M${corners.join("L")}z` }));
  const anchors = ["middle", "start", "end"], shifts = [-14, 22, 22];
  corners.forEach(([x, y], t) => svg.append(shape("text",
    { x: t ? x + (t === 1 ? -20 : 20) : x, y: y + shifts[t], "text-anchor": anchors[t], class: "strong" },
    `only task ${t + 1}`)));
  const places = run.prefs.map(at);
  places.forEach(([x, y], i) => svg.append(mark(current, x, y, places.length > 60 ? 2.2 : 3.6, run.free[i])));
  const ring = shape("circle", { class: "ring", r: 8 });
  svg.append(ring);
  picker(svg, places, choose);
  const box = element("div", { tabindex: 0, role: "group", "aria-label":
    "Preferences of the three tasks: an arrow key chooses the next one in its direction" }, svg);
  let chosen = 0;
  box.addEventListener("keydown", (event) => {
    const arrow = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] }[event.key];
    if (!arrow) return;
    event.preventDefault();
    const next = toward(places, chosen, arrow);
    if (next !== null) choose(next);
  });
  const move = (i) => {
    chosen = i;
    ring.setAttribute("cx", places[i][0]);
    ring.setAttribute("cy", places[i][1]);
  };
  return { box, move };
}

// The nearest place within 65 degrees of a direction, or null.
function toward(places, from, [dx, dy]) {
  let best = null, least = Infinity;
  places.forEach(([x, y], i) => {
    const [ax, ay] = [x - places[from][0], y - places[from][1]];
    const far = Math.hypot(ax, ay), along = ax * dx + ay * dy;
    if (i !== from && along > 0.42 * far && far < least) [best, least] = [i, far];
  });
  return best;
}

// What the table beside the slider and the screen reader say at a preference.
function readout(run, i) {
  const tasks = ones(run);
  const rows = [["", ...tasks.map((t) => `task ${t + 1}`)],
    ["preference", ...run.prefs[i].map(share)],
    ["loss, nats", ...run.losses[i].map((x) => x.toFixed(4))]];
  const said = [`Loss ${run.losses[i].map((x) => x.toFixed(3)).join(" and ")} nats`];
  if (run.accuracies) {
    rows.push(["accuracy", ...run.accuracies[i].map((x) => percent(x))]);
    said.push(`accuracy ${run.accuracies[i].map((x) => percent(x, 1)).join(" and ")}`);
  }
  said.push(run.free[i] ? "non-dominated" : "dominated by another preference");
  return { rows, said: `${said.join("; ")}.` };
}

function showFront(runs, current, choose) {
  const run = runs[current], moves = [], planes = byId("planes"), corner = byId("triangle");
  const kinds = [["losses", "Loss", "nats"]];
  if (run.accuracies) kinds.push(["accuracies", "Accuracy", "%"]);
  planes.replaceChildren();
  planes.classList.toggle("two", run.tasks === 2);
  for (const [values, what, unit] of kinds) {
    for (const pair of pairs(run.tasks)) {
      const made = plane(runs, current, values, what, unit, pair, choose);
      planes.append(made.svg);
      moves.push(made.move);
    }
  }
  corner.replaceChildren();
  if (run.tasks === 3) {
    const made = triangle(run, current, choose);
    corner.append(element("h3", {}, "Preferences"), made.box);
    moves.push(made.move);
  }
  return (i) => moves.forEach((move) => move(i));
}
