// Through the network: its blocks from the image to the output, and the wiring of the chosen one.

const LETTER = 7.4, LINE = 15, PAD = 8, GAP = 30, BETWEEN = 16, EDGE = 6; // pixels of a wiring; texts have 12

/** A count in few digits: 61.1 M, 714 M, 15.5 G, 1,792. */
export function count(number) {
  for (const [size, unit] of [[1e9, "G"], [1e6, "M"]]) {
    if (number >= size) return `${(number / size).toFixed(number >= 100 * size ? 0 : 1)} ${unit}`;
  }
  return number.toLocaleString("en-GB");
}

/** A share of a total in per cent. */
export function share(part, total) {
  const percent = total ? 100 * part / total : 0;
  return part && percent < 0.05 ? "under 0.1\u00a0%" : `${format(percent, 1)}\u00a0%`;
}

/**
 * Places of boxes and edges of a wiring, from top to bottom. `sources` are the texts of what comes in; a step is
 * [label, inputs, shape, …], where input −1 is the first source, −2 the second, and i ≥ 0 an earlier step.
 *
 * A box stands one row below the lowest of what it reads. The first that reads something goes on below it, others
 * get a lane to the right. What is read further down passes the rows between in a lane of its own.
 */
export function layout(steps, sources) {
  const S = sources.length, at = (i) => (i < 0 ? -1 - i : S + i);
  const boxes = [...sources.map((text) => ({ lines: text.split("\n"), reads: [], row: 0 })),
    ...steps.map(([label, inputs, shape]) => ({ lines: [...label.split("\n"), shape.join("×")], reads: inputs.map(at) }))];
  for (const box of boxes.slice(S)) box.row = 1 + Math.max(...box.reads.map((i) => boxes[i].row));
  const rows = Array.from({ length: 1 + Math.max(...boxes.map((box) => box.row)) }, () => []);
  for (const box of boxes) {
    Object.assign(box, { parents: [], w: 2 * PAD + LETTER * Math.max(...box.lines.map((line) => line.length)) });
    rows[box.row].push(box);
  }
  // Empty places that an edge passes: one for each box that is read further down, and row between.
  boxes.forEach((box, i) => {
    let last = box;
    const readers = boxes.filter((other) => other.reads.includes(i));
    for (let row = box.row + 1; readers.some((other) => other.row >= row); row += 1) {
      for (const other of readers) if (other.row === row) other.parents.push(last);
      if (!readers.some((other) => other.row > row)) break;
      last = { row, parents: [last], w: 4 };
      rows[row].push(last);
    }
  });

  const lanes = sources.map((_, i) => i), place = (key) => lanes.indexOf(key.lane);
  rows[0].forEach((box, i) => { box.lane = i; });
  rows.slice(1).forEach((row, number) => {
    const claimed = new Set(), newest = new Map();
    for (const key of row) {
      const above = key.parents.reduce((a, b) => (place(b) < place(a) ? b : a)).lane;
      if (!claimed.has(above)) {
        claimed.add(above);
        key.lane = above;
        continue;
      }
      // A lane that nothing further down comes from is free again.
      const busy = new Set([...row, ...rows.slice(number + 1).flat().flatMap((later) => later.parents)].map((k) => k.lane));
      const next = lanes.indexOf(newest.get(above) ?? above) + 1;
      if (next === lanes.length || busy.has(lanes[next])) lanes.splice(next, 0, lanes.length);
      key.lane = lanes[next];
      newest.set(above, key.lane);
    }
  });

  const keys = rows.flat(), middle = new Map();
  let right = 0;
  for (const lane of lanes) {
    const span = Math.max(...keys.filter((key) => key.lane === lane).map((key) => key.w));
    middle.set(lane, right + span / 2);
    right += span + BETWEEN;
  }
  for (const key of keys) key.x = middle.get(key.lane);
  // Alone in its row, between many: in the middle of them.
  rows.forEach((row, number) => {
    const near = row[0].parents.length > 2 ? row[0].parents : (rows[number + 1] ?? []).filter((k) => k.parents.includes(row[0]));
    if (row.length === 1 && near.length > 2) row[0].x = near.reduce((sum, key) => sum + key.x, 0) / near.length;
  });
  const left = Math.min(...keys.map((key) => key.x - key.w / 2)) - EDGE;
  let y = EDGE;
  for (const row of rows) {
    const h = 2 * PAD - 4 + LINE * Math.max(...row.map((key) => key.lines?.length ?? 0));
    for (const key of row) Object.assign(key, { x: key.x - left, y, h });
    y += h + GAP;
  }
  const edges = boxes.flatMap((box, to) => box.parents.map((parent) => {
    const points = [[box.x, box.y]];
    for (; !parent.lines; [parent] = parent.parents) points.unshift([parent.x, parent.y], [parent.x, parent.y + parent.h]);
    points.unshift([parent.x, parent.y + parent.h]);
    return { from: boxes.indexOf(parent), to, points };
  }));
  return { width: Math.max(...keys.map((key) => key.x + key.w / 2)) + EDGE, height: y - GAP + EDGE, edges,
    boxes: boxes.map(({ x, w, h, lines, reads, y: top }) => ({ x: x - w / 2, y: top, w, h, lines, joins: reads.length > 1 })) };
}

