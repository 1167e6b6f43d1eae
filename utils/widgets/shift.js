// Shift it: a digit moved by whole pixels, and what five ways to shrink it make of that. Maps are square, in one array.

const FIELD = 32, DIGIT = 28, MOST = 8; // pixels: sides of the field and of a stored digit; the largest shift
const SCALE = 1.5; // the change at which a bar is full
const STATE = ["digit", "window", "shift", "compare"];
const STEPS = { ArrowUp: [0, -1], ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowDown: [0, 1] };

const wrap = (i, n) => ((i % n) + n) % n;
const clamp = (i) => Math.max(-MOST, Math.min(MOST, i));

/** A map moved by dx cells to the right and dy down; what leaves on one side comes back on the other. */
export function shift(map, dx, dy) {
  const n = Math.sqrt(map.length);
  return map.map((_, i) => map[wrap(Math.floor(i / n) - dy, n) * n + wrap((i % n) - dx, n)]);
}

/** `summary` of every window of size × size cells. Windows begin at `from` and lie `step` apart; the map goes on round its edges. */
function windows(map, size, step, summary, from = 0) {
  const n = Math.sqrt(map.length), cells = [];
  for (let y = from; y < n + from; y += step) for (let x = from; x < n + from; x += step) {
    const seen = [];
    for (let i = 0; i < size; i += 1) for (let j = 0; j < size; j += 1) seen.push(map[wrap(y + i, n) * n + wrap(x + j, n)]);
    cells.push(summary(seen));
  }
  return cells;
}

const largest = (values) => Math.max(...values);
const mean = (values) => values.reduce((sum, v) => sum + v, 0) / values.length;

/** 2k − 1 binomial weights that sum to 1: a bell as wide as two windows. */
export function bell(k) {
  let row = [1];
  for (let i = 2; i < 2 * k; i += 1) row = [...row, 0].map((v, j) => (v + (row[j - 1] ?? 0)) / 2);
  return row;
}

/** The largest around every cell, then the mean under the bell around every k-th (Zhang 2019). */
function blur(map, k) {
  const row = bell(k), weights = row.flatMap((a) => row.map((b) => a * b));
  return windows(windows(map, k, 1, largest), row.length, k, (seen) => seen.reduce((sum, v, i) => sum + v * weights[i], 0), 1 - k);
}

/** A map pooled in windows of k × k. */
export const pools = {
  max: (map, k) => windows(map, k, k, largest),
  average: (map, k) => windows(map, k, k, mean),
  blur,
  strided: (map, k) => windows(map, 1, k, ([first]) => first),
  global: (map) => [mean(map)],
};

const norm = (values) => Math.sqrt(values.reduce((sum, v) => sum + v * v, 0));
const minus = (a, b) => a.map((v, i) => v - b[i]);

/** How far a map is from a reference: ‖map − reference‖ ÷ ‖reference‖, and in how many cells. */
export function change(map, reference) {
  const difference = minus(map, reference), far = norm(difference);
  return { ratio: far && far / norm(reference), cells: difference.filter(Boolean).length };
}

/** By how many cells, right and down, `before` must move to come nearest to `map`. */
export function nearest(map, before) {
  const n = Math.sqrt(map.length), signed = (i) => (2 * i > n ? i - n : i);
  let best = Infinity, by = [0, 0];
  for (let dy = 0; dy < n; dy += 1) for (let dx = 0; dx < n; dx += 1) {
    let sum = 0; // most copies are given up after a few cells
    for (let i = 0; i < map.length && sum < best; i += 1) {
      sum += (map[i] - before[wrap(Math.floor(i / n) - dy, n) * n + wrap((i % n) - dx, n)]) ** 2;
    }
    if (sum < best) [best, by] = [sum, [signed(dx), signed(dy)]];
  }
  return by;
}

const count = (n, unit) => `${n} ${unit}${n === 1 ? "" : "s"}`;
/** [1, −2] in words: "1 pixel right and 2 pixels up". */
const way = ([dx, dy], unit) => [dx && `${count(Math.abs(dx), unit)} ${dx > 0 ? "right" : "left"}`,
  dy && `${count(Math.abs(dy), unit)} ${dy > 0 ? "down" : "up"}`].filter(Boolean).join(" and ");
/** A change; "0" means exactly 0. */
const amount = (ratio) => (ratio && ratio < 0.005 ? "less than 0.01" : ratio && ratio.toFixed(2));

