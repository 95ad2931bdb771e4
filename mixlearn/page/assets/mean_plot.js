// The mean of a mask against λ: what is asked, what the mask loss lets pass, what the Mix Block gives.
import { make } from "./kit.js";

const BOX = { width: 250, height: 250, left: 26, right: 8, top: 20, base: 212 };

/** `set` draws a curve [[λ, mean], …], its mark at one λ, and the reader's own mean there. */
export function meanPlot(margin) {
  const { width, height, left, right, top, base } = BOX;
  const x = (v) => (left + (width - left - right) * v).toFixed(1),
    y = (v) => (base - (base - top) * v).toFixed(1);
  const at = (points) => points.map(([a, b], i) => `${i ? "L" : "M"}${x(a)} ${y(b)}`).join("");
  const band = [
    [0, 0],
    [0, margin],
    [1 - margin, 1],
    [1, 1],
    [1, 1 - margin],
    [margin, 0],
  ];
  const curve = make("path", {
    fill: "none",
    stroke: "var(--own)",
    "stroke-width": 2.5,
    "data-name": "curve",
  });
  const block = make("circle", { r: 5, fill: "var(--own)", stroke: "var(--ground)", "stroke-width": 1.5 });
  const yours = make("rect", {
    width: 9,
    height: 9,
    fill: "var(--partner)",
    stroke: "var(--ground)",
    "stroke-width": 1.5,
  });
  const node = make(
    "svg",
    { class: "mlw-plot", viewBox: `0 0 ${width} ${height}`, role: "img", "data-name": "means" },
    make("path", { d: `${at(band)}Z`, fill: "var(--own-soft)" }),
    make("path", {
      d: at([
        [0, 1],
        [0, 0],
        [1, 0],
      ]),
      fill: "none",
      stroke: "var(--line)",
    }),
    make("path", {
      d: at([
        [0, 0],
        [1, 1],
      ]),
      fill: "none",
      stroke: "var(--soft)",
      "stroke-dasharray": "5 4",
    }),
    ...[0, 0.5, 1].flatMap((v) => [
      make(
        "text",
        { x: x(v), y: base + 16, "text-anchor": v ? (v === 1 ? "end" : "middle") : "start" },
        String(v),
      ),
      make("text", { x: left - 6, y: Number(y(v)) + 4, "text-anchor": "end" }, String(v)),
    ]),
    make("text", { x: x(1), y: height - 6, "text-anchor": "end" }, "λ asked →"),
    make("text", { x: 4, y: 12 }, "↑ mean of the mask"),
    curve,
    yours,
    block,
  );
  const set = (points, lam, mean, own) => {
    curve.setAttribute("d", at(points));
    block.setAttribute("cx", x(lam));
    block.setAttribute("cy", y(mean));
    yours.setAttribute("x", Number(x(lam)) - 4.5);
    yours.setAttribute("y", Number(y(own)) - 4.5);
    const said = points
      .filter(([share]) => [0.1, 0.5, 0.9].some((v) => Math.abs(v - share) < 1e-9))
      .map(([share, value]) => `${value.toFixed(2)} at ${share}`);
    node.setAttribute(
      "aria-label",
      `mean of the Mix Block's mask against λ: ${said.join(", ")}; at λ ${lam.toFixed(2)} it is ` +
        `${mean.toFixed(2)}, yours ${own.toFixed(2)}`,
    );
  };
  return { node, set };
}
