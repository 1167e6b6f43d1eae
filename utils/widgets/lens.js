// The lens: a coarse map over a photograph, for each class and layer that was asked for when the notebook ran.

/** A map of height × width numbers on side × side pixels: bilinear, as torch's interpolate does it, or as squares. */
export function enlarge(map, height, width, side, smooth = true) {
  const result = new Float32Array(side * side), across = places(width, side, smooth), down = places(height, side, smooth);
  down.forEach(([y0, y1, v], i) => across.forEach(([x0, x1, u], j) => {
    const upper = (1 - u) * map[y0 * width + x0] + u * map[y0 * width + x1];
    const lower = (1 - u) * map[y1 * width + x0] + u * map[y1 * width + x1];
    result[i * side + j] = (1 - v) * upper + v * lower;
  }));
  return result;
}

/** For each of `side` pixels: the two numbers of a row that it lies between, and how near it is to the second. */
function places(count, side, smooth) {
  return Array.from({ length: side }, (_, i) => {
    const at = Math.max(0, ((i + 0.5) * count) / side - 0.5), first = Math.min(count - 1, Math.floor(at));
    if (!smooth) { const square = Math.floor((i * count) / side); return [square, square, 0]; }
    return [first, Math.min(count - 1, first + 1), at - first];
  });
}

/**
 * Pixels (RGBA) of a photograph under a map: the stronger the overlay (0 to 1), the greyer the photograph and the
 * stronger the colours, orange above 0 and blue below, full at ±`largest`.
 */
export function mix(photograph, map, largest, overlay) {
  const result = new Uint8ClampedArray(photograph.length);
  map.forEach((value, i) => {
    const weight = largest > 0 ? overlay * Math.min(1, Math.abs(value) / largest) : 0, colour = value < 0 ? [33, 102, 172] : [224, 106, 0];
    const [r, g, b] = photograph.subarray(4 * i, 4 * i + 3), grey = 0.2125 * r + 0.7154 * g + 0.0721 * b;
    [r, g, b].forEach((c, k) => { result[4 * i + k] = (1 - weight) * ((1 - overlay) * c + overlay * grey) + weight * colour[k]; });
    result[4 * i + 3] = 255;
  });
  return result;
}

/** Where the colour is full: only 2 % of a map's numbers are stronger, or a few of them would hide all others. */
export function fullAt(map) {
  const strengths = Array.from(map, Math.abs).sort((a, b) => b - a);
  return strengths[Math.floor(0.02 * strengths.length)] || strengths[0];
}

const precise = (value) => (value === 0 ? "0" : format(value, Math.max(0, 1 - Math.floor(Math.log10(Math.abs(value))))));

function render({ model, el: place }) {
  const [pictures, names, questions, layers, shapes, side] = ["pictures", "names", "questions", "layers", "shapes", "side"].map((name) => model.get(name));
  const data = model.get("maps"), bytes = ArrayBuffer.isView(data) ? data : new Uint8Array(data);
  const numbers = new Float32Array(Uint8Array.from(new Uint8Array(bytes.buffer ?? bytes, bytes.byteOffset ?? 0, bytes.byteLength)).buffer);
  // Where each map begins, in the order photograph, class, layer.
  const starts = [];
  let total = 0;
  questions.forEach((asked, n) => { starts.push(asked.map(() => shapes.map(([h, w]) => { const from = total; total += h * w; return from; }))); });
  const mapOf = (n, k, l) => numbers.subarray(starts[n][k][l], starts[n][k][l] + shapes[l][0] * shapes[l][1]);
  const first = model.get("start");
  let state = {}, shown = 0;
  const loaded = pictures.map((address) => {
    const image = new Image();
    const ready = new Promise((resolve) => { image.onload = image.onerror = resolve; });
    image.src = address;
    return ready.then(() => {
      const canvas = Object.assign(document.createElement("canvas"), { width: side, height: side }), context = canvas.getContext("2d");
      context.drawImage(image, 0, 0, side, side);
      return context.getImageData(0, 0, side, side).data;
    });
  });

  const canvas = el("canvas", { width: side, height: side, role: "img" });
  const status = el("p", { class: "cx-status", "aria-live": "polite" });
  const set = (change) => { Object.assign(state, change); show(); };
  const photograph = select("photograph", names.map((name, i) => [i, name]), 0, (v) => set({ n: Number(v), k: 0 }));
  const class_ = select("class", [], 0, (v) => set({ k: Number(v) }));
  const layer = select("layer", layers.map((name, i) => [i, `${name} (${shapes[i].join(" × ")})`]), 0, (v) => set({ l: Number(v) }));
  const percent = el("span", { class: "ln-value" });
  const range = el("input", { type: "range", min: 0, max: 100, step: 5, "aria-label": "overlay", oninput: (event) => set({ overlay: Number(event.target.value) }) });
  const ticks = [["squares", "show the numbers as squares"], ["against", "also what speaks against the class"], ["shared", "one scale for all classes"]].map(([name, text]) => {
    const box = el("input", { type: "checkbox", onchange: (event) => set({ [name]: event.target.checked }) });
    return { name, box, root: el("label", { class: "ln-tick" }, box, text) };
  });
  const reset = () => set({ n: first[0], k: first[1], l: first[2], overlay: 70, squares: false, against: false, shared: false });
  const root = el("div", { class: "cx ln", role: "group", "aria-label": "Grad-CAM lens" },
    el("div", { class: "ln-sides" }, canvas,
      el("div", { class: "ln-right" },
        el("div", { class: "cx-controls" }, photograph.root, class_.root, layer.root,
          el("label", { class: "cx-field ln-range" }, el("span", {}, "overlay: ", percent), range),
          el("button", { type: "button", onclick: reset }, "Reset")),
        ...ticks.map((tick) => tick.root), status)));
  place.append(root);

  function show() {
    const { n, k, l, overlay, squares, against, shared } = state, [height, width] = shapes[l];
    photograph.node.value = n;
    class_.node.replaceChildren(...questions[n].map(([name], i) => el("option", { value: i, selected: i === k }, name)));
    layer.node.value = l;
    range.value = overlay;
    percent.textContent = `${overlay} %`;
    range.setAttribute("aria-valuetext", `${overlay} %`);
    for (const { name, box } of ticks) box.checked = state[name];
    const kept = (map) => (against ? map : map.map((v) => Math.max(0, v)));
    const map = kept(mapOf(n, k, l)), own = map.reduce((a, b) => Math.max(a, Math.abs(b)), 0);
    const largest = Math.max(...(shared ? questions[n].map((_, j) => kept(mapOf(n, j, l))) : [map]).map(fullAt));
    const [name, score] = questions[n][k];
    let text = `${names[n]}, “${name}”: score ${format(score, 1)}. The map of ${layers[l]} has ${height} × ${width} numbers`;
    text += own === 0 ? "; none is above 0, so nothing is coloured." : `, the strongest ${precise(own)}; the colour is full at ${precise(largest)}.`;
    status.textContent = text;
    canvas.setAttribute("aria-label", text);
    const turn = shown += 1;
    delete root.dataset.drawn;
    loaded[n].then((pixels) => {
      if (turn !== shown) return; // another state was chosen while the photograph was decoded
      const large = enlarge(map, height, width, side, !squares);
      canvas.getContext("2d").putImageData(new ImageData(mix(pixels, large, largest, overlay / 100), side, side), 0, 0);
      root.dataset.drawn = "true";
    });
  }

  reset();
  return () => root.remove();
}

export default { render };
