// Watch it learn: the recorded moments of several trainings. Every array is flat; its first axes are rate and moment.

const PARTS = 65534; // a probability of 1; Python holds the same number
const FIRST = 4; // numbers of a moment before its gradient norms: two losses, accuracy, change of the filters
const PACE = 150, CALM = 600; // milliseconds a moment while playing; CALM where reduced motion is preferred

/** The numbers of a binary trait, in whichever form the host hands it over; a copy is aligned. */
export function unpack(data, Type) {
  const bytes = ArrayBuffer.isView(data) ? new Uint8Array(data.buffer, data.byteOffset, data.byteLength) : new Uint8Array(data);
  return new Type(bytes.slice().buffer);
}

/** A number to read: 0.52, 206, 4.1 × 10⁶. */
export function words(value) {
  if (!Number.isFinite(value)) return Number.isNaN(value) ? "NaN" : "infinite";
  const size = Math.abs(value);
  if (size >= 1e4 || (size && size < 1e-3)) {
    const [front, power] = value.toExponential(1).split("e");
    return `${front} × 10${[...String(Number(power))].map((c) => "⁰¹²³⁴⁵⁶⁷⁸⁹"[c] ?? "⁻").join("")}`;
  }
  if (!size) return "0";
  return size < 0.1 ? value.toPrecision(2) : value.toFixed(size < 100 ? 2 : 0);
}

/** A share in percent; "0 %" and "100 %" are exact. */
export function percent(share) {
  if (Number.isNaN(share)) return "NaN";
  if (share > 0 && share < 0.005) return "< 1 %";
  return share < 1 && share >= 0.995 ? "> 99 %" : `${Math.round(100 * share)} %`;
}

/** Place of the largest of some numbers, the first of equals; -1 where one is not a number. */
export function largestOf(values) {
  return values.indexOf(Math.max(...values)); // indexOf never finds NaN
}

/** A step on the axis, 0 to 1: logarithmic in 1 + step. */
export const place = (step, last) => Math.log1p(step) / Math.log1p(last);

/** The first of 1, 2, 5, 10, 20, … that 98 of 100 numbers do not exceed. */
export function roundScale(values) {
  const sorted = values.filter(Number.isFinite).sort((a, b) => a - b), most = sorted[Math.floor(0.98 * (sorted.length - 1))] || 1;
  const power = 10 ** Math.floor(Math.log10(most));
  return [1, 2, 5, 10].find((n) => n * power >= most) * power;
}

/** One pixel of the canvas for each value. */
function paint(canvas, values, colour) {
  const n = Math.sqrt(values.length), context = canvas.getContext("2d");
  if (canvas.width !== n) canvas.width = canvas.height = n;
  values.forEach((value, i) => {
    context.fillStyle = colour(value, i);
    context.fillRect(i % n, Math.floor(i / n), 1, 1);
  });
}

