// Augment it: twelve results drawn from one picture. A picture is planar, red, green, blue, with values in 0…1.

const RESULTS = 12;
const GREY = [0.2989, 0.587, 0.114];
const FILLS = [["reflect", "mirrored"], ["zero", "black"], ["edge", "outermost pixels"]];
// Name, label, largest strength, step, how a strength is told.
const SLIDERS = [
  ["flip", "Flip", 1, 0.1, (v) => `${format(100 * v)} %`],
  ["crop", "Crop (move)", 16, 1, (v) => `± ${v} px`],
  ["rotate", "Rotate", 90, 5, (v) => `± ${v}°`],
  ["brightness", "Brightness", 1, 0.1, (v) => `± ${format(v)}`],
  ["contrast", "Contrast", 1, 0.1, (v) => `± ${format(v)}`],
  ["saturation", "Saturation", 1, 0.1, (v) => `± ${format(v)}`],
  ["erase", "Erase", 0.5, 0.05, (v) => `${format(100 * v)} % of area`],
  ["mixup", "Mixup", 2, 0.1, (v) => (v ? `α = ${format(v)}` : "off")],
  ["cutmix", "Cutmix", 2, 0.1, (v) => (v ? `α = ${format(v)}` : "off")],
];

// What is done, with given parameters; none of these changes its input.

/** A picture whose pixel i is the old pixel places[i], in all three channels; black where that is negative. */
function taken(image, places) {
  const n = places.length, out = new Float64Array(3 * n);
  for (let c = 0; c < 3; c += 1) for (let i = 0; i < n; i += 1) out[c * n + i] = places[i] < 0 ? 0 : image[c * n + places[i]];
  return out;
}

/** The places of h·w pixels, row by row. */
function places(h, w, place) {
  const out = new Int32Array(h * w);
  for (let y = 0, i = 0; y < h; y += 1) for (let x = 0; x < w; x += 1, i += 1) out[i] = place(y, x);
  return out;
}

export function flipped(image, h, w) {
  return taken(image, places(h, w, (y, x) => y * w + w - 1 - x));
}

/** Move by whole pixels. "reflect" does not repeat the outermost pixels, as F.pad does not. */
export function moved(image, h, w, down, right, fill) {
  const place = (i, n) => {
    if (i >= 0 && i < n) return i;
    if (fill === "zero") return -1;
    if (fill === "edge") return Math.max(0, Math.min(n - 1, i));
    return i < 0 ? -i : 2 * (n - 1) - i;
  };
  return taken(image, places(h, w, (y, x) => {
    const from = place(y - down, h), at = place(x - right, w);
    return from < 0 || at < 0 ? -1 : from * w + at;
  }));
}

/** Turn about the centre, counter-clockwise, bilinear. "reflect" repeats the outermost pixels, as F.grid_sample does. */
export function rotated(image, h, w, degrees, fill) {
  const cosine = Math.cos((degrees * Math.PI) / 180), sine = Math.sin((degrees * Math.PI) / 180);
  const place = (v, n) => {
    if (fill === "zero" || (v >= 0 && v <= n - 1)) return v;
    if (fill === "reflect") {
      const far = Math.abs(v + 0.5), rest = far % n;
      v = (Math.floor(far / n) % 2 ? n - rest : rest) - 0.5;
    }
    return Math.max(0, Math.min(n - 1, v));
  };
  const n = h * w, out = new Float64Array(3 * n);
  for (let y = 0; y < h; y += 1) {
    for (let x = 0; x < w; x += 1) {
      const right = x + 0.5 - w / 2, down = y + 0.5 - h / 2;
      const u = place(cosine * right - sine * down + w / 2 - 0.5, w), v = place(sine * right + cosine * down + h / 2 - 0.5, h);
      const left = Math.floor(u), top = Math.floor(v), a = u - left, b = v - top;
      const from = top * w + left, to = y * w + x;
      if (top >= 0 && left >= 0 && top < h - 1 && left < w - 1) { // the usual case, written out since it takes the time
        const p = (1 - a) * (1 - b), q = a * (1 - b), r = (1 - a) * b, s = a * b;
        for (let o = 0; o < 3 * n; o += n) {
          const i = o + from;
          out[o + to] = p * image[i] + q * image[i + 1] + r * image[i + w] + s * image[i + w + 1];
        }
        continue;
      }
      for (let k = 0; k < 4; k += 1) { // at the border, each of the four pixels around the point may be missing
        const i = top + (k >> 1), j = left + (k & 1), share = (k & 1 ? a : 1 - a) * (k >> 1 ? b : 1 - b);
        if (share === 0 || i < 0 || i >= h || j < 0 || j >= w) continue;
        for (let c = 0; c < 3; c += 1) out[c * n + to] += share * image[c * n + i * w + j];
      }
    }
  }
  return out;
}

