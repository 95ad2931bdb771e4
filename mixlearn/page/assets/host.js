// A stand-in for the notebook: runs a widget's module with no kernel. Python fills in the four capitals.
(async () => {
  const root = document.getElementById(ID),
    values = STATE,
    listeners = {};
  const model = {
    get: (key) => values[key],
    set(key, value) {
      if (values[key] === value) return;
      values[key] = value;
      for (const listener of listeners[`change:${key}`] || []) listener();
    },
    on(event, listener) {
      (listeners[event] ||= []).push(listener);
    },
    off(event, listener) {
      listeners[event] = (listeners[event] || []).filter((other) => other !== listener);
    },
    save_changes() {},
  };
  const url = URL.createObjectURL(new Blob([MODULE], { type: "text/javascript" }));
  const still = [...root.childNodes],
    place = document.createElement("div");
  try {
    const { default: widget } = await import(url);
    root.append(place);
    await widget.render({ model, el: place });
    still.forEach((node) => node.remove());
    // a widget's headings are one level below that of the section it stands in
    const above = [...document.querySelectorAll("h1, h2, h3, h4, h5")]
      .filter(
        (h) => !h.closest(".mlw") && h.compareDocumentPosition(root) & Node.DOCUMENT_POSITION_FOLLOWING,
      )
      .pop();
    if (above)
      place
        .querySelectorAll("h4")
        .forEach((h) => h.setAttribute("aria-level", Number(above.tagName[1]) + 1));
    root.dataset.ready = "yes";
  } catch (problem) {
    place.textContent =
      `This interactive figure could not start here (${problem}). A page that forbids blob: ` +
      "scripts stops it; the still picture stands in its place.";
    root.append(place);
  } finally {
    URL.revokeObjectURL(url);
  }
})();