function render({ model, el: host }) {
  const { steps, rates, layers, labels, classes, diverged, conv, filters: inAll } = model.get("_about");
  const end = steps.length - 1, last = steps[end], moments = rates.length * steps.length, width = FIRST + layers.length, top = 2 * Math.log(classes.length);
  const numbers = Array.from(unpack(model.get("_numbers"), Float32Array));
  const whole = unpack(model.get("_filters"), Int8Array), scales = unpack(model.get("_scales"), Float32Array);
  const chances = unpack(model.get("_probabilities"), Uint16Array), images = unpack(model.get("_images"), Uint8Array);
  const count = scales.length / moments, area = whole.length / scales.length, pixels = images.length / labels.length;
  const of = (moment, i) => numbers[moment * width + i];
  const norms = (moment) => numbers.slice(moment * width + FIRST, (moment + 1) * width);
  // One scale for all bars: that of the runs that did not diverge, if there are any.
  const calm = diverged.includes(null), full = roundScale(rates.flatMap((_, r) => (calm && diverged[r] !== null ? [] :
    steps.flatMap((_, t) => norms(r * steps.length + t)))));
  let timer = null, held = null;

  const now = () => steps.indexOf(model.get("step"));
  const set = (changes) => { // the model's answer to this draws
    for (const name in changes) model.set(name, changes[name]);
    if (timer === null) model.save_changes(); // while it plays, the kernel is not told
  };
  const go = (changes) => { stop(); set(changes); };

  function play() {
    if (timer !== null) { stop(); return; }
    timer = setInterval(() => {
      set({ step: steps[Math.min(now() + 1, end)] });
      if (now() === end) stop();
    }, matchMedia("(prefers-reduced-motion: reduce)").matches ? CALM : PACE);
    status.setAttribute("aria-live", "off"); // announced once it stops, not at every moment
    if (now() === end) set({ step: steps[0] });
    draw();
  }
  function stop() {
    if (timer === null) return;
    clearInterval(timer);
    timer = null;
    status.setAttribute("aria-live", "polite");
    draw();
    model.save_changes();
  }

  const slider = (name, values, onchoice) => {
    const value = el("b", {}), input = el("input", { type: "range", min: 0, max: values.length - 1, step: 1, "aria-label": name,
      oninput: () => onchoice(Number(input.value)) });
    const show = (i, text) => {
      input.value = i;
      input.setAttribute("aria-valuetext", value.textContent = text);
    };
    return { show, root: el("label", { class: "cx-field le-slider" }, el("span", {}, `${name}: `, value), input) };
  };
  const playing = el("button", { type: "button", class: "le-play", onclick: play });
  const stepper = slider("Step", steps, (t) => go({ step: steps[t] })), rate = slider("Learning rate", rates, (r) => set({ rate: rates[r] }));
  const status = el("p", { class: "cx-status", "aria-live": "polite" });

  // SVG is stretched to the width of the picture; what must keep its form is HTML.
  const line = (kind) => svg("polyline", { class: kind });
  const lines = ["le-train le-all-steps", "le-valid le-all-steps", "le-train", "le-valid"].map(line);
  const at = (name, x, y, ...children) => el("span", { class: name, style: `left:${100 * x}%;top:${100 * y}%` }, ...children);
  const dots = ["le-train", "le-valid"].map((name) => el("i", { class: `le-dot ${name}` })), cursor = el("i", { class: "le-cursor" });
  const lost = el("i", { class: "le-lost" }, el("span", {}, "diverged"));
  const marks = [0]; // 1, 2, 5, 10, 20, … where there is room
  for (const step of [0, 1, 2, 3, 4, 5].flatMap((power) => [1, 2, 5].map((n) => n * 10 ** power))) {
    if (place(step, last) - place(marks.at(-1), last) > 0.075 && place(step, last) < 0.92) marks.push(step);
  }
  const heights = Array.from({ length: Math.ceil(top) }, (_, i) => i), up = (loss) => 1 - Math.min(loss, top) / top;
  const plot = el("div", { class: "le-plot", role: "img", onpointerdown: take, onpointermove: pull, onpointerup: drop, onlostpointercapture: drop },
    svg("svg", { viewBox: "0 0 1 1", preserveAspectRatio: "none" },
      svg("path", { d: heights.map((v) => `M0 ${up(v)}H1`).join("") }), svg("path", { class: "le-guess", d: "M0 .5H1" }), ...lines),
    at("le-chance", 1, 0.5, `guessing: ${words(top / 2)}`), lost, cursor, ...dots,
    ...heights.map((v) => at("le-high", 0, up(v), v)), ...[...marks, last].map((v) => at("le-wide", place(v, last), 1, v)));
  const losses = ["training", "validation"].map((name, i) => [name, el("b", {}), el("i", { class: `le-key le-${i ? "valid" : "train"}` })]);

  const pictures = Array.from({ length: count }, () => el("canvas", { role: "img" })), about = el("p", { class: "cx-title" });
  const bars = layers.map((name) => [name, el("span", {}), el("b", {})]);
  const digits = labels.map((label, d) => {
    const canvas = el("canvas", { role: "img", "aria-label": `an image of ${classes[label]}` }), read = el("span", {});
    const columns = classes.map((name, c) => el("span", { class: c === label ? "le-true" : "" }, el("i", {}), name.length === 1 ? name : ""));
    paint(canvas, images.subarray(d * pixels, (d + 1) * pixels), (v) => greyColour(v, 0, 255));
    return { label, read, columns, root: el("li", { class: "le-digit" }, canvas,
      el("div", { class: "le-columns", "aria-hidden": "true" }, ...columns), read) };
  });

  const part = (name, ...children) => el("div", { class: name }, ...children), title = (...texts) => el("p", { class: "cx-title" }, ...texts);
  const root = el("div", { class: "cx le", role: "group", "aria-label": "Watch it learn", "data-lm-suppress-shortcuts": "true" },
    el("div", { class: "cx-controls" }, playing, stepper.root, rate.root,
      el("button", { type: "button", onclick: () => go(model.get("_start")) }, "Reset")),
    status,
    part("le-all",
      part("le-loss", title("Loss: ", ...losses.flatMap(([name, value, key]) => [key, `${name} `, value, " "])), plot,
        part("le-axis", "step (logarithmic)")),
      part("le-side", title(count < inAll ? `${count} of ` : "", `${inAll} filters of ${conv}`), part("le-filters", ...pictures), about,
        title("Length of the gradient, by layer"), part("le-norms", ...bars.map(([name, bar, value]) =>
          part("", el("span", {}, name), el("span", { class: "le-track" }, bar), value)))),
      part("le-read", title("What it reads on images it does not train on"), el("ul", {}, ...digits.map((digit) => digit.root)))),
    part("le-small", "Training loss and gradient are those of the next batch. Filters are blue below 0, white at 0, orange above 0; " +
      "their change is the length of the difference from step 0 ÷ their length at step 0. " +
      `A full gradient bar is ${words(full)}; a pointed bar or dot is beyond its scale. Columns: probabilities, blue of the true class, ` +
      "red of a wrong answer."));

  let drawn = null; // the rate whose whole curves are drawn
  const curve = (r, i, until) => steps.slice(0, until + 1).flatMap((step, t) => {
    const loss = of(r * steps.length + t, i);
    return Number.isNaN(loss) ? [] : `${place(step, last).toFixed(4)},${up(loss).toFixed(4)}`;
  }).join(" ");

  function draw() {
    const t = now(), r = rates.indexOf(model.get("rate")), moment = r * steps.length + t, x = 100 * place(steps[t], last);
    stepper.show(t, `${steps[t]} of ${last}`);
    rate.show(r, rates[r]);
    playing.textContent = timer === null ? "▶ Play" : "❚❚ Pause";

    if (drawn !== r) {
      const ends = [0, 1].map((i) => [r * steps.length, r * steps.length + end].map((m) => words(of(m, i))).join(" to "));
      for (const i of [0, 1]) lines[i].setAttribute("points", curve(r, i, end));
      plot.setAttribute("aria-label", `Loss by step, learning rate ${rates[r]}: training from ${ends[0]}, validation from ${ends[1]}.`);
      lost.hidden = diverged[r] === null;
      lost.style.left = `${100 * place(diverged[r] ?? last, last)}%`;
      drawn = r;
    }
    cursor.style.left = `${x}%`;
    [0, 1].forEach((i) => {
      const loss = of(moment, i);
      lines[2 + i].setAttribute("points", curve(r, i, t));
      dots[i].hidden = Number.isNaN(loss);
      dots[i].classList.toggle("le-over", loss > top);
      dots[i].style.cssText = `left:${x}%;top:${100 * up(loss)}%`;
      losses[i][1].textContent = words(loss);
    });

    const own = scales.subarray(moment * count, (moment + 1) * count), sound = [...own].filter((s) => !Number.isNaN(s));
    const largest = 127 * Math.max(0, ...sound);
    about.textContent = sound.length ? `full colour: ±${words(largest)}, change: ${words(of(moment, 3))}` : "their weights are not numbers any more";
    pictures.forEach((canvas, f) => {
      const from = (moment * count + f) * area, none = Number.isNaN(own[f]);
      paint(canvas, whole.subarray(from, from + area), (v, i) => (none ? ["#d0d7de", "#8b949e"][i % 2] : signedColour(v * own[f], largest)));
      canvas.setAttribute("aria-label", `filter ${f + 1}${none ? ", not numbers" : ""}`);
    });

    const lengths = norms(moment), steepest = largestOf(lengths);
    bars.forEach(([, bar, value], i) => {
      bar.style.width = `${100 * Math.min(1, (lengths[i] || 0) / full)}%`;
      bar.classList.toggle("le-over", lengths[i] > full);
      value.textContent = words(lengths[i]);
    });

    digits.forEach(({ label, read, columns }, d) => {
      const from = (moment * labels.length + d) * classes.length;
      const shares = Array.from(chances.subarray(from, from + classes.length), (v) => (v > PARTS ? NaN : v / PARTS)), answer = largestOf(shares);
      columns.forEach((column, c) => {
        column.firstChild.style.transform = `scaleY(${shares[c] || 0})`;
        column.classList.toggle("le-wrong", c === answer && c !== label);
      });
      const said = (c) => `${classes[c]}: ${percent(shares[c])}`;
      read.textContent = answer < 0 ? "✗ no answer (NaN)" : answer === label ? `✓ ${said(label)}` : `✗ ${said(answer)}, ${said(label)}`;
      read.classList.toggle("cx-error", answer !== label);
    });

    const loss = words(of(moment, 0)).replace("NaN", "not a number (NaN)"), since = diverged[r] !== null && steps[t] >= diverged[r];
    const steep = steepest < 0 ? "gradient not a number" : lengths[steepest] ? `largest gradient in ${layers[steepest]}` : "every gradient 0";
    status.textContent = `Step ${steps[t]} of ${last}, learning rate ${rates[r]}: training loss ${loss}, ` +
      `validation accuracy ${percent(of(moment, 2))}, ${steep}.${since ? ` Diverged at step ${diverged[r]}: no further step repairs that.` : ""}`;
  }

  function pull(event) {
    if (event.pointerId !== held) return;
    const box = plot.getBoundingClientRect(), wanted = (event.clientX - box.left) / box.width;
    const far = (step) => Math.abs(place(step, last) - wanted);
    go({ step: steps.reduce((best, step) => (far(step) < far(best) ? step : best)) });
  }
  function take(event) {
    if (held !== null || event.button > 0) return;
    held = event.pointerId;
    plot.setPointerCapture(held);
    pull(event);
  }
  function drop(event) {
    if (event.pointerId === held) held = null;
  }

  host.append(root);
  draw();
  for (const name of ["step", "rate"]) model.on(`change:${name}`, draw);
  return () => {
    clearInterval(timer);
    for (const name of ["step", "rate"]) model.off(`change:${name}`, draw);
    root.remove();
  };
}

export default { render };
