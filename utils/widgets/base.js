// What all explorers share. This file is put before each explorer's own module; it exports nothing.

/** Make an element: el("button", {class: "x", onclick: f}, "text", child). */
function el(tag, attributes = {}, ...children) {
  const node = document.createElement(tag);
  setAttributes(node, attributes);
  node.append(...children.filter((child) => child !== null && child !== undefined));
  return node;
}

/** The same for SVG. */
function svg(tag, attributes = {}, ...children) {
  const node = document.createElementNS("http://www.w3.org/2000/svg", tag);
  setAttributes(node, attributes);
  node.append(...children);
  return node;
}

function setAttributes(node, attributes) {
  for (const [name, value] of Object.entries(attributes)) {
    if (name.startsWith("on")) node.addEventListener(name.slice(2), value);
    else if (value === true) node.setAttribute(name, "");
    else if (value !== false && value !== null && value !== undefined) node.setAttribute(name, value);
  }
}

let explorerCount = 0;
/** An id that no other element of the page has, also when the explorer stands twice on it. */
function uniqueId(prefix) {
  explorerCount += 1;
  return `${prefix}-${explorerCount}-${Math.random().toString(36).slice(2, 8)}`;
}

/** A number as a reader wants it: at most `digits` decimals, a true minus sign, no trailing zeros. */
function format(value, digits = 2) {
  if (!Number.isFinite(value)) return String(value);
  const rounded = Number(value.toFixed(digits));
  return String(Object.is(rounded, -0) ? 0 : rounded).replace("-", "−");
}

/**
 * Colour of a signed value: blue below zero, orange above, near white at zero. Told apart by
 * colour-blind readers, and the same in both colour modes.
 */
function signedColour(value, largest) {
  const t = largest > 0 ? Math.max(-1, Math.min(1, value / largest)) : 0;
  const a = Math.abs(t) ** 0.8;
  const mix = (c) => Math.round(247 + (c - 247) * a);
  return `rgb(${(t < 0 ? [33, 102, 172] : [200, 90, 10]).map(mix).join()})`;
}

/** Grey of a value between `low` (black) and `high` (white). */
function greyColour(value, low, high) {
  const v = Math.round(255 * (high > low ? Math.max(0, Math.min(1, (value - low) / (high - low))) : 0.5));
  return `rgb(${v},${v},${v})`;
}

/** The ink, black or white, that is legible on "rgb(r,g,b)": a contrast of 4.5 at least. */
function inkOn(colour) {
  const [r, g, b] = colour.match(/\d+/g).map((c) => (c / 255) ** 2.2);
  return 0.2126 * r + 0.7152 * g + 0.0722 * b > 0.179 ? "#000" : "#fff";
}

/** A labelled <select>. `options` is a list of [value, text]. */
function select(label, options, value, onchange) {
  const node = el("select", { onchange: (event) => onchange(event.target.value) },
    ...options.map(([v, text]) => el("option", { value: v, selected: String(v) === String(value) }, text)));
  return { root: el("label", { class: "cx-field" }, el("span", {}, label), node), node };
}

/** A labelled − value + stepper for whole numbers between `low` and `high`. */
function stepper(label, low, high, value, onchange) {
  const output = el("output", {}, String(value));
  const set = (next) => {
    value = Math.max(low, Math.min(high, next));
    output.textContent = String(value);
    minus.disabled = value === low;
    plus.disabled = value === high;
  };
  const press = (step) => () => { set(value + step); onchange(value); };
  const minus = el("button", { type: "button", "aria-label": `${label}: less`, onclick: press(-1) }, "−");
  const plus = el("button", { type: "button", "aria-label": `${label}: more`, onclick: press(1) }, "+");
  set(value);
  const root = el("div", { class: "cx-field", role: "group", "aria-label": label },
    el("span", {}, label), el("span", { class: "cx-stepper" }, minus, output, plus));
  return { root, set };
}
