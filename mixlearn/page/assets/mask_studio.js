// The mask studio: paint where the partner is seen; a classifier in the page says how well it sees the label.
import { percent, describe } from "./mix.js";
import { fromBase64, toBase64, readNet } from "./net.js";
import { square } from "./paint.js";
import { make, frame, slider, button, choice, sentence, python, predict, pixels } from "./kit.js";
import { easel, put, bytes, tile } from "./easel.js";
import { judge, classTable } from "./scores.js";
import { readPair, paintedCode } from "./pair.js";

const SIDE = 32,
  NEAR = 0.03; // pixels of a side; how near the target always counts
// The mask's grey levels in the colours of the book's figures: the image, half and half, the partner.
const TINT =
  '<svg width="0" height="0" style="position:absolute">' +
  '<filter id="mlw-mask" color-interpolation-filters="sRGB"><feComponentTransfer>' +
  '<feFuncR type="table" tableValues="0.059 1 0.741"/><feFuncG type="table" tableValues="0.463 1 0.333"/>' +
  '<feFuncB type="table" tableValues="0.431 1 0.031"/></feComponentTransfer></filter></svg>';

/** A bar of two shares. */
function shareBar() {
  const own = make("span", { class: "mlw-own" }),
    partner = make("span", { class: "mlw-partner" });
  const set = (lam, ...words) => {
    own.style.width = `${100 * lam}%`;
    own.style.borderWidth = lam > 0 && lam < 1 ? "" : "0";
    [
      [own, lam],
      [partner, 1 - lam],
    ].forEach(([node, share], i) => {
      node.classList.toggle("mlw-slim", share < 0.12);
      node.textContent = share < 0.12 ? "" : share < 0.3 ? percent(share) : `${percent(share)} ${words[i]}`;
    });
  };
  return { node: make("div", { class: "mlw-bar", "aria-hidden": "true" }, own, partner), set };
}

