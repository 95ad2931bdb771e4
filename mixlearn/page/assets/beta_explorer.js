// The Beta explorer: how α decides between copies, traces and even mixtures.
import { uniform, betaDraw, betaDensity, meanSmallerShare, looksUnmixed } from "./mix.js";
import { make, frame, slider, button, sentence, python, predict } from "./kit.js";

const LEAST = 0.95,
  BINS = 20,
  WIDTH = 330,
  HEIGHT = 190,
  LEFT = 26,
  BASE = 162,
  TOP = 10;

function render({ model, el }) {
  const root = frame(el, CSS, "Beta explorer: how α spreads λ");
  const random = uniform(model.get("seed"));
  const alphas = () =>
    model.get("compare") ? [model.get("alpha"), model.get("other")] : [model.get("alpha")];
  let draws = [];
  const set = (values) => {
    for (const [key, value] of Object.entries(values)) model.set(key, value);
    model.save_changes();
  };
  const word = (v) => (2 ** Number(v)).toFixed(2);
  const first = slider({
    label: "α",
    name: "alpha",
    min: -4.5,
    max: 3,
    step: 0.1,
    value: Math.log2(model.get("alpha")),
    show: word,
    input: (v) => set({ alpha: Number(word(v)) }),
  });
  const second = slider({
    label: "second α",
    name: "other",
    min: -4.5,
    max: 3,
    step: 0.1,
    value: Math.log2(model.get("other")),
    show: word,
    input: (v) => set({ other: Number(word(v)) }),
  });
  const toggle = button("Compare two α", () => set({ compare: !model.get("compare") }), {
    "data-name": "compare",
  });
  const live = sentence(),
    key = make("span", { "data-name": "key" });
  const density = make("svg", {
    class: "mlw-plot",
    viewBox: `0 0 ${WIDTH} ${HEIGHT}`,
    role: "img",
    "data-name": "density",
  });
  const smaller = make("svg", {
    class: "mlw-plot",
    viewBox: `0 0 ${WIDTH} ${HEIGHT}`,
    role: "img",
    "data-name": "smaller",
  });
  const facts = make("tbody", { "data-name": "facts" });
  const cast = (n) => {
    for (let i = 0; i < n; i++) draws.push(Number(betaDraw(model.get("alpha"), random).toFixed(4)));
    draws = draws.slice(-1000);
    draw();
  };
  const copy = python(() => {
    const alpha = model.get("alpha");
    const lam = draws.length
      ? `torch.tensor([${draws.join(", ")}], dtype=torch.float64)`
      : `ml.sample_lam(1000, alpha, generator=torch.Generator().manual_seed(0))`;
    return (
      "import torch, mixlearn as ml\n\n" +
      `alpha = ${alpha}\nlam = ${lam}\nsmaller = torch.minimum(lam, 1 - lam)\n` +
      `print(smaller.mean().item(), (smaller <= ${(1 - LEAST).toFixed(2)}).float().mean().item())\n` +
      `print(torch.histc(lam, ${BINS}, 0, 1).int().tolist())      # the bars\n`
    );
  });
  const question = predict({
    question:
      "At α = 1 every λ is equally likely. What share does the smaller part of a mixture have on average?",
    options: [
      [
        "50 %",
        false,
        () =>
          "Half is the mean of λ itself. The smaller part is min(λ, 1 − λ), which is at most " +
          "half and often far less: 25 % on average.",
      ],
      ["25 %", true, () => "λ is uniform, so min(λ, 1 − λ) is uniform between 0 and ½, and its mean is ¼."],
      [
        "10 %",
        false,
        () =>
          "That is what α = 0.2 gives. At α = 1, min(λ, 1 − λ) is uniform between 0 and ½: 25 % on average.",
      ],
    ],
  });
  const hide = make("div", {}, second.node);
  root.append(
    question,
    first.node,
    hide,
    make("div", { class: "mlw-row" }, toggle),
    ...live.nodes,
    make(
      "div",
      { class: "mlw-plots" },
      make("figure", {}, density, make("figcaption", {}, "λ, the share of the image itself")),
      make(
        "figure",
        {},
        smaller,
        make("figcaption", {}, "min(λ, 1 − λ), the smaller share; dotted: its mean"),
      ),
    ),
    make("p", { class: "mlw-note" }, key),
    make(
      "div",
      { class: "mlw-row" },
      button("Draw 1", () => cast(1), { "data-name": "draw1" }),
      button("Draw 100", () => cast(100), { "data-name": "draw100" }),
      button("Draw 1000", () => cast(1000), { "data-name": "draw1000" }),
      button("Clear", () => {
        draws = [];
        draw();
      }),
    ),
    make(
      "table",
      { class: "mlw-sum mlw-facts" },
      make(
        "thead",
        {},
        make(
          "tr",
          {},
          make("td"),
          make("th", { scope: "col" }, "mean smaller share"),
          make("th", { scope: "col" }, "one image has 95 % or more"),
        ),
      ),
      facts,
    ),
    copy.node,
  );

  function plot(svg, to, densityAt, values) {
    svg.replaceChildren();
    const x = (v) => LEFT + ((WIDTH - LEFT - 8) * v) / to;
    const zones =
      to === 1
        ? [
            [0, 1 - LEAST],
            [LEAST, 1],
          ]
        : [[0, 1 - LEAST]];
    zones.forEach(([from, until]) =>
      svg.append(
        make("rect", { class: "mlw-zone", x: x(from), width: x(until) - x(from), y: BASE + 1, height: 5 }),
      ),
    );
    const points = Array.from({ length: 161 }, (_, i) => to * (0.0015 + (0.997 * i) / 160));
    const top = Math.max(3, ...alphas().map((a) => Math.min(8, densityAt(a, points[80])))) * 1.1;
    const y = (v) => BASE - (BASE - TOP) * Math.min(1, v / top);
    const inside = (a) => {
      const all = points.map((v) => densityAt(a, v)); // up to the first point above the frame
      return points.filter((_, k) => Math.min(...all.slice(Math.max(0, k - 1), k + 2)) <= top);
    };
    const counts = Array(BINS).fill(0);
    values.forEach((v) => {
      counts[Math.min(BINS - 1, Math.floor((v * BINS) / to))] += 1;
    });
    counts.forEach((count, b) => {
      if (!count) return;
      const height = ((count / values.length) * BINS) / to;
      svg.append(
        make("rect", {
          x: x((to * b) / BINS) + 1,
          width: (x(to) - x(0)) / BINS - 2,
          y: y(height),
          height: BASE - y(height),
          fill: "var(--own-soft)",
          stroke: "var(--own)",
          "data-count": count,
        }),
      );
    });
    alphas().forEach((a, i) =>
      svg.append(
        make("path", {
          fill: "none",
          stroke: i ? "var(--partner)" : "var(--own)",
          "stroke-width": 2.5,
          "stroke-dasharray": i ? "7 4" : null,
          d: inside(a)
            .map((v, k) => `${k ? "L" : "M"}${x(v).toFixed(1)} ${y(densityAt(a, v)).toFixed(1)}`)
            .join(""),
        }),
      ),
    );
    svg.append(make("line", { x1: x(0), x2: x(to), y1: BASE, y2: BASE, stroke: "var(--line)" }));
    [0, to / 2, to].forEach((v) =>
      svg.append(
        make(
          "text",
          { x: x(v), y: BASE + 18, "text-anchor": v === to ? "end" : v ? "middle" : "start" },
          String(v),
        ),
      ),
    );
    return { x, y };
  }
  function draw() {
    const list = alphas();
    plot(density, 1, (a, v) => betaDensity(v, a), draws);
    const { x } = plot(
      smaller,
      0.5,
      (a, v) => 2 * betaDensity(v, a),
      draws.map((v) => Math.min(v, 1 - v)),
    );
    list.forEach((a, i) => {
      const at = x(meanSmallerShare(a));
      smaller.append(
        make("line", {
          x1: at,
          x2: at,
          y1: TOP,
          y2: BASE,
          stroke: i ? "var(--partner)" : "var(--own)",
          "stroke-dasharray": "2 3",
        }),
      );
    });
    const tenth = (share) => `${(100 * share).toFixed(1)} %`;
    const row = (words, mean, unmixed, name) =>
      make(
        "tr",
        {},
        make("th", { scope: "row" }, words),
        make("td", { "data-name": `${name}-mean` }, tenth(mean)),
        make("td", { "data-name": `${name}-unmixed` }, tenth(unmixed)),
      );
    facts.replaceChildren(
      ...list.map((a, i) =>
        row(`α = ${a}, exact`, meanSmallerShare(a), looksUnmixed(a, LEAST), i ? "second" : "first"),
      ),
    );
    if (draws.length) {
      const low = draws.map((v) => Math.min(v, 1 - v));
      facts.append(
        row(
          `α = ${list[0]}, ${draws.length} ${draws.length === 1 ? "draw" : "draws"}`,
          low.reduce((t, v) => t + v, 0) / low.length,
          low.filter((v) => v <= 1 - LEAST + 1e-9).length / low.length,
          "drawn",
        ),
      );
    }
    const said = list
      .map(
        (a) =>
          `At α = ${a} the smaller part has ${tenth(meanSmallerShare(a))} on average, and ` +
          `${tenth(looksUnmixed(a, LEAST))} of the mixtures look unmixed.`,
      )
      .join(" ");
    live.say(said);
    density.setAttribute("aria-label", `density of λ; ${said}`);
    smaller.setAttribute("aria-label", `density of the smaller share; ${said}`);
    key.textContent =
      "Line" +
      (list.length > 1
        ? `: density at α = ${list[0]}, dashed at α = ${list[1]}`
        : `: density at α = ${list[0]}`) +
      `.${draws.length ? " Bars: the draws." : ""} ` +
      "Under the axis, the thick part: one image has 95 % or more. What rises above the frame is cut off.";
    toggle.setAttribute("aria-pressed", String(model.get("compare")));
    hide.hidden = !model.get("compare");
    first.set(Math.log2(model.get("alpha")));
    second.set(Math.log2(model.get("other")));
    copy.refresh();
  }
  model.on("change:alpha", () => {
    draws = [];
    draw();
  }); // they were another Beta's
  for (const key of ["other", "compare"]) model.on(`change:${key}`, draw);
  draw();
  return () => root.forget();
}
export default { render };
