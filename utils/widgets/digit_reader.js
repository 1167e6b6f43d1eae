// LeNet reads your digit: a trained network runs in the page on what is drawn on the pad.

/**
 * Centre and scale 784 values (0 to 255) as MNIST was made: the box around the ink is resized to 20 pixels on its
 * longer side, then moved until the centre of mass lies in pixel (14, 14). An MNIST digit comes back unchanged.
 */
export function prepare(pixels) {
  const result = new Uint8ClampedArray(CELLS), xs = [], ys = [];
  for (let i = 0; i < CELLS; i += 1) if (pixels[i] > 0) { xs.push(i % SIDE); ys.push(Math.floor(i / SIDE)); }
  if (!xs.length) return result;
  const left = Math.min(...xs), top = ys[0], box = [Math.max(...xs) - left + 1, ys.at(-1) - top + 1];
  const [width, height] = box.map((n) => Math.max(1, Math.round((n * 20) / Math.max(...box))));
  const across = resize(left, box[0], width), down = resize(top, box[1], height), resized = [];
  let mass = 0, massX = 0, massY = 0;
  down.forEach((rows, y) => across.forEach((columns, x) => {
    let sum = 0;
    for (const [i, v] of rows) for (const [j, h] of columns) sum += v * h * pixels[i * SIDE + j];
    resized.push(sum);
    mass += sum; massX += sum * x; massY += sum * y;
  }));
  const x0 = clamp(Math.ceil(13.5 - massX / mass), 0, SIDE - width), y0 = clamp(Math.ceil(13.5 - massY / mass), 0, SIDE - height);
  resized.forEach((v, i) => { result[(y0 + Math.floor(i / width)) * SIDE + x0 + (i % width)] = v; });
  return result;
}

/** For each of `to` new pixels, the old ones under its window (at least one old pixel wide): [index, weight]. */
function resize(start, from, to) {
  const ratio = from / to, wide = Math.max(1, ratio);
  return Array.from({ length: to }, (_, n) => {
    const a = (n + 0.5) * ratio - wide / 2, pieces = [];
    for (let i = Math.max(0, Math.floor(a)); i < Math.min(from, a + wide); i += 1) {
      pieces.push([start + i, (Math.min(i + 1, a + wide) - Math.max(i, a)) / wide]);
    }
    return pieces;
  });
}

/** Draw or erase along a line; (0.5, 0.5) is the middle of the first pixel. */
export function stroke(pixels, x0, y0, x1, y1, erase = false) {
  const radius = erase ? 2 : 1.6, soft = 1; // at `radius` from the line the ink is half as strong
  const dx = x1 - x0, dy = y1 - y0, length = dx * dx + dy * dy;
  for (let i = 0; i < CELLS; i += 1) {
    const x = (i % SIDE) + 0.5 - x0, y = Math.floor(i / SIDE) + 0.5 - y0;
    const t = length ? clamp((x * dx + y * dy) / length, 0, 1) : 0;
    const ink = 255 * clamp((radius - Math.hypot(x - t * dx, y - t * dy)) / soft + 0.5, 0, 1);
    pixels[i] = erase ? Math.min(pixels[i], 255 - ink) : Math.max(pixels[i], ink);
  }
}

/** The layers as a reader counts them, each with the activation after it. */
function columnsOf(layers, activations) {
  const columns = [{ name: "input", family: "input", layer: {}, before: 0, after: 0 }], numbers = {};
  layers.forEach((layer, i) => {
    const rest = { relu: " + ReLU", tanh: " + tanh" }[layer.kind];
    if (rest) Object.assign(columns.at(-1), { after: i + 1, rest });
    if (rest || layer.kind === "flatten") return;
    const family = { conv: "conv", linear: "dense" }[layer.kind] ?? "pool";
    numbers[family] = (numbers[family] ?? 0) + 1;
    columns.push({ name: `${family} ${numbers[family]}`, family, layer, before: i + 1, after: i + 1 });
  });
  columns.forEach((column, r) => {
    const { shape, values } = activations[column.before], flat = shape.length === 1, maps = flat ? 1 : shape[0];
    Object.assign(column, { shape, flat, maps, count: values.length / maps, from: columns[r - 1]?.name });
  });
  return columns;
}

