// The graph of MixSKD's loss: interpolated values on the left, those of the mixture on the right, the terms
// between.
import { make } from "./kit.js";

const TALL = 692,
  LEAST = 326,
  WIDE = 560,
  ROW = 44; // pixels: the graph's height, its least width, from where on words are long, a box
const MAPS = 240,
  ANSWERS = 424,
  OWN = 500,
  SIDE_BY_SIDE = 568; // where rows begin
const TERM_ROWS = {
  labels: [142, "against y", "cross-entropy against y"],
  features: [MAPS, "distance", "squared distance"],
  critic: [298, "told apart?", "can they be told apart?"],
  teacher: [OWN, "crossed", "each from the other's"],
  branches: [SIDE_BY_SIDE, "both ways", "each from the other"],
  mixed: [646, "against ỹ", "cross-entropy against ỹ"],
};
const LANES = {
  interpolated: ["F̄", "h(F̄)", "b̄, k = K", "b̄, k < K"],
  mixed: ["F̂", "h(F̂)", "b̂, k = K", "b̂, k < K"],
};

/** Where everything stands at a width: boxes by name, as [x, y, width, height]. */
function plan(width) {
  const w = Math.max(LEAST, Math.round(width)),
    wide = w >= WIDE,
    edge = wide ? 30 : 18,
    gap = wide ? 64 : 27,
    mid = wide ? 186 : 92;
  const lane = (w - 2 * (edge + gap) - mid) / 2,
    left = edge,
    centre = edge + lane + gap,
    right = w - edge - lane,
    third = (w - 22) / 3;
  const boxes = {
    images: [left, 0, lane, 42],
    mixture: [right, 0, lane, 42],
    "clean logits": [left, TERM_ROWS.labels[0], lane, ROW],
    critics: [centre, 354, mid, 40],
    teacher: [centre, ANSWERS, mid, ROW],
  };
  ["backbone", "branches", "heads"].forEach((part, i) => {
    boxes[part] = [5 + i * (third + 6), 66, third, 50];
  });
  for (const [lane_, x] of [
    ["interpolated", left],
    ["mixed", right],
  ]) {
    boxes[`${lane_} maps`] = [x, MAPS, lane, 102];
    boxes[`teacher on ${lane_}`] = [x, ANSWERS, lane, ROW];
    boxes[`${lane_} own logits`] = [x, OWN, lane, ROW];
    boxes[`${lane_} branch logits`] = [x, SIDE_BY_SIDE, lane, ROW];
    boxes[`${lane_} lane`] = [x - 5, 212, lane + 10, SIDE_BY_SIDE + ROW + 8 - 212];
  }
  const terms = Object.fromEntries(
    Object.entries(TERM_ROWS).map(([term, [y]]) => [term, [centre, y, mid, ROW]]),
  );
  return { w, wide, edge, boxes, terms };
}

/** The way from a term to a place, as points. Where a term sees maps or logits through others, from those. */
function way({ w, edge, boxes, terms }, term, place) {
  const [x, y, width, height] = boxes[place],
    [tx, ty, mid] = terms[term],
    middle = ty + ROW / 2;
  const onLeft = x < tx,
    inner = onLeft ? x + width : x,
    side = onLeft ? tx : tx + mid,
    centre = x + width / 2;
  if (place === "clean logits" && term !== "labels") {
    // through the interpolation
    const at = centre + (term === "branches" ? -21 : 16);
    return [
      [at, boxes["interpolated lane"][1]],
      [at, y + height],
    ];
  }
  if (place.endsWith("maps") && (term === "mixed" || term === "teacher")) {
    // through the self-teacher
    const at = centre + (term === "mixed" ? -16 : 16);
    return [
      [at, ANSWERS],
      [at, y + height],
    ];
  }
  if (term === "mixed") {
    // round the lanes
    const trunk = onLeft ? edge / 2 - 1 : w - edge / 2 + 1;
    return [
      [side, middle],
      [trunk, middle],
      [trunk, y + height / 2],
      [onLeft ? x : x + width, y + height / 2],
    ];
  }
  if (place.startsWith("teacher on"))
    return [
      [onLeft ? tx + 12 : tx + mid - 12, ty],
      [inner, y + height - 8],
    ];
  return [
    [side, middle],
    [inner, middle],
  ];
}

const path = (points) =>
  points.map(([x, y], i) => `${i ? "L" : "M"}${x.toFixed(1)} ${y.toFixed(1)}`).join("");

