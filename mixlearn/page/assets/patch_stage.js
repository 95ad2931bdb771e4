// The stage of PatchMix: every patch of the batch, drawn where it is at a step or between two.
import { clusters } from "./patch_plan.js";
import { make } from "./kit.js";

const LETTERS = "abcdef",
  TONES = ["#0f766e", "#a8480a", "#1f5fa8", "#7b3fa0", "#b0256a", "#4a4f57"],
  PLAIN = "#22262b";
const STEP_TIME = 900,
  REST = 650,
  LONGEST = 2400; // milliseconds
export const LAST = 5; // steps: images, patchify, shuffle, group, mix, unshuffle

/** The letter of a group; patches left over have a cross. */
export function letter(group) {
  return group < 0 ? "×" : LETTERS[group];
}

const smooth = (t) => t * t * (3 - 2 * t);

/**
 * A canvas of all patches. `state()` tells { plan, photos, names, patch, size, step, marks, looked };
 * `arrived()` is called when a step is reached.
 */
export function patchStage({ root, state, arrived }) {
  const canvas = make("canvas", {
    tabindex: "0",
    role: "application",
    "data-name": "stage",
    "aria-roledescription": "patches: arrow keys go from one to the next, Escape lets go",
  });
  const node = make("div", { class: "mlw-patches" }, canvas);
  const calm = matchMedia("(prefers-reduced-motion: reduce)");
  let at = null,
    frameId = 0,
    timer = 0,
    from = 0,
    playing = false,
    onward = null,
    room = null,
    boxes = [];

  /** Sizes in the canvas's own pixels, in which a pixel of a photograph is a whole number k of them. */
  function measure() {
    const {
        plan: { batch, count },
        patch,
        size,
      } = state(),
      width = node.clientWidth || 697,
      narrow = width < 480;
    const columns = narrow ? 2 : batch === 4 ? 4 : Math.min(3, batch),
      across = Math.min(200, (width - 12 * (columns - 1)) / columns);
    const n = size / patch,
      wanted = across - 2 * (n - 1),
      k = Math.max(2, Math.ceil(((devicePixelRatio || 1) * wanted) / size)),
      scale = (k * size) / wanted;
    const gap = Math.round(2 * scale),
      side = k * size + (n - 1) * gap,
      apart = Math.floor(12 * scale),
      head = Math.round(20 * scale),
      rows = Math.ceil(batch / columns);
    const full = Math.floor(width * scale),
      start = Math.max(0, Math.floor((full - columns * side - (columns - 1) * apart) / 2));
    const tiles = Array.from({ length: batch }, (_, i) => [
      start + (i % columns) * (side + apart),
      head + Math.floor(i / columns) * (side + head + Math.round(6 * scale)),
    ]);
    const height = tiles[batch - 1][1] + side + Math.round(3 * scale);
    if (canvas.width !== full || canvas.height !== height) Object.assign(canvas, { width: full, height });
    canvas.style.height = `${height / scale}px`;
    const inset = Math.floor(((n - 1) * gap) / 2),
      packed = clusters(state().plan, patch * k, side, gap, Math.round(6 * scale));
    canvas.dataset.layout = JSON.stringify({
      k,
      tiles: tiles.map(([x, y]) => [x + inset, y + inset]),
      rows,
    });
    room = { k, n, gap, side, scale, tiles, inset, packed, size: patch * k, count };
  }

  /** Where a patch of an image lies at a whole step: left, top, side. */
  function spot(step, image, patch) {
    const { plan } = state(),
      { n, gap, size, inset, tiles, packed } = room;
    const [x, y] = tiles[step < 4 ? image : plan.target(image, patch)],
      place = step === 2 ? plan.slots[patch] : patch;
    if (step === 3 || step === 4) {
      const [u, v] = packed.places[plan.slots[patch]];
      return [x + u, y + v, packed.size];
    }
    const apart = step === 0 || step === LAST ? [size, inset] : [size + gap, 0];
    return [x + apart[1] + (place % n) * apart[0], y + apart[1] + Math.floor(place / n) * apart[0], size];
  }
  function place(image, patch) {
    const low = Math.floor(at),
      rest = at - low;
    if (!rest) return spot(low, image, patch);
    const { plan } = state(),
      lag = low === 3 ? 0.12 * Math.max(plan.groups[patch], 0) : 0; // group after group
    const t = smooth(Math.min(1, Math.max(0, rest * (1 + 0.12 * (plan.parts - 1)) - lag))),
      a = spot(low, image, patch),
      b = spot(low + 1, image, patch);
    return a.map((v, i) => v + (b[i] - v) * t);
  }

  function tag(g, [x, y, side], words, tone) {
    const high = Math.min(15 * room.scale, Math.max(10.5 * room.scale, side * 0.4)),
      wide = Math.max(high * 0.86, high * (0.3 + 0.52 * words.length));
    g.fillStyle = tone;
    g.fillRect(x, y, wide, high);
    g.fillStyle = "#fff";
    g.font = `700 ${high * 0.8}px ${getComputedStyle(root).fontFamily}`;
    g.textAlign = "center";
    g.textBaseline = "middle";
    g.fillText(words, x + wide / 2, y + high * 0.53);
  }
  function mark(g, patch, box) {
    const { plan } = state(),
      group = plan.groups[patch];
    if (at < 0.5) return;
    if (at < 2.5) {
      tag(g, box, String(patch), PLAIN);
      return;
    }
    const [x, y, side] = box,
      tone = group < 0 ? PLAIN : TONES[group],
      line = 1.5 * room.scale;
    g.strokeStyle = tone;
    g.lineWidth = line;
    if (group < 0) {
      g.save();
      g.beginPath();
      g.rect(x, y, side, side);
      g.clip();
      g.beginPath();
      for (let d = side / 4; d < 2 * side; d += side / 4) {
        g.moveTo(x + d, y);
        g.lineTo(x, y + d);
      }
      g.strokeStyle = "#fff";
      g.lineWidth = line * 0.8;
      g.stroke();
      g.restore();
    }
    // on small ones it would hide the picture
    if (side > 26 * room.scale) g.strokeRect(x + line / 2, y + line / 2, side - line, side - line);
    tag(g, box, letter(group), tone);
  }
  function ring(g, [x, y, wide, high = wide], thick) {
    const line = thick * room.scale;
    [
      ["#fff", line * 2],
      [getComputedStyle(root).getPropertyValue("--focus"), line],
    ].forEach(([tone, width]) => {
      g.strokeStyle = tone;
      g.lineWidth = width;
      g.strokeRect(x, y, wide, high);
    });
  }

  function draw() {
    const { plan, photos, names, patch, marks, looked } = state();
    measure();
    const g = canvas.getContext("2d"),
      { k, n, scale, side, tiles } = room,
      style = getComputedStyle(root);
    g.clearRect(0, 0, canvas.width, canvas.height);
    g.imageSmoothingEnabled = false;
    boxes = [];
    for (let image = 0; image < plan.batch; image++)
      for (let t = 0; t < plan.count; t++) boxes.push({ image, patch: t, box: place(image, t) });
    // what travels far is seen on top
    if (at % 1) boxes.sort((a, b) => plan.groups[a.patch] - plan.groups[b.patch]);
    for (const {
      image,
      patch: t,
      box: [x, y, size],
    } of boxes) {
      g.drawImage(
        photos[image].canvas,
        (t % n) * patch,
        Math.floor(t / n) * patch,
        patch,
        patch,
        x,
        y,
        size,
        size,
      );
      if (marks) mark(g, t, [x, y, size]);
    }
    g.font = `${13 * scale}px ${style.fontFamily}`;
    g.textAlign = "left";
    g.textBaseline = "alphabetic";
    tiles.forEach(([x, y], i) => {
      const lit = i === looked.mixture;
      g.fillStyle = style.getPropertyValue(lit ? "--ink" : "--soft");
      g.fillText(
        `${lit ? "▸ " : ""}${at < 3.5 ? `${i} ${names[i]}` : `mixture ${i}`}`,
        x,
        y - 6 * scale,
        side,
      );
    });
    const found = boxes.find(
      ({ image, patch: t }) => looked.place === t && looked.mixture === plan.target(image, t),
    );
    if (found) ring(g, found.box, 2);
    canvas.dataset.at = at;
    canvas.dataset.k = k;
  }

  /** The patch under a point of the page, as { mixture, place }. */
  function under({ clientX, clientY }) {
    const edge = canvas.getBoundingClientRect(),
      x = ((clientX - edge.left) * canvas.width) / edge.width,
      y = ((clientY - edge.top) * canvas.height) / edge.height;
    const found = boxes.findLast(
      ({ box: [left, top, side] }) => x >= left && y >= top && x < left + side && y < top + side,
    );
    return found ? told(found) : null;
  }
  const told = ({ image, patch }) => ({ mixture: state().plan.target(image, patch), place: patch });

  /** The next patch in a direction, where they lie now; the first one where none is looked at. */
  function beside({ mixture, place: looked }, [dx, dy]) {
    const { plan } = state(),
      here = boxes.find(({ image, patch }) => patch === looked && plan.target(image, patch) === mixture);
    if (!here)
      return told(
        boxes.reduce((best, each) =>
          (each.box[1] - best.box[1] || each.box[0] - best.box[0]) < 0 ? each : best,
        ),
      );
    const [x, y, side] = here.box,
      far = ([u, v]) => (u - x) * dx + (v - y) * dy,
      off = ([u, v]) => Math.abs((u - x) * dy) + Math.abs((v - y) * dx);
    const ahead = boxes
      .filter(({ box }) => far(box) > 1 && off(box) < side * 0.75)
      .sort((a, b) => far(a.box) + 2 * off(a.box) - far(b.box) - 2 * off(b.box));
    return ahead.length ? told(ahead[0]) : null;
  }

  function halt() {
    cancelAnimationFrame(frameId);
    clearTimeout(timer);
    frameId = 0;
  }
  /** Go to the step of the state: at once where less motion is asked for. */
  function go() {
    halt();
    const goal = state().step;
    if (at === null || calm.matches || at === goal) {
      at = goal;
      draw();
      reached();
      return;
    }
    const speed = Math.sign(goal - at) * Math.max(1 / STEP_TIME, Math.abs(goal - at) / LONGEST);
    from = performance.now();
    const tick = (now) => {
      const next = at + speed * Math.max(0, now - from);
      from = now;
      const done = (goal - next) * speed <= 0;
      at = done ? goal : next;
      draw();
      if (done) reached();
      else frameId = requestAnimationFrame(tick);
    };
    frameId = requestAnimationFrame(tick);
  }
  function reached() {
    frameId = 0;
    if (playing && state().step === LAST) playing = false;
    if (playing) timer = setTimeout(onward, REST);
    arrived();
  }

  return {
    node,
    canvas,
    draw,
    go,
    under,
    beside,
    calm,
    /** Play on: `next` goes a step further and is called after a rest at each. */
    play(next) {
      playing = true;
      onward = next;
      next();
    },
    rest() {
      playing = false;
      clearTimeout(timer);
    },
    jump(step) {
      halt();
      at = step;
    },
    playing: () => playing,
    forget: halt,
  };
}
