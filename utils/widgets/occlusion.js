// Occlude it: a patch covers a part of a digit, and a trained network in the page says what it reads now.

/** A copy of 784 values with a square of `fill`, `side` pixels wide, its upper left corner at (row, column). */
export function cover(values, row, column, side, fill) {
  const covered = values.slice();
  for (let y = row; y < Math.min(SIDE, row + side); y += 1) covered.fill(fill, y * SIDE + column, y * SIDE + Math.min(SIDE, column + side));
  return covered;
}

/**
 * By how much the score of digit `k` falls when a patch covers a pixel, the mean over all such patches, which lie half
 * a side apart: what utils.attribution.occlusion computes. It yields after every pass, so that the page stays awake.
 */
export function* occluding(layers, weights, input, k, side, fill) {
  const stride = Math.max(1, side >> 1), before = forward(layers, weights, input).logits[k];
  const sums = new Float64Array(CELLS), times = new Float64Array(CELLS);
  let passes = 1;
  for (let row = 0; row < SIDE - side + stride; row += stride) for (let column = 0; column < SIDE - side + stride; column += stride) {
    yield;
    const fall = before - forward(layers, weights, cover(input, row, column, side, fill)).logits[k];
    passes += 1;
    for (let y = row; y < Math.min(SIDE, row + side); y += 1) for (let x = column; x < Math.min(SIDE, column + side); x += 1) {
      sums[y * SIDE + x] += fall;
      times[y * SIDE + x] += 1;
    }
  }
  return { map: sums.map((sum, i) => sum / times[i]), passes };
}

/** The same at once. */
export function occlusionMap(...given) {
  const job = occluding(...given);
  for (;;) {
    const { done, value } = job.next();
    if (done) return value;
  }
}

/** A map as pixels to lay over the digit: orange where positive, blue where negative, clear at 0. */
export function tinted(map) {
  const pixels = new Uint8ClampedArray(4 * map.length), { largest } = extremes(map);
  map.forEach((value, i) => pixels.set([...(value < 0 ? [64, 150, 240] : [240, 120, 0]), 210 * (largest && Math.abs(value) / largest)], 4 * i));
  return pixels;
}

const LEAST = 2, MOST = 16, FIRST = 8;
const MOVE = "Drag the patch, or tap where it shall be. By keyboard: arrow keys move it by a pixel, with Shift by its side.";