const clamp = (v) => Math.max(0, Math.min(1, v));
const greyAt = (image, i, n) => GREY[0] * image[i] + GREY[1] * image[n + i] + GREY[2] * image[2 * n + i];

export function brightened(image, factor) {
  return image.map((v) => clamp(v * factor));
}

export function contrasted(image, factor) {
  const n = image.length / 3;
  let mean = 0;
  for (let i = 0; i < n; i += 1) mean += greyAt(image, i, n) / n;
  return image.map((v) => clamp(mean + factor * (v - mean)));
}

export function saturated(image, factor) {
  const n = image.length / 3, out = image.slice();
  for (let i = 0; i < n; i += 1) {
    const grey = greyAt(image, i, n);
    for (let c = 0; c < 3; c += 1) out[c * n + i] = clamp(grey + factor * (image[c * n + i] - grey));
  }
  return out;
}

/** A copy with other values, f(i), inside a box [top, left, height, width]; and how many pixels lie inside. */
function replaced(image, h, w, [top, left, height, width], f) {
  const n = h * w, out = image.slice();
  let count = 0;
  for (let y = Math.max(0, top); y < Math.min(h, top + height); y += 1) {
    for (let x = Math.max(0, left); x < Math.min(w, left + width); x += 1, count += 1) {
      for (let i = y * w + x; i < 3 * n; i += n) out[i] = f(i);
    }
  }
  return [out, count];
}

/** Write 0.5 into a box. */
export function erased(image, h, w, box) {
  return replaced(image, h, w, box, () => 0.5)[0];
}

export function mixed(image, other, stays) {
  return image.map((v, i) => stays * v + (1 - stays) * other[i]);
}

/** Paste a box of another picture, which may reach over the border: the result, and the share of pixels pasted. */
export function pasted(image, other, h, w, box) {
  const [out, count] = replaced(image, h, w, box, (i) => other[i]);
  return [out, count / (h * w)];
}

// What is drawn.

/** Numbers in [0, 1) that follow from a seed (mulberry32). */
export function generator(seed) {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let t = Math.imul(state ^ (state >>> 15), state | 1);
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61);
    return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32;
  };
}

/** A number from Beta(alpha, alpha), by Jöhnk's method. */
function beta(random, alpha) {
  for (;;) {
    const a = random() ** (1 / alpha), b = random() ** (1 / alpha);
    if (a + b > 0 && a + b <= 1) return a / (a + b);
  }
}

/** Many numbers from Beta(alpha, alpha), for the tests. */
export const betas = (seed, alpha, count) => {
  const random = generator(seed);
  return Array.from({ length: count }, () => beta(random, alpha));
};

/** The parameters of result `number`. Each has numbers of its own, so one slider leaves the others' draws alone. */
export function parameters(strengths, seed, number, h, w) {
  const dice = (which) => {
    const random = generator(seed * 10007 + number * 101 + which);
    random(); // the first numbers of neighbouring seeds are less different
    return random;
  };
  const around = (which, most) => (2 * dice(which)() - 1) * most;
  const whole = (random, n) => Math.floor(random() * n);
  const s = strengths, move = dice(2), box = dice(7), paste = dice(9);
  const ratio = Math.exp((2 * box() - 1) * Math.log(3.3));
  const height = Math.max(1, Math.min(h, Math.round(Math.sqrt(s.erase * h * w * ratio))));
  const width = Math.max(1, Math.min(w, Math.round(Math.sqrt((s.erase * h * w) / ratio))));
  const side = s.cutmix ? Math.sqrt(1 - beta(paste, s.cutmix)) : 0;
  const high = Math.floor(side * h), wide = Math.floor(side * w);
  return {
    flip: dice(1)() < s.flip,
    down: whole(move, 2 * s.crop + 1) - s.crop,
    right: whole(move, 2 * s.crop + 1) - s.crop,
    degrees: around(3, s.rotate),
    brightness: 1 + around(4, s.brightness),
    contrast: 1 + around(5, s.contrast),
    saturation: 1 + around(6, s.saturation),
    erase: s.erase ? [whole(box, h - height + 1), whole(box, w - width + 1), height, width] : null,
    stays: s.mixup ? beta(dice(8), s.mixup) : 1,
    paste: s.cutmix ? [whole(paste, h) - (high >> 1), whole(paste, w) - (wide >> 1), high, wide] : null,
    partners: [dice(10)(), dice(11)()],
  };
}

