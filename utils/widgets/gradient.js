// The gradient explorer: a small convolution or pooling, forward and backward. Both passes use the same wires.

const STATE = ["operation", "image", "kernel", "window", "stride", "padding", "gradient"];
const OPERATIONS = ["convolution", "max pooling", "average pooling"], [CONV, MAX] = OPERATIONS;
const CYCLE = [0, 1, 2, -1]; // of further taps on an output gradient
const LIMIT = 99; // of a cell, either sign
const SIDES = [2, 3, 4, 5, 6]; // of the input
const RANGES = { kernel: [1, 3], window: [2, 3], stride: [1, 3], padding: [0, 1] };
const OWN = "your own";

const table = (rows, cols, make) => Array.from({ length: rows }, (_, r) => Array.from({ length: cols }, (_, c) => make(r, c)));
const sideOf = ({ operation, kernel, window }) => (operation === CONV ? kernel.length : window);

/** Why the layer has no output for h × w pixels; "" when it has one. */
export function problem(layer, h, w) {
  const k = sideOf(layer), p = layer.padding, name = layer.operation === CONV ? "kernel" : "window";
  return k <= Math.min(h, w) + 2 * p ? "" : `The ${name} of ${k} × ${k} is larger than the ${p ? "padded " : ""}input of ` +
    `${h + 2 * p} × ${w + 2 * p}: there is no output. Take a smaller ${name}, a larger input or padding.`;
}

/**
 * The wires of a layer: for each output [r, c], one from each place [u, v] of its window. A wire begins at the
 * pixel [i, j] of value x (`inside` is false in the padding, where x is 0), and counts it `factor` times.
 */
export function wires(layer, image) {
  const { operation, kernel, stride: s, padding: p } = layer, k = sideOf(layer), size = (n) => Math.floor((n + 2 * p - k) / s) + 1;
  return table(size(image.length), size(image[0].length), (r, c) => {
    const list = table(k, k, (u, v) => {
      const i = r * s + u - p, j = c * s + v - p, x = image[i]?.[j], inside = x !== undefined;
      const factor = operation === CONV ? kernel[u][v] : operation === MAX ? 0 : 1 / (k * k);
      return { r, c, u, v, i, j, x: inside ? x : 0, inside, factor };
    }).flat();
    if (operation === MAX) { // the first of equal maxima, as PyTorch; padding never wins
      list.filter(({ inside }) => inside).reduce((best, wire) => (wire.x > best.x ? wire : best)).factor = 1;
    }
    return list;
  });
}

/** The output: each value is the sum along its wires. */
export function forward(layer, image) {
  return wires(layer, image).map((row) => row.map((list) => list.reduce((sum, { x, factor }) => sum + x * factor, 0)));
}

/** The gradients of input and kernel (null for pooling): each output gradient runs back along its wires. */
export function backward(layer, image, gradient) {
  const dx = table(image.length, image[0].length, () => 0);
  const dk = layer.operation === CONV ? table(sideOf(layer), sideOf(layer), () => 0) : null;
  for (const { r, c, u, v, i, j, x, inside, factor } of wires(layer, image).flat(2)) {
    if (inside) dx[i][j] += gradient[r][c] * factor;
    if (dk) dk[u][v] += gradient[r][c] * x;
  }
  return { dx, dk };
}

/** The output gradient for another number of outputs: all ones stay so, others are cut or filled with zeros. */
export function fit(gradient, rows, cols) {
  if (gradient.length === rows && gradient[0].length === cols) return gradient;
  const ones = gradient.flat().every((g) => g === 1);
  return table(rows, cols, (r, c) => (ones ? 1 : gradient[r]?.[c] ?? 0));
}

// Numbers as text
const capital = (text) => text[0].toUpperCase() + text.slice(1);
const inBrackets = (text) => (text.startsWith("−") ? `(${text})` : text);
const at = (r, c) => `[${r}, ${c}]`;
const count = (list, name) => `${list.length} ${name}${list.length === 1 ? "" : "s"}`;

/** Read what was typed; null unless it is a whole number within the limit. */
function parse(text) {
  const plain = text.trim().replace(/[−–]/g, "-"), value = Number(plain) + 0;
  return /^[+-]?\d+$/.test(plain) && Math.abs(value) <= LIMIT ? value : null;
}

