// The receptive field explorer: a stack of layers along one axis, without padding, and what one unit reads.

const OWN = "your own";
const MOST = 6; // layers
const SETTINGS = [["Kernel", 1, 11], ["Stride", 1, 4], ["Dilation", 1, 8]];
const INPUTS = [16, 28, 32, 48, 64];
const GUTTER = 54, PITCH = 46, STRIP = 18, TOP = 4; // pixels of the drawing

/** Units of each level, the input first, up to the first layer that does not fit; and why it does not. */
export function sizes(input, layers) {
  const units = [input];
  for (const [k, s, d] of layers) {
    const n = units.at(-1), span = d * (k - 1) + 1;
    if (span > n) {
      return { units, problem: `Layer ${units.length} does not fit: its kernel spans ${span} units ` +
        `(${d}·(${k} − 1) + 1), and only ${n} come in. Use a longer input, a smaller kernel, or less stride below it.` };
    }
    units.push(Math.floor((n - span) / s) + 1);
  }
  return { units, problem: "" };
}

/** Field r and jump j of each level, the input first. */
export function recursion(layers) {
  const rows = [{ r: 1, j: 1 }];
  for (const [k, s, d] of layers) {
    const { r, j } = rows.at(-1);
    rows.push({ r: r + d * (k - 1) * j, j: j * s });
  }
  return rows;
}

/** Which units of each level, the input first, the given unit of the last level depends on. */
export function trace(layers, unit) {
  const levels = [[unit]];
  for (const [k, s, d] of [...layers].reverse()) {
    const below = new Set();
    for (const i of levels[0]) for (let t = 0; t < k; t += 1) below.add(i * s + t * d);
    levels.unshift([...below].sort((a, b) => a - b));
  }
  return levels;
}