/** The last step of a way: its end, and how far x and y go in one pixel of it. */
function end(points) {
  const [[a, b], [x, y]] = points.slice(-2),
    length = Math.hypot(x - a, y - b);
  return [x, y, (x - a) / length, (y - b) / length];
}

function head(points) {
  const [x, y, dx, dy] = end(points),
    back = 8,
    half = 4.5;
  return make("path", {
    class: "mlw-head",
    d: `${path([
      [x, y],
      [x - back * dx - half * dy, y - back * dy + half * dx],
      [x - back * dx + half * dy, y - back * dy - half * dx],
    ])}Z`,
  });
}

/** Beside itself: a level way lower down, an upright one to the right. */
const shift = (points, by) => {
  const [, , dx] = end(points);
  return points.map(([x, y]) => (Math.abs(dx) > 0.5 ? [x, y + by] : [x + by, y]));
};

/** What passes between a term and a place: a gradient to the place, its value to the term, or both. */
function arrow(points, [state, sign, held], attributes) {
  const inside = [],
    from = held ? shift(points, -8) : points;
  if (state === "gradient") {
    inside.push(make("path", { class: "mlw-flow", d: path(from) }), head(from));
    if (sign < 0) {
      const [[a, b], [x, y]] = from,
        far = Math.min(0.36, 11 / Math.hypot(x - a, y - b) + 0.02),
        at = [a + far * (x - a), b + far * (y - b)];
      inside.push(
        make("circle", { cx: at[0], cy: at[1], r: 7.5 }),
        make("text", { x: at[0], y: at[1] + 4.5, "text-anchor": "middle" }, "−"),
      );
    }
  }
  if (state === "detached" || held) {
    const back = shift(points, held ? 8 : 0).reverse(),
      [x, y, dx, dy] = end([...back].reverse());
    const [px, py] = [x - 4 * dx, y - 4 * dy];
    inside.push(
      make("path", { class: "mlw-value-only", d: path(back) }),
      make("g", { class: "mlw-back" }, head(back)),
      make("path", {
        class: "mlw-stop",
        d: path([
          [px - 7 * dy, py + 7 * dx],
          [px + 7 * dy, py - 7 * dx],
        ]),
      }),
    );
  }
  return make(
    "g",
    {
      class: `mlw-arrow${sign < 0 ? " mlw-turned" : ""}`,
      "data-state": state,
      "data-sign": sign,
      "data-held": String(held),
      ...attributes,
    },
    ...inside,
  );
}

/** "the heads learn", "the self-teacher learns". */
export const verb = (part) => (part === "backbone" || part === "teacher" ? "learns" : "learn");

const words = (x, y, text, attributes = {}) =>
  make("text", { x, y, "text-anchor": "middle", ...attributes }, text);

function box([x, y, width, height], lines, attributes = {}) {
  const middle = y + height / 2 + 4.5;
  return make(
    "g",
    attributes,
    make("rect", { x, y, width, height, rx: 6 }),
    ...lines.map((text, i) =>
      words(x + width / 2, lines.length > 1 ? middle - 8 + 17 * i : middle, text, {
        class: i ? "mlw-second" : "mlw-first",
      }),
    ),
  );
}

/**
 * `pick(term)` is called where a term is pressed. `set` draws: arrows by term and place, the set of terms
 * that are on, the one looked at, terms' numbers by part.
 */