function render({ model, el: host }) {
  const FIRST = { kind: "output", r: 0, c: 0 };
  let now = {}, chosen = FIRST; // what is drawn; the selected cell
  let editing = null; // the input with unsettled text
  let refusal = "", again = false, queued = false;
  const state = () => Object.fromEntries(STATE.map((name) => [name, model.get(name)]));
  const presets = new Map(model.get("_presets"));

  function set(changes) {
    const next = { ...state(), ...changes }, { image } = next;
    if (!problem(next, image.length, image[0].length)) {
      const outputs = wires(next, image);
      next.gradient = fit(next.gradient, outputs.length, outputs[0].length);
    }
    for (const name of STATE) model.set(name, next[name]);
    model.save_changes();
    schedule();
  }
  function start(values) {
    editing = null;
    chosen = FIRST;
    set(structuredClone(values));
  }

  // Controls
  const menu = (label, values, onchange) => select(label, [...values, OWN].map((value) => [value, value]), null, onchange);
  const grown = (rows, n, make) => table(n, n, (r, c) => rows[r]?.[c] ?? make(r, c));
  const preset = menu("Preset", presets.keys(), (name) => start(presets.get(name)));
  const operation = menu("Operation", OPERATIONS, (name) => set({ operation: name }));
  const side = menu("Input", SIDES.map((n) => `${n} × ${n}`), (text) =>
    set({ image: grown(model.get("image"), parseInt(text, 10), (r, c) => (5 * r + 3 * c + 1) % 10) }));
  for (const { node } of [preset, operation, side]) node.lastChild.hidden = true;
  const steppers = Object.entries(RANGES).map(([name, range]) => [name, stepper(capital(name), ...range, range[0],
    (n) => set({ [name]: name === "kernel" ? grown(model.get(name), n, () => 1) : n }))]);
  const button = (text, onclick) => el("button", { type: "button", onclick }, text);
  const every = (make) => set({ gradient: now.gradient.map((row, r) => row.map((_, c) => make(r, c))) });
  const fills = [button("All ones", () => every(() => 1)), button("One cell", () => {
    if (chosen.kind !== "output") chosen = FIRST;
    every((r, c) => Number(r === chosen.r && c === chosen.c));
  }), button("Clear", () => every(() => 0))];

  // Sheets: three tensors, then the gradient of each. Those named as a part of the state can be edited.
  const sheets = {};
  ["image", "kernel", "output", "dx", "dk", "gradient"].forEach((name, n) => {
    const kind = ["input", "kernel", "output"][n % 3], Kind = capital(kind), title = n < 3 ? Kind : `${Kind} gradient`;
    const heading = el("p", { class: "cx-title" }, title), body = el("div", { class: "cx-grid", role: "grid", "aria-label": title });
    const root = el("div", { class: "cx-sheet", "data-sheet": name }, heading, body);
    sheets[name] = { name, kind, title, editable: STATE.includes(name), heading, body, root, cells: [] };
  });
  const status = el("p", { class: "cx-status", role: "status" }), work = el("div", { class: "cx-work" });
  const all = Object.values(sheets), roots = all.map((s) => s.root), back = el("p", { class: "cx-title" }, "← Backward");
  const root = el("div", { class: "cx cx-gradient" },
    el("div", { class: "cx-controls" }, preset.root, operation.root, side.root, ...steppers.map(([, control]) => control.root)),
    el("div", { class: "cx-controls" }, el("span", {}, "Output gradient:"), ...fills,
      button("Reset", () => start(model.get("_start")))),
    status, el("p", { class: "cx-title" }, "Forward →"), el("div", { class: "cx-way" }, ...roots.slice(0, 3)),
    back, el("div", { class: "cx-way" }, ...roots.slice(3)), work,
    el("p", { class: "cx-hint" }, "Select a cell to see its paths. Input, kernel and output gradient can be edited; " +
      "a second tap or Space sets an output gradient to 0, 1, 2, −1."));

  function say(text, isError = false) {
    status.textContent = text;
    status.classList.toggle("cx-error", isError);
  }

  // Drawing. Changes of one moment, from here, from another view or from Python, are drawn once.
  function schedule() {
    if (!queued) queueMicrotask(() => { queued = false; draw(); });
    queued = true;
  }

  function makeCell({ name, title, editable }, r, c) {
    const face = editable ? el("input", { autocomplete: "off", "aria-label": title + at(r, c),
      inputmode: name === "gradient" ? "none" : "text" }) : el("span"); // a tap changes a gradient: no keyboard on a phone
    const cell = el("div", { class: "cx-cell", role: "gridcell" }, face, el("small"));
    return Object.assign(cell, { face, r, c, stop: editable ? face : cell }); // stop: what takes the focus
  }

  function fill(to, values, colour) {
    const rows = values.length, cols = values[0]?.length ?? 0;
    if (rows !== to.cells.length || cols !== to.cells[0]?.length) {
      if (to.body.contains(editing)) editing = null;
      to.cells = table(rows, cols, (r, c) => makeCell(to, r, c));
      to.body.replaceChildren(...to.cells.map((row) => el("div", { role: "row", class: "cx-row" }, ...row)));
    }
    if (!to.title.endsWith("gradient")) to.heading.textContent = `${to.title}, ${rows} × ${cols}`;
    to.body.style.setProperty("--cols", cols);
    to.body.style.setProperty("--least", `${Math.max(0, ...values.flat().map((value) => now.text(value).length)) * 7.5 + 5}px`);
    values.forEach((row, r) => row.forEach((value, c) => {
      const cell = to.cells[r][c], text = now.text(value), background = colour(value);
      if (cell.face !== editing) cell.face[to.editable ? "value" : "textContent"] = text;
      if (cell.face === document.activeElement && cell.face !== editing) cell.face.select(); // typing replaces it
      if (!to.editable) cell.setAttribute("aria-label", `${to.title}${at(r, c)} = ${text}`);
      Object.assign(cell.style, { background, color: inkOn(background) });
    }));
  }

  function draw() {
    const s = state(), { image } = s, h = image.length, w = image[0].length, why = problem(s, h, w);
    const convolves = s.operation === CONV, max = s.operation === MAX, b = convolves || max ? 1 : s.window ** 2;
    const paths = why ? [] : wires(s, image), gradient = why ? [] : fit(s.gradient, paths.length, paths[0].length);
    const text = (value) => { // an average is a fraction, the cells of the window below the line
      const n = Math.round(value * b);
      return n % b ? `${format(n)}/${b}` : format(n / b);
    };
    now = { ...s, b, why, text, convolves, max, gradient, wires: paths.flat(2), output: [], dx: [], dk: [] };
    if (!why) Object.assign(now, { output: forward(s, image) }, backward(s, image, gradient));
    for (const to of all) {
      const values = now[to.name] ?? [], flat = values.flat(), largest = Math.max(...flat.map(Math.abs));
      const low = Math.min(0, ...flat), high = Math.max(...flat);
      fill(to, values, (value) => (to.name === "image" ? greyColour(value, low, high) : signedColour(value, largest)));
      to.root.hidden = !flat.length || (to.kind === "kernel" && !convolves);
    }
    preset.node.value = [...presets].find(([, known]) => STATE.every((name) => String(known[name]) === String(s[name])))?.[0] ?? OWN;
    operation.node.value = s.operation;
    side.node.lastChild.textContent = `${h} × ${w}`;
    side.node.value = h === w ? `${h} × ${w}` : OWN;
    for (const [name, control] of steppers) {
      control.set(s[name].length ?? s[name]);
      control.root.hidden = name === (convolves ? "window" : "kernel");
    }
    back.hidden = why;
    for (const node of fills) node.disabled = why;
    show();
  }

  /** Outline what the selected cell is wired to, and say what flows. */
  function show() {
    const gradientOf = { input: "dx", kernel: "dk", output: "gradient" };
    if (now[gradientOf[chosen.kind]]?.[chosen.r]?.[chosen.c] === undefined) chosen = FIRST; // no longer there
    for (const s of all) s.cells.forEach((row, r) => row.forEach((cell, c) => {
      const mine = s.kind === chosen.kind, on = mine && r === chosen.r && c === chosen.c;
      cell.classList.remove("cx-tap");
      cell.lastChild.textContent = "";
      cell.ariaSelected = on;
      cell.stop.tabIndex = on || (!mine && !r && !c) ? 0 : -1;
    }));
    if (now.why) {
      work.textContent = "";
      return say(now.why, true);
    }
    const { kind, r, c } = chosen, { text, gradient, convolves } = now, isInput = kind === "input";
    const [a, b] = { output: "rc", input: "ij", kernel: "uv" }[kind];
    const list = now.wires.filter((wire) => wire[a] === r && wire[b] === c);
    const mark = (name, row, col, factor) => {
      const cell = sheets[name].cells[row]?.[col]; // none in the padding
      cell?.classList.add("cx-tap");
      if (cell && factor !== undefined) cell.lastChild.textContent = `×${text(factor)}`;
    };
    for (const { r: row, c: col, u, v, i, j, x, factor } of list) {
      if (!isInput) mark("image", i, j);
      else if (convolves) mark("kernel", u, v);
      if (kind === "output") {
        mark("dx", i, j, factor);
        if (convolves) mark("dk", u, v, x);
      } else {
        mark("output", row, col);
        mark("gradient", row, col, isInput ? factor : x);
      }
    }
    const pixels = now.dx.flat(), reads = new Set(now.image.flatMap((row, i) =>
      row.map((_, j) => now.wires.filter((wire) => wire.i === i && wire.j === j).length)));
    say(`${refusal}${describe(kind, r, c, list)} In all, ${pixels.filter(Boolean).length} of ${pixels.length} pixels have a gradient ` +
      `other than 0. Windows that read a pixel: ${[...reads].sort((m, n) => m - n).join(", ")}.`, Boolean(refusal));
    refusal = "";

    const terms = list.filter((wire) => kind !== "output" || wire.inside).map((wire) =>
      [gradient[wire.r][wire.c], kind === "kernel" ? wire.x : wire.factor].map((n) => inBrackets(text(n))).join("·"));
    work.textContent = kind === "output" ? `To the input: ${terms.join(", ")}`
      : `${capital(kind)} gradient${at(r, c)} = ${terms.join(" + ")}${terms.length ? " = " : ""}${text(now[gradientOf[kind]][r][c])}`;
  }

  /** What happens at the selected cell, in words. */
  function describe(kind, r, c, list) {
    const { text, b, convolves, max } = now, inside = list.filter((wire) => wire.inside), lost = list.filter((wire) => !wire.inside);
    const wins = list.filter((wire) => wire.factor);
    if (kind === "kernel") return `Weight ${at(r, c)} is used by ${count(list, "output")}; its gradient is ${text(now.dk[r][c])}.`;
    if (kind === "input") {
      return `Pixel ${at(r, c)} is read by ${count(list, "window")}${max ? `, wins ${wins.length}` : ""} and receives ${text(now.dx[r][c])}.`;
    }
    const head = `Output ${at(r, c)} has the gradient ${text(now.gradient[r][c])}. `;
    if (max) {
      const [{ x, i, j }] = wins, ties = inside.filter((wire) => wire.x === x).length;
      return `${head}All of it goes to the maximum, the ${text(x)} at ${at(i, j)}.` +
        (ties > 1 ? ` ${ties} pixels tie: PyTorch takes the first in reading order.` : "");
    }
    return `${head}It goes to ${count(inside, "pixel")}, ${convolves ? "times the weight that each met" : `1/${b} to each`}.` +
      (lost.length ? ` The share of ${count(lost, "cell")} in the padding is lost.` : "");
  }

  // Selecting and editing: a number counts while it is typed; anything else is refused and the old number stays.
  for (const s of all) {
    const listen = (type, handler) => s.body.addEventListener(type, (event) => {
      const cell = event.target.closest(".cx-cell");
      if (cell) handler(cell.stop, cell.r, cell.c, event);
    });
    const refuse = (input, r, c) => {
      const typed = input.value.trim();
      input.setAttribute("aria-invalid", "true");
      say(`${s.title}${at(r, c)} takes a whole number from −${LIMIT} to ${LIMIT}` +
        `${typed ? `, not “${typed}”` : " and cannot be empty"}; it stays ${format(now[s.name][r][c])}.`, true);
    };
    const settle = (input, r, c) => {
      if (editing !== input) return;
      if (parse(input.value) === null) {
        refuse(input, r, c);
        refusal = `${status.textContent} `; // what takes the focus says its own sentence behind it
      }
      editing = null;
      input.removeAttribute("aria-invalid");
      input.value = format(now[s.name][r][c]);
    };
    const put = (r, c, value) => {
      const rows = structuredClone(now[s.name]);
      rows[r][c] = value;
      set({ [s.name]: rows });
    };
    const cycle = (r, c) => {
      editing = null;
      put(r, c, CYCLE[(CYCLE.indexOf(now.gradient[r][c]) + 1) % CYCLE.length]);
    };
    listen("pointerdown", (stop) => { again = s.name === "gradient" && stop.parentNode.ariaSelected === "true"; });
    listen("focusin", (stop, r, c) => {
      chosen = { kind: s.kind, r, c };
      show();
      stop.select?.();
    });
    listen("focusout", settle);
    listen("click", (stop, r, c) => {
      if (again) cycle(r, c);
      else if (stop !== editing) setTimeout(() => stop.select?.()); // a click drops the selection
    });
    listen("input", (input, r, c) => {
      const value = parse(input.value);
      editing = input;
      input.removeAttribute("aria-invalid");
      if (value !== null) put(r, c, value);
      else if (!/^\s*[-+−–]?$/.test(input.value)) refuse(input, r, c); // a sign may become a number
    });
    listen("keydown", (stop, r, c, event) => {
      const next = { ArrowUp: [r - 1, c], ArrowDown: [r + 1, c], ArrowLeft: [r, c - 1], ArrowRight: [r, c + 1] }[event.key];
      if (next) s.cells[next[0]]?.[next[1]]?.stop.focus();
      else if (event.key === " " && s.name === "gradient") cycle(r, c);
      else if (event.key === "Enter") {
        settle(stop, r, c);
        refusal = "";
      } else return;
      event.preventDefault();
    });
  }

  root.addEventListener("focusin", ({ target }) => target.setAttribute("data-lm-suppress-shortcuts", "")); // JupyterLab
  host.append(root);
  draw();
  for (const name of STATE) model.on(`change:${name}`, schedule);
  return () => {
    for (const name of STATE) model.off(`change:${name}`, schedule);
    root.remove();
  };
}

export default { render };