/** All that does not mix, in the order of the sliders. */
export function changed(image, h, w, p, fill) {
  let out = image;
  if (p.flip) out = flipped(out, h, w);
  if (p.down || p.right) out = moved(out, h, w, p.down, p.right, fill);
  if (p.degrees) out = rotated(out, h, w, p.degrees, fill);
  if (p.brightness !== 1) out = brightened(out, p.brightness);
  if (p.contrast !== 1) out = contrasted(out, p.contrast);
  if (p.saturation !== 1) out = saturated(out, p.saturation);
  return p.erase ? erased(out, h, w, p.erase) : out;
}

/** Result `number` of picture `which`: its pixels, what was drawn, and the share of each picture in its label. */
export function result(images, h, w, which, strengths, fill, seed, number) {
  const p = parameters(strengths, seed, number, h, w), shares = images.map((_, i) => Number(i === which));
  const partner = (i) => { // another picture, with changes of its own
    const other = (which + 1 + Math.floor(p.partners[i] * (images.length - 1))) % images.length;
    return [other, changed(images[other], h, w, parameters(strengths, seed, 1000 + 2 * number + i, h, w), fill)];
  };
  const share = (other, part) => {
    shares.forEach((v, i) => { shares[i] = v * (1 - part); });
    shares[other] += part;
  };
  let pixels = changed(images[which], h, w, p, fill);
  if (p.stays < 1) {
    const [other, image] = partner(0);
    pixels = mixed(pixels, image, p.stays);
    share(other, 1 - p.stays);
  }
  if (p.paste) {
    const [other, image] = partner(1);
    let part;
    [pixels, part] = pasted(pixels, image, h, w, p.paste);
    share(other, part);
  }
  return { pixels, p, shares };
}

/** A label in words: the classes with their shares, the largest first. */
export function label(shares, names) {
  const parts = shares.map((v, i) => [v, names[i]]).filter(([v]) => v >= 0.005).sort((a, b) => b[0] - a[0]);
  return parts.length === 1 ? parts[0][1] : parts.map(([v, name]) => `${v.toFixed(2)} ${name}`).join(" + ");
}

/** What was done, in words. */
export function story(p, h, w) {
  const way = (n, more, less) => (n ? `${Math.abs(n)} ${n > 0 ? more : less}` : "");
  const factors = ["brightness", "contrast", "saturation"].filter((name) => p[name] !== 1).map((name) => `${name} × ${format(p[name])}`);
  const parts = [
    p.flip && "flipped",
    (p.down || p.right) && `moved ${[way(p.down, "down", "up"), way(p.right, "right", "left")].filter(Boolean).join(" and ")}`,
    p.degrees && `turned by ${format(p.degrees, 0)}°`,
    ...factors,
    p.erase && `${format((100 * p.erase[2] * p.erase[3]) / (h * w), 0)} % erased`,
    p.stays < 1 && "mixed with another picture",
    p.paste && "a rectangle of another picture pasted in",
  ].filter(Boolean);
  return parts.join(", ") || "unchanged";
}

