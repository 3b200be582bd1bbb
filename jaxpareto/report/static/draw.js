"use strict";
// Small helpers: elements, SVG, axes, marks. Everything is drawn once and then moved.

const SVG = "http://www.w3.org/2000/svg";
const byId = (id) => document.getElementById(id);

function element(name, attributes = {}, ...children) {
  const svg = attributes.svg;
  const made = svg ? document.createElementNS(SVG, name) : document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) {
    if (key !== "svg" && value !== null) made.setAttribute(key, value);
  }
  made.append(...children);
  return made;
}

const shape = (name, attributes, ...children) =>
  element(name, { svg: true, ...attributes }, ...children);

const percent = (x, digits = 2) => `${(100 * x).toFixed(digits)} %`;
const share = (x) => x.toFixed(3).replace(/0$/, "");

// Round ticks, at most `most` of them, within [low, high].
function ticks(low, high, most) {
  const rough = (high - low) / most;
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = [1, 2, 5, 10].map((n) => n * power).find((n) => n >= rough);
  const digits = Math.max(0, -Math.floor(Math.log10(step) + 1e-9));
  const found = [];
  for (let i = Math.ceil(low / step - 1e-9); i * step <= high + 1e-9 * step; i++) {
    found.push((i * step).toFixed(digits));
  }
  return found;
}

// The range of some numbers, with a margin; never empty.
function range(values) {
  let low = Infinity, high = -Infinity;
  for (const x of values) if (Number.isFinite(x)) { low = Math.min(low, x); high = Math.max(high, x); }
  if (low > high) return [0, 1];
  const margin = 0.06 * (high - low) || 0.05 * Math.abs(high) || 0.5;
  return [low - margin, high + margin];
}

// Axes in a picture of 360 by 270; returns where numbers lie in it.
function axes(title, about, xs, ys, xLabel, yLabel, yText = String) {
  const box = { left: 52, right: 350, top: 26, bottom: 228 };
  const svg = shape("svg", { viewBox: "0 0 360 270", role: "img", "aria-label": about });
  const [x0, x1] = range(xs), [y0, y1] = range(ys);
  const x = (v) => box.left + ((v - x0) / (x1 - x0)) * (box.right - box.left);
  const y = (v) => box.bottom - ((v - y0) / (y1 - y0)) * (box.bottom - box.top);
  const label = (text, more) => svg.append(shape("text", more, text));
  for (const t of ticks(x0, x1, 5)) {
    svg.append(shape("line", { class: "rule", x1: x(+t), x2: x(+t), y1: box.top, y2: box.bottom }));
    label(xLabel.endsWith("%") ? `${+(100 * t).toFixed(2)}` : t, { x: x(+t), y: box.bottom + 16, "text-anchor": "middle" });
  }
  for (const t of ticks(y0, y1, 5)) {
    svg.append(shape("line", { class: "rule", x1: box.left, x2: box.right, y1: y(+t), y2: y(+t) }));
    label(yLabel.endsWith("%") ? `${+(100 * t).toFixed(2)}` : yText(t), { x: box.left - 6, y: y(+t) + 4, "text-anchor": "end" });
  }
  svg.append(shape("path", { class: "axis", d: `M${box.left} ${box.top}V${box.bottom}H${box.right}` }));
  label(title, { x: 4, y: 14, class: "strong" });
  label(xLabel, { x: box.right, y: 262, "text-anchor": "end" });
  label(yLabel, { x: 12, y: (box.top + box.bottom) / 2, "text-anchor": "middle",
    transform: `rotate(-90 12 ${(box.top + box.bottom) / 2})` });
  return { svg, x, y, box };
}

// Runs differ in colour, in the shape of their marks and in the dashes of their lines.
const DASHES = ["", "6 3", "2 3", "8 3 2 3", "12 4", "4 2 1 2"];
const MARKS = [
  (r) => `M${-r} 0a${r} ${r} 0 1 0 ${2 * r} 0a${r} ${r} 0 1 0 ${-2 * r} 0`,
  (r) => `M${-r} ${-r}h${2 * r}v${2 * r}h${-2 * r}z`,
  (r) => `M0 ${-1.3 * r}L${1.2 * r} ${r}H${-1.2 * r}z`,
  (r) => `M0 ${-1.4 * r}L${1.4 * r} 0L0 ${1.4 * r}L${-1.4 * r} 0z`,
  (r) => `M0 ${1.3 * r}L${1.2 * r} ${-r}H${-1.2 * r}z`,
  (r) => `M${-r} ${-0.4 * r}h${0.6 * r}v${-0.6 * r}h${0.8 * r}v${0.6 * r}h${0.6 * r}v${0.8 * r}h${-0.6 * r}v${0.6 * r}h${-0.8 * r}v${-0.6 * r}h${-0.6 * r}z`,
];

function mark(run, x, y, r, free) {
  const kind = Math.floor(run / 6) + run; // the seventh run has another mark for its colour
  return shape("path", { class: `mark c${run % 6}${free ? " free" : ""}`,
    d: MARKS[kind % 6](r), transform: `translate(${x.toFixed(2)} ${y.toFixed(2)})` });
}

function line(run, points, x, y) {
  const d = points.map(([a, b], i) => `${i ? "L" : "M"}${x(a).toFixed(2)} ${y(b).toFixed(2)}`).join("");
  return shape("path", { class: `path c${run % 6}`, d, "stroke-dasharray": DASHES[run % 6] || null });
}

// Where on the viewBox of an SVG a pointer is.
function place(svg, event) {
  const box = svg.getBoundingClientRect(), view = svg.viewBox.baseVal;
  return [((event.clientX - box.left) / box.width) * view.width,
    ((event.clientY - box.top) / box.height) * view.height];
}

// Rows of [cell, ...] as a table; the first row and the first column are headers.
function fill(table, rows, numeric = true) {
  const body = rows.map((row, i) => element("tr", {}, ...row.map((cell, j) => {
    const header = (i === 0 || j === 0) && cell !== "";
    const more = header ? { scope: i === 0 ? "col" : "row" } : {};
    if (numeric && j > 0) more.class = "number";
    return element(header ? "th" : "td", more, cell);
  })));
  const caption = table.querySelector("caption");
  table.replaceChildren(...(caption ? [caption] : []),
    element("thead", {}, body[0]), element("tbody", {}, ...body.slice(1)));
}
