// A picture to paint on: a brush by mouse, finger and keyboard, the tools beside it, and steps to undo.
import { roundEven, percent } from "./mix.js";
import { stroke, inverted, filled, edgePath } from "./paint.js";
import { make, slider, button } from "./kit.js";

const KEPT = 60; // steps to undo

/** Show a square image on a canvas: planes of values in [0, 255], or one plane of grey. */
export function put(node, image, side) {
  const data = new Uint8ClampedArray(4 * side * side),
    each = side * side,
    grey = image.length === each;
  for (let i = 0; i < each; i++) {
    for (let c = 0; c < 3; c++) data[4 * i + c] = grey ? image[i] : roundEven(image[c * each + i]);
    data[4 * i + 3] = 255;
  }
  node.getContext("2d").putImageData(new ImageData(data, side, side), 0, 0);
}

/** Values in [0, 1] as `put` takes them. */
export function bytes(image) {
  return image.map((value) => 255 * value);
}

/** A small square canvas with words below it. */
export function tile(name, side) {
  const small = make("canvas", { width: side, height: side, "data-name": `${name}-picture` }),
    caption = make("figcaption");
  return { small, caption, node: make("figure", {}, small, caption) };
}

/**
 * An easel for a mask of bytes, the partner's share. `target` tells λ, `draw` is called while a stroke
 * goes, `done` when it has ended or a tool was used: by hand, or a step back, or what was put there.
 */
export function easel({ side, mask, target, live, draw, done }) {
  let at = [side / 2, side / 2],
    erase = false,
    size = 7,
    blur = 0,
    edge = true,
    pen = null,
    steps = [];

  const remember = () => {
    steps.push(mask.slice());
    steps = steps.slice(-KEPT);
  };
  const mark = (from, to, rub) => stroke(mask, side, from, to, { size, blur, erase: rub });
  const change = (next) => {
    remember();
    mask = next;
    done(true);
  };

  const canvas = make("canvas", { width: side, height: side, "data-name": "mixture" });
  const edges = ["under", "edge"].map((kind) => make("path", { class: `mlw-${kind}` }));
  const rings = ["under", "ring"].map((kind) =>
    make("circle", { class: `mlw-${kind}`, "data-name": kind }),
  );
  const over = make(
    "svg",
    {
      class: "mlw-over",
      viewBox: `0 0 ${side} ${side}`,
      tabindex: "0",
      role: "application",
      "data-name": "easel",
      "aria-roledescription":
        "picture to paint on: arrow keys move the brush, Space paints, Shift and Space erases",
    },
    ...edges,
    make("g", { class: "mlw-brush" }, ...rings),
  );

  const tools = [
    ["Paint", "paint", false],
    ["Erase", "erase", true],
  ].map(([words, name, rub]) =>
    button(
      words,
      () => {
        erase = rub;
        drawTools();
      },
      { "data-name": name },
    ),
  );
  const undo = button(
    "Undo",
    () => {
      mask = steps.pop();
      done(false);
    },
    { "data-name": "undo" },
  );
  const even = button("", () => change(filled(side * side, target())), { "data-name": "fill" });
  const seen = button(
    "Edge",
    () => {
      edge = !edge;
      drawTools();
      drawEdge();
    },
    { "data-name": "edge" },
  );
  const brushSize = slider({
    label: "Brush",
    name: "size",
    min: 1,
    max: 15,
    step: 1,
    value: size,
    show: (v) => `${v} pixel${Number(v) === 1 ? "" : "s"} wide`,
    input: (v) => {
      size = v;
      drawBrush();
    },
  });
  const brushBlur = slider({
    label: "Blur",
    name: "blur",
    min: 0,
    max: 5,
    step: 0.5,
    value: blur,
    show: (v) => (Number(v) ? `σ = ${v} pixels` : "hard, 0 or 1"),
    input: (v) => {
      blur = v;
    },
  });

  function drawBrush() {
    rings.forEach((node) => {
      node.setAttribute("cx", at[0] + 0.5);
      node.setAttribute("cy", at[1] + 0.5);
      node.setAttribute("r", size / 2);
    });
  }
  function drawEdge() {
    edges.forEach((node) => node.setAttribute("d", edge ? edgePath(mask, side) : ""));
  }
  function drawTools() {
    tools.forEach((node, i) => node.setAttribute("aria-pressed", String(erase === Boolean(i))));
    seen.setAttribute("aria-pressed", String(edge));
    undo.disabled = !steps.length;
    even.textContent = `Fill ${percent(1 - target())}`;
    even.setAttribute(
      "aria-label",
      `Fill evenly: ${percent(1 - target())} of the partner at each pixel, as Mixup does`,
    );
  }

  let due = false;
  const soon = () => {
    // many moves of a pointer, one picture
    if (due) return;
    due = true;
    requestAnimationFrame(() => {
      due = false;
      draw();
    });
  };
  const spot = (event) => {
    const box = canvas.getBoundingClientRect();
    return [(event.clientX - box.left) / box.width, (event.clientY - box.top) / box.height].map((v) =>
      Math.max(0, Math.min(side - 1, Math.floor(v * side))),
    );
  };
  over.addEventListener("pointerdown", (event) => {
    if (event.button) return;
    event.preventDefault();
    over.focus({ preventScroll: true });
    over.setPointerCapture(event.pointerId);
    remember();
    pen = event.shiftKey ? !erase : erase;
    at = spot(event);
    mark(at, at, pen);
    drawBrush();
    soon();
  });
  over.addEventListener("pointermove", (event) => {
    const next = spot(event);
    if (pen !== null) {
      mark(at, next, pen);
      soon();
    }
    at = next;
    drawBrush();
  });
  for (const end of ["pointerup", "pointercancel", "lostpointercapture"])
    over.addEventListener(end, () => {
      if (pen === null) return;
      pen = null;
      done(true);
    });
  over.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const step = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] }[event.key];
    if (!step && event.key !== " " && event.key !== "Enter") return;
    event.preventDefault();
    if (step) {
      at = at.map((v, i) => Math.max(0, Math.min(side - 1, v + step[i] * (event.shiftKey ? 4 : 1))));
      drawBrush();
      live.whisper(`column ${at[0]}, row ${at[1]}`);
      return;
    }
    remember();
    mark(at, at, event.shiftKey ? !erase : erase);
    done(true);
  });

  return {
    node: make("div", { class: "mlw-easel" }, canvas, over),
    tools: [
      ...tools,
      undo,
      button("Clear", () => change(new Uint8Array(side * side)), { "data-name": "clear" }),
      button("Invert", () => change(inverted(mask)), { "data-name": "invert" }),
      even,
      seen,
    ],
    brushes: make("div", { class: "mlw-row" }, brushSize.node, brushBlur.node),
    mask: () => mask,
    /** Put another mask there: one step that can be undone, or a new beginning. */
    load(next, anew = false) {
      if (anew) steps = [];
      else remember();
      mask = next;
      done(false);
    },
    /** Show the mixture (values in [0, 1]) and its name. */
    show(image, words) {
      put(canvas, bytes(image), side);
      drawEdge();
      over.setAttribute("aria-label", words);
    },
    refresh() {
      drawBrush();
      drawTools();
    },
  };
}