/** A network as it is stored, with names: blocks {name, kind, shape, parameters, work, field, inputs, steps}. */
export function unpacked([title, image, blocks], wirings) {
  const named = blocks.map(([name, kind, shape, parameters, work, field, inputs, wiring]) =>
    ({ name: /^\d+$/.test(name) ? `layer ${name}` : name, kind, shape, parameters, work, field, inputs, steps: wirings[wiring] }));
  const sum = (key) => named.reduce((total, block) => total + block[key], 0);
  return { title, image, side: Math.max(image[1], image[2]), blocks: named, parameters: sum("parameters"), work: sum("work") };
}

const size = (shape) => shape.join("×");
const and = (texts) => texts.join(", ").replace(/, ([^,]*)$/, " and $1");
const title = ({ name, kind }) => (kind === name ? name : `${name} (${kind})`);
const cost = (number, total, what, of = "") => (number ? `${count(number)} ${what}, ${share(number, total)}${of}` : `no ${what}`);

/** What the block does, in words. */
export function sentence(network, number) {
  const { blocks, image, side, parameters, work } = network, block = blocks[number];
  const shapes = [...new Set(block.inputs.map((i) => size(i < 0 ? image : blocks[i].shape)))], out = size(block.shape);
  const other = block.inputs.some((i) => i !== number - 1);
  const from = other ? ` It reads ${and([...new Set(block.inputs.map((i) => (i < 0 ? "the image" : blocks[i].name)))])}.` : "";
  const sees = block.field === null ? "sees the whole image" : block.field < side ? `sees ${block.field} of ${side} pixels`
    : block.field === side ? `sees all ${side} pixels` : `its field of ${count(block.field)} pixels is wider than the image of ${side}`;
  return `Block ${number + 1} of ${blocks.length}, ${title(block)}: ${and(shapes)} ` +
    `${shapes.length > 1 ? "become" : shapes[0] === out ? "stays" : "becomes"} ${out}; ` +
    `${cost(block.parameters, parameters, "parameters", " of all")}; ${cost(block.work, work, "multiply-adds")}; ${sees}.${from}`;
}

/** The wiring in words. */
function wiringText(block, sources) {
  const name = (i) => (i >= 0 ? i + 1 : sources.length > 1 ? sources[-1 - i] : "the input");
  return `Wiring of ${title(block)}. ` + block.steps.map(([label, inputs, shape], i) =>
    `${i + 1}: ${label.replaceAll("\n", ", ")} reads ${and(inputs.map(name))} and gives ${size(shape)}.`).join(" ");
}

