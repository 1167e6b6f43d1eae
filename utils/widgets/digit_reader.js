// LeNet reads your digit: a trained network runs in the page on what is drawn on the pad.

const SIDE = 28, CELLS = SIDE * SIDE;
const thousands = (n) => n.toLocaleString("en");
const clamp = (value, low, high) => Math.max(low, Math.min(high, value));

/** The bytes of a view, a buffer or a list: hosts differ in what they hand over. */
const bytesOf = (data) => (ArrayBuffer.isView(data) ? new Uint8Array(data.buffer, data.byteOffset, data.byteLength) : new Uint8Array(data));

/** float16 numbers, little-endian, as a Float32Array. */
export function decode(data) {
  const bytes = bytesOf(data);
  return Float32Array.from({ length: bytes.length / 2 }, (_, i) => {
    const bits = bytes[2 * i] | (bytes[2 * i + 1] << 8);
    const sign = bits & 0x8000 ? -1 : 1, exponent = (bits >> 10) & 31, fraction = (bits & 1023) / 1024;
    if (exponent === 31) return fraction ? NaN : sign * Infinity;
    return sign * (exponent ? (1 + fraction) * 2 ** (exponent - 15) : fraction * 2 ** -14);
  });
}

/**
 * One pass: `layers` from Python, all `weights` in a row, 784 normalised pixels. Sums are in double precision,
 * values in single. `activations`: the input and each layer's shape, values and `offset` of its weights.
 */
export function forward(layers, weights, input) {
  let now = { shape: [1, SIDE, SIDE], values: Float32Array.from(input), offset: 0 }, offset = 0;
  const activations = [now];
  for (const layer of layers) {
    const { kind } = layer, { shape, values } = now;
    if (kind === "conv") now = convolve(layer, weights, offset, now);
    else if (kind === "linear") now = dense(layer, weights, offset, now);
    else if (kind === "flatten") now = { shape: [values.length], values };
    else if (kind.endsWith("pool")) now = pool(now, kind === "maxpool");
    else now = { shape, values: values.map(kind === "relu" ? (v) => (v > 0 ? v : 0) : Math.tanh) };
    now.offset = offset;
    offset += parameters(layer);
    activations.push(now);
  }
  if (offset !== weights.length) throw new Error(`the layers use ${offset} weights, not ${weights.length}`);
  return { logits: now.values, activations };
}

function parameters({ in: inputs = 0, out = 0, kernel = 1, bias }) {
  return out * inputs * kernel * kernel + (bias ? out : 0);
}

function convolve({ in: channels, out, kernel: k, padding: p, bias }, weights, offset, { shape, values }) {
  const [, height, width] = shape;
  const rows = height + 2 * p - k + 1, columns = width + 2 * p - k + 1, area = rows * columns;
  const result = new Float32Array(out * area), sums = new Float64Array(area);
  for (let o = 0, at = offset; o < out; o += 1) {
    sums.fill(bias ? weights[offset + out * channels * k * k + o] : 0);
    for (let c = 0; c < channels; c += 1) for (let i = 0; i < k; i += 1) for (let j = 0; j < k; j += 1) {
      const w = weights[at++];
      // The rows and columns of the output in which this weight meets a pixel, not the padding.
      const bottom = Math.min(rows, height + p - i), left = Math.max(0, p - j), right = Math.min(columns, width + p - j);
      for (let y = Math.max(0, p - i); y < bottom; y += 1) {
        const from = (c * height + y + i - p) * width + j - p, to = y * columns;
        for (let x = left; x < right; x += 1) sums[to + x] += w * values[from + x];
      }
    }
    result.set(sums, o * area);
  }
  return { shape: [out, rows, columns], values: result };
}

/** A dense layer is a convolution of maps of one pixel with kernels of one pixel. */
function dense(layer, weights, offset, { values }) {
  const maps = { shape: [values.length, 1, 1], values };
  return { shape: [layer.out], values: convolve({ ...layer, kernel: 1, padding: 0 }, weights, offset, maps).values };
}

function pool({ shape: [channels, height, width], values }, largest) {
  const rows = height >> 1, columns = width >> 1, result = new Float32Array(channels * rows * columns);
  for (let c = 0, at = 0; c < channels; c += 1) for (let y = 0; y < rows; y += 1) for (let x = 0; x < columns; x += 1) {
    const i = (c * height + 2 * y) * width + 2 * x;
    const four = [values[i], values[i + 1], values[i + width], values[i + width + 1]];
    result[at++] = largest ? Math.max(...four) : (four[0] + four[1] + four[2] + four[3]) / 4;
  }
  return { shape: [channels, rows, columns], values: result };
}

