// The mask film: the masks of a recorded Mix Block through training, at any λ, against the reader's own mask.
import { describe } from "./mix.js";
import { fromBase64, toBase64, readNet, features } from "./net.js";
import { ownShare, inverted } from "./paint.js";
import { readFilm, blockMask } from "./mix_block.js";
import { make, frame, colour, slider, button, choice, sentence, python, predict, quoted } from "./kit.js";
import { easel, put, bytes, tile } from "./easel.js";
import { judge, classTable } from "./scores.js";
import { readPair, turned, paintedCode } from "./pair.js";
import { scrubber } from "./scrubber.js";
import { meanPlot } from "./mean_plot.js";

const SIDE = 32,
  MARGIN = 0.1,
  GRID = 20; // pixels of a side; what the mask loss allows; steps of the curve

async function render({ model, el }) {
  const film = readFilm(fromBase64(model.get("film"))),
    net = readNet(fromBase64(model.get("net"))),
    classes = model.get("classes"),
    pairs = {};
  await Promise.all(
    model.get("pairs").map(async (told) => {
      const read = await readPair(told, SIDE);
      pairs[told.name] = [read, turned(read)].map((pair) => ({ ...pair, seen: [], curve: [] }));
    }),
  );
  const root = frame(el, CSS, "Mask film: the masks of AutoMix's Mix Block through training");

  const set = (values) => {
    for (const [key, value] of Object.entries(values)) model.set(key, value);
    model.save_changes();
  };
  const lam = () => model.get("lam"),
    epoch = () => model.get("epoch"),
    pair = () => pairs[model.get("pair")][Number(model.get("swapped"))];
  const block = (share) => {
    // the partner's share of each pixel, in [0, 255]
    const of = pair(),
      k = film.epochs.indexOf(epoch()),
      shot = film.frames[k];
    of.seen[k] ||= [of.own, of.partner].map((image) =>
      features(
        shot,
        Float64Array.from(image, (v) => v / 255),
        SIDE,
        SIDE,
      ),
    );
    return blockMask(shot, ...of.seen[k], share, SIDE);
  };
  const curve = () =>
    (pair().curve[epoch()] ||= Array.from({ length: GRID + 1 }, (_, i) => [
      i / GRID,
      ownShare(block(i / GRID)),
    ]));
  const judged = (mask) => ({ mask, ...judge(net, pair(), mask, SIDE, lam()) });

  let turning = false;
  const live = sentence(),
    plot = meanPlot(MARGIN),
    near = make("p", { class: "mlw-note", "data-name": "distance" });
  const paint = easel({
    side: SIDE,
    mask: fromBase64(model.get("mask")),
    target: lam,
    live,
    draw: () => drawScores(),
    done: () => publish(),
  });
  const [heat, blockMixture, own, partner, mask] = ["heat", "block-mixture", "own", "partner", "mask"].map(
    (name) => tile(name, SIDE),
  );
  [heat, blockMixture].forEach(({ small }) => small.setAttribute("role", "img"));
  const title = make("h4");
  const table = classTable({
    classes,
    outputs: [
      ["block", "p, AutoMix"],
      ["yours", "p, yours"],
    ],
  });
  const sums = ["score", "mean of the mask"].map((words) => {
    const cells = ["asked", "block", "yours"].map((name) =>
      make("td", { "data-name": `${name}-${words.split(" ")[0]}` }),
    );
    return {
      cells,
      node: make(
        "tr",
        {},
        make("th", { scope: "row" }, words),
        cells[0],
        cells[1],
        make("td", { class: "mlw-meter" }),
        cells[2],
        make("td", { class: "mlw-meter" }),
      ),
    };
  });
  table.node.append(make("tfoot", {}, ...sums.map(({ node }) => node)));

  const pickPair = choice({
    label: "Pair",
    name: "pair",
    options: Object.keys(pairs),
    value: model.get("pair"),
    change: (v) => set({ pair: v }),
  });
  const swap = button(
    "Swap",
    () => {
      // the same mixture, asked for from the partner's side
      turning = true;
      model.set("swapped", !model.get("swapped"));
      model.set("lam", Number((1 - lam()).toFixed(12)));
      paint.load(inverted(paint.mask()), true);
      turning = false;
      publish();
    },
    { "data-name": "swap" },
  );
  const aim = slider({
    label: "λ",
    name: "lam",
    min: 0,
    max: 1,
    step: 0.01,
    value: lam(),
    show: (v) => Number(v).toFixed(2),
    input: (v) => set({ lam: v }),
  });
  const scrub = scrubber({ epochs: film.epochs, value: epoch(), change: (v) => set({ epoch: v }) });
  const take = button("Take AutoMix's", () => paint.load(Uint8Array.from(block(lam()), Math.round)), {
    "data-name": "take",
  });

  const copy = python(
    () =>
      "import base64, torch, mixlearn as ml\n" +
      "from mixlearn.page.film import recorded_block\n" +
      "from mixlearn.page.studio_net import mask_score, studio_net\n\n" +
      paintedCode(pair(), paint.mask(), SIDE, model.get("shipped")) +
      `lam, partner = ${lam()}, torch.tensor([1, 0])\n` +
      `block = recorded_block(${epoch()})(images, lam, partner)            # after ${epoch()} epochs\n` +
      `for name, masks in (("AutoMix", block.double()), ("yours", own.expand(2, 1, ${SIDE}, ${SIDE}))):\n` +
      `    plan = ml.MixPlan.pair(partner, torch.full((2,), lam, dtype=torch.float64), masks)\n` +
      `    mixture, targets = plan.mix(images.double()), plan.soften(labels, ${classes.length})\n` +
      `    with torch.no_grad():\n        logits = studio_net().double()(mixture)\n` +
      `    score = mask_score(logits, targets)[0]\n` +
      `    print(f"{name}: mean {masks[0].mean():.3f}, score {score:.1f}")\n`,
  );
  const question = predict({
    question: "After two epochs of training, what does the mask show?",
    options: [
      ["mostly one image", true],
      ["half of each", false],
      ["the two objects", false],
    ].map(([words, right]) => [
      words,
      right,
      () =>
        "At first the mask is ½ everywhere. After two epochs this run shows mostly the partner, " +
        "whatever λ. Move the epochs and λ to see when the mean begins to follow.",
    ]),
  });

  root.append(
    question,
    make("div", { class: "mlw-row" }, pickPair.node, swap, aim.node),
    scrub.node,
    title,
    make(
      "div",
      { class: "mlw-film" },
      make(
        "div",
        {},
        heat.node,
        make(
          "div",
          { class: "mlw-ends" },
          make("span", {}, "0 partner"),
          make("span", { "aria-hidden": "true" }),
          make("span", {}, "1 image"),
        ),
      ),
      blockMixture.node,
      make(
        "figure",
        {},
        plot.node,
        make(
          "figcaption",
          {},
          "Line and dot: AutoMix. Square: yours. Dashed: mean = λ; shaded: no mask loss.",
        ),
      ),
    ),
    ...live.nodes,
    make("h4", {}, "Your mask"),
    make(
      "div",
      { class: "mlw-studio" },
      paint.node,
      make("div", { class: "mlw-sources" }, own.node, partner.node, mask.node),
    ),
    near,
    make(
      "p",
      { class: "mlw-note" },
      "Paint on the large picture: there the partner is seen. Keys on it: arrows move the brush, " +
        "Space or Enter paints, Shift + Space erases.",
    ),
    make("div", { class: "mlw-row" }, ...paint.tools, take),
    paint.brushes,
    table.node,
    make(
      "p",
      { class: "mlw-note" },
      "Both are judged by the label ỹ of the λ asked, as in AutoMix, whose mask loss lets a " +
        `mask's mean be ${MARGIN} away from it. Score: 100 · exp(−KL(ỹ ‖ p)), p by a small ` +
        "classifier in this page, not by AutoMix's own twin. Swap asks for the same mixture from " +
        `the partner's side. The run: ${film.words}.`,
    ),
    copy.node,
  );

  function drawHeat({ mask: found, image, share }) {
    const of = pair(),
      tones = ["--partner", "--ground", "--own"].map((name) => colour(root, name)),
      data = new Float64Array(3 * SIDE * SIDE);
    const shares = found.map((value) => 1 - value / 255);
    shares.forEach((value, i) => {
      // from the partner's colour over the ground's to the image's
      const from = value < 0.5 ? 0 : 1,
        rest = 2 * value - from;
      for (let c = 0; c < 3; c++)
        data[c * SIDE * SIDE + i] = tones[from][c] + (tones[from + 1][c] - tones[from][c]) * rest;
    });
    put(heat.small, data, SIDE);
    put(blockMixture.small, bytes(image), SIDE);
    const [low, high] = [Math.min(...shares), Math.max(...shares)].map((value) => value.toFixed(2));
    heat.caption.textContent =
      `mask of ${of.words[0]}: ` +
      (low === high ? `${low} everywhere` : `mean ${share.toFixed(2)}, from ${low} to ${high}`);
    heat.small.setAttribute("aria-label", heat.caption.textContent);
    blockMixture.caption.textContent = "its mixture";
    blockMixture.small.setAttribute(
      "aria-label",
      `AutoMix's mixture after epoch ${epoch()}: ${describe(share, ...of.words)}`,
    );
  }
  function drawScores(theirs = judged(block(lam()))) {
    const of = pair(),
      mine = judged(paint.mask()),
      away = mine.share - lam();
    paint.show(
      mine.image,
      `your mixture: ${describe(mine.share, ...of.words)}, score ${mine.score.toFixed(1)}`,
    );
    put(mask.small, paint.mask(), SIDE);
    plot.set(curve(), lam(), theirs.share, mine.share);
    table.set(of, lam(), [theirs.p, mine.p]);
    [
      ["–", ...[theirs, mine].map(({ score }) => score.toFixed(1))],
      [lam(), theirs.share, mine.share].map((v) => v.toFixed(2)),
    ].forEach((row, i) =>
      row.forEach((text, j) => {
        sums[i].cells[j].textContent = text;
      }),
    );
    near.textContent =
      `Your mask shows ${mine.share.toFixed(2)} of ${of.words[0]}, ` +
      (Math.abs(away) <= MARGIN + 1e-9 ? "near enough to" : `too far from`) +
      ` λ = ${lam().toFixed(2)}` +
      (Math.abs(away) <= MARGIN + 1e-9 ? "" : `: ${away > 0 ? "paint more" : "erase some"}`) +
      ".";
    live.say(
      `After epoch ${epoch()}, λ = ${lam().toFixed(2)}: AutoMix scores ${theirs.score.toFixed(1)}` +
        `, your mask ${mine.score.toFixed(1)}.`,
      scrub.playing(),
    );
    Object.assign(root.dataset, {
      blockScore: theirs.score,
      blockMean: theirs.share,
      score: mine.score,
      mean: mine.share,
    });
    return { theirs, mine };
  }
  function draw() {
    const of = pair(),
      theirs = judged(block(lam()));
    title.textContent = epoch()
      ? `AutoMix's mask after epoch ${epoch()}`
      : "AutoMix's mask before the first step";
    [own, partner].forEach(({ small, caption }, i) => {
      put(small, i ? of.partner : of.own, SIDE);
      caption.textContent = `${i ? "partner" : "image"}: ${of.words[i]}`;
    });
    mask.caption.textContent = "yours: white is partner";
    pickPair.set(model.get("pair"));
    aim.set(lam());
    scrub.set(epoch());
    drawHeat(theirs);
    paint.refresh();
    const found = drawScores(theirs);
    copy.refresh();
    return found;
  }
  function publish() {
    if (turning) return;
    const { theirs, mine } = draw();
    set({
      mask: toBase64(paint.mask()),
      block_score: theirs.score,
      block_mean: theirs.share,
      score: mine.score,
    });
  }

  model.on("change:mask", () => {
    // a kernel's
    const found = fromBase64(model.get("mask"));
    if (found.length !== SIDE * SIDE || found.every((value, i) => value === paint.mask()[i])) return;
    paint.load(found, true);
  });
  for (const key of ["pair", "lam", "epoch", "swapped"]) model.on(`change:${key}`, () => publish());
  root.addEventListener("mlw-theme", () => draw()); // the heat map is painted in the theme's colours
  publish();
  return () => {
    scrub.forget();
    root.forget();
  };
}
export default { render };
