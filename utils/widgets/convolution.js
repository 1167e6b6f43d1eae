// The convolution explorer. Its arithmetic is that of PyTorch's conv2d, a cross-correlation: the kernel
// is not flipped.

const MODES = ["zeros", "reflect", "replicate", "circular"];
const STATE = ["image", "kernel", "padding", "padding_mode", "stride", "dilation"];
const LIMIT = 999; // of a cell, either sign
const PACE = { usual: 700, calm: 1600 }; // milliseconds for each cell while the kernel sweeps
const OWN = "your own";

/** Which row (or column) of a side of `n` cells fills place `i` of the padding; -1 stands for a zero. */
function sourceIndex(i, n, mode) {
  if (i >= 0 && i < n) return i;
  if (mode === "reflect") return i < 0 ? -i : 2 * (n - 1) - i;
  if (mode === "replicate") return i < 0 ? 0 : n - 1;
  if (mode === "circular") return (i + n) % n;
  return -1;
}

/** Why this padding has no meaning, in one sentence; "" when it has one. */
function paddingProblem(h, w, p, mode) {
  const most = { reflect: Math.min(h, w) - 1, circular: Math.min(h, w) }[mode] ?? p;
  if (p <= most) return "";
  return `Padding ${p} is too much for mode “${mode}”: an image of ${h} × ${w} allows at most ${most}. ` +
    "Reduce the padding or choose another mode.";
}

/** Why the kernel fits nowhere, in one sentence; "" when it fits. */
function kernelProblem(h, w, kh, kw, { padding: p, dilation: d }) {
  const reach = [d * (kh - 1) + 1, d * (kw - 1) + 1], room = [h + 2 * p, w + 2 * p];
  if (reach[0] <= room[0] && reach[1] <= room[1]) return "";
  return `The kernel with dilation ${d} reaches over ${reach.join(" × ")} cells, and the padded image has only ` +
    `${room.join(" × ")}. Reduce the dilation or add padding.`;
}

/** Number of output cells along a side of `n` cells under `k` taps. */
export function outputSize(n, k, { padding, stride, dilation }) {
  return Math.floor((n + 2 * padding - dilation * (k - 1) - 1) / stride) + 1;
}

/** The image with `p` cells added on every side. */
export function pad(image, p, mode) {
  const h = image.length, w = image[0].length, problem = paddingProblem(h, w, p, mode);
  if (problem) throw new Error(problem);
  const across = Array.from({ length: w + 2 * p }, (_, j) => sourceIndex(j - p, w, mode));
  return Array.from({ length: h + 2 * p }, (_, i) => {
    const row = image[sourceIndex(i - p, h, mode)];
    return across.map((j) => (row === undefined || j < 0 ? 0 : row[j]));
  });
}

/** What each tap of the kernel meets at output cell (r, c): padded cell (i, j) times kernel cell (u, v). */
function tapsAt(padded, kernel, r, c, stride, dilation) {
  return kernel.flatMap((weights, u) => weights.map((weight, v) => {
    const i = r * stride + u * dilation, j = c * stride + v * dilation;
    return { i, j, u, v, weight, value: padded?.[i][j], product: padded?.[i][j] * weight };
  }));
}

/** conv2d of one channel with one kernel. */
export function convolve(image, kernel, { padding = 0, mode = "zeros", stride = 1, dilation = 1 } = {}) {
  const settings = { padding, stride, dilation }, h = image.length, w = image[0].length;
  const problem = kernelProblem(h, w, kernel.length, kernel[0].length, settings);
  if (problem) throw new Error(problem);
  const padded = pad(image, padding, mode);
  return Array.from({ length: outputSize(h, kernel.length, settings) }, (_, r) =>
    Array.from({ length: outputSize(w, kernel[0].length, settings) }, (_, c) => {
      let sum = 0;
      for (let u = 0; u < kernel.length; u += 1)
        for (let v = 0; v < kernel[0].length; v += 1)
          sum += padded[r * stride + u * dilation][c * stride + v * dilation] * kernel[u][v];
      return sum;
    }));
}

