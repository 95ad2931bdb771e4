// The plane lab: points of two or three classes, three ways to augment them, and what a model answers.
import { percent } from "./mix.js";
import {
  FEATURES,
  RIDGE,
  examples,
  fit,
  surface,
  shared,
  verdict,
  intrusion,
  border,
  moves,
  shares,
} from "./plane.js";
import { make, frame, colour, slider, button, radios, sentence, python } from "./kit.js";

const ACROSS = 81, // places of the surface on a side
  VIEW = 400, // units of the drawing on a side
  REACH = 22; // screen pixels around a point to take hold of it
const WORDS = { none: "No augmentation", jitter: "Jitter", Mixup: "Mixup" };
const NAMES = ["teal circle", "orange square", "indigo triangle"],
  MANY = NAMES.map((name) => `${name.split(" ")[1]}s`);

function render({ model, el }) {
  const root = frame(el, CSS, "Plane lab: move the points and see what a model answers between them");
  const first = { points: model.get("points"), labels: model.get("labels") };
  const together = model.get("together"), // a point takes its class along
    kinds = Math.max(2, ...first.labels.map((label) => label + 1)),
    fitted = kinds === 2 ? [1] : [0, 1, 2]; // the classes that have a model
  let chosen = 0,
    waiting = 0,
    seen = null;
  const weights = {};
  const set = (values) => {
    for (const [key, value] of Object.entries(values)) model.set(key, value);
    model.save_changes();
  };

  const canvas = make("canvas", { width: ACROSS, height: ACROSS, "data-name": "surface" });
  const line = make("path", { class: "mlw-border", "data-name": "border" }),
    marks = make("g"),
    ring = make("circle", { class: "mlw-ring", r: 13 });
  const over = make(
    "svg",
    {
      class: "mlw-over",
      viewBox: `0 0 ${VIEW} ${VIEW}`,
      tabindex: "0",
      role: "application",
      "data-name": "stage",
      "aria-roledescription":
        together
          ? "clusters to move with the arrow keys; Page Down and Page Up choose one"
          : "points to move with the arrow keys; Page Down and Page Up choose one, Enter changes its class",
    },
    line,
    ring,
    marks,
  );
  const way = radios({
    label: "Train with",
    name: "way",
    options: Object.entries(WORDS).map(([key, words]) => [key, words]),
    value: model.get("augmentation"),
    change: (key) => set({ augmentation: key }),
  });
  const two = (v) => Number(v).toFixed(2);
  const jitter = slider({
    label: "Deviation of the noise",
    name: "jitter",
    min: 0.02,
    max: 0.6,
    step: 0.02,
    value: model.get("jitter"),
    show: two,
    input: (v) => set({ jitter: v }),
  });
  const alpha = slider({
    label: "α of Mixup",
    name: "alpha",
    min: 0.1,
    max: 4,
    step: 0.1,
    value: model.get("alpha"),
    show: two,
    input: (v) => set({ alpha: v }),
  });
  const live = sentence();
  const told = make("p", { class: "mlw-note", "data-name": "chosen" });
  const choose = (step) => {
    const labels = model.get("labels"),
      n = labels.length,
      now = labels[chosen];
    do chosen = (chosen + step + n) % n;
    while (together && labels[chosen] === now && labels.some((label) => label !== now));
    drawPoints();
    live.whisper(told.textContent);
  };
  const move = (x, y) => {
    const tidy = (v) => Math.round(50 * Math.max(-1, Math.min(1, v))) / 50;
    const points = model.get("points"),
      labels = model.get("labels"),
      goes = (i) => (together ? labels[i] === labels[chosen] : i === chosen);
    const step = [tidy(x), tidy(y)].map((v, k) => {
      const all = points.filter((_, i) => goes(i)).map((point) => point[k]);
      return Math.max(-1 - Math.min(...all), Math.min(1 - Math.max(...all), v - points[chosen][k]));
    });
    const moved = ([px, py]) => [px + step[0], py + step[1]].map((v) => Number(v.toFixed(4)));
    set({ points: points.map((point, i) => (goes(i) ? moved(point) : point)) });
  };
  const turn = () => {
    set({ labels: model.get("labels").map((label, i) => (i === chosen ? (label + 1) % kinds : label)) });
  };
  const copy = python(code);
  root.append(
    way.node,
    make("div", { class: "mlw-plane" }, canvas, over),
    ...live.nodes,
    jitter.node,
    alpha.node,
    make(
      "div",
      { class: "mlw-row" },
      button(together ? "Next cluster" : "Next point", () => choose(1), { "data-name": "next" }),
      together ? null : button("Change its class", turn, { "data-name": "turn" }),
      button("Reset the points", () => set(first), { "data-name": "reset" }),
    ),
    told,
    make(
      "p",
      { class: "mlw-note" },
      "The deeper the colour, the surer the model; on a line two classes are equally likely. " +
        (together
          ? "Drag a cluster, or press keys on the picture: arrows move the chosen one (Shift: further), " +
            "Page Down and Page Up choose another."
          : "Drag a point, or press keys on the picture: arrows move the chosen point (Shift: further), " +
            "Page Down and Page Up choose another, Enter changes its class."),
    ),
    copy.node,
  );

  const strengths = () => ({ jitter: model.get("jitter"), alpha: model.get("alpha") });
  const at = ([x, y]) => [((1 + x) * VIEW) / 2, ((1 - y) * VIEW) / 2];
  function drawPoints() {
    const points = model.get("points"),
      labels = model.get("labels");
    chosen = Math.min(chosen, points.length - 1);
    const dot = VIEW / (over.clientWidth || VIEW); // units in a screen pixel
    marks.replaceChildren(
      ...points.flatMap((point, i) => {
        const [x, y] = at(point),
          kind = { class: `mlw-mark mlw-class${labels[i]}` };
        return [
          [
            () => make("circle", { ...kind, cx: x, cy: y, r: 7.5 }),
            () => make("rect", { ...kind, x: x - 6.5, y: y - 6.5, width: 13, height: 13 }),
            () => make("path", { ...kind, d: `M${x - 8} ${y + 6.5}h16L${x} ${y - 8}z` }),
          ][labels[i]](),
          make("circle", { class: "mlw-hold", cx: x, cy: y, r: REACH * dot, "data-point": i }),
        ];
      }),
    );
    const [x, y] = at(points[chosen]);
    ring.setAttribute("cx", x);
    ring.setAttribute("cy", y);
    const place = points[chosen].map((v) => v.toFixed(2).replace("-", "−")).join(", ");
    const who = together
      ? `the cluster of ${MANY[labels[chosen]]}, one of them`
      : `point ${chosen + 1} of ${points.length}, ${NAMES[labels[chosen]]},`;
    told.textContent = `Chosen: ${who} at (${place}).`;
  }
  function drawSurface() {
    const tints = ["--own", "--partner", "--third"].map((name) => colour(root, name)),
      ground = colour(root, "--ground");
    const image = new ImageData(ACROSS, ACROSS);
    seen[0].forEach((_, i) => {
      const all = seen.map((p) => p[i]),
        most = Math.max(...all);
      const row = ACROSS - 1 - Math.floor(i / ACROSS),
        place = 4 * (row * ACROSS + (i % ACROSS)),
        tint = tints[all.indexOf(most)],
        depth = (0.72 * (kinds * most - 1)) / (kinds - 1);
      for (let c = 0; c < 3; c++) image.data[place + c] = ground[c] + depth * (tint[c] - ground[c]);
      image.data[place + 3] = 255;
    });
    canvas.getContext("2d").putImageData(image, 0, 0);
    const word = (x, y) =>
      at([x, y])
        .map((v) => v.toFixed(1))
        .join(" ");
    line.setAttribute(
      "d",
      seen
        .slice(1) // the first class has no border of its own
        .flatMap((own) => {
          const best = own.map((_, i) => Math.max(...seen.filter((p) => p !== own).map((p) => p[i])));
          return border(own.map((p, i) => (1 + p - best[i]) / 2), ACROSS);
        })
        .map(([x0, y0, x1, y1]) => `M${word(x0, y0)}L${word(x1, y1)}`)
        .join(""),
    );
  }
  function train() {
    waiting = 0;
    const points = model.get("points"),
      labels = model.get("labels"),
      kind = model.get("augmentation");
    weights[kind] = fitted.map((own, k) =>
      fit(examples(points, labels, kind, strengths(), own), weights[kind]?.[k]),
    );
    seen = shared(weights[kind].map((found) => surface(found, ACROSS)));
    const { right, unsure } = verdict(weights[kind], points, labels, seen);
    let said =
      `${WORDS[kind]}: ${right} of ${points.length} points on the side of their class; ` +
      `less than 90 % sure on ${percent(unsure)} of the square.`;
    if (kinds === 3 && kind === "Mixup") {
      const land = intrusion(points, labels, model.get("alpha")),
        most = land.lastIndexOf(Math.max(...land)),
        pair = MANY.filter((_, c) => c !== most).join(" and ");
      said += ` Intrusion: ${percent(land[most])} of mixtures of ${pair} land among the ${MANY[most]}.`;
    }
    live.say(said);
    over.setAttribute("aria-label", said);
    drawSurface();
    copy.refresh();
  }
  function draw() {
    const kind = model.get("augmentation");
    way.set(kind);
    jitter.node.hidden = kind !== "jitter";
    alpha.node.hidden = kind !== "Mixup";
    jitter.set(model.get("jitter"));
    alpha.set(model.get("alpha"));
    drawPoints();
    if (!seen) train();
    else waiting ||= requestAnimationFrame(train);
  }

  const spot = (event) => {
    const box = over.getBoundingClientRect();
    return [
      (2 * (event.clientX - box.left)) / box.width - 1,
      1 - (2 * (event.clientY - box.top)) / box.height,
    ];
  };
  let held = null;
  over.addEventListener("pointerdown", (event) => {
    if (event.button) return;
    const [x, y] = spot(event),
      points = model.get("points"),
      far = points.map((point) => Math.hypot(point[0] - x, point[1] - y));
    const nearest = far.indexOf(Math.min(...far));
    over.focus({ preventScroll: true });
    if (far[nearest] * (over.clientWidth / 2) > REACH) return;
    event.preventDefault();
    chosen = nearest;
    held = [points[nearest][0] - x, points[nearest][1] - y];
    over.setPointerCapture(event.pointerId);
    drawPoints();
  });
  over.addEventListener("pointermove", (event) => {
    if (!held) return;
    const [x, y] = spot(event);
    move(x + held[0], y + held[1]);
  });
  for (const end of ["pointerup", "pointercancel", "lostpointercapture"])
    over.addEventListener(end, () => {
      held = null;
    });
  over.addEventListener("keydown", (event) => {
    const way = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, 1], ArrowDown: [0, -1] }[event.key];
    const [x, y] = model.get("points")[chosen],
      size = event.shiftKey ? 0.1 : 0.02;
    if (way) move(x + size * way[0], y + size * way[1]);
    else if (event.key === "PageDown") choose(1);
    else if (event.key === "PageUp") choose(-1);
    else if (event.key === "Enter" || event.key === " ") turn();
    else return;
    event.preventDefault();
  });

  function code() {
    const list = (values) => `[${values.map((v) => (Array.isArray(v) ? list(v) : v)).join(", ")}]`,
      short = (v) => Number(v.toFixed(12)),
      kind = model.get("augmentation");
    const made = {
      none: "x, y, count = points, own, own.new_ones(n)",
      jitter:
        "# sixteen equally likely moves of a point\n" +
        `moves = points.new_tensor(${list(moves(model.get("jitter")).map((v) => v.map(short)))})\n` +
        "x = (points[:, None] + moves).flatten(0, 1)\n" +
        "y = own.repeat_interleave(16)\ncount = own.new_ones(16 * n)",
      Mixup:
        `# four equally likely shares of Beta(${model.get("alpha")}, ${model.get("alpha")})\n` +
        `lam = points.new_tensor(${list(shares(model.get("alpha")).map(short))})[:, None]\n` +
        "i, j = torch.tril_indices(n, n, -1)  # every pair\n" +
        "x = lam[..., None] * points[i] + (1 - lam[..., None]) * points[j]\n" +
        "y = lam * own[i] + (1 - lam) * own[j]\n" +
        "x, y = torch.cat([points, x.flatten(0, 1)]), torch.cat([own, y.flatten()])\n" +
        "count = y.new_full((len(y),), 1 / 2)  # a pair has two orders and four shares\ncount[:n] = 1",
    };
    const inside = (text) => text.replace(/^(?=.)/gm, "    ");
    return (
      "import math, torch\n\n" +
      `points = torch.tensor(${list(model.get("points"))}, dtype=torch.float64)\n` +
      `labels = torch.tensor(${list(model.get("labels"))})\nn = len(points)\n\n` +
      `k = torch.arange(1, ${FEATURES + 1}, dtype=torch.float64)\n` +
      "angle = 2 * math.pi * (k * 0.7548776662466927 % 1)\n" +
      "offset = 1.2 * (2 * (k * 0.5698402909980532 % 1) - 1)\n" +
      "hinges = torch.stack([angle.cos(), angle.sin()])\n" +
      "features = lambda x: torch.cat([torch.ones_like(x[:, :1]), (x @ hinges + offset).relu()], 1)\n" +
      `ridge = points.new_full((${FEATURES + 1},), ${RIDGE})\nridge[0] = 1e-9\n\n` +
      "def fit(own):  # 1 for points of the class, 0 for the others\n" +
      inside(
        `${made[kind]}\n` +
          "rows, count = features(x), count / count.sum()\n" +
          "loss = lambda w: (count * torch.nn.functional.binary_cross_entropy_with_logits(rows @ w, y, " +
          'reduction="none")).sum() + (ridge * w**2).sum() / 2\n' +
          "w = torch.zeros_like(ridge)\n" +
          "for _ in range(40):  # Newton's method, with steps that lower the loss\n" +
          "    p = (rows @ w).sigmoid()\n" +
          "    slope = rows.T @ (count * (p - y)) + ridge * w\n" +
          "    step = torch.linalg.solve((rows.T * (count * p * (1 - p))) @ rows + ridge.diag(), slope)\n" +
          "    while loss(w - step) > loss(w) + 1e-12 and step.abs().max() > 1e-9:\n        step = step / 2\n" +
          "    w = w - step\nreturn w\n",
      ) +
      `\nmodels = [fit((labels == c).double()) for c in ${list(fitted)}]\n` +
      "def chances(x):  # of each class\n" +
      "    p = torch.stack([(features(x) @ w).sigmoid() for w in models], 1)\n" +
      (kinds === 2 ? "    return torch.cat([1 - p, p], 1)\n\n" : "    return p / p.sum(1, True)\n\n") +
      `side = torch.linspace(-1, 1, ${ACROSS}, dtype=torch.float64)\n` +
      "p = chances(torch.cartesian_prod(side, side))\n" +
      "right = (chances(points).argmax(1) == labels).sum().item()\n" +
      "unsure = (p.amax(1) < 0.9).double().mean().item()\n" +
      'print(right, "of", n, f"{100 * unsure:.0f} %")\n' +
      (kinds === 3 && kind === "Mixup" ? intruders() : "")
    );
  }
  const intruders = () =>
    "\n# how many mixtures of two classes land in the disc of the third\n" +
    `alpha, lam = ${model.get("alpha")}, (torch.arange(2000, dtype=torch.float64) + 0.5) / 2000\n` +
    "area = math.gamma(alpha) ** 2 / math.gamma(2 * alpha)\n" +
    "weight, lam = (lam * (1 - lam)) ** (alpha - 1) / area / 2000, lam[:, None, None, None]\n" +
    "for c in range(3):\n" +
    "    a, b = (points[labels == k] for k in range(3) if k != c)\n" +
    "    disc = points[labels == c] - points[labels == c].mean(0)\n" +
    "    mixed = lam * a[:, None] + (1 - lam) * b - points[labels == c].mean(0)\n" +
    "    inside = mixed.norm(dim=-1) <= disc.norm(dim=1).max()\n" +
    '    print(c, f"{100 * (weight * inside.double().mean((1, 2))).sum():.0f} %")\n';

  for (const key of ["points", "labels", "augmentation", "jitter", "alpha"]) model.on(`change:${key}`, draw);
  root.addEventListener("mlw-theme", () => seen && drawSurface());
  const watch = new ResizeObserver(drawPoints);
  watch.observe(over);
  draw();
  return () => {
    watch.disconnect();
    root.forget();
  };
}
export default { render };
