// The loss ledger: MixSKD's terms on and off, who learns from each, what is stopped, and what leaving one
// out has cost.
import { make, frame, button, sentence, python, predict } from "./kit.js";
import { ledgerGraph, verb } from "./ledger_graph.js";

const SIX = ["labels", "mixed", "features", "critic", "branches", "teacher"];
const DOES = {
  labels: "cross-entropy of all answers to the images, against their labels y",
  mixed:
    "cross-entropy of all answers to the mixture, and of both answers of the self-teacher, " +
    "against the mixed labels ỹ",
  features: "squared distance of interpolated maps from those of the mixture",
  critic: "how badly the critics tell interpolated maps from those of the mixture",
  branches:
    "the interpolated logits of each branch learn from its logits of the mixture, and the other " +
    "way round; the one learnt from is held fixed",
  teacher:
    "the network's interpolated logits learn from the self-teacher on the mixture's maps, its " +
    "logits of the mixture from the self-teacher on interpolated maps",
};
const WEIGHTS = {
  backbone: "the backbone",
  branches: "the branches",
  heads: "the heads",
  teacher: "the self-teacher",
  critics: "the critics",
};
const listed = (words) =>
  words.length > 1 ? `${words.slice(0, -1).join(", ")} and ${words.at(-1)}` : words.join("");

/** Three small arrows and their meaning. */
function key() {
  const line = (words, turned, ...inside) =>
    make(
      "span",
      {},
      make(
        "svg",
        { viewBox: "0 0 44 20", "aria-hidden": "true" },
        make("g", { class: `mlw-arrow${turned ? " mlw-turned" : ""}` }, ...inside),
      ),
      words,
    );
  const tip = () => make("path", { class: "mlw-head", d: "M42 10L34 5.5L34 14.5Z" });
  return make(
    "p",
    { class: "mlw-key" },
    line("gradient", false, make("path", { class: "mlw-flow", d: "M2 10H36" }), tip()),
    line(
      "gradient, sign turned",
      true,
      make("path", { class: "mlw-flow", d: "M2 10H36" }),
      make("circle", { cx: 14, cy: 10, r: 7.5 }),
      make("text", { x: 14, y: 14.5, "text-anchor": "middle" }, "−"),
      tip(),
    ),
    line(
      "value used, gradient stopped",
      false,
      make("path", { class: "mlw-value-only", d: "M4 10H36" }),
      make("g", { class: "mlw-back" }, tip()),
      make("path", { class: "mlw-stop", d: "M4 3V17" }),
    ),
  );
}

/** Who learns from what: a row for each part, a column for each term. */
function ledger() {
  const rows = Object.entries(WEIGHTS).map(([part, words]) => ({
    part,
    note: make("span"),
    cells: SIX.map((term) => make("td", { "data-term": term, "data-part": part })),
    words: words.slice(4),
  }));
  rows.forEach((row) => {
    row.node = make("tr", {}, make("th", { scope: "row" }, row.words, row.note), ...row.cells);
  });
  const node = make(
    "table",
    { class: "mlw-sum mlw-ledger", "data-name": "ledger" },
    make(
      "thead",
      {},
      make(
        "tr",
        {},
        make("th", { scope: "col" }, "part"),
        ...SIX.map((term, i) =>
          make("th", { scope: "col" }, make("b", {}, `${i + 1}`), make("span", {}, ` ${term}`)),
        ),
      ),
    ),
    make("tbody", {}, ...rows.map((row) => row.node)),
  );
  const set = (arrows, on, taught) =>
    rows.forEach(({ part, note, cells, node: row }) => {
      const idle = !taught[part].length;
      row.className = idle ? "mlw-idle" : "";
      note.textContent = idle ? `${verb(part)} nothing` : "";
      cells.forEach((cell, i) => {
        const [state, sign] = arrows[SIX[i]][part] || ["none", 0],
          active = on.has(SIX[i]);
        Object.assign(cell.dataset, { state, sign, on: active });
        cell.textContent =
          state === "none"
            ? "–"
            : !active
              ? "off"
              : state === "detached"
                ? "stop"
                : sign < 0
                  ? "turned"
                  : "yes";
      });
    });
  return { node, set };
}