const near = (a, b) => Math.abs(a - b) <= 1e-12 * Math.max(1, Math.abs(b));
/** Whether three decimals say all there is to say. */
const exact = (value) => near(Number(value.toFixed(3)), value);
const minus = (text) => text.replace("e+", "e").replace(/-/g, "−");

/** The smallest b from 2 to 99 for which all values are a/b; 0 if there is none or decimals do. */
function denominator(values) {
  if (values.every(exact)) return 0;
  for (let b = 2; b < 100; b += 1) if (values.every((x) => near(x * b, Math.round(x * b)))) return b;
  return 0;
}

/** A number in full: up to three decimals, a fraction where that is exact, else three digits. */
function full(value) {
  if (exact(value)) return format(value, 3);
  const b = denominator([value]);
  return b ? `${format(value * b, 0)}/${b}` : minus(String(Number(value.toPrecision(3))));
}

/** The same in at most six characters, for a cell; a value that is not zero never reads 0. */
function brief(value) {
  for (const digits of [2, 1, 0]) {
    const text = format(value, digits);
    if (text.length <= 6 && (text !== "0" || near(value, 0))) return text;
  }
  return minus(value.toExponential(1));
}

/** Read what was typed: 3, −0.5, 0,5 or 1/9. NaN if it is no number. */
function parse(text) {
  const plain = text.trim().replace(/[−–]/g, "-").replace(/,/g, ".");
  const [, a, b = 1] = plain.match(/^([+-]?(?:\d+\.?\d*|\.\d+))(?:\/(\d+\.?\d*))?$/) ?? [];
  const value = Number(a) / Number(b) + 0; // + 0 makes -0 a zero
  return Number.isFinite(value) ? value : NaN;
}

const inBrackets = (text) => (text.startsWith("−") ? `(${text})` : text);
const same = (a, b) => JSON.stringify(a) === JSON.stringify(b);

/** A table of cells with a title; what is in it comes from `fill`. */
function makeSheet(name) {
  const id = uniqueId(`cx-${name}`);
  const title = el("p", { class: "cx-title", id });
  const body = el("div", { class: "cx-grid", role: "grid", "aria-labelledby": id });
  const scroll = el("div", { class: "cx-scroll" }, body);
  return { name, title, body, scroll, root: el("section", { class: `cx-sheet cx-${name}` }, title, scroll), cells: [], at: [0, 0] };
}

/** Give a sheet its cells, if their number or kind changed. `make(r, c)` makes one. */
function fill(sheet, rows, cols, kind, make) {
  const key = `${rows},${cols},${kind}`;
  if (sheet.key === key) return;
  sheet.key = key;
  sheet.cells = Array.from({ length: rows }, (_, r) => Array.from({ length: cols }, (_, c) => make(r, c)));
  sheet.body.style.setProperty("--cols", cols);
  sheet.body.replaceChildren(...sheet.cells.map((row) => el("div", { role: "row", class: "cx-row" }, ...row)));
}

/** Let exactly one element of a sheet be reached by Tab: the arrow keys do the rest. */
function rove(sheet, node, at) {
  sheet.tab?.setAttribute("tabindex", "-1");
  sheet.tab = node;
  sheet.at = at;
  node.setAttribute("tabindex", "0");
}

