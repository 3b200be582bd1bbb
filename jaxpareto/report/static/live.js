// The network itself, in WebAssembly: any preference and any drawing, answered here.

function script(source) {
  return new Promise((done, fail) => {
    const made = element("script", { src: source });
    made.onload = done;
    made.onerror = () => fail(new Error(`${source} is missing: that folder and this page belong together.`));
    document.head.append(made);
  });
}

function unzip(text) {
  const stream = new Blob([decode(text)]).stream().pipeThrough(new DecompressionStream("gzip"));
  return new Response(stream).arrayBuffer();
}

// A browser that opens this page from a disk loads scripts and nothing else, so the
// runtime and the network are scripts that hold their bytes.
async function loadNetwork(folder, run) {
  await Promise.all([script(`${folder}/runtime.js`), script(`${folder}/model.js`)]);
  const [source, binary] = await Promise.all(
    [unzip(window.jaxparetoRuntime.module), unzip(window.jaxparetoRuntime.binary)]);
  const url = URL.createObjectURL(new Blob([source], { type: "text/javascript" }));
  const ort = await import(url);
  URL.revokeObjectURL(url);
  ort.env.wasm.numThreads = 1; // more need headers that only a server sends
  ort.env.wasm.wasmBinary = binary;
  const session = await ort.InferenceSession.create(decode(window.jaxparetoModel), { executionProviders: ["wasm"] });
  window.jaxparetoRuntime = window.jaxparetoModel = null; // megabytes that are done with
  const [h, w] = run.image;
  // pref [m], pixels [h * w] in [0, 1] -> logits [m][c]
  return async (pref, pixels) => {
    const { logits } = await session.run({
      preference: new ort.Tensor("float32", Float32Array.from(pref), [run.tasks]),
      images: new ort.Tensor("float32", Float32Array.from(pixels), [1, h, w]),
    });
    return ones(run).map((t) => [...logits.data.subarray(t * run.classes, (t + 1) * run.classes)]);
  };
}

function softmax(logits) {
  const top = Math.max(...logits), raised = logits.map((x) => Math.exp(x - top));
  const sum = raised.reduce((a, b) => a + b);
  return raised.map((x) => x / sum);
}

// Sliders of a preference: one for two tasks, else a weight for each, divided by the sum.
function prefSliders(run, changed) {
  const box = byId("live-prefs"), two = run.tasks === 2;
  const shown = element("p", { "aria-live": "off" });
  const sliders = ones(run).slice(0, two ? 1 : run.tasks).map((t) => {
    const id = `weight${t}`;
    const slider = element("input", { type: "range", id, min: 0, max: 100, value: two ? 50 : 33 });
    slider.addEventListener("input", () => { tell(); changed(); });
    box.append(element("p", {}, element("label", { for: id }, two ? "Task 2 or task 1" : `Weight of task ${t + 1}`), slider));
    return slider;
  });
  const pref = () => {
    const weights = sliders.map((slider) => +slider.value / 100);
    if (two) return [weights[0], 1 - weights[0]];
    const sum = weights.reduce((a, b) => a + b);
    return weights.map((x) => (sum ? x / sum : 1 / weights.length));
  };
  const tell = () => {
    const words = pref().map((x, t) => `${share(x)} for task ${t + 1}`).join(", ");
    shown.textContent = `Preference: ${words}`;
    sliders.forEach((slider) => slider.setAttribute("aria-valuetext", words));
  };
  box.append(shown);
  tell();
  return pref;
}

