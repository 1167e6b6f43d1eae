// Sliders over stored states: choose one value for each name, see its picture and its sentence.

/** Place of a state among all of them, in the order of Python's itertools.product. */
export function stateIndex(chosen, sizes) {
  return chosen.reduce((index, value, i) => index * sizes[i] + value, 0);
}

function render({ model, el: root }) {
  const names = model.get("names");
  const choices = model.get("choices");
  const sizes = choices.map((values) => values.length);
  let chosen = [...model.get("start")];

  const picture = el("img", { class: "cx-picture" });
  const status = el("p", { class: "cx-status", "aria-live": "polite" });
  const show = () => {
    const index = stateIndex(chosen, sizes);
    const source = model.get("pictures")[index];
    picture.hidden = !source;
    if (source) picture.src = source;
    picture.alt = status.textContent = model.get("texts")[index];
    sliders.forEach(({ input, output }, i) => {
      input.value = chosen[i];
      output.textContent = choices[i][chosen[i]];
      input.setAttribute("aria-valuetext", choices[i][chosen[i]]);
    });
  };
  const sliders = names.map((name, i) => {
    // A span: an <output> would be announced a second time, beside the sentence.
    const output = el("span", { class: "cx-value" });
    const input = el("input", {
      type: "range", min: 0, max: sizes[i] - 1, step: 1, "aria-label": name,
      oninput: (event) => { chosen[i] = Number(event.target.value); show(); },
    });
    return { input, output, root: el("label", { class: "cx-field cx-slider" }, el("span", {}, `${name}: `, output), input) };
  });
  const reset = el("button", { type: "button", onclick: () => { chosen = [...model.get("start")]; show(); } }, "Reset");
  root.append(el("div", { class: "cx" },
    el("div", { class: "cx-controls" }, ...sliders.map((s) => s.root), reset), picture, status));
  show();
}

export default { render };
