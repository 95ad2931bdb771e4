// The mask studio: paint where the partner is seen; a classifier in the page says how well it sees the label.
import { roundEven, percent, describe } from "./mix.js";
import { fromBase64, toBase64, readNet, forward, softmax, maskScore } from "./net.js";
import { ownShare, stroke, inverted, filled, underMask, planes, square, edgePath } from "./paint.js";
import { make, frame, slider, button, choice, sentence, python, predict, pixels, quoted } from "./kit.js";

const SIDE = 32, NEAR = 0.03, KEPT = 60; // pixels of a side; how near the target counts; steps to undo

async function render({ model, el }) {
  const pairs = {}, shares = model.get("shares"), methods = model.get("methods"), classes = model.get("classes");
  await Promise.all(model.get("pairs").map(async (pair) => {
    const [pictures, sheet] = await Promise.all([pixels(pair.pictures), pixels(pair.masks)]);
    pairs[pair.name] = { ...pair, own: planes(pictures, 0, SIDE), partner: planes(pictures, SIDE, SIDE), cards: {}, best: new Map(),
      mask: (method, k) => square(sheet, k * SIDE, method * SIDE, SIDE) };
  }));
  const net = readNet(fromBase64(model.get("net"))), root = frame(el, CSS, "Mask studio: paint which pixels show the partner");
  let mask = fromBase64(model.get("mask")), at = [16, 16], erase = false, size = 7, blur = 0, edge = true, pen = null, steps = [];

  const set = (values) => {
    for (const [key, value] of Object.entries(values)) model.set(key, value);
    model.save_changes();
  };
  const pair = () => pairs[model.get("pair")];
  const measure = (of, painted) => {
    const image = underMask(of.own, of.partner, painted), lam = ownShare(painted), logits = forward(net, image, SIDE, SIDE);
    return { image, lam, p: softmax(logits), score: maskScore(logits, ...of.labels, lam) };
  };
  const nearest = () => shares.reduce((best, share, k) => (Math.abs(share - model.get("target")) < Math.abs(shares[best] - model.get("target")) - 1e-9 ? k : best), 0);
  const rivals = (of, k) => (of.cards[k] ||= methods.map((name, m) => { const painted = of.mask(m, k); return { name, painted, ...measure(of, painted) }; }));

  // what is painted, and what becomes of it
  const remember = () => { steps.push(mask.slice()); steps = steps.slice(-KEPT); };
  const publish = (byHand) => {
    const of = pair(), found = measure(of, mask), bin = Math.round(100 * found.lam);
    if (byHand && !(of.best.get(bin)?.score >= found.score)) of.best.set(bin, { ...found, name: "yours", painted: mask.slice() });
    set({ mask: toBase64(mask), lam: found.lam, score: found.score });
    draw();
  };
  const change = (next) => { remember(); mask = next; publish(true); };
  const mark = (from, to, rub) => stroke(mask, SIDE, from, to, { size, blur, erase: rub });

  const canvas = make("canvas", { width: SIDE, height: SIDE, "data-name": "mixture" });
  const edges = ["under", "edge"].map((kind) => make("path", { class: `mlw-${kind}` }));
  const rings = ["under", "ring"].map((kind) => make("circle", { class: `mlw-${kind}`, "data-name": kind }));
  const ring = make("g", { class: "mlw-brush" }, ...rings);
  const over = make("svg", { class: "mlw-over", viewBox: `0 0 ${SIDE} ${SIDE}`, tabindex: "0", role: "application", "data-name": "easel",
    "aria-roledescription": "picture to paint on: arrow keys move the brush, Space paints, Shift and Space erases" }, ...edges, ring);
  const easel = make("div", { class: "mlw-easel" }, canvas, over);
  const beside = ["own", "partner", "mask"].map((name) => {
    const small = make("canvas", { width: SIDE, height: SIDE, "data-name": `${name}-picture` }), caption = make("figcaption");
    return { small, caption, node: make("figure", {}, small, caption) };
  });
  const live = sentence(), target = make("p", { class: "mlw-note", "data-name": "distance" });
  const bars = { own: make("span", { class: "mlw-own" }), partner: make("span", { class: "mlw-partner" }) };
  const rows = ["own", "partner", "other"].map((name) => ({ name, word: make("th", { scope: "row" }), label: make("td", { "data-name": `label-${name}` }),
    p: make("td", { "data-name": `p-${name}` }), bar: make("span") }));

  const pickPair = choice({ label: "Pair", name: "pair", options: Object.keys(pairs), value: model.get("pair"), change: (v) => set({ pair: v }) });
  const aim = slider({ label: "target λ", name: "target", min: 0, max: 1, step: 0.01, value: model.get("target"), show: (v) => Number(v).toFixed(2), input: (v) => set({ target: v }) });
  const brushSize = slider({ label: "Brush", name: "size", min: 1, max: 15, step: 1, value: size, show: (v) => `${v} pixel${Number(v) === 1 ? "" : "s"} wide`, input: (v) => { size = v; drawBrush(); } });
  const brushBlur = slider({ label: "Blur", name: "blur", min: 0, max: 5, step: 0.5, value: blur, show: (v) => (Number(v) ? `σ = ${v} pixels` : "hard, 0 or 1"), input: (v) => { blur = v; } });
  const tools = [["Paint", "paint", false], ["Erase", "erase", true]].map(([words, name, rub]) =>
    button(words, () => { erase = rub; drawTools(); }, { "data-name": name }));
  const undo = button("Undo", () => { mask = steps.pop(); publish(false); }, { "data-name": "undo" });
  const even = button("", () => change(filled(SIDE * SIDE, model.get("target"))), { "data-name": "fill" });
  const seen = button("Edge", () => { edge = !edge; drawTools(); draw(); }, { "data-name": "edge" });
  const cards = [...methods, "yours"].map((name) => {
    const small = make("canvas", { width: SIDE, height: SIDE }), numbers = make("span", { class: "mlw-note" });
    const node = button("", () => { const found = shown(name); if (found) { remember(); mask = found.painted.slice(); publish(false); } }, { class: "mlw-card", "data-name": "card", "data-method": name });
    node.append(small, make("b", {}, name), numbers);
    return { name, small, numbers, node };
  });
  const heading = make("h4");
  const yours = () => [...pair().best.values()].filter(({ lam }) => Math.abs(lam - model.get("target")) <= NEAR + 1e-9).sort((a, b) => b.score - a.score)[0];
  const shown = (name) => (name === "yours" ? yours() : rivals(pair(), nearest())[methods.indexOf(name)]);

  const copy = python(() => {
    const { places } = pair();
    return `import base64, torch, mixlearn as ml\nfrom mixlearn.page.studio_net import mask_score, studio_net\n\n` +
      (model.get("shipped") ? `part = ml.data.load("emoji").tests["designers"]\n` : "# part: the images that the widget was given\n") +
      `images, labels = part.batch([${places.join(", ")}])                     # ${quoted(pair().name).slice(1, -1)}\n` +
      `painted = bytearray(base64.b64decode(\n    ${quoted(toBase64(mask))}))\n` +
      `own = 1 - torch.frombuffer(painted, dtype=torch.uint8).view(1, 1, ${SIDE}, ${SIDE}).double() / 255\n` +
      `plan = ml.MixPlan.masked(torch.tensor([1, 0]), own)\n` +
      `mixture, targets = plan.mix(images.double()), plan.soften(labels, ${classes.length})\n` +
      `with torch.no_grad():\n    logits = studio_net().double()(mixture)\n` +
      `score = mask_score(logits, targets)[0]\nprint(f"λ {plan.lam[0]:.3f}, score {score:.1f}")\n`;
  });
  const question = predict({
    question: "Two masks show the partner at 40 % of the pixels, but in different places. Which number differs?",
    options: [["λ", false], ["the score", true], ["both", false]].map(([words, right]) => [words, right,
      () => "λ, and with it the label, counts the partner's pixels wherever they lie. The score asks what the classifier sees there. Paint two such masks and compare."]),
  });
  const table = make("table", { class: "mlw-sum mlw-classes" },
    make("thead", {}, make("tr", {}, ...["class", "label ỹ", "output p"].map((word) => make("th", { scope: "col" }, word)), make("td", { "aria-hidden": "true" }))),
    make("tbody", {}, ...rows.map(({ word, label, p, bar }) => make("tr", {}, word, label, p, make("td", { class: "mlw-meter", "aria-hidden": "true" }, bar)))));

  root.append(question,
    make("div", { class: "mlw-row" }, pickPair.node, aim.node),
    make("div", { class: "mlw-studio" }, easel, make("div", { class: "mlw-sources" }, ...beside.map(({ node }) => node))),
    ...live.nodes, target,
    make("p", { class: "mlw-note" }, "Paint on the large picture: there the partner is seen. Keys on it: arrows move the brush, Space or Enter paints, Shift + Space erases."),
    make("div", { class: "mlw-row" }, ...tools, undo, button("Clear", () => change(new Uint8Array(SIDE * SIDE)), { "data-name": "clear" }),
      button("Invert", () => change(inverted(mask)), { "data-name": "invert" }), even, seen),
    make("div", { class: "mlw-row" }, brushSize.node, brushBlur.node),
    make("div", { class: "mlw-bar", "aria-hidden": "true" }, bars.own, bars.partner), table,
    heading, make("div", { class: "mlw-cards" }, ...cards.map(({ node }) => node)),
    make("p", { class: "mlw-note" }, `Score: 100 · exp(−KL(ỹ ‖ p)); 100 when the classifier's output p is the label ỹ of the mask's own λ. A card puts its mask on the picture. Yours counts within ${NEAR} of the target λ.`),
    copy.node);

  const put = (node, image) => { // planes of values in [0, 1], or bytes of grey
    const data = new Uint8ClampedArray(4 * SIDE * SIDE), each = SIDE * SIDE, grey = image.length === each;
    for (let i = 0; i < each; i++) {
      for (let c = 0; c < 3; c++) data[4 * i + c] = grey ? image[i] : roundEven(image[c * each + i]);
      data[4 * i + 3] = 255;
    }
    node.getContext("2d").putImageData(new ImageData(data, SIDE, SIDE), 0, 0);
  };
  const bytes = (image) => image.map((value) => 255 * value);

  function drawBrush() {
    rings.forEach((node) => { node.setAttribute("cx", at[0] + 0.5); node.setAttribute("cy", at[1] + 0.5); node.setAttribute("r", size / 2); });
  }
  function drawTools() {
    tools.forEach((node, i) => node.setAttribute("aria-pressed", String(erase === Boolean(i))));
    seen.setAttribute("aria-pressed", String(edge));
    undo.disabled = !steps.length;
  }
  function drawPicture() {
    const of = pair(), found = measure(of, mask), [own, partner] = of.words, { lam, p, score } = found;
    put(canvas, bytes(found.image));
    put(beside[2].small, mask);
    edges.forEach((node) => node.setAttribute("d", edge ? edgePath(mask, SIDE) : ""));
    const said = `λ = ${lam.toFixed(2)}, score ${score.toFixed(1)}`, away = Math.abs(lam - model.get("target"));
    live.say(said);
    target.textContent = `Target λ ${model.get("target").toFixed(2)}: ${away.toFixed(2)} away${away <= NEAR + 1e-9 ? ", near enough to count" : `; ${lam > model.get("target") ? "paint more" : "erase some"}`}.`;
    over.setAttribute("aria-label", `mixture: ${describe(lam, own, partner)}, ${said}`);
    root.dataset.score = score;
    root.dataset.lam = lam;
    bars.own.style.width = `${100 * lam}%`;
    bars.own.style.borderWidth = lam > 0 && lam < 1 ? "" : "0";
    [[bars.own, lam, own], [bars.partner, 1 - lam, partner]].forEach(([node, share, word]) => {
      node.classList.toggle("mlw-slim", share < 0.12);
      node.textContent = share < 0.12 ? "" : share < 0.3 ? percent(share) : `${percent(share)} ${word}`;
    });
    const other = p.reduce((best, value, k) => (of.labels.includes(k) || (best >= 0 && p[best] >= value) ? best : k), -1);
    [[of.labels[0], lam], [of.labels[1], 1 - lam], [other, 0]].forEach(([k, share], i) => {
      rows[i].word.textContent = i < 2 ? `${classes[k]} (${of.words[i]})` : `next: ${classes[k]}`;
      rows[i].label.textContent = share.toFixed(2);
      rows[i].p.textContent = p[k].toFixed(3);
      rows[i].p.dataset.value = p[k];
      rows[i].bar.style.width = `${100 * p[k]}%`;
      rows[i].bar.className = `mlw-${rows[i].name}`;
    });
  }
  function drawCards() {
    const found = cards.map(({ name }) => shown(name)), top = Math.max(...found.map((each) => (each ? each.score : 0)));
    heading.textContent = `At target λ ${shares[nearest()]}: the methods, and your best`;
    cards.forEach(({ name, small, numbers, node }, i) => {
      const each = found[i];
      node.disabled = !each;
      node.classList.toggle("mlw-top", Boolean(each) && each.score === top);
      small.style.visibility = each ? "" : "hidden";
      if (each) put(small, bytes(each.image));
      numbers.textContent = each ? `λ ${each.lam.toFixed(2)}, ${each.score.toFixed(1)}` : "none yet";
      node.setAttribute("aria-label", each ? `${name}: λ ${each.lam.toFixed(2)}, score ${each.score.toFixed(1)}${each.score === top ? ", the best" : ""}. Put its mask on the picture.` : `${name}: no mask near the target λ yet`);
      if (each) { node.dataset.score = each.score; node.dataset.lam = each.lam; }
    });
  }
  function draw() {
    const of = pair();
    ["own", "partner"].forEach((name, i) => { put(beside[i].small, of[name]); beside[i].caption.textContent = `${i ? "partner" : "image"}: ${of.words[i]}`; });
    beside[2].caption.textContent = "mask: white is partner";
    even.textContent = `Fill ${percent(1 - model.get("target"))}`;
    even.setAttribute("aria-label", `Fill evenly: ${percent(1 - model.get("target"))} of the partner at each pixel, as Mixup does`);
    pickPair.set(model.get("pair")); aim.set(model.get("target"));
    drawPicture(); drawCards(); drawBrush(); drawTools(); copy.refresh();
  }

  let due = false;
  const soon = () => { // many moves of a pointer, one picture
    if (due) return;
    due = true;
    requestAnimationFrame(() => { due = false; drawPicture(); });
  };
  const spot = (event) => {
    const box = canvas.getBoundingClientRect();
    return [(event.clientX - box.left) / box.width, (event.clientY - box.top) / box.height].map((v) => Math.max(0, Math.min(SIDE - 1, Math.floor(v * SIDE))));
  };
  over.addEventListener("pointerdown", (event) => {
    if (event.button) return;
    event.preventDefault();
    over.focus({ preventScroll: true });
    over.setPointerCapture(event.pointerId);
    remember();
    pen = event.shiftKey ? !erase : erase;
    at = spot(event);
    mark(at, at, pen); drawBrush(); soon();
  });
  over.addEventListener("pointermove", (event) => {
    const next = spot(event);
    if (pen !== null) { mark(at, next, pen); soon(); }
    at = next;
    drawBrush();
  });
  for (const end of ["pointerup", "pointercancel", "lostpointercapture"]) over.addEventListener(end, () => {
    if (pen === null) return;
    pen = null;
    publish(true);
  });
  over.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const step = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] }[event.key];
    if (!step && event.key !== " " && event.key !== "Enter") return;
    event.preventDefault();
    if (step) {
      at = at.map((v, i) => Math.max(0, Math.min(SIDE - 1, v + step[i] * (event.shiftKey ? 4 : 1))));
      drawBrush();
      live.whisper(`column ${at[0]}, row ${at[1]}`);
      return;
    }
    remember();
    mark(at, at, event.shiftKey ? !erase : erase);
    publish(true);
  });

  model.on("change:mask", () => { // a kernel's
    const found = fromBase64(model.get("mask"));
    if (found.length !== SIDE * SIDE || found.every((value, i) => value === mask[i])) return;
    mask = found; steps = []; publish(false);
  });
  model.on("change:pair", () => publish(false));
  model.on("change:target", draw);
  publish(false);
  return () => root.forget();
}
export default { render };