const SCALES = [["total", "share of the total"], ["largest", "share of the largest"]];

function render({ model, el: host }) {
  const wirings = model.get("_wirings");
  const networks = new Map(model.get("_networks").map((entry) => [entry[0], unpacked(entry, wirings)]));
  let scale = "total", listed = null, rows = [], chosen = -1;

  const set = (changes) => {
    for (const name in changes) model.set(name, changes[name]);
    model.save_changes();
    draw();
  };
  const menu = select("Network", [...networks.keys()].map((name) => [name, name]), null, (network) => set({ block: 1, network }));
  const bars = select("Bars", SCALES, scale, (value) => { scale = value; listed = null; draw(); });
  const reset = el("button", { type: "button", onclick: () => {
    scale = bars.node.value = "total";
    listed = null;
    set({ ...model.get("_start") });
  } }, "Reset");
  const totals = el("p", { class: "cx-totals" });
  const image = el("div", { class: "cx-image" });
  const list = el("div", { role: "listbox", onkeydown: key });
  const head = el("div", { class: "cx-block cx-heads", "aria-hidden": "true" }, el("span", { class: "cx-name" }, "block"),
    el("span", { class: "cx-size" }, "output"), ...["parameters", "multiply-adds", "receptive field"].map((text) => el("span", {}, text)));
  const frame = el("div", { class: "cx-blocks" }, head, image, list);
  const status = el("p", { class: "cx-status", role: "status" });
  const drawing = svg("svg", { role: "img" });
  const caption = el("p", { class: "cx-title" });
  const body = el("tbody");
  const table = el("div", { class: "cx-wide", tabindex: 0, role: "region", "aria-label": "Steps of the chosen block" },
    el("table", {}, el("thead", {}, el("tr", {}, ...["", "step", "reads", "output", "parameters", "multiply-adds"].map((text) =>
      el("th", { scope: "col" }, text)))), body));
  const wiring = el("div", { class: "cx-wide cx-wiring", tabindex: 0, role: "region", "aria-label": "Wiring of the chosen block" }, drawing);
  const root = el("div", { class: "cx cx-network" },
    el("div", { class: "cx-controls" }, menu.root, bars.root, reset), totals, frame, status, caption, wiring,
    el("details", {}, el("summary", {}, "The same steps as a table"), table));

  /** A bar and its number. */
  const bar = (kind, length, text) => el("span", { class: `cx-bar cx-${kind}` },
    el("span", { class: "cx-track" }, el("i", { style: `width:${length ? Math.max(1.5, 100 * Math.min(1, length)) : 0}%` })),
    el("span", {}, text));

  function drawList(network) {
    const most = (name) => (scale === "total" ? network[name] : Math.max(...network.blocks.map((block) => block[name])));
    const all = { parameters: most("parameters") || 1, work: most("work") || 1 };
    image.replaceChildren(el("b", {}, "image"), ` ${size(network.image)}`);
    rows = network.blocks.map((block, number) => {
      const { name, kind, shape, parameters, work, field } = block;
      const sees = field === null ? "whole image" : `${count(field)} px`;
      return el("div", { class: "cx-block", role: "option", onclick: () => choose(number), "aria-label":
        `${number + 1}, ${title(block)}, ${size(shape)}, ${count(parameters)} parameters, ${count(work)} multiply-adds, field: ${sees}` },
      el("span", { class: "cx-name" }, el("b", {}, name), kind === name ? null : ` ${kind}`), el("span", { class: "cx-size" }, size(shape)),
      bar("parameters", parameters / all.parameters, count(parameters)), bar("work", work / all.work, count(work)),
      bar("sees", field === null ? 1 : field / network.side, sees));
    });
    list.setAttribute("aria-label", `Blocks of ${network.title}, from the image to the output`);
    list.replaceChildren(...rows);
    chosen = -1;
  }

  function drawWiring(network, number) {
    const block = network.blocks[number];
    const sources = block.inputs.map((i) => (i < 0 ? "image" : `from ${network.blocks[i].name}`));
    const { width, height, boxes, edges } = layout(block.steps, block.inputs.map((i, k) =>
      `${sources[k]}\n${size(i < 0 ? network.image : network.blocks[i].shape)}`));
    setAttributes(drawing, { width, height, viewBox: `0 0 ${width} ${height}`, "aria-label": wiringText(block, sources) });
    drawing.replaceChildren(
      ...edges.map(({ points }) => {
        const [x, y] = points.at(-1), [a, b] = points.at(-2), d = Math.hypot(x - a, y - b);
        const [u, v] = [(x - a) / d, (y - b) / d], [p, q] = [x - 8 * u, y - 8 * v]; // the foot of the arrowhead
        return svg("g", {}, svg("path", { class: "cx-line", d: `M${points.slice(0, -1).join("L")}L${p} ${q}` }),
          svg("path", { d: `M${x} ${y}L${p - 3.5 * v} ${q + 3.5 * u}L${p + 3.5 * v} ${q - 3.5 * u}z` }));
      }),
      ...boxes.flatMap((box, k) => [
        svg("rect", { x: box.x, y: box.y, width: box.w, height: box.h, rx: 4,
          class: k < sources.length ? "cx-source" : box.joins ? "cx-join" : "cx-step" }),
        ...box.lines.map((line, i) => svg("text", { x: box.x + box.w / 2,
          y: box.y + box.h / 2 + LINE * (i - (box.lines.length - 1) / 2) + 4, "text-anchor": "middle",
          class: i === box.lines.length - 1 ? "cx-soft" : "" }, line)),
      ]));
    caption.textContent = `Inside ${title(block)}`;
    const name = (i) => (i >= 0 ? String(i + 1) : sources[-1 - i].replace(/^from /, ""));
    body.replaceChildren(...block.steps.map(([label, inputs, shape, parameters, work], i) => el("tr", {},
      ...[i + 1, label.replaceAll("\n", ", "), inputs.map(name).join(", "), size(shape), count(parameters), count(work)]
        .map((text) => el("td", {}, String(text))))));
  }

  function draw() {
    const network = networks.get(model.get("network")), number = Math.min(model.get("block"), network.blocks.length) - 1;
    menu.node.value = network.title;
    if (listed !== network) {
      drawList(network);
      listed = network;
      totals.textContent = `${network.title}: ${network.parameters.toLocaleString("en-GB")} parameters and ${count(network.work)} ` +
        `multiply-adds for one image of ${size(network.image)}, in ${network.blocks.length} blocks.`;
    }
    if (chosen !== number) {
      rows.forEach((row, i) => setAttributes(row, { "aria-selected": String(i === number), tabindex: i === number ? 0 : -1 }));
      chosen = number;
      const row = rows[number], above = row.offsetTop - head.offsetHeight, below = row.offsetTop + row.offsetHeight - frame.clientHeight;
      frame.scrollTop = Math.min(above, Math.max(below, frame.scrollTop));
      drawWiring(network, number);
      status.textContent = sentence(network, number);
    }
  }

  function choose(number, focus = false) {
    set({ block: number + 1 });
    if (focus) rows[number].focus();
  }
  function key(event) {
    const to = { ArrowDown: chosen + 1, ArrowUp: chosen - 1, Home: 0, End: rows.length - 1 }[event.key];
    if (to === undefined || event.ctrlKey || event.metaKey || event.altKey) return;
    event.preventDefault();
    choose(Math.max(0, Math.min(rows.length - 1, to)), true);
  }

  host.append(root);
  for (const node of [...root.querySelectorAll("button, select, summary, [tabindex]"), list]) node.setAttribute("data-lm-suppress-shortcuts", "");
  draw();
  for (const name of ["network", "block"]) model.on(`change:${name}`, draw);
  return () => {
    for (const name of ["network", "block"]) model.off(`change:${name}`, draw);
    root.remove();
  };
}

export default { render };