const ROWS = { // name, and what becomes of a window
  max: ["max pooling", () => "the largest of each window"],
  average: ["average pooling", () => "the mean of each window"],
  blur: ["blur pooling", (k) => `the maximum at every pixel, blurred; every ${k === 2 ? "second" : "fourth"} kept`],
  strided: ["strided", (k) => `every ${k === 2 ? "second" : "fourth"} pixel: a strided convolution with a single 1`],
  global: ["global average", () => "the mean of all pixels"],
};

/** One pixel of the canvas for each cell. */
function paint(canvas, map, colour) {
  const n = Math.sqrt(map.length), context = canvas.getContext("2d");
  if (canvas.width !== n) canvas.width = canvas.height = n;
  map.forEach((value, i) => {
    context.fillStyle = colour(value);
    context.fillRect(i % n, Math.floor(i / n), 1, 1);
  });
}
const grey = (value) => greyColour(value, 0, 255), signed = (value) => signedColour(value, 255);

function render({ model, el: host }) {
  const data = model.get("_images"), bytes = new Uint8Array(data.buffer ?? data, data.byteOffset ?? 0, data.byteLength);
  let drag = null; // the pointer that holds the digit, where it took hold, and the shift at that time

  const set = (changes) => {
    for (const name in changes) model.set(name, changes[name]); // the model's answer to this draws
    model.save_changes();
  };
  const move = (dx, dy) => {
    const [x, y] = model.get("shift"), next = [clamp(x + dx), clamp(y + dy)];
    if (next[0] !== x || next[1] !== y) set({ shift: next });
  };

  const digit = select("Digit", Array.from({ length: 10 }, (_, i) => [i, i]), null, (v) => set({ digit: Number(v) }));
  const side = select("Window", [2, 4].map((k) => [k, `${k} × ${k}`]), null, (v) => set({ window: Number(v) }));
  const compare = select("Compare with", [["before", "the map before"], ["nearest", "its nearest moved copy"]], null,
    (v) => set({ compare: v }));
  const button = (sign, label, onclick) => el("button", { type: "button", "aria-label": label, title: label, onclick }, sign);
  const arrow = (sign, key) => button(sign, `one pixel ${key.slice(5).toLowerCase()}`, () => move(...STEPS[key]));
  const picture = el("canvas", { "aria-hidden": "true" });
  const pad = el("div", { class: "sh-pad", tabindex: 0, role: "application", onkeydown: typed,
    onpointerdown: take, onpointermove: pull, onpointerup: drop, onlostpointercapture: drop }, picture);
  const itself = el("p", { class: "sh-small" }), status = el("p", { class: "cx-status", role: "status" });
  const cell = (role, name, ...children) => el("div", { class: `sh-${name}`, role }, ...children);
  const head = ["", "now", "", "change"].map((text) => cell("columnheader", "head", text));
  const rows = Object.entries(ROWS).map(([kind, [name, what]]) => {
    const canvases = [0, 1, 2].map(() => el("canvas", { role: "img" }));
    const text = el("span", {}), number = el("b", {}), bar = el("span", {}), cells = el("span", {});
    const root = el("div", { class: "sh-row", role: "row" },
      cell("rowheader", "name", el("b", {}, name), text), ...canvases.map((canvas) => cell("cell", "map", canvas)),
      cell("cell", "change", number, el("span", { class: "sh-track" }, bar), cells));
    return { kind, name, what, canvases, text, number, bar, cells, root };
  });
  const root = el("div", { class: "cx sh", role: "group", "aria-label": "Shift it", "data-lm-suppress-shortcuts": "true" },
    el("div", { class: "cx-controls" }, digit.root, side.root, compare.root,
      el("button", { type: "button", onclick: () => set(structuredClone(model.get("_start"))) }, "Reset")),
    el("div", { class: "sh-all" },
      el("div", { class: "sh-left" }, pad,
        el("div", { class: "sh-arrows", role: "group", "aria-label": "Move the digit" }, arrow("↑", "ArrowUp"),
          arrow("←", "ArrowLeft"), button("●", "back to the middle", () => set({ shift: [0, 0] })), arrow("→", "ArrowRight"), arrow("↓", "ArrowDown")),
        itself),
      status,
      el("div", { class: "sh-table", role: "table", "aria-label": "Five ways to shrink the digit" },
        el("div", { class: "sh-row", role: "row" }, cell("columnheader", "name", "pooling"), ...head),
        ...rows.map((row) => row.root))),
    el("p", { class: "sh-small" }, "Drag the digit, or press the arrow keys on it (with Shift: by one window). What leaves on one side " +
      "comes back on the other. Change: ‖now − reference‖ ÷ ‖reference‖, with ‖·‖ the root of the sum of squares over all cells; " +
      `a full bar is ${SCALE}. Below the bar: cells that differ. Differences are blue below 0, white at 0, orange above 0.`));

  function draw() {
    const [chosen, k, by, reference] = STATE.map((name) => model.get(name)), near = reference === "nearest";
    const image = new Array(FIELD * FIELD).fill(0), edge = (FIELD - DIGIT) / 2;
    bytes.subarray(chosen * DIGIT ** 2, (chosen + 1) * DIGIT ** 2).forEach((v, i) => {
      image[(Math.floor(i / DIGIT) + edge) * FIELD + (i % DIGIT) + edge] = v;
    });
    const now = shift(image, ...by), results = {};
    digit.node.value = chosen;
    side.node.value = k;
    compare.node.value = reference;
    paint(picture, now, grey);
    pad.style.setProperty("--windows", FIELD / k);
    const size = `${k}×${k}`, where = way(by, "pixel"), names = [near ? "nearest copy" : "before", "now", "difference"];
    names.forEach((text, i) => { head[i].textContent = text; });
    for (const { kind, name, what, canvases, text, number, bar, cells } of rows) {
      const after = pools[kind](now, k), before = pools[kind](image, k), copy = near ? nearest(after, before) : [0, 0];
      const compared = shift(before, ...copy), { ratio, cells: changed } = change(after, compared);
      [compared, after, minus(after, compared)].forEach((map, i) => {
        paint(canvases[i], map, i < 2 ? grey : signed);
        canvases[i].setAttribute("aria-label", `${name}, ${names[i]}`);
      });
      text.textContent = near ? (way(copy, "cell") ? `copy moved ${way(copy, "cell")}` : "copy not moved") : what(k);
      results[kind] = number.textContent = amount(ratio);
      bar.style.width = `${100 * Math.min(1, ratio / SCALE)}%`;
      bar.classList.toggle("sh-over", ratio > SCALE);
      cells.textContent = `${changed} of ${count(after.length, "cell")}`;
    }
    itself.textContent = where ? `The digit itself changes by ${amount(change(now, image).ratio)}.` : "The digit is in the middle.";
    pad.setAttribute("aria-label", `The digit ${chosen} on ${FIELD} × ${FIELD} pixels, ${where ? `moved ${where}` : "not moved"}. ` +
      "Drag it, or press the arrow keys; with Shift it moves by one window.");
    status.textContent = !where ? "Not moved yet, so nothing changes: drag the digit, or press an arrow." :
      `Moved ${where}: max pooling ${size} ${near ? "differs from its nearest moved copy" : "changes"} by ${results.max}, average pooling by ${results.average}, ` +
      `blur pooling by ${results.blur}, every ${k === 2 ? "second" : "fourth"} pixel by ${results.strided}, the global average by ${results.global}.`;
  }

  function typed(event) {
    const step = STEPS[event.key];
    if (!step || event.ctrlKey || event.metaKey || event.altKey) return;
    event.preventDefault(); // the page must not scroll, nor the notebook go to another cell
    event.stopPropagation();
    const far = event.shiftKey ? model.get("window") : 1;
    move(step[0] * far, step[1] * far);
  }
  function take(event) {
    if (drag || event.button > 0) return;
    drag = { id: event.pointerId, x: event.clientX, y: event.clientY, from: model.get("shift") };
    pad.setPointerCapture(event.pointerId);
    status.setAttribute("aria-busy", "true"); // announced once a drag, not once a pixel
  }
  function pull(event) {
    if (event.pointerId !== drag?.id) return;
    const pixel = picture.clientWidth / FIELD, [x, y] = model.get("shift");
    const to = [drag.from[0] + (event.clientX - drag.x) / pixel, drag.from[1] + (event.clientY - drag.y) / pixel];
    move(Math.round(to[0]) - x, Math.round(to[1]) - y);
  }
  function drop(event) {
    if (event.pointerId !== drag?.id) return;
    drag = null;
    status.removeAttribute("aria-busy");
  }

  host.append(root);
  draw();
  for (const name of STATE) model.on(`change:${name}`, draw);
  return () => {
    for (const name of STATE) model.off(`change:${name}`, draw);
    root.remove();
  };
}

export default { render };
