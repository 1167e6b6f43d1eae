// The feature-map browser: every map that the layers of a network gave for one image; its units, and the pixels they see.

const SCALES = [["layer", "one for the layer"], ["map", "each map its own"]];
const ARROWS = { ArrowLeft: [0, -1], ArrowRight: [0, 1], ArrowUp: [-1, 0], ArrowDown: [1, 0] };
const GAP = 4, LEAST = 34, MOST = 72; // pixels: between the small maps; their smallest and their largest side

const clamp = (value, low, high) => Math.max(low, Math.min(high, value));
const many = (n, word) => `${n.toLocaleString("en")} ${word}${n === 1 ? "" : "s"}`;

/** The number behind a stored byte, in units of the largest absolute value of its map: from −1 or from 0 to 1. */
export function shareOf(byte, signed) {
  return signed ? (byte - 128) / 127 : byte / 255;
}

/** The pixels that unit `i` sees along an axis of `size` pixels: first and last of the image, and how many are padding. */
export function fieldOf({ field, jump, offset }, i, size) {
  const start = i * jump - offset, first = Math.max(0, start), last = Math.min(size - 1, start + field - 1);
  return { first, last, padding: field - Math.max(0, last - first + 1) };
}

/** The unit among `count` in the middle of whose field the pixel lies, or nearly. */
export function unitAt({ field, jump, offset }, pixel, count) {
  return clamp(Math.round((pixel + offset - (field - 1) / 2) / jump), 0, count - 1);
}

/** Where the same place of the image is in another layer. */
export function moved(layers, [from, channel, row, column], to) {
  const old = layers[from], next = layers[to], middle = (i) => i * old.jump - old.offset + (old.field - 1) / 2;
  return [to, Math.min(channel, next.channels - 1), unitAt(next, middle(row), next.height), unitAt(next, middle(column), next.width)];
}

/** A value in words: so many digits, a true minus sign. */
const say = (value, digits = 3) => (value === 0 ? "0" : format(value, clamp(digits - 1 - Math.floor(Math.log10(Math.abs(value))), 0, 12)));

/** The chosen unit in words; `value` is what it gave. */
export function describe(layers, [l, c, row, column], value, [height, width]) {
  const layer = layers[l], all = layer.height * layer.width;
  const axis = (name, { first, last, padding }) => `${name}${last > first ? `s ${first} to ${last}` : ` ${first}`}` +
    (padding ? ` (and ${padding} of padding)` : "");
  const rows = fieldOf(layer, row, height), columns = fieldOf(layer, column, width);
  return `Layer ${l + 1} of ${layers.length}, ${layer.name} (${layer.kind}): ${many(layer.channels, "map")} of ${layer.height} × ${layer.width}. ` +
    `Map ${c}: ${layer.zeros[c].toLocaleString("en")} of ${many(all, "value")} ${layer.zeros[c] === 1 ? "is" : "are"} 0, ` +
    `the largest ${layer.signed ? "in size " : ""}is ${say(layer.largest[c])}. ` +
    `Unit (${row}, ${column}) is about ${say(value, 2)}; it sees ${layer.field} × ${layer.field} pixels: ${axis("row", rows)}, ${axis("column", columns)}.`;
}

/** The colours from −1 to 1, black below 0 where nothing is signed, each as the four bytes of a pixel. */
function palette(signed) {
  const colour = (i) => (signed ? signedColour(i, 255) : greyColour(i, 0, 255)).match(/\d+/g);
  return new Uint32Array(Uint8Array.from(Array.from({ length: 511 }, (_, i) => [...colour(i - 255), 255]).flat()).buffer);
}
const PALETTES = { true: palette(true), false: palette(false) };

