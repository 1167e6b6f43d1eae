// Where a layer looks: the windows of a convolution or a pooling layer, and what no window reads.
// Both axes are alike, so everything is computed along one. Places count from the first input cell: padding begins at −p.

const SETTINGS = { kernel: ["Kernel", 1, 11], padding: ["Padding", 0, 8], stride: ["Stride", 1, 8], dilation: ["Dilation", 1, 8] };
const KINDS = ["convolution", "max pooling", "average pooling"];
const STATE = ["size", ...Object.keys(SETTINGS), "kind", "ceil_mode"];
const OWN = "your own";
const QUIET = "data-lm-suppress-shortcuts"; // on what has the focus: JupyterLab keeps its keys to itself
const CELL = 34, SIDE = 22, GAP = 20; // pixels: the largest cell of the strip, of the maps; between these

const range = (from, to) => Array.from({ length: Math.max(0, to - from) }, (_, i) => from + i);
const clamp = (value, low, high) => Math.max(low, Math.min(high, value));

/** Why there is no such layer; "" when there is one. */
export function problemOf({ size, kernel, padding, stride, dilation, kind, ceil_mode }) {
  const pooling = kind !== "convolution", span = dilation * (kernel - 1) + 1, padded = size + 2 * padding;
  if (ceil_mode && !pooling) return "A convolution has no ceil_mode and always rounds down: switch it off, or choose a pooling layer.";
  if (dilation > 1 && kind === "average pooling") return `Average pooling has no dilation, and ${dilation} is set: go back to 1, or choose max pooling.`;
  if (pooling && 2 * padding > kernel) {
    return `Padding ${padding} is more than half of the kernel, and a pooling layer with kernel ${kernel} allows at most ` +
      `${Math.floor(kernel / 2)}: take less padding or a larger kernel.`;
  }
  // Rounding up, PyTorch accepts a single window that hangs over the edge.
  return span <= padded || (ceil_mode && span - padded < stride) ? "" : `The kernel spans ${span} cells ` +
    `(${dilation}·(${kernel} − 1) + 1), and the padded input has only ${padded}: take a larger input, more padding or a smaller kernel.`;
}

/**
 * The windows along one axis. `room` is how far the first one can move, `rest` what remains of it after whole
 * steps, `lost` the number of cells behind the last window, `hang` how far that reaches over the padding.
 */
export function windowsOf(layer) {
  const { size, kernel, padding, stride, dilation, ceil_mode } = layer, problem = problemOf(layer);
  const span = dilation * (kernel - 1) + 1, room = size + 2 * padding - span, end = size + padding;
  let count = problem ? 0 : Math[ceil_mode ? "ceil" : "floor"](room / stride) + 1;
  const dropped = ceil_mode && (count - 1) * stride >= end; // it would start in the right padding
  if (dropped) count -= 1;
  const windows = range(0, count).map((i) => {
    const taps = range(0, kernel).map((t) => i * stride - padding + t * dilation);
    const inside = (x) => x >= 0 && x < size;
    return { start: taps[0], reads: taps.filter(inside), pads: taps.filter((x) => !inside(x) && x < end), over: taps.filter((x) => x >= end) };
  });
  const read = new Set(windows.flatMap(kept));
  const unread = count ? range(-padding, end).filter((x) => !read.has(x)) : [];
  const behind = count ? end - windows.at(-1).start - span : 0;
  return { problem, span, room, rest: ((room % stride) + stride) % stride, dropped, count, windows, unread,
    lost: Math.max(0, behind), hang: Math.max(0, -behind) };
}

/** 0, 1, 2, 4 as "0 to 2, 4". */
function runs(cells) {
  const groups = [];
  for (const x of cells) {
    if (groups.at(-1)?.at(-1) === x - 1) groups.at(-1).push(x);
    else groups.push([x]);
  }
  return groups.map((g) => (g.length > 2 ? `${g[0]} to ${g.at(-1)}` : g.join(", "))).join(", ");
}