function render({ model, el: host }) {
  const size = model.get("size"), n = size * size, names = model.get("names");
  const data = model.get("_pixels");
  const bytes = ArrayBuffer.isView(data) ? new Uint8Array(data.buffer, data.byteOffset, data.byteLength) : new Uint8Array(data);
  const images = names.map((_, i) => Float64Array.from(bytes.subarray(3 * n * i, 3 * n * (i + 1)), (v) => v / 255));
  let chosen = 0, results = [];

  const set = (changes) => {
    for (const name in changes) model.set(name, changes[name]);
    model.save_changes();
    draw();
  };
  const canvas = () => el("canvas", { width: size, height: size, "aria-hidden": "true" });
  const paint = (target, pixels) => {
    const context = target.getContext("2d"), image = context.createImageData(size, size);
    for (let i = 0; i < n; i += 1) {
      for (let c = 0; c < 3; c += 1) image.data[4 * i + c] = Math.round(255 * pixels[c * n + i]);
      image.data[4 * i + 3] = 255;
    }
    context.putImageData(image, 0, 0);
  };

  const picture = select("Picture", names.map((name, i) => [i, name]), null, (v) => set({ picture: Number(v) }));
  const border = select("Border", FILLS, null, (v) => set({ fill: v }));
  const sliders = SLIDERS.map(([name, text, high, step, tell]) => {
    const value = el("b", {}), range = el("input", { type: "range", min: 0, max: high, step, "aria-label": text,
      oninput: () => set({ strengths: { ...model.get("strengths"), [name]: Number(range.value) } }) });
    return { name, range, value, tell, root: el("label", { class: "cx-field" }, el("span", {}, `${text}: `, value), range) };
  });
  const original = canvas();
  const tiles = Array.from({ length: RESULTS }, (_, i) => {
    const target = canvas(), caption = el("span", {});
    const node = el("button", { type: "button", onclick: () => choose(i) }, target, caption);
    return { node, target, caption };
  });
  const grid = el("div", { class: "aug-grid", role: "group", "aria-label": "Twelve results; arrow keys move", onkeydown: (event) => {
    const columns = getComputedStyle(grid).gridTemplateColumns.split(" ").length;
    const steps = { ArrowRight: 1, ArrowLeft: -1, ArrowDown: columns, ArrowUp: -columns, Home: -RESULTS, End: RESULTS };
    if (!(event.key in steps)) return;
    event.preventDefault();
    choose(Math.max(0, Math.min(RESULTS - 1, chosen + steps[event.key])));
    tiles[chosen].node.focus();
  } }, ...tiles.map((tile) => tile.node));
  const status = el("p", { class: "cx-status", role: "status" });
  const again = el("button", { type: "button", onclick: () => set({ seed: model.get("seed") + 1 }) }, "Draw again");
  const reset = el("button", { type: "button", onclick: () => { chosen = 0; set(structuredClone(model.get("_start"))); } }, "Reset");
  host.append(el("div", { class: "cx aug" },
    el("div", { class: "cx-controls" }, original, picture.root, border.root, again, reset),
    el("div", { class: "aug-sliders" }, ...sliders.map((s) => s.root)), grid, status));

  function choose(i) {
    chosen = i;
    tell();
  }

  function tell() {
    tiles.forEach(({ node }, i) => {
      node.tabIndex = i === chosen ? 0 : -1;
      node.setAttribute("aria-pressed", String(i === chosen));
    });
    const { p, shares } = results[chosen];
    status.textContent = `Result ${chosen + 1}: ${story(p, size, size)}. Label: ${label(shares, names)}.`;
  }

  function draw() {
    const which = model.get("picture"), strengths = model.get("strengths");
    picture.node.value = which;
    border.node.value = model.get("fill");
    paint(original, images[which]);
    for (const { name, range, value, tell: words } of sliders) {
      range.value = strengths[name];
      value.textContent = words(strengths[name]);
      range.setAttribute("aria-valuetext", value.textContent);
    }
    results = tiles.map(({ node, target, caption }, i) => {
      const made = result(images, size, size, which, strengths, model.get("fill"), model.get("seed"), i);
      paint(target, made.pixels);
      caption.textContent = label(made.shares, names);
      node.setAttribute("aria-label", `Result ${i + 1}: ${caption.textContent}`);
      return made;
    });
    tell();
  }

  const watched = ["strengths", "picture", "seed", "fill"];
  for (const name of watched) model.on(`change:${name}`, draw);
  draw();
  return () => { for (const name of watched) model.off(`change:${name}`, draw); };
}

export default { render };
