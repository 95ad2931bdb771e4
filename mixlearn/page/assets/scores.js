// How well the classifier in the page sees the label of a mixture: the score, and p beside the label.
import { forward, softmax, maskScore } from "./net.js";
import { ownShare, underMask } from "./paint.js";
import { make } from "./kit.js";

/**
 * A pair { own, partner, labels } under a mask, judged by a label of λ; where none is given, of the mask's
 * own.
 */
export function judge(net, { own, partner, labels }, mask, side, asked) {
  const image = underMask(own, partner, mask),
    logits = forward(net, image, side, side),
    share = ownShare(mask),
    lam = asked ?? share;
  return { image, share, lam, p: softmax(logits), score: maskScore(logits, ...labels, lam) };
}

/**
 * A table of the pair's two classes: the label, and one or more outputs [[key, words], …]; `next` adds the
 * likeliest other class of the first.
 */
export function classTable({ classes, outputs, next }) {
  const rows = ["own", "partner", ...(next ? ["other"] : [])].map((name) => ({
    name,
    word: make("th", { scope: "row" }),
    label: make("td", { "data-name": `label-${name}` }),
    cells: outputs.map(([key]) => ({
      p: make("td", { "data-name": `${key}-${name}` }),
      bar: make("span"),
    })),
  }));
  const meter = (...inside) => make("td", { class: "mlw-meter", "aria-hidden": "true" }, ...inside);
  const node = make(
    "table",
    { class: "mlw-sum mlw-classes" },
    make(
      "thead",
      {},
      make(
        "tr",
        {},
        ...["class", "label ỹ"].map((word) => make("th", { scope: "col" }, word)),
        ...outputs.flatMap(([, words]) => [make("th", { scope: "col" }, words), meter()]),
      ),
    ),
    make(
      "tbody",
      {},
      ...rows.map(({ word, label, cells }) =>
        make("tr", {}, word, label, ...cells.flatMap(({ p, bar }) => [p, meter(bar)])),
      ),
    ),
  );
  const set = ({ labels, words }, lam, ps) => {
    const [p] = ps,
      other = p.reduce(
        (best, value, k) => (labels.includes(k) || (best >= 0 && p[best] >= value) ? best : k),
        -1,
      );
    const shown = [
      [labels[0], lam],
      [labels[1], 1 - lam],
      [other, 0],
    ];
    rows.forEach(({ name, word, label, cells }, i) => {
      const [k, share] = shown[i];
      word.textContent = i < 2 ? `${classes[k]} (${words[i]})` : `next: ${classes[k]}`;
      label.textContent = share.toFixed(2);
      cells.forEach(({ p: cell, bar }, j) => {
        cell.textContent = ps[j][k].toFixed(3);
        cell.dataset.value = ps[j][k];
        bar.style.width = `${100 * ps[j][k]}%`;
        bar.className = `mlw-${name}`;
      });
    });
  };
  return { node, set };
}
