// What the widgets share on the page: elements, controls, theme, the live sentence, copying.

/** An element with attributes, listeners ("on…") and children. Text is always text, never markup. */
export function make(tag, attributes = {}, ...children) {
  const svg = ["svg", "path", "line", "rect", "circle", "text", "g"].includes(tag);
  const node = svg
    ? document.createElementNS("http://www.w3.org/2000/svg", tag)
    : document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (name.startsWith("on")) node.addEventListener(name.slice(2), value);
    else if (value === true) node.setAttribute(name, "");
    else if (value !== false && value != null) node.setAttribute(name, value);
  }
  node.append(...children.filter((child) => child != null));
  return node;
}

let serial = 0;
export function fresh(word) {
  serial += 1;
  return `mlw-${word}-${serial}-${Math.random().toString(36).slice(2, 7)}`;
}

const SHORTCUTS = "data-lm-suppress-shortcuts",
  EDITING = "acvxyz"; // Lumino's attribute; select all, copy, paste, cut, redo, undo

/**
 * Keys pressed inside a node stay there: JupyterLab would move to the next cell at → and delete the cell at
 * d d. In the browser they do what they always do. The notebook still gets letters with Ctrl or ⌘ that do
 * not edit text: Ctrl+S saves.
 */
export function keepKeys(node) {
  node.setAttribute(SHORTCUTS, ""); // for a notebook that listens before the node does
  const keep = (event) => {
    const edits = EDITING.includes(event.key.toLowerCase()) && !event.shiftKey;
    const command = (event.ctrlKey || event.metaKey) && event.key.length === 1 && !edits;
    if (!command) {
      event.stopPropagation();
      return;
    }
    node.removeAttribute(SHORTCUTS); // until the notebook has seen this key
    setTimeout(() => node.setAttribute(SHORTCUTS, ""));
  };
  for (const kind of ["keydown", "keypress", "keyup"]) node.addEventListener(kind, keep);
}

/** The frame of a widget, with its style and the page's theme. Keys pressed in it stay in it. */
export function frame(el, css, label) {
  const root = make("section", { class: "mlw", "aria-label": label });
  keepKeys(root);
  el.append(make("style", {}, css), root);
  const dark = matchMedia("(prefers-color-scheme: dark)");
  const follow = () => {
    const page = document.documentElement,
      { theme, jpThemeLight, vscodeThemeKind } = document.body.dataset;
    const said = [
      page.dataset.theme,
      theme,
      page.getAttribute("theme"),
      vscodeThemeKind?.replace(/^vscode-/, ""),
      jpThemeLight && (jpThemeLight === "false" ? "dark" : "light"),
    ].find((word) => word === "dark" || word === "light");
    root.dataset.mode = said || (dark.matches ? "dark" : "light");
    root.dispatchEvent(new Event("mlw-theme"));
  };
  follow();
  dark.addEventListener("change", follow);
  const watch = new MutationObserver(follow);
  for (const node of [document.documentElement, document.body]) {
    watch.observe(node, {
      attributes: true,
      attributeFilter: ["data-theme", "theme", "data-vscode-theme-kind", "data-jp-theme-light"],
    });
  }
  root.forget = () => {
    watch.disconnect();
    dark.removeEventListener("change", follow);
  };
  return root;
}

/** Red, green and blue of a colour of the theme, such as "--own". */
export function colour(root, name) {
  return getComputedStyle(root)
    .getPropertyValue(name)
    .trim()
    .match(/[0-9a-f]{2}/gi)
    .map((v) => parseInt(v, 16));
}

/** A labelled slider; `show` writes its value. */
export function slider({ label, min, max, step, value, show, input, name }) {
  const id = fresh("slider");
  const said = make("output", { class: "mlw-value", for: id });
  const range = make("input", { type: "range", id, min, max, step, "data-name": name });
  const set = (next) => {
    range.value = next;
    said.textContent = show(next);
    range.setAttribute("aria-valuetext", show(next));
  };
  range.addEventListener("input", () => {
    const next = Number(range.value);
    set(next);
    input(next);
  });
  set(value);
  return {
    node: make("div", { class: "mlw-slider" }, make("label", { for: id }, label), said, range),
    set,
    range,
  };
}

export function button(text, click, attributes = {}) {
  return make("button", { type: "button", class: "mlw-button", onclick: click, ...attributes }, text);
}