const DRAW = "Draw with the mouse or a finger. By keyboard: arrow keys move the pen, Space lowers and lifts it.";
const MNIST = "The box around a drawing is scaled to 20 pixels and its centre of mass moved to the middle. Test digits already are.";
const KEY = "Blue is below 0, white 0, orange above 0; each layer has its own scale. Point at a map, or move with the arrow keys.";

function render({ model, el: place }) {
  const [layers, labels, mean, std] = ["layers", "labels", "mean", "std"].map((name) => model.get(name));
  const weights = decode(model.get("weights")), images = bytesOf(model.get("images"));
  const columns = columnsOf(layers, forward(layers, weights, new Float32Array(CELLS)).activations);
  const pixels = new Uint8ClampedArray(CELLS), cursor = { x: 14, y: 14, down: false };
  let origin = null, changed = false; // the test digit on the pad, and whether it was drawn on
  let sample = false; // whether it is only there to begin with: then the first stroke replaces it
  let erasing = false, pointer = null, frame = 0, narrow = false, chosen = [0, 0], pass = null;

  const div = (name, ...children) => el("div", { class: name }, ...children);
  const small = (...children) => el("p", { class: "dr-small" }, ...children);
  const heading = (text, id) => el("p", { class: "cx-title", id }, text);
  const picture = () => el("canvas", { "aria-hidden": "true" });
  const button = (text, onclick) => el("button", { type: "button", onclick }, text);
  const tick = (box, text) => el("label", { class: "dr-tick" }, box, text);

  const padCanvas = picture(), pen = div("dr-pen"), padNote = small();
  const pad = el("div", {
    class: "dr-pad", tabindex: 0, role: "application", "aria-label": `Drawing pad, 28 × 28 pixels. ${DRAW}`,
    onpointerdown: press, onpointermove: move, onpointerup: release, onlostpointercapture: release,
    onkeydown: typed, onblur: () => { cursor.down = false; showPen(false); },
  }, padCanvas, pen);
  const eraser = button("Eraser", () => setErasing(!erasing));
  const centre = el("input", { type: "checkbox", onchange: update });
  const before = el("input", { type: "checkbox", onchange: update });
  const digits = digitChoice(images, labels, pick);
  const status = el("p", { class: "cx-status dr-status", "aria-live": "polite" });
  const bars = probabilityBars();
  columns.forEach((column, r) => {
    const { flat, maps, shape } = column;
    const zoom = flat ? 0 : Math.max(2, Math.round(20 / shape[1] + 1.5)); // page pixels for one value
    column.cells = Array.from({ length: maps }, (_, c) => {
      const point = () => choose(r, c);
      return el("div", { class: "dr-map", role: "gridcell", onfocus: point, onpointerenter: point, onkeydown: walk, onclick: (event) => event.currentTarget.focus() }, picture());
    });
    column.head = el("b", {});
    column.root = el("div", { class: `dr-column dr-${column.family}`, role: "row", style: `--side:${zoom * shape[2]};--across:${maps > 8 ? 4 : Math.min(maps, 2)}` },
      el("div", { class: "dr-head", role: "rowheader" }, column.head, el("span", {}, shape.join("×"))),
      el("div", { class: "dr-maps", role: "presentation" }, ...column.cells));
  });
  const lens = picture(), words = el("p", {}), kernels = div("dr-kernels");
  const rest = columns.find((column) => column.rest)?.rest.slice(3);
  const title = uniqueId("digits");
  const root = el("div", { class: "cx dr", role: "group", "aria-label": "LeNet reads your digit", "data-lm-suppress-shortcuts": "true" },
    div("dr-top",
      div("dr-left", heading("Draw a digit"), pad, div("dr-buttons", eraser, button("Clear", () => pick()), button("Reset", reset)), padNote),
      div("dr-right", heading("Or pick a test digit and change it", title),
        el("div", { class: "dr-digits", role: "radiogroup", "aria-labelledby": title }, ...digits.buttons),
        status,
        bars.root,
        tick(centre, "centre and scale as MNIST does"), small(MNIST))),
    div("dr-line", heading(`Layer by layer: ${thousands(weights.length)} parameters in half precision`),
      rest ? tick(before, `show maps before ${rest}`) : null),
    div("", el("div", { class: "dr-network", role: "grid", "aria-label": "the network, layer by layer" }, ...columns.map((column) => column.root)),
      small(el("span", { class: "dr-key" }), KEY),
      div("dr-lens", lens, div("", words, kernels))));
  place.append(root);

  const watch = new ResizeObserver(fit);
  watch.observe(root);
  function fit() {
    const size = root.clientWidth < 620 ? "narrow" : root.clientWidth < 1010 ? "page" : "wide";
    if (root.dataset.size === size) return;
    root.dataset.size = size;
    narrow = size === "narrow";
    if (pass) show();
  }

  // Drawing, by pointer and by keyboard.
  function ink(x0, y0, x1, y1) {
    if (sample && !erasing) { pixels.fill(0); origin = null; }
    sample = false;
    changed = true;
    stroke(pixels, x0, y0, x1, y1, erasing);
    if (!pixels.some(Boolean)) origin = null;
  }
  function spot(event) {
    const { left, top, width, height } = padCanvas.getBoundingClientRect();
    return [((event.clientX - left) / width) * SIDE, ((event.clientY - top) / height) * SIDE];
  }
  function press(event) {
    if (pointer || event.button > 0) return;
    pointer = { id: event.pointerId, at: spot(event) };
    pad.setPointerCapture(event.pointerId);
    cursor.down = false;
    showPen(false);
    ink(...pointer.at, ...pointer.at);
    update();
  }
  function move(event) {
    if (event.pointerId !== pointer?.id) return;
    const all = event.getCoalescedEvents?.() ?? [];
    for (const at of (all.length ? all : [event]).map(spot)) {
      ink(...pointer.at, ...at);
      pointer.at = at;
    }
    frame ||= requestAnimationFrame(update);
  }
  function release(event) {
    if (event.pointerId !== pointer?.id) return;
    pointer = null;
    update();
  }
  function typed(event) {
    const by = keyed(event, [" ", cursor.down ? "Escape" : " "]);
    if (!by) return;
    if (event.key === " " && !event.repeat) cursor.down = !cursor.down;
    if (event.key === "Escape") cursor.down = false;
    const { x, y } = cursor;
    Object.assign(cursor, { x: clamp(x + by[0], 0, SIDE - 1), y: clamp(y + by[1], 0, SIDE - 1) });
    showPen(true);
    if (!cursor.down) return;
    ink(x + 0.5, y + 0.5, cursor.x + 0.5, cursor.y + 0.5);
    update();
  }
  function showPen(visible) {
    Object.assign(pen.dataset, { visible, down: cursor.down });
    Object.assign(pen.style, { left: `${((cursor.x + 0.5) / SIDE) * 100}%`, top: `${((cursor.y + 0.5) / SIDE) * 100}%` });
    padNote.textContent = visible ? `${erasing ? "Eraser" : "Pen"} ${cursor.down ? "down" : "up"} at row ${cursor.y + 1}, column ${cursor.x + 1} of 28.` : DRAW;
  }
  function setErasing(value) {
    erasing = value;
    eraser.setAttribute("aria-pressed", String(value));
  }
  function reset() {
    centre.checked = true;
    before.checked = false;
    Object.assign(cursor, { x: 14, y: 14, down: false });
    setErasing(false);
    showPen(false);
    chosen = [1, 0];
    pick(0);
    sample = true;
  }
  /** Put test digit `i` on the pad, or nothing. */
  function pick(i = null) {
    if (i === null) pixels.fill(0);
    else pixels.set(images.subarray(i * CELLS, (i + 1) * CELLS));
    origin = i;
    changed = sample = false;
    update();
  }
  function walk(event) {
    const by = keyed(event);
    if (!by) return;
    const { cells } = columns[clamp(chosen[0] + by[1], 0, columns.length - 1)];
    cells[clamp(chosen[1] + by[0], 0, cells.length - 1)].focus();
  }
  function choose(r, c) {
    chosen = [r, c];
    showLens();
  }

  // One update: the picture that goes in, one pass, and all that is shown of it.
  function update() {
    cancelAnimationFrame(frame);
    frame = 0;
    const untouched = origin !== null && !changed, empty = !pixels.some(Boolean);
    const seen = untouched || !centre.checked ? pixels : prepare(pixels);
    pass = { empty, seen, ...forward(layers, weights, Float32Array.from(seen, (v) => (v / 255 - mean) / std)) };
    digits.show(untouched ? origin : null, origin ?? 0);
    const p = softmax(pass.logits), [first, second] = [...p.keys()].sort((a, b) => p[b] - p[a]), label = labels[origin];
    let text = `The network reads ${first} with probability ${chance(p[first], 2)}; next ${second} with ${chance(p[second], 2)}.`;
    if (untouched) text += ` This test digit is a ${label}${label === first ? "." : ": the network is wrong."}`;
    else if (origin !== null) text += ` This was a test digit ${label} before you changed it.`;
    status.setAttribute("aria-busy", String(pointer !== null)); // announced once a stroke, not once a frame
    status.textContent = empty ? "Draw a digit, or pick a test digit." : text;
    bars.show(...(empty ? [] : [p, first]));
    show();
  }
  function show() {
    paint(padCanvas, pixels, SIDE, 0, CELLS);
    for (const column of columns) {
      column.values = pass.activations[before.checked ? column.before : column.after].values;
      column.largest = pass.empty ? 0 : extremes(column.values).largest;
      column.title = column.name + ((!before.checked && column.rest) || "");
      column.head.textContent = column.flat ? column.family : column.title;
      column.cells.forEach((cell, c) => draw(cell.firstChild, column, c, narrow));
    }
    showLens();
  }
  /** A map; or a dense layer's values folded into a few rows (`lying`) or a few columns. */
  function draw(canvas, column, c, lying) {
    const { count, flat, shape } = column, few = count > 90 ? 5 : count > 40 ? 4 : 1;
    const across = flat ? (lying ? Math.ceil(count / few) : few) : shape[2];
    if (column.family === "input") paint(canvas, pass.seen, across, 0, count);
    else paint(canvas, column.values, across, c * count, count, column.largest);
  }
  function showLens() {
    const [r, c] = chosen, column = columns[r], { family, layer } = column, area = layer.kernel ** 2;
    columns.forEach((one, i) => one.cells.forEach((cell, j) => {
      const here = i === r && j === c;
      cell.tabIndex = here ? 0 : -1;
      cell.classList.toggle("dr-here", here);
      cell.setAttribute("aria-label", here ? describe(column, c) : `${one.title}, map ${j + 1}`);
    }));
    words.textContent = describe(column, c).replaceAll(" × ", "\u00a0×\u00a0"); // a size stays on one line
    draw(lens, column, c, true);
    // A convolution's kernels, one for each map that it reads, on one scale.
    kernels.replaceChildren(...Array.from({ length: family === "conv" ? layer.in : 0 }, picture));
    const from = pass.activations[column.before].offset + c * layer.in * area;
    [...kernels.children].forEach((canvas, i) => {
      paint(canvas, weights, layer.kernel, from + i * area, area, extremes(weights, from, layer.in * area).largest);
    });
  }
  function describe({ family, layer, shape, maps, count, flat, values, title, from, before: index }, c) {
    const what = `${title}${maps > 1 ? `, map ${c + 1} of ${maps}` : ""}: ${flat ? count : shape.slice(1).join(" × ")} values`;
    if (pass.empty) return `${what}. Nothing is drawn yet.`;
    const { low, high } = extremes(values, c * count, count);
    const number = (v) => format(v) + (values === pass.logits ? ` (digit ${values.indexOf(v)})` : "");
    const range = `${what}, least ${number(low)}, greatest ${number(high)}.`;
    if (family === "input") return `${range} The network is given (pixel ÷ 255 − ${format(mean, 3)}) ÷ ${format(std, 3)}.`;
    if (family === "pool") return `${range} Each is the ${layer.kind === "maxpool" ? "largest" : "mean"} of 2 × 2 values of ${from}, map ${c + 1}.`;
    if (flat) return `${range} Each is a weighted sum of all ${layer.in} values before it; the layer has ${thousands(parameters(layer))} parameters.`;
    const size = `${layer.kernel} × ${layer.kernel}`, kernel = layer.in > 1 ? `${layer.in} kernels of ${size}, one on each map of ${from}` : `one ${size} kernel on the ${from}`;
    return `${range} Made with ${kernel}${layer.bias ? `, plus a bias of ${format(weights[pass.activations[index].offset + parameters(layer) - maps + c])}` : ""}.`;
  }

  fit();
  reset();
  return () => {
    cancelAnimationFrame(frame);
    watch.disconnect();
    root.remove();
  };
}

export default { render };
