// The convolution explorer. Its arithmetic is PyTorch's conv2d, a cross-correlation: the kernel is not flipped.

const STATE = ["image", "kernel", "padding", "padding_mode", "stride", "dilation"];
const MODES = ["zeros", "reflect", "replicate", "circular"];
const RANGES = { padding: [0, 4], stride: [1, 4], dilation: [1, 3] };
const LIMIT = 999; // of a cell, either sign
const OWN = "your own";
const QUIET = "data-lm-suppress-shortcuts"; // on what has the focus: JupyterLab keeps its keys to itself

/** Which row (or column) of a side of `n` cells fills place `i` of the padding; -1 stands for a zero. */
function sourceIndex(i, n, mode) {
  if (i >= 0 && i < n) return i;
  if (mode === "reflect") return i < 0 ? -i : 2 * (n - 1) - i;
  if (mode === "replicate") return i < 0 ? 0 : n - 1;
  return mode === "circular" ? (i + n) % n : -1;
}

/** Why this padding has no meaning; "" when it has one. */
function paddingProblem(h, w, p, mode) {
  const most = { reflect: Math.min(h, w) - 1, circular: Math.min(h, w) }[mode] ?? p;
  return p <= most ? "" : `Padding ${p} is too much for the mode “${mode}”, which allows at most ${most} ` +
    `for an image of ${h} × ${w}; reduce it or choose another mode.`;
}

/** Why the kernel fits nowhere; "" when it fits. */
function kernelProblem(h, w, kh, kw, p, d) {
  const reach = [d * (kh - 1) + 1, d * (kw - 1) + 1], room = [h + 2 * p, w + 2 * p];
  return reach[0] <= room[0] && reach[1] <= room[1] ? ""
    : `The kernel with dilation ${d} reaches over ${reach.join(" × ")} cells, and the padded image has only ` +
      `${room.join(" × ")}; reduce the dilation or add padding.`;
}

/** Output cells along a side of `n` cells under `k` taps. */
const outputSize = (n, k, p, s, d) => Math.floor((n + 2 * p - d * (k - 1) - 1) / s) + 1;

const table = (rows, cols, make) => Array.from({ length: rows }, (_, r) => Array.from({ length: cols }, (_, c) => make(r, c)));

/** The image with `p` cells added on every side. */
export function pad(image, p, mode) {
  const h = image.length, w = image[0].length, problem = paddingProblem(h, w, p, mode);
  if (problem) throw new Error(problem);
  return table(h + 2 * p, w + 2 * p, (i, j) => image[sourceIndex(i - p, h, mode)]?.[sourceIndex(j - p, w, mode)] ?? 0);
}

/** What meets at output cell (r, c): padded cell (i, j), of value x, and kernel cell (u, v), of weight k. */
function tapsAt(padded, kernel, r, c, stride, dilation) {
  return kernel.flatMap((weights, u) => weights.map((k, v) => {
    const i = r * stride + u * dilation, j = c * stride + v * dilation;
    return { i, j, u, v, k, x: padded[i][j] };
  }));
}

/** conv2d of one channel with one kernel. */
export function convolve(image, kernel, { padding = 0, mode = "zeros", stride = 1, dilation = 1 } = {}) {
  const h = image.length, w = image[0].length, kh = kernel.length, kw = kernel[0].length;
  const problem = kernelProblem(h, w, kh, kw, padding, dilation);
  if (problem) throw new Error(problem);
  const padded = pad(image, padding, mode), size = (n, k) => outputSize(n, k, padding, stride, dilation);
  return table(size(h, kh), size(w, kw), (r, c) =>
    tapsAt(padded, kernel, r, c, stride, dilation).reduce((sum, { x, k }) => sum + x * k, 0));
}

// Numbers as text
const near = (a, b) => Math.abs(a - b) <= 1e-12 * Math.max(1, Math.abs(b));
const exact = (value) => near(Number(value.toFixed(3)), value); // three decimals say all
const minus = (text) => text.replace("e+", "e").replace(/-/g, "−");
const decimal = (value) => (exact(value) ? format(value, 3) : minus(String(Number(value.toPrecision(3)))));
const inBrackets = (text) => (text.startsWith("−") ? `(${text})` : text);

