// The mosaic lab: four scenes meet at a point; boxes are cut at the frame, and dropped if little is left.
import { painted, places, seen } from "./mosaic.js";
import { make, frame, slider, choice, sentence, python, pixels } from "./kit.js";

const MARGIN = 0.25, // of a side, around the mosaic on the stage
  FAINT = 80, // of 255: the cover of what is cut off
  CORNERS = ["Top left", "Top right", "Bottom left", "Bottom right"];

async function render({ model, el }) {
  const scenes = await Promise.all(
    model.get("photos").map(async (photo) => ({ ...photo, data: (await pixels(photo.url)).data })),
  );
  const size = model.get("size"),
    margin = Math.round(MARGIN * size),
    side = size + 2 * margin;
  const root = frame(el, CSS, "Mosaic lab: four scenes, and what becomes of their boxes");
  const set = (key, value) => {
    model.set(key, value);
    model.save_changes();
  };
  const move = (x, y) =>
    set(
      "centre",
      [x, y].map((v) => Math.min(size, Math.max(0, Math.round(v)))),
    );

  const canvas = make("canvas", { "data-name": "mosaic", width: side, height: side });
  const marks = make("g"),
    cross = [make("line", { class: "mlw-edge" }), make("line", { class: "mlw-edge" })],
    knob = make("circle", { class: "mlw-knob" }),
    hold = make("circle", { class: "mlw-hold", "data-name": "centre" });
  const over = make(
    "svg",
    {
      class: "mlw-over",
      viewBox: `${-margin} ${-margin} ${side} ${side}`,
      tabindex: "0",
      role: "application",
      "data-name": "stage",
      "aria-roledescription": "mosaic, whose centre the arrow keys move",
    },
    make("rect", { class: "mlw-edge", x: 0, y: 0, width: size, height: size }),
    ...cross,
    marks,
    knob,
    hold,
  );
  const stage = make("div", { class: "mlw-laid" }, canvas, over);
  const rows = make("tbody");
  const head = ["object", "visible", "box"].map((word) => make("th", { scope: "col" }, word));
  const top = make("thead", {}, make("tr", {}, ...head)),
    table = make("table", { class: "mlw-sum mlw-fates" }, top, rows);
  const live = sentence();
  const names = scenes.map(({ name }) => name);
  const picks = CORNERS.map((label, k) =>
    choice({
      label,
      name: `place${k}`,
      options: names,
      value: names[0],
      change: (name) => {
        const order = [...model.get("order")];
        order[k] = names.indexOf(name);
        set("order", order);
      },
    }),
  );
  const one = (key, label, min, max) =>
    slider({
      ...{ label, name: key, min, max, step: 0.01, value: model.get(key) },
      show: (v) => Number(v).toFixed(2),
      input: (v) => set(key, v),
    });
  const scale = one("scale", "Size τ", 0.1, 1),
    least = one("least", "Drop a box of which less than this is visible", 0, 1);
  const copy = python(() => {
    const [order, centre] = [model.get("order"), model.get("centre")].map((list) => list.join(", "));
    const given = model.get("shipped")
      ? 'from mixlearn.data.scenes import emoji_scenes\n\nscenes = emoji_scenes("concepts", 6, ' +
        "objects=(2, 3), generator=torch.Generator().manual_seed(0))\n"
      : "\n# scenes: those the widget was given\n";
    return (
      `import torch\n\nimport mixlearn as ml\n${given}order, centre = [${order}], [${centre}]\n` +
      "mixed = ml.mosaic(scenes.images[order] / 255, " +
      `scale=${model.get("scale")}, centre=centre, fill=114 / 255,\n` +
      "                  partners=[[1, 2, 3, 0], [2, 3, 0, 1], [3, 0, 1, 2]])\n" +
      "objects = ml.mix_objects(mixed.plan, [scenes.boxes[i].float() for i in order],\n" +
      `                         [scenes.labels[i] for i in order], least=${model.get("least")})[0]\n` +
      "for box, label, share in zip(objects.boxes, objects.labels, objects.visible):\n" +
      '    print(f"{scenes.classes[label]}: {share:.0%} visible, {box.round().int().tolist()}")\n'
    );
  });
  const note =
    "Drag the centre, or move it with the arrow keys (Shift: 8 pixels). Outside the frame: what is cut " +
    "off. Solid: boxes for training. Dashed: what is lost of a box, or a box that is dropped.";
  root.append(
    make("div", { class: "mlw-mosaic" }, make("div", {}, stage, ...live.nodes), table),
    make("p", { class: "mlw-note" }, note),
    scale.node,
    least.node,
    make("div", { class: "mlw-places" }, ...picks.map(({ node }) => node)),
    copy.node,
  );

  const lay = (kind, [x, y, x1, y1]) =>
    make("rect", { class: `mlw-${kind}`, x, y, width: Math.max(0, x1 - x), height: Math.max(0, y1 - y) });
  function fate({ whole, part, visible }) {
    const kept = visible > 0 && visible >= model.get("least");
    const told = !visible ? "out of sight" : !kept ? "dropped" : visible > 1 - 1e-9 ? "whole" : "cut";
    if (told !== "whole") marks.append(lay("halo", whole), lay("lost", whole));
    if (kept) marks.append(lay("halo", part), lay("kept", part));
    return told;
  }
  function draw() {
    const [order, [x, y]] = [model.get("order"), model.get("centre")],
      all = places(size, [x, y], model.get("scale")),
      four = order.map((i) => scenes[i]);
    const data = painted(
      four.map((scene) => scene.data),
      all,
      size,
      margin,
      [x, y],
      FAINT,
    );
    canvas.getContext("2d").putImageData(new ImageData(data, side, side), 0, 0);
    marks.replaceChildren();
    const count = { whole: 0, cut: 0, dropped: 0, "out of sight": 0 };
    const told = four.flatMap(({ boxes, classes }, k) =>
      boxes.map((box, i) => {
        const found = seen(box, all[k], size),
          word = fate(found);
        count[word] += 1;
        const last = word === "whole" || word === "cut" ? found.part.map(Math.round).join(", ") : word;
        const cells = [classes[i], `${Math.round(100 * found.visible)} %`, last];
        return make("tr", { "data-fate": word }, ...cells.map((text) => make("td", {}, text)));
      }),
    );
    rows.replaceChildren(...told);
    const total = told.length,
      fates = Object.entries(count).map(([word, n]) => `${n} ${word}`);
    const said = `Centre (${x}, ${y}). Of ${total} boxes: ${fates.join(", ")}.`;
    over.setAttribute("aria-label", said);
    live.say(said);
    const dot = (over.clientWidth || 300) / side; // screen pixels in one of the mosaic's
    [
      [x, -margin, x, size + margin],
      [-margin, y, size + margin, y],
    ].forEach((ends, i) => ["x1", "y1", "x2", "y2"].forEach((key, j) => cross[i].setAttribute(key, ends[j])));
    for (const [node, r] of [
      [knob, 8],
      [hold, 22],
    ])
      Object.entries({ cx: x, cy: y, r: r / dot }).forEach(([key, v]) => node.setAttribute(key, v));
    picks.forEach((pick, k) => pick.set(four[k].name));
    scale.set(model.get("scale"));
    least.set(model.get("least"));
    copy.refresh();
  }

  const spot = (event) => {
    const at = over.getBoundingClientRect();
    return [event.clientX - at.left, event.clientY - at.top].map((v) => (v / at.width) * side - margin);
  };
  let held = false;
  hold.addEventListener("pointerdown", (event) => {
    if (event.button) return;
    event.preventDefault();
    over.focus({ preventScroll: true });
    hold.setPointerCapture(event.pointerId);
    held = true;
  });
  hold.addEventListener("pointermove", (event) => held && move(...spot(event)));
  for (const end of ["pointerup", "pointercancel", "lostpointercapture"])
    hold.addEventListener(end, () => {
      held = false;
    });
  over.addEventListener("click", (event) => event.target === over && move(...spot(event)));
  over.addEventListener("keydown", (event) => {
    const step = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] }[event.key];
    if (!step || event.ctrlKey || event.metaKey || event.altKey) return;
    event.preventDefault();
    const [x, y] = model.get("centre"),
      by = event.shiftKey ? 8 : 1;
    move(x + by * step[0], y + by * step[1]);
  });
  for (const key of ["centre", "order", "scale", "least"]) model.on(`change:${key}`, draw);
  const resized = new ResizeObserver(draw);
  resized.observe(over);
  draw();
  return () => {
    resized.disconnect();
    root.forget();
  };
}
export default { render };
