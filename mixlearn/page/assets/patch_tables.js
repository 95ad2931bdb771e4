// Small matrices with numbers: W, W·Wᵀ and the released targets, their rows summed.
import { make } from "./kit.js";

const near = (a, b) => Math.abs(a - b) < 1e-9;
const number = (v) => (v ? v.toFixed(2).replace(/^0/, "") : "0");

/** A matrix of a name; `hover(row)` is called with the row pointed at, or −1. */
export function matrix({ name, hover }) {
  const title = make("caption"),
    head = make("tr"),
    body = make("tbody");
  const table = make(
    "table",
    { class: "mlw-matrix", "data-name": name },
    title,
    make("thead", {}, head),
    body,
  );
  table.addEventListener("pointerover", (event) => {
    const row = event.target.closest("tr")?.dataset.row;
    hover(row == null ? -1 : Number(row));
  });
  table.addEventListener("pointerleave", () => hover(-1));
  let rows = [];
  return {
    node: table,
    /** Show values; `right` are those that they ought to be, and `across` names the columns. */
    set(words, values, right, across) {
      title.textContent = words;
      head.replaceChildren(
        make("th", { scope: "col", class: "mlw-kind" }, across),
        ...values.map((_, j) => make("th", { scope: "col" }, String(j))),
        make("th", { scope: "col", class: "mlw-total" }, "sum"),
      );
      const most = Math.max(...values.flat(), 1e-9);
      rows = values.map((row, i) => {
        const sum = row.reduce((a, b) => a + b, 0);
        return make(
          "tr",
          { "data-row": i },
          make("th", { scope: "row" }, `mixture ${i}`),
          ...row.map((v, j) =>
            make(
              "td",
              {
                "data-value": v,
                "data-wrong": String(!near(v, right[i][j])),
                style: `--share:${((38 * v) / most).toFixed(1)}%`,
                title: near(v, right[i][j]) ? null : `ought to be ${number(right[i][j])}`,
              },
              number(v),
            ),
          ),
          make(
            "td",
            { class: "mlw-total", "data-sum": sum, "data-wrong": String(!near(sum, 1)) },
            number(sum),
          ),
        );
      });
      body.replaceChildren(...rows);
    },
    /** Light up a row, and mark entries elsewhere by `shared(row, column)`. */
    light(lit, shared = () => false) {
      rows.forEach((row, i) => {
        row.classList.toggle("mlw-lit", i === lit);
        [...row.cells].slice(1, -1).forEach((cell, j) => {
          cell.dataset.shared = lit >= 0 && i !== lit && shared(i, j);
        });
      });
    },
  };
}
