// A network that was trained on digits runs in the page: weights, forward pass, and what its explorers show alike.
// This file is put between base.js and the explorer's own module.

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

/** Pictures of the test digits to choose from; `onpick(i)` is called with the number of the chosen one. */
function digitChoice(images, labels, onpick) {
  const buttons = labels.map((label, i) => {
    const canvas = el("canvas", { "aria-hidden": "true" });
    paint(canvas, images, SIDE, i * CELLS, CELLS);
    const name = `test digit ${i + 1} of ${labels.length}, a ${label}`;
    return el("button", { type: "button", role: "radio", "aria-label": name, onclick: () => onpick(i), onkeydown: step }, canvas);
  });
  function step(event) {
    const by = keyed(event), n = buttons.length;
    if (!by) return;
    const to = (buttons.indexOf(event.currentTarget) + by[0] + by[1] + n) % n;
    onpick(to);
    buttons[to].focus();
  }
  /** Mark digit `i` as chosen, or none; `reached` is the one that the Tab key comes to. */
  function show(i, reached = i) {
    buttons.forEach((button, j) => {
      button.setAttribute("aria-checked", String(j === i));
      button.tabIndex = j === reached ? 0 : -1;
    });
  }
  return { buttons, show };
}

/** A bar for the probability of each digit; `show(p, first)` marks the digit `first`, `show()` empties all. */
function probabilityBars() {
  const bars = Array.from({ length: 10 }, (_, i) => {
    const bar = el("span", { class: "dr-bar" }), number = el("span", { class: "dr-number" });
    return { bar, number, row: el("li", {}, el("b", {}, String(i)), el("span", { class: "dr-track" }, bar), number) };
  });
  const root = el("ol", { class: "dr-bars", "aria-label": "probability of each digit" }, ...bars.map(({ row }) => row));
  function show(p, first) {
    bars.forEach(({ row, bar, number }, i) => {
      row.classList.toggle("dr-best", i === first);
      bar.style.width = p ? `${100 * p[i]}%` : "0";
      number.textContent = p ? chance(p[i], 3, "<", ">") : "–";
    });
  }
  return { root, show };
}
