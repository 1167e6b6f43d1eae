// Mounts the book's explorers in a built page: no kernel, no require.js, no other host.
//
// myst-nb writes the state of a notebook's widgets into the page as JSON, and a small script tag at
// each place where one was shown. anywidget keeps a widget's module in its state (`_esm`), so all
// that is needed is a model with the methods that anywidget documents, and a call of `render`.
(() => {
  "use strict";
  const STATE = 'script[type="application/vnd.jupyter.widget-state+json"]';
  const VIEW = 'script[type="application/vnd.jupyter.widget-view+json"]';

  class Model {
    constructor({ state, buffers = [] }) {
      this.values = { ...state };
      this.listeners = new Map();
      for (const { path, data } of buffers) {
        const bytes = Uint8Array.from(atob(data), (c) => c.charCodeAt(0));
        const parent = path.slice(0, -1).reduce((at, key) => at[key], this.values);
        parent[path.at(-1)] = new DataView(bytes.buffer);
      }
    }
    get(name) { return this.values[name]; }
    set(name, value) {
      if (this.values[name] === value) return;
      this.values[name] = value;
      this.emit(`change:${name}`, value);
      this.emit("change", value);
    }
    on(event, callback) {
      if (!this.listeners.has(event)) this.listeners.set(event, new Set());
      this.listeners.get(event).add(callback);
    }
    off(event, callback) {
      if (callback) this.listeners.get(event)?.delete(callback);
      else this.listeners.delete(event);
    }
    emit(event, value) { for (const f of this.listeners.get(event) ?? []) f({ changed: value }); }
    save_changes() {} // there is no kernel to tell
    send() {}
  }

  const styles = new Set();
  function addStyle(text) {
    if (!text || styles.has(text)) return;
    styles.add(text);
    const style = document.createElement("style");
    style.textContent = text;
    document.head.append(style);
  }

  // One module for each distinct source, one model for each id: two views of a model stay in step.
  const modules = new Map();
  function load(source) {
    if (!modules.has(source)) {
      const url = URL.createObjectURL(new Blob([source], { type: "text/javascript" }));
      modules.set(source, import(url).then((m) => (typeof m.default === "function" ? m.default() : m.default)));
    }
    return modules.get(source);
  }

  async function start() {
    const entries = {};
    for (const tag of document.querySelectorAll(STATE)) Object.assign(entries, JSON.parse(tag.textContent).state);
    const models = new Map();
    for (const tag of document.querySelectorAll(VIEW)) {
      const id = JSON.parse(tag.textContent).model_id;
      const place = document.createElement("div");
      place.className = "explorer";
      tag.replaceWith(place);
      try {
        if (!entries[id]?.state._esm) throw new Error(`the page holds no module for the figure ${id}`);
        const fresh = !models.has(id);
        if (fresh) models.set(id, new Model(entries[id]));
        const model = models.get(id);
        addStyle(model.get("_css"));
        const widget = await load(model.get("_esm"));
        if (fresh) await widget.initialize?.({ model });
        await widget.render({ model, el: place });
        place.dataset.ready = "true";
      } catch (error) {
        place.textContent = `This interactive figure could not be shown: ${error.message}.`;
        console.error(error);
      }
    }
  }
  if (document.readyState === "loading") document.addEventListener("DOMContentLoaded", start);
  else start();
})();
