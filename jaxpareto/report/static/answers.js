// What a network answers: bars of probabilities, in words for those who do not see them.

// Bars of c classes; returns a function that sets them to probabilities in [0, 1].
function bars(classes, truth) {
  const wide = 14, high = 34, named = classes <= 12;
  const svg = shape("svg", { viewBox: `0 0 ${classes * wide} ${high + (named ? 12 : 2)}`, role: "img", class: "bars" });
  const rects = [...Array(classes).keys()].map((c) => {
    const rect = shape("rect", { class: "bar", x: c * wide + 2, width: wide - 4, y: high, height: 0 });
    svg.append(rect);
    if (named) svg.append(shape("text", { x: (c + 0.5) * wide, y: high + 10, class: c === truth ? "true" : null }, `${c}`));
    return rect;
  });
  svg.append(shape("path", { class: "axis", d: `M0 ${high}H${classes * wide}` }));
  const set = (probabilities, task) => {
    const order = probabilities.map((p, c) => [p, c]).sort((a, b) => b[0] - a[0]);
    rects.forEach((rect, c) => {
      rect.setAttribute("height", (probabilities[c] * (high - 2)).toFixed(2));
      rect.setAttribute("y", (high - probabilities[c] * (high - 2)).toFixed(2));
      rect.setAttribute("class", c === order[0][1] ? "bar top" : "bar");
    });
    const likely = order.slice(0, 3).map(([p, c]) => `${c} with ${percent(p, 0)}`).join(", ");
    svg.setAttribute("aria-label", `Task ${task + 1}: ${likely}`);
    return order[0];
  };
  return { svg, set };
}

function verdict(line, task, [p, answer], truth) {
  const right = answer === truth;
  line.replaceChildren(`task ${task + 1}: `, element("b", {}, `${answer}`), ` (${percent(p, 0)}) `,
    element("span", { class: right ? "right" : "wrong" }, right ? "✓ right" : `✗ it is ${truth}`));
}

// Bytes of base64; newer browsers decode megabytes at once.
function decode(text) {
  if (Uint8Array.fromBase64) return Uint8Array.fromBase64(text);
  const letters = atob(text), bytes = new Uint8Array(letters.length);
  for (let i = 0; i < bytes.length; i++) bytes[i] = letters.charCodeAt(i);
  return bytes;
}

// Cards of the images of a run; returns a function that shows the answers of network i.
function showAnswers(run) {
  const cards = byId("cards"), asked = byId("asked");
  cards.replaceChildren();
  if (!run.answers) {
    asked.textContent = "The run's checkpoint or its images were not at hand when this page was made.";
    return () => {};
  }
  const { images, labels, probabilities } = run.answers, m = run.tasks, c = run.classes;
  asked.textContent = `The first ${images.length} images of the ${run.split} set, picked by nobody. ` +
    "Bars are the probabilities of the classes; the right one is underlined, the network's answer has the bar in colour.";
  const values = decode(probabilities), shown = [];
  images.forEach((source, b) => {
    const caption = element("figcaption");
    for (let t = 0; t < m; t++) {
      const words = element("p", { class: "verdict" }), { svg, set } = bars(c, labels[b][t]);
      caption.append(words, svg);
      shown.push((i) => {
        const start = ((i * images.length + b) * m + t) * c;
        const found = [...values.subarray(start, start + c)].map((q) => q / 255);
        verdict(words, t, set(found, t), labels[b][t]);
      });
    }
    const alt = `Test image ${b + 1}, showing ${labels[b].join(" and ")}`;
    cards.append(element("figure", {}, element("img", { src: source, alt }), caption));
  });
  return (i) => shown.forEach((show) => show(i));
}
