// The λ mixer: two photographs, one number between them.
import { mixBytes, percent, describe, uniform, betaDraw, looksUnmixed } from "./mix.js";
import {
  make,
  frame,
  slider,
  button,
  choice,
  radios,
  sentence,
  python,
  predict,
  pixels,
  quoted,
} from "./kit.js";

const LEAST = 0.95; // the larger share from which a mixture counts as one photograph

async function render({ model, el }) {
  const photos = {};
  await Promise.all(
    model.get("photos").map(async ({ name, url }) => {
      photos[name] = await pixels(url);
    }),
  );
  const names = model.get("photos").map(({ name }) => name);
  const size = photos[names[0]].width;
  const root = frame(el, CSS, "λ mixer: mix two photographs");
  const random = uniform(model.get("seed"));
  let draws = [],
    spot = [size >> 1, size >> 1];

  const state = () => {
    const lam = model.get("lam"),
      own = model.get("own_name"),
      partner = model.get("partner_name");
    return { lam, own, partner, share: model.get("weighs_own") ? lam : 1 - lam };
  };
  const set = (values) => {
    for (const [key, value] of Object.entries(values)) model.set(key, value);
    model.save_changes();
  };

  const tile = (main) => {
    const canvas = make("canvas", { width: size, height: size });
    const caption = make("figcaption");
    return { canvas, caption, node: make("figure", { class: main ? "mlw-main" : "" }, canvas, caption) };
  };
  const own = tile(false),
    mixture = tile(true),
    partner = tile(false);
  Object.entries({
    tabindex: "0",
    role: "application",
    "aria-roledescription": "picture to explore with the arrow keys",
    "data-name": "mixture",
  }).forEach(([k, v]) => mixture.canvas.setAttribute(k, v));
  const barOwn = make("span", { class: "mlw-own" }),
    barPartner = make("span", { class: "mlw-partner" });
  const rows = ["red", "green", "blue"].map((colour) => {
    const sum = make("td");
    return { sum, node: make("tr", {}, make("th", { scope: "row" }, colour), sum) };
  });
  const swatches = [0, 1, 2].map(() => make("span"));
  const colours = make(
    "tr",
    { class: "mlw-colours", "aria-hidden": "true" },
    make("th"),
    make("td", {}, swatches[0], "+", swatches[1], "=", swatches[2]),
  );
  const where = make("p", { class: "mlw-note", "data-name": "where" });
  const live = sentence();

  const lam = slider({
    label: "λ",
    name: "lam",
    min: 0,
    max: 1,
    step: 0.01,
    value: model.get("lam"),
    show: (v) => Number(v).toFixed(2),
    input: (v) => set({ lam: v }),
  });
  const pickOwn = choice({
    label: "Image",
    name: "own",
    options: names,
    value: state().own,
    change: (v) => set({ own_name: v }),
  });
  const pickPartner = choice({
    label: "Partner",
    name: "partner",
    options: names,
    value: state().partner,
    change: (v) => set({ partner_name: v }),
  });
  const swap = button("Swap", () => set({ own_name: state().partner, partner_name: state().own }), {
    "data-name": "swap",
  });
  const whose = radios({
    label: "Whose λ?",
    name: "whose",
    value: model.get("weighs_own") ? "own" : "partner",
    options: [
      ["own", "λ weighs the image itself (mixlearn, torchvision, timm)"],
      ["partner", "λ weighs the partner (kornia)"],
    ],
    change: (v) => set({ weighs_own: v === "own" }),
  });

  const thumbs = Array.from({ length: 11 }, (_, i) => {
    const canvas = make("canvas", { width: 64, height: 64 });
    const node = button("", () => set({ lam: i / 10 }), {
      class: "",
      "aria-label": `set λ to ${(i / 10).toFixed(1)}`,
    });
    node.append(canvas, make("span", {}, (i / 10).toFixed(1)));
    return { canvas, node };
  });
  const dots = make("canvas", { class: "mlw-dots", "aria-hidden": "true" });
  const tally = make("p", { class: "mlw-note", "data-name": "tally", role: "status" });
  const alpha = slider({
    label: "α",
    name: "alpha",
    min: -3,
    max: 3,
    step: 0.1,
    value: Math.log2(model.get("alpha")),
    show: (v) => (2 ** Number(v)).toFixed(2),
    input: (v) => set({ alpha: Number((2 ** v).toFixed(2)) }),
  });
  const throwDraws = (n) => {
    for (let i = 0; i < n; i++) draws.push(betaDraw(model.get("alpha"), random));
    draws = draws.slice(-1000);
    if (n === 1) set({ lam: Number(draws.at(-1).toFixed(2)) });
    drawDots();
  };

  const copy = python(() => {
    const s = state(),
      pair = `${quoted(s.own)}, ${quoted(s.partner)}`;
    const images = model.get("shipped")
      ? `images = ml.data.photos(size=${size}).pick(${pair}).images\n`
      : `images = images[[${names.indexOf(s.own)}, ${names.indexOf(s.partner)}]]            # of ` +
        "those the widget was given\n";
    const note =
      model.get("weighs_own") || s.lam === s.share
        ? ""
        : `# kornia calls this λ = ${s.lam}: it weighs the partner\n`;
    return (
      `import torch, mixlearn as ml\n\n${images}${note}` +
      "mixed = ml.mixup(images, torch.tensor([0, 1]), num_classes=2, lam=" +
      `${Number(s.share.toFixed(4))}, partner=[1, 0])\n` +
      `print(mixed.plan.describe(0, [${pair}]))\n`
    );
  });
  const question = predict({
    question:
      "In training λ is random, and α sets how: the smaller α, the nearer λ is to 0 or 1. Draw λ a " +
      "hundred times with α = 0.2. In about how many mixtures does one photograph have 95 % or more?",
    options: [
      ["10", false],
      ["30", false],
      ["60", true],
      ["90", false],
    ].map(([words, right]) => [
      words,
      right,
      () =>
        `At α = 0.2 the chance is ${percent(looksUnmixed(0.2, LEAST))}: the draws crowd at 0 and ` +
        "1, so most mixtures show one photograph with a trace of another. Set α to 0.2 and draw a " +
        "hundred to check.",
    ]),
  });

  root.append(
    make("div", { class: "mlw-row" }, pickOwn.node, pickPartner.node, swap),
    make("div", { class: "mlw-tiles" }, own.node, mixture.node, partner.node),
    lam.node,
    ...live.nodes,
    make("div", { class: "mlw-bar", "aria-hidden": "true" }, barOwn, barPartner),
    make("h4", {}, "One pixel"),
    where,
    make("table", { class: "mlw-sum" }, make("tbody", {}, ...rows.map((row) => row.node), colours)),
    make("h4", {}, "From λ = 0 to λ = 1"),
    make(
      "div",
      { class: "mlw-strip" },
      dots,
      make("div", { class: "mlw-thumbs" }, ...thumbs.map((t) => t.node)),
    ),
    question,
    make(
      "div",
      { class: "mlw-row" },
      alpha.node,
      button("Draw 1", () => throwDraws(1), { "data-name": "draw1" }),
      button("Draw 100", () => throwDraws(100), { "data-name": "draw100" }),
      button("Clear", () => {
        draws = [];
        drawDots();
      }),
    ),
    tally,
    whose.node,
    copy.node,
  );

  const buffer = new Uint8ClampedArray(4 * size * size);
  function paint(canvas, data) {
    canvas.getContext("2d").putImageData(new ImageData(data, size, size), 0, 0);
  }
  const small = make("canvas", { width: size, height: size });

  function drawStrip() {
    const s = state();
    thumbs.forEach(({ canvas }, i) => {
      const share = model.get("weighs_own") ? i / 10 : 1 - i / 10;
      paint(small, mixBytes(buffer, photos[s.own].data, photos[s.partner].data, share));
      canvas.getContext("2d").drawImage(small, 0, 0, 64, 64);
    });
  }
  function drawDots() {
    const width = dots.clientWidth || 640,
      ratio = devicePixelRatio || 1;
    dots.width = width * ratio;
    dots.height = 56 * ratio;
    dots.parentElement.style.paddingTop = dots.style.height = draws.length ? "" : "14px";
    const g = dots.getContext("2d"),
      style = getComputedStyle(root);
    g.scale(ratio, ratio);
    const shown = thumbs.filter(({ node }) => node.offsetParent).length || thumbs.length;
    const at = (lamValue) => (width * (0.5 + (shown - 1) * lamValue)) / shown;
    const piles = {};
    draws.forEach((value) => {
      const column = Math.round(at(value) / 5);
      piles[column] = (piles[column] || 0) + 1;
    });
    // every pile fits, and the heights compare
    const rise = Math.min(4, 46 / Math.max(...Object.values(piles), 1));
    g.fillStyle = style.getPropertyValue("--own");
    g.globalAlpha = 0.65;
    Object.entries(piles).forEach(([column, pile]) => {
      for (let i = 0; i < pile; i++) {
        g.beginPath();
        g.arc(column * 5, 52 - i * rise, 2.4, 0, 7);
        g.fill();
      }
    });
    g.globalAlpha = 1;
    g.strokeStyle = style.getPropertyValue("--partner");
    g.lineWidth = 2;
    g.beginPath();
    g.moveTo(at(model.get("lam")), 0);
    g.lineTo(at(model.get("lam")), 56);
    g.stroke();
    const count = draws.filter((v) => Math.max(v, 1 - v) >= LEAST).length;
    tally.textContent = draws.length
      ? `${draws.length} ${draws.length === 1 ? "draw" : "draws"} from Beta(${model.get("alpha")}, ` +
        `${model.get("alpha")}): in ${count} of them one photograph has 95 % or more; expected ` +
        `${percent(looksUnmixed(model.get("alpha"), LEAST))}.`
      : `Draw λ from Beta(${model.get("alpha")}, ${model.get("alpha")}) and see where it falls. ` +
        "The line marks λ now.";
  }
  function drawSpot() {
    const s = state(),
      [x, y] = spot,
      k = 4 * (y * size + x);
    where.textContent =
      `Pixel in column ${x}, row ${y}. ` + "Point at the mixture, or focus it and use the arrow keys.";
    const trio = [photos[s.own].data, photos[s.partner].data].map((data) => [...data.slice(k, k + 3)]);
    trio.push(mixBytes([0, 0, 0], trio[0], trio[1], s.share));
    swatches.forEach((swatch, i) => {
      swatch.style.background = `rgb(${trio[i]})`;
    });
    rows.forEach(({ sum }, c) => {
      const [a, b, out] = trio.map((colour) => colour[c]);
      sum.textContent = `${s.share.toFixed(2)} · ${a} + ${(1 - s.share).toFixed(2)} · ${b} = ${out}`;
    });
    const g = mixture.canvas.getContext("2d");
    paint(mixture.canvas, mixBytes(buffer, photos[s.own].data, photos[s.partner].data, s.share));
    if (document.activeElement === mixture.canvas || hovering) {
      g.strokeStyle = "#fff";
      g.strokeRect(x - 1.5, y - 1.5, 4, 4);
      g.strokeStyle = "#000";
      g.strokeRect(x - 2.5, y - 2.5, 6, 6);
    }
  }
  function draw() {
    const s = state();
    paint(own.canvas, photos[s.own].data);
    paint(partner.canvas, photos[s.partner].data);
    own.caption.textContent = `image: ${s.own}`;
    partner.caption.textContent = `partner: ${s.partner}`;
    mixture.caption.textContent = "mixture";
    const said = describe(s.share, s.own, s.partner);
    mixture.canvas.setAttribute("aria-label", `mixture: ${said}`);
    barOwn.style.width = `${100 * s.share}%`;
    barOwn.textContent = s.share > 0.2 ? `${percent(s.share)} ${s.own}` : "";
    barOwn.classList.toggle("mlw-slim", s.share <= 0.2);
    barPartner.textContent = s.share < 0.8 ? `${percent(1 - s.share)} ${s.partner}` : "";
    barPartner.classList.toggle("mlw-slim", s.share >= 0.8);
    live.say(said);
    lam.set(s.lam);
    pickOwn.set(s.own);
    pickPartner.set(s.partner);
    whose.set(model.get("weighs_own") ? "own" : "partner");
    alpha.set(Math.log2(model.get("alpha")));
    drawSpot();
    drawDots();
    copy.refresh();
  }

  let hovering = false;
  const move = (event) => {
    const box = mixture.canvas.getBoundingClientRect();
    const clamp = (v) => Math.max(0, Math.min(size - 1, Math.floor(v)));
    spot = [
      clamp(((event.clientX - box.left) / box.width) * size),
      clamp(((event.clientY - box.top) / box.height) * size),
    ];
    hovering = true;
    drawSpot();
  };
  mixture.canvas.addEventListener("pointermove", move);
  mixture.canvas.addEventListener("pointerdown", move);
  mixture.canvas.addEventListener("pointerleave", () => {
    hovering = false;
    drawSpot();
  });
  mixture.canvas.addEventListener("focus", drawSpot);
  mixture.canvas.addEventListener("blur", drawSpot);
  mixture.canvas.addEventListener("keydown", (event) => {
    const step = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] }[event.key];
    if (!step) return;
    event.preventDefault();
    const by = event.shiftKey ? 10 : 1;
    spot = spot.map((v, i) => Math.max(0, Math.min(size - 1, v + by * step[i])));
    drawSpot();
    live.whisper(
      `Column ${spot[0]}, row ${spot[1]}. ` +
        rows.map(({ sum, node }) => `${node.firstChild.textContent} ${sum.textContent}`).join(", "),
    );
  });
  model.on("change:lam", draw);
  model.on("change:alpha", () => {
    draws = [];
    draw();
  }); // they were another Beta's
  for (const key of ["own_name", "partner_name", "weighs_own"])
    model.on(`change:${key}`, () => {
      drawStrip();
      draw();
    });
  root.addEventListener("mlw-theme", drawDots);
  const resized = new ResizeObserver(drawDots);
  resized.observe(dots);
  drawStrip();
  draw();
  return () => {
    resized.disconnect();
    root.forget();
  };
}
export default { render };