export function ledgerGraph({ terms, pick }) {
  const below = make("g", { "aria-hidden": "true" }),
    flows = make("g", { "aria-hidden": "true" });
  const nodes = terms.map((term, i) => {
    const rect = make("rect", { rx: 8 }),
      name = words(0, 0, `${i + 1} ${term}`, { class: "mlw-first" }),
      note = words(0, 0, "", { class: "mlw-second" });
    const node = make(
      "g",
      {
        class: "mlw-term",
        role: "button",
        tabindex: "0",
        "data-term": term,
        onclick: () => pick(term),
        onkeydown: (event) => {
          if (event.key === "Enter" || event.key === " ") {
            event.preventDefault();
            pick(term);
          }
        },
      },
      rect,
      name,
      note,
    );
    return { term, node, rect, name, note };
  });
  const svg = make(
    "svg",
    { class: "mlw-graph", role: "group", "aria-label": "Graph of the loss terms" },
    below,
    flows,
    make("g", {}, ...nodes.map(({ node }) => node)),
  );

  function set({ width, arrows, on, selected, taught }) {
    const at = plan(width),
      { w, wide, boxes } = at,
      long = (short, more) => (wide ? more : short);
    svg.setAttribute("viewBox", `0 0 ${w} ${TALL}`);
    const link = (points) =>
      make("g", { class: "mlw-link" }, make("path", { d: path(points) }), head(points));
    const down = (from, to) => {
      const x = boxes[from][0] + boxes[from][2] / 2;
      return link([
        [x, boxes[from][1] + boxes[from][3]],
        [x, boxes[to][1]],
      ]);
    };
    const middle = (name) => boxes[name][0] + boxes[name][2] / 2,
      [ix, , iw] = boxes.images;
    const part = (name, title) =>
      box(
        boxes[name],
        [
          title,
          taught[name].length
            ? `${long("", `${verb(name)} `)}from ${taught[name].join(" ")}`
            : `${verb(name)} nothing`,
        ],
        {
          class: `mlw-part${taught[name].length ? "" : " mlw-idle"}`,
          "data-part": name,
          "data-taught": taught[name].join(" "),
        },
      );
    const value = (name, ...lines) => box(boxes[name], lines, { class: "mlw-place", "data-place": name });
    below.replaceChildren(
      ...Object.keys(LANES).map((lane) =>
        make(
          "g",
          { class: "mlw-lane" },
          make("rect", {
            ...Object.fromEntries(
              ["x", "y", "width", "height"].map((key, i) => [key, boxes[`${lane} lane`][i]]),
            ),
            rx: 8,
          }),
          words(
            middle(`${lane} lane`),
            230,
            lane === "mixed"
              ? long("mixture", "of the mixture")
              : long("interpolated", "interpolated by λ"),
            { class: "mlw-second" },
          ),
        ),
      ),
      make("g", { class: "mlw-lane" }, make("rect", { x: 0, y: 61, width: w, height: 60, rx: 8 })),
      value("images", "images x", "labels y"),
      value("mixture", "mixture x̃", "labels ỹ"),
      link([
        [ix + iw, 21],
        [boxes.mixture[0], 21],
      ]),
      words(w / 2, 15, long("mix by λ", "mix pairs by λ"), { class: "mlw-second" }),
      ...["images", "mixture"].map((name) => {
        const x = middle(name);
        return link([
          [x, 42],
          [x, 61],
        ]);
      }),
      ...["images", "mixture"].map((name) =>
        link([
          [middle(name), 121],
          [middle(name), name === "images" ? boxes["clean logits"][1] : 212],
        ]),
      ),
      down("clean logits", "interpolated lane"),
      part("backbone", "backbone"),
      part("branches", "branches"),
      part("heads", "heads"),
      part("critics", "critics"),
      part("teacher", "self-teacher"),
      value("clean logits", "logits of x", "b"),
      ...Object.entries(LANES).flatMap(([lane, [maps, answer, own, branch]]) => [
        down(`${lane} maps`, `teacher on ${lane}`),
        value(`${lane} maps`, "maps", maps),
        value(`teacher on ${lane}`, long("self-teacher", "self-teacher's logits"), answer),
        value(`${lane} own logits`, long("own logits", "the network's logits"), own),
        value(`${lane} branch logits`, long("branches", "the branches' logits"), branch),
      ]),
    );
    flows.replaceChildren(
      ...terms
        .filter((term) => on.has(term))
        .flatMap((term) =>
          Object.entries(arrows[term])
            .filter(([place]) => place in boxes && !(place in taught))
            .map(([place, found]) =>
              arrow(way(at, term, place), found, {
                "data-term": term,
                "data-place": place,
                "data-faint": String(Boolean(selected) && selected !== term),
              }),
            ),
        ),
    );
    for (const { term, node, rect, name, note } of nodes) {
      const [x, y, width_, height] = at.terms[term],
        [, short, more] = TERM_ROWS[term],
        off = !on.has(term);
      Object.entries({ x, y, width: width_, height }).forEach(([key, v]) => rect.setAttribute(key, v));
      [
        [name, y + 19],
        [note, y + 35],
      ].forEach(([text, line]) => {
        text.setAttribute("x", x + width_ / 2);
        text.setAttribute("y", line);
      });
      note.textContent = off ? "off" : long(short, more);
      node.setAttribute("class", `mlw-term${off ? " mlw-off" : ""}`);
      node.setAttribute("aria-pressed", String(selected === term));
      node.setAttribute("aria-label", `${term}, ${off ? "off" : more}: show its arrows alone`);
    }
  }
  return { node: svg, set };
}