function render({ model, el: place }) {
  const [layers, labels, mean, std] = ["layers", "labels", "mean", "std"].map((name) => model.get(name));
  const weights = decode(model.get("weights")), images = bytesOf(model.get("images"));
  const shades = { mean: 255 * mean, black: 0, grey: 128, white: 255 }; // of the patch, as pixels
  let digit = 0, side = FIRST, middle = { x: 0, y: 0 }, at = middle, shade = "mean", mapped = false, pointer = null, frame = 0, before = null;

  const div = (name, ...children) => el("div", { class: name }, ...children);
  const heading = (text, id) => el("p", { class: "cx-title", id }, text);
  const button = (text, onclick) => el("button", { type: "button", onclick }, text);

  const canvas = el("canvas", { "aria-hidden": "true" });
  const over = el("canvas", { class: "oc-map", width: SIDE, height: SIDE, "aria-hidden": "true", hidden: true });
  const patch = div("oc-patch");
  const pad = el("div", {
    class: "dr-pad oc-pad", tabindex: 0, role: "application", "aria-label": `The digit, 28 × 28 pixels, and the patch. ${MOVE}`,
    onpointerdown: press, onpointermove: move, onpointerup: release, onlostpointercapture: release, onkeydown: typed,
  }, canvas, over, patch);
  const size = stepper("side of the patch", LEAST, MOST, side, resize);
  const shown = select("the patch shows", [["mean", "the mean grey of all digits"], ["black", "black"], ["grey", "a medium grey"], ["white", "white"]], shade, (value) => { shade = value; update(); });
  const toggle = button("Map", () => { mapped = !mapped; update(); });
  const legend = el("p", { class: "dr-small oc-legend" });
  const digits = digitChoice(images, labels, (i) => { digit = i; update(); });
  const status = el("p", { class: "cx-status dr-status", "aria-live": "polite" });
  const bars = probabilityBars(), title = uniqueId("occlusion");
  const root = el("div", { class: "cx dr oc", role: "group", "aria-label": "Occlude it", "data-lm-suppress-shortcuts": "true" },
    div("dr-top",
      div("dr-left", heading("Move the patch"), pad, el("p", { class: "dr-small" }, MOVE)),
      div("dr-right", status, bars.root,
        div("oc-pick", heading("Pick a test digit", title),
          el("div", { class: "dr-digits", role: "radiogroup", "aria-labelledby": title }, ...digits.buttons)),
        div("oc-controls", size.root, shown.root, toggle, button("Reset", reset)), legend)));
  place.append(root);

  const watch = new ResizeObserver(() => { root.dataset.size = root.clientWidth < 620 ? "narrow" : "page"; });
  watch.observe(root);

  // Moving, by pointer and by keyboard.
  function follow({ clientX, clientY }) {
    const { left, top, width, height } = canvas.getBoundingClientRect();
    put(((clientX - left) / width) * SIDE, ((clientY - top) / height) * SIDE);
  }
  /** The patch with its middle as near to (x, y) as whole pixels allow. */
  function put(x, y) {
    at = { x: clamp(Math.round(x - side / 2), 0, SIDE - side), y: clamp(Math.round(y - side / 2), 0, SIDE - side) };
    middle = { x, y };
  }
  function press(event) {
    if (pointer !== null || event.button > 0) return;
    pointer = event.pointerId;
    pad.setPointerCapture(pointer);
    follow(event);
    update();
  }
  function move(event) {
    if (event.pointerId !== pointer) return;
    follow(event);
    update();
  }
  function release(event) {
    if (event.pointerId !== pointer) return;
    pointer = null;
    update();
  }
  function typed(event) {
    const by = keyed(event);
    if (!by) return;
    const far = event.shiftKey ? side : 1;
    put(at.x + far * by[0] + side / 2, at.y + far * by[1] + side / 2);
    update();
  }
  function resize(value) {
    side = value;
    put(middle.x, middle.y);
    update();
  }
  function reset() {
    digit = 0; shade = "mean"; mapped = false;
    shown.node.value = shade;
    size.set(FIRST);
    side = FIRST;
    put(SIDE / 2, SIDE / 2);
    update();
  }

  function update() {
    const pixels = images.subarray(digit * CELLS, (digit + 1) * CELLS);
    const input = Float32Array.from(pixels, (v) => (v / 255 - mean) / std), fill = (shades[shade] / 255 - mean) / std;
    const whole = forward(layers, weights, input).logits, { logits } = forward(layers, weights, cover(input, at.y, at.x, side, fill));
    const p = softmax(logits), first = p.indexOf(Math.max(...p)), answer = whole.indexOf(Math.max(...whole));
    paint(canvas, cover(Uint8ClampedArray.from(pixels), at.y, at.x, side, shades[shade]), SIDE, 0, CELLS);
    Object.assign(patch.style, { left: `${(100 * at.x) / SIDE}%`, top: `${(100 * at.y) / SIDE}%`, width: `${(100 * side) / SIDE}%` });
    digits.show(digit);
    bars.show(p, first);
    const turned = first === answer ? "" : `, no longer ${answer}`, fall = whole[answer] - logits[answer];
    status.setAttribute("aria-busy", String(pointer !== null)); // announced once a drag, not once a frame
    status.textContent = `The network reads ${first}${turned}, with probability ${chance(p[first], 2)}. ` +
      `The score of ${answer} ${fall < 0 ? "rises" : "falls"} from ${format(whole[answer])} to ${format(logits[answer])}: ` +
      `${side} × ${side} pixels are covered, from row ${at.y + 1} and column ${at.x + 1} on. This test digit is a ${labels[digit]}.`;
    toggle.setAttribute("aria-pressed", String(mapped));
    over.hidden = !mapped;
    const wanted = mapped && [digit, side, shade].join();
    if (wanted !== before) chart(wanted, input, answer, fill);
    before = wanted;
  }
  /** Compute the map, a few passes for each frame. */
  function chart(wanted, input, answer, fill) {
    cancelAnimationFrame(frame);
    over.getContext("2d").clearRect(0, 0, SIDE, SIDE);
    root.dataset.map = wanted ? "busy" : "off";
    legend.textContent = wanted ? "The map is being computed." : "Map: put the patch everywhere, and colour what the score of the answer loses.";
    if (!wanted) return;
    const job = occluding(layers, weights, input, answer, side, fill), stride = Math.max(1, side >> 1);
    const work = () => {
      const until = performance.now() + 10;
      let step;
      do step = job.next(); while (!step.done && performance.now() < until);
      if (!step.done) { frame = requestAnimationFrame(work); return; }
      const { map, passes } = step.value, { low, high } = extremes(map);
      over.getContext("2d").putImageData(new ImageData(tinted(map), SIDE, SIDE), 0, 0);
      root.dataset.map = "done";
      const top = map.indexOf(high), rises = low < 0 ? `; blue where it rises, by up to ${format(-low)}` : "";
      legend.textContent = `Map for the score of ${answer}: orange where it falls, by up to ${format(high)} (row ${Math.floor(top / SIDE) + 1}, column ${(top % SIDE) + 1})${rises}. ` +
        `A pixel has the mean of all patches that cover it, ${stride} ${stride > 1 ? "pixels" : "pixel"} apart: ${passes} passes.`;
    };
    work();
  }

  reset();
  return () => {
    cancelAnimationFrame(frame);
    watch.disconnect();
    root.remove();
  };
}

export default { render };