/** Probabilities; without the largest logit, no power overflows. */
export function softmax(logits) {
  const largest = Math.max(...logits), powers = Array.from(logits, (v) => Math.exp(v - largest));
  const sum = powers.reduce((a, b) => a + b);
  return powers.map((v) => v / sum);
}

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

const packed = (text) => text.match(/\d+/g).reduce((sum, part, i) => (sum | (part << (8 * i))) >>> 0, 0xff000000);
const SIGNED = Uint32Array.from({ length: 511 }, (_, i) => packed(signedColour(i - 255, 255)));
const GREY = Uint32Array.from({ length: 256 }, (_, i) => packed(greyColour(i, 0, 255)));

/** A pixel for each value: signed colours up to ±largest, or, without `largest`, grey from 0 to 255. */
function paint(canvas, values, columns, start, count, largest) {
  const rows = Math.ceil(count / columns), signed = largest !== undefined;
  if (canvas.width !== columns || canvas.height !== rows) Object.assign(canvas, { width: columns, height: rows });
  const context = canvas.getContext("2d"), image = context.createImageData(columns, rows);
  const words = new Uint32Array(image.data.buffer);
  for (let i = 0; i < count; i += 1) {
    const value = values[start + i];
    words[i] = signed ? SIGNED[Math.round(clamp(largest && value / largest, -1, 1) * 255) + 255] : GREY[value];
  }
  context.putImageData(image, 0, 0);
}

function extremes(values, start = 0, count = values.length) {
  const part = values.subarray(start, start + count);
  const low = part.reduce((a, b) => Math.min(a, b), Infinity), high = part.reduce((a, b) => Math.max(a, b), -Infinity);
  return { low, high, largest: Math.max(-low, high) };
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

/** A probability in words that never claims to be exactly 0 or 1. */
function chance(p, digits, less = "less than ", more = "more than ") {
  const least = 10 ** -digits;
  return p < least / 2 ? less + least : p > 1 - least / 2 ? more + (1 - least) : p.toFixed(digits);
}

const ARROWS = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };

/** The step of an arrow key, [0, 0] for one of `others`. A key in use goes no further, or the notebook would act on it. */
function keyed(event, others = []) {
  if (event.ctrlKey || event.metaKey || event.altKey) return undefined;
  const by = ARROWS[event.key] ?? (others.includes(event.key) ? [0, 0] : undefined);
  if (by) { event.preventDefault(); event.stopPropagation(); }
  return by;
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
  const digits = labels.map((label, i) => {
    const canvas = picture();
    paint(canvas, images, SIDE, i * CELLS, CELLS);
    const name = `test digit ${i + 1} of ${labels.length}, a ${label}`;
    return el("button", { type: "button", role: "radio", "aria-label": name, onclick: () => pick(i), onkeydown: step }, canvas);
  });
  const status = el("p", { class: "cx-status dr-status", "aria-live": "polite" });
  const bars = Array.from({ length: 10 }, (_, i) => {
    const bar = el("span", { class: "dr-bar" }), number = el("span", { class: "dr-number" });
    return { bar, number, row: el("li", {}, el("b", {}, String(i)), el("span", { class: "dr-track" }, bar), number) };
  });
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
        el("div", { class: "dr-digits", role: "radiogroup", "aria-labelledby": title }, ...digits),
        status,
        el("ol", { class: "dr-bars", "aria-label": "probability of each digit" }, ...bars.map(({ row }) => row)),
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
  function step(event) {
    const by = keyed(event), n = digits.length;
    if (!by) return;
    const to = (digits.indexOf(event.currentTarget) + by[0] + by[1] + n) % n;
    pick(to);
    digits[to].focus();
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
    digits.forEach((digit, i) => {
      digit.setAttribute("aria-checked", String(untouched && i === origin));
      digit.tabIndex = i === (origin ?? 0) ? 0 : -1;
    });
    const p = softmax(pass.logits), [first, second] = [...p.keys()].sort((a, b) => p[b] - p[a]), label = labels[origin];
    let text = `The network reads ${first} with probability ${chance(p[first], 2)}; next ${second} with ${chance(p[second], 2)}.`;
    if (untouched) text += ` This test digit is a ${label}${label === first ? "." : ": the network is wrong."}`;
    else if (origin !== null) text += ` This was a test digit ${label} before you changed it.`;
    status.setAttribute("aria-busy", String(pointer !== null)); // announced once a stroke, not once a frame
    status.textContent = empty ? "Draw a digit, or pick a test digit." : text;
    bars.forEach(({ row, bar, number }, i) => {
      row.classList.toggle("dr-best", !empty && i === first);
      bar.style.width = empty ? "0" : `${100 * p[i]}%`;
      number.textContent = empty ? "–" : chance(p[i], 3, "<", ">");
    });
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