/** What came of it: a row for each way to train that the book runs. */
function worth(effects) {
  const names = {
    mixskd: "the whole method",
    adversarial: "adversarial",
    released: "as released",
    ...Object.fromEntries(SIX.map((term) => [`no-${term}`, `without ${term}`])),
  };
  const rows = effects.map(({ way, accuracy, gain }) => ({
    way,
    node: make(
      "tr",
      { "data-way": way },
      make("th", { scope: "row" }, names[way]),
      ...(accuracy
        ? [make("td", {}, accuracy), make("td", {}, way === "mixskd" ? "" : gain || "other seeds")]
        : [make("td", { colspan: 2, class: "mlw-note" }, "not measured yet")]),
    ),
  }));
  const node = make(
    "table",
    { class: "mlw-sum mlw-effects", "data-name": "effects" },
    make(
      "thead",
      {},
      make(
        "tr",
        {},
        ...["", "accuracy (%)", "against the whole"].map((text) => make("th", { scope: "col" }, text)),
      ),
    ),
    make("tbody", {}, ...rows.map((row) => row.node)),
  );
  return {
    node,
    set: (way) => rows.forEach((row) => row.node.setAttribute("aria-current", String(row.way === way))),
  };
}

async function render({ model, el }) {
  const root = frame(el, CSS, "Loss ledger: the terms of MixSKD, and who learns from each"),
    effects = model.get("effects");
  const set = (values) => {
    for (const [name, value] of Object.entries(values)) model.set(name, value);
    model.save_changes();
  };
  const on = () => new Set(SIX.filter((term) => model.get(term)));
  const arrows = () =>
    model.get("arrows")[`${Number(model.get("adversarial"))}${Number(model.get("critics_learn"))}`];
  const taught = () =>
    Object.fromEntries(
      Object.keys(WEIGHTS).map((part) => [
        part,
        SIX.flatMap((term, i) =>
          model.get(term) && arrows()[term][part]?.[0] === "gradient" ? [i + 1] : [],
        ),
      ]),
    );
  const all = (values) => ({
    ...Object.fromEntries(SIX.map((term) => [term, true])),
    adversarial: false,
    critics_learn: true,
    ...values,
  });
  const presets = { published: all({}), released: all({ mixed: false, critics_learn: false }) };
  const stands = (values) => Object.entries(values).every(([name, value]) => model.get(name) === value);
  const way = () => {
    // the run of the book that stands on the page
    const off = SIX.filter((term) => !model.get(term));
    if (stands(presets.released)) return "released";
    if (!model.get("critics_learn") || off.length + Number(model.get("adversarial")) > 1) return "";
    return model.get("adversarial") ? "adversarial" : off.length ? `no-${off[0]}` : "mixskd";
  };

  let busy = false,
    looked = model.get("selected");
  const change = (values) => {
    busy = true;
    set(values);
    busy = false;
    draw();
  };
  const toggle = (name, words, attributes = {}) => ({
    name,
    node: button(words, () => change({ [name]: !model.get(name) }), { "data-name": name, ...attributes }),
  });
  const switches = [
    ...SIX.map((term, i) => toggle(term, `${i + 1} ${term}`)),
    toggle("adversarial", "adversarial"),
    toggle("critics_learn", "critics learn"),
  ];
  const ready = ["published", "released"].map((name) => ({
    name,
    node: button(`As ${name}`, () => change(presets[name]), { "data-name": name }),
  }));
  const graph = ledgerGraph({
    terms: SIX,
    pick: (term) => change({ selected: model.get("selected") === term ? "" : term }),
  });
  const live = sentence(),
    about = make("p", { class: "mlw-note", "data-name": "about" }),
    measured = make("p", { "data-name": "measured" });
  const table = ledger(),
    values = worth(effects);

  const copy = python(() => {
    const off = SIX.filter((term) => !model.get(term));
    if (off.length === SIX.length) return "# No term is on: there is nothing to train.\n";
    const options = [
      model.get("adversarial") && "adversarial=True",
      !model.get("critics_learn") && "critics_learn=False",
    ].filter(Boolean);
    return (
      `import torch, mixlearn as ml\nfrom mixlearn.page.ledger import parts_of\n\n` +
      `data, generator = ml.data.load("emoji"), torch.Generator().manual_seed(0)\n` +
      `net = ml.nets.resnet(8, len(data.classes), width=8, generator=generator)\n` +
      `learner = ml.learners.MixSKD(net, ${[...options, "generator=generator"].join(", ")})\n` +
      `before = {part: [w.clone() for w in weights] for part, weights in parts_of(net, learner).items()}\n` +
      "ml.fit(net, data.train.subset(128, generator=generator), learner=learner, epochs=1, " +
      "progress=False,\n       ablate=(" +
      off
        .map((term) => `"${term}", `)
        .join("")
        .trimEnd() +
      "))\n\n" +
      `for part, weights in parts_of(net, learner).items():\n` +
      `    same = all(torch.equal(old, new) for old, new in zip(before[part], weights))\n` +
      `    print(part, "learns nothing" if same else "learns")\n`
    );
  });
  const question = predict({
    question: "Leave the term “mixed” out of the loss. Which part then learns nothing?",
    options: [
      ["the heads", false],
      ["the self-teacher", true],
      ["none: five terms are left", false],
    ].map(([words, right]) => [
      words,
      right,
      () =>
        "Only “mixed” teaches the self-teacher. The term “teacher” uses its answers, but stops " +
        "the gradient there, so that the network would learn from a teacher that stays as it was " +
        "drawn. Press “mixed” below.",
    ]),
  });

  root.append(
    question,
    make(
      "div",
      { class: "mlw-terms", role: "group", "aria-label": "Terms of the loss, and how they are used" },
      make("div", { class: "mlw-six" }, ...switches.slice(0, 6).map(({ node }) => node)),
      make(
        "div",
        { class: "mlw-row" },
        ...switches.slice(6).map(({ node }) => node),
        ...ready.map(({ node }) => node),
      ),
    ),
    graph.node,
    key(),
    ...live.nodes,
    about,
    measured,
    make("h4", {}, "Who learns from what"),
    table.node,
    make(
      "p",
      { class: "mlw-note" },
      "Each arrow and each cell was measured by autograd on a tiny network: a place is moved a " +
        "little to see whether the term depends on it, and its gradient is looked at.",
    ),
    make("h4", {}, "What each term is worth"),
    values.node,
    make(
      "p",
      { class: "mlw-note", "data-name": "setting" },
      !effects.some((each) => each.accuracy)
        ? "There are no run records of these yet."
        : (model.get("measured_on") ? `Run records: ${model.get("measured_on")}. ` : "") +
            "± is the 95 % interval; differences are in points, seed by seed.",
    ),
    copy.node,
  );

  function draw() {
    if (busy) return;
    const terms = on(),
      by = taught(),
      found = arrows(),
      selected = model.get("selected"),
      parts = Object.keys(WEIGHTS);
    const off = SIX.filter((term) => !terms.has(term)),
      idle = parts.filter((part) => !by[part].length),
      run = way(),
      effect = effects.find((each) => each.way === run);
    for (const { name, node } of switches) node.setAttribute("aria-pressed", String(model.get(name)));
    for (const { name, node } of ready) node.setAttribute("aria-pressed", String(stands(presets[name])));
    graph.set({ width: graph.node.clientWidth || 697, arrows: found, on: terms, selected, taught: by });
    table.set(found, terms, by);
    values.set(run);
    const head =
      off.length === SIX.length ? "No term is on" : off.length ? `Without ${listed(off)}` : "All six terms";
    live.say(
      `${head}: ` +
        (idle.length
          ? idle.length === parts.length
            ? "nothing learns"
            : `${listed(idle.map((part) => WEIGHTS[part]))} ` +
              `${idle.length > 1 ? "learn" : verb(idle[0])} nothing`
          : "every part learns") +
        ".",
    );
    const of = (test) =>
      parts
        .filter((part) => found[selected][part] && test(...found[selected][part]))
        .map((part) => WEIGHTS[part]);
    about.textContent = !selected
      ? "Press a term in the graph to see its arrows alone."
      : `${selected}${terms.has(selected) ? "" : " (off)"}: ${DOES[selected]}. ` +
        [
          ["It teaches", of((state, sign) => state === "gradient" && sign > 0)],
          ["Turned, its gradient goes to", of((state, sign) => state === "gradient" && sign < 0)],
          ["It uses, but does not teach,", of((state) => state === "detached")],
        ]
          .filter(([, names]) => names.length)
          .map(([words, names]) => `${words} ${listed(names)}.`)
          .join(" ");
    if (selected && selected !== looked) live.whisper(about.textContent);
    looked = selected;
    measured.textContent = !run
      ? "This combination was not trained for the book."
      : !effect?.accuracy
        ? "Its accuracy is not measured yet."
        : `Measured: accuracy ${effect.accuracy} %` +
          (run === "mixskd"
            ? ", the whole method"
            : effect.gain
              ? `, ${effect.gain} points against the whole method`
              : "") +
          ".";
    copy.refresh();
  }
  for (const name of [...SIX, "adversarial", "critics_learn", "selected"]) model.on(`change:${name}`, draw);
  const watch = new ResizeObserver(() => draw());
  watch.observe(graph.node);
  draw();
  return () => {
    watch.disconnect();
    root.forget();
  };
}
export default { render };