/** The smallest b below 100 for which all values are fractions a/b; 0 where decimals do, or nothing does. */
function denominator(values) {
  if (values.every(exact)) return 0;
  for (let b = 2; b < 100; b += 1) if (values.every((x) => near(x * b, Math.round(x * b)))) return b;
  return 0;
}

/** A number in full: up to three decimals, a fraction where only that is exact, else three digits. */
function full(value) {
  const b = denominator([value]);
  return b ? `${format(value * b, 0)}/${b}` : decimal(value);
}

/** A number in at most six characters; what is not zero never reads 0. */
function brief(value) {
  for (const digits of [2, 1, 0]) {
    const text = format(value, digits);
    if (text.length <= 6 && (text !== "0" || near(value, 0))) return text;
  }
  return minus(value.toExponential(1));
}

/** Read what was typed: 3, −0.5, 0,5 or 1/9; null if it is no number or beyond the limit. */
function parse(text) {
  const plain = text.trim().replace(/[−–]/g, "-").replace(/,/g, ".");
  const [, a, b = 1] = plain.match(/^([+-]?(?:\d+\.?\d*|\.\d+))(?:\/(\d+\.?\d*))?$/) ?? [];
  const value = a / b + 0; // + 0 makes -0 a zero
  return Math.abs(value) <= LIMIT ? value : null;
}

// A sheet: a title and a table of cells, of which one can be reached by Tab
function makeSheet(name) {
  const id = uniqueId(`cx-${name}`), title = el("p", { class: "cx-title", id });
  const body = el("div", { class: "cx-grid", role: "grid", "aria-labelledby": id });
  const scroll = el("div", { class: "cx-scroll" }, body);
  return { name, title, body, scroll, root: el("div", { class: `cx-sheet cx-${name}` }, title, scroll), at: [0, 0] };
}

/** Give a sheet its cells, if their number or kind changed. */
function fill(sheet, rows, cols, kind, make) {
  const key = `${rows},${cols},${kind}`;
  if (sheet.key === key) return;
  Object.assign(sheet, { key, cells: table(rows, cols, make) });
  sheet.body.style.setProperty("--cols", cols);
  sheet.body.replaceChildren(...sheet.cells.map((row) => el("div", { role: "row", class: "cx-row" }, ...row)));
}

function rove(sheet, node) {
  sheet.tab?.setAttribute("tabindex", "-1");
  node.setAttribute("tabindex", "0");
  Object.assign(sheet, { tab: node, at: place(node) });
}

// Writing to the page only what differs keeps an update within a frame.
function write(node, name, value) {
  if (node[name] !== value) node[name] = value;
}

function paint(cell, back) {
  if (cell.back !== back) Object.assign(cell.style, { background: back, color: inkOn(back) });
  cell.back = back;
}

const makeCell = (attributes, content) => el("div", { class: "cx-cell", role: "gridcell", ...attributes }, content);
const makeInput = ({ name }, r, c) => makeCell({}, el("input", { "data-r": r, "data-c": c, "aria-label": `${name}[${r}, ${c}]`,
  [QUIET]: true, type: "text", autocomplete: "off", spellcheck: "false", maxlength: 12, tabindex: -1 }));
const place = (node) => [Number(node.dataset.r), Number(node.dataset.c)];
const clamp = (value, low, high) => Math.max(low, Math.min(high, value));
const within = (sheet, rows, cols) => [Math.min(sheet.at[0], rows - 1), Math.min(sheet.at[1], cols - 1)];
const listen = (sheet, type, handler) => // to the cells that have a place
  sheet.body.addEventListener(type, (event) => event.target.dataset.r && handler(event.target, event));