async function render({ model, el }) {
  const pairs = {},
    shares = model.get("shares"),
    methods = model.get("methods"),
    classes = model.get("classes");
  await Promise.all(
    model.get("pairs").map(async (pair) => {
      const [read, sheet] = await Promise.all([readPair(pair, SIDE), pixels(pair.masks)]);
      pairs[pair.name] = {
        ...read,
        cards: {},
        best: new Map(),
        mask: (method, k) => square(sheet, k * SIDE, method * SIDE, SIDE),
      };
    }),
  );
  const net = readNet(fromBase64(model.get("net"))),
    root = frame(el, CSS, "Mask studio: paint which pixels show the partner");

  const set = (values) => {
    for (const [key, value] of Object.entries(values)) model.set(key, value);
    model.save_changes();
  };
  const pair = () => pairs[model.get("pair")];
  const measure = (of, painted) => judge(net, of, painted, SIDE);
  const nearest = () =>
    shares.reduce(
      (best, share, k) =>
        Math.abs(share - model.get("target")) < Math.abs(shares[best] - model.get("target")) - 1e-9
          ? k
          : best,
      0,
    );
  const rivals = (of, k) =>
    (of.cards[k] ||= methods.map((name, m) => {
      const painted = of.mask(m, k);
      return { name, painted, ...measure(of, painted) };
    }));
  // The reader may miss the target by as much as the card that misses it most.
  const room = () =>
    Math.max(NEAR, ...rivals(pair(), nearest()).map(({ lam }) => Math.abs(lam - model.get("target"))));
  const publish = (byHand) => {
    const of = pair(),
      mask = paint.mask(),
      found = measure(of, mask),
      bin = Math.round(100 * found.lam);
    if (byHand && !(of.best.get(bin)?.score >= found.score))
      of.best.set(bin, { ...found, name: "yours", painted: mask.slice() });
    set({ mask: toBase64(mask), lam: found.lam, score: found.score });
    draw();
  };

  const live = sentence(),
    target = make("p", { class: "mlw-note", "data-name": "distance" }),
    bar = shareBar();
  const paint = easel({
    side: SIDE,
    mask: fromBase64(model.get("mask")),
    target: () => model.get("target"),
    live,
    draw: () => drawPicture(),
    done: publish,
  });
  const beside = ["own", "partner", "mask"].map((name) => tile(name, SIDE));
  const table = classTable({ classes, outputs: [["p", "output p"]], next: true });
  const pickPair = choice({
    label: "Pair",
    name: "pair",
    options: Object.keys(pairs),
    value: model.get("pair"),
    change: (v) => set({ pair: v }),
  });
  const aim = slider({
    label: "target λ",
    name: "target",
    min: 0,
    max: 1,
    step: 0.01,
    value: model.get("target"),
    show: (v) => Number(v).toFixed(2),
    input: (v) => set({ target: v }),
  });
  const cards = [...methods, "yours"].map((name) => {
    const small = make("canvas", { width: SIDE, height: SIDE }),
      numbers = make("span", { class: "mlw-note" });
    const node = button(
      "",
      () => {
        const found = shown(name);
        if (found) paint.load(found.painted.slice());
      },
      { class: "mlw-card", "data-name": "card", "data-method": name },
    );
    node.append(small, make("b", {}, name), numbers);
    return { name, small, numbers, node };
  });
  const heading = make("h4");
  const yours = () =>
    [...pair().best.values()]
      .filter(({ lam }) => Math.abs(lam - model.get("target")) <= room() + 1e-9)
      .sort((a, b) => b.score - a.score)[0];
  const shown = (name) => (name === "yours" ? yours() : rivals(pair(), nearest())[methods.indexOf(name)]);

  const copy = python(
    () =>
      "import base64, torch, mixlearn as ml\n" +
      "from mixlearn.page.studio_net import mask_score, studio_net\n\n" +
      paintedCode(pair(), paint.mask(), SIDE, model.get("shipped")) +
      `plan = ml.MixPlan.masked(torch.tensor([1, 0]), own)\n` +
      `mixture, targets = plan.mix(images.double()), plan.soften(labels, ${classes.length})\n` +
      `with torch.no_grad():\n    logits = studio_net().double()(mixture)\n` +
      `score = mask_score(logits, targets)[0]\nprint(f"λ {plan.lam[0]:.3f}, score {score:.1f}")\n`,
  );
  const question = predict({
    question:
      "Two masks show the partner at 40 % of the pixels, but in different places. Which number differs?",
    options: [
      ["λ", false],
      ["the score", true],
      ["both", false],
    ].map(([words, right]) => [
      words,
      right,
      () =>
        "λ, and with it the label, counts the partner's pixels wherever they lie. The score asks " +
        "what the classifier sees there. Paint two such masks and compare.",
    ]),
  });

  const tint = make("span", { "aria-hidden": "true" });
  tint.innerHTML = TINT;
  root.append(
    tint,
    question,
    make("div", { class: "mlw-row" }, pickPair.node, aim.node),
    make(
      "div",
      { class: "mlw-studio" },
      paint.node,
      make("div", { class: "mlw-sources" }, ...beside.map(({ node }) => node)),
    ),
    ...live.nodes,
    target,
    make(
      "p",
      { class: "mlw-note" },
      "Paint on the large picture: there the partner is seen. Keys on it: arrows move the brush, " +
        "Space or Enter paints, Shift + Space erases.",
    ),
    make("div", { class: "mlw-row" }, ...paint.tools),
    paint.brushes,
    bar.node,
    table.node,
    heading,
    make("div", { class: "mlw-cards" }, ...cards.map(({ node }) => node)),
    make(
      "p",
      { class: "mlw-note" },
      "Score: 100 · exp(−KL(ỹ ‖ p)); 100 when the classifier's output p is the label ỹ of the " +
        "mask's own λ. A card puts its mask on the picture.",
    ),
    copy.node,
  );

  function drawPicture() {
    const of = pair(),
      { image, lam, p, score } = measure(of, paint.mask()),
      [own, partner] = of.words;
    const said = `λ = ${lam.toFixed(2)}, score ${score.toFixed(1)}`,
      away = Math.abs(lam - model.get("target"));
    paint.show(image, `mixture: ${describe(lam, own, partner)}, ${said}`);
    put(beside[2].small, paint.mask(), SIDE);
    live.say(said);
    target.textContent =
      `Target λ ${model.get("target").toFixed(2)}: ${away.toFixed(2)} away` +
      (away <= room() + 1e-9
        ? ", near enough to count"
        : "; " + (lam > model.get("target") ? "paint more" : "erase some")) +
      ".";
    root.dataset.score = score;
    root.dataset.lam = lam;
    bar.set(lam, own, partner);
    table.set(of, lam, [p]);
  }
  function drawCards() {
    const found = cards.map(({ name }) => shown(name)),
      top = Math.max(...found.map((each) => (each ? each.score : 0)));
    heading.textContent = `At target λ ${shares[nearest()]}: the methods, and your best`;
    cards.forEach(({ name, small, numbers, node }, i) => {
      const each = found[i];
      node.disabled = !each;
      node.classList.toggle("mlw-top", Boolean(each) && each.score === top);
      small.style.visibility = each ? "" : "hidden";
      if (each) put(small, bytes(each.image), SIDE);
      numbers.textContent = each ? `λ ${each.lam.toFixed(2)}, ${each.score.toFixed(1)}` : "none yet";
      node.setAttribute(
        "aria-label",
        each
          ? `${name}: λ ${each.lam.toFixed(2)}, score ${each.score.toFixed(1)}` +
              `${each.score === top ? ", the best" : ""}. Put its mask on the picture.`
          : `${name}: no mask near the target λ yet`,
      );
      if (each) {
        node.dataset.score = each.score;
        node.dataset.lam = each.lam;
      }
    });
  }
  function draw() {
    const of = pair();
    ["own", "partner"].forEach((name, i) => {
      put(beside[i].small, of[name], SIDE);
      beside[i].caption.textContent = `${i ? "partner" : "image"}: ${of.words[i]}`;
    });
    beside[2].caption.textContent = "mask: orange is partner";
    pickPair.set(model.get("pair"));
    aim.set(model.get("target"));
    drawPicture();
    drawCards();
    paint.refresh();
    copy.refresh();
  }

  model.on("change:mask", () => {
    // a kernel's
    const found = fromBase64(model.get("mask"));
    if (found.length !== SIDE * SIDE || found.every((value, i) => value === paint.mask()[i])) return;
    paint.load(found, true);
  });
  model.on("change:pair", () => publish(false));
  model.on("change:target", draw);
  publish(false);
  return () => root.forget();
}
export default { render };