/** A drop-down of words. */
export function choice({ label, options, value, change, name }) {
  const id = fresh("choice");
  const list = make("select", { id, "data-name": name, onchange: () => change(list.value) });
  options.forEach((option) => list.append(make("option", { value: option }, option)));
  list.value = value;
  return {
    node: make("div", { class: "mlw-choice" }, make("label", { for: id }, label), list),
    set: (v) => {
      list.value = v;
    },
  };
}

/** Radio buttons in a fieldset: options is a list of [value, words]. */
export function radios({ label, options, value, change, name }) {
  const group = fresh("group");
  const box = make("fieldset", { class: "mlw-radios", "data-name": name }, make("legend", {}, label));
  const inputs = options.map(([key, words]) => {
    const input = make("input", { type: "radio", name: group, value: key, onchange: () => change(key) });
    input.checked = key === value;
    box.append(make("label", {}, input, make("span", {}, words)));
    return input;
  });
  return {
    node: box,
    set: (key) =>
      inputs.forEach((input) => {
        input.checked = input.value === key;
      }),
  };
}

/** A sentence that screen readers hear when it has rested for a moment; `whisper` is heard and not seen. */
export function sentence() {
  const seen = make("p", { class: "mlw-sentence" });
  const heard = make("p", { class: "mlw-heard", "aria-live": "polite" });
  let timer;
  const whisper = (text) => {
    clearTimeout(timer);
    timer = setTimeout(() => {
      heard.textContent = text;
    }, 350);
  };
  const say = (text, quiet = false) => {
    // a page that opens stays quiet
    if (!quiet && seen.textContent && seen.textContent !== text) whisper(text);
    seen.textContent = text;
  };
  return { nodes: [seen, heard], say, whisper };
}

/** "Copy as Python": the call that makes what is in view. */
export function python(code) {
  const text = make("pre", { class: "mlw-code", tabindex: "0" });
  const note = make("span", { class: "mlw-note", role: "status" });
  const copy = button(
    "Copy as Python",
    async () => {
      text.textContent = code();
      let done = false;
      try {
        await navigator.clipboard.writeText(text.textContent);
        done = true;
      } catch {
        const area = make("textarea", { class: "mlw-heard" });
        area.value = text.textContent;
        copy.after(area);
        area.select();
        try {
          done = document.execCommand("copy");
        } catch {
          done = false;
        }
        area.remove();
      }
      details.open = true;
      note.textContent = done ? "Copied." : "Copying is not allowed here; the code stands below.";
    },
    { "data-name": "copy" },
  );
  const details = make("details", { class: "mlw-details" }, make("summary", {}, "The code"), text);
  const refresh = () => {
    text.textContent = code();
  };
  details.addEventListener("toggle", refresh);
  return {
    node: make("div", { class: "mlw-python" }, make("div", { class: "mlw-row" }, copy, note), details),
    refresh,
  };
}

/** A question to answer before playing. Each option explains itself; the widget is usable all the while. */
export function predict({ question, options }) {
  const answer = make("p", { class: "mlw-answer", role: "status" });
  const row = make("div", { class: "mlw-row" });
  options.forEach(([words, right, why]) =>
    row.append(
      button(
        words,
        (event) => {
          row.querySelectorAll("button").forEach((other) => other.setAttribute("aria-pressed", "false"));
          event.currentTarget.setAttribute("aria-pressed", "true");
          answer.textContent = `${right ? "✓ Yes." : "✗ No."} ${why()}`;
        },
        { "aria-pressed": "false" },
      ),
    ),
  );
  return make(
    "div",
    { class: "mlw-predict" },
    make("p", { class: "mlw-question" }, make("strong", {}, "Predict first. "), question),
    row,
    answer,
  );
}

/** The 8-bit channels of a picture in a data URL. */
export async function pixels(url) {
  const image = new Image();
  image.src = url;
  await image.decode();
  const canvas = make("canvas", { width: image.naturalWidth, height: image.naturalHeight });
  const context = canvas.getContext("2d", { willReadFrequently: true });
  context.drawImage(image, 0, 0);
  return {
    width: canvas.width,
    height: canvas.height,
    data: context.getImageData(0, 0, canvas.width, canvas.height).data,
  };
}

/** A word as a Python string. */
export function quoted(word) {
  return JSON.stringify(word);
}