function render({ model, el: host }) {
  let level = Infinity, unit = null; // the chosen unit: of the last level that fits, the middle one
  let shown = null; // what is drawn
  const rows = []; // controls of the layers, the first layer first
  const presets = new Map(model.get("_presets"));

  const set = (changes) => {
    for (const name in changes) model.set(name, changes[name]);
    model.save_changes();
    draw();
  };
  const change = (edit) => {
    const layers = structuredClone(model.get("layers"));
    edit(layers);
    set({ layers });
  };
  const choose = (l, i) => {
    level = l === model.get("layers").length ? Infinity : l;
    unit = i;
    draw();
  };

  const preset = select("Preset", [...presets.keys(), OWN].map((name) => [name, name]), null, (name) => {
    level = Infinity;
    unit = null;
    set({ layers: structuredClone(presets.get(name)) });
  });
  preset.node.lastChild.hidden = true;
  const inputs = [...new Set([...INPUTS, model.get("size")])].sort((a, b) => a - b);
  const input = select("Input", inputs.map((n) => [n, `${n} cells`]), null, (n) => set({ size: Number(n) }));
  const of = select("Unit of", [], null, (l) => choose(Number(l), null));
  const range = el("input", { type: "range", min: 0, step: 1, "aria-label": "Unit",
    oninput: () => choose(shown.l, Number(range.value)) });
  const number = el("span", {}, "Unit");
  const add = el("button", { type: "button", onclick: () => change((layers) => layers.push([3, 1, 1])) }, "Add a layer");
  const reset = el("button", { type: "button", onclick: () => {
    level = Infinity;
    unit = null;
    set(structuredClone(model.get("_start")));
  } }, "Reset");
  const status = el("p", { class: "cx-status", role: "status" });
  const figure = svg("svg", { class: "cx-strips", role: "img" });
  const stack = el("div", { class: "cx-stack" });
  const root = el("div", { class: "cx cx-field-explorer" },
    el("div", { class: "cx-controls" }, preset.root, input.root, of.root,
      el("label", { class: "cx-field cx-range" }, number, range)),
    status, figure,
    el("div", { class: "cx-head" }, add, reset, el("span", {}, "r ← r + dilation·(kernel − 1)·j, then j ← j·stride")),
    stack);

  /** Controls for one layer; they stay while layers change, so that the focus stays too. */
  function makeRow(index) {
    const text = el("span", { class: "cx-sum" });
    const fields = SETTINGS.map(([name, low, high], which) =>
      select(name, Array.from({ length: high - low + 1 }, (_, i) => [low + i, low + i]), null,
        (value) => change((layers) => { layers[index][which] = Number(value); })));
    const move = (step) => () => {
      change((layers) => layers.splice(index + step, 0, layers.splice(index, 1)[0]));
      const there = rows[index + step];
      (step > 0 ? [there.up, there.down] : [there.down, there.up]).find((b) => !b.disabled)?.focus();
    };
    const button = (sign, label, onclick) =>
      el("button", { type: "button", title: `Layer ${index + 1}: ${label}`, "aria-label": `Layer ${index + 1}: ${label}`, onclick }, sign);
    const up = button("↑", "move up", move(1)), down = button("↓", "move down", move(-1));
    const remove = button("×", "remove", () => {
      change((layers) => layers.splice(index, 1));
      (rows[Math.min(index, rows.length - 1)]?.remove ?? add).focus();
    });
    const body = el("div", { class: "cx-row", role: "group", "aria-label": `Layer ${index + 1}` },
      text, ...fields.map((f) => f.root), el("span", { class: "cx-moves" }, up, down, remove));
    return { body, text, fields, up, down, remove };
  }
  const ground = el("div", { class: "cx-row" }, el("span", { class: "cx-sum" }));

  function drawStack(layers, levels, units) {
    while (rows.length > layers.length) rows.pop().body.remove();
    while (rows.length < layers.length) {
      rows.push(makeRow(rows.length));
      stack.prepend(rows.at(-1).body); // as in the drawing, the last layer on top
    }
    stack.append(ground);
    ground.firstChild.textContent = `Input: r = 1, j = 1; ${units[0]} units`;
    rows.forEach(({ body, text, fields, up, down }, i) => {
      const [k, s, d] = layers[i], { r, j } = levels[i], next = levels[i + 1], n = units[i + 1];
      text.replaceChildren(el("b", {}, `Layer ${i + 1}: `),
        el("span", {}, `r = ${r} + ${d}·(${k} − 1)·${j} = `, el("b", {}, String(next.r))), ", ",
        el("span", {}, `j = ${j}·${s} = `, el("b", {}, String(next.j))), "; ",
        n ? `${n} unit${n > 1 ? "s" : ""}` : i + 1 === units.length ? "does not fit" : "nothing comes in");
      fields.forEach(({ node }, which) => { node.value = layers[i][which]; });
      up.disabled = i === layers.length - 1;
      down.disabled = i === 0;
      body.classList.toggle("cx-misfit", !n);
    });
    add.disabled = layers.length >= MOST;
  }

  /** The strips: the input below, a unit above the middle of its field, j cells wide. */
  function drawFigure() {
    const { l, units, levels, fields } = shown, top = units.length - 1;
    const width = Math.max(200, figure.parentNode.clientWidth - 2 * parseFloat(getComputedStyle(root).paddingLeft));
    const cell = (width - GUTTER - 2) / units[0], height = TOP + top * PITCH + STRIP + 24;
    const y = (m) => TOP + (top - m) * PITCH, gap = Math.min(1, cell * 0.2);
    const middle = (m, i) => GUTTER + (i * levels[m].j + (levels[m].r - 1) / 2 + 0.5) * cell;
    const box = (m) => (i) => {
      const w = levels[m].j * cell - gap;
      return `M${(middle(m, i) - w / 2).toFixed(1)} ${y(m)}h${w.toFixed(1)}v${STRIP}h${(-w).toFixed(1)}z`;
    };
    Object.assign(shown, { cell, y, top, width });
    const parts = units.flatMap((n, m) => {
      const on = new Set(fields[m] ?? []), all = [...Array(n).keys()], label = m ? `layer ${m}` : "input";
      return [svg("path", { class: "cx-off", d: all.filter((i) => !on.has(i)).map(box(m)).join("") }),
        svg("path", { class: m === l ? "cx-chosen" : "cx-on", d: [...on].map(box(m)).join("") }),
        svg("text", { x: 0, y: y(m) + 14 }, label)];
    });
    for (let m = 1; m <= l; m += 1) {
      const [k, s, d] = shown.layers[m - 1];
      parts.push(svg("path", { class: "cx-link", d: fields[m].map((i) => Array.from({ length: k }, (_, t) =>
        `M${middle(m, i).toFixed(1)} ${y(m) + STRIP}L${middle(m - 1, i * s + t * d).toFixed(1)} ${y(m - 1)}`).join("")).join("") }));
    }
    const [first, last] = [fields[0][0], fields[0].at(-1)], under = y(0) + STRIP + 4;
    const x = [middle(0, first) - cell / 2, middle(0, last) + cell / 2];
    parts.push(svg("path", { class: "cx-brace", d: `M${x[0]} ${under}v4H${x[1]}v-4` }),
      svg("text", { x: Math.max(GUTTER + 16, Math.min(width - 22, (x[0] + x[1]) / 2)), y: under + 18, "text-anchor": "middle" }, `r = ${levels[l].r}`));
    setAttributes(figure, { width, height, viewBox: `0 0 ${width} ${height}`, "aria-label": shown.sentence });
    figure.replaceChildren(...parts);
  }

  function draw() {
    const layers = model.get("layers"), size = model.get("size");
    const { units, problem } = sizes(size, layers), levels = recursion(layers);
    const l = Math.min(level, units.length - 1), n = units[l];
    const i = unit === null ? Math.floor(n / 2) : Math.min(unit, n - 1);
    const fields = trace(layers.slice(0, l), i), seen = fields[0], { r, j } = levels[l], holes = r - seen.length;
    const where = seen.length > 1 ? `cells ${seen[0]} to ${seen.at(-1)}` : `cell ${seen[0]}`;
    const sentence = !l ? `Unit ${i} of the input is cell ${i} itself: r = 1, j = 1.` : `Unit ${i} of layer ${l} sees ${where}: r = ${r}, j = ${j}. ` +
      (holes ? `It reads ${seen.length} of these ${r} cells; of a picture, ${seen.length ** 2} of ${r ** 2} pixels.`
        : "It reads all of them.");
    shown = { layers, units, levels, fields, l, i, sentence };

    preset.node.value = [...presets].find(([, known]) => JSON.stringify(known) === JSON.stringify(layers))?.[0] ?? OWN;
    if (![...input.node.options].some((o) => o.value === String(size))) input.node.append(el("option", { value: size }, `${size} cells`));
    input.node.value = size;
    if (of.node.options.length !== units.length) {
      of.node.replaceChildren(...units.map((_, m) => el("option", { value: m }, m ? `layer ${m}` : "input")).reverse());
    }
    of.node.value = l;
    range.max = n - 1;
    range.value = i;
    range.disabled = n === 1;
    range.setAttribute("aria-valuetext", `unit ${i} of ${n}`);
    number.textContent = `Unit ${i} of 0 to ${n - 1}`;
    drawStack(layers, levels, units);
    drawFigure();
    status.textContent = problem ? `${problem} ${sentence}` : sentence;
    status.classList.toggle("cx-error", Boolean(problem));
  }

  /** Choose the unit under the pointer: the whole band of a strip counts, so that a finger finds it. */
  function point(event) {
    const frame = figure.getBoundingClientRect(), { units, levels, cell, top } = shown;
    const m = Math.max(0, Math.min(top, top - Math.floor((event.clientY - frame.top - TOP + (PITCH - STRIP) / 2) / PITCH)));
    const at = (event.clientX - frame.left - GUTTER) / cell - 0.5 - (levels[m].r - 1) / 2;
    choose(m, Math.max(0, Math.min(units[m] - 1, Math.round(at / levels[m].j))));
  }
  figure.addEventListener("pointerdown", (event) => { if (event.button === 0) point(event); });
  figure.addEventListener("pointermove", (event) => { if (event.buttons === 1) point(event); });

  host.append(root);
  for (const node of root.querySelectorAll("button, select, input")) node.setAttribute("data-lm-suppress-shortcuts", "");
  draw();
  for (const name of ["layers", "size"]) model.on(`change:${name}`, draw);
  let before = root.clientWidth;
  const observer = new ResizeObserver(() => { // in the next frame: what the callback resizes would be observed again
    if (root.clientWidth !== before) requestAnimationFrame(() => root.isConnected && drawFigure());
    before = root.clientWidth;
  });
  observer.observe(root);
  return () => {
    observer.disconnect();
    for (const name of ["layers", "size"]) model.off(`change:${name}`, draw);
    root.remove();
  };
}

export default { render };