// A canvas of the image's own proportions, four or more dots to a pixel.
function drawingPaper(run, changed) {
  const paper = byId("paper"), [h, w] = run.image, scale = Math.max(4, Math.round(288 / w));
  [paper.width, paper.height] = [w * scale, h * scale];
  const pen = paper.getContext("2d", { willReadFrequently: true });
  const small = new OffscreenCanvas(w, h).getContext("2d", { willReadFrequently: true });
  Object.assign(pen, { lineCap: "round", lineJoin: "round", lineWidth: scale * Math.max(1.2, w / 15), strokeStyle: "#fff" });
  let exact = null; // the pixels of a test image, until somebody draws over it
  const clear = () => {
    exact = null;
    pen.fillRect(0, 0, paper.width, paper.height);
  };
  const grey = (context) => {
    const { data } = context.getImageData(0, 0, w, h);
    return Float32Array.from({ length: w * h }, (_, i) => data[4 * i] / 255);
  };
  const pixels = () => {
    if (exact) return exact;
    small.imageSmoothingQuality = "high";
    small.drawImage(paper, 0, 0, w, h);
    return grey(small);
  };
  const start = (image) => {
    pen.imageSmoothingEnabled = false;
    pen.drawImage(image, 0, 0, paper.width, paper.height);
    small.drawImage(image, 0, 0);
    exact = grey(small);
  };
  const stroke = (event, begins) => {
    const box = paper.getBoundingClientRect();
    const [x, y] = [((event.clientX - box.left) / box.width) * paper.width, ((event.clientY - box.top) / box.height) * paper.height];
    exact = null;
    if (begins) { pen.beginPath(); pen.moveTo(x, y); }
    pen.lineTo(x, y);
    pen.stroke();
    changed();
  };
  paper.addEventListener("pointerdown", (event) => { paper.setPointerCapture(event.pointerId); stroke(event, true); });
  paper.addEventListener("pointermove", (event) => { if (event.buttons) stroke(event, false); });
  clear();
  return { clear, pixels, start };
}

async function startLive(folder, run) {
  byId("live").hidden = false;
  const said = byId("live-said"), rows = ones(run).map((t) => ({ words: element("p"), ...bars(run.classes, null), task: t }));
  rows.forEach((row) => byId("live-bars").append(row.words, row.svg));
  byId("live-how").textContent = `The network of ${run.name} runs in this page. Draw in the square (${run.tasks} ` +
    "overlapping images, as in its data) or start from a test image, and move the preference.";
  said.textContent = "Loading the network from the folder beside this page.";
  let answer = null, busy = false, again = false, later = 0;
  const ask = async () => {
    if (!answer || busy) { again = true; return; }
    busy = true;
    do {
      again = false;
      const logits = await answer(pref(), paper.pixels());
      rows.forEach(({ words, set, task }) => {
        const [p, label] = set(softmax(logits[task]), task);
        words.replaceChildren(`task ${task + 1}: `, element("b", {}, `${label}`), ` (${percent(p, 0)})`);
      });
    } while (again);
    busy = false;
    said.classList.add("unseen"); // the bars show it; this line is for screen readers
    clearTimeout(later);
    later = setTimeout(() => { said.textContent = rows.map(({ words }) => words.textContent).join("; "); }, 400);
  };
  const pref = prefSliders(run, ask), paper = drawingPaper(run, ask), sample = byId("sample");
  const images = run.answers ? [...byId("cards").querySelectorAll("img")].map((each) => each.src) : [];
  sample.append(element("option", { value: "" }, "an empty page"),
    ...images.map((_, i) => element("option", { value: i }, `test image ${i + 1}`)));
  sample.addEventListener("change", async () => {
    paper.clear();
    if (sample.value !== "") {
      const image = new Image();
      image.src = images[+sample.value];
      await image.decode();
      paper.start(image);
    }
    ask();
  });
  if (images.length) {
    sample.value = "0";
    await byId("cards").querySelector("img").decode();
    paper.start(byId("cards").querySelector("img"));
  }
  byId("clear").addEventListener("click", () => { sample.value = ""; paper.clear(); ask(); });
  try {
    answer = await loadNetwork(folder, run);
    window.jaxparetoLive = answer; // for whoever wants numbers instead of bars
    await ask();
    performance.mark("first answer");
  } catch (error) {
    said.textContent = `The network could not be started. ${error.message}`;
  }
}
