// The bins lab: how the number of bins changes the calibration error of one network.
import { uniform } from "./mix.js";
import { binned, calibrated, ece, sorted } from "./bins.js";
import { make, frame, slider, radios, sentence, python } from "./kit.js";

const SIDE = 300,
  LEFT = 34,
  STRIP = 44, // height of the bars of shares
  DRAWS = 400; // networks that are calibrated

function render({ model, el }) {
  const root = frame(el, CSS, "Bins lab: the bins of a reliability diagram");
  let values, chance;
  const set = (key, value) => {
    model.set(key, value);
    model.save_changes();
  };
  const one = (key, label, min, max, step) =>
    slider({ label, name: key, min, max, step, value: model.get(key), show: String, input: (v) => set(key, v) });
  const bins = one("bins", "Bins", 1, 100, 1);
  const used = one("used", "Predictions", 10, model.get("predictions").length, 10);
  const kind = radios({
    label: "Bins of",
    name: "kind",
    options: [
      ["width", "equal width"],
      ["mass", "equally many predictions"],
    ],
    value: model.get("kind"),
    change: (key) => set("kind", key),
  });
  const live = sentence();
  const plot = make("svg", {
    class: "mlw-plot mlw-bins",
    viewBox: `0 0 ${LEFT + SIDE + 8} ${SIDE + STRIP + 56}`,
    role: "img",
    "data-name": "diagram",
  });
  const note = make("p", { class: "mlw-note", "data-name": "note" });
  const copy = python(
    () =>
      "import torch\n\n# confidences, negative where the prediction is wrong\n" +
      `signed = torch.tensor([${model.get("predictions").slice(0, model.get("used")).join(", ")}],\n` +
      "                      dtype=torch.float64)\n" +
      `bins, n = ${model.get("bins")}, len(signed)\n` +
      "sure, order = signed.abs().sort(stable=True)\nright = (signed[order] > 0).double()\n" +
      (model.get("kind") === "mass"
        ? "which = (torch.arange(1, n + 1) * bins + n - 1) // n - 1  # equally many\n"
        : "which = torch.bucketize(sure, torch.arange(1, bins, dtype=torch.float64) / bins)\n") +
      "gap = torch.bincount(which, sure - right, minlength=bins)  # (bins,)\n" +
      'print(f"ECE {100 * gap.abs().sum() / n:.1f} %")\n',
  );
  const caption =
    "Across: confidence. Up: accuracy. A bar runs from what the network promised (the diagonal) to what " +
    "it kept (the dot): orange where it promised too much, teal where too little.";
  root.append(
    bins.node,
    kind.node,
    used.node,
    ...live.nodes,
    make("figure", {}, plot, make("figcaption", {}, caption)),
    make("p", { class: "mlw-note" }, "The strip below the diagram: the share of each bin."),
    note,
    copy.node,
  );

  const percent = (share) => `${(100 * share).toFixed(1)} %`;
  const mean = (list) => list.reduce((sum, value) => sum + value, 0) / list.length;
  function choose() {
    values = sorted(model.get("predictions").slice(0, model.get("used")));
    const random = uniform(1);
    chance = Array.from({ length: DRAWS }, () => calibrated(values, random));
    used.set(model.get("used"));
    draw();
  }
  function picture(list) {
    const x = (v) => LEFT + SIDE * v,
      y = (v) => 8 + SIDE * (1 - v),
      base = SIDE + STRIP + 18,
      most = Math.max(...list.map((bin) => bin.n));
    const line = (x1, y1, x2, y2, extra) => make("line", { x1, y1, x2, y2, stroke: "var(--edge)", ...extra });
    const word = (at, up, anchor, text) => make("text", { x: at, y: up, "text-anchor": anchor }, text);
    plot.replaceChildren(
      line(x(0), y(0), x(1), y(1), { "stroke-dasharray": "4 3" }),
      line(x(0), y(0), x(1), y(0)),
      line(x(0), y(0), x(0), y(1)),
      line(x(0), base, x(1), base),
      ...[0, 0.5, 1].flatMap((v) => [
        word(LEFT - 6, y(v) + 4, "end", v),
        word(x(v), base + 16, v === 1 ? "end" : v ? "middle" : "start", v),
      ]),
    );
    for (const { low, high, n, sure, right } of list.filter((bin) => bin.n)) {
      const [said, kept, wide] = [y(sure / n), y(right / n), Math.max(1, SIDE * (high - low) - 1)];
      const fill = right < sure ? "var(--partner)" : "var(--own)";
      const bar = { x: x(low), width: wide, y: Math.min(said, kept), height: Math.abs(said - kept), fill };
      const tall = (STRIP * n) / most;
      plot.append(
        make("rect", { ...bar, "fill-opacity": 0.55, "data-bin": n }),
        make("circle", { cx: x(sure / n), cy: kept, r: 2.6, fill: "var(--ink)" }),
        make("rect", { x: x(low), width: wide, y: base - tall, height: tall, fill: "var(--edge)" }),
      );
    }
  }
  function draw() {
    const [count, way] = [model.get("bins"), model.get("kind")];
    const list = binned(values, count, way),
      floor = mean(chance.map((each) => ece(binned(each, count, way))));
    const words = way === "mass" ? "with equally many predictions" : "of equal width";
    const told =
      `${count} ${count === 1 ? "bin" : "bins"} ${words}: ECE ${percent(ece(list))}. ` +
      `A calibrated network with the same confidences would get ${percent(floor)} on average.`;
    live.say(told);
    picture(list);
    plot.setAttribute("aria-label", `Reliability diagram of ${values.length} predictions; ${told}`);
    const [sure, right] = [mean(values.map(Math.abs)), mean(values.map((value) => Number(value > 0)))];
    note.textContent = `Mean confidence ${percent(sure)}, accuracy ${percent(right)}.`;
    bins.set(count);
    kind.set(way);
    copy.refresh();
  }
  for (const key of ["bins", "kind"]) model.on(`change:${key}`, draw);
  model.on("change:used", choose);
  choose();
  return () => root.forget();
}
export default { render };