const kept = ({ reads, pads }) => [...reads, ...pads]; // what a mean counts
const many = (n, word) => `${n} ${word}${n === 1 ? "" : "s"}`;
const lines = (n) => (n > 1 ? "rows and columns" : "row and column");

/** Output cell (r, c) in words. */
export function describe(layer, r, c) {
  const { problem, count, windows, unread, lost } = windowsOf(layer), { size, kernel, padding, kind } = layer;
  if (problem) return problem;
  const [down, across] = [windows[r], windows[c]];
  const cells = down.reads.length * across.reads.length, divisor = kept(down).length * kept(across).length;
  const pads = divisor - cells, over = kernel ** 2 - divisor;
  const name = (word, { reads }) => `${word}${reads.length > 1 ? "s" : ""} ${runs(reads)}`;
  const where = cells ? `${name("row", down)} and ${name("column", across)}: ${many(cells, "input cell")}` : "no input cell at all";
  const missed = unread.filter((x) => x >= 0 && x < size), all = size ** 2;
  return `The output is ${count} × ${count}. Output [${r}, ${c}] reads ${where}; ` +
    `${pads ? `${many(pads, "tap")} lie${pads > 1 ? "" : "s"}` : "no tap lies"} in the padding` +
    (over ? `, and ${over} over the edge, where nothing is read. ` : ". ") +
    (kind === "average pooling" ? `Its sum is divided by ${divisor}. ` : "") +
    (lost ? `The last ${lost > 1 ? `${lost} ` : ""}${lines(lost)} of the ${padding ? "padded " : ""}input fall off. ` : "Nothing falls off. ") +
    (missed.length ? `No window reads ${lines(missed.length)} ${runs(missed)}: ${all - (size - missed.length) ** 2} of ${many(all, "input cell")}.`
      : "Every input cell is read.");
}

/** The formula, the formula with its numbers, and what the division leaves over: three lines. */
export function formulaOf(layer) {
  const { size: n, kernel: k, padding: p, stride: s, dilation: d, ceil_mode } = layer;
  const { problem, room, rest, dropped, count, hang } = windowsOf(layer);
  const [a, b] = ceil_mode ? "⌈⌉" : "⌊⌋", top = `${n} + 2·${p} − ${d}·(${k} − 1) − 1`, steps = Math.floor(room / s);
  const rule = `Output size = ${a}(n + 2p − d(k − 1) − 1)/s${b} + 1`;
  if (problem) return [rule, room < 0 ? `${top} = ${format(room)}: below 0, the first window has no room.` : ""];
  const quotient = format(Math.trunc(1000 * room / s) / 1000, 3) + (1000 * room % s ? "…" : ""), whole = count - 1 + dropped;
  const first = `= ${a}(${top})/${s}${b} + 1 = ${a}${format(room)}/${s}${b} + 1 = ${s > 1 ? `${a}${quotient}${b} + 1 = ` : ""}` +
    `${whole} + 1 = ${whole + 1}${dropped ? `; one is dropped: ${count}` : ""}`;
  if (room < 0) return [rule, first, `The only window is longer than the padded input and hangs over its edge by ${hang}.`];
  const division = `${room} = ${steps}·${s} + ${rest}: after the first window, ${many(steps, "whole step")} of ${s} and `;
  const added = ". Rounding up adds a window, which ", ending = dropped ? `${added}would start in the right padding and is dropped: ` : ": ";
  return [rule, first, division + (!rest ? "no remainder: nothing falls off." : `a remainder of ${rest}` + (hang
    ? `${added}hangs over the edge by ${hang}.` : `${ending}the last ${rest > 1 ? `${rest} cells fall` : "cell falls"} off.`))];
}