function render({ model, el: host }) {
  const layers = model.get("_layers"), size = model.get("_size");
  const bytes = (name) => { const data = model.get(name); return new Uint8Array(data.buffer ?? data, data.byteOffset ?? 0, data.byteLength); };
  const maps = bytes("_maps"), pixels = bytes("_picture");
  let from = 0;
  const starts = layers.map(({ channels, height, width }) => { const start = from; from += channels * height * width; return start; });
  const most = layers.map(({ largest }) => Math.max(...largest));
  let tiles = { columns: 1, side: LEAST }; // how the small maps lie
  let drawn = ""; // of which layer and scale

  const set = (changes) => {
    for (const name in changes) model.set(name, changes[name]); // the model's answer to this draws
    model.save_changes();
  };
  const at = () => model.get("place");
  const choose = (place) => { if (place.some((v, i) => v !== at()[i])) set({ place }); };
  const toLayer = (to) => choose(moved(layers, at(), clamp(to, 0, layers.length - 1)));
  const toChannel = (to) => { const [l, , ...unit] = at(); choose([l, clamp(to, 0, layers[l].channels - 1), ...unit]); };
  const toUnit = (row, column) => {
    const [l, c] = at(), { height, width } = layers[l];
    choose([l, c, clamp(row, 0, height - 1), clamp(column, 0, width - 1)]);
  };

  /** A menu between a button back and a button on. */
  function walk(label, to) {
    const { root: field, node } = select(label, [], null, (v) => to(Number(v)));
    const step = (sign, word, by) => el("button", { type: "button", "aria-label": `${word} ${label.toLowerCase()}`,
      onclick: () => to(Number(node.value) + by) }, sign);
    const back = step("‹", "previous", -1), on = step("›", "next", 1);
    return { root: el("div", { class: "fm-walk" }, back, field, on), node, set: (value) => {
      node.value = value;
      back.disabled = value === 0;
      on.disabled = value === node.options.length - 1;
    } };
  }
  const layerMenu = walk("Layer", toLayer), channelMenu = walk("Channel", toChannel);
  layerMenu.node.append(...layers.map(({ name, kind }, i) => el("option", { value: i }, `${name}: ${kind}`)));
  const scale = select("Scale of the colours", SCALES, null, (value) => set({ scale: value }));
  const reset = el("button", { type: "button", onclick: () => set(structuredClone(model.get("_start"))) }, "Reset");
  const status = el("p", { class: "cx-status", role: "status", "aria-live": "polite" });
  const legend = el("p", { class: "fm-small" });
  const canvas = () => el("canvas", { "aria-hidden": "true" }), frame = (name) => el("div", { class: `fm-frame ${name}` });
  const stage = (name, label, onkeydown, ...children) => el("div", { class: `fm-stage ${name}`, tabindex: onkeydown ? 0 : null,
    role: onkeydown ? "application" : "img", "aria-label": label, onkeydown }, ...children);
  const picture = canvas(), large = canvas(), small = canvas();
  const field = frame("fm-field"), unit = frame("fm-unit"), tile = frame("fm-tile");
  const image = stage("fm-image", "The image; the frame is what the chosen unit sees", null, picture, field);
  const map = stage("fm-map", "The chosen map: the arrow keys choose a unit", keys((row, column) => {
    const [, , r, c] = at();
    toUnit(r + row, c + column);
  }), large, unit);
  const all = stage("fm-all", "All maps of the layer: left and right choose a channel, up and down a layer", keys((down, right) => {
    if (down) toLayer(at()[0] + down);
    else toChannel(at()[1] + right);
  }), small, tile);
  const [mapTitle, allTitle] = [0, 1].map(() => el("p", { class: "cx-title" }));
  const root = el("div", { class: "cx fm", role: "group", "aria-label": "Feature-map browser", "data-lm-suppress-shortcuts": "true" },
    el("div", { class: "cx-controls" }, layerMenu.root, channelMenu.root, scale.root, reset),
    el("div", { class: "fm-both" },
      el("div", { class: "fm-pair" }, el("div", {}, el("p", { class: "cx-title" }, "image"), image), el("div", {}, mapTitle, map)),
      el("div", { class: "fm-rest" }, allTitle, all), el("div", { class: "fm-said" }, status, legend)));

  function keys(step) {
    return (event) => {
      const way = ARROWS[event.key];
      if (!way || event.ctrlKey || event.metaKey || event.altKey) return;
      event.preventDefault(); // the page must not scroll, nor the notebook go to another cell
      event.stopPropagation();
      step(...way);
    };
  }

  /** The value of a unit of a map. */
  const valueAt = (l, c, i) => {
    const { height, width, signed, largest } = layers[l];
    return shareOf(maps[starts[l] + c * height * width + i], signed) * largest[c];
  };

  /** Draw a map into a context, one pixel for each unit. */
  function paint(context, l, c) {
    const { height, width, signed, largest } = layers[l], data = context.createImageData(width, height), colours = PALETTES[signed];
    const own = model.get("scale") === "map", factor = own ? (largest[c] ? 255 : 0) : most[l] ? 255 * largest[c] / most[l] : 0;
    const first = starts[l] + c * height * width, units = new Uint32Array(data.data.buffer);
    for (let i = 0; i < units.length; i += 1) units[i] = colours[255 + Math.round(factor * shareOf(maps[first + i], signed))];
    context.putImageData(data, 0, 0);
  }

  const lay = (node, left, top, width, height) => Object.assign(node.style, // in percent of what it lies on
    Object.fromEntries(Object.entries({ left, top, width, height }).map(([name, share]) => [name, `${100 * share}%`])));

  /** All maps of the layer side by side, drawn again when they change. */
  function drawSmall(l, again) {
    const { channels, height, width } = layers[l], room = Math.max(LEAST, all.clientWidth);
    const fits = Math.max(1, Math.floor((room + GAP) / (LEAST + GAP)));
    // As large as lets all of them stand in about six rows.
    const columns = clamp(Math.ceil(channels / 6), Math.min(fits, Math.ceil((room + GAP) / (MOST + GAP))), fits);
    const side = (room + GAP) / columns - GAP, tall = side * height / width, rows = Math.ceil(channels / columns);
    const state = [l, model.get("scale"), columns, side].join();
    tiles = { columns, side, tall, rows };
    if (!again && state === drawn) return;
    drawn = state;
    const ratio = Math.min(2, globalThis.devicePixelRatio || 1), one = document.createElement("canvas");
    Object.assign(one, { width, height });
    Object.assign(small, { width: Math.round(room * ratio), height: Math.round((rows * (tall + GAP) - GAP) * ratio) });
    const context = small.getContext("2d"), brush = one.getContext("2d");
    context.imageSmoothingEnabled = false;
    for (let c = 0; c < channels; c += 1) {
      paint(brush, l, c);
      context.drawImage(one, (c % columns) * (side + GAP) * ratio, Math.floor(c / columns) * (tall + GAP) * ratio, side * ratio, tall * ratio);
    }
  }

  function draw() {
    const [l, c, row, column] = at(), layer = layers[l], { height, width, channels } = layer, own = model.get("scale") === "map";
    if (channelMenu.node.options.length !== channels) {
      channelMenu.node.replaceChildren(...Array.from({ length: channels }, (_, i) => el("option", { value: i }, `${i}`)));
    }
    layerMenu.set(l);
    channelMenu.set(c);
    scale.node.value = model.get("scale");
    Object.assign(large, { width, height });
    paint(large.getContext("2d"), l, c);
    lay(unit, column / width, row / height, 1 / width, 1 / height);
    const rows = fieldOf(layer, row, size[0]), columns = fieldOf(layer, column, size[1]);
    lay(field, columns.first / size[1], rows.first / size[0], (columns.last - columns.first + 1) / size[1], (rows.last - rows.first + 1) / size[0]);
    drawSmall(l);
    const across = tiles.columns * (tiles.side + GAP) - GAP, down = tiles.rows * (tiles.tall + GAP) - GAP;
    lay(tile, (c % tiles.columns) * (tiles.side + GAP) / across, Math.floor(c / tiles.columns) * (tiles.tall + GAP) / down, tiles.side / across, tiles.tall / down);
    mapTitle.textContent = `map ${c}, ${height} × ${width}`;
    allTitle.textContent = channels > 1 ? `all ${channels} maps of ${layer.name}` : `the map of ${layer.name}`;
    const top = say(own ? layer.largest[c] : most[l]), whose = own ? "of the map itself, so two maps must not be compared" : "of the whole layer";
    legend.textContent = (layer.signed ? `Colours: blue −${top}, white 0, orange ${top}` : `Colours: black 0, white ${top}`) + `; the largest ${whose}. ` +
      "Tap a map, a unit or a pixel; with the keyboard: on all maps ← → change the channel, ↑ ↓ the layer; on the large map they move the unit.";
    status.textContent = describe(layers, at(), valueAt(l, c, row * width + column), size);
  }

  /** Choose by pointer, also while it is dragged; `take` gets shares of the width and height. */
  function pick(node, take) {
    const point = (event) => {
      const box = node.getBoundingClientRect();
      take((event.clientX - box.left) / box.width, (event.clientY - box.top) / box.height);
    };
    node.addEventListener("pointerdown", (event) => { if (event.button === 0) point(event); });
    node.addEventListener("pointermove", (event) => { if (event.buttons === 1) point(event); });
  }
  pick(large, (x, y) => toUnit(Math.floor(y * large.height), Math.floor(x * large.width)));
  pick(picture, (x, y) => {
    const layer = layers[at()[0]];
    toUnit(unitAt(layer, Math.floor(y * size[0]), layer.height), unitAt(layer, Math.floor(x * size[1]), layer.width));
  });
  pick(small, (x, y) => {
    const { columns, rows } = tiles, c = Math.min(rows - 1, Math.floor(y * rows)) * columns + Math.min(columns - 1, Math.floor(x * columns));
    if (x >= 0 && y >= 0 && c < layers[at()[0]].channels) toChannel(c);
  });

  Object.assign(picture, { width: size[1], height: size[0] });
  const context = picture.getContext("2d"), data = context.createImageData(size[1], size[0]);
  for (let i = 0; i < size[0] * size[1]; i += 1) data.data.set([...pixels.subarray(3 * i, 3 * i + 3), 255], 4 * i);
  context.putImageData(data, 0, 0);

  host.append(root);
  draw();
  for (const name of ["place", "scale"]) model.on(`change:${name}`, draw);
  let before = all.clientWidth;
  const observer = new ResizeObserver(() => { // in the next frame: what the callback resizes would be observed again
    if (all.clientWidth !== before) requestAnimationFrame(() => root.isConnected && draw());
    before = all.clientWidth;
  });
  observer.observe(root);
  return () => {
    observer.disconnect();
    for (const name of ["place", "scale"]) model.off(`change:${name}`, draw);
    root.remove();
  };
}

export default { render };
