// The box lab: a box of one photograph in another, pushed about, and what λ becomes of it.
import { describe } from "./mix.js";
import {
  boxSides,
  clipBox,
  keptShare,
  boxAround,
  boxCentre,
  holdBox,
  nearest,
  pasteBox,
  describeBox,
} from "./boxes.js";
import { make, frame, slider, button, choice, sentence, python, predict, pixels, quoted } from "./kit.js";
import { manyThrows } from "./throws.js";

const MARGIN = 0.3; // of a side, around the picture on the stage, for boxes that hang over
const GRIP = 40; // screen pixels of a corner to drag
const KEPT = ["x", "y", "width", "height", "canvas_height", "canvas_width", "alpha"];

async function render({ model, el }) {
  const photos = {};
  await Promise.all(
    model.get("photos").map(async ({ name, url }) => {
      photos[name] = await pixels(url);
    }),
  );
  const names = model.get("photos").map(({ name }) => name),
    size = photos[names[0]].width;
  const root = frame(el, CSS, "Box lab: paste a box of one photograph into another");
  const first = Object.fromEntries(KEPT.map((key) => [key, model.get(key)]));
  const shapes = [
    ...new Set(
      [
        [first.canvas_height, first.canvas_width],
        [128, 128],
        [127, 127],
        [96, 128],
        [33, 33],
      ].map((pair) => pair.join("×")),
    ),
  ];
  let wish = null;

  const state = () => {
    const H = model.get("canvas_height"),
      W = model.get("canvas_width");
    const box = ["x", "y", "width", "height"].map((key) => model.get(key)),
      cut = clipBox(box, H, W);
    return {
      H,
      W,
      box,
      cut,
      own: model.get("own_name"),
      partner: model.get("partner_name"),
      asked: 1 - (box[2] * box[3]) / (H * W),
      share: keptShare(cut, H, W),
    };
  };
  const set = (values) => {
    for (const [key, value] of Object.entries(values)) model.set(key, value);
    model.save_changes();
  };
  const setBox = ([x, y, width, height]) => set({ x, y, width, height });
  const place = (box) => {
    const { H, W } = state();
    setBox(holdBox(box, H, W));
  };

  const cls = (kind, name) => make("rect", { class: `mlw-${kind}`, "data-name": name });
  const mixture = make("canvas", { "data-name": "mixture" });
  const dashed = [cls("under"), cls("asked", "asked-box")],
    solid = [cls("under"), cls("pasted", "pasted-box")];
  const body = cls("grip", "body"),
    knobs = [0, 1, 2, 3].map(() => cls("knob"));
  const grips = knobs.map((_, i) => make("rect", { class: "mlw-grip", "data-corner": i }));
  const over = make(
    "svg",
    {
      class: "mlw-over",
      tabindex: "0",
      role: "application",
      preserveAspectRatio: "none",
      "data-name": "stage",
      "aria-roledescription": "box to move with the arrow keys, and to resize with Alt and the arrow keys",
    },
    ...dashed,
    ...solid,
    ...knobs,
    body,
    ...grips,
  );
  const stage = make("div", { class: "mlw-stage" }, mixture, over);
  const source = () => {
    const canvas = make("canvas"),
      caption = make("figcaption"),
      outline = [cls("under"), cls("pasted")];
    const svg = make("svg", { class: "mlw-over", "aria-hidden": "true" }, ...outline);
    return {
      canvas,
      caption,
      outline,
      svg,
      node: make("figure", {}, make("div", { class: "mlw-lay" }, canvas, svg), caption),
    };
  };
  const sources = [source(), source()];

  const rules = [
    ["pixels", "By the pixels"],
    ["asked", "As asked"],
    ["majority", "One-hot majority"],
  ].map(([name, words]) => {
    const part = make("span", { class: "mlw-own mlw-slim" }),
      said = make("p", { "data-name": `rule-${name}` });
    return {
      name,
      words,
      part,
      said,
      bar: make(
        "div",
        { class: "mlw-bar", "aria-hidden": "true" },
        part,
        make("span", { class: "mlw-partner mlw-slim" }),
      ),
    };
  });
  const facts = ["asked", "pasted"].map((name) => ({
    name,
    sum: make("td", { "data-name": `${name}-sum` }),
  }));
  const live = sentence();

  const pickOwn = choice({
    label: "Image",
    name: "own",
    options: names,
    value: names[0],
    change: (v) => set({ own_name: v }),
  });
  const pickPartner = choice({
    label: "Partner",
    name: "partner",
    options: names,
    value: names[0],
    change: (v) => set({ partner_name: v }),
  });
  const swap = button("Swap", () => set({ own_name: state().partner, partner_name: state().own }), {
    "data-name": "swap",
  });
  const shape = choice({
    label: "Height×width",
    name: "shape",
    options: shapes,
    value: shapes[0],
    change: (v) => {
      const { H, W, box } = state(),
        [tall, wide] = v.split("×").map(Number);
      const [x, y, width, height] = holdBox(
        box.map((value, i) => Math.round(value * (i % 2 ? tall / H : wide / W))),
        tall,
        wide,
      );
      set({ canvas_height: tall, canvas_width: wide, x, y, width, height });
    },
  });
  const lam = slider({
    label: "λ asked",
    name: "lam",
    min: 0,
    max: 1,
    step: 0.01,
    value: state().asked,
    show: (v) => Number(v).toFixed(2),
    input: (v) => {
      const { H, W, box } = state();
      wish = v;
      place(boxAround(...boxCentre(box), ...boxSides(v, H, W)));
    },
  });
  const alpha = slider({
    label: "α",
    name: "alpha",
    min: 0.1,
    max: 4,
    step: 0.1,
    value: first.alpha,
    show: (v) => String(Number(Number(v).toFixed(2))),
    input: (v) => set({ alpha: v }),
  });

  const throws = manyThrows({ model, root, state, paint });
  const cast = (n) => {
    const { asked, box } = throws.cast(n);
    if (n === 1) {
      wish = asked;
      setBox(box);
    }
    throws.draw();
    copy.refresh();
  };
  const reset = () => {
    wish = null;
    set(first);
    throws.reset();
    draw();
  };

  const copy = python(() => {
    const { H, W, own, partner, box, cut } = state(),
      pair = `${quoted(own)}, ${quoted(partner)}`,
      n = Math.max(throws.count(), 1000);
    const images = model.get("shipped")
      ? `images = ml.data.photos(size=${size}).pick(${pair}).images\n`
      : `images = images[[${names.indexOf(own)}, ${names.indexOf(partner)}]]            # of those ` +
        "the widget was given\n";
    const resample =
      H === size && W === size
        ? ""
        : `rows, columns = (torch.arange(${H}) * ${size}) // ${H}, (torch.arange(${W}) * ${size}) ` +
          `// ${W}\nimages = images[:, :, rows][:, :, :, columns]\n`;
    const over =
      String(cut) === String([box[0], box[1], box[0] + box[2], box[1] + box[3]])
        ? ""
        : `# asked: ${box[2]} × ${box[3]} pixels from column ${box[0]}, row ${box[1]}; the border cuts it\n`;
    return (
      `import torch, mixlearn as ml\n\n${images}${resample}${over}` +
      "mixed = ml.cutmix(images, torch.tensor([0, 1]), num_classes=2,\n" +
      `                  boxes=[${cut.join(", ")}], partner=[1, 0])\n` +
      `print(mixed.plan.describe(0, [${pair}]))\n\n` +
      `generator = torch.Generator().manual_seed(${model.get("seed")})      # ${n} throws\n` +
      `asked = ml.sample_lam(${n}, ${model.get("alpha")}, generator=generator)\n` +
      `x0, y0, x1, y1 = ml.sample_boxes(asked, ${H}, ${W}, generator=generator).T\n` +
      `realised = 1 - (x1 - x0) * (y1 - y0) / ${H * W}\n` +
      `print(f"mean asked {asked.mean():.3f}, mean realised {realised.mean():.3f}")\n`
    );
  });
  const question = predict({
    question: "At α = 1 the mean asked λ is 0.50. What is the mean realised λ?",
    options: ["0.50", "0.60", "0.68", "0.80"].map((words) => [
      words,
      words === "0.68",
      () =>
        "It is 0.68: boxes that hang over the border lose pixels, so the image keeps more of " +
        "itself than was asked. Throw 1 000 boxes below.",
    ]),
  });

  root.append(
    question,
    make("div", { class: "mlw-row" }, pickOwn.node, pickPartner.node, swap, shape.node),
    make(
      "div",
      { class: "mlw-box" },
      stage,
      make("div", { class: "mlw-sources" }, ...sources.map(({ node }) => node)),
    ),
    make(
      "p",
      { class: "mlw-note" },
      "Dashed: the box as asked. Solid: the part that is pasted. Drag the box, or a corner to " +
        "resize it. Keys on the picture: arrows move the box by 1 pixel, Shift + arrows by 8, Alt " +
        "+ arrows resize it.",
    ),
    ...live.nodes,
    lam.node,
    make(
      "table",
      { class: "mlw-sum mlw-boxes" },
      make(
        "tbody",
        {},
        ...facts.map(({ name, sum }) => make("tr", {}, make("th", { scope: "row" }, name), sum)),
      ),
    ),
    make("h4", {}, "The label, by each rule"),
    make("div", { class: "mlw-rules" }, ...rules.flatMap(({ said, bar }) => [said, bar])),
    make("h4", {}, "Many boxes"),
    alpha.node,
    make(
      "div",
      { class: "mlw-row" },
      button("Draw 1", () => cast(1), { "data-name": "draw1" }),
      button("Throw 1 000 boxes", () => cast(1000), { "data-name": "throw" }),
      button("Reset", reset, { "data-name": "reset" }),
    ),
    ...throws.nodes,
    copy.node,
  );

  const cache = {};
  const picture = (name, H, W) => (cache[`${H}×${W} ${name}`] ||= nearest(photos[name].data, size, H, W));
  function paint(canvas, data, H, W) {
    if (canvas.width !== W || canvas.height !== H) {
      canvas.width = W;
      canvas.height = H;
    }
    canvas.getContext("2d").putImageData(new ImageData(data, W, H), 0, 0);
  }
  const lay = (node, [x0, y0, x1, y1]) =>
    Object.entries({ x: x0, y: y0, width: Math.max(0, x1 - x0), height: Math.max(0, y1 - y0) }).forEach(
      ([k, v]) => node.setAttribute(k, v),
    );

  function drawStage() {
    const { H, W, box, cut } = state(),
      ends = [box[0], box[1], box[0] + box[2], box[1] + box[3]];
    stage.style.aspectRatio = `${W} / ${H}`;
    over.setAttribute(
      "viewBox",
      `${-MARGIN * W} ${-MARGIN * H} ${(1 + 2 * MARGIN) * W} ${(1 + 2 * MARGIN) * H}`,
    );
    dashed.forEach((node) => lay(node, ends));
    solid.forEach((node) => lay(node, cut));
    lay(body, ends);
    const dot = (over.clientWidth || 400) / ((1 + 2 * MARGIN) * W); // screen pixels in one of the picture's
    const inner = [box[2], box[3]].map((side) => Math.min(GRIP / 2 / dot, side / 3)),
      reach = GRIP / dot; // the middle third moves the box
    grips.forEach((grip, i) => {
      const x = ends[i % 2 ? 2 : 0],
        y = ends[i < 2 ? 1 : 3];
      const [left, top] = [
        i % 2 ? x - inner[0] : x + inner[0] - reach,
        i < 2 ? y + inner[1] - reach : y - inner[1],
      ];
      lay(grip, [left, top, left + reach, top + reach]);
      lay(knobs[i], [x - 4.5 / dot, y - 4.5 / dot, x + 4.5 / dot, y + 4.5 / dot]);
    });
  }
  function draw() {
    const s = state(),
      { H, W, own, partner, box, cut } = s;
    const pair = [own, partner].map((name) => picture(name, H, W));
    paint(mixture, pasteBox(...pair, cut, W), H, W);
    sources.forEach(({ canvas, caption, outline, svg }, i) => {
      paint(canvas, pair[i], H, W);
      caption.textContent = i ? `partner: ${partner}` : `image: ${own}`;
      svg.setAttribute("viewBox", `0 0 ${W} ${H}`);
      outline.forEach((node) => lay(node, cut));
    });
    drawStage();
    const said = describeBox(s.share, own, partner, cut);
    const labels = { pixels: s.share, asked: s.asked, majority: s.share >= 0.5 ? 1 : 0 };
    rules.forEach(({ name, words, part, said: line }) => {
      part.style.width = `${100 * labels[name]}%`;
      part.style.borderWidth = labels[name] % 1 ? "" : "0"; // all of one colour
      line.textContent =
        `${words}: ` +
        (name === "majority"
          ? `100 % ${labels[name] ? own : partner}`
          : describe(labels[name], own, partner));
    });
    const sum = (w, h, share) => `${w} × ${h} pixels, so λ = 1 − ${w * h} / ${H * W} = ${share.toFixed(3)}`;
    facts[0].sum.textContent = sum(box[2], box[3], s.asked);
    facts[1].sum.textContent = sum(cut[2] - cut[0], cut[3] - cut[1], s.share);
    over.setAttribute("aria-label", `mixture: ${said}`);
    const before = live.nodes[0].textContent;
    live.say(said);
    if (before && before !== said)
      live.whisper(`${said}. ${rules.map(({ said: line }) => line.textContent).join(". ")}.`);
    // resized by other means
    if (wish !== null && String(boxSides(wish, H, W)) !== String(box.slice(2))) wish = null;
    lam.set(wish ?? s.asked);
    const word = `${H}×${W}`,
      list = shape.node.querySelector("select");
    if (![...list.options].some((option) => option.value === word))
      list.append(make("option", { value: word }, word));
    shape.set(word);
    pickOwn.set(own);
    pickPartner.set(partner);
    alpha.set(model.get("alpha"));
    throws.draw();
    copy.refresh();
  }

  // the pixel under a pointer, counted from the picture's corner
  const spot = (event) => {
    const { H, W } = state(),
      at = mixture.getBoundingClientRect();
    return [((event.clientX - at.left) / at.width) * W, ((event.clientY - at.top) / at.height) * H];
  };
  [body, ...grips].forEach((grip) => {
    let from = null;
    grip.addEventListener("pointerdown", (event) => {
      if (event.button) return;
      event.preventDefault();
      over.focus({ preventScroll: true });
      grip.setPointerCapture(event.pointerId);
      from = { at: spot(event), box: state().box };
    });
    grip.addEventListener("pointermove", (event) => {
      if (!from) return;
      const { H, W } = state(),
        [x, y, w, h] = from.box,
        moved = spot(event).map((v, i) => Math.round(v - from.at[i]));
      if (grip === body) {
        place([x + moved[0], y + moved[1], w, h]);
        return;
      }
      const i = grips.indexOf(grip),
        hold = [i % 2 ? x : x + w, i < 2 ? y + h : y]; // the opposite corner stays
      const wide = Math.max(0, Math.min(W, w + (i % 2 ? 1 : -1) * moved[0])),
        tall = Math.max(0, Math.min(H, h + (i < 2 ? -1 : 1) * moved[1]));
      place([i % 2 ? hold[0] : hold[0] - wide, i < 2 ? hold[1] - tall : hold[1], wide, tall]);
    });
    for (const end of ["pointerup", "pointercancel", "lostpointercapture"])
      grip.addEventListener(end, () => {
        from = null;
      });
  });
  over.addEventListener("click", (event) => {
    // beside the box: it comes here
    if (event.target !== over) return;
    const { box } = state();
    place(boxAround(...spot(event).map(Math.floor), box[2], box[3]));
  });
  over.addEventListener("keydown", (event) => {
    const step = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] }[event.key];
    if (!step || event.ctrlKey || event.metaKey) return;
    event.preventDefault();
    const { box } = state(),
      by = event.shiftKey ? 8 : 1,
      [dx, dy] = step.map((v) => v * by);
    place(
      event.altKey
        ? [box[0], box[1], box[2] + dx, box[3] + dy]
        : [box[0] + dx, box[1] + dy, box[2], box[3]],
    );
  });

  let due = false;
  const later = () => {
    // several traits change at once
    if (due) return;
    due = true;
    queueMicrotask(() => {
      due = false;
      draw();
    });
  };
  model.on("change:alpha", () => {
    throws.restart();
    later();
  }); // they were another Beta's
  for (const key of [...KEPT.slice(0, -1), "own_name", "partner_name"]) model.on(`change:${key}`, later);
  const resized = new ResizeObserver(drawStage);
  resized.observe(over);
  draw();
  return () => {
    resized.disconnect();
    root.forget();
  };
}
export default { render };