function render({ model, el: host }) {
  const presets = { image: new Map(model.get("_images")), kernel: new Map(model.get("_kernels")) };
  const calm = matchMedia("(prefers-reduced-motion: reduce)");
  let now = {}; // settings, padded image and output, as drawn
  let editing = null; // the input whose text is not yet taken over
  let timer = 0, queued = false, alive = true;

  const set = (changes) => {
    for (const [name, value] of Object.entries(changes)) model.set(name, value);
    model.save_changes();
    schedule();
  };

  // Controls
  const choices = {}, steppers = {};
  for (const name of ["image", "kernel"]) {
    const names = [...presets[name].keys()].map((key) => [key, key]);
    choices[name] = select(name === "image" ? "Image" : "Kernel", names, null,
      (key) => set({ [name]: presets[name].get(key) }));
    choices[name].node.append(el("option", { value: OWN, hidden: true }, OWN));
  }
  choices.padding_mode = select("Padding mode", MODES.map((m) => [m, m]), null, (m) => set({ padding_mode: m }));
  for (const [name, low, high] of [["padding", 0, 4], ["stride", 1, 4], ["dilation", 1, 3]])
    steppers[name] = stepper(name[0].toUpperCase() + name.slice(1), low, high, model.get(name), (v) => set({ [name]: v }));
  const playButton = el("button", { type: "button", class: "cx-play", onclick: () => (timer ? pause() : play()) });
  const resetButton = el("button", { type: "button", onclick: reset }, "Reset");

  const image = makeSheet("image"), kernel = makeSheet("kernel"), output = makeSheet("output");
  const sum = el("div", { class: "cx-sum", role: "group", "aria-label": "The sum behind the selected output cell" });
  const size = el("div", { class: "cx-size" });
  const status = el("p", { class: "cx-status", role: "status", "aria-live": "polite" });
  const root = el("div", { class: "cx cx-conv", "data-lm-suppress-shortcuts": "true" },
    el("div", { class: "cx-controls" }, choices.image.root, choices.kernel.root, choices.padding_mode.root,
      el("div", { class: "cx-steppers" }, steppers.padding.root, steppers.stride.root, steppers.dilation.root),
      el("div", { class: "cx-buttons" }, playButton, resetButton)),
    status,
    el("div", { class: "cx-sheets" }, image.root, kernel.root, output.root),
    sum, size,
    el("p", { class: "cx-hint" }, "Point at an output cell, tap it, or go there with the arrow keys. " +
      "Every number of the image and of the kernel can be changed; 1/9 works too."));

  const say = (text, isError = false) => {
    status.textContent = text;
    status.classList.toggle("cx-error", isError);
  };

  // Drawing
  function schedule() {
    if (queued) return;
    queued = true;
    queueMicrotask(() => { queued = false; if (alive) draw(); });
  }

  function makeInput(sheet, r, c) {
    const input = el("input", { type: "text", inputmode: "text", autocomplete: "off", spellcheck: "false", maxlength: 12,
      "aria-label": `${sheet.name}[${r}, ${c}]`, "data-r": r, "data-c": c, tabindex: -1 });
    return el("div", { class: "cx-cell", role: "gridcell" }, input);
  }

  function drawInputs(sheet, values, p, colour) {
    values.forEach((row, r) => row.forEach((value, c) => {
      const cell = sheet.cells[r + p][c + p], input = cell.firstChild, { fill: back, ink } = colour(value);
      cell.style.background = back;
      input.style.color = ink;
      if (input !== editing) input.value = full(value);
    }));
    const [r, c] = [Math.min(sheet.at[0], values.length - 1), Math.min(sheet.at[1], values[0].length - 1)];
    rove(sheet, sheet.cells[r + p][c + p].firstChild, [r, c]);
  }

  function draw() {
    const [x, k, padding, mode, stride, dilation] = STATE.map((name) => model.get(name));
    const h = x.length, w = x[0].length, kh = k.length, kw = k[0].length, p = padding;
    const settings = { padding, mode, stride, dilation };
    const problem = paddingProblem(h, w, p, mode) || kernelProblem(h, w, kh, kw, settings);
    const padded = paddingProblem(h, w, p, mode) ? null : pad(x, p, mode);
    const result = problem ? [] : convolve(x, k, settings);
    now = { x, k, ...settings, padded, result };

    for (const name of ["image", "kernel"])
      choices[name].node.value = [...presets[name]].find(([, rows]) => same(rows, model.get(name)))?.[0] ?? OWN;
    choices.padding_mode.node.value = mode;
    for (const name in steppers) steppers[name].set(model.get(name));

    fill(image, h + 2 * p, w + 2 * p, p, (i, j) =>
      (i >= p && i < h + p && j >= p && j < w + p ? makeInput(image, i - p, j - p)
        : el("div", { class: "cx-cell cx-pad", role: "gridcell" })));
    const flat = x.flat(), low = Math.min(0, ...flat), high = Math.max(...flat);
    drawInputs(image, x, p, (value) => greyColour(value, low, high));
    image.cells.forEach((row, i) => row.forEach((cell, j) => {
      if (!cell.classList.contains("cx-pad")) return;
      cell.textContent = padded ? full(padded[i][j]) : "?";
      cell.setAttribute("aria-label", `padding ${cell.textContent}`);
    }));
    fill(kernel, kh, kw, 0, (u, v) => makeInput(kernel, u, v));
    const heaviest = Math.max(...k.flat().map(Math.abs));
    drawInputs(kernel, k, 0, (value) => signedColour(value, heaviest));

    const oh = result.length, ow = result[0]?.length ?? 0;
    fill(output, oh, ow, 0, (r, c) => el("div", { class: "cx-cell", role: "gridcell", "data-r": r, "data-c": c, tabindex: -1 }));
    const largest = Math.max(0, ...result.flat().map(Math.abs));
    result.forEach((row, r) => row.forEach((value, c) => {
      const cell = output.cells[r][c], { fill: back, ink } = signedColour(value, largest);
      cell.style.background = back;
      cell.style.color = ink;
      cell.textContent = brief(value);
      cell.setAttribute("aria-label", `output[${r}, ${c}] ${exact(value) ? "=" : "≈"} ${full(value)}`);
    }));

    image.title.textContent = `Image, ${h} × ${w}${p ? `, padded to ${h + 2 * p} × ${w + 2 * p}` : ""}`;
    kernel.title.textContent = `Kernel, ${kh} × ${kw}`;
    output.title.textContent = problem ? "Output: none" : `Output, ${oh} × ${ow}`;
    output.root.classList.toggle("cx-none", Boolean(problem));
    playButton.disabled = Boolean(problem);
    drawSize(h, w, kh, kw, settings);
    layout();
    if (problem) {
      pause();
      mark([]);
      sum.replaceChildren();
      say(problem, true);
    } else choose(Math.min(output.at[0], oh - 1), Math.min(output.at[1], ow - 1));
  }

  function drawSize(h, w, kh, kw, settings) {
    const { padding, stride, dilation } = settings;
    const line = (n, taps) => `⌊(${n} + 2·${padding} − ${dilation}·(${taps} − 1) − 1)/${stride}⌋ + 1 = ` +
      format(outputSize(n, taps, settings), 0);
    const square = h === w && kh === kw;
    const parts = square ? [["Output size", h, kh]] : [["Output height", h, kh], ["Output width", w, kw]];
    const left = ([, n, taps]) => (n + 2 * padding - dilation * (taps - 1) - 1) % stride;
    const unread = parts.filter((part) => left(part) > 0);
    const sides = square ? ["rows and columns"] : unread.map(([name]) => (name.endsWith("height") ? "rows" : "columns"));
    size.replaceChildren(
      el("p", { class: "cx-general" }, "⌊(n + 2·padding − dilation·(k − 1) − 1)/stride⌋ + 1"),
      ...parts.map(([name, n, taps]) => el("p", {}, `${name} = ${line(n, taps)}`)),
      now.result.length && unread.length ? el("p", { class: "cx-general" }, "The floor cuts off a remainder: no window reaches the last " +
        unread.map((part, i) => `${sides[i]} (${left(part)})`).join(" and ") + ".") : "");
  }

  /** Outline the taps of a window: an edge wherever no other tap touches, so a dense window is one block. */
  function mark(taps) {
    for (const cell of image.marked ?? []) cell.classList.remove("cx-tap");
    const { k, dilation: d } = now, last = [k.length - 1, k[0].length - 1];
    image.marked = taps.map(({ i, j, u, v }) => {
      const cell = image.cells[i][j];
      const edges = [[0, 1, u === 0], [0, -1, u === last[0]], [1, 0, v === 0], [-1, 0, v === last[1]]]
        .filter(([, , outer]) => outer || d > 1);
      const shadows = ["3px 0 0 var(--cx-ring)", "4px 0 0 #fff"].flatMap((s) =>
        edges.map(([x, y]) => `inset calc(${x} * ${s.slice(0, 3)}) calc(${y} * ${s.slice(0, 3)}) ${s.slice(4)}`));
      cell.style.setProperty("--edges", shadows.join(",") || "none");
      cell.classList.add("cx-tap");
      return cell;
    });
  }

  /** Select an output cell: outline its window, write out its sum. */
  function choose(r, c, focus = false) {
    const cell = output.cells[r]?.[c];
    if (!cell) return;
    const { k, padded, stride, dilation, result } = now;
    output.tab?.removeAttribute("aria-selected");
    rove(output, cell, [r, c]);
    cell.setAttribute("aria-selected", "true");
    if (focus) cell.focus({ preventScroll: Boolean(timer) });
    output.cells.forEach((row, i) => row.forEach((other, j) =>
      other.classList.toggle("cx-later", Boolean(timer) && (i > r || (i === r && j > c)))));
    const taps = tapsAt(padded, k, r, c, stride, dilation), value = result[r][c];
    mark(taps);
    pair(-1);
    writeSum(r, c, taps, value);
    reveal(image, [taps[0], taps.at(-1)].map(({ i, j }) => image.cells[i][j]));
    reveal(output, [cell]);
    say(`output[${r}, ${c}] ${exact(value) ? "=" : "≈"} ${full(exact(value) ? value : Number(value.toPrecision(3)))}: ` +
      (taps.length === 1 ? "one product." : `the sum of ${taps.length} products.`));
  }

  function writeSum(r, c, taps, value) {
    const b = denominator(now.k.flat()), scale = b || 1;
    const parts = taps.map(({ value: x, weight }) => b ? x * Math.round(weight * b) : x * weight);
    const total = parts.reduce((a, z) => a + z, 0);
    const factors = taps.map(({ value: x, weight }) => `${inBrackets(full(x))}·${inBrackets(full(weight))}`);
    const width = Math.max(...factors.map((text) => text.length));
    const term = (text, tap, sign, zero) => [el("span", { class: "cx-sign" }, sign),
      el("span", { class: `cx-term${zero ? " cx-zero" : ""}`, "data-tap": tap, style: `min-width:${width * 0.56}em` }, text), " "];
    const rows = now.k.map((_, u) => el("div", { class: "cx-products" }, ...taps.flatMap((tap, t) =>
      (tap.u === u ? term(factors[t], t, t ? "+ " : "= ", tap.product === 0) : []))));
    const added = parts.map((z, t) => (t === 0 ? full(z) : `${z < 0 ? "−" : "+"} ${full(Math.abs(z))}`)).join(" ");
    const shown = (z) => (exact(z) ? full(z) : minus(String(Number(z.toPrecision(3)))));
    const inner = parts.every(exact) && taps.every((tap) => exact(tap.value) && (b || exact(tap.weight)));
    const lines = taps.length > 1 || b ? [`${inner ? "=" : "≈"} ${b && taps.length > 1 ? `(${added})` : added}${b ? `/${b}` : ""}`] : [];
    if (b && taps.length > 1 && scale !== 1) lines.push(`${inner ? "=" : "≈"} ${full(total)}/${b}`);
    sum.replaceChildren(
      el("div", { class: "cx-left" }, `output[${r}, ${c}] `),
      el("div", { class: "cx-right" }, ...rows, ...lines.map((line) => el("div", { class: "cx-added" }, `${line} `)),
        el("div", { class: "cx-total" }, `${inner && exact(value) ? "=" : "≈"} `, el("b", {}, shown(value)))));
  }

  /** Show which image cell, kernel cell and product belong together; -1 shows none. */
  function pair(tap) {
    const { u, v } = { u: Math.floor(tap / now.k[0].length), v: tap % now.k[0].length };
    const nodes = tap < 0 || !now.result.length ? [] : [image.marked[tap], kernel.cells[u][v], sum.querySelector(`[data-tap="${tap}"]`)];
    for (const node of root.querySelectorAll(".cx-pair")) if (!nodes.includes(node)) node.classList.remove("cx-pair");
    for (const node of nodes) node?.classList.add("cx-pair");
  }

  // Sizes
  /** Give the three sheets cells that fit: side by side if they stay large enough, else stacked. */
  function layout() {
    const style = getComputedStyle(root);
    const room = root.clientWidth - parseFloat(style.paddingLeft) - parseFloat(style.paddingRight) - 8;
    if (!(room > 0)) return;
    const longest = (texts) => Math.max(1, ...texts.map((text) => text.length));
    const need = (chars) => Math.max(22, Math.ceil(chars * 7.2 + 5)); // at 12 px
    const words = [
      [image, longest(now.x.flat().map(full).concat((now.padded ?? []).flat().map(full)))],
      [kernel, longest(now.k.flat().map(full))],
      [output, longest(now.result.flat().map(brief))],
    ];
    const [imageNeed, kernelNeed, outputNeed] = words.map(([, chars]) => need(chars));
    const columns = (sheet) => sheet.cells[0]?.length ?? 3;
    const kernelSize = Math.max(38, kernelNeed), gaps = 2 * 28 + 24;
    const together = Math.min(44, Math.floor((room - gaps - columns(kernel) * kernelSize) / (columns(image) + columns(output))));
    const fits = together >= Math.max(26, imageNeed, outputNeed);
    const alone = (sheet, least) => Math.max(least, Math.min(40, Math.floor(room / columns(sheet))));
    const sizes = fits ? [together, Math.max(together, kernelNeed), together]
      : [alone(image, imageNeed), Math.max(kernelNeed, Math.min(40, Math.floor(room / columns(kernel)))), alone(output, Math.max(outputNeed, Math.min(alone(image, imageNeed), 40)))];
    words.forEach(([sheet, chars], i) => {
      sheet.body.style.setProperty("--side", `${sizes[i]}px`);
      sheet.body.style.fontSize = `${Math.max(12, Math.min(16, sizes[i] * 0.45, (sizes[i] - 5) / (chars * 0.6)))}px`;
    });
  }

  /** Scroll a sheet that is wider than its frame, so that these cells are inside. */
  function reveal({ scroll }, nodes) {
    if (scroll.scrollWidth <= scroll.clientWidth) return;
    const frame = scroll.getBoundingClientRect(), boxes = nodes.map((node) => node.getBoundingClientRect());
    const left = Math.min(...boxes.map((b) => b.left)) - frame.left, right = Math.max(...boxes.map((b) => b.right)) - frame.right;
    if (left < 0) scroll.scrollLeft += left - 8;
    else if (right > 0) scroll.scrollLeft += right + 8;
  }

  // Editing
  const place = (node) => [Number(node.dataset.r), Number(node.dataset.c)];
  const valueAt = (sheet, [r, c]) => model.get(sheet.name)[r][c];
  const put = (sheet, [r, c], value) => {
    if (valueAt(sheet, [r, c]) === value) return;
    const rows = model.get(sheet.name).map((row) => [...row]);
    rows[r][c] = value;
    set({ [sheet.name]: rows });
  };
  const refuse = (sheet, input) => {
    const old = full(valueAt(sheet, place(input))), typed = input.value.trim();
    say(`${sheet.name}[${place(input).join(", ")}] takes a number from −${LIMIT} to ${LIMIT}, ` +
      `${typed ? `not “${typed}”` : "and cannot be empty"}; it stays ${old}.`, true);
  };
  const valid = (value) => Math.abs(value) <= LIMIT;

  /** Leave a cell: what was typed is already taken over if it is a number; if not, say so. */
  function finish(sheet, input) {
    if (editing !== input) return;
    if (!valid(parse(input.value))) refuse(sheet, input);
    editing = null;
    input.removeAttribute("aria-invalid");
    input.value = full(valueAt(sheet, place(input)));
  }

  function editable(sheet, at) {
    let before = 0; // the value when the cell was entered, for Escape
    sheet.body.addEventListener("focusin", ({ target }) => {
      if (!target.dataset.r) return;
      before = valueAt(sheet, place(target));
      rove(sheet, target, place(target));
      target.select();
      if (sheet === kernel) pair(place(target)[0] * now.k[0].length + place(target)[1]);
    });
    sheet.body.addEventListener("focusout", ({ target }) => { finish(sheet, target); if (sheet === kernel) pair(-1); });
    sheet.body.addEventListener("click", ({ target }) => { if (target.select && target !== editing) target.select(); });
    sheet.body.addEventListener("input", ({ target }) => {
      editing = target;
      const value = parse(target.value), begun = /^\s*[-+−–]?[\d.,]*\/?\s*$/.test(target.value);
      target.toggleAttribute("aria-invalid", false);
      if (valid(value)) put(sheet, place(target), value);
      else if (!begun || Math.abs(value) > LIMIT) {
        target.setAttribute("aria-invalid", "true");
        refuse(sheet, target);
      }
    });
    sheet.body.addEventListener("keydown", (event) => {
      const { target, key } = event;
      if (!target.dataset.r) return;
      const start = target.selectionStart, end = target.selectionEnd, length = target.value.length;
      const whole = start === 0 && end === length;
      const step = { ArrowUp: [-1, 0], ArrowDown: [1, 0] }[key] ??
        (key === "ArrowLeft" && (whole || end === 0) ? [0, -1] : null) ??
        (key === "ArrowRight" && (whole || start === length) ? [0, 1] : null);
      if (step) {
        const [r, c] = place(target);
        sheet.cells[r + step[0] + at()]?.[c + step[1] + at()]?.querySelector("input")?.focus();
      } else if (key === "Enter") {
        finish(sheet, target);
        target.select();
      } else if (key === "Escape") {
        put(sheet, place(target), before);
        editing = null;
        target.removeAttribute("aria-invalid");
        target.value = full(before);
        target.select();
        schedule();
      } else return;
      event.preventDefault();
    });
  }
  editable(image, () => now.padding);
  editable(kernel, () => 0);

  // Choosing an output cell
  const choosing = ({ target }, focus) => { if (target.dataset?.r) choose(...place(target), focus); };
  output.body.addEventListener("pointerover", (event) => { if (event.pointerType === "mouse" && !timer) choosing(event, false); });
  output.body.addEventListener("pointerdown", (event) => { if (event.target.dataset.r) pause(); });
  output.body.addEventListener("click", (event) => choosing(event, true));
  output.body.addEventListener("focusin", (event) => { if (event.target !== output.tab) choosing(event, false); });
  output.body.addEventListener("keydown", (event) => {
    const [r, c] = output.at, oh = now.result.length - 1, ow = now.result[0].length - 1;
    const all = event.ctrlKey || event.metaKey;
    const next = { ArrowUp: [r - 1, c], ArrowDown: [r + 1, c], ArrowLeft: [r, c - 1], ArrowRight: [r, c + 1],
      Home: [all ? 0 : r, 0], End: [all ? oh : r, ow] }[event.key];
    if (!next || event.altKey) return;
    event.preventDefault();
    pause();
    choose(Math.max(0, Math.min(oh, next[0])), Math.max(0, Math.min(ow, next[1])), true);
  });
  for (const [node, tapOf] of [
    [sum, (target) => target.dataset?.tap],
    [kernel.body, (target) => target.dataset?.r && place(target)[0] * now.k[0].length + place(target)[1]],
  ]) {
    node.addEventListener("pointerover", ({ target }) => pair(Number(tapOf(target) ?? -1)));
    node.addEventListener("pointerleave", () => pair(-1));
  }

  // Sweeping
  function play() {
    const [r, c] = output.at, oh = now.result.length, ow = now.result[0].length;
    timer = setInterval(() => {
      const next = output.at[0] * ow + output.at[1] + 1;
      if (next >= now.result.length * now.result[0].length) pause();
      else choose(Math.floor(next / now.result[0].length), next % now.result[0].length);
    }, calm.matches ? PACE.calm : PACE.usual);
    status.setAttribute("aria-live", "off"); // nobody can listen to a sentence a moment
    label();
    if (r === oh - 1 && c === ow - 1) choose(0, 0);
    else choose(r, c);
  }
  function pause() {
    if (!timer) return;
    clearInterval(timer);
    timer = 0;
    status.setAttribute("aria-live", "polite");
    label();
    for (const cell of output.body.querySelectorAll(".cx-later")) cell.classList.remove("cx-later");
  }
  function label() {
    playButton.replaceChildren(timer ? "❚❚ Pause" : "▶ Play");
    playButton.setAttribute("aria-label", timer ? "Pause the sweep" : "Play: sweep the kernel over the image");
  }
  function reset() {
    pause();
    editing = null;
    for (const sheet of [image, kernel, output]) sheet.at = [0, 0];
    set(structuredClone(model.get("_start")));
  }

  for (const name of STATE) model.on(`change:${name}`, schedule);
  const observer = new ResizeObserver(() => { if (now.x) layout(); });
  label();
  host.append(root);
  draw();
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