function render({ model, el: host }) {
  const image = makeSheet("image"), kernel = makeSheet("kernel"), output = makeSheet("output");
  let now = {}; // what is drawn: settings, padded image, result
  let editing = null; // the input whose text is not settled yet
  let timer = 0, queued = false, alive = true;

  const set = (changes) => {
    for (const name in changes) model.set(name, changes[name]);
    model.save_changes();
    schedule();
  };
  const presets = { image: new Map(model.get("_images")), kernel: new Map(model.get("_kernels")),
    padding_mode: new Map(MODES.map((mode) => [mode, mode])) };
  const controls = {};
  for (const name of STATE) {
    const label = name[0].toUpperCase() + name.slice(1).replace("_", " "), known = presets[name];
    controls[name] = known ? select(label, [...known.keys()].map((key) => [key, key]), null, (key) => set({ [name]: known.get(key) }))
      : stepper(label, ...RANGES[name], model.get(name), (value) => set({ [name]: value }));
    controls[name].node?.append(el("option", { value: OWN, hidden: true }, OWN));
  }
  const playButton = el("button", { type: "button", class: "cx-play", onclick: () => (timer ? pause() : play()) });
  const status = el("p", { class: "cx-status", role: "status" });
  const sum = el("div", { class: "cx-sum", role: "group", "aria-label": "The sum behind the selected output cell" });
  const size = el("div", { class: "cx-size" });
  const root = el("div", { class: "cx cx-conv" },
    el("div", { class: "cx-controls" }, ...STATE.map((name) => controls[name].root),
      el("div", { class: "cx-buttons" }, playButton, el("button", { type: "button", onclick: reset }, "Reset"))),
    status, el("div", { class: "cx-sheets" }, image.root, kernel.root, output.root), sum, size,
    el("p", { class: "cx-hint" }, "Point at an output cell, tap it, or use the arrow keys. " +
      "Image and kernel can be edited; 1/9 works too."));

  function say(text, isError = false) {
    status.textContent = text;
    status.classList.toggle("cx-error", isError);
  }

  // Drawing. Changes of one moment, from here, from another view or from Python, are drawn once.
  function schedule() {
    if (!queued) queueMicrotask(() => { queued = false; if (alive) draw(); });
    queued = true;
  }

  function drawInputs(sheet, values, p, colour) {
    values.forEach((row, r) => row.forEach((value, c) => {
      const cell = sheet.cells[r + p][c + p], input = cell.firstChild;
      paint(cell, colour(value));
      if (input !== editing) write(input, "value", full(value));
    }));
    const [r, c] = within(sheet, values.length, values[0].length);
    rove(sheet, sheet.cells[r + p][c + p].firstChild);
  }

  function draw() {
    const [x, k, p, mode, stride, dilation] = STATE.map((name) => model.get(name));
    const h = x.length, w = x[0].length, kh = k.length, kw = k[0].length, bad = paddingProblem(h, w, p, mode);
    const problem = bad || kernelProblem(h, w, kh, kw, p, dilation), padded = bad ? null : pad(x, p, mode);
    const result = problem ? [] : convolve(x, k, { padding: p, mode, stride, dilation });
    now = { x, k, p, stride, dilation, padded, result };

    for (const name of STATE) {
      const value = model.get(name), text = JSON.stringify(value);
      if (!presets[name]) controls[name].set(value);
      else controls[name].node.value = [...presets[name]].find((preset) => JSON.stringify(preset[1]) === text)?.[0] ?? OWN;
    }
    fill(image, h + 2 * p, w + 2 * p, p, (i, j) => (i >= p && i < h + p && j >= p && j < w + p
      ? makeInput(image, i - p, j - p) : makeCell({ class: "cx-cell cx-pad" })));
    const low = Math.min(0, ...x.flat()), high = Math.max(...x.flat());
    drawInputs(image, x, p, (value) => greyColour(value, low, high));
    image.cells.forEach((row, i) => row.forEach((cell, j) => {
      if (cell.matches(".cx-pad")) write(cell, "textContent", padded ? full(padded[i][j]) : "?");
    }));
    const largest = (rows) => Math.max(0, ...rows.flat().map(Math.abs)), heaviest = largest(k), strongest = largest(result);
    fill(kernel, kh, kw, 0, (u, v) => makeInput(kernel, u, v));
    drawInputs(kernel, k, 0, (value) => signedColour(value, heaviest));
    const oh = result.length, ow = oh && result[0].length;
    fill(output, oh, ow, 0, (r, c) => makeCell({ "data-r": r, "data-c": c, [QUIET]: true, tabindex: -1 }));
    result.forEach((row, r) => row.forEach((value, c) => {
      const cell = output.cells[r][c];
      paint(cell, signedColour(value, strongest));
      write(cell, "textContent", brief(value));
      write(cell, "ariaLabel", `output[${r}, ${c}] ${exact(value) ? "=" : "≈"} ${decimal(value)}`);
    }));

    image.title.textContent = `Image, ${h} × ${w}${p ? `, padded to ${h + 2 * p} × ${w + 2 * p}` : ""}`;
    kernel.title.textContent = `Kernel, ${kh} × ${kw}`;
    output.title.textContent = problem ? "Output: none" : `Output, ${oh} × ${ow}`;
    output.root.classList.toggle("cx-none", Boolean(problem));
    playButton.disabled = Boolean(problem);
    drawSize(h === w && kh === kw ? [["size", h, kh]] : [["height", h, kh], ["width", w, kw]], p, stride, dilation);
    layout();
    if (!problem) return choose(...within(output, oh, ow));
    pause();
    mark([]);
    sum.replaceChildren();
    return say(problem, true);
  }

  function drawSize(sides, p, s, d) {
    const cut = now.result.length && sides.some(([, n, k]) => (n + 2 * p - d * (k - 1) - 1) % s);
    size.replaceChildren(
      el("p", { class: "cx-soft" }, "⌊(n + 2·padding − dilation·(k − 1) − 1)/stride⌋ + 1"),
      ...sides.map(([name, n, k]) => el("p", {}, `Output ${name} = ⌊(${n} + 2·${p} − ${d}·(${k} − 1) − 1)/${s}⌋ + 1 = ` +
        format(outputSize(n, k, p, s, d)))),
      el("p", { class: "cx-soft" }, cut ? "The floor drops a remainder: no window reaches the far edge." : ""));
  }

  /** Outline a window: an edge wherever no other tap touches, so that without dilation it is one block. */
  function mark(taps) {
    for (const { cell } of image.taps ?? []) cell.classList.remove("cx-tap");
    const bottom = now.k.length - 1, right = now.k[0].length - 1;
    image.taps = taps.map((tap) => {
      const cell = image.cells[tap.i][tap.j], outer = [tap.u === 0, tap.v === right, tap.u === bottom, tap.v === 0];
      cell.style.setProperty("--edges", outer.map((edge) => (edge || now.dilation > 1 ? "var(--ring)" : "0")).join(" "));
      cell.classList.add("cx-tap");
      return { ...tap, cell };
    });
  }

  /** Select an output cell: outline its window and write out its sum. */
  function choose(r, c, focus = false) {
    const cell = output.cells[r][c], all = output.cells.flat(), order = all.indexOf(cell);
    output.tab?.removeAttribute("aria-selected");
    rove(output, cell);
    cell.setAttribute("aria-selected", "true");
    if (focus) cell.focus();
    all.forEach((other, n) => other.classList.toggle("cx-later", timer > 0 && n > order));
    const taps = tapsAt(now.padded, now.k, r, c, now.stride, now.dilation);
    mark(taps);
    pair(-1);
    writeSum(`output[${r}, ${c}] `, taps, now.result[r][c]);
    reveal(image, image.taps[0].cell, image.taps.at(-1).cell);
    reveal(output, cell, cell);
    say(`${cell.getAttribute("aria-label")}: ${taps.length > 1 ? `the sum of ${taps.length} products` : "one product"}.`);
  }

  function writeSum(name, taps, value) {
    const b = denominator(now.k.flat()); // weights of 1/9: the products are written over one fraction line
    const products = taps.map(({ x, k }) => x * (b ? Math.round(k * b) : k));
    const factors = taps.map(({ x, k }) => `${inBrackets(full(x))}·${inBrackets(full(k))}`);
    const first = taps.every(({ x, k }) => [x, k].every((z) => exact(z) || denominator([z]))) ? "=" : "≈";
    const rows = now.k.map(() => el("div", { class: "cx-products" }));
    taps.forEach(({ u, v }, t) => {
      const longest = Math.max(...factors.filter((_, n) => taps[n].v === v).map((text) => text.length));
      rows[u].append(el("span", {}, t ? "+ " : `${first} `), el("span", { class: products[t] ? "" : "cx-zero", "data-tap": t,
        style: `min-width:${longest * 0.53}em` }, factors[t]), " ");
    });
    const added = products.map((z, t) => (t ? `${z < 0 ? "−" : "+"}\u00a0${decimal(Math.abs(z))}` : decimal(z))).join(" ");
    const lines = taps.length > 1 ? [b ? `(${added})/${b}` : added] : [];
    if (b) lines.push(`${decimal(products.reduce((a, z) => a + z, 0))}/${b}`);
    const equal = first === "=" && products.every(exact) ? "=" : "≈";
    sum.replaceChildren(el("div", {}, name), el("div", {}, ...rows, ...lines.map((line) => el("div", {}, `${equal} ${line} `)),
      el("div", { class: "cx-total" }, `${exact(value) ? equal : "≈"} ${decimal(value)}`)));
  }

  /** Show which image cell, kernel cell and product belong together; none for -1. */
  function pair(t) {
    for (const node of root.querySelectorAll(".cx-pair")) node.classList.remove("cx-pair");
    const { cell, u, v } = image.taps[t] ?? {};
    if (cell) for (const node of [cell, kernel.cells[u][v], sum.querySelector(`[data-tap="${t}"]`)]) node.classList.add("cx-pair");
  }
  const pairOf = (weight) => pair(place(weight)[0] * now.k[0].length + place(weight)[1]);

  let room = 0, gap = 0; // pixels, measured only when the width changes: asking in every update would cost most of it
  function measure() {
    const style = getComputedStyle(root);
    room = root.clientWidth - parseFloat(style.paddingLeft) - parseFloat(style.paddingRight) - 2;
    gap = parseFloat(getComputedStyle(image.root.parentNode).columnGap);
  }

  /** Size the cells: the sheets side by side while their numbers fit, else one below the other. */
  function layout() {
    const sheets = [[image, now.x, full], [kernel, now.k, full], [output, now.result, brief]].map(([sheet, values, text]) => {
      const chars = Math.max(1, ...values.flat().map((value) => text(value).length));
      return { sheet, chars, cols: sheet.cells[0]?.length ?? 3, least: Math.max(22, Math.ceil(chars * 7.2 + 5)) }; // at 12 px
    });
    const fit = (list) => Math.floor((room - gap * (list.length - 1)) / list.reduce((all, { cols }) => all + cols, 0));
    const groups = [sheets, sheets.slice(1)].filter((list) => list.every(({ least }) => fit(list) >= Math.max(26, least)));
    for (const one of sheets) {
      const side = clamp(fit(groups.find((list) => list.includes(one)) ?? [one]), one.least, Math.max(44, one.least));
      one.sheet.scrolls = side * one.cols > room;
      const font = clamp((side - 5) / (one.chars * 0.6), 12, Math.max(12, Math.min(16, side * 0.45)));
      for (const [name, px] of [["--side", side], ["--ring", side < 32 ? 2 : 3], ["font-size", font]])
        one.sheet.body.style.setProperty(name, `${px}px`);
    }
  }

  /** Scroll a sheet that is wider than its frame until the cells from `first` to `last` are inside. */
  function reveal({ scroll, scrolls }, first, last) {
    if (!scrolls) return;
    const frame = scroll.getBoundingClientRect();
    const before = first.getBoundingClientRect().left - frame.left, after = last.getBoundingClientRect().right - frame.right;
    if (before < 0 || after > 0) scroll.scrollLeft += before < 0 ? before - 8 : after + 8;
  }

  // Editing: a number is taken over while it is typed; anything else is refused and the old number stays.
  function editable(sheet) {
    let before = 0; // the value when the cell was entered, for Escape
    const valueAt = (input) => model.get(sheet.name)[place(input)[0]][place(input)[1]];
    const put = (input, value) => {
      const [r, c] = place(input), rows = structuredClone(model.get(sheet.name));
      rows[r][c] = value;
      set({ [sheet.name]: rows });
    };
    const refuse = (input) => {
      const typed = input.value.trim();
      input.setAttribute("aria-invalid", "true");
      say(`${input.getAttribute("aria-label")} takes a number from −${LIMIT} to ${LIMIT}` +
        `${typed ? `, not “${typed}”` : " and cannot be empty"}; it stays ${full(valueAt(input))}.`, true);
    };
    const settle = (input) => {
      if (editing !== input || !sheet.cells.flat().includes(input.parentNode)) return; // or the image was replaced
      if (parse(input.value) === null) refuse(input);
      editing = null;
      input.removeAttribute("aria-invalid");
      input.value = full(valueAt(input));
    };
    listen(sheet, "focusin", (input) => {
      before = valueAt(input);
      rove(sheet, input);
      input.select();
      if (sheet === kernel) pairOf(input);
    });
    listen(sheet, "focusout", (input) => { settle(input); pair(-1); });
    listen(sheet, "click", (input) => {
      const selectAll = () => { if (input !== editing) input.select(); };
      selectAll();
      setTimeout(selectAll); // a click on selected text drops the selection afterwards
    });
    listen(sheet, "input", (input) => {
      editing = input;
      input.removeAttribute("aria-invalid");
      if (parse(input.value) !== null) put(input, parse(input.value));
      else if (!/^\s*[-+−–]?(\d{0,3}[.,]?|\d+\/0?)$/.test(input.value)) refuse(input); // "-" and "1/" may become numbers
    });
    listen(sheet, "keydown", (input, event) => {
      const { selectionStart: start, selectionEnd: end, value } = input, whole = end - start === value.length;
      const step = { ArrowUp: [-1, 0], ArrowDown: [1, 0], ArrowLeft: (whole || end === 0) && [0, -1],
        ArrowRight: (whole || start === value.length) && [0, 1] }[event.key];
      const border = sheet === image ? now.p : 0, [r, c] = place(input);
      if (step) sheet.cells[r + step[0] + border]?.[c + step[1] + border]?.querySelector("input")?.focus();
      else if (event.key === "Enter") settle(input);
      else if (event.key === "Escape") {
        input.value = full(before);
        settle(input);
        put(input, before);
      } else return;
      if (!step) input.select();
      event.preventDefault();
    });
  }
  editable(image);
  editable(kernel);

  // Choosing an output cell, and pointing at a weight or a product
  listen(output, "pointerover", (cell, event) => { if (event.pointerType === "mouse" && !timer) choose(...place(cell)); });
  listen(output, "click", (cell) => { pause(); choose(...place(cell), true); });
  listen(output, "focusin", (cell) => { if (cell !== output.tab) choose(...place(cell)); });
  listen(output, "keydown", (cell, event) => {
    const [r, c] = output.at, bottom = output.cells.length - 1, right = output.cells[0].length - 1;
    const next = { ArrowUp: [r - 1, c], ArrowDown: [r + 1, c], ArrowLeft: [r, c - 1], ArrowRight: [r, c + 1],
      Home: [r, 0], End: [r, right] }[event.key];
    if (!next) return;
    event.preventDefault();
    pause();
    choose(clamp(next[0], 0, bottom), clamp(next[1], 0, right), true);
  });
  listen(kernel, "pointerover", pairOf);
  sum.addEventListener("pointerover", ({ target }) => pair(target.dataset.tap ?? -1));
  for (const node of [sum, kernel.body]) node.addEventListener("pointerleave", () => pair(-1));

  // Sweeping
  function play() {
    const calm = matchMedia("(prefers-reduced-motion: reduce)").matches;
    timer = setInterval(step, calm ? 1600 : 700);
    showTimer();
    choose(...(output.tab === output.cells.at(-1).at(-1) ? [0, 0] : output.at));
  }
  function step() {
    const [r, c] = output.at;
    if (c + 1 < output.cells[0].length) choose(r, c + 1);
    else if (r + 1 < output.cells.length) choose(r + 1, 0);
    else pause();
  }
  function pause() {
    clearInterval(timer);
    timer = 0;
    showTimer();
    for (const cell of output.body.querySelectorAll(".cx-later")) cell.classList.remove("cx-later");
  }
  function showTimer() {
    playButton.textContent = timer ? "❚❚ Pause" : "▶ Play";
    playButton.setAttribute("aria-label", timer ? "Pause the sweep" : "Play: sweep the kernel over the image");
    status.setAttribute("aria-live", timer ? "off" : "polite"); // a sentence at each step is too much to listen to
  }
  function reset() {
    pause();
    editing = null;
    for (const sheet of [image, kernel, output]) sheet.at = [0, 0];
    set(structuredClone(model.get("_start")));
  }

  for (const node of root.querySelectorAll("button, select")) node.setAttribute(QUIET, "");
  host.append(root);
  measure();
  pause();
  draw();
  for (const name of STATE) model.on(`change:${name}`, schedule);
  const observer = new ResizeObserver(() => { // in the next frame: what the callback resizes would be observed again
    const before = room;
    measure();
    if (room !== before) requestAnimationFrame(layout);
  });
  observer.observe(root);
  return () => {
    alive = false;
    pause();
    observer.disconnect();
    for (const name of STATE) model.off(`change:${name}`, schedule);
    root.remove();
  };
}

export default { render };
