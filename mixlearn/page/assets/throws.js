// Many boxes thrown at random: what λ becomes of them on average, and how often each pixel is pasted.
import { uniform, betaDraw } from "./mix.js";
import { clipBox, keptShare, throwBox, meanKept, heatMap } from "./boxes.js";
import { make, colour } from "./kit.js";

const BINS = 20,
  SHOWN_THROWS = 3000,
  PLOT = { width: 330, height: 330, left: 36, right: 8, top: 22, base: 294 };

/**
 * Throws by a model's seed and α in a picture of H × W pixels, both of which `state` tells, and the nodes
 * that show them.
 */
export function manyThrows({ model, root, state, paint }) {
  let random = uniform(model.get("seed")),
    thrown = null;

  const tally = make("p", { "data-name": "tally", role: "status" });
  const scatter = make("svg", {
    class: "mlw-plot",
    viewBox: `0 0 ${PLOT.width} ${PLOT.height}`,
    role: "img",
    "data-name": "scatter",
  });
  const heat = make("canvas", { role: "img", "data-name": "heat" });
  const most = make("span", { "data-name": "most" }),
    centre = make("b", { "data-name": "centre" }),
    corner = make("b", { "data-name": "corner" });
  const plots = make(
    "div",
    { class: "mlw-plots" },
    make(
      "figure",
      {},
      scatter,
      make(
        "figcaption",
        {},
        "Each dot a box. Line with dots: their mean. Thin line: the mean by theory. Dashed: " +
          "realised = asked.",
      ),
    ),
    make(
      "figure",
      { class: "mlw-heat" },
      heat,
      make(
        "div",
        { class: "mlw-scale" },
        make("span", {}, "0 %"),
        make("span", { "aria-hidden": "true" }),
        most,
      ),
      make("figcaption", {}, "How often each pixel was pasted: centre ", centre, ", corners ", corner, "."),
    ),
  );

  const restart = () => {
    const { H, W } = state();
    thrown = {
      n: 0,
      asked: 0,
      kept: 0,
      points: [],
      bins: Array.from({ length: BINS }, () => [0, 0, 0]),
      heat: heatMap(H, W),
    };
  };
  const fits = () => {
    const { H, W } = state();
    if (thrown.heat.height !== H || thrown.heat.width !== W) restart();
  };
  const reset = () => {
    random = uniform(model.get("seed"));
    restart();
  };
  const cast = (n) => {
    fits();
    const { H, W } = state();
    let asked, box;
    for (let i = 0; i < n; i++) {
      asked = betaDraw(model.get("alpha"), random);
      box = throwBox(asked, H, W, random);
      const cut = clipBox(box, H, W),
        kept = keptShare(cut, H, W),
        bin = thrown.bins[Math.min(BINS - 1, Math.floor(asked * BINS))];
      thrown.heat.add(cut);
      thrown.n += 1;
      thrown.asked += asked;
      thrown.kept += kept;
      bin[0] += 1;
      bin[1] += asked;
      bin[2] += kept;
      thrown.points.push([asked, kept]);
    }
    thrown.points = thrown.points.slice(-SHOWN_THROWS);
    return { asked, box }; // the last
  };

  function draw() {
    fits();
    plots.hidden = !thrown.n; // two empty frames show nothing
    const { H, W } = state(),
      { n, points, bins } = thrown,
      { left, right, top, base, width, height } = PLOT;
    const x = (v) => left + (width - left - right) * v,
      y = (v) => base - (base - top) * v;
    const at = (pairs) =>
      pairs.map(([a, b], i) => `${i ? "L" : "M"}${x(a).toFixed(1)} ${y(b).toFixed(1)}`).join("");
    const line = (d, stroke, more = {}) =>
      make("path", { d, fill: "none", stroke: `var(--${stroke})`, ...more });
    scatter.replaceChildren(
      line(
        at([
          [0, 1],
          [0, 0],
          [1, 0],
        ]),
        "line",
      ),
      line(
        at([
          [0, 0],
          [1, 1],
        ]),
        "soft",
        { "stroke-dasharray": "5 4", "data-name": "diagonal" },
      ),
    );
    [0, 0.5, 1].forEach((v) =>
      scatter.append(
        make(
          "text",
          { x: x(v), y: base + 16, "text-anchor": v ? (v === 1 ? "end" : "middle") : "start" },
          String(v),
        ),
        make("text", { x: left - 6, y: y(v) + 4, "text-anchor": "end" }, String(v)),
      ),
    );
    scatter.append(
      make("text", { x: x(1), y: height - 4, "text-anchor": "end" }, "λ asked →"),
      make("text", { x: 4, y: 12 }, "↑ λ realised"),
    );
    if (n) {
      const means = bins
        .filter(([count]) => count)
        .map(([count, asked, kept]) => [asked / count, kept / count]);
      scatter.append(
        line(points.map(([a, b]) => `M${x(a).toFixed(1)} ${y(b).toFixed(1)}h0`).join(""), "own", {
          "stroke-width": 3,
          "stroke-linecap": "round",
          "stroke-opacity": 0.5,
          "data-name": "dots",
        }),
        line(at(means), "partner", { "stroke-width": 2, "data-name": "means" }),
        line(means.map(([a, b]) => `M${x(a).toFixed(1)} ${y(b).toFixed(1)}h0`).join(""), "partner", {
          "stroke-width": 7,
          "stroke-linecap": "round",
        }),
        line(at(Array.from({ length: 101 }, (_, i) => [i / 100, meanKept(i / 100)])), "ink", {
          "stroke-width": 1.2,
          "data-name": "theory",
        }),
      );
    }
    const counts = thrown.heat.counts(),
      max = Math.max(
        1,
        counts.reduce((a, b) => Math.max(a, b), 0),
      ),
      [from, to] = ["--ground", "--partner"].map((name) => colour(root, name));
    const data = new Uint8ClampedArray(4 * H * W);
    counts.forEach((count, i) => {
      for (let c = 0; c < 3; c++) data[4 * i + c] = from[c] + ((to[c] - from[c]) * count) / max;
      data[4 * i + 3] = 255;
    });
    paint(heat, data, H, W);
    heat.dataset.scale = JSON.stringify({ from, to, max: n ? max / n : 0 });
    const part = (value) => (n ? `${((100 * value) / n).toFixed(1)} %` : "–");
    centre.textContent = part(counts[(H >> 1) * W + (W >> 1)]);
    corner.textContent = part((counts[0] + counts[W - 1] + counts[(H - 1) * W] + counts[H * W - 1]) / 4);
    most.textContent = part(max);
    const many = String(n).replace(/\B(?=(\d{3})+$)/g, " ");
    tally.textContent = n
      ? `${many} ${n === 1 ? "box" : "boxes"} at α = ${model.get("alpha")}: mean λ asked ` +
        `${(thrown.asked / n).toFixed(3)}, mean λ realised ${(thrown.kept / n).toFixed(3)}.`
      : `Λ, the λ asked, is drawn from Beta(${model.get("alpha")}, ${model.get("alpha")}), the box around a ` +
        "pixel drawn uniformly. No box has been thrown yet.";
    scatter.setAttribute("aria-label", `realised λ against asked λ; ${tally.textContent}`);
    heat.setAttribute(
      "aria-label",
      n
        ? `how often each pixel was pasted: centre ${centre.textContent}, corners ${corner.textContent}`
        : "how often each pixel was pasted: no box yet",
    );
  }

  restart();
  root.addEventListener("mlw-theme", draw); // the heat map is painted in the theme's colours
  return { nodes: [tally, plots], count: () => thrown.n, restart, reset, cast, draw };
}