function render({ model, el: host }) {
  let at = [0, 0], layer = {}, now = {}; // the chosen output cell; what is drawn
  let queued = false, alive = true;
  const presets = new Map(model.get("_presets"));

  const set = (changes) => {
    for (const name in changes) model.set(name, changes[name]);
    model.save_changes();
    schedule();
  };
  const restart = (state) => { at = [0, 0]; set(state); };
  const preset = select("Preset", [...presets.keys(), OWN].map((name) => [name, name]), null, (name) => restart(presets.get(name)));
  preset.node.lastChild.hidden = true;
  const kind = select("Layer", KINDS.map((name) => [name, name]), null, (value) => set({ kind: value }));
  const sizeText = el("span", {});
  const size = el("input", { type: "range", min: 1, max: 32, oninput: () => set({ size: Number(size.value) }) });
  const steppers = Object.entries(SETTINGS).map(([name, [label, low, high]]) =>
    [name, stepper(label, low, high, model.get(name), (value) => set({ [name]: value }))]);
  const ceil = el("button", { type: "button", onclick: () => set({ ceil_mode: !layer.ceil_mode }) }, "ceil_mode");
  const next = el("button", { type: "button", onclick: () => {
    const order = (at[0] * now.count + at[1] + 1) % now.count ** 2;
    choose(Math.floor(order / now.count), order % now.count);
  } }, "Next window");
  const reset = el("button", { type: "button", onclick: () => restart(model.get("_start")) }, "Reset");
  const status = el("p", { class: "cx-status", role: "status", "aria-live": "polite" });
  const formula = el("div", { class: "cx-formula" });
  const legend = el("p", { class: "cx-legend" });
  const titles = [0, 1, 2].map(() => el("p", { class: "cx-title" }));
  const [strip, input, output] = ["strip", "input", "output"].map((name) => svg("svg", { class: `cx-draw cx-${name}`, "aria-hidden": "true" }));
  const figure = el("div", { class: "cx-figure", tabindex: 0, role: "application",
    "aria-label": "The windows: arrow keys, Home and End choose an output cell" },
  el("div", {}, titles[0], strip),
  el("div", { class: "cx-maps" }, el("div", {}, titles[1], input), el("div", {}, titles[2], output)));
  const root = el("div", { class: "cx cx-window" },
    el("div", { class: "cx-controls" }, preset.root, kind.root, el("label", { class: "cx-field cx-range" }, sizeText, size),
      ...steppers.map(([, { root: node }]) => node), el("div", { class: "cx-buttons" }, ceil, next, reset)),
    formula, status, figure, legend);

  function choose(r, c) {
    if (!now.count) return;
    at = [clamp(r, 0, now.count - 1), clamp(c, 0, now.count - 1)];
    drawFigure();
  }

  // Changes of one moment, also from another view or from Python, are drawn once.
  function schedule() {
    if (!queued) queueMicrotask(() => { queued = false; if (alive) draw(); });
    queued = true;
  }

  function draw() {
    layer = Object.fromEntries(STATE.map((name) => [name, model.get(name)]));
    now = windowsOf(layer);
    at = at.map((i) => clamp(i, 0, now.count - 1));
    preset.node.value = [...presets].find(([, known]) => STATE.every((name) => known[name] === layer[name]))?.[0] ?? OWN;
    kind.node.value = layer.kind;
    size.value = layer.size;
    sizeText.textContent = `Input size ${layer.size} × ${layer.size}`;
    for (const [name, control] of steppers) control.set(layer[name]);
    ceil.setAttribute("aria-pressed", layer.ceil_mode);
    ceil.disabled = layer.kind === KINDS[0] && !layer.ceil_mode;
    next.disabled = now.count < 2;
    formula.replaceChildren(...formulaOf(layer).map((text) => el("p", {}, text)));
    legend.replaceChildren(...[now.count && ["cx-on", "read by the chosen output"],
      layer.padding && ["cx-frame", layer.kind === KINDS[1] ? "padding, −∞" : "padding, 0"], now.hang && ["cx-beyond", "over the edge"], now.unread.length && ["cx-never", "read by no window"]].filter(Boolean)
      .map(([name, text]) => el("span", {}, el("i", { class: name }), text)));
    drawFigure();
  }

  /** A box in the strip for each place, `w` wide. */
  const boxes = (cells, y, h, w) => cells.map((i) => `M${((i + layer.padding) * w + 1).toFixed(2)} ${y}h${w.toFixed(2)}v${h}h${(-w).toFixed(2)}z`).join("");
  const shape = (name, d) => svg("path", { class: name, d });
  const total = () => layer.size + 2 * layer.padding + now.hang;

  /** A shape filled with diagonal lines, 6 pixels apart where `unit` pixels are one. */
  function hatched(unit, d) {
    const id = uniqueId("cx-hatch");
    return [svg("pattern", { id, width: 1, height: 1, patternUnits: "userSpaceOnUse", patternTransform: `rotate(45) scale(${6 / unit})` },
      svg("path", { class: "cx-stroke", d: "M0.5 0V1" })), svg("path", { class: "cx-never", style: `fill: url(#${id})`, d })];
  }

  function drawStrip(room) {
    const { size: n, padding: p, kernel, dilation } = layer, { windows, unread, lost, count } = now, w = Math.min(CELL, (room - 2) / total());
    const pitch = count ? clamp(180 / count, 5, 16) : 0, top = 16, below = top + 24, foot = below + count * pitch, thick = pitch - Math.min(3, pitch * 0.3);
    const width = total() * w + 2, end = n + p, every = [1, 2, 5, 10].find((m) => m * w >= 20);
    const chosen = windows[at[1]], middle = (i) => (i + p + 0.5) * w + 1;
    const parts = [shape("cx-frame", boxes([...range(-p, 0), ...range(n, end)], top, 18, w)), shape("cx-cell", boxes(range(0, n), top, 18, w)),
      ...range(0, n).filter((i) => i % every === 0).map((i) => svg("text", { x: middle(i), y: 12, "text-anchor": "middle" }, String(i)))];
    if (chosen) parts.push(shape("cx-on", boxes(chosen.reads, top, 18, w)), shape("cx-on cx-half", boxes(chosen.pads, top, 18, w)));
    windows.forEach(({ start, reads, pads, over }, i) => {
      const y = below + i * pitch, on = i === at[1] ? "cx-on" : "cx-other", x = (start + p) * w + 1;
      const holes = range(1, kernel).map((t) => `M${x + ((t - 1) * dilation + 1) * w} ${y + thick / 2}h${(dilation - 1) * w}`).join("");
      parts.push(shape("cx-reach", holes), shape(on, boxes(reads, y, thick, w)),
        shape(`${on} cx-half`, boxes(pads, y, thick, w)), shape("cx-beyond", boxes(over, y, thick, w)));
    });
    parts.push(...hatched(1, boxes(unread, top, foot - top, w)));
    if (lost) {
      const from = (total() - lost) * w + 1;
      parts.push(shape("cx-brace", `M${from} ${foot + 2}v4H${width - 1}v-4`),
        svg("text", { class: "cx-lost", x: Math.max(width, 66), y: foot + 19, "text-anchor": "end" }, `${lost} fall${lost > 1 ? "" : "s"} off`));
    }
    Object.assign(now, { w, pitch, below });
    setAttributes(strip, { width, height: foot + (lost ? 24 : 2) });
    strip.replaceChildren(...parts);
    titles[0].style.width = `${Math.max(width, 230)}px`;
    titles[0].textContent = `Along one row: ${many(n, "cell")}${p ? `, ${p} of padding at each end` : ""}${count ? "; below, one window a line" : ""}`;
  }

  function drawMaps(room) {
    const { size: n, padding: p } = layer, { windows, unread, count, span } = now, cells = total(), end = n + p;
    const beside = (room - GAP - 2) / (cells + count), side = Math.min(SIDE, beside >= 7 ? beside : room / cells);
    const plane = (node, from, length, ...parts) => {
      setAttributes(node, { width: length * side, height: length * side, viewBox: `${from} ${from} ${length} ${length}` });
      node.replaceChildren(...parts);
    };
    const squares = (rows, cols) => rows.map((r) => cols.map((c) => `M${c} ${r}h1v1h-1z`).join("")).join("");
    const block = (from, length) => `M${from} ${from}h${length}v${length}h${-length}z`;
    const rule = (from, to) => shape("cx-rule", range(from, to + 1).map((i) => `M${from} ${i}H${to}M${i} ${from}V${to}`).join(""));
    const parts = [shape("cx-frame", block(-p, n + 2 * p)), shape("cx-cell", block(0, n)), rule(-p, end),
      ...hatched(side, unread.map((i) => `M${-p} ${i}H${end}v1H${-p}zM${i} ${-p}h1V${end}h-1z`).join(""))];
    if (count) {
      const [down, across] = at.map((i) => windows[i]);
      parts.push(shape("cx-on", squares(down.reads, across.reads)),
        shape("cx-on cx-half", squares(down.pads, kept(across)) + squares(down.reads, across.pads)),
        shape("cx-beyond", squares(down.over, [...kept(across), ...across.over]) + squares(kept(down), across.over)),
        shape("cx-outline", `M${across.start} ${down.start}h${span}v${span}h${-span}z`));
    }
    plane(input, -p, cells, ...parts);
    plane(output, 0, count, shape("cx-cell", block(0, count)), shape("cx-on", count ? squares([at[0]], [at[1]]) : ""), rule(0, count));
    now.side = side;
    titles[1].textContent = `Input ${n} × ${n}`;
    titles[2].textContent = count ? `Output ${count} × ${count}` : "No output";
  }

  let room = 0; // in pixels
  function measure() {
    const style = getComputedStyle(root);
    room = Math.max(200, root.clientWidth - parseFloat(style.paddingLeft) - parseFloat(style.paddingRight));
  }
  function drawFigure() {
    drawStrip(room);
    drawMaps(room);
    const text = describe(layer, ...at);
    if (status.textContent !== text) status.textContent = text;
    status.classList.toggle("cx-error", Boolean(now.problem));
  }

  /** Choose by pointer, also while it is dragged; `take` gets pixels of the drawing. */
  function pick(node, take) {
    const point = (event) => {
      const frame = node.getBoundingClientRect();
      choose(...take(event.clientX - frame.left, event.clientY - frame.top));
    };
    node.addEventListener("pointerdown", (event) => { if (event.button === 0) point(event); });
    node.addEventListener("pointermove", (event) => { if (event.buttons === 1) point(event); });
  }
  /** The window whose middle is nearest to a place, in cells of the padded input. */
  const nearest = (place) => Math.round((place - now.span / 2) / layer.stride);
  pick(strip, (x, y) => [at[0], y < now.below ? nearest((x - 1) / now.w) : Math.floor((y - now.below) / now.pitch)]);
  pick(input, (x, y) => [nearest(y / now.side), nearest(x / now.side)]);
  pick(output, (x, y) => [Math.floor(y / now.side), Math.floor(x / now.side)]);
  figure.addEventListener("keydown", (event) => {
    const [r, c] = at, place = { ArrowUp: [r - 1, c], ArrowDown: [r + 1, c], ArrowLeft: [r, c - 1], ArrowRight: [r, c + 1],
      Home: [r, 0], End: [r, now.count - 1] }[event.key];
    if (!place) return;
    event.preventDefault();
    choose(...place);
  });

  for (const node of root.querySelectorAll("button, select, input, [tabindex]")) node.setAttribute(QUIET, "");
  host.append(root);
  measure();
  draw();
  for (const name of STATE) model.on(`change:${name}`, schedule);
  const observer = new ResizeObserver(() => { // in the next frame: what the callback resizes would be observed again
    const before = room;
    measure();
    if (room !== before) requestAnimationFrame(() => alive && drawFigure());
  });
  observer.observe(root);
  return () => {
    alive = false;
    observer.disconnect();
    for (const name of STATE) model.off(`change:${name}`, schedule);
    root.remove();
  };
}

export default { render };
