// Patch groups: patches of several photographs cut, shuffled, grouped, mixed and put back, and the targets
// W and W·Wᵀ.
import { uniform, percent } from "./mix.js";
import {
  permutation,
  isPermutation,
  patchPlan,
  sourceMatrix,
  agreement,
  releasedTargets,
  describeMixture,
} from "./patch_plan.js";
import { make, frame, button, choice, sentence, python, predict, pixels, quoted } from "./kit.js";
import { patchStage, letter, LAST } from "./patch_stage.js";
import { matrix } from "./patch_tables.js";

const MOST_PARTS = 6,
  STEPS = ["Images", "Patchify", "Shuffle", "Group", "Mix", "Unshuffle"];
const inWords = (n) => ["no", "one", "two", "three", "four", "five", "six"][n] || String(n);

async function render({ model, el }) {
  const size = model.get("size"),
    every = await Promise.all(
      model.get("photos").map(async ({ name, url }) => {
        const { data } = await pixels(url),
          canvas = make("canvas", { width: size, height: size });
        canvas.getContext("2d").putImageData(new ImageData(data, size, size), 0, 0);
        return { name, canvas };
      }),
    );
  const root = frame(el, CSS, "Patch groups: how PatchMix mixes the patches of several images"),
    random = uniform(model.get("seed"));
  const names = () => every.slice(0, model.get("batch")).map(({ name }) => name);
  const count = () => (size / model.get("patch")) ** 2;
  let busy = false,
    plan = null,
    pinned = null,
    hover = null,
    marks = true;

  /**
   * Set traits as one; an order of another number of patches is drawn anew, M kept within it, and what was
   * looked at let go.
   */
  function set(values) {
    busy = true;
    for (const [key, value] of Object.entries(values)) model.set(key, value);
    const T = count(),
      B = model.get("batch"),
      parts = Math.min(model.get("parts"), T);
    if (parts !== model.get("parts")) model.set("parts", parts);
    if (!isPermutation(model.get("order"), T)) model.set("order", permutation(T, random));
    if (model.get("mixture") >= B) {
      model.set("mixture", -1);
      model.set("place", -1);
    }
    if (model.get("mixture") < 0 || model.get("place") >= T) model.set("place", -1);
    model.save_changes();
    busy = false;
    follow();
  }
  const look = (found) => set(found || { mixture: -1, place: -1 });
  const looked = () => hover || { mixture: model.get("mixture"), place: model.get("place") };
  const point = (found) => {
    // a pointer that passes by
    if (found?.mixture === hover?.mixture && found?.place === hover?.place) return;
    hover = found;
    drawLooked();
  };

  const stage = patchStage({
    root,
    arrived: () => drawSteps(),
    state: () => ({
      plan,
      photos: every,
      names: names(),
      patch: model.get("patch"),
      size,
      step: model.get("step"),
      marks,
      looked: looked(),
    }),
  });
  const { canvas } = stage,
    live = sentence(),
    about = make("p", { class: "mlw-note mlw-about", "data-name": "about" }),
    mass = make("p", { class: "mlw-note", "data-name": "mass" });
  const toStep = (step) => {
    stage.rest();
    set({ step });
  };
  const dots = STEPS.map((words, i) => button(words, () => toStep(i), { "data-name": `step${i}` }));
  const back = button("Back", () => toStep(model.get("step") - 1), { "data-name": "back" }),
    next = button("Next", () => toStep(model.get("step") + 1), { "data-name": "next" });
  const play = button(
    "Play",
    () => {
      if (stage.playing()) {
        stage.rest();
        drawSteps();
        return;
      }
      if (model.get("step") === LAST) {
        stage.jump(0);
        set({ step: 0 });
      }
      stage.play(() => set({ step: model.get("step") + 1 }));
    },
    { "data-name": "play" },
  );
  const shuffle = button("Shuffle anew", () => set({ order: permutation(count(), random) }), {
    "data-name": "shuffle",
  });
  const marked = button(
    "Marks",
    () => {
      marks = !marks;
      drawSteps();
      stage.draw();
    },
    { "data-name": "marks" },
  );
  const released = button("As released", () => set({ released: !model.get("released") }), {
    "data-name": "released",
  });
  const divisors = Array.from({ length: 7 }, (_, i) => 8 - i)
    .filter((n) => size % n === 0)
    .map((n) => size / n);
  const numbers = (from, to) => Array.from({ length: to - from + 1 }, (_, i) => from + i);
  const pick = [
    ["batch", "Images B", numbers(2, Math.min(6, every.length))],
    ["parts", "Groups M", numbers(1, MOST_PARTS)],
    ["patch", "Patch, pixels", divisors],
  ].map(([name, label, options]) => ({
    name,
    ...choice({
      label,
      name,
      options,
      value: model.get(name),
      change: (v) => {
        stage.rest();
        set({ [name]: Number(v) });
      },
    }),
  }));

  const thumbs = every.map(({ name, canvas: photo }, i) => {
    const small = make("canvas", { width: size, height: size, "aria-hidden": "true" }),
      share = make("span", { class: "mlw-share" });
    const node = button(
      "",
      () => look(model.get("mixture") === i && model.get("place") < 0 ? null : { mixture: i, place: -1 }),
      { class: "mlw-thumb", "data-image": i },
    );
    node.append(small, make("span", {}, `${i} ${name}`), share);
    node.addEventListener(
      "pointerenter",
      (event) => event.pointerType === "mouse" && point({ mixture: i, place: -1 }),
    );
    node.addEventListener("pointerleave", () => point(null));
    node.addEventListener(
      "focus",
      () => node.matches(":focus-visible") && point({ mixture: i, place: -1 }),
    );
    node.addEventListener("blur", () => point(null));
    return { node, small, share, photo };
  });
  const tables = Object.fromEntries(
    ["W", "W-released", "WW", "WW-released"].map((name) => [
      name,
      matrix({ name, hover: (row) => point(row < 0 ? null : { mixture: row, place: -1 }) }),
    ]),
  );

  canvas.addEventListener(
    "pointermove",
    (event) => event.pointerType === "mouse" && point(stage.under(event)),
  );
  canvas.addEventListener("pointerleave", () => point(null));
  canvas.addEventListener("click", (event) => {
    hover = null;
    look(stage.under(event));
    tell();
  });
  canvas.addEventListener("focus", () => {
    if (canvas.matches(":focus-visible") && model.get("place") < 0) {
      look(stage.beside({ mixture: -1, place: -1 }, [1, 0]));
      tell();
    }
  });
  canvas.addEventListener("keydown", (event) => {
    const way = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] }[event.key];
    if (!way && event.key !== "Escape") return;
    event.preventDefault();
    const found = way && stage.beside(looked(), way);
    hover = null;
    if (found || !way) look(found);
    tell();
  });
  const tell = () => live.whisper(about.textContent);

  const copy = python(() => {
    const B = model.get("batch"),
      listed = names().map(quoted).join(", ");
    return (
      `import torch, mixlearn as ml\n\n` +
      (model.get("shipped")
        ? `images = ml.data.photos(size=${size}).pick(${listed}).images\n`
        : `images = images[:${B}]            # of those the widget was given\n`) +
      `mixed = ml.patchmix(images, patch=${model.get("patch")}, parts=${model.get("parts")},\n` +
      `    order=[${model.get("order").join(", ")}])\n` +
      `W = mixed.plan.source_matrix()\nprint(W, W @ W.T, sep="\\n")\n` +
      `for i in range(${B}):\n    print(mixed.plan.describe(i, [${listed}]))\n`
    );
  });
  const question = predict({
    question:
      "With M = 3 groups, each mixture shows three images of the batch, and every patch is used " +
      "once. How many images do mixtures 0 and 1 have in common?",
    options: [
      ["none", false],
      ["one", false],
      ["two", true],
    ].map(([words, right]) => [
      words,
      right,
      () =>
        "Mixture 0 holds patches of images 0, 1 and 2, mixture 1 of images 1, 2 and 3. They " +
        "share two, in different patches: neither the same picture nor strangers. W·Wᵀ says how " +
        "much alike they are. Play it.",
    ]),
  });

  root.append(
    question,
    make("div", { class: "mlw-row" }, ...pick.map(({ node }) => node), shuffle),
    make("div", { class: "mlw-steps", role: "group", "aria-label": "Steps of PatchMix" }, ...dots),
    make("div", { class: "mlw-row mlw-move" }, back, play, next, marked),
    ...live.nodes,
    stage.node,
    make("h4", {}, "The batch"),
    make("div", { class: "mlw-batch" }, ...thumbs.map(({ node }) => node)),
    about,
    make("h4", {}, "What is to be found in a mixture"),
    make("div", { class: "mlw-row" }, released),
    make("div", { class: "mlw-matrices" }, ...Object.values(tables).map(({ node }) => node)),
    mass,
    copy.node,
  );

  const patches = (n) => (n === 1 ? "1 patch" : `${n} patches`);
  function stepWords() {
    const { each, parts, left, batch } = plan,
      kept = left
        ? " " +
          (left === 1 ? "1 is left over, ×, and stays" : `${left} are left over, ×, and stay`) +
          " the image's own."
        : "";
    return [
      `A batch of ${inWords(batch)} images, counted from 0.`,
      `Each image is cut into ${patches(count())} of ${model.get("patch")} × ${model.get("patch")} pixels.`,
      "The patches are shuffled, the same way for all images.",
      parts === 1
        ? "One group: all patches stay."
        : `The shuffled patches are cut into ${parts} groups of ${each}.${kept}`,
      parts === 1
        ? "Nothing moves."
        : "Group a stays; b comes from the next image" +
          (parts > 2 ? `, ${letter(parts - 1)} from ${parts - 1} further on` : "") +
          ", counted round.",
      "The shuffle is undone: each patch is in its own place again.",
    ][model.get("step")];
  }
  function drawSteps() {
    const step = model.get("step"),
      playing = stage.playing();
    dots.forEach((node, i) =>
      i === step ? node.setAttribute("aria-current", "step") : node.removeAttribute("aria-current"),
    );
    back.disabled = step === 0;
    next.disabled = step === LAST;
    play.textContent = playing ? "Pause" : "Play";
    play.hidden = stage.calm.matches;
    marked.setAttribute("aria-pressed", String(marks));
    live.say(stepWords(), playing);
  }
  function drawLooked() {
    const { mixture, place } = looked(),
      W = sourceMatrix(plan),
      WW = agreement(W),
      said = names(),
      n = size / model.get("patch");
    thumbs.forEach(({ node, small, share, photo }, i) => {
      const held = mixture < 0 ? 0 : W[mixture][i],
        g = small.getContext("2d");
      node.hidden = i >= plan.batch;
      if (node.hidden) return;
      g.drawImage(photo, 0, 0);
      node.setAttribute("aria-pressed", String(model.get("mixture") === i));
      node.dataset.held = mixture < 0 || held > 0;
      share.textContent = mixture < 0 ? " " : `${percent(held)}`;
      node.setAttribute(
        "aria-label",
        `image ${i}: ${said[i]}${mixture < 0 ? "" : `, ${percent(held)} of mixture ${mixture}`}`,
      );
      node.dataset.source = place >= 0 && plan.source(mixture, place) === i;
      if (node.dataset.source === "false") return;
      const p = size / n,
        box = [(place % n) * p, Math.floor(place / n) * p, p, p];
      [
        ["#fff", 6],
        ["#1f5fa8", 3],
      ].forEach(([tone, width]) => {
        g.strokeStyle = tone;
        g.lineWidth = width;
        g.strokeRect(...box);
      });
    });
    tables.W.light(mixture, (i, j) => W[mixture][j] > 0 && W[i][j] > 0);
    tables.WW.light(mixture);
    tables["W-released"].light(mixture);
    tables["WW-released"].light(mixture);
    if (mixture < 0)
      about.textContent =
        "Point at a patch, or focus the picture and use the arrow keys, to see where it comes " +
        "from. Point at an image to see its row.";
    else if (place < 0) {
      const others = WW[mixture].map((v, k) => [k, v]).filter(([k, v]) => k !== mixture && v > 0);
      about.textContent =
        `Mixture ${mixture}: ${describeMixture(plan, mixture, said)}. ` +
        (others.length
          ? `Shares images (dashed) with mixture${others.length > 1 ? "s" : ""} ` +
            `${others.map(([k]) => k).join(", ")}.`
          : "It shares images with no other mixture.");
    } else {
      const from = plan.source(mixture, place),
        group = plan.groups[place];
      about.textContent =
        `Mixture ${mixture}, patch ${place} (row ${Math.floor(place / n) + 1}, column ` +
        `${(place % n) + 1}): ` +
        (group < 0 ? "left over, so" : `group ${letter(group)},`) +
        ` from image ${from}, ${said[from]}, at the same place.`;
    }
    Object.assign(about.dataset, { mixture, place, source: place < 0 ? -1 : plan.source(mixture, place) });
    stage.draw();
  }
  function drawTables() {
    const W = sourceMatrix(plan),
      WW = agreement(W),
      { batch, parts, left, each } = plan,
      show = model.get("released"),
      [origin, mixes] = releasedTargets(batch, parts);
    tables.W.set("W: share of each image", W, W, "image");
    tables.WW.set("W·Wᵀ: mixture against mixture", WW, WW, "mixture");
    tables["W-released"].set("As released: 1 / M each", origin, W, "image");
    tables["WW-released"].set("As released: (1 − |δ| / M) / M", mixes, WW, "mixture");
    for (const name of ["W", "WW"]) tables[`${name}-released`].node.hidden = !show;
    released.setAttribute("aria-pressed", String(show));
    const sum = (table) => table[0].reduce((a, b) => a + b, 0),
      short = (v) => v.toFixed(2),
      lost = 1 - sum(mixes),
      least = 2 * parts - 1;
    mass.textContent = !show
      ? "Every row sums to 1, whatever B and M. A patch that is left over counts for its own image."
      : [
          lost > 1e-9
            ? `B = ${batch} is less than 2M − 1 = ${least}: counted round, places meet, and what ` +
              "is written later replaces what was there. Released rows between mixtures sum to " +
              `${short(sum(mixes))}: ${short(lost)} of the label is lost. W·Wᵀ keeps it.`
            : `B = ${batch} is at least 2M − 1 = ${least}: no two places meet, and no label is lost.`,
          parts > batch
            ? "M is larger than B: an image comes again, and is written once; rows of images sum " +
              `to ${short(sum(origin))}.`
            : "",
          left && parts > 1
            ? `${patches(left)} left over: mixture i holds ${each + left} of ${plan.count} of its ` +
              `own, and ${each} of each other group. The released targets leave that out.`
            : "",
          lost <= 1e-9 && !(left && parts > 1)
            ? "Released and right are the same."
            : "Hatched: not what it ought to be.",
        ]
          .filter(Boolean)
          .join(" ");
  }
  /** All that follows from the traits. */
  function follow() {
    if (busy) return;
    plan = patchPlan(model.get("order"), model.get("batch"), model.get("parts"));
    const now = JSON.stringify([plan.batch, plan.parts, model.get("order"), model.get("released")]);
    for (const { name, node, set: choose } of pick) {
      choose(String(model.get(name)));
      if (name === "parts")
        for (const option of node.querySelectorAll("option"))
          option.disabled = Number(option.value) > count();
    }
    if (now !== pinned) drawTables();
    pinned = now;
    canvas.setAttribute(
      "aria-label",
      `${STEPS[model.get("step")]}. ` +
        names()
          .map((_, i) => `mixture ${i}: ${describeMixture(plan, i, names())}`)
          .join("; "),
    );
    stage.go();
    drawSteps();
    drawLooked();
    copy.refresh();
  }
  for (const key of ["batch", "patch", "parts", "order", "step", "released", "mixture", "place"])
    model.on(`change:${key}`, () => {
      if (!busy) set({});
    });
  const redraw = () => stage.draw(),
    calmer = () => {
      stage.rest();
      set({});
    },
    watch = new ResizeObserver(redraw);
  watch.observe(stage.node);
  root.addEventListener("mlw-theme", redraw);
  // words on a canvas keep the font that they were drawn in
  document.fonts.addEventListener("loadingdone", redraw);
  stage.calm.addEventListener("change", calmer);
  set({});
  return () => {
    watch.disconnect();
    document.fonts.removeEventListener("loadingdone", redraw);
    stage.calm.removeEventListener("change", calmer);
    stage.forget();
    root.forget();
  };
}
export default { render };
